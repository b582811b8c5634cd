/*
** A replay with probes whose rows the helper reads itself.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_PROBING_H
#define TENFOLD_EXTENSIONS_OMNI_PROBING_H

#include "extensions/omni/code.h"
#include "extensions/omni/serve.h"
#include "replay/rows.h"

enum { PROBING_ROWS = 20000000 };

typedef struct Probing {
  Rows rows;
  uint64_t count;
  bool open;
} Probing;

/* Plays up to the event `last` (UINT64_MAX: all). FAULT_LIMIT: more than PROBING_ROWS rows. The
** player of service->played is ended before. Finish it also after a failure. */
bool probing_run(Service *service, ProbeSpec *spec, uint64_t last, Probing *out, Fault *fault);
void probing_finish(Probing *probing);

static inline uint64_t probing_word(const Probing *probing, const uint64_t *row, RowColumn column) {
  return row[probing->rows.layout.word[column]];
}

/* Adds the cell of a moment at an offset of a file: a null when it is at several addresses. */
void probing_moment(CellWriter *out, const CodeFile *file, uint64_t offset, uint64_t ev,
                    uint64_t tid, uint64_t hit);

#endif
