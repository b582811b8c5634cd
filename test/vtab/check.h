/*
** Asking SQLite and comparing with what is expected, as TAP.
*/
#ifndef TENFOLD_TEST_VTAB_CHECK_H
#define TENFOLD_TEST_VTAB_CHECK_H

#include "test/vtab/demo.h"

static int checks, failures;
static sqlite3_int64 idle_memory; /* what SQLite holds without any connection */

static void check(bool ok, const char *what) {
  checks++;
  failures += !ok;
  printf("%s %d - %s\n", ok ? "ok" : "not ok", checks, what);
}

static inline int check_end(void) {
  printf("1..%d\n", checks);
  return failures > 0;
}

/* All rows of all statements, columns joined by | and rows by a space; an error as "! CODE
** MESSAGE", after which nothing is run. The caller finishes the text. */
static inline void run_into(sqlite3 *db, const char *sql, Text *out) {
  while (sql && *sql) {
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, &sql);
    while (stmt && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
      if (out->length > 0) text_addc(out, ' ');
      for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        const char *text = (const char *)sqlite3_column_text(stmt, i);
        if (i > 0) text_addc(out, '|');
        text_add(out, text ? text : "NULL");
      }
    }
    if (rc == SQLITE_DONE) rc = SQLITE_OK;
    if (rc != SQLITE_OK) {
      if (out->length > 0) text_addc(out, ' ');
      text_addf(out, "! %d %s", sqlite3_extended_errcode(db), sqlite3_errmsg(db));
    }
    sqlite3_finalize(stmt);
    if (rc != SQLITE_OK) return;
  }
}

static inline void expect(sqlite3 *db, const char *sql, const char *answer) {
  Text out = {0};
  run_into(db, sql, &out);
  bool ok = strcmp(text_get(&out), answer) == 0;
  check(ok, sql);
  if (!ok) printf("# got:      %s\n# expected: %s\n", text_get(&out), answer);
  text_finish(&out);
}

/* The line of EXPLAIN QUERY PLAN that names the table. */
static inline void expect_plan(sqlite3 *db, const char *query, const char *line) {
  Text sql = {0}, out = {0};
  text_addf(&sql, "EXPLAIN QUERY PLAN SELECT * FROM %s", query);
  run_into(db, text_get(&sql), &out);
  const char *plan = strstr(text_get(&out), " VIRTUAL TABLE INDEX ");
  bool ok = plan && strcmp(plan + 21, line) == 0;
  check(ok, query);
  if (!ok) printf("# got:      %s\n# expected: %s\n", text_get(&out), line);
  text_finish(&out);
  text_finish(&sql);
}

static inline sqlite3 *open_demo(void) {
  sqlite3 *db = NULL;
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) {
    printf("Bail out! cannot open a database: %s\n", sqlite3_errmsg(db));
    exit(1);
  }
  return db;
}

/* Closes and checks what must hold after every close. */
static inline void close_demo(sqlite3 *db, const char *what) {
  int rc = sqlite3_close(db);
  sqlite3_int64 left = sqlite3_memory_used();
  left -= idle_memory;
  check(rc == SQLITE_OK && left == 0 && opened == closed && connects == disconnects, what);
  if (rc != SQLITE_OK || left != 0) printf("# close: %d, %lld bytes left\n", rc, (long long)left);
}

static inline void check_start(void) {
  sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
  sqlite3_auto_extension((void (*)(void))demo_entry);
  idle_memory = sqlite3_memory_used();
}

#endif
