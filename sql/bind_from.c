/*
** Binding FROM clauses: see bind.h.
*/
#include <string.h>

#include "base/array.h"
#include "sql/bind.h"

static bool bind_parens(Binder *binder, Scope *scope, SqlSource *join);

/* ---- columns of a sub-select */

/* What SQLite calls column i: the alias, the column's own name as written, the text, or columnN. */
static const char *base_name(Binder *binder, const SqlSelect *select, int i) {
  const SqlResult *result = select->is_values ? NULL : sql_result(select, i);
  const SqlExpr *e = result ? result->expr : select->rows[0]->args[i];
  while (e->kind == SQL_EXPR_COLLATE) e = e->args[0];
  const char *name = e->kind == SQL_EXPR_COLUMN ? e->name : NULL;
  if (result && result->alias) {
    name = result->alias;
  } else if (result && !name) {
    name = result->written ? result->written : result->name;
  }
  if (name && !sql_same_name(name, "true") && !sql_same_name(name, "false")) return name;
  name = arena_printf(binder->arena, "column%d", i + 1);
  if (!name) bind_oom(binder);
  return name;
}

static int64_t *know(Binder *binder, Map *names, const char *name, bool *added) {
  char *folded = arena_strdup(binder->arena, name);
  for (char *c = folded; c && *c; c++) {
    if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
  }
  int64_t *value = folded ? map_put(names, folded, strlen(folded), 0, added) : NULL;
  if (!value) bind_oom(binder);
  return value;
}

/* "a" a second time becomes "a:1". The map counts how often each name was extended. */
static const char *unique_name(Binder *binder, Map *names, const char *name) {
  bool added = false;
  int64_t *count = know(binder, names, name, &added);
  if (!count) return NULL;
  if (added) return name;
  size_t length = strlen(name), digits = length;
  while (digits > 1 && name[digits - 1] >= '0' && name[digits - 1] <= '9') digits--;
  if (digits < length && name[digits - 1] == ':') length = digits - 1;
  int64_t n = *count;
  for (;;) {
    char *next = arena_printf(binder->arena, "%.*s:%lld", (int)length, name, (long long)++n);
    if (!next || !know(binder, names, next, &added)) {
      bind_oom(binder);
      return NULL;
    }
    if (!added) continue;
    count = know(binder, names, name, &added);
    if (count) *count = n;
    return next;
  }
}

static const char *type_of(const SqlExpr *e) {
  if (e->kind == SQL_EXPR_COLUMN && e->bound && e->column >= 0) {
    return e->bound->columns[e->column].type;
  }
  return e->kind == SQL_EXPR_COLUMN && e->bound ? "INTEGER" : "";
}

bool bind_columns_of(Binder *binder, SqlSource *source, SqlSelect *select, const char **names,
                     int nnames) {
  int n = sql_width(select);
  bool ok = false;
  Map known = {0};
  source->columns = bind_alloc(binder, (size_t)n, sizeof *source->columns);
  if (!source->columns) return false;
  for (int i = 0; i < n; i++) {
    SqlColumn *column = &source->columns[i];
    const char *name = names && i < nnames ? names[i] : base_name(binder, select, i);
    column->name = name ? unique_name(binder, &known, name) : NULL;
    if (!column->name) goto out;
    column->expr = select->is_values ? select->rows[0]->args[i] : sql_result(select, i)->expr;
    column->type = type_of(column->expr);
    column->collation = sql_expr_collation(column->expr);
  }
  source->ncolumns = n;
  ok = true;
out:
  map_finish(&known);
  return ok;
}

/* ---- one source */

static bool find_cte(Binder *binder, Scope *scope, SqlSource *source, bool *found) {
  *found = false;
  if (source->schema) return true;
  for (WithFrame *frame = binder->withs; frame; frame = frame->outer) {
    for (int i = 0; i < frame->with->nctes; i++) {
      if (!sql_same_name(frame->with->ctes[i].name, source->name)) continue;
      *found = true;
      return bind_cte(binder, source, frame, i, scope);
    }
  }
  return true;
}

static bool bind_table(Binder *binder, Scope *scope, SqlSource *source) {
  bool found;
  if (!find_cte(binder, scope, source, &found)) return false;
  if (found) return true;
  Fault fault = {0};
  if (!binder->schema->table(binder->schema->ctx, source->schema, source->name, binder->arena,
                             source, &fault)) {
    if (fault.code == FAULT_NOMEM) return bind_oom(binder);
    if (fault.code) return bind_fail(binder, source->span, "%s", fault.text);
    return bind_fail(binder, source->span, "no such table: %s%s%s",
                     source->schema ? source->schema : "", source->schema ? "." : "", source->name);
  }
  if (source->kind == SQL_SOURCE_FUNCTION) {
    int hidden = 0;
    for (int i = 0; i < source->ncolumns; i++) hidden += source->columns[i].hidden;
    if (!source->is_virtual && !hidden) {
      return bind_fail(binder, source->span, "'%s' is not a function", source->name);
    }
    if (source->nargs > hidden) {
      return bind_fail(binder, source->span, "too many arguments on %s() - max %d", source->name,
                       hidden);
    }
  }
  const SqlSchema *schema = binder->schema;
  if (source->indexed_by && schema->index &&
      !schema->index(schema->ctx, source, source->indexed_by)) {
    return bind_fail(binder, source->span, "no such index: %s", source->indexed_by);
  }
  return true;
}

/* Inside the parentheses only what stands there is visible, besides the SELECTs around. */
static bool bind_parens(Binder *binder, Scope *scope, SqlSource *join) {
  Scope inner = *scope;
  inner.from = join->first;
  inner.from_visible = false;
  inner.aliases_visible = inner.allow_aggregate = inner.allow_window = inner.lands = false;
  if (!bind_from(binder, &inner, join->first) || !bind_nested(binder, join)) return false;
  join->has_rowid = binder->schema->rowid_in_views;
  inner.from_visible = true;
  if (binder->tables_only) return true;
  bool dead = bind_is_dead(join->first, NULL);
  return bind_on(binder, &inner, join->first, dead) && bind_arguments(binder, &inner, join->first);
}

static bool bind_source(Binder *binder, Scope *scope, SqlSource *source) {
  switch (source->kind) {
  case SQL_SOURCE_TABLE:
  case SQL_SOURCE_FUNCTION:
    /* The recursive reference of a CTE has been given its columns before. */
    return source->recursive ? true : bind_table(binder, scope, source);
  case SQL_SOURCE_SELECT:
    source->has_rowid = binder->schema->rowid_in_views;
    return bind_select(binder, source->select, scope) &&
           bind_columns_of(binder, source, source->select, NULL, 0);
  default:
    return bind_parens(binder, scope, source);
  }
}

/* The sources do not see each other: they are bound with the scope's own FROM out of sight. */
bool bind_from(Binder *binder, Scope *scope, SqlSource *first) {
  int count = 0;
  for (SqlSource *source = first; source; source = source->next) {
    if (++count > SQL_MAX_TABLES) {
      return bind_fail(binder, source->span, "at most %d tables in a join", SQL_MAX_TABLES);
    }
    if (!bind_source(binder, scope, source)) return false;
  }
  return bind_joins(binder, first);
}

bool bind_arguments(Binder *binder, Scope *scope, SqlSource *first) {
  for (SqlSource *source = first; source; source = source->next) {
    if (!bind_exprs(binder, scope, source->args, source->nargs)) return false;
  }
  return true;
}

bool bind_on(Binder *binder, Scope *scope, SqlSource *first, bool dead) {
  bool right_joins = bind_has_right_join(first);
  int index = 0;
  for (SqlSource *source = first; source; source = source->next, index++) {
    if (!source->on) continue;
    if (dead) {
      bind_quietly(binder, scope, source->on);
      continue;
    }
    scope->on_index = index;
    scope->beyond_on = false;
    bool ok = bind_expr(binder, scope, source->on);
    scope->on_index = -1;
    if (!ok) return false;
    bool outer = source->join == SQL_JOIN_LEFT || source->join == SQL_JOIN_RIGHT ||
                 source->join == SQL_JOIN_FULL;
    if (scope->beyond_on && (outer || right_joins)) {
      return bind_fail(binder, source->on->span, "ON clause references tables to its right");
    }
  }
  return !binder->oom;
}
