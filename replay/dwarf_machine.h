/*
** The machine of location expressions: its stack, and the operations that need nothing else.
*/
#ifndef TENFOLD_REPLAY_DWARF_MACHINE_H
#define TENFOLD_REPLAY_DWARF_MACHINE_H

#include "replay/dwarf_cell.h"
#include "replay/dwarf_location.h"

enum { MACHINE_STACK = 64 };

/* What the operations so far amount to. */
typedef enum Result {
  RESULT_STACK, /* the top of the stack is an address */
  RESULT_VALUE, /* the top of the stack is the value (DW_OP_stack_value) */
  RESULT_PIECE  /* `piece` says it */
} Result;

typedef struct Machine {
  LocationContext *context;
  const DwarfUnit *unit;
  Bytes in;
  Span expression;
  Cell stack[MACHINE_STACK];
  int depth, calls;
  Result result;
  Piece piece;
  Location *out;
  ValueState state; /* why it ended, when it did */
  bool oom;
} Machine;

/* False, for the reason given. All below return false when the machine has stopped. */
bool machine_stop(Machine *machine, ValueState state);
bool machine_push_cell(Machine *machine, Cell cell);
bool machine_push(Machine *machine, uint64_t number);
bool machine_push_reg(Machine *machine, uint64_t number, int64_t offset);
bool machine_pop_cell(Machine *machine, Cell *out);
/* An address or an offset. */
bool machine_pop(Machine *machine, uint64_t *out);
bool machine_read_reg(Machine *machine, uint64_t number, void *out, size_t size);
bool machine_deref(Machine *machine, unsigned size);
/* Arithmetic and comparisons, constants, with types, on the stack, jumps. *out_known: the operation
** is one of these. */
bool machine_compute(Machine *machine, uint8_t op, bool *out_known);

#endif
