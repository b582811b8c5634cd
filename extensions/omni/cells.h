/*
** Rows of an answer, from the helper to the host: cells written one after the other to a file.
**
** Any number of rows, each of as many cells as the question's table has; the file is one in memory
** that the host made. The host reads it as it reads everything of the helper: checking.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_CELLS_H
#define TENFOLD_EXTENSIONS_OMNI_CELLS_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/text.h"

enum { CELLS_MOST = 40 }; /* in a row */

typedef enum CellKind { CELL_NULL, CELL_INTEGER, CELL_REAL, CELL_TEXT, CELL_BLOB } CellKind;

typedef struct Cell {
  CellKind kind;
  int64_t integer;
  double real;
  const char *bytes;
  size_t size;
} Cell;

/* ---- the helper's side. All zero but fd is a valid beginning. */

typedef struct CellWriter {
  int fd;
  Text pending; /* not written yet */
  uint64_t rows;
  bool failed;
  int failure; /* errno; 0: no memory */
} CellWriter;

void cell_null(CellWriter *writer);
void cell_integer(CellWriter *writer, int64_t value);
void cell_real(CellWriter *writer, double value);
void cell_text(CellWriter *writer, const char *text); /* NULL gives a null */
void cell_bytes(CellWriter *writer, CellKind kind, const void *bytes, size_t size);
/* Ends a row. False when something could not be written: asked now and then it spares work. */
bool cells_row(CellWriter *writer);
/* Writes what is pending and gives memory back; false, with a fault, when anything failed. */
bool cells_finish(CellWriter *writer, Fault *fault);

/* ---- the host's side. All zero is valid: nothing is open. */

typedef struct CellReader {
  bool is_open;
  int fd; /* its own */
  int width;
  uint64_t left; /* rows */
  uint64_t size; /* of the file */
  uint64_t next; /* where the buffer's end is in the file */
  char *buffer;
  size_t capacity, begin, end;
  Cell cells[CELLS_MOST]; /* of the row, until the next; texts are NUL-terminated */
} CellReader;

/* Takes the descriptor over. */
void cells_open(CellReader *reader, int fd, int width, uint64_t rows);
/* Rows that stand at so many bytes of the file from `at` on. */
void cells_open_part(CellReader *reader, int fd, int width, uint64_t rows, uint64_t at,
                     uint64_t size);
/* *out_more is false behind the last row. */
bool cells_next(CellReader *reader, bool *out_more, Fault *fault);
void cells_close(CellReader *reader);

#endif
