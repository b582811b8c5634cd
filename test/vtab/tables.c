/*
** Read-only tables: arguments, plans, order, limits, and random queries against plain SQLite.
*/
#include "test/vtab/check.h"

static void test_arguments(sqlite3 *db) {
  expect(db, "SELECT * FROM demo_steps", "! 1 demo_steps: argument \"stop\" is required");
  expect(db, "SELECT value FROM demo_steps WHERE stop > 3",
         "! 1 demo_steps: argument \"stop\" is required");
  expect(db, "SELECT * FROM demo_steps(3)", "1|1 2|4 3|9");
  expect(db, "SELECT value, stop, start, by FROM demo_steps(7, 2, 3)", "2|7|2|3 5|7|2|3");
  expect(db, "SELECT value, start IS NULL FROM demo_steps(1)", "1|1");
  expect(db, "SELECT count(*) FROM demo_steps(1,2,3,4)",
         "! 1 too many arguments on demo_steps() - max 3");
  expect(db, "SELECT count(*) FROM demo_steps(NULL)", "0");
  expect(db, "SELECT count(*) FROM demo_steps(3, NULL)", "0");
  expect(db, "SELECT count(*) FROM demo_steps('3')", "3");
  expect(db, "SELECT count(*) FROM demo_steps(3.0)", "3");
  expect(db, "SELECT * FROM demo_steps(3.5)",
         "! 1 demo_steps: argument \"stop\" must be an integer, not 3.5");
  expect(db, "SELECT * FROM demo_steps('a')",
         "! 1 demo_steps: argument \"stop\" must be an integer, not 'a'");
  expect(db, "SELECT * FROM demo_steps(x'0102')",
         "! 1 demo_steps: argument \"stop\" must be an integer, not a blob of 2 bytes");
  expect(db, "SELECT * FROM demo_steps(1e30)",
         "! 1 demo_steps: argument \"stop\" must be an integer, not 1.0e+30");
  expect(db, "SELECT * FROM demo_steps(4999999999)",
         "! 1 demo_steps: 1 to 4999999999 by 1 rows asked, the limit is 1e9");
  expect(db, "SELECT value, stop FROM demo_steps WHERE stop IN (1, 2)", "1|1 1|2 2|2");
  expect(db, "SELECT value FROM demo_steps(3) WHERE stop = 4", "");
  expect(db, "SELECT value FROM demo_steps(1) WHERE stop = 1", "1");
  expect(db, "SELECT a.value, b.value FROM demo_steps(2) a, demo_steps(a.value) b", "1|1 2|1 2|2");
  expect(db, "SELECT b.value FROM demo_steps(b.value) b",
         "! 1 demo_steps: argument \"stop\" is required");
  expect(db,
         "SELECT t.x, s.value FROM (SELECT 2 AS x UNION SELECT NULL) t "
         "LEFT JOIN demo_steps(t.x) s ON 1",
         "NULL|NULL 2|1 2|2");
  expect(db, "SELECT stop, typeof(stop) FROM demo_steps('1')", "1|text");
  expect(db, "SELECT rowid FROM demo_steps(7, 5)", "5 6 7");
  expect(db, "INSERT INTO demo_steps VALUES (1, 2)", "! 1 table demo_steps may not be modified");
  expect(db, "CREATE VIRTUAL TABLE x USING demo_steps", "! 1 no such module: demo_steps");
}

static void test_any_arguments(sqlite3 *db) {
  static char hello[] = "hello";
  sqlite3_stmt *stmt = NULL;
  sqlite3_prepare_v2(db, "SELECT kind FROM demo_bare(?1)", -1, &stmt, NULL);
  sqlite3_bind_pointer(stmt, 1, hello, "demo", NULL);
  bool row = sqlite3_step(stmt) == SQLITE_ROW;
  check(row && strcmp((const char *)sqlite3_column_text(stmt, 0), "hello") == 0, "a pointer");
  sqlite3_reset(stmt);
  sqlite3_bind_pointer(stmt, 1, hello, "other", NULL);
  row = sqlite3_step(stmt) == SQLITE_ROW;
  check(row && strcmp((const char *)sqlite3_column_text(stmt, 0), "no pointer") == 0,
        "a pointer of another type");
  sqlite3_finalize(stmt);
  expect(db, "SELECT kind FROM demo_bare", "absent");
  expect(db, "SELECT kind, any IS NULL FROM demo_bare(NULL, NULL)", "no pointer|1");
  expect(db, "SELECT any, typeof(any) FROM demo_bare(1, 'x')", "x|text");
  expect(db, "SELECT any, typeof(any) FROM demo_bare(1, 7)", "7|integer");
  expect(db, "SELECT any FROM demo_bare(1, 2.5)", "2.5");
  expect(db, "SELECT any FROM demo_bare(1, x'00')",
         "! 1 demo_bare: argument \"any\" must be text, not a blob of 1 bytes");
  expect(db, "CREATE TEMP VIEW v AS SELECT kind FROM demo_bare; SELECT * FROM v; DROP VIEW v",
         "absent");
  expect(db, "CREATE VIEW v AS SELECT kind FROM demo_bare; SELECT * FROM v",
         "! 1 unsafe use of virtual table \"demo_bare\"");
}

static void test_plans(sqlite3 *db) {
  expect_plan(db, "demo_steps(5) WHERE value > 2 AND value <= 4 ORDER BY value",
              "3:stop=? and value>? and value<=? order");
  expect_plan(db, "demo_steps(5) WHERE rowid >= 2 ORDER BY rowid DESC",
              "2:stop=? and value>=? reverse");
  expect_plan(db, "demo_steps(5) ORDER BY value, square", "1:stop=? order");
  expect_plan(db, "demo_words", "0:used 7");
  expect_plan(db, "demo_words WHERE word IN ('a','b') AND id = 1", "2:word in(?) and id=? used 7");
  expect_plan(db, "demo_words WHERE word GLOB '*a' AND word < 'c'",
              "2:word<? and word glob ? used 7");
  expect_plan(db, "demo_words ORDER BY id LIMIT 3 OFFSET 1", "0:order limit ? offset ? used 7");
  expect_plan(db, "demo_words WHERE word = 'a' COLLATE NOCASE", "0:used 7");
}

static void test_words(sqlite3 *db) {
  expect(db, "SELECT id FROM demo_words WHERE word = 'date'", "3");
  expect(db, "SELECT id FROM demo_words WHERE word = 'DATE'", "");
  expect(db, "SELECT id FROM demo_words WHERE word = 'DATE' COLLATE NOCASE", "3");
  expect(db, "SELECT id FROM demo_words WHERE word > 'c' COLLATE NOCASE ORDER BY id", "2 3 4 5");
  expect(db, "SELECT id FROM demo_words WHERE word = NULL", "");
  expect(db, "SELECT id FROM demo_words WHERE word IS NULL", "");
  expect(db, "SELECT id FROM demo_words WHERE word GLOB '*e*' AND word < 'd' ORDER BY id", "0 2");
  in_lists = 0, seeks = 0;
  expect(db, "SELECT id FROM demo_words WHERE word IN ('date', 'Fig', 'none', NULL)", "3 5");
  check(in_lists == 1 && seeks == 1, "an IN list arrives whole");
  expect(db, "SELECT id FROM demo_words WHERE word IN (SELECT word FROM demo_words WHERE id > 3)",
         "4 5");
  expect(db, "SELECT id FROM demo_words WHERE word IN ()", "");
  dones = 0, seeks = 0;
  expect(db, "SELECT count(*) FROM demo_steps(5) s CROSS JOIN demo_words w ON w.id = s.value", "5");
  check(seeks == 6 && dones == 5, "every seek is done once");
}

static void test_limits(sqlite3 *db) {
  expect(db, "SELECT id FROM demo_words ORDER BY id LIMIT 2", "0 1");
  check(last_limit == 2, "LIMIT is known");
  expect(db, "SELECT id FROM demo_words ORDER BY id LIMIT 2 OFFSET 3", "3 4");
  check(last_limit == 5, "LIMIT and OFFSET are known as their sum");
  expect(db, "SELECT id FROM demo_words ORDER BY id LIMIT -1 OFFSET 4", "4 5");
  check(last_limit == INT64_MAX, "no limit");
  expect(db, "SELECT id FROM demo_words ORDER BY id LIMIT 1 OFFSET 9223372036854775807", "");
  check(last_limit == INT64_MAX, "a limit beyond the integers");
  expect(db, "SELECT id FROM demo_words ORDER BY size DESC, id LIMIT 2", "1 2");
  check(last_limit == INT64_MAX, "no limit before a sort");
  expect(db, "SELECT id FROM demo_words WHERE id = 3 LIMIT 1", "3");
  check(last_limit == INT64_MAX, "no limit before a second test");
  expect(db, "SELECT size FROM demo_words LIMIT 1", "5");
  check(last_used == 1 << WORD_SIZE, "columns that are read");
}

/* Random conditions on value: the same rows as from a plain table, in the asked order. */
static void test_oracle(sqlite3 *db) {
  static const char *const ops[] = {"=", "<", "<=", ">", ">=", "IS", "<>"};
  static const char *const values[] = {"3",
                                       "2.5",
                                       "'4'",
                                       "'a'",
                                       "NULL",
                                       "x'30'",
                                       "-1",
                                       "9e999",
                                       "-1e30",
                                       "5.0",
                                       "'3.5'",
                                       "12",
                                       "9223372036854775807",
                                       "-9223372036854775808"};
  int wrong = 0;
  unsigned seed = 7;
  expect(db,
         "CREATE TABLE plain(value INTEGER, square INTEGER, stop, start, by); INSERT INTO "
         "plain SELECT value, square, stop, 2, 3 FROM demo_steps(20, 2, 3)",
         "");
  for (int i = 0; i < 3000; i++) {
    char where[300], sql[500];
    int length = snprintf(where, sizeof where, "WHERE 1");
    for (int n = 0; n < 1 + i % 3; n++) {
      seed = seed * 1103515245 + 12345;
      length += snprintf(where + length, sizeof where - (size_t)length, " AND value %s %s",
                         ops[(seed >> 16) % countof(ops)], values[(seed >> 20) % countof(values)]);
    }
    const char *tail = i % 2 ? "ORDER BY value" : "ORDER BY value DESC LIMIT 3";
    Text ours = {0}, theirs = {0};
    snprintf(sql, sizeof sql, "SELECT value, square FROM demo_steps(20, 2, 3) %s %s", where, tail);
    run_into(db, sql, &ours);
    snprintf(sql, sizeof sql, "SELECT value, square FROM plain %s %s", where, tail);
    run_into(db, sql, &theirs);
    if (strcmp(text_get(&ours), text_get(&theirs)) != 0 && wrong++ < 5) {
      printf("# %s\n# got      %s\n# expected %s\n", sql, text_get(&ours), text_get(&theirs));
    }
    text_finish(&ours);
    text_finish(&theirs);
  }
  check(wrong == 0, "3,000 random conditions agree with a plain table");
}

int main(void) {
  check_start();
  sqlite3 *db = open_demo();
  test_arguments(db);
  test_any_arguments(db);
  test_plans(db);
  test_words(db);
  test_limits(db);
  test_oracle(db);
  close_demo(db, "closes");
  return check_end();
}
