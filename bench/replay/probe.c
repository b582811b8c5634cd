/*
** What a probe costs: 10^7 calls of f(a, b) with and without, medians of five rounds in turn.
*/
#define _GNU_SOURCE
#include "replay/probe.h"

#include <time.h>

#include "test/replay/probed.h"

__asm__(".text\n.balign 64\nbench_f:\n lea (%rdi,%rsi), %rax\n ret\nbench_f_end:\n.balign 64\n"
        "bench_loop:\n push %rbx\n mov %rdi, %rbx\n1: mov %rbx, %rdi\n mov $3, %esi\n"
        " call bench_f\n dec %rbx\n jnz 1b\n pop %rbx\n ret\n");
extern const char bench_f[], bench_f_end[];
void bench_loop(long count);

enum { CALLS = 10000000, SLOW_CALLS = 20000, ROUNDS = 5 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double *took; /* the child says how long its loop was */

static int calls(void *arg) {
  double start = now();
  bench_loop(*(const long *)arg);
  *took = now() - start;
  return 0;
}

typedef struct Subject {
  const char *name;
  bool probed, returns, int3, is_false;
  uint64_t columns;
  double ns[ROUNDS];
} Subject;

#define COLUMN(name) ((uint64_t)1 << ROW_##name)
#define USUAL (COLUMN(EV) | COLUMN(A0) | COLUMN(A1) | COLUMN(CALLER))

static Subject subjects[] = {
    {.name = "no probe"},
    {.name = "a0", .probed = true, .columns = COLUMN(A0)},
    {.name = "ev a0 a1 caller", .probed = true, .columns = USUAL},
    {.name = "ev tid hit rsp a0 a1 caller",
     .probed = true,
     .columns = USUAL | COLUMN(TID) | COLUMN(HIT) | COLUMN(RSP)},
    {.name = "all registers", .probed = true, .columns = ~(uint64_t)0},
    {.name = "ev rsp a0 a1 caller and returns",
     .probed = true,
     .returns = true,
     .columns = USUAL | COLUMN(RSP)},
    {.name = "a test that is false", .probed = true, .is_false = true, .columns = USUAL},
    {.name = "ev a0 a1 caller, by int3", .probed = true, .int3 = true, .columns = USUAL}};

static void measure(Subject *subject, int round) {
  Probed probed;
  Fault fault = {0};
  uint64_t stops = 0;
  int set, status;
  long count = subject->int3 ? SLOW_CALLS : CALLS;
  const ProbeFunction f = {
      .file = PROBE_NO_FILE,
      .nparts = 1,
      .parts = {{(uint64_t)(uintptr_t)bench_f, (uint64_t)(uintptr_t)bench_f_end}}};
  ProbeSpec spec = {.columns = subject->columns,
                    .returns = subject->returns,
                    .always_int3 = subject->int3,
                    .functions = &f,
                    .nfunctions = 1,
                    .ntests = subject->is_false,
                    .tests = {{.column = ROW_A1, .op = PROBE_EQ, .nvalues = 1, .values = {4}}}};
  int fd = memfd_create("rows", MFD_CLOEXEC);
  probed_start(&probed, calls, &count);
  if (subject->probed) {
    if (!probes_add(probed.probes, &probed.tracee, &spec, fd, "", 0, &set, &fault))
      probed_die(&fault);
    probed_map(&probed, (uint64_t)(uintptr_t)bench_f);
  }
  probed_run(&probed, &stops, &status);
  uint64_t rows = subject->probed ? rowfile_count(probes_rows(probed.probes, 0)) : 0;
  uint64_t expected =
      subject->is_false || !subject->probed ? 0 : (uint64_t)count * (1 + subject->returns);
  if (status || rows != expected) {
    printf("%s: status 0x%x, %llu rows\n", subject->name, (unsigned)status,
           (unsigned long long)rows);
    exit(1);
  }
  probed_end(&probed);
  close(fd);
  subject->ns[round] = *took / (double)count * 1e9;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(void) {
  enum { COUNT = sizeof subjects / sizeof *subjects };
  took = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert(took != MAP_FAILED);
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < COUNT; i++) measure(&subjects[i], round);
  }
  printf("%-34s %12s %12s\n", "10^7 calls of f(a, b)", "ns a call", "more");
  for (int i = 0; i < COUNT; i++) {
    qsort(subjects[i].ns, ROUNDS, sizeof(double), by_value);
    printf("%-34s %12.2f %12.2f\n", subjects[i].name, subjects[i].ns[ROUNDS / 2],
           subjects[i].ns[ROUNDS / 2] - subjects[0].ns[ROUNDS / 2]);
  }
  return 0;
}
