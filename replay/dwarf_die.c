/*
** Entries (DIEs) and their attributes, decoded from the bytes each time they are asked for: that
** costs a few nanoseconds an attribute, and nothing has to be kept or freed.
*/
#include "replay/dwarf_inner.h"

static Bytes unit_bytes(const DwarfUnit *unit, uint64_t offset) {
  const DwarfFile *file = unit->file;
  if (offset < unit->first || offset > unit->end) return (Bytes){.bad = true};
  Bytes in = bytes_from(file->sections[SECTION_INFO], offset - file->base);
  in.end = file->sections[SECTION_INFO].bytes + (unit->end - file->base);
  return in;
}

static uint64_t offset_of(const DwarfUnit *unit, const Bytes *in) {
  const DwarfFile *file = unit->file;
  return (uint64_t)(in->at - file->sections[SECTION_INFO].bytes) + file->base;
}

/* ---- attributes */

/* dwarf_file_open() has seen to it that text sections end with a NUL. */
static bool set_text(DieAttr *out, Span section, uint64_t offset) {
  out->class = offset < section.size ? ATTR_TEXT : ATTR_FOREIGN;
  if (out->class == ATTR_TEXT) out->text = (const char *)section.bytes + offset;
  return true;
}

static bool set_indexed_text(const DwarfUnit *unit, DieAttr *out, uint64_t index) {
  Bytes in = {.bad = true};
  if (index < UINT32_MAX)
    in = bytes_from(unit->file->sections[SECTION_STR_OFFSETS],
                    unit->str_base + index * unit->offset_size);
  uint64_t offset = bytes_number(&in, unit->offset_size);
  return set_text(out, unit->file->sections[SECTION_STR], in.bad ? UINT64_MAX : offset);
}

bool dwarf_address(const DwarfUnit *unit, uint64_t index, uint64_t *out) {
  if (index >= UINT32_MAX) return false;
  Bytes in =
      bytes_from(unit->file->sections[SECTION_ADDR], unit->addr_base + index * unit->address_size);
  *out = bytes_number(&in, unit->address_size);
  return !in.bad;
}

static void set_entry(DieAttr *out, uint64_t base, uint64_t offset) {
  out->class = ATTR_ENTRY;
  out->number = base + offset;
  if (out->number < base) out->number = UINT64_MAX;
}

static bool set_signature(const DwarfUnit *unit, DieAttr *out, uint64_t signature) {
  const int64_t *at = map_get(&unit->dwarf->signatures, &signature, sizeof signature);
  out->class = ATTR_ENTRY;
  out->number = at ? unit->dwarf->units[*at].type : UINT64_MAX;
  return true;
}

static void set_number(DieAttr *out, Bytes *in, unsigned size) {
  out->class = ATTR_NUMBER;
  out->bits = (uint8_t)(size * 8);
  out->number = bytes_number(in, size);
}

static void set_block(DieAttr *out, Bytes *in, uint64_t size) {
  out->class = ATTR_BLOCK;
  out->block.bytes = bytes_take(in, size);
  out->block.size = out->block.bytes ? size : 0;
}

static void set_section(DieAttr *out, Bytes *in, unsigned size) {
  out->class = ATTR_SECTION;
  out->number = bytes_number(in, size);
}

static bool set_address(const DwarfUnit *unit, DieAttr *out, uint64_t index) {
  out->class = ATTR_ADDRESS;
  if (!dwarf_address(unit, index, &out->number)) out->class = ATTR_FOREIGN;
  return true;
}

/* What refers to other places: within the unit, the file, the common file. */
static bool read_reference(const DwarfUnit *unit, Bytes *in, DieAttr *out) {
  uint64_t base = unit->file->base, common = unit->dwarf->common.base;
  switch (out->form) {
  case DW_FORM_ref1:
    set_entry(out, unit->start, bytes_u8(in));
    break;
  case DW_FORM_ref2:
    set_entry(out, unit->start, bytes_u16(in));
    break;
  case DW_FORM_ref4:
    set_entry(out, unit->start, bytes_u32(in));
    break;
  case DW_FORM_ref8:
    set_entry(out, unit->start, bytes_u64(in));
    break;
  case DW_FORM_ref_udata:
    set_entry(out, unit->start, bytes_uleb(in));
    break;
  case DW_FORM_ref_addr:
    set_entry(out, base,
              bytes_number(in, unit->version < 3 ? unit->address_size : unit->offset_size));
    break;
  case DW_FORM_GNU_ref_alt:
    set_entry(out, common, bytes_number(in, unit->offset_size));
    break;
  case DW_FORM_ref_sup4:
    set_entry(out, common, bytes_u32(in));
    break;
  case DW_FORM_ref_sup8:
    set_entry(out, common, bytes_u64(in));
    break;
  case DW_FORM_ref_sig8:
    return set_signature(unit, out, bytes_u64(in));
  default:
    return false;
  }
  return true;
}

static bool read_text(const DwarfUnit *unit, Bytes *in, DieAttr *out) {
  const DwarfFile *file = unit->file;
  switch (out->form) {
  case DW_FORM_string:
    out->class = ATTR_TEXT;
    out->text = bytes_text(in);
    return true;
  case DW_FORM_strp:
    return set_text(out, file->sections[SECTION_STR], bytes_number(in, unit->offset_size));
  case DW_FORM_line_strp:
    return set_text(out, file->sections[SECTION_LINE_STR], bytes_number(in, unit->offset_size));
  case DW_FORM_GNU_strp_alt:
  case DW_FORM_strp_sup:
    return set_text(out, unit->dwarf->common.sections[SECTION_STR],
                    bytes_number(in, unit->offset_size));
  case DW_FORM_strx:
  case DW_FORM_GNU_str_index:
    return set_indexed_text(unit, out, bytes_uleb(in));
  case DW_FORM_strx1:
    return set_indexed_text(unit, out, bytes_u8(in));
  case DW_FORM_strx2:
    return set_indexed_text(unit, out, bytes_u16(in));
  case DW_FORM_strx3:
    return set_indexed_text(unit, out, bytes_number(in, 3));
  case DW_FORM_strx4:
    return set_indexed_text(unit, out, bytes_u32(in));
  default:
    return false;
  }
}

/* False: a form that is not known, behind which nothing can be read. A text or reference that leads
** nowhere is no such thing: it is ATTR_FOREIGN. */
static bool read_form(const DwarfUnit *unit, Bytes *in, DieAttr *out) {
  switch (out->form) {
  case DW_FORM_addr:
    out->class = ATTR_ADDRESS;
    out->number = bytes_number(in, unit->address_size);
    break;
  case DW_FORM_addrx:
  case DW_FORM_GNU_addr_index:
    return set_address(unit, out, bytes_uleb(in));
  case DW_FORM_addrx1:
    return set_address(unit, out, bytes_u8(in));
  case DW_FORM_addrx2:
    return set_address(unit, out, bytes_u16(in));
  case DW_FORM_addrx3:
    return set_address(unit, out, bytes_number(in, 3));
  case DW_FORM_addrx4:
    return set_address(unit, out, bytes_u32(in));
  case DW_FORM_data1:
    set_number(out, in, 1);
    break;
  case DW_FORM_data2:
    set_number(out, in, 2);
    break;
  case DW_FORM_data4:
  case DW_FORM_data8:
    set_number(out, in, out->form == DW_FORM_data4 ? 4 : 8);
    break;
  case DW_FORM_data16:
    set_block(out, in, 16);
    break;
  case DW_FORM_udata:
    out->class = ATTR_NUMBER;
    out->number = bytes_uleb(in);
    break;
  case DW_FORM_sdata:
    out->class = ATTR_SIGNED;
    out->number = (uint64_t)bytes_sleb(in);
    break;
  case DW_FORM_flag:
    set_number(out, in, 1);
    break;
  case DW_FORM_flag_present:
    out->class = ATTR_NUMBER;
    out->number = 1;
    break;
  case DW_FORM_block1:
    set_block(out, in, bytes_u8(in));
    break;
  case DW_FORM_block2:
    set_block(out, in, bytes_u16(in));
    break;
  case DW_FORM_block4:
    set_block(out, in, bytes_u32(in));
    break;
  case DW_FORM_block:
  case DW_FORM_exprloc:
    set_block(out, in, bytes_uleb(in));
    break;
  case DW_FORM_sec_offset:
    set_section(out, in, unit->offset_size);
    break;
  case DW_FORM_loclistx:
  case DW_FORM_rnglistx:
    out->class = ATTR_INDEX;
    out->number = bytes_uleb(in);
    break;
  default:
    return read_reference(unit, in, out) || read_text(unit, in, out);
  }
  return true;
}

static bool read_attr(const DwarfUnit *unit, Bytes *in, const AbbrevAttr *shape, DieAttr *out) {
  *out = (DieAttr){.name = shape->name, .form = shape->form};
  if (shape->form == DW_FORM_implicit_const) {
    out->class = ATTR_SIGNED;
    out->number = (uint64_t)shape->constant;
    return true;
  }
  if (shape->form == DW_FORM_indirect) {
    uint64_t form = bytes_uleb(in);
    if (form > UINT16_MAX || form == DW_FORM_indirect || form == DW_FORM_implicit_const)
      return false;
    out->form = (uint16_t)form;
  }
  return read_form(unit, in, out) && !in->bad;
}

/* ---- entries in their order */

DieWalk die_walk(const DwarfUnit *unit, uint64_t offset) {
  return (DieWalk){.unit = unit, .in = unit_bytes(unit, offset)};
}

typedef enum Step { STEP_END, STEP_ENTRY, STEP_UP } Step;

static Step step(DieWalk *walk, Die *out) {
  Bytes *in = &walk->in;
  if (in->bad || in->at >= in->end) return STEP_END;
  uint64_t offset = offset_of(walk->unit, in), code = bytes_uleb(in);
  if (!code && !in->bad) {
    walk->depth--;
    return STEP_UP;
  }
  const Abbrev *abbrev = in->bad ? NULL : dwarf_abbrev_find(walk->unit->abbrevs, code);
  if (!abbrev) {
    in->bad = true;
    return STEP_END;
  }
  *out = (Die){walk->unit, abbrev, offset, offset_of(walk->unit, in)};
  walk->depth += abbrev->children;
  return STEP_ENTRY;
}

bool die_next(DieWalk *walk, Die *out, int *out_depth) {
  while (walk->depth >= 0) {
    *out_depth = walk->depth;
    Step taken = step(walk, out);
    if (taken != STEP_UP) return taken == STEP_ENTRY;
  }
  return false;
}

bool die_next_attr(DieWalk *walk, const Die *die, uint32_t i, DieAttr *out) {
  if (i >= die->abbrev->count) return false;
  const AbbrevAttr *shape = &die->unit->abbrevs->attrs[die->abbrev->first + i];
  if (read_attr(walk->unit, &walk->in, shape, out)) return true;
  walk->in.bad = true;
  return false;
}

bool die_skip(DieWalk *walk, const Die *die) {
  DieAttr attr;
  for (uint32_t i = 0; die_next_attr(walk, die, i, &attr); i++) continue;
  return !walk->in.bad;
}

/* Past the entry and all below it. */
static bool skip_tree(DieWalk *walk, const Die *die) {
  DieAttr attr;
  uint64_t sibling = 0;
  for (uint32_t i = 0; die_next_attr(walk, die, i, &attr); i++) {
    if (attr.name == DW_AT_sibling && attr.class == ATTR_ENTRY) sibling = attr.number;
  }
  if (walk->in.bad) return false;
  if (!die->abbrev->children) return true;
  if (sibling > offset_of(walk->unit, &walk->in) && sibling <= walk->unit->end) {
    walk->in = unit_bytes(walk->unit, sibling);
    walk->depth--;
    return true;
  }
  Die below;
  for (int level = walk->depth - 1; walk->depth > level;) {
    Step taken = step(walk, &below);
    if (taken == STEP_END || (taken == STEP_ENTRY && !die_skip(walk, &below))) return false;
  }
  return true;
}

bool die_at(const Dwarf *dwarf, uint64_t offset, Die *out) {
  const DwarfUnit *unit = dwarf_unit_at(dwarf, offset);
  if (!unit) return false;
  DieWalk walk = die_walk(unit, offset);
  int depth;
  return die_next(&walk, out, &depth) && out->offset == offset;
}

DieAttr die_attr(const Die *die, uint16_t name) {
  const AbbrevAttr *shapes = &die->unit->abbrevs->attrs[die->abbrev->first];
  bool there = false;
  for (uint32_t i = 0; i < die->abbrev->count && !there; i++) there = shapes[i].name == name;
  if (!there) return (DieAttr){.class = ATTR_ABSENT};
  DieWalk walk = die_walk(die->unit, die->attrs);
  DieAttr attr;
  for (uint32_t i = 0; die_next_attr(&walk, die, i, &attr); i++)
    if (attr.name == name) return attr;
  return (DieAttr){.class = ATTR_FOREIGN};
}

bool die_follow(const Die *die, uint16_t name, Die *out) {
  DieAttr attr = die_attr(die, name);
  return attr.class == ATTR_ENTRY && die_at(die->unit->dwarf, attr.number, out);
}

DieAttr die_attr_deep(const Die *die, uint16_t name) {
  Die at = *die;
  for (int hops = 0; hops < 8; hops++) {
    DieAttr attr = die_attr(&at, name);
    if (attr.class != ATTR_ABSENT) return attr;
    Die next;
    if (!die_follow(&at, DW_AT_abstract_origin, &next) &&
        !die_follow(&at, DW_AT_specification, &next))
      break;
    at = next;
  }
  return (DieAttr){.class = ATTR_ABSENT};
}

const char *die_name(const Die *die) {
  DieAttr attr = die_attr_deep(die, DW_AT_name);
  return attr.class == ATTR_TEXT ? attr.text : NULL;
}

bool die_flag(const Die *die, uint16_t name) {
  DieAttr attr = die_attr_deep(die, name);
  return attr.class == ATTR_NUMBER && attr.number != 0;
}

/* ---- children */

DieChildren die_children(const Die *die) {
  DieChildren children = {.any = die->abbrev->children};
  if (!children.any) return children;
  children.walk = die_walk(die->unit, die->attrs);
  children.any = die_skip(&children.walk, die);
  children.walk.depth = 0;
  return children;
}

bool die_next_child(DieChildren *children, Die *out) {
  int depth;
  if (!children->any) return false;
  children->any = die_next(&children->walk, out, &depth);
  if (!children->any) return false;
  /* The next call goes on behind what is below. */
  children->any = skip_tree(&children->walk, out);
  return true;
}
