/*
** Places of a walk: how they are told, and the way there.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "replay/walk_inner.h"

/* ---- how they are told ----------------------------------------------------------------------- */

bool place_copy(const Place *from, size_t nlegs, Place *to, Fault *fault) {
  if (from != to && !array_grow(to->legs, to->capacity, nlegs)) return fault_oom(fault);
  if (from != to && nlegs) memcpy(to->legs, from->legs, nlegs * sizeof *to->legs);
  to->ev = from->ev;
  to->nlegs = nlegs;
  return true;
}

/* Steps behind steps are steps. */
bool place_add(Place *place, LegKind kind, uint64_t addr, uint64_t size, uint64_t count,
               Fault *fault) {
  Leg *last = place->nlegs ? &place->legs[place->nlegs - 1] : NULL;
  if (kind == LEG_STEPS && last && last->kind == LEG_STEPS) {
    last->count += count;
    return true;
  }
  if (!array_grow(place->legs, place->capacity, place->nlegs + 1)) return fault_oom(fault);
  place->legs[place->nlegs++] = (Leg){kind, addr, size, count};
  return true;
}

bool place_same(const Place *a, const Place *b) {
  bool same = a->ev == b->ev && a->nlegs == b->nlegs;
  for (size_t i = 0; same && i < a->nlegs; i++) {
    const Leg *x = &a->legs[i], *y = &b->legs[i];
    same = x->kind == y->kind && x->addr == y->addr && x->size == y->size && x->count == y->count;
  }
  return same;
}

void place_finish(Place *place) {
  free(place->legs);
  *place = (Place){0};
}

/* ---- the way there --------------------------------------------------------------------------- */

bool walk_runner(Walk *walk, uint64_t ev, int32_t *out, Fault *fault) {
  TraceCursor *cursor;
  const Event *event;
  *out = 0;
  if (!trace_open(walk->recording, &cursor, fault)) return false;
  const bool ok = trace_seek(cursor, ev + 1, fault) && trace_next(cursor, &event, fault);
  if (ok && event) *out = event->tid;
  trace_close(cursor);
  return ok;
}

static bool lost(const Walk *walk, const Place *place, Fault *fault) {
  return fault_set(fault, FAULT_INTERNAL, "walk: a place behind event %llu is not found again",
                   (unsigned long long)(place ? place->ev : player_event(walk->player)));
}

/* The passes that count have come / the writes have. */
static bool counts(Walk *walk, const Leg *leg, const PlayEnd *end, bool *out, Fault *fault) {
  int32_t tid;
  uint64_t rip = 0;
  *out = false;
  if (end->kind == PLAY_BREAK && leg->kind == LEG_PASS) {
    if (!walk_turn(walk, &tid, &rip, fault)) return false;
    *out = rip == leg->addr;
  }
  if (end->kind == PLAY_WRITE && leg->kind == LEG_WRITE) {
    *out = !player_write(walk->player)->by_kernel && walk_touches(walk, leg->addr, leg->size);
  }
  return true;
}

/* What is met on the way, if somebody wants to know. */
typedef struct Look {
  bool found;
  const Place *to;
  Place *place;
  WalkStop *stop;
} Look;

static bool look(Walk *walk, Look *look, const PlayEnd *end, const Place *before, Fault *fault) {
  Place place = {0};
  WalkStop stop;
  bool met;
  if (!look) return true;
  bool ok = walk_met(walk, end, before, &met, &place, &stop, fault);
  /* One at the place itself is none; but a write stands before it. */
  if (ok && met && (stop.kind == WALK_WRITE || !place_same(&place, look->to))) {
    look->found = true;
    *look->stop = stop;
    ok = place_copy(&place, place.nlegs, look->place, fault);
  }
  place_finish(&place);
  return ok;
}

/* Behind the i-th step. */
static bool look_step(Walk *walk, Look *seen, const PlayEnd *end, const Place *before, uint64_t i,
                      bool last, Fault *fault) {
  int32_t tid;
  uint64_t rip;
  WalkStop stop = {.kind = WALK_STEPPED};
  if (!walk_turn(walk, &tid, &rip, fault)) return false;
  for (size_t k = 0; k < walk->nwatches && end->kind == PLAY_WRITE; k++) {
    if (!walk_touches(walk, walk->watches[k].addr, walk->watches[k].size)) continue;
    stop = (WalkStop){.kind = WALK_WRITE, .tid = tid, .addr = walk->watches[k].addr};
  }
  for (size_t k = 0; k < walk->nbreaks && !last; k++) {
    if (walk->breaks[k] == rip) stop = (WalkStop){.kind = WALK_BREAK, .tid = tid, .addr = rip};
  }
  if (stop.kind == WALK_STEPPED) return true;
  *seen->stop = stop;
  seen->found = true;
  return place_copy(before, before->nlegs, seen->place, fault) &&
         place_add(seen->place, LEG_STEPS, 0, 0, i, fault);
}

static bool go_steps(Walk *walk, uint64_t count, const Place *before, Look *seen, Fault *fault) {
  bool ok = walk_arm(walk, false, seen != NULL, NULL, fault);
  for (uint64_t i = 1; ok && i <= count; i++) {
    PlayEnd end;
    ok = player_step(walk->player, &end, fault);
    if (ok && end.kind != PLAY_STEP && end.kind != PLAY_WRITE) ok = lost(walk, before, fault);
    const bool last = seen && i == count && before->nlegs + 1 == seen->to->nlegs;
    if (ok && seen) ok = look_step(walk, seen, &end, before, i, last, fault);
  }
  return ok && walk_disarm(walk, fault);
}

static bool go_passes(Walk *walk, const Leg *leg, const Place *before, Look *seen, Fault *fault) {
  uint64_t left = leg->count;
  bool ok = walk_arm(walk, seen != NULL, seen != NULL, leg, fault);
  walk_forget(walk);
  while (ok && left) {
    PlayEnd end;
    bool counted;
    ok = player_run(walk->player, player_event(walk->player) + 1, &end, fault) &&
         counts(walk, leg, &end, &counted, fault);
    if (ok && end.kind != PLAY_BREAK && end.kind != PLAY_WRITE) ok = lost(walk, before, fault);
    left -= ok && counted;
    ok = ok && look(walk, seen, &end, before, fault);
  }
  return ok && walk_disarm(walk, fault);
}

/* The first leg, counted natively. */
static bool go_hits(Walk *walk, const Leg *leg, const Place *before, Look *seen, Fault *fault) {
  Moment moment = {.ev = before->ev, .addr = leg->addr, .hit = leg->count};
  PlayEnd end = {0};
  if (!walk_runner(walk, before->ev, &moment.tid, fault)) return false;
  if (!seen) return player_goto(walk->player, &moment, fault);
  bool ok =
      walk_arm(walk, true, true, NULL, fault) && player_moments(walk->player, &moment, 1, fault);
  walk_forget(walk);
  while (ok && end.kind != PLAY_MOMENT) {
    ok = player_run(walk->player, moment.ev + 1, &end, fault);
    if (ok && end.kind == PLAY_REACHED) ok = lost(walk, before, fault);
    ok = ok && look(walk, seen, &end, before, fault);
  }
  return ok && walk_disarm(walk, fault);
}

/* From where the interval begins. */
static bool go_legs(Walk *walk, const Place *place, Look *seen, Fault *fault) {
  Place before = {.ev = place->ev};
  bool ok = true;
  for (size_t i = 0; ok && i < place->nlegs; i++) {
    const Leg *leg = &place->legs[i];
    ok = place_copy(place, i, &before, fault);
    if (!ok) break;
    switch (leg->kind) {
    case LEG_HIT:
      ok = go_hits(walk, leg, &before, seen, fault);
      break;
    case LEG_STEPS:
      ok = go_steps(walk, leg->count, &before, seen, fault);
      break;
    default:
      ok = go_passes(walk, leg, &before, seen, fault);
      break;
    }
  }
  place_finish(&before);
  return ok;
}

bool walk_goto(Walk *walk, const Place *place, Fault *fault) {
  const Moment moment = {.ev = place->ev};
  const bool begins = place->nlegs && place->legs[0].kind == LEG_HIT;
  return (begins || player_goto(walk->player, &moment, fault)) && go_legs(walk, place, NULL, fault);
}

bool walk_look(Walk *walk, uint64_t from, const Place *to, bool *out_found, Place *out,
               WalkStop *out_stop, Fault *fault) {
  const Moment moment = {.ev = from};
  Look seen = {.to = to, .place = out, .stop = out_stop};
  PlayEnd end = {0};
  const Place none = {.ev = from};
  bool ok = player_goto(walk->player, &moment, fault) && walk_arm(walk, true, true, NULL, fault);
  walk_forget(walk);
  while (ok && player_event(walk->player) < to->ev) {
    ok = player_run(walk->player, to->ev, &end, fault);
    if (ok && end.kind == PLAY_END) ok = lost(walk, to, fault);
    ok = ok && look(walk, &seen, &end, &none, fault);
  }
  ok = ok && walk_disarm(walk, fault) && go_legs(walk, to, &seen, fault);
  *out_found = seen.found;
  return ok;
}

/* ---- how often an instruction was come to ---------------------------------------------------- */

static bool is_at(Walk *walk, uint64_t addr, bool *out, Fault *fault) {
  int32_t tid;
  uint64_t rip = 0;
  if (!walk_turn(walk, &tid, &rip, fault)) return false;
  *out = tid && rip == addr;
  return true;
}

static bool count_steps(Walk *walk, uint64_t steps, uint64_t addr, uint64_t *count, Fault *fault) {
  for (uint64_t i = 0; i < steps; i++) {
    PlayEnd end;
    bool there;
    if (!player_step(walk->player, &end, fault) || !is_at(walk, addr, &there, fault)) return false;
    *count += there;
  }
  return true;
}

/* Natively. One that it stands at already was counted when it came there. */
static bool count_leg(Walk *walk, const Place *before, const Leg *leg, uint64_t addr,
                      uint64_t *count, Fault *fault) {
  uint64_t list[1] = {addr}, passes = 0;
  int32_t tid;
  uint64_t rip;
  bool there = false;
  if (!walk_turn(walk, &tid, &rip, fault)) return false;
  if (before->nlegs && rip == addr) --*count;
  bool ok = player_tally(walk->player, tid, list, 1, fault);
  if (leg->kind == LEG_HIT) {
    const Moment moment = {before->ev, tid, leg->addr, leg->count};
    PlayEnd end;
    ok = ok && player_moments(walk->player, &moment, 1, fault) &&
         player_run(walk->player, before->ev + 1, &end, fault) &&
         (end.kind == PLAY_MOMENT || lost(walk, before, fault));
  } else {
    ok = ok && go_passes(walk, leg, before, NULL, fault);
  }
  ok = ok && player_tallied(walk->player, tid, list, 1, &passes, fault) &&
       (leg->kind != LEG_WRITE || is_at(walk, addr, &there, fault));
  *count += passes + there;
  return ok;
}

bool walk_passes(Walk *walk, const Place *place, uint64_t addr, uint64_t *out, Fault *fault) {
  const Place start = {.ev = place->ev};
  Place before = {.ev = place->ev};
  bool there;
  *out = 0;
  bool ok = walk_goto(walk, &start, fault) && is_at(walk, addr, &there, fault);
  if (ok && place->nlegs && place->legs[0].kind == LEG_STEPS) *out = there;
  for (size_t i = 0; ok && i < place->nlegs; i++) {
    const Leg *leg = &place->legs[i];
    ok = place_copy(place, i, &before, fault) &&
         (leg->kind == LEG_STEPS ? count_steps(walk, leg->count, addr, out, fault)
                                 : count_leg(walk, &before, leg, addr, out, fault));
  }
  place_finish(&before);
  return ok;
}
