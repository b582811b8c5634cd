/*
** Tier 2: rows from the base table into the store.
**
** Whatever goes wrong here only means that tier 1 answers.
*/
#include <stdio.h>
#include <stdlib.h>

#include "extensions/multiverse/cache.h"

typedef struct Draft { /* a row on its way */
  Datum *cells;
  uint8_t *flags;
} Draft;

/* One allocation, freed by free(draft->cells). */
static bool draft_begin(Draft *draft, const Lens *lens) {
  const size_t ncells = (size_t)lens->ncells, nflags = (size_t)lens->nflags;
  draft->cells = calloc(1, ncells * sizeof *draft->cells + nflags + 1);
  draft->flags = (uint8_t *)(draft->cells + (draft->cells ? ncells : 0));
  return draft->cells != NULL;
}

static bool read_datum(sqlite3_stmt *statement, int column, Datum *out) {
  *out = (Datum){.type = sqlite3_column_type(statement, column)};
  switch (out->type) {
  case SQLITE_INTEGER:
    out->as.integer = sqlite3_column_int64(statement, column);
    return true;
  case SQLITE_FLOAT:
    out->as.real = sqlite3_column_double(statement, column);
    return true;
  case SQLITE_NULL:
    return true;
  default:
    out->as.bytes = out->type == SQLITE_TEXT ? (const char *)sqlite3_column_text(statement, column)
                                             : sqlite3_column_blob(statement, column);
    out->length = (uint32_t)sqlite3_column_bytes(statement, column);
    return out->as.bytes || !out->length;
  }
}

/* The columns of row_sql. */
static bool read_draft(sqlite3_stmt *statement, const Lens *lens, Draft *draft) {
  int at = 1;
  for (int i = 0; i < lens->ncells; i++) {
    if (!read_datum(statement, at++, &draft->cells[i])) return false;
  }
  for (int i = 0; i < lens->nflags; i++, at++) {
    const bool null = sqlite3_column_type(statement, at) == SQLITE_NULL;
    const bool not = sqlite3_column_int(statement, at) != 0;
    draft->flags[i] = null ? TRI_NULL : not ? TRI_FALSE : TRI_TRUE;
  }
  return true;
}

/* The rows of a table of the policy where a column, or the rowid, has a value. */
static Inner *statement_of(Shadow *shadow, int number, int column) {
  char shape[48];
  Fault none = {0};
  snprintf(shape, sizeof shape, "rows %d %d", number, column);
  Inner *inner = shadow_find(shadow, shape);
  if (inner) return inner;
  const Lens *lens = &shadow->state->cache->lenses[number];
  const TablePolicy *table = shadow->policy->tables[number];
  Text sql = {0};
  text_add(&sql, lens->row_sql);
  text_add(&sql, " WHERE ");
  meaning_raw(table, column, &sql);
  text_add(&sql, " = ?1 ORDER BY ");
  meaning_raw(table, -1, &sql);
  inner = shadow_add(shadow, shape, &sql, &none);
  text_finish(&sql);
  return inner;
}

/* False: not all of them are there. */
static bool read_rows(sqlite3_stmt *statement, const Lens *lens, Store *store, Posting *posting) {
  Draft draft;
  bool ok = draft_begin(&draft, lens);
  int rc = SQLITE_ROW;
  while (ok && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
    ok = read_draft(statement, lens, &draft) &&
         posting_add(store, posting, sqlite3_column_int64(statement, 0), draft.cells, draft.flags);
  }
  sqlite3_reset(statement);
  free(draft.cells);
  return ok && rc == SQLITE_DONE;
}

Posting *cache_posting(Shadow *shadow, int column, sqlite3_value *value, const Datum *key) {
  Cache *cache = shadow->state->cache;
  Inner *inner = statement_of(shadow, shadow->number, column);
  if (!inner || sqlite3_bind_value(inner->statement, 1, value) != SQLITE_OK) return NULL;
  Posting *posting = posting_begin(cache->store, shadow->number, column, key);
  if (!posting) return NULL;
  const Lens *lens = &cache->lenses[shadow->number];
  if (!read_rows(inner->statement, lens, cache->store, posting) && !posting_is_refused(posting)) {
    posting_drop(cache->store, posting);
    return NULL;
  }
  cache->stats.filled++;
  return posting_publish(cache->store, posting) ? posting : NULL;
}

bool cache_is_wanted(Cache *cache, int table, sqlite3_int64 rowid) {
  const uint64_t hash = hash_bytes(&rowid, sizeof rowid, (uint64_t)table + 1);
  uint64_t *slot = &cache->missed[hash % countof(cache->missed)];
  const bool again = *slot == hash;
  *slot = hash;
  return again;
}

bool cache_reread(void *ctx, const Touched *touched) {
  Shadow *shadow = ctx;
  const Cache *cache = shadow->state->cache;
  const Lens *lens = &cache->lenses[touched->table];
  if (lens->unfit) return true;
  Inner *inner = statement_of(shadow, touched->table, -1);
  Draft draft;
  if (!inner || !draft_begin(&draft, lens)) return false;
  sqlite3_bind_int64(inner->statement, 1, touched->rowid);
  const int rc = sqlite3_step(inner->statement);
  bool ok = rc == SQLITE_DONE || (rc == SQLITE_ROW && read_draft(inner->statement, lens, &draft));
  ok = ok && store_replace(cache->store, touched->table, touched->rowid,
                           rc == SQLITE_ROW ? draft.cells : NULL, draft.flags);
  sqlite3_reset(inner->statement);
  free(draft.cells);
  return ok;
}
