/*
** Probes: a stopped program is patched so that every pass of a place appends a row, natively.
**
** Where 5 bytes can be overwritten, a jump leads to a stub near the code; elsewhere an int3 stops
** the program, which then runs the same stub (12 us instead of about 1 ns). A stub changes nothing
** that the program could see: no register, no flag, no byte of its stack; it uses memory below 2
** GiB that belongs to probes. It can be resumed at each of its instructions, but must not be left
** in the middle for another thread: who switches threads does so at stops that are not inside our
** pages.
**
** Functions return false and set the fault when the system or the program refuses; patches made
** until then are in place and probes_detach() takes them back. One thread traces and calls this.
*/
#ifndef TENFOLD_REPLAY_PROBE_H
#define TENFOLD_REPLAY_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "replay/rows.h"
#include "replay/tracee.h"

typedef struct CodeRange {
  uint64_t lo, hi;
} CodeRange;

enum { PROBE_PARTS = 4, PROBE_VALUES = 16, PROBE_TESTS = 8, PROBE_SETS = 14 };
#define PROBE_NO_FILE UINT32_MAX

/* A function: offsets in a mapped file, or addresses when file is PROBE_NO_FILE. The first part
** begins with the entry; the others (".cold") are where its code goes on. */
typedef struct ProbeFunction {
  uint32_t file;  /* number of the file, as in ProbeMapping */
  uint64_t place; /* an instruction of the first part at which rows are made; 0: at the entry */
  int nparts;
  CodeRange parts[PROBE_PARTS];
} ProbeFunction;

typedef enum ProbeOp { PROBE_EQ, PROBE_NE, PROBE_LT, PROBE_LE, PROBE_GT, PROBE_GE } ProbeOp;

/* At an entry: `column op value`, or the column is one of several values (PROBE_EQ). Columns:
** ROW_A0..A5, ROW_CALLER, ROW_TID. */
typedef struct ProbeTest {
  RowColumn column;
  ProbeOp op;
  bool is_unsigned;
  int nvalues;
  int64_t values[PROBE_VALUES];
} ProbeTest;

typedef struct ProbeSpec {
  uint64_t columns; /* 1 << RowColumn */
  bool returns;     /* rows of ROW_RETURN and ROW_TAIL as well */
  bool always_int3; /* for tests: nothing is patched with a jump */
  int ntests;       /* all must hold for an entry row; return rows come regardless */
  ProbeTest tests[PROBE_TESTS];
  uint64_t limit;                 /* PROBE_LIMIT after so many rows; 0: none */
  const RowTaker *taker;          /* takes the rows as they come, instead of a limit; or NULL */
  const ProbeFunction *functions; /* the site of a row is the index */
  size_t nfunctions;
} ProbeSpec;

/* Somewhere in [low, high) a range of `size` bytes that is free now and stays so for good (the
** program will not map it). False: there is none. */
typedef bool (*ProbePlace)(void *ctx, uint64_t low, uint64_t high, uint64_t size, uint64_t *out);

typedef struct ProbeMapping {
  uint64_t start, end, offset; /* offset in the file */
  uint32_t file;               /* PROBE_NO_FILE: none */
} ProbeMapping;

/* What stubs know of the moment: kept by who lets the program run. */
typedef struct ProbeWords {
  uint64_t ev, tid;
  uint64_t saved[6]; /* of the stubs */
} ProbeWords;

/* How a site was patched, for those who want to know. */
typedef struct ProbeCounts {
  uint64_t native, int3, refused;
} ProbeCounts;

typedef struct Probes Probes;

/* For one address space, of which `tracee` is a stopped thread. */
bool probes_create(Tracee *tracee, ProbePlace place, void *place_ctx, Probes **out, Fault *fault);
/* Forgets everything; the program is not touched (use probes_detach() before when it goes on). */
void probes_free(Probes *probes);
/* The space of a process that was forked from that of `parent`: has the same patches, writes to the
** same row files. Parent and child must not run at the same time. */
bool probes_fork(const Probes *parent, Space *space, Probes **out, Fault *fault);
volatile ProbeWords *probes_words(Probes *probes);

/* A set of probes whose rows go to fd (made a row file with this key). The functions are copied. At
** most PROBE_SETS. Sites appear when their code is mapped: call probes_map() for what is there. */
bool probes_add(Probes *probes, Tracee *tracee, const ProbeSpec *spec, int fd, const void *key,
                size_t key_size, int *out_set, Fault *fault);
/* Executable memory appeared: patch what is asked for there. Cost: about 100 ns per instruction of
** the functions, 2 ms per MB of code. */
bool probes_map(Probes *probes, Tracee *tracee, const ProbeMapping *mapping, Fault *fault);
/* It went (munmap, or something else was mapped over it). Also for execve, with everything. */
void probes_unmap(Probes *probes, uint64_t start, uint64_t end);
bool probes_finish(Probes *probes, int set, RowState state, Fault *fault); /* its row file */
const RowFile *probes_rows(const Probes *probes, int set);
ProbeCounts probes_counts(const Probes *probes, int set);

/* Stop (PROBE_REACHED) when thread tid is about to run the instruction at addr for the hits-th time
** from now. `body` holds the function around, if known: without it an instruction of fewer than 5
** bytes costs a stop for each pass. */
bool probes_count(Probes *probes, Tracee *tracee, uint64_t addr, int32_t tid, uint64_t hits,
                  CodeRange body, Fault *fault);

/* Stop (PROBE_POINT) when thread tid is about to run the instruction at regs->rip with these
** registers (all but segments and the upper bits of the flags) and these words in memory. */
enum { POINT_WORDS = 32 };
typedef struct ProbePoint {
  int32_t tid;
  struct user_regs_struct regs;
  int nwords;
  uint64_t addr[POINT_WORDS], word[POINT_WORDS];
} ProbePoint;
bool probes_point(Probes *probes, Tracee *tracee, const ProbePoint *point, CodeRange body,
                  Fault *fault);
/* Take back what probes_count() and probes_point() did at addr. */
bool probes_clear(Probes *probes, Tracee *tracee, uint64_t addr, Fault *fault);

/* Stop (PROBE_BREAK) whenever a thread is about to run the instruction at addr; once is enough. */
bool probes_break(Probes *probes, Tracee *tracee, uint64_t addr, CodeRange body, Fault *fault);
bool probes_unbreak(Probes *probes, Tracee *tracee, uint64_t addr, Fault *fault);

/* From now on it is counted how often thread tid runs the instruction at addr, without stops. */
bool probes_tally(Probes *probes, Tracee *tracee, uint64_t addr, int32_t tid, CodeRange body,
                  Fault *fault);
/* How often that was; 0 when nobody counts. */
bool probes_tallied(const Probes *probes, uint64_t addr, uint64_t *out, Fault *fault);
bool probes_untally(Probes *probes, Tracee *tracee, uint64_t addr, Fault *fault);

/* From now on every write of the program to addr[0..size) is a stop (PROBE_WRITE), told by
** probes_write() once it has happened. The pages are made read-only: a write to them costs about
** 60 us, also beside the range. What is written in the program's name (results of system calls) is
** not seen: compare the memory before and after. Protection that the program itself changes later
** ends the watch of those pages. */
bool probes_watch(Probes *probes, Tracee *tracee, uint64_t addr, uint64_t size, int *out_watch,
                  Fault *fault);
bool probes_unwatch(Probes *probes, Tracee *tracee, int watch, Fault *fault);
/* The program has just set the protection of start..end, whole pages: what is watched there stays
** so. FAULT_UNSUPPORTED: the pages of a watch have become different. */
bool probes_protected(Probes *probes, Tracee *tracee, uint64_t start, uint64_t end, int prot,
                      Fault *fault);

/* `pc` is the address of the instruction in the program. What it wrote, cut to the range: size
** bytes at addr; at most WRITE_BYTES of a write come with their values. A repeated string
** instruction is a write for each repetition. */
enum { WRITE_BYTES = 64 };
typedef struct ProbeWrite {
  int watch;
  uint64_t pc, addr, size;
  uint8_t before[WRITE_BYTES], after[WRITE_BYTES];
} ProbeWrite;
const ProbeWrite *probes_write(const Probes *probes);

typedef enum ProbeStop {
  PROBE_FOREIGN, /* not ours; rip, if it was in our copy of an instruction, is the original's now */
  PROBE_HANDLED, /* go on */
  PROBE_LIMIT,   /* a set has all the rows it wants: `set` */
  PROBE_REACHED, /* probes_count(): rip is still ours, to go on from; see probes_leave() */
  PROBE_POINT,   /* probes_point(): likewise */
  PROBE_BREAK,   /* probes_break(): likewise */
  PROBE_WRITE    /* probes_watch(): the write has been made */
} ProbeStop;

/* After a stop with SIGTRAP or SIGSEGV. False: the row file could not grow, or the like. */
bool probes_stop(Probes *probes, Tracee *tracee, ProbeStop *out_stop, int *out_set, Fault *fault);
/* Before a thread goes on whose registers were set to, or stopped at, an address of the program: an
** address inside a patch becomes that of our copy. The other way round: probes_leave(), for every
** stop at which somebody looks at rip. */
bool probes_enter(const Probes *probes, Tracee *tracee, Fault *fault);
bool probes_leave(const Probes *probes, Tracee *tracee, Fault *fault);

/* Put the program's own bytes over what was read at addr. */
void probes_original(const Probes *probes, uint64_t addr, void *bytes, size_t size);
/* The i-th range of memory that is ours, not the program's. False: there are no more. */
bool probes_range(const Probes *probes, size_t i, CodeRange *out);
/* The program as it was, threads (all of them) out of our copies, our pages unmapped. */
bool probes_detach(Probes *probes, Tracee *const *threads, size_t nthreads, Fault *fault);

#endif
