/*
** What stands where in the memory that the in-process log has in a traced program, and the words by
** which the tracer and the code there (replay/inside/) speak to each other.
**
** The addresses are the same in every program; nothing of it is the program's: no hash, no list of
** mappings holds it.
*/
#ifndef TENFOLD_REPLAY_INSIDE_ABI_H
#define TENFOLD_REPLAY_INSIDE_ABI_H

#define INSIDE_BASE 0x6f0000010000
#define INSIDE_CODE_SIZE 0x20000 /* code and constants: read, execute */
#define INSIDE_WORDS 0x20000     /* from here on: read, write */
#define INSIDE_STACK_TOP 0x30000
#define INSIDE_LOG 0x30000
#define INSIDE_LOG_SIZE 0x80000
#define INSIDE_SIZE (INSIDE_LOG + INSIDE_LOG_SIZE)

/* Offsets of code that the tracer has to know: the `syscall` that no filter stops; where patches
** lead; where a thread that is to stop at the end of a call makes one (INSIDE_STOP) that there is
** not, so that the tracer sees it; where it goes on otherwise; where one goes on whose call is to
** be made by itself after all. */
#define INSIDE_KERNEL 0x0
#define INSIDE_ENTRY 0x10
#define INSIDE_LEFT 0x20
#define INSIDE_LEFT_END 0x2e /* behind its `syscall` */
#define INSIDE_GO 0x40
#define INSIDE_ABANDON 0x50
#define INSIDE_STOP 0x7000

/* Offsets in InsideWords that the assembly uses. */
#define WORDS_RSP 0
#define WORDS_BACK 8
#define WORDS_EXIT 16
#define WORDS_FRAME 24
#define WORDS_RAX 32

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

enum { INSIDE_FDS = 1024 };

typedef enum InsideMode {
  INSIDE_RECORD, /* calls are made, and events written */
  INSIDE_REPLAY  /* calls are answered by events */
} InsideMode;

/* What a descriptor is, as far as it matters to whether a call may wait. */
typedef enum InsideFd {
  FD_UNKNOWN,
  FD_FILE,  /* never waits: regular files, folders */
  FD_QUICK, /* nor do /dev/null and its like */
  FD_PIPE,
  FD_STREAM, /* may wait */
  FD_OUTSIDE /* /proc: the tracer must see calls */
} InsideFd;

typedef struct InsideWords {
  uint64_t rsp;   /* the program's, while a thread is here */
  uint64_t back;  /* where it goes on */
  uint64_t exit;  /* INSIDE_GO, or INSIDE_LEFT when the thread is to stop when it is done */
  uint64_t frame; /* the stack pointer after entry */
  uint64_t rax;   /* of a thread that stops at INSIDE_LEFT */
  uint64_t mode;
  uint64_t made;     /* the call under way has been made: it cannot be abandoned any more */
  uint64_t head;     /* bytes of events in the log */
  uint64_t taken;    /* replay: ... of these have been answered */
  uint64_t leave_at; /* replay: when so many have been taken, the thread stops */
  uint64_t now;      /* record: clock_now() when the tracer last looked */
  int32_t pid, tid;  /* record: who runs */
  uint64_t room;     /* record: so many calls may be made here before one has to be a stop */
  uint64_t shared;   /* record: some file is mapped MAP_SHARED: writes to files are outside */
  uint64_t proc_dev; /* record: st_dev of /proc */
  uint8_t fds[INSIDE_FDS];
} InsideWords;

_Static_assert(offsetof(InsideWords, rsp) == WORDS_RSP, "as the assembly has it");
_Static_assert(offsetof(InsideWords, back) == WORDS_BACK, "as the assembly has it");
_Static_assert(offsetof(InsideWords, exit) == WORDS_EXIT, "as the assembly has it");
_Static_assert(offsetof(InsideWords, frame) == WORDS_FRAME, "as the assembly has it");
_Static_assert(offsetof(InsideWords, rax) == WORDS_RAX, "as the assembly has it");

#endif
#endif
