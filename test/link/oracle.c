/*
** Several processes that share a table, against one ordinary one: counters that only go up. Each
** change of a counter is made together with a row in an ordinary table, in one transaction, or by
** an operation that is counted in shared memory. Slices are moved and processes are killed all the
** time.
**
** - Nothing is lost, nothing is double: in the end each counter is what the rows say.
** - There is one owner: what was committed before a query began is seen by it, wherever it is
** asked.
**
**   oracle COUNT SEED     and by itself: oracle worker FOLDER NUMBER SEED COUNT
**
** $LINK_COORD is another coordinator (etcd.c runs it so), $LINK_COORD_0 the first worker's,
** $LINK_STOP how many ms a process is stopped for now and then, $LINK_STANDBY a far memory for
** copies of slices (standby.c runs it so); with $LINK_MEMORY rows have to go out of memory at once:
** by itself it runs a second time like that.
*/
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test/link/processes.h"

enum { WORKERS = 3, COUNTERS = 60, SLICES = 16, MANY_SLICES = 1024 };

/* Of each counter: it was at least so much at a time, and there were so many tries to raise it. */
typedef struct Shared {
  atomic_long least[COUNTERS], tries[COUNTERS], called[COUNTERS], maybe_called[COUNTERS];
  atomic_long done, reads, moves, refused;
  atomic_int stop;
} Shared;

static Shared *shared;
static const char *folder;
static int me;
static sqlite3 *db;
static int slices = SLICES;

static void fail(const char *what) {
  printf("Bail out! worker %d: %s: %s\n", me, what, db ? sqlite3_errmsg(db) : "");
  fflush(stdout);
  abort();
}

/* True: done. False: somebody was in the way, which is to be expected. */
static bool run(const char *sql) {
  const int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
  if (rc == SQLITE_OK) return true;
  if (rc != SQLITE_BUSY && rc != SQLITE_IOERR) fail(sql);
  atomic_fetch_add(&shared->refused, 1);
  if (!sqlite3_get_autocommit(db)) sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
  return false;
}

/* The first value; -1: somebody was in the way. */
static int64_t number(const char *sql) {
  sqlite3_stmt *statement = NULL;
  int64_t value = -1;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
    if (sqlite3_errcode(db) != SQLITE_BUSY) fail(sql);
    return -1;
  }
  const int rc = sqlite3_step(statement);
  if (rc == SQLITE_ROW) value = sqlite3_column_int64(statement, 0);
  if (rc == SQLITE_DONE) fail("a row that is not there");
  if (rc != SQLITE_ROW && rc != SQLITE_BUSY && rc != SQLITE_IOERR) fail(sql);
  sqlite3_finalize(statement);
  return value;
}

static void map_shared(const char *path) {
  const int fd = open(path, O_RDWR | O_CREAT, 0600);
  assert(fd >= 0 && ftruncate(fd, sizeof *shared) == 0);
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  assert(shared != MAP_FAILED);
  close(fd);
}

static void open_database(void) {
  const char *build = getenv("TENFOLD_BUILD"), *given = getenv("LINK_COORD");
  if (me == 0 && getenv("LINK_COORD_0")) given = getenv("LINK_COORD_0");
  const char *standby = getenv("LINK_STANDBY"), *little = getenv("LINK_MEMORY");
  char text[2000], coord[300], copies[300] = "";
  snprintf(text, sizeof text, "%s/app.db", folder);
  if (sqlite3_open(text, &db) != SQLITE_OK) fail(text);
  sqlite3_busy_timeout(db, 2000);
  sqlite3_enable_load_extension(db, 1);
  snprintf(text, sizeof text, "%s/link.so", build ? build : "build");
  if (sqlite3_load_extension(db, text, NULL, NULL) != SQLITE_OK) fail(text);
  snprintf(coord, sizeof coord, "local:%s/map.db", folder);
  if (little) slices = MANY_SLICES; /* the share of each is less than a row */
  if (standby) snprintf(copies, sizeof copies, ", standby='%s'", standby);
  snprintf(text, sizeof text,
           "CREATE VIRTUAL TABLE temp.counters USING link(id INTEGER PRIMARY KEY, n INTEGER, "
           "load='SELECT id, n FROM counter WHERE id = ?', op_add='n = n + ?1', slices=%d, "
           "coord='%s', me='unix:%s/%d.sock', deadline=10000%s%s)",
           slices, given ? given : coord, folder, me, copies, little ? ", memory='64k'" : "");
  /* The coordinator may be the one that is away now. */
  for (int tries = 0; sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK; tries++) {
    if (tries == 200) fail(text);
    pause_ms(50);
  }
}

static void raise_to(atomic_long *at, long value) {
  long now = atomic_load(at);
  while (now < value && !atomic_compare_exchange_weak(at, &now, value)) {
  }
}

/* ---- what a worker does ---------------------------------------------------------------------- */

static void check_read(int id) {
  char sql[200];
  const long before = atomic_load(&shared->least[id]);
  if (rand() % 4) {
    snprintf(sql, sizeof sql, "SELECT n FROM counters WHERE id = %d", id);
  } else {
    snprintf(sql, sizeof sql,
             "SELECT n FROM counters WHERE id IN (%d, %d, %d) ORDER BY id = %d DESC LIMIT 1", id,
             rand() % COUNTERS, rand() % COUNTERS, id);
  }
  const int64_t value = number(sql);
  if (value < 0) return;
  atomic_fetch_add(&shared->reads, 1);
  if (value < before || value > atomic_load(&shared->tries[id])) {
    printf("# %s: %lld, it was %ld before, and there were %ld tries\n", sql, (long long)value,
           before, atomic_load(&shared->tries[id]));
    fail("a read that cannot be");
  }
}

static void change(int seq) {
  char sql[500];
  const int a = rand() % COUNTERS, b = rand() % COUNTERS;
  atomic_fetch_add(&shared->tries[a], 1);
  if (b != a) atomic_fetch_add(&shared->tries[b], 1);
  if (!run(rand() % 2 ? "BEGIN" : "BEGIN IMMEDIATE")) return;
  if (rand() % 3 == 0 && !run("SAVEPOINT s; UPDATE counters SET n = n + 9 WHERE id < 5; "
                              "DELETE FROM counters WHERE id = 7; ROLLBACK TO s"))
    return;
  snprintf(sql, sizeof sql,
           "UPDATE counters SET n = n + 1 WHERE id IN (%d, %d);"
           "INSERT INTO log SELECT %d, %d, id FROM counter WHERE id IN (%d, %d)",
           a, b, me, seq, a, b);
  if (!run(sql)) return;
  snprintf(sql, sizeof sql, "SELECT n FROM counters WHERE id = %d", a);
  const int64_t value = number(sql);
  if (value < 0) {
    run("ROLLBACK");
  } else if (run("COMMIT")) {
    raise_to(&shared->least[a], (long)value);
  }
}

static void call(void) {
  char sql[200];
  const int id = rand() % COUNTERS;
  atomic_fetch_add(&shared->tries[id], 1);
  atomic_fetch_add(&shared->maybe_called[id], 1);
  snprintf(sql, sizeof sql, "SELECT link_call('counters', %d, 'add', 1)", id);
  const int64_t now = number(sql);
  if (now < 0) return;
  atomic_fetch_add(&shared->called[id], 1);
  raise_to(&shared->least[id], (long)now);
}

static void move(void) {
  char sql[400];
  snprintf(sql, sizeof sql, "SELECT link_move('counters', %d, 'unix:%s/%d.sock')", rand() % slices,
           folder, rand() % WORKERS);
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK) atomic_fetch_add(&shared->moves, 1);
}

static int work(unsigned seed, long count) {
  srand(seed);
  for (int seq = 0; !atomic_load(&shared->stop) && atomic_load(&shared->done) < count; seq++) {
    const int what = rand() % 20;
    if (what < 12) {
      check_read(rand() % COUNTERS);
    } else if (what < 17) {
      change(seq);
    } else if (what < 19) {
      call();
    } else {
      move();
    }
    atomic_fetch_add(&shared->done, 1);
  }
  if (sqlite3_close(db) != SQLITE_OK) fail("close");
  return 0;
}

/* ---- who watches them ------------------------------------------------------------------------ */

static pid_t start(const char *program, int number_of, unsigned seed, long count) {
  char texts[3][32];
  snprintf(texts[0], sizeof texts[0], "%d", number_of);
  snprintf(texts[1], sizeof texts[1], "%u", seed);
  snprintf(texts[2], sizeof texts[2], "%ld", count);
  const pid_t child = fork();
  if (child == 0) {
    execl(program, program, "worker", folder, texts[0], texts[1], texts[2], (char *)NULL);
    _exit(127);
  }
  return child;
}

static bool prepare(void) {
  char path[300];
  snprintf(path, sizeof path, "%s/app.db", folder);
  if (sqlite3_open(path, &db) != SQLITE_OK) return false;
  const int rc = sqlite3_exec(
      db,
      "PRAGMA journal_mode = WAL; CREATE TABLE counter(id INTEGER PRIMARY KEY, n INTEGER);"
      "CREATE TABLE log(worker, seq, id);"
      "WITH RECURSIVE i(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i < 59) "
      "INSERT INTO counter SELECT i, 0 FROM i",
      NULL, NULL, NULL);
  sqlite3_close(db);
  db = NULL;
  return rc == SQLITE_OK;
}

static void check_end(void) {
  me = WORKERS;
  open_database();
  for (int id = 0; id < COUNTERS; id++) {
    char sql[200];
    int64_t linked = -1;
    snprintf(sql, sizeof sql, "SELECT n FROM counters WHERE id = %d", id);
    for (int i = 0; linked < 0 && i < 100; i++) linked = number(sql);
    snprintf(sql, sizeof sql, "SELECT n FROM counter WHERE id = %d", id);
    const int64_t stored = number(sql);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM log WHERE id = %d", id);
    const int64_t logged = number(sql);
    const int64_t calls = stored - logged;
    if (linked != stored || calls < atomic_load(&shared->called[id]) ||
        calls > atomic_load(&shared->maybe_called[id])) {
      printf("# counter %d: %lld, in the table %lld, of which %lld logged and %ld to %ld called\n",
             id, (long long)linked, (long long)stored, (long long)logged,
             atomic_load(&shared->called[id]), atomic_load(&shared->maybe_called[id]));
      fail("a change is lost or double");
    }
  }
  if (sqlite3_close(db) != SQLITE_OK) fail("close");
}

int main(int argc, char **argv) {
  static char made[] = "/tmp/tenfold-link-XXXXXX";
  char path[300];
  pid_t workers[WORKERS];
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc == 6 && !strcmp(argv[1], "worker")) {
    folder = argv[2];
    me = atoi(argv[3]);
    snprintf(path, sizeof path, "%s/shared", folder);
    map_shared(path);
    open_database();
    return work((unsigned)atoi(argv[4]), atol(argv[5]));
  }
  const long count = argc > 1 ? atol(argv[1]) : 3000;
  const int stop_ms = getenv("LINK_STOP") ? atoi(getenv("LINK_STOP")) : 150;
  unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
  assert((folder = mkdtemp(made)) && prepare());
  snprintf(path, sizeof path, "%s/shared", folder);
  map_shared(path);
  srand(seed);
  for (int i = 0; i < WORKERS; i++) workers[i] = start(argv[0], i, ++seed, count);
  int kills = 0, running = WORKERS;
  while (running) {
    pause_ms(20);
    for (int i = 0; i < WORKERS; i++) {
      int status;
      if (!workers[i] || waitpid(workers[i], &status, WNOHANG) != workers[i]) continue;
      workers[i] = 0;
      running--;
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
      if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        workers[i] = start(argv[0], i, ++seed, count);
        running++;
        continue;
      }
      printf("not ok 1 - worker %d ended with status %x (seed %s)\n", i, status,
             argc > 2 ? argv[2] : "1");
      atomic_store(&shared->stop, 1);
      return 1;
    }
    if (rand() % 40 || atomic_load(&shared->done) >= count) continue;
    const int i = rand() % WORKERS;
    if (!workers[i]) continue;
    if (rand() % 3) {
      kills += kill(workers[i], SIGKILL) == 0;
    } else {
      kill(workers[i], SIGSTOP);
      pause_ms(stop_ms);
      kill(workers[i], SIGCONT);
    }
  }
  check_end();
  printf("# %ld reads, %ld moves, %ld refused, %d killed\n", atomic_load(&shared->reads),
         atomic_load(&shared->moves), atomic_load(&shared->refused), kills);
  snprintf(path, sizeof path, "rm -rf '%s'", folder);
  if (system(path) != 0) return 1;
  if (!getenv("LINK_COORD") && !getenv("LINK_STANDBY") && !getenv("LINK_MEMORY")) {
    char less[32];
    snprintf(less, sizeof less, "%ld", count / 6 + 1);
    setenv("LINK_MEMORY", "1", 1);
    execl(argv[0], argv[0], less, argc > 2 ? argv[2] : "1", (char *)NULL);
    fail("exec");
  }
  puts("1..1\nok 1 - nothing lost, nothing double, one owner at a time");
  return 0;
}
