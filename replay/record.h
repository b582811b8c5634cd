/*
** Recording a program: it runs under ptrace, and everything it gets from outside is written down.
**
** One thread of one process records; that process traces and does nothing else: it is pinned to one
** CPU together with what it records, waits for all its children, and its ITIMER_REAL and SIGALRM
** belong to us while record_run() runs. The program inherits stdin, stdout and stderr. Recording
** ends when the whole tree of processes has ended, daemons included, or when `stop` asks for it:
** then what still runs is killed, and the recording replays up to there.
**
** What the recorder changes in what the program sees, and replay has to know:
**   - vfork, and clone with CLONE_VM and CLONE_VFORK, are made as fork (the event tells the call
**     as the program made it); clone3 and what call_refusal() names is answered without being made;
**   - madvise MADV_FREE is made as MADV_DONTNEED; sched_setaffinity is answered with 0, not made;
**   - no vdso, no vvar; SPACE_PAGE is mapped; GLIBC_TUNABLES has glibc.pthread.rseq=0.
*/
#ifndef TENFOLD_REPLAY_RECORD_H
#define TENFOLD_REPLAY_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/stop.h"

/* Where calls that end at once are made. */
typedef enum RecordCalls {
  CALLS_USUAL,  /* inside, but in chaos, whose schedule is made at stops */
  CALLS_INSIDE, /* in the process, which logs them, without a stop, if the machine allows it */
  CALLS_STOP    /* every call is a stop */
} RecordCalls;

typedef struct RecordOptions {
  const char *dir;     /* made; must not exist or be empty */
  char *const *argv;   /* looked up in PATH */
  char *const *env;    /* NULL: as ours */
  uint64_t hash_every; /* events between hashes; 0: by a share of the time (about 3 %) */
  uint64_t chaos;      /* seed of a hostile schedule; 0: none */
  int preempt_ms;      /* how long a thread may run while others wait; 0: 10 */
  RecordCalls calls;
} RecordOptions;

typedef struct RecordSummary {
  int status;             /* wait status of the first process */
  uint64_t events;        /* how many were written */
  uint64_t inside;        /* how many of them came without a stop */
  uint64_t raw, stored;   /* their bytes, before and after compression */
  int threads, processes; /* how many there were in all */
  int64_t ns;             /* how long it took */
} RecordSummary;

/* FAULT_NOTFOUND: there is no such program; FAULT_UNSUPPORTED: it did something that cannot be
** recorded, which the text names (the recording ends there, with a NOTE event); FAULT_INTERRUPT or
** FAULT_TIMEOUT: `stop` said so. The summary is filled in any case, as far as it came. */
bool record_run(const RecordOptions *options, Stop *stop, RecordSummary *out, Fault *fault);

#endif
