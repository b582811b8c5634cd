/*
** What the files of the probes share: sets, patches, and the memory of ours in the program.
*/
#ifndef TENFOLD_REPLAY_PROBE_INNER_H
#define TENFOLD_REPLAY_PROBE_INNER_H

#include "replay/probe.h"
#include "replay/probe_body.h"
#include "replay/probe_stub.h"

enum {
  LOW_PAGES = 1 + PROBE_SETS, /* words, and the live page of each set */
  LOW_PAGE = 4096,
  REGION_BYTES = 1 << 20,
  CODE_LONGEST = 24 * 1024 /* of one patch: many actions with many tests */
};
#define SEGMENT_FIRST ((uint64_t)256 << 10)
#define SEGMENT_BYTES ((uint64_t)4 << 20)
#define WINDOW_SPAN ((uint64_t)256 << 30) /* addresses of a row file */

typedef enum StepKind { STEP_INSN, STEP_STUB, STEP_STOP } StepKind;

/* A place in the code of a patch: from `offset` on it stands for `at` of the program. */
typedef struct Step {
  StepKind kind;
  uint32_t offset, otherwise;
  int32_t adjust;
  uint64_t at;
  ActionKind action; /* of STEP_STOP */
} Step;

typedef struct Patch {
  uint64_t start, end; /* what was overwritten; of an int3 one byte */
  bool native, dirty, retired, planted;
  uint64_t code;
  uint32_t code_size;
  uint8_t original[WINDOW_BYTES];
  uint64_t island; /* 0, or where the jump stands that a short jump at `start` leads to */
  uint8_t island_original[WINDOW_JUMP];
  Insn *insns;
  size_t ninsns;
  Action *actions;
  size_t nactions, actions_capacity;
  Step *steps;
  size_t nsteps, steps_capacity;
} Patch;

/* A stretch of the program's memory that is ours: code of patches, or words below 2 GiB. */
typedef struct Region {
  uint64_t start, size, used, flushed;
  uint8_t *bytes; /* of code: what is there */
  bool is_code;
} Region;

typedef struct ProbeSet {
  ProbeSpec spec; /* functions: owned */
  StubRows rows;
  RowFile file;
  ProbeCounts counts;
  uint64_t limit_at;      /* address of the last word of the last row, 0: none */
  bool limited, borrowed; /* borrowed: the file is the parent's */
} ProbeSet;

typedef struct Watch {
  uint64_t addr, size, start, end; /* the range, and its pages */
  int prot;                        /* of the pages, as the program knows it */
  bool live;
} Watch;

struct Probes {
  Space *space;
  ProbePlace place;
  void *place_ctx;
  int words_fd;
  ProbeWords *words;
  bool words_borrowed;
  uint64_t low; /* where the program sees the words */
  ProbeSet *sets;
  size_t nsets, sets_capacity;
  Region *regions;
  size_t nregions, regions_capacity;
  Patch **patches; /* by start; retired ones are kept for threads inside their code */
  size_t npatches, patches_capacity;
  Watch *watches;
  size_t nwatches, watches_capacity;
  ProbeWrite write; /* the last */
};

/* probe_memory.c */
bool memory_map_fd(Probes *probes, Tracee *tracee, int fd, uint64_t addr, uint64_t size,
                   uint64_t offset, Fault *fault);
/* `count` words below 2 GiB, zero. */
bool memory_words(Probes *probes, Tracee *tracee, size_t count, uint64_t *out, Fault *fault);
/* Room for code within reach of start..end; region->used is where it goes. */
bool memory_code(Probes *probes, Tracee *tracee, uint64_t start, uint64_t end, Region **out,
                 Fault *fault);
bool memory_flush(Probes *probes, Fault *fault);
bool memory_setup(Probes *probes, Tracee *tracee, Fault *fault);
bool memory_unmap(Probes *probes, Tracee *tracee, Fault *fault);

/* probe_plant.c */
Patch *patch_at(const Probes *probes, uint64_t at);
/* Let the action happen at instruction i. false without a fault: it cannot be patched at all. */
bool plan_action(Probes *probes, const Body *body, size_t i, bool before, bool int3,
                 const Action *action, Patch **out, Fault *fault);
/* Emit and plant what changed. */
bool plan_commit(Probes *probes, Tracee *tracee, Fault *fault);
bool patch_unplant(Probes *probes, Patch *patch, Fault *fault);
void patch_free(Patch *patch);

/* probe_watch.c: a fault at `addr`; *out is left alone when it is not ours. */
bool watch_fault(Probes *probes, Tracee *tracee, uint64_t addr, ProbeStop *out, Fault *fault);

#endif
