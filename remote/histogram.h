/*
** A histogram in far memory: vectors of counts in a ring, one for each window of time.
**
** The paper's monitoring (section 6): producers add through a far base pointer and an index, in one
** round, to the window that it points to; consumers read whole windows, or have only those counts
** watched that alarm them. Turning the ring gives producers another window without asking them.
**
**   far_histogram_open(memory, "latency", &plan, &histogram, stop, fault);
**   far_histogram_observe(histogram, 12.5, 1, stop, fault);                       1 round
**   far_histogram_turn(histogram, stop, fault);                                   2 rounds
**   far_histogram_read(histogram, counts, &newest, stop, fault);                  1 round
*/
#ifndef TENFOLD_REMOTE_HISTOGRAM_H
#define TENFOLD_REMOTE_HISTOGRAM_H

#include "remote/layout.h"

typedef struct FarHistogram FarHistogram;

enum { FAR_MOST_BUCKETS = 65536, FAR_MOST_WINDOWS = 4096 };

/* Buckets of one width between low (included) and high (not included), and one each for what is
** below, and what is not. */
typedef struct FarHistogramPlan {
  double low, high; /* finite, low < high */
  uint64_t buckets; /* 1 to FAR_MOST_BUCKETS */
  uint64_t windows; /* 1 to FAR_MOST_WINDOWS */
} FarHistogramPlan;

/* Opens the histogram of this name, or makes it; `plan` all zero: as it was made. FAULT_INVALID: it
** was made with another plan. Two rounds. Owner: the caller. */
bool far_histogram_open(FarMemory *memory, const char *name, const FarHistogramPlan *plan,
                        FarHistogram **out, Stop *stop, Fault *fault);
void far_histogram_close(FarHistogram *histogram);
bool far_histogram_drop(FarMemory *memory, const char *name, Stop *stop, Fault *fault);

const FarHistogramPlan *far_histogram_plan(const FarHistogram *histogram);

/* Where a value is counted: 0 is what is below `low` (and NaN), 1 the first bucket, buckets + 1
** what is `high` or more. */
uint64_t far_histogram_bucket(const FarHistogramPlan *plan, double value);
/* Where that begins; infinite for the first one. Bucket buckets + 2 begins at infinity. */
double far_histogram_edge(const FarHistogramPlan *plan, uint64_t bucket);

/* Counts a value n times. A round. */
bool far_histogram_observe(FarHistogram *histogram, double value, uint64_t n, Stop *stop,
                           Fault *fault);

/* Producers count in the next window from now on, which is empty. *out: its number. A producer that
** was in the middle of it may still count in the one before. */
bool far_histogram_turn(FarHistogram *histogram, uint64_t *out, Stop *stop, Fault *fault);

/* All windows there are: for each, from the newest on, buckets + 2 counts. `out` has room for all
** of plan.windows. *out_newest: the newest one's number, they count from 0; windows older than the
** ring are gone. A round. */
bool far_histogram_read(FarHistogram *histogram, uint64_t *out, uint64_t *out_newest, Stop *stop,
                        Fault *fault);

/* ---- alarms ---------------------------------------------------------------------------------- */

/* Words that change when something happens: what a consumer has to watch. */
typedef struct FarRange {
  FarPointer at;
  uint64_t length; /* bytes */
} FarRange;

/* The counts of buckets `from` to `to` in all windows (plan.windows ranges, for the ring comes back
** to each), and the word that changes when the ring is turned. No round. */
void far_histogram_alarm(const FarHistogram *histogram, uint64_t from, uint64_t to, FarRange *out,
                         FarRange *out_turn);

#endif
