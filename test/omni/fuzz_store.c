/*
** libFuzzer: whatever stands in the files of kept answers, loading them gives rows and names that
** lie within them, or nothing. Digests are put right, since a fuzzer cannot guess them.
*/
#define _GNU_SOURCE /* memfd_create */
#include "test/omni/fuzz_store.h"

#include "replay/packed_format.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t touched;
static char dir[] = "/tmp/fuzz-store-XXXXXX";

static void clean(void) {
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", dir);
  if (system(command) != 0) perror(dir);
}

/* Rows as the blocks say that there are, where they follow each other at all. */
static uint64_t count_rows(const uint8_t *at, size_t size) {
  uint64_t rows = 0;
  BlockHead head;
  for (; size >= sizeof head; at += head.size, size -= head.size) {
    memcpy(&head, at, sizeof head);
    rows += head.rows;
    if (!head.size || head.size > size) break;
  }
  return rows;
}

/* Packed rows with the blocks that the fuzzer wants. */
static int forge_rows(const Ask *ask, const uint8_t *data, size_t size) {
  const uint8_t way = size ? *data : 0;
  if (size) data++, size--;
  PackedHead head = {.version = PACKED_VERSION,
                     .returns = ask->returns,
                     .columns = ask->columns,
                     .rows = count_rows(data, size) + (way >> 7),
                     .size = sizeof head + size,
                     .state = way % 8};
  memcpy(head.magic, packed_magic, sizeof head.magic);
  head.hash = packed_hash(&head);
  const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || write(fd, &head, sizeof head) != (ssize_t)sizeof head) abort();
  if (size && write(fd, data, size) != (ssize_t)size) abort();
  return fd;
}

static void touch_all(CallsAnswer *answer) {
  for (size_t i = 0; i < answer->nsites; i++) {
    touched += strlen(answer->sites[i].name) + strlen(answer->sites[i].module);
  }
  PackedBlock block = {0};
  Fault fault = {0};
  for (uint64_t i = 0; i < answer->rows.rows; i++) {
    for (uint32_t w = 0; w < answer->rows.layout.words; w++) {
      uint64_t value;
      if (!packed_at(&answer->rows, i, w, &block, &value, &fault)) return;
      touched += value;
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bool made;
  if (!made && (!mkdtemp(dir) || atexit(clean) != 0)) abort();
  made = true;
  if (size < 4 || size > 16384) return 0;
  const OmniSource source = {.path = dir};
  Ask *ask = calloc(1, sizeof *ask);
  CallsAnswer answer = {0};
  Fault fault = {0};
  if (!ask) return 0;
  ask->columns = data[0];
  ask->returns = data[1] & 1;
  text_add(&answer.question, "a question");
  const size_t half = (size - 4) * data[2] / 256;
  const int rows = forge_rows(ask, data + 4 + half, size - 4 - half);
  if (!fuzz_store_put(&source, &answer, data[3], data + 4, half, rows)) abort();
  if (store_load(&source, ask, &answer, &fault)) {
    assert(answer.nsites == data[3]);
    touch_all(&answer);
  } else {
    assert(!answer.has_rows && !answer.nsites);
  }
  if (answer.has_rows) packed_close(&answer.rows);
  free(answer.sites);
  text_finish(&answer.question);
  arena_finish(&answer.arena);
  close(rows);
  free(ask);
  return 0;
}
