/*
** What is asked of a server, frame by frame. Nothing in a frame is trusted: who says what is no
** request is sent away.
*/
#include <string.h>

#include "base/array.h"
#include "remote/peer.h"
#include "remote/proof.h"

enum { UNPROVED = 256 }; /* bytes of a request before the proof */

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
  unsigned char proof[WIRE_PROOF], bytes[WIRE_PROOF + 16 + sizeof(FarHeader)];
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
  memcpy(bytes + WIRE_PROOF + 8, &server->lease_ns, 8);
  memcpy(bytes + WIRE_PROOF + 16, server->memory->mapped.base, sizeof(FarHeader));
  peer->stage = PEER_PROVED;
  peer->heard = clock_now();
  far_server_say(server, "came", peer, NULL);
  return answer(peer, WIRE_WELCOME, bytes, sizeof bytes) ? NULL : "out of memory";
}

static const char *do_round(FarServer *server, Peer *peer, const unsigned char *body,
                            size_t length) {
  const char *wrong = far_wire_take_round(&server->round, body, length);
  if (wrong) return wrong;
  Fault fault;
  fault_clear(&fault);
  FarTray tray;
  bool skip = false;
  FarWireRound *round = &server->round;
  const size_t from = peer->out.length;
  if (!far_wire_begin(&peer->out, WIRE_DONE) || !far_wire_make_answer(round, &peer->out, &tray))
    return "out of memory";
  server->stats.rounds++;
  server->stats.operations += round->n;
  if (!far_execute_onto(&server->memory->mapped, round->ops, round->n, &tray, &skip, &fault)) {
    peer->out.length = from;
    return answer_fault(peer, &fault) ? NULL : "out of memory";
  }
  far_wire_finish_answer(round, &peer->out);
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

/* What her card has written, past this server: whoever watches it is told now. */
static const char *do_wrote(FarServer *server, const unsigned char *body) {
  uint64_t set[FAR_BOARD / 64];
  memcpy(set, body, sizeof set);
  far_board_tell_slots(&server->memory->mapped, set);
  return NULL;
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
  case WIRE_ALIVE:
    return length == 0 ? NULL : "a request of another length";
  case WIRE_WATCH:
    return far_peer_watch(server, peer, body, length);
  case WIRE_UNWATCH:
    return length == 8 ? far_peer_unwatch(server, peer, words[0]) : "a request of another length";
  case WIRE_HEARD:
    return length == 8 ? far_peer_heard(server, peer, words[0]) : "a request of another length";
  case WIRE_WROTE:
    return length == FAR_BOARD / 8 ? do_wrote(server, body) : "a request of another length";
  default:
    return "a request that is not known";
  }
}

const char *far_serve(FarServer *server, Peer *peer) {
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
