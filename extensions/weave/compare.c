/*
** Symbols: comparison and logic. See symbol.h.
*/
#include <math.h>

#include "extensions/weave/rounding.h"

/* ---- constants ------------------------------------------------------------------------------ */

/* datatype3.html 4.2: which affinity is applied to which side. */
static bool apply_affinities(const Algebra *algebra, Value *a, Value *b, const Comparison *how) {
  bool numeric_left = how->left >= SQL_AFFINITY_NUMERIC;
  bool numeric_right = how->right >= SQL_AFFINITY_NUMERIC;
  if (numeric_left && !numeric_right) {
    return value_apply_affinity(algebra->arena, b, SQL_AFFINITY_NUMERIC) ||
           fault_oom(algebra->fault);
  }
  if (numeric_right && !numeric_left) {
    return value_apply_affinity(algebra->arena, a, SQL_AFFINITY_NUMERIC) ||
           fault_oom(algebra->fault);
  }
  if (how->left == SQL_AFFINITY_TEXT && how->right == SQL_AFFINITY_NONE) {
    return value_apply_affinity(algebra->arena, b, SQL_AFFINITY_TEXT) || fault_oom(algebra->fault);
  }
  if (how->right == SQL_AFFINITY_TEXT && how->left == SQL_AFFINITY_NONE) {
    return value_apply_affinity(algebra->arena, a, SQL_AFFINITY_TEXT) || fault_oom(algebra->fault);
  }
  return true;
}

static bool can_order(const Algebra *algebra, SqlOp op, const Comparison *how) {
  if (!algebra->utf16 || how->collation != COLLATION_BINARY) return true;
  if (op == SQL_OP_EQ || op == SQL_OP_NE) return true;
  return fault_set(
      algebra->fault, FAULT_UNSUPPORTED,
      "a database of UTF-16 orders text in a way that is not supported over decisions");
}

/* 1, 0, or -1 for NULL. */
static bool compare_values(const Algebra *algebra, SqlOp op, Value a, Value b,
                           const Comparison *how, int *out) {
  *out = -1;
  if (value_is_null(&a) || value_is_null(&b)) return true;
  if (how->collation == COLLATION_OTHER && a.type == VALUE_TEXT && b.type == VALUE_TEXT) {
    return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                     "comparing decisions under a collation other than BINARY, NOCASE, RTRIM");
  }
  if (!apply_affinities(algebra, &a, &b, how)) return false;
  if (a.type == VALUE_TEXT && b.type == VALUE_TEXT && !can_order(algebra, op, how)) return false;
  *out = sql_op_holds(op, value_compare(&a, &b, how->collation));
  return true;
}

static Sym truth_const(int truth) {
  return truth < 0 ? sym_null() : sym_const(value_integer(truth));
}

/* ---- choices -------------------------------------------------------------------------------- */

/* A choice against a constant: a choice of 0, 1 and NULL. */
static bool compare_choice(const Algebra *algebra, SqlOp op, const Sym *a, const Value *b,
                           const Comparison *how, Sym *out) {
  Choice *choices = arena_array(algebra->arena, a->nchoices, sizeof *choices);
  if (!choices) return fault_oom(algebra->fault);
  for (size_t i = 0; i < a->nchoices; i++) {
    int truth;
    if (!compare_values(algebra, op, a->choices[i].value, *b, how, &truth)) return false;
    choices[i] = (Choice){a->choices[i].guard, truth_const(truth).value};
  }
  Sym truths = *a;
  truths.choices = choices;
  return sym_to_bool(algebra, &truths, out);
}

static bool all_numbers(const Sym *sym) {
  for (size_t i = 0; i < sym->nchoices; i++) {
    const Value *value = &sym->choices[i].value;
    if (!value_is_null(value) && !value_is_number(value)) return false;
  }
  return true;
}

/* Both sides in one kind of value, so that keys and ranks can stand for them. */
static bool unify_choices(const Algebra *algebra, Sym *sym, const Comparison *how) {
  bool numeric = how->left >= SQL_AFFINITY_NUMERIC || how->right >= SQL_AFFINITY_NUMERIC;
  bool text = how->left == SQL_AFFINITY_TEXT || how->right == SQL_AFFINITY_TEXT;
  sym->collation = how->collation;
  if ((!numeric && !text) || how->left == how->right) return true;
  Choice *choices = arena_array(algebra->arena, sym->nchoices, sizeof *choices);
  if (!choices) return fault_oom(algebra->fault);
  for (size_t i = 0; i < sym->nchoices; i++) {
    choices[i] = sym->choices[i];
    SqlAffinity affinity = numeric ? SQL_AFFINITY_NUMERIC : SQL_AFFINITY_TEXT;
    if (!value_apply_affinity(algebra->arena, &choices[i].value, affinity)) {
      return fault_oom(algebra->fault);
    }
  }
  sym->choices = choices;
  sym->domain = NULL;
  return true;
}

/* Text in order: each value is replaced by its rank among the values of both sides. */
static bool rank_choices(const Algebra *algebra, const Sym *a, const Sym *b, Sym *out_a,
                         Sym *out_b) {
  if (a->nchoices + b->nchoices > 8192) {
    return fault_set(algebra->fault, FAULT_LIMIT,
                     "ordering two decisions of %zu and %zu text values; the limit is 8192 values",
                     a->nchoices, b->nchoices);
  }
  for (int side = 0; side < 2; side++) {
    const Sym *sym = side ? b : a;
    Sym *out = side ? out_b : out_a;
    Choice *choices = arena_array(algebra->arena, sym->nchoices, sizeof *choices);
    if (!choices) return fault_oom(algebra->fault);
    for (size_t i = 0; i < sym->nchoices; i++) {
      choices[i] = sym->choices[i];
      if (value_is_null(&choices[i].value)) continue;
      int64_t below = 0; /* twice the number of smaller values: equal values share a rank */
      for (size_t j = 0; j < a->nchoices + b->nchoices; j++) {
        const Value *other =
            j < a->nchoices ? &a->choices[j].value : &b->choices[j - a->nchoices].value;
        if (!value_is_null(other)) {
          below += value_compare(other, &sym->choices[i].value, a->collation) < 0;
        }
      }
      choices[i].value = value_integer(below);
    }
    *out = *sym;
    out->choices = choices;
    out->domain = NULL;
  }
  return true;
}

static bool compare_lins(const Algebra *algebra, SqlOp op, const Sym *a, const Sym *b, Sym *out);

static bool compare_two_choices(const Algebra *algebra, SqlOp op, const Sym *a, const Sym *b,
                                const Comparison *how, Sym *out) {
  Sym *pair = arena_array(algebra->arena, 2, sizeof *pair);
  if (!pair) return fault_oom(algebra->fault);
  pair[0] = *a;
  pair[1] = *b;
  if (!unify_choices(algebra, &pair[0], how) || !unify_choices(algebra, &pair[1], how)) {
    return false;
  }
  if (how->collation == COLLATION_OTHER && !(all_numbers(&pair[0]) && all_numbers(&pair[1]))) {
    return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                     "comparing decisions under a collation other than BINARY, NOCASE, RTRIM");
  }
  if (op == SQL_OP_EQ || op == SQL_OP_NE) {
    *out = sym_bool(LIT_FALSE, LIT_FALSE);
    out->left = &pair[0];
    out->right = &pair[1];
    out->pair_equal = op == SQL_OP_EQ;
    return true;
  }
  if (!all_numbers(&pair[0]) || !all_numbers(&pair[1])) {
    Sym ranked[2];
    if (!can_order(algebra, op, how)) return false;
    if (!rank_choices(algebra, &pair[0], &pair[1], &ranked[0], &ranked[1])) return false;
    pair[0] = ranked[0];
    pair[1] = ranked[1];
  }
  Sym left, right;
  return sym_to_lin(algebra, &pair[0], &left) && sym_to_lin(algebra, &pair[1], &right) &&
         compare_lins(algebra, op, &left, &right, out);
}

/* ---- linear --------------------------------------------------------------------------------- */

/* difference <= 0, as a literal; strict: < 0. */
static Lit at_most_zero(const Algebra *algebra, const Lin *difference, bool strict) {
  if (!strict) return model_le(algebra->model, difference, 0);
  Lin flipped = {0};
  lin_add_lin(&flipped, difference, -1);
  Lit lit = lit_not(model_le(algebra->model, &flipped, 0));
  lin_finish(&flipped);
  return lit;
}

static Lit compare_to_zero(const Algebra *algebra, SqlOp op, const Lin *difference) {
  Lin flipped = {0};
  Lit lit = LIT_FALSE;
  if (op == SQL_OP_LT || op == SQL_OP_LE) {
    return at_most_zero(algebra, difference, op == SQL_OP_LT);
  }
  lin_add_lin(&flipped, difference, -1);
  switch (op) {
  case SQL_OP_GT:
    lit = at_most_zero(algebra, &flipped, true);
    break;
  case SQL_OP_GE:
    lit = at_most_zero(algebra, &flipped, false);
    break;
  default: {
    Lit sides[2] = {at_most_zero(algebra, difference, false),
                    at_most_zero(algebra, &flipped, false)};
    lit = model_and(algebra->model, sides, 2);
    if (op == SQL_OP_NE) lit = lit_not(lit);
  }
  }
  lin_finish(&flipped);
  return lit;
}

/* The truth of a comparison, given the literal that it holds and what makes an operand NULL. */
static bool with_nulls(const Algebra *algebra, Lit lit, Lit null, const GuardSet *group,
                       bool null_if_empty, int at_empty, Sym *out) {
  Lit yes = lit, no = lit_not(lit);
  if (null_if_empty) {
    Lit any = sym_group_any(algebra, group);
    if (at_empty != 0) yes = model_and(algebra->model, (Lit[]){yes, any}, 2);
    if (at_empty != 1) no = model_and(algebra->model, (Lit[]){no, any}, 2);
  }
  if (null != LIT_FALSE) {
    yes = model_and(algebra->model, (Lit[]){yes, lit_not(null)}, 2);
    no = model_and(algebra->model, (Lit[]){no, lit_not(null)}, 2);
  }
  *out = sym_bool(yes, no);
  if (group && (at_empty >= 0 || null_if_empty)) {
    out->group = group;
    bool maybe_null = null != LIT_FALSE;
    out->yes_at_empty = null_if_empty || at_empty == 0 ? 0 : maybe_null ? -1 : 1;
    out->no_at_empty = null_if_empty || at_empty == 1 ? 0 : maybe_null ? -1 : 1;
  }
  return true;
}

static bool same_lin(const Lin *a, const Lin *b) {
  if (a->count != b->count || a->constant != b->constant) return false;
  for (size_t i = 0; i < a->count; i++) {
    if (a->terms[i].var != b->terms[i].var || a->terms[i].coef != b->terms[i].coef) return false;
  }
  return true;
}

/* count(DISTINCT x) = count(*): at most one tuple for every value. */
static bool all_different(const Algebra *algebra, SqlOp op, const Sym *a, const Sym *b, Sym *out) {
  const DistinctSet *set = a->distinct;
  bool applies = set && (op == SQL_OP_EQ || op == SQL_OP_NE) && b->null == LIT_FALSE &&
                 !b->null_if_empty && same_lin(set->total, b->lin);
  Lit *lits = applies ? arena_array(algebra->arena, set->count, sizeof *lits) : NULL;
  if (!lits) return false;
  for (size_t i = 0; i < set->count; i++) {
    lits[i] = model_le(algebra->model, &set->per_value[i], 1);
  }
  Lit all = model_and(algebra->model, lits, set->count);
  *out = op == SQL_OP_EQ ? sym_bool(all, lit_not(all)) : sym_bool(lit_not(all), all);
  if (a->group && a->group == b->group) {
    out->group = a->group;
    out->yes_at_empty = op == SQL_OP_EQ;
    out->no_at_empty = op == SQL_OP_NE;
  }
  return true;
}

static bool compare_lins(const Algebra *algebra, SqlOp op, const Sym *a, const Sym *b, Sym *out) {
  Sym difference;
  if (!sym_arithmetic(algebra, SQL_OP_SUB, a, b, &difference)) return false;
  if (difference.kind == SYM_CONST) {
    Sym zero = sym_const(value_integer(0));
    Comparison how = {.collation = COLLATION_BINARY};
    return sym_compare(algebra, op, &difference, &zero, &how, out);
  }
  if (all_different(algebra, op, a, b, out) || all_different(algebra, op, b, a, out)) return true;
  double at = difference.at_empty;
  int at_empty = -1;
  if (difference.group && !isnan(at)) at_empty = sql_op_holds(op, at < 0 ? -1 : at > 0);
  return with_nulls(algebra, compare_to_zero(algebra, op, difference.lin), difference.null,
                    difference.group, difference.null_if_empty, at_empty, out);
}

/* sum / count op constant, without dividing: sum - constant * count op 0 where count > 0. */
static bool compare_ratio(const Algebra *algebra, SqlOp op, const Sym *a, double b, Sym *out) {
  Lit null = model_le(algebra->model, a->divisor, 0), lit;
  if (a->rounding || model_step(algebra->model, a->lin) > 0) {
    lit = rounding_compare(algebra, op, a, b);
  } else {
    Lin scaled = {0};
    lin_add_lin(&scaled, a->lin, 1);
    lin_add_lin(&scaled, a->divisor, -b);
    const Lin *kept = sym_keep(algebra, &scaled);
    if (!kept) return false;
    lit = compare_to_zero(algebra, op, kept);
  }
  with_nulls(algebra, lit, null, NULL, false, -1, out);
  if (a->group) {
    out->group = a->group;
    out->yes_at_empty = out->no_at_empty = 0;
  }
  return true;
}

/* ---- the operators -------------------------------------------------------------------------- */

static bool compare_is(const Algebra *algebra, SqlOp op, const Sym *a, const Sym *b,
                       const Comparison *how, Sym *out) {
  Sym equal;
  Lit null_a, null_b;
  if (!sym_compare(algebra, SQL_OP_EQ, a, b, how, &equal) ||
      !sym_to_bool(algebra, &equal, &equal) || !sym_null_lit(algebra, a, &null_a) ||
      !sym_null_lit(algebra, b, &null_b)) {
    return false;
  }
  Lit both = model_and(algebra->model, (Lit[]){null_a, null_b}, 2);
  Lit same = model_or(algebra->model, (Lit[]){equal.yes, both}, 2);
  *out = op == SQL_OP_IS ? sym_bool(same, lit_not(same)) : sym_bool(lit_not(same), same);
  return true;
}

bool sym_compare(const Algebra *algebra, SqlOp op, const Sym *a, const Sym *b,
                 const Comparison *how, Sym *out) {
  if (op == SQL_OP_IS || op == SQL_OP_IS_NOT) return compare_is(algebra, op, a, b, how, out);
  if (a->kind == SYM_CONST && b->kind == SYM_CONST) {
    int truth;
    if (!compare_values(algebra, op, a->value, b->value, how, &truth)) return false;
    *out = truth_const(truth);
    return true;
  }
  if ((a->kind == SYM_CONST && value_is_null(&a->value)) ||
      (b->kind == SYM_CONST && value_is_null(&b->value))) {
    *out = sym_null();
    return true;
  }
  if (a->kind == SYM_CONST) {
    Comparison swapped = {how->right, how->left, how->collation};
    return sym_compare(algebra, sql_op_mirrored(op), b, a, &swapped, out);
  }
  if (a->kind == SYM_CHOICE && b->kind == SYM_CONST) {
    return compare_choice(algebra, op, a, &b->value, how, out);
  }
  if (a->kind == SYM_CHOICE && b->kind == SYM_CHOICE) {
    return compare_two_choices(algebra, op, a, b, how, out);
  }
  if (b->kind == SYM_CONST && !value_is_number(&b->value)) {
    Value number = b->value;
    if (how->left >= SQL_AFFINITY_NUMERIC &&
        !value_apply_affinity(algebra->arena, &number, SQL_AFFINITY_NUMERIC)) {
      return fault_oom(algebra->fault);
    }
    if (!value_is_number(&number)) {
      return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                       "comparing a number that depends on decisions with text");
    }
    Sym constant = sym_const(number);
    return sym_compare(algebra, op, a, &constant, how, out);
  }
  if (a->kind == SYM_LIN && a->rounding && b->kind == SYM_CONST) {
    double number = value_number(&b->value);
    return with_nulls(algebra, rounding_compare(algebra, op, a, number), a->null, a->group,
                      a->null_if_empty, rounding_at_empty(op, a, number), out);
  }
  if (a->kind == SYM_RATIO && b->kind == SYM_CONST) {
    return compare_ratio(algebra, op, a, value_number(&b->value), out);
  }
  Sym left, right;
  return sym_to_lin(algebra, a, &left) && sym_to_lin(algebra, b, &right) &&
         compare_lins(algebra, op, &left, &right, out);
}

bool sym_not(const Algebra *algebra, const Sym *a, Sym *out) {
  if (a->kind == SYM_BOOL && a->left) {
    *out = *a;
    out->pair_equal = !a->pair_equal;
    return true;
  }
  Sym truth;
  if (!sym_to_bool(algebra, a, &truth)) return false;
  *out = truth;
  out->yes = truth.no;
  out->no = truth.yes;
  out->yes_at_empty = truth.no_at_empty;
  out->no_at_empty = truth.yes_at_empty;
  return true;
}

/* AND, or OR when `any`: SQL's three-valued tables, on pairs of literals. */
static bool combine(const Algebra *algebra, bool any, const Sym *a, const Sym *b, Sym *out) {
  Sym x, y;
  if (!sym_to_bool(algebra, a, &x) || !sym_to_bool(algebra, b, &y)) return false;
  Lit yes[2] = {x.yes, y.yes}, no[2] = {x.no, y.no};
  bool total = x.yes == lit_not(x.no) && y.yes == lit_not(y.no);
  if (any) {
    Lit lit = model_or(algebra->model, yes, 2);
    *out = sym_bool(lit, total ? lit_not(lit) : model_and(algebra->model, no, 2));
  } else {
    Lit lit = model_and(algebra->model, yes, 2);
    *out = sym_bool(lit, total ? lit_not(lit) : model_or(algebra->model, no, 2));
  }
  bool const_x = a->kind == SYM_CONST, const_y = b->kind == SYM_CONST;
  if ((x.group || const_x) && (y.group || const_y) && (x.group == y.group || const_x || const_y)) {
    out->group = x.group ? x.group : y.group;
    signed char xy = x.yes_at_empty, yy = y.yes_at_empty, xn = x.no_at_empty, yn = y.no_at_empty;
    if (xy >= 0 && yy >= 0) out->yes_at_empty = any ? (xy | yy) : (xy & yy);
    if (xn >= 0 && yn >= 0) out->no_at_empty = any ? (xn & yn) : (xn | yn);
  }
  return true;
}

bool sym_and(const Algebra *algebra, const Sym *a, const Sym *b, Sym *out) {
  return combine(algebra, false, a, b, out);
}

bool sym_or(const Algebra *algebra, const Sym *a, const Sym *b, Sym *out) {
  return combine(algebra, true, a, b, out);
}

bool sym_is_null(const Algebra *algebra, const Sym *a, bool negated, Sym *out) {
  Lit null;
  if (!sym_null_lit(algebra, a, &null)) return false;
  *out = negated ? sym_bool(lit_not(null), null) : sym_bool(null, lit_not(null));
  if (a->kind == SYM_LIN && a->group && a->null == LIT_FALSE) {
    out->group = a->group;
    out->yes_at_empty = a->null_if_empty != negated;
    out->no_at_empty = a->null_if_empty == negated;
  }
  return true;
}
