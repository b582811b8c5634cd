/*
** What SQLite itself takes for a row of a virtual table: the questions of O5 (measure.py), put to a
** table whose rows are there already, with nothing between it and SQLite. By the clock and of CPU,
** medians of 5.
**
**   floor [ROWS]
*/
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sqlite3.h>

enum { ROUNDS = 5, COLUMNS = 3, BLOCK = 1024 };

static sqlite3_int64 rows, values[COLUMNS][BLOCK];

typedef struct Cursor {
  sqlite3_vtab_cursor base;
  sqlite3_int64 at;
} Cursor;

static int connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
                   char **err) {
  (void)aux, (void)argc, (void)argv, (void)err;
  *out = sqlite3_malloc(sizeof **out);
  return *out ? sqlite3_declare_vtab(db, "CREATE TABLE t(a0 INTEGER, a1 INTEGER, caller INTEGER)")
              : SQLITE_NOMEM;
}

static int disconnect(sqlite3_vtab *table) {
  sqlite3_free(table);
  return SQLITE_OK;
}

static int best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  (void)table;
  info->estimatedCost = 1;
  return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  Cursor *cursor = sqlite3_malloc(sizeof *cursor);
  (void)table;
  *out = &cursor->base;
  return cursor ? SQLITE_OK : SQLITE_NOMEM;
}

static int close_cursor(sqlite3_vtab_cursor *base) {
  sqlite3_free(base);
  return SQLITE_OK;
}

static int filter(sqlite3_vtab_cursor *base, int number, const char *text, int argc,
                  sqlite3_value **argv) {
  (void)number, (void)text, (void)argc, (void)argv;
  ((Cursor *)base)->at = 0;
  return SQLITE_OK;
}

static int next(sqlite3_vtab_cursor *base) {
  ((Cursor *)base)->at++;
  return SQLITE_OK;
}

static int eof(sqlite3_vtab_cursor *base) { return ((Cursor *)base)->at >= rows; }

static int column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int col) {
  sqlite3_result_int64(ctx, values[col][((Cursor *)base)->at % BLOCK]);
  return SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
  *out = ((Cursor *)base)->at;
  return SQLITE_OK;
}

static const sqlite3_module module = {.xConnect = connect,
                                      .xBestIndex = best_index,
                                      .xDisconnect = disconnect,
                                      .xOpen = open_cursor,
                                      .xClose = close_cursor,
                                      .xFilter = filter,
                                      .xNext = next,
                                      .xEof = eof,
                                      .xColumn = column,
                                      .xRowid = rowid};

static double seconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* ns for a row of the query, by each clock. */
static int measure(sqlite3 *db, const char *wanted) {
  static const clockid_t clocks[2] = {CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID};
  double took[2][ROUNDS];
  char sql[256];
  int rc = SQLITE_OK;
  snprintf(sql, sizeof sql, "SELECT %s FROM t", wanted);
  for (int round = 0; round < ROUNDS && rc == SQLITE_OK; round++) {
    const double begun[2] = {seconds(clocks[0]), seconds(clocks[1])};
    rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    for (int i = 0; i < 2; i++) took[i][round] = seconds(clocks[i]) - begun[i];
  }
  if (rc != SQLITE_OK) return rc;
  printf("SQLite alone, ns a row: %s:", wanted);
  for (int i = 0; i < 2; i++) {
    qsort(took[i], ROUNDS, sizeof *took[i], compare);
    printf(" %.1f", took[i][ROUNDS / 2] / (double)rows * 1e9);
  }
  printf("\n");
  return SQLITE_OK;
}

int main(int argc, char **argv) {
  static const char *const queries[] = {"count(*)", "sum(a1)", "sum(a0 + a1 + (caller > 0))"};
  sqlite3 *db;
  rows = argc > 1 ? atoll(argv[1]) : 0;
  if (rows <= 0) rows = 10000000;
  for (int i = 0; i < COLUMNS * BLOCK; i++) values[i / BLOCK][i % BLOCK] = i;
  int rc = sqlite3_open(":memory:", &db);
  if (rc == SQLITE_OK) rc = sqlite3_create_module(db, "t", &module, NULL);
  for (size_t i = 0; i < sizeof queries / sizeof *queries && rc == SQLITE_OK; i++) {
    rc = measure(db, queries[i]);
  }
  if (rc != SQLITE_OK) fprintf(stderr, "%s\n", sqlite3_errmsg(db));
  sqlite3_close(db);
  return rc != SQLITE_OK;
}
