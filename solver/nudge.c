/*
** An answer of the linear solver that misses by its tolerance, put right.
**
** The simplex ends at corners: x = 0.8181818 where 1.1 x <= 0.9. Rounded to a double that is a hair
** too much or too little, and SQLite looks at hairs. Where some number is a REAL, moving it by a
** few units of rounding brings the row to its side of the bound; an equation is met as well as
** doubles can, and then it is the judge who says whether they can.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/job.h"

enum { PASSES = 6, TRIES = 8 };

/* The REAL that moves the row most; -1: it has none. */
static int32_t movable_column(const Net *net, const NetExpr *e, double *out_coef) {
  int32_t best = -1;
  *out_coef = 0;
  for (size_t i = 0; i < e->span.count; i++) {
    Term term = net->terms[e->span.start + i];
    bool movable = term.var < net->nprimary && !net->integer[term.var];
    if (!movable || fabs(term.coef) <= fabs(*out_coef)) continue;
    best = term.var;
    *out_coef = term.coef;
  }
  return best;
}

/* Where a row that ends near a bound ought to end, so many times its noise inside; its value when
** all is well. */
static double wanted(const Net *net, size_t i, double value, double times) {
  const NetRow *row = &net->rows[i];
  double near = 1e-5 * (1 + fabs(value)), clear = times * row->slack;
  if (fabs(value - row->hi) <= near && net_is_equation(net, i)) return row->hi;
  if (value > row->hi - row->slack && value - row->hi <= near) return row->hi - clear;
  if (value < row->lo + row->slack && row->lo - value <= near) return row->lo + clear;
  return value;
}

static double within(const Job *job, int32_t column, double value) {
  const VarInfo *info = &job->model->vars[job->net.var[column]];
  return fmin(fmax(value, info->lo), info->hi);
}

static bool has_reals(const Net *net) {
  for (int32_t c = 0; c < net->nprimary; c++) {
    if (!net->integer[c]) return true;
  }
  return false;
}

/* One pass over the rows; returns whether something moved. */
static bool move_rows(const Job *job, double *columns, double times) {
  const Net *net = &job->net;
  bool moved = false;
  for (size_t i = 0; i < net->nrows; i++) {
    const NetRow *row = &net->rows[i];
    double value = net_expr_value(net, row->expr, columns), to = wanted(net, i, value, times), coef;
    if (to == value) continue;
    int32_t c = movable_column(net, &net->exprs[row->expr], &coef);
    if (c < 0) continue;
    double before = columns[c];
    columns[c] = within(job, c, before + (to - value) / coef);
    moved = moved || columns[c] != before;
  }
  return moved;
}

static bool nudge_by(Job *job, const double *from, double *columns, double times) {
  const Net *net = &job->net;
  for (int32_t c = 0; c < net->nprimary; c++) {
    columns[c] = net->integer[c] ? from[c] : within(job, c, from[c]);
  }
  for (int pass = 0; pass < PASSES; pass++) {
    net_evaluate(net, columns);
    if (!move_rows(job, columns, times)) break;
  }
  return job_offer(job, columns);
}

/* An equation that doubles do not meet from here they may meet from a little farther off. */
bool job_nudge(Job *job, double *columns) {
  size_t bytes = ((size_t)job->net.ncols + 1) * sizeof *columns;
  double *from = has_reals(&job->net) ? malloc(bytes) : NULL;
  bool kept = false;
  if (!from) return false;
  memcpy(from, columns, bytes);
  for (int i = 0; i < TRIES && !kept; i++) kept = nudge_by(job, from, columns, 2 + i);
  free(from);
  return kept;
}
