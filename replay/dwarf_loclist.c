/*
** Location lists: which expression holds at an address.
*/
#include "replay/dwarf_location.h"

enum { LLE_GNU_VIEW_PAIR = 9 }; /* DW_LLE_GNU_view_pair, younger than the header */

typedef struct Entry {
  uint64_t lo, hi;
  bool always; /* holds where no other does */
  Span expression;
} Entry;

typedef struct List {
  const DwarfUnit *unit;
  Bytes in;
  uint64_t base;
} List;

typedef enum Next { NEXT_ENTRY, NEXT_END, NEXT_BROKEN } Next;

static Next read_block(Bytes *in, uint64_t size, Entry *out) {
  const uint8_t *bytes = bytes_take(in, size);
  out->expression = (Span){bytes, bytes ? size : 0};
  return in->bad ? NEXT_BROKEN : NEXT_ENTRY;
}

static Next next4(List *list, Entry *out) {
  Bytes *in = &list->in;
  unsigned size = list->unit->address_size;
  uint64_t largest = size == 8 ? UINT64_MAX : UINT32_MAX;
  for (;;) {
    uint64_t lo = bytes_number(in, size), hi = bytes_number(in, size);
    if (in->bad) return NEXT_BROKEN;
    if (!lo && !hi) return NEXT_END;
    if (lo == largest) {
      list->base = hi;
      continue;
    }
    *out = (Entry){.lo = list->base + lo, .hi = list->base + hi};
    return read_block(in, bytes_u16(in), out);
  }
}

/* Two addresses by index, or one and a length. */
static bool indexed_range(List *list, bool with_length, Entry *out) {
  if (!dwarf_address(list->unit, bytes_uleb(&list->in), &out->lo)) return false;
  uint64_t second = bytes_uleb(&list->in);
  out->hi = out->lo + second;
  return with_length || dwarf_address(list->unit, second, &out->hi);
}

static Next next5(List *list, Entry *out) {
  Bytes *in = &list->in;
  unsigned size = list->unit->address_size;
  while (!in->bad) {
    *out = (Entry){0};
    switch (bytes_u8(in)) {
    case DW_LLE_end_of_list:
      return in->bad ? NEXT_BROKEN : NEXT_END;
    case DW_LLE_base_addressx:
      if (!dwarf_address(list->unit, bytes_uleb(in), &list->base)) return NEXT_BROKEN;
      continue;
    case DW_LLE_base_address:
      list->base = bytes_number(in, size);
      continue;
    case LLE_GNU_VIEW_PAIR:
      bytes_uleb(in);
      bytes_uleb(in);
      continue;
    case DW_LLE_startx_endx:
      if (!indexed_range(list, false, out)) return NEXT_BROKEN;
      break;
    case DW_LLE_startx_length:
      if (!indexed_range(list, true, out)) return NEXT_BROKEN;
      break;
    case DW_LLE_offset_pair:
      out->lo = list->base + bytes_uleb(in);
      out->hi = list->base + bytes_uleb(in);
      break;
    case DW_LLE_default_location:
      out->always = true;
      break;
    case DW_LLE_start_end:
      out->lo = bytes_number(in, size);
      out->hi = bytes_number(in, size);
      break;
    case DW_LLE_start_length:
      out->lo = bytes_number(in, size);
      out->hi = out->lo + bytes_uleb(in);
      break;
    default:
      return NEXT_BROKEN;
    }
    return read_block(in, bytes_uleb(in), out);
  }
  return NEXT_BROKEN;
}

static bool open_list(const DwarfUnit *unit, const DieAttr *attr, List *out) {
  uint64_t offset = attr->number;
  Span lists = unit->file->sections[unit->version >= 5 ? SECTION_LOCLISTS : SECTION_LOC];
  if (attr->class == ATTR_INDEX) {
    if (offset > lists.size) return false;
    Bytes in = bytes_from(lists, unit->loclists_base + offset * unit->offset_size);
    offset = unit->loclists_base + bytes_number(&in, unit->offset_size);
    if (in.bad) return false;
  }
  *out = (List){unit, bytes_from(lists, offset), unit->low};
  return !out->in.bad;
}

/* The first entry that holds, as others have it. An empty range at the beginning of a function is
** one that holds there alone. */
bool dwarf_expression_at(const DwarfUnit *unit, const DieAttr *attr, uint64_t addr, uint64_t entry,
                         Span *out, ValueState *out_state) {
  *out_state = VALUE_KNOWN;
  *out = attr->block;
  if (attr->class == ATTR_BLOCK) return true;
  List list;
  *out_state = VALUE_UNKNOWN;
  if ((attr->class != ATTR_SECTION && attr->class != ATTR_INDEX && attr->class != ATTR_NUMBER) ||
      !open_list(unit, attr, &list))
    return false;
  Entry found, otherwise = {0};
  Next next;
  while ((next = unit->version >= 5 ? next5(&list, &found) : next4(&list, &found)) == NEXT_ENTRY) {
    if (found.always) otherwise = found;
    bool empty = found.lo == found.hi && addr == found.lo && addr == entry;
    if (!empty && (addr < found.lo || addr >= found.hi)) continue;
    *out = found.expression;
    *out_state = VALUE_KNOWN;
    return true;
  }
  if (next == NEXT_BROKEN) return false;
  *out = otherwise.expression;
  *out_state = otherwise.always ? VALUE_KNOWN : VALUE_OPTIMIZED_OUT;
  return otherwise.always;
}
