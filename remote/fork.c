/*
** fork(): what a child inherits.
*/
#include <pthread.h>
#include <unistd.h>

#include "remote/alive.h"
#include "remote/memory.h"

/* A child shares the parent's open files, and so is the same client: it must not be one, nor keep
** it alive when the parent dies. */
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static FarMemory *all;

static void before_fork(void) {
  far_alive_fork();
  pthread_mutex_lock(&guard);
}

static void in_parent(void) {
  pthread_mutex_unlock(&guard);
  far_alive_forked(false);
}

static void in_child(void) {
  for (FarMemory *memory = all; memory; memory = memory->next) {
    memory->inherited = true;
    if (memory->fd >= 0) close(memory->fd);
    memory->fd = -1;
  }
  pthread_mutex_unlock(&guard);
  far_alive_forked(true);
}

static void watch_forks(void) { pthread_atfork(before_fork, in_parent, in_child); }

void far_enlist(FarMemory *memory) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  pthread_mutex_lock(&guard);
  memory->next = all;
  all = memory;
  pthread_mutex_unlock(&guard);
}

void far_delist(FarMemory *memory) {
  pthread_mutex_lock(&guard);
  for (FarMemory **at = &all; *at; at = &(*at)->next) {
    if (*at != memory) continue;
    *at = memory->next;
    break;
  }
  pthread_mutex_unlock(&guard);
}

void far_each(void (*act)(FarMemory *memory, void *ctx), void *ctx) {
  pthread_mutex_lock(&guard);
  for (FarMemory *memory = all; memory; memory = memory->next) act(memory, ctx);
  pthread_mutex_unlock(&guard);
}
