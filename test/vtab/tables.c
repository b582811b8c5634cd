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
  expect(db, "SELECT value FROM demo_steps(5) WHERE value = 1 OR value > 4", "1 5");
  expect(db, "SELECT value FROM demo_steps WHERE stop = 2 OR (stop = 5 AND start = 4) ORDER BY 1",
         "1 2 4 5");
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
  expect_plan(db, "demo_words WHERE word IN ('a','b') AND id = 1", "2:id=? and word in(?) used 7");
  /* One value, list or pair of bounds of a column: who looks at the first is right. */
  expect_plan(db, "demo_words WHERE word IN ('a','b','c') AND word > 'a' AND word = 'b'",
              "1:word=? used 7");
  expect_plan(db, "demo_words WHERE word > 'a' AND word IN ('a','b','c') AND word IN ('b','c','d')",
              "1:word in(?) used 7");
  expect_plan(db, "demo_words WHERE word > 'a' AND word >= 'b' AND word < 'c' AND word <= 'd'",
              "2:word>? and word<? used 7");
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
  expect(db,
         "SELECT count(*) FROM demo_steps(20000) s CROSS JOIN demo_words w ON w.id = s.value % 6",
         "20000");
  check(most_arena > 0 && most_arena < 100000, "a seek gives back its memory");
  expect(db, "SELECT id FROM demo_words WHERE id = 1 OR word = 'date' OR word IN ('Fig', 'date')",
         "1 3 5");
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

/* ---- random conditions, against plain tables with the same rows ------------------------------ */

static unsigned seed = 7;

static unsigned pick(size_t count) {
  seed = seed * 1103515245 + 12345;
  return (seed >> 12) % (unsigned)count;
}

static const char *const values[] = {
    "3",    "2.5",  "'4'",   "'a'",    "NULL", "x'30'", "-1",    "9e999",    "-1e30",
    "5.0",  "14",   "12",    "'date'", "'e'",  "'Fig'", "'3.5'", "'cherry'", "9223372036854775807",
    "'a*'", "'*e'", "'FIG'", "0",      "1",    "20",    "4",     "'[A-Z]*'", "-9223372036854775808",
};

static void add_value(Text *sql) { text_add(sql, values[pick(countof(values))]); }

static void add_comparison(Text *sql, const char *const *columns, size_t ncolumns) {
  static const char *const ops[] = {"=", "<", "<=", ">", ">=", "IS", "<>", "GLOB"};
  const char *column = columns[pick(ncolumns)];
  text_add(sql, column);
  switch (pick(8)) {
  case 0:
    text_add(sql, " IN (");
    for (unsigned n = pick(4); n > 0; n--) {
      add_value(sql);
      if (n > 1) text_addc(sql, ',');
    }
    text_addc(sql, ')');
    break;
  case 1:
    text_add(sql, " BETWEEN ");
    add_value(sql);
    text_add(sql, " AND ");
    add_value(sql);
    break;
  default:
    text_addf(sql, " %s ", ops[pick(countof(ops))]);
    add_value(sql);
    if (pick(8) == 0) text_add(sql, " COLLATE NOCASE");
  }
}

static void add_condition(Text *sql, const char *const *columns, size_t ncolumns, int depth) {
  if (depth == 0 || pick(3) == 0) {
    add_comparison(sql, columns, ncolumns);
    return;
  }
  text_add(sql, pick(6) == 0 ? "NOT (" : "(");
  add_condition(sql, columns, ncolumns, depth - 1);
  text_add(sql, pick(2) ? " AND " : " OR ");
  add_condition(sql, columns, ncolumns, depth - 1);
  text_addc(sql, ')');
}

/* True when `FROM ours` and `FROM theirs` answer alike. */
static bool same(sqlite3 *db, const char *select, const char *ours, const char *theirs,
                 const char *rest) {
  Text sql = {0}, a = {0}, b = {0};
  text_addf(&sql, "SELECT %s FROM %s WHERE %s", select, ours, rest);
  run_into(db, text_get(&sql), &a);
  text_clear(&sql);
  text_addf(&sql, "SELECT %s FROM %s WHERE %s", select, theirs, rest);
  run_into(db, text_get(&sql), &b);
  bool ok = strcmp(text_get(&a), text_get(&b)) == 0;
  if (!ok) {
    printf("# %s\n# got      %s\n# expected %s\n", text_get(&sql), text_get(&a), text_get(&b));
  }
  text_finish(&sql);
  text_finish(&a);
  text_finish(&b);
  return ok;
}

static void test_oracle(sqlite3 *db) {
  static const char *const step_names[] = {"s.value", "s.square", "s.rowid"};
  static const char *const word_names[] = {"w.id", "w.word", "w.size"};
  static const char *const both[] = {"s.value", "s.square", "w.id", "w.word", "w.size"};
  static const char *const orders[] = {" ORDER BY 1", " ORDER BY 1 DESC", " ORDER BY 1 LIMIT 3",
                                       " ORDER BY 1 DESC LIMIT 2 OFFSET 1"};
  int wrong = 0;
  expect(db,
         "CREATE TABLE plain_s(value INTEGER PRIMARY KEY, square INTEGER); CREATE TABLE plain_w("
         "id INTEGER, word TEXT, size INTEGER); INSERT INTO plain_s SELECT value, square FROM "
         "demo_steps(20, 2, 3); INSERT INTO plain_w SELECT * FROM demo_words",
         "");
  for (int i = 0; i < 6000 && wrong < 5; i++) {
    Text rest = {0};
    if (i % 3 == 0) {
      add_condition(&rest, step_names, countof(step_names), 3);
      text_add(&rest, orders[pick(countof(orders))]);
      wrong +=
          !same(db, "s.value, s.square", "demo_steps(20, 2, 3) s", "plain_s s", text_get(&rest));
    } else if (i % 3 == 1) {
      add_condition(&rest, word_names, countof(word_names), 3);
      text_add(&rest, orders[pick(countof(orders))]);
      wrong += !same(db, "w.id, w.word, w.size", "demo_words w", "plain_w w", text_get(&rest));
    } else {
      text_add(&rest, pick(2) ? "s.value = w.id AND " : "s.value > w.size AND ");
      add_condition(&rest, both, countof(both), 2);
      text_add(&rest, " ORDER BY 1, 2 LIMIT 20");
      wrong += !same(db, "s.value, w.id, w.word", "demo_steps(20, 2, 3) s, demo_words w",
                     "plain_s s, plain_w w", text_get(&rest));
    }
    text_finish(&rest);
  }
  check(wrong == 0, "6,000 random conditions agree with plain tables");
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
