/*
** Rows that are kept: a table with stale_ms=N answers look-ups by key from what it has read at most
** N ms ago. What this connection changes, and what it is told of by a notice, is read anew.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"

/* One row: all multiples of 8 bytes, so that what is behind another one is aligned. */
typedef struct KeptRow {
  int64_t read_at;
  FarSeen seen;
  bool there;
} KeptRow; /* then the element */

enum { MOST = 16 << 20 /* bytes of a table; then it begins anew */ };

static KeptRow *row_at(const FarTab *tab, int64_t at) {
  return (KeptRow *)(void *)(tab->kept_rows.rows + at);
}

void far_kept_clear(FarTab *tab) {
  FarKept *kept = &tab->kept_rows;
  map_finish(&kept->index);
  free(kept->rows);
  kept->rows = NULL;
  kept->count = kept->capacity = 0;
}

void far_kept_clear_map(FarState *state, const FarLink *link, const char *far_name) {
  for (FarTab *tab = state->tabs; tab; tab = tab->next_known)
    if (tab->link == link && !strcmp(tab->far_name, far_name)) far_kept_clear(tab);
}

/* Not for a transaction that writes: it compares what it has read with what is there. */
static bool is_usable(FarTab *tab) {
  FarKept *kept = &tab->kept_rows;
  if (!kept->ns || tab->link->txn) return false;
  if (kept->client == far_client(tab->link->memory)) return true;
  far_kept_clear(tab); /* another connection: who knows what was in between */
  kept->client = far_client(tab->link->memory);
  return true;
}

bool far_kept_get(FarTab *tab, const unsigned char *key, const unsigned char **out,
                  FarSeen *out_seen) {
  if (!is_usable(tab)) return false;
  const int64_t *at = map_get(&tab->kept_rows.index, key, tab->record.shape.key);
  const KeptRow *row = at ? row_at(tab, *at) : NULL;
  if (!row || clock_now() - row->read_at > tab->kept_rows.ns) return false;
  *out = row->there ? (const unsigned char *)(row + 1) : NULL;
  *out_seen = row->seen;
  far_counts(tab->link->memory)->hits++;
  return true;
}

/* What is out of line is not part of the row, and may be gone. */
static bool is_in_line(const FarTab *tab, const unsigned char *element) {
  const FarRecord *record = &tab->record;
  for (int i = 0; i < record->ncolumns; i++) {
    const unsigned char *bytes;
    uint64_t length;
    FarPointer block;
    if ((record->columns[i].type == FAR_TEXT || record->columns[i].type == FAR_BLOB) &&
        i != record->key && !far_cell_null(record, element, i) &&
        (!far_cell_bytes(record, element, i, &bytes, &length, &block) || block))
      return false;
  }
  return true;
}

void far_kept_put(FarTab *tab, const unsigned char *key, const unsigned char *element,
                  const FarSeen *seen, int64_t read_at) {
  FarKept *kept = &tab->kept_rows;
  const size_t stride = tab->record.shape.stride, size = sizeof(KeptRow) + stride;
  if (!is_usable(tab) || (element && tab->has_blocks && !is_in_line(tab, element))) return;
  if (kept->count + size > MOST) far_kept_clear(tab);
  int64_t *at = map_put(&kept->index, key, tab->record.shape.key, -1, NULL);
  if (!at) return;
  if (*at < 0) {
    if (!array_extend(kept->rows, kept->capacity, kept->count + size)) {
      far_kept_clear(tab); /* with the key that has no row */
      return;
    }
    *at = (int64_t)kept->count;
    kept->count += size;
  }
  KeptRow *row = row_at(tab, *at);
  *row = (KeptRow){.read_at = read_at, .seen = *seen, .there = element != NULL};
  if (element) memcpy(row + 1, element, stride);
}
