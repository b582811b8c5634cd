/*
** Waiting for answers awake: recv() is the program's own here, and does what a script says.
*/
#define _GNU_SOURCE /* sched_setaffinity */
#include "remote/spin.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/stop.h"

static int asked, slept; /* calls that do not wait, and that do */
static int comes_at =
    INT_MAX;          /* the call that does not wait, from 1, at which something is there */
static ssize_t comes; /* what it returns … */
static int comes_errno;

ssize_t recv(int fd, void *bytes, size_t length, int flags) {
  (void)fd, (void)bytes, (void)length;
  if (!(flags & MSG_DONTWAIT)) {
    slept++;
    return 7;
  }
  if (++asked < comes_at) {
    errno = EAGAIN;
    return -1;
  }
  errno = comes_errno;
  return comes;
}

static ssize_t ask(Spin *spin) {
  char byte;
  asked = slept = 0;
  return spin_recv(spin, 0, &byte, 1);
}

static void comes_soon(void) {
  static const struct {
    ssize_t n;
    int error;
  } all[] = {{5, 0}, {0, 0}, {-1, ECONNRESET}, {-1, EINTR}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    int tries = 1000; /* for others may have the processor for 50 us */
    ssize_t n;
    comes_at = 3;
    comes = all[i].n;
    comes_errno = all[i].error;
    do {
      Spin spin = {0};
      n = ask(&spin);
    } while (slept && --tries);
    assert((all[i].n >= 0 || errno == all[i].error) && n == all[i].n && asked == 3 && slept == 0);
  }
  puts("ok 2 - what comes soon is taken awake, be it bytes, the end or an error");
}

static void comes_late(void) {
  Spin spin = {0};
  int awake = 0;
  comes_at = INT_MAX;
  const int64_t began = clock_now();
  assert(ask(&spin) == 7 && slept == 1);
  assert(clock_now() - began >= 50000);
  for (int i = 0; i < 2; i++) assert(ask(&spin) == 7 && asked == 0 && slept == 1);
  for (int i = 0; i < 10000; i++) {
    assert(ask(&spin) == 7 && slept == 1);
    awake += asked > 0;
  }
  assert(awake >= 10 && awake <= 20); /* the steps double up to 1,024 */
  while (spin.rest) ask(&spin);
  comes_at = 1;
  comes = 5;
  for (int i = 0; i < 100; i++) assert(ask(&spin) == 5 && asked == 1 && slept == 0);
  comes_at = INT_MAX;
  assert(ask(&spin) == 7 && spin.rest == 2);
  puts("ok 3 - what comes late is waited for asleep, the longer the more often that was in vain");
}

static void one_processor(void) {
  int status;
  const pid_t child = fork();
  if (child == 0) {
    cpu_set_t set;
    Spin spin = {0};
    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    assert(sched_setaffinity(0, sizeof set, &set) == 0);
    comes_at = 1;
    for (int i = 0; i < 10; i++) assert(ask(&spin) == 7 && asked == 0 && slept == 1);
    _exit(0);
  }
  assert(waitpid(child, &status, 0) == child && status == 0);
  puts("ok 1 - where there is one processor it is left to who answers");
}

int main(void) {
  one_processor(); /* before how many there are is known */
  cpu_set_t set;
  assert(sched_getaffinity(0, sizeof set, &set) == 0);
  if (CPU_COUNT(&set) > 1) {
    comes_soon();
    comes_late();
  }
  puts(CPU_COUNT(&set) > 1 ? "1..3" : "1..1");
  return 0;
}
