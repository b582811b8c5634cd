/*
** Where there is room for what is ours: addresses that no process of the whole recording ever maps.
** They are the same in all of them, so that a fork or an execve changes nothing for us.
*/
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/array.h"
#include "replay/play_inner.h"

enum { COMPACT_AT = 1 << 16 };
#define GRAIN ((uint64_t)1 << 16)  /* places begin at a multiple */
#define APART ((uint64_t)1 << 20)  /* and stay away from what the program has */
#define LOWEST ((uint64_t)1 << 16) /* nothing can be mapped below */

static int compare(const void *a, const void *b) {
  const CodeRange *x = a, *y = b;
  return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Sorted, and what touches is one. */
static void compact(PlayPlaces *places) {
  size_t kept = 0;
  if (places->count) qsort(places->taken, places->count, sizeof *places->taken, compare);
  for (size_t i = 0; i < places->count; i++) {
    const CodeRange *range = &places->taken[i];
    if (kept && range->lo <= places->taken[kept - 1].hi) {
      if (range->hi > places->taken[kept - 1].hi) places->taken[kept - 1].hi = range->hi;
    } else {
      places->taken[kept++] = *range;
    }
  }
  places->count = kept;
}

static bool add(PlayPlaces *places, uint64_t lo, uint64_t hi, Fault *fault) {
  if (lo >= hi) return true;
  if (places->count >= places->compact_at) {
    compact(places);
    places->compact_at = places->count * 2 + COMPACT_AT;
  }
  if (!array_grow(places->taken, places->capacity, places->count + 1)) return fault_oom(fault);
  places->taken[places->count++] =
      (CodeRange){lo > APART ? lo - APART : 0, hi < SPACE_TOP - APART ? hi + APART : SPACE_TOP};
  return true;
}

static bool add_image(PlayPlaces *places, const Event *event, Fault *fault) {
  for (int i = 0; i < event->nchunks; i++) {
    TraceMap map;
    if (event->chunks[i].kind != CHUNK_MAP || event->chunks[i].size < sizeof map) continue;
    memcpy(&map, event->chunks[i].bytes, sizeof map);
    uint64_t lo = map.start;
    if (map.flags & MAP_GROWSDOWN && lo > PLAY_STACK) lo = map.end - PLAY_STACK;
    if (!add(places, lo, map.end, fault)) return false;
  }
  return true;
}

/* From where the heap of the process ended before. */
static bool add_heap(PlayPlaces *places, Map *ends, const Event *event, Fault *fault) {
  int64_t *end = map_put(ends, &event->pid, sizeof event->pid, event->ret, NULL);
  if (!end) return fault_oom(fault);
  const uint64_t now = (uint64_t)event->ret, before = *end ? (uint64_t)*end : now;
  *end = event->ret;
  return add(places, before < now ? before : now, now + 1, fault);
}

static bool add_event(PlayPlaces *places, Map *ends, const Event *event, Fault *fault) {
  if (event->kind == EVENT_IMAGE) {
    int64_t *end = map_get(ends, &event->pid, sizeof event->pid);
    if (end) *end = 0;
    return add_image(places, event, fault);
  }
  if (event->kind != EVENT_SYSCALL || (event->ret < 0 && event->ret > -4096)) return true;
  const uint64_t at = (uint64_t)event->ret;
  const uint64_t size = event->nr == SYS_mremap ? event->args[2] : event->args[1];
  switch (event->nr) {
  case SYS_mmap:
  case SYS_mremap:
    return add(places, at, at + size < at ? SPACE_TOP : at + size, fault);
  case SYS_brk:
    return add_heap(places, ends, event, fault);
  default:
    return true;
  }
}

/* One pass over the whole recording. */
static bool look(Player *player, Fault *fault) {
  PlayPlaces *places = &player->places;
  TraceCursor *cursor;
  const Event *event = NULL;
  Map ends = {0};
  if (!trace_open(player->recording, &cursor, fault)) return false;
  bool ok = add(places, SPACE_PAGE, SPACE_PAGE + SPACE_PAGE_SIZE, fault);
  while (ok && (ok = trace_next(cursor, &event, fault)) && event) {
    ok = add_event(places, &ends, event, fault);
  }
  map_finish(&ends);
  trace_close(cursor);
  compact(places);
  return places->known = ok;
}

bool places_look(Player *player, Fault *fault) {
  return player->places.known || look(player, fault);
}

static uint64_t grain_up(uint64_t n) { return (n + GRAIN - 1) & ~(GRAIN - 1); }

/* Where what overlaps at..at + size ends; 0: nothing does. */
static uint64_t end_of(const CodeRange *list, size_t count, uint64_t at, uint64_t size) {
  for (size_t i = 0; i < count; i++) {
    if (list[i].lo < at + size && at < list[i].hi) return list[i].hi;
  }
  return 0;
}

bool places_take(void *ctx, uint64_t low, uint64_t high, uint64_t size, uint64_t *out) {
  PlayPlaces *places = &((Player *)ctx)->places;
  uint64_t at = grain_up(low > LOWEST ? low : LOWEST), end = 1;
  while (end) {
    if (at > high || high - at < size || at > SPACE_TOP - size) return false;
    end = end_of(places->taken, places->count, at, size);
    if (!end) end = end_of(places->given, places->ngiven, at, size);
    if (end) at = grain_up(end);
  }
  if (!array_grow(places->given, places->given_capacity, places->ngiven + 1)) return false;
  places->given[places->ngiven++] = (CodeRange){at, at + size};
  *out = at;
  return true;
}
