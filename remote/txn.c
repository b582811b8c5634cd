/*
** The changes of a transaction, before it is committed.
*/
#include "remote/txn.h"

#include <stdlib.h>
#include <string.h>

#include "remote/changes.h"

FarSeen far_seen(const FarFound *found) {
  return (FarSeen){.stamp = found->stamp,
                   .bucket = found->bucket,
                   .version = found->version,
                   .used = found->used,
                   .slot = found->slot};
}

FarTxn *far_txn_begin(FarMemory *memory, Fault *fault) {
  FarTxn *txn = calloc(1, sizeof *txn);
  if (txn) {
    txn->memory = memory;
  } else {
    fault_oom(fault);
  }
  return txn;
}

void far_txn_end(FarTxn *txn) {
  if (!txn) return;
  if (txn->prepared) far_txn_finish(txn, false, NULL);
  map_finish(&txn->latest);
  arena_finish(&txn->arena);
  arena_finish(&txn->scratch);
  free(txn->changes);
  free(txn->things);
  free(txn->works);
  free(txn);
}

/* The name of a key in a map, for the index of changes. */
static size_t name_of(const FarMap *map, const void *key, unsigned char *out) {
  memcpy(out, &map->serial, sizeof map->serial);
  memcpy(out + sizeof map->serial, key, map->shape.key);
  return sizeof map->serial + map->shape.key;
}

/* The change names the thing as the first one of it did. Its room is there. */
static bool name_thing(FarTxn *txn, FarChange *change, Fault *fault) {
  const FarThing it = {change->map ? change->map->serial : far_queue_serial(change->queue),
                       change->map, change->queue, txn->count};
  for (size_t i = 0; i < txn->nthings; i++) {
    if (txn->things[i].serial != it.serial) continue;
    change->map = txn->things[i].map;
    change->queue = txn->things[i].queue;
    return true;
  }
  if (!array_grow(txn->things, txn->things_capacity, txn->nthings + 1)) return fault_oom(fault);
  txn->things[txn->nthings++] = it;
  return true;
}

const FarChange *far_txn_latest(const FarTxn *txn, const FarMap *map, const void *key) {
  unsigned char name[sizeof map->serial + FAR_MOST_KEY];
  const int64_t *at = map_get(&txn->latest, name, name_of(map, key, name));
  return at && *at >= 0 ? &txn->changes[*at] : NULL;
}

bool far_txn_put(FarTxn *txn, FarMap *map, const void *key, const void *value, const FarSeen *seen,
                 Fault *fault) {
  unsigned char name[sizeof map->serial + FAR_MOST_KEY];
  const size_t length = name_of(map, key, name);
  const size_t room = map->shape.stride - FAR_STAMP - map->shape.key;
  FarChange change = {.map = map, .previous = -1};
  change.key = arena_alloc(&txn->arena, map->shape.key);
  change.value = value ? arena_alloc(&txn->arena, room) : NULL;
  if (!change.key || (value && !change.value) ||
      !array_grow(txn->changes, txn->capacity, txn->count + 1))
    return fault_oom(fault);
  if (map->vector && !value)
    return fault_set(fault, FAULT_INVALID, "an element of a vector cannot be removed");
  if (!name_thing(txn, &change, fault)) return false;
  int64_t *at = map_put(&txn->latest, name, length, -1, NULL);
  if (!at) return fault_oom(fault);
  memcpy(change.key, key, map->shape.key);
  if (value) memcpy(change.value, value, room);
  change.previous = *at;
  change.seen = *at >= 0 ? txn->changes[*at].seen : *seen;
  *at = (int64_t)txn->count;
  txn->changes[txn->count++] = change;
  return true;
}

bool far_txn_push(FarTxn *txn, FarQueue *queue, const void *cells, Fault *fault) {
  const FarShape *shape = far_queue_shape(queue);
  const size_t room = shape->stride - FAR_STAMP - shape->key;
  FarChange change = {.queue = queue, .previous = -1, .value = arena_alloc(&txn->arena, room)};
  if (!change.value || !array_grow(txn->changes, txn->capacity, txn->count + 1))
    return fault_oom(fault);
  if (!name_thing(txn, &change, fault)) return false;
  memcpy(change.value, cells, room);
  txn->changes[txn->count++] = change;
  return true;
}

bool far_txn_look(const FarTxn *txn, const FarMap *map, const void *key,
                  const unsigned char **out_value, FarSeen *out_seen) {
  const FarChange *change = far_txn_latest(txn, map, key);
  if (!change) return false;
  *out_value = change->value;
  if (out_seen) *out_seen = change->seen;
  return true;
}

size_t far_txn_count(const FarTxn *txn) { return txn->count; }

bool far_txn_next(const FarTxn *txn, const FarMap *map, size_t *at, const unsigned char **out_key,
                  const unsigned char **out_value) {
  for (; *at < txn->count; ++*at) {
    const FarChange *change = &txn->changes[*at];
    if (!far_change_of(change, map) || far_txn_latest(txn, map, change->key) != change) continue;
    *out_key = change->key;
    *out_value = change->value;
    ++*at;
    return true;
  }
  return false;
}

size_t far_txn_mark(const FarTxn *txn) { return txn->count; }

bool far_txn_back(FarTxn *txn, size_t mark, Fault *fault) {
  while (txn->count > mark) {
    const FarChange *change = &txn->changes[txn->count - 1];
    unsigned char name[sizeof change->map->serial + FAR_MOST_KEY];
    if (change->queue) {
      txn->count--;
      continue;
    }
    int64_t *at = map_get(&txn->latest, name, name_of(change->map, change->key, name));
    if (!at) return fault_set(fault, FAULT_INTERNAL, "a change that is not known");
    *at = change->previous;
    txn->count--;
  }
  while (txn->nthings && txn->things[txn->nthings - 1].first >= mark) txn->nthings--;
  return true;
}
