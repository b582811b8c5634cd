/*
** The code that runs in the traced program, in its three parts: which calls may be made without the
** tracer (rules.c), what is written down (record.c), what answers (answer.c).
**
** It runs on a stack of its own, without libc, without floating point, and without data of its own
** but InsideWords and the log.
*/
#ifndef TENFOLD_REPLAY_INSIDE_BLOB_H
#define TENFOLD_REPLAY_INSIDE_BLOB_H

#include <stdbool.h>

#include "replay/inside/abi.h"

/* As entry.S pushes them. */
typedef struct Frame {
  uint64_t r15, r14, r13, r12, rbp, rbx, r9, r8, r10, rdx, rsi, rdi, rax, rcx, slow, flags;
} Frame;

extern InsideWords inside_words;
#define inside_log ((uint8_t *)(uintptr_t)(INSIDE_BASE + INSIDE_LOG))

long inside_kernel(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);

/* Makes the call if it is certain that it does not wait and that the tracer need not see it. False:
** it was not made. */
bool rules_make(long nr, const uint64_t args[6], int64_t *out_ret);

void record_call(long nr, const uint64_t args[6], int64_t ret);
/* An event of any such call surely has room. */
bool record_fits(uint64_t bytes);

/* Answers from the log. False: there is none. */
bool answer_call(long nr, const uint64_t args[6], int64_t *out_ret);

void copy(void *to, const void *from, uint64_t size);

#endif
