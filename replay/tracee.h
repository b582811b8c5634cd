/*
** A thread under ptrace: registers, memory, one system call made in its name.
**
** Nothing here knows of recording or replaying. All functions are called by the one thread that
** traces. "Gone" threads (killed from outside) are FAULT_NOTFOUND.
*/
#ifndef TENFOLD_REPLAY_TRACEE_H
#define TENFOLD_REPLAY_TRACEE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "base/fault.h"
#include "base/stop.h"

/* A page that recorder and player put into every traced space: `syscall; int3`, for the calls made
** in the program's name. What follows SPACE_SCRATCH in it is free for texts that those calls need.
*/
#define SPACE_PAGE ((uint64_t)0x6f0000000000)
enum { SPACE_PAGE_SIZE = 4096, SPACE_SCRATCH = 64, SYSCALL_BYTES = 2 };

/* An address in the traced process: a type, so that it is not mistaken for one of ours. */
typedef struct RemoteAddr {
  uint64_t at;
} RemoteAddr;

/* One address space: threads of a process share it. */
typedef struct Space {
  pid_t pid;            /* a live thread of it, for process_vm_readv and /proc */
  int mem_fd;           /* /proc/PID/mem, for writes to read-only pages; -1: not open yet */
  RemoteAddr call_site; /* `syscall; int3` in the page that we put there; 0: none yet */
  Stop *stop;           /* polled by tracee_wait() at every tick; NULL: never */
} Space;

typedef struct Tracee {
  pid_t tid;
  Space *space;
  struct user_regs_struct regs; /* as of the last stop, when has_regs */
  bool has_regs, regs_changed;  /* written back by tracee_resume() */
  int status;                   /* of the last stop, as waitpid() gave it */
} Tracee;

/* Reads or writes all `size` bytes or fails. Writing goes through /proc/PID/mem where pages are
** read-only, so that code can be patched. */
bool space_read(const Space *space, RemoteAddr addr, void *out, size_t size, Fault *fault);
bool space_write(Space *space, RemoteAddr addr, const void *bytes, size_t size, Fault *fault);
/* Up to `size` bytes, until the first page that cannot be read; *out_size may be 0. */
void space_peek(const Space *space, RemoteAddr addr, void *out, size_t size, size_t *out_size);
/* A NUL-terminated text of at most limit - 1 bytes. */
bool space_read_text(const Space *space, RemoteAddr addr, char *out, size_t limit, Fault *fault);
/* Opens mem_fd if it is not open yet: reads and writes there ask no protection. */
bool space_open_mem(Space *space, Fault *fault);
void space_finish(Space *space);

/* Fetched at most once per stop. */
bool tracee_regs(Tracee *tracee, Fault *fault);
/* Let it go on with `request` (PTRACE_CONT, PTRACE_SYSEMU, PTRACE_SINGLESTEP ...) and a signal. */
bool tracee_resume(Tracee *tracee, int request, int signal, Fault *fault);
/* Wait for its next stop or its end; status is in tracee->status. FAULT_INTERRUPT or FAULT_TIMEOUT
** when space->stop says so; the thread then still runs. */
bool tracee_wait(Tracee *tracee, Fault *fault);
/* A system call made by the stopped thread at space->call_site; its registers are as before
** afterwards. *out_ret is what the kernel returned (-errno for errors). */
bool tracee_syscall(Tracee *tracee, long nr, const uint64_t args[6], int64_t *out_ret,
                    Fault *fault);

/* True when it stands in a stop that is this signal's, by a trap or fault or sent. */
bool tracee_stopped_by(const Tracee *tracee, int signal);

/* From now on waitpid() ends with EINTR every few ms, so that stops can be polled: SIGALRM and
** ITIMER_REAL belong to this process, which must be one that only traces. Undone by (0). */
bool tracee_ticks(int milliseconds, Fault *fault);

#endif
