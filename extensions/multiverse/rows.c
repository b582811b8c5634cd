/*
** Rows in memory, one block each: see store.h.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/store.h"

Datum row_cell(const StoreTable *table, const Row *row, int cell) {
  const int32_t word = row_word(table, row, cell);
  const char *at = (const char *)row + (uint32_t)word;
  Datum out = {.type = SQLITE_NULL};
  switch (row_kind(table, row, cell)) {
  case HELD_SMALL:
    out.type = SQLITE_INTEGER;
    out.as.integer = word;
    break;
  case HELD_INTEGER:
    out.type = SQLITE_INTEGER;
    memcpy(&out.as.integer, at, sizeof out.as.integer);
    break;
  case HELD_REAL:
    out.type = SQLITE_FLOAT;
    memcpy(&out.as.real, at, sizeof out.as.real);
    break;
  case HELD_TEXT:
  case HELD_BLOB:
    out.type = row_kind(table, row, cell) == HELD_TEXT ? SQLITE_TEXT : SQLITE_BLOB;
    memcpy(&out.length, at, sizeof out.length);
    out.as.bytes = at + sizeof out.length;
    break;
  case HELD_NULL:
    break;
  }
  return out;
}

static HeldKind kind_of(const Datum *cell) {
  switch (cell->type) {
  case SQLITE_NULL:
    return HELD_NULL;
  case SQLITE_INTEGER:
    return cell->as.integer == (int32_t)cell->as.integer ? HELD_SMALL : HELD_INTEGER;
  case SQLITE_FLOAT:
    return HELD_REAL;
  default:
    return cell->type == SQLITE_TEXT ? HELD_TEXT : HELD_BLOB;
  }
}

/* What a cell takes behind the words. */
static size_t bytes_of(const Datum *cell) {
  switch (kind_of(cell)) {
  case HELD_NULL:
  case HELD_SMALL:
    return 0;
  case HELD_INTEGER:
  case HELD_REAL:
    return sizeof cell->as;
  default:
    return sizeof cell->length + cell->length;
  }
}

/* Its word; its bytes, if any, are put at `at` of the block. */
static int32_t put_cell(Row *row, size_t at, const Datum *cell) {
  char *bytes = (char *)row + at;
  switch (kind_of(cell)) {
  case HELD_NULL:
    return 0;
  case HELD_SMALL:
    return (int32_t)cell->as.integer;
  case HELD_INTEGER:
  case HELD_REAL:
    memcpy(bytes, &cell->as, sizeof cell->as);
    break;
  default:
    memcpy(bytes, &cell->length, sizeof cell->length);
    if (cell->length) memcpy(bytes + sizeof cell->length, cell->as.bytes, cell->length);
  }
  return (int32_t)at;
}

Row *row_make(const StoreTable *table, sqlite3_int64 rowid, const Datum *cells,
              const uint8_t *flags) {
  const size_t ncells = (size_t)table->ncells, nflags = (size_t)table->nflags;
  const size_t first = (nflags + ncells + 3) & ~(size_t)3;
  size_t at = sizeof(Row) + first + ncells * sizeof(int32_t), size = at;
  for (size_t i = 0; i < ncells; i++) size += bytes_of(&cells[i]);
  if (size > INT32_MAX) return NULL;
  Row *row = malloc(size);
  if (!row) return NULL;
  *row = (Row){.rowid = rowid, .size = (uint32_t)size};
  if (nflags) memcpy(row->marks, flags, nflags);
  for (size_t i = 0; i < ncells; i++) {
    const int32_t word = put_cell(row, at, &cells[i]);
    row->marks[nflags + i] = (uint8_t)kind_of(&cells[i]);
    memcpy(row->marks + first + i * sizeof word, &word, sizeof word);
    at += bytes_of(&cells[i]);
  }
  return row;
}
