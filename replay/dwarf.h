/*
** The debug information (DWARF 2 to 5) of one module: functions, lines, types, variables.
**
** Addresses are those of the file; in a process they lie `bias` higher. Names and paths belong to
** the Dwarf and live as long. Nothing in a file is believed: broken parts are left out or refused
** with FAULT_CORRUPT, none crashes or hangs. One thread at a time.
*/
#ifndef TENFOLD_REPLAY_DWARF_H
#define TENFOLD_REPLAY_DWARF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

typedef struct Dwarf Dwarf;

/* `path` is the file that has the debug sections: the module itself or its separate debug file.
** FAULT_NOTFOUND: it has none. Cost: unpacking (100 MB/s) and a few us per unit. */
bool dwarf_open(const char *path, Dwarf **out, Fault *fault);
/* The bytes are borrowed, and changed, until dwarf_close(). */
bool dwarf_open_memory(void *bytes, size_t size, Dwarf **out, Fault *fault);
void dwarf_close(Dwarf *dwarf);
/* Units that could not be read, of all: what is in them is missing from the answers. */
size_t dwarf_unit_count(const Dwarf *dwarf, size_t *out_bad);

/* ---- functions, globals, types: an index, made by the first call that needs it */

typedef struct DwarfFunction {
  uint64_t die; /* names it; see dwarf_function_at() */
  const char *name;
  const char *linkage; /* as the linker knows it; never NULL */
  const char *file;    /* of its declaration, with its folder; "" when unknown */
  uint32_t line;
  bool external;
  bool inlined;     /* the compiler inlined it somewhere */
  uint64_t entry;   /* with code: where it begins */
  uint32_t nranges; /* 0: it has no code of its own, being inlined everywhere */
  const struct DwarfRange *ranges;
} DwarfFunction;

typedef struct DwarfRange {
  uint64_t lo, hi;
} DwarfRange;

bool dwarf_function_count(Dwarf *dwarf, size_t *out, Fault *fault);
bool dwarf_function_get(Dwarf *dwarf, size_t i, DwarfFunction *out, Fault *fault);
/* The function whose code is at the address. FAULT_NOTFOUND: none is known. */
bool dwarf_function_at(Dwarf *dwarf, uint64_t addr, size_t *out, Fault *fault);
/* The i-th function of that name (or linkage name), from 0. False without a fault: no more. */
bool dwarf_function_named(Dwarf *dwarf, const char *name, size_t i, size_t *out, Fault *fault);

/* ---- lines */

typedef struct DwarfLine {
  uint64_t addr, end;    /* the row's code: [addr, end) */
  const char *file;      /* with its folder */
  uint32_t line, column; /* line 0: of no line */
  bool is_stmt, prologue_end;
} DwarfLine;

bool dwarf_line_count(Dwarf *dwarf, size_t *out, Fault *fault);
/* In the order of addresses. */
bool dwarf_line_get(Dwarf *dwarf, size_t i, DwarfLine *out, Fault *fault);
/* The row that holds the address. FAULT_NOTFOUND: none. */
bool dwarf_line_at(Dwarf *dwarf, uint64_t addr, size_t *out, Fault *fault);

#endif
