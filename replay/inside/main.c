/*
** Where a rewritten system call arrives.
*/
#include "replay/inside/blob.h"

bool inside_call(Frame *frame);

/* False: the program makes the call itself, as it would have, and the tracer sees it. */
bool inside_call(Frame *frame) {
  const uint64_t args[6] = {frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8, frame->r9};
  const long nr = (long)frame->rax;
  int64_t ret;
  if (inside_words.mode == INSIDE_REPLAY) {
    if (!answer_call(nr, args, &ret)) return false;
  } else {
    if (!rules_make(nr, args, &ret)) return false;
    record_call(nr, args, ret);
  }
  frame->rax = (uint64_t)ret;
  return true;
}

/* ---- what the compiler takes for granted */

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);

void *memcpy(void *to, const void *from, size_t size) {
  void *start = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  return start;
}

void *memset(void *to, int byte, size_t size) {
  void *start = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
  return start;
}

typedef uint64_t __attribute__((may_alias, aligned(1))) Word;

void copy(void *to, const void *from, uint64_t size) {
  uint8_t *out = to;
  const uint8_t *in = from;
  if (size > 256) {
    memcpy(to, from, size);
    return;
  }
  for (; size >= sizeof(Word); size -= sizeof(Word), out += sizeof(Word), in += sizeof(Word)) {
    *(Word *)out = *(const Word *)in;
  }
  for (; size > 0; size--) *out++ = *in++;
}
