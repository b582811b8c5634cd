/*
** Looking for a key in a bucket that is in this memory: what bucket.c and find.c share.
*/
#ifndef TENFOLD_REMOTE_BUCKET_H
#define TENFOLD_REMOTE_BUCKET_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <string.h>

#include "base/array.h"
#include "remote/layout.h"

/* How many bytes of a key say what it is. */
static inline size_t bucket_key_length(const FarShape *shape, const unsigned char *key) {
  if (shape->kind == FAR_KEY_INTEGER) return 8;
  const size_t length = 2 + (size_t)(key[0] | key[1] << 8);
  return length < shape->key ? length : shape->key;
}

static inline uint64_t bucket_hash(const FarShape *shape, const void *key) {
  if (shape->kind == FAR_KEY_INTEGER) { /* Fibonacci hashing, and the upper half mixed in */
    uint64_t word;
    memcpy(&word, key, 8);
    word = (word ^ word >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return word ^ word >> 29;
  }
  return hash_bytes(key, bucket_key_length(shape, key), 0);
}

/* A bit for each of the tags that is this one. */
#ifdef __SSE2__
static inline uint64_t bucket_tagged(const unsigned char *tags, uint8_t tag) {
  const __m128i wanted = _mm_set1_epi8((char)tag);
  const __m128i *at = (const __m128i *)(const void *)tags;
  uint32_t same[FAR_SLOTS / 16];
  for (int i = 0; i < FAR_SLOTS / 16; i++)
    same[i] = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(at + i), wanted));
  return (same[0] | same[1] << 16) | (uint64_t)(same[2] | same[3] << 16) << 32;
}
#else
/* Mycroft's test for a zero byte, in its exact form, and the bits moved together by a product. */
static inline uint64_t bucket_tagged(const unsigned char *tags, uint8_t tag) {
  static const uint64_t ones = UINT64_C(0x0101010101010101), low = UINT64_C(0x7f7f7f7f7f7f7f7f);
  uint64_t same = 0, word;
  for (unsigned i = 0; i < FAR_SLOTS; i += 8) {
    memcpy(&word, tags + i, 8);
    word ^= ones * tag;
    const uint64_t zero = ~(((word & low) + low) | word | low) >> 7;
    same |= (zero * UINT64_C(0x0102040810204080)) >> 56 << i;
  }
  return same;
}
#endif

static inline bool bucket_is_key(const FarShape *shape, const unsigned char *there,
                                 const void *key) {
  uint64_t left, right;
  if (shape->kind != FAR_KEY_INTEGER) return !memcmp(there, key, bucket_key_length(shape, key));
  memcpy(&left, there, 8);
  memcpy(&right, key, 8);
  return left == right;
}

/* Which of these slots holds the key, or -1. */
static inline int bucket_slot(const FarShape *shape, uint64_t slots, const unsigned char *bucket,
                              const void *key) {
  for (; slots; slots &= slots - 1) {
    const unsigned slot = (unsigned)__builtin_ctzll(slots);
    if (bucket_is_key(shape, bucket + far_slot_at(shape, slot) + FAR_STAMP, key)) return (int)slot;
  }
  return -1;
}

enum { BUCKET_NONE = -1, BUCKET_ELSEWHERE = -2 };

/* The slot of a key, or why there is none: see FarSearch. A key that is there does not belong to
** the right, so where that begins is looked at for others only. `used`: the bucket's. */
static inline int bucket_look(const FarShape *shape, uint64_t owner, const unsigned char *bucket,
                              uint64_t used, const void *key, uint8_t tag) {
  const FarBucket *head = (const FarBucket *)(const void *)bucket;
  used &= far_all_slots(shape) & bucket_tagged(bucket + far_tags_at(), tag);
  const int slot = bucket_slot(shape, used, bucket, key);
  if (head->owner != owner) return BUCKET_ELSEWHERE;
  if (slot >= 0 || head->flags & FAR_LAST) return slot;
  return far_key_compare(shape, key, far_high_of(shape, head)) < 0 ? BUCKET_NONE : BUCKET_ELSEWHERE;
}

static inline uint8_t bucket_tag(const FarShape *shape, const void *key) {
  return far_key_tag(bucket_hash(shape, key));
}

/* What a FIND is answered out of a bucket (FarSearch), but for what cells point to. False: there is
** no element. `version` and `used` are the bucket's, which may change again meanwhile. */
static inline bool bucket_answer(FarOp *op, const FarShape *shape, const unsigned char *bucket,
                                 uint64_t version, uint64_t used, uint8_t tag) {
  const FarSearch *search = op->search;
  const uint64_t found[] = {version, used};
  unsigned char *out = op->local;
  const int slot = bucket_look(shape, search->owner, bucket, used, op->key, tag);
  const bool elsewhere = slot == BUCKET_ELSEWHERE;
  op->status = elsewhere ? FAR_ELSEWHERE : FAR_DONE;
  op->old = slot < 0 ? FAR_NONE : (uint64_t)slot;
  op->index = elsewhere ? far_head_size(shape) : FAR_FOUND;
  if (elsewhere) memcpy(out, bucket, op->index);
  memcpy(out, found, sizeof found);
  if (slot < 0) return false;
  memcpy(out + FAR_FOUND, bucket + far_slot_at(shape, (unsigned)slot), search->wanted);
  op->index += search->wanted;
  return true;
}

/* What a RANGE is answered, likewise. */
static inline void bucket_range(FarOp *op, const FarShape *shape, const unsigned char *bucket,
                                uint64_t version, uint64_t used) {
  const FarSearch *search = op->search;
  unsigned char *out = op->local;
  const uint64_t found[] = {version, used};
  memcpy(out, bucket, sizeof(FarBucket));
  memcpy(out, found, sizeof found);
  memcpy(out + sizeof(FarBucket), bucket + far_low_at(), 2 * (size_t)shape->key);
  out += far_range_head(shape);
  op->old = 0;
  for (uint64_t left = used & far_all_slots(shape); left; left &= left - 1) {
    const unsigned slot = (unsigned)__builtin_ctzll(left);
    const unsigned char *element = bucket + far_slot_at(shape, slot), *key = element + FAR_STAMP;
    if ((search->from && far_key_compare(shape, key, search->from) < 0) ||
        (search->to && far_key_compare(shape, key, search->to) > 0))
      continue;
    memcpy(out, element, search->wanted);
    out += search->wanted;
    op->old |= UINT64_C(1) << slot;
  }
  op->status = FAR_DONE;
  op->index = (uint64_t)(out - (unsigned char *)op->local);
}

#endif
