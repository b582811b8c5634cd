/*
** Several programs at once: a row is read whole while others change it, in line and out of line, by
** its key, by a list and by a range; and a scan meets every row that is there all the time, once,
** while others make buckets split. By shared memory, and by way of a server.
*/
#define _DEFAULT_SOURCE
#include <assert.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 40, LINE = 600, LONG = 10000, LOOKS = 3000, FIXED = 300, SCANS = 150 };

static char folder[] = "/tmp/tenfold-races-XXXXXX", at[64];
static int done;

static void fail(sqlite3 *db, const char *sql) {
  printf("Bail out! %s: %s\n", sql, sqlite3_errmsg(db));
  fflush(stdout);
  _exit(1);
}

static void run(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail(db, sql);
}

static sqlite3 *open_tables(void) {
  const char *build = getenv("TENFOLD_BUILD");
  char text[1000];
  sqlite3 *db;
  snprintf(text, sizeof text, "%s/far.so", build ? build : "build");
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) fail(db, "open");
  sqlite3_enable_load_extension(db, 1);
  if (sqlite3_load_extension(db, text, NULL, NULL) != SQLITE_OK) fail(db, text);
  snprintf(text, sizeof text,
           "CREATE VIRTUAL TABLE temp.t USING far_map(id INTEGER PRIMARY KEY, line TEXT(%d), "
           "long BLOB, at='%s', size='64M', deadline=20000);"
           "CREATE VIRTUAL TABLE temp.s USING far_map(id INTEGER PRIMARY KEY, at='%s', leaf=8, "
           "deadline=20000)",
           LINE, at, at);
  run(db, text);
  return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
  sqlite3_stmt *stmt;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) fail(db, sql);
  return stmt;
}

/* What others do meanwhile: until they are killed. */
static pid_t beside(void (*work)(sqlite3 *db, unsigned seed), unsigned seed) {
  fflush(stdout);
  const pid_t child = fork();
  assert(child >= 0);
  if (child) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  work(open_tables(), seed);
  _exit(1);
}

static void end(const pid_t *others, int n) {
  for (int i = 0; i < n; i++) {
    int status;
    kill(others[i], SIGKILL);
    assert(waitpid(others[i], &status, 0) == others[i]);
    assert(WIFSIGNALED(status)); /* none had failed before */
  }
}

/* ---- rows are whole -------------------------------------------------------------------------- */

static void flip(sqlite3 *db, unsigned seed) {
  sqlite3_stmt *stmt = prepare(db, "UPDATE t SET line = ?1, long = ?2 WHERE id = ?3");
  static char line[LINE], bytes[LONG];
  for (unsigned n = seed;; n++) {
    const int letter = 'a' + (int)(n % 26), length = 1 + (int)(n * 7919 % LINE);
    memset(line, letter, sizeof line);
    memset(bytes, letter, sizeof bytes);
    sqlite3_bind_text(stmt, 1, line, length, SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 2, bytes, n % 3 ? LONG : length, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 3, (int)(n * 31 % ROWS));
    const int rc = sqlite3_step(stmt); /* the other one may have been first */
    if (rc != SQLITE_DONE && rc != SQLITE_BUSY && sqlite3_errcode(db) != SQLITE_BUSY)
      fail(db, "flip");
    sqlite3_reset(stmt);
  }
}

static bool all_same(const char *bytes, int n, char letter) {
  for (int i = 0; i < n; i++)
    if (bytes[i] != letter) return false;
  return true;
}

/* How many rows came, -1: one was changed while its long cell was read, and SQLite was told so. */
static int read_whole(sqlite3 *db, sqlite3_stmt *stmt) {
  int rows = 0, rc;
  while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    const char *line = (const char *)sqlite3_column_text(stmt, 1);
    const char *bytes = sqlite3_column_blob(stmt, 2);
    if (!line || !bytes) break;
    if (!all_same(line, sqlite3_column_bytes(stmt, 1), line[0]) ||
        !all_same(bytes, sqlite3_column_bytes(stmt, 2), line[0])) {
      printf("not ok - half of one row and half of another: id %d\n", sqlite3_column_int(stmt, 0));
      fflush(stdout);
      _exit(1);
    }
    rows++;
  }
  if (rc != SQLITE_DONE && sqlite3_errcode(db) != SQLITE_BUSY) fail(db, "reading");
  sqlite3_reset(stmt);
  return rc == SQLITE_DONE ? rows : -1;
}

static void rows_are_whole(void) {
  sqlite3 *db = open_tables();
  run(db, "WITH RECURSIVE c(x) AS (VALUES (0) UNION ALL SELECT x + 1 FROM c WHERE x < 39) "
          "INSERT INTO t SELECT x, 'a', CAST('a' AS BLOB) FROM c");
  const pid_t others[] = {beside(flip, 1), beside(flip, 1000)};
  sqlite3_stmt *queries[] = {prepare(db, "SELECT * FROM t WHERE id = ?1"),
                             prepare(db, "SELECT * FROM t WHERE id IN (?1, 5, 17, 39)"),
                             prepare(db, "SELECT * FROM t WHERE id BETWEEN ?1 AND ?1 + 4"),
                             prepare(db, "SELECT * FROM t ORDER BY id DESC LIMIT 3 + ?1 % 2")};
  int looks = 0, again = 0;
  for (; looks < LOOKS; looks++) {
    sqlite3_stmt *stmt = queries[looks % 4];
    sqlite3_bind_int(stmt, 1, looks * 13 % (ROWS - 4));
    const int rows = read_whole(db, stmt);
    again += rows < 0;
    assert(rows != 0);
  }
  end(others, 2);
  printf("# %d looks, %d of them were told that a row had changed\n", looks, again);
  assert(again < looks);
  for (int i = 0; i < 4; i++) sqlite3_finalize(queries[i]);
  assert(sqlite3_close(db) == SQLITE_OK);
  printf("ok %d - rows are whole, %s\n", ++done, at);
}

/* ---- scans while buckets split --------------------------------------------------------------- */

/* Keys between the fixed ones come and go: buckets split, and are never joined again. */
static void grow(sqlite3 *db, unsigned seed) {
  sqlite3_stmt *stmt = prepare(db, "INSERT INTO s VALUES (?1)"),
               *gone = prepare(db, "DELETE FROM s WHERE id = ?1");
  for (unsigned n = seed;; n += 2) {
    const int id = (int)(n * 2654435761U % (FIXED * 100));
    sqlite3_stmt *next = n % 8 < 6 ? stmt : gone;
    if (id % 100 == 0) continue;
    sqlite3_bind_int(next, 1, id);
    const int rc = sqlite3_step(next), code = sqlite3_errcode(db);
    if (rc != SQLITE_DONE && code != SQLITE_BUSY && code != SQLITE_CONSTRAINT) fail(db, "growing");
    sqlite3_reset(next);
  }
}

/* The rows come in order, and all the fixed ones are among them. */
static int64_t scan(sqlite3_stmt *stmt, bool reverse) {
  int64_t last = reverse ? INT64_MAX : INT64_MIN, all = 0, fixed = 0;
  while (sqlite3_step(stmt) == SQLITE_ROW) {
    const int64_t id = sqlite3_column_int64(stmt, 0);
    if (reverse ? id >= last : id <= last) {
      printf("not ok - %lld comes after %lld\n", (long long)id, (long long)last);
      _exit(1);
    }
    last = id;
    fixed += id % 100 == 0;
    all++;
  }
  if (sqlite3_reset(stmt) != SQLITE_OK) fail(sqlite3_db_handle(stmt), "scanning");
  if (fixed != FIXED) {
    printf("not ok - %lld of %d rows that were there all the time\n", (long long)fixed, FIXED);
    fflush(stdout);
    _exit(1);
  }
  return all;
}

static void scans_are_whole(void) {
  sqlite3 *db = open_tables();
  run(db, "WITH RECURSIVE c(x) AS (VALUES (0) UNION ALL SELECT x + 1 FROM c WHERE x < 299) "
          "INSERT INTO s SELECT x * 100 FROM c");
  const pid_t others[] = {beside(grow, 1), beside(grow, 2)};
  sqlite3_stmt *forward = prepare(db, "SELECT id FROM s ORDER BY id"),
               *backward = prepare(db, "SELECT id FROM s ORDER BY id DESC");
  int64_t all = 0;
  for (int i = 0; i < SCANS || all < 4 * FIXED; i++)
    all = scan(i % 2 ? forward : backward, i % 2 == 0);
  end(others, 2);
  printf("# %lld rows in the last scan\n", (long long)all);
  sqlite3_finalize(forward);
  sqlite3_finalize(backward);
  assert(sqlite3_close(db) == SQLITE_OK);
  printf("ok %d - scans are whole, %s\n", ++done, at);
}

/* ---- by way of a server ---------------------------------------------------------------------- */

static pid_t serve(void) {
  const char *build = getenv("TENFOLD_BUILD");
  char program[1000];
  snprintf(program, sizeof program, "%s/farmemd", build ? build : "build");
  snprintf(at, sizeof at, "unix:%s/socket", folder);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl(program, program, "--quiet", "--size", "64M", "--listen", at, NULL);
    _exit(127);
  }
  const struct timespec pause = {0, 2000000};
  for (int i = 0; i < 5000 && access(at + 5, F_OK); i++) nanosleep(&pause, NULL);
  return child;
}

int main(void) {
  char command[100];
  assert(mkdtemp(folder));
  snprintf(at, sizeof at, "file:%s/memory", folder);
  rows_are_whole();
  scans_are_whole();
  const pid_t server = serve();
  rows_are_whole();
  scans_are_whole();
  kill(server, SIGTERM);
  waitpid(server, NULL, 0);
  printf("1..%d\n", done);
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}
