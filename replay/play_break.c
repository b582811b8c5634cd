/*
** Breaks, at which what is played stops whenever a thread comes by, and single instructions.
*/
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "base/array.h"
#include "replay/play_inner.h"

enum { SYSEMU_SINGLESTEP = 32, TRAP_FLAG = 0x100 };

/* ---- breaks */

static bool is_code(const PlaySpace *space, uint64_t addr) {
  const MapRange *range = maps_find(&space->maps, addr);
  return range && range->prot & PROT_EXEC;
}

static bool plant(Player *player, PlayThread *thread, Fault *fault) {
  PlaySpace *space = thread->space;
  for (size_t i = 0; i < player->breaks.count; i++) {
    const uint64_t addr = player->breaks.list[i];
    CodeRange body;
    if (!is_code(space, addr)) continue;
    if (!patch_ready(player, thread, fault) || !bodies_find(player, space, addr, &body, fault) ||
        !probes_break(space->probes, &thread->tracee, addr, body, fault)) {
      return false;
    }
  }
  space->breaks_due = false;
  return true;
}

/* All threads stand in the program's own code, which has no breaks. */
static bool uproot(Player *player, PlaySpace *space, Fault *fault) {
  if (!space->probes) return true;
  for (size_t i = 0; i < player->nthreads; i++) {
    PlayThread *thread = player->threads[i];
    if (thread->space == space && !probes_leave(space->probes, &thread->tracee, fault)) {
      return false;
    }
  }
  for (size_t i = 0; i < player->breaks.count; i++) {
    if (!probes_unbreak(space->probes, &space->leader->tracee, player->breaks.list[i], fault)) {
      return false;
    }
  }
  return true;
}

bool player_breaks(Player *player, int32_t pid, const uint64_t *list, size_t count, Fault *fault) {
  PlayBreaks *breaks = &player->breaks;
  PlaySpace *space = child_space(player, breaks->pid);
  if (player->broken) return fault_set(fault, FAULT_INVALID, "player: it has failed before");
  if (space && breaks->count && !uproot(player, space, fault)) return false;
  if (!array_grow(breaks->list, breaks->capacity, count)) return fault_oom(fault);
  breaks->pid = pid;
  breaks->count = count;
  if (count) memcpy(breaks->list, list, count * sizeof *list);
  space = child_space(player, pid);
  if (space) space->breaks_due = true;
  return true;
}

bool break_ready(Player *player, PlayThread *thread, Fault *fault) {
  PlaySpace *space = thread->space;
  if (player->single) {
    return patch_ready(player, thread, fault) &&
           probes_leave(space->probes, &thread->tracee, fault);
  }
  if (!player->breaks.count || !space->breaks_due || space->pid != player->breaks.pid) return true;
  return plant(player, thread, fault);
}

void break_close(Player *player) {
  free(player->breaks.list);
  player->breaks = (PlayBreaks){0};
}

/* ---- tallies */

bool player_tally(Player *player, int32_t tid, uint64_t *list, size_t count, Fault *fault) {
  PlayThread *thread = child_find(player, tid);
  if (player->broken || !thread) {
    return fault_set(fault, FAULT_NOTFOUND, "player: no thread %d", (int)tid);
  }
  if (!patch_ready(player, thread, fault)) return false;
  player->tallies = true;
  for (size_t i = 0; i < count; i++) {
    Fault why = {0};
    CodeRange body;
    if (bodies_find(player, thread->space, list[i], &body, &why) &&
        probes_tally(thread->space->probes, &thread->tracee, list[i], tid, body, &why)) {
      continue;
    }
    list[i] = 0;
    if (why.code != FAULT_UNSUPPORTED && why.code != FAULT_NOTFOUND) {
      return fault_set(fault, why.code, "%s", why.text);
    }
  }
  return true;
}

bool player_tallied(Player *player, int32_t tid, const uint64_t *list, size_t count, uint64_t *out,
                    Fault *fault) {
  PlayThread *thread = child_find(player, tid);
  if (!thread || !thread->space->probes) {
    return fault_set(fault, FAULT_NOTFOUND, "player: nothing is counted in thread %d", (int)tid);
  }
  Probes *probes = thread->space->probes;
  player->tallies = false;
  if (!probes_leave(probes, &thread->tracee, fault)) return false;
  for (size_t i = 0; i < count; i++) {
    out[i] = 0;
    if (list[i] && (!probes_tallied(probes, list[i], &out[i], fault) ||
                    !probes_untally(probes, &thread->tracee, list[i], fault))) {
      return false;
    }
  }
  return true;
}

/* ---- single instructions */

/* pushf, whatever its prefixes: it would push the flag by which the processor steps. */
static bool pushes_flags(const PlayThread *thread) {
  uint8_t code[15];
  size_t got;
  space_peek(&thread->space->space, (RemoteAddr){thread->tracee.regs.rip}, code, sizeof code, &got);
  for (size_t i = 0; i < got; i++) {
    if (code[i] == 0x9c) return true;
    if (code[i] != 0x66 && (code[i] & 0xf0) != 0x40) return false;
  }
  return false;
}

bool break_single(PlayThread *thread, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  uint16_t flags;
  if (!tracee_regs(tracee, fault)) return false;
  const uint64_t rsp = tracee->regs.rsp;
  const bool pushes = pushes_flags(thread) && !(tracee->regs.eflags & TRAP_FLAG);
  if (!tracee_resume(tracee, SYSEMU_SINGLESTEP, 0, fault) || !tracee_wait(tracee, fault)) {
    return false;
  }
  if (!pushes || !WIFSTOPPED(tracee->status) || !tracee_regs(tracee, fault)) return true;
  if (tracee->regs.rsp == rsp) return true; /* it has not run */
  if (!space_read(&thread->space->space, (RemoteAddr){tracee->regs.rsp}, &flags, sizeof flags,
                  fault)) {
    return false;
  }
  flags &= (uint16_t)~TRAP_FLAG;
  return space_write(&thread->space->space, (RemoteAddr){tracee->regs.rsp}, &flags, sizeof flags,
                     fault);
}
