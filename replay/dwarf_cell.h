/*
** The numbers that location expressions compute with: of the machine's word, or of a type.
*/
#ifndef TENFOLD_REPLAY_DWARF_CELL_H
#define TENFOLD_REPLAY_DWARF_CELL_H

#include "replay/dwarf_inner.h"

typedef enum CellKind { CELL_WORD, CELL_SIGNED, CELL_UNSIGNED, CELL_FLOAT } CellKind;

typedef struct Cell {
  CellKind kind;
  uint8_t size; /* bytes: 1, 2, 4, 8; of floats 4, 8, 16 */
  uint64_t number;
  long double real;
} Cell;

static inline Cell cell_word(uint64_t number) {
  return (Cell){.kind = CELL_WORD, .size = 8, .number = number};
}

/* An empty cell of the base type at an entry (0: a word). False: of a kind that is not known. */
bool cell_type(const DwarfUnit *unit, uint64_t offset, Cell *out);
/* From `size` bytes, and back (16 bytes of room; gives how many). */
bool cell_load(Cell *cell, const uint8_t *bytes, size_t size);
size_t cell_store(const Cell *cell, uint8_t out[16]);
/* `cell` as one of the type of `as`: the same number, or (reinterpret) the same bytes. */
bool cell_convert(const Cell *cell, Cell *as, bool reinterpret);
/* DW_OP_plus and its like: operators of two cells of one type, of one cell. False: none such. */
bool cell_binary(uint8_t op, const Cell *a, const Cell *b, Cell *out);
bool cell_unary(uint8_t op, Cell *cell);

#endif
