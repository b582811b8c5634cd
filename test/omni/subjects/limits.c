/*
** Does what omni does not record: the program of docs/omni-limits.md. Its argument says which.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

static jmp_buf back;
static char stack[65536];

static int child(void *arg) { return arg != NULL; }

static inline __attribute__((always_inline)) int twice(int number) { return 2 * number; }

__attribute__((noinline)) static int leap(int number) {
  if (number > 0) longjmp(back, number);
  return twice(number);
}

static void tell(const char *name, long ret) {
  printf("%s: %s\n", name, ret < 0 ? strerror(errno) : "done");
}

static int refused_calls(void) {
  char params[256] = {0};
  tell("io_uring_setup", syscall(SYS_io_uring_setup, 8, params));
  tell("perf_event_open", syscall(SYS_perf_event_open, params, 0, -1, -1, 0));
  tell("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
  tell("unshare", unshare(CLONE_NEWPID));
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "shared") == 0)
    return clone(child, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL) < 0;
  if (strcmp(what, "calls") == 0) return refused_calls();
  if (strcmp(what, "unknown") == 0) return syscall(1000, 1, 2) >= 0;
  if (strcmp(what, "leap") == 0) return setjmp(back) ? 0 : leap(argc);
  return 2;
}
