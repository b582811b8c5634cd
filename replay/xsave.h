/*
** The layout of XSAVE, as the processor, ptrace and signal frames have it: 512 bytes that FXSAVE
** had, a header, and the components behind it. (Intel SDM 1, 13.4; arch/x86 user_fxsr_struct.)
*/
#ifndef TENFOLD_REPLAY_XSAVE_H
#define TENFOLD_REPLAY_XSAVE_H

enum {
  XSAVE_MXCSR_AT = 24,
  XSAVE_FP_AT = 32,
  XSAVE_SSE_AT = 160,
  XSAVE_RESERVED_AT = 416,
  XSAVE_SOFTWARE_AT = 464, /* the kernel's own remarks; nothing of the processor's */
  XSAVE_HEADER_AT = 512,   /* u64 components in use, u64 compacted form */
  XSAVE_COMPACT_AT = 520,
  XSAVE_EXTENDED_AT = 576
};

#endif
