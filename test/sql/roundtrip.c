/*
** Random statements, and broken ones, against SQLite itself: `roundtrip N SEED`.
**
** What SQLite accepts must parse and bind, with the same result columns; what is printed from the
** tree must mean the same to SQLite (same names, same program, same rows) and to the parser (equal
** tree). What SQLite rejects must be rejected. Each difference is printed with its seed;
** `roundtrip 1 SEED -v` shows one statement.
*/
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/text.h"
#include "sql/equal.h"
#include "sql/sql.h"
#include "sql/statement.h"
#include "test/sql/generate.h"
#include "test/sql/live_schema.h"

typedef struct Run {
  sqlite3 *db;
  LiveSchema live;
  SqlSchema schema;
  bool verbose;
  uint64_t seed;
  const char *sql;
  int accepted, rejected, skipped, stricter, differences, same_message;
} Run;

static void difference(Run *run, const char *what, const char *ours, const char *theirs) {
  run->differences++;
  printf("# seed %llu: %s\n#   sql:    %s\n#   ours:   %s\n#   sqlite: %s\n",
         (unsigned long long)run->seed, what, run->sql, ours, theirs);
}

/* Verdicts of SQLite that hang on data it has and the binder has not, or on limits of its own. */
static bool is_outside(const char *message) {
  static const char *const outside[] = {
      "parser stack overflow",
      "no query solution",
      "cannot modify",
      "cannot INSERT into generated",
      "cannot UPDATE generated",
      "ON CONFLICT clause does not match",
      "unable to use function",
      "no such module",
      "too many references",
      "cannot create",
      "already exists",
      "duplicate column name",
      "unsafe use of virtual table",
      "UPSERT not implemented",
      "table n1",
      "circularly defined",

      "ON clause references tables to its right", /* once sub-selects are flattened */
      "object name reserved"};
  for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
    if (strstr(message, outside[i])) return true;
  }
  return false;
}

/* What SQLite finds only in the code it generates, so never in what it leaves out (an unused column
** of a sub-select, ORDER BY of one row); the binder always finds it. */
static bool is_stricter(const char *message) {
  static const char *const stricter[] = {"sub-select returns",
                                         "row value misused",
                                         "IN(...) element",
                                         "misuse of aggregate: ",
                                         "ON clause references tables to its right",
                                         "trigger cannot use variables",
                                         "1st GROUP BY term",
                                         "2nd GROUP BY term"};
  for (size_t i = 0; i < sizeof stricter / sizeof *stricter; i++) {
    if (strncmp(message, stricter[i], strlen(stricter[i])) == 0) return true;
  }
  return false;
}

/* ---- what a prepared statement is and does */

static void add_value(Text *text, sqlite3_stmt *stmt, int i) {
  switch (sqlite3_column_type(stmt, i)) {
  case SQLITE_NULL:
    text_add(text, "NULL");
    break;
  case SQLITE_BLOB:
    text_addc(text, 'x');
    text_addn(text, sqlite3_column_blob(stmt, i), (size_t)sqlite3_column_bytes(stmt, i));
    break;
  default:
    text_addf(text, "%d:%s", sqlite3_column_type(stmt, i), sqlite3_column_text(stmt, i));
  }
  text_addc(text, '|');
}

static int stop_long(void *ctx) {
  int *steps = ctx;
  return ++*steps > 300;
}

static void add_rows(Text *text, Run *run, const char *sql) {
  sqlite3_stmt *stmt = NULL;
  int steps = 0, rows = 0, before = sqlite3_total_changes(run->db),
      rc = sqlite3_prepare_v2(run->db, sql, -1, &stmt, NULL);
  sqlite3_progress_handler(run->db, 1000, stop_long, &steps);
  if (rc == SQLITE_OK) {
    while (rows++ < 300 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
      for (int i = 0; i < sqlite3_column_count(stmt); i++) add_value(text, stmt, i);
      text_addc(text, '\n');
    }
  }
  sqlite3_progress_handler(run->db, 0, NULL, NULL);
  text_addf(text, "%d changes, result %d", sqlite3_total_changes(run->db) - before, rc);
  if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
    const char *message = sqlite3_errmsg(run->db); /* a failed CHECK is named by its text */
    text_add(text, strncmp(message, "CHECK", 5) == 0 ? " CHECK" : message);
  }
  text_addc(text, '\n');
  sqlite3_finalize(stmt);
}

static void add_names(Text *text, sqlite3_stmt *stmt) {
  for (int i = 0; i < sqlite3_column_count(stmt); i++) {
    text_addf(text, "%s|", sqlite3_column_name(stmt, i));
  }
}

/* EXPLAIN, without what names or addresses the text. */
static void add_program(Text *text, Run *run, const char *sql) {
  char *explain = sqlite3_mprintf("EXPLAIN %s", sql);
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_prepare_v2(run->db, explain, -1, &stmt, NULL) == SQLITE_OK) {
    while (sqlite3_step(stmt) == SQLITE_ROW) {
      const char *opcode = (const char *)sqlite3_column_text(stmt, 1);
      text_addf(text, "%d %s", sqlite3_column_int(stmt, 0), opcode);
      for (int i = 2; i < 7; i++) {
        const char *value = (const char *)sqlite3_column_text(stmt, i);
        bool address = i == 5 && value && strncmp(value, "vtab:", 5) == 0;
        text_addf(text, " %s", address || !value ? "-" : value);
      }
      text_addc(text, '\n');
    }
  }
  sqlite3_finalize(stmt);
  sqlite3_free(explain);
}

static void run_sql(Run *run, const char *sql) { sqlite3_exec(run->db, sql, NULL, NULL, NULL); }

/* What a CREATE leaves in the schema, but for the text itself. */
static void add_schema(Text *text, Run *run) {
  add_rows(text, run,
           "SELECT m.type, m.name, tbl_name, x.* FROM (SELECT * FROM sqlite_schema UNION ALL "
           "SELECT * FROM sqlite_temp_schema) m LEFT JOIN pragma_table_xinfo(m.name) x "
           "WHERE m.name LIKE 'n%' OR m.name = 'order'");
  add_rows(text, run,
           "SELECT m.name, f.* FROM sqlite_schema m, pragma_foreign_key_list(m.name) f "
           "WHERE m.name LIKE 'n%'");
  add_rows(text, run,
           "SELECT i.*, x.* FROM sqlite_schema m, pragma_index_list(m.name) i, "
           "pragma_index_xinfo(i.name) x WHERE m.type = 'table'");
}

static void add_effect(Text *text, Run *run, const char *sql, bool create) {
  run_sql(run, "SAVEPOINT s");
  add_rows(text, run, sql);
  if (create) {
    add_schema(text, run);
    /* Triggers and constraints show when something happens. */
    add_rows(text, run, "UPDATE t1 SET b = b || 'q', a = a + 10 WHERE a = 3");
    add_rows(text, run, "SELECT * FROM t1, t5");
    add_rows(text, run, "SELECT * FROM n2");
    add_rows(text, run, "INSERT INTO n1(p) VALUES (7), (2), (2) RETURNING *");
  }
  run_sql(run, "ROLLBACK TO s");
  run_sql(run, "RELEASE s");
}

static bool same(Run *run, const char *what, Text *a, Text *b) {
  bool cut = strstr(text_get(a), "interrupted") || strstr(text_get(b), "interrupted");
  bool equal = cut || (a->length == b->length && memcmp(text_get(a), text_get(b), a->length) == 0);
  if (!equal) difference(run, what, text_get(b), text_get(a));
  text_clear(a);
  text_clear(b);
  return equal;
}

/* ---- one statement */

static SqlResult *results_of(const SqlStatement *statement, int *n) {
  switch (statement->kind) {
  case SQL_STATEMENT_INSERT:
    *n = statement->insert->nexpanded;
    return statement->insert->expanded;
  case SQL_STATEMENT_UPDATE:
    *n = statement->update->nexpanded;
    return statement->update->expanded;
  case SQL_STATEMENT_DELETE:
    *n = statement->delete_->nexpanded;
    return statement->delete_->expanded;
  default:
    *n = 0;
    return NULL;
  }
}

static void add_bound_names(Text *text, const SqlStatement *statement) {
  int n;
  SqlResult *results = results_of(statement, &n);
  if (statement->kind == SQL_STATEMENT_SELECT) {
    n = sql_width(statement->select);
    for (int i = 0; i < n && statement->select->is_values; i++) {
      text_addf(text, "column%d|", i + 1);
    }
    if (statement->select->is_values) return;
  }
  for (int i = 0; i < n; i++) {
    const SqlResult *result = results ? &results[i] : sql_result(statement->select, i);
    text_addf(text, "%s|", result->name);
  }
}

static void print(Text *text, const SqlStatement *statement) {
  SqlPrinter printer = {.out = text};
  sql_print_statement(&printer, statement);
}

static void check_printed(Run *run, Arena *arena, const SqlStatement *statement, const char *sql,
                          const char *printed, sqlite3_stmt *stmt) {
  Fault fault = {0};
  Text a = {0}, b = {0};
  SqlStatement *again = sql_parse_statement(arena, printed, strlen(printed), &fault);
  if (!again) {
    difference(run, "what was printed does not parse", printed, fault.text);
    return;
  }
  print(&b, again);
  text_add(&a, printed);
  if (same(run, "printing is not stable", &a, &b) && statement->select) {
    SqlStatement *fresh = sql_parse_statement(arena, sql, strlen(sql), &fault);
    if (!sql_select_equal(fresh->select, again->select)) {
      difference(run, "the printed tree differs", printed, sql);
    }
  }
  sqlite3_stmt *other = NULL;
  if (sqlite3_prepare_v2(run->db, printed, -1, &other, NULL) != SQLITE_OK) {
    difference(run, "SQLite rejects what was printed", printed, sqlite3_errmsg(run->db));
  } else {
    bool create = statement->kind >= SQL_STATEMENT_CREATE_TABLE;
    add_names(&a, stmt);
    add_names(&b, other);
    bool ok = same(run, "column names of the printed text", &a, &b);
    if (!create) {
      add_program(&a, run, sql);
      add_program(&b, run, printed);
      ok = ok && same(run, "program of the printed text", &a, &b);
    }
    add_effect(&a, run, sql, create);
    add_effect(&b, run, printed, create);
    if (ok) same(run, "effect of the printed text", &a, &b);
  }
  sqlite3_finalize(other);
  text_finish(&a);
  text_finish(&b);
}

static void check_accepted(Run *run, Arena *arena, SqlStatement *statement, const char *sql,
                           sqlite3_stmt *stmt) {
  Text a = {0}, b = {0}, printed = {0};
  run->accepted++;
  bool create = statement->kind >= SQL_STATEMENT_CREATE_TABLE;
  if (!create) {
    add_names(&a, stmt);
    add_bound_names(&b, statement);
    same(run, "column names", &a, &b);
  }
  if (statement->select) {
    SqlSelect *copy = sql_copy_select(arena, statement->select);
    if (!sql_select_equal(copy, copy)) difference(run, "a copy is not equal to itself", "", "");
    SqlPrinter printer = {.out = &a};
    sql_print_select(&printer, copy);
    print(&b, statement);
    same(run, "a copy prints differently", &a, &b);
  }
  Fault fault = {0};
  SqlStatement *fresh = sql_parse_statement(arena, sql, strlen(sql), &fault);
  print(&printed, fresh);
  if (run->verbose) printf("# printed: %s\n", text_get(&printed));
  check_printed(run, arena, fresh, sql, text_get(&printed), stmt);
  text_clear(&printed);
  print(&printed, statement);
  check_printed(run, arena, fresh, sql, text_get(&printed), stmt); /* of the bound tree */
  text_finish(&printed);
  text_finish(&a);
  text_finish(&b);
}

static void check(Run *run, const char *sql) {
  Arena arena = {0};
  Fault fault = {0};
  sqlite3_stmt *stmt = NULL;
  run->sql = sql;
  const char *rest = NULL;
  int rc = sqlite3_prepare_v2(run->db, sql, -1, &stmt, &rest);
  if (rc == SQLITE_OK && (!stmt || *rest)) rc = -1; /* empty, or more than one */
  char message[500];
  snprintf(message, sizeof message, "%s", rc > 0 ? sqlite3_errmsg(run->db) : "");
  SqlStatement *statement = sql_parse_statement(&arena, sql, strlen(sql), &fault);
  bool parsed = statement != NULL;
  bool create = parsed && statement->kind >= SQL_STATEMENT_CREATE_TABLE;
  /* The order of changes may count the columns of a PRIMARY KEY, which the binder does not know. */
  bool change = parsed && (statement->update || statement->delete_);
  bool ok = parsed && (create || sql_bind_statement(statement, &run->schema, &arena, &fault));
  if (run->verbose) {
    printf("# %s\n# ours: %s\n# sqlite: %s\n", sql, ok ? "ok" : fault.text, message);
  }
  if (rc < 0) {
    run->skipped++;
  } else if (rc == SQLITE_OK && ok) {
    check_accepted(run, &arena, statement, sql, stmt);
  } else if (rc == SQLITE_OK && is_stricter(fault.text)) {
    run->stricter++;
  } else if (rc == SQLITE_OK) {
    difference(run, "accepted by SQLite alone", fault.text, "ok");
  } else if (ok && change && strstr(message, "ORDER BY term out of range")) {
    run->skipped++;
  } else if (ok && (is_outside(message) || (create && !strstr(message, "syntax error")))) {
    run->skipped++;
  } else if (ok) {
    difference(run, "rejected by SQLite alone", "ok", message);
  } else {
    run->rejected++;
    run->same_message += strncmp(fault.text, message, strlen(message)) == 0;
  }
  sqlite3_finalize(stmt);
  arena_finish(&arena);
}

static int compare_bytes(void *ctx, int na, const void *a, int nb, const void *b) {
  (void)ctx;
  int difference = memcmp(a, b, (size_t)(na < nb ? na : nb));
  return difference ? difference : na - nb;
}

/* Every collation exists, as the binder takes it. */
static void need_collation(void *ctx, sqlite3 *db, int encoding, const char *name) {
  sqlite3_create_collation(db, name, encoding, ctx, compare_bytes);
}

int main(int argc, char **argv) {
  static Gen gen;
  static char sql[GEN_MAX * 14];
  static Run run;
  long n = argc > 1 ? atol(argv[1]) : 2000;
  uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  run.verbose = argc > 3;
  sqlite3_open(":memory:", &run.db);
  sqlite3_collation_needed(run.db, NULL, need_collation);
  char *error = NULL;
  if (sqlite3_exec(run.db, generate_schema, NULL, NULL, &error) != SQLITE_OK) {
    printf("# schema: %s\n", error);
    return 2;
  }
  live_open(&run.live, run.db);
  run.schema = live_schema(&run.live);
  for (long i = 0; i < n && run.differences < 50; i++) {
    run.seed = seed + (uint64_t)i;
    gen_statement(&gen, run.seed);
    if (gen.overflow) continue;
    for (int m = gen_chance(&gen, 40) ? 1 + gen_below(&gen, 2) : 0; m > 0; m--) gen_mutate(&gen);
    gen_write(&gen, sql, sizeof sql);
    check(&run, sql);
  }
  printf("%d statements: %d accepted by both, %d rejected by both, %d differences\n",
         run.accepted + run.rejected + run.skipped + run.stricter + run.differences, run.accepted,
         run.rejected, run.differences);
  printf("# %d of the rejections with SQLite's words; %d statements outside the comparison; %d "
         "rejected for what SQLite does not look at\n",
         run.same_message, run.skipped, run.stricter);
  arena_finish(&run.live.arena);
  sqlite3_close(run.db);
  return run.differences > 0;
}
