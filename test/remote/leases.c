/*
** Clients that are stopped, that say nothing, or do not listen: after a lease what they held is
** free, and what they say afterwards is not heard. Who lives keeps what he has.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>

#include "remote/address.h"
#include "remote/map.h"
#include "remote/memory.h"
#include "remote/txn.h"
#include "remote/wire.h"
#include "remote/word.h"
#include "test/remote/serving.h"

enum { LEASE = 1000, ROWS = 50 };

static const FarShape shape = {.kind = FAR_KEY_INTEGER, .key = 8, .stride = 24, .slots = 8};
static const int64_t long_wait = INT64_C(60000000000);

static FarMap *map_of(FarMemory *memory) {
  FarMap *map;
  must(far_map_open(memory, "m", &shape, 1, true, &map, NULL, &fault));
  return map;
}

static FarPointer word_of(FarMemory *memory, const char *name) {
  FarPointer word;
  must(far_word_open(memory, name, &word, NULL, &fault));
  return word;
}

static void put_all(FarTxn *txn, FarMap *map, int64_t value) {
  const FarSeen any = {.stamp = FAR_ANY};
  for (int64_t i = 0; i < ROWS; i++) must(far_txn_put(txn, map, &i, &value, &any, &fault));
}

static int64_t get(FarMap *map, int64_t key) {
  FarFound found;
  int64_t value = -1;
  must(far_map_find(map, &key, 1, &found, NULL, &fault));
  if (found.element) memcpy(&value, found.element + 16, 8);
  return value;
}

static void wait_stopped(pid_t child) {
  int status;
  assert(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
}

/* It goes on, finds what it says refused, and ends. */
static void wake_up(pid_t child) {
  int status;
  kill(child, SIGCONT);
  assert(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- stopped --------------------------------------------------------------------------------- */

static void stopped_with_mutex(void) {
  FarMemory *memory = open_it(at);
  const FarPointer mutex = word_of(memory, "mutex"), word = word_of(memory, "guarded");
  FarLocked locked;
  int64_t value;
  const pid_t child = fork();
  if (child == 0) {
    FarMemory *mine = open_it(at);
    Fault told = {0};
    must(far_mutex_lock(mine, mutex, 0, &locked, NULL, &fault) && locked == FAR_LOCKED);
    must(far_word_add(mine, word, 1, &value, NULL, &fault));
    raise(SIGSTOP);
    assert(!far_word_add(mine, word, 1000, &value, NULL, &told) && told.code == FAULT_IO);
    must(far_revive(mine, NULL, &fault)); /* as another client, which holds nothing */
    told = (Fault){0};
    assert(!far_mutex_unlock(mine, mutex, NULL, &told) && told.code == FAULT_DENIED);
    far_close(mine);
    _exit(0);
  }
  wait_stopped(child);
  must(far_mutex_lock(memory, mutex, long_wait, &locked, NULL, &fault));
  assert(locked == FAR_LOCKED_RECOVERED);
  wake_up(child);
  must(far_word_add(memory, word, 0, &value, NULL, &fault));
  assert(value == 1);
  must(far_mutex_unlock(memory, mutex, NULL, &fault));
  far_close(memory);
  ok("a client is stopped with a mutex: another one gets it, and the late write is refused");
}

static void stopped_in_transaction(bool prepared) {
  FarMemory *memory = open_it(at);
  FarMap *map = map_of(memory);
  FarTxn *txn = far_txn_begin(memory, &fault);
  put_all(txn, map, 1);
  must(far_txn_commit(txn, NULL, &fault));
  far_txn_end(txn);
  const pid_t child = fork();
  if (child == 0) {
    static const unsigned char mark[FAR_MARK];
    FarMemory *mine = open_it(at);
    FarMap *its = map_of(mine);
    FarTxn *late = far_txn_begin(mine, &fault);
    Fault told = {0};
    put_all(late, its, 2);
    if (prepared) must(far_txn_prepare(late, mark, NULL, &fault));
    raise(SIGSTOP);
    assert(!(prepared ? far_txn_finish(late, true, &told) : far_txn_commit(late, NULL, &told)));
    assert(told.code == FAULT_IO);
    far_txn_end(late);
    far_map_close(its);
    far_close(mine);
    _exit(0);
  }
  wait_stopped(child);
  txn = far_txn_begin(memory, &fault);
  put_all(txn, map, 3);
  must(far_txn_commit(txn, NULL, &fault)); /* waits for the locks of a prepared one */
  far_txn_end(txn);
  if (!prepared) pause_ms(3 * LEASE);
  wake_up(child);
  for (int64_t i = 0; i < ROWS; i++) assert(get(map, i) == 3);
  far_map_close(map);
  far_close(memory);
  ok(prepared ? "a client is stopped with a prepared transaction"
              : "a client is stopped before it commits");
}

/* ---- living ---------------------------------------------------------------------------------- */

static void idle_keeps(void) {
  FarMemory *holder = open_it(at), *other = open_it(at);
  const FarPointer mutex = word_of(holder, "idle");
  FarLocked locked;
  must(far_mutex_lock(holder, mutex, 0, &locked, NULL, &fault) && locked == FAR_LOCKED);
  must(far_mutex_lock(other, mutex, 3 * LEASE * INT64_C(1000000), &locked, NULL, &fault));
  assert(locked == FAR_NOT_LOCKED);
  must(far_mutex_unlock(holder, mutex, NULL, &fault));
  far_close(holder);
  far_close(other);
  ok("a client that says nothing, but lives, keeps its mutex");
}

/* Silence was the server's own fault. */
static void server_stopped(pid_t server) {
  FarMemory *memory = open_it(at);
  const FarPointer mutex = word_of(memory, "frozen");
  FarLocked locked;
  must(far_mutex_lock(memory, mutex, 0, &locked, NULL, &fault) && locked == FAR_LOCKED);
  kill(server, SIGSTOP);
  pause_ms(2 * LEASE);
  kill(server, SIGCONT);
  must(far_mutex_unlock(memory, mutex, NULL, &fault));
  far_close(memory);
  ok("a server that was stopped gives up nobody for it");
}

/* A parent that dies is dead, although a child of it lives on, and has connections of its own. */
static void forked(void) {
  FarMemory *memory = open_it(at);
  const FarPointer mutex = word_of(memory, "forked"), word = word_of(memory, "child");
  FarLocked locked;
  int64_t value;
  int ready[2], status;
  char byte = 0;
  assert(pipe(ready) == 0);
  const pid_t parent = fork();
  if (parent == 0) {
    FarMemory *mine = open_it(at);
    must(far_mutex_lock(mine, mutex, 0, &locked, NULL, &fault) && locked == FAR_LOCKED);
    if (fork() == 0) {
      Fault told = {0};
      assert(!far_word_add(mine, word, 100, &value, NULL, &told) && told.code == FAULT_DENIED);
      far_close(mine);
      mine = open_it(at);
      pause_ms(3 * LEASE);
      must(far_word_add(mine, word, 1, &value, NULL, &fault));
      assert(write(ready[1], &byte, 1) == 1);
      far_close(mine);
      _exit(0);
    }
    raise(SIGKILL);
  }
  close(ready[1]);
  assert(waitpid(parent, &status, 0) == parent && WIFSIGNALED(status));
  must(far_mutex_lock(memory, mutex, long_wait, &locked, NULL, &fault));
  assert(locked == FAR_LOCKED_RECOVERED);
  assert(read(ready[0], &byte, 1) == 1); /* else the child has failed */
  must(far_word_add(memory, word, 0, &value, NULL, &fault) && value == 1);
  must(far_mutex_unlock(memory, mutex, NULL, &fault));
  close(ready[0]);
  far_close(memory);
  ok("a parent dies with a mutex, its child lives on");
}

/* ---- strangers, and who does not listen ------------------------------------------------------ */

static int connect_bare(void) {
  const int fd = address_connect(at, clock_now() + 1000000000, NULL, &fault);
  must(fd >= 0);
  return fd;
}

/* The server hangs up by itself. */
static void wait_end(int fd, bool talks) {
  char byte = 0;
  ssize_t n;
  while ((n = recv(fd, &byte, 1, 0)) < 0 && errno == EAGAIN) { /* each 10 ms */
    const char eight[8] = {0};
    if (talks && send(fd, eight, 1, MSG_NOSIGNAL) < 0) break;
  }
  assert(n <= 0);
  close(fd);
}

static void strangers(void) {
  wait_end(connect_bare(), false);
  wait_end(connect_bare(), true); /* a byte now and then is no proof */
  ok("who does not prove that he knows the secret is sent away");
}

/* Asks for much, and never takes it; all the time its other thread says that it lives. */
static void deaf(void) {
  FarMemory *memory = open_it(at), *other = open_it(at);
  const FarPointer mutex = word_of(memory, "deaf");
  FarLocked locked;
  FarWireBuffer out = {0};
  must(far_mutex_lock(memory, mutex, 0, &locked, NULL, &fault) && locked == FAR_LOCKED);
  assert(far_wire_begin(&out, WIRE_ROUND));
  for (int i = 0; i < 8; i++) {
    const FarOp op = {.code = FAR_READ, .at = far_here(memory, 0), .length = 1 << 20};
    assert(far_wire_put_op(&out, &op, NULL));
  }
  far_wire_end(&out, 0);
  for (int i = 0; i < 4; i++)
    assert(send(memory->fd, out.bytes, out.length, MSG_NOSIGNAL) == (ssize_t)out.length);
  must(far_mutex_lock(other, mutex, long_wait, &locked, NULL, &fault));
  assert(locked == FAR_LOCKED_RECOVERED);
  must(far_mutex_unlock(other, mutex, NULL, &fault));
  far_wire_free(&out);
  far_close(memory);
  far_close(other);
  ok("who does not take his answers is given up");
}

int main(void) {
  begin_tests();
  const FarServerOptions how = {.lease_ns = LEASE * INT64_C(1000000)};
  const pid_t server = start(&how);
  stopped_with_mutex();
  stopped_in_transaction(true);
  stopped_in_transaction(false);
  idle_keeps();
  server_stopped(server);
  forked();
  strangers();
  deaf();
  stop(server);
  return end_tests();
}
