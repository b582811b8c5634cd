/*
** Ranges of calls that are many calls, told apart by a code; and what of them a recorder refuses.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "replay/syscalls_walk.h"

void more_unknown(Walk *walk) { walk->unknown = true; }

/* Priority-inheriting locks are taken by the kernel itself, in part also when it fails. */
void more_futex(Walk *walk) {
  const uint64_t *args = walk->args;
  switch (args[1] & FUTEX_CMD_MASK) {
  case FUTEX_LOCK_PI:
  case FUTEX_LOCK_PI2:
  case FUTEX_TRYLOCK_PI:
  case FUTEX_UNLOCK_PI:
    walk_out(walk, args[0], 4);
    return;
  case FUTEX_WAKE_OP:
  case FUTEX_CMP_REQUEUE_PI:
  case FUTEX_WAIT_REQUEUE_PI:
    walk_out(walk, args[4], 4);
    return;
  default:
    return;
  }
}

/* ---- prctl */

enum { GET_AUXV = 0x41555856 };

void more_prctl(Walk *walk) {
  const uint64_t *args = walk->args;
  if (!walk_wrote(walk)) return;
  switch ((int)args[0]) {
  case PR_GET_PDEATHSIG:
  case PR_GET_UNALIGN:
  case PR_GET_FPEMU:
  case PR_GET_FPEXC:
  case PR_GET_ENDIAN:
  case PR_GET_TSC:
  case PR_GET_CHILD_SUBREAPER:
    walk_out(walk, args[1], 4);
    return;
  case PR_GET_NAME:
    walk_out(walk, args[1], 16);
    return;
  case PR_GET_TID_ADDRESS:
    walk_out(walk, args[1], 8);
    return;
  case PR_SCHED_CORE:
    if (args[1] == PR_SCHED_CORE_GET) walk_out(walk, args[4], 8);
    return;
  case GET_AUXV:
    walk_out(walk, args[1], walk_bytes(walk, args[2]));
    return;
  case PR_SET_PDEATHSIG:
  case PR_GET_DUMPABLE:
  case PR_SET_DUMPABLE:
  case PR_GET_KEEPCAPS:
  case PR_SET_KEEPCAPS:
  case PR_GET_TIMING:
  case PR_SET_TIMING:
  case PR_SET_NAME:
  case PR_GET_SECCOMP:
  case PR_CAPBSET_READ:
  case PR_CAPBSET_DROP:
  case PR_GET_SECUREBITS:
  case PR_SET_SECUREBITS:
  case PR_SET_TIMERSLACK:
  case PR_GET_TIMERSLACK:
  case PR_MCE_KILL:
  case PR_MCE_KILL_GET:
  case PR_SET_MM:
  case PR_SET_PTRACER:
  case PR_SET_CHILD_SUBREAPER:
  case PR_SET_NO_NEW_PRIVS:
  case PR_GET_NO_NEW_PRIVS:
  case PR_SET_THP_DISABLE:
  case PR_GET_THP_DISABLE:
  case PR_CAP_AMBIENT:
  case PR_GET_SPECULATION_CTRL:
  case PR_SET_SPECULATION_CTRL:
  case PR_SET_IO_FLUSHER:
  case PR_GET_IO_FLUSHER:
  case PR_SET_VMA:
    return;
  default:
    walk->unknown = !walk->failed; /* of what does not exist, nothing is written */
  }
}

void more_arch_prctl(Walk *walk) {
  enum { GET_FS = 0x1003, GET_GS = 0x1004, XCOMP_FIRST = 0x1021, XCOMP_LAST = 0x1026 };
  enum { XCOMP_SUPP = 0x1021, XCOMP_PERM = 0x1022, GUEST_PERM = 0x1024 };
  uint64_t code = walk->args[0];
  if (!walk_wrote(walk)) return;
  if (code == GET_FS || code == GET_GS || code == XCOMP_SUPP || code == XCOMP_PERM ||
      code == GUEST_PERM)
    walk_out(walk, walk->args[1], 8);
}

int call_refusal(long nr, const uint64_t args[6]) {
  const CallInfo *info = call_info(nr);
  if (!info) return 0;
  if (info->class == CALL_REFUSED) return info->refusal;
  if (nr != SYS_prctl) return 0;
  switch ((int)args[0]) {
  case PR_SET_SECCOMP:               /* its filter would hide calls from the recorder's */
  case PR_SET_SYSCALL_USER_DISPATCH: /* likewise */
  case PR_SET_TSC:                   /* the recorder's own */
  case PR_SET_MM:                    /* would leave replay with other bounds */
    return EINVAL;
  default:
    return 0;
  }
}

/* ---- processes */

enum { PARENT_SETTID = 0x100000, CHILD_SETTID = 0x1000000, PIDFD = 0x1000, SAME_VM = 0x100 };

/* Into the child's copy, when it is one, the kernel writes unseen from here. */
void more_clone(Walk *walk) {
  const uint64_t *args = walk->args;
  if (!walk_wrote(walk)) return;
  if (args[0] & (PARENT_SETTID | PIDFD)) walk_out(walk, args[2], 4);
  if (args[0] & CHILD_SETTID && args[0] & SAME_VM) walk_out(walk, args[3], 4);
}

void more_clone3(Walk *walk) {
  uint64_t flags_pidfd_child_parent[4];
  if (!walk_wrote(walk)) return;
  if (!walk_read(walk, walk->args[0], flags_pidfd_child_parent, 32)) return;
  uint64_t flags = flags_pidfd_child_parent[0];
  if (flags & PIDFD) walk_out(walk, flags_pidfd_child_parent[1], 4);
  if (flags & CHILD_SETTID && flags & SAME_VM) walk_out(walk, flags_pidfd_child_parent[2], 4);
  if (flags & PARENT_SETTID) walk_out(walk, flags_pidfd_child_parent[3], 4);
}

/* Version 1 knows 32 capabilities, 2 and 3 know 64. */
void more_capget(Walk *walk) {
  if (!walk_wrote(walk)) return;
  bool old = walk_u32(walk, walk->args[0]) == _LINUX_CAPABILITY_VERSION_1;
  walk_out(walk, walk->args[1], old ? 12 : 24);
}

/* ---- System V */

void more_msgrcv(Walk *walk) {
  if (!walk_wrote(walk)) return;
  walk_out(walk, walk->args[1], 8);
  walk_out(walk, walk->args[1] + 8, walk_bytes(walk, walk->args[2]));
}

void more_msgctl(Walk *walk) {
  enum { STAT_ANY = 13, DATA_SIZE = 120, INFO_SIZE = 32 };
  if (!walk_wrote(walk)) return;
  switch ((int)walk->args[1]) {
  case IPC_STAT:
  case MSG_STAT:
  case STAT_ANY:
    walk_out(walk, walk->args[2], DATA_SIZE);
    return;
  case IPC_INFO:
  case MSG_INFO:
    walk_out(walk, walk->args[2], INFO_SIZE);
    return;
  default:
    return;
  }
}

void more_shmctl(Walk *walk) {
  enum { STAT_ANY = 15, DATA_SIZE = 112, LIMITS_SIZE = 72, INFO_SIZE = 48 };
  if (!walk_wrote(walk)) return;
  switch ((int)walk->args[1]) {
  case IPC_STAT:
  case SHM_STAT:
  case STAT_ANY:
    walk_out(walk, walk->args[2], DATA_SIZE);
    return;
  case IPC_INFO:
    walk_out(walk, walk->args[2], LIMITS_SIZE);
    return;
  case SHM_INFO:
    walk_out(walk, walk->args[2], INFO_SIZE);
    return;
  default:
    return;
  }
}

void more_semctl(Walk *walk) {
  enum { STAT_ANY = 20, DATA_SIZE = 104, INFO_SIZE = 40 };
  if (!walk_wrote(walk)) return;
  switch ((int)walk->args[2]) {
  case IPC_STAT:
  case SEM_STAT:
  case STAT_ANY:
    walk_out(walk, walk->args[3], DATA_SIZE);
    return;
  case IPC_INFO:
  case SEM_INFO:
    walk_out(walk, walk->args[3], INFO_SIZE);
    return;
  case GETALL:
    walk->unknown = true;
    return; /* as many as the set has */
  default:
    return;
  }
}

/* ---- quotas, keys */

static void walk_quota(Walk *walk, uint32_t command) {
  enum { GETFMT = 0x800004, GETINFO, GETQUOTA = 0x800007, GETNEXTQUOTA = 0x800009 };
  enum { XGETQUOTA = 'X' << 8 | 3, XGETQSTAT = 'X' << 8 | 5, XGETQSTATV = 'X' << 8 | 8 };
  enum { XGETNEXTQUOTA = 'X' << 8 | 9 };
  if (!walk_wrote(walk)) return;
  switch (command >> 8) {
  case GETFMT:
    walk_out(walk, walk->args[3], 4);
    return;
  case GETINFO:
    walk_out(walk, walk->args[3], 24);
    return;
  case GETQUOTA:
    walk_out(walk, walk->args[3], 72);
    return;
  case GETNEXTQUOTA:
    walk_out(walk, walk->args[3], 80);
    return;
  case XGETQUOTA:
  case XGETNEXTQUOTA:
    walk_out(walk, walk->args[3], 112);
    return;
  case XGETQSTAT:
    walk_out(walk, walk->args[3], 80);
    return;
  case XGETQSTATV:
    walk_out(walk, walk->args[3], 160);
    return;
  default:
    return;
  }
}

void more_quotactl(Walk *walk) { walk_quota(walk, (uint32_t)walk->args[0]); }
void more_quotactl_fd(Walk *walk) { walk_quota(walk, (uint32_t)walk->args[1]); }

void more_keyctl(Walk *walk) {
  const uint64_t *args = walk->args;
  if (!walk_wrote(walk)) return;
  switch ((int)args[0]) {
  case KEYCTL_DESCRIBE:
  case KEYCTL_READ:
  case KEYCTL_GET_SECURITY:
  case KEYCTL_DH_COMPUTE:
    walk_out(walk, args[2], walk_bytes(walk, args[3]));
    return;
  case KEYCTL_CAPABILITIES:
    walk_out(walk, args[1], args[2]);
    return;
  default:
    walk->unknown = args[0] > KEYCTL_CAPABILITIES && !walk->failed;
  }
  if (args[0] >= KEYCTL_PKEY_QUERY && args[0] <= KEYCTL_PKEY_SIGN) walk->unknown = !walk->failed;
}

/* ---- memory */

void more_mincore(Walk *walk) {
  if (walk_wrote(walk))
    walk_out(walk, walk->args[2], walk->args[1] / 4096 + !!(walk->args[1] % 4096));
}

/* Bits below maxnode, in whole words; the mode is the table's. */
void more_mempolicy(Walk *walk) {
  uint64_t bits = walk->args[2];
  if (walk_wrote(walk) && bits > 1 && bits < 1 << 20)
    walk_out(walk, walk->args[1], (bits - 1 + 63) / 64 * 8);
}

void more_move_pages(Walk *walk) {
  if (walk->args[1] < 1 << 28) walk_out(walk, walk->args[4], walk->args[1] * 4);
}

/* ---- the rest */

/* The answer begins with its own size. */
void more_statmount(Walk *walk) {
  if (!walk_wrote(walk)) return;
  uint64_t room = walk->args[2], size = walk->may ? room : walk_u32(walk, walk->args[1]);
  walk_out(walk, walk->args[1], size < room ? size : room);
}

/* The name of a file system, of any length. */
void more_sysfs(Walk *walk) { walk->unknown = walk->args[0] == 2 && walk_wrote(walk); }
