/*
** Which system calls are made in the program itself.
**
** The tracer lets one thread run at a time and must know when it waits; so a call is made here only
** when it is sure to end at once. Whether it would wait is asked of the kernel first where the
** number alone does not say: by fstat() of the descriptor, once; by asking for what is there now
** (RWF_NOWAIT, MSG_DONTWAIT, a timeout of 0). If that is in vain, the call is left to the tracer.
**
** Of a failed call nothing of the program's memory may be looked at unless the kernel has looked at
** it before: errors that may come earlier, or that may have left half of something, are made again
** under the tracer's eyes.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/stat.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "replay/inside/blob.h"
#include "replay/syscalls.h"

typedef enum Rule {
  RULE_NONE,
  RULE_PLAIN, /* never waits */
  RULE_CLOSE,
  RULE_DUP, /* gives args[1] a new meaning */
  RULE_OPEN,
  RULE_READ, /* waits, or not, by what the descriptor is */
  RULE_PREAD,
  RULE_READV,
  RULE_WRITE,
  RULE_PWRITE,
  RULE_WRITEV,
  RULE_RECEIVE, /* flags in args[3] */
  RULE_SEND,
  RULE_POLL,
  RULE_EPOLL,
  RULE_FUTEX,
  RULE_FCNTL,
  RULE_IOCTL,
  RULE_RESIZE /* of a file */
} Rule;

typedef struct CallRule {
  uint8_t rule;
  uint8_t length; /* which argument bounds what is copied, 0: none */
  uint8_t times;  /* ... counted in so many bytes */
  bool early;     /* its errors may come before its texts were read */
} CallRule;

#define PLAIN                                                                                      \
  { .rule = RULE_PLAIN }
#define PLAIN_OF(argument, size)                                                                   \
  { .rule = RULE_PLAIN, .length = (argument) + 1, .times = (size) }
#define NAMED                                                                                      \
  { .rule = RULE_PLAIN, .early = true }
#define PLAIN_EARLY(argument)                                                                      \
  { .rule = RULE_PLAIN, .length = (argument) + 1, .times = 1, .early = true }
#define XATTR PLAIN_EARLY(3)
#define BY(name, argument)                                                                         \
  { .rule = RULE_##name, .length = (argument) + 1, .times = 1 }

/* clang-format off */
static const CallRule rules[CALL_END] = {
  [SYS_read] = BY(READ, 2),
  [SYS_write] = BY(WRITE, 2),
  [SYS_open] = {.rule = RULE_OPEN, .early = true},
  [SYS_close] = {.rule = RULE_CLOSE},
  [SYS_stat] = NAMED,
  [SYS_fstat] = PLAIN,
  [SYS_lstat] = NAMED,
  [SYS_poll] = {.rule = RULE_POLL, .length = 2, .times = 8},
  [SYS_lseek] = PLAIN,
  [SYS_rt_sigaction] = PLAIN,
  [SYS_rt_sigprocmask] = PLAIN,
  [SYS_ioctl] = {.rule = RULE_IOCTL},
  [SYS_pread64] = BY(PREAD, 2),
  [SYS_pwrite64] = BY(PWRITE, 2),
  [SYS_readv] = {.rule = RULE_READV},
  [SYS_writev] = {.rule = RULE_WRITEV},
  [SYS_access] = NAMED,
  [SYS_getpid] = PLAIN,
  [SYS_socket] = PLAIN,
  [SYS_recvfrom] = BY(RECEIVE, 2),
  [SYS_sendto] = BY(SEND, 2),
  [SYS_getsockopt] = PLAIN,
  [SYS_uname] = PLAIN,
  [SYS_fcntl] = {.rule = RULE_FCNTL},
  [SYS_ftruncate] = {.rule = RULE_RESIZE},
  [SYS_getcwd] = PLAIN_OF(1, 1),
  [SYS_chdir] = NAMED,
  [SYS_fchdir] = PLAIN,
  [SYS_rename] = NAMED,
  [SYS_mkdir] = NAMED,
  [SYS_rmdir] = NAMED,
  [SYS_link] = NAMED,
  [SYS_unlink] = NAMED,
  [SYS_symlink] = NAMED,
  [SYS_readlink] = PLAIN_EARLY(2),
  [SYS_chmod] = NAMED,
  [SYS_fchmod] = PLAIN,
  [SYS_chown] = NAMED,
  [SYS_fchown] = PLAIN,
  [SYS_lchown] = NAMED,
  [SYS_umask] = PLAIN,
  [SYS_gettimeofday] = PLAIN,
  [SYS_getrlimit] = PLAIN,
  [SYS_getrusage] = PLAIN,
  [SYS_sysinfo] = PLAIN,
  [SYS_times] = PLAIN,
  [SYS_getuid] = PLAIN,
  [SYS_getgid] = PLAIN,
  [SYS_geteuid] = PLAIN,
  [SYS_getegid] = PLAIN,
  [SYS_getppid] = PLAIN,
  [SYS_getpgrp] = PLAIN,
  [SYS_getgroups] = PLAIN_OF(0, 4),
  [SYS_getpgid] = PLAIN,
  [SYS_getsid] = PLAIN,
  [SYS_statfs] = NAMED,
  [SYS_fstatfs] = PLAIN,
  [SYS_gettid] = PLAIN,
  [SYS_getxattr] = XATTR,
  [SYS_lgetxattr] = XATTR,
  [SYS_fgetxattr] = XATTR,
  [SYS_listxattr] = PLAIN_EARLY(2),
  [SYS_llistxattr] = PLAIN_EARLY(2),
  [SYS_flistxattr] = PLAIN_OF(2, 1),
  [SYS_time] = PLAIN,
  [SYS_futex] = {.rule = RULE_FUTEX},
  [SYS_getdents64] = PLAIN_OF(2, 1),
  [SYS_fadvise64] = PLAIN,
  [SYS_clock_gettime] = PLAIN,
  [SYS_clock_getres] = PLAIN,
  [SYS_epoll_wait] = {.rule = RULE_EPOLL, .length = 3, .times = 12},
  [SYS_epoll_ctl] = PLAIN,
  [SYS_openat] = {.rule = RULE_OPEN, .early = true},
  [SYS_mkdirat] = NAMED,
  [SYS_newfstatat] = NAMED,
  [SYS_fchownat] = NAMED,
  [SYS_unlinkat] = NAMED,
  [SYS_renameat] = NAMED,
  [SYS_linkat] = NAMED,
  [SYS_symlinkat] = NAMED,
  [SYS_utimensat] = NAMED,
  [SYS_prlimit64] = PLAIN,
  [SYS_readlinkat] = PLAIN_EARLY(3),
  [SYS_fchmodat] = NAMED,
  [SYS_faccessat] = NAMED,
  [SYS_fallocate] = {.rule = RULE_RESIZE},
  [SYS_dup] = PLAIN,
  [SYS_dup2] = {.rule = RULE_DUP},
  [SYS_dup3] = {.rule = RULE_DUP},
  [SYS_pipe2] = PLAIN,
  [SYS_renameat2] = NAMED,
  [SYS_getrandom] = PLAIN_OF(1, 1),
  [SYS_statx] = NAMED,
  [SYS_faccessat2] = NAMED,
};
/* clang-format on */

/* The call itself. */
static int64_t kernel(long nr, const uint64_t args[6]) {
  inside_words.made = 1;
  return inside_kernel(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
}

/* ---- what a descriptor is */

typedef struct Stat {
  uint64_t dev, ino, nlink;
  uint32_t mode, uid, gid, pad;
  uint64_t rdev, more[12];
} Stat;

_Static_assert(sizeof(Stat) == 144, "as the kernel has it");

enum { KIND = 0170000, REGULAR = 0100000, FOLDER = 0040000, PIPE = 0010000, CHARACTERS = 0020000 };

static InsideFd kind_of(const Stat *stat) {
  if (stat->dev == inside_words.proc_dev) return FD_OUTSIDE;
  switch (stat->mode & KIND) {
  case REGULAR:
  case FOLDER:
    return FD_FILE;
  case PIPE:
    return FD_PIPE;
  case CHARACTERS: /* null, zero, full, urandom */
    return stat->rdev == 0x103 || stat->rdev == 0x105 || stat->rdev == 0x107 || stat->rdev == 0x109
               ? FD_QUICK
               : FD_STREAM;
  default:
    return FD_STREAM;
  }
}

static InsideFd fd_kind(uint64_t fd) {
  fd = (uint32_t)fd;
  if (fd >= INSIDE_FDS) return FD_OUTSIDE;
  if (inside_words.fds[fd] == FD_UNKNOWN) {
    Stat stat;
    if (inside_kernel(SYS_fstat, fd, (uintptr_t)&stat, 0, 0, 0, 0) != 0) return FD_OUTSIDE;
    inside_words.fds[fd] = (uint8_t)kind_of(&stat);
  }
  return (InsideFd)inside_words.fds[fd];
}

static void fd_forget(uint64_t fd) {
  if ((uint32_t)fd < INSIDE_FDS) inside_words.fds[(uint32_t)fd] = FD_UNKNOWN;
}

/* Other processes may share the flag: it is asked for every time. */
static bool never_waits(uint64_t fd) {
  long flags = inside_kernel(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);
  return flags >= 0 && (flags & O_NONBLOCK);
}

/* ---- the rules */

/* A pipe that says it has room has at least a page of it. */
static bool pipe_takes(uint64_t fd, uint64_t size) {
  struct pollfd poll = {.fd = (int)fd, .events = POLLOUT};
  return size <= 4096 && inside_kernel(SYS_poll, (uintptr_t)&poll, 1, 0, 0, 0, 0) == 1;
}

static bool is_quick(InsideFd kind) { return kind == FD_FILE || kind == FD_QUICK; }

static bool make_read(long nr, const uint64_t args[6], int64_t *out_ret) {
  const InsideFd kind = fd_kind(args[0]);
  if (kind == FD_OUTSIDE) return false;
  if (is_quick(kind) || never_waits(args[0])) {
    *out_ret = kernel(nr, args);
    return true;
  }
  if (nr == SYS_pread64) return false;
  struct iovec part = {(void *)(uintptr_t)args[1], args[2]};
  const uint64_t vector = nr == SYS_readv ? args[1] : (uint64_t)(uintptr_t)&part;
  const uint64_t count = nr == SYS_readv ? args[2] : 1;
  const uint64_t now[6] = {args[0], vector, count, UINT64_MAX, 0, RWF_NOWAIT};
  *out_ret = kernel(SYS_preadv2, now);
  return *out_ret >= 0;
}

/* /dev/null takes what is not there. To be written down it is looked at before the call is made: a
** fault then leaves the call to the tracer. */
static void touch(uint64_t addr, uint64_t size) {
  for (uint64_t done = 0; done < size; done += 4096) {
    (void)*(const volatile uint8_t *)(uintptr_t)(addr + done);
  }
  if (size) (void)*(const volatile uint8_t *)(uintptr_t)(addr + size - 1);
}

static void touch_all(long nr, const uint64_t args[6]) {
  const struct iovec *parts = (const struct iovec *)(uintptr_t)args[1];
  if (nr != SYS_writev) {
    touch(args[1], args[2]);
    return;
  }
  for (uint64_t i = 0; i < args[2]; i++) touch((uintptr_t)parts[i].iov_base, parts[i].iov_len);
}

static bool make_write(long nr, const uint64_t args[6], uint64_t size, int64_t *out_ret) {
  const InsideFd kind = fd_kind(args[0]);
  if (kind == FD_OUTSIDE || (kind == FD_FILE && inside_words.shared)) return false;
  if (!is_quick(kind) && !never_waits(args[0]) && (kind != FD_PIPE || !pipe_takes(args[0], size))) {
    return false;
  }
  if (kind == FD_QUICK) touch_all(nr, args);
  *out_ret = kernel(nr, args);
  return true;
}

/* The bytes that a vector names; a vector of many parts is the tracer's. */
static uint64_t vector_size(const uint64_t args[6]) {
  const struct iovec *parts = (const struct iovec *)(uintptr_t)args[1];
  uint64_t size = 0;
  if (args[2] > 64) return UINT64_MAX;
  for (uint64_t i = 0; i < args[2]; i++) {
    if (parts[i].iov_len > INSIDE_LOG_SIZE) return UINT64_MAX;
    size += parts[i].iov_len;
  }
  return size;
}

/* A socket's MSG_DONTWAIT asks for what there is now. What may be sent in part is the tracer's. */
static bool make_socket(bool receive, long nr, const uint64_t args[6], int64_t *out_ret) {
  if (args[4] || args[5]) return false; /* an address, whose buffer may be shorter than it */
  if ((args[3] & MSG_DONTWAIT) || never_waits(args[0])) {
    *out_ret = kernel(nr, args);
    return true;
  }
  if (!receive || (args[3] & MSG_WAITALL)) return false;
  const uint64_t now[6] = {args[0], args[1], args[2], args[3] | MSG_DONTWAIT};
  *out_ret = kernel(nr, now);
  return *out_ret >= 0;
}

/* With a timeout of 0; nothing there is the answer only to who asked so. The kernel answers into a
** copy: to who has to wait it has not said anything yet, and others may look. */
static bool make_poll(const uint64_t args[6], int64_t *out_ret) {
  enum { MOST = 256 };
  struct pollfd now[MOST], *own = (struct pollfd *)(uintptr_t)args[0];
  const uint64_t count = args[1];
  if (count > MOST) return false;
  for (uint64_t i = 0; i < count; i++) {
    now[i] = own[i];
    *(volatile short *)&own[i].revents = now[i].revents; /* it can be written, or is the tracer's */
  }
  *out_ret = inside_kernel(SYS_poll, (uintptr_t)now, count, 0, 0, 0, 0);
  if (*out_ret < 0 || (!*out_ret && (uint32_t)args[2])) return false;
  for (uint64_t i = 0; i < count; i++) own[i].revents = now[i].revents;
  return true;
}

/* As above; it writes nothing where there is nothing. */
static bool make_epoll(long nr, const uint64_t args[6], int64_t *out_ret) {
  const uint64_t now[6] = {args[0], args[1], args[2], 0, args[4], args[5]};
  *out_ret = kernel(nr, now);
  return *out_ret > 0 || !(uint32_t)args[3];
}

/* Opening a fifo or a device may wait: who does not know what it is looks first. */
static bool make_open(long nr, const uint64_t args[6], int64_t *out_ret) {
  const bool at = nr == SYS_openat;
  const uint64_t dir = at ? args[0] : (uint64_t)AT_FDCWD, path = args[at], flags = args[1 + at];
  Stat stat;
  InsideFd kind = FD_UNKNOWN;
  const long there = inside_kernel(SYS_newfstatat, dir, path, (uintptr_t)&stat,
                                   flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0, 0, 0);
  if (there == 0) {
    kind = kind_of(&stat);
    if (kind == FD_OUTSIDE) return false;
    if (!is_quick(kind) && !(flags & (O_NONBLOCK | O_PATH))) return false;
  } else if (there != -ENOENT) {
    return false;
  }
  *out_ret = kernel(nr, args);
  if (*out_ret >= 0 && *out_ret < INSIDE_FDS) {
    inside_words.fds[*out_ret] = (uint8_t)(is_quick(kind) ? kind : FD_UNKNOWN);
  }
  return true;
}

static bool futex_is_quick(const uint64_t args[6]) {
  switch (args[1] & FUTEX_CMD_MASK) {
  case FUTEX_WAKE:
  case FUTEX_WAKE_BITSET:
    return true;
  default:
    return false;
  }
}

static bool fcntl_is_quick(const uint64_t args[6]) {
  switch (args[1]) {
  case F_DUPFD:
  case F_DUPFD_CLOEXEC:
  case F_GETFD:
  case F_SETFD:
  case F_GETFL:
  case F_SETFL:
    return true;
  default:
    return false;
  }
}

static bool ioctl_is_quick(const uint64_t args[6]) {
  enum { TERMINAL = 0x5401, SIZE = 0x5413, READABLE = 0x541b, NO_WAIT = 0x5421 };
  return args[1] == TERMINAL || args[1] == SIZE || args[1] == READABLE || args[1] == NO_WAIT;
}

static bool make_plain(long nr, const uint64_t args[6], int64_t *out_ret) {
  *out_ret = kernel(nr, args);
  return true;
}

static bool make(const CallRule *rule, long nr, const uint64_t args[6], int64_t *out_ret) {
  switch ((Rule)rule->rule) {
  case RULE_NONE:
    return false;
  case RULE_PLAIN:
    return make_plain(nr, args, out_ret);
  case RULE_CLOSE:
    fd_forget(args[0]);
    return make_plain(nr, args, out_ret);
  case RULE_DUP:
    fd_forget(args[1]);
    return make_plain(nr, args, out_ret);
  case RULE_OPEN:
    return make_open(nr, args, out_ret);
  case RULE_READ:
  case RULE_PREAD:
  case RULE_READV:
    return make_read(nr, args, out_ret);
  case RULE_WRITE:
  case RULE_PWRITE:
    return make_write(nr, args, args[2], out_ret);
  case RULE_WRITEV:
    return make_write(nr, args, vector_size(args), out_ret);
  case RULE_RECEIVE:
  case RULE_SEND:
    return make_socket(rule->rule == RULE_RECEIVE, nr, args, out_ret);
  case RULE_POLL:
    return make_poll(args, out_ret);
  case RULE_EPOLL:
    return make_epoll(nr, args, out_ret);
  case RULE_FUTEX:
    return futex_is_quick(args) && make_plain(nr, args, out_ret);
  case RULE_FCNTL:
    return fcntl_is_quick(args) && make_plain(nr, args, out_ret);
  case RULE_RESIZE:
    return !inside_words.shared && make_plain(nr, args, out_ret);
  case RULE_IOCTL:
    return ioctl_is_quick(args) && make_plain(nr, args, out_ret);
  }
  return false;
}

/* Errors that come after the kernel has read the texts, and leave nothing half done. */
static bool error_is_late(int64_t ret) {
  return ret == -ENOENT || ret == -EACCES || ret == -ENOTDIR || ret == -EEXIST || ret == -EROFS ||
         ret == -ENODATA || ret == -EOPNOTSUPP;
}

static bool error_is_clear(const CallRule *rule, int64_t ret) {
  if (ret >= 0 || ret < -4095) return true;
  if (rule->early) return error_is_late(ret);
  return ret != -EFAULT && ret > -512;
}

static uint64_t bytes_of(const CallRule *rule, long nr, const uint64_t args[6]) {
  if (nr == SYS_readv || nr == SYS_writev) return vector_size(args);
  if (!rule->length) return 0;
  const uint64_t count = args[rule->length - 1];
  return count > INSIDE_LOG_SIZE ? UINT64_MAX / 2 : count * rule->times;
}

bool rules_make(long nr, const uint64_t args[6], int64_t *out_ret) {
  if (nr < 0 || nr >= CALL_END) return false;
  const CallRule *rule = &rules[nr];
  inside_words.made = 0;
  return rule->rule && inside_words.room && record_fits(bytes_of(rule, nr, args)) &&
         make(rule, nr, args, out_ret) && error_is_clear(rule, *out_ret);
}
