#define _GNU_SOURCE /* accept4, and SOCK_ flags */
#include "remote/address.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct Place {
  struct sockaddr_storage address;
  socklen_t length;
} Place;

static bool unix_place(const char *at, const char *path, Place *out, Fault *fault) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!*path || strlen(path) >= sizeof address.sun_path) {
    return fault_set(fault, FAULT_INVALID, "\"%s\": a path of 1 to %zu bytes", at,
                     sizeof address.sun_path - 1);
  }
  memcpy(address.sun_path, path, strlen(path));
  memcpy(&out->address, &address, sizeof address);
  out->length = sizeof address;
  return true;
}

/* The first address of the host. */
static bool tcp_place(const char *at, const char *name, bool passive, Place *out, Fault *fault) {
  char host[256];
  const char *colon = strrchr(name, ':');
  const size_t length = colon ? (size_t)(colon - name) : 0;
  if (!colon || length >= sizeof host || !colon[1])
    return fault_set(fault, FAULT_INVALID, "\"%s\": HOST:PORT is wanted", at);
  const bool brackets = length > 1 && name[0] == '[' && name[length - 1] == ']';
  snprintf(host, sizeof host, "%.*s", (int)(length - 2 * brackets), name + brackets);
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0};
  struct addrinfo *found;
  const int rc = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
  if (rc) return fault_set(fault, FAULT_NOTFOUND, "\"%s\": %s", at, gai_strerror(rc));
  memcpy(&out->address, found->ai_addr, found->ai_addrlen);
  out->length = found->ai_addrlen;
  freeaddrinfo(found);
  return true;
}

static bool place_of(const char *at, bool passive, Place *out, Fault *fault) {
  memset(out, 0, sizeof *out);
  if (!strncmp(at, "unix:", 5)) return unix_place(at, at + 5, out, fault);
  if (!strncmp(at, "tcp:", 4)) return tcp_place(at, at + 4, passive, out, fault);
  if (!strncmp(at, "verbs:", 6)) return tcp_place(at, at + 6, passive, out, fault);
  return fault_set(fault, FAULT_INVALID, "\"%s\": unix:PATH or tcp:HOST:PORT is wanted", at);
}

bool address_place(const char *at, bool passive, struct sockaddr_storage *out, Fault *fault) {
  Place place;
  if (!place_of(at, passive, &place, fault)) return false;
  *out = place.address;
  return true;
}

static bool refused(const char *at, const char *what, Fault *fault) {
  return fault_set(fault, errno == ENOENT ? FAULT_NOTFOUND : FAULT_IO, "%s: %s: %s", at, what,
                   strerror(errno));
}

static void prepare(int fd, const Place *place) {
  const struct timeval slice = {0, 10000};
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &slice, sizeof slice);
  if (place->address.ss_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Waits for a connection that is on its way. */
static bool arrive(int fd, const char *at, int64_t deadline, Stop *stop, Fault *fault) {
  struct pollfd poll_for = {.fd = fd, .events = POLLOUT};
  int error = 0;
  socklen_t length = sizeof error;
  while (poll(&poll_for, 1, 10) <= 0) {
    if (stop && stop_now(stop)) return fault_set(fault, FAULT_INTERRUPT, "%s: interrupted", at);
    if (clock_now() > deadline) return fault_set(fault, FAULT_IO, "%s: no connection in time", at);
  }
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  errno = error;
  return !error || refused(at, "cannot be reached", fault);
}

int address_connect(const char *at, int64_t deadline, Stop *stop, Fault *fault) {
  Place place;
  if (!place_of(at, false, &place, fault)) return -1;
  const int fd = socket(place.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    refused(at, "no socket", fault);
    return -1;
  }
  const int rc = connect(fd, (struct sockaddr *)&place.address, place.length);
  bool ok =
      rc == 0 || errno == EINPROGRESS || errno == EAGAIN || refused(at, "cannot be reached", fault);
  if (ok && rc) ok = arrive(fd, at, deadline, stop, fault);
  if (ok) {
    const int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    prepare(fd, &place);
    return fd;
  }
  close(fd);
  return -1;
}

/* A socket file that nobody listens at is of a server that died. */
static void clear_path(const char *at) {
  struct stat status;
  Fault ignored = {0};
  if (strncmp(at, "unix:", 5) || stat(at + 5, &status) || !S_ISSOCK(status.st_mode)) return;
  const int fd = address_connect(at, clock_now() + 100000000, NULL, &ignored);
  if (fd < 0) {
    unlink(at + 5);
  } else {
    close(fd);
  }
}

/* Listens at a path of its own first: whoever sees the socket file can connect to it. */
static bool listen_at_path(int fd, const char *at, Fault *fault) {
  enum { SUFFIX = 12 };
  Place place;
  char path[sizeof((struct sockaddr_un *)0)->sun_path];
  if (strlen(at + 5) >= sizeof path - SUFFIX)
    return fault_set(fault, FAULT_INVALID, "\"%s\": a path of 1 to %zu bytes to listen at", at,
                     sizeof path - SUFFIX - 1);
  snprintf(path, sizeof path, "%s.%d", at + 5, (int)getpid());
  if (!unix_place(at, path, &place, fault)) return false;
  unlink(path);
  bool ok = bind(fd, (struct sockaddr *)&place.address, place.length) == 0 && listen(fd, 128) == 0;
  if (ok) clear_path(at);
  ok = ok && link(path, at + 5) == 0;
  if (!ok) {
    if (errno == EEXIST) errno = EADDRINUSE;
    refused(at, "cannot listen", fault);
  }
  unlink(path);
  return ok;
}

static bool listen_at_port(int fd, const char *at, const Place *place, Fault *fault) {
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return (bind(fd, (struct sockaddr *)&place->address, place->length) == 0 &&
          listen(fd, 128) == 0) ||
         refused(at, "cannot listen", fault);
}

int address_listen(const char *at, Fault *fault) {
  Place place;
  if (!place_of(at, true, &place, fault)) return -1;
  const int fd = socket(place.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    refused(at, "no socket", fault);
    return -1;
  }
  if (place.address.ss_family == AF_UNIX ? listen_at_path(fd, at, fault)
                                         : listen_at_port(fd, at, &place, fault))
    return fd;
  close(fd);
  return -1;
}
