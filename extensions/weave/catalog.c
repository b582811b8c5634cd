/*
** Tables and views behind names: see compile.h.
*/
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/compile.h"
#include "sql/statement.h"

/* ---- loading a table ------------------------------------------------------------------------ */

/* The schema that holds the name: temp, main, then attached ones, as SQLite looks. A view of
** another schema than temp sees only its own. */
static bool find_object(Compiler *compiler, const char *schema, const char *name, Table *table) {
  sqlite3_stmt *list = query_prepare(
      compiler->db, "SELECT name FROM pragma_database_list ORDER BY name <> 'temp', seq",
      compiler->fault);
  if (!list) return false;
  int step;
  bool known = !schema;
  while (!table->schema && (step = query_step(list, compiler->fault)) == 1) {
    const char *candidate = query_text(list, 0);
    if (schema && strcasecmp(schema, candidate) != 0) continue;
    known = true;
    sqlite3_stmt *find =
        query_printf(compiler->db, compiler->fault,
                     "SELECT name, type, sql FROM \"%w\".sqlite_schema "
                     "WHERE type IN ('table', 'view') AND name = %Q COLLATE NOCASE",
                     candidate, name);
    if (find && query_step(find, compiler->fault) == 1) {
      const char *sql = (const char *)sqlite3_column_text(find, 2);
      table->schema = compile_strdup(compiler, candidate);
      table->name = compile_strdup(compiler, query_text(find, 0));
      table->sql = sql ? compile_strdup(compiler, sql) : NULL;
      table->is_view = !strcmp(query_text(find, 1), "view");
      table->is_virtual = sql && strncasecmp(sql, "CREATE VIRTUAL", 14) == 0;
    }
    query_finish(find);
    if (compiler->fault->code) break;
  }
  query_finish(list);
  return known && compiler->fault->code == FAULT_NONE;
}

static bool load_columns(Compiler *compiler, Table *table) {
  sqlite3_stmt *info =
      table->schema
          ? query_printf(compiler->db, compiler->fault, "PRAGMA \"%w\".table_xinfo(\"%w\")",
                         table->schema, table->name)
          : query_printf(compiler->db, compiler->fault, "PRAGMA table_xinfo(\"%w\")", table->name);
  if (!info)
    return fault_prefix(compiler->fault, table->is_view ? "view %s: " : "table %s: ", table->name);
  size_t columns = 0, notnulls = 0, keys = 0;
  SqlColumn *list = NULL;
  int *notnull = NULL, *pk = NULL, step;
  bool ok = false;
  while ((step = query_step(info, compiler->fault)) == 1) {
    size_t n = (size_t)table->ncolumns;
    if (!array_grow(list, columns, n + 1) || !array_grow(notnull, notnulls, n + 1) ||
        !array_grow(pk, keys, n + 1)) {
      fault_oom(compiler->fault);
      goto out;
    }
    list[n].name = compile_strdup(compiler, query_text(info, 1));
    list[n].type = compile_strdup(compiler, query_text(info, 2));
    list[n].hidden = sqlite3_column_int(info, 6) == 1;
    notnull[n] = sqlite3_column_int(info, 3);
    pk[n] = sqlite3_column_int(info, 5);
    if (!list[n].name || !list[n].type) goto out;
    table->ncolumns++;
  }
  if (step < 0) goto out;
  size_t n = (size_t)table->ncolumns;
  table->columns = arena_array(&compiler->arena, n, sizeof *list);
  int *notnull_copy = arena_array(&compiler->arena, n, sizeof *notnull);
  table->keys = arena_array(&compiler->arena, n + 1, sizeof *table->keys);
  table->primary = arena_array(&compiler->arena, n + 1, sizeof *table->primary);
  if (!table->columns || !notnull_copy || !table->keys || !table->primary) {
    fault_oom(compiler->fault);
    goto out;
  }
  if (n) memcpy(table->columns, list, n * sizeof *list);
  if (n) memcpy(notnull_copy, notnull, n * sizeof *notnull);
  table->notnull = notnull_copy;
  int npk = 0, last_pk = 0;
  for (size_t i = 0; i < n; i++) {
    if (!pk[i]) continue;
    table->keys[pk[i] - 1] = table->primary[pk[i] - 1] = table->columns[i].name;
    last_pk = (int)i;
    npk++;
  }
  table->nkeys = table->nprimary = npk;
  table->label = npk == 1 ? table->columns[last_pk].name : NULL;
  ok = true;
out:
  free(list);
  free(notnull);
  free(pk);
  query_finish(info);
  return ok;
}

/* Collations, and whether rows have a rowid, are known through another call. */
static bool load_metadata(Compiler *compiler, Table *table) {
  if (table->is_view || !table->schema) return true;
  for (int i = 0; i < table->ncolumns; i++) {
    const char *collation = NULL;
    int rc =
        sqlite3_table_column_metadata(compiler->db, table->schema, table->name,
                                      table->columns[i].name, NULL, &collation, NULL, NULL, NULL);
    if (rc == SQLITE_OK && collation && strcasecmp(collation, "BINARY") != 0) {
      table->columns[i].collation = compile_strdup(compiler, collation);
      if (!table->columns[i].collation) return false;
    }
  }
  static const char *const rowids[] = {"rowid", "_rowid_", "oid"};
  bool hidden = true; /* so far: its names belong to columns */
  for (size_t r = 0; r < countof(rowids); r++) {
    bool taken = false;
    for (int i = 0; i < table->ncolumns; i++) {
      taken |= !strcasecmp(table->columns[i].name, rowids[r]);
    }
    if (taken) continue;
    hidden = false;
    int rc = sqlite3_table_column_metadata(compiler->db, table->schema, table->name, rowids[r],
                                           NULL, NULL, NULL, NULL, NULL);
    table->has_rowid = rc == SQLITE_OK;
    if (table->has_rowid) {
      table->keys[0] = rowids[r];
      table->nkeys = 1;
    }
    break;
  }
  if (hidden) table->nkeys = 0; /* PRIMARY KEY alone does not keep NULL out */
  return true;
}

/* In no schema, and yet a table: a table function, or the schema itself. */
static bool is_builtin(Compiler *compiler, const char *name) {
  if (strncasecmp(name, "sqlite_", 7) == 0) return true;
  sqlite3_stmt *query =
      query_printf(compiler->db, compiler->fault,
                   "SELECT 1 FROM pragma_module_list WHERE name = %Q COLLATE NOCASE", name);
  bool found = query && query_step(query, compiler->fault) == 1;
  query_finish(query);
  return found;
}

Table *catalog_table(Compiler *compiler, const char *schema, const char *name) {
  if (!schema) schema = compiler->resolving;
  for (Table *table = compiler->tables; table; table = table->next) {
    if (!strcasecmp(table->name, name) &&
        (!schema || (table->schema && !strcasecmp(table->schema, schema)))) {
      return table;
    }
  }
  Table *table = arena_alloc(&compiler->arena, sizeof *table);
  if (!table) {
    fault_oom(compiler->fault);
    return NULL;
  }
  table->depends = -1;
  if (!find_object(compiler, schema, name, table)) return NULL;
  if (!table->schema && !is_builtin(compiler, name)) return NULL;
  if (!table->name && !(table->name = compile_strdup(compiler, name))) return NULL;
  if (!load_columns(compiler, table) || !load_metadata(compiler, table)) return NULL;
  if (table->ncolumns == 0) return NULL; /* no such table, and no table function either */
  table->next = compiler->tables;
  compiler->tables = table;
  return table;
}

Table *catalog_own(Compiler *compiler, const char *schema, const char *name) {
  const char *own = compiler->declaration->schema;
  if (schema || !strcasecmp(own, "temp")) return catalog_table(compiler, schema, name);
  Table *table = catalog_table(compiler, own, name);
  if ((table && table->schema) || compiler->fault->code) return table;
  return catalog_table(compiler, NULL, name);
}

bool catalog_identifies(const Table *table, const char *column) {
  bool alias = table->has_rowid && table->label && !strcasecmp(table->label, column);
  for (int i = 0; alias && i < table->ncolumns; i++) {
    if (!strcasecmp(table->columns[i].name, column)) {
      return !strcasecmp(table->columns[i].type, "INTEGER");
    }
  }
  for (int k = 0; k < table->nkeys; k++) {
    if (!strcasecmp(table->keys[k], column)) return true;
  }
  return false;
}

bool catalog_generated(Compiler *compiler, const Table *table, int column) {
  sqlite3_stmt *query =
      query_printf(compiler->db, compiler->fault,
                   "SELECT 1 FROM pragma_table_xinfo(%Q, %Q) WHERE cid = %d AND hidden IN (2, 3)",
                   table->name, table->schema, column);
  bool found = query && query_step(query, compiler->fault) == 1;
  query_finish(query);
  return found;
}

/* The parsed CREATE TABLE; NULL without a fault for what has none. */
static const SqlCreate *table_create(Compiler *compiler, const Table *table) {
  if (!table->sql || table->is_view || table->is_virtual) return NULL;
  SqlStatement *statement =
      sql_parse_statement(&compiler->arena, table->sql, strlen(table->sql), compiler->fault);
  if (!statement) fault_prefix(compiler->fault, "table %s: ", table->name);
  return statement ? statement->create : NULL;
}

typedef struct Reads {
  const Table *table;
  const bool *derived;
  bool found;
} Reads;

static SqlWalk reads_decision(void *ctx, SqlExpr *expr) {
  Reads *reads = ctx;
  for (int i = 0; expr->kind == SQL_EXPR_COLUMN && i < reads->table->ncolumns; i++) {
    bool changes = reads->table->decisions[i] || reads->derived[i];
    reads->found |= changes && !strcasecmp(reads->table->columns[i].name, expr->name);
  }
  return SQL_WALK_ON;
}

bool catalog_derive(Compiler *compiler, Table *table) {
  const SqlCreate *create = table_create(compiler, table);
  bool *derived = arena_array(&compiler->arena, (size_t)table->ncolumns, sizeof *derived);
  if (!derived) return fault_oom(compiler->fault);
  table->derived = derived;
  bool more = create != NULL; /* generated columns may read generated columns */
  while (more) {
    more = false;
    for (int i = 0; i < create->ncolumns && i < table->ncolumns; i++) {
      const SqlColumnDef *column = &create->columns[i];
      for (int k = 0; k < column->nconstraints && !derived[i]; k++) {
        if (column->constraints[k].kind != SQL_CONSTRAINT_GENERATED) continue;
        Reads reads = {.table = table, .derived = derived};
        SqlVisitor visitor = {.ctx = &reads, .expr = reads_decision};
        sql_walk_expr(column->constraints[k].expr, &visitor);
        derived[i] = reads.found;
        more |= reads.found;
      }
    }
  }
  return compiler->fault->code == FAULT_NONE;
}

bool catalog_changes(const SqlExpr *column) {
  const SqlSource *source = column->bound;
  if (!source || source->kind != SQL_SOURCE_TABLE || source->cte || column->column < 0) {
    return false;
  }
  const Table *table = source->object;
  return table && table->decisions &&
         (table->decisions[column->column] || table->derived[column->column]);
}

bool catalog_checks(Compiler *compiler, Table *table, SqlExpr ***out, int *out_count) {
  *out_count = 0;
  *out = NULL;
  const SqlCreate *create = table_create(compiler, table);
  if (!create) return compiler->fault->code == FAULT_NONE;
  int most = create->nconstraints;
  for (int i = 0; i < create->ncolumns; i++) most += create->columns[i].nconstraints;
  SqlExpr **checks = arena_array(&compiler->arena, (size_t)most, sizeof *checks);
  if (!checks) return fault_oom(compiler->fault);
  for (int i = -1; i < create->ncolumns; i++) {
    const SqlConstraint *list = i < 0 ? create->constraints : create->columns[i].constraints;
    int count = i < 0 ? create->nconstraints : create->columns[i].nconstraints;
    for (int k = 0; k < count; k++) {
      if (list[k].kind == SQL_CONSTRAINT_CHECK) checks[(*out_count)++] = list[k].expr;
    }
  }
  *out = checks;
  return true;
}

/* ---- for the binder ------------------------------------------------------------------------- */

static bool bind_table(void *ctx, const char *schema, const char *name, Arena *arena,
                       SqlSource *source, Fault *fault) {
  (void)arena;
  (void)fault;
  Compiler *compiler = ctx;
  Table *table = catalog_table(compiler, schema, name);
  if (!table || (table->is_view && !catalog_view_select(compiler, table))) return false;
  source->columns = table->columns;
  source->ncolumns = table->ncolumns;
  source->has_rowid = table->has_rowid;
  source->object = table;
  return true;
}

/* The host may have functions of its own: ask SQLite what it knows. */
static SqlFunctionKind bind_function(void *ctx, const char *name, int nargs) {
  Compiler *compiler = ctx;
  SqlFunctionKind kind = SQL_FUNCTION_NONE;
  sqlite3_stmt *list = query_prepare(
      compiler->db, "SELECT type, narg FROM pragma_function_list WHERE name = ?1 COLLATE NOCASE",
      compiler->fault);
  if (!list) return kind;
  sqlite3_bind_text(list, 1, name, -1, SQLITE_STATIC);
  while (query_step(list, compiler->fault) == 1) {
    const char *type = query_text(list, 0);
    int takes = sqlite3_column_int(list, 1);
    if (kind == SQL_FUNCTION_NONE) kind = SQL_FUNCTION_WRONG_ARGS;
    if (takes != nargs && takes != -1) continue;
    kind = *type == 's' ? SQL_FUNCTION_SCALAR : SQL_FUNCTION_AGGREGATE;
    /* pragma_function_list calls row_number() and its like 'w' as it does sum(). */
    static const char *const only_window[] = {"row_number",   "rank",       "dense_rank", "ntile",
                                              "percent_rank", "cume_dist",  "lag",        "lead",
                                              "first_value",  "last_value", "nth_value"};
    for (size_t i = 0; i < countof(only_window); i++) {
      if (!strcasecmp(name, only_window[i])) kind = SQL_FUNCTION_WINDOW;
    }
    if (takes == nargs) break;
  }
  query_finish(list);
  return kind;
}

bool catalog_replaced(Compiler *compiler, const char *name, int nargs, bool *out) {
  sqlite3_stmt *find = query_printf(compiler->db, compiler->fault,
                                    "SELECT 1 FROM pragma_function_list WHERE NOT builtin AND name "
                                    "= %Q COLLATE NOCASE AND narg IN (-1, %d)",
                                    name, nargs);
  int step = find ? query_step(find, compiler->fault) : -1;
  *out = step == 1;
  query_finish(find);
  return step >= 0;
}

void catalog_schema(Compiler *compiler) {
  compiler->schema = (SqlSchema){.ctx = compiler, .table = bind_table, .function = bind_function};
}

/* ---- views ---------------------------------------------------------------------------------- */

enum { UNFOLDED_ROWS = 100 }; /* SQLite takes 500 arms at most, and these may be printed again */

static bool values_to_select(Compiler *compiler, const SqlExpr *row, SqlSelect *arm) {
  arm->nresults = row->nargs;
  arm->results = arena_array(&compiler->arena, (size_t)row->nargs, sizeof *arm->results);
  if (!arm->results) return fault_oom(compiler->fault);
  for (int i = 0; i < row->nargs; i++) {
    const char *name = arena_printf(&compiler->arena, "column%d", i + 1);
    if (!name) return fault_oom(compiler->fault);
    arm->results[i] = (SqlResult){.expr = row->args[i], .alias = name, .alias_as = true};
  }
  return true;
}

/* VALUES (a),(b) within a compound: SELECT a UNION ALL SELECT b, so that arms are all of a kind. */
static bool unfold_values(Compiler *compiler, SqlSelect *select) {
  bool all = select->compound == SQL_COMPOUND_NONE || select->compound == SQL_COMPOUND_UNION_ALL;
  if (!select->is_values || !all || select->nrows > UNFOLDED_ROWS) return true;
  select->is_values = false;
  if (!values_to_select(compiler, select->rows[0], select)) return false;
  for (int r = select->nrows - 1; r > 0; r--) {
    SqlSelect *arm = arena_alloc(&compiler->arena, sizeof *arm);
    if (!arm || !values_to_select(compiler, select->rows[r], arm)) {
      return fault_oom(compiler->fault);
    }
    arm->text = select->text;
    arm->span = select->span;
    arm->height = select->height;
    arm->compound = SQL_COMPOUND_UNION_ALL;
    arm->next = select->next;
    select->next = arm;
  }
  return true;
}

/* VALUES alone may stay as it is: SQLite reads it. */
static SqlWalk unfold_compound(void *ctx, SqlSelect *select) {
  bool compound = select->compound != SQL_COMPOUND_NONE || select->next;
  return !compound || unfold_values(ctx, select) ? SQL_WALK_ON : SQL_WALK_STOP;
}

bool catalog_view_select(Compiler *compiler, Table *view) {
  if (view->select) return true;
  if (view->open) {
    return fault_set(compiler->fault, FAULT_INVALID, "view %s is circularly defined", view->name);
  }
  const char *sql = view->sql ? view->sql : ""; /* an authorizer may have hidden it */
  SqlStatement *statement =
      sql_parse_statement(&compiler->arena, sql, strlen(sql), compiler->fault);
  if (!statement) return fault_prefix(compiler->fault, "view %s: ", view->name);
  if (statement->kind != SQL_STATEMENT_CREATE_VIEW || !statement->create->select) {
    return fault_set(compiler->fault, FAULT_INTERNAL, "view %s is not a view", view->name);
  }
  const char *outer = compiler->resolving;
  /* A view sees its own schema first; one in temp sees everything. */
  compiler->resolving = strcasecmp(view->schema, "temp") ? view->schema : NULL;
  view->open = true;
  SqlSelect *select = statement->create->select;
  SqlVisitor unfold = {.ctx = compiler, .select = unfold_compound};
  bool ok = unfold_values(compiler, select) && sql_walk_select(select, &unfold) &&
            sql_bind(select, &compiler->schema, &compiler->arena, compiler->fault);
  view->open = false;
  compiler->resolving = outer;
  if (!ok) return fault_prefix(compiler->fault, "view %s: ", view->name);
  for (int i = 0; i < view->ncolumns && i < sql_width(select); i++) {
    SqlExpr *expr = select->is_values ? select->rows[0]->args[i] : sql_result(select, i)->expr;
    view->columns[i].expr = expr;
    view->columns[i].collation = sql_expr_collation(expr);
  }
  view->select = select;
  return true;
}

/* ---- dependence on decisions ---------------------------------------------------------------- */

typedef struct Search {
  Compiler *compiler;
  bool found;
} Search;

static SqlWalk search_expr(void *ctx, SqlExpr *expr) {
  Search *search = ctx;
  if (expr->kind != SQL_EXPR_COLUMN || !catalog_changes(expr)) return SQL_WALK_ON;
  search->found = true;
  return SQL_WALK_STOP;
}

static SqlWalk search_source(void *ctx, SqlSource *source) {
  Search *search = ctx;
  if (source->cte && !source->cte->recursive) {
    bool depends;
    if (!compile_select_depends(search->compiler, source->cte->select, &depends)) {
      return SQL_WALK_STOP;
    }
    search->found |= depends;
    return depends ? SQL_WALK_STOP : SQL_WALK_ON;
  }
  if (source->kind != SQL_SOURCE_TABLE || source->cte || !source->object) return SQL_WALK_ON;
  if (!catalog_depends(search->compiler, source->object, &search->found)) return SQL_WALK_STOP;
  return search->found ? SQL_WALK_STOP : SQL_WALK_ON;
}

/* SELECT * hides column references: look at the expanded results as well. */
static SqlWalk search_select(void *ctx, SqlSelect *select) {
  Search *search = ctx;
  SqlVisitor visitor = {.ctx = ctx, .expr = search_expr};
  for (int i = 0; i < select->nexpanded && !search->found; i++) {
    if (select->expanded != select->results) sql_walk_expr(select->expanded[i].expr, &visitor);
  }
  return search->found ? SQL_WALK_STOP : SQL_WALK_ON;
}

static bool finish_search(Search *search, bool *out) {
  *out = search->found;
  return search->compiler->fault->code == FAULT_NONE;
}

bool compile_select_depends(Compiler *compiler, SqlSelect *select, bool *out) {
  Search search = {.compiler = compiler};
  SqlVisitor visitor = {
      .ctx = &search, .expr = search_expr, .select = search_select, .source = search_source};
  sql_walk_select(select, &visitor);
  return finish_search(&search, out);
}

bool compile_expr_depends(Compiler *compiler, SqlExpr *expr, bool *out) {
  Search search = {.compiler = compiler};
  SqlVisitor visitor = {
      .ctx = &search, .expr = search_expr, .select = search_select, .source = search_source};
  sql_walk_expr(expr, &visitor);
  return finish_search(&search, out);
}

/* A view depends when its text does. (A base table is judged by the columns that are read.) */
bool catalog_depends(Compiler *compiler, Table *table, bool *out) {
  *out = false;
  if (!table->is_view) return true;
  if (table->depends < 0) {
    bool depends;
    if (!catalog_view_select(compiler, table)) return false;
    if (!compile_select_depends(compiler, table->select, &depends)) return false;
    table->depends = depends;
  }
  *out = table->depends;
  return true;
}
