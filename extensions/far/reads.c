/*
** What a transaction has read of a table that it writes, and the blocks it has stored.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"

bool far_reads_add(FarTab *tab, const unsigned char *key, const FarSeen *seen,
                   const unsigned char *element, Fault *fault) {
  bool added;
  int64_t *at = map_put(&tab->read_index, key, tab->record.shape.key, (int64_t)tab->nreads, &added);
  if (!at || !array_grow(tab->reads, tab->reads_capacity, tab->nreads + 1)) return fault_oom(fault);
  if (!added) return true; /* the first one counts */
  FarRead read = {.seen = *seen};
  if (tab->has_blocks && element) {
    if (!(read.element = arena_alloc(&tab->kept, tab->record.shape.stride)))
      return fault_oom(fault);
    memcpy(read.element, element, tab->record.shape.stride);
  }
  tab->reads[tab->nreads++] = read;
  return true;
}

const FarRead *far_reads_get(const FarTab *tab, const unsigned char *key) {
  const int64_t *at = map_get(&tab->read_index, key, tab->record.shape.key);
  return at ? &tab->reads[*at] : NULL;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

typedef bool BlockAct(FarTab *tab, FarPointer block, uint64_t length, void *ctx, Fault *fault);

static bool each_block(FarTab *tab, const unsigned char *element, BlockAct *act, void *ctx,
                       Fault *fault) {
  for (int i = 0; i < tab->record.ncolumns; i++) {
    uint64_t length;
    const FarPointer block = far_cell_block(&tab->record, element, i, &length);
    if (block && !act(tab, block, length, ctx, fault)) return false;
  }
  return true;
}

static bool note(FarTab *tab, FarPointer block, uint64_t length, void *live, Fault *fault) {
  (void)tab;
  return map_put(live, &block, sizeof block, (int64_t)length, NULL) || fault_oom(fault);
}

static bool give_back(FarTab *tab, FarPointer block, uint64_t length, void *live, Fault *fault) {
  if (map_get(live, &block, sizeof block)) return true;
  return note(tab, block, length, live, fault) && /* once */
         far_free(tab->link->memory, block, length, FAR_USE_BYTES, NULL, fault);
}

/* The elements that the transaction leaves behind. */
static bool find_live(FarTab *tab, Map *live, Fault *fault) {
  const unsigned char *key, *value;
  const uint32_t before = FAR_STAMP + tab->record.shape.key;
  for (size_t at = 0; far_txn_next(tab->link->txn, tab->map, &at, &key, &value);) {
    if (value && !each_block(tab, value - before, note, live, fault)) return false;
  }
  return true;
}

static bool free_old(FarTab *tab, Map *live, Fault *fault) {
  const unsigned char *key, *value;
  for (size_t at = 0; far_txn_next(tab->link->txn, tab->map, &at, &key, &value);) {
    const FarRead *read = far_reads_get(tab, key);
    if (read && read->element && !each_block(tab, read->element, give_back, live, fault))
      return false;
  }
  return true;
}

bool far_reads_end(FarTab *tab, bool happened, bool same) {
  Map live = {0};
  Fault fault = {0};
  bool ok = true;
  if (tab->has_blocks && tab->link->txn && same) {
    if (happened) ok = find_live(tab, &live, &fault) && free_old(tab, &live, &fault);
    /* Without what is live nothing can be told to be garbage; else all that can is given back. */
    for (size_t i = 0; (ok || !happened) && i < tab->nstored; i += 2) {
      if (!map_get(&live, &tab->stored[i], sizeof(FarPointer)))
        ok = far_free(tab->link->memory, tab->stored[i], tab->stored[i + 1], FAR_USE_BYTES, NULL,
                      &fault) &&
             ok;
    }
  }
  map_finish(&live);
  map_finish(&tab->read_index);
  arena_reset(&tab->kept);
  tab->nreads = tab->nstored = 0;
  return ok;
}
