/*
** Rows that are kept until they are read: see lines.h.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/lines.h"

Cell line_text(const char *text) { return (Cell){.text = text}; }

Cell line_integer(sqlite3_int64 integer) {
  return (Cell){.number = CELL_INTEGER, .integer = integer};
}

Cell line_real(double real) { return (Cell){.number = CELL_REAL, .real = real}; }

Cell line_value(sqlite3_value *value) { return (Cell){.value = value}; }

void lines_begin(LinesCursor *lines, int width) {
  lines->width = width;
  lines->count = lines->at = 0;
}

bool lines_add(LinesCursor *lines, const Cell *cells, Fault *fault) {
  const size_t width = (size_t)lines->width;
  if (!array_grow(lines->cells, lines->capacity, (lines->count + 1) * width)) {
    return fault_oom(fault);
  }
  Cell *row = &lines->cells[lines->count * width];
  memset(row, 0, width * sizeof *row);
  lines->count++;
  for (size_t i = 0; i < width; i++) {
    row[i] = cells[i];
    row[i].value = NULL;
    if (cells[i].value) row[i].value = sqlite3_value_dup(cells[i].value);
    if (cells[i].text) row[i].text = arena_strdup(&lines->cursor.arena, cells[i].text);
    if ((cells[i].value && !row[i].value) || (cells[i].text && !row[i].text)) {
      return fault_oom(fault);
    }
  }
  return true;
}

int lines_show(LinesCursor *lines, const Fault *fault) {
  if (fault->code) return vt_fault(lines->cursor.tab, fault);
  lines->cursor.eof = lines->count == 0;
  return SQLITE_OK;
}

int lines_step(VtCursor *cur) {
  LinesCursor *lines = (LinesCursor *)cur;
  cur->eof = ++lines->at >= lines->count;
  return SQLITE_OK;
}

int lines_column(VtCursor *cur, sqlite3_context *ctx, int col) {
  const LinesCursor *lines = (LinesCursor *)cur;
  const Cell *cell = &lines->cells[lines->at * (size_t)lines->width + (size_t)col];
  if (cell->value) {
    sqlite3_result_value(ctx, cell->value);
  } else if (cell->text) {
    sqlite3_result_text(ctx, cell->text, -1, SQLITE_TRANSIENT);
  } else if (cell->number == CELL_INTEGER) {
    sqlite3_result_int64(ctx, cell->integer);
  } else if (cell->number == CELL_REAL) {
    sqlite3_result_double(ctx, cell->real);
  }
  return SQLITE_OK;
}

void lines_done(VtCursor *cur) {
  LinesCursor *lines = (LinesCursor *)cur;
  for (size_t i = 0; i < lines->count * (size_t)lines->width; i++) {
    sqlite3_value_free(lines->cells[i].value);
  }
  free(lines->cells);
  lines->cells = NULL;
  lines->count = lines->capacity = 0;
}
