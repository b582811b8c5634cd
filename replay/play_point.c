/*
** Places of a program's own, where it was made to stop when recorded: found again by what its
** registers and some of its memory are.
**
** What is compared natively may hold too early, at a place that looks alike. Where the event has a
** hash of all memory, that decides, and the search goes on.
*/
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "replay/play_inner.h"

/* The first words are compared by the stub; the others when it has stopped. */
static bool read_point(const PlayThread *thread, const Event *event, ProbePoint *out) {
  *out = (ProbePoint){.tid = thread->tid, .regs = event->regs};
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    if (chunk->kind != CHUNK_POINT) continue;
    if (chunk->size % sizeof(uint64_t)) return false;
    for (size_t k = 0; k < chunk->size / sizeof(uint64_t) && out->nwords < POINT_WORDS; k++) {
      out->addr[out->nwords] = chunk->addr + k * sizeof(uint64_t);
      memcpy(&out->word[out->nwords++], chunk->bytes + k * sizeof(uint64_t), sizeof(uint64_t));
    }
  }
  return event->has_regs;
}

static bool same_memory(const PlaySpace *space, const Chunk *chunk) {
  uint8_t now[512];
  for (size_t done = 0; done < chunk->size;) {
    size_t piece = chunk->size - done < sizeof now ? chunk->size - done : sizeof now, got;
    space_peek(&space->space, (RemoteAddr){chunk->addr + done}, now, piece, &got);
    if (got != piece || memcmp(now, chunk->bytes + done, piece) != 0) return false;
    done += piece;
  }
  return true;
}

/* It has stopped where the stub says: is everything as it was? */
static bool is_there(Player *player, PlayThread *thread, const Event *event, bool *out,
                     Fault *fault) {
  *out = true;
  for (int i = 0; i < event->nchunks && *out; i++) {
    const Chunk *chunk = &event->chunks[i];
    if (chunk->kind == CHUNK_POINT) *out = same_memory(thread->space, chunk);
    if (chunk->kind == CHUNK_XSTATE && !play_units_same(thread, chunk, out, fault)) return false;
  }
  uint64_t hash = event->hash;
  if (!*out || !event->has_hash) return true;
  Tracee seen = thread->tracee;
  if (!probes_leave(thread->space->probes, &seen, fault) ||
      !play_hash(player, thread->space, &seen, event, &hash, fault)) {
    return false;
  }
  *out = hash == event->hash;
  return true;
}

static bool run_there(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  char expected[64];
  for (bool there = false; !there;) {
    if (step_run(player, thread, fault)) {
      snprintf(expected, sizeof expected, "the place 0x%" PRIx64, (uint64_t)event->regs.rip);
      return step_parted(player, thread, event, expected, fault);
    }
    if (player->pause != PAUSE_POINT) return false;
    player->pause = PAUSE_NONE;
    if (!is_there(player, thread, event, &there, fault)) return false;
    if (!there && stop_now(player->options.stop)) {
      return fault_set(fault, FAULT_INTERRUPT, "interrupted");
    }
  }
  return true;
}

/* What the code of probes compares. */
static bool is_like(const PlayThread *thread, const Event *event) {
  enum { FLAGS = 0x8d5 };
  const struct user_regs_struct *now = &thread->tracee.regs, *then = &event->regs;
  return now->rip == then->rip && now->rsp == then->rsp && now->rbp == then->rbp &&
         now->rax == then->rax && now->rbx == then->rbx && now->rcx == then->rcx &&
         now->rdx == then->rdx && now->rsi == then->rsi && now->rdi == then->rdi &&
         now->r8 == then->r8 && now->r9 == then->r9 && now->r10 == then->r10 &&
         now->r11 == then->r11 && now->r12 == then->r12 && now->r13 == then->r13 &&
         now->r14 == then->r14 && now->r15 == then->r15 &&
         ((now->eflags ^ then->eflags) & FLAGS) == 0;
}

/* The thread goes one instruction at a time: is it there already? */
static bool single_switch(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  bool there = false;
  char expected[64];
  if (!patch_ready(player, thread, fault) ||
      !probes_leave(thread->space->probes, &thread->tracee, fault)) {
    return false;
  }
  if (thread->searching &&
      !probes_clear(thread->space->probes, &thread->tracee, event->regs.rip, fault)) {
    return false;
  }
  thread->searching = false;
  if (is_like(thread, event) && !is_there(player, thread, event, &there, fault)) return false;
  if (there) return true;
  if (!step_run(player, thread, fault)) return false;
  snprintf(expected, sizeof expected, "the place 0x%" PRIx64, (uint64_t)event->regs.rip);
  return step_parted(player, thread, event, expected, fault);
}

bool step_switch(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  ProbePoint point;
  CodeRange body;
  if (!read_point(thread, event, &point)) {
    return play_diverged(player, event, fault, "a place that is not told");
  }
  if (thread->stand != STAND_READY) {
    return step_parted(player, thread, event, "a place of its own", fault);
  }
  if (player->single) return single_switch(player, thread, event, fault);
  const uint64_t at = event->regs.rip;
  if (!thread->searching) {
    if (!patch_ready(player, thread, fault) ||
        !bodies_find(player, thread->space, at, &body, fault) ||
        !probes_point(thread->space->probes, &thread->tracee, &point, body, fault)) {
      return false;
    }
    thread->searching = true;
  }
  if (!run_there(player, thread, event, fault)) return false;
  thread->searching = false;
  thread->space->breaks_due = true;
  return probes_leave(thread->space->probes, &thread->tracee, fault) &&
         probes_clear(thread->space->probes, &thread->tracee, at, fault);
}
