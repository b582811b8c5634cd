#include "remote/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static size_t pad(size_t n) { return (n + 7) / 8 * 8; }

/* ---- buffers --------------------------------------------------------------------------------- */

void far_wire_free(FarWireBuffer *buffer) {
  free(buffer->bytes);
  *buffer = (FarWireBuffer){0};
}

unsigned char *far_wire_more(FarWireBuffer *buffer, size_t n) {
  const size_t room = pad(n);
  if (!array_extend(buffer->bytes, buffer->capacity, buffer->length + room + 8)) return NULL;
  unsigned char *at = buffer->bytes + buffer->length;
  memset(at + n, 0, room - n);
  buffer->length += room;
  return at;
}

bool far_wire_add(FarWireBuffer *buffer, const void *bytes, size_t n) {
  unsigned char *at = far_wire_more(buffer, n);
  if (at && n) memcpy(at, bytes, n);
  return at != NULL;
}

bool far_wire_begin(FarWireBuffer *buffer, FarWireKind kind) {
  const uint32_t head[] = {0, kind};
  return far_wire_add(buffer, head, sizeof head);
}

void far_wire_end(FarWireBuffer *buffer, size_t from) {
  const uint32_t length = (uint32_t)(buffer->length - from - 8);
  memcpy(buffer->bytes + from, &length, sizeof length);
}

/* ---- operations ------------------------------------------------------------------------------ */

static bool writes(FarCode code) {
  return code == FAR_WRITE || code == FAR_STORE0 || code == FAR_STORE1 || code == FAR_STORE2 ||
         code == FAR_SAAI;
}

static bool reads(FarCode code) {
  return code == FAR_READ || code == FAR_LOAD0 || code == FAR_LOAD1 || code == FAR_LOAD2 ||
         code == FAR_FAAI;
}

/* Of a FIND's answer, without what cells point to. */
static size_t find_size(const FarOp *op, bool found) {
  return far_head_size(&op->key->shape) + (found ? op->key->shape.stride : 0);
}

static size_t key_size(const FarKey *key) {
  return key->shape.key + key->nfollow * sizeof *key->follow;
}

size_t far_wire_request_size(const FarOp *op) {
  return WIRE_OP + (op->code == FAR_FIND ? key_size(op->key)
                    : writes(op->code)   ? pad(op->length)
                                         : 0);
}

size_t far_wire_answer_size(const FarOp *op) {
  return WIRE_RESULT + (op->code == FAR_FIND || reads(op->code) ? pad(op->length) : 0);
}

bool far_wire_put_op(FarWireBuffer *buffer, const FarOp *op) {
  unsigned char *at = far_wire_more(buffer, WIRE_OP);
  if (!at) return false;
  const FarKey *key = op->code == FAR_FIND ? op->key : NULL;
  const uint64_t words[] = {op->at, key ? key->nfollow : op->index, op->value, op->expected,
                            key ? far_shape_word(&key->shape) : 0};
  at[0] = (unsigned char)op->code;
  at[1] = op->guard;
  at[2] = at[3] = 0;
  memcpy(at + 4, &op->length, 4);
  memcpy(at + 8, words, sizeof words);
  if (key) {
    return far_wire_add(buffer, key->bytes, key->shape.key) &&
           far_wire_add(buffer, key->follow, key->nfollow * sizeof *key->follow);
  }
  if (!writes(op->code)) return true;
  unsigned char *to = far_wire_more(buffer, op->length);
  if (!to) return false;
  if (!op->npieces) memcpy(to, op->local, op->length);
  for (uint32_t i = 0; i < op->npieces; to += op->pieces[i++].length)
    memcpy(to, op->pieces[i].bytes, op->pieces[i].length);
  return true;
}

static void scatter(FarOp *op, const unsigned char *from) {
  if (!op->npieces) memcpy(op->local, from, op->length);
  for (uint32_t i = 0; i < op->npieces; from += op->pieces[i++].length)
    memcpy(op->pieces[i].bytes, from, op->pieces[i].length);
}

bool far_wire_take_result(const unsigned char **at, const unsigned char *end, FarOp *op) {
  uint32_t status, length;
  if (end - *at < WIRE_RESULT) return false;
  memcpy(&op->old, *at, 8);
  memcpy(&status, *at + 8, 4);
  memcpy(&length, *at + 12, 4);
  *at += WIRE_RESULT;
  if (status > FAR_SKIPPED || (size_t)(end - *at) < pad(length)) return false;
  op->status = (FarStatus)status;
  const bool done = status == FAR_DONE;
  if (done && op->code == FAR_FIND) {
    const size_t least = find_size(op, op->old != FAR_NONE);
    if (length < least || length > (op->old == FAR_NONE ? least : op->length)) return false;
    memcpy(op->local, *at, length);
    op->index = length;
  } else if (done && reads(op->code)) {
    if (length != op->length) return false;
    scatter(op, *at);
  } else if (length) {
    return false;
  }
  *at += pad(length);
  return true;
}

/* ---- the server's side ----------------------------------------------------------------------- */

void far_wire_round_free(FarWireRound *round) {
  free(round->ops);
  free(round->keys);
  *round = (FarWireRound){0};
}

static const char *take_op(FarWireRound *round, const unsigned char **at,
                           const unsigned char *end) {
  uint64_t words[5];
  FarOp *op = &round->ops[round->n];
  if (end - *at < WIRE_OP) return "an operation is cut off";
  *op = (FarOp){.code = (FarCode)(*at)[0], .guard = (*at)[1] != 0};
  memcpy(&op->length, *at + 4, 4);
  memcpy(words, *at + 8, sizeof words);
  op->at = words[0];
  op->index = words[1];
  op->value = words[2];
  op->expected = words[3];
  *at += WIRE_OP;
  size_t more = 0;
  if (op->code >= FAR_NCODES) return "an operation that is not known";
  if (op->length > WIRE_MOST) return "an operation on too many bytes";
  if (op->code == FAR_FIND) {
    FarKey *key = &round->keys[round->nkeys++];
    far_shape_of_word(words[4], &key->shape);
    if (!far_shape_valid(&key->shape)) return "a key of no shape";
    if (words[1] > FAR_FOLLOWED) return "a key of too many cells";
    key->nfollow = (uint32_t)words[1];
    more = key_size(key);
    if ((size_t)(end - *at) < more) return "a key is cut off";
    memcpy(key->bytes, *at, key->shape.key);
    memcpy(key->follow, *at + key->shape.key, more - key->shape.key);
    op->key = key;
    if (op->length < find_size(op, true)) return "a key without room for an answer";
  } else if (writes(op->code)) {
    more = pad(op->length);
    if ((size_t)(end - *at) < more) return "what is written is cut off";
    op->local = (void *)*at;
  }
  *at += more;
  round->n++;
  return NULL;
}

const char *far_wire_take_round(FarWireRound *round, const unsigned char *body, size_t length) {
  const unsigned char *at = body, *end = body + length;
  const size_t most = length / WIRE_OP + 1;
  size_t answer = 0;
  round->n = round->nkeys = 0;
  if (!array_extend(round->ops, round->capacity, most) ||
      !array_extend(round->keys, round->keys_capacity, most))
    return "out of memory";
  while (at < end) {
    const char *wrong = take_op(round, &at, end);
    if (wrong) return wrong;
    answer += far_wire_answer_size(&round->ops[round->n - 1]);
    if (answer > WIRE_MOST) return "an answer would be too long";
  }
  return NULL;
}

bool far_wire_make_answer(FarWireRound *round, FarWireBuffer *answer) {
  size_t size = 0;
  for (size_t i = 0; i < round->n; i++) size += far_wire_answer_size(&round->ops[i]);
  unsigned char *at = far_wire_more(answer, size);
  if (!at) return false;
  for (size_t i = 0; i < round->n; i++) {
    FarOp *op = &round->ops[i];
    if (op->code == FAR_FIND || reads(op->code)) op->local = at + WIRE_RESULT;
    at += far_wire_answer_size(op);
  }
  answer->length -= size;
  return true;
}

void far_wire_finish_answer(FarWireRound *round, FarWireBuffer *answer) {
  unsigned char *to = answer->bytes + answer->length;
  for (size_t i = 0; i < round->n; i++) {
    const FarOp *op = &round->ops[i];
    const uint32_t status = (uint32_t)op->status;
    const bool done = status == FAR_DONE;
    const uint32_t length = done && op->code == FAR_FIND ? (uint32_t)op->index
                            : done && reads(op->code)    ? op->length
                                                         : 0;
    if (length) memmove(to + WIRE_RESULT, op->local, length);
    memcpy(to, &op->old, 8);
    memcpy(to + 8, &status, 4);
    memcpy(to + 12, &length, 4);
    to += WIRE_RESULT + length;
    memset(to, 0, pad(length) - length);
    to += pad(length) - length;
  }
  answer->length = (size_t)(to - answer->bytes);
}

/* ---- faults ---------------------------------------------------------------------------------- */

bool far_wire_put_fault(FarWireBuffer *buffer, const Fault *fault) {
  const uint64_t code = (uint64_t)fault->code;
  return far_wire_add(buffer, &code, sizeof code) &&
         far_wire_add(buffer, fault->text, strlen(fault->text));
}

void far_wire_take_fault(const unsigned char *body, size_t length, Fault *out) {
  uint64_t code = 0;
  if (length >= sizeof code) memcpy(&code, body, sizeof code);
  const int n = length > sizeof code ? (int)(length - sizeof code) : 0;
  fault_set(out, code > FAULT_NONE && code <= FAULT_INTERNAL ? (FaultCode)code : FAULT_IO, "%.*s",
            n < FAULT_TEXT ? n : FAULT_TEXT - 1, n ? (const char *)body + sizeof code : "");
}

/* ---- watches --------------------------------------------------------------------------------- */

enum { WATCH = 48, NOTICE = 32 };

bool far_wire_put_watch(FarWireBuffer *buffer, const FarLook *look) {
  const uint64_t words[WATCH / 8] = {
      look->id,         (uint64_t)look->what.once << 32 | look->what.kind,
      look->what.at,    look->what.length,
      look->what.value, look->known};
  return far_wire_add(buffer, words, sizeof words);
}

bool far_wire_take_watch(const unsigned char *body, size_t length, FarLook *out) {
  uint64_t words[WATCH / 8];
  if (length != sizeof words) return false;
  memcpy(words, body, sizeof words);
  if (words[3] > FAR_WATCH_MOST || words[1] >> 33) return false;
  *out = (FarLook){.id = words[0],
                   .what = {.kind = (FarWatchKind)(uint32_t)words[1],
                            .once = words[1] >> 32 & 1,
                            .at = words[2],
                            .length = (uint32_t)words[3],
                            .value = words[4]},
                   .known = words[5]};
  return true;
}

bool far_wire_put_notice(FarWireBuffer *buffer, const FarWireNotice *notice) {
  const uint64_t words[NOTICE / 8] = {notice->id, notice->known, notice->word, notice->length};
  return far_wire_add(buffer, words, sizeof words) &&
         far_wire_add(buffer, notice->data, notice->length);
}

bool far_wire_take_notice(const unsigned char **at, const unsigned char *end, FarWireNotice *out) {
  uint64_t words[NOTICE / 8];
  if (end - *at < NOTICE) return false;
  memcpy(words, *at, sizeof words);
  *at += NOTICE;
  if (words[3] > FAR_WATCH_DATA || (size_t)(end - *at) < pad(words[3])) return false;
  *out = (FarWireNotice){words[0], words[1], words[2], *at, (uint32_t)words[3]};
  *at += pad(words[3]);
  return true;
}
