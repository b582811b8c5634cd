/*
** Interrupts and progress handlers reach long work inside functions and cursors within 100 ms.
*/
#include "test/vtab/check.h"

#include <pthread.h>
#include <time.h>

static void sleep_ms(int ms) {
  struct timespec span = {ms / 1000, (long)(ms % 1000) * 1000000};
  nanosleep(&span, NULL);
}

static int64_t interrupted_at;

static void *interrupter(void *db) {
  sleep_ms(60);
  interrupted_at = clock_now();
  sqlite3_interrupt(db);
  return NULL;
}

/* On a machine that does something else as well, time is no proof: the limits are generous, and
** far below the two seconds that the work takes undisturbed. */
static void test_interrupt(sqlite3 *db) {
  pthread_t thread;
  pthread_create(&thread, NULL, interrupter, db);
  expect(db, "SELECT demo_work(2000)", "! 9 demo_work: interrupted");
  int64_t after = clock_now() - interrupted_at;
  pthread_join(thread, NULL);
  printf("# interrupt seen after %.1f ms\n", (double)after / 1e6);
  check(interrupted_at && after < 1000 * 1000000LL, "interrupt is seen");
  expect(db, "SELECT demo_work(30)", "done");
}

typedef struct Limit {
  int64_t end;
  int calls;
} Limit;

static int time_is_up(void *ctx) {
  Limit *limit = ctx;
  limit->calls++;
  return clock_now() >= limit->end;
}

static void test_progress(sqlite3 *db, int steps) {
  int64_t start = clock_now();
  Limit limit = {.end = start + 60 * 1000000};
  sqlite3_progress_handler(db, steps, time_is_up, &limit);
  expect(db, "SELECT demo_work(2000)", "! 9 demo_work: interrupted");
  double took = (double)(clock_now() - start) / 1e6;
  sqlite3_progress_handler(db, 0, NULL, NULL);
  printf("# every %d steps, limit 60 ms: stopped after %.1f ms, %d calls\n", steps, took,
         limit.calls);
  check(took < 1000, "the progress handler's limit holds");
}

/* A cursor's own poll; its statement goes with the cursor. */
static void test_cursor(sqlite3 *db) {
  pthread_t thread;
  expect(db, "SELECT state FROM demo_slow(30)", "done");
  pthread_create(&thread, NULL, interrupter, db);
  expect(db, "SELECT state FROM demo_slow(2000)", "! 9 demo_slow: interrupted");
  int64_t after = clock_now() - interrupted_at;
  pthread_join(thread, NULL);
  check(after < 1000 * 1000000LL, "a cursor sees the interrupt");
  check(!sqlite3_next_stmt(db, NULL), "and leaves no statement");
}

/* Polling prepares a statement of its own in the middle of ours. */
static void test_reuse(sqlite3 *db) {
  sqlite3_stmt *stmt = NULL;
  sqlite3_prepare_v2(db, "SELECT demo_work(40)", -1, &stmt, NULL);
  bool ok = true;
  for (int i = 0; i < 3; i++) {
    ok = ok && sqlite3_step(stmt) == SQLITE_ROW;
    sqlite3_reset(stmt);
  }
  check(ok, "polling leaves the statement as it was");
  check(sqlite3_next_stmt(db, NULL) == stmt && !sqlite3_next_stmt(db, stmt),
        "no statement stays behind");
  sqlite3_finalize(stmt);
}

static int deny_all_but_select(void *ctx, int action, const char *a, const char *b, const char *c,
                               const char *d) {
  (void)ctx, (void)a, (void)c, (void)d;
  if (action == SQLITE_SELECT) return SQLITE_OK;
  return action == SQLITE_FUNCTION && strcmp(b, "demo_work") == 0 ? SQLITE_OK : SQLITE_DENY;
}

/* An authorizer that allows little leaves the smallest of statements, which handlers still see. */
static void test_authorizer(sqlite3 *db) {
  sqlite3_set_authorizer(db, deny_all_but_select, NULL);
  test_progress(db, 1);
  sqlite3_set_authorizer(db, NULL, NULL);
}

int main(void) {
  check_start();
  sqlite3 *db = open_demo();
  test_interrupt(db);
  test_progress(db, 1);
  test_progress(db, 1000);
  test_progress(db, 10000);
  test_cursor(db);
  test_reuse(db);
  test_authorizer(db);
  close_demo(db, "closes");
  text_finish(&store_log);
  return check_end();
}
