/*
** Symbols: construction and conversion. See symbol.h.
*/
#include "extensions/weave/symbol.h"

#include "base/array.h"

#include <math.h>
#include <string.h>

Sym sym_const(Value value) { return (Sym){.kind = SYM_CONST, .value = value, .null = LIT_FALSE}; }

Sym sym_null(void) { return sym_const(value_null()); }

Sym sym_lin(const Lin *lin, NumberType type) {
  return (Sym){.kind = SYM_LIN, .lin = lin, .type = type, .null = LIT_FALSE};
}

NumberType number_type(const Value *value) {
  return value_is_integral(value) ? NUMBER_INTEGER : NUMBER_REAL;
}

NumberType number_type_of_both(NumberType a, NumberType b) {
  if (a == NUMBER_REAL || b == NUMBER_REAL) return NUMBER_REAL;
  return a == NUMBER_EITHER || b == NUMBER_EITHER ? NUMBER_EITHER : NUMBER_INTEGER;
}

NumberType number_type_of_either(NumberType a, NumberType b) { return a == b ? a : NUMBER_EITHER; }

Sym sym_bool(Lit yes, Lit no) {
  return (Sym){.kind = SYM_BOOL, .yes = yes, .no = no, .yes_at_empty = -1, .no_at_empty = -1};
}

const Lin *sym_keep(const Algebra *algebra, Lin *lin) {
  lin_normalize(lin);
  Lin *kept = lin->oom ? NULL : arena_alloc(algebra->arena, sizeof *kept);
  Term *terms = kept ? arena_array(algebra->arena, lin->count, sizeof *terms) : NULL;
  if (!terms) {
    lin_finish(lin);
    fault_oom(algebra->fault);
    return NULL;
  }
  if (lin->count) memcpy(terms, lin->terms, lin->count * sizeof *terms);
  *kept =
      (Lin){.constant = lin->constant, .rough = lin->rough, .terms = terms, .count = lin->count};
  lin_finish(lin);
  return kept;
}

static Lit any_of_runs(const Algebra *algebra, const GuardSet *group) {
  size_t total = 0, n = 0;
  for (size_t i = 0; i < group->count; i++) total += group->runs[i].count;
  Lit *lits = arena_array(algebra->arena, total, sizeof *lits);
  if (!lits) {
    fault_oom(algebra->fault);
    return LIT_FALSE;
  }
  for (size_t i = 0; i < group->count; i++) {
    memcpy(lits + n, group->runs[i].lits, group->runs[i].count * sizeof *lits);
    n += group->runs[i].count;
  }
  return model_or(algebra->model, lits, total);
}

Lit sym_group_any(const Algebra *algebra, const GuardSet *group) {
  if (group->always) return LIT_TRUE;
  if (!group->any_known) {
    /* A cache inside a value that is otherwise immutable. */
    GuardSet *cache = (GuardSet *)group;
    cache->any = any_of_runs(algebra, group);
    cache->any_known = true;
  }
  return group->any;
}

bool sym_number(const Algebra *algebra, const Value *value, double *out) {
  const int64_t most = INT64_C(1) << 53;
  *out = value_number(value);
  if (!isfinite(*out)) return fault_set(algebra->fault, FAULT_UNSUPPORTED, "a number is infinite");
  if (value->type != VALUE_INTEGER || (value->integer >= -most && value->integer <= most)) {
    return true;
  }
  return fault_set(algebra->fault, FAULT_LIMIT,
                   "the integer %lld is beyond 2^53, the largest the solver computes exactly",
                   (long long)value->integer);
}

static bool choice_to_lin(const Algebra *algebra, const Sym *sym, Sym *out) {
  Lin lin = {0};
  NumberType type = NUMBER_INTEGER;
  Lit *nulls = arena_array(algebra->arena, sym->nchoices + 1, sizeof *nulls);
  Lit *present = arena_array(algebra->arena, sym->nchoices + 1, sizeof *present);
  if (!nulls || !present) return fault_oom(algebra->fault);
  size_t nnulls = 0, npresent = 0;
  for (size_t i = 0; i < sym->nchoices; i++) {
    const Choice *choice = &sym->choices[i];
    if (value_is_null(&choice->value)) {
      nulls[nnulls++] = choice->guard;
      continue;
    }
    if (!value_is_number(&choice->value)) {
      lin_finish(&lin);
      return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                       "arithmetic on a decision whose values are text");
    }
    NumberType own = number_type(&choice->value);
    type = npresent ? number_type_of_either(type, own) : own;
    double number;
    present[npresent++] = choice->guard;
    if (!sym_number(algebra, &choice->value, &number)) {
      lin_finish(&lin);
      return false;
    }
    lin_add_lit(&lin, choice->guard, number);
  }
  const Lin *kept = sym_keep(algebra, &lin);
  if (!kept) return false;
  *out = sym_lin(kept, type);
  out->null = sym->exhaustive ? model_or(algebra->model, nulls, nnulls)
                              : lit_not(model_or(algebra->model, present, npresent));
  return true;
}

static bool const_to_lin(const Algebra *algebra, const Value *value, Sym *out) {
  Lin *lin = arena_alloc(algebra->arena, sizeof *lin);
  if (!lin) return fault_oom(algebra->fault);
  if (!sym_number(algebra, value, &lin->constant)) return false;
  *out = sym_lin(lin, number_type(value));
  if (value_is_null(value)) out->null = LIT_TRUE;
  return true;
}

bool sym_to_lin(const Algebra *algebra, const Sym *sym, Sym *out) {
  switch (sym->kind) {
  case SYM_LIN:
    *out = *sym;
    return true;
  case SYM_CONST:
    return const_to_lin(algebra, &sym->value, out);
  case SYM_CHOICE:
    return choice_to_lin(algebra, sym, out);
  case SYM_RATIO:
    return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                     "avg() over a number of rows that depends on decisions can only be compared "
                     "with a constant");
  case SYM_BOOL:
    break;
  }
  Sym truth;
  if (!sym_to_bool(algebra, sym, &truth)) return false;
  Lin lin = {0};
  lin_add_lit(&lin, truth.yes, 1);
  const Lin *kept = sym_keep(algebra, &lin);
  if (!kept) return false;
  *out = sym_lin(kept, NUMBER_INTEGER);
  if (truth.yes != lit_not(truth.no)) {
    out->null = lit_not(model_or(algebra->model, (Lit[]){truth.yes, truth.no}, 2));
  }
  if (truth.group && truth.yes_at_empty >= 0) {
    out->group = truth.group;
    out->at_empty = truth.yes_at_empty;
    out->null_if_empty = false; /* already part of out->null */
  }
  return true;
}

/* Guards of the choices whose value is true, and of those whose value is false. */
static bool choice_to_bool(const Algebra *algebra, const Sym *sym, Sym *out) {
  Lit *yes = arena_array(algebra->arena, sym->nchoices + 1, sizeof *yes);
  Lit *no = arena_array(algebra->arena, sym->nchoices + 1, sizeof *no);
  if (!yes || !no) return fault_oom(algebra->fault);
  size_t nyes = 0, nno = 0;
  for (size_t i = 0; i < sym->nchoices; i++) {
    int truth = value_truth(&sym->choices[i].value);
    if (truth > 0) yes[nyes++] = sym->choices[i].guard;
    if (truth == 0) no[nno++] = sym->choices[i].guard;
  }
  bool total = sym->exhaustive && nyes + nno == sym->nchoices;
  if (total && nyes <= nno) {
    Lit lit = model_or(algebra->model, yes, nyes);
    *out = sym_bool(lit, lit_not(lit));
  } else {
    Lit lit = model_or(algebra->model, no, nno);
    *out = sym_bool(total ? lit_not(lit) : model_or(algebra->model, yes, nyes), lit);
  }
  return true;
}

/* The literals of left = right over two choices: some key is taken by both. */
static bool pair_to_bool(const Algebra *algebra, const Sym *sym, Sym *out) {
  const Sym *a = sym->left, *b = sym->right;
  ChoiceKeys keys;
  Lit null_a, null_b;
  if (!sym_choice_keys(algebra, a, b, &keys)) return false;
  if (!sym_null_lit(algebra, a, &null_a) || !sym_null_lit(algebra, b, &null_b)) return false;
  size_t most = a->nchoices > b->nchoices ? a->nchoices : b->nchoices;
  Lit *both = arena_array(algebra->arena, (size_t)keys.count + 1, sizeof *both);
  Lit *side = arena_array(algebra->arena, most + 1, sizeof *side);
  int *next_a = arena_array(algebra->arena, a->nchoices + 1, sizeof *next_a);
  int *next_b = arena_array(algebra->arena, b->nchoices + 1, sizeof *next_b);
  int *first = arena_array(algebra->arena, (size_t)keys.count * 2 + 1, sizeof *first);
  if (!both || !side || !next_a || !next_b || !first) return fault_oom(algebra->fault);
  /* Chains of the choices with the same key, so that the whole is linear. */
  for (int k = 0; k < keys.count * 2; k++) first[k] = -1;
  for (size_t i = 0; i < a->nchoices; i++) {
    if (keys.left[i] < 0) continue;
    next_a[i] = first[keys.left[i]];
    first[keys.left[i]] = (int)i;
  }
  for (size_t i = 0; i < b->nchoices; i++) {
    if (keys.right[i] < 0) continue;
    next_b[i] = first[keys.count + keys.right[i]];
    first[keys.count + keys.right[i]] = (int)i;
  }
  size_t nboth = 0;
  for (int k = 0; k < keys.count; k++) {
    if (first[k] < 0 || first[keys.count + k] < 0) continue;
    Lit pair[2];
    size_t n = 0;
    for (int i = first[k]; i >= 0; i = next_a[i]) side[n++] = a->choices[i].guard;
    pair[0] = model_or(algebra->model, side, n);
    n = 0;
    for (int i = first[keys.count + k]; i >= 0; i = next_b[i]) side[n++] = b->choices[i].guard;
    pair[1] = model_or(algebra->model, side, n);
    both[nboth++] = model_and(algebra->model, pair, 2);
  }
  Lit equal = model_or(algebra->model, both, nboth);
  Lit differ =
      model_and(algebra->model, (Lit[]){lit_not(equal), lit_not(null_a), lit_not(null_b)}, 3);
  *out = sym->pair_equal ? sym_bool(equal, differ) : sym_bool(differ, equal);
  return true;
}

/* A number is true when it is not 0. */
static bool lin_to_bool(const Algebra *algebra, const Sym *sym, Sym *out) {
  Sym zero = sym_const(value_integer(0));
  Comparison how = {.collation = COLLATION_BINARY};
  return sym_compare(algebra, SQL_OP_NE, sym, &zero, &how, out);
}

bool sym_to_bool(const Algebra *algebra, const Sym *sym, Sym *out) {
  switch (sym->kind) {
  case SYM_CONST: {
    int truth = value_truth(&sym->value);
    *out = sym_bool(truth == 1 ? LIT_TRUE : LIT_FALSE, truth == 0 ? LIT_TRUE : LIT_FALSE);
    out->yes_at_empty = truth == 1;
    out->no_at_empty = truth == 0;
    return true;
  }
  case SYM_BOOL:
    if (sym->left) return pair_to_bool(algebra, sym, out);
    *out = *sym;
    return true;
  case SYM_CHOICE:
    return choice_to_bool(algebra, sym, out);
  case SYM_LIN:
  case SYM_RATIO:
    return lin_to_bool(algebra, sym, out);
  }
  return false;
}

bool sym_null_lit(const Algebra *algebra, const Sym *sym, Lit *out) {
  Sym copy;
  switch (sym->kind) {
  case SYM_CONST:
    *out = value_is_null(&sym->value) ? LIT_TRUE : LIT_FALSE;
    return true;
  case SYM_LIN:
    *out = sym->null;
    if (sym->null_if_empty) {
      Lit empty = lit_not(sym_group_any(algebra, sym->group));
      *out = model_or(algebra->model, (Lit[]){sym->null, empty}, 2);
    }
    return true;
  case SYM_RATIO:
    *out = model_le(algebra->model, sym->divisor, 0);
    return true;
  case SYM_BOOL:
    if (!sym_to_bool(algebra, sym, &copy)) return false;
    *out = copy.yes == lit_not(copy.no)
               ? LIT_FALSE
               : lit_not(model_or(algebra->model, (Lit[]){copy.yes, copy.no}, 2));
    return true;
  case SYM_CHOICE:
    break;
  }
  Lit *lits = arena_array(algebra->arena, sym->nchoices + 1, sizeof *lits);
  if (!lits) return fault_oom(algebra->fault);
  size_t count = 0;
  for (size_t i = 0; i < sym->nchoices; i++) {
    if (value_is_null(&sym->choices[i].value) == sym->exhaustive) {
      lits[count++] = sym->choices[i].guard;
    }
  }
  Lit any = model_or(algebra->model, lits, count);
  *out = sym->exhaustive ? any : lit_not(any);
  return true;
}

bool sym_choice_keys(const Algebra *algebra, const Sym *a, const Sym *b, ChoiceKeys *out) {
  bool ok = false;
  Map map = {0};
  Text key = {0};
  out->count = 0;
  out->left = arena_array(algebra->arena, a->nchoices + 1, sizeof *out->left);
  out->right = arena_array(algebra->arena, b->nchoices + 1, sizeof *out->right);
  if (!out->left || !out->right) goto out;
  for (int side = 0; side < 2; side++) {
    const Sym *sym = side ? b : a;
    int *index = side ? out->right : out->left;
    for (size_t i = 0; i < sym->nchoices; i++) {
      if (value_is_null(&sym->choices[i].value)) {
        index[i] = -1;
        continue;
      }
      text_clear(&key);
      value_add_key(&key, &sym->choices[i].value, a->collation);
      bool added;
      int64_t *at = key.oom ? NULL : map_put(&map, key.data, key.length, out->count, &added);
      if (!at) goto out;
      out->count += added;
      index[i] = (int)*at;
    }
  }
  ok = true;
out:
  map_finish(&map);
  text_finish(&key);
  return ok || fault_oom(algebra->fault);
}
