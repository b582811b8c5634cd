/*
** Random statements of SQLite's dialect over a fixed schema, for tests. Statements are lists of
** tokens, so that they can be mutated and spaced at random. Most of them are valid; which are is
** for SQLite to say.
*/
#ifndef TEST_SQL_GENERATE_EXPR_H
#define TEST_SQL_GENERATE_EXPR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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

#endif
