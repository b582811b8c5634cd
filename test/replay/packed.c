/*
** Packed rows: what goes in comes out, in any order, whatever the values; files put together; files
** that are not what they say.
*/
#define _GNU_SOURCE /* memfd_create */
#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay/packed_format.h"
#include "test/base/check.h"

static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t chance(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static int memfd(void) {
  int fd = memfd_create("packed", MFD_CLOEXEC);
  assert(fd >= 0);
  return fd;
}

/* What columns are like: the i-th value of each sort. */
static uint64_t value_of(unsigned sort, uint64_t i) {
  switch (sort % 10) {
  case 0:
    return 42;
  case 1:
    return i;
  case 2:
    return (uint64_t) - (int64_t)i * 24;
  case 3:
    return 0x7f0000000000 + chance() % 200 * 16;
  case 4:
    return chance() % 3 - 1; /* -1, 0, 1 */
  case 5:
    return chance() % 60000;
  case 6:
    return (uint64_t)(int64_t)(int32_t)chance();
  case 7:
    return chance();
  case 8:
    return i % 777 ? UINT64_MAX : 0;
  default:
    return i / 1500 ? i : 0; /* changes its ways within a block */
  }
}

typedef struct Sample {
  RowLayout layout;
  uint64_t count;
  uint64_t *rows;
} Sample;

static Sample make_sample(uint64_t columns, uint64_t count) {
  Sample sample = {row_layout(columns, false), count, NULL};
  const size_t words = sample.layout.words;
  sample.rows = malloc((count * words + 1) * sizeof *sample.rows);
  assert(sample.rows);
  for (size_t w = 0; w < words; w++) {
    const unsigned sort = (unsigned)chance();
    for (uint64_t i = 0; i < count; i++) sample.rows[i * words + w] = value_of(sort, i);
  }
  return sample;
}

/* In pieces of any size. */
static int pack(const Sample *sample, uint64_t from, uint64_t to) {
  Fault fault = {0};
  PackWriter writer;
  int fd = memfd();
  bool ok = pack_begin(fd, &sample->layout, &writer, &fault);
  while (ok && from < to) {
    uint64_t n = chance() % 3000;
    if (n > to - from) n = to - from;
    ok = pack_add(&writer, sample->rows + from * sample->layout.words, n, &fault);
    from += n;
  }
  ok = ok && pack_end(&writer, ROWS_COMPLETE, &fault);
  pack_finish(&writer);
  assert(ok);
  return fd;
}

static bool is_same(const Packed *packed, const Sample *sample, uint64_t row, PackedBlock *block) {
  const size_t words = sample->layout.words;
  Fault fault = {0};
  for (unsigned w = 0; w < words; w++) {
    uint64_t value;
    if (!packed_at(packed, row, w, block, &value, &fault)) return false;
    if (value != sample->rows[row * words + w]) return false;
  }
  return true;
}

static bool reads_back(int fd, const Sample *sample) {
  Fault fault = {0};
  Packed packed;
  PackedBlock block = {0};
  if (!packed_open(fd, &packed, &fault)) return false;
  bool ok = packed.rows == sample->count && packed.state == ROWS_COMPLETE &&
            packed.layout.columns == sample->layout.columns;
  for (uint64_t i = 0; ok && i < sample->count; i++) ok = is_same(&packed, sample, i, &block);
  for (int i = 0; ok && sample->count && i < 2000; i++) {
    ok = is_same(&packed, sample, chance() % sample->count, &block);
  }
  fault_clear(&fault);
  ok = ok && !packed_seek(&packed, sample->count, &block, &fault) && fault.code == FAULT_CORRUPT;
  packed_close(&packed);
  return ok;
}

static const uint64_t counts[] = {0, 1, 2, 1023, 1024, 1025, 50000};

static void test_values(void) {
  bool ok = true;
  for (int round = 0; round < 70; round++) {
    const Sample sample = make_sample(chance() & ((1u << ROW_COLUMNS) - 1), counts[round % 7]);
    const int fd = pack(&sample, 0, sample.count);
    ok = ok && reads_back(fd, &sample);
    close(fd);
    free(sample.rows);
  }
  check(ok, "what was packed is read, in any order");
  const Sample sample = make_sample(~(uint64_t)0, 3000);
  const int fd = pack(&sample, 0, sample.count);
  check(reads_back(fd, &sample), "all columns");
  close(fd);
  free(sample.rows);
}

static void test_append(void) {
  Fault fault = {0};
  bool ok = true;
  for (int round = 0; round < 20; round++) {
    const Sample sample = make_sample(1 << ROW_A0 | 1 << ROW_EV, counts[round % 7] + 10);
    const uint64_t cut = chance() % sample.count;
    const int first = pack(&sample, 0, cut), second = pack(&sample, cut, sample.count);
    Packed more;
    ok = ok && packed_open(second, &more, &fault) && pack_append(first, &more, &fault) &&
         reads_back(first, &sample);
    packed_close(&more);
    close(first);
    close(second);
    free(sample.rows);
  }
  check(ok, "the rows of one file behind those of another");
  const Sample one = make_sample(1 << ROW_A0, 10), other = make_sample(1 << ROW_A1, 10);
  const int first = pack(&one, 0, 10), second = pack(&other, 0, 10);
  Packed more;
  ok = packed_open(second, &more, &fault);
  check(ok && !pack_append(first, &more, &fault) && fault.code == FAULT_CORRUPT,
        "rows of another shape");
  packed_close(&more);
  close(first);
  close(second);
  free(one.rows);
  free(other.rows);
}

static void test_size(void) {
  struct stat stat;
  Sample sample = make_sample(1 << ROW_EV | 1 << ROW_A0 | 1 << ROW_A1, 100000);
  for (uint64_t i = 0; i < sample.count; i++) {
    const uint64_t row[4] = {0, 17, (uint32_t)chance(), i};
    memcpy(sample.rows + 4 * i, row, sizeof row);
  }
  const int fd = pack(&sample, 0, sample.count);
  const bool ok = fstat(fd, &stat) == 0 && reads_back(fd, &sample);
  check(ok && stat.st_size < 420000, "what stays the same, or counts, takes no room");
  printf("# %lld bytes for 100000 rows of 4 words\n", (long long)stat.st_size);
  close(fd);
  free(sample.rows);
}

/* Some bytes changed or missing: refused, or read within its bounds. With a head that is right, so
** that what is behind it is met. */
static void damage(int fd, int round) {
  struct stat stat;
  PackedHead head;
  if (fstat(fd, &stat) != 0 || pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head) abort();
  const uint64_t size = (uint64_t)stat.st_size, noise = chance();
  const off_t at = (off_t)(chance() % (round % 2 ? size : 300));
  if (round % 4 == 3 && ftruncate(fd, at)) abort();
  if (round % 4 < 3 && pwrite(fd, &noise, 1 + chance() % 8, at) < 0) abort();
  if (round % 4 == 0 || pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head) return;
  if (fstat(fd, &stat) != 0) abort();
  head.size = (uint64_t)stat.st_size;
  head.hash = packed_hash(&head);
  if (pwrite(fd, &head, sizeof head, 0) != (ssize_t)sizeof head) abort();
}

static void test_hostile(void) {
  bool refused = true;
  uint64_t sum = 0, opened = 0;
  for (int round = 0; round < 4000; round++) {
    const Sample sample = make_sample(chance() & 0xff, 1 + chance() % 2500);
    const int fd = pack(&sample, 0, sample.count);
    Fault fault = {0};
    Packed packed;
    PackedBlock block = {0};
    damage(fd, round);
    bool ok = packed_open(fd, &packed, &fault);
    opened += ok;
    for (uint64_t i = 0; ok && i < packed.rows; i++) {
      uint64_t value = 0;
      ok = packed_at(&packed, i, (unsigned)(i % packed.layout.words), &block, &value, &fault);
      sum += value;
    }
    refused =
        refused && (!fault.code || fault.code == FAULT_CORRUPT || fault.code == FAULT_UNSUPPORTED);
    packed_close(&packed);
    close(fd);
    free(sample.rows);
  }
  check(refused && opened > 100 && opened < 4000,
        "hostile files: refused, or read in their bounds");
  printf("# %llu opened, %llu\n", (unsigned long long)opened, (unsigned long long)sum);
}

int main(int argc, char **argv) {
  if (argc > 1) state ^= strtoull(argv[1], NULL, 0) << 1;
  test_values();
  test_append();
  test_size();
  test_hostile();
  return checks_end();
}
