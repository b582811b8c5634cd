/*
** Calls that are answered in the played process itself: as many events as follow each other are put
** into the log that recorder and player share with programs (see inside_inner.h), and its code
** answers from there, without a stop. What it does not know is a stop, as ever.
**
** Where there are probes, or memory is watched, every event is a stop: they patch the same code. So
** it leaves the space when such a thing comes, and is there again when there is a need.
*/
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/array.h"
#include "replay/play_inner.h"
#include "replay/syscalls.h"
#include "replay/trace_format.h"

enum {
  RESTART_FIRST = 512,
  RESTART_LAST = 516,
  WORTH_INSTALLING = 32, /* events that could have been answered */
  WORTH_FILLING = 2
};

struct PlayInside {
  int fd;
  uint8_t *memory;
  InsideWords *words;
};

/* ---- the memory */

static bool open_memory(Player *player, Fault *fault) {
  if (player->inside) return true;
  PlayInside *inside = calloc(1, sizeof *inside);
  if (!inside) return fault_oom(fault);
  if (!inside_share(&inside->fd, &inside->memory, fault)) {
    free(inside);
    return false;
  }
  inside->words = (InsideWords *)(void *)(inside->memory + INSIDE_WORDS);
  inside->words->mode = INSIDE_REPLAY;
  inside->words->exit = INSIDE_BASE + INSIDE_GO;
  player->inside = inside;
  return true;
}

void reply_close(Player *player) {
  if (!player->inside) return;
  inside_unshare(player->inside->fd, player->inside->memory);
  free(player->inside);
  player->inside = NULL;
}

/* ---- in a space */

static InsideSpace space_of(PlayThread *thread) {
  PlaySpace *space = thread->space;
  return (InsideSpace){&thread->tracee, &space->maps, &space->state, &space->inside};
}

static bool install(Player *player, PlayThread *thread, Fault *fault) {
  PlaySpace *space = thread->space;
  if (!open_memory(player, fault) ||
      !inside_map(&thread->tracee, player->inside->fd, &space->has_inside, fault)) {
    return false;
  }
  space->no_inside = !space->has_inside;
  return true;
}

bool reply_learn(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  PlaySpace *space = thread->space;
  const CallInfo *info = call_info(event->nr);
  const InsideSpace inside = space_of(thread);
  const uint64_t at = thread->tracee.regs.rip - SYSCALL_BYTES;
  InsideFile *file;
  InsideSite site;
  bool due;
  if (!space->has_inside || !info || info->class != CALL_ANSWER) return true;
  const MapRange *range = maps_find(&space->maps, at);
  if (!range || !range->file || !(range->prot & PROT_EXEC) || range->flags & MAP_SHARED) {
    return true;
  }
  if (!inside_see(&space->inside, at, 1, &due, fault)) return false;
  return !due || (files_calls(player, range->file - 1, &file, fault) &&
                  inside_file_site(file, at - range->start + range->offset, &site, fault) &&
                  inside_install(&inside, range, at, &site, space->nthreads == 1, fault));
}

bool reply_leave(PlayThread *thread, bool gone, Fault *fault) {
  PlaySpace *space = thread->space;
  const InsideSpace inside = space_of(thread);
  int64_t ret;
  const uint64_t args[6] = {INSIDE_BASE, INSIDE_SIZE};
  if (!space->has_inside) return true;
  space->has_inside = false;
  return inside_remove(&inside, gone, fault) &&
         tracee_syscall(&thread->tracee, SYS_munmap, args, &ret, fault);
}

bool reply_moves(PlayThread *thread, uint64_t start, uint64_t end, Fault *fault) {
  const InsideSpace inside = space_of(thread);
  return !thread->space->has_inside || inside_restore(&inside, start, end, fault);
}

bool reply_yield(PlayThread *thread, uint64_t start, uint64_t size, Fault *fault) {
  PlaySpace *space = thread->space;
  if (!space->has_inside || !inside_overlaps(&space->inside, start, size)) return true;
  space->no_inside = true;
  return reply_leave(thread, false, fault);
}

void reply_gone(PlaySpace *space, uint64_t start, uint64_t end) {
  if (space->has_inside) inside_forget(&space->inside, start, end);
}

bool reply_fork(const PlaySpace *from, PlaySpace *to, Fault *fault) {
  to->has_inside = from->has_inside;
  to->no_inside = from->no_inside;
  return inside_copy(&from->inside, &to->inside, fault);
}

/* ---- stops */

bool reply_stopped(Player *player, PlayThread *thread, Fault *fault) {
  PlaySpace *space = thread->space;
  if (!space->has_inside) return true;
  if (!tracee_regs(&thread->tracee, fault)) return false;
  struct user_regs_struct *regs = &thread->tracee.regs;
  const bool left = regs->rip == INSIDE_BASE + INSIDE_LEFT_END;
  const InsidePatch *patch =
      inside_of_thunk(&space->inside, left ? player->inside->words->back : regs->rip);
  if (!patch) return true;
  inside_behind(&thread->tracee, patch);
  regs->r11 = regs->eflags;
  if (!left) return true;
  regs->rax = player->inside->words->rax;
  regs->orig_rax = (unsigned long long)-1;
  thread->stand = STAND_READY;
  return true;
}

bool reply_faulted(PlayThread *thread, bool *out_go, Fault *fault) {
  *out_go = false;
  if (!thread->space->has_inside) return true;
  if (!tracee_regs(&thread->tracee, fault)) return false;
  struct user_regs_struct *regs = &thread->tracee.regs;
  if (regs->rip < INSIDE_BASE || regs->rip >= INSIDE_BASE + INSIDE_CODE_SIZE) return true;
  if (regs->rip < INSIDE_BASE + INSIDE_ABANDON + 16) {
    return fault_set(fault, FAULT_CORRUPT, "thread %d: it runs in the player's code",
                     (int)thread->tid);
  }
  regs->rip = INSIDE_BASE + INSIDE_ABANDON;
  thread->tracee.regs_changed = true;
  return *out_go = true;
}

/* ---- a run of events */

typedef struct Batch {
  const Player *player;
  const PlaySpace *space;
  int32_t tid;
  uint64_t last; /* no event behind this one */
  size_t count;
  bool goes_on; /* what follows is a stop of the thread by itself, and nobody looks before it */
} Batch;

static bool is_writable(const Batch *batch, const EventHead *head, const uint8_t *at) {
  at += (size_t)head->nargs * 8 + (head->flags & FLAG_HASH ? 8 : 0);
  for (int i = 0; i < head->nchunks; i++) {
    ChunkHead chunk;
    memcpy(&chunk, at, sizeof chunk);
    at += sizeof chunk + (chunk.size + 7) / 8 * 8;
    if (chunk.kind == CHUNK_SHARED) return false;
    if (chunk.kind != CHUNK_OUT) continue;
    if (!play_may_map(batch->space, chunk.addr, chunk.size) ||
        inside_overlaps(&batch->space->inside, chunk.addr, chunk.size)) {
      return false;
    }
  }
  return true;
}

static bool is_answer(const Batch *batch, const EventHead *head, const uint8_t *rest) {
  const CallInfo *info = call_info(head->nr);
  const bool again = head->ret <= -RESTART_FIRST && head->ret >= -RESTART_LAST;
  if (head->kind != EVENT_SYSCALL || !info || info->class != CALL_ANSWER || again) return false;
  if (head->flags & FLAG_REGS || (head->flags & FLAG_HASH && batch->player->options.hashes)) {
    return false;
  }
  return head->nargs <= info->nargs && is_writable(batch, head, rest);
}

static bool want(void *ctx, const EventHead *head, const uint8_t *rest) {
  Batch *batch = ctx;
  const bool own = head->tid == batch->tid && head->ev <= batch->last;
  const bool answered = own && is_answer(batch, head, rest);
  const bool stops =
      head->kind == EVENT_SYSCALL || head->kind == EVENT_TRAP || head->kind == EVENT_ENTER;
  batch->goes_on = own && stops && !answered && !checkpoints_due(batch->player);
  batch->count += answered;
  return answered;
}

/* Arguments that are 0 and not told are compared as well: the copy says how many there are. */
static void tell_args(uint8_t *log, size_t size) {
  for (size_t at = 0; at < size;) {
    EventHead *head = (EventHead *)(void *)(log + at);
    head->kind = (uint8_t)call_info(head->nr)->nargs;
    at += head->size;
  }
}

/* Is something being counted, or looked for? */
static bool is_probed(const Player *player, const PlayThread *thread) {
  const PlayMoments *moments = &player->moments;
  bool counts = false;
  for (size_t i = moments->begin; i < moments->end; i++) counts |= !moments->list[i].reached;
  return counts || player->single || player->tallies || player->breaks.count || player->nsets ||
         player->nwatches || thread->searching;
}

static bool may_answer(const Player *player, const PlayThread *thread) {
  return !player->options.every_stop && thread->stand == STAND_READY && !thread->fresh &&
         !thread->space->no_inside && !is_probed(player, thread);
}

/* The last event that may be applied before somebody wants to look. */
static uint64_t last_event(const Player *player) {
  const PlayMoments *moments = &player->moments;
  const uint64_t next =
      moments->end < moments->count ? moments->list[moments->end].moment.ev : UINT64_MAX;
  return next < player->until ? next : player->until;
}

static bool run(Player *player, PlayThread *thread, const Batch *batch, size_t size, bool *out_done,
                Fault *fault) {
  InsideWords *words = player->inside->words;
  words->taken = 0;
  words->head = size;
  words->leave_at = batch->goes_on ? 0 : size;
  words->exit = INSIDE_BASE + INSIDE_GO;
  const bool ok = step_run(player, thread, fault);
  const uint64_t taken = words->taken;
  words->head = words->taken = 0;
  if (!ok) return false;
  *out_done = taken > 0;
  if (!taken) return true;
  uint64_t ev;
  size_t count;
  if (taken > size || !trace_skip(player->cursor, (size_t)taken, &ev, &count)) {
    return fault_set(fault, FAULT_CORRUPT, "thread %d: it has written over the player's log",
                     (int)thread->tid);
  }
  player->ev = ev;
  player->replies += count;
  player->moved = thread->stand != STAND_READY;
  player->last_tid = thread->tid;
  player->event = NULL;
  return true;
}

bool reply_many(Player *player, const Event *event, bool *out_done, Fault *fault) {
  PlayThread *thread = event->kind == EVENT_SYSCALL ? child_find(player, event->tid) : NULL;
  *out_done = false;
  if (!thread || !may_answer(player, thread)) return true;
  if (!open_memory(player, fault)) return false;
  Batch batch = {
      .player = player, .space = thread->space, .tid = thread->tid, .last = last_event(player)};
  uint8_t *log = player->inside->memory + INSIDE_LOG;
  const size_t size = trace_copy(player->cursor, want, &batch, log, INSIDE_LOG_SIZE);
  PlaySpace *space = thread->space;
  if (!space->has_inside) {
    space->missed += batch.count > 0;
    if (batch.count < WORTH_INSTALLING && space->missed < WORTH_INSTALLING) return true;
    space->missed = 0;
    if (!install(player, thread, fault)) return false;
  }
  if (!space->has_inside || batch.count < WORTH_FILLING) return true;
  tell_args(log, size);
  return run(player, thread, &batch, size, out_done, fault);
}
