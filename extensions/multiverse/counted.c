/*
** Rows that nobody looks at are counted, not read.
**
** `SELECT count(*) FROM Post WHERE class = 5` steps from row to row and asks for nothing of them.
** After a few such rows the inner statement is left where it stands, SQLite itself counts its rows,
** and the rest of the scan is a number that goes down. Should a column or the rowid be asked for
** after all, the statement catches up. Counts are kept as long as the database does not change.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/shadow.h"

enum { ROWS_BEFORE = 8, KEPT = 1000 };

struct Counted {
  sqlite3_stmt *statement;
  sqlite3_stmt *pin; /* stands on a row, and thereby in a state of the database */
  uint64_t bound;    /* the universe whose parameters are bound */
  bool ready;        /* the terms' values are bound, and stand in `key` */
  Text key;
  Map kept; /* by key: counts for this universe and this state of the database */
  uint64_t universe;
  unsigned file_version;
  sqlite3_int64 total_changes;
};

void counted_destroy(Counted *counted) {
  if (!counted) return;
  sqlite3_finalize(counted->statement);
  sqlite3_finalize(counted->pin);
  text_finish(&counted->key);
  map_finish(&counted->kept);
  free(counted);
}

/* The rows of the inner statement, in no order: SQLite 3.40 would sort them before it counts them.
** It does leave out the columns that nobody reads. */
static Counted *create(const Inner *inner) {
  Fault none = {0}; /* without it, rows are read */
  Counted *counted = calloc(1, sizeof *counted);
  if (!counted) return NULL;
  sqlite3 *db = sqlite3_db_handle(inner->statement);
  counted->statement = query_printf(db, &none, "SELECT count(*) FROM (%.*s)", (int)inner->unsorted,
                                    sqlite3_sql(inner->statement));
  counted->pin = query_prepare(db, "SELECT 1 FROM main.sqlite_schema LIMIT 1", &none);
  if (counted->statement && counted->pin) return counted;
  counted_destroy(counted);
  return NULL;
}

static void add_to_key(Text *key, sqlite3_value *value) {
  const int type = sqlite3_value_type(value);
  if (type == SQLITE_INTEGER) {
    text_addf(key, "i%lld", (long long)sqlite3_value_int64(value));
  } else if (type == SQLITE_FLOAT) {
    text_addf(key, "r%a", sqlite3_value_double(value));
  } else {
    const void *bytes = sqlite3_value_blob(value);
    const int n = sqlite3_value_bytes(value);
    text_addf(key, "%d:%d:", type, n);
    text_addn(key, bytes ? bytes : "", bytes ? (size_t)n : 0);
  }
}

void counted_seek(ShadowCursor *cursor, const VtPlan *plan) {
  Counted *counted = cursor->inner->counted;
  const Shadow *shadow = (Shadow *)cursor->cursor.tab;
  const Universe *universe = shadow->state->universe;
  cursor->silent = true;
  cursor->stepped = 0;
  if (!counted) return;
  if (counted->bound != universe->serial) shadow_bind(shadow->state, counted->statement);
  counted->bound = universe->serial;
  text_clear(&counted->key);
  counted->ready = true;
  const int first = meaning_first_term(shadow->policy);
  const int n = sqlite3_bind_parameter_count(counted->statement);
  for (int i = 0; i < plan->nterms; i++) {
    add_to_key(&counted->key, plan->terms[i].value);
    if (first + i > n) continue;
    counted->ready &=
        sqlite3_bind_value(counted->statement, first + i, plan->terms[i].value) == SQLITE_OK;
  }
  counted->ready &= !counted->key.oom;
}

/* Counts of another state or universe are forgotten. False: nothing can be kept, for a transaction
** that writes can go back without a trace. */
static bool keeps(Counted *counted, const Shadow *shadow) {
  sqlite3 *db = shadow->tab.db;
  if (sqlite3_txn_state(db, "main") == SQLITE_TXN_WRITE) return false;
  const unsigned version = shadow_file_version(shadow);
  const sqlite3_int64 changes = sqlite3_total_changes64(db);
  const uint64_t universe = shadow->state->universe->serial;
  if (counted->universe != universe || counted->file_version != version ||
      counted->total_changes != changes || counted->kept.count >= KEPT) {
    map_finish(&counted->kept);
    counted->kept = (Map){0};
  }
  counted->universe = universe;
  counted->file_version = version;
  counted->total_changes = changes;
  return true;
}

static sqlite3_int64 count_rows(Counted *counted, const Shadow *shadow) {
  const bool keep = keeps(counted, shadow);
  const int64_t *known = keep ? map_get(&counted->kept, counted->key.data ? counted->key.data : "",
                                        counted->key.length)
                              : NULL;
  if (known) {
    shadow->state->stats.kept++;
    return *known;
  }
  shadow->state->stats.counts++;
  vt_internal_enter(shadow->tab.conn);
  const int rc = sqlite3_step(counted->statement);
  const sqlite3_int64 rows = rc == SQLITE_ROW ? sqlite3_column_int64(counted->statement, 0) : -1;
  sqlite3_reset(counted->statement);
  vt_internal_leave(shadow->tab.conn);
  if (keep && rows >= 0) {
    map_put(&counted->kept, text_get(&counted->key), counted->key.length, rows, NULL);
  }
  return rows;
}

/* Rows that are sorted before the first of them comes (order.c) cost more than a count; so once a
** scan of this shape has been silent, the next begins with it. */
bool counted_at_once(ShadowCursor *cursor) {
  const Shadow *shadow = (Shadow *)cursor->cursor.tab;
  Counted *counted = cursor->inner->counted;
  if (!cursor->inner->sorted || !counted || !counted->ready) return false;
  vt_internal_enter(shadow->tab.conn);
  const bool pinned = sqlite3_step(counted->pin) == SQLITE_ROW;
  vt_internal_leave(shadow->tab.conn);
  const sqlite3_int64 rows = pinned ? count_rows(counted, shadow) : -1;
  if (rows < 0) {
    counted_done(cursor);
    return false;
  }
  shadow->state->stats.counted += rows;
  cursor->cursor.eof = rows == 0;
  cursor->counting = rows > 0;
  cursor->left = rows - 1;
  cursor->behind = 1;
  return true;
}

void counted_done(ShadowCursor *cursor) {
  if (cursor->inner->counted) sqlite3_reset(cursor->inner->counted->pin);
}

/* A row that was stepped to in silence. The first scan of a shape finds out that it is one. */
void counted_passed(ShadowCursor *cursor) {
  const Shadow *shadow = (Shadow *)cursor->cursor.tab;
  Inner *inner = cursor->inner;
  if (++cursor->stepped != ROWS_BEFORE) return;
  if (!inner->counted) {
    vt_internal_enter(shadow->tab.conn);
    inner->counted = create(inner);
    vt_internal_leave(shadow->tab.conn);
    return;
  }
  if (!inner->counted->ready) return;
  const sqlite3_int64 rows = count_rows(inner->counted, shadow);
  if (rows < cursor->stepped) return;
  cursor->left = rows - cursor->stepped;
  shadow->state->stats.counted += cursor->left;
  cursor->behind = 0;
  cursor->counting = true;
}

int counted_catch_up(ShadowCursor *cursor) {
  cursor->silent = false;
  if (!cursor->counting) return SQLITE_OK;
  State *state = ((Shadow *)cursor->cursor.tab)->state;
  state->stats.caught_up++;
  state->stats.counted -= cursor->left + cursor->behind;
  int rc = SQLITE_ROW;
  vt_internal_enter(cursor->cursor.tab->conn);
  for (; cursor->behind > 0 && rc == SQLITE_ROW; cursor->behind--) {
    rc = sqlite3_step(cursor->inner->statement);
  }
  vt_internal_leave(cursor->cursor.tab->conn);
  cursor->counting = false;
  return rc == SQLITE_ROW ? SQLITE_OK : rc == SQLITE_DONE ? SQLITE_ABORT : rc;
}
