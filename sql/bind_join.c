/*
** Joins by name (USING, NATURAL), parenthesised joins, and what * stands for: see bind.h.
*/
#include <string.h>

#include "sql/bind.h"

const JoinColumn *bind_join_columns(const SqlSource *join) { return join->object; }

bool bind_has_right_join(const SqlSource *first) {
  for (const SqlSource *source = first; source; source = source->next) {
    if (source->join == SQL_JOIN_RIGHT || source->join == SQL_JOIN_FULL) return true;
  }
  return false;
}

static SqlExpr *new_column(Binder *binder, SqlSpan span, SqlSource *source, int column,
                           const char *table, const char *name) {
  SqlExpr *e = bind_alloc(binder, 1, sizeof *e);
  if (!e) return NULL;
  e->kind = SQL_EXPR_COLUMN;
  e->span = span;
  e->table = table;
  e->name = name;
  e->height = 1;
  e->bound = source;
  e->column = column;
  return e;
}

/* The first column of that name among the sources before `end`; NULL: none. */
static SqlSource *find_left(SqlSource *first, const SqlSource *end, const char *name,
                            bool skip_hidden, int *column) {
  for (SqlSource *source = first; source != end; source = source->next) {
    int i = bind_find(source, name);
    if (i < 0 || (skip_hidden && source->columns[i].hidden)) continue;
    *column = i;
    return source;
  }
  return NULL;
}

/* What column i of a source is, seen through the parentheses of a join. */
static SqlExpr *column_of(Binder *binder, SqlSpan span, SqlSource *source, int i,
                          const char *name) {
  if (source->kind != SQL_SOURCE_JOIN) {
    return new_column(binder, span, source, i, bind_source_name(source), name);
  }
  const JoinColumn *in = &bind_join_columns(source)[i];
  SqlExpr *e = new_column(binder, span, in->source, in->column, in->table, name);
  if (e) e->merged = in->merged;
  return e;
}

static bool equate(Binder *binder, SqlSource *first, SqlSource *right, const char *name,
                   bool natural, bool right_joins) {
  int left_column = 0, right_column = bind_find(right, name);
  SqlSource *left = right_column < 0 ? NULL : find_left(first, right, name, natural, &left_column);
  if (!left) {
    return bind_fail(binder, right->span,
                     "cannot join using column %s - column not present in both tables", name);
  }
  SqlExpr *a = column_of(binder, right->span, left, left_column, name);
  SqlExpr *b = column_of(binder, right->span, right, right_column, name);
  if (!a || !b) return false;
  /* With a RIGHT or FULL join around, the left side is the first that is not NULL of all columns
  ** so named, and they must have been joined before. */
  int column;
  SqlSource *next = right_joins ? find_left(left->next, right, name, natural, &column) : NULL;
  for (; next; next = find_left(next->next, right, name, natural, &column)) {
    if (!bind_equates(next, name)) {
      return bind_fail(binder, right->span, "ambiguous reference to %s in USING()", name);
    }
    a->merged = true;
  }
  right->left[right->nequal] = a;
  right->right[right->nequal++] = b;
  return true;
}

static bool join_by_name(Binder *binder, SqlSource *first, SqlSource *right, bool right_joins) {
  if (right->natural && (right->nusing || right->on)) {
    return bind_fail(binder, right->span, "a NATURAL join may not have an ON or USING clause");
  }
  int room = right->natural ? right->ncolumns : right->nusing;
  right->nequal = 0;
  right->left = bind_alloc(binder, (size_t)room, sizeof *right->left);
  right->right = bind_alloc(binder, (size_t)room, sizeof *right->right);
  if (!right->left || !right->right) return false;
  for (int i = 0; i < room; i++) {
    const char *name = right->natural ? right->columns[i].name : right->using_names[i];
    int column;
    if (right->natural &&
        (right->columns[i].hidden || !find_left(first, right, name, true, &column))) {
      continue;
    }
    if (!equate(binder, first, right, name, right->natural, right_joins)) return false;
  }
  return true;
}

bool bind_joins(Binder *binder, SqlSource *first) {
  bool right_joins = bind_has_right_join(first);
  for (SqlSource *right = first ? first->next : NULL; right; right = right->next) {
    if (!right->natural && !right->nusing) continue;
    if (!join_by_name(binder, first, right, right_joins)) return false;
  }
  return true;
}

/* ---- parenthesised joins */

typedef struct JoinColumns {
  JoinColumn *items;
  int count, room;
} JoinColumns;

static bool add_join_column(Binder *binder, JoinColumns *list, JoinColumn column) {
  if (list->count == list->room) {
    int room = list->room ? list->room * 2 : 16;
    JoinColumn *items = bind_alloc(binder, (size_t)room, sizeof *items);
    if (!items) return false;
    if (list->count) memcpy(items, list->items, (size_t)list->count * sizeof *items);
    list->items = items;
    list->room = room;
  }
  list->items[list->count++] = column;
  return true;
}

/* A name inside the parentheses, as SQLite looks it up when it writes their * out. */
static bool look_up(Binder *binder, SqlSource *first, SqlSpan at, const Wanted *wanted,
                    JoinColumn *out) {
  Found found = {0};
  bind_search(first, wanted, &found);
  if (found.count != 1 && !binder->tables_only) {
    const char *what = found.count ? "ambiguous column name" : "no such column";
    const char *database = wanted->like ? bind_database(wanted->like) : NULL;
    return bind_fail(binder, at, "%s: %s%s%s%s%s", what, database ? database : "",
                     database ? "." : "", wanted->table ? wanted->table : "",
                     wanted->table ? "." : "", wanted->name);
  }
  if (found.count) {
    out->source = found.source;
    out->column = found.column;
    out->merged = found.merged;
  }
  return true;
}

static bool add_joined(Binder *binder, SqlSource *join, const SqlSource *next, JoinColumns *list) {
  for (int i = 0; i < next->nequal; i++) {
    const char *name = next->right[i]->name;
    JoinColumn column = {.label = name, .name = name, .owner = next, .joined = true};
    Wanted wanted = {NULL, NULL, column.name, NULL};
    if (!look_up(binder, join->first, join->span, &wanted, &column)) return false;
    if (!add_join_column(binder, list, column)) return false;
  }
  return true;
}

static bool add_columns(Binder *binder, SqlSource *join, SqlSource *source, JoinColumns *list) {
  const JoinColumn *inner = source->kind == SQL_SOURCE_JOIN ? bind_join_columns(source) : NULL;
  const SqlSource *next = source->next;
  for (int i = 0; i < source->ncolumns; i++) {
    if (source->columns[i].hidden) continue;
    const char *name = source->columns[i].name;
    JoinColumn column = {
        .label = name, .name = name, .owner = source, .table = bind_source_name(source)};
    if (inner) {
      column = inner[i];
      column.label = name;
      column.joined = false;
    } else {
      Wanted wanted = {NULL, column.table, name, source};
      if (column.table) {
        if (!look_up(binder, join->first, join->span, &wanted, &column)) return false;
      } else {
        column.source = source;
        column.column = i;
      }
    }
    column.no_expand = bind_equates(source, name) || (next && bind_equates(next, name)) ||
                       (inner && inner[i].no_expand);
    if (!add_join_column(binder, list, column)) return false;
  }
  return true;
}

static const char *unused_name(Binder *binder, const SqlSource *join, int n, const char *name) {
  size_t length = strlen(name), digits = length;
  while (digits > 1 && name[digits - 1] >= '0' && name[digits - 1] <= '9') digits--;
  if (digits > 1 && name[digits - 1] == ':') length = digits - 1;
  for (int i = 1;; i++) {
    char *candidate = arena_printf(binder->arena, "%.*s:%d", (int)length, name, i);
    if (!candidate) {
      bind_oom(binder);
      return NULL;
    }
    bool taken = false;
    for (int j = 0; j < n; j++) {
      if (sql_same_name(join->columns[j].name, candidate)) taken = true;
    }
    if (!taken) return candidate;
  }
}

bool bind_nested(Binder *binder, SqlSource *join) {
  JoinColumns list = {0};
  for (SqlSource *source = join->first; source; source = source->next) {
    if (source->next && source->next->nequal && !add_joined(binder, join, source->next, &list)) {
      return false;
    }
    if (!add_columns(binder, join, source, &list)) return false;
    if (list.count > SQL_MAX_COLUMNS) {
      return bind_fail(binder, join->span, "too many columns in result set");
    }
  }
  join->columns = bind_alloc(binder, (size_t)list.count, sizeof *join->columns);
  if (!join->columns) return false;
  join->object = list.items;
  for (int i = 0; i < list.count; i++) {
    JoinColumn *column = &list.items[i];
    SqlColumn *out = &join->columns[i];
    if (column->column >= 0) *out = column->source->columns[column->column];
    out->hidden = false;
    out->name = column->label;
    if (sql_same_name(out->name, "true") || sql_same_name(out->name, "false")) {
      out->name = arena_printf(binder->arena, "column%d", i + 1);
      if (!out->name) return bind_oom(binder);
    }
    for (int j = 0; j < i; j++) {
      if (!sql_same_name(join->columns[j].name, out->name)) continue;
      if (list.items[j].joined) column->no_expand = true;
      out->name = unused_name(binder, join, i, column->label);
      if (!out->name) return false;
      break;
    }
  }
  join->ncolumns = list.count;
  return true;
}

/* ---- * */

static bool add_result(Binder *binder, SqlExpr *e, SqlResult **items, int *count, int *room) {
  if (!e) return false;
  if (*count == *room) {
    int more = *room ? *room * 2 : 16;
    SqlResult *larger = bind_alloc(binder, (size_t)more, sizeof *larger);
    if (!larger) return false;
    if (*count) memcpy(larger, *items, (size_t)*count * sizeof *larger);
    *items = larger;
    *room = more;
  }
  (*items)[(*count)++] = (SqlResult){.expr = e, .name = e->name};
  return true;
}

static bool joined_after(const SqlSource *source, const char *name) {
  for (const SqlSource *next = source->next; next; next = next->next) {
    if (bind_equates(next, name)) return true;
  }
  return false;
}

/* Whether a RIGHT or FULL join stands to the right: its names may mean several columns at once. */
static bool left_of_right_join(const SqlSource *source) {
  return source->next && bind_has_right_join(source->next);
}

static SqlExpr *star_column(Binder *binder, SqlSource *first, SqlSource *source, int i,
                            const SqlExpr *star) {
  const char *name = source->columns[i].name;
  JoinColumn at = {.source = source, .column = i};
  if (left_of_right_join(source) && joined_after(source, name)) {
    Wanted wanted = {NULL, NULL, name, NULL};
    if (!look_up(binder, first, star->span, &wanted, &at)) return NULL;
    SqlExpr *e = new_column(binder, star->span, at.source, at.column, NULL, name);
    if (e) e->merged = at.merged;
    return e;
  }
  if (source->kind == SQL_SOURCE_JOIN && !first->next) {
    /* SQLite looks for the name alone, be it ambiguous, or made unique and not to be found. */
    Wanted wanted = {NULL, NULL, name, NULL};
    if (!look_up(binder, first, star->span, &wanted, &at)) return NULL;
  }
  if (source->kind == SQL_SOURCE_JOIN) return column_of(binder, star->span, source, i, name);
  const char *table = bind_source_name(source);
  if (first->next && table) {
    Wanted wanted = {NULL, table, name, source};
    if (!look_up(binder, first, star->span, &wanted, &at)) return NULL;
  }
  return new_column(binder, star->span, at.source, at.column, table, name);
}

bool bind_star(Binder *binder, SqlSource *first, const SqlExpr *star, SqlResult **items, int *count,
               int *room) {
  bool seen = false;
  for (SqlSource *source = first; source; source = source->next) {
    const JoinColumn *inner = source->kind == SQL_SOURCE_JOIN ? bind_join_columns(source) : NULL;
    const char *table = bind_source_name(source);
    if (star->table && !inner && !(table && sql_same_name(table, star->table))) continue;
    for (int i = 0; i < source->ncolumns; i++) {
      if (star->table && inner && !(inner[i].table && sql_same_name(inner[i].table, star->table))) {
        continue;
      }
      if (source->columns[i].hidden || (inner && inner[i].no_expand && !star->table)) continue;
      seen = true;
      if (source != first && !star->table && bind_equates(source, source->columns[i].name)) {
        continue; /* the left one stands for both */
      }
      if (!add_result(binder, star_column(binder, first, source, i, star), items, count, room)) {
        return false;
      }
    }
  }
  if (seen) return true;
  if (star->table) return bind_fail(binder, star->span, "no such table: %s", star->table);
  return bind_fail(binder, star->span, "no tables specified");
}
