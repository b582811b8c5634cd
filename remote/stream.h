/*
** A connection to a server, from inside: stream.c has the connection and its frames, requests.c
** what is asked by them.
*/
#ifndef TENFOLD_REMOTE_STREAM_H
#define TENFOLD_REMOTE_STREAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "remote/memory.h"
#include "remote/spin.h"
#include "remote/wire.h"

typedef struct FarStream {
  FarWireBuffer out, in;
  size_t taken;     /* bytes of `in` that were frames, and are done with */
  int64_t deadline; /* of what is being asked; 0: the clock was not read yet */
  Stop *stop;
  Spin spin;
  /* Held while a frame is sent, and while the connection comes or goes: the thread that says that
  ** we live (alive.c) sends between frames. */
  pthread_mutex_t sending;
  _Atomic int64_t lease_ns; /* 0: the server gives none, or has not welcomed us yet */
  /* The rest of a frame that nobody waits for, and that found no room. */
  unsigned char rest[8 + FAR_BOARD / 8];
  size_t owed;
  uint64_t untold[FAR_BOARD / 64]; /* what far_stream_wrote() could not say yet */
  /* Notices (stream_watch.c): number of the last one, the one that we have said we heard, when. */
  uint64_t heard, said;
  int64_t said_at;
} FarStream;

bool far_stream_open(FarMemory *memory, const char *name, Fault *fault);
void far_stream_close(FarMemory *memory);
/* Connects, as a new client, what is not connected. */
bool far_stream_connect(FarMemory *memory, Stop *stop, Fault *fault);

/* Gives the connection up. Returns false, with the fault. */
bool far_stream_lost(FarMemory *memory, const char *what, Fault *fault);

/* A request begins: memory->stream->out is empty, and the deadline counts. False: there is no
** connection any more. */
bool far_stream_begin(FarMemory *memory, Stop *stop, Fault *fault);

/* Sends what is in `out`, a frame, and waits for the answer, of this kind; it stands in the
** stream's memory until the next one. What the server refuses is a fault; the connection stays. */
bool far_stream_ask(FarMemory *memory, FarWireKind wanted, const unsigned char **out_body,
                    size_t *out_length, Fault *fault);

/* Sends it, and waits for nothing. */
bool far_stream_send(FarMemory *memory, Fault *fault);

/* Takes what has come, and is not an answer to anything: notices. Does not wait. */
bool far_stream_idle(FarMemory *memory, Fault *fault);

/* A notice (stream_watch.c). */
bool far_stream_notice(FarMemory *memory, const unsigned char *body, size_t length, Fault *fault);

/* Slots of the notice board where a card has written for this client (verbs.c): what the server is
** told of it, should it listen. Never waits. */
void far_stream_wrote(FarMemory *memory, const uint64_t set[FAR_BOARD / 64]);

bool far_stream_watch(FarMemory *memory, const FarLook *look, Fault *fault);
void far_stream_unwatch(FarMemory *memory, const FarLook *look);
bool far_stream_hear(FarMemory *memory, int64_t ns, Fault *fault);

/* Says that this client lives, unless something is just being sent. Never waits. Returns the lease,
** 0: there is none. For another thread, between far_enlist() and far_delist(). */
int64_t far_stream_alive(FarMemory *memory);

#endif
