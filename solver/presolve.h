/*
** The stages of presolve, on the model's own variables. Private to solver/.
*/
#ifndef TENFOLD_SOLVER_PRESOLVE_H
#define TENFOLD_SOLVER_PRESOLVE_H

#include "solver/net.h"

/* A group some of whose choices a tally counts. Another tally may count the others: whoever reads
** the one reads the other alike, so that the leader's stands for both. */
typedef struct Share {
  int32_t leader, count;
  bool leads; /* the leader is among them */
} Share;

typedef struct Presolve {
  const Model *model;
  const uint8_t *skip; /* by tag, NULL: none */
  bool infeasible;
  VarBounds at;     /* per variable */
  uint8_t *dropped; /* per requirement: implied by the rest */
  uint8_t *live;    /* per definition: something reads it */
  Term *cliques;    /* at-most-one rows that replace pairs; coefficients 1 */
  size_t ncliques, cliques_capacity;
  Span *clique_spans;
  size_t nspans, spans_capacity;
  size_t merged_pairs;
  int32_t *leader; /* per choice: the first of its group */
  Share *shares;   /* of tally t: shares[share_start[t]..share_start[t + 1]) */
  size_t *share_start;
} Presolve;

/* A variable that may be replaced by its value once its bounds meet. A derived number may not: its
** definition would be lost; a derived literal turns into a requirement. */
bool presolve_foldable(const Model *model, Var var);
/* It has one, and may be replaced by it: *out_value. */
bool presolve_fixed(const Presolve *p, Var var, double *out_value);

static inline uint64_t presolve_mix(uint64_t h) {
  h ^= h >> 33;
  h *= UINT64_C(0xff51afd7ed558ccd);
  h ^= h >> 33;
  h *= UINT64_C(0xc4ceb9fe1a85ec53);
  return h ^ (h >> 33);
}

bool presolve_init(Presolve *p, const Model *model, const uint8_t *skip, Fault *fault);
void presolve_finish(Presolve *p);

/* Bounds: unit requirements, then a few sweeps of interval reasoning over all requirements. */
void presolve_bounds(Presolve *p, const Lit *assume, size_t nassume);
/* Which definitions are read by a requirement or goal that is left. */
void presolve_live(Presolve *p);
/* Pairs x + y <= 1 -> larger at-most-one rows (pairwise "different" over n rows is one row). */
bool presolve_cliques(Presolve *p, Fault *fault);
/* Choices with equal columns, value by value; tallies as shares of such groups. Linear in the size
** of the model. */
bool presolve_groups(Presolve *p, Fault *fault);

/* The network's columns, groups and settled primaries (columns.c). False when out of memory. */
bool net_add_columns(Net *net, const Presolve *p);

#endif
