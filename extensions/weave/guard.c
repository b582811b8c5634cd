/*
** The presence of tuples, as literals. See block.h.
*/
#include "extensions/weave/block.h"

Guard guard_true(void) {
  static const Lit always = LIT_TRUE;
  return (Guard){.lits = &always, .count = 1};
}

bool guard_is_true(const Guard *guard) {
  return guard->count == 1 && !guard->none_of && guard->lits[0] == LIT_TRUE;
}

uint32_t guard_copies(const Guard *guard) { return guard->none_of ? 1 : guard->count; }

Lit guard_literal(Compiler *compiler, const Guard *guard, uint32_t i) {
  if (!guard->none_of) return guard->lits[i];
  return lit_not(model_or(compiler->model, guard->lits, guard->count));
}

/* Both at once; two values of one decision exclude each other. */
Lit guard_both(Compiler *compiler, Lit a, Lit b) {
  if (a == b || b == LIT_TRUE) return a;
  if (a == LIT_TRUE) return b;
  int32_t choice = model_choice_of(compiler->model, lit_var(a));
  if (!lit_negative(a) && !lit_negative(b) && choice >= 0 &&
      choice == model_choice_of(compiler->model, lit_var(b))) {
    return LIT_FALSE;
  }
  return model_and(compiler->model, (Lit[]){a, b}, 2);
}

bool guard_cross(Compiler *compiler, const Guard *a, const Guard *b, Guard *out) {
  if (guard_is_true(a)) {
    *out = *b;
    return true;
  }
  if (guard_is_true(b)) {
    *out = *a;
    return true;
  }
  uint32_t na = guard_copies(a), nb = guard_copies(b), n = 0;
  if (nb && na > MAX_TUPLES / nb) {
    return fault_set(compiler->fault, FAULT_LIMIT, "%u x %u combinations of rows; the limit is %d",
                     na, nb, MAX_TUPLES);
  }
  Lit *lits = arena_array(&compiler->arena, (size_t)na * nb, sizeof *lits);
  if (!lits) return fault_oom(compiler->fault);
  for (uint32_t i = 0; i < na; i++) {
    Lit left = guard_literal(compiler, a, i);
    for (uint32_t j = 0; j < nb; j++) {
      Lit lit = guard_both(compiler, left, guard_literal(compiler, b, j));
      if (lit != LIT_FALSE) lits[n++] = lit;
    }
  }
  *out = (Guard){.lits = lits, .count = n};
  return true;
}

bool guard_of_literal(Compiler *compiler, Lit lit, Guard *out) {
  Lit *lits = arena_array(&compiler->arena, 1, sizeof *lits);
  if (!lits) return fault_oom(compiler->fault);
  lits[0] = lit;
  *out = (Guard){.lits = lits, .count = lit == LIT_FALSE ? 0 : 1};
  return true;
}
