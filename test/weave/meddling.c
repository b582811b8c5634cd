/*
** What else goes on in a program while a model is solved: functions of rules that run statements of
** their own, other connections that write, a locale with a decimal comma, functions of SQLite that
** the program has replaced.
*/
#define _GNU_SOURCE /* mkdtemp */
#include <locale.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int checks, failures;
static char folder[] = "/tmp/tenfold-meddling-XXXXXX";

static void check(bool ok, const char *what, const char *got) {
  checks++;
  failures += !ok;
  printf("%s %d - %s\n", ok ? "ok" : "not ok", checks, what);
  if (!ok) printf("# got: %s\n", got);
}

/* The first column of the first row, or the message of the error. */
static const char *ask(sqlite3 *db, const char *sql) {
  static char answer[600];
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_step(statement);
  const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : "";
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) text = sqlite3_errmsg(db);
  snprintf(answer, sizeof answer, "%d %s", rc, text ? text : "NULL");
  sqlite3_finalize(statement);
  return answer;
}

static void expect(sqlite3 *db, const char *sql, const char *part) {
  const char *answer = ask(db, sql);
  check(strstr(answer, part) != NULL, sql, answer);
}

static sqlite3 *open_model(const char *path) {
  static const char *const schema =
      "PRAGMA journal_mode = WAL;"
      "CREATE TABLE node(name TEXT PRIMARY KEY, cpu INT, price REAL);"
      "INSERT INTO node VALUES ('a', 8, 2.5), ('b', 8, 1.5);"
      "CREATE TABLE pod(name TEXT PRIMARY KEY, cpu TEXT, node TEXT);"
      "INSERT INTO pod(name, cpu) VALUES ('p', '1.5'), ('q', '2.5');"
      "CREATE VIEW r_cpu AS SELECT sum(p.cpu) <= n.cpu AS must"
      "  FROM node n JOIN pod p ON p.node = n.name GROUP BY n.name;"
      "CREATE VIEW r_known AS SELECT node IN (SELECT name FROM node) AS must FROM pod;"
      "CREATE VIEW o_price AS SELECT p.cpu * n.price AS minimize"
      "  FROM pod p JOIN node n ON n.name = p.node;"
      "CREATE VIRTUAL TABLE m USING weave(DECIDE pod.node IN (SELECT name FROM node),"
      "  RULES (r_meddle, r_cpu, r_known, o_price), LIMIT 2.5)";
  sqlite3 *db = NULL;
  const char *build = getenv("TENFOLD_BUILD");
  char library[1000], *error = NULL;
  snprintf(library, sizeof library, "%s/weave.so", build ? build : ".");
  bool ok = sqlite3_open(path, &db) == SQLITE_OK &&
            sqlite3_enable_load_extension(db, 1) == SQLITE_OK &&
            sqlite3_load_extension(db, library, NULL, &error) == SQLITE_OK &&
            sqlite3_exec(db, schema, NULL, NULL, &error) == SQLITE_OK;
  if (ok) return db;
  printf("Bail out! %s\n", error ? error : "no database");
  exit(1);
}

static void close_model(sqlite3 *db) {
  check(sqlite3_close(db) == SQLITE_OK, "the connection closes", sqlite3_errmsg(db));
}

/* ---- a function that does something once ----------------------------------------------------- */

typedef struct Meddler {
  sqlite3 *db; /* in which */
  const char *sql;
  int calls_before;
  char result[200];
} Meddler;

static void meddle(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Meddler *meddler = sqlite3_user_data(ctx);
  (void)argc, (void)argv;
  if (meddler->sql && meddler->calls_before-- == 0) {
    snprintf(meddler->result, sizeof meddler->result, "%s", ask(meddler->db, meddler->sql));
  }
  sqlite3_result_int(ctx, 0);
}

static void add_meddler(sqlite3 *db, Meddler *meddler) {
  sqlite3_create_function(db, "meddle", -1, SQLITE_UTF8, meddler, meddle, NULL, NULL);
  sqlite3_exec(db, "CREATE TEMP VIEW r_meddle AS SELECT meddle(node) = 0 AS must FROM pod", NULL,
               NULL, NULL);
}

static const char solve[] = "SELECT weave_solve('m') ->> '$.status'";

static void test_dropping(void) {
  static const char *const questions[] = {
      solve, "SELECT weave_solve('m', '{\"progress\":\"meddle\"}') ->> '$.status'",
      "SELECT count(*) FROM weave_explain('m')", "SELECT verdict FROM weave_whynot('m', 'p', 'a')"};
  for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
    sqlite3 *db = open_model(":memory:");
    Meddler meddler = {.db = db, .sql = "DROP TABLE m"};
    add_meddler(db, &meddler);
    expect(db, questions[i], "100 ");
    check(strstr(meddler.result, "locked") != NULL, "a model in use is not dropped",
          meddler.result);
    expect(db, solve, "optimal");
    meddler = (Meddler){.db = db, .sql = "DROP TABLE m"};
    expect(db, "SELECT weave_apply('m')", "2");
    check(strstr(meddler.result, "locked") != NULL, "a model in use is not dropped",
          meddler.result);
    expect(db, "DROP TABLE m", "101");
    close_model(db);
  }
}

/* ---- another connection ---------------------------------------------------------------------- */

/* Whenever it writes: the rules are read from one state, and the answer is checked with the last.
 */
static void test_writers(void) {
  char path[100];
  int wrote = 0;
  for (int calls = 0; calls < 8; calls++) {
    snprintf(path, sizeof path, "%s/%d.db", folder, calls);
    sqlite3 *db = open_model(path), *other = NULL;
    sqlite3_open(path, &other);
    Meddler meddler = {
        .db = other, .calls_before = calls, .sql = "UPDATE node SET name = 'new ' || name"};
    add_meddler(db, &meddler);
    const char *answer = ask(db, solve);
    /* In the last rounds the check of the answer holds the write lock, or all is over. */
    bool seen = strncmp(meddler.result, "101", 3) == 0;
    wrote += seen;
    check(strstr(answer, seen ? "5 weave_solve: another connection has written" : "optimal"),
          "another connection writes", answer);
    meddler.sql = NULL;
    if (seen) expect(db, solve, "optimal");
    sqlite3_close(other);
    close_model(db);
    for (const char *const *end = (const char *const[]){"", "-wal", "-shm", NULL}; *end; end++) {
      snprintf(path, sizeof path, "%s/%d.db%s", folder, calls, *end);
      unlink(path);
    }
  }
  check(wrote > 0 && wrote < 8, "writes before and during the check", "");
}

/* ---- the program ----------------------------------------------------------------------------- */

static void test_locale(void) {
  char command[200];
  snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1",
           folder);
  int made = system(command);
  setenv("LOCPATH", folder, 1);
  check(made == 0 && setlocale(LC_NUMERIC, "de_DE.UTF-8") && *localeconv()->decimal_point == ',',
        "a locale with a decimal comma can be had", "");
  sqlite3 *db = open_model(":memory:");
  Meddler meddler = {0};
  add_meddler(db, &meddler);
  expect(db, "SELECT json_extract(weave_solve('m'), '$.status', '$.objective')",
         "[\"optimal\",[-6.0]]");
  expect(db, "SELECT json_type(weave_solve('m'), '$.seconds')", "real");
  close_model(db);
  setlocale(LC_NUMERIC, "C");
}

static void replaced_step(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)ctx, (void)argc, (void)argv;
}

static void replaced_end(sqlite3_context *ctx) { sqlite3_result_int(ctx, 42); }

static void test_replaced(void) {
  sqlite3 *db = open_model(":memory:");
  Meddler meddler = {0};
  add_meddler(db, &meddler);
  expect(db, solve, "optimal");
  sqlite3_create_function(db, "sum", 1, SQLITE_UTF8, NULL, NULL, replaced_step, replaced_end);
  expect(db, solve, "sum() over decisions, which this program has replaced");
  close_model(db);
}

/* An authorizer may answer with NULL what it does not want to be read. */
static int ignore_nth(void *ctx, int action, const char *a, const char *b, const char *c,
                      const char *d) {
  int *left = ctx;
  (void)a, (void)b, (void)c, (void)d;
  return action == SQLITE_READ && (*left)-- == 0 ? SQLITE_IGNORE : SQLITE_OK;
}

static void test_ignored(void) {
  sqlite3 *db = open_model(":memory:");
  Meddler meddler = {0};
  add_meddler(db, &meddler);
  int n = 0, left;
  do {
    left = n++;
    sqlite3_set_authorizer(db, ignore_nth, &left);
    ask(db, solve);
  } while (left < 0 && n < 2000);
  sqlite3_set_authorizer(db, NULL, NULL);
  check(n > 100 && n < 2000, "no column that is hidden does harm", "");
  expect(db, solve, "optimal");
  close_model(db);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  test_dropping();
  test_writers();
  test_locale();
  test_replaced();
  test_ignored();
  char command[100];
  snprintf(command, sizeof command, "rm -r %s", folder);
  if (system(command) != 0) printf("# cannot remove %s\n", folder);
  printf("1..%d\n", checks);
  return failures != 0;
}
