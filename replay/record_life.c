/*
** How threads and processes come to be, become another program, and end.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay/record_inner.h"

/* ---- births */

static bool event_message(const RecordThread *thread, unsigned long *out, Fault *fault) {
  pid_t tid = thread->tracee.tid;
  return ptrace(PTRACE_GETEVENTMSG, tid, 0, out) == 0 ||
         fault_set(fault, errno == ESRCH ? FAULT_NOTFOUND : FAULT_IO,
                   "thread %d: its event cannot be read: %s", (int)tid, strerror(errno));
}

static bool is_thread(const RecordThread *maker) {
  return maker->nr == SYS_clone && maker->args[0] & CLONE_THREAD;
}

static bool make_process(Recorder *recorder, const RecordThread *maker, RecordThread *child,
                         Fault *fault) {
  const RecordProcess *from = maker->process;
  RecordProcess *process = process_create(child->tracee.tid, recorder->stop, fault);
  if (!process) return false;
  process->space.call_site = from->space.call_site;
  process->has_image = from->has_image;
  process->has_inside = from->has_inside;
  if (!maps_copy(&from->maps, &process->maps, fault) ||
      !inside_copy(&from->inside, &process->inside, fault)) {
    process_destroy(process);
    return false;
  }
  threads_join(recorder, child, process);
  return true;
}

/* Its first stop is awaited here: what the kernel writes for it is then written. */
static bool await_child(RecordThread *child, Fault *fault) {
  return child->stopped || tracee_wait(&child->tracee, fault);
}

bool life_spawn(Recorder *recorder, RecordThread *thread, Fault *fault) {
  unsigned long tid;
  if (!event_message(thread, &tid, fault)) return false;
  RecordThread *child = threads_find(recorder, (int32_t)tid);
  if (!child && !threads_add(recorder, (int32_t)tid, NULL, &child, fault)) return false;
  child->stand = THREAD_NEW;
  if (is_thread(thread))
    threads_join(recorder, child, thread->process);
  else if (!make_process(recorder, thread, child, fault))
    return false;
  if (!await_child(child, fault)) return false;
  child->stopped = true;
  thread->child = child->tracee.tid;
  if (thread->nr == SYS_clone && thread->args[0] & CLONE_CHILD_CLEARTID) {
    child->clear_tid = thread->args[3];
  }
  if (!WIFSTOPPED(child->tracee.status)) { /* killed before it began */
    threads_drop(recorder, child);
    thread->child = 0;
    return thread_resume(recorder, thread, fault);
  }
  if (!tracee_regs(&child->tracee, fault)) return false;
  event_place_called(child);
  if (thread->rewritten && thread->nr == SYS_clone) {
    child->tracee.regs.rdi = thread->saved.rdi;
    child->tracee.regs_changed = true;
    event_place_called(child);
  }
  return thread_resume(recorder, thread, fault);
}

void life_announce(Recorder *recorder, RecordThread *thread) {
  RecordThread *child = thread->child ? threads_find(recorder, thread->child) : NULL;
  thread->child = 0;
  if (child && child->stand == THREAD_NEW) child->stand = THREAD_READY;
}

/* ---- another program */

/* The thread that called takes the place and the number of the first one, which is gone without a
** word; the others have ended before. */
static bool take_place(Recorder *recorder, RecordThread *first, RecordThread **out, Fault *fault) {
  unsigned long former;
  if (!event_message(first, &former, fault)) return false;
  first->tracee.has_regs = first->tracee.regs_changed = false;
  *out = first;
  if ((int32_t)former == first->tracee.tid) return true;
  RecordThread *caller = threads_find(recorder, (int32_t)former);
  if (!caller) return fault_set(fault, FAULT_INTERNAL, "thread %lu: unknown, but execs", former);
  int32_t tid = first->tracee.tid, status = first->tracee.status;
  threads_drop(recorder, first);
  caller->former = (int32_t)former;
  caller->tracee.tid = tid;
  caller->tracee.status = status;
  caller->process->space.pid = tid;
  if (caller->syscall_fd >= 0) close(caller->syscall_fd);
  caller->syscall_fd = -1;
  *out = caller;
  return true;
}

bool life_exec(Recorder *recorder, RecordThread *first, Fault *fault) {
  RecordThread *thread;
  if (!take_place(recorder, first, &thread, fault)) return false;
  thread->clear_tid = thread->robust_list = 0;
  thread->process->has_image = false;
  thread->stand = recorder->runner == thread ? THREAD_RUNS : THREAD_CALL;
  return thread_resume(recorder, thread, fault);
}

/* ---- ends */

static size_t count_living(const Recorder *recorder, const RecordProcess *process) {
  size_t n = 0;
  for (size_t i = 0; i < recorder->nthreads; i++) {
    const RecordThread *thread = recorder->threads[i];
    n += thread->process == process && thread->stand != THREAD_ENDING;
  }
  return n;
}

enum { ROBUST_MOST = 256 };

typedef struct Cleared {
  uint64_t at[ROBUST_MOST + 2];
  uint32_t before[ROBUST_MOST + 2];
  size_t count;
} Cleared;

static void add_word(const RecordThread *thread, Cleared *cleared, uint64_t at) {
  size_t got;
  if (!at || cleared->count == ROBUST_MOST + 2) return;
  space_peek(&thread->process->space, (RemoteAddr){at}, &cleared->before[cleared->count], 4, &got);
  if (got == 4) cleared->at[cleared->count++] = at;
}

/* Words the kernel may write when the thread ends: its number, and the locks it holds. */
static void find_words(const RecordThread *thread, Cleared *out) {
  uint64_t head[3], entry, at = thread->robust_list; /* first, offset of the word, pending */
  size_t got;
  out->count = 0;
  add_word(thread, out, thread->clear_tid);
  if (!at) return;
  space_peek(&thread->process->space, (RemoteAddr){at}, head, sizeof head, &got);
  if (got != sizeof head) return;
  add_word(thread, out, head[2] ? (head[2] & ~(uint64_t)1) + head[1] : 0);
  for (entry = head[0] & ~(uint64_t)1; entry && entry != at && out->count < ROBUST_MOST;) {
    add_word(thread, out, entry + head[1]);
    space_peek(&thread->process->space, (RemoteAddr){entry}, &entry, sizeof entry, &got);
    if (got != sizeof entry) return;
    entry &= ~(uint64_t)1;
  }
}

static bool is_zombie(int32_t tid) {
  char path[64], line[512];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)tid);
  FILE *file = fopen(path, "re");
  bool gone = !file || !fgets(line, sizeof line, file);
  if (file) fclose(file);
  const char *name_end = gone ? NULL : strrchr(line, ')');
  return !name_end || strchr("ZXx", name_end[2]);
}

/* Until the kernel has done with the thread's memory. The first thread of a process stays a zombie
** as long as there are others. */
static bool await_end(RecordThread *thread, Fault *fault) {
  if (thread->tracee.tid != thread->process->pid) return tracee_wait(&thread->tracee, fault);
  while (!is_zombie(thread->tracee.tid)) {
    if (stop_now(thread->process->space.stop)) {
      return fault_set(fault, FAULT_INTERRUPT, "interrupted");
    }
    sched_yield();
  }
  return true;
}

static bool tell_exit(Recorder *recorder, RecordThread *thread, int code, const Cleared *cleared,
                      Fault *fault) {
  thread->told_exit = true;
  event_begin(recorder, thread, EVENT_EXIT);
  recorder->event.nr = code;
  for (size_t i = 0; cleared && i < cleared->count; i++) {
    uint32_t now;
    size_t got;
    space_peek(&thread->process->space, (RemoteAddr){cleared->at[i]}, &now, sizeof now, &got);
    if (got != sizeof now || now == cleared->before[i]) continue;
    if (!event_bytes(recorder, CHUNK_OUT, cleared->at[i], &now, sizeof now, fault)) return false;
  }
  return event_end(recorder, thread, fault);
}

/* One thread of several ends: what it leaves in memory is seen by the others. */
static bool exit_alone(Recorder *recorder, RecordThread *thread, int code, Fault *fault) {
  Cleared cleared;
  find_words(thread, &cleared);
  thread->stand = THREAD_ENDING;
  if (!thread_resume(recorder, thread, fault) || !await_end(thread, fault)) return false;
  bool reaped = thread->tracee.tid != thread->process->pid;
  threads_leave(recorder, thread);
  if (!tell_exit(recorder, thread, code, &cleared, fault)) return false;
  if (reaped) threads_drop(recorder, thread);
  return true;
}

bool life_exit(Recorder *recorder, RecordThread *thread, Fault *fault) {
  unsigned long status;
  if (!event_message(thread, &status, fault)) return false;
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  if (thread->stand == THREAD_NEW) thread->told_exit = true; /* nobody knows of it yet */
  if (thread->child && !call_record(recorder, thread, thread->child, fault)) return false;
  life_announce(recorder, thread);
  bool alone = thread->in_call && thread->nr == SYS_exit;
  if (alone && !thread->told_exit && count_living(recorder, thread->process) > 1) {
    return exit_alone(recorder, thread, code, fault);
  }
  if (!thread->told_exit && !tell_exit(recorder, thread, code, NULL, fault)) return false;
  thread->stand = THREAD_ENDING;
  threads_leave(recorder, thread);
  return thread_resume(recorder, thread, fault);
}

bool life_end(Recorder *recorder, RecordThread *thread, int status, Fault *fault) {
  RecordProcess *process = thread->process;
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  if (process && !thread->told_exit && thread->stand != THREAD_NEW &&
      !tell_exit(recorder, thread, code, NULL, fault)) {
    return false;
  }
  if (process && thread->tracee.tid == process->pid) {
    event_begin(recorder, thread, EVENT_END);
    recorder->event.ret = status;
    if (!event_end(recorder, thread, fault)) return false;
    if (process->pid == recorder->first_pid) recorder->summary->status = status;
  }
  threads_drop(recorder, thread);
  return true;
}
