/*
** Statements in mid-flight: one that reads base tables would go on reading them inside a universe,
** one that was prepared outside would begin to. Entering, changing and leaving refuse the first;
** SQLite's authorizer meets the second.
*/
#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char enter_7[] = "SELECT multiverse_enter('{\"uid\":7}', 'a token of the host')";
static const char enter_8[] = "SELECT multiverse_enter('{\"uid\":8}', 'a token of the host')";
static const char leave[] = "SELECT multiverse_leave('a token of the host')";

static sqlite3 *open_database(void) {
  sqlite3 *db;
  char library[1000], *error = NULL;
  const char *build = getenv("TENFOLD_BUILD");
  snprintf(library, sizeof library, "%s/multiverse.so", build ? build : "build");
  assert(sqlite3_open(":memory:", &db) == SQLITE_OK);
  sqlite3_enable_load_extension(db, 1);
  if (sqlite3_load_extension(db, library, NULL, &error) != SQLITE_OK) {
    printf("Bail out! %s\n", error);
    exit(1);
  }
  assert(sqlite3_exec(db,
                      "CREATE TABLE Post(id INTEGER PRIMARY KEY, author INT, secret TEXT);"
                      "INSERT INTO Post VALUES (1, 7, 'mine'), (2, 8, 'hidden'), (3, 8, 'too');"
                      "INSERT INTO multiverse_rules(tbl, action, rule) VALUES "
                      "('Post', 'allow', 'author = :uid')",
                      NULL, NULL, NULL) == SQLITE_OK);
  return db;
}

static int run(sqlite3 *db, const char *sql) { return sqlite3_exec(db, sql, NULL, NULL, NULL); }

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement;
  assert(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
  return statement;
}

/* One that reads base rows keeps everybody out. */
static void test_reading(void) {
  sqlite3 *db = open_database();
  sqlite3_stmt *reading = prepare(db, "SELECT secret FROM Post");
  assert(sqlite3_step(reading) == SQLITE_ROW);
  assert(run(db, enter_7) == SQLITE_BUSY);
  assert(strstr(sqlite3_errmsg(db), "still running"));
  assert(sqlite3_step(reading) == SQLITE_ROW); /* outside still: nothing is hidden */
  sqlite3_reset(reading);
  assert(run(db, enter_7) == SQLITE_OK);

  /* Prepared outside, for the base table: it now means the table of the same name in front. */
  assert(sqlite3_step(reading) == SQLITE_ROW);
  assert(!strcmp((const char *)sqlite3_column_text(reading, 0), "mine"));
  assert(sqlite3_step(reading) == SQLITE_DONE);
  sqlite3_finalize(reading);
  assert(sqlite3_close(db) == SQLITE_OK);
}

static void test_prepared_for_main(void) {
  sqlite3 *db = open_database();
  sqlite3_stmt *base = prepare(db, "SELECT secret FROM main.Post");
  assert(run(db, enter_7) == SQLITE_OK);
  assert(sqlite3_step(base) == SQLITE_AUTH);
  sqlite3_finalize(base);
  assert(sqlite3_close(db) == SQLITE_OK);
}

/* One that reads a user's rows would go on with those of the next. */
static void test_changing(void) {
  sqlite3 *db = open_database();
  assert(run(db, enter_8) == SQLITE_OK);
  sqlite3_stmt *reading = prepare(db, "SELECT id FROM Post");
  assert(sqlite3_step(reading) == SQLITE_ROW);
  assert(run(db, enter_7) == SQLITE_BUSY);
  assert(run(db, leave) == SQLITE_BUSY);
  assert(sqlite3_step(reading) == SQLITE_ROW && sqlite3_column_int(reading, 0) == 3);
  sqlite3_reset(reading);
  assert(run(db, enter_7) == SQLITE_OK);
  assert(sqlite3_step(reading) == SQLITE_ROW && sqlite3_column_int(reading, 0) == 1);
  assert(sqlite3_step(reading) == SQLITE_DONE);
  sqlite3_finalize(reading);
  assert(sqlite3_close(db) == SQLITE_OK);
}

/* Nor is there a way in or out within a transaction. */
static void test_transaction(void) {
  sqlite3 *db = open_database();
  assert(run(db, "BEGIN") == SQLITE_OK && run(db, enter_7) == SQLITE_BUSY);
  assert(run(db, "COMMIT") == SQLITE_OK && run(db, enter_7) == SQLITE_OK);
  assert(run(db, "BEGIN") == SQLITE_OK && run(db, leave) == SQLITE_BUSY);
  assert(run(db, enter_8) == SQLITE_BUSY);
  assert(run(db, "ROLLBACK") == SQLITE_OK && run(db, leave) == SQLITE_OK);
  assert(sqlite3_close(db) == SQLITE_OK);
}

int main(void) {
  test_reading();
  test_prepared_for_main();
  test_changing();
  test_transaction();
  return 0;
}
