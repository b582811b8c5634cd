/*
** libFuzzer: whatever the bytes of a recording, reading it must not crash, and what one pass reads
** a second one reads as well. The fuzzer cannot guess checksums, so they are put right first.
*/
#include "test/replay/fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t read_all(Recording *recording) {
  uint64_t sum = 0;
  Fault fault = {0};
  TraceCursor *cursor;
  fuzz_must(trace_open(recording, &cursor, &fault), "no cursor");
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
  size_t length = fuzz_make_file(data, size, bytes);
  Fault fault = {0};
  Recording *recording;
  if (recording_of_bytes(bytes, length, &recording, &fault)) {
    fuzz_must(read_all(recording) == read_all(recording), "read twice, read differently");
    uint64_t first, last;
    trace_range(recording, &first, &last, &fault);
    recording_meta(recording, "argv");
    recording_close(recording);
  } else {
    fuzz_must(fault.code != FAULT_NONE, "refused without a reason");
  }
  free(bytes);
  return 0;
}
