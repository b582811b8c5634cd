/*
** libFuzzer: whatever stands in the files of kept answers, loading them gives rows and names that
** lie within them, or nothing. Digests are put right, since a fuzzer cannot guess them.
*/
#define _GNU_SOURCE /* memfd_create */
#include "test/omni/fuzz_store.h"

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

/* What the probes wrote, with the end and the rows that the fuzzer wants. */
static int forge_rows(const Ask *ask, const uint8_t *data, size_t size) {
  const RowLayout layout = row_layout(ask->columns, ask->returns);
  RowFile file;
  Fault fault = {0};
  const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || !rowfile_create(fd, &layout, 1 << 16, 0, NULL, 0, &file, &fault)) abort();
  rowfile_finish(&file, ROWS_COMPLETE, &fault);
  const size_t live = size < 16 ? size : 16;
  uint64_t cursor = 0;
  memcpy(&cursor, data, live < 8 ? live : 8);
  cursor += (1 << 16) + 2 * ROW_PAGE;
  if (pwrite(fd, &cursor, sizeof cursor, ROW_PAGE) != sizeof cursor) abort();
  if (live > 8 && pwrite(fd, data + 8, live - 8, ROW_PAGE + 8) != (ssize_t)(live - 8)) abort();
  const size_t rest = size - live;
  if (rest && pwrite(fd, data + live, rest, 2 * ROW_PAGE) != (ssize_t)rest) abort();
  return fd;
}

static void touch_all(CallsAnswer *answer) {
  for (size_t i = 0; i < answer->nsites; i++) {
    touched += strlen(answer->sites[i].name) + strlen(answer->sites[i].module);
  }
  for (uint64_t i = 0; answer->has_rows && i < answer->nrows; i++) {
    const uint64_t *row = rows_at(&answer->rows, i);
    for (uint32_t w = 0; w < answer->rows.layout.words; w++) touched += row[w];
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
  if (answer.has_rows) rows_close(&answer.rows);
  free(answer.sites);
  text_finish(&answer.question);
  arena_finish(&answer.arena);
  close(rows);
  free(ask);
  return 0;
}
