/*
** Watched memory in what is played: this program writes, in ways it knows, to a variable that is
** watched in its recording.
*/
#define _GNU_SOURCE
#include <emmintrin.h>
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "replay/elf_file.h"
#include "replay/play.h"
#include "replay/record.h"
#include "test/base/check.h"
#include "test/replay/scratch.h"

/* ---- the program that is recorded: `watched` goes through the values of `expected` */

typedef struct Cell {
  char before[64];
  volatile uint64_t watched;
  char after[4096 - 72];
} Cell;

alignas(4096) Cell play_cell;

enum { ROUNDS = 500 };

static void pass(int fd) { /* by the kernel */
  if (read(fd, (void *)(uintptr_t)&play_cell.watched, 8) != 8) abort();
}

static int workload(void) {
  int pipe_fds[2];
  uint64_t value = 77;
  for (int i = 0; i < ROUNDS; i++) {
    play_cell.watched = (uint64_t)i * 3;
    play_cell.before[i % 64]++; /* the same page, but not watched */
  }
  if (pipe(pipe_fds) || write(pipe_fds[1], &value, 8) != 8) return 1;
  pass(pipe_fds[0]);
  __asm__ volatile("movdqu %1, %0" /* over both ends */
                   : "=m"(*(char(*)[16])((char *)&play_cell + 60))
                   : "x"(_mm_set1_epi8(1)));
  __asm__ volatile("rep stosb" : : "D"(&play_cell.watched), "a"(2), "c"(2) : "memory");
  pid_t pid = fork();
  if (pid == 0) {
    play_cell.watched = 5;
    _exit(0);
  }
  waitpid(pid, NULL, 0);
  ((volatile uint8_t *)&play_cell.watched)[3] = 9;
  if (mprotect(&play_cell, sizeof play_cell, PROT_READ) ||
      mprotect(&play_cell, sizeof play_cell, PROT_READ | PROT_WRITE)) {
    return 1;
  }
  play_cell.watched = 11;
  play_cell.watched = 11; /* no change, but a write */
  void *page = mmap(&play_cell, sizeof play_cell, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (page == MAP_FAILED) return 1;
  play_cell.watched = 13;
  return 0;
}

typedef struct Step {
  uint64_t value; /* afterwards */
  bool by_kernel, in_child;
} Step;

static size_t expected(Step *out) {
  size_t n = 0;
  for (int i = 0; i < ROUNDS; i++) out[n++] = (Step){(uint64_t)i * 3, false, false};
  out[n++] = (Step){77, true, false};
  out[n++] = (Step){0x0101010101010101, false, false};
  out[n++] = (Step){0x0101010101010102, false, false};
  out[n++] = (Step){0x0101010101010202, false, false};
  out[n++] = (Step){5, false, true};
  out[n++] = (Step){0x0101010109010202, false, false};
  out[n++] = (Step){11, false, false};
  out[n++] = (Step){11, false, false};
  out[n++] = (Step){0, true, false};
  out[n++] = (Step){13, false, false};
  return n;
}

/* ---- the recording */

static char place[256], self[4096], dir[300];

static void must(bool ok, const Fault *fault) {
  if (ok) return;
  printf("# %s\n", fault->text);
  abort();
}

static void record(void) {
  char *argv[] = {self, "workload", NULL};
  const RecordOptions options = {.dir = dir, .argv = argv, .hash_every = 1};
  RecordSummary summary;
  Fault fault = {0};
  must(record_run(&options, NULL, &summary, &fault), &fault);
  check(summary.status == 0, "recorded");
}

/* Of the variable, as the program is mapped. */
static uint64_t find_cell(const PlayView *view) {
  ElfFile *elf;
  ElfSymbols symbols;
  ElfSymbol symbol;
  Fault fault = {0};
  uint64_t at = 0;
  must(elf_open(self, &elf, &fault) && elf_symbols(elf, ELF_SYMTAB, &symbols, &fault), &fault);
  for (size_t i = 0; i < symbols.count; i++) {
    if (elf_symbol(&symbols, i, &symbol) && strcmp(symbol.name, "play_cell") == 0) at = symbol.addr;
  }
  elf_symbols_finish(&symbols);
  elf_close(elf);
  for (size_t i = 0; i < view->maps->count; i++) {
    if (strcmp(view->maps->ranges[i].name, self) == 0) return at + view->maps->ranges[i].start;
  }
  abort();
}

static uint64_t value_now(Player *player, const PlayWrite *write, uint64_t at) {
  PlayView view;
  uint64_t value = 0;
  Fault fault = {0};
  must(player_view(player, write->tid, &view, &fault) &&
           player_read(player, &view, at, &value, sizeof value, &fault),
       &fault);
  return value;
}

static void test_writes(void) {
  static Step steps[ROUNDS + 20];
  const size_t n = expected(steps);
  size_t met = 0, right = 0, told = 0;
  Recording *recording;
  Player *player;
  PlayView view;
  PlayEnd end = {0};
  Fault fault = {0};
  int watch;
  uint64_t last = 0;
  const PlayOptions options = {.hashes = true};
  must(recording_open(dir, &recording, &fault) &&
           player_open(recording, &options, &player, &fault) &&
           player_view(player, 0, &view, &fault),
       &fault);
  const int32_t first = view.pid;
  const uint64_t at = find_cell(&view) + offsetof(Cell, watched);
  must(player_watch(player, &view, at, 8, &watch, &fault), &fault);
  while (player_run(player, UINT64_MAX, &end, &fault) && end.kind == PLAY_WRITE) {
    const PlayWrite *write = player_write(player);
    const uint64_t now = value_now(player, write, at);
    if (met < n) {
      const Step *step = &steps[met];
      const bool same = now == step->value && write->by_kernel == step->by_kernel &&
                        (write->pid != first) == step->in_child && write->watch == watch;
      if (!same) {
        printf("# write %zu: 0x%llx by %s, not 0x%llx\n", met, (unsigned long long)now,
               write->by_kernel ? "kernel" : "program", (unsigned long long)step->value);
      }
      right += same;
    }
    /* What was there before is what the last write left, in this process. */
    told += memcmp(write->after, (const char *)&now + (write->addr - at), write->size) == 0 &&
            (write->pid != first ||
             memcmp(write->before, (const char *)&last + (write->addr - at), write->size) == 0);
    if (write->pid == first) last = now;
    met++;
  }
  if (fault.code) printf("# %s\n", fault.text);
  check(end.kind == PLAY_END && met == n, "every write is told, and nothing diverges");
  check(right == n, "by whom, in order");
  check(told == n, "with what was there before and after");
  player_close(player);
  recording_close(recording);
  check(waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD, "nothing is left");
}

int main(int argc, char **argv) {
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  assert(n > 0);
  if (argc == 2 && strcmp(argv[1], "workload") == 0) return workload();
  setbuf(stdout, NULL);
  setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* for what is recorded: it would trace itself */
  scratch_make(place, sizeof place);
  snprintf(dir, sizeof dir, "%s/recording", place);
  record();
  test_writes();
  scratch_remove(place);
  return checks_end();
}
