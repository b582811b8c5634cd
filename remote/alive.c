#include "remote/alive.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "remote/stream.h"

enum { SECOND = 1000000000 };

/* Who begins or ends the thread, and waits for its end, has `turn`; `guard` is for what follows. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER, guard = PTHREAD_MUTEX_INITIALIZER;
static unsigned connections; /* under `turn` */
static pthread_t thread;
static pthread_cond_t wake;
static bool again, ends;

static void say_so(FarMemory *memory, void *period) {
  const int64_t lease = far_stream_alive(memory);
  int64_t *shortest = period;
  if (lease > 0 && lease / 3 < *shortest) *shortest = lease / 3;
}

static void *live(void *ctx) {
  (void)ctx;
  pthread_mutex_lock(&guard);
  while (!ends) {
    int64_t period = (int64_t)3600 * SECOND;
    again = false;
    pthread_mutex_unlock(&guard);
    far_each(say_so, &period);
    const int64_t until = clock_now() + period;
    const struct timespec time = {until / SECOND, until % SECOND};
    pthread_mutex_lock(&guard);
    while (!ends && !again && !pthread_cond_timedwait(&wake, &guard, &time)) {
    }
  }
  pthread_mutex_unlock(&guard);
  return NULL;
}

static bool start(Fault *fault) {
  pthread_condattr_t steady;
  sigset_t all, before;
  pthread_condattr_init(&steady);
  pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
  pthread_cond_init(&wake, &steady);
  pthread_condattr_destroy(&steady);
  again = ends = false;
  sigfillset(&all); /* they are the host's */
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int rc = pthread_create(&thread, NULL, live, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (rc == 0) return true;
  pthread_cond_destroy(&wake);
  return fault_set(fault, FAULT_IO, "a thread for far memory: %s", strerror(rc));
}

bool far_alive_begin(Fault *fault) {
  pthread_mutex_lock(&turn);
  const bool ok = connections > 0 || start(fault);
  connections += ok;
  pthread_mutex_unlock(&turn);
  return ok;
}

static void tell(bool *what) {
  pthread_mutex_lock(&guard);
  *what = true;
  pthread_cond_signal(&wake);
  pthread_mutex_unlock(&guard);
}

void far_alive_end(void) {
  pthread_mutex_lock(&turn);
  if (--connections == 0) {
    tell(&ends);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&wake);
  }
  pthread_mutex_unlock(&turn);
}

void far_alive_again(void) { tell(&again); }

void far_alive_fork(void) {
  pthread_mutex_lock(&turn);
  pthread_mutex_lock(&guard);
}

void far_alive_forked(bool child) {
  if (child) connections = 0; /* the thread has stayed with the parent */
  pthread_mutex_unlock(&guard);
  pthread_mutex_unlock(&turn);
}
