/*
** The recorder's tables of threads and processes.
*/
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/record_inner.h"

RecordProcess *process_create(int32_t pid, Stop *stop, Fault *fault) {
  RecordProcess *process = calloc(1, sizeof *process);
  if (!process) {
    fault_oom(fault);
    return NULL;
  }
  process->pid = pid;
  process->space = (Space){.pid = pid, .mem_fd = -1, .stop = stop};
  return process;
}

void process_destroy(RecordProcess *process) {
  if (!process) return;
  space_finish(&process->space);
  maps_finish(&process->maps);
  state_finish(&process->state);
  inside_finish(&process->inside);
  free(process);
}

bool threads_add(Recorder *recorder, int32_t tid, RecordProcess *process, RecordThread **out,
                 Fault *fault) {
  RecordThread *thread = calloc(1, sizeof *thread);
  if (!thread || !array_grow(recorder->threads, recorder->capacity, recorder->nthreads + 1)) {
    free(thread);
    return fault_oom(fault);
  }
  thread->tracee.tid = tid;
  thread->syscall_fd = -1;
  recorder->threads[recorder->nthreads++] = thread;
  if (process) threads_join(recorder, thread, process);
  *out = thread;
  return true;
}

void threads_join(Recorder *recorder, RecordThread *thread, RecordProcess *process) {
  thread->process = process;
  thread->tracee.space = &process->space;
  process->nthreads++;
  recorder->summary->threads++;
  if (thread->tracee.tid == process->pid) recorder->summary->processes++;
}

RecordThread *threads_find(const Recorder *recorder, int32_t tid) {
  for (size_t i = 0; i < recorder->nthreads; i++) {
    if (recorder->threads[i]->tracee.tid == tid) return recorder->threads[i];
  }
  return NULL;
}

/* The space is reached through a thread that still lives. */
static void hand_over(const Recorder *recorder, RecordProcess *process, const RecordThread *gone) {
  if (process->space.pid != gone->tracee.tid) return;
  for (size_t i = 0; i < recorder->nthreads; i++) {
    RecordThread *other = recorder->threads[i];
    if (other->process != process || other == gone || other->stand == THREAD_ENDING) continue;
    process->space.pid = other->tracee.tid;
    return;
  }
}

void threads_leave(Recorder *recorder, RecordThread *thread) {
  if (recorder->runner == thread) recorder->runner = NULL;
  hand_over(recorder, thread->process, thread);
}

void threads_drop(Recorder *recorder, RecordThread *thread) {
  RecordProcess *process = thread->process;
  if (recorder->runner == thread) recorder->runner = NULL;
  recorder->ndeferred -= thread->deferred;
  for (size_t i = 0; i < recorder->nthreads; i++) {
    if (recorder->threads[i] != thread) continue;
    recorder->threads[i] = recorder->threads[--recorder->nthreads];
    break;
  }
  if (process) {
    hand_over(recorder, process, thread);
    if (!--process->nthreads) process_destroy(process);
  }
  free(thread->path);
  free(thread->late);
  if (thread->syscall_fd >= 0) close(thread->syscall_fd);
  free(thread);
}
