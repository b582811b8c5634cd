/*
** Stacks are those that libunwind and gdb see: at thousands of instructions of a program of ours
** and of Debian's sqlite3, one by one.
*/
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libunwind-ptrace.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay/stack.h"

#include "test/base/check.h"
#include "test/replay/oracle.h"
#include "test/replay/scratch.h"

enum { MOST = 300 };

/* Marks are int3. What follows them: a recursion, a leaf, calls through the linkage table, a
** handler on a stack of its own. */
static const char source[] =
    "#include <setjmp.h>\n#include <signal.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include "
    "<string.h>\n"
    "#define MARK __asm__ volatile(\"int3\")\n"
    "static char other[65536]; static volatile int sink;\n"
    "__attribute__((noinline)) static int leaf(int x) { MARK; return x * 3; }\n"
    "__attribute__((noinline)) static int down(int n) {\n"
    "  char room[n % 7 * 16 + 16]; memset(room, n, sizeof room);\n"
    "  if (!n) return leaf(room[3]);\n"
    "  return down(n - 1) + room[n % 16]; }\n"
    "static int compare(const void *a, const void *b) { return *(int *)a - *(int *)b; }\n"
    "static void handler(int s) { MARK; char b[32]; snprintf(b, 32, \"%d\", s); sink = b[0]; }\n"
    "__attribute__((noinline)) static void signals(void) {\n"
    "  stack_t stack = {.ss_sp = other, .ss_size = sizeof other};\n"
    "  struct sigaction action = {.sa_handler = handler};\n"
    "  sigaction(SIGUSR1, &action, 0); raise(SIGUSR1);\n"
    "  sigaltstack(&stack, 0); action.sa_flags = SA_ONSTACK;\n"
    "  sigaction(SIGSEGV, &action, 0); raise(SIGSEGV); }\n"
    "static sigjmp_buf back; static int *volatile nowhere = (int *)8;\n"
    "static void escape(int s) { (void)s; MARK; siglongjmp(back, 1); }\n"
    "__attribute__((noipa)) static int first(int *p) { return *p; }\n"
    "__attribute__((noinline)) static void faults(void) {\n"
    "  struct sigaction action = {.sa_handler = escape};\n"
    "  sigaction(SIGSEGV, &action, 0);\n"
    "  if (!sigsetjmp(back, 1)) sink = first(nowhere); }\n"
    "int main(void) {\n"
    "  int numbers[9] = {4, 2, 7, 1, 9, 3, 8, 5, 6};\n"
    "  sink = down(100); signals(); faults(); MARK;\n"
    "  char *text = malloc(100); snprintf(text, 100, \"%d %s\", sink, \"x\");\n"
    "  qsort(numbers, 9, sizeof *numbers, compare); MARK; free(text); return 0; }\n";

typedef struct Traced {
  Space space;
  Tracee tracee;
  Modules *modules;
  Stacks *stacks;
  StackMemory memory;
  unw_addr_space_t unw;
  void *upt;
} Traced;

static void must(bool ok, const Fault *fault) {
  if (!ok) oracle_die("a thread", fault->text);
}

static void start(Traced *traced, char *const *argv) {
  Fault fault = {0};
  *traced = (Traced){.space = {.mem_fd = -1}};
  fflush(stdout);
  pid_t pid = fork();
  assert(pid >= 0);
  if (pid == 0) {
    personality(ADDR_NO_RANDOMIZE);
    if (!freopen("/dev/null", "w", stdout)) _exit(126);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    execv(argv[0], argv);
    _exit(127);
  }
  traced->space.pid = pid;
  traced->tracee = (Tracee){.tid = pid, .space = &traced->space};
  must(tracee_wait(&traced->tracee, &fault), &fault);
  if (!WIFSTOPPED(traced->tracee.status)) oracle_die(argv[0], "did not start");
  must(modules_create(NULL, &traced->modules, &fault) &&
           stacks_create(traced->modules, &traced->stacks, &fault),
       &fault);
  traced->unw = unw_create_addr_space(&_UPT_accessors, 0);
  unw_set_caching_policy(traced->unw, UNW_CACHE_GLOBAL);
}

static void end(Traced *traced) {
  if (WIFSTOPPED(traced->tracee.status)) {
    kill(traced->space.pid, SIGKILL);
    waitpid(traced->space.pid, NULL, 0);
  }
  if (traced->upt) _UPT_destroy(traced->upt);
  unw_destroy_addr_space(traced->unw);
  stack_memory_finish(&traced->memory);
  stacks_free(traced->stacks);
  modules_free(traced->modules);
  space_finish(&traced->space);
}

/* One instruction, or on to the next mark. False: it ended. */
static bool go(Traced *traced, int request, int signal) {
  Fault fault = {0};
  must(tracee_resume(&traced->tracee, request, signal, &fault) &&
           tracee_wait(&traced->tracee, &fault),
       &fault);
  return WIFSTOPPED(traced->tracee.status);
}

/* Signals of the program itself are passed on. */
static bool go_to_mark(Traced *traced) {
  int signal = 0;
  while (go(traced, PTRACE_CONT, signal)) {
    signal = WSTOPSIG(traced->tracee.status);
    if (signal == SIGTRAP) return true;
  }
  return false;
}

static bool step_once(Traced *traced) {
  const int signal = WSTOPSIG(traced->tracee.status);
  return go(traced, PTRACE_SINGLESTEP, signal == SIGTRAP ? 0 : signal);
}

static void read_maps(Traced *traced) {
  Fault fault = {0};
  MapList maps;
  must(maps_read(traced->space.pid, &maps, &fault) &&
           stacks_maps(traced->stacks, &maps, stack_live_file, NULL, &fault),
       &fault);
  maps_finish(&maps);
}

typedef struct Trail {
  uint64_t pc[MOST], at[MOST], sp[MOST];
  size_t count;
  UnwindEnd end;
} Trail;

static void our_trail(Traced *traced, Trail *out) {
  Fault fault = {0};
  uint64_t registers[CFI_REGISTERS];
  Frame frame;
  must(tracee_regs(&traced->tracee, &fault) &&
           stack_copy(&traced->memory, &traced->space, traced->tracee.regs.rsp, &fault),
       &fault);
  unwind_registers(&traced->tracee.regs, registers);
  Unwinder *unwinder = stacks_unwinder(traced->stacks);
  out->count = 0;
  unwind_begin(unwinder, &traced->memory.memory, registers, UINT32_MAX, &frame);
  do {
    out->pc[out->count] = frame.pc;
    out->at[out->count] = frame.at;
    out->sp[out->count++] = frame.registers[CFI_RSP];
  } while (out->count < MOST && unwind_step(unwinder, &traced->memory.memory, &frame));
  out->end = frame.end;
}

static void libunwind_trail(Traced *traced, Trail *out) {
  unw_cursor_t cursor;
  if (!traced->upt) traced->upt = _UPT_create(traced->space.pid);
  out->count = 0;
  if (unw_init_remote(&cursor, traced->unw, traced->upt) != 0) return;
  do {
    unw_word_t pc, sp;
    unw_get_reg(&cursor, UNW_REG_IP, &pc);
    unw_get_reg(&cursor, UNW_REG_SP, &sp);
    if (!pc) break;
    out->pc[out->count] = pc;
    out->sp[out->count++] = sp;
  } while (out->count < MOST && unw_step(&cursor) > 0);
}

static bool same_trail(const Trail *ours, const Trail *theirs) {
  if (ours->count != theirs->count) return false;
  for (size_t i = 0; i < ours->count; i++) {
    if (ours->pc[i] != theirs->pc[i] || ours->sp[i] != theirs->sp[i]) return false;
  }
  return true;
}

static void show(Traced *traced, const Trail *ours, const Trail *theirs) {
  const size_t most = ours->count > theirs->count ? ours->count : theirs->count;
  printf("# %s; %zu and %zu frames\n", unwind_end_text(ours->end), ours->count, theirs->count);
  for (size_t i = 0; i < most && i < 12; i++) {
    StackPlace place;
    stacks_place(traced->stacks, i < ours->count ? ours->at[i] : theirs->pc[i], &place);
    printf("#   %zu: %" PRIx64 " %" PRIx64 " %s\n", i, i < ours->count ? ours->pc[i] : 0,
           i < theirs->count ? theirs->pc[i] : 0,
           place.function ? place.function->name : place.module);
  }
}

/* ---- gdb */

/* Leaves the thread to gdb, as it stands; it does not come back. */
static void gdb_trail(Traced *traced, Trail *out) {
  char line[1024], dir[256], script[512];
  const pid_t pid = traced->space.pid;
  out->count = 0;
  if (ptrace(PTRACE_DETACH, pid, NULL, (void *)(intptr_t)SIGSTOP) != 0) oracle_die("gdb", "detach");
  scratch_make(dir, sizeof dir);
  snprintf(script, sizeof script, "%s/frames.py", dir);
  scratch_write(script, "import gdb\n"
                        "gdb.execute('set backtrace past-main on')\n"
                        "gdb.execute('set backtrace past-entry on')\n"
                        "f = gdb.newest_frame()\n"
                        "while f:\n"
                        "  if f.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):\n"
                        "    print('FRAME %x %x' % (f.pc(), int(f.read_register('rsp')) % 2**64))\n"
                        "  f = f.older()\n");
  FILE *gdb = oracle_open("gdb -nx -batch -iex 'set debuginfod enabled off' "
                          "-iex 'set auto-load off' -p %d -x '%s' 2>&1",
                          (int)pid, script);
  while (fgets(line, sizeof line, gdb)) {
    unsigned long long pc, sp;
    if (out->count < MOST && sscanf(line, "FRAME %llx %llx", &pc, &sp) == 2) {
      out->pc[out->count] = pc;
      out->sp[out->count++] = sp;
    }
  }
  pclose(gdb);
  scratch_remove(dir);
  kill(pid, SIGKILL);
  traced->tracee.status = 0;
}

static void check_gdb(Traced *traced, const char *what) {
  Trail ours, theirs;
  char text[256], names[2048];
  Text folded = {0};
  our_trail(traced, &ours);
  stacks_fold(traced->stacks, ours.at, ours.count, &folded);
  snprintf(names, sizeof names, "%s", text_get(&folded));
  text_finish(&folded);
  gdb_trail(traced, &theirs);
  snprintf(text, sizeof text, "gdb: %s, %zu frames", what, ours.count);
  check(same_trail(&ours, &theirs) && ours.end == UNWIND_OUTERMOST, text);
  if (!same_trail(&ours, &theirs)) show(traced, &ours, &theirs);
  printf("# %.60s...%s\n", names, strlen(names) > 60 ? names + strlen(names) - 20 : "");
  waitpid(traced->space.pid, NULL, 0);
}

/* ---- what is walked through */

typedef struct Walk {
  size_t instructions, frames, wrong, entries, stubs, incomplete;
} Walk;

static void compare_here(Traced *traced, Walk *walk) {
  Trail ours, theirs;
  StackPlace place;
  our_trail(traced, &ours);
  stacks_place(traced->stacks, ours.pc[0], &place);
  /* While it loads the registers of another frame, what is said of it is not always true. */
  if (place.function && strcmp(place.function->name, "__longjmp") == 0) return;
  libunwind_trail(traced, &theirs);
  walk->instructions++;
  walk->frames += ours.count;
  walk->incomplete += ours.end != UNWIND_OUTERMOST;
  walk->entries += place.function && place.addr == place.function->lo;
  walk->stubs += place.function && place.function->kind == FUNCTION_STUB;
  if (!same_trail(&ours, &theirs) && walk->wrong++ < 3) show(traced, &ours, &theirs);
}

static void check_walk(const Walk *walk, size_t stubs, const char *what) {
  char text[256];
  snprintf(text, sizeof text,
           "%s: %zu frames at %zu instructions, of which %zu begin a function and %zu are stubs",
           what, walk->frames, walk->instructions, walk->entries, walk->stubs);
  check(walk->wrong == 0 && walk->incomplete == 0 && walk->instructions > 1000 &&
            walk->entries > 10 && walk->stubs >= stubs,
        text);
  if (walk->wrong || walk->incomplete) {
    printf("# %zu differ, %zu incomplete\n", walk->wrong, walk->incomplete);
  }
}

/* Every instruction for a while behind each mark. */
static void walk_marks(const char *path, const char *what) {
  char *const argv[] = {(char *)(uintptr_t)path, NULL};
  Traced traced;
  Walk walk = {0};
  start(&traced, argv);
  while (go_to_mark(&traced)) {
    read_maps(&traced);
    for (int i = 0; i < 600; i++) {
      compare_here(&traced, &walk);
      if (!step_once(&traced)) break;
    }
    if (!WIFSTOPPED(traced.tracee.status)) break;
  }
  check_walk(&walk, 2, what);
  end(&traced);
}

/* gdb at the n-th mark, `steps` instructions behind. */
static void mark_by_gdb(const char *path, int mark, int steps, const char *what) {
  char *const argv[] = {(char *)(uintptr_t)path, NULL};
  Traced traced;
  start(&traced, argv);
  for (int i = 0; i < mark; i++) assert(go_to_mark(&traced));
  read_maps(&traced);
  for (int i = 0; i < steps; i++) assert(step_once(&traced));
  check_gdb(&traced, what);
  end(&traced);
}

static void test_compiled(const char *option, bool by_gdb) {
  char dir[256], path[512], program[512], command[2048], what[128];
  scratch_make(dir, sizeof dir);
  snprintf(path, sizeof path, "%s/p.c", dir);
  snprintf(program, sizeof program, "%s/p", dir);
  scratch_write(path, source);
  snprintf(command, sizeof command, "gcc %s -o '%s' '%s'", option, program, path);
  if (system(command) != 0) oracle_die(command, "failed");
  snprintf(what, sizeof what, "compiled with %s", option);
  walk_marks(program, what);
  if (by_gdb) {
    mark_by_gdb(program, 1, 0, "a leaf below a recursion");
    mark_by_gdb(program, 1, 3, "some instructions later");
    mark_by_gdb(program, 2, 0, "a handler of a signal");
    mark_by_gdb(program, 3, 20, "a handler on a stack of its own");
    mark_by_gdb(program, 4, 0, "a fault at the beginning of a function");
  }
  scratch_remove(dir);
}

/* The address of a function of a library that is mapped. */
static uint64_t find_function(Traced *traced, const char *library, const char *name) {
  Fault fault = {0};
  MapList maps;
  uint64_t found = 0;
  must(maps_read(traced->space.pid, &maps, &fault), &fault);
  for (size_t i = 0; i < maps.count && !found; i++) {
    const MapRange *range = &maps.ranges[i];
    Module *module;
    const Functions *functions;
    const FunctionName *names;
    if (!(range->prot & 4) || !strstr(range->name, library)) continue;
    must(modules_get(traced->modules, range->name, &module, &fault) &&
             module_functions(module, &functions, &fault),
         &fault);
    uint64_t addr;
    if (functions_named(functions, name, &names) && elf_addr(module->elf, range->offset, &addr)) {
      found = range->start + functions->all[names->function].lo - addr;
    }
  }
  maps_finish(&maps);
  return found;
}

static void replace(Traced *traced, uint64_t addr, uint8_t *byte) {
  Fault fault = {0};
  const uint8_t put = *byte;
  must(space_read(&traced->space, (RemoteAddr){addr}, byte, 1, &fault) &&
           space_write(&traced->space, (RemoteAddr){addr}, &put, 1, &fault),
       &fault);
}

/* Stands before the first instruction of malloc, for the n-th time, with the library patched. */
static bool go_to_malloc(Traced *traced, uint64_t malloc_at, int times) {
  Fault fault = {0};
  for (int i = 0; i < times; i++) {
    uint8_t byte = 0xcc;
    replace(traced, malloc_at, &byte);
    if (!go_to_mark(traced)) return false;
    replace(traced, malloc_at, &byte);
    must(tracee_regs(&traced->tracee, &fault), &fault);
    assert(traced->tracee.regs.rip == malloc_at + 1);
    traced->tracee.regs.rip--;
    traced->tracee.regs_changed = true;
    if (i + 1 < times && !step_once(traced)) return false;
  }
  /* Written back, so that others see it. */
  return ptrace(PTRACE_SETREGS, traced->space.pid, 0, &traced->tracee.regs) == 0;
}

static char *const sqlite[] = {
    "/usr/bin/sqlite3", ":memory:",
    "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'x'), (2, hex(randomblob(9)));"
    "SELECT count(*), max(b) FROM t WHERE a IN (SELECT a + 0 FROM t ORDER BY b);",
    NULL};

/* On to main, when the libraries are there. */
static void start_sqlite(Traced *traced, uint64_t *out_malloc) {
  start(traced, sqlite);
  for (*out_malloc = 0; !*out_malloc;) {
    if (!go(traced, PTRACE_SYSCALL, 0)) oracle_die(sqlite[0], "ended");
    *out_malloc = find_function(traced, "/libc.so", "malloc");
  }
  /* The rest of the loading. */
  for (int i = 0; i < 60; i++) assert(go(traced, PTRACE_SYSCALL, 0));
  read_maps(traced);
}

static void test_debian(void) {
  Traced traced;
  Walk walk = {0};
  uint64_t malloc_at;
  start_sqlite(&traced, &malloc_at);
  for (int i = 0; i < 12 && go_to_malloc(&traced, malloc_at, 15); i++) {
    for (int k = 0; k < 150 && WIFSTOPPED(traced.tracee.status); k++) {
      compare_here(&traced, &walk);
      step_once(&traced);
    }
  }
  check_walk(&walk, 0, "sqlite3 of Debian, behind each 15th malloc");
  end(&traced);
  start_sqlite(&traced, &malloc_at);
  assert(go_to_malloc(&traced, malloc_at, 90));
  check_gdb(&traced, "sqlite3 before the first instruction of malloc");
  end(&traced);
}

/* ---- what there is not */

static bool no_read(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx;
  (void)addr;
  (void)out;
  (void)size;
  return false;
}

/* Without the program's code mapped, with less of its stack, with a stack that lies. */
static void test_refusals(void) {
  Fault fault = {0};
  Unwinder *unwinder;
  Frame frame;
  uint64_t stack[64] = {0}, registers[CFI_REGISTERS] = {0};
  UnwindMemory memory = {0x7000, (const uint8_t *)stack, sizeof stack, no_read, NULL};
  must(unwinder_create(&unwinder, &fault), &fault);
  must(unwinder_map(unwinder, 0x1000, 0x3000, 0, NULL, &fault), &fault);
  registers[CFI_RIP] = 0x1800;
  registers[CFI_RSP] = 0x7000;
  registers[CFI_RBP] = 0x7010;
  unwind_begin(unwinder, &memory, registers, UINT32_MAX, &frame);
  check(!unwind_step(unwinder, &memory, &frame) && frame.end == UNWIND_NO_RULES && !frame.cfa,
        "code without rules");
  stack[2] = 0x7040; /* two frames with frame pointers */
  stack[3] = 0x1900;
  stack[8] = 0;
  stack[9] = 0x2900;
  unwinder_guess(unwinder, true);
  unwind_begin(unwinder, &memory, registers, UINT32_MAX, &frame);
  check(frame.guessed && frame.cfa == 0x7020 && unwind_step(unwinder, &memory, &frame) &&
            frame.pc == 0x1900 && frame.registers[CFI_RBP] == 0x7040 &&
            unwind_step(unwinder, &memory, &frame) && frame.pc == 0x2900 &&
            frame.guessed == false && !unwind_step(unwinder, &memory, &frame) &&
            frame.end == UNWIND_NO_RULES,
        "a chain of frame pointers is a guess, and ends");
  registers[CFI_RIP] = 0x50;
  stack[0] = 0x1810;
  unwind_begin(unwinder, &memory, registers, UINT32_MAX, &frame);
  check(frame.guessed && frame.cfa == 0x7008 && unwind_step(unwinder, &memory, &frame) &&
            frame.pc == 0x1810,
        "a call to nowhere is a guess");
  must(unwinder_unmap(unwinder, 0x1800, 0x1880, &fault), &fault);
  unwind_begin(unwinder, &memory, registers, UINT32_MAX, &frame);
  check(!frame.guessed && frame.end == UNWIND_NO_RULES, "no guess where no code is any more");
  registers[CFI_RIP] = 0x1900;
  unwind_begin(unwinder, &memory, registers, UINT32_MAX, &frame);
  check(frame.guessed, "what was behind it is still mapped");
  unwinder_free(unwinder);
}

int main(void) {
  test_refusals();
  test_compiled("-O0", true);
  test_compiled("-O2 -g", true);
  test_compiled("-O2 -fno-plt -fcf-protection -Wl,-z,now", false);
  test_debian();
  return checks_end();
}
