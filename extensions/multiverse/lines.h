/*
** Tables whose rows are all made in seek(): what administrators ask.
*/
#ifndef TENFOLD_MULTIVERSE_LINES_H
#define TENFOLD_MULTIVERSE_LINES_H

#include "extensions/multiverse/multiverse.h"

/* A value; all zero is NULL. What is set of the first three counts, in this order. */
typedef struct Cell {
  sqlite3_value *value;
  const char *text;
  enum { CELL_NOTHING, CELL_INTEGER, CELL_REAL } number;
  sqlite3_int64 integer;
  double real;
} Cell;

Cell line_text(const char *text);
Cell line_integer(sqlite3_int64 integer);
Cell line_real(double real);
Cell line_value(sqlite3_value *value); /* of a statement or an argument; copied when added */

typedef struct LinesCursor {
  VtCursor cursor;
  int width; /* columns that are no arguments */
  Cell *cells;
  size_t count, capacity, at; /* rows */
} LinesCursor;

/* Called first in seek(); then rows are added, each of `width` cells, whose texts and values are
** copied; lines_show() stands on the first one, or tells the fault. */
void lines_begin(LinesCursor *lines, int width);
bool lines_add(LinesCursor *lines, const Cell *cells, Fault *fault);
int lines_show(LinesCursor *lines, const Fault *fault);

int lines_step(VtCursor *cur);
int lines_column(VtCursor *cur, sqlite3_context *ctx, int col);
void lines_done(VtCursor *cur);

#endif
