/*
** A thread under ptrace: see tracee.h.
*/
#define _GNU_SOURCE
#include "replay/tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static bool refused(const char *what, pid_t tid, Fault *fault) {
  return fault_set(fault, errno == ESRCH ? FAULT_NOTFOUND : FAULT_IO, "thread %d: %s: %s", (int)tid,
                   what, strerror(errno));
}

/* ---- memory */

void space_peek(const Space *space, RemoteAddr addr, void *out, size_t size, size_t *out_size) {
  size_t done = 0;
  while (done < size) {
    struct iovec local = {(char *)out + done, size - done};
    struct iovec remote = {(void *)(uintptr_t)(addr.at + done), size - done};
    ssize_t n = process_vm_readv(space->pid, &local, 1, &remote, 1, 0);
    if (n <= 0) break;
    done += (size_t)n;
  }
  *out_size = done;
}

bool space_open_mem(Space *space, Fault *fault) {
  if (space->mem_fd >= 0) return true;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/mem", (int)space->pid);
  space->mem_fd = open(path, O_RDWR | O_CLOEXEC);
  return space->mem_fd >= 0 || refused("its memory cannot be opened", space->pid, fault);
}

bool space_read(const Space *space, RemoteAddr addr, void *out, size_t size, Fault *fault) {
  size_t done;
  space_peek(space, addr, out, size, &done);
  return done == size || fault_set(fault, FAULT_NOTFOUND,
                                   "process %d: no memory to read at 0x%llx (%zu bytes wanted)",
                                   (int)space->pid, (unsigned long long)(addr.at + done), size);
}

bool space_write(Space *space, RemoteAddr addr, const void *bytes, size_t size, Fault *fault) {
  size_t done = 0;
  while (done < size) {
    struct iovec local = {(char *)(uintptr_t)bytes + done, size - done};
    struct iovec remote = {(void *)(uintptr_t)(addr.at + done), size - done};
    ssize_t n = process_vm_writev(space->pid, &local, 1, &remote, 1, 0);
    if (n <= 0) { /* read-only pages: the debugger's way */
      if (!space_open_mem(space, fault)) return false;
      n = pwrite(space->mem_fd, local.iov_base, local.iov_len, (off_t)(addr.at + done));
    }
    if (n <= 0) {
      return fault_set(fault, FAULT_NOTFOUND,
                       "process %d: no memory to write at 0x%llx (%zu bytes wanted)",
                       (int)space->pid, (unsigned long long)(addr.at + done), size);
    }
    done += (size_t)n;
  }
  return true;
}

bool space_read_text(const Space *space, RemoteAddr addr, char *out, size_t limit, Fault *fault) {
  size_t done = 0;
  while (done + 1 < limit) {
    size_t piece = 256 - (addr.at + done) % 256, got; /* never over the edge of a page */
    if (piece > limit - 1 - done) piece = limit - 1 - done;
    space_peek(space, (RemoteAddr){addr.at + done}, out + done, piece, &got);
    if (memchr(out + done, 0, got)) return true;
    done += got;
    if (got < piece) {
      return fault_set(fault, FAULT_NOTFOUND, "process %d: no text at 0x%llx", (int)space->pid,
                       (unsigned long long)addr.at);
    }
  }
  return fault_set(fault, FAULT_LIMIT, "process %d: the text at 0x%llx has more than %zu bytes",
                   (int)space->pid, (unsigned long long)addr.at, limit - 1);
}

void space_finish(Space *space) {
  if (space->mem_fd >= 0) close(space->mem_fd);
  space->mem_fd = -1;
}

/* ---- registers and stops */

bool tracee_regs(Tracee *tracee, Fault *fault) {
  if (tracee->has_regs) return true;
  if (ptrace(PTRACE_GETREGS, tracee->tid, 0, &tracee->regs) != 0) {
    return refused("its registers cannot be read", tracee->tid, fault);
  }
  return tracee->has_regs = true;
}

bool tracee_resume(Tracee *tracee, int request, int signal, Fault *fault) {
  if (tracee->regs_changed && ptrace(PTRACE_SETREGS, tracee->tid, 0, &tracee->regs) != 0) {
    return refused("its registers cannot be set", tracee->tid, fault);
  }
  tracee->has_regs = tracee->regs_changed = false;
  if (ptrace((enum __ptrace_request)request, tracee->tid, 0, (void *)(intptr_t)signal) != 0) {
    return refused("it cannot go on", tracee->tid, fault);
  }
  return true;
}

bool tracee_wait(Tracee *tracee, Fault *fault) {
  tracee->has_regs = tracee->regs_changed = false;
  for (;;) {
    pid_t n = waitpid(tracee->tid, &tracee->status, __WALL);
    if (n == tracee->tid) return true;
    if (n < 0 && errno != EINTR) return refused("it cannot be waited for", tracee->tid, fault);
    if (stop_now(tracee->space->stop)) {
      bool asked = stop_asked(tracee->space->stop);
      return fault_set(fault, asked ? FAULT_INTERRUPT : FAULT_TIMEOUT, "interrupted");
    }
  }
}

bool tracee_stopped_by(const Tracee *tracee, int signal) {
  return WIFSTOPPED(tracee->status) && tracee->status >> 8 == signal;
}

bool tracee_syscall(Tracee *tracee, long nr, const uint64_t args[6], int64_t *out_ret,
                    Fault *fault) {
  if (!tracee_regs(tracee, fault)) return false;
  struct user_regs_struct saved = tracee->regs, *regs = &tracee->regs;
  int status = tracee->status;
  regs->rip = tracee->space->call_site.at;
  regs->rax = (unsigned long long)nr;
  regs->orig_rax = (unsigned long long)-1; /* no restart of a call that a signal stopped */
  regs->rdi = args[0];
  regs->rsi = args[1];
  regs->rdx = args[2];
  regs->r10 = args[3];
  regs->r8 = args[4];
  regs->r9 = args[5];
  tracee->regs_changed = true;
  if (!tracee_resume(tracee, PTRACE_CONT, 0, fault) || !tracee_wait(tracee, fault)) return false;
  /* A child that it made may have been announced first. */
  while (WIFSTOPPED(tracee->status) && tracee->status >> 16) {
    if (!tracee_resume(tracee, PTRACE_CONT, 0, fault) || !tracee_wait(tracee, fault)) return false;
  }
  if (!tracee_stopped_by(tracee, SIGTRAP)) {
    return fault_set(fault, FAULT_INTERNAL, "thread %d: call %ld made for it ended with status %#x",
                     (int)tracee->tid, nr, (unsigned)tracee->status);
  }
  if (!tracee_regs(tracee, fault)) return false;
  *out_ret = (int64_t)tracee->regs.rax;
  tracee->regs = saved;
  tracee->regs_changed = true;
  tracee->status = status;
  return true;
}

/* ---- ticks */

static void on_tick(int signal) { (void)signal; }

bool tracee_ticks(int milliseconds, Fault *fault) {
  struct sigaction action = {.sa_handler = milliseconds ? on_tick : SIG_IGN}; /* no SA_RESTART */
  struct itimerval timer = {.it_interval = {.tv_usec = milliseconds * 1000},
                            .it_value = {.tv_usec = milliseconds * 1000}};
  if (sigaction(SIGALRM, &action, NULL) != 0 || setitimer(ITIMER_REAL, &timer, NULL) != 0) {
    return fault_set(fault, FAULT_IO, "no timer: %s", strerror(errno));
  }
  return true;
}
