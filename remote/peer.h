/*
** A server from inside: server.c has the connections, serve.c what is asked on them.
*/
#ifndef TENFOLD_REMOTE_PEER_H
#define TENFOLD_REMOTE_PEER_H

#include "remote/memory.h"
#include "remote/server.h"
#include "remote/verbs.h"
#include "remote/wire.h"

enum { FAR_LISTENERS = 16 };

typedef enum PeerStage { PEER_NEW, PEER_CHALLENGED, PEER_PROVED } PeerStage;

typedef struct Peer { /* a connection */
  struct Peer *next, **link;
  int fd;
  PeerStage stage;
  uint64_t client;
  unsigned char hers[WIRE_NONCE], mine[WIRE_NONCE];
  FarWireBuffer in, out;
  size_t sent;     /* of out */
  bool waits;      /* epoll is asked to tell when more can be sent */
  FarLooks looks;  /* what she watches (notices.c) */
  uint64_t notice; /* number of the last one that was sent */
  int64_t told_at; /* clock_now() then */
  bool unheard;    /* she has not said that she heard it */
  size_t turn;     /* counts looks at what she watches, for the next notice */
  int64_t heard;   /* clock_now() when she last said something, or took some of what she is sent;
                      before the proof: when she came */
} Peer;

struct FarServer {
  FarMemory *memory;
  FarVerbs *verbs; /* NULL: none */
  char *secret;
  unsigned most;
  int64_t lease_ns; /* 0: none */
  int64_t spin_ns;
  int64_t served; /* when something of a client last came */
  int64_t awake;  /* clock_now() when we last looked for something to do */
  int64_t judged; /* … and whose lease has ended */
  int epoll, wake;
  int listeners[FAR_LISTENERS];
  int nlisteners;
  Peer *peers;
  struct FarEars *ears; /* NULL: nobody has watched anything yet */
  uint64_t changes;     /* of the notice board, when it was last looked at */
  int64_t looked;       /* clock_now() when everything that is watched was last looked at */
  bool watched;         /* somebody watches something */
  bool listened;        /* what is watched, or who is ready to hear of it, is not what it was */
  FarWireRound round;
  FarServerStats stats;
  void (*log)(const char *line);
};

/* For the log: a line about a peer. `why` may be NULL. */
void far_server_say(const FarServer *server, const char *what, const Peer *peer, const char *why);

/* Does all that was asked and is there in whole; answers are in peer->out. NULL, or why she is sent
** away. */
const char *far_serve(FarServer *server, Peer *peer);

/* Sends what finds room of peer->out. NULL, or why she is sent away. */
const char *far_server_send(FarServer *server, Peer *peer);
void far_server_drop(FarServer *server, Peer *peer, const char *why);
/* Asks epoll to tell when something comes in on it; events have `ctx`. */
bool far_server_wait(FarServer *server, int fd, void *ctx, uint32_t events, Fault *fault);

/* ---- notices (notices.c) --------------------------------------------------------------------- */

/* Requests: NULL, or why she is sent away. */
const char *far_peer_watch(FarServer *server, Peer *peer, const unsigned char *body, size_t length);
const char *far_peer_unwatch(FarServer *server, Peer *peer, uint64_t id);
const char *far_peer_heard(FarServer *server, Peer *peer, uint64_t number);

/* When everything that has come is served: looks at what is watched, and may have changed, and
** tells the peers. */
void far_server_notify(FarServer *server);
/* Something was heard, or the server ends. */
void far_server_heard(FarServer *server);
void far_server_deafen(FarServer *server);

#endif
