/*
** What a transaction does under one lock. There are three sorts of it:
**
**   bucket   what is new goes into slots that are not used, then `used` changes: one word
**   vector   elements stand where they stand: the version is odd while they are written, and the
** log
**            has them, should the client die meanwhile
**   queue    the slot of a ticket is the lock, and says `ready` at the end
*/
#include <stdlib.h>
#include <string.h>

#include "remote/changes.h"
#include "remote/client.h"
#include "remote/memory.h"
#include "remote/vector.h"

#define FIELD(bucket, name) ((bucket) + offsetof(FarBucket, name))

/* Tickets of a queue are taken in their order, whatever their slots. */
static int by_lock(const void *a, const void *b) {
  const FarWork *left = a, *right = b;
  const uintptr_t one = (uintptr_t)left->change->queue, other = (uintptr_t)right->change->queue;
  if (one != other) return (one > other) - (one < other);
  const uint64_t x = one ? left->at.version : left->at.bucket;
  const uint64_t y = one ? right->at.version : right->at.bucket;
  return (x > y) - (x < y);
}

bool far_groups_make(FarTxn *txn, Fault *fault) {
  FarGroup *groups = arena_array(&txn->scratch, txn->nworks, sizeof *groups);
  if (!groups) return fault_oom(fault);
  qsort(txn->works, txn->nworks, sizeof *txn->works, by_lock);
  size_t n = 0;
  for (size_t i = 0; i < txn->nworks; i++) {
    if (!i || txn->works[i].at.bucket != txn->works[i - 1].at.bucket)
      groups[n++] = (FarGroup){.works = &txn->works[i]};
    groups[n - 1].n++;
  }
  txn->groups = groups;
  txn->ngroups = n;
  return true;
}

/* ---- plans ----------------------------------------------------------------------------------- */

/* Finds places for what is put. A slot that is in use now is not used again, since a reader may be
** in the middle of it; but when there are no others, an element that is replaced is overwritten,
** under an odd version. What is new comes first. False: there is no room for them. */
static bool plan_bucket(FarGroup *group) {
  const unsigned slots = group->works->change->map->shape.slots;
  const uint64_t all = slots == 64 ? UINT64_MAX : (UINT64_C(1) << slots) - 1;
  const uint64_t before = group->works->at.used;
  uint64_t after = before, free = ~before & all;
  for (size_t i = 0; i < 2 * group->n; i++) {
    FarWork *work = &group->works[i % group->n];
    const bool there = work->at.slot >= 0, stays = there && work->change->value && !free;
    if (there != (i >= group->n)) continue;
    if (there && !stays) after &= ~(UINT64_C(1) << work->at.slot);
    if (stays) {
      work->slot = (unsigned)work->at.slot;
      group->in_place = true;
    } else if (work->change->value) {
      if (!free) return false;
      work->slot = (unsigned)__builtin_ctzll(free);
      free &= free - 1;
      after |= UINT64_C(1) << work->slot;
    }
  }
  group->used = after;
  return true;
}

bool far_group_plan(FarTxn *txn, FarGroup *group, bool *out_room) {
  const FarWork *first = group->works;
  *out_room = true;
  group->mine = txn->memory->client;
  group->free = group->undone = group->done = group->version = 0;
  group->in_place = false;
  if (first->change->queue) {
    const uint64_t ticket = first->at.version;
    group->lock = first->at.bucket;
    const uint64_t length = far_queue_length(first->change->queue);
    group->mine =
        far_slot_claim(ticket, length, txn->memory->client) | (txn->lasting ? FAR_LASTING : 0);
    group->free = far_slot_free(ticket);
    group->undone = far_slot_free(ticket + length);
    group->done = far_slot_ready(ticket);
    return true;
  }
  for (size_t i = 1; i < group->n; i++)
    if (group->works[i].at.version != first->at.version) return false;
  group->lock = FIELD(first->at.bucket, lock);
  group->version = first->at.version;
  group->odd = group->version + 1;
  group->after = group->version + 2;
  if (!first->change->map->vector) *out_room = plan_bucket(group);
  return true;
}

bool far_group_logged(const FarGroup *group) {
  return group->in_place || (group->works->change->map && group->works->change->map->vector);
}

/* ---- operations ------------------------------------------------------------------------------ */

typedef struct Writes { /* what is written under a lock */
  FarTxn *txn;
  Text *log;
  uint64_t n;
} Writes;

static void put(Writes *it, FarPointer at, const void *bytes, uint32_t length) {
  static const char padding[8];
  it->txn->ops[it->txn->nops++] = far_write_op(at, bytes, length);
  it->n++;
  if (!it->log) return;
  const FarLogWrite write = {at, length};
  text_addn(it->log, (const char *)&write, sizeof write);
  text_addn(it->log, bytes, length);
  text_addn(it->log, padding, far_log_room(length) - length);
}

/* An element as it will be: stamp, key, value; and behind it the tag. */
static unsigned char *make_element(FarTxn *txn, const FarWork *work, uint64_t stamp) {
  const FarMap *map = work->change->map;
  const FarShape *shape = &map->shape;
  unsigned char *out = arena_alloc(&txn->scratch, shape->stride + 1);
  if (!out) return NULL;
  memcpy(out, &stamp, FAR_STAMP);
  memcpy(out + FAR_STAMP, work->change->key, shape->key);
  memcpy(out + FAR_STAMP + shape->key, work->change->value, shape->stride - FAR_STAMP - shape->key);
  out[shape->stride] = far_key_tag(far_key_hash(shape, work->change->key));
  return out;
}

/* A map counts its changes, for who watches it. */
static FarPointer changes_of(const FarGroup *group) {
  const FarMap *map = group->works->change->map;
  return map && !map->vector ? map->root + offsetof(FarMapRoot, changes) : 0;
}

static bool put_bucket(Writes *it, const FarGroup *group, Fault *fault) {
  const FarPointer bucket = group->works->at.bucket;
  const FarShape *shape = &group->works->change->map->shape;
  if (group->in_place) put(it, FIELD(bucket, version), &group->odd, 8);
  for (size_t i = 0; i < group->n; i++) {
    if (!group->works[i].change->value) continue;
    unsigned char *element = make_element(it->txn, &group->works[i], group->after);
    if (!element) return fault_oom(fault);
    const unsigned slot = group->works[i].slot;
    put(it, bucket + far_slot_at(shape, slot), element, shape->stride);
    put(it, bucket + far_tags_at() + slot, element + shape->stride, 1);
  }
  /* Counted before, so that it is if we die in the middle, and behind, for who looks in the middle.
   */
  const FarOp count = {.code = FAR_ADD, .at = changes_of(group), .value = 1};
  it->txn->ops[it->txn->nops++] = count;
  put(it, FIELD(bucket, used), &group->used, 8);
  put(it, FIELD(bucket, version), &group->after, 8);
  it->txn->ops[it->txn->nops++] = count;
  return true;
}

static void put_cells(Writes *it, const FarGroup *group) {
  const FarPointer head = group->works->at.bucket;
  put(it, FIELD(head, version), &group->odd, 8);
  for (size_t i = 0; i < group->n; i++) {
    const FarChange *change = group->works[i].change;
    const FarShape *shape = &change->map->shape;
    put(it, far_vector_cell(change->map, far_vector_index(change->key)), change->value,
        shape->stride - FAR_STAMP - shape->key);
  }
  put(it, FIELD(head, version), &group->after, 8);
}

/* The ticket stands before the value, as a key does. */
static bool put_slot(Writes *it, const FarGroup *group, Fault *fault) {
  const FarChange *change = group->works->change;
  const uint32_t room = far_queue_shape(change->queue)->stride - FAR_STAMP;
  unsigned char *element = arena_alloc(&it->txn->scratch, room);
  if (!element) return fault_oom(fault);
  memcpy(element, &group->works->at.version, 8);
  memcpy(element + 8, change->value, room - 8);
  put(it, group->lock + FAR_STAMP, element, room);
  return true;
}

bool far_group_ops(FarTxn *txn, FarGroup *group, Text *log, Fault *fault) {
  const FarChange *change = group->works->change;
  Writes it = {txn, log, 0};
  FarLogBlock block = {group->lock, group->mine, group->done, 0, changes_of(group)};
  const size_t head = log ? log->length : 0;
  bool ok = true;
  if (log) text_addn(log, (const char *)&block, sizeof block);
  if (change->queue) {
    ok = put_slot(&it, group, fault);
  } else if (change->map->vector) {
    put_cells(&it, group);
  } else {
    ok = put_bucket(&it, group, fault);
  }
  if (!ok) return false;
  txn->ops[txn->nops++] = far_write_op(group->lock, &group->done, 8);
  block.nwrites = it.n;
  if (log && !log->oom) memcpy(log->data + head, &block, sizeof block);
  return true;
}

void far_group_happened(const FarGroup *group) {
  for (size_t i = 0; i < group->n; i++) {
    const FarChange *change = group->works[i].change;
    if (change->queue) {
      far_queue_pushed(change->queue, group->works[i].at.version);
    } else if (change->map->vector) {
      far_vector_wrote(change->map, far_vector_index(change->key), group->version, change->value);
    }
  }
}
