/*
** Binding INSERT, UPDATE, DELETE and triggers: see sql.h and bind.h.
*/
#include "sql/bind.h"

/* The table a statement changes: never a CTE. */
static bool bind_target(Binder *binder, SqlSource *table) {
  WithFrame *withs = binder->withs;
  binder->withs = NULL;
  Scope scope = {.from = table, .on_index = -1};
  bool ok = bind_from(binder, &scope, table);
  binder->withs = withs;
  return ok;
}

static bool is_rowid_name(const SqlSource *table, const char *name) {
  return table->has_rowid && (sql_same_name(name, "rowid") || sql_same_name(name, "oid") ||
                              sql_same_name(name, "_rowid_"));
}

static bool bind_sets(Binder *binder, Scope *scope, const SqlSource *table, const SqlSet *sets,
                      int n) {
  for (int i = 0; i < n; i++) {
    SqlExpr *value = sets[i].value;
    for (int j = 0; j < sets[i].ncolumns; j++) {
      const char *name = sets[i].columns[j];
      if (bind_find(table, name) < 0 && !is_rowid_name(table, name)) {
        return bind_fail(binder, value->span, "no such column: %s", name);
      }
    }
    if (!sets[i].row) {
      if (!bind_expr(binder, scope, value)) return false;
      continue;
    }
    if (!bind_values(binder, scope, value)) return false;
    if (bind_size(value) != sets[i].ncolumns) {
      return bind_fail(binder, value->span, "%d columns assigned %d values", sets[i].ncolumns,
                       bind_size(value));
    }
  }
  return true;
}

/* RETURNING sees the table by its own name, never by its alias. */
static bool bind_returning(Binder *binder, const SqlSource *table, SqlResult *returning, int n,
                           SqlResult **expanded, int *nexpanded) {
  if (!n) return true;
  if (binder->in_trigger) {
    return bind_fail(binder, returning[0].expr->span, "cannot use RETURNING in a trigger");
  }
  for (int i = 0; i < n; i++) {
    if (returning[i].expr->kind == SQL_EXPR_STAR && returning[i].expr->table) {
      return bind_fail(binder, returning[i].expr->span,
                       "RETURNING may not use \"TABLE.*\" wildcards");
    }
  }
  SqlSource *source = bind_alloc(binder, 1, sizeof *source);
  if (!source) return false;
  *source = *table;
  source->alias = NULL;
  source->next = NULL;
  Scope scope = {.from = source, .from_visible = true, .on_index = -1};
  return bind_results(binder, &scope, returning, n, expanded, nexpanded);
}

static bool bind_upsert(Binder *binder, SqlSource *table, const SqlUpsert *upsert) {
  Scope scope = {.from = table, .from_visible = true, .on_index = -1};
  for (int i = 0; i < upsert->ntarget; i++) {
    if (!bind_expr(binder, &scope, upsert->target[i].expr)) return false;
  }
  if (!bind_expr(binder, &scope, upsert->target_where)) return false;
  scope.excluded = table;
  return bind_sets(binder, &scope, table, upsert->sets, upsert->nsets) &&
         bind_expr(binder, &scope, upsert->where);
}

static bool check_width(Binder *binder, const SqlInsert *insert) {
  const SqlSource *table = insert->table;
  int width = insert->select ? sql_width(insert->select) : 0, expected = insert->ncolumns;
  if (!insert->select && !expected) return true;
  if (!expected) {
    for (int i = 0; i < table->ncolumns; i++) expected += !table->columns[i].hidden;
    if (width == expected) return true;
    return bind_fail(binder, table->span, "table %s has %d columns but %d values were supplied",
                     table->name, expected, width);
  }
  if (width == expected) return true;
  return bind_fail(binder, table->span, "%d values for %d columns", width, expected);
}

/* One row of VALUES is no SELECT to INSERT. */
static bool bind_rows(Binder *binder, SqlSelect *select) {
  if (!select->is_values || select->nrows != 1 || select->next) {
    return bind_select(binder, select, NULL);
  }
  WithFrame frame, *withs = binder->withs;
  Scope scope = {.on_index = -1};
  bool ok = bind_push_with(binder, select->with, &frame) &&
            bind_exprs(binder, &scope, select->rows[0]->args, select->rows[0]->nargs);
  binder->withs = withs;
  return ok;
}

static bool bind_insert(Binder *binder, SqlInsert *insert) {
  SqlSource *table = insert->table;
  if (!bind_target(binder, table)) return false;
  for (int i = 0; i < insert->ncolumns; i++) {
    if (bind_find(table, insert->columns[i]) < 0 && !is_rowid_name(table, insert->columns[i])) {
      return bind_fail(binder, table->span, "table %s has no column named %s", table->name,
                       insert->columns[i]);
    }
  }
  if (insert->select && !bind_rows(binder, insert->select)) return false;
  if (!check_width(binder, insert)) return false;
  for (int i = 0; i < insert->nupserts; i++) {
    if (!bind_upsert(binder, table, &insert->upserts[i])) return false;
  }
  return bind_returning(binder, table, insert->returning, insert->nreturning, &insert->expanded,
                        &insert->nexpanded);
}

static bool bind_tail(Binder *binder, Scope *scope, const SqlOrder *order, int norder,
                      SqlExpr *limit, SqlExpr *offset, const char *word) {
  if (norder && !limit) {
    return bind_fail(binder, order[0].expr->span, "ORDER BY without LIMIT on %s", word);
  }
  const SqlSource *table = scope->from;
  for (int i = 0; i < norder; i++) {
    long position;
    /* It is a SELECT of the rowid to SQLite, if there is one. */
    if (bind_position(order[i].expr, &position) && table->has_rowid && !table->next &&
        position != 1) {
      return bind_fail(binder, order[i].expr->span,
                       "%d%s ORDER BY term out of range - should be between 1 and 1", i + 1,
                       i == 0   ? "st"
                       : i == 1 ? "nd"
                                : "th");
    }
    if (!bind_expr(binder, scope, order[i].expr)) return false;
  }
  Scope empty = {.cut = true, .on_index = -1};
  return bind_expr(binder, &empty, limit) && bind_expr(binder, &empty, offset);
}

/* With FROM, the new values are results of a SELECT to SQLite: aggregates are as welcome there. */
static bool bind_values_of(Binder *binder, SqlUpdate *update, Scope *scope) {
  scope->allow_aggregate = scope->allow_window = scope->lands = scope->from->next != NULL;
  bool ok = bind_sets(binder, scope, update->table, update->sets, update->nsets);
  scope->allow_aggregate = scope->has_aggregate;
  scope->allow_window = scope->lands = false;
  return ok;
}

static bool bind_update_parts(Binder *binder, SqlUpdate *update, Scope *scope) {
  return bind_values_of(binder, update, scope) && bind_expr(binder, scope, update->where) &&
         bind_on(binder, scope, update->from, bind_is_dead(update->from, update->where)) &&
         bind_arguments(binder, scope, update->from) &&
         bind_tail(binder, scope, update->order, update->norder, update->limit, update->offset,
                   "UPDATE") &&
         bind_returning(binder, update->table, update->returning, update->nreturning,
                        &update->expanded, &update->nexpanded);
}

/* Several sources after FROM are one parenthesised join to SQLite. */
static SqlSource *joined_from(Binder *binder, SqlSource *from) {
  if (!from || !from->next) return from;
  SqlSource *join = bind_alloc(binder, 1, sizeof *join);
  if (join) *join = (SqlSource){.kind = SQL_SOURCE_JOIN, .span = from->span, .first = from};
  return join;
}

/* "UPDATE t … FROM t" is refused, unless an alias tells them apart. */
static bool check_target(Binder *binder, const SqlSource *target, const SqlSource *from) {
  for (; from; from = from->next) {
    if (!check_target(binder, target, from->first)) return false;
    bool same = bind_database(from) && from->name && sql_same_name(from->name, target->name) &&
                sql_same_name(bind_database(from), bind_database(target)) &&
                sql_same_name(from->alias, target->alias);
    if (same) {
      return bind_fail(binder, from->span, "target object/alias may not appear in FROM clause: %s",
                       bind_source_name(from));
    }
  }
  return true;
}

static bool bind_update(Binder *binder, SqlUpdate *update) {
  if (!bind_target(binder, update->table)) return false;
  SqlSource *from = joined_from(binder, update->from);
  if (update->from && !from) return false;
  Scope scope = {.from = from, .on_index = -1};
  if (!bind_from(binder, &scope, from) || !check_target(binder, update->table, from)) return false;
  update->table->next = from;
  scope.from = update->table;
  scope.from_visible = true;
  SqlSource *written = update->from;
  if (from != written) update->from = NULL; /* its ONs have been bound inside the join */
  bool ok = bind_update_parts(binder, update, &scope);
  update->from = written;
  update->table->next = NULL;
  return ok;
}

static bool bind_delete(Binder *binder, SqlDelete *delete_) {
  if (!bind_target(binder, delete_->table)) return false;
  Scope scope = {.from = delete_->table, .from_visible = true, .on_index = -1};
  return bind_expr(binder, &scope, delete_->where) &&
         bind_tail(binder, &scope, delete_->order, delete_->norder, delete_->limit, delete_->offset,
                   "DELETE") &&
         bind_returning(binder, delete_->table, delete_->returning, delete_->nreturning,
                        &delete_->expanded, &delete_->nexpanded);
}

static SqlWith *with_of(const SqlStatement *statement) {
  switch (statement->kind) {
  case SQL_STATEMENT_INSERT:
    return statement->insert->with;
  case SQL_STATEMENT_UPDATE:
    return statement->update->with;
  case SQL_STATEMENT_DELETE:
    return statement->delete_->with;
  default:
    return NULL;
  }
}

static bool bind_statement(Binder *binder, SqlStatement *statement) {
  WithFrame frame, *withs = binder->withs;
  binder->text = statement->text;
  bool ok = bind_push_with(binder, with_of(statement), &frame);
  switch (ok ? statement->kind : SQL_STATEMENT_CREATE_TABLE) {
  case SQL_STATEMENT_SELECT:
    ok = bind_select(binder, statement->select, NULL);
    break;
  case SQL_STATEMENT_INSERT:
    ok = bind_insert(binder, statement->insert);
    break;
  case SQL_STATEMENT_UPDATE:
    ok = bind_update(binder, statement->update);
    break;
  case SQL_STATEMENT_DELETE:
    ok = bind_delete(binder, statement->delete_);
    break;
  default:
    break;
  }
  binder->withs = withs;
  return ok;
}

static bool bind_trigger(Binder *binder, SqlCreate *create) {
  SqlSource *table = bind_alloc(binder, 1, sizeof *table);
  if (!table) return false;
  table->kind = SQL_SOURCE_TABLE;
  table->schema = create->table_schema;
  table->name = create->table;
  if (!bind_target(binder, table)) return false;
  binder->in_trigger = true;
  binder->trigger_table = table;
  binder->has_new = create->event != SQL_STATEMENT_DELETE;
  binder->has_old = create->event != SQL_STATEMENT_INSERT;
  Scope scope = {.on_index = -1};
  if (!bind_expr(binder, &scope, create->where)) return false;
  for (int i = 0; i < create->nbody; i++) {
    if (!bind_statement(binder, create->body[i])) return false;
  }
  return true;
}

bool sql_bind_statement(SqlStatement *statement, const SqlSchema *schema, Arena *arena,
                        Fault *fault) {
  Binder binder = {.arena = arena, .schema = schema, .fault = fault, .text = statement->text};
  if (statement->kind == SQL_STATEMENT_CREATE_TRIGGER) {
    return bind_trigger(&binder, statement->create);
  }
  return bind_statement(&binder, statement);
}
