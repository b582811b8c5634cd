/*
** Stopping: see stop.h.
*/
#include "base/stop.h"

#include <math.h>
#include <stddef.h>
#include <time.h>

int64_t clock_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool stop_asked(Stop *stop) {
  if (!stop) return false;
  if (atomic_load_explicit(&stop->requested, memory_order_relaxed)) return true;
  if (!stop->asked || !stop->asked(stop->ctx)) return false;
  stop_request(stop);
  return true;
}

bool stop_now(Stop *stop) {
  if (!stop) return false;
  if (stop_asked(stop)) return true;
  return stop->deadline && clock_now() >= stop->deadline;
}

void stop_request(Stop *stop) {
  atomic_store_explicit(&stop->requested, true, memory_order_relaxed);
}

double stop_seconds_left(const Stop *stop) {
  if (!stop || !stop->deadline) return INFINITY;
  double left = (double)(stop->deadline - clock_now()) / 1e9;
  return left > 0 ? left : 0;
}
