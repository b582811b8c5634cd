/*
** Maps, transactions and scans, against a sorted array: random changes by one client, looked at by
** another one that has an older tree. In shared memory, and by a card (shared/fake_nic.h); or in
** the memory that is given.
**
**   test-remote-map [steps [seed [at [secret]]]]
*/
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remote/chain.h"
#include "remote/scan.h"
#include "remote/txn.h"
#include "test/remote/shared/fake_nic.h"

enum { KEYS = 2000, MOST_CHANGES = 12 };

typedef struct Model {
  bool there[KEYS];
  uint64_t values[KEYS];
} Model;

static uint64_t state;

static unsigned pick(unsigned n) {
  state += UINT64_C(0x9e3779b97f4a7c15);
  uint64_t z = state;
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (unsigned)((z ^ z >> 31) % n);
}

static Fault fault;
static bool text; /* keys */

static void must(bool ok) {
  if (ok) return;
  printf("Bail out! %s\n", fault.text);
  exit(1);
}

/* Key number i, such that keys are ordered as their numbers. */
static void make_key(const FarShape *shape, int i, unsigned char *out) {
  memset(out, 0, shape->key);
  if (!text) {
    const int64_t key = (int64_t)i * 1000003 - 1000000000;
    memcpy(out, &key, sizeof key);
    return;
  }
  const int length = sprintf((char *)out + 2, "%05d%.*s", i, i % 20, "abcdefghijklmnopqrst");
  out[0] = (unsigned char)length;
}

/* ---- a memory by a card ---------------------------------------------------------------------- */

static bool card_round(FarMemory *memory, const FarSegment *segments, int n, Stop *stop,
                       Fault *out) {
  bool lost;
  return chain_round(memory->chain, segments, n, clock_now() + memory->options.deadline_ns, stop,
                     &lost, out);
}

static void card_close(FarMemory *memory) {
  chain_close(memory->chain);
  memory->nic->kind->close(memory->nic, false);
  far_shm.close(memory);
}

static void give_card(FarMemory *memory) {
  static FarTransport by_card;
  by_card = far_shm;
  by_card.round = card_round;
  by_card.close = card_close;
  by_card.counts = true;
  memory->transport = &by_card;
  memory->nic = &fake_nic_open(&memory->mapped, NIC_ROOM, 32, pick(1000))->nic;
  memory->chain = chain_open(memory->nic, memory->at, memory->mapped.region, memory->mapped.size,
                             &memory->counts, &fault);
  must(memory->chain != NULL);
}

/* ---- clients --------------------------------------------------------------------------------- */

static bool card;          /* by one */
static const char *secret; /* of a server */

typedef struct Client {
  FarMemory *memory;
  FarMap *map;
  FarScan *scan;
} Client;

static Client client(const char *at, const FarShape *shape) {
  const FarOptions options = {.secret = secret};
  Client it = {.memory = far_open(at, &options, &fault)};
  must(it.memory != NULL);
  if (card) give_card(it.memory);
  must(far_map_open(it.memory, "m", shape, 1, true, &it.map, NULL, &fault));
  must((it.scan = far_scan_begin(it.map, &fault)) != NULL);
  return it;
}

static void leave(Client *it) {
  far_scan_end(it->scan);
  far_map_close(it->map);
  far_close(it->memory);
}

static void check_one(const Client *it, const Model *model, const FarTxn *txn, int i) {
  const FarShape *shape = far_map_shape(it->map);
  unsigned char key[FAR_MOST_KEY];
  const unsigned char *value;
  FarFound found;
  make_key(shape, i, key);
  must(far_map_find(it->map, key, 1, &found, NULL, &fault));
  uint64_t there = 0;
  bool is = found.element != NULL;
  if (is) memcpy(&there, found.element + FAR_STAMP + shape->key, 8);
  if (txn && far_txn_look(txn, it->map, key, &value, NULL)) {
    is = value != NULL;
    if (is) memcpy(&there, value, 8);
  }
  if (is != model->there[i] || (is && there != model->values[i])) {
    printf("not ok - key %d is %d %llu, not %d %llu\n", i, is, (unsigned long long)there,
           model->there[i], (unsigned long long)model->values[i]);
    exit(1);
  }
}

static void check_scan(const Client *it, const Model *model, const FarTxn *txn) {
  const FarShape *shape = far_map_shape(it->map);
  const int low = (int)pick(KEYS), high = low + (int)pick(KEYS - (unsigned)low);
  const bool reverse = pick(2), has_low = pick(4), has_high = pick(4);
  unsigned char from[FAR_MOST_KEY], to[FAR_MOST_KEY], key[FAR_MOST_KEY];
  make_key(shape, low, from);
  make_key(shape, high, to);
  must(far_scan_seek(it->scan, txn, has_low ? from : NULL, has_high ? to : NULL, reverse,
                     pick(2) ? pick(50) : UINT64_MAX, NULL, &fault));
  const int first = has_low ? low : 0, last = has_high ? high : KEYS - 1;
  for (int n = 0, i = reverse ? last : first; n <= last - first; n++, i += reverse ? -1 : 1) {
    const unsigned char *element;
    uint64_t value;
    if (!model->there[i]) continue;
    must(far_scan_next(it->scan, &element, NULL, NULL, &fault));
    make_key(shape, i, key);
    assert(element);
    assert(far_key_compare(shape, element + FAR_STAMP, key) == 0);
    memcpy(&value, element + FAR_STAMP + shape->key, 8);
    assert(value == model->values[i]);
  }
  const unsigned char *element;
  must(far_scan_next(it->scan, &element, NULL, NULL, &fault));
  assert(!element);
}

/* Some changes, sometimes part of them taken back, committed or not. */
static void change(const Client *it, Model *model) {
  const FarShape *shape = far_map_shape(it->map);
  FarTxn *txn = far_txn_begin(it->memory, &fault);
  Model after = *model, marked;
  size_t mark = FAR_NONE;
  for (unsigned n = 1 + pick(MOST_CHANGES); n > 0; n--) {
    const int i = (int)pick(KEYS);
    unsigned char key[FAR_MOST_KEY], value[256] = {0};
    const bool remove = pick(3) == 0;
    const uint64_t number = pick(1000000);
    FarFound found;
    make_key(shape, i, key);
    must(far_map_find(it->map, key, 1, &found, NULL, &fault));
    FarSeen seen = far_seen(&found);
    if (pick(2)) seen = (FarSeen){.stamp = FAR_ANY};
    memcpy(value, &number, sizeof number);
    must(far_txn_put(txn, it->map, key, remove ? NULL : value, &seen, &fault));
    after.there[i] = !remove;
    after.values[i] = number;
    if (pick(8) == 0) {
      mark = far_txn_mark(txn);
      marked = after;
    } else if (mark != FAR_NONE && pick(8) == 0) {
      must(far_txn_back(txn, mark, &fault));
      after = marked;
    }
    check_one(it, &after, txn, (int)pick(KEYS));
  }
  if (pick(4) == 0) check_scan(it, &after, txn);
  if (pick(5)) {
    if (pick(3)) {
      must(far_txn_commit(txn, NULL, &fault));
      *model = after;
    } else {
      static const unsigned char mark_of[FAR_MARK];
      const bool happens = pick(2);
      must(far_txn_prepare(txn, mark_of, NULL, &fault));
      must(far_txn_finish(txn, happens, &fault));
      if (happens) *model = after;
    }
  }
  far_txn_end(txn);
}

static void one_case(const char *at, uint64_t seed, long steps) {
  static Model model;
  state = seed;
  memset(&model, 0, sizeof model);
  text = pick(2);
  FarShape shape = {.kind = text ? FAR_KEY_TEXT : FAR_KEY_INTEGER, .key = text ? 32 : 8};
  shape.stride = FAR_STAMP + shape.key + 8 + 8 * pick(6);
  shape.slots = pick(2) ? 64 : 2 + pick(62);
  Client writer = client(at, &shape), reader = client(at, &shape);
  for (long i = 0; i < steps; i++) {
    change(&writer, &model);
    check_one(&writer, &model, NULL, (int)pick(KEYS));
    check_one(&reader, &model, NULL, (int)pick(KEYS));
    if (pick(20) == 0) check_scan(pick(2) ? &writer : &reader, &model, NULL);
    if (pick(200) == 0) { /* somebody new reads the whole tree */
      leave(&reader);
      reader = client(at, &shape);
    }
  }
  leave(&reader);
  must(far_map_drop(writer.map, NULL, &fault));
  leave(&writer);
}

/* ---- full buckets ---------------------------------------------------------------------------- */

static void put_all(const Client *it, int64_t first, int64_t n, const int64_t *value) {
  const FarSeen any = {.stamp = FAR_ANY};
  FarTxn *txn = far_txn_begin(it->memory, &fault);
  for (int64_t key = first; key < first + n; key++)
    must(far_txn_put(txn, it->map, &key, value, &any, &fault));
  must(far_txn_commit(txn, NULL, &fault));
  far_txn_end(txn);
}

static void check_all(const Client *it, int64_t n, int64_t value) {
  for (int64_t key = 0; key < n; key++) {
    FarFound found;
    int64_t there;
    must(far_map_find(it->map, &key, 1, &found, NULL, &fault));
    assert(found.element);
    memcpy(&there, found.element + FAR_STAMP + 8, sizeof there);
    assert(there == value);
  }
}

/* What is there already finds room where it is; what is new does not. */
static void full(const char *at) {
  enum { SLOTS = FAR_SLOTS, NOTHING = 200 };
  const FarShape shape = {FAR_KEY_INTEGER, 8, FAR_STAMP + 8 + 8, SLOTS};
  Client it = client(at, &shape);
  put_all(&it, 1000, NOTHING, NULL); /* none of which is there */
  put_all(&it, 0, SLOTS, &(int64_t){1});
  put_all(&it, 0, SLOTS, &(int64_t){2});
  const uint64_t before = far_counts(it.memory)->rounds;
  put_all(&it, 0, SLOTS, &(int64_t){3});
  const uint64_t rounds = far_counts(it.memory)->rounds - before;
  if (!card) assert(rounds == 2); /* to look, and to change */
  assert(far_map_tree(it.map)->count == 1);
  check_all(&it, SLOTS, 3);
  put_all(&it, 0, SLOTS + 1, &(int64_t){4});
  assert(far_map_tree(it.map)->count > 1);
  check_all(&it, SLOTS + 1, 4);
  leave(&it);
}

static bool give_up(void *ctx) { return ++*(long *)ctx > 100000; }

/* Two neighbours that end where the second one begins, and each sends on to the other: whoever
** looks there says that they are damaged, and does not go from one to the other for ever. */
static void circle(const char *at) {
  const FarShape shape = {FAR_KEY_INTEGER, 8, FAR_STAMP + 8 + 8, 4};
  Client it = client(at, &shape);
  put_all(&it, 0, 40, &(int64_t){1});
  FarTree *tree = far_map_tree(it.map);
  FarTreePlace place;
  const int64_t middle = 20;
  assert(far_tree_find(tree, &middle, &place));
  const FarPointer second = far_tree_bucket(tree, place);
  int64_t edge;
  memcpy(&edge, far_tree_low(tree, place), sizeof edge);
  assert(far_tree_previous(tree, &place));
  const FarPointer first = far_tree_bucket(tree, place);
  FarOp ops[] = {far_write_op(second + far_high_at(&shape), &edge, 8),
                 far_write_op(second + offsetof(FarBucket, right), &first, 8)};
  must(far_round(it.memory, ops, 2, NULL, &fault));
  for (int reverse = 0; reverse < 2; reverse++) {
    Client other = client(at, &shape);
    Fault told = {0};
    long asked = 0;
    Stop stop = {.asked = give_up, .ctx = &asked};
    const unsigned char *element = (const unsigned char *)"";
    bool ok = far_scan_seek(other.scan, NULL, &edge, reverse ? NULL : &edge, reverse, UINT64_MAX,
                            &stop, &told);
    while (ok && element) ok = far_scan_next(other.scan, &element, NULL, &stop, &told);
    assert(!ok && told.code == FAULT_CORRUPT && strstr(told.text, "damaged"));
    leave(&other);
  }
  leave(&it);
}

int main(int argc, char **argv) {
  const long steps = argc > 1 ? atol(argv[1]) : 3000;
  const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  char at[64];
  snprintf(at, sizeof at, "shm:test-map-%d", (int)getpid());
  secret = argc > 4 ? argv[4] : NULL;
  for (uint64_t i = 0; i < 8; i++) {
    one_case(argc > 3 ? argv[3] : at, seed + i, steps);
    if (argc > 3) continue;
    must(far_unlink(at, &fault));
    card = true;
    one_case(at, seed + 100 + i, steps / 4);
    card = false;
    must(far_unlink(at, &fault));
  }
  for (int by_card = 0; argc <= 3 && by_card < 2; by_card++) {
    card = by_card;
    full(at);
    must(far_unlink(at, &fault));
  }
  if (argc <= 3) {
    card = false;
    circle(at);
    must(far_unlink(at, &fault));
  }
  printf("ok 1 - maps\n1..1\n");
}
