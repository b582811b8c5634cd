/*
** Rows that nobody looks at are counted, not read.
**
** `SELECT count(*) FROM Post WHERE class = 5` steps from row to row and asks for nothing of them.
** After a few such rows the inner statement is left where it stands, SQLite itself counts its rows,
** and the rest of the scan is a number that goes down. Should a column or the rowid be asked for
** after all, the statement catches up.
**
** Counts are kept as long as the database does not change. Where rules come apart (nature.c), rows
** are counted in two parts: those that a rule lets everybody see who is in the class, whose count
** is kept for all universes, and the user's own beside them, which an index finds.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/shadow.h"

enum { ROWS_BEFORE = 8, KEPT = 4000, NPARTS = 2 };

typedef struct Share {     /* a part of the rows */
  sqlite3_stmt *statement; /* NULL: there is no such part */
  bool own;                /* of one universe: */
  uint64_t bound;          /* its parameters are bound */
  uint64_t universe;       /* the counts are its */
  Map kept;                /* by the terms' values */
} Share;

struct Counted {
  Share shares[NPARTS];
  sqlite3_stmt *pin; /* stands on its row, and thereby in a state of the database */
  bool ready;        /* the terms' values are bound, and stand in `key` */
  Text key;
  unsigned file_version; /* of the state that counts are kept of */
  sqlite3_int64 total_changes;
};

void counted_destroy(Counted *counted) {
  if (!counted) return;
  for (int i = 0; i < NPARTS; i++) {
    sqlite3_finalize(counted->shares[i].statement);
    map_finish(&counted->shares[i].kept);
  }
  sqlite3_finalize(counted->pin);
  text_finish(&counted->key);
  free(counted);
}

/* The rows of the inner statement, in no order: SQLite 3.40 would sort them before it counts them.
** It does leave out the columns that nobody reads. */
static bool prepare(Counted *counted, const Inner *inner, sqlite3 *db, Fault *fault) {
  Share *shared = &counted->shares[0], *own = &counted->shares[1];
  own->own = true;
  counted->pin = query_prepare(db, "PRAGMA main.data_version", fault);
  if (inner->counts[0] && inner->counts[1]) {
    const bool alone = !*inner->counts[1];
    shared->statement = query_prepare(db, inner->counts[0], fault);
    if (!alone) own->statement = query_prepare(db, inner->counts[1], fault);
    return counted->pin && shared->statement && (alone || own->statement);
  }
  own->statement = query_printf(db, fault, "SELECT count(*) FROM (%.*s)", (int)inner->unsorted,
                                sqlite3_sql(inner->statement));
  return counted->pin && own->statement;
}

static Counted *create(const Inner *inner) {
  Fault none = {0}; /* without it, rows are read */
  Counted *counted = calloc(1, sizeof *counted);
  if (counted && prepare(counted, inner, sqlite3_db_handle(inner->statement), &none)) {
    return counted;
  }
  counted_destroy(counted);
  return NULL;
}

static void add_to_key(Text *key, sqlite3_value *value) {
  const int type = sqlite3_value_type(value);
  text_addc(key, (char)('0' + type));
  if (type == SQLITE_INTEGER) {
    const int64_t integer = sqlite3_value_int64(value);
    text_addn(key, (const char *)&integer, sizeof integer);
  } else if (type == SQLITE_FLOAT) {
    const double real = sqlite3_value_double(value);
    text_addn(key, (const char *)&real, sizeof real);
  } else {
    const void *bytes = sqlite3_value_blob(value);
    const int n = sqlite3_value_bytes(value);
    text_addn(key, (const char *)&n, sizeof n);
    text_addn(key, bytes ? bytes : "", bytes ? (size_t)n : 0);
  }
}

static bool bind(Share *share, const Shadow *shadow, const VtPlan *plan) {
  const uint64_t universe = shadow->state->universe->serial;
  const int first = meaning_first_term(shadow->policy);
  const int n = sqlite3_bind_parameter_count(share->statement);
  bool ok = true;
  if (share->own && share->bound != universe) shadow_bind(shadow->state, share->statement);
  share->bound = universe;
  for (int i = 0; i < plan->nterms && first + i <= n; i++) {
    ok &= sqlite3_bind_value(share->statement, first + i, plan->terms[i].value) == SQLITE_OK;
  }
  return ok;
}

void counted_seek(ShadowCursor *cursor, const VtPlan *plan) {
  Counted *counted = cursor->inner->counted;
  const Shadow *shadow = (Shadow *)cursor->cursor.tab;
  cursor->silent = true;
  cursor->stepped = 0;
  if (!counted) return;
  text_clear(&counted->key);
  for (int i = 0; i < plan->nterms; i++) add_to_key(&counted->key, plan->terms[i].value);
  counted->ready = !counted->key.oom;
  for (int i = 0; i < NPARTS; i++) {
    if (counted->shares[i].statement) counted->ready &= bind(&counted->shares[i], shadow, plan);
  }
}

static void forget(Share *share) {
  map_finish(&share->kept);
  share->kept = (Map){0};
}

/* Counts of another state are forgotten. False: nothing can be kept, for a transaction that writes
** can go back without a trace, or memberships are of another state than what is read. */
static bool keeps(Counted *counted, const Shadow *shadow) {
  sqlite3 *db = shadow->tab.db;
  if (sqlite3_txn_state(db, "main") == SQLITE_TXN_WRITE) return false;
  const unsigned version = shadow_file_version(shadow);
  const sqlite3_int64 changes = sqlite3_total_changes64(db);
  if (version != shadow->state->file_version) return false;
  if (counted->file_version != version || counted->total_changes != changes) {
    for (int i = 0; i < NPARTS; i++) forget(&counted->shares[i]);
  }
  counted->file_version = version;
  counted->total_changes = changes;
  return true;
}

static const int64_t *find_kept(const Counted *counted, Share *share, const Shadow *shadow) {
  const uint64_t universe = share->own ? shadow->state->universe->serial : 0;
  if (share->universe != universe || share->kept.count >= KEPT) forget(share);
  share->universe = universe;
  return map_get(&share->kept, counted->key.data ? counted->key.data : "", counted->key.length);
}

/* -1: it failed. */
static sqlite3_int64 count_share(const Counted *counted, Share *share, bool keep,
                                 const Shadow *shadow) {
  const int64_t *known = keep ? find_kept(counted, share, shadow) : NULL;
  if (known) {
    shadow->state->stats.kept++;
    return *known;
  }
  shadow->state->stats.counts++;
  vt_internal_enter(shadow->tab.conn);
  const int rc = sqlite3_step(share->statement);
  const sqlite3_int64 rows = rc == SQLITE_ROW ? sqlite3_column_int64(share->statement, 0) : -1;
  sqlite3_reset(share->statement);
  vt_internal_leave(shadow->tab.conn);
  if (keep && rows >= 0) {
    map_put(&share->kept, text_get(&counted->key), counted->key.length, rows, NULL);
  }
  return rows;
}

static sqlite3_int64 count_rows(Counted *counted, const Shadow *shadow) {
  const bool keep = keeps(counted, shadow);
  sqlite3_int64 sum = 0;
  for (int i = 0; i < NPARTS && sum >= 0; i++) {
    if (!counted->shares[i].statement) continue;
    const sqlite3_int64 rows = count_share(counted, &counted->shares[i], keep, shadow);
    sum = rows < 0 ? -1 : sum + rows;
  }
  return sum;
}

static bool is_known(Counted *counted, const Shadow *shadow) {
  bool known = true;
  for (int i = 0; i < NPARTS; i++) {
    Share *share = &counted->shares[i];
    known = known && (!share->statement || find_kept(counted, share, shadow));
  }
  return known;
}

/* A scan of a shape that has been silent begins with its count where that is known, or where rows
** are sorted before the first of them comes (order.c), which costs more than a count. */
bool counted_at_once(ShadowCursor *cursor) {
  const Shadow *shadow = (Shadow *)cursor->cursor.tab;
  Counted *counted = cursor->inner->counted;
  if (!counted || !counted->ready) return false;
  const bool sorted = cursor->inner->sorted;
  if (!sorted && !is_known(counted, shadow)) return false;
  vt_internal_enter(shadow->tab.conn);
  const bool pinned = sqlite3_step(counted->pin) == SQLITE_ROW;
  vt_internal_leave(shadow->tab.conn);
  const bool wanted = pinned && (sorted || (keeps(counted, shadow) && is_known(counted, shadow)));
  const sqlite3_int64 rows = wanted ? count_rows(counted, shadow) : -1;
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
