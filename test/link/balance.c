/*
** Three processes, of which one owns nearly all that is asked for: slices move until each has its
** share, few of them, and then none any more. What is even is told by how often each slice is asked
** for, which the processes do not know.
*/
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <assert.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "remote/owners/table.h"
#include "test/link/processes.h"

enum { NODES = 3, SLICES = 32, PERIOD = 300, LOADS = 2, PATIENCE = 90000 };

typedef struct Shared {
  atomic_int stop, begin;
  atomic_long asked, failed;
  int64_t keys[SLICES]; /* one of each slice */
  double shares[SLICES];
} Shared;

static Shared *shared;
static char folder[] = "/tmp/tenfold-balance-XXXXXX";
static sqlite3 *db;

static void fail(const char *what) {
  printf("Bail out! %s: %s\n", what, db ? sqlite3_errmsg(db) : "");
  fflush(stdout);
  abort();
}

static void open_database(int me) {
  const char *build = getenv("TENFOLD_BUILD");
  char text[1000], address[200] = "";
  snprintf(text, sizeof text, "%s/app.db", folder);
  if (sqlite3_open(text, &db) != SQLITE_OK) fail(text);
  sqlite3_busy_timeout(db, 5000);
  sqlite3_enable_load_extension(db, 1);
  snprintf(text, sizeof text, "%s/link.so", build ? build : "build");
  if (sqlite3_load_extension(db, text, NULL, NULL) != SQLITE_OK) fail(text);
  if (me) snprintf(address, sizeof address, "unix:%s/%d", folder, me);
  snprintf(text, sizeof text,
           "CREATE VIRTUAL TABLE temp.rows USING link(id INTEGER PRIMARY KEY, n INTEGER, "
           "load='SELECT id, n FROM row WHERE id = ?', slices=%d, balance=%d, deadline=5000, "
           "coord='local:%s/map.db', me='%s')",
           SLICES, PERIOD, folder, address);
  if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) fail(text);
}

static pid_t start(void (*what)(int), int number) {
  const pid_t child = fork();
  if (child) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  what(number);
  if (sqlite3_close(db) != SQLITE_OK) fail("close");
  _exit(0);
}

static void be_node(int me) {
  open_database(me);
  while (!atomic_load(&shared->stop)) pause_ms(20);
}

static void be_load(int number) {
  sqlite3_stmt *get = NULL;
  while (!atomic_load(&shared->begin)) pause_ms(5);
  open_database(0);
  srand((unsigned)number);
  sqlite3_prepare_v2(db, "SELECT n FROM rows WHERE id = ?", -1, &get, NULL);
  while (!atomic_load(&shared->stop)) {
    double at = rand() / (RAND_MAX + 1.);
    int slice = 0;
    while (slice < SLICES - 1 && at >= shared->shares[slice]) at -= shared->shares[slice++];
    sqlite3_bind_int64(get, 1, shared->keys[slice]);
    const bool ok =
        sqlite3_step(get) == SQLITE_ROW && sqlite3_column_int64(get, 0) == 2 * shared->keys[slice];
    sqlite3_reset(get);
    atomic_fetch_add(ok ? &shared->asked : &shared->failed, 1);
  }
  sqlite3_finalize(get);
}

/* ---- who has what ---------------------------------------------------------------------------- */

typedef struct Owners {
  int of[SLICES]; /* 1 to NODES; 0: nobody */
  int64_t epochs[SLICES];
} Owners;

static void look(Owners *out) {
  sqlite3_stmt *list = NULL;
  *out = (Owners){0};
  sqlite3_prepare_v2(db, "SELECT slice, substr(owner, -1), epoch FROM link_slices", -1, &list,
                     NULL);
  while (sqlite3_step(list) == SQLITE_ROW) {
    const int slice = sqlite3_column_int(list, 0);
    out->of[slice] = sqlite3_column_int(list, 1);
    out->epochs[slice] = sqlite3_column_int64(list, 2);
  }
  sqlite3_finalize(list);
}

static int slices_of(const Owners *owners, int node) {
  int n = 0;
  for (int i = 0; i < SLICES; i++) n += owners->of[i] == node;
  return n;
}

/* What the busiest one has to do, in parts of what each would have. */
static double busiest(const Owners *owners) {
  double most = 0;
  for (int node = 0; node <= NODES; node++) {
    double sum = 0;
    for (int i = 0; i < SLICES; i++)
      if (owners->of[i] == node) sum += shared->shares[i];
    if (sum > most) most = sum;
  }
  return most * NODES;
}

static int moved(const Owners *a, const Owners *b) {
  int n = 0;
  for (int i = 0; i < SLICES; i++) n += a->epochs[i] != b->epochs[i];
  return n;
}

static void wait_shares(Owners *out) {
  for (int i = 0; i < PATIENCE / 10; i++, pause_ms(10)) {
    int least = SLICES;
    look(out);
    for (int node = 1; node <= NODES; node++) {
      const int n = slices_of(out, node);
      if (n < least) least = n;
    }
    if (least == SLICES / NODES) return;
  }
  fail("slices are not shared out");
}

/* Zipf's law over the slices, those of the first node in front. */
static void set_shares(const Owners *owners) {
  const OwnTable table = {.nslices = SLICES};
  double sum = 0;
  int rank = 0;
  for (int64_t id = 1; id <= 2000; id++)
    shared->keys[own_slice_of(&table, own_key_number(id).hash)] = id;
  for (int node = 1; node <= NODES; node++) {
    for (int i = 0; i < SLICES; i++)
      if (owners->of[i] == node) sum += shared->shares[i] = 1. / (2 + rank++);
  }
  for (int i = 0; i < SLICES; i++) shared->shares[i] /= sum;
}

/* Whoever has the database locked: a planned move needs it not, and rows in memory are read. */
static void move_without_database(void) {
  sqlite3 *locker = NULL;
  char sql[300];
  snprintf(sql, sizeof sql, "%s/app.db", folder);
  if (sqlite3_open(sql, &locker) != SQLITE_OK ||
      sqlite3_exec(db, "SELECT sum(n) FROM rows WHERE id IN (SELECT id FROM row)", NULL, NULL,
                   NULL) != SQLITE_OK ||
      sqlite3_exec(locker, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
    fail("lock");
  for (int i = 0; i < 40 * SLICES; i++) {
    snprintf(sql, sizeof sql,
             "SELECT link_move('rows', %d, 'unix:%s/%d'); SELECT n FROM rows WHERE id = %lld",
             i % SLICES, folder, 1 + i % NODES, (long long)shared->keys[i % SLICES]);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail(sql);
  }
  sqlite3_close(locker);
}

static void prepare(void) {
  if (!make_database(
          folder, "CREATE TABLE row(id INTEGER PRIMARY KEY, n INTEGER);"
                  "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 2000) "
                  "INSERT INTO row SELECT i, 2 * i FROM i"))
    fail("prepare");
}

int main(void) {
  pid_t children[NODES + LOADS];
  Owners first, now, later;
  char text[200];
  setvbuf(stdout, NULL, _IOLBF, 0);
  assert(mkdtemp(folder));
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert(shared != MAP_FAILED);
  prepare();
  for (int i = 0; i < NODES; i++) children[i] = start(be_node, i + 1);
  for (int i = 0; i < LOADS; i++) children[NODES + i] = start(be_load, i);
  open_database(0);
  wait_shares(&first);
  set_shares(&first);
  const double before = busiest(&first);
  assert(before > 1.6);
  atomic_store(&shared->begin, 1);
  double at = before;
  for (int i = 0; i < PATIENCE / 20 && at > 1.4; i++) {
    pause_ms(20);
    look(&now);
    at = busiest(&now);
  }
  printf("# the busiest had %.2f times its share, and has %.2f; %d slices moved for it\n", before,
         at, moved(&first, &now));
  if (at > 1.4) fail("the load is not even");
  if (moved(&first, &now) > SLICES / 2) fail("too many slices have moved");
  pause_ms(3 * PERIOD); /* what is on its way */
  look(&now);
  int uneven = 0;
  for (int i = 0; i < 10; i++) {
    pause_ms(PERIOD);
    look(&later);
    uneven += busiest(&later) > 1.5;
  }
  printf("# %d slices moved in the ten periods after that\n", moved(&now, &later));
  if (uneven > 5) fail("it does not stay even");
  move_without_database();
  atomic_store(&shared->stop, 1);
  for (int i = 0; i < NODES + LOADS; i++) {
    int status;
    assert(waitpid(children[i], &status, 0) == children[i] && status == 0);
  }
  printf("# %ld requests\n", atomic_load(&shared->asked));
  if (atomic_load(&shared->failed)) fail("requests have failed");
  if (sqlite3_close(db) != SQLITE_OK) fail("close");
  snprintf(text, sizeof text, "rm -rf '%s'", folder);
  if (system(text) != 0) return 1;
  puts("1..1\nok 1 - a load becomes even, and stays so");
  return 0;
}
