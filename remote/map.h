/*
** A map in far memory: elements under keys, in the order of the keys.
**
** The paper's HT-tree: a tree that clients keep whole, whose leaves are hash tables in far memory;
** looking for a key is one round. Here the leaves are small (a bucket of up to 64 elements, see
** layout.h), so that one round also reads a range, and a bucket is all that a change has to lock.
**
**   FarMap *map;
**   FarFound found;
**   far_map_open(memory, "users", &shape, schema, true, &map, stop, fault);
**   far_map_find(map, &key, 1, &found, stop, fault);   found.element, or NULL
**
** Changes: txn.h. Reading in order: scan.h.
*/
#ifndef TENFOLD_REMOTE_MAP_H
#define TENFOLD_REMOTE_MAP_H

#include "remote/layout.h"
#include "remote/tree.h"

typedef struct FarMap FarMap;

/* Where an element is, or would be, as it was at one moment. `head` and `element` belong to the
** map, and are valid until it is asked again. */
typedef struct FarFound {
  FarPointer bucket;
  uint64_t version, used;       /* of the bucket */
  const unsigned char *element; /* stamp, key, value, as far as wanted; NULL: none */
  int slot;                     /* -1: there is none */
  uint64_t stamp;               /* 0: there is none. Changes whenever the element does */
  const unsigned char *brought; /* what its cells point to, as FarSearch says: far_map_bring() */
  uint32_t nbrought;            /* bytes */
} FarFound;

/* Opens the map of this name, or makes it when `create` says so. Shape and schema have to be what
** it was made with, else FAULT_INVALID. Owner: the caller. Two rounds, and those
** that read the tree (32,768 buckets each). */
bool far_map_open(FarMemory *memory, const char *name, const FarShape *shape, uint64_t schema,
                  bool create, FarMap **out, Stop *stop, Fault *fault);
void far_map_close(FarMap *map);

/* Removes the map, whoever uses it: they find out at the next round. */
bool far_map_drop(FarMap *map, Stop *stop, Fault *fault);

/* n keys (shape.key bytes each, one behind the other) in one round, and another one for those whose
** bucket was split since. */
bool far_map_find(FarMap *map, const void *keys, size_t n, FarFound *out, Stop *stop, Fault *fault);

/* From now on far_map_find() brings the first `wanted` bytes of each element (a multiple of 8, with
** stamp and key; 0: all), and along with them what these cells point to, `most` bytes in all: 0
** cells, nothing. */
void far_map_bring(FarMap *map, uint32_t wanted, const FarFollow *cells, uint32_t n, uint32_t most);

FarMemory *far_map_memory(const FarMap *map);
const FarShape *far_map_shape(const FarMap *map);
const char *far_map_name(const FarMap *map);
FarTree *far_map_tree(FarMap *map);

/* About how many elements there are: as it was when the map was last opened or changed here. */
uint64_t far_map_rows(const FarMap *map);

/* ---- for txn.c, split.c and scan.c ----------------------------------------------------------- */

enum { FAR_TREE_CHUNKS = 32, FAR_TREE_FIRST = 64 };

/* What stands under the name. The tree is a list of (low, bucket) in no order, in chunks that
** double: a client that knows some of it reads what came since. */
typedef struct FarMapRoot {
  uint64_t serial;  /* 0: it was dropped */
  uint64_t changes; /* counts, more or less, buckets that transactions have changed */
  uint64_t shape, schema;
  FarPointer first; /* the leftmost bucket */
  uint64_t entries; /* of the tree: the next one has this number */
  uint64_t rows;
  uint64_t spare;
  FarPointer chunks[FAR_TREE_CHUNKS];
} FarMapRoot;

struct FarMap {
  FarMemory *memory;
  char *name;
  FarShape shape;
  FarPointer root;
  uint64_t serial, schema;
  uint64_t known; /* entries of the tree that were read */
  uint64_t rows;
  FarTree tree;
  struct FarVector *vector; /* NULL, or keys are places (vector.h) */
  /* Of the last far_map_find(). */
  struct FarOp *ops;
  unsigned char *room;
  size_t *asked; /* which key an operation is for */
  size_t capacity, room_capacity;
  FarSearch search;
  uint32_t most_brought;
};

/* Is the head one of this map's? A fault when the map is gone. */
bool far_map_owns(const FarMap *map, const FarBucket *head, Fault *fault);

/* Does the key belong into this bucket, or right of it? *moved: then the tree has learnt so. */
bool far_map_follow(FarMap *map, FarPointer bucket, const FarBucket *head, const void *key,
                    bool *moved, Fault *fault);
/* A bucket is being changed, and somebody waits for that: who changes it may have died. */
struct FarWait;
bool far_map_wait(FarMap *map, struct FarWait *wait, FarPointer bucket, Stop *stop, Fault *fault);
bool far_map_damaged(const FarMap *map, Fault *fault); /* FAULT_CORRUPT */

/* Splits a bucket, and what comes of it, until `keys` (n of them, sorted, all of this bucket) find
** room beside what is there. */
bool far_map_split(FarMap *map, FarPointer bucket, const unsigned char *const *keys, size_t n,
                   Stop *stop, Fault *fault);

/* Writes the entry of a new bucket for the tree, which has this number: a round, two more with the
** first one of a chunk. */
bool far_map_announce(FarMap *map, uint64_t number, const void *low, FarPointer bucket, Stop *stop,
                      Fault *fault);

#endif
