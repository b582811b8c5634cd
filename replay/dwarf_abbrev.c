/*
** Abbreviations: the shapes that entries have. One table serves all units that name its offset.
*/
#include <stdlib.h>

#include "replay/dwarf_inner.h"

static bool read_attrs(Bytes *in, AbbrevTable *table, Abbrev *abbrev) {
  abbrev->first = (uint32_t)table->nattrs;
  for (;;) {
    uint64_t name = bytes_uleb(in), form = bytes_uleb(in);
    int64_t constant = form == DW_FORM_implicit_const ? bytes_sleb(in) : 0;
    if (in->bad || name > UINT16_MAX || form > UINT16_MAX) return false;
    if (!name && !form) break;
    if (!array_grow(table->attrs, table->attrs_capacity, table->nattrs + 1)) return false;
    table->attrs[table->nattrs++] = (AbbrevAttr){(uint16_t)name, (uint16_t)form, constant};
  }
  abbrev->count = (uint32_t)table->nattrs - abbrev->first;
  return table->nattrs < UINT32_MAX;
}

static int by_code(const void *a, const void *b) {
  uint64_t x = ((const Abbrev *)a)->code, y = ((const Abbrev *)b)->code;
  return (x > y) - (x < y);
}

static bool read_table(Bytes *in, AbbrevTable *table) {
  table->dense = true;
  bool sorted = true;
  uint64_t last = 0, code;
  while ((code = bytes_uleb(in)) != 0) {
    uint64_t tag = bytes_uleb(in);
    bool children = bytes_u8(in) != 0;
    if (in->bad || tag > UINT16_MAX) return false;
    if (!array_grow(table->abbrevs, table->capacity, table->count + 1)) return false;
    Abbrev *abbrev = &table->abbrevs[table->count++];
    *abbrev = (Abbrev){.code = code, .tag = (uint16_t)tag, .children = children};
    if (!read_attrs(in, table, abbrev)) return false;
    table->dense = table->dense && code == table->count;
    sorted = sorted && code > last;
    last = code;
  }
  if (!sorted) qsort(table->abbrevs, table->count, sizeof *table->abbrevs, by_code);
  return !in->bad;
}

static void free_table(AbbrevTable *table) {
  free(table->abbrevs);
  free(table->attrs);
  free(table);
}

void dwarf_abbrevs_free(AbbrevTable *tables) {
  while (tables) {
    AbbrevTable *next = tables->next;
    free_table(tables);
    tables = next;
  }
}

const AbbrevTable *dwarf_abbrevs_get(Dwarf *dwarf, const DwarfFile *file, uint64_t offset) {
  /* A unit mostly has the table of the one before, or one of its own. */
  if (dwarf->abbrevs && dwarf->abbrevs->file == file && dwarf->abbrevs->offset == offset)
    return dwarf->abbrevs;
  uint64_t key[2] = {(uint64_t)(uintptr_t)file, offset};
  const int64_t *known = map_get(&dwarf->abbrev_of, key, sizeof key);
  if (known) return (const AbbrevTable *)(uintptr_t)*known;
  AbbrevTable *table = calloc(1, sizeof *table);
  if (!table) return NULL;
  table->offset = offset;
  table->file = file;
  Bytes in = bytes_from(file->sections[SECTION_ABBREV], offset);
  const uint8_t *start = in.at;
  bool ok = !in.bad && read_table(&in, table);
  /* Tables that overlap would make the work grow with the square of the size. */
  uint64_t used = start ? (uint64_t)(in.at - start) : 0;
  ok = ok && used <= dwarf->abbrev_work &&
       map_put(&dwarf->abbrev_of, key, sizeof key, (int64_t)(uintptr_t)table, NULL);
  dwarf->abbrev_work -= used <= dwarf->abbrev_work ? used : dwarf->abbrev_work;
  if (!ok) {
    free_table(table);
    return NULL;
  }
  table->next = dwarf->abbrevs;
  dwarf->abbrevs = table;
  return table;
}

const Abbrev *dwarf_abbrev_find(const AbbrevTable *table, uint64_t code) {
  if (table->dense) return code - 1 < table->count ? &table->abbrevs[code - 1] : NULL;
  Abbrev key = {.code = code};
  return table->count ? bsearch(&key, table->abbrevs, table->count, sizeof *table->abbrevs, by_code)
                      : NULL;
}
