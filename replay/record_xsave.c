/*
** xsave and xsavec, carried out for the program with what ptrace tells of its extended state.
**
** Both formats begin with 512 bytes of legacy state and a header. Behind it a component stands
** where cpuid says (xsave), or right behind the one before that was asked for (xsavec).
*/
#define _GNU_SOURCE
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "replay/record_inner.h"
#include "replay/record_operand.h"
#include "replay/xsave.h"

enum { STATE_MOST = 1 << 14, MXCSR_SIZE = 8, FP_SIZE = 128, SSE_SIZE = 256 };
enum { FP = 1, SSE = 2, AVX = 4, LEAF = 0xd };

typedef struct Saver {
  Recorder *recorder;
  RecordThread *thread;
  uint64_t at, asked, used;
  bool compact;
  uint8_t state[STATE_MOST]; /* in the format of ptrace, which is xsave's */
  size_t size;
} Saver;

static bool save(Saver *saver, uint64_t offset, const void *bytes, size_t size, Fault *fault) {
  return space_write(&saver->thread->process->space, (RemoteAddr){saver->at + offset}, bytes, size,
                     fault) &&
         event_bytes(saver->recorder, CHUNK_OUT, saver->at + offset, bytes, size, fault);
}

static bool save_legacy(Saver *saver, Fault *fault) {
  const uint8_t *state = saver->state;
  if (saver->asked & FP && (!save(saver, 0, state, XSAVE_MXCSR_AT, fault) ||
                            !save(saver, XSAVE_FP_AT, state + XSAVE_FP_AT, FP_SIZE, fault))) {
    return false;
  }
  if (saver->asked & (SSE | AVX) &&
      !save(saver, XSAVE_MXCSR_AT, state + XSAVE_MXCSR_AT, MXCSR_SIZE, fault)) {
    return false;
  }
  return !(saver->asked & SSE) || save(saver, XSAVE_SSE_AT, state + XSAVE_SSE_AT, SSE_SIZE, fault);
}

static bool save_components(Saver *saver, Fault *fault) {
  uint64_t compact_at = XSAVE_EXTENDED_AT;
  for (unsigned i = 2; i < 63; i++) {
    uint32_t size, offset, kind, unused;
    if (!(saver->asked >> i & 1)) continue;
    __cpuid_count(LEAF, i, size, offset, kind, unused);
    if (kind & 2) compact_at = (compact_at + 63) & ~(uint64_t)63;
    const uint64_t to = saver->compact ? compact_at : offset;
    compact_at += size;
    const bool there = saver->used >> i & 1;
    if (saver->compact && !there) continue; /* not written */
    if (!size || (uint64_t)offset + size > saver->size) continue;
    if (!there) memset(saver->state + offset, 0, size);
    if (!save(saver, to, saver->state + offset, size, fault)) return false;
  }
  return true;
}

static bool save_header(Saver *saver, Fault *fault) {
  const uint64_t compact = (uint64_t)1 << 63 | saver->asked;
  uint64_t used = saver->used & saver->asked;
  if (!saver->compact) { /* bits that were not asked for stay */
    uint64_t before = 0;
    size_t got;
    space_peek(&saver->thread->process->space, (RemoteAddr){saver->at + XSAVE_HEADER_AT}, &before,
               sizeof before, &got);
    used |= before & ~saver->asked;
  }
  return save(saver, XSAVE_HEADER_AT, &used, sizeof used, fault) &&
         (!saver->compact || save(saver, XSAVE_HEADER_AT + 8, &compact, sizeof compact, fault));
}

static bool read_state(Saver *saver, Fault *fault) {
  struct iovec vector = {saver->state, sizeof saver->state};
  const pid_t tid = saver->thread->tracee.tid;
  uint64_t possible;
  if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_X86_XSTATE, &vector) != 0) {
    return fault_set(fault, errno == ESRCH ? FAULT_NOTFOUND : FAULT_IO,
                     "thread %d: its extended state cannot be read: %s", (int)tid, strerror(errno));
  }
  saver->size = vector.iov_len;
  memcpy(&possible, saver->state + XSAVE_SOFTWARE_AT, sizeof possible);
  memcpy(&saver->used, saver->state + XSAVE_HEADER_AT, sizeof saver->used);
  saver->asked &= possible;
  return true;
}

bool xsave_carry_out(Recorder *recorder, RecordThread *thread, const uint8_t *code, size_t size,
                     Fault *fault) {
  struct user_regs_struct *regs = &thread->tracee.regs;
  ZydisDecoder decoder;
  ZydisDecodedInstruction found; /* lgdt or lidt, with the same operand */
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, size, &found, operands)) ||
      operands[0].type != ZYDIS_OPERAND_TYPE_MEMORY) {
    return record_unsupported(recorder, thread, fault, "an instruction at 0x%llx",
                              (unsigned long long)regs->rip);
  }
  Saver saver = {.recorder = recorder,
                 .thread = thread,
                 .at = operand_address(&found, &operands[0], regs),
                 .asked = (regs->rdx << 32) | (regs->rax & 0xffffffff),
                 .compact = found.mnemonic == ZYDIS_MNEMONIC_LGDT};
  regs->rip += found.length;
  return read_state(&saver, fault) && save_legacy(&saver, fault) &&
         save_components(&saver, fault) && save_header(&saver, fault);
}
