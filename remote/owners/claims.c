/*
** The map of slices and its members: what it says is applied, and what nobody owns is claimed.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/owners/assign.h"
#include "remote/owners/inside.h"

enum {
  KEPT_AT_ONCE = 16,   /* of so many slices one is given away in a period */
  PATIENCE = 100000000 /* ns */
};

/* ---- members --------------------------------------------------------------------------------- */

static int find_member(const OwnNode *node, const char *name) {
  for (int i = 0; i < node->nmembers; i++)
    if (!strcmp(node->members[i].name, name)) return i;
  return OWN_NOBODY;
}

/* Numbers of the dead are used again when there are no others left. */
int own_member_number(OwnNode *node, const char *name) {
  const size_t length = strcspn(name, "#");
  int number = find_member(node, name);
  if (number >= 0) return number;
  if (length >= sizeof node->members->address || strlen(name) >= sizeof node->members->name)
    return OWN_NOBODY;
  if (node->nmembers < OWN_MEMBERS) {
    number = node->nmembers++;
  } else {
    for (number = OWN_SELF + 1; number < OWN_MEMBERS && node->members[number].alive;) number++;
    if (number == OWN_MEMBERS) return OWN_NOBODY;
  }
  OwnMember *member = &node->members[number];
  *member = (OwnMember){0};
  memcpy(member->address, name, length);
  memcpy(member->name, name, strlen(name));
  return number;
}

/* "node/NAME" has the tables that it has open, and their loads: " carts/1200 orders/0 ". */
static bool has_table(const CoordItem *item, const char *table, uint64_t *out_load) {
  char word[COORD_VALUE];
  snprintf(word, sizeof word, " %s/", table);
  const char *at = strstr(item->value, word);
  const unsigned long long load = at ? strtoull(at + strlen(word), NULL, 10) : 0;
  *out_load = load < OWN_MOST_LOAD ? load : OWN_MOST_LOAD;
  return at != NULL;
}

static bool is_node(const CoordItem *item) { return !strncmp(item->key, "node/", 5); }

void own_read_members(OwnKeeper *it) {
  OwnNode *node = it->node;
  pthread_mutex_lock(&node->lock);
  for (int i = 0; i < node->nmembers; i++) node->members[i].alive = false;
  for (int known = 1; known >= 0; known--) { /* those that have a number first: they keep it */
    for (size_t i = 0; i < it->nitems; i++) {
      if (!is_node(&it->items[i])) continue;
      const char *name = it->items[i].key + 5;
      const int number = known ? find_member(node, name) : own_member_number(node, name);
      if (number >= 0) node->members[number].alive = true;
    }
  }
  pthread_mutex_unlock(&node->lock);
}

/* The number of a slice's owner, if that one lives. */
static int owner_of(OwnKeeper *it, const CoordItem *item) {
  OwnNode *node = it->node;
  pthread_mutex_lock(&node->lock);
  const int number = find_member(node, item->value);
  const bool alive = number >= 0 && (node->members[number].alive || number == OWN_SELF);
  pthread_mutex_unlock(&node->lock);
  return alive ? number : OWN_NOBODY;
}

/* ---- the map --------------------------------------------------------------------------------- */

void own_slice_key(const OwnTable *table, int slice, char out[COORD_KEY]) {
  snprintf(out, COORD_KEY, "slice/%s/%04d", table->name, slice);
}

static const CoordItem *find_key(const OwnKeeper *it, const char *key) {
  size_t low = 0, high = it->nitems;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const int sign = strcmp(it->items[middle].key, key);
    if (!sign) return &it->items[middle];
    if (sign < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return NULL;
}

static const CoordItem *find_item(const OwnKeeper *it, const OwnTable *table, int slice) {
  char key[COORD_KEY];
  own_slice_key(table, slice, key);
  return find_key(it, key);
}

/* Who has sent us a slice tells us next, and then nobody has to be fenced off; but not if he was
** stopped just there. */
static bool is_awaited(OwnKeeper *it, OwnSlice *slice) {
  if (slice->state != OWN_CLOSED || !slice->from || slice->from == &own_gone) return false;
  const int64_t now = clock_now();
  if (!slice->awaited) slice->awaited = now;
  if (now - slice->awaited > PATIENCE) return false;
  atomic_store(&it->node->hurry, true);
  return true;
}

/* What the map says about a slice. True: it is ours, and has to be begun. */
static bool apply(OwnKeeper *it, OwnTable *table, int number) {
  char key[COORD_KEY];
  own_copy_key(table, number, key);
  const CoordItem *item = find_item(it, table, number), *copy = find_key(it, key);
  OwnSlice *slice = &table->slices[number];
  const int owner = item ? owner_of(it, item) : OWN_NOBODY;
  const bool mine = owner == OWN_SELF && owner != OWN_NOBODY;
  pthread_mutex_lock(&slice->lock);
  const OwnState state = slice->state;
  const bool begun = state == OWN_HERE || state == OWN_LEAVING;
  /* It may have changed hands since the map was read. */
  const bool stale = (item ? item->revision : 0) < slice->epoch;
  const bool lost = !stale && !mine && (begun || (state == OWN_CLOSED && !slice->from));
  if (!stale) {
    slice->owner = owner;
    slice->epoch = item ? item->revision : 0;
    slice->copy.revision = copy ? copy->revision : 0;
  }
  const bool begin = !stale && mine && !begun && !is_awaited(it, slice);
  pthread_mutex_unlock(&slice->lock);
  if (lost) own_slice_end(table, number, OWN_ELSEWHERE);
  return begin;
}

/* Nobody may write as a former owner would have let him. What cannot be said now is said later. */
static bool fence(OwnKeeper *it, OwnTable *table, const int *numbers, size_t n, Fault *fault) {
  uint64_t epochs[OWN_MOST_SLICES];
  bool said = true;
  if (!table->loads || table->write == OWN_WRITE_NONE) return true;
  for (size_t i = 0; i < n; i++) epochs[i] = own_node_place(table, numbers[i]).epoch;
  OwnUse *use = own_use(&it->uses, own_table_keep(table), fault);
  if (!use || !own_use_clerk(use, fault) ||
      !table->store.fence(use->clerk, numbers, epochs, n, &said, fault))
    return false;
  table->unfenced = !said;
  return true;
}

void own_fence_later(OwnKeeper *it, OwnTable *table) {
  int numbers[OWN_MOST_SLICES];
  size_t n = 0;
  Fault fault = {0};
  if (!table->unfenced) return;
  for (int i = 0; i < table->nslices; i++)
    if (own_node_place(table, i).here) numbers[n++] = i;
  fence(it, table, numbers, n, &fault);
}

/* Slices that are ours by the map, but that we do not serve yet. */
static bool begin_all(OwnKeeper *it, OwnTable *table, const int *numbers, size_t n, Fault *fault) {
  if (!n) return true;
  if (!fence(it, table, numbers, n, fault)) return false;
  if (!own_copies_adopt(it, table, numbers, n, fault)) return false;
  for (size_t i = 0; i < n; i++)
    own_slice_begin(table, numbers[i], own_node_place(table, numbers[i]).epoch);
  return true;
}

bool own_apply_map(OwnKeeper *it, OwnTable *table, Fault *fault) {
  int numbers[OWN_MOST_SLICES];
  size_t n = 0;
  for (int i = 0; i < table->nslices; i++)
    if (apply(it, table, i)) numbers[n++] = i;
  return begin_all(it, table, numbers, n, fault);
}

/* ---- claims ---------------------------------------------------------------------------------- */

/* The map as assign.h wants it: members have numbers of their own there, in the order of their
** names, which is the same on all nodes. */
typedef struct Drawn {
  OwnMap map;
  int owners[OWN_MOST_SLICES], members[OWN_MEMBERS];
  uint64_t loads[OWN_MEMBERS], own[OWN_MOST_SLICES];
} Drawn;

static void draw_members(OwnKeeper *it, OwnTable *table, bool leaving, Drawn *out) {
  for (size_t i = 0; i < it->nitems && out->map.nmembers < OWN_MEMBERS; i++) {
    const CoordItem *item = &it->items[i];
    uint64_t load;
    if (!is_node(item) || !has_table(item, table->name, &load)) continue;
    if (item->key[5] == '#') continue; /* a guest: it listens nowhere */
    pthread_mutex_lock(&it->node->lock);
    const int number = own_member_number(it->node, item->key + 5);
    pthread_mutex_unlock(&it->node->lock);
    if (number < 0) continue;
    atomic_store(&table->balance.of[number], load);
    if (leaving && number == OWN_SELF) continue;
    out->loads[out->map.nmembers] = load;
    out->members[out->map.nmembers++] = number;
  }
}

static void draw(OwnKeeper *it, OwnTable *table, bool leaving, Drawn *out) {
  int ordinals[OWN_MEMBERS];
  out->map = (OwnMap){
      .nslices = table->nslices, .owners = out->owners, .loads = out->loads, .own = out->own};
  draw_members(it, table, leaving, out);
  for (int i = 0; i < OWN_MEMBERS; i++) ordinals[i] = -1;
  for (int i = 0; i < out->map.nmembers; i++) ordinals[out->members[i]] = i;
  for (int i = 0; i < table->nslices; i++) {
    OwnSlice *slice = &table->slices[i];
    pthread_mutex_lock(&slice->lock);
    out->owners[i] = slice->owner >= 0 ? ordinals[slice->owner] : -1;
    out->own[i] = slice->owner == OWN_SELF ? slice->load : 0;
    pthread_mutex_unlock(&slice->lock);
  }
}

static void to_numbers(const Drawn *drawn, int *targets) {
  for (int i = 0; i < drawn->map.nslices; i++)
    targets[i] = targets[i] < 0 ? OWN_NOBODY : drawn->members[targets[i]];
}

int own_assign_table(OwnKeeper *it, OwnTable *table, bool leaving, int *owners, int *targets) {
  Drawn drawn;
  OwnBalance *balance = &table->balance;
  draw(it, table, leaving, &drawn);
  own_assign(&drawn.map, balance->welcoming, targets);
  balance->welcoming = false; /* what was begun goes on until it is done */
  for (int i = 0; i < table->nslices; i++) {
    const int before = drawn.owners[i];
    balance->welcoming = balance->welcoming || (before >= 0 && before != targets[i]);
    pthread_mutex_lock(&table->slices[i].lock);
    owners[i] = table->slices[i].owner; /* ours as well, when we leave */
    pthread_mutex_unlock(&table->slices[i].lock);
  }
  to_numbers(&drawn, targets);
  return drawn.map.nmembers;
}

int own_even_table(OwnKeeper *it, OwnTable *table, int *owners, int *targets) {
  Drawn drawn;
  int me = 0;
  draw(it, table, false, &drawn);
  while (me < drawn.map.nmembers && drawn.members[me] != OWN_SELF) me++;
  if (me == drawn.map.nmembers) return 0;
  for (int i = 0; i < table->nslices; i++)
    if (drawn.owners[i] < 0) return 0; /* there is more urgent work */
  const int most = table->nslices / KEPT_AT_ONCE;
  const int n = own_even_out(&drawn.map, me, most ? most : 1, targets);
  memcpy(owners, drawn.owners, sizeof drawn.owners);
  to_numbers(&drawn, owners);
  to_numbers(&drawn, targets);
  return n;
}

bool own_release(OwnKeeper *it, OwnTable *table, Fault *fault) {
  for (int i = 0; i < table->nslices; i++) {
    char key[COORD_KEY];
    const CoordItem *item = find_item(it, table, i);
    if (!item || strcmp(item->value, it->node->name)) continue;
    own_slice_key(table, i, key);
    CoordChange changes[2] = {{key, "", item->revision, NULL}};
    bool done;
    char copy[COORD_KEY];
    uint64_t revision, generation;
    /* What is in a database may become other than the copy while nobody is here to see it. */
    const bool stale = own_copy_part(table, i, copy, &generation, &changes[1]);
    const bool none = stale || (generation && table->loads);
    own_slice_end(table, i, OWN_ELSEWHERE);
    if (!it->node->coord->cas(it->node->coord, changes, 1 + none, &done, &revision, fault))
      return false;
  }
  return true;
}

static bool claim_some(OwnKeeper *it, OwnTable *table, const int *numbers, size_t n, Fault *fault) {
  CoordChange changes[COORD_MOST_CHANGES];
  char keys[COORD_MOST_CHANGES][COORD_KEY], owners[COORD_MOST_CHANGES][COORD_KEY];
  bool done = false;
  uint64_t revision = 0;
  for (size_t i = 0; i < n; i++) {
    const CoordItem *item = find_item(it, table, numbers[i]);
    own_slice_key(table, numbers[i], keys[i]);
    changes[i] = (CoordChange){.key = keys[i], .value = it->node->name};
    if (!item) continue;
    changes[i].revision = item->revision;
    if (!*item->value || !strcmp(item->value, it->node->name)) continue;
    /* Who was away for a moment and is back keeps what nobody has taken. */
    snprintf(owners[i], sizeof owners[i], "node/%.*s", COORD_KEY - 10, item->value);
    changes[i].absent = owners[i];
  }
  if (!it->node->coord->cas(it->node->coord, changes, n, &done, &revision, fault)) return false;
  if (!done) { /* somebody was faster: the map is read again */
    atomic_store(&it->node->hurry, true);
    return true;
  }
  for (size_t i = 0; i < n; i++) {
    OwnSlice *slice = &table->slices[numbers[i]];
    pthread_mutex_lock(&slice->lock);
    slice->owner = OWN_SELF;
    slice->epoch = revision;
    pthread_mutex_unlock(&slice->lock);
  }
  pthread_mutex_lock(&it->node->lock);
  it->node->stats.claims += n;
  pthread_mutex_unlock(&it->node->lock);
  return begin_all(it, table, numbers, n, fault);
}

bool own_claim(OwnKeeper *it, OwnTable *table, const int *owners, const int *targets,
               Fault *fault) {
  int numbers[COORD_MOST_CHANGES];
  size_t n = 0;
  for (int i = 0; i < table->nslices; i++) {
    if (owners[i] != OWN_NOBODY || targets[i] != OWN_SELF) continue;
    numbers[n++] = i;
    if (n < COORD_MOST_CHANGES) continue;
    if (!claim_some(it, table, numbers, n, fault)) return false;
    n = 0;
  }
  return !n || claim_some(it, table, numbers, n, fault);
}
