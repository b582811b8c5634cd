/*
** A vector from inside: what a client knows and keeps of it.
*/
#ifndef TENFOLD_REMOTE_CELLS_H
#define TENFOLD_REMOTE_CELLS_H

#include "base/arena.h"
#include "base/array.h"
#include "remote/memory.h"
#include "remote/vector.h"

typedef struct FarVector {
  uint64_t length;
  uint64_t told;        /* by the root, when it was last read */
  uint64_t first;       /* groups of the first part */
  uint32_t group, cell; /* elements of a group, bytes of an element */
  struct {
    FarPointer cells, heads;
  } parts[FAR_PARTS];
  uint64_t *versions; /* of groups as they were last seen; 0: never */
  size_t versions_capacity;
  Arena scratch;

  /* What is kept: all cells, and the versions that their groups had. */
  int64_t kept_ns; /* -1: nothing */
  bool fresh;      /* and is not to be used */
  int64_t kept_at;
  uint64_t kept; /* elements */
  unsigned char *copy;
  uint64_t *copied;
  size_t copy_capacity, copied_capacity;
} FarVector;

typedef struct FarPlace {
  FarPointer cell, head;
  uint64_t end; /* elements from here on stand elsewhere */
} FarPlace;

FarPlace far_vector_place(const FarVector *it, uint64_t index);

/* What a root says that was read. False: it is another's. */
bool far_vector_learn(FarMap *map, const FarVectorRoot *root, Fault *fault);

/* The index is below the length, as far as is known, or else as the root says: a round. */
bool far_vector_reach(FarMap *map, uint64_t index, Stop *stop, Fault *fault);

/* A word of it became this, when its group had this version. */
void far_vector_added(FarMap *map, uint64_t index, uint64_t version, uint32_t at, int64_t value);

#endif
