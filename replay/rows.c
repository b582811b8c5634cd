#define _GNU_SOURCE
#include "replay/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/array.h"

enum { VERSION = 1, KEY_MAX = 3072, ROWS_AT = 2 * ROW_PAGE };

typedef struct RowHeader {
  char magic[8];
  uint32_t version, returns;
  uint64_t columns, base, first, limit, key_size;
  uint8_t key[KEY_MAX];
  uint64_t hash; /* of all before */
} RowHeader;

_Static_assert(sizeof(RowHeader) <= ROW_PAGE, "the header is one page");

RowLayout row_layout(uint64_t columns, bool returns) {
  RowLayout layout = {
      .columns = columns & ((1u << ROW_COLUMNS) - 1), .returns = returns, .words = 1};
  for (int column = 0; column < ROW_COMMON; column++) {
    if (columns >> column & 1) layout.word[column] = (uint8_t)layout.words++;
  }
  if (returns) layout.word[ROW_RET] = (uint8_t)layout.words;
  uint32_t words = layout.words;
  for (int column = ROW_COMMON; column < ROW_COLUMNS; column++) {
    if (columns >> column & 1) layout.word[column] = (uint8_t)words++;
  }
  layout.words = returns && words == layout.words ? words + 1 : words;
  return layout;
}

static uint64_t header_hash(const RowHeader *header) {
  return hash_bytes(header, offsetof(RowHeader, hash), VERSION);
}

static size_t row_bytes(const RowLayout *layout) { return layout->words * sizeof(uint64_t); }

bool rowfile_create(int fd, const RowLayout *layout, uint64_t base, uint64_t limit, const void *key,
                    size_t key_size, RowFile *out, Fault *fault) {
  if (key_size > KEY_MAX)
    return fault_set(fault, FAULT_LIMIT, "row file: a key of %zu bytes", key_size);
  RowHeader header = {.magic = "omnirow\n", .version = VERSION, .returns = layout->returns};
  header.columns = layout->columns;
  header.base = base;
  header.limit = limit;
  header.first = ROWS_AT;
  if (limit > 0) { /* the last word of the last row begins a page */
    uint64_t end = ROWS_AT + limit * row_bytes(layout) - sizeof(uint64_t);
    header.first += (ROW_PAGE - end % ROW_PAGE) % ROW_PAGE;
  }
  header.key_size = key_size;
  if (key_size) memcpy(header.key, key, key_size);
  header.hash = header_hash(&header);
  if (ftruncate(fd, 0) || ftruncate(fd, ROWS_AT) ||
      pwrite(fd, &header, sizeof header, 0) != (ssize_t)sizeof header) {
    return fault_set(fault, FAULT_IO, "row file: %s", strerror(errno));
  }
  void *live = mmap(NULL, ROW_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, ROW_PAGE);
  if (live == MAP_FAILED) return fault_set(fault, FAULT_IO, "row file: %s", strerror(errno));
  *out = (RowFile){.fd = fd,
                   .layout = *layout,
                   .base = base,
                   .first = header.first,
                   .limit = limit,
                   .size = ROWS_AT,
                   .live = live};
  atomic_store(&out->live->cursor, base + header.first);
  return true;
}

/* On tmpfs writing zeros is the fastest way to have pages (1.8 us a page with the mapping, against
** 2.8 by fallocate), on a disk the slowest. */
static int fill(int fd, uint64_t from, uint64_t to) {
  static const uint8_t zeros[1 << 18];
  struct statfs system;
  if (fstatfs(fd, &system) || system.f_type != TMPFS_MAGIC) {
    return posix_fallocate(fd, (off_t)from, (off_t)(to - from));
  }
  while (from < to) {
    size_t size = to - from < sizeof zeros ? (size_t)(to - from) : sizeof zeros;
    ssize_t done = pwrite(fd, zeros, size, (off_t)from);
    if (done <= 0 && errno != EINTR) return errno;
    from += done > 0 ? (uint64_t)done : 0;
  }
  return 0;
}

bool rowfile_reserve(RowFile *file, uint64_t size, Fault *fault) {
  struct stat stat;
  if (size <= file->size) return true;
  /* A forked process has a file of its own to remember; what is there must not be overwritten. */
  if (fstat(file->fd, &stat)) return fault_set(fault, FAULT_IO, "row file: %s", strerror(errno));
  if ((uint64_t)stat.st_size > file->size) file->size = (uint64_t)stat.st_size;
  int failed = size > file->size ? fill(file->fd, file->size, size) : 0;
  if (failed) {
    return fault_set(fault, FAULT_IO, "row file: no room for %llu bytes: %s",
                     (unsigned long long)size, strerror(failed));
  }
  if (size > file->size) file->size = size;
  return true;
}

static uint64_t cursor_of(const RowFile *file) {
  return atomic_load_explicit(&file->live->cursor, memory_order_acquire) - file->base;
}

static int part_of(const RowFile *file) { return (int)(cursor_of(file) / ROW_PART_STRIDE) - 1; }

uint64_t rowfile_count(const RowFile *file) {
  uint64_t first = file->first, taken = 0;
  if (file->taker) {
    first = rowfile_part_first(file, part_of(file));
    taken = atomic_load(&file->live->taken);
  }
  return taken + (cursor_of(file) - first) / row_bytes(&file->layout);
}

/* ---- a ring */

bool rowfile_ring(RowFile *file, const RowTaker *taker, Fault *fault) {
  if (ftruncate(file->fd, ROW_RING)) {
    return fault_set(fault, FAULT_IO, "row file: %s", strerror(errno));
  }
  file->taker = taker;
  atomic_store(&file->live->cursor, file->base + rowfile_part_first(file, 0));
  return true;
}

/* What is in the part of the cursor, which the program could have overwritten. */
static bool take(RowFile *file, int part, Fault *fault) {
  const uint64_t first =
      part < 0 || part >= ROW_PARTS ? UINT64_MAX : rowfile_part_first(file, part);
  const uint64_t size = cursor_of(file) - first;
  if (first == UINT64_MAX || size > rowfile_part_end(part) - first ||
      size % row_bytes(&file->layout)) {
    return fault_set(fault, FAULT_CORRUPT, "row file: its cursor is outside");
  }
  return size == 0 || file->taker->take(file->taker->ctx, part, first, size, fault);
}

bool rowfile_turn(RowFile *file, Fault *fault) {
  const int part = part_of(file), next = part + 1 < ROW_PARTS ? part + 1 : 1;
  const uint64_t count = rowfile_count(file);
  if (!take(file, part, fault) || !file->taker->clear(file->taker->ctx, next, fault)) return false;
  atomic_store(&file->live->taken, count);
  atomic_store(&file->live->cursor, file->base + rowfile_part_first(file, next));
  return true;
}

bool rowfile_finish(RowFile *file, RowState state, Fault *fault) {
  if (!file->live) return true;
  bool ok = true;
  if (file->taker) {
    ok = state == ROWS_FAILED || take(file, part_of(file), fault);
  } else {
    uint64_t end = file->first + rowfile_count(file) * row_bytes(&file->layout);
    ok = ftruncate(file->fd, (off_t)end) == 0;
    if (!ok) fault_set(fault, FAULT_IO, "row file: %s", strerror(errno));
  }
  atomic_store_explicit(&file->live->state, ok ? state : ROWS_FAILED, memory_order_release);
  munmap(file->live, ROW_PAGE);
  file->live = NULL;
  return ok;
}

/* ---- reading */

static bool check_header(const RowHeader *header, Fault *fault) {
  if (memcmp(header->magic, "omnirow\n", 8) || header->hash != header_hash(header)) {
    return fault_set(fault, FAULT_CORRUPT, "row file: not a row file, or damaged");
  }
  if (header->version != VERSION) {
    return fault_set(fault, FAULT_UNSUPPORTED, "row file: version %u", header->version);
  }
  if (header->key_size > KEY_MAX || header->first % sizeof(uint64_t) || header->first < ROWS_AT ||
      header->first >= ROWS_AT + ROW_PAGE || header->columns >> ROW_COLUMNS) {
    return fault_set(fault, FAULT_CORRUPT, "row file: the header contradicts itself");
  }
  return true;
}

static bool map_all(Rows *rows, Fault *fault) {
  struct stat stat;
  if (fstat(rows->fd, &stat)) return fault_set(fault, FAULT_IO, "row file: %s", strerror(errno));
  if (stat.st_size < ROWS_AT) return fault_set(fault, FAULT_CORRUPT, "row file: cut off");
  const size_t size = (size_t)stat.st_size;
  if (size == rows->mapped) return true;
  void *map = rows->map ? mremap((void *)(uintptr_t)rows->map, rows->mapped, size, MREMAP_MAYMOVE)
                        : mmap(NULL, size, PROT_READ, MAP_SHARED, rows->fd, 0);
  if (map == MAP_FAILED) return fault_set(fault, FAULT_IO, "row file: %s", strerror(errno));
  rows->map = map;
  rows->mapped = size;
  rows->key = rows->map + offsetof(RowHeader, key);
  return true;
}

bool rows_open(int fd, Rows *out, Fault *fault) {
  *out = (Rows){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)};
  if (out->fd < 0) return fault_set(fault, FAULT_IO, "row file: %s", strerror(errno));
  RowHeader header;
  if (!map_all(out, fault)) {
    rows_close(out);
    return false;
  }
  memcpy(&header, out->map, sizeof header);
  if (!check_header(&header, fault)) {
    rows_close(out);
    return false;
  }
  out->layout = row_layout(header.columns, header.returns != 0);
  out->key_size = (size_t)header.key_size;
  out->first = (size_t)header.first;
  out->base = header.base;
  return true;
}

void rows_close(Rows *rows) {
  if (rows->map) munmap((void *)(uintptr_t)rows->map, rows->mapped);
  if (rows->fd >= 0) close(rows->fd);
  *rows = (Rows){.fd = -1};
}

bool rows_count(Rows *rows, uint64_t *out_count, RowState *out_state, Fault *fault) {
  const RowLive *live = (const void *)(rows->map + ROW_PAGE);
  /* The state first: what was there before it was set is seen after it. */
  uint64_t state = atomic_load_explicit(&live->state, memory_order_acquire);
  uint64_t cursor = atomic_load_explicit(&live->cursor, memory_order_acquire);
  uint64_t bytes = cursor - rows->base - rows->first;
  if (cursor - rows->base < rows->first || bytes > SIZE_MAX / 2 || state > ROWS_FAILED) {
    return fault_set(fault, FAULT_CORRUPT, "row file: its cursor is outside");
  }
  uint64_t count = bytes / row_bytes(&rows->layout);
  uint64_t end = rows->first + count * row_bytes(&rows->layout);
  if (end > rows->mapped && !map_all(rows, fault)) return false;
  if (end > rows->mapped) return fault_set(fault, FAULT_CORRUPT, "row file: cut off");
  *out_count = count;
  *out_state = (RowState)state;
  return true;
}
