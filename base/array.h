/*
** Growing arrays and a hash from bytes to integers: the two containers everybody needs.
*/
#ifndef TENFOLD_BASE_ARRAY_H
#define TENFOLD_BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define countof(array) (sizeof(array) / sizeof *(array))

/* Make room for `need` elements of `size` bytes in the array whose pointer (malloc'ed, or NULL)
** stands at `at`, and raise *capacity, at least doubling it. New elements are zeroed. False, with
** nothing changed, when the system refuses or the size overflows. Use through array_grow(). */
bool array_reserve(void *at, size_t *capacity, size_t need, size_t size);

/* The only generic in the house: keeps the element size and the pointer type together. */
#define array_grow(array, capacity, need)                                                          \
  ((need) <= (capacity) || array_reserve(&(array), &(capacity), (need), sizeof *(array)))

/* The same, but what is new is not written: for large arrays whose elements are assigned anyway.
** Memory that is never used then costs nothing. */
bool array_extend_bytes(void *at, size_t *capacity, size_t need, size_t size);

#define array_extend(array, capacity, need)                                                        \
  ((need) <= (capacity) || array_extend_bytes(&(array), &(capacity), (need), sizeof *(array)))

/* Byte strings to int64. All zero is a valid, empty map. Keys are copied. */
typedef struct Map {
  struct MapSlot *slots;
  size_t count, capacity; /* capacity: a power of two, or 0 */
} Map;

/* The value under the key, or NULL. Valid until the next map_put. */
int64_t *map_get(const Map *map, const void *key, size_t length);

/* The place of the value under the key, made with `value` when new (*added tells, NULL allowed).
** NULL when the system refuses memory. Amortised O(length). */
int64_t *map_put(Map *map, const void *key, size_t length, int64_t value, bool *added);

void map_finish(Map *map);

/* A good 64-bit mix of bytes; the same on every machine of the same byte order. */
uint64_t hash_bytes(const void *bytes, size_t length, uint64_t seed);

#endif
