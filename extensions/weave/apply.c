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
  ROW_CLEARED, /* its changed cells are NULL … */
  ROW_PARKED,  /* … or, where that is not allowed, text that nobody else has */
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

/* What a changed cell holds in a state of its row. */
static Value cell_in(const Writing *writing, size_t cell, RowState state, char buffer[40]) {
  const Change *change = &writing->solution->changes[cell];
  if (state == ROW_PENDING) return change->before;
  if (state == ROW_DONE) return change->after;
  if (state == ROW_CLEARED) return value_null();
  sqlite3_snprintf(40, buffer, "weave is moving %llu", (unsigned long long)cell);
  return (Value){.type = VALUE_TEXT, .length = (uint32_t)strlen(buffer), .bytes = buffer};
}

static bool write_row(Writing *writing, size_t row, RowState to, Fault *fault) {
  const Change *cells = &writing->solution->changes[row];
  size_t count = row_end(writing->solution, row) - row;
  bool ok = prepare_row(writing, row, count, fault);
  for (size_t i = 0; i < count && ok; i++) {
    char old_text[40], new_text[40];
    Value new_value = cell_in(writing, row + i, to, new_text);
    Value old_value = cell_in(writing, row + i, (RowState)writing->states[row], old_text);
    ok = query_bind(writing->update, 2 * (int)i + 1, &new_value, fault) &&
         query_bind(writing->update, 2 * (int)i + 2, &old_value, fault);
  }
  for (int k = 0; k < cells->nkeys && ok; k++) {
    ok = query_bind(writing->update, 2 * (int)count + k + 1, &cells->key[k], fault);
  }
  if (!ok || query_step(writing->update, fault) < 0) return false;
  if (sqlite3_changes(writing->db) == 1) {
    writing->states[row] = (char)to;
    return true;
  }
  Text label = {0};
  value_add_plain(&label, &cells->label);
  fault_set(fault, FAULT_BUSY, "%s.%s of row %s is no longer what it was when it was solved",
            cells->table, cells->column, text_get(&label) ? text_get(&label) : "?");
  text_finish(&label);
  return false;
}

/* One round over the rows that are not done; out of the way go only those that have not moved. A
 *row
 ** whose value another one still holds waits for the next round; *fault then says so, and the
 *result
 ** is true. */
static bool write_round(Writing *writing, RowState to, size_t *out_written, size_t *out_waiting,
                        Fault *fault) {
  *out_written = *out_waiting = 0;
  fault_clear(fault);
  for (size_t row = 0; row < writing->solution->nchanges; row = row_end(writing->solution, row)) {
    Fault own = {0};
    RowState state = (RowState)writing->states[row];
    if (state != ROW_PENDING && (to != ROW_DONE || state == to)) continue;
    if (write_row(writing, row, to, &own)) {
      ++*out_written;
    } else if (to == ROW_DONE && strncmp(own.text, "UNIQUE constraint", 17) == 0) {
      ++*out_waiting;
      fault_set(fault, own.code, "%s", own.text);
    } else {
      fault_clear(fault);
      return fault_set(fault, own.code, "%s", own.text);
    }
  }
  return true;
}

/* Rows that trade places under UNIQUE cannot be written in any order: they step aside first. */
static bool write_rounds(Writing *writing, Fault *fault) {
  size_t written, waiting;
  bool aside = false;
  for (;;) {
    Fault ignored = {0};
    if (!write_round(writing, ROW_DONE, &written, &waiting, fault)) return false;
    if (waiting == 0) return true;
    if (written > 0) continue;
    if (aside) return false;
    aside = write_round(writing, ROW_CLEARED, &written, &waiting, &ignored) ||
            write_round(writing, ROW_PARKED, &written, &waiting, &ignored);
    if (!aside) return false;
  }
}

static bool write_answer(sqlite3 *db, const Solution *solution, Fault *fault) {
  Writing writing = {.db = db, .solution = solution, .states = calloc(solution->nchanges + 1, 1)};
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

/* Without a transaction around it ROLLBACK, for a RELEASE would be a COMMIT: of nothing, but
 *waiting
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
