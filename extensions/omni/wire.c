/*
** Messages: see wire.h.
*/
#define _GNU_SOURCE /* MSG_CMSG_CLOEXEC */
#include "extensions/omni/wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WIRE_MAGIC = 0x494E4D4F };

/* ---- writing --------------------------------------------------------------------------------- */

void wire_begin(Wire *wire, WireKind kind) {
  wire->kind = kind;
  wire->size = wire->at = 0;
  wire->failed = false;
  wire->fd = 0;
}

static void put(Wire *wire, const void *bytes, size_t size) {
  if (wire->failed || size > sizeof wire->bytes - wire->size) {
    wire->failed = true;
    return;
  }
  if (size) memcpy(wire->bytes + wire->size, bytes, size);
  wire->size += size;
}

void wire_put_u32(Wire *wire, uint32_t value) { put(wire, &value, sizeof value); }
void wire_put_u64(Wire *wire, uint64_t value) { put(wire, &value, sizeof value); }

void wire_put_bytes(Wire *wire, const void *bytes, size_t size) {
  if (size > sizeof wire->bytes) {
    wire->failed = true;
    return;
  }
  wire_put_u32(wire, (uint32_t)size);
  put(wire, bytes, size);
}

void wire_put_text(Wire *wire, const char *text) { wire_put_bytes(wire, text, strlen(text) + 1); }

/* ---- reading --------------------------------------------------------------------------------- */

static const uint8_t *get(Wire *wire, size_t size) {
  if (wire->failed || size > wire->size - wire->at) {
    wire->failed = true;
    return NULL;
  }
  wire->at += size;
  return wire->bytes + wire->at - size;
}

uint32_t wire_get_u32(Wire *wire) {
  uint32_t value = 0;
  const uint8_t *from = get(wire, sizeof value);
  if (from) memcpy(&value, from, sizeof value);
  return value;
}

uint64_t wire_get_u64(Wire *wire) {
  uint64_t value = 0;
  const uint8_t *from = get(wire, sizeof value);
  if (from) memcpy(&value, from, sizeof value);
  return value;
}

const void *wire_get_bytes(Wire *wire, size_t *out_size) {
  size_t size = wire_get_u32(wire);
  const uint8_t *from = get(wire, size);
  *out_size = from ? size : 0;
  return from;
}

const char *wire_get_text(Wire *wire) {
  size_t size;
  const char *text = wire_get_bytes(wire, &size);
  if (text && (size == 0 || memchr(text, 0, size) != text + size - 1)) wire->failed = true;
  return wire->failed ? "" : text;
}

bool wire_end(const Wire *wire, Fault *fault) {
  if (!wire->failed && wire->at == wire->size) return true;
  return fault_set(fault, FAULT_CORRUPT, "a message of kind %d that makes no sense", wire->kind);
}

/* ---- the socket ------------------------------------------------------------------------------ */

typedef union Control {
  char bytes[CMSG_SPACE(sizeof(int))];
  struct cmsghdr align;
} Control;

static bool gone(Fault *fault) {
  return fault_set(fault, FAULT_NOTFOUND, "the other side has gone");
}

bool wire_send(int socket, const Wire *wire, int fd, Fault *fault) {
  if (wire->failed) {
    return fault_set(fault, FAULT_LIMIT, "more than %d bytes in one question", WIRE_LIMIT);
  }
  WireHead head = {.magic = WIRE_MAGIC, .kind = (uint16_t)wire->kind, .size = (uint32_t)wire->size};
  struct iovec parts[] = {{&head, sizeof head}, {(void *)(uintptr_t)wire->bytes, wire->size}};
  Control control = {{0}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  if (fd >= 0) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(part), &fd, sizeof fd);
  }
  ssize_t n;
  do {
    n = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n == (ssize_t)(sizeof head + wire->size)) return true;
  if (n < 0 && errno != EPIPE && errno != ECONNRESET) {
    return fault_set(fault, FAULT_IO, "a message cannot be sent: %s", strerror(errno));
  }
  return gone(fault);
}

/* The first descriptor is kept, others (of a hostile sender) are closed. */
static void take_descriptors(struct msghdr *message, Wire *wire) {
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      if (wire->fd) {
        close(fd);
      } else {
        wire->fd = fd + 1;
      }
    }
  }
}

static bool accept_message(const WireHead *head, size_t size, int flags, Wire *wire, Fault *fault) {
  bool ok = size >= sizeof *head && !(flags & MSG_TRUNC) && head->magic == WIRE_MAGIC &&
            head->kind > WIRE_NONE && head->kind < WIRE_KINDS && head->size == size - sizeof *head;
  if (ok) {
    wire->kind = (WireKind)head->kind;
    wire->size = head->size;
    return true;
  }
  if (wire->fd) close(wire->fd - 1);
  wire->fd = 0;
  return fault_set(fault, FAULT_CORRUPT, "%zu bytes that are no message", size);
}

bool wire_receive(int socket, int timeout, Wire *wire, Fault *fault) {
  wire_begin(wire, WIRE_NONE);
  struct pollfd ready = {.fd = socket, .events = POLLIN};
  int n = poll(&ready, 1, timeout);
  if (n == 0 || (n < 0 && errno == EINTR)) return true;
  WireHead head = {0};
  struct iovec parts[] = {{&head, sizeof head}, {wire->bytes, sizeof wire->bytes}};
  Control control;
  struct msghdr message = {
      .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (size <= 0) return gone(fault);
  take_descriptors(&message, wire);
  return accept_message(&head, (size_t)size, message.msg_flags, wire, fault);
}
