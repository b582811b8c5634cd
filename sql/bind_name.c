/*
** Finding what a column name means: see bind.h. The rules, and their order, are SQLite's:
** innermost scope first; in it the sources from left to right, then NEW, OLD and EXCLUDED, then
** the rowid, then result aliases. Last of all "x" is a string, and true and false are numbers.
*/
#include <stdio.h>
#include <string.h>

#include "sql/bind.h"

static bool is_rowid(const char *name) {
  return sql_same_name(name, "rowid") || sql_same_name(name, "_rowid_") ||
         sql_same_name(name, "oid");
}

int bind_find(const SqlSource *source, const char *name) {
  for (int i = 0; i < source->ncolumns; i++) {
    if (sql_same_name(source->columns[i].name, name)) return i;
  }
  return -1;
}

bool bind_equates(const SqlSource *source, const char *name) {
  for (int i = 0; i < source->nequal; i++) {
    if (sql_same_name(source->right[i]->name, name)) return true;
  }
  return false;
}

const char *bind_source_name(const SqlSource *source) {
  return source->alias ? source->alias : source->name;
}

const char *bind_database(const SqlSource *source) {
  bool table = source->kind == SQL_SOURCE_TABLE || source->kind == SQL_SOURCE_FUNCTION;
  if (!table || source->cte) return NULL;
  return source->database ? source->database : source->schema ? source->schema : "main";
}

static bool in_database(const SqlSource *source, const Wanted *wanted) {
  if (wanted->like) {
    const char *a = bind_database(source), *b = bind_database(wanted->like);
    return a && b ? sql_same_name(a, b) : a == b;
  }
  return !wanted->schema ||
         (bind_database(source) && sql_same_name(bind_database(source), wanted->schema));
}

/* Another source has the column too. */
typedef enum Clash { CLASH_KEEP, CLASH_REPLACE, CLASH_MERGE, CLASH_ERROR } Clash;

static Clash clash(const SqlSource *source, const char *name) {
  if (!bind_equates(source, name)) return CLASH_ERROR;
  if (source->join == SQL_JOIN_RIGHT) return CLASH_REPLACE;
  return source->join == SQL_JOIN_FULL ? CLASH_MERGE : CLASH_KEEP;
}

/* Take one match into account; false: an earlier one stays. */
static bool take(Found *found, const SqlSource *at, const char *name, const Found *match) {
  if (found->count) {
    Clash how = clash(at, name);
    if (how == CLASH_KEEP) return false;
    if (how == CLASH_MERGE && found->count == 1) {
      found->merged = found->merged_here = true;
      found->index = match->index;
      return true;
    }
    if (how != CLASH_REPLACE) {
      found->count++;
      return true;
    }
  }
  int rowids = found->rowids;
  SqlSource *rowid = found->rowid;
  int rowid_index = found->rowid_index;
  *found = *match;
  found->count = 1;
  found->rowids = rowids;
  found->rowid = rowid;
  found->rowid_index = rowid_index;
  return true;
}

/* Column i of a parenthesised join as a match. */
static Found join_match(const SqlSource *join, int i, int index) {
  const JoinColumn *column = &bind_join_columns(join)[i];
  return (Found){.source = column->source,
                 .column = column->column,
                 .merged = column->merged,
                 .index = index,
                 .name = join->columns[i].name};
}

static bool names_join_column(const JoinColumn *column, const Wanted *wanted) {
  if (!sql_same_name(column->name, wanted->name)) return false;
  if (!wanted->table) return true;
  return column->table && sql_same_name(column->table, wanted->table) &&
         in_database(column->owner, wanted);
}

/* A parenthesised join answers to the names inside it, and to its own alias. */
static void search_join(SqlSource *join, const Wanted *wanted, int index, Found *found) {
  const JoinColumn *columns = bind_join_columns(join);
  bool hit = false;
  for (int i = 0; i < join->ncolumns; i++) {
    const JoinColumn *column = &columns[i];
    if (!names_join_column(column, wanted)) continue;
    Found match = join_match(join, i, index);
    if (take(found, join, wanted->name, &match)) {
      hit = true;
      if (column->joined) break;
    }
  }
  if (hit || !wanted->table) return;
  if (!join->alias || !sql_same_name(join->alias, wanted->table) || !in_database(join, wanted)) {
    return;
  }
  int i = bind_find(join, wanted->name);
  if (i >= 0) {
    Found match = join_match(join, i, index);
    take(found, join, wanted->name, &match);
  } else if (!found->count && join->has_rowid) {
    found->rowids++;
    found->rowid = join;
    found->rowid_index = index;
  }
}

void bind_search(SqlSource *first, const Wanted *wanted, Found *found) {
  int index = 0;
  for (SqlSource *source = first; source; source = source->next, index++) {
    if (source->kind == SQL_SOURCE_JOIN) {
      search_join(source, wanted, index, found);
      continue;
    }
    if (wanted->table) {
      const char *name = bind_source_name(source);
      if (!name || !sql_same_name(name, wanted->table) || !in_database(source, wanted)) continue;
    }
    int column = bind_find(source, wanted->name);
    if (column >= 0) {
      Found match = {
          .source = source, .column = column, .index = index, .name = source->columns[column].name};
      take(found, source, wanted->name, &match);
    }
    if (!found->count && source->has_rowid) {
      found->rowids++;
      found->rowid = source;
      found->rowid_index = index;
    }
  }
}

/* The source stands `depth` scopes out: everything in between depends on it. */
static void mark_correlated(Scope *scope, int depth) {
  for (; depth > 0; depth--, scope = scope->outer) {
    if (scope->select) scope->select->is_correlated = true;
  }
}

/* Something that stands in `scope` or further out has been used. */
static void track(const Binder *binder, const Scope *scope, int further) {
  if (binder->quiet || further < 0) return;
  for (Tracker *tracker = binder->trackers; tracker; tracker = tracker->outer) {
    int depth = 0;
    const Scope *at = tracker->scope;
    for (; at && at != scope; at = at->outer) depth++;
    if (!at) continue; /* from inside the tracked expression */
    depth += further;
    if (tracker->depth < 0 || depth < tracker->depth) tracker->depth = depth;
  }
}

static bool found_column(Binder *binder, Scope *from, Scope *scope, SqlExpr *e, const Found *found,
                         int depth) {
  e->bound = found->source;
  e->column = found->column;
  e->merged = found->merged;
  e->depth = depth;
  e->alias_of = NULL;
  binder->found_name = found->merged_here ? NULL : found->column < 0 ? "rowid" : found->name;
  if (scope->on_index >= 0 && found->index > scope->on_index) scope->beyond_on = true;
  mark_correlated(from, depth);
  track(binder, scope, 0);
  return true;
}

static bool has_column_or_rowid(const SqlSource *table, const char *name) {
  return bind_find(table, name) >= 0 || (is_rowid(name) && table->has_rowid);
}

/* NEW, OLD and EXCLUDED have no source: their table name tells what they are. */
static bool is_row_variable(const Binder *binder, const Scope *scope, const SqlExpr *e) {
  if (!e->table || e->schema) return false;
  const SqlSource *table = NULL;
  if (binder->trigger_table && ((binder->has_new && sql_same_name(e->table, "new")) ||
                                (binder->has_old && sql_same_name(e->table, "old")))) {
    table = binder->trigger_table;
  } else if (scope->excluded && sql_same_name(e->table, "excluded")) {
    table = scope->excluded;
  }
  return table && has_column_or_rowid(table, e->name);
}

/* The columns that * stands for count as named by AS; they are those without a written text. */
const char *bind_alias(const SqlResult *result) {
  if (result->alias) return result->alias;
  return result->written ? NULL : result->name;
}

typedef enum Alias { ALIAS_NONE, ALIAS_FOUND, ALIAS_WRONG } Alias;

static Alias find_alias(Binder *binder, Scope *from, Scope *scope, SqlExpr *e, int depth) {
  const SqlSelect *select = scope->select;
  for (int i = 0; i < select->nexpanded; i++) {
    const SqlResult *result = &select->expanded[i];
    const char *alias = bind_alias(result);
    if (!alias || !sql_same_name(alias, e->name)) continue;
    int flags = scope->result_flags[i];
    if ((flags & RESULT_AGGREGATE) && !from->allow_aggregate) {
      bind_fail(binder, e->span, "misuse of aliased aggregate %s", alias);
      return ALIAS_WRONG;
    }
    if ((flags & RESULT_WINDOW) && (!scope->allow_window || from != scope)) {
      bind_fail(binder, e->span, "misuse of aliased window function %s", alias);
      return ALIAS_WRONG;
    }
    if (bind_size(result->expr) != 1) {
      bind_fail(binder, e->span, "row value misused");
      return ALIAS_WRONG;
    }
    if ((flags & RESULT_AGGREGATE) && !scope->lands) {
      bind_fail(binder, e->span, "misuse of aggregate: %s", alias);
      return ALIAS_WRONG;
    }
    if (flags & RESULT_AGGREGATE) scope->has_aggregate = true;
    if (flags & RESULT_WINDOW) scope->has_window = true;
    e->alias_of = result->expr;
    e->bound = NULL;
    e->depth = depth;
    mark_correlated(from, depth);
    track(binder, scope, scope->result_depths[i]);
    return ALIAS_FOUND;
  }
  return ALIAS_NONE;
}

static bool fail_name(Binder *binder, const SqlExpr *e, const char *what) {
  char name[200];
  snprintf(name, sizeof name, "%s%s%s%s%s", e->schema ? e->schema : "", e->schema ? "." : "",
           e->table ? e->table : "", e->table ? "." : "", e->name);
  return bind_fail(binder, e->span, "%s: %s", what, name);
}

bool bind_column(Binder *binder, Scope *from, SqlExpr *e) {
  Wanted wanted = {e->schema, e->table, e->name, NULL};
  int depth = 0;
  Found found = {0}; /* goes on from scope to scope: every source with a rowid on the way counts */
  for (Scope *scope = from; scope; scope = scope->outer, depth++) {
    if (scope->from_visible) bind_search(scope->from, &wanted, &found);
    if (found.count > 1) return fail_name(binder, e, "ambiguous column name");
    if (found.count == 1) return found_column(binder, from, scope, e, &found, depth);
    if (is_row_variable(binder, scope, e)) {
      e->bound = NULL;
      e->depth = depth;
      return true;
    }
    if (found.rowids == 1 && is_rowid(e->name)) {
      found.source = found.rowid;
      found.index = found.rowid_index;
      found.column = found.rowid->rowid_column - 1;
      if (found.column >= 0) found.name = found.rowid->columns[found.column].name;
      return found_column(binder, from, scope, e, &found, depth);
    }
    if (scope->aliases_visible && !e->table) {
      Alias alias = find_alias(binder, from, scope, e, depth);
      if (alias != ALIAS_NONE) return alias == ALIAS_FOUND;
    }
    if (scope->cut) break;
  }
  if (!e->table && e->quoted) return true; /* a string after all */
  if (!e->table && !e->delimited &&
      (sql_same_name(e->name, "true") || sql_same_name(e->name, "false"))) {
    return true;
  }
  return fail_name(binder, e, "no such column");
}
