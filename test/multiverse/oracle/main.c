/*
** Random schemas, policies, universes and queries: what a universe answers is compared with stock
** SQLite on tables that hold what the user may see. Those are filled by SQL that is written here,
** from the same random choices as the rules but not by the extension; multiverse_sql() is compared
** with it as well.
**
**   test-multiverse-oracle [checks [seed [failures]]]      the seed of a wrong case is printed
*/
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/multiverse/oracle/oracle.h"

static const char *step; /* what goes on, for messages */
static uint64_t case_seed;
static long checks, failures;
static long patience = 5; /* failures, and then it ends */
static int proven;
static sqlite3_int64 served; /* scans, from memory */

static void die(sqlite3 *db, const char *sql) {
  printf("Bail out! seed %llu, %s: %s\n%.3000s\n", (unsigned long long)case_seed, step,
         sqlite3_errmsg(db), sql);
  exit(1);
}

static void run(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) die(db, sql);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Of equal values, such as 2 and 2.0 or a and A, a group or an aggregate may show either. */
static void say_value(Words *row, sqlite3_stmt *statement, int i, bool loose) {
  const int type = sqlite3_column_type(statement, i);
  if (loose && (type == SQLITE_FLOAT || type == SQLITE_INTEGER)) {
    say(row, "number:%.12g|", sqlite3_column_double(statement, i));
    return;
  }
  const char *text = (const char *)sqlite3_column_text(statement, i);
  say(row, "%d:", type);
  for (; text && *text; text++) {
    say(row, "%c", loose && *text >= 'A' && *text <= 'Z' ? *text + 32 : *text);
  }
  say(row, "|");
}

/* All rows as one text, sorted unless their order counts. Caller frees. */
static char *answer(sqlite3 *db, const char *sql, bool ordered) {
  sqlite3_stmt *statement;
  static char *rows[20000];
  size_t n = 0, total = 1;
  const bool loose = strstr(sql, "GROUP BY") || strstr(sql, "DISTINCT");
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) die(db, sql);
  int rc;
  while ((rc = sqlite3_step(statement)) == SQLITE_ROW && n < 20000) {
    Words row = {0};
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
      say_value(&row, statement, i, loose);
    }
    total += row.length + 1;
    rows[n++] = strdup(row.at);
  }
  if (rc != SQLITE_DONE) die(db, sql);
  sqlite3_finalize(statement);
  if (!ordered) qsort(rows, n, sizeof *rows, by_text);
  char *all = malloc(total), *end = all;
  *end = '\0';
  for (size_t i = 0; i < n; i++) {
    end += sprintf(end, "%s\n", rows[i]);
    free(rows[i]);
  }
  return all;
}

static void compare(sqlite3 *universe, sqlite3 *oracle, const char *sql, const char *plain,
                    bool ordered, const User *user) {
  char *got = answer(universe, sql, ordered), *wanted = answer(oracle, plain, ordered);
  checks++;
  if (strcmp(got, wanted)) {
    failures++;
    printf("not ok - seed %llu, uid %d, %s: %s\n# got:\n%.1500s# wanted:\n%.1500s",
           (unsigned long long)case_seed, user->uid, step, sql, got, wanted);
  }
  free(got);
  free(wanted);
}

static sqlite3 *open_universe(void) {
  sqlite3 *db;
  char library[1000];
  const char *build = getenv("TENFOLD_BUILD");
  char *error = NULL;
  snprintf(library, sizeof library, "%s/multiverse.so", build ? build : "build");
  if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
      sqlite3_enable_load_extension(db, 1) != SQLITE_OK ||
      sqlite3_load_extension(db, library, NULL, &error) != SQLITE_OK) {
    printf("Bail out! %s\n", error ? error : "no database");
    exit(1);
  }
  return db;
}

/* The oracle's tables hold what this user may see. */
static sqlite3 *open_oracle(sqlite3 *base, const User *user) {
  sqlite3 *db;
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) exit(1);
  for (int t = 0; t < NTABLES; t++) {
    Words create = {0}, plain = {0}, insert = {0};
    sqlite3_stmt *rows, *put;
    make_table(&create, &tables[t], true);
    run(db, create.at);
    write_oracle(&plain, t, user);
    say(&insert, "INSERT INTO %s VALUES (?1, ?2, ?3, ?4, ?5, ?6)", tables[t].name);
    if (sqlite3_prepare_v2(base, plain.at, -1, &rows, NULL) != SQLITE_OK) die(base, plain.at);
    sqlite3_prepare_v2(db, insert.at, -1, &put, NULL);
    while (sqlite3_step(rows) == SQLITE_ROW) {
      for (int i = 0; i < NCOLS; i++) {
        sqlite3_bind_value(put, i + 1, sqlite3_column_value(rows, i));
      }
      sqlite3_step(put);
      sqlite3_reset(put);
    }
    sqlite3_finalize(put);
    if (sqlite3_finalize(rows) != SQLITE_OK) die(base, plain.at);
  }
  return db;
}

static void check_meaning(sqlite3 *base, sqlite3 *oracle, const User *user, const char *context) {
  for (int t = 0; t < NTABLES; t++) {
    Words ask = {0}, all = {0};
    sqlite3_stmt *statement;
    say(&ask, "SELECT multiverse_sql('%s', '%s')", tables[t].name, context);
    say(&all, "SELECT * FROM %s", tables[t].name);
    if (sqlite3_prepare_v2(base, ask.at, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
      die(base, ask.at);
    }
    step = "multiverse_sql";
    compare(base, oracle, (const char *)sqlite3_column_text(statement, 0), all.at, false, user);
    sqlite3_finalize(statement);
  }
}

/* What an administrator is told about some rows. */
static void check_admin(sqlite3 *base, const User *user, const char *context) {
  static Question question;
  for (int t = 0; t < NTABLES; t++) {
    step = "multiverse_explain";
    ask_explain_visible(&question, t, user, context);
    compare(base, base, question.sql.at, question.plain.at, false, user);
    ask_explain_rewrites(&question, t, user, context);
    compare(base, base, question.sql.at, question.plain.at, false, user);
  }
}

/* `view`: all rewrites have been made peepholes, so that a view shows what a universe did. */
static void one_universe(sqlite3 *db, const User *user, bool view, int queries) {
  Words context = {0}, enter = {0};
  write_context(&context, user);
  sqlite3 *oracle = open_oracle(db, user);
  if (!view) {
    check_meaning(db, oracle, user, context.at);
    check_admin(db, user, context.at);
  }
  step = "entering";
  say(&enter, "SELECT multiverse_%s('%s', 'sixteen bytes and more')", view ? "view_as" : "enter",
      context.at);
  run(db, enter.at);
  step = "a query";
  for (int i = 0; i < queries; i++) {
    Words query = {0};
    bool ordered;
    write_query(&query, &ordered);
    if (chance(30)) free(answer(db, query.at, ordered)); /* a second time it may be counted */
    compare(db, oracle, query.at, query.at, ordered, user);
  }
  step = "leaving";
  run(db, "SELECT multiverse_leave('sixteen bytes and more')");
  sqlite3_close(oracle);
}

/* Two of three cases with rows kept in memory; one of them with so little of it that they come and
** go. */
static void choose_cache(Words *out, uint64_t seed) {
  if (seed % 3) say(out, "SELECT multiverse_cache(%d)", seed % 3 == 1 ? 1000000 : 3000);
}

static void count_served(sqlite3 *db) {
  sqlite3_stmt *count;
  if (sqlite3_prepare_v2(db, "SELECT multiverse_cache() ->> 'served'", -1, &count, NULL)) return;
  if (sqlite3_step(count) == SQLITE_ROW) served += sqlite3_column_int64(count, 0);
  sqlite3_finalize(count);
}

static void ask_who(sqlite3 *db) {
  for (int i = 0; i < 3 * NTABLES; i++) {
    static Words problem;
    const int t = i % NTABLES;
    char key[16];
    snprintf(key, sizeof key, strcmp(tables[t].types[0], "INTEGER") ? "'k%d'" : "%d",
             (int)pick(ROWS));
    problem = (Words){0};
    checks++;
    if (check_who(db, t, key, &problem)) continue;
    failures++;
    printf("not ok - seed %llu, multiverse_who: %s\n", (unsigned long long)case_seed, problem.at);
  }
}

static void ask_proofs(sqlite3 *db) {
  static Words problem;
  problem = (Words){0};
  checks++;
  if (check_proven(db, &proven, &problem)) return;
  failures++;
  printf("not ok - seed %llu, %s\n", (unsigned long long)case_seed, problem.at);
}

static void one_case(uint64_t seed) {
  case_seed = seed;
  chance_begin(seed);
  world.repeats = seed % 4 == 1;
  sqlite3 *db = open_universe();
  Words *words = calloc(1, sizeof *words);
  make_schema(words);
  step = "the schema";
  run(db, words->at);
  *words = (Words){0};
  make_policy(words);
  step = "the policy";
  run(db, words->at);
  *words = (Words){0};
  choose_cache(words, seed);
  step = "the cache";
  run(db, words->at);
  free(words);
  step = "the policy as a document";
  run(db, "CREATE TEMP TABLE kept AS SELECT multiverse_policy_json() AS json");
  run(db, "SELECT multiverse_policy_load('{\"groups\":[],\"rules\":[]}')");
  run(db, "SELECT multiverse_policy_load(json) FROM temp.kept");
  compare(db, db, "SELECT multiverse_policy_json()", "SELECT json FROM temp.kept", true,
          &(User){0});
  run(db, "DROP TABLE temp.kept");
  ask_who(db);
  if (seed % 4 == 1) ask_proofs(db);
  for (int i = 0; i < 4; i++) {
    User user;
    choose_user(&user);
    if (i == 3) {
      run(db, "UPDATE multiverse_rules SET action = 'peephole' WHERE action = 'rewrite'");
    }
    one_universe(db, &user, i == 3, i == 3 ? 10 : 30);
  }
  count_served(db);
  if (sqlite3_close(db) != SQLITE_OK) {
    failures++;
    printf("not ok - seed %llu: the connection does not close\n", (unsigned long long)seed);
  }
}

int main(int argc, char **argv) {
  const long wanted = argc > 1 ? atol(argv[1]) : 10000;
  uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  if (argc > 3) patience = atol(argv[3]);
  while (checks < wanted && failures < patience) one_case(seed++);
  printf("%s 1 - %ld checks, %ld wrong, %lld scans from memory, %d proofs\n1..1\n",
         failures || !served ? "not ok" : "ok", checks, failures, (long long)served, proven);
  return failures || !served;
}
