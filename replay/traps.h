/*
** Instructions whose result is the machine's choice: the time stamp counter, random numbers, which
** processor it is (virtual ones move between real ones, whose numbers cpuid shows). Where
** the processor cannot be made to trap them, they are replaced in the program's code, byte for
** byte, by instructions of the same length that only a kernel may run: the program then gets a
** SIGSEGV, and who traces it carries out what stood there before. The replacement tells what that
** was:
**
**   rdtsc    0f 31      ->  rdmsr          0f 32
**   rdtscp   0f 01 f9   ->  swapgs         0f 01 f8
**   cpuid    0f a2      ->  invd           0f 08
**   rdrand r 0f c7 /6   ->  mov %cr0, r    0f 20 c0+r   (with its REX; 16 bits: not replaced)
**   rdseed r 0f c7 /7   ->  mov %cr2, r    0f 20 d0+r
**
**   xsavec m 0f c7 /4   ->  lgdt m         0f 01 /2
**   xsave m  0f ae /4   ->  lidt m         0f 01 /3
**
** (xsave and xsavec tell which components of the extended state are in use, which hangs on when the
** thread was last switched to. The dynamic linker leaves it on the stack at every lazy binding.)
**
** Recorder and player have the same bytes: what the recorder replaces is in the recording.
*/
#ifndef TENFOLD_REPLAY_TRAPS_H
#define TENFOLD_REPLAY_TRAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "replay/trace.h"

enum { TRAP_BYTES = 10 }; /* of the longest */

/* Is this one of them, as it was or replaced (which a program has no other use for)? Its kind,
 * length and register (of rdrand, rdseed). */
bool trap_decode(const uint8_t *bytes, size_t size, TrapKind *out_kind, int *out_length,
                 int *out_register);

/* What the instruction does, with what the machine says now: registers behind it afterwards. (Not
** for TRAP_XSAVE.) */
void trap_carry_out(TrapKind kind, int length, int number, struct user_regs_struct *regs);

typedef struct TrapSite {
  uint64_t offset; /* in the file */
  uint8_t length, bytes[TRAP_BYTES];
} TrapSite;

typedef struct TrapSites {
  TrapSite *list; /* in ascending order */
  size_t count, capacity;
} TrapSites;

/* Where an ELF file has them and what is to stand there instead; appended. A place counts when code
** is known to have an instruction there: from the beginning of its function in .eh_frame, or where
** there is none when nearly every way of reading what stands before leads to it. Other files have
** none. Cost: about 10 ms for 10 MB of code. */
bool traps_find(const char *path, TrapSites *out, Fault *fault);

#endif
