#include "remote/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

enum { BLOCK = 512 };

typedef struct FarTreeBlock {
  size_t count;
  FarPointer buckets[BLOCK];
  unsigned char lows[]; /* shape.key bytes each */
} FarTreeBlock;

static unsigned char *low_of(const FarTree *tree, const FarTreeBlock *block, size_t i) {
  return (unsigned char *)block->lows + i * tree->shape.key;
}

static int order(const FarTree *tree, const void *a, const void *b) {
  return far_key_compare(&tree->shape, a, b);
}

/* How many of n sorted keys are <= key. */
static size_t integers_below(const unsigned char *first, size_t n, const void *key) {
  const unsigned char *keys = first;
  int64_t wanted, middle;
  if (!n) return 0;
  memcpy(&wanted, key, 8);
  while (n > 1) { /* no branch on the comparison */
    const size_t half = n / 2;
    memcpy(&middle, keys + half * 8, 8);
    keys = middle <= wanted ? keys + half * 8 : keys;
    n -= half;
  }
  memcpy(&middle, keys, 8);
  return (size_t)(keys - first) / 8 + (middle <= wanted);
}

static size_t below(const FarTree *tree, const unsigned char *keys, size_t n, const void *key) {
  if (tree->shape.kind == FAR_KEY_INTEGER) return integers_below(keys, n, key);
  size_t low = 0, high = n;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (order(tree, keys + middle * tree->shape.key, key) <= 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

bool far_tree_find(const FarTree *tree, const void *key, FarTreePlace *out) {
  out->block = below(tree, tree->firsts, tree->nblocks, key) - 1;
  if (out->block >= tree->nblocks) return false;
  const FarTreeBlock *block = tree->blocks[out->block];
  out->entry = below(tree, block->lows, block->count, key) - 1;
  return true;
}

bool far_tree_last(const FarTree *tree, FarTreePlace *out) {
  if (!tree->nblocks) return false;
  out->block = tree->nblocks - 1;
  out->entry = tree->blocks[out->block]->count - 1;
  return true;
}

bool far_tree_next(const FarTree *tree, FarTreePlace *place) {
  if (++place->entry < tree->blocks[place->block]->count) return true;
  place->entry = 0;
  return ++place->block < tree->nblocks;
}

bool far_tree_previous(const FarTree *tree, FarTreePlace *place) {
  if (place->entry--) return true;
  if (!place->block--) return false;
  place->entry = tree->blocks[place->block]->count - 1;
  return true;
}

FarPointer far_tree_bucket(const FarTree *tree, FarTreePlace place) {
  return tree->blocks[place.block]->buckets[place.entry];
}

const void *far_tree_low(const FarTree *tree, FarTreePlace place) {
  return low_of(tree, tree->blocks[place.block], place.entry);
}

/* ---- changes --------------------------------------------------------------------------------- */

static FarTreeBlock *make_block(FarTree *tree, size_t at, Fault *fault) {
  FarTreeBlock *block = NULL;
  const size_t key = tree->shape.key;
  if (array_grow(tree->blocks, tree->capacity, tree->nblocks + 1) &&
      array_grow(tree->firsts, tree->firsts_capacity, (tree->nblocks + 1) * key))
    block = malloc(sizeof *block + (size_t)BLOCK * key);
  if (!block) {
    fault_oom(fault);
    return NULL;
  }
  block->count = 0;
  memmove(tree->blocks + at + 1, tree->blocks + at, (tree->nblocks - at) * sizeof *tree->blocks);
  memmove(tree->firsts + (at + 1) * key, tree->firsts + at * key, (tree->nblocks - at) * key);
  tree->blocks[at] = block;
  tree->nblocks++;
  return block;
}

static void move(const FarTree *tree, FarTreeBlock *to, size_t at, const FarTreeBlock *from,
                 size_t first, size_t n) {
  memmove(to->buckets + at, from->buckets + first, n * sizeof *to->buckets);
  memmove(low_of(tree, to, at), low_of(tree, from, first), n * tree->shape.key);
}

static void set_first(FarTree *tree, size_t block) {
  const size_t key = tree->shape.key;
  memcpy(tree->firsts + block * key, tree->blocks[block]->lows, key);
}

/* A full block gives away what is behind the middle; all of nothing when more comes at the end. */
static bool split(FarTree *tree, FarTreePlace *place, Fault *fault) {
  FarTreeBlock *old = tree->blocks[place->block];
  const size_t kept = place->entry == BLOCK ? BLOCK : BLOCK / 2;
  FarTreeBlock *added = make_block(tree, place->block + 1, fault);
  if (!added) return false;
  move(tree, added, 0, old, kept, BLOCK - kept);
  added->count = BLOCK - kept;
  old->count = kept;
  if (added->count) set_first(tree, place->block + 1);
  if (place->entry >= kept) {
    place->block++;
    place->entry -= kept;
  }
  return true;
}

bool far_tree_add(FarTree *tree, const void *low, FarPointer bucket, Fault *fault) {
  FarTreePlace place = {0, 0};
  if (!tree->nblocks) {
    if (!make_block(tree, 0, fault)) return false;
  } else if (far_tree_find(tree, low, &place)) {
    if (order(tree, far_tree_low(tree, place), low) == 0) { /* known */
      tree->blocks[place.block]->buckets[place.entry] = bucket;
      return true;
    }
    place.entry++;
  } else {
    place = (FarTreePlace){0, 0};
  }
  if (tree->blocks[place.block]->count == BLOCK && !split(tree, &place, fault)) return false;
  FarTreeBlock *block = tree->blocks[place.block];
  move(tree, block, place.entry + 1, block, place.entry, block->count - place.entry);
  memcpy(low_of(tree, block, place.entry), low, tree->shape.key);
  block->buckets[place.entry] = bucket;
  block->count++;
  if (!place.entry) set_first(tree, place.block);
  tree->count++;
  return true;
}

void far_tree_clear(FarTree *tree) {
  for (size_t i = 0; i < tree->nblocks; i++) free(tree->blocks[i]);
  free(tree->blocks);
  free(tree->firsts);
  *tree = (FarTree){.shape = tree->shape};
}

size_t far_tree_bytes(const FarTree *tree) {
  return tree->nblocks * (sizeof(FarTreeBlock) + (size_t)BLOCK * tree->shape.key) +
         tree->capacity * sizeof *tree->blocks + tree->firsts_capacity;
}
