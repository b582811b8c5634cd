/*
** The blocks of a recording on the reader's side: where they stand in DIR/events, and what is in
** one of them. Everything in the file is hostile until checked.
*/
#ifndef TENFOLD_REPLAY_TRACE_BLOCK_H
#define TENFOLD_REPLAY_TRACE_BLOCK_H

#include "replay/trace_format.h"

typedef struct BlockPlace {
  size_t at;    /* of its header in the file */
  uint32_t raw; /* bytes of it, as the header has it */
  uint64_t first_ev;
} BlockPlace;

/* The file is read, not mapped: one that is cut while it is read is a fault, not a SIGBUS. Once
** listed it does not change: several threads may load blocks of it. */
typedef struct BlockList {
  const char *dir;
  int fd;               /* -1: the bytes are in memory */
  const uint8_t *bytes; /* of a recording in memory */
  size_t size;
  bool whole; /* the recorder said that this is all */
  BlockPlace *places;
  size_t count, capacity;
} BlockList;

/* Finds the blocks, up to a torn one. */
bool blocks_list(BlockList *list, Fault *fault);
void blocks_finish(BlockList *list);
/* False when the file does not have so many bytes there, or not any more. */
bool blocks_read(const BlockList *list, size_t at, void *out, size_t size);
bool blocks_corrupt(const BlockList *list, Fault *fault, const char *what, size_t at);

/* One of them, unpacked. All zero is valid. */
typedef struct LoadedBlock {
  uint8_t *stored; /* as it stands in the file */
  size_t stored_capacity;
  uint8_t *raw;
  size_t raw_capacity, length;
  struct ZSTD_DCtx_s *zstd;
} LoadedBlock;

/* Of the last block of a cut recording nothing may be left. */
bool block_load(const BlockList *list, size_t number, LoadedBlock *out, Fault *fault);
void block_finish(LoadedBlock *block);

#endif
