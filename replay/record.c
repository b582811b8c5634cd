/*
** The recorder's loop: wait for a stop of a thread, see what it means, let one thread go on.
**
** One thread at a time runs code of its own. Any number may be inside calls that wait; whoever
** comes out of one stays stopped until it is its turn.
*/
#define _GNU_SOURCE
#include "replay/record.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "replay/record_inner.h"

enum { CALL_STOP = SIGTRAP | 0x80, TICK_MS = 10 };
static const int64_t flush_ns = 500000000;

bool record_unsupported(Recorder *recorder, RecordThread *thread, Fault *fault, const char *format,
                        ...) {
  Fault what = {0};
  va_list args;
  va_start(args, format);
  fault_vset(&what, FAULT_UNSUPPORTED, format, args);
  va_end(args);
  fault_prefix(&what, "unsupported: ");
  event_begin(recorder, thread, EVENT_NOTE);
  if (event_bytes(recorder, CHUNK_PATH, 0, what.text, strlen(what.text), NULL)) {
    event_end(recorder, thread, NULL);
  }
  return fault_set(fault, FAULT_UNSUPPORTED, "%s", what.text);
}

/* ---- stops */

static bool on_call(Recorder *recorder, RecordThread *thread, Fault *fault) {
  bool left;
  if (thread->in_call) {
    return call_exit(recorder, thread, fault) && schedule_go_on(recorder, thread, fault);
  }
  if (!call_entry(recorder, thread, &left, fault)) return false;
  if (left) return schedule_go_on(recorder, thread, fault);
  if (thread->stand == THREAD_CALL && recorder->runner == thread) recorder->runner = NULL;
  return thread_resume(recorder, thread, fault);
}

static bool on_group_stop(Recorder *recorder, RecordThread *thread, Fault *fault) {
  if (thread->stand == THREAD_NEW) {
    thread->stopped = true;
    return true;
  }
  bool done;
  const int signal = WSTOPSIG(thread->tracee.status);
  if (!inside_stop(recorder, thread, signal, true, &done, fault) || done) return done;
  if (WSTOPSIG(thread->tracee.status) == SIGTRAP) {
    return schedule_interrupted(recorder, thread, fault);
  }
  /* All threads of a process stop with the first. One that is in the midst of its own code goes on
  ** to an event: others must not run before. */
  if (recorder->runner == thread && !event_is_place(thread))
    return thread_resume(recorder, thread, fault);
  thread->stand = THREAD_HELD;
  if (recorder->runner == thread) recorder->runner = NULL;
  return tracee_resume(&thread->tracee, PTRACE_LISTEN, 0, fault);
}

static bool on_stop(Recorder *recorder, RecordThread *thread, Fault *fault) {
  int status = thread->tracee.status;
  bool done;
  if (!WIFSTOPPED(status)) return life_end(recorder, thread, status, fault);
  switch (status >> 16) {
  case PTRACE_EVENT_SECCOMP:
    return on_call(recorder, thread, fault);
  case 0:
    if (WSTOPSIG(status) == CALL_STOP) return on_call(recorder, thread, fault);
    if (!inside_stop(recorder, thread, WSTOPSIG(status), false, &done, fault)) return false;
    return done || (signal_stop(recorder, thread, WSTOPSIG(status), fault) &&
                    (thread->again || schedule_go_on(recorder, thread, fault)));
  case PTRACE_EVENT_EXEC:
    return life_exec(recorder, thread, fault);
  case PTRACE_EVENT_CLONE:
  case PTRACE_EVENT_FORK:
  case PTRACE_EVENT_VFORK:
    return life_spawn(recorder, thread, fault);
  case PTRACE_EVENT_EXIT:
    return life_exit(recorder, thread, fault);
  case PTRACE_EVENT_STOP:
    return on_group_stop(recorder, thread, fault);
  default:
    return thread_resume(recorder, thread, fault);
  }
}

/* Somebody comes out of a call while another runs: what that one has done since its last event is
** not told yet. */
static bool must_wait(const Recorder *recorder, const RecordThread *thread, int status) {
  const RecordThread *runner = recorder->runner;
  const bool works = runner && (!runner->in_call || schedule_is_fixed(runner));
  return works && runner != thread && WIFSTOPPED(status) && status >> 8 == CALL_STOP;
}

static bool handle(Recorder *recorder, int32_t tid, int status, Fault *fault) {
  Fault own = {0};
  RecordThread *thread = threads_find(recorder, tid);
  if (!thread) { /* a child whose maker has not told of it */
    if (!WIFSTOPPED(status)) return true;
    if (!threads_add(recorder, tid, NULL, &thread, fault)) return false;
    thread->stand = THREAD_NEW;
  }
  thread->tracee.has_regs = thread->tracee.regs_changed = false;
  thread->tracee.status = status;
  recorder->ndeferred -= thread->deferred;
  thread->deferred = must_wait(recorder, thread, status);
  recorder->ndeferred += thread->deferred;
  if (!inside_drain(recorder, fault)) return false;
  if (thread->deferred) return true;
  if (!schedule_tell(recorder, thread, fault)) return false;
  for (;;) {
    thread->again = false;
    if (on_stop(recorder, thread, &own)) {
      thread = threads_find(recorder, tid);
      if (!thread || !thread->again) return true;
      continue;
    }
    thread = threads_find(recorder, tid);
    if (own.code == FAULT_NOTFOUND && (!thread || thread_is_gone(thread))) return true;
    return fault_set(fault, own.code, "%s", own.text);
  }
}

/* Those who had to wait. */
static bool handle_deferred(Recorder *recorder, Fault *fault) {
  for (size_t i = 0; recorder->ndeferred && i < recorder->nthreads; i++) {
    RecordThread *thread = recorder->threads[i];
    if (!thread->deferred || must_wait(recorder, thread, thread->tracee.status)) continue;
    if (!handle(recorder, thread->tracee.tid, thread->tracee.status, fault)) return false;
    i = (size_t)-1; /* the table may have changed */
  }
  return true;
}

/* ---- the loop */

/* What is due from time to time. */
static bool look_around(Recorder *recorder, Fault *fault) {
  if (stop_now(recorder->stop)) {
    bool asked = stop_asked(recorder->stop);
    return fault_set(fault, asked ? FAULT_INTERRUPT : FAULT_TIMEOUT, "interrupted");
  }
  int64_t now = clock_now();
  inside_tick(recorder);
  if (!inside_drain(recorder, fault)) return false;
  if (now - recorder->flushed < flush_ns) return true;
  recorder->flushed = now;
  return writer_flush(recorder->writer, fault);
}

/* The next stop, if there is one or `wait`; *out_tid is 0 otherwise, and when it is time to look
** around. */
static bool collect(bool wait, pid_t *out_tid, int *out_status, Fault *fault) {
  *out_tid = waitpid(-1, out_status, __WALL | (wait ? 0 : WNOHANG));
  if (*out_tid >= 0) return true;
  *out_tid = 0;
  return errno == EINTR ||
         fault_set(fault, FAULT_INTERNAL, "recorder: nothing to wait for: %s", strerror(errno));
}

/* Nobody runs, and `next` could: after those that are still at work in the kernel. */
static bool step_aside(Recorder *recorder, RecordThread *next, Fault *fault) {
  for (int turn = 0; turn < 2; turn++) {
    pid_t tid;
    int status;
    if (!collect(false, &tid, &status, fault)) return false;
    if (tid) return handle(recorder, tid, status, fault);
    if (turn == 0 && schedule_is_busy(recorder)) {
      sched_yield();
      return true;
    }
  }
  return schedule_start(recorder, next, fault);
}

static bool loop(Recorder *recorder, Fault *fault) {
  int64_t looked = clock_now();
  while (recorder->nthreads) {
    RecordThread *next = recorder->runner ? NULL : schedule_next(recorder);
    pid_t tid = 0;
    int status;
    if (next && !step_aside(recorder, next, fault)) return false;
    if (!next && !collect(true, &tid, &status, fault)) return false;
    if (tid && !handle(recorder, tid, status, fault)) return false;
    if (recorder->ndeferred && !handle_deferred(recorder, fault)) return false;
    if (!tid && !next) schedule_tick(recorder);
    int64_t now = clock_now();
    if ((tid || next) && now - looked < TICK_MS * 1000000) continue;
    looked = now;
    if (!look_around(recorder, fault)) return false;
  }
  return true;
}

/* ---- beginning and end */

static int tick_of(const RecordOptions *options) {
  if (options->chaos) return 1;
  return options->preempt_ms > 0 && options->preempt_ms < TICK_MS ? options->preempt_ms : TICK_MS;
}

static bool pin(cpu_set_t *before) {
  cpu_set_t one;
  int cpu = sched_getcpu();
  CPU_ZERO(before);
  if (sched_getaffinity(0, sizeof *before, before) != 0 || cpu < 0) return false;
  CPU_ZERO(&one);
  CPU_SET((size_t)cpu, &one);
  return sched_setaffinity(0, sizeof one, &one) == 0;
}

static bool begin(Recorder *recorder, Fault *fault) {
  RecordThread *thread;
  if (!start_program(recorder, &thread, fault) || !start_meta(recorder, thread, fault))
    return false;
  /* It stands in the middle of its execve: the end of it brings the image. */
  thread->in_call = true;
  thread->nr = -1;
  recorder->runner = thread;
  thread->stand = THREAD_RUNS;
  return thread_resume(recorder, thread, fault) && loop(recorder, fault);
}

/* Whatever still runs. */
static void end_all(Recorder *recorder) {
  int status;
  for (size_t i = 0; i < recorder->nthreads; i++) kill(recorder->threads[i]->tracee.tid, SIGKILL);
  while (recorder->nthreads) {
    pid_t tid = waitpid(-1, &status, __WALL);
    if (tid < 0 && errno != EINTR) break;
    if (tid <= 0) continue;
    RecordThread *thread = threads_find(recorder, tid);
    if (WIFSTOPPED(status)) {
      ptrace(PTRACE_CONT, tid, 0, 0);
      continue;
    }
    if (thread && tid == recorder->first_pid) recorder->summary->status = status;
    if (thread) threads_drop(recorder, thread);
  }
  while (recorder->nthreads) threads_drop(recorder, recorder->threads[0]);
}

static void finish(Recorder *recorder) {
  end_all(recorder);
  free(recorder->threads);
  free(recorder->pieces);
  free(recorder->bytes);
  free(recorder->chunks);
  free(recorder->ranges);
  free(recorder->unsure);
  free(recorder->shared);
  file_finish(recorder);
  inside_close(recorder);
}

static bool are_calls_inside(const RecordOptions *options) {
  if (options->calls == CALLS_STOP || (options->calls == CALLS_USUAL && options->chaos))
    return false;
  return filter_is_possible();
}

bool record_run(const RecordOptions *options, Stop *stop, RecordSummary *out, Fault *fault) {
  int64_t began = clock_now();
  *out = (RecordSummary){0};
  Recorder recorder = {.options = options,
                       .stop = stop,
                       .summary = out,
                       .flushed = began,
                       .slice_began = began,
                       .hash_began = began};
  Fault own = {0};
  cpu_set_t before;
  chaos_begin(&recorder);
  if (!writer_create(options->dir, &recorder.writer, fault)) return false;
  bool pinned = pin(&before);
  bool ok = (!are_calls_inside(options) || inside_open(&recorder, &own)) &&
            tracee_ticks(tick_of(options), &own) && begin(&recorder, &own);
  finish(&recorder);
  tracee_ticks(0, NULL);
  if (pinned) sched_setaffinity(0, sizeof before, &before);
  WriterSize size;
  bool closed = writer_close(recorder.writer, ok, &size, &own);
  out->events = size.events;
  out->raw = size.raw;
  out->stored = size.stored;
  out->ns = clock_now() - began;
  return (ok && closed) || fault_set(fault, own.code, "%s", own.text);
}
