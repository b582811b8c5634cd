/*
** A transaction is committed in one round:
**
**   for each lock    it is taken, and what it guards is as it was read: guards
**   the log          when there is more than one lock, or another phase
**   for each lock    what is written under it (group.c), and it is given back
**   the log          is done with
**
** When a guard does not hold, what was locked is unlocked, everything is read again, and compared
** with what the transaction has seen.
*/
#include <stdlib.h>
#include <string.h>

#include "remote/alloc.h"
#include "remote/changes.h"
#include "remote/client.h"
#include "remote/memory.h"
#include "remote/vector.h"

/* ---- where changes go ------------------------------------------------------------------------ */

static bool gather(FarTxn *txn, Fault *fault) {
  txn->nworks = 0;
  if (!array_grow(txn->works, txn->works_capacity, txn->count)) return fault_oom(fault);
  for (size_t i = 0; i < txn->count; i++) {
    const FarChange *change = &txn->changes[i];
    if (!far_change_counts(txn, change)) continue;
    FarWork *work = &txn->works[txn->nworks++];
    *work = (FarWork){.change = change, .at = change->seen, .known = change->seen.bucket != 0};
    if (change->map && change->map->vector && change->seen.stamp == FAR_ANY)
      work->known = far_vector_known(change->map, far_vector_index(change->key), &work->at);
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
  const bool fresh = !map->vector || far_vector_ask(map, true);
  ok = ok && far_map_find(map, keys, n, found, stop, fault);
  if (map->vector) far_vector_ask(map, fresh);
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

/* Tickets for all that goes into one queue. Those that it had go back: in their order, or not at
** all. */
static bool line_up(FarTxn *txn, FarQueue *queue, Stop *stop, Fault *fault) {
  uint64_t n = 0, ticket;
  for (size_t i = 0; i < txn->nworks; i++) n += txn->works[i].change->queue == queue;
  if (!far_queue_tickets(queue, n, &ticket, stop, fault)) return false;
  for (size_t i = 0; i < txn->nworks; i++) {
    FarWork *work = &txn->works[i];
    if (work->change->queue != queue) continue;
    work->at = (FarSeen){.bucket = far_queue_slot(queue, ticket), .version = ticket};
    work->known = true;
    ticket++;
  }
  return true;
}

static bool look(FarTxn *txn, Stop *stop, Fault *fault) {
  for (size_t i = 0; i < txn->nworks; i++) {
    const FarChange *change = txn->works[i].change;
    if (txn->works[i].known) continue;
    if (!(change->queue ? line_up(txn, change->queue, stop, fault)
                        : look_in(txn, change->map, stop, fault)))
      return false;
  }
  return true;
}

static void forget(FarGroup *group) {
  for (size_t i = 0; i < group->n; i++) group->works[i].known = false;
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
  /* Who had our place before may have died between writing the two. */
  if (log->at && log->room >= size) return true;
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

/* What has to be there still: vectors and queues, whose places may be something else by now. A
** queue tells where its end is, too. */
static void front_ops(FarTxn *txn) {
  for (size_t i = 0; i < txn->nworks; i++) {
    const FarChange *change = txn->works[i].change;
    bool again = !change->queue && !change->map->vector;
    for (size_t j = 0; !again && j < i; j++)
      again =
          txn->works[j].change->map == change->map && txn->works[j].change->queue == change->queue;
    if (again) continue;
    if (change->queue) txn->ops[txn->nops++] = far_queue_tail_op(change->queue);
    txn->ops[txn->nops++] =
        change->queue ? far_queue_there_op(change->queue) : far_vector_there_op(change->map);
  }
  txn->nfront = txn->nops;
}

static void guard_ops(FarTxn *txn) {
  front_ops(txn);
  for (size_t i = 0; i < txn->ngroups; i++) {
    txn->ops[txn->nops++] = (FarOp){.code = FAR_CAS,
                                    .guard = true,
                                    .at = txn->groups[i].lock,
                                    .expected = txn->groups[i].free,
                                    .value = txn->groups[i].mine};
  }
  for (size_t i = 0; i < txn->ngroups; i++) {
    const FarGroup *group = &txn->groups[i];
    if (!group->version) continue;
    txn->ops[txn->nops++] = (FarOp){.code = FAR_EXPECT,
                                    .guard = true,
                                    .at = group->works->at.bucket + offsetof(FarBucket, version),
                                    .expected = group->version};
  }
  txn->nguards = txn->nops;
}

/* How many elements more each map has. One operation for each. */
static void rows_ops(FarTxn *txn) {
  for (size_t i = 0; i < txn->nworks; i++) {
    FarMap *map = txn->works[i].change->map;
    uint64_t more = 0;
    if (!map || map->vector) continue;
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

/* The last group of the queue whose first one this is. */
static size_t last_of(const FarTxn *txn, size_t i) {
  const FarQueue *queue = txn->groups[i].works->change->queue;
  while (i + 1 < txn->ngroups && txn->groups[i + 1].works->change->queue == queue) i++;
  return i;
}

/* Where queues end now: a hint, which others may have moved on. */
static void tail_ops(FarTxn *txn) {
  txn->first_tail = txn->nops;
  for (size_t i = 0; i < txn->ngroups; i++) {
    FarQueue *queue = txn->groups[i].works->change->queue;
    if (!queue) continue;
    i = last_of(txn, i);
    txn->ops[txn->nops++] = far_queue_move_op(queue, txn->groups[i].works->at.version + 1);
  }
}

/* It is done: what we keep of vectors and queues. */
static void happened(FarTxn *txn) {
  const FarOp *tail = txn->ops + txn->first_tail;
  for (size_t i = 0; i < txn->ngroups; i++) {
    FarQueue *queue = txn->groups[i].works->change->queue;
    far_group_happened(&txn->groups[i]);
    if (queue && last_of(txn, i) == i) far_queue_moved(queue, tail++);
  }
}

static bool build(FarTxn *txn, Log *log, const unsigned char *mark, Stop *stop, Fault *fault) {
  Text *body = txn->ngroups > 1 || mark || far_group_logged(txn->groups) ? &log->body : NULL;
  const size_t room = 11 * txn->ngroups + 4 * txn->nworks + LOG_OPS + 2;
  if (!(txn->ops = arena_array(&txn->scratch, room, sizeof *txn->ops))) return fault_oom(fault);
  txn->nops = 0;
  guard_ops(txn);
  if (body) txn->nops += LOG_OPS; /* filled in below, when its length is known */
  txn->first_done = txn->nops;
  if (mark) txn->nops++; /* likewise */
  for (size_t i = 0; i < txn->ngroups; i++) {
    if (!far_group_ops(txn, &txn->groups[i], body, fault)) return false;
  }
  rows_ops(txn);
  tail_ops(txn);
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

/* A lock was left behind by a dead client. Readers who saw the bucket before must see that it is
** another. */
static bool take_over(FarTxn *txn, const FarOp *refused, uint64_t holder, Fault *fault) {
  FarOp ops[3] = {{.code = FAR_CAS,
                   .guard = true,
                   .at = refused->at,
                   .expected = holder,
                   .value = txn->memory->client},
                  {.code = FAR_ADD, .value = 2},
                  far_unlock_op(refused->at)};
  ops[1].at = refused->at - offsetof(FarBucket, lock) + offsetof(FarBucket, version);
  return far_round(txn->memory, ops, 3, NULL, fault);
}

/* A guard did not hold. What was locked is unlocked; whose lock it was is waited for. */
static bool step_back(FarTxn *txn, FarWait *wait, Stop *stop, Fault *fault) {
  FarOp *ops = arena_array(&txn->scratch, txn->ngroups + 1, sizeof *ops);
  const FarGroup *refused = NULL;
  const FarOp *locks = txn->ops + txn->nfront;
  uint64_t holder = 0;
  size_t n = 0;
  if (!ops) return fault_oom(fault);
  for (size_t i = 0; i < txn->ngroups; i++) {
    if (locks[i].status == FAR_DONE)
      ops[n++] = far_write_op(locks[i].at, &txn->groups[i].undone, 8);
    if (locks[i].status == FAR_DIFFERS) refused = &txn->groups[i];
  }
  for (size_t i = 0; i < txn->ngroups; i++) {
    FarQueue *queue = txn->groups[i].works->change->queue;
    if (!queue) continue;
    far_queue_behind(queue, txn->groups[i].works->at.version, locks[i].status, locks[i].old);
    if (!refused) far_queue_forget(queue); /* it may be gone */
  }
  if (n && !far_round(txn->memory, ops, n, NULL, fault)) return false;
  if (!refused || refused->works->change->queue) {
    txn->memory->counts.retries++;
    return true;
  }
  const FarOp *lock = &locks[refused - txn->groups];
  if (!far_wait(txn->memory, wait, lock->old, &holder, stop, fault)) return false;
  return !holder || take_over(txn, lock, holder, fault);
}

static int by_change_key(const void *a, const void *b) {
  const FarWork *left = a, *right = b;
  return far_key_compare(&left->change->map->shape, left->change->key, right->change->key);
}

/* Splits the bucket of a group until what is put finds room. */
static bool make_room(FarTxn *txn, FarGroup *group, Stop *stop, Fault *fault) {
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
  if (!look(txn, stop, fault) || !far_groups_make(txn, fault)) return false;
  bool ready = true;
  for (size_t i = 0; i < txn->ngroups; i++) {
    FarGroup *group = &txn->groups[i];
    bool room;
    const bool same = far_group_plan(txn, group, &room);
    if (same && room) continue;
    if (same) {
      if (!make_room(txn, group, stop, fault)) return false;
      wait->until = clock_now() + txn->memory->options.deadline_ns; /* nobody was in the way */
    }
    forget(group);
    ready = false;
  }
  if (!ready) return true;
  bool ok = build(txn, &log, mark, stop, fault);
  const size_t last = mark ? txn->first_done : txn->nops;
  ok = ok && far_round(txn->memory, txn->ops, last, stop, fault);
  text_finish(&log.body);
  if (!ok) return false;
  *done = txn->ops[txn->nguards - 1].status == FAR_DONE;
  if (!log_kept(txn->memory, &log, *done, fault)) return false;
  if (*done && !mark) happened(txn);
  if (*done) return true;
  for (size_t i = 0; i < txn->ngroups; i++) forget(&txn->groups[i]);
  return step_back(txn, wait, stop, fault);
}

static bool commit(FarTxn *txn, const unsigned char *mark, Stop *stop, Fault *fault) {
  FarWait wait = {.until = clock_now() + txn->memory->options.deadline_ns};
  bool done = false;
  txn->lasting = mark != NULL;
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
  if (happens) {
    const bool ok = far_round(txn->memory, txn->ops + txn->first_done, txn->nops - txn->first_done,
                              NULL, fault);
    if (ok) happened(txn);
    return ok;
  }
  /* The log first: without it nobody finishes what is undone here. */
  FarOp *ops = arena_array(&txn->scratch, txn->ngroups + 1, sizeof *ops);
  if (!ops) return fault_oom(fault);
  ops[0] = far_write_op(txn->memory->log, &none, 8);
  for (size_t i = 0; i < txn->ngroups; i++)
    ops[1 + i] = far_write_op(txn->groups[i].lock, &txn->groups[i].undone, 8);
  return far_round(txn->memory, ops, txn->ngroups + 1, NULL, fault);
}
