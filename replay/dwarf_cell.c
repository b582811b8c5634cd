/*
** Arithmetic of location expressions.
*/
#include "replay/dwarf_cell.h"

/* Cuts a number to its size, and widens it again by its sign. */
static void normalize(Cell *cell) {
  if (cell->kind == CELL_FLOAT || cell->size >= 8) return;
  cell->number &= (UINT64_C(1) << cell->size * 8) - 1;
  if (cell->kind == CELL_SIGNED)
    cell->number = (uint64_t)bytes_signed(cell->number, cell->size * 8u);
}

bool cell_type(const DwarfUnit *unit, uint64_t offset, Cell *out) {
  *out = cell_word(0);
  if (!offset) return true;
  Die die;
  if (!die_at(unit->dwarf, unit->start + offset, &die) || die_tag(&die) != DW_TAG_base_type)
    return false;
  uint64_t size = die_attr(&die, DW_AT_byte_size).number;
  switch (die_attr(&die, DW_AT_encoding).number) {
  case DW_ATE_signed:
  case DW_ATE_signed_char:
    out->kind = CELL_SIGNED;
    break;
  case DW_ATE_float:
    out->kind = CELL_FLOAT;
    out->size = (uint8_t)size;
    return size == 4 || size == 8 || size == 16;
  default:
    out->kind = CELL_UNSIGNED;
  }
  out->size = (uint8_t)size;
  return size == 1 || size == 2 || size == 4 || size == 8;
}

bool cell_load(Cell *cell, const uint8_t *bytes, size_t size) {
  if (size < cell->size) return false;
  if (cell->kind != CELL_FLOAT) {
    cell->number = 0;
    memcpy(&cell->number, bytes, cell->size);
    normalize(cell);
    return true;
  }
  float single;
  double twice;
  memcpy(&single, bytes, sizeof single);
  if (cell->size == 4) {
    cell->real = single;
  } else if (cell->size == 8) {
    memcpy(&twice, bytes, sizeof twice);
    cell->real = twice;
  } else {
    memcpy(&cell->real, bytes, 10);
  }
  return true;
}

size_t cell_store(const Cell *cell, uint8_t out[16]) {
  memset(out, 0, 16);
  float single = (float)cell->real;
  double twice = (double)cell->real;
  if (cell->kind != CELL_FLOAT)
    memcpy(out, &cell->number, 8);
  else if (cell->size == 4)
    memcpy(out, &single, sizeof single);
  else if (cell->size == 8)
    memcpy(out, &twice, sizeof twice);
  else
    memcpy(out, &cell->real, 10);
  return cell->size;
}

/* To the precision of its size. */
static void round_real(Cell *cell) {
  if (cell->size == 4) cell->real = (float)cell->real;
  if (cell->size == 8) cell->real = (double)cell->real;
}

static uint64_t to_integer(long double real) {
  if (real >= 0x1p63L) return real < 0x1p64L ? (uint64_t)real : UINT64_MAX;
  return real > -0x1p63L ? (uint64_t)(int64_t)real : UINT64_C(1) << 63;
}

bool cell_convert(const Cell *cell, Cell *as, bool reinterpret) {
  if (reinterpret) {
    uint8_t bytes[16];
    return cell_store(cell, bytes) == as->size && cell_load(as, bytes, as->size);
  }
  bool from_real = cell->kind == CELL_FLOAT;
  if (as->kind != CELL_FLOAT) {
    as->number = from_real ? to_integer(cell->real) : cell->number;
    normalize(as);
    return true;
  }
  as->real = from_real                     ? cell->real
             : cell->kind == CELL_UNSIGNED ? (long double)cell->number
                                           : (long double)(int64_t)cell->number;
  round_real(as);
  return true;
}

static bool real_binary(uint8_t op, const Cell *a, const Cell *b, Cell *out) {
  /* Each precision by its own arithmetic, so that nothing is rounded twice. */
  bool twice = a->size == 8;
  double x = (double)a->real, y = (double)b->real;
  switch (op) {
  case DW_OP_plus:
    out->real = twice ? (long double)(x + y) : a->real + b->real;
    break;
  case DW_OP_minus:
    out->real = twice ? (long double)(x - y) : a->real - b->real;
    break;
  case DW_OP_mul:
    out->real = twice ? (long double)(x * y) : a->real * b->real;
    break;
  case DW_OP_div:
    out->real = twice ? (long double)(x / y) : a->real / b->real;
    break;
  default:
    return false;
  }
  round_real(out);
  return true;
}

static bool compare(uint8_t op, const Cell *a, const Cell *b, Cell *out) {
  int order;
  if (a->kind == CELL_FLOAT)
    order = (a->real > b->real) - (a->real < b->real);
  else if (a->kind == CELL_UNSIGNED)
    order = (a->number > b->number) - (a->number < b->number);
  else
    order = ((int64_t)a->number > (int64_t)b->number) - ((int64_t)a->number < (int64_t)b->number);
  bool is;
  switch (op) {
  case DW_OP_eq:
    is = order == 0;
    break;
  case DW_OP_ne:
    is = order != 0;
    break;
  case DW_OP_lt:
    is = order < 0;
    break;
  case DW_OP_le:
    is = order <= 0;
    break;
  case DW_OP_gt:
    is = order > 0;
    break;
  case DW_OP_ge:
    is = order >= 0;
    break;
  default:
    return false;
  }
  *out = cell_word(is);
  return true;
}

/* Words divide as signed numbers, and leave a remainder as unsigned ones. */
static bool divide(uint8_t op, const Cell *a, const Cell *b, Cell *out) {
  if (!b->number) return false;
  bool is_signed = a->kind == CELL_SIGNED || (a->kind == CELL_WORD && op == DW_OP_div);
  int64_t x = (int64_t)a->number, y = (int64_t)b->number;
  if (!is_signed)
    out->number = op == DW_OP_div ? a->number / b->number : a->number % b->number;
  else if (y == -1)
    out->number = op == DW_OP_div ? 0 - a->number : 0;
  else
    out->number = (uint64_t)(op == DW_OP_div ? x / y : x % y);
  return true;
}

static bool shift(uint8_t op, const Cell *a, const Cell *b, Cell *out) {
  unsigned bits = a->size * 8u;
  bool whole = b->number >= bits;
  uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
  int64_t with_sign = bytes_signed(a->number & mask, bits);
  if (op == DW_OP_shl)
    out->number = whole ? 0 : a->number << b->number;
  else if (op == DW_OP_shr)
    out->number = whole ? 0 : (a->number & mask) >> b->number;
  else
    out->number = (uint64_t)(with_sign >> (whole ? bits - 1 : b->number));
  return true;
}

bool cell_binary(uint8_t op, const Cell *a, const Cell *b, Cell *out) {
  bool shifts = op == DW_OP_shl || op == DW_OP_shr || op == DW_OP_shra;
  if (!shifts && (a->kind != b->kind || a->size != b->size)) return false;
  *out = *a;
  if (compare(op, a, b, out)) return true;
  if (a->kind == CELL_FLOAT) return real_binary(op, a, b, out);
  bool ok = true;
  switch (op) {
  case DW_OP_and:
    out->number = a->number & b->number;
    break;
  case DW_OP_or:
    out->number = a->number | b->number;
    break;
  case DW_OP_xor:
    out->number = a->number ^ b->number;
    break;
  case DW_OP_plus:
    out->number = a->number + b->number;
    break;
  case DW_OP_minus:
    out->number = a->number - b->number;
    break;
  case DW_OP_mul:
    out->number = a->number * b->number;
    break;
  case DW_OP_div:
  case DW_OP_mod:
    ok = divide(op, a, b, out);
    break;
  case DW_OP_shl:
  case DW_OP_shr:
  case DW_OP_shra:
    ok = b->kind != CELL_FLOAT && shift(op, a, b, out);
    break;
  default:
    return false;
  }
  normalize(out);
  return ok;
}

bool cell_unary(uint8_t op, Cell *cell) {
  bool negative = cell->kind == CELL_FLOAT ? cell->real < 0 : (int64_t)cell->number < 0;
  if (op == DW_OP_not) {
    if (cell->kind == CELL_FLOAT) return false;
    cell->number = ~cell->number;
  } else if (op == DW_OP_neg || (op == DW_OP_abs && negative && cell->kind != CELL_UNSIGNED)) {
    cell->number = 0 - cell->number;
    cell->real = -cell->real;
  } else if (op != DW_OP_abs) {
    return false;
  }
  normalize(cell);
  return true;
}
