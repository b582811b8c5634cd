/*
** Many processes that wait for one another, half of them in the same memory, half over a socket:
** views that follow what others write, mutexes, barriers; with notices that are lost, doubled and
** late. What is right is said by memory that the processes share without any of this.
**
**   test-remote-waiting [steps [seed]]
*/
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>

#include "remote/alloc.h"
#include "remote/memory.h"
#include "remote/watch.h"
#include "remote/word.h"
#include "test/remote/serving.h"

enum { WRITERS = 4, WATCHERS = 6, CELLS = 40, CELL = 256, LOCKERS = 6, PARTIES = 5 };

static const int64_t long_wait = INT64_C(60000000000);

/* Memory of all processes of the test. */
typedef struct Truth {
  _Atomic uint64_t issued[CELLS]; /* the value that is being written */
  atomic_bool finished;           /* nothing is written any more, and `final` is what is there */
  uint64_t final[CELLS];
  _Atomic uint64_t phase[PARTIES];
  _Atomic uint64_t notices;
} Truth;

static Truth *truth;
static uint64_t state;

static unsigned pick(unsigned n) {
  state += UINT64_C(0x9e3779b97f4a7c15);
  uint64_t z = state;
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (unsigned)((z ^ z >> 31) % n);
}

static FarMemory *open_either(int i) { return open_it(i % 2 ? at : file); }

static void inject(FarMemory *memory, int i) {
  FarInjection *injection = far_injection(memory);
  if (i % 3 == 1) injection->lost = 3;
  if (i % 3 == 2) injection->twice = 2;
  if (i % 4 >= 2) injection->late_ns = 3000000;
}

static void wait_for(const pid_t *children, int n) {
  int status;
  for (int i = 0; i < n; i++)
    assert(waitpid(children[i], &status, 0) == children[i] && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0);
}

/* ---- views ----------------------------------------------------------------------------------- */

/* Cells of some words, all of them the same number, which only grows. */
static size_t words_of(int cell) { return cell % 4 == 3 ? CELL / 8 : 1; }

static void write_cells(FarPointer cells, int who, long steps) {
  FarMemory *memory = open_either(who);
  for (long i = 0; i < steps; i++) {
    const int cell = (int)pick(CELLS / WRITERS) * WRITERS + who;
    const uint64_t value = atomic_load(&truth->issued[cell]) + 1;
    uint64_t words[CELL / 8];
    for (size_t j = 0; j < CELL / 8; j++) words[j] = value;
    atomic_store(&truth->issued[cell], value);
    FarOp op = far_write_op(cells + (uint64_t)cell * CELL, words, 8 * words_of(cell));
    must(far_round(memory, &op, 1, NULL, &fault));
    if (pick(20) == 0) pause_ms((int)pick(5));
  }
  far_close(memory);
}

static void see(const FarNotice *notice, int cell, uint64_t *view, bool twice) {
  const size_t n = words_of(cell);
  const uint64_t most = atomic_load(&truth->issued[cell]);
  uint64_t words[CELL / 8] = {notice->word};
  bool same = true;
  if (n > 1) {
    assert(notice->length == 8 * n);
    memcpy(words, notice->data, 8 * n);
  }
  for (size_t i = 0; i < n; i++) { /* each word is one that was written, and not older */
    assert(words[i] <= most && words[i] >= view[i]);
    same = same && words[i] == view[i];
  }
  assert(!same || twice);
  memcpy(view, words, 8 * n);
}

static bool is_final(uint64_t view[CELLS][CELL / 8]) {
  if (!atomic_load(&truth->finished)) return false;
  for (int cell = 0; cell < CELLS; cell++) {
    for (size_t i = 0; i < words_of(cell); i++)
      if (view[cell][i] != truth->final[cell]) return false;
  }
  return true;
}

static void watch_cells(FarPointer cells, int who, int ready) {
  static uint64_t view[CELLS][CELL / 8];
  FarMemory *memory = open_either(who);
  uint64_t ids[CELLS];
  for (int cell = 0; cell < CELLS; cell++) {
    const FarWatch watch = {.kind = words_of(cell) > 1 ? FAR_CHANGED_DATA : FAR_CHANGED,
                            .at = cells + (uint64_t)cell * CELL,
                            .length = (uint32_t)(8 * words_of(cell))};
    must(far_watch(memory, &watch, &ids[cell], NULL, &fault));
  }
  assert(write(ready, "", 1) == 1); /* now it may begin */
  inject(memory, who);
  const int64_t until = clock_now() + long_wait;
  uint64_t number = 0;
  while (!is_final(view)) {
    FarNotice notices[8];
    size_t n;
    assert(clock_now() < until);
    must(far_notices(memory, 50000000, notices, 1 + pick(8), &n, NULL, &fault));
    for (size_t i = 0; i < n; i++) {
      int cell = 0;
      while (cell < CELLS && ids[cell] != notices[i].watch) cell++;
      assert(cell < CELLS && !notices[i].gap && notices[i].number == ++number);
      see(&notices[i], cell, view[cell], far_injection(memory)->twice);
    }
    atomic_fetch_add(&truth->notices, n);
    if (pick(10) == 0) pause_ms((int)pick(20)); /* does not listen for a while */
  }
  far_close(memory);
}

/* What is in the file, read without any of what is tested. */
static void read_truth(FarPointer cells) {
  const int fd = open(file + strlen("file:"), O_RDONLY);
  for (int cell = 0; cell < CELLS; cell++) {
    const off_t from = (off_t)(far_offset(cells) + (uint64_t)cell * CELL);
    assert(pread(fd, &truth->final[cell], 8, from) == 8);
    assert(truth->final[cell] == atomic_load(&truth->issued[cell]));
  }
  close(fd);
  atomic_store(&truth->finished, true);
}

static void views(long steps) {
  static const unsigned char zeroes[CELLS * CELL];
  FarMemory *memory = open_it(file);
  FarPointer cells;
  pid_t watchers[WATCHERS], writers[WRITERS];
  int ready[2];
  char byte;
  must(far_alloc(memory, sizeof zeroes, FAR_USE_BYTES, &cells, NULL, &fault));
  FarOp op = far_write_op(cells, zeroes, sizeof zeroes);
  must(far_round(memory, &op, 1, NULL, &fault));
  assert(pipe(ready) == 0);
  for (int i = 0; i < WATCHERS; i++) {
    state += 1000;
    if ((watchers[i] = fork()) == 0) {
      watch_cells(cells, i, ready[1]);
      _exit(0);
    }
  }
  for (int i = 0; i < WATCHERS; i++) assert(read(ready[0], &byte, 1) == 1);
  for (int i = 0; i < WRITERS; i++) {
    state += 1000;
    if ((writers[i] = fork()) == 0) {
      write_cells(cells, i, steps);
      _exit(0);
    }
  }
  wait_for(writers, WRITERS);
  read_truth(cells);
  wait_for(watchers, WATCHERS);
  printf("# %d words written, %d watchers, %llu notices\n", (int)(WRITERS * steps), WATCHERS,
         (unsigned long long)atomic_load(&truth->notices));
  close(ready[0]);
  close(ready[1]);
  far_close(memory);
  ok("views that follow by notices come to be what is there");
}

/* ---- mutexes --------------------------------------------------------------------------------- */

/* Adds as nobody should without a lock. */
static void add_locked(FarMemory *memory, FarPointer mutex, FarPointer word, uint64_t n) {
  FarLocked locked;
  uint64_t value;
  must(far_mutex_lock(memory, mutex, long_wait, &locked, NULL, &fault));
  assert(locked != FAR_NOT_LOCKED);
  FarOp op = far_read_op(word, &value, 8);
  must(far_round(memory, &op, 1, NULL, &fault));
  value += n;
  op = far_write_op(word, &value, 8);
  must(far_round(memory, &op, 1, NULL, &fault));
  must(far_mutex_unlock(memory, mutex, NULL, &fault));
}

static void die_locked(FarPointer mutex, int i) {
  FarLocked locked;
  const pid_t child = fork();
  int status;
  if (child == 0) {
    FarMemory *memory = open_either(i);
    must(far_mutex_lock(memory, mutex, long_wait, &locked, NULL, &fault));
    assert(locked != FAR_NOT_LOCKED);
    raise(SIGKILL);
  }
  assert(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
}

static void mutexes(long steps) {
  FarMemory *memory = open_it(file);
  FarPointer mutex, word;
  pid_t lockers[LOCKERS];
  int64_t value;
  must(far_word_open(memory, "mutex", &mutex, NULL, &fault));
  must(far_word_open(memory, "sum", &word, NULL, &fault));
  for (int i = 0; i < LOCKERS; i++) {
    if ((lockers[i] = fork())) continue;
    FarMemory *mine = open_either(i);
    inject(mine, i);
    for (long j = 0; j < steps; j++) add_locked(mine, mutex, word, 1);
    assert(far_watch_count(mine) == 0);
    far_close(mine);
    _exit(0);
  }
  for (int i = 0; i < 6; i++) die_locked(mutex, i);
  wait_for(lockers, LOCKERS);
  must(far_word_add(memory, word, 0, &value, NULL, &fault));
  assert(value == LOCKERS * steps);
  far_close(memory);
  ok("who waits for a mutex gets it, also when its holder dies, and alone");
}

/* ---- barriers -------------------------------------------------------------------------------- */

static void barriers(long steps) {
  FarMemory *memory = open_it(file);
  FarPointer word;
  pid_t parties[PARTIES];
  int64_t value;
  bool passed;
  must(far_word_open(memory, "barrier", &word, NULL, &fault));
  for (int i = 0; i < PARTIES; i++) {
    if ((parties[i] = fork())) continue;
    FarMemory *mine = open_either(i);
    inject(mine, i);
    for (uint64_t phase = 1; phase <= (uint64_t)steps; phase++) {
      atomic_store(&truth->phase[i], phase);
      must(far_barrier(mine, word, PARTIES, long_wait, &passed, NULL, &fault));
      assert(passed);
      for (int j = 0; j < PARTIES; j++) {
        const uint64_t theirs = atomic_load(&truth->phase[j]);
        assert(theirs == phase || theirs == phase + 1);
      }
    }
    assert(far_watch_count(mine) == 0);
    far_close(mine);
    _exit(0);
  }
  wait_for(parties, PARTIES);
  must(far_word_add(memory, word, 0, &value, NULL, &fault));
  assert(value == PARTIES * steps);
  for (int i = 0; i < 3; i++) { /* nobody else comes */
    must(far_barrier(memory, word, PARTIES, 20000000, &passed, NULL, &fault));
    assert(!passed);
  }
  Stop stopped = {.deadline = clock_now() + 20000000};
  Fault told = {0};
  assert(!far_barrier(memory, word, PARTIES, long_wait, &passed, &stopped, &told));
  assert(told.code == FAULT_INTERRUPT);
  must(far_word_add(memory, word, 0, &value, NULL, &fault));
  assert(value == PARTIES * steps);
  must(far_barrier(memory, word, 1, 0, &passed, NULL, &fault) && passed);
  assert(!far_barrier(memory, word, 0, 0, &passed, NULL, &told) &&
         !far_barrier(memory, word, FAR_PARTIES + 1, 0, &passed, NULL, &told));
  far_close(memory);
  ok("nobody passes a barrier before all have come");
}

int main(int argc, char **argv) {
  const long steps = argc > 1 ? atol(argv[1]) : 3000;
  state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  begin_tests();
  truth = mmap(NULL, sizeof *truth, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert(truth != MAP_FAILED);
  const pid_t server = start(NULL);
  views(steps);
  mutexes(steps / 20 + 1);
  barriers(steps / 20 + 1);
  stop(server);
  return end_tests();
}
