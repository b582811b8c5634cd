/*
** Vectors against an array: random sets, additions, transactions, ranges and refreshes by two
** clients, while the vector grows; then several processes at once, which must not see half an
** element.
**
**   test-remote-vector [steps [seed]]
*/
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote/scan.h"
#include "remote/vector.h"
#include "test/remote/check.h"

enum { MOST = 3000, WORDS = 3, CLIENTS = 2 };

static const FarShape shape = {
    .kind = FAR_KEY_INTEGER, .key = 8, .stride = FAR_STAMP + 8 + 8 * WORDS, .slots = 8};
typedef struct Cells {
  uint64_t words[WORDS];
} Cells;

static const Cells initial = {{7, 7, 7}};

typedef struct Model {
  uint64_t length;
  Cells cells[MOST];
} Model;

static FarMap *open_vector(FarMemory *memory, const char *name, uint64_t length, uint32_t group) {
  const FarVectorOptions options = {.length = length, .group = group, .initial = &initial};
  FarMap *map;
  must(far_vector_open(memory, name, &shape, 1, &options, &map, NULL, &fault));
  return map;
}

static Cells cells_of(const unsigned char *element) {
  Cells cells;
  memcpy(&cells, element + FAR_STAMP + 8, sizeof cells);
  return cells;
}

static Cells random_cells(void) { return (Cells){{pick(1000), pick(1000), pick(1000)}}; }

static bool same(const Cells *a, const Cells *b) { return !memcmp(a, b, sizeof *a); }

/* Some indices, also such that are not there. */
static void check_find(FarMap *map, const Model *model) {
  uint64_t keys[20];
  FarFound found[20];
  const size_t n = 1 + pick(20);
  for (size_t i = 0; i < n; i++) keys[i] = pick((unsigned)model->length + 3);
  if (pick(10) == 0) keys[0] = (uint64_t)-1;
  must(far_map_find(map, keys, n, found, NULL, &fault));
  for (size_t i = 0; i < n; i++) {
    assert((found[i].element != NULL) == (keys[i] < model->length));
    if (!found[i].element) continue;
    const Cells cells = cells_of(found[i].element);
    assert(far_vector_index(found[i].element + FAR_STAMP) == keys[i]);
    assert(same(&cells, &model->cells[keys[i]]));
  }
}

static void check_scan(FarMap *map, const Model *model, const FarTxn *txn) {
  FarScan *scan = far_scan_begin(map, &fault);
  const unsigned length = (unsigned)model->length;
  const int64_t low = (int64_t)pick(length) - 2, high = low + (int64_t)pick(length);
  const bool reverse = pick(2), has_low = pick(4), has_high = pick(4);
  must(scan && far_scan_seek(scan, txn, has_low ? &low : NULL, has_high ? &high : NULL, reverse,
                             pick(2) ? pick(50) : UINT64_MAX, NULL, &fault));
  const int64_t first = has_low && low > 0 ? low : 0;
  const int64_t last = has_high && high < (int64_t)length ? high : (int64_t)length - 1;
  const unsigned char *element;
  for (int64_t i = reverse ? last : first; reverse ? i >= first : i <= last;
       i += reverse ? -1 : 1) {
    must(far_scan_next(scan, &element, NULL, NULL, &fault));
    assert(element && (int64_t)far_vector_index(element + FAR_STAMP) == i);
    const Cells cells = cells_of(element);
    assert(same(&cells, &model->cells[i]));
  }
  must(far_scan_next(scan, &element, NULL, NULL, &fault));
  assert(!element);
  far_scan_end(scan);
}

/* A transaction of some sets, of what was read or of whatever is there; committed or not. */
static void transact(FarMap *map, FarMemory *memory, Model *model) {
  static Model after;
  FarTxn *txn = far_txn_begin(memory, &fault);
  after = *model;
  for (unsigned n = 1 + pick(8); n > 0; n--) {
    const uint64_t index = pick((unsigned)model->length);
    const Cells cells = random_cells();
    FarFound found;
    must(far_map_find(map, &index, 1, &found, NULL, &fault));
    const FarSeen seen = pick(2) ? far_seen(&found) : (FarSeen){.stamp = FAR_ANY};
    must(far_txn_put(txn, map, &index, &cells, &seen, &fault));
    after.cells[index] = cells;
  }
  assert(!far_txn_put(txn, map, &(uint64_t){0}, NULL, &(FarSeen){0}, NULL));
  if (pick(3) == 0) check_scan(map, &after, txn);
  if (pick(4)) {
    static const unsigned char mark[FAR_MARK];
    const int how = (int)pick(3);
    must(how ? far_txn_prepare(txn, mark, NULL, &fault) : far_txn_commit(txn, NULL, &fault));
    if (how) must(far_txn_finish(txn, how == 1, &fault));
    if (how != 2) *model = after;
  }
  far_txn_end(txn);
}

static void change(FarMap *map, FarMemory *memory, Model *model) {
  const uint64_t index = pick((unsigned)model->length);
  if (pick(3) == 0) {
    const uint32_t word = pick(WORDS);
    const int64_t n = (int64_t)pick(100) - 50;
    int64_t sum;
    must(far_vector_add(map, index, FAR_STAMP + 8 + 8 * word, n, &sum, NULL, &fault));
    model->cells[index].words[word] += (uint64_t)n;
    assert((uint64_t)sum == model->cells[index].words[word]);
  } else if (pick(2)) {
    const Cells cells = random_cells();
    must(far_vector_set(map, index, &cells, NULL, &fault));
    model->cells[index] = cells;
  } else {
    transact(map, memory, model);
  }
}

/* A client that keeps a copy sees all of what was there when it was last refreshed. */
static void check_kept(FarMap *kept, Model *copy, const Model *model) {
  if (pick(4) == 0) {
    uint64_t changed = UINT64_MAX;
    must(far_vector_refresh(kept, &changed, NULL, &fault));
    *copy = *model;
  }
  check_find(kept, copy);
  if (pick(4) == 0) check_scan(kept, copy, NULL);
}

static void one_case(uint64_t seed, long steps, const char *at) {
  static Model model, copy;
  FarMemory *memories[CLIENTS + 1];
  FarMap *maps[CLIENTS + 1];
  random_state = seed;
  far_unlink(at, NULL);
  model.length = 1 + pick(300);
  for (int i = 0; i < MOST; i++) model.cells[i] = initial;
  const uint32_t group = pick(3) ? 1 + pick(40) : 0;
  for (int i = 0; i <= CLIENTS; i++) {
    must((memories[i] = far_open(at, NULL, &fault)) != NULL);
    maps[i] = open_vector(memories[i], "v", model.length, group);
  }
  far_vector_keep(maps[CLIENTS], FAR_UNTIL_TOLD);
  copy = model;
  check_find(maps[CLIENTS], &copy); /* from now on it has a copy */
  for (long step = 0; step < steps; step++) {
    const unsigned who = pick(CLIENTS);
    change(maps[who], memories[who], &model);
    check_find(maps[pick(CLIENTS)], &model);
    if (pick(4) == 0) check_scan(maps[pick(CLIENTS)], &model, NULL);
    check_kept(maps[CLIENTS], &copy, &model);
    if (pick(60) == 0 && model.length + 200 < MOST) {
      model.length += 1 + pick(200);
      far_map_close(open_vector(memories[who], "v", model.length, group));
    }
  }
  must(far_vector_drop(memories[0], "v", NULL, &fault));
  for (int i = 0; i <= CLIENTS; i++) {
    Fault told = {0};
    assert(!far_vector_set(maps[i], 0, &initial, NULL, &told) && told.code == FAULT_NOTFOUND);
    far_map_close(maps[i]);
    far_close(memories[i]);
  }
  must(far_unlink(at, &fault));
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static uint64_t rounds_since(FarMemory *memory, uint64_t before) {
  return far_counts(memory)->rounds - before;
}

static void rounds(const char *at) {
  far_unlink(at, NULL);
  FarMemory *memory = far_open(at, NULL, &fault), *other = far_open(at, NULL, &fault);
  must(memory && other);
  FarMap *map = open_vector(memory, "v", 1000, 50), *kept = open_vector(other, "v", 0, 0);
  uint64_t keys[100], before, changed;
  FarFound found[100];
  const int64_t low = 100, high = 199;
  const unsigned char *element;
  int64_t sum;
#define COUNTED(what, n)                                                                           \
  before = far_counts(memory)->rounds;                                                             \
  must(what);                                                                                      \
  assert(rounds_since(memory, before) == (n))
  for (int i = 0; i < 100; i++) keys[i] = (uint64_t)i * 9;
  COUNTED(far_map_find(map, keys, 1, found, NULL, &fault), 1);
  COUNTED(far_map_find(map, keys, 100, found, NULL, &fault), 1);
  must(far_vector_set(map, 0, &initial, NULL, &fault)); /* takes a place for its log */
  COUNTED(far_vector_set(map, 5, &initial, NULL, &fault), 1);
  COUNTED(far_vector_add(map, 7, FAR_STAMP + 8, 1, &sum, NULL, &fault), 1);
  COUNTED(far_vector_set(map, 5, &initial, NULL, &fault), 1);
  FarScan *scan = far_scan_begin(map, &fault);
  COUNTED(far_scan_seek(scan, NULL, &low, &high, false, UINT64_MAX, NULL, &fault), 1);
  for (int i = 0; i < 100; i++) {
    COUNTED(far_scan_next(scan, &element, NULL, NULL, &fault), 0);
    assert(element);
  }
  far_scan_end(scan);
#undef COUNTED
#define COUNTED(what, n)                                                                           \
  before = far_counts(other)->rounds;                                                              \
  must(what);                                                                                      \
  assert(rounds_since(other, before) == (n))
  far_vector_keep(kept, FAR_UNTIL_TOLD);
  COUNTED(far_vector_refresh(kept, &changed, NULL, &fault), 2);
  assert(changed == 20);
  COUNTED(far_map_find(kept, keys, 100, found, NULL, &fault), 0);
  COUNTED(far_vector_refresh(kept, &changed, NULL, &fault), 1);
  assert(changed == 0);
  must(far_vector_add(map, 7, FAR_STAMP + 8, 1, &sum, NULL, &fault));
  must(far_vector_add(map, 999, FAR_STAMP + 8, 1, &sum, NULL, &fault));
  COUNTED(far_vector_refresh(kept, &changed, NULL, &fault), 2);
  assert(changed == 2);
  far_vector_keep(kept, 0); /* never older than now */
  COUNTED(far_map_find(kept, keys, 1, found, NULL, &fault), 1);
  far_map_close(map);
  far_map_close(kept);
  far_close(memory);
  far_close(other);
  ok("get, set and add are a round each; a refresh is one, or two when something changed");
}

/* ---- several at once ------------------------------------------------------------------------- */

/* All words of an element are equal whenever somebody looks, and all elements of a pair. */
static void writer(const char *at, unsigned seed) {
  FarMemory *memory = far_open(at, NULL, &fault);
  must(memory != NULL);
  FarMap *map = open_vector(memory, "v", 0, 0);
  random_state = seed;
  for (int i = 0; i < 3000; i++) {
    const uint64_t index = pick(50), value = pick(1u << 30);
    const Cells cells = {{value, value, value}};
    const FarSeen any = {.stamp = FAR_ANY};
    FarTxn *txn = far_txn_begin(memory, &fault);
    must(far_txn_put(txn, map, &index, &cells, &any, &fault));
    must(far_txn_put(txn, map, &(uint64_t){index + 50}, &cells, &any, &fault));
    must(far_txn_commit(txn, NULL, &fault));
    far_txn_end(txn);
  }
  far_map_close(map);
  far_close(memory);
  _exit(0);
}

static void adder(const char *at) {
  FarMemory *memory = far_open(at, NULL, &fault);
  int64_t sum;
  must(memory != NULL);
  FarMap *map = open_vector(memory, "v", 0, 0);
  for (int i = 0; i < 3000; i++)
    must(far_vector_add(map, 100 + (uint64_t)i % 3, FAR_STAMP + 8, 1, &sum, NULL, &fault));
  for (int i = 0; i < 500; i++) { /* one more of what is there, whatever others do */
    for (bool again = true; again;) {
      const uint64_t index = 101;
      FarFound found;
      Fault told = {0};
      must(far_map_find(map, &index, 1, &found, NULL, &fault));
      Cells cells = cells_of(found.element);
      cells.words[0]++;
      const FarSeen seen = far_seen(&found);
      FarTxn *txn = far_txn_begin(memory, &fault);
      must(far_txn_put(txn, map, &index, &cells, &seen, &fault));
      again = !far_txn_commit(txn, NULL, &told);
      assert(!again || told.code == FAULT_CONFLICT || told.code == FAULT_BUSY);
      far_txn_end(txn);
    }
  }
  far_map_close(map);
  far_close(memory);
  _exit(0);
}

static void reader(const char *at, bool keeps) {
  FarMemory *memory = far_open(at, NULL, &fault);
  must(memory != NULL);
  FarMap *map = open_vector(memory, "v", 0, 0);
  FarScan *scan = far_scan_begin(map, &fault);
  if (keeps) far_vector_keep(map, 100000);
  for (int i = 0; i < 1500; i++) {
    const int64_t low = 0, high = 99;
    const unsigned char *element;
    must(far_scan_seek(scan, NULL, &low, &high, false, UINT64_MAX, NULL, &fault));
    for (int j = 0; j < 100; j++) {
      must(far_scan_next(scan, &element, NULL, NULL, &fault));
      const Cells cells = cells_of(element);
      assert(cells.words[0] == cells.words[1] && cells.words[1] == cells.words[2]);
    }
  }
  far_scan_end(scan);
  far_map_close(map);
  far_close(memory);
  _exit(0);
}

static void together(const char *at) {
  far_unlink(at, NULL);
  FarMemory *memory = far_open(at, NULL, &fault);
  must(memory != NULL);
  const FarVectorOptions options = {.length = 103, .group = 16, .initial = &(Cells){{0, 0, 0}}};
  FarMap *map;
  must(far_vector_open(memory, "v", &shape, 1, &options, &map, NULL, &fault));
  pid_t children[7];
  for (int i = 0; i < 7; i++) {
    fflush(stdout);
    if ((children[i] = fork()) != 0) continue;
    if (i < 2) writer(at, (unsigned)i + 1);
    if (i < 5) adder(at);
    reader(at, i == 6);
  }
  for (int i = 0; i < 7; i++) {
    int status;
    assert(waitpid(children[i], &status, 0) == children[i] && status == 0);
  }
  uint64_t sum = 0;
  for (uint64_t i = 0; i < 103; i++) {
    FarFound found;
    must(far_map_find(map, &i, 1, &found, NULL, &fault));
    const Cells cells = cells_of(found.element);
    if (i >= 100) sum += cells.words[0];
    if (i >= 50) continue;
    FarFound other;
    must(far_map_find(map, &(uint64_t){i + 50}, 1, &other, NULL, &fault));
    assert(cells_of(other.element).words[0] == cells.words[0]); /* a pair */
  }
  assert(sum == 3 * 3500);
  far_map_close(map);
  far_close(memory);
  must(far_unlink(at, &fault));
  ok("several processes: no half elements, no half transactions, nothing added is lost");
}

/* ---- large elements -------------------------------------------------------------------------- */

enum { LARGE = 1500, LARGE_LENGTH = 3, FLIPS = 20000 };

static const FarShape large = {
    .kind = FAR_KEY_INTEGER, .key = 8, .stride = FAR_STAMP + 8 + 8 * LARGE, .slots = 4};

static FarMap *open_large(FarMemory *memory) {
  static const uint64_t zeroes[LARGE];
  const FarVectorOptions options = {.length = LARGE_LENGTH, .group = 1, .initial = zeroes};
  FarMap *map;
  must(far_vector_open(memory, "large", &large, 1, &options, &map, NULL, &fault));
  return map;
}

/* All words of an element are the same. */
static void flip(const char *at, uint64_t index) {
  static uint64_t words[LARGE];
  FarMemory *memory = far_open(at, NULL, &fault);
  must(memory != NULL);
  FarMap *map = open_large(memory);
  for (uint64_t i = 0; i < FLIPS; i++) {
    for (int j = 0; j < LARGE; j++) words[j] = i;
    must(far_vector_set(map, index, words, NULL, &fault));
  }
  far_map_close(map);
  far_close(memory);
  _exit(0);
}

static void torn(const char *at) {
  static uint64_t words[LARGE];
  far_unlink(at, NULL);
  FarMemory *memory = far_open(at, NULL, &fault);
  must(memory != NULL);
  FarMap *map = open_large(memory);
  fflush(stdout);
  int reads = 0, left = LARGE_LENGTH;
  for (uint64_t i = 0; i < LARGE_LENGTH; i++)
    if (fork() == 0) flip(at, i);
  for (; left > 0; reads++) {
    const uint64_t keys[LARGE_LENGTH] = {0, 1, 2};
    FarFound found[LARGE_LENGTH];
    int status;
    must(far_map_find(map, keys, LARGE_LENGTH, found, NULL, &fault));
    for (int i = 0; i < LARGE_LENGTH; i++) {
      memcpy(words, found[i].element + FAR_STAMP + 8, sizeof words);
      for (int j = 1; j < LARGE; j++) assert(words[j] == words[0]);
    }
    if (waitpid(-1, &status, WNOHANG) <= 0) continue;
    assert(status == 0);
    left--;
  }
  printf("# read %d times\n", reads);
  far_map_close(map);
  far_close(memory);
  must(far_unlink(at, &fault));
  ok("elements of 12 kB are read whole while they are written");
}

static void refusals(const char *at) {
  far_unlink(at, NULL);
  FarMemory *memory = far_open(at, NULL, &fault);
  must(memory != NULL);
  FarMap *map = NULL;
  const FarVectorOptions none = {.initial = &initial};
  Fault told = {0};
  assert(!far_vector_open(memory, "v", &shape, 1, &none, &map, NULL, &told));
  assert(told.code == FAULT_NOTFOUND);
  map = open_vector(memory, "v", 10, 0);
  const FarVectorOptions more = {.length = 5, .initial = &initial};
  FarMap *again;
  told = (Fault){0};
  assert(!far_vector_open(memory, "v", &shape, 2, &more, &again, NULL, &told));
  assert(told.code == FAULT_INVALID);
  must(far_vector_open(memory, "v", &shape, 1, &more, &again, NULL, &fault));
  assert(far_vector_length(again) == 10);
  int64_t sum;
  told = (Fault){0};
  assert(!far_vector_add(map, 10, FAR_STAMP + 8, 1, &sum, NULL, &told) && told.code == FAULT_LIMIT);
  told = (Fault){0};
  assert(!far_vector_add(map, 1, 8, 1, &sum, NULL, &told) && told.code == FAULT_INVALID);
  const FarVectorOptions huge = {.length = UINT64_C(1) << 32, .initial = &initial};
  told = (Fault){0};
  assert(!far_vector_open(memory, "v", &shape, 1, &huge, &again + 0, NULL, &told));
  assert(told.code == FAULT_FULL);
  assert(far_vector_length(map) == 10);
  must(far_vector_set(map, 9, &initial, NULL, &fault));
  far_map_close(again);
  far_map_close(map);
  far_close(memory);
  must(far_unlink(at, &fault));
  ok("what cannot be is refused, and nothing is changed");
}

int main(int argc, char **argv) {
  const long steps = argc > 1 ? atol(argv[1]) : 600;
  const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  char at[64];
  snprintf(at, sizeof at, "shm:test-vector-%d", (int)getpid());
  for (uint64_t i = 0; i < 10; i++) one_case(seed + i, steps, at);
  ok("vectors, as an array would have it");
  rounds(at);
  together(at);
  torn(at);
  refusals(at);
  printf("1..%d\n", tests_done);
  return 0;
}
