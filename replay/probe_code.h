/*
** Instructions of a program, and how to run them in another place with the same effect.
**
** A relocated instruction leaves every register, flag and byte of memory as the original would: a
** call pushes the return address of the original. What cannot be moved is INSN_FIXED.
*/
#ifndef TENFOLD_REPLAY_PROBE_CODE_H
#define TENFOLD_REPLAY_PROBE_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replay/probe_asm.h"

typedef enum InsnKind {
  INSN_PLAIN,
  INSN_PADDING, /* nop, int3: may fill the room behind a function */
  INSN_JUMP,    /* to `target` */
  INSN_BRANCH,  /* jcc, to `target` or on */
  INSN_LOOP,    /* jrcxz, loop ...: likewise */
  INSN_CALL,    /* of `target` */
  INSN_CALL_AT, /* through a register or memory */
  INSN_JUMP_AT,
  INSN_RETURN,
  INSN_STOP, /* ud2, hlt: does not go on */
  INSN_FIXED /* depends on where it stands in a way that we do not imitate: syscall, int ... */
} InsnKind;

typedef struct Insn {
  uint64_t at, target; /* target: also what a rip-relative operand names, when `relative` */
  uint8_t kind, length;
  uint8_t displacement; /* offset of the 32-bit distance of `relative` */
  uint8_t modrm;        /* offset of the ModRM byte of INSN_CALL_AT and INSN_JUMP_AT */
  uint8_t cond;         /* of INSN_BRANCH */
  bool relative;
  bool near_only;                  /* its distance has 8 bits */
  uint8_t flags_tested, flags_set; /* bits in the order CF PF AF ZF SF OF */
  uint8_t bytes[15];
} Insn;

enum { INSN_LONGEST = 15, INSN_FLAGS = 63 };

/* The instruction in the first bytes of code[0..size), which stands at `at`. False: there is none
** there that this processor generation knows, or it is cut off. About 100 ns. */
bool insn_decode(const uint8_t *code, size_t size, uint64_t at, Insn *out);

/* Execution never falls through to what follows. */
static inline bool insn_ends(const Insn *insn) {
  return insn->kind == INSN_JUMP || insn->kind == INSN_JUMP_AT || insn->kind == INSN_RETURN ||
         insn->kind == INSN_STOP;
}
static inline bool insn_calls(const Insn *insn) {
  return insn->kind == INSN_CALL || insn->kind == INSN_CALL_AT;
}
static inline bool insn_branches(const Insn *insn) {
  return insn->kind == INSN_JUMP || insn->kind == INSN_BRANCH || insn->kind == INSN_LOOP;
}

/* Can it run elsewhere, given that everything it names stays within reach? */
bool insn_can_move(const Insn *insn);

/* A step of relocated code: what follows `offset` stands for `at` of the original, and there the
** program would have rsp + `adjust`. */
typedef struct MoveStep {
  uint32_t offset;
  int32_t adjust;
} MoveStep;

enum { MOVE_STEPS = 3, MOVE_LONGEST = 32 };

/* Write the instruction at asm_here(). Out of reach is code->overflow. steps[0..return value)
** tells where the state is that before the instruction. An instruction that ends or calls does not
** come out behind its copy. */
int insn_move(const Insn *insn, Asm *code, MoveStep steps[MOVE_STEPS]);

#endif
