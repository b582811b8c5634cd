/*
** Memory that is watched: what the program writes stops it, what the kernel wrote is seen by
** comparing when an event has been applied.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "replay/play_inner.h"

static bool read_now(const PlaySpace *space, const PlayWatch *watch, uint8_t *out) {
  size_t got;
  space_peek(&space->space, (RemoteAddr){watch->addr}, out, watch->size, &got);
  return got == watch->size;
}

bool player_watch(Player *player, const PlayView *view, uint64_t addr, size_t size, int *out_watch,
                  Fault *fault) {
  PlayThread *thread = child_find(player, view->tid);
  if (!thread) return fault_set(fault, FAULT_NOTFOUND, "player: no thread %d", (int)view->tid);
  PlaySpace *space = thread->space;
  PlayWatch watch = {.addr = addr, .size = size, .number = player->nwatches};
  if (!size || size > WATCH_MOST || !play_may_map(space, addr, size)) {
    return fault_set(fault, FAULT_INVALID, "watch: %zu bytes at 0x%llx, at most %d can be watched",
                     size, (unsigned long long)addr, (int)WATCH_MOST);
  }
  if (!patch_ready(player, thread, fault)) return false;
  const MapRange *range = maps_find(&space->maps, addr);
  watch.armed = -1;
  if (range && !probes_watch(space->probes, &thread->tracee, addr, size, &watch.armed, fault)) {
    return false;
  }
  watch.last = malloc(size);
  if (!watch.last || !array_grow(space->watches, space->watches_capacity, space->nwatches + 1)) {
    free(watch.last);
    return fault_oom(fault);
  }
  if (!read_now(space, &watch, watch.last)) memset(watch.last, 0, size);
  space->watches[space->nwatches++] = watch;
  *out_watch = player->nwatches++;
  return true;
}

bool player_unwatch(Player *player, Fault *fault) {
  for (size_t i = 0; i < player->nspaces; i++) {
    PlaySpace *space = player->spaces[i];
    for (size_t k = 0; k < space->nwatches; k++) {
      const int armed = space->watches[k].armed;
      if (armed >= 0 && !probes_unwatch(space->probes, &space->leader->tracee, armed, fault)) {
        return false;
      }
    }
    watch_finish(space);
  }
  player->nwatches = 0;
  return true;
}

const PlayWrite *player_write(const Player *player) { return &player->write; }

/* ---- what is written */

static PlayWatch *armed_as(PlaySpace *space, int id) {
  for (size_t i = 0; i < space->nwatches; i++) {
    if (space->watches[i].armed == id) return &space->watches[i];
  }
  return NULL;
}

void watch_written(Player *player, PlayThread *thread) {
  const ProbeWrite *write = probes_write(thread->space->probes);
  PlayWatch *watch = armed_as(thread->space, write->watch);
  player->write = (PlayWrite){.watch = watch ? watch->number : -1,
                              .pid = thread->space->pid,
                              .tid = thread->tid,
                              .ev = player->ev,
                              .pc = write->pc,
                              .addr = write->addr,
                              .size = write->size};
  memcpy(player->write.before, write->before, sizeof write->before);
  memcpy(player->write.after, write->after, sizeof write->after);
  if (watch) read_now(thread->space, watch, watch->last);
  player->pause = PAUSE_WRITE;
}

/* The first difference to the last, as one write. */
static bool compare(Player *player, PlaySpace *space, PlayWatch *watch, const Event *event) {
  uint8_t now[WATCH_MOST];
  size_t first = 0, end = watch->size;
  if (!read_now(space, watch, now) || memcmp(now, watch->last, watch->size) == 0) return false;
  while (now[first] == watch->last[first]) first++;
  while (now[end - 1] == watch->last[end - 1]) end--;
  const size_t shown = end - first < WRITE_BYTES ? end - first : WRITE_BYTES;
  player->write = (PlayWrite){.watch = watch->number,
                              .pid = event->pid,
                              .tid = event->tid,
                              .ev = event->ev,
                              .by_kernel = true,
                              .addr = watch->addr + first,
                              .size = end - first};
  memcpy(player->write.before, watch->last + first, shown);
  memcpy(player->write.after, now + first, shown);
  memcpy(watch->last, now, watch->size);
  player->pause = PAUSE_WRITE;
  return true;
}

bool watch_compare(Player *player, const Event *event) {
  PlaySpace *space = child_space(player, event->pid);
  for (size_t i = 0; space && i < space->nwatches; i++) {
    if (compare(player, space, &space->watches[i], event)) return true;
  }
  return false;
}

/* ---- memory that comes and goes */

bool watch_gone(PlaySpace *space, uint64_t start, uint64_t end, Fault *fault) {
  for (size_t i = 0; i < space->nwatches; i++) {
    PlayWatch *watch = &space->watches[i];
    const uint64_t first = watch->addr & ~(uint64_t)(PAGE - 1);
    const uint64_t last = (watch->addr + watch->size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    if (last <= start || end <= first) continue;
    if (first < start || end < last) {
      return fault_set(fault, FAULT_UNSUPPORTED, "watch: a part of 0x%llx is mapped anew",
                       (unsigned long long)watch->addr);
    }
    watch->armed = -1;
  }
  return true;
}

bool watch_again(PlayThread *thread, Fault *fault) {
  PlaySpace *space = thread->space;
  for (size_t i = 0; i < space->nwatches; i++) {
    PlayWatch *watch = &space->watches[i];
    const MapRange *range = maps_find(&space->maps, watch->addr);
    if (watch->armed >= 0 || !range || range->end < watch->addr + watch->size) continue;
    if (!probes_watch(space->probes, &thread->tracee, watch->addr, watch->size, &watch->armed,
                      fault)) {
      return false;
    }
  }
  return true;
}

bool watch_copy(const PlaySpace *from, PlaySpace *to, Fault *fault) {
  if (!array_grow(to->watches, to->watches_capacity, from->nwatches)) return fault_oom(fault);
  for (size_t i = 0; i < from->nwatches; i++) {
    PlayWatch *watch = &to->watches[to->nwatches];
    *watch = from->watches[i];
    watch->last = malloc(watch->size);
    if (!watch->last) return fault_oom(fault);
    memcpy(watch->last, from->watches[i].last, watch->size);
    to->nwatches++;
  }
  return true;
}

void watch_finish(PlaySpace *space) {
  for (size_t i = 0; i < space->nwatches; i++) free(space->watches[i].last);
  free(space->watches);
  space->watches = NULL;
  space->nwatches = space->watches_capacity = 0;
}
