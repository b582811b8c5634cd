/*
** The table of calls: names, numbers, and the walk over one call's arguments.
*/
#define _GNU_SOURCE /* strerrorname_np, futex flags */
#include "replay/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "replay/syscalls_walk.h"

/* What the kernel returns inside, which a tracer sees at the end of an interrupted call. */
enum { ERESTART_FIRST = 512, ERESTART_RESTARTBLOCK = 516, ERROR_LAST = 4095 };
static const uint64_t range_limit = 1u << 30;

/* ---- names */

const CallSpec *call_spec(long nr) {
  if (nr < 0 || nr >= CALL_END) return NULL;
  const CallSpec *spec = nr < CALL_HALF ? &calls_low[nr] : &calls_high[nr - CALL_HALF];
  return spec->info.name ? spec : NULL;
}

const CallInfo *call_info(long nr) {
  const CallSpec *spec = call_spec(nr);
  return spec ? &spec->info : NULL;
}

const char *call_name(long nr) {
  const CallSpec *spec = call_spec(nr);
  return spec ? spec->info.name : NULL;
}

long call_number(const char *name) {
  for (long nr = 0; nr < CALL_END; nr++) {
    const char *known = call_name(nr);
    if (known && strcmp(known, name) == 0) return nr;
  }
  return -1;
}

const char *errno_name(int number) {
  static const char *const inside[] = {"ERESTARTSYS", "ERESTARTNOINTR", "ERESTARTNOHAND",
                                       "ENOIOCTLCMD", "ERESTART_RESTARTBLOCK"};
  if (number >= ERESTART_FIRST && number <= ERESTART_RESTARTBLOCK)
    return inside[number - ERESTART_FIRST];
  return number > 0 ? strerrorname_np(number) : NULL;
}

/* ---- the walk */

bool walk_wrote(const Walk *walk) { return walk->may || !walk->failed; }

uint64_t walk_bytes(const Walk *walk, uint64_t limit) {
  if (walk->may) return limit;
  if (walk->failed) return 0;
  return (uint64_t)walk->ret < limit ? (uint64_t)walk->ret : limit;
}

static void walk_add(Walk *walk, uint64_t addr, uint64_t size, bool out) {
  if (size > range_limit) size = range_limit;
  if (size > UINT64_MAX - addr) size = UINT64_MAX - addr;
  if (!addr || !size || walk->count >= CALL_MAX_RANGES) return;
  if (walk->count < walk->max) walk->ranges[walk->count] = (CallRange){addr, size, out};
  walk->count++;
}

void walk_out(Walk *walk, uint64_t addr, uint64_t size) { walk_add(walk, addr, size, true); }

/* What the program gives is told once, by the finished call. */
void walk_in(Walk *walk, uint64_t addr, uint64_t size) {
  if (!walk->may) walk_add(walk, addr, size, false);
}

bool walk_read(Walk *walk, uint64_t addr, void *out, size_t size) {
  return addr && walk->read(walk->ctx, addr, out, size) == size;
}

uint32_t walk_u32(Walk *walk, uint64_t addr) {
  uint32_t value = 0;
  return walk_read(walk, addr, &value, sizeof value) ? value : 0;
}

uint64_t walk_u64(Walk *walk, uint64_t addr) {
  uint64_t value = 0;
  return walk_read(walk, addr, &value, sizeof value) ? value : 0;
}

void walk_vector(Walk *walk, uint64_t vector, uint64_t count, uint64_t bytes, bool out) {
  struct {
    uint64_t base, size;
  } part[64];
  for (uint64_t i = 0; i < count && walk->parts < CALL_MAX_RANGES && bytes; i++, walk->parts++) {
    uint64_t place = i % 64, left = count - i;
    if (place == 0) {
      size_t wanted = (left < 64 ? left : 64) * sizeof part[0];
      memset(part, 0, sizeof part);
      walk->read(walk->ctx, vector + i * sizeof part[0], part, wanted);
    }
    uint64_t size = part[place].size < bytes ? part[place].size : bytes;
    if (out)
      walk_out(walk, part[place].base, size);
    else
      walk_in(walk, part[place].base, size);
    bytes -= size;
  }
}

static uint64_t times(uint64_t count, uint64_t size) {
  return count > range_limit ? range_limit : count * size;
}

static void walk_sized(Walk *walk, uint64_t addr, uint64_t size_at) {
  walk_out(walk, size_at, sizeof(uint32_t));
  if (walk_wrote(walk)) walk_out(walk, addr, walk_u32(walk, size_at));
}

static bool walk_stopped(const Walk *walk) {
  return walk->may || walk->ret == -EINTR || walk->ret == -ERESTART_RESTARTBLOCK;
}

static void walk_arg(Walk *walk, uint32_t arg, uint64_t addr) {
  uint64_t size = arg >> 16, other = walk->args[(arg >> 8 & 0xff) % 6];
  switch (ARG_KIND_OF(arg)) {
  case ARG_OUT:
    if (walk_wrote(walk)) walk_out(walk, addr, size);
    return;
  case ARG_OUT_ANYWAY:
    walk_out(walk, addr, size);
    return;
  case ARG_OUT_STOPPED:
    if (walk_stopped(walk)) walk_out(walk, addr, size);
    return;
  case ARG_OUT_RET:
    if (walk->may)
      walk_out(walk, addr, times(other, size));
    else
      walk_out(walk, addr, times(walk_bytes(walk, other), size));
    return;
  case ARG_OUT_LIST:
    if (walk_wrote(walk)) walk_out(walk, addr, times(other, size));
    return;
  case ARG_OUT_SIZED:
    walk_sized(walk, addr, other);
    return;
  case ARG_OUT_VECTOR:
    walk_vector(walk, addr, other, walk_bytes(walk, UINT64_MAX), true);
    return;
  case ARG_IN_RET:
    walk_in(walk, addr, walk_bytes(walk, other));
    return;
  case ARG_IN_LIST:
    walk_in(walk, addr, times(other, size));
    return;
  case ARG_IN_VECTOR:
    walk_vector(walk, addr, other, walk_bytes(walk, UINT64_MAX), false);
    return;
  case ARG_NONE:
  case ARG_VALUE:
  case ARG_FD:
  case ARG_PATH:
  case ARG_MEMORY:
    return;
  }
}

static int walk_call(Walk *walk) {
  const CallSpec *spec = call_spec(walk->nr);
  if (!spec) return -1;
  if (spec->info.class == CALL_REFUSED) return 0;
  for (int i = 0; i < spec->info.nargs; i++) walk_arg(walk, spec->args[i], walk->args[i]);
  if (spec->more) spec->more(walk);
  return walk->unknown ? -1 : walk->count;
}

int call_ranges(long nr, const uint64_t args[6], int64_t ret, CallReader read, void *ctx,
                CallRange *ranges, int max) {
  bool failed = ret < 0 && ret >= -ERROR_LAST;
  Walk walk = {.nr = nr,
               .args = args,
               .ret = ret,
               .failed = failed,
               .may = ret == -EFAULT,
               .read = read,
               .ctx = ctx,
               .ranges = ranges,
               .max = max};
  return walk_call(&walk);
}

int call_targets(long nr, const uint64_t args[6], CallReader read, void *ctx, CallRange *ranges,
                 int max) {
  Walk walk = {
      .nr = nr, .args = args, .may = true, .read = read, .ctx = ctx, .ranges = ranges, .max = max};
  return walk_call(&walk);
}

/* ---- waiting */

static bool waits_at_all(uint64_t seconds, uint64_t rest) { return seconds || rest; }

/* A timespec or timeval of zero at addr does not wait; none does, for ever. */
static bool timeout_waits(Walk *walk, uint64_t addr) {
  uint64_t time[2];
  return !walk_read(walk, addr, time, sizeof time) || waits_at_all(time[0], time[1]);
}

static bool futex_waits(uint64_t op) {
  switch (op & FUTEX_CMD_MASK) {
  case FUTEX_WAIT:
  case FUTEX_WAIT_BITSET:
  case FUTEX_LOCK_PI:
  case FUTEX_LOCK_PI2:
  case FUTEX_WAIT_REQUEUE_PI:
    return true;
  default:
    return false;
  }
}

static bool spawn_waits(uint64_t flags) { return (flags & 0x4000 /* CLONE_VFORK */) != 0; }

bool call_may_block(long nr, const uint64_t args[6], CallReader read, void *ctx) {
  const CallSpec *spec = call_spec(nr);
  Walk walk = {.nr = nr, .args = args, .read = read, .ctx = ctx};
  switch (nr) {
  case SYS_poll:
    return (int32_t)args[2] != 0;
  case SYS_epoll_wait:
  case SYS_epoll_pwait:
    return (int32_t)args[3] != 0;
  case SYS_ppoll:
    return timeout_waits(&walk, args[2]);
  case SYS_select:
  case SYS_pselect6:
    return timeout_waits(&walk, args[4]);
  case SYS_epoll_pwait2:
    return timeout_waits(&walk, args[3]);
  case SYS_rt_sigtimedwait:
    return timeout_waits(&walk, args[2]);
  case SYS_futex:
    return futex_waits(args[1]);
  case SYS_wait4:
    return !(args[2] & WNOHANG);
  case SYS_waitid:
    return !(args[3] & WNOHANG);
  case SYS_flock:
    return !(args[1] & LOCK_NB);
  case SYS_fcntl:
    return args[1] == F_SETLKW || args[1] == F_OFD_SETLKW;
  case SYS_open:
    return !(args[1] & O_NONBLOCK);
  case SYS_openat:
    return !(args[2] & O_NONBLOCK);
  case SYS_recvfrom:
  case SYS_sendto:
    return !(args[3] & MSG_DONTWAIT);
  case SYS_recvmsg:
  case SYS_sendmsg:
    return !(args[2] & MSG_DONTWAIT);
  case SYS_recvmmsg:
  case SYS_sendmmsg:
    return !(args[3] & MSG_DONTWAIT);
  case SYS_msgsnd:
    return !(args[3] & IPC_NOWAIT);
  case SYS_msgrcv:
    return !(args[4] & IPC_NOWAIT);
  case SYS_msync:
    return (args[2] & MS_SYNC) != 0;
  case SYS_clone:
    return spawn_waits(args[0]);
  case SYS_clone3:
    return spawn_waits(walk_u64(&walk, args[0]));
  case SYS_ioctl:
    return ioctl_may_block(args);
  default:
    return !spec || spec->info.may_block;
  }
}
