/*
** Types out of entries.
*/
#include <string.h>

#include "replay/dwarf_index.h"
#include "replay/dwarf_types.h"

enum { MOST_HOPS = 64 };

static const DwarfType no_type = {.kind = TYPE_VOID};

static TypeKind base_kind(uint64_t encoding, uint64_t size) {
  switch (encoding) {
  case DW_ATE_signed:
  case DW_ATE_signed_fixed:
    return TYPE_SIGNED;
  case DW_ATE_unsigned:
  case DW_ATE_address:
    return TYPE_UNSIGNED;
  case DW_ATE_signed_char:
    return size == 1 ? TYPE_SIGNED_CHAR : TYPE_SIGNED;
  case DW_ATE_unsigned_char:
    return size == 1 ? TYPE_UNSIGNED_CHAR : TYPE_UNSIGNED;
  case DW_ATE_UTF:
    return TYPE_UTF;
  case DW_ATE_boolean:
    return TYPE_BOOL;
  case DW_ATE_float:
    return TYPE_FLOAT;
  case DW_ATE_complex_float:
    return TYPE_COMPLEX;
  default:
    /* GCC's "complex int" is one of the compiler's own encodings. */
    return encoding == DW_ATE_lo_user ? TYPE_COMPLEX : TYPE_OTHER;
  }
}

static TypeKind kind_of(const Die *die, uint64_t size) {
  switch (die_tag(die)) {
  case DW_TAG_base_type:
    return base_kind(die_attr(die, DW_AT_encoding).number, size);
  case DW_TAG_enumeration_type:
    return TYPE_ENUM;
  case DW_TAG_pointer_type:
  case DW_TAG_ptr_to_member_type:
    return TYPE_POINTER;
  case DW_TAG_reference_type:
  case DW_TAG_rvalue_reference_type:
    return TYPE_REFERENCE;
  case DW_TAG_array_type:
    return TYPE_ARRAY;
  case DW_TAG_structure_type:
  case DW_TAG_class_type:
    return TYPE_STRUCT;
  case DW_TAG_union_type:
    return TYPE_UNION;
  case DW_TAG_subroutine_type:
  case DW_TAG_subprogram:
    return TYPE_FUNCTION;
  case DW_TAG_typedef:
    return TYPE_TYPEDEF;
  case DW_TAG_const_type:
    return TYPE_CONST;
  case DW_TAG_volatile_type:
    return TYPE_VOLATILE;
  case DW_TAG_restrict_type:
    return TYPE_RESTRICT;
  case DW_TAG_atomic_type:
    return TYPE_ATOMIC;
  case DW_TAG_unspecified_type:
    return TYPE_VOID;
  default:
    return TYPE_OTHER;
  }
}

/* ---- arrays */

/* A bound that the entry gives as a number, *out_dynamic: that it gives otherwise. */
static bool read_bound(const Die *die, uint16_t name, uint64_t *out, bool *out_dynamic) {
  DieAttr attr = die_attr(die, name);
  *out = attr.number;
  if (attr.class == ATTR_NUMBER || attr.class == ATTR_SIGNED) {
    /* -1 says "none" in an array without elements. */
    if (attr.class == ATTR_NUMBER && attr.bits && attr.bits < 64 &&
        attr.number == (UINT64_C(1) << attr.bits) - 1 && attr.bits >= 32)
      *out = UINT64_MAX;
    return true;
  }
  if (attr.class == ATTR_BLOCK || attr.class == ATTR_ENTRY) *out_dynamic = true;
  return false;
}

static void read_dimension(const Die *die, DwarfType *type) {
  uint64_t lower = 0, upper;
  read_bound(die, DW_AT_lower_bound, &lower, &type->dynamic);
  type->bound = die->offset;
  if (read_bound(die, DW_AT_count, &type->count, &type->dynamic)) {
    type->has_count = true;
  } else if (read_bound(die, DW_AT_upper_bound, &upper, &type->dynamic)) {
    type->has_count = true;
    type->count = upper - lower + 1;
  }
}

/* One type per dimension, the first outermost. */
static bool read_dimensions(Dwarf *dwarf, const Die *die, DwarfType *type) {
  DieChildren children = die_children(die);
  Die child;
  DwarfType *at = NULL;
  while (die_next_child(&children, &child)) {
    if (die_tag(&child) != DW_TAG_subrange_type && die_tag(&child) != DW_TAG_enumeration_type)
      continue;
    if (at) {
      DwarfType *inner = arena_alloc(&dwarf->arena, sizeof *inner);
      if (!inner) return false;
      *inner = (DwarfType){.kind = TYPE_ARRAY, .dwarf = dwarf, .die = die->offset};
      at->target = inner;
      at->has_target = true;
      at = inner;
    } else {
      at = type;
    }
    read_dimension(&child, at);
  }
  type->is_vector = die_flag(die, DW_AT_GNU_vector);
  return true;
}

/* ---- any type */

static bool fill(Dwarf *dwarf, const Die *die, DwarfType *type) {
  DieAttr size = die_attr(die, DW_AT_byte_size), name = die_attr(die, DW_AT_name);
  *type = (DwarfType){.dwarf = dwarf, .die = die->offset};
  type->has_size = size.class == ATTR_NUMBER || size.class == ATTR_SIGNED;
  type->size = type->has_size ? size.number : 0;
  type->name = name.class == ATTR_TEXT ? name.text : NULL;
  type->kind = kind_of(die, type->size);
  type->incomplete = die_flag(die, DW_AT_declaration);
  type->is_class = die_tag(die) == DW_TAG_class_type;
  if ((type->kind == TYPE_POINTER || type->kind == TYPE_REFERENCE) && !type->has_size) {
    type->has_size = true;
    type->size = die->unit->address_size;
  }
  return type->kind != TYPE_ARRAY || read_dimensions(dwarf, die, type);
}

const DwarfType *dwarf_type_at(Dwarf *dwarf, uint64_t offset, Fault *fault) {
  int64_t *known = map_get(&dwarf->types, &offset, sizeof offset);
  if (known) return (const DwarfType *)(uintptr_t)*known;
  Die die;
  if (!offset || !die_at(dwarf, offset, &die)) return &no_type;
  DwarfType *type = arena_alloc(&dwarf->arena, sizeof *type);
  if (type && fill(dwarf, &die, type) &&
      map_put(&dwarf->types, &offset, sizeof offset, (int64_t)(uintptr_t)type, NULL))
    return type;
  fault_oom(fault);
  return NULL;
}

const DwarfType *dwarf_type_target(const DwarfType *type, Fault *fault) {
  if (type->has_target || !type->die) return type->target ? type->target : &no_type;
  Die die;
  DieAttr attr = {0};
  if (die_at(type->dwarf, type->die, &die)) attr = die_attr(&die, DW_AT_type);
  const DwarfType *target =
      dwarf_type_at(type->dwarf, attr.class == ATTR_ENTRY ? attr.number : 0, fault);
  if (!target) return NULL;
  /* The only thing written behind the back of `const`: it is the Dwarf's own memory. */
  DwarfType *own = (DwarfType *)(uintptr_t)type;
  own->target = target;
  own->has_target = true;
  return target;
}

/* A complete structure of the same keyword and name. */
static const DwarfType *find_complete(const DwarfType *type, Fault *fault) {
  size_t found;
  for (size_t i = 0; type->name && dwarf_type_named(type->dwarf, type->name, i, &found, fault);
       i++) {
    DwarfNamed named;
    if (!dwarf_type_get(type->dwarf, found, &named, fault)) return NULL;
    const DwarfType *other = dwarf_type_at(type->dwarf, named.die, fault);
    if (!other || (other->kind == type->kind && !other->incomplete)) return other;
  }
  return fault && fault->code != FAULT_NONE ? NULL : type;
}

const DwarfType *dwarf_type_strip(const DwarfType *type, Fault *fault) {
  for (int hops = 0; type && hops < MOST_HOPS; hops++) {
    if (type->kind < TYPE_TYPEDEF || type->kind > TYPE_ATOMIC)
      return type->incomplete ? find_complete(type, fault) : type;
    type = dwarf_type_target(type, fault);
  }
  if (type) fault_set(fault, FAULT_CORRUPT, "a type that is made of itself");
  return NULL;
}

bool dwarf_type_size(const DwarfType *type, uint64_t *out, Fault *fault) {
  uint64_t factor = 1;
  for (int hops = 0; hops < MOST_HOPS; hops++) {
    type = dwarf_type_strip(type, fault);
    if (!type) return false;
    uint64_t own = type->has_size ? type->size : type->count;
    if (type->kind == TYPE_ARRAY && !type->has_size && !type->has_count)
      return fault_set(fault, FAULT_INVALID, "an array of unknown length has no size");
    if (type->kind != TYPE_ARRAY && !type->has_size)
      return fault_set(fault, FAULT_INVALID, "%s has no size",
                       type->kind == TYPE_FUNCTION ? "a function"
                       : type->name                ? type->name
                                                   : "void");
    if (own && factor > UINT64_MAX / 16 / own)
      return fault_set(fault, FAULT_LIMIT, "a type larger than the memory");
    factor *= own;
    if (type->kind != TYPE_ARRAY || type->has_size) {
      *out = factor;
      return true;
    }
    if (!(type = dwarf_type_target(type, fault))) return false;
  }
  return fault_set(fault, FAULT_CORRUPT, "a type that is made of itself");
}

const DwarfType *dwarf_type_pointer(const DwarfType *type, Arena *arena, Fault *fault) {
  DwarfType *pointer = arena_alloc(arena, sizeof *pointer);
  if (!pointer) {
    fault_oom(fault);
    return NULL;
  }
  *pointer = (DwarfType){.kind = TYPE_POINTER,
                         .has_size = true,
                         .size = 8,
                         .dwarf = type->dwarf,
                         .target = type,
                         .has_target = true};
  return pointer;
}

const DwarfType *dwarf_type_array(const DwarfType *type, uint64_t count, Arena *arena,
                                  Fault *fault) {
  DwarfType *array = arena_alloc(arena, sizeof *array);
  if (!array) {
    fault_oom(fault);
    return NULL;
  }
  *array = (DwarfType){.kind = TYPE_ARRAY,
                       .has_count = true,
                       .count = count,
                       .dwarf = type->dwarf,
                       .target = type,
                       .has_target = true};
  return array;
}
