/*
** The narrow door to a linear solver: a problem goes in, values come out.
**
** Nothing behind this header knows of models, and nothing before it knows of GLPK, so that another
** solver could stand beside it. Private to solver/.
*/
#ifndef TENFOLD_SOLVER_LP_H
#define TENFOLD_SOLVER_LP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/stop.h"
#include "solver/model.h"

/* Minimize offset + cost x, subject to row_lo <= A x <= row_hi, col_lo <= x <= col_hi. Row-wise:
** row i has terms row_start[i]..row_start[i+1], each column at most once. Bounds may be infinite.
*/
typedef struct Lp {
  int ncols, nrows;
  size_t cols_capacity, rows_capacity;
  double *col_lo, *col_hi, *cost;
  uint8_t *integer;
  double *row_lo, *row_hi;
  size_t *row_start; /* nrows + 1 */
  Term *terms;       /* Term.var is a column */
  size_t nterms, terms_capacity;
  double offset; /* added afterwards: tolerances are relative to what the solver computes with */
} Lp;

typedef enum LpStatus {
  LP_OPTIMAL,
  LP_FEASIBLE,   /* integer: a solution, search cut short */
  LP_INFEASIBLE, /* integer: or nothing better than the cut-off */
  LP_STOPPED,    /* a limit, nothing found */
  LP_FAILED      /* numerical trouble; `message` says what */
} LpStatus;

typedef struct LpOptions {
  bool integer;           /* branch and cut, else the relaxation */
  bool duals;             /* fill row_dual */
  double gap;             /* integer only: relative to the objective, absolute below 1 */
  double step;            /* integer only: a gap less than this, absolute, will do as well */
  double seconds;         /* <= 0: no limit but `stop` */
  int64_t max_nodes;      /* 0: no limit */
  int64_t max_iterations; /* simplex iterations, 0: no limit */
  double max_root;        /* integer: give up when the relaxation alone took longer than this many
                          ** seconds, as nodes, which cannot be interrupted, would too; 0: no
                          ** limit */
  const double *point;    /* integer: a feasible point to start from, or NULL */
  const uint8_t *basis;   /* nrows + ncols entries from an earlier LpResult, or NULL */
  /* Called on the calling thread, some time after a better integer solution was found. */
  void (*found)(void *ctx, const double *x);
  void *found_ctx;
} LpOptions;

typedef struct LpResult {
  LpStatus status;
  double *x;        /* ncols, or NULL */
  double *row_dual; /* nrows, or NULL */
  uint8_t *basis;   /* nrows + ncols; relaxation only */
  double objective;
  double bound; /* no (integer) solution is below; -infinity when unknown */
  int64_t nodes, iterations;
  char message[200];
} LpResult;

/* Solve on a thread of its own; polls `stop` here every few ms. False for memory and for defects
** the solver itself reports (an abort inside it becomes FAULT_INTERNAL). */
bool lp_solve(const Lp *lp, const LpOptions *options, Stop *stop, LpResult *out, Fault *fault);
void lp_result_finish(LpResult *result);
const char *lp_backend(void);

/* Building. Each returns false when out of memory. */
bool lp_add_column(Lp *lp, double lo, double hi, bool integer, double cost);
bool lp_add_row(Lp *lp, const Term *terms, size_t count, double lo, double hi);
void lp_finish(Lp *lp);

#endif
