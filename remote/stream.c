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

#include "base/array.h"
#include "remote/address.h"
#include "remote/client.h"
#include "remote/memory.h"
#include "remote/proof.h"
#include "remote/wire.h"

typedef struct FarStream {
  FarWireBuffer out, in;
  int64_t deadline;
  Stop *stop;
} FarStream;

static bool lost(FarMemory *memory, const char *what, Fault *fault) {
  if (memory->fd >= 0) close(memory->fd);
  memory->fd = -1;
  return fault_set(fault, FAULT_IO, "%s: %s", memory->at, what);
}

/* Between two tries of a call that took its 10 ms. */
static bool go_on(FarMemory *memory, Fault *fault) {
  FarStream *stream = memory->stream;
  if (errno != EAGAIN && errno != EINTR) return lost(memory, strerror(errno), fault);
  if (stream->stop && stop_now(stream->stop)) {
    lost(memory, "interrupted", NULL);
    return fault_set(fault, FAULT_INTERRUPT, "%s: interrupted", memory->at);
  }
  if (clock_now() < stream->deadline) return true;
  memory->counts.timeouts++;
  return lost(memory, "no answer in time", fault);
}

static bool send_all(FarMemory *memory, Fault *fault) {
  const FarWireBuffer *out = &memory->stream->out;
  for (size_t at = 0; at < out->length;) {
    const ssize_t n = send(memory->fd, out->bytes + at, out->length - at, MSG_NOSIGNAL);
    if (n > 0) {
      at += (size_t)n;
    } else if (!go_on(memory, fault)) {
      return false;
    }
  }
  return true;
}

/* One frame; what follows it stays for the next time, but there is nothing that follows. */
static bool receive(FarMemory *memory, uint32_t *out_kind, const unsigned char **out_body,
                    size_t *out_length, Fault *fault) {
  FarWireBuffer *in = &memory->stream->in;
  size_t wanted = 8;
  uint32_t head[2] = {0};
  in->length = 0;
  for (;;) {
    if (in->length >= 8) {
      memcpy(head, in->bytes, sizeof head);
      if (head[0] > WIRE_MOST + 4096) return lost(memory, "an answer is no answer", fault);
      wanted = 8 + (size_t)head[0];
    }
    if (in->length == wanted && wanted >= 8 && in->length >= 8) break;
    enum { AT_LEAST = 16384 };
    const size_t room = wanted > AT_LEAST ? wanted : AT_LEAST;
    if (in->capacity < room) {
      const size_t length = in->length;
      in->length = 0;
      if (!far_wire_more(in, room)) return fault_oom(fault);
      in->length = length;
    }
    const ssize_t n = recv(memory->fd, in->bytes + in->length, in->capacity - in->length, 0);
    if (n == 0) return lost(memory, "the server closed the connection", fault);
    if (n > 0) {
      in->length += (size_t)n;
    } else if (!go_on(memory, fault)) {
      return false;
    }
  }
  *out_kind = head[1];
  *out_body = in->bytes + 8;
  *out_length = head[0];
  return true;
}

static void begin(FarMemory *memory, Stop *stop) {
  memory->stream->deadline = clock_now() + memory->options.deadline_ns;
  memory->stream->stop = stop;
  memory->stream->out.length = 0;
}

/* Sends what is in `out`, a frame, and waits for the answer, of this kind. */
static bool ask(FarMemory *memory, FarWireKind wanted, const unsigned char **out_body,
                size_t *out_length, Fault *fault) {
  uint32_t kind = 0;
  far_wire_end(&memory->stream->out, 0);
  if (!send_all(memory, fault) || !receive(memory, &kind, out_body, out_length, fault))
    return false;
  if (kind == wanted) return true;
  if (kind != WIRE_FAULT) return lost(memory, "an answer to something else", fault);
  Fault told = {0};
  far_wire_take_fault(*out_body, *out_length, &told);
  return fault_set(fault, told.code, "%s: %s", memory->at, told.text);
}

/* ---- a connection ---------------------------------------------------------------------------- */

static bool shake_hands(FarMemory *memory, FarHeader *head, uint64_t *client, Fault *fault) {
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
  if (!ask(memory, WIRE_CHALLENGE, &body, &length, fault)) return false;
  if (length != WIRE_NONCE) return lost(memory, "no far memory answers here", fault);
  memcpy(theirs, body, sizeof theirs);
  proof_make(secret, false, mine, theirs, proof);
  out->length = 0;
  if (!far_wire_begin(out, WIRE_PROVE) || !far_wire_add(out, proof, sizeof proof))
    return fault_oom(fault);
  if (!ask(memory, WIRE_WELCOME, &body, &length, fault)) return false;
  proof_make(secret, true, mine, theirs, proof);
  if (length != WIRE_PROOF + 8 + sizeof *head || !proof_same(proof, body))
    return lost(memory, "the server does not know the secret", fault);
  memcpy(client, body + WIRE_PROOF, 8);
  memcpy(head, body + WIRE_PROOF + 8, sizeof *head);
  const char *wrong = far_header_fault(head, head->size);
  return !wrong || lost(memory, wrong, fault);
}

static bool stream_connect(FarMemory *memory, Stop *stop, Fault *fault) {
  FarHeader head;
  uint64_t client = 0;
  begin(memory, stop);
  memory->fd = address_connect(memory->at, memory->stream->deadline, stop, fault);
  if (memory->fd < 0) return false;
  if (!shake_hands(memory, &head, &client, fault)) {
    lost(memory, "", NULL);
    return false;
  }
  if (memory->client && head.incarnation != memory->head.incarnation) {
    lost(memory, "", NULL);
    return fault_set(fault, FAULT_IO,
                     "%s: the far memory was made anew, and what it held is lost: close the "
                     "connection and open it again",
                     memory->at);
  }
  memory->head = head;
  memory->client = client;
  /* What the client before had, the server has taken back. */
  memset(memory->pools, 0, sizeof memory->pools);
  memset(memory->dirty, 0, sizeof memory->dirty);
  memory->nfreed = 0;
  memory->log = memory->log_room = 0;
  memory->log_known = false;
  return true;
}

static bool stream_open(FarMemory *memory, const char *name, Fault *fault) {
  (void)name;
  memory->stream = calloc(1, sizeof *memory->stream);
  if (!memory->stream) return fault_oom(fault);
  far_enlist(memory);
  return stream_connect(memory, NULL, fault);
}

static void stream_close(FarMemory *memory) {
  if (!memory->stream) return;
  far_delist(memory);
  if (memory->fd >= 0) close(memory->fd);
  far_wire_free(&memory->stream->in);
  far_wire_free(&memory->stream->out);
  free(memory->stream);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

typedef struct Batch { /* operations of one frame */
  FarOp **ops;
  size_t n, capacity, request, answer;
  bool skip; /* a guard in an earlier one did not hold */
} Batch;

static bool send_batch(FarMemory *memory, Batch *batch, Fault *fault) {
  FarWireBuffer *out = &memory->stream->out;
  const unsigned char *body;
  size_t length;
  out->length = 0;
  bool ok = far_wire_begin(out, WIRE_ROUND);
  for (size_t i = 0; ok && i < batch->n; i++) ok = far_wire_put_op(out, batch->ops[i]);
  if (!ok) return fault_oom(fault);
  if (!ask(memory, WIRE_DONE, &body, &length, fault)) return false;
  const unsigned char *end = body + length;
  for (size_t i = 0; i < batch->n; i++) {
    if (!far_wire_take_result(&body, end, batch->ops[i]))
      return lost(memory, "an answer does not fit its question", fault);
    batch->skip = batch->skip || batch->ops[i]->status == FAR_SKIPPED ||
                  (batch->ops[i]->guard && batch->ops[i]->status != FAR_DONE);
  }
  batch->n = batch->request = batch->answer = 0;
  return true;
}

static bool add_op(FarMemory *memory, Batch *batch, FarOp *op, Fault *fault) {
  const size_t request = far_wire_request_size(op), answer = far_wire_answer_size(op);
  if (request > WIRE_MOST || answer > WIRE_MOST) {
    return fault_set(fault, FAULT_LIMIT, "%s: an operation on %u bytes, the limit is %d",
                     memory->at, (unsigned)op->length, WIRE_MOST - WIRE_OP);
  }
  if (batch->n && (batch->request + request > WIRE_MOST || batch->answer + answer > WIRE_MOST) &&
      !send_batch(memory, batch, fault))
    return false;
  if (batch->skip) {
    op->status = FAR_SKIPPED;
    return true;
  }
  if (!array_grow(batch->ops, batch->capacity, batch->n + 1)) return fault_oom(fault);
  batch->ops[batch->n++] = op;
  batch->request += request;
  batch->answer += answer;
  return true;
}

static bool stream_round(FarMemory *memory, const FarSegment *segments, int n, Stop *stop,
                         Fault *fault) {
  Batch batch = {0};
  if (memory->fd < 0) return lost(memory, "the connection was lost", fault);
  begin(memory, stop);
  bool ok = true;
  for (int i = 0; ok && i < n; i++) {
    for (size_t j = 0; ok && j < segments[i].n; j++)
      ok = add_op(memory, &batch, &segments[i].ops[j], fault);
  }
  ok = ok && (!batch.n || send_batch(memory, &batch, fault));
  free(batch.ops);
  return ok;
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* A request of some words; one word is answered, or none. */
static bool ask_words(FarMemory *memory, FarWireKind kind, const void *words, size_t length,
                      uint64_t *out, Fault *fault) {
  const unsigned char *body;
  size_t n;
  if (memory->fd < 0) return lost(memory, "the connection was lost", fault);
  begin(memory, NULL);
  FarWireBuffer *to = &memory->stream->out;
  if (!far_wire_begin(to, kind) || !far_wire_add(to, words, length)) return fault_oom(fault);
  if (!ask(memory, WIRE_DONE, &body, &n, fault)) return false;
  if (n != (out ? 8 : 0)) return lost(memory, "an answer does not fit its question", fault);
  if (out) memcpy(out, body, 8);
  return true;
}

bool far_stream_word(FarMemory *memory, int kind, uint64_t *out, Fault *fault) {
  return ask_words(memory, (FarWireKind)kind, NULL, 0, out, fault);
}

static bool stream_reserve(FarMemory *memory, uint64_t at, uint64_t length, Fault *fault) {
  const uint64_t words[] = {at, length};
  return ask_words(memory, WIRE_RESERVE, words, sizeof words, NULL, fault);
}

static bool stream_bury(FarMemory *memory, uint64_t client, bool *out_alive, Fault *fault) {
  uint64_t alive;
  if (!ask_words(memory, WIRE_BURY, &client, sizeof client, &alive, fault)) return false;
  *out_alive = alive != 0;
  return true;
}

static bool stream_settle(FarMemory *memory, FarDecide *decide, void *ctx, int *out_settled,
                          Fault *fault) {
  enum { DOUBT = 8 + FAR_MARK };
  const unsigned char *body;
  size_t length;
  if (memory->fd < 0) return lost(memory, "the connection was lost", fault);
  begin(memory, NULL);
  if (!far_wire_begin(&memory->stream->out, WIRE_DOUBTS)) return fault_oom(fault);
  if (!ask(memory, WIRE_DONE, &body, &length, fault)) return false;
  const size_t n = length / DOUBT;
  unsigned char *doubts = malloc(length + 1);
  if (!doubts) return fault_oom(fault);
  memcpy(doubts, body, length);
  bool ok = true;
  for (size_t i = 0; ok && i < n; i++) {
    unsigned char words[DOUBT + 8];
    uint64_t settled;
    memcpy(words, doubts + i * DOUBT, DOUBT);
    const uint64_t decision = decide(ctx, words + 8);
    if (decision == FAR_NOT_MINE) continue;
    memcpy(words + DOUBT, &decision, 8);
    ok = ask_words(memory, WIRE_SETTLE, words, sizeof words, &settled, fault);
    if (ok) *out_settled += settled != 0;
  }
  free(doubts);
  return ok;
}

#define STREAM                                                                                     \
  .open = stream_open, .close = stream_close, .revive = stream_connect, .round = stream_round,     \
  .reserve = stream_reserve, .bury = stream_bury, .settle = stream_settle

const FarTransport far_unix = {.scheme = "unix:", STREAM};
const FarTransport far_tcp = {.scheme = "tcp:", STREAM};
