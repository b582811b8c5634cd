/*
** Values as SQLite has them.
*/
#include <string.h>

#include "replay/value_inner.h"

static bool is_utf8(const char *bytes, size_t size) {
  for (size_t i = 0; i < size;) {
    size_t length = text_utf8_length(bytes + i, size - i);
    if (!length || !bytes[i]) return false;
    i += length;
  }
  return true;
}

/* TEXT, or BLOB when it is no text; taken over into the arena. */
static bool set_bytes(Text *text, Arena *arena, Scalar *out, Fault *fault) {
  char *copy = text->oom ? NULL : arena_strndup(arena, text_get(text), text->length);
  if (!copy) return fault_oom(fault);
  *out = (Scalar){.kind = is_utf8(copy, text->length) ? SCALAR_TEXT : SCALAR_BLOB,
                  .bytes = copy,
                  .size = text->length};
  return true;
}

static bool set_text(Text *text, Arena *arena, Scalar *out, Fault *fault) {
  bool ok = set_bytes(text, arena, out, fault);
  text_finish(text);
  return ok;
}

static bool unavailable(ValueState state, Scalar *out) {
  *out = (Scalar){.kind = SCALAR_NULL, .state = state};
  return true;
}

static bool set_number(const Number *number, Arena *arena, Scalar *out, Fault *fault) {
  Text text = {0};
  if (!number->exact) {
    text_add(&text, number->digits);
    return set_text(&text, arena, out, fault);
  }
  if (number->kind != NUMBER_REAL) {
    *out = (Scalar){.kind = SCALAR_INTEGER, .integer = (int64_t)number->low};
  } else if (number->real != number->real) {
    /* SQLite would make NULL of it. */
    text_add(&text, "nan");
    return set_text(&text, arena, out, fault);
  } else {
    *out = (Scalar){.kind = SCALAR_REAL, .real = number->real};
  }
  return true;
}

static bool set_enum(const DwarfType *plain, const Number *number, Arena *arena, Scalar *out,
                     Fault *fault) {
  Text text = {0};
  bool named;
  if (value_add_enumerator(plain, number, &text, &named, fault)) {
    if (named) return set_text(&text, arena, out, fault);
    text_finish(&text);
    return set_number(number, arena, out, fault);
  }
  text_finish(&text);
  return false;
}

static bool set_pointer(const Value *value, const DwarfType *plain, const ValueStyle *style,
                        uint64_t addr, Arena *arena, Scalar *out, Fault *fault) {
  const DwarfType *target = dwarf_type_target(plain, fault);
  TextWidth width;
  bool whole;
  ValueState state;
  Text text = {0};
  if (!target || !value_text_width(target, &width, fault)) return false;
  *out = (Scalar){.kind = addr || width == WIDTH_NONE ? SCALAR_INTEGER : SCALAR_NULL,
                  .integer = (int64_t)addr};
  if (!addr || width == WIDTH_NONE) return true;
  if (!value_text_at(value->source, addr, width, style_text(style), &text, &whole, &state, fault)) {
    text_finish(&text);
    return false;
  }
  if (state == VALUE_KNOWN) return set_text(&text, arena, out, fault);
  text_finish(&text);
  return unavailable(state, out);
}

static bool from_number(const Value *value, const DwarfType *plain, const ValueStyle *style,
                        Arena *arena, Scalar *out, Fault *fault) {
  uint8_t bytes[MOST_NUMBER];
  uint64_t size;
  ValueState state;
  bool is_signed;
  Number number;
  if (!dwarf_type_size(plain, &size, fault) || !value_is_signed(plain, &is_signed, fault))
    return false;
  if (size > sizeof bytes) return unavailable(VALUE_UNKNOWN, out);
  if (!value_bytes(value, bytes, size, &state, fault)) return false;
  if (state != VALUE_KNOWN) return unavailable(state, out);
  value_number(plain, is_signed, bytes, size, &number);
  if (plain->kind == TYPE_POINTER)
    return set_pointer(value, plain, style, number.low, arena, out, fault);
  if (plain->kind == TYPE_ENUM) return set_enum(plain, &number, arena, out, fault);
  if (number.kind != NUMBER_OTHER) return set_number(&number, arena, out, fault);
  char *copy = arena_strndup(arena, (const char *)bytes, size);
  if (!copy) return fault_oom(fault);
  *out = (Scalar){.kind = SCALAR_BLOB, .bytes = copy, .size = size};
  return true;
}

/* An array of characters: its text, without the NULs at the end. *out_done false: it is none. */
static bool from_chars(const Value *value, const DwarfType *plain, const ValueStyle *style,
                       Arena *arena, Scalar *out, bool *out_done, Fault *fault) {
  const DwarfType *target = dwarf_type_target(plain, fault);
  TextWidth width;
  ValueState state;
  *out_done = false;
  if (!target || !value_text_width(target, &width, fault)) return false;
  if (width == WIDTH_NONE || plain->is_vector) return true;
  uint64_t units = plain->has_count ? plain->count : 0;
  if (units > style_text(style)) units = style_text(style);
  uint8_t *bytes = arena_alloc(arena, units * width);
  if (!bytes) return fault_oom(fault);
  if (!value_bytes(value, bytes, units * width, &state, fault)) return false;
  *out_done = true;
  if (state != VALUE_KNOWN) return unavailable(state, out);
  static const uint8_t nul[4] = {0};
  while (units && !memcmp(bytes + (units - 1) * width, nul, width)) units--;
  Text text = {0};
  *out_done = value_add_units(bytes, units, width, &text);
  if (*out_done) return set_text(&text, arena, out, fault);
  text_finish(&text);
  return true;
}

bool value_scalar(const Value *value, const ValueStyle *style, Arena *arena, Scalar *out,
                  Fault *fault) {
  const DwarfType *plain = dwarf_type_strip(value->type, fault);
  bool done = false;
  Value target;
  if (!plain) return false;
  if (value->state != VALUE_KNOWN) return unavailable(value->state, out);
  switch (plain->kind) {
  case TYPE_VOID:
  case TYPE_FUNCTION:
    return unavailable(VALUE_KNOWN, out);
  case TYPE_REFERENCE:
    return value_target(value, arena, &target, fault) &&
           value_scalar(&target, style, arena, out, fault);
  case TYPE_ARRAY:
    if (!from_chars(value, plain, style, arena, out, &done, fault)) return false;
    break;
  case TYPE_STRUCT:
  case TYPE_UNION:
  case TYPE_COMPLEX:
    break;
  default:
    return from_number(value, plain, style, arena, out, fault);
  }
  if (done) return true;
  Text text = {0};
  if (value_json(value, style, &text, fault)) return set_text(&text, arena, out, fault);
  text_finish(&text);
  return false;
}
