/*
** Tables that are written: life, transactions, savepoints, keys.
*/
#include "test/vtab/check.h"

#include <unistd.h>

/* What was called since the last time. */
static void expect_log(const char *what, const char *calls) {
  bool ok = strcmp(text_get(&store_log), calls) == 0;
  check(ok, what);
  if (!ok) printf("# called:   %s\n# expected: %s\n", text_get(&store_log), calls);
  text_clear(&store_log);
}

static void test_create(sqlite3 *db) {
  expect(db, "CREATE VIRTUAL TABLE s USING demo_store",
         "! 1 demo_store: 0 columns given, 1 to 4 are possible");
  expect(db, "CREATE VIRTUAL TABLE s USING demo_store(a, A)",
         "! 1 demo_store: columns: duplicate column name: A");
  expect(db, "SELECT count(*) FROM sqlite_schema", "0");
  text_clear(&store_log);
  expect(db, "CREATE VIRTUAL TABLE s USING demo_store(a TEXT, b INTEGER, [c-d] TEXT, x)", "");
  expect_log("CREATE is a transaction", "begin sync commit ");
  expect(db, "SELECT name, type FROM pragma_table_info('s')", "a|TEXT b|INTEGER [c-d]|TEXT x|");
  expect(db, "INSERT INTO s VALUES ('1', 2, 3, 4); SELECT * FROM s", "1|2|3|4");
  expect(db, "SELECT name FROM pragma_table_list WHERE type = 'shadow'", "s_data");
  expect(db, "ALTER TABLE s RENAME TO t; SELECT name FROM sqlite_schema", "t t_data");
  expect(db, "SELECT a FROM t", "");
  expect(db, "CREATE VIRTUAL TABLE q USING demo_store(\"a\"\"b\" TEXT, [and], used)", "");
  expect_plan(db, "q WHERE \"\"\"a\"\"\"\"b\"\"\" = 1 AND \"[and]\" > 2 AND used < 3",
              "3:\"\"\"a\"\"\"\"b\"\"\"=? and \"[and]\">? and used<?");
  expect(db, "INSERT INTO q VALUES (1, 3, 2), (1, 1, 2)", "");
  expect(db, "SELECT rowid FROM q WHERE \"\"\"a\"\"\"\"b\"\"\" = '1' AND \"[and]\" > '2'", "1");
  expect(db, "DROP TABLE q", "");
  expect(db, "DROP TABLE t; SELECT count(*) FROM sqlite_schema", "0");
  expect(db, "SELECT * FROM demo_store", "! 1 no such table: demo_store");
}

static void test_writes(sqlite3 *db) {
  expect(db, "CREATE VIRTUAL TABLE s USING demo_store(a, b)", "");
  expect(db, "INSERT INTO s VALUES ('x', 'y'), ('z', NULL)", "");
  expect(db, "INSERT INTO s(rowid, a) VALUES (9, 'nine'); SELECT last_insert_rowid()", "9");
  expect(db, "INSERT INTO s(rowid) VALUES (9)", "! 19 demo_store: key 9 exists");
  expect(db, "SELECT rowid, a, b FROM s", "1|x|y 2|z|NULL 9|nine|NULL");
  text_clear(&store_log);
  expect(db, "UPDATE s SET b = 'new' WHERE a = 'x'; SELECT a, b FROM s", "x|new z|NULL nine|NULL");
  expect_log("columns not assigned are not changed", "begin same sync commit ");
  expect(db, "UPDATE s SET rowid = 5 WHERE rowid = 2; DELETE FROM s WHERE a = 'nine'", "");
  expect(db, "SELECT rowid, a FROM s", "1|x 5|z");
  expect(db, "DELETE FROM s; SELECT count(*) FROM s", "0");
  text_clear(&store_log);
  expect(db, "SELECT count(*) FROM s; BEGIN; SELECT * FROM s; COMMIT", "0");
  expect_log("nothing is called for reads", "");
}

static void test_transactions(sqlite3 *db) {
  expect(db, "BEGIN; INSERT INTO s VALUES (1, 1); ROLLBACK; SELECT count(*) FROM s", "0");
  expect_log("ROLLBACK", "begin rollback ");
  fail_sync = SQLITE_BUSY;
  expect(db, "INSERT INTO s VALUES (1, 1)", "! 5 demo_store: somebody else was faster");
  fail_sync = 0;
  expect_log("a failed sync rolls back", "begin sync rollback ");
  expect(db, "SELECT count(*) FROM s", "0");
  expect(db,
         "CREATE TABLE local(x); BEGIN; INSERT INTO local VALUES (1); INSERT INTO s VALUES (1, 1)",
         "");
  fail_sync = SQLITE_BUSY;
  expect(db, "COMMIT", "! 5 demo_store: somebody else was faster");
  expect(db, "SELECT count(*) FROM local; SELECT count(*) FROM s", "1 1");
  fail_sync = SQLITE_CONSTRAINT;
  expect(db, "COMMIT", "! 19 demo_store: somebody else was faster");
  fail_sync = 0;
  expect(db, "SELECT count(*) FROM local; SELECT count(*) FROM s", "0 0");
}

static void test_savepoints(sqlite3 *db) {
  expect(db,
         "BEGIN; INSERT INTO s VALUES ('a', 1); SAVEPOINT one; INSERT INTO s VALUES ('b', 2);"
         "SAVEPOINT two; INSERT INTO s VALUES ('c', 3); RELEASE two; ROLLBACK TO one;"
         "INSERT INTO s VALUES ('d', 4); COMMIT; SELECT a FROM s",
         "a d");
  expect(db, "INSERT INTO s(rowid, a) SELECT value, 'x' FROM demo_steps(3, 0)",
         "! 19 demo_store: key 1 exists");
  expect(db, "SELECT a FROM s", "a d");
  expect(db,
         "BEGIN; INSERT INTO s VALUES ('e', 5);"
         "INSERT INTO s(rowid, a) SELECT value, 'x' FROM demo_steps(3, 0)",
         "! 19 demo_store: key 1 exists");
  expect(db, "COMMIT; SELECT a FROM s", "a d e");
}

/* A table that cannot undo makes the commit fail, and only when there was something to undo. */
static void test_doomed(sqlite3 *db) {
  const char *doomed = "! 1 demo_log: a savepoint with writes to this table was rolled back, which "
                       "it cannot undo; roll back the transaction";
  expect(db, "CREATE VIRTUAL TABLE l USING demo_log(a)", "");
  expect(db, "BEGIN; SAVEPOINT one; INSERT INTO l VALUES (1); ROLLBACK TO one; COMMIT", doomed);
  expect(db, "SELECT a FROM l", "");
  expect(db,
         "BEGIN; INSERT INTO l VALUES (1); SAVEPOINT one; INSERT INTO local VALUES (1);"
         "ROLLBACK TO one; COMMIT; SELECT a FROM l",
         "1");
  expect(db,
         "BEGIN; SAVEPOINT one; SAVEPOINT two; INSERT INTO l VALUES (2); RELEASE two;"
         "ROLLBACK TO one; COMMIT",
         doomed);
  expect(db,
         "BEGIN; SAVEPOINT one; INSERT INTO l VALUES (2); RELEASE one; SAVEPOINT two;"
         "ROLLBACK TO two; COMMIT; SELECT a FROM l",
         "1 2");
  expect(db,
         "BEGIN; SAVEPOINT one; INSERT INTO l VALUES (3); ROLLBACK TO one; ROLLBACK;"
         "INSERT INTO l VALUES (4); SELECT a FROM l",
         "1 2 4");
  expect(db, "UPDATE l SET a = 5", "! 8 demo_log: rows cannot be changed");
  expect(db, "DELETE FROM l", "! 8 demo_log: rows cannot be deleted");
  expect(db, "CREATE VIRTUAL TABLE n USING demo_native(a)", "");
  expect(db, "BEGIN; SAVEPOINT one; INSERT INTO n VALUES (1); ROLLBACK TO one; COMMIT", "");
}

static void test_keyed(sqlite3 *db) {
  expect(db, "CREATE VIRTUAL TABLE k USING demo_keyed(name TEXT, v)", "");
  expect(db, "SELECT name, pk, \"notnull\" FROM pragma_table_info('k')", "name|1|1 v|0|0");
  expect(db, "INSERT INTO k VALUES ('a', 1), ('b', 2); SELECT * FROM k", "a|1 b|2");
  expect(db, "INSERT INTO k VALUES ('a', 3)", "! 19 demo_keyed: key a exists");
  expect(db, "UPDATE k SET v = 9 WHERE name = 'b'; DELETE FROM k WHERE name = 'a'", "");
  expect(db, "SELECT * FROM k", "b|9");
  expect(db, "SELECT rowid FROM k", "! 1 no such column: rowid");
}

static void test_notes(sqlite3 *db) {
  expect(db, "INSERT INTO demo_notes VALUES ('one'), ('two'); SELECT note FROM demo_notes",
         "one two");
  expect(db,
         "BEGIN; INSERT INTO demo_notes VALUES ('three'); ROLLBACK; SELECT note FROM demo_notes",
         "one two");
  expect(db, "DELETE FROM demo_notes", "! 8 demo_notes: rows cannot be deleted");
}

/* Tables of a database in a file are connected, not created, and without the extension's help the
** rest of the file still opens. */
static void test_reopen(void) {
  sqlite3 *db = NULL;
  char path[60];
  snprintf(path, sizeof path, "/tmp/tenfold-write-%ld.db", (long)getpid());
  remove(path);
  check(sqlite3_open(path, &db) == SQLITE_OK, "a file");
  expect(db, "CREATE VIRTUAL TABLE s USING demo_store(a, b); CREATE TABLE t(x)", "");
  close_demo(db, "closes a file");
  text_clear(&store_log);
  sqlite3_open(path, &db);
  expect(db, "SELECT count(*) FROM s; SELECT count(*) FROM s_data", "0 0");
  expect_log("connecting is no transaction", "");
  close_demo(db, "closes again");
  sqlite3_cancel_auto_extension((void (*)(void))demo_entry);
  sqlite3_open(path, &db);
  expect(db, "SELECT count(*) FROM t; SELECT count(*) FROM s", "0 ! 1 no such module: demo_store");
  close_demo(db, "closes without the extension");
  remove(path);
}

int main(void) {
  check_start();
  sqlite3 *db = open_demo();
  test_create(db);
  test_writes(db);
  text_clear(&store_log);
  test_transactions(db);
  test_savepoints(db);
  test_doomed(db);
  test_keyed(db);
  test_notes(db);
  close_demo(db, "closes");
  test_reopen();
  text_finish(&store_log);
  return check_end();
}
