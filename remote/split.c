/*
** A full bucket becomes two. What dies in between is found by who buries the client: once the new
** bucket stands in the client's record it is complete, and the old one is made to agree with it.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "remote/alloc.h"
#include "remote/client.h"
#include "remote/map.h"
#include "remote/memory.h"
#include "remote/names.h"

typedef struct Split {
  FarMap *map;
  FarPointer left, right;
  FarBucket *old, *added;           /* whole buckets, here */
  const unsigned char *const *keys; /* what has to find room */
  size_t nkeys;
  uint64_t stays; /* slots of the old one */
  unsigned char low[FAR_MOST_KEY];
} Split;

static unsigned char *slot_of(const Split *it, FarBucket *bucket, unsigned slot) {
  return (unsigned char *)bucket + far_slot_at(&it->map->shape, slot);
}

static const unsigned char *key_of(const Split *it, unsigned slot) {
  return slot_of(it, it->old, slot) + FAR_STAMP;
}

static unsigned count_of(uint64_t used) { return (unsigned)__builtin_popcountll(used); }

/* The slots in use, by their keys. */
static unsigned sort_slots(const Split *it, unsigned *out) {
  unsigned n = 0;
  for (uint64_t left = it->old->used; left; left &= left - 1) {
    const unsigned slot = (unsigned)__builtin_ctzll(left);
    unsigned at = n++;
    for (;
         at > 0 && far_key_compare(&it->map->shape, key_of(it, out[at - 1]), key_of(it, slot)) > 0;
         at--)
      out[at] = out[at - 1];
    out[at] = slot;
  }
  return n;
}

/* How many keys there are in the bucket's slots, sorted, and in what comes. */
static size_t distinct(const Split *it, const unsigned *slots, unsigned n) {
  size_t both = 0;
  for (size_t slot = 0, key = 0; slot < n && key < it->nkeys;) {
    const int sign = far_key_compare(&it->map->shape, key_of(it, slots[slot]), it->keys[key]);
    both += sign == 0;
    slot += sign <= 0;
    key += sign >= 0;
  }
  return n + it->nkeys - both;
}

/* Where the new bucket begins. Keys that only ever grow fill buckets to the end; otherwise it is
** the middle of what is there and what comes. */
static void choose_low(Split *it) {
  const FarShape *shape = &it->map->shape;
  unsigned slots[FAR_SLOTS];
  const unsigned n = sort_slots(it, slots);
  const unsigned char *low = it->keys[0];
  if (it->old->flags & FAR_LAST &&
      (!n || far_key_compare(shape, key_of(it, slots[n - 1]), it->keys[0]) < 0)) {
    memcpy(it->low, it->keys[shape->slots - n], shape->key);
    return;
  }
  /* Both lists, merged, and what is in both once: there are two keys at least. */
  for (size_t slot = 0, key = 0, left = distinct(it, slots, n) / 2 + 1; left > 0; left--) {
    const int sign = slot == n ? 1
                     : key == it->nkeys
                         ? -1
                         : far_key_compare(shape, key_of(it, slots[slot]), it->keys[key]);
    low = sign <= 0 ? key_of(it, slots[slot]) : it->keys[key];
    slot += sign <= 0;
    key += sign >= 0;
  }
  memcpy(it->low, low, shape->key);
}

static void divide(Split *it) {
  const FarShape *shape = &it->map->shape;
  FarBucket *added = it->added;
  *added = (FarBucket){.version = (it->old->version | 1) + 1, /* stamps go on from there */
                       .lock = it->map->memory->client,
                       .right = it->old->right,
                       .owner = it->old->owner,
                       .shape = it->old->shape,
                       .flags = it->old->flags};
  memcpy((unsigned char *)added + far_low_at(), it->low, shape->key);
  memcpy((unsigned char *)added + far_high_at(shape), far_high_of(shape, it->old), shape->key);
  it->stays = 0;
  unsigned n = 0;
  for (uint64_t left = it->old->used; left; left &= left - 1) {
    const unsigned slot = (unsigned)__builtin_ctzll(left);
    if (far_key_compare(shape, key_of(it, slot), it->low) < 0) {
      it->stays |= UINT64_C(1) << slot;
      continue;
    }
    memcpy(slot_of(it, added, n), slot_of(it, it->old, slot), shape->stride);
    ((unsigned char *)added)[far_tags_at() + n] = ((unsigned char *)it->old)[far_tags_at() + slot];
    added->used |= UINT64_C(1) << n++;
  }
}

#define FIELD(bucket, name) ((bucket) + offsetof(FarBucket, name))

/* The new bucket is written; once it stands in our record the split happens, whoever does it. Then
** the old one is made to agree, and the tree has an entry more, which is written later. */
static bool divide_there(Split *it, uint64_t *out_entry, Stop *stop, Fault *fault) {
  FarMap *map = it->map;
  FarMemory *memory = map->memory;
  static const uint64_t none;
  const FarPointer left = it->left, both[2] = {left, it->right};
  const FarPointer split = far_client_field(memory, offsetof(FarClient, split));
  const uint64_t odd = it->old->version | 1, even = odd + 1,
                 flags = it->old->flags & ~(uint64_t)FAR_LAST;
  FarOp ops[] = {far_write_op(it->right, it->added, far_bucket_size(&map->shape)),
                 far_write_op(split + 8, &both[1], 8),
                 far_write_op(split, &both[0], 8),
                 far_write_op(FIELD(left, version), &odd, 8),
                 far_write_op(left + far_high_at(&map->shape), it->low, map->shape.key),
                 far_write_op(FIELD(left, right), &it->right, 8),
                 far_write_op(FIELD(left, flags), &flags, 8),
                 far_write_op(FIELD(left, used), &it->stays, 8),
                 far_write_op(FIELD(left, version), &even, 8),
                 far_unlock_op(FIELD(it->right, lock)),
                 far_unlock_op(FIELD(left, lock)),
                 far_write_op(split, &none, 8),
                 {.code = FAR_ADD, .at = map->root + offsetof(FarMapRoot, entries), .value = 1}};
  if (!far_round(memory, ops, countof(ops), stop, fault)) return false;
  *out_entry = ops[countof(ops) - 1].old;
  return true;
}

static bool unlock(Split *it, Fault *fault) {
  FarOp op = far_unlock_op(FIELD(it->left, lock));
  return far_round(it->map->memory, &op, 1, NULL, fault);
}

/* With the lock held, and given back in any case. *out_done: there was room, or the bucket is not
** what it was. */
static bool split_locked(Split *it, bool *out_done, uint64_t *out_entry, Stop *stop, Fault *fault) {
  FarMap *map = it->map;
  bool moved;
  *out_done = true;
  it->old->used &= far_all_slots(&map->shape);
  if (!far_map_owns(map, it->old, fault) ||
      !far_map_follow(map, it->left, it->old, it->keys[it->nkeys - 1], &moved, fault)) {
    unlock(it, NULL);
    return false;
  }
  if (moved || count_of(it->old->used) + it->nkeys <= map->shape.slots) return unlock(it, fault);
  if (!far_alloc(map->memory, far_bucket_size(&map->shape), FAR_USE_BUCKET, &it->right, stop,
                 fault)) {
    unlock(it, NULL);
    return false;
  }
  choose_low(it);
  divide(it);
  *out_done = false;
  return divide_there(it, out_entry, stop, fault);
}

/* One split; then it->left, stays and right, added say what has become of it. */
static bool split_once(Split *it, bool *out_done, Stop *stop, Fault *fault) {
  FarMap *map = it->map;
  const uint32_t size = far_bucket_size(&map->shape);
  uint64_t entry;
  FarOp ops[2] = {{0}, {.code = FAR_READ, .at = it->left, .local = it->old, .length = size}};
  return far_lock_round(map->memory, FIELD(it->left, lock), ops, 2, stop, fault) &&
         split_locked(it, out_done, &entry, stop, fault) &&
         (*out_done || (far_tree_add(&map->tree, it->low, it->right, fault) &&
                        far_map_announce(map, entry, it->low, it->right, stop, fault)));
}

static size_t keys_below(const Split *it) {
  size_t n = 0;
  while (n < it->nkeys && far_key_compare(&it->map->shape, it->keys[n], it->low) < 0) n++;
  return n;
}

bool far_map_split(FarMap *map, FarPointer bucket, const unsigned char *const *keys, size_t n,
                   Stop *stop, Fault *fault) {
  const uint32_t size = far_bucket_size(&map->shape);
  Split it = {.map = map, .old = malloc(size), .added = calloc(1, size)};
  bool done = false, ok = (it.old && it.added) || fault_oom(fault);
  it.left = bucket;
  it.keys = keys;
  it.nkeys = n;
  while (ok && !done) {
    ok = split_once(&it, &done, stop, fault);
    if (!ok || done) break;
    const size_t below = keys_below(&it);
    if (count_of(it.stays) + below > map->shape.slots)
      ok = far_map_split(map, it.left, it.keys, below, stop, fault);
    it.keys += below;
    it.nkeys -= below;
    it.left = it.right;
    done = count_of(it.added->used) + it.nkeys <= map->shape.slots;
  }
  free(it.old);
  free(it.added);
  return ok;
}

/* ---- dropping -------------------------------------------------------------------------------- */

/* Nobody's bucket: who still looks here sees that the map is gone. */
static bool drop_bucket(FarMap *map, FarPointer bucket, FarPointer *out_right, Stop *stop,
                        Fault *fault) {
  FarBucket head;
  static const uint64_t nobody;
  FarOp ops[3] = {{0}, {.code = FAR_READ, .at = bucket, .local = &head, .length = sizeof head}};
  if (!far_lock_round(map->memory, FIELD(bucket, lock), ops, 2, stop, fault)) return false;
  *out_right = head.owner == map->serial ? head.right : 0;
  if (head.owner != map->serial) {
    ops[0] = far_unlock_op(FIELD(bucket, lock));
    return far_round(map->memory, ops, 1, NULL, fault);
  }
  ops[0] = far_write_op(FIELD(bucket, owner), &nobody, 8);
  ops[1] = (FarOp){.code = FAR_ADD, .at = FIELD(bucket, version), .value = 2};
  ops[2] = far_unlock_op(FIELD(bucket, lock));
  return far_round(map->memory, ops, 3, NULL, fault) &&
         far_free(map->memory, bucket, far_bucket_size(&map->shape), FAR_USE_BUCKET, stop, fault);
}

bool far_map_drop(FarMap *map, Stop *stop, Fault *fault) {
  FarMapRoot root;
  static const uint64_t nobody;
  FarOp ops[] = {far_read_op(map->root, &root, sizeof root),
                 far_write_op(map->root + offsetof(FarMapRoot, serial), &nobody, 8),
                 {.code = FAR_ADD, .at = map->root + offsetof(FarMapRoot, changes), .value = 1}};
  if (!far_name_remove(map->memory, map->name, map->root, stop, fault) ||
      !far_round(map->memory, ops, countof(ops), stop, fault))
    return false;
  for (FarPointer bucket = root.first; bucket;) {
    if (!drop_bucket(map, bucket, &bucket, stop, fault)) return false;
  }
  for (unsigned i = 0; i < FAR_TREE_CHUNKS; i++) {
    const uint64_t size = ((uint64_t)FAR_TREE_FIRST << i) * (map->shape.key + sizeof(FarPointer));
    if (root.chunks[i] && !far_free(map->memory, root.chunks[i], size, FAR_USE_BYTES, stop, fault))
      return false;
  }
  return far_free(map->memory, map->root, sizeof root, FAR_USE_BYTES, stop, fault);
}
