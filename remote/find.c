/*
** Looking for keys in buckets of a mapped memory: FAR_FIND, many at a time, and FAR_RANGE.
*/
#include "remote/bucket.h"
#include "remote/execute.h"

enum {
  /* A reader that finds a bucket in the middle of a change looks again so many times before it
  ** says so: the change is some hundred instructions long, unless who makes it was stopped. */
  PATIENCE = 2000,
  MOST_READS = 16, /* of a range that changes each time: it may be long */
  /* A list of keys takes the time of its cache misses, unless they are waited for together: so
  ** many keys have first their heads and tags fetched, then the slots that it will be. */
  TOGETHER = 32,
  LINE = 64
};

/* What the FINDs have in common. */
typedef struct Aim {
  const FarMapped *memory;
  const FarSearch *search;
  FarShape shape;
  uint64_t all; /* slots */
  uint32_t size, wanted, room;
  uint8_t tags[TOGETHER]; /* of the keys that are looked for together */
} Aim;

static bool take_aim(Aim *aim, const FarMapped *memory, const FarSearch *search) {
  if (!search || !far_search_valid(search)) return false;
  aim->memory = memory;
  aim->search = search;
  aim->shape = search->shape;
  aim->all = far_all_slots(&search->shape);
  aim->size = far_bucket_size(&search->shape);
  aim->wanted = search->wanted;
  aim->room = far_find_room(search);
  return true;
}

static inline bool is_bucket(const Aim *aim, FarPointer at) {
  return far_inside(aim->memory, at, aim->size) && far_offset(at) % 8 == 0;
}

/* ---- looking ahead --------------------------------------------------------------------------- */

/* gcc leaves out calls of functions that do nothing but prefetch. */
#define ALWAYS static inline __attribute__((always_inline))

ALWAYS void fetch(const unsigned char *from, uint32_t length) {
  for (uint32_t i = 0; i < length && i < 4 * LINE; i += LINE) __builtin_prefetch(from + i);
  __builtin_prefetch(from + length - 1);
}

ALWAYS void fetch_head(Aim *aim, const FarOp *op, size_t i) {
  if (!op->key || !is_bucket(aim, op->at)) return;
  const unsigned char *bucket = aim->memory->base + far_offset(op->at);
  __builtin_prefetch(bucket);
  __builtin_prefetch(bucket + far_tags_at());
  aim->tags[i] = bucket_tag(&aim->shape, op->key);
}

ALWAYS void fetch_slot(const Aim *aim, const FarOp *op, size_t i) {
  if (!op->key || !is_bucket(aim, op->at)) return;
  const unsigned char *bucket = aim->memory->base + far_offset(op->at);
  uint64_t used;
  memcpy(&used, bucket + offsetof(FarBucket, used), sizeof used);
  used &= aim->all & bucket_tagged(bucket + far_tags_at(), aim->tags[i]);
  if (used) fetch(bucket + far_slot_at(&aim->shape, (unsigned)__builtin_ctzll(used)), aim->wanted);
}

/* Of the next TOGETHER keys. One alone waits once, whatever is done. */
static void look_ahead(Aim *aim, const FarOp *ops, size_t n) {
  if (n > TOGETHER) n = TOGETHER;
  for (size_t i = 0; i < n; i++) fetch_head(aim, &ops[i], i);
  for (size_t i = 0; n > 1 && i < n; i++) fetch_slot(aim, &ops[i], i);
}

/* ---- one of them ----------------------------------------------------------------------------- */

/* Brings what the element's cells point to, behind it: how many bytes there are then. */
static uint64_t follow(const FarMapped *memory, const FarOp *op) {
  unsigned char *out = op->local, *element = out + FAR_FOUND;
  const FarSearch *search = op->search;
  uint64_t from = op->index;
  for (uint32_t i = 0; i < search->nfollow && op->length - from >= 8; i++) {
    const FarFollow *cell = &search->follow[i];
    uint64_t words[2], came = FAR_NONE;
    if (cell->at > search->wanted - sizeof words) continue;
    memcpy(words, element + cell->at, sizeof words);
    const uint64_t padded = (words[0] + 7) & ~UINT64_C(7);
    if (words[0] > cell->room && words[0] <= op->length && padded <= op->length - from - 8 &&
        far_inside(memory, words[1], words[0])) {
      came = words[0];
      memset(out + from + padded, 0, 8); /* the padding, of which some is overwritten */
      memcpy(out + from + 8, memory->base + far_offset(words[1]), came);
    }
    memcpy(out + from, &came, 8);
    from += 8 + (came == FAR_NONE ? 0 : padded);
  }
  return from;
}

static inline uint64_t word_of(const Aim *aim, uint64_t at, size_t field) {
  return atomic_load_explicit(far_word(aim->memory, at + field), memory_order_acquire);
}

/* As it was at one time, if the version is the same before and after: see layout.h. What `used`
** tells of was written before it, so it is read after it. */
static inline void look(const Aim *aim, FarOp *op, uint64_t version, uint8_t tag) {
  const uint64_t at = far_offset(op->at);
  const unsigned char *bucket = aim->memory->base + at;
  const uint64_t used = word_of(aim, at, offsetof(FarBucket, used));
  if (bucket_answer(op, &aim->shape, bucket, version, used, tag) && aim->search->nfollow)
    op->index = follow(aim->memory, op);
}

static inline void find(const Aim *aim, FarOp *op, uint8_t tag) {
  const uint64_t at = far_offset(op->at);
  for (int i = 0; i < PATIENCE; i++) {
    const uint64_t version = word_of(aim, at, offsetof(FarBucket, version));
    if (version & 1) continue;
    look(aim, op, version, tag);
    atomic_thread_fence(memory_order_acquire);
    if (word_of(aim, at, offsetof(FarBucket, version)) == version) return;
  }
  op->status = FAR_CHANGING;
}

/* ---- a range --------------------------------------------------------------------------------- */

/* The keys of all elements, which are as far apart as elements are. */
ALWAYS void fetch_keys(const Aim *aim, const unsigned char *bucket, uint64_t used) {
  for (used &= aim->all; used; used &= used - 1)
    __builtin_prefetch(bucket + far_slot_at(&aim->shape, (unsigned)__builtin_ctzll(used)) +
                       FAR_STAMP);
}

bool far_range(const FarMapped *memory, FarOp *op, Fault *fault) {
  Aim aim;
  const char *wrong = far_search_wrong(op);
  if (wrong) return far_op_wrong(fault, op, wrong);
  take_aim(&aim, memory, op->search);
  if (!is_bucket(&aim, op->at)) return far_op_wrong(fault, op, "no bucket of this memory");
  const uint64_t at = far_offset(op->at);
  const unsigned char *bucket = memory->base + at;
  for (int i = 0, reads = 0; i < PATIENCE && reads < MOST_READS; i++) {
    const uint64_t version = word_of(&aim, at, offsetof(FarBucket, version));
    if (version & 1) continue;
    reads++;
    const uint64_t used = word_of(&aim, at, offsetof(FarBucket, used));
    fetch_keys(&aim, bucket, used);
    bucket_range(op, &aim.shape, bucket, version, used);
    atomic_thread_fence(memory_order_acquire);
    if (word_of(&aim, at, offsetof(FarBucket, version)) == version) return true;
  }
  op->status = FAR_CHANGING;
  return true;
}

/* ---- a list of keys -------------------------------------------------------------------------- */

static const char *wrong_with(const Aim *aim, const FarOp *op) {
  if (!op->key) return "no key";
  if (op->length < aim->room) return "too little room";
  return is_bucket(aim, op->at) ? NULL : "no bucket of this memory";
}

bool far_find(const FarMapped *memory, FarOp *ops, size_t n, FarTray *tray, size_t *out_did,
              Fault *fault) {
  Aim aim;
  *out_did = 1;
  if (!take_aim(&aim, memory, ops->search)) return far_op_wrong(fault, ops, "no key");
  for (size_t i = 0; i < n; i++) {
    FarOp *op = &ops[i];
    if (i % TOGETHER == 0) look_ahead(&aim, op, n - i);
    *out_did = i + 1;
    const char *wrong = wrong_with(&aim, op);
    if (wrong) return far_op_wrong(fault, op, wrong);
    if (tray) op->local = tray->at + tray->before;
    find(&aim, op, aim.tags[i % TOGETHER]);
    far_tray_move(tray, op);
  }
  return true;
}
