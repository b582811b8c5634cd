/*
** What the rules make of a user's write, done row by row with plain SQL on a database without the
** extension: who may see a row, which rules apply to it as it is and as it will be, which cells are
** shown.
**
** seen_T holds what the user sees of T, under the types of its columns; new_T the row that is to
** be.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/multiverse/writes/writes.h"

/* ---- asking ---------------------------------------------------------------------------------- */

void must(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK) return;
  printf("Bail out! %s\n%.3000s\n", sqlite3_errmsg(db), sql);
  exit(1);
}

static bool is_true(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) must(db, sql);
  const bool result =
      sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) != 0;
  if (sqlite3_finalize(statement) != SQLITE_OK) must(db, sql);
  return result;
}

/* The row of the table that a row of seen_T is of. */
static void say_row(Words *out, int table, const char *row) {
  const char *name = tables[table].name;
  if (!tables[table].without_rowid) {
    say(out, "r.rowid = (SELECT k FROM seen_%s WHERE rowid = %s)", name, row);
    return;
  }
  say(out, "r.c0 IS (SELECT c0 FROM seen_%s WHERE rowid = %s)", name, row);
  if (!tables[table].pair) return;
  say(out, " AND r.c1 IS (SELECT c1 FROM seen_%s WHERE rowid = %s)", name, row);
}

void model_prepare(sqlite3 *model) {
  for (int t = 0; t < NTABLES; t++) {
    Words sql = {0};
    Table table = tables[t];
    char name[16];
    table.name = name;
    snprintf(name, sizeof name, "new_%s", tables[t].name);
    make_table(&sql, &table, true);
    snprintf(name, sizeof name, "seen_%s", tables[t].name);
    make_table(&sql, &table, true);
    say(&sql, "ALTER TABLE %s ADD COLUMN k;", name);
    must(model, sql.at);
  }
}

static void fill_seen(sqlite3 *db, int t, const User *user) {
  Words sql = {0};
  say(&sql, "DELETE FROM seen_%s; INSERT INTO seen_%s SELECT ", tables[t].name, tables[t].name);
  for (int c = 0; c < NCOLS; c++) {
    write_shown(&sql, t, c, user);
    say(&sql, ", ");
  }
  say(&sql, tables[t].without_rowid ? "NULL" : "r.rowid");
  say(&sql, " FROM %s AS r WHERE ", tables[t].name);
  write_visible(&sql, t, user);
  must(db, sql.at);
}

/* ---- rules ----------------------------------------------------------------------------------- */

static bool applies(sqlite3 *db, int rule, const User *user, const char *from) {
  Words sql = {0};
  say(&sql, "SELECT ");
  write_applies(&sql, rule, user);
  say(&sql, " IS TRUE FROM %s", from);
  return is_true(db, sql.at);
}

static bool any_applies(sqlite3 *db, int t, const char *action, const User *user,
                        const char *from) {
  for (int rule = -1; (rule = next_rule(t, action, rule)) >= 0;) {
    if (applies(db, rule, user, from)) return true;
  }
  return false;
}

static bool new_is_visible(sqlite3 *db, int t, const User *user) {
  Words sql = {0};
  say(&sql, "SELECT ");
  write_visible(&sql, t, user);
  say(&sql, " FROM new_%s AS r", tables[t].name);
  return is_true(db, sql.at);
}

/* ---- one row --------------------------------------------------------------------------------- */

static int write_base(sqlite3 *db, const char *sql) {
  const int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
  return rc == SQLITE_OK || rc == SQLITE_CONSTRAINT ? rc : SQLITE_MISMATCH;
}

static int insert_row(sqlite3 *db, const Change *change, int row, const User *user) {
  const int t = change->table;
  const char *name = tables[t].name;
  Words values = {0}, sql = {0}, from = {0};
  for (int c = 0; c < NCOLS; c++) {
    const char *value = c < change->ncols ? change->values[row][c] : "NULL";
    const char *more = tables[t].more[c] ? strstr(tables[t].more[c], "DEFAULT ") : NULL;
    say(&values, c ? ", %s" : "%s",
        more && !strcmp(value, "NULL") ? more + strlen("DEFAULT ") : value);
  }
  say(&sql, "DELETE FROM new_%s; INSERT INTO new_%s VALUES (%s)", name, name, values.at);
  must(db, sql.at);
  say(&from, "new_%s AS r", name);
  if (!any_applies(db, t, "insert", user, from.at) || !new_is_visible(db, t, user)) {
    return SQLITE_AUTH;
  }
  sql = (Words){0};
  say(&sql, "INSERT INTO %s VALUES (%s)", name, values.at);
  return write_base(db, sql.at);
}

static int delete_row(sqlite3 *db, const Change *change, const char *row, const User *user) {
  Words from = {0}, sql = {0};
  say(&from, "%s AS r WHERE ", tables[change->table].name);
  say_row(&from, change->table, row);
  if (!any_applies(db, change->table, "delete", user, from.at)) return SQLITE_AUTH;
  say(&sql, "DELETE FROM %s", from.at);
  return write_base(db, sql.at);
}

typedef struct Cell { /* one that is assigned */
  bool changes;
  char value[200]; /* as SQL */
} Cell;

/* False: it is not shown, and something else is given. */
static bool read_cell(sqlite3 *db, const Change *change, int i, const char *row, const User *user,
                      Cell *out) {
  const int t = change->table, column = change->set[i];
  Words sql = {0}, rewritten = {0};
  sqlite3_stmt *given;
  say(&sql, "SELECT quote(%s), quote(%s) = quote(c%d) FROM seen_%s WHERE rowid = %s",
      change->given[i], change->given[i], column, tables[t].name, row);
  if (sqlite3_prepare_v2(db, sql.at, -1, &given, NULL) != SQLITE_OK) must(db, sql.at);
  sqlite3_step(given);
  snprintf(out->value, sizeof out->value, "%s", (const char *)sqlite3_column_text(given, 0));
  const bool same = sqlite3_column_int(given, 1);
  sqlite3_finalize(given);
  say(&rewritten, "SELECT ");
  write_rewritten(&rewritten, t, column, user);
  say(&rewritten, " IS TRUE FROM %s AS r WHERE ", tables[t].name);
  say_row(&rewritten, t, row);
  const bool hidden = is_true(db, rewritten.at);
  out->changes = !hidden;
  return !hidden || same;
}

static bool is_covered(sqlite3 *db, const Change *change, const Cell *cells, const char *row,
                       const User *user) {
  Words old = {0}, new = {0};
  bool any = false, covered[MOST_SET] = {false};
  say(&old, "%s AS r WHERE ", tables[change->table].name);
  say_row(&old, change->table, row);
  say(&new, "new_%s AS r", tables[change->table].name);
  for (int rule = -1; (rule = next_rule(change->table, "update", rule)) >= 0;) {
    if (!applies(db, rule, user, old.at) || !applies(db, rule, user, new.at)) continue;
    any = true;
    for (int i = 0; i < change->nset; i++) covered[i] |= rule_covers(rule, change->set[i]);
  }
  for (int i = 0; i < change->nset; i++) any &= covered[i] || !cells[i].changes;
  return any;
}

static int update_row(sqlite3 *db, const Change *change, const char *row, const User *user) {
  const char *name = tables[change->table].name;
  Cell cells[MOST_SET];
  Words sql = {0}, set = {0};
  bool any = false;
  for (int i = 0; i < change->nset; i++) {
    if (!read_cell(db, change, i, row, user, &cells[i])) return SQLITE_AUTH;
    if (!cells[i].changes) continue;
    say(&set, any ? ", c%d = %s" : "c%d = %s", change->set[i], cells[i].value);
    any = true;
  }
  say(&sql, "DELETE FROM new_%s; INSERT INTO new_%s SELECT * FROM %s AS r WHERE ", name, name,
      name);
  say_row(&sql, change->table, row);
  if (any) say(&sql, "; UPDATE new_%s SET %s", name, set.at);
  must(db, sql.at);
  if (!is_covered(db, change, cells, row, user)) return SQLITE_AUTH;
  if (!new_is_visible(db, change->table, user)) return SQLITE_AUTH;
  if (!any) return SQLITE_OK;
  sql = (Words){0};
  say(&sql, "UPDATE %s AS r SET %s WHERE ", name, set.at);
  say_row(&sql, change->table, row);
  return write_base(db, sql.at);
}

/* ---- a statement ----------------------------------------------------------------------------- */

/* The rows of seen_T that it is about. */
static int find_rows(sqlite3 *db, const Change *change, char rows[][12], int most) {
  Words sql = {0};
  sqlite3_stmt *statement;
  int n = 0;
  say(&sql, "SELECT rowid FROM seen_%s%s%s", tables[change->table].name,
      *change->where ? " WHERE " : "", change->where);
  if (sqlite3_prepare_v2(db, sql.at, -1, &statement, NULL) != SQLITE_OK) must(db, sql.at);
  for (; sqlite3_step(statement) == SQLITE_ROW && n < most; n++) {
    snprintf(rows[n], 12, "%d", sqlite3_column_int(statement, 0));
  }
  sqlite3_finalize(statement);
  return n;
}

static int one_row(sqlite3 *db, const Change *change, int i, const char *row, const User *user) {
  if (change->kind == KIND_INSERT) return insert_row(db, change, i, user);
  if (change->kind == KIND_DELETE) return delete_row(db, change, row, user);
  return update_row(db, change, row, user);
}

Verdict model_apply(sqlite3 *model, const Change *change, const User *user) {
  enum { MOST = 400 };
  static char rows[MOST][12];
  Verdict verdict = {0};
  const bool alone = sqlite3_get_autocommit(model);
  must(model, "SAVEPOINT the_statement");
  fill_seen(model, change->table, user);
  const int n = change->kind == KIND_INSERT ? change->nrows : find_rows(model, change, rows, MOST);
  for (int i = 0; i < n && verdict.rc == SQLITE_OK; i++) {
    verdict.rc = one_row(model, change, i, rows[i], user);
    if (verdict.rc == SQLITE_CONSTRAINT && *change->conflict == 'I') {
      verdict.rc = SQLITE_OK;
    } else {
      verdict.changes += verdict.rc == SQLITE_OK;
    }
  }
  if (verdict.rc == SQLITE_CONSTRAINT && !strcmp(change->conflict, "ROLLBACK") && !alone) {
    must(model, "ROLLBACK");
    verdict.changes = 0;
    return verdict;
  }
  if (verdict.rc != SQLITE_OK &&
      (verdict.rc != SQLITE_CONSTRAINT || strcmp(change->conflict, "FAIL"))) {
    must(model, "ROLLBACK TO the_statement");
    verdict.changes = 0;
  }
  must(model, "RELEASE the_statement");
  return verdict;
}
