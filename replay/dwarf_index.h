/*
** The index of a module: what dwarf_index.c makes and dwarf_find.c looks up.
*/
#ifndef TENFOLD_REPLAY_DWARF_INDEX_H
#define TENFOLD_REPLAY_DWARF_INDEX_H

#include "replay/dwarf_inner.h"

typedef struct IndexFunction {
  uint64_t die, origin; /* origin: the abstract entry it completes, or 0 */
  const char *name, *linkage;
  uint32_t first, nranges;
  bool inlined, merged;
} IndexFunction;

/* A variable with a fixed place, a type, an enumerator. */
typedef struct IndexName {
  uint64_t die, parent; /* parent: the type of an enumerator */
  const char *name;
  uint16_t tag;
  bool local; /* a static variable inside a function */
} IndexName;

typedef struct IndexCode {
  uint64_t lo, hi;
  uint32_t function;
} IndexCode;

typedef enum IndexNames {
  NAMES_FUNCTIONS,
  NAMES_LINKAGE,
  NAMES_GLOBALS,
  NAMES_TYPES,
  NAMES_ENUMERATORS,
  NAMES_GONE,
  NAMES_COUNT
} IndexNames;

/* Numbers of entries in the order of their names; made when first asked for. */
typedef struct NameOrder {
  uint32_t *order;
  size_t count;
} NameOrder;

typedef struct DwarfIndex {
  IndexFunction *functions; /* in the order of their offsets */
  size_t nfunctions, functions_capacity;
  IndexName *globals, *types, *enumerators;
  size_t nglobals, globals_capacity, ntypes, types_capacity;
  size_t nenumerators, enumerators_capacity;
  IndexName *gone; /* globals that the compiler did away with */
  size_t ngone, gone_capacity;
  uint64_t *inlined; /* entries that some inlined call completes; many are there often */
  size_t ninlined, inlined_capacity;
  AddrRanges ranges; /* of functions */
  IndexCode *code;   /* the same, in the order of addresses */
  size_t ncode;
  NameOrder names[NAMES_COUNT];
} DwarfIndex;

/* NULL: no memory. */
DwarfIndex *dwarf_index_get(Dwarf *dwarf, Fault *fault);
/* The i-th enumerator of that name: the entry of its type, and its number. */
bool dwarf_enumerator_named(Dwarf *dwarf, const char *name, size_t i, uint64_t *out_type,
                            int64_t *out_number, Fault *fault);
/* The i-th global of that name that has no place, for it was optimised out. */
bool dwarf_gone_named(Dwarf *dwarf, const char *name, size_t i, uint64_t *out, Fault *fault);

#endif
