/*
** The recording that the helper is asked about: see played.h.
*/
#include "extensions/omni/played.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

enum { STATES = 16 }; /* that a player keeps, to go back to */

/* ---- the recording --------------------------------------------------------------------------- */

void played_stop(Played *played) {
  player_close(played->player);
  played->player = NULL;
  played->somewhere = false;
}

void played_close(Played *played) {
  played_stop(played);
  stacks_free(played->stacks);
  stack_memory_finish(&played->memory);
  code_finish(&played->code);
  recording_close(played->recording);
  free(played->dir);
  *played = (Played){0};
}

bool played_open(Played *played, const char *dir, Fault *fault) {
  if (played->dir && strcmp(played->dir, dir) == 0) return true;
  played_close(played);
  if (!recording_open(dir, &played->recording, fault)) return false;
  played->dir = strdup(dir);
  if (played->dir) return true;
  played_close(played);
  return fault_oom(fault);
}

bool played_code(Played *played, Fault *fault) {
  if (played->has_code) return true;
  played->has_code = code_read(played->recording, &played->code, fault);
  if (!played->has_code) code_finish(&played->code);
  return played->has_code;
}

/* ---- moments --------------------------------------------------------------------------------- */

/* The thread of an event. */
static bool find_thread(Played *played, Moment *moment, Fault *fault) {
  TraceCursor *cursor;
  const Event *event = NULL;
  if (!trace_open(played->recording, &cursor, fault)) return false;
  bool ok = trace_seek(cursor, moment->ev, fault) && trace_next(cursor, &event, fault);
  if (ok && (!event || event->ev != moment->ev)) {
    ok = fault_set(fault, FAULT_NOTFOUND, "there is no event %" PRIu64, moment->ev);
  }
  if (ok) moment->tid = event->tid;
  trace_close(cursor);
  return ok;
}

static bool is_same(const Moment *a, const Moment *b) {
  return a->ev == b->ev && a->tid == b->tid && a->hit == b->hit &&
         (a->hit == 0 || a->addr == b->addr);
}

static bool open_player(Played *played, Stop *stop, Fault *fault) {
  const PlayOptions options = {
      .hashes = true, .stop = stop, .checkpoints = STATES, .elsewhere = true};
  return played->player || player_open(played->recording, &options, &played->player, fault);
}

/* What was looked for in vain, or for too long, has not harmed the states. */
static void give_up(Played *played, const Fault *fault) {
  const FaultCode code = fault->code;
  played->somewhere = false;
  if (code != FAULT_NOTFOUND && code != FAULT_INTERRUPT && code != FAULT_TIMEOUT) {
    played_stop(played);
  }
}

bool played_goto(Played *played, Stop *stop, Moment *moment, PlayView *out, Fault *fault) {
  if (moment->tid == 0 && !find_thread(played, moment, fault)) return false;
  if (!played->player || !played->somewhere || !is_same(&played->at, moment)) {
    if (!open_player(played, stop, fault) || !player_goto(played->player, moment, fault)) {
      give_up(played, fault);
      return false;
    }
    played->at = *moment;
    played->somewhere = true;
  }
  if (player_view(played->player, moment->tid, out, fault)) return true;
  give_up(played, fault);
  return false;
}

bool played_after(Played *played, Stop *stop, uint64_t ev, Fault *fault) {
  PlayEnd end = {0};
  played->somewhere = false;
  const bool ok = open_player(played, stop, fault) && player_rewind(played->player, ev, fault) &&
                  player_run(played->player, ev, &end, fault) &&
                  (end.kind == PLAY_REACHED ||
                   fault_set(fault, FAULT_NOTFOUND, "there is no event %" PRIu64, ev)) &&
                  player_keep(played->player, fault);
  if (!ok) give_up(played, fault);
  return ok;
}

/* ---- memory --------------------------------------------------------------------------------- */

size_t played_read(Played *played, const PlayView *view, uint64_t addr, uint8_t *out, size_t size) {
  Fault ignored = {0};
  if (player_read(played->player, view, addr, out, size, &ignored)) return size;
  size_t done = 0;
  while (done < size) {
    size_t part = PAGE - (addr + done) % PAGE;
    if (part > size - done) part = size - done;
    if (!player_read(played->player, view, addr + done, out + done, part, &ignored)) break;
    done += part;
  }
  return done;
}

/* ---- stacks ---------------------------------------------------------------------------------- */

bool played_maps(Played *played, const PlayView *view, Fault *fault) {
  if (!played_code(played, fault)) return false;
  if (!played->stacks && !stacks_create(played->code.modules, &played->stacks, fault)) return false;
  return stacks_maps(played->stacks, view->maps, stack_recorded_file, played->dir, fault);
}

bool played_frames(Played *played, const PlayView *view, size_t most, PlayedFrames *out,
                   Fault *fault) {
  uint64_t registers[CFI_REGISTERS];
  out->count = 0;
  if (!played_maps(played, view, fault) ||
      !stack_copy(&played->memory, view->tracee->space, view->regs.rsp, fault)) {
    return false;
  }
  Unwinder *unwinder = stacks_unwinder(played->stacks);
  Frame frame;
  unwind_registers(&view->regs, registers);
  unwind_begin(unwinder, &played->memory.memory, registers, (1u << CFI_REGISTERS) - 1, &frame);
  do {
    if (!array_grow(out->list, out->capacity, out->count + 1)) return fault_oom(fault);
    out->list[out->count++] = frame;
  } while (out->count < most && unwind_step(unwinder, &played->memory.memory, &frame));
  /* Why there is no further frame stands in the last one. */
  if (out->count < most) out->list[out->count - 1].end = frame.end;
  return true;
}
