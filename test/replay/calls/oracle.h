/*
** The judge of the table of calls: the kernel. A call is made for real with all its pointers into
** one arena full of a pattern; what differs afterwards, the kernel wrote.
*/
#ifndef TENFOLD_TEST_REPLAY_CALLS_ORACLE_H
#define TENFOLD_TEST_REPLAY_CALLS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum Special {
  SIGNALLED = 1, /* a timer's signal arrives while it waits */
  CHILD = 2,     /* there is a child that has ended */
  LOOSE = 4,     /* its ranges may go beyond the buffer: nothing tells where the kernel stopped */
  MAY_FAIL = 8   /* not everywhere allowed: the result is not looked at, the memory is */
} Special;

/* `args` are words: numbers; `@F` a descriptor (see world.c); `/etc/passwd` or `%file` (in a folder
** of its own) a path; `'text`; `b100` bytes of the pattern, `z100` of zero; `d1,2` and `q1,2` lists
** of 32 and 64 bits; `v10,20` iovecs; `M` a msghdr to receive with, `m2` mmsghdrs; `S`, `s2` to
** send with; `!` an address that nobody has. */
typedef struct Case {
  const char *call, *args;
  int error; /* errno that it must end with, 0: it succeeds */
  int special;
} Case;

extern const Case cases[];
extern const int ncases;

/* Descriptors by letter, made for the process that calls this. */
void world_make(const char *folder);
int world_fd(char letter);

#endif
