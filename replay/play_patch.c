/*
** Probes in the spaces of what is played: which code they are to patch, and when a thread has run
** into one.
*/
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/play_inner.h"

bool patch_ready(Player *player, PlayThread *thread, Fault *fault) {
  PlaySpace *space = thread->space;
  if (!reply_leave(thread, false, fault)) return false;
  return space->probes ||
         (places_look(player, fault) &&
          probes_create(&thread->tracee, places_take, player, &space->probes, fault));
}

/* ---- code */

static bool show(PlayThread *thread, const MapRange *range, Fault *fault) {
  const ProbeMapping mapping = {.start = range->start,
                                .end = range->end,
                                .offset = range->offset,
                                .file = range->file ? range->file - 1 : PROBE_NO_FILE};
  return probes_map(thread->space->probes, &thread->tracee, &mapping, fault) &&
         maps_add(&thread->space->patched, range, fault);
}

bool patch_code(Player *player, PlayThread *thread, Fault *fault) {
  PlaySpace *space = thread->space;
  if (!space->new_code || !space->probes || !player->nsets) return true;
  space->new_code = false;
  for (size_t i = 0; i < space->maps.count; i++) {
    const MapRange *range = &space->maps.ranges[i];
    if (!(range->prot & PROT_EXEC) || maps_find(&space->patched, range->start)) continue;
    if (!show(thread, range, fault)) return false;
  }
  return true;
}

bool patch_gone(PlaySpace *space, uint64_t start, uint64_t end, Fault *fault) {
  if (!space->probes) return true;
  probes_unmap(space->probes, start, end);
  return watch_gone(space, start, end, fault) && maps_remove(&space->patched, start, end, fault);
}

bool patch_lost(PlaySpace *space, uint64_t start, uint64_t end, Fault *fault) {
  for (size_t i = 0; i < space->patched.count; i++) {
    const MapRange *range = &space->patched.ranges[i];
    if (range->start < end && start < range->end) return patch_gone(space, start, end, fault);
  }
  return true;
}

void patch_forget(PlaySpace *space) {
  if (space->probes) probes_unmap(space->probes, 0, UINT64_MAX);
  maps_finish(&space->patched);
  watch_finish(space);
  space->new_code = space->breaks_due = true;
}

/* ---- life */

bool patch_fork(PlaySpace *from, PlaySpace *to, Fault *fault) {
  to->new_code = from->new_code;
  to->breaks_due = true;
  if (!from->probes) return true;
  to->probes_borrowed = true;
  return maps_copy(&from->patched, &to->patched, fault) && watch_copy(from, to, fault) &&
         probes_fork(from->probes, &to->space, &to->probes, fault);
}

/* Others may write to the same rows; without memory for the list they are leaked, not freed. */
void patch_finish(Player *player, PlaySpace *space) {
  maps_finish(&space->patched);
  watch_finish(space);
  if (!space->probes) return;
  if (space->probes_borrowed) {
    probes_free(space->probes);
  } else if (array_grow(player->kept, player->kept_capacity, player->nkept + 1)) {
    player->kept[player->nkept++] = space->probes;
  }
  space->probes = NULL;
}

void patch_reset(Player *player) {
  for (size_t i = 0; i < player->nkept; i++) probes_free(player->kept[i]);
  player->nkept = 0;
  player->nsets = player->nwatches = 0;
  player->places.ngiven = 0;
  player->breaks.count = 0;
  player->tallies = false;
}

void patch_close(Player *player) {
  patch_reset(player);
  break_close(player);
  free(player->kept);
  free(player->places.taken);
  free(player->places.given);
}

/* ---- running */

bool patch_enter(Player *player, PlayThread *thread, Fault *fault) {
  Probes *probes = thread->space->probes;
  if (!probes) return true;
  volatile ProbeWords *words = probes_words(probes);
  words->ev = player->ev;
  words->tid = (uint64_t)(int64_t)thread->tid;
  return probes_enter(probes, &thread->tracee, fault);
}

bool patch_stop(Player *player, PlayThread *thread, bool *out_go, Fault *fault) {
  Probes *probes = thread->space->probes;
  ProbeStop stop;
  int set;
  *out_go = false;
  if (!probes) return true;
  if (!probes_stop(probes, &thread->tracee, &stop, &set, fault)) return false;
  switch (stop) {
  case PROBE_FOREIGN:
    return true;
  case PROBE_HANDLED:
    *out_go = true;
    return true;
  case PROBE_LIMIT:
    player->pause = PAUSE_LIMIT;
    player->pause_set = set;
    return true;
  case PROBE_REACHED:
    return moments_reached(player, thread, fault);
  case PROBE_POINT:
    player->pause = PAUSE_POINT;
    return true;
  case PROBE_BREAK:
    *out_go = thread->space->pid != player->breaks.pid || !player->breaks.count;
    if (!*out_go) player->pause = PAUSE_BREAK;
    return true;
  case PROBE_WRITE:
    watch_written(player, thread);
    return true;
  }
  return true;
}

/* ---- what the state is without us */

/* Code that is what the file has was written by us alone, or not at all. */
static bool is_of_file(Player *player, const MapRange *range, uint64_t addr, const uint8_t *bytes) {
  uint8_t page[PAGE] = {0};
  int fd;
  return range->file && files_open(player, range->file - 1, &fd, NULL) &&
         pread(fd, page, sizeof page, (off_t)(range->offset + (addr - range->start))) >= 0 &&
         memcmp(page, bytes, sizeof page) == 0;
}

bool patch_page(void *ctx, uint64_t addr, uint8_t *bytes) {
  const PatchView *view = ctx;
  const MapRange *range = maps_find(&view->space->maps, addr);
  if (view->space->inside.npages && !inside_page(&view->space->inside, addr, bytes)) return false;
  if (!range) return true;
  if (!(range->prot & PROT_EXEC) && !maps_find(&view->space->patched, addr)) return true;
  if (view->space->probes) probes_original(view->space->probes, addr, bytes, PAGE);
  return !is_of_file(view->player, range, addr, bytes);
}

/* ---- for users */

bool player_probe(Player *player, const ProbeSpec *spec, int fd, const void *key, size_t key_size,
                  int *out_set, Fault *fault) {
  if (player->broken || !player->nspaces || player->spaces[0]->patched.count) {
    return fault_set(fault, FAULT_INVALID, "player: probes are set before anything runs");
  }
  if (player->nspaces > 1) {
    return fault_set(fault, FAULT_UNSUPPORTED, "player: probes for %zu processes at once",
                     player->nspaces);
  }
  PlayThread *thread = player->spaces[0]->leader;
  if (!patch_ready(player, thread, fault) || !probes_add(player->spaces[0]->probes, &thread->tracee,
                                                         spec, fd, key, key_size, out_set, fault)) {
    return false;
  }
  player->nsets++;
  return true;
}

static Probes *owner(const Player *player) {
  for (size_t i = 0; i < player->nspaces; i++) {
    PlaySpace *space = player->spaces[i];
    if (space->probes && !space->probes_borrowed) return space->probes;
  }
  return player->nkept ? player->kept[0] : NULL;
}

bool player_rows(Player *player, int set, RowState state, ProbeCounts *out, Fault *fault) {
  Probes *probes = owner(player);
  if (!probes || set < 0 || set >= player->nsets) {
    return fault_set(fault, FAULT_INVALID, "player: no probe set %d", set);
  }
  *out = probes_counts(probes, set);
  return probes_finish(probes, set, state, fault);
}
