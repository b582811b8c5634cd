/*
** Registers that are set to what they were, and the state of the floating-point and vector units
** where the kernel changes it: cleared for a new program and for a signal's handler, taken from the
** signal's frame when that returns.
*/
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "base/array.h"
#include "replay/play_inner.h"
#include "replay/xsave.h"

enum {
  UNITS_MOST = 1 << 16,
  LEGACY_BYTES = XSAVE_HEADER_AT,
  SOFTWARE_MAGIC = 0x46505853, /* in a frame: magic, size with what follows, components, size */
  FRAME_POINTER = 40 + 23 * 8  /* of the state, in a struct ucontext */
};

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

/* ---- units */

bool play_units_read(PlayThread *thread, Units *out, Fault *fault) {
  out->bytes = calloc(1, UNITS_MOST);
  if (!out->bytes) return fault_oom(fault);
  struct iovec vector = {out->bytes, UNITS_MOST};
  if (ptrace(PTRACE_GETREGSET, thread->tracee.tid, (void *)NT_X86_XSTATE, &vector) != 0 ||
      vector.iov_len < XSAVE_EXTENDED_AT) {
    free(out->bytes);
    return fault_set(fault, FAULT_IO, "thread %d: its vector registers cannot be read: %s",
                     (int)thread->tid, strerror(errno));
  }
  out->size = vector.iov_len;
  uint8_t *cut = realloc(out->bytes, out->size);
  if (cut) out->bytes = cut;
  return true;
}

/* Where numbers stand. What lies between tells of the last floating-point instruction (which may be
** our copy of it), of the processor, or nothing. */
bool play_units_same(PlayThread *thread, const Chunk *chunk, bool *out, Fault *fault) {
  static const struct {
    size_t at, end;
  } parts[] = {{0, 5},
               {XSAVE_MXCSR_AT, XSAVE_MXCSR_AT + 4},
               {XSAVE_FP_AT, XSAVE_RESERVED_AT},
               {XSAVE_EXTENDED_AT, UNITS_MOST}};
  Units units;
  if (!play_units_read(thread, &units, fault)) return false;
  *out = units.size == chunk->size;
  for (size_t i = 0; *out && i < countof(parts); i++) {
    const size_t end = parts[i].end < units.size ? parts[i].end : units.size;
    *out = memcmp(units.bytes + parts[i].at, chunk->bytes + parts[i].at, end - parts[i].at) == 0;
  }
  free(units.bytes);
  return true;
}

bool play_units_set(PlayThread *thread, const Units *units, Fault *fault) {
  struct iovec vector = {units->bytes, units->size};
  return ptrace(PTRACE_SETREGSET, thread->tracee.tid, (void *)NT_X86_XSTATE, &vector) == 0 ||
         fault_set(fault, FAULT_IO, "thread %d: its vector registers cannot be set: %s",
                   (int)thread->tid, strerror(errno));
}

static bool set_and_free(PlayThread *thread, Units *units, Fault *fault) {
  const bool ok = play_units_set(thread, units, fault);
  free(units->bytes);
  return ok;
}

/* No component is in use: all as the processor begins. */
static void units_clear(Units *units) {
  const uint16_t control = 0x37f;
  const uint32_t mxcsr = 0x1f80;
  memset(units->bytes, 0, units->size);
  memcpy(units->bytes, &control, sizeof control);
  memcpy(units->bytes + XSAVE_MXCSR_AT, &mxcsr, sizeof mxcsr);
}

bool play_units_reset(PlayThread *thread, Fault *fault) {
  Units units;
  if (!play_units_read(thread, &units, fault)) return false;
  units_clear(&units);
  return set_and_free(thread, &units, fault);
}

/* How much of the state stands at `at`: without the magic, what FXSAVE has. */
static bool frame_size(const Space *space, uint64_t at, size_t most, size_t *out, Fault *fault) {
  struct {
    uint32_t magic, extended;
    uint64_t components;
    uint32_t size;
  } software;
  *out = LEGACY_BYTES;
  if (!space_read(space, (RemoteAddr){at + XSAVE_SOFTWARE_AT}, &software, sizeof software, fault)) {
    return false;
  }
  if (software.magic != SOFTWARE_MAGIC || software.size < XSAVE_EXTENDED_AT) return true;
  *out = software.size < most ? software.size : most;
  return true;
}

bool play_units_return(PlayThread *thread, uint64_t ucontext, Fault *fault) {
  const Space *space = &thread->space->space;
  uint64_t at;
  size_t size = 0;
  Units units;
  if (!space_read(space, (RemoteAddr){ucontext + FRAME_POINTER}, &at, sizeof at, fault) ||
      !play_units_read(thread, &units, fault)) {
    return false;
  }
  units_clear(&units);
  if (at && (!frame_size(space, at, units.size, &size, fault) ||
             !space_read(space, (RemoteAddr){at}, units.bytes, size, fault))) {
    free(units.bytes);
    return false;
  }
  memset(units.bytes + XSAVE_COMPACT_AT, 0, XSAVE_EXTENDED_AT - XSAVE_COMPACT_AT);
  if (size == LEGACY_BYTES) units.bytes[XSAVE_HEADER_AT] = 3; /* x87 and SSE are what there is */
  return set_and_free(thread, &units, fault);
}
