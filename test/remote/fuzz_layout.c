/*
** A far memory in which some words are anything: what a client makes of names, maps, vectors,
** queues, histograms, logs and free blocks that somebody has damaged. It says so, or goes on; it
** neither crashes nor hangs.
*/
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remote/alloc.h"
#include "remote/histogram.h"
#include "remote/memory.h"
#include "remote/names.h"
#include "remote/scan.h"
#include "remote/vector.h"

enum { SIZE = 4 << 20, ROWS = 160, PATIENCE = 300000 /* ns */ };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const FarShape numbers = {FAR_KEY_INTEGER, 8, 32, 16}, texts = {FAR_KEY_TEXT, 24, 48, 16};
static char at[64];
static FarMemory *first; /* a client from before, which knows the maps */
static FarMap *maps[2];
typedef struct Others {
  FarMap *vector;
  FarQueue *queue;
  FarHistogram *histogram;
} Others;

static Others others;
static unsigned char *whole; /* as it was */
static size_t used;

static void key_of(const FarShape *shape, unsigned i, unsigned char out[FAR_MOST_KEY]) {
  memset(out, 0, FAR_MOST_KEY);
  if (shape->kind == FAR_KEY_INTEGER) {
    const int64_t key = (int64_t)i * 7;
    memcpy(out, &key, sizeof key);
  } else {
    out[0] = (unsigned char)sprintf((char *)out + 2, "%06u", i * 7);
  }
}

static const FarShape *shape_of(int which) { return which ? &texts : &numbers; }

static bool put(FarMap *map, const FarShape *shape, unsigned from, unsigned n, Fault *fault) {
  static const unsigned char value[64] = {1};
  const FarSeen any = {.stamp = FAR_ANY, .slot = -1};
  FarTxn *txn = far_txn_begin(far_map_memory(map), fault);
  bool ok = txn != NULL;
  for (unsigned i = from; ok && i < from + n; i++) {
    unsigned char key[FAR_MOST_KEY];
    key_of(shape, i * 13 % ROWS, key);
    ok = far_txn_put(txn, map, key, i % 5 ? value : NULL, &any, fault);
  }
  ok = ok && far_txn_commit(txn, NULL, fault);
  far_txn_end(txn);
  return ok;
}

/* ---- vectors, queues, histograms ------------------------------------------------------------- */

static bool open_others(FarMemory *memory, Others *out, Fault *fault) {
  static const unsigned char cells[16];
  const FarVectorOptions options = {.length = 100, .group = 8, .initial = cells};
  const FarHistogramPlan plan = {.low = 0, .high = 10, .buckets = 5, .windows = 3};
  *out = (Others){0};
  return far_vector_open(memory, "vector", &numbers, 1, &options, &out->vector, NULL, fault) &&
         far_queue_open(memory, "queue", &numbers, 1, 20, &out->queue, NULL, fault) &&
         far_histogram_open(memory, "histogram", &plan, &out->histogram, NULL, fault);
}

static void close_others(Others *it) {
  far_map_close(it->vector);
  far_queue_close(it->queue);
  far_histogram_close(it->histogram);
}

static void use_vector(FarMap *vector) {
  static const unsigned char cells[16] = {3};
  const unsigned char *element = cells;
  Fault fault = {0};
  uint64_t keys[20], changed;
  FarFound found[20];
  int64_t sum;
  for (uint64_t i = 0; i < 20; i++) keys[i] = i * 7;
  far_map_find(vector, keys, 20, found, NULL, &fault);
  far_vector_set(vector, 11, cells, NULL, &fault);
  far_vector_add(vector, 30, FAR_STAMP + 8, 1, &sum, NULL, &fault);
  FarScan *scan = far_scan_begin(vector, &fault);
  assert(scan);
  bool ok = far_scan_seek(scan, NULL, NULL, NULL, true, UINT64_MAX, NULL, &fault);
  for (int i = 0; ok && element && i < 200; i++)
    ok = far_scan_next(scan, &element, NULL, NULL, &fault);
  far_scan_end(scan);
  far_vector_keep(vector, FAR_UNTIL_TOLD);
  far_vector_refresh(vector, &changed, NULL, &fault);
  far_map_find(vector, keys, 20, found, NULL, &fault);
  far_vector_keep(vector, -1);
}

static void use_others(const Others *it) {
  static const unsigned char cells[3 * 16] = {5};
  unsigned char out[20 * 32];
  uint64_t n, next, counts[3 * 7], window;
  Fault fault = {0};
  if (it->vector) use_vector(it->vector);
  if (it->queue) {
    far_queue_peek(it->queue, 0, 20, out, &n, &next, NULL, &fault);
    far_queue_push(it->queue, cells, 3, NULL, &fault);
    far_queue_pop(it->queue, 2, out, &n, NULL, &fault);
  }
  if (it->histogram) {
    far_histogram_observe(it->histogram, 3, 1, NULL, &fault);
    far_histogram_turn(it->histogram, &window, NULL, &fault);
    far_histogram_read(it->histogram, counts, &window, NULL, &fault);
  }
}

/* ---- the memory ------------------------------------------------------------------------------ */

static void prepare(void) {
  static const char *const names[] = {"numbers", "texts"};
  const FarOptions options = {.size = SIZE};
  Fault fault = {0};
  sprintf(at, "shm:fuzz-%d", (int)getpid());
  first = far_open(at, &options, &fault);
  assert(first);
  for (int i = 0; i < 2; i++) {
    const bool made = far_map_open(first, names[i], shape_of(i), 1, true, &maps[i], NULL, &fault) &&
                      put(maps[i], shape_of(i), 0, ROWS, &fault);
    assert(made);
  }
  const bool opened = open_others(first, &others, &fault);
  assert(opened);
  use_others(&others);
  first->options.deadline_ns = PATIENCE;
  const FarHeader *header = (FarHeader *)(void *)first->mapped.base;
  used = header->data + (header->next_extent + 1) * FAR_EXTENT;
  whole = malloc(used);
  assert(whole && used <= SIZE);
  memcpy(whole, first->mapped.base, used);
}

/* Each takes 12 bytes: where, how, a value. Most words are zero, so half go where something is. */
static void damage(const uint8_t *data, size_t size) {
  uint64_t *words = (uint64_t *)(void *)first->mapped.base;
  const size_t n = used / 8;
  for (; size >= 12; data += 12, size -= 12) {
    size_t i = (data[0] | data[1] << 8 | (size_t)(data[2] & 7) << 16) % n;
    uint64_t value;
    memcpy(&value, data + 4, 8);
    if (data[2] & 8) {
      for (size_t far = 0; far < 4096 && !words[i]; far++) i = (i + 1) % n;
    }
    switch (data[3] % 4) {
    case 0:
      words[i] = value;
      break;
    case 1:
      words[i] = words[value % n];
      break;
    case 2:
      words[i] += value & 1 ? 8 : (uint64_t)-8;
      break;
    default:
      words[i] ^= UINT64_C(1) << value % 64;
    }
  }
}

static void read_all(FarMap *map, const FarShape *shape) {
  unsigned char keys[64 * 24];
  FarFound found[64];
  Fault fault = {0};
  for (unsigned from = 0; from < ROWS; from += 64) {
    for (unsigned i = 0; i < 64; i++) {
      unsigned char key[FAR_MOST_KEY];
      key_of(shape, from + i, key);
      memcpy(keys + i * shape->key, key, shape->key);
    }
    if (!far_map_find(map, keys, 64, found, NULL, &fault)) break;
  }
  for (int reverse = 0; reverse < 2; reverse++) {
    const unsigned char *element = keys;
    FarScan *scan = far_scan_begin(map, &fault);
    assert(scan);
    bool ok =
        far_scan_seek(scan, NULL, NULL, NULL, reverse, reverse ? 10 : UINT64_MAX, NULL, &fault);
    for (int i = 0; ok && element && i < 4 * ROWS; i++)
      ok = far_scan_next(scan, &element, NULL, NULL, &fault);
    far_scan_end(scan);
  }
}

/* One that comes after, and learns everything from what is there. */
static void come_and_go(void) {
  const FarOptions options = {.deadline_ns = PATIENCE};
  Fault fault = {0};
  FarName *names = NULL;
  size_t n;
  FarMemory *memory = far_open(at, &options, &fault);
  if (!memory) return;
  if (far_name_list(memory, &names, &n, NULL, &fault)) free(names);
  for (int i = 0; i < 2; i++) {
    FarMap *map;
    if (!far_map_open(memory, i ? "texts" : "numbers", shape_of(i), 1, true, &map, NULL, &fault))
      continue;
    read_all(map, shape_of(i));
    put(map, shape_of(i), 5, 40, &fault);
    read_all(map, shape_of(i));
    if (i) far_map_drop(map, NULL, &fault);
    far_map_close(map);
  }
  Others mine;
  open_others(memory, &mine, &fault);
  use_others(&mine);
  close_others(&mine);
  far_vector_drop(memory, "vector", NULL, &fault);
  far_queue_drop(memory, "queue", NULL, &fault);
  far_histogram_drop(memory, "histogram", NULL, &fault);
  far_close(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Fault fault = {0};
  if (!first) prepare();
  damage(data, size);
  for (int i = 0; i < 2; i++) {
    read_all(maps[i], shape_of(i));
    put(maps[i], shape_of(i), 17, 20, &fault);
  }
  use_others(&others);
  come_and_go();
  memcpy(first->mapped.base, whole, used);
  return 0;
}
