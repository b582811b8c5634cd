/*
** Affinities and collations of bound expressions: datatype3.html, sections 3 and 7.
*/
#include <string.h>

#include "sql/equal.h"
#include "sql/sql.h"

static bool has_word(const char *text, const char *word) {
  size_t length = strlen(word);
  for (; *text; text++) {
    size_t i = 0;
    while (i < length && (text[i] | 0x20) == word[i]) i++;
    if (i == length) return true;
  }
  return false;
}

static bool has_any(const char *type, const char *a, const char *b, const char *c) {
  return has_word(type, a) || has_word(type, b) || has_word(type, c);
}

SqlAffinity sql_type_affinity(const char *type) {
  if (!type || !*type) return SQL_AFFINITY_BLOB;
  if (has_word(type, "int")) return SQL_AFFINITY_INTEGER;
  if (has_any(type, "char", "clob", "text")) return SQL_AFFINITY_TEXT;
  if (has_word(type, "blob")) return SQL_AFFINITY_BLOB;
  if (has_any(type, "real", "floa", "doub")) return SQL_AFFINITY_REAL;
  return SQL_AFFINITY_NUMERIC;
}

/* CAST(x AS type): of a quoted type only the first quoted part counts, and none means NUMERIC. */
static SqlAffinity cast_affinity(const char *type) {
  char first[64];
  const char *close = strchr("\"\"''``[]", type[0]);
  if (!*type) return SQL_AFFINITY_NUMERIC;
  if (!close || !*close) return sql_type_affinity(type);
  char end = type[0] == '[' ? ']' : type[0];
  size_t length = 0;
  while (type[length + 1] && type[length + 1] != end && length + 1 < sizeof first) {
    first[length] = type[length + 1];
    length++;
  }
  first[length] = '\0';
  return length ? sql_type_affinity(first) : SQL_AFFINITY_NUMERIC;
}

static SqlAffinity column_affinity(const SqlExpr *e) {
  if (e->alias_of) return sql_expr_affinity(e->alias_of);
  if (!e->bound || e->merged) return SQL_AFFINITY_NONE;
  if (e->column < 0) return SQL_AFFINITY_INTEGER;
  const SqlColumn *column = &e->bound->columns[e->column];
  return column->expr ? sql_expr_affinity(column->expr) : sql_type_affinity(column->type);
}

SqlAffinity sql_expr_affinity(const SqlExpr *e) {
  for (;;) {
    switch (e->kind) {
    case SQL_EXPR_COLUMN:
      return column_affinity(e);
    case SQL_EXPR_CAST:
      return cast_affinity(e->name);
    case SQL_EXPR_COLLATE:
      e = e->args[0];
      break;
    case SQL_EXPR_ROW:
      if (!e->nargs) return SQL_AFFINITY_NONE;
      e = e->args[0];
      break;
    case SQL_EXPR_SELECT:
      if (e->select->is_values) {
        if (!e->select->nrows || !e->select->rows[0]->nargs) return SQL_AFFINITY_NONE;
        e = e->select->rows[0]->args[0];
      } else {
        if (!sql_width(e->select)) return SQL_AFFINITY_NONE;
        e = sql_result(e->select, 0)->expr;
      }
      break;
    default:
      return SQL_AFFINITY_NONE;
    }
  }
}

static bool has_collate(const SqlExpr *e) {
  if (e->kind == SQL_EXPR_COLLATE) return true;
  if (e->kind == SQL_EXPR_COLUMN) return e->alias_of && has_collate(e->alias_of);
  if (e->kind == SQL_EXPR_FUNCTION) return false;
  for (int i = 0; i < e->nargs; i++) {
    if (has_collate(e->args[i])) return true;
  }
  return false;
}

/* COLLATE decides where it stands, also inside operators; else the column, else nothing. */
const char *sql_expr_collation(const SqlExpr *e) {
  for (;;) {
    if (e->kind == SQL_EXPR_COLLATE) return e->name;
    if (e->kind == SQL_EXPR_COLUMN) {
      if (e->alias_of) return sql_expr_collation(e->alias_of);
      if (!e->bound || e->column < 0 || e->merged) return NULL;
      return e->bound->columns[e->column].collation;
    }
    if (e->kind == SQL_EXPR_CAST || (e->kind == SQL_EXPR_UNARY && e->op == SQL_OP_POS)) {
      e = e->args[0];
      continue;
    }
    if (e->kind == SQL_EXPR_FUNCTION || !has_collate(e)) return NULL;
    int i = 0;
    while (i < e->nargs && !has_collate(e->args[i])) i++;
    e = e->args[i];
  }
}
