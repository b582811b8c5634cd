/*
** The few machine instructions that probes are made of, written at an address of another process.
**
** Only what stubs need: moves between registers and memory, compares, jumps. Nothing here touches
** the flags except where it says so. Writing past the end sets `overflow` and writes nothing more,
** so that only the end of a piece has to be checked.
*/
#ifndef TENFOLD_REPLAY_PROBE_ASM_H
#define TENFOLD_REPLAY_PROBE_ASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The order of the encoding. */
typedef enum Reg {
  GP_RAX,
  GP_RCX,
  GP_RDX,
  GP_RBX,
  GP_RSP,
  GP_RBP,
  GP_RSI,
  GP_RDI,
  GP_R8,
  GP_R9,
  GP_R10,
  GP_R11,
  GP_R12,
  GP_R13,
  GP_R14,
  GP_R15
} Reg;

/* Low nibble of the conditional jumps; `cond ^ 1` is the opposite. */
typedef enum Cond {
  COND_B = 2,
  COND_AE,
  COND_E,
  COND_NE,
  COND_BE,
  COND_A,
  COND_L = 12,
  COND_GE,
  COND_LE,
  COND_G
} Cond;

typedef struct Asm {
  uint8_t *bytes; /* borrowed */
  size_t size, capacity;
  uint64_t at; /* where bytes[0] will stand */
  bool overflow;
} Asm;

/* A place not known yet: the jumps to it are closed by asm_land(). */
enum { ASM_JUMPS = 64 };
typedef struct AsmLabel {
  int count;
  uint32_t jumps[ASM_JUMPS]; /* offsets of their 32-bit distances */
} AsmLabel;

void asm_bytes(Asm *code, const void *bytes, size_t size);
void asm_byte(Asm *code, unsigned byte);
void asm_u32(Asm *code, uint32_t word);
void asm_u64(Asm *code, uint64_t word);
static inline uint64_t asm_here(const Asm *code) { return code->at + code->size; }

/* Memory at [base + disp]. */
void asm_load(Asm *code, Reg to, Reg base, int32_t disp);
void asm_store(Asm *code, Reg from, Reg base, int32_t disp);
void asm_store_imm(Asm *code, int32_t value, Reg base, int32_t disp); /* a sign-extended word */
void asm_lea(Asm *code, Reg to, Reg base, int32_t disp);
void asm_lea_sum(Asm *code, Reg to, Reg base, Reg index, int32_t disp); /* index is not rsp */
/* Memory at an absolute address below 2 GiB, reachable from everywhere. */
void asm_load_low(Asm *code, Reg to, uint64_t addr);
void asm_store_low(Asm *code, Reg from, uint64_t addr);
/* Any constant; `mov`, so the flags stay. */
void asm_constant(Asm *code, Reg to, uint64_t value);
void asm_not(Asm *code, Reg reg); /* leaves the flags alone, as the manual promises */
/* Sets the flags: reg against the word at `addr`, which must be within 2 GiB (a constant behind
** the code), or against memory below 2 GiB. */
void asm_compare(Asm *code, Reg reg, uint64_t addr);
void asm_compare_imm(Asm *code, Reg reg, int32_t value);

/* Jumps to a known address: out of reach is `overflow`. */
void asm_jump(Asm *code, uint64_t to);
void asm_branch(Asm *code, Cond cond, uint64_t to);
void asm_jump_label(Asm *code, AsmLabel *label);
void asm_branch_label(Asm *code, Cond cond, AsmLabel *label);
void asm_land(Asm *code, AsmLabel *label);
/* Goes to the label when rcx is 0, without the flags; the label is near (asm_near_land). */
size_t asm_near_rcx_zero(Asm *code);
size_t asm_near_jump(Asm *code);
void asm_near_land(Asm *code, size_t jump);

/* The flags that programs see (CF PF AF ZF SF OF) into ax and back; the second takes what the first
** left in ax. The rest of rax is kept. */
void asm_flags_to_ax(Asm *code);
void asm_flags_from_ax(Asm *code);

/* Is `value` the sign extension of 32 bits? */
static inline bool asm_fits(int64_t value) { return value == (int32_t)value; }

#endif
