/*
** A global variable by its name: where it is in the run, and how its bytes are read.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_GLOBALS_H
#define TENFOLD_EXTENSIONS_OMNI_GLOBALS_H

#include "extensions/omni/cells.h"
#include "extensions/omni/code.h"

typedef struct Global {
  const CodeFile *file; /* NULL: it is just memory */
  uint64_t addr, size;  /* in the run */
  bool is_signed, is_float;
} Global;

/* FAULT_NOTFOUND: no file of the recording has a symbol of that name; FAULT_INVALID: several have.
 */
bool global_find(CodeFiles *files, const char *name, Global *out, Fault *fault);
/* The bytes [addr, addr + size) of it, cut at what is known of them, as a number or a blob. */
void global_cell(const Global *global, uint64_t addr, uint64_t size, const uint8_t *bytes,
                 CellWriter *out);

#endif
