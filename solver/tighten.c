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

/* What the group whose run starts at terms[0] adds to sign * expression at least: all its choices
** at the least coefficient, but for those that are already elsewhere or have no room. Terms of the
** run are counted in *out_count, the marginal price (what one more unit costs at least) in
** *out_price. */
static double run_least(const Net *net, const double *lo, const double *hi, const Term *terms,
                        size_t count, double sign, size_t *out_count, double *out_price) {
  int32_t g = net->group[terms[0].var];
  const NetGroup *group = &net->groups[g];
  size_t n = 0;
  double least = INFINITY, sum = 0, held = 0;
  for (; n < count && net->group[terms[n].var] == g; n++) {
    int32_t c = terms[n].var;
    double coef = sign * terms[n].coef;
    sum += coef * lo[c];
    held += lo[c];
    if (hi[c] > lo[c]) least = fmin(least, coef);
  }
  *out_count = n;
  if (n < (size_t)group->count) least = fmin(least, 0);
  double left = group->size - held;
  if (isinf(least)) least = 0;
  *out_price = least;
  return left > 0 ? sum + left * least : sum;
}

static double least_value(const Net *net, const NetExpr *e, const double *lo, const double *hi,
                          double sign) {
  const Term *terms = net->terms + e->span.start;
  double sum = sign * e->constant, price;
  for (size_t i = 0, n; i < e->span.count; i += n) {
    if (net->group[terms[i].var] >= 0) {
      sum += run_least(net, lo, hi, terms + i, e->span.count - i, sign, &n, &price);
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
  double slack = slack_of(value);
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

/* sign * expr <= bound (the expr's constant included). */
static void at_most(Bounds *b, int32_t expr, double sign, double bound) {
  const Net *net = b->net;
  const NetExpr *e = &net->exprs[expr];
  const Term *terms = net->terms + e->span.start;
  double least = least_value(net, e, b->lo, b->hi, sign);
  double room = bound - least;
  if (room < -1e-6 * (1 + fabs(bound))) {
    b->infeasible = true;
    return;
  }
  if (isinf(bound)) return;
  double slack = slack_of(bound);
  for (size_t i = 0, n; i < e->span.count && !b->infeasible; i += n) {
    int32_t c = terms[i].var;
    double coef = sign * terms[i].coef, price;
    n = 1;
    if (net->group[c] < 0) {
      if (fabs(coef) * (b->hi[c] - b->lo[c]) > room + slack) {
        double from = coef > 0 ? b->lo[c] : b->hi[c];
        move(b, c, coef > 0, from + room / coef);
      }
      continue;
    }
    run_least(net, b->lo, b->hi, terms + i, e->span.count - i, sign, &n, &price);
    for (size_t k = i; k < i + n; k++) {
      double extra = sign * terms[k].coef - price;
      c = terms[k].var;
      if (extra > 0 && extra * (b->hi[c] - b->lo[c]) > room + slack) {
        move(b, c, true, b->lo[c] + (room + slack) / extra);
      }
    }
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
    double low = sign > 0 ? lo : -hi, high = sign > 0 ? hi : -lo;
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
  bool on = guard.column < 0 ||
            (guard.negative ? b->hi[guard.column] < 0.5 : b->lo[guard.column] > 0.5);
  bool off = guard.column >= 0 &&
             (guard.negative ? b->lo[guard.column] > 0.5 : b->hi[guard.column] < 0.5);
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
    case NET_LE: tighten_le(b, def); break;
    case NET_MAX:
    case NET_MIN: tighten_extreme(b, def); break;
    case NET_PRODUCT: tighten_product(b, def); break;
    case NET_QUOTIENT: tighten_quotient(b, def); break;
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
