/*
** The player on recordings made by hand: small programs whose every step is known.
*/
#define _GNU_SOURCE
#include "replay/play.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/base/check.h"
#include "test/replay/forge.h"

#define LONG(n) ((uint64_t)(n))

/* Programs, position independent; data is at 0x500000. */
__asm__(
    ".text\nplay_code:\n"
    /* adds up what it reads, and tells it to write as the size */
    "play_sum:\n xor %eax, %eax\n xor %edi, %edi\n mov $0x500000, %esi\n mov $64, %edx\n syscall\n"
    " mov %rax, %rcx\n xor %edx, %edx\n"
    "1: movzbl -1(%rsi,%rcx), %r8d\n add %r8, %rdx\n dec %rcx\n jnz 1b\n"
    " mov $1, %eax\n mov $1, %edi\n syscall\n"
    " mov $231, %eax\n mov $42, %edi\n syscall\n hlt\n"
    /* the counter of cycles, twice (as the recorder replaces it), into exit_group */
    "play_tsc:\n rdmsr\n mov %eax, %ebx\n swapgs\n sub %ebx, %eax\n mov %eax, %edi\n"
    " mov $231, %eax\n syscall\n hlt\n"
    /* a fork: who gets 0 stores 7 and ends with what is there; the other with what it has */
    "play_fork:\n mov $57, %eax\n syscall\n movq $0x500000, %rbx\n test %eax, %eax\n jnz 2f\n"
    " addq $7, (%rbx)\n"
    "2: addq $1, (%rbx)\n mov (%rbx), %rdi\n mov $231, %eax\n syscall\n hlt\n"
    /* a thread: it stores 7 where the other sees it */
    "play_thread:\n mov $56, %eax\n mov $0x50f00, %edi\n mov $0x500800, %esi\n xor %edx, %edx\n"
    " xor %r10d, %r10d\n xor %r8d, %r8d\n syscall\n mov $0x500000, %ebx\n test %eax, %eax\n"
    " jz 3f\n mov $24, %eax\n syscall\n mov (%rbx), %rdi\n mov $231, %eax\n syscall\n hlt\n"
    "3: movq $7, (%rbx)\n mov $60, %eax\n mov %rsp, %rdi\n syscall\n hlt\n"
    /* a heap, a mapping, and both gone */
    "play_heap:\n mov $12, %eax\n xor %edi, %edi\n syscall\n lea 0x3000(%rax), %rdi\n"
    " mov %rax, %rbx\n mov $12, %eax\n syscall\n movb $5, 0x2fff(%rbx)\n"
    " mov $9, %eax\n xor %edi, %edi\n mov $0x2000, %esi\n mov $3, %edx\n mov $0x22, %r10d\n"
    " mov $-1, %r8\n xor %r9d, %r9d\n syscall\n mov %rax, %r12\n movb $6, 0x1fff(%r12)\n"
    " mov $10, %eax\n mov %r12, %rdi\n mov $0x1000, %esi\n mov $1, %edx\n syscall\n"
    " mov $25, %eax\n mov %r12, %rdi\n mov $0x2000, %esi\n mov $0x4000, %edx\n mov $1, %r10d\n"
    " xor %r8d, %r8d\n syscall\n movzbl 0x1fff(%rax), %edi\n movzbl 0x2fff(%rbx), %ecx\n"
    " add %ecx, %edi\n movb $1, 0x3fff(%rax)\n mov $231, %eax\n syscall\n hlt\n"
    /* writes where it must not; the handler goes on */
    "play_fault:\n movb $1, 0x400000\n hlt\n"
    "play_handler:\n mov (%rsp), %rdi\n mov $231, %eax\n syscall\n hlt\n"
    /* counts for ever; every round has the same registers */
    "play_count:\n incq 0x500000\n jmp play_count\n"
    "play_counted:\n mov 0x500000, %rdi\n mov $231, %eax\n syscall\n hlt\n"
    /* for ever */
    "play_spin:\n jmp play_spin\n"
    "play_code_end:\n");

extern const char play_code[], play_code_end[], play_sum[], play_tsc[], play_fork[], play_thread[],
    play_heap[], play_fault[], play_handler[], play_count[], play_counted[], play_spin[];

static Forge forge;

static void begin(const char *entry) {
  forge_open(&forge);
  forge_image(&forge, play_code, (size_t)(play_code_end - play_code), (size_t)(entry - play_code));
  forge_add(&forge);
}

static void call(int32_t tid, int nr, int64_t ret, uint64_t a0) {
  forge_call(&forge, tid, nr, ret, 1, a0);
  forge_add(&forge);
}

static void at_end(EventKind kind, int32_t pid, int32_t tid, int nr) {
  forge_event(&forge, kind, tid);
  forge.event.pid = pid;
  forge.event.nr = nr;
  forge_add(&forge);
}

/* exit_group and what follows from it. */
static void leave(uint64_t code) {
  call(FORGE_TID, SYS_exit_group, 0, code);
  at_end(EVENT_EXIT, FORGE_TID, FORGE_TID, (int)code);
  at_end(EVENT_END, FORGE_TID, FORGE_TID, 0);
}

static bool no_children(void) { return waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD; }

/* Plays all of it; the fault is what it came to. */
static bool play(Recording *recording, Stop *stop, PlayEnd *end, Fault *fault) {
  const PlayOptions options = {.hashes = true, .stop = stop};
  Player *player;
  *fault = (Fault){0};
  *end = (PlayEnd){0};
  bool ok = player_open(recording, &options, &player, fault);
  if (!ok) return false;
  ok = player_run(player, UINT64_MAX, end, fault);
  player_close(player);
  return ok;
}

static void check_plays(const char *what) {
  Fault fault;
  PlayEnd end;
  Recording *recording = forge_done(&forge);
  bool ok = play(recording, NULL, &end, &fault);
  if (!ok) printf("# %s\n", fault.text);
  check(ok && end.kind == PLAY_END, what);
  check(no_children(), "and leaves nothing");
  forge_close(&forge, recording);
}

static void check_refused(FaultCode code, const char *part, const char *what) {
  Fault fault;
  PlayEnd end;
  Recording *recording = forge_done(&forge);
  bool ok = play(recording, NULL, &end, &fault);
  check(!ok && fault.code == code && strstr(fault.text, part), what);
  printf("# %s\n", fault.text);
  check(no_children(), "and leaves nothing");
  forge_close(&forge, recording);
}

/* ---- one thread */

static void forge_sum(uint64_t told) {
  static const uint8_t read[3] = {100, 200, 11};
  begin(play_sum);
  forge_call(&forge, FORGE_TID, SYS_read, 3, 3, LONG(0), FORGE_DATA, LONG(64));
  forge_chunk(&forge, CHUNK_OUT, FORGE_DATA, read, sizeof read);
  forge_add(&forge);
  forge_call(&forge, FORGE_TID, SYS_write, 311, 3, LONG(1), FORGE_DATA, told);
  forge_add(&forge);
  leave(42);
}

static void test_sum(void) {
  forge_sum(311);
  check_plays("what was read is there");
  forge_sum(312);
  check_refused(FAULT_CORRUPT,
                "event 4, thread 1000: expected write(0x1, 0x500000, 0x138), got "
                "write(0x1, 0x500000, 0x137)",
                "a call with another argument");
  forge_sum(311);
  Recording *recording = forge_done(&forge);
  const PlayOptions options = {0};
  Player *player;
  PlayEnd end;
  PlayView view;
  Fault fault = {0};
  uint8_t bytes[4] = {9, 9, 9, 9};
  forge_must(player_open(recording, &options, &player, &fault), &fault);
  bool ok = player_view(player, 0, &view, &fault) && view.tid == FORGE_TID &&
            view.tracee->regs.rip == FORGE_CODE + (uint64_t)(play_sum - play_code);
  check(ok, "it stands at its first instruction");
  ok = player_run(player, 3, &end, &fault) && end.kind == PLAY_REACHED && end.ev == 3 &&
       player_view(player, FORGE_TID, &view, &fault) && view.tracee->regs.rax == 3 &&
       space_read(view.tracee->space, (RemoteAddr){FORGE_DATA}, bytes, 4, &fault) &&
       memcmp(bytes, "\x64\xc8\x0b\0", 4) == 0;
  check(ok, "and after an event, where that left it");
  check(player_run(player, UINT64_MAX, &end, &fault) && end.kind == PLAY_END && end.ev == 7,
        "and goes on");
  player_close(player);
  forge_close(&forge, recording);
}

static void trap(int kind, uint64_t rip, uint64_t rax, uint64_t rbx) {
  forge_event(&forge, EVENT_TRAP, FORGE_TID);
  forge.event.nr = kind;
  forge.event.has_regs = true;
  forge.event.regs.rip = FORGE_CODE + rip;
  forge.event.regs.rsp = FORGE_STACK - 64;
  forge.event.regs.rax = rax;
  forge.event.regs.rbx = rbx;
  forge_add(&forge);
}

static void test_tsc(void) {
  const uint64_t at = (uint64_t)(play_tsc - play_code);
  begin(play_tsc);
  trap(TRAP_RDTSC, at + 2, 1000, 0);
  trap(TRAP_RDTSCP, at + 7, 1017, 1000);
  leave(17);
  check_plays("the time is what it was");
  begin(play_tsc);
  trap(TRAP_RDTSCP, at + 2, 1000, 0);
  check_refused(FAULT_CORRUPT, "expected rdtscp, got signal 11", "another instruction");
}

static void test_heap(void) {
  const uint64_t brk = 0x555555600000, map = 0x7fff00000000, moved = 0x7ffe00000000;
  begin(play_heap);
  call(FORGE_TID, SYS_brk, (int64_t)brk, 0);
  call(FORGE_TID, SYS_brk, (int64_t)brk + 0x3000, brk + 0x3000);
  forge_call(&forge, FORGE_TID, SYS_mmap, (int64_t)map, 6, LONG(0), LONG(0x2000), LONG(3),
             LONG(0x22), LONG(-1), LONG(0));
  forge_add(&forge);
  forge_call(&forge, FORGE_TID, SYS_mprotect, 0, 3, map, LONG(0x1000), LONG(1));
  forge_add(&forge);
  forge_call(&forge, FORGE_TID, SYS_mprotect, 0, 3, map, LONG(0x1000), LONG(3));
  forge.event.nr = SYS_mremap;
  forge.event.ret = (int64_t)moved;
  forge.event.args[1] = 0x2000;
  forge.event.args[2] = 0x4000;
  forge.event.args[3] = 1;
  (void)moved;
  /* Two mappings of different protection cannot be moved as one. */
  forge_add(&forge);
  check_refused(FAULT_IO, "mremap", "a move that the kernel does not make");
}

/* ---- signals */

static void test_fault(void) {
  siginfo_t info = {.si_signo = SIGSEGV, .si_code = SEGV_ACCERR};
  const uint64_t frame = FORGE_STACK - 256, left = 23;
  begin(play_fault);
  forge_event(&forge, EVENT_SIGNAL, FORGE_TID);
  forge.event.nr = SIGSEGV;
  forge_chunk(&forge, CHUNK_SIGINFO, 0, &info, sizeof info);
  forge_chunk(&forge, CHUNK_OUT, frame, &left, sizeof left);
  forge.event.has_regs = true;
  forge.event.regs.rip = FORGE_CODE + (uint64_t)(play_handler - play_code);
  forge.event.regs.rsp = frame;
  forge_add(&forge);
  leave(23);
  check_plays("a fault of its own finds its handler");
}

/* A signal in the midst of a loop, whose rounds differ in memory alone. */
static void forge_place(uint64_t round, uint64_t told) {
  siginfo_t info = {.si_signo = SIGALRM, .si_code = SI_TIMER};
  begin(play_count);
  forge_event(&forge, EVENT_SWITCH, FORGE_TID);
  forge.event.has_regs = true;
  forge.event.regs.rip = FORGE_CODE + (uint64_t)(play_count - play_code);
  forge.event.regs.rsp = FORGE_STACK - 64;
  forge.event.regs.eflags = 0x202 | (__builtin_parityll(round & 0xff) ? 0 : 4); /* of the sum */
  forge_chunk(&forge, CHUNK_POINT, FORGE_DATA, &round, sizeof round);
  forge_add(&forge);
  forge_event(&forge, EVENT_SIGNAL, FORGE_TID);
  forge.event.nr = SIGALRM;
  forge_chunk(&forge, CHUNK_SIGINFO, 0, &info, sizeof info);
  forge.event.has_regs = true;
  forge.event.regs.rip = FORGE_CODE + (uint64_t)(play_counted - play_code);
  forge.event.regs.rsp = FORGE_STACK - 256;
  forge_add(&forge);
  leave(told);
}

static void test_place(void) {
  const uint64_t round = 20000001;
  forge_place(round, round);
  check_plays("a place is found by its memory");
  forge_place(round, round + 1);
  check_refused(FAULT_CORRUPT, "expected exit_group", "and not at another round");
}

/* ---- processes and threads */

static void test_fork(void) {
  enum { CHILD = 1001 };
  begin(play_fork);
  forge_call(&forge, FORGE_TID, SYS_fork, CHILD, 0);
  forge_add(&forge);
  forge_call(&forge, CHILD, SYS_exit_group, 0, 1, LONG(8));
  forge.event.pid = CHILD;
  forge_add(&forge);
  at_end(EVENT_EXIT, CHILD, CHILD, 8);
  at_end(EVENT_END, CHILD, CHILD, 0);
  leave(1);
  check_plays("a fork has memory of its own");
}

static void forge_thread(bool first_ends) {
  enum { CHILD = 1001 };
  begin(play_thread);
  forge_call(&forge, FORGE_TID, SYS_clone, CHILD, 5, LONG(0x50f00), LONG(0x500800), LONG(0),
             LONG(0), LONG(0));
  forge_add(&forge);
  forge_event(&forge, EVENT_ENTER, FORGE_TID);
  forge.event.nr = SYS_sched_yield;
  forge_add(&forge);
  call(CHILD, SYS_exit, 0, 0x500800);
  if (first_ends) {
    at_end(EVENT_EXIT, FORGE_TID, FORGE_TID, 0);
    at_end(EVENT_EXIT, FORGE_TID, CHILD, 0);
    at_end(EVENT_END, FORGE_TID, FORGE_TID, 0);
    return;
  }
  at_end(EVENT_EXIT, FORGE_TID, CHILD, 0);
  forge_call(&forge, FORGE_TID, SYS_sched_yield, 0, 0);
  forge_add(&forge);
  leave(7);
}

static void test_thread(void) {
  forge_thread(false);
  check_plays("a thread shares memory");
  forge_thread(true);
  check_plays("the first thread may end before the others");
}

/* ---- from outside */

static void test_stopped(void) {
  begin(play_spin);
  call(FORGE_TID, SYS_getpid, 0, 0);
  Recording *recording = forge_done(&forge);
  Stop stop = {.deadline = clock_now() + 50000000};
  Fault fault;
  PlayEnd end;
  bool ok = play(recording, &stop, &end, &fault);
  check(!ok && fault.code == FAULT_TIMEOUT, "what never ends can be stopped");
  check(no_children(), "and leaves nothing");

  const PlayOptions options = {0};
  Player *player;
  PlayView view;
  fault = (Fault){0};
  forge_must(player_open(recording, &options, &player, &fault), &fault);
  forge_must(player_view(player, 0, &view, &fault), &fault);
  pid_t victim = view.tracee->tid, killer = fork();
  if (killer == 0) {
    usleep(50000);
    kill(victim, SIGKILL);
    _exit(0);
  }
  ok = player_run(player, UINT64_MAX, &end, &fault);
  check(!ok && fault.code == FAULT_NOTFOUND, "what is killed is missed");
  printf("# %s\n", fault.text);
  fault = (Fault){0};
  check(!player_run(player, UINT64_MAX, &end, &fault) && fault.code == FAULT_INVALID,
        "and cannot go on");
  player_close(player);
  waitpid(killer, NULL, 0);
  check(no_children(), "and leaves nothing");
  forge_close(&forge, recording);
}

/* ---- lies */

static void test_lies(void) {
  static const uint64_t places[] = {0x6f0000000000,     0x6effffffffff,     0x7ffffffffff8,
                                    0xffff800000000000, 0xfffffffffffffff8, 0x1000};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    begin(play_sum);
    forge_call(&forge, FORGE_TID, SYS_read, 3, 3, LONG(0), FORGE_DATA, LONG(64));
    forge_chunk(&forge, CHUNK_OUT, places[i], "12345678", 8);
    forge_add(&forge);
    check_refused(places[i] == 0x1000 || places[i] == 0x7ffffffffff8 ? FAULT_NOTFOUND
                                                                     : FAULT_CORRUPT,
                  "", "bytes for a place that is none");
    if (places[i] == 0x1000) continue;
    forge_open(&forge);
    forge_image(&forge, play_code, (size_t)(play_code_end - play_code), 0);
    const TraceMap map = {.start = places[i] & ~4095ull,
                          .end = (places[i] & ~4095ull) + 8192,
                          .prot = 3,
                          .flags = MAP_PRIVATE};
    forge_chunk(&forge, CHUNK_MAP, 0, &map, sizeof map);
    forge_add(&forge);
    check_refused(FAULT_CORRUPT, "", "a mapping there");
  }
  begin(play_sum);
  call(77, SYS_read, 0, 0);
  check_refused(FAULT_CORRUPT, "there is no such thread", "an event of nobody");
  forge_open(&forge);
  check_refused(FAULT_CORRUPT, "no program begins", "nothing at all");
  forge_open(&forge);
  forge_image(&forge, play_code, (size_t)(play_code_end - play_code), 0);
  forge.event.regs.rip = 0x1234567812345678;
  forge_add(&forge);
  leave(1);
  check_refused(FAULT_CORRUPT, "got signal 11", "registers that cannot be");
  forge_open(&forge);
  forge_image(&forge, play_code, (size_t)(play_code_end - play_code), 0);
  forge.event.regs.fs_base = 0x1234567812345678;
  forge_add(&forge);
  leave(1);
  check_refused(FAULT_IO, "", "a base that cannot be");
  forge_open(&forge);
  forge_image(&forge, play_code, (size_t)(play_code_end - play_code), 0);
  forge_map(&forge, 0x600000, 4096, 1, MAP_PRIVATE, 5);
  forge_add(&forge);
  check_refused(FAULT_CORRUPT, "recorded file 4: there is none", "a file that is not there");
}

int main(void) {
  setbuf(stdout, NULL);
  test_sum();
  test_tsc();
  test_heap();
  test_fault();
  test_place();
  test_fork();
  test_thread();
  test_stopped();
  test_lies();
  return checks_end();
}
