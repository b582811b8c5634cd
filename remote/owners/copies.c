/*
** What the coordinator says of copies of slices (standby.h): "copy/TABLE/SLICE" is the generation
** of the copy that may be believed, in hexadecimal; empty, or not there: none may. Its owner
** changes it on condition that he is still the owner.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/owners/inside.h"
#include "remote/owners/standby.h"

enum { AT_ONCE = COORD_MOST_CHANGES / 2 };

void own_copy_key(const OwnTable *table, int slice, char out[COORD_KEY]) {
  snprintf(out, COORD_KEY, "copy/%s/%04d", table->name, slice);
}

void own_copy_value(uint64_t generation, char out[OWN_COPY_VALUE]) {
  *out = '\0';
  if (generation) snprintf(out, OWN_COPY_VALUE, "%016llx", (unsigned long long)generation);
}

/* ---- telling it ------------------------------------------------------------------------------ */

typedef struct Said { /* of a slice */
  int number;
  uint64_t generation; /* 0: there is none */
  uint64_t epoch, revision;
} Said;

/* Is there something to be told? */
static bool look(OwnTable *table, int number, Said *out) {
  OwnSlice *slice = &table->slices[number];
  OwnCopy *copy = &slice->copy;
  pthread_mutex_lock(&slice->lock);
  const bool ours = slice->state != OWN_ELSEWHERE && slice->owner == OWN_SELF;
  const bool on = copy->state == OWN_COPY_KEPT && copy->full && !copy->told;
  const bool off = copy->state != OWN_COPY_KEPT && copy->said;
  *out = (Said){number, on ? copy->generation : 0, slice->epoch, copy->revision};
  if (ours && on) copy->said = true;
  pthread_mutex_unlock(&slice->lock);
  return ours && (on || off);
}

static void told(OwnTable *table, const Said *said, bool done, uint64_t revision) {
  OwnSlice *slice = &table->slices[said->number];
  OwnCopy *copy = &slice->copy;
  pthread_mutex_lock(&slice->lock);
  if (slice->epoch == said->epoch) {
    if (done) copy->revision = revision;
    if (done && !said->generation) copy->said = false;
    if (!copy->said && copy->state == OWN_COPY_FAILED) copy->state = OWN_COPY_OFF;
    if (done && copy->state == OWN_COPY_KEPT && copy->generation == said->generation)
      copy->told = true;
  }
  pthread_mutex_unlock(&slice->lock);
}

static bool tell(OwnKeeper *it, OwnTable *table, const Said *said, size_t n, bool *out_done,
                 Fault *fault) {
  CoordChange changes[COORD_MOST_CHANGES];
  char keys[COORD_MOST_CHANGES][COORD_KEY], values[AT_ONCE][OWN_COPY_VALUE];
  uint64_t revision = 0;
  for (size_t i = 0; i < n; i++) {
    char *slice = keys[2 * i], *copy = keys[2 * i + 1];
    own_slice_key(table, said[i].number, slice);
    own_copy_key(table, said[i].number, copy);
    own_copy_value(said[i].generation, values[i]);
    changes[2 * i] = (CoordChange){slice, NULL, said[i].epoch, NULL};
    changes[2 * i + 1] = (CoordChange){copy, values[i], said[i].revision, NULL};
  }
  if (!it->node->coord->cas(it->node->coord, changes, 2 * n, out_done, &revision, fault))
    return false;
  for (size_t i = 0; (*out_done || n == 1) && i < n; i++)
    told(table, &said[i], *out_done, revision);
  if (!*out_done) atomic_store(&it->node->hurry, true); /* the map is read again */
  return true;
}

/* All of them, or each by itself. */
static bool tell_some(OwnKeeper *it, OwnTable *table, const Said *said, size_t n, Fault *fault) {
  bool done = n == 0;
  if (n && !tell(it, table, said, n, &done, fault)) return false;
  for (size_t i = 0; !done && n > 1 && i < n; i++) {
    bool ignored;
    if (!tell(it, table, &said[i], 1, &ignored, fault)) return false;
  }
  return true;
}

bool own_copies_say(OwnKeeper *it, OwnTable *table, Fault *fault) {
  Said said[AT_ONCE];
  size_t n = 0;
  for (int i = 0; i < table->nslices; i++) {
    n += look(table, i, &said[n]);
    if (n < AT_ONCE) continue;
    if (!tell_some(it, table, said, n, fault)) return false;
    n = 0;
  }
  return tell_some(it, table, said, n, fault);
}

/* ---- being told ------------------------------------------------------------------------------ */

/* The generation that it says, and its revision. */
static uint64_t generation_of(const CoordItem *items, size_t n, const OwnTable *table, int number,
                              uint64_t *out_revision) {
  char key[COORD_KEY];
  own_copy_key(table, number, key);
  *out_revision = 0;
  for (size_t i = 0; i < n; i++) {
    if (strcmp(items[i].key, key)) continue;
    *out_revision = items[i].revision;
    return strtoull(items[i].value, NULL, 16);
  }
  return 0;
}

/* Of which the coordinator says that there is a copy: they are put in front. */
static size_t look_for_copies(OwnTable *table, const CoordItem *items, size_t nitems,
                              const int *numbers, size_t n, int *out, uint64_t *out_generations) {
  size_t found = 0;
  for (size_t i = 0; i < n; i++) {
    OwnSlice *slice = &table->slices[numbers[i]];
    uint64_t revision;
    const uint64_t generation = generation_of(items, nitems, table, numbers[i], &revision);
    pthread_mutex_lock(&slice->lock);
    slice->copy.revision = revision;
    if (generation) {
      own_copy_distrust(slice);
      if (slice->state == OWN_ELSEWHERE) slice->state = OWN_CLOSED; /* rows are coming */
      out[found] = numbers[i];
      out_generations[found++] = generation;
    }
    pthread_mutex_unlock(&slice->lock);
  }
  return found;
}

bool own_copies_adopt(OwnKeeper *it, OwnTable *table, const int *numbers, size_t n, Fault *fault) {
  int with[OWN_MOST_SLICES];
  uint64_t generations[OWN_MOST_SLICES];
  char prefix[COORD_KEY];
  CoordItem *items = NULL;
  size_t nitems = 0;
  bool ok = true;
  snprintf(prefix, sizeof prefix, "copy/%s/", table->name);
  if (!it->node->coord->get(it->node->coord, prefix, &items, &nitems, fault)) return false;
  const size_t found = look_for_copies(table, items, nitems, numbers, n, with, generations);
  free(items);
  if (found && table->standby) own_standby_adopt(table, with, generations, found, true);
  if (found) ok = own_copies_say(it, table, fault); /* what could not be had is none any more */
  for (size_t i = 0; ok && i < found; i++) {
    OwnSlice *slice = &table->slices[with[i]];
    pthread_mutex_lock(&slice->lock);
    ok = slice->copy.state != OWN_COPY_FAILED;
    pthread_mutex_unlock(&slice->lock);
    if (!ok) fault_set(fault, FAULT_BUSY, "%s: slice %d changes hands", table->name, with[i]);
  }
  return ok;
}

bool own_copy_part(OwnTable *table, int number, char key[COORD_KEY], uint64_t *out_generation,
                   CoordChange *out) {
  OwnSlice *slice = &table->slices[number];
  own_standby_drain(table, number);
  pthread_mutex_lock(&slice->lock);
  const OwnCopy *copy = &slice->copy;
  const bool good = copy->state == OWN_COPY_KEPT && copy->told && !copy->ntodo;
  const bool said = copy->said;
  *out_generation = good ? copy->generation : 0;
  own_copy_key(table, number, key);
  *out = (CoordChange){key, "", copy->revision, NULL};
  pthread_mutex_unlock(&slice->lock);
  return said && !good;
}
