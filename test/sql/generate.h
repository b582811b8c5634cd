/*
** Random statements of SQLite's dialect over a fixed schema, for tests. Statements are lists of
** tokens, so that they can be mutated and spaced at random. Most of them are valid; which are is
*for
** SQLite to say.
*/
#ifndef TEST_SQL_GENERATE_H
#define TEST_SQL_GENERATE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *const generate_schema =
    "CREATE TABLE t1(a INTEGER PRIMARY KEY, b TEXT, c REAL, d);"
    "CREATE TABLE t2(a INT, b TEXT COLLATE NOCASE, e NUMERIC, f BLOB, PRIMARY KEY(a, b))"
    "  WITHOUT ROWID;"
    "CREATE TABLE t3(x UNIQUE, y INT NOT NULL DEFAULT 5, \"order\" TEXT, \"my col\" INT,"
    "  g INT GENERATED ALWAYS AS (y + 1) VIRTUAL, CHECK (y > -100));"
    "CREATE TABLE \"group\"(\"select\" INT, [a b] TEXT, `c``d` REAL);"
    "CREATE TEMP TABLE t5(a, x, \"true\" INT);"
    "CREATE INDEX t1b ON t1(b COLLATE NOCASE, c DESC);"
    "CREATE INDEX t3y ON t3(y) WHERE y > 3;"
    "CREATE UNIQUE INDEX t1c ON t1(c);"
    "CREATE VIEW v1 AS SELECT a, b || 'x' AS bx, count(*) AS n FROM t1 GROUP BY b;"
    "CREATE VIEW v2(p, q) AS SELECT t1.a, t3.y FROM t1 LEFT JOIN t3 ON t1.a = t3.x;"
    "CREATE VIRTUAL TABLE ft USING rtree(id, body, extra);"
    "INSERT INTO t1 VALUES(1,'one',1.5,x'00ff'),(2,'two',NULL,'z'),(3,'One',-3e10,NULL),"
    "  (4,NULL,4.0,7),(7,'%a_',0.0,-1);"
    "INSERT INTO t2 VALUES(1,'one',1,x''),(1,'two','2.5',NULL),(2,'three',NULL,'b'),(5,'é',1e3,0);"
    "INSERT INTO t3(x, y, \"order\", \"my col\") "
    "VALUES(1,2,'o1',3),(2,9,NULL,4),(NULL,5,'{\"k\":[1,2]}',5),"
    "  (4,5,'[1,2,3]',NULL);"
    "INSERT INTO \"group\" VALUES(1,'x',2.0),(2,'y',3.5),(NULL,NULL,NULL);"
    "INSERT INTO t5 VALUES(1,2,3),(4,5,6);"
    "INSERT INTO ft VALUES(1, 2.0, 3.0),(2, -1, 7);";

typedef struct GenTable {
  const char *name; /* as written in SQL */
  const char *columns[6];
} GenTable;

static const GenTable gen_tables[] = {
    {"t1", {"a", "b", "c", "d", "rowid"}},
    {"t2", {"a", "b", "e", "f"}},
    {"t3", {"x", "y", "\"order\"", "\"my col\"", "g"}},
    {"\"group\"", {"\"select\"", "[a b]", "`c``d`"}},
    {"t5", {"a", "x", "\"true\"", "oid"}},
    {"v1", {"a", "bx", "n"}},
    {"v2", {"p", "q"}},
    {"main.t1", {"a", "b", "c", "d"}},
    {"ft", {"id", "body", "extra"}},
};
enum { GEN_TABLES = sizeof gen_tables / sizeof *gen_tables, GEN_MAX = 6000 };

typedef struct GenSource {
  char name[24]; /* what qualifies its columns, "" for none */
  char columns[8][24];
  int ncolumns;
} GenSource;

typedef struct GenScope {
  struct GenScope *outer;
  GenSource sources[10];
  int nsources;
} GenScope;

typedef struct Gen {
  uint64_t random;
  char text[GEN_MAX * 12];
  int at[GEN_MAX];
  int ntokens, length;
  bool overflow;
  GenScope *scope;
  char ctes[6][16];
  int cte_width[6];
  int nctes;
  int depth;
  int aliases;
  bool aggregates; /* allowed here */
  bool windows;
  char named_window[16];
} Gen;

static uint32_t gen_random(Gen *g) {
  g->random ^= g->random << 13;
  g->random ^= g->random >> 7;
  g->random ^= g->random << 17;
  return (uint32_t)(g->random >> 16);
}

static int gen_below(Gen *g, int n) { return (int)(gen_random(g) % (uint32_t)n); }
static bool gen_chance(Gen *g, int percent) { return gen_below(g, 100) < percent; }

static void gen_token(Gen *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void gen_token(Gen *g, const char *format, ...) {
  if (g->ntokens >= GEN_MAX - 1 || g->length > (int)sizeof g->text - 200) {
    g->overflow = true;
    return;
  }
  va_list args;
  va_start(args, format);
  g->at[g->ntokens++] = g->length;
  g->length += vsnprintf(g->text + g->length, 190, format, args) + 1;
  va_end(args);
}

/* Several tokens separated by spaces (none of them holding one). */
static void gen(Gen *g, const char *words) {
  while (*words) {
    size_t n = strcspn(words, " ");
    if (n) gen_token(g, "%.*s", (int)n, words);
    words += n + (words[n] == ' ');
  }
}

static const char *gen_pick(Gen *g, const char *const *list, int n) {
  return list[gen_below(g, n)];
}
#define GEN_PICK(g, ...)                                                                           \
  gen_pick(g, (const char *const[]){__VA_ARGS__},                                                  \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void gen_expr(Gen *g);
static void gen_select(Gen *g, int width, GenSource *out);

static void gen_list(Gen *g, int n) {
  for (int i = 0; i < n; i++) {
    if (i) gen(g, ",");
    gen_expr(g);
  }
}

static void gen_literal(Gen *g) {
  switch (gen_below(g, 12)) {
  case 0:
    gen(g, "NULL");
    break;
  case 1:
    gen_token(g, "'%s'", GEN_PICK(g, "one", "two", "it''s", "", "%a_", "{\"k\":1}", "é"));
    break;
  case 2:
    gen(g, GEN_PICK(g, "1.5", ".5", "2.", "1e3", "3.25E-2", "9e999"));
    break;
  case 3:
    gen(g, GEN_PICK(g, "x'00ff'", "X''", "x'41'"));
    break;
  case 4:
    gen(g, GEN_PICK(g, "0x1F", "0XfF", "9223372036854775807", "9223372036854775808", "00"));
    break;
  case 5:
    gen(g, GEN_PICK(g, "true", "FALSE", "current_date", "?", "?3", ":v", "$x::y(z)", "@w"));
    break;
  default:
    gen_token(g, "%d", gen_below(g, 12));
  }
}

static void gen_name_case(Gen *g, const char *name) {
  char text[32];
  snprintf(text, sizeof text, "%s", name);
  bool plain = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
  if (plain && gen_chance(g, 8)) {
    const char *quotes = GEN_PICK(g, "\"\"", "[]", "``");
    gen_token(g, "%c%s%c", quotes[0], name, quotes[1]);
    return;
  }
  if (plain && gen_chance(g, 5))
    text[0] = (char)(text[0] >= 'a' && text[0] <= 'z' ? text[0] - 32 : text[0]);
  gen_token(g, "%s", text);
}

static void gen_column(Gen *g) {
  GenScope *scope = g->scope;
  while (scope && scope->outer && (scope->nsources == 0 || gen_chance(g, 12))) scope = scope->outer;
  if (!scope || scope->nsources == 0) {
    gen_literal(g);
    return;
  }
  if (gen_chance(g, 2)) {
    gen(g, GEN_PICK(g, "nosuch", "\"a string\"", "t1.a", "a", "x", "rowid", "\"true\""));
    return;
  }
  const GenSource *source = &scope->sources[gen_below(g, scope->nsources)];
  if (source->ncolumns == 0) {
    gen_literal(g);
    return;
  }
  if (source->name[0] && gen_chance(g, 85)) {
    gen_name_case(g, source->name);
    gen(g, ".");
  }
  gen_name_case(g, source->columns[gen_below(g, source->ncolumns)]);
}

static void gen_paren_select(Gen *g, int width) {
  gen(g, "(");
  gen_select(g, width, NULL);
  gen(g, ")");
}

static void gen_order_terms(Gen *g, int n) {
  for (int i = 0; i < n; i++) {
    if (i) gen(g, ",");
    gen_expr(g);
    if (gen_chance(g, 30))
      gen(g, GEN_PICK(g, "ASC", "DESC", "DESC NULLS LAST", "NULLS FIRST", "COLLATE NOCASE DESC"));
  }
}

static void gen_frame(Gen *g) {
  if (gen_chance(g, 50)) return;
  gen(g, GEN_PICK(g, "ROWS", "ROWS", "GROUPS", "RANGE"));
  if (gen_chance(g, 30)) {
    gen(g, GEN_PICK(g, "UNBOUNDED PRECEDING", "1 PRECEDING", "CURRENT ROW", "2 + 1 PRECEDING"));
  } else {
    gen(g, "BETWEEN");
    gen(g, GEN_PICK(g, "UNBOUNDED PRECEDING", "1 PRECEDING", "CURRENT ROW", "1 FOLLOWING"));
    gen(g, "AND");
    gen(g, GEN_PICK(g, "CURRENT ROW", "1 FOLLOWING", "UNBOUNDED FOLLOWING", "2 FOLLOWING",
                    "1 PRECEDING"));
  }
  if (gen_chance(g, 30)) {
    gen(g,
        GEN_PICK(g, "EXCLUDE TIES", "EXCLUDE GROUP", "EXCLUDE NO OTHERS", "EXCLUDE CURRENT ROW"));
  }
}

static void gen_window(Gen *g) {
  if (g->named_window[0] && gen_chance(g, 15)) gen(g, g->named_window);
  bool windows = g->windows;
  g->windows = false;
  if (gen_chance(g, 40)) {
    gen(g, "PARTITION BY");
    gen_list(g, 1 + gen_below(g, 2));
  }
  if (gen_chance(g, 60)) {
    gen(g, "ORDER BY");
    gen_order_terms(g, 1 + gen_below(g, 2));
  }
  gen_frame(g);
  g->windows = windows;
}

static void gen_over(Gen *g) {
  gen(g, "OVER");
  if (g->named_window[0] && gen_chance(g, 30)) {
    gen(g, g->named_window);
    return;
  }
  gen(g, "(");
  gen_window(g);
  gen(g, ")");
}

static void gen_filter(Gen *g) {
  if (!gen_chance(g, 20)) return;
  gen(g, "FILTER ( WHERE");
  gen_expr(g);
  gen(g, ")");
}

static void gen_aggregate(Gen *g) {
  bool aggregates = g->aggregates, windows = g->windows;
  bool over = windows && gen_chance(g, 50);
  if (over && gen_chance(g, 40)) {
    const char *name = GEN_PICK(g, "row_number", "rank", "dense_rank", "cume_dist");
    gen_token(g, "%s", name);
    gen(g, "( )");
    gen_over(g);
    return;
  }
  g->windows = false;
  if (!over) g->aggregates = false;
  switch (gen_below(g, 6)) {
  case 0:
    gen(g, "count ( * )");
    break;
  case 1:
    gen(g, "group_concat (");
    gen_expr(g);
    gen(g, ", ',' )");
    break;
  case 2:
    gen_token(g, "%s",
              over ? GEN_PICK(g, "first_value", "last_value", "lag", "lead", "max")
                   : GEN_PICK(g, "max", "min"));
    gen(g, "(");
    gen_expr(g);
    gen(g, ")");
    break;
  default:
    gen_token(g, "%s", GEN_PICK(g, "sum", "COUNT", "total", "avg", "\"sum\"", "json_group_array"));
    gen(g, "(");
    if (!over && gen_chance(g, 20)) gen(g, "DISTINCT");
    gen_expr(g);
    gen(g, ")");
  }
  if (!over || gen_chance(g, 10)) gen_filter(g);
  g->windows = windows;
  if (over) gen_over(g);
  g->aggregates = aggregates;
}

static void gen_function(Gen *g) {
  static const struct {
    const char *name;
    int n;
  } functions[] = {
      {"abs", 1},          {"coalesce", 3}, {"ifnull", 2},    {"length", 1}, {"lower", 1},
      {"substr", 3},       {"replace", 3},  {"typeof", 1},    {"iif", 3},    {"max", 2},
      {"json_extract", 2}, {"instr", 2},    {"hex", 1},       {"likely", 1}, {"like", 2},
      {"glob", 2},         {"printf", 2},   {"\"upper\"", 1}, {"char", 1},   {"nullif", 2},
      {"json_array", 2},   {"quote", 1},    {"round", 2},     {"trim", 1},   {"nosuch", 1}};
  int i = gen_below(g, sizeof functions / sizeof *functions - (gen_chance(g, 95) ? 1 : 0));
  gen_token(g, "%s", functions[i].name);
  gen(g, "(");
  gen_list(g, functions[i].n - gen_chance(g, 1));
  gen(g, ")");
}

static void gen_in(Gen *g) {
  bool row = gen_chance(g, 15);
  int width = row ? 2 : 1;
  if (row) {
    gen(g, "(");
    gen_list(g, 2);
    gen(g, ")");
  } else {
    gen_expr(g);
  }
  gen(g, gen_chance(g, 30) ? "NOT IN" : "IN");
  switch (gen_below(g, 5)) {
  case 0:
    gen_paren_select(g, width);
    break;
  case 1:
    if (!row) {
      gen(g, GEN_PICK(g, "json_each ( '[1,2]' )", "t5", "main . t1", "\"group\"",
                      "( SELECT a FROM t1 )"));
      break;
    }
    gen(g, "v2");
    break;
  default:
    gen(g, "(");
    for (int i = gen_below(g, 4); i > 0; i--) {
      if (row) {
        gen(g, "(");
        gen_list(g, 2);
        gen(g, ")");
      } else {
        gen_expr(g);
      }
      if (i > 1) gen(g, ",");
    }
    gen(g, ")");
  }
}

static void gen_compare(Gen *g) {
  bool row = gen_chance(g, 10);
  for (int side = 0; side < 2; side++) {
    if (row && gen_chance(g, 25)) {
      gen_paren_select(g, 2);
    } else if (row) {
      gen(g, "(");
      gen_list(g, 2);
      gen(g, ")");
    } else {
      gen_expr(g);
    }
    if (side == 0) {
      gen(g, GEN_PICK(g, "=", "==", "<>", "!=", "<", "<=", ">", ">=", "IS", "IS NOT",
                      "IS DISTINCT FROM", "IS NOT DISTINCT FROM"));
    }
  }
}

static void gen_like(Gen *g) {
  gen_expr(g);
  if (gen_chance(g, 30)) gen(g, "NOT");
  bool like = gen_chance(g, 70);
  gen(g, like ? "LIKE" : GEN_PICK(g, "GLOB", "GLOB", "GLOB", "REGEXP"));
  gen_expr(g);
  if (like && gen_chance(g, 25)) gen(g, "ESCAPE '!'");
}

static void gen_case(Gen *g) {
  gen(g, "CASE");
  if (gen_chance(g, 40)) gen_expr(g);
  for (int i = 1 + gen_below(g, 2); i > 0; i--) {
    gen(g, "WHEN");
    gen_expr(g);
    gen(g, "THEN");
    gen_expr(g);
  }
  if (gen_chance(g, 60)) {
    gen(g, "ELSE");
    gen_expr(g);
  }
  gen(g, "END");
}

static void gen_binary(Gen *g) {
  bool parens = gen_chance(g, 40);
  if (parens) gen(g, "(");
  gen_expr(g);
  gen(g,
      GEN_PICK(g, "+", "-", "*", "/", "%", "||", "&", "|", "<<", ">>", "AND", "OR", "AND", "OR"));
  gen_expr(g);
  if (parens) gen(g, ")");
}

static void gen_deep(Gen *g) {
  switch (gen_below(g, 24)) {
  case 0:
  case 1:
  case 2:
  case 3:
  case 4:
    gen_binary(g);
    break;
  case 5:
  case 6:
    gen_compare(g);
    break;
  case 7:
    gen_in(g);
    break;
  case 8:
    gen_like(g);
    break;
  case 9:
    gen_expr(g);
    gen(g, gen_chance(g, 70) ? "BETWEEN" : "NOT BETWEEN");
    gen_expr(g);
    gen(g, "AND");
    gen_expr(g);
    break;
  case 10:
    gen_case(g);
    break;
  case 11:
    gen(g, "CAST (");
    gen_expr(g);
    gen(g, "AS");
    gen(g, GEN_PICK(g, "INTEGER", "text", "VARCHAR ( 10 )", "DECIMAL ( 10 , 2 )", "\"my type\"",
                    "double precision", ""));
    gen(g, ")");
    break;
  case 12:
    gen_expr(g);
    gen(g, GEN_PICK(g, "ISNULL", "NOTNULL", "NOT NULL", "IS NULL", "IS NOT NULL", "IS TRUE"));
    break;
  case 13:
    gen_expr(g);
    gen(g, "COLLATE");
    gen(g, GEN_PICK(g, "NOCASE", "binary", "\"rtrim\"", "NOCASE"));
    break;
  case 14:
    gen(g, gen_chance(g, 50) ? "EXISTS" : "NOT EXISTS");
    gen_paren_select(g, 1);
    break;
  case 15:
  case 16:
    gen_paren_select(g, 1);
    break;
  case 17:
  case 18:
  case 19:
    gen(g, GEN_PICK(g, "NOT", "-", "+", "~", "-"));
    gen_expr(g);
    break;
  case 20:
    gen(g, GEN_PICK(g, "'{\"k\":[1,{\"z\":2}]}'", "'[1,2]'"));
    gen(g, GEN_PICK(g, "->", "->>"));
    gen(g, GEN_PICK(g, "'$.k'", "'k'", "1"));
    break;
  default:
    gen_function(g);
  }
}

static void gen_expr(Gen *g) {
  g->depth++;
  if (g->aggregates && gen_chance(g, g->depth < 4 ? 12 : 4)) {
    gen_aggregate(g);
  } else if (g->depth > 9 || g->ntokens > 220 || gen_chance(g, 35 + 5 * g->depth)) {
    if (gen_chance(g, 65)) {
      gen_column(g);
    } else {
      gen_literal(g);
    }
  } else {
    gen_deep(g);
  }
  g->depth--;
}

/* ---- FROM */

static void gen_add_column(GenSource *source, const char *name) {
  if (source->ncolumns < 8) {
    snprintf(source->columns[source->ncolumns++], sizeof source->columns[0], "%s", name);
  }
}

static void gen_alias(Gen *g, GenSource *source, bool must) {
  if (!must && gen_chance(g, 40)) return;
  snprintf(source->name, sizeof source->name, "s%d", g->aliases++);
  if (gen_chance(g, 60)) gen(g, "AS");
  gen_name_case(g, source->name);
}

static void gen_table(Gen *g, GenSource *source) {
  if (g->nctes && gen_chance(g, 40)) {
    int i = gen_below(g, g->nctes);
    gen_token(g, "%s", g->ctes[i]);
    snprintf(source->name, sizeof source->name, "%s", g->ctes[i]);
    for (int j = 0; j < g->cte_width[i]; j++) {
      char name[16];
      snprintf(name, sizeof name, "k%d", j);
      gen_add_column(source, name);
    }
    gen_alias(g, source, false);
    return;
  }
  const GenTable *table = &gen_tables[gen_below(g, GEN_TABLES)];
  const char *name = table->name;
  for (int i = 0; i < 6 && table->columns[i]; i++) gen_add_column(source, table->columns[i]);
  if (strncmp(name, "main.", 5) == 0) {
    gen(g, "main .");
    name += 5;
  }
  gen_token(g, "%s", name);
  snprintf(source->name, sizeof source->name, "%s", name);
  gen_alias(g, source, false);
  if (strcmp(name, "t1") == 0 && gen_chance(g, 10))
    gen(g, GEN_PICK(g, "INDEXED BY t1c", "NOT INDEXED", "NOT INDEXED"));
}

static void gen_table_function(Gen *g, GenSource *source) {
  if (gen_chance(g, 60)) {
    gen(g, GEN_PICK(g, "json_each (", "json_tree ("));
    gen(g, GEN_PICK(g, "'[1,2,3]'", "'{\"a\":1}'", "'[]'"));
    gen(g, ")");
    gen_add_column(source, "key");
    gen_add_column(source, "value");
    gen_add_column(source, "type");
    snprintf(source->name, sizeof source->name, "json_each");
  } else {
    gen(g, "pragma_table_info ( 't1' )");
    gen_add_column(source, "cid");
    gen_add_column(source, "name");
    snprintf(source->name, sizeof source->name, "pragma_table_info");
  }
  gen_alias(g, source, true);
}

static void gen_from_list(Gen *g, GenScope *scope, int depth);

static void gen_source(Gen *g, GenScope *scope, int depth) {
  if (scope->nsources >= 10) {
    gen(g, "t5");
    return;
  }
  GenSource *source = &scope->sources[scope->nsources];
  memset(source, 0, sizeof *source);
  int kind = gen_below(g, 100);
  if (kind < 70 || g->ntokens > 160) {
    gen_table(g, source);
    scope->nsources++;
  } else if (kind < 78) {
    gen_table_function(g, source);
    scope->nsources++;
  } else if (kind < 92 || depth > 1) {
    GenScope hidden = {.outer = g->scope ? g->scope->outer : NULL};
    GenScope *saved = g->scope;
    GenSource inner = {0};
    g->scope = &hidden;
    gen(g, "(");
    gen_select(g, 1 + gen_below(g, 3), &inner);
    gen(g, ")");
    g->scope = saved;
    *source = inner;
    source->name[0] = '\0';
    gen_alias(g, source, gen_chance(g, 90));
    scope->nsources++;
  } else {
    gen(g, "(");
    gen_from_list(g, scope, depth + 1);
    gen(g, ")");
    if (gen_chance(g, 15)) gen_token(g, "AS j%d", g->aliases++);
  }
}

static const char *gen_common(const GenScope *scope) {
  const GenSource *last = &scope->sources[scope->nsources - 1];
  for (int i = 0; i < last->ncolumns; i++) {
    for (int j = 0; j < scope->nsources - 1; j++) {
      for (int k = 0; k < scope->sources[j].ncolumns; k++) {
        if (strcmp(last->columns[i], scope->sources[j].columns[k]) == 0) return last->columns[i];
      }
    }
  }
  return NULL;
}

static void gen_from_list(Gen *g, GenScope *scope, int depth) {
  gen_source(g, scope, depth);
  for (int i = gen_below(g, depth ? 2 : 3); i > 0; i--) {
    const char *join = GEN_PICK(g, ",", "JOIN", "INNER JOIN", "LEFT JOIN", "LEFT OUTER JOIN",
                                "CROSS JOIN", "RIGHT JOIN", "FULL JOIN", "FULL OUTER JOIN",
                                "NATURAL JOIN", "NATURAL LEFT JOIN", "NATURAL FULL JOIN");
    gen(g, join);
    gen_source(g, scope, depth);
    if (strncmp(join, "NATURAL", 7) == 0) continue;
    const char *common = gen_common(scope);
    if (common && gen_chance(g, 40)) {
      gen(g, "USING (");
      gen_token(g, "%s", common);
      gen(g, ")");
    } else if (strcmp(join, ",") != 0 ? gen_chance(g, 80) : gen_chance(g, 5)) {
      gen(g, "ON");
      bool aggregates = g->aggregates, windows = g->windows;
      g->aggregates = g->windows = false;
      gen_expr(g);
      g->aggregates = aggregates;
      g->windows = windows;
    }
  }
}

/* ---- SELECT */

static int gen_results(Gen *g, int width, GenSource *out) {
  int made = 0;
  for (int i = 0; i < width; i++) {
    if (i) gen(g, ",");
    gen_expr(g);
    made++;
    char alias[16];
    snprintf(alias, sizeof alias, "k%d", i);
    if (out || gen_chance(g, 40)) {
      if (gen_chance(g, 70)) gen(g, "AS");
      if (!out && gen_chance(g, 10)) {
        gen(g, GEN_PICK(g, "\"my name\"", "'str'", "[b r]", "over", "first", "key"));
      } else {
        gen_token(g, "%s", alias);
      }
      if (out) gen_add_column(out, alias);
    }
  }
  return made;
}

static void gen_arm(Gen *g, int width, GenSource *out, bool order) {
  GenScope scope = {.outer = g->scope};
  GenScope *saved = g->scope;
  bool aggregates = g->aggregates, windows = g->windows;
  char window[16];
  memcpy(window, g->named_window, sizeof window);
  if (gen_chance(g, 6)) {
    gen(g, "VALUES (");
    gen_list(g, width);
    gen(g, ")");
    if (gen_chance(g, 40)) {
      gen(g, ", (");
      gen_list(g, width);
      gen(g, ")");
    }
    return;
  }
  g->scope = &scope;
  g->aggregates = g->windows = false;
  gen(g, "SELECT");
  if (gen_chance(g, 15)) gen(g, GEN_PICK(g, "DISTINCT", "ALL", "DISTINCT"));
  /* FROM is made first, to know the columns, and then moved behind the results. */
  int from_start = g->ntokens;
  bool has_from = gen_chance(g, 92);
  if (has_from) {
    gen(g, "FROM");
    gen_from_list(g, &scope, 0);
  }
  int from_end = g->ntokens, nfrom = from_end - from_start;
  bool group = gen_chance(g, 20);
  g->aggregates = group || gen_chance(g, 25);
  g->windows = gen_chance(g, 25);
  g->named_window[0] = '\0';
  bool define = g->windows && gen_chance(g, 40);
  if (define)
    snprintf(g->named_window, sizeof g->named_window, "%s", GEN_PICK(g, "w", "w1", "\"my w\"") + 0);
  if (define && g->named_window[0] == '"') snprintf(g->named_window, sizeof g->named_window, "wx");
  if (width == 0) {
    const char *star = has_from && gen_chance(g, 70) && scope.nsources ? scope.sources[0].name : "";
    if (*star) gen_token(g, "%s .", star);
    gen(g, "*");
  } else {
    gen_results(g, width, out);
  }
  bool results_aggregates = g->aggregates;
  if (!g->overflow && nfrom > 0) { /* rotate */
    static int order_buffer[GEN_MAX];
    int n = g->ntokens - from_start, nresults = n - nfrom;
    for (int i = 0; i < n; i++) order_buffer[i] = g->at[from_start + (i + nfrom) % n];
    memcpy(g->at + from_start, order_buffer, (size_t)n * sizeof(int));
    (void)nresults;
  }
  g->aggregates = g->windows = false;
  if (gen_chance(g, 50)) {
    gen(g, "WHERE");
    gen_expr(g);
  }
  if (group) {
    gen(g, "GROUP BY");
    if (gen_chance(g, 20)) {
      gen(g, "1");
    } else {
      gen_list(g, 1 + gen_below(g, 2));
    }
    g->aggregates = true;
  }
  if (group ? gen_chance(g, 35) : results_aggregates && gen_chance(g, 5)) {
    gen(g, "HAVING");
    g->aggregates = true;
    gen_expr(g);
  }
  g->aggregates = false;
  if (define) {
    gen(g, "WINDOW");
    gen_token(g, "%s", g->named_window);
    g->named_window[0] = '\0';
    gen(g, "AS (");
    gen_window(g);
    gen(g, ")");
  }
  if (order && gen_chance(g, 35)) {
    gen(g, "ORDER BY");
    switch (gen_below(g, 4)) {
    case 0:
      gen(g, GEN_PICK(g, "1", "1 DESC", "k0", "1 COLLATE NOCASE", "3", "k0 , 1"));
      break;
    default:
      g->aggregates = group;
      gen_order_terms(g, 1 + gen_below(g, 2));
    }
  }
  g->scope = saved;
  g->aggregates = aggregates;
  g->windows = windows;
  memcpy(g->named_window, window, sizeof window);
}

static void gen_limit(Gen *g) {
  if (!gen_chance(g, 20)) return;
  gen(g, "LIMIT");
  gen(g, GEN_PICK(g, "3", "10 OFFSET 1", "1 , 5", "( SELECT 4 )", "-1", "2 + 1"));
}

static void gen_ctes(Gen *g) {
  gen(g, "WITH");
  bool recursive = gen_chance(g, 40);
  if (recursive) gen(g, "RECURSIVE");
  for (int i = 1 + gen_below(g, 2); i > 0 && g->nctes < 6; i--) {
    int width = 1 + gen_below(g, 2);
    char name[16];
    snprintf(name, sizeof name, "c%d", g->aliases++);
    gen_token(g, "%s", name);
    if (recursive && gen_chance(g, 60)) {
      width = 1;
      gen(g, "( k0 ) AS (");
      gen(g, gen_chance(g, 50) ? "SELECT 1 UNION ALL SELECT k0 + 1 FROM"
                               : "VALUES ( 1 ) UNION SELECT k0 + 1 FROM");
      gen_token(g, "%s", name);
      gen(g, "WHERE k0 < 5");
      if (gen_chance(g, 20)) gen(g, "LIMIT 9");
      gen(g, ")");
    } else {
      if (gen_chance(g, 50)) gen(g, width == 1 ? "( k0 )" : "( k0 , k1 )");
      gen(g, "AS");
      if (gen_chance(g, 20)) gen(g, GEN_PICK(g, "MATERIALIZED", "NOT MATERIALIZED"));
      gen(g, "(");
      GenSource out = {0};
      GenScope *saved = g->scope;
      g->scope = NULL;
      gen_select(g, width, &out);
      g->scope = saved;
      gen(g, ")");
    }
    snprintf(g->ctes[g->nctes], sizeof g->ctes[0], "%s", name);
    g->cte_width[g->nctes++] = width;
    if (i > 1) gen(g, ",");
  }
}

static void gen_select(Gen *g, int width, GenSource *out) {
  g->depth += 2;
  int nctes = g->nctes;
  if (gen_chance(g, g->depth < 5 ? 12 : 3)) gen_ctes(g);
  bool compound = gen_chance(g, 10) && g->ntokens < 200;
  gen_arm(g, width, out, !compound);
  if (compound) {
    for (int i = 1 + gen_below(g, 2); i > 0; i--) {
      gen(g, GEN_PICK(g, "UNION", "UNION ALL", "INTERSECT", "EXCEPT"));
      gen_arm(g, width, NULL, false);
    }
    if (gen_chance(g, 30)) gen(g, GEN_PICK(g, "ORDER BY 1", "ORDER BY k0", "ORDER BY 1 DESC , 1"));
  }
  gen_limit(g);
  g->nctes = nctes;
  g->depth -= 2;
}

/* ---- INSERT, UPDATE, DELETE */

static void gen_use_table(GenScope *scope, const GenTable *table, const char *name) {
  GenSource *source = &scope->sources[scope->nsources++];
  memset(source, 0, sizeof *source);
  snprintf(source->name, sizeof source->name, "%s", name);
  for (int i = 0; i < 6 && table->columns[i]; i++) gen_add_column(source, table->columns[i]);
}

static void gen_returning(Gen *g) {
  if (!gen_chance(g, 25)) return;
  gen(g, "RETURNING");
  if (gen_chance(g, 30)) {
    gen(g, "*");
  } else {
    gen_results(g, 1 + gen_below(g, 2), NULL);
  }
}

static void gen_sets(Gen *g, const char *const *columns, int n) {
  if (gen_chance(g, 15)) {
    gen_token(g, "(");
    gen_token(g, "%s", columns[0]);
    gen(g, ",");
    gen_token(g, "%s", columns[1]);
    gen(g, ") =");
    if (gen_chance(g, 50)) {
      gen_paren_select(g, 2);
    } else {
      gen(g, "(");
      gen_list(g, 2);
      gen(g, ")");
    }
    return;
  }
  for (int i = 1 + gen_below(g, 2); i > 0; i--) {
    gen_token(g, "%s", columns[gen_below(g, n)]);
    gen(g, "=");
    gen_expr(g);
    if (i > 1) gen(g, ",");
  }
}

static void gen_insert(Gen *g) {
  if (gen_chance(g, 25)) {
    gen(g, "REPLACE");
  } else {
    gen(g, "INSERT");
    if (gen_chance(g, 30)) gen(g, GEN_PICK(g, "OR IGNORE", "OR REPLACE", "OR ABORT", "OR FAIL"));
  }
  gen(g, "INTO");
  bool first = gen_chance(g, 60);
  const GenTable *table = &gen_tables[first ? 0 : 4];
  gen_token(g, "%s", table->name);
  const char *alias = table->name;
  if (gen_chance(g, 20)) {
    gen(g, "AS tgt");
    alias = "tgt";
  }
  GenScope scope = {0}, target = {0};
  gen_use_table(&target, table, alias);
  int width = first ? 4 : 3;
  if (gen_chance(g, 50)) {
    gen(g, first ? "( a , b )" : "( x , a )");
    width = 2;
  }
  if (gen_chance(g, 8)) {
    gen(g, "DEFAULT VALUES");
    g->scope = &target;
    gen_returning(g);
    return;
  }
  g->scope = &scope;
  if (gen_chance(g, 50)) {
    gen(g, "VALUES (");
    gen_list(g, width);
    gen(g, ")");
  } else {
    gen_select(g, width, NULL);
    gen(g, "WHERE true");
  }
  g->scope = &target;
  if (first && gen_chance(g, 40)) {
    gen(g, GEN_PICK(g, "ON CONFLICT ( a )", "ON CONFLICT ( c ) WHERE c > 0", "ON CONFLICT",
                    "ON CONFLICT ( c )"));
    if (gen_chance(g, 40)) {
      gen(g, "DO NOTHING");
    } else {
      gen(g, "DO UPDATE SET");
      gen_sets(g, table->columns, 4);
      gen(g, "WHERE excluded . a <> 3");
    }
  }
  g->scope = &target;
  gen_returning(g);
}

static void gen_update(Gen *g) {
  const GenTable *table = &gen_tables[gen_below(g, 3)];
  gen(g, "UPDATE");
  if (gen_chance(g, 20)) gen(g, "OR IGNORE");
  gen_token(g, "%s", table->name);
  const char *alias = table->name;
  if (gen_chance(g, 20)) {
    gen(g, "AS tgt");
    alias = "tgt";
  }
  GenScope scope = {0};
  gen_use_table(&scope, table, alias);
  g->scope = &scope;
  gen(g, "SET");
  gen_sets(g, table->columns, 4);
  if (gen_chance(g, 30)) {
    gen(g, "FROM");
    gen_from_list(g, &scope, 0);
  }
  if (gen_chance(g, 60)) {
    gen(g, "WHERE");
    gen_expr(g);
  }
  GenScope target = {0};
  gen_use_table(&target, table, table->name);
  g->scope = &target;
  gen_returning(g);
  if (gen_chance(g, 8)) gen(g, "ORDER BY 1 LIMIT 2");
}

static void gen_delete(Gen *g) {
  const GenTable *table = &gen_tables[gen_below(g, 5)];
  gen(g, "DELETE FROM");
  gen_token(g, "%s", table->name);
  GenScope scope = {0};
  gen_use_table(&scope, table, table->name);
  g->scope = &scope;
  if (gen_chance(g, 80)) {
    gen(g, "WHERE");
    gen_expr(g);
  }
  gen_returning(g);
  if (gen_chance(g, 10)) gen(g, "LIMIT 1");
}

/* ---- CREATE */

static void gen_create_table(Gen *g) {
  gen(g, "CREATE");
  if (gen_chance(g, 20)) gen(g, "TEMPORARY");
  gen(g, "TABLE");
  if (gen_chance(g, 20)) gen(g, "IF NOT EXISTS");
  gen(g, GEN_PICK(g, "n1", "\"n 1\"", "[order]"));
  if (gen_chance(g, 15)) {
    gen(g, "AS");
    gen_select(g, 1 + gen_below(g, 3), NULL);
    return;
  }
  gen(g, "( p INTEGER");
  gen(g, GEN_PICK(g, "PRIMARY KEY", "PRIMARY KEY AUTOINCREMENT",
                  "CONSTRAINT cc NOT NULL PRIMARY KEY ON CONFLICT REPLACE", "PRIMARY KEY DESC"));
  int n = gen_below(g, 4);
  for (int i = 0; i < n; i++) {
    gen(g, ",");
    gen_token(g, "q%d", i);
    gen(g, GEN_PICK(g, "", "TEXT", "VARCHAR ( 10 )", "DECIMAL ( 10 , -2 )", "unsigned big int",
                    "\"x y\""));
    for (int j = gen_below(g, 3); j > 0; j--) {
      GenScope scope = {0};
      g->scope = &scope;
      switch (gen_below(g, 10)) {
      case 0:
        gen(g, "NOT NULL");
        break;
      case 1:
        gen(g, "DEFAULT");
        gen(g, GEN_PICK(g, "5", "-1.5", "'x'", "abc", "( 1 + 2 )", "current_timestamp", "+3",
                        "( 'a' || \"b\" )"));
        break;
      case 2:
        gen(g, "UNIQUE ON CONFLICT IGNORE");
        break;
      case 3:
        gen_token(g, "CHECK ( q%d > 1 OR p IS NULL )", i);
        break;
      case 4:
        gen(g, "COLLATE nocase");
        break;
      case 5:
        gen(g, "REFERENCES t1 ( a ) ON DELETE SET NULL ON UPDATE CASCADE MATCH FULL");
        break;
      case 6:
        gen(g, "NOT DEFERRABLE INITIALLY IMMEDIATE");
        break;
      case 7:
        gen(g, GEN_PICK(g, "AS ( p + 1 )", "GENERATED ALWAYS AS ( p * 2 ) STORED",
                        "AS ( p || 'x' ) VIRTUAL"));
        break;
      case 8:
        gen(g, "CONSTRAINT \"odd name\" NULL");
        break;
      default:
        gen(g, "CONSTRAINT lone");
      }
    }
  }
  if (gen_chance(g, 30)) gen(g, ", CHECK ( p <> 7 AND abs ( p ) IN ( 1 , 2 , 3 ) )");
  if (gen_chance(g, 20)) gen(g, ", CONSTRAINT u1 UNIQUE ( p DESC ) ON CONFLICT FAIL");
  if (gen_chance(g, 20)) gen(g, ", FOREIGN KEY ( p ) REFERENCES t1 DEFERRABLE INITIALLY DEFERRED");
  gen(g, ")");
  if (gen_chance(g, 20)) gen(g, "WITHOUT ROWID");
}

static void gen_create(Gen *g) {
  switch (gen_below(g, 7)) {
  case 0:
  case 1:
    gen_create_table(g);
    break;
  case 2:
    gen(g, gen_chance(g, 20) ? "CREATE TEMP VIEW n2" : "CREATE VIEW n2");
    if (gen_chance(g, 30)) gen(g, "( k1 , \"k 2\" )");
    gen(g, "AS");
    gen_select(g, 2, NULL);
    break;
  case 3: {
    GenScope scope = {0};
    gen_use_table(&scope, &gen_tables[0], "");
    scope.sources[0].ncolumns = 4;
    g->scope = &scope;
    gen(g, gen_chance(g, 30) ? "CREATE UNIQUE INDEX n3 ON t1 ("
                             : "CREATE INDEX IF NOT EXISTS main . n3 ON t1 (");
    gen_order_terms(g, 1 + gen_below(g, 2));
    gen(g, ")");
    if (gen_chance(g, 40)) gen(g, "WHERE b IS NOT NULL AND c > 2");
    break;
  }
  case 4:
  case 5: {
    gen(g, "CREATE TRIGGER n4");
    gen(g, GEN_PICK(g, "", "BEFORE", "AFTER"));
    gen(g, GEN_PICK(g, "UPDATE OF a , b", "UPDATE", "UPDATE"));
    gen(g, "ON t1");
    if (gen_chance(g, 50)) gen(g, "FOR EACH ROW");
    GenScope scope = {0};
    gen_use_table(&scope, &gen_tables[0], "new");
    gen_use_table(&scope, &gen_tables[0], "OLD");
    g->scope = &scope;
    if (gen_chance(g, 50)) {
      gen(g, "WHEN");
      gen_expr(g);
    }
    gen(g, "BEGIN");
    for (int i = 1 + gen_below(g, 2); i > 0; i--) {
      switch (gen_below(g, 4)) {
      case 0:
        gen(g, "INSERT INTO t5 SELECT new . a , 1 , old . b FROM t1 WHERE a = 1");
        break;
      case 1:
        gen(g, "UPDATE t3 SET y = new . a WHERE x IN ( SELECT a FROM t2 )");
        break;
      case 2:
        gen(g, "DELETE FROM t5 WHERE a = old . a");
        break;
      default:
        gen(g, "SELECT raise ( ABORT , 'no' ) ,");
        gen_expr(g);
      }
      gen(g, ";");
      g->scope = &scope;
    }
    gen(g, "END");
    break;
  }
  default:
    gen(g, "CREATE VIRTUAL TABLE n5 USING");
    gen(g, GEN_PICK(g, "fts5 ( a , b UNINDEXED , tokenize = 'porter' )", "rtree ( id , x0 , x1 )"));
  }
}

static void gen_statement(Gen *g, uint64_t seed) {
  memset(g, 0, sizeof *g);
  g->random = seed * 0x9E3779B97F4A7C15u + 0x1234567;
  for (int i = 0; i < 4; i++) gen_random(g);
  int kind = gen_below(g, 100);
  if (kind < 72) {
    gen_select(g, gen_chance(g, 15) ? 0 : 1 + gen_below(g, 3), NULL);
  } else if (kind < 80) {
    if (gen_chance(g, 15)) gen_ctes(g);
    gen_insert(g);
  } else if (kind < 87) {
    gen_update(g);
  } else if (kind < 92) {
    gen_delete(g);
  } else {
    gen_create(g);
  }
}

/* Break it, mostly. */
static void gen_mutate(Gen *g) {
  if (g->ntokens < 2) return;
  int i = gen_below(g, g->ntokens), j = gen_below(g, g->ntokens), swap = g->at[i];
  switch (gen_below(g, 6)) {
  case 0: /* drop */
    memmove(g->at + i, g->at + i + 1, (size_t)(g->ntokens - i - 1) * sizeof(int));
    g->ntokens--;
    break;
  case 1: /* double */
    if (g->ntokens >= GEN_MAX - 1) break;
    memmove(g->at + i + 1, g->at + i, (size_t)(g->ntokens - i) * sizeof(int));
    g->ntokens++;
    break;
  case 2: /* swap neighbours */
    j = i + 1 < g->ntokens ? i + 1 : 0;
    /* fall through */
  case 3: /* swap any */
    g->at[i] = g->at[j];
    g->at[j] = swap;
    break;
  case 4: /* replace by another of its tokens */
    g->at[i] = g->at[j];
    break;
  default: { /* replace by something else */
    int n = g->ntokens;
    gen(g, GEN_PICK(g, "a", "nosuch", "sum", "count", "x", "t1", "(", ")", ",", "1", "*", "NOT",
                    "IN", "SELECT", "'s'", "NULL", "over", "k0", "WHERE", "AS", "=", ".", "max",
                    "new", "rowid", "0", "\"q\"", "row_number", "ORDER", "GROUP"));
    if (g->ntokens > n) g->at[i] = g->at[n];
    g->ntokens = n;
  }
  }
}

/* The statement as text, with space and comments at random. */
static void gen_write(Gen *g, char *out, size_t size) {
  size_t length = 0;
  for (int i = 0; i < g->ntokens; i++) {
    const char *space =
        gen_chance(g, 94) ? " " : GEN_PICK(g, "\n", "\t ", " /* c */ ", " -- c\n", "  ");
    int n = snprintf(out + length, size - length, "%s%s", i ? space : "", g->text + g->at[i]);
    if (n < 0 || (size_t)n >= size - length) break;
    length += (size_t)n;
  }
  out[length] = '\0';
}

#endif
