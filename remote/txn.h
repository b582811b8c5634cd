/*
** Changes of maps, vectors and queues, all or none: any number of them, in one far memory.
**
**   FarTxn *txn = far_txn_begin(memory, fault);
**   far_txn_put(txn, map, &key, value, &seen, fault);    as it was read; value NULL: removes it
**   far_txn_commit(txn, stop, fault);                    a round, when nobody was in the way
**   far_txn_end(txn);
**
** Elements may have been changed by others since they were read: then nothing is done, and the
** fault is FAULT_CONFLICT. Buckets are locked, looked at and changed in one round; a change of more
** than one bucket is written to the client's log first, in the same round, so that whoever buries
** the client can do it to the end. Groups of vectors and slots of queues count as buckets here.
**
** In two phases, when something else has to be decided with it: far_txn_prepare() locks and logs,
** and can fail; far_txn_finish() does it or undoes it.
*/
#ifndef TENFOLD_REMOTE_TXN_H
#define TENFOLD_REMOTE_TXN_H

#include "remote/log.h"
#include "remote/map.h"
#include "remote/queue.h"

typedef struct FarTxn FarTxn;

/* An element, or a place without one, as it was read: the change is made if that is still so. With
** the bucket known, and unchanged, the commit need not look for it again. */
typedef struct FarSeen {
  uint64_t stamp;    /* 0: there was none; FAR_ANY: whatever is there */
  FarPointer bucket; /* 0: not known */
  uint64_t version, used;
  int slot; /* -1: none */
} FarSeen;

#define FAR_ANY UINT64_MAX

FarSeen far_seen(const FarFound *found);

FarTxn *far_txn_begin(FarMemory *memory, Fault *fault);
void far_txn_end(FarTxn *txn); /* what was not committed is forgotten */

/* `key`: shape.key bytes, `value`: what a stride has behind it (NULL removes the element); both are
** copied. The last change of a key counts, and what the first one had seen. */
bool far_txn_put(FarTxn *txn, FarMap *map, const void *key, const void *value, const FarSeen *seen,
                 Fault *fault);

/* Goes into a queue (queue.h) with the rest, or not at all: `cells` are copied. Nobody sees it
** before. */
bool far_txn_push(FarTxn *txn, FarQueue *queue, const void *cells, Fault *fault);

/* What the transaction makes of this key: false, nothing; else *out_value is NULL when removed. */
bool far_txn_look(const FarTxn *txn, const FarMap *map, const void *key,
                  const unsigned char **out_value, FarSeen *out_seen);

size_t far_txn_count(const FarTxn *txn);

/* Every key that is changed in this map, in no order: for scans. From 0 on; false: no more. */
bool far_txn_next(const FarTxn *txn, const FarMap *map, size_t *at, const unsigned char **out_key,
                  const unsigned char **out_value);

/* Savepoints: a mark, and back to it. */
size_t far_txn_mark(const FarTxn *txn);
bool far_txn_back(FarTxn *txn, size_t mark, Fault *fault);

bool far_txn_commit(FarTxn *txn, Stop *stop, Fault *fault);
bool far_txn_prepare(FarTxn *txn, const unsigned char mark[FAR_MARK], Stop *stop, Fault *fault);
bool far_txn_finish(FarTxn *txn, bool happens, Fault *fault);

/* Transactions that dead clients left prepared: how they ended says who made their marks. */
typedef enum FarDecision { FAR_NOT_MINE, FAR_HAPPENED, FAR_UNDONE } FarDecision;
typedef FarDecision FarDecide(void *ctx, const unsigned char mark[FAR_MARK]);
bool far_settle(FarMemory *memory, FarDecide *decide, void *ctx, int *out_settled, Fault *fault);

#endif
