/*
** Stopping: deadlines, askers, requests from other threads.
*/
#include "base/stop.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

#include "test/base/check.h"

static bool answer(void *ctx) {
  int *left = ctx;
  return --*left == 0;
}

static void test_nobody(void) {
  Stop stop = {0};
  check(!stop_now(NULL) && !stop_asked(NULL), "NULL never stops");
  check(isinf(stop_seconds_left(NULL)), "and has for ever");
  check(!stop_now(&stop) && !stop_asked(&stop), "all zero never stops");
  check(isinf(stop_seconds_left(&stop)), "and has for ever too");
}

static void test_deadline(void) {
  Stop stop = {.deadline = clock_now() + 3600 * INT64_C(1000000000)};
  double left = stop_seconds_left(&stop);
  check(!stop_now(&stop), "a deadline in an hour");
  check(left > 3500 && left <= 3600, "leaves an hour");
  stop.deadline = clock_now() - 1;
  check(stop_now(&stop), "a deadline that passed");
  check(!stop_asked(&stop), "is not asking");
  check(stop_seconds_left(&stop) == 0, "and leaves nothing, not less");
  stop.deadline = clock_now() + 20 * 1000000;
  int64_t start = clock_now();
  while (!stop_now(&stop)) continue;
  check(clock_now() - start >= 19 * 1000000, "stops at the deadline, not before");
}

static void test_asked(void) {
  int left = 3;
  Stop stop = {.asked = answer, .ctx = &left};
  check(!stop_now(&stop) && !stop_now(&stop), "asks each time");
  check(stop_now(&stop), "until the answer is yes");
  check(stop_now(&stop) && stop_asked(&stop) && left == 0, "and remembers without asking again");
}

static void *request(void *ctx) {
  nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000}, NULL);
  stop_request(ctx);
  return NULL;
}

static void test_request(void) {
  Stop stop = {.deadline = clock_now() + 60 * INT64_C(1000000000)};
  pthread_t thread;
  if (pthread_create(&thread, NULL, request, &stop) != 0) return;
  while (!stop_now(&stop)) continue;
  pthread_join(thread, NULL);
  check(stop_asked(&stop) && clock_now() < stop.deadline, "another thread's request is seen");
}

static void test_clock(void) {
  int64_t last = clock_now();
  bool forward = last > 0;
  for (int i = 0; i < 100000; i++) {
    int64_t now = clock_now();
    forward = forward && now >= last;
    last = now;
  }
  check(forward, "the clock never goes back");
}

int main(void) {
  test_nobody();
  test_deadline();
  test_asked();
  test_request();
  test_clock();
  return checks_end();
}
