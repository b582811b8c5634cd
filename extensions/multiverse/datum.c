/*
** Values outside of SQLite: see datum.h.
*/
#include <string.h>

#include "base/array.h"
#include "extensions/multiverse/datum.h"

bool datum_read(sqlite3_value *value, Datum *out) {
  *out = (Datum){.type = sqlite3_value_type(value)};
  switch (out->type) {
  case SQLITE_INTEGER:
    out->as.integer = sqlite3_value_int64(value);
    return true;
  case SQLITE_FLOAT:
    out->as.real = sqlite3_value_double(value);
    return true;
  case SQLITE_NULL:
    return true;
  default:
    out->as.bytes = out->type == SQLITE_TEXT ? (const char *)sqlite3_value_text(value)
                                             : sqlite3_value_blob(value);
    out->length = (uint32_t)sqlite3_value_bytes(value);
    return out->as.bytes || !out->length;
  }
}

bool datum_convert(sqlite3_value *value, SqlAffinity affinity, sqlite3_value **copy, Datum *out) {
  const int type = sqlite3_value_type(value);
  const bool number = type == SQLITE_INTEGER || type == SQLITE_FLOAT;
  *copy = NULL;
  const bool to_number = affinity >= SQL_AFFINITY_NUMERIC && type == SQLITE_TEXT;
  const bool to_text = affinity == SQL_AFFINITY_TEXT && number;
  if (!to_number && !to_text) return datum_read(value, out);
  *copy = sqlite3_value_dup(value);
  if (!*copy) return false;
  if (to_number) {
    sqlite3_value_numeric_type(*copy);
    return datum_read(*copy, out);
  }
  *out = (Datum){.type = SQLITE_TEXT, .as.bytes = (const char *)sqlite3_value_text(*copy)};
  out->length = (uint32_t)sqlite3_value_bytes(*copy);
  return out->as.bytes != NULL;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int class_of(int type) {
  switch (type) {
  case SQLITE_NULL:
    return 0;
  case SQLITE_INTEGER:
  case SQLITE_FLOAT:
    return 1;
  case SQLITE_TEXT:
    return 2;
  default:
    return 3;
  }
}

static int sign(bool less, bool more) { return (int)more - (int)less; }

/* Exactly, also where a double cannot hold the integer. */
static int compare_mixed(int64_t integer, double real) {
  if (real < -9223372036854775808.0) return 1;
  if (real >= 9223372036854775808.0) return -1;
  const int64_t whole = (int64_t)real;
  if (integer != whole) return integer < whole ? -1 : 1;
  return sign((double)integer<real, (double)integer> real);
}

static int compare_bytes(const Datum *a, const Datum *b) {
  const size_t n = a->length < b->length ? a->length : b->length;
  const int order = n ? memcmp(a->as.bytes, b->as.bytes, n) : 0;
  return order ? order : sign(a->length<b->length, a->length> b->length);
}

int datum_compare(const Datum *a, const Datum *b) {
  const int x = class_of(a->type), y = class_of(b->type);
  if (x != y) return x < y ? -1 : 1;
  if (x == 0) return 0;
  if (x > 1) return compare_bytes(a, b);
  if (a->type == b->type) {
    if (a->type == SQLITE_INTEGER) {
      return sign(a->as.integer<b->as.integer, a->as.integer> b->as.integer);
    }
    return sign(a->as.real<b->as.real, a->as.real> b->as.real);
  }
  return a->type == SQLITE_INTEGER ? compare_mixed(a->as.integer, b->as.real)
                                   : -compare_mixed(b->as.integer, a->as.real);
}

uint64_t datum_hash(const Datum *cell, uint64_t seed) {
  switch (cell->type) {
  case SQLITE_NULL:
    return seed;
  case SQLITE_INTEGER:
    return hash_bytes(&cell->as.integer, sizeof cell->as.integer, seed + 1);
  case SQLITE_FLOAT: {
    const double real = cell->as.real;
    const bool whole = real >= -9223372036854775808.0 && real < 9223372036854775808.0 &&
                       (double)(int64_t)real == real;
    const int64_t integer = whole ? (int64_t)real : 0;
    return whole ? hash_bytes(&integer, sizeof integer, seed + 1)
                 : hash_bytes(&real, sizeof real, seed + 1);
  }
  default:
    return hash_bytes(cell->as.bytes, cell->length, seed + (uint64_t)class_of(cell->type));
  }
}

void datum_result(sqlite3_context *ctx, const Datum *cell) {
  switch (cell->type) {
  case SQLITE_INTEGER:
    sqlite3_result_int64(ctx, cell->as.integer);
    break;
  case SQLITE_FLOAT:
    sqlite3_result_double(ctx, cell->as.real);
    break;
  case SQLITE_TEXT:
    sqlite3_result_text(ctx, cell->as.bytes, (int)cell->length, SQLITE_TRANSIENT);
    break;
  case SQLITE_BLOB:
    sqlite3_result_blob(ctx, cell->as.bytes, (int)cell->length, SQLITE_TRANSIENT);
    break;
  default:
    break;
  }
}
