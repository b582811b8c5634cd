/*
** A place in a program's own code, told so that it can be found again.
**
** Without a counter of branches a place is told by the instruction, by all registers, and by memory
** that differs between this pass of a loop and the others. The thread is stepped, instruction by
** instruction, to one where replay can plant a jump; then around the loop, if there is one, to
** see which words it writes; what they hold at the end tells the pass. The frame of the function
** tells more.
*/
#define _GNU_SOURCE
#include <Zydis/Zydis.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "replay/record_inner.h"
#include "replay/record_operand.h"

enum {
  LEAST_BYTES = 5,    /* of a jump */
  SEARCH_STEPS = 300, /* to a place */
  PASS_STEPS = 100,   /* around a loop */
  WORDS = 24,         /* written on the way, at most */
  FIRST_ABOVE = 64,   /* bytes from the stack pointer on, and */
  FIRST_BELOW = 32,   /* below the frame pointer, which replay compares before it stops */
  STACK_BYTES = 2048, /* from the stack pointer on */
  OBJECT_BYTES = 128, /* at what registers point to */
  WRITE_LONGEST = 64
};

typedef enum StepEnd {
  STEP_DONE,
  STEP_EVENT, /* the next instruction is an event by itself: a call, or one that traps */
  STEP_OTHER  /* it stopped for something else */
} StepEnd;

typedef struct Settler {
  RecordThread *thread;
  ZydisDecoder decoder;
  uint64_t words[WORDS]; /* addresses */
  size_t nwords;
  ZydisDecodedInstruction found; /* at rip */
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  bool readable;
} Settler;

/* ---- one step */

static bool look(Settler *settler, Fault *fault) {
  Tracee *tracee = &settler->thread->tracee;
  uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH];
  size_t got;
  if (!tracee_regs(tracee, fault)) return false;
  space_peek(tracee->space, (RemoteAddr){tracee->regs.rip}, code, sizeof code, &got);
  settler->readable = ZYAN_SUCCESS(
      ZydisDecoderDecodeFull(&settler->decoder, code, got, &settler->found, settler->operands));
  return true;
}

static bool is_event(const Settler *settler) {
  if (!settler->readable) return true; /* it will fault */
  switch (settler->found.mnemonic) {
  case ZYDIS_MNEMONIC_SYSCALL:
  case ZYDIS_MNEMONIC_SYSENTER:
  case ZYDIS_MNEMONIC_INT:
  case ZYDIS_MNEMONIC_INT3:
  case ZYDIS_MNEMONIC_INT1:
  case ZYDIS_MNEMONIC_UD2:
    return true;
  default:
    return (settler->found.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) != 0;
  }
}

static bool is_repeated(const Settler *settler) {
  return (settler->found.attributes &
          (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) != 0;
}

static void note_word(Settler *settler, uint64_t addr) {
  addr &= ~(uint64_t)7;
  for (size_t i = 0; i < settler->nwords; i++) {
    if (settler->words[i] == addr) return;
  }
  if (settler->nwords < WORDS) settler->words[settler->nwords++] = addr;
}

/* The words that the instruction at rip will write. */
static void note_writes(Settler *settler) {
  const struct user_regs_struct *regs = &settler->thread->tracee.regs;
  for (int i = 0; i < settler->found.operand_count; i++) {
    const ZydisDecodedOperand *operand = &settler->operands[i];
    if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY || operand->mem.type != ZYDIS_MEMOP_TYPE_MEM ||
        !(operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)) {
      continue;
    }
    uint64_t addr = operand_address(&settler->found, operand, regs);
    uint64_t size = operand->size / 8u;
    const bool pushes = operand->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
                        operand->mem.base == ZYDIS_REGISTER_RSP;
    if (pushes) addr -= size;
    if (size > WRITE_LONGEST) size = WRITE_LONGEST; /* xsave and its like */
    for (uint64_t done = 0; done < size; done += 8) note_word(settler, addr + done);
  }
}

/* What is pushed has the flag that makes it step. */
static bool clean_flags(Settler *settler, Fault *fault) {
  enum { TRAP_FLAG = 0x100 };
  Tracee *tracee = &settler->thread->tracee;
  uint16_t flags;
  if (!tracee_regs(tracee, fault)) return false;
  const RemoteAddr at = {tracee->regs.rsp};
  if (!space_read(tracee->space, at, &flags, sizeof flags, fault)) return false;
  flags &= (uint16_t)~TRAP_FLAG;
  return space_write(tracee->space, at, &flags, sizeof flags, fault);
}

static bool step(Settler *settler, StepEnd *out, Fault *fault) {
  Tracee *tracee = &settler->thread->tracee;
  const ZydisMnemonic name = settler->found.mnemonic;
  *out = STEP_EVENT;
  if (is_event(settler)) return true;
  note_writes(settler);
  if (!tracee_resume(tracee, PTRACE_SINGLESTEP, 0, fault) || !tracee_wait(tracee, fault)) {
    return false;
  }
  *out = STEP_OTHER;
  if (tracee->status >> 8 != SIGTRAP || !WIFSTOPPED(tracee->status)) return true;
  if ((name == ZYDIS_MNEMONIC_PUSHFQ || name == ZYDIS_MNEMONIC_PUSHF) &&
      !clean_flags(settler, fault)) {
    return false;
  }
  *out = STEP_DONE;
  return look(settler, fault);
}

/* ---- the way */

/* Steps until a jump can be planted where it stands. */
static bool find_place(Settler *settler, StepEnd *out, Fault *fault) {
  *out = STEP_DONE;
  for (int i = 0; i < SEARCH_STEPS && *out == STEP_DONE; i++) {
    if (is_event(settler) || (settler->found.length >= LEAST_BYTES && !is_repeated(settler))) break;
    if (!step(settler, out, fault)) return false;
  }
  if (*out == STEP_DONE && is_event(settler)) *out = STEP_EVENT;
  return true;
}

/* Once around, or as far as there is no way around. */
static bool walk_around(Settler *settler, StepEnd *out, Fault *fault) {
  const uint64_t start = settler->thread->tracee.regs.rip;
  for (int i = 0; i < PASS_STEPS; i++) {
    if (!step(settler, out, fault)) return false;
    if (*out != STEP_DONE || settler->thread->tracee.regs.rip == start) return true;
  }
  return find_place(settler, out, fault);
}

/* What tells a pass most often comes first: replay compares so much natively. */
static bool tell_first(Recorder *recorder, const Settler *settler, Fault *fault) {
  const struct user_regs_struct *regs = &settler->thread->tracee.regs;
  const uint64_t rsp = regs->rsp & ~(uint64_t)7;
  for (size_t i = 0; i < settler->nwords; i++) {
    if (!event_memory(recorder, CHUNK_POINT, settler->words[i], 8, fault)) return false;
  }
  if (!event_memory(recorder, CHUNK_POINT, rsp, FIRST_ABOVE, fault)) return false;
  return regs->rbp % 8 || regs->rbp <= rsp || regs->rbp - rsp > 1 << 20 ||
         event_memory(recorder, CHUNK_POINT, regs->rbp - FIRST_BELOW, FIRST_BELOW, fault);
}

/* The frames further out, with their counters, and the objects at hand. */
static bool tell_more(Recorder *recorder, const Settler *settler, Fault *fault) {
  const struct user_regs_struct *regs = &settler->thread->tracee.regs;
  const uint64_t rsp = regs->rsp & ~(uint64_t)7;
  const unsigned long long pointers[] = {regs->rdi, regs->rsi, regs->rbx, regs->rbp, regs->rax,
                                         regs->rcx, regs->rdx, regs->r8,  regs->r9,  regs->r10,
                                         regs->r11, regs->r12, regs->r13, regs->r14, regs->r15};
  if (!event_memory(recorder, CHUNK_POINT, rsp, STACK_BYTES, fault)) return false;
  event_optional(recorder);
  for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++) {
    const uint64_t at = pointers[i] & ~(uint64_t)7;
    const MapRange *range = maps_find(&settler->thread->process->maps, at);
    if (!range || !(range->prot & PROT_WRITE) || (at >= rsp && at - rsp < STACK_BYTES)) continue;
    const uint64_t left = range->end - at;
    const size_t size = left < OBJECT_BYTES ? (size_t)left : OBJECT_BYTES;
    if (!event_memory(recorder, CHUNK_POINT, at, size, fault)) return false;
  }
  return true;
}

static bool tell_place(Recorder *recorder, Settler *settler, Fault *fault) {
  RecordThread *thread = settler->thread;
  event_begin(recorder, thread, EVENT_SWITCH);
  if (!tell_first(recorder, settler, fault) || !tell_more(recorder, settler, fault)) return false;
  recorder->event.has_hash = true;
  if (!event_regs(recorder, thread, fault) || !event_end(recorder, thread, fault)) return false;
  event_place(thread);
  return true;
}

/* All but those that an instruction raises. */
static bool hold_signals(pid_t tid, uint64_t *before) {
  const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  uint64_t mask = ~(uint64_t)0;
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) mask &= ~((uint64_t)1 << (own[i] - 1));
  if (ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof *before, before) != 0) return false;
  mask |= *before;
  return ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof mask, &mask) == 0;
}

static bool settle_timed(Recorder *recorder, RecordThread *thread, bool *out, Fault *fault) {
  Settler settler = {.thread = thread};
  uint64_t mask;
  const pid_t tid = thread->tracee.tid;
  StepEnd end = STEP_DONE;
  *out = false;
  ZydisDecoderInit(&settler.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  if (!hold_signals(tid, &mask)) {
    return fault_set(fault, errno == ESRCH ? FAULT_NOTFOUND : FAULT_IO,
                     "thread %d: its signals cannot be held: %s", (int)tid, strerror(errno));
  }
  bool ok = look(&settler, fault) && find_place(&settler, &end, fault);
  settler.nwords = 0;
  if (ok && end == STEP_DONE) ok = walk_around(&settler, &end, fault);
  if (WIFSTOPPED(thread->tracee.status) &&
      ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof mask, &mask) != 0 && ok && errno != ESRCH) {
    ok = fault_set(fault, FAULT_IO, "thread %d: its signals stay held: %s", (int)tid,
                   strerror(errno));
  }
  if (!ok) return false;
  thread->again = end == STEP_OTHER;
  *out = end == STEP_DONE;
  return !*out || tell_place(recorder, &settler, fault);
}

bool settle(Recorder *recorder, RecordThread *thread, bool *out, Fault *fault) {
  const int64_t began = clock_now();
  const bool ok = settle_timed(recorder, thread, out, fault);
  recorder->settle_ns += (clock_now() - began - recorder->settle_ns) / 4;
  return ok;
}
