#define _GNU_SOURCE /* sched_getaffinity */
#include "remote/spin.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/stop.h"

enum { LONGEST = 50000 /* ns */, MOST_MISSES = 10 };

bool spin_alone(void) {
  static atomic_int known; /* 0: not yet, else processors + 1 */
  int n = atomic_load_explicit(&known, memory_order_relaxed);
  if (!n) {
    cpu_set_t set;
    n = (sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 2) + 1;
    atomic_store_explicit(&known, n, memory_order_relaxed);
  }
  return n == 2;
}

ssize_t spin_recv(Spin *spin, int fd, void *bytes, size_t length) {
  if (spin->rest || spin_alone()) {
    spin->rest -= spin->rest > 0;
    return recv(fd, bytes, length, 0);
  }
  const int64_t until = clock_now() + LONGEST;
  do {
    const ssize_t n = recv(fd, bytes, length, MSG_DONTWAIT);
    if (n >= 0 || errno != EAGAIN) {
      spin->misses = 0;
      return n;
    }
  } while (clock_now() < until);
  if (spin->misses < MOST_MISSES) spin->misses++;
  spin->rest = 1u << spin->misses;
  return recv(fd, bytes, length, 0);
}
