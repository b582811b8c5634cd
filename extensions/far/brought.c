/*
** What the round that finds rows brings of them: see far.h.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"

enum { USUAL = 4096, MOST = 65536, MOST_IN_ALL = 1 << 20 };

static bool may_be_out_of_line(const FarRecord *record, int column) {
  const FarType type = record->columns[column].type;
  return column != record->key && (type == FAR_TEXT || type == FAR_BLOB);
}

static bool is_used(uint64_t used, int column) { return used >> (column < 63 ? column : 63) & 1; }

uint32_t far_prefix_of(const FarRecord *record, uint64_t used) {
  uint32_t most = FAR_STAMP + record->shape.key + (record->nulls_at ? 8 : 0);
  for (int i = 0; i < record->ncolumns; i++) {
    const uint32_t end = record->columns[i].at + far_cell_size(record, i);
    if (is_used(used, i) && end > most) most = end;
  }
  return most;
}

/* Once for as long as the same columns are used. */
static void choose_cells(FarBrought *it, FarTab *tab, uint64_t used) {
  const FarRecord *record = &tab->record;
  if (it->tab && it->used == used) return;
  it->tab = tab;
  it->used = used;
  it->prefix = far_prefix_of(record, used);
  it->n = 0;
  for (int i = 0; tab->has_blocks && i < record->ncolumns && it->n < FAR_FOLLOWED; i++) {
    if (!may_be_out_of_line(record, i) || !is_used(used, i)) continue;
    it->cells[it->n] = (FarFollow){record->columns[i].at, record->columns[i].room};
    it->columns[it->n++] = i;
  }
}

bool far_brought_begin(FarBrought *it, FarTab *tab, uint64_t used, bool whole, size_t n) {
  choose_cells(it, tab, used);
  it->wanted = whole ? tab->record.shape.stride : it->prefix;
  if (!it->n) {
    far_map_bring(tab->map, it->wanted, NULL, 0, 0);
    return true;
  }
  const size_t fits = MOST_IN_ALL / n, wanted = tab->bring ? tab->bring : USUAL;
  it->each = (uint32_t)(wanted < fits ? wanted : fits) / 8 * 8;
  if (!array_grow(it->lengths, it->capacity, n)) return false;
  if (n * it->each > it->bytes_capacity) {
    free(it->bytes);
    it->bytes = malloc(n * it->each);
    it->bytes_capacity = it->bytes ? n * it->each : 0;
    if (!it->bytes) return false;
  }
  memset(it->lengths, 0, n * sizeof *it->lengths);
  far_map_bring(tab->map, it->wanted, it->cells, (uint32_t)it->n, it->each);
  return true;
}

void far_brought_take(FarBrought *it, size_t row, const FarFound *found) {
  if (!it->n || !found->nbrought) return;
  it->lengths[row] = found->nbrought;
  memcpy(it->bytes + row * it->each, found->brought, found->nbrought);
}

/* The next look-up has room for a cell that did not come because it was too long. */
static void make_room(FarBrought *it, uint64_t length) {
  FarTab *tab = it->tab;
  if (!tab->bring) tab->bring = USUAL;
  while (tab->bring < MOST && tab->bring < 2 * (length + 8)) tab->bring *= 2;
}

const void *far_brought(FarBrought *it, size_t row, int column, uint64_t length) {
  uint32_t at = 0;
  for (int i = 0; i < it->n; i++) {
    uint64_t came;
    const unsigned char *bytes = it->bytes + row * it->each;
    if (it->lengths[row] - at < sizeof came) break;
    memcpy(&came, bytes + at, sizeof came);
    at += sizeof came;
    if (it->columns[i] == column) {
      if (came == length && length <= it->lengths[row] - at) return bytes + at;
      break;
    }
    if (came == FAR_NONE) continue;
    if (came > it->lengths[row] - at) break;
    at += (uint32_t)(came + 7) / 8 * 8;
    if (at > it->lengths[row]) break;
  }
  if (it->n && it->lengths[row] && length < MOST) make_room(it, length);
  return NULL;
}

void far_brought_free(FarBrought *it) {
  free(it->bytes);
  free(it->lengths);
}
