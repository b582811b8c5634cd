/*
** Rounds, and what else is asked of a server: a request and an answer each.
*/
#include <stdlib.h>
#include <string.h>

#include "remote/stream.h"

/* ---- rounds ---------------------------------------------------------------------------------- */

typedef struct Place { /* an operation of a round */
  const FarSegment *at, *end;
  size_t op; /* of the segment */
} Place;

/* NULL: there are no more. */
static inline FarOp *op_at(Place *place) {
  for (; place->at < place->end; place->at++, place->op = 0)
    if (place->op < place->at->n) return &place->at->ops[place->op];
  return NULL;
}

/* As many as one frame takes. */
static bool put_ops(FarMemory *memory, Place *at, Fault *fault) {
  FarWireBuffer *out = &memory->stream->out;
  const FarOp *before = NULL;
  size_t answers = 0;
  out->length = 0;
  if (!far_wire_begin(out, WIRE_ROUND)) return fault_oom(fault);
  for (FarOp *op; (op = op_at(at)); at->op++) {
    const size_t request = far_wire_request_size(op), answer = far_wire_answer_size(op);
    if (request > WIRE_MOST || answer > WIRE_MOST) {
      return fault_set(fault, FAULT_LIMIT, "%s: an operation on %u bytes, the limit is %d",
                       memory->at, (unsigned)op->length, WIRE_MOST - WIRE_OP);
    }
    if (before && (out->length + request > WIRE_MOST || answers + answer > WIRE_MOST)) break;
    if (!far_wire_put_op(out, op, before)) return fault_oom(fault);
    answers += answer;
    before = op;
  }
  return true;
}

/* Up to the operation `end`. *skip: a guard did not hold, and what comes after is not done. */
static bool take_answers(FarMemory *memory, Place from, const FarOp *end, bool *skip,
                         Fault *fault) {
  const unsigned char *body;
  size_t length;
  if (!far_stream_ask(memory, WIRE_DONE, &body, &length, fault)) return false;
  const unsigned char *behind = body + length;
  for (FarOp *op; (op = op_at(&from)) != end; from.op++) {
    if (!far_wire_take_result(&body, behind, op))
      return far_stream_lost(memory, "an answer does not fit its question", fault);
    *skip = *skip || op->status == FAR_SKIPPED || (op->guard && op->status != FAR_DONE);
  }
  return true;
}

static bool stream_round(FarMemory *memory, const FarSegment *segments, int n, Stop *stop,
                         Fault *fault) {
  Place at = {segments, segments + n, 0};
  bool skip = false;
  if (!far_stream_begin(memory, stop, fault)) return false;
  while (op_at(&at) && !skip) {
    const Place from = at;
    if (!put_ops(memory, &at, fault) || !take_answers(memory, from, op_at(&at), &skip, fault))
      return false;
  }
  for (FarOp *op; (op = op_at(&at)); at.op++) op->status = FAR_SKIPPED;
  return true;
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* A request of some words; one word is answered, or none. */
static bool ask_words(FarMemory *memory, FarWireKind kind, const void *words, size_t length,
                      uint64_t *out, Fault *fault) {
  const unsigned char *body;
  size_t n;
  if (!far_stream_begin(memory, NULL, fault)) return false;
  FarWireBuffer *to = &memory->stream->out;
  if (!far_wire_begin(to, kind) || !far_wire_add(to, words, length)) return fault_oom(fault);
  if (!far_stream_ask(memory, WIRE_DONE, &body, &n, fault)) return false;
  if (n != (out ? 8 : 0))
    return far_stream_lost(memory, "an answer does not fit its question", fault);
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
  if (!far_stream_begin(memory, NULL, fault)) return false;
  if (!far_wire_begin(&memory->stream->out, WIRE_DOUBTS)) return fault_oom(fault);
  if (!far_stream_ask(memory, WIRE_DONE, &body, &length, fault)) return false;
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
  .open = far_stream_open, .close = far_stream_close, .revive = far_stream_connect,                \
  .round = stream_round, .reserve = stream_reserve, .bury = stream_bury, .settle = stream_settle,  \
  .watch = far_stream_watch, .unwatch = far_stream_unwatch, .hear = far_stream_hear

const FarTransport far_unix = {.scheme = "unix:", STREAM};
const FarTransport far_tcp = {.scheme = "tcp:", STREAM};
