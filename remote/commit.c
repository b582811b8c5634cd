/*
** A transaction is committed in one round:
**
**   for each bucket    its lock is taken, and it is as it was read: guards
**   the log            when there is more than one bucket, or another phase
**   for each bucket    elements and tags, `used`, the version, the lock
**   the log            is done with
**
** When a guard does not hold, what was locked is unlocked, everything is read again, and compared
** with what the transaction has seen.
*/
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "remote/alloc.h"
#include "remote/changes.h"
#include "remote/client.h"
#include "remote/memory.h"

#define FIELD(bucket, name) ((bucket) + offsetof(FarBucket, name))

/* ---- where changes go ------------------------------------------------------------------------ */

static bool gather(FarTxn *txn, Fault *fault) {
  txn->nworks = 0;
  if (!array_grow(txn->works, txn->works_capacity, txn->count)) return fault_oom(fault);
  for (size_t i = 0; i < txn->count; i++) {
    const FarChange *change = &txn->changes[i];
    if (far_txn_latest(txn, change->map, change->key) != change) continue;
    txn->works[txn->nworks++] = (FarWork){change, change->seen, change->seen.bucket != 0};
  }
  return true;
}

static bool conflict(const FarWork *work, Fault *fault) {
  const FarMap *map = work->change->map;
  return fault_set(fault, FAULT_CONFLICT,
                   "%s: an element of \"%s\" was changed by another client meanwhile",
                   map->memory->at, map->name);
}

/* Reads the places of all changes of one map that are not known. */
static bool look_in(FarTxn *txn, FarMap *map, Stop *stop, Fault *fault) {
  size_t n = 0;
  for (size_t i = 0; i < txn->nworks; i++)
    n += txn->works[i].change->map == map && !txn->works[i].known;
  if (!n) return true;
  unsigned char *keys = malloc(n * map->shape.key);
  FarFound *found = malloc(n * sizeof *found);
  bool ok = keys && found;
  if (!ok) fault_oom(fault);
  n = 0;
  for (size_t i = 0; ok && i < txn->nworks; i++) {
    const FarWork *work = &txn->works[i];
    if (work->change->map == map && !work->known)
      memcpy(keys + n++ * map->shape.key, work->change->key, map->shape.key);
  }
  ok = ok && far_map_find(map, keys, n, found, stop, fault);
  n = 0;
  for (size_t i = 0; ok && i < txn->nworks; i++) {
    FarWork *work = &txn->works[i];
    if (work->change->map != map || work->known) continue;
    work->at = far_seen(&found[n++]);
    work->known = true;
    const uint64_t seen = work->change->seen.stamp;
    if (seen != FAR_ANY && seen != work->at.stamp) ok = conflict(work, fault);
  }
  free(keys);
  free(found);
  return ok;
}

static bool look(FarTxn *txn, Stop *stop, Fault *fault) {
  for (size_t i = 0; i < txn->nworks; i++) {
    if (!txn->works[i].known && !look_in(txn, txn->works[i].change->map, stop, fault)) return false;
  }
  return true;
}

static int by_bucket(const void *a, const void *b) {
  const FarPointer left = ((const FarWork *)a)->at.bucket, right = ((const FarWork *)b)->at.bucket;
  return (left > right) - (left < right);
}

/* ---- one bucket ------------------------------------------------------------------------------ */

typedef struct Group { /* the changes of one bucket */
  FarWork *works;
  size_t n;
  FarLogBucket after;
  unsigned slots[FAR_SLOTS]; /* where each change puts its element */
} Group;

static void forget(Group *group) {
  for (size_t i = 0; i < group->n; i++) group->works[i].known = false;
}

/* All of it was read at one version; if not, what was read first has to be read again. */
static bool agrees(const Group *group) {
  for (size_t i = 1; i < group->n; i++)
    if (group->works[i].at.version != group->works->at.version) return false;
  return true;
}

/* Finds places for what is put. A slot that is in use now is not used again: a reader may be in the
** middle of it. False: there are not enough. */
static bool plan(Group *group) {
  const FarMap *map = group->works->change->map;
  const unsigned slots = map->shape.slots;
  const uint64_t all = slots == 64 ? UINT64_MAX : (UINT64_C(1) << slots) - 1;
  const uint64_t version = group->works->at.version, before = group->works->at.used;
  uint64_t after = before, free = ~before & all;
  group->after.nslots = 0;
  for (size_t i = 0; i < group->n; i++) {
    const FarWork *work = &group->works[i];
    if (work->at.slot >= 0) after &= ~(UINT64_C(1) << work->at.slot);
    if (!work->change->value) continue;
    if (!free) return false;
    const unsigned slot = (unsigned)__builtin_ctzll(free);
    free &= free - 1;
    after |= UINT64_C(1) << slot;
    group->slots[i] = slot;
    group->after.nslots++;
  }
  group->after.bucket = group->works->at.bucket;
  group->after.shape = far_shape_word(&map->shape);
  group->after.version = version + 2;
  group->after.used = after;
  return true;
}

/* Elements as they will be: stamp, key, value. */
static bool make_element(FarTxn *txn, const Group *group, const FarWork *work, unsigned char **out,
                         uint8_t *out_tag, Fault *fault) {
  const FarShape *shape = &work->change->map->shape;
  if (!(*out = arena_alloc(&txn->scratch, shape->stride + 1))) return fault_oom(fault);
  memcpy(*out, &group->after.version, FAR_STAMP);
  memcpy(*out + FAR_STAMP, work->change->key, shape->key);
  memcpy(*out + FAR_STAMP + shape->key, work->change->value,
         shape->stride - FAR_STAMP - shape->key);
  *out_tag = far_key_tag(far_key_hash(shape, work->change->key));
  (*out)[shape->stride] = *out_tag; /* behind the element, for the operation to point to */
  return true;
}

static bool group_ops(FarTxn *txn, Group *group, Text *log, Fault *fault) {
  const FarPointer bucket = group->after.bucket;
  const FarShape *shape = &group->works->change->map->shape;
  if (log) text_addn(log, (const char *)&group->after, sizeof group->after);
  for (size_t i = 0; i < group->n; i++) {
    unsigned char *element;
    uint8_t tag = 0;
    if (!group->works[i].change->value) continue;
    if (!make_element(txn, group, &group->works[i], &element, &tag, fault)) return false;
    const unsigned slot = group->slots[i];
    txn->ops[txn->nops++] = far_write_op(bucket + far_slot_at(shape, slot), element, shape->stride);
    txn->ops[txn->nops++] =
        far_write_op(bucket + far_tags_at(shape) + slot, element + shape->stride, 1);
    if (!log) continue;
    const uint64_t word = far_log_slot(slot, tag);
    text_addn(log, (const char *)&word, sizeof word);
    text_addn(log, (const char *)element, shape->stride);
  }
  txn->ops[txn->nops++] = far_write_op(FIELD(bucket, used), &group->after.used, 8);
  txn->ops[txn->nops++] = far_write_op(FIELD(bucket, version), &group->after.version, 8);
  txn->ops[txn->nops++] = far_unlock_op(FIELD(bucket, lock));
  return true;
}

/* ---- the log --------------------------------------------------------------------------------- */

typedef struct Log {
  Text body;
  FarLogHead head;
  uint64_t state;
  FarPointer at;
  uint64_t room;
} Log;

/* What the client has already, or more: that counts when it was written with (log_kept). */
static bool log_room(FarMemory *memory, Log *log, Stop *stop, Fault *fault) {
  const uint64_t size = sizeof log->head + log->body.length;
  if (!memory->log_known) {
    FarOp op = {.code = FAR_READ,
                .at = far_client_field(memory, offsetof(FarClient, log)),
                .local = &log->at,
                .length = 8};
    FarOp ops[2] = {op, op};
    ops[1].at = far_client_field(memory, offsetof(FarClient, log_room));
    ops[1].local = &log->room;
    if (!far_round(memory, ops, 2, stop, fault)) return false;
    memory->log = log->at;
    memory->log_room = log->room;
    memory->log_known = true;
  }
  log->at = memory->log;
  log->room = memory->log_room;
  if (log->room >= size) return true;
  log->room = far_alloc_room(2 * size);
  return far_alloc(memory, log->room, FAR_USE_BYTES, &log->at, stop, fault);
}

/* The log that is not the client's, or not any more, is given back. */
static bool log_kept(FarMemory *memory, const Log *log, bool kept, Fault *fault) {
  const FarPointer other = kept ? memory->log : log->at;
  const uint64_t room = kept ? memory->log_room : log->room;
  if (!log->at || log->at == memory->log) return true;
  if (kept) {
    memory->log = log->at;
    memory->log_room = log->room;
  }
  return !other || far_free(memory, other, room, FAR_USE_BYTES, NULL, fault);
}

/* The body, the head, and last the word that makes it count. */
static size_t log_ops(FarMemory *memory, Log *log, const unsigned char *mark, FarOp *out) {
  size_t n = 0;
  log->head.length = log->body.length;
  log->head.check = hash_bytes(log->body.data, log->body.length, 0);
  log->state = mark ? FAR_LOG_PREPARED : FAR_LOG_DECIDED;
  if (mark) memcpy(log->head.mark, mark, FAR_MARK);
  if (log->at != memory->log) {
    static const uint64_t none;
    out[n++] = far_write_op(log->at, &none, 8);
    out[n++] = far_write_op(far_client_field(memory, offsetof(FarClient, log_room)), &log->room, 8);
    out[n++] = far_write_op(far_client_field(memory, offsetof(FarClient, log)), &log->at, 8);
  }
  out[n++] = far_write_op(log->at + sizeof log->head, log->body.data, log->body.length);
  out[n++] = far_write_op(log->at + 8, &log->head.length, sizeof log->head - 8);
  out[n++] = far_write_op(log->at, &log->state, 8);
  return n;
}

/* ---- an attempt ------------------------------------------------------------------------------ */

enum { LOG_OPS = 6 };

/* The groups of the sorted works. */
static size_t make_groups(FarTxn *txn, Group *groups) {
  size_t n = 0;
  for (size_t i = 0; i < txn->nworks; i++) {
    if (!i || txn->works[i].at.bucket != txn->works[i - 1].at.bucket)
      groups[n++] = (Group){.works = &txn->works[i]};
    groups[n - 1].n++;
  }
  return n;
}

static void guard_ops(FarTxn *txn, const Group *groups, size_t n) {
  for (size_t i = 0; i < n; i++) {
    txn->ops[txn->nops++] = (FarOp){.code = FAR_CAS,
                                    .guard = true,
                                    .at = FIELD(groups[i].after.bucket, lock),
                                    .value = txn->memory->client};
  }
  for (size_t i = 0; i < n; i++) {
    txn->ops[txn->nops++] = (FarOp){.code = FAR_EXPECT,
                                    .guard = true,
                                    .at = FIELD(groups[i].after.bucket, version),
                                    .expected = groups[i].after.version - 2};
  }
  txn->nguards = txn->nops;
}

/* How many elements more each map has. One operation for each. */
static void rows_ops(FarTxn *txn) {
  for (size_t i = 0; i < txn->nworks; i++) {
    FarMap *map = txn->works[i].change->map;
    uint64_t more = 0;
    for (size_t j = 0; j < txn->nworks; j++) {
      const FarWork *work = &txn->works[j];
      if (work->change->map != map) continue;
      if (j < i) {
        more = 0;
        break;
      }
      more += (uint64_t)(work->change->value != NULL) - (uint64_t)(work->at.slot >= 0);
    }
    if (more) {
      txn->ops[txn->nops++] =
          (FarOp){.code = FAR_ADD, .at = map->root + offsetof(FarMapRoot, rows), .value = more};
    }
  }
}

static bool build(FarTxn *txn, Group *groups, size_t n, Log *log, const unsigned char *mark,
                  Stop *stop, Fault *fault) {
  Text *body = n > 1 || mark ? &log->body : NULL;
  const size_t room = 5 * n + 3 * txn->nworks + LOG_OPS + 2;
  if (!(txn->ops = arena_array(&txn->scratch, room, sizeof *txn->ops))) return fault_oom(fault);
  txn->nops = 0;
  guard_ops(txn, groups, n);
  if (body) txn->nops += LOG_OPS; /* filled in below, when its length is known */
  txn->first_done = txn->nops;
  if (mark) txn->nops++; /* likewise */
  for (size_t i = 0; i < n; i++) {
    if (!group_ops(txn, &groups[i], body, fault)) return false;
  }
  rows_ops(txn);
  if (!body) return true;
  if (body->oom) return fault_oom(fault);
  if (!log_room(txn->memory, log, stop, fault)) return false;
  FarOp made[LOG_OPS];
  const size_t count = log_ops(txn->memory, log, mark, made);
  memcpy(txn->ops + txn->nguards, made, count * sizeof *made);
  for (size_t i = count; i < LOG_OPS; i++) /* as many, whatever they are */
    txn->ops[txn->nguards + i] = made[count - 1];
  static const uint64_t none, decided = FAR_LOG_DECIDED;
  if (mark) txn->ops[txn->first_done] = far_write_op(log->at, &decided, 8); /* whoever does it */
  txn->ops[txn->nops++] = far_write_op(log->at, &none, 8);
  return true;
}

/* A guard did not hold. What was locked is unlocked; whose lock it was is waited for. */
static bool step_back(FarTxn *txn, FarWait *wait, Stop *stop, Fault *fault) {
  const size_t locks = txn->nguards / 2;
  FarOp *ops = arena_array(&txn->scratch, locks + 3, sizeof *ops);
  uint64_t expected = 0;
  size_t n = 0;
  if (!ops) return fault_oom(fault);
  const FarOp *refused = NULL;
  for (size_t i = 0; i < locks; i++) {
    if (txn->ops[i].status == FAR_DONE) ops[n++] = far_unlock_op(txn->ops[i].at);
    if (txn->ops[i].status == FAR_DIFFERS) refused = &txn->ops[i];
  }
  if (n && !far_round(txn->memory, ops, n, NULL, fault)) return false;
  if (!refused) {
    txn->memory->counts.retries++;
    return true;
  }
  if (!far_wait(txn->memory, wait, refused->old, &expected, stop, fault)) return false;
  if (!expected) return true;
  /* Left behind by a dead client. Readers who saw the bucket before must see that it is another. */
  ops[0] = (FarOp){.code = FAR_CAS,
                   .guard = true,
                   .at = refused->at,
                   .expected = expected,
                   .value = txn->memory->client};
  ops[1] = (FarOp){.code = FAR_ADD, .value = 2};
  ops[1].at = refused->at - offsetof(FarBucket, lock) + offsetof(FarBucket, version);
  ops[2] = far_unlock_op(refused->at);
  return far_round(txn->memory, ops, 3, NULL, fault);
}

static int by_change_key(const void *a, const void *b) {
  const FarWork *left = a, *right = b;
  return far_key_compare(&left->change->map->shape, left->change->key, right->change->key);
}

/* Splits the bucket of a group until what is put finds room. */
static bool make_room(FarTxn *txn, Group *group, Stop *stop, Fault *fault) {
  const unsigned char **keys = arena_array(&txn->scratch, group->n, sizeof *keys);
  size_t n = 0;
  if (!keys) return fault_oom(fault);
  qsort(group->works, group->n, sizeof *group->works, by_change_key);
  for (size_t i = 0; i < group->n; i++)
    if (group->works[i].change->value) keys[n++] = group->works[i].change->key;
  return far_map_split(group->works->change->map, group->works->at.bucket, keys, n, stop, fault);
}

/* *done: false when it has to be tried again. */
static bool attempt(FarTxn *txn, const unsigned char *mark, FarWait *wait, bool *done, Stop *stop,
                    Fault *fault) {
  Log log = {0};
  arena_reset(&txn->scratch);
  *done = false;
  if (!look(txn, stop, fault)) return false;
  qsort(txn->works, txn->nworks, sizeof *txn->works, by_bucket);
  Group *groups = arena_array(&txn->scratch, txn->nworks, sizeof *groups);
  if (!groups) return fault_oom(fault);
  const size_t n = make_groups(txn, groups);
  bool ready = true;
  for (size_t i = 0; i < n; i++) {
    const bool same = agrees(&groups[i]);
    if (same && plan(&groups[i])) continue;
    if (same && !make_room(txn, &groups[i], stop, fault)) return false;
    forget(&groups[i]);
    ready = false;
  }
  if (!ready) return true;
  bool ok = build(txn, groups, n, &log, mark, stop, fault);
  const size_t last = mark ? txn->first_done : txn->nops;
  ok = ok && far_round(txn->memory, txn->ops, last, stop, fault);
  text_finish(&log.body);
  if (!ok) return false;
  *done = txn->ops[txn->nguards - 1].status == FAR_DONE;
  if (!log_kept(txn->memory, &log, *done, fault)) return false;
  if (*done) return true;
  for (size_t i = 0; i < n; i++) forget(&groups[i]);
  return step_back(txn, wait, stop, fault);
}

static bool commit(FarTxn *txn, const unsigned char *mark, Stop *stop, Fault *fault) {
  FarWait wait = {.until = clock_now() + txn->memory->options.deadline_ns};
  bool done = false;
  if (!gather(txn, fault)) return false;
  while (!done) {
    if (!attempt(txn, mark, &wait, &done, stop, fault)) return false;
    if (!done && clock_now() > wait.until)
      return fault_set(fault, FAULT_BUSY, "%s: others change the same elements all the time",
                       txn->memory->at);
  }
  return true;
}

bool far_txn_commit(FarTxn *txn, Stop *stop, Fault *fault) {
  if (!txn->count) return true;
  return commit(txn, NULL, stop, fault);
}

bool far_txn_prepare(FarTxn *txn, const unsigned char mark[FAR_MARK], Stop *stop, Fault *fault) {
  if (!txn->count) return true;
  txn->prepared = commit(txn, mark, stop, fault);
  return txn->prepared;
}

bool far_txn_finish(FarTxn *txn, bool happens, Fault *fault) {
  static const uint64_t none;
  if (!txn->prepared) return true;
  txn->prepared = false;
  if (happens)
    return far_round(txn->memory, txn->ops + txn->first_done, txn->nops - txn->first_done, NULL,
                     fault);
  /* The log first: without it nobody finishes what is undone here. */
  const size_t locks = txn->nguards / 2;
  FarOp *ops = arena_array(&txn->scratch, locks + 1, sizeof *ops);
  if (!ops) return fault_oom(fault);
  ops[0] = far_write_op(txn->memory->log, &none, 8);
  for (size_t i = 0; i < locks; i++) ops[1 + i] = far_unlock_op(txn->ops[i].at);
  return far_round(txn->memory, ops, locks + 1, NULL, fault);
}
