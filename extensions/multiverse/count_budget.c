/*
** multiverse_budget: what counts with noise have spent.
**
**   SELECT tbl, epsilon, spent, budget FROM multiverse_budget;
**
** A line for each tally that ever was: making a rule anew is new noise about the same rows, so the
** epsilons of a table add up, and dropping a rule gives none of it back.
*/
#include "extensions/multiverse/count.h"
#include "extensions/multiverse/lines.h"

enum {
  BUDGET_TBL,
  BUDGET_RULE,
  BUDGET_UNIT,
  BUDGET_MOST,
  BUDGET_EPSILON,
  BUDGET_SPENT,
  BUDGET_BUDGET,
  BUDGET_WRITES,
  BUDGET_NCOL
};

static const char sql[] =
    "SELECT tbl, secret IS NOT NULL, unit, max_per_unit, epsilon, sum(epsilon) OVER (PARTITION BY "
    "tbl ORDER BY id), coalesce(budget, (SELECT b.budget FROM main._multiverse_tallies AS b WHERE "
    "b.tbl = t.tbl AND b.id < t.id AND b.budget IS NOT NULL ORDER BY b.id DESC LIMIT 1)), (SELECT "
    "max(tick) FROM main._multiverse_ticks WHERE tally = t.id), (SELECT r.id FROM "
    "main._multiverse_rules AS r WHERE r.\"action\" = 'count' AND t.tbl = r.tbl AND r.rule = "
    "t.rule "
    "AND r.col IS t.col AND r.value = t.value) FROM main._multiverse_tallies AS t ORDER BY tbl, id";

enum { KEPT = 1, WRITES = 7, RULE = 8 };

static Cell epsilon(sqlite3_stmt *rows, int column) {
  if (sqlite3_column_type(rows, column) == SQLITE_NULL) return (Cell){0};
  return line_real((double)sqlite3_column_int64(rows, column) / (double)EPSILON_ONE);
}

static bool tell(LinesCursor *lines, sqlite3_stmt *rows, Fault *fault) {
  const bool is_kept = sqlite3_column_int(rows, KEPT);
  const Cell cells[BUDGET_NCOL] = {
      [BUDGET_TBL] = line_text(query_text(rows, 0)),
      [BUDGET_RULE] = is_kept ? line_integer(sqlite3_column_int64(rows, RULE)) : (Cell){0},
      [BUDGET_UNIT] = line_text(query_text(rows, 2)),
      [BUDGET_MOST] = line_integer(sqlite3_column_int64(rows, 3)),
      [BUDGET_EPSILON] = epsilon(rows, 4),
      [BUDGET_SPENT] = epsilon(rows, 5),
      [BUDGET_BUDGET] = epsilon(rows, 6),
      [BUDGET_WRITES] = is_kept ? line_integer(sqlite3_column_int64(rows, WRITES)) : (Cell){0}};
  return lines_add(lines, cells, fault);
}

static bool list(LinesCursor *lines, sqlite3 *db, Fault *fault) {
  sqlite3_stmt *any = query_prepare(
      db, "SELECT 1 FROM main.sqlite_schema WHERE name = '_multiverse_tallies'", fault);
  int step = any ? query_step(any, fault) : -1;
  query_finish(any);
  if (step != 1) return step == 0;
  sqlite3_stmt *rows = query_prepare(db, sql, fault);
  step = -1;
  while (rows && (step = query_step(rows, fault)) == 1) {
    if (tell(lines, rows, fault)) continue;
    step = -1;
    break;
  }
  query_finish(rows);
  return step == 0;
}

static int budget_seek(VtCursor *cur, const VtPlan *plan) {
  (void)plan;
  LinesCursor *lines = (LinesCursor *)cur;
  Fault fault = {0};
  lines_begin(lines, BUDGET_NCOL);
  vt_internal_enter(cur->tab->conn);
  if (state_is_admin(vt_state(cur->tab->conn), &fault)) list(lines, cur->tab->db, &fault);
  vt_internal_leave(cur->tab->conn);
  return lines_show(lines, &fault);
}

static const VtColumn columns[] = {
    [BUDGET_TBL] = {"tbl", "TEXT", VT_OUT, 1, "table that is or was counted"},
    [BUDGET_RULE] = {"rule", "INTEGER", VT_OUT, 0, "id of the rule; NULL: there is none any more"},
    [BUDGET_UNIT] = {"unit", "TEXT", VT_OUT, 0, "column that tells whom the noise protects"},
    [BUDGET_MOST] = {"max_per_unit", "INTEGER", VT_OUT, 0, "rows of a unit that are ever counted"},
    [BUDGET_EPSILON] = {"epsilon", "REAL", VT_OUT, 0, "that the rule has spent, once and for all"},
    [BUDGET_SPENT] = {"spent", "REAL", VT_OUT, 0,
                      "on the table up to here; a unit is protected by this sum"},
    [BUDGET_BUDGET] = {"budget", "REAL", VT_OUT, 0, "that spent may not pass; NULL: none is given"},
    [BUDGET_WRITES] = {"writes", "INTEGER", VT_OUT, 0,
                       "to the table, and 1 for what was there before: the public clock"}};

const VtTable multiverse_budget_table = {
    .name = "multiverse_budget",
    .doc = "What counts with noise have spent of each table's privacy.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = columns,
    .ncols = BUDGET_NCOL,
    .rows = 10,
    .cursor_size = sizeof(LinesCursor),
    .seek = budget_seek,
    .step = lines_step,
    .column = lines_column,
    .done = lines_done,
};
