/*
** A place in a program's own code, told so that it can be found again.
**
** Without a counter of branches a place is told by the instruction, by all registers, and by memory
** that differs between this pass of a loop and the others. The thread is stepped, instruction by
** instruction, to one where replay can plant a jump; then around the loop, if there is one, to
** see which words it writes; what they hold at the end tells the pass. The frame of the function
** tells more.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "replay/record_step.h"

enum {
  LEAST_BYTES = 5,    /* of a jump */
  SEARCH_STEPS = 300, /* to a place */
  PASS_STEPS = 100,   /* around a loop */
  FIRST_ABOVE = 64,   /* bytes from the stack pointer on, and */
  FIRST_BELOW = 32,   /* below the frame pointer, which replay compares before it stops */
  STACK_BYTES = 2048, /* from the stack pointer on */
  OBJECT_BYTES = 128  /* at what registers point to */
};

/* ---- the way */

/* In a thunk of the log, behind a call: no place that replay knows. */
static bool is_ours(const Stepper *stepper) {
  return inside_of_thunk(&stepper->thread->process->inside, stepper->thread->tracee.regs.rip);
}

/* Steps until a jump can be planted where it stands; where there is nothing long enough, replay
** takes several instructions out of the way, or is slow. */
static bool find_place(Stepper *stepper, StepEnd *out, Fault *fault) {
  *out = STEP_DONE;
  for (int i = 0; i < SEARCH_STEPS && !stepper_is_event(stepper); i++) {
    if (stepper->found.length >= LEAST_BYTES && !stepper_is_repeated(stepper) &&
        !is_ours(stepper)) {
      return true;
    }
    if (!stepper_step(stepper, out, fault)) return false;
    if (*out != STEP_DONE) return true;
  }
  if (stepper_is_event(stepper) || stepper_is_repeated(stepper)) *out = STEP_EVENT;
  return true;
}

/* Once around, or as far as there is no way around. */
static bool walk_around(Stepper *stepper, StepEnd *out, Fault *fault) {
  const uint64_t start = stepper->thread->tracee.regs.rip;
  for (int i = 0; i < PASS_STEPS; i++) {
    if (!stepper_step(stepper, out, fault)) return false;
    if (*out != STEP_DONE || stepper->thread->tracee.regs.rip == start) return true;
  }
  return find_place(stepper, out, fault);
}

/* What tells a pass most often comes first: replay compares so much natively. */
static bool tell_first(Recorder *recorder, const Stepper *stepper, Fault *fault) {
  const struct user_regs_struct *regs = &stepper->thread->tracee.regs;
  const uint64_t rsp = regs->rsp & ~(uint64_t)7;
  for (size_t i = 0; i < stepper->nwords; i++) {
    if (!unsure_point(recorder, stepper->words[i], 8, fault)) return false;
  }
  if (!unsure_point(recorder, rsp, FIRST_ABOVE, fault)) return false;
  return regs->rbp % 8 || regs->rbp <= rsp || regs->rbp - rsp > 1 << 20 ||
         unsure_point(recorder, regs->rbp - FIRST_BELOW, FIRST_BELOW, fault);
}

/* The frames further out, with their counters, and the objects at hand. */
static bool tell_more(Recorder *recorder, const Stepper *stepper, Fault *fault) {
  const struct user_regs_struct *regs = &stepper->thread->tracee.regs;
  const uint64_t rsp = regs->rsp & ~(uint64_t)7;
  const unsigned long long pointers[] = {regs->rdi, regs->rsi, regs->rbx, regs->rbp, regs->rax,
                                         regs->rcx, regs->rdx, regs->r8,  regs->r9,  regs->r10,
                                         regs->r11, regs->r12, regs->r13, regs->r14, regs->r15};
  if (!unsure_point(recorder, rsp, STACK_BYTES, fault)) return false;
  for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++) {
    const uint64_t at = pointers[i] & ~(uint64_t)7;
    const MapRange *range = maps_find(&stepper->thread->process->maps, at);
    if (!range || !(range->prot & PROT_WRITE) || (at >= rsp && at - rsp < STACK_BYTES)) continue;
    const uint64_t left = range->end - at;
    const size_t size = left < OBJECT_BYTES ? (size_t)left : OBJECT_BYTES;
    if (!unsure_point(recorder, at, size, fault)) return false;
  }
  return true;
}

static bool tell_place(Recorder *recorder, Stepper *stepper, Fault *fault) {
  RecordThread *thread = stepper->thread;
  event_begin(recorder, thread, EVENT_SWITCH);
  if (!unsure_tell(recorder, fault) || !tell_first(recorder, stepper, fault) ||
      !tell_more(recorder, stepper, fault) || !event_xstate(recorder, thread, fault)) {
    return false;
  }
  recorder->event.has_hash = true;
  const bool ok = event_regs(recorder, thread, fault) && event_end(recorder, thread, fault);
  recorder->nunsure = 0;
  if (ok) event_place(thread);
  return ok;
}

/* All but those that an instruction raises. */
static bool hold_signals(pid_t tid, uint64_t *before) {
  const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  uint64_t mask = ~(uint64_t)0;
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) mask &= ~((uint64_t)1 << (own[i] - 1));
  if (ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof *before, before) != 0) return false;
  mask |= *before;
  return ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof mask, &mask) == 0;
}

static bool settle_timed(Recorder *recorder, RecordThread *thread, bool *out, Fault *fault) {
  Stepper stepper;
  uint64_t mask;
  const pid_t tid = thread->tracee.tid;
  StepEnd end = STEP_DONE;
  *out = false;
  if (!hold_signals(tid, &mask)) {
    return fault_set(fault, errno == ESRCH ? FAULT_NOTFOUND : FAULT_IO,
                     "thread %d: its signals cannot be held: %s", (int)tid, strerror(errno));
  }
  bool ok = stepper_init(&stepper, thread, fault) && find_place(&stepper, &end, fault);
  stepper.nwords = 0;
  if (ok && end == STEP_DONE) ok = walk_around(&stepper, &end, fault);
  if (WIFSTOPPED(thread->tracee.status) &&
      ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof mask, &mask) != 0 && ok && errno != ESRCH) {
    ok = fault_set(fault, FAULT_IO, "thread %d: its signals stay held: %s", (int)tid,
                   strerror(errno));
  }
  if (!ok) return false;
  thread->again = end == STEP_OTHER;
  if (end != STEP_DONE) return true;
  if (!unsure_find(recorder, thread, out, fault)) return false;
  return !*out || tell_place(recorder, &stepper, fault);
}

bool settle(Recorder *recorder, RecordThread *thread, bool *out, Fault *fault) {
  const int64_t began = clock_now();
  const bool ok = settle_timed(recorder, thread, out, fault);
  recorder->settle_ns += (clock_now() - began - recorder->settle_ns) / 4;
  return ok;
}
