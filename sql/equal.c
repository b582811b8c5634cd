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

/* The FROM clauses around, in pairs: a column of one equals that of the other at the same place. */
typedef struct Pairs {
  const struct Pairs *outer;
  const SqlSource *a, *b;
} Pairs;

static bool equal_expr(const Pairs *pairs, const SqlExpr *a, const SqlExpr *b);
static bool equal_select(const Pairs *pairs, const SqlSelect *a, const SqlSelect *b);
static bool equal_sources(const Pairs *pairs, const SqlSource *a, const SqlSource *b);

/* What stands in list b where `source` stands in list a; NULL: it does not stand there. */
static const SqlSource *counterpart(const SqlSource *a, const SqlSource *b,
                                    const SqlSource *source) {
  for (; a && b; a = a->next, b = b->next) {
    if (a == source) return b;
    const SqlSource *inner = counterpart(a->first, b->first, source);
    if (inner) return inner;
  }
  return NULL;
}

static bool same_source(const Pairs *pairs, const SqlSource *a, const SqlSource *b) {
  for (; pairs; pairs = pairs->outer) {
    const SqlSource *other = counterpart(pairs->a, pairs->b, a);
    if (other) return other == b;
  }
  return a == b;
}

static bool equal_exprs(const Pairs *pairs, SqlExpr **a, SqlExpr **b, int n) {
  for (int i = 0; i < n; i++) {
    if (!equal_expr(pairs, a[i], b[i])) return false;
  }
  return true;
}

static bool equal_orders(const Pairs *pairs, const SqlOrder *a, const SqlOrder *b, int n) {
  for (int i = 0; i < n; i++) {
    if (a[i].descending != b[i].descending || a[i].nulls_given != b[i].nulls_given ||
        a[i].nulls_last != b[i].nulls_last || !equal_expr(pairs, a[i].expr, b[i].expr)) {
      return false;
    }
  }
  return true;
}

static bool equal_window(const Pairs *pairs, const SqlWindow *a, const SqlWindow *b) {
  if (!a || !b) return a == b;
  return sql_same_name(a->name, b->name) && sql_same_name(a->base, b->base) &&
         a->base_only == b->base_only && a->npartition == b->npartition && a->norder == b->norder &&
         a->unit == b->unit && a->start == b->start && a->end == b->end &&
         a->exclude == b->exclude &&
         equal_exprs(pairs, a->partition, b->partition, a->npartition) &&
         equal_orders(pairs, a->order, b->order, a->norder) &&
         equal_expr(pairs, a->start_expr, b->start_expr) &&
         equal_expr(pairs, a->end_expr, b->end_expr);
}

static bool equal_column(const Pairs *pairs, const SqlExpr *a, const SqlExpr *b) {
  if (a->bound && b->bound) {
    return same_source(pairs, a->bound, b->bound) && a->column == b->column &&
           a->depth == b->depth && a->merged == b->merged;
  }
  return !a->bound == !b->bound && a->quoted == b->quoted && sql_same_name(a->schema, b->schema) &&
         sql_same_name(a->table, b->table) &&
         (a->quoted ? same_text(a->name, b->name) : sql_same_name(a->name, b->name));
}

static bool equal_expr(const Pairs *pairs, const SqlExpr *a, const SqlExpr *b) {
  if (!a || !b || a == b) return a == b;
  if (a->kind != b->kind || a->op != b->op || a->negated != b->negated ||
      a->distinct != b->distinct || a->star != b->star || a->has_base != b->has_base ||
      a->has_else != b->has_else || a->nargs != b->nargs) {
    return false;
  }
  if (a->kind == SQL_EXPR_COLUMN) return equal_column(pairs, a, b);
  return a->text_length == b->text_length && same_text(a->text, b->text) &&
         sql_same_name(a->name, b->name) && sql_same_name(a->table, b->table) &&
         equal_exprs(pairs, a->args, b->args, a->nargs) &&
         equal_expr(pairs, a->filter, b->filter) && equal_window(pairs, a->over, b->over) &&
         equal_select(pairs, a->select, b->select) && equal_sources(pairs, a->source, b->source);
}

static bool equal_source(const Pairs *pairs, const SqlSource *a, const SqlSource *b) {
  return a->kind == b->kind && a->join == b->join && a->natural == b->natural &&
         a->not_indexed == b->not_indexed && a->nargs == b->nargs && a->nusing == b->nusing &&
         sql_same_name(a->schema, b->schema) && sql_same_name(a->name, b->name) &&
         sql_same_name(a->alias, b->alias) && sql_same_name(a->indexed_by, b->indexed_by) &&
         equal_exprs(pairs, a->args, b->args, a->nargs) &&
         equal_select(pairs, a->select, b->select) && equal_sources(pairs, a->first, b->first) &&
         equal_expr(pairs, a->on, b->on) && equal_names(a->using_names, b->using_names, a->nusing);
}

static bool equal_sources(const Pairs *pairs, const SqlSource *a, const SqlSource *b) {
  for (; a && b; a = a->next, b = b->next) {
    if (!equal_source(pairs, a, b)) return false;
  }
  return !a && !b;
}

/* The name a result goes by: a printer may have to say as an alias what was the text before. */
static const char *result_name(const SqlResult *result) {
  if (result->alias) return result->alias;
  return result->expr->kind == SQL_EXPR_COLUMN ? NULL : result->written;
}

static bool equal_results(const Pairs *pairs, const SqlResult *a, const SqlResult *b, int n) {
  for (int i = 0; i < n; i++) {
    if (!same_text(result_name(&a[i]), result_name(&b[i])) ||
        !equal_expr(pairs, a[i].expr, b[i].expr)) {
      return false;
    }
  }
  return true;
}

static bool equal_with(const Pairs *pairs, const SqlWith *a, const SqlWith *b) {
  if (!a || !b) return a == b;
  if (a->nctes != b->nctes) return false;
  for (int i = 0; i < a->nctes; i++) {
    const SqlCte *x = &a->ctes[i], *y = &b->ctes[i];
    if (!sql_same_name(x->name, y->name) || x->ncolumns != y->ncolumns ||
        x->materialized != y->materialized || !equal_names(x->columns, y->columns, x->ncolumns) ||
        !equal_select(pairs, x->select, y->select)) {
      return false;
    }
  }
  return true;
}

static bool equal_arm(const Pairs *outer, const SqlSelect *a, const SqlSelect *b) {
  const Pairs here = {outer, a->from, b->from}, *pairs = &here;
  if (a->compound != b->compound || a->is_values != b->is_values || a->nrows != b->nrows ||
      a->distinct != b->distinct || a->nresults != b->nresults || a->ngroup != b->ngroup ||
      a->nwindows != b->nwindows || a->norder != b->norder) {
    return false;
  }
  for (int i = 0; i < a->nwindows; i++) {
    if (!equal_window(pairs, &a->windows[i], &b->windows[i])) return false;
  }
  return equal_with(pairs, a->with, b->with) && equal_exprs(pairs, a->rows, b->rows, a->nrows) &&
         equal_results(pairs, a->results, b->results, a->nresults) &&
         equal_sources(pairs, a->from, b->from) && equal_expr(pairs, a->where, b->where) &&
         equal_exprs(pairs, a->group, b->group, a->ngroup) &&
         equal_expr(pairs, a->having, b->having) &&
         equal_orders(pairs, a->order, b->order, a->norder) &&
         equal_expr(pairs, a->limit, b->limit) && equal_expr(pairs, a->offset, b->offset);
}

static bool equal_select(const Pairs *pairs, const SqlSelect *a, const SqlSelect *b) {
  for (; a && b; a = a->next, b = b->next) {
    if (!equal_arm(pairs, a, b)) return false;
  }
  return !a && !b;
}

/* ---- the doors */

bool sql_expr_equal(const SqlExpr *a, const SqlExpr *b) { return equal_expr(NULL, a, b); }

bool sql_select_equal(const SqlSelect *a, const SqlSelect *b) { return equal_select(NULL, a, b); }
