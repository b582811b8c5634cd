/*
** The functions that a question about calls names, as probes.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_SITES_H
#define TENFOLD_EXTENSIONS_OMNI_SITES_H

#include "extensions/omni/ask.h"
#include "extensions/omni/code.h"

typedef struct Site {
  const char *name;
  const CodeFile *module;
  uint64_t offset; /* of its entry, in the file */
} Site;

typedef struct Sites {
  Site *list;
  ProbeFunction *functions; /* beside it */
  size_t count, capacity, functions_capacity;
} Sites;

/* Adds what fits the names and the module. FAULT_UNSUPPORTED: it names an ifunc, which nobody
** calls; FAULT_INVALID: the only name, which is no pattern, is none. Finish it also after a
** failure. */
bool sites_find(const Ask *ask, CodeFiles *files, Sites *sites, Fault *fault);
void sites_finish(Sites *sites);

#endif
