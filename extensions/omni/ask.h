/*
** What host and helper say to each other about calls: the question's shape, checked on both sides.
**
** WIRE_CALLS, with a descriptor of an empty file that becomes one of packed rows (packed.h): text
** dir, u32 number of names and for each u32 is it a pattern and the text; text module ("": any; a
** GLOB pattern), u64 columns (1 << RowColumn), u32 returns, u64 limit, u64 first and u64 last
** event between which it is played with probes, u64 near, u32 does another one play the rest, u32
** number of tests and for each u32 column, u64 lowest, u64 highest value.
** `first` is 0 for the beginning. ASK_MIDDLE: no question, but the wish that the state behind half
** of the work be kept: WIRE_NEWS tells the event as u64 (0: halves are not worth it), WIRE_DONE
** that it is done. Whoever plays from the beginning tells in WIRE_DONE where half of the time was
** over; `near`, where a state is kept, if that is about there.
** Answer: WIRE_ROWS, each some sites: u32 number, then texts name and module, u64 address (0: not
** the same everywhere) and u64 key (file and offset) of each, in the order of their numbers in the
** rows; then WIRE_DONE: u64 sites patched natively, u64 with int3, u64 last event that was played,
** u64 event where half of the time was over (0: not known).
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_ASK_H
#define TENFOLD_EXTENSIONS_OMNI_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "replay/probe.h"

enum { ASK_NAMES = 256, ASK_TESTS = PROBE_TESTS / 2, ASK_SITES = 1 << 20 };

#define ASK_MIDDLE UINT64_MAX

typedef struct AskName {
  const char *text;
  bool is_pattern;
} AskName;

typedef struct AskTest {
  RowColumn column;
  int64_t low, high;
} AskTest;

typedef struct Ask {
  const char *dir, *module;
  int nnames;
  AskName names[ASK_NAMES];
  uint64_t columns;
  bool returns;
  uint64_t limit, first, last, near;
  bool beside;
  int ntests;
  AskTest tests[ASK_TESTS];
} Ask;

#endif
