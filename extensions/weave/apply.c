/*
** Writing an answer, and checking it with the rules themselves. See weave.h.
**
** The law: after apply, no row of a rule view has must = 0, and the goals have the values reported.
** SQLite checks it, running the user's own views over the changed tables, inside a savepoint;
** nothing is reported that has not passed.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/weave/weave.h"

/* ---- rows ----------------------------------------------------------------------------------- */

/* All new cells of a row are written by one UPDATE: a CHECK or UNIQUE over several of them would
** otherwise fail halfway. The changes of a row stand together and share their key. */
static size_t row_end(const Solution *solution, size_t from) {
  size_t end = from + 1;
  while (end < solution->nchanges && solution->changes[end].key == solution->changes[from].key) {
    end++;
  }
  return end;
}

/* UPDATE t SET c = ?1, d = ?3 WHERE k = ?5 AND c IS ?2 AND d IS ?4: only if it still is as it was.
** OR ABORT, whatever the schema says of conflicts: REPLACE would delete rows. */
static sqlite3_stmt *update_statement(sqlite3 *db, const Change *cells, size_t count,
                                      Fault *fault) {
  Text sql = {0};
  text_add(&sql, "UPDATE OR ABORT ");
  text_add_name(&sql, cells->schema);
  text_addc(&sql, '.');
  text_add_name(&sql, cells->table);
  for (size_t i = 0; i < count; i++) {
    text_add(&sql, i ? "," : " SET ");
    text_add_name(&sql, cells[i].column);
    text_addf(&sql, " = ?%zu", 2 * i + 1);
  }
  for (size_t i = 0; i < count; i++) {
    text_add(&sql, i ? " AND " : " WHERE ");
    text_add_name(&sql, cells[i].column);
    text_addf(&sql, " IS ?%zu", 2 * i + 2);
  }
  for (int k = 0; k < cells->nkeys; k++) {
    text_add(&sql, " AND ");
    text_add_name(&sql, cells->keys[k]);
    text_addf(&sql, " = ?%zu", 2 * count + (size_t)k + 1);
  }
  sqlite3_stmt *statement = query_prepare(db, text_get(&sql), fault);
  text_finish(&sql);
  return statement;
}

typedef enum RowState {
  ROW_PENDING, /* as it was */
  ROW_CLEARED, /* its changed cells are NULL */
  ROW_DONE
} RowState;

/* What is being written. */
typedef struct Writing {
  sqlite3 *db;
  const Solution *solution;
  char *states; /* RowState, at the first change of each row */
  sqlite3_stmt *update;
  size_t prepared, prepared_count; /* for the columns of the row that begins there */
} Writing;

static bool same_columns(const Change *a, const Change *b, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(a[i].column, b[i].column) != 0) return false;
  }
  return !strcmp(a->schema, b->schema) && !strcmp(a->table, b->table);
}

static bool prepare_row(Writing *writing, size_t row, size_t count, Fault *fault) {
  const Change *changes = writing->solution->changes;
  if (writing->update && writing->prepared_count == count &&
      same_columns(&changes[row], &changes[writing->prepared], count)) {
    sqlite3_reset(writing->update);
    return true;
  }
  query_finish(writing->update);
  writing->update = update_statement(writing->db, &changes[row], count, fault);
  writing->prepared = row;
  writing->prepared_count = count;
  return writing->update != NULL;
}

/* To the new values, or to NULL. */
static bool write_row(Writing *writing, size_t row, bool clear, Fault *fault) {
  const Change *cells = &writing->solution->changes[row];
  size_t count = row_end(writing->solution, row) - row;
  const Value null = value_null();
  bool cleared = writing->states[row] == ROW_CLEARED;
  bool ok = prepare_row(writing, row, count, fault);
  for (size_t i = 0; i < count && ok; i++) {
    int at = 2 * (int)i;
    ok = query_bind(writing->update, at + 1, clear ? &null : &cells[i].after, fault) &&
         query_bind(writing->update, at + 2, cleared ? &null : &cells[i].before, fault);
  }
  for (int k = 0; k < cells->nkeys && ok; k++) {
    ok = query_bind(writing->update, 2 * (int)count + k + 1, &cells->key[k], fault);
  }
  if (!ok || query_step(writing->update, fault) < 0) return false;
  if (sqlite3_changes(writing->db) == 1) {
    writing->states[row] = clear ? ROW_CLEARED : ROW_DONE;
    return true;
  }
  Text label = {0};
  value_add_plain(&label, &cells->label);
  fault_set(fault, FAULT_BUSY, "%s.%s of row %s is no longer what it was when it was solved",
            cells->table, cells->column, text_get(&label) ? text_get(&label) : "?");
  text_finish(&label);
  return false;
}

/* One round over the rows that are not done. A row whose value another one still holds waits for
** the next round; *fault then says so, and the result is true. */
static bool write_round(Writing *writing, bool clear, size_t *out_written, size_t *out_waiting,
                        Fault *fault) {
  *out_written = *out_waiting = 0;
  fault_clear(fault);
  for (size_t row = 0; row < writing->solution->nchanges; row = row_end(writing->solution, row)) {
    Fault own = {0};
    if (writing->states[row] == ROW_DONE) continue;
    if (write_row(writing, row, clear, &own)) {
      ++*out_written;
    } else if (!clear && strncmp(own.text, "UNIQUE constraint", 17) == 0) {
      ++*out_waiting;
      fault_set(fault, own.code, "%s", own.text);
    } else {
      fault_clear(fault);
      return fault_set(fault, own.code, "%s", own.text);
    }
  }
  return true;
}

/* Rows that trade places under UNIQUE cannot be written in any order; by way of NULL they can. */
static bool write_rounds(Writing *writing, Fault *fault) {
  size_t written, waiting;
  bool cleared = false;
  for (;;) {
    if (!write_round(writing, false, &written, &waiting, fault)) return false;
    if (waiting == 0) return true;
    if (written > 0) continue;
    Fault ignored = {0};
    if (cleared || !write_round(writing, true, &written, &waiting, &ignored)) return false;
    cleared = true;
  }
}

static bool write_answer(sqlite3 *db, const Solution *solution, Fault *fault) {
  Writing writing = {.db = db, .solution = solution,
                     .states = calloc(solution->nchanges + 1, 1)};
  bool ok = writing.states ? write_rounds(&writing, fault) : fault_oom(fault);
  query_finish(writing.update);
  free(writing.states);
  return ok;
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
  return step == 0 || fault_prefix(fault, "rule %s: ", rule->name);
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

static bool enter(sqlite3 *db, Fault *fault) {
  if (query_run(db, "SAVEPOINT weave", fault)) return true;
  if (strncmp(fault->text, "cannot open savepoint", 21) != 0) return false;
  return fault_prefix(fault, "to be called by a statement that only reads: ");
}

/* Without a transaction around it ROLLBACK, for a RELEASE would be a COMMIT: of nothing, but waiting
** for readers all the same. */
static bool undo(sqlite3 *db, bool outermost, Fault *fault) {
  if (sqlite3_get_autocommit(db)) return true; /* a trigger has rolled back everything */
  if (outermost) return query_run(db, "ROLLBACK", fault);
  return query_run(db, "ROLLBACK TO weave", fault) && query_run(db, "RELEASE weave", fault);
}

/* Leave the savepoint, undoing everything unless it is to be kept. When the outermost RELEASE, a
** COMMIT, fails (disk full, deferred foreign keys), everything is undone. */
static bool leave(sqlite3 *db, bool outermost, bool keep, Fault *fault) {
  Fault late = {0}, ignored = {0};
  if (keep && query_run(db, "RELEASE weave", &late)) return true;
  bool undone = undo(db, outermost, keep ? &ignored : &late);
  if (late.code) fault_set(fault, late.code, "%s", late.text);
  return !keep && undone;
}

bool apply_verify(sqlite3 *db, Solution *solution, const Compiler *compiler, Fault *fault) {
  bool outermost = sqlite3_get_autocommit(db);
  if (!enter(db, fault)) return false;
  bool ok = write_answer(db, solution, fault);
  if (!ok && fault->code != FAULT_INTERRUPT) fault_prefix(fault, "the answer cannot be written: ");
  ok = ok && check_rules(db, solution, compiler, fault);
  return leave(db, outermost, false, fault) && ok;
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
  bool outermost = sqlite3_get_autocommit(db);
  if (!enter(db, fault)) return false;
  bool ok = write_answer(db, &tab->solution, fault) && check_names(db, &tab->solution, fault);
  return leave(db, outermost, ok, fault) && ok;
}
