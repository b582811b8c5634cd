/*
** A transaction from inside: txn.c gathers changes, group.c says what they do to memory, commit.c
** does it.
*/
#ifndef TENFOLD_REMOTE_CHANGES_H
#define TENFOLD_REMOTE_CHANGES_H

#include "base/arena.h"
#include "base/array.h"
#include "base/text.h"
#include "remote/queue.h"
#include "remote/txn.h"

typedef struct FarChange {
  FarMap *map; /* also a vector; NULL: it goes into the queue */
  FarQueue *queue;
  unsigned char *key, *value; /* value NULL: removed */
  FarSeen seen;
  int64_t previous; /* change of the same key, -1: none */
} FarChange;

/* What is changed. It may have been opened more than once: then changes name the first one. */
typedef struct FarThing {
  uint64_t serial;
  FarMap *map;
  FarQueue *queue;
  size_t first; /* change of it */
} FarThing;

/* A change on its way: where it goes now. For what goes into a queue `at` is the slot, and its
** version the ticket. */
typedef struct FarWork {
  const FarChange *change;
  FarSeen at;
  bool known;    /* `at` is what was read last */
  unsigned slot; /* of a bucket: where the element is put */
} FarWork;

/* The changes under one lock: of a bucket, of a group of a vector, or of a slot of a queue. */
typedef struct FarGroup {
  FarWork *works;
  size_t n;
  FarPointer lock;
  uint64_t mine;                /* what the lock holds when we have it, */
  uint64_t free;                /* when nobody has it, */
  uint64_t undone;              /* when it is given up, */
  uint64_t done;                /* and afterwards */
  uint64_t version, odd, after; /* as it was read, is meanwhile, and becomes; 0: there is none */
  uint64_t used;                /* of a bucket, afterwards */
  bool in_place;                /* what a reader may have in hand is overwritten */
} FarGroup;

struct FarTxn {
  FarMemory *memory;
  FarChange *changes;
  size_t count, capacity;
  FarThing *things;
  size_t nthings, things_capacity;
  Map latest; /* (serial of the map, key): index of its last change, -1: none */
  Arena arena;

  /* commit.c: the changes that count, sorted by their locks, and the operations of an attempt. */
  FarWork *works;
  size_t nworks, works_capacity;
  Arena scratch;
  FarGroup *groups;
  size_t ngroups;
  FarOp *ops;
  size_t nfront, nguards, nops;  /* is it still there?; with these the locks and guards; then the
                                   log, then what is done */
  size_t first_done, first_tail; /* of what is done; of that, where queues end now */
  bool prepared, lasting;        /* lasting: it has two phases */
};

/* The change of this key that counts, or NULL. */
const FarChange *far_txn_latest(const FarTxn *txn, const FarMap *map, const void *key);

static inline bool far_change_of(const FarChange *change, const FarMap *map) {
  return change->map && change->map->serial == map->serial;
}

static inline bool far_change_counts(const FarTxn *txn, const FarChange *change) {
  return change->queue || far_txn_latest(txn, change->map, change->key) == change;
}

/* The groups of the sorted works (group.c). */
bool far_groups_make(FarTxn *txn, Fault *fault);

/* What a group will do, now that its works are known. *out_room: false when a bucket has to be
** split first. False: not all of it was read at one time. */
bool far_group_plan(FarTxn *txn, FarGroup *group, bool *out_room);

/* The operations that do it, and what the log says of them (NULL: nothing). */
bool far_group_ops(FarTxn *txn, FarGroup *group, Text *log, Fault *fault);

/* Could half of it be seen, should the client die? */
bool far_group_logged(const FarGroup *group);

/* It happened: what the client keeps of vectors and queues. */
void far_group_happened(const FarGroup *group);

#endif
