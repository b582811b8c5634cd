/*
** libFuzzer: whatever the bytes of a recording, reading it must not crash, and what one pass reads
** a second one reads as well. The fuzzer cannot guess checksums, so they are put right first.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/trace_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s\n", what);
  abort();
}

/* The fuzzer's bytes are a chain of (header, payload); the file's head and the checksums are ours.
 */
static size_t make_file(const uint8_t *data, size_t size, uint8_t *out) {
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

static uint64_t read_all(Recording *recording) {
  uint64_t sum = 0;
  Fault fault = {0};
  TraceCursor *cursor;
  must(trace_open(recording, &cursor, &fault), "no cursor");
  const Event *event;
  while (trace_next(cursor, &event, &fault) && event) {
    sum += event->ev * 31 + event->kind + (uint64_t)event->ret;
    for (int i = 0; i < event->nchunks; i++) {
      const Chunk *chunk = &event->chunks[i];
      for (size_t b = 0; b < chunk->size; b++) sum = sum * 3 + chunk->bytes[b];
    }
  }
  trace_close(cursor);
  return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *bytes = malloc(sizeof(FileHead) + size);
  if (!bytes) return 0;
  size_t length = make_file(data, size, bytes);
  Fault fault = {0};
  Recording *recording;
  if (recording_of_bytes(bytes, length, &recording, &fault)) {
    must(read_all(recording) == read_all(recording), "read twice, read differently");
    uint64_t first, last;
    trace_range(recording, &first, &last, &fault);
    recording_meta(recording, "argv");
    recording_close(recording);
  } else {
    must(fault.code != FAULT_NONE, "refused without a reason");
  }
  free(bytes);
  return 0;
}
