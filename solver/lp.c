/*
** Building linear programs: see lp.h.
*/
#include "solver/lp.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* Several arrays that grow together: a failed one leaves the others merely larger. */
static bool grow_columns(Lp *lp) {
  size_t need = (size_t)lp->ncols + 1, wanted = lp->cols_capacity ? lp->cols_capacity * 2 : 64;
  if (need <= lp->cols_capacity) return true;
  if (lp->ncols == INT_MAX) return false;
  size_t a = lp->cols_capacity, b = a, c = a, d = a;
  bool ok = array_reserve(&lp->col_lo, &a, wanted, sizeof *lp->col_lo) &&
            array_reserve(&lp->col_hi, &b, wanted, sizeof *lp->col_hi) &&
            array_reserve(&lp->cost, &c, wanted, sizeof *lp->cost) &&
            array_reserve(&lp->integer, &d, wanted, sizeof *lp->integer);
  if (ok) lp->cols_capacity = wanted;
  return ok;
}

bool lp_add_column(Lp *lp, double lo, double hi, bool integer, double cost) {
  if (!grow_columns(lp)) return false;
  lp->col_lo[lp->ncols] = lo;
  lp->col_hi[lp->ncols] = hi;
  lp->integer[lp->ncols] = integer;
  lp->cost[lp->ncols] = cost;
  lp->ncols++;
  return true;
}

static bool grow_rows(Lp *lp) {
  size_t need = (size_t)lp->nrows + 2, wanted = lp->rows_capacity ? lp->rows_capacity * 2 : 64;
  if (need <= lp->rows_capacity) return true;
  if (lp->nrows >= INT_MAX - 1) return false;
  size_t a = lp->rows_capacity, b = a, c = a;
  bool ok = array_reserve(&lp->row_lo, &a, wanted, sizeof *lp->row_lo) &&
            array_reserve(&lp->row_hi, &b, wanted, sizeof *lp->row_hi) &&
            array_reserve(&lp->row_start, &c, wanted, sizeof *lp->row_start);
  if (ok) lp->rows_capacity = wanted;
  return ok;
}

bool lp_add_row(Lp *lp, const Term *terms, size_t count, double lo, double hi) {
  if (!grow_rows(lp) || lp->nterms > INT_MAX - count - 1 ||
      !array_extend(lp->terms, lp->terms_capacity, lp->nterms + count + 1)) {
    return false;
  }
  if (count) memcpy(lp->terms + lp->nterms, terms, count * sizeof *terms);
  lp->row_start[lp->nrows] = lp->nterms;
  lp->nterms += count;
  lp->row_start[lp->nrows + 1] = lp->nterms;
  lp->row_lo[lp->nrows] = lo;
  lp->row_hi[lp->nrows] = hi;
  lp->nrows++;
  return true;
}

void lp_finish(Lp *lp) {
  free(lp->col_lo);
  free(lp->col_hi);
  free(lp->cost);
  free(lp->integer);
  free(lp->row_lo);
  free(lp->row_hi);
  free(lp->row_start);
  free(lp->terms);
  *lp = (Lp){0};
}

void lp_result_finish(LpResult *result) {
  free(result->x);
  free(result->row_dual);
  free(result->basis);
  *result = (LpResult){0};
}
