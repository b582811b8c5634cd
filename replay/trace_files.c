/*
** The copies of mapped files in a recording.
**
** A file that only the system's administrator can change, and does by renaming a new one over it,
** is linked; anything else is copied when it is mapped, since its bytes may change afterwards.
** Equal bytes are kept once.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/array.h"
#include "replay/trace_format.h"

struct FileStore {
  int dir;
  uint32_t count;
  Map by_stat;  /* TraceFile without hash -> number, of files that do not change */
  Map by_bytes; /* hash and size -> number */
  Map by_inode; /* device and inode -> number, of files that are shared */
};

FileStore *file_store_create(int dir) {
  FileStore *store = calloc(1, sizeof *store);
  if (store) store->dir = dir;
  return store;
}

void file_store_destroy(FileStore *store) {
  if (!store) return;
  close(store->dir);
  map_finish(&store->by_stat);
  map_finish(&store->by_bytes);
  map_finish(&store->by_inode);
  free(store);
}

bool file_hash(int fd, uint64_t *out_hash, uint64_t *out_size, Fault *fault) {
  struct stat st;
  if (fstat(fd, &st) != 0) return fault_set(fault, FAULT_IO, "%s", strerror(errno));
  enum { PIECE = 1 << 18 };
  XXH3_state_t *state = XXH3_createState();
  uint8_t *buffer = malloc(PIECE);
  bool ok = state && buffer;
  if (!ok) fault_oom(fault);
  uint64_t size = 0;
  if (ok) XXH3_64bits_reset(state);
  while (ok) {
    ssize_t n = pread(fd, buffer, PIECE, (off_t)size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) ok = fault_set(fault, FAULT_IO, "%s", strerror(errno));
    if (n <= 0) break;
    XXH3_64bits_update(state, buffer, (size_t)n);
    size += (uint64_t)n;
  }
  if (ok) *out_hash = XXH3_64bits_digest(state);
  if (ok) *out_size = size;
  free(buffer);
  XXH3_freeState(state);
  return ok;
}

/* Who else than root could write it, and would in place? */
static bool is_steady(const struct stat *st, const char *path) {
  static const char *const places[] = {"/usr/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/opt/"};
  if (st->st_uid != 0 || (st->st_mode & 022)) return false;
  for (size_t i = 0; i < countof(places); i++) {
    if (strncmp(path, places[i], strlen(places[i])) == 0) return true;
  }
  return false;
}

static bool is_zero(const char *bytes, size_t size) {
  return !bytes[0] && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Holes stay holes: shared memory is often much larger than what is in it. */
static bool copy_bytes(int from, int to, Fault *fault) {
  struct stat st;
  if (ioctl(to, FICLONE, from) == 0) return true;
  if (fstat(from, &st) != 0 || ftruncate(to, st.st_size) != 0) {
    return fault_set(fault, FAULT_IO, "%s", strerror(errno));
  }
  enum { PIECE = 1 << 18 };
  char *buffer = malloc(PIECE);
  if (!buffer) return fault_oom(fault);
  bool ok = true;
  for (off_t at = 0; ok;) {
    ssize_t n = pread(from, buffer, PIECE, at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) ok = fault_set(fault, FAULT_IO, "%s", strerror(errno));
    if (n <= 0) break;
    for (ssize_t done = 0; ok && done < n && !is_zero(buffer, (size_t)n);) {
      ssize_t w = pwrite(to, buffer + done, (size_t)(n - done), at + done);
      if (w <= 0) ok = fault_set(fault, FAULT_IO, "%s", w < 0 ? strerror(errno) : "disk full");
      if (w > 0) done += w;
    }
    at += n;
  }
  free(buffer);
  return ok;
}

static bool copy_file(FileStore *store, int fd, const char *name, Fault *fault) {
  int to = openat(store->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (to < 0) return fault_set(fault, FAULT_IO, "%s", strerror(errno));
  bool ok = copy_bytes(fd, to, fault) && fchmod(to, 0444) == 0;
  close(to);
  return ok;
}

static bool keep_file(FileStore *store, int fd, bool steady, const char *name, Fault *fault) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (steady && linkat(AT_FDCWD, link, store->dir, name, AT_SYMLINK_FOLLOW) == 0) return true;
  return copy_file(store, fd, name, fault);
}

static bool add_open_file(FileStore *store, int fd, const char *path, bool shared,
                          uint32_t *out_file, bool *out_new, TraceFile *out, Fault *fault) {
  struct stat st;
  if (fstat(fd, &st) != 0) return fault_set(fault, FAULT_IO, "%s", strerror(errno));
  TraceFile about = {.device = st.st_dev,
                     .inode = st.st_ino,
                     .size = (uint64_t)st.st_size,
                     .mtime_ns =
                         (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec};
  bool steady = is_steady(&st, path);
  int64_t *known = steady ? map_get(&store->by_stat, &about, sizeof about) : NULL;
  uint64_t inode[2] = {about.device, about.inode};
  shared = shared && !steady;
  if (shared) known = map_get(&store->by_inode, inode, sizeof inode);
  *out_new = false;
  if (known) {
    *out_file = (uint32_t)*known;
    return true;
  }
  TraceFile key = about;
  if (!file_hash(fd, &about.hash, &about.size, fault)) return false;
  uint64_t bytes[2] = {about.hash, about.size};
  int64_t *number = shared ? map_put(&store->by_inode, inode, sizeof inode, store->count, out_new)
                           : map_put(&store->by_bytes, bytes, sizeof bytes, store->count, out_new);
  if (!number) return fault_oom(fault);
  *out_file = (uint32_t)*number;
  if (steady && !map_put(&store->by_stat, &key, sizeof key, *out_file, NULL)) {
    return fault_oom(fault);
  }
  if (!*out_new) return true;
  char name[32];
  snprintf(name, sizeof name, "%" PRIu32, store->count++);
  *out = about;
  return keep_file(store, fd, steady, name, fault);
}

bool file_store_add(FileStore *store, const char *fd_path, const char *path, bool shared,
                    uint32_t *out_file, bool *out_new, TraceFile *out, Fault *fault) {
  int fd = open(fd_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return fault_set(fault, FAULT_IO, "mapped file \"%s\": %s", path, strerror(errno));
  }
  bool ok = add_open_file(store, fd, path, shared, out_file, out_new, out, fault);
  close(fd);
  return ok || fault_prefix(fault, "mapped file \"%s\": ", path);
}
