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
  if (room > n) memset(at + n, 0, room - n);
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

static size_t cells_size(const FarSearch *search) {
  return search->nfollow * sizeof *search->follow;
}

/* Behind an operation: its search, and its key. */
static size_t search_size(const FarSearch *search) {
  const size_t bounds = (search->from != NULL) + (search->to != NULL);
  return cells_size(search) + bounds * search->shape.key;
}

static size_t key_size(const FarOp *op) { return op->code == FAR_FIND ? op->search->shape.key : 0; }

size_t far_wire_request_size(const FarOp *op) {
  if (far_op_searches(op)) return WIRE_OP + search_size(op->search) + key_size(op);
  return WIRE_OP + (writes(op->code) ? pad(op->length) : 0);
}

size_t far_wire_answer_size(const FarOp *op) {
  return WIRE_RESULT + (far_op_reads(op) ? pad(op->length) : 0);
}

/* Is sent as one that is like the one before it: what is looked for has not changed meanwhile. */
static bool is_like(const FarOp *op, const FarOp *before) {
  return before && far_op_searches(op) && before->code == op->code && before->search == op->search;
}

static void put_head(unsigned char *at, const FarOp *op, bool like) {
  const uint64_t words[] = {op->code | (uint64_t)op->guard << 8 | (uint64_t)like << 16 |
                                (uint64_t)op->length << 32,
                            op->at};
  memcpy(at, words, sizeof words);
}

static void put_key(unsigned char *at, const FarOp *op) {
  const size_t size = key_size(op);
  if (size == 8) {
    memcpy(at, op->key, 8); /* by an instruction */
  } else if (size) {
    memcpy(at, op->key, size);
  }
}

static void put_search(unsigned char *at, const FarSearch *search) {
  const size_t cells = cells_size(search), key = search->shape.key;
  const uint64_t flags = (uint64_t)(search->from != NULL) << 32 | (uint64_t)(search->to != NULL)
                                                                      << 33;
  const uint64_t words[] = {search->nfollow | flags, search->owner, search->wanted,
                            far_shape_word(&search->shape)};
  memcpy(at, words, sizeof words);
  at += sizeof words;
  if (cells) memcpy(at, search->follow, cells);
  at += cells;
  if (search->from) memcpy(at, search->from, key);
  if (search->to) memcpy(at + (search->from ? key : 0), search->to, key);
}

static bool put_written(FarWireBuffer *buffer, const FarOp *op) {
  unsigned char *to = far_wire_more(buffer, op->length);
  if (!to) return false;
  if (!op->npieces) memcpy(to, op->local, op->length);
  for (uint32_t i = 0; i < op->npieces; to += op->pieces[i++].length)
    memcpy(to, op->pieces[i].bytes, op->pieces[i].length);
  return true;
}

bool far_wire_put_op(FarWireBuffer *buffer, const FarOp *op, const FarOp *before) {
  const bool like = is_like(op, before), search = far_op_searches(op);
  const size_t size = like ? WIRE_LIKE : WIRE_OP + (search ? search_size(op->search) : 0);
  unsigned char *at = far_wire_more(buffer, size + (search ? key_size(op) : 0));
  if (!at) return false;
  put_head(at, op, like);
  if (search) put_key(at + size, op);
  if (like) return true;
  if (search) {
    put_search(at + WIRE_LIKE, op->search);
    return true;
  }
  const uint64_t words[] = {op->index, op->value, op->expected, 0};
  memcpy(at + WIRE_LIKE, words, sizeof words);
  return !writes(op->code) || put_written(buffer, op);
}

static void scatter(FarOp *op, const unsigned char *from) {
  if (!op->npieces) memcpy(op->local, from, op->length);
  for (uint32_t i = 0; i < op->npieces; from += op->pieces[i++].length)
    memcpy(op->pieces[i].bytes, from, op->pieces[i].length);
}

/* Whether a search may have been answered so. */
static bool is_answer(const FarOp *op, uint32_t length) {
  const FarSearch *search = op->search;
  const FarShape *shape = &search->shape;
  if (op->code == FAR_RANGE) {
    const unsigned n = (unsigned)__builtin_popcountll(op->old);
    return op->status == FAR_DONE && !(op->old & ~far_all_slots(shape)) && length <= op->length &&
           length == far_range_head(shape) + n * search->wanted;
  }
  if (op->status == FAR_ELSEWHERE) return length == far_head_size(shape);
  if (op->old == FAR_NONE) return length == FAR_FOUND;
  return op->old < shape->slots && length >= FAR_FOUND + search->wanted && length <= op->length;
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
  if (far_op_searches(op) && (done || status == FAR_ELSEWHERE)) {
    if (!is_answer(op, length)) return false;
    memcpy(op->local, *at, length);
    op->index = length;
  } else if (done && far_op_reads(op)) {
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
  free(round->searches);
  *round = (FarWireRound){0};
}

/* `words`: of the operation, as put_search() has them. */
static const char *take_search(FarWireRound *round, const uint64_t words[4],
                               const unsigned char **at, const unsigned char *end) {
  FarSearch *search = &round->searches[round->nsearches];
  const bool from = words[0] >> 32 & 1, to = words[0] >> 33 & 1;
  if ((uint32_t)words[0] > FAR_FOLLOWED || words[0] >> 34) return "a search for too many cells";
  if (words[2] > FAR_MOST_STRIDE) return "a search that wants too much";
  *search = (FarSearch){.nfollow = (uint32_t)words[0],
                        .owner = words[1],
                        .wanted = (uint32_t)words[2],
                        .from = from ? *at : NULL,
                        .to = to ? *at : NULL};
  far_shape_of_word(words[3], &search->shape);
  if (!far_search_valid(search)) return "a search in no shape";
  const size_t cells = cells_size(search), size = search_size(search);
  if ((size_t)(end - *at) < size) return "a search is cut off";
  memcpy(search->follow, *at, cells);
  if (from) search->from = *at + cells;
  if (to) search->to = *at + size - search->shape.key;
  *at += size;
  round->nsearches++;
  return NULL;
}

static const char *take_key(FarWireRound *round, FarOp *op, const unsigned char **at,
                            const unsigned char *end) {
  op->search = &round->searches[round->nsearches - 1];
  const size_t size = key_size(op);
  const uint32_t room =
      op->code == FAR_FIND ? far_find_room(op->search) : far_range_room(op->search);
  if ((size_t)(end - *at) < size) return "a key is cut off";
  if (op->length < room) return "a search without room for an answer";
  op->key = *at;
  *at += size;
  return NULL;
}

static const char *take_op(FarWireRound *round, const unsigned char **at,
                           const unsigned char *end) {
  uint64_t head[2], words[4];
  FarOp *op = &round->ops[round->n];
  const char *wrong = NULL;
  if (end - *at < WIRE_LIKE) return "an operation is cut off";
  memcpy(head, *at, sizeof head);
  *op = (FarOp){.code = (FarCode)(head[0] & 0xff),
                .guard = (head[0] >> 8 & 0xff) != 0,
                .length = (uint32_t)(head[0] >> 32),
                .at = head[1]};
  *at += sizeof head;
  const bool like = (head[0] >> 16 & 0xff) != 0;
  if (op->code >= FAR_NCODES) return "an operation that is not known";
  if (op->length > WIRE_MOST) return "an operation on too many bytes";
  if (like) {
    if (!far_op_searches(op) || !round->n || op[-1].code != op->code)
      return "an operation like none before it";
  } else {
    if (end - *at < (ptrdiff_t)sizeof words) return "an operation is cut off";
    memcpy(words, *at, sizeof words);
    op->index = words[0];
    op->value = words[1];
    op->expected = words[2];
    *at += sizeof words;
  }
  if (far_op_searches(op)) {
    if (!like) wrong = take_search(round, words, at, end);
    if (!wrong) wrong = take_key(round, op, at, end);
  } else if (writes(op->code)) {
    if ((size_t)(end - *at) < pad(op->length)) return "what is written is cut off";
    op->local = (void *)*at;
    *at += pad(op->length);
  }
  round->n += !wrong;
  return wrong;
}

const char *far_wire_take_round(FarWireRound *round, const unsigned char *body, size_t length) {
  const unsigned char *at = body, *end = body + length;
  round->n = round->nsearches = round->answer = 0;
  if (!array_extend(round->ops, round->capacity, length / WIRE_LIKE + 1) ||
      !array_extend(round->searches, round->searches_capacity, length / WIRE_OP + 1))
    return "out of memory";
  while (at < end) {
    const char *wrong = take_op(round, &at, end);
    if (wrong) return wrong;
    round->answer += far_wire_answer_size(&round->ops[round->n - 1]);
    if (round->answer > WIRE_MOST) return "an answer would be too long";
  }
  return NULL;
}

bool far_wire_make_answer(const FarWireRound *round, FarWireBuffer *answer, FarTray *out) {
  unsigned char *at = far_wire_more(answer, round->answer);
  if (!at) return false;
  answer->length -= round->answer;
  *out = (FarTray){at, WIRE_RESULT};
  return true;
}

void far_wire_finish_answer(const FarWireRound *round, FarWireBuffer *answer) {
  unsigned char *to = answer->bytes + answer->length;
  for (size_t i = 0; i < round->n; i++) {
    const FarOp *op = &round->ops[i];
    const uint32_t status = (uint32_t)op->status, length = far_op_came(op);
    memcpy(to, &op->old, 8);
    memcpy(to + 8, &status, 4);
    memcpy(to + 12, &length, 4);
    to += WIRE_RESULT + length;
    for (; (to - answer->bytes) % 8; to++) *to = 0;
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
