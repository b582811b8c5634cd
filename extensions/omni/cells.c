/*
** Rows of an answer: see cells.h.
**
** A cell is a byte that tells its kind, then 8 bytes of a number, or 4 bytes of size and so many
** bytes of a text (with a NUL behind) or blob.
*/
#define _GNU_SOURCE
#include "extensions/omni/cells.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"

enum { PENDING = 1 << 18, CELL_LARGEST = 1 << 30 };

/* ---- writing --------------------------------------------------------------------------------- */

static void put(CellWriter *writer, CellKind kind, const void *bytes, size_t size) {
  text_addc(&writer->pending, (char)kind);
  text_addn(&writer->pending, bytes, size);
}

void cell_null(CellWriter *writer) { put(writer, CELL_NULL, "", 0); }

void cell_integer(CellWriter *writer, int64_t value) {
  put(writer, CELL_INTEGER, &value, sizeof value);
}

void cell_real(CellWriter *writer, double value) { put(writer, CELL_REAL, &value, sizeof value); }

void cell_bytes(CellWriter *writer, CellKind kind, const void *bytes, size_t size) {
  if (size > CELL_LARGEST) {
    cell_null(writer);
    return;
  }
  uint32_t length = (uint32_t)size;
  put(writer, kind, &length, sizeof length);
  text_addn(&writer->pending, bytes, size);
  if (kind == CELL_TEXT) text_addc(&writer->pending, '\0');
}

void cell_text(CellWriter *writer, const char *text) {
  if (text) {
    cell_bytes(writer, CELL_TEXT, text, strlen(text));
  } else {
    cell_null(writer);
  }
}

static void flush(CellWriter *writer) {
  if (writer->pending.oom) writer->failed = true;
  size_t at = 0;
  while (!writer->failed && at < writer->pending.length) {
    ssize_t n = write(writer->fd, writer->pending.data + at, writer->pending.length - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      writer->failed = true;
      writer->failure = n < 0 ? errno : ENOSPC;
      return;
    }
    at += (size_t)n;
  }
  text_clear(&writer->pending);
}

bool cells_row(CellWriter *writer) {
  writer->rows++;
  if (writer->pending.length >= PENDING || writer->pending.oom) flush(writer);
  return !writer->failed;
}

bool cells_finish(CellWriter *writer, Fault *fault) {
  flush(writer);
  text_finish(&writer->pending);
  if (!writer->failed) return true;
  if (!writer->failure) return fault_oom(fault);
  return fault_set(fault, FAULT_IO, "rows cannot be written: %s", strerror(writer->failure));
}

/* ---- reading --------------------------------------------------------------------------------- */

void cells_open(CellReader *reader, int fd, int width, uint64_t rows) {
  struct stat st;
  *reader = (CellReader){.is_open = true, .fd = fd, .width = width, .left = rows};
  if (fstat(fd, &st) == 0) reader->size = (uint64_t)st.st_size;
}

void cells_open_part(CellReader *reader, int fd, int width, uint64_t rows, uint64_t at,
                     uint64_t size) {
  *reader = (CellReader){
      .is_open = true, .fd = fd, .width = width, .left = rows, .size = at + size, .next = at};
}

static bool nonsense(Fault *fault) {
  return fault_set(fault, FAULT_CORRUPT, "the helper's rows make no sense");
}

/* So many bytes are in the buffer from `at` on, which counts from its `begin`. */
static bool have(CellReader *reader, size_t at, size_t need, Fault *fault) {
  if (need > CELL_LARGEST || at > CELL_LARGEST) return nonsense(fault);
  while (reader->end - reader->begin < at + need) {
    size_t kept = reader->end - reader->begin, room = at + need > PENDING ? at + need : PENDING;
    if (reader->next >= reader->size) return nonsense(fault);
    if (reader->begin && kept) memmove(reader->buffer, reader->buffer + reader->begin, kept);
    reader->begin = 0;
    reader->end = kept;
    if (!array_extend(reader->buffer, reader->capacity, room)) return fault_oom(fault);
    ssize_t n =
        pread(reader->fd, reader->buffer + kept, reader->capacity - kept, (off_t)reader->next);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return nonsense(fault);
    reader->end += (size_t)n;
    reader->next += (uint64_t)n;
  }
  return true;
}

/* Reads the cell at *at, which moves behind it. Its bytes are told by where they are, since the
** buffer may move while the row is read. */
static bool read_cell(CellReader *reader, size_t *at, Cell *out, size_t *out_bytes, Fault *fault) {
  if (!have(reader, *at, 1, fault)) return false;
  *out = (Cell){.kind = (CellKind)(uint8_t)reader->buffer[reader->begin + *at]};
  ++*at;
  uint32_t length;
  size_t nul;
  switch (out->kind) {
  case CELL_NULL:
    return true;
  case CELL_INTEGER:
  case CELL_REAL:
    if (!have(reader, *at, 8, fault)) return false;
    memcpy(out->kind == CELL_REAL ? (void *)&out->real : (void *)&out->integer,
           reader->buffer + reader->begin + *at, 8);
    *at += 8;
    return true;
  case CELL_TEXT:
  case CELL_BLOB:
    if (!have(reader, *at, sizeof length, fault)) return false;
    memcpy(&length, reader->buffer + reader->begin + *at, sizeof length);
    *at += sizeof length;
    out->size = length;
    *out_bytes = *at;
    nul = out->kind == CELL_TEXT;
    if (!have(reader, *at, length + nul, fault)) return false;
    if (nul && reader->buffer[reader->begin + *at + length]) return nonsense(fault);
    *at += length + nul;
    return true;
  }
  return nonsense(fault);
}

bool cells_next(CellReader *reader, bool *out_more, Fault *fault) {
  *out_more = reader->left > 0;
  if (!*out_more) return true;
  reader->left--;
  size_t at = 0, bytes[CELLS_MOST] = {0};
  for (int i = 0; i < reader->width; i++) {
    if (!read_cell(reader, &at, &reader->cells[i], &bytes[i], fault)) return false;
  }
  for (int i = 0; i < reader->width; i++) {
    if (bytes[i]) reader->cells[i].bytes = reader->buffer + reader->begin + bytes[i];
  }
  reader->begin += at;
  return true;
}

void cells_close(CellReader *reader) {
  if (reader->is_open) close(reader->fd);
  free(reader->buffer);
  *reader = (CellReader){0};
}
