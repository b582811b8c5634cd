/*
** What vectors, queues and histograms are after a client was killed before its first operation, its
** second, and so on to the last: as before or as afterwards, and nothing is in anybody's way.
*/
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote/histogram.h"
#include "remote/memory.h"
#include "remote/scan.h"
#include "remote/vector.h"
#include "test/remote/check.h"

enum { LENGTH = 40, SLOTS = 12, WINDOWS = 3, BUCKETS = 4, SIZE = 8 << 20 };

static const FarShape shape = {
    .kind = FAR_KEY_INTEGER, .key = 8, .stride = FAR_STAMP + 8 + 16, .slots = 4};
static const FarHistogramPlan plan = {.low = 0, .high = 4, .buckets = BUCKETS, .windows = WINDOWS};

typedef struct Cells {
  uint64_t value, twice;
} Cells;

static Cells cells_of(uint64_t value) { return (Cells){value, 2 * value}; }

typedef struct Things {
  FarMemory *memory;
  FarMap *vector, *map;
  FarQueue *queue;
  FarHistogram *histogram;
} Things;

static FarMap *vector_of(FarMemory *memory, uint64_t length) {
  const Cells zero = {0, 0};
  const FarVectorOptions options = {.length = length, .group = 8, .initial = &zero};
  FarMap *map;
  must(far_vector_open(memory, "v", &shape, 1, &options, &map, NULL, &fault));
  return map;
}

static Things open_all(const char *at) {
  const FarOptions options = {.size = SIZE};
  Things it = {.memory = far_open(at, &options, &fault)};
  must(it.memory != NULL);
  it.vector = vector_of(it.memory, LENGTH);
  must(far_map_open(it.memory, "m", &shape, 1, true, &it.map, NULL, &fault));
  must(far_queue_open(it.memory, "q", &shape, 1, SLOTS, &it.queue, NULL, &fault));
  must(far_histogram_open(it.memory, "h", &plan, &it.histogram, NULL, &fault));
  return it;
}

static void close_all(Things *it) {
  far_map_close(it->vector);
  far_map_close(it->map);
  far_queue_close(it->queue);
  far_histogram_close(it->histogram);
  far_close(it->memory);
}

/* ---- what is done ---------------------------------------------------------------------------- */

static const FarSeen any = {.stamp = FAR_ANY};

static void set(FarTxn *txn, FarMap *map, uint64_t index, uint64_t value) {
  const Cells cells = cells_of(value);
  must(far_txn_put(txn, map, &index, &cells, &any, &fault));
}

static void set_one(Things *it) {
  const Cells cells = cells_of(500);
  must(far_vector_set(it->vector, 3, &cells, NULL, &fault));
}

static void set_many(Things *it) {
  FarTxn *txn = far_txn_begin(it->memory, &fault);
  for (uint64_t i = 0; i < 10; i++) set(txn, it->vector, i * 4, 600 + i);
  must(far_txn_commit(txn, NULL, &fault));
  far_txn_end(txn);
}

static void set_neighbours(Things *it) {
  FarTxn *txn = far_txn_begin(it->memory, &fault);
  for (uint64_t i = 0; i < 5; i++) set(txn, it->vector, i, 650 + i);
  must(far_txn_commit(txn, NULL, &fault));
  far_txn_end(txn);
}

static void add_one(Things *it) {
  int64_t sum;
  must(far_vector_add(it->vector, 3, FAR_STAMP + 8, 1, &sum, NULL, &fault));
}

static void grow(Things *it) { far_map_close(vector_of(it->memory, 3 * LENGTH)); }

static void push_one(Things *it) {
  const Cells cells = cells_of(700);
  must(far_queue_push(it->queue, &cells, 1, NULL, &fault));
}

static void push_many(Things *it) {
  Cells cells[5];
  for (uint64_t i = 0; i < 5; i++) cells[i] = cells_of(700 + i);
  must(far_queue_push(it->queue, cells, 5, NULL, &fault));
}

static void pop_one(Things *it) {
  unsigned char out[64];
  uint64_t n;
  must(far_queue_pop(it->queue, 1, out, &n, NULL, &fault));
  assert(n == 1);
}

static FarTxn *all_together(Things *it) {
  FarTxn *txn = far_txn_begin(it->memory, &fault);
  for (uint64_t i = 0; i < 2; i++) {
    const Cells cells = cells_of(800 + i);
    set(txn, it->vector, i * 20, 800 + i);
    set(txn, it->map, i, 800 + i);
    must(far_txn_push(txn, it->queue, &cells, &fault));
  }
  return txn;
}

static void all_at_once(Things *it) {
  FarTxn *txn = all_together(it);
  must(far_txn_commit(txn, NULL, &fault));
  far_txn_end(txn);
}

static void two_phases(Things *it, bool happens) {
  static const unsigned char mark[FAR_MARK];
  FarTxn *txn = all_together(it);
  must(far_txn_prepare(txn, mark, NULL, &fault));
  must(far_txn_finish(txn, happens, &fault));
  far_txn_end(txn);
}

static void happens(Things *it) { two_phases(it, true); }
static void does_not(Things *it) { two_phases(it, false); }

static void observe(Things *it) {
  must(far_histogram_observe(it->histogram, 2.5, 1, NULL, &fault));
}

static void turn(Things *it) {
  uint64_t window;
  must(far_histogram_turn(it->histogram, &window, NULL, &fault));
}

typedef struct Deed {
  const char *name;
  void (*act)(Things *it);
  bool nothing; /* it leaves everything as it was */
  bool last;    /* it has not happened before its last operation */
} Deed;

static const Deed deeds[] = {
    {"an element is set", set_one, false, false},
    {"elements are set together", set_many, false, false},
    {"elements of one group", set_neighbours, false, false},
    {"something is added to an element", add_one, false, false},
    {"a vector grows", grow, true, false},
    {"something is put into a queue", push_one, false, false},
    {"some are put together", push_many, false, false},
    {"something is taken", pop_one, false, true},
    {"a vector, a map and a queue", all_at_once, false, false},
    {"in two phases", happens, false, false},
    {"in two phases, and it does not happen", does_not, true, false},
    {"something is counted", observe, false, false},
    {"a histogram is turned", turn, false, false},
};

/* ---- and what is found ----------------------------------------------------------------------- */

typedef struct Contents {
  Cells vector[LENGTH], map[2], queue[SLOTS];
  uint64_t waiting, newest;
  uint64_t counts[WINDOWS * (BUCKETS + 2)];
} Contents;

static void look(Things *it, Contents *out) {
  memset(out, 0, sizeof *out);
  FarFound found;
  for (uint64_t i = 0; i < LENGTH; i++) {
    must(far_map_find(it->vector, &i, 1, &found, NULL, &fault));
    memcpy(&out->vector[i], found.element + FAR_STAMP + 8, sizeof(Cells));
  }
  for (uint64_t i = 0; i < 2; i++) {
    must(far_map_find(it->map, &i, 1, &found, NULL, &fault));
    if (found.element) memcpy(&out->map[i], found.element + FAR_STAMP + 8, sizeof(Cells));
  }
  unsigned char elements[SLOTS * 64];
  uint64_t next;
  must(far_queue_peek(it->queue, 0, SLOTS, elements, &out->waiting, &next, NULL, &fault));
  for (uint64_t i = 0; i < out->waiting; i++)
    memcpy(&out->queue[i], elements + i * shape.stride + FAR_STAMP + 8, sizeof(Cells));
  must(far_histogram_read(it->histogram, out->counts, &out->newest, NULL, &fault));
  if (out->newest < WINDOWS - 1) { /* what is not there yet */
    const size_t n = (out->newest + 1) * (BUCKETS + 2);
    memset(out->counts + n, 0, sizeof out->counts - n * sizeof *out->counts);
  }
}

/* Everything can be changed by somebody else, at once. */
static void use_all(Things *it) {
  unsigned char out[SLOTS * 64];
  uint64_t n, window;
  int64_t sum;
  for (uint64_t i = 0; i < LENGTH; i++) {
    const Cells cells = cells_of(i);
    must(far_vector_set(it->vector, i, &cells, NULL, &fault));
    must(far_vector_add(it->vector, i, FAR_STAMP + 8, 1, &sum, NULL, &fault));
    assert(sum == (int64_t)i + 1);
  }
  far_map_close(vector_of(it->memory, 4 * LENGTH));
  must(far_vector_add(it->vector, 4 * LENGTH - 1, FAR_STAMP + 8, 1, &sum, NULL, &fault));
  assert(sum == 1);
  for (int i = 0; i < 3; i++) {
    Cells cells[SLOTS] = {{0, 0}};
    must(far_queue_pop(it->queue, SLOTS, out, &n, NULL, &fault));
    must(far_queue_pop(it->queue, SLOTS, out, &n, NULL, &fault));
    assert(n == 0);
    must(far_queue_push(it->queue, cells, SLOTS, NULL, &fault));
  }
  FarTxn *txn = far_txn_begin(it->memory, &fault);
  for (uint64_t i = 0; i < 2; i++) set(txn, it->map, i, 1);
  must(far_txn_commit(txn, NULL, &fault));
  far_txn_end(txn);
  must(far_histogram_observe(it->histogram, 2.5, 1, NULL, &fault));
  for (int i = 0; i <= WINDOWS; i++) must(far_histogram_turn(it->histogram, &window, NULL, &fault));
  must(far_vector_drop(it->memory, "v", NULL, &fault));
  must(far_queue_drop(it->memory, "q", NULL, &fault));
  must(far_histogram_drop(it->memory, "h", NULL, &fault));
}

static void restore(const char *file, const void *contents) {
  const int fd = open(file, O_RDWR | O_CREAT, 0600);
  assert(fd >= 0 && pwrite(fd, contents, SIZE, 0) == SIZE);
  close(fd);
}

/* False: the client came to an end alive. */
static bool crash_at(const char *at, const Deed *deed, uint64_t dies) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    Things it = open_all(at);
    far_injection(it.memory)->dies = dies;
    deed->act(&it);
    far_injection(it.memory)->dies = 0;
    close_all(&it);
    _exit(0);
  }
  int status;
  assert(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status)) assert(WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

static void sweep(const char *at, const Deed *deed, const Contents *before, const void *contents) {
  static Contents after, found;
  const char *file = at + strlen("file:");
  restore(file, contents);
  assert(!crash_at(at, deed, 0));
  Things it = open_all(at);
  look(&it, &after);
  close_all(&it);
  assert(!memcmp(&after, before, sizeof after) == deed->nothing);
  int crashes = 0, undone = 0;
  for (bool alive = false; !alive; crashes++) {
    restore(file, contents);
    alive = !crash_at(at, deed, (uint64_t)crashes + 1);
    it = open_all(at);
    look(&it, &found);
    const bool is_before = !memcmp(&found, before, sizeof found);
    const bool is_after = !memcmp(&found, &after, sizeof found);
    if (!is_before && !is_after) {
      printf("not ok - %s, killed before operation %d: half of it was done\n", deed->name,
             crashes + 1);
      exit(1);
    }
    assert(!alive || is_after);
    undone += is_before && !is_after;
    use_all(&it);
    close_all(&it);
  }
  printf("# %s: %d operations, %d times nothing was done\n", deed->name, crashes - 1, undone);
  assert(crashes > 2 && (!deed->last || undone == crashes - 1));
}

int main(void) {
  char folder[] = "/tmp/tenfold-killed-XXXXXX", at[200], command[100];
  static Contents before;
  assert(mkdtemp(folder));
  snprintf(at, sizeof at, "file:%s/base", folder);
  Things it = open_all(at);
  for (uint64_t i = 0; i < LENGTH; i++) {
    const Cells cells = cells_of(i);
    must(far_vector_set(it.vector, i, &cells, NULL, &fault));
  }
  for (uint64_t i = 0; i < 3; i++) {
    const Cells cells = cells_of(i);
    must(far_queue_push(it.queue, &cells, 1, NULL, &fault));
    observe(&it);
  }
  turn(&it);
  observe(&it);
  look(&it, &before);
  close_all(&it);
  void *contents = malloc(SIZE);
  const int fd = open(at + strlen("file:"), O_RDONLY);
  assert(contents && fd >= 0 && read(fd, contents, SIZE) == SIZE);
  close(fd);
  for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
    sweep(at, &deeds[i], &before, contents);
    printf("ok %d - killed at each operation: %s\n", (int)i + 1, deeds[i].name);
  }
  printf("1..%d\n", (int)(sizeof deeds / sizeof *deeds));
  snprintf(command, sizeof command, "rm -r %s", folder);
  free(contents);
  return system(command);
}
