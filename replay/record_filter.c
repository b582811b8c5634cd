/*
** Which system calls of a recorded program are stops: all but those made at the two places where
** the recorder makes them, in a program's name or in the process itself. A filter of seccomp says
** so, for PTRACE_SYSCALL would stop at those as well.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "replay/record_inner.h"

#define LOW(addr) ((uint32_t)((addr) + SYSCALL_BYTES))
#define HIGH(addr) ((uint32_t)((uint64_t)(addr) >> 32))
_Static_assert(HIGH(INSIDE_BASE) == HIGH(SPACE_PAGE), "both are told by the low half");

bool filter_is_possible(void) {
  uint32_t trace = SECCOMP_RET_TRACE;
  return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trace) == 0;
}

bool filter_install(void) {
  const uint32_t at = offsetof(struct seccomp_data, instruction_pointer);
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at + 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, HIGH(INSIDE_BASE), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LOW(INSIDE_BASE + INSIDE_KERNEL), 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LOW(SPACE_PAGE), 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {sizeof code / sizeof *code, code};
  const unsigned flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0) return true;
  return errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0;
}
