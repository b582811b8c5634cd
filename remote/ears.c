#include "remote/ears.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct FarEars {
  const FarMapped *memory;
  pthread_t thread;
  int event;
  pthread_mutex_t guard;
  uint64_t set[FAR_BOARD / 64]; /* under guard */
  _Atomic uint32_t orders;      /* counts changes of `set`, and the end; a futex */
  atomic_bool ends;
};

static const int64_t second = 1000000000;

static void *listen_always(void *ctx) {
  FarEars *ears = ctx;
  uint64_t set[FAR_BOARD / 64];
  uint32_t seen[FAR_BOARD] = {0};
  while (!atomic_load(&ears->ends)) {
    const uint64_t one = 1;
    const uint32_t orders = atomic_load(&ears->orders);
    pthread_mutex_lock(&ears->guard);
    memcpy(set, ears->set, sizeof set);
    pthread_mutex_unlock(&ears->guard);
    for (unsigned slot = 0; slot < FAR_BOARD; slot++)
      if (set[slot / 64] >> slot % 64 & 1) seen[slot] = far_board_changes(ears->memory, slot);
    /* What changed before is looked at now, what changes from here on ends the wait. */
    const ssize_t ignored = write(ears->event, &one, sizeof one);
    (void)ignored;
    far_board_wait(ears->memory, set, seen, &ears->orders, orders, second);
  }
  return NULL;
}

FarEars *far_ears_open(const FarMapped *memory) {
  FarEars *ears = calloc(1, sizeof *ears);
  sigset_t all, before;
  if (!ears) return NULL;
  ears->memory = memory;
  ears->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  pthread_mutex_init(&ears->guard, NULL);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const bool ok = ears->event >= 0 && pthread_create(&ears->thread, NULL, listen_always, ears) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (ok) return ears;
  if (ears->event >= 0) close(ears->event);
  pthread_mutex_destroy(&ears->guard);
  free(ears);
  return NULL;
}

static void order(FarEars *ears) {
  atomic_fetch_add(&ears->orders, 1);
  far_board_wake(&ears->orders);
}

void far_ears_close(FarEars *ears) {
  if (!ears) return;
  atomic_store(&ears->ends, true);
  order(ears);
  pthread_join(ears->thread, NULL);
  close(ears->event);
  pthread_mutex_destroy(&ears->guard);
  free(ears);
}

int far_ears_event(const FarEars *ears) { return ears->event; }

void far_ears_clear(FarEars *ears) {
  uint64_t count;
  const ssize_t ignored = read(ears->event, &count, sizeof count);
  (void)ignored;
}

void far_ears_listen(FarEars *ears, const uint64_t set[FAR_BOARD / 64]) {
  pthread_mutex_lock(&ears->guard);
  const bool same = !memcmp(ears->set, set, sizeof ears->set);
  memcpy(ears->set, set, sizeof ears->set);
  pthread_mutex_unlock(&ears->guard);
  if (!same) order(ears);
}
