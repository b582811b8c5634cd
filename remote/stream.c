/*
** unix:PATH and tcp:HOST:PORT: a far memory behind a server (farmemd). A round is a request and an
** answer. A connection that fails is given up: the server buries its client. far_revive() makes
** another one.
*/
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "remote/address.h"
#include "remote/alive.h"
#include "remote/client.h"
#include "remote/proof.h"
#include "remote/stream.h"

enum { SLICE = 10000000 }; /* ns that a call of the socket waits at most (address.c) */

/* ---- sending --------------------------------------------------------------------------------- */

static void disconnect(FarMemory *memory) {
  FarStream *stream = memory->stream;
  pthread_mutex_lock(&stream->sending);
  if (memory->fd >= 0) close(memory->fd);
  memory->fd = -1;
  stream->lease_ns = 0;
  stream->owed = 0;
  memset(stream->untold, 0, sizeof stream->untold);
  pthread_mutex_unlock(&stream->sending);
}

bool far_stream_lost(FarMemory *memory, const char *what, Fault *fault) {
  disconnect(memory);
  return fault_set(fault, FAULT_IO, "%s: %s", memory->at, what);
}

/* The clock is read only when something does not come at once; what is asked had begun so long
** before. */
static bool is_late(FarMemory *memory, int64_t before) {
  FarStream *stream = memory->stream;
  const int64_t now = clock_now();
  if (!stream->deadline) stream->deadline = now - before + memory->options.deadline_ns;
  return now >= stream->deadline;
}

/* Between two tries of a call that took its 10 ms, or was interrupted. False: the connection has to
** be given up. */
static bool go_on(FarMemory *memory, Fault *fault) {
  FarStream *stream = memory->stream;
  const int64_t before = errno == EAGAIN ? SLICE : 0;
  if (errno != EAGAIN && errno != EINTR)
    return fault_set(fault, FAULT_IO, "%s: %s", memory->at, strerror(errno));
  if (stream->stop && stop_now(stream->stop))
    return fault_set(fault, FAULT_INTERRUPT, "%s: interrupted", memory->at);
  if (!is_late(memory, before)) return true;
  memory->counts.timeouts++;
  return fault_set(fault, FAULT_IO, "%s: no answer in time", memory->at);
}

static bool send_bytes(FarMemory *memory, const unsigned char *bytes, size_t n, Fault *fault) {
  while (n > 0) {
    const ssize_t done = send(memory->fd, bytes, n, MSG_NOSIGNAL);
    if (done > 0) {
      bytes += done;
      n -= (size_t)done;
    } else if (!go_on(memory, fault)) {
      return false;
    }
  }
  return true;
}

static bool send_all(FarMemory *memory, Fault *fault) {
  FarStream *stream = memory->stream;
  pthread_mutex_lock(&stream->sending);
  const size_t owed = stream->owed;
  stream->owed = 0;
  const bool ok = send_bytes(memory, stream->rest, owed, fault) &&
                  send_bytes(memory, stream->out.bytes, stream->out.length, fault);
  pthread_mutex_unlock(&stream->sending);
  if (!ok) disconnect(memory);
  return ok;
}

/* What finds room of it; false: nothing did. What is owed of another one comes first. */
static bool send_some(FarMemory *memory, const void *frame, size_t n) {
  FarStream *stream = memory->stream;
  const int how = MSG_NOSIGNAL | MSG_DONTWAIT;
  if (stream->owed) {
    const ssize_t gone = send(memory->fd, stream->rest, stream->owed, how);
    if (gone > 0) {
      stream->owed -= (size_t)gone;
      memmove(stream->rest, stream->rest + gone, stream->owed);
    }
    if (stream->owed) return false;
  }
  const ssize_t sent = send(memory->fd, frame, n, how);
  if (sent <= 0) return false;
  stream->owed = n - (size_t)sent;
  memcpy(stream->rest, (const char *)frame + sent, stream->owed);
  return true;
}

int64_t far_stream_alive(FarMemory *memory) {
  static const uint32_t alive[2] = {0, WIRE_ALIVE};
  FarStream *stream = memory->stream;
  const int64_t lease = stream ? stream->lease_ns : 0;
  if (!lease || pthread_mutex_trylock(&stream->sending)) return lease;
  if (memory->fd >= 0 && stream->lease_ns) send_some(memory, alive, sizeof alive);
  pthread_mutex_unlock(&stream->sending);
  return lease;
}

void far_stream_wrote(FarMemory *memory, const uint64_t set[FAR_BOARD / 64]) {
  FarStream *stream = memory->stream;
  struct {
    uint32_t length, kind;
    uint64_t set[FAR_BOARD / 64];
  } frame = {FAR_BOARD / 8, WIRE_WROTE, {0}};
  pthread_mutex_lock(&stream->sending);
  for (int i = 0; i < FAR_BOARD / 64; i++) frame.set[i] = stream->untold[i] | set[i];
  const bool sent = memory->fd >= 0 && send_some(memory, &frame, sizeof frame);
  for (int i = 0; i < FAR_BOARD / 64; i++) stream->untold[i] = sent ? 0 : frame.set[i];
  pthread_mutex_unlock(&stream->sending);
}

/* ---- receiving ------------------------------------------------------------------------------- */

typedef struct Frame {
  uint32_t length, kind;
  const unsigned char *body;
} Frame;

/* The next frame if it is there in whole. *out_wanted: bytes that it takes, as far as is known. */
static bool next_frame(FarStream *stream, Frame *out, size_t *out_wanted) {
  const unsigned char *at = stream->in.bytes + stream->taken;
  const size_t there = stream->in.length - stream->taken;
  *out_wanted = 8;
  if (there < 8) return false;
  memcpy(out, at, 8);
  out->body = at + 8;
  *out_wanted += out->length;
  if (there < *out_wanted) return false;
  stream->taken += *out_wanted;
  return true;
}

/* More of it. *out_came: something did. */
static bool receive_more(FarMemory *memory, size_t wanted, bool wait, bool *out_came,
                         Fault *fault) {
  enum { AT_LEAST = 65536 };
  FarStream *stream = memory->stream;
  FarWireBuffer *in = &stream->in;
  if (wanted > WIRE_MOST + 4096) return far_stream_lost(memory, "an answer is no answer", fault);
  in->length -= stream->taken;
  if (in->length) memmove(in->bytes, in->bytes + stream->taken, in->length);
  stream->taken = 0;
  const size_t room = wanted > AT_LEAST ? wanted : AT_LEAST;
  if (in->capacity < room) {
    const size_t length = in->length;
    if (!far_wire_more(in, room - length)) {
      disconnect(memory); /* what comes would be taken for the next answer */
      return fault_oom(fault);
    }
    in->length = length;
  }
  unsigned char *to = in->bytes + in->length;
  const size_t most = in->capacity - in->length;
  const ssize_t n = wait ? spin_recv(&stream->spin, memory->fd, to, most)
                         : recv(memory->fd, to, most, MSG_DONTWAIT);
  *out_came = n > 0;
  if (n == 0) return far_stream_lost(memory, "the server closed the connection", fault);
  if (n > 0) in->length += (size_t)n;
  return true;
}

/* An answer; notices that come before it are taken. */
static bool receive(FarMemory *memory, Frame *out, Fault *fault) {
  size_t wanted;
  bool came = false, asked = false;
  for (;; asked = true) {
    while (next_frame(memory->stream, out, &wanted)) {
      if (out->kind != WIRE_NOTICE) return true;
      if (!far_stream_notice(memory, out->body, out->length, fault)) return false;
      if (is_late(memory, 0))
        return far_stream_lost(memory, "notices, but no answer in time", fault);
    }
    if (asked && came) errno = EINTR; /* some of it has come: the time counts all the same */
    if (asked && !go_on(memory, fault)) {
      disconnect(memory);
      return false;
    }
    if (!receive_more(memory, wanted, true, &came, fault)) return false;
  }
}

bool far_stream_idle(FarMemory *memory, Fault *fault) {
  Frame frame;
  size_t wanted;
  for (bool came = true; came;) {
    while (next_frame(memory->stream, &frame, &wanted)) {
      if (frame.kind != WIRE_NOTICE) return far_stream_lost(memory, "an answer to nothing", fault);
      if (!far_stream_notice(memory, frame.body, frame.length, fault)) return false;
    }
    if (!receive_more(memory, wanted, false, &came, fault)) return false;
    if (!came && errno != EAGAIN && errno != EINTR)
      return far_stream_lost(memory, strerror(errno), fault);
  }
  return true;
}

static void start(FarMemory *memory, Stop *stop) {
  memory->stream->deadline = 0;
  memory->stream->stop = stop;
  memory->stream->out.length = 0;
}

bool far_stream_begin(FarMemory *memory, Stop *stop, Fault *fault) {
  if (memory->fd < 0) return far_stream_lost(memory, "the connection was lost", fault);
  start(memory, stop);
  return true;
}

bool far_stream_send(FarMemory *memory, Fault *fault) {
  far_wire_end(&memory->stream->out, 0);
  return send_all(memory, fault);
}

bool far_stream_ask(FarMemory *memory, FarWireKind wanted, const unsigned char **out_body,
                    size_t *out_length, Fault *fault) {
  Frame frame;
  if (!far_stream_send(memory, fault) || !receive(memory, &frame, fault)) return false;
  *out_body = frame.body;
  *out_length = frame.length;
  if (frame.kind == wanted) return true;
  if (frame.kind != WIRE_FAULT)
    return far_stream_lost(memory, "an answer to something else", fault);
  Fault told = {0};
  far_wire_take_fault(frame.body, frame.length, &told);
  return fault_set(fault, told.code, "%s: %s", memory->at, told.text);
}

/* ---- a connection ---------------------------------------------------------------------------- */

/* What a server says of itself when it knows us. */
typedef struct Welcome {
  uint64_t client;
  int64_t lease_ns;
  FarHeader head;
} Welcome;

static bool shake_hands(FarMemory *memory, Welcome *out_welcome, Fault *fault) {
  FarWireBuffer *out = &memory->stream->out;
  const char *secret = memory->secret ? memory->secret : "";
  unsigned char mine[WIRE_NONCE], theirs[WIRE_NONCE], proof[WIRE_PROOF];
  const uint64_t version = WIRE_VERSION;
  const unsigned char *body;
  size_t length;
  if (!proof_nonce(mine)) return fault_set(fault, FAULT_IO, "%s: no random numbers", memory->at);
  if (!far_wire_begin(out, WIRE_HELLO) || !far_wire_add(out, &version, sizeof version) ||
      !far_wire_add(out, mine, sizeof mine))
    return fault_oom(fault);
  if (!far_stream_ask(memory, WIRE_CHALLENGE, &body, &length, fault)) return false;
  if (length != WIRE_NONCE) return far_stream_lost(memory, "no far memory answers here", fault);
  memcpy(theirs, body, sizeof theirs);
  proof_make(secret, false, mine, theirs, proof);
  out->length = 0;
  if (!far_wire_begin(out, WIRE_PROVE) || !far_wire_add(out, proof, sizeof proof))
    return fault_oom(fault);
  if (!far_stream_ask(memory, WIRE_WELCOME, &body, &length, fault)) return false;
  proof_make(secret, true, mine, theirs, proof);
  if (length != WIRE_PROOF + 16 + sizeof(FarHeader) || !proof_same(proof, body))
    return far_stream_lost(memory, "the server does not know the secret", fault);
  memcpy(&out_welcome->client, body + WIRE_PROOF, 8);
  memcpy(&out_welcome->lease_ns, body + WIRE_PROOF + 8, 8);
  memcpy(&out_welcome->head, body + WIRE_PROOF + 16, sizeof(FarHeader));
  const char *wrong = far_header_fault(&out_welcome->head, out_welcome->head.size);
  return !wrong || far_stream_lost(memory, wrong, fault);
}

bool far_stream_connect(FarMemory *memory, Stop *stop, Fault *fault) {
  FarStream *stream = memory->stream;
  Welcome welcome;
  start(memory, stop);
  is_late(memory, 0);
  const int fd = address_connect(memory->at, stream->deadline, stop, fault);
  if (fd < 0) return false;
  pthread_mutex_lock(&stream->sending);
  memory->fd = fd;
  pthread_mutex_unlock(&stream->sending);
  stream->in.length = stream->taken = 0;
  stream->heard = stream->said = 0;
  if (!shake_hands(memory, &welcome, fault)) {
    disconnect(memory);
    return false;
  }
  if (memory->client && welcome.head.incarnation != memory->head.incarnation) {
    disconnect(memory);
    return fault_set(fault, FAULT_IO,
                     "%s: the far memory was made anew, and what it held is lost: close the "
                     "connection and open it again",
                     memory->at);
  }
  memory->head = welcome.head;
  memory->client = welcome.client;
  /* What the client before had, the server has taken back. */
  memset(memory->pools, 0, sizeof memory->pools);
  memset(memory->dirty, 0, sizeof memory->dirty);
  memory->nfreed = 0;
  memory->log = memory->log_room = 0;
  memory->log_known = false;
  pthread_mutex_lock(&stream->sending);
  stream->lease_ns = welcome.lease_ns;
  pthread_mutex_unlock(&stream->sending);
  far_alive_again();
  return true;
}

bool far_stream_open(FarMemory *memory, const char *name, Fault *fault) {
  (void)name;
  FarStream *stream = calloc(1, sizeof *stream);
  if (!stream) return fault_oom(fault);
  pthread_mutex_init(&stream->sending, NULL);
  if (!far_alive_begin(fault)) {
    pthread_mutex_destroy(&stream->sending);
    free(stream);
    return false;
  }
  memory->stream = stream;
  far_enlist(memory);
  return far_stream_connect(memory, NULL, fault);
}

void far_stream_close(FarMemory *memory) {
  FarStream *stream = memory->stream;
  if (!stream) return;
  far_delist(memory);
  if (!memory->inherited) { /* the parent's thread, and perhaps a lock that nobody holds here */
    far_alive_end();
    disconnect(memory);
    pthread_mutex_destroy(&stream->sending);
  }
  far_wire_free(&stream->in);
  far_wire_free(&stream->out);
  free(stream);
}
