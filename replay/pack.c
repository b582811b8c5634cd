/*
** Writing packed rows: see packed.h.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "replay/packed_format.h"

enum {
  BLOCK_LARGEST = (int)sizeof(BlockHead) + BLOCK_TAIL +
                  PACKED_WORDS * ((int)sizeof(WordHead) + PACKED_ROWS * (int)sizeof(uint64_t)),
  BUFFER = 1 << 19
};
_Static_assert(BUFFER >= 2 * BLOCK_LARGEST, "a block always has room in an empty buffer");

static bool write_all(int fd, const void *bytes, size_t size, uint64_t at, Fault *fault) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = pwrite(fd, (const char *)bytes + done, size - done, (off_t)(at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return fault_set(fault, FAULT_IO, "packed rows: %s", strerror(n ? errno : ENOSPC));
    }
    done += (size_t)n;
  }
  return true;
}

static bool flush(PackWriter *writer, Fault *fault) {
  if (!write_all(writer->fd, writer->buffer, writer->used, writer->size, fault)) return false;
  writer->size += writer->used;
  writer->used = 0;
  return true;
}

bool pack_begin(int fd, const RowLayout *layout, PackWriter *out, Fault *fault) {
  *out = (PackWriter){.fd = fd, .layout = *layout, .size = sizeof(PackedHead)};
  out->buffer = malloc(BUFFER);
  if (!out->buffer) return fault_oom(fault);
  return ftruncate(fd, 0) == 0 || fault_set(fault, FAULT_IO, "packed rows: %s", strerror(errno));
}

void pack_finish(PackWriter *writer) {
  free(writer->buffer);
  writer->buffer = NULL;
}

/* ---- a column of a block --------------------------------------------------------------------- */

/* The values of a word, one behind the other. True when they are an arithmetic sequence. */
static bool gather(const uint64_t *from, size_t words, size_t rows, uint64_t *values) {
  const uint64_t step = rows > 1 ? from[words] - from[0] : 0;
  uint64_t differs = 0, before = from[0] - step;
  for (size_t i = 0; i < rows; i++) {
    const uint64_t value = from[i * words];
    differs |= (value - before) ^ step;
    before = values[i] = value;
  }
  return !differs;
}

/* Small numbers of both signs lie close together as signed ones, addresses as unsigned ones. */
static uint64_t lowest(const uint64_t *values, size_t rows, uint64_t *out_span) {
  uint64_t low = values[0], high = values[0];
  int64_t signed_low = (int64_t)low, signed_high = (int64_t)high;
  for (size_t i = 1; i < rows; i++) {
    const uint64_t value = values[i];
    low = value < low ? value : low;
    high = value > high ? value : high;
    signed_low = (int64_t)value < signed_low ? (int64_t)value : signed_low;
    signed_high = (int64_t)value > signed_high ? (int64_t)value : signed_high;
  }
  const uint64_t signed_span = (uint64_t)signed_high - (uint64_t)signed_low;
  if (signed_span < high - low) {
    *out_span = signed_span;
    return (uint64_t)signed_low;
  }
  *out_span = high - low;
  return low;
}

static uint64_t width_of(uint64_t span) {
  return span > UINT32_MAX ? 8 : span > UINT16_MAX ? 4 : span > UINT8_MAX ? 2 : span > 0;
}

static void put_rests(const uint64_t *values, size_t rows, uint64_t base, uint64_t width,
                      uint8_t *out) {
  switch (width) {
  case 1:
    for (size_t i = 0; i < rows; i++) out[i] = (uint8_t)(values[i] - base);
    break;
  case 2:
    for (size_t i = 0; i < rows; i++) ((uint16_t *)(void *)out)[i] = (uint16_t)(values[i] - base);
    break;
  case 4:
    for (size_t i = 0; i < rows; i++) ((uint32_t *)(void *)out)[i] = (uint32_t)(values[i] - base);
    break;
  case 8:
    for (size_t i = 0; i < rows; i++) ((uint64_t *)(void *)out)[i] = values[i] - base;
    break;
  default:
    break;
  }
  const size_t size = (size_t)width * rows;
  memset(out + size, 0, rest_size(width, rows) - size);
}

/* Its head goes to *head, its rests to `out`. Returns their size. */
static size_t put_word(const uint64_t *from, size_t words, size_t rows, WordHead *head,
                       uint8_t *out) {
  uint64_t values[PACKED_ROWS], span;
  if (gather(from, words, rows, values)) {
    *head = (WordHead){values[0], rows > 1 ? values[1] - values[0] : 0, 0};
    return 0;
  }
  head->base = lowest(values, rows, &span);
  head->step = 0;
  head->width = width_of(span);
  put_rests(values, rows, head->base, head->width, out);
  return rest_size(head->width, rows);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void put_block(PackWriter *writer, const uint64_t *rows, size_t count) {
  const size_t words = writer->layout.words;
  uint8_t *start = writer->buffer + writer->used;
  size_t size = block_least(&writer->layout) - BLOCK_TAIL;
  for (size_t w = 0; w < words; w++) {
    WordHead head;
    size += put_word(rows + w, words, count, &head, start + size);
    memcpy(start + sizeof(BlockHead) + w * sizeof head, &head, sizeof head);
  }
  memset(start + size, 0, BLOCK_TAIL);
  size += BLOCK_TAIL;
  const BlockHead head = {(uint32_t)count, (uint32_t)size};
  memcpy(start, &head, sizeof head);
  writer->used += size;
  writer->rows += count;
}

bool pack_add(PackWriter *writer, const uint64_t *rows, uint64_t count, Fault *fault) {
  while (count > 0) {
    const size_t n = count < PACKED_ROWS ? (size_t)count : PACKED_ROWS;
    if (BUFFER - writer->used < BLOCK_LARGEST && !flush(writer, fault)) return false;
    put_block(writer, rows, n);
    rows += n * writer->layout.words;
    count -= n;
  }
  return true;
}

static bool put_head(int fd, const RowLayout *layout, uint64_t rows, uint64_t size, RowState state,
                     Fault *fault) {
  PackedHead head = {.version = PACKED_VERSION,
                     .returns = layout->returns,
                     .columns = layout->columns,
                     .rows = rows,
                     .size = size,
                     .state = state};
  memcpy(head.magic, packed_magic, sizeof head.magic);
  head.hash = packed_hash(&head);
  return write_all(fd, &head, sizeof head, 0, fault);
}

bool pack_end(PackWriter *writer, RowState state, Fault *fault) {
  return flush(writer, fault) &&
         put_head(writer->fd, &writer->layout, writer->rows, writer->size, state, fault);
}

bool pack_append(int fd, const Packed *more, Fault *fault) {
  Packed packed;
  if (!packed_open(fd, &packed, fault)) return false;
  const RowLayout layout = packed.layout;
  const uint64_t rows = packed.rows, size = packed.mapped;
  const bool same = layout.columns == more->layout.columns &&
                    layout.returns == more->layout.returns && packed.state == ROWS_COMPLETE &&
                    more->state == ROWS_COMPLETE;
  packed_close(&packed);
  if (!same) return fault_set(fault, FAULT_CORRUPT, "packed rows: rows of another shape");
  const size_t added = more->mapped - sizeof(PackedHead);
  return write_all(fd, more->map + sizeof(PackedHead), added, size, fault) &&
         put_head(fd, &layout, rows + more->rows, size + added, ROWS_COMPLETE, fault);
}
