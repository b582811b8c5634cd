/*
** Containers: see array.h.
*/
#include "base/array.h"

#include <stdlib.h>
#include <string.h>

#include "base/huge.h"

enum { LARGE_ARRAY = 2 * HUGE_PAGE };

/* realloc(), but when it is large the new place is known to be so before the first byte gets there.
 */
static char *grow(char *array, size_t before, size_t after) {
  if (after < LARGE_ARRAY) return realloc(array, after);
  char *larger = malloc(after);
  if (!larger) return NULL;
  huge_hint(larger, after);
  if (before) memcpy(larger, array, before);
  free(array);
  return larger;
}

bool array_extend_bytes(void *at, size_t *capacity, size_t need, size_t size) {
  if (need <= *capacity) return true;
  size_t wanted = *capacity ? *capacity : 8;
  while (wanted < need) {
    if (wanted > SIZE_MAX / 2) return false;
    wanted *= 2;
  }
  if (wanted > SIZE_MAX / size) return false;
  /* `at` points to a T *, which may not be read as a void *: copy the pointer's bytes. */
  char *array;
  memcpy(&array, at, sizeof array);
  array = grow(array, *capacity * size, wanted * size);
  if (!array) return false;
  memcpy(at, &array, sizeof array);
  *capacity = wanted;
  return true;
}

bool array_reserve(void *at, size_t *capacity, size_t need, size_t size) {
  size_t before = *capacity;
  if (!array_extend_bytes(at, capacity, need, size)) return false;
  char *array;
  memcpy(&array, at, sizeof array);
  if (*capacity > before) memset(array + before * size, 0, (*capacity - before) * size);
  return true;
}

uint64_t hash_bytes(const void *bytes, size_t length, uint64_t seed) {
  const unsigned char *p = bytes;
  uint64_t h = seed ^ (length * UINT64_C(0x9E3779B97F4A7C15));
  while (length) {
    uint64_t chunk = 0;
    size_t n = length < 8 ? length : 8;
    memcpy(&chunk, p, n);
    h = (h ^ chunk) * UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 32;
    p += n;
    length -= n;
  }
  h *= UINT64_C(0xc4ceb9fe1a85ec53);
  return h ^ (h >> 29);
}

struct MapSlot {
  char *key; /* NULL: free */
  size_t length;
  uint64_t hash;
  int64_t value;
};

static struct MapSlot *find_slot(const Map *map, const void *key, size_t length, uint64_t hash) {
  size_t mask = map->capacity - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    struct MapSlot *slot = &map->slots[i];
    if (!slot->key) return slot;
    if (slot->hash == hash && slot->length == length && memcmp(slot->key, key, length) == 0) {
      return slot;
    }
  }
}

static bool rehash(Map *map) {
  Map larger = {.capacity = map->capacity ? map->capacity * 2 : 16, .count = map->count};
  larger.slots = calloc(larger.capacity, sizeof *larger.slots);
  if (!larger.slots) return false;
  for (size_t i = 0; i < map->capacity; i++) {
    struct MapSlot *slot = &map->slots[i];
    if (slot->key) *find_slot(&larger, slot->key, slot->length, slot->hash) = *slot;
  }
  free(map->slots);
  *map = larger;
  return true;
}

int64_t *map_get(const Map *map, const void *key, size_t length) {
  if (!map->count) return NULL;
  struct MapSlot *slot = find_slot(map, key, length, hash_bytes(key, length, 0));
  return slot->key ? &slot->value : NULL;
}

int64_t *map_put(Map *map, const void *key, size_t length, int64_t value, bool *added) {
  if (added) *added = false;
  if (map->count >= map->capacity / 2 && !rehash(map)) return NULL;
  uint64_t hash = hash_bytes(key, length, 0);
  struct MapSlot *slot = find_slot(map, key, length, hash);
  if (slot->key) return &slot->value;
  char *copy = malloc(length + 1);
  if (!copy) return NULL;
  if (length) memcpy(copy, key, length);
  *slot = (struct MapSlot){.key = copy, .length = length, .hash = hash, .value = value};
  map->count++;
  if (added) *added = true;
  return &slot->value;
}

void map_finish(Map *map) {
  for (size_t i = 0; i < map->capacity; i++) free(map->slots[i].key);
  free(map->slots);
  *map = (Map){0};
}
