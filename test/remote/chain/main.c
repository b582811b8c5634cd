/*
** Rounds as chains of works, on a card that does whatever it may (shared/fake_nic.h), against
** far_execute() on a copy of the memory: results, memory and complaints are the same. Then what
** only a network does: buckets that change while they are read, no answers, and errors.
**
**   test-remote-chain [rounds [seed]]
*/
#include <assert.h>
#include <string.h>

#include "remote/board.h"
#include "remote/bucket.h"
#include "remote/chain.h"
#include "test/remote/check.h"
#include "test/remote/shared/fake_nic.h"

enum { SIZE = 1 << 17, BUCKETS = 1 << 16, NBUCKETS = 8, MOST = 14, LOCAL = 4096, REGION = 7 };
enum { FOLLOWED = 24 /* a cell of an element */, OWNER = 9 };

static const FarShape shape = {.kind = FAR_KEY_INTEGER, .key = 8, .stride = 40, .slots = 16};
static FarSearch whole; /* elements */

typedef struct World {
  FarMapped memory;
  FakeNic *card;
  Chain *chain;
  FarCounts counts;
} World;

static World world_open(size_t room, size_t depth) {
  World it = {.memory = {.base = aligned_alloc(4096, SIZE), .size = SIZE, .region = REGION}};
  assert(it.memory.base);
  memset(it.memory.base, 0, SIZE);
  it.card = fake_nic_open(&it.memory, room, depth, draw());
  return it;
}

static void begin(World *it) {
  chain_close(it->chain);
  it->chain = chain_open(&it->card->nic, "verbs:fake", REGION, SIZE, &it->counts, NULL);
  assert(it->chain);
}

static void world_close(World *it) {
  chain_close(it->chain);
  it->card->nic.kind->close(&it->card->nic, false);
  free(it->memory.base);
}

static bool go(World *it, FarOp *ops, size_t n, bool *lost, Fault *out_fault) {
  const FarSegment segments[] = {{ops, n / 2}, {ops + n / 2, n - n / 2}};
  return chain_round(it->chain, segments, 2, clock_now() + 100000000, NULL, lost, out_fault);
}

/* ---- random rounds --------------------------------------------------------------------------- */

static FarPointer somewhere(void) {
  const uint64_t offset = pick(4) ? pick(64) * 8 : pick(SIZE);
  return far_pointer(pick(40) ? REGION : pick(4096), pick(2) ? pick(256) : 0,
                     pick(30) ? offset : draw());
}

static void put_element(unsigned char *bucket, unsigned slot, int64_t key, uint64_t stamp) {
  unsigned char *at = bucket + far_slot_at(&shape, slot);
  memset(at, (int)(stamp & 0xff), shape.stride);
  memcpy(at, &stamp, FAR_STAMP);
  memcpy(at + FAR_STAMP, &key, 8);
  const uint64_t cell[] = {pick(300), somewhere()};
  if (stamp & 1) memcpy(at + FOLLOWED, cell, sizeof cell);
  bucket[far_tags_at() + slot] = far_key_tag(far_key_hash(&shape, &key));
}

static void fill(unsigned char *memory) {
  for (int i = 0; i < 64; i++) {
    const uint64_t word = pick(3) ? somewhere() : pick(3);
    memcpy(memory + i * 8, &word, 8);
  }
  for (size_t i = 512; i < BUCKETS; i++) memory[i] = (unsigned char)draw();
  for (int i = 0; i < NBUCKETS; i++) {
    unsigned char *bucket = memory + BUCKETS + i * far_bucket_size(&shape);
    FarBucket head = {.version = pick(4) ? 2 * pick(100) : pick(100), .used = draw()};
    const int64_t high = pick(24);
    head.owner = OWNER + !pick(6);
    head.flags = pick(3) ? FAR_LAST : 0;
    memcpy(bucket, &head, sizeof head);
    memcpy(bucket + far_high_at(&shape), &high, sizeof high);
    for (unsigned j = 0; j < shape.slots; j++) put_element(bucket, j, pick(24), draw());
  }
}

static FarOp random_op(void) {
  static const uint64_t steps[] = {0, 8, 16, 24};
  FarOp op = {.code = (FarCode)pick(FAR_NCODES), .at = somewhere(), .guard = pick(5) == 0};
  if (pick(3) == 0) op.code = (FarCode)pick(FAR_LOAD0);
  op.index = pick(4) ? steps[pick(4)] : draw();
  op.value = pick(2) ? steps[pick(4)] : somewhere();
  op.length = pick(3) ? 8 : pick(LOCAL);
  if (op.code >= FAR_FIND) {
    op.at = far_pointer(REGION, 0, BUCKETS + pick(NBUCKETS) * far_bucket_size(&shape));
    if (pick(30) == 0) op.at += pick(SIZE);
    op.length = pick(30) == 0 ? 8 : pick(2) ? LOCAL : far_head_size(&shape) + pick(400);
  }
  return op;
}

/* One machine's view of a round: operations and the memory they name. */
typedef struct Side {
  FarOp ops[MOST];
  FarSearch searches[MOST];
  int64_t keys[MOST], bounds[MOST][2];
  FarPiece pieces[MOST][3];
  unsigned char local[MOST][LOCAL];
} Side;

/* The same round for another memory. */
static void copy_side(Side *to, const Side *from, size_t n) {
  *to = *from;
  for (size_t i = 0; i < n; i++) {
    FarOp *op = &to->ops[i];
    op->local = to->local[i];
    if (op->search) op->search = &to->searches[i];
    if (op->key) op->key = &to->keys[i];
    if (!op->npieces) continue;
    op->pieces = to->pieces[i];
    unsigned char *at = to->local[i];
    for (int j = 0; j < 3; j++) {
      to->pieces[i][j].bytes = at;
      at += to->pieces[i][j].length;
    }
  }
}

static void make_search(Side *side, size_t i) {
  FarSearch *search = &side->searches[i];
  *search = (FarSearch){.shape = shape,
                        .owner = OWNER,
                        .wanted = pick(40) ? 16 + 8 * pick(4) : pick(64),
                        .nfollow = pick(FAR_FOLLOWED + 1)};
  for (uint32_t j = 0; j < search->nfollow; j++)
    search->follow[j] = (FarFollow){pick(4) ? FOLLOWED : pick(64), pick(100)};
  for (int j = 0; j < 2; j++) side->bounds[i][j] = pick(24);
  if (pick(3)) search->from = &side->bounds[i][0];
  if (pick(3)) search->to = &side->bounds[i][1];
  side->keys[i] = pick(24);
  if (pick(60)) side->ops[i].search = search;
  if (pick(60)) side->ops[i].key = &side->keys[i];
}

static size_t make_round(Side *side, const unsigned char *memory) {
  const size_t n = pick(MOST + 1);
  memset(side, 0, sizeof *side);
  for (size_t i = 0; i < n; i++) {
    FarOp *op = &side->ops[i];
    *op = random_op();
    for (int j = 0; j < LOCAL; j++) side->local[i][j] = (unsigned char)draw();
    const uint64_t offset = far_offset(op->at);
    if (pick(3) && offset <= SIZE - 8) memcpy(&op->expected, memory + offset, 8);
    op->local = side->local[i];
    if (op->code >= FAR_FIND) make_search(side, i);
    if (op->code > FAR_WRITE || pick(3)) continue;
    const uint32_t first = pick(op->length + 1), second = pick(op->length - first + 1);
    side->pieces[i][0].length = first;
    side->pieces[i][1].length = second;
    side->pieces[i][2].length = op->length - first - second;
    op->pieces = side->pieces[i];
    op->npieces = 3;
  }
  return n;
}

static void same(bool yes, const char *what, long round, size_t op) {
  if (yes) return;
  printf("not ok - round %ld, operation %zu: %s differs\n", round, op, what);
  exit(1);
}

/* Whoever watches a page that is not as it was `before` would be told; if anybody watches. */
static bool wrote_there(const World *it, const unsigned char *before) {
  const uint64_t *wrote = chain_wrote(it->chain);
  uint64_t watchers;
  memcpy(&watchers, before + FAR_BOARD_AT + offsetof(FarBoard, all.watchers), sizeof watchers);
  if (!watchers) return true;
  for (uint64_t at = 0; at < SIZE; at += FAR_PAGE) {
    const unsigned slot = far_board_slot(at);
    if (memcmp(before + at, it->memory.base + at, FAR_PAGE) &&
        !(wrote && wrote[slot / 64] >> slot % 64 & 1))
      return false;
  }
  return true;
}

static void compare_rounds(long rounds) {
  static Side asked, left, right;
  static unsigned char before[SIZE];
  long elsewhere = 0, ranges = 0;
  World it = world_open(1 << 16, 24);
  unsigned char *copy = aligned_alloc(4096, SIZE);
  assert(copy);
  const FarMapped plain = {.base = copy, .size = SIZE, .region = REGION};
  begin(&it);
  chain_has_board(it.chain);
  for (long round = 0; round < rounds; round++) {
    if (round % 64 == 0) fill(it.memory.base);
    memcpy(copy, it.memory.base, SIZE);
    if (round % 64 == 1) memcpy(before, copy, SIZE);
    const size_t n = make_round(&asked, copy);
    copy_side(&left, &asked, n);
    copy_side(&right, &asked, n);
    Fault wrong = {0}, told = {0};
    bool skip = false, lost = false;
    it.card->late = pick(3);
    it.card->nic.fences = pick(2);
    const bool did = far_execute(&plain, left.ops, n, &skip, &wrong);
    const bool does = go(&it, right.ops, n, &lost, &told);
    same(!lost && did == does, "outcome", round, n);
    same(did || !strcmp(told.text + strlen("verbs:fake: "), wrong.text), "complaint", round, n);
    for (size_t i = 0; i < n; i++) {
      same(left.ops[i].status == right.ops[i].status, "status", round, i);
      same(left.ops[i].old == right.ops[i].old, "word before", round, i);
      same(left.ops[i].index == right.ops[i].index, "length", round, i);
      same(!memcmp(left.local[i], right.local[i], LOCAL), "what was read", round, i);
      if (!did || left.ops[i].status == FAR_SKIPPED) continue;
      elsewhere += left.ops[i].status == FAR_ELSEWHERE;
      ranges += left.ops[i].code == FAR_RANGE && left.ops[i].status == FAR_DONE;
    }
    same(!memcmp(copy, it.memory.base, SIZE), "memory", round, n);
    if (round % 64 == 1) same(wrote_there(&it, before), "what was said to be written", round, n);
  }
  assert(elsewhere > rounds / 200 && ranges > rounds / 100);
  free(copy);
  world_close(&it);
  ok("random rounds");
}

/* ---- how many round trips -------------------------------------------------------------------- */

static FarOp at_word(FarCode code, unsigned i) {
  static uint64_t words[64];
  return (FarOp){.code = code,
                 .at = far_pointer(REGION, 0, i * 8),
                 .local = &words[i],
                 .length = 8,
                 .value = 1};
}

static FarOp finding(unsigned bucket, const FarSearch *search, const int64_t *key,
                     unsigned char *local) {
  return (FarOp){.code = FAR_FIND,
                 .at = far_pointer(REGION, 0, BUCKETS + bucket * far_bucket_size(&shape)),
                 .search = search,
                 .key = key,
                 .local = local,
                 .length = far_find_room(search)};
}

static void trips(World *it, FarOp *ops, size_t n, uint64_t rounds, uint64_t messages,
                  const char *what) {
  const FarCounts before = it->counts;
  bool lost;
  assert(go(it, ops, n, &lost, NULL));
  if (it->counts.rounds - before.rounds == rounds &&
      it->counts.messages - before.messages == messages)
    return;
  printf("not ok - %s: %d rounds, %d messages\n", what, (int)(it->counts.rounds - before.rounds),
         (int)(it->counts.messages - before.messages));
  exit(1);
}

static void count_trips(void) {
  World it = world_open(NIC_ROOM, NIC_DEPTH);
  FarOp ops[100];
  const int64_t key = 3;
  static unsigned char local[100][512];
  begin(&it);
  for (unsigned i = 0; i < 16; i++) ops[i] = at_word(FAR_READ, i);
  trips(&it, ops, 16, 1, 16, "reads");
  for (unsigned i = 0; i < 16; i++) ops[i] = at_word((FarCode)(i % 4), i);
  trips(&it, ops, 16, 1, 16, "reads, writes and changes");
  for (unsigned i = 0; i < 100; i++) ops[i] = finding(i % NBUCKETS, &whole, &key, local[i]);
  trips(&it, ops, 100, 1, 400, "a hundred look-ups");
  FarSearch following = whole;
  following.nfollow = 1;
  following.follow[0] = (FarFollow){FOLLOWED, 8};
  for (int i = 0; i < NBUCKETS; i++) {
    unsigned char *bucket = it.memory.base + BUCKETS + i * far_bucket_size(&shape);
    const FarBucket head = {.version = 2, .used = 1, .flags = FAR_LAST};
    const uint64_t cell[] = {100, far_pointer(REGION, 0, 512)};
    memcpy(bucket, &head, sizeof head);
    put_element(bucket, 0, 3, 2);
    memcpy(bucket + far_slot_at(&shape, 0) + FOLLOWED, cell, sizeof cell);
  }
  for (unsigned i = 0; i < 100; i++) {
    ops[i] = finding(i % NBUCKETS, &following, &key, local[i]);
    ops[i].length = sizeof local[i];
  }
  trips(&it, ops, 100, 2, 600, "a hundred look-ups, and what they point to");
  assert(ops[99].index == FAR_FOUND + shape.stride + 8 + 104);
  /* a lock, a look, then what is written: the first two at once */
  ops[0] = at_word(FAR_CAS, 20);
  ops[1] = at_word(FAR_EXPECT, 21);
  ops[0].guard = ops[1].guard = true;
  for (unsigned i = 2; i < 8; i++) ops[i] = at_word(FAR_WRITE, i);
  trips(&it, ops, 8, 2, 8, "a change under a lock");
  ops[0].expected = 5; /* which it is not */
  trips(&it, ops, 8, 1, 2, "a lock that is refused");
  assert(ops[0].status == FAR_DIFFERS && ops[1].status == FAR_SKIPPED);
  for (unsigned i = 0; i < 4; i++) {
    const FarPointer word = far_pointer(REGION, 0, 300);
    memcpy(it.memory.base + 8 * i, &word, 8);
    ops[i] = at_word(FAR_LOAD0, i);
  }
  trips(&it, ops, 1, 2, 2, "a read through a pointer");
  trips(&it, ops, 4, 5, 8, "four of them, in their order");
  world_close(&it);
  ok("as many round trips as there have to be");
}

/* Cards with fences that are of no use; and a notice board, which takes no trip more. */
static void count_others(void) {
  World it = world_open(NIC_ROOM, NIC_DEPTH);
  FarOp ops[16];
  begin(&it);
  it.card->nic.fences = false;
  for (unsigned i = 0; i < 16; i++) ops[i] = at_word((FarCode)(i % 4), i);
  trips(&it, ops, 16, 9, 16, "reads, writes and changes, without fences");
  for (unsigned i = 0; i < 16; i++) ops[i] = at_word(i < 8 ? FAR_WRITE : FAR_READ, i);
  trips(&it, ops, 16, 1, 16, "writes, then reads, without fences");
  it.card->nic.fences = true;
  uint64_t watchers = 0;
  chain_has_board(it.chain);
  for (int i = 0; i < 2; i++) {
    memcpy(it.memory.base + FAR_BOARD_AT + offsetof(FarBoard, all.watchers), &watchers, 8);
    ops[0] = at_word(FAR_READ, 1);
    ops[1] = at_word(FAR_EXPECT, 2);
    trips(&it, ops, 2, 1, 2, "reads");
    assert(!chain_wrote(it.chain));
    ops[1] = at_word(FAR_WRITE, 1);
    trips(&it, ops, 2, 1, 3, "a write, and whether anybody watches");
    assert(!chain_wrote(it.chain) == !watchers);
    watchers = 1;
  }
  const unsigned slot = far_board_slot(0);
  assert(chain_wrote(it.chain)[slot / 64] == UINT64_C(1) << slot % 64);
  world_close(&it);
  ok("… without fences, and with a notice board");
}

/* ---- while others write ---------------------------------------------------------------------- */

/* Somebody who replaces the elements of a bucket again and again, as commit.c does it: elsewhere,
** or where they are under an odd version, as when the bucket is full. */
typedef struct Writer {
  unsigned char *bucket;
  uint64_t chance, version, used, steps;
  unsigned step, from, to, at;
  int64_t key;
  unsigned char element[64];
} Writer;

static void writer_begin(Writer *it) {
  it->chance = it->chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
  it->key = (int64_t)((it->chance >> 33) % 4);
  memcpy(&it->used, it->bucket + offsetof(FarBucket, used), 8);
  const int slot =
      bucket_look(&shape, 0, it->bucket, it->used, &it->key, bucket_tag(&shape, &it->key));
  assert(slot >= 0);
  it->from = it->to = (unsigned)slot;
  const bool in_place = it->chance >> 50 & 1;
  if (!in_place)
    for (it->to = (it->chance >> 40) % shape.slots; it->used >> it->to & 1;)
      it->to = (it->to + 1) % shape.slots;
  const uint64_t odd = it->version + 1;
  if (in_place) memcpy(it->bucket + offsetof(FarBucket, version), &odd, 8);
  it->version += 2;
  memset(it->element, (int)(it->version / 2 & 0xff), sizeof it->element);
  memcpy(it->element, &it->version, FAR_STAMP);
  memcpy(it->element + FAR_STAMP, &it->key, 8);
  it->used = (it->used & ~(UINT64_C(1) << it->from)) | UINT64_C(1) << it->to;
  it->at = 0;
  it->step = 1;
}

/* A word of it at a time. */
static void writer_step(void *ctx) {
  Writer *it = ctx;
  it->steps++;
  unsigned char *slot = it->bucket + far_slot_at(&shape, it->to);
  if (it->step == 0) {
    writer_begin(it);
  } else if (it->step == 1) {
    memcpy(slot + it->at, it->element + it->at, 8);
    it->at += 8;
    if (it->at == shape.stride) it->step = 2;
  } else if (it->step == 2) {
    it->bucket[far_tags_at() + it->to] = far_key_tag(far_key_hash(&shape, &it->key));
    it->step = 3;
  } else {
    const size_t field = it->step == 3 ? offsetof(FarBucket, used) : offsetof(FarBucket, version);
    memcpy(it->bucket + field, it->step == 3 ? &it->used : &it->version, 8);
    it->step = it->step == 3 ? 4 : 0;
  }
}

static void torn(long rounds) {
  World it = world_open(NIC_ROOM, NIC_DEPTH);
  Writer writer = {.bucket = it.memory.base + BUCKETS, .chance = 5, .version = 100};
  const FarBucket head = {.version = 100, .used = 15, .flags = FAR_LAST};
  memcpy(writer.bucket, &head, sizeof head);
  for (unsigned i = 0; i < 4; i++) put_element(writer.bucket, i, i, 100);
  begin(&it);
  it.card->meanwhile = writer_step;
  it.card->ctx = &writer;
  unsigned char local[2][256];
  int64_t keys[2];
  FarOp ops[3];
  bool lost;
  long seen = 0;
  for (long i = 0; i < rounds; i++) {
    for (int j = 0; j < 2; j++) keys[j] = pick(4);
    for (int j = 0; j < 2; j++) ops[j] = finding(0, &whole, &keys[j], local[j]);
    assert(go(&it, ops, 2, &lost, NULL));
    for (int j = 0; j < 2; j++) {
      if (ops[j].status == FAR_CHANGING) continue;
      const unsigned char *element = local[j] + FAR_FOUND;
      uint64_t stamp;
      assert(ops[j].old != FAR_NONE); /* it is always there */
      memcpy(&stamp, element, 8);
      assert(!memcmp(element + FAR_STAMP, &keys[j], 8));
      for (unsigned k = 16; k < shape.stride; k++)
        assert(element[k] == (stamp == 100 ? 100 : (stamp / 2 & 0xff)));
      seen++;
    }
  }
  assert(seen > rounds / 10 && it.counts.retries > 0);
  /* somebody who never comes to an end */
  const uint64_t odd = 101;
  memcpy(writer.bucket, &odd, 8);
  it.card->meanwhile = NULL;
  ops[2] = at_word(FAR_WRITE, 1);
  ops[1].guard = true;
  assert(go(&it, ops, 3, &lost, NULL));
  assert(ops[0].status == FAR_CHANGING && ops[1].status == FAR_CHANGING);
  assert(ops[2].status == FAR_SKIPPED);
  world_close(&it);
  ok("buckets that change while they are read are read whole, or not at all");
}

/* ---- when it fails --------------------------------------------------------------------------- */

static bool yes(void *ctx) { return ctx == NULL; }

static void failures(void) {
  World it = world_open(NIC_ROOM, NIC_DEPTH);
  static const char why[] = "transport retry counter exceeded";
  for (uint64_t at = 1; at <= 8; at++) {
    FarOp ops[8];
    Fault told = {0};
    bool lost;
    begin(&it);
    for (unsigned i = 0; i < 8; i++) ops[i] = at_word(i % 2 ? FAR_WRITE : FAR_CAS, i);
    for (unsigned i = 0; i < 8; i += 2) ops[i].guard = true; /* a chain each, when they hold */
    it.card->fails = at;
    it.card->why = why;
    memset(it.memory.base, 0, 64);
    assert(!go(&it, ops, 8, &lost, &told) && lost && told.code == FAULT_IO);
    assert(strstr(told.text, why) && strstr(told.text, "verbs:fake"));
    it.card->failed = NULL;
  }
  begin(&it);
  FarOp op = at_word(FAR_READ, 0);
  Fault late = {0}, asked = {0};
  bool lost;
  it.card->silent = true;
  assert(!go(&it, &op, 1, &lost, &late) && lost && late.code == FAULT_IO);
  assert(strstr(late.text, "not done in time") && it.counts.timeouts == 1);
  assert(it.card->nudges > 0 && it.card->nudges <= NIC_NUDGES);
  begin(&it);
  Stop stop = {.asked = yes};
  const FarSegment segment = {&op, 1};
  assert(!chain_round(it.chain, &segment, 1, clock_now() + INT64_C(60000000000), &stop, &lost,
                      &asked));
  assert(lost && asked.code == FAULT_INTERRUPT);
  world_close(&it);
  ok("errors, silence and interruptions end a round");
}

int main(int argc, char **argv) {
  const long rounds = argc > 1 ? atol(argv[1]) : 30000;
  random_state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  whole = (FarSearch){.shape = shape, .wanted = shape.stride};
  compare_rounds(rounds);
  count_trips();
  count_others();
  torn(rounds);
  failures();
  printf("1..%d\n", tests_done);
}
