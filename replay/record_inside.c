/*
** The in-process log, on the recorder's side: see inside_inner.h for what is done to a program.
**
** One memory for the whole tree, shared with the recorder, holds the code, its words and the log:
** a single thread of the tree runs at a time, so one of each is enough, and the log is in order.
** A thread that stops within what is ours is let go on to where it is outside again before anything
** else happens: nobody else ever finds it in use. What is in the log has happened before any stop
** that is told next, so it is written first.
**
** Calls are rewritten as they prove to be made again and again (inside_learn()).
**
** Who may not map our memory (another user's process after a setuid, a changed root) does without:
** the tracer then sees all of its calls, as it sees those that are not rewritten.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

#include "replay/record_inner.h"

enum { LEARN_AFTER = 4 }; /* stops of a call; rewriting it costs as much */

struct RecordInside {
  int fd;
  uint8_t *memory;
  InsideWords *words;
  uint64_t drained; /* bytes of the log that are in the recording */
  uint64_t seen;    /* head at the last tick */
};

/* ---- beginning and end */

bool inside_open(Recorder *recorder, Fault *fault) {
  struct stat proc = {0};
  RecordInside *inside = calloc(1, sizeof *inside);
  if (!inside) return fault_oom(fault);
  inside->fd = -1;
  recorder->inside = inside;
  if (!inside_share(&inside->fd, &inside->memory, fault)) return false;
  inside->words = (InsideWords *)(void *)(inside->memory + INSIDE_WORDS);
  stat("/proc", &proc);
  inside->words->mode = INSIDE_RECORD;
  inside->words->proc_dev = proc.st_dev;
  inside->words->exit = INSIDE_BASE + INSIDE_GO;
  return true;
}

void inside_close(Recorder *recorder) {
  RecordInside *inside = recorder->inside;
  if (!inside) return;
  inside_unshare(inside->fd, inside->memory);
  free(inside);
  recorder->inside = NULL;
}

/* ---- into a program */

static bool hold_signals(const RecordThread *thread, uint64_t *mask, bool hold) {
  uint64_t all = ~(uint64_t)0;
  const pid_t tid = thread->tracee.tid;
  if (hold && ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof *mask, mask) != 0) return false;
  return ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof *mask, hold ? &all : mask) == 0;
}

static InsideSpace space_of(RecordThread *thread) {
  RecordProcess *process = thread->process;
  return (InsideSpace){&thread->tracee, &process->maps, &process->state, &process->inside};
}

bool inside_begin(Recorder *recorder, RecordThread *thread, Fault *fault) {
  uint64_t mask;
  if (!recorder->inside || !hold_signals(thread, &mask, true)) return true;
  const bool ok =
      inside_map(&thread->tracee, recorder->inside->fd, &thread->process->has_inside, fault);
  hold_signals(thread, &mask, false);
  return ok;
}

static bool install(Recorder *recorder, RecordThread *thread, const MapRange *range, uint64_t at,
                    Fault *fault) {
  InsideFile *file;
  InsideSite site;
  uint64_t mask;
  const InsideSpace space = space_of(thread);
  if (!file_calls(recorder, range->file - 1, &file, fault) ||
      !inside_file_site(file, at - range->start + range->offset, &site, fault)) {
    return false;
  }
  if (!site.size || !hold_signals(thread, &mask, true)) return true;
  const bool alone = thread->process->nthreads == 1;
  const bool ok = inside_install(&space, range, at, &site, alone, fault);
  hold_signals(thread, &mask, false);
  return ok;
}

bool inside_learn(Recorder *recorder, RecordThread *thread, Fault *fault) {
  RecordProcess *process = thread->process;
  const CallInfo *info = call_info(thread->nr);
  bool due;
  if (!process->has_inside || !info || info->class != CALL_ANSWER) return true;
  if (!tracee_regs(&thread->tracee, fault)) return false;
  const uint64_t at = thread->tracee.regs.rip - SYSCALL_BYTES;
  const MapRange *range = maps_find(&process->maps, at);
  if (!range || !range->file || !(range->prot & PROT_EXEC) || range->flags & MAP_SHARED) {
    return true;
  }
  return inside_see(&process->inside, at, LEARN_AFTER, &due, fault) &&
         (!due || install(recorder, thread, range, at, fault));
}

bool inside_moves(RecordThread *thread, uint64_t start, uint64_t end, Fault *fault) {
  const InsideSpace space = space_of(thread);
  return !thread->process->has_inside || inside_restore(&space, start, end, fault);
}

/* ---- running */

void inside_run(Recorder *recorder, RecordThread *thread) {
  RecordInside *inside = recorder->inside;
  if (!inside || !thread->process || !thread->process->has_inside) return;
  InsideWords *words = inside->words;
  if (words->head == inside->drained) words->head = inside->drained = inside->seen = 0;
  words->pid = thread->process->pid;
  words->tid = thread->tracee.tid;
  words->shared = recorder->nshared > 0;
  words->now = (uint64_t)clock_now();
  words->room = event_until_hash(recorder);
  words->exit = INSIDE_BASE + (signal_is_late(thread) ? INSIDE_LEFT : INSIDE_GO);
  memset(words->fds, FD_UNKNOWN, sizeof words->fds);
}

bool inside_drain(Recorder *recorder, Fault *fault) {
  RecordInside *inside = recorder->inside;
  if (!inside || inside->words->head == inside->drained) return true;
  const uint64_t from = inside->drained, to = inside->words->head;
  if (to < from || to > INSIDE_LOG_SIZE) {
    return fault_set(fault, FAULT_CORRUPT, "process %d: it has written over the recorder's log",
                     (int)inside->words->pid);
  }
  RecordThread *thread = threads_find(recorder, inside->words->tid);
  uint64_t count = 0;
  if (thread) thread->has_place = false;
  inside->drained = to;
  if (!writer_add_raw(recorder->writer, inside->memory + INSIDE_LOG + from, (size_t)(to - from),
                      &count, fault)) {
    return false;
  }
  recorder->since_hash += count;
  recorder->summary->inside += count;
  return true;
}

bool inside_ask(Recorder *recorder, const RecordThread *thread) {
  RecordInside *inside = recorder->inside;
  if (!inside || !thread->process->has_inside) return false;
  const bool calls = inside->words->head != inside->seen;
  inside->words->exit = INSIDE_BASE + INSIDE_LEFT;
  inside->seen = inside->words->head;
  return calls;
}

/* A hash that is due wants a stop; when it comes to nothing, the next tick wants it again. */
void inside_tick(Recorder *recorder) {
  if (!recorder->inside) return;
  recorder->inside->words->now = (uint64_t)clock_now();
  if (event_hash_is_due(recorder)) recorder->inside->words->room = 0;
}

/* ---- stops */

bool inside_call(Recorder *recorder, RecordThread *thread, uint64_t ip, bool *out_left,
                 Fault *fault) {
  RecordProcess *process = thread->process;
  *out_left = false;
  if (!process->has_inside) return true;
  const bool left = ip == INSIDE_BASE + INSIDE_LEFT_END;
  const InsidePatch *patch =
      inside_of_thunk(&process->inside, left ? recorder->inside->words->back : ip);
  if (!patch) return true;
  if (!tracee_regs(&thread->tracee, fault)) return false;
  inside_behind(&thread->tracee, patch);
  if (!left) return true;
  thread->tracee.regs.rax = recorder->inside->words->rax;
  thread->tracee.regs.orig_rax = (unsigned long long)-1;
  *out_left = true;
  event_place_called(thread);
  if (thread->holds) ptrace(PTRACE_INTERRUPT, thread->tracee.tid, 0, 0);
  thread->holds = false;
  signal_send_late(thread);
  return true;
}

/* A fault of the code that all share: it looked at memory of the program's that is not there. The
** kernel has not been asked yet, and will say so itself. */
static bool abandon(Recorder *recorder, RecordThread *thread, Fault *fault) {
  struct user_regs_struct *regs = &thread->tracee.regs;
  if (recorder->inside->words->made || regs->rip - INSIDE_BASE >= INSIDE_CODE_SIZE) {
    return fault_set(fault, FAULT_INTERNAL, "thread %d: a fault at 0x%llx in the recorder's code",
                     (int)thread->tracee.tid, (unsigned long long)regs->rip);
  }
  regs->rip = INSIDE_BASE + INSIDE_ABANDON;
  thread->tracee.regs_changed = true;
  return true;
}

bool inside_stop(Recorder *recorder, RecordThread *thread, int signal, bool group, bool *out_done,
                 Fault *fault) {
  const InsidePatch *patch;
  *out_done = false;
  if (!thread->process || !thread->process->has_inside) return true;
  if (!tracee_regs(&thread->tracee, fault)) return false;
  const struct user_regs_struct *regs = &thread->tracee.regs;
  switch (inside_where(&thread->process->inside, regs->rip, regs->rcx, &patch)) {
  case INSIDE_NOT:
    return true;
  case INSIDE_BEHIND:
    inside_behind(&thread->tracee, patch);
    event_place_called(thread);
    return true;
  case INSIDE_WITHIN:
    break;
  }
  *out_done = true;
  if (group) {
    thread->holds |= signal != SIGTRAP;
    thread->interrupted = false;
  } else {
    siginfo_t info;
    if (ptrace(PTRACE_GETSIGINFO, thread->tracee.tid, 0, &info) != 0) {
      return fault_set(fault, errno == ESRCH ? FAULT_NOTFOUND : FAULT_IO,
                       "thread %d: its signal cannot be read: %s", (int)thread->tracee.tid,
                       strerror(errno));
    }
    const bool own = signal_is_fault(signal, &info);
    if (own ? !abandon(recorder, thread, fault) : !signal_keep(thread, signal, &info, fault)) {
      return false;
    }
  }
  inside_ask(recorder, thread);
  return tracee_resume(&thread->tracee, PTRACE_CONT, 0, fault);
}
