/*
** See dwarf_machine.h.
*/
#include "replay/dwarf_machine.h"

bool machine_stop(Machine *machine, ValueState state) {
  machine->state = state;
  return false;
}

bool machine_push_cell(Machine *machine, Cell cell) {
  if (machine->depth >= MACHINE_STACK) return machine_stop(machine, VALUE_UNKNOWN);
  machine->stack[machine->depth++] = cell;
  return true;
}

bool machine_push(Machine *machine, uint64_t number) {
  return machine_push_cell(machine, cell_word(number));
}

bool machine_pop_cell(Machine *machine, Cell *out) {
  if (machine->depth <= 0) return machine_stop(machine, VALUE_UNKNOWN);
  *out = machine->stack[--machine->depth];
  return true;
}

/* An address or an offset. */
bool machine_pop(Machine *machine, uint64_t *out) {
  Cell cell;
  if (!machine_pop_cell(machine, &cell)) return false;
  if (cell.kind == CELL_FLOAT) return machine_stop(machine, VALUE_UNKNOWN);
  *out = cell.number;
  return true;
}

bool machine_read_reg(Machine *machine, uint64_t number, void *out, size_t size) {
  const ValueSource *source = machine->context->source;
  if (number > UINT16_MAX || !source->reg || !source->reg(source->ctx, (unsigned)number, out, size))
    return machine_stop(machine, VALUE_NOT_SAVED);
  return true;
}

bool machine_push_reg(Machine *machine, uint64_t number, int64_t offset) {
  uint64_t value = 0;
  return machine_read_reg(machine, number, &value, sizeof value) &&
         machine_push(machine, value + (uint64_t)offset);
}

static bool read_memory(Machine *machine, uint64_t addr, void *out, size_t size) {
  const ValueSource *source = machine->context->source;
  return source->read(source->ctx, addr, out, size) || machine_stop(machine, VALUE_UNREADABLE);
}

bool machine_deref(Machine *machine, unsigned size) {
  uint64_t addr, value = 0;
  if (size > 8 || !machine_pop(machine, &addr) || !read_memory(machine, addr, &value, size))
    return machine->state == VALUE_KNOWN ? machine_stop(machine, VALUE_UNKNOWN) : false;
  return machine_push(machine, value);
}

/* ---- operations with types */

static bool typed(Machine *machine, uint64_t type, Cell *out) {
  return cell_type(machine->unit, type, out) || machine_stop(machine, VALUE_UNKNOWN);
}

static bool op_const_type(Machine *machine) {
  uint64_t type = bytes_uleb(&machine->in);
  unsigned size = bytes_u8(&machine->in);
  const uint8_t *bytes = bytes_take(&machine->in, size);
  Cell cell;
  if (!bytes || !typed(machine, type, &cell)) return false;
  return cell_load(&cell, bytes, size) ? machine_push_cell(machine, cell)
                                       : machine_stop(machine, VALUE_UNKNOWN);
}

static bool op_regval_type(Machine *machine) {
  uint64_t reg = bytes_uleb(&machine->in), type = bytes_uleb(&machine->in);
  uint8_t bytes[16] = {0};
  Cell cell;
  return typed(machine, type, &cell) && machine_read_reg(machine, reg, bytes, cell.size) &&
         cell_load(&cell, bytes, sizeof bytes) && machine_push_cell(machine, cell);
}

static bool op_deref_type(Machine *machine) {
  unsigned size = bytes_u8(&machine->in);
  uint64_t type = bytes_uleb(&machine->in), addr;
  uint8_t bytes[16] = {0};
  Cell cell;
  if (!typed(machine, type, &cell) || !machine_pop(machine, &addr)) return false;
  if (size > sizeof bytes || size < cell.size) return machine_stop(machine, VALUE_UNKNOWN);
  return read_memory(machine, addr, bytes, size) && cell_load(&cell, bytes, size) &&
         machine_push_cell(machine, cell);
}

static bool op_convert(Machine *machine, bool reinterpret) {
  uint64_t type = bytes_uleb(&machine->in);
  Cell from, to;
  if (!machine_pop_cell(machine, &from) || !typed(machine, type, &to)) return false;
  return cell_convert(&from, &to, reinterpret) ? machine_push_cell(machine, to)
                                               : machine_stop(machine, VALUE_UNKNOWN);
}

/* ---- operations on the stack */

static bool op_pick(Machine *machine, unsigned index) {
  if ((int)index >= machine->depth) return machine_stop(machine, VALUE_UNKNOWN);
  return machine_push_cell(machine, machine->stack[machine->depth - 1 - (int)index]);
}

static bool op_swap(Machine *machine) {
  Cell a, b;
  return machine_pop_cell(machine, &a) && machine_pop_cell(machine, &b) &&
         machine_push_cell(machine, a) && machine_push_cell(machine, b);
}

static bool op_rot(Machine *machine) {
  Cell a, b, c;
  return machine_pop_cell(machine, &a) && machine_pop_cell(machine, &b) &&
         machine_pop_cell(machine, &c) && machine_push_cell(machine, a) &&
         machine_push_cell(machine, c) && machine_push_cell(machine, b);
}

static bool op_jump(Machine *machine, bool conditional) {
  int64_t distance = bytes_signed(bytes_u16(&machine->in), 16);
  uint64_t condition = 1;
  if (machine->in.bad || (conditional && !machine_pop(machine, &condition))) return false;
  if (!condition) return true;
  int64_t at = machine->in.at - machine->expression.bytes + distance;
  if (at < 0 || (uint64_t)at > machine->expression.size)
    return machine_stop(machine, VALUE_UNKNOWN);
  machine->in.at = machine->expression.bytes + at;
  return true;
}

static bool op_arithmetic(Machine *machine, uint8_t op) {
  Cell a, b, out;
  if (op == DW_OP_abs || op == DW_OP_neg || op == DW_OP_not) {
    if (!machine_pop_cell(machine, &a)) return false;
    return cell_unary(op, &a) ? machine_push_cell(machine, a)
                              : machine_stop(machine, VALUE_UNKNOWN);
  }
  if (!machine_pop_cell(machine, &b) || !machine_pop_cell(machine, &a)) return false;
  return cell_binary(op, &a, &b, &out) ? machine_push_cell(machine, out)
                                       : machine_stop(machine, VALUE_UNKNOWN);
}

static bool op_plus_uconst(Machine *machine) {
  Cell a, b, out;
  uint64_t number = bytes_uleb(&machine->in);
  if (!machine_pop_cell(machine, &a)) return false;
  b = a;
  b.number = number;
  b.real = (long double)number;
  return cell_binary(DW_OP_plus, &a, &b, &out) ? machine_push_cell(machine, out)
                                               : machine_stop(machine, VALUE_UNKNOWN);
}

static bool op_constant(Machine *machine, uint8_t op) {
  Bytes *in = &machine->in;
  static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 8, 8};
  if (op == DW_OP_constu) return machine_push(machine, bytes_uleb(in));
  if (op == DW_OP_consts) return machine_push(machine, (uint64_t)bytes_sleb(in));
  unsigned size = sizes[op - DW_OP_const1u];
  uint64_t number = bytes_number(in, size);
  bool is_signed = (op - DW_OP_const1u) & 1;
  return machine_push(machine, is_signed ? (uint64_t)bytes_signed(number, size * 8) : number);
}

static bool compute_typed(Machine *machine, uint8_t op, bool *out_known) {
  switch (op) {
  case DW_OP_const_type:
  case DW_OP_GNU_const_type:
    return op_const_type(machine);
  case DW_OP_regval_type:
  case DW_OP_GNU_regval_type:
    return op_regval_type(machine);
  case DW_OP_deref_type:
  case DW_OP_GNU_deref_type:
    return op_deref_type(machine);
  case DW_OP_convert:
  case DW_OP_GNU_convert:
    return op_convert(machine, false);
  case DW_OP_reinterpret:
  case DW_OP_GNU_reinterpret:
    return op_convert(machine, true);
  default:
    *out_known = false;
    return true;
  }
}

bool machine_compute(Machine *machine, uint8_t op, bool *out_known) {
  Cell cell;
  *out_known = true;
  if (op >= DW_OP_const1u && op <= DW_OP_consts) return op_constant(machine, op);
  if ((op >= DW_OP_abs && op <= DW_OP_xor && op != DW_OP_plus_uconst) ||
      (op >= DW_OP_eq && op <= DW_OP_ne))
    return op_arithmetic(machine, op);
  switch (op) {
  case DW_OP_dup:
    return op_pick(machine, 0);
  case DW_OP_drop:
    return machine_pop_cell(machine, &cell);
  case DW_OP_over:
    return op_pick(machine, 1);
  case DW_OP_pick:
    return op_pick(machine, bytes_u8(&machine->in));
  case DW_OP_swap:
    return op_swap(machine);
  case DW_OP_rot:
    return op_rot(machine);
  case DW_OP_plus_uconst:
    return op_plus_uconst(machine);
  case DW_OP_skip:
    return op_jump(machine, false);
  case DW_OP_bra:
    return op_jump(machine, true);
  default:
    return compute_typed(machine, op, out_known);
  }
}
