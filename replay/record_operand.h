/*
** Where an operand in memory is.
*/
#ifndef TENFOLD_REPLAY_RECORD_OPERAND_H
#define TENFOLD_REPLAY_RECORD_OPERAND_H

#include <Zydis/Zydis.h>
#include <stdint.h>
#include <sys/user.h>

/* Of the instruction that these registers stand before. Not for gathering ones. */
uint64_t operand_address(const ZydisDecodedInstruction *found, const ZydisDecodedOperand *operand,
                         const struct user_regs_struct *regs);

#endif
