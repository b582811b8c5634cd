/*
** Messages between nodes: a request and its answer on a connection, in frames as those of far
** memory (remote/wire.h: length, kind, body; little-endian; padded to 8). A connection is a
** transaction's identity: what was prepared on it and neither done nor undone when it ends is in
** doubt.
**
** A table is named in each request; keys and rows are as object.h writes them. What comes from the
** other side is not trusted.
*/
#ifndef TENFOLD_REMOTE_OWNERS_PEER_H
#define TENFOLD_REMOTE_OWNERS_PEER_H

#include "remote/owners/node.h"
#include "remote/spin.h"

enum { OWN_WIRE_VERSION = 2, OWN_PAGE = 256 << 10 };

typedef enum OwnKindOfMessage {
  OWN_MSG_HELLO = 64, /* version, nonce */
  OWN_MSG_CHALLENGE,  /* nonce */
  OWN_MSG_PROVE,      /* proof */
  OWN_MSG_WELCOME,    /* proof, the node's name */
  OWN_MSG_FAULT,      /* as far_wire_put_fault() */
  OWN_MSG_DONE,       /* OwnAnswer, and what follows */
  OWN_MSG_GET,        /* mask, n, n * (epoch, key): n * (OwnAnswer, version, row if found) */
  OWN_MSG_PREPARE,    /* n, n * (OwnExpect, version, epoch, gone, row): failed, n * epoch */
  OWN_MSG_COMMIT,
  OWN_MSG_ABORT,
  OWN_MSG_FORGET, /* n, n * key */
  OWN_MSG_CALL,   /* epoch, key, operation, arguments: a value */
  OWN_MSG_ROWS,   /* mask, slice, from: n, more, n * (version, row) */
  OWN_MSG_COUNTS, /* nslices * (state, rows, reads, writes, loads) */
  OWN_MSG_FLUSH,  /* a bit for each slice: all of it is in the database */
  OWN_MSG_MOVE,   /* slice, address: move it there */
  OWN_MSG_TAKE,   /* slice: it is coming */
  OWN_MSG_ARRIVE, /* slice, n, n * (version, gone, dirty, row) */
  OWN_MSG_BEGIN   /* slice, epoch, load, generation of its copy (0: none): it is yours */
} OwnKindOfMessage;

typedef struct OwnPeer OwnPeer;

/* Connects to the node at an address. False: FAULT_IO when it cannot be reached. */
OwnPeer *own_peer_open(const char *address, const char *secret, int64_t deadline_ns, Stop *stop,
                       Fault *fault);
void own_peer_close(OwnPeer *peer);
const char *own_peer_name(const OwnPeer *peer); /* of the node that answered */

/* A request about a table in the making; add to it. NULL: no memory. */
FarWireBuffer *own_peer_begin(OwnPeer *peer, OwnKindOfMessage kind, const char *table);

/* Sends it; what follows the answer stands at *out_at, until the next request. False: the fault
** that was answered, or FAULT_IO, FAULT_INTERRUPT: then the connection is gone (own_peer_lost()).
** */
bool own_peer_ask(OwnPeer *peer, OwnAnswer *out, const unsigned char **out_at,
                  const unsigned char **out_end, Stop *stop, Fault *fault);
bool own_peer_lost(const OwnPeer *peer);

/* The same for requests of which only the answer counts. */
bool own_peer_tell(OwnPeer *peer, OwnAnswer *out, Stop *stop, Fault *fault);

/* ---- one frame on a socket, for both sides --------------------------------------------------- */

/* NULL, or why there is none. *in keeps the frame. A socket's calls end after 10 ms: then `go_on`
** is asked. `spin`: whoever waits for an answer; NULL: for requests, which may take their time. */
typedef bool OwnGoOn(void *ctx);
const char *own_frame_receive(int fd, FarWireBuffer *in, uint32_t most, uint32_t *out_kind,
                              Spin *spin, OwnGoOn *go_on, void *ctx);
const char *own_frame_send(int fd, const FarWireBuffer *out, OwnGoOn *go_on, void *ctx);

/* The proof of the secret for links between nodes, which is no proof for far memories. */
void own_proof(const char *secret, bool server, const unsigned char *client_nonce,
               const unsigned char *server_nonce, unsigned char out[WIRE_PROOF]);

#endif
