/*
** What the system calls of x86-64 Linux take, give and do: the table behind recorder, replay and
** omni_syscalls. Data only; nothing here traces.
**
** A call is described by where it writes and reads memory besides its registers. Sizes may hang on
** arguments, on the result or on memory (struct iovec, struct msghdr, ioctl's encoding), so that
** description is a small function over a memory reader rather than a table of numbers.
*/
#ifndef TENFOLD_REPLAY_SYSCALLS_H
#define TENFOLD_REPLAY_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What replay has to do with a call. */
typedef enum CallClass {
  CALL_ANSWER,  /* result and memory come from the recording; the kernel is not asked */
  CALL_MEMORY,  /* changes the address space: done again at the recorded address (mmap, munmap,
                ** mprotect, mremap, brk, madvise, shmat, shmdt) */
  CALL_SPAWN,   /* clone, clone3, fork, vfork */
  CALL_EXEC,    /* execve, execveat: an IMAGE event follows when it succeeds */
  CALL_EXIT,    /* exit, exit_group */
  CALL_STATE,   /* state of the thread that recorder or replay keeps (arch_prctl, rt_sigreturn,
                ** set_tid_address, set_robust_list, restart_syscall) */
  CALL_REFUSED, /* the recorder answers ENOSYS or another errno, so that programs fall back
                ** (rseq, io_uring_setup, ptrace, seccomp ...): see call_refusal() */
  CALL_UNKNOWN  /* not in the table: the recorder has to find out what it wrote */
} CallClass;

typedef struct CallInfo {
  const char *name;
  int nargs;
  CallClass class;
  bool may_block;    /* another thread should run meanwhile */
  int refusal;       /* errno of CALL_REFUSED */
  uint8_t path_args; /* bit i: argument i is a path */
  int fd_arg;        /* which argument is a file descriptor; -1: none */
} CallInfo;

/* The numbers of the table are below this. */
enum { CALL_END = 470 };

/* NULL: there is no such number in the table. */
const CallInfo *call_info(long nr);
const char *call_name(long nr);     /* "openat"; "syscall_999" is not made up: NULL when unknown */
long call_number(const char *name); /* -1: unknown */
const char *errno_name(int number); /* "ENOENT", or NULL */

/* The errno that the recorder must answer instead of making the call; 0: make it. Knows what single
** operations of prctl and its like must not be made under a recorder, besides CALL_REFUSED. */
int call_refusal(long nr, const uint64_t args[6]);

/* A piece of memory that a call touches. */
typedef struct CallRange {
  uint64_t addr;
  uint64_t size;
  bool out; /* the kernel wrote it; else the program gave it (the bytes of write and its like) */
} CallRange;

/* Reads the caller's memory: up to `size` bytes at addr into out, how many were there. */
typedef size_t (*CallReader)(void *ctx, uint64_t addr, void *out, size_t size);

/* The ranges that a finished call touched, appended to ranges[0..max): returns how many there are,
** which may be more than max (call again with room), or -1 when this call (an ioctl, a prctl, a
** socket option ...) is not known well enough to say: the recorder then has to find out by itself.
** `ret` is the raw result (-errno, the kernel's own 512 to 516 of an interrupted call included);
** `read` sees memory as the call left it.
**
** Out ranges cover every byte that the kernel wrote, also when the call failed. They may cover more
** where nothing tells the difference afterwards: the length that an address really has, although
** the buffer was shorter; everything that might have been written, after EFAULT. So a range need
** not be readable to its end. Ranges of the program's side (out is false) are only what leaves the
** process: written data, addresses, options; not paths.
**
** Never more than 1 GiB in a range, nor more than CALL_MAX_RANGES; a hostile iovec is cut. */
enum { CALL_MAX_RANGES = 8192 };
int call_ranges(long nr, const uint64_t args[6], int64_t ret, CallReader read, void *ctx,
                CallRange *ranges, int max);

/* Could it wait for something, given its arguments (poll with a timeout of 0 does not)? `read` as
** above. Errs on the side of yes. */
bool call_may_block(long nr, const uint64_t args[6], CallReader read, void *ctx);

/* At entry: memory that the kernel may write while the call waits, as far as it is known before the
** call ends. For the recorder, which may let other threads run meanwhile. Same protocol as
** call_ranges(). */
int call_targets(long nr, const uint64_t args[6], CallReader read, void *ctx, CallRange *ranges,
                 int max);

#endif
