/*
** Walking trees: see sql.h. Recursion is bounded by SQL_MAX_DEPTH and SQL_MAX_NESTED_SELECTS, which
** the parser enforces; long chains (arms, sources, rows) are loops.
*/
#include "sql/sql.h"

static bool walk_exprs(SqlExpr **list, int n, const SqlVisitor *visitor) {
  for (int i = 0; i < n; i++) {
    if (!sql_walk_expr(list[i], visitor)) return false;
  }
  return true;
}

static bool walk_orders(SqlOrder *list, int n, const SqlVisitor *visitor) {
  for (int i = 0; i < n; i++) {
    if (!sql_walk_expr(list[i].expr, visitor)) return false;
  }
  return true;
}

static bool walk_window(SqlWindow *window, const SqlVisitor *visitor) {
  return walk_exprs(window->partition, window->npartition, visitor) &&
         walk_orders(window->order, window->norder, visitor) &&
         sql_walk_expr(window->start_expr, visitor) && sql_walk_expr(window->end_expr, visitor);
}

static bool walk_sources(SqlSource *source, const SqlVisitor *visitor) {
  for (; source; source = source->next) {
    SqlWalk verdict = visitor->source ? visitor->source(visitor->ctx, source) : SQL_WALK_ON;
    if (verdict == SQL_WALK_STOP) return false;
    if (verdict == SQL_WALK_SKIP) continue;
    if (!walk_exprs(source->args, source->nargs, visitor) ||
        !sql_walk_select(source->select, visitor) || !walk_sources(source->first, visitor) ||
        !sql_walk_expr(source->on, visitor)) {
      return false;
    }
  }
  return true;
}

bool sql_walk_expr(SqlExpr *expr, const SqlVisitor *visitor) {
  if (!expr) return true;
  SqlWalk verdict = visitor->expr ? visitor->expr(visitor->ctx, expr) : SQL_WALK_ON;
  if (verdict != SQL_WALK_ON) return verdict == SQL_WALK_SKIP;
  return walk_exprs(expr->args, expr->nargs, visitor) && sql_walk_expr(expr->filter, visitor) &&
         (!expr->over || walk_window(expr->over, visitor)) &&
         sql_walk_select(expr->select, visitor) && walk_sources(expr->source, visitor);
}

static bool walk_with(SqlWith *with, const SqlVisitor *visitor) {
  for (int i = 0; with && i < with->nctes; i++) {
    if (!sql_walk_select(with->ctes[i].select, visitor)) return false;
  }
  return true;
}

static bool walk_arm(SqlSelect *select, const SqlVisitor *visitor) {
  if (!walk_with(select->with, visitor)) return false;
  for (int i = 0; i < select->nresults; i++) {
    if (!sql_walk_expr(select->results[i].expr, visitor)) return false;
  }
  if (!walk_exprs(select->rows, select->nrows, visitor) || !walk_sources(select->from, visitor) ||
      !sql_walk_expr(select->where, visitor) ||
      !walk_exprs(select->group, select->ngroup, visitor) ||
      !sql_walk_expr(select->having, visitor)) {
    return false;
  }
  for (int i = 0; i < select->nwindows; i++) {
    if (!walk_window(&select->windows[i], visitor)) return false;
  }
  return walk_orders(select->order, select->norder, visitor) &&
         sql_walk_expr(select->limit, visitor) && sql_walk_expr(select->offset, visitor);
}

bool sql_walk_select(SqlSelect *select, const SqlVisitor *visitor) {
  for (; select; select = select->next) {
    SqlWalk verdict = visitor->select ? visitor->select(visitor->ctx, select) : SQL_WALK_ON;
    if (verdict == SQL_WALK_STOP) return false;
    if (verdict == SQL_WALK_ON && !walk_arm(select, visitor)) return false;
  }
  return true;
}
