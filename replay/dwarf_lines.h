/*
** Line tables, between dwarf_line_table.c (their heads) and dwarf_lines.c (their programs).
*/
#ifndef TENFOLD_REPLAY_DWARF_LINES_H
#define TENFOLD_REPLAY_DWARF_LINES_H

#include "replay/dwarf_inner.h"

struct LineTable {
  Span program;
  const uint8_t *lengths; /* arguments of opcode i + 1 */
  const char **files;     /* paths, by number */
  size_t nfiles;
  uint16_t version;
  uint8_t least, line_range, opcode_base, address_size;
  int8_t line_base;
  bool is_stmt;
  LineTable *next;
};

#endif
