/*
** A transaction from inside: txn.c gathers changes, commit.c does them.
*/
#ifndef TENFOLD_REMOTE_CHANGES_H
#define TENFOLD_REMOTE_CHANGES_H

#include "base/arena.h"
#include "base/array.h"
#include "remote/txn.h"

typedef struct FarChange {
  FarMap *map;
  unsigned char *key, *value; /* value NULL: removed */
  FarSeen seen;
  int64_t previous; /* change of the same key, -1: none */
} FarChange;

/* A change on its way: where it goes now. */
typedef struct FarWork {
  const FarChange *change;
  FarSeen at;
  bool known; /* `at` is what was read last */
} FarWork;

struct FarTxn {
  FarMemory *memory;
  FarChange *changes;
  size_t count, capacity;
  Map latest; /* (map, key): index of its last change, -1: none */
  Arena arena;

  /* commit.c: the changes that count, sorted by bucket, and the operations of an attempt. */
  FarWork *works;
  size_t nworks, works_capacity;
  Arena scratch;
  FarOp *ops;
  size_t nguards, nops; /* locks and guards first, then the log, then what is done */
  size_t first_done;
  bool prepared;
};

/* The change of this key that counts, or NULL. */
const FarChange *far_txn_latest(const FarTxn *txn, const FarMap *map, const void *key);

#endif
