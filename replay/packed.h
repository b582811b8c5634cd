/*
** Packed rows: what probes wrote (rows.h), put column by column so that it can be kept and read.
**
** A file is a head and blocks of at most PACKED_ROWS rows. In a block each word of the i-th row is
** base + step * i + rest[i], with rests of 0, 1, 2, 4 or 8 bytes, whatever does: every value is
** found at once, and what stays the same, or counts, takes no room. Rows of ten words shrink to a
** tenth as a rule, and columns that nobody asks for are not touched.
*/
#ifndef TENFOLD_REPLAY_PACKED_H
#define TENFOLD_REPLAY_PACKED_H

#include <string.h>

#include "replay/rows.h"

enum { PACKED_ROWS = 1024, PACKED_WORDS = ROW_COLUMNS + 2 };

/* ---- reading */

typedef struct PackedPlace { /* of a block */
  uint64_t row, at;
} PackedPlace;

typedef struct Packed {
  RowLayout layout;
  uint64_t rows;
  RowState state;
  /* the rest is private */
  const uint8_t *map;
  size_t mapped;
  PackedPlace *blocks; /* and one that stands behind the last */
  size_t nblocks;
} Packed;

/* FAULT_CORRUPT: it is no such file, or contradicts itself. Nobody may cut the file while it is
** read; the descriptor is not needed afterwards. Costs a microsecond for some 10^5 rows. */
bool packed_open(int fd, Packed *out, Fault *fault);
void packed_close(Packed *packed);

typedef struct PackedWord {
  uint64_t base, step;
  const uint8_t *rest;  /* 8 bytes are there for each */
  uint64_t width, mask; /* of a rest: 0, 1, 2, 4 or 8 bytes */
} PackedWord;

/* Rows first..end, as they are read. All zero: none. */
typedef struct PackedBlock {
  uint64_t first, end;
  size_t number;
  PackedWord words[PACKED_WORDS];
} PackedBlock;

/* Make it the block that holds a row below packed->rows. FAULT_CORRUPT: the file was changed since
** it was opened. */
bool packed_seek(const Packed *packed, uint64_t row, PackedBlock *block, Fault *fault);

/* The i-th row of a block. Without branches: columns of different widths are read in turn. */
static inline uint64_t packed_get(const PackedWord *word, uint64_t i) {
  uint64_t rest;
  memcpy(&rest, word->rest + word->width * i, sizeof rest);
  return word->base + word->step * i + (rest & word->mask);
}

/* Any row, of which `block` becomes the block: layout.word[column] says which word it is. */
static inline bool packed_at(const Packed *packed, uint64_t row, unsigned word, PackedBlock *block,
                             uint64_t *out, Fault *fault) {
  if ((row < block->first || row >= block->end) && !packed_seek(packed, row, block, fault)) {
    return false;
  }
  *out = packed_get(&block->words[word], row - block->first);
  return true;
}

/* Of all the bytes of the file, for those who keep it. */
uint64_t packed_digest(const Packed *packed);

/* ---- writing */

typedef struct PackWriter {
  int fd; /* borrowed */
  RowLayout layout;
  uint64_t rows, size; /* of the file, without what is still in the buffer */
  uint8_t *buffer;
  size_t used;
} PackWriter;

/* Into an empty file. Finish it also after a failure. */
bool pack_begin(int fd, const RowLayout *layout, PackWriter *out, Fault *fault);
/* layout.words words each. About 1 ns a word. */
bool pack_add(PackWriter *writer, const uint64_t *rows, uint64_t count, Fault *fault);
/* Only then it is a file that can be opened. */
bool pack_end(PackWriter *writer, RowState state, Fault *fault);
void pack_finish(PackWriter *writer);

/* Puts the rows of a complete file behind those of another, `fd`, which is complete as well.
** FAULT_CORRUPT: their layouts differ. */
bool pack_append(int fd, const Packed *more, Fault *fault);

#endif
