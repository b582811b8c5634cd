/*
** One event after the other: let a thread run to where its event happened, compare, and do what the
** kernel did.
*/
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/array.h"
#include "replay/play_inner.h"
#include "replay/syscalls.h"
#include "replay/traps.h"

enum { CALL_STOP = SIGTRAP | 0x80 };
enum { RESTART_FIRST = 512, RESTART_ALWAYS = 513, RESTART_NO_HAND = 514, RESTART_BLOCK = 516 };

/* ---- running */

static bool is_fault(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
         signal == SIGTRAP;
}

/* A call that a signal ended and no handler followed: the kernel makes it again. */
static bool rewind_call(PlayThread *thread, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  if (!thread->again) return true;
  if (!tracee_regs(tracee, fault)) return false;
  tracee->regs.rip -= SYSCALL_BYTES;
  tracee->regs.rax = thread->again == -RESTART_BLOCK ? SYS_restart_syscall : tracee->regs.orig_rax;
  tracee->regs.orig_rax = (unsigned long long)-1;
  tracee->regs_changed = true;
  thread->again = 0;
  return true;
}

/* A stop for something that happened to the thread itself; signals from elsewhere are dropped. */
static bool meet_fault(PlayThread *thread, int signal, bool *out, Fault *fault) {
  siginfo_t info;
  *out = false;
  if (!is_fault(signal) || thread->tracee.status >> 16) return true;
  if (ptrace(PTRACE_GETSIGINFO, thread->tracee.tid, NULL, &info) != 0) {
    return fault_set(fault, FAULT_IO, "thread %d: its signal: %s", (int)thread->tid,
                     strerror(errno));
  }
  if (info.si_code <= 0) return true;
  thread->stand = STAND_FAULT;
  thread->signal = signal;
  thread->fault_at = (uint64_t)(uintptr_t)info.si_addr;
  return *out = true;
}

/* One instruction has run. */
static bool is_stepped(const Tracee *tracee) {
  siginfo_t info;
  return tracee->status == (SIGTRAP << 8 | 0x7f) &&
         ptrace(PTRACE_GETSIGINFO, tracee->tid, NULL, &info) == 0 && info.si_code == TRAP_TRACE;
}

bool step_run(Player *player, PlayThread *thread, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  if (!rewind_call(thread, fault) || !patch_code(player, thread, fault) ||
      !break_ready(player, thread, fault) || !patch_enter(player, thread, fault)) {
    return false;
  }
  thread->fresh = false;
  player->moved = true;
  for (unsigned turn = 1;; turn++) {
    bool met, go;
    if (player->single
            ? !break_single(thread, fault)
            : !tracee_resume(tracee, PTRACE_SYSEMU, 0, fault) || !tracee_wait(tracee, fault)) {
      return false;
    }
    if (!WIFSTOPPED(tracee->status)) {
      return fault_set(fault, FAULT_NOTFOUND, "thread %d: it was killed from outside",
                       (int)thread->tid);
    }
    if (!patch_stop(player, thread, &go, fault) || player->pause) return false;
    if (WSTOPSIG(tracee->status) == CALL_STOP) {
      thread->stand = STAND_CALL;
      return reply_stopped(player, thread, fault) && tracee_regs(tracee, fault);
    }
    if (!go && !reply_faulted(thread, &go, fault)) return false;
    if (player->single && (go || is_stepped(tracee))) {
      player->pause = PAUSE_STEP;
      return false;
    }
    if (!go && !meet_fault(thread, WSTOPSIG(tracee->status), &met, fault)) return false;
    if (!go && met) return tracee_regs(tracee, fault);
    if (turn % 64 == 0 && stop_now(player->options.stop)) {
      return fault_set(fault, FAULT_INTERRUPT, "interrupted");
    }
  }
}

/* ---- where it stands against where it should */

static void describe_call(char *out, size_t size, int nr, const uint64_t args[6]) {
  const CallInfo *info = call_info(nr);
  const int nargs = info ? info->nargs : 6;
  size_t at = info ? (size_t)snprintf(out, size, "%s(", info->name)
                   : (size_t)snprintf(out, size, "call %d(", nr);
  for (int i = 0; i < nargs && at < size; i++) {
    at += (size_t)snprintf(out + at, size - at, "%s0x%" PRIx64, i ? ", " : "", args[i]);
  }
  if (at < size) snprintf(out + at, size - at, ")");
}

static void call_args(const struct user_regs_struct *regs, uint64_t out[6]) {
  out[0] = regs->rdi;
  out[1] = regs->rsi;
  out[2] = regs->rdx;
  out[3] = regs->r10;
  out[4] = regs->r8;
  out[5] = regs->r9;
}

static void describe(const PlayThread *thread, char *out, size_t size) {
  const struct user_regs_struct *regs = &thread->tracee.regs;
  uint64_t args[6];
  call_args(regs, args);
  if (thread->stand == STAND_CALL) {
    describe_call(out, size, (int)regs->orig_rax, args);
  } else if (thread->stand == STAND_FAULT) {
    snprintf(out, size, "signal %d for 0x%" PRIx64 " at 0x%" PRIx64, thread->signal,
             thread->fault_at, (uint64_t)regs->rip);
  } else {
    snprintf(out, size, "it stands at 0x%" PRIx64, (uint64_t)regs->rip);
  }
}

bool step_parted(const Player *player, PlayThread *thread, const Event *event, const char *expected,
                 Fault *fault) {
  char got[160];
  if (!tracee_regs(&thread->tracee, fault)) return false;
  describe(thread, got, sizeof got);
  return play_diverged(player, event, fault, "expected %s, got %s", expected, got);
}

/* At the system call of the event, with its arguments. */
static bool to_call(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  char expected[160];
  uint64_t args[6];
  if (thread->stand == STAND_READY && !step_run(player, thread, fault)) return false;
  call_args(&thread->tracee.regs, args);
  const CallInfo *info = call_info(event->nr);
  const size_t compared = (size_t)(info ? info->nargs : 6) * sizeof args[0];
  if (thread->stand == STAND_CALL && (int)thread->tracee.regs.orig_rax == event->nr &&
      memcmp(args, event->args, compared) == 0) {
    return true;
  }
  describe_call(expected, sizeof expected, event->nr, event->args);
  return step_parted(player, thread, event, expected, fault);
}

bool step_enter(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  return to_call(player, thread, event, fault) && play_write(thread->space, event, fault);
}

/* ---- what the kernel did */

static bool call_state(PlayThread *thread, const Event *event, Fault *fault) {
  struct user_regs_struct *regs = &thread->tracee.regs;
  if (event->nr == SYS_arch_prctl && !event->ret) {
    if (event->args[0] == ARCH_SET_FS) regs->fs_base = event->args[1];
    if (event->args[0] == ARCH_SET_GS) regs->gs_base = event->args[1];
  }
  if (event->nr != SYS_rt_sigreturn) return true;
  if (!event->has_regs && event->ret == -RESTART_ALWAYS) return true; /* a signal came before */
  if (!event->has_regs) {
    return fault_set(fault, FAULT_CORRUPT, "event %llu: rt_sigreturn without registers",
                     (unsigned long long)event->ev);
  }
  return play_units_return(thread, regs->rsp, fault) && play_registers(thread, &event->regs, fault);
}

typedef struct SpawnArgs {
  uint64_t flags, child_tid, stack, tls;
} SpawnArgs;

static bool read_spawn(const PlayThread *thread, const Event *event, SpawnArgs *out, Fault *fault) {
  *out = (SpawnArgs){0};
  if (event->nr == SYS_clone) {
    *out = (SpawnArgs){event->args[0], event->args[3], event->args[1], event->args[4]};
  }
  if (event->nr != SYS_clone3) return true;
  uint64_t args[8]; /* struct clone_args */
  if (!space_read(&thread->space->space, (RemoteAddr){event->args[0]}, args, sizeof args, fault)) {
    return false;
  }
  *out = (SpawnArgs){args[0], args[2], args[5] ? args[5] + args[6] : 0, args[7]};
  return true;
}

/* What is shared by the child is the memory, or nothing; a process that waits for its child in the
** same memory had a copy made when recorded. */
static bool call_spawn(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  enum { VM = 0x100, VFORK = 0x4000, SETTLS = 0x80000, CHILD_SETTID = 0x1000000 };
  SpawnArgs args;
  PlayThread *born;
  if (event->ret <= 0) return true;
  const int32_t tid = (int32_t)event->ret;
  if (child_find(player, tid))
    return play_diverged(player, event, fault, "thread %d is twice", tid);
  if (!read_spawn(thread, event, &args, fault)) return false;
  const bool copy = !(args.flags & VM) || args.flags & VFORK;
  if (!child_spawn(player, thread, copy, copy ? tid : thread->space->pid, tid, &born, fault)) {
    return false;
  }
  struct user_regs_struct *regs = &born->tracee.regs;
  regs->rax = 0;
  regs->orig_rax = (unsigned long long)-1;
  if (args.stack) regs->rsp = args.stack;
  if (args.flags & SETTLS) regs->fs_base = args.tls;
  if (copy && !play_write_child(born->space, event, fault)) return false;
  if (!(args.flags & CHILD_SETTID) || !copy) return true;
  return play_may_map(born->space, args.child_tid, sizeof tid) &&
         space_write(&born->space->space, (RemoteAddr){args.child_tid}, &tid, sizeof tid, fault);
}

static bool call_effect(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  const CallInfo *info = call_info(event->nr);
  switch (info ? info->class : CALL_UNKNOWN) {
  case CALL_MEMORY:
    return play_memory_call(player, thread, event, fault);
  case CALL_SPAWN:
    return call_spawn(player, thread, event, fault);
  case CALL_STATE:
    return call_state(thread, event, fault);
  case CALL_EXEC:
    thread->execs = event->ret == 0;
    return true;
  default:
    return true;
  }
}

bool step_call(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  const bool was_exec = thread->fresh && event->nr == SYS_execve; /* told after its IMAGE */
  if (was_exec) return true;
  if (!to_call(player, thread, event, fault)) return false;
  struct user_regs_struct *regs = &tracee->regs;
  regs->rax = (unsigned long long)event->ret;
  regs->rcx = regs->rip;
  regs->r11 = regs->eflags;
  tracee->regs_changed = true;
  if (!call_effect(player, thread, event, fault)) return false;
  if (!play_write(thread->space, event, fault)) return false;
  const CallInfo *info = call_info(event->nr);
  if (info && info->class == CALL_EXIT && !event->ret) return true; /* it stays there */
  const int64_t again = -event->ret;
  if (again == RESTART_BLOCK || (again >= RESTART_FIRST && again <= RESTART_NO_HAND)) {
    thread->again = event->ret;
  } else {
    regs->orig_rax = (unsigned long long)-1;
  }
  thread->stand = STAND_READY;
  return reply_learn(player, thread, event, fault);
}

/* ---- instructions and signals */

bool step_trap(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  static const char *const names[] = {
      [TRAP_RDTSC] = "rdtsc", [TRAP_RDTSCP] = "rdtscp", [TRAP_CPUID] = "cpuid",
      [TRAP_XSAVE] = "xsave", [TRAP_RDRAND] = "rdrand", [TRAP_RDSEED] = "rdseed"};
  const char *expected = event->nr >= 0 && event->nr < (int)countof(names) ? names[event->nr] : "";
  uint8_t code[TRAP_BYTES];
  size_t got;
  TrapKind kind;
  int length, number;
  if (thread->stand == STAND_READY && !step_run(player, thread, fault)) return false;
  const uint64_t rip = thread->tracee.regs.rip;
  space_peek(&thread->space->space, (RemoteAddr){rip}, code, sizeof code, &got);
  if (thread->stand != STAND_FAULT || thread->signal != SIGSEGV ||
      !trap_decode(code, got, &kind, &length, &number) || (int)kind != event->nr ||
      event->regs.rip != rip + (unsigned)length) {
    return step_parted(player, thread, event, expected, fault);
  }
  thread->stand = STAND_READY;
  return play_write(thread->space, event, fault) && play_registers(thread, &event->regs, fault);
}

/* Did the program do it to itself? */
static bool by_fault(const Event *event) {
  siginfo_t info = {0};
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    if (chunk->kind == CHUNK_SIGINFO && chunk->size >= sizeof info) {
      memcpy(&info, chunk->bytes, sizeof info);
    }
  }
  return is_fault(event->nr) && info.si_code > 0;
}

bool step_signal(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  char expected[64];
  if (by_fault(event)) {
    if (thread->stand == STAND_READY && !step_run(player, thread, fault)) return false;
    if (thread->stand != STAND_FAULT || thread->signal != event->nr) {
      snprintf(expected, sizeof expected, "signal %d", event->nr);
      return step_parted(player, thread, event, expected, fault);
    }
    thread->stand = STAND_READY;
  }
  if (!event->has_regs) return true; /* nothing that the program sees */
  thread->space->inside.interrupted = true;
  return play_write(thread->space, event, fault) && play_registers(thread, &event->regs, fault) &&
         play_units_reset(thread, fault);
}
