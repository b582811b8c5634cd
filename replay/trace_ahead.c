/*
** See trace_ahead.h.
*/
#define _GNU_SOURCE
#include "replay/trace_ahead.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { LARGEST = 16 << 20 }; /* of a block that is kept besides the one in use */

struct Ahead {
  const BlockList *list;
  cpu_set_t cpus;
  bool has_thread, refused;
  pthread_t thread;
  pthread_mutex_t mutex; /* guards the rest */
  pthread_cond_t changed;
  size_t wanted; /* number + 1, 0: none */
  bool is_done;  /* `block` is the wanted one, if `ok` */
  bool ok, ends;
  LoadedBlock block; /* the thread's own until it is done */
};

static void *work(void *ctx) {
  Ahead *ahead = ctx;
  pthread_mutex_lock(&ahead->mutex);
  for (;;) {
    while (!ahead->ends && (!ahead->wanted || ahead->is_done)) {
      pthread_cond_wait(&ahead->changed, &ahead->mutex);
    }
    if (ahead->ends) break;
    const size_t number = ahead->wanted - 1;
    pthread_mutex_unlock(&ahead->mutex);
    Fault ignored = {0};
    const bool ok = block_load(ahead->list, number, &ahead->block, &ignored);
    pthread_mutex_lock(&ahead->mutex);
    ahead->ok = ok;
    ahead->is_done = true;
    pthread_cond_broadcast(&ahead->changed);
  }
  pthread_mutex_unlock(&ahead->mutex);
  return NULL;
}

/* Signals are for who plays. */
static bool start(Ahead *ahead) {
  sigset_t all, before;
  if (ahead->has_thread || ahead->refused) return ahead->has_thread;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  ahead->has_thread = pthread_create(&ahead->thread, NULL, work, ahead) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  ahead->refused = !ahead->has_thread;
  if (ahead->has_thread) {
    pthread_setaffinity_np(ahead->thread, sizeof ahead->cpus, &ahead->cpus);
  }
  return ahead->has_thread;
}

/* With the mutex held: nobody loads anything. */
static void settle(Ahead *ahead) {
  while (ahead->wanted && !ahead->is_done) pthread_cond_wait(&ahead->changed, &ahead->mutex);
}

Ahead *ahead_create(const BlockList *list, const cpu_set_t *cpus) {
  Ahead *ahead = calloc(1, sizeof *ahead);
  if (!ahead) return NULL;
  ahead->list = list;
  ahead->cpus = *cpus;
  pthread_mutex_init(&ahead->mutex, NULL);
  pthread_cond_init(&ahead->changed, NULL);
  return ahead;
}

void ahead_destroy(Ahead *ahead) {
  if (!ahead) return;
  if (ahead->has_thread) {
    pthread_mutex_lock(&ahead->mutex);
    ahead->ends = true;
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->mutex);
    pthread_join(ahead->thread, NULL);
  }
  pthread_cond_destroy(&ahead->changed);
  pthread_mutex_destroy(&ahead->mutex);
  block_finish(&ahead->block);
  free(ahead);
}

void ahead_want(Ahead *ahead, size_t number) {
  if (number >= ahead->list->count || ahead->list->places[number].raw > LARGEST) return;
  if (!start(ahead)) return;
  pthread_mutex_lock(&ahead->mutex);
  settle(ahead);
  ahead->wanted = number + 1;
  ahead->is_done = false;
  pthread_cond_broadcast(&ahead->changed);
  pthread_mutex_unlock(&ahead->mutex);
}

bool ahead_take(Ahead *ahead, size_t number, LoadedBlock *block) {
  if (!ahead->has_thread) return false;
  pthread_mutex_lock(&ahead->mutex);
  settle(ahead);
  const bool taken = ahead->wanted == number + 1 && ahead->ok;
  if (taken) {
    const LoadedBlock own = *block;
    *block = ahead->block;
    ahead->block = own;
  }
  ahead->wanted = 0;
  pthread_mutex_unlock(&ahead->mutex);
  return taken;
}
