/*
** What rounding may make of a sum.
**
** Plain SQLite adds 0.1, 0.2 and 0.3 in the order of its rows, the model in that of its variables:
** the results differ in the last digits, and where a bound lies between them, one says "at most"
** and the other "more". So whatever adds up numbers that are no binary fractions (or too large
** ones) carries its noise, an upper bound of that difference. Beyond it a comparison is certain;
** within it only whoever owns the numbers can tell (Judge in model.h).
*/
#include <math.h>

#include "solver/store.h"

static const double exact_to = 4503599627370496.0; /* 2^52 */

/* Adding n numbers rounds n times, each time by at most 2^-53 of the sum so far; those who differ
** have both done so. A few more for how each number came to be. */
static double rounding_of(size_t count, double size) { return 4e-16 * ((double)count + 8) * size; }

static double reach_of(const VarInfo *info) { return fmax(fabs(info->lo), fabs(info->hi)); }

static bool all_binary(const Lin *lin) {
  for (size_t i = 0; i < lin->count; i++) {
    if (!number_is_binary(lin->terms[i].coef)) return false;
  }
  return true;
}

/* Do doubles add up terms of this size, `bound` included, without rounding? */
static bool adds_exactly(const Model *model, const Lin *lin, bool integral, double bound,
                         double size) {
  if (lin->rough > 0 || !number_is_binary(bound)) return false;
  if (integral) return size < exact_to;
  int grid = all_binary(lin) ? terms_grid(model, lin->terms, lin->count, lin->constant) : -1;
  return grid >= 0 && ldexp(size, grid) < exact_to;
}

/* A tally's term is as many numbers as it has members. */
static size_t numbers_in(const Model *model, const Term *terms, size_t nterms) {
  size_t count = 0;
  for (size_t i = 0; i < nterms; i++) {
    const VarInfo *info = &model->vars[terms[i].var];
    count += info->kind == VAR_TALLY ? (size_t)info->hi : 1;
  }
  return count;
}

/* What rounding may make of a definition's value, of which `noise` is known. A comparison is true
** or false: its noise is that of the sum it compares, which makes it doubtful, never a bit off. */
static double value_noise(const Definition *def, double noise) {
  return def->kind == DEF_LE ? 0 : noise;
}

double model_noise(const Model *model, const Lin *lin, bool integral, double bound, double lo,
                   double hi) {
  if (adds_exactly(model, lin, integral, bound, fabs(lo) + fabs(hi) + fabs(bound))) return 0;
  double size = fabs(lin->constant) + fabs(bound) + lin->rough, inherited = 0;
  for (size_t i = 0; i < lin->count; i++) {
    const VarInfo *info = &model->vars[lin->terms[i].var];
    double coef = fabs(lin->terms[i].coef);
    size += coef * reach_of(info);
    if (info->kind == VAR_DERIVED) {
      const Definition *def = &model->defs[info->owner];
      inherited += coef * value_noise(def, def->noise);
    }
  }
  return rounding_of(numbers_in(model, lin->terms, lin->count), size) + inherited;
}

/* Of constant + terms at these values. */
static double noise_at(const Model *model, const Term *terms, size_t count, double size,
                       const double *values, const double *noises) {
  double inherited = 0;
  for (size_t i = 0; i < count; i++) {
    const VarInfo *info = &model->vars[terms[i].var];
    double coef = fabs(terms[i].coef);
    size += coef * fabs(values[terms[i].var]);
    if (info->kind == VAR_DERIVED) inherited += coef * noises[info->owner];
  }
  return rounding_of(numbers_in(model, terms, count), size) + inherited;
}

void model_noises(const Model *model, const double *values, double *out_noises) {
  for (size_t i = 0; i < model->ndefs; i++) {
    const Definition *def = &model->defs[i];
    out_noises[i] = value_noise(def, def->noise);
    if (def->kind != DEF_PRODUCT || def->noise == 0) continue;
    bool on = (values[lit_var(def->lit)] > 0.5) != lit_negative(def->lit);
    double own = noise_at(model, model->terms + def->span.start, def->span.count,
                          fabs(def->bound) + def->rough, values, out_noises);
    out_noises[i] = on ? fmin(own, def->noise) : 0;
  }
}

double model_noise_at(const Model *model, size_t level, const double *values,
                      const double *noises) {
  const Lin *lin = &model->goals[level].lin;
  if (model->goals[level].noise == 0) return 0;
  return noise_at(model, lin->terms, lin->count, fabs(lin->constant) + lin->rough, values, noises);
}

static bool ends_within(const Model *model, Span span, double bound, double noise,
                        const double *values) {
  double sum = terms_value(model->terms + span.start, span.count, values);
  return fabs(sum - bound) <= noise;
}

bool model_in_doubt(const Model *model, const double *values, const uint8_t *skip) {
  if (!model->rounds) return false;
  for (size_t i = 0; i < model->ndefs; i++) {
    const Definition *def = &model->defs[i];
    if (def->kind != DEF_LE || def->noise == 0) continue;
    if (ends_within(model, def->span, def->bound, def->noise, values)) return true;
  }
  for (size_t i = 0; i < model->nreqs; i++) {
    const Requirement *req = &model->reqs[i];
    if (req->slack == 0 || (skip && skip[req->tag])) continue;
    if (ends_within(model, req->span, req->bound, req->slack, values)) return true;
  }
  return false;
}
