/*
** Signals, and instructions that trap because their result is the machine's choice.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/record_inner.h"
#include "replay/traps.h"

/* ---- traps */

static bool carry_out(Recorder *recorder, RecordThread *thread, bool *out_done, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  uint8_t code[TRAP_BYTES];
  size_t got;
  TrapKind kind;
  int length, number;
  *out_done = false;
  if (!tracee_regs(tracee, fault)) return false;
  space_peek(tracee->space, (RemoteAddr){tracee->regs.rip}, code, sizeof code, &got);
  if (!trap_decode(code, got, &kind, &length, &number)) return true;
  event_begin(recorder, thread, EVENT_TRAP);
  recorder->event.nr = (int)kind;
  if (kind != TRAP_XSAVE) {
    trap_carry_out(kind, length, number, &tracee->regs);
  } else if (!xsave_carry_out(recorder, thread, code, got, fault)) {
    return false;
  }
  tracee->regs_changed = true;
  *out_done = true;
  if (!event_regs(recorder, thread, fault) || !event_end(recorder, thread, fault)) return false;
  event_place(thread);
  signal_send_late(thread);
  return true;
}

/* ---- delivery */

typedef enum Effect { EFFECT_NONE, EFFECT_STOP, EFFECT_DEATH, EFFECT_HANDLER } Effect;

/* A set of signals that the kernel tells of the thread. */
static uint64_t signals_of(const RecordThread *thread, const char *name) {
  char path[64], line[256];
  const size_t length = strlen(name);
  uint64_t set = 0;
  snprintf(path, sizeof path, "/proc/%d/status", (int)thread->tracee.tid);
  FILE *file = fopen(path, "re");
  while (file && fgets(line, sizeof line, file)) {
    if (strncmp(line, name, length) != 0 || line[length] != ':') continue;
    set = strtoull(line + length + 1, NULL, 16);
    break;
  }
  if (file) fclose(file);
  return set;
}

/* What the process has chosen that it does. */
static Effect effect_of(const RecordThread *thread, int signal) {
  const uint64_t caught = signals_of(thread, "SigCgt"), ignored = signals_of(thread, "SigIgn");
  if (caught >> (signal - 1) & 1) return EFFECT_HANDLER;
  switch (signal) {
  case SIGSTOP:
  case SIGTSTP:
  case SIGTTIN:
  case SIGTTOU:
    return ignored >> (signal - 1) & 1 ? EFFECT_NONE : EFFECT_STOP;
  case SIGCHLD:
  case SIGCONT:
  case SIGURG:
  case SIGWINCH:
    return EFFECT_NONE;
  default:
    return ignored >> (signal - 1) & 1 ? EFFECT_NONE : EFFECT_DEATH;
  }
}

/* Where the frame at rsp ends: behind the extended state, whose size stands in it. */
static uint64_t frame_end(RecordThread *thread, uint64_t rsp) {
  enum { FPSTATE_AT = 8 + 40 + 23 * 8, SOFTWARE_AT = 464, MAGIC = 0x46505853, LIMIT = 1 << 16 };
  Space *space = &thread->process->space;
  uint64_t state;
  uint32_t software[2];
  size_t got;
  space_peek(space, (RemoteAddr){rsp + FPSTATE_AT}, &state, sizeof state, &got);
  if (got != sizeof state || state < rsp || state - rsp > LIMIT) return rsp + FPSTATE_AT + 8;
  space_peek(space, (RemoteAddr){state + SOFTWARE_AT}, software, sizeof software, &got);
  bool extended = got == sizeof software && software[0] == MAGIC && software[1] < LIMIT;
  return state + (extended ? software[1] : 512);
}

/* Into its handler: the thread stops there before the first instruction. */
static bool enter_handler(Recorder *recorder, RecordThread *thread, int signal,
                          const siginfo_t *info, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  if (!tracee_resume(tracee, PTRACE_SINGLESTEP, signal, fault) || !tracee_wait(tracee, fault)) {
    return false;
  }
  event_begin(recorder, thread, EVENT_SIGNAL);
  recorder->event.nr = signal;
  if (!event_bytes(recorder, CHUNK_SIGINFO, 0, info, sizeof *info, fault)) return false;
  if (!tracee_stopped_by(tracee, SIGTRAP)) { /* no room for the frame, or it was killed */
    thread->again = true;
    return event_end(recorder, thread, fault);
  }
  if (!event_regs(recorder, thread, fault)) return false;
  uint64_t rsp = tracee->regs.rsp;
  thread->process->inside.interrupted = true;
  recorder->event.has_hash = true;
  if (!event_memory(recorder, CHUNK_OUT, rsp, frame_end(thread, rsp) - rsp, fault) ||
      !event_end(recorder, thread, fault)) {
    return false;
  }
  event_place(thread);
  signal_send_late(thread);
  return true;
}

/* Without a handler: at whatever place. */
static bool deliver_plain(Recorder *recorder, RecordThread *thread, int signal,
                          const siginfo_t *info, Fault *fault) {
  thread->signal = signal;
  event_begin(recorder, thread, EVENT_SIGNAL);
  recorder->event.nr = signal;
  return event_bytes(recorder, CHUNK_SIGINFO, 0, info, sizeof *info, fault) &&
         event_end(recorder, thread, fault);
}

/* ---- signals that have to wait */

bool signal_is_late(const RecordThread *thread) { return thread->nlate > 0; }

/* The one that we have sent again, when this is it. */
static LateSignal *find_sent(RecordThread *thread, int signal, const siginfo_t *info) {
  if (info->si_code != SI_TKILL || info->si_pid != getpid()) return NULL;
  for (size_t i = 0; i < thread->nlate; i++) {
    if (thread->late[i].signal == signal && thread->late[i].sent) return &thread->late[i];
  }
  return NULL;
}

bool signal_keep(RecordThread *thread, int signal, const siginfo_t *info, Fault *fault) {
  LateSignal *sent = find_sent(thread, signal, info);
  if (sent) { /* too early: a call in the process has let it through */
    sent->sent = false;
    return true;
  }
  for (size_t i = 0; i < thread->nlate; i++) { /* the kernel keeps one of the old kinds, too */
    if (signal < SIGRTMIN && thread->late[i].signal == signal) return true;
  }
  if (thread->nlate == LATE_MOST) return true;
  if (!array_grow(thread->late, thread->late_capacity, thread->nlate + 1)) return fault_oom(fault);
  thread->late[thread->nlate++] = (LateSignal){.signal = signal, .info = *info};
  return true;
}

static bool has_late(const RecordThread *thread, bool must_be_sent) {
  uint64_t mask = 0;
  if (!thread->nlate) return false;
  ptrace(PTRACE_GETSIGMASK, thread->tracee.tid, (void *)sizeof mask, &mask);
  for (size_t i = 0; i < thread->nlate; i++) {
    const LateSignal *late = &thread->late[i];
    if (!(mask >> (late->signal - 1) & 1) && (late->sent || !must_be_sent)) return true;
  }
  return false;
}

bool signal_is_due(const RecordThread *thread) { return has_late(thread, false); }
bool signal_comes(const RecordThread *thread) { return has_late(thread, true); }

static void drop_late(RecordThread *thread, size_t i) {
  memmove(&thread->late[i], &thread->late[i + 1], (--thread->nlate - i) * sizeof *thread->late);
}

/* Of the old kinds the kernel keeps one: ours would be lost, and waited for. */
static bool is_pending(const RecordThread *thread, int signal) {
  return signal < SIGRTMIN && signals_of(thread, "SigPnd") >> (signal - 1) & 1;
}

void signal_send_late(RecordThread *thread) {
  for (size_t i = 0; i < thread->nlate; i++) {
    LateSignal *late = &thread->late[i];
    if (late->sent) continue;
    if (is_pending(thread, late->signal)) {
      drop_late(thread, i--);
      continue;
    }
    late->sent = true;
    syscall(SYS_tgkill, thread->process->pid, thread->tracee.tid, late->signal);
  }
}

/* Is this one that we have sent again? Then it is what it was at first. */
static bool take_late(RecordThread *thread, int signal, siginfo_t *info) {
  LateSignal *sent = find_sent(thread, signal, info);
  if (!sent) return false;
  *info = sent->info;
  drop_late(thread, (size_t)(sent - thread->late));
  return ptrace(PTRACE_SETSIGINFO, thread->tracee.tid, 0, info) == 0;
}

/* ---- stops */

bool signal_is_fault(int signal, const siginfo_t *info) {
  return info->si_code > 0 && (signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE ||
                               signal == SIGILL || signal == SIGTRAP);
}

bool signal_stop(Recorder *recorder, RecordThread *thread, int signal, Fault *fault) {
  siginfo_t info;
  bool done = false;
  if (ptrace(PTRACE_GETSIGINFO, thread->tracee.tid, 0, &info) != 0) {
    return fault_set(fault, errno == ESRCH ? FAULT_NOTFOUND : FAULT_IO,
                     "thread %d: its signal cannot be read: %s", (int)thread->tracee.tid,
                     strerror(errno));
  }
  thread->signal = 0;
  if (signal == SIGSEGV && info.si_code == SI_KERNEL) {
    if (!carry_out(recorder, thread, &done, fault) || done) return done;
  }
  const bool late = take_late(thread, signal, &info);
  const Effect effect = effect_of(thread, signal);
  if (effect == EFFECT_NONE) {
    return deliver_plain(recorder, thread, signal, &info, fault);
  }
  if (!late && !signal_is_fault(signal, &info) && !event_is_place(thread)) {
    inside_ask(recorder, thread);
    return signal_keep(thread, signal, &info, fault);
  }
  if (effect == EFFECT_HANDLER) return enter_handler(recorder, thread, signal, &info, fault);
  return deliver_plain(recorder, thread, signal, &info, fault);
}
