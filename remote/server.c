#define _GNU_SOURCE /* accept4 */
#include "remote/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "remote/address.h"
#include "remote/peer.h"
#include "remote/spin.h"

enum { EVENTS = 64, SPARE = 65536 };

#define MILLISECOND INT64_C(1000000)

void far_server_say(const FarServer *server, const char *what, const Peer *peer, const char *why) {
  char line[FAULT_TEXT + 100];
  if (!server->log) return;
  snprintf(line, sizeof line, "client %llx %s%s%s", (unsigned long long)peer->client, what,
           why ? ": " : "", why ? why : "");
  server->log(line);
}

/* ---- opening --------------------------------------------------------------------------------- */

FarServer *far_server_open(FarMemory *memory, const FarServerOptions *options, Fault *fault) {
  static const FarServerOptions none;
  if (!options) options = &none;
  if (!memory->mapped.base) {
    fault_set(fault, FAULT_INVALID, "%s: only memory that is mapped here can be served",
              memory->at);
    return NULL;
  }
  FarServer *server = calloc(1, sizeof *server);
  if (!server || !(server->secret = strdup(options->secret ? options->secret : ""))) {
    free(server);
    fault_oom(fault);
    return NULL;
  }
  server->memory = memory;
  server->wake = -1;
  server->most = options->most_clients ? options->most_clients : FAR_CLIENTS - 1;
  server->lease_ns = options->lease_ns > 0    ? options->lease_ns
                     : options->lease_ns == 0 ? FAR_USUAL_LEASE * MILLISECOND
                                              : 0;
  server->spin_ns = spin_alone() ? 0 : options->spin_ns;
  server->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (server->epoll >= 0) return server;
  fault_set(fault, FAULT_IO, "epoll: %s", strerror(errno));
  far_server_close(server);
  return NULL;
}

bool far_server_wait(FarServer *server, int fd, void *ctx, uint32_t events, Fault *fault) {
  struct epoll_event event = {.events = events, .data.ptr = ctx};
  return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ||
         fault_set(fault, FAULT_IO, "epoll: %s", strerror(errno));
}

bool far_server_listen(FarServer *server, const char *at, Fault *fault) {
  if (server->nlisteners == FAR_LISTENERS)
    return fault_set(fault, FAULT_LIMIT, "more than %d places to listen at", FAR_LISTENERS);
  const int fd = address_listen(at, fault);
  if (fd < 0) return false;
  server->listeners[server->nlisteners] = fd;
  return far_server_wait(server, fd, &server->listeners[server->nlisteners++], EPOLLIN, fault);
}

bool far_server_listen_verbs(FarServer *server, const char *at, Fault *fault) {
  if (server->verbs) return fault_set(fault, FAULT_LIMIT, "%s: verbs are served already", at);
  if (!far_mapped_alone(server->memory, fault) || !far_server_listen(server, at, fault) ||
      !(server->verbs = far_verbs_open(&server->memory->mapped, at, fault)))
    return false;
  return far_server_wait(server, far_verbs_fd(server->verbs), server->verbs, EPOLLIN, fault);
}

void far_server_stats(const FarServer *server, FarServerStats *out) {
  const FarMapped *mapped = &server->memory->mapped;
  const FarHeader *head = (const FarHeader *)(const void *)mapped->base;
  const uint64_t ever = *(const volatile uint64_t *)&head->next_extent,
                 free_again = *(const volatile uint64_t *)&head->free_extents;
  *out = server->stats;
  out->watches = 0;
  for (const Peer *peer = server->peers; peer; peer = peer->next) out->watches += peer->looks.count;
  out->memory_size = mapped->size;
  out->memory_used = server->memory->head.data;
  if (ever <= server->memory->head.nextents && free_again <= ever)
    out->memory_used += (ever - free_again) * FAR_EXTENT;
}

/* ---- peers ----------------------------------------------------------------------------------- */

static void accept_peer(FarServer *server, int listener) {
  const int on = 1;
  Fault fault = {0};
  const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  Peer *peer = server->stats.clients < server->most ? calloc(1, sizeof *peer) : NULL;
  if (!peer || !far_server_wait(server, fd, peer, EPOLLIN, &fault)) {
    server->stats.refused++;
    free(peer);
    close(fd);
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* of no use to unix sockets */
  peer->fd = fd;
  peer->heard = clock_now();
  peer->next = server->peers;
  peer->link = &server->peers;
  if (peer->next) peer->next->link = &peer->next;
  server->peers = peer;
  server->stats.clients++;
  server->stats.accepted++;
}

/* No operation of hers comes any more: only then is she buried. */
void far_server_drop(FarServer *server, Peer *peer, const char *why) {
  Fault fault = {0};
  close(peer->fd);
  if (peer->client && server->verbs) far_verbs_drop(server->verbs, peer->client);
  if (peer->client) {
    server->stats.buried++;
    const bool whole = far_mapped_end_client(server->memory, peer->client, &fault);
    far_server_say(server, "left", peer, whole ? why : fault.text);
  } else {
    server->stats.refused++;
    far_server_say(server, "was sent away", peer, why);
  }
  *peer->link = peer->next;
  if (peer->next) peer->next->link = peer->link;
  far_wire_free(&peer->in);
  far_wire_free(&peer->out);
  server->listened = server->listened || peer->looks.count;
  far_looks_finish(&peer->looks);
  server->stats.clients--;
  free(peer);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

const char *far_server_send(FarServer *server, Peer *peer) {
  while (peer->sent < peer->out.length) {
    const ssize_t n =
        send(peer->fd, peer->out.bytes + peer->sent, peer->out.length - peer->sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0 && errno != EINTR) return strerror(errno);
    if (n > 0) {
      if (peer->waits) peer->heard = clock_now(); /* she has made room by taking something */
      peer->sent += (size_t)n;
      server->stats.bytes_out += (uint64_t)n;
    }
  }
  const bool waits = peer->sent < peer->out.length;
  if (!waits) {
    peer->sent = peer->out.length = 0;
    if (peer->out.capacity > 4 * SPARE) far_wire_free(&peer->out);
  }
  if (waits != peer->waits) { /* as long as she does not listen, she is not listened to */
    struct epoll_event event = {.events = waits ? EPOLLOUT : EPOLLIN, .data.ptr = peer};
    epoll_ctl(server->epoll, EPOLL_CTL_MOD, peer->fd, &event);
    peer->waits = waits;
  }
  return NULL;
}

static const char *receive_some(FarServer *server, Peer *peer) {
  FarWireBuffer *in = &peer->in;
  if (in->capacity - in->length < SPARE) {
    const size_t length = in->length;
    if (!far_wire_more(in, SPARE)) return "out of memory";
    in->length = length;
  }
  const ssize_t n = recv(peer->fd, in->bytes + in->length, in->capacity - in->length, 0);
  if (n == 0) return "good-bye";
  if (n < 0) return errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
  server->served = clock_now();
  if (peer->stage == PEER_PROVED) peer->heard = server->served;
  in->length += (size_t)n;
  server->stats.bytes_in += (uint64_t)n;
  return far_serve(server, peer);
}

static void serve(FarServer *server, Peer *peer, uint32_t events) {
  const char *why = NULL;
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !peer->waits) why = receive_some(server, peer);
  const char *unsent = far_server_send(server, peer); /* also what says why she has to go */
  if (!why) why = unsent;
  if (why) far_server_drop(server, peer, why);
}

static const int *listener_of(const FarServer *server, const void *ctx) {
  for (int i = 0; i < server->nlisteners; i++)
    if (ctx == &server->listeners[i]) return &server->listeners[i];
  return NULL;
}

/* ---- leases ---------------------------------------------------------------------------------- */

/* How long there may be nothing to do: ms, -1: for ever. */
static int patience(const FarServer *server) {
  const int longest = server->watched ? FAR_RECHECK : 1000000;
  if (!server->peers) return -1;
  if (!server->lease_ns) return server->watched ? longest : -1;
  const int64_t ms = server->lease_ns / MILLISECOND / 4;
  return ms < 1 ? 1 : ms > longest ? longest : (int)ms;
}

/* Gives up who was silent for the lease. If it was us who were stopped, or had too much to do,
** nobody could make himself heard: then all leases begin anew. */
static void end_leases(FarServer *server) {
  const int64_t now = clock_now();
  const bool absent = now - server->awake > server->lease_ns / 2;
  server->awake = now;
  if (!server->lease_ns || (!absent && now - server->judged < server->lease_ns / 8)) return;
  server->judged = now;
  for (Peer *peer = server->peers, *next; peer; peer = next) {
    next = peer->next;
    if (absent) {
      peer->heard = now;
    } else if (now - peer->heard > server->lease_ns) {
      char why[64];
      snprintf(why, sizeof why, "nothing was heard of it for %lld ms",
               (long long)(server->lease_ns / MILLISECOND));
      server->stats.silent++;
      far_server_drop(server, peer, why);
    }
  }
}

/* ---- running --------------------------------------------------------------------------------- */

static void serve_events(FarServer *server, const struct epoll_event *events, int n, bool *woken) {
  for (int i = 0; i < n; i++) {
    void *ctx = events[i].data.ptr;
    const int *listener = listener_of(server, ctx);
    if (ctx == server) {
      *woken = true;
    } else if (ctx == &server->ears) {
      far_server_heard(server);
    } else if (ctx == server->verbs) {
      far_verbs_serve(server->verbs);
    } else if (listener) {
      accept_peer(server, *listener);
    } else {
      serve(server, ctx, events[i].events);
    }
  }
}

/* Who has asked for something often asks for the next thing soon, and to be woken takes as long as
** all the rest of a round. */
static int next_events(const FarServer *server, struct epoll_event *events) {
  while (server->spin_ns && clock_now() - server->served < server->spin_ns) {
    const int n = epoll_wait(server->epoll, events, EVENTS, 0);
    if (n) return n;
  }
  return epoll_wait(server->epoll, events, EVENTS, patience(server));
}

bool far_server_run(FarServer *server, int wake, void (*log)(const char *line), Fault *fault) {
  struct epoll_event events[EVENTS];
  bool woken = false;
  server->log = log;
  if (wake >= 0 && wake != server->wake) {
    if (!far_server_wait(server, wake, server, EPOLLIN, fault)) return false;
    server->wake = wake;
  }
  server->awake = clock_now();
  while (!woken) {
    const int n = next_events(server, events);
    if (n < 0 && errno != EINTR) return fault_set(fault, FAULT_IO, "epoll: %s", strerror(errno));
    serve_events(server, events, n, &woken);
    if (n < EVENTS) end_leases(server); /* all that has come was read */
    far_server_notify(server);
  }
  return true;
}

void far_server_close(FarServer *server) {
  if (!server) return;
  while (server->peers) far_server_drop(server, server->peers, "the server ends");
  far_verbs_close(server->verbs);
  for (int i = 0; i < server->nlisteners; i++) close(server->listeners[i]);
  far_server_deafen(server);
  if (server->epoll >= 0) close(server->epoll);
  far_wire_round_free(&server->round);
  free(server->secret);
  free(server);
}
