/*
** A small schema that never changes, and what the tests that use it share: t(a, b, c), u(a, x) and
** the table function f(value, hidden arg). No SQLite.
*/
#ifndef TEST_SQL_FIXED_SCHEMA_H
#define TEST_SQL_FIXED_SCHEMA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "sql/equal.h"
#include "sql/sql.h"

static int cases, failures;

static inline void report(bool ok, const char *name, const char *got, const char *expected) {
  printf("%sok %d - %s\n", ok ? "" : "not ", ++cases, name);
  if (ok) return;
  failures++;
  printf("# got:      %s\n# expected: %s\n", got, expected);
}

static inline void same(const char *name, const char *got, const char *expected) {
  report(got && strcmp(got, expected) == 0, name, got ? got : "(null)", expected);
}

static inline void yes(bool ok, const char *name) { report(ok, name, "no", "yes"); }

static const SqlColumn t_columns[] = {{"a", "INTEGER", NULL, false, NULL},
                                      {"b", "TEXT", "NOCASE", false, NULL},
                                      {"c", "REAL", NULL, false, NULL}};
static const SqlColumn u_columns[] = {{"a", "INT", NULL, false, NULL},
                                      {"x", "", NULL, false, NULL}};
static const SqlColumn f_columns[] = {{"value", "", NULL, false, NULL},
                                      {"arg", "", NULL, true, NULL}};

static bool find_table(void *ctx, const char *schema, const char *name, Arena *arena,
                       SqlSource *source, Fault *fault) {
  (void)ctx, (void)fault;
  static const struct {
    const char *name;
    const SqlColumn *columns;
    int n;
  } tables[] = {{"t", t_columns, 3}, {"u", u_columns, 2}, {"f", f_columns, 2}};
  if (schema && !sql_same_name(schema, "main")) return false;
  for (size_t i = 0; i < countof(tables); i++) {
    if (!sql_same_name(name, tables[i].name)) continue;
    source->columns = arena_array(arena, (size_t)tables[i].n, sizeof(SqlColumn));
    if (!source->columns) return fault_oom(fault);
    memcpy(source->columns, tables[i].columns, (size_t)tables[i].n * sizeof(SqlColumn));
    source->ncolumns = tables[i].n;
    source->has_rowid = true;
    source->rowid_column = i == 0;
    source->is_virtual = i == 2;
    return true;
  }
  return false;
}

static const SqlSchema schema = {.table = find_table};

/* ---- helpers: everything that a case makes lives in one arena */

static Arena arena;
static Fault fault;
static Text text;

static inline SqlStatement *parse(const char *sql) {
  fault_clear(&fault);
  return sql_parse_statement(&arena, sql, strlen(sql), &fault);
}

static inline SqlStatement *bind(const char *sql) {
  SqlStatement *statement = parse(sql);
  return statement && sql_bind_statement(statement, &schema, &arena, &fault) ? statement : NULL;
}

static inline const char *print(const SqlStatement *statement) {
  SqlPrinter printer = {.out = &text};
  text_clear(&text);
  if (!statement) return fault.text;
  sql_print_statement(&printer, statement);
  return text_get(&text);
}

#endif
