/*
** Another connection changes the schema of an attached database (main is not changed under a
** statement of ours that reads from it, and far_take() counts as that), and SQLite reads it anew in
** the middle of what is going on here: it disconnects all virtual tables that no statement uses,
** those of TEMP as well. What functions and cursors have in hand must not be among them. (Under
** ASan that is what fails; elsewhere the answers are compared.)
*/
#include <assert.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MANY = 700 }; /* more than far_take() takes at once, twice */

static char folder[] = "/tmp/tenfold-schema-XXXXXX";
static sqlite3 *db, *other;
static int done;

static void fail(const char *sql) {
  printf("Bail out! %s: %s\n", sql, sqlite3_errmsg(db));
  exit(1);
}

static void run(const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail(sql);
}

static void ok(const char *what) { printf("ok %d - %s\n", ++done, what); }

static sqlite3_stmt *prepare(const char *sql) {
  sqlite3_stmt *stmt;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) fail(sql);
  return stmt;
}

static int64_t number(const char *sql) {
  sqlite3_stmt *stmt = prepare(sql);
  if (sqlite3_step(stmt) != SQLITE_ROW) fail(sql);
  const int64_t value = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  return value;
}

/* Told by the next statement here that reads from the file. */
static void change_schema(void) {
  static int n;
  char sql[100];
  snprintf(sql, sizeof sql, "CREATE TABLE extra%d(x)", n++);
  assert(sqlite3_exec(other, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static void change_and_notice(void) {
  change_schema();
  assert(number("SELECT count(*) FROM t") == 5);
}

static void fill(int n) {
  char sql[200];
  while (number("SELECT far_pop('jobs') IS NOT NULL")) {
  }
  snprintf(sql, sizeof sql,
           "INSERT INTO jobs WITH RECURSIVE i(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM i "
           "WHERE n < %d) SELECT n FROM i",
           n);
  run(sql);
}

/* The sum of what the statement shows, while the schema changes before each of some rows. */
static int64_t sum(const char *sql, int every) {
  sqlite3_stmt *stmt = prepare(sql);
  int64_t all = 0;
  int rc, i = 0;
  while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    if (i++ % every == 0) change_and_notice();
    all += sqlite3_column_int64(stmt, 0);
  }
  if (rc != SQLITE_DONE) fail(sql);
  sqlite3_finalize(stmt);
  return all;
}

static void cursors(void) {
  fill(MANY);
  assert(sum("SELECT value FROM far_take('jobs', 1000)", 100) == MANY * (MANY + 1) / 2);
  fill(10);
  assert(sum("SELECT x FROM jobs", 3) == 55);
  assert(sum("SELECT id FROM rows", 2) == 15);
  assert(sum("SELECT id FROM stored WHERE id IN (1, 2, 3)", 1) == 6);
  assert(sum("SELECT i FROM hist WHERE i < 4", 1) == 6);
  ok("cursors, while schemas are read anew");
}

static void functions(void) {
  fill(10);
  assert(sum("SELECT far_pop('jobs') FROM five", 1) == 15);
  assert(sum("SELECT far_add_at('hist', 1, x) FROM five", 1) == 1 + 3 + 6 + 10 + 15);
  assert(sum("SELECT far_refresh('hist') FROM five", 1) >= 0);
  assert(sum("SELECT far_observe('lat', x) FROM five", 1) >= 0);
  assert(sum("SELECT far_turn('lat') FROM five", 1) >= 0);
  assert(number("SELECT far_pop('jobs')") == 6);
  ok("functions on tables, while schemas are read anew");
}

/* Triggers run between what far_pump() does, and notice what another one changed. */
static void pump(void) {
  fill(10);
  run("CREATE TEMP TABLE inbox(name, key, seen);"
      "CREATE TEMP TRIGGER came AFTER INSERT ON inbox BEGIN"
      "  UPDATE inbox SET seen = (SELECT far_pop('jobs') + count(*) FROM side.t)"
      "  WHERE rowid = new.rowid;"
      "END;");
  number("SELECT far_watch('rows', 1)");
  number("SELECT far_watch('rows', 2)");
  for (int i = 0; i < 3; i++) {
    run("UPDATE rows SET n = n + 1 WHERE id < 3");
    change_schema();
    assert(number("SELECT far_pump('inbox')") == 2);
  }
  assert(number("SELECT count(*) FROM inbox") == 6);
  assert(number("SELECT sum(seen) FROM inbox") == 21 + 6 * 5);
  ok("far_pump() and its triggers, while schemas are read anew");
}

static void transactions(void) {
  fill(1);
  run("BEGIN; INSERT INTO jobs VALUES (2); UPDATE rows SET n = 100");
  change_and_notice();
  run("SAVEPOINT a; INSERT INTO jobs VALUES (1000); UPDATE rows SET n = 0");
  change_and_notice();
  run("ROLLBACK TO a; INSERT INTO jobs VALUES (3)");
  change_and_notice();
  run("COMMIT");
  assert(number("SELECT sum(x) FROM jobs") == 6 && number("SELECT sum(n) FROM rows") == 500);
  change_schema();
  run("BEGIN; UPDATE stored SET n = 7; UPDATE rows SET n = 1; INSERT INTO t VALUES (6); COMMIT");
  assert(number("SELECT sum(n) FROM stored") == 35 && number("SELECT sum(n) FROM rows") == 5);
  ok("transactions, while schemas are read anew");
}

/* One thing is one thing in a transaction, however many tables show it. */
static void twice(void) {
  char text[300];
  snprintf(text, sizeof text,
           "CREATE VIRTUAL TABLE temp.again USING far_map(id INTEGER PRIMARY KEY, n INTEGER, "
           "name='rows', at='file:%s/m')",
           folder);
  run(text);
  run("BEGIN; UPDATE rows SET n = 10 WHERE id = 1; UPDATE again SET n = n + 1 WHERE id = 1;"
      "INSERT INTO again VALUES (100, 100); SAVEPOINT a; DELETE FROM again; ROLLBACK TO a");
  assert(number("SELECT n FROM rows WHERE id = 1") == 11);
  assert(number("SELECT sum(n) FROM rows") == 11 + 4 + 100);
  run("COMMIT");
  assert(number("SELECT count(*) FROM rows WHERE id = 1") == 1);
  assert(number("SELECT sum(n) FROM again") == 11 + 4 + 100);
  run("DROP TABLE again");
  ok("two tables of one map");
}

/* A table that is being taken from stays, and one that was changed. */
static void dropped(void) {
  run("BEGIN; INSERT INTO jobs VALUES (1)");
  assert(sqlite3_exec(db, "DROP TABLE jobs", NULL, NULL, NULL) == SQLITE_LOCKED);
  run("COMMIT");
  fill(10);
  sqlite3_stmt *stmt = prepare("SELECT value FROM far_take('jobs', 3)");
  assert(sqlite3_step(stmt) == SQLITE_ROW);
  assert(sqlite3_exec(db, "DROP TABLE jobs", NULL, NULL, NULL) == SQLITE_LOCKED);
  assert(sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_int(stmt, 0) == 2);
  sqlite3_finalize(stmt);
  run("DROP TABLE jobs");
  ok("a queue is not dropped while somebody takes from it, or puts something");
}

static void open_all(void) {
  const char *build = getenv("TENFOLD_BUILD");
  char text[1000], file[100];
  snprintf(file, sizeof file, "%s/side.db", folder);
  assert(sqlite3_open(file, &other) == SQLITE_OK);
  snprintf(file, sizeof file, "%s/app.db", folder);
  assert(sqlite3_open(file, &db) == SQLITE_OK);
  sqlite3_busy_timeout(other, 10000);
  snprintf(text, sizeof text, "%s/far.so", build ? build : "build");
  sqlite3_enable_load_extension(db, 1);
  if (sqlite3_load_extension(db, text, NULL, NULL) != SQLITE_OK) fail(text);
  snprintf(text, sizeof text, "ATTACH '%s/side.db' AS side", folder);
  run(text);
  run("PRAGMA main.synchronous = OFF; PRAGMA side.journal_mode = WAL; PRAGMA side.synchronous = "
      "OFF;"
      "CREATE TABLE side.t(x); INSERT INTO t VALUES (1), (2), (3), (4), (5);"
      "CREATE TEMP TABLE five AS SELECT x FROM t");
  assert(sqlite3_exec(other, "PRAGMA synchronous = OFF", NULL, NULL, NULL) == SQLITE_OK);
  snprintf(text, sizeof text,
           "CREATE VIRTUAL TABLE temp.jobs USING far_queue(x INTEGER, at='file:%s/m', size='8M', "
           "length=1000);"
           "CREATE VIRTUAL TABLE temp.rows USING far_map(id INTEGER PRIMARY KEY, n INTEGER, "
           "at='file:%s/m');"
           "CREATE VIRTUAL TABLE stored USING far_map(id INTEGER PRIMARY KEY, n INTEGER, "
           "at='file:%s/m');",
           folder, folder, folder);
  run(text);
  snprintf(text, sizeof text,
           "CREATE VIRTUAL TABLE temp.hist USING far_vector(n INTEGER NOT NULL, at='file:%s/m', "
           "length=10, refresh=1000);"
           "CREATE VIRTUAL TABLE temp.lat USING far_histogram(at='file:%s/m', buckets=4, low=0, "
           "high=10, windows=3);"
           "INSERT INTO rows SELECT x, 0 FROM t; INSERT INTO stored SELECT x, 0 FROM t",
           folder, folder);
  run(text);
}

int main(void) {
  char command[100];
  assert(mkdtemp(folder));
  open_all();
  cursors();
  functions();
  pump();
  transactions();
  twice();
  dropped();
  assert(sqlite3_close(db) == SQLITE_OK && sqlite3_close(other) == SQLITE_OK);
  printf("1..%d\n", done);
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}
