/*
** The last known place before one that is far from any: found by counting natively how often each
** instruction of a function has been run when the place is there. The last pass of one of them is
** the nearest that is known; where it is a call that takes long, the function it calls is looked at
** in the same way.
*/
#include <stdlib.h>
#include <string.h>

#include "replay/walk_inner.h"

enum { MARKS = 384, CODE_MOST = 1 << 16, ROUNDS = 16 };

typedef struct Marks {
  int32_t tid;
  uint64_t start,
      top; /* the interval's first instruction; what the stack has on top at the target */
  size_t count;
  uint64_t list[MARKS], passes[MARKS];
} Marks;

/* Some of the function's instructions: all, or those around `addr` and every n-th of the others. */
static void choose(Walk *walk, uint64_t addr, Marks *out) {
  uint64_t *code = malloc(CODE_MOST * sizeof *code);
  const size_t all = code ? player_code(walk->player, out->tid, addr, code, CODE_MOST) : 0;
  const size_t count = all < CODE_MOST ? all : CODE_MOST;
  const size_t stride = count / (MARKS / 2) + 1;
  size_t at = 0;
  out->count = 0;
  while (at < count && code[at] < addr) at++;
  for (size_t i = 0; i < count && out->count < MARKS; i++) {
    const bool near = i + MARKS / 4 >= at && i <= at + MARKS / 8;
    if (count <= MARKS || near || i % stride == 0) out->list[out->count++] = code[i];
  }
  free(code);
}

/* On to the target: a pass of the interval's thread, or (hit 0) the event that ends it. */
static bool go_to(Walk *walk, const Moment *target, Fault *fault) {
  PlayEnd end;
  if (target->hit && !player_moments(walk->player, target, 1, fault)) return false;
  if (!player_run(walk->player, target->ev + 1, &end, fault)) return false;
  if (end.kind == (target->hit ? PLAY_MOMENT : PLAY_REACHED)) return true;
  return fault_set(fault, FAULT_INTERNAL, "walk: a place behind event %llu is gone",
                   (unsigned long long)target->ev);
}

/* A return address, where a function has just been entered. */
static uint64_t read_top(Walk *walk, int32_t tid) {
  PlayView view;
  Fault ignored = {0};
  uint64_t word = 0;
  if (!player_view(walk->player, tid, &view, &ignored) ||
      !player_read(walk->player, &view, view.regs.rsp, &word, sizeof word, &ignored)) {
    return 0;
  }
  return word;
}

/* How often each mark was passed before the target. `here`: the target's own instruction, which has
** not run; 0: there is none. */
static bool count(Walk *walk, const Moment *target, uint64_t here, Marks *marks, Fault *fault) {
  const Place start = {.ev = target->ev};
  int32_t tid;
  if (!walk_goto(walk, &start, fault) || !walk_turn(walk, &tid, &marks->start, fault) ||
      !player_tally(walk->player, marks->tid, marks->list, marks->count, fault) ||
      !go_to(walk, target, fault) ||
      !player_tallied(walk->player, marks->tid, marks->list, marks->count, marks->passes, fault)) {
    return false;
  }
  marks->top = read_top(walk, marks->tid);
  for (size_t i = 0; here && i < marks->count; i++) {
    if (marks->list[i] != here) continue;
    if (target->hit) marks->passes[i] = target->hit - 1;
    if (!target->hit && marks->passes[i]) marks->passes[i]--;
  }
  return true;
}

/* Which of these last passes is the last. *out_found is false when there is none. */
static bool find_last(Walk *walk, const Moment *target, const Marks *marks, bool *out_found,
                      Moment *out, Fault *fault) {
  const Place start = {.ev = target->ev};
  Moment *list = calloc(marks->count + 1, sizeof *list);
  size_t n = 0;
  *out_found = false;
  if (!list) return fault_oom(fault);
  for (size_t i = 0; i < marks->count; i++) {
    if (!marks->passes[i]) continue;
    list[n++] = (Moment){target->ev, marks->tid, marks->list[i], marks->passes[i]};
  }
  bool ok =
      n == 0 || (walk_goto(walk, &start, fault) && player_moments(walk->player, list, n, fault));
  for (size_t reached = 0; ok && reached < n; reached++) {
    PlayEnd end;
    ok = player_run(walk->player, target->ev + 1, &end, fault) &&
         (end.kind == PLAY_MOMENT ||
          fault_set(fault, FAULT_INTERNAL, "walk: a pass that was counted does not come"));
    if (!ok) break;
    *out_found = true;
    *out = list[end.moment];
  }
  free(list);
  return ok;
}

/* Where the thread is one instruction behind the pass: in the function that it calls, perhaps. */
static bool step_in(Walk *walk, const Moment *from, bool *out_there, uint64_t *out, Fault *fault) {
  PlayEnd end;
  int32_t tid;
  *out_there = false;
  if (!player_goto(walk->player, from, fault) || !player_step(walk->player, &end, fault)) {
    return false;
  }
  if (end.kind != PLAY_STEP) return true;
  if (!walk_turn(walk, &tid, out, fault)) return false;
  *out_there = tid == from->tid;
  return true;
}

bool walk_near(Walk *walk, const Moment *target, uint64_t here, uint64_t around, WalkTry *try,
               void *ctx, bool *out_done, Fault *fault) {
  Marks marks = {.tid = target->tid};
  int elsewhere = 0; /* nothing of the function was run: of its caller, or of where it all began? */
  *out_done = false;
  for (int round = 0; round < ROUNDS && !*out_done; round++) {
    Moment last;
    bool found;
    choose(walk, around, &marks);
    if (!count(walk, target, here, &marks, fault) ||
        !find_last(walk, target, &marks, &found, &last, fault)) {
      return false;
    }
    if (!found) {
      if (round > elsewhere || elsewhere == 2) return true;
      around = elsewhere++ ? marks.start : marks.top;
      continue;
    }
    if (!try(ctx, &last, out_done, fault)) return false;
    if (*out_done) return true;
    if (!step_in(walk, &last, &found, &around, fault)) return false;
    if (!found) return true;
  }
  return true;
}
