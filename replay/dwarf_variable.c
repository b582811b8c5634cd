/*
** Where a variable is, and what its type is where it is.
*/
#include <string.h>

#include "replay/dwarf_location.h"

enum { MOST_DEPTH = 16 };

bool dwarf_add_piece(Arena *arena, Location *location, const Piece *piece, Fault *fault) {
  if (location->count == location->capacity) {
    size_t capacity = location->capacity ? location->capacity * 4 : 1;
    Piece *pieces = arena_array(arena, capacity, sizeof *pieces);
    if (!pieces) return fault_oom(fault);
    if (location->count) memcpy(pieces, location->pieces, location->count * sizeof *pieces);
    location->pieces = pieces;
    location->capacity = capacity;
  }
  location->pieces[location->count++] = *piece;
  return true;
}

/* DW_AT_const_value: the value itself, as bytes or a number. */
static bool locate_constant(LocationContext *context, const DieAttr *attr, Location *out,
                            ValueState *out_state) {
  Piece piece = {.kind = PIECE_BYTES, .bit_size = UINT64_MAX};
  uint8_t *bytes = arena_alloc(context->arena, 16);
  if (!bytes) return fault_oom(context->fault);
  *out_state = VALUE_KNOWN;
  if (attr->class == ATTR_BLOCK && attr->block.size < 16) {
    /* 10 bytes make a long double of 16. */
    if (attr->block.size) memcpy(bytes, attr->block.bytes, attr->block.size);
    piece.bytes = (Span){bytes, 16};
  } else if (attr->class == ATTR_BLOCK) {
    piece.bytes = attr->block;
  } else if (attr->class == ATTR_TEXT) {
    piece.bytes = (Span){(const uint8_t *)attr->text, strlen(attr->text) + 1};
  } else if (attr->class == ATTR_NUMBER || attr->class == ATTR_SIGNED) {
    memcpy(bytes, &attr->number, 8);
    bool negative = attr->class == ATTR_SIGNED && (int64_t)attr->number < 0;
    memset(bytes + 8, negative ? 0xff : 0, 8);
    piece.bytes = (Span){bytes, 16};
  } else {
    *out_state = VALUE_UNKNOWN;
    return true;
  }
  return dwarf_add_piece(context->arena, out, &piece, context->fault);
}

/* Where the function begins that the frame is in. */
static uint64_t function_entry(const ValueSource *source) {
  size_t i;
  DwarfFunction function;
  if (!dwarf_function_at(source->dwarf, source_lookup(source), &i, NULL) ||
      !dwarf_function_get(source->dwarf, i, &function, NULL))
    return UINT64_MAX;
  return function.entry;
}

/* The unit whose words an inherited attribute is in is that of the entry that has it. */
static DieAttr inherited(const Die *die, uint16_t name, Die *out_owner) {
  *out_owner = *die;
  for (int hops = 0; hops < 8; hops++) {
    DieAttr attr = die_attr(out_owner, name);
    if (attr.class != ATTR_ABSENT) return attr;
    Die next;
    if (!die_follow(out_owner, DW_AT_abstract_origin, &next) &&
        !die_follow(out_owner, DW_AT_specification, &next))
      break;
    *out_owner = next;
  }
  return (DieAttr){.class = ATTR_ABSENT};
}

bool dwarf_locate(LocationContext *context, uint64_t offset, Location *out, ValueState *out_state) {
  const ValueSource *source = context->source;
  Die die, owner;
  Span expression;
  *out_state = VALUE_UNKNOWN;
  if (!die_at(source->dwarf, offset, &die)) return true;
  DieAttr attr = inherited(&die, DW_AT_const_value, &owner);
  if (attr.class != ATTR_ABSENT) return locate_constant(context, &attr, out, out_state);
  attr = inherited(&die, DW_AT_location, &owner);
  *out_state = VALUE_OPTIMIZED_OUT;
  if (attr.class == ATTR_ABSENT) return true;
  uint64_t addr = source_lookup(source);
  uint64_t entry = attr.class == ATTR_BLOCK ? 0 : function_entry(source);
  if (!dwarf_expression_at(owner.unit, &attr, addr, entry, &expression, out_state)) return true;
  return dwarf_evaluate(context, owner.unit, expression, out, out_state);
}

/* ---- numbers that types depend on */

static bool read_number(LocationContext *context, uint64_t die, uint64_t *out,
                        ValueState *out_state) {
  Location location = {0};
  uint64_t size;
  if (context->depth >= MOST_DEPTH) return true;
  context->depth++;
  bool ok = dwarf_locate(context, die, &location, out_state);
  context->depth--;
  if (!ok || *out_state != VALUE_KNOWN) return ok;
  const DwarfType *type = dwarf_variable_type(context->source->dwarf, die, context->fault);
  if (!type) return false;
  *out_state = VALUE_UNKNOWN;
  if (!dwarf_type_size(type, &size, NULL) || !size || size > 8) return true;
  if (!dwarf_read_bits(context->source, &location, 0, size * 8, out, out_state, context->fault))
    return false;
  const DwarfType *plain = dwarf_type_strip(type, context->fault);
  if (plain && plain->kind == TYPE_SIGNED) *out = (uint64_t)bytes_signed(*out, (unsigned)size * 8);
  return plain != NULL;
}

bool dwarf_property(LocationContext *context, const Die *die, uint16_t name, uint64_t *out,
                    ValueState *out_state) {
  DieAttr attr = die_attr(die, name);
  Span expression;
  *out = 0;
  *out_state = VALUE_KNOWN;
  switch (attr.class) {
  case ATTR_NUMBER:
  case ATTR_SIGNED:
    *out = attr.number;
    return true;
  case ATTR_ENTRY:
    *out_state = VALUE_UNKNOWN;
    return read_number(context, attr.number, out, out_state);
  case ATTR_BLOCK:
  case ATTR_SECTION:
  case ATTR_INDEX:
    if (!dwarf_expression_at(die->unit, &attr, source_lookup(context->source), UINT64_MAX,
                             &expression, out_state))
      return true;
    return dwarf_evaluate_number(context, die->unit, expression, out, out_state);
  default:
    *out_state = VALUE_UNKNOWN;
    return true;
  }
}

static bool dynamic_count(LocationContext *context, const DwarfType *array, uint64_t *out,
                          ValueState *out_state) {
  Die die;
  uint64_t lower = 0, upper;
  *out_state = VALUE_UNKNOWN;
  if (!array->bound || !die_at(array->dwarf, array->bound, &die)) return true;
  if (die_attr(&die, DW_AT_count).class != ATTR_ABSENT)
    return dwarf_property(context, &die, DW_AT_count, out, out_state);
  if (die_attr(&die, DW_AT_lower_bound).class != ATTR_ABSENT &&
      (!dwarf_property(context, &die, DW_AT_lower_bound, &lower, out_state) ||
       *out_state != VALUE_KNOWN))
    return *out_state != VALUE_KNOWN;
  if (!dwarf_property(context, &die, DW_AT_upper_bound, &upper, out_state)) return false;
  *out = upper - lower + 1;
  return true;
}

static const DwarfType *copy_type(LocationContext *context, const DwarfType *type,
                                  const DwarfType *target) {
  DwarfType *copy = arena_alloc(context->arena, sizeof *copy);
  if (!copy) {
    fault_oom(context->fault);
    return NULL;
  }
  *copy = *type;
  copy->target = target;
  copy->has_target = true;
  return copy;
}

/* An array whose length, or that of its elements, is known only here. */
static const DwarfType *resolve_array(LocationContext *context, const DwarfType *array,
                                      const DwarfType *target, ValueState *out_state) {
  const DwarfType *copy = copy_type(context, array, target);
  if (!copy || !array->dynamic) return copy;
  uint64_t count = 0;
  if (!dynamic_count(context, array, &count, out_state)) return NULL;
  DwarfType *own = (DwarfType *)(uintptr_t)copy; /* made just now */
  own->dynamic = false;
  own->has_count = *out_state == VALUE_KNOWN;
  own->has_size = false;
  own->count = (int64_t)count < 0 ? 0 : count;
  return copy;
}

const DwarfType *dwarf_resolve(LocationContext *context, const DwarfType *type,
                               ValueState *out_state) {
  bool passes =
      (type->kind >= TYPE_TYPEDEF && type->kind <= TYPE_ATOMIC) || type->kind == TYPE_ARRAY;
  *out_state = VALUE_KNOWN;
  if (!passes || context->depth >= MOST_DEPTH * 4) return type;
  const DwarfType *target = dwarf_type_target(type, context->fault);
  if (!target) return NULL;
  context->depth++;
  const DwarfType *resolved = dwarf_resolve(context, target, out_state);
  context->depth--;
  if (!resolved || *out_state != VALUE_KNOWN) return resolved;
  if (type->kind == TYPE_ARRAY && (type->dynamic || resolved != target))
    return resolve_array(context, type, resolved, out_state);
  return resolved == target ? type : copy_type(context, type, resolved);
}
