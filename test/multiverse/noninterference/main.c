/*
** Non-interference: what a user may not see changes nothing of what they get.
**
** Two databases differ only in rows, cells and memberships that leave the user's view as it is
** (vary.c), and in what their hosts and other users did before. Every statement of the user's then
** has to give the same rows in the same order, the same columns, errors, changes(),
** last_insert_rowid() and query plan.
**
**   test-multiverse-noninterference [statements [seed [failures]]]
**
** The seed of a wrong case is printed.
**
** Both have the same sqlite_stat1: statistics are of all rows, and a plan follows them. With
** NONINTERFERENCE_SHOW set, every statement is printed with what it gives.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/multiverse/noninterference/noninterference.h"

enum { SIDES = 2, USERS = 2, STATEMENTS = 60, MOST_ROWS = 4000 };

static const char token[] = "sixteen bytes and more";
static uint64_t case_seed;
static long statements, failures, variations, errors, rows_seen;
static long patience = 5; /* failures, and then it ends */

static void die(sqlite3 *db, const char *sql) {
  printf("Bail out! seed %llu: %s\n%.3000s\n", (unsigned long long)case_seed, sqlite3_errmsg(db),
         sql);
  exit(1);
}

static void run(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) die(db, sql);
}

static sqlite3 *open_database(const char *schema) {
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
  run(db, schema);
  return db;
}

/* ---- what a statement gives */

static void add_value(sqlite3_str *out, sqlite3_stmt *statement, int i) {
  switch (sqlite3_column_type(statement, i)) {
  case SQLITE_NULL:
    sqlite3_str_appendall(out, "NULL|");
    break;
  case SQLITE_FLOAT:
    sqlite3_str_appendf(out, "%!.17g|", sqlite3_column_double(statement, i));
    break;
  case SQLITE_BLOB:
    sqlite3_str_appendf(out, "blob of %d:", sqlite3_column_bytes(statement, i));
    sqlite3_str_append(out, sqlite3_column_blob(statement, i), sqlite3_column_bytes(statement, i));
    sqlite3_str_appendchar(out, 1, '|');
    break;
  case SQLITE_TEXT:
    sqlite3_str_appendf(out, "%Q|", sqlite3_column_text(statement, i));
    break;
  default:
    sqlite3_str_appendf(out, "%lld|", sqlite3_column_int64(statement, i));
  }
}

static char *outcome(sqlite3 *db, const char *sql) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL), rows = 0;
  const int columns = statement ? sqlite3_column_count(statement) : 0;
  for (int i = 0; i < columns; i++) {
    sqlite3_str_appendf(out, "%s,", sqlite3_column_name(statement, i));
  }
  while (rc == SQLITE_OK || (rc == SQLITE_ROW && rows < MOST_ROWS)) {
    rc = sqlite3_step(statement);
    if (rc != SQLITE_ROW) break;
    sqlite3_str_appendchar(out, 1, '\n');
    for (int i = 0; i < columns; i++) add_value(out, statement, i);
    rows++;
  }
  rows_seen += rows;
  errors += rc != SQLITE_DONE && rc != SQLITE_ROW;
  sqlite3_str_appendf(out, "\n%d %s", sqlite3_extended_errcode(db), sqlite3_errmsg(db));
  sqlite3_finalize(statement);
  sqlite3_str_appendf(out, "\n%d changes, last_insert_rowid %lld, %s transaction\n",
                      sqlite3_changes(db), sqlite3_last_insert_rowid(db),
                      sqlite3_get_autocommit(db) ? "no" : "a");
  return sqlite3_str_finish(out);
}

static void compare(sqlite3 *sides[SIDES], const char *sql, const User *user) {
  char *first = outcome(sides[0], sql), *second = outcome(sides[1], sql);
  if (!first || !second) abort();
  statements++;
  if (strcmp(first, second)) {
    failures++;
    printf("not ok - seed %llu, uid %d, x %s: %s\n# one:\n%.1500s# other:\n%.1500s",
           (unsigned long long)case_seed, user->uid, user->x, sql, first, second);
  } else if (getenv("NONINTERFERENCE_SHOW")) {
    printf("%s\n%.3000s\n", sql, first);
  }
  sqlite3_free(first);
  sqlite3_free(second);
}

/* ---- cases */

static void enter(sqlite3 *db, const User *user) {
  Words context = {0}, sql = {0};
  write_context(&context, user);
  say(&sql, "SELECT multiverse_enter('%s', '%s')", context.at, token);
  run(db, sql.at);
}

/* What only this side has lived through. With rows kept in memory both sides answer so; how many
** they keep differs, as it does where many rows are not seen. */
static void live(sqlite3 *db, const User *user, bool cached) {
  variations += vary(db, user, 40);
  if (cached) {
    run(db, chance(50) ? "SELECT multiverse_cache(1000000)" : "SELECT multiverse_cache(3000)");
  }
  if (chance(60)) return;
  User other;
  choose_user(&other);
  enter(db, &other);
  run(db, "SELECT * FROM T; SELECT count(*) FROM U WHERE c1 = 2");
}

static void one_user(const char *schema, const User *user) {
  sqlite3 *sides[SIDES];
  const bool cached = chance(40);
  for (int i = 0; i < SIDES; i++) {
    sides[i] = open_database(schema);
    live(sides[i], user, cached);
    enter(sides[i], user);
  }
  for (int i = 0; i < STATEMENTS && failures < patience; i++) {
    Words sql = {0};
    write_statement(&sql);
    compare(sides, sql.at, user);
  }
  for (int i = 0; i < SIDES; i++) {
    if (!sqlite3_get_autocommit(sides[i])) run(sides[i], "ROLLBACK");
    Words leave = {0};
    say(&leave, "SELECT multiverse_leave('%s')", token);
    run(sides[i], leave.at);
    if (sqlite3_close(sides[i]) != SQLITE_OK) die(sides[i], "closing");
  }
}

static void one_case(uint64_t seed) {
  static Words schema;
  case_seed = seed;
  chance_begin(seed);
  const bool writes = chance(50);
  world = (World){.rich = true, .writes = writes, .secrets = writes};
  schema = (Words){0};
  make_schema(&schema);
  make_policy(&schema);
  if (getenv("NONINTERFERENCE_SHOW")) printf("%s", schema.at);
  for (int i = 0; i < USERS; i++) {
    User user;
    choose_user(&user);
    one_user(schema.at, &user);
  }
}

int main(int argc, char **argv) {
  const long wanted = argc > 1 ? atol(argv[1]) : 10000;
  uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  if (argc > 3) patience = atol(argv[3]);
  while (statements < wanted && failures < patience) one_case(seed++);
  printf("# %ld hidden changes; %ld rows and %ld errors in all\n", variations, rows_seen, errors);
  printf("%s 1 - %ld statements, %ld differences\n1..1\n", failures ? "not ok" : "ok", statements,
         failures);
  return failures != 0;
}
