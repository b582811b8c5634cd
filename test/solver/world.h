/*
** A random small model, kept twice: as the solver is told, and in the test's own terms with its own
** evaluation. For brute.c alone.
*/
#ifndef TENFOLD_TEST_SOLVER_WORLD_H
#define TENFOLD_TEST_SOLVER_WORLD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "solver/model.h"

enum {
  MAX_NODES = 220,
  MAX_ARGS = 24,
  MAX_PRIMARIES = 8,
  MAX_TALLIES = 4,
  MAX_ROWS = 60,
  MAX_LEVELS = 3
};

typedef enum Kind { VALUE, INTEGER, TALLY, AND, OR, LE, MAX, MIN, PRODUCT, QUOTIENT, ONE } Kind;

typedef struct Arg {
  int node;
  double coef;
} Arg;

typedef struct Sum {
  double constant;
  int count;
  Arg args[MAX_ARGS];
} Sum;

/* A literal of the test: node index and sign. */
typedef struct Sign {
  int node;
  bool negative;
} Sign;

typedef struct Node {
  Kind kind;
  bool boolean, integral;
  Lit lit;            /* when boolean */
  Var var;            /* when not */
  int primary, value; /* VALUE, INTEGER */
  int nsigns;
  Sign signs[MAX_ARGS];
  int nsums;
  Sum sums[5]; /* guarded by signs[i] in MAX and MIN */
  double bound;
} Node;

typedef struct Primary {
  bool choice;
  int count; /* values of a choice; of an integer: lo..lo+count-1 */
  int lo, first_node;
  Var var;
} Primary;

typedef struct Row {
  Sum sum;
  int sense, tag; /* -1 LE, 1 GE, 0 EQ */
  double bound;
} Row;

typedef struct World {
  uint64_t random;
  Model *model;
  int nnodes, nprimaries, ntallies, nrows, nlevels, ntags;
  Node nodes[MAX_NODES];
  Primary primaries[MAX_PRIMARIES], tallies[MAX_TALLIES];
  Row rows[MAX_ROWS];
  Sum goals[MAX_LEVELS]; /* to be maximized */
} World;

static uint32_t draw(World *w, uint32_t n) {
  w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(((w->random >> 33) * n) >> 31);
}

static int between(World *w, int lo, int hi) { return lo + (int)draw(w, (uint32_t)(hi - lo + 1)); }

/* ---- the test's own evaluation */

static double sum_value(const Sum *sum, const double *values) {
  double total = sum->constant;
  for (int i = 0; i < sum->count; i++) total += sum->args[i].coef * values[sum->args[i].node];
  return total;
}

static bool sign_holds(Sign sign, const double *values) {
  return (values[sign.node] == 1) != sign.negative;
}

static double node_value(const Node *node, const int *assignment, const double *values) {
  double best = NAN;
  switch (node->kind) {
  case ONE:
    return 1;
  case VALUE:
    return assignment[node->primary] == node->value;
  case INTEGER:
    return assignment[node->primary];
  case TALLY:
    return sum_value(&node->sums[0], values);
  case AND:
    for (int i = 0; i < node->nsigns; i++) {
      if (!sign_holds(node->signs[i], values)) return 0;
    }
    return 1;
  case OR:
    for (int i = 0; i < node->nsigns; i++) {
      if (sign_holds(node->signs[i], values)) return 1;
    }
    return 0;
  case LE:
    return sum_value(&node->sums[0], values) <= node->bound;
  case MAX:
  case MIN:
    for (int i = 0; i < node->nsums; i++) {
      if (!sign_holds(node->signs[i], values)) continue;
      double value = sum_value(&node->sums[i], values);
      if (isnan(best) || (node->kind == MAX) == (value > best)) best = value;
    }
    return best;
  case PRODUCT:
    return sign_holds(node->signs[0], values) ? sum_value(&node->sums[0], values) : 0;
  case QUOTIENT:
    return (double)((long)sum_value(&node->sums[0], values) / (long)node->bound);
  }
  return NAN;
}

static void evaluate(const World *w, const int *assignment, double *values) {
  for (int i = 0; i < w->nnodes; i++) values[i] = node_value(&w->nodes[i], assignment, values);
}

/* `tags`: which tags count, NULL: all. */
static bool feasible(const World *w, const double *values, const uint8_t *tags) {
  for (int i = 0; i < w->nrows; i++) {
    const Row *row = &w->rows[i];
    if (tags && !tags[row->tag]) continue;
    double value = sum_value(&row->sum, values);
    if (row->sense <= 0 && value > row->bound + 1e-9) return false;
    if (row->sense >= 0 && value < row->bound - 1e-9) return false;
  }
  return true;
}

static bool next_assignment(const World *w, int *assignment) {
  for (int i = 0; i < w->nprimaries; i++) {
    const Primary *p = &w->primaries[i];
    if (++assignment[i] < p->lo + p->count) return true;
    assignment[i] = p->lo;
  }
  return false;
}

static void first_assignment(const World *w, int *assignment) {
  for (int i = 0; i < w->nprimaries; i++) assignment[i] = w->primaries[i].lo;
}

/* Best goal vector over all assignments; false when infeasible. */
static bool enumerate(const World *w, const uint8_t *tags, double *best) {
  int assignment[MAX_PRIMARIES];
  double values[MAX_NODES];
  bool any = false;
  first_assignment(w, assignment);
  do {
    evaluate(w, assignment, values);
    if (!feasible(w, values, tags)) continue;
    double at[MAX_LEVELS];
    int better = !any;
    for (int i = 0; i < w->nlevels; i++) {
      at[i] = sum_value(&w->goals[i], values);
      if (better == 0 && at[i] > best[i] + 1e-7) better = 1;
      if (better == 0 && at[i] < best[i] - 1e-7) better = -1;
    }
    if (better == 1) memcpy(best, at, sizeof at);
    any = true;
    if (!w->nlevels && !tags) return true;
  } while (next_assignment(w, assignment));
  return any;
}

#endif
