/*
** An owner that is cut off from etcd, and from nothing else: who asks him and the database still
** reach him. He refuses what he cannot be sure of before another one serves it; afterwards he is a
** member again, and has spoiled nothing. All that with wall clocks that jump, too, which neither
** end leases nor make them longer.
**
** Two nodes, A (by a relay) and B, read and raise counters all the time; this process, which owns
** nothing, asks whoever it is.
*/
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <assert.h>
#include <sqlite3.h>
#include <stdint.h>

#include "test/link/etcd.h"
#include "test/remote/jump.h"

enum { COUNTERS = 40, SLICES = 8, PHASES = 10, PATIENCE = 60000 };

typedef struct Served { /* CLOCK_MONOTONIC in ns; 0: never */
  atomic_llong last_begin, first_end;
} Served;

typedef struct Shared {
  atomic_int cut, phase, stop, alone;
  atomic_long raised[COUNTERS];
  atomic_long refused[2], own_refused[2], reads[2]; /* of those, what was its own to say */
  Served served[PHASES][2][COUNTERS];
} Shared;

static Shared *shared;
static char folder[] = "/tmp/tenfold-cut-XXXXXX";
static const char *who = "C";
static sqlite3 *db;
static int done;

static void fail(const char *what) {
  printf("Bail out! %s: %s: %s\n", who, what, db ? sqlite3_errmsg(db) : "");
  fflush(stdout);
  abort();
}

static void ok(const char *what) {
  printf("ok %d - %s\n", ++done, what);
  fflush(stdout);
}

static int64_t steady(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- SQL ------------------------------------------------------------------------------------- */

/* SQLITE_ROW or SQLITE_DONE; SQLITE_BUSY or SQLITE_IOERR: somebody was in the way. */
static int ask(const char *sql, int64_t *out, char *text, size_t room) {
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_step(statement);
  if (rc == SQLITE_ROW && out) *out = sqlite3_column_int64(statement, 0);
  const char *second =
      rc == SQLITE_ROW && text ? (const char *)sqlite3_column_text(statement, 1) : "";
  if (text) snprintf(text, room, " %s", second ? second : "");
  if (rc != SQLITE_ROW && rc != SQLITE_DONE && rc != SQLITE_BUSY && rc != SQLITE_IOERR) fail(sql);
  sqlite3_finalize(statement);
  return rc;
}

static int64_t number(const char *sql) {
  int64_t value = -1;
  return ask(sql, &value, NULL, 0) == SQLITE_ROW ? value : -1;
}

static void open_database(int port, const char *name, int deadline, int balance) {
  const char *build = getenv("TENFOLD_BUILD");
  char text[1000], me[100] = "";
  who = name;
  snprintf(text, sizeof text, "%s/app.db", folder);
  if (sqlite3_open(text, &db) != SQLITE_OK) fail(text);
  sqlite3_busy_timeout(db, 5000);
  sqlite3_enable_load_extension(db, 1);
  snprintf(text, sizeof text, "%s/link.so", build ? build : "build");
  if (sqlite3_load_extension(db, text, NULL, NULL) != SQLITE_OK) fail(text);
  if (strcmp(name, "C")) snprintf(me, sizeof me, "unix:%s/%s", folder, name);
  snprintf(text, sizeof text,
           "CREATE VIRTUAL TABLE temp.counters USING link(id INTEGER PRIMARY KEY, n INTEGER, "
           "load='SELECT id, n FROM counter WHERE id = ?', slices=%d, deadline=%d, balance=%d, "
           "coord='etcd:http://127.0.0.1:%d/cut?ttl=2', me='%s')",
           SLICES, deadline, balance, port, me);
  if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) fail(text);
}

/* ---- a node ---------------------------------------------------------------------------------- */

static bool is_mine(const char *owner) { return !strcmp(owner + strlen(owner) - 1, who); }

static void refuse(int number_of, int id) {
  char sql[200], owner[200] = " ";
  snprintf(sql, sizeof sql, "SELECT 0, link_owner('counters', %d)", id);
  ask(sql, NULL, owner, sizeof owner);
  if (is_mine(owner)) atomic_fetch_add(&shared->own_refused[number_of], 1);
  atomic_fetch_add(&shared->refused[number_of], 1);
}

static void read_one(int number_of, int id) {
  char sql[200], owner[200] = "";
  int64_t value;
  const int phase = atomic_load(&shared->phase);
  const long before = atomic_load(&shared->raised[id]);
  const int64_t began = steady();
  snprintf(sql, sizeof sql, "SELECT n, link_owner FROM counters WHERE id = %d", id);
  if (ask(sql, &value, owner, sizeof owner) != SQLITE_ROW) {
    refuse(number_of, id);
    return;
  }
  if (value < before) fail("a change that was committed is not seen");
  atomic_fetch_add(&shared->reads[number_of], 1);
  if (!is_mine(owner) || atomic_load(&shared->phase) != phase) return;
  Served *served = &shared->served[phase][number_of][id];
  atomic_store(&served->last_begin, began);
  if (!atomic_load(&served->first_end)) atomic_store(&served->first_end, steady());
}

static void raise_one(int id) {
  char sql[200];
  snprintf(sql, sizeof sql, "UPDATE counters SET n = n + 1 WHERE id = %d", id);
  if (ask(sql, NULL, NULL, 0) == SQLITE_DONE) atomic_fetch_add(&shared->raised[id], 1);
}

/* D is in A's place, and tells its load as often as that changes. */
static void be_node(int number_of, int port, bool tells) {
  while (tells && !atomic_load(&shared->alone)) pause_ms(10);
  open_database(port, number_of ? "B" : tells ? "D" : "A", 300, tells ? 100 : 0);
  srand((unsigned)number_of);
  while (!atomic_load(&shared->stop)) {
    const int id = rand() % COUNTERS;
    if (rand() % 4) {
      read_one(number_of, id);
    } else {
      raise_one(id);
    }
    if (rand() % 16 == 0) pause_ms(1);
  }
  if (sqlite3_close(db) != SQLITE_OK) fail("close");
}

static pid_t start_node(int number_of, int port, bool tells) {
  fflush(stdout);
  const pid_t child = fork();
  if (child) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  be_node(number_of, port, tells);
  _exit(0);
}

/* ---- what is asked of them ------------------------------------------------------------------- */

typedef bool Condition(void);

static void wait_until(Condition *is, const char *what) {
  for (int i = 0; i < PATIENCE / 10; i++) {
    if (is()) return;
    pause_ms(10);
  }
  fail(what);
}

static int slices_of(const char *name) {
  char sql[200];
  snprintf(sql, sizeof sql, "SELECT count(*) FROM link_slices WHERE owner = 'unix:%s/%s'", folder,
           name);
  return (int)number(sql);
}

static bool even(void) { return slices_of("A") == SLICES / 2 && slices_of("B") == SLICES / 2; }

static bool all_at_b(void) { return slices_of("B") == SLICES; }

static bool b_serves_all(void) {
  const int phase = atomic_load(&shared->phase);
  for (int id = 0; id < COUNTERS; id++)
    if (!atomic_load(&shared->served[phase][1][id].first_end)) return false;
  return true;
}

static long refused_before, reads_before[2];
static bool a_refuses(void) { return atomic_load(&shared->refused[0]) > refused_before; }
static bool both_read(void) {
  return atomic_load(&shared->reads[0]) > reads_before[0] + 10 * COUNTERS &&
         atomic_load(&shared->reads[1]) > reads_before[1] + 10 * COUNTERS;
}

static void wait_reads(const char *what) {
  for (int i = 0; i < 2; i++) reads_before[i] = atomic_load(&shared->reads[i]);
  wait_until(both_read, what);
}

/* Everybody reads what was committed: nothing is lost, nothing is double. */
static void check_counters(void) {
  for (int id = 0; id < COUNTERS; id++) {
    char sql[200];
    int64_t value = -1;
    snprintf(sql, sizeof sql, "SELECT n FROM counters WHERE id = %d", id);
    const long before = atomic_load(&shared->raised[id]);
    for (int i = 0; value < 0 && i < 100; i++) value = number(sql);
    if (value < before) fail("a change that was committed is not seen");
  }
}

/* Of each counter: A began to answer for the last time before B had done so for the first time. */
static void check_order(int phase) {
  int passed_on = 0;
  for (int id = 0; id < COUNTERS; id++) {
    const int64_t a = atomic_load(&shared->served[phase][0][id].last_begin);
    const int64_t b = atomic_load(&shared->served[phase][1][id].first_end);
    if (a && b && a > b) {
      printf("# counter %d: A %lld, B %lld\n", id, (long long)a, (long long)b);
      fail("two owners at a time");
    }
    passed_on += a && b;
  }
  if (!passed_on) fail("nothing has changed hands");
}

static void next_phase(void) {
  atomic_fetch_add(&shared->phase, 1);
  pause_ms(20);
}

static void cut_off(Cut how, int days) {
  wait_until(even, "the slices are not even");
  next_phase();
  const int phase = atomic_load(&shared->phase);
  wait_reads("nodes do not answer");
  atomic_store(&shared->cut, how);
  jump_by(days);
  wait_until(all_at_b, "nobody takes over what the one who was cut off had");
  wait_until(b_serves_all, "who has taken over does not serve");
  check_counters();
  refused_before = atomic_load(&shared->refused[0]);
  next_phase(); /* from here on A serves nothing: it is counted as refused, or asked of B */
  wait_until(a_refuses, "who was cut off refuses nothing");
  for (int id = 0; id < COUNTERS; id++)
    if (atomic_load(&shared->served[phase + 1][0][id].last_begin)) fail("two owners at a time");
  jump_by(0);
  atomic_store(&shared->cut, CUT_NOT);
  check_order(phase);
  wait_until(even, "who was cut off does not come back");
  next_phase();
  wait_reads("who was cut off does not answer any more");
  check_counters();
  static const char *const names[] = {[CUT_SILENT] = "etcd says nothing", [CUT_RESET] = "no etcd"};
  char text[200];
  snprintf(text, sizeof text, "an owner to whom %s%s: one owner at a time, and back again",
           names[how], days ? ", while clocks go back" : "");
  ok(text);
}

/* Leases do not end by it: nobody waits for anything, nothing changes hands. */
static bool calm_forward(void) {
  wait_until(even, "the slices are not even");
  const int64_t epochs = number("SELECT sum(epoch) FROM link_slices");
  const long refused = atomic_load(&shared->own_refused[0]);
  jump_by(1);
  pause_ms(2500);
  jump_by(0);
  return number("SELECT sum(epoch) FROM link_slices") == epochs &&
         atomic_load(&shared->own_refused[0]) == refused;
}

/* Where processes wait for a processor long, leases end in truth, but not each time. */
static void jump_forward(void) {
  for (int tries = 5; !calm_forward(); tries--)
    if (tries == 1) fail("an owner was not sure of his lease, or slices have changed hands");
  assert(atomic_load(&jump->boot) > 0); /* clocks are asked here */
  ok("clocks go forward by days: nothing changes hands");
}

static bool d_reads(void) {
  return atomic_load(&shared->reads[0]) > reads_before[0] + 10 * COUNTERS;
}

/* Nobody is there to take over: what he had is his again. */
static void cut_off_alone(void) {
  atomic_store(&shared->alone, 1);
  reads_before[0] = atomic_load(&shared->reads[0]);
  wait_until(d_reads, "one node alone does not answer");
  atomic_store(&shared->cut, CUT_SILENT);
  refused_before = atomic_load(&shared->refused[0]) + 5;
  wait_until(a_refuses, "who was cut off refuses nothing");
  atomic_store(&shared->cut, CUT_NOT);
  reads_before[0] = atomic_load(&shared->reads[0]);
  wait_until(d_reads, "who was cut off does not serve again");
  ok("an owner without others is cut off, and back again");
}

static void stop_nodes(const pid_t *nodes, int n) {
  atomic_store(&shared->stop, 1);
  for (int i = 0; i < n; i++) {
    int status;
    assert(waitpid(nodes[i], &status, 0) == nodes[i]);
    if (status) fail("a node has failed");
  }
  atomic_store(&shared->stop, 0);
}

static void check_end(void) {
  for (int id = 0; id < COUNTERS; id++) {
    char sql[200];
    snprintf(sql, sizeof sql, "SELECT n FROM counter WHERE id = %d", id);
    const int64_t value = number(sql);
    if (value != atomic_load(&shared->raised[id])) {
      printf("# counter %d is %lld, and was raised %ld times\n", id, (long long)value,
             atomic_load(&shared->raised[id]));
      fail("a change is lost or double");
    }
  }
  ok("nothing is lost, nothing double");
}

static void prepare(void) {
  if (!make_database(folder,
                     "CREATE TABLE counter(id INTEGER PRIMARY KEY, n INTEGER); "
                     "WITH RECURSIVE i(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i < 39) "
                     "INSERT INTO counter SELECT i, 0 FROM i"))
    fail("prepare");
}

int main(void) {
  char text[300];
  int relayed;
  if (!etcd_installed()) {
    puts("1..0 # SKIP etcd is not installed");
    return 77;
  }
  assert(mkdtemp(folder));
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert(shared != MAP_FAILED);
  jump_begin();
  prepare();
  const int client = etcd_free_port(), peer = etcd_free_port();
  snprintf(text, sizeof text, "%s/etcd", folder);
  const pid_t etcd = etcd_start(text, client, peer);
  const pid_t relay = relay_start(client, &shared->cut, &relayed);
  const pid_t nodes[] = {start_node(0, relayed, false), start_node(1, client, false),
                         start_node(0, relayed, true)};
  open_database(client, "C", 20000, 0);
  jump_forward();
  cut_off(CUT_SILENT, 0);
  cut_off(CUT_RESET, 0);
  cut_off(CUT_SILENT, -1);
  stop_nodes(nodes, 2);
  cut_off_alone();
  stop_nodes(nodes + 2, 1);
  check_end();
  if (sqlite3_close(db) != SQLITE_OK) fail("close");
  stop_process(relay);
  stop_process(etcd);
  snprintf(text, sizeof text, "rm -rf '%s'", folder);
  if (system(text) != 0) return 1;
  printf("1..%d\n", done);
  return 0;
}
