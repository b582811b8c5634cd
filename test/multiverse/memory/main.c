/*
** Tier 2 under writes: whatever happens to the base tables, what universes see is what plain SQL
** says of a mirror, a database without the extension that everything is done to as well.
**
** Rows are written by the host outside of universes, by another connection, and by users inside,
** within transactions and savepoints that are committed or rolled back, by statements that fail and
** by such that replace. Between writes universes are entered, and asked for rows by values that are
** kept in memory.
**
**   test-multiverse-memory [checks [seed]]      the seed of a wrong case is printed
*/
#define SQLITE_ENABLE_PREUPDATE_HOOK
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/multiverse/memory/memory.h"

static const char token[] = "sixteen bytes and more";

typedef struct World {
  uint64_t seed;
  char path[64];
  bool shared;     /* the other connection may write while this one reads */
  sqlite3 *db;     /* with the extension */
  sqlite3 *other;  /* on the same file, without */
  sqlite3 *mirror; /* the truth */
} World;

static long checks, failures;
static sqlite3_int64 served, reread, evicted;

static void die(World *world, sqlite3 *db, const char *sql) {
  printf("Bail out! seed %llu: %s\n%s\n", (unsigned long long)world->seed, sqlite3_errmsg(db), sql);
  exit(1);
}

static int try(sqlite3 *db, const char *sql) { return sqlite3_exec(db, sql, NULL, NULL, NULL); }

static void must(World *world, sqlite3 *db, const char *sql) {
  if (try(db, sql) != SQLITE_OK) die(world, db, sql);
}

/* The same to both; it fails in both or in none. */
static void both(World *world, sqlite3 *db, const char *sql) {
  const int rc = try(db, sql), wanted = try(world->mirror, sql);
  if (rc == wanted) return;
  printf("Bail out! seed %llu: %d (%s), the mirror says %d (%s)\n%s\n",
         (unsigned long long)world->seed, rc, sqlite3_errmsg(db), wanted,
         sqlite3_errmsg(world->mirror), sql);
  exit(1);
}

/* ---- opening --------------------------------------------------------------------------------- */

static sqlite3 *open_one(World *world, const char *path) {
  sqlite3 *db;
  if (sqlite3_open(path, &db) != SQLITE_OK) die(world, db, path);
  sqlite3_busy_timeout(db, 2000);
  return db;
}

static void load(World *world) {
  char library[1000];
  const char *build = getenv("TENFOLD_BUILD");
  snprintf(library, sizeof library, "%s/multiverse.so", build ? build : "build");
  sqlite3_enable_load_extension(world->db, 1);
  if (sqlite3_load_extension(world->db, library, NULL, NULL) != SQLITE_OK) {
    die(world, world->db, library);
  }
}

static void make_world(World *world) {
  Line line = {0};
  snprintf(world->path, sizeof world->path, "/tmp/tenfold-memory-%d.db", (int)getpid());
  unlink(world->path);
  world->db = open_one(world, world->path);
  world->shared = happens(50);
  must(world, world->db,
       world->shared ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = DELETE");
  must(world, world->db, "PRAGMA synchronous = OFF");
  world->other = open_one(world, world->path);
  world->mirror = open_one(world, ":memory:");
  load(world);
  for (int i = 0; schema[i]; i++) both(world, world->db, schema[i]);
  for (int i = 0; policy[i]; i++) must(world, world->db, policy[i]);
  for (int i = 0; i < 16; i++) {
    line = (Line){0};
    put(&line, "INSERT INTO Enrollment VALUES (%u, %u, '%s')", below(USERS), below(CLASSES),
        happens(70) ? "student" : "ta");
    both(world, world->db, line.at);
  }
  for (int i = 0; i < 30; i++) {
    line = (Line){0};
    choose_write(&line);
    both(world, world->db, line.at);
  }
  line = (Line){0};
  put(&line, "SELECT multiverse_cache(%u)", happens(70) ? 1000000 : 2000 + below(4000));
  must(world, world->db, line.at);
}

static void end_world(World *world) {
  sqlite3_stmt *status;
  const char *sql = "SELECT c ->> 'served', c ->> 'reread', c ->> 'bytes' <= max(4000, c ->> "
                    "'budget'), c ->> 'evicted' FROM (SELECT multiverse_cache() AS c)";
  if (sqlite3_prepare_v2(world->db, sql, -1, &status, NULL) != SQLITE_OK ||
      sqlite3_step(status) != SQLITE_ROW) {
    die(world, world->db, sql);
  }
  served += sqlite3_column_int64(status, 0);
  reread += sqlite3_column_int64(status, 1);
  evicted += sqlite3_column_int64(status, 3);
  if (!sqlite3_column_int(status, 2)) die(world, world->db, "more memory than the budget");
  sqlite3_finalize(status);
  if (sqlite3_close(world->db) != SQLITE_OK) die(world, world->db, "close");
  sqlite3_close(world->other);
  sqlite3_close(world->mirror);
  unlink(world->path);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Rows as one text; caller frees. After the first of them another connection may write, which is
** nothing to a statement that reads. */
static char *rows_of(World *world, sqlite3 *db, const char *sql, bool ordered,
                     const char *between) {
  enum { MOST = 4000 };
  static char *rows[MOST];
  size_t n = 0, total = 1;
  sqlite3_stmt *statement;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) die(world, db, sql);
  while (n < MOST && sqlite3_step(statement) == SQLITE_ROW) {
    if (between) both(world, world->other, between);
    between = NULL;
    Line row = {0};
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
      const char *text = (const char *)sqlite3_column_text(statement, i);
      put(&row, "%d:%s|", sqlite3_column_type(statement, i), text ? text : "");
    }
    total += row.length + 1;
    rows[n++] = strdup(row.at);
  }
  if (sqlite3_finalize(statement) != SQLITE_OK) die(world, db, sql);
  if (between) both(world, world->other, between);
  if (!ordered && n) qsort(rows, n, sizeof *rows, by_text);
  char *all = malloc(total), *end = all;
  *end = '\0';
  for (size_t i = 0; i < n; i++) {
    end += sprintf(end, "%s\n", rows[i]);
    free(rows[i]);
  }
  return all;
}

static void judge(const World *world, int uid, const char *asked, const char *got,
                  const char *wanted) {
  checks++;
  if (!strcmp(got, wanted)) return;
  failures++;
  printf("not ok - seed %llu, check %ld, uid %d: %s\n# got:\n%.800s# wanted:\n%.800s",
         (unsigned long long)world->seed, checks, uid, asked, got, wanted);
}

static void compare(World *world, int uid) {
  Line asked = {0}, plain = {0}, write = {0};
  bool ordered;
  choose_question(&asked, &plain, uid, &ordered);
  const bool mixed = world->shared && sqlite3_get_autocommit(world->db) && happens(15);
  if (mixed) choose_write(&write);
  char *wanted = rows_of(world, world->mirror, plain.at, ordered, NULL);
  char *got = rows_of(world, world->db, asked.at, ordered, mixed ? write.at : NULL);
  judge(world, uid, asked.at, got, wanted);
  free(got);
  free(wanted);
}

static void ask_some(World *world, int uid) {
  for (unsigned n = below(4); n > 0; n--) compare(world, uid);
}

/* ---- what happens ---------------------------------------------------------------------------- */

/* Inside a universe: what was let through happens to the mirror as well. */
static void write_own(World *world, int uid) {
  Line said = {0}, meant = {0};
  choose_own_write(&said, &meant, uid);
  if (try(world->db, said.at) == SQLITE_OK) must(world, world->mirror, meant.at);
}

static void save(World *world, int *depth, int most) {
  Line line = {0};
  if (*depth < most && happens(50)) {
    put(&line, "SAVEPOINT s%d", (*depth)++);
  } else if (*depth) {
    put(&line, happens(50) ? "ROLLBACK TO s%d" : "RELEASE s%d", *depth - 1);
    if (line.at[1] == 'E') (*depth)--; /* RELEASE */
  } else {
    return;
  }
  both(world, world->db, line.at);
}

static void in_universe(World *world) {
  Line line = {0};
  const int uid = (int)below(USERS);
  int depth = 0;
  put(&line, "SELECT multiverse_enter('{\"uid\":%d}', '%s')", uid, token);
  must(world, world->db, line.at);
  const bool transaction = happens(50);
  ask_some(world, uid);
  if (transaction) both(world, world->db, "BEGIN");
  for (unsigned n = below(6); n > 0; n--) {
    if (happens(60)) write_own(world, uid);
    if (transaction && happens(40)) save(world, &depth, 3);
    ask_some(world, uid);
  }
  if (transaction) both(world, world->db, happens(50) ? "COMMIT" : "ROLLBACK");
  ask_some(world, uid);
  if (happens(20)) {
    line = (Line){0};
    if (happens(50)) {
      choose_write(&line);
    } else {
      choose_membership(&line);
    }
    both(world, world->other, line.at);
    ask_some(world, uid);
  }
  line = (Line){0};
  put(&line, "SELECT multiverse_leave('%s')", token);
  must(world, world->db, line.at);
}

static void write_outside(World *world) {
  sqlite3 *db = happens(25) ? world->other : world->db;
  const bool transaction = happens(30);
  int depth = 0;
  if (transaction) both(world, db, "BEGIN IMMEDIATE");
  for (unsigned n = 1 + below(4); n > 0; n--) {
    Line line = {0};
    choose_write(&line);
    both(world, db, line.at);
    if (transaction && db == world->db && happens(40)) save(world, &depth, 2);
  }
  if (transaction) both(world, db, happens(50) ? "COMMIT" : "ROLLBACK");
  if (!transaction && happens(6)) both(world, db, choose_change());
}

/* Somebody else takes the hook. */
static void lose_hook(World *world) {
  Line line = {0};
  sqlite3_preupdate_hook(world->db, NULL, NULL);
  choose_write(&line);
  both(world, world->db, line.at);
}

static void one_case(uint64_t seed) {
  World world = {.seed = seed};
  begin_chance(seed);
  begin_policy();
  make_world(&world);
  const bool robbed = happens(10);
  for (int i = 0; i < 25 && failures < 5; i++) {
    in_universe(&world);
    if (happens(80)) write_outside(&world);
    if (robbed && happens(20)) lose_hook(&world);
    if (happens(5)) must(&world, world.db, change_policy());
  }
  end_world(&world);
}

int main(int argc, char **argv) {
  const long wanted = argc > 1 ? atol(argv[1]) : 5000;
  uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  while (checks < wanted && failures < 5) one_case(seed++);
  const bool ok = !failures && served && reread && evicted;
  printf(
      "%s 1 - %ld checks, %ld wrong; %lld scans from memory, %lld rows read again, %lld postings "
      "evicted\n1..1\n",
      ok ? "ok" : "not ok", checks, failures, (long long)served, (long long)reread,
      (long long)evicted);
  return !ok;
}
