/*
** Ranges of calls on descriptors that the table cannot say: waiting, sockets, locks, handles.
*/
#define _GNU_SOURCE /* F_OFD_*, F_GETOWN_EX, MSG_* */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "replay/syscalls_walk.h"

/* ---- waiting */

/* All of revents is written, also when a signal ends it; not when there are more than allowed. */
void more_poll(Walk *walk) {
  if (walk->failed && walk->ret == -EINVAL) return;
  uint64_t count = (uint32_t)walk->args[1];
  walk_out(walk, walk->args[0], count * 8);
}

/* The timeout is the table's. The kernel cuts the number at the size of the table of descriptors.
 */
void more_select(Walk *walk) {
  if (!walk_wrote(walk) || (int32_t)walk->args[0] < 0) return;
  uint64_t bytes = ((uint32_t)walk->args[0] + (uint64_t)63) / 64 * 8;
  for (int i = 1; i <= 3; i++) walk_out(walk, walk->args[i], bytes);
}

/* Only a relative sleep says what is left of it. */
void more_clock_nanosleep(Walk *walk) {
  bool stopped = walk->may || walk->ret == -EINTR || walk->ret == -516;
  if (stopped && !(walk->args[1] & 1 /* TIMER_ABSTIME */)) walk_out(walk, walk->args[3], 16);
}

/* ---- sockets */

/* An address and the length that comes back with it: the real one, though less may have fitted. */
static void walk_address(Walk *walk, uint64_t addr, uint64_t length_at) {
  if (!addr || !walk_wrote(walk)) return;
  uint32_t length = walk_u32(walk, length_at);
  walk_out(walk, addr,
           length < sizeof(struct sockaddr_storage) ? length : sizeof(struct sockaddr_storage));
  walk_out(walk, length_at, 4);
}

void more_address(Walk *walk) { walk_address(walk, walk->args[1], walk->args[2]); }
void more_recvfrom(Walk *walk) { walk_address(walk, walk->args[4], walk->args[5]); }

/* struct msghdr and mmsghdr as the kernel has them. */
typedef struct Message {
  uint64_t name;
  uint32_t name_size, pad;
  uint64_t vector, count, control, control_size;
  uint32_t flags, pad2;
} Message;

enum { MMSG_SIZE = 64, MMSG_LENGTH = 56, MMSG_MAX = 1024 /* UIO_MAXIOV */ };

static void walk_sent(Walk *walk, uint64_t at, uint64_t bytes) {
  Message message;
  if (!walk_read(walk, at, &message, sizeof message)) return;
  walk_in(walk, message.name, message.name_size);
  walk_in(walk, message.control, message.control_size);
  walk_vector(walk, message.vector, message.count, bytes, false);
}

static void walk_received(Walk *walk, uint64_t at, uint64_t bytes) {
  Message message;
  if (!walk_read(walk, at, &message, sizeof message)) return;
  walk_vector(walk, message.vector, message.count, bytes, true);
  if (message.name) {
    uint32_t size = message.name_size;
    walk_out(walk, message.name, size < 128 ? size : 128);
    walk_out(walk, at + offsetof(Message, name_size), 4);
  }
  if (message.control) walk_out(walk, message.control, message.control_size);
  walk_out(walk, at + offsetof(Message, control_size), 8);
  walk_out(walk, at + offsetof(Message, flags), 4);
}

void more_sendmsg(Walk *walk) {
  if (!walk->failed) walk_sent(walk, walk->args[1], walk_bytes(walk, UINT64_MAX));
}

void more_recvmsg(Walk *walk) {
  if (walk_wrote(walk)) walk_received(walk, walk->args[1], walk_bytes(walk, UINT64_MAX));
}

static uint64_t messages(const Walk *walk) {
  uint64_t count = walk_bytes(walk, (uint32_t)walk->args[2]);
  return count < MMSG_MAX ? count : MMSG_MAX;
}

void more_sendmmsg(Walk *walk) {
  for (uint64_t i = 0; i < messages(walk); i++) {
    uint64_t at = walk->args[1] + i * MMSG_SIZE;
    walk_out(walk, at + MMSG_LENGTH, 4);
    walk_sent(walk, at, walk_u32(walk, at + MMSG_LENGTH));
  }
}

void more_recvmmsg(Walk *walk) {
  for (uint64_t i = 0; i < messages(walk); i++) {
    uint64_t at = walk->args[1] + i * MMSG_SIZE;
    walk_received(walk, at, walk->may ? UINT64_MAX : walk_u32(walk, at + MMSG_LENGTH));
    walk_out(walk, at + MMSG_LENGTH, 4);
  }
}

/* The length comes back, also with some errors (SO_PEERGROUPS, SO_PEERSEC). */
void more_getsockopt(Walk *walk) {
  enum { TCP_ZEROCOPY_RECEIVE_ = 35, LEVEL_TCP = 6 };
  int level = (int)walk->args[1], name = (int)walk->args[2];
  if (level == LEVEL_TCP && name == TCP_ZEROCOPY_RECEIVE_) {
    walk->unknown = true; /* it maps pages */
    return;
  }
  walk_out(walk, walk->args[4], 4);
  if (!walk_wrote(walk)) return;
  uint64_t size = walk_u32(walk, walk->args[4]);
  if (level == SOL_SOCKET && name == SO_GET_FILTER) size *= 8; /* counted in instructions */
  walk_out(walk, walk->args[3], size);
}

/* ---- descriptors */

void more_fcntl(Walk *walk) {
  enum { GETOWNER_UIDS = 17, GET_RW_HINT = 1035, GET_FILE_RW_HINT = 1037 };
  if (!walk_wrote(walk)) return;
  switch ((int)walk->args[1]) {
  case F_GETLK:
  case F_OFD_GETLK:
    walk_out(walk, walk->args[2], 32);
    return;
  case F_GETOWN_EX:
  case GETOWNER_UIDS:
  case GET_RW_HINT:
  case GET_FILE_RW_HINT:
    walk_out(walk, walk->args[2], 8);
    return;
  default:
    return; /* the others give, if anything */
  }
}

/* struct file_handle { u32 handle_bytes; int handle_type; u8 f_handle[] }. Too small a buffer is
** told its size, and the mount. */
void more_handle(Walk *walk) {
  enum { HANDLE_MAX = 128, MNT_ID_UNIQUE = 1 };
  if (!walk_wrote(walk) && walk->ret != -EOVERFLOW) return;
  uint64_t bytes = walk->ret == -EOVERFLOW ? 0 : walk_u32(walk, walk->args[2]);
  walk_out(walk, walk->args[2], 8 + (bytes < HANDLE_MAX ? bytes : HANDLE_MAX));
  walk_out(walk, walk->args[3], walk->args[4] & MNT_ID_UNIQUE ? 8 : 4);
}

/* struct xattr_args { u64 value; u32 size; u32 flags } */
void more_xattrat(Walk *walk) {
  enum { NR_GETXATTRAT = 464 };
  uint64_t value = walk_u64(walk, walk->args[4]), size = walk_u32(walk, walk->args[4] + 8);
  if (walk->nr == NR_GETXATTRAT)
    walk_out(walk, value, walk_bytes(walk, size));
  else
    walk_in(walk, value, size);
}
