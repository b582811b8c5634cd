/*
** Queues against an array: random puts, takes and looks by two clients. Then several processes that
** put and take at once, also such as are killed at any operation: nothing that was put is lost, and
** nothing comes twice.
**
**   test-remote-queue [steps [seed]]
*/
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote/memory.h"
#include "remote/queue.h"
#include "remote/scan.h"
#include "remote/txn.h"
#include "remote/vector.h"
#include "test/remote/check.h"

enum { MOST = 100000, CLIENTS = 2, WORDS = 2 };

static const FarShape shape = {
    .kind = FAR_KEY_INTEGER, .key = 8, .stride = FAR_STAMP + 8 + 8 * WORDS, .slots = 8};
static FarQueue *open_queue(FarMemory *memory, uint64_t length) {
  FarQueue *queue;
  must(far_queue_open(memory, "q", &shape, 1, length, &queue, NULL, &fault));
  return queue;
}

typedef struct Cells {
  uint64_t value, twice;
} Cells;

static uint64_t value_of(const unsigned char *element) {
  Cells cells;
  memcpy(&cells, element + FAR_STAMP + 8, sizeof cells);
  assert(cells.twice == 2 * cells.value);
  return cells.value;
}

/* ---- one at a time --------------------------------------------------------------------------- */

typedef struct Model {
  uint64_t values[MOST];
  size_t first, last;
  size_t holes; /* tickets that may have been given up since nothing waited */
} Model;

/* Is that what a queue with so many slots does, which was to take n more? */
static bool right(Model *model, bool did, uint64_t n, uint64_t length) {
  const uint64_t after = model->last - model->first + n;
  if (model->first == model->last) model->holes = 0;
  return did ? after <= length : after + model->holes > length;
}

static void put(FarQueue *queue, Model *model, uint64_t length) {
  Cells cells[12];
  const size_t n = 1 + pick(12);
  Fault told = {0};
  for (size_t i = 0; i < n; i++) {
    const uint64_t value = pick(1u << 30);
    cells[i] = (Cells){value, 2 * value};
  }
  const bool did = far_queue_push(queue, cells, n, NULL, &told);
  assert(right(model, did, n, length));
  assert(did || told.code == FAULT_FULL);
  for (size_t i = 0; did && i < n; i++) model->values[model->last++] = cells[i].value;
}

static void take(FarQueue *queue, Model *model) {
  unsigned char out[12 * 32];
  uint64_t n;
  const uint64_t most = 1 + pick(12), there = model->last - model->first;
  must(far_queue_pop(queue, most, out, &n, NULL, &fault));
  assert(n == (most < there ? most : there));
  for (uint64_t i = 0; i < n; i++)
    assert(value_of(out + i * shape.stride) == model->values[model->first++]);
}

static void look(FarQueue *queue, const Model *model) {
  static unsigned char out[1000 * 32];
  uint64_t from = 0, seen = 0, n;
  do {
    must(far_queue_peek(queue, from, 1 + pick(1000), out, &n, &from, NULL, &fault));
    for (uint64_t i = 0; i < n; i++)
      assert(value_of(out + i * shape.stride) == model->values[model->first + seen++]);
  } while (from);
  assert(seen == model->last - model->first);
}

/* Puts that do not happen leave nothing, but use up their tickets. */
static void put_undone(FarMemory *memory, FarQueue *queue, Model *model, uint64_t length) {
  static const unsigned char mark[FAR_MARK];
  Fault told = {0};
  FarTxn *txn = far_txn_begin(memory, &fault);
  const bool happens = pick(2);
  const uint64_t value = pick(1000);
  const Cells cells = {value, 2 * value};
  must(far_txn_push(txn, queue, &cells, &fault));
  const size_t back = far_txn_mark(txn);
  must(far_txn_push(txn, queue, &cells, &fault));
  must(far_txn_back(txn, back, &fault));
  const bool did = far_txn_prepare(txn, mark, NULL, &told);
  assert(right(model, did, 1, length));
  model->holes++;
  look(queue, model); /* nobody sees it yet */
  if (did) must(far_txn_finish(txn, happens, &fault));
  if (did && happens) model->values[model->last++] = value;
  far_txn_end(txn);
}

static void one_case(uint64_t seed, long steps, const char *at) {
  static Model model;
  FarMemory *memories[CLIENTS];
  FarQueue *queues[CLIENTS];
  random_state = seed;
  far_unlink(at, NULL);
  model.first = model.last = model.holes = 0;
  const uint64_t length = pick(3) ? 1 + pick(30) : 1 + pick(500);
  for (int i = 0; i < CLIENTS; i++) {
    must((memories[i] = far_open(at, NULL, &fault)) != NULL);
    queues[i] = open_queue(memories[i], length);
  }
  for (long step = 0; step < steps && model.last + 20 < MOST; step++) {
    const unsigned who = pick(CLIENTS), what = pick(10);
    if (what < 4) {
      put(queues[who], &model, length);
    } else if (what < 8) {
      take(queues[who], &model);
    } else if (what < 9) {
      put_undone(memories[who], queues[who], &model, length);
    } else {
      look(queues[who], &model);
    }
  }
  must(far_queue_drop(memories[0], "q", NULL, &fault));
  for (int i = 0; i < CLIENTS; i++) {
    unsigned char out[32];
    uint64_t n;
    Fault told = {0};
    assert(!far_queue_pop(queues[i], 1, out, &n, NULL, &told) && told.code == FAULT_NOTFOUND);
    told = (Fault){0};
    assert(!far_queue_push(queues[i], &(Cells){0, 0}, 1, NULL, &told));
    assert(told.code == FAULT_NOTFOUND);
    far_queue_close(queues[i]);
    far_close(memories[i]);
  }
  must(far_unlink(at, &fault));
}

static void rounds(const char *at) {
  far_unlink(at, NULL);
  FarMemory *memory = far_open(at, NULL, &fault);
  must(memory != NULL);
  FarQueue *queue = open_queue(memory, 100);
  Cells cells[50] = {{0, 0}};
  unsigned char out[50 * 32];
  uint64_t n, before;
#define COUNTED(what, count)                                                                       \
  before = far_counts(memory)->rounds;                                                             \
  must(what);                                                                                      \
  assert(far_counts(memory)->rounds - before == (count))
  must(far_queue_push(queue, cells, 50, NULL, &fault)); /* takes a place for its log */
  must(far_queue_pop(queue, 50, out, &n, NULL, &fault));
  for (int i = 0; i < 300; i++) {
    COUNTED(far_queue_push(queue, cells, 1, NULL, &fault), 1);
    COUNTED(far_queue_push(queue, cells, 50, NULL, &fault), 1);
    COUNTED(far_queue_pop(queue, 1, out, &n, NULL, &fault), 1);
    COUNTED(far_queue_pop(queue, 50, out, &n, NULL, &fault), 1);
    assert(n == 50);
    COUNTED(far_queue_pop(queue, 1, out, &n, NULL, &fault), 1);
    assert(n == 0);
  }
  far_queue_close(queue);
  far_close(memory);
  must(far_unlink(at, &fault));
  ok("to put one or fifty, to take one or fifty, to find nothing: a round each");
}

/* What is being put in two phases is not waited for, and comes when it is there. */
static void passed_over(const char *at) {
  static const unsigned char mark[FAR_MARK];
  const Cells cells[] = {{1, 2}, {2, 4}};
  unsigned char out[2 * 32];
  uint64_t n;
  far_unlink(at, NULL);
  FarMemory *memory = far_open(at, NULL, &fault), *other = far_open(at, NULL, &fault);
  must(memory && other);
  FarQueue *queue = open_queue(memory, 5), *theirs = open_queue(other, 5);
  FarTxn *txn = far_txn_begin(memory, &fault);
  must(far_txn_push(txn, queue, &cells[0], &fault) && far_txn_prepare(txn, mark, NULL, &fault));
  must(far_queue_push(theirs, &cells[1], 1, NULL, &fault));
  must(far_queue_pop(theirs, 2, out, &n, NULL, &fault));
  assert(n == 1 && value_of(out) == 2);
  must(far_queue_pop(theirs, 2, out, &n, NULL, &fault));
  assert(n == 0);
  must(far_txn_finish(txn, true, &fault));
  far_txn_end(txn);
  must(far_queue_pop(theirs, 2, out, &n, NULL, &fault));
  assert(n == 1 && value_of(out) == 1);
  far_queue_close(queue);
  far_queue_close(theirs);
  far_close(memory);
  far_close(other);
  must(far_unlink(at, &fault));
  ok("a transaction of two phases holds nobody up");
}

/* ---- many at a time -------------------------------------------------------------------------- */

enum { PRODUCERS = 3, CONSUMERS = 3, EACH = 30000, PER_TURN = 4 };

typedef struct Fate { /* of a value, in memory that all processes share */
  unsigned char asked, told, taken;
} Fate;

typedef struct Shared {
  Fate fates[PRODUCERS][EACH];
  uint64_t next[PRODUCERS]; /* value that was last asked for, + 1 */
  uint64_t last[CONSUMERS][PRODUCERS];
  uint64_t deaths, taking[CONSUMERS];
} Shared;

static Shared *shared;

static void produce(const char *at, int me, uint64_t dies, int turns) {
  FarMemory *memory = far_open(at, NULL, &fault);
  must(memory != NULL);
  FarQueue *queue = open_queue(memory, 0);
  random_state = shared->next[me] + (uint64_t)me;
  far_injection(memory)->dies = dies;
  for (int i = 0; i < turns && shared->next[me] + PER_TURN < EACH; i++) {
    Cells cells[PER_TURN];
    const unsigned n = 1 + pick(PER_TURN);
    const uint64_t first = shared->next[me];
    for (unsigned j = 0; j < n; j++) {
      const uint64_t value = (uint64_t)me * EACH + first + j;
      cells[j] = (Cells){value, 2 * value};
      shared->fates[me][first + j].asked = 1;
    }
    shared->next[me] += n;
    Fault told = {0};
    const bool did = far_queue_push(queue, cells, n, NULL, &told);
    assert(did || told.code == FAULT_FULL || told.code == FAULT_BUSY);
    for (unsigned j = 0; j < n; j++) shared->fates[me][first + j].told = did ? 1 : 2;
    if (!did) usleep(100);
  }
  far_injection(memory)->dies = 0;
  far_queue_close(queue);
  far_close(memory);
}

static void taken(int me, uint64_t value) {
  const uint64_t producer = value / EACH, number = value % EACH;
  assert(producer < PRODUCERS && shared->fates[producer][number].asked);
  __atomic_fetch_add(&shared->fates[producer][number].taken, 1, __ATOMIC_SEQ_CST);
  /* What one producer put comes to one consumer in its order, unless it comes back from the
  ** dead. */
  if (!shared->deaths) {
    assert(shared->last[me][producer] <= number);
    shared->last[me][producer] = number + 1;
  }
}

/* Until so many turns are over, or (turns < 0) nothing waits. */
static void consume(const char *at, int me, uint64_t dies, int turns) {
  FarMemory *memory = far_open(at, NULL, &fault);
  must(memory != NULL);
  FarQueue *queue = open_queue(memory, 0);
  unsigned char out[PER_TURN * 32];
  random_state = (uint64_t)me + 100;
  far_injection(memory)->dies = dies;
  for (int i = 0; turns < 0 || i < turns; i++) {
    uint64_t n;
    const uint64_t most = 1 + pick(PER_TURN);
    shared->taking[me] = most;
    must(far_queue_pop(queue, most, out, &n, NULL, &fault));
    for (uint64_t j = 0; j < n; j++) taken(me, value_of(out + j * shape.stride));
    shared->taking[me] = 0;
    if (!n && turns < 0) break;
    if (!n) usleep(100);
  }
  far_injection(memory)->dies = 0;
  far_queue_close(queue);
  far_close(memory);
}

/* All processes at once, some of which are killed. */
static void turn(const char *at, bool kill) {
  pid_t children[PRODUCERS + CONSUMERS];
  for (int i = 0; i < PRODUCERS + CONSUMERS; i++) {
    const uint64_t dies = kill && pick(3) ? 1 + pick(400) : 0;
    if (dies) shared->deaths++;
    fflush(stdout);
    if ((children[i] = fork()) != 0) continue;
    alarm(100);
    if (i < PRODUCERS) {
      produce(at, i, dies, kill ? 100 : 6000);
    } else {
      consume(at, i - PRODUCERS, dies, kill ? 100 : 6000);
    }
    _exit(0);
  }
  for (int i = 0; i < PRODUCERS + CONSUMERS; i++) {
    int status;
    assert(waitpid(children[i], &status, 0) == children[i]);
    if (WIFEXITED(status)) assert(WEXITSTATUS(status) == 0);
    if (WIFSIGNALED(status)) assert(kill && WTERMSIG(status) == SIGKILL);
  }
}

/* What was told to be put was taken once; what was not told, at most once. Who was killed while
** taking may have taken some that nobody saw. */
static void together(const char *at, bool kill) {
  uint64_t lost = 0, most_lost = 0, moved = 0;
  far_unlink(at, NULL);
  memset(shared, 0, sizeof *shared);
  FarMemory *memory = far_open(at, NULL, &fault);
  must(memory != NULL);
  FarQueue *queue = open_queue(memory, 50);
  for (int i = 0; i < (kill ? 60 : 1); i++) {
    turn(at, kill);
    for (int j = 0; j < CONSUMERS; j++) {
      most_lost += shared->taking[j];
      shared->taking[j] = 0;
    }
  }
  shared->deaths++; /* what is left may be out of order for this consumer */
  consume(at, 0, 0, -1);
  for (int i = 0; i < PRODUCERS; i++) {
    for (int j = 0; j < EACH; j++) {
      const Fate *fate = &shared->fates[i][j];
      assert(fate->taken <= 1);
      assert(fate->told != 2 || !fate->taken);
      lost += fate->told == 1 && !fate->taken;
      moved += fate->taken;
    }
  }
  printf("# %d values moved, %d lost with those who took them (at most %d)\n", (int)moved,
         (int)lost, (int)most_lost);
  assert(lost <= most_lost && (kill || !lost) && moved > 1000);
  /* And all of the ring can be used again. */
  Cells cells[50] = {{0, 0}};
  unsigned char out[50 * 32];
  uint64_t n;
  for (int i = 0; i < 3; i++) {
    must(far_queue_push(queue, cells, 50, NULL, &fault));
    Fault told = {0};
    assert(!far_queue_push(queue, cells, 1, NULL, &told) && told.code == FAULT_FULL);
    must(far_queue_pop(queue, 50, out, &n, NULL, &fault));
    assert(n == 50);
  }
  far_queue_close(queue);
  far_close(memory);
  must(far_unlink(at, &fault));
  ok(kill ? "processes that are killed at any operation" : "processes that put and take at once");
}

int main(int argc, char **argv) {
  const long steps = argc > 1 ? atol(argv[1]) : 3000;
  const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  char at[64];
  alarm(600);
  snprintf(at, sizeof at, "shm:test-queue-%d", (int)getpid());
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert(shared != MAP_FAILED);
  for (uint64_t i = 0; i < 10; i++) one_case(seed + i, steps, at);
  ok("queues, as an array would have it");
  rounds(at);
  passed_over(at);
  together(at, false);
  together(at, true);
  printf("1..%d\n", tests_done);
  return 0;
}
