/*
** The incremental assignment: see state.h.
*/
#include "solver/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool state_init(State *s, const Net *net, Fault *fault) {
  size_t nc = (size_t)net->ncols + 1, ne = net->nexprs + 1, nd = net->ndefs + 1, nodes = 1;
  *s = (State){.net = net, .lo = net->lo, .hi = net->hi};
  s->tree_at = malloc(nd * sizeof *s->tree_at);
  s->tree_leaves = calloc(nd, sizeof *s->tree_leaves);
  if (!s->tree_at || !s->tree_leaves) {
    state_release(s);
    return fault_oom(fault);
  }
  for (size_t d = 0; d < net->ndefs; d++) {
    const NetDef *def = &net->defs[d];
    s->tree_at[d] = SIZE_MAX;
    if (def->kind != NET_MAX && def->kind != NET_MIN) continue;
    int32_t leaves = 1;
    while (leaves < def->nexprs) leaves *= 2;
    s->tree_at[d] = nodes;
    s->tree_leaves[d] = leaves;
    nodes += 2 * (size_t)leaves;
  }
  s->value = calloc(nc, sizeof *s->value);
  s->act = calloc(ne, sizeof *s->act);
  s->cap_lo = malloc(ne * sizeof *s->cap_lo);
  s->cap_hi = malloc(ne * sizeof *s->cap_hi);
  s->least = calloc(ne, sizeof *s->least);
  s->most = calloc(ne, sizeof *s->most);
  s->scale = malloc(ne * sizeof *s->scale);
  s->weight = malloc(ne * sizeof *s->weight);
  s->violated = malloc(ne * sizeof *s->violated);
  s->where = malloc(ne * sizeof *s->where);
  s->trees = malloc(nodes * sizeof *s->trees);
  s->queued = calloc(nd, 1);
  s->queue = malloc(nd * sizeof *s->queue);
  s->simple = calloc(nc, 1);
  if (!s->value || !s->act || !s->cap_lo || !s->cap_hi || !s->least || !s->most || !s->scale ||
      !s->weight || !s->violated || !s->where || !s->trees || !s->queued || !s->queue ||
      !s->simple) {
    state_release(s);
    return fault_oom(fault);
  }
  for (size_t e = 0; e < net->nexprs; e++) {
    const NetExpr *expr = &net->exprs[e];
    double largest = 0;
    for (size_t i = 0; i < expr->span.count; i++) {
      largest = fmax(largest, fabs(net->terms[expr->span.start + i].coef));
    }
    s->scale[e] = largest > 0 ? 1 / largest : 1;
    s->weight[e] = 1;
    s->where[e] = -1;
    s->cap_lo[e] = -INFINITY;
    s->cap_hi[e] = INFINITY;
  }
  for (int32_t c = 0; c < net->ncols; c++) {
    bool simple = net->guard_start[c] == net->guard_start[c + 1];
    for (size_t i = net->use_start[c]; simple && i < net->use_start[c + 1]; i++) {
      const NetExpr *expr = &net->exprs[net->uses[i].expr];
      if (expr->owner_kind != OWNER_DEF) continue;
      NetKind kind = net->defs[expr->owner].kind;
      simple = (kind == NET_MAX || kind == NET_MIN) && expr->guard.column < 0;
    }
    s->simple[c] = simple;
  }
  return true;
}

void state_release(State *s) {
  free(s->value);
  free(s->act);
  free(s->cap_lo);
  free(s->cap_hi);
  free(s->least);
  free(s->most);
  free(s->scale);
  free(s->weight);
  free(s->violated);
  free(s->where);
  free(s->trees);
  free(s->tree_at);
  free(s->tree_leaves);
  free(s->queued);
  free(s->queue);
  free(s->simple);
  *s = (State){0};
}

/* ---- violations */

static void list_violation(State *s, int32_t expr, bool violated) {
  int32_t at = s->where[expr];
  if (violated == (at >= 0)) return;
  if (violated) {
    s->where[expr] = (int32_t)s->nviolated;
    s->violated[s->nviolated++] = expr;
    return;
  }
  int32_t last = s->violated[--s->nviolated];
  s->violated[at] = last;
  s->where[last] = at;
  s->where[expr] = -1;
  if (!s->nviolated) s->penalty = 0; /* rounding ends here */
}

void state_cap(State *s, int32_t expr, double lo, double hi) {
  double before = cap_violation(s, expr, s->act[expr]);
  s->cap_lo[expr] = lo;
  s->cap_hi[expr] = hi;
  double after = cap_violation(s, expr, s->act[expr]);
  s->penalty += (after - before) * s->weight[expr] * s->scale[expr];
  list_violation(s, expr, after > 0);
}

void state_weigh(State *s, int32_t expr, double weight) {
  double v = cap_violation(s, expr, s->act[expr]);
  s->penalty += (weight - s->weight[expr]) * v * s->scale[expr];
  s->weight[expr] = weight;
}

static void count_violations(State *s) {
  s->nviolated = 0;
  s->penalty = 0;
  for (size_t e = 0; e < s->net->nexprs; e++) {
    double v = cap_violation(s, (int32_t)e, s->act[e]);
    s->where[e] = -1;
    if (v == 0) continue;
    s->penalty += v * s->weight[e] * s->scale[e];
    s->where[e] = (int32_t)s->nviolated;
    s->violated[s->nviolated++] = (int32_t)e;
  }
}

void state_caps(State *s, const double *lo, const double *hi, int32_t goal, double cutoff) {
  const Net *net = s->net;
  s->lo = lo;
  s->hi = hi;
  for (size_t e = 0; e < net->nexprs; e++) {
    const NetExpr *expr = &net->exprs[e];
    double cap_lo = -INFINITY, cap_hi = INFINITY, sum_lo = expr->constant, sum_hi = sum_lo;
    if (expr->owner_kind == OWNER_ROW) {
      cap_lo = net->rows[expr->owner].lo;
      cap_hi = net->rows[expr->owner].hi;
    } else if (expr->owner_kind == OWNER_DEF && expr->guard.column < 0) {
      const NetDef *def = &net->defs[expr->owner];
      if (def->kind == NET_MAX) cap_hi = hi[def->column];
      if (def->kind == NET_MIN) cap_lo = lo[def->column];
    } else if (expr->owner_kind == OWNER_GOAL && (int32_t)e == goal) {
      cap_lo = cutoff;
    }
    s->cap_lo[e] = cap_lo;
    s->cap_hi[e] = cap_hi;
    if (isinf(cap_lo) && isinf(cap_hi)) continue;
    for (size_t i = 0; i < expr->span.count; i++) {
      Term term = net->terms[expr->span.start + i];
      sum_lo += term.coef * (term.coef > 0 ? lo[term.var] : hi[term.var]);
      sum_hi += term.coef * (term.coef > 0 ? hi[term.var] : lo[term.var]);
    }
    s->least[e] = sum_lo;
    s->most[e] = sum_hi;
  }
  count_violations(s);
}

/* ---- definitions */

static bool holds(const State *s, Guard guard) {
  return guard.column < 0 || (s->value[guard.column] > 0.5) != guard.negative;
}

/* What the item counts for in its tree, where the larger wins. */
static double leaf_value(const State *s, const NetDef *def, int32_t expr) {
  if (!holds(s, s->net->exprs[expr].guard)) return -INFINITY;
  return def->kind == NET_MAX ? s->act[expr] : -s->act[expr];
}

static void update_leaf(State *s, int32_t d, int32_t expr) {
  const NetDef *def = &s->net->defs[d];
  double *tree = s->trees + s->tree_at[d];
  size_t at = (size_t)s->tree_leaves[d] + (size_t)(expr - def->first_expr);
  tree[at] = leaf_value(s, def, expr);
  for (at /= 2; at >= 1; at /= 2) {
    double best = fmax(tree[2 * at], tree[2 * at + 1]);
    if (tree[at] == best) return;
    tree[at] = best;
  }
}

static void build_tree(State *s, int32_t d) {
  const NetDef *def = &s->net->defs[d];
  double *tree = s->trees + s->tree_at[d];
  int32_t leaves = s->tree_leaves[d];
  for (int32_t i = 0; i < leaves; i++) {
    tree[leaves + i] = i < def->nexprs ? leaf_value(s, def, def->first_expr + i) : -INFINITY;
  }
  for (int32_t i = leaves - 1; i >= 1; i--) tree[i] = fmax(tree[2 * i], tree[2 * i + 1]);
  if (leaves == 1) tree[0] = tree[1];
}

static double tree_root(const State *s, int32_t d) { return s->trees[s->tree_at[d] + 1]; }

int32_t state_top(const State *s, int32_t d) {
  const double *tree = s->trees + s->tree_at[d];
  size_t leaves = (size_t)s->tree_leaves[d], at = 1;
  if (isinf(tree[1])) return -1;
  while (at < leaves) at = 2 * at + (tree[2 * at] != tree[at]);
  return s->net->defs[d].first_expr + (int32_t)(at - leaves);
}

static double def_value(const State *s, int32_t d) {
  const NetDef *def = &s->net->defs[d];
  double act = def->nexprs ? s->act[def->first_expr] : 0;
  switch (def->kind) {
  case NET_LE:
    return act <= def->bound;
  case NET_MAX:
    return isinf(tree_root(s, d)) ? def->bound : tree_root(s, d);
  case NET_MIN:
    return isinf(tree_root(s, d)) ? def->bound : -tree_root(s, d);
  case NET_PRODUCT:
    return holds(s, s->net->exprs[def->first_expr].guard) ? act : 0;
  case NET_QUOTIENT:
    return trunc(act / (double)def->divisor);
  }
  return 0;
}

void state_set(State *s, const double *columns) {
  const Net *net = s->net;
  if (net->nprimary) memcpy(s->value, columns, (size_t)net->nprimary * sizeof *columns);
  for (size_t d = 0; d < net->ndefs; d++) {
    const NetDef *def = &net->defs[d];
    for (int32_t i = 0; i < def->nexprs; i++) {
      s->act[def->first_expr + i] = net_expr_value(net, def->first_expr + i, s->value);
    }
    if (s->tree_at[d] != SIZE_MAX) build_tree(s, (int32_t)d);
    s->value[def->column] = def_value(s, (int32_t)d);
  }
  for (size_t e = 0; e < net->nexprs; e++) {
    if (net->exprs[e].owner_kind != OWNER_DEF)
      s->act[e] = net_expr_value(net, (int32_t)e, s->value);
  }
  count_violations(s);
}

/* ---- change */

static void enqueue(State *s, int32_t d) {
  if (s->queued[d]) return;
  s->queued[d] = 1;
  size_t at = s->nqueue++;
  while (at > 0 && s->queue[(at - 1) / 2] > d) {
    s->queue[at] = s->queue[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  s->queue[at] = d;
}

static int32_t dequeue(State *s) {
  int32_t first = s->queue[0], last = s->queue[--s->nqueue];
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < s->nqueue; at = child) {
    if (child + 1 < s->nqueue && s->queue[child + 1] < s->queue[child]) child++;
    if (s->queue[child] >= last) break;
    s->queue[at] = s->queue[child];
  }
  s->queue[at] = last;
  s->queued[first] = 0;
  return first;
}

static void touch(State *s, int32_t column, double delta) {
  const Net *net = s->net;
  s->value[column] += delta;
  for (size_t i = net->use_start[column]; i < net->use_start[column + 1]; i++) {
    int32_t e = net->uses[i].expr;
    const NetExpr *expr = &net->exprs[e];
    double before = cap_violation(s, e, s->act[e]);
    s->act[e] += net->uses[i].coef * delta;
    double after = cap_violation(s, e, s->act[e]);
    if (before != after) {
      s->penalty += (after - before) * s->weight[e] * s->scale[e];
      list_violation(s, e, after > 0);
    }
    if (expr->owner_kind != OWNER_DEF) continue;
    if (s->tree_at[expr->owner] != SIZE_MAX) update_leaf(s, expr->owner, e);
    enqueue(s, expr->owner);
  }
  s->steps += (int64_t)(net->use_start[column + 1] - net->use_start[column]) + 4;
  for (size_t i = net->guard_start[column]; i < net->guard_start[column + 1]; i++) {
    int32_t e = net->guarded[i], d = net->exprs[e].owner;
    if (s->tree_at[d] != SIZE_MAX) update_leaf(s, d, e);
    enqueue(s, d);
  }
}

void state_change(State *s, int32_t column, double delta) {
  touch(s, column, delta);
  while (s->nqueue) {
    int32_t d = dequeue(s);
    int32_t c = s->net->defs[d].column;
    double value = def_value(s, d), by = value - s->value[c];
    if (by == 0) continue;
    touch(s, c, by);
    s->value[c] = value;
  }
}

double state_cost(const State *s, int32_t column, double delta) {
  const Net *net = s->net;
  double cost = 0;
  for (size_t i = net->use_start[column]; i < net->use_start[column + 1]; i++) {
    int32_t e = net->uses[i].expr;
    double before = s->where[e] >= 0 ? cap_violation(s, e, s->act[e]) : 0;
    double after = cap_violation(s, e, s->act[e] + net->uses[i].coef * delta);
    if (before != after) cost += (after - before) * s->weight[e] * s->scale[e];
  }
  return cost;
}
