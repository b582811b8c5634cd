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

/* The key of a value that is no integer: its type and its bytes. 0: NULL, -1: out of memory. */
static int other_key(const Datum *cell, char fixed[16], char **out) {
  *out = fixed;
  if (cell->type == SQLITE_NULL) return 0;
  fixed[0] = (char)cell->type;
  if (cell->type == SQLITE_FLOAT) {
    memcpy(fixed + 1, &cell->as.real, sizeof cell->as.real);
    return 1 + (int)sizeof cell->as.real;
  }
  if (cell->length > 14) *out = malloc((size_t)cell->length + 1);
  if (!*out) return -1;
  (*out)[0] = (char)cell->type;
  if (cell->length) memcpy(*out + 1, cell->as.bytes, cell->length);
  return 1 + (int)cell->length;
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
  char fixed[16], *key;
  if (!set->others.count) return false;
  const int length = other_key(cell, fixed, &key);
  const bool has = length > 0 && map_get(&set->others, key, (size_t)length);
  if (key != fixed) free(key);
  return has;
}

int member_in(const MemberSet *set, const Datum *cell) {
  if (!set->count && !set->others.count && !set->null) return 0;
  if (cell->type == SQLITE_NULL) return -1;
  return member_has_datum(set, cell) ? 1 : -set->null;
}

bool member_has(const MemberSet *set, sqlite3_value *value) {
  Datum cell;
  return datum_read(value, &cell) && member_has_datum(set, &cell);
}

size_t member_bytes(const MemberSet *set) {
  enum { SLOT = 32 }; /* of a map, with a short key */
  return sizeof *set + set->capacity * sizeof *set->integers + set->others.capacity * SLOT;
}

void member_clear(MemberSet *set) {
  free(set->integers);
  free(set->bits);
  map_finish(&set->others);
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
  char fixed[16], *key;
  const int length = other_key(&cell, fixed, &key);
  set->null |= length == 0;
  const bool ok =
      length == 0 || (length > 0 && map_put(&set->others, key, (size_t)length, 1, NULL));
  if (key != fixed) free(key);
  return ok;
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
  map_finish(&set->others);
  set->others = (Map){0};
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
