/*
** etcd for tests: a server of one node on free ports, in a folder of its own, and a relay in front
** of it that can be cut.
*/
#ifndef TENFOLD_TEST_LINK_ETCD_H
#define TENFOLD_TEST_LINK_ETCD_H

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test/link/processes.h"

/* Benchmarks have no assert(). */
static inline void etcd_must(bool ok, const char *what) {
  if (ok) return;
  perror(what);
  abort();
}

/* ---- sockets --------------------------------------------------------------------------------- */

static inline struct sockaddr_in etcd_address(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static inline int etcd_listen(int *out_port) {
  struct sockaddr_in address = etcd_address(0);
  socklen_t length = sizeof address;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  etcd_must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
  etcd_must(listen(fd, 64) == 0, "listen");
  etcd_must(getsockname(fd, (struct sockaddr *)&address, &length) == 0, "getsockname");
  *out_port = ntohs(address.sin_port);
  return fd;
}

static inline int etcd_free_port(void) {
  int port;
  close(etcd_listen(&port));
  return port;
}

/* -1: nobody listens. */
static inline int etcd_connect(int port) {
  struct sockaddr_in address = etcd_address(port);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

/* ---- the server ------------------------------------------------------------------------------ */

static inline bool etcd_installed(void) { return access("/usr/bin/etcd", X_OK) == 0; }

static inline void stop_process(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

static inline pid_t etcd_start(const char *folder, int client, int peer) {
  char urls[2][100], cluster[120];
  snprintf(urls[0], sizeof urls[0], "http://127.0.0.1:%d", client);
  snprintf(urls[1], sizeof urls[1], "http://127.0.0.1:%d", peer);
  snprintf(cluster, sizeof cluster, "default=%s", urls[1]);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(126);
    execlp("etcd", "etcd", "--data-dir", folder, "--listen-client-urls", urls[0],
           "--advertise-client-urls", urls[0], "--listen-peer-urls", urls[1],
           "--initial-advertise-peer-urls", urls[1], "--initial-cluster", cluster,
           "--unsafe-no-fsync", (char *)NULL);
    _exit(127);
  }
  for (int i = 0; i < 200; i++) {
    const int fd = etcd_connect(client);
    if (fd >= 0) {
      close(fd);
      break;
    }
    pause_ms(50);
  }
  return child;
}

/* ---- the relay ------------------------------------------------------------------------------- */

typedef enum Cut {
  CUT_NOT,
  CUT_SILENT, /* nothing goes through; what was sent meanwhile does later */
  CUT_RESET   /* connections are reset, and new ones as well */
} Cut;

enum { RELAYED = 64 };

static inline void relay_reset(int fd) {
  const struct linger hard = {.l_onoff = 1};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close(fd);
}

/* False: one side has ended. */
static inline bool relay_some(int from, int to) {
  char bytes[16384];
  const ssize_t n = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
  return n < 0 || (n > 0 && send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n);
}

static inline void relay_run(int listener, int port, const atomic_int *cut) {
  struct pollfd fds[1 + 2 * RELAYED] = {{.fd = listener, .events = POLLIN}};
  int n = 0; /* fds[1 + 2i] and fds[2 + 2i] are the two ends of connection i */
  for (;;) {
    const int how = atomic_load(cut);
    if (how == CUT_SILENT) {
      pause_ms(2);
      continue;
    }
    for (int i = 2 * n; how == CUT_RESET && i > 0; i--) relay_reset(fds[i].fd);
    if (how == CUT_RESET) n = 0;
    poll(fds, (nfds_t)(1 + 2 * n), 5);
    for (int i = 0; i < n; i++) {
      const struct pollfd *near = &fds[1 + 2 * i], *far = near + 1;
      if (relay_some(near->fd, far->fd) && relay_some(far->fd, near->fd)) continue;
      close(near->fd);
      close(far->fd);
      memmove(&fds[1 + 2 * i], &fds[3 + 2 * i], 2 * (size_t)(n - i - 1) * sizeof *fds);
      n--;
      i--;
    }
    if (!(fds[0].revents & POLLIN)) continue;
    const int near = accept(listener, NULL, NULL);
    const int far = how == CUT_NOT && n < RELAYED ? etcd_connect(port) : -1;
    if (far < 0) {
      relay_reset(near);
      continue;
    }
    fds[1 + 2 * n] = (struct pollfd){.fd = near, .events = POLLIN};
    fds[2 + 2 * n] = (struct pollfd){.fd = far, .events = POLLIN};
    n++;
  }
}

/* A process that relays what comes to *out_port. */
static inline pid_t relay_start(int port, const atomic_int *cut, int *out_port) {
  const int listener = etcd_listen(out_port);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    relay_run(listener, port, cut);
  }
  close(listener);
  return child;
}

#endif
