/*
** What is to be seen of verbs: where there is a card (a guest with rdma_rxe, started by guest.py).
**
**   guest-verbs check HOST:PORT PID SECRET   a server at verbs: and tcp:; it is stopped and killed
**   guest-verbs watch HOST:PORT SECRET       reads until the server is gone
**   guest-verbs work|echo|die|doze HOST:PORT AT SECRET   its own children
*/
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "remote/alloc.h"
#include "remote/map_watch.h"
#include "remote/memory.h"
#include "remote/rdma.h"
#include "remote/verbs.h"
#include "remote/word.h"

enum { MILLISECOND = 1000000 };

static const char *secret;
static char verbs_at[100], tcp_at[100];
static Fault fault;

static void ok(const char *what) {
  printf("ok - %s\n", what);
  fflush(stdout);
}

static void must_at(bool yes, int line) {
  if (yes) return;
  printf("not ok - line %d: %s\n", line, fault.text);
  fflush(stdout);
  exit(1);
}
#define must(yes) must_at((yes), __LINE__)

static void pause_ms(int ms) {
  const struct timespec time = {ms / 1000, (long)(ms % 1000) * MILLISECOND};
  nanosleep(&time, NULL);
}

static FarMemory *open_at(const char *at) {
  const FarOptions options = {.secret = secret};
  FarMemory *memory = far_open(at, &options, &fault);
  must(memory != NULL);
  return memory;
}

static bool read_some(FarMemory *memory, FarPointer at, void *to, uint32_t length, Fault *out) {
  FarOp op = far_read_op(at, to, length);
  return far_round(memory, &op, 1, NULL, out);
}

/* ---- how fast -------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b) {
  const double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

/* Microseconds of a read, in the middle of many. */
static double median_read(FarMemory *memory, uint32_t length) {
  enum { READS = 200 };
  static unsigned char local[32768];
  double us[READS];
  for (int i = 0; i < READS; i++) {
    const int64_t before = clock_now();
    must(read_some(memory, far_here(memory, 0), local, length, &fault));
    us[i] = (double)(clock_now() - before) / 1000;
  }
  qsort(us, READS, sizeof *us, by_value);
  return us[READS / 2];
}

static void measure(void) {
  enum { ROUNDS = 7 };
  static const uint32_t lengths[] = {8, 4096, 32768};
  FarMemory *by_card = open_at(verbs_at), *by_server = open_at(tcp_at);
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    double card[ROUNDS], server[ROUNDS];
    for (int j = 0; j < ROUNDS; j++) {
      card[j] = median_read(by_card, lengths[i]);
      server[j] = median_read(by_server, lengths[i]);
    }
    qsort(card, ROUNDS, sizeof *card, by_value);
    qsort(server, ROUNDS, sizeof *server, by_value);
    const double verbs = card[ROUNDS / 2], tcp = server[ROUNDS / 2];
    printf("# read of %u bytes: verbs %.1f us, tcp %.1f us, ratio %.2f\n", (unsigned)lengths[i],
           verbs, tcp, verbs / tcp);
  }
  far_close(by_card);
  far_close(by_server);
  ok("reads by verbs and by tcp, measured");
}

/* ---- keys and bounds ------------------------------------------------------------------------- */

/* Reads that the card at the other end must refuse; afterwards there is another connection. */
static void refused(FarMemory *memory, const char *what) {
  Fault told = {0};
  uint64_t word;
  must(!read_some(memory, far_here(memory, 0), &word, 8, &told));
  if (told.code != FAULT_IO || !strstr(told.text, "remote access error")) fault = told;
  must(strstr(told.text, "remote access error"));
  must(far_revive(memory, NULL, &fault) &&
       read_some(memory, far_here(memory, 0), &word, 8, &fault));
  printf("# %s: %s\n", what, told.text);
}

static void bounds(void) {
  FarMemory *memory = open_at(verbs_at);
  Fault told = {0};
  uint64_t word;
  memory->nic->key ^= 0x100;
  refused(memory, "a wrong key");
  memory->nic->base += memory->head.size;
  refused(memory, "behind the end");
  memory->nic->base -= 8;
  refused(memory, "before the beginning");
  must(!read_some(memory, far_here(memory, memory->head.size - 4), &word, 8, &told));
  must(told.code == FAULT_INVALID && memory->fd >= 0);
  Nic *other = verbs_connect(verbs_at, 12345, clock_now() + 1000 * (int64_t)MILLISECOND, NULL, NULL,
                             NULL, &told);
  must(!other);
  far_close(memory);
  ok("wrong keys, offsets and tokens are refused, and the connection can be made anew");
}

static void missing(void) {
  Fault told = {0};
  Rdma ignored;
  must(!rdma_load_from("librdmacm.so.0", "libibverbs.so.1", &ignored, &told));
  must(told.code == FAULT_UNSUPPORTED && strstr(told.text, "librdmacm.so.0"));
}

/* ---- words ----------------------------------------------------------------------------------- */

enum { ADDS = 300, LOCKS = 60, WORKERS = 4 };

/* This program once more: what another process opened before fork() no child may use. */
static pid_t start(const char *role, const char *at) {
  const pid_t child = fork();
  if (child) return child;
  execl("/proc/self/exe", "guest-verbs", role, strchr(at, ':') + 1, at, secret, (char *)NULL);
  _exit(127);
}

static FarPointer word_named(FarMemory *memory, const char *name) {
  FarPointer word;
  must(far_word_open(memory, name, &word, NULL, &fault));
  return word;
}

/* Adds to a word, and, as the only one at a time, to one that is only read and written. */
static void work(const char *at) {
  FarMemory *memory = open_at(at);
  const FarPointer count = word_named(memory, "count"), mutex = word_named(memory, "mutex"),
                   plain = word_named(memory, "plain");
  FarLocked locked;
  int64_t now;
  for (int i = 0; i < ADDS; i++) must(far_word_add(memory, count, 1, &now, NULL, &fault));
  for (int i = 0; i < LOCKS; i++) {
    uint64_t word;
    must(far_mutex_lock(memory, mutex, 20000 * (int64_t)MILLISECOND, &locked, NULL, &fault));
    must(locked == FAR_LOCKED);
    must(read_some(memory, plain, &word, 8, &fault));
    word++;
    FarOp op = far_write_op(plain, &word, 8);
    must(far_round(memory, &op, 1, NULL, &fault));
    must(far_mutex_unlock(memory, mutex, NULL, &fault));
  }
  far_close(memory);
}

/* Some by verbs, some by tcp: what the server does for the latter must not get in the way. */
static void words(void) {
  FarMemory *memory = open_at(verbs_at);
  const FarPointer count = word_named(memory, "count"), plain = word_named(memory, "plain");
  pid_t workers[WORKERS];
  for (int i = 0; i < WORKERS; i++) workers[i] = start("work", i % 2 ? tcp_at : verbs_at);
  for (int i = 0; i < WORKERS; i++) {
    int status;
    must(waitpid(workers[i], &status, 0) == workers[i] && status == 0);
  }
  uint64_t added, locked;
  must(read_some(memory, count, &added, 8, &fault) && read_some(memory, plain, &locked, 8, &fault));
  if (added != WORKERS * ADDS || locked != WORKERS * LOCKS)
    fault_set(&fault, FAULT_INTERNAL, "%d added, %d locked", (int)added, (int)locked);
  must(added == WORKERS * ADDS && locked == WORKERS * LOCKS);
  far_close(memory);
  ok("words that clients by verbs and by tcp change at once");
}

/* ---- notices --------------------------------------------------------------------------------- */

enum { TURNS = 30 };

static const FarShape row = {FAR_KEY_INTEGER, 8, FAR_STAMP + 8 + 8, 16};

static FarMap *open_rows(FarMemory *memory) {
  FarMap *map;
  must(far_map_open(memory, "rows", &row, 1, true, &map, NULL, &fault));
  return map;
}

static void watch_word(FarMemory *memory, FarPointer word) {
  const FarWatch what = {.kind = FAR_CHANGED, .at = word, .length = 8};
  uint64_t id;
  must(far_watch_word(memory, &what, 0, &id, &fault)); /* what was said before is told as well */
}

static FarNotice await(FarMemory *memory) {
  FarNotice notice;
  size_t n;
  must(far_notices(memory, 20000 * (int64_t)MILLISECOND, &notice, 1, &n, NULL, &fault));
  if (!n) fault_set(&fault, FAULT_INTERNAL, "no notice came");
  must(n == 1);
  return notice;
}

/* Whenever it is told that the word has changed, puts that number into a row. */
static void echo(void) {
  FarMemory *memory = open_at(verbs_at);
  FarMap *map = open_rows(memory);
  const FarSeen any = {.stamp = FAR_ANY};
  const int64_t key = 7;
  watch_word(memory, word_named(memory, "said"));
  for (uint64_t last = 0; last < TURNS;) {
    last = await(memory).word;
    FarTxn *txn = far_txn_begin(memory, &fault);
    must(far_txn_put(txn, map, &key, &last, &any, &fault) && far_txn_commit(txn, NULL, &fault));
    far_txn_end(txn);
  }
  far_map_close(map);
  far_close(memory);
}

/* One says a number, by verbs, and waits for the row that the other one puts, by verbs, when he has
** been told. Neither asks. */
static void notices(void) {
  FarMemory *memory = open_at(verbs_at);
  const FarPointer said = word_named(memory, "said");
  FarMap *map = open_rows(memory);
  FarMapWatch watch;
  const int64_t key = 7;
  int status;
  must(far_map_watch(map, &key, &watch, NULL, &fault));
  const pid_t child = start("echo", verbs_at);
  const int64_t before = clock_now();
  for (uint64_t i = 1; i <= TURNS; i++) {
    FarOp op = far_write_op(said, &i, 8);
    must(far_round(memory, &op, 1, NULL, &fault));
    for (uint64_t there = 0; there != i;) {
      const FarNotice notice = await(memory);
      FarMapEvent event;
      FarFound found;
      must(far_map_noticed(&watch, &notice, &event, NULL, &fault));
      if (event == FAR_MAP_SAME) continue;
      must(event == (i == 1 ? FAR_MAP_INSERTED : FAR_MAP_UPDATED));
      must(far_map_find(map, &key, 1, &found, NULL, &fault) && found.element);
      memcpy(&there, found.element + FAR_STAMP + 8, sizeof there);
    }
  }
  printf("# %d changes told there and back, %.1f ms each\n", TURNS,
         (double)(clock_now() - before) / MILLISECOND / TURNS);
  must(waitpid(child, &status, 0) == child && status == 0);
  far_map_unwatch(&watch);
  far_map_close(map);
  far_close(memory);
  ok("what one client by verbs changes another one is told");
}

/* ---- clients that go ------------------------------------------------------------------------- */

static void die(void) {
  FarMemory *memory = open_at(verbs_at);
  const FarPointer mutex = word_named(memory, "mortal");
  FarLocked locked;
  FarPointer block; /* taken, and never used */
  must(far_alloc(memory, 100, FAR_USE_BYTES, &block, NULL, &fault));
  must(far_mutex_lock(memory, mutex, 0, &locked, NULL, &fault) && locked == FAR_LOCKED);
  raise(SIGKILL);
}

static void death(void) {
  FarMemory *memory = open_at(verbs_at);
  const FarPointer mutex = word_named(memory, "mortal");
  FarLocked locked;
  int status;
  const pid_t child = start("die", verbs_at);
  must(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
  must(far_mutex_lock(memory, mutex, 2000 * (int64_t)MILLISECOND, &locked, NULL, &fault));
  must(locked == FAR_LOCKED_RECOVERED && far_mutex_unlock(memory, mutex, NULL, &fault));
  far_close(memory);
  ok("a client dies with a mutex, and another one gets it");
}

/* What a child inherits it may not use, and closing it does the parent no harm. */
static void forked(void) {
  FarMemory *memory = open_at(verbs_at);
  uint64_t word;
  int status;
  const pid_t child = fork();
  if (child == 0) {
    Fault told = {0}, again = {0};
    const FarOptions options = {.secret = secret};
    must(!read_some(memory, far_here(memory, 0), &word, 8, &told) && told.code == FAULT_DENIED);
    far_close(memory);
    memory = far_open(verbs_at, &options, &again);
    printf("# a child opens it again: %s\n", memory ? "yes" : again.text);
    fflush(stdout);
    far_close(memory);
    _exit(0);
  }
  must(waitpid(child, &status, 0) == child && status == 0);
  must(read_some(memory, far_here(memory, 0), &word, 8, &fault));
  far_close(memory);
  ok("a child of fork() does no harm");
}

/* A client whom the server took for dead writes on: nothing of it may come. */
static void fenced(void) {
  FarMemory *memory = open_at(verbs_at), *late = open_at(verbs_at);
  const FarPointer word = word_named(memory, "fenced");
  uint64_t value = 7, seen;
  Fault told = {0};
  FarOp op = far_write_op(word, &value, 8);
  must(far_round(late, &op, 1, NULL, &fault));
  shutdown(late->fd, SHUT_RDWR);
  bool alive = true;
  for (int i = 0; alive && i < 500; i++) {
    must(memory->transport->bury(memory, late->client, &alive, &fault));
    pause_ms(2);
  }
  must(!alive);
  value = 8;
  must(!far_round(late, &op, 1, NULL, &told) && told.code == FAULT_IO);
  must(read_some(memory, word, &seen, 8, &fault) && seen == 7);
  must(far_revive(late, NULL, &fault) && far_round(late, &op, 1, NULL, &fault));
  must(read_some(memory, word, &seen, 8, &fault) && seen == 8);
  printf("# late: %s\n", told.text);
  far_close(late);
  far_close(memory);
  ok("a client that was buried cannot write any more");
}

/* Stopped while it holds a mutex, longer than its lease; then it writes what it was about to. */
static void doze(void) {
  FarMemory *memory = open_at(verbs_at);
  const FarPointer mutex = word_named(memory, "dozed"), word = word_named(memory, "guarded");
  const uint64_t late = 99;
  FarLocked locked;
  FarOp op = far_write_op(word, &late, 8);
  must(far_mutex_lock(memory, mutex, 0, &locked, NULL, &fault) && locked == FAR_LOCKED);
  raise(SIGSTOP);
  must(!far_round(memory, &op, 1, NULL, &fault));
}

static void dozed(void) {
  FarMemory *memory = open_at(verbs_at);
  const FarPointer mutex = word_named(memory, "dozed"), word = word_named(memory, "guarded");
  FarLocked locked;
  uint64_t value = 5;
  FarOp op = far_write_op(word, &value, 8);
  int status;
  const pid_t child = start("doze", verbs_at);
  must(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
  const int64_t before = clock_now();
  must(far_mutex_lock(memory, mutex, 30000 * (int64_t)MILLISECOND, &locked, NULL, &fault));
  printf("# the mutex of a stopped client after %d ms\n",
         (int)((clock_now() - before) / MILLISECOND));
  must(locked == FAR_LOCKED_RECOVERED && far_round(memory, &op, 1, NULL, &fault));
  must(kill(child, SIGCONT) == 0 && waitpid(child, &status, 0) == child && status == 0);
  must(read_some(memory, word, &value, 8, &fault) && value == 5);
  must(far_mutex_unlock(memory, mutex, NULL, &fault));
  far_close(memory);
  ok("a client that was stopped for longer than its lease writes nothing more");
}

/* ---- servers that do not answer -------------------------------------------------------------- */

static void stopped(pid_t server) {
  FarMemory *memory = open_at(verbs_at);
  const FarPointer word = word_named(memory, "stopped");
  uint64_t value;
  must(kill(server, SIGSTOP) == 0);
  for (uint64_t i = 0; i < 200; i++) {
    FarOp ops[] = {far_write_op(word, &i, 8),
                   {.code = FAR_CAS, .at = word, .expected = i, .value = i + 1},
                   {.code = FAR_ADD, .at = word, .value = 1},
                   far_read_op(word, &value, 8)};
    must(far_round(memory, ops, 4, NULL, &fault));
    must(ops[1].status == FAR_DONE && ops[2].old == i + 1 && value == i + 2);
  }
  must(kill(server, SIGCONT) == 0);
  far_close(memory);
  ok("200 rounds while the server's process is stopped");
}

/* Reads until that fails. */
static void until_gone(FarMemory *memory) {
  uint64_t word;
  Fault told = {0};
  for (;;) {
    const int64_t before = clock_now();
    if (!read_some(memory, far_here(memory, 0), &word, 8, &told)) {
      const int64_t took = clock_now() - before;
      printf("# an error after %d ms: %s\n", (int)(took / MILLISECOND), told.text);
      fault = told;
      must(told.code == FAULT_IO && took < 1000 * (int64_t)MILLISECOND);
      return;
    }
    pause_ms(2);
  }
}

static void killed(pid_t server) {
  FarMemory *memory = open_at(verbs_at);
  must(kill(server, SIGKILL) == 0);
  until_gone(memory);
  far_close(memory);
  ok("the server's process is killed: an error within a second");
}

static void watch(void) {
  const FarOptions options = {.secret = secret};
  FarMemory *memory = NULL;
  const int64_t until = clock_now() + 60000 * (int64_t)MILLISECOND;
  while (!memory && clock_now() < until) { /* it is starting */
    fault_clear(&fault);
    memory = far_open(verbs_at, &options, &fault);
    if (!memory) pause_ms(100);
  }
  must(memory != NULL);
  uint64_t word;
  must(read_some(memory, far_here(memory, 0), &word, 8, &fault));
  printf("# read over the wire: verbs %.1f us\n", median_read(memory, 8));
  printf("watching\n");
  fflush(stdout);
  until_gone(memory);
  far_close(memory);
  ok("the server's machine is cut off: an error within a second");
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  snprintf(verbs_at, sizeof verbs_at, "verbs:%s", argv[2]);
  snprintf(tcp_at, sizeof tcp_at, "tcp:%s", argv[2]);
  secret = argv[argc - 1];
  if (!strcmp(argv[1], "watch")) {
    watch();
    return 0;
  }
  if (!strcmp(argv[1], "work")) {
    work(argv[3]);
    return 0;
  }
  if (!strcmp(argv[1], "echo")) {
    echo();
    return 0;
  }
  if (!strcmp(argv[1], "die")) die();
  if (!strcmp(argv[1], "doze")) {
    doze();
    return 0;
  }
  const pid_t server = atoi(argv[3]);
  missing();
  measure();
  bounds();
  words();
  notices();
  death();
  forked();
  fenced();
  dozed();
  stopped(server);
  killed(server);
  return 0;
}
