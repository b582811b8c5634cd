/*
** Starting the helper: see keeper.h.
*/
#define _GNU_SOURCE /* clone, close_range */
#include "extensions/omni/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "extensions/omni/wire.h"

/* A copy of the loader's path: for omni.so without the permission to execute it. */
static const char loader[] = "/lib64/ld-linux-x86-64.so.2";

enum { STACK = 64 << 10, GRACE_MS = 1000, LAST_SIGNAL = 64 };

/* What host and keeper share; at the end of the keeper's memory. */
typedef struct Start {
  const char *library;
  int socket, kept; /* the helper's end, and the keeper's copy of it */
  int pidfd;
  _Atomic int started; /* futex: 1 when `failed` is known */
  int failed;          /* errno of what did not work */
} Start;

extern char **environ;

/* ---- the helper, before it is one ------------------------------------------------------------ */

/*
** The stacks below are memory used before, by others who never returned: the address sanitizer has
** marks of theirs there.
*/
#define REUSED_STACK __attribute__((no_sanitize_address))

REUSED_STACK static void reset_signals(void) {
  struct sigaction plain = {.sa_handler = SIG_DFL};
  for (int i = 1; i <= LAST_SIGNAL; i++) sigaction(i, &plain, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Runs in the host's memory until it executes: writes nothing but this stack and `failed`. */
REUSED_STACK static int become_helper(void *arg) {
  Start *start = arg;
  char *direct[] = {(char *)(uintptr_t)start->library, "helper", NULL};
  char *by_loader[] = {(char *)(uintptr_t)loader, direct[0], direct[1], NULL};
  reset_signals();
  /* Ctrl-C in a terminal is for the host, which may then tell us. */
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (start->socket == WIRE_SOCKET) {
    fcntl(WIRE_SOCKET, F_SETFD, 0);
  } else if (dup2(start->socket, WIRE_SOCKET) < 0) {
    start->failed = errno;
    _exit(127);
  }
  close_range(WIRE_SOCKET + 1, UINT_MAX, 0);
  execve(start->library, direct, environ);
  if (errno == EACCES) execve(loader, by_loader, environ);
  start->failed = errno;
  _exit(127);
}

/* ---- the keeper ------------------------------------------------------------------------------ */

/* libc's wrappers write errno, which is the host thread's. */
REUSED_STACK static long raw(long nr, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d;
  long ret;
  __asm__ volatile("syscall"
                   : "=a"(ret)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return ret;
}

/* Until the helper has ended. `kept` says with POLLHUP that the host has let go of it. */
__attribute__((noreturn)) REUSED_STACK static void keep(int pidfd, int kept, int helper) {
  struct pollfd waiting[] = {{.fd = pidfd, .events = POLLIN}, {.fd = kept}};
  for (;;) {
    long n = raw(SYS_poll, (long)waiting, 2, -1, 0);
    if (n > 0 && waiting[0].revents) break;
    if (n > 0 && waiting[1].revents) {
      waiting[1].fd = -1;
      n = raw(SYS_poll, (long)waiting, 1, GRACE_MS, 0);
      if (n > 0) break;
      raw(SYS_pidfd_send_signal, pidfd, SIGKILL, 0, 0);
    }
  }
  raw(SYS_wait4, helper, 0, 0, 0);
  for (;;) raw(SYS_exit_group, 0, 0, 0, 0);
}

REUSED_STACK static int run_keeper(void *arg) {
  Start *start = arg;
  /* Up to here the host's thread waits for us, so libc may be used. */
  char *top = (char *)start - STACK / 4;
  int helper = clone(become_helper, (void *)((uintptr_t)top & ~(uintptr_t)15),
                     CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, start, &start->pidfd);
  if (helper < 0) start->failed = errno;
  int pidfd = start->pidfd, kept = start->kept;
  if (helper >= 0 && dup2(pidfd, 0) >= 0 && dup2(kept, 1) >= 0) {
    close_range(2, UINT_MAX, 0);
    pidfd = 0;
    kept = 1;
  }
  atomic_store(&start->started, 1);
  raw(SYS_futex, (long)&start->started, FUTEX_WAKE, INT_MAX, 0);
  if (helper < 0) raw(SYS_exit_group, 0, 0, 0, 0);
  keep(pidfd, kept, helper);
}

/* ---- the host -------------------------------------------------------------------------------- */

static bool start_keeper(Start *start, Keeper *out, Fault *fault) {
  /* No handler of the host may run in the keeper or in the helper before it is one. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  out->pid = clone(run_keeper, start, CLONE_VM, start);
  int failed = errno;
  while (out->pid > 0 && !atomic_load(&start->started)) {
    syscall(SYS_futex, &start->started, FUTEX_WAIT, 0, NULL);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (out->pid > 0 && !start->failed) return true;
  if (out->pid > 0) failed = start->failed;
  return fault_set(fault, FAULT_IO, "the helper \"%s\" cannot be started: %s", start->library,
                   strerror(failed));
}

bool keeper_start(const char *library, Keeper *out, Fault *fault) {
  int ends[2], kept = -1;
  *out = (Keeper){.pid = -1, .host = getpid(), .socket = -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return fault_set(fault, FAULT_IO, "no socket for the helper: %s", strerror(errno));
  }
  out->socket = ends[0];
  /* Never 0, 1 or 2, which a host may have closed. */
  int high = fcntl(ends[1], F_DUPFD_CLOEXEC, WIRE_SOCKET);
  if (high >= 0) kept = fcntl(ends[1], F_DUPFD_CLOEXEC, WIRE_SOCKET);
  close(ends[1]);
  void *memory = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  bool ok = kept >= 0 && memory != MAP_FAILED;
  if (!ok) fault_set(fault, FAULT_IO, "no resources for the helper: %s", strerror(errno));
  out->memory = memory == MAP_FAILED ? NULL : memory;
  if (ok) {
    Start *start = (Start *)(void *)((char *)memory + STACK - 256);
    *start = (Start){.library = library, .socket = high, .kept = kept};
    ok = start_keeper(start, out, fault);
  }
  if (high >= 0) close(high);
  if (kept >= 0) close(kept);
  if (ok) return true;
  keeper_leave(out);
  keeper_gone(out, true);
  return false;
}

void keeper_leave(Keeper *keeper) {
  if (keeper->socket >= 0 && keeper->host == getpid()) shutdown(keeper->socket, SHUT_RDWR);
  if (keeper->socket >= 0) close(keeper->socket);
  keeper->socket = -1;
}

bool keeper_gone(Keeper *keeper, bool wait) {
  if (keeper->pid > 0) {
    pid_t pid;
    do {
      pid = waitpid(keeper->pid, NULL, __WCLONE | (wait ? 0 : WNOHANG));
    } while (pid < 0 && errno == EINTR);
    if (pid == 0) return false;
    keeper->pid = -1;
  }
  if (keeper->memory) munmap(keeper->memory, STACK);
  keeper->memory = NULL;
  return true;
}
