/*
** Locks in far memory, and those who hold them.
**
** A lock is a word: 0, or the client that holds it. Nobody waits for a lock while he holds one;
** who is refused gives up what he has and comes again. A client that died is *buried* by
** whoever notices first (the memory's server, or with shared memory any other client): what it had
** decided is done, what it had begun is undone, and then its locks count as free.
*/
#ifndef TENFOLD_REMOTE_CLIENT_H
#define TENFOLD_REMOTE_CLIENT_H

#include "remote/execute.h"
#include "remote/txn.h"

/* Waiting for somebody. All zero is a valid beginning. */
typedef struct FarWait {
  int attempts;
  int64_t until; /* clock_now() */
  uint64_t dead; /* the holder who was */
} FarWait;

/* A lock was found to be `holder`s. Waits a little, or finds out that he is dead. *out_expected is
** what to expect in the word the next time. False: FAULT_BUSY once the memory's deadline is over,
** FAULT_INTERRUPT. */
bool far_wait(FarMemory *memory, FarWait *wait, uint64_t holder, uint64_t *out_expected, Stop *stop,
              Fault *fault);

/* A round that begins with taking the lock: ops[0] is made here. Comes again until it has it. */
bool far_lock_round(FarMemory *memory, FarPointer lock, FarOp *ops, size_t n, Stop *stop,
                    Fault *fault);

/* The operation that gives it back. */
FarOp far_unlock_op(FarPointer lock);

/* ---- for who has the memory mapped ----------------------------------------------------------- */

/* Buries the client in this slot. The caller sees to it that it is dead, and that nobody
** else does so at the same time. False: what it left is damaged, or in doubt (FAULT_BUSY). */
bool far_bury(const FarMapped *memory, unsigned slot, Fault *fault);

/* The same when what it had prepared is decided here: *out_settled says whether there was such. */
bool far_bury_settled(const FarMapped *memory, unsigned slot, FarDecide *decide, void *ctx,
                      bool *out_settled, Fault *fault);

/* Makes a memory out of zeroes. Sizes are as in the header that is given. */
void far_format(const FarMapped *memory, const FarHeader *header);

/* Fills in the offsets for a memory of this size; false: too small. */
bool far_plan(FarHeader *out, uint64_t size);

/* NULL, or what is wrong with a header of a memory of so many bytes. */
const char *far_header_fault(const FarHeader *header, uint64_t size);

#endif
