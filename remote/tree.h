/*
** The tree of a map, as a client keeps it: which bucket holds which keys. It may be behind the
** memory, never wrong: a bucket that has been split since says so when it is read.
*/
#ifndef TENFOLD_REMOTE_TREE_H
#define TENFOLD_REMOTE_TREE_H

#include "remote/layout.h"

/* Two levels of arrays: blocks of up to 512 entries, and their first keys. All zero but for `shape`
** is a valid, empty tree. */
typedef struct FarTree {
  FarShape shape;
  struct FarTreeBlock **blocks;
  unsigned char *firsts; /* shape.key bytes each */
  size_t nblocks, capacity, firsts_capacity;
  size_t count; /* of entries */
} FarTree;

/* An entry: the bucket with keys from `low` on. Valid until the tree changes. */
typedef struct FarTreePlace {
  size_t block, entry;
} FarTreePlace;

/* The entry with the largest low <= key. False: the tree is empty, or begins after the key. */
bool far_tree_find(const FarTree *tree, const void *key, FarTreePlace *out);
bool far_tree_last(const FarTree *tree, FarTreePlace *out);
bool far_tree_next(const FarTree *tree, FarTreePlace *place); /* false: there is none */
bool far_tree_previous(const FarTree *tree, FarTreePlace *place);
FarPointer far_tree_bucket(const FarTree *tree, FarTreePlace place);
const void *far_tree_low(const FarTree *tree, FarTreePlace place);

/* Adds an entry, or says of an old one where its bucket is. */
bool far_tree_add(FarTree *tree, const void *low, FarPointer bucket, Fault *fault);
void far_tree_clear(FarTree *tree);
size_t far_tree_bytes(const FarTree *tree);

#endif
