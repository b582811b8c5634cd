/*
** What expressions were worth at the calls of a function, kept by the connection: a table that
** stands inside a join is asked again for every row of the outer one, and must not be played again.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_PROBE_KEPT_H
#define TENFOLD_EXTENSIONS_OMNI_PROBE_KEPT_H

#include "extensions/omni/cells.h"
#include "extensions/omni/omni.h"

/* Calls first .. first + count of a question, as cells. */
typedef struct KeptCells {
  uint64_t first, count;
  uint64_t at, size; /* in the file */
} KeptCells;

/* Opens those that hold the call `entry`. False: there are none. `key` tells the expressions. */
bool probe_kept_open(OmniState *state, const OmniSource *source, const char *key, uint64_t entry,
                     int width, KeptCells *out, CellReader *reader);
/* Keeps a copy of what the file has, as long as there is room. */
void probe_kept_add(OmniState *state, const OmniSource *source, const char *key, uint64_t first,
                    uint64_t count, int fd);
void probe_kept_finish(OmniState *state);

#endif
