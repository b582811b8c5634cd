/*
** What a frame costs: ours from a copy of the stack, and libunwind through ptrace with its cache. A
** stopped process stands below so many frames; medians of five rounds, taken in turn.
*/
#define _GNU_SOURCE
#include <assert.h>
#include <libunwind-ptrace.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/stop.h"
#include "replay/stack.h"

enum { DEPTH = 14, ROUNDS = 5, TIMES = 20000, FEW = 200 };

__attribute__((noinline)) static int down(int n, char *above) {
  volatile char room[48] = {0};
  if (n == 0) {
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    return above[1];
  }
  return down(n - 1, (char *)room) + room[n % 48];
}

typedef struct Subject {
  Space space;
  Tracee tracee;
  Stacks *stacks;
  StackMemory memory;
  uint64_t registers[CFI_REGISTERS];
  size_t frames;
} Subject;

static void die(const Fault *fault) {
  fprintf(stderr, "%s\n", fault->text);
  exit(1);
}

static size_t walk(Subject *subject) {
  uint64_t pcs[256];
  UnwindEnd end;
  size_t count = unwind_pcs(stacks_unwinder(subject->stacks), &subject->memory.memory,
                            subject->registers, UINT32_MAX, pcs, 256, &end);
  assert(end == UNWIND_OUTERMOST);
  return count;
}

/* ns a frame, of an unwinding from a copy that is there. */
static double of_copy(Subject *subject) {
  int64_t begun = clock_now();
  size_t frames = 0;
  for (int i = 0; i < TIMES; i++) frames += walk(subject);
  return (double)(clock_now() - begun) / (double)frames;
}

/* With fetching the registers and the copy each time. */
static double of_thread(Subject *subject) {
  Fault fault = {0};
  int64_t begun = clock_now();
  size_t frames = 0;
  for (int i = 0; i < FEW; i++) {
    subject->tracee.has_regs = false;
    if (!tracee_regs(&subject->tracee, &fault) ||
        !stack_copy(&subject->memory, &subject->space, subject->tracee.regs.rsp, &fault)) {
      die(&fault);
    }
    unwind_registers(&subject->tracee.regs, subject->registers);
    frames += walk(subject);
  }
  return (double)(clock_now() - begun) / (double)frames;
}

static double of_libunwind(unw_addr_space_t space, void *upt) {
  int64_t begun = clock_now();
  size_t frames = 0;
  for (int i = 0; i < FEW; i++) {
    unw_cursor_t cursor;
    unw_init_remote(&cursor, space, upt);
    do {
      unw_word_t pc;
      unw_get_reg(&cursor, UNW_REG_IP, &pc);
      frames++;
    } while (unw_step(&cursor) > 0);
  }
  return (double)(clock_now() - begun) / (double)frames;
}

static int by_size(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *all) {
  qsort(all, ROUNDS, sizeof *all, by_size);
  return all[ROUNDS / 2];
}

int main(void) {
  Subject subject = {.space = {.mem_fd = -1}};
  Fault fault = {0};
  Modules *modules;
  MapList maps;
  pid_t pid = fork();
  assert(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char first[2] = {0};
    _exit(down(DEPTH, first));
  }
  subject.space.pid = pid;
  subject.tracee = (Tracee){.tid = pid, .space = &subject.space};
  if (!tracee_wait(&subject.tracee, &fault) || !modules_create(NULL, &modules, &fault) ||
      !stacks_create(modules, &subject.stacks, &fault) || !maps_read(pid, &maps, &fault) ||
      !stacks_maps(subject.stacks, &maps, stack_live_file, NULL, &fault)) {
    die(&fault);
  }
  unw_addr_space_t space = unw_create_addr_space(&_UPT_accessors, 0);
  unw_set_caching_policy(space, UNW_CACHE_GLOBAL);
  void *upt = _UPT_create(pid);
  double copy[ROUNDS], thread[ROUNDS], theirs[ROUNDS];
  of_thread(&subject); /* once before, for all caches */
  of_libunwind(space, upt);
  for (int i = 0; i < ROUNDS; i++) {
    copy[i] = of_copy(&subject);
    thread[i] = of_thread(&subject);
    theirs[i] = of_libunwind(space, upt);
  }
  const double ours = median(copy), whole = median(thread), other = median(theirs);
  printf("%zu frames                                    ns/frame\n", walk(&subject));
  printf("ours, of a copy of the stack              %10.0f\n", ours);
  printf("ours, with registers and 64 KiB of stack  %10.0f\n", whole);
  printf("libunwind through ptrace, with its cache  %10.0f   %.0fx\n", other, other / whole);
  _UPT_destroy(upt);
  unw_destroy_addr_space(space);
  maps_finish(&maps);
  stack_memory_finish(&subject.memory);
  stacks_free(subject.stacks);
  modules_free(modules);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  return 0;
}
