/*
** Stacks of a traced or played program, with names: which function of which module an address is
** in, the frames of a thread, and stacks folded to one line ("main;work;malloc") for flame
** graphs.
**
** A Stacks belongs to one address space at a time. Frames come from unwind.h; guesses are off.
*/
#ifndef TENFOLD_REPLAY_STACK_H
#define TENFOLD_REPLAY_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "base/fault.h"
#include "base/text.h"
#include "replay/maps.h"
#include "replay/modules.h"
#include "replay/tracee.h"
#include "replay/unwind.h"

typedef struct Stacks Stacks;

/* The path of the file that has the bytes of this range. False: none that can be read. */
typedef bool (*StackFile)(void *ctx, const MapRange *range, char *out, size_t size);
/* For ranges of a live process (maps_read()): their names. */
bool stack_live_file(void *ctx, const MapRange *range, char *out, size_t size);
/* For ranges of a recording: ctx is the path of its directory. */
bool stack_recorded_file(void *ctx, const MapRange *range, char *out, size_t size);

/* `modules` is borrowed. */
bool stacks_create(Modules *modules, Stacks **out, Fault *fault);
void stacks_free(Stacks *stacks);
/* What is mapped now. Cheap when the executable ranges are those of the last time. Files that
** cannot be read count as code of which nothing is known. */
bool stacks_maps(Stacks *stacks, const MapList *maps, StackFile file, void *ctx, Fault *fault);
Unwinder *stacks_unwinder(Stacks *stacks);

typedef struct StackPlace {
  const char *module;       /* the name of its range; "" when nothing executable is there */
  const Module *file;       /* NULL: none was read */
  const Function *function; /* NULL: unknown */
  uint64_t addr;            /* in the file */
  int64_t offset;           /* from the function's entry; negative in a part that lies before it */
} StackPlace;

/* What is at an address (Frame.at). The functions of its module are made if need be; a module whose
** functions cannot be made has none. */
void stacks_place(Stacks *stacks, uint64_t at, StackPlace *out);

/* The memory of a stopped process, of which [rsp, rsp + STACK_COPY) is copied at once. */
enum { STACK_COPY = 1 << 16 };
typedef struct StackMemory {
  UnwindMemory memory;
  const Space *space;
  uint8_t *copy; /* malloc'ed by the first stack_copy(); released by stack_memory_finish() */
} StackMemory;
bool stack_copy(StackMemory *memory, const Space *space, uint64_t rsp, Fault *fault);
void stack_memory_finish(StackMemory *memory);

/* Adds the names of frames, the outermost first, with ';' between them: function, or [module] or
** [unknown]. ';' and line ends within a name become '_'. Text.oom tells of refused memory. */
void stacks_fold(Stacks *stacks, const uint64_t *at, size_t count, Text *out);

#endif
