/*
** A statement that reads some columns has begun when the same connection begins to write: what it
** goes on to read is not taken for rows that the transaction knows whole. Rows have cells out of
** line, and the memory is small: blocks that are freed for nothing, or never, would be noticed.
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

int main(void) {
  static const char list[] = "SELECT id FROM t WHERE id IN (SELECT id FROM ids)";
  const char *build = getenv("TENFOLD_BUILD");
  char text[500], at[64];
  snprintf(at, sizeof at, "shm:test-midway-%d", (int)getpid());
  snprintf(text, sizeof text, "%s/far.so", build ? build : "build");
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) fail("open");
  sqlite3_enable_load_extension(db, 1);
  if (sqlite3_load_extension(db, text, NULL, NULL) != SQLITE_OK) fail(text);
  snprintf(text, sizeof text,
           "CREATE VIRTUAL TABLE t USING far_map(id INTEGER PRIMARY KEY, n INTEGER, body BLOB(16), "
           "at='%s', size='4M'); CREATE TABLE ids(id INTEGER PRIMARY KEY); "
           "INSERT INTO ids WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i "
           "< 200) SELECT i FROM n; INSERT INTO t SELECT id, 0, zeroblob(3000) FROM ids",
           at);
  run(text);
  write_midway("SELECT id FROM t");
  puts("ok 1 - a range");
  write_midway(list);
  puts("ok 2 - a list");
  sqlite3_close(db);
  snprintf(text, sizeof text, "/dev/shm/tenfold-%s", at + 4);
  unlink(text);
  puts("1..2");
  return 0;
}
