/*
** Finding good answers without a linear program. Private to solver/.
*/
#ifndef TENFOLD_SOLVER_SEARCH_H
#define TENFOLD_SOLVER_SEARCH_H

#include "solver/job.h"
#include "solver/state.h"

/* How greedy construction breaks ties between values that violate nothing and cost the same. */
typedef enum GreedyMode {
  GREEDY_FULLEST,  /* the fullest place that still has room: packs */
  GREEDY_EMPTIEST, /* the emptiest: balances */
  GREEDY_MODES
} GreedyMode;

typedef struct Search {
  Job *job;
  State state;
  double *goal_coef; /* per column: its own part of the goal */
  double *base;      /* columns before anything is placed */
  double *trial;
  int32_t *order; /* groups, hardest first */
  double *hardness;
  int32_t *heap;   /* columns of the group being placed */
  double *score;   /* per column */
  double *lo, *hi; /* bounds with thresholds */
  double *relaxed; /* columns in the linear relaxation, when has_relaxed */
  bool has_relaxed;
  double root_seconds; /* what the relaxation took */
  int64_t *tabu;       /* per column: not before this move */
  int64_t moves;
  uint64_t random;
} Search;

bool search_init(Search *search, Job *job);
void search_finish(Search *search);
/* The goal or rows of the job have changed. */
void search_level(Search *search);

/* Place every group, hardest first, under the caps of search->state, on top of search->base.
** `keep`: counts to place first where they cost nothing (the present state), or NULL. Returns the
** number of units that violate something. `noise` > 0 shuffles the order by that much. */
int32_t greedy(Search *search, GreedyMode mode, const double *keep, double noise);

/* Repair and improve by single moves for `work` steps; every better answer is offered to the job
** and the cut-off raised, when `improve`. Returns true when it ended without violation. */
bool local_search(Search *search, int64_t work, bool improve);

enum { MAX_TARGETS = 16 };

/* A maximum (minimum) of sums in the goal that is to be made small (large). */
typedef struct Target {
  int32_t def, column;
  double sign;   /* 1: a maximum, -1: a minimum */
  double weight; /* what the goal loses for each unit: > 0 */
} Target;

/* Fills targets[0..returned). */
int find_targets(const Job *job, Target *targets);

/* Least caps on the maxima (and greatest on minima) of the goal for which greedy and local search
** find an answer. Does nothing for goals without such terms. */
bool threshold_search(Search *search);
/* The same for answers better than the best, shuffled and for longer, until it has failed so often
** in a row. */
void threshold_again(Search *search, int patience);
/* Does the goal have such terms? */
bool threshold_goal(const Job *job);
/* What no answer can beat, by counting how many units fit under thresholds: bounds of the targets'
** columns, and of the goal. `thorough`: also what targets trade against each other, which pays once
** there is a good answer. */
void threshold_bound(Search *search, bool thorough);

/* Free a part of the best answer, solve for it exactly, keep what is better; again. */
bool neighbourhoods(Search *search, double seconds);

/* Among answers as good as the best, look for one nearer to the present values. `begin` starts a
** level with the goal given. The requirement that keeps what was reached is in the network. */
bool stay_home(Job *job, void (*begin)(Job *job, int32_t goal));

/* Goals that charge units where they are, and nothing else: improve the best answer by exchanges of
** units, for so many seconds at most. Does nothing for other goals. */
bool anneal(Search *search, double seconds);

/* Linear goals: solve the relaxation, round it, repair. Also gives the bound. */
bool relaxation_search(Search *search);

#endif
