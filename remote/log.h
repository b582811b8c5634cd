/*
** The log of a client: what a transaction does, written before it is done, so that whoever buries
** the client can do it to the end. One transaction at a time.
**
**   FarLogHead, then for each lock that the client holds: FarLogBlock, and what is written under
** it:
**   FarLogWrite and the bytes, padded to 8
**
** What is logged is done block by block, the lock last: a block whose lock the client does not hold
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

typedef struct FarLogBlock {
  FarPointer lock;
  uint64_t mine;  /* what that word holds when the client has it: its id, or a claim (queue.h) */
  uint64_t after; /* what it holds when all is written */
  uint64_t nwrites;
  FarPointer changes; /* a word that counts this as a change; 0: none */
} FarLogBlock;

typedef struct FarLogWrite {
  FarPointer at;
  uint64_t length; /* of the bytes that follow */
} FarLogWrite;

static inline uint64_t far_log_room(uint64_t length) { return (length + 7) / 8 * 8; }

/* Does what a dead client's log says, if that is decided; `forced` says that it is. */
bool far_log_finish(const FarMapped *memory, uint64_t client, FarPointer log, bool forced,
                    Fault *fault);

#endif
