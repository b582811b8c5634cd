/*
** Rounds by way of bytes, against far_execute() on a copy of the memory: what comes back is the
** same, whatever stands beside it in a frame.
**
**   test-remote-wire [rounds [seed]]
*/
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "remote/wire.h"
#include "test/remote/check.h"

enum { SIZE = 1 << 16, BUCKETS = 1 << 12, NBUCKETS = 6, MOST = 24, LOCAL = 4096, REGION = 7 };
enum { FOLLOWED = 40, NSEARCHES = 4, OWNER = 5 };

static const FarShape shapes[] = {
    {.kind = FAR_KEY_INTEGER, .key = 8, .stride = 64, .slots = 16},
    {.kind = FAR_KEY_TEXT, .key = 24, .stride = 72, .slots = 40},
};
static FarSearch searches[NSEARCHES];
static unsigned char bounds[NSEARCHES][2][FAR_MOST_KEY];

static const FarShape *shape_of(int bucket) { return &shapes[bucket % 2]; }
static uint64_t bucket_at(int bucket) { return BUCKETS + (uint64_t)bucket * 4096; }

static uint64_t word(void) {
  return pick(2) ? far_pointer(pick(20) ? REGION : 1, 0, pick(SIZE / 8) * 8) : pick(64);
}

static void put_key(const FarShape *shape, unsigned char *out) {
  memset(out, 0, shape->key);
  out[0] = (unsigned char)pick(10);
  if (shape->kind == FAR_KEY_TEXT) memset(out + 2, 'a' + (int)pick(3), out[0]);
}

static void fill(unsigned char *memory) {
  for (size_t i = 0; i < SIZE; i += 8) {
    const uint64_t value = word();
    memcpy(memory + i, &value, 8);
  }
  for (int i = 0; i < NBUCKETS; i++) {
    const FarShape *shape = shape_of(i);
    unsigned char *bucket = memory + bucket_at(i);
    const FarBucket head = {.version = 2 * pick(9) + !pick(8),
                            .used = ~UINT64_C(0) >> pick(60),
                            .owner = OWNER + !pick(9),
                            .flags = pick(3) ? FAR_LAST : 0};
    memcpy(bucket, &head, sizeof head);
    put_key(shape, bucket + far_high_at(shape));
    for (unsigned slot = 0; slot < shape->slots; slot++) {
      unsigned char *key = bucket + far_slot_at(shape, slot) + FAR_STAMP;
      const uint64_t cell[] = {pick(200), word()};
      put_key(shape, key);
      memcpy(key + FOLLOWED - FAR_STAMP, cell, sizeof cell);
      bucket[far_tags_at() + slot] = far_key_tag(far_key_hash(shape, key));
    }
  }
}

static uint32_t wanted_of(const FarShape *shape) {
  const uint32_t least = FAR_STAMP + shape->key;
  return pick(2) ? shape->stride : least + 8 * pick((shape->stride - least) / 8);
}

static void make_searches(void) {
  for (int i = 0; i < NSEARCHES; i++) {
    searches[i] =
        (FarSearch){.shape = *shape_of(i), .owner = OWNER, .nfollow = pick(FAR_FOLLOWED + 1)};
    searches[i].wanted = wanted_of(shape_of(i));
    for (int j = 0; j < 2; j++) put_key(shape_of(i), bounds[i][j]);
    if (pick(3)) searches[i].from = bounds[i][0];
    if (pick(3)) searches[i].to = bounds[i][1];
    for (uint32_t j = 0; j < searches[i].nfollow; j++)
      searches[i].follow[j] = (FarFollow){pick(3) ? FOLLOWED : pick(64), pick(100)};
  }
}

typedef struct Side {
  FarOp ops[MOST];
  unsigned char keys[MOST][FAR_MOST_KEY], local[MOST][LOCAL];
} Side;

static void make_search(Side *side, size_t i, int search) {
  FarOp *op = &side->ops[i];
  const FarShape *shape = &searches[search].shape;
  op->search = &searches[search];
  op->key = side->keys[i];
  op->at = far_pointer(REGION, 0, bucket_at((int)pick(NBUCKETS / 2) * 2 + search % 2));
  op->length = far_find_room(&searches[search]) + pick(60) * pick(8);
  if (op->code == FAR_RANGE) op->length = far_range_room(&searches[search]) + pick(60);
  op->index = 0;
  put_key(shape, side->keys[i]);
}

/* Finds come in runs, as they do. */
static size_t make_round(Side *side) {
  const size_t n = pick(MOST + 1);
  int search = 0;
  memset(side, 0, sizeof *side);
  for (size_t i = 0; i < n; i++) {
    FarOp *op = &side->ops[i];
    const bool run = i && op[-1].code >= FAR_FIND && pick(4);
    *op = (FarOp){.code = run        ? op[-1].code
                          : !pick(3) ? FAR_FIND + (FarCode)pick(2)
                                     : (FarCode)pick(FAR_FIND),
                  .guard = !pick(8),
                  .at = far_pointer(pick(200) ? REGION : 3, 0, pick(SIZE / 8) * 8),
                  .index = pick(4) * 8,
                  .value = word(),
                  .expected = word(),
                  .local = side->local[i],
                  .length = pick(2) ? 8 : pick(300)};
    for (int j = 0; j < LOCAL; j++) side->local[i][j] = (unsigned char)pick(256);
    if (!run) search = (int)pick(NSEARCHES);
    if (op->code >= FAR_FIND) make_search(side, i, search);
  }
  return n;
}

static void copy_side(Side *to, const Side *from) {
  *to = *from;
  for (size_t i = 0; i < MOST; i++) {
    to->ops[i].local = to->local[i];
    if (to->ops[i].key) to->ops[i].key = to->keys[i];
  }
}

/* As stream.c and serve.c do it. */
static bool by_wire(const FarMapped *memory, FarOp *ops, size_t n, Fault *told) {
  static FarWireRound round;
  FarWireBuffer request = {0}, answer = {0};
  FarTray tray;
  bool skip = false;
  for (size_t i = 0; i < n; i++) {
    assert(far_wire_request_size(&ops[i]) <= WIRE_MOST);
    assert(far_wire_put_op(&request, &ops[i], i ? &ops[i - 1] : NULL));
  }
  /* In memory of its own size, and no other: what is read behind its end is found. */
  unsigned char *body = malloc(request.length + 1);
  assert(body);
  if (request.length) memcpy(body, request.bytes, request.length);
  assert(!far_wire_take_round(&round, body, request.length) && round.n == n);
  assert(far_wire_make_answer(&round, &answer, &tray));
  const bool did = far_execute_onto(memory, round.ops, n, &tray, &skip, told);
  if (did) far_wire_finish_answer(&round, &answer);
  free(body);
  const unsigned char *at = answer.bytes, *end = at + answer.length;
  for (size_t i = 0; did && i < n; i++) assert(far_wire_take_result(&at, end, &ops[i]));
  assert(!did || at == end);
  far_wire_free(&request);
  far_wire_free(&answer);
  return did;
}

static void same(bool yes, const char *what, long round, size_t op) {
  if (yes) return;
  printf("not ok - round %ld, operation %zu: %s differs\n", round, op, what);
  exit(1);
}

static void compare(long rounds) {
  static Side asked, left, right;
  static _Alignas(8) unsigned char here[SIZE], there[SIZE];
  const FarMapped plain = {.base = here, .size = SIZE, .region = REGION};
  const FarMapped other = {.base = there, .size = SIZE, .region = REGION};
  long found = 0, elsewhere = 0, ranges = 0;
  for (long round = 0; round < rounds; round++) {
    if (round % 16 == 0) fill(here);
    make_searches();
    memcpy(there, here, SIZE);
    const size_t n = make_round(&asked);
    copy_side(&left, &asked);
    copy_side(&right, &asked);
    Fault wrong = {0}, told = {0};
    bool skip = false;
    const bool did = far_execute(&plain, left.ops, n, &skip, &wrong);
    same(did == by_wire(&other, right.ops, n, &told), "outcome", round, n);
    same(!strcmp(wrong.text, told.text), "complaint", round, n);
    same(!memcmp(here, there, SIZE), "memory", round, n);
    for (size_t i = 0; did && i < n; i++) {
      const FarOp *a = &left.ops[i], *b = &right.ops[i];
      same(a->status == b->status, "status", round, i);
      same(a->old == b->old, "word before", round, i);
      same(a->index == b->index, "length", round, i);
      same(!memcmp(left.local[i], right.local[i], LOCAL), "what was read", round, i);
      found += a->code == FAR_FIND && a->status == FAR_DONE && a->old != FAR_NONE;
      elsewhere += a->status == FAR_ELSEWHERE;
      ranges += a->code == FAR_RANGE && a->status == FAR_DONE && __builtin_popcountll(a->old) > 2;
    }
  }
  assert(found > rounds / 2 && elsewhere > rounds / 4 && ranges > rounds / 4);
  ok("what comes back by wire is what was done");
}

/* What no search is answered, of a server that lies: none of it may be believed. */
static void lies(void) {
  static unsigned char local[4096];
  const FarShape *shape = &shapes[0];
  const FarSearch search = {.shape = *shape, .wanted = 24};
  const uint32_t head = far_range_head(shape), whole = FAR_FOUND + 24;
  const struct {
    FarCode code;
    uint64_t old;
    uint32_t status, length;
    bool fine;
  } answers[] = {
      {FAR_FIND, 0, FAR_DONE, whole, true},
      {FAR_FIND, shape->slots - 1, FAR_DONE, whole + 8, true},
      {FAR_FIND, shape->slots, FAR_DONE, whole, false},
      {FAR_FIND, 0, FAR_DONE, whole - 8, false},
      {FAR_FIND, 0, FAR_DONE, 808, false},
      {FAR_FIND, FAR_NONE, FAR_DONE, FAR_FOUND, true},
      {FAR_FIND, FAR_NONE, FAR_DONE, whole, false},
      {FAR_FIND, 0, FAR_ELSEWHERE, far_head_size(shape), true},
      {FAR_FIND, 0, FAR_ELSEWHERE, whole, false},
      {FAR_FIND, 0, FAR_CHANGING, 8, false},
      {FAR_FIND, 0, FAR_SKIPPED + 1, 0, false},
      {FAR_RANGE, 0, FAR_DONE, head, true},
      {FAR_RANGE, 5, FAR_DONE, head + 48, true},
      {FAR_RANGE, 5, FAR_DONE, head + 24, false},
      {FAR_RANGE, 5, FAR_DONE, head + 72, false},
      {FAR_RANGE, UINT64_C(1) << shape->slots, FAR_DONE, head + 24, false},
      {FAR_RANGE, 0, FAR_ELSEWHERE, far_head_size(shape), false},
  };
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    unsigned char bytes[2048] = {0};
    const unsigned char *at = bytes;
    FarOp op = {.code = answers[i].code, .search = &search, .local = local, .length = 800};
    memcpy(bytes, &answers[i].old, 8);
    memcpy(bytes + 8, &answers[i].status, 4);
    memcpy(bytes + 12, &answers[i].length, 4);
    same(far_wire_take_result(&at, bytes + sizeof bytes, &op) == answers[i].fine, "a lie", 0, i);
  }
  ok("what no search is answered is not believed");
}

int main(int argc, char **argv) {
  const long rounds = argc > 1 ? atol(argv[1]) : 20000;
  random_state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  compare(rounds);
  lies();
  printf("1..%d\n", tests_done);
  return 0;
}
