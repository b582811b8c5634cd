/*
** A wall clock that jumps, for a program and all it loads and forks: the functions that read it
** are the program's own. Clocks that are not the wall's are as they are.
*/
#ifndef TENFOLD_TEST_REMOTE_JUMP_H
#define TENFOLD_TEST_REMOTE_JUMP_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef struct Jump {
  atomic_llong offset, step; /* seconds: what is added, and how much more each 20 ms */
  atomic_long boot;          /* how often CLOCK_BOOTTIME was asked for */
} Jump;

static Jump *jump;

#define JUMP_DAY INT64_C(86400)

long syscall(long number, ...);

int clock_gettime(clockid_t id, struct timespec *out) {
  const int rc = (int)syscall(SYS_clock_gettime, id, out);
  if (!jump || rc) return rc;
  if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
    out->tv_sec += atomic_load(&jump->offset);
  if (id == CLOCK_BOOTTIME) atomic_fetch_add(&jump->boot, 1);
  return rc;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}

/* Before anything is forked. A process of its own makes the jumps. */
static inline void jump_begin(void) {
  jump = mmap(NULL, sizeof *jump, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert(jump != MAP_FAILED);
  if (fork()) return;
  prctl(PR_SET_PDEATHSIG, 9);
  for (;;) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    atomic_fetch_add(&jump->offset, atomic_load(&jump->step));
  }
}

/* From now on: so many days forward (or backward) each 20 ms. */
static inline void jump_by(int days) { atomic_store(&jump->step, days * JUMP_DAY); }

#endif
