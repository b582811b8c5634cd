/*
** Derived numbers: names for expressions, products with a literal, quotients, largest and smallest.
** The folding and sharing of definitions is define.c's.
*/
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/store.h"

static double noise_of(const Model *model, const Lin *lin, double lo, double hi) {
  return model_noise(model, lin, terms_integral(model, lin->terms, lin->count), 0, lo, hi);
}

/* A variable equal to factor * (model->scratch) under `lit`, else 0. */
static Var product_of_scratch(Model *model, Lit lit) {
  Lin *lin = &model->scratch;
  if (lit == LIT_TRUE && lin->constant == 0 && lin->count == 1 && lin->terms[0].coef == 1) {
    return lin->terms[0].var;
  }
  double lo, hi;
  span_bounds(model, lin->terms, lin->count, NULL, &lo, &hi);
  Definition def = {.kind = DEF_PRODUCT, .lit = lit, .bound = lin->constant};
  def.noise = noise_of(model, lin, lo, hi);
  if (def.noise > 0) def.rough = fmax(lin->rough, DBL_MIN);
  int grid = def.noise > 0 ? -1 : terms_grid(model, lin->terms, lin->count, lin->constant);
  lo += lin->constant;
  hi += lin->constant;
  if (lit != LIT_TRUE) {
    lo = fmin(lo, 0);
    hi = fmax(hi, 0);
  }
  size_t terms = model->nterms;
  if (!model_keep(model, &def.span)) return VAR_ONE;
  return model_intern(model, def, terms, model->nitems, lo, hi, grid);
}

/* Tallies that count the literal's choice are spelled out. */
static bool spell_for(Model *model, Lit lit) {
  const Lin *lin = &model->scratch;
  int32_t choice = model_choice_of(model, lit_var(lit));
  bool counted = false;
  for (size_t i = 0; choice >= 0 && i < lin->count && !counted; i++) {
    const VarInfo *info = &model->vars[lin->terms[i].var];
    counted = info->kind == VAR_TALLY && tally_counts(model, &model->tallies[info->owner], choice);
  }
  if (!counted) return true;
  if (!tally_spell(model)) return false;
  lin_normalize(&model->scratch);
  return true;
}

/* Given that `lit` is true: other values of its choice are 0. */
static bool assume_in_scratch(Model *model, Lit lit) {
  if (!spell_for(model, lit)) return false;
  Lin *lin = &model->scratch;
  const VarInfo *info = &model->vars[lit_var(lit)];
  size_t kept = 0;
  for (size_t i = 0; i < lin->count; i++) {
    Term term = lin->terms[i];
    const VarInfo *other = &model->vars[term.var];
    bool same_choice = info->kind == VAR_VALUE && other->kind == VAR_VALUE &&
                       other->owner == info->owner && !lit_negative(lit);
    if (term.var == lit_var(lit)) {
      if (!lit_negative(lit)) lin_add(lin, VAR_ONE, term.coef);
    } else if (!same_choice) {
      lin->terms[kept++] = term;
    }
  }
  lin->count = kept;
  return true;
}

Var model_product(Model *model, Lit lit, const Lin *lin) {
  if (!model_fold_lits(model, &lit, 1, 1)) return VAR_ONE;
  if (model->scratch.count == 0) lit = model->scratch.constant > 0.5 ? LIT_TRUE : LIT_FALSE;
  if (!model_fold(model, lin)) return VAR_ONE;
  Lin *from = &model->scratch;
  if (lit == LIT_FALSE) {
    from->count = 0;
    from->constant = from->rough = 0;
    lit = LIT_TRUE;
  }
  if (lit != LIT_TRUE && !assume_in_scratch(model, lit)) return VAR_ONE;
  if (lit != LIT_TRUE && from->count == 0) { /* a constant: the literal itself, scaled */
    double value = from->constant;
    from->constant = from->rough = 0;
    lin_add_lit(from, lit, value);
    lin_normalize(from);
    if (from->oom) {
      model_fail(model, FAULT_NOMEM, NULL);
      return VAR_ONE;
    }
    lit = LIT_TRUE;
  }
  return product_of_scratch(model, lit);
}

Var model_quotient(Model *model, const Lin *lin, int64_t divisor) {
  if (!model_fold(model, lin)) return VAR_ONE;
  Lin *from = &model->scratch;
  bool integral =
      terms_integral(model, from->terms, from->count) && from->constant == floor(from->constant);
  if (divisor == 0 || !integral) {
    model_fail(model, FAULT_INVALID,
               divisor ? "the quotient of an expression that is not integral" : "a quotient by 0");
    return VAR_ONE;
  }
  double by = (double)divisor, lo, hi;
  if (divisor == 1 || divisor == -1) {
    lin_scale(from, by);
    return product_of_scratch(model, LIT_TRUE);
  }
  span_bounds(model, from->terms, from->count, NULL, &lo, &hi);
  double a = trunc((lo + from->constant) / by), b = trunc((hi + from->constant) / by);
  if (a == b) {
    from->count = 0;
    from->constant = a;
    return product_of_scratch(model, LIT_TRUE);
  }
  Definition def = {.kind = DEF_QUOTIENT, .bound = from->constant, .divisor = divisor};
  size_t terms = model->nterms;
  if (!model_keep(model, &def.span)) return VAR_ONE;
  return model_intern(model, def, terms, model->nitems, fmin(a, b), fmax(a, b), 0);
}

/* ---- the largest and the smallest */

typedef struct Extreme {
  bool max;
  double best;   /* what a true guard promises at least (most, for min) */
  double lo, hi; /* over all items */
  int grid;
  double noise;
} Extreme;

static bool better(const Extreme *e, double a, double b) { return e->max ? a > b : a < b; }

/* Append one item to the model unless its guard is false. */
static bool add_item(Model *model, const GuardedLin *from, Extreme *e) {
  Lit guard = from->guard;
  if (!model_fold_lits(model, &guard, 1, 1)) return false;
  if (model->scratch.count == 0) guard = model->scratch.constant > 0.5 ? LIT_TRUE : LIT_FALSE;
  if (guard == LIT_FALSE) return true;
  if (!model_fold(model, &from->lin)) return false;
  if (guard != LIT_TRUE && !assume_in_scratch(model, guard)) return false;
  Item item = {.constant = model->scratch.constant, .guard = guard};
  span_bounds(model, model->scratch.terms, model->scratch.count, NULL, &item.lo, &item.hi);
  double noise = noise_of(model, &model->scratch, item.lo, item.hi);
  item.lo += item.constant;
  item.hi += item.constant;
  if (!model_keep(model, &item.span)) return false;
  if (!array_extend(model->items, model->items_capacity, model->nitems + 1)) {
    return model_fail(model, FAULT_NOMEM, NULL);
  }
  model->items[model->nitems++] = item;
  const Term *terms = model->terms + item.span.start;
  double lo = item.lo, hi = item.hi;
  e->lo = fmin(e->lo, lo);
  e->hi = fmax(e->hi, hi);
  if (e->grid >= 0) {
    int grid = noise > 0 ? -1 : terms_grid(model, terms, item.span.count, item.constant);
    if (grid < 0 || grid > e->grid) e->grid = grid;
  }
  e->noise = fmax(e->noise, noise);
  if (guard == LIT_TRUE && better(e, e->max ? lo : hi, e->best)) e->best = e->max ? lo : hi;
  return true;
}

/* An item whose best is beaten by what another promises never decides. */
static bool dominated(const Item *item, const Extreme *e) {
  return better(e, e->best, e->max ? item->hi : item->lo);
}

static Var constant_or_copy(Model *model, const Item *item, double noise) {
  Lin *to = &model->scratch;
  to->count = 0;
  to->constant = item ? item->constant : 0;
  to->rough = rough_of_noise(noise);
  for (size_t i = 0; item && i < item->span.count; i++) {
    Term term = model->terms[item->span.start + i];
    lin_add(to, term.var, term.coef);
  }
  if (to->oom) {
    model_fail(model, FAULT_NOMEM, NULL);
    return VAR_ONE;
  }
  return product_of_scratch(model, LIT_TRUE);
}

static Var extreme(Model *model, const GuardedLin *items, size_t count, bool max) {
  if (!model_ok(model)) return VAR_ONE;
  Extreme e = {max, max ? -INFINITY : INFINITY, INFINITY, -INFINITY, 0, 0};
  size_t terms = model->nterms, first = model->nitems;
  for (size_t i = 0; i < count; i++) {
    if (!add_item(model, &items[i], &e)) return VAR_ONE;
  }
  size_t kept = first;
  for (size_t i = first; i < model->nitems; i++) {
    Item item = model->items[i];
    bool repeated = kept > first && item.guard == model->items[kept - 1].guard &&
                    item.constant == model->items[kept - 1].constant &&
                    model_same_span(model, item.span, model->items[kept - 1].span);
    if (!repeated && !dominated(&item, &e)) model->items[kept++] = item;
  }
  model->nitems = kept;
  if (kept - first <= 1) { /* alone, the guard matters not: without it the value is unspecified */
    Item only = kept > first ? model->items[first] : (Item){0};
    model->nitems = first;
    return constant_or_copy(model, kept > first ? &only : NULL, e.noise);
  }
  double lo = e.lo, hi = e.hi;
  if (isfinite(e.best)) *(max ? &lo : &hi) = e.best;
  Definition def = {.kind = max ? DEF_MAX : DEF_MIN,
                    .first_item = first,
                    .nitems = (uint32_t)(kept - first),
                    .noise = e.noise,
                    .bound = max ? lo : hi};
  return model_intern(model, def, terms, first, lo, hi, e.grid);
}

Var model_max(Model *model, const GuardedLin *items, size_t count) {
  return extreme(model, items, count, true);
}

Var model_min(Model *model, const GuardedLin *items, size_t count) {
  return extreme(model, items, count, false);
}
