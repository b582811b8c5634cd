/*
** Values as JSON; the forms are listed at value_json().
*/
#include <stdlib.h>
#include <string.h>

#include "replay/value_inner.h"

/* Beyond this many bytes arrays are cut. */
enum { MOST_JSON = 1 << 20 };

typedef struct Printer {
  const ValueStyle *style;
  Text *out;
  Fault *fault;
  Arena arena; /* of what pointers lead to */
  int depth;
} Printer;

static bool print(Printer *printer, const Value *value);

static bool print_state(Printer *printer, ValueState state) {
  text_addf(printer->out, "{\"unavailable\":\"%s\"}", value_state_text(state));
  return true;
}

static void print_digits(Printer *printer, const Number *number) {
  bool quoted = number->kind == NUMBER_REAL &&
                (number->digits[0] == 'n' || number->digits[0] == 'i' || number->digits[1] == 'i');
  text_addf(printer->out, quoted ? "\"%s\"" : "%s", number->digits);
}

/* ---- what is one number */

static bool print_enum(Printer *printer, const DwarfType *plain, const Number *number) {
  Text name = {0};
  bool named;
  bool ok = value_add_enumerator(plain, number, &name, &named, printer->fault);
  if (ok && named)
    value_add_quoted(text_get(&name), name.length, printer->out);
  else if (ok)
    text_add(printer->out, text_get(&name));
  if (name.oom) ok = fault_oom(printer->fault);
  text_finish(&name);
  return ok;
}

static bool print_text_at(Printer *printer, const Value *value, uint64_t addr, TextWidth width) {
  Text text = {0};
  bool whole;
  ValueState state;
  bool ok = value_text_at(value->source, addr, width, style_text(printer->style), &text, &whole,
                          &state, printer->fault);
  if (ok && state != VALUE_KNOWN) {
    text_addf(printer->out, "{\"unavailable\":\"%s\",\"pointer\":\"0x%llx\"}",
              value_state_text(state), (unsigned long long)addr);
  } else if (ok) {
    if (!whole) text_add(printer->out, "{\"text\":");
    value_add_quoted(text_get(&text), text.length, printer->out);
    if (!whole) text_add(printer->out, ",\"cut\":true}");
  }
  text_finish(&text);
  return ok;
}

static bool print_pointer(Printer *printer, const Value *value, const DwarfType *plain,
                          uint64_t addr) {
  const DwarfType *target = dwarf_type_target(plain, printer->fault);
  TextWidth width;
  if (!target || !value_text_width(target, &width, printer->fault)) return false;
  if (!addr) {
    text_add(printer->out, "null");
    return true;
  }
  if (width != WIDTH_NONE) return print_text_at(printer, value, addr, width);
  target = dwarf_type_strip(target, printer->fault);
  if (!target) return false;
  Text text = {0}, name = {0};
  text_addf(&text, "0x%llx", (unsigned long long)addr);
  if (target->kind == TYPE_FUNCTION && value_add_symbol(value->source, addr, &name))
    text_addf(&text, " <%s>", text_get(&name));
  bool oom = text.oom || name.oom;
  if (!oom) value_add_quoted(text_get(&text), text.length, printer->out);
  text_finish(&text);
  text_finish(&name);
  return !oom || fault_oom(printer->fault);
}

static bool print_reference(Printer *printer, const Value *value) {
  Value target;
  return value_target(value, &printer->arena, &target, printer->fault) && print(printer, &target);
}

/* Each part may be known or not. The compiler's complex integers are told apart by their names. */
static bool print_complex(Printer *printer, const Value *value, const DwarfType *plain) {
  DwarfType part = {.kind = TYPE_FLOAT, .has_size = true, .size = plain->size / 2};
  part.name = plain->name;
  if (plain->name && strstr(plain->name, "int")) part.kind = TYPE_SIGNED;
  Value half = *value;
  half.type = &part;
  text_add(printer->out, "{\"re\":");
  if (!print(printer, &half)) return false;
  text_add(printer->out, ",\"im\":");
  half.bit_offset += part.size * 8;
  if (!print(printer, &half)) return false;
  text_addc(printer->out, '}');
  return true;
}

static bool print_bytes(Printer *printer, const uint8_t *bytes, size_t size) {
  text_add(printer->out, "{\"bytes\":\"");
  for (size_t i = 0; i < size; i++) text_addf(printer->out, "%02x", bytes[i]);
  text_add(printer->out, "\"}");
  return true;
}

static bool print_number(Printer *printer, const Value *value, const DwarfType *plain) {
  uint8_t bytes[MOST_NUMBER];
  uint64_t size;
  ValueState state;
  if (!dwarf_type_size(plain, &size, printer->fault)) return false;
  if (size > sizeof bytes) return print_state(printer, VALUE_UNKNOWN);
  if (!value_bytes(value, bytes, size, &state, printer->fault)) return false;
  if (state != VALUE_KNOWN) return print_state(printer, state);
  bool is_signed;
  Number number;
  if (!value_is_signed(plain, &is_signed, printer->fault)) return false;
  value_number(plain, is_signed, bytes, size, &number);
  if (number.kind == NUMBER_OTHER) return print_bytes(printer, bytes, size);
  if (plain->kind == TYPE_ENUM) return print_enum(printer, plain, &number);
  if (plain->kind == TYPE_POINTER) return print_pointer(printer, value, plain, number.low);
  if (plain->kind == TYPE_BOOL && number.low <= 1)
    text_add(printer->out, number.low ? "true" : "false");
  else
    print_digits(printer, &number);
  return true;
}

/* ---- arrays */

/* *out_done: it was a text. What can be had in part only, or is none, is printed element by
 * element. */
static bool print_chars(Printer *printer, const Value *value, uint64_t count, TextWidth width,
                        bool *out_done) {
  size_t limit = style_text(printer->style), units = count < limit ? count : limit;
  ValueState state;
  *out_done = false;
  uint8_t *bytes = malloc(units * width + 1);
  if (!bytes) return fault_oom(printer->fault);
  bool ok = value_bytes(value, bytes, units * width, &state, printer->fault);
  Text text = {0};
  if (ok && state == VALUE_KNOWN) {
    bool cut = units < count;
    static const uint8_t nul[4] = {0};
    while (units && !memcmp(bytes + (units - 1) * width, nul, width)) units--;
    *out_done = value_add_units(bytes, units, width, &text);
    if (*out_done && cut) text_add(printer->out, "{\"text\":");
    if (*out_done) value_add_quoted(text_get(&text), text.length, printer->out);
    if (*out_done && cut) text_add(printer->out, ",\"cut\":true}");
    if (text.oom) ok = fault_oom(printer->fault);
  }
  text_finish(&text);
  free(bytes);
  return ok;
}

static bool print_array(Printer *printer, const Value *value, const DwarfType *plain) {
  const DwarfType *target = dwarf_type_target(plain, printer->fault);
  TextWidth width;
  bool done = false;
  if (!target || !value_text_width(target, &width, printer->fault)) return false;
  uint64_t count = plain->has_count ? plain->count : 0, size = 0;
  if (plain->is_vector) width = WIDTH_NONE;
  if (width != WIDTH_NONE && !print_chars(printer, value, count, width, &done)) return false;
  if (done) return true;
  if (!dwarf_type_size(target, &size, NULL)) return print_state(printer, VALUE_INCOMPLETE);
  text_addc(printer->out, '[');
  uint64_t i = 0, limit = style_elements(printer->style);
  for (; i < count && i < limit && printer->out->length < MOST_JSON; i++) {
    Value element;
    if (i) text_addc(printer->out, ',');
    if (!value_element(value, i, &element, printer->fault) || !print(printer, &element))
      return false;
  }
  if (i < count)
    text_addf(printer->out, "%s{\"more\":%llu}", i ? "," : "", (unsigned long long)(count - i));
  text_addc(printer->out, ']');
  return true;
}

/* ---- structures */

static bool print_members(Printer *printer, const Value *value, const DwarfType *plain, bool *first,
                          int depth) {
  const DwarfMember *members;
  size_t count;
  if (!dwarf_type_members(plain, &members, &count, printer->fault)) return false;
  for (size_t i = 0; i < count; i++) {
    Value part;
    if (!value_member(value, &members[i], &part, printer->fault)) return false;
    const DwarfType *inner = dwarf_type_strip(members[i].type, printer->fault);
    if (!inner) return false;
    const char *name = members[i].name;
    if (!name && members[i].is_base) name = inner->name;
    if (!name && dwarf_type_is_record(inner)) {
      if (depth && !print_members(printer, &part, inner, first, depth - 1)) return false;
      continue;
    }
    if (!*first) text_addc(printer->out, ',');
    *first = false;
    if (!name) name = "";
    value_add_quoted(name, strlen(name), printer->out);
    text_addc(printer->out, ':');
    if (!print(printer, &part)) return false;
  }
  return true;
}

/* Nothing of it is known. */
static bool is_absent(const Value *value, const DwarfType *plain, ValueState *out_state,
                      Fault *fault) {
  const DwarfMember *members;
  size_t count;
  uint8_t byte;
  *out_state = value->state;
  if (value->state != VALUE_KNOWN) return true;
  if (plain->incomplete) {
    *out_state = VALUE_INCOMPLETE;
    return true;
  }
  uint64_t addr;
  /* Memory that is not there is not there for any member. */
  return dwarf_type_members(plain, &members, &count, fault) && count && plain->size &&
         value_address(value, &addr) && value_bytes(value, &byte, 1, out_state, fault) &&
         *out_state != VALUE_KNOWN;
}

static bool print_record(Printer *printer, const Value *value, const DwarfType *plain) {
  bool first = true;
  ValueState state;
  if (is_absent(value, plain, &state, printer->fault)) return print_state(printer, state);
  text_addc(printer->out, '{');
  bool ok = print_members(printer, value, plain, &first, style_depth(printer->style));
  text_addc(printer->out, '}');
  return ok;
}

static bool print_plain(Printer *printer, const Value *value, const DwarfType *plain) {
  switch (plain->kind) {
  case TYPE_ARRAY:
    return print_array(printer, value, plain);
  case TYPE_STRUCT:
  case TYPE_UNION:
    return print_record(printer, value, plain);
  case TYPE_COMPLEX:
    return print_complex(printer, value, plain);
  case TYPE_REFERENCE:
    return print_reference(printer, value);
  case TYPE_VOID:
  case TYPE_FUNCTION:
    text_add(printer->out, "null");
    return true;
  default:
    return print_number(printer, value, plain);
  }
}

static bool print(Printer *printer, const Value *value) {
  const DwarfType *plain = dwarf_type_strip(value->type, printer->fault);
  if (!plain) return false;
  if (value->state != VALUE_KNOWN) return print_state(printer, value->state);
  if (printer->depth >= style_depth(printer->style) || printer->out->length > 2 * MOST_JSON) {
    text_add(printer->out, "{\"more\":1}");
    return true;
  }
  printer->depth++;
  bool ok = print_plain(printer, value, plain);
  printer->depth--;
  return ok;
}

bool value_json(const Value *value, const ValueStyle *style, Text *out, Fault *fault) {
  Printer printer = {.style = style, .out = out, .fault = fault};
  bool ok = print(&printer, value);
  arena_finish(&printer.arena);
  return ok && (!out->oom || fault_oom(fault));
}
