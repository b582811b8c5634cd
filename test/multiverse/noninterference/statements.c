/*
** What a user may try.
*/
#include "test/multiverse/noninterference/noninterference.h"

static void select_one(Words *out, int depth);

static const char *one_of(const char *const *list, size_t n) { return list[pick((unsigned)n)]; }

#define ONE_OF(...)                                                                                \
  one_of((const char *const[]){__VA_ARGS__},                                                       \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static const char *a_table(void) { return ONE_OF("T", "T", "U", "temp.T", "u"); }

/* ---- expressions */

static void column(Words *out) { say(out, "%s.c%u", chance(70) ? "a" : "b", pick(NCOLS)); }

static void number(Words *out) {
  say(out, "%s", ONE_OF("0", "1", "2", "3", "-1", "2.5", "9223372036854775807", "1e308"));
}

static void expression(Words *out, int depth);

/* Functions that fail on some values, so that an error tells of one. */
static void throwing(Words *out, int depth) {
  switch (pick(7)) {
  case 0:
    say(out, "abs(CASE WHEN ");
    expression(out, depth - 1);
    say(out, " THEN -9223372036854775808 ELSE 1 END)");
    return;
  case 1:
    say(out, "json(");
    break;
  case 2:
    say(out, "json_extract(");
    column(out);
    say(out, ", '$.a')");
    return;
  case 3:
    column(out);
    say(out, " LIKE 'a' ESCAPE ");
    column(out);
    return;
  case 4:
    say(out, "json_array_length(");
    break;
  case 5:
    say(out, "abs(-9223372036854775807 - ");
    break;
  default:
    say(out, "zeroblob(CASE WHEN ");
    expression(out, depth - 1);
    say(out, " THEN 3000000000 ELSE 1 END)");
    return;
  }
  column(out);
  say(out, ")");
}

static void call(Words *out, int depth) {
  static const char *const unary[] = {
      "length", "typeof", "hex",     "quote", "upper",   "lower", "abs",           "round",
      "trim",   "likely", "unicode", "date",  "soundex", "sign",  "sqlite_offset", "json_quote"};
  static const char *const binary[] = {"coalesce", "nullif", "min",  "max",  "instr", "printf",
                                       "substr",   "ifnull", "glob", "like", "trim"};
  const bool two = chance(50);
  say(out, "%s(", two ? one_of(binary, 11) : one_of(unary, 16));
  expression(out, depth - 1);
  if (two) {
    say(out, ", ");
    expression(out, depth - 1);
  }
  say(out, ")");
}

static void subquery(Words *out, int depth) {
  say(out, "%s", ONE_OF("EXISTS (", "(", "(", "NOT EXISTS ("));
  select_one(out, depth - 1);
  say(out, ")");
}

static void operation(Words *out, int depth) {
  say(out, "(");
  expression(out, depth - 1);
  say(out, " %s ",
      ONE_OF("=", "=", "=", "=", "<>", "<", ">=", "IS", "IS NOT", "AND", "AND", "OR", "+", "-", "*",
             "/", "%", "||", "LIKE", "GLOB", "->>", "&", "<<", "COLLATE NOCASE =", "MATCH"));
  expression(out, depth - 1);
  say(out, ")");
}

static void expression(Words *out, int depth) {
  const unsigned what = depth <= 0 ? pick(5) : pick(16);
  switch (what) {
  case 0:
  case 1:
  case 2:
    column(out);
    break;
  case 3:
    literal(out);
    break;
  case 4:
    number(out);
    break;
  case 5:
    throwing(out, depth);
    break;
  case 6:
    call(out, depth);
    break;
  case 7:
    subquery(out, depth);
    break;
  case 8:
    say(out, "CAST(");
    expression(out, depth - 1);
    say(out, " AS %s)", ONE_OF("TEXT", "INT", "REAL", "BLOB", "NUMERIC"));
    break;
  case 9:
    column(out);
    say(out, " IN (");
    if (chance(40)) {
      select_one(out, depth - 1);
    } else {
      literal(out);
      say(out, ", ");
      literal(out);
    }
    say(out, ")");
    break;
  case 10:
    column(out);
    say(out, " BETWEEN ");
    literal(out);
    say(out, " AND ");
    literal(out);
    break;
  case 11:
    say(out, "%s", ONE_OF("changes()", "last_insert_rowid()", "a.rowid", "b.rowid"));
    break;
  default:
    operation(out, depth);
  }
}

/* A comparison that can be passed on to a table. */
static void term(Words *out) {
  column(out);
  say(out, " %s ", ONE_OF("=", "=", "=", "=", "<", ">", "<=", ">=", "IS", "LIKE"));
  if (chance(15)) {
    say(out, "'k%u'", pick(ROWS));
  } else {
    literal(out);
  }
}

static void where(Words *out, int depth) {
  if (chance(35)) return;
  say(out, " WHERE ");
  for (unsigned n = pick(3); n > 0; n--) {
    term(out);
    say(out, chance(75) ? " AND " : " OR ");
  }
  if (chance(60)) {
    term(out);
  } else {
    expression(out, depth);
  }
}

/* ---- queries */

static void sources(Words *out, int depth) {
  say(out, " FROM %s AS a ", a_table());
  if (chance(15)) {
    say(out, "LEFT JOIN (SELECT c%u AS c0, c1, c2, c3, c4, c5, rowid FROM %s AS a", pick(NCOLS),
        a_table());
    where(out, depth - 1);
    say(out, ") AS b ON a.c%u = b.c0", pick(NCOLS));
    return;
  }
  say(out, "%s %s AS b ",
      ONE_OF("JOIN", "JOIN", "LEFT JOIN", ",", "CROSS JOIN", "NATURAL JOIN", "RIGHT JOIN"),
      a_table());
  const char *end = out->at + out->length - 30;
  bool natural = false;
  for (; *end; end++) natural |= *end == 'N' && end[1] == 'A' && end[2] == 'T';
  if (natural) return;
  if (chance(20)) {
    say(out, "USING (c%u)", pick(NCOLS));
  } else {
    say(out, "ON a.c%u = b.c%u", pick(NCOLS), pick(NCOLS));
  }
}

static void order(Words *out) {
  if (chance(50)) {
    say(out, " ORDER BY %u %s", 1 + pick(1), ONE_OF("", "DESC", "NULLS LAST"));
    if (chance(40)) say(out, ", a.c%u", pick(NCOLS));
  }
  if (chance(35)) say(out, " LIMIT %u", pick(9));
}

static void select_one(Words *out, int depth) {
  say(out, "SELECT %s", chance(10) ? "DISTINCT " : "");
  if (chance(30)) {
    say(out, "%s(", ONE_OF("count", "sum", "max", "min", "total", "group_concat", "avg"));
    expression(out, depth);
    say(out, ")");
  } else {
    expression(out, depth);
  }
  sources(out, depth);
  where(out, depth);
  order(out);
}

static void aggregate(Words *out) {
  say(out, "SELECT a.c%u, count(*), %s(a.c%u), group_concat(a.c%u) FROM %s AS a", pick(NCOLS),
      ONE_OF("sum", "min", "max", "total", "count", "json_group_array"), pick(NCOLS), pick(NCOLS),
      a_table());
  if (chance(50)) {
    say(out, " WHERE a.c%u = ", pick(NCOLS));
    literal(out);
  }
  if (chance(60)) say(out, " GROUP BY a.c%u", pick(NCOLS));
  if (chance(20)) say(out, " HAVING count(*) > %u", pick(4));
}

static void window(Words *out) {
  say(out, "SELECT a.c%u, %s OVER (PARTITION BY a.c%u ORDER BY a.c%u%s) FROM %s AS a", pick(NCOLS),
      ONE_OF("row_number()", "rank()", "lag(a.c1)", "sum(a.c2)", "group_concat(a.c3)", "ntile(2)",
             "first_value(a.c4)", "nth_value(a.c5, 2)"),
      pick(NCOLS), pick(NCOLS), ONE_OF("", " ROWS 2 PRECEDING", " DESC"), a_table());
  if (chance(40)) {
    say(out, " WHERE a.c%u >= ", pick(NCOLS));
    literal(out);
  }
}

/* One table, plainly: whose rows then come in whatever order the base gives. */
static void plain(Words *out) {
  say(out, "SELECT %s",
      ONE_OF("*", "c0", "c1, c2", "c5, c0", "rowid", "rowid, *", "count(*)", "1"));
  say(out, " FROM %s AS a", a_table());
  for (unsigned n = pick(3), i = 0; i < n; i++) {
    say(out, i ? (chance(70) ? " AND " : " OR ") : " WHERE ");
    say(out, "a.c%u %s ", pick(NCOLS), ONE_OF("=", "=", "=", "<", ">", "IS"));
    literal(out);
  }
  if (chance(25)) say(out, " ORDER BY c%u%s", pick(NCOLS), chance(30) ? " DESC" : "");
  if (chance(20)) say(out, " LIMIT %u", 1 + pick(5));
}

static void compound(Words *out) {
  const unsigned n = 1 + pick(3);
  for (unsigned i = 0; i <= n; i++) {
    if (i) say(out, " %s ", ONE_OF("UNION", "UNION ALL", "EXCEPT", "INTERSECT"));
    say(out, "SELECT c%u, c%u FROM %s AS a", pick(NCOLS), pick(NCOLS), a_table());
    if (chance(50)) {
      say(out, " WHERE c%u = ", pick(NCOLS));
      literal(out);
    }
  }
}

static void with(Words *out) {
  if (chance(30)) {
    say(out,
        "WITH RECURSIVE w(n, k) AS (SELECT 0, c%u FROM %s UNION SELECT n + 1, c%u FROM w JOIN %s "
        "ON k = c%u WHERE n < 3) SELECT * FROM w LIMIT 40",
        pick(NCOLS), a_table(), pick(NCOLS), a_table(), pick(NCOLS));
    return;
  }
  say(out, "WITH w AS %s(", ONE_OF("", "MATERIALIZED ", "NOT MATERIALIZED "));
  select_one(out, 2);
  say(out, ") SELECT * FROM w AS x, %s AS y LIMIT 60", a_table());
}

static void query(Words *out) {
  switch (pick(12)) {
  case 0:
  case 1:
    aggregate(out);
    break;
  case 2:
    window(out);
    break;
  case 3:
    compound(out);
    break;
  case 4:
    with(out);
    break;
  case 5:
  case 6:
  case 7:
  case 8:
    plain(out);
    break;
  default:
    select_one(out, 3);
  }
}

/* ---- writes: keys are those of rows that are in both databases, or of none */

static void a_key(Words *out, const Table *table) {
  if (chance(15)) {
    say(out, "NULL");
  } else if (*table->types[0] == 'T') {
    say(out, "'k%u'", pick(60));
  } else {
    say(out, "%u", pick(60));
  }
}

static const char *on_conflict(void) {
  return chance(60) ? "" : ONE_OF("OR IGNORE ", "OR REPLACE ", "OR FAIL ", "OR ROLLBACK ");
}

static void insert(Words *out) {
  const int t = (int)pick(NTABLES);
  const Table *table = &tables[t];
  say(out, "INSERT %sINTO %s", on_conflict(), table->name);
  if (chance(20)) {
    say(out, "(c0, c%u, c%u) SELECT c0%s, c1, c2 FROM %s AS a", 1 + pick(3), 4 + pick(2),
        *table->types[0] == 'T' ? "||'x'" : " + 30", tables[pick(NTABLES)].name);
    if (chance(70)) {
      say(out, " WHERE c%u = ", pick(NCOLS));
      literal(out);
    }
    return;
  }
  const unsigned n = 1 + pick(3), columns = chance(70) ? NCOLS : 1 + pick(NCOLS);
  for (unsigned i = 0; i < columns; i++) say(out, i ? ", c%u" : "(c%u", i);
  for (unsigned i = 0; i < n; i++) {
    say(out, i ? ", (" : ") VALUES (");
    a_key(out, table);
    for (unsigned c = 1; c < columns; c++) {
      say(out, ", ");
      literal(out);
    }
    say(out, ")");
  }
  if (chance(15)) say(out, " RETURNING *");
}

static void write_where(Words *out, const Table *table) {
  if (chance(10)) return;
  say(out, " WHERE ");
  if (chance(60)) {
    say(out, *table->types[0] == 'T' ? "c0 = 'k%u'" : "c0 = %u", pick(ROWS));
    return;
  }
  say(out, "c%u %s ", pick(NCOLS), ONE_OF("=", "=", "<", "IS", "<>"));
  literal(out);
}

static void update(Words *out) {
  const Table *table = &tables[pick(NTABLES)];
  say(out, "UPDATE %s%s SET ", on_conflict(), table->name);
  const unsigned n = 1 + pick(2);
  for (unsigned i = 0; i < n; i++) {
    const unsigned column = 1 + pick(NCOLS - 1);
    say(out, i ? ", c%u = " : "c%u = ", column);
    if (chance(60)) {
      literal(out);
    } else {
      say(out, "c%u", chance(50) ? column : 1 + pick(NCOLS - 1));
    }
  }
  if (chance(8)) {
    say(out, ", c0 = ");
    a_key(out, table);
  }
  write_where(out, table);
}

static void change(Words *out) {
  switch (pick(5)) {
  case 0:
  case 1:
    insert(out);
    break;
  case 2:
    say(out, "DELETE FROM ");
    const Table *table = &tables[pick(NTABLES)];
    say(out, "%s", table->name);
    write_where(out, table);
    break;
  default:
    update(out);
  }
}

/* ---- statements */

static void forbidden(Words *out) {
  say(out, "%s",
      ONE_OF("SELECT * FROM main.T", "SELECT count(*) FROM M", "SELECT * FROM sqlite_schema",
             "PRAGMA data_version", "SELECT total_changes()", "CREATE TABLE x(y)",
             "SELECT 1 FROM (SELECT 2 AS c0) NATURAL JOIN main.T", "ANALYZE", "VACUUM",
             "SELECT * FROM multiverse_rules", "SELECT multiverse_sql('T', '{\"uid\":1,\"x\":1}')",
             "INSERT INTO M VALUES (1, 1, 'a', 0)", "DELETE FROM main.U", "SELECT * FROM nosuch",
             "UPDATE main.T SET c1 = 1", "SELECT * FROM sqlite_stat1", "SELECT * FROM dbstat",
             "SELECT * FROM U AS a JOIN main.T USING (c0)", "SELECT * FROM \"multiverse_row:T\"",
             "PRAGMA integrity_check", "PRAGMA table_info(T)", "SELECT * FROM sqlite_sequence"));
}

void write_statement(Words *out) {
  const unsigned what = pick(100);
  if (what < 3) {
    forbidden(out);
  } else if (what < 6) {
    say(out, "SELECT changes(), last_insert_rowid()");
  } else if (what < 14) {
    say(out, "%s",
        ONE_OF("BEGIN", "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "SAVEPOINT s", "SAVEPOINT t",
               "ROLLBACK TO s", "RELEASE s", "ROLLBACK TO t", "ROLLBACK"));
  } else if (what < 42 && world.writes) {
    if (chance(8)) say(out, "EXPLAIN QUERY PLAN ");
    change(out);
  } else {
    if (chance(20)) say(out, "EXPLAIN QUERY PLAN ");
    query(out);
  }
}
