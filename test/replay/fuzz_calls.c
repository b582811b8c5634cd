/*
** libFuzzer: whatever the arguments and whatever the memory, the ranges of a call are bounded.
*/
#include <stdlib.h>
#include <string.h>

#include "replay/syscalls.h"

typedef struct Memory {
  const uint8_t *bytes;
  size_t size;
} Memory;

/* The input again and again; shorter than asked for, now and then. */
static size_t read_input(void *ctx, uint64_t addr, void *out, size_t size) {
  const Memory *memory = ctx;
  if (!memory->size || addr % 31 == 7) return 0;
  for (size_t i = 0; i < size; i++) ((uint8_t *)out)[i] = memory->bytes[(addr + i) % memory->size];
  return addr % 29 == 3 ? size / 2 : size;
}

static void must(bool ok) {
  if (!ok) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  enum { HEAD = 4 + 8 + 48, ROOM = 32 };
  if (size < HEAD) return 0;
  uint32_t number;
  int64_t ret;
  uint64_t args[6];
  memcpy(&number, data, 4);
  memcpy(&ret, data + 4, 8);
  memcpy(args, data + 12, 48);
  long nr = number % (CALL_END + 1);
  Memory memory = {data + HEAD, size - HEAD};
  CallRange *ranges = malloc(ROOM * sizeof *ranges); /* so that one too many is seen */
  must(ranges != NULL);
  int count = call_ranges(nr, args, ret, read_input, &memory, ranges, ROOM);
  must(count >= -1 && count <= CALL_MAX_RANGES);
  for (int i = 0; i < count && i < ROOM; i++)
    must(ranges[i].size && ranges[i].size <= 1u << 30 &&
         ranges[i].addr + ranges[i].size > ranges[i].addr);
  int targets = call_targets(nr, args, read_input, &memory, ranges, ROOM);
  must(targets >= -1 && targets <= CALL_MAX_RANGES);
  call_may_block(nr, args, read_input, &memory);
  free(ranges);
  return 0;
}
