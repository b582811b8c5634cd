/*
** The files that code comes from, opened once: what is known of them is shared by all who ask.
*/
#ifndef TENFOLD_REPLAY_MODULES_H
#define TENFOLD_REPLAY_MODULES_H

#include <stdbool.h>

#include "base/fault.h"
#include "replay/cfi.h"
#include "replay/elf_file.h"
#include "replay/functions.h"

typedef struct Module {
  const char *path;
  ElfFile *elf, *debug; /* debug: NULL without a debug file */
  Cfi *cfi;
  Functions *functions; /* NULL until module_functions() */
} Module;

typedef struct Modules Modules;

/* debug_root as for elf_open_debug(). Everything handed out lives until modules_free(). */
bool modules_create(const char *debug_root, Modules **out, Fault *fault);
void modules_free(Modules *modules);
/* The module of the file `path`. One that could not be read is not tried again: the same fault. */
bool modules_get(Modules *modules, const char *path, Module **out, Fault *fault);
/* Its functions, made when asked for the first time (some ms for a MB of code). */
bool module_functions(Module *module, const Functions **out, Fault *fault);

#endif
