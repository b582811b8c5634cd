/*
** What peers watch, and how they are told. Each has one notice on its way at most, so that who does
** not listen costs nothing, and finds one notice of each watch when he does.
*/
#include <string.h>
#include <sys/epoll.h>

#include "remote/ears.h"
#include "remote/peer.h"

/* Watches of a peer: those that end with a notice stay until it was heard. Bytes of a notice: it
** should find room in the socket, for she may not listen. */
enum { MOST = 2 * FAR_WATCHES, ROOM = 16384 };

static const int64_t recheck_ns = FAR_RECHECK * INT64_C(1000000);

static FarClient *client_of(const FarServer *server, const Peer *peer) {
  const FarMemory *memory = server->memory;
  return (FarClient *)(void *)(memory->mapped.base + memory->head.clients) +
         far_client_slot(peer->client);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void end(FarServer *server, Peer *peer, FarLook *look) {
  far_looks_unpin(&peer->looks, &server->memory->mapped, client_of(server, peer), look);
  far_looks_remove(&peer->looks, look);
  server->listened = true;
}

const char *far_peer_watch(FarServer *server, Peer *peer, const unsigned char *body,
                           size_t length) {
  const FarMapped *mapped = &server->memory->mapped;
  FarLook look;
  if (!far_wire_take_watch(body, length, &look)) return "a watch that is none";
  const char *wrong = far_watch_fault(&look.what, mapped->region, mapped->size);
  if (wrong) return wrong;
  if (peer->looks.count >= MOST) return "too many watches";
  if (far_looks_get(&peer->looks, look.id)) return "two watches of one number";
  if (!far_looks_add(&peer->looks, &look)) return "out of memory";
  far_looks_pin(&peer->looks, mapped, client_of(server, peer), &look);
  server->listened = true;
  return NULL;
}

const char *far_peer_unwatch(FarServer *server, Peer *peer, uint64_t id) {
  FarLook *look = far_looks_get(&peer->looks, id);
  if (look) end(server, peer, look); /* else it ended by itself */
  return NULL;
}

/* An older number than the last one: the notice was lost, unless it is on its way still. */
const char *far_peer_heard(FarServer *server, Peer *peer, uint64_t number) {
  if (!peer->unheard) return NULL;
  if (number != peer->notice && clock_now() - peer->told_at < recheck_ns) return NULL;
  for (size_t i = peer->looks.count; i-- > 0;) {
    FarLook *look = &peer->looks.list[i];
    if (!look->sent) continue;
    look->sent = false;
    if (number != peer->notice) {
      look->again = true;
    } else if (look->what.once) {
      end(server, peer, look);
    }
  }
  peer->unheard = false;
  server->listened = true;
  return NULL;
}

/* ---- notices --------------------------------------------------------------------------------- */

/* One part of a notice, if there still is something to tell. False: no memory. */
static bool put(const FarServer *server, Peer *peer, FarLook *look) {
  unsigned char bytes[FAR_WATCH_DATA];
  FarWireNotice part = {.id = look->id};
  const bool copied = look->what.length <= sizeof bytes;
  part.known = far_look(&server->memory->mapped, &look->what, copied ? bytes : NULL);
  const bool differs = far_look_differs(look, part.known), again = look->again;
  look->differs = look->again = false;
  if (!differs && !(again && (look->what.kind < FAR_EQUAL || part.known))) return true;
  if (copied && look->what.length == sizeof part.word) memcpy(&part.word, bytes, sizeof part.word);
  if (look->what.kind == FAR_CHANGED_DATA) {
    part.data = bytes;
    part.length = look->what.length;
  }
  look->known = part.known;
  look->sent = peer->unheard = true;
  return far_wire_put_notice(&peer->out, &part);
}

static bool write_notice(FarServer *server, Peer *peer) {
  FarWireBuffer *out = &peer->out;
  const size_t from = out->length;
  const uint64_t number = peer->notice + 1;
  if (!far_wire_begin(out, WIRE_NOTICE) || !far_wire_add(out, &number, sizeof number)) return false;
  const size_t count = peer->looks.count;
  for (size_t i = 0; i < count && out->length - from < ROOM; i++) {
    FarLook *look = &peer->looks.list[peer->turn++ % count]; /* who found no room is the next */
    if ((look->differs || look->again) && !put(server, peer, look)) return false;
  }
  if (peer->unheard) {
    server->stats.notices++;
    peer->notice = number;
    peer->told_at = clock_now();
    far_wire_end(out, from);
  } else {
    out->length = from; /* it is as it was */
  }
  return true;
}

static void differ(void *ctx, FarLook *look) {
  (void)ctx;
  look->differs = true;
}

/* NULL, or why she is sent away. */
static const char *notify(FarServer *server, Peer *peer, bool everything) {
  far_looks_check(&peer->looks, &server->memory->mapped, everything, differ, NULL);
  if (peer->unheard || peer->waits) return NULL;
  if (!write_notice(server, peer)) return "out of memory";
  return far_server_send(server, peer);
}

/* What all of them need to hear. */
static void listen(FarServer *server) {
  uint64_t set[FAR_BOARD / 64] = {0};
  server->watched = false;
  for (const Peer *peer = server->peers; peer; peer = peer->next) {
    server->watched = server->watched || peer->looks.count > 0;
    for (unsigned i = 0; i < FAR_BOARD / 64; i++) set[i] |= peer->looks.set[i];
  }
  if (server->watched && !server->ears) { /* without them, it is looked at now and then */
    server->ears = far_ears_open(&server->memory->mapped);
    if (server->ears &&
        !far_server_wait(server, far_ears_event(server->ears), &server->ears, EPOLLIN, NULL))
      far_server_deafen(server);
  }
  if (server->ears) far_ears_listen(server->ears, set);
}

void far_server_notify(FarServer *server) {
  const FarBoard *board = far_board(&server->memory->mapped);
  if (!server->watched && !server->listened) return;
  const int64_t now = clock_now();
  const bool everything = now - server->looked > recheck_ns, listened = server->listened;
  const uint64_t changes = atomic_load((const _Atomic uint64_t *)&board->all.changes);
  if (!everything && !listened && changes == server->changes) return;
  if (everything) server->looked = now;
  server->changes = changes;
  server->listened = false;
  for (Peer *peer = server->peers, *next; peer; peer = next) {
    next = peer->next;
    const char *why = peer->looks.count ? notify(server, peer, everything) : NULL;
    if (why) far_server_drop(server, peer, why);
  }
  if (listened) listen(server);
}

void far_server_heard(FarServer *server) { far_ears_clear(server->ears); }

void far_server_deafen(FarServer *server) {
  far_ears_close(server->ears);
  server->ears = NULL;
}
