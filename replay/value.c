/*
** Values: of variables, at addresses; their parts; what they point to.
*/
#include <string.h>

#include "replay/dwarf_location.h"
#include "replay/value_inner.h"

const char *value_state_text(ValueState state) {
  static const char *const texts[] = {
      [VALUE_KNOWN] = "known",
      [VALUE_OPTIMIZED_OUT] = "optimized out",
      [VALUE_UNREADABLE] = "memory cannot be read",
      [VALUE_NOT_SAVED] = "register not saved",
      [VALUE_NO_ENTRY] = "value at entry not known",
      [VALUE_SYNTHETIC] = "synthetic pointer",
      [VALUE_INCOMPLETE] = "incomplete type",
      [VALUE_NO_ADDRESS] = "it has no address",
      [VALUE_DIVISION] = "division by 0",
      [VALUE_NOT_STORED] = "not stored yet",
      [VALUE_UNKNOWN] = "not understood",
  };
  return texts[state];
}

/* ---- making */

bool value_variable(const ValueSource *source, uint64_t die, Arena *arena, Value *out,
                    Fault *fault) {
  int work = LOCATION_WORK;
  LocationContext context = {.source = source, .arena = arena, .fault = fault, .work = &work};
  Location *location = arena_alloc(arena, sizeof *location);
  if (!location) return fault_oom(fault);
  *location = (Location){0};
  *out = (Value){.source = source, .location = location};
  const DwarfType *type = dwarf_variable_type(source->dwarf, die, fault);
  if (!type || !(out->type = dwarf_resolve(&context, type, &out->state))) return false;
  /* An array whose length is not known may still be somewhere. */
  ValueState state;
  if (!dwarf_locate(&context, die, location, &state)) return false;
  if (state != VALUE_KNOWN || out->state == VALUE_KNOWN) out->state = state;
  return value_entered(source, die, arena, out, fault);
}

static bool with_piece(const ValueSource *source, const DwarfType *type, const Piece *piece,
                       Arena *arena, Value *out, Fault *fault) {
  Location *location = arena_alloc(arena, sizeof *location);
  if (!location) return fault_oom(fault);
  *location = (Location){0};
  *out = (Value){.source = source, .type = type, .location = location};
  return dwarf_add_piece(arena, location, piece, fault);
}

bool value_at(const ValueSource *source, const DwarfType *type, uint64_t addr, Arena *arena,
              Value *out, Fault *fault) {
  Piece piece = {.kind = PIECE_MEMORY, .bit_size = UINT64_MAX, .addr = addr};
  return with_piece(source, type, &piece, arena, out, fault);
}

bool value_of_bytes(const ValueSource *source, const DwarfType *type, const void *bytes,
                    size_t size, Arena *arena, Value *out, Fault *fault) {
  uint8_t *copy = arena_alloc(arena, size);
  if (!copy) return fault_oom(fault);
  if (size) memcpy(copy, bytes, size);
  Piece piece = {.kind = PIECE_BYTES, .bit_size = UINT64_MAX, .bytes = {copy, size}};
  return with_piece(source, type, &piece, arena, out, fault);
}

/* ---- reading */

bool value_address(const Value *value, uint64_t *out) {
  const Location *location = value->location;
  if (value->state != VALUE_KNOWN || location->count != 1) return false;
  const Piece *piece = &location->pieces[0];
  if (piece->kind != PIECE_MEMORY || piece->bit_offset || value->bit_size || value->bit_offset % 8)
    return false;
  *out = piece->addr + value->bit_offset / 8;
  return true;
}

bool value_is_signed(const DwarfType *type, bool *out, Fault *fault) {
  const DwarfType *plain = dwarf_type_strip(type, fault);
  const DwarfEnumerator *enumerators;
  size_t count;
  bool flags;
  if (!plain || (plain->kind == TYPE_ENUM &&
                 !dwarf_type_enumerators(plain, &enumerators, &count, &flags, fault)))
    return false;
  *out = plain->kind == TYPE_ENUM ? plain->is_signed
                                  : plain->kind == TYPE_SIGNED || plain->kind == TYPE_SIGNED_CHAR;
  return true;
}

static bool bit_field(const Value *value, void *out, size_t size, ValueState *out_state,
                      Fault *fault) {
  uint8_t bytes[128] = {0};
  if (!dwarf_read_bits(value->source, value->location, value->bit_offset, value->bit_size, bytes,
                       out_state, fault))
    return false;
  unsigned last = value->bit_size - 1;
  bool is_signed;
  if (!value_is_signed(value->type, &is_signed, fault)) return false;
  if (is_signed && (bytes[last / 8] >> last % 8 & 1))
    for (unsigned bit = value->bit_size; bit < sizeof bytes * 8; bit++)
      bytes[bit / 8] |= (uint8_t)(1u << bit % 8);
  memcpy(out, bytes, size < sizeof bytes ? size : sizeof bytes);
  return true;
}

bool value_bytes(const Value *value, void *out, size_t size, ValueState *out_state, Fault *fault) {
  memset(out, 0, size);
  *out_state = value->state;
  if (value->state != VALUE_KNOWN) return true;
  if (value->bit_size) return bit_field(value, out, size, out_state, fault);
  if (size > UINT32_MAX) return fault_set(fault, FAULT_LIMIT, "a value of %zu bytes", size);
  return dwarf_read_bits(value->source, value->location, value->bit_offset, size * 8, out,
                         out_state, fault);
}

/* ---- parts */

bool value_member(const Value *value, const DwarfMember *member, Value *out, Fault *fault) {
  *out = *value;
  out->type = member->type;
  out->bit_offset += member->bit_offset;
  out->bit_size = member->bit_size;
  if (out->bit_offset > UINT64_MAX / 4)
    return fault_set(fault, FAULT_CORRUPT, "a member outside of the memory");
  return true;
}

bool value_element(const Value *array, uint64_t index, Value *out, Fault *fault) {
  const DwarfType *plain = dwarf_type_strip(array->type, fault);
  if (!plain) return false;
  uint64_t size;
  const DwarfType *type = dwarf_type_target(plain, fault);
  if (!type || !dwarf_type_size(type, &size, fault)) return false;
  *out = *array;
  out->type = type;
  if (size && index > UINT64_MAX / 64 / size)
    return fault_set(fault, FAULT_INVALID, "element %llu is outside of the memory",
                     (unsigned long long)index);
  out->bit_offset += index * size * 8;
  return true;
}

/* The only piece, when it is a pointer without an address. */
static const Piece *synthetic(const Value *pointer) {
  const Location *location = pointer->location;
  uint64_t at = 0;
  for (size_t i = 0; i < location->count; i++) {
    const Piece *piece = &location->pieces[i];
    if (piece->kind == PIECE_POINTER && at == pointer->bit_offset) return piece;
    at += piece->bit_size > UINT32_MAX ? 0 : piece->bit_size;
  }
  return NULL;
}

static bool follow_synthetic(const Value *pointer, const DwarfType *type, const Piece *piece,
                             Arena *arena, Value *out, Fault *fault) {
  if (!value_variable(pointer->source, piece->die, arena, out, fault)) return false;
  out->type = type;
  out->bit_offset += (uint64_t)piece->offset * 8;
  if (out->bit_offset > UINT32_MAX && out->state == VALUE_KNOWN) out->state = VALUE_UNKNOWN;
  return true;
}

bool value_synthetic_plus(const Value *pointer, int64_t bytes, Arena *arena, Value *out,
                          Fault *fault) {
  const Piece *piece = synthetic(pointer);
  if (!piece) {
    *out = *pointer;
    out->state = VALUE_UNKNOWN;
    return true;
  }
  Piece moved = *piece;
  moved.offset = (int64_t)((uint64_t)moved.offset + (uint64_t)bytes);
  moved.bit_size = UINT64_MAX;
  return with_piece(pointer->source, pointer->type, &moved, arena, out, fault);
}

bool value_target(const Value *pointer, Arena *arena, Value *out, Fault *fault) {
  const DwarfType *plain = dwarf_type_strip(pointer->type, fault);
  if (!plain) return false;
  if (plain->kind != TYPE_POINTER && plain->kind != TYPE_REFERENCE)
    return fault_set(fault, FAULT_INVALID, "it is no pointer");
  const DwarfType *target = dwarf_type_target(plain, fault);
  uint64_t addr = 0;
  ValueState state, resolved;
  if (!target || !value_bytes(pointer, &addr, plain->size < 8 ? plain->size : 8, &state, fault))
    return false;
  const Piece *piece = state == VALUE_SYNTHETIC ? synthetic(pointer) : NULL;
  if (piece) return follow_synthetic(pointer, target, piece, arena, out, fault);
  int work = LOCATION_WORK;
  LocationContext context = {
      .source = pointer->source, .arena = arena, .fault = fault, .work = &work};
  if (!(target = dwarf_resolve(&context, target, &resolved)) ||
      !value_at(pointer->source, target, addr, arena, out, fault))
    return false;
  out->state = state;
  return true;
}

/* ---- where */

static void add_register(unsigned number, Text *out) {
  static const char *const names[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
                                      "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};
  if (number < countof(names))
    text_add(out, names[number]);
  else if (number <= 32)
    text_addf(out, "xmm%u", number - 17);
  else if (number <= 40)
    text_addf(out, "st%u", number - 33);
  else
    text_addf(out, "register %u", number);
}

bool value_place(const Value *value, Text *out, Fault *fault) {
  const Location *location = value->location;
  if (value->state != VALUE_KNOWN) text_add(out, value_state_text(value->state));
  for (size_t i = 0; i < location->count && i < 16; i++) {
    const Piece *piece = &location->pieces[i];
    if (i) text_add(out, ", ");
    switch (piece->kind) {
    case PIECE_MEMORY:
      text_addf(out, "memory 0x%llx",
                (unsigned long long)(piece->addr + (i ? 0 : value->bit_offset / 8)));
      break;
    case PIECE_REGISTER:
      add_register(piece->reg, out);
      break;
    case PIECE_BYTES:
      text_add(out, "computed");
      break;
    default:
      text_add(out, value_state_text(piece->kind == PIECE_POINTER ? VALUE_SYNTHETIC
                                                                  : VALUE_OPTIMIZED_OUT));
    }
  }
  return !out->oom || fault_oom(fault);
}
