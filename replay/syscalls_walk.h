/*
** How the table of calls is written, and the walk over one call that turns it into ranges. Private
** to replay/syscalls*.c.
**
** A call is its arguments, each a small number: a kind, perhaps the number of another argument that
** tells the length, perhaps a size. What that cannot say is a function `more`.
*/
#ifndef TENFOLD_REPLAY_SYSCALLS_WALK_H
#define TENFOLD_REPLAY_SYSCALLS_WALK_H

#include "replay/syscalls.h"

typedef enum ArgKind {
  ARG_NONE,
  ARG_VALUE,
  ARG_FD,
  ARG_PATH,
  ARG_MEMORY,      /* an address whose ranges `more` tells, or that nobody needs */
  ARG_OUT,         /* `size` bytes, written when the call succeeds */
  ARG_OUT_ANYWAY,  /* ... or fails as well, perhaps */
  ARG_OUT_STOPPED, /* ... only when it was interrupted */
  ARG_OUT_RET,     /* result * size bytes, at most args[other] * size */
  ARG_OUT_LIST,    /* args[other] * size bytes */
  ARG_OUT_SIZED,   /* as many bytes as the u32 at args[other] says, and that u32 */
  ARG_OUT_VECTOR,  /* result bytes in args[other] iovecs */
  ARG_IN_RET,      /* given: result bytes, at most args[other] */
  ARG_IN_LIST,     /* given: args[other] * size bytes */
  ARG_IN_VECTOR    /* given: result bytes in args[other] iovecs */
} ArgKind;

#define CALL_ARG(kind, other, size)                                                                \
  ((uint32_t)(kind) | (uint32_t)(other) << 8 | (uint32_t)(size) << 16)
#define ARG_KIND_OF(arg) ((ArgKind)((arg)&0xff))

/* Words of the table. */
#define V CALL_ARG(ARG_VALUE, 0, 0)
#define FD CALL_ARG(ARG_FD, 0, 0)
#define PATH CALL_ARG(ARG_PATH, 0, 0)
#define MEM CALL_ARG(ARG_MEMORY, 0, 0)
#define OUT(size) CALL_ARG(ARG_OUT, 0, size)
#define OUT_ANYWAY(size) CALL_ARG(ARG_OUT_ANYWAY, 0, size)
#define OUT_STOPPED(size) CALL_ARG(ARG_OUT_STOPPED, 0, size)
#define OUT_RET(other, size) CALL_ARG(ARG_OUT_RET, other, size)
#define OUT_LIST(other, size) CALL_ARG(ARG_OUT_LIST, other, size)
#define OUT_SIZED(other) CALL_ARG(ARG_OUT_SIZED, other, 0)
#define OUT_VECTOR(other) CALL_ARG(ARG_OUT_VECTOR, other, 0)
#define IN_RET(other) CALL_ARG(ARG_IN_RET, other, 0)
#define IN_LIST(other, size) CALL_ARG(ARG_IN_LIST, other, size)
#define IN_VECTOR(other) CALL_ARG(ARG_IN_VECTOR, other, 0)

typedef struct Walk {
  long nr;
  const uint64_t *args;
  int64_t ret;
  bool failed;  /* ret is an error */
  bool may;     /* what may be written is asked, not what was: at entry, or after EFAULT */
  bool unknown; /* nothing is to be trusted */
  CallReader read;
  void *ctx;
  CallRange *ranges;
  int max, count;
  int parts; /* iovecs looked at so far: a limit to what a hostile caller can cost */
} Walk;

typedef void WalkMore(Walk *walk);

typedef struct CallSpec {
  CallInfo info;
  uint32_t args[6];
  WalkMore *more;
} CallSpec;

/* The whole table, in two files for its length: numbers below and from CALL_HALF. */
enum { CALL_HALF = 200 };
extern const CallSpec calls_low[CALL_HALF];
extern const CallSpec calls_high[CALL_END - CALL_HALF];
const CallSpec *call_spec(long nr);

/* One line of it. The kinds of the arguments give nargs, path_args and fd_arg. */
#define IS(arg, kind) (ARG_KIND_OF(arg) == (kind))
#define COUNTED(a) !IS(a, ARG_NONE)
#define CALL6(name, class, block, errno_, more, a, b, c, d, e, f, ...)                             \
  {                                                                                                \
    {name,                                                                                         \
     COUNTED(a) + COUNTED(b) + COUNTED(c) + COUNTED(d) + COUNTED(e) + COUNTED(f),                  \
     class,                                                                                        \
     block,                                                                                        \
     errno_,                                                                                       \
     IS(a, ARG_PATH) | IS(b, ARG_PATH) << 1 | IS(c, ARG_PATH) << 2 | IS(d, ARG_PATH) << 3 |        \
         IS(e, ARG_PATH) << 4,                                                                     \
     IS(a, ARG_FD)   ? 0                                                                           \
     : IS(b, ARG_FD) ? 1                                                                           \
     : IS(c, ARG_FD) ? 2                                                                           \
     : IS(d, ARG_FD) ? 3                                                                           \
     : IS(e, ARG_FD) ? 4                                                                           \
                     : -1},                                                                        \
        {a, b, c, d, e, f}, more                                                                   \
  }
#define CALL(name, ...) CALL6(name, CALL_ANSWER, false, 0, NULL, __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define WAITS(name, ...) CALL6(name, CALL_ANSWER, true, 0, NULL, __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define MORE(name, more, ...)                                                                      \
  CALL6(name, CALL_ANSWER, false, 0, more, __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define WAITS_MORE(name, more, ...)                                                                \
  CALL6(name, CALL_ANSWER, true, 0, more, __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define OTHER(name, class, ...) CALL6(name, class, false, 0, NULL, __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define REFUSED(name, errno_, ...)                                                                 \
  CALL6(name, CALL_REFUSED, false, errno_, NULL, __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* ---- the walk */

/* Did it, or may it, write what a success writes? */
bool walk_wrote(const Walk *walk);
/* Result bytes, at most `limit`; all of them when asked what may be. */
uint64_t walk_bytes(const Walk *walk, uint64_t limit);
/* Append; NULL addresses and empty ranges are left out. */
void walk_out(Walk *walk, uint64_t addr, uint64_t size);
void walk_in(Walk *walk, uint64_t addr, uint64_t size);
/* All of it or false. */
bool walk_read(Walk *walk, uint64_t addr, void *out, size_t size);
uint32_t walk_u32(Walk *walk, uint64_t addr); /* 0 when it cannot be read */
uint64_t walk_u64(Walk *walk, uint64_t addr);
/* The first `bytes` of `count` iovecs. */
void walk_vector(Walk *walk, uint64_t vector, uint64_t count, uint64_t bytes, bool out);

/* syscalls_io.c: descriptors, sockets, waiting */
WalkMore more_poll, more_select, more_pselect, more_sendto, more_recvfrom, more_address,
    more_sendmsg, more_recvmsg, more_sendmmsg, more_recvmmsg, more_getsockopt, more_epoll_pwait,
    more_fcntl, more_handle, more_xattrat;
/* syscalls_ops.c: calls that are many, told by a code */
WalkMore more_futex, more_prctl, more_arch_prctl, more_clone, more_clone3, more_msgrcv, more_msgctl,
    more_semctl, more_shmctl, more_quotactl, more_quotactl_fd, more_keyctl, more_mempolicy,
    more_mincore, more_capget, more_clock_nanosleep, more_move_pages, more_statmount, more_sysfs,
    more_seccomp, more_unknown;
/* syscalls_ioctl.c */
WalkMore more_ioctl;

/* Does it wait, by its operation? The rest of call_may_block(). */
bool ioctl_may_block(const uint64_t args[6]);

#endif
