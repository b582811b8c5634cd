/*
** Copies of slices that become ours: their heads are written first, which keeps others from
** writing, then the rows are read that are not in doubt.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "remote/owners/node.h"
#include "remote/owners/standby_inside.h"

enum { MOST_TRIES = 100 };

/* ---- taking over ----------------------------------------------------------------------------- */

typedef struct Take { /* of a slice's rows */
  OwnStandby *it;
  int number;
  uint64_t generation; /* that the coordinator believes in */
  OwnHead head;
  uint64_t *odd; /* hashes of what is not believed */
  size_t nodd, capacity;
  uint64_t rows;
} Take;

/* One row behind the other, to the end. NULL: that is not what is there. */
static const unsigned char *take_row(Take *take, uint64_t hash, const unsigned char *at,
                                     const unsigned char *end, Fault *fault) {
  OwnTable *table = take->it->table;
  uint64_t version, flags;
  OwnRow row;
  if (!own_take_word(&at, end, &version) || !own_take_word(&at, end, &flags) ||
      own_take_row(&at, end, &table->type, &row) || own_null(row.words, table->type.key))
    return NULL;
  const OwnKey key = own_key_of(&table->type, row.words);
  if (key.hash != hash || key.text.length > OWN_MOST_KEY) return NULL;
  OwnObject *object = own_object_make(&table->type, row.words);
  if (!object) {
    fault_oom(fault);
    return NULL;
  }
  object->version = version;
  object->gone = flags & 1;
  object->dirty = table->write == OWN_WRITE_BACK && (flags & 2);
  take->rows += own_slice_copied(table, take->number, object);
  own_object_drop(object);
  return at;
}

static bool take_rows(void *ctx, uint64_t hash, const unsigned char *bytes, size_t length,
                      Fault *fault) {
  Take *take = ctx;
  const unsigned char *at = bytes, *end = bytes ? bytes + length : NULL;
  if (own_doubted(take->head.doubts, hash)) at = NULL;
  if (at) at += 8; /* the length of it all */
  while (at && at < end) at = take_row(take, hash, at, end, fault);
  if (at) return true;
  if (fault->code != FAULT_NONE) return false;
  if (!array_grow(take->odd, take->capacity, take->nodd + 1)) return fault_oom(fault);
  take->odd[take->nodd++] = hash;
  return true;
}

/* Its head is ours already. */
static bool take_slice(Take *take, bool read, Fault *fault) {
  OwnTable *table = take->it->table;
  uint64_t low, high;
  own_slice_range(table, take->number, &low, &high);
  if (read && !own_far_read(&take->it->far, low, high, take_rows, take, fault)) return false;
  OwnSlice *slice = own_slice_lock(table, take->number);
  OwnCopy *copy = &slice->copy;
  copy->state = OWN_COPY_KEPT;
  copy->full = copy->told = true;
  copy->generation = take->head.generation;
  memcpy(copy->doubts, take->head.doubts, sizeof copy->doubts);
  for (size_t i = 0; i < take->nodd; i++) own_copy_touch(slice, take->odd[i]);
  own_slice_unlock(slice);
  return true;
}

/* Heads that are what the coordinator says become ours. How many, at the front of `takes`. */
static bool take_heads_once(OwnStandby *it, Take *takes, size_t *n, Fault *fault) {
  int *numbers = malloc(*n * sizeof *numbers + 1);
  OwnHead *there = malloc(*n * sizeof *there + 1), *heads = malloc(*n * sizeof *heads + 1);
  size_t found = 0;
  bool ok = (numbers && there && heads) || fault_oom(fault);
  for (size_t i = 0; ok && i < *n; i++) numbers[i] = takes[i].number;
  ok = ok && own_far_get_heads(&it->far, numbers, there, *n, fault);
  for (size_t i = 0; ok && i < *n; i++) {
    const Take take = takes[i];
    if (there[i].generation != take.generation) continue;
    takes[i] = takes[found];
    takes[found] = take;
    numbers[found] = take.number;
    there[found] = heads[found] = there[i];
    heads[found].epoch = own_node_place(it->table, take.number).epoch;
    takes[found].head = heads[found];
    found++;
  }
  ok = ok && (!found || own_far_put_heads(&it->far, numbers, there, heads, found, fault));
  *n = found;
  free(numbers);
  free(there);
  free(heads);
  return ok;
}

/* Who was the owner may be writing still. */
static bool take_heads(OwnStandby *it, Take *takes, size_t *n, Fault *fault) {
  const size_t all = *n;
  for (int tries = 0;; tries++) {
    Fault told = {0};
    *n = all;
    if (take_heads_once(it, takes, n, &told)) return true;
    if (told.code != FAULT_CONFLICT || tries == MOST_TRIES)
      return fault_set(fault, told.code, "%s", told.text);
  }
}

/* Until it is taken over. */
static void distrust(OwnStandby *it, int number) {
  OwnSlice *slice = own_slice_lock(it->table, number);
  own_copy_distrust(slice);
  own_slice_unlock(slice);
}

void own_standby_adopt(OwnTable *table, const int *slices, const uint64_t *generations, size_t n,
                       bool read) {
  OwnStandby *it = table->standby;
  Fault fault = {0};
  Take *takes = calloc(n + 1, sizeof *takes);
  bool ok = takes != NULL;
  size_t taken = n;
  uint64_t rows = 0;
  pthread_mutex_lock(&it->lock);
  for (size_t i = 0; i < n; i++) {
    distrust(it, slices[i]);
    if (ok) takes[i] = (Take){.it = it, .number = slices[i], .generation = generations[i]};
  }
  ok = ok && own_standby_connected(it, &fault) && take_heads(it, takes, &taken, &fault);
  for (size_t i = 0; ok && i < taken; i++) {
    ok = take_slice(&takes[i], read, &fault);
    rows += takes[i].rows;
  }
  if (takes && !ok) own_standby_failed(it, slices, n, &fault);
  pthread_mutex_unlock(&it->lock);
  for (size_t i = 0; takes && i < n; i++) free(takes[i].odd);
  free(takes);
  pthread_mutex_lock(&it->news);
  it->stats.read += rows;
  pthread_mutex_unlock(&it->news);
}
