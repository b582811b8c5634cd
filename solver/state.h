/*
** A complete assignment of a network that can be changed a little and knows at once what that
** costs: activities of all expressions, derived columns, violated caps. Private to solver/.
**
** A *cap* is a bound on an expression: a row's sides; a threshold on the items of a maximum or
** minimum (the bound of its column); the goal's cut-off. Search is about bringing the weighted sum
** of violations to 0, so "feasible", "better" and "below the threshold" are one thing.
*/
#ifndef TENFOLD_SOLVER_STATE_H
#define TENFOLD_SOLVER_STATE_H

#include "solver/net.h"

typedef struct State {
  const Net *net;
  const double *lo, *hi; /* of columns; borrowed, may change between state_caps() calls */
  double *value;         /* per column */
  double *act;           /* per expr, its constant included */
  double *cap_lo, *cap_hi;
  double *least, *most; /* range of the expr under lo, hi without regard to caps */
  double *scale;        /* violations are counted in units of the largest coefficient */
  double *weight;
  double penalty;    /* sum of weight * scale * violation */
  int32_t *violated; /* exprs, in no order */
  int32_t *where;    /* of an expr in `violated`, -1 */
  size_t nviolated;
  double *trees;        /* tournament trees over the items of each maximum and minimum */
  size_t *tree_at;      /* per definition: first node, SIZE_MAX without a tree */
  int32_t *tree_leaves; /* per definition: number of leaves, a power of two */
  uint8_t *queued;      /* per definition */
  int32_t *queue;       /* heap of definitions to recompute, lowest first */
  size_t nqueue;
  uint8_t *simple; /* per column: only rows, goals and unguarded items read it */
  int64_t steps;   /* uses touched so far: the measure of work */
} State;

bool state_init(State *state, const Net *net, Fault *fault);
void state_release(State *state);

/* Take caps from rows, from lo/hi of maxima and minima, and from goal >= cutoff (goal < 0: none).
** The assignment stays. Cost: one pass over the network. */
void state_caps(State *state, const double *lo, const double *hi, int32_t goal, double cutoff);
/* Change one cap. */
void state_cap(State *state, int32_t expr, double lo, double hi);

/* Take over primaries (derived values are computed). */
void state_set(State *state, const double *columns);
/* Add delta to a primary column and follow the consequences. */
void state_change(State *state, int32_t column, double delta);

/* What state_change(column, delta) would add to the penalty, seen without derived columns (exact
** for simple columns read by rows and items only). */
double state_cost(const State *state, int32_t column, double delta);

void state_weigh(State *state, int32_t expr, double weight);

/* The item that decides a maximum or minimum, -1 when none holds. */
int32_t state_top(const State *state, int32_t def);

static inline double cap_violation(const State *s, int32_t expr, double act) {
  double over = act - s->cap_hi[expr], under = s->cap_lo[expr] - act;
  double v = over > under ? over : under;
  return v > 1e-9 ? v : 0;
}

#endif
