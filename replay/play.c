/*
** The player's loop: see play.h.
*/
#define _GNU_SOURCE
#include "replay/play.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/play_inner.h"
#include "replay/trace_ahead.h"

enum { TICK_MS = 10, UNSURE_MOST = 512, UNSURE_LARGEST = 16 << 20 };

bool play_diverged(const Player *player, const Event *event, Fault *fault, const char *format,
                   ...) {
  char text[400];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return fault_set(fault, FAULT_CORRUPT, "event %" PRIu64 ", thread %d: %s%s%s", event->ev,
                   (int)event->tid, text, player->note[0] ? "; the recorder noted: " : "",
                   player->note);
}

/* ---- one event */

static void take_note(Player *player, const Event *event) {
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    if (chunk->kind != CHUNK_PATH) continue;
    const size_t size =
        chunk->size < sizeof player->note - 1 ? chunk->size : sizeof player->note - 1;
    memcpy(player->note, chunk->bytes, size);
    player->note[size] = '\0';
  }
}

/* The first, or what an execve became. */
static bool apply_image(Player *player, const Event *event, Fault *fault) {
  PlaySpace *space = child_space(player, event->pid);
  PlayThread *thread = NULL;
  if (!space && player->nspaces) {
    return play_diverged(player, event, fault, "a program begins in an unknown process %d",
                         (int)event->pid);
  }
  if (!space) {
    return child_start(player, event->pid, event->tid, &thread, fault) &&
           play_image(player, thread, event, fault);
  }
  bool asked = false;
  for (size_t i = 0; i < player->nthreads; i++) {
    asked |= player->threads[i]->space == space && player->threads[i]->execs;
  }
  if (!asked) return play_diverged(player, event, fault, "a program that nobody asked for");
  return child_alone(player, space, event->tid, &thread, fault) &&
         play_image(player, thread, event, fault);
}

static bool apply_end(Player *player, const Event *event, Fault *fault) {
  PlaySpace *space = child_space(player, event->pid);
  if (space) child_kill(player, space);
  (void)fault;
  return true;
}

/* Does the thread run, to come to this event? */
static bool event_runs(const Event *event) {
  switch (event->kind) {
  case EVENT_SYSCALL:
  case EVENT_ENTER:
  case EVENT_TRAP:
  case EVENT_SIGNAL:
  case EVENT_SWITCH:
    return true;
  default:
    return false;
  }
}

static bool apply_thread(Player *player, const Event *event, Fault *fault) {
  PlayThread *thread = child_find(player, event->tid);
  if (!thread) return play_diverged(player, event, fault, "there is no such thread");
  switch (event->kind) {
  case EVENT_SYSCALL:
    return step_call(player, thread, event, fault);
  case EVENT_ENTER:
    return step_enter(player, thread, event, fault);
  case EVENT_TRAP:
    return step_trap(player, thread, event, fault);
  case EVENT_SIGNAL:
    return step_signal(player, thread, event, fault);
  case EVENT_EXIT:
    return play_write(thread->space, event, fault) && child_end(player, thread, fault);
  case EVENT_SWITCH:
    return step_switch(player, thread, event, fault);
  default:
    return play_diverged(player, event, fault, "an event of unknown kind %d", (int)event->kind);
  }
}

static bool apply(Player *player, const Event *event, Fault *fault) {
  switch (event->kind) {
  case EVENT_META:
    return true;
  case EVENT_FILE:
    return files_add(player, event, fault);
  case EVENT_NOTE:
    take_note(player, event);
    return true;
  case EVENT_IMAGE:
    return apply_image(player, event, fault);
  case EVENT_END:
    return apply_end(player, event, fault);
  default:
    return files_change(player, event, fault) && apply_thread(player, event, fault);
  }
}

/* The bytes that the recorder could not be sure of. */
static size_t read_unsure(const Event *event, StateRange *out, size_t limit) {
  size_t n = 0;
  for (int i = 0; i < event->nchunks && n < limit; i++) {
    const Chunk *chunk = &event->chunks[i];
    if (chunk->kind != CHUNK_UNSURE || chunk->size != sizeof out->size) continue;
    out[n].addr = chunk->addr;
    memcpy(&out[n].size, chunk->bytes, sizeof out->size);
    n += out[n].size <= UNSURE_LARGEST && out[n].addr < SPACE_TOP;
  }
  return n;
}

bool play_hash(Player *player, PlaySpace *space, Tracee *tracee, const Event *event, uint64_t *out,
               Fault *fault) {
  PatchView patches = {player, space};
  StateRange unsure[UNSURE_MOST];
  const StateView view = {patch_page, &patches, unsure, read_unsure(event, unsure, UNSURE_MOST)};
  uint64_t memory, registers;
  if (!state_memory(&space->state, &space->space, &space->maps, &view, &memory, fault) ||
      !state_registers(tracee, &registers, fault)) {
    return false;
  }
  *out = memory ^ registers;
  return true;
}

static bool compare_hash(Player *player, const Event *event, Fault *fault) {
  PlayThread *thread = child_find(player, event->tid);
  uint64_t hash;
  if (!thread || !event->has_hash || !player->options.hashes) return true;
  if (!play_hash(player, thread->space, &thread->tracee, event, &hash, fault)) return false;
  player->hashes++;
  if (hash == event->hash) return true;
  return play_diverged(player, event, fault,
                       "memory or registers are not what they were: hash %016" PRIx64
                       " expected, got %016" PRIx64,
                       event->hash, hash);
}

/* Done with the event, unless there is something to tell of what it wrote. */
static void leave(Player *player) {
  if (player->nwatches && watch_compare(player, player->event)) return;
  player->applied = player->moved = false;
  player->event = NULL;
}

static bool next(Player *player, Fault *fault) {
  if (player->applied) {
    leave(player);
    return true;
  }
  if (!player->event && !trace_next(player->cursor, &player->event, fault)) return false;
  if (!player->event) {
    player->ended = true;
  }
  if (!moments_before(player, fault)) return false;
  if (player->pause || player->ended) return true;
  moments_leave(player);
  bool done;
  if (!reply_many(player, player->event, &done, fault)) return player->pause != PAUSE_NONE;
  if (done) return true;
  if (!apply(player, player->event, fault)) return player->pause != PAUSE_NONE;
  if (!compare_hash(player, player->event, fault)) return false;
  if (!moments_after(player, fault)) return false;
  player->ev = player->event->ev;
  player->last_tid = player->event->tid;
  player->applied = true;
  leave(player);
  return true;
}

/* `first`: only to the first program's beginning. */
static bool run(Player *player, uint64_t until, bool first, Fault *fault) {
  if (player->broken) return fault_set(fault, FAULT_INVALID, "player: it has failed before");
  bool ok = tracee_ticks(TICK_MS, fault);
  player->pause = PAUSE_NONE;
  player->until = until;
  for (int64_t polled = 0;
       ok && !player->pause && !player->ended && (player->applied || player->ev < until);) {
    if (first && player->nspaces) break;
    const int64_t now = clock_now();
    pace_mark(player, now);
    if (now - polled > 1000000) {
      polled = now;
      if (stop_now(player->options.stop)) {
        ok = fault_set(fault, stop_asked(player->options.stop) ? FAULT_INTERRUPT : FAULT_TIMEOUT,
                       "interrupted");
        break;
      }
    }
    ok = next(player, fault) &&
         (player->pause || player->applied || checkpoints_pass(player, fault));
  }
  tracee_ticks(0, NULL);
  player->broken = !ok;
  return ok;
}

bool player_run(Player *player, uint64_t until, PlayEnd *out, Fault *fault) {
  if (!run(player, until, false, fault)) return false;
  static const PlayEndKind kinds[] = {[PAUSE_LIMIT] = PLAY_LIMIT,
                                      [PAUSE_MOMENT] = PLAY_MOMENT,
                                      [PAUSE_WRITE] = PLAY_WRITE,
                                      [PAUSE_BREAK] = PLAY_BREAK,
                                      [PAUSE_STEP] = PLAY_STEP};
  *out = (PlayEnd){.kind = player->pause         ? kinds[player->pause]
                           : player->ev >= until ? PLAY_REACHED
                                                 : PLAY_END,
                   .ev = player->ev,
                   .hashes = player->hashes,
                   .inside = player->replies,
                   .moment = player->moments.reached,
                   .set = player->pause_set};
  return true;
}

/* ---- beginning and end */

/* On the processor where it was recorded, if we may: programs ask which one it is. */
static bool pin(Player *player, Fault *fault) {
  cpu_set_t *before = (cpu_set_t *)(void *)player->affinity, one;
  _Static_assert(sizeof player->affinity == sizeof *before, "a whole mask");
  const char *recorded = recording_meta(player->recording, "processor");
  if (sched_getaffinity(0, sizeof *before, before) != 0) {
    return fault_set(fault, FAULT_IO, "player: its processors: %s", strerror(errno));
  }
  player->cpu = recorded ? atoi(recorded) : -1;
  if (player->cpu < 0 || player->cpu >= CPU_SETSIZE || !CPU_ISSET(player->cpu, before)) {
    player->cpu = sched_getcpu();
  }
  for (int i = 0; player->options.elsewhere && i < CPU_SETSIZE; i++) {
    if (i == player->cpu || !CPU_ISSET(i, before)) continue;
    player->cpu = i;
    break;
  }
  CPU_ZERO(&one);
  CPU_SET(player->cpu, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) {
    return fault_set(fault, FAULT_IO, "player: processor %d: %s", player->cpu, strerror(errno));
  }
  cpu_set_t others = *before;
  CPU_CLR(player->cpu, &others);
  const bool is_alone = !player->options.elsewhere && !player->options.beside;
  if (is_alone && CPU_COUNT(&others) > 0) trace_ahead(player->cursor, &others);
  return true;
}

bool player_turn(Player *player, const Event **out, bool *out_runs, Fault *fault) {
  if (player->broken) return fault_set(fault, FAULT_INVALID, "player: it has failed before");
  if (player->applied) { /* and all is told of it */
    player->applied = player->moved = false;
    player->event = NULL;
  }
  if (!player->event && !trace_next(player->cursor, &player->event, fault)) return false;
  *out = player->event;
  const PlayThread *thread = *out ? child_find(player, (*out)->tid) : NULL;
  *out_runs = thread && thread->stand == STAND_READY && event_runs(*out);
  return true;
}

bool player_step(Player *player, PlayEnd *out, Fault *fault) {
  if (player->breaks.count) return fault_set(fault, FAULT_INVALID, "player: a step among breaks");
  player->single = true;
  const bool ok = player_run(player, player->ev + 1, out, fault);
  player->single = false;
  return ok;
}

uint64_t player_event(const Player *player) { return player->ev; }

/* ---- beginning and end */

bool player_open(Recording *recording, const PlayOptions *options, Player **out, Fault *fault) {
  Player *player = calloc(1, sizeof *player);
  if (!player) return fault_oom(fault);
  player->recording = recording;
  player->options = *options;
  player->cpu = -1;
  bool ok = trace_open(recording, &player->cursor, fault) && pin(player, fault) &&
            run(player, UINT64_MAX, true, fault);
  if (ok && !player->nspaces) {
    ok = fault_set(fault, FAULT_CORRUPT, "recording \"%s\": no program begins in it",
                   recording_dir(recording));
  }
  if (!ok) {
    player_close(player);
    return false;
  }
  *out = player;
  return true;
}

void player_close(Player *player) {
  if (!player) return;
  while (player->nspaces) child_kill(player, player->spaces[0]);
  checkpoints_close(player);
  moments_close(player);
  patch_close(player);
  reply_close(player);
  files_close(player);
  trace_close(player->cursor);
  if (player->cpu >= 0) sched_setaffinity(0, sizeof player->affinity, (void *)player->affinity);
  free(player->spaces);
  free(player->threads);
  free(player);
}

bool player_view(Player *player, int32_t tid, PlayView *out, Fault *fault) {
  PlayThread *thread = child_find(player, tid ? tid : player->last_tid);
  if (!thread) return fault_set(fault, FAULT_NOTFOUND, "player: no thread %d", (int)tid);
  if (!tracee_regs(&thread->tracee, fault)) return false;
  Tracee seen = thread->tracee;
  if (thread->space->probes && !probes_leave(thread->space->probes, &seen, fault)) return false;
  *out = (PlayView){.pid = thread->space->pid,
                    .tid = thread->tid,
                    .regs = seen.regs,
                    .tracee = &thread->tracee,
                    .maps = &thread->space->maps};
  return true;
}

size_t player_threads(const Player *player, int32_t pid, int32_t *out, size_t most) {
  size_t count = 0;
  for (size_t i = 0; i < player->nthreads && count < most; i++) {
    if (player->threads[i]->space->pid == pid) out[count++] = player->threads[i]->tid;
  }
  return count;
}

bool player_read(Player *player, const PlayView *view, uint64_t addr, void *out, size_t size,
                 Fault *fault) {
  PlaySpace *space = child_space(player, view->pid);
  if (!space) return fault_set(fault, FAULT_NOTFOUND, "player: no process %d", (int)view->pid);
  if (!space_read(&space->space, (RemoteAddr){addr}, out, size, fault)) return false;
  if (space->probes) probes_original(space->probes, addr, out, size);
  inside_original(&space->inside, addr, out, size);
  return true;
}
