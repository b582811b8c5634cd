/*
** Whose turn it is. One thread of the whole tree runs code of its own; who has been in a call long
** enough to sleep does not count. A thread keeps its turn until it sleeps or its slice is used up.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/record_inner.h"

enum { SLICE_MS = 10, SETTLE_SHARE = 10, CHAOS_SHARE = 2 };

bool thread_is_gone(const RecordThread *thread) {
  unsigned long word;
  return ptrace(PTRACE_GETEVENTMSG, thread->tracee.tid, 0, &word) != 0 && errno == ESRCH;
}

/* A call's end is a stop for whoever is in one. */
bool thread_resume(Recorder *recorder, RecordThread *thread, Fault *fault) {
  const int signal = thread->signal;
  const int request = recorder->inside && !thread->in_call ? PTRACE_CONT : PTRACE_SYSCALL;
  if (request == PTRACE_CONT) inside_run(recorder, thread);
  Fault own = {0};
  thread->has_place = thread->has_place && thread->called;
  thread->signal = 0;
  if (tracee_resume(&thread->tracee, request, signal, &own)) return true;
  if (own.code == FAULT_NOTFOUND && thread_is_gone(thread)) return true; /* its end will be told */
  return fault_set(fault, own.code, "%s", own.text);
}

/* ---- who sleeps */

/* In the kernel and off the processor, or in a stop that has not been collected. */
bool thread_is_asleep(RecordThread *thread) {
  char text[16];
  if (thread->syscall_fd < 0) {
    snprintf(text, sizeof text, "/proc/%d", (int)thread->tracee.tid);
    char path[64];
    snprintf(path, sizeof path, "%s/syscall", text);
    thread->syscall_fd = open(path, O_RDONLY | O_CLOEXEC);
  }
  ssize_t n = thread->syscall_fd >= 0 ? pread(thread->syscall_fd, text, sizeof text, 0) : -1;
  return n < 1 || text[0] != 'r'; /* "running" */
}

bool thread_is_stopped(const RecordThread *thread) {
  siginfo_t info = {0};
  const int kinds = WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL;
  return waitid(P_PID, (id_t)thread->tracee.tid, &info, kinds) != 0 || info.si_pid != 0;
}

/* Does anybody work in the kernel, in a call that might wait but does not yet? */
bool schedule_is_busy(Recorder *recorder) {
  for (size_t i = 0; i < recorder->nthreads; i++) {
    RecordThread *thread = recorder->threads[i];
    if (thread->stand != THREAD_CALL || thread->asleep) continue;
    if (!thread_is_asleep(thread)) return true;
    thread->asleep = true;
  }
  return false;
}

bool schedule_is_fixed(const RecordThread *thread) {
  const CallInfo *info = thread->in_call ? call_info(thread->nr) : NULL;
  return info && (info->class == CALL_SPAWN || info->class == CALL_MEMORY);
}

/* ---- turns */

RecordThread *schedule_next(Recorder *recorder) {
  size_t n = recorder->nthreads;
  if (recorder->chaos) return chaos_choose(recorder);
  for (size_t i = 0; i < n; i++) {
    RecordThread *thread = recorder->threads[(recorder->turn + i) % n];
    if (thread->stand == THREAD_READY) return thread;
  }
  return NULL;
}

/* It has had its turn only when it runs: others may become ready until then. */
static void take_turn(Recorder *recorder, const RecordThread *thread) {
  for (size_t i = 0; i < recorder->nthreads; i++) {
    if (recorder->threads[i] == thread) recorder->turn = i + 1;
  }
}

static bool is_other_ready(const Recorder *recorder, const RecordThread *thread) {
  for (size_t i = 0; i < recorder->nthreads; i++) {
    const RecordThread *other = recorder->threads[i];
    if (other != thread && (other->stand == THREAD_READY || other->deferred)) return true;
  }
  return false;
}

bool schedule_tell(Recorder *recorder, const RecordThread *except, Fault *fault) {
  for (size_t i = 0; i < recorder->nthreads; i++) {
    RecordThread *thread = recorder->threads[i];
    const bool calls = thread->stand == THREAD_CALL || thread->stand == THREAD_RUNS;
    if (thread == except || !calls || !thread->in_call || thread->entered) continue;
    thread->entered = true;
    if (thread->nr >= 0 && !call_enter(recorder, thread, fault)) return false;
  }
  return true;
}

bool schedule_start(Recorder *recorder, RecordThread *thread, Fault *fault) {
  if (!schedule_tell(recorder, thread, fault)) return false;
  recorder->runner = thread;
  recorder->slice_began = clock_now();
  thread->stand = THREAD_RUNS;
  take_turn(recorder, thread);
  if (recorder->chaos) recorder->slice_ns = chaos_slice(recorder);
  return thread_resume(recorder, thread, fault);
}

/* Making it give way costs something: that stays a share of the slice. */
static int64_t slice_of(const Recorder *recorder) {
  const int64_t least = recorder->settle_ns * (recorder->chaos ? CHAOS_SHARE : SETTLE_SHARE);
  const int64_t ms = recorder->options->preempt_ms > 0 ? recorder->options->preempt_ms : SLICE_MS;
  const int64_t slice = recorder->chaos ? recorder->slice_ns : ms * 1000000;
  return slice < least ? least : slice;
}

bool schedule_is_over(Recorder *recorder, const RecordThread *thread) {
  if (!is_other_ready(recorder, thread)) return false;
  return thread->yields || clock_now() - recorder->slice_began > slice_of(recorder);
}

/* Only at a place that replay knows does it give way. */
static bool gives_way(Recorder *recorder, RecordThread *thread) {
  if (!schedule_is_over(recorder, thread) &&
      (!recorder->chaos || !is_other_ready(recorder, thread) || !chaos_gives_way(recorder))) {
    return false;
  }
  return event_is_place(thread);
}

bool schedule_go_on(Recorder *recorder, RecordThread *thread, Fault *fault) {
  if (!recorder->runner && !is_other_ready(recorder, thread)) {
    return schedule_start(recorder, thread, fault);
  }
  if (recorder->runner == thread && !gives_way(recorder, thread)) {
    thread->stand = THREAD_RUNS;
    return thread_resume(recorder, thread, fault);
  }
  if (recorder->runner == thread) recorder->runner = NULL;
  thread->stand = THREAD_READY;
  return true;
}

void schedule_tick(Recorder *recorder) {
  RecordThread *thread = recorder->runner;
  schedule_doubt(recorder);
  if (!recorder->runner || thread->in_call || thread->interrupted) return;
  if (!signal_is_late(thread) && !schedule_is_over(recorder, thread)) return;
  if (inside_ask(recorder, thread)) return; /* it comes to the end of a call soon */
  thread->interrupted = ptrace(PTRACE_INTERRUPT, thread->tracee.tid, 0, 0) == 0;
}

bool schedule_interrupted(Recorder *recorder, RecordThread *thread, Fault *fault) {
  const bool asked = thread->interrupted;
  bool settled = true;
  thread->interrupted = false;
  if (!asked || recorder->runner != thread) return schedule_go_on(recorder, thread, fault);
  if (!event_is_place(thread) && !signal_comes(thread)) {
    if (!settle(recorder, thread, &settled, fault)) return false;
    if (thread->again) return true;
  }
  if (!settled) { /* it comes to an event by itself */
    const bool gone = !thread_resume(recorder, thread, fault);
    inside_ask(recorder, thread);
    return !gone;
  }
  signal_send_late(thread);
  return schedule_go_on(recorder, thread, fault);
}

/* A call that was thought to end at once sleeps. */
void schedule_doubt(Recorder *recorder) {
  RecordThread *thread = recorder->runner;
  if (!thread || !thread->in_call || !is_other_ready(recorder, thread)) return;
  if (schedule_is_fixed(thread) || !thread_is_asleep(thread)) return;
  thread->stand = THREAD_CALL;
  recorder->runner = NULL;
}
