/*
** Buckets as bytes: shapes, and keys.
*/
#include "remote/bucket.h"

bool far_shape_valid(const FarShape *shape) {
  return (shape->kind == FAR_KEY_INTEGER || shape->kind == FAR_KEY_TEXT) && shape->key >= 8 &&
         shape->key <= FAR_MOST_KEY && shape->key % 8 == 0 && shape->stride % 8 == 0 &&
         shape->stride >= FAR_STAMP + shape->key && shape->stride <= FAR_MOST_STRIDE &&
         shape->slots >= 2 && shape->slots <= FAR_SLOTS;
}

bool far_search_valid(const FarSearch *search) {
  return far_shape_valid(&search->shape) && search->wanted % 8 == 0 &&
         search->wanted >= FAR_STAMP + search->shape.key &&
         search->wanted <= search->shape.stride && search->nfollow <= FAR_FOLLOWED;
}

const char *far_search_wrong(const FarOp *op) {
  const bool range = op->code == FAR_RANGE;
  if (!op->search || !far_search_valid(op->search)) return range ? "no range" : "no key";
  if (!range && !op->key) return "no key";
  const uint32_t room = range ? far_range_room(op->search) : far_find_room(op->search);
  return op->length < room ? "too little room" : NULL;
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

uint64_t far_key_hash(const FarShape *shape, const void *key) { return bucket_hash(shape, key); }

int far_text_compare(const FarShape *shape, const void *a, const void *b) {
  const size_t left = bucket_key_length(shape, a), right = bucket_key_length(shape, b);
  const size_t both = left < right ? left : right;
  const int order = memcmp((const char *)a + 2, (const char *)b + 2, both - 2);
  return order ? order : (left > right) - (left < right);
}
