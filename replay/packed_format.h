/*
** The bytes of a file of packed rows, for its reader and its writer.
*/
#ifndef TENFOLD_REPLAY_PACKED_FORMAT_H
#define TENFOLD_REPLAY_PACKED_FORMAT_H

#include "base/array.h"
#include "replay/packed.h"

enum { PACKED_VERSION = 1, BLOCK_TAIL = 8 };
static const char packed_magic[8] = {'o', 'm', 'n', 'i', 'p', 'a', 'c', 'k'};

typedef struct PackedHead {
  char magic[8];
  uint32_t version, returns;
  uint64_t columns, rows, size; /* of all of the file */
  uint64_t state;               /* RowState */
  uint64_t hash;                /* of all before */
} PackedHead;

/* A block: this, a WordHead for each word of a row, then the rests of each in the same order,
** padded to 8 bytes; and 8 bytes more, so that as many can be read wherever a rest stands. */
typedef struct BlockHead {
  uint32_t rows, size;
} BlockHead;

typedef struct WordHead {
  uint64_t base, step;
  uint64_t width;
} WordHead;

static inline uint64_t packed_hash(const PackedHead *head) {
  return hash_bytes(head, offsetof(PackedHead, hash), PACKED_VERSION);
}
/* Bytes of a block without rests. */
static inline size_t block_least(const RowLayout *layout) {
  return sizeof(BlockHead) + layout->words * sizeof(WordHead) + BLOCK_TAIL;
}
static inline bool width_known(uint64_t width) { return width <= 8 && (width & (width - 1)) == 0; }
static inline size_t rest_size(uint64_t width, uint64_t rows) {
  return (size_t)((width * rows + 7) & ~(uint64_t)7);
}

#endif
