/*
** fork(): a child has no node. It must not be taken for the owner, nor keep the owner's connections
** or its membership alive when the parent dies.
*/
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "remote/owners/inside.h"

pthread_mutex_t own_guard = PTHREAD_MUTEX_INITIALIZER;
OwnNode *own_nodes;

static pthread_mutex_t sockets_lock = PTHREAD_MUTEX_INITIALIZER;
static int **sockets;
static size_t nsockets, sockets_capacity;

static pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;

void own_gate_enter(void) { pthread_rwlock_rdlock(&gate); }
void own_gate_leave(void) { pthread_rwlock_unlock(&gate); }

static void before_fork(void) {
  pthread_mutex_lock(&own_guard);
  pthread_rwlock_wrlock(&gate);
  pthread_mutex_lock(&sockets_lock);
}

static void in_parent(void) {
  pthread_mutex_unlock(&sockets_lock);
  pthread_rwlock_unlock(&gate);
  pthread_mutex_unlock(&own_guard);
}

static void in_child(void) {
  for (size_t i = 0; i < nsockets; i++) {
    close(*sockets[i]);
    *sockets[i] = -1;
  }
  nsockets = 0;
  for (OwnNode *node = own_nodes; node; node = node->next) {
    node->inherited = true;
    if (node->coord) node->coord->inherited(node->coord);
  }
  in_parent();
}

static void watch_forks(void) { pthread_atfork(before_fork, in_parent, in_child); }

void own_socket_add(int *fd) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  pthread_mutex_lock(&sockets_lock);
  /* Without memory a child keeps it: the worst is that somebody waits longer. */
  if (array_grow(sockets, sockets_capacity, nsockets + 1)) sockets[nsockets++] = fd;
  pthread_mutex_unlock(&sockets_lock);
}

void own_socket_remove(int *fd) {
  pthread_mutex_lock(&sockets_lock);
  for (size_t i = 0; i < nsockets; i++) {
    if (sockets[i] != fd) continue;
    sockets[i] = sockets[--nsockets];
    break;
  }
  if (*fd >= 0) close(*fd);
  *fd = -1;
  pthread_mutex_unlock(&sockets_lock);
}

void own_socket_shut(int *fd) {
  pthread_mutex_lock(&sockets_lock);
  if (*fd >= 0) shutdown(*fd, SHUT_RDWR);
  pthread_mutex_unlock(&sockets_lock);
}
