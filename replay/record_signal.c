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
#include <sys/wait.h>

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
  trap_carry_out(kind, length, number, &tracee->regs);
  tracee->regs_changed = true;
  event_begin(recorder, thread, EVENT_TRAP);
  recorder->event.nr = (int)kind;
  *out_done = true;
  return event_regs(recorder, thread, fault) && event_end(recorder, thread, fault);
}

/* ---- delivery */

/* Does the process have a handler for it? */
static bool has_handler(const RecordThread *thread, int signal) {
  char path[64], line[256];
  unsigned long long caught = 0;
  snprintf(path, sizeof path, "/proc/%d/status", (int)thread->tracee.tid);
  FILE *file = fopen(path, "re");
  while (file && fgets(line, sizeof line, file)) {
    if (sscanf(line, "SigCgt: %llx", &caught) == 1) break;
  }
  if (file) fclose(file);
  return caught >> (signal - 1) & 1;
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
  recorder->event.has_hash = true;
  return event_memory(recorder, CHUNK_OUT, rsp, frame_end(thread, rsp) - rsp, fault) &&
         event_end(recorder, thread, fault);
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
  if (has_handler(thread, signal)) return enter_handler(recorder, thread, signal, &info, fault);
  thread->signal = signal;
  event_begin(recorder, thread, EVENT_SIGNAL);
  recorder->event.nr = signal;
  return event_bytes(recorder, CHUNK_SIGINFO, 0, &info, sizeof info, fault) &&
         event_end(recorder, thread, fault);
}
