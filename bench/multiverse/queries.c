/*
** What a universe costs: queries on the forum of forum.h with no policy at all, with the policy
** written into them by hand, through a TEMP view, in a universe, and by PostgreSQL with row level
** security and a view that rewrites. All see the same rows, which is looked at first; they take
** turns, and what is compared is CPU time.
**
**   queries [--long] [--small]
*/
#include <math.h>
#include <sys/stat.h>

#include "bench/multiverse/forum.h"
#include "bench/multiverse/peers/postgres.h"
#include "bench/table.h"

enum { KIND_CLASS, KIND_AUTHOR, KIND_POINT };

/* %s: the table; %a, %h: where the policy goes that is written by hand. */
typedef struct Query {
  const char *what;
  int kind;             /* of ?1 */
  const char *text;     /* of table %s */
  const char *inlined;  /* by hand */
  const char *postgres; /* of table %s; :v is the value */
} Query;

#define ALLOWED                                                                                    \
  "(author = ?2 OR (NOT priv AND class IN (SELECT class FROM Enrollment WHERE uid = ?2"            \
  " AND role = 'student')) OR class IN (SELECT class FROM Enrollment WHERE uid = ?2"               \
  " AND role <> 'student'))"
#define HIDDEN                                                                                     \
  "(anon AND author <> ?2 AND class NOT IN (SELECT class FROM Enrollment WHERE uid = ?2"           \
  " AND role <> 'student'))"
#define COLUMNS                                                                                    \
  "id, class, CASE WHEN " HIDDEN " THEN -1 ELSE author END AS author, anon, priv, content"

static const Query queries[] = {
    {"posts of a class", KIND_CLASS, "SELECT * FROM %s WHERE class = ?1",
     "SELECT " COLUMNS " FROM Post WHERE class = ?1 AND " ALLOWED,
     "SELECT * FROM %s WHERE class = :v"},
    {"newest 20 of a class", KIND_CLASS,
     "SELECT * FROM %s WHERE class = ?1 ORDER BY id DESC LIMIT 20",
     "SELECT " COLUMNS " FROM Post WHERE class = ?1 AND " ALLOWED " ORDER BY id DESC LIMIT 20",
     "SELECT * FROM %s WHERE class = :v ORDER BY id DESC LIMIT 20"},
    {"posts by an author", KIND_AUTHOR, "SELECT * FROM %s WHERE author = ?1",
     "SELECT * FROM Post WHERE author = ?1 AND " ALLOWED " AND NOT " HIDDEN,
     "SELECT * FROM %s WHERE author = :v"},
    {"post by id", KIND_POINT, "SELECT * FROM %s WHERE id = ?1",
     "SELECT " COLUMNS " FROM Post WHERE id = ?1 AND " ALLOWED, "SELECT * FROM %s WHERE id = :v"},
    {"count of a class", KIND_CLASS, "SELECT count(*) FROM %s WHERE class = ?1",
     "SELECT count(*) FROM Post WHERE class = ?1 AND " ALLOWED,
     "SELECT count(*) FROM %s WHERE class = :v"},
    {"count by an author", KIND_AUTHOR, "SELECT count(*) FROM %s WHERE author = ?1",
     "SELECT count(*) FROM Post WHERE author = ?1 AND " ALLOWED " AND NOT " HIDDEN,
     "SELECT count(*) FROM %s WHERE author = :v"},
};

enum { NQUERIES = sizeof queries / sizeof *queries, COMMON = 4 /* those of the geometric mean */ };
enum { POST_BY_ID = 3, COUNT_OF_CLASS = 4 };

enum { OPEN, INLINED, VIEW, TIER_1, TIER_2, NVARIANTS };
static const char *const variant_names[NVARIANTS] = {"no policy", "inlined", "TEMP view", "tier 1",
                                                     "tier 2"};

typedef struct Bench {
  int posts, user, rounds;
  double seconds; /* of one measurement */
  sqlite3 *db[NVARIANTS];
  bool cached; /* there is a tier 2 */
  Postgres pg;
  int failed, checked;
} Bench;

static const char view_of_policy[] =
    "CREATE TEMP VIEW seen AS SELECT id, class, CASE WHEN anon AND author <> cur()"
    "  AND class NOT IN (SELECT class FROM Enrollment WHERE uid = cur() AND role <> 'student')"
    "  THEN -1 ELSE author END AS author, anon, priv, content FROM main.Post"
    " WHERE author = cur() OR (NOT priv AND class IN (SELECT class FROM Enrollment"
    "  WHERE uid = cur() AND role = 'student'))"
    "  OR class IN (SELECT class FROM Enrollment WHERE uid = cur() AND role <> 'student')";

static void current_user(sqlite3_context *context, int count, sqlite3_value **values) {
  const Bench *bench = sqlite3_user_data(context);
  (void)count, (void)values;
  sqlite3_result_int(context, bench->user);
}

/* ---- connections */

static sqlite3 *open_file(const char *path) {
  sqlite3 *db = NULL;
  if (sqlite3_open(path, &db) != SQLITE_OK) exit(2);
  run(db, "PRAGMA journal_mode = wal; PRAGMA mmap_size = 2000000000; PRAGMA cache_size = -100000");
  return db;
}

static void open_variants(Bench *bench, const char *path) {
  for (int v = 0; v < NVARIANTS; v++) bench->db[v] = open_file(path);
  sqlite3_create_function(bench->db[VIEW], "cur", 0, SQLITE_UTF8 | SQLITE_DETERMINISTIC, bench,
                          current_user, NULL, NULL);
  run(bench->db[VIEW], view_of_policy);
  for (int v = TIER_1; v <= TIER_2; v++) forum_load(bench->db[v]);
  run(bench->db[TIER_1], forum_policy);
  bench->cached = sqlite3_exec(bench->db[TIER_2], "SELECT multiverse_cache(1000000000)", NULL, NULL,
                               NULL) == SQLITE_OK;
}

static void change_user(Bench *bench, int user) {
  bench->user = user;
  forum_enter(bench->db[TIER_1], user);
  if (bench->cached) forum_enter(bench->db[TIER_2], user);
}

static sqlite3_stmt *prepare_variant(const Bench *bench, const Query *query, int variant) {
  char text[1024];
  if (variant == INLINED) return prepare(bench->db[variant], query->inlined);
  snprintf(text, sizeof text, query->text, variant == VIEW ? "seen" : "Post");
  return prepare(bench->db[variant], text);
}

/* ---- asking */

static int value_for(const Bench *bench, const Query *query, Chance *chance) {
  int class = forum_class(bench->user, pick(chance, CLASSES_OF_USER));
  switch (query->kind) {
  case KIND_CLASS:
    return class;
  case KIND_POINT:
    return class + CLASSES * pick(chance, bench->posts / CLASSES);
  default:
    return forum_member(class, pick(chance, MEMBERS));
  }
}

/* The rows' columns are all read; returns how many rows, *sum is of what is in them. */
static int ask(sqlite3_stmt *stmt, int value, int user, uint64_t *sum) {
  int rows = 0, rc;
  sqlite3_bind_int(stmt, 1, value);
  if (sqlite3_bind_parameter_count(stmt) > 1) sqlite3_bind_int(stmt, 2, user);
  for (; (rc = sqlite3_step(stmt)) == SQLITE_ROW; rows++) {
    uint64_t row = 1469598103934665603ull;
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
      const unsigned char *text = NULL;
      if (i < 5) {
        row = (row ^ (uint64_t)sqlite3_column_int64(stmt, i)) * 1099511628211ull;
      } else {
        text = sqlite3_column_text(stmt, i);
        row = (row ^ text[0] ^ (uint64_t)text[79] << 8) * 1099511628211ull;
      }
    }
    *sum += row;
  }
  check(sqlite3_db_handle(stmt), rc);
  sqlite3_reset(stmt);
  return rows;
}

/* Queries per CPU second. */
static double measure(const Bench *bench, const Query *query, int variant, uint64_t seed) {
  Chance chance = {seed};
  uint64_t sum = 0;
  int done = 0;
  sqlite3_stmt *stmt = prepare_variant(bench, query, variant);
  ask(stmt, value_for(bench, query, &chance), bench->user, &sum);
  double since = now_cpu(), now = since;
  while (now - since < bench->seconds) {
    for (int i = 0; i < 8; i++, done++) {
      ask(stmt, value_for(bench, query, &chance), bench->user, &sum);
    }
    now = now_cpu();
  }
  sqlite3_finalize(stmt);
  return done / (now - since);
}

/* Do all variants give what the policy written by hand does? */
static void compare(Bench *bench, const Query *query) {
  sqlite3_stmt *stmts[NVARIANTS] = {NULL};
  for (int v = INLINED; v < NVARIANTS - !bench->cached; v++) {
    stmts[v] = prepare_variant(bench, query, v);
  }
  Chance chance = {7};
  for (int i = 0; i < 10; i++) {
    int value = value_for(bench, query, &chance);
    uint64_t right = 0;
    int rows = ask(stmts[INLINED], value, bench->user, &right);
    for (int v = VIEW; v < NVARIANTS - !bench->cached; v++) {
      uint64_t sum = 0;
      bool same = ask(stmts[v], value, bench->user, &sum) == rows && sum == right;
      bench->checked++;
      bench->failed += !same;
      if (!same)
        fprintf(stderr, "%s, %s of %d: other rows\n", variant_names[v], query->what, value);
    }
  }
  for (int v = INLINED; v < NVARIANTS; v++) sqlite3_finalize(stmts[v]);
}

/* values[:i - first], found by halves. */
static int write_choice(char *out, size_t size, const int *values, int first, int n) {
  if (n == 1) return snprintf(out, size, "%d", values[0]);
  const int half = n / 2;
  int length = snprintf(out, size, "CASE WHEN :i < %d THEN ", first + half);
  length += write_choice(out + length, size - (size_t)length, values, first, half);
  length += snprintf(out + length, size - (size_t)length, " ELSE ");
  length +=
      write_choice(out + length, size - (size_t)length, values + half, first + half, n - half);
  return length + snprintf(out + length, size - (size_t)length, " END");
}

/* pgbench's script of a query. */
static void write_script(const Bench *bench, const Query *query, const char *table, char *out,
                         size_t size) {
  enum { NVALUES = 64 };
  int values[NVALUES];
  char choice[4096];
  Chance chance = {29};
  for (int i = 0; i < NVALUES; i++) values[i] = value_for(bench, query, &chance);
  write_choice(choice, sizeof choice, values, 0, NVALUES);
  int length = snprintf(out, size, "\\set i random(0, %d)\n\\set v %s\n", NVALUES - 1, choice);
  if (query->kind == KIND_POINT) {
    length +=
        snprintf(out + length, size - (size_t)length, "\\set v :v %% %d + %d * random(0, %d)\n",
                 CLASSES, CLASSES, bench->posts / CLASSES - 1);
  }
  length += snprintf(out + length, size - (size_t)length, query->postgres, table);
  snprintf(out + length, size - (size_t)length, ";\n");
}

static double measure_postgres(Bench *bench, const Query *query, const char *table, int round) {
  char script[8192];
  if (bench->pg.missing) return NAN;
  write_script(bench, query, table, script, sizeof script);
  return postgres_ask(&bench->pg, script, bench->user, bench->seconds < 0.5 ? 1 : 2, round + 1);
}

/* As many rows as here? */
static void compare_postgres(Bench *bench, const Query *query) {
  char counting[600], sql[400], option[64], path[256], line[64] = "";
  if (bench->pg.missing) return;
  Chance chance = {11};
  sqlite3_stmt *stmt = prepare_variant(bench, query, INLINED);
  int value = value_for(bench, query, &chance);
  uint64_t sum = 0;
  int rows = ask(stmt, value, bench->user, &sum);
  sqlite3_finalize(stmt);
  snprintf(sql, sizeof sql, query->postgres, "seen");
  sql[strcspn(sql, ":")] = 0; /* up to the value */
  const char *rest = strchr(query->postgres, ':') + 2;
  snprintf(counting, sizeof counting, "SELECT count(*) FROM (%s%d%s) AS t", sql, value, rest);
  snprintf(option, sizeof option, "-c app.uid=%d", bench->user);
  setenv("PGOPTIONS", option, 1);
  const char *const words[] = {"-X",  "-q", "-At",      "-h", bench->pg.folder, "-U",
                               "app", "-d", "postgres", "-c", counting,         NULL};
  bool ok = postgres_run(&bench->pg, postgres_path(&bench->pg, path, "counted"), "psql", words);
  unsetenv("PGOPTIONS");
  FILE *f = fopen(path, "r");
  ok = ok && f && fgets(line, sizeof line, f) && atoi(line) == rows;
  if (f) fclose(f);
  bench->checked++;
  bench->failed += !ok;
  if (!ok)
    fprintf(stderr, "PostgreSQL, %s of %d: %s rows, not %d\n", query->what, value, line, rows);
}

/* ---- tables */

enum { PG_OPEN = NVARIANTS, PG_SECURED, NCOLUMNS };
typedef struct Speeds {
  double at[NCOLUMNS][MOST_ROUNDS];
} Speeds;

static void measure_all(Bench *bench, int query, int round, Speeds *speeds) {
  const Query *q = &queries[query];
  for (int v = 0; v < NVARIANTS; v++) {
    bool there = v != TIER_2 || bench->cached;
    speeds->at[v][round] = there ? measure(bench, q, v, (uint64_t)(round * 100 + query + 1)) : NAN;
  }
  speeds->at[PG_OPEN][round] = measure_postgres(bench, q, "open_post", round);
  speeds->at[PG_SECURED][round] = measure_postgres(bench, q, "seen", round);
}

static void print_speed(double speed) {
  if (isnan(speed)) {
    printf(" – |");
  } else {
    printf(" %.0f |", speed);
  }
}

static void print_ratio(double a, double b) {
  if (isnan(a) || isnan(b) || b == 0) {
    printf(" – |");
  } else {
    printf(a / b < 10 ? " %.2f |" : " %.0f |", a / b);
  }
}

/* The median of the rounds' ratios: a slow moment of the machine is in both. */
static double ratio(const Bench *bench, const Speeds *speeds, int a, int b) {
  double ratios[MOST_ROUNDS];
  for (int r = 0; r < bench->rounds; r++) ratios[r] = speeds->at[a][r] / speeds->at[b][r];
  return median(ratios, bench->rounds);
}

static void print_tables(const Bench *bench, const Speeds *speeds, const int *which, int count) {
  double product = 1;
  int factors = 0;
  table_head(" queries per CPU second | no policy | inlined | TEMP view | tier 1 | tier 2 | "
             "PostgreSQL, no policy | RLS and view ",
             1);
  for (int i = 0; i < count; i++) {
    printf("| %s |", queries[which[i]].what);
    for (int c = 0; c < NCOLUMNS; c++) print_speed(median(speeds[i].at[c], bench->rounds));
    printf("\n");
  }
  table_head(
      " ratios | tier 1 : no policy | : inlined | : TEMP view | : PostgreSQL, RLS and view | "
      "tier 2 : no policy | PostgreSQL's RLS and view : its no policy ",
      1);
  for (int i = 0; i < count; i++) {
    const Speeds *s = &speeds[i];
    printf("| %s |", queries[which[i]].what);
    print_ratio(ratio(bench, s, TIER_1, OPEN), 1);
    print_ratio(ratio(bench, s, TIER_1, INLINED), 1);
    print_ratio(ratio(bench, s, TIER_1, VIEW), 1);
    print_ratio(ratio(bench, s, TIER_1, PG_SECURED), 1);
    print_ratio(ratio(bench, s, TIER_2, OPEN), 1);
    print_ratio(ratio(bench, s, PG_SECURED, PG_OPEN), 1);
    printf("\n");
    if (which[i] >= COMMON) continue;
    product *= ratio(bench, s, TIER_1, INLINED);
    factors++;
  }
  if (factors == COMMON) {
    printf(
        "\nTier 1 against the policy inlined by hand, geometric mean over the first four: %.2f.\n",
        pow(product, 0.25));
  }
}

/* Tier 2 finds rows of classes and authors in memory, as where a program has run on; posts
** by their ids are read when they are first asked for. */
static void warm(Bench *bench) {
  uint64_t sum = 0;
  if (!bench->cached) return;
  sqlite3_stmt *stmt = prepare(bench->db[TIER_2], "SELECT * FROM Post WHERE class = ?1");
  for (int k = 0; k < CLASSES_OF_USER; k++) {
    ask(stmt, forum_class(bench->user, k), bench->user, &sum);
  }
  sqlite3_finalize(stmt);
  stmt = prepare(bench->db[TIER_2], "SELECT * FROM Post WHERE author = ?1");
  for (int u = 0; u < USERS; u++) ask(stmt, u, bench->user, &sum);
  sqlite3_finalize(stmt);
}

static void measure_queries(Bench *bench, const int *which, int count) {
  Speeds *speeds = calloc((size_t)count, sizeof *speeds);
  if (!speeds) exit(2);
  for (int r = 0; r < bench->rounds; r++) {
    change_user(bench, 17 + 101 * r);
    warm(bench);
    for (int i = 0; i < count; i++) {
      compare(bench, &queries[which[i]]);
      if (r == 0) compare_postgres(bench, &queries[which[i]]);
      measure_all(bench, which[i], r, &speeds[i]);
    }
  }
  print_tables(bench, speeds, which, count);
  free(speeds);
}

/* ---- counts that nobody has asked for before */

enum { FIRST_USERS = 40, OTHER_USERS = 300 };

/* CPU microseconds per count of a user's classes, each for the first time. */
static double count_first(Bench *bench, int variant, int first_user, int users, sqlite3 *writer) {
  double spent = 0;
  uint64_t sum = 0;
  sqlite3_stmt *count = prepare_variant(bench, &queries[COUNT_OF_CLASS], variant);
  sqlite3_stmt *point = prepare_variant(bench, &queries[POST_BY_ID], variant);
  for (int u = first_user; u < first_user + users; u++) {
    if (writer) run(writer, "UPDATE Enrollment SET role = role WHERE rowid = 1");
    change_user(bench, u);
    ask(point, u, u, &sum); /* who is in what is known */
    double since = now_cpu();
    for (int k = 0; k < CLASSES_OF_USER; k++) ask(count, forum_class(u, k), u, &sum);
    spent += now_cpu() - since;
  }
  sqlite3_finalize(count);
  sqlite3_finalize(point);
  return spent / users / CLASSES_OF_USER * 1e6;
}

static void measure_firsts(Bench *bench, const char *path) {
  static const int variants[] = {OPEN, INLINED, TIER_1};
  static const char *const whats[] = {"others have counted the class",
                                      "nobody has, since a commit"};
  sqlite3 *writer = open_file(path);
  table_head(" first count of a class for a user, CPU us | no policy | inlined | tier 1 | tier 1's "
             "speed : no policy ",
             1);
  count_first(bench, TIER_1, 0, OTHER_USERS, NULL);
  for (int w = 0; w < 2; w++) {
    double spent[3][MOST_ROUNDS], ratios[MOST_ROUNDS];
    for (int r = 0; r < bench->rounds; r++) {
      const int user = OTHER_USERS + FIRST_USERS * r;
      for (int v = 0; v < 3; v++) {
        spent[v][r] = count_first(bench, variants[v], user, FIRST_USERS, w ? writer : NULL);
      }
      ratios[r] = spent[0][r] / spent[2][r];
    }
    printf("| %s |", whats[w]);
    for (int v = 0; v < 3; v++) printf(" %.1f |", median(spent[v], bench->rounds));
    printf(" %.2f |\n", median(ratios, bench->rounds));
  }
  sqlite3_close(writer);
}

/* The advised index holds all that the policy asks of a row. */
static void measure_counts(Bench *bench, const char *path) {
  static const int counts[] = {4, 5};
  printf("\n## Counting, with the indexes that multiverse_advise proposes\n");
  sqlite3 *db = open_file(path);
  for (int v = TIER_1; v < NVARIANTS - !bench->cached; v++) forum_leave(bench->db[v]);
  run(db, "CREATE INDEX advised_class ON Post(class, priv, author, anon);"
          "CREATE INDEX advised_author ON Post(author, class, priv, anon); ANALYZE");
  sqlite3_close(db);
  if (!bench->pg.missing) {
    postgres_sql(&bench->pg, "CREATE INDEX ON post(class, priv, author, anon);"
                             "CREATE INDEX ON post(author, class, priv, anon)");
    postgres_sql(&bench->pg, "VACUUM ANALYZE");
  }
  measure_queries(bench, counts, 2);
  measure_firsts(bench, path);
}

static void remove_file(const char *folder, const char *path) {
  char name[300];
  static const char *const ends[] = {"", "-wal", "-shm"};
  for (int i = 0; i < 3; i++) {
    snprintf(name, sizeof name, "%s%s", path, ends[i]);
    unlink(name);
  }
  rmdir(folder);
}

int main(int argc, char **argv) {
  static const int all[NQUERIES] = {0, 1, 2, 3, 4, 5};
  const char *root = getenv("TMPDIR");
  char folder[200], path[256];
  bool longer = option_given(argc, argv, "--long");
  Bench bench = {.posts = option_given(argc, argv, "--small") ? 100000 : 1000000,
                 .rounds = longer ? 11 : 5,
                 .seconds = longer ? 1 : 0.3};
  snprintf(folder, sizeof folder, "%s/multiverse-bench-XXXXXX", root ? root : "/tmp");
  if (!mkdtemp(folder)) return 2;
  snprintf(path, sizeof path, "%s/forum.db", folder);
  printf("# multiverse: a universe against no policy, and against others that have one\n\n");
  table_machine();
  sqlite3 *db = open_file(path);
  forum_fill(db, bench.posts);
  sqlite3_close(db);
  open_variants(&bench, path);
  postgres_begin(&bench.pg, bench.posts);
  printf("SQLite %s. %d posts, %d rounds, another user in each; all take turns.\n",
         sqlite3_libversion(), bench.posts, bench.rounds);
  if (bench.pg.missing) printf("No PostgreSQL: %s.\n", bench.pg.missing);
  printf("\n## Queries\n");
  measure_queries(&bench, all, NQUERIES);
  measure_counts(&bench, path);
  printf("\nAnswers compared with the policy written by hand: %d, not the same: %d.\n",
         bench.checked, bench.failed);
  for (int v = 0; v < NVARIANTS; v++) sqlite3_close(bench.db[v]);
  postgres_end(&bench.pg);
  remove_file(folder, path);
  return bench.failed > 0;
}
