/*
** A replay with watched memory: see watching.h.
*/
#define _GNU_SOURCE /* CLONE_THREAD */
#include "extensions/omni/watching.h"

#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/array.h"

/* The processes whose memory is watched. */
typedef struct Processes {
  int32_t *pids;
  size_t count, capacity;
} Processes;

static bool is_in(const Processes *processes, int32_t pid) {
  for (size_t i = 0; i < processes->count; i++) {
    if (processes->pids[i] == pid) return true;
  }
  return false;
}

static bool put_in(Processes *processes, int32_t pid, Fault *fault) {
  if (!array_grow(processes->pids, processes->capacity, processes->count + 1)) {
    return fault_oom(fault);
  }
  processes->pids[processes->count++] = pid;
  return true;
}

static void take_out(Processes *processes, int32_t pid) {
  size_t kept = 0;
  for (size_t i = 0; i < processes->count; i++) {
    if (processes->pids[i] != pid) processes->pids[kept++] = processes->pids[i];
  }
  processes->count = kept;
}

/* What is watched is there: all of it can be written, and, of a global, its file is the one that is
** mapped where its code should be. */
static bool is_mapped(const Watching *watching, const MapList *maps) {
  const Global *what = &watching->what;
  const uint64_t end = what->addr + what->size;
  for (uint64_t at = what->addr; at < end;) {
    const MapRange *range = maps_find(maps, at);
    if (!range || !(range->prot & PROT_WRITE)) return false;
    at = range->end;
  }
  if (!what->file) return true;
  for (size_t i = 0; i < maps->count; i++) {
    const MapRange *range = &maps->ranges[i];
    if (range->file == what->file->file + 1 && (range->prot & PROT_EXEC) &&
        range->start - range->offset == what->file->base) {
      return true;
    }
  }
  return false;
}

static bool run(Watching *watching, uint64_t until, Fault *fault) {
  PlayEnd end;
  do {
    if (!player_run(watching->player, until, &end, fault)) return false;
    if (end.kind == PLAY_LIMIT) {
      return fault_set(fault, FAULT_LIMIT,
                       "the instructions that write there run too often to count their moments; "
                       "leave out the column moment, or say ev < N");
    }
    if (end.kind == PLAY_WRITE &&
        !watching->written(watching->ctx, player_write(watching->player), fault)) {
      return false;
    }
  } while (end.kind == PLAY_WRITE);
  return true;
}

/* Something was mapped by the event's process. */
static bool arm(Watching *watching, Processes *processes, const Event *event, Fault *fault) {
  Fault gone = {0};
  PlayView view;
  int watch;
  if (is_in(processes, event->pid)) return true;
  if (!run(watching, event->ev, fault)) return false;
  if (!player_view(watching->player, event->tid, &view, &gone)) return true;
  if (!is_mapped(watching, view.maps)) return true;
  return put_in(processes, event->pid, fault) &&
         player_watch(watching->player, &view, watching->what.addr, watching->what.size, &watch,
                      fault);
}

static bool maps_memory(const Event *event) {
  return event->ret >= 0 && (event->nr == SYS_mmap || event->nr == SYS_brk ||
                             event->nr == SYS_mprotect || event->nr == SYS_mremap);
}

/* A child's memory is watched as its parent's. */
static bool follow_fork(Processes *processes, const Event *event, Fault *fault) {
  const bool forks = event->nr == SYS_fork || event->nr == SYS_vfork ||
                     (event->nr == SYS_clone && !(event->args[0] & CLONE_THREAD));
  if (!forks || event->ret <= 0 || !is_in(processes, event->pid)) return true;
  return put_in(processes, (int32_t)event->ret, fault);
}

static bool follow(Watching *watching, Processes *processes, const Event *event, Fault *fault) {
  switch (event->kind) {
  case EVENT_IMAGE:
    take_out(processes, event->pid);
    return arm(watching, processes, event, fault);
  case EVENT_END:
    take_out(processes, event->pid);
    return true;
  case EVENT_SYSCALL:
    return follow_fork(processes, event, fault) &&
           (!maps_memory(event) || arm(watching, processes, event, fault));
  default:
    return true;
  }
}

bool watching_run(Watching *watching, Fault *fault) {
  Processes processes = {0};
  TraceCursor *cursor;
  const Event *event;
  bool ok;
  if (!trace_open(watching->recording, &cursor, fault)) return false;
  while ((ok = trace_next(cursor, &event, fault)) && event && event->ev < watching->last) {
    if (!(ok = follow(watching, &processes, event, fault))) break;
  }
  trace_close(cursor);
  free(processes.pids);
  return ok && run(watching, watching->last, fault);
}
