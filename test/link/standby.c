/*
** Copies of slices in far memory (standby=), with processes that are killed. For each way to write:
**
** - An owner fills a table, and is killed once its copies are whole. Who comes next has all rows,
**   as they were, without one load=.
** - Owners raise counters and are killed at any moment, each after the one before. Who comes next
**   looks at all of them. With write='through' he finds what plain SQLite finds, which is what was
**   committed; with 'back' and 'none' what was in the copies when the one before last saw that
**   nothing was behind, or later.
**
** Then what a memory may do: it is not there, wants another secret, is too small, is killed and
** comes back, with what it held or without; tables go on.
**
**   test-link-standby COUNT SEED     COUNT: kills of each sort, and steps of the oracle / 250
*/
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test/link/processes.h"

enum { COUNTERS = 300 };
#define HOLDS "load='SELECT id, n, t FROM counter WHERE id = ?'"

/* Of each counter: what was committed for sure, what was begun, and what is in the copy. */
typedef struct Shared {
  atomic_long done[COUNTERS], tried[COUNTERS], copied[COUNTERS];
  atomic_long commits, loaded, looked;
  atomic_int ready;
} Shared;

static Shared *shared;
static char folder[] = "/tmp/tenfold-standby-XXXXXX", memory[100];
static sqlite3 *db;
static const char *way, *program;
static int tests;

static void ok(const char *what, const char *of) { printf("ok %d - %s%s\n", ++tests, what, of); }

static void fail(const char *what) {
  printf("Bail out! write='%s': %s: %s\n", way, what, db ? sqlite3_errmsg(db) : "");
  fflush(stdout);
  abort();
}

/* ---- SQL ------------------------------------------------------------------------------------- */

/* Who takes slices over writes to the database as well: it may be busy. */
static bool run(const char *sql) {
  for (int tries = 0;; tries++) {
    const int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK) return true;
    if (rc != SQLITE_BUSY || tries == 100) fail(sql);
    pause_ms(20);
  }
}

static long number(const char *sql) {
  sqlite3_stmt *statement = NULL;
  for (int tries = 0;; tries++) {
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) fail(sql);
    const int rc = sqlite3_step(statement);
    const long value = rc == SQLITE_ROW ? (long)sqlite3_column_int64(statement, 0) : -1;
    if (rc == SQLITE_BUSY && tries < 100) {
      sqlite3_finalize(statement);
      continue;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) fail(sql);
    sqlite3_finalize(statement);
    return value;
  }
}

static long counted(const char *name) {
  char sql[200];
  snprintf(sql, sizeof sql, "SELECT value FROM link_stats WHERE name = '%s'", name);
  return number(sql);
}

static void wait_for(const char *sql, long wanted) {
  for (int i = 0; number(sql) != wanted; i++) {
    if (i == 5000) fail(sql);
    pause_ms(2);
  }
}

static bool loads(void) { return strcmp(way, "none") != 0; }

static void open_table(int me, const char *more) {
  const char *build = getenv("TENFOLD_BUILD");
  char text[1000];
  snprintf(text, sizeof text, "%s/%s.db", folder, way);
  if (sqlite3_open(text, &db) != SQLITE_OK) fail(text);
  sqlite3_busy_timeout(db, 5000);
  sqlite3_enable_load_extension(db, 1);
  snprintf(text, sizeof text, "%s/link.so", build ? build : "build");
  if (sqlite3_load_extension(db, text, NULL, NULL) != SQLITE_OK) fail(text);
  run("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; "
      "CREATE TABLE IF NOT EXISTS counter(id INTEGER PRIMARY KEY, n INTEGER, t TEXT)");
  snprintf(text, sizeof text,
           "CREATE VIRTUAL TABLE temp.counters USING link(id INTEGER PRIMARY KEY, n INTEGER, "
           "t TEXT, %s%swrite='%s', slices=16, coord='local:%s/%s-map.db', "
           "me='unix:%s/%s%d.sock', standby='%s'%s)",
           loads() ? HOLDS : "", loads() ? ", " : "", way, folder, way, folder, way, me, memory,
           more);
  run(text);
  wait_for("SELECT count(*) FROM link_slices WHERE here", 16);
}

static void close_table(void) {
  if (sqlite3_close(db) != SQLITE_OK) fail("close");
  db = NULL;
}

static void wait_until_copied(void) {
  wait_for("SELECT count(*) FROM link_slices WHERE standby", 16);
  wait_for("SELECT value FROM link_stats WHERE name = 'standby_behind'", 0);
}

static void fill(void) {
  char sql[300];
  snprintf(sql, sizeof sql,
           "WITH RECURSIVE i(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i < %d) "
           "INSERT INTO counters SELECT i, i, printf('%%.*c', i * i %% 2000, 'x') FROM i",
           COUNTERS - 1);
  run(sql);
}

/* ---- processes ------------------------------------------------------------------------------- */

static pid_t start(const char *what, int me) {
  char text[20];
  snprintf(text, sizeof text, "%d", me);
  atomic_store(&shared->ready, 0);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl(program, program, what, folder, memory, way, text, (char *)NULL);
    _exit(127);
  }
  return child;
}

static void stop(pid_t child, int signal_of) {
  int status;
  kill(child, signal_of);
  assert(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status) && WTERMSIG(status) == signal_of) return;
  printf("Bail out! a process ended with status %x\n", status);
  exit(1);
}

static void wait_until_ready(pid_t child) {
  int status;
  while (!atomic_load(&shared->ready)) {
    pause_ms(1);
    if (waitpid(child, &status, WNOHANG) == 0) continue;
    printf("Bail out! a process ended with status %x\n", status);
    exit(1);
  }
}

static void map_shared(void) {
  char path[200];
  snprintf(path, sizeof path, "%s/shared", folder);
  const int fd = open(path, O_RDWR | O_CREAT, 0600);
  assert(fd >= 0 && ftruncate(fd, sizeof *shared) == 0);
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  assert(shared != MAP_FAILED);
  close(fd);
}

/* ---- an owner that does not lose anything ---------------------------------------------------- */

static void be_filler(void) {
  fill();
  run("UPDATE counters SET n = n + 1000 WHERE id % 3 = 0; DELETE FROM counters WHERE id % 10 = 9");
  wait_until_copied();
  if (loads()) { /* somebody changes the table behind, and says so */
    number("SELECT count(*) FROM counters");
    run("UPDATE counter SET n = -1 WHERE id = 4; SELECT link_forget('counters', 4)");
  }
  atomic_store(&shared->ready, 1);
  for (;;) pause_ms(1000);
}

/* Against an ordinary table, made by the same statements. */
static void check_all(void) {
  run("CREATE TEMP TABLE wanted(id INTEGER PRIMARY KEY, n INTEGER, t TEXT)");
  run("WITH RECURSIVE i(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i < 299) "
      "INSERT INTO wanted SELECT i, i, printf('%.*c', i * i % 2000, 'x') FROM i; "
      "UPDATE wanted SET n = n + 1000 WHERE id % 3 = 0; DELETE FROM wanted WHERE id % 10 = 9");
  if (loads()) run("UPDATE wanted SET n = -1 WHERE id = 4");
  const long differ = number("SELECT count(*) FROM wanted w WHERE NOT EXISTS (SELECT 1 FROM "
                             "counters c WHERE c.id = w.id AND c.n IS w.n AND c.t IS w.t)");
  if (differ) fail("rows are not what they were");
  if (counted("loaded") != loads()) fail("rows of the copy were loaded");
  if (number("SELECT count(*) FROM counters WHERE link_owner = (SELECT address FROM link_nodes "
             "WHERE me)") != number("SELECT count(*) FROM wanted"))
    fail("there are rows that were not there");
  if (counted("standby_read") < COUNTERS / 2) fail("they were not read from the copy");
}

static void check_quiet(void) {
  const pid_t owner = start("filler", 1);
  wait_until_ready(owner);
  stop(owner, SIGKILL);
  open_table(2, "");
  check_all();
  run("UPDATE counters SET n = n + 1 WHERE id = 0"); /* it goes on from there */
  if (number("SELECT n FROM counters WHERE id = 0") != 1001) fail("a change of a copied row");
  wait_until_copied();
  close_table();
  /* Nobody has it open: what is in a database may be changed by others then. */
  open_table(3, "");
  if (number("SELECT n FROM counters WHERE id = 0") != 1001) fail("after a good end");
  if (counted("loaded") != loads()) fail("what was loaded after a good end");
  run("DELETE FROM counters");
  close_table();
  ok("an owner's rows without load=, write=", way);
}

/* ---- owners under load ----------------------------------------------------------------------- */

/* What is there now is what counts from now on. */
static void look_at_counters(void) {
  for (int id = 0; id < COUNTERS; id++) {
    char sql[100];
    snprintf(sql, sizeof sql, "SELECT n FROM counters WHERE id = %d", id);
    const long n = number(sql), done = atomic_load(&shared->done[id]);
    snprintf(sql, sizeof sql, "SELECT n FROM counter WHERE id = %d", id);
    const bool through = !strcmp(way, "through");
    const long least = through ? done : atomic_load(&shared->copied[id]);
    if (n < least || n > atomic_load(&shared->tried[id]) || (through && n != number(sql))) {
      printf("# counter %d: %ld, at least %ld, at most %ld\n", id, n, least,
             atomic_load(&shared->tried[id]));
      fail("a counter that cannot be");
    }
    atomic_store(&shared->done[id], n);
    atomic_store(&shared->copied[id], n);
  }
  atomic_fetch_add(&shared->looked, COUNTERS);
  atomic_fetch_add(&shared->loaded, counted("loaded"));
}

static void raise_some(void) {
  char sql[200];
  const int a = rand() % COUNTERS, b = (a + 1 + rand() % 20) % COUNTERS;
  snprintf(sql, sizeof sql, "UPDATE counters SET n = n + 1 WHERE id IN (%d, %d)", a, b);
  atomic_fetch_add(&shared->tried[a], 1);
  atomic_fetch_add(&shared->tried[b], 1);
  run(sql);
  atomic_fetch_add(&shared->done[a], 1);
  atomic_fetch_add(&shared->done[b], 1);
  atomic_fetch_add(&shared->commits, 1);
}

static void be_counter(int me) {
  srand((unsigned)me);
  if (me > 100) {
    look_at_counters();
  } else {
    fill();
    wait_until_copied();
  }
  atomic_store(&shared->ready, 1);
  for (int i = 0;; i++) {
    raise_some();
    if (i % 8 || counted("standby_behind")) continue;
    if (number("SELECT count(*) FROM link_slices WHERE standby") != 16) continue;
    for (int id = 0; id < COUNTERS; id++)
      atomic_store(&shared->copied[id], atomic_load(&shared->done[id]));
  }
}

static void check_killed(int kills, int seed) {
  srand((unsigned)seed);
  for (int id = 0; id < COUNTERS; id++) {
    atomic_store(&shared->done[id], id);
    atomic_store(&shared->tried[id], id);
    atomic_store(&shared->copied[id], id);
  }
  atomic_store(&shared->loaded, 0);
  atomic_store(&shared->looked, 0);
  for (int i = 0; i <= kills; i++) {
    const pid_t owner = start("counter", 100 + i);
    wait_until_ready(owner);
    pause_ms(20 + rand() % 100);
    stop(owner, SIGKILL);
  }
  const long looked = atomic_load(&shared->looked), loaded = atomic_load(&shared->loaded);
  printf("# write='%s': of %ld rows looked at, %ld were loaded\n", way, looked, loaded);
  if (loaded >= looked) fail("copies are of no use");
  ok("owners are killed at work, write=", way);
}

/* ---- memories -------------------------------------------------------------------------------- */

static pid_t serve(const char *file, const char *size, const char *secret) {
  const char *build = getenv("TENFOLD_BUILD");
  char server[300];
  snprintf(server, sizeof server, "%s/farmemd", build ? build : "build");
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl(server, server, "--listen", memory, "--persist", file, "--size", size, "--quiet",
          secret ? "--secret-file" : (char *)NULL, secret, (char *)NULL);
    _exit(127);
  }
  struct stat there;
  for (int i = 0; i < 10000 && stat(memory + strlen("unix:"), &there); i++) pause_ms(1);
  return child;
}

static void write_secret(const char *path, const char *secret) {
  FILE *file = fopen(path, "w");
  assert(file && fputs(secret, file) >= 0 && fclose(file) == 0);
}

/* Works as it should without any copy, and says why there is none. */
static void check_without(const char *more, const char *why) {
  char sql[300];
  open_table(4, more);
  run("DELETE FROM counters");
  fill();
  if (!strcmp(why, "full")) run("UPDATE counters SET t = printf('%.*c', 20000, 'x')");
  snprintf(sql, sizeof sql,
           "SELECT coalesce(text LIKE '%%%s%%', 0) FROM link_stats WHERE name = 'standby'", why);
  wait_for(sql, 1);
  run("UPDATE counters SET n = n + 1");
  if (number("SELECT sum(n) FROM counters") != COUNTERS * (COUNTERS + 1) / 2) fail("a sum");
  wait_for("SELECT sum(standby) < 16 FROM link_slices", 1);
  close_table();
}

static void check_memories(void) {
  char file[200], secret[200], wrong[200], more[300];
  snprintf(file, sizeof file, "%s/memory", folder);
  snprintf(secret, sizeof secret, "%s/secret", folder);
  snprintf(wrong, sizeof wrong, "%s/wrong", folder);
  snprintf(more, sizeof more, ", standby_secret_file='%s'", wrong);
  snprintf(memory, sizeof memory, "unix:%s/far.sock", folder);
  write_secret(secret, "a secret\n");
  write_secret(wrong, "another secret\n");
  check_without("", "far.sock");
  pid_t server = serve(file, "8M", secret);
  check_without(more, "secret");
  check_without("", "secret");
  stop(server, SIGKILL);
  unlink(file);
  unlink(memory + strlen("unix:"));
  server = serve(file, "4M", NULL);
  check_without("", "full");
  stop(server, SIGKILL);
  unlink(file);
  unlink(memory + strlen("unix:"));
  ok("memories that are not there, not ours, or full, write=", way);
}

/* In the middle of a table's life: with what it held, and without. */
static void check_restarts(void) {
  char file[200];
  snprintf(file, sizeof file, "%s/memory", folder);
  pid_t server = serve(file, "64M", NULL);
  open_table(5, "");
  run("DELETE FROM counters");
  fill();
  for (int i = 0; i < 2; i++) {
    wait_until_copied();
    const long failures = counted("standby_failures");
    stop(server, SIGKILL);
    unlink(memory + strlen("unix:"));
    for (int j = 0; j < 20; j++) run("UPDATE counters SET n = n + 1 WHERE id < 40");
    wait_for("SELECT sum(standby) FROM link_slices", 0);
    if (i) unlink(file);
    server = serve(file, "64M", NULL);
    wait_until_copied();
    if (counted("standby_failures") == failures) fail("nothing was noticed");
  }
  if (number("SELECT text IS NULL FROM link_stats WHERE name = 'standby'") != 1)
    fail("it has come back");
  close_table();
  stop(server, SIGKILL);
  unlink(file);
  unlink(memory + strlen("unix:"));
  ok("a memory that is killed and comes back, write=", way);
}

/* The oracle of one owner at a time, while the memory is killed again and again. */
static void check_oracle(int count, int seed) {
  char file[200], texts[2][20], path[1000];
  snprintf(file, sizeof file, "%s/memory", folder);
  snprintf(path, sizeof path, "%s", program);
  char *name = strstr(path, "test-link-standby");
  assert(name);
  strcpy(name, "test-link-oracle");
  snprintf(texts[0], sizeof texts[0], "%d", count);
  snprintf(texts[1], sizeof texts[1], "%d", seed);
  setenv("LINK_STANDBY", memory, 1);
  pid_t server = serve(file, "64M", NULL);
  const pid_t oracle = fork();
  int status = 0;
  if (oracle == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!freopen("/dev/null", "w", stdin)) _exit(126);
    execl(path, path, texts[0], texts[1], (char *)NULL);
    _exit(127);
  }
  for (int i = 1; waitpid(oracle, &status, WNOHANG) == 0; i++) {
    pause_ms(10);
    if (i % 70) continue;
    stop(server, SIGKILL);
    unlink(memory + strlen("unix:"));
    if (i % 140) unlink(file);
    server = serve(file, "64M", NULL);
  }
  stop(server, SIGKILL);
  if (!WIFEXITED(status) || WEXITSTATUS(status)) fail("the oracle");
  ok("one owner at a time, with copies", "");
}

/* ---- all of it ------------------------------------------------------------------------------- */

int main(int argc, char **argv) {
  static const char *const ways[] = {"through", "back", "none"};
  char command[200];
  setvbuf(stdout, NULL, _IOLBF, 0);
  program = argv[0];
  if (argc == 6) {
    snprintf(folder, sizeof folder, "%s", argv[2]);
    snprintf(memory, sizeof memory, "%s", argv[3]);
    way = argv[4];
    map_shared();
    open_table(atoi(argv[5]), "");
    if (strcmp(argv[1], "filler")) be_counter(atoi(argv[5]));
    be_filler();
  }
  const int count = argc > 1 ? atoi(argv[1]) : 4, seed = argc > 2 ? atoi(argv[2]) : 1;
  assert(mkdtemp(folder));
  map_shared();
  snprintf(memory, sizeof memory, "file:%s/shared-memory", folder);
  for (int i = 0; i < 3; i++) {
    way = ways[i];
    check_quiet();
    check_killed(count, seed);
  }
  snprintf(memory, sizeof memory, "unix:%s/far.sock", folder);
  for (int i = 0; i < 3; i++) {
    way = ways[i];
    if (i == 0) check_memories();
    if (i != 1) check_restarts();
  }
  check_oracle(count * 250, seed);
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  if (system(command) != 0) return 1;
  printf("1..%d\n", tests);
  return 0;
}
