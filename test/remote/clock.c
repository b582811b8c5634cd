/*
** A wall clock that jumps by days all the time: leases end when they would have ended, and not
** before; waits and deadlines neither hang nor end early. The server's clock jumps as its clients'.
*/
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "remote/watch.h"
#include "remote/word.h"
#include "test/remote/jump.h"
#include "test/remote/serving.h"

enum { LEASE = 1000, SHORT = 200 }; /* ms */

#define MS INT64_C(1000000)

static FarPointer word_of(FarMemory *memory, const char *name) {
  FarPointer word;
  must(far_word_open(memory, name, &word, NULL, &fault));
  return word;
}

/* Who only says that he lives keeps his mutex, and others wait in vain as long as they said. */
static void keeps(int days) {
  FarMemory *holder = open_it(at), *other = open_it(at);
  const FarPointer mutex = word_of(holder, "kept");
  FarLocked locked;
  jump_by(days);
  must(far_mutex_lock(holder, mutex, 0, &locked, NULL, &fault) && locked == FAR_LOCKED);
  const int64_t began = clock_now();
  must(far_mutex_lock(other, mutex, 2 * LEASE * MS, &locked, NULL, &fault));
  assert(locked == FAR_NOT_LOCKED && clock_now() - began >= 2 * LEASE * MS);
  must(far_mutex_unlock(holder, mutex, NULL, &fault));
  jump_by(0);
  far_close(holder);
  far_close(other);
  ok(days > 0 ? "clocks go forward: who lives keeps his mutex"
              : "clocks go back: who lives keeps his mutex");
}

/* Who is stopped loses it all the same. */
static void loses(int days) {
  FarMemory *other = open_it(at);
  const FarPointer mutex = word_of(other, "lost");
  FarLocked locked;
  int status;
  const pid_t child = fork();
  if (child == 0) {
    FarMemory *mine = open_it(at);
    must(far_mutex_lock(mine, mutex, 0, &locked, NULL, &fault) && locked == FAR_LOCKED);
    raise(SIGSTOP);
    _exit(0);
  }
  assert(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
  jump_by(days);
  must(far_mutex_lock(other, mutex, INT64_C(60000) * MS, &locked, NULL, &fault));
  assert(locked == FAR_LOCKED_RECOVERED);
  jump_by(0);
  must(far_mutex_unlock(other, mutex, NULL, &fault));
  stop(child);
  far_close(other);
  ok(days > 0 ? "clocks go forward: who is stopped loses his mutex"
              : "clocks go back: who is stopped loses his mutex");
}

/* Whatever waits ends by itself, and not too soon. */
static void waits(const char *where, int days) {
  FarMemory *memory = open_it(where), *other = open_it(where);
  const FarPointer mutex = word_of(memory, "waits"), barrier = word_of(memory, "barrier");
  const FarWatch watch = {.kind = FAR_CHANGED, .at = mutex, .length = 8};
  FarLocked locked;
  FarNotice notice;
  bool passed;
  size_t n;
  uint64_t id;
  must(far_mutex_lock(other, mutex, 0, &locked, NULL, &fault) && locked == FAR_LOCKED);
  must(far_watch(memory, &watch, &id, NULL, &fault));
  jump_by(days);
  for (int i = 0; i < 3; i++) {
    const int64_t began = clock_now();
    if (i == 0) {
      must(far_mutex_lock(memory, mutex, SHORT * MS, &locked, NULL, &fault));
      assert(locked == FAR_NOT_LOCKED);
    } else if (i == 1) {
      must(far_barrier(memory, barrier, 2, SHORT * MS, &passed, NULL, &fault));
      assert(!passed);
    } else {
      must(far_notices(memory, SHORT * MS, &notice, 1, &n, NULL, &fault));
      assert(n == 0);
    }
    assert(clock_now() - began >= SHORT * MS);
  }
  jump_by(0);
  must(far_mutex_unlock(other, mutex, NULL, &fault));
  far_close(memory);
  far_close(other);
  printf("ok %d - clocks go %s: waits at %.5s end in time\n", ++done, days > 0 ? "forward" : "back",
         where);
}

/* A server that does not answer is given up at the deadline. */
static void gives_up(pid_t server, int days) {
  const FarOptions options = {.deadline_ns = SHORT * MS};
  FarMemory *memory = far_open(at, &options, &fault);
  must(memory != NULL);
  const FarPointer word = word_of(memory, "waits");
  Fault told = {0};
  int64_t value;
  jump_by(days);
  must(far_word_add(memory, word, 0, &value, NULL, &fault));
  kill(server, SIGSTOP);
  const int64_t began = clock_now();
  assert(!far_word_add(memory, word, 0, &value, NULL, &told) && told.code == FAULT_IO);
  assert(clock_now() - began >= SHORT * MS);
  kill(server, SIGCONT);
  jump_by(0);
  far_close(memory);
  ok("a server that is stopped: the deadline holds");
}

static void check_jumps(void) {
  const time_t before = time(NULL);
  jump_by(1);
  while (time(NULL) - before < JUMP_DAY) pause_ms(5);
  jump_by(0);
}

int main(void) {
  const FarServerOptions how = {.lease_ns = LEASE * MS};
  begin_tests();
  jump_begin();
  alarm(120); /* what hangs ends the test */
  check_jumps();
  const pid_t server = start(&how);
  for (int days = -1; days <= 1; days += 2) {
    keeps(days);
    loses(days);
    waits(at, days);
    waits(file, days);
    gives_up(server, days);
  }
  stop(server);
  return end_tests();
}
