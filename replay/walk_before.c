/*
** Walking backwards: see walk.h.
**
** Where a thread was before its last instruction is known when it came by single steps. Otherwise
** it goes there again one instruction at a time, from the last place that is known, and counts.
*/
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "replay/walk_inner.h"

enum { STEPS_MOST = 4000, CODE_MOST = 1 << 16 };

/* ---- one instruction at a time --------------------------------------------------------------- */

static bool too_far(Fault *fault) {
  return fault_set(fault, FAULT_LIMIT,
                   "the instruction before is more than %d instructions behind the last place that "
                   "is known; break nearer to it, and go back from there",
                   (int)STEPS_MOST);
}

/* A string instruction that repeats itself is one pass, but a step for each repetition. */
static bool repeats(Walk *walk, int32_t tid, uint64_t rip) {
  PlayView view;
  Fault ignored = {0};
  uint8_t code[4] = {0};
  if (!player_view(walk->player, tid, &view, &ignored) ||
      !player_read(walk->player, &view, rip, code, sizeof code, &ignored)) {
    return false;
  }
  return code[0] == 0xf3 || code[0] == 0xf2 || (code[0] == 0x66 && (code[1] & 0xfe) == 0xf2);
}

/* From the place on, how many instructions are there until the leg has been gone (NULL: until the
** next event has been applied, its instruction not counted)? */
static bool count_steps(Walk *walk, const Place *from, const Leg *leg, uint64_t *out,
                        Fault *fault) {
  uint64_t passes = 0, before = 0, rip;
  const bool writes = leg && leg->kind == LEG_WRITE;
  int32_t tid;
  if (!walk_goto(walk, from, fault)) return false;
  if (writes && !walk_arm(walk, false, false, leg, fault)) return false;
  for (*out = 0; *out < STEPS_MOST; ++*out) {
    PlayEnd end;
    if (!walk_turn(walk, &tid, &rip, fault)) return false;
    const bool again = *out && rip == before && leg && rip == leg->addr && repeats(walk, tid, rip);
    if (leg && !writes && rip == leg->addr && !again && ++passes == leg->count) return true;
    before = rip;
    if (!player_step(walk->player, &end, fault)) return false;
    if (end.kind == PLAY_WRITE && writes && walk_touches(walk, leg->addr, leg->size) &&
        ++passes == leg->count) {
      ++*out;
      return walk_disarm(walk, fault);
    }
    if (end.kind == PLAY_STEP || end.kind == PLAY_WRITE) continue;
    return !leg || fault_set(fault, FAULT_INTERNAL, "walk: a place behind event %llu is gone",
                             (unsigned long long)from->ev);
  }
  return too_far(fault);
}

/* ---- from afar ------------------------------------------------------------------------------- */

typedef struct Far {
  Walk *walk;
  const Moment *target;
  Place *out;
  bool is_switch; /* the last step before the event is not taken */
} Far;

/* Steps from the pass to the target: when they are few, the place before it is known. */
static bool try_near(void *ctx, const Moment *from, bool *out_done, Fault *fault) {
  const Far *far = ctx;
  const Moment *target = far->target;
  const Leg leg = {
      .kind = LEG_PASS, .addr = target->addr, .count = from->addr == target->addr ? 2 : 1};
  const Place start = {.ev = from->ev};
  Fault why = {0};
  uint64_t steps;
  if (!place_copy(&start, 0, far->out, fault) ||
      !place_add(far->out, LEG_HIT, from->addr, 0, from->hit, fault)) {
    return false;
  }
  *out_done = count_steps(far->walk, far->out, target->hit ? &leg : NULL, &steps, &why);
  if (!*out_done) {
    return why.code == FAULT_LIMIT || fault_set(fault, why.code, "%s", why.text);
  }
  const bool one_less = target->hit || far->is_switch;
  if (one_less && !steps) return fault_set(fault, FAULT_INTERNAL, "walk: a place before itself");
  steps -= one_less;
  return !steps || place_add(far->out, LEG_STEPS, 0, 0, steps, fault);
}

/* Before a place of which the last leg is far. */
static bool before_far(Walk *walk, const Place *place, Place *out, Fault *fault) {
  Moment target;
  bool found, done;
  Far far = {.walk = walk, .target = &target, .out = out};
  if (!walk_name(walk, place, &found, &target, fault)) return false;
  if (!found) return too_far(fault);
  return walk_near(walk, &target, target.addr, target.addr, try_near, &far, &done, fault) &&
         (done || too_far(fault));
}

/* ---- writes ---------------------------------------------------------------------------------- */

/* The pass of the writing instruction that the last leg, a write, is behind. */
static bool before_write(Walk *walk, const Place *place, Place *out, Fault *fault) {
  const Leg leg = place->legs[place->nlegs - 1];
  uint64_t writes = 0, passes = 0, rip = 0;
  int32_t tid;
  if (!walk_goto(walk, place, fault)) return false;
  const uint64_t pc = player_write(walk->player)->pc;
  const Leg pass = {.kind = LEG_PASS, .addr = pc};
  if (!place_copy(place, place->nlegs - 1, out, fault) || !walk_goto(walk, out, fault) ||
      !walk_arm(walk, false, false, &leg, fault) ||
      !player_breaks(walk->player, walk->pid, &pass.addr, 1, fault)) {
    return false;
  }
  while (writes < leg.count) {
    PlayEnd end;
    if (!player_run(walk->player, place->ev + 1, &end, fault)) return false;
    if (end.kind == PLAY_BREAK && !walk_turn(walk, &tid, &rip, fault)) return false;
    passes += end.kind == PLAY_BREAK && rip == pc;
    writes += end.kind == PLAY_WRITE && !player_write(walk->player)->by_kernel &&
              walk_touches(walk, leg.addr, leg.size);
    if (end.kind == PLAY_BREAK || end.kind == PLAY_WRITE) continue;
    return fault_set(fault, FAULT_INTERNAL, "walk: a write behind event %llu is gone",
                     (unsigned long long)place->ev);
  }
  return walk_disarm(walk, fault) &&
         place_add(out, out->nlegs ? LEG_PASS : LEG_HIT, pc, 0, passes, fault);
}

/* ---- events ---------------------------------------------------------------------------------- */

typedef struct Past {
  uint64_t ev;
  EventKind kind;
  int nr;
  uint64_t rip;   /* 0: not told */
  bool by_itself; /* a signal that the thread's own instruction raised */
} Past;

static bool raised(const Event *event) {
  siginfo_t info = {0};
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    if (chunk->kind == CHUNK_SIGINFO && chunk->size >= sizeof info) {
      memcpy(&info, chunk->bytes, sizeof info);
    }
  }
  return info.si_code > 0 && (event->nr == SIGSEGV || event->nr == SIGBUS || event->nr == SIGFPE ||
                              event->nr == SIGILL || event->nr == SIGTRAP);
}

/* The last two events of the thread up to ev, behind the program's beginning, to which it ran. */
static bool last_events(Walk *walk, int32_t tid, uint64_t ev, Past out[2], Fault *fault) {
  for (uint64_t window = 64;; window *= 8) {
    TraceCursor *cursor;
    const Event *event;
    const uint64_t from = ev > walk->first + window ? ev - window : walk->first + 1;
    bool ok;
    out[0] = out[1] = (Past){0};
    if (!trace_open(walk->recording, &cursor, fault)) return false;
    ok = trace_seek(cursor, from, fault);
    while (ok && (ok = trace_next(cursor, &event, fault)) && event && event->ev <= ev) {
      const bool runs = event->kind == EVENT_SYSCALL || event->kind == EVENT_ENTER ||
                        event->kind == EVENT_TRAP || event->kind == EVENT_SIGNAL ||
                        event->kind == EVENT_SWITCH;
      if (event->tid != tid || !runs) continue;
      out[1] = out[0];
      out[0] = (Past){event->ev, event->kind, event->nr, event->has_regs ? event->regs.rip : 0,
                      event->kind == EVENT_SIGNAL && raised(event)};
    }
    trace_close(cursor);
    if (!ok || out[1].ev || from == walk->first + 1) return ok;
  }
}

/* The instructions ahead of the one at addr, the nearest first. */
static size_t look_ahead(Walk *walk, int32_t tid, uint64_t addr, uint64_t *out, size_t most) {
  uint64_t *code = malloc(CODE_MOST * sizeof *code);
  const size_t all = code ? player_code(walk->player, tid, addr, code, CODE_MOST) : 0;
  size_t at = 0, count = 0;
  while (at < all && at < CODE_MOST && code[at] != addr) at++;
  while (at < all && at < CODE_MOST && count < most && at > 0) out[count++] = code[--at];
  free(code);
  return count;
}

/* Is the thread there after so many steps from the only pass of the instruction `from`? */
static bool try_call(Walk *walk, int32_t tid, uint64_t ev, uint64_t from, uint64_t steps,
                     uint64_t at, Place *out, bool *out_there, Fault *fault) {
  const Place start = {.ev = ev};
  PlayView view;
  Fault why = {0};
  if (!place_copy(&start, 0, out, fault) || !place_add(out, LEG_HIT, from, 0, 1, fault) ||
      (steps && !place_add(out, LEG_STEPS, 0, 0, steps, fault))) {
    return false;
  }
  *out_there = walk_goto(walk, out, &why) && player_view(walk->player, tid, &view, &why) &&
               view.regs.rip == at;
  if (*out_there || why.code == FAULT_NONE || why.code == FAULT_NOTFOUND ||
      why.code == FAULT_UNSUPPORTED || why.code == FAULT_INTERNAL) {
    return true;
  }
  return fault_set(fault, why.code, "%s", why.text);
}

/* The instruction of a system call is two bytes, and is passed once in its interval, as is what
** leads to it. (It cannot be counted itself, for it cannot be moved.) */
static bool before_call(Walk *walk, int32_t tid, const Past *past, Place *out, bool *out_there,
                        Fault *fault) {
  enum { AHEAD = 4 };
  const Place after = {.ev = past->ev};
  PlayView view;
  Fault ignored = {0};
  uint64_t ahead[AHEAD];
  *out_there = false;
  if (past->nr == SYS_rt_sigreturn || past->nr == SYS_execve || past->nr == SYS_execveat) {
    return true;
  }
  if (!walk_goto(walk, &after, fault)) return false;
  if (!player_view(walk->player, tid, &view, &ignored)) return true;
  const uint64_t at = view.regs.rip - 2;
  const size_t count = look_ahead(walk, tid, at, ahead, AHEAD);
  for (size_t i = 0; i < count && !*out_there; i++) {
    if (!try_call(walk, tid, past->ev - 1, ahead[i], i + 1, at, out, out_there, fault))
      return false;
  }
  return true;
}

/* Before the last instruction ahead of the event, or, of one that it leads to, before that.
** *out_found is false when none has run since the event before. */
static bool before_event(Walk *walk, int32_t tid, const Past *past, bool *out_found, Place *out,
                         Fault *fault) {
  const Place start = {.ev = past->ev - 1};
  uint64_t steps;
  *out_found = true;
  if (past->kind == EVENT_SIGNAL && !past->by_itself) return place_copy(&start, 0, out, fault);
  if (past->kind == EVENT_SYSCALL || past->kind == EVENT_ENTER) {
    bool there;
    if (!before_call(walk, tid, past, out, &there, fault)) return false;
    if (there) return true;
  }
  Fault why = {0};
  if (!count_steps(walk, &start, NULL, &steps, &why)) {
    const Moment target = {.ev = start.ev, .tid = tid};
    Far far = {walk, &target, out, past->kind == EVENT_SWITCH};
    const bool known = past->kind == EVENT_SWITCH || past->kind == EVENT_TRAP;
    bool done = false;
    if (why.code != FAULT_LIMIT || !known || !past->rip) {
      return fault_set(fault, why.code, "%s", why.text);
    }
    const uint64_t here = past->kind == EVENT_SWITCH ? past->rip : 0;
    return walk_near(walk, &target, here, past->rip, try_near, &far, &done, fault) &&
           (done || too_far(fault));
  }
  *out_found = past->kind != EVENT_SWITCH || steps > 0;
  if (past->kind == EVENT_SWITCH && steps) steps--;
  return place_copy(&start, 0, out, fault) &&
         (!steps || place_add(out, LEG_STEPS, 0, 0, steps, fault));
}

/* ---- the place before ------------------------------------------------------------------------ */

/* Within the interval of the place. *out_found is false when its legs are none at all. */
static bool before_legs(Walk *walk, const Place *place, bool *out_found, Place *out, Fault *fault) {
  Leg leg = place->legs[place->nlegs - 1];
  uint64_t steps = leg.count;
  if (leg.kind == LEG_WRITE) return *out_found = true, before_write(walk, place, out, fault);
  if (!place_copy(place, place->nlegs - 1, out, fault)) return false;
  if (leg.kind != LEG_STEPS) {
    if (leg.count > 1) { /* from the pass before */
      if (!place_add(out, leg.kind, leg.addr, 0, leg.count - 1, fault)) return false;
      leg.count = 2;
    }
    Fault why = {0};
    if (!count_steps(walk, out, &leg, &steps, &why)) {
      *out_found = true;
      if (why.code == FAULT_LIMIT) return before_far(walk, place, out, fault);
      return fault_set(fault, why.code, "%s", why.text);
    }
  }
  *out_found = steps > 0;
  return steps < 2 || place_add(out, LEG_STEPS, 0, 0, steps - 1, fault);
}

bool walk_before(Walk *walk, int32_t tid, const Place *place, bool *out_found, Place *out,
                 Fault *fault) {
  Place at = {0};
  int32_t runner;
  bool ok = place_copy(place, place->nlegs, &at, fault);
  *out_found = false;
  if (ok && at.nlegs) {
    ok = walk_runner(walk, at.ev, &runner, fault);
    if (runner != tid) at.nlegs = 0;
  }
  while (ok && at.nlegs && !*out_found) {
    ok = before_legs(walk, &at, out_found, out, fault);
    at.nlegs--; /* what the last leg did not move, the one before it did */
  }
  for (Past past[2]; ok && !*out_found;) {
    ok = last_events(walk, tid, at.ev, past, fault);
    if (!ok || !past[0].ev) break;
    const bool entered = past[0].kind == EVENT_SYSCALL && past[1].kind == EVENT_ENTER;
    const Past *event = entered ? &past[1] : &past[0];
    ok = before_event(walk, tid, event, out_found, out, fault);
    at.ev = event->ev - 1;
  }
  place_finish(&at);
  return ok;
}

bool walk_step_back(Walk *walk, int32_t tid, WalkStop *out, Fault *fault) {
  Place before = {0};
  bool found;
  uint64_t kept;
  bool ok = walk_before(walk, tid, &walk->at, &found, &before, fault);
  if (ok && !found) {
    const Place begin = {.ev = walk->first};
    ok = place_copy(&begin, 0, &before, fault);
  }
  /* Where one step back is asked for there will be more: its interval's beginning is kept. */
  if (ok && !(player_kept(walk->player, before.ev, &kept) && kept == before.ev)) {
    const Place start = {.ev = before.ev};
    ok = walk_goto(walk, &start, fault) && player_keep(walk->player, fault);
  }
  ok = ok && walk_goto(walk, &before, fault) && place_copy(&before, before.nlegs, &walk->at, fault);
  place_finish(&before);
  *out = (WalkStop){.kind = found ? WALK_STEPPED : WALK_BEGIN, .tid = found ? tid : walk_tid(walk)};
  return ok;
}

/* ---- to the last stop ------------------------------------------------------------------------ */

/* Before a write, whose place is behind it. */
static bool unwrite(Walk *walk, const WalkStop *stop, Place *place, Fault *fault) {
  Place before = {0};
  bool found;
  if (stop->kind != WALK_WRITE) return true;
  bool ok = walk_before(walk, stop->tid, place, &found, &before, fault);
  if (ok && found) ok = place_copy(&before, before.nlegs, place, fault);
  place_finish(&before);
  return ok;
}

bool walk_back(Walk *walk, WalkStop *out, Fault *fault) {
  Place to = {0}, found = {0};
  WalkStop stop = {.kind = WALK_BEGIN};
  bool there = false;
  bool ok = place_copy(&walk->at, walk->at.nlegs, &to, fault);
  while (ok && !there && (to.ev > walk->first || to.nlegs)) {
    const uint64_t behind = to.nlegs ? to.ev : to.ev - 1;
    uint64_t from;
    if (!player_kept(walk->player, behind, &from) || from < walk->first) from = walk->first;
    ok = walk_look(walk, from, &to, &there, &found, &stop, fault);
    to.ev = from;
    to.nlegs = 0;
  }
  if (ok && there) ok = unwrite(walk, &stop, &found, fault);
  if (ok && !there) {
    stop = (WalkStop){.kind = WALK_BEGIN};
    const Place begin = {.ev = walk->first};
    ok = place_copy(&begin, 0, &found, fault);
  }
  ok = ok && walk_goto(walk, &found, fault) && place_copy(&found, found.nlegs, &walk->at, fault);
  place_finish(&to);
  place_finish(&found);
  *out = stop;
  if (ok && !there) out->tid = walk_tid(walk);
  return ok;
}
