/*
** A client is killed before its first operation, its second, and so on to the last: what others
** find afterwards is all of what it did, or none, and nothing is in their way.
*/
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote/map.h"
#include "remote/memory.h"
#include "remote/scan.h"
#include "remote/txn.h"

enum { KEYS = 40, SLOTS = 4, SIZE = 6 << 20 };

static const FarShape shape = {
    .kind = FAR_KEY_INTEGER, .key = 8, .stride = FAR_STAMP + 8 + 8, .slots = SLOTS};
static Fault fault;

static void must(bool ok) {
  if (ok) return;
  printf("Bail out! %s\n", fault.text);
  exit(1);
}

typedef struct State { /* 0: there is none */
  int64_t values[2 * KEYS];
} State;

static void put(FarTxn *txn, FarMap *map, int64_t key, int64_t value) {
  const FarSeen any = {.stamp = FAR_ANY};
  must(far_txn_put(txn, map, &key, value ? &value : NULL, &any, &fault));
}

/* ---- what is done ---------------------------------------------------------------------------- */

typedef struct Deed {
  const char *name;
  int first, step, n; /* keys */
  int64_t value;      /* 0: removed */
  enum { ONE_PHASE, HAPPENS, DOES_NOT } end;
} Deed;

static const Deed deeds[] = {
    {"an element is replaced", 4, 1, 1, 77, ONE_PHASE},
    {"all elements of a full bucket are replaced", 0, 2, SLOTS, 78, ONE_PHASE},
    {"an element is added, and a bucket split", 41, 1, 1, 5, ONE_PHASE},
    {"an element is added between others", 5, 2, 1, 5, ONE_PHASE},
    {"an element is removed", 8, 1, 1, 0, ONE_PHASE},
    {"elements of several buckets", 0, 6, 6, 99, ONE_PHASE},
    {"many elements are added", 1, 2, 20, 3, ONE_PHASE},
    {"elements are removed together", 0, 2, 15, 0, ONE_PHASE},
    {"two phases", 0, 6, 6, 98, HAPPENS},
    {"two phases, and it does not happen", 0, 6, 6, 97, DOES_NOT},
};

static void change(State *state, const Deed *deed) {
  for (int i = 0; i < deed->n; i++) state->values[deed->first + i * deed->step] = deed->value;
}

static void do_it(FarMemory *memory, FarMap *map, const Deed *deed) {
  static const unsigned char mark[FAR_MARK];
  FarTxn *txn = far_txn_begin(memory, &fault);
  for (int i = 0; i < deed->n; i++) put(txn, map, deed->first + i * deed->step, deed->value);
  if (deed->end == ONE_PHASE) {
    must(far_txn_commit(txn, NULL, &fault));
  } else {
    must(far_txn_prepare(txn, mark, NULL, &fault));
    must(far_txn_finish(txn, deed->end == HAPPENS, &fault));
  }
  far_txn_end(txn);
}

/* ---- and what is found ----------------------------------------------------------------------- */

static FarMap *open_map(FarMemory *memory) {
  FarMap *map;
  must(far_map_open(memory, "m", &shape, 1, true, &map, NULL, &fault));
  return map;
}

static void read_all(FarMap *map, State *out) {
  FarScan *scan = far_scan_begin(map, &fault);
  const unsigned char *element;
  int64_t before = -1;
  memset(out, 0, sizeof *out);
  must(scan && far_scan_seek(scan, NULL, NULL, NULL, false, UINT64_MAX, NULL, &fault));
  for (;;) {
    must(far_scan_next(scan, &element, NULL, NULL, &fault));
    if (!element) break;
    int64_t key;
    memcpy(&key, element + FAR_STAMP, sizeof key);
    assert(key > before && key < 2 * KEYS);
    memcpy(&out->values[key], element + FAR_STAMP + 8, 8);
    before = key;
  }
  far_scan_end(scan);
}

/* So that whoever watches the map comes to know of it. */
static uint64_t count_changes(FarMemory *memory, FarMap *map) {
  uint64_t changes;
  FarOp op = far_read_op(map->root + offsetof(FarMapRoot, changes), &changes, 8);
  must(far_round(memory, &op, 1, NULL, &fault));
  return changes;
}

/* Everything can be changed by somebody else, at once. */
static void use_all(FarMemory *memory, FarMap *map) {
  for (int64_t key = 0; key < 2 * KEYS; key++) {
    FarTxn *txn = far_txn_begin(memory, &fault);
    put(txn, map, key, key + 1000);
    must(far_txn_commit(txn, NULL, &fault));
    far_txn_end(txn);
  }
  State state;
  read_all(map, &state);
  for (int key = 0; key < 2 * KEYS; key++) assert(state.values[key] == key + 1000);
}

/* The memory as it was at the beginning. */
static void restore(const char *file, const void *contents, size_t size) {
  const int fd = open(file, O_RDWR | O_CREAT, 0600);
  assert(fd >= 0 && pwrite(fd, contents, size, 0) == (ssize_t)size);
  close(fd);
}

/* False: the client came to an end alive. */
static bool crash_at(const char *at, const Deed *deed, uint64_t dies) {
  const pid_t child = fork();
  if (child == 0) {
    FarMemory *memory = far_open(at, NULL, &fault);
    must(memory != NULL);
    FarMap *map = open_map(memory);
    memory->injection.dies = dies;
    do_it(memory, map, deed);
    memory->injection.dies = 0;
    far_map_close(map);
    far_close(memory);
    _exit(0);
  }
  int status;
  assert(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status)) assert(WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

static int sweep(const char *folder, const Deed *deed, const State *before, uint64_t changes,
                 const void *contents) {
  char file[200], at[210];
  State after = *before, found;
  int crashes = 0, undone = 0;
  if (deed->end != DOES_NOT) change(&after, deed);
  snprintf(file, sizeof file, "%s/copy", folder);
  snprintf(at, sizeof at, "file:%s", file);
  for (bool alive = false; !alive; crashes++) {
    restore(file, contents, SIZE);
    alive = !crash_at(at, deed, (uint64_t)crashes + 1);
    FarMemory *memory = far_open(at, NULL, &fault);
    must(memory != NULL);
    FarMap *map = open_map(memory);
    read_all(map, &found);
    const bool is_before = !memcmp(&found, before, sizeof found);
    const bool is_after = !memcmp(&found, &after, sizeof found);
    if (!is_before && !is_after) {
      printf("not ok - %s, killed before operation %d: half of it was done\n", deed->name,
             crashes + 1);
      exit(1);
    }
    assert(!alive || is_after);
    assert(is_before || count_changes(memory, map) > changes);
    undone += is_before && !is_after;
    use_all(memory, map);
    far_map_close(map);
    far_close(memory);
  }
  printf("# %s: %d operations, %d times nothing was done\n", deed->name, crashes - 1, undone);
  return crashes;
}

int main(void) {
  char folder[] = "/tmp/tenfold-crash-XXXXXX", at[200], command[100];
  State before = {0};
  assert(mkdtemp(folder));
  snprintf(at, sizeof at, "file:%s/base", folder);
  const FarOptions options = {.size = SIZE};
  FarMemory *memory = far_open(at, &options, &fault);
  must(memory != NULL);
  FarMap *map = open_map(memory);
  for (int key = 0; key < KEYS; key += 2) {
    FarTxn *txn = far_txn_begin(memory, &fault);
    put(txn, map, key, key + 1);
    must(far_txn_commit(txn, NULL, &fault));
    far_txn_end(txn);
    before.values[key] = key + 1;
  }
  const uint64_t changes = count_changes(memory, map);
  assert(changes > 0);
  far_map_close(map);
  far_close(memory);
  void *contents = malloc(SIZE);
  const int fd = open(at + strlen("file:"), O_RDONLY);
  assert(contents && fd >= 0 && read(fd, contents, SIZE) == SIZE);
  close(fd);
  for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
    assert(sweep(folder, &deeds[i], &before, changes, contents) > 5);
    printf("ok %d - killed at each operation: %s\n", (int)i + 1, deeds[i].name);
  }
  printf("1..%d\n", (int)(sizeof deeds / sizeof *deeds));
  snprintf(command, sizeof command, "rm -r %s", folder);
  free(contents);
  return system(command);
}
