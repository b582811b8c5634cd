/*
** Who called: from the registers and the stack of a thread to its frames, by what .eh_frame says.
**
** Exact at every instruction, also at the first and last of a function, in stubs of the linkage
** table, in leaf functions without a frame and through signal handlers. Rules come from the files,
** so code that is patched in memory does not matter, but the innermost pc has to be the program's
** (see probes_leave()). What was worked out for a pc is kept: about 20 ns a frame then.
**
** (libunwind gives the same answers and is what the tests compare with. It asks for memory word by
** word, guesses without saying so, and is not made for files that lie.)
*/
#ifndef TENFOLD_REPLAY_UNWIND_H
#define TENFOLD_REPLAY_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "base/fault.h"
#include "replay/cfi.h"

typedef struct Unwinder Unwinder;

bool unwinder_create(Unwinder **out, Fault *fault);
void unwinder_free(Unwinder *unwinder);
/* Executable memory [start, end): addresses there are `bias` above those of `cfi`, which must live
** as long (NULL: code that nothing is known of, as compilers make it at run time). Takes the
** place of what was there. */
bool unwinder_map(Unwinder *unwinder, uint64_t start, uint64_t end, uint64_t bias, const Cfi *cfi,
                  Fault *fault);
bool unwinder_unmap(Unwinder *unwinder, uint64_t start, uint64_t end, Fault *fault);
/* Where nothing is said, follow the chain of frame pointers if it looks like one, and the return
** address on top of the stack after a call to nowhere. Such frames are `guessed`. Off at first. */
void unwinder_guess(Unwinder *unwinder, bool may_guess);

/* The program's memory: a copy of the stack, and beyond it a function (or NULL). */
typedef struct UnwindMemory {
  uint64_t at;
  const uint8_t *bytes;
  size_t size;
  bool (*read)(void *ctx, uint64_t addr, void *out, size_t size);
  void *ctx;
} UnwindMemory;

typedef enum UnwindEnd {
  UNWIND_NOT,       /* there is a caller */
  UNWIND_OUTERMOST, /* there is none: the stack is complete */
  UNWIND_NO_RULES,  /* nothing says how to leave the code at pc */
  UNWIND_NO_MEMORY, /* the stack goes on where no memory is known */
  UNWIND_BROKEN     /* rules or stack make no sense */
} UnwindEnd;

/* As it would be written about: "complete", "no rules for the code there" ... */
const char *unwind_end_text(UnwindEnd end);

/* What was worked out for an address: mostly that some registers stand at distances from the CFA.
 */
typedef struct UnwindRow {
  uint64_t at;
  int32_t cfa_offset;
  uint8_t cfa_register, kind;
  bool is_signal;
  int32_t saved[7]; /* rbx, rbp, r12, r13, r14, r15, rip */
} UnwindRow;

typedef struct Frame {
  uint64_t pc;  /* runs next, or when the callee returns */
  uint64_t at;  /* an address of the instruction meant: pc, or pc - 1 behind a call */
  uint64_t cfa; /* rsp before the call that made this frame; 0: unknown */
  bool guessed;
  bool is_trampoline; /* of the kernel: the frame above is a signal handler, the next interrupted */
  uint64_t registers[CFI_REGISTERS];
  uint32_t known;
  UnwindEnd end; /* why there is no next frame, if so */
  UnwindRow row;
} Frame;

/* The innermost frame. `known` has a bit for each register that is; rsp and rip must be. */
void unwind_begin(Unwinder *unwinder, const UnwindMemory *memory,
                  const uint64_t registers[CFI_REGISTERS], uint32_t known, Frame *out);
/* All registers, in DWARF's order. */
void unwind_registers(const struct user_regs_struct *regs, uint64_t out[CFI_REGISTERS]);
/* To the caller's frame. False, with frame->end set: there is none. With a hostile stack this can
** go on as long as the caller lets it. */
bool unwind_step(Unwinder *unwinder, const UnwindMemory *memory, Frame *frame);

/* The pcs of up to `most` frames from the innermost on: pcs[i] is Frame.at. Returns how many;
** *out_end is UNWIND_NOT when there are more. */
size_t unwind_pcs(Unwinder *unwinder, const UnwindMemory *memory,
                  const uint64_t registers[CFI_REGISTERS], uint32_t known, uint64_t *pcs,
                  size_t most, UnwindEnd *out_end);

#endif
