/*
** Checkpoints: what is played, as it was after some event, kept to go on from there any number of
** times.
**
** Of each process a fork is kept that never runs, of each thread its registers; threads are made
** anew when a checkpoint is gone back to. Probes and watches are not kept.
*/
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/play_inner.h"

#define INTERVAL_NS ((int64_t)50000000) /* at first */

enum { COST_SHARE = 20 }; /* at most 1/20 of the time is for making them */

typedef struct FrozenThread {
  PlayThread state; /* its tracee has the registers, and is nobody's */
  Units units;
  bool leads; /* its process */
} FrozenThread;

typedef struct FrozenSpace {
  PlaySpace *space; /* with a leader that stands for none of the threads, and is in no list */
  FrozenThread *threads;
  size_t nthreads, capacity;
} FrozenSpace;

struct PlayCheckpoint {
  uint64_t ev, hashes;
  int32_t last_tid;
  char note[sizeof((Player *)0)->note];
  FrozenSpace *spaces;
  size_t nspaces;
  int *shared;
  size_t nshared;
};

/* ---- freezing */

static bool freeze_thread(FrozenSpace *frozen, PlayThread *thread, Fault *fault) {
  PlaySpace *space = thread->space;
  if (!array_grow(frozen->threads, frozen->capacity, frozen->nthreads + 1)) return fault_oom(fault);
  FrozenThread *kept = &frozen->threads[frozen->nthreads];
  if (!tracee_regs(&thread->tracee, fault)) return false;
  *kept = (FrozenThread){.state = *thread, .leads = thread == space->leader};
  if (space->probes && !probes_leave(space->probes, &kept->state.tracee, fault)) return false;
  if (!play_units_read(thread, &kept->units, fault)) return false;
  frozen->nthreads++;
  return true;
}

/* The fork has nothing of ours: code and protections are the program's. */
static bool clean(PlaySpace *space, Fault *fault) {
  Tracee *leader = &space->leader->tracee;
  bool ok = true;
  if (!space->probes) return true;
  for (size_t i = 0; ok && i < space->nwatches; i++) {
    const int armed = space->watches[i].armed;
    ok = armed < 0 || probes_unwatch(space->probes, leader, armed, fault);
  }
  return ok && probes_detach(space->probes, &leader, 1, fault);
}

static bool freeze_space(Player *player, PlaySpace *space, FrozenSpace *out, Fault *fault) {
  PlayThread *leader;
  if (!child_spawn(player, space->leader, true, space->pid, 0, &leader, fault)) return false;
  out->space = leader->space;
  child_shelve(player, out->space);
  if (!clean(out->space, fault)) return false;
  patch_finish(player, out->space);
  for (size_t i = 0; i < player->nthreads; i++) {
    if (player->threads[i]->space == space && !freeze_thread(out, player->threads[i], fault)) {
      return false;
    }
  }
  return true;
}

bool checkpoint_make(Player *player, PlayCheckpoint **out, Fault *fault) {
  PlayCheckpoint *made = calloc(1, sizeof *made);
  if (!made) return fault_oom(fault);
  made->ev = player->ev;
  made->hashes = player->hashes;
  made->last_tid = player->last_tid;
  memcpy(made->note, player->note, sizeof made->note);
  made->spaces = calloc(player->nspaces + 1, sizeof *made->spaces);
  made->shared = calloc(player->nshared + 1, sizeof *made->shared);
  bool ok = made->spaces && made->shared;
  if (!ok) fault_oom(fault);
  ok = ok && pool_copy(player->shared, player->nshared, made->shared, &made->nshared, fault);
  const size_t nspaces = player->nspaces; /* forks come behind, and go */
  for (size_t i = 0; ok && i < nspaces; i++) {
    made->nspaces++;
    ok = freeze_space(player, player->spaces[i], &made->spaces[i], fault);
  }
  if (!ok) {
    checkpoint_free(player, made);
    return false;
  }
  *out = made;
  return true;
}

void checkpoint_free(Player *player, PlayCheckpoint *checkpoint) {
  if (!checkpoint) return;
  for (size_t i = 0; i < checkpoint->nspaces; i++) {
    FrozenSpace *frozen = &checkpoint->spaces[i];
    for (size_t k = 0; k < frozen->nthreads; k++) free(frozen->threads[k].units.bytes);
    free(frozen->threads);
    if (frozen->space) child_kill(player, frozen->space);
  }
  for (size_t i = 0; i < checkpoint->nshared; i++) close(checkpoint->shared[i]);
  free(checkpoint->spaces);
  free(checkpoint->shared);
  free(checkpoint);
}

/* ---- going back */

static bool thaw_thread(PlayThread *thread, const FrozenThread *kept, Fault *fault) {
  const Tracee made = thread->tracee;
  PlaySpace *space = thread->space;
  *thread = kept->state;
  thread->space = space;
  thread->tracee.space = &space->space;
  thread->tracee.tid = made.tid;
  thread->tracee.status = made.status;
  thread->tracee.has_regs = thread->tracee.regs_changed = true;
  return play_units_set(thread, &kept->units, fault);
}

/* The first thread makes the others, before it becomes what it was itself. */
static bool thaw_space(Player *player, const FrozenSpace *frozen, Fault *fault) {
  PlayThread *leader, *thread;
  if (!child_spawn(player, frozen->space->leader, true, frozen->space->pid, 0, &leader, fault) ||
      !pool_remap(player, leader, fault)) {
    return false;
  }
  leader->space->new_code = true;
  const FrozenThread *first = NULL;
  for (size_t i = 0; i < frozen->nthreads; i++) {
    const FrozenThread *kept = &frozen->threads[i];
    if (kept->leads) {
      first = kept;
    } else if (!child_spawn(player, leader, false, 0, kept->state.tid, &thread, fault) ||
               !thaw_thread(thread, kept, fault)) {
      return false;
    }
  }
  if (first) return thaw_thread(leader, first, fault);
  child_park(player, leader->space);
  return true;
}

bool checkpoint_restore(Player *player, const PlayCheckpoint *checkpoint, Fault *fault) {
  while (player->nspaces) child_kill(player, player->spaces[0]);
  patch_reset(player);
  pool_keep(player, 0);
  if (!array_grow(player->shared, player->shared_capacity, checkpoint->nshared)) {
    return fault_oom(fault);
  }
  if (!pool_copy(checkpoint->shared, checkpoint->nshared, player->shared, &player->nshared,
                 fault)) {
    return false;
  }
  for (size_t i = 0; i < checkpoint->nspaces; i++) {
    if (!thaw_space(player, &checkpoint->spaces[i], fault)) return false;
  }
  player->ev = checkpoint->ev;
  player->hashes = checkpoint->hashes;
  player->last_tid = checkpoint->last_tid;
  memcpy(player->note, checkpoint->note, sizeof player->note);
  player->event = NULL;
  player->applied = player->ended = player->moved = false;
  moments_leave(player);
  return trace_seek(player->cursor, checkpoint->ev + 1, fault);
}

/* ---- those that are kept on the way */

/* When there are too many, every second one goes, and they are made half as often. */
static void thin(Player *player) {
  PlayCheckpoints *kept = &player->checkpoints;
  size_t count = 0;
  for (size_t i = 0; i < kept->count; i++) {
    if (i % 2 == 0) {
      kept->list[count++] = kept->list[i];
    } else {
      checkpoint_free(player, kept->list[i]);
    }
  }
  kept->count = count;
  kept->interval_ns *= 2;
}

static uint64_t number_in(const char *path, const char *format) {
  unsigned long long value = 0;
  FILE *file = fopen(path, "re");
  for (char line[256]; file && fgets(line, sizeof line, file);) {
    if (sscanf(line, format, &value) == 1) break;
  }
  if (file) fclose(file);
  return value;
}

/* A state can come to cost all the memory that the programs have: there must be twice that. */
static bool is_room(const Player *player) {
  const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  uint64_t resident = 0;
  for (size_t i = 0; i < player->nspaces; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)player->spaces[i]->space.pid);
    resident += number_in(path, "%*u %llu") * page;
  }
  return resident < number_in("/proc/meminfo", "MemAvailable: %llu kB") * 1024 / 2;
}

bool checkpoints_due(const Player *player) {
  const PlayCheckpoints *kept = &player->checkpoints;
  if (player->options.checkpoints <= 0 || kept->paused) return false;
  if (!kept->count) return true;
  const int64_t wait =
      kept->cost * COST_SHARE > kept->interval_ns ? kept->cost * COST_SHARE : kept->interval_ns;
  return player->ev > kept->list[kept->count - 1]->ev && clock_now() - kept->made >= wait;
}

bool checkpoints_pass(Player *player, Fault *fault) {
  PlayCheckpoints *kept = &player->checkpoints;
  if (!player->nspaces || player->moved || !checkpoints_due(player)) return true;
  const int64_t begun = clock_now();
  if (!kept->count) {
    const int64_t asked = player->options.checkpoint_ns;
    kept->interval_ns = asked > 0 ? asked : INTERVAL_NS;
  }
  if (kept->count >= (size_t)player->options.checkpoints) thin(player);
  if (kept->count && !is_room(player)) {
    kept->made = begun;
    return true;
  }
  if (!array_grow(kept->list, kept->capacity, kept->count + 1)) return fault_oom(fault);
  if (!checkpoint_make(player, &kept->list[kept->count], fault)) return false;
  kept->count++;
  kept->made = clock_now();
  if (player->options.checkpoint_ns <= 0) kept->cost = kept->made - begun;
  return true;
}

void checkpoints_close(Player *player) {
  PlayCheckpoints *kept = &player->checkpoints;
  for (size_t i = 0; i < kept->count; i++) checkpoint_free(player, kept->list[i]);
  free(kept->list);
}

const PlayCheckpoint *checkpoints_find(const Player *player, uint64_t ev) {
  const PlayCheckpoints *kept = &player->checkpoints;
  const PlayCheckpoint *best = NULL;
  for (size_t i = 0; i < kept->count && kept->list[i]->ev <= ev; i++) best = kept->list[i];
  return best;
}

bool player_kept(const Player *player, uint64_t ev, uint64_t *out) {
  const PlayCheckpoint *best = checkpoints_find(player, ev);
  if (best) *out = best->ev;
  return best != NULL;
}

bool player_keep(Player *player, Fault *fault) {
  PlayCheckpoints *kept = &player->checkpoints;
  const PlayCheckpoint *before = checkpoints_find(player, player->ev);
  if (player->broken || !player->nspaces || player->moved || player->applied) {
    return fault_set(fault, FAULT_INVALID, "player: a state is kept between two events");
  }
  if (before && before->ev == player->ev) return true;
  if (kept->count > 2 && kept->count >= (size_t)player->options.checkpoints) thin(player);
  if (!array_grow(kept->list, kept->capacity, kept->count + 1)) return fault_oom(fault);
  PlayCheckpoint *made;
  if (!checkpoint_make(player, &made, fault)) return false;
  size_t at = kept->count++;
  for (; at > 0 && kept->list[at - 1]->ev > made->ev; at--) kept->list[at] = kept->list[at - 1];
  kept->list[at] = made;
  return true;
}

void player_keeps(Player *player, bool on_the_way) { player->checkpoints.paused = !on_the_way; }

bool player_rewind(Player *player, uint64_t ev, Fault *fault) {
  const PlayCheckpoint *best = checkpoints_find(player, ev);
  if (!best) {
    return fault_set(fault, FAULT_INVALID, "player: no state is kept at or before event %llu",
                     (unsigned long long)ev);
  }
  player->broken = true;
  if (!checkpoint_restore(player, best, fault)) return false;
  player->broken = false;
  player->checkpoints.made = clock_now();
  return true;
}
