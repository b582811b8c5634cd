/*
** A vector in far memory: elements under the indices 0 … length - 1, all of them there.
**
** The paper's vector and its refreshable vector (section 5): elements stand one behind the other,
** an index says where, and groups of them have a version each. A vector is used as a map with
** INTEGER keys is: far_map_find() gets elements, any number in one round; far_txn_put() sets them,
** also together with maps and queues; scan.h reads ranges, a thousand elements in a round.
**
**   FarVectorOptions options = {.length = 1000, .initial = zeroes};
**   far_vector_open(memory, "hist", &shape, schema, &options, &vector, stop, fault);
**   far_map_find(vector, &index, 1, &found, stop, fault);              1 round, or none
** (far_vector_keep)
**   far_vector_set(vector, index, cells, stop, fault);                 1 round, and 2 to look first
**                                                                      when others wrote since
**   far_vector_add(vector, index, at, 1, &sum, stop, fault);           1 round
**   far_map_close(vector);
**
** An element, as it is given and shown, is what a map's is: stamp, key (the index), cells; only the
** cells are stored. The stamp is a hash of them.
**
** Torn reads: who writes holds the lock of the group, and its version is odd meanwhile; who reads
** takes the version before and after, and reads again when it is another one, or odd. What dies in
** between is finished from its log.
**
** Growing adds a part that is as large as all before it: nothing moves, so that nobody has to be
** told. Base pointers are far, one for each part; clients keep them.
*/
#ifndef TENFOLD_REMOTE_VECTOR_H
#define TENFOLD_REMOTE_VECTOR_H

#include "remote/map.h"
#include "remote/txn.h"

#define FAR_MOST_ELEMENTS (UINT64_C(1) << 32)

typedef struct FarVectorOptions {
  uint64_t length;     /* at least; a vector that is shorter grows. 0: as it is */
  uint32_t group;      /* elements of a group, 0: as many as are 4 KiB, at most 512 */
  const void *initial; /* cells of a new element */
  bool must_exist;
} FarVectorOptions;

/* Opens the vector of this name, or makes it. `shape`: an INTEGER key, and a stride of stamp, key
** and cells. FAULT_INVALID: it was made otherwise; FAULT_FULL. Two rounds; those that make it write
** all elements, a MiB in each. */
bool far_vector_open(FarMemory *memory, const char *name, const FarShape *shape, uint64_t schema,
                     const FarVectorOptions *options, FarMap **out, Stop *stop, Fault *fault);

/* Removes it, whoever uses it: they find out at the next round. FAULT_BUSY: a transaction that is
** prepared is in the way. */
bool far_vector_drop(FarMemory *memory, const char *name, Stop *stop, Fault *fault);

/* As it was at the last round. */
uint64_t far_vector_length(const FarMap *map);

bool far_vector_set(FarMap *map, uint64_t index, const void *cells, Stop *stop, Fault *fault);

/* Adds to the word at `at` of the element (as far_cell_word counts), and tells what it is then:
** *out. Others' transactions on the element see that it changed. */
bool far_vector_add(FarMap *map, uint64_t index, uint32_t at, int64_t n, int64_t *out, Stop *stop,
                    Fault *fault);

/* ---- the refreshable vector ------------------------------------------------------------------ */

#define FAR_UNTIL_TOLD INT64_MAX

/* From now on this client keeps a copy, and answers from it: no rounds. What it answers was so at
** most `ns` before it was asked; an older copy is refreshed first. FAR_UNTIL_TOLD: only
** far_vector_refresh() does that. */
void far_vector_keep(FarMap *map, int64_t ns);

/* One round when nothing has changed, and two when something has: the versions, then the groups
** that have another one. *out: how many (may be NULL). */
bool far_vector_refresh(FarMap *map, uint64_t *out, Stop *stop, Fault *fault);

/* `fresh`: what is asked from now on is read, whatever is kept. For who is about to change it.
** Tells what it was before. */
bool far_vector_ask(FarMap *map, bool fresh);

/* ---- for map.c, scan.c, group.c and commit.c ------------------------------------------------- */

static inline uint64_t far_vector_index(const void *key) {
  const unsigned char *bytes = key;
  uint64_t index = 0;
  for (int i = 7; i >= 0; i--) index = index << 8 | bytes[i];
  return index;
}

/* Elements in a row. */
typedef struct FarSpan {
  uint64_t first, n;
  unsigned char *elements; /* n strides */
  FarBucket *heads;        /* of the groups from the first element's to the last one's */
  uint64_t done;           /* elements that are read */
} FarSpan;

/* It was found to be longer than it was: then it is looked at, a round. */
bool far_vector_follow(FarMap *map, bool *out_grown, Stop *stop, Fault *fault);

/* Reads them, or takes them from what is kept. All are below far_vector_length(). */
bool far_vector_read(FarMap *map, FarSpan *spans, size_t n, Stop *stop, Fault *fault);

bool far_vector_find(FarMap *map, const void *keys, size_t n, FarFound *out, Stop *stop,
                     Fault *fault);
FarPointer far_vector_cell(const FarMap *map, uint64_t index);
FarPointer far_vector_head(const FarMap *map, uint64_t index);
uint32_t far_vector_group(const FarMap *map);
FarOp far_vector_there_op(const FarMap *map);
/* Where the element is, if its group was seen before. */
bool far_vector_known(const FarMap *map, uint64_t index, FarSeen *out);
/* It was written, when its group had this version. */
void far_vector_wrote(FarMap *map, uint64_t index, uint64_t version, const void *cells);
void far_vector_close(struct FarVector *vector);

enum { FAR_PARTS = 32 };

typedef struct FarVectorRoot {
  FarBucket head; /* used: the length */
  uint64_t schema, shape;
  uint64_t group; /* elements */
  uint64_t first; /* groups of the first part; all further ones are as large as those before */
  struct {
    FarPointer cells, heads;
  } parts[FAR_PARTS];
} FarVectorRoot;

#endif
