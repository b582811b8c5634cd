/*
** Behind a client that died. All of it can be done again from the start, should who does it die as
** well.
*/
#include <string.h>

#include "base/array.h"
#include "remote/alloc.h"
#include "remote/board.h"
#include "remote/client.h"
#include "remote/log.h"
#include "remote/queue.h"

static FarHeader *header_of(const FarMapped *memory) { return (FarHeader *)(void *)memory->base; }

static bool damaged(Fault *fault, const char *what) {
  return fault_set(fault, FAULT_CORRUPT, "what a dead client left is damaged: %s", what);
}

static bool inside(const FarMapped *memory, FarPointer at, uint64_t length) {
  const uint64_t offset = far_offset(at);
  return far_region(at) == memory->region && offset % 8 == 0 && offset <= memory->size &&
         length <= memory->size - offset;
}

/* ---- transactions ---------------------------------------------------------------------------- */

/* What is written under one lock; *at moves behind it. */
static bool finish_block(const FarMapped *memory, uint64_t client, const unsigned char **at,
                         const unsigned char *end, Fault *fault) {
  FarLogBlock it;
  if ((size_t)(end - *at) < sizeof it) return damaged(fault, "a log ends early");
  memcpy(&it, *at, sizeof it);
  *at += sizeof it;
  if (!inside(memory, it.lock, 8) || (it.changes && !inside(memory, it.changes, 8)))
    return damaged(fault, "a log names no lock");
  _Atomic uint64_t *lock = far_word(memory, far_offset(it.lock));
  bool skip = (it.mine & FAR_CLAIMANT) != client || atomic_load(lock) != it.mine;
  for (uint64_t i = 0; i < it.nwrites; i++) {
    FarLogWrite write;
    if ((size_t)(end - *at) < sizeof write) return damaged(fault, "a log ends early");
    memcpy(&write, *at, sizeof write);
    *at += sizeof write;
    if (write.length > (size_t)(end - *at) || far_log_room(write.length) > (size_t)(end - *at))
      return damaged(fault, "a log ends early");
    FarOp op = {
        .code = FAR_WRITE, .at = write.at, .local = (void *)*at, .length = (uint32_t)write.length};
    if (!far_execute(memory, &op, 1, &skip, fault)) return false;
    *at += far_log_room(write.length);
  }
  if (!skip && it.changes) atomic_fetch_add(far_word(memory, far_offset(it.changes)), 1);
  if (!skip) atomic_store(lock, it.after);
  return true;
}

bool far_log_finish(const FarMapped *memory, uint64_t client, FarPointer log, bool forced,
                    Fault *fault) {
  FarLogHead head;
  if (!log) return true;
  if (!inside(memory, log, sizeof head)) return damaged(fault, "its log is nowhere");
  FarLogHead *there = (FarLogHead *)(void *)(memory->base + far_offset(log));
  memcpy(&head, there, sizeof head);
  if (head.state == FAR_LOG_NONE) return true;
  static const unsigned char nobody[FAR_MARK];
  if (head.state == FAR_LOG_PREPARED && !forced && !memcmp(head.mark, nobody, FAR_MARK)) {
    atomic_store((_Atomic uint64_t *)&there->state, FAR_LOG_NONE); /* it did not happen */
    return true;
  }
  if (head.state == FAR_LOG_PREPARED && !forced) {
    return fault_set(fault, FAULT_BUSY,
                     "a client died when its transaction was prepared: the database that it came "
                     "from has to be opened, for how it ended stands there");
  }
  if (!inside(memory, log + sizeof head, head.length)) return damaged(fault, "its log is too long");
  const unsigned char *at = (const unsigned char *)(there + 1), *end = at + head.length;
  if (hash_bytes(at, head.length, 0) != head.check) return damaged(fault, "its log is not whole");
  while (at < end) {
    if (!finish_block(memory, client, &at, end, fault)) return false;
  }
  atomic_store((_Atomic uint64_t *)&there->state, FAR_LOG_NONE);
  return true;
}

/* ---- splits (split.c) ------------------------------------------------------------------------ */

/* The new bucket on the right is complete when it stands in the client's record. The one on the
** left has either given away what is there, or does it now. */
static bool finish_split(const FarMapped *memory, const FarClient *client, Fault *fault) {
  FarShape shape;
  if (!client->split[0]) return true;
  if (!inside(memory, client->split[0], sizeof(FarBucket)) ||
      !inside(memory, client->split[1], sizeof(FarBucket)))
    return damaged(fault, "a split of what is no bucket");
  unsigned char *left = memory->base + far_offset(client->split[0]);
  unsigned char *right = memory->base + far_offset(client->split[1]);
  FarBucket *head = (FarBucket *)(void *)left, *other = (FarBucket *)(void *)right;
  if (atomic_load((_Atomic uint64_t *)&head->lock) != client->id) return true;
  far_shape_of_word(head->shape, &shape);
  if (!far_shape_valid(&shape) || other->shape != head->shape ||
      !inside(memory, client->split[0], far_bucket_size(&shape)) ||
      !inside(memory, client->split[1], far_bucket_size(&shape)))
    return damaged(fault, "a split of what is no bucket");
  atomic_store((_Atomic uint64_t *)&head->version, head->version | 1);
  unsigned char *low = right + far_low_at(), *high = left + far_high_at(&shape);
  memcpy(high, low, shape.key);
  uint64_t used = head->used;
  for (unsigned i = 0; i < shape.slots; i++) {
    const unsigned char *key = left + far_slot_at(&shape, i) + FAR_STAMP;
    if (used >> i & 1 && far_key_compare(&shape, key, low) >= 0) used &= ~(UINT64_C(1) << i);
  }
  head->right = client->split[1];
  head->flags &= ~(uint64_t)FAR_LAST;
  atomic_store((_Atomic uint64_t *)&head->used, used);
  atomic_store((_Atomic uint64_t *)&head->version, (head->version | 1) + 1);
  uint64_t mine = client->id;
  atomic_compare_exchange_strong((_Atomic uint64_t *)&other->lock, &mine, 0);
  atomic_store((_Atomic uint64_t *)&head->lock, 0);
  return true;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static bool has_room(const FarMapped *memory, const FarHeader *header, uint64_t extent) {
  const uint64_t at = header->bitmaps + extent * FAR_BITMAP;
  for (uint64_t i = 0; i < FAR_BITMAP; i += 8) {
    if (atomic_load(far_word(memory, at + i)) != UINT64_MAX) return true;
  }
  return false;
}

/* Whoever held the lock of allocation may have left its lists in any state: they are made anew out
** of what they are made of. */
static void make_lists(const FarMapped *memory, FarHeader *header) {
  FarExtent *extents = (FarExtent *)(void *)(memory->base + header->extents);
  const uint64_t used =
      header->next_extent < header->nextents ? header->next_extent : header->nextents;
  memset(header->classes, 0, sizeof header->classes);
  header->free_extents = 0;
  for (uint64_t i = 0; i < used; i++) {
    const uint32_t class = extents[i].class;
    header->free_extents += class == 0;
    if (!class || class > FAR_CLASSES || !has_room(memory, header, i)) continue;
    extents[i].next = (uint32_t)header->classes[class - 1].head;
    header->classes[class - 1].head = i + 1;
  }
}

static void release(_Atomic uint64_t *lock, uint64_t holder) {
  atomic_compare_exchange_strong(lock, &holder, 0);
}

/* Clears bits of a word that others change as well. */
static bool clear_bits(const FarMapped *memory, uint64_t at, uint64_t bits, Fault *fault) {
  FarOp op = {.code = FAR_CAS, .at = far_pointer(memory->region, 0, at)};
  op.old = atomic_load(far_word(memory, at));
  do {
    op.expected = op.old;
    op.value = op.old & ~bits;
    if (!far_change(memory, &op, fault)) return false;
  } while (op.status != FAR_DONE);
  return true;
}

static bool give_back(const FarMapped *memory, const FarHeader *header, FarClient *client,
                      Fault *fault) {
  for (int i = 0; i < FAR_CLASSES; i++) {
    const FarPool pool = client->pools[i];
    client->pools[i].mask = 0;
    if (!pool.mask || pool.word < header->bitmaps || pool.word % 8 ||
        pool.word >= header->bitmaps + header->nextents * FAR_BITMAP)
      continue;
    FarOp freed = {.code = FAR_ADD, .value = (uint64_t)__builtin_popcountll(pool.mask)};
    freed.at = far_pointer(memory->region, 0,
                           offsetof(FarHeader, classes) + (size_t)i * sizeof(FarClass) +
                               offsetof(FarClass, freed));
    if (!clear_bits(memory, pool.word, pool.mask, fault) || !far_change(memory, &freed, fault))
      return false;
  }
  return true;
}

/* Whoever waits for what it did, or for what it held, looks. */
bool far_bury(const FarMapped *memory, unsigned slot, Fault *fault) {
  FarHeader *header = header_of(memory);
  FarClient *client = (FarClient *)(void *)(memory->base + header->clients) + slot;
  if (client->state == FAR_CLIENT_FREE) return true;
  far_board_leave_all(memory, client);
  if (!far_log_finish(memory, client->id, client->log, false, fault)) {
    client->state = FAR_CLIENT_DOUBT;
    return false;
  }
  if (!finish_split(memory, client, fault)) return false;
  client->split[0] = client->split[1] = 0;
  if (header->alloc_lock == client->id) make_lists(memory, header);
  if (!give_back(memory, header, client, fault)) return false;
  release((_Atomic uint64_t *)&header->alloc_lock, client->id);
  release((_Atomic uint64_t *)&header->names_lock, client->id);
  atomic_store((_Atomic uint64_t *)&client->state, FAR_CLIENT_FREE);
  far_board_tell_all(memory);
  return true;
}

bool far_bury_settled(const FarMapped *memory, unsigned slot, FarDecide *decide, void *ctx,
                      bool *out_settled, Fault *fault) {
  const FarHeader *header = header_of(memory);
  FarClient *client = (FarClient *)(void *)(memory->base + header->clients) + slot;
  *out_settled = false;
  if (client->state == FAR_CLIENT_FREE || !client->log ||
      !inside(memory, client->log, sizeof(FarLogHead)))
    return true;
  FarLogHead *log = (FarLogHead *)(void *)(memory->base + far_offset(client->log));
  if (log->state != FAR_LOG_PREPARED) return true;
  const FarDecision decision = decide(ctx, log->mark);
  if (decision == FAR_NOT_MINE) return true;
  if (decision == FAR_UNDONE) atomic_store((_Atomic uint64_t *)&log->state, FAR_LOG_NONE);
  *out_settled = true;
  return (decision == FAR_UNDONE || far_log_finish(memory, client->id, client->log, true, fault)) &&
         far_bury(memory, slot, fault);
}
