/*
** Binding function calls: scalars, aggregates and where they are computed, windows. See bind.h.
*/
#include <string.h>

#include "base/text.h"
#include "sql/bind.h"

static SqlFunctionKind look_up(const Binder *binder, const char *name, int nargs) {
  const SqlSchema *schema = binder->schema;
  return schema->function ? schema->function(schema->ctx, name, nargs)
                          : sql_builtin_function(name, nargs);
}

static bool fail_call(Binder *binder, const SqlExpr *e, SqlFunctionKind kind, const char *name) {
  if (kind == SQL_FUNCTION_NONE) return bind_fail(binder, e->span, "no such function: %s", name);
  return bind_fail(binder, e->span, "wrong number of arguments to function %s()", name);
}

bool bind_operator_function(Binder *binder, SqlExpr *e, const char *name, int nargs) {
  SqlFunctionKind kind = look_up(binder, name, nargs);
  bool known = kind != SQL_FUNCTION_NONE && kind != SQL_FUNCTION_WRONG_ARGS;
  return known || fail_call(binder, e, kind, name);
}

/* ---- aggregates */

/* An aggregate is computed in the innermost SELECT whose columns its arguments use; its own when
** they use none. */
static bool place_aggregate(Binder *binder, Scope *scope, SqlExpr *e, int depth) {
  e->aggregate_depth = depth > 0 ? depth : 0;
  Scope *home = scope;
  for (; depth > 0; depth--) {
    if (home->select) home->select->is_correlated = true;
    bool walled = home->walled;
    home = home->outer;
    /* SQLite does not find it again below a FROM clause. */
    if (walled || (depth > 1 && !home->from_visible)) {
      return bind_fail(binder, e->span, "misuse of aggregate: %s()", e->name);
    }
  }
  if (home->grouping) {
    return bind_fail(binder, e->span, "aggregate functions are not allowed in the GROUP BY clause");
  }
  if (!home->lands || (depth < 0 && scope->in_rows)) {
    return bind_fail(binder, e->span, "misuse of aggregate: %s()", e->name);
  }
  home->has_aggregate = true;
  if (!home->in_window) home->plain = true;
  if (home != scope || scope->in_rows) home->remote = e;
  if (e->distinct && e->nargs != 1) {
    return bind_fail(binder, e->span, "DISTINCT aggregates must have exactly one argument");
  }
  return true;
}

static bool bind_aggregate(Binder *binder, Scope *scope, SqlExpr *e) {
  bool aggregates = scope->allow_aggregate, windows = scope->allow_window, lands = scope->lands;
  Tracker tracker = {binder->trackers, scope, -1};
  e->is_aggregate = true;
  scope->allow_aggregate = scope->allow_window = scope->lands = false;
  binder->trackers = &tracker;
  bool ok = bind_exprs(binder, scope, e->args, e->nargs) && bind_expr(binder, scope, e->filter);
  binder->trackers = tracker.outer;
  scope->allow_aggregate = aggregates;
  scope->allow_window = windows;
  scope->lands = lands;
  return ok && place_aggregate(binder, scope, e, tracker.depth);
}

/* ---- windows */

static SqlWindow *find_window(const SqlSelect *select, int n, const char *name) {
  for (int i = n - 1; select && i >= 0; i--) { /* the last of two wins */
    if (sql_same_name(select->windows[i].name, name)) return &select->windows[i];
  }
  return NULL;
}

/* What a window may add to the one it is based on. */
static bool extend_window(Binder *binder, const SqlWindow *window, const SqlSelect *select, int n,
                          SqlWindow **base) {
  *base = NULL;
  if (!window->base) return true;
  *base = find_window(select, n, window->base);
  if (!*base) return bind_fail(binder, window->span, "no such window: %s", window->base);
  if (window->base_only) return true;
  const char *clause = NULL;
  if (window->npartition) {
    clause = "PARTITION clause";
  } else if (window->norder) {
    for (const SqlWindow *w = *base; w && !clause; w = find_window(select, n, w->base)) {
      if (w->norder) clause = "ORDER BY clause";
      if (!w->base) break;
    }
  }
  if (!clause && (*base)->unit != SQL_FRAME_NONE) clause = "frame specification";
  return !clause ||
         bind_fail(binder, window->span, "cannot override %s of window: %s", clause, window->base);
}

bool bind_window_definitions(Binder *binder, const SqlSelect *select) {
  for (int i = 0; i < select->nwindows; i++) {
    SqlWindow *base;
    if (!extend_window(binder, &select->windows[i], select, i, &base)) return false;
  }
  return true;
}

/* SQLite looks at the tables of sub-selects in every definition, but at names only in those used.
 */
bool bind_unused_windows(Binder *binder, SqlSelect *select) {
  for (int i = 0; i < select->nwindows; i++) {
    const SqlWindow *window = &select->windows[i];
    if (window->bound) continue;
    for (int j = 0; j < window->npartition; j++) {
      if (!bind_tables(binder, window->partition[j])) return false;
    }
    for (int j = 0; j < window->norder; j++) {
      if (!bind_tables(binder, window->order[j].expr)) return false;
    }
  }
  return true;
}

static int count_order(const SqlWindow *window, const SqlSelect *select, int n) {
  while (!window->norder && window->base) window = find_window(select, n, window->base);
  return window->norder;
}

/* A definition is bound when it is first used, its base before it. The offsets of a frame are not:
** to SQLite a name in them is NULL. */
static bool bind_window(Binder *binder, Scope *scope, SqlWindow *window, int n) {
  SqlWindow *base;
  if (!extend_window(binder, window, scope->select, n, &base)) return false;
  if (base && !base->bound) {
    int before = (int)(base - scope->select->windows);
    if (!bind_window(binder, scope, base, before)) return false;
    base->bound = true;
  }
  const SqlWindow *frame = window->base_only ? base : window;
  bool offset = frame->start_expr || frame->end_expr;
  if (offset && frame->unit == SQL_FRAME_RANGE && count_order(frame, scope->select, n) != 1) {
    return bind_fail(binder, window->span,
                     "RANGE with offset PRECEDING/FOLLOWING requires one ORDER BY expression");
  }
  if (!bind_exprs(binder, scope, window->partition, window->npartition)) return false;
  for (int i = 0; i < window->norder; i++) {
    if (!bind_expr(binder, scope, window->order[i].expr)) return false;
  }
  return true;
}

static bool bind_over(Binder *binder, Scope *scope, SqlExpr *e, SqlFunctionKind kind) {
  bool windows = scope->allow_window, in_window = scope->in_window;
  scope->allow_window = false;
  scope->in_window = scope->uses_windows = true;
  int n = scope->select && !scope->in_rows ? scope->select->nwindows : 0;
  bool ok = bind_exprs(binder, scope, e->args, e->nargs) &&
            bind_window(binder, scope, e->over, n) && bind_expr(binder, scope, e->filter);
  scope->allow_window = windows;
  scope->in_window = in_window;
  if (!ok) return false;
  if (kind == SQL_FUNCTION_WINDOW && e->filter) {
    return bind_fail(binder, e->span,
                     "FILTER clause may only be used with aggregate window functions");
  }
  scope->has_window = true;
  return true;
}

/* ---- calls */

/* likelihood(x, p): p must be written as a number between 0.0 and 1.0. */
static bool check_likelihood(Binder *binder, const SqlExpr *e) {
  if (e->nargs != 2 || !sql_same_name(e->name, "likelihood")) return true;
  const SqlExpr *p = e->args[1];
  if (p->kind == SQL_EXPR_REAL && text_read_real(p->text, NULL) <= 1.0) return true;
  return bind_fail(binder, e->span,
                   "second argument to %s() must be a constant between 0.0 and 1.0", e->name);
}

bool bind_call(Binder *binder, Scope *scope, SqlExpr *e) {
  SqlFunctionKind kind = look_up(binder, e->name, e->nargs);
  bool known = kind != SQL_FUNCTION_NONE && kind != SQL_FUNCTION_WRONG_ARGS;
  bool aggregate = kind == SQL_FUNCTION_AGGREGATE || kind == SQL_FUNCTION_WINDOW;
  if (known && !check_likelihood(binder, e)) return false;
  if (known && e->over && !aggregate) {
    return bind_fail(binder, e->span, "%s() may not be used as a window function", e->name);
  }
  bool misused =
      aggregate && (!scope->allow_aggregate || (kind == SQL_FUNCTION_WINDOW && !e->over) ||
                    (e->over && !scope->allow_window));
  if (misused) {
    bool window = kind == SQL_FUNCTION_WINDOW || e->over;
    return bind_fail(binder, e->span, "misuse of %s function %s()", window ? "window" : "aggregate",
                     e->name);
  }
  if (!known) return fail_call(binder, e, kind, e->name);
  if (!aggregate && e->filter) {
    return bind_fail(binder, e->span, "FILTER may not be used with non-aggregate %s()", e->name);
  }
  if (e->over) return bind_over(binder, scope, e, kind);
  if (aggregate) return bind_aggregate(binder, scope, e);
  return bind_exprs(binder, scope, e->args, e->nargs);
}
