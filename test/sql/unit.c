/*
** The SQL reader by example: tokens, printing, binding, faults with their places, limits. No
** SQLite. `unit bench` measures reading and binding instead.
*/
#include "sql/statement.h"
#include "sql/token.h"
#include "test/sql/cases.h"
#include "test/sql/fixed_schema.h"

/* ---- tokens */

static void test_tokens(void) {
  static const struct {
    const char *text;
    int code;
    uint32_t length;
  } tokens[] = {
      {"", SQL_TK_EOF, 0},
      {" \t\n\f\r\vx", SQL_TK_SPACE, 6},
      {"--a\nb", SQL_TK_SPACE, 3},
      {"/* a */b", SQL_TK_SPACE, 7},
      {"/* open", SQL_TK_SPACE, 7},
      {"/**/x", SQL_TK_SPACE, 4},
      {"/*", SQL_TK_SLASH, 1},
      {"\xEF\xBB\xBFx", SQL_TK_SPACE, 3},
      {"a1_$\xC3\xA9 b", SQL_TK_ID, 6},
      {"\"a\"\"b\"c", SQL_TK_ID, 6},
      {"[a\"]]", SQL_TK_ID, 4},
      {"`a``b`", SQL_TK_ID, 6},
      {"\"a", SQL_TK_ILLEGAL, 2},
      {"'it''s'x", SQL_TK_STRING, 7},
      {"'x", SQL_TK_ILLEGAL, 2},
      {"x'0aFF'", SQL_TK_BLOB, 7},
      {"X''", SQL_TK_BLOB, 3},
      {"x'0'", SQL_TK_ILLEGAL, 4},
      {"x'0g'", SQL_TK_ILLEGAL, 5},
      {"xy", SQL_TK_ID, 2},
      {"12.", SQL_TK_FLOAT, 3},
      {".5e-3x", SQL_TK_ILLEGAL, 6},
      {"1e5", SQL_TK_FLOAT, 3},
      {"1e+", SQL_TK_ILLEGAL, 2},
      {"0x1F", SQL_TK_INTEGER, 4},
      {"0x", SQL_TK_ILLEGAL, 2},
      {"7", SQL_TK_INTEGER, 1},
      {".", SQL_TK_DOT, 1},
      {"?12a", SQL_TK_VARIABLE, 3},
      {":a:b", SQL_TK_VARIABLE, 2},
      {"$a::b(c d)", SQL_TK_ILLEGAL, 7},
      {"$a::b(cd)", SQL_TK_VARIABLE, 9},
      {"@", SQL_TK_ILLEGAL, 1},
      {"->>", SQL_TK_PTR, 3},
      {"->x", SQL_TK_PTR, 2},
      {"==", SQL_TK_EQ, 2},
      {"<>", SQL_TK_NE, 2},
      {"!=", SQL_TK_NE, 2},
      {"!", SQL_TK_ILLEGAL, 1},
      {"<<", SQL_TK_LSHIFT, 2},
      {">=", SQL_TK_GE, 2},
      {"||", SQL_TK_CONCAT, 2},
      {"|", SQL_TK_BITOR, 1},
      {"sElEcT", SQL_TK_SELECT, 6},
      {"current_timestamp", SQL_TK_CTIME_KW, 17},
      {"selects", SQL_TK_ID, 7},
      {"\x01", SQL_TK_ILLEGAL, 1},
  };
  for (size_t i = 0; i < countof(tokens); i++) {
    uint32_t length;
    int code = sql_lex(tokens[i].text, 0, &length);
    bool ok = code == tokens[i].code && length == tokens[i].length;
    char got[60];
    snprintf(got, sizeof got, "code %d, length %u", code, length);
    report(ok, tokens[i].text, got, "another token");
  }
}

/* ---- printing: what goes in, and what comes out (NULL: the same) */

static void test_print(void) {
  for (size_t i = 0; i < countof(print_cases); i++) {
    const char *expected = print_cases[i][1] ? print_cases[i][1] : print_cases[i][0];
    const char *got = print(parse(print_cases[i][0]));
    same(print_cases[i][0], got, expected);
    char *first = arena_strdup(&arena, got);
    if (parse(first)) same("  and again", print(parse(first)), first);
    arena_reset(&arena);
  }
}

/* ---- faults: their code, words and place */

static void test_faults(void) {
  for (size_t i = 0; i < countof(fault_cases); i++) {
    bool accepted = bind(fault_cases[i].sql) != NULL;
    same(fault_cases[i].sql, accepted ? "accepted" : fault.text, fault_cases[i].text);
    if (fault.code != fault_cases[i].code) yes(false, "  with its code");
    arena_reset(&arena);
  }
}

/* ---- binding: every column as name=source.index@depth, in the order of a walk */

static SqlWalk describe(void *ctx, SqlExpr *e) {
  Text *out = ctx;
  if (e->kind == SQL_EXPR_FUNCTION && e->is_aggregate) {
    text_addf(out, "%s()^%d ", e->name, e->aggregate_depth);
  }
  if (e->kind != SQL_EXPR_COLUMN) return SQL_WALK_ON;
  if (e->bound) {
    const char *source = e->bound->alias ? e->bound->alias : e->bound->name;
    text_addf(out, "%s=%s.%d@%d%s ", e->name, source ? source : "?", e->column, e->depth,
              e->merged ? "+" : "");
  } else {
    text_addf(out, "%s=%s ", e->name, e->alias_of ? "alias" : "nothing");
  }
  return SQL_WALK_ON;
}

static const char *described(SqlSelect *select) {
  SqlVisitor visitor = {&text, describe, NULL, NULL};
  text_clear(&text);
  sql_walk_select(select, &visitor);
  if (text.length) text.data[--text.length] = '\0';
  return text_get(&text);
}

static SqlWalk rename_source(void *ctx, SqlSource *source) {
  (void)ctx;
  source->alias = "renamed";
  return SQL_WALK_ON;
}

/* What USING and NATURAL make equal. */
static void test_joins(void) {
  static const char *const joins[][2] = {
      {"SELECT 1 FROM t JOIN u USING (a)", "a=t.0@0 a=u.0@0"},
      {"SELECT 1 FROM t x NATURAL LEFT JOIN t y",
       "a=x.0@0 a=y.0@0 b=x.1@0 b=y.1@0 c=x.2@0 c=y.2@0"},
      {"SELECT 1 FROM t FULL JOIN u USING (a) JOIN t y USING (a)",
       "a=t.0@0 a=u.0@0 a=t.0@0+ a=y.0@0"},
      {"SELECT 1 FROM t NATURAL JOIN f", ""},
  };
  for (size_t i = 0; i < countof(joins); i++) {
    SqlStatement *statement = bind(joins[i][0]);
    text_clear(&text);
    for (SqlSource *source = statement ? statement->select->from : NULL; source;
         source = source->next) {
      for (int j = 0; j < source->nequal; j++) {
        describe(&text, source->left[j]);
        describe(&text, source->right[j]);
      }
    }
    if (text.length) text.data[--text.length] = '\0';
    same(joins[i][0], statement ? text_get(&text) : fault.text, joins[i][1]);
    arena_reset(&arena);
  }
}

static void test_bind(void) {
  for (size_t i = 0; i < countof(bind_cases); i++) {
    SqlStatement *statement = bind(bind_cases[i][0]);
    if (statement && !statement->select) {
      same(bind_cases[i][0], "not a select", bind_cases[i][1]);
      continue;
    }
    same(bind_cases[i][0], statement ? described(statement->select) : fault.text, bind_cases[i][1]);
    if (statement) {
      char *before = arena_strdup(&arena, described(statement->select));
      SqlSelect *copy = sql_copy_select(&arena, statement->select);
      same("  and its copy", described(copy), before);
      SqlVisitor rename = {NULL, NULL, NULL, rename_source};
      sql_walk_select(statement->select, &rename);
      same("  which stands alone", described(copy), before);
    }
    arena_reset(&arena);
  }
}

static void test_names(void) {
  static const char *const cases_[][2] = {
      {"SELECT A, t.b AS x, a + 1 , 'lit', \"zz\" FROM t", "a|x|a + 1|'lit'|\"zz\"|"},
      {"SELECT * FROM t JOIN u USING (a)", "a|b|c|x|"},
      {"SELECT u.*, rowid FROM u", "a|x|rowid|"},
      {"SELECT rowid FROM t", "a|"},
      {"SELECT * FROM (SELECT a + 1, a AS a, b AS a FROM t)", "a + 1|a|a:1|"},
      {"SELECT * FROM (VALUES (1, 2))", "column1|column2|"},
      {"SELECT * FROM f(1)", "value|"},
      {"SELECT a /* why */ FROM t UNION SELECT 1", "a|"},
      {"SELECT * FROM u, (t JOIN u AS w ON 1) AS j", "a|x|a|b|c|a:1|x|"},
  };
  for (size_t i = 0; i < countof(cases_); i++) {
    SqlStatement *statement = bind(cases_[i][0]);
    text_clear(&text);
    for (int j = 0; statement && j < sql_width(statement->select); j++) {
      text_addf(&text, "%s|", sql_result(statement->select, j)->name);
    }
    same(cases_[i][0], statement ? text_get(&text) : fault.text, cases_[i][1]);
    arena_reset(&arena);
  }
}

static void test_facts(void) {
  static const struct {
    const char *expr;
    SqlAffinity affinity;
    const char *collation;
  } facts[] = {
      {"a", SQL_AFFINITY_INTEGER, ""},
      {"b", SQL_AFFINITY_TEXT, "NOCASE"},
      {"c", SQL_AFFINITY_REAL, ""},
      {"a + 1", SQL_AFFINITY_NONE, ""},
      {"+b", SQL_AFFINITY_NONE, "NOCASE"},
      {"b COLLATE rtrim", SQL_AFFINITY_TEXT, "rtrim"},
      {"a || b COLLATE rtrim", SQL_AFFINITY_NONE, "rtrim"},
      {"CAST(a AS BLOB)", SQL_AFFINITY_BLOB, ""},
      {"CAST(b AS varchar)", SQL_AFFINITY_TEXT, "NOCASE"},
      {"(SELECT x FROM u)", SQL_AFFINITY_BLOB, ""},
      {"CAST(a AS)", SQL_AFFINITY_NUMERIC, ""},
      {"abs(b COLLATE rtrim)", SQL_AFFINITY_NONE, ""},
  };
  for (size_t i = 0; i < countof(facts); i++) {
    char sql[100];
    snprintf(sql, sizeof sql, "SELECT %s FROM t", facts[i].expr);
    SqlStatement *statement = bind(sql);
    const SqlExpr *e = statement ? statement->select->results[0].expr : NULL;
    yes(e && sql_expr_affinity(e) == facts[i].affinity, facts[i].expr);
    const char *collation = e ? sql_expr_collation(e) : NULL;
    same("  its collation", collation ? collation : "", facts[i].collation);
    arena_reset(&arena);
  }
  yes(sql_type_affinity("FLOATING POINT") == SQL_AFFINITY_INTEGER, "a POINT is an INT");
  yes(sql_type_affinity("CHARINT") == SQL_AFFINITY_INTEGER, "INT before CHAR");
  yes(sql_type_affinity("STRING") == SQL_AFFINITY_NUMERIC, "STRING is NUMERIC");
}

/* ---- equality, expressions alone, hooks, walks */

static SqlExpr *expr(const char *sql) {
  fault_clear(&fault);
  return sql_parse_expr(&arena, sql, strlen(sql), &fault);
}

static void test_equal(void) {
  static const struct {
    const char *a, *b;
    bool equal;
  } pairs[] = {
      {"a+1", "A + 1", true},
      {"a + 1", "a + 2", false},
      {"(a)", "a", true},
      {"a IS NULL", "a ISNULL", true},
      {"a IN (1)", "a NOT IN (1)", false},
      {"f(a)", "F([a])", true},
      {"'a'", "'A'", false},
      {"\"a\"", "a", false},
      {"count(*)", "count()", false},
      {"sum(a)", "sum(DISTINCT a)", false},
      {"(SELECT a FROM t)", "(select a from t)", true},
      {"(SELECT a FROM t)", "(SELECT a FROM u)", false},
      {"sum(a) OVER (ORDER BY b)", "sum(a) OVER (ORDER BY b DESC)", false},
      {"1", "1.0", false},
      {"x'00'", "x'0000'", false},
      {"a.b", "b", false},
      {"CASE a WHEN 1 THEN 2 END", "CASE WHEN a THEN 1 ELSE 2 END", false},
  };
  for (size_t i = 0; i < countof(pairs); i++) {
    SqlExpr *a = expr(pairs[i].a), *b = expr(pairs[i].b);
    yes(a && b && sql_expr_equal(a, b) == pairs[i].equal, pairs[i].a);
    yes(a && sql_expr_equal(a, sql_copy_expr(&arena, a)), "  equals its copy");
    arena_reset(&arena);
  }
}

static bool bind_over(SqlExpr *e) {
  SqlSource *source = arena_alloc(&arena, sizeof *source);
  *source = (SqlSource){.kind = SQL_SOURCE_TABLE, .name = "t"};
  return sql_bind_expr(e, source, &schema, &arena, &fault);
}

static bool one_for_a(void *ctx, Text *out, const SqlExpr *e) {
  (void)ctx;
  if (e->kind != SQL_EXPR_COLUMN || strcmp(e->name, "a") != 0) return false;
  text_add(out, "-1");
  return true;
}

static bool other_table(void *ctx, Text *out, const SqlSource *source) {
  text_addf(out, "%s_%s", (const char *)ctx, source->name);
  return true;
}

static void test_doors(void) {
  yes(bind_over(expr("a + b")), "an expression alone binds");
  yes(!bind_over(expr("a + q")), "and fails alone");
  same("  with words", fault.text, "no such column: q");
  yes(!expr("a +"), "half an expression is none");
  same("  with its place", fault.text, "incomplete input (line 1, column 4)");
  SqlStatement *statement = parse("SELECT a, -a, b FROM t x WHERE a LIKE 'q'");
  text_clear(&text);
  SqlPrinter printer = {.out = &text, .ctx = "my", .expr = one_for_a, .source = other_table};
  sql_print_select(&printer, statement->select);
  same("hooks write their own text", text_get(&text),
       "SELECT -1 AS a, - -1 AS \"-a\", b FROM my_t WHERE -1 LIKE 'q'");
  const SqlSpan span = statement->select->where->span;
  same("a span", arena_strndup(&arena, statement->text + span.at, span.length), "a LIKE 'q'");
  yes(!sql_parse_select(&arena, "DELETE FROM t", 13, &fault), "a SELECT is asked for");
  arena_reset(&arena);
}

int main(void) {
  test_tokens();
  test_print();
  test_faults();
  test_bind();
  test_joins();
  test_names();
  test_facts();
  test_equal();
  test_doors();
  printf("1..%d\n", cases);
  text_finish(&text);
  arena_finish(&arena);
  return failures > 0;
}
