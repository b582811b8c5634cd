/*
** Probes on code of this program that runs in a child, whose rows are known beforehand.
*/
#define _GNU_SOURCE
#include "replay/probe.h"

#include "test/base/check.h"
#include "test/replay/probed.h"

#define NOINLINE __attribute__((noinline, noclone))

/* Functions in pieces of assembly, so that their size and what they need is known. */
__asm__(".text\n"
        ".balign 16\nprobe_add:\n lea (%rdi,%rsi), %rax\n ret\nprobe_add_end:\n.balign 16\n"
        /* the head is the target of a loop, and r11 and the carry live across it */
        ".balign 16\nprobe_loop:\n adc $0, %r11\n add $-1, %rdi\n jc probe_loop\n"
        " mov %r11, %rax\n ret\nprobe_loop_end:\n.balign 16\n"
        /* an early branch, and a return that is a target without room behind it */
        "probe_early:\n test %edi, %edi\n je 1f\n mov $7, %eax\n jmp 2f\n1: mov $9, %eax\n"
        "2: ret\nprobe_early_end:\n nop\n.balign 16\n"
        /* one byte, and no room */
        "probe_tiny:\n ret\nprobe_tiny_end:\n ret\n ret\n ret\n ret\n ret\n.balign 16\n"
        /* a call in the window: what it pushes is looked at */
        "probe_call:\n push %rbx\n call 3f\nprobe_back:\n pop %rbx\n ret\nprobe_call_end:\n"
        " nop\n.balign 16\n3: mov (%rsp), %rax\n ret\n.balign 16\n"
        /* a tail call, under a condition */
        "probe_tail:\n cmp $5, %rdi\n jg probe_add\n mov $-1, %eax\n ret\nprobe_tail_end:\n"
        ".balign 16\n"
        /* the red zone is kept, and the flags */
        "probe_red:\n mov %rdi, -8(%rsp)\n cmp %rsi, %rdi\n mov -8(%rsp), %rax\n"
        " jb 4f\n neg %rax\n4: ret\nprobe_red_end:\n.balign 16\n"
        /* every call looks the same in the registers: what differs is in memory */
        "probe_cells:\n push %rbx\n mov %rdi, %rbx\n5: incq (%rbx)\n mov $5, %esi\n"
        " xor %edi, %edi\n call probe_add\n cmpq $300000, (%rbx)\n jne 5b\n pop %rbx\n ret\n"
        "probe_cells_end:\n.balign 16\n");

#define DECLARE(name)                                                                              \
  extern const char name##_end[];                                                                  \
  long name(long a, long b)
DECLARE(probe_add);
DECLARE(probe_loop);
DECLARE(probe_early);
DECLARE(probe_tiny);
DECLARE(probe_call);
DECLARE(probe_tail);
DECLARE(probe_red);
DECLARE(probe_cells);
extern const char probe_back[];

#define FUNCTION(name)                                                                             \
  {                                                                                                \
    .file = PROBE_NO_FILE, .nparts = 1, .parts = {                                                 \
      {(uint64_t)(uintptr_t)name, (uint64_t)(uintptr_t)name##_end}                                 \
    }                                                                                              \
  }
static const ProbeFunction functions[] = {
    FUNCTION(probe_add),  FUNCTION(probe_loop), FUNCTION(probe_early), FUNCTION(probe_tiny),
    FUNCTION(probe_call), FUNCTION(probe_tail), FUNCTION(probe_red)};
enum { ADD, LOOP, EARLY, TINY, CALL, TAIL, RED, FUNCTIONS };

static NOINLINE long run_loop(long n) {
  long sum;
  __asm__ volatile("xor %%r11d, %%r11d\n mov %1, %%rdi\n stc\n call probe_loop\n mov %%rax, %0"
                   : "=r"(sum)
                   : "r"(n)
                   : "rax", "rdi", "r11", "cc", "memory");
  return sum;
}

enum { ROUNDS = 3000 };

static int all_right(void *arg) {
  (void)arg;
  for (long i = 0; i < ROUNDS; i++) {
    if (probe_add(i, 2 * i) != 3 * i) return 1;
    if ((probe_early(i % 2, 0) & 0xff) != (i % 2 ? 7 : 9)) return 3;
    probe_tiny(i, i);
    if (probe_call(i, i) != (long)(intptr_t)probe_back) return 4;
    if ((int)probe_tail(i % 10, 1) != (i % 10 > 5 ? i % 10 + 1 : -1)) return 5;
    if (probe_red(i, 100) != (i < 100 ? i : -i)) return 6;
  }
  return run_loop(10) == 11 ? 0 : 2;
}

static int memfd(void) {
  int fd = memfd_create("rows", MFD_CLOEXEC);
  assert(fd >= 0);
  return fd;
}

#define COLUMN(name) ((uint64_t)1 << ROW_##name)

static void add(Probed *probed, const ProbeSpec *spec, int fd, const char *key) {
  Fault fault = {0};
  int set;
  if (!probes_add(probed->probes, &probed->tracee, spec, fd, key, strlen(key), &set, &fault))
    probed_die(&fault);
  probed_map(probed, (uint64_t)(uintptr_t)probe_add);
}

static uint64_t count_rows(int fd, Rows *rows) {
  Fault fault = {0};
  uint64_t count = 0;
  RowState state;
  if (!rows_open(fd, rows, &fault) || !rows_count(rows, &count, &state, &fault)) probed_die(&fault);
  return count;
}

/* How many rows there are of a site and kind. */
static uint64_t tally(const Rows *rows, uint64_t count, uint64_t site, RowKind kind) {
  uint64_t found = 0;
  for (uint64_t i = 0; i < count; i++) found += rows_at(rows, i)[0] == (site << 2 | kind);
  return found;
}

static void check_rows(const Rows *rows, uint64_t count, const char *mode) {
  char text[96];
  bool ok = tally(rows, count, ADD, ROW_ENTRY) == ROUNDS + ROUNDS * 4 / 10 &&
            tally(rows, count, EARLY, ROW_ENTRY) == ROUNDS &&
            tally(rows, count, TINY, ROW_ENTRY) == ROUNDS &&
            tally(rows, count, CALL, ROW_ENTRY) == ROUNDS &&
            tally(rows, count, RED, ROW_ENTRY) == ROUNDS &&
            tally(rows, count, LOOP, ROW_ENTRY) == 11;
  snprintf(text, sizeof text, "%s: a row for each entry", mode);
  check(ok, text);
  ok = tally(rows, count, ADD, ROW_RETURN) == ROUNDS + ROUNDS * 4 / 10 &&
       tally(rows, count, EARLY, ROW_RETURN) == ROUNDS &&
       tally(rows, count, TINY, ROW_RETURN) == ROUNDS &&
       tally(rows, count, CALL, ROW_RETURN) == ROUNDS &&
       tally(rows, count, LOOP, ROW_RETURN) == 1 &&
       tally(rows, count, TAIL, ROW_TAIL) == ROUNDS * 4 / 10 &&
       tally(rows, count, TAIL, ROW_RETURN) == ROUNDS * 6 / 10;
  snprintf(text, sizeof text, "%s: and for each return and tail call", mode);
  check(ok, text);
  const uint8_t *word = rows->layout.word;
  uint64_t nth = 0, rsp = 0;
  bool args = true, pairs = true;
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t *row = rows_at(rows, i);
    if (row_site(row[0]) != RED) continue;
    if (row_kind(row[0]) == ROW_ENTRY) {
      args &= row[word[ROW_A0]] == nth && row[word[ROW_A1]] == 100 && row[word[ROW_HIT]] == nth + 1;
      rsp = row[word[ROW_RSP]];
    } else {
      pairs &=
          row[word[ROW_RSP]] == rsp && row[word[ROW_RET]] == (nth < 100 ? nth : (uint64_t)-nth);
      nth++;
    }
  }
  snprintf(text, sizeof text, "%s: arguments and hits", mode);
  check(args && nth == ROUNDS, text);
  snprintf(text, sizeof text, "%s: returns pair with entries by rsp", mode);
  check(pairs, text);
}

static void test_all(bool int3) {
  Probed probed;
  uint64_t stops = 0;
  int status, fd = memfd();
  probed_start(&probed, all_right, NULL);
  const ProbeSpec spec = {.columns = COLUMN(EV) | COLUMN(TID) | COLUMN(RSP) | COLUMN(A0) |
                                     COLUMN(A1) | COLUMN(CALLER) | COLUMN(HIT),
                          .returns = true,
                          .always_int3 = int3,
                          .functions = functions,
                          .nfunctions = FUNCTIONS};
  add(&probed, &spec, fd, "all");
  probed_run(&probed, &stops, &status);
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0,
        int3 ? "int3: the program runs right" : "native: the program runs right");
  printf("# status 0x%x, %llu stops\n", (unsigned)status, (unsigned long long)stops);
  Rows rows;
  uint64_t count = count_rows(fd, &rows);
  ProbeCounts counts = probes_counts(probed.probes, 0);
  printf("# %llu rows, %llu native, %llu int3\n", (unsigned long long)count,
         (unsigned long long)counts.native, (unsigned long long)counts.int3);
  check_rows(&rows, count, int3 ? "int3" : "native");
  check(int3 || counts.int3 <= 3, "few sites take an int3");
  rows_close(&rows);
  probed_end(&probed);
  close(fd);
}

static int adds(void *arg) {
  for (long i = 0; i < 200000; i++) {
    if (probe_add(i * 1000003, -i) != i * 1000003 - i) return 1;
  }
  (void)arg;
  return 0;
}

static bool holds(const ProbeTest *test, uint64_t i) {
  const uint64_t a = test->column == ROW_A0 ? i * 1000003 : -i;
  bool any = false;
  for (int k = 0; k < test->nvalues; k++) {
    uint64_t b = (uint64_t)test->values[k];
    int64_t x = (int64_t)a, y = test->values[k];
    bool less = test->is_unsigned ? a < b : x < y;
    switch (test->op) {
    case PROBE_EQ:
      any |= a == b;
      break;
    case PROBE_NE:
      any |= a != b;
      break;
    case PROBE_LT:
      any |= less;
      break;
    case PROBE_LE:
      any |= less || a == b;
      break;
    case PROBE_GT:
      any |= !less && a != b;
      break;
    case PROBE_GE:
      any |= !less;
      break;
    }
  }
  return any;
}

/* Against the same tests in C. */
static void test_tests(void) {
  static const ProbeTest tests[][2] = {
      {{ROW_A0, PROBE_GT, false, 1, {100000000000}}, {ROW_A1, PROBE_LE, false, 1, {-150000}}},
      {{ROW_A0, PROBE_EQ, false, 3, {7000021, 9000027, 199000597000}},
       {ROW_A1, PROBE_NE, false, 1, {-9}}},
      {{ROW_A1, PROBE_LT, true, 1, {100}}, {ROW_A0, PROBE_GE, true, 1, {0}}},
      {{ROW_A1, PROBE_GE, true, 1, {-10}}, {ROW_A0, PROBE_GE, false, 1, {0}}},
      {{ROW_A1, PROBE_EQ, false, 0, {0}}, {ROW_A0, PROBE_GE, false, 1, {0}}}};
  for (size_t t = 0; t < sizeof tests / sizeof *tests; t++) {
    Probed probed;
    uint64_t stops = 0, expected = 0, at = 0;
    int status, fd = memfd();
    ProbeSpec spec = {
        .columns = COLUMN(A0) | COLUMN(HIT), .ntests = 2, .functions = functions, .nfunctions = 1};
    memcpy(spec.tests, tests[t], sizeof tests[t]);
    probed_start(&probed, adds, NULL);
    add(&probed, &spec, fd, "tests");
    probed_run(&probed, &stops, &status);
    Rows rows;
    uint64_t count = count_rows(fd, &rows);
    bool same = true;
    for (uint64_t i = 0; i < 200000; i++) {
      if (!holds(&tests[t][0], i) || !holds(&tests[t][1], i)) continue;
      expected++;
      same &= at < count && rows_at(&rows, at)[rows.layout.word[ROW_A0]] == i * 1000003 &&
              rows_at(&rows, at)[rows.layout.word[ROW_HIT]] == i + 1;
      at++;
    }
    check(same && count == expected && status == 0, "tests keep the rows they should");
    printf("# %llu rows, %llu expected, status 0x%x\n", (unsigned long long)count,
           (unsigned long long)expected, (unsigned)status);
    rows_close(&rows);
    probed_end(&probed);
    close(fd);
  }
}

static void test_limit(void) {
  static const uint64_t limits[] = {1, 2, 5, 511, 512, 1000, 70000};
  for (size_t t = 0; t < sizeof limits / sizeof *limits; t++) {
    Probed probed;
    uint64_t stops = 0;
    int status, fd = memfd();
    const ProbeSpec spec = {.columns = COLUMN(A0) | COLUMN(A1) | COLUMN(CALLER) | COLUMN(EV),
                            .limit = limits[t],
                            .functions = functions,
                            .nfunctions = 1};
    probed_start(&probed, adds, NULL);
    add(&probed, &spec, fd, "limit");
    ProbeStop stop = probed_run(&probed, &stops, &status);
    Rows rows;
    uint64_t count = count_rows(fd, &rows);
    check(stop == PROBE_LIMIT && count == limits[t], "a limit stops with its last row");
    rows_close(&rows);
    stop = probed_run(&probed, &stops, &status);
    check(stop == PROBE_FOREIGN && status == 0, "and the program can go on");
    check(rowfile_count(probes_rows(probed.probes, 0)) == 200000, "with more rows");
    probed_end(&probed);
    close(fd);
  }
}

static void test_count(void) {
  Probed probed;
  uint64_t stops = 0;
  int status;
  Fault fault = {0};
  const uint64_t addr = (uint64_t)(uintptr_t)probe_add;
  probed_start(&probed, adds, NULL);
  int32_t tid = (int32_t)probed.tracee.tid;
  CodeRange range = {addr, (uint64_t)(uintptr_t)probe_add_end};
  bool ok = probes_count(probed.probes, &probed.tracee, addr, tid, 777, range, &fault) &&
            probes_count(probed.probes, &probed.tracee, addr + 4, tid, 1000, range, &fault) &&
            probes_count(probed.probes, &probed.tracee, addr, tid + 1, 5, range, &fault);
  if (!ok) probed_die(&fault);
  ProbeStop stop = probed_run(&probed, &stops, &status);
  Tracee look = probed.tracee;
  check(stop == PROBE_REACHED && probes_leave(probed.probes, &look, &fault) &&
            look.regs.rip == addr && look.regs.rsi == (uint64_t)-776,
        "the 777th time, at the head");
  stop = probed_run(&probed, &stops, &status);
  look = probed.tracee;
  check(stop == PROBE_REACHED && probes_leave(probed.probes, &look, &fault) &&
            look.regs.rip == addr + 4 && look.regs.rax == 999 * 1000003 - 999,
        "the 1000th time, at the return");
  uint8_t bytes[16];
  check(space_read(&probed.space, (RemoteAddr){addr}, bytes, 16, &fault) &&
            memcmp(bytes, (void *)(uintptr_t)addr, 16) != 0,
        "the code is patched");
  probes_original(probed.probes, addr, bytes, 16);
  check(memcmp(bytes, (void *)(uintptr_t)addr, 16) == 0, "and can be read as it was");
  check(probes_clear(probed.probes, &probed.tracee, addr + 4, &fault) &&
            probes_clear(probed.probes, &probed.tracee, addr, &fault),
        "taken back");
  check(space_read(&probed.space, (RemoteAddr){addr}, bytes, 16, &fault) &&
            memcmp(bytes, (void *)(uintptr_t)addr, 16) == 0,
        "it is as it was");
  probed_run(&probed, &stops, &status);
  check(status == 0 && stops == 2, "and runs to its end");
  probed_end(&probed);
}

static long cell;
static int cells(void *arg) {
  (void)arg;
  probe_cells((long)(intptr_t)&cell, 0);
  return cell != 300000;
}

/* Registers recur; the word in memory tells. */
static void test_point(void) {
  Probed probed;
  uint64_t stops = 0;
  int status;
  Fault fault = {0};
  const uint64_t addr = (uint64_t)(uintptr_t)probe_add;
  probed_start(&probed, cells, NULL);
  CodeRange range = {addr, (uint64_t)(uintptr_t)probe_add_end};
  int32_t tid = (int32_t)probed.tracee.tid;
  if (!probes_count(probed.probes, &probed.tracee, addr, tid, 4, range, &fault)) probed_die(&fault);
  probed_run(&probed, &stops, &status);
  ProbePoint point = {
      .tid = tid, .nwords = 1, .addr = {(uint64_t)(uintptr_t)&cell}, .word = {200001}};
  Tracee look = probed.tracee;
  probes_leave(probed.probes, &look, &fault);
  point.regs = look.regs;
  if (!probes_clear(probed.probes, &probed.tracee, addr, &fault)) probed_die(&fault);
  if (!probes_point(probed.probes, &probed.tracee, &point, range, &fault)) probed_die(&fault);
  ProbeStop stop = probed_run(&probed, &stops, &status);
  long now = 0;
  check(stop == PROBE_POINT &&
            space_read(&probed.space, (RemoteAddr){(uint64_t)(uintptr_t)&cell}, &now, sizeof now,
                       &fault) &&
            now == 200001 && stops == 2,
        "a state is found at its first occurrence");
  printf("# cell %ld stops %llu\n", now, (unsigned long long)stops);
  if (WIFSTOPPED(status)) {
    Tracee *threads[] = {&probed.tracee};
    check(probes_detach(probed.probes, threads, 1, &fault), "detached");
    probed_run(&probed, &stops, &status);
    check(status == 0 && stops == 2, "the program ends by itself");
  }
  probed_end(&probed);
}

static struct {
  char before[3 * 4096];
  uint64_t word, other, more;
} watched __attribute__((aligned(4096)));

static int writes(void *arg) {
  (void)arg;
  volatile uint64_t *word = &watched.word;
  for (uint64_t i = 1; i <= 50; i++) {
    *word += i;
    watched.other = i;
    __asm__ volatile("" ::: "memory");
  }
  __asm__ volatile("movb $7, 3(%0)\n lock xaddq %1, (%0)" ::"r"(word), "r"((uint64_t)1) : "memory");
  __asm__ volatile("rep stosb" ::"D"((char *)word - 2), "c"(12l), "a"(9) : "memory");
  __asm__ volatile("push $77\n pop %0" : "=m"(*word)::"memory");
  return *word != 77;
}

static void test_writes(void) {
  Probed probed;
  uint64_t stops = 0, seen = 0, value = 0, bytes = 0;
  int status, watch;
  Fault fault = {0};
  bool sums = true;
  probed_start(&probed, writes, NULL);
  if (!probes_watch(probed.probes, &probed.tracee, (uint64_t)(uintptr_t)&watched.word, 8, &watch,
                    &fault))
    probed_die(&fault);
  while (probed_run(&probed, &stops, &status) == PROBE_WRITE) {
    const ProbeWrite *write = probes_write(probed.probes);
    uint64_t before = 0, after = 0;
    memcpy(&before, write->before, 8);
    memcpy(&after, write->after, 8);
    if (++seen <= 50) sums &= write->size == 8 && before == value && after == value + seen;
    value = after;
    if (seen == 51)
      sums &= write->size == 1 && write->addr == (uint64_t)(uintptr_t)&watched.word + 3 &&
              before == 0 && after == 7;
    if (seen > 52 && write->size == 1) bytes += after == 9;
  }
  check(status == 0 && sums, "each write with what was before and after");
  check(seen == 50 + 2 + 8 + 1 && bytes == 8 && value == 77,
        "by byte, locked, repeated and from the stack");
  printf("# %llu writes, %llu stops, status 0x%x\n", (unsigned long long)seen,
         (unsigned long long)stops, (unsigned)status);
  probed_end(&probed);
}

/* The child of the child makes rows of its own in the same file; one runs after the other. */
static int forks(void *arg) {
  (void)arg;
  for (long i = 0; i < 20000; i++) probe_add(i, 1);
  pid_t pid = fork();
  for (long i = 0; i < 30000; i++) probe_add(i, pid == 0 ? 2 : 3);
  return 0;
}

static void test_fork(void) {
  Probed probed, child = {0};
  Fault fault = {0};
  uint64_t stops = 0, by[4] = {0};
  int status, fd = memfd();
  unsigned long pid;
  const ProbeSpec spec = {.columns = ~(uint64_t)0, .functions = functions, .nfunctions = 1};
  probed_start(&probed, forks, NULL);
  ptrace(PTRACE_SETOPTIONS, probed.tracee.tid, NULL, PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL);
  add(&probed, &spec, fd, "fork");
  probed_run(&probed, &stops, &status);
  check(status >> 16 == PTRACE_EVENT_FORK, "it forks");
  ptrace(PTRACE_GETEVENTMSG, probed.tracee.tid, NULL, &pid);
  child.space = (Space){.pid = (pid_t)pid, .mem_fd = -1, .call_site = probed.space.call_site};
  child.tracee = (Tracee){.tid = (pid_t)pid, .space = &child.space};
  if (!tracee_wait(&child.tracee, &fault) ||
      !probes_fork(probed.probes, &child.space, &child.probes, &fault)) {
    probed_die(&fault);
  }
  probes_words(probed.probes)->tid = pid;
  probed_run(&child, &stops, &status);
  check(status == 0, "the child ends well");
  probes_words(probed.probes)->tid = (uint64_t)probed.tracee.tid;
  while (probed_run(&probed, &stops, &status) == PROBE_FOREIGN && WIFSTOPPED(status)) continue;
  check(status == 0, "and the parent");
  Rows rows;
  uint64_t count = count_rows(fd, &rows), wrong = 0;
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t *row = rows_at(&rows, i), who = row[rows.layout.word[ROW_A1]];
    by[who & 3]++;
    wrong += (row[rows.layout.word[ROW_TID]] == pid) != (who == 2);
  }
  check(count == 80000 && by[1] == 20000 && by[2] == 30000 && by[3] == 30000 && !wrong,
        "with the rows of both in one file");
  rows_close(&rows);
  probed_end(&child);
  probed_end(&probed);
  close(fd);
}

int main(void) {
  test_fork();
  test_writes();
  test_all(false);
  test_all(true);
  test_tests();
  test_limit();
  test_count();
  test_point();
  return checks_end();
}
