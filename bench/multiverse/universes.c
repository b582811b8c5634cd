/*
** What universes cost beside their queries: a write through one, changing users, and memory, on the
** forum of forum.h.
**
**   universes [--long] [--small]
*/
#include <malloc.h>

#include "bench/multiverse/forum.h"
#include "bench/table.h"

enum { BATCH = 1000 };

static const char insert_text[] =
    "INSERT INTO Post(id, class, author, anon, priv, content) VALUES(?1, ?2, ?3, 0, 0, ?4)";

/* What people write who have no row-level security: a view, and a trigger that looks. */
static const char trigger_of_policy[] =
    "CREATE TEMP VIEW own_post AS SELECT * FROM main.Post;"
    "CREATE TEMP TRIGGER own_insert INSTEAD OF INSERT ON own_post BEGIN"
    "  SELECT raise(ABORT, 'not yours') WHERE NEW.author <> cur()"
    "    OR NEW.class NOT IN (SELECT class FROM Enrollment WHERE uid = cur());"
    "  INSERT INTO Post(id, class, author, anon, priv, content)"
    "    VALUES (NEW.id, NEW.class, NEW.author, NEW.anon, NEW.priv, NEW.content);"
    "END";

static void current_user(sqlite3_context *context, int count, sqlite3_value **values) {
  (void)count, (void)values;
  sqlite3_result_int(context, *(const int *)sqlite3_user_data(context));
}

static sqlite3 *open_forum(int posts) {
  sqlite3 *db = NULL;
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) exit(2);
  forum_fill(db, posts);
  return db;
}

/* CPU nanoseconds per insert of a batch, which is taken back. */
static double insert_batch(sqlite3 *db, const char *table, int user, int first) {
  char text[256];
  snprintf(text, sizeof text, "INSERT INTO %s%s", table, strchr(insert_text, '('));
  run(db, "BEGIN");
  sqlite3_stmt *stmt = prepare(db, text);
  double since = now_cpu();
  for (int i = 0; i < BATCH; i++) {
    Post post = {.id = first + i, .class = forum_class(user, i % CLASSES_OF_USER)};
    sqlite3_bind_int(stmt, 1, post.id);
    sqlite3_bind_int(stmt, 2, post.class);
    sqlite3_bind_int(stmt, 3, user);
    sqlite3_bind_text(stmt, 4, "eighty characters or so of what somebody has to say about it all",
                      -1, SQLITE_STATIC);
    check(db, sqlite3_step(stmt));
    sqlite3_reset(stmt);
  }
  double spent = now_cpu() - since;
  sqlite3_finalize(stmt);
  run(db, "ROLLBACK");
  return spent / BATCH * 1e9;
}

static void measure_inserts(int posts, int rounds) {
  enum { DIRECT, UNIVERSE, TRIGGER, NVARIANTS };
  static const char *const tables[] = {"Post", "Post", "own_post"};
  static const char *const names[] = {"directly", "in a universe", "view and INSTEAD OF trigger"};
  double spent[NVARIANTS][MOST_ROUNDS], ratios[MOST_ROUNDS];
  int user = 17;
  sqlite3 *db[NVARIANTS];
  for (int v = 0; v < NVARIANTS; v++) db[v] = open_forum(posts);
  forum_load(db[UNIVERSE]);
  run(db[UNIVERSE], forum_policy);
  forum_enter(db[UNIVERSE], user);
  sqlite3_create_function(db[TRIGGER], "cur", 0, SQLITE_UTF8, &user, current_user, NULL, NULL);
  run(db[TRIGGER], trigger_of_policy);
  for (int r = -1; r < rounds; r++) {
    for (int v = 0; v < NVARIANTS; v++) {
      double best = insert_batch(db[v], tables[v], user, posts);
      for (int i = 0; i < 4; i++) best = fmin(best, insert_batch(db[v], tables[v], user, posts));
      if (r >= 0) spent[v][r] = best;
    }
  }
  table_head(" insert | ns of CPU | : directly ", 1);
  for (int v = 0; v < NVARIANTS; v++) {
    for (int r = 0; r < rounds; r++) ratios[r] = spent[v][r] / spent[DIRECT][r];
    printf("| %s | %.0f | %.2f |\n", names[v], median(spent[v], rounds), median(ratios, rounds));
    sqlite3_close(db[v]);
  }
}

/* One query that needs to know what the user is in. */
static void look(sqlite3 *db, int user) {
  sqlite3_stmt *stmt = prepare(db, "SELECT count(*) FROM Post WHERE id = ?1");
  sqlite3_bind_int(stmt, 1, forum_class(user, 3));
  check(db, sqlite3_step(stmt));
  sqlite3_finalize(stmt);
}

/* Changing from user to user on one connection; *enter, *first: CPU microseconds. */
static void measure_changes(sqlite3 *db, int users, double *enter, double *first) {
  *enter = *first = 0;
  for (int u = 0; u < users; u++) {
    double since = now_cpu();
    forum_enter(db, u);
    double entered = now_cpu();
    look(db, u);
    *enter += (entered - since) / users * 1e6;
    *first += (now_cpu() - entered) / users * 1e6;
  }
}

static void print_universes(int posts, int rounds) {
  double enters[MOST_ROUNDS], firsts[MOST_ROUNDS];
  sqlite3 *db = open_forum(posts);
  forum_load(db);
  run(db, forum_policy);
  forum_enter(db, 0);
  look(db, 0);
  for (int r = 0; r < rounds; r++) measure_changes(db, 500, &enters[r], &firsts[r]);
  struct mallinfo2 before = mallinfo2();
  double ignored[2];
  measure_changes(db, USERS, &ignored[0], &ignored[1]);
  struct mallinfo2 after = mallinfo2();
  table_head(" what | figure ", 1);
  printf("| `multiverse_enter`, CPU us | %.1f |\n", median(enters, rounds));
  printf("| the first look-up in a universe, CPU us | %.1f |\n", median(firsts, rounds));
  printf("| memory that %d universes leave, bytes per universe | %.0f |\n", USERS,
         ((double)after.uordblks - (double)before.uordblks) / USERS);
  sqlite3_close(db);
}

int main(int argc, char **argv) {
  int rounds = option_given(argc, argv, "--long") ? 11 : 5;
  int posts = option_given(argc, argv, "--small") ? 100000 : 1000000;
  printf(
      "\n## Writes\n\nBatches of %d in a transaction that is taken back, in memory, the best of 5 "
      "in each of %d rounds.\n",
      BATCH, rounds);
  measure_inserts(posts, rounds);
  printf("\n## Universes\n");
  print_universes(posts, rounds);
  return 0;
}
