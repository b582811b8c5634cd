/*
** A program as it was when it began: its memory and its registers.
*/
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "replay/play_inner.h"

enum { XSTATE_LEAST = 576, XSTATE_MOST = 1 << 16, NAME_LONGEST = 4096 };
#define STACK_BYTES ((uint64_t)8 << 20) /* what a stack can grow to by default */

/* ---- registers */

bool play_registers(PlayThread *thread, const struct user_regs_struct *regs, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  if (!tracee_regs(tracee, fault)) return false;
  struct user_regs_struct now = *regs;
  now.cs = tracee->regs.cs;
  now.ss = tracee->regs.ss;
  now.ds = tracee->regs.ds;
  now.es = tracee->regs.es;
  now.fs = tracee->regs.fs;
  now.gs = tracee->regs.gs;
  now.orig_rax = (unsigned long long)-1; /* no call is under way that could be restarted */
  tracee->regs = now;
  tracee->regs_changed = true;
  thread->again = 0;
  return true;
}

static bool set_xstate(PlayThread *thread, void *bytes, size_t size, Fault *fault) {
  struct iovec vector = {bytes, size};
  return ptrace(PTRACE_SETREGSET, thread->tracee.tid, (void *)NT_X86_XSTATE, &vector) == 0 ||
         fault_set(fault, FAULT_IO, "thread %d: its extended state cannot be set: %s",
                   (int)thread->tid, strerror(errno));
}

bool play_xstate(PlayThread *thread, const Event *event, bool reset, Fault *fault) {
  const Chunk *found = NULL;
  for (int i = 0; i < event->nchunks; i++) {
    if (event->chunks[i].kind == CHUNK_XSTATE) found = &event->chunks[i];
  }
  if (!found && !reset) return true;
  if (found && (found->size < XSTATE_LEAST || found->size > XSTATE_MOST)) {
    return fault_set(fault, FAULT_CORRUPT, "event %llu: an extended state of %zu bytes",
                     (unsigned long long)event->ev, found->size);
  }
  uint8_t *bytes = calloc(1, XSTATE_MOST);
  if (!bytes) return fault_oom(fault);
  struct iovec vector = {bytes, XSTATE_MOST};
  bool ok = ptrace(PTRACE_GETREGSET, thread->tracee.tid, (void *)NT_X86_XSTATE, &vector) == 0 ||
            fault_set(fault, FAULT_IO, "thread %d: its extended state cannot be read: %s",
                      (int)thread->tid, strerror(errno));
  if (ok && found && found->size != vector.iov_len) {
    ok = fault_set(fault, FAULT_UNSUPPORTED,
                   "event %llu: an extended state of %zu bytes, this machine's has %zu",
                   (unsigned long long)event->ev, found->size, vector.iov_len);
  }
  if (ok && found) memcpy(bytes, found->bytes, found->size);
  if (ok && !found) { /* no component is in use: all as the processor begins */
    const uint16_t control = 0x37f;
    const uint32_t mxcsr = 0x1f80;
    memset(bytes, 0, vector.iov_len);
    memcpy(bytes, &control, sizeof control);
    memcpy(bytes + 24, &mxcsr, sizeof mxcsr);
  }
  ok = ok && set_xstate(thread, bytes, vector.iov_len, fault);
  free(bytes);
  return ok;
}

/* ---- memory */

static bool add_range(Player *player, PlayThread *thread, const Event *event, const Chunk *chunk,
                      bool stack, Fault *fault) {
  TraceMap map;
  char name[NAME_LONGEST + 1];
  if (chunk->size < sizeof map || chunk->size - sizeof map > NAME_LONGEST) {
    return play_diverged(player, event, fault, "a mapping of %zu bytes", chunk->size);
  }
  memcpy(&map, chunk->bytes, sizeof map);
  memcpy(name, chunk->bytes + sizeof map, chunk->size - sizeof map);
  name[chunk->size - sizeof map] = '\0';
  if (stack != ((map.flags & MAP_GROWSDOWN) != 0)) return true;
  MapRange range = {.start = map.start,
                    .end = map.end,
                    .offset = map.file ? map.offset : 0,
                    .prot = map.prot & (PROT_READ | PROT_WRITE | PROT_EXEC),
                    .flags = map.flags & (MAP_SHARED | MAP_PRIVATE | MAP_GROWSDOWN),
                    .file = map.file,
                    .name = name};
  if (stack) { /* all that it may become, down to what is below */
    const MapList *maps = &thread->space->maps;
    uint64_t low = range.end > STACK_BYTES ? range.end - STACK_BYTES : 0;
    for (size_t i = 0; i < maps->count; i++) {
      if (maps->ranges[i].end <= range.start && maps->ranges[i].end > low) {
        low = maps->ranges[i].end;
      }
    }
    if (low < range.start) range.start = low;
  }
  return play_map(player, thread, &range, false, fault) &&
         maps_add(&thread->space->maps, &range, fault);
}

bool play_image(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  MapList *maps = &thread->space->maps;
  if (!play_unmap_all(thread, fault)) return false;
  *maps = (MapList){0};
  for (int stack = 0; stack < 2; stack++) {
    for (int i = 0; i < event->nchunks; i++) {
      if (event->chunks[i].kind != CHUNK_MAP) continue;
      if (!add_range(player, thread, event, &event->chunks[i], stack, fault)) return false;
    }
  }
  if (!play_write(thread->space, event, fault) || !play_registers(thread, &event->regs, fault) ||
      !play_xstate(thread, event, true, fault)) {
    return false;
  }
  thread->stand = STAND_READY;
  thread->fresh = true;
  return true;
}
