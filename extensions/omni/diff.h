/*
** Where two recordings part: each as what its threads did, without what only the clock, the
** scheduler and the numbers that the system gives decide.
**
** Threads are matched by the order in which they came. Of each the first difference is found; and
** of the run as a whole, where another thread went on than in the other run.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_DIFF_H
#define TENFOLD_EXTENSIONS_OMNI_DIFF_H

#include "base/text.h"
#include "replay/trace.h"
#include "vtab/vt.h"

typedef struct DiffStep { /* something a thread did */
  uint64_t ev;
  uint64_t call, result, data; /* hashes of what it asked, of the result, of the bytes that came */
} DiffStep;

typedef struct DiffThread {
  int32_t tid;
  DiffStep *list;
  size_t count, capacity;
} DiffThread;

typedef struct DiffTurn { /* who went on */
  uint32_t thread;
  uint64_t ev;
} DiffTurn;

typedef struct DiffRun {
  Recording *recording; /* borrowed */
  DiffThread *threads;  /* in the order in which they came */
  size_t count, capacity;
  DiffTurn *turns; /* changes of the thread only */
  size_t nturns, turns_capacity;
} DiffRun;

/* Reads all of it. Finish it also after a failure. */
bool diff_read(DiffRun *run, VtPoll *poll, Fault *fault);
void diff_finish(DiffRun *run);

typedef enum DiffWhat { DIFF_SCHEDULE, DIFF_CALL, DIFF_RESULT, DIFF_DATA, DIFF_END } DiffWhat;

typedef struct Diff {
  DiffWhat what;
  size_t thread;  /* of a schedule: of the first run */
  uint64_t ev[2]; /* 0: there is none: that run's thread did nothing more */
  int32_t tid[2]; /* 0: likewise */
} Diff;

/* False: they do the same. */
bool diff_schedule(const DiffRun *a, const DiffRun *b, Diff *out);
bool diff_thread(const DiffRun *a, const DiffRun *b, size_t thread, Diff *out);

/* One event as a line: "read(3, ...) = 5". */
bool diff_tell(Recording *recording, uint64_t ev, Text *out, Fault *fault);

#endif
