/*
** What is in scope at an address: blocks within inlined calls within a function, and their
** variables.
**
** Scopes belong to the Dwarf; those of a function are made when first asked for (about 0.2 us per
** entry of it) and kept.
*/
#ifndef TENFOLD_REPLAY_DWARF_SCOPE_H
#define TENFOLD_REPLAY_DWARF_SCOPE_H

#include "replay/dwarf.h"
#include "replay/dwarf_types.h"

typedef struct DwarfVariable {
  const char *name;
  uint64_t die;
  bool is_parameter;
  bool is_artificial; /* made by the compiler: C++'s `this` */
} DwarfVariable;

typedef enum ScopeKind { SCOPE_FUNCTION, SCOPE_INLINED, SCOPE_BLOCK } ScopeKind;

typedef struct DwarfScope DwarfScope;
struct DwarfScope {
  ScopeKind kind;
  const char *name; /* of the function, or the inlined one; NULL for blocks */
  uint64_t die;
  const DwarfScope *parent; /* NULL: it is the function */
  const DwarfVariable *variables;
  size_t nvariables;
  const DwarfRange *ranges;
  size_t nranges;
  /* of an inlined call: where it is made */
  const char *call_file;
  uint32_t call_line;
  /* private */
  DwarfScope *first, *next; /* scopes inside; the next one beside */
};

/* The innermost scope around the address. FAULT_NOTFOUND: no function is known there. */
bool dwarf_scope_at(Dwarf *dwarf, uint64_t addr, const DwarfScope **out, Fault *fault);
/* That of the i-th function, with all that is inside. */
bool dwarf_scope_of(Dwarf *dwarf, size_t function, const DwarfScope **out, Fault *fault);

/* Variables with a fixed place: globals, and statics of functions (is_local). */
typedef struct DwarfGlobal {
  uint64_t die;
  const char *name;
  const char *file;
  uint32_t line;
  bool external;
  bool is_local;
} DwarfGlobal;

bool dwarf_global_count(Dwarf *dwarf, size_t *out, Fault *fault);
bool dwarf_global_get(Dwarf *dwarf, size_t i, DwarfGlobal *out, Fault *fault);
/* The i-th of that name. False without a fault: no more. */
bool dwarf_global_named(Dwarf *dwarf, const char *name, size_t i, size_t *out, Fault *fault);

/* The type of a variable; NULL: no memory. */
const DwarfType *dwarf_variable_type(Dwarf *dwarf, uint64_t die, Fault *fault);
/* What a function gives and takes, as a type. */
const DwarfType *dwarf_function_type(Dwarf *dwarf, uint64_t die, Fault *fault);

#endif
