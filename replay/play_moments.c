/*
** Moments: stops of what is played at the hit-th pass of an instruction since an event.
**
** Those of one interval between two events are counted at the same time, natively; of each address
** the next one.
*/
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "replay/play_inner.h"

static int compare(const void *a, const void *b) {
  const Moment *x = &((const PlayMoment *)a)->moment, *y = &((const PlayMoment *)b)->moment;
  if (x->ev != y->ev) return x->ev < y->ev ? -1 : 1;
  if (x->addr != y->addr) return x->addr < y->addr ? -1 : 1;
  return x->hit < y->hit ? -1 : x->hit > y->hit;
}

static bool missed(const Moment *moment, const char *why, Fault *fault) {
  return fault_set(fault, FAULT_NOTFOUND, "moment %" PRIu64 ":%d:0x%" PRIx64 ":%" PRIu64 ": %s",
                   moment->ev, (int)moment->tid, moment->addr, moment->hit, why);
}

/* Passes are counted from an event on: within an interval that has begun, only those of the
** instruction where the player stands are known. */
static bool is_past(const Player *player, const Moment *moment, uint64_t *out_passed) {
  const Moment *at = &player->moments.stands;
  *out_passed = 0;
  if (moment->ev != player->ev || !player->moved) return moment->ev < player->ev;
  *out_passed = at->hit;
  return !at->hit || at->ev != moment->ev || at->tid != moment->tid || at->addr != moment->addr ||
         at->hit >= moment->hit;
}

bool player_moments(Player *player, const Moment *list, size_t count, Fault *fault) {
  PlayMoments *moments = &player->moments;
  for (size_t i = moments->begin; i < moments->end; i++) {
    if (moments->list[i].reached) continue;
    return fault_set(fault, FAULT_INVALID, "player: moments are being waited for");
  }
  PlayMoments made = {.stands = moments->stands};
  if (!array_grow(made.list, made.capacity, count)) return fault_oom(fault);
  for (size_t i = 0; i < count; i++) {
    made.list[i] = (PlayMoment){.moment = list[i], .index = i};
    if (is_past(player, &list[i], &made.list[i].passed)) {
      free(made.list);
      return missed(&list[i], "it is past", fault);
    }
  }
  made.count = count;
  free(moments->list);
  *moments = made;
  if (count) qsort(moments->list, count, sizeof *moments->list, compare);
  return true;
}

/* The thread that runs next. */
static PlayThread *runner(const Player *player) {
  PlayThread *thread = player->event ? child_find(player, player->event->tid) : NULL;
  return thread && thread->stand == STAND_READY ? thread : NULL;
}

/* What is pending at an address begins to be counted; `passed`: so often has it come by. */
static bool count_next(Player *player, PlayThread *thread, size_t i, uint64_t passed,
                       Fault *fault) {
  PlayMoment *next = &player->moments.list[i];
  CodeRange body = {0};
  next->counted = true;
  return bodies_find(player, thread->space, next->moment.addr, &body, fault) &&
         probes_count(thread->space->probes, &thread->tracee, next->moment.addr, thread->tid,
                      next->moment.hit - passed, body, fault);
}

/* The interval behind player->ev begins: which moments are in it. */
static bool begin(Player *player, Fault *fault) {
  PlayMoments *moments = &player->moments;
  PlayThread *thread = runner(player);
  moments->begin = moments->end;
  while (moments->end < moments->count && moments->list[moments->end].moment.ev == player->ev) {
    moments->end++;
  }
  for (size_t i = moments->begin; i < moments->end; i++) {
    const Moment *moment = &moments->list[i].moment;
    if (!moment->hit) continue;
    if (!thread || thread->tid != moment->tid) {
      return missed(moment, "the thread does not run there", fault);
    }
    if (!patch_ready(player, thread, fault)) return false;
    const bool first = i == moments->begin || moments->list[i - 1].moment.addr != moment->addr ||
                       !moments->list[i - 1].moment.hit;
    if (first && !count_next(player, thread, i, moments->list[i].passed, fault)) return false;
  }
  return true;
}

/* Those that are reached without anything running. */
static void pause_at_once(Player *player) {
  PlayMoments *moments = &player->moments;
  for (size_t i = moments->begin; i < moments->end; i++) {
    PlayMoment *moment = &moments->list[i];
    if (moment->moment.hit || moment->reached) continue;
    moment->reached = true;
    moments->reached = moment->index;
    player->pause = PAUSE_MOMENT;
    return;
  }
}

bool moments_before(Player *player, Fault *fault) {
  PlayMoments *moments = &player->moments;
  if (moments->end < moments->count && moments->list[moments->end].moment.ev < player->ev) {
    return missed(&moments->list[moments->end].moment, "it is past", fault);
  }
  if (moments->end < moments->count && moments->list[moments->end].moment.ev == player->ev &&
      !begin(player, fault)) {
    return false;
  }
  pause_at_once(player);
  return true;
}

bool moments_reached(Player *player, PlayThread *thread, Fault *fault) {
  PlayMoments *moments = &player->moments;
  Tracee seen = thread->tracee;
  if (!probes_leave(thread->space->probes, &seen, fault)) return false;
  for (size_t i = moments->begin; i < moments->end; i++) {
    PlayMoment *moment = &moments->list[i];
    if (moment->moment.addr != seen.regs.rip || !moment->counted || moment->reached) continue;
    moment->reached = true;
    moments->reached = moment->index;
    moments->stands = moment->moment;
    player->pause = PAUSE_MOMENT;
    if (!probes_clear(thread->space->probes, &thread->tracee, seen.regs.rip, fault)) return false;
    const bool more = i + 1 < moments->end && moments->list[i + 1].moment.addr == seen.regs.rip;
    return !more || count_next(player, thread, i + 1, moment->moment.hit, fault);
  }
  return fault_set(fault, FAULT_INTERNAL, "player: a moment that nobody waits for, at 0x%" PRIx64,
                   (uint64_t)seen.regs.rip);
}

bool moments_after(Player *player, Fault *fault) {
  PlayMoments *moments = &player->moments;
  for (size_t i = moments->begin; i < moments->end; i++) {
    if (!moments->list[i].reached) {
      return missed(&moments->list[i].moment, "it does not come", fault);
    }
  }
  moments->begin = moments->end;
  return true;
}

void moments_leave(Player *player) { player->moments.stands = (Moment){0}; }

void moments_close(Player *player) { free(player->moments.list); }

bool player_goto(Player *player, const Moment *moment, Fault *fault) {
  PlayEnd end;
  uint64_t passed;
  if ((player->broken || is_past(player, moment, &passed)) && player->checkpoints.count) {
    if (!checkpoints_find(player, moment->ev)) return missed(moment, "nothing runs yet", fault);
    if (!player_rewind(player, moment->ev, fault)) return false;
  }
  player->moments.begin = player->moments.end;
  if (!player_moments(player, moment, 1, fault)) return false;
  if (!player_run(player, UINT64_MAX, &end, fault)) return false;
  return end.kind == PLAY_MOMENT || missed(moment, "it does not come", fault);
}
