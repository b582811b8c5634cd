/*
** Equality of trees: see sql.h. Names and keywords compare without case (ASCII only, as in SQLite),
** literals exactly.
*/
#include <string.h>

#include "sql/equal.h"

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

bool sql_same_name(const char *a, const char *b) {
  if (!a || !b) return a == b;
  while (*a && lower(*a) == lower(*b)) a++, b++;
  return lower(*a) == lower(*b);
}

static bool same_text(const char *a, const char *b) {
  return a == b || (a && b && strcmp(a, b) == 0);
}

static bool equal_names(const char **a, const char **b, int n) {
  for (int i = 0; i < n; i++) {
    if (!sql_same_name(a[i], b[i])) return false;
  }
  return true;
}

static bool equal_exprs(SqlExpr **a, SqlExpr **b, int n) {
  for (int i = 0; i < n; i++) {
    if (!sql_expr_equal(a[i], b[i])) return false;
  }
  return true;
}

bool sql_orders_equal(const SqlOrder *a, const SqlOrder *b, int n) {
  for (int i = 0; i < n; i++) {
    if (a[i].descending != b[i].descending || a[i].nulls_given != b[i].nulls_given ||
        a[i].nulls_last != b[i].nulls_last || !sql_expr_equal(a[i].expr, b[i].expr)) {
      return false;
    }
  }
  return true;
}

static bool equal_window(const SqlWindow *a, const SqlWindow *b) {
  if (!a || !b) return a == b;
  return sql_same_name(a->name, b->name) && sql_same_name(a->base, b->base) &&
         a->base_only == b->base_only && a->npartition == b->npartition && a->norder == b->norder &&
         a->unit == b->unit && a->start == b->start && a->end == b->end &&
         a->exclude == b->exclude && equal_exprs(a->partition, b->partition, a->npartition) &&
         sql_orders_equal(a->order, b->order, a->norder) &&
         sql_expr_equal(a->start_expr, b->start_expr) && sql_expr_equal(a->end_expr, b->end_expr);
}

static bool equal_column(const SqlExpr *a, const SqlExpr *b) {
  if (a->bound && b->bound) {
    return a->bound == b->bound && a->column == b->column && a->depth == b->depth;
  }
  return !a->bound == !b->bound && a->quoted == b->quoted && sql_same_name(a->schema, b->schema) &&
         sql_same_name(a->table, b->table) &&
         (a->quoted ? same_text(a->name, b->name) : sql_same_name(a->name, b->name));
}

bool sql_expr_equal(const SqlExpr *a, const SqlExpr *b) {
  if (!a || !b || a == b) return a == b;
  if (a->kind != b->kind || a->op != b->op || a->negated != b->negated ||
      a->distinct != b->distinct || a->star != b->star || a->has_base != b->has_base ||
      a->has_else != b->has_else || a->nargs != b->nargs) {
    return false;
  }
  if (a->kind == SQL_EXPR_COLUMN) return equal_column(a, b);
  return a->text_length == b->text_length && same_text(a->text, b->text) &&
         sql_same_name(a->name, b->name) && sql_same_name(a->table, b->table) &&
         equal_exprs(a->args, b->args, a->nargs) && sql_expr_equal(a->filter, b->filter) &&
         equal_window(a->over, b->over) && sql_select_equal(a->select, b->select) &&
         sql_sources_equal(a->source, b->source);
}

static bool equal_source(const SqlSource *a, const SqlSource *b) {
  return a->kind == b->kind && a->join == b->join && a->natural == b->natural &&
         a->not_indexed == b->not_indexed && a->nargs == b->nargs && a->nusing == b->nusing &&
         sql_same_name(a->schema, b->schema) && sql_same_name(a->name, b->name) &&
         sql_same_name(a->alias, b->alias) && sql_same_name(a->indexed_by, b->indexed_by) &&
         equal_exprs(a->args, b->args, a->nargs) && sql_select_equal(a->select, b->select) &&
         sql_sources_equal(a->first, b->first) && sql_expr_equal(a->on, b->on) &&
         equal_names(a->using_names, b->using_names, a->nusing);
}

bool sql_sources_equal(const SqlSource *a, const SqlSource *b) {
  for (; a && b; a = a->next, b = b->next) {
    if (!equal_source(a, b)) return false;
  }
  return !a && !b;
}

/* The name a result goes by: a printer may have to say as an alias what was the text before. */
static const char *result_name(const SqlResult *result) {
  if (result->alias) return result->alias;
  return result->expr->kind == SQL_EXPR_COLUMN ? NULL : result->written;
}

bool sql_results_equal(const SqlResult *a, const SqlResult *b, int n) {
  for (int i = 0; i < n; i++) {
    if (!same_text(result_name(&a[i]), result_name(&b[i])) ||
        !sql_expr_equal(a[i].expr, b[i].expr)) {
      return false;
    }
  }
  return true;
}

static bool equal_arm(const SqlSelect *a, const SqlSelect *b) {
  if (a->compound != b->compound || a->is_values != b->is_values || a->nrows != b->nrows ||
      a->distinct != b->distinct || a->nresults != b->nresults || a->ngroup != b->ngroup ||
      a->nwindows != b->nwindows || a->norder != b->norder) {
    return false;
  }
  for (int i = 0; i < a->nwindows; i++) {
    if (!equal_window(&a->windows[i], &b->windows[i])) return false;
  }
  return sql_with_equal(a->with, b->with) && equal_exprs(a->rows, b->rows, a->nrows) &&
         sql_results_equal(a->results, b->results, a->nresults) &&
         sql_sources_equal(a->from, b->from) && sql_expr_equal(a->where, b->where) &&
         equal_exprs(a->group, b->group, a->ngroup) && sql_expr_equal(a->having, b->having) &&
         sql_orders_equal(a->order, b->order, a->norder) && sql_expr_equal(a->limit, b->limit) &&
         sql_expr_equal(a->offset, b->offset);
}

bool sql_select_equal(const SqlSelect *a, const SqlSelect *b) {
  for (; a && b; a = a->next, b = b->next) {
    if (!equal_arm(a, b)) return false;
  }
  return !a && !b;
}

bool sql_with_equal(const SqlWith *a, const SqlWith *b) {
  if (!a || !b) return a == b;
  if (a->nctes != b->nctes) return false;
  for (int i = 0; i < a->nctes; i++) {
    const SqlCte *x = &a->ctes[i], *y = &b->ctes[i];
    if (!sql_same_name(x->name, y->name) || x->ncolumns != y->ncolumns ||
        x->materialized != y->materialized || !equal_names(x->columns, y->columns, x->ncolumns) ||
        !sql_select_equal(x->select, y->select)) {
      return false;
    }
  }
  return true;
}
