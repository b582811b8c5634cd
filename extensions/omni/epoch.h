/*
** Epochs: a recording is played in two halves at once, by two helpers.
**
** The second half begins from a state in the middle, which its helper keeps. It makes it while the
** other one answers the first question, playing all of it; so questions after that gain. Where the
** middle is is guessed before, and known when the first question has been answered.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_EPOCH_H
#define TENFOLD_EXTENSIONS_OMNI_EPOCH_H

#include "replay/trace.h"

#define EPOCH_LEAST_NS UINT64_C(150000000) /* of work; less is not worth it */

/* The event behind which the second half of the work begins that is done until the event `last`; 0
** when it is not worth it, or there are several processes. Reads all events once. */
bool epoch_middle(Recording *recording, uint64_t last, uint64_t *out, Fault *fault);

#endif
