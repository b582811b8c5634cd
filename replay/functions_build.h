/*
** How the table of functions comes about: labels become drafts, drafts become functions or parts.
*/
#ifndef TENFOLD_REPLAY_FUNCTIONS_BUILD_H
#define TENFOLD_REPLAY_FUNCTIONS_BUILD_H

#include "replay/functions.h"

/* A name for an address of code. */
typedef struct Label {
  uint64_t addr, size; /* size 0: not said */
  const char *name, *version;
  bool is_default, is_resolver;
  uint8_t binding; /* STB_* */
  FunctionSource source;
  uint32_t unit; /* the source file it was compiled from, if local: a number; else 0 */
} Label;

typedef struct Labels {
  Label *all;
  size_t count, capacity;
} Labels;

/* All labels of code, sorted by address and plainness, each once. */
bool labels_gather(const ElfFile *elf, const ElfFile *debug, const Cfi *cfi, Arena *arena,
                   Labels *out, Fault *fault);

enum { NO_OWNER = UINT32_MAX };

/* What may become a function: labels first[0..count) share its address. */
typedef struct Draft {
  uint64_t lo, hi;
  const Label *first;
  uint32_t count;
  uint32_t owner;            /* of the function it is a part of, or NO_OWNER */
  bool is_candidate;         /* may be a part */
  bool by_name;              /* the label says so: "f.cold" */
  bool is_entry;             /* .eh_frame says that a call may lead here, or nothing */
  bool is_called, is_shared; /* somebody calls it; several functions jump to it */
  bool is_orphan;            /* a part of nobody knows what */
} Draft;

typedef struct Drafts {
  Draft *all; /* by lo */
  size_t count, capacity;
  uint64_t
      budget; /* bytes that may still be decoded: a hostile file would have all of them often */
} Drafts;

/* Whose code the candidates are, by names and by jumps. */
bool drafts_adopt(const ElfFile *elf, Drafts *drafts, Fault *fault);
/* The draft that covers addr and begins last, or NO_OWNER. */
uint32_t drafts_find(const Drafts *drafts, uint64_t addr);

typedef struct FunctionArea {
  uint64_t lo, hi;
  uint32_t function;
} FunctionArea;

/* Cuts overlapping areas so that each address belongs to the innermost. areas[0..count) are sorted
** by lo and, if equal, the larger first; the result is malloc'ed. */
bool areas_cut(const FunctionArea *areas, size_t count, FunctionArea **out, size_t *out_count);
/* The area around addr, or NULL. */
const FunctionArea *areas_find(const FunctionArea *areas, size_t count, uint64_t addr);

#endif
