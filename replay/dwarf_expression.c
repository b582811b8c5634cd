/*
** Location expressions: a stack machine whose result says where a value is, or what it is.
*/
#include "replay/dwarf_machine.h"

enum { MOST_CALLS = 16, MOST_PIECES = 4096 };

/* ---- operations that ask others */

/* Ends the evaluation with what another one came to. */
static bool adopt(Machine *machine, bool ok, ValueState state) {
  machine->oom = machine->oom || !ok;
  return (ok && state == VALUE_KNOWN) || machine_stop(machine, state);
}

static bool op_fbreg(Machine *machine) {
  int64_t offset = bytes_sleb(&machine->in);
  uint64_t base;
  ValueState state = VALUE_UNKNOWN;
  bool ok = dwarf_frame_base(machine->context, &base, &state);
  return adopt(machine, ok, state) && machine_push(machine, base + (uint64_t)offset);
}

static bool op_cfa(Machine *machine) {
  const ValueSource *source = machine->context->source;
  uint64_t cfa;
  if (!source->cfa || !source->cfa(source->ctx, &cfa))
    return machine_stop(machine, VALUE_NOT_SAVED);
  return machine_push(machine, cfa);
}

static bool op_tls(Machine *machine) {
  const ValueSource *source = machine->context->source;
  uint64_t offset, addr;
  if (!machine_pop(machine, &offset)) return false;
  if (!source->tls || !source->tls(source->ctx, offset, &addr))
    return machine_stop(machine, VALUE_UNKNOWN);
  return machine_push(machine, addr);
}

/* The block of DW_OP_entry_value: a register, one read as a type, or what one points to. */
static bool entry_register(Bytes *block, uint64_t *out_reg, int *out_deref_size) {
  uint8_t op = bytes_u8(block);
  bool pointed = op == DW_OP_bregx || (op >= DW_OP_breg0 && op <= DW_OP_breg31);
  *out_deref_size = 0;
  if (op >= DW_OP_reg0 && op <= DW_OP_reg31)
    *out_reg = op - DW_OP_reg0;
  else if (op >= DW_OP_breg0 && op <= DW_OP_breg31)
    *out_reg = op - DW_OP_breg0;
  else
    *out_reg = bytes_uleb(block);
  if (op == DW_OP_regval_type || op == DW_OP_GNU_regval_type)
    bytes_uleb(block);
  else if (pointed && bytes_sleb(block) != 0)
    return false;
  else if (!pointed && op != DW_OP_regx && (op < DW_OP_reg0 || op > DW_OP_reg31))
    return false;
  if (pointed) {
    op = bytes_u8(block);
    *out_deref_size = op == DW_OP_deref ? 8 : op == DW_OP_deref_size ? bytes_u8(block) : 0;
    if (!*out_deref_size) return false;
  }
  return !block->bad && block->at == block->end && *out_reg <= UINT16_MAX;
}

static bool op_entry_value(Machine *machine) {
  uint64_t size = bytes_uleb(&machine->in), reg;
  int deref_size;
  Bytes block = {.at = machine->in.at};
  if (!bytes_take(&machine->in, size)) return machine_stop(machine, VALUE_UNKNOWN);
  block.end = machine->in.at;
  if (!entry_register(&block, &reg, &deref_size)) return machine_stop(machine, VALUE_UNKNOWN);
  Cell cell;
  ValueState state = VALUE_UNKNOWN;
  bool ok = dwarf_entry_value(machine->context, (int)reg, 0, deref_size, &cell, &state);
  return adopt(machine, ok, state) && machine_push_cell(machine, cell);
}

static bool op_parameter(Machine *machine) {
  uint64_t die = machine->unit->start + bytes_u32(&machine->in);
  Cell cell;
  ValueState state = VALUE_UNKNOWN;
  bool ok = dwarf_entry_value(machine->context, -1, die, 0, &cell, &state);
  return adopt(machine, ok, state) && machine_push_cell(machine, cell);
}

/* The value of another variable. */
static bool op_variable(Machine *machine) {
  LocationContext *context = machine->context;
  uint64_t die = machine->unit->file->base + bytes_number(&machine->in, machine->unit->offset_size);
  Location location = {0};
  ValueState state = VALUE_UNKNOWN;
  uint64_t value = 0, size;
  if (context->depth >= MOST_CALLS) return machine_stop(machine, VALUE_UNKNOWN);
  context->depth++;
  bool ok = dwarf_locate(context, die, &location, &state);
  context->depth--;
  if (!adopt(machine, ok, state)) return false;
  const DwarfType *type = dwarf_variable_type(context->source->dwarf, die, context->fault);
  if (!type) return adopt(machine, false, VALUE_UNKNOWN);
  if (!dwarf_type_size(type, &size, NULL) || size > 8) return machine_stop(machine, VALUE_UNKNOWN);
  ok = dwarf_read_bits(context->source, &location, 0, size * 8, &value, &state, context->fault);
  return adopt(machine, ok, state) && machine_push(machine, value);
}

static bool run(Machine *machine);

/* Runs the location of another entry on this stack; none does nothing. */
static bool op_call(Machine *machine, uint64_t offset) {
  Die die;
  Span expression;
  ValueState state;
  if (machine->calls >= MOST_CALLS || !die_at(machine->unit->dwarf, offset, &die))
    return machine_stop(machine, VALUE_UNKNOWN);
  DieAttr attr = die_attr_deep(&die, DW_AT_location);
  if (attr.class == ATTR_ABSENT) return true;
  uint64_t addr = source_lookup(machine->context->source);
  if (!dwarf_expression_at(die.unit, &attr, addr, UINT64_MAX, &expression, &state))
    return machine_stop(machine, state);
  const DwarfUnit *unit = machine->unit;
  Bytes in = machine->in;
  Span outer = machine->expression;
  machine->unit = die.unit;
  machine->expression = expression;
  machine->in = bytes_from(expression, 0);
  machine->calls++;
  bool ok = run(machine);
  machine->calls--;
  machine->unit = unit;
  machine->expression = outer;
  machine->in = in;
  return ok;
}

/* ---- results */

static bool set_register(Machine *machine, uint64_t reg) {
  if (reg > UINT16_MAX) return machine_stop(machine, VALUE_UNKNOWN);
  machine->piece = (Piece){.kind = PIECE_REGISTER, .reg = (unsigned)reg};
  machine->result = RESULT_PIECE;
  return true;
}

static bool op_implicit_value(Machine *machine) {
  uint64_t size = bytes_uleb(&machine->in);
  const uint8_t *bytes = bytes_take(&machine->in, size);
  if (!bytes) return false;
  machine->piece = (Piece){.kind = PIECE_BYTES, .bytes = {bytes, size}};
  machine->result = RESULT_PIECE;
  return true;
}

static bool op_implicit_pointer(Machine *machine) {
  const DwarfUnit *unit = machine->unit;
  uint64_t die =
      bytes_number(&machine->in, unit->version < 3 ? unit->address_size : unit->offset_size);
  machine->piece = (Piece){
      .kind = PIECE_POINTER, .die = unit->file->base + die, .offset = bytes_sleb(&machine->in)};
  machine->result = RESULT_PIECE;
  return true;
}

/* Turns what there is into a piece. */
static bool finish_piece(Machine *machine, Piece *out) {
  Cell cell;
  switch (machine->result) {
  case RESULT_STACK:
    if (!machine->depth) {
      *out = (Piece){.kind = PIECE_NONE};
      return true;
    }
    *out = (Piece){.kind = PIECE_MEMORY};
    return machine_pop(machine, &out->addr);
  case RESULT_VALUE: {
    if (!machine_pop_cell(machine, &cell)) return false;
    uint8_t *bytes = arena_alloc(machine->context->arena, 16);
    if (!bytes) {
      machine->oom = true;
      return false;
    }
    *out = (Piece){.kind = PIECE_BYTES, .bytes = {bytes, cell_store(&cell, bytes)}};
    return true;
  }
  default:
    *out = machine->piece;
    return true;
  }
}

static bool op_piece(Machine *machine, uint64_t bits, uint64_t offset) {
  Piece piece;
  if (machine->in.bad || bits > UINT32_MAX || offset > UINT32_MAX ||
      machine->out->count >= MOST_PIECES)
    return machine_stop(machine, VALUE_UNKNOWN);
  if (!finish_piece(machine, &piece)) return false;
  piece.bit_size = bits;
  piece.bit_offset = offset;
  machine->result = RESULT_STACK;
  if (dwarf_add_piece(machine->context->arena, machine->out, &piece, machine->context->fault))
    return true;
  machine->oom = true;
  return false;
}

/* ---- the machine */

static bool op_indexed(Machine *machine, bool is_address) {
  uint64_t value;
  if (!dwarf_address(machine->unit, bytes_uleb(&machine->in), &value))
    return machine_stop(machine, VALUE_UNKNOWN);
  return machine_push(machine, value + (is_address ? machine->context->source->bias : 0));
}

static bool op_object(Machine *machine) {
  return machine->context->has_object ? machine_push(machine, machine->context->object)
                                      : machine_stop(machine, VALUE_UNKNOWN);
}

static bool step_other(Machine *machine, uint8_t op) {
  Bytes *in = &machine->in;
  const DwarfUnit *unit = machine->unit;
  switch (op) {
  case DW_OP_call2:
    return op_call(machine, unit->start + bytes_u16(in));
  case DW_OP_call4:
    return op_call(machine, unit->start + bytes_u32(in));
  case DW_OP_call_ref:
    return op_call(machine, unit->file->base + bytes_number(in, unit->offset_size));
  case DW_OP_addrx:
  case DW_OP_GNU_addr_index:
    return op_indexed(machine, true);
  case DW_OP_constx:
  case DW_OP_GNU_const_index:
    return op_indexed(machine, false);
  case DW_OP_entry_value:
  case DW_OP_GNU_entry_value:
    return op_entry_value(machine);
  case DW_OP_GNU_parameter_ref:
    return op_parameter(machine);
  case DW_OP_GNU_variable_value:
    return op_variable(machine);
  case DW_OP_implicit_pointer:
  case DW_OP_GNU_implicit_pointer:
    return op_implicit_pointer(machine);
  case DW_OP_implicit_value:
    return op_implicit_value(machine);
  case DW_OP_form_tls_address:
  case DW_OP_GNU_push_tls_address:
    return op_tls(machine);
  case DW_OP_push_object_address:
    return op_object(machine);
  case DW_OP_GNU_uninit:
  case DW_OP_nop:
    return true;
  default:
    return machine_stop(machine, VALUE_UNKNOWN);
  }
}

static bool step_place(Machine *machine, uint8_t op) {
  Bytes *in = &machine->in;
  uint64_t reg;
  switch (op) {
  case DW_OP_addr:
    return machine_push(machine, bytes_number(in, machine->unit->address_size) +
                                     machine->context->source->bias);
  case DW_OP_deref:
    return machine_deref(machine, 8);
  case DW_OP_deref_size:
    return machine_deref(machine, bytes_u8(in));
  case DW_OP_fbreg:
    return op_fbreg(machine);
  case DW_OP_bregx:
    reg = bytes_uleb(in);
    return machine_push_reg(machine, reg, bytes_sleb(in));
  case DW_OP_regx:
    return set_register(machine, bytes_uleb(in));
  case DW_OP_call_frame_cfa:
    return op_cfa(machine);
  case DW_OP_piece:
    reg = bytes_uleb(in);
    return op_piece(machine, reg > UINT32_MAX ? UINT64_MAX : reg * 8, 0);
  case DW_OP_bit_piece:
    reg = bytes_uleb(in);
    return op_piece(machine, reg, bytes_uleb(in));
  case DW_OP_stack_value:
    machine->result = RESULT_VALUE;
    return true;
  default:
    return step_other(machine, op);
  }
}

static bool step(Machine *machine) {
  uint8_t op = bytes_u8(&machine->in);
  if (op >= DW_OP_lit0 && op <= DW_OP_lit31) return machine_push(machine, op - DW_OP_lit0);
  if (op >= DW_OP_reg0 && op <= DW_OP_reg31) return set_register(machine, op - DW_OP_reg0);
  if (op >= DW_OP_breg0 && op <= DW_OP_breg31)
    return machine_push_reg(machine, op - DW_OP_breg0, bytes_sleb(&machine->in));
  bool known;
  bool ok = machine_compute(machine, op, &known);
  return known ? ok : step_place(machine, op);
}

static bool run(Machine *machine) {
  while (machine->in.at < machine->in.end) {
    if (--*machine->context->work < 0) return machine_stop(machine, VALUE_UNKNOWN);
    bool ok = step(machine);
    if (machine->in.bad && machine->state == VALUE_KNOWN) machine->state = VALUE_UNKNOWN;
    if (!ok || machine->in.bad) {
      if (machine->state == VALUE_KNOWN) machine->state = VALUE_UNKNOWN;
      return false;
    }
  }
  return true;
}

static Machine make(LocationContext *context, const DwarfUnit *unit, Span expression,
                    Location *out) {
  return (Machine){.context = context,
                   .unit = unit,
                   .expression = expression,
                   .in = bytes_from(expression, 0),
                   .out = out};
}

bool dwarf_evaluate(LocationContext *context, const DwarfUnit *unit, Span expression, Location *out,
                    ValueState *out_state) {
  Machine machine = make(context, unit, expression, out);
  Piece piece;
  *out_state = VALUE_OPTIMIZED_OUT;
  if (!expression.size) return true;
  bool ok = run(&machine);
  if (ok && !out->count && finish_piece(&machine, &piece)) {
    piece.bit_size = UINT64_MAX;
    if (!dwarf_add_piece(context->arena, out, &piece, context->fault)) return false;
  }
  *out_state = machine.state;
  return !machine.oom || fault_oom(context->fault);
}

bool dwarf_evaluate_cell(LocationContext *context, const DwarfUnit *unit, Span expression,
                         Cell *out, ValueState *out_state) {
  Location location = {0};
  Machine machine = make(context, unit, expression, &location);
  *out = cell_word(0);
  if (run(&machine)) {
    /* A register stands for what is in it. */
    if (machine.result != RESULT_PIECE)
      machine_pop_cell(&machine, out);
    else if (machine.piece.kind == PIECE_REGISTER)
      machine_read_reg(&machine, machine.piece.reg, &out->number, sizeof out->number);
    else
      machine_stop(&machine, VALUE_UNKNOWN);
  }
  *out_state = machine.state;
  return !machine.oom || fault_oom(context->fault);
}

bool dwarf_evaluate_number(LocationContext *context, const DwarfUnit *unit, Span expression,
                           uint64_t *out, ValueState *out_state) {
  Cell cell;
  if (!dwarf_evaluate_cell(context, unit, expression, &cell, out_state)) return false;
  if (cell.kind == CELL_FLOAT && *out_state == VALUE_KNOWN) *out_state = VALUE_UNKNOWN;
  *out = cell.number;
  return true;
}
