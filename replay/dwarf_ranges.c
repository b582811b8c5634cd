/*
** Where the code of an entry is: one range, or a list in .debug_ranges or .debug_rnglists.
*/
#include <stdlib.h>

#include "replay/dwarf_inner.h"

/* Of one entry. The compiler makes a few hundred for the largest units. */
enum { MOST_RANGES = 1 << 20 };

static bool add(AddrRanges *out, uint64_t lo, uint64_t hi) {
  if (lo >= hi) return true;
  if (out->count >= MOST_RANGES || !array_grow(out->ranges, out->capacity, out->count + 1))
    return false;
  out->ranges[out->count++] = (DwarfRange){lo, hi};
  return true;
}

static bool read_ranges4(const DwarfUnit *unit, uint64_t offset, AddrRanges *out) {
  Bytes in = bytes_from(unit->file->sections[SECTION_RANGES], offset);
  unsigned size = unit->address_size;
  uint64_t base = unit->low, largest = size == 8 ? UINT64_MAX : UINT32_MAX;
  while (!in.bad) {
    uint64_t lo = bytes_number(&in, size), hi = bytes_number(&in, size);
    if (in.bad) return false;
    if (!lo && !hi) return true;
    if (lo == largest)
      base = hi;
    else if (!add(out, base + lo, base + hi))
      return false;
  }
  return false;
}

static bool read_ranges5(const DwarfUnit *unit, uint64_t offset, AddrRanges *out) {
  Bytes in = bytes_from(unit->file->sections[SECTION_RNGLISTS], offset);
  uint64_t base = unit->low, lo = 0, hi = 0;
  while (!in.bad) {
    switch (bytes_u8(&in)) {
    case DW_RLE_end_of_list:
      return !in.bad;
    case DW_RLE_base_addressx:
      if (!dwarf_address(unit, bytes_uleb(&in), &base)) return false;
      continue;
    case DW_RLE_base_address:
      base = bytes_number(&in, unit->address_size);
      continue;
    case DW_RLE_startx_endx:
      if (!dwarf_address(unit, bytes_uleb(&in), &lo) || !dwarf_address(unit, bytes_uleb(&in), &hi))
        return false;
      break;
    case DW_RLE_startx_length:
      if (!dwarf_address(unit, bytes_uleb(&in), &lo)) return false;
      hi = lo + bytes_uleb(&in);
      break;
    case DW_RLE_offset_pair:
      lo = base + bytes_uleb(&in);
      hi = base + bytes_uleb(&in);
      break;
    case DW_RLE_start_end:
      lo = bytes_number(&in, unit->address_size);
      hi = bytes_number(&in, unit->address_size);
      break;
    case DW_RLE_start_length:
      lo = bytes_number(&in, unit->address_size);
      hi = lo + bytes_uleb(&in);
      break;
    default:
      return false;
    }
    if (!in.bad && !add(out, lo, hi)) return false;
  }
  return false;
}

static bool read_indexed(const DwarfUnit *unit, uint64_t index, AddrRanges *out) {
  Span lists = unit->file->sections[SECTION_RNGLISTS];
  if (index > lists.size) return false;
  Bytes in = bytes_from(lists, unit->rnglists_base + index * unit->offset_size);
  uint64_t offset = bytes_number(&in, unit->offset_size);
  return !in.bad && read_ranges5(unit, unit->rnglists_base + offset, out);
}

bool dwarf_ranges_read(const DwarfUnit *unit, const DieAttr *attr, AddrRanges *out) {
  switch (attr->class) {
  case ATTR_INDEX:
    return read_indexed(unit, attr->number, out);
  case ATTR_SECTION:
  case ATTR_NUMBER: /* before DWARF 4 offsets were written as numbers */
    return unit->version >= 5 ? read_ranges5(unit, attr->number, out)
                              : read_ranges4(unit, attr->number, out);
  default:
    return false;
  }
}

bool dwarf_range_of(const DieAttr *low, const DieAttr *high, DwarfRange *out) {
  if (low->class != ATTR_ADDRESS) return false;
  uint64_t hi = high->class == ATTR_ADDRESS ? high->number : low->number + high->number;
  if (high->class != ATTR_ADDRESS && high->class != ATTR_NUMBER && high->class != ATTR_SIGNED)
    return false;
  *out = (DwarfRange){low->number, hi};
  return low->number < hi;
}

bool die_ranges(const Die *die, AddrRanges *out) {
  DieAttr ranges = die_attr(die, DW_AT_ranges);
  if (ranges.class != ATTR_ABSENT) return dwarf_ranges_read(die->unit, &ranges, out);
  DieAttr low = die_attr(die, DW_AT_low_pc), high = die_attr(die, DW_AT_high_pc);
  DwarfRange range;
  return !dwarf_range_of(&low, &high, &range) || add(out, range.lo, range.hi);
}
