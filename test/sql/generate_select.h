/*
** Random SELECTs over a fixed schema: see generate.h.
*/
#ifndef TEST_SQL_GENERATE_SELECT_H
#define TEST_SQL_GENERATE_SELECT_H

#include "test/sql/generate_expr.h"

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

/* FROM is made first, to know the columns, and then moved behind the results. */
static void gen_rotate(Gen *g, int start, int middle) {
  static int turned[GEN_MAX];
  int n = g->ntokens - start, first = middle - start;
  if (g->overflow || first == 0) return;
  for (int i = 0; i < n; i++) turned[i] = g->at[start + (i + first) % n];
  memcpy(g->at + start, turned, (size_t)n * sizeof(int));
}

static void gen_values(Gen *g, int width) {
  gen(g, "VALUES (");
  gen_list(g, width);
  gen(g, ")");
  if (!gen_chance(g, 40)) return;
  gen(g, ", (");
  gen_list(g, width);
  gen(g, ")");
}

static void gen_star(Gen *g, const GenScope *scope) {
  const char *name = scope->nsources && gen_chance(g, 70) ? scope->sources[0].name : "";
  if (*name) gen_token(g, "%s .", name);
  gen(g, "*");
}

static void gen_group(Gen *g, bool group, bool aggregates) {
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
  }
  g->aggregates = true;
  if (group ? gen_chance(g, 35) : aggregates && gen_chance(g, 5)) {
    gen(g, "HAVING");
    gen_expr(g);
  }
  g->aggregates = false;
}

static void gen_arm_body(Gen *g, GenScope *scope, int width, GenSource *out, bool order) {
  gen(g, "SELECT");
  if (gen_chance(g, 15)) gen(g, GEN_PICK(g, "DISTINCT", "ALL", "DISTINCT"));
  int start = g->ntokens;
  if (gen_chance(g, 92)) {
    gen(g, "FROM");
    gen_from_list(g, scope, 0);
  }
  int middle = g->ntokens;
  bool group = gen_chance(g, 20), aggregates = group || gen_chance(g, 25);
  g->aggregates = aggregates;
  g->windows = gen_chance(g, 25);
  g->named_window[0] = '\0';
  bool define = g->windows && gen_chance(g, 40);
  if (define) {
    snprintf(g->named_window, sizeof g->named_window, "%s", GEN_PICK(g, "w", "w1", "wx"));
  }
  if (width == 0) {
    gen_star(g, scope);
  } else {
    gen_results(g, width, out);
  }
  gen_rotate(g, start, middle);
  g->aggregates = g->windows = false;
  gen_group(g, group, aggregates);
  if (define) {
    gen(g, "WINDOW");
    gen_token(g, "%s", g->named_window);
    g->named_window[0] = '\0';
    gen(g, "AS (");
    gen_window(g);
    gen(g, ")");
  }
  if (!order || !gen_chance(g, 35)) return;
  gen(g, "ORDER BY");
  g->aggregates = group;
  if (gen_chance(g, 25)) {
    gen(g, GEN_PICK(g, "1", "1 DESC", "k0", "1 COLLATE NOCASE", "3", "k0 , 1"));
  } else {
    gen_order_terms(g, 1 + gen_below(g, 2));
  }
}

static void gen_arm(Gen *g, int width, GenSource *out, bool order) {
  if (gen_chance(g, 6)) {
    gen_values(g, width ? width : 1);
    return;
  }
  GenScope scope = {.outer = g->scope};
  GenScope *saved = g->scope;
  bool aggregates = g->aggregates, windows = g->windows;
  char window[16];
  memcpy(window, g->named_window, sizeof window);
  g->scope = &scope;
  g->aggregates = g->windows = false;
  gen_arm_body(g, &scope, width, out, order);
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

#endif
