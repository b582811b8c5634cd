/*
** A program whose course hangs on when its threads run and its signals come: chaos.py records it.
**
**   busy SEED
**
** Up to four threads do a few pieces of work each, all chosen by the seed: loops that count in
** memory or in registers, copies of a few bytes and of megabytes, floating-point sums, locks, spins
** on what another thread writes, pipes, naps, children, signals to the process and to threads. A
** timer may interrupt all of it. Nothing may fail, and it ends by itself.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, BIG = 1 << 21, SPINS = 2000000 };

static pthread_t threads[THREADS];
static atomic_int living, turn;
static atomic_ulong sum;
static volatile unsigned long counter, ticks, pokes;
static volatile unsigned long *shared; /* with children */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned long locked;
static int ends[2];

static unsigned draw(unsigned *state) {
  *state = *state * 1103515245u + 12345;
  return *state >> 8;
}

static void on_alarm(int number) {
  (void)number;
  ticks++;
}

static void on_poke(int number) {
  (void)number;
  pokes += counter & 3;
}

/* ---- pieces of work, of about `n` units */

static void count(unsigned n) {
  for (unsigned i = 0; i < n * 30000; i++) counter++;
}

static void hash(unsigned n) {
  uint64_t h = n;
  for (unsigned i = 0; i < n * 50000; i++) h = h * 6364136223846793005u + (h >> 33);
  sum += h & 0xff;
}

static void copy(unsigned n) {
  static _Thread_local char from[1 << 14], to[1 << 14];
  for (unsigned i = 0; i < n * 8; i++) {
    memset(from, (int)i, sizeof from - i % 64);
    memmove(to + i % 32, from, sizeof to - 64);
    sum += (unsigned char)to[i];
  }
}

static void copy_big(unsigned n) {
  for (unsigned i = 0; i < 1 + n % 4; i++) {
    char *from = malloc(BIG), *to = malloc(BIG);
    if (!from || !to) abort();
    memset(from, (int)(n + i), BIG);
    memcpy(to, from, BIG);
    memmove(to + 4000, to, BIG - 4000);
    sum += (unsigned char)to[BIG - 1];
    free(from);
    free(to);
  }
}

static void add_reals(unsigned n) {
  double x = 1;
  float lanes[16] = {0};
  for (unsigned i = 0; i < n * 1000; i++) {
    x = x * 1.000001 + sin(x);
    for (int k = 0; k < 16; k++) lanes[k] += (float)k * 0.5f;
  }
  sum += (unsigned long)(x < 0 ? -x : x) + (lanes[3] > 0);
}

static unsigned long recurse(unsigned n) { return n < 2 ? n : recurse(n - 1) + recurse(n - 2); }

static void sort(unsigned n) {
  unsigned list[400], state = n;
  for (unsigned r = 0; r < 1 + n / 10; r++) {
    for (int i = 0; i < 400; i++) list[i] = draw(&state);
    for (int i = 1; i < 400; i++) {
      for (int k = i; k > 0 && list[k] < list[k - 1]; k--) {
        const unsigned kept = list[k];
        list[k] = list[k - 1];
        list[k - 1] = kept;
      }
    }
    sum += list[200];
  }
}

static void use_lock(unsigned n) {
  for (unsigned i = 0; i < n * 200; i++) {
    pthread_mutex_lock(&lock);
    locked += i;
    if (i % 64 == 0) pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
  }
}

static void wait_change(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 3000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  pthread_mutex_lock(&lock);
  pthread_cond_timedwait(&changed, &lock, &until);
  pthread_mutex_unlock(&lock);
}

/* Until the others have come round, or for so long. */
static void spin(int me) {
  for (int i = 0; atomic_load(&turn) % THREADS != me && living > 1 && i < SPINS; i++) {
  }
  atomic_fetch_add(&turn, 1);
}

static void use_pipe(unsigned n) {
  char bytes[64] = {0};
  for (unsigned i = 0; i < n; i++) {
    const size_t size = 1 + i % 60;
    while (write(ends[1], bytes, size) < 0 && errno == EINTR) continue;
    while (read(ends[0], bytes, size) < 0 && errno == EINTR) continue;
    sum += (unsigned char)bytes[0];
  }
}

static void fork_child(unsigned n) {
  const pid_t child = fork();
  if (child == 0) {
    for (unsigned i = 0; i < n * 1000; i++) shared[0]++;
    counter = 0;
    count(n / 4);
    _exit((int)(counter & 7));
  }
  for (unsigned i = 0; i < n * 500; i++) shared[1] += shared[0] & 1;
  int status;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
}

static void poke(unsigned n) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  if (n % 2) kill(getpid(), SIGUSR1);
  if (n % 3) pthread_kill(threads[0], SIGUSR1);
  count(n / 8);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void nap(unsigned n) {
  struct timespec time = {0, (long)n * 20000}, left;
  if (n % 2) {
    poll(NULL, 0, (int)n % 4);
  } else {
    while (nanosleep(&time, &left) != 0 && errno == EINTR) time = left;
  }
}

static void work(int me, unsigned kind, unsigned n) {
  switch (kind) {
  case 0:
    count(n);
    break;
  case 1:
    hash(n);
    break;
  case 2:
    copy(n);
    break;
  case 3:
    copy_big(n);
    break;
  case 4:
    add_reals(n);
    break;
  case 5:
    sum += recurse(16 + n % 9);
    break;
  case 6:
    sort(n);
    break;
  case 7:
    use_lock(n);
    break;
  case 8:
    wait_change();
    break;
  case 9:
    spin(me);
    break;
  case 10:
    use_pipe(n);
    break;
  case 11:
    if (n % 3 == 0) fork_child(n);
    break;
  case 12:
    poke(n);
    break;
  case 13:
    nap(n);
    break;
  default:
    sched_yield();
    break;
  }
}

/* ---- the whole */

static unsigned seed;

static void *run(void *arg) {
  const int me = (int)(intptr_t)arg;
  unsigned state = seed + (unsigned)me * 7919;
  const unsigned pieces = 3 + draw(&state) % 6;
  for (unsigned i = 0; i < pieces; i++) {
    const unsigned kind = draw(&state) % 15, n = draw(&state) % 100;
    work(me, kind, n);
  }
  atomic_fetch_sub(&living, 1);
  return NULL;
}

static void set_timer(long us) {
  const struct itimerval timer = {{0, us}, {0, us}};
  setitimer(ITIMER_REAL, &timer, NULL);
}

int main(int argc, char **argv) {
  seed = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
  unsigned state = seed;
  struct sigaction action = {.sa_handler = on_alarm};
  if (draw(&state) % 2) action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, NULL);
  action.sa_handler = on_poke;
  sigaction(SIGUSR1, &action, NULL);
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED || pipe(ends) != 0) return 1;
  if (draw(&state) % 3) set_timer(400 + (long)(draw(&state) % 20000));
  const int nthreads = 1 + (int)(draw(&state) % THREADS);
  living = nthreads;
  threads[0] = pthread_self();
  for (int i = 1; i < nthreads; i++) {
    if (pthread_create(&threads[i], NULL, run, (void *)(intptr_t)i) != 0) return 1;
  }
  run(NULL);
  for (int i = 1; i < nthreads; i++) pthread_join(threads[i], NULL);
  set_timer(0);
  printf("%lu %lu %lu %lu %lu\n", (unsigned long)sum, counter, locked, ticks, pokes);
  return 0;
}
