/*
** Functions, the state of a connection, loading twice and failing to load, the descriptors' rules.
*/
#include "test/vtab/check.h"

static void test_functions(sqlite3 *db) {
  expect(db, "SELECT demo_twice(4), demo_twice(4, 5)", "8|20");
  expect(db, "SELECT demo_twice()", "! 1 wrong number of arguments to function demo_twice()");
  expect(db, "SELECT demo_twice(1,2,3)", "! 1 wrong number of arguments to function demo_twice()");
  expect(db, "SELECT json_object('a', demo_pair('x\"'))", "{\"a\":{\"text\":\"x\\\"\"}}");
  expect(db, "SELECT demo_total(value) FROM demo_steps(4)", "10");
  expect(db, "SELECT demo_total(value) OVER (ORDER BY value ROWS 1 PRECEDING) FROM demo_steps(4)",
         "1 3 5 7");
  expect(db, "SELECT demo_version() = '" VT_VERSION "'", "1");
  expect(db, "SELECT json_extract(demo_debug(), '$.name')", "demo");
  expect(db, "CREATE INDEX i ON sqlite_schema(demo_calls())",
         "! 1 table sqlite_master may not be indexed");
  expect(db, "CREATE TABLE t(x); CREATE INDEX i ON t(demo_twice(x))", "");
  expect(db, "CREATE INDEX j ON t(demo_calls())",
         "! 1 non-deterministic functions prohibited in index expressions");
  expect(db, "CREATE VIEW v AS SELECT demo_fail(0); SELECT * FROM v",
         "! 1 unsafe use of demo_fail()");
}

/* The numbers are part of what users rely on. */
static void test_codes(sqlite3 *db) {
  static const struct {
    FaultCode code;
    const char *answer;
  } codes[] = {{FAULT_INVALID, "! 1 demo_fail: 7 things at 12%"},
               {FAULT_UNSUPPORTED, "! 1 demo_fail: 7 things at 12%"},
               {FAULT_NOTFOUND, "! 1 demo_fail: 7 things at 12%"},
               {FAULT_NOMEM, "! 7 out of memory"},
               {FAULT_LIMIT, "! 18 demo_fail: 7 things at 12%"},
               {FAULT_INTERRUPT, "! 9 demo_fail: 7 things at 12%"},
               {FAULT_TIMEOUT, "! 4 demo_fail: 7 things at 12%"},
               {FAULT_BUSY, "! 5 demo_fail: 7 things at 12%"},
               {FAULT_IO, "! 10 demo_fail: 7 things at 12%"},
               {FAULT_DENIED, "! 23 demo_fail: 7 things at 12%"},
               {FAULT_CORRUPT, "! 267 demo_fail: 7 things at 12%"},
               {FAULT_INTERNAL, "! 2 demo_fail: 7 things at 12%"}};
  for (size_t i = 0; i < countof(codes); i++) {
    char sql[60];
    snprintf(sql, sizeof sql, "SELECT demo_fail(%d)", (int)codes[i].code);
    expect(db, sql, codes[i].answer);
  }
}

static int load(sqlite3 *db, const VtExtension *extension, Text *message) {
  char *err = NULL;
  int rc = vt_load(db, &err, host_api, extension);
  text_clear(message);
  text_add(message, err ? err : "");
  sqlite3_free(err);
  return rc;
}

static void expect_load(sqlite3 *db, const VtExtension *extension, const char *answer) {
  Text message = {0};
  int rc = load(db, extension, &message);
  bool ok = strcmp(text_get(&message), answer) == 0 && (rc == SQLITE_OK) == !*answer;
  check(ok, *answer ? answer : "loads");
  if (!ok) printf("# got: %d %s\n", rc, text_get(&message));
  text_finish(&message);
}

static void test_state(void) {
  sqlite3 *a = open_demo(), *b = open_demo();
  expect(a, "SELECT demo_calls() UNION ALL SELECT demo_calls()", "1 2");
  expect(b, "SELECT demo_calls()", "1");
  int before = opened;
  expect_load(a, &demo, "");
  check(opened == before, "loading twice makes no second state");
  expect(a, "SELECT demo_calls()", "3");
  check(sqlite3_close(a) == SQLITE_OK && closed == opened - 1, "one of two closes");
  expect(b, "SELECT demo_calls()", "2");
  close_demo(b, "the other");
}

static void test_failures(void) {
  sqlite3_cancel_auto_extension((void (*)(void))demo_entry);
  sqlite3 *db = open_demo();
  fail_open = 1;
  expect_load(db, &demo, "demo: no luck today");
  fail_open = 0;
  expect(db, "SELECT demo_version()", "! 1 no such function: demo_version");
  expect(db, "SELECT tenfold_hub(1)", "! 1 no such function: tenfold_hub");
  expect_load(db, &demo, "");
  expect(db, "SELECT demo_calls()", "1");
  VtExtension other = demo;
  other.version = "9.9";
  expect_load(db, &other, "demo: version " VT_VERSION " is loaded already, this is 9.9");
  close_demo(db, "closes after failures");
}

/* A hub function of another make must not be mistaken for ours. */
static void foreign_hub(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)ctx, (void)argc, (void)argv;
}

static int deny_hub(void *ctx, int action, const char *a, const char *b, const char *c,
                    const char *d) {
  (void)ctx, (void)a, (void)c, (void)d;
  bool hub = action == SQLITE_FUNCTION && strcmp(b, "tenfold_hub") == 0;
  return hub ? SQLITE_DENY : SQLITE_OK;
}

static void test_hub(void) {
  sqlite3 *db = open_demo();
  sqlite3_create_function(db, "tenfold_hub", 1, SQLITE_UTF8, NULL, foreign_hub, NULL, NULL);
  expect_load(db, &demo,
              "demo: another build of tenfold is loaded in this connection, or its authorizer "
              "hides tenfold_hub()");
  close_demo(db, "closes with a foreign hub");
  db = open_demo();
  expect_load(db, &demo, "");
  expect(db,
         "SELECT tenfold_hub(1); SELECT tenfold_hub(NULL); SELECT tenfold_hub(x'0102030405060708')",
         "NULL NULL NULL");
  VtExtension second = demo;
  second.name = "demos";
  second.ntables = second.nfunctions = 0;
  sqlite3_set_authorizer(db, deny_hub, NULL);
  expect_load(db, &second,
              "demos: looking for other extensions: not authorized to use function: tenfold_hub");
  sqlite3_set_authorizer(db, NULL, NULL);
  expect_load(db, &second, "");
  expect(db, "SELECT demos_version() = demo_version()", "1");
  close_demo(db, "closes with two extensions");
}

static void test_hosts(void) {
  sqlite3 *db = open_demo();
  sqlite3_api_routines host = *host_api;
  char *err = NULL;
  int rc = vt_load(db, &err, &host, &demo);
  check(rc == SQLITE_ERROR && err &&
            strcmp(err, "demo: in use by another copy of SQLite in this process already") == 0,
        "a second SQLite in the process");
  sqlite3_free(err);
  check(vt_load(db, NULL, &host, &demo) == SQLITE_ERROR, "nobody asked for the message");
  close_demo(db, "closes after a refusal");
}

static void expect_rule(const VtExtension *extension, const char *message) {
  Fault fault = {0};
  bool ok = vt_check(extension, &fault);
  check(ok == !*message && strcmp(fault.text, message) == 0, *message ? message : "is in order");
  if (strcmp(fault.text, message) != 0) printf("# got: %s\n", fault.text);
}

static void test_table_rules(void) {
  VtTable table = step_table;
  const VtTable *const tables[] = {&table};
  VtColumn cols[STEP_NCOL];
  VtExtension one = demo;
  one.tables = tables;
  one.ntables = 1;
  memcpy(cols, step_cols, sizeof cols);
  table.cols = cols;
  expect_rule(&one, "");
  table.name = "steps";
  expect_rule(&one, "demo: a table's name does not begin with the extension's");
  table = step_table;
  table.risk = 0;
  expect_rule(&one, "demo_steps: risk is neither INNOCUOUS nor DIRECTONLY");
  table = step_table;
  table.doc = "";
  expect_rule(&one, "demo_steps: has no doc");
  table = step_table;
  table.column = NULL;
  expect_rule(&one, "demo_steps: seek, step or column is missing");
  table = step_table;
  table.rowid = NULL;
  expect_rule(&one, "demo_steps: column \"value\" is searched, which needs a rowid function");
  table = store_table;
  table.rowid = NULL;
  expect_rule(&one, "demo_store: rows are written, which needs a rowid function");
  table = step_table;
  table.is_shadow = store_is_shadow;
  expect_rule(&one, "demo_steps: only a table made by CREATE VIRTUAL TABLE can do that");
  table = step_table;
  table.cols = cols;
  cols[STEP_VALUE].doc = NULL;
  expect_rule(&one, "demo_steps: column \"value\" has no doc");
  cols[STEP_VALUE] = (VtColumn){"value", "INTEGER", VT_MUST, 0, "x"};
  expect_rule(&one, "demo_steps: column \"value\" is no argument");
  cols[STEP_VALUE] = step_cols[STEP_VALUE];
  cols[STEP_BY].flags = VT_OUT;
  expect_rule(&one, "demo_steps: column \"by\" follows an argument; arguments come last");
  cols[STEP_BY].flags = VT_ARG | VT_EQ;
  expect_rule(&one, "demo_steps: column \"by\" is an argument and cannot be searched");
}

static void test_function_rules(void) {
  VtFunction function = demo_functions[0];
  VtExtension one = demo;
  one.functions = &function;
  one.nfunctions = 1;
  expect_rule(&one, "");
  function.flags = SQLITE_DETERMINISTIC;
  expect_rule(&one, "demo_twice: is not exactly one of INNOCUOUS and DIRECTONLY");
  function.flags = SQLITE_INNOCUOUS | SQLITE_DIRECTONLY;
  expect_rule(&one, "demo_twice: is not exactly one of INNOCUOUS and DIRECTONLY");
  function = demo_functions[0];
  function.step = total_step;
  expect_rule(&one, "demo_twice: is neither a scalar nor an aggregate");
  function = demo_functions[0];
  function.value = total_value;
  function.inverse = total_inverse;
  expect_rule(&one, "demo_twice: is neither a scalar nor an aggregate");
  function = demo_functions[0];
  function.nargs = -1;
  expect_rule(&one, "demo_twice: impossible number of arguments");
  function = demo_functions[0];
  function.doc = NULL;
  expect_rule(&one, "demo_twice: has no doc");
  function.name = "twice";
  expect_rule(&one, "demo: a function's name does not begin with the extension's");
  one.name = "Demo1";
  expect_rule(&one, "Demo1: letters only in names");
}

int main(void) {
  check_start();
  sqlite3 *db = open_demo();
  test_functions(db);
  test_codes(db);
  close_demo(db, "closes");
  test_state();
  test_table_rules();
  test_function_rules();
  test_failures();
  test_hub();
  test_hosts();
  text_finish(&store_log);
  return check_end();
}
