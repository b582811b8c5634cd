/*
** Binding expressions: see bind.h.
*/
#include <stdlib.h>
#include <string.h>

#include "sql/bind.h"

/* A literal 0, or what SQLite folds into one before it looks at names. */
bool bind_is_false(const SqlExpr *e) {
  while (e->kind == SQL_EXPR_BINARY && e->op == SQL_OP_AND) {
    if (bind_is_false(e->args[1])) return true;
    e = e->args[0];
  }
  if (e->kind == SQL_EXPR_IN_LIST) return e->nargs == 1 && !e->negated;
  if (e->kind != SQL_EXPR_INTEGER) return false;
  const char *c = e->text;
  if (c[0] == '0' && (c[1] == 'x' || c[1] == 'X')) c += 2;
  while (*c == '0') c++;
  return !*c;
}

int bind_size(const SqlExpr *e) {
  if (e->kind == SQL_EXPR_ROW) return e->nargs;
  return e->kind == SQL_EXPR_SELECT ? sql_width(e->select) : 1;
}

static bool fail_size(Binder *binder, const SqlExpr *e) {
  if (e->kind == SQL_EXPR_SELECT) {
    return bind_fail(binder, e->span, "sub-select returns %d columns - expected 1", bind_size(e));
  }
  return bind_fail(binder, e->span, "row value misused");
}

bool bind_expr(Binder *binder, Scope *scope, SqlExpr *e) {
  if (!e) return true;
  if (!bind_values(binder, scope, e)) return false;
  return bind_size(e) == 1 ? true : fail_size(binder, e);
}

bool bind_exprs(Binder *binder, Scope *scope, SqlExpr **list, int n) {
  for (int i = 0; i < n; i++) {
    if (!bind_expr(binder, scope, list[i])) return false;
  }
  return true;
}

void bind_quietly(Binder *binder, Scope *scope, SqlExpr *e) {
  if (!e) return;
  WithFrame *withs = binder->withs;
  const char *text = binder->text;
  int level = binder->level;
  Tracker *trackers = binder->trackers;
  Scope saved = *scope;
  binder->quiet++;
  bind_values(binder, scope, e);
  binder->quiet--;
  *scope = saved;
  binder->withs = withs;
  binder->text = text;
  binder->level = level;
  binder->trackers = trackers;
}

static bool is_comparison(SqlOp op) {
  return (op >= SQL_OP_EQ && op <= SQL_OP_GE) || op == SQL_OP_IS || op == SQL_OP_IS_NOT;
}

/* Outside of any SELECT, SQLite counts the columns of a sub-select before it has expanded its *. */
static int written_size(const SqlExpr *e) {
  if (e->kind != SQL_EXPR_SELECT) return bind_size(e);
  const SqlSelect *last = e->select;
  while (last->next) last = last->next;
  if (!last->is_values) return last->nresults;
  return last != e->select && last->nrows > 1 ? 1 : last->rows[0]->nargs;
}

static bool bind_comparison(Binder *binder, Scope *scope, SqlExpr *e) {
  for (int i = 1; !scope->select && i < e->nargs; i++) {
    if (written_size(e->args[0]) != written_size(e->args[i])) {
      return bind_fail(binder, e->span, "row value misused");
    }
  }
  for (int i = 0; i < e->nargs; i++) {
    if (!bind_values(binder, scope, e->args[i])) return false;
  }
  for (int i = 1; i < e->nargs; i++) {
    if (bind_size(e->args[0]) != bind_size(e->args[i])) {
      return bind_fail(binder, e->span, "row value misused");
    }
  }
  return true;
}

/* Chains of AND and OR are long on the left. */
static bool bind_binary(Binder *binder, Scope *scope, SqlExpr *e) {
  if (is_comparison(e->op)) return bind_comparison(binder, scope, e);
  if (e->op == SQL_OP_AND && bind_is_false(e)) {
    bind_quietly(binder, scope, e->args[0]);
    bind_quietly(binder, scope, e->args[1]);
    return !binder->oom;
  }
  return bind_expr(binder, scope, e->args[0]) && bind_expr(binder, scope, e->args[1]);
}

static bool bind_rows(Binder *binder, Scope *scope, SqlExpr *e) {
  int size = e->args[0]->nargs;
  for (int i = 1; i < e->nargs; i++) {
    SqlExpr *row = e->args[i];
    int n = row->kind == SQL_EXPR_ROW ? row->nargs : 1;
    if (n != size) {
      return bind_fail(binder, row->span, "IN(...) element has %d term%s - expected %d", n,
                       n > 1 ? "s" : "", size);
    }
    if (!bind_values(binder, scope, row)) return false;
  }
  return true;
}

static bool bind_in_rows(Binder *binder, Scope *scope, SqlExpr *e) {
  bool saved = scope->in_rows;
  scope->in_rows = true;
  bool ok = bind_rows(binder, scope, e);
  scope->in_rows = saved;
  return ok;
}

static bool bind_in_list(Binder *binder, Scope *scope, SqlExpr *e) {
  if (e->nargs == 1) { /* IN () does not look at its operand */
    bind_quietly(binder, scope, e->args[0]);
    return !binder->oom;
  }
  if (!bind_values(binder, scope, e->args[0])) return false;
  if (e->args[0]->kind == SQL_EXPR_ROW) return bind_in_rows(binder, scope, e);
  if (bind_size(e->args[0]) != 1) return fail_size(binder, e->args[0]);
  return bind_exprs(binder, scope, e->args + 1, e->nargs - 1);
}

static bool check_in_width(Binder *binder, const SqlExpr *e, int width) {
  int size = bind_size(e->args[0]);
  if (width == size) return true;
  return bind_fail(binder, e->span, "sub-select returns %d column%s - expected %d", width,
                   width == 1 ? "" : "s", size);
}

static bool bind_in_table(Binder *binder, Scope *scope, SqlExpr *e) {
  if (!bind_values(binder, scope, e->args[0])) return false;
  Scope inner = {.outer = scope, .from = e->source, .on_index = -1};
  if (!bind_from(binder, &inner, e->source)) return false;
  inner.from_visible = true;
  if (!bind_arguments(binder, &inner, e->source)) return false;
  int width = 0;
  for (int i = 0; i < e->source->ncolumns; i++) width += !e->source->columns[i].hidden;
  return check_in_width(binder, e, width);
}

/* CASE compares its base with each WHEN, rows included; what it yields is a single value. */
static bool bind_case(Binder *binder, Scope *scope, SqlExpr *e) {
  int i = 0;
  if (e->has_base && !bind_values(binder, scope, e->args[i++])) return false;
  int size = e->has_base ? bind_size(e->args[0]) : 1;
  for (; i + 1 < e->nargs; i += 2) {
    if (!bind_values(binder, scope, e->args[i]) || !bind_expr(binder, scope, e->args[i + 1])) {
      return false;
    }
    if (bind_size(e->args[i]) != size) return fail_size(binder, e->args[i]);
  }
  return !e->has_else || bind_expr(binder, scope, e->args[e->nargs - 1]);
}

static bool bind_like(Binder *binder, Scope *scope, SqlExpr *e) {
  static const char *const names[] = {"LIKE", "GLOB", "REGEXP", "MATCH"};
  if (!bind_operator_function(binder, e, names[e->op - SQL_OP_LIKE], e->nargs)) return false;
  return bind_exprs(binder, scope, e->args, e->nargs);
}

bool bind_values(Binder *binder, Scope *scope, SqlExpr *e) {
  switch (e->kind) {
  case SQL_EXPR_COLUMN:
    return bind_column(binder, scope, e);
  case SQL_EXPR_BINARY:
    return bind_binary(binder, scope, e);
  case SQL_EXPR_BETWEEN:
    return bind_comparison(binder, scope, e);
  case SQL_EXPR_IN_LIST:
    return bind_in_list(binder, scope, e);
  case SQL_EXPR_IN_SELECT:
    return bind_values(binder, scope, e->args[0]) && bind_select(binder, e->select, scope) &&
           check_in_width(binder, e, sql_width(e->select));
  case SQL_EXPR_IN_TABLE:
    return bind_in_table(binder, scope, e);
  case SQL_EXPR_LIKE:
    return bind_like(binder, scope, e);
  case SQL_EXPR_CASE:
    return bind_case(binder, scope, e);
  case SQL_EXPR_FUNCTION:
    return bind_call(binder, scope, e);
  case SQL_EXPR_EXISTS:
  case SQL_EXPR_SELECT:
    return bind_select(binder, e->select, scope);
  case SQL_EXPR_RAISE:
    if (binder->in_trigger) return true;
    return bind_fail(binder, e->span, "RAISE() may only be used within a trigger-program");
  default:
    return bind_exprs(binder, scope, e->args, e->nargs); /* literals have none */
  }
}
