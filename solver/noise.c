/*
** What rounding may make of a sum.
**
** Plain SQLite adds 0.1, 0.2 and 0.3 in the order of its rows, the model in that of its variables:
** the results differ in the last digits, and where a bound lies between them, one says "at most"
*and
** the other "more". So whatever adds up numbers that are no binary fractions (or too large ones)
** carries its noise, an upper bound of that difference. Beyond it a comparison is certain; within
*it
** only whoever owns the numbers can tell (Judge in model.h).
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

double model_noise(const Model *model, const Lin *lin, bool integral, double bound, double lo,
                   double hi) {
  if (adds_exactly(model, lin, integral, bound, fabs(lo) + fabs(hi) + fabs(bound))) return 0;
  double size = fabs(lin->constant) + fabs(bound) + lin->rough, inherited = 0;
  for (size_t i = 0; i < lin->count; i++) {
    const VarInfo *info = &model->vars[lin->terms[i].var];
    double coef = fabs(lin->terms[i].coef);
    size += coef * reach_of(info);
    if (info->kind == VAR_DERIVED) inherited += coef * model->defs[info->owner].noise;
  }
  return rounding_of(lin->count, size) + inherited;
}
