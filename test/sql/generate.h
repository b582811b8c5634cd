/*
** Random statements of SQLite's dialect over a fixed schema, for tests. Statements are lists of
** tokens, so that they can be mutated and spaced at random. Most of them are valid; which are is
** for SQLite to say.
*/
#ifndef TEST_SQL_GENERATE_H
#define TEST_SQL_GENERATE_H

#include "test/sql/generate_select.h"

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
