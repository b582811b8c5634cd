/*
** The multiplexer: two separately built libraries share the connection's single hooks.
**
** Builds test/vtab/twin/twin.c twice with the C compiler; runs in the project's root.
*/
#define _GNU_SOURCE /* mkdtemp */
#include "test/vtab/check.h"

#include <unistd.h>

static char folder[] = "/tmp/tenfold-watch-XXXXXX";

static bool build(const char *name, int steps) {
  char command[900];
  const char *cc = getenv("CC");
  snprintf(command, sizeof command,
           "%s -shared -fPIC -std=c11 -D_POSIX_C_SOURCE=200809L -fvisibility=hidden -I. -g "
           "-DTWIN=%s -DTWIN_NAME='\"%s\"' -DTWIN_STEPS=%d -o %s/%s.so test/vtab/twin/twin.c "
           "vtab/*.c base/*.c -lm -ldl",
           cc ? cc : "cc", name, name, steps, folder, name);
  return system(command) == 0;
}

static sqlite3 *open_twins(void) {
  sqlite3 *db = open_demo();
  char path[100], *err = NULL;
  sqlite3_enable_load_extension(db, 1);
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, i ? "right" : "left");
    if (sqlite3_load_extension(db, path, NULL, &err) != SQLITE_OK) {
      printf("Bail out! %s: %s\n", path, err);
      exit(1);
    }
  }
  return db;
}

/* Three copies of the kit: the program's own, and one in each library. */
static void test_pack(sqlite3 *db) {
  expect(db, "SELECT demo_version() = left_version()", "1");
  expect(db, "SELECT left_pack(), right_pack()", "demo left right |demo left right ");
}

static void test_authorizer(sqlite3 *db) {
  expect(db,
         "CREATE TABLE deny_left(x); CREATE TABLE deny_right(x); CREATE TABLE ignore(x);"
         "CREATE TABLE ignore_left(x); INSERT INTO ignore VALUES (1); INSERT INTO ignore_left "
         "VALUES (2); INSERT INTO deny_right VALUES (3)",
         "");
  expect(db, "SELECT left_alive(0)", "0");
  expect(db, "SELECT left_watch(0)", "0");
  expect(db, "SELECT x FROM deny_left", "! 23 access to deny_left.x is prohibited");
  expect(db, "SELECT x FROM deny_right", "3");
  expect(db, "SELECT right_watch(0)", "0");
  expect(db, "SELECT x FROM deny_right", "! 23 access to deny_right.x is prohibited");
  expect(db, "SELECT x FROM deny_left", "! 23 access to deny_left.x is prohibited");
  expect(db, "SELECT x FROM ignore_left", "NULL");
  expect(db, "SELECT x FROM ignore", "NULL");
  expect(db,
         "SELECT left_inside('SELECT x FROM deny_left'), right_inside('SELECT x FROM deny_left')",
         "0|0");
  expect(db, "SELECT left_alive(0), right_alive(0)", "1|1");
  expect(db, "SELECT left_unwatch(0)", "NULL"); /* the first in is the first out */
  expect(db, "SELECT x FROM deny_left", "");
  expect(db, "SELECT x FROM deny_right", "! 23 access to deny_right.x is prohibited");
  expect(db, "SELECT right_unwatch(0)", "NULL");
  expect(db, "SELECT x FROM deny_right", "3");
  expect(db, "SELECT left_alive(0)", "0");
}

/* A statement that was prepared before somebody subscribed is asked about before it runs again. */
static void test_prepared(sqlite3 *db) {
  sqlite3_stmt *stmt = NULL;
  sqlite3_prepare_v2(db, "SELECT x FROM deny_right", -1, &stmt, NULL);
  check(sqlite3_step(stmt) == SQLITE_ROW, "prepared before");
  sqlite3_reset(stmt);
  expect(db, "SELECT left_watch(0)", "0");
  check(sqlite3_step(stmt) == SQLITE_ROW, "not the left one's business");
  sqlite3_reset(stmt);
  expect(db, "SELECT right_watch(0)", "0");
  check(sqlite3_step(stmt) == SQLITE_AUTH, "refused once the right one watches");
  sqlite3_finalize(stmt);
  expect(db, "SELECT right_unwatch(0), left_unwatch(0)", "NULL|NULL");
}

static int allow_all(void *ctx, int action, const char *a, const char *b, const char *c,
                     const char *d) {
  (void)ctx, (void)action, (void)a, (void)b, (void)c, (void)d;
  return SQLITE_OK;
}

static void test_replaced(sqlite3 *db) {
  expect(db, "SELECT left_watch(0)", "0");
  sqlite3_set_authorizer(db, allow_all, NULL);
  expect(db, "SELECT left_alive(0)", "0");
  expect(db, "SELECT left_back(0)", "0");
  expect(db, "SELECT left_alive(0)", "1");
  expect(db, "SELECT left_unwatch(0)", "NULL");
}

static void ignore_update(void *ctx, sqlite3 *db, int op, char const *database, char const *table,
                          sqlite3_int64 old_rowid, sqlite3_int64 new_rowid) {
  (void)ctx, (void)db, (void)op, (void)database, (void)table, (void)old_rowid, (void)new_rowid;
}

void *sqlite3_preupdate_hook(sqlite3 *db,
                             void (*call)(void *, sqlite3 *, int, char const *, char const *,
                                          sqlite3_int64, sqlite3_int64),
                             void *ctx);

static void test_preupdate(sqlite3 *db) {
  expect(db, "SELECT left_watch(1), right_watch(1)", "0|0");
  expect(db,
         "CREATE TABLE t(x PRIMARY KEY) WITHOUT ROWID; INSERT INTO t VALUES (1), (2); UPDATE t "
         "SET x = 3 WHERE x = 2; REPLACE INTO t VALUES (1)",
         "");
  expect(db, "SELECT left_seen(1), right_seen(1)", "5|5");
  expect(db, "SELECT left_alive(1)", "1");
  expect(db, "SELECT left_unwatch(1)", "NULL");
  expect(db, "DELETE FROM t; SELECT left_seen(1), right_seen(1)", "0|2");
  sqlite3_preupdate_hook(db, ignore_update, NULL);
  expect(db, "SELECT right_alive(1)", "0");
  expect(db, "INSERT INTO t VALUES (1); SELECT right_seen(1)", "1"); /* asking put it back */
  expect(db, "SELECT right_unwatch(1)", "NULL");
  check(sqlite3_preupdate_hook(db, NULL, NULL) == NULL, "the last one empties the hook");
}

static void test_trace(sqlite3 *db) {
  expect(db, "SELECT left_watch(2), right_watch(2)", "0|0");
  expect(db, "SELECT left_seen(2)", "1");
  expect(db, "SELECT 1; SELECT 2; SELECT left_seen(2), right_seen(2)", "1 2 3|4");
  expect(db, "SELECT right_unwatch(2)", "NULL");
  expect(db, "SELECT 1; SELECT right_seen(2)", "1 1"); /* its own goodbye */
  expect(db, "SELECT left_alive(2)", "1");
  sqlite3_trace_v2(db, 0, NULL, NULL);
  expect(db, "SELECT left_alive(2)", "0");
  expect(db, "SELECT left_unwatch(2)", "NULL");
}

static void test_progress(sqlite3 *db) {
  const char *work =
      "SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
      "FROM n WHERE i < 2000) SELECT * FROM n)";
  expect(db, "SELECT left_watch(3), right_watch(3)", "0|0");
  expect(db, work, "2000");
  expect(db,
         "SELECT (SELECT left_seen(3)) BETWEEN 9 * r AND 11 * r, r > 2 FROM "
         "(SELECT right_seen(3) AS r)",
         "1|1");
  expect(db, "SELECT left_alive(3)", "1");
  sqlite3_progress_handler(db, 0, NULL, NULL);
  expect(db, "SELECT left_alive(3)", "0");
  expect(db, "SELECT left_unwatch(3), right_unwatch(3)", "NULL|NULL");
}

static void test_inside(sqlite3 *db) {
  expect(db, "SELECT left_watch(2), right_watch(2)", "0|0");
  expect(db, "SELECT left_seen(2) > 0, right_seen(2) > 0", "1|1");
  expect(db, "SELECT left_leave()", "NULL");
  expect(db, "SELECT 1", "1"); /* left goes while it is being called; right still hears of it */
  expect(db, "SELECT left_seen(2), right_seen(2)", "2|3");
  expect(db, "SELECT 1; SELECT left_seen(2), right_alive(2)", "1 0|1");
}

int main(void) {
  check_start();
  if (!mkdtemp(folder) || !build("left", 100) || !build("right", 1000)) {
    printf("Bail out! the twins cannot be built\n");
    return 1;
  }
  sqlite3 *db = open_twins();
  test_pack(db);
  test_authorizer(db);
  test_prepared(db);
  test_replaced(db);
  test_preupdate(db);
  test_trace(db);
  test_progress(db);
  test_inside(db);
  close_demo(db, "closes, with a subscription left");
  db = open_twins();
  expect(db, "SELECT left_watch(0), left_watch(1), left_watch(2), left_watch(3)", "0|0|0|0");
  expect(db, "SELECT right_watch(3), right_watch(2), right_watch(1), right_watch(0)", "0|0|0|0");
  close_demo(db, "closes, with all of them left");
  for (int i = 0; i < 2; i++) {
    char path[100];
    snprintf(path, sizeof path, "%s/%s.so", folder, i ? "right" : "left");
    unlink(path);
  }
  rmdir(folder);
  text_finish(&store_log);
  return check_end();
}
