/*
** Random writes: what users may do to a database, and what they see meanwhile.
**
** Everything is done twice: to a database with the extension, inside universes, and to a model, a
** database without it, to which model.c does what the rules let through. Both have to agree on
** result codes, on changes(), on what the user sees after each step, also of what is not committed,
** and on what is stored. Between the users' statements transactions and savepoints begin and end,
** the host writes, and another connection commits, or another process, also while a user reads.
**
**   test-multiverse-writes [checks [seed [failures]]]      the seed of a wrong case is printed
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/multiverse/writes/writes.h"

enum { USERS = 4, STEPS = 40 };

static const char token[] = "sixteen bytes and more";

typedef struct Case {
  uint64_t seed;
  char path[64];
  sqlite3 *db, *other, *model; /* `other` is on the file of db, without the extension */
  bool wal;
  bool frozen; /* db reads a snapshot that `other` has written behind */
  Words late;  /* what that was: the model does it afterwards */
  User user;
} Case;

static long checks, failures, done, refused;
static long patience = 5; /* failures, and then it ends */

static void fail(const Case *it, const char *what, const char *sql, const char *got,
                 const char *wanted) {
  failures++;
  printf("not ok - seed %llu, uid %d, x %s, %s: %s\n# got:\n%.1500s\n# wanted:\n%.1500s\n",
         (unsigned long long)it->seed, it->user.uid, it->user.x, what, sql, got, wanted);
}

/* ---- answers --------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All rows as one text, sorted unless their order counts. Caller frees. */
static char *answer(sqlite3 *db, const char *sql, bool ordered, bool loose) {
  static char *rows[20000];
  sqlite3_stmt *statement;
  size_t n = 0, total = 1;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) must(db, sql);
  while (sqlite3_step(statement) == SQLITE_ROW && n < 20000) {
    Words row = {0};
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
      const int type = sqlite3_column_type(statement, i);
      const char *text = (const char *)sqlite3_column_text(statement, i);
      const bool number = type == SQLITE_FLOAT || type == SQLITE_INTEGER;
      say(&row, "%d:", loose && number ? 0 : type);
      if (loose && number) say(&row, "%.12g", sqlite3_column_double(statement, i));
      for (; text && *text && !(loose && number); text++) {
        say(&row, "%c", loose && *text >= 'A' && *text <= 'Z' ? *text + 32 : *text);
      }
      say(&row, "|");
    }
    total += row.length + 1;
    rows[n++] = strdup(row.at);
  }
  if (sqlite3_finalize(statement) != SQLITE_OK) must(db, sql);
  if (!ordered) qsort(rows, n, sizeof *rows, by_text);
  char *all = malloc(total), *end = all;
  *end = '\0';
  for (size_t i = 0; i < n; i++) {
    end += sprintf(end, "%s\n", rows[i]);
    free(rows[i]);
  }
  return all;
}

static void compare(const Case *it, const char *what, sqlite3 *db, const char *sql, sqlite3 *plain,
                    const char *text, bool ordered) {
  const bool loose = strstr(sql, "GROUP BY") || strstr(sql, "DISTINCT");
  char *got = answer(db, sql, ordered, loose), *wanted = answer(plain, text, ordered, loose);
  checks++;
  if (strcmp(got, wanted)) fail(it, what, sql, got, wanted);
  free(got);
  free(wanted);
}

static void check_stored(const Case *it) {
  static const char *const all[] = {"SELECT * FROM T", "SELECT * FROM U", "SELECT * FROM M",
                                    "SELECT * FROM Log"};
  for (int i = 0; i < 4; i++)
    compare(it, "what is stored", it->other, all[i], it->model, all[i], false);
}

static void check_seen(const Case *it) {
  for (int t = 0; t < NTABLES; t++) {
    Words sql = {0}, plain = {0};
    say(&sql, "SELECT * FROM %s", tables[t].name);
    write_oracle(&plain, t, &it->user);
    compare(it, "what is seen", it->db, sql.at, it->model, plain.at, false);
  }
}

/* Any query, against ordinary tables that hold what the user sees. */
static void check_query(const Case *it) {
  Words query = {0};
  bool ordered;
  sqlite3 *plain;
  if (sqlite3_open(":memory:", &plain) != SQLITE_OK) exit(1);
  for (int t = 0; t < NTABLES; t++) {
    Words create = {0}, read = {0}, insert = {0};
    sqlite3_stmt *rows, *put;
    make_table(&create, &tables[t], true);
    must(plain, create.at);
    write_oracle(&read, t, &it->user);
    say(&insert, "INSERT INTO %s VALUES (?1, ?2, ?3, ?4, ?5, ?6)", tables[t].name);
    sqlite3_prepare_v2(it->model, read.at, -1, &rows, NULL);
    sqlite3_prepare_v2(plain, insert.at, -1, &put, NULL);
    while (sqlite3_step(rows) == SQLITE_ROW) {
      for (int i = 0; i < NCOLS; i++) sqlite3_bind_value(put, i + 1, sqlite3_column_value(rows, i));
      sqlite3_step(put);
      sqlite3_reset(put);
    }
    sqlite3_finalize(put);
    sqlite3_finalize(rows);
  }
  write_query(&query, &ordered);
  compare(it, "a query", it->db, query.at, plain, query.at, ordered);
  sqlite3_close(plain);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static int class_of(int rc) {
  rc &= 0xff;
  return rc == SQLITE_OK || rc == SQLITE_CONSTRAINT || rc == SQLITE_AUTH ? rc : SQLITE_MISMATCH;
}

static void user_writes(Case *it) {
  Change change;
  Words sql = {0}, got = {0}, wanted = {0};
  choose_change(&change);
  write_change(&sql, &change);
  const int rc = class_of(sqlite3_exec(it->db, sql.at, NULL, NULL, NULL));
  say(&got, "%d, %d changes, %s: %.500s", rc, sqlite3_changes(it->db),
      sqlite3_get_autocommit(it->db) ? "no transaction" : "a transaction",
      rc ? sqlite3_errmsg(it->db) : "");
  Verdict verdict = model_apply(it->model, &change, &it->user);
  /* Which of several rows fails first, and how, depends on their order. */
  if (change.kind != KIND_INSERT && rc != SQLITE_OK && verdict.rc != SQLITE_OK &&
      !verdict.changes) {
    verdict.rc = rc;
  }
  say(&wanted, "%d, %d changes, %s: %.500s", verdict.rc, verdict.changes,
      sqlite3_get_autocommit(it->model) ? "no transaction" : "a transaction",
      rc ? sqlite3_errmsg(it->db) : "");
  checks++;
  done += verdict.changes;
  refused += verdict.rc == SQLITE_AUTH;
  if (strcmp(got.at, wanted.at)) fail(it, "a write", sql.at, got.at, wanted.at);
}

static void thaw(Case *it) {
  if (!it->frozen || !sqlite3_get_autocommit(it->db)) return;
  must(it->model, it->late.at);
  it->late = (Words){0};
  it->frozen = false;
}

static void transact(Case *it) {
  static const char *const steps[] = {"BEGIN",       "BEGIN",         "COMMIT",    "ROLLBACK",
                                      "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s", "SAVEPOINT t",
                                      "RELEASE t",   "ROLLBACK TO t"};
  const char *sql = steps[pick(10)];
  const int rc = sqlite3_exec(it->db, sql, NULL, NULL, NULL);
  const int wanted = sqlite3_exec(it->model, sql, NULL, NULL, NULL);
  checks++;
  if (rc != wanted) fail(it, "a step", sql, sqlite3_errmsg(it->db), sqlite3_errmsg(it->model));
  thaw(it);
}

/* Another connection commits, in another process or here: at once, or behind a snapshot. */
static void other_writes(Case *it) {
  Words sql = {0};
  const bool open = !sqlite3_get_autocommit(it->db);
  const int state = sqlite3_txn_state(it->db, "main");
  if (open && (!it->wal || state != SQLITE_TXN_READ || it->late.length > 8000)) return;
  write_admin(&sql);
  if (open && strstr(sql.at, "OR FAIL")) return; /* half of it might be done, and stay so */
  const int rc = chance(50) ? elsewhere_run(it->path, sql.at)
                            : sqlite3_exec(it->other, sql.at, NULL, NULL, NULL);
  if (!open) {
    sqlite3_exec(it->model, sql.at, NULL, NULL, NULL);
  } else if (rc == SQLITE_OK) {
    it->frozen = true;
    say(&it->late, "%s;", sql.at);
  }
}

static void one_step(Case *it) {
  const unsigned what = pick(100);
  if (what < 50) {
    if (!it->frozen) user_writes(it);
  } else if (what < 75) {
    transact(it);
  } else if (what < 88) {
    other_writes(it);
  }
  check_seen(it);
  if (chance(30)) check_query(it);
  if (sqlite3_get_autocommit(it->db) && chance(30)) check_stored(it);
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void host_writes(Case *it) {
  for (unsigned n = pick(4); n > 0; n--) {
    Words sql = {0};
    write_admin(&sql);
    sqlite3_exec(it->db, sql.at, NULL, NULL, NULL);
    sqlite3_exec(it->model, sql.at, NULL, NULL, NULL);
  }
}

static void one_user(Case *it) {
  Words context = {0}, enter = {0}, leave = {0};
  choose_user(&it->user);
  write_context(&context, &it->user);
  say(&enter, "SELECT multiverse_enter('%s', '%s')", context.at, token);
  must(it->db, enter.at);
  for (int i = 0; i < STEPS && failures < patience; i++) one_step(it);
  if (!sqlite3_get_autocommit(it->db)) {
    must(it->db, "ROLLBACK");
    must(it->model, "ROLLBACK");
  }
  thaw(it);
  check_stored(it);
  if (chance(50)) return; /* on to the next user */
  say(&leave, "SELECT multiverse_leave('%s')", token);
  must(it->db, leave.at);
  host_writes(it);
}

static void open_all(Case *it) {
  char library[1000];
  const char *build = getenv("TENFOLD_BUILD");
  snprintf(library, sizeof library, "%s/multiverse.so", build ? build : "build");
  snprintf(it->path, sizeof it->path, "/tmp/tenfold-writes-%d.db", (int)getpid());
  unlink(it->path);
  if (sqlite3_open(it->path, &it->db) != SQLITE_OK ||
      sqlite3_open(it->path, &it->other) != SQLITE_OK ||
      sqlite3_open(":memory:", &it->model) != SQLITE_OK) {
    exit(1);
  }
  sqlite3_enable_load_extension(it->db, 1);
  if (sqlite3_load_extension(it->db, library, NULL, NULL) != SQLITE_OK) must(it->db, library);
  it->wal = chance(50);
  must(it->db, it->wal ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = MEMORY");
  must(it->db, "PRAGMA synchronous = OFF");
  must(it->other, "PRAGMA synchronous = OFF");
}

static void close_all(Case *it) {
  sqlite3_close(it->other);
  sqlite3_close(it->model);
  if (sqlite3_close(it->db) != SQLITE_OK) {
    fail(it, "closing", "", "busy", "closed");
  }
  unlink(it->path);
}

static void one_case(uint64_t seed) {
  static Case it;
  static Words schema, policy;
  it = (Case){.seed = seed};
  chance_begin(seed);
  world = (World){.writes = true};
  open_all(&it);
  schema = policy = (Words){0};
  say(&schema, "BEGIN; CREATE TABLE Log(what, old, new);");
  make_schema(&schema);
  say(&schema,
      "CREATE TRIGGER T_log AFTER INSERT ON T BEGIN INSERT INTO Log VALUES (1, NULL, new.c2); END;"
      "CREATE TRIGGER T_change AFTER UPDATE ON T BEGIN INSERT INTO Log VALUES (2, old.c3, new.c3);"
      " END;"
      "CREATE TRIGGER U_never BEFORE DELETE ON U WHEN old.c4 = 2 BEGIN SELECT RAISE(ABORT, 'no'); "
      "END; COMMIT;");
  make_policy(&policy);
  must(it.db, schema.at);
  must(it.model, schema.at);
  model_prepare(it.model);
  must(it.db, policy.at);
  if (chance(50)) must(it.db, "SELECT multiverse_cache(100000)");
  for (int i = 0; i < USERS; i++) one_user(&it);
  close_all(&it);
}

int main(int argc, char **argv) {
  const long wanted = argc > 1 ? atol(argv[1]) : 10000;
  uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  if (argc > 3) patience = atol(argv[3]);
  elsewhere_begin();
  while (checks < wanted && failures < patience) one_case(seed++);
  printf("# %ld rows were written, %ld statements refused\n", done, refused);
  printf("%s 1 - %ld checks, %ld wrong\n1..1\n", failures ? "not ok" : "ok", checks, failures);
  return failures != 0;
}
