/*
** The functions of a module, out of whatever tells of them: symbols of the file and of its debug
** file, stubs of the procedure linkage table, and .eh_frame, so that stripped files have functions
** too, called sub_ADDRESS.
**
** Each begins at an address of its own; the symbols there are its names. Code that belongs to it
** but lies elsewhere (the unlikely paths that compilers move away) is a part of it, found by
** symbols ("f.cold") or, without, by who jumps there. Code of which it is not known whose it is,
** is a fragment: it has a name, but must not be probed, for it is not called. Addresses are those
** of the file.
*/
#ifndef TENFOLD_REPLAY_FUNCTIONS_H
#define TENFOLD_REPLAY_FUNCTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fault.h"
#include "replay/cfi.h"
#include "replay/elf_file.h"
#include "replay/probe.h"

typedef enum FunctionSource { /* the best one that told of it */
                              FUNCTION_SYMTAB,
                              FUNCTION_DEBUG, /* the symbols of the debug file */
                              FUNCTION_DYNSYM,
                              FUNCTION_EH_FRAME,
                              FUNCTION_PLT
} FunctionSource;

typedef enum FunctionKind {
  FUNCTION_PLAIN,
  FUNCTION_RESOLVER, /* an ifunc: runs once and says which function is to be called instead */
  FUNCTION_STUB,     /* name@plt: jumps to a function of another module */
  FUNCTION_FRAGMENT  /* not entered by a call */
} FunctionKind;

typedef struct Function {
  const char *name;                 /* the plainest of its names */
  uint64_t lo, hi;                  /* the first part, which begins with the entry */
  CodeRange parts[PROBE_PARTS - 1]; /* where its code goes on */
  int nparts;                       /* of those */
  FunctionSource source;
  FunctionKind kind;
  uint32_t nnames;
} Function;

typedef struct FunctionName {
  const char *name, *version; /* version: NULL without; several may share a name */
  bool is_default;            /* the one that programs linked today get */
  uint32_t function;          /* index */
} FunctionName;

typedef struct Functions {
  Function *all; /* by lo */
  size_t count;
  FunctionName *names; /* by name; a function has one at least */
  size_t nnames;
  struct FunctionArea *areas; /* by address, without overlaps: whose code it is */
  size_t nareas;
  Arena arena;
} Functions;

/* `debug` (or NULL) is what elf_open_debug() found. Names point into both files and into the
** Functions. About 1 us a symbol. */
bool functions_create(const ElfFile *elf, const ElfFile *debug, const Cfi *cfi, Functions **out,
                      Fault *fault);
void functions_free(Functions *functions);

/* The function whose code is at addr, or NULL. O(log n). */
const Function *functions_at(const Functions *functions, uint64_t addr);
/* The entries called `name`: *out points at the first of so many. O(log n). */
size_t functions_named(const Functions *functions, const char *name, const FunctionName **out);
/* The next name at or after *at (0 to begin with) that matches as SQLite's GLOB says, and *at moves
** behind it; NULL: no more. What stands before the first wildcard is searched in O(log n). */
const FunctionName *functions_glob(const Functions *functions, const char *pattern, size_t *at);

/* As offsets in the file, which is number `file`. False: its code is not in the file, or it is a
** fragment. */
bool functions_probe(const ElfFile *elf, const Function *function, uint32_t file,
                     ProbeFunction *out);

/* As SQLite has it: * ? [abc] [^a-z], bytes above 127 being UTF-8. */
bool glob_matches(const char *pattern, const char *text);

#endif
