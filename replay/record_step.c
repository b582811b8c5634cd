/*
** Stepping: see record_step.h.
**
** The processor's own step stops after each repetition of a string instruction. Where programs
** copy megabytes at a time that would take for ever; such an instruction therefore runs, as a
** whole, in the page that is ours, with a breakpoint behind it.
*/
#define _GNU_SOURCE
#include "replay/record_step.h"

#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "replay/record_operand.h"

enum { WRITE_LONGEST = 64, BREAKPOINT = 0xcc, TRAP_FLAG = 0x100, DIRECTION_FLAG = 0x400 };

static bool look(Stepper *stepper, Fault *fault) {
  Tracee *tracee = &stepper->thread->tracee;
  uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH];
  size_t got;
  if (!tracee_regs(tracee, fault)) return false;
  space_peek(tracee->space, (RemoteAddr){tracee->regs.rip}, code, sizeof code, &got);
  inside_original(&stepper->thread->process->inside, tracee->regs.rip, code, got);
  stepper->readable = ZYAN_SUCCESS(
      ZydisDecoderDecodeFull(&stepper->decoder, code, got, &stepper->found, stepper->operands));
  return true;
}

bool stepper_init(Stepper *stepper, RecordThread *thread, Fault *fault) {
  *stepper = (Stepper){.thread = thread};
  ZydisDecoderInit(&stepper->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  return look(stepper, fault);
}

bool stepper_is_event(const Stepper *stepper) {
  if (!stepper->readable) return true; /* it will fault */
  switch (stepper->found.mnemonic) {
  case ZYDIS_MNEMONIC_SYSCALL:
  case ZYDIS_MNEMONIC_SYSENTER:
  case ZYDIS_MNEMONIC_INT:
  case ZYDIS_MNEMONIC_INT3:
  case ZYDIS_MNEMONIC_INT1:
  case ZYDIS_MNEMONIC_UD2:
    return true;
  default:
    return (stepper->found.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) != 0;
  }
}

bool stepper_is_repeated(const Stepper *stepper) {
  return (stepper->found.attributes &
          (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) != 0;
}

/* ---- what it writes */

static void note_word(Stepper *stepper, uint64_t addr) {
  addr &= ~(uint64_t)7;
  for (size_t i = 0; i < stepper->nwords; i++) {
    if (stepper->words[i] == addr) return;
  }
  if (stepper->nwords < STEP_WORDS) stepper->words[stepper->nwords++] = addr;
}

/* The last of the repetitions. */
static uint64_t last_of(const Stepper *stepper, uint64_t addr, uint64_t size) {
  const struct user_regs_struct *regs = &stepper->thread->tracee.regs;
  const uint64_t count = stepper->found.address_width == 32 ? regs->rcx & UINT32_MAX : regs->rcx;
  if (!stepper_is_repeated(stepper) || !count) return addr;
  const uint64_t span = (count - 1) * size;
  return regs->eflags & DIRECTION_FLAG ? addr - span : addr + span;
}

/* The words that the instruction at rip will write. */
static void note_writes(Stepper *stepper) {
  const struct user_regs_struct *regs = &stepper->thread->tracee.regs;
  for (int i = 0; i < stepper->found.operand_count; i++) {
    const ZydisDecodedOperand *operand = &stepper->operands[i];
    if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY || operand->mem.type != ZYDIS_MEMOP_TYPE_MEM ||
        !(operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)) {
      continue;
    }
    uint64_t addr = operand_address(&stepper->found, operand, regs);
    uint64_t size = operand->size / 8u;
    const bool pushes = operand->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
                        operand->mem.base == ZYDIS_REGISTER_RSP;
    if (pushes) addr -= size;
    if (size > WRITE_LONGEST) size = WRITE_LONGEST; /* xsave and its like */
    for (uint64_t done = 0; done < size; done += 8) note_word(stepper, addr + done);
    note_word(stepper, last_of(stepper, addr, size));
  }
}

/* What is pushed has the flag that makes it step. */
static bool clean_flags(Stepper *stepper, Fault *fault) {
  Tracee *tracee = &stepper->thread->tracee;
  uint16_t flags;
  if (!tracee_regs(tracee, fault)) return false;
  const RemoteAddr at = {tracee->regs.rsp};
  if (!space_read(tracee->space, at, &flags, sizeof flags, fault)) return false;
  flags &= (uint16_t)~TRAP_FLAG;
  return space_write(tracee->space, at, &flags, sizeof flags, fault);
}

/* ---- over it */

static bool is_trap(const Tracee *tracee) {
  return WIFSTOPPED(tracee->status) && tracee->status >> 8 == SIGTRAP;
}

/* It need not have been carried out to its end: a page it wants may not be there. */
static bool run_repeated(Stepper *stepper, Fault *fault) {
  Tracee *tracee = &stepper->thread->tracee;
  const uint64_t rip = tracee->regs.rip, copy = SPACE_PAGE + SPACE_SCRATCH;
  const size_t length = stepper->found.length;
  uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH + 1];
  if (!space_read(tracee->space, (RemoteAddr){rip}, code, length, fault)) return false;
  code[length] = BREAKPOINT;
  if (!space_write(tracee->space, (RemoteAddr){copy}, code, length + 1, fault)) return false;
  tracee->regs.rip = copy;
  tracee->regs_changed = true;
  if (!tracee_resume(tracee, PTRACE_CONT, 0, fault) || !tracee_wait(tracee, fault)) return false;
  if (!WIFSTOPPED(tracee->status)) return true;
  if (!tracee_regs(tracee, fault)) return false;
  const uint64_t now = tracee->regs.rip;
  if (now < copy || now > copy + length + 1) return true;
  tracee->regs.rip = now < copy + length ? rip : rip + length;
  tracee->regs_changed = true;
  return true;
}

bool stepper_step(Stepper *stepper, StepEnd *out, Fault *fault) {
  Tracee *tracee = &stepper->thread->tracee;
  const ZydisMnemonic name = stepper->found.mnemonic;
  *out = STEP_EVENT;
  if (stepper_is_event(stepper)) return true;
  note_writes(stepper);
  const bool ran =
      stepper_is_repeated(stepper)
          ? run_repeated(stepper, fault)
          : tracee_resume(tracee, PTRACE_SINGLESTEP, 0, fault) && tracee_wait(tracee, fault);
  if (!ran) return false;
  *out = STEP_OTHER;
  if (!is_trap(tracee)) return true;
  if ((name == ZYDIS_MNEMONIC_PUSHFQ || name == ZYDIS_MNEMONIC_PUSHF) &&
      !clean_flags(stepper, fault)) {
    return false;
  }
  *out = STEP_DONE;
  return look(stepper, fault);
}
