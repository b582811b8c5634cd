/*
** Encoding: see encode.h.
**
** A definition becomes rows only in the directions something profits from: a maximum that is
** minimized needs "t >= each", not "t <= one of them". Bounds come from the network's bounds, so
** whatever the objective cut-off taught is in the big-Ms.
*/
#include "solver/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which directions */

/* `direction`: +1 the context gains when the expression grows, -1 when it shrinks. */
static void need_terms(Encoder *e, int32_t expr, int direction) {
  const NetExpr *from = &e->net->exprs[expr];
  for (size_t i = 0; i < from->span.count; i++) {
    Term term = e->net->terms[from->span.start + i];
    e->used[term.var] = 1;
    e->needs[term.var] |= (term.coef > 0) == (direction > 0) ? UP : DOWN;
  }
}

static void need_guard(Encoder *e, Guard guard, uint8_t needs) {
  if (guard.column < 0) return;
  if (guard.negative && (needs == UP || needs == DOWN)) needs ^= UP | DOWN;
  e->used[guard.column] = 1;
  e->needs[guard.column] |= needs;
}

bool encoder_surely(const Encoder *e, Guard guard) {
  return guard.column < 0 ||
         (guard.negative ? e->hi[guard.column] < 0.5 : e->lo[guard.column] > 0.5);
}

bool encoder_never(const Encoder *e, Guard guard) {
  return guard.column >= 0 &&
         (guard.negative ? e->lo[guard.column] > 0.5 : e->hi[guard.column] < 0.5);
}

static void need_def(Encoder *e, const NetDef *def) {
  uint8_t needs = e->needs[def->column];
  /* A guard that only ever adds a restriction wants to be false; else both directions matter. */
  bool restricts =
      needs == (def->kind == NET_MAX ? DOWN : UP) && (def->kind == NET_MAX || def->kind == NET_MIN);
  for (int32_t i = 0; i < def->nexprs; i++) {
    int32_t expr = def->first_expr + i;
    Guard guard = e->net->exprs[expr].guard;
    int sign = def->kind == NET_LE ? -1 : 1;
    /* A guard may be settled because of this very item: it must still be what it is defined as. */
    need_guard(e, guard, restricts ? DOWN : UP | DOWN);
    if (encoder_never(e, guard)) continue;
    if (def->kind == NET_QUOTIENT) {
      need_terms(e, expr, 1);
      need_terms(e, expr, -1);
      continue;
    }
    if (needs & UP) need_terms(e, expr, sign);
    if (needs & DOWN) need_terms(e, expr, -sign);
  }
}

static void find_needs(Encoder *e, int32_t goal) {
  const Net *net = e->net;
  for (size_t i = 0; i < net->nrows; i++) {
    if (!isinf(net->rows[i].hi)) need_terms(e, net->rows[i].expr, -1);
    if (!isinf(net->rows[i].lo)) need_terms(e, net->rows[i].expr, 1);
  }
  if (goal >= 0) need_terms(e, goal, 1);
  for (size_t i = net->ndefs; i-- > 0;) {
    const NetDef *def = &net->defs[i];
    if (e->used[def->column]) need_def(e, def);
  }
}

/* ---- columns */

static int32_t new_column(Encoder *e, double lo, double hi, bool integer, int32_t stands_for) {
  Encoding *to = e->to;
  if (e->failed ||
      !array_extend(to->net_column, to->net_column_capacity, (size_t)to->lp.ncols + 1) ||
      !lp_add_column(&to->lp, lo, hi, integer, 0)) {
    e->failed = true;
    return 0;
  }
  to->net_column[to->lp.ncols - 1] = stands_for;
  return to->lp.ncols - 1;
}

int32_t encoder_selector(Encoder *e) { return new_column(e, 0, 1, true, -1); }

static void add_columns(Encoder *e) {
  const Net *net = e->net;
  for (int32_t c = 0; c < net->ncols; c++) {
    bool meet = e->lo[c] == e->hi[c] && (!e->keep || e->keep[c] == e->lo[c]);
    e->to->fixed[c] = e->lo[c];
    e->to->lp_column[c] = -1;
    if (meet || (c >= net->nprimary && !e->used[c])) continue;
    bool integer = net->integer[c] && (c < net->nprimary || net->defs[net->def[c]].kind == NET_LE ||
                                       net->defs[net->def[c]].kind == NET_QUOTIENT);
    e->to->lp_column[c] = new_column(e, e->lo[c], e->hi[c], integer, c);
  }
}

/* ---- rows */

void encoder_put(Encoder *e, int32_t lp_column, double coef) {
  if (coef == 0) return;
  if (!array_extend(e->row, e->capacity, e->count + 1)) {
    e->failed = true;
    return;
  }
  e->row[e->count++] = (Term){lp_column, coef};
}

void encoder_put_column(Encoder *e, int32_t c, double coef) {
  if (e->to->lp_column[c] < 0) {
    e->constant += coef * e->to->fixed[c];
  } else {
    encoder_put(e, e->to->lp_column[c], coef);
  }
}

/* coef * [guard holds] */
void encoder_put_guard(Encoder *e, Guard guard, double coef) {
  if (guard.column < 0 || guard.negative) e->constant += coef;
  if (guard.column >= 0) encoder_put_column(e, guard.column, guard.negative ? -coef : coef);
}

void encoder_put_expr(Encoder *e, int32_t expr, double factor) {
  const NetExpr *from = &e->net->exprs[expr];
  e->constant += factor * from->constant;
  for (size_t i = 0; i < from->span.count; i++) {
    Term term = e->net->terms[from->span.start + i];
    encoder_put_column(e, term.var, factor * term.coef);
  }
}

void encoder_begin(Encoder *e) {
  e->count = 0;
  e->constant = e->noise = 0;
}

static int by_column(const void *a, const void *b) {
  int32_t x = ((const Term *)a)->var, y = ((const Term *)b)->var;
  return x < y ? -1 : x > y;
}

/* A column may have come in twice (as a guard and within the expression it guards). */
static void merge_row(Encoder *e) {
  bool sorted = true;
  for (size_t i = 1; i < e->count; i++) sorted = sorted && e->row[i - 1].var < e->row[i].var;
  if (sorted) return;
  qsort(e->row, e->count, sizeof *e->row, by_column);
  size_t kept = 0;
  for (size_t i = 0; i < e->count; i++) {
    if (kept && e->row[kept - 1].var == e->row[i].var) {
      e->row[kept - 1].coef += e->row[i].coef;
    } else {
      e->row[kept++] = e->row[i];
    }
  }
  e->count = kept;
}

/* The largest number that the row adds up or compares with. */
static double row_size(const Encoder *e, double lo, double hi) {
  double size = fmax(isinf(lo) ? 0 : fabs(lo), isinf(hi) ? 0 : fabs(hi));
  const Lp *lp = &e->to->lp;
  for (size_t i = 0; i < e->count; i++) {
    Term term = e->row[i];
    double reach = fmax(fabs(lp->col_lo[term.var]), fabs(lp->col_hi[term.var]));
    size = fmax(size, fabs(term.coef) * reach);
  }
  return size;
}

/* How far outside the bounds a true answer may seem to be: where large numbers have cancelled,
** their rounding is much beside what is left, and more than the solver's tolerance; with large
** numbers in the row, what the solver would still see as a difference. */
static double allowance(const Encoder *e, double lo, double hi) {
  double size = row_size(e, lo, hi), more = 0;
  if (e->edge != EDGE_INSIDE && e->noise > 1e-8 * size) more = e->noise;
  if (e->edge == EDGE_OUTSIDE && size > 4096) more = fmax(more, 1e-6 * size);
  return more;
}

/* Emit lo <= row <= hi. Rows of integers get integer bounds; others are scaled by a power of two,
** so that memory in bytes and cores in ones stand in comparable rows, without rounding. */
void encoder_emit(Encoder *e, double lo, double hi) {
  Lp *lp = &e->to->lp;
  if (e->failed) return;
  merge_row(e);
  lo -= e->constant;
  hi -= e->constant;
  bool integral = true;
  double largest = 0;
  for (size_t i = 0; i < e->count; i++) {
    double coef = e->row[i].coef;
    integral = integral && lp->integer[e->row[i].var] && coef == floor(coef);
    largest = fmax(largest, fabs(coef));
  }
  if (integral && !isinf(lo)) lo = ceil(lo - e->noise - 1e-6);
  if (integral && !isinf(hi)) hi = floor(hi + e->noise + 1e-6);
  if (lo > hi) lo = hi = (lo + hi) / 2; /* rounding of a row that is an equation of reals */
  double more = allowance(e, lo, hi);
  lo -= more;
  hi += more;
  int exponent = 0;
  if (largest > 0) frexp(largest, &exponent);
  if (exponent > 4 || exponent < -2) {
    for (size_t i = 0; i < e->count; i++) e->row[i].coef = ldexp(e->row[i].coef, -exponent);
    lo = ldexp(lo, -exponent);
    hi = ldexp(hi, -exponent);
  }
  if (!lp_add_row(lp, e->row, e->count, lo, hi)) e->failed = true;
}

static void emit_groups(Encoder *e) {
  const Net *net = e->net;
  for (int32_t g = 0; g < net->ngroups; g++) {
    const NetGroup *group = &net->groups[g];
    if (!group->count) continue;
    encoder_begin(e);
    for (int32_t c = group->first; c < group->first + group->count; c++)
      encoder_put_column(e, c, 1);
    if (e->count) encoder_emit(e, group->size, group->size);
  }
}

/* More than the solver's relative tolerance; nothing for small integers, which round safely. */
static double margin_of(double bound) { return isinf(bound) ? 0 : 2e-6 * fabs(bound); }

static void emit_rows(Encoder *e) {
  const Net *net = e->net;
  for (size_t i = 0; i < net->nrows; i++) {
    const NetRow *row = &net->rows[i];
    double lo, hi;
    net_expr_bounds(net, row->expr, e->lo, e->hi, &lo, &hi);
    double low = lo >= row->lo ? -INFINITY : row->lo, high = hi <= row->hi ? INFINITY : row->hi;
    if (isinf(low) && isinf(high)) continue;
    if (e->edge == EDGE_INSIDE && row->lo != row->hi) {
      low += margin_of(low);
      high -= margin_of(high);
    }
    encoder_begin(e);
    encoder_put_expr(e, row->expr, 1);
    e->noise = net->exprs[row->expr].noise;
    encoder_emit(e, low, high);
  }
}

static void set_goal(Encoder *e, int32_t goal) {
  const Net *net = e->net;
  Lp *lp = &e->to->lp;
  const NetExpr *from = &net->exprs[goal];
  lp->offset = -from->constant;
  for (size_t i = 0; i < from->span.count; i++) {
    Term term = net->terms[from->span.start + i];
    int32_t j = e->to->lp_column[term.var];
    if (j >= 0) {
      lp->cost[j] -= term.coef;
    } else {
      lp->offset -= term.coef * e->to->fixed[term.var];
    }
  }
}

bool encode(const Net *net, const double *lo, const double *hi, int32_t goal, const double *keep,
            EncodeEdge edge, Encoding *out, Fault *fault) {
  size_t n = (size_t)net->ncols + 1;
  *out = (Encoding){.net = net};
  Encoder e = {.to = out, .net = net, .lo = lo, .hi = hi, .keep = keep, .edge = edge};
  out->lp_column = malloc(n * sizeof *out->lp_column);
  out->fixed = malloc(n * sizeof *out->fixed);
  e.needs = calloc(n, 1);
  e.used = calloc(n, 1);
  e.failed = !out->lp_column || !out->fixed || !e.needs || !e.used;
  if (!e.failed) {
    find_needs(&e, goal);
    add_columns(&e);
    emit_groups(&e);
    emit_rows(&e);
    encoder_defs(&e);
  }
  if (!e.failed && goal >= 0) set_goal(&e, goal);
  free(e.needs);
  free(e.used);
  free(e.row);
  if (!e.failed) return true;
  encode_finish(out);
  return fault_oom(fault);
}

void encode_finish(Encoding *encoding) {
  lp_finish(&encoding->lp);
  free(encoding->lp_column);
  free(encoding->fixed);
  free(encoding->net_column);
  *encoding = (Encoding){0};
}

/* ---- points */

void encode_point(const Encoding *encoding, const double *columns, double *x) {
  for (int32_t j = 0; j < encoding->lp.ncols; j++) {
    int32_t c = encoding->net_column[j];
    x[j] = c >= 0 ? columns[c] : 0;
  }
}

void encode_read(const Encoding *encoding, const double *x, const double *lo, const double *hi,
                 double *columns) {
  const Net *net = encoding->net;
  for (int32_t c = 0; c < net->nprimary; c++) {
    int32_t j = encoding->lp_column[c];
    double value = j >= 0 ? x[j] : encoding->fixed[c];
    if (net->integer[c]) value = round(value);
    columns[c] = fmin(fmax(value, lo[c]), hi[c]);
  }
}
