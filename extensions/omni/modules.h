/*
** The files of a recording whose code was mapped, and the functions in them. For the helper: files
** of a recording may be hostile.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_MODULES_H
#define TENFOLD_EXTENSIONS_OMNI_MODULES_H

#include "replay/functions.h"
#include "replay/trace.h"

typedef struct Module {
  uint32_t file; /* number in the recording */
  char *path;    /* as the program knew it; "" when it has none */
  bool has_code;
  uint64_t base;  /* where offset 0 of the file was mapped for its code ... */
  bool is_varied; /* ... unless that differs from process to process */
  /* once opened; NULL: not an ELF file, or not yet */
  ElfFile *elf, *debug;
  Cfi *cfi;
  Functions *functions;
} Module;

typedef struct Modules {
  Recording *recording; /* borrowed */
  Module *list;
  size_t count, capacity;
} Modules;

/* Reads the whole recording once. */
bool modules_read(Recording *recording, Modules *out, Fault *fault);
void modules_finish(Modules *modules);
/* Reads its functions; module->functions stays NULL when it is no ELF file. */
bool module_open(const Modules *modules, Module *module, Fault *fault);

#endif
