/*
** Symbols: arithmetic and the functions that choose. See symbol.h.
*/
#include <math.h>

#include "extensions/weave/rounding.h"

enum { MAX_TABLE = 4096 }; /* entries of a product of two choices */

/* ---- constants ------------------------------------------------------------------------------ */

static bool integer_arithmetic(SqlOp op, int64_t a, int64_t b, int64_t *out) {
  switch (op) {
  case SQL_OP_ADD:
    return !__builtin_add_overflow(a, b, out);
  case SQL_OP_SUB:
    return !__builtin_sub_overflow(a, b, out);
  case SQL_OP_MUL:
    return !__builtin_mul_overflow(a, b, out);
  case SQL_OP_DIV:
    if (a == INT64_MIN && b == -1) return false;
    *out = a / b;
    return true;
  default:
    *out = b == -1 ? 0 : a % b;
    return true;
  }
}

static double real_arithmetic(SqlOp op, double a, double b) {
  switch (op) {
  case SQL_OP_ADD:
    return a + b;
  case SQL_OP_SUB:
    return a - b;
  case SQL_OP_MUL:
    return a * b;
  default:
    return a / b;
  }
}

/* SQLite's %: both sides become integers first; the result is REAL when a side was. */
static bool remainder_of(double a, double b, bool integral, Value *out) {
  if (fabs(a) > 9e18 || fabs(b) > 9e18) return false;
  int64_t divisor = (int64_t)b;
  if (divisor == 0) {
    *out = value_null();
    return true;
  }
  int64_t left = divisor == -1 ? 0 : (int64_t)a % divisor;
  *out = integral ? value_integer(left) : value_real((double)left);
  return true;
}

static int64_t value_int64(const Value *value) {
  return value->type == VALUE_INTEGER ? value->integer : (int64_t)value_number(value);
}

bool value_arithmetic(const Algebra *algebra, SqlOp op, const Value *a, const Value *b,
                      Value *out) {
  *out = value_null();
  if (value_is_null(a) || value_is_null(b)) return true;
  double x = value_number(a), y = value_number(b);
  bool integral = value_is_integral(a) && value_is_integral(b);
  if (op == SQL_OP_MOD) {
    if (integral && value_int64(b) != 0) {
      int64_t left;
      integer_arithmetic(op, value_int64(a), value_int64(b), &left);
      *out = value_integer(left);
      return true;
    }
    if (remainder_of(x, y, integral, out)) return true;
    return fault_set(algebra->fault, FAULT_UNSUPPORTED, "%% of numbers beyond 9e18");
  }
  if (op == SQL_OP_DIV && y == 0) return true;
  int64_t exact;
  if (integral && integer_arithmetic(op, value_int64(a), value_int64(b), &exact)) {
    *out = value_integer(exact);
    return true;
  }
  double real = real_arithmetic(op, x, y);
  *out = isnan(real) ? value_null() : value_real(real);
  return true;
}

/* ---- choices with a constant: value by value ------------------------------------------------ */

static bool map_choice(const Algebra *algebra, SqlOp op, const Sym *choice, const Value *constant,
                       bool constant_left, Sym *out) {
  Choice *choices = arena_array(algebra->arena, choice->nchoices, sizeof *choices);
  if (!choices) return fault_oom(algebra->fault);
  for (size_t i = 0; i < choice->nchoices; i++) {
    const Value *value = &choice->choices[i].value;
    choices[i].guard = choice->choices[i].guard;
    if (!value_arithmetic(algebra, op, constant_left ? constant : value,
                          constant_left ? value : constant, &choices[i].value)) {
      return false;
    }
  }
  *out = *choice;
  out->choices = choices;
  out->domain = NULL;
  return true;
}

/* Two choices: a table of all pairs. */
static bool cross_choices(const Algebra *algebra, SqlOp op, const Sym *a, const Sym *b, Sym *out) {
  size_t count = a->nchoices * b->nchoices;
  if (a->nchoices && count / a->nchoices != b->nchoices) count = SIZE_MAX;
  if (count > MAX_TABLE) {
    return fault_set(algebra->fault, FAULT_LIMIT,
                     "combining two decisions of %zu and %zu values; the limit is %d pairs",
                     a->nchoices, b->nchoices, MAX_TABLE);
  }
  Choice *choices = arena_array(algebra->arena, count, sizeof *choices);
  if (!choices) return fault_oom(algebra->fault);
  size_t n = 0;
  for (size_t i = 0; i < a->nchoices; i++) {
    for (size_t j = 0; j < b->nchoices; j++, n++) {
      Lit pair[2] = {a->choices[i].guard, b->choices[j].guard};
      choices[n].guard = model_and(algebra->model, pair, 2);
      if (!value_arithmetic(algebra, op, &a->choices[i].value, &b->choices[j].value,
                            &choices[n].value)) {
        return false;
      }
    }
  }
  *out = (Sym){.kind = SYM_CHOICE,
               .choices = choices,
               .nchoices = n,
               .null = LIT_FALSE,
               .exhaustive = a->exhaustive && b->exhaustive};
  return true;
}

/* ---- linear --------------------------------------------------------------------------------- */

static bool is_pure_const(const Sym *sym) {
  return sym->kind == SYM_LIN && sym->lin->count == 0 && sym->null == LIT_FALSE &&
         !sym->null_if_empty;
}

static Lit either(const Algebra *algebra, Lit a, Lit b) {
  if (a == LIT_FALSE) return b;
  if (b == LIT_FALSE) return a;
  return model_or(algebra->model, (Lit[]){a, b}, 2);
}

/* Turn "NULL when the group is empty" into a plain literal. */
static bool settle_group(const Algebra *algebra, Sym *sym) {
  if (!sym->group) return true;
  if (sym->null_if_empty && !sym_null_lit(algebra, sym, &sym->null)) return false;
  sym->group = NULL;
  sym->null_if_empty = false;
  return true;
}

/* a + sign * b */
static bool add_lins(const Algebra *algebra, Sym a, Sym b, double sign, Sym *out) {
  bool mergeable = !a.group || !b.group || a.group == b.group;
  if ((!mergeable || !(a.group || is_pure_const(&a)) || !(b.group || is_pure_const(&b))) &&
      (!settle_group(algebra, &a) || !settle_group(algebra, &b))) {
    return false;
  }
  Lin lin = {0};
  lin_add_lin(&lin, a.lin, 1);
  lin_add_lin(&lin, b.lin, sign);
  const Lin *kept = sym_keep(algebra, &lin);
  if (!kept) return false;
  *out = sym_lin(kept, number_type_of_both(a.type, b.type));
  out->null = either(algebra, a.null, b.null);
  out->group = a.group ? a.group : b.group;
  if (out->group) {
    out->null_if_empty = a.null_if_empty || b.null_if_empty;
    out->at_empty =
        (a.group ? a.at_empty : a.lin->constant) + sign * (b.group ? b.at_empty : b.lin->constant);
  }
  return true;
}

static bool scale_lin(const Algebra *algebra, const Sym *a, double factor, NumberType type,
                      Sym *out) {
  Lin lin = {0};
  lin_add_lin(&lin, a->lin, factor);
  const Lin *kept = sym_keep(algebra, &lin);
  if (!kept) return false;
  *out = *a;
  out->lin = kept;
  out->distinct = NULL;
  out->rounding = NULL;
  out->type = type;
  out->at_empty = a->at_empty * factor;
  return true;
}

static bool divide_lin(const Algebra *algebra, const Sym *a, const Value *b, Sym *out) {
  double divisor = value_number(b);
  if (divisor == 0) {
    *out = sym_null();
    return true;
  }
  if (number_type_of_both(a->type, number_type(b)) == NUMBER_REAL) {
    return scale_lin(algebra, a, 1 / divisor, NUMBER_REAL, out) &&
           rounding_note(algebra, a, SQL_OP_DIV, divisor, false, out);
  }
  if (a->type == NUMBER_EITHER) {
    return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                     "dividing a number that is INTEGER or REAL depending on decisions; CAST it or "
                     "multiply by 1.0 first");
  }
  Sym plain = *a;
  if (!settle_group(algebra, &plain)) return false;
  Lin lin = {0};
  lin_add(&lin, model_quotient(algebra->model, plain.lin, (int64_t)divisor), 1);
  const Lin *kept = sym_keep(algebra, &lin);
  if (!kept) return false;
  *out = sym_lin(kept, NUMBER_INTEGER);
  out->null = plain.null;
  return true;
}

/* x % d = x - d * (x / d) */
static bool remainder_lin(const Algebra *algebra, const Sym *a, const Value *b, Sym *out) {
  if (a->type != NUMBER_INTEGER || !value_is_integral(b)) {
    return fault_set(algebra->fault, FAULT_UNSUPPORTED, "%% of a REAL that depends on decisions");
  }
  Sym quotient, product;
  return divide_lin(algebra, a, b, &quotient) &&
         (quotient.kind == SYM_CONST
              ? (*out = quotient, true)
              : scale_lin(algebra, &quotient, value_number(b), NUMBER_INTEGER, &product) &&
                    add_lins(algebra, *a, product, -1, out));
}

/* A literal times a linear expression, as 0/1 in a product: prio * (node IS NOT NULL). */
static bool multiply_truth(const Algebra *algebra, const Sym *truth, const Sym *number, Sym *out) {
  Sym bool_sym, lin_sym;
  Lit null;
  if (!sym_to_bool(algebra, truth, &bool_sym) || !sym_to_lin(algebra, number, &lin_sym) ||
      !settle_group(algebra, &lin_sym) || !sym_null_lit(algebra, &bool_sym, &null)) {
    return false;
  }
  Lin lin = {0};
  lin_add(&lin, model_product(algebra->model, bool_sym.yes, lin_sym.lin), 1);
  const Lin *kept = sym_keep(algebra, &lin);
  if (!kept) return false;
  *out = sym_lin(kept, lin_sym.type);
  out->null = either(algebra, null, lin_sym.null);
  return true;
}

static bool multiply(const Algebra *algebra, const Sym *a, const Sym *b, Sym *out) {
  const Sym *constant = b->kind == SYM_CONST ? b : a->kind == SYM_CONST ? a : NULL;
  const Sym *other = constant == b ? a : b;
  if (constant) {
    Sym lin;
    if (value_is_null(&constant->value)) {
      *out = sym_null();
      return true;
    }
    double factor = value_number(&constant->value);
    NumberType type = number_type(&constant->value);
    return sym_to_lin(algebra, other, &lin) &&
           scale_lin(algebra, &lin, factor, number_type_of_both(lin.type, type), out) &&
           rounding_note(algebra, &lin, SQL_OP_MUL, factor, false, out);
  }
  if (a->kind == SYM_BOOL) return multiply_truth(algebra, a, b, out);
  if (b->kind == SYM_BOOL) return multiply_truth(algebra, b, a, out);
  return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                   "the product of two expressions that both depend on decisions is not linear");
}

static bool ratio_arithmetic(const Algebra *algebra, SqlOp op, const Sym *a, const Sym *b,
                             Sym *out) {
  const Sym *ratio = a->kind == SYM_RATIO ? a : b, *other = ratio == a ? b : a;
  bool scalable = other->kind == SYM_CONST && !value_is_null(&other->value) &&
                  (op == SQL_OP_MUL || (op == SQL_OP_DIV && ratio == a)) &&
                  value_number(&other->value) != 0;
  if (!scalable) {
    return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                     "avg() over a number of rows that depends on decisions can only be scaled "
                     "and compared with a constant");
  }
  double factor = value_number(&other->value);
  return scale_lin(algebra, ratio, op == SQL_OP_MUL ? factor : 1 / factor, NUMBER_REAL, out) &&
         rounding_note(algebra, ratio, op, factor, false, out);
}

bool sym_arithmetic(const Algebra *algebra, SqlOp op, const Sym *a, const Sym *b, Sym *out) {
  if (a->kind == SYM_CONST && b->kind == SYM_CONST) {
    *out = sym_null();
    return value_arithmetic(algebra, op, &a->value, &b->value, &out->value);
  }
  if (a->kind == SYM_RATIO || b->kind == SYM_RATIO) {
    return ratio_arithmetic(algebra, op, a, b, out);
  }
  if (a->kind == SYM_CHOICE && b->kind == SYM_CONST) {
    return map_choice(algebra, op, a, &b->value, false, out);
  }
  if (a->kind == SYM_CONST && b->kind == SYM_CHOICE) {
    return map_choice(algebra, op, b, &a->value, true, out);
  }
  if (op == SQL_OP_MUL || op == SQL_OP_DIV || op == SQL_OP_MOD) {
    if (a->kind == SYM_CHOICE && b->kind == SYM_CHOICE) {
      return cross_choices(algebra, op, a, b, out);
    }
    if (op == SQL_OP_MUL) return multiply(algebra, a, b, out);
    if (b->kind != SYM_CONST) {
      return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                       "dividing by an expression that depends on decisions is not linear");
    }
    Sym lin;
    if (value_is_null(&b->value)) {
      *out = sym_null();
      return true;
    }
    if (!sym_to_lin(algebra, a, &lin)) return false;
    return op == SQL_OP_DIV ? divide_lin(algebra, &lin, &b->value, out)
                            : remainder_lin(algebra, &lin, &b->value, out);
  }
  if (op != SQL_OP_ADD && op != SQL_OP_SUB) {
    return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                     "this operator over an expression that depends on several decisions");
  }
  Sym left, right;
  if (!sym_to_lin(algebra, a, &left) || !sym_to_lin(algebra, b, &right) ||
      !add_lins(algebra, left, right, op == SQL_OP_ADD ? 1 : -1, out)) {
    return false;
  }
  if (a->kind == SYM_CONST)
    return rounding_note(algebra, &right, op, left.lin->constant, true, out);
  return b->kind != SYM_CONST || rounding_note(algebra, &left, op, right.lin->constant, false, out);
}

bool sym_negate(const Algebra *algebra, const Sym *a, Sym *out) {
  Sym zero = sym_const(value_integer(0));
  return sym_arithmetic(algebra, SQL_OP_SUB, &zero, a, out);
}

/* ---- choosing ------------------------------------------------------------------------------- */

/* CASE with constant branches is a choice; otherwise a sum of guarded expressions. */
static bool case_of_constants(const Algebra *algebra, const Lit *guards, const Sym *const *values,
                              int count, Sym *out) {
  Choice *choices = arena_array(algebra->arena, (size_t)count, sizeof *choices);
  if (!choices) return fault_oom(algebra->fault);
  for (int i = 0; i < count; i++) choices[i] = (Choice){guards[i], values[i]->value};
  *out = (Sym){.kind = SYM_CHOICE,
               .choices = choices,
               .nchoices = (size_t)count,
               .exhaustive = true,
               .null = LIT_FALSE};
  return true;
}

/* Where a value is passed on, not computed with, text must stay text. */
static bool number_or_null(const Algebra *algebra, const Sym *sym) {
  if (sym->kind != SYM_CONST || value_is_null(&sym->value) || value_is_number(&sym->value)) {
    return true;
  }
  return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                   "text, or a number that depends on decisions");
}

static bool case_of_numbers(const Algebra *algebra, const Lit *guards, const Sym *const *values,
                            int count, Sym *out) {
  Lin sum = {0};
  NumberType type = NUMBER_INTEGER;
  bool any = false;
  Lit *nulls = arena_array(algebra->arena, (size_t)count, sizeof *nulls);
  if (!nulls) return fault_oom(algebra->fault);
  for (int i = 0; i < count; i++) {
    Sym lin;
    Lit null;
    bool is_const = values[i]->kind == SYM_CONST;
    if (!number_or_null(algebra, values[i]) || !sym_null_lit(algebra, values[i], &null) ||
        !sym_to_lin(algebra, values[i], &lin)) {
      lin_finish(&sum);
      return false;
    }
    if (!is_const || !value_is_null(&values[i]->value)) {
      type = any ? number_type_of_either(type, lin.type) : lin.type;
      any = true;
    }
    nulls[i] = model_and(algebra->model, (Lit[]){guards[i], null}, 2);
    lin_add(&sum, model_product(algebra->model, guards[i], lin.lin), 1);
  }
  const Lin *kept = sym_keep(algebra, &sum);
  if (!kept) return false;
  *out = sym_lin(kept, type);
  out->null = model_or(algebra->model, nulls, (size_t)count);
  return true;
}

bool sym_case(const Algebra *algebra, const Sym *conditions, const Sym *values, int count,
              const Sym *otherwise, Sym *out) {
  Lit *guards = arena_array(algebra->arena, (size_t)count + 1, sizeof *guards);
  const Sym **all = arena_array(algebra->arena, (size_t)count + 1, sizeof *all);
  if (!guards || !all) return fault_oom(algebra->fault);
  Lit open = LIT_TRUE; /* no condition so far was true */
  bool constant = true;
  int n = 0;
  for (int i = 0; i < count; i++) {
    Sym truth;
    if (!sym_to_bool(algebra, &conditions[i], &truth)) return false;
    guards[n] = model_and(algebra->model, (Lit[]){open, truth.yes}, 2);
    open = model_and(algebra->model, (Lit[]){open, lit_not(truth.yes)}, 2);
    if (guards[n] == LIT_FALSE) continue;
    all[n++] = &values[i];
    constant &= values[i].kind == SYM_CONST;
  }
  if (open != LIT_FALSE) {
    guards[n] = open;
    all[n++] = otherwise;
    constant &= otherwise->kind == SYM_CONST;
  }
  if (n == 1) {
    *out = *all[0];
    return true;
  }
  return constant ? case_of_constants(algebra, guards, all, n, out)
                  : case_of_numbers(algebra, guards, all, n, out);
}

bool sym_coalesce(const Algebra *algebra, const Sym *args, int count, Sym *out) {
  if (count == 1) {
    *out = args[0];
    return true;
  }
  const Sym *first = &args[0];
  /* coalesce(sum(x), 0): the sum over nothing is that 0 already. */
  if (first->kind == SYM_LIN && first->null_if_empty && first->null == LIT_FALSE &&
      args[1].kind == SYM_CONST && value_is_number(&args[1].value) &&
      value_number(&args[1].value) == first->at_empty) { /* never when that is NaN */
    *out = *first;
    out->null_if_empty = false;
    out->type = number_type_of_either(out->type, number_type(&args[1].value));
    return true;
  }
  Sym present, rest;
  if (!sym_is_null(algebra, first, true, &present)) return false;
  if (present.yes == LIT_TRUE) {
    *out = *first;
    return true;
  }
  if (!sym_coalesce(algebra, args + 1, count - 1, &rest)) return false;
  return sym_case(algebra, &present, first, 1, &rest, out);
}

bool sym_extreme(const Algebra *algebra, const Sym *args, int count, bool largest, Sym *out) {
  GuardedLin *items = arena_array(algebra->arena, (size_t)count, sizeof *items);
  Lit *nulls = arena_array(algebra->arena, (size_t)count, sizeof *nulls);
  if (!items || !nulls) return fault_oom(algebra->fault);
  NumberType type = NUMBER_INTEGER;
  for (int i = 0; i < count; i++) {
    Sym lin;
    if (!number_or_null(algebra, &args[i]) || !sym_null_lit(algebra, &args[i], &nulls[i]) ||
        !sym_to_lin(algebra, &args[i], &lin)) {
      return false;
    }
    type = i ? number_type_of_either(type, lin.type) : lin.type;
    items[i] = (GuardedLin){LIT_TRUE, *lin.lin};
  }
  Var var = largest ? model_max(algebra->model, items, (size_t)count)
                    : model_min(algebra->model, items, (size_t)count);
  Lin lin = {0};
  lin_add(&lin, var, 1);
  const Lin *kept = sym_keep(algebra, &lin);
  if (!kept) return false;
  *out = sym_lin(kept, type);
  out->null = model_or(algebra->model, nulls, (size_t)count);
  return true;
}

bool sym_abs(const Algebra *algebra, const Sym *a, Sym *out) {
  Sym both[2];
  if (a->kind == SYM_CHOICE) { /* exact for any mix of types: value by value */
    Choice *choices = arena_array(algebra->arena, a->nchoices, sizeof *choices);
    if (!choices) return fault_oom(algebra->fault);
    Value zero = value_integer(0);
    for (size_t i = 0; i < a->nchoices; i++) {
      choices[i] = a->choices[i];
      if (!value_is_null(&choices[i].value) && value_number(&choices[i].value) < 0 &&
          !value_arithmetic(algebra, SQL_OP_SUB, &zero, &a->choices[i].value, &choices[i].value)) {
        return false;
      }
    }
    *out = *a;
    out->choices = choices;
    out->domain = NULL;
    return true;
  }
  both[0] = *a;
  return sym_negate(algebra, a, &both[1]) && sym_extreme(algebra, both, 2, true, out);
}
