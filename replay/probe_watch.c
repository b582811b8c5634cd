/*
** Writes to memory: pages that cannot be written, and a step over whoever tries.
*/
#define _GNU_SOURCE
#include <cpuid.h>
#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <Zydis/Zydis.h>

#include "base/array.h"
#include "replay/probe_inner.h"

static bool protect(Tracee *tracee, const Watch *watch, int prot, Fault *fault) {
  const uint64_t args[6] = {watch->start, watch->end - watch->start, (uint64_t)prot};
  int64_t ret;
  if (!tracee_syscall(tracee, SYS_mprotect, args, &ret, fault)) return false;
  return ret == 0 || fault_set(fault, FAULT_IO, "watch: mprotect of 0x%llx in the program: %s",
                               (unsigned long long)watch->start, strerror((int)-ret));
}

/* The protection of start..end, which must be one. */
static bool protection(pid_t pid, uint64_t start, uint64_t end, int *out, Fault *fault) {
  char path[64], line[4352], prot[8];
  snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
  FILE *maps = fopen(path, "re");
  bool found = false;
  while (maps && !found && fgets(line, sizeof line, maps)) {
    unsigned long long from, to;
    if (sscanf(line, "%llx-%llx %7s", &from, &to, prot) != 3) continue;
    found = start >= from && end <= to;
  }
  if (maps) fclose(maps);
  if (!found) {
    return fault_set(fault, FAULT_UNSUPPORTED, "watch: 0x%llx is not in one mapping",
                     (unsigned long long)start);
  }
  *out = (prot[0] == 'r' ? PROT_READ : 0) | (prot[1] == 'w' ? PROT_WRITE : 0) |
         (prot[2] == 'x' ? PROT_EXEC : 0);
  return true;
}

bool probes_watch(Probes *probes, Tracee *tracee, uint64_t addr, uint64_t size, int *out_watch,
                  Fault *fault) {
  const uint64_t mask = ~(uint64_t)(LOW_PAGE - 1);
  if (!size || addr + size < addr || size > (uint64_t)1 << 30) {
    return fault_set(fault, FAULT_INVALID, "watch: %llu bytes at 0x%llx", (unsigned long long)size,
                     (unsigned long long)addr);
  }
  Watch watch = {.addr = addr,
                 .size = size,
                 .start = addr & mask,
                 .live = true,
                 .end = (addr + size + LOW_PAGE - 1) & mask};
  for (size_t i = 0; i < probes->nwatches; i++) {
    const Watch *other = &probes->watches[i];
    if (other->live && other->start < watch.end && watch.start < other->end) {
      return fault_set(fault, FAULT_UNSUPPORTED, "watch: 0x%llx shares a page with another",
                       (unsigned long long)addr);
    }
  }
  if (!protection(tracee->space->pid, watch.start, watch.end, &watch.prot, fault)) return false;
  if (!array_grow(probes->watches, probes->watches_capacity, probes->nwatches + 1)) {
    return fault_oom(fault);
  }
  if (!protect(tracee, &watch, watch.prot & ~PROT_WRITE, fault)) return false;
  *out_watch = (int)probes->nwatches;
  probes->watches[probes->nwatches++] = watch;
  return true;
}

bool probes_unwatch(Probes *probes, Tracee *tracee, int index, Fault *fault) {
  Watch *watch = &probes->watches[index];
  if (!watch->live) return true;
  watch->live = false;
  return protect(tracee, watch, watch->prot, fault);
}

bool probes_protected(Probes *probes, Tracee *tracee, uint64_t start, uint64_t end, int prot,
                      Fault *fault) {
  for (size_t i = 0; i < probes->nwatches; i++) {
    Watch *watch = &probes->watches[i];
    if (!watch->live || watch->end <= start || end <= watch->start) continue;
    if (watch->start < start || end < watch->end) {
      return fault_set(fault, FAULT_UNSUPPORTED, "watch: a part of 0x%llx changes its protection",
                       (unsigned long long)watch->addr);
    }
    watch->prot = prot;
    if (!protect(tracee, watch, prot & ~PROT_WRITE, fault)) return false;
  }
  return true;
}

const ProbeWrite *probes_write(const Probes *probes) { return &probes->write; }

/* By number, for the decoder's arithmetic. */
static void registers(const struct user_regs_struct *regs, ZydisRegisterContext *out) {
  const uint64_t values[16] = {regs->rax, regs->rcx, regs->rdx, regs->rbx, regs->rsp, regs->rbp,
                               regs->rsi, regs->rdi, regs->r8,  regs->r9,  regs->r10, regs->r11,
                               regs->r12, regs->r13, regs->r14, regs->r15};
  memset(out, 0, sizeof *out);
  for (int i = 0; i < 16; i++) {
    out->values[ZYDIS_REGISTER_RAX + i] = values[i];
    out->values[ZYDIS_REGISTER_EAX + i] = values[i] & UINT32_MAX;
  }
}

/* A register of AVX-512 that says which elements are written. */
static bool read_mask(pid_t tid, ZydisRegister reg, uint64_t *out) {
  enum { MASKS = 5, XSTATE_MOST = 16384 };
  unsigned size, offset, c, d;
  uint8_t *state = malloc(XSTATE_MOST);
  struct iovec part = {state, XSTATE_MOST};
  bool ok = state && __get_cpuid_count(0xd, MASKS, &size, &offset, &c, &d) && size >= 64 &&
            ptrace(PTRACE_GETREGSET, tid, (void *)NT_X86_XSTATE, &part) == 0 &&
            part.iov_len >= offset + size;
  if (ok) memcpy(out, state + offset + 8 * (size_t)(reg - ZYDIS_REGISTER_K0), sizeof *out);
  free(state);
  return ok;
}

/* Cut a masked store to what it writes of [low, high). False: its mask is not known. */
static bool cut_masked(const Tracee *tracee, const ZydisDecodedInstruction *insn,
                       const ZydisDecodedOperand *operand, uint64_t low, uint64_t high,
                       uint64_t *addr, uint64_t *size) {
  const uint64_t width = operand->element_size / 8, start = *addr, count = *size / (width + !width);
  uint64_t mask, first = 0, end = 0;
  if (!width || insn->avx.mask.reg < ZYDIS_REGISTER_K1 || insn->avx.mask.reg > ZYDIS_REGISTER_K7 ||
      !read_mask(tracee->tid, insn->avx.mask.reg, &mask)) {
    return false;
  }
  for (uint64_t i = 0; i < count && i < 64; i++) {
    const uint64_t at = start + i * width;
    if (!(mask >> i & 1) || at + width <= low || at >= high) continue;
    if (!end) first = at;
    end = at + width;
  }
  *addr = first;
  *size = end - first;
  return true;
}

static bool is_masked(const ZydisDecodedInstruction *insn) {
  switch (insn->mnemonic) {
  case ZYDIS_MNEMONIC_VMASKMOVPS:
  case ZYDIS_MNEMONIC_VMASKMOVPD:
  case ZYDIS_MNEMONIC_VPMASKMOVD:
  case ZYDIS_MNEMONIC_VPMASKMOVQ:
  case ZYDIS_MNEMONIC_MASKMOVDQU:
  case ZYDIS_MNEMONIC_VMASKMOVDQU:
    return true;
  default:
    return insn->avx.mask.reg != ZYDIS_REGISTER_NONE && insn->avx.mask.reg != ZYDIS_REGISTER_K0;
  }
}

/* Where the instruction at rip writes. False: that cannot be told (scatter, xsave); it is somewhere
** from the fault on. Of masked stores only what lies in the watched range is looked at. */
static bool write_range(const Probes *probes, const Tracee *tracee, const Watch *watch,
                        uint64_t fault_at, uint64_t *out_addr, uint64_t *out_size) {
  const struct user_regs_struct *regs = &tracee->regs;
  uint8_t code[INSN_LONGEST];
  size_t got;
  ZydisDecoder decoder;
  ZydisDecodedInstruction insn;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  ZydisRegisterContext context;
  *out_addr = fault_at;
  *out_size = LOW_PAGE - fault_at % LOW_PAGE;
  space_peek(probes->space, (RemoteAddr){regs->rip}, code, sizeof code, &got);
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, got, &insn, operands))) {
    return false;
  }
  registers(regs, &context);
  for (int i = 0; i < insn.operand_count; i++) {
    const ZydisDecodedOperand *operand = &operands[i];
    ZyanU64 addr;
    if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY ||
        !(operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) ||
        operand->mem.type != ZYDIS_MEMOP_TYPE_MEM || operand->size < 8 ||
        !ZYAN_SUCCESS(ZydisCalcAbsoluteAddressEx(&insn, operand, regs->rip, &context, &addr))) {
      continue;
    }
    if (operand->mem.segment == ZYDIS_REGISTER_FS) addr += regs->fs_base;
    if (operand->mem.segment == ZYDIS_REGISTER_GS) addr += regs->gs_base;
    /* A push writes below where rsp was. */
    if (operand->mem.base == ZYDIS_REGISTER_RSP && addr == regs->rsp &&
        operand->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN) {
      addr -= operand->size / 8;
    }
    if (fault_at < addr || fault_at >= addr + operand->size / 8) continue;
    *out_addr = addr;
    *out_size = operand->size / 8;
    return !is_masked(&insn) || cut_masked(tracee, &insn, operand, watch->addr,
                                           watch->addr + watch->size, out_addr, out_size);
  }
  return false;
}

/* The instruction at rip is run with the pages open. */
static bool step_over(Tracee *tracee, const Watch *watch, Fault *fault) {
  if (!protect(tracee, watch, watch->prot, fault) ||
      !tracee_resume(tracee, PTRACE_SINGLESTEP, 0, fault) || !tracee_wait(tracee, fault)) {
    return false;
  }
  if (!WIFSTOPPED(tracee->status) || WSTOPSIG(tracee->status) != SIGTRAP) {
    return fault_set(fault, FAULT_INTERNAL, "watch: a step over a write ended with status 0x%x",
                     (unsigned)tracee->status);
  }
  return tracee_regs(tracee, fault) && protect(tracee, watch, watch->prot & ~PROT_WRITE, fault);
}

static bool note_write(Probes *probes, Tracee *tracee, size_t index, uint64_t fault_at,
                       ProbeStop *out, Fault *fault) {
  const Watch *watch = &probes->watches[index];
  ProbeWrite *write = &probes->write;
  Tracee seen = *tracee;
  uint64_t addr, size, end;
  const bool known = write_range(probes, tracee, watch, fault_at, &addr, &size);
  end = addr + size < watch->addr + watch->size ? addr + size : watch->addr + watch->size;
  if (addr < watch->addr) addr = watch->addr;
  if (!probes_leave(probes, &seen, fault)) return false;
  *write = (ProbeWrite){.watch = (int)index, .pc = seen.regs.rip, .addr = addr};
  write->size = end > addr && size ? end - addr : 0;
  const size_t shown = write->size < WRITE_BYTES ? (size_t)write->size : WRITE_BYTES;
  *out = write->size > 0 ? PROBE_WRITE : PROBE_HANDLED;
  if (shown && !space_read(probes->space, (RemoteAddr){addr}, write->before, shown, fault))
    return false;
  if (!step_over(tracee, watch, fault)) return false;
  if (shown && !space_read(probes->space, (RemoteAddr){addr}, write->after, shown, fault)) {
    return false;
  }
  if (!known && memcmp(write->before, write->after, shown) == 0) *out = PROBE_HANDLED;
  return true;
}

bool watch_fault(Probes *probes, Tracee *tracee, uint64_t addr, ProbeStop *out, Fault *fault) {
  for (size_t i = 0; i < probes->nwatches; i++) {
    const Watch *watch = &probes->watches[i];
    if (!watch->live || !(watch->prot & PROT_WRITE) || addr < watch->start || addr >= watch->end) {
      continue;
    }
    return note_write(probes, tracee, i, addr, out, fault);
  }
  return true;
}
