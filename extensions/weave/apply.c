/*
** Writing an answer, and checking it with the rules themselves. See weave.h.
**
** The law: after apply, no row of a rule view has must = 0, and the goals have the values reported.
** SQLite checks it, running the user's own views over the changed tables, inside a savepoint;
** nothing is reported that has not passed.
*/
#include <math.h>
#include <string.h>

#include "extensions/weave/weave.h"

/* ---- cells ---------------------------------------------------------------------------------- */

/* UPDATE t SET c = ?1 WHERE k = ?3 AND c IS ?2: only a cell that still is as it was. */
static sqlite3_stmt *update_statement(sqlite3 *db, const Change *change, Fault *fault) {
  Text sql = {0};
  text_add(&sql, "UPDATE ");
  text_add_name(&sql, change->schema);
  text_addc(&sql, '.');
  text_add_name(&sql, change->table);
  text_add(&sql, " SET ");
  text_add_name(&sql, change->column);
  text_add(&sql, " = ?1 WHERE ");
  text_add_name(&sql, change->column);
  text_add(&sql, " IS ?2");
  for (int k = 0; k < change->nkeys; k++) {
    text_add(&sql, " AND ");
    text_add_name(&sql, change->keys[k]);
    text_addf(&sql, " = ?%d", k + 3);
  }
  sqlite3_stmt *statement = query_prepare(db, text_get(&sql), fault);
  text_finish(&sql);
  return statement;
}

static bool write_cell(sqlite3 *db, sqlite3_stmt *update, const Change *change,
                       const Value *before, const Value *after, Fault *fault) {
  sqlite3_reset(update);
  bool ok = query_bind(update, 1, after, fault) && query_bind(update, 2, before, fault);
  for (int k = 0; k < change->nkeys && ok; k++) {
    ok = query_bind(update, k + 3, &change->key[k], fault);
  }
  if (!ok || query_step(update, fault) < 0) return false;
  if (sqlite3_changes(db) == 1) return true;
  Text label = {0};
  value_add_plain(&label, &change->label);
  fault_set(fault, FAULT_BUSY, "%s.%s of row %s is no longer what it was when it was solved",
            change->table, change->column, text_get(&label) ? text_get(&label) : "?");
  text_finish(&label);
  return false;
}

typedef enum Pass { PASS_DIRECT, PASS_CLEAR, PASS_FILL } Pass;

static bool same_column(const Change *a, const Change *b) {
  return !strcmp(a->schema, b->schema) && !strcmp(a->table, b->table) &&
         !strcmp(a->column, b->column);
}

static bool write_cells(sqlite3 *db, const Solution *solution, Pass pass, Fault *fault) {
  sqlite3_stmt *update = NULL;
  const Value null = value_null();
  bool ok = true;
  for (size_t i = 0; i < solution->nchanges && ok; i++) {
    const Change *change = &solution->changes[i];
    if (i == 0 || !same_column(change, &solution->changes[i - 1])) {
      query_finish(update);
      update = update_statement(db, change, fault);
    }
    const Value *before = pass == PASS_FILL ? &null : &change->before;
    const Value *after = pass == PASS_CLEAR ? &null : &change->after;
    if (pass == PASS_CLEAR && value_is_null(before)) continue;
    if (pass == PASS_FILL && value_is_null(after)) continue;
    ok = update && write_cell(db, update, change, before, after, fault);
  }
  query_finish(update);
  return ok;
}

/* Rows that trade places under UNIQUE cannot be written one by one; by way of NULL they can. */
static bool write_answer(sqlite3 *db, const Solution *solution, Fault *fault) {
  Fault first = {0};
  if (!query_run(db, "SAVEPOINT weave_cells", fault)) return false;
  if (write_cells(db, solution, PASS_DIRECT, &first)) {
    return query_run(db, "RELEASE weave_cells", fault);
  }
  bool unique = strncmp(first.text, "UNIQUE constraint", 17) == 0;
  if (!query_run(db, "ROLLBACK TO weave_cells", fault)) return false;
  bool ok = unique && write_cells(db, solution, PASS_CLEAR, fault) &&
            write_cells(db, solution, PASS_FILL, fault);
  if (!ok) {
    fault_clear(fault);
    fault_set(fault, first.code, "%s", first.text);
  }
  Fault ignored = {0};
  return query_run(db, "RELEASE weave_cells", ok ? fault : &ignored) && ok;
}

/* ---- checking ------------------------------------------------------------------------------- */

static sqlite3_stmt *rule_query(sqlite3 *db, const Rule *rule, const char *format, Fault *fault) {
  return query_printf(db, fault, format, rule->view->schema, rule->view->name);
}

static bool check_must(sqlite3 *db, const Rule *rule, Fault *fault) {
  sqlite3_stmt *query =
      rule_query(db, rule, "SELECT 1 FROM \"%w\".\"%w\" WHERE NOT must LIMIT 1", fault);
  int step = query ? query_step(query, fault) : -1;
  query_finish(query);
  if (step == 1) {
    return fault_set(fault, FAULT_INTERNAL,
                     "the answer breaks rule %s when SQLite checks it; nothing is reported",
                     rule->name);
  }
  return step == 0;
}

static bool goal_total(sqlite3 *db, const Rule *rule, bool maximize, double *out, Fault *fault) {
  sqlite3_stmt *query = rule_query(db, rule,
                                   maximize ? "SELECT total(maximize) FROM \"%w\".\"%w\""
                                            : "SELECT -total(minimize) FROM \"%w\".\"%w\"",
                                   fault);
  int step = query ? query_step(query, fault) : -1;
  if (step == 1) *out += sqlite3_column_double(query, 0);
  query_finish(query);
  return step == 1;
}

static bool check_rules(sqlite3 *db, Solution *solution, const Compiler *compiler, Fault *fault) {
  for (size_t i = 0; i < compiler->nrules; i++) {
    const Rule *rule = &compiler->rules[i];
    double value = 0;
    if (!rule->view) continue; /* SQLite has just enforced it */
    if (rule->must >= 0 && !check_must(db, rule, fault)) return false;
    if (rule->maximize >= 0 && !goal_total(db, rule, true, &value, fault)) return false;
    if (rule->minimize >= 0 && !goal_total(db, rule, false, &value, fault)) return false;
    solution->rules[i].value = value;
  }
  for (size_t l = 0; l < solution->nlevels; l++) {
    double total = 0;
    for (size_t i = 0; i < solution->nrules; i++) {
      const RuleResult *rule = &solution->rules[i];
      if (rule->goal && rule->level == solution->levels[l]) total += rule->value;
    }
    double reported = solution->objective[l];
    if (fabs(total - reported) > 1e-6 * (1 + fabs(total))) {
      return fault_set(fault, FAULT_INTERNAL,
                       "goals of priority %d are %.12g when SQLite computes them, not %.12g; "
                       "nothing is reported",
                       solution->levels[l], total, reported);
    }
    solution->objective[l] = total;
  }
  return true;
}

/* Leave the savepoint, undoing everything unless it is to be kept. When the outermost RELEASE, a
** COMMIT, fails (disk full, deferred foreign keys), everything is undone. */
static bool leave(sqlite3 *db, bool keep, Fault *fault) {
  Fault late = {0}, ignored = {0};
  if (keep && query_run(db, "RELEASE weave", &late)) return true;
  bool undone = query_run(db, "ROLLBACK TO weave", keep ? &ignored : &late) &&
                query_run(db, "RELEASE weave", keep ? &ignored : &late);
  if (late.code) fault_set(fault, late.code, "%s", late.text);
  return !keep && undone;
}

bool apply_verify(sqlite3 *db, Solution *solution, const Compiler *compiler, Fault *fault) {
  if (!query_run(db, "SAVEPOINT weave", fault)) return false;
  bool ok = write_answer(db, solution, fault) && check_rules(db, solution, compiler, fault);
  return leave(db, false, fault) && ok;
}

static bool check_names(sqlite3 *db, const Solution *solution, Fault *fault) {
  for (size_t i = 0; i < solution->nrules; i++) {
    const RuleResult *result = &solution->rules[i];
    if (!result->must || !result->schema) continue;
    sqlite3_stmt *query =
        query_printf(db, fault, "SELECT 1 FROM \"%w\".\"%w\" WHERE NOT must LIMIT 1",
                     result->schema, result->name);
    int step = query ? query_step(query, fault) : -1;
    query_finish(query);
    if (step < 0) return false;
    if (step == 1) {
      return fault_set(fault, FAULT_INVALID,
                       "rule %s no longer holds for the answer: data or rules have changed since "
                       "it was solved",
                       result->name);
    }
  }
  return true;
}

bool apply_changes(sqlite3 *db, WeaveTab *tab, Fault *fault) {
  if (!query_run(db, "SAVEPOINT weave", fault)) return false;
  bool ok = write_answer(db, &tab->solution, fault) && check_names(db, &tab->solution, fault);
  return leave(db, ok, fault) && ok;
}
