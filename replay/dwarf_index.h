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

/* A variable with a fixed place, or a type. */
typedef struct IndexName {
  uint64_t die;
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
  IndexName *globals, *types;
  size_t nglobals, globals_capacity, ntypes, types_capacity;
  uint64_t *inlined; /* entries that some inlined call completes; many are there often */
  size_t ninlined, inlined_capacity;
  AddrRanges ranges; /* of functions */
  IndexCode *code;   /* the same, in the order of addresses */
  size_t ncode;
  NameOrder names[NAMES_COUNT];
} DwarfIndex;

/* NULL: no memory. */
DwarfIndex *dwarf_index_get(Dwarf *dwarf, Fault *fault);

#endif
