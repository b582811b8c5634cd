/*
** Random statements, to tables in far memory and to ordinary ones: the same rows, changes and
** errors. Two connections take turns, each with its own view of the memory; transactions,
** savepoints and conflict clauses come as they will. Every other case goes by way of a server.
**
**   test-far-oracle [statements [seed]]
*/
#define _DEFAULT_SOURCE
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

enum { CASES = 200, TEXT = 4000 };

static uint64_t state;

static unsigned pick(unsigned n) {
  state += UINT64_C(0x9e3779b97f4a7c15);
  uint64_t z = state;
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (unsigned)((z ^ z >> 31) % n);
}

typedef struct Words {
  char at[TEXT];
  size_t length;
} Words;

static void say(Words *out, const char *format, ...) {
  va_list args;
  va_start(args, format);
  out->length += (size_t)vsnprintf(out->at + out->length, TEXT - out->length, format, args);
  va_end(args);
  if (out->length >= TEXT) exit(2);
}

/* ---- statements: T is t, keyed by an integer, or w, keyed by a text -------------------------- */

static bool texts; /* the table is w */

static void key(Words *out) {
  if (texts) {
    say(out, "'%.*s%u'", (int)pick(4), "kKé", pick(30));
  } else {
    say(out, "%d", (int)pick(60) - 10);
  }
}

static void odd_key(Words *out) { /* what a key may be compared with */
  static const char *const odd[] = {"NULL", "2.5", "'7'", "x'31'", "1e30", "'abc'", "-1e30", "3.0"};
  if (pick(6)) {
    key(out);
  } else {
    say(out, "%s", odd[pick(8)]);
  }
}

static void term(Words *out) {
  static const char *const operators[] = {"=", "<", "<=", ">", ">=", "<>", "IS"};
  switch (pick(6)) {
  case 0:
    say(out, "k IN (");
    for (unsigned n = 1 + pick(6); n > 0; n--) {
      odd_key(out);
      if (n > 1) say(out, ", ");
    }
    say(out, ")");
    break;
  case 1:
    say(out, "k BETWEEN ");
    odd_key(out);
    say(out, " AND ");
    odd_key(out);
    break;
  case 2:
    say(out, "n %s %u", operators[pick(6)], pick(10));
    break;
  case 3:
    say(out, "(k = ");
    key(out);
    say(out, " OR k = ");
    key(out);
    say(out, ")");
    break;
  case 4:
    say(out, "k IN (SELECT k FROM T WHERE n < %u)", pick(8));
    break;
  default:
    say(out, "k %s ", operators[pick(7)]);
    odd_key(out);
  }
}

static void condition(Words *out) {
  term(out);
  if (pick(4)) return;
  say(out, " AND ("); /* often about the key once more */
  term(out);
  say(out, ")");
}

static void text(Words *out) {
  static const char number[] = "00123456789.e+- ";
  const unsigned length = pick(4) ? pick(12) : pick(60), numbers = pick(3) == 0;
  say(out, "'");
  for (unsigned i = 0; i < length; i++)
    say(out, "%c", numbers ? number[pick(16)] : 'a' + (int)pick(26));
  say(out, "'");
}

static void value(Words *out, char column) {
  if (pick(12) == 0) {
    say(out, "NULL");
  } else if (column == 'n') {
    say(out, "%u", pick(10));
  } else if (column == 'r') {
    say(out, "%u.%u", pick(10), pick(4) * 25);
  } else if (column == 's') {
    text(out);
  } else {
    say(out, "zeroblob(%u)", pick(40));
  }
}

static void write_query(Words *out) {
  static const char *const some[] = {"n", "r, n", "s", "hex(b)", "k", "1", "b IS NULL, n"};
  switch (pick(6)) {
  case 0:
    say(out, "SELECT count(*), sum(n), min(k), max(s) FROM T WHERE ");
    condition(out);
    break;
  case 1:
    say(out, "SELECT a.k, b.k FROM T a JOIN T b ON b.k = a.%s WHERE a.n < 5 ORDER BY 1, 2",
        texts ? "s" : "n");
    break;
  case 2:
    say(out, "SELECT * FROM T WHERE ");
    condition(out);
    say(out, " ORDER BY k%s LIMIT %u OFFSET %u", pick(2) ? " DESC" : "", pick(10), pick(3));
    break;
  case 3:
    say(out, "SELECT k, r, s, hex(b) FROM T ORDER BY k%s", pick(2) ? " DESC" : "");
    break;
  case 4: /* some columns: no more of a row has to come */
    say(out, "SELECT %s FROM T WHERE ", some[pick(sizeof some / sizeof *some)]);
    condition(out);
    say(out, " ORDER BY k");
    break;
  default:
    say(out, "SELECT * FROM T WHERE ");
    condition(out);
    say(out, " ORDER BY k");
  }
}

static void write_change(Words *out) {
  static const char *const clauses[] = {
      "", "", "", " OR IGNORE", " OR REPLACE", " OR ABORT", " OR FAIL", " OR ROLLBACK"};
  const char *clause = clauses[pick(8)];
  switch (pick(5)) {
  case 0:
    say(out, "DELETE FROM T WHERE ");
    condition(out);
    break;
  case 1:
    say(out, "UPDATE%s T SET n = n + 1, s = ", clause);
    value(out, 's');
    say(out, " WHERE ");
    condition(out);
    break;
  case 2:
    say(out, "UPDATE%s T SET k = ", clause);
    key(out);
    say(out, ", b = ");
    value(out, 'b');
    say(out, " WHERE k = ");
    key(out);
    break;
  default:
    say(out, "INSERT%s INTO T(k, n, r, s, b) VALUES ", clause);
    for (unsigned n = 1 + pick(pick(3) ? 3 : 30); n > 0; n--) {
      say(out, "(");
      key(out);
      for (const char *column = "nrsb"; *column; column++) {
        say(out, ", ");
        value(out, *column);
      }
      say(out, n > 1 ? "), " : ")");
    }
  }
}

/* ---- both ------------------------------------------------------------------------------------ */

static void must(sqlite3 *db, const char *sql) {
  char *error = NULL;
  if (sqlite3_exec(db, sql, NULL, NULL, &error) == SQLITE_OK) return;
  printf("Bail out! %s: %s\n", sql, error ? error : "?");
  exit(1);
}

/* The statement with T for the table's name. */
static void name_table(const char *sql, const char *table, Words *out) {
  for (; *sql; sql++) {
    if (*sql == 'T' && (sql[1] == ' ' || sql[1] == '(' || !sql[1]) && sql[-1] == ' ') {
      say(out, "%s", table);
    } else {
      say(out, "%c", *sql);
    }
  }
}

static void answer(sqlite3 *db, const char *sql, Words *out) {
  sqlite3_stmt *statement;
  const int before = sqlite3_total_changes(db);
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
    rc = SQLITE_OK;
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
      const char *shown = (const char *)sqlite3_column_text(statement, i);
      if (out->length < TEXT - 200)
        say(out, "%d:%.80s|", sqlite3_column_type(statement, i), shown ? shown : "");
    }
    if (out->length < TEXT - 200) say(out, "\n");
  }
  sqlite3_finalize(statement);
  say(out, "rc %d, %d changes, autocommit %d", rc == SQLITE_DONE ? 0 : rc & 0xff,
      sqlite3_total_changes(db) - before, sqlite3_get_autocommit(db));
}

static sqlite3 *open_far(const char *at) {
  const char *build = getenv("TENFOLD_BUILD");
  char library[1000], create[600];
  sqlite3 *db;
  sqlite3_open(":memory:", &db);
  sqlite3_enable_load_extension(db, 1);
  snprintf(library, sizeof library, "%s/far.so", build ? build : "build");
  if (sqlite3_load_extension(db, library, NULL, NULL) != SQLITE_OK) must(db, library);
  const char *types = "n INTEGER, r REAL, s TEXT(10), b BLOB(8)";
  snprintf(create, sizeof create,
           "CREATE VIRTUAL TABLE t USING far_map(k INTEGER PRIMARY KEY, %s, at='%s', leaf=4);"
           "CREATE VIRTUAL TABLE w USING far_map(%s, k TEXT(20) PRIMARY KEY, at='%s', leaf=5)",
           types, at, types, at);
  must(db, create);
  return db;
}

static long one_case(const char *at, uint64_t seed, long statements) {
  static const char *const steps[] = {"BEGIN",       "COMMIT",        "ROLLBACK",
                                      "SAVEPOINT a", "ROLLBACK TO a", "RELEASE a",
                                      "SAVEPOINT b", "ROLLBACK TO b", "RELEASE b"};
  sqlite3 *plain, *far[2] = {open_far(at), open_far(at)};
  long failures = 0;
  int turn = 0;
  state = seed;
  sqlite3_open(":memory:", &plain);
  must(plain, "CREATE TABLE t(k INTEGER PRIMARY KEY, n INTEGER, r REAL, s TEXT, b BLOB) STRICT;"
              "CREATE TABLE w(n INTEGER, r REAL, s TEXT, b BLOB, k TEXT PRIMARY KEY NOT NULL) "
              "STRICT, WITHOUT ROWID");
  must(far[0], "DELETE FROM t; DELETE FROM w");
  for (long i = 0; i < statements && !failures; i++) {
    Words sql = {0}, theirs = {0}, got = {0}, wanted = {0};
    texts = pick(2);
    if (pick(5) == 0) {
      say(&sql, "%s", steps[pick(9)]);
    } else if (pick(2)) {
      write_query(&sql);
    } else {
      write_change(&sql);
    }
    name_table(sql.at, texts ? "w" : "t", &theirs);
    answer(far[turn], theirs.at, &got);
    answer(plain, theirs.at, &wanted);
    if (strcmp(got.at, wanted.at)) {
      failures++;
      printf("not ok - seed %llu, statement %ld: %s\n# got:\n%s\n# wanted:\n%s\n# %s\n",
             (unsigned long long)seed, i, theirs.at, got.at, wanted.at, sqlite3_errmsg(far[turn]));
    }
    if (sqlite3_get_autocommit(plain) && pick(4) == 0) turn = !turn;
  }
  sqlite3_close(plain);
  for (int i = 0; i < 2; i++) {
    if (sqlite3_close(far[i]) == SQLITE_OK) continue;
    failures++;
    printf("not ok - seed %llu: a connection is busy\n", (unsigned long long)seed);
  }
  return failures;
}

/* A server of its own, until the parent ends. */
static pid_t serve(const char *at) {
  const char *build = getenv("TENFOLD_BUILD");
  char program[1000];
  struct timespec pause = {0, 5000000};
  snprintf(program, sizeof program, "%s/farmemd", build ? build : "build");
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl(program, program, "--quiet", "--listen", at, "--size", "64M", (char *)NULL);
    _exit(127);
  }
  for (int i = 0; i < 2000 && access(at + strlen("unix:"), F_OK); i++) nanosleep(&pause, NULL);
  return child;
}

int main(int argc, char **argv) {
  const long wanted = argc > 1 ? atol(argv[1]) : 10000;
  uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  char at[64], remote[64], forget[100];
  long failures = 0, done = 0;
  snprintf(at, sizeof at, "shm:test-oracle-%d", (int)getpid());
  snprintf(remote, sizeof remote, "unix:/tmp/tenfold-oracle-%d", (int)getpid());
  const pid_t server = serve(remote);
  for (; done < wanted && !failures; done += CASES, seed++)
    failures += one_case(seed % 2 ? at : remote, seed, CASES);
  int status = 1;
  kill(server, SIGTERM);
  if (waitpid(server, &status, 0) != server || status) {
    failures++;
    printf("not ok - the server ended with status %d\n", status);
  }
  sqlite3 *db = open_far(at);
  snprintf(forget, sizeof forget, "SELECT far_forget('%s')", at);
  must(db, forget);
  sqlite3_close(db);
  printf("%s 1 - %ld statements, %ld wrong\n1..1\n", failures ? "not ok" : "ok", done, failures);
  return failures != 0;
}
