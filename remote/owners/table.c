#include "remote/owners/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "remote/owners/node.h"
#include "remote/owners/standby.h"

enum { LEAST = 16 /* slots */, STEPS = 128 };

const char own_gone;

/* ---- a slice's hash table -------------------------------------------------------------------- */

/* Open addressing; the slot of a key is taken from the low bits of its hash, for the high ones have
** chosen the slice. */
static size_t place(const OwnSlice *slice, const OwnType *type, const OwnKey *key) {
  const size_t mask = slice->capacity - 1;
  size_t i = key->hash & mask;
  while (slice->slots[i] && !own_key_is(type, slice->slots[i], key)) i = (i + 1) & mask;
  return i;
}

static OwnObject *get(const OwnSlice *slice, const OwnType *type, const OwnKey *key) {
  return slice->count ? slice->slots[place(slice, type, key)] : NULL;
}

static bool resize(OwnSlice *slice, size_t more) {
  OwnObject **slots = calloc(more, sizeof *slots);
  if (!slots) return false;
  for (size_t i = 0; i < slice->capacity; i++) {
    if (!slice->slots[i]) continue;
    size_t at = slice->slots[i]->hash & (more - 1);
    while (slots[at]) at = (at + 1) & (more - 1);
    slots[at] = slice->slots[i];
  }
  free(slice->slots);
  slice->slots = slots;
  slice->capacity = more;
  return true;
}

static bool make_room(OwnSlice *slice) {
  if (slice->count < slice->capacity / 2) return true;
  return resize(slice, slice->capacity ? 2 * slice->capacity : LEAST);
}

/* Who comes after moves up, so that nothing has to mark the place. */
static void take_out(OwnSlice *slice, size_t hole) {
  const size_t mask = slice->capacity - 1;
  slice->ndirty -= slice->slots[hole]->dirty;
  slice->bytes -= slice->slots[hole]->size;
  own_object_drop(slice->slots[hole]);
  for (size_t i = (hole + 1) & mask; slice->slots[i]; i = (i + 1) & mask) {
    const size_t home = slice->slots[i]->hash & mask;
    if (((i - home) & mask) < ((i - hole) & mask)) continue;
    slice->slots[hole] = slice->slots[i];
    hole = i;
  }
  slice->slots[hole] = NULL;
  slice->count--;
}

/* Takes the reference. There is room, if the row is new. */
static void put(OwnSlice *slice, const OwnType *type, OwnObject *object) {
  const OwnKey key = own_key_of(type, object->row);
  const size_t at = place(slice, type, &key);
  if (slice->slots[at]) {
    slice->ndirty -= slice->slots[at]->dirty;
    slice->bytes -= slice->slots[at]->size;
    own_object_drop(slice->slots[at]);
  } else {
    slice->count++;
  }
  slice->ndirty += object->dirty;
  slice->bytes += object->size;
  slice->slots[at] = object;
}

/* Rows go until the others have room: who was found since the hand came by the last time stays for
** another round of it. The hand goes a few steps at a time, so that nobody waits for long when all
** that is here has to stay; and so there may not be few rows in a large table. */
static void make_way(const OwnTable *table, OwnSlice *slice, size_t steps) {
  if (!table->most) return;
  const uint64_t share = table->most / (unsigned)table->nslices;
  for (; slice->bytes > share && steps > 0; steps--) {
    const size_t i = slice->hand & (slice->capacity - 1);
    OwnObject *object = slice->slots[i];
    const bool stays = !object || object->dirty || object->gone || object->used ||
                       atomic_load_explicit(&object->refs, memory_order_acquire) > 1;
    if (!stays) {
      own_copy_touch(slice, object->hash);
      take_out(slice, i); /* who moves up is looked at next */
      slice->evicted++;
      continue;
    }
    if (object) object->used = false;
    slice->hand = i + 1;
  }
  if (slice->capacity > LEAST && slice->count < slice->capacity / 8)
    resize(slice, slice->capacity / 2); /* or not, without memory */
}

static void add(const OwnTable *table, OwnSlice *slice, OwnObject *object) {
  put(slice, &table->type, own_object_keep(object));
  make_way(table, slice, STEPS);
}

static void empty(OwnSlice *slice) {
  for (size_t i = 0; i < slice->capacity; i++) own_object_drop(slice->slots[i]);
  free(slice->slots);
  slice->slots = NULL;
  slice->count = slice->capacity = slice->ndirty = slice->bytes = 0;
}

/* ---- a table --------------------------------------------------------------------------------- */

OwnTable *own_table_make(const char *name, const OwnType *type, int nslices) {
  OwnTable *table = calloc(1, sizeof *table);
  if (!table) return NULL;
  table->name = strdup(name);
  table->slices = calloc((size_t)nslices, sizeof *table->slices);
  if (!table->name || !table->slices) {
    free(table->name);
    free(table->slices);
    free(table);
    return NULL;
  }
  pthread_mutex_init(&table->flushing, NULL);
  table->type = *type;
  table->nslices = nslices;
  for (int i = 0; i < nslices; i++) {
    pthread_mutex_init(&table->slices[i].lock, NULL);
    table->slices[i].owner = OWN_NOBODY;
  }
  return table;
}

static void drop_pending(OwnSlice *slice, OwnPending **at) {
  OwnPending *pending = *at;
  *at = pending->next;
  slice->changes++;
  own_object_drop(pending->object);
  free(pending);
}

void own_table_free(OwnTable *table) {
  if (!table) return;
  own_standby_close(table->standby);
  for (int i = 0; i < table->nslices; i++) {
    OwnSlice *slice = &table->slices[i];
    while (slice->pending) drop_pending(slice, &slice->pending);
    empty(slice);
    own_copy_free(slice);
    pthread_mutex_destroy(&slice->lock);
  }
  if (table->store.free) table->store.free(table->store.ctx);
  pthread_mutex_destroy(&table->flushing);
  free(table->slices);
  free(table->name);
  free(table);
}

static OwnSlice *lock_slice(OwnTable *table, uint64_t hash) {
  OwnSlice *slice = &table->slices[own_slice_of(table, hash)];
  pthread_mutex_lock(&slice->lock);
  return slice;
}

/* OWN_FOUND, or why nothing may be said about the slice. */
static OwnAnswer usable(const OwnTable *table, const OwnSlice *slice) {
  if (slice->state == OWN_ELSEWHERE) return OWN_NOT_HERE;
  if (slice->state == OWN_CLOSED) return OWN_WAIT;
  return !table->strict || own_node_sure(table->node) ? OWN_FOUND : OWN_WAIT;
}

OwnAnswer own_table_find(OwnTable *table, const OwnKey *key, OwnObject **out,
                         uint64_t *out_ticket) {
  OwnSlice *slice = lock_slice(table, key->hash);
  OwnAnswer answer = usable(table, slice);
  *out = NULL;
  if (answer == OWN_FOUND) {
    OwnObject *object = get(slice, &table->type, key);
    slice->reads++;
    if (object && !object->gone) {
      *out = own_object_keep(object);
      if (!object->used) object->used = true;
      make_way(table, slice, STEPS);
    } else {
      answer = object || !table->loads ? OWN_ABSENT : OWN_MISS;
      *out_ticket = slice->changes;
    }
  }
  pthread_mutex_unlock(&slice->lock);
  return answer;
}

/* Changed by somebody else. A transaction of many rows does not look through its own. */
static bool is_pending(const OwnSlice *slice, const OwnType *type, const OwnKey *key,
                       const void *who) {
  if (who && slice->sole == who) return false;
  for (const OwnPending *at = slice->pending; at; at = at->next)
    if (own_key_is(type, at->object, key)) return true;
  return false;
}

OwnAnswer own_table_add(OwnTable *table, OwnObject **object, uint64_t ticket) {
  const OwnKey key = own_key_of(&table->type, (*object)->row);
  OwnSlice *slice = lock_slice(table, (*object)->hash);
  OwnAnswer answer = usable(table, slice);
  if (answer == OWN_NOT_HERE || slice->changes != ticket) answer = OWN_WAIT;
  if (answer == OWN_FOUND) {
    slice->loads++;
    OwnObject *there = get(slice, &table->type, &key);
    /* What is being written may be in the database already or not: it is not kept. */
    const bool keep = !there && !is_pending(slice, &table->type, &key, NULL);
    if (there && !there->gone) { /* somebody else was faster */
      own_object_drop(*object);
      *object = own_object_keep(there);
    } else if (keep && make_room(slice)) {
      add(table, slice, *object);
      own_copy_touch(slice, (*object)->hash);
    } else if (keep) {
      answer = OWN_NOMEM;
    }
  }
  pthread_mutex_unlock(&slice->lock);
  return answer;
}

/* ---- changes --------------------------------------------------------------------------------- */

static OwnAnswer check(const OwnTable *table, const OwnSlice *slice, const OwnChange *change,
                       const void *who) {
  const OwnType *type = &table->type;
  OwnAnswer answer = usable(table, slice);
  if (answer != OWN_FOUND) return answer;
  if (slice->state == OWN_LEAVING || slice->copy.state == OWN_COPY_FAILED) return OWN_WAIT;
  const OwnKey key = own_key_of(type, change->object->row);
  if (is_pending(slice, type, &key, who)) return OWN_LOCKED;
  const OwnObject *now = get(slice, type, &key);
  if (now && now->gone) now = NULL;
  if (change->expect == OWN_NONE && now) return OWN_CONFLICT;
  if (change->expect == OWN_VERSION && (!now || now->version != change->version))
    return OWN_CONFLICT;
  return OWN_FOUND;
}

static OwnAnswer prepare_one(OwnTable *table, OwnChange *change, const void *who) {
  OwnSlice *slice = lock_slice(table, change->object->hash);
  OwnAnswer answer = check(table, slice, change, who);
  if (answer == OWN_FOUND) {
    OwnPending *pending = make_room(slice) ? malloc(sizeof *pending) : NULL;
    if (pending) {
      slice->sole = !slice->pending || slice->sole == who ? who : NULL;
      *pending = (OwnPending){slice->pending, who, own_object_keep(change->object)};
      slice->pending = pending;
      slice->changes++;
      change->epoch = slice->epoch;
    } else {
      answer = OWN_NOMEM;
    }
  }
  pthread_mutex_unlock(&slice->lock);
  return answer;
}

/* Copies of what the database will know better are not believed from now on. */
static OwnAnswer doubt(OwnTable *table, const OwnChange *changes, size_t n) {
  if (!table->standby || table->write != OWN_WRITE_THROUGH) return OWN_FOUND;
  uint64_t *hashes = malloc((n + 1) * sizeof *hashes);
  if (!hashes) return OWN_NOMEM;
  for (size_t i = 0; i < n; i++) hashes[i] = changes[i].object->hash;
  const OwnAnswer answer = own_standby_doubt(table, hashes, n);
  free(hashes);
  return answer;
}

OwnAnswer own_table_prepare(OwnTable *table, OwnChange *changes, size_t n, const void *who,
                            size_t *out_failed) {
  OwnAnswer answer = OWN_FOUND;
  *out_failed = 0;
  for (size_t i = 0; i < n && answer == OWN_FOUND; i++) {
    answer = prepare_one(table, &changes[i], who);
    if (answer != OWN_FOUND) *out_failed = i;
  }
  if (answer == OWN_FOUND) answer = doubt(table, changes, n);
  if (answer != OWN_FOUND) own_table_abort(table, who);
  return answer;
}

typedef enum End { END_DONE, END_UNDONE, END_FORGOTTEN } End;

/* There is room: prepare_one() made it, and nothing takes it away but other pending rows, of which
** a slice has few, and memory= where a table has become too large. When memory is refused now, what
** is in the database is found there again. */
static void end_one(OwnTable *table, OwnSlice *slice, OwnPending **at, End end) {
  OwnObject *object = (*at)->object;
  const OwnKey key = own_key_of(&table->type, object->row);
  const bool keep = end == END_DONE && (!object->gone || table->write == OWN_WRITE_BACK);
  if (keep && (slice->count + 1 < slice->capacity || make_room(slice))) {
    object->dirty = table->write == OWN_WRITE_BACK;
    add(table, slice, object);
    slice->writes++;
  } else if (end != END_UNDONE && get(slice, &table->type, &key)) {
    take_out(slice, place(slice, &table->type, &key));
    slice->writes++;
  }
  own_copy_touch(slice, object->hash);
  drop_pending(slice, at);
}

static void end_all(OwnTable *table, const void *who, End end) {
  for (int i = 0; i < table->nslices; i++) {
    OwnSlice *slice = &table->slices[i];
    pthread_mutex_lock(&slice->lock);
    for (OwnPending **at = &slice->pending; *at;) {
      if ((*at)->who == who) {
        end_one(table, slice, at, end);
      } else {
        at = &(*at)->next;
      }
    }
    pthread_mutex_unlock(&slice->lock);
  }
}

void own_table_commit(OwnTable *table, const void *who) { end_all(table, who, END_DONE); }
void own_table_abort(OwnTable *table, const void *who) { end_all(table, who, END_UNDONE); }
void own_table_forget_prepared(OwnTable *table, const void *who) {
  end_all(table, who, END_FORGOTTEN);
}

bool own_table_prepared(OwnTable *table, const void *who) {
  bool any = false;
  for (int i = 0; i < table->nslices && !any; i++) {
    OwnSlice *slice = &table->slices[i];
    pthread_mutex_lock(&slice->lock);
    for (const OwnPending *at = slice->pending; at && !any; at = at->next) any = at->who == who;
    pthread_mutex_unlock(&slice->lock);
  }
  return any;
}

bool own_table_forget(OwnTable *table, const OwnKey *key) {
  OwnSlice *slice = lock_slice(table, key->hash);
  const OwnObject *object = get(slice, &table->type, key);
  const bool ok = usable(table, slice) == OWN_FOUND && table->loads &&
                  !is_pending(slice, &table->type, key, NULL) && !(object && object->dirty);
  if (ok && object) take_out(slice, place(slice, &table->type, key));
  if (ok) slice->changes++;
  if (ok) own_copy_touch(slice, key->hash);
  pthread_mutex_unlock(&slice->lock);
  return ok && own_standby_drain(table, own_slice_of(table, key->hash)) != OWN_COPY_FAILED;
}

/* ---- all rows -------------------------------------------------------------------------------- */

OwnAnswer own_slice_rows(OwnTable *table, int number, bool dirty, OwnObject ***out, size_t *out_n) {
  OwnSlice *slice = &table->slices[number];
  *out = NULL;
  *out_n = 0;
  pthread_mutex_lock(&slice->lock);
  OwnAnswer answer = usable(table, slice);
  if (answer == OWN_FOUND && slice->count && !(*out = malloc(slice->count * sizeof **out)))
    answer = OWN_NOMEM;
  for (size_t i = 0; answer == OWN_FOUND && i < slice->capacity; i++) {
    OwnObject *object = slice->slots[i];
    if (object && (dirty ? object->dirty : !object->gone))
      (*out)[(*out_n)++] = own_object_keep(object);
  }
  pthread_mutex_unlock(&slice->lock);
  return answer;
}

void own_rows_drop(OwnObject **rows, size_t n) {
  for (size_t i = 0; i < n; i++) own_object_drop(rows[i]);
  free(rows);
}

void own_slice_clean(OwnTable *table, int number, OwnObject **rows, size_t n) {
  OwnSlice *slice = &table->slices[number];
  pthread_mutex_lock(&slice->lock);
  for (size_t i = 0; i < n && slice->count; i++) {
    const OwnKey key = own_key_of(&table->type, rows[i]->row);
    const size_t at = place(slice, &table->type, &key);
    if (slice->slots[at] != rows[i] || !rows[i]->dirty) continue;
    rows[i]->dirty = false;
    slice->ndirty--;
    own_copy_touch(slice, rows[i]->hash);
    if (rows[i]->gone) take_out(slice, at);
  }
  make_way(table, slice, 2 * slice->capacity);
  pthread_mutex_unlock(&slice->lock);
}

uint64_t own_slice_first(const OwnTable *table, int slice) {
  const unsigned __int128 all = (unsigned __int128)1 << 64;
  const unsigned n = (unsigned)table->nslices;
  return (uint64_t)((all * (unsigned)slice + n - 1) / n);
}

/* ---- turns ----------------------------------------------------------------------------------- */

void own_slice_begin(OwnTable *table, int number, uint64_t epoch) {
  OwnSlice *slice = &table->slices[number];
  pthread_mutex_lock(&slice->lock);
  if (slice->state == OWN_ELSEWHERE) empty(slice);
  slice->state = OWN_HERE;
  slice->owner = OWN_SELF;
  slice->epoch = epoch;
  slice->from = NULL;
  slice->awaited = 0;
  slice->changes++;
  pthread_mutex_unlock(&slice->lock);
}

void own_slice_end(OwnTable *table, int number, OwnState state) {
  OwnSlice *slice = &table->slices[number];
  pthread_mutex_lock(&slice->lock);
  slice->state = state;
  slice->from = NULL;
  slice->awaited = 0;
  slice->changes++;
  own_copy_end(slice);
  if (state == OWN_ELSEWHERE) {
    while (slice->pending) drop_pending(slice, &slice->pending);
    empty(slice);
  }
  pthread_mutex_unlock(&slice->lock);
}

bool own_slice_arrive(OwnTable *table, int number, const void *from, OwnObject *object) {
  OwnSlice *slice = &table->slices[number];
  pthread_mutex_lock(&slice->lock);
  const bool ok = slice->state == OWN_CLOSED && slice->from == from && make_room(slice);
  if (ok) add(table, slice, object);
  pthread_mutex_unlock(&slice->lock);
  return ok;
}

bool own_slice_copied(OwnTable *table, int number, OwnObject *object) {
  OwnSlice *slice = &table->slices[number];
  const OwnKey key = own_key_of(&table->type, object->row);
  pthread_mutex_lock(&slice->lock);
  const bool ok = !get(slice, &table->type, &key) && make_room(slice);
  if (ok) add(table, slice, object);
  pthread_mutex_unlock(&slice->lock);
  return ok;
}
