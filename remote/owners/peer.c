#include "remote/owners/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "remote/address.h"
#include "remote/owners/inside.h"
#include "remote/proof.h"

enum { ROOM = 16384 };

struct OwnPeer {
  int fd;
  int64_t deadline_ns, deadline;
  Stop *stop;
  bool interrupted;
  Spin spin;
  FarWireBuffer out, in;
  char address[OWN_ADDRESS], name[OWN_ADDRESS + 20];
};

/* ---- frames ---------------------------------------------------------------------------------- */

static bool may_wait(void) { return errno == EAGAIN || errno == EINTR; }

const char *own_frame_send(int fd, const FarWireBuffer *out, OwnGoOn *go_on, void *ctx) {
  for (size_t at = 0; at < out->length;) {
    const ssize_t n = send(fd, out->bytes + at, out->length - at, MSG_NOSIGNAL);
    if (n > 0) {
      at += (size_t)n;
    } else if (n < 0 && !may_wait()) {
      return strerror(errno);
    } else if (!go_on(ctx)) {
      return "no answer in time";
    }
  }
  return NULL;
}

static bool make_room(FarWireBuffer *in, size_t wanted) {
  if (in->capacity >= wanted) return true;
  const size_t length = in->length;
  const bool ok = far_wire_more(in, wanted - length) != NULL;
  in->length = length;
  return ok;
}

const char *own_frame_receive(int fd, FarWireBuffer *in, uint32_t most, uint32_t *out_kind,
                              Spin *spin, OwnGoOn *go_on, void *ctx) {
  size_t wanted = 8;
  in->length = 0;
  for (;;) {
    uint32_t head[2] = {0};
    if (in->length >= 8) {
      memcpy(head, in->bytes, sizeof head);
      if (head[0] > most || head[0] % 8) return "a message of a wrong length";
      wanted = 8 + (size_t)head[0];
    }
    if (in->length >= wanted) {
      *out_kind = head[1];
      return in->length == wanted ? NULL : "a message that nobody asked for";
    }
    if (in->length && !go_on(ctx)) return "no answer in time"; /* it comes in pieces */
    if (!make_room(in, wanted > ROOM ? wanted : ROOM)) return "out of memory";
    unsigned char *to = in->bytes + in->length;
    const size_t room = in->capacity - in->length;
    const ssize_t n = spin ? spin_recv(spin, fd, to, room) : recv(fd, to, room, 0);
    if (n == 0) return "the other side closed the connection";
    if (n > 0) {
      in->length += (size_t)n;
    } else if (!may_wait()) {
      return strerror(errno);
    } else if (!go_on(ctx)) {
      return "no answer in time";
    }
  }
}

void own_proof(const char *secret, bool server, const unsigned char *client_nonce,
               const unsigned char *server_nonce, unsigned char out[WIRE_PROOF]) {
  char text[300];
  snprintf(text, sizeof text, "link %s", secret);
  proof_make(text, server, client_nonce, server_nonce, out);
}

/* ---- a connection ---------------------------------------------------------------------------- */

static bool go_on(void *ctx) {
  OwnPeer *peer = ctx;
  peer->interrupted = peer->stop && stop_now(peer->stop);
  return !peer->interrupted && clock_now() < peer->deadline;
}

static bool lose(OwnPeer *peer, const char *why, Fault *fault) {
  own_socket_remove(&peer->fd);
  return peer->interrupted ? fault_set(fault, FAULT_INTERRUPT, "%s: interrupted", peer->address)
                           : fault_set(fault, FAULT_IO, "%s: %s", peer->address, why);
}

static bool exchange(OwnPeer *peer, uint32_t wanted, Stop *stop, Fault *fault) {
  uint32_t kind = 0;
  peer->stop = stop;
  peer->interrupted = false;
  peer->deadline = clock_now() + peer->deadline_ns;
  if (peer->fd < 0) return lose(peer, "the connection was lost", fault);
  far_wire_end(&peer->out, 0);
  const char *wrong = own_frame_send(peer->fd, &peer->out, go_on, peer);
  if (!wrong)
    wrong = own_frame_receive(peer->fd, &peer->in, WIRE_MOST, &kind, &peer->spin, go_on, peer);
  if (wrong) return lose(peer, wrong, fault);
  if (kind == wanted) return true;
  if (kind != OWN_MSG_FAULT) return lose(peer, "an answer to something else", fault);
  Fault told = {0};
  far_wire_take_fault(peer->in.bytes + 8, peer->in.length - 8, &told);
  return fault_set(fault, told.code, "%s: %s", peer->address, told.text);
}

static bool shake_hands(OwnPeer *peer, const char *secret, Stop *stop, Fault *fault) {
  unsigned char mine[WIRE_NONCE], theirs[WIRE_NONCE], proof[WIRE_PROOF];
  const unsigned char *body;
  FarWireBuffer *out = &peer->out;
  if (!proof_nonce(mine)) return lose(peer, "no random numbers", fault);
  if (!far_wire_begin(out, (FarWireKind)OWN_MSG_HELLO) || !own_put_word(out, OWN_WIRE_VERSION) ||
      !far_wire_add(out, mine, sizeof mine))
    return fault_oom(fault);
  if (!exchange(peer, OWN_MSG_CHALLENGE, stop, fault)) return false;
  if (peer->in.length != 8 + WIRE_NONCE) return lose(peer, "no node answers here", fault);
  memcpy(theirs, peer->in.bytes + 8, sizeof theirs);
  own_proof(secret, false, mine, theirs, proof);
  out->length = 0;
  if (!far_wire_begin(out, (FarWireKind)OWN_MSG_PROVE) || !far_wire_add(out, proof, sizeof proof))
    return fault_oom(fault);
  if (!exchange(peer, OWN_MSG_WELCOME, stop, fault)) return false;
  own_proof(secret, true, mine, theirs, proof);
  body = peer->in.bytes + 8;
  const size_t length = peer->in.length - 8;
  if (length < WIRE_PROOF || !proof_same(proof, body))
    return lose(peer, "the node does not know the secret", fault);
  const unsigned char *at = body + WIRE_PROOF, *end = body + length;
  OwnBytes name;
  if (!own_take_bytes(&at, end, &name) || name.length >= sizeof peer->name)
    return lose(peer, "no node answers here", fault);
  snprintf(peer->name, sizeof peer->name, "%.*s", (int)name.length, name.bytes);
  return true;
}

OwnPeer *own_peer_open(const char *address, const char *secret, int64_t deadline_ns, Stop *stop,
                       Fault *fault) {
  OwnPeer *peer = calloc(1, sizeof *peer);
  if (!peer) {
    fault_oom(fault);
    return NULL;
  }
  snprintf(peer->address, sizeof peer->address, "%s", address);
  peer->deadline_ns = deadline_ns;
  peer->fd = address_connect(address, clock_now() + deadline_ns, stop, fault);
  own_socket_add(&peer->fd);
  if (peer->fd >= 0 && shake_hands(peer, secret, stop, fault)) return peer;
  own_peer_close(peer);
  return NULL;
}

void own_peer_close(OwnPeer *peer) {
  if (!peer) return;
  own_socket_remove(&peer->fd);
  far_wire_free(&peer->out);
  far_wire_free(&peer->in);
  free(peer);
}

const char *own_peer_name(const OwnPeer *peer) { return peer->name; }
bool own_peer_lost(const OwnPeer *peer) { return peer->fd < 0; }

/* ---- requests -------------------------------------------------------------------------------- */

FarWireBuffer *own_peer_begin(OwnPeer *peer, OwnKindOfMessage kind, const char *table) {
  peer->out.length = 0;
  const bool ok = far_wire_begin(&peer->out, (FarWireKind)kind) &&
                  own_put_bytes(&peer->out, table, strlen(table));
  return ok ? &peer->out : NULL;
}

bool own_peer_ask(OwnPeer *peer, OwnAnswer *out, const unsigned char **out_at,
                  const unsigned char **out_end, Stop *stop, Fault *fault) {
  uint64_t answer;
  if (peer->out.length > WIRE_MOST)
    return fault_set(fault, FAULT_LIMIT, "%s: a message of %zu bytes, the limit is %d",
                     peer->address, peer->out.length, WIRE_MOST);
  if (!exchange(peer, OWN_MSG_DONE, stop, fault)) return false;
  *out_at = peer->in.bytes + 8;
  *out_end = peer->in.bytes + peer->in.length;
  if (!own_take_word(out_at, *out_end, &answer) || answer > OWN_NOMEM)
    return lose(peer, "an answer is no answer", fault);
  *out = (OwnAnswer)answer;
  return true;
}

bool own_peer_tell(OwnPeer *peer, OwnAnswer *out, Stop *stop, Fault *fault) {
  const unsigned char *at, *end;
  return own_peer_ask(peer, out, &at, &end, stop, fault);
}
