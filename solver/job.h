/*
** One solve in progress: what the stages (search, threshold, neighbourhoods, branch and cut) share.
** Private to solver/.
*/
#ifndef TENFOLD_SOLVER_JOB_H
#define TENFOLD_SOLVER_JOB_H

#include "solver/encode.h"
#include "solver/lp.h"
#include "solver/net.h"

typedef struct Job {
  const Model *model;
  SolveOptions options;
  Stop *stop;
  Fault *fault;
  bool wide;           /* net_is_wide(): conclusions of the linear solver are not taken as proof */
  const uint8_t *skip; /* requirements left out, by tag; NULL: none */
  Answer *answer;      /* phases and sizes are counted here */
  Net net;
  int64_t started;

  /* The level being solved. */
  size_t level; /* net.ngoals: any answer will do */
  int32_t goal; /* its expr, -1: none */
  double step;  /* the goal's values are `origin` and multiples of this away; 0: anything */
  double origin;
  double *lo, *hi; /* bounds that hold for every better answer */
  double bound;    /* no answer of this level exceeds it; infinity: unknown */
  bool infeasible; /* nothing better (or nothing at all) exists */

  /* The best answer so far: columns (evaluated) and its value at this level. */
  bool have;
  double *best;
  double value;
  bool pending; /* it satisfies the network, but the model has not been asked yet */
  double *sure; /* the last one that the model itself has checked */
  double sure_value;
  double *values; /* that one in the model's variables */
  double *trial_values, *trial_columns;
  int64_t max_nodes, max_iterations; /* of the next branch and cut, 0: no limit */
  int64_t deadline;                  /* of this level, 0: none */
} Job;

/* The value of the goal at hand, as the model sees it. */
double job_value(const Job *job, const double *columns, const double *values);

/* Offer primaries as an answer: evaluated, checked by the model itself, kept when better. Returns
** whether it was kept. `columns` may be modified (derived ones are filled in). */
bool job_offer(Job *job, double *columns);

/* Offers columns that missed being an answer by the linear solver's tolerance, after moving REALs
** to where they miss it no longer. Returns whether that was kept. */
bool job_nudge(Job *job, double *columns);

/* Does rounding decide whether the columns, all of them evaluated, are an answer? A row that
** presolve has folded away is the model's alone, and a tie all the same. */
bool job_in_doubt(Job *job, const double *columns);

/* The judge's word on columns whose derived ones need not be filled in: false when there is no
** judge, or several assignments behind the columns, or a fault. *out_value: its number of the
** level. */
bool job_ask(Job *job, const double *columns, bool *out_holds, double *out_value);

/* Take an answer whether better or not, if the model agrees. */
bool job_take(Job *job, double *columns);

/* Let the model check what is pending; without its blessing the last sure answer is back. */
bool job_settle(Job *job);

/* What a better answer must reach: one step more, or by the gap asked for. */
double job_cutoff(const Job *job);

/* Bound proven: no answer of this level exceeds `bound`. What comes from the linear solver carries
** noise, relative to its size, which is the caller's to add. */
void job_bound(Job *job, double bound);
bool job_proven(const Job *job);
bool job_stop(Job *job); /* the deadline of the level, or of all, or somebody asked */
double job_seconds_left(const Job *job);

/* Run the clock of a phase: elapsed time is added to the answer's entry of that name. */
int64_t job_clock(void);
void job_phase(Job *job, const char *name, int64_t since);

/* Draw conclusions from the cut-off into lo, hi. False: nothing better exists (job->infeasible). */
bool job_tighten(Job *job);

/* A relaxation that takes longer than this rules out branching: nodes cannot be interrupted. */
double job_max_root(const Job *job);

/* How to encode what is to prove something. */
static inline EncodeEdge job_edge(const Job *job) { return job->wide ? EDGE_OUTSIDE : EDGE_SAME; }

/* Branch and cut on the whole network, with the best answer as a start. */
bool job_branch(Job *job);

static inline uint64_t random_next(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

static inline uint32_t random_below(uint64_t *state, uint32_t n) {
  return (uint32_t)(((random_next(state) >> 32) * n) >> 32);
}

#endif
