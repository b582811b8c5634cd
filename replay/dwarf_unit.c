/*
** Units: headers and what the unit's own entry says for all below it.
*/
#include <stdlib.h>

#include "replay/dwarf_inner.h"

static bool read_header(Bytes *in, DwarfUnit *unit, bool in_types, uint64_t *out_abbrevs) {
  unit->version = (uint8_t)bytes_u16(in);
  if (unit->version < 2 || unit->version > 5) return false;
  unit->kind = in_types ? DW_UT_type : DW_UT_compile;
  if (unit->version == 5) {
    unit->kind = bytes_u8(in);
    unit->address_size = bytes_u8(in);
    *out_abbrevs = bytes_number(in, unit->offset_size);
  } else {
    *out_abbrevs = bytes_number(in, unit->offset_size);
    unit->address_size = bytes_u8(in);
  }
  if (unit->kind == DW_UT_skeleton || unit->kind == DW_UT_split_compile) bytes_u64(in);
  if (unit->kind == DW_UT_type || unit->kind == DW_UT_split_type) {
    unit->signature = bytes_u64(in);
    unit->type = unit->start + bytes_number(in, unit->offset_size);
  }
  return !in->bad && (unit->address_size == 8 || unit->address_size == 4);
}

/* DWARF 5 puts a header before each table; without the attribute the first table is meant. */
static void set_bases(DwarfUnit *unit) {
  uint64_t header = unit->offset_size == 8 ? 16 : 8;
  unit->addr_base = unit->str_base = unit->version == 5 ? header : 0;
  unit->rnglists_base = unit->loclists_base = unit->version == 5 ? header + 4 : 0;
}

static void take_base(DwarfUnit *unit, const DieAttr *attr) {
  if (attr->class != ATTR_SECTION && attr->class != ATTR_NUMBER) return;
  switch (attr->name) {
  case DW_AT_stmt_list:
    unit->lines = attr->number;
    unit->has_lines = true;
    break;
  case DW_AT_addr_base:
  case DW_AT_GNU_addr_base:
    unit->addr_base = attr->number;
    break;
  case DW_AT_str_offsets_base:
    unit->str_base = attr->number;
    break;
  case DW_AT_rnglists_base:
    unit->rnglists_base = attr->number;
    break;
  case DW_AT_loclists_base:
    unit->loclists_base = attr->number;
    break;
  case DW_AT_language:
    unit->language = (uint16_t)attr->number;
    break;
  default:
    break;
  }
}

/* Bases first: the other attributes may go by them. */
static bool read_root(DwarfUnit *unit) {
  DieWalk walk = die_walk(unit, unit->first);
  Die root;
  int depth;
  if (!die_next(&walk, &root, &depth)) return false;
  DieAttr attr;
  for (uint32_t i = 0; die_next_attr(&walk, &root, i, &attr); i++) take_base(unit, &attr);
  if (walk.in.bad) return false;
  attr = die_attr(&root, DW_AT_low_pc);
  unit->has_low = attr.class == ATTR_ADDRESS;
  if (unit->has_low) unit->low = attr.number;
  attr = die_attr(&root, DW_AT_name);
  unit->name = attr.class == ATTR_TEXT ? attr.text : "";
  attr = die_attr(&root, DW_AT_comp_dir);
  unit->directory = attr.class == ATTR_TEXT ? attr.text : "";
  return true;
}

static bool read_unit(Dwarf *dwarf, const DwarfFile *file, DwarfUnit *unit, Bytes in) {
  const uint8_t *start = in.at;
  bool wide;
  bytes_enter(&in, &wide);
  unit->offset_size = wide ? 8 : 4;
  uint64_t abbrevs;
  if (in.bad || !read_header(&in, unit, unit->start - file->base >= file->types, &abbrevs))
    return false;
  unit->first = unit->start + (uint64_t)(in.at - start);
  unit->end = unit->start + (uint64_t)(in.end - start);
  unit->abbrevs = dwarf_abbrevs_get(dwarf, file, abbrevs);
  if (!unit->abbrevs) return false;
  set_bases(unit);
  return read_root(unit);
}

bool dwarf_units_read(Dwarf *dwarf, DwarfFile *file, Fault *fault) {
  Span info = file->sections[SECTION_INFO];
  dwarf->abbrev_work += 2 * file->sections[SECTION_ABBREV].size;
  for (uint64_t at = 0; at < info.size;) {
    if (!array_grow(dwarf->units, dwarf->units_capacity, dwarf->nunits + 1))
      return fault_oom(fault);
    Bytes in = bytes_from(info, at), whole = in;
    bool wide;
    const uint8_t *next = bytes_enter(&in, &wide);
    if (in.bad) {
      dwarf->bad_units++;
      break;
    }
    DwarfUnit *unit = &dwarf->units[dwarf->nunits];
    *unit = (DwarfUnit){.dwarf = dwarf, .file = file, .start = file->base + at};
    if (!read_unit(dwarf, file, unit, whole))
      dwarf->bad_units++;
    else if (unit->kind != DW_UT_type ||
             map_put(&dwarf->signatures, &unit->signature, sizeof unit->signature,
                     (int64_t)dwarf->nunits, NULL))
      dwarf->nunits++;
    else
      return fault_oom(fault);
    at = (uint64_t)(next - info.bytes);
  }
  return true;
}

const DwarfUnit *dwarf_unit_at(const Dwarf *dwarf, uint64_t offset) {
  size_t lo = 0, hi = dwarf->nunits;
  while (lo < hi) {
    size_t middle = lo + (hi - lo) / 2;
    if (dwarf->units[middle].end <= offset)
      lo = middle + 1;
    else
      hi = middle;
  }
  const DwarfUnit *unit = lo < dwarf->nunits ? &dwarf->units[lo] : NULL;
  return unit && offset >= unit->first ? unit : NULL;
}
