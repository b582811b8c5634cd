/*
** What SQLite knows about a base table.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/multiverse.h"

enum { ROWS_UNKNOWN = 1000000, ROWS_PER_VALUE = 10 };

static sqlite3_stmt *about(sqlite3 *db, const char *sql, const char *name, Fault *fault) {
  sqlite3_stmt *statement = query_prepare(db, sql, fault);
  if (statement) sqlite3_bind_text(statement, 1, name, -1, SQLITE_TRANSIENT);
  return statement;
}

/* ---- columns --------------------------------------------------------------------------------- */

static bool count_columns(sqlite3 *db, const char *name, int *out, Fault *fault) {
  sqlite3_stmt *count =
      about(db, "SELECT count(*) FROM pragma_table_xinfo(?1, 'main')", name, fault);
  bool ok = count && query_step(count, fault) == 1;
  *out = ok ? sqlite3_column_int(count, 0) : 0;
  query_finish(count);
  return ok;
}

static const char *collation_of(sqlite3 *db, const char *table, const char *column, Arena *arena) {
  const char *collation = NULL;
  int rc =
      sqlite3_table_column_metadata(db, "main", table, column, NULL, &collation, NULL, NULL, NULL);
  if (rc != SQLITE_OK || !collation || !sqlite3_stricmp(collation, "BINARY")) return NULL;
  return arena_strdup(arena, collation);
}

/* Columns of a table or view of main; keys holds for each its place in the primary key, from 1. ANY
** of a STRICT table converts nothing, as a column without a type does in other tables. */
static bool load_columns(sqlite3 *db, Arena *arena, BaseTable *table, int *keys, Fault *fault) {
  sqlite3_stmt *info = about(db,
                             "SELECT name, CASE WHEN type = 'ANY' AND (SELECT \"strict\" FROM "
                             "pragma_table_list(?1) WHERE schema = 'main') THEN '' ELSE type END, "
                             "dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main') "
                             "ORDER BY cid",
                             table->name, fault);
  int step = -1, n = 0;
  for (; info && (step = query_step(info, fault)) == 1 && n < table->ncolumns; n++) {
    const int i = n;
    SqlColumn *column = &table->columns[i];
    const char *preset = (const char *)sqlite3_column_text(info, 2);
    column->name = arena_strdup(arena, query_text(info, 0));
    column->type = arena_strdup(arena, query_text(info, 1));
    table->presets[i] = preset ? arena_strdup(arena, preset) : NULL;
    table->has_presets |= preset != NULL;
    keys[i] = sqlite3_column_int(info, 3);
    column->hidden = sqlite3_column_int(info, 4) == 1;
    table->generated[i] = sqlite3_column_int(info, 4) >= 2;
    if (!column->name || !column->type) break;
    column->collation = collation_of(db, table->name, column->name, arena);
  }
  query_finish(info);
  return (step == 0 && n == table->ncolumns) || fault_oom(fault);
}

static bool take_columns(sqlite3 *db, Arena *arena, BaseTable *table, int **out_keys,
                         Fault *fault) {
  if (!count_columns(db, table->name, &table->ncolumns, fault)) return false;
  size_t n = (size_t)table->ncolumns;
  table->columns = arena_array(arena, n, sizeof *table->columns);
  table->presets = arena_array(arena, n, sizeof *table->presets);
  table->generated = arena_array(arena, n, sizeof *table->generated);
  *out_keys = arena_array(arena, n, sizeof **out_keys);
  if (!table->columns || !table->presets || !table->generated || !*out_keys) {
    return fault_oom(fault);
  }
  return load_columns(db, arena, table, *out_keys, fault);
}

/* ---- keys and indexes ------------------------------------------------------------------------ */

static int find_column(const BaseTable *table, const char *name) {
  for (int i = 0; name && i < table->ncolumns; i++) {
    if (!sqlite3_stricmp(table->columns[i].name, name)) return i;
  }
  return -1;
}

static bool take_keys(sqlite3 *db, Arena *arena, BaseTable *table, const int *places,
                      bool has_rowid, Fault *fault) {
  static const char *const names[] = {"rowid", "_rowid_", "oid"};
  table->keys = arena_array(arena, (size_t)table->ncolumns + 1, sizeof *table->keys);
  if (!table->keys) return fault_oom(fault);
  for (int i = 0; i < table->ncolumns; i++) {
    if (places[i] < 1 || places[i] > table->ncolumns) continue;
    table->keys[places[i] - 1] = i;
    table->nkeys++;
  }
  table->rowid_column = -1;
  if (!has_rowid) return true;
  for (size_t i = 0; i < countof(names) && !table->rowid; i++) {
    if (find_column(table, names[i]) < 0) table->rowid = names[i];
  }
  if (table->nkeys == 1 && !sqlite3_stricmp(table->columns[table->keys[0]].type, "INTEGER")) {
    /* INTEGER PRIMARY KEY DESC is no rowid: SQLite then has an index for it. */
    sqlite3_stmt *index = about(
        db, "SELECT 1 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'", table->name, fault);
    const int step = index ? query_step(index, fault) : -1;
    query_finish(index);
    if (step < 0) return false;
    if (step == 0) table->rowid_column = table->keys[0];
    if (!table->rowid && step == 0) table->rowid = table->columns[table->keys[0]].name;
  }
  return table->rowid ||
         fault_set(fault, FAULT_UNSUPPORTED, "table %s: its columns take all names of the rowid",
                   table->name);
}

/* "1000 50 1": rows, and rows for each prefix. */
static void read_statistics(BaseTable *table, BaseIndex *index, const char *stat) {
  char *end;
  const double rows = strtod(stat, &end);
  if (rows >= 1) table->rows = rows;
  for (int i = 0; i < index->ncolumns && *end == ' '; i++) {
    const double each = strtod(end, &end);
    if (each > 0) index->rows[i] = each;
  }
}

static bool load_index(sqlite3 *db, Arena *arena, BaseTable *table, const char *name, bool unique,
                       bool partial, Fault *fault) {
  BaseIndex *index = &table->indexes[table->nindexes];
  *index = (BaseIndex){
      .name = arena_strdup(arena, name), .unique = unique && !partial, .partial = partial};
  index->columns = arena_array(arena, (size_t)table->ncolumns + 1, sizeof *index->columns);
  index->rows = arena_array(arena, (size_t)table->ncolumns + 1, sizeof *index->rows);
  if (!index->name || !index->columns || !index->rows) return fault_oom(fault);
  sqlite3_stmt *info = query_printf(
      db, fault, "SELECT name, cid FROM pragma_index_info(%Q, 'main') ORDER BY seqno", name);
  int step = -1;
  while (info && (step = query_step(info, fault)) == 1 && index->ncolumns <= table->ncolumns) {
    const int n = index->ncolumns++;
    const bool rowid = sqlite3_column_int(info, 1) == -1;
    index->columns[n] = rowid ? table->rowid_column
                              : find_column(table, (const char *)sqlite3_column_text(info, 0));
    index->rows[n] = ROWS_PER_VALUE;
  }
  query_finish(info);
  if (step < 0) return false;
  if (unique && index->ncolumns) index->rows[index->ncolumns - 1] = 1;
  table->nindexes++;
  return true;
}

static void take_statistics(sqlite3 *db, BaseTable *table, const char *index_name,
                            BaseIndex *index) {
  Fault none = {0}; /* there is no sqlite_stat1 before the first ANALYZE */
  sqlite3_stmt *query =
      query_printf(db, &none, "SELECT stat FROM main.sqlite_stat1 WHERE tbl = %Q AND idx IS %Q",
                   table->name, index_name);
  if (query && query_step(query, &none) == 1) read_statistics(table, index, query_text(query, 0));
  query_finish(query);
}

static bool count_indexes(sqlite3 *db, const char *name, size_t *out, Fault *fault) {
  sqlite3_stmt *count =
      about(db, "SELECT count(*) FROM pragma_index_list(?1, 'main')", name, fault);
  const bool ok = count && query_step(count, fault) == 1;
  *out = ok ? (size_t)sqlite3_column_int(count, 0) : 0;
  query_finish(count);
  return ok;
}

static bool take_indexes(sqlite3 *db, Arena *arena, BaseTable *table, Fault *fault) {
  size_t most;
  bool any = false;
  table->rows = ROWS_UNKNOWN;
  if (!count_indexes(db, table->name, &most, fault)) return false;
  table->indexes = arena_array(arena, most + 1, sizeof *table->indexes);
  if (!table->indexes) return fault_oom(fault);
  sqlite3_stmt *list =
      about(db, "SELECT name, \"unique\", partial FROM pragma_index_list(?1, 'main')", table->name,
            fault);
  int step = -1;
  while (list && (step = query_step(list, fault)) == 1 && (size_t)table->nindexes < most) {
    const char *name = query_text(list, 0);
    const bool partial = sqlite3_column_int(list, 2);
    if (!load_index(db, arena, table, name, sqlite3_column_int(list, 1), partial, fault)) {
      step = -1;
      break;
    }
    any |= !partial;
    if (!partial) take_statistics(db, table, name, &table->indexes[table->nindexes - 1]);
  }
  query_finish(list);
  BaseIndex whole = {0};
  if (step >= 0 && !any) take_statistics(db, table, NULL, &whole);
  return step >= 0;
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* The list leaves a table out when memory is short; views are not in ours. */
static bool is_surely_absent(sqlite3 *db, const char *name, Fault *fault) {
  sqlite3_stmt *find = query_printf(
      db, fault,
      "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = %Q COLLATE NOCASE", name);
  const int step = find ? query_step(find, fault) : -1;
  query_finish(find);
  return step == 0 || (step == 1 && fault_oom(fault));
}

bool base_find(sqlite3 *db, const char *name, Arena *arena, BaseTable **out, Fault *fault) {
  *out = NULL;
  sqlite3_stmt *find = about(db,
                             "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' "
                             "AND name = ?1 COLLATE NOCASE AND type <> 'view'",
                             name, fault);
  const int step = find ? query_step(find, fault) : -1;
  if (step != 1) {
    query_finish(find);
    return step == 0 && is_surely_absent(db, name, fault);
  }
  BaseTable *table = arena_alloc(arena, sizeof *table);
  const bool ordinary = !strcmp(query_text(find, 1), "table"), wr = sqlite3_column_int(find, 2);
  if (table) table->name = arena_strdup(arena, query_text(find, 0));
  query_finish(find);
  if (!table || !table->name) return fault_oom(fault);
  if (!ordinary) {
    return fault_set(fault, FAULT_UNSUPPORTED, "%s is a virtual table or belongs to one", name);
  }
  int *keys;
  if (!take_columns(db, arena, table, &keys, fault) ||
      !take_keys(db, arena, table, keys, !wr, fault) || !take_indexes(db, arena, table, fault)) {
    return false;
  }
  *out = table;
  return true;
}

bool base_is_utf8(sqlite3 *db, Fault *fault) {
  sqlite3_stmt *encoding = query_prepare(db, "PRAGMA main.encoding", fault);
  const bool utf8 =
      encoding && query_step(encoding, fault) == 1 && !strcmp(query_text(encoding, 0), "UTF-8");
  query_finish(encoding);
  return utf8;
}

static bool find_source(void *ctx, const char *schema, const char *name, Arena *arena,
                        SqlSource *source, Fault *fault) {
  sqlite3 *db = ctx;
  if (schema && sqlite3_stricmp(schema, "main")) return false;
  sqlite3_stmt *find = about(db,
                             "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' "
                             "AND name = ?1 COLLATE NOCASE",
                             name, fault);
  const int step = find ? query_step(find, fault) : -1;
  if (step != 1) {
    query_finish(find);
    return false;
  }
  BaseTable table = {.name = arena_strdup(arena, query_text(find, 0))};
  source->is_view = !strcmp(query_text(find, 1), "view");
  source->is_virtual = !strcmp(query_text(find, 1), "virtual");
  source->has_rowid = !source->is_view && !sqlite3_column_int(find, 2);
  query_finish(find);
  int *keys;
  if (!table.name) return fault_oom(fault);
  if (!take_columns(db, arena, &table, &keys, fault)) return false;
  source->columns = table.columns;
  source->ncolumns = table.ncolumns;
  source->database = "main";
  return true;
}

bool (*const base_source)(void *, const char *, const char *, Arena *, SqlSource *,
                          Fault *) = find_source;

/* ---- functions ------------------------------------------------------------------------------- */

static SqlFunctionKind find_function(sqlite3 *db, const char *name, int nargs, Fault *fault) {
  sqlite3_stmt *find = about(
      db,
      "SELECT type, narg IN (-1, ?2) FROM pragma_function_list WHERE name = ?1 COLLATE NOCASE "
      "ORDER BY 2 DESC",
      name, fault);
  SqlFunctionKind found = SQL_FUNCTION_NONE;
  if (find) sqlite3_bind_int(find, 2, nargs);
  if (find && query_step(find, fault) == 1) {
    const char type = *query_text(find, 0);
    found = !sqlite3_column_int(find, 1) ? SQL_FUNCTION_WRONG_ARGS
            : type == 's'                ? SQL_FUNCTION_SCALAR
                                         : SQL_FUNCTION_AGGREGATE;
  }
  query_finish(find);
  return found;
}

/* Who asks is not told that memory was short; a function that is there would be none. */
SqlFunctionKind base_function(void *ctx, const char *name, int nargs) {
  const SqlFunctionKind kind = sql_builtin_function(name, nargs);
  if (kind != SQL_FUNCTION_NONE) return kind;
  Fault fault = {0}, again = {0};
  const SqlFunctionKind found = find_function(ctx, name, nargs, &fault);
  return fault.code == FAULT_NOMEM ? find_function(ctx, name, nargs, &again) : found;
}

bool base_is_deterministic(sqlite3 *db, const char *name, bool *out, Fault *fault) {
  sqlite3_stmt *find = query_printf(
      db, fault, "SELECT min(flags & %d) FROM pragma_function_list WHERE name = %Q COLLATE NOCASE",
      SQLITE_DETERMINISTIC, name);
  const int step = find ? query_step(find, fault) : -1;
  *out = step == 1 && sqlite3_column_int(find, 0) != 0;
  query_finish(find);
  return step == 1;
}
