/*
** Slices that change hands: planned moves under load, owners that are killed, nodes that join.
*/
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>

#include "bench/table.h"

enum { ROWS = 20000, SLICES = 64, MOVES = 600, KILLS = 15, MOST_NODES = 5 };

static char made[] = "/tmp/tenfold-bench-turns-XXXXXX";
static const char *folder = made;
static sqlite3 *db;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void pause_ms(int ms) {
  nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

static bool run(const char *sql) {
  char *why = NULL;
  if (sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK) return true;
  fprintf(stderr, "%s: %s\n", sql, why);
  sqlite3_free(why);
  return false;
}

static int64_t number(const char *sql) {
  sqlite3_stmt *statement = NULL;
  int64_t value = -1;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW)
    value = sqlite3_column_int64(statement, 0);
  if (value < 0) fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
  sqlite3_finalize(statement);
  return value;
}

/* me 0: owns nothing */
static void open_node(int me) {
  const char *build = getenv("TENFOLD_BUILD");
  char text[1000], address[200] = "";
  snprintf(text, sizeof text, "%s/app.db", folder);
  if (sqlite3_open(text, &db) != SQLITE_OK) exit(1);
  sqlite3_busy_timeout(db, 5000);
  sqlite3_enable_load_extension(db, 1);
  snprintf(text, sizeof text, "%s/link.so", build ? build : "build");
  if (sqlite3_load_extension(db, text, NULL, NULL) != SQLITE_OK) exit(1);
  if (me) snprintf(address, sizeof address, "unix:%s/%d.sock", folder, me);
  snprintf(
      text, sizeof text,
      "CREATE VIRTUAL TABLE temp.carts USING link(id INTEGER PRIMARY KEY, total REAL, items TEXT, "
      "load='SELECT id, total, items FROM cart WHERE id = ?', slices=%d, deadline=5000, "
      "coord='local:%s/map.db', me='%s')",
      SLICES, folder, address);
  if (!run(text)) exit(1);
}

/* This program again, as another process: a node, or one that reads or writes. */
static pid_t start(const char *what, int number_of, const char *keys) {
  char text[16];
  snprintf(text, sizeof text, "%d", number_of);
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "turns", what, folder, text, keys, (char *)NULL);
    _exit(127);
  }
  return child;
}

static pid_t start_node(int me) { return start("node", me, ""); }

static void stop_node(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

static int slices_of(int me) {
  char sql[300];
  snprintf(sql, sizeof sql, "SELECT count(*) FROM link_slices WHERE owner = 'unix:%s/%d.sock'",
           folder, me);
  return (int)number(sql);
}

static void wait_for(int nodes) {
  for (int i = 0; i < 2000; i++) {
    int least = SLICES;
    for (int node = 1; node <= nodes; node++) {
      const int n = slices_of(node);
      if (n < least) least = n;
    }
    if (least == SLICES / nodes) return;
    pause_ms(5);
  }
  fprintf(stderr, "the slices are not even\n");
}

/* ---- planned moves --------------------------------------------------------------------------- */

/* Reads or writes rows all the time, and writes to `fd` how long each took, and whether it did. */
static int load(int fd, const char *keys, bool writes) {
  open_node(0);
  for (const char *at = keys;; at = *at ? at : keys) {
    char sql[200], *end;
    const long long key = strtoll(at, &end, 10);
    at = *end ? end + 1 : end;
    snprintf(sql, sizeof sql,
             writes ? "UPDATE carts SET total = total + 1 WHERE id = %lld"
                    : "SELECT total FROM carts WHERE id = %lld",
             key);
    const double began = now();
    const bool ok = run(sql);
    const double took[2] = {now() - began, ok};
    if (write(fd, took, sizeof took) != sizeof took) return 0;
  }
}

/* Some of each slice. */
static void find_keys(char *out, size_t room) {
  sqlite3_stmt *statement = NULL;
  size_t at = 0;
  sqlite3_prepare_v2(db, "SELECT id FROM cart WHERE id % 100 = 0", -1, &statement, NULL);
  while (sqlite3_step(statement) == SQLITE_ROW && at + 20 < room)
    at += (size_t)snprintf(out + at, room - at, "%lld ",
                           (long long)sqlite3_column_int64(statement, 0));
  sqlite3_finalize(statement);
}

static void measure_moves(void) {
  static char keys[4000];
  int failed = 0;
  size_t n = 0;
  static double took[4000000];
  const pid_t nodes[] = {start_node(1), start_node(2)};
  open_node(0);
  wait_for(2);
  number("SELECT sum(total) FROM carts WHERE id IN (SELECT id FROM cart)"); /* loaded */
  char sql[300];
  find_keys(keys, sizeof keys);
  snprintf(sql, sizeof sql, "%s/took", folder);
  const int took_fd = open(sql, O_RDWR | O_CREAT | O_APPEND, 0600);
  const pid_t loads[] = {start("read", took_fd, keys), start("write", took_fd, keys)};
  pause_ms(300);
  /* Each slice goes to the other node, and so on. */
  double each[MOVES];
  for (int i = 0; i < MOVES; i++) {
    const int slice = i % SLICES;
    snprintf(sql, sizeof sql,
             "SELECT 1 + (owner LIKE '%%/1.sock') FROM link_slices WHERE slice = %d", slice);
    const int to = (int)number(sql);
    snprintf(sql, sizeof sql, "SELECT link_move('carts', %d, 'unix:%s/%d.sock')", slice, folder,
             to);
    const double began = now();
    failed += number(sql) != 1;
    each[i] = now() - began;
  }
  for (int i = 0; i < 2; i++) stop_node(loads[i]);
  double one[2];
  lseek(took_fd, 0, SEEK_SET);
  double misses = 0;
  while (read(took_fd, one, sizeof one) == sizeof one && n < 4000000) {
    took[n++] = one[0];
    misses += one[1] == 0;
  }
  qsort(took, n, sizeof *took, table_by_value);
  qsort(each, MOVES, sizeof *each, table_by_value);
  printf(
      "\n%d planned moves of a slice of %d rows, under %zu reads and writes of two processes: %d "
      "moves and %.0f requests failed. A move took %.2f ms (median), %.2f ms (p99); requests "
      "%.3f ms (median), %.2f ms (p99.9), %.2f ms (longest).\n",
      MOVES, ROWS / SLICES, n, failed, misses, each[MOVES / 2], each[MOVES * 99 / 100], took[n / 2],
      took[n * 999 / 1000], took[n - 1]);
  close(took_fd);
  sqlite3_close(db);
  for (int i = 0; i < 2; i++) stop_node(nodes[i]);
}

/* ---- killed owners --------------------------------------------------------------------------- */

static void measure_kills(void) {
  double took[KILLS];
  const pid_t stays = start_node(1);
  open_node(0);
  wait_for(1);
  for (int i = 0; i < KILLS; i++) {
    int64_t keys[1];
    char sql[200];
    const pid_t dies = start_node(2);
    wait_for(2);
    number("SELECT sum(total) FROM carts WHERE id IN (SELECT id FROM cart)");
    snprintf(sql, sizeof sql,
             "SELECT id FROM cart WHERE link_owner('carts', id) = 'unix:%s/2.sock' LIMIT 1",
             folder);
    keys[0] = number(sql);
    snprintf(sql, sizeof sql, "SELECT total FROM carts WHERE id = %lld", (long long)keys[0]);
    number(sql);
    kill(dies, SIGKILL);
    const double began = now();
    number(sql);
    took[i] = now() - began;
    waitpid(dies, NULL, 0);
    wait_for(1);
  }
  qsort(took, KILLS, sizeof *took, table_by_value);
  printf(
      "\nAn owner was killed %d times: its rows were served again after %.1f ms (median), %.1f ms "
      "(longest).\n",
      KILLS, took[KILLS / 2], took[KILLS - 1]);
  sqlite3_close(db);
  stop_node(stays);
}

/* ---- nodes that join ------------------------------------------------------------------------- */

static void measure_joins(void) {
  pid_t nodes[MOST_NODES + 1];
  nodes[1] = start_node(1);
  open_node(0);
  wait_for(1);
  table_head(" nodes before | slices that moved | share of the keys | 1.3 / N ", 1);
  for (int n = 1; n < MOST_NODES; n++) {
    char sql[300];
    run("CREATE TEMP TABLE before AS SELECT slice, owner FROM link_slices");
    nodes[n + 1] = start_node(n + 1);
    wait_for(n + 1);
    pause_ms(100);
    snprintf(
        sql, sizeof sql,
        "SELECT count(*) FROM link_slices s JOIN before b USING (slice) WHERE s.owner <> b.owner");
    const int64_t moved = number(sql);
    printf("| %d | %lld of %d | %.3f | %.3f |\n", n, (long long)moved, SLICES,
           (double)moved / SLICES, 1.3 / n);
    run("DROP TABLE temp.before");
  }
  sqlite3_close(db);
  for (int n = 1; n <= MOST_NODES; n++) stop_node(nodes[n]);
}

int main(int argc, char **argv) {
  char sql[500];
  if (argc == 5) {
    folder = argv[2];
    if (strcmp(argv[1], "node")) return load(atoi(argv[3]), argv[4], !strcmp(argv[1], "write"));
    open_node(atoi(argv[3]));
    for (;;) pause();
  }
  if (!mkdtemp(made)) return 1;
  table_machine();
  snprintf(sql, sizeof sql, "%s/app.db", folder);
  if (sqlite3_open(sql, &db) != SQLITE_OK) return 1;
  snprintf(sql, sizeof sql,
           "PRAGMA journal_mode = WAL; CREATE TABLE cart(id INTEGER PRIMARY KEY, total REAL, items "
           "TEXT);"
           "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < %d) "
           "INSERT INTO cart SELECT i, i, printf('%%.100c', 'x') FROM i",
           ROWS);
  if (!run(sql)) return 1;
  sqlite3_close(db);
  measure_joins();
  measure_kills();
  measure_moves();
  snprintf(sql, sizeof sql, "rm -rf '%s'", folder);
  return system(sql) != 0;
}
