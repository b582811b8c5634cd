/*
** Local search: take something that is violated, find out who is to blame, and move it.
**
** Blame follows definitions down to what can be decided: a violated goal blames the maximum in it,
** the maximum blames the item on top, the item blames the units in it. Weights of what stays
** violated grow, so that the search is driven out of corners.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/search.h"

enum { MAX_CANDIDATES = 10, SCAN = 160, DEPTH = 12, POLL = 64 };

typedef struct Move {
  int32_t from, to; /* from < 0: change column `to` alone */
  double delta;
} Move;

typedef struct Local {
  Search *search;
  State *s;
  Move moves[2 * MAX_CANDIDATES];
  int count;
} Local;

static uint32_t any(Local *l, uint32_t n) { return random_below(&l->search->random, n); }

static void add_move(Local *l, int32_t from, int32_t to, double delta) {
  if (l->count < 2 * MAX_CANDIDATES) l->moves[l->count++] = (Move){from, to, delta};
}

/* ---- from columns to moves */

/* Where could a unit of `column` go? The cheapest of the group's other columns, of a sample. */
static void move_out(Local *l, int32_t column) {
  State *s = l->s;
  const NetGroup *group = &s->net->groups[s->net->group[column]];
  int32_t best = -1, n = group->count < SCAN ? group->count : SCAN;
  double least = INFINITY;
  uint32_t offset = any(l, (uint32_t)group->count);
  for (int32_t i = 0; i < n; i++) {
    uint32_t at = group->count <= SCAN ? ((uint32_t)i + offset) % (uint32_t)group->count
                                       : any(l, (uint32_t)group->count);
    int32_t c = group->first + (int32_t)at;
    if (c == column || s->value[c] >= s->hi[c] || l->search->tabu[c] > l->search->moves) continue;
    double cost = state_cost(s, c, 1);
    if (l->search->job->goal >= 0) {
      cost -= 1e-3 * l->search->goal_coef[c] * s->scale[l->search->job->goal];
    }
    if (cost < least) {
      least = cost;
      best = c;
    }
  }
  s->steps += 8 * n;
  if (best >= 0) add_move(l, column, best, 1);
}

/* Where could a unit for `column` come from? */
static void move_in(Local *l, int32_t column) {
  State *s = l->s;
  const NetGroup *group = &s->net->groups[s->net->group[column]];
  int32_t best = -1;
  double least = INFINITY;
  uint32_t seen = 0;
  for (int32_t c = group->first; c < group->first + group->count; c++) {
    if (c == column || s->value[c] <= s->lo[c]) continue;
    double cost = state_cost(s, c, -1);
    seen++;
    if (cost > least || (cost == least && any(l, seen) > 0)) continue;
    least = cost;
    best = c;
  }
  s->steps += group->count / 4;
  if (best >= 0) add_move(l, best, column, 1);
}

/* How far a number must go so that `expr` keeps its cap, as far as its bounds allow. */
static void move_number(Local *l, int32_t expr, double coef, int32_t column, int direction) {
  State *s = l->s;
  double way = cap_violation(s, expr, s->act[expr]) / fabs(coef);
  double room = direction > 0 ? s->hi[column] - s->value[column] : s->value[column] - s->lo[column];
  if (s->net->integer[column]) way = ceil(way - 1e-9);
  if (way <= 0) way = s->net->integer[column] ? 1 : room / 8;
  way = fmin(way, room);
  if (way <= 0) return;
  add_move(l, -1, column, direction * way);
  if (s->net->integer[column] && way > 1) add_move(l, -1, column, direction);
}

/* ---- blame */

static void blame(Local *l, int32_t expr, int direction, int depth);

static void blame_guard(Local *l, Guard guard, bool wanted, int depth);

static void blame_def(Local *l, int32_t d, int direction, int depth) {
  State *s = l->s;
  const NetDef *def = &s->net->defs[d];
  int32_t first = def->first_expr;
  bool up = direction > 0;
  if (!def->nexprs) return;
  switch (def->kind) {
  case NET_LE:
    blame(l, first, up ? -1 : 1, depth);
    break;
  case NET_MAX:
  case NET_MIN: {
    int32_t top = state_top(s, d);
    if (top >= 0 && up != (def->kind == NET_MAX)) { /* against the one on top */
      const Guard guard = s->net->exprs[top].guard;
      if (guard.column >= 0 && any(l, 3) == 0) blame_guard(l, guard, false, depth);
      blame(l, top, direction, depth);
      break;
    }
    int32_t one = first + (int32_t)any(l, (uint32_t)def->nexprs);
    if (any(l, 2) && top >= 0) one = top;
    blame_guard(l, s->net->exprs[one].guard, true, depth);
    blame(l, one, direction, depth);
    break;
  }
  case NET_PRODUCT: {
    const Guard guard = s->net->exprs[first].guard;
    if (guard.column >= 0 && any(l, 2)) {
      blame_guard(l, guard, (s->act[first] > 0) == up, depth);
    } else {
      blame(l, first, direction, depth);
    }
    break;
  }
  case NET_QUOTIENT:
    blame(l, first, def->divisor > 0 ? direction : -direction, depth);
    break;
  }
}

/* `column` should go up or down. */
static void blame_column(Local *l, int32_t expr, double coef, int32_t column, int direction,
                         int depth) {
  State *s = l->s;
  const Net *net = s->net;
  if (net->def[column] >= 0) {
    blame_def(l, net->def[column], direction, depth - 1);
  } else if (net->group[column] < 0) {
    move_number(l, expr, coef, column, direction);
  } else if (direction > 0) {
    if (s->value[column] < s->hi[column]) move_in(l, column);
  } else if (s->value[column] > s->lo[column]) {
    move_out(l, column);
  }
}

static void blame_guard(Local *l, Guard guard, bool wanted, int depth) {
  State *s = l->s;
  if (guard.column < 0) return;
  bool holds = (s->value[guard.column] > 0.5) != guard.negative;
  if (holds == wanted) return;
  blame_column(l, 0, 1, guard.column, wanted != guard.negative ? 1 : -1, depth);
}

static bool can_help(const State *s, Term term, int direction) {
  int32_t c = term.var;
  int way = (term.coef > 0) == (direction > 0) ? 1 : -1;
  return way > 0 ? s->value[c] < s->hi[c] : s->value[c] > s->lo[c];
}

/* `expr` should go up or down: collect moves of a few of its terms. */
static void blame(Local *l, int32_t expr, int direction, int depth) {
  State *s = l->s;
  const NetExpr *e = &s->net->exprs[expr];
  const Term *terms = s->net->terms + e->span.start;
  if (depth <= 0 || !e->span.count) return;
  uint32_t n = (uint32_t)e->span.count, tries = n < 400 ? n : 400, taken = 0;
  uint32_t offset = any(l, n);
  for (uint32_t i = 0; i < tries && l->count < MAX_CANDIDATES && taken < 5; i++) {
    Term term = terms[n < 400 ? (i + offset) % n : any(l, n)];
    if (!can_help(s, term, direction)) continue;
    int way = (term.coef > 0) == (direction > 0) ? 1 : -1;
    blame_column(l, expr, term.coef, term.var, way, depth);
    taken++;
  }
  s->steps += tries;
}

/* Groups with more columns than a sample of terms would hit: a random unit of a random group. */
static void random_unit(Local *l) {
  const Net *net = l->s->net;
  if (!net->ngroups) return;
  const NetGroup *group = &net->groups[any(l, (uint32_t)net->ngroups)];
  if (group->count < 2) return;
  uint32_t offset = any(l, (uint32_t)group->count);
  for (int32_t i = 0; i < group->count; i++) {
    int32_t c = group->first + (int32_t)(((uint32_t)i + offset) % (uint32_t)group->count);
    if (l->s->value[c] <= l->s->lo[c]) continue;
    move_out(l, c);
    return;
  }
}

/* ---- one step */

static void apply(State *s, Move move, double sign) {
  if (move.from >= 0) state_change(s, move.from, -sign * move.delta);
  state_change(s, move.to, sign * move.delta);
}

static void collect(Local *l) {
  State *s = l->s;
  l->count = 0;
  int32_t expr = s->violated[any(l, (uint32_t)s->nviolated)];
  int direction = s->act[expr] > s->cap_hi[expr] ? -1 : 1;
  blame(l, expr, direction, DEPTH);
  if (l->count < 2) random_unit(l);
}

static void raise_weights(State *s) {
  for (size_t i = 0; i < s->nviolated; i++) {
    int32_t e = s->violated[i];
    if (s->weight[e] < 1e4) state_weigh(s, e, s->weight[e] * 1.1 + 0.1);
  }
}

static void step(Local *l) {
  State *s = l->s;
  Search *search = l->search;
  collect(l);
  double before = s->penalty, least = INFINITY;
  int best = -1;
  for (int i = 0; i < l->count; i++) {
    apply(s, l->moves[i], 1);
    if (s->penalty < least) {
      least = s->penalty;
      best = i;
    }
    apply(s, l->moves[i], -1);
  }
  search->moves++;
  if (best < 0) {
    raise_weights(s);
    return;
  }
  bool gains = least < before - 1e-9 * (1 + before);
  if (!gains) raise_weights(s);
  if (!gains && any(l, 3) == 0) return;
  apply(s, l->moves[best], 1);
  if (l->moves[best].from >= 0) {
    search->tabu[l->moves[best].from] = search->moves + 3 + any(l, 5);
  }
}

bool local_search(Search *search, int64_t work, bool improve) {
  Local l = {.search = search, .s = &search->state};
  State *s = l.s;
  Job *job = search->job;
  int64_t until = s->steps + work;
  for (size_t e = 0; e < s->net->nexprs; e++) {
    if (s->weight[e] != 1) state_weigh(s, (int32_t)e, 1);
  }
  for (int64_t i = 0; s->steps < until; i++) {
    s->steps += 10;
    if (i % POLL == POLL - 1 && job_stop(job)) break;
    if (s->nviolated) {
      step(&l);
      continue;
    }
    if (!improve) return true;
    memcpy(search->trial, s->value, ((size_t)s->net->ncols + 1) * sizeof *search->trial);
    if (!job_offer(job, search->trial)) { /* rounding: start over from exact activities */
      state_set(s, search->trial);
      if (!s->nviolated) return true;
      continue;
    }
    if (job->goal < 0 || job_proven(job)) return true;
    state_set(s, job->best);
    state_cap(s, job->goal, job_cutoff(job), INFINITY);
  }
  return !s->nviolated;
}
