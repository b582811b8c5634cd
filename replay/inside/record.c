/*
** Events, in the layout of a recording, appended to the log.
*/
#include "replay/inside/blob.h"
#include "replay/syscalls.h"
#include "replay/trace_format.h"

enum { RANGES = 80, PATH_LONGEST = 4096, REST = 16384 };

static size_t read_own(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx;
  copy(out, (const void *)(uintptr_t)addr, size);
  return size;
}

bool record_fits(uint64_t bytes) {
  return bytes < INSIDE_LOG_SIZE / 2 && inside_words.head + bytes + REST <= INSIDE_LOG_SIZE;
}

static uint8_t *put_chunk(uint8_t *at, ChunkKind kind, uint64_t addr, uint64_t size) {
  ChunkHead *head = (ChunkHead *)at;
  uint8_t *bytes = at + sizeof *head;
  *head = (ChunkHead){(uint32_t)kind, (uint32_t)size, addr};
  if (size % 8) *(uint64_t *)(bytes + size / 8 * 8) = 0;
  copy(bytes, (const void *)(uintptr_t)addr, size);
  return bytes + (size + 7) / 8 * 8;
}

static uint64_t text_length(uint64_t addr) {
  const char *text = (const char *)(uintptr_t)addr;
  uint64_t length = 0;
  while (length < PATH_LONGEST && text[length]) length++;
  return length;
}

void record_call(long nr, const uint64_t args[6], int64_t ret) {
  const CallInfo *info = call_info(nr);
  CallRange ranges[RANGES];
  EventHead *head = (EventHead *)(inside_log + inside_words.head);
  int nargs = info->nargs;
  while (nargs > 0 && !args[nargs - 1]) nargs--;
  uint8_t *at = (uint8_t *)(head + 1);
  for (int i = 0; i < nargs; i++, at += 8) *(uint64_t *)at = args[i];
  int nchunks = 0;
  const int count = call_ranges(nr, args, ret, read_own, NULL, ranges, RANGES);
  for (int i = 0; i < count; i++) {
    at = put_chunk(at, ranges[i].out ? CHUNK_OUT : CHUNK_IN, ranges[i].addr, ranges[i].size);
    nchunks++;
  }
  for (int i = 0; i < info->nargs; i++) {
    if (!(info->path_args >> i & 1) || !args[i]) continue;
    at = put_chunk(at, CHUNK_PATH, args[i], text_length(args[i]));
    nchunks++;
  }
  const uint64_t size = (uint64_t)(at - (uint8_t *)head);
  *head = (EventHead){.size = (uint32_t)size,
                      .kind = EVENT_SYSCALL,
                      .nargs = (uint8_t)nargs,
                      .nchunks = (uint16_t)nchunks,
                      .pid = inside_words.pid,
                      .tid = inside_words.tid,
                      .nr = (int32_t)nr,
                      .time = inside_words.now,
                      .ret = ret};
  inside_words.room--;
  inside_words.head += size; /* last: what the tracer sees is whole */
}
