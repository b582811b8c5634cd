/*
** The log of a client: what a transaction does to buckets, written before it is done, so that
** whoever buries the client can do it to the end. One transaction at a time.
**
**   FarLogHead, then for each bucket: FarLogBucket, and for each slot that is written: the number
**   of the slot and its tag in a word, and the element (the bucket's stride).
**
** What is logged is done bucket by bucket, the lock last: a bucket that the client does not hold
** any more has got all of it.
*/
#ifndef TENFOLD_REMOTE_LOG_H
#define TENFOLD_REMOTE_LOG_H

#include "remote/execute.h"

typedef enum FarLogState {
  FAR_LOG_NONE,
  FAR_LOG_PREPARED, /* how it ends stands in the database that made the mark; without a mark it
                       has not happened */
  FAR_LOG_DECIDED   /* it happens */
} FarLogState;

enum { FAR_MARK = 32 }; /* bytes that name a transaction for whoever decides about it */

typedef struct FarLogHead {
  uint64_t state;
  uint64_t length; /* bytes behind this head */
  uint64_t check;  /* hash of them */
  unsigned char mark[FAR_MARK];
} FarLogHead;

typedef struct FarLogBucket {
  FarPointer bucket;
  uint64_t shape, version, used; /* afterwards */
  uint64_t nslots;
} FarLogBucket;

static inline uint64_t far_log_slot(unsigned slot, uint8_t tag) { return slot | tag << 8; }

/* Does what a dead client's log says, if that is decided; `forced` says that it is. */
bool far_log_finish(const FarMapped *memory, uint64_t client, FarPointer log, bool forced,
                    Fault *fault);

#endif
