/*
** Rounds per operation, counted: a far access is a round trip that somebody waits for. These do not
** depend on the machine.
*/
#include "bench/far/stage.h"

enum { ROWS = 20000, LOOKS = 10000 };

static int64_t rounds_so_far(sqlite3 *db) {
  return sql_integer(db, "SELECT sum(rounds) FROM far_stats");
}

static int64_t rounds_of(sqlite3 *db, const char *text) {
  const int64_t before = rounds_so_far(db);
  sql_run(db, text);
  return rounds_so_far(db) - before;
}

/* Looking for random keys through an old tree: another connection's rows have split the buckets. */
static double mean_lookup(sqlite3 *db, const char *table) {
  char text[100];
  uint64_t state = 7;
  snprintf(text, sizeof text, "SELECT n FROM %s WHERE id = ?1", table);
  sqlite3_stmt *stmt = sql_prepare(db, text);
  const int64_t before = rounds_so_far(db);
  for (int i = 0; i < LOOKS; i++) {
    sqlite3_bind_int64(stmt, 1, 1 + (int64_t)random_below(&state, ROWS));
    if (sql_rows(db, stmt) != 1) stage_fail("a row is missing");
  }
  sqlite3_finalize(stmt);
  return (double)(rounds_so_far(db) - before) / LOOKS;
}

typedef struct Line {
  const char *name, *before, *text;
  const char *wanted; /* by the paper, and the project's notes on it */
} Line;

static const Line lines[] = {
    {"counter: add", "SELECT far_add('hits', 0, '%s')", "SELECT far_add('hits', 1, '%s')", "1"},
    {"counter: read", NULL, "SELECT far_add('hits', 0, '%s')", "1"},
    {"mutex: lock, nobody has it", "SELECT far_lock('m', '%s'), far_unlock('m', '%s')",
     "SELECT far_lock('m', '%s')", "1"},
    {"mutex: unlock", NULL, "SELECT far_unlock('m', '%s')", "1"},
    {"map: look up", NULL, "SELECT n FROM t WHERE id = 77", "1"},
    {"map: `IN` of 100 keys", NULL,
     "SELECT n FROM t WHERE id IN (SELECT id * 100 FROM ids WHERE id <= 100)", "1"},
    {"map: a range of 100 rows", NULL, "SELECT n FROM t WHERE id BETWEEN 500 AND 599", "1"},
    {"map: a range of 100 rows, from the end", NULL,
     "SELECT n FROM t WHERE id BETWEEN 500 AND 599 ORDER BY id DESC", "1"},
    {"map: insert", NULL, "INSERT INTO t VALUES(1000001, 1)", "2"},
    {"map: update", NULL, "UPDATE t SET n = n + 1 WHERE id = 77", "2"},
    {"map: delete", NULL, "DELETE FROM t WHERE id = 1000001", "2"},
    {"map: update of 100 rows by a list", /* a client's first one takes a place for its log */
     "UPDATE t SET n = n + 1 WHERE id IN (SELECT id * 100 FROM ids WHERE id <= 100)",
     "UPDATE t SET n = n + 1 WHERE id IN (SELECT id * 100 FROM ids WHERE id <= 100)", "2"},
    {"map and database: a row each, both or neither", NULL,
     "BEGIN; UPDATE t SET n = n + 1 WHERE id = 77; INSERT INTO log VALUES(77); COMMIT", "3"},
};

static void print_lines(sqlite3 *db, const char *at) {
  table_head(" operation | rounds | wanted ", 1);
  for (size_t i = 0; i < countof(lines); i++) {
    char text[500];
    if (lines[i].before) {
      snprintf(text, sizeof text, lines[i].before, at, at);
      sql_run(db, text);
    }
    snprintf(text, sizeof text, lines[i].text, at);
    printf("| %s | %lld | %s |\n", lines[i].name, (long long)rounds_of(db, text), lines[i].wanted);
  }
}

enum { MOST_TAKEN = 32 };

/* Rows that come one by one: how many inserts took so many rounds. */
static void grow(sqlite3 *db, int counts[MOST_TAKEN]) {
  sqlite3_stmt *stmt = sql_prepare(db, "INSERT INTO t VALUES(?1, 0)");
  int64_t before = rounds_so_far(db);
  memset(counts, 0, MOST_TAKEN * sizeof *counts);
  for (int64_t i = 0; i < ROWS; i++) {
    sqlite3_bind_int64(stmt, 1, i * 7919 % ROWS + 1); /* 7919 is prime: each once */
    sql_rows(db, stmt);
    const int64_t after = rounds_so_far(db);
    counts[after - before < MOST_TAKEN ? after - before : MOST_TAKEN - 1]++;
    before = after;
  }
  sqlite3_finalize(stmt);
}

static void print_growth(const int counts[MOST_TAKEN]) {
  int splits = 0;
  for (int i = 3; i < MOST_TAKEN; i++) splits += counts[i];
  printf(
      "\n%d rows over tcp, inserted one by one in no order; buckets of 64 are %.0f %% full then. "
      "An insert takes two rounds; those that split a bucket more:\n",
      ROWS, 100.0 * ROWS / 64 / (splits + 1));
  table_head(" inserts | rounds ", 0);
  for (int i = 0; i < MOST_TAKEN; i++) {
    if (counts[i]) printf("| %d | %d |\n", counts[i], i);
  }
}

int main(void) {
  Stage stage;
  char text[500];
  int counts[MOST_TAKEN];
  stage_open(&stage);
  sqlite3 *db = sql_open(), *other = sql_open();
  static const char make[] =
      "CREATE VIRTUAL TABLE t USING far_map(id INTEGER PRIMARY KEY, n INTEGER, at='%s');"
      "CREATE TEMP TABLE ids(id INTEGER PRIMARY KEY); CREATE TEMP TABLE log(id);"
      "INSERT INTO ids WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
      "100)"
      " SELECT i FROM n";
  snprintf(text, sizeof text, make, stage.tcp);
  sql_run(db, text);
  sql_run(other, text);
  grow(db, counts);
  const double first = mean_lookup(other, "t"), then = mean_lookup(other, "t");
  printf("\n## Rounds\n");
  print_growth(counts);
  printf("\n%d look-ups through a tree that knew one bucket took %.3f rounds each, then %.3f.\n",
         LOOKS, first, then);
  print_lines(db, stage.tcp);
  stage_close(&stage);
  return 0;
}
