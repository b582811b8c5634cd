/*
** The umbrella and what lies beside it: healthy, missing, broken, without entry point, loaded
** before, with extension loading switched off meanwhile. Works in copies of the built libraries.
*/
#define _GNU_SOURCE /* mkdtemp */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int checks, failures;
static char folder[] = "/tmp/tenfold-pack-XXXXXX";

static void check(int ok, const char *what, const char *got) {
  checks++;
  failures += !ok;
  printf("%s %d - %s\n", ok ? "ok" : "not ok", checks, what);
  if (!ok) printf("# got: %s\n", got);
}

static void run(const char *format, const char *a, const char *b) {
  char command[600];
  snprintf(command, sizeof command, format, a, b, folder);
  if (system(command) != 0) {
    printf("Bail out! %s\n", command);
    exit(1);
  }
}

/* The first column of the first row, as text; "" without one. */
static const char *ask(sqlite3 *db, const char *sql) {
  static char answer[600];
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
    snprintf(answer, sizeof answer, "! %s", sqlite3_errmsg(db));
    return answer;
  }
  const char *text = NULL;
  int rc = sqlite3_step(stmt);
  if (rc == SQLITE_ROW) text = (const char *)sqlite3_column_text(stmt, 0);
  snprintf(answer, sizeof answer, "%s", text ? text : "");
  if (rc == SQLITE_ERROR) snprintf(answer, sizeof answer, "! %s", sqlite3_errmsg(db));
  sqlite3_finalize(stmt);
  return answer;
}

static void expect(sqlite3 *db, const char *sql, const char *part) {
  const char *answer = ask(db, sql);
  check(*part ? strstr(answer, part) != NULL : !*answer, sql, answer);
}

static sqlite3 *open_with(const char *library) {
  sqlite3 *db = NULL;
  char path[100], *err = NULL;
  sqlite3_open(":memory:", &db);
  sqlite3_enable_load_extension(db, 1);
  snprintf(path, sizeof path, "%s/%s", folder, library);
  int rc = sqlite3_load_extension(db, path, NULL, &err);
  check(rc == SQLITE_OK, library, err ? err : "");
  sqlite3_free(err);
  sqlite3_enable_load_extension(db, 0);
  return db;
}

static void close_clean(sqlite3 *db) {
  int rc = sqlite3_close(db);
  check(rc == SQLITE_OK && sqlite3_memory_used() == 0, "closes with nothing left", "");
}

static int count_descriptors(void) {
  int count = 0;
  for (int fd = 0; fd < 256; fd++) {
    char path[40], target[8];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    count += readlink(path, target, sizeof target) >= 0;
  }
  return count;
}

static void test_mixed(void) {
  sqlite3 *db = open_with("tenfold");
  expect(db, "SELECT state FROM tenfold_status WHERE extension = 'viz'", "loaded");
  expect(db, "SELECT viz_bar('a', 1, 1)", "a █ 1");
  expect(db, "SELECT state FROM tenfold_status WHERE extension = 'weave'", "failed");
  expect(db, "SELECT message FROM tenfold_status WHERE extension = 'weave'", "file too short");
  expect(db, "SELECT message FROM tenfold_status WHERE extension = 'far'",
         "no entry point sqlite3_far_init");
  expect(db, "SELECT state FROM tenfold_status WHERE extension = 'omni'", "missing");
  expect(db, "SELECT message FROM tenfold_status WHERE extension = 'omni'", "no such file");
  expect(db, "SELECT path FROM tenfold_status WHERE extension = 'omni'", "/omni.so");
  expect(db, "SELECT count(DISTINCT extension) FROM tenfold_about", "2");
  expect(db, "SELECT load_extension('x')", "! not authorized");
  close_clean(db);
}

static void test_order(void) {
  sqlite3 *db = open_with("viz");
  char path[100];
  snprintf(path, sizeof path, "%s/tenfold", folder);
  sqlite3_enable_load_extension(db, 1);
  sqlite3_load_extension(db, path, NULL, NULL);
  int rc = sqlite3_load_extension(db, path, NULL, NULL);
  check(rc == SQLITE_OK, "loaded twice, after a member", sqlite3_errmsg(db));
  expect(db, "SELECT state FROM tenfold_status WHERE extension = 'viz'", "loaded");
  expect(db, "SELECT count(*) FROM tenfold_status", "12");
  snprintf(path, sizeof path, "SELECT load_extension('%s/viz')", folder);
  expect(db, path, "");
  close_clean(db);
}

/* Outstanding statements, tables in use, a close that has to wait. */
static void test_zombie(void) {
  sqlite3 *db = open_with("tenfold");
  sqlite3_stmt *stmt = NULL;
  sqlite3_prepare_v2(db, "SELECT * FROM tenfold_about", -1, &stmt, NULL);
  check(sqlite3_step(stmt) == SQLITE_ROW, "in use", "");
  check(sqlite3_close(db) == SQLITE_BUSY, "cannot close yet", "");
  check(sqlite3_step(stmt) == SQLITE_ROW, "still in use", "");
  check(sqlite3_close_v2(db) == SQLITE_OK, "closes later", "");
  check(sqlite3_step(stmt) == SQLITE_ROW, "and is in use meanwhile", "");
  sqlite3_finalize(stmt);
  check(sqlite3_memory_used() == 0, "nothing left", "");
}

int main(void) {
  const char *build = getenv("TENFOLD_BUILD");
  if (!build || !mkdtemp(folder)) {
    puts("Bail out! TENFOLD_BUILD is not set");
    return 1;
  }
  run("cp %s/tenfold.so %s/viz.so %s", build, build);
  run("%scp %s/viz.so %s/far.so", "", build); /* a library, but not of that name */
  run("%s%s: > %s/weave.so", "", "");
  int before = count_descriptors();
  for (int i = 0; i < 3; i++) {
    test_mixed();
    test_order();
    test_zombie();
  }
  check(count_descriptors() == before, "no descriptor stays open", "");
  run("%s%srm -r %s", "", "");
  printf("1..%d\n", checks);
  return failures > 0;
}
