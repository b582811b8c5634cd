/*
** A virtual table that has no rows to look for: it answers at once, from what it was asked, with
** the same columns as the others here. What a statement on it takes is SQLite's own time; a
** statement on far memory takes that, and the round.
*/
#ifndef TENFOLD_BENCH_FAR_BLANK_H
#define TENFOLD_BENCH_FAR_BLANK_H

#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

enum { BLANK_MOST = 128, BLANK_LIST = 1, BLANK_RANGE = 2 };

typedef struct BlankCursor {
  sqlite3_vtab_cursor base;
  sqlite3_int64 keys[BLANK_MOST];
  int n, at;
} BlankCursor;

static int blank_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **message) {
  static sqlite3_vtab table;
  (void)aux, (void)argc, (void)argv, (void)message;
  *out = &table;
  return sqlite3_declare_vtab(
      db, "CREATE TABLE x(id INTEGER PRIMARY KEY, score REAL, name TEXT, body TEXT)");
}

static int blank_disconnect(sqlite3_vtab *table) {
  (void)table;
  return SQLITE_OK;
}

/* A key, a list of them, or keys from one to another. */
static int blank_plan(sqlite3_vtab *table, sqlite3_index_info *info) {
  int n = 0;
  (void)table;
  for (int i = 0; i < info->nConstraint; i++) {
    if (info->aConstraint[i].iColumn > 0 || !info->aConstraint[i].usable) continue;
    if (info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ) info->idxNum = BLANK_RANGE;
    if (sqlite3_vtab_in(info, i, 1)) info->idxNum = BLANK_LIST;
    info->aConstraintUsage[i].argvIndex = ++n;
    info->aConstraintUsage[i].omit = 1;
  }
  info->orderByConsumed =
      info->nOrderBy == 1 && info->aOrderBy[0].iColumn <= 0 && !info->aOrderBy[0].desc;
  info->estimatedCost = n ? 1 : 1e9;
  info->estimatedRows = 1;
  return SQLITE_OK;
}

static int blank_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  BlankCursor *cursor = sqlite3_malloc(sizeof *cursor);
  (void)table;
  *out = &cursor->base;
  return cursor ? SQLITE_OK : SQLITE_NOMEM;
}

static int blank_close(sqlite3_vtab_cursor *base) {
  sqlite3_free(base);
  return SQLITE_OK;
}

static int blank_filter(sqlite3_vtab_cursor *base, int how, const char *text, int argc,
                        sqlite3_value **argv) {
  BlankCursor *cursor = (BlankCursor *)base;
  sqlite3_value *value = NULL;
  (void)text;
  cursor->n = cursor->at = 0;
  if (how == BLANK_LIST) {
    for (int rc = sqlite3_vtab_in_first(argv[0], &value);
         rc == SQLITE_OK && value && cursor->n < BLANK_MOST;
         rc = sqlite3_vtab_in_next(argv[0], &value))
      cursor->keys[cursor->n++] = sqlite3_value_int64(value);
  } else if (argc > 0) {
    const sqlite3_int64 from = sqlite3_value_int64(argv[0]),
                        to = sqlite3_value_int64(argv[argc - 1]);
    for (sqlite3_int64 key = from; key <= to && cursor->n < BLANK_MOST; key++)
      cursor->keys[cursor->n++] = key;
  }
  return SQLITE_OK;
}

static int blank_next(sqlite3_vtab_cursor *base) {
  ((BlankCursor *)base)->at++;
  return SQLITE_OK;
}

static int blank_eof(sqlite3_vtab_cursor *base) {
  return ((BlankCursor *)base)->at >= ((BlankCursor *)base)->n;
}

static int blank_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
  *out = ((BlankCursor *)base)->keys[((BlankCursor *)base)->at];
  return SQLITE_OK;
}

static int blank_column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int column) {
  static const char *const texts[] = {"name of 12345", "0000000000000000000000000000000000012345"};
  const BlankCursor *cursor = (BlankCursor *)base;
  if (column == 0) sqlite3_result_int64(ctx, cursor->keys[cursor->at]);
  if (column == 1) sqlite3_result_double(ctx, (double)cursor->keys[cursor->at] / 7);
  if (column > 1) sqlite3_result_text(ctx, texts[column - 2], -1, SQLITE_TRANSIENT);
  return SQLITE_OK;
}

static inline int blank_make(sqlite3 *db) {
  static const sqlite3_module module = {.iVersion = 2,
                                        .xConnect = blank_connect,
                                        .xBestIndex = blank_plan,
                                        .xDisconnect = blank_disconnect,
                                        .xOpen = blank_open,
                                        .xClose = blank_close,
                                        .xFilter = blank_filter,
                                        .xNext = blank_next,
                                        .xEof = blank_eof,
                                        .xColumn = blank_column,
                                        .xRowid = blank_rowid};
  return sqlite3_create_module(db, "blank", &module, NULL);
}

#endif
