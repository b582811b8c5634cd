/*
** Names that no function of a recording has: what to say of them.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_UNKNOWN_H
#define TENFOLD_EXTENSIONS_OMNI_UNKNOWN_H

#include "extensions/omni/code.h"

/* True when some function with code has this name. Otherwise the fault says that it is inlined
** everywhere, what the linker calls it, or which names are near. Reads the debug information of all
** files only then. */
bool unknown_check(const CodeFiles *files, const char *name, Fault *fault);

#endif
