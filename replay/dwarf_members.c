/*
** What structures and enumerations are made of.
*/
#include <string.h>

#include "replay/dwarf_inner.h"
#include "replay/dwarf_types.h"

static bool is_number(const DieAttr *attr) {
  return attr->class == ATTR_NUMBER || attr->class == ATTR_SIGNED;
}

/* An offset that is the same in every object: a number, or the expression that DWARF 2 makes of
** one. C++'s virtual bases have others, and are left out. */
static bool read_offset(const Die *die, uint64_t *out) {
  DieAttr attr = die_attr(die, DW_AT_data_member_location);
  *out = 0;
  if (attr.class == ATTR_ABSENT) return true;
  if (is_number(&attr)) {
    *out = attr.number;
    return true;
  }
  if (attr.class != ATTR_BLOCK) return false;
  Bytes in = bytes_from(attr.block, 0);
  uint8_t op = bytes_u8(&in);
  if (op != DW_OP_plus_uconst && op != DW_OP_constu) return false;
  *out = bytes_uleb(&in);
  return !in.bad && in.at == in.end;
}

static bool read_bits(const Die *die, DwarfMember *member, Fault *fault) {
  DieAttr size = die_attr(die, DW_AT_bit_size), offset = die_attr(die, DW_AT_data_bit_offset);
  if (!is_number(&size) || size.number > 1024) return true;
  member->bit_size = (uint32_t)size.number;
  if (is_number(&offset)) {
    member->bit_offset = offset.number;
    return true;
  }
  /* Before DWARF 4 bits were counted from the other end of the field's storage. */
  DieAttr from_top = die_attr(die, DW_AT_bit_offset), storage = die_attr(die, DW_AT_byte_size);
  if (!is_number(&from_top)) return true;
  uint64_t bytes = storage.number;
  if (!is_number(&storage) && !dwarf_type_size(member->type, &bytes, fault)) return false;
  int64_t shift = from_top.class == ATTR_NUMBER && from_top.bits && from_top.bits < 64
                      ? bytes_signed(from_top.number, from_top.bits)
                      : (int64_t)from_top.number;
  member->bit_offset += bytes * 8 - (uint64_t)shift - size.number;
  return true;
}

/* *out_kept: it has a place in the object. */
static bool read_member(Dwarf *dwarf, const Die *die, DwarfMember *out, bool *out_kept,
                        Fault *fault) {
  DieAttr name = die_attr(die, DW_AT_name), type = die_attr(die, DW_AT_type);
  uint64_t offset;
  *out_kept = false;
  if (die_flag(die, DW_AT_external) || die_flag(die, DW_AT_declaration)) return true;
  if (type.class != ATTR_ENTRY || !read_offset(die, &offset) || offset > UINT64_MAX / 64)
    return true;
  *out = (DwarfMember){.name = name.class == ATTR_TEXT ? name.text : NULL,
                       .type = dwarf_type_at(dwarf, type.number, fault),
                       .bit_offset = offset * 8,
                       .is_base = die_tag(die) == DW_TAG_inheritance};
  *out_kept = true;
  return out->type && read_bits(die, out, fault);
}

static bool read_members(DwarfType *type, Fault *fault) {
  Die die, child;
  if (!die_at(type->dwarf, type->die, &die)) return true;
  size_t capacity = 0;
  DieChildren children = die_children(&die);
  while (die_next_child(&children, &child)) capacity++;
  DwarfMember *members = arena_array(&type->dwarf->arena, capacity, sizeof *members);
  if (!members) return fault_oom(fault);
  children = die_children(&die);
  while (die_next_child(&children, &child)) {
    uint16_t tag = die_tag(&child);
    bool kept;
    if (tag != DW_TAG_member && tag != DW_TAG_inheritance) continue;
    if (!read_member(type->dwarf, &child, &members[type->nmembers], &kept, fault)) return false;
    type->nmembers += kept;
  }
  type->members = members;
  return true;
}

static bool read_enumerators(DwarfType *type, Fault *fault) {
  Die die, child;
  if (!die_at(type->dwarf, type->die, &die)) return true;
  size_t capacity = 0;
  DieChildren children = die_children(&die);
  while (die_next_child(&children, &child)) capacity++;
  DwarfEnumerator *all = arena_array(&type->dwarf->arena, capacity, sizeof *all);
  if (!all) return fault_oom(fault);
  const DwarfType *under = dwarf_type_target(type, fault);
  if (under) under = dwarf_type_strip(under, fault);
  if (!under) return false;
  type->is_flags = true;
  type->is_signed = under->kind == TYPE_SIGNED || under->kind == TYPE_SIGNED_CHAR;
  children = die_children(&die);
  while (die_next_child(&children, &child)) {
    const char *name = die_tag(&child) == DW_TAG_enumerator ? die_name(&child) : NULL;
    if (!name) continue;
    DieAttr attr = die_attr(&child, DW_AT_const_value);
    int64_t value = (int64_t)attr.number;
    if (attr.class == ATTR_SIGNED && value < 0) type->is_signed = true;
    type->is_flags = type->is_flags && value >= 0 && !(value & (value - 1));
    all[type->nenumerators++] = (DwarfEnumerator){name, value};
  }
  type->enumerators = all;
  return true;
}

bool dwarf_type_members(const DwarfType *type, const DwarfMember **out, size_t *out_count,
                        Fault *fault) {
  DwarfType *own = (DwarfType *)(uintptr_t)type; /* see dwarf_type_target() */
  if (!own->has_members && own->die && dwarf_type_is_record(own)) {
    own->nmembers = 0;
    if (!read_members(own, fault)) return false;
    own->has_members = true;
  }
  *out = own->members;
  *out_count = own->nmembers;
  return true;
}

bool dwarf_type_enumerators(const DwarfType *type, const DwarfEnumerator **out, size_t *out_count,
                            bool *out_flags, Fault *fault) {
  DwarfType *own = (DwarfType *)(uintptr_t)type;
  if (!own->has_members && own->die && own->kind == TYPE_ENUM) {
    own->nenumerators = 0;
    if (!read_enumerators(own, fault)) return false;
    own->has_members = true;
  }
  *out = own->enumerators;
  *out_count = own->nenumerators;
  *out_flags = own->is_flags;
  return true;
}
