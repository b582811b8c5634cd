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
** OR ABORT, whatever the schema says of conflicts: REPLACE would delete rows. To read: SELECT 1
** FROM t with the same WHERE. */
static sqlite3_stmt *row_statement(sqlite3 *db, const Change *cells, size_t count, bool write,
                                   Fault *fault) {
  Text sql = {0};
  text_add(&sql, write ? "UPDATE OR ABORT " : "SELECT 1 FROM ");
  text_add_name(&sql, cells->schema);
  text_addc(&sql, '.');
  text_add_name(&sql, cells->table);
  for (size_t i = 0; i < count && write; i++) {
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
  bool reading; /* all is written, and looked at again */
  sqlite3_stmt *statement;
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
  if (writing->statement && writing->prepared_count == count &&
      same_columns(&changes[row], &changes[writing->prepared], count)) {
    sqlite3_reset(writing->statement);
    return true;
  }
  query_finish(writing->statement);
  writing->statement = row_statement(writing->db, &changes[row], count, !writing->reading, fault);
  writing->prepared = row;
  writing->prepared_count = count;
  return writing->statement != NULL;
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

/* Binds what the cells hold and what they shall hold. */
static bool bind_row(Writing *writing, size_t row, size_t count, RowState to, Fault *fault) {
  const Change *cells = &writing->solution->changes[row];
  bool ok = true;
  for (size_t i = 0; i < count && ok; i++) {
    char old_text[40], new_text[40];
    Value new_value = cell_in(writing, row + i, to, new_text);
    Value old_value = cell_in(writing, row + i, (RowState)writing->states[row], old_text);
    ok = (writing->reading || query_bind(writing->statement, 2 * (int)i + 1, &new_value, fault)) &&
         query_bind(writing->statement, 2 * (int)i + 2, &old_value, fault);
  }
  for (int k = 0; k < cells->nkeys && ok; k++) {
    ok = query_bind(writing->statement, 2 * (int)count + k + 1, &cells->key[k], fault);
  }
  return ok;
}

static bool not_as_it_was(const Writing *writing, size_t row, Fault *fault) {
  const Change *cell = &writing->solution->changes[row];
  Text label = {0};
  value_add_plain(&label, &cell->label);
  fault_set(fault, writing->reading ? FAULT_INVALID : FAULT_BUSY,
            writing->reading ? "%s.%s of row %s does not keep its value: a trigger changes it"
                             : "%s.%s of row %s is no longer what it was when it was solved",
            cell->table, cell->column, text_get(&label) ? text_get(&label) : "?");
  text_finish(&label);
  return false;
}

static bool write_row(Writing *writing, size_t row, RowState to, Fault *fault) {
  size_t count = row_end(writing->solution, row) - row;
  bool ok = prepare_row(writing, row, count, fault) && bind_row(writing, row, count, to, fault);
  int step = ok ? query_step(writing->statement, fault) : -1;
  bool found = step == 1;
  while (step == 1) step = query_step(writing->statement, fault); /* also: PRAGMA count_changes */
  if (step < 0) return false;
  if (!writing->reading) found = sqlite3_changes(writing->db) == 1;
  if (!found) return not_as_it_was(writing, row, fault);
  writing->states[row] = (char)to;
  return true;
}

/* One round over the rows that are not done; out of the way go only those that have not moved. A
** row whose value another one still holds waits for the next round; *fault then says so, and the
** result is true. */
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

/* Triggers have run: has each cell what it was given? */
static bool read_again(Writing *writing, Fault *fault) {
  query_finish(writing->statement);
  writing->statement = NULL;
  writing->reading = true;
  const Solution *solution = writing->solution;
  for (size_t row = 0; row < solution->nchanges; row = row_end(solution, row)) {
    if (!write_row(writing, row, ROW_DONE, fault)) return false;
  }
  return true;
}

static bool write_answer(sqlite3 *db, const Solution *solution, Fault *fault) {
  Writing writing = {.db = db, .solution = solution, .states = calloc(solution->nchanges + 1, 1)};
  bool ok = writing.states ? write_rounds(&writing, fault) : fault_oom(fault);
  ok = ok && read_again(&writing, fault);
  query_finish(writing.statement);
  free(writing.states);
  return ok;
}

/* ---- checking ------------------------------------------------------------------------------- */

/* Before an answer is reported a mistake is ours; afterwards the data have changed. */
typedef enum When { WHEN_SOLVED, WHEN_APPLIED } When;

static sqlite3_stmt *rule_query(sqlite3 *db, const RuleResult *rule, const char *format,
                                Fault *fault) {
  return query_printf(db, fault, format, rule->schema, rule->name);
}

static bool check_must(sqlite3 *db, const RuleResult *rule, When when, Fault *fault) {
  sqlite3_stmt *query =
      rule_query(db, rule, "SELECT 1 FROM \"%w\".\"%w\" WHERE NOT must LIMIT 1", fault);
  int step = query ? query_step(query, fault) : -1;
  query_finish(query);
  if (step == 1 && when == WHEN_SOLVED) {
    return fault_set(fault, FAULT_INTERNAL,
                     "the answer breaks rule %s when SQLite checks it; nothing is reported",
                     rule->name);
  }
  if (step == 1) {
    return fault_set(fault, FAULT_INVALID,
                     "rule %s no longer holds for the answer: data or rules have changed since "
                     "it was solved",
                     rule->name);
  }
  return step == 0 || fault_prefix(fault, "rule %s: ", rule->name);
}

bool apply_goal_total(sqlite3 *db, const RuleResult *rule, bool maximize, double *out,
                      Fault *fault) {
  sqlite3_stmt *query = rule_query(db, rule,
                                   maximize ? "SELECT total(maximize) FROM \"%w\".\"%w\""
                                            : "SELECT -total(minimize) FROM \"%w\".\"%w\"",
                                   fault);
  int step = query ? query_step(query, fault) : -1;
  if (step == 1) *out += sqlite3_column_double(query, 0);
  query_finish(query);
  return step == 1 || fault_prefix(fault, "goal %s: ", rule->name);
}

static bool check_level(Solution *solution, size_t level, double total, When when, Fault *fault) {
  int priority = solution->levels[level];
  double reported = solution->objective[level];
  if (fabs(total - reported) <= 1e-6 * (1 + fabs(total))) {
    if (when == WHEN_SOLVED) solution->objective[level] = total;
    return true;
  }
  if (when == WHEN_SOLVED) {
    return fault_set(fault, FAULT_INTERNAL,
                     "goals of priority %d are %.12g when SQLite computes them, not %.12g; "
                     "nothing is reported",
                     priority, total, reported);
  }
  return fault_set(fault, FAULT_INVALID,
                   "goals of priority %d are %.12g, no longer %.12g: data or rules have changed "
                   "since it was solved",
                   priority, total, reported);
}

/* Runs the user's views; constraints of the schema SQLite has just enforced. */
static bool check_rules(sqlite3 *db, Solution *solution, When when, Fault *fault) {
  for (size_t i = 0; i < solution->nrules; i++) {
    const RuleResult *rule = &solution->rules[i];
    if (rule->schema && rule->must && !check_must(db, rule, when, fault)) return false;
  }
  for (size_t l = 0; l < solution->nlevels; l++) {
    double total = 0;
    for (size_t i = 0; i < solution->nrules; i++) {
      RuleResult *rule = &solution->rules[i];
      double value = 0;
      if (rule->level != solution->levels[l]) continue;
      if (rule->maximize && !apply_goal_total(db, rule, true, &value, fault)) return false;
      if (rule->minimize && !apply_goal_total(db, rule, false, &value, fault)) return false;
      if (when == WHEN_SOLVED) rule->value = value;
      total += value;
    }
    if (!check_level(solution, l, total, when, fault)) return false;
  }
  return true;
}

static bool enter(sqlite3 *db, Fault *fault) {
  if (query_run(db, "SAVEPOINT weave", fault)) return true;
  if (strncmp(fault->text, "cannot open savepoint", 21) != 0) return false;
  return fault_prefix(fault, "to be called by a statement that only reads: ");
}

/* Without a transaction around it ROLLBACK, for a RELEASE would be a COMMIT: of nothing, but
** waiting for readers all the same. */
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

bool apply_try(sqlite3 *db, const Solution *solution, bool (*look)(void *ctx, Fault *fault),
               void *ctx, bool *out_refused, Fault *fault) {
  bool outermost = sqlite3_get_autocommit(db);
  *out_refused = false;
  if (!enter(db, fault)) return false;
  bool ok = write_answer(db, solution, fault);
  if (!ok && strstr(fault->text, " constraint failed")) {
    fault_clear(fault);
    *out_refused = ok = true;
  } else {
    ok = ok && look(ctx, fault);
  }
  return leave(db, outermost, false, fault) && ok;
}

bool apply_verify(Compiler *compiler, Solution *solution, Fault *fault) {
  sqlite3 *db = compiler->db;
  bool outermost = sqlite3_get_autocommit(db);
  if (!enter(db, fault)) return false;
  bool ok = write_answer(db, solution, fault);
  if (!ok && fault->code != FAULT_INTERRUPT) fault_prefix(fault, "the answer cannot be written: ");
  ok = ok && check_rules(db, solution, WHEN_SOLVED, fault);
  if (!ok) snapshot_blame(compiler, fault); /* before the rollback, which may count as a change */
  return leave(db, outermost, false, fault) && ok;
}

bool apply_changes(sqlite3 *db, WeaveTab *tab, Fault *fault) {
  bool outermost = sqlite3_get_autocommit(db);
  if (!enter(db, fault)) return false;
  bool ok = write_answer(db, &tab->solution, fault) &&
            check_rules(db, &tab->solution, WHEN_APPLIED, fault);
  return leave(db, outermost, ok, fault) && ok;
}
