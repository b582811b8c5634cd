#include "replay/probe_asm.h"

#include <string.h>

void asm_bytes(Asm *code, const void *bytes, size_t size) {
  if (code->overflow || size > code->capacity - code->size) {
    code->overflow = true;
    return;
  }
  memcpy(code->bytes + code->size, bytes, size);
  code->size += size;
}

void asm_byte(Asm *code, unsigned byte) { asm_bytes(code, &(uint8_t){(uint8_t)byte}, 1); }
void asm_u32(Asm *code, uint32_t word) { asm_bytes(code, &word, sizeof word); }
void asm_u64(Asm *code, uint64_t word) { asm_bytes(code, &word, sizeof word); }

/* REX.W, with the high bits of the three register fields. */
static unsigned rex(Reg reg, Reg index, Reg base) {
  return 0x48u | (reg & 8u) >> 1 | (index & 8u) >> 2 | (base & 8u) >> 3;
}

static unsigned modrm(unsigned mod, unsigned reg, unsigned rm) {
  return mod << 6 | (reg & 7) << 3 | (rm & 7);
}

/* opcode with a register field and [base + disp]. */
static void at_base(Asm *code, unsigned opcode, unsigned reg, Reg base, int32_t disp) {
  bool near = disp >= -128 && disp <= 127;
  asm_byte(code, rex((Reg)reg, 0, base));
  asm_byte(code, opcode);
  asm_byte(code, modrm(near ? 1 : 2, reg, base));
  if ((base & 7) == GP_RSP) asm_byte(code, 0x24); /* needs a SIB byte, of no index */
  if (near) {
    asm_byte(code, (unsigned)disp & 0xff);
  } else {
    asm_u32(code, (uint32_t)disp);
  }
}

static void at_low(Asm *code, unsigned opcode, Reg reg, uint64_t addr) {
  if (addr > INT32_MAX) code->overflow = true;
  asm_byte(code, rex(reg, 0, 0));
  asm_byte(code, opcode);
  asm_byte(code, modrm(0, reg, 4));
  asm_byte(code, 0x25); /* no base, no index: an address */
  asm_u32(code, (uint32_t)addr);
}

void asm_load(Asm *code, Reg to, Reg base, int32_t disp) { at_base(code, 0x8b, to, base, disp); }

void asm_store(Asm *code, Reg from, Reg base, int32_t disp) {
  at_base(code, 0x89, from, base, disp);
}

void asm_store_imm(Asm *code, int32_t value, Reg base, int32_t disp) {
  at_base(code, 0xc7, 0, base, disp);
  asm_u32(code, (uint32_t)value);
}

void asm_lea(Asm *code, Reg to, Reg base, int32_t disp) { at_base(code, 0x8d, to, base, disp); }

void asm_lea_sum(Asm *code, Reg to, Reg base, Reg index, int32_t disp) {
  asm_byte(code, rex(to, index, base));
  asm_byte(code, 0x8d);
  asm_byte(code, modrm(2, to, 4));
  asm_byte(code, modrm(0, index, base));
  asm_u32(code, (uint32_t)disp);
}

void asm_load_low(Asm *code, Reg to, uint64_t addr) { at_low(code, 0x8b, to, addr); }
void asm_store_low(Asm *code, Reg from, uint64_t addr) { at_low(code, 0x89, from, addr); }

void asm_constant(Asm *code, Reg to, uint64_t value) {
  asm_byte(code, rex(0, 0, to));
  if (asm_fits((int64_t)value)) {
    asm_byte(code, 0xc7);
    asm_byte(code, modrm(3, 0, to));
    asm_u32(code, (uint32_t)value);
  } else {
    asm_byte(code, 0xb8 | (to & 7));
    asm_u64(code, value);
  }
}

void asm_not(Asm *code, Reg reg) {
  asm_byte(code, rex(0, 0, reg));
  asm_byte(code, 0xf7);
  asm_byte(code, modrm(3, 2, reg));
}

void asm_compare(Asm *code, Reg reg, uint64_t addr) {
  if (addr <= INT32_MAX) {
    at_low(code, 0x3b, reg, addr);
    return;
  }
  int64_t distance = (int64_t)(addr - (asm_here(code) + 7));
  if (!asm_fits(distance)) code->overflow = true;
  asm_byte(code, rex(reg, 0, 0));
  asm_byte(code, 0x3b);
  asm_byte(code, modrm(0, reg, 5));
  asm_u32(code, (uint32_t)distance);
}

void asm_compare_imm(Asm *code, Reg reg, int32_t value) {
  asm_byte(code, rex(0, 0, reg));
  asm_byte(code, 0x81);
  asm_byte(code, modrm(3, 7, reg));
  asm_u32(code, (uint32_t)value);
}

static void distance_to(Asm *code, uint64_t to) {
  int64_t distance = (int64_t)(to - (asm_here(code) + 4));
  if (!asm_fits(distance)) code->overflow = true;
  asm_u32(code, (uint32_t)distance);
}

void asm_jump(Asm *code, uint64_t to) {
  asm_byte(code, 0xe9);
  distance_to(code, to);
}

void asm_branch(Asm *code, Cond cond, uint64_t to) {
  asm_byte(code, 0x0f);
  asm_byte(code, 0x80u | cond);
  distance_to(code, to);
}

static void to_label(Asm *code, AsmLabel *label) {
  if (label->count == ASM_JUMPS) {
    code->overflow = true;
  } else {
    label->jumps[label->count++] = (uint32_t)code->size;
  }
  asm_u32(code, 0);
}

void asm_jump_label(Asm *code, AsmLabel *label) {
  asm_byte(code, 0xe9);
  to_label(code, label);
}

void asm_branch_label(Asm *code, Cond cond, AsmLabel *label) {
  asm_byte(code, 0x0f);
  asm_byte(code, 0x80u | cond);
  to_label(code, label);
}

void asm_land(Asm *code, AsmLabel *label) {
  for (int i = 0; i < label->count && !code->overflow; i++) {
    uint32_t distance = (uint32_t)(code->size - (label->jumps[i] + 4));
    memcpy(code->bytes + label->jumps[i], &distance, sizeof distance);
  }
  label->count = 0;
}

static size_t near_jump(Asm *code, unsigned opcode) {
  asm_byte(code, opcode);
  asm_byte(code, 0);
  return code->size;
}

size_t asm_near_rcx_zero(Asm *code) { return near_jump(code, 0xe3); }
size_t asm_near_jump(Asm *code) { return near_jump(code, 0xeb); }

void asm_near_land(Asm *code, size_t jump) {
  if (code->size - jump > 127) code->overflow = true;
  if (!code->overflow) code->bytes[jump - 1] = (uint8_t)(code->size - jump);
}

void asm_flags_to_ax(Asm *code) { asm_bytes(code, "\x9f\x0f\x90\xc0", 4); /* lahf; seto al */ }

/* add al, 127 overflows exactly when al is 1; sahf then sets the other five. */
void asm_flags_from_ax(Asm *code) { asm_bytes(code, "\x04\x7f\x9e", 3); }
