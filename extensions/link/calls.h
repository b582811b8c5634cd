/*
** Operations on rows by their name, as link_call() has them.
*/
#ifndef TENFOLD_EXTENSIONS_LINK_CALLS_H
#define TENFOLD_EXTENSIONS_LINK_CALLS_H

#include "extensions/link/tab.h"

typedef struct LinkCallArgs {
  OwnKey key;
  const char *op;
  int nargs;
  LinkValue args[LINK_MOST_ARGS];
  FarWireBuffer reply; /* a value; the caller frees it */
} LinkCallArgs;

/* *out_there: false, there is no such row. */
bool link_call_run(LinkTab *tab, LinkCallArgs *call, Stop *stop, bool *out_there, Fault *fault);

#endif
