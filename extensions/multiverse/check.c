/*
** multiverse_check: what is probably wrong with a policy.
**
**   SELECT severity, rule, message, witness FROM multiverse_check;
**
** An error keeps everybody from entering a universe: a rule whose table or column is gone. The rest
** is looked at in what can be compiled. Witnesses are rows of the database, for users that occur in
** it.
*/
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/check.h"
#include "extensions/multiverse/count.h"

enum { CHECK_RULE, CHECK_SEVERITY, CHECK_MESSAGE, CHECK_WITNESS, CHECK_NCOL };

static const char *const severities[] = {
    [SEVERITY_ERROR] = "error", [SEVERITY_WARNING] = "warning", [SEVERITY_NOTE] = "note"};

static bool tell_about(Check *check, sqlite3_int64 id, Severity severity, const char *witness,
                       const char *message) {
  const Cell cells[CHECK_NCOL] = {[CHECK_RULE] = id < 0 ? (Cell){0} : line_integer(id),
                                  [CHECK_SEVERITY] = line_text(severities[severity]),
                                  [CHECK_MESSAGE] = line_text(message),
                                  [CHECK_WITNESS] = line_text(witness)};
  return lines_add(check->lines, cells, check->fault);
}

bool check_tell(Check *check, const Rule *rule, Severity severity, const char *witness,
                const char *format, ...) {
  Text message = {0};
  va_list args;
  va_start(args, format);
  text_addv(&message, format, args);
  va_end(args);
  const bool ok =
      (!message.oom || fault_oom(check->fault)) &&
      tell_about(check, rule ? rule->id : NO_RULE, severity, witness, text_get(&message));
  text_finish(&message);
  return ok;
}

bool check_goes_on(Check *check) {
  return vt_poll(check->poll) == SQLITE_OK ||
         fault_set(check->fault, FAULT_INTERRUPT, "interrupted");
}

/* ---- compiling what can be compiled ---------------------------------------------------------- */

/* A fault about the policy is a finding; others are ours. */
static bool take_fault(Check *check, sqlite3_int64 id, Fault *own) {
  if (own->code != FAULT_INVALID && own->code != FAULT_NOTFOUND && own->code != FAULT_UNSUPPORTED) {
    *check->fault = *own;
    return false;
  }
  check->broken = true;
  return tell_about(check, id, SEVERITY_ERROR, NULL, own->text);
}

static bool compile_groups(Check *check, Compiler *compiler) {
  sqlite3_stmt *rows = query_prepare(check->db, policy_groups_sql, check->fault);
  int step = -1;
  while (rows && (step = query_step(rows, check->fault)) == 1) {
    Fault own = {0};
    compiler->fault = &own;
    const int before = compiler->policy->ngroups;
    if (compiler_add_group(compiler, query_text(rows, 0), query_text(rows, 1))) continue;
    compiler->policy->ngroups = before;
    if (take_fault(check, NO_RULE, &own)) continue;
    step = -1;
    break;
  }
  query_finish(rows);
  return step == 0;
}

static bool compile_rules(Check *check, Compiler *compiler) {
  sqlite3_stmt *rows = query_prepare(check->db, policy_rules_sql, check->fault);
  int step = -1;
  while (rows && (step = query_step(rows, check->fault)) == 1) {
    const char *t[9];
    Fault own = {0};
    compiler->fault = &own;
    for (int i = 1; i < 9; i++) t[i] = (const char *)sqlite3_column_text(rows, i);
    const sqlite3_int64 id = sqlite3_column_int64(rows, 0);
    const RuleText text = {id, t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8]};
    if (compiler_add_rule(compiler, &text) || take_fault(check, id, &own)) continue;
    step = -1;
    break;
  }
  query_finish(rows);
  return step == 0;
}

/* Each by itself, though count_attach() stops at the first. */
static bool check_counts(Check *check) {
  for (int i = 0; i < check->policy->ntables; i++) {
    const TablePolicy *table = check->policy->tables[i];
    Policy own = {.tables = &check->policy->tables[i], .ntables = 1};
    Fault fault = {0};
    if (!table->count || count_attach(check->db, &own, &fault)) continue;
    if (!take_fault(check, table->count->rule, &fault)) return false;
  }
  return true;
}

static bool compile(Check *check) {
  Compiler compiler;
  bool stored;
  if (!policy_is_stored(check->db, &stored, check->fault) ||
      !compiler_begin(check->db, &compiler, check->fault)) {
    return false;
  }
  check->policy = compiler.policy;
  if (!stored) return true;
  if (!compile_groups(check, &compiler)) return false;
  bool ok = compile_rules(check, &compiler);
  check->policy = compiler.policy;
  if (ok) ok = check_counts(check);
  return ok;
}

/* ---- tables without rules -------------------------------------------------------------------- */

static bool check_unopened(Check *check) {
  sqlite3_stmt *names = query_prepare(
      check->db,
      "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' "
      "ESCAPE '!' AND name NOT LIKE '!_multiverse!_%' ESCAPE '!' ORDER BY name",
      check->fault);
  int step = -1;
  while (names && (step = query_step(names, check->fault)) == 1) {
    const char *name = query_text(names, 0);
    if (policy_table(check->policy, name) ||
        check_tell(check, NULL, SEVERITY_NOTE, NULL,
                   "table %s has no rules: it is not there in any universe", name)) {
      continue;
    }
    step = -1;
    break;
  }
  query_finish(names);
  return step == 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static int check_seek(VtCursor *cur, const VtPlan *plan) {
  (void)plan;
  LinesCursor *lines = (LinesCursor *)cur;
  Fault fault = {0};
  Check check = {.db = cur->tab->db, .lines = lines, .poll = &cur->poll, .fault = &fault};
  lines_begin(lines, CHECK_NCOL);
  vt_internal_enter(cur->tab->conn);
  if (state_is_admin(vt_state(cur->tab->conn), &fault) && compile(&check) && check_groups(&check) &&
      check_tables(&check) && check_rewrites(&check) && check_unopened(&check)) {
    check_proofs(&check);
  }
  vt_internal_leave(cur->tab->conn);
  policy_destroy(check.policy);
  return lines_show(lines, &fault);
}

static const VtColumn columns[] = {
    [CHECK_RULE] = {"rule", "INTEGER", VT_OUT, 1, "id of the rule; NULL: of groups and tables"},
    [CHECK_SEVERITY] = {"severity", "TEXT", VT_OUT, 0,
                        "error: nobody can enter a universe; warning: probably not what is meant; "
                        "note: good to know"},
    [CHECK_MESSAGE] = {"message", "TEXT", VT_OUT, 0, "what is found"},
    [CHECK_WITNESS] = {"witness", "TEXT", VT_OUT, 0,
                       "a row where it shows, and for whom, where one is known"}};

const VtTable multiverse_check_table = {
    .name = "multiverse_check",
    .doc = "Mistakes in the policy: rules that are broken, never apply, overlap or show too much.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = columns,
    .ncols = CHECK_NCOL,
    .rows = 10,
    .seek_cost = 100000,
    .cursor_size = sizeof(LinesCursor),
    .seek = check_seek,
    .step = lines_step,
    .column = lines_column,
    .done = lines_done,
};
