/*
** Binding ORDER BY and GROUP BY: see bind.h. A term is a position, a result alias, or an
** expression; of a compound it must be one of the results of some arm.
*/
#include <stdlib.h>
#include <string.h>

#include "sql/bind.h"

/* A position: an integer of 32 bits, signs allowed. */
bool bind_position(const SqlExpr *e, long *position) {
  bool negative = false;
  while (e->kind == SQL_EXPR_UNARY && (e->op == SQL_OP_NEG || e->op == SQL_OP_POS)) {
    negative ^= e->op == SQL_OP_NEG;
    e = e->args[0];
  }
  if (e->kind == SQL_EXPR_BINARY && bind_is_false(e)) { /* folded to a literal 0 */
    *position = 0;
    return true;
  }
  if (e->kind != SQL_EXPR_INTEGER) return false;
  bool hex = e->text[0] == '0' && (e->text[1] | 0x20) == 'x';
  unsigned long long value = strtoull(e->text, NULL, hex ? 16 : 10);
  size_t digits = strlen(e->text) - (hex ? 2 : 0);
  if (value > 0x7fffffff || digits > 30) return false;
  *position = negative ? -(long)value : (long)value;
  return true;
}

static SqlExpr *skip_collate(SqlExpr *e) {
  while (e->kind == SQL_EXPR_COLLATE) e = e->args[0];
  return e;
}

/* likely(x) and its like too: what SQLite sees when it looks a second time. */
static SqlExpr *skip_hints(SqlExpr *e) {
  for (;;) {
    bool hint = e->kind == SQL_EXPR_FUNCTION && e->nargs &&
                (sql_same_name(e->name, "likely") || sql_same_name(e->name, "unlikely") ||
                 sql_same_name(e->name, "likelihood"));
    if (e->kind != SQL_EXPR_COLLATE && !hint) return e;
    e = e->args[0];
  }
}

static bool fail_range(Binder *binder, const SqlExpr *e, const char *clause, int term, int width) {
  static const char *const endings[] = {"th", "st", "nd", "rd"};
  int n = term + 1, last = n % 10;
  const char *ending = last > 3 || (n % 100 >= 11 && n % 100 <= 13) ? endings[0] : endings[last];
  if (width < 0) {
    return bind_fail(binder, e->span, "%d%s %s BY term does not match any column in the result set",
                     n, ending, clause);
  }
  return bind_fail(binder, e->span, "%d%s %s BY term out of range - should be between 1 and %d", n,
                   ending, clause, width);
}

/* The result whose alias this is, or -1. */
static int find_alias(const SqlSelect *select, const SqlExpr *e) {
  if (e->kind != SQL_EXPR_COLUMN || e->table || select->is_values) return -1;
  for (int i = 0; i < select->nexpanded; i++) {
    const char *alias = bind_alias(&select->expanded[i]);
    if (alias && sql_same_name(alias, e->name)) return i;
  }
  return -1;
}

static bool bind_term(Binder *binder, Scope *scope, SqlExpr *e, const char *clause, int term) {
  SqlExpr *inner = skip_collate(e);
  const SqlSelect *select = scope->select;
  long position;
  if (bind_position(inner, &position)) {
    bool fits = position >= 1 && position <= select->nexpanded;
    return fits ? true : fail_range(binder, inner, clause, term, select->nexpanded);
  }
  return bind_expr(binder, scope, e);
}

bool bind_order(Binder *binder, Scope *scope, SqlOrder *order, int n) {
  if (n > SQL_MAX_COLUMNS) {
    return bind_fail(binder, order[0].expr->span, "too many terms in ORDER BY clause");
  }
  for (int i = 0; i < n; i++) {
    SqlExpr *inner = skip_collate(order[i].expr);
    int alias = find_alias(scope->select, inner);
    if (alias >= 0) {
      const SqlResult *result = &scope->select->expanded[alias];
      if (bind_size(result->expr) != 1) {
        return bind_fail(binder, inner->span, "row value misused");
      }
      inner->alias_of = result->expr;
      if (scope->result_flags[alias] & RESULT_AGGREGATE) scope->has_aggregate = true;
    } else if (!bind_term(binder, scope, order[i].expr, "ORDER", i)) {
      return false;
    }
  }
  return true;
}

static SqlWalk find_window_call(void *ctx, SqlExpr *e) {
  if (e->kind != SQL_EXPR_FUNCTION || !e->over) return SQL_WALK_ON;
  *(const char **)ctx = e->name;
  return SQL_WALK_STOP;
}

static const char *window_name(SqlExpr *e) {
  const char *name = "";
  SqlVisitor visitor = {&name, find_window_call, NULL, NULL};
  sql_walk_expr(e, &visitor);
  return name;
}

bool bind_group(Binder *binder, Scope *scope, SqlExpr **group, int n) {
  if (n > SQL_MAX_COLUMNS) {
    return bind_fail(binder, group[0]->span, "too many terms in GROUP BY clause");
  }
  for (int i = 0; i < n; i++) {
    long position = 0;
    scope->has_aggregate = false;
    scope->grouping = true;
    bool ok = bind_term(binder, scope, group[i], "GROUP", i);
    scope->grouping = false;
    if (!ok) return false;
    bool place = bind_position(skip_collate(group[i]), &position);
    if (place && (scope->result_flags[position - 1] & RESULT_WINDOW)) {
      return bind_fail(binder, group[i]->span, "misuse of window function %s()",
                       window_name(scope->select->expanded[position - 1].expr));
    }
    SqlExpr *meant = place ? scope->select->expanded[position - 1].expr : group[i];
    if (meant->kind == SQL_EXPR_COLUMN && meant->alias_of) meant = meant->alias_of;
    long again;
    /* With windows SQLite rewrites the query and takes a number for a position once more. */
    if (scope->uses_windows && skip_hints(meant) != skip_collate(group[i]) &&
        bind_position(skip_hints(meant), &again)) {
      return fail_range(binder, group[i], "GROUP", i, scope->select->nexpanded);
    }
    if (scope->has_aggregate || (place && (scope->result_flags[position - 1] & RESULT_AGGREGATE))) {
      return bind_fail(binder, group[i]->span,
                       "aggregate functions are not allowed in the GROUP BY clause");
    }
  }
  return true;
}

/* ---- compounds */

/* True when e, as this arm understands it, is one of its results; e is then bound there. */
static bool matches_result(Binder *binder, SqlSelect *arm, SqlExpr *e) {
  Scope scope = {.select = arm,
                 .from = arm->from,
                 .from_visible = true,
                 .allow_aggregate = true,
                 .lands = true,
                 .on_index = -1};
  SqlExpr *copy = sql_copy_expr(binder->arena, e);
  if (!copy) return bind_oom(binder);
  binder->quiet++;
  bool ok = bind_values(binder, &scope, copy);
  binder->quiet--;
  for (int i = 0; ok && i < arm->nexpanded; i++) {
    if (sql_expr_equal(skip_collate(arm->expanded[i].expr), copy)) {
      binder->quiet++;
      bind_values(binder, &scope, e);
      binder->quiet--;
      return true;
    }
  }
  return false;
}

static bool match_term(Binder *binder, SqlSelect *select, SqlExpr *e, int term) {
  long position;
  int width = sql_width(select);
  if (bind_position(e, &position)) {
    return position >= 1 && position <= width ? true : fail_range(binder, e, "ORDER", term, width);
  }
  for (SqlSelect *arm = select; arm; arm = arm->next) {
    int alias = find_alias(arm, e);
    if (alias >= 0) {
      e->alias_of = select->is_values ? NULL : sql_result(select, alias)->expr;
      return true;
    }
    if (!arm->is_values && matches_result(binder, arm, e)) return true;
    if (binder->oom) return false;
  }
  return fail_range(binder, e, "ORDER", term, -1);
}

bool bind_compound_order(Binder *binder, SqlSelect *select) {
  binder->text = select->text;
  if (select->norder > SQL_MAX_COLUMNS) {
    return bind_fail(binder, select->order[0].expr->span, "too many terms in ORDER BY clause");
  }
  for (int i = 0; i < select->norder; i++) {
    if (!match_term(binder, select, skip_collate(select->order[i].expr), i)) return false;
  }
  return true;
}
