/*
** Limits of the SQL reader: depth, length, refused memory. `limits bench` measures its speed
** instead.
*/
#include <time.h>

#include "test/sql/fixed_schema.h"

/* ---- memory that is refused */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OWN_MALLOC 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || !defined(__GLIBC__)
#define OWN_MALLOC 0
#endif
#ifndef OWN_MALLOC
#define OWN_MALLOC 1
#endif

#if OWN_MALLOC
static long allowed = -1; /* allocations until one is refused; negative: all are granted */

void *__libc_malloc(size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_calloc(size_t count, size_t size);

static bool refuse(void) { return allowed >= 0 && allowed-- == 0; }

void *malloc(size_t size) { return refuse() ? NULL : __libc_malloc(size); }
void *realloc(void *memory, size_t size) { return refuse() ? NULL : __libc_realloc(memory, size); }
void *calloc(size_t count, size_t size) { return refuse() ? NULL : __libc_calloc(count, size); }

/* True when everything was done, false when the refusal was told as it should be. */
static bool work(const char *sql) {
  SqlStatement *statement = bind(sql);
  if (!statement) {
    yes(fault.code == FAULT_NOMEM, "refused memory is told");
    return false;
  }
  if (!print(statement)) return false;
  text_finish(&text);
  return sql_copy_select(&arena, statement->select) != NULL;
}

static void test_memory(void) {
  Text sql = {0};
  text_add(
      &sql,
      "WITH RECURSIVE c(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM c) SELECT *, sum(t.a) OVER w, "
      "(SELECT max(x) FROM u) FROM t NATURAL JOIN u, (t AS y JOIN c ON 1), (SELECT b, b "
      "FROM t) WINDOW w AS (ORDER BY t.b) ORDER BY 1");
  bool done = false;
  int n = 0;
  for (; n < 100000 && !done; n++) {
    allowed = n;
    bool worked = work(text_get(&sql));
    done = allowed >= 0; /* none was refused any more */
    allowed = -1;
    if (done) yes(worked, "with enough memory all is done");
    arena_finish(&arena);
    text_finish(&text);
  }
  printf("# %d allocations, each refused once\n", n - 1);
  yes(n > 40, "many allocations were refused");
  text_finish(&sql);
}
#else
static void test_memory(void) {}
#endif

/* ---- limits */

static const char *repeat(const char *before, const char *part, const char *after, int n) {
  text_clear(&text);
  text_add(&text, before);
  for (int i = 0; i < n; i++) text_add(&text, part);
  text_add(&text, after);
  return text_get(&text);
}

static void limit(const char *name, const char *sql, const char *expected) {
  SqlStatement *statement = bind(sql);
  same(name, statement ? "fine" : fault.text, expected);
  if (statement) {
    SqlPrinter printer = {.out = &text};
    text_clear(&text);
    sql_print_statement(&printer, statement);
    SqlSelect *copy = sql_copy_select(&arena, statement->select);
    yes(copy && sql_select_equal(statement->select, copy), "  printed, copied, compared");
  }
  arena_finish(&arena);
}

static void test_limits(void) {
  const char *deep = "expression tree is too large (maximum depth 1000) (line 1, column 8)";
  limit("999 ANDs", repeat("SELECT 1", " AND 1", "", 999), "fine");
  limit("1000 ANDs", repeat("SELECT 1", " AND 1", "", 1000), deep);
  limit("999 ||s", repeat("SELECT 'x'", "||'x'", "", 999), "fine");
  limit("999 minuses", repeat("SELECT ", "- ", "1", 999), "fine");
  limit("a million minuses", repeat("SELECT ", "- ", "1", 1000000),
        "expression tree is too large (maximum depth 1000) (line 1, column 1998008)");
  limit("100,000 parentheses", arena_strdup(&arena, repeat("SELECT ", "(", "", 100000)),
        "incomplete input (line 1, column 100008)");
  limit("500 arms", repeat("SELECT 1", " UNION ALL SELECT 2", "", 499), "fine");
  limit("501 arms", repeat("SELECT 1", " UNION ALL SELECT 2", "", 500),
        "too many terms in compound SELECT (line 1, column 1)");
  limit("100,000 rows", repeat("VALUES (1, 'a')", ", (2, 'b')", "", 99999), "fine");
  limit("2000 columns", repeat("SELECT 1", ", 1", "", 1999), "fine");
  limit("2001 columns", repeat("SELECT 1", ", 1", "", 2000),
        "too many columns in result set (line 1, column 8)");
  limit("64 tables", repeat("SELECT 1 FROM t", ", t", "", 63), "fine");
  limit("65 tables", repeat("SELECT 1 FROM t", ", t", "", 64),
        "at most 64 tables in a join (line 1, column 207)");
  limit("127 arguments", repeat("SELECT max(1, 1", ", 1", ")", 125), "fine");
  limit("128 arguments", repeat("SELECT max(1, 1", ", 1", ")", 126),
        "too many arguments on function max (line 1, column 8)");
  limit("101 SELECTs", repeat("SELECT 1 IN (", "SELECT (", "", 101),
        "SELECTs are nested too deeply (maximum 100) (line 1, column 1)");
  limit("a list of 50,000", repeat("SELECT 1 IN (1", ", 1", ")", 50000), "fine");
}

/* 100 SELECTs in each other's FROM, the deepest expressions in each: recursion stays bounded. */
static void test_nesting(void) {
  Text sql = {0};
  for (int i = 0; i < 100; i++) text_add(&sql, i ? "(SELECT * FROM " : "SELECT * FROM ");
  text_add(&sql, "t");
  for (int i = 0; i < 99; i++) text_addf(&sql, ") AS s%d", i);
  limit("100 SELECTs in FROM", text_get(&sql), "fine");
  text_clear(&sql);
  text_add(&sql, "SELECT * FROM t");
  for (int i = 0; i < 500; i++) text_addf(&sql, ", (t AS x%d", i);
  bind(text_get(&sql));
  same("joins in joins", fault.text, "incomplete input (line 1, column 5906)");
  text_clear(&sql);
  text_add(&sql, "WITH c0 AS (SELECT 1 AS x)");
  for (int i = 1; i < 1000; i++) text_addf(&sql, ", c%d AS (SELECT x FROM c%d)", i, i - 1);
  size_t length = sql.length;
  text_add(&sql, " SELECT 1 FROM c140");
  limit("140 CTEs in a row", text_get(&sql), "fine");
  sql.length = length;
  text_add(&sql, " SELECT 1 FROM c999");
  limit("1000 CTEs in a row", text_get(&sql),
        "SELECTs and CTEs depend on each other too deeply (maximum 300)");
  text_finish(&sql);
  arena_finish(&arena);
}

/* ---- speed */

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void bench(void) {
  static const char *const arm =
      "SELECT t.a AS k, sum(u.x) + count(*) AS n, CASE WHEN t.b LIKE 'abc%' THEN 1 ELSE t.c END "
      "FROM t JOIN u ON u.a = t.a AND u.x > 10 WHERE t.c BETWEEN 1.5 AND 7 AND t.b IN ('x', 'y') "
      "AND EXISTS (SELECT 1 FROM u AS w WHERE w.a = t.a) GROUP BY t.a HAVING count(*) > 3";
  Text sql = {0};
  for (int i = 0; i < 500; i++) text_addf(&sql, "%s%s", i ? " UNION ALL " : "", arm);
  double start = seconds(), parsed = 0, bound = 0, printed = 0, copied = 0;
  int rounds = 20;
  for (int i = 0; i < rounds; i++) {
    double a = seconds();
    SqlStatement *statement = parse(text_get(&sql));
    double b = seconds();
    if (!statement || !sql_bind_statement(statement, &schema, &arena, &fault)) exit(1);
    double c = seconds();
    print(statement);
    double d = seconds();
    sql_copy_select(&arena, statement->select);
    parsed += b - a, bound += c - b, printed += d - c, copied += seconds() - d;
    arena_reset(&arena);
  }
  double megabytes = (double)sql.length * rounds / 1e6;
  printf(
      "%zu bytes, %d rounds, %.2f s: parse %.1f MB/s, bind %.1f MB/s, print %.1f MB/s, copy %.1f "
      "MB/s, parse and bind %.1f MB/s\n",
      sql.length, rounds, seconds() - start, megabytes / parsed, megabytes / bound,
      megabytes / printed, megabytes / copied, megabytes / (parsed + bound));
  text_finish(&sql);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "bench") == 0) {
    bench();
  } else {
    test_limits();
    test_nesting();
    test_memory();
    printf("1..%d\n", cases);
  }
  text_finish(&text);
  arena_finish(&arena);
  return failures > 0;
}
