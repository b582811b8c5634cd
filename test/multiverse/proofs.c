/*
** What multiverse_check and multiverse_diff prove about small rules, against all values that such
** rules tell apart. Rules are short, so that many are in vain.
**
**   test-multiverse-proofs [cases [seed]]      the seed of a wrong case is printed
*/
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state, case_seed;
static long proofs, failures;

static unsigned pick(unsigned n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(state >> 33) % n;
}

typedef struct Rule {
  char text[400];
} Rule;

static const char *const columns[] = {"a", "b", "c"}; /* INT, TEXT, no type */
static const char *const literals[] = {"0", "1", "2", "'1'", "'a'", "NULL", "1.0", "''"};
enum { LITERALS = 8 };

static void operand(char *out) {
  const unsigned what = pick(10);
  if (what < 6) {
    strcat(out, literals[pick(LITERALS)]);
  } else if (what < 8) {
    strcat(out, ":x");
  } else {
    strcat(out, columns[pick(3)]);
  }
}

static void atom(char *out) {
  static const char *const ops[] = {
      " = ", " <> ", " < ", " >= ", " IS ", " > ", " <= ", " IS NOT "};
  const char *column = columns[pick(3)];
  const unsigned what = pick(12);
  if (what == 0) {
    strcat(strcat(out, column), pick(2) ? " IS NULL" : " NOT NULL");
  } else if (what == 1) {
    strcat(strcat(out, column), pick(2) ? " IN (" : " NOT IN (");
    operand(out);
    strcat(out, ", ");
    operand(out);
    strcat(out, ")");
  } else if (what == 2) {
    strcat(strcat(out, column), " BETWEEN ");
    operand(out);
    strcat(out, " AND ");
    operand(out);
  } else if (what == 3) {
    strcat(out, column);
  } else {
    strcat(strcat(out, column), ops[pick(8)]);
    operand(out);
  }
}

static void condition(char *out, int depth) {
  if (depth == 0 || pick(10) < 4) {
    atom(out);
    return;
  }
  strcat(out, pick(4) ? "(" : "NOT (");
  condition(out, depth - 1);
  strcat(out, pick(2) ? " AND " : " OR ");
  condition(out, depth - 1);
  strcat(out, ")");
}

/* Two rules that say the same, or nearly. */
static void relate(Rule *rules) {
  char a[200] = "", b[200] = "";
  const char *column = columns[pick(3)], *literal = literals[pick(LITERALS)];
  const size_t n = sizeof rules[0].text;
  condition(a, 1);
  condition(b, 1);
  switch (pick(8)) {
  case 0:
    snprintf(rules[0].text, n, "(%s) OR NOT (%s)", a, a);
    snprintf(rules[1].text, n, "1");
    break;
  case 1:
    snprintf(rules[0].text, n, "NOT ((%s) AND (%s))", a, b);
    snprintf(rules[1].text, n, pick(2) ? "NOT (%s) OR NOT (%s)" : "(%s) IS NOT 1 OR NOT (%s)", a,
             b);
    break;
  case 2:
    snprintf(rules[0].text, n, "%s = %s", column, literal);
    snprintf(rules[1].text, n, "NOT %s <> %s", column, literals[pick(LITERALS)]);
    break;
  case 3:
    snprintf(rules[0].text, n, "%s IN (%s, %s)", column, literal, literals[pick(LITERALS)]);
    snprintf(rules[1].text, n, "%s NOT IN (%s, 1)", column, literal);
    break;
  case 4:
    snprintf(rules[0].text, n, "%s IS %s", column, literal);
    snprintf(rules[1].text, n, "%s = %s", column, literal);
    break;
  case 5:
    snprintf(rules[0].text, n, "%s < %s OR %s >= %s", column, literal, column, literal);
    snprintf(rules[1].text, n, "%s NOT NULL", column);
    break;
  case 6:
    snprintf(rules[0].text, n, "%s = :x AND %s = %s", column, columns[pick(3)], literal);
    snprintf(rules[1].text, n, "%s = :x AND :x = %s", column, literal);
    break;
  default:
    snprintf(rules[0].text, n, "(%s) AND (%s)", a, b);
    snprintf(rules[1].text, n, "(%s)", a);
  }
  if (pick(2)) {
    const Rule kept = rules[0];
    rules[0] = rules[1];
    rules[1] = kept;
  }
}

static void die(sqlite3 *db, const char *sql) {
  printf("Bail out! seed %llu: %s\n%s\n", (unsigned long long)case_seed, sqlite3_errmsg(db), sql);
  exit(1);
}

static void run(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) die(db, sql);
}

/* Does any row and any x meet this? */
static int meets(sqlite3 *db, const char *where) {
  char sql[4000];
  sqlite3_stmt *statement;
  snprintf(sql, sizeof sql, "SELECT count(*) FROM main.t WHERE %s", where);
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) die(db, sql);
  const int x = sqlite3_bind_parameter_index(statement, ":x");
  int found = 0;
  for (int i = 0; i < LITERALS && !found; i++) {
    char text[40];
    sqlite3_stmt *value;
    snprintf(text, sizeof text, "SELECT %s", literals[i]);
    if (sqlite3_prepare_v2(db, text, -1, &value, NULL) != SQLITE_OK) die(db, text);
    sqlite3_step(value);
    if (x) sqlite3_bind_value(statement, x, sqlite3_column_value(value, 0));
    if (sqlite3_step(statement) != SQLITE_ROW) die(db, sql);
    found = sqlite3_column_int(statement, 0);
    sqlite3_reset(statement);
    sqlite3_finalize(value);
  }
  sqlite3_finalize(statement);
  return found;
}

static void wrong(const char *what, const Rule *rules) {
  failures++;
  printf("not ok - seed %llu: %s\n# 1: %s\n# 2: %s\n# 3, deny: %s\n", (unsigned long long)case_seed,
         what, rules[0].text, rules[1].text, rules[2].text);
}

/* Two rules that allow and one that denies. */
static void check_findings(sqlite3 *db, const Rule *rules) {
  sqlite3_stmt *findings;
  const char *sql = "SELECT rule, message FROM multiverse_check WHERE severity = 'warning'";
  if (sqlite3_prepare_v2(db, sql, -1, &findings, NULL) != SQLITE_OK) die(db, sql);
  int rc;
  while ((rc = sqlite3_step(findings)) == SQLITE_ROW) {
    const int rule = sqlite3_column_int(findings, 0) - 1;
    const char *message = (const char *)sqlite3_column_text(findings, 1);
    char where[3000];
    snprintf(where, sizeof where, "(%s) IS TRUE", rules[rule].text);
    if (strstr(message, "what it shows, other")) {
      snprintf(where, sizeof where, "(%s) IS TRUE AND (%s) IS NOT TRUE", rules[rule].text,
               rules[1 - rule].text);
    } else if (strstr(message, "hides nothing")) {
      snprintf(where, sizeof where, "(%s) IS TRUE AND ((%s) OR (%s))", rules[2].text, rules[0].text,
               rules[1].text);
    } else if (!strstr(message, "whatever the data")) {
      continue;
    }
    proofs++;
    if (meets(db, where)) wrong(message, rules);
  }
  if (rc != SQLITE_DONE) die(db, sql);
  sqlite3_finalize(findings);
}

/* One rule in the place of another: what is told, and that silence is right. */
static void check_diff(sqlite3 *db, const Rule *rules) {
  static const char sql[] =
      "SELECT count(*) FILTER (WHERE change = 'reveals'), count(*) FILTER (WHERE change = 'hides') "
      "FROM multiverse_diff(json_object('groups', json_array(), 'rules', "
      "json_array(json_object('tbl', 't', 'action', 'allow', 'rule', ?1))), json_object('groups', "
      "json_array(), 'rules', json_array(json_object('tbl', 't', 'action', 'allow', 'rule', ?2))))";
  sqlite3_stmt *ask;
  if (sqlite3_prepare_v2(db, sql, -1, &ask, NULL) != SQLITE_OK) die(db, sql);
  sqlite3_bind_text(ask, 1, rules[0].text, -1, SQLITE_STATIC);
  sqlite3_bind_text(ask, 2, rules[1].text, -1, SQLITE_STATIC);
  if (sqlite3_step(ask) != SQLITE_ROW) die(db, sql);
  for (int way = 0; way < 2; way++) {
    char where[2000];
    snprintf(where, sizeof where, "(%s) IS TRUE AND (%s) IS NOT TRUE", rules[1 - way].text,
             rules[way].text);
    if (sqlite3_column_int(ask, way)) continue;
    proofs++;
    if (meets(db, where)) wrong(way ? "it hides something" : "it reveals something", rules);
  }
  sqlite3_finalize(ask);
}

static void one_case(sqlite3 *db, uint64_t seed) {
  Rule rules[3] = {{{0}}};
  case_seed = seed;
  state = seed * 0x9e3779b97f4a7c15u + 1;
  for (int i = 0; i < 10; i++) pick(2);
  for (int i = 0; i < 3; i++) condition(rules[i].text, (int)pick(3));
  if (pick(4)) relate(rules);
  check_diff(db, rules);
  if (pick(4)) return;
  run(db, "DELETE FROM multiverse_rules");
  for (int i = 0; i < 3; i++) {
    char *sql = sqlite3_mprintf("INSERT INTO multiverse_rules(id, tbl, action, rule) VALUES (%d, "
                                "'t', '%s', %Q)",
                                i + 1, i == 2 ? "deny" : "allow", rules[i].text);
    run(db, sql);
    sqlite3_free(sql);
  }
  check_findings(db, rules);
}

int main(int argc, char **argv) {
  const long wanted = argc > 1 ? atol(argv[1]) : 200;
  uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  const char *build = getenv("TENFOLD_BUILD");
  char library[1000], *error = NULL;
  sqlite3 *db;
  snprintf(library, sizeof library, "%s/multiverse.so", build ? build : "build");
  if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
      sqlite3_enable_load_extension(db, 1) != SQLITE_OK ||
      sqlite3_load_extension(db, library, NULL, &error) != SQLITE_OK) {
    printf("Bail out! %s\n", error ? error : "no database");
    return 1;
  }
  run(db,
      "CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, b TEXT, c);"
      "WITH v(x) AS (VALUES (0), (1), (2), ('1'), ('a'), (NULL), (''), (1.5), ('b'), (-1), (3)) "
      "INSERT INTO t(a, b, c) SELECT p.x, q.x, r.x FROM v AS p, v AS q, v AS r");
  for (long i = 0; i < wanted && failures < 5; i++) one_case(db, seed++);
  if (sqlite3_close(db) != SQLITE_OK) failures++;
  const char *verdict = failures || !proofs ? "not ok" : "ok";
  printf("%s 1 - %ld proofs, %ld wrong\n1..1\n", verdict, proofs, failures);
  return failures || !proofs;
}
