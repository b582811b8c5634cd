/*
** Every allocation that SQLite makes, and that the kit makes through it, fails once: loading,
** creating, planning, scanning, writing, calling. Each time the answer is the right one or "out of
** memory", and everything is given back. (Failures of libc's malloc are the fixture runner's.)
*/
#include "test/vtab/check.h"

static sqlite3_mem_methods real;
static long countdown; /* allocations until one is refused; 0: none is */
static bool refused;

static bool refuse(void) {
  if (countdown == 0 || --countdown > 0) return false;
  refused = true;
  return true;
}

static void *failing_malloc(int size) { return refuse() ? NULL : real.xMalloc(size); }

static void *failing_realloc(void *memory, int size) {
  return refuse() ? NULL : real.xRealloc(memory, size);
}

typedef struct Step {
  const char *sql, *answer;
} Step;

static const Step steps[] = {
    {"SELECT * FROM demo_steps(2) ORDER BY value DESC", "2|4 1|1"},
    {"SELECT value, stop FROM demo_steps('2')", "1|2 2|2"},
    {"SELECT * FROM demo_steps", "! 1 demo_steps: argument \"stop\" is required"},
    {"SELECT id FROM demo_words WHERE word IN ('date', 'Fig') ORDER BY id LIMIT 1", "3"},
    {"SELECT json_type(demo_pair('x'))", "object"},
    {"SELECT demo_total(value) FROM demo_steps(4)", "10"},
    {"SELECT demo_fail(5)", "! 18 demo_fail: 7 things at 12%"},
    {"SELECT length(demo_debug()) > 50", "1"},
    {"CREATE VIRTUAL TABLE s USING demo_store",
     "! 1 demo_store: 0 columns given, 1 to 4 are possible"},
    {"CREATE VIRTUAL TABLE s USING demo_store(a, b)", ""},
    {"INSERT INTO s VALUES ('x', 'y'), ('z', NULL)", ""},
    {"BEGIN; SAVEPOINT one; INSERT INTO s VALUES (1, 2); ROLLBACK TO one; COMMIT", ""},
    {"UPDATE s SET b = 1 WHERE a = 'z'; SELECT * FROM s", "x|y z|1"},
    {"ALTER TABLE s RENAME TO t", ""},
    {"DROP TABLE t", ""},
    {"INSERT INTO demo_notes VALUES ('one'); SELECT note FROM demo_notes", "one"},
    {"SELECT demo_work(25)", "done"},
};

/* SQLite itself may lose the text of an error, not its code. */
static bool out_of_memory(const char *answer, const char *expected) {
  if (strstr(answer, "out of memory") || strstr(answer, "! 7 ")) return true;
  return strncmp(expected, "! 1 ", 4) == 0 && strcmp(answer, "! 1 SQL logic error") == 0;
}

static bool play(sqlite3 *db, const Step **where) {
  for (size_t i = 0; i < countof(steps); i++) {
    Text out = {0};
    *where = &steps[i];
    run_into(db, steps[i].sql, &out);
    bool right = strcmp(text_get(&out), steps[i].answer) == 0;
    bool starved = refused && out_of_memory(text_get(&out), steps[i].answer);
    if (!right && !starved) printf("# %s\n# got %s\n", steps[i].sql, text_get(&out));
    text_finish(&out);
    if (!right) return starved; /* later steps stand on this one */
  }
  return true;
}

/* One run with the n-th allocation refused. False when something went wrong. */
static bool run_once(long n) {
  sqlite3 *db = NULL;
  const Step *where = NULL;
  char *err = NULL;
  refused = false;
  bool ok = sqlite3_open(":memory:", &db) == SQLITE_OK; /* loads nothing: see main */
  countdown = n;
  int rc = vt_load(db, &err, host_api, &demo);
  if (rc == SQLITE_OK) {
    ok = ok && play(db, &where);
  } else {
    ok = ok && rc == SQLITE_NOMEM && refused;
  }
  countdown = 0;
  sqlite3_free(err);
  if (rc != SQLITE_OK) { /* what failed to load has left nothing, and loads later */
    Text out = {0};
    run_into(db, "SELECT demo_version()", &out);
    ok = ok && strstr(text_get(&out), "no such function");
    ok = ok && vt_load(db, NULL, host_api, &demo) == SQLITE_OK && play(db, &where);
    text_finish(&out);
  }
  rc = sqlite3_close(db);
  sqlite3_int64 left = sqlite3_memory_used() - idle_memory;
  ok = ok && rc == SQLITE_OK && left == 0 && opened == closed && connects == disconnects;
  if (!ok) {
    printf("# allocation %ld refused; last: %s; close %d, %lld bytes, %d/%d, %d/%d\n", n,
           where ? where->sql : "load", rc, (long long)left, opened, closed, connects, disconnects);
  }
  return ok;
}

int main(void) {
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real);
  sqlite3_mem_methods failing = real;
  failing.xMalloc = failing_malloc;
  failing.xRealloc = failing_realloc;
  sqlite3_config(SQLITE_CONFIG_MALLOC, &failing);
  check_start();
  close_demo(open_demo(), "a first connection"); /* which shows us the host's routines */
  sqlite3_reset_auto_extension();
  idle_memory = sqlite3_memory_used();
  long n = 0, wrong = 0;
  do wrong += !run_once(++n);
  while (refused && wrong < 10);
  printf("# %ld allocations\n", n - 1);
  check(wrong == 0, "every allocation fails once");
  check(n > 300, "there were allocations to fail");
  text_finish(&store_log);
  return check_end();
}
