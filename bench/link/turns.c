/*
** Slices that change hands: planned moves under load, owners that are killed, nodes that join. What
** is wanted of each is printed beside it.
*/
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdint.h>
#include <sys/mman.h>

#include "bench/table.h"
#include "remote/owners/table.h"
#include "test/link/etcd.h"

enum { ROWS = 20000, SLICES = 64, MOVES = 600, KILLS = 15, MOST_NODES = 5, SOME = 8, TTL = 2 };

/* A request of those that are made during moves. */
typedef struct Request {
  double began, took; /* ms */
  bool writes, failed;
} Request;

static char made[] = "/tmp/tenfold-bench-turns-XXXXXX";
static const char *folder = made;
static sqlite3 *db;
static atomic_int *moving; /* the slice of which rows are asked for */

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
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
  const char *build = getenv("TENFOLD_BUILD"), *coord = getenv("BENCH_COORD");
  char text[1000], local[200], address[200] = "";
  snprintf(text, sizeof text, "%s/app.db", folder);
  if (sqlite3_open(text, &db) != SQLITE_OK) exit(1);
  sqlite3_busy_timeout(db, 5000);
  if (!run("PRAGMA synchronous = NORMAL")) exit(1); /* the disk is not what is measured */
  sqlite3_enable_load_extension(db, 1);
  snprintf(text, sizeof text, "%s/link.so", build ? build : "build");
  if (sqlite3_load_extension(db, text, NULL, NULL) != SQLITE_OK) exit(1);
  snprintf(local, sizeof local, "local:%s/map.db", folder);
  if (me) snprintf(address, sizeof address, "unix:%s/%d.sock", folder, me);
  snprintf(
      text, sizeof text,
      "CREATE VIRTUAL TABLE temp.carts USING link(id INTEGER PRIMARY KEY, total REAL, items TEXT, "
      "load='SELECT id, total, items FROM cart WHERE id = ?', slices=%d, deadline=5000, "
      "balance=0, coord='%s', me='%s')",
      SLICES, coord ? coord : local, address);
  if (!run(text)) exit(1);
}

/* This program again, as another process: a node, or one that reads or writes, and tells by a file
** how long that took. */
static pid_t start(const char *what, int number_of) {
  char text[16];
  snprintf(text, sizeof text, "%d", number_of);
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "turns", what, folder, text, (char *)NULL);
    _exit(127);
  }
  return child;
}

static pid_t start_node(int me) { return start("node", me); }

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

/* Which slice it is about is told in a file that is mapped. */
static void map_moving(void) {
  char path[200];
  snprintf(path, sizeof path, "%s/moving", folder);
  const int fd = open(path, O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, sizeof *moving)) exit(1);
  moving = mmap(NULL, sizeof *moving, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (moving == MAP_FAILED) exit(1);
  close(fd);
}

static int slice_of(int64_t id) {
  const OwnTable table = {.nslices = SLICES};
  return own_slice_of(&table, own_key_number(id).hash);
}

/* Reads or writes some rows of the slice all the time. */
static int load(int fd, bool writes) {
  static int64_t keys[SLICES][SOME];
  int have[SLICES] = {0};
  open_node(0);
  map_moving();
  for (int64_t id = 1; id <= ROWS; id++) {
    const int slice = slice_of(id);
    if (have[slice] < SOME) keys[slice][have[slice]++] = id;
  }
  for (int i = 0;; i = (i + 1) % SOME) {
    char sql[200];
    snprintf(sql, sizeof sql,
             writes ? "UPDATE carts SET total = total + 1 WHERE id = %lld"
                    : "SELECT total FROM carts WHERE id = %lld",
             (long long)keys[atomic_load(moving)][i]);
    Request it = {.began = now(), .writes = writes};
    it.failed = !run(sql);
    it.took = now() - it.began;
    if (write(fd, &it, sizeof it) != sizeof it) return 0;
  }
}

static Request *read_requests(int fd, size_t *out_n) {
  const off_t size = lseek(fd, 0, SEEK_END);
  Request *all = malloc((size_t)size + 1);
  if (!all || pread(fd, all, (size_t)size, 0) != size) exit(1);
  *out_n = (size_t)size / sizeof *all;
  return all;
}

typedef struct Moves {
  double from[MOVES], took[MOVES];
  int failed;
} Moves;

/* The longest request that was made meanwhile. */
static double longest_in(const Request *all, size_t n, bool writes, double from, double to) {
  double longest = 0;
  for (size_t i = 0; i < n; i++) {
    const bool meanwhile = all[i].began < to && all[i].began + all[i].took > from;
    if (meanwhile && all[i].writes == writes && all[i].took > longest) longest = all[i].took;
  }
  return longest;
}

/* Each slice goes to the other node, and so on. */
static void move_all(Moves *out) {
  char sql[300];
  for (int i = 0; i < MOVES; i++) {
    const int slice = i % SLICES;
    atomic_store(moving, slice);
    snprintf(sql, sizeof sql,
             "SELECT 1 + (owner LIKE '%%/1.sock') FROM link_slices WHERE slice = %d", slice);
    const int to = (int)number(sql);
    pause_ms(5);
    snprintf(sql, sizeof sql, "SELECT link_move('carts', %d, 'unix:%s/%d.sock')", slice, folder,
             to);
    out->from[i] = now();
    out->failed += number(sql) != 1;
    out->took[i] = now() - out->from[i];
  }
}

/* During moves, and for as long before each, when nothing moved. */
static void print_pauses(const Moves *moves, const Request *all, size_t n, bool writes) {
  double during[MOVES], before[MOVES];
  for (int i = 0; i < MOVES; i++) {
    const double from = moves->from[i], took = moves->took[i];
    during[i] = longest_in(all, n, writes, from, from + took);
    before[i] = longest_in(all, n, writes, from - 4, from - 4 + (took < 3 ? took : 3));
  }
  qsort(during, MOVES, sizeof *during, table_by_value);
  qsort(before, MOVES, sizeof *before, table_by_value);
  const char *what = writes ? "write" : "read";
  printf("| longest %s during a move, median (and without a move) | %.2f ms (%.2f ms) | |\n", what,
         during[MOVES / 2], before[MOVES / 2]);
  printf("| longest %s during a move, p99 (and without a move) | %.2f ms (%.2f ms) | <= 50 ms |\n",
         what, during[MOVES * 99 / 100], before[MOVES * 99 / 100]);
}

static void measure_moves(void) {
  static Moves moves;
  int misses = 0;
  size_t n;
  char path[300];
  const pid_t nodes[] = {start_node(1), start_node(2)};
  open_node(0);
  map_moving();
  wait_for(2);
  number("SELECT sum(total) FROM carts WHERE id IN (SELECT id FROM cart)"); /* loaded */
  snprintf(path, sizeof path, "%s/took", folder);
  const int fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
  const pid_t loads[] = {start("read", fd), start("write", fd)};
  pause_ms(500);
  move_all(&moves);
  pause_ms(100);
  for (int i = 0; i < 2; i++) stop_process(loads[i]);
  Request *all = read_requests(fd, &n);
  for (size_t i = 0; i < n; i++) misses += all[i].failed;
  printf("\nA slice of %d rows is moved %d times, while two processes read and write rows of it "
         "(%zu requests).\n",
         ROWS / SLICES, MOVES, n);
  table_head(" L4: planned moves | here | wanted ", 1);
  printf("| moves that failed | %d | 0 |\n| requests that failed | %d | 0 |\n", moves.failed,
         misses);
  print_pauses(&moves, all, n, false);
  print_pauses(&moves, all, n, true);
  qsort(moves.took, MOVES, sizeof *moves.took, table_by_value);
  printf("| a move, median and p99 | %.2f ms, %.2f ms | |\n", moves.took[MOVES / 2],
         moves.took[MOVES * 99 / 100]);
  free(all);
  close(fd);
  sqlite3_close(db);
  for (int i = 0; i < 2; i++) stop_process(nodes[i]);
}

/* ---- killed owners --------------------------------------------------------------------------- */

static void measure_kills(const char *what, int kills, double wanted) {
  double took[KILLS];
  const pid_t stays = start_node(1);
  open_node(0);
  wait_for(1);
  for (int i = 0; i < kills; i++) {
    char sql[200];
    const pid_t dies = start_node(2);
    wait_for(2);
    number("SELECT sum(total) FROM carts WHERE id IN (SELECT id FROM cart)");
    snprintf(sql, sizeof sql,
             "SELECT id FROM cart WHERE link_owner('carts', id) = 'unix:%s/2.sock' LIMIT 1",
             folder);
    const int64_t key = number(sql);
    snprintf(sql, sizeof sql, "SELECT total FROM carts WHERE id = %lld", (long long)key);
    number(sql);
    kill(dies, SIGKILL);
    const double began = now();
    number(sql);
    took[i] = now() - began;
    waitpid(dies, NULL, 0);
    wait_for(1);
  }
  qsort(took, (size_t)kills, sizeof *took, table_by_value);
  printf("| %s | %d | %.1f ms | %.1f ms | <= %.0f ms |\n", what, kills, took[kills / 2],
         took[kills - 1], wanted);
  sqlite3_close(db);
  stop_process(stays);
}

static void measure_all_kills(void) {
  char path[300], coord[100];
  table_head(" L5: an owner is killed | times | rows served again, median | longest | wanted ", 1);
  measure_kills("local", KILLS, 50);
  if (!etcd_installed()) {
    printf("| etcd | not installed | | | |\n");
    return;
  }
  const int client = etcd_free_port(), peer = etcd_free_port();
  snprintf(path, sizeof path, "%s/etcd", folder);
  fflush(stdout);
  const pid_t etcd = etcd_start(path, client, peer);
  snprintf(coord, sizeof coord, "etcd:http://127.0.0.1:%d/bench?ttl=%d", client, TTL);
  setenv("BENCH_COORD", coord, 1);
  measure_kills("etcd, a lease of 2 s", KILLS / 3, TTL * 1000 + 500);
  unsetenv("BENCH_COORD");
  stop_process(etcd);
}

/* ---- nodes that join ------------------------------------------------------------------------- */

static void measure_joins(void) {
  pid_t nodes[MOST_NODES + 1];
  nodes[1] = start_node(1);
  open_node(0);
  wait_for(1);
  table_head(" L6: a node joins N | slices that moved | share of the keys | wanted ", 1);
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
    printf("| %d | %lld of %d | %.3f | <= %.3f |\n", n, (long long)moved, SLICES,
           (double)moved / SLICES, 1.3 / n);
    run("DROP TABLE temp.before");
  }
  sqlite3_close(db);
  for (int n = 1; n <= MOST_NODES; n++) stop_process(nodes[n]);
}

int main(int argc, char **argv) {
  char sql[500];
  if (argc == 4) {
    folder = argv[2];
    if (strcmp(argv[1], "node")) return load(atoi(argv[3]), !strcmp(argv[1], "write"));
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
  measure_all_kills();
  measure_moves();
  snprintf(sql, sizeof sql, "rm -rf '%s'", folder);
  return system(sql) != 0;
}
