/*
** Where an operand in memory is: see record_operand.h.
*/
#include "replay/record_operand.h"

static unsigned long long value_of(const struct user_regs_struct *regs, ZydisRegister name) {
  const unsigned long long order[16] = {
      regs->rax, regs->rcx, regs->rdx, regs->rbx, regs->rsp, regs->rbp, regs->rsi, regs->rdi,
      regs->r8,  regs->r9,  regs->r10, regs->r11, regs->r12, regs->r13, regs->r14, regs->r15};
  if (name >= ZYDIS_REGISTER_RAX && name <= ZYDIS_REGISTER_R15) {
    return order[name - ZYDIS_REGISTER_RAX];
  }
  if (name >= ZYDIS_REGISTER_EAX && name <= ZYDIS_REGISTER_R15D) {
    return order[name - ZYDIS_REGISTER_EAX] & 0xffffffff;
  }
  return 0;
}

uint64_t operand_address(const ZydisDecodedInstruction *found, const ZydisDecodedOperand *operand,
                         const struct user_regs_struct *regs) {
  uint64_t addr = value_of(regs, operand->mem.base) +
                  value_of(regs, operand->mem.index) * operand->mem.scale +
                  (uint64_t)operand->mem.disp.value;
  if (operand->mem.base == ZYDIS_REGISTER_RIP) addr += regs->rip + found->length;
  if (operand->mem.segment == ZYDIS_REGISTER_FS) addr += regs->fs_base;
  if (operand->mem.segment == ZYDIS_REGISTER_GS) addr += regs->gs_base;
  return addr;
}
