/*
** What happens in the middle of a statement that reads: the same connection begins to write, or
** ends what it wrote, and others write. What is read on is not taken for rows that the transaction
** knows whole: rows have cells out of line, and the memory is small, so blocks that are freed for
** nothing, or never, would be noticed. Then what a look-up brings, and what it does not.
*/
#include <assert.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 200, TIMES = 150 };

static sqlite3 *db;

static void fail(const char *sql) {
  printf("Bail out! %s: %s\n", sql, sqlite3_errmsg(db));
  exit(1);
}

static void run(const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail(sql);
}

static int64_t number(const char *sql) {
  sqlite3_stmt *stmt;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) || sqlite3_step(stmt) != SQLITE_ROW) fail(sql);
  const int64_t value = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  return value;
}

static int64_t step(sqlite3_stmt *stmt, int times) { /* the sum of what comes */
  int64_t sum = 0;
  while (times-- && sqlite3_step(stmt) == SQLITE_ROW) sum += sqlite3_column_int64(stmt, 0);
  return sum;
}

/* What the transaction had changed is read on, whatever becomes of it meanwhile. */
static void end_midway(const char *how) {
  sqlite3_stmt *stmt;
  const int64_t before = number("SELECT sum(n) FROM t");
  if (sqlite3_prepare_v2(db, "SELECT n FROM t", -1, &stmt, NULL) != SQLITE_OK) fail(how);
  run("BEGIN; UPDATE t SET n = n + 1000");
  int64_t sum = step(stmt, 5);
  run("INSERT INTO other SELECT id + 1000, 7 FROM ids");
  sum += step(stmt, 5);
  run(how);
  sum += step(stmt, ROWS);
  assert(sum == before + ROWS * 1000);
  sqlite3_finalize(stmt);
  if (!strcmp(how, "COMMIT")) run("DELETE FROM other; UPDATE t SET n = n - 1000");
}

/* In one statement: what is read of one table is written into another one of the same memory. */
static void copy_midway(void) {
  run("BEGIN; UPDATE t SET n = id; INSERT INTO other SELECT id, n FROM t; COMMIT");
  assert(number("SELECT count(*) FROM other WHERE id = n") == ROWS);
  run("DELETE FROM other; UPDATE t SET n = 0");
}

/* Another connection changes a row between its reading and its writing. */
static void meddle(sqlite3_context *ctx, int count, sqlite3_value **values) {
  sqlite3 *another = sqlite3_user_data(ctx);
  char text[100];
  (void)count;
  snprintf(text, sizeof text, "UPDATE t SET n = n + 100 WHERE id = %d",
           sqlite3_value_int(values[0]));
  const int rc = sqlite3_exec(another, text, NULL, NULL, NULL);
  sqlite3_result_int(ctx, rc == SQLITE_OK ? 1 : -1000000);
}

static void others_midway(void) {
  static const char sql[] = "UPDATE t SET n = n + meddle(id) WHERE id = 77";
  assert(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_BUSY);
  assert(number("SELECT n FROM t WHERE id = 77") == 100);
  run("UPDATE t SET n = 0");
}

/* Rows that are kept are whole, whatever was asked for first. */
static void keep(void) {
  for (int id = 1; id <= 40; id++) {
    char text[100];
    snprintf(text, sizeof text, "SELECT n FROM kept WHERE id = %d", id);
    assert(number(text) == 0);
    snprintf(text, sizeof text, "SELECT name = 'name of ' || id FROM kept WHERE id = %d", id);
    assert(number(text) == 1);
  }
}

/* Cells as long as what is brought along, and a little longer. */
static void long_cells(void) {
  for (int length = 3900; length < 4300; length += 4) {
    char text[200];
    snprintf(text, sizeof text,
             "DELETE FROM edge; INSERT INTO edge VALUES('a', printf('%%.*c', %d, 'x')), ('b', "
             "printf('%%.*c', 900, 'y'))",
             length);
    run(text);
    for (int i = 0; i < 2; i++) {
      const int64_t whole = number("SELECT sum(length(body) - length(replace(body, 'x', ''))) FROM "
                                   "edge WHERE id IN ('a', 'b')");
      assert(whole == length);
    }
  }
}

/* `sql` reads the ids of all rows. */
static void write_midway(const char *sql) {
  for (int i = 0; i < TIMES; i++) {
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) fail(sql);
    int64_t sum = step(stmt, 3);
    run("BEGIN; UPDATE t SET n = n + 1 WHERE id = 2");
    sum += step(stmt, 60);
    run("UPDATE t SET body = zeroblob(4000 + n) WHERE id IN (50, 60, 170)");
    sum += step(stmt, ROWS);
    sqlite3_finalize(stmt);
    run("COMMIT");
    assert(sum == ROWS * (ROWS + 1) / 2);
  }
  assert(number("SELECT count(*) FROM t WHERE length(body) = 3000") == ROWS - 3);
  assert(number("SELECT sum(length(body)) FROM t WHERE id IN (50, 60, 170)") == 12000);
}

static sqlite3 *open_tables(const char *at) {
  static const char make[] =
      "CREATE VIRTUAL TABLE t USING far_map(id INTEGER PRIMARY KEY, n INTEGER, body BLOB(16), "
      "at='%s', size='8M');"
      "CREATE VIRTUAL TABLE other USING far_map(id INTEGER PRIMARY KEY, n INTEGER, at='%s');"
      "CREATE VIRTUAL TABLE kept USING far_map(id INTEGER PRIMARY KEY, n INTEGER, name TEXT(20), "
      "at='%s', stale_ms=100000);"
      "CREATE VIRTUAL TABLE edge USING far_map(id TEXT(510) PRIMARY KEY, body TEXT, at='%s')";
  const char *build = getenv("TENFOLD_BUILD");
  char text[1000];
  snprintf(text, sizeof text, "%s/far.so", build ? build : "build");
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) fail("open");
  sqlite3_enable_load_extension(db, 1);
  if (sqlite3_load_extension(db, text, NULL, NULL) != SQLITE_OK) fail(text);
  snprintf(text, sizeof text, make, at, at, at, at);
  run(text);
  return db;
}

int main(void) {
  static const char list[] = "SELECT id FROM t WHERE id IN (SELECT id FROM ids)";
  char text[100], at[64];
  snprintf(at, sizeof at, "shm:test-midway-%d", (int)getpid());
  sqlite3 *another = open_tables(at);
  open_tables(at);
  sqlite3_create_function(db, "meddle", 1, SQLITE_UTF8, another, meddle, NULL, NULL);
  run("CREATE TABLE ids(id INTEGER PRIMARY KEY); INSERT INTO ids WITH RECURSIVE n(i) AS (SELECT 1 "
      "UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT i FROM n;"
      "INSERT INTO t SELECT id, 0, zeroblob(3000) FROM ids;"
      "INSERT INTO kept SELECT id, 0, 'name of ' || id FROM ids");
  write_midway("SELECT id FROM t");
  puts("ok 1 - a range goes on while the connection writes");
  write_midway(list);
  puts("ok 2 - a list does");
  end_midway("COMMIT");
  end_midway("ROLLBACK");
  copy_midway();
  puts("ok 3 - what the transaction has changed is read on, whatever becomes of it");
  others_midway();
  puts("ok 4 - a row that was changed by somebody else after it was read is refused");
  keep();
  puts("ok 5 - rows that are kept are whole");
  long_cells();
  puts("ok 6 - cells as long as what there is room for");
  sqlite3_close(db);
  sqlite3_close(another);
  snprintf(text, sizeof text, "/dev/shm/tenfold-%s", at + 4);
  unlink(text);
  puts("1..6");
  return 0;
}
