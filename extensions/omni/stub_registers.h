/*
** Registers of x86-64 as gdb numbers and packs them, and the description of the target that tells
** it so (org.gnu.gdb.i386.core, sse, linux, segments, avx).
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_STUB_REGISTERS_H
#define TENFOLD_EXTENSIONS_OMNI_STUB_REGISTERS_H

#include "base/text.h"
#include "replay/play.h"

typedef struct StubRegisters {
  struct user_regs_struct general;
  unsigned char units[1 << 14]; /* as NT_X86_XSTATE has them */
  bool has_units, has_avx;
} StubRegisters;

/* Those of the thread that the view shows. */
void stub_registers_read(const PlayView *view, StubRegisters *out);
/* target.xml, for a thread with these registers. */
void stub_registers_describe(const StubRegisters *registers, Text *out);
/* All of them, in hexadecimal, in the order of their numbers / number n: false when there is none.
** What is not known is "xx". */
void stub_registers_all(const StubRegisters *registers, Text *out);
bool stub_registers_one(const StubRegisters *registers, unsigned long n, Text *out);

#endif
