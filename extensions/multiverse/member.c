/*
** Sets of gids and the like, compared as SQLite's = compares values under BINARY: 5 is 5.0, texts
** and blobs are equal byte for byte, and nothing equals NULL.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/multiverse.h"

/* A real that is an integer, exactly. */
static bool as_integer(double real, int64_t *out) {
  if (!(real >= -9223372036854775808.0 && real < 9223372036854775808.0)) return false;
  *out = (int64_t)real;
  return (double)*out == real;
}

/* Bytes of a value that is no integer and not NULL. */
static const void *other_key(const Datum *cell, size_t *length) {
  *length = cell->type == SQLITE_FLOAT ? sizeof cell->as.real : cell->length;
  if (cell->type == SQLITE_FLOAT) return &cell->as.real;
  return *length ? cell->as.bytes : "";
}

size_t member_count(const MemberSet *set) {
  size_t count = set->count;
  for (size_t i = 0; i < countof(set->others); i++) count += set->others[i].count;
  return count;
}

static bool is_integer(const Datum *cell, int64_t *out) {
  switch (cell->type) {
  case SQLITE_INTEGER:
    *out = cell->as.integer;
    return true;
  case SQLITE_FLOAT:
    return as_integer(cell->as.real, out);
  default:
    return false;
  }
}

bool member_has_datum(const MemberSet *set, const Datum *cell) {
  int64_t integer;
  if (is_integer(cell, &integer)) {
    if (set->words) return member_has_bit(set, integer);
    size_t low = 0, high = set->count;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (set->integers[middle] < integer) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < set->count && set->integers[low] == integer;
  }
  if (cell->type == SQLITE_NULL) return false;
  size_t length;
  const void *key = other_key(cell, &length);
  return map_get(&set->others[cell->type], key, length) != NULL;
}

int member_in(const MemberSet *set, const Datum *cell) {
  if (cell->type == SQLITE_NULL) return set->null || member_count(set) ? -1 : 0;
  return member_has_datum(set, cell) ? 1 : -set->null;
}

size_t member_bytes(const MemberSet *set) {
  enum { SLOT = 32 }; /* of a map, with a short key */
  size_t bytes = sizeof *set + set->capacity * sizeof *set->integers;
  for (size_t i = 0; i < countof(set->others); i++) bytes += set->others[i].capacity * SLOT;
  return bytes;
}

void member_clear(MemberSet *set) {
  free(set->integers);
  free(set->bits);
  for (size_t i = 0; i < countof(set->others); i++) map_finish(&set->others[i]);
  *set = (MemberSet){0};
}

static int compare(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static bool add(MemberSet *set, sqlite3_value *value) {
  int64_t integer;
  Datum cell;
  if (!datum_read(value, &cell)) return false;
  if (is_integer(&cell, &integer)) {
    if (!array_grow(set->integers, set->capacity, set->count + 1)) return false;
    set->integers[set->count++] = integer;
    return true;
  }
  set->null |= cell.type == SQLITE_NULL;
  if (cell.type == SQLITE_NULL) return true;
  size_t length;
  const void *key = other_key(&cell, &length);
  return map_put(&set->others[cell.type], key, length, 1, NULL) != NULL;
}

/* A look-up is then a bit instead of a search. Without memory it is a search. */
static void spread(MemberSet *set) {
  enum { WORDS_PER_INTEGER = 8, WORDS_MOST = 4096 };
  free(set->bits);
  set->bits = NULL;
  set->words = 0;
  if (set->count < 4) return;
  const uint64_t range = (uint64_t)set->integers[set->count - 1] - (uint64_t)set->integers[0];
  const uint64_t words = range / 64 + 1;
  if (words > WORDS_MOST || words > set->count * WORDS_PER_INTEGER) return;
  set->bits = calloc((size_t)words, sizeof *set->bits);
  if (!set->bits) return;
  set->words = (size_t)words;
  for (size_t i = 0; i < set->count; i++) {
    const uint64_t at = (uint64_t)set->integers[i] - (uint64_t)set->integers[0];
    set->bits[at / 64] |= UINT64_C(1) << at % 64;
  }
}

bool member_load(MemberSet *set, sqlite3_stmt *statement, Fault *fault) {
  int step;
  set->count = 0;
  set->words = 0;
  set->null = false;
  for (size_t i = 0; i < countof(set->others); i++) {
    map_finish(&set->others[i]);
    set->others[i] = (Map){0};
  }
  while ((step = query_step(statement, fault)) == 1) {
    sqlite3_value *value = sqlite3_value_dup(sqlite3_column_value(statement, 0));
    const bool ok = value && add(set, value);
    sqlite3_value_free(value);
    if (!ok) return fault_oom(fault);
  }
  if (set->count > 1) qsort(set->integers, set->count, sizeof *set->integers, compare);
  spread(set);
  set->loaded = step == 0;
  return set->loaded;
}

void multiverse_member(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  const MemberSet *set = sqlite3_value_pointer(argv[0], MEMBER_POINTER);
  if (!set) {
    func_fail(ctx, SQLITE_MISUSE, "it is for statements of the extension's own");
    return;
  }
  Datum cell;
  if (!datum_read(argv[1], &cell)) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  const int in = member_in(set, &cell);
  if (in >= 0) sqlite3_result_int(ctx, in);
}
