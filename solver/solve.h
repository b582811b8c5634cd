/*
** Between solve.c and core.c. Private to solver/.
*/
#ifndef TENFOLD_SOLVER_SOLVE_H
#define TENFOLD_SOLVER_SOLVE_H

#include "solver/model.h"

/* solver_solve() leaving out the requirements whose tag's entry in `skip` is not 0. */
bool solve_without(const Model *model, const SolveOptions *options, const uint8_t *skip, Stop *stop,
                   Answer *out, Fault *fault);

/* -1 without requirements; used[tag] = 1 for each tag of a requirement. */
int model_largest_tag(const Model *model);
void model_mark_tags(const Model *model, uint8_t *used);

#endif
