/*
** omni_processes and omni_threads: who lived in the run, from when to when.
**
** Both are made by one pass over all events at the first row: they are as long as the run has
** processes and threads.
*/
#define _GNU_SOURCE /* CLONE_THREAD */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/array.h"
#include "extensions/omni/scan.h"

typedef struct Thread {
  int32_t pid, tid;
  uint64_t start_ev, start_time, end_ev, end_time; /* end_ev 0: it outlived the recording */
  int64_t exit_code;
  sqlite3_int64 events, calls, preempted;
} Thread;

typedef struct Process {
  int32_t pid, parent; /* parent 0: the first */
  uint64_t start_ev, start_time, end_ev, end_time;
  int status;
  const char *program;
  sqlite3_int64 images, threads, events;
} Process;

typedef struct PeopleCursor {
  OmniCursor base;
  Thread *threads;
  size_t nthreads, thread_capacity;
  Process *processes;
  size_t nprocesses, process_capacity;
  Map thread_by, process_by; /* (pid, tid), pid -> the latest of that number */
  size_t at;
} PeopleCursor;

/* ---- the pass -------------------------------------------------------------------------------- */

static Process *process_add(PeopleCursor *cur, const Event *event, int32_t pid, int32_t parent) {
  int64_t *index = map_put(&cur->process_by, &pid, sizeof pid, 0, NULL);
  if (!index || !array_grow(cur->processes, cur->process_capacity, cur->nprocesses + 1)) {
    return NULL;
  }
  *index = (int64_t)cur->nprocesses;
  Process *process = &cur->processes[cur->nprocesses++];
  *process =
      (Process){.pid = pid, .parent = parent, .start_ev = event->ev, .start_time = event->time};
  return process;
}

static Process *process_get(PeopleCursor *cur, const Event *event, int32_t pid) {
  const int64_t *index = map_get(&cur->process_by, &pid, sizeof pid);
  return index ? &cur->processes[*index] : process_add(cur, event, pid, 0);
}

static Thread *thread_add(PeopleCursor *cur, const Event *event, int32_t pid, int32_t tid) {
  int32_t key[2] = {pid, tid};
  Process *process = process_get(cur, event, pid);
  int64_t *index = process ? map_put(&cur->thread_by, key, sizeof key, 0, NULL) : NULL;
  if (!index || !array_grow(cur->threads, cur->thread_capacity, cur->nthreads + 1)) return NULL;
  process->threads++;
  *index = (int64_t)cur->nthreads;
  Thread *thread = &cur->threads[cur->nthreads++];
  *thread = (Thread){.pid = pid, .tid = tid, .start_ev = event->ev, .start_time = event->time};
  return thread;
}

static Thread *thread_get(PeopleCursor *cur, const Event *event) {
  int32_t key[2] = {event->pid, event->tid};
  const int64_t *index = map_get(&cur->thread_by, key, sizeof key);
  return index ? &cur->threads[*index] : thread_add(cur, event, event->pid, event->tid);
}

static bool meet_child(PeopleCursor *cur, const Event *event) {
  bool forks = event->nr == SYS_fork || event->nr == SYS_vfork;
  if ((!forks && event->nr != SYS_clone) || event->ret <= 0) return true;
  int32_t tid = (int32_t)event->ret;
  if (!forks && event->args[0] & CLONE_THREAD) {
    return thread_add(cur, event, event->pid, tid) != NULL;
  }
  int32_t parent = event->pid;
  if (!forks && event->args[0] & CLONE_PARENT) {
    const Process *process = process_get(cur, event, event->pid);
    parent = process ? process->parent : 0;
  }
  return process_add(cur, event, tid, parent) && thread_add(cur, event, tid, tid);
}

static bool meet_image(PeopleCursor *cur, const Event *event) {
  int at = 0;
  Process *process = process_get(cur, event, event->pid);
  const Chunk *path = omni_chunk(event, CHUNK_PATH, &at);
  /* The first program was not started by a call of the run. */
  const char *first = recording_meta(cur->base.source->recording, "program");
  if (!process) return false;
  bool is_first = process->images++ == 0 && cur->nprocesses == 1;
  if (!path && !(is_first && first)) return true;
  process->program =
      path ? arena_strndup(&cur->base.base.arena, (const char *)path->bytes, path->size)
           : arena_strdup(&cur->base.base.arena, first);
  return process->program != NULL;
}

static bool meet(PeopleCursor *cur, const Event *event) {
  if (event->kind == EVENT_META || event->kind == EVENT_FILE || event->kind == EVENT_NOTE) {
    return true; /* the recorder's */
  }
  if (event->kind == EVENT_END) {
    Process *process = process_get(cur, event, event->pid);
    if (!process) return false;
    process->events++;
    process->end_ev = event->ev;
    process->end_time = event->time;
    process->status = (int)event->ret;
    return true;
  }
  Thread *thread = thread_get(cur, event);
  if (!thread) return false;
  thread->events++;
  thread->calls += event->kind == EVENT_SYSCALL;
  thread->preempted += event->kind == EVENT_SWITCH;
  if (event->kind == EVENT_EXIT) {
    thread->end_ev = event->ev;
    thread->end_time = event->time;
    thread->exit_code = event->nr;
  }
  Process *process = process_get(cur, event, event->pid);
  if (process) process->events++;
  if (event->kind == EVENT_IMAGE) return meet_image(cur, event);
  return event->kind != EVENT_SYSCALL || meet_child(cur, event);
}

static int people_seek(VtCursor *base, const VtPlan *plan) {
  PeopleCursor *cur = (PeopleCursor *)base;
  int rc = omni_scan_open(&cur->base, plan, base->tab->desc->ncols - 1);
  if (rc == SQLITE_OK) rc = omni_scan_from(&cur->base, 0);
  const Event *event = NULL;
  while (rc == SQLITE_OK && (rc = omni_scan_next(&cur->base, &event)) == SQLITE_OK && event) {
    if (!meet(cur, event)) rc = SQLITE_NOMEM;
  }
  cur->at = 0;
  base->eof = base->tab->desc == &omni_threads_table ? !cur->nthreads : !cur->nprocesses;
  return rc;
}

static int people_step(VtCursor *base) {
  PeopleCursor *cur = (PeopleCursor *)base;
  size_t count = base->tab->desc == &omni_threads_table ? cur->nthreads : cur->nprocesses;
  base->eof = ++cur->at >= count;
  return SQLITE_OK;
}

static void people_done(VtCursor *base) {
  PeopleCursor *cur = (PeopleCursor *)base;
  free(cur->threads);
  free(cur->processes);
  map_finish(&cur->thread_by);
  map_finish(&cur->process_by);
  cur->threads = NULL;
  cur->processes = NULL;
  cur->thread_by = cur->process_by = (Map){0};
  cur->nthreads = cur->thread_capacity = cur->nprocesses = cur->process_capacity = 0;
}

/* ---- omni_threads ---------------------------------------------------------------------------- */

enum {
  THREAD_PID,
  THREAD_TID,
  THREAD_EV,
  THREAD_TIME,
  THREAD_END_EV,
  THREAD_END_TIME,
  THREAD_EXIT,
  THREAD_EVENTS,
  THREAD_CALLS,
  THREAD_PREEMPTED,
  THREAD_TRACE,
  THREAD_NCOL
};

static const VtColumn thread_columns[] = {
    [THREAD_PID] = {"pid", "INTEGER", VT_OUT, 0, "its process"},
    [THREAD_TID] = {"tid", "INTEGER", VT_OUT, 0, "its number"},
    [THREAD_EV] = {"ev", "INTEGER", VT_OUT, 0, "event that made it"},
    [THREAD_TIME] = {"time", "INTEGER", VT_OUT, 0, "when: ns since the recording began"},
    [THREAD_END_EV] = {"end_ev", "INTEGER", VT_OUT, 0,
                       "its last event; NULL: it outlived the recording"},
    [THREAD_END_TIME] = {"end_time", "INTEGER", VT_OUT, 0, "when"},
    [THREAD_EXIT] = {"exit", "INTEGER", VT_OUT, 0, "its exit code"},
    [THREAD_EVENTS] = {"events", "INTEGER", VT_OUT, 0, "how many events it has"},
    [THREAD_CALLS] = {"calls", "INTEGER", VT_OUT, 0, "how many of them are system calls"},
    [THREAD_PREEMPTED] = {"preempted", "INTEGER", VT_OUT, 0,
                          "how often it was made to give way between two calls"},
    [THREAD_TRACE] = OMNI_COLUMN_TRACE,
};

static void result_unless_zero(sqlite3_context *ctx, bool there, uint64_t value) {
  if (there) sqlite3_result_int64(ctx, (sqlite3_int64)value);
}

static int thread_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const PeopleCursor *cur = (const PeopleCursor *)base;
  const Thread *thread = &cur->threads[cur->at];
  const sqlite3_int64 values[] = {
      [THREAD_PID] = thread->pid,
      [THREAD_TID] = thread->tid,
      [THREAD_EV] = (sqlite3_int64)thread->start_ev,
      [THREAD_TIME] = (sqlite3_int64)thread->start_time,
      [THREAD_END_EV] = (sqlite3_int64)thread->end_ev,
      [THREAD_END_TIME] = (sqlite3_int64)thread->end_time,
      [THREAD_EXIT] = thread->exit_code,
      [THREAD_EVENTS] = thread->events,
      [THREAD_CALLS] = thread->calls,
      [THREAD_PREEMPTED] = thread->preempted,
  };
  bool of_end = col == THREAD_END_EV || col == THREAD_END_TIME || col == THREAD_EXIT;
  result_unless_zero(ctx, !of_end || thread->end_ev, (uint64_t)values[col]);
  return SQLITE_OK;
}

const VtTable omni_threads_table = {
    .name = "omni_threads",
    .doc = "Threads of all processes of the run.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = thread_columns,
    .ncols = THREAD_NCOL,
    .rows = 10,
    .seek_cost = 1e5,
    .cursor_size = sizeof(PeopleCursor),
    .seek = people_seek,
    .step = people_step,
    .column = thread_column,
    .done = people_done,
    .close = omni_scan_close,
};

/* ---- omni_processes -------------------------------------------------------------------------- */

enum {
  PROCESS_PID,
  PROCESS_PARENT,
  PROCESS_PROGRAM,
  PROCESS_IMAGES,
  PROCESS_EV,
  PROCESS_TIME,
  PROCESS_END_EV,
  PROCESS_END_TIME,
  PROCESS_EXIT,
  PROCESS_SIGNAL,
  PROCESS_THREADS,
  PROCESS_EVENTS,
  PROCESS_TRACE,
  PROCESS_NCOL
};

static const VtColumn process_columns[] = {
    [PROCESS_PID] = {"pid", "INTEGER", VT_OUT, 0, "its number"},
    [PROCESS_PARENT] = {"parent", "INTEGER", VT_OUT, 0, "process that made it; NULL: the first"},
    [PROCESS_PROGRAM] = {"program", "TEXT", VT_OUT, 0,
                         "path of the program it ran last; NULL: its parent's"},
    [PROCESS_IMAGES] = {"images", "INTEGER", VT_OUT, 0, "how many programs it ran (execve)"},
    [PROCESS_EV] = {"ev", "INTEGER", VT_OUT, 0, "event that made it"},
    [PROCESS_TIME] = {"time", "INTEGER", VT_OUT, 0, "when: ns since the recording began"},
    [PROCESS_END_EV] = {"end_ev", "INTEGER", VT_OUT, 0,
                        "event of its end; NULL: it outlived the recording"},
    [PROCESS_END_TIME] = {"end_time", "INTEGER", VT_OUT, 0, "when"},
    [PROCESS_EXIT] = {"exit", "INTEGER", VT_OUT, 0, "exit status, or NULL"},
    [PROCESS_SIGNAL] = {"signal", "TEXT", VT_OUT, 0, "the signal that ended it, or NULL"},
    [PROCESS_THREADS] = {"threads", "INTEGER", VT_OUT, 0, "how many threads it had"},
    [PROCESS_EVENTS] = {"events", "INTEGER", VT_OUT, 0, "how many events it has"},
    [PROCESS_TRACE] = OMNI_COLUMN_TRACE,
};

static void end_column(sqlite3_context *ctx, const Process *process, int col) {
  char name[SIGNAL_NAME];
  if (!process->end_ev) return;
  if (col == PROCESS_EXIT && WIFEXITED(process->status)) {
    sqlite3_result_int(ctx, WEXITSTATUS(process->status));
  } else if (col == PROCESS_SIGNAL && WIFSIGNALED(process->status) &&
             omni_signal_name(WTERMSIG(process->status), name)) {
    sqlite3_result_text(ctx, name, -1, SQLITE_TRANSIENT);
  }
}

static int process_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const PeopleCursor *cur = (const PeopleCursor *)base;
  const Process *process = &cur->processes[cur->at];
  const sqlite3_int64 values[PROCESS_NCOL] = {
      [PROCESS_PID] = process->pid,
      [PROCESS_PARENT] = process->parent,
      [PROCESS_IMAGES] = process->images,
      [PROCESS_EV] = (sqlite3_int64)process->start_ev,
      [PROCESS_TIME] = (sqlite3_int64)process->start_time,
      [PROCESS_END_EV] = (sqlite3_int64)process->end_ev,
      [PROCESS_END_TIME] = (sqlite3_int64)process->end_time,
      [PROCESS_THREADS] = process->threads,
      [PROCESS_EVENTS] = process->events,
  };
  bool there = true;
  switch (col) {
  case PROCESS_PROGRAM:
    if (process->program) sqlite3_result_text(ctx, process->program, -1, SQLITE_TRANSIENT);
    return SQLITE_OK;
  case PROCESS_EXIT:
  case PROCESS_SIGNAL:
    end_column(ctx, process, col);
    return SQLITE_OK;
  case PROCESS_END_EV:
  case PROCESS_END_TIME:
    there = process->end_ev > 0;
    break;
  case PROCESS_PARENT:
    there = process->parent > 0;
    break;
  default:
    break;
  }
  result_unless_zero(ctx, there, (uint64_t)values[col]);
  return SQLITE_OK;
}

const VtTable omni_processes_table = {
    .name = "omni_processes",
    .doc = "Processes of the run, the first one and all that came from it.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = process_columns,
    .ncols = PROCESS_NCOL,
    .rows = 3,
    .seek_cost = 1e5,
    .cursor_size = sizeof(PeopleCursor),
    .seek = people_seek,
    .step = people_step,
    .column = process_column,
    .done = people_done,
    .close = omni_scan_close,
};
