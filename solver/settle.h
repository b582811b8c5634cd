/*
** Small models that the linear solver's tolerance does not do justice: every assignment is looked
** at. Private to solver/.
*/
#ifndef TENFOLD_SOLVER_SETTLE_H
#define TENFOLD_SOLVER_SETTLE_H

#include "solver/model.h"

/* Fills answer->status, values, objective, bound and phases when the model is small enough to be
** settled within options->settle steps (and `stop`); *out_done tells. A model that is not exact
*needs options->judge. */
bool settle(const Model *model, const SolveOptions *options, const uint8_t *skip, Stop *stop,
            Answer *answer, bool *out_done, Fault *fault);

#endif
