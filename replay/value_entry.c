/*
** Parameters at the first instruction of a function.
**
** Code that is not optimised stores its parameters in its frame, and its debug information has them
** there throughout. Until that is done they are where the caller has put them by the System V ABI
** (AMD64 supplement, 3.2.3), and local variables are nowhere.
*/
#include <string.h>

#include "base/array.h"
#include "replay/dwarf_location.h"
#include "replay/value_inner.h"

enum { MOST_NESTED = 16, MOST_ELEMENTS = 16, GENERAL = 6, VECTOR = 8, RSP = 7 };

typedef enum ClassKind { CLASS_NONE, CLASS_SSE, CLASS_INTEGER } ClassKind;

/* How a type is passed: each of its words by the class of what is in it, or in memory. */
typedef struct Passing {
  ClassKind words[2];
  bool memory;
  bool wide; /* aligned to 16 bytes */
} Passing;

static bool add_part(const DwarfType *type, uint64_t bit, uint64_t bits, int depth, Passing *out,
                     Fault *fault);

static void add_scalar(ClassKind class, uint64_t bit, uint64_t bits, Passing *out) {
  uint64_t last = bits ? (bit + bits - 1) / 64 : bit / 64;
  for (uint64_t word = bit / 64; word <= last && word < countof(out->words); word++)
    if (out->words[word] < class) out->words[word] = class;
}

static bool add_members(const DwarfType *plain, uint64_t bit, int depth, Passing *out,
                        Fault *fault) {
  const DwarfMember *members;
  size_t count;
  if (!dwarf_type_members(plain, &members, &count, fault)) return false;
  for (size_t i = 0; i < count; i++)
    if (!add_part(members[i].type, bit + members[i].bit_offset, members[i].bit_size, depth + 1, out,
                  fault))
      return false;
  return true;
}

static bool add_elements(const DwarfType *plain, uint64_t bit, int depth, Passing *out,
                         Fault *fault) {
  uint64_t size;
  const DwarfType *target = dwarf_type_target(plain, fault);
  if (!target || !dwarf_type_size(target, &size, fault)) return false;
  for (uint64_t i = 0; i < plain->count && i < MOST_ELEMENTS; i++)
    if (!add_part(target, bit + i * size * 8, 0, depth + 1, out, fault)) return false;
  return true;
}

/* False without a fault: it is not known how such a type is passed. */
static bool add_part(const DwarfType *type, uint64_t bit, uint64_t bits, int depth, Passing *out,
                     Fault *fault) {
  const DwarfType *plain = dwarf_type_strip(type, fault);
  uint64_t size;
  if (!plain || depth > MOST_NESTED || !dwarf_type_size(plain, &size, NULL)) return false;
  if (size > 16) out->memory = true;
  bool wide = size == 16 && !dwarf_type_is_record(plain) && plain->kind != TYPE_ARRAY;
  if (!bits) bits = size * 8;
  switch (plain->kind) {
  case TYPE_STRUCT:
  case TYPE_UNION:
    return add_members(plain, bit, depth, out, fault);
  case TYPE_ARRAY:
    return !plain->is_vector && add_elements(plain, bit, depth, out, fault);
  case TYPE_FLOAT:
    if (plain->name && strstr(plain->name, "128")) return false;
    if (wide) out->memory = out->wide = true; /* of the x87 */
    add_scalar(CLASS_SSE, bit, bits, out);
    return true;
  case TYPE_COMPLEX:
    add_scalar(CLASS_SSE, bit, bits, out);
    return true;
  default:
    if (plain->kind > TYPE_REFERENCE || plain->kind == TYPE_VOID) return false;
    out->wide = out->wide || wide;
    add_scalar(CLASS_INTEGER, bit, bits, out);
    return true;
  }
}

/* ---- where arguments are */

typedef struct Arguments {
  int general, vector; /* registers used */
  uint64_t stack;      /* bytes of the stack used, the return address included */
} Arguments;

static int count_class(const Passing *passing, ClassKind class) {
  return (passing->words[0] == class) + (passing->words[1] == class);
}

/* The next argument: its bytes are in these registers (DWARF's numbers), or at `stack`. */
typedef struct Place {
  bool in_registers;
  unsigned registers[2];
  int count;
  uint64_t stack;
} Place;

static Place next_place(Arguments *arguments, const Passing *passing, uint64_t size) {
  static const unsigned general[GENERAL] = {5, 4, 1, 2, 8, 9}; /* rdi rsi rdx rcx r8 r9 */
  const int wanted = count_class(passing, CLASS_INTEGER), vector = count_class(passing, CLASS_SSE);
  Place place = {.in_registers = !passing->memory && arguments->general + wanted <= GENERAL &&
                                 arguments->vector + vector <= VECTOR};
  if (!place.in_registers) {
    if (passing->wide) arguments->stack = ((arguments->stack - 8 + 15) & ~(uint64_t)15) + 8;
    place.stack = arguments->stack;
    arguments->stack += (size + 7) & ~(uint64_t)7;
    return place;
  }
  for (size_t i = 0; i < countof(passing->words); i++) {
    if (passing->words[i] == CLASS_INTEGER)
      place.registers[place.count++] = general[arguments->general++];
    else if (passing->words[i] == CLASS_SSE)
      place.registers[place.count++] = 17u + (unsigned)arguments->vector++;
  }
  return place;
}

static bool take_argument(Arguments *arguments, const DwarfType *type, Place *out, Fault *fault) {
  Passing passing = {.memory = false};
  uint64_t size;
  if (!add_part(type, 0, 0, 0, &passing, fault) || !dwarf_type_size(type, &size, NULL))
    return false;
  *out = next_place(arguments, &passing, size);
  return true;
}

/* What is returned by way of memory takes the first register for the address of that. */
static bool take_result(const ValueSource *source, const DwarfScope *function, Arguments *arguments,
                        Fault *fault) {
  const DwarfType *type = dwarf_function_type(source->dwarf, function->die, fault), *plain;
  Passing passing = {.memory = false};
  uint64_t size;
  if (!type || !(type = dwarf_type_target(type, fault)) || !(plain = dwarf_type_strip(type, fault)))
    return false;
  if (!dwarf_type_is_record(plain) && plain->kind != TYPE_ARRAY) return true;
  if (!dwarf_type_size(plain, &size, NULL) || !add_part(plain, 0, 0, 0, &passing, fault))
    return false;
  arguments->general += passing.memory;
  return true;
}

/* False without a fault: not known. */
static bool find_place(const ValueSource *source, uint64_t die, Place *out, Fault *fault) {
  const DwarfScope *scope;
  Arguments arguments = {.stack = 8};
  if (!dwarf_scope_at(source->dwarf, source_lookup(source), &scope, NULL)) return false;
  while (scope->parent) scope = scope->parent;
  if (!take_result(source, scope, &arguments, fault)) return false;
  for (size_t i = 0; i < scope->nvariables; i++) {
    const DwarfVariable *variable = &scope->variables[i];
    if (!variable->is_parameter) continue;
    const DwarfType *type = dwarf_variable_type(source->dwarf, variable->die, fault);
    if (!type || !take_argument(&arguments, type, out, fault)) return false;
    if (variable->die == die) return true;
  }
  return false;
}

/* ---- values */

static bool load(const ValueSource *source, const Place *place, Arena *arena, Value *value,
                 Fault *fault) {
  uint64_t words[2] = {0}, rsp, size;
  if (!dwarf_type_size(value->type, &size, fault)) return false;
  if (!place->in_registers) {
    if (source->reg(source->ctx, RSP, &rsp, sizeof rsp))
      return value_at(source, value->type, rsp + place->stack, arena, value, fault);
    value->state = VALUE_NOT_SAVED;
    return true;
  }
  for (int i = 0; i < place->count; i++)
    if (!source->reg(source->ctx, place->registers[i], &words[i], sizeof words[i]))
      value->state = VALUE_NOT_SAVED;
  if (value->state != VALUE_KNOWN) return true;
  return value_of_bytes(source, value->type, words, size < 16 ? size : 16, arena, value, fault);
}

bool value_entered(const ValueSource *source, uint64_t die, Arena *arena, Value *value,
                   Fault *fault) {
  Die entry;
  Place place;
  Fault why = {0};
  if (!source->entered || !source->reg || !die_at(source->dwarf, die, &entry)) return true;
  const DieAttr location = die_attr(&entry, DW_AT_location);
  if (location.class != ATTR_BLOCK || !location.block.size ||
      location.block.bytes[0] != DW_OP_fbreg)
    return true;
  if (die_tag(&entry) == DW_TAG_formal_parameter && find_place(source, die, &place, &why)) {
    value->state = VALUE_KNOWN;
    return load(source, &place, arena, value, fault);
  }
  if (why.code == FAULT_NOMEM) return fault_oom(fault);
  value->state = VALUE_NOT_STORED;
  return true;
}
