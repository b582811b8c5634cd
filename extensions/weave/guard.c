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

Var guard_tally(Compiler *compiler, const Guard *guard) {
  Tallied *tallied = guard->tallied;
  if (!tallied || guard->none_of) return VAR_ONE;
  if (tallied->first == VAR_ONE) {
    tallied->first = model_tally(compiler->model, tallied->choices, tallied->count);
  }
  return tallied->first == VAR_ONE ? VAR_ONE : tallied->first + guard->value;
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

/* The choices of a class's rows, and their tally. */
static Tallied *tallied_class(Block *block, Feed *feed, uint32_t class, const Decision *decision) {
  Arena *arena = &block->compiler->arena;
  uint32_t from = feed->class_first[class], n = feed->class_first[class + 1] - from;
  if (!feed->tallied) feed->tallied = arena_array(arena, feed->nclasses, sizeof *feed->tallied);
  if (!feed->tallied || feed->tallied[class]) return feed->tallied ? feed->tallied[class] : NULL;
  Tallied *tallied = arena_alloc(arena, sizeof *tallied);
  Var *choices = arena_array(arena, n, sizeof *choices);
  if (!tallied || !choices) return NULL;
  for (uint32_t i = 0; i < n; i++) choices[i] = decision->first[feed->class_rows[from + i]];
  *tallied = (Tallied){.choices = choices, .count = n};
  return feed->tallied[class] = tallied;
}

bool guard_of_class(Block *block, Feed *feed, sqlite3_stmt *query, uint32_t class, Guard *out) {
  Compiler *compiler = block->compiler;
  uint32_t from = feed->class_first[class], n = feed->class_first[class + 1] - from;
  int expanded = 0;
  *out = guard_true();
  for (int c = 0; c < feed->ncells; c++) expanded += feed->cells[c].expanded;
  if (!expanded && n == 1) return true;
  Lit *lits = arena_array(&compiler->arena, n, sizeof *lits);
  if (!lits) return fault_oom(compiler->fault);
  for (uint32_t i = 0; i < n; i++) lits[i] = LIT_TRUE;
  *out = (Guard){.lits = lits, .count = n};
  for (int c = 0; c < feed->ncells; c++) {
    const Cell *cell = &feed->cells[c];
    int k = cell->expanded ? sqlite3_column_int(query, cell->out) : -1;
    if (k < 0) continue;
    for (uint32_t i = 0; i < n; i++) {
      Lit lit = lit_of(cell->decision->first[feed->class_rows[from + i]] + k);
      lits[i] = guard_both(compiler, lits[i], lit);
    }
    out->value = k;
    if (expanded > 1 || n == 1) continue;
    if (!(out->tallied = tallied_class(block, feed, class, cell->decision))) {
      return fault_oom(compiler->fault);
    }
  }
  return true;
}
