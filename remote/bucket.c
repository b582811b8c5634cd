/*
** Buckets as bytes: keys, tags, and looking for one in a bucket that is in local memory.
*/
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <string.h>

#include "base/array.h"
#include "remote/layout.h"

bool far_shape_valid(const FarShape *shape) {
  return (shape->kind == FAR_KEY_INTEGER || shape->kind == FAR_KEY_TEXT) && shape->key >= 8 &&
         shape->key <= FAR_MOST_KEY && shape->key % 8 == 0 && shape->stride % 8 == 0 &&
         shape->stride >= FAR_STAMP + shape->key && shape->stride <= FAR_MOST_STRIDE &&
         shape->slots >= 2 && shape->slots <= FAR_SLOTS;
}

uint64_t far_shape_word(const FarShape *shape) {
  return (uint64_t)shape->kind << 56 | (uint64_t)shape->slots << 40 | (uint64_t)shape->key << 24 |
         shape->stride;
}

void far_shape_of_word(uint64_t word, FarShape *out) {
  out->kind = (FarKeyKind)(word >> 56);
  out->slots = word >> 40 & 0xffff;
  out->key = word >> 24 & 0xffff;
  out->stride = word & 0xffffff;
}

/* How many bytes of a key say what it is. */
static size_t key_length(const FarShape *shape, const unsigned char *key) {
  if (shape->kind == FAR_KEY_INTEGER) return 8;
  const size_t length = 2 + (size_t)(key[0] | key[1] << 8);
  return length < shape->key ? length : shape->key;
}

static inline uint64_t hash_of(const FarShape *shape, const void *key) {
  if (shape->kind == FAR_KEY_INTEGER) { /* Fibonacci hashing, and the upper half mixed in */
    uint64_t word;
    memcpy(&word, key, 8);
    word = (word ^ word >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return word ^ word >> 29;
  }
  return hash_bytes(key, key_length(shape, key), 0);
}

uint64_t far_key_hash(const FarShape *shape, const void *key) { return hash_of(shape, key); }

int far_text_compare(const FarShape *shape, const void *a, const void *b) {
  const size_t left = key_length(shape, a), right = key_length(shape, b);
  const size_t both = left < right ? left : right;
  const int order = memcmp((const char *)a + 2, (const char *)b + 2, both - 2);
  return order ? order : (left > right) - (left < right);
}

/* A bit for each of the tags that is this one. */
#ifdef __SSE2__
static uint64_t tags_equal(const unsigned char *tags, uint8_t tag) {
  const __m128i wanted = _mm_set1_epi8((char)tag);
  const __m128i *at = (const __m128i *)(const void *)tags;
  uint32_t same[FAR_SLOTS / 16];
  for (int i = 0; i < FAR_SLOTS / 16; i++)
    same[i] = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(at + i), wanted));
  return (same[0] | same[1] << 16) | (uint64_t)(same[2] | same[3] << 16) << 32;
}
#else
/* Mycroft's test for a zero byte, in its exact form, and the bits moved together by a product. */
static uint64_t tags_equal(const unsigned char *tags, uint8_t tag) {
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

uint64_t far_bucket_candidates(const FarShape *shape, uint64_t used, const void *bucket,
                               const void *key) {
  const unsigned char *tags = (const unsigned char *)bucket + far_tags_at(shape);
  return used & far_all_slots(shape) & tags_equal(tags, far_key_tag(hash_of(shape, key)));
}

static bool is_key(const FarShape *shape, const unsigned char *there, const void *key) {
  uint64_t left, right;
  if (shape->kind != FAR_KEY_INTEGER) return !memcmp(there, key, key_length(shape, key));
  memcpy(&left, there, 8);
  memcpy(&right, key, 8);
  return left == right;
}

int far_bucket_find(const FarShape *shape, uint64_t used, const void *bucket, const void *key) {
  const unsigned char *bytes = bucket;
  uint64_t left = far_bucket_candidates(shape, used, bucket, key);
  for (; left; left &= left - 1) {
    const int slot = __builtin_ctzll(left);
    if (is_key(shape, bytes + far_slot_at(shape, (unsigned)slot) + FAR_STAMP, key)) return slot;
  }
  return -1;
}
