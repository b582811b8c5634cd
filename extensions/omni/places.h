/*
** Places in the code as probes: of source lines, and of single instructions. And the columns of the
** tables about them, which host and helper have to agree on.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_PLACES_H
#define TENFOLD_EXTENSIONS_OMNI_PLACES_H

#include "extensions/omni/code.h"

enum {
  PASS_SEQ,
  PASS_FILE,
  PASS_LINE,
  PASS_PATH,
  PASS_FUNC,
  PASS_MODULE,
  PASS_EV,
  PASS_TID,
  PASS_MOMENT,
  PASS_TRACE,
  PASS_NCOL
};

enum { OMNI_REGISTERS = 16 }; /* rax ... r15, from OMNI_RAX on */
enum {
  OMNI_SEQ,
  OMNI_EV,
  OMNI_TID,
  OMNI_RIP,
  OMNI_RAX,
  OMNI_FUNC = OMNI_RAX + OMNI_REGISTERS,
  OMNI_MODULE,
  OMNI_MOMENT,
  OMNI_TRACE,
  OMNI_NCOL
};

typedef struct Place {
  const CodeFile *file;
  const Function *function;
  uint64_t offset;  /* in the file */
  const char *path; /* source, or NULL */
  uint32_t line;
} Place;

typedef struct Places {
  Place *list;
  ProbeFunction *functions; /* beside it */
  size_t count, capacity, functions_capacity;
} Places;

enum { PLACES_MOST = 1 << 15 };

/* Adds a place at an address of the file's. FAULT_UNSUPPORTED: no probe can be there. */
bool places_add(Places *places, const CodeFile *file, uint64_t addr, const char *path,
                uint32_t line, Fault *fault);
/* Every instruction of [lo, hi), addresses of the file's that are one function's. */
bool places_add_code(Places *places, const CodeFile *file, uint64_t lo, uint64_t hi, Fault *fault);
void places_finish(Places *places);

#endif
