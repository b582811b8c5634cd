/*
** shm:NAME, a far memory that is a file in /dev/shm, and file:PATH, one that is any file: mapped by
** all clients, each its own processor.
**
** A client lives as long as it holds the lock of its own byte beyond the end of the file
** (fcntl(2), open file description locks): the kernel gives it back when the client dies, however
** that came. Whoever wants what a dead client holds buries it first. There is nobody who could keep
** a client that was stopped, and goes on, from writing: where that must not be, use a server.
*/
#define _GNU_SOURCE /* F_OFD_SETLK */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "remote/client.h"
#include "remote/memory.h"

#define PREFIX "/tenfold-"
enum { NAME_ROOM = 128 };

static const uint64_t gibibyte = UINT64_C(1) << 30;

/* Bytes far behind the end of the file, which stand for something. */
static const off_t format_byte = (off_t)1 << 60;
static off_t client_byte(unsigned slot) { return format_byte + 1 + slot; }
static const off_t shared_byte = ((off_t)1 << 60) - 1; /* read-locked by all who map it */

static int lock_byte(int fd, int command, int type, off_t at) {
  struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
  int rc;
  do {
    rc = fcntl(fd, command, &lock);
  } while (rc < 0 && errno == EINTR);
  if (rc < 0) return -1;
  return command == F_OFD_GETLK && lock.l_type == F_UNLCK ? 1 : 0; /* 1: nobody has it */
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool path_of(const char *name, char *out, Fault *fault) {
  const size_t length = strlen(name);
  if (!length || length > NAME_ROOM ||
      strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != length ||
      name[0] == '.') {
    return fault_set(fault, FAULT_INVALID,
                     "\"shm:%s\": a name has 1 to %d letters, digits, dots, - and _", name,
                     NAME_ROOM);
  }
  memcpy(out, PREFIX, sizeof PREFIX - 1);
  memcpy(out + sizeof PREFIX - 1, name, length + 1);
  return true;
}

static bool refused(const FarMemory *memory, const char *what, Fault *fault) {
  return fault_set(fault, errno == ENOENT ? FAULT_NOTFOUND : FAULT_IO, "%s: %s: %s", memory->at,
                   what, strerror(errno));
}

static bool map(FarMemory *memory, uint64_t size, Fault *fault) {
  void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);
  if (base == MAP_FAILED) return refused(memory, "cannot be mapped", fault);
  FarBoard *board = (FarBoard *)(void *)((unsigned char *)base + FAR_BOARD_AT);
  memory->mapped = (FarMapped){.base = base, .size = size, .board = board};
  return true;
}

/* Memory behind a part of the file: better refused here than a signal later. */
static bool reserve(FarMemory *memory, uint64_t at, uint64_t length, Fault *fault) {
  const int rc = posix_fallocate(memory->fd, (off_t)at, (off_t)length);
  if (rc == 0) return true;
  return fault_set(fault, FAULT_FULL, "%s: %llu bytes more: %s", memory->at,
                   (unsigned long long)length, strerror(rc));
}

static bool make(FarMemory *memory, Fault *fault) {
  FarHeader header = {0};
  uint64_t random[2];
  const uint64_t size = memory->options.size ? memory->options.size : gibibyte;
  if (!far_plan(&header, size)) {
    return fault_set(fault, FAULT_LIMIT, "%s: a memory has 4 MiB to 16 TiB, not %llu bytes",
                     memory->at, (unsigned long long)size);
  }
  if (getrandom(random, sizeof random, 0) != sizeof random)
    return refused(memory, "random numbers", fault);
  header.incarnation = random[0] | 1;
  header.region = random[1] % ((1 << FAR_REGION_BITS) - 1) + 1;
  if (ftruncate(memory->fd, (off_t)size)) return refused(memory, "cannot grow", fault);
  if (!reserve(memory, 0, header.data, fault) || !map(memory, size, fault)) {
    const int ignored = ftruncate(memory->fd, 0);
    (void)ignored;
    return false;
  }
  far_format(&memory->mapped, &header);
  return true;
}

static bool open_file(FarMemory *memory, const char *path, Fault *fault) {
  struct stat status;
  const int flags = O_RDWR | O_CLOEXEC | (memory->options.must_exist ? 0 : O_CREAT);
  memory->fd =
      memory->transport == &far_shm ? shm_open(path, flags, 0600) : open(path, flags, 0600);
  if (memory->fd < 0) return refused(memory, "cannot be opened", fault);
  if (lock_byte(memory->fd, F_OFD_SETLKW, F_WRLCK, format_byte) < 0)
    return refused(memory, "cannot be locked", fault);
  if (fstat(memory->fd, &status)) return refused(memory, "cannot be looked at", fault);
  const bool ok = status.st_size == 0 ? make(memory, fault)
                  : status.st_size >= FAR_PAGE
                      ? map(memory, (uint64_t)status.st_size, fault)
                      : fault_set(fault, FAULT_CORRUPT, "%s: it is no far memory", memory->at);
  lock_byte(memory->fd, F_OFD_SETLK, F_UNLCK, format_byte);
  if (!ok || lock_byte(memory->fd, F_OFD_SETLK, F_RDLCK, shared_byte) == 0) return ok;
  return fault_set(
      fault, FAULT_BUSY,
      "%s: it is served by verbs, and nobody else may map it: use verbs: or tcp:", memory->at);
}

bool far_mapped_alone(FarMemory *memory, Fault *fault) {
  if (lock_byte(memory->fd, F_OFD_SETLK, F_WRLCK, shared_byte) == 0) return true;
  return fault_set(fault, FAULT_BUSY,
                   "%s: other programs have it mapped, and so it cannot be served by verbs",
                   memory->at);
}

static FarClient *client_at(const FarMemory *memory, unsigned slot) {
  return (FarClient *)(void *)(memory->mapped.base + memory->head.clients) + slot;
}

/* The kernel keeps locks of this open file apart from those of others, not from one another. */
static bool take_slot(FarMemory *memory, unsigned slot) {
  uint64_t *held = &memory->held[slot / 64];
  const uint64_t bit = UINT64_C(1) << slot % 64;
  if (*held & bit || lock_byte(memory->fd, F_OFD_SETLK, F_WRLCK, client_byte(slot)) < 0)
    return false;
  *held |= bit;
  return true;
}

static void give_slot(FarMemory *memory, unsigned slot) {
  memory->held[slot / 64] &= ~(UINT64_C(1) << slot % 64);
  lock_byte(memory->fd, F_OFD_SETLK, F_UNLCK, client_byte(slot));
}

/* The first slot that nobody holds; what its last client left is cleaned up. */
bool far_mapped_begin_client(FarMemory *memory, uint64_t *out, Fault *fault) {
  for (unsigned slot = 0; slot < FAR_CLIENTS; slot++) {
    FarClient *client = client_at(memory, slot);
    Fault ignored = {0};
    if (!take_slot(memory, slot)) continue;
    if (!far_bury(&memory->mapped, slot, &ignored)) { /* left in doubt, say: not for us */
      give_slot(memory, slot);
      continue;
    }
    const uint64_t generation = client->id >> 16;
    *out = (generation + 1) << 16 | (slot + 1);
    client->id = *out;
    client->state = FAR_CLIENT_OPEN;
    return true;
  }
  return fault_set(fault, FAULT_LIMIT, "%s: %d clients use it already", memory->at, FAR_CLIENTS);
}

static bool open_mapped(FarMemory *memory, const char *name, Fault *fault) {
  char path[sizeof PREFIX + NAME_ROOM + 1];
  const bool is_shm = memory->transport == &far_shm;
  if (is_shm && !path_of(name, path, fault)) return false;
  far_enlist(memory);
  if (!open_file(memory, is_shm ? path : name, fault)) return false;
  memcpy(&memory->head, memory->mapped.base, sizeof memory->head);
  const char *wrong = far_header_fault(&memory->head, memory->mapped.size);
  if (wrong) return fault_set(fault, FAULT_CORRUPT, "%s: %s", memory->at, wrong);
  memory->mapped.region = (unsigned)memory->head.region;
  return far_mapped_begin_client(memory, &memory->client, fault);
}

bool far_mapped_end_client(FarMemory *memory, uint64_t client, Fault *fault) {
  const unsigned slot = far_client_slot(client);
  const bool ok = far_bury(&memory->mapped, slot, fault);
  give_slot(memory, slot);
  return ok;
}

static void shm_close(FarMemory *memory) {
  far_delist(memory);
  if (memory->client && !memory->inherited) {
    Fault ignored = {0};
    far_bury(&memory->mapped, far_client_slot(memory->client), &ignored);
  }
  if (memory->mapped.base) munmap(memory->mapped.base, memory->mapped.size);
  if (memory->fd >= 0) close(memory->fd);
}

bool far_unlink(const char *at, Fault *fault) {
  char path[sizeof PREFIX + NAME_ROOM + 1];
  const bool is_shm = !strncmp(at, far_shm.scheme, 4), is_file = !strncmp(at, far_file.scheme, 5);
  if (!is_shm && !is_file)
    return fault_set(fault, FAULT_INVALID, "\"%s\": only shm: and file: can be given up", at);
  if (is_shm && !path_of(at + 4, path, fault)) return false;
  if ((is_shm ? shm_unlink(path) : unlink(at + 5)) == 0) return true;
  return fault_set(fault, errno == ENOENT ? FAULT_NOTFOUND : FAULT_IO, "%s: %s", at,
                   strerror(errno));
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* One by one, until the last. */
static bool round_of_death(FarMemory *memory, const FarSegment *segments, int n, Fault *fault) {
  bool skip = false;
  for (int i = 0; i < n; i++) {
    for (size_t j = 0; j < segments[i].n; j++) {
      if (--memory->injection.dies == 0) raise(SIGKILL);
      if (!far_execute(&memory->mapped, segments[i].ops + j, 1, &skip, fault)) return false;
    }
  }
  return true;
}

static bool shm_round(FarMemory *memory, const FarSegment *segments, int n, Stop *stop,
                      Fault *fault) {
  bool skip = false;
  (void)stop;
  if (memory->injection.dies) return round_of_death(memory, segments, n, fault);
  for (int i = 0; i < n; i++) {
    if (!far_execute(&memory->mapped, segments[i].ops, segments[i].n, &skip, fault)) return false;
  }
  return true;
}

static bool shm_bury(FarMemory *memory, uint64_t id, bool *out_alive, Fault *fault) {
  const unsigned slot = far_client_slot(id);
  *out_alive = false;
  if (slot >= FAR_CLIENTS) return true; /* no client at all */
  const FarClient *client = client_at(memory, slot);
  if (client->id != id || client->state == FAR_CLIENT_FREE) return true;
  *out_alive = !take_slot(memory, slot);
  if (*out_alive) return true;
  const bool ok = client->id != id || far_bury(&memory->mapped, slot, fault);
  give_slot(memory, slot);
  return ok;
}

static bool shm_settle(FarMemory *memory, FarDecide *decide, void *ctx, int *out_settled,
                       Fault *fault) {
  for (unsigned slot = 0; slot < FAR_CLIENTS; slot++) {
    if (client_at(memory, slot)->state == FAR_CLIENT_FREE || !take_slot(memory, slot)) continue;
    bool settled;
    const bool ok = far_bury_settled(&memory->mapped, slot, decide, ctx, &settled, fault);
    give_slot(memory, slot);
    if (!ok) return false;
    *out_settled += settled;
  }
  return true;
}

/* ---- watches --------------------------------------------------------------------------------- */

static FarClient *our_client(const FarMemory *memory) {
  return client_at(memory, far_client_slot(memory->client));
}

static bool shm_watch(FarMemory *memory, const FarLook *look, Fault *fault) {
  (void)fault;
  far_looks_pin(&memory->looks, &memory->mapped, our_client(memory), look);
  return true;
}

static void shm_unwatch(FarMemory *memory, const FarLook *look) {
  if (!memory->inherited)
    far_looks_unpin(&memory->looks, &memory->mapped, our_client(memory), look);
}

static void differ(void *ctx, FarLook *look) {
  FarMemory *memory = ctx;
  unsigned char bytes[FAR_WATCH_DATA];
  uint64_t word = 0;
  if (far_notice_lost(memory)) return;
  const bool whole = look->what.length <= sizeof bytes;
  const uint64_t state = far_look(&memory->mapped, &look->what, whole ? bytes : NULL);
  if (!far_look_differs(look, state)) return; /* not any more */
  if (whole && look->what.length == sizeof word) memcpy(&word, bytes, sizeof word);
  far_told(memory, look, state, word, bytes);
}

static bool shm_hear(FarMemory *memory, int64_t ns, Fault *fault) {
  (void)fault;
  const int64_t now = clock_now();
  const bool everything = now - memory->looked > FAR_RECHECK * INT64_C(1000000);
  if (everything) memory->looked = now;
  far_board_wait(&memory->mapped, memory->looks.set, memory->looks.seen, NULL, 0, ns);
  far_looks_check(&memory->looks, &memory->mapped, everything, differ, memory);
  return true;
}

/* Mapped memory is not lost, but what is inherited is not ours. */
static bool shm_revive(FarMemory *memory, Stop *stop, Fault *fault) {
  (void)stop;
  return fault_set(fault, FAULT_IO, "%s: it is not open", memory->at);
}

#define MAPPED                                                                                     \
  .open = open_mapped, .close = shm_close, .revive = shm_revive, .round = shm_round,               \
  .reserve = reserve, .bury = shm_bury, .settle = shm_settle, .watch = shm_watch,                  \
  .unwatch = shm_unwatch, .hear = shm_hear

const FarTransport far_shm = {.scheme = "shm:", MAPPED};
const FarTransport far_file = {.scheme = "file:", MAPPED};
