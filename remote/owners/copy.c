/*
** What an owner knows of the copy of a slice: which rows are to be written, and which are in doubt.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "remote/owners/standby.h"

enum { LOOKED_AT = 4 * OWN_BATCH, FEW = 2048 };

void own_doubt(uint64_t *doubts, uint64_t hash) {
  doubts[hash / 64 % OWN_DOUBTS] |= UINT64_C(1) << hash % 64;
}

bool own_doubted(const uint64_t *doubts, uint64_t hash) {
  return doubts[hash / 64 % OWN_DOUBTS] >> hash % 64 & 1;
}

static void forget_todo(OwnCopy *copy) {
  free(copy->todo);
  copy->todo = NULL;
  copy->ntodo = copy->capacity = 0;
}

void own_copy_fail(OwnSlice *slice) {
  OwnCopy *copy = &slice->copy;
  copy->state = copy->said ? OWN_COPY_FAILED : OWN_COPY_OFF;
  copy->full = copy->told = false;
  forget_todo(copy);
}

void own_copy_distrust(OwnSlice *slice) {
  slice->copy.said = true;
  own_copy_fail(slice);
}

void own_copy_end(OwnSlice *slice) {
  slice->copy.said = false;
  own_copy_fail(slice);
}

void own_copy_free(OwnSlice *slice) { forget_todo(&slice->copy); }

void own_copy_touch(OwnSlice *slice, uint64_t hash) {
  OwnCopy *copy = &slice->copy;
  if (copy->state != OWN_COPY_KEPT) return;
  if (array_grow(copy->todo, copy->capacity, copy->ntodo + 1)) {
    copy->todo[copy->ntodo++] = hash;
  } else {
    own_copy_fail(slice);
  }
}

bool own_copy_begin(OwnSlice *slice, uint64_t generation, bool doubt) {
  OwnCopy *copy = &slice->copy;
  forget_todo(copy);
  if (!array_extend(copy->todo, copy->capacity, slice->count + 1)) return false;
  for (size_t i = 0; i < slice->capacity; i++)
    if (slice->slots[i]) copy->todo[copy->ntodo++] = slice->slots[i]->hash;
  copy->state = OWN_COPY_KEPT;
  copy->generation = generation;
  copy->full = copy->said = copy->told = false;
  memset(copy->doubts, 0, sizeof copy->doubts);
  for (const OwnPending *at = slice->pending; doubt && at; at = at->next)
    own_doubt(copy->doubts, at->object->hash);
  return true;
}

/* ---- the next batch -------------------------------------------------------------------------- */

static int by_hash(const void *a, const void *b) {
  const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return (left > right) - (left < right);
}

/* Some of the hashes to be written, each once: moved to the end. */
static size_t choose(OwnCopy *copy) {
  const size_t n = copy->ntodo < LOOKED_AT ? copy->ntodo : LOOKED_AT;
  uint64_t *from = copy->todo + copy->ntodo - n;
  size_t kept = 0;
  qsort(from, n, sizeof *from, by_hash);
  for (size_t i = 0; i < n; i++)
    if (!kept || from[kept - 1] != from[i]) from[kept++] = from[i];
  copy->ntodo -= n - kept;
  return kept < OWN_BATCH ? kept : OWN_BATCH;
}

/* All objects with a hash, which stand one behind the other; too many are none. How many bytes. */
static size_t add_rows(const OwnSlice *slice, uint64_t hash, OwnBatch *out) {
  size_t bytes = 0;
  const size_t mask = slice->capacity - 1, first = out->n;
  for (size_t i = hash & mask; slice->capacity && slice->slots[i]; i = (i + 1) & mask) {
    OwnObject *object = slice->slots[i];
    if (object->hash != hash) continue;
    if (out->n + OWN_BATCH - out->nhashes == 2 * OWN_BATCH) {
      while (out->n > first) own_object_drop(out->rows[--out->n].object);
      break;
    }
    bytes += object->size;
    out->rows[out->n++] = (OwnBatchRow){hash, own_object_keep(object), object->gone, object->dirty};
  }
  if (out->n == first) out->rows[out->n++] = (OwnBatchRow){.hash = hash};
  out->nhashes++;
  return bytes;
}

/* Rows in doubt stay so while they are being changed, or have not been written. */
static void settle_doubts(OwnSlice *slice) {
  OwnCopy *copy = &slice->copy;
  uint64_t still[OWN_DOUBTS] = {0};
  if (copy->ntodo > FEW) return;
  for (size_t i = 0; i < copy->ntodo; i++) own_doubt(still, copy->todo[i]);
  for (const OwnPending *at = slice->pending; at; at = at->next) own_doubt(still, at->object->hash);
  for (int i = 0; i < OWN_DOUBTS; i++) copy->doubts[i] &= still[i];
}

bool own_copy_take(OwnSlice *slice, OwnBatch *out) {
  OwnCopy *copy = &slice->copy;
  out->n = out->nhashes = 0;
  if (copy->state != OWN_COPY_KEPT || !copy->ntodo) return false;
  size_t n = choose(copy), bytes = 0;
  for (; n > 0 && bytes < OWN_MOST_COPIED; n--)
    bytes += add_rows(slice, copy->todo[--copy->ntodo], out);
  settle_doubts(slice);
  copy->writing = out->nhashes;
  out->generation = copy->generation;
  out->epoch = slice->epoch;
  memcpy(out->doubts, copy->doubts, sizeof out->doubts);
  return true;
}

void own_batch_drop(OwnBatch *batch) {
  for (size_t i = 0; i < batch->n; i++) own_object_drop(batch->rows[i].object);
  batch->n = batch->nhashes = 0;
}
