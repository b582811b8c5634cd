/*
** Derived variables: folded where the answer is known, shared where the definition exists already.
**
** Folding is not an optimization for its own sake: a compiler that turns SQL into models makes many
** conditions over constants, and every literal that folds is a binary the linear program never
** sees.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/store.h"

/* ---- the table of definitions */

static uint64_t hash_span(const Model *model, Span span, uint64_t seed) {
  uint64_t h = seed + span.count * UINT64_C(0x9E3779B97F4A7C15);
  for (size_t i = 0; i < span.count; i++) {
    const Term *term = &model->terms[span.start + i];
    uint64_t bits;
    memcpy(&bits, &term->coef, sizeof bits);
    h = (h ^ (uint64_t)(uint32_t)term->var) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 32) ^ bits) * UINT64_C(0xc4ceb9fe1a85ec53);
    h ^= h >> 29;
  }
  return h;
}

static uint64_t hash_definition(const Model *model, const Definition *def) {
  uint64_t h = hash_bytes(&def->bound, sizeof def->bound, (uint64_t)def->kind);
  h = hash_bytes(&def->divisor, sizeof def->divisor, h ^ (uint64_t)(uint32_t)def->lit);
  h = hash_span(model, def->span, h);
  for (uint32_t i = 0; i < def->nitems; i++) {
    const Item *item = &model->items[def->first_item + i];
    h = hash_bytes(&item->constant, sizeof item->constant, h ^ (uint64_t)(uint32_t)item->guard);
    h = hash_span(model, item->span, h);
  }
  return h;
}

bool model_same_span(const Model *model, Span a, Span b) {
  if (a.count != b.count) return false;
  for (size_t i = 0; i < a.count; i++) {
    const Term *x = &model->terms[a.start + i], *y = &model->terms[b.start + i];
    if (x->var != y->var || x->coef != y->coef) return false;
  }
  return true;
}

static bool same_definition(const Model *model, const Definition *a, const Definition *b) {
  if (a->hash != b->hash || a->kind != b->kind || a->bound != b->bound || a->lit != b->lit ||
      a->divisor != b->divisor || a->nitems != b->nitems ||
      !model_same_span(model, a->span, b->span)) {
    return false;
  }
  for (uint32_t i = 0; i < a->nitems; i++) {
    const Item *x = &model->items[a->first_item + i], *y = &model->items[b->first_item + i];
    if (x->constant != y->constant || x->guard != y->guard ||
        !model_same_span(model, x->span, y->span)) {
      return false;
    }
  }
  return true;
}

static bool grow_table(Model *model) {
  if (model->ndefs < model->table_size / 2) return true;
  size_t size = model->table_size ? model->table_size * 2 : 64;
  uint32_t *table = calloc(size, sizeof *table);
  if (!table) return model_fail(model, FAULT_NOMEM, NULL);
  for (size_t i = 0; i < model->ndefs; i++) {
    size_t at = model->defs[i].hash & (size - 1);
    while (table[at]) at = (at + 1) & (size - 1);
    table[at] = (uint32_t)i + 1;
  }
  free(model->table);
  model->table = table;
  model->table_size = size;
  return true;
}

Var model_intern(Model *model, Definition def, size_t terms, size_t items, double lo, double hi,
                 int grid) {
  if (!grow_table(model)) return VAR_ONE;
  def.hash = hash_definition(model, &def);
  size_t at = def.hash & (model->table_size - 1);
  for (; model->table[at]; at = (at + 1) & (model->table_size - 1)) {
    const Definition *other = &model->defs[model->table[at] - 1];
    if (!same_definition(model, other, &def)) continue;
    if (def.noise > other->noise) model->defs[model->table[at] - 1].noise = def.noise;
    if (def.rough > other->rough) model->defs[model->table[at] - 1].rough = def.rough;
    model->nterms = terms;
    model->nitems = items;
    return other->var;
  }
  if (!array_grow(model->defs, model->defs_capacity, model->ndefs + 1)) {
    model_fail(model, FAULT_NOMEM, NULL);
    return VAR_ONE;
  }
  if (!isfinite(lo) || !isfinite(hi)) {
    model_fail(model, FAULT_INVALID, "numbers overflow: an expression may be beyond 1.8e308");
    return VAR_ONE;
  }
  def.var = model_new_var(model, VAR_DERIVED, lo, hi, grid, (int32_t)model->ndefs);
  if (def.var == VAR_ONE) return VAR_ONE;
  if (model->ndefs == 0) model->first_derived = def.var;
  model->table[at] = (uint32_t)model->ndefs + 1;
  model->defs[model->ndefs++] = def;
  return def.var;
}

/* ---- and, or */

/* Members of one choice in model->scratch, terms from..to: what an AND of them amounts to.
** Returns the number of terms left at `from`, or -1 when it is false. */
static int fold_choice_run(Model *model, const Choice *choice, size_t from, size_t to) {
  Term *terms = model->scratch.terms;
  size_t positive = 0, count = to - from;
  Term chosen = {0};
  for (size_t i = from; i < to; i++) {
    if (terms[i].coef <= 0) continue;
    positive++;
    chosen = terms[i];
  }
  if (positive > 1) return -1;
  if (positive == 1) { /* implies the negations of the other values */
    terms[from] = chosen;
    return 1;
  }
  if (count == (size_t)choice->count) return -1;
  if (count + 1 == (size_t)choice->count) { /* all values but one are excluded */
    Var left = choice->first;
    for (size_t i = from; i < to && terms[i].var == left; i++) left++;
    terms[from] = (Term){left, 1};
    return 1;
  }
  return (int)count;
}

/* model->scratch: sorted terms +1 / -1 for literals. False when the AND is false. */
static bool fold_and_members(Model *model) {
  Lin *lin = &model->scratch;
  size_t kept = 0;
  for (size_t i = 0; i < lin->count;) {
    const VarInfo *info = &model->vars[lin->terms[i].var];
    size_t end = i + 1;
    int left = 1;
    if (info->kind == VAR_VALUE) {
      while (end < lin->count && model->vars[lin->terms[end].var].kind == VAR_VALUE &&
             model->vars[lin->terms[end].var].owner == info->owner) {
        end++;
      }
      left = fold_choice_run(model, &model->choices[info->owner], i, end);
      if (left < 0) return false;
    }
    memmove(lin->terms + kept, lin->terms + i, (size_t)left * sizeof *lin->terms);
    kept += (size_t)left;
    i = end;
  }
  lin->count = kept;
  return true;
}

/* The AND of the literals in model->scratch given as coefficients +1 / -1. */
static Lit and_of_scratch(Model *model) {
  if (!fold_and_members(model)) return LIT_FALSE;
  Lin *lin = &model->scratch;
  if (lin->count == 0) return LIT_TRUE;
  if (lin->count == 1) {
    Lit lit = lit_of(lin->terms[0].var);
    return lin->terms[0].coef > 0 ? lit : lit_not(lit);
  }
  size_t terms = model->nterms;
  Definition def = {.kind = DEF_AND};
  if (!model_keep(model, &def.span)) return LIT_FALSE;
  Var var = model_intern(model, def, terms, model->nitems, 0, 1, 0);
  return var == VAR_ONE ? LIT_FALSE : lit_of(var);
}

/* The same, where a variable may occur several times, in any order. */
static Lit and_of_signs(Model *model) {
  Lin *lin = &model->scratch;
  /* Merging adds up signs: x and not x cancel, so count each variable's occurrences first. */
  size_t before = lin->count;
  lin_normalize(lin);
  double total = 0;
  for (size_t i = 0; i < lin->count; i++) total += fabs(lin->terms[i].coef);
  if (total != (double)before) return LIT_FALSE;
  for (size_t i = 0; i < lin->count; i++) lin->terms[i].coef = lin->terms[i].coef > 0 ? 1 : -1;
  return and_of_scratch(model);
}

/* The AND of the literals, each negated first when `flip` is 1. */
static Lit and_of(Model *model, const Lit *lits, size_t count, Lit flip) {
  Lin *lin = &model->scratch;
  if (!model_ok(model)) return LIT_FALSE;
  lin->count = 0;
  lin->constant = 0;
  for (size_t i = 0; i < count; i++) {
    Lit lit = lits[i] ^ flip;
    if (lits[i] < 0 || (size_t)lit_var(lit) >= model->nvars) {
      model_fail(model, FAULT_INVALID, "a literal of no variable");
      return LIT_FALSE;
    }
    const VarInfo *info = &model->vars[lit_var(lit)];
    if (!info->integral || info->lo < 0 || info->hi > 1) {
      model_fail(model, FAULT_INVALID, "a literal of a variable that is not 0 or 1");
      return LIT_FALSE;
    }
    if (info->lo == info->hi) {
      if ((info->lo > 0.5) == lit_negative(lit)) return LIT_FALSE;
      continue;
    }
    /* 3 apart, so that a literal, its repetition and its negation stay tell-apart when merged. */
    lin_add(lin, lit_var(lit), lit_negative(lit) ? -1.0 : 1.0);
  }
  if (lin->oom) {
    lin->oom = false;
    model_fail(model, FAULT_NOMEM, NULL);
    return LIT_FALSE;
  }
  return and_of_signs(model);
}

Lit model_and(Model *model, const Lit *lits, size_t count) { return and_of(model, lits, count, 0); }

Lit model_or(Model *model, const Lit *lits, size_t count) {
  Lit none = and_of(model, lits, count, 1);
  return model_ok(model) ? lit_not(none) : LIT_FALSE;
}

/* ---- comparison */

/* Integer terms: divide by the greatest common divisor, first coefficient positive, so that equal
** comparisons look equal. Returns whether the comparison was turned around. */
static bool canonical_le(Lin *lin, double *bound) {
  double gcd = terms_gcd(lin->terms, lin->count);
  bool flip = lin->terms[0].coef < 0;
  for (size_t i = 0; i < lin->count; i++) lin->terms[i].coef /= flip ? -gcd : gcd;
  *bound = floor(*bound / gcd);
  if (flip) *bound = -*bound - 1; /* -L <= b  is  not (L <= -b - 1) */
  return flip;
}

/* A comparison of 0/1 variables, and tallies of them, that holds only at one extreme is an AND. */
static bool le_as_and(Model *model, double bound, Lit *out) {
  Lin *lin = &model->scratch;
  double least = INFINITY, lo = 0, hi = 0;
  for (size_t i = 0; i < lin->count; i++) {
    const VarInfo *info = &model->vars[lin->terms[i].var];
    double coef = lin->terms[i].coef;
    if (!info->integral || info->lo != 0) return false;
    if (info->hi != 1 && info->kind != VAR_TALLY) return false;
    least = fmin(least, fabs(coef));
    *(coef < 0 ? &lo : &hi) += coef * info->hi;
  }
  bool at_low = bound - lo < least, at_high = hi - bound <= least;
  if (!at_low && !at_high) return false;
  for (size_t i = 0; i < lin->count; i++) {
    double coef = lin->terms[i].coef > 0 ? 1 : -1;
    lin->terms[i].coef = at_low ? -coef : coef;
  }
  Lit all = tally_spell(model) ? and_of_signs(model) : LIT_FALSE;
  *out = at_low || !model_ok(model) ? all : lit_not(all);
  return true;
}

static bool variables_integral(const Model *model, const Lin *lin) {
  for (size_t i = 0; i < lin->count; i++) {
    if (!model->vars[lin->terms[i].var].integral) return false;
  }
  return true;
}

/* Coefficients like 0.25 become integers when scaled by a power of two, without any rounding.
** Returns the factor. */
static double scale_binary(Lin *lin, double *bound) {
  double factor = 1;
  for (size_t i = 0; i < lin->count; i++) {
    double coef = lin->terms[i].coef;
    if (fabs(coef) > 1e9) return 1;
    while (coef * factor != floor(coef * factor) && factor <= 1048576) factor *= 2;
  }
  if (factor > 1048576 || factor == 1) return 1;
  for (size_t i = 0; i < lin->count; i++) lin->terms[i].coef *= factor;
  *bound *= factor;
  return factor;
}

/* Coefficients like 0.1 of integers: values are, but for rounding, multiples of this step; 0 when
** they are not. So "not <=" can be told from "<=" by much more than the noise. */
static double decimal_step(const Lin *lin) {
  for (double scale = 10; scale <= 1e6; scale *= 10) {
    double gcd = 0;
    bool fits = true;
    for (size_t i = 0; i < lin->count && fits; i++) {
      double scaled = fabs(lin->terms[i].coef) * scale, a = round(scaled);
      fits = fabs(scaled - a) <= 2e-15 * a && a < 1e12;
      while (fits && a != 0) {
        double rest = fmod(gcd, a);
        gcd = a;
        a = rest;
      }
    }
    if (fits && gcd > 0) return gcd / scale;
  }
  return 0;
}

/* Values are multiples of `unit`, give or take the noise: the largest multiple that is at most the
** bound, when it is clear which; false when the bound is one, or as good as one. */
static bool clear_multiple(double bound, double unit, double noise, double *out) {
  *out = floor((bound + noise) / unit) * unit;
  return fabs(*out) < 1e15 * unit && *out<bound - noise && * out + unit> bound + noise;
}

/* lin <= bound over model->scratch, where sums are exact. */
static Lit exact_le(Model *model, double bound, bool integral) {
  Lin *from = &model->scratch;
  bool flip = integral && canonical_le(from, &bound);
  Lit lit;
  if (!integral || !le_as_and(model, bound, &lit)) {
    size_t terms = model->nterms;
    int grid = terms_grid(model, from->terms, from->count, 0);
    if (grid > 0) bound = ldexp(floor(ldexp(bound, grid)), -grid);
    Definition def = {.kind = DEF_LE, .bound = bound, .step = ldexp(1, -grid)};
    if (!model_keep(model, &def.span)) return LIT_FALSE;
    lit = lit_of(model_intern(model, def, terms, model->nitems, 0, 1, 0));
  }
  if (!model_ok(model)) return LIT_FALSE;
  return flip ? lit_not(lit) : lit;
}

/* The same where they are not. The negation is known to be lin >= bound + step: a step of the
** numbers where they have one and the bound lies clearly within it, else less than nothing. */
static Lit rough_le(Model *model, double bound, double noise, bool discrete) {
  Lin *from = &model->scratch;
  size_t terms = model->nterms;
  double decimal = discrete ? decimal_step(from) : 0, multiple;
  Definition def = {.kind = DEF_LE, .bound = bound, .step = -noise, .noise = noise};
  if (decimal > 0 && clear_multiple(bound, decimal, noise, &multiple)) {
    def.step = multiple + decimal - bound - noise;
  }
  model->rounds = true;
  if (!model_keep(model, &def.span)) return LIT_FALSE;
  Var var = model_intern(model, def, terms, model->nitems, 0, 1, 0);
  return model_ok(model) ? lit_of(var) : LIT_FALSE;
}

Lit model_le(Model *model, const Lin *lin, double bound) {
  if (!model_fold(model, lin)) return LIT_FALSE;
  Lin *from = &model->scratch;
  bound -= from->constant;
  if (isnan(bound)) {
    model_fail(model, FAULT_INVALID, "a bound is not a number");
    return LIT_FALSE;
  }
  double lo, hi, multiple;
  span_bounds(model, from->terms, from->count, NULL, &lo, &hi);
  bool integral = terms_integral(model, from->terms, from->count);
  double noise = model_noise(model, from, integral, bound, lo, hi);
  if (hi <= bound - noise) return LIT_TRUE;
  if (lo > bound + noise) return LIT_FALSE;
  if (!isfinite(noise)) {
    model_fail(model, FAULT_INVALID, "numbers overflow: a sum may be beyond 1.8e308");
    return LIT_FALSE;
  }
  bool discrete = integral || variables_integral(model, from);
  if (discrete && !integral) {
    noise *= scale_binary(from, &bound);
    integral = terms_integral(model, from->terms, from->count);
  }
  if (noise == 0) return exact_le(model, bound, integral);
  int grid = terms_grid(model, from->terms, from->count, 0);
  if (grid >= 0 && clear_multiple(bound, ldexp(1, -grid), noise, &multiple)) {
    return exact_le(model, multiple, integral);
  }
  return rough_le(model, bound, noise, discrete);
}
