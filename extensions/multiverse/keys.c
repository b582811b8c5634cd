/*
** Keys of rows that are about to be written, in tables WITHOUT ROWID.
**
** SQLite tells a virtual table which row to write by the number that rowid() gave for it: there a
** hash of the row's key (table.c). So from the moment that a transaction writes to the table, the
** keys behind such numbers are kept, until it ends. A statement finds its rows before it writes the
** first of them, and the rules are asked again about whatever row has the key then.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/judge.h"

enum { AMBIGUOUS = -1 };

void keys_begin(Shadow *shadow) { shadow->keys.wanted = shadow->base && !shadow->base->rowid; }

void keys_end(Shadow *shadow) {
  Keys *keys = &shadow->keys;
  for (size_t i = 0; i < keys->count; i++) sqlite3_value_free(keys->values[i]);
  free(keys->values);
  map_finish(&keys->places);
  *keys = (Keys){0};
}

bool values_are_same(sqlite3_value *a, sqlite3_value *b) {
  if (sqlite3_value_type(a) != sqlite3_value_type(b)) return false;
  const int n = sqlite3_value_bytes(a);
  if (n != sqlite3_value_bytes(b)) return false;
  return n == 0 || memcmp(sqlite3_value_blob(a), sqlite3_value_blob(b), (size_t)n) == 0;
}

static bool add(Keys *keys, sqlite3_stmt *row, int nkeys) {
  if (!array_grow(keys->values, keys->capacity, keys->count + (size_t)nkeys)) return false;
  for (int i = 0; i < nkeys; i++) {
    sqlite3_value *value = sqlite3_value_dup(sqlite3_column_value(row, i));
    if (!value) return false;
    keys->values[keys->count++] = value;
  }
  return true;
}

/* Two keys with one hash: neither of them can be written. */
static bool is_another(Keys *keys, int64_t place, sqlite3_stmt *row, int nkeys) {
  for (int i = 0; i < nkeys; i++) {
    sqlite3_value *value = sqlite3_value_dup(sqlite3_column_value(row, i));
    const bool same = value && values_are_same(value, keys->values[place + i]);
    keys->starved |= !value;
    sqlite3_value_free(value);
    if (!same) return true;
  }
  return false;
}

/* The first columns of the row are its key. What could not be kept cannot be written. */
void keys_note(Shadow *shadow, sqlite3_int64 rowid, sqlite3_stmt *row) {
  Keys *keys = &shadow->keys;
  const int nkeys = shadow->base->nkeys;
  bool added = false;
  if (!keys->wanted) return;
  int64_t *place = map_put(&keys->places, &rowid, sizeof rowid, (int64_t)keys->count, &added);
  keys->starved |= !place;
  if (!place) return;
  if (added) {
    const size_t before = keys->count;
    if (add(keys, row, nkeys)) return;
    while (keys->count > before) sqlite3_value_free(keys->values[--keys->count]);
    *place = AMBIGUOUS;
    keys->starved = true;
  } else if (*place != AMBIGUOUS && is_another(keys, *place, row, nkeys)) {
    *place = AMBIGUOUS;
  }
}

bool keys_bind(Shadow *shadow, sqlite3_stmt *statement, sqlite3_value *rowid, Fault *fault) {
  const Keys *keys = &shadow->keys;
  if (shadow->base->rowid) {
    return write_bind(shadow, statement, meaning_first_term(shadow->policy), rowid, fault);
  }
  const sqlite3_int64 number = sqlite3_value_int64(rowid);
  const int64_t *place = map_get(&keys->places, &number, sizeof number);
  if (!place || *place == AMBIGUOUS) {
    if (keys->starved) return fault_oom(fault);
    return fault_set(fault, FAULT_BUSY, "the row's key is not known any more");
  }
  for (int i = 0; i < shadow->base->nkeys; i++) {
    sqlite3_value *value = keys->values[*place + i];
    if (!write_bind(shadow, statement, write_key_term(shadow, i), value, fault)) return false;
  }
  return true;
}
