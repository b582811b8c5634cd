/*
** Row files: layouts, a file that grows while it is read, and files that are not what they say.
*/
#define _GNU_SOURCE
#include "replay/rows.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/base/check.h"

enum { COLUMNS = 1 << ROW_EV | 1 << ROW_RSP | 1 << ROW_A1 };
static const uint64_t BASE = (uint64_t)1 << 40;

static int memfd(void) {
  int fd = memfd_create("rows", MFD_CLOEXEC);
  assert(fd >= 0);
  return fd;
}

static void test_layout(void) {
  RowLayout layout = row_layout(COLUMNS, false);
  check(layout.words == 4 && layout.word[ROW_EV] == 1 && layout.word[ROW_RSP] == 2 &&
            layout.word[ROW_A1] == 3 && !layout.word[ROW_A0] && !layout.word[ROW_RET],
        "words in the order of the columns");
  layout = row_layout(COLUMNS, true);
  check(layout.words == 4 && layout.word[ROW_RET] == 3,
        "a result shares the first word of its own");
  layout = row_layout(1 << ROW_EV, true);
  check(layout.words == 3 && layout.word[ROW_RET] == 2, "or gets one");
  check(row_layout(~(uint64_t)0, true).words == 1 + ROW_COLUMNS, "all columns");
}

/* What the stub does, here. */
static void append(RowFile *file, uint64_t value) {
  uint64_t row[4] = {value << 2, value, value * 2, value * 3};
  uint64_t cursor = atomic_load(&file->live->cursor), offset = cursor - file->base;
  bool ok = rowfile_reserve(file, offset + sizeof row, NULL) &&
            pwrite(file->fd, row, sizeof row, (off_t)offset) == (ssize_t)sizeof row;
  assert(ok);
  atomic_store(&file->live->cursor, cursor + sizeof row);
}

static bool all_there(Rows *rows, uint64_t expected, RowState state) {
  uint64_t count = 0;
  RowState now = ROWS_FAILED;
  bool ok = rows_count(rows, &count, &now, NULL) && count == expected && now == state;
  for (uint64_t i = 0; ok && i < count; i++) {
    const uint64_t *row = rows_at(rows, i);
    ok = row_site(row[0]) == i && row[1] == i && row[2] == 2 * i && row[3] == 3 * i;
  }
  return ok;
}

static void test_growing(void) {
  const RowLayout layout = row_layout(COLUMNS, false);
  RowFile file;
  Rows rows;
  int fd = memfd();
  bool ok =
      rowfile_create(fd, &layout, BASE, 0, "key", 3, &file, NULL) && rows_open(fd, &rows, NULL);
  check(ok && rows.key_size == 3 && memcmp(rows.key, "key", 3) == 0, "the key is there");
  check(ok && all_there(&rows, 0, ROWS_GROWING), "no rows yet");
  for (uint64_t i = 0; i < 10000; i++) {
    append(&file, i);
    if (i % 1000 == 7) ok = ok && all_there(&rows, i + 1, ROWS_GROWING);
  }
  check(ok, "rows are read while more come");
  check(rowfile_finish(&file, ROWS_COMPLETE, NULL) && all_there(&rows, 10000, ROWS_COMPLETE),
        "and when it is complete");
  rows_close(&rows);
  check(rows_open(fd, &rows, NULL) && all_there(&rows, 10000, ROWS_COMPLETE), "and opened again");
  rows_close(&rows);
  close(fd);
}

static void test_limits(void) {
  bool ok = true;
  for (uint64_t limit = 1; limit < 3000; limit += 7) {
    const RowLayout layout = row_layout(limit % 2 ? COLUMNS : 1 << ROW_A3, false);
    RowFile file;
    int fd = memfd();
    ok = ok && rowfile_create(fd, &layout, BASE, limit, NULL, 0, &file, NULL) &&
         (file.first + limit * layout.words * 8 - 8) % ROW_PAGE == 0 &&
         rowfile_finish(&file, ROWS_COMPLETE, NULL);
    close(fd);
  }
  check(ok, "the last word of a limited file begins a page");
  RowFile file;
  Fault fault = {0};
  const RowLayout layout = row_layout(COLUMNS, false);
  static char key[4000];
  int fd = memfd();
  check(!rowfile_create(fd, &layout, BASE, 0, key, sizeof key, &file, &fault) &&
            fault.code == FAULT_LIMIT,
        "a key too long");
  close(fd);
}

/* A finished file with some bytes changed or missing: refused, or read within its bounds. */
static void test_hostile(void) {
  const RowLayout layout = row_layout(COLUMNS, false);
  bool refused = true;
  uint64_t sum = 0;
  for (int round = 0; round < 3000; round++) {
    RowFile file;
    Rows rows;
    int fd = memfd();
    bool ok = rowfile_create(fd, &layout, BASE, 0, "k", 1, &file, NULL);
    assert(ok);
    for (uint64_t i = 0; i < 20; i++) append(&file, i);
    rowfile_finish(&file, ROWS_COMPLETE, NULL);
    uint64_t at = (uint64_t)(rand() % 160), noise = (uint64_t)rand() << 33 ^ (uint64_t)rand() << 3;
    if (round % 3 == 0 && ftruncate(fd, rand() % 9000)) abort();
    if (round % 3 == 1 && pwrite(fd, &noise, 1 + at % 8, (off_t)at) < 0) abort();
    if (round % 3 == 2 && pwrite(fd, &noise, 8, ROW_PAGE + at % 2 * 8) < 0) abort();
    Fault fault = {0};
    uint64_t count;
    RowState state;
    if (rows_open(fd, &rows, &fault)) {
      if (rows_count(&rows, &count, &state, &fault)) {
        for (uint64_t i = 0; i < count; i++) sum += rows_at(&rows, i)[rows.layout.words - 1];
      } else {
        refused = refused && fault.text[0] && fault.code == FAULT_CORRUPT;
      }
      rows_close(&rows);
    } else {
      refused = refused && (fault.code == FAULT_CORRUPT || fault.code == FAULT_UNSUPPORTED);
    }
    close(fd);
  }
  check(refused, "hostile files are refused or read within their bounds");
  printf("# %llu\n", (unsigned long long)sum);
}

int main(void) {
  test_layout();
  test_growing();
  test_limits();
  test_hostile();
  return checks_end();
}
