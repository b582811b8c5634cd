/*
** weave: policies are views, a solver fills the decided columns. Functions and entry point.
**
**   CREATE VIRTUAL TABLE sched USING weave(
**     DECIDE pod.node IN (SELECT name FROM node) OPTIONAL WHERE status = 'Pending',
**     RULES (r_capacity, r_anti, o_place 1, o_balance 2), LIMIT 1.0);
**   SELECT weave_solve('sched');
**   SELECT weave_apply('sched');
*/
#include <math.h>
#include <string.h>

#include "extensions/weave/weave.h"

/* The model named by the argument, busy and held until release_table(). */
static WeaveTab *argument_table(sqlite3_context *ctx, sqlite3_value *value, sqlite3_stmt **hold) {
  Fault fault = {0};
  const char *name = func_text(ctx, value, NULL);
  if (!name) return NULL;
  WeaveTab *tab = weave_hold(vt_db(vt_conn(ctx)), vt_state(vt_conn(ctx)), name, hold, &fault);
  if (!tab) {
    func_fault(ctx, &fault);
  } else if (tab->busy) {
    func_fail(ctx, SQLITE_BUSY, "\"%s\" is being solved by the statement that calls this", name);
    weave_release(tab, *hold);
    tab = NULL;
  } else {
    tab->busy = true;
  }
  return tab;
}

static void release_table(WeaveTab *tab, sqlite3_stmt *hold) {
  tab->busy = false;
  weave_release(tab, hold);
}

static void add_numbers(Text *json, const char *key, const Solution *solution, char which) {
  text_addf(json, ",\"%s\":[", key);
  for (size_t i = 0; i < solution->nlevels; i++) {
    double number = which == 'o'   ? solution->objective[i]
                    : which == 'b' ? solution->bound[i]
                                   : solution_gap(solution, i);
    if (i) text_addc(json, ',');
    if (isfinite(number)) {
      text_add_real(json, number);
    } else {
      text_add(json, "null");
    }
  }
  text_addc(json, ']');
}

static void result_solution(sqlite3_context *ctx, const Solution *solution) {
  Text json = {0};
  text_addf(&json, "{\"status\":\"%s\"", solve_status_name(solution->status));
  add_numbers(&json, "objective", solution, 'o');
  add_numbers(&json, "bound", solution, 'b');
  add_numbers(&json, "gap", solution, 'g');
  text_addf(&json, ",\"changes\":%zu,\"seconds\":", solution->nchanges);
  text_add_real(&json, round(solution->seconds * 1000) / 1000);
  text_addc(&json, '}');
  vt_result_text(ctx, &json, true);
  text_finish(&json);
}

static void weave_solve(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  VtConn *conn = vt_conn(ctx);
  Fault fault = {0};
  SolveRequest request;
  sqlite3_stmt *hold;
  const char *options = NULL;
  if (argc > 1 && sqlite3_value_type(argv[1]) != SQLITE_NULL) {
    options = func_text(ctx, argv[1], NULL);
    if (!options) return;
  }
  WeaveTab *tab = argument_table(ctx, argv[0], &hold);
  if (!tab) return;
  VtPoll poll = vt_poll_begin(conn);
  Stop stop = {.asked = vt_asked, .ctx = &poll};
  vt_internal_enter(conn);
  bool ok = request_parse(vt_db(conn), options, &tab->declaration, &request, &fault) &&
            weave_run(tab, &request, &stop, &fault);
  vt_internal_leave(conn);
  vt_poll_end(&poll);
  if (ok) {
    result_solution(ctx, &tab->solution);
  } else {
    func_fault(ctx, &fault);
  }
  release_table(tab, hold);
}

static bool can_apply(const WeaveTab *tab, Fault *fault) {
  const Solution *solution = &tab->solution;
  if (!solution->solved) {
    return fault_set(fault, FAULT_INVALID, "\"%s\" has not been solved in this connection",
                     tab->declaration.name);
  }
  if (solution->status == SOLVE_OPTIMAL || solution->status == SOLVE_FEASIBLE) return true;
  return fault_set(fault, FAULT_INVALID,
                   "the last solve of \"%s\" was %s: there is nothing to apply",
                   tab->declaration.name, solve_status_name(solution->status));
}

static void weave_apply(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  VtConn *conn = vt_conn(ctx);
  Fault fault = {0};
  sqlite3_stmt *hold;
  WeaveTab *tab = argument_table(ctx, argv[0], &hold);
  if (!tab) return;
  vt_internal_enter(conn);
  bool ok = can_apply(tab, &fault) && apply_changes(vt_db(conn), tab, &fault);
  vt_internal_leave(conn);
  if (ok) {
    sqlite3_result_int64(ctx, (sqlite3_int64)tab->solution.nchanges);
  } else {
    func_fault(ctx, &fault);
  }
  release_table(tab, hold);
}

/* ---- the extension -------------------------------------------------------------------------- */

static const VtArgument solve_arguments[] = {
    {"model", "TEXT", NULL, "name of a table made by USING weave"},
    {"options", "TEXT (JSON)", "{}",
     "limit: seconds (default: LIMIT of the table, else 10); gap: relative gap that counts as "
     "optimal (0 where the goal counts in whole numbers or binary fractions, else 1e-6); seed: an "
     "integer, same seed, same answer (0); progress: name of an SQL function called with "
     "(phase, seconds, objective, bound), which ends the search by returning 1"},
    {0}};

static const VtArgument apply_arguments[] = {
    {"model", "TEXT", NULL, "name of a table made by USING weave"}, {0}};

static const VtError solve_errors[] = {
    {"no weave table is called \"x\"",
     "the name is wrong, or the table is of another connection's temp",
     "CREATE VIRTUAL TABLE x USING weave(…)"},
    {"view v, column must: … is not supported (at \"…\", line n, column n)",
     "a construct over several decisions that is not linear",
     "rewrite it, or compute it from the data alone"},
    {"another connection has written to the database while it was solved",
     "the answer does not fit the database as it is now", "solve again, or within BEGIN IMMEDIATE"},
    {"unknown option \"x\"; there are limit, gap, seed, progress", "second argument",
     "use one of these"},
    {0}};

static const VtError apply_errors[] = {
    {"\"x\" has not been solved in this connection", "weave_solve() did not run here",
     "SELECT weave_solve('x') first"},
    {"t.c of row r is no longer what it was when it was solved", "somebody changed the cell since",
     "solve again"},
    {"rule r no longer holds for the answer", "data or rules changed since", "solve again"},
    {"goals of priority n are x, no longer y", "data or rules changed since", "solve again"},
    {"t.c of row r does not keep its value: a trigger changes it", "a trigger writes the same cell",
     "decide what the trigger does in rules"},
    {0}};

static const VtFunction functions[] = {
    {.name = "weave_solve",
     .args = "model [, options]",
     .nargs = 1,
     .optional = 1,
     .flags = VT_EFFECT | VT_JSON,
     .returns = "TEXT (JSON)",
     .scalar = weave_solve,
     .doc = "Solves a model and keeps the answer as the rows of its table; changes nothing else.",
     .arguments = solve_arguments,
     .errors = solve_errors},
    {.name = "weave_apply",
     .args = "model",
     .nargs = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Writes the answer of the last solve, all or nothing, checked again by the rules; "
            "returns the number of cells changed.",
     .scalar = weave_apply,
     .arguments = apply_arguments,
     .errors = apply_errors},
};

static const VtTable *const tables[] = {&weave_table, &weave_status_table, &weave_explain_table,
                                        &weave_whynot_table, &weave_relation_table};

static void debug_members(Text *json) { text_addf(json, ",\"solver\":\"%s\"", solver_backend()); }

static const VtExtension extension = {
    .name = "weave",
    .version = VT_VERSION,
    .doc = "Placement and scheduling policies as views; a solver fills the decision columns.",
    .tables = tables,
    .ntables = countof(tables),
    .functions = functions,
    .nfunctions = countof(functions),
    .state_size = sizeof(WeaveState),
    .close = weave_state_close,
    .debug = debug_members,
    .permanent = true,
};

VT_EXPORT int sqlite3_weave_init(sqlite3 *db, char **err, const sqlite3_api_routines *api);

int sqlite3_weave_init(sqlite3 *db, char **err, const sqlite3_api_routines *api) {
  return vt_load(db, err, api, &extension);
}
