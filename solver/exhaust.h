/*
** Proof without a linear program. Private to solver/.
*/
#ifndef TENFOLD_SOLVER_EXHAUST_H
#define TENFOLD_SOLVER_EXHAUST_H

#include "solver/job.h"

/* Does some expression mix numbers so far apart (2^32 beside 1) that the linear solver, which works
** to a precision relative to the largest, cannot see the small ones? */
bool net_is_wide(const Net *net);

/* Does some expression count in steps so small beside its size (1e9 in steps of 2^-20) that the
** linear solver cannot see a step? */
bool net_is_fine(const Net *net);

/* Go through all that is left under job->lo, job->hi by branching and drawing conclusions, in exact
** steps: better answers are offered, and when nothing is left, that is the proof (bound, or
** job->infeasible). Gives up after `nodes` branchings (0: when the time is up), or at once when a
** REAL is open; then only what was found stays. False for faults. */
bool exhaust(Job *job, int64_t nodes);

#endif
