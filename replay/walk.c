/*
** Walking forwards: see walk.h.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "replay/syscalls.h"
#include "replay/walk_inner.h"

/* ---- what there is to walk in ---------------------------------------------------------------- */

/* The events of the program that the process runs behind event ev. */
static bool read_bounds(Walk *walk, uint64_t ev, Fault *fault) {
  TraceCursor *cursor;
  const Event *event;
  bool ended = false, ok;
  if (!trace_open(walk->recording, &cursor, fault)) return false;
  while ((ok = trace_next(cursor, &event, fault)) && event && !ended) {
    const bool own = event->pid == walk->pid;
    const CallInfo *call = event->kind == EVENT_SYSCALL ? call_info(event->nr) : NULL;
    const bool born = call && call->class == CALL_SPAWN && event->ret == walk->pid;
    if (born || (own && event->kind == EVENT_IMAGE && event->ev <= ev)) walk->first = event->ev;
    ended = own && event->ev > ev && event->kind == EVENT_IMAGE;
    if (ended || !own || event->kind == EVENT_EXIT || event->kind == EVENT_END) continue;
    walk->last = event->ev;
    if (event->kind != EVENT_SIGNAL) continue;
    if (!array_grow(walk->signals, walk->signals_capacity, walk->nsignals + 1)) {
      ok = fault_oom(fault);
      break;
    }
    walk->signals[walk->nsignals++] = event->ev;
  }
  if (ok && walk->last < ev) walk->last = ev;
  trace_close(cursor);
  return ok;
}

bool walk_open(Recording *recording, Player *player, const Moment *moment, Walk **out,
               Fault *fault) {
  PlayView view;
  Walk *walk = calloc(1, sizeof *walk);
  if (!walk) return fault_oom(fault);
  walk->recording = recording;
  walk->player = player;
  walk->at.ev = moment->ev;
  bool ok = player_goto(player, moment, fault) && player_view(player, moment->tid, &view, fault);
  if (ok) walk->pid = view.pid;
  ok = ok && read_bounds(walk, moment->ev, fault) &&
       (!moment->hit || place_add(&walk->at, LEG_HIT, moment->addr, 0, moment->hit, fault));
  if (!ok) {
    walk_close(walk);
    return false;
  }
  *out = walk;
  return true;
}

void walk_close(Walk *walk) {
  if (!walk) return;
  place_finish(&walk->at);
  free(walk->signals);
  free(walk->breaks);
  free(walk->watches);
  free(walk->met);
  free(walk);
}

void walk_pass(Walk *walk, uint64_t signals) { walk->passed = signals; }

/* ---- breaks and watches ---------------------------------------------------------------------- */

bool walk_points(Walk *walk, const uint64_t *breaks, size_t nbreaks, const WalkWatch *watches,
                 size_t nwatches, Fault *fault) {
  if (!array_grow(walk->breaks, walk->breaks_capacity, nbreaks) ||
      !array_grow(walk->watches, walk->watches_capacity, nwatches) ||
      !array_grow(walk->met, walk->met_capacity, nbreaks + nwatches)) {
    return fault_oom(fault);
  }
  if (nbreaks) memcpy(walk->breaks, breaks, nbreaks * sizeof *breaks);
  if (nwatches) memcpy(walk->watches, watches, nwatches * sizeof *watches);
  walk->nbreaks = nbreaks;
  walk->nwatches = nwatches;
  return true;
}

static int compare(const void *a, const void *b) {
  const WalkWatch *x = a, *y = b;
  return (x->addr > y->addr) - (x->addr < y->addr);
}

/* Those that share a page are one for the player. */
static bool watch_all(Walk *walk, bool own, const Leg *leg, Fault *fault) {
  const bool more = leg && leg->kind == LEG_WRITE;
  size_t count = own ? walk->nwatches : 0, kept = 0;
  int32_t tid;
  PlayView view;
  int number;
  if (!count && !more) return true;
  if (!player_threads(walk->player, walk->pid, &tid, 1)) return true;
  if (!player_view(walk->player, tid, &view, fault)) return false;
  WalkWatch *list = calloc(count + 1, sizeof *list);
  if (!list) return fault_oom(fault);
  if (count) memcpy(list, walk->watches, count * sizeof *list);
  if (more) list[count++] = (WalkWatch){leg->addr, leg->size};
  qsort(list, count, sizeof *list, compare);
  for (size_t i = 1; i < count; i++) {
    WalkWatch *last = &list[kept];
    const uint64_t end = last->addr + last->size;
    if ((end - 1) / PAGE < list[i].addr / PAGE) {
      list[++kept] = list[i];
    } else if (list[i].addr + list[i].size > end) {
      last->size = list[i].addr + list[i].size - last->addr;
    }
  }
  bool ok = true;
  for (size_t i = 0; ok && i <= kept; i++) {
    ok = player_watch(walk->player, &view, list[i].addr, list[i].size, &number, fault);
  }
  free(list);
  return ok;
}

bool walk_arm(Walk *walk, bool breaks, bool watches, const Leg *leg, Fault *fault) {
  const bool more = leg && leg->kind == LEG_PASS;
  size_t count = breaks ? walk->nbreaks : 0;
  uint64_t *list = calloc(count + 1, sizeof *list);
  if (!list) return fault_oom(fault);
  if (count) memcpy(list, walk->breaks, count * sizeof *list);
  if (more) list[count++] = leg->addr;
  const bool ok = player_breaks(walk->player, walk->pid, list, count, fault) &&
                  watch_all(walk, watches, leg, fault);
  free(list);
  return ok;
}

bool walk_disarm(Walk *walk, Fault *fault) {
  return player_breaks(walk->player, walk->pid, NULL, 0, fault) &&
         player_unwatch(walk->player, fault);
}

void walk_forget(Walk *walk) {
  const size_t count = walk->nbreaks + walk->nwatches;
  if (count) memset(walk->met, 0, count * sizeof *walk->met);
  walk->met_ev = player_event(walk->player);
}

bool walk_touches(const Walk *walk, uint64_t addr, uint64_t size) {
  const PlayWrite *write = player_write(walk->player);
  return write->pid == walk->pid && write->addr < addr + size && addr < write->addr + write->size;
}

bool walk_turn(Walk *walk, int32_t *out_tid, uint64_t *out_rip, Fault *fault) {
  const Event *event;
  PlayView view;
  bool runs;
  *out_tid = 0;
  if (!player_turn(walk->player, &event, &runs, fault)) return false;
  if (!event || !runs) return true;
  const int32_t tid = event->tid;
  if (!player_view(walk->player, tid, &view, fault)) return false;
  *out_tid = tid;
  *out_rip = view.regs.rip;
  return true;
}

static bool is_break(const Walk *walk, uint64_t addr, size_t *out) {
  for (size_t i = 0; i < walk->nbreaks; i++) {
    if (walk->breaks[i] != addr) continue;
    if (out) *out = i;
    return true;
  }
  return false;
}

static bool met_break(Walk *walk, const Place *before, bool *out, Place *out_place,
                      WalkStop *out_stop, Fault *fault) {
  size_t i;
  uint64_t rip;
  int32_t tid;
  if (!walk_turn(walk, &tid, &rip, fault)) return false;
  *out = tid && is_break(walk, rip, &i);
  if (!*out) return true;
  *out_stop = (WalkStop){.kind = WALK_BREAK, .tid = tid, .addr = rip};
  return place_copy(before, before->nlegs, out_place, fault) &&
         place_add(out_place, before->nlegs ? LEG_PASS : LEG_HIT, rip, 0, ++walk->met[i], fault);
}

static bool met_write(Walk *walk, const Place *before, bool *out, Place *out_place,
                      WalkStop *out_stop, Fault *fault) {
  const PlayWrite *write = player_write(walk->player);
  size_t i = 0;
  while (i < walk->nwatches && !walk_touches(walk, walk->watches[i].addr, walk->watches[i].size)) {
    i++;
  }
  *out = i < walk->nwatches;
  if (!*out) return true;
  const WalkWatch *watch = &walk->watches[i];
  const Place after = {.ev = write->ev};
  *out_stop = (WalkStop){.kind = WALK_WRITE, .tid = write->tid, .addr = watch->addr};
  if (write->by_kernel) return place_copy(&after, 0, out_place, fault);
  return place_copy(before, before->nlegs, out_place, fault) &&
         place_add(out_place, LEG_WRITE, watch->addr, watch->size, ++walk->met[walk->nbreaks + i],
                   fault);
}

bool walk_met(Walk *walk, const PlayEnd *end, const Place *before, bool *out, Place *out_place,
              WalkStop *out_stop, Fault *fault) {
  const uint64_t ev = player_event(walk->player);
  const Place fresh = {.ev = ev};
  *out = false;
  if (ev != walk->met_ev) walk_forget(walk);
  if (ev != before->ev) before = &fresh;
  if (end->kind == PLAY_BREAK) return met_break(walk, before, out, out_place, out_stop, fault);
  if (end->kind == PLAY_WRITE) return met_write(walk, before, out, out_place, out_stop, fault);
  return true;
}

/* ---- forwards -------------------------------------------------------------------------------- */

int32_t walk_tid(Walk *walk) {
  int32_t tid = 0, own;
  uint64_t rip;
  PlayView view;
  Fault ignored = {0};
  if (walk_turn(walk, &tid, &rip, &ignored) && tid &&
      player_view(walk->player, tid, &view, &ignored) && view.pid == walk->pid) {
    return tid;
  }
  return player_threads(walk->player, walk->pid, &own, 1) ? own : 0;
}

static bool stands(Walk *walk, uint64_t ev, WalkKind kind, WalkStop *out) {
  walk->at.ev = ev;
  walk->at.nlegs = 0;
  *out = (WalkStop){.kind = kind, .tid = walk_tid(walk)};
  return true;
}

/* The signal that event ev is, and its thread. */
static bool read_signal(Walk *walk, uint64_t ev, WalkStop *out, Fault *fault) {
  TraceCursor *cursor;
  const Event *event;
  if (!trace_open(walk->recording, &cursor, fault)) return false;
  const bool ok = trace_seek(cursor, ev, fault) && trace_next(cursor, &event, fault);
  if (ok && event && event->ev == ev && event->kind == EVENT_SIGNAL) {
    *out = (WalkStop){.kind = WALK_SIGNAL, .tid = event->tid, .signal = event->nr};
  }
  trace_close(cursor);
  return ok;
}

/* The next event at which it must stop, whatever is asked for. */
static uint64_t next_event(const Walk *walk) {
  const uint64_t ev = player_event(walk->player);
  for (size_t i = 0; i < walk->nsignals; i++) {
    if (walk->signals[i] > ev && walk->signals[i] < walk->last) return walk->signals[i];
  }
  return walk->last;
}

/* To the next stop, or until event `until`. */
static bool run(Walk *walk, uint64_t until, bool *out_met, WalkStop *out, Fault *fault) {
  Place before = {0};
  PlayEnd end = {0};
  *out_met = false;
  walk_forget(walk);
  bool ok = place_copy(&walk->at, walk->at.nlegs, &before, fault) &&
            walk_arm(walk, true, true, NULL, fault);
  do {
    ok = ok && player_run(walk->player, until, &end, fault) &&
         walk_met(walk, &end, &before, out_met, &walk->at, out, fault);
  } while (ok && !*out_met && end.kind != PLAY_REACHED && end.kind != PLAY_END);
  place_finish(&before);
  if (!ok || !walk_disarm(walk, fault)) return false;
  if (!*out_met) stands(walk, player_event(walk->player), WALK_STEPPED, out);
  return true;
}

bool walk_on(Walk *walk, WalkStop *out, Fault *fault) {
  for (;;) {
    const uint64_t until = next_event(walk);
    bool met;
    if (player_event(walk->player) >= walk->last) {
      *out = (WalkStop){.kind = WALK_END, .tid = walk_tid(walk)};
      return true;
    }
    if (!run(walk, until, &met, out, fault)) return false;
    if (met) return true;
    if (walk->at.ev >= walk->last || walk->at.ev < until) {
      out->kind = WALK_END;
      return true;
    }
    if (!read_signal(walk, walk->at.ev, out, fault)) return false;
    if (out->kind == WALK_SIGNAL && !(out->signal < 64 && walk->passed >> out->signal & 1)) {
      return true;
    }
  }
}

/* The thread's turn: it runs an instruction, or comes to its event. *out_done: it has. */
static bool step_own(Walk *walk, EventKind kind, bool *out_done, WalkStop *out, Fault *fault) {
  PlayEnd end;
  bool met = false;
  Place before = {0};
  int32_t tid;
  uint64_t rip;
  const uint64_t ev = player_event(walk->player);
  walk_forget(walk);
  bool ok = place_copy(&walk->at, walk->at.nlegs, &before, fault) &&
            walk_arm(walk, false, true, NULL, fault) && player_step(walk->player, &end, fault) &&
            walk_met(walk, &end, &before, &met, &before, out, fault);
  place_finish(&before);
  if (!ok || !walk_disarm(walk, fault)) return false;
  *out_done = true;
  if (player_event(walk->player) != ev) {
    *out_done = kind == EVENT_SYSCALL || kind == EVENT_TRAP || kind == EVENT_SIGNAL || met;
    WalkStop ignored;
    return stands(walk, player_event(walk->player), WALK_STEPPED, met ? &ignored : out);
  }
  if (!walk_turn(walk, &tid, &rip, fault)) return false;
  if (!met) *out = (WalkStop){.kind = WALK_STEPPED, .tid = tid};
  return place_add(&walk->at, LEG_STEPS, 0, 0, 1, fault);
}

bool walk_step(Walk *walk, int32_t tid, WalkStop *out, Fault *fault) {
  for (bool done = false; !done;) {
    const Event *event;
    PlayView view;
    Fault ignored = {0};
    bool runs, met;
    if (!player_turn(walk->player, &event, &runs, fault)) return false;
    if (!event || player_event(walk->player) >= walk->last) {
      *out = (WalkStop){.kind = WALK_END, .tid = walk_tid(walk)};
      return true;
    }
    const EventKind kind = event->kind;
    const bool own = event->tid == tid;
    if (own && runs) {
      if (!step_own(walk, kind, &done, out, fault)) return false;
    } else {
      if (!run(walk, event->ev, &met, out, fault)) return false;
      done = met || (own && (kind == EVENT_SYSCALL || kind == EVENT_SIGNAL));
    }
    if (!done && !player_view(walk->player, tid, &view, &ignored)) return true; /* it has ended */
    if (done && out->kind == WALK_STEPPED && player_view(walk->player, tid, &view, &ignored)) {
      out->tid = tid;
    }
  }
  return true;
}

bool walk_settle(Walk *walk, Fault *fault) {
  const Place place = {.ev = player_event(walk->player)};
  walk->at.nlegs = 0;
  walk->at.ev = place.ev;
  return walk_goto(walk, &place, fault);
}

/* ---- what it is called ----------------------------------------------------------------------- */

/* Is the n-th pass of the instruction the place with these registers? */
static bool try_moment(Walk *walk, const Moment *moment, const struct user_regs_struct *regs,
                       bool *out, Fault *fault) {
  PlayView view;
  Fault why = {0};
  *out = player_goto(walk->player, moment, &why) &&
         player_view(walk->player, moment->tid, &view, &why) &&
         memcmp(&view.regs, regs, sizeof *regs) == 0;
  return why.code == FAULT_NONE || why.code == FAULT_NOTFOUND || why.code == FAULT_UNSUPPORTED ||
         fault_set(fault, why.code, "%s", why.text);
}

bool walk_name(Walk *walk, const Place *place, bool *out_found, Moment *out, Fault *fault) {
  PlayView view;
  uint64_t passes;
  *out_found = false;
  *out = (Moment){.ev = place->ev};
  if (!walk_goto(walk, place, fault) || !walk_turn(walk, &out->tid, &out->addr, fault)) {
    return false;
  }
  if (!out->tid) return true;
  if (!player_view(walk->player, out->tid, &view, fault)) return false;
  const struct user_regs_struct regs = view.regs;
  if (!walk_passes(walk, place, out->addr, &passes, fault)) return false;
  for (int i = 0; i < 3 && !*out_found; i++) {
    out->hit = passes + (uint64_t)(i == 2 ? -1 : i);
    if (out->hit && !try_moment(walk, out, &regs, out_found, fault)) return false;
  }
  return true;
}

bool walk_moment(Walk *walk, Moment *out, Fault *fault) {
  bool found;
  Place place = {.ev = walk->at.ev};
  *out = (Moment){.ev = walk->at.ev};
  if (!walk_turn(walk, &out->tid, &out->addr, fault)) return false;
  if (!walk->at.nlegs || !out->tid) {
    out->tid = out->tid ? out->tid : walk_tid(walk);
    out->addr = 0;
    return true;
  }
  if (walk->at.nlegs == 1 && walk->at.legs[0].kind == LEG_HIT) {
    out->hit = walk->at.legs[0].count;
    return true;
  }
  if (!walk_name(walk, &walk->at, &found, out, fault)) return false;
  if (!found) {
    return walk_goto(walk, &walk->at, fault) &&
           fault_set(fault, FAULT_NOTFOUND, "this is in the midst of an instruction");
  }
  const bool ok = place_add(&place, LEG_HIT, out->addr, 0, out->hit, fault) &&
                  place_copy(&place, 1, &walk->at, fault);
  place_finish(&place);
  return ok;
}
