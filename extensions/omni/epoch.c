/*
** Where the second half begins: see epoch.h. A guess at how long playing takes, out of the times at
** which events happened; how good it is decides how much is gained, and nothing else.
*/
#define _GNU_SOURCE /* CLONE_THREAD */
#include "extensions/omni/epoch.h"

#include <sched.h>
#include <sys/syscall.h>

#include "replay/syscalls.h"

static const uint64_t event_ns = 10000;     /* a stop */
static const uint64_t waiting_ns = 1000000; /* of a call that may have waited, at most */

typedef struct Walk {
  TraceCursor *cursor;
  uint64_t last, time, work;
  int processes;
} Walk;

/* There is no memory to look at, so it errs on the side of yes. */
static size_t read_nothing(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx, (void)addr, (void)out, (void)size;
  return 0;
}

/* Writing could wait as well, but what is written was mostly computed. */
static bool writes(int64_t nr) {
  return nr == SYS_write || nr == SYS_writev || nr == SYS_pwrite64 || nr == SYS_sendto ||
         nr == SYS_sendmsg;
}

static bool waits(const Event *event) {
  return event->kind == EVENT_SYSCALL && !writes(event->nr) &&
         call_may_block(event->nr, event->args, read_nothing, NULL);
}

static bool forks(const Event *event) {
  if (event->kind != EVENT_SYSCALL || event->ret <= 0) return false;
  const CallInfo *info = call_info(event->nr);
  bool thread = event->nr == SYS_clone && event->args[0] & CLONE_THREAD;
  return info && info->class == CALL_SPAWN && !thread;
}

/* *out is NULL behind the last one. */
static bool step(Walk *walk, const Event **out, Fault *fault) {
  if (!trace_next(walk->cursor, out, fault)) return false;
  const Event *event = *out;
  if (event && event->ev >= walk->last) *out = event = NULL;
  if (!event) return true;
  uint64_t passed = event->time > walk->time ? event->time - walk->time : 0;
  if (passed > waiting_ns && waits(event)) passed = waiting_ns;
  walk->work += passed + event_ns;
  walk->time = event->time;
  walk->processes += forks(event) || (event->kind == EVENT_IMAGE && !walk->processes);
  walk->processes -= event->kind == EVENT_END;
  return true;
}

static bool measure(Walk *walk, uint64_t *out_work, Fault *fault) {
  const Event *event;
  do {
    if (!step(walk, &event, fault)) return false;
  } while (event);
  *out_work = walk->work;
  return true;
}

/* Between half and three quarters of the work there must be a single process. */
static bool find(Walk *walk, uint64_t work, uint64_t *out, Fault *fault) {
  const Event *event;
  do {
    if (!step(walk, &event, fault)) return false;
    if (event && walk->work >= work / 2 && walk->processes == 1) {
      *out = event->ev;
      return true;
    }
  } while (event && walk->work < work / 4 * 3);
  return true;
}

bool epoch_middle(Recording *recording, uint64_t last, uint64_t *out, Fault *fault) {
  Walk walk = {.last = last};
  uint64_t work = 0;
  *out = 0;
  if (!trace_open(recording, &walk.cursor, fault)) return false;
  bool ok = measure(&walk, &work, fault);
  if (ok && work >= EPOCH_LEAST_NS) {
    walk = (Walk){.cursor = walk.cursor, .last = last};
    ok = trace_seek(walk.cursor, 0, fault) && find(&walk, work, out, fault);
  }
  trace_close(walk.cursor);
  return ok;
}
