/*
** Epochs: a recording is played in two halves at once, by two helpers.
**
** The second half begins from a state in the middle, which its helper makes by playing the first
** half without probes, and keeps. So the first question gains when probes slow down the playing,
** and all that follow do.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_EPOCH_H
#define TENFOLD_EXTENSIONS_OMNI_EPOCH_H

#include "replay/trace.h"

#define EPOCH_LEAST_NS UINT64_C(150000000) /* of work; less is not worth it */

/* The event behind which the second half of the work begins that is done until the event `last`; 0
** when it is not worth it, or there are several processes. Reads all events once. */
bool epoch_middle(Recording *recording, uint64_t last, uint64_t *out, Fault *fault);

#endif
