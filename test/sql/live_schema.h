/*
** A schema for the binder taken from a live SQLite connection. For tests.
*/
#ifndef TEST_SQL_LIVE_SCHEMA_H
#define TEST_SQL_LIVE_SCHEMA_H

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/sql.h"

typedef struct LiveTable {
  char *schema, *name;
  bool exists;
  SqlSource source; /* columns in the arena of the cache */
} LiveTable;

typedef struct LiveSchema {
  sqlite3 *db;
  Arena arena;
  LiveTable tables[64];
  int ntables;
  char functions[400][40];
  int nargs[400], kinds[400]; /* kinds: 's', 'a' or 'w' */
  int nfunctions;
  bool rowid_in_views;
} LiveSchema;

static sqlite3_stmt *live_query(sqlite3 *db, const char *sql, const char *a, const char *b) {
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
    fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
    exit(2);
  }
  sqlite3_bind_text(stmt, 1, a, -1, SQLITE_TRANSIENT);
  if (sqlite3_bind_parameter_count(stmt) > 1) {
    sqlite3_bind_text(stmt, 2, b, -1, SQLITE_TRANSIENT);
  }
  return stmt;
}

static char *live_text(Arena *arena, sqlite3_stmt *stmt, int i) {
  const char *text = (const char *)sqlite3_column_text(stmt, i);
  return arena_strdup(arena, text ? text : "");
}

static void live_columns(LiveSchema *live, LiveTable *table) {
  SqlSource *source = &table->source;
  source->columns = arena_array(&live->arena, 2100, sizeof *source->columns);
  const char *schema = *table->schema ? table->schema : NULL;
  sqlite3_stmt *stmt = live_query(
      live->db, "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?, ?)", table->name, schema);
  int pks = 0, pk = -1;
  while (sqlite3_step(stmt) == SQLITE_ROW) {
    SqlColumn *column = &source->columns[source->ncolumns];
    column->name = live_text(&live->arena, stmt, 0);
    column->type = live_text(&live->arena, stmt, 1);
    column->hidden = sqlite3_column_int(stmt, 3) == 1;
    if (sqlite3_column_int(stmt, 2)) {
      pks++;
      pk = source->ncolumns;
    }
    const char *collation = NULL;
    if (sqlite3_table_column_metadata(live->db, schema, table->name, column->name, NULL, &collation,
                                      NULL, NULL, NULL) == SQLITE_OK &&
        collation && sqlite3_stricmp(collation, "BINARY") != 0) {
      column->collation = arena_strdup(&live->arena, collation);
    }
    source->ncolumns++;
    table->exists = true;
  }
  sqlite3_finalize(stmt);
  source->has_rowid = true;
  source->is_virtual = true; /* unless the list below knows it */
  stmt = live_query(live->db,
                    "SELECT type, wr, schema FROM pragma_table_list WHERE lower(name) = lower(?1) "
                    "AND (?2 = '' OR schema = lower(?2)) "
                    "ORDER BY schema <> 'temp', schema <> 'main'",
                    table->name, table->schema);
  if (sqlite3_step(stmt) == SQLITE_ROW) {
    const char *type = (const char *)sqlite3_column_text(stmt, 0);
    source->is_view = strcmp(type, "view") == 0;
    source->is_virtual = strcmp(type, "virtual") == 0;
    source->has_rowid = source->is_view ? live->rowid_in_views : sqlite3_column_int(stmt, 1) == 0;
    source->database = live_text(&live->arena, stmt, 2);
  }
  sqlite3_finalize(stmt);
  if (pks == 1 && source->has_rowid && !source->is_virtual &&
      sqlite3_stricmp(source->columns[pk].type, "INTEGER") == 0) {
    source->rowid_column = pk + 1;
  }
}

static bool live_table(void *ctx, const char *schema, const char *name, Arena *arena,
                       SqlSource *out, Fault *fault) {
  (void)arena, (void)fault;
  LiveSchema *live = ctx;
  if (!schema) schema = "";
  LiveTable *table = NULL;
  for (int i = 0; i < live->ntables && !table; i++) {
    if (sqlite3_stricmp(live->tables[i].name, name) == 0 &&
        sqlite3_stricmp(live->tables[i].schema, schema) == 0) {
      table = &live->tables[i];
    }
  }
  if (!table) {
    table = &live->tables[live->ntables < 63 ? live->ntables++ : 63];
    memset(table, 0, sizeof *table);
    table->name = arena_strdup(&live->arena, name);
    table->schema = arena_strdup(&live->arena, schema);
    live_columns(live, table);
  }
  if (!table->exists) return false;
  out->columns = table->source.columns;
  out->ncolumns = table->source.ncolumns;
  out->has_rowid = table->source.has_rowid;
  out->rowid_column = table->source.rowid_column;
  out->is_view = table->source.is_view;
  out->is_virtual = table->source.is_virtual;
  out->database = table->source.database;
  return true;
}

static SqlFunctionKind live_function(void *ctx, const char *name, int nargs) {
  LiveSchema *live = ctx;
  SqlFunctionKind kind = SQL_FUNCTION_NONE;
  int best = 0;
  if (sqlite3_stricmp(name, "match") == 0 && nargs == 2) return SQL_FUNCTION_SCALAR;
  for (int i = 0; i < live->nfunctions; i++) {
    if (sqlite3_stricmp(live->functions[i], name) != 0) continue;
    int score = live->nargs[i] == nargs ? 2 : live->nargs[i] < 0 ? 1 : 0;
    if (sqlite3_stricmp(name, "min") == 0 || sqlite3_stricmp(name, "max") == 0) {
      if (nargs == 0) score = 0;
    }
    if (!score && kind == SQL_FUNCTION_NONE) kind = SQL_FUNCTION_WRONG_ARGS;
    if (score <= best) continue;
    best = score;
    kind = live->kinds[i] == 's' ? SQL_FUNCTION_SCALAR : SQL_FUNCTION_AGGREGATE;
  }
  /* Those that are nothing without OVER. */
  static const char *const windows[] = {"cume_dist",    "dense_rank", "first_value", "lag",
                                        "last_value",   "lead",       "nth_value",   "ntile",
                                        "percent_rank", "rank",       "row_number"};
  for (size_t i = 0; best && i < sizeof windows / sizeof *windows; i++) {
    if (sqlite3_stricmp(name, windows[i]) == 0) return SQL_FUNCTION_WINDOW;
  }
  return kind;
}

static bool live_index(void *ctx, const SqlSource *source, const char *name) {
  LiveSchema *live = ctx;
  sqlite3_stmt *stmt =
      live_query(live->db, "SELECT 1 FROM pragma_index_list(?1) WHERE lower(name) = lower(?2)",
                 source->name, name);
  bool found = sqlite3_step(stmt) == SQLITE_ROW;
  sqlite3_finalize(stmt);
  return found;
}

static void live_open(LiveSchema *live, sqlite3 *db) {
  memset(live, 0, sizeof *live);
  live->db = db;
  sqlite3_stmt *stmt =
      live_query(db, "SELECT name, narg, type FROM pragma_function_list WHERE ? = 'x'", "x", NULL);
  while (sqlite3_step(stmt) == SQLITE_ROW && live->nfunctions < 400) {
    int i = live->nfunctions++;
    snprintf(live->functions[i], sizeof live->functions[i], "%s", sqlite3_column_text(stmt, 0));
    live->nargs[i] = sqlite3_column_int(stmt, 1);
    live->kinds[i] = sqlite3_column_text(stmt, 2)[0];
  }
  sqlite3_finalize(stmt);
  stmt = NULL;
  live->rowid_in_views =
      sqlite3_prepare_v2(db, "SELECT rowid FROM (SELECT 1)", -1, &stmt, NULL) == SQLITE_OK;
  sqlite3_finalize(stmt);
}

static SqlSchema live_schema(LiveSchema *live) {
  return (SqlSchema){.ctx = live,
                     .table = live_table,
                     .function = live_function,
                     .index = live_index,
                     .rowid_in_views = live->rowid_in_views};
}

#endif
