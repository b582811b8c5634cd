/*
** Definitions as rows of a linear program: see encoder.h.
*/
#include <math.h>

#include "solver/encoder.h"

/* When the literal holds, the columns that make the run smaller (`below`) are all at their upper
** ends, the others at 0. */
static void force_side(Encoder *e, const Term *terms, size_t count, double sign, bool below,
                       Guard literal) {
  double room = 0, size = e->net->groups[e->net->group[terms[0].var]].size;
  encoder_begin(e);
  for (size_t i = 0; i < count; i++) {
    if ((sign * terms[i].coef < 0) != below) continue;
    encoder_put_column(e, terms[i].var, 1);
    room += e->hi[terms[i].var];
  }
  if (below) {
    encoder_put_guard(e, literal, -room);
    if (room > 0) encoder_emit(e, 0, INFINITY);
  } else {
    room = fmin(room, size);
    encoder_put_guard(e, literal, room);
    if (room > 0) encoder_emit(e, -INFINITY, room);
  }
}

/* One group's share of emit_forced(): its run of terms. The least is reached either with all
** choices on the cheapest values or, where these have no room for all, with every column at its
** own end.
 */
static void force_run(Encoder *e, const Term *terms, size_t count, double sign, Guard literal) {
  const NetGroup *group = &e->net->groups[e->net->group[terms[0].var]];
  bool others = count < (size_t)group->count; /* values outside of the expression: 0 */
  double least = others ? 0 : INFINITY, room = 0, by_column = 0;
  for (size_t i = 0; i < count; i++) {
    double coef = sign * terms[i].coef, hi = e->hi[terms[i].var];
    if (hi > 0) least = fmin(least, coef);
    if (coef < 0) by_column += coef * hi;
  }
  if (by_column > least * group->size) {
    force_side(e, terms, count, sign, true, literal);
    force_side(e, terms, count, sign, false, literal);
    return;
  }
  bool inside = others && least < 0; /* all must be among the cheapest, else none among the rest */
  encoder_begin(e);
  for (size_t i = 0; i < count; i++) {
    if ((sign * terms[i].coef <= least) != inside) continue;
    encoder_put_column(e, terms[i].var, 1);
    room += e->hi[terms[i].var];
  }
  if (inside) {
    encoder_put_guard(e, literal, -group->size);
    encoder_emit(e, 0, INFINITY);
    return;
  }
  room = fmin(room, group->size);
  encoder_put_guard(e, literal, room);
  if (e->count) encoder_emit(e, -INFINITY, room);
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
    encoder_begin(e); /* |x - bound| <= range * (1 - literal) */
    encoder_put_column(e, c, up);
    encoder_put_guard(e, literal, range);
    encoder_emit(e, -INFINITY, (up > 0 ? e->lo[c] : -e->hi[c]) + range);
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
  double noise = e->net->exprs[def->first_expr].noise;
  if (most <= bound + noise) return;
  Guard literal = {def->column, !when};
  bool fine = def->step < 1e-5 * (1 + fabs(def->bound));
  if (e->edge == EDGE_INSIDE && fine) bound -= 1e-6 * (1 + fabs(bound));
  if (least == bound && !encoder_surely(e, literal) && may_force(e, def->first_expr)) {
    emit_forced(e, def, sign, when);
    return;
  }
  encoder_begin(e);
  encoder_put_expr(e, def->first_expr, sign);
  encoder_put_guard(e, literal, most - bound);
  e->noise = noise;
  encoder_emit(e, -INFINITY, most);
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
    if (most <= floor_ || encoder_never(e, guard)) continue;
    encoder_begin(e);
    encoder_put_column(e, def->column, sign);
    encoder_put_expr(e, expr, -sign);
    if (encoder_surely(e, guard)) {
      encoder_emit(e, 0, INFINITY);
    } else { /* sign * (column - expr) + M (1 - g) >= 0 */
      double m = most - floor_;
      encoder_put_guard(e, guard, -m);
      encoder_emit(e, -m, INFINITY);
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
    if (encoder_never(e, guard)) continue;
    always = always || encoder_surely(e, guard);
    int32_t chosen = encoder_selector(e);
    double lo, hi;
    net_expr_bounds(e->net, expr, e->lo, e->hi, &lo, &hi);
    double m = top - (sign > 0 ? lo : -hi);
    if (!encoder_surely(e, guard)) {
      encoder_begin(e);
      encoder_put(e, chosen, 1);
      encoder_put_guard(e, guard, -1);
      encoder_emit(e, -INFINITY, 0);
    }
    if (m <= 0) continue;
    encoder_begin(e);
    encoder_put_column(e, def->column, sign);
    encoder_put_expr(e, expr, -sign);
    encoder_put(e, chosen, m);
    encoder_emit(e, -INFINITY, m);
  }
  if (!always) { /* or none holds, and the column has its own value for that */
    int32_t none = encoder_selector(e);
    double m = top - sign * def->bound;
    encoder_begin(e);
    encoder_put_column(e, def->column, sign);
    encoder_put(e, none, m);
    encoder_emit(e, -INFINITY, sign * def->bound + m);
    for (int32_t i = 0; i < def->nexprs; i++) {
      Guard guard = e->net->exprs[def->first_expr + i].guard;
      if (encoder_never(e, guard)) continue;
      encoder_begin(e);
      encoder_put(e, none, 1);
      encoder_put_guard(e, guard, 1);
      encoder_emit(e, -INFINITY, 1);
    }
  }
  encoder_begin(e);
  for (int32_t j = first; j < e->to->lp.ncols; j++) encoder_put(e, j, 1);
  encoder_emit(e, 1, 1);
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
    encoder_begin(e); /* sign (column - expr) - least * g <= -least */
    encoder_put_column(e, def->column, sign);
    encoder_put_expr(e, expr, -sign);
    encoder_put_guard(e, guard, -least);
    encoder_emit(e, -INFINITY, -least);
    encoder_begin(e); /* sign column <= most * g */
    encoder_put_column(e, def->column, sign);
    encoder_put_guard(e, guard, -most);
    encoder_emit(e, -INFINITY, 0);
  }
}

static void emit_quotient(Encoder *e, const NetDef *def) {
  int32_t expr = def->first_expr;
  double by = fabs((double)def->divisor), sign = def->divisor > 0 ? 1 : -1, lo, hi;
  net_expr_bounds(e->net, expr, e->lo, e->hi, &lo, &hi);
  int32_t positive = -1;
  if (lo < 0 && hi > 0) {
    positive = encoder_selector(e);
    encoder_begin(e); /* expr >= lo (1 - z) */
    encoder_put_expr(e, expr, 1);
    encoder_put(e, positive, lo);
    encoder_emit(e, lo, INFINITY);
    encoder_begin(e); /* expr <= hi z */
    encoder_put_expr(e, expr, 1);
    encoder_put(e, positive, -hi);
    encoder_emit(e, -INFINITY, 0);
  }
  encoder_begin(e); /* expr - by * quotient is within by - 1 of 0, on expr's side */
  encoder_put_expr(e, expr, 1);
  encoder_put_column(e, def->column, -by * sign);
  if (positive >= 0) encoder_put(e, positive, -(by - 1));
  encoder_emit(e, positive >= 0 || hi <= 0 ? -(by - 1) : 0, positive >= 0 || hi <= 0 ? 0 : by - 1);
}

void encoder_defs(Encoder *e) {
  const Net *net = e->net;
  for (size_t i = 0; i < net->ndefs && !e->failed; i++) {
    const NetDef *def = &net->defs[i];
    uint8_t needs = e->needs[def->column];
    if (!e->used[def->column]) continue;
    switch (def->kind) {
    case NET_LE:
      emit_le(e, def, needs);
      break;
    case NET_MAX:
    case NET_MIN:
      emit_extreme(e, def, needs);
      break;
    case NET_PRODUCT:
      emit_product(e, def, needs);
      break;
    case NET_QUOTIENT:
      emit_quotient(e, def);
      break;
    }
  }
}
