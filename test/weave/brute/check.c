/*
** The extension's answer against the oracle's: see check.h.
*/
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "test/weave/brute/check.h"

bool check_wrong(Check *check, const char *format, ...) {
  va_list args;
  va_start(args, format);
  sqlite3_free(check->message);
  check->message = sqlite3_vmprintf(format, args);
  va_end(args);
  return false;
}

static bool open_engine(Check *check, const char *extension) {
  char *script = case_script(check->c), *error = NULL;
  bool ok = sqlite3_open(":memory:", &check->db) == SQLITE_OK &&
            sqlite3_enable_load_extension(check->db, 1) == SQLITE_OK &&
            sqlite3_load_extension(check->db, extension, NULL, &error) == SQLITE_OK &&
            sqlite3_exec(check->db, script, NULL, NULL, &error) == SQLITE_OK;
  if (!ok) check_wrong(check, "set-up: %s", error ? error : sqlite3_errmsg(check->db));
  sqlite3_free(error);
  sqlite3_free(script);
  return ok;
}

/* ---- a refusal ------------------------------------------------------------------------------ */

/* What may be refused, by the beginning of what is said about it. Everything else that the grammar
** makes has to be understood. */
static const char *const refusals[] = {
    "the product of two expressions that both depend on decisions",
    "avg() over a number of rows that depends on decisions can only be",
    "% of a REAL that depends on decisions",
    "dividing a number that is INTEGER or REAL depending on decisions",
    "comparing a number that depends on decisions with text",
    "text, or a number that depends on decisions",
    "DISTINCT over values that are computed from several decisions",
    "min() or max() of text that depends on decisions",
    "RIGHT JOIN over decisions is not supported",
    "LEFT JOIN with a decision that has a range of numbers",
    "SELECT DISTINCT of rows that depend on decisions is not supported",
    "UNION of rows that depend on decisions is not supported",
    "LIMIT over rows that depend on decisions is not supported",
    "the window function count() over decisions is not supported",
    "the aggregate group_concat() over decisions is not supported",
    "IN (SELECT …) over decisions, with a left side that is a row value",
    "dividing by an expression that depends on decisions is not linear",
    "this sub-select may have several rows, and which one counts would depend on decisions",
    "CAST of a value that depends on decisions to INTEGER",
    "beyond 2^53, the largest the solver computes exactly",
    NULL};

static bool names_a_view(const Check *check, const char *message) {
  static const char *const helpers[] = {"load", "placed", "flat", "busy"};
  char name[32];
  for (int i = 0; i < check->c->nrules; i++) {
    sqlite3_snprintf(sizeof name, name, "view %s", check->c->rules[i].name);
    if (strstr(message, name)) return true;
  }
  for (size_t i = 0; i < sizeof helpers / sizeof *helpers; i++) {
    sqlite3_snprintf(sizeof name, name, "view %s", helpers[i]);
    if (strstr(message, name)) return true;
  }
  return strstr(message, "CHECK pod") || strstr(message, "UNIQUE pod");
}

static Verdict judge_refusal(Check *check) {
  const char *message = sqlite3_errmsg(check->db);
  int rc = sqlite3_extended_errcode(check->db);
  if (strstr(message, "has no candidate value") && check->oracle.nassignments == 0) {
    return CASE_INFEASIBLE;
  }
  if (rc != SQLITE_ERROR) {
    check_wrong(check, "refused with code %d: %s", rc, message);
    return CASE_WRONG;
  }
  if (!names_a_view(check, message) || !strstr(message, " (at \"")) {
    check_wrong(check, "refused without a view and a place: %s", message);
    return CASE_WRONG;
  }
  for (int i = 0; refusals[i]; i++) {
    if (!strstr(message, refusals[i])) continue;
    check_wrong(check, "%s", message);
    return CASE_REFUSED;
  }
  check_wrong(check, "refused, which it should not: %s", message);
  return CASE_WRONG;
}

/* ---- an answer ------------------------------------------------------------------------------ */

static bool check_objective(Check *check, const char *json) {
  const Oracle *oracle = &check->oracle;
  double goals[MAX_LEVELS] = {0};
  sqlite3_stmt *each = NULL;
  sqlite3_prepare_v2(check->db, "SELECT value FROM json_each(?1, '$.objective')", -1, &each, NULL);
  sqlite3_bind_text(each, 1, json, -1, SQLITE_STATIC);
  int n = 0;
  while (sqlite3_step(each) == SQLITE_ROW) {
    if (n < MAX_LEVELS) goals[n] = sqlite3_column_double(each, 0);
    n++;
  }
  sqlite3_finalize(each);
  if (n != oracle->nlevels) {
    return check_wrong(check, "%d objectives, expected %d", n, oracle->nlevels);
  }
  for (int l = 0; l < n; l++) {
    double best = oracle->goals[oracle->best][l];
    bool sure;
    int order = oracle_order(oracle, l, goals[l], best, &sure);
    if (order == 0) continue;
    if (!sure) break; /* what comes after depends on whether these are taken for equal */
    return check_wrong(check, "goals of level %d: %.17g, the best is %.17g", l + 1, goals[l], best);
  }
  return !oracle_beaten(oracle, goals) ||
         check_wrong(check, "goals of level 1: %.17g, which another assignment beats", goals[0]);
}

static int query_int(Check *check, const char *sql) {
  sqlite3_stmt *query = NULL;
  int result = -1;
  if (sqlite3_prepare_v2(check->db, sql, -1, &query, NULL) == SQLITE_OK &&
      sqlite3_step(query) == SQLITE_ROW) {
    result = sqlite3_column_int(query, 0);
  }
  if (sqlite3_finalize(query) != SQLITE_OK) result = -1;
  return result;
}

/* The assignment that now stands in the engine's tables; -1: a value that is no candidate. */
static int read_assignment(Check *check) {
  const Oracle *oracle = &check->oracle;
  int assignment = 0, weight = 1;
  for (int i = 0; i < oracle->ncells; i++) {
    const OracleCell *cell = &oracle->cells[i];
    char *sql = sqlite3_mprintf("SELECT %s FROM %s WHERE id = ?1", cell->decide->column,
                                cell->decide->table);
    sqlite3_stmt *read = NULL;
    int digit = -1;
    sqlite3_prepare_v2(check->db, sql, -1, &read, NULL);
    sqlite3_bind_value(read, 1, cell->id);
    if (sqlite3_step(read) == SQLITE_ROW) digit = oracle_digit(cell, sqlite3_column_value(read, 0));
    sqlite3_finalize(read);
    sqlite3_free(sql);
    if (digit < 0) return -1;
    assignment += weight * digit;
    weight *= cell->count;
  }
  return assignment;
}

/* Apply, then look at the tables: an optimal assignment must stand there, and nothing else be new.
 */
static bool check_apply(Check *check) {
  const Oracle *oracle = &check->oracle;
  int proposed = query_int(check, "SELECT count(*) FROM m");
  int written = query_int(check, "SELECT weave_apply('m')");
  if (written < 0) return check_wrong(check, "apply: %s", sqlite3_errmsg(check->db));
  if (proposed != written) return check_wrong(check, "%d proposed, %d written", proposed, written);
  int at = read_assignment(check);
  if (at < 0) return check_wrong(check, "a value was written that is no candidate");
  if (!oracle->feasible[at]) return check_wrong(check, "applied, and a rule is broken");
  bool sure;
  if (oracle_compare(oracle, oracle->goals[at], oracle->goals[oracle->best], NULL, &sure) && sure) {
    return check_wrong(check, "applied, and the goals are not the best");
  }
  return true;
}

static bool check_infeasible(Check *check) {
  if (check->oracle.best < 0) return true;
  return check_wrong(check, "infeasible, but assignment %d is feasible", check->oracle.best);
}

static Verdict judge_answer(Check *check, const char *json) {
  bool feasible = check->oracle.best >= 0;
  if (strstr(json, "\"status\":\"infeasible\"")) {
    bool ok = check_infeasible(check) && check_explain(check);
    return ok ? CASE_INFEASIBLE : CASE_WRONG;
  }
  if (!feasible || !strstr(json, "\"status\":\"optimal\"")) {
    check_wrong(check, "%s, expected %s", json, feasible ? "optimal" : "infeasible");
    return CASE_WRONG;
  }
  bool ok = check_objective(check, json) && check_whynot(check) && check_apply(check);
  return ok ? CASE_OPTIMAL : CASE_WRONG;
}

static Verdict judge_case(Check *check) {
  sqlite3_stmt *solve = NULL;
  Verdict verdict;
  sqlite3_prepare_v2(check->db, "SELECT weave_solve('m')", -1, &solve, NULL);
  if (sqlite3_step(solve) == SQLITE_ROW) {
    char *json = sqlite3_mprintf("%s", sqlite3_column_text(solve, 0));
    sqlite3_reset(solve);
    verdict = judge_answer(check, json);
    sqlite3_free(json);
  } else {
    sqlite3_reset(solve);
    verdict = judge_refusal(check);
  }
  sqlite3_finalize(solve);
  return verdict;
}

Verdict check_case(const Case *c, const char *extension, char **message) {
  Check check = {.c = c, .random = c->seed * 77 + 1};
  Verdict verdict = CASE_WRONG;
  if (!oracle_open(&check.oracle, c) || !oracle_judge(&check.oracle)) {
    check_wrong(&check, "oracle: %s", sqlite3_errmsg(check.oracle.db));
  } else if (open_engine(&check, extension)) {
    verdict = judge_case(&check);
  }
  oracle_close(&check.oracle);
  int rc = sqlite3_close(check.db);
  if (rc != SQLITE_OK && verdict != CASE_WRONG) {
    check_wrong(&check, "sqlite3_close() gives %d", rc);
    verdict = CASE_WRONG;
  }
  *message = check.message;
  return verdict;
}
