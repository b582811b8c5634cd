/*
** The code that runs at a probe.
*/
#ifndef TENFOLD_REPLAY_PROBE_STUB_H
#define TENFOLD_REPLAY_PROBE_STUB_H

#include "replay/probe.h"
#include "replay/probe_asm.h"

typedef enum ActionKind {
  ACTION_ENTRY,
  ACTION_RETURN,
  ACTION_TAIL,
  ACTION_COUNT,
  ACTION_POINT,
  ACTION_BREAK,
  ACTION_TALLY
} ActionKind;

/* What is done at an instruction. */
typedef struct Action {
  ActionKind kind;
  uint64_t at;
  int set;
  uint32_t site;
  uint64_t
      low; /* our words below 2 GiB: of a row {last ev, hits}; of a count or tally {n}; of a point the
                ** registers in the order of Reg, then words */
  bool keep_flags;   /* they may be live here */
  int32_t tid;       /* of a count or a point */
  ProbePoint *point; /* owned */
  /* Of a tail through a register: it is none when the register leads into these ranges, which stand
  ** at `parts` below 2 GiB. */
  int nparts;
  uint64_t parts;
  uint8_t reg;
} Action;

/* What stubs of a set need to know. */
typedef struct StubRows {
  RowLayout layout;
  const ProbeSpec *spec;
  uint64_t cursor;                            /* where RowLive.cursor stands, below 2 GiB */
  uint64_t values[PROBE_TESTS][PROBE_VALUES]; /* where the constants stand */
} StubRows;

/* A place in a stub where it stops, or where a fault means something. */
typedef struct StubPlaces {
  uint32_t stop;      /* offset behind the int3 that says "here" (0: none) */
  uint32_t otherwise; /* of a point: where to go on when its memory is not there */
} StubPlaces;

void stub_rows(Asm *code, uint64_t words, const StubRows *rows, const Action *action);
StubPlaces stub_count(Asm *code, uint64_t words, const Action *action);
void stub_tally(Asm *code, uint64_t words, const Action *action);
StubPlaces stub_point(Asm *code, uint64_t words, const Action *action);

#endif
