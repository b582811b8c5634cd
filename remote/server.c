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

#include "base/array.h"
#include "remote/address.h"
#include "remote/client.h"
#include "remote/log.h"
#include "remote/memory.h"
#include "remote/proof.h"
#include "remote/verbs.h"
#include "remote/wire.h"

enum { LISTENERS = 16, EVENTS = 64, UNPROVED = 256, SPARE = 65536 };

typedef enum PeerStage { PEER_NEW, PEER_CHALLENGED, PEER_PROVED } PeerStage;

typedef struct Peer { /* a connection */
  struct Peer *next, **link;
  int fd;
  PeerStage stage;
  uint64_t client;
  unsigned char hers[WIRE_NONCE], mine[WIRE_NONCE];
  FarWireBuffer in, out;
  size_t sent; /* of out */
  bool waits;  /* epoll is asked to tell when more can be sent */
  bool gone;
} Peer;

struct FarServer {
  FarMemory *memory;
  FarVerbs *verbs; /* NULL: none */
  char *secret;
  unsigned most;
  int epoll, wake;
  int listeners[LISTENERS];
  int nlisteners;
  Peer *peers;
  FarWireRound round;
  FarServerStats stats;
  void (*log)(const char *line);
};

static void say(const FarServer *server, const char *what, const Peer *peer, const char *why) {
  char line[FAULT_TEXT + 100];
  if (!server->log) return;
  snprintf(line, sizeof line, "client %llx %s%s%s", (unsigned long long)peer->client, what,
           why ? ": " : "", why ? why : "");
  server->log(line);
}

/* ---- opening --------------------------------------------------------------------------------- */

FarServer *far_server_open(FarMemory *memory, const char *secret, unsigned most_clients,
                           Fault *fault) {
  if (!memory->mapped.base) {
    fault_set(fault, FAULT_INVALID, "%s: only memory that is mapped here can be served",
              memory->at);
    return NULL;
  }
  FarServer *server = calloc(1, sizeof *server);
  if (!server || !(server->secret = strdup(secret ? secret : ""))) {
    free(server);
    fault_oom(fault);
    return NULL;
  }
  server->memory = memory;
  server->wake = -1;
  server->most = most_clients ? most_clients : FAR_CLIENTS - 1;
  server->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (server->epoll >= 0) return server;
  fault_set(fault, FAULT_IO, "epoll: %s", strerror(errno));
  far_server_close(server);
  return NULL;
}

static bool watch(FarServer *server, int fd, void *ctx, uint32_t events, Fault *fault) {
  struct epoll_event event = {.events = events, .data.ptr = ctx};
  return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ||
         fault_set(fault, FAULT_IO, "epoll: %s", strerror(errno));
}

bool far_server_listen(FarServer *server, const char *at, Fault *fault) {
  if (server->nlisteners == LISTENERS)
    return fault_set(fault, FAULT_LIMIT, "more than %d places to listen at", LISTENERS);
  const int fd = address_listen(at, fault);
  if (fd < 0) return false;
  server->listeners[server->nlisteners] = fd;
  return watch(server, fd, &server->listeners[server->nlisteners++], EPOLLIN, fault);
}

bool far_server_listen_verbs(FarServer *server, const char *at, Fault *fault) {
  if (server->verbs) return fault_set(fault, FAULT_LIMIT, "%s: verbs are served already", at);
  if (!far_mapped_alone(server->memory, fault) || !far_server_listen(server, at, fault) ||
      !(server->verbs = far_verbs_open(&server->memory->mapped, at, fault)))
    return false;
  return watch(server, far_verbs_fd(server->verbs), server->verbs, EPOLLIN, fault);
}

void far_server_stats(const FarServer *server, FarServerStats *out) { *out = server->stats; }

/* ---- peers ----------------------------------------------------------------------------------- */

static void accept_peer(FarServer *server, int listener) {
  const int on = 1;
  Fault fault = {0};
  const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  Peer *peer = server->stats.clients < server->most ? calloc(1, sizeof *peer) : NULL;
  if (!peer || !watch(server, fd, peer, EPOLLIN, &fault)) {
    server->stats.refused++;
    free(peer);
    close(fd);
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* of no use to unix sockets */
  peer->fd = fd;
  peer->next = server->peers;
  peer->link = &server->peers;
  if (peer->next) peer->next->link = &peer->next;
  server->peers = peer;
  server->stats.clients++;
  server->stats.accepted++;
}

/* No operation of hers comes any more: only then is she buried. */
static void drop_peer(FarServer *server, Peer *peer, const char *why) {
  Fault fault = {0};
  close(peer->fd);
  if (peer->client && server->verbs) far_verbs_drop(server->verbs, peer->client);
  if (peer->client) {
    server->stats.buried++;
    const bool whole = far_mapped_end_client(server->memory, peer->client, &fault);
    say(server, "left", peer, whole ? why : fault.text);
  } else {
    server->stats.refused++;
    say(server, "was sent away", peer, why);
  }
  *peer->link = peer->next;
  if (peer->next) peer->next->link = peer->link;
  far_wire_free(&peer->in);
  far_wire_free(&peer->out);
  server->stats.clients--;
  free(peer);
}

/* ---- answers --------------------------------------------------------------------------------- */

static bool answer_fault(Peer *peer, const Fault *fault) {
  const size_t from = peer->out.length;
  if (!far_wire_begin(&peer->out, WIRE_FAULT) || !far_wire_put_fault(&peer->out, fault))
    return false;
  far_wire_end(&peer->out, from);
  return true;
}

static bool answer(Peer *peer, FarWireKind kind, const void *bytes, size_t n) {
  const size_t from = peer->out.length;
  if (!far_wire_begin(&peer->out, kind) || !far_wire_add(&peer->out, bytes, n)) return false;
  far_wire_end(&peer->out, from);
  return true;
}

/* NULL, or why she is sent away. */
static const char *greet(Peer *peer, const unsigned char *body, size_t length) {
  uint64_t version;
  if (length != 8 + WIRE_NONCE) return "no greeting";
  memcpy(&version, body, sizeof version);
  if (version != WIRE_VERSION) return "another version of the protocol";
  memcpy(peer->hers, body + 8, WIRE_NONCE);
  if (!proof_nonce(peer->mine)) return "no random numbers";
  peer->stage = PEER_CHALLENGED;
  return answer(peer, WIRE_CHALLENGE, peer->mine, WIRE_NONCE) ? NULL : "out of memory";
}

static const char *welcome(FarServer *server, Peer *peer, const unsigned char *body,
                           size_t length) {
  unsigned char proof[WIRE_PROOF], bytes[WIRE_PROOF + 8 + sizeof(FarHeader)];
  Fault fault = {0};
  proof_make(server->secret, false, peer->hers, peer->mine, proof);
  if (length != WIRE_PROOF || !proof_same(proof, body)) {
    fault_set(&fault, FAULT_DENIED, "the secret is not the server's");
    answer_fault(peer, &fault);
    return "a wrong secret";
  }
  if (!far_mapped_begin_client(server->memory, &peer->client, &fault)) {
    answer_fault(peer, &fault);
    return "no more clients";
  }
  proof_make(server->secret, true, peer->hers, peer->mine, bytes);
  memcpy(bytes + WIRE_PROOF, &peer->client, 8);
  memcpy(bytes + WIRE_PROOF + 8, server->memory->mapped.base, sizeof(FarHeader));
  peer->stage = PEER_PROVED;
  say(server, "came", peer, NULL);
  return answer(peer, WIRE_WELCOME, bytes, sizeof bytes) ? NULL : "out of memory";
}

static const char *do_round(FarServer *server, Peer *peer, const unsigned char *body,
                            size_t length) {
  const char *wrong = far_wire_take_round(&server->round, body, length);
  if (wrong) return wrong;
  Fault fault = {0};
  bool skip = false;
  const size_t from = peer->out.length;
  if (!far_wire_begin(&peer->out, WIRE_DONE) || !far_wire_make_answer(&server->round, &peer->out))
    return "out of memory";
  server->stats.rounds++;
  server->stats.operations += server->round.n;
  if (!far_execute(&server->memory->mapped, server->round.ops, server->round.n, &skip, &fault)) {
    peer->out.length = from;
    return answer_fault(peer, &fault) ? NULL : "out of memory";
  }
  far_wire_finish_answer(&server->round, &peer->out);
  far_wire_end(&peer->out, from);
  return NULL;
}

/* ---- what is asked of the memory itself ------------------------------------------------------ */

static const char *do_reserve(FarServer *server, Peer *peer, const uint64_t *words) {
  const FarMemory *memory = server->memory;
  Fault fault = {0};
  if (words[0] > memory->head.size || words[1] > memory->head.size - words[0])
    return "a range outside of the memory";
  const bool ok = memory->transport->reserve(server->memory, words[0], words[1], &fault);
  return (ok ? answer(peer, WIRE_DONE, NULL, 0) : answer_fault(peer, &fault)) ? NULL
                                                                              : "out of memory";
}

static const char *do_bury(FarServer *server, Peer *peer, uint64_t client) {
  Fault fault = {0};
  bool alive;
  if (!server->memory->transport->bury(server->memory, client, &alive, &fault))
    return answer_fault(peer, &fault) ? NULL : "out of memory";
  const uint64_t word = alive;
  return answer(peer, WIRE_DONE, &word, sizeof word) ? NULL : "out of memory";
}

static const char *do_queues(FarServer *server, Peer *peer) {
  Fault fault = {0};
  uint64_t token;
  const bool ok = server->verbs
                      ? far_verbs_expect(server->verbs, peer->client, &token, &fault)
                      : fault_set(&fault, FAULT_UNSUPPORTED, "the server does not serve verbs");
  return (ok ? answer(peer, WIRE_DONE, &token, sizeof token) : answer_fault(peer, &fault))
             ? NULL
             : "out of memory";
}

typedef struct Doubts {
  Peer *peer;
  bool list, ok;
  uint64_t decision; /* FarDecision about `mark` */
  const unsigned char *mark;
} Doubts;

static FarDecision decide(void *ctx, const unsigned char mark[FAR_MARK]) {
  Doubts *it = ctx;
  static const uint64_t no_id;
  if (it->list) {
    it->ok = it->ok && far_wire_add(&it->peer->out, &no_id, 8) &&
             far_wire_add(&it->peer->out, mark, FAR_MARK);
    return FAR_NOT_MINE;
  }
  return memcmp(mark, it->mark, FAR_MARK) ? FAR_NOT_MINE : (FarDecision)it->decision;
}

static const char *do_doubts(FarServer *server, Peer *peer) {
  Doubts it = {.peer = peer, .list = true, .ok = true};
  Fault fault = {0};
  int settled = 0;
  const size_t from = peer->out.length;
  if (!far_wire_begin(&peer->out, WIRE_DONE)) return "out of memory";
  if (!server->memory->transport->settle(server->memory, decide, &it, &settled, &fault)) {
    peer->out.length = from;
    return answer_fault(peer, &fault) ? NULL : "out of memory";
  }
  far_wire_end(&peer->out, from);
  return it.ok ? NULL : "out of memory";
}

static const char *do_settle(FarServer *server, Peer *peer, const unsigned char *body) {
  Doubts it = {.peer = peer, .mark = body + 8};
  Fault fault = {0};
  int settled = 0;
  memcpy(&it.decision, body + 8 + FAR_MARK, 8);
  if (it.decision != FAR_HAPPENED && it.decision != FAR_UNDONE) return "a decision of no kind";
  if (!server->memory->transport->settle(server->memory, decide, &it, &settled, &fault))
    return answer_fault(peer, &fault) ? NULL : "out of memory";
  const uint64_t word = settled > 0;
  return answer(peer, WIRE_DONE, &word, sizeof word) ? NULL : "out of memory";
}

/* ---- requests -------------------------------------------------------------------------------- */

static const char *do_frame(FarServer *server, Peer *peer, uint32_t kind, const unsigned char *body,
                            size_t length) {
  uint64_t words[2] = {0};
  if (kind == WIRE_HELLO && peer->stage == PEER_NEW) return greet(peer, body, length);
  if (kind == WIRE_PROVE && peer->stage == PEER_CHALLENGED)
    return welcome(server, peer, body, length);
  if (peer->stage != PEER_PROVED) return "a request before the proof";
  memcpy(words, body, length < sizeof words ? length : sizeof words);
  switch (kind) {
  case WIRE_ROUND:
    return do_round(server, peer, body, length);
  case WIRE_RESERVE:
    return length == 16 ? do_reserve(server, peer, words) : "a request of another length";
  case WIRE_BURY:
    return length == 8 ? do_bury(server, peer, words[0]) : "a request of another length";
  case WIRE_DOUBTS:
    return do_doubts(server, peer);
  case WIRE_SETTLE:
    return length == 16 + FAR_MARK ? do_settle(server, peer, body) : "a request of another length";
  case WIRE_QUEUES:
    return do_queues(server, peer);
  default:
    return "a request that is not known";
  }
}

/* All frames that are there in whole. */
static const char *do_frames(FarServer *server, Peer *peer) {
  size_t at = 0;
  const char *wrong = NULL;
  while (!wrong && peer->in.length - at >= 8) {
    uint32_t head[2];
    memcpy(head, peer->in.bytes + at, sizeof head);
    if (head[0] > (peer->stage == PEER_PROVED ? WIRE_MOST + 4096 : UNPROVED))
      return "a request that is too long";
    if (head[0] % 8) return "a request of another length";
    if (peer->in.length - at - 8 < head[0]) break;
    wrong = do_frame(server, peer, head[1], peer->in.bytes + at + 8, head[0]);
    at += 8 + (size_t)head[0];
  }
  memmove(peer->in.bytes, peer->in.bytes + at, peer->in.length - at);
  peer->in.length -= at;
  return wrong;
}

static const char *send_some(FarServer *server, Peer *peer) {
  while (peer->sent < peer->out.length) {
    const ssize_t n =
        send(peer->fd, peer->out.bytes + peer->sent, peer->out.length - peer->sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0 && errno != EINTR) return strerror(errno);
    if (n > 0) {
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
  in->length += (size_t)n;
  server->stats.bytes_in += (uint64_t)n;
  return do_frames(server, peer);
}

static void serve(FarServer *server, Peer *peer, uint32_t events) {
  const char *why = NULL;
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !peer->waits) why = receive_some(server, peer);
  const char *unsent = send_some(server, peer); /* also what says why she has to go */
  if (!why) why = unsent;
  if (why) drop_peer(server, peer, why);
}

static const int *listener_of(const FarServer *server, const void *ctx) {
  for (int i = 0; i < server->nlisteners; i++)
    if (ctx == &server->listeners[i]) return &server->listeners[i];
  return NULL;
}

bool far_server_run(FarServer *server, int wake, void (*log)(const char *line), Fault *fault) {
  struct epoll_event events[EVENTS];
  server->log = log;
  if (wake >= 0 && wake != server->wake) {
    if (!watch(server, wake, server, EPOLLIN, fault)) return false;
    server->wake = wake;
  }
  for (;;) {
    const int n = epoll_wait(server->epoll, events, EVENTS, -1);
    if (n < 0 && errno != EINTR) return fault_set(fault, FAULT_IO, "epoll: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
      void *ctx = events[i].data.ptr;
      if (ctx == server) return true;
      const int *listener = listener_of(server, ctx);
      if (listener) {
        accept_peer(server, *listener);
      } else if (ctx == server->verbs) {
        far_verbs_serve(server->verbs);
      } else {
        serve(server, ctx, events[i].events);
      }
    }
  }
}

void far_server_close(FarServer *server) {
  if (!server) return;
  while (server->peers) drop_peer(server, server->peers, "the server ends");
  far_verbs_close(server->verbs);
  for (int i = 0; i < server->nlisteners; i++) close(server->listeners[i]);
  if (server->epoll >= 0) close(server->epoll);
  far_wire_round_free(&server->round);
  free(server->secret);
  free(server);
}
