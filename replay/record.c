/*
** The recorder's loop: wait for a stop of a thread, see what it means, let one thread go on.
**
** One thread at a time runs code of its own. Any number may be inside calls that wait; whoever
*comes
** out of one stays stopped until it is its turn.
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

/* ---- going on */

static bool resume(RecordThread *thread, Fault *fault) {
  int signal = thread->signal;
  thread->signal = 0;
  return tracee_resume(&thread->tracee, PTRACE_SYSCALL, signal, fault);
}

/* It stands after a stop of its own code: on with it, if it is its turn. */
static bool go_on(Recorder *recorder, RecordThread *thread, Fault *fault) {
  if (recorder->runner != thread) {
    thread->stand = THREAD_READY;
    return true;
  }
  thread->stand = THREAD_RUNS;
  return resume(thread, fault);
}

/* ---- stops */

static bool on_call(Recorder *recorder, RecordThread *thread, Fault *fault) {
  if (thread->in_call) {
    return call_exit(recorder, thread, fault) && go_on(recorder, thread, fault);
  }
  if (!call_entry(recorder, thread, fault)) return false;
  if (thread->stand == THREAD_CALL && recorder->runner == thread) recorder->runner = NULL;
  return resume(thread, fault);
}

static bool on_exec(Recorder *recorder, RecordThread *thread, Fault *fault) {
  RecordProcess *process = thread->process;
  for (size_t i = 0; i < recorder->nthreads; i++) {
    if (recorder->threads[i] == thread || recorder->threads[i]->process != process) continue;
    return record_unsupported(recorder, thread, fault, "execve among threads");
  }
  thread->clear_tid = thread->robust_list = 0;
  process->has_image = false;
  return resume(thread, fault);
}

static bool on_spawn(Recorder *recorder, RecordThread *thread, Fault *fault) {
  return record_unsupported(recorder, thread, fault, "another thread or process");
}

static bool on_exit_stop(Recorder *recorder, RecordThread *thread, Fault *fault) {
  unsigned long status = 0;
  if (ptrace(PTRACE_GETEVENTMSG, thread->tracee.tid, 0, &status) != 0) status = 0;
  event_begin(recorder, thread, EVENT_EXIT);
  recorder->event.nr = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  if (!event_end(recorder, thread, fault)) return false;
  thread->stand = THREAD_ENDING;
  return resume(thread, fault);
}

static bool on_end(Recorder *recorder, RecordThread *thread, int status, Fault *fault) {
  if (thread->tracee.tid == thread->process->pid) {
    event_begin(recorder, thread, EVENT_END);
    recorder->event.ret = status;
    if (!event_end(recorder, thread, fault)) return false;
    if (thread->process->pid == recorder->first_pid) recorder->summary->status = status;
  }
  threads_drop(recorder, thread);
  return true;
}

static bool on_group_stop(RecordThread *thread, Fault *fault) {
  int signal = WSTOPSIG(thread->tracee.status);
  if (signal == SIGTRAP) return resume(thread, fault);
  return tracee_resume(&thread->tracee, PTRACE_LISTEN, 0, fault);
}

static bool on_stop(Recorder *recorder, RecordThread *thread, Fault *fault) {
  int status = thread->tracee.status;
  if (!WIFSTOPPED(status)) return on_end(recorder, thread, status, fault);
  switch (status >> 16) {
  case 0:
    if (WSTOPSIG(status) == CALL_STOP) return on_call(recorder, thread, fault);
    return signal_stop(recorder, thread, WSTOPSIG(status), fault) && go_on(recorder, thread, fault);
  case PTRACE_EVENT_EXEC:
    return on_exec(recorder, thread, fault);
  case PTRACE_EVENT_CLONE:
  case PTRACE_EVENT_FORK:
  case PTRACE_EVENT_VFORK:
    return on_spawn(recorder, thread, fault);
  case PTRACE_EVENT_EXIT:
    return on_exit_stop(recorder, thread, fault);
  case PTRACE_EVENT_STOP:
    return on_group_stop(thread, fault);
  default:
    return resume(thread, fault);
  }
}

/* A thread that was killed in the middle of things: its end will be told. */
static bool is_gone(const RecordThread *thread) {
  unsigned long word;
  return ptrace(PTRACE_GETEVENTMSG, thread->tracee.tid, 0, &word) != 0 && errno == ESRCH;
}

static bool handle(Recorder *recorder, RecordThread *thread, int status, Fault *fault) {
  Fault own = {0};
  thread->tracee.status = status;
  thread->tracee.has_regs = thread->tracee.regs_changed = false;
  do {
    thread->again = false;
    if (on_stop(recorder, thread, &own)) continue;
    if (own.code == FAULT_NOTFOUND && is_gone(thread)) return true;
    return fault_set(fault, own.code, "%s", own.text);
  } while (WIFSTOPPED(status) && thread->again);
  return true;
}

/* ---- the loop */

static bool choose(Recorder *recorder, Fault *fault) {
  for (size_t i = 0; i < recorder->nthreads; i++) {
    RecordThread *thread = recorder->threads[i];
    if (thread->stand != THREAD_READY) continue;
    recorder->runner = thread;
    thread->stand = THREAD_RUNS;
    return resume(thread, fault);
  }
  return true;
}

/* What is due from time to time. */
static bool look_around(Recorder *recorder, Fault *fault) {
  if (stop_now(recorder->stop)) {
    bool asked = stop_asked(recorder->stop);
    return fault_set(fault, asked ? FAULT_INTERRUPT : FAULT_TIMEOUT, "interrupted");
  }
  int64_t now = clock_now();
  if (now - recorder->flushed < flush_ns) return true;
  recorder->flushed = now;
  return writer_flush(recorder->writer, fault);
}

static bool loop(Recorder *recorder, Fault *fault) {
  int64_t looked = clock_now();
  while (recorder->nthreads) {
    int status;
    if (!recorder->runner && !choose(recorder, fault)) return false;
    pid_t tid = waitpid(-1, &status, __WALL);
    if (tid < 0 && errno != EINTR) {
      return fault_set(fault, FAULT_INTERNAL, "recorder: nothing to wait for: %s", strerror(errno));
    }
    RecordThread *thread = tid > 0 ? threads_find(recorder, tid) : NULL;
    if (thread && !handle(recorder, thread, status, fault)) return false;
    int64_t now = clock_now();
    if (tid > 0 && now - looked < TICK_MS * 1000000) continue;
    looked = now;
    if (!look_around(recorder, fault)) return false;
  }
  return true;
}

/* ---- beginning and end */

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
  return resume(thread, fault) && loop(recorder, fault);
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
  if (!writer_create(options->dir, &recorder.writer, fault)) return false;
  bool pinned = pin(&before);
  bool ok = tracee_ticks(TICK_MS, &own) && begin(&recorder, &own);
  finish(&recorder);
  tracee_ticks(0, NULL);
  if (pinned) sched_setaffinity(0, sizeof before, &before);
  if (!writer_flush(recorder.writer, &own)) ok = false;
  writer_size(recorder.writer, &out->events, &out->raw, &out->stored);
  bool closed = writer_close(recorder.writer, ok, &own);
  out->ns = clock_now() - began;
  return (ok && closed) || fault_set(fault, own.code, "%s", own.text);
}
