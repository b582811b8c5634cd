/*
** Recordings of whatever bytes a fuzzer has.
*/
#ifndef TENFOLD_TEST_REPLAY_FUZZ_FILE_H
#define TENFOLD_TEST_REPLAY_FUZZ_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/trace_format.h"

static inline void fuzz_must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s\n", what);
  abort();
}

/* The fuzzer's bytes are a chain of (header, payload); the file's head and the checksums are ours.
 */
static inline size_t fuzz_make_file(const uint8_t *data, size_t size, uint8_t *out) {
  FileHead head = {.magic = TRACE_MAGIC, .version = TRACE_VERSION, .id = 1};
  memcpy(out, &head, sizeof head);
  memcpy(out + sizeof head, data, size);
  for (size_t at = 0; size - at >= sizeof(BlockHead);) {
    BlockHead block;
    memcpy(&block, data + at, sizeof block);
    size_t left = size - at - sizeof block;
    if (block.stored > left) break;
    block.magic = BLOCK_MAGIC;
    block.hash = block_hash(&block, data + at + sizeof block);
    memcpy(out + sizeof head + at, &block, sizeof block);
    at += sizeof block + block.stored;
  }
  return sizeof head + size;
}

#endif
