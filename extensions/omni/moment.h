/*
** The text of a moment: "ev:tid:addr:hit" as omni_calls has them; "ev" alone is where the thread of
** that event stands after it, "ev:tid" where that thread does.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_MOMENT_H
#define TENFOLD_EXTENSIONS_OMNI_MOMENT_H

#include "replay/play.h"

/* tid 0: the event's; hit 0: right after the event. */
bool moment_parse(const char *text, Moment *out, Fault *fault);

#endif
