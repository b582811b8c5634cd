/*
** Encoding: see encode.h.
**
** A definition becomes rows only in the directions something profits from: a maximum that is
** minimized needs "t >= each", not "t <= one of them". Bounds come from the network's bounds, so
** whatever the objective cut-off taught is in the big-Ms.
*/
#include "solver/encode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UP = 1, DOWN = 2 }; /* the column must not exceed / not fall below its definition */

typedef struct Encoder {
  Encoding *to;
  const Net *net;
  const double *lo, *hi, *keep;
  uint8_t *needs; /* UP, DOWN per column of the network */
  uint8_t *used;
  Term *row; /* the row being built */
  size_t count, capacity;
  double constant;
  bool margin, failed;
} Encoder;

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

static bool surely(const Encoder *e, Guard guard) {
  return guard.column < 0 ||
         (guard.negative ? e->hi[guard.column] < 0.5 : e->lo[guard.column] > 0.5);
}

static bool never(const Encoder *e, Guard guard) {
  return guard.column >= 0 &&
         (guard.negative ? e->lo[guard.column] > 0.5 : e->hi[guard.column] < 0.5);
}

static void need_def(Encoder *e, const NetDef *def) {
  uint8_t needs = e->needs[def->column];
  /* A guard that only ever adds a restriction wants to be false; else both directions matter. */
  bool restricts = needs == (def->kind == NET_MAX ? DOWN : UP) &&
                   (def->kind == NET_MAX || def->kind == NET_MIN);
  for (int32_t i = 0; i < def->nexprs; i++) {
    int32_t expr = def->first_expr + i;
    Guard guard = e->net->exprs[expr].guard;
    int sign = def->kind == NET_LE ? -1 : 1;
    /* A guard may be settled because of this very item: it must still be what it is defined as. */
    need_guard(e, guard, restricts ? DOWN : UP | DOWN);
    if (never(e, guard)) continue;
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
      !array_grow(to->net_column, to->net_column_capacity, (size_t)to->lp.ncols + 1) ||
      !lp_add_column(&to->lp, lo, hi, integer, 0)) {
    e->failed = true;
    return 0;
  }
  to->net_column[to->lp.ncols - 1] = stands_for;
  return to->lp.ncols - 1;
}

static int32_t selector(Encoder *e) { return new_column(e, 0, 1, true, -1); }

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

static void put(Encoder *e, int32_t lp_column, double coef) {
  if (coef == 0) return;
  if (!array_grow(e->row, e->capacity, e->count + 1)) {
    e->failed = true;
    return;
  }
  e->row[e->count++] = (Term){lp_column, coef};
}

static void put_column(Encoder *e, int32_t c, double coef) {
  if (e->to->lp_column[c] < 0) {
    e->constant += coef * e->to->fixed[c];
  } else {
    put(e, e->to->lp_column[c], coef);
  }
}

/* coef * [guard holds] */
static void put_guard(Encoder *e, Guard guard, double coef) {
  if (guard.column < 0 || guard.negative) e->constant += coef;
  if (guard.column >= 0) put_column(e, guard.column, guard.negative ? -coef : coef);
}

static void put_expr(Encoder *e, int32_t expr, double factor) {
  const NetExpr *from = &e->net->exprs[expr];
  e->constant += factor * from->constant;
  for (size_t i = 0; i < from->span.count; i++) {
    Term term = e->net->terms[from->span.start + i];
    put_column(e, term.var, factor * term.coef);
  }
}

static void begin(Encoder *e) {
  e->count = 0;
  e->constant = 0;
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

/* Emit lo <= row <= hi. Rows of integers get integer bounds; others are scaled by a power of two,
** so that memory in bytes and cores in ones stand in comparable rows, without rounding. */
static void emit(Encoder *e, double lo, double hi) {
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
  if (integral && !isinf(lo)) lo = ceil(lo - 1e-6);
  if (integral && !isinf(hi)) hi = floor(hi + 1e-6);
  if (lo > hi) lo = hi = (lo + hi) / 2; /* rounding of a row that is an equation of reals */
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
    begin(e);
    for (int32_t c = group->first; c < group->first + group->count; c++) put_column(e, c, 1);
    if (e->count) emit(e, group->size, group->size);
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
    if (e->margin && row->lo != row->hi) {
      low += margin_of(low);
      high -= margin_of(high);
    }
    begin(e);
    put_expr(e, row->expr, 1);
    emit(e, low, high);
  }
}

/* ---- definitions */

/* One group's share of emit_forced(): terms from..to are its run. */
static void force_run(Encoder *e, const Term *terms, size_t count, double sign, Guard literal) {
  const NetGroup *group = &e->net->groups[e->net->group[terms[0].var]];
  bool others = count < (size_t)group->count; /* values outside of the expression: 0 */
  double least = others ? 0 : INFINITY, room = 0;
  for (size_t i = 0; i < count; i++) {
    if (e->hi[terms[i].var] > 0) least = fmin(least, sign * terms[i].coef);
  }
  bool inside = others && least < 0; /* all must be among the cheapest, else none among the rest */
  begin(e);
  for (size_t i = 0; i < count; i++) {
    if ((sign * terms[i].coef <= least) != inside) continue;
    put_column(e, terms[i].var, 1);
    room += e->hi[terms[i].var];
  }
  if (inside) {
    put_guard(e, literal, -group->size);
    emit(e, 0, INFINITY);
    return;
  }
  room = fmin(room, group->size);
  put_guard(e, literal, room);
  if (e->count) emit(e, -INFINITY, room);
}

/* When the literal (`column` true if `when`) holds, sign * expr sits at its least: every run of
** terms on its own, which is much tighter than one row with a big M. */
static void emit_forced(Encoder *e, const NetDef *def, double sign, bool when) {
  const Net *net = e->net;
  const NetExpr *from = &net->exprs[def->first_expr];
  const Term *terms = net->terms + from->span.start;
  Guard literal = {def->column, !when};
  for (size_t i = 0, n; i < from->span.count; i += n) {
    int32_t c = terms[i].var;
    n = 1;
    if (net->group[c] >= 0) {
      while (i + n < from->span.count && net->group[terms[i + n].var] == net->group[c]) n++;
      force_run(e, terms + i, n, sign, literal);
      continue;
    }
    double up = sign * terms[i].coef > 0 ? 1 : -1, range = e->hi[c] - e->lo[c];
    begin(e); /* |x - bound| <= range * (1 - literal) */
    put_column(e, c, up);
    put_guard(e, literal, range);
    emit(e, -INFINITY, (up > 0 ? e->lo[c] : -e->hi[c]) + range);
  }
}

/* Every column of a group may be 0, so that "at its least" means "0 but for the cheapest". */
static bool may_force(const Encoder *e, int32_t expr) {
  const Net *net = e->net;
  const NetExpr *from = &net->exprs[expr];
  for (size_t i = 0; i < from->span.count; i++) {
    int32_t c = net->terms[from->span.start + i].var;
    if (net->group[c] >= 0 && e->lo[c] > 0) return false;
  }
  return from->span.count > 1;
}

/* literal ("column true" if `when`) implies sign * expr <= bound. */
static void emit_implied(Encoder *e, const NetDef *def, double sign, double bound, bool when) {
  double lo, hi;
  net_expr_bounds(e->net, def->first_expr, e->lo, e->hi, &lo, &hi);
  double least = sign > 0 ? lo : -hi, most = sign > 0 ? hi : -lo;
  if (most <= bound) return;
  Guard literal = {def->column, !when};
  if (e->margin && def->step < 1e-5 * (1 + fabs(def->bound))) bound -= 1e-6 * (1 + fabs(bound));
  if (least == bound && !surely(e, literal) && may_force(e, def->first_expr)) {
    emit_forced(e, def, sign, when);
    return;
  }
  begin(e);
  put_expr(e, def->first_expr, sign);
  put_guard(e, literal, most - bound);
  emit(e, -INFINITY, most);
}

static void emit_le(Encoder *e, const NetDef *def, uint8_t needs) {
  if (needs & UP && e->hi[def->column] > 0.5) emit_implied(e, def, 1, def->bound, true);
  if (needs & DOWN && e->lo[def->column] < 0.5) {
    emit_implied(e, def, -1, -(def->bound + def->step), false);
  }
}

/* sign * column >= sign * item under its guard */
static void emit_above(Encoder *e, const NetDef *def, double sign) {
  double floor_ = sign > 0 ? e->lo[def->column] : -e->hi[def->column];
  for (int32_t i = 0; i < def->nexprs; i++) {
    int32_t expr = def->first_expr + i;
    Guard guard = e->net->exprs[expr].guard;
    double lo, hi;
    net_expr_bounds(e->net, expr, e->lo, e->hi, &lo, &hi);
    double most = sign > 0 ? hi : -lo;
    if (most <= floor_ || never(e, guard)) continue;
    begin(e);
    put_column(e, def->column, sign);
    put_expr(e, expr, -sign);
    if (surely(e, guard)) {
      emit(e, 0, INFINITY);
    } else { /* sign * (column - expr) + M (1 - g) >= 0 */
      double m = most - floor_;
      put_guard(e, guard, -m);
      emit(e, -m, INFINITY);
    }
  }
}

/* sign * column <= sign * one of the items whose guard holds */
static void emit_below(Encoder *e, const NetDef *def, double sign) {
  double top = sign > 0 ? e->hi[def->column] : -e->lo[def->column];
  int32_t first = e->to->lp.ncols;
  bool always = false;
  for (int32_t i = 0; i < def->nexprs; i++) {
    int32_t expr = def->first_expr + i;
    Guard guard = e->net->exprs[expr].guard;
    if (never(e, guard)) continue;
    always = always || surely(e, guard);
    int32_t chosen = selector(e);
    double lo, hi;
    net_expr_bounds(e->net, expr, e->lo, e->hi, &lo, &hi);
    double m = top - (sign > 0 ? lo : -hi);
    if (!surely(e, guard)) {
      begin(e);
      put(e, chosen, 1);
      put_guard(e, guard, -1);
      emit(e, -INFINITY, 0);
    }
    if (m <= 0) continue;
    begin(e);
    put_column(e, def->column, sign);
    put_expr(e, expr, -sign);
    put(e, chosen, m);
    emit(e, -INFINITY, m);
  }
  if (!always) { /* or none holds, and the column has its own value for that */
    int32_t none = selector(e);
    double m = top - sign * def->bound;
    begin(e);
    put_column(e, def->column, sign);
    put(e, none, m);
    emit(e, -INFINITY, sign * def->bound + m);
    for (int32_t i = 0; i < def->nexprs; i++) {
      Guard guard = e->net->exprs[def->first_expr + i].guard;
      if (never(e, guard)) continue;
      begin(e);
      put(e, none, 1);
      put_guard(e, guard, 1);
      emit(e, -INFINITY, 1);
    }
  }
  begin(e);
  for (int32_t j = first; j < e->to->lp.ncols; j++) put(e, j, 1);
  emit(e, 1, 1);
}

static void emit_extreme(Encoder *e, const NetDef *def, uint8_t needs) {
  double sign = def->kind == NET_MAX ? 1 : -1;
  uint8_t above = sign > 0 ? DOWN : UP;
  if (needs & above) emit_above(e, def, sign);
  if (needs & (above ^ (UP | DOWN))) emit_below(e, def, sign);
}

static void emit_product(Encoder *e, const NetDef *def, uint8_t needs) {
  int32_t expr = def->first_expr;
  Guard guard = e->net->exprs[expr].guard;
  double lo, hi;
  net_expr_bounds(e->net, expr, e->lo, e->hi, &lo, &hi);
  for (int side = 0; side < 2; side++) { /* UP: column <= ..., DOWN: the mirror image */
    double sign = side == 0 ? 1 : -1;
    if (!(needs & (side == 0 ? UP : DOWN))) continue;
    double least = sign > 0 ? lo : -hi, most = sign > 0 ? hi : -lo;
    begin(e); /* sign (column - expr) - least * g <= -least */
    put_column(e, def->column, sign);
    put_expr(e, expr, -sign);
    put_guard(e, guard, -least);
    emit(e, -INFINITY, -least);
    begin(e); /* sign column <= most * g */
    put_column(e, def->column, sign);
    put_guard(e, guard, -most);
    emit(e, -INFINITY, 0);
  }
}

static void emit_quotient(Encoder *e, const NetDef *def) {
  int32_t expr = def->first_expr;
  double by = fabs((double)def->divisor), sign = def->divisor > 0 ? 1 : -1, lo, hi;
  net_expr_bounds(e->net, expr, e->lo, e->hi, &lo, &hi);
  int32_t positive = -1;
  if (lo < 0 && hi > 0) {
    positive = selector(e);
    begin(e); /* expr >= lo (1 - z) */
    put_expr(e, expr, 1);
    put(e, positive, lo);
    emit(e, lo, INFINITY);
    begin(e); /* expr <= hi z */
    put_expr(e, expr, 1);
    put(e, positive, -hi);
    emit(e, -INFINITY, 0);
  }
  begin(e); /* expr - by * quotient is within by - 1 of 0, on expr's side */
  put_expr(e, expr, 1);
  put_column(e, def->column, -by * sign);
  if (positive >= 0) put(e, positive, -(by - 1));
  emit(e, positive >= 0 || hi <= 0 ? -(by - 1) : 0, positive >= 0 || hi <= 0 ? 0 : by - 1);
}

static void emit_defs(Encoder *e) {
  const Net *net = e->net;
  for (size_t i = 0; i < net->ndefs && !e->failed; i++) {
    const NetDef *def = &net->defs[i];
    uint8_t needs = e->needs[def->column];
    if (!e->used[def->column]) continue;
    switch (def->kind) {
    case NET_LE: emit_le(e, def, needs); break;
    case NET_MAX:
    case NET_MIN: emit_extreme(e, def, needs); break;
    case NET_PRODUCT: emit_product(e, def, needs); break;
    case NET_QUOTIENT: emit_quotient(e, def); break;
    }
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
            bool margin, Encoding *out, Fault *fault) {
  size_t n = (size_t)net->ncols + 1;
  *out = (Encoding){.net = net};
  Encoder e = {.to = out, .net = net, .lo = lo, .hi = hi, .keep = keep, .margin = margin};
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
    emit_defs(&e);
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
