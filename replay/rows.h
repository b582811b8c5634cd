/*
** A row file: what probes wrote, fixed rows of 8-byte words.
**
** The traced program appends rows natively to a mapping of the file and moves the cursor in its
** live page; readers map the same file and read behind the cursor, so that rows can be consumed
** while they are made. A finished file carries its end and can be kept as a cache.
**
** A row is: tag (site << 2 | kind), then the common columns that were asked for in the order of
** RowColumn up to ROW_RSP, then, in an entry row, the other columns in their order. A return row
** has the result in ROW_RET's place, the first word behind the common ones; its other words mean
** nothing. Columns cost 8 bytes each.
*/
#ifndef TENFOLD_REPLAY_ROWS_H
#define TENFOLD_REPLAY_ROWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

typedef enum RowColumn {
  ROW_EV,  /* ordinal of the last event before */
  ROW_TID, /* of the thread */
  ROW_HIT, /* how often this thread has come by since that event, from 1: with the site's address
           ** this makes a moment */
  ROW_RSP, /* of an entry and its return it is the same */
  ROW_A0,  /* rdi, rsi, rdx, rcx, r8, r9 */
  ROW_A1,
  ROW_A2,
  ROW_A3,
  ROW_A4,
  ROW_A5,
  ROW_CALLER, /* the word at rsp: at an entry, where it returns to */
  ROW_RAX,
  ROW_RBX,
  ROW_RBP,
  ROW_R10,
  ROW_R11,
  ROW_R12,
  ROW_R13,
  ROW_R14,
  ROW_R15,
  ROW_COLUMNS,
  ROW_RET = ROW_COLUMNS /* of a return row: rax */
} RowColumn;

enum { ROW_COMMON = ROW_RSP + 1, ROW_PAGE = 4096 };

typedef enum RowKind {
  ROW_ENTRY,
  ROW_RETURN,
  ROW_TAIL /* left by a jump to another function: what that one returns is returned; no result. When
           ** its rsp is not that of the entry, the jump was to another part of the same function */
} RowKind;

static inline RowKind row_kind(uint64_t tag) { return (RowKind)(tag & 3); }
static inline uint64_t row_site(uint64_t tag) { return tag >> 2; }

/* Where the columns of a mask stand. */
typedef struct RowLayout {
  uint64_t columns;              /* 1 << RowColumn */
  bool returns;                  /* there is room for ROW_RET */
  uint32_t words;                /* of a row */
  uint8_t word[ROW_COLUMNS + 1]; /* 0: not there (the tag is word 0) */
} RowLayout;

RowLayout row_layout(uint64_t columns, bool returns);

typedef enum RowState { ROWS_GROWING, ROWS_COMPLETE, ROWS_LIMITED, ROWS_FAILED } RowState;

/* ---- reading */

typedef struct Rows {
  RowLayout layout;
  const void *key; /* what the file is about, as its maker said */
  size_t key_size;
  /* the rest is private */
  int fd;
  const uint8_t *map;
  size_t mapped, first; /* bytes; offset of the first row */
  uint64_t base;
} Rows;

/* Takes its own copy of the descriptor. FAULT_CORRUPT: it is no row file, or of another version.
** Nobody may cut the file while it is read. */
bool rows_open(int fd, Rows *out, Fault *fault);
void rows_close(Rows *rows);
/* How many rows can be read now, and what the maker says: after a state other than ROWS_GROWING
** their number does not change. Cost: one load, when there is nothing new to map. */
bool rows_count(Rows *rows, uint64_t *out_count, RowState *out_state, Fault *fault);
/* layout.words words; index below a count that rows_count() gave. Valid until the next
** rows_count(). */
static inline const uint64_t *rows_at(const Rows *rows, uint64_t index) {
  return (const uint64_t *)(const void *)(rows->map + rows->first +
                                          index * rows->layout.words * sizeof(uint64_t));
}

/* ---- writing: for the one who lets probes run */

typedef struct RowLive {
  _Atomic uint64_t cursor; /* base + offset of the next row */
  _Atomic uint64_t state;  /* RowState */
  _Atomic uint64_t taken;  /* of a ring: rows that are not in the part of the cursor */
} RowLive;

/* Who takes the rows away while they are made: the file is then a ring of parts, which are filled
** over and over, and never has more pages than those. The functions are called by the thread that
** lets probes run, for the parts in turn: 0, then 1 to ROW_PARTS - 1 again and again. */
enum { ROW_PARTS = 4 };
typedef struct RowTaker {
  void *ctx;
  /* `size` bytes of rows at offset `from` of the file. */
  bool (*take)(void *ctx, int part, uint64_t from, uint64_t size, Fault *fault);
  /* Waits until nothing of this part is needed any more. */
  bool (*clear)(void *ctx, int part, Fault *fault);
} RowTaker;

typedef struct RowFile {
  int fd; /* borrowed */
  RowLayout layout;
  uint64_t base;  /* where the traced process sees offset 0 */
  uint64_t first; /* offset of the first row */
  uint64_t limit; /* rows, 0: none */
  uint64_t size;  /* bytes that are certain to be there */
  RowLive *live;
  const RowTaker *taker; /* borrowed; NULL: it is no ring */
} RowFile;

/* Make fd, an empty file (or memfd) open for reading and writing, a row file. `base` is a multiple
** of the page size. With a limit the rows are put so that its last word begins a page. The key
** has at most 3072 bytes. */
bool rowfile_create(int fd, const RowLayout *layout, uint64_t base, uint64_t limit, const void *key,
                    size_t key_size, RowFile *out, Fault *fault);
/* Make an empty file without a limit, which is a memfd, a ring. */
bool rowfile_ring(RowFile *file, const RowTaker *taker, Fault *fault);
/* Where the rows of a part begin, so that they end with it, and where that is; behind it no memory
** is mapped. As offsets of the file, all of which are below ROW_RING. */
enum { ROW_PART_STRIDE = 4 << 20, ROW_RING = (ROW_PARTS + 1) * ROW_PART_STRIDE };
static inline uint64_t rowfile_part(int part) { return (uint64_t)(part + 1) * ROW_PART_STRIDE; }
static inline uint64_t rowfile_part_end(int part) {
  return rowfile_part(part) + (part ? 2 << 20 : 256 << 10);
}
static inline uint64_t rowfile_part_first(const RowFile *file, int part) {
  const uint64_t start = rowfile_part(part), end = rowfile_part_end(part);
  return start + (end - start) % (file->layout.words * sizeof(uint64_t));
}
/* The part of the cursor has been filled to its end: on to the next one. */
bool rowfile_turn(RowFile *file, Fault *fault);
/* Get disk space for all up to the offset `size`. */
bool rowfile_reserve(RowFile *file, uint64_t size, Fault *fault);
uint64_t rowfile_count(const RowFile *file);
/* Cut to size and say how it ended; releases the mapping, not the descriptor. */
bool rowfile_finish(RowFile *file, RowState state, Fault *fault);

#endif
