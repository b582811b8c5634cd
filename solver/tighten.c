/*
** Bounds of expressions and their consequences.
**
** Everything here knows that the columns of a group add up to its size: that is what makes a bound
** on "10 * unplaced + ..." fix every unplaced column at zero at once.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/net.h"

typedef struct Bounds {
  const Net *net;
  double *lo, *hi;
  bool changed, infeasible;
} Bounds;

/* ---- bounds of an expression */

/* What a run of terms of one group adds to sign * expression at least. Two reasons, each right, the
** stronger taken: every choice costs at least the cheapest value; and every column costs at least
** what its own bounds say. */
typedef struct Run {
  size_t count;     /* terms in it */
  double least;     /* the larger of the next two */
  double by_size;   /* all choices at the least coefficient with room */
  double by_column; /* each column at its own bound */
  double price;     /* by_size: what one more choice costs */
} Run;

static Run run_of(const Net *net, const double *lo, const double *hi, const Term *terms,
                  size_t count, double sign) {
  int32_t g = net->group[terms[0].var];
  const NetGroup *group = &net->groups[g];
  Run run = {.price = INFINITY};
  double held = 0;
  for (; run.count < count && net->group[terms[run.count].var] == g; run.count++) {
    int32_t c = terms[run.count].var;
    double coef = sign * terms[run.count].coef;
    run.by_size += coef * lo[c];
    run.by_column += coef * (coef > 0 ? lo[c] : hi[c]);
    held += lo[c];
    if (hi[c] > lo[c]) run.price = fmin(run.price, coef);
  }
  if (run.count < (size_t)group->count) run.price = fmin(run.price, 0);
  if (isinf(run.price)) run.price = 0;
  if (group->size > held) run.by_size += (group->size - held) * run.price;
  run.least = fmax(run.by_size, run.by_column);
  return run;
}

static double least_value(const Net *net, const NetExpr *e, const double *lo, const double *hi,
                          double sign) {
  const Term *terms = net->terms + e->span.start;
  double sum = sign * e->constant;
  for (size_t i = 0, n; i < e->span.count; i += n) {
    if (net->group[terms[i].var] >= 0) {
      Run run = run_of(net, lo, hi, terms + i, e->span.count - i, sign);
      sum += run.least;
      n = run.count;
      continue;
    }
    double coef = sign * terms[i].coef;
    sum += coef * (coef > 0 ? lo[terms[i].var] : hi[terms[i].var]);
    n = 1;
  }
  return sum;
}

void net_expr_bounds(const Net *net, int32_t expr, const double *lo, const double *hi,
                     double *out_lo, double *out_hi) {
  *out_lo = least_value(net, &net->exprs[expr], lo, hi, 1);
  *out_hi = -least_value(net, &net->exprs[expr], lo, hi, -1);
}

/* ---- moving bounds */

static double slack_of(double value) { return 1e-9 + 1e-11 * fabs(value); }

static void move(Bounds *b, int32_t c, bool upper, double value) {
  bool integer = b->net->integer[c];
  double slack = integer ? 1e-7 : slack_of(value);
  if (integer) value = upper ? floor(value + slack) : ceil(value - slack);
  double *at = upper ? &b->hi[c] : &b->lo[c];
  /* Reals: creeping by ever smaller steps never ends, so a move must be worth it. */
  double least = integer ? 0 : fmax(slack, 1e-3 * (b->hi[c] - b->lo[c]));
  if (!integer) value += upper ? slack : -slack;
  if (!(upper ? value < *at - least : value > *at + least)) return;
  *at = value;
  b->changed = true;
  if (b->lo[c] > b->hi[c]) {
    if (integer || b->lo[c] > b->hi[c] + 1e-6 * (1 + fabs(value))) b->infeasible = true;
    *at = upper ? b->lo[c] : b->hi[c];
  }
}

/* One column of a run may exceed its least by what `room` pays for. */
static void tighten_member(Bounds *b, Term term, double sign, Run run, double room) {
  int32_t c = term.var;
  double range = b->hi[c] - b->lo[c], coef = sign * term.coef, extra = coef - run.price;
  double by_size = room + (run.least - run.by_size), by_column = room + (run.least - run.by_column);
  if (range <= 0) return;
  if (extra > 0 && extra * range > by_size) move(b, c, true, b->lo[c] + by_size / extra);
  if (coef > 0 && coef * range > by_column) move(b, c, true, b->lo[c] + by_column / coef);
  if (coef < 0 && -coef * range > by_column) move(b, c, false, b->hi[c] + by_column / coef);
}

/* The columns of a run's group that the expression does not read: each adds 0 where its choice
** could have taken the cheapest value. That "all are placed" leaves nobody unplaced is seen
** here. */
static void tighten_outside(Bounds *b, const Term *terms, Run run, double room) {
  const Net *net = b->net;
  const NetGroup *group = &net->groups[net->group[terms[0].var]];
  double by_size = room + (run.least - run.by_size), extra = -run.price;
  if (run.count >= (size_t)group->count || extra <= 0 || extra * group->size <= by_size) return;
  size_t next = 0;
  for (int32_t c = group->first; c < group->first + group->count && !b->infeasible; c++) {
    if (next < run.count && terms[next].var == c) {
      next++;
    } else if (extra * (b->hi[c] - b->lo[c]) > by_size) {
      move(b, c, true, b->lo[c] + by_size / extra);
    }
  }
}

/* sign * expr <= bound (the expr's constant included). */
static void at_most(Bounds *b, int32_t expr, double sign, double bound) {
  const Net *net = b->net;
  const NetExpr *e = &net->exprs[expr];
  const Term *terms = net->terms + e->span.start;
  double least = least_value(net, e, b->lo, b->hi, sign);
  if (e->exact && !isinf(bound)) bound = floor(bound + e->noise + 1e-6);
  double room = bound - least + e->noise;
  if (room < (e->exact ? -0.5 : -1e-6 * (1 + fabs(bound)))) {
    b->infeasible = true;
    return;
  }
  if (isinf(bound)) return;
  double slack = e->exact ? 1e-9 : slack_of(bound);
  for (size_t i = 0, n; i < e->span.count && !b->infeasible; i += n) {
    int32_t c = terms[i].var;
    double coef = sign * terms[i].coef;
    n = 1;
    if (net->group[c] < 0) {
      if (fabs(coef) * (b->hi[c] - b->lo[c]) > room + slack) {
        double from = coef > 0 ? b->lo[c] : b->hi[c];
        move(b, c, coef > 0, from + room / coef);
      }
      continue;
    }
    Run run = run_of(net, b->lo, b->hi, terms + i, e->span.count - i, sign);
    n = run.count;
    for (size_t k = i; k < i + n; k++) tighten_member(b, terms[k], sign, run, room + slack);
    tighten_outside(b, terms + i, run, room + slack);
  }
}

static void tighten_groups(Bounds *b) {
  const Net *net = b->net;
  for (int32_t g = 0; g < net->ngroups && !b->infeasible; g++) {
    const NetGroup *group = &net->groups[g];
    if (!group->count) continue;
    double low = 0, high = 0;
    for (int32_t c = group->first; c < group->first + group->count; c++) {
      low += b->lo[c];
      high += b->hi[c];
    }
    if (low > group->size || high < group->size) b->infeasible = true;
    double spare = group->size - low, short_of = high - group->size;
    for (int32_t c = group->first; c < group->first + group->count; c++) {
      if (b->hi[c] - b->lo[c] > spare) move(b, c, true, b->lo[c] + spare);
      if (b->hi[c] - b->lo[c] > short_of) move(b, c, false, b->hi[c] - short_of);
    }
  }
}

/* ---- definitions */

static void tighten_le(Bounds *b, const NetDef *def) {
  double lo, hi;
  int32_t c = def->column;
  net_expr_bounds(b->net, def->first_expr, b->lo, b->hi, &lo, &hi);
  /* The evaluation is exact, so only a clear distance decides; integers leave half a step. */
  bool grid = def->step > 1e-5 * (1 + fabs(def->bound));
  double clear = grid ? def->step / 2 : 1e-6 * (1 + fabs(def->bound));
  clear = fmax(clear, 2 * b->net->exprs[def->first_expr].noise);
  if (hi < def->bound + (grid && def->step >= 1 ? clear : -clear)) move(b, c, false, 1);
  if (lo > def->bound + clear) move(b, c, true, 0);
  if (b->lo[c] > 0.5) at_most(b, def->first_expr, 1, def->bound);
  if (b->hi[c] < 0.5) at_most(b, def->first_expr, -1, -(def->bound + def->step));
}

/* sign 1: max, -1: min (the max of the negated). */
static void tighten_extreme(Bounds *b, const NetDef *def) {
  const Net *net = b->net;
  double sign = def->kind == NET_MAX ? 1 : -1;
  int32_t c = def->column;
  double sure = -INFINITY, most = -INFINITY, top = sign > 0 ? b->hi[c] : -b->lo[c];
  bool always = false;
  for (int32_t i = 0; i < def->nexprs; i++) {
    int32_t expr = def->first_expr + i;
    const Guard guard = net->exprs[expr].guard;
    double lo, hi;
    net_expr_bounds(net, expr, b->lo, b->hi, &lo, &hi);
    double noise = net->exprs[expr].noise;
    double low = (sign > 0 ? lo : -hi) - noise, high = (sign > 0 ? hi : -lo) + noise;
    bool on = guard.column < 0 ||
              (guard.negative ? b->hi[guard.column] < 0.5 : b->lo[guard.column] > 0.5);
    bool off = guard.column >= 0 &&
               (guard.negative ? b->lo[guard.column] > 0.5 : b->hi[guard.column] < 0.5);
    if (off) continue;
    most = fmax(most, high);
    if (on) {
      always = true;
      sure = fmax(sure, low);
      if (high > top) at_most(b, expr, sign, top);
    } else if (low > top + 1e-6 * (1 + fabs(top))) {
      move(b, guard.column, !guard.negative, guard.negative ? 1 : 0);
    }
  }
  if (!always) most = fmax(most, sign * def->bound);
  if (always) move(b, c, sign < 0, sign * sure);
  if (!isinf(most)) move(b, c, sign > 0, sign * most);
}

static void tighten_product(Bounds *b, const NetDef *def) {
  Guard guard = b->net->exprs[def->first_expr].guard;
  double lo, hi;
  int32_t c = def->column;
  net_expr_bounds(b->net, def->first_expr, b->lo, b->hi, &lo, &hi);
  lo -= b->net->exprs[def->first_expr].noise;
  hi += b->net->exprs[def->first_expr].noise;
  bool on =
      guard.column < 0 || (guard.negative ? b->hi[guard.column] < 0.5 : b->lo[guard.column] > 0.5);
  bool off =
      guard.column >= 0 && (guard.negative ? b->lo[guard.column] > 0.5 : b->hi[guard.column] < 0.5);
  if (on) {
    at_most(b, def->first_expr, 1, b->hi[c]);
    at_most(b, def->first_expr, -1, -b->lo[c]);
  } else {
    lo = off ? 0 : fmin(lo, 0);
    hi = off ? 0 : fmax(hi, 0);
  }
  move(b, c, false, lo);
  move(b, c, true, hi);
}

static void tighten_quotient(Bounds *b, const NetDef *def) {
  double lo, hi, by = (double)def->divisor;
  int32_t c = def->column;
  net_expr_bounds(b->net, def->first_expr, b->lo, b->hi, &lo, &hi);
  double x = trunc(ceil(lo - 0.25) / by), y = trunc(floor(hi + 0.25) / by);
  move(b, c, false, fmin(x, y));
  move(b, c, true, fmax(x, y));
  /* |expr - by * column| < |by| */
  double size = fabs(by) - 1, low = by > 0 ? by * b->lo[c] : by * b->hi[c],
         high = by > 0 ? by * b->hi[c] : by * b->lo[c];
  at_most(b, def->first_expr, 1, high + size);
  at_most(b, def->first_expr, -1, -(low - size));
}

static void tighten_defs(Bounds *b) {
  for (size_t i = 0; i < b->net->ndefs && !b->infeasible; i++) {
    const NetDef *def = &b->net->defs[i];
    switch (def->kind) {
    case NET_LE:
      tighten_le(b, def);
      break;
    case NET_MAX:
    case NET_MIN:
      tighten_extreme(b, def);
      break;
    case NET_PRODUCT:
      tighten_product(b, def);
      break;
    case NET_QUOTIENT:
      tighten_quotient(b, def);
      break;
    }
  }
}

bool net_tighten(const Net *net, double *lo, double *hi, int32_t goal, double cutoff, int rounds) {
  Bounds b = {.net = net, .lo = lo, .hi = hi, .changed = true};
  for (int round = 0; round < rounds && b.changed && !b.infeasible; round++) {
    b.changed = false;
    if (goal >= 0) at_most(&b, goal, -1, -cutoff);
    for (size_t i = 0; i < net->nrows && !b.infeasible; i++) {
      const NetRow *row = &net->rows[i];
      if (!isinf(row->hi)) at_most(&b, row->expr, 1, row->hi);
      if (!isinf(row->lo)) at_most(&b, row->expr, -1, -row->lo);
    }
    tighten_defs(&b);
    tighten_groups(&b);
  }
  return !b.infeasible;
}
