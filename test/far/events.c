/*
** A table that follows a far one by notices alone, against an ordinary table that gets the same
** changes; and rows that are kept, against the history of what was stored. With notices that are
** lost, doubled and late, and a server that goes and comes.
**
**   test-far-events [statements [seed]]
*/
#define _DEFAULT_SOURCE
#include <assert.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/stop.h"

enum { KEYS = 12, STALE = 30 };

static char folder[] = "/tmp/tenfold-events-XXXXXX";
static uint64_t state;

static unsigned pick(unsigned n) {
  state += UINT64_C(0x9e3779b97f4a7c15);
  uint64_t z = state;
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (unsigned)((z ^ z >> 31) % n);
}

static void pause_ms(int ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

/* The number that the last row of it has first; -1: none. */
static int64_t run(sqlite3 *db, const char *format, ...) {
  va_list args;
  int64_t last = -1;
  va_start(args, format);
  char *sql = sqlite3_vmprintf(format, args);
  va_end(args);
  int rc = SQLITE_OK;
  for (const char *at = sql; rc == SQLITE_OK && *at;) {
    sqlite3_stmt *statement;
    rc = sqlite3_prepare_v2(db, at, -1, &statement, &at);
    while (rc == SQLITE_OK && statement && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
      rc = SQLITE_OK;
      last = sqlite3_column_int64(statement, 0);
    }
    if (rc == SQLITE_DONE) rc = SQLITE_OK;
    if (rc == SQLITE_OK) rc = sqlite3_finalize(statement);
  }
  if (rc != SQLITE_OK) {
    printf("Bail out! %s: %s\n", sql, sqlite3_errmsg(db));
    exit(1);
  }
  sqlite3_free(sql);
  return last;
}

static sqlite3 *open_db(const char *at, const char *more) {
  const char *build = getenv("TENFOLD_BUILD");
  char library[1000];
  sqlite3 *db;
  assert(sqlite3_open(":memory:", &db) == SQLITE_OK);
  sqlite3_enable_load_extension(db, 1);
  snprintf(library, sizeof library, "%s/far.so", build ? build : "build");
  if (sqlite3_load_extension(db, library, NULL, NULL) != SQLITE_OK) exit(2);
  run(db,
      "CREATE VIRTUAL TABLE t USING far_map(k INTEGER PRIMARY KEY, v INTEGER, at='%s', leaf=4%s)",
      at, more);
  return db;
}

static pid_t serve(const char *at, const char *file) {
  const char *build = getenv("TENFOLD_BUILD");
  char program[1000];
  snprintf(program, sizeof program, "%s/farmemd", build ? build : "build");
  unlink(at + strlen("unix:"));
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl(program, program, "--quiet", "--listen", at, "--memory", file, (char *)NULL);
    _exit(127);
  }
  for (int i = 0; i < 2000 && access(at + strlen("unix:"), F_OK); i++) pause_ms(5);
  return child;
}

static void stop(pid_t server) {
  int status;
  kill(server, SIGKILL);
  assert(waitpid(server, &status, 0) == server);
}

static void change(sqlite3 *writer, sqlite3 *oracle) {
  char *sql =
      pick(3) ? sqlite3_mprintf("INSERT OR REPLACE INTO t VALUES (%u, %u)", pick(KEYS), pick(1000))
              : sqlite3_mprintf("DELETE FROM t WHERE k = %u", pick(KEYS));
  run(writer, "%s", sql);
  run(oracle, "%s", sql);
  sqlite3_free(sql);
}

static bool same(sqlite3 *watcher, sqlite3 *oracle) {
  static const char sql[] = "SELECT coalesce(group_concat(k || '=' || v, ' '), '') FROM "
                            "(SELECT k, v FROM %s ORDER BY k)";
  sqlite3_stmt *one, *other;
  char text[200];
  snprintf(text, sizeof text, sql, "mirror");
  assert(sqlite3_prepare_v2(watcher, text, -1, &one, NULL) == SQLITE_OK);
  snprintf(text, sizeof text, sql, "t");
  assert(sqlite3_prepare_v2(oracle, text, -1, &other, NULL) == SQLITE_OK);
  assert(sqlite3_step(one) == SQLITE_ROW && sqlite3_step(other) == SQLITE_ROW);
  const bool equal = !strcmp((const char *)sqlite3_column_text(one, 0),
                             (const char *)sqlite3_column_text(other, 0));
  sqlite3_finalize(one);
  sqlite3_finalize(other);
  return equal;
}

/* Whatever comes: the row as it is now. */
static void make_mirror(sqlite3 *watcher, bool whole) {
  run(watcher, "CREATE TABLE mirror(k INTEGER PRIMARY KEY, v);"
               "CREATE TEMP TABLE inbox(key, kind, gap);"
               "CREATE TEMP TRIGGER follow AFTER INSERT ON inbox BEGIN"
               " DELETE FROM mirror WHERE k = new.key OR new.key IS NULL;"
               " INSERT INTO mirror SELECT k, v FROM t WHERE k = new.key;"
               " INSERT INTO mirror SELECT k, v FROM t WHERE new.key IS NULL;"
               " DELETE FROM inbox; END");
  if (whole) {
    run(watcher, "SELECT far_watch('t')");
  } else {
    for (int i = 0; i < KEYS; i++) run(watcher, "SELECT far_watch('t', %d)", i);
  }
}

static void mirror(const char *left, const char *right, long statements, bool whole,
                   const char *inject) {
  sqlite3 *watcher = open_db(left, ""), *writer = open_db(right, ""), *oracle;
  assert(sqlite3_open(":memory:", &oracle) == SQLITE_OK);
  run(oracle, "CREATE TABLE t(k INTEGER PRIMARY KEY, v)");
  run(writer, "DELETE FROM t");
  make_mirror(watcher, whole);
  if (*inject)
    run(watcher, "SELECT far_inject('%s', %d, '%s')", inject, strcmp(inject, "late") ? 2 : 2000000,
        left);
  for (long i = 0; i < statements; i++) {
    change(writer, oracle);
    if (pick(6) == 0) run(watcher, "SELECT far_pump('inbox')");
    if (pick(30)) continue;
    const int64_t until = clock_now() + INT64_C(30000000000);
    while (!same(watcher, oracle)) { /* all has been told, or will be */
      assert(clock_now() < until);
      run(watcher, "SELECT far_wait(100); SELECT far_pump('inbox')");
    }
  }
  sqlite3_close(oracle);
  assert(sqlite3_close(writer) == SQLITE_OK && sqlite3_close(watcher) == SQLITE_OK);
}

/* ---- rows that are kept ---------------------------------------------------------------------- */

static void kept(const char *left, const char *right, long statements) {
  char option[40];
  snprintf(option, sizeof option, ", stale_ms=%d", STALE);
  sqlite3 *reader = open_db(left, option), *writer = open_db(right, "");
  int64_t ended[2000] = {0}; /* value: when a newer one was there for certain */
  run(writer, "DELETE FROM t; INSERT INTO t VALUES (1, 0)");
  int64_t value = 0, older = 0, reads = 0;
  for (long i = 0; i < statements; i++) {
    if (pick(8) == 0 && value + 1 < 2000) {
      run(writer, "UPDATE t SET v = %lld WHERE k = 1", (long long)value + 1);
      ended[value++] = clock_now();
    }
    const int64_t now = clock_now();
    const int64_t got = run(reader, "SELECT v FROM t WHERE k IN (1, 2)");
    reads++;
    assert(got >= 0 && got <= value);
    assert(got == value || now - ended[got] <= STALE * INT64_C(1000000));
    older += got != value;
    if (pick(10) == 0) pause_ms((int)pick(4));
  }
  const int64_t hits = run(reader, "SELECT hits FROM far_stats");
  printf("# %lld reads, %lld keys that were kept, %lld older values\n", (long long)reads,
         (long long)hits, (long long)older);
  assert(hits > reads / 4);
  assert(sqlite3_close(reader) == SQLITE_OK && sqlite3_close(writer) == SQLITE_OK);
}

/* ---- a server that goes ---------------------------------------------------------------------- */

static void gap(pid_t *server, const char *at, const char *file) {
  sqlite3 *watcher = open_db(at, ""), *writer = open_db(file, "");
  run(writer, "INSERT OR REPLACE INTO t VALUES (1, 10), (2, 20)");
  run(watcher, "SELECT far_watch('t'), far_watch('t', 1), far_watch('t', 2), far_wait(0)");
  run(watcher, "SELECT count(*) FROM far_events; SELECT far_wait(0)");
  stop(*server);
  run(writer, "UPDATE t SET v = 11 WHERE k = 1");
  char *message = NULL;
  assert(sqlite3_exec(watcher, "SELECT far_wait(10000)", NULL, NULL, &message) == SQLITE_IOERR);
  sqlite3_free(message);
  *server = serve(at, file);
  const int64_t until = clock_now() + INT64_C(30000000000);
  int64_t seen = 0;
  while (seen != 7) { /* a gap of each, and what changed */
    assert(clock_now() < until);
    run(watcher, "SELECT far_wait(100)");
    seen |=
        run(watcher, "SELECT coalesce(max(CASE WHEN gap AND key IS NULL THEN 1 END), 0) + "
                     "coalesce(max(CASE WHEN gap AND key = 1 AND kind = 'update' THEN 2 END), "
                     "0) + coalesce(max(CASE WHEN gap AND key = 2 AND kind = 'gap' THEN 4 END), "
                     "0) FROM far_events");
  }
  run(writer, "UPDATE t SET v = 21 WHERE k = 2");
  run(watcher, "SELECT far_wait(10000)");
  while (!run(watcher,
              "SELECT count(*) FROM far_events WHERE key = 2 AND kind = 'update' AND NOT gap"))
    run(watcher, "SELECT far_wait(10000)");
  assert(sqlite3_close(watcher) == SQLITE_OK && sqlite3_close(writer) == SQLITE_OK);
}

int main(int argc, char **argv) {
  const long statements = argc > 1 ? atol(argv[1]) : 2000;
  static const char *const injected[] = {"", "lost", "twice", "late"};
  char at[100], file[100], command[100];
  int done = 0;
  state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  assert(mkdtemp(folder));
  snprintf(at, sizeof at, "unix:%s/socket", folder);
  snprintf(file, sizeof file, "file:%s/memory", folder);
  pid_t server = serve(at, file);
  for (int i = 0; i < 16; i++) {
    const char *left = i & 1 ? at : file, *right = i & 2 ? at : file;
    mirror(left, right, statements / 16, i & 4, injected[(i + i / 4) % 4]);
    printf("ok %d - a mirror: watcher %s, writer %s, %s, %s\n", ++done,
           i & 1 ? "unix:" : "file:", i & 2 ? "unix:" : "file:", i & 4 ? "all of the map" : "rows",
           injected[(i + i / 4) % 4]);
  }
  for (int i = 0; i < 4; i++) {
    kept(i & 1 ? at : file, i & 2 ? at : file, statements / 4);
    printf("ok %d - rows that are kept are not too old\n", ++done);
  }
  gap(&server, at, file);
  printf("ok %d - a server goes and comes\n", ++done);
  stop(server);
  printf("1..%d\n", done);
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}
