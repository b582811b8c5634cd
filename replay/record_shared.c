/*
** Files that are mapped MAP_SHARED. What threads of the recorded tree write into such a mapping
** happens again in replay, where all mappings of a file share memory as well. What comes into the
** file by other ways has to be told: by calls like write, and by anybody between two mappings.
** Writers outside of the tree, while it is mapped, are not noticed.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/record_inner.h"

#define CHANGE_LIMIT ((uint64_t)1 << 28)

typedef struct Span {
  uint64_t start, end;
} Span;

static SharedFile *find(const Recorder *recorder, const struct stat *st) {
  for (size_t i = 0; i < recorder->nshared; i++) {
    SharedFile *file = &recorder->shared[i];
    if (file->device == st->st_dev && file->inode == st->st_ino) return file;
  }
  return NULL;
}

static void remember(SharedFile *file, const struct stat *st) {
  file->size = (uint64_t)st->st_size;
  file->changed = st->st_ctim;
}

static bool is_changed(const SharedFile *file, const struct stat *st) {
  return file->size != (uint64_t)st->st_size || file->changed.tv_sec != st->st_ctim.tv_sec ||
         file->changed.tv_nsec != st->st_ctim.tv_nsec;
}

/* Bytes of the file; zeros behind its end. */
static bool tell(Recorder *recorder, const char *link, const SharedFile *file, Span span,
                 Fault *fault) {
  if (span.end <= span.start) return true;
  if (span.end - span.start > CHANGE_LIMIT) {
    return fault_set(fault, FAULT_LIMIT, "a shared file changes by %llu bytes, the limit is %llu",
                     (unsigned long long)(span.end - span.start), (unsigned long long)CHANGE_LIMIT);
  }
  const size_t head = sizeof(uint64_t), size = (size_t)(span.end - span.start);
  uint8_t *bytes = calloc(1, head + size);
  int fd = bytes ? open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
  bool ok = bytes ? fd >= 0 || fault_set(fault, FAULT_IO, "a shared file: %s", strerror(errno))
                  : fault_oom(fault);
  const uint64_t number = file->number;
  if (ok) memcpy(bytes, &number, head);
  for (size_t done = 0; ok && done < size;) {
    ssize_t n = pread(fd, bytes + head + done, size - done, (off_t)(span.start + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += (size_t)n;
  }
  ok = ok && event_bytes(recorder, CHUNK_SHARED, span.start, bytes, head + size, fault);
  if (fd >= 0) close(fd);
  free(bytes);
  return ok;
}

/* ---- mappings */

static bool is_shared_map(const RecordThread *thread) {
  const uint64_t flags = thread->args[3];
  return thread->nr == SYS_mmap && !(flags & MAP_ANONYMOUS) && (flags & MAP_TYPE) != MAP_PRIVATE;
}

static bool follow_map(Recorder *recorder, const RecordThread *thread, const char *link,
                       const struct stat *st, Fault *fault) {
  SharedFile *file = find(recorder, st);
  const uint64_t start = thread->args[5], end = start + thread->args[1];
  const uint64_t size = (uint64_t)st->st_size;
  if (file && is_changed(file, st) &&
      !tell(recorder, link, file, (Span){start, end < size ? end : size}, fault)) {
    return false;
  }
  if (!file) {
    if (!array_grow(recorder->shared, recorder->shared_capacity, recorder->nshared + 1)) {
      return fault_oom(fault);
    }
    file = &recorder->shared[recorder->nshared++];
    *file = (SharedFile){.device = st->st_dev, .inode = st->st_ino};
  }
  file->number = (uint32_t)recorder->event.aux - 1;
  remember(file, st);
  return true;
}

/* ---- other ways */

/* The descriptor that a call writes to; -1: it does not. */
static int written_fd(const RecordThread *thread) {
  switch (thread->nr) {
  case SYS_write:
  case SYS_writev:
  case SYS_pwrite64:
  case SYS_pwritev:
  case SYS_pwritev2:
  case SYS_ftruncate:
  case SYS_fallocate:
  case SYS_sendfile:
    return (int)thread->args[0];
  case SYS_copy_file_range:
  case SYS_splice:
    return (int)thread->args[2];
  default:
    return -1;
  }
}

static uint64_t position(const RecordThread *thread, int fd) {
  char path[64], line[64];
  unsigned long long at = 0;
  snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)thread->tracee.tid, fd);
  FILE *info = fopen(path, "re");
  while (info && fgets(line, sizeof line, info)) {
    if (sscanf(line, "pos: %llu", &at) == 1) break;
  }
  if (info) fclose(info);
  return at;
}

static Span written_span(const RecordThread *thread, const SharedFile *file, const struct stat *st,
                         int64_t ret) {
  const uint64_t *args = thread->args, bytes = (uint64_t)ret;
  const uint64_t now = (uint64_t)st->st_size, before = file->size;
  uint64_t at;
  switch (thread->nr) {
  case SYS_write:
  case SYS_writev:
    at = position(thread, (int)args[0]);
    return (Span){at > bytes ? at - bytes : 0, at};
  case SYS_pwrite64:
  case SYS_pwritev:
    return (Span){args[3], args[3] + bytes};
  case SYS_fallocate:
    if (args[1] & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) return (Span){0, now};
    return (Span){args[2], args[2] + args[3]};
  case SYS_ftruncate:
    return now < before ? (Span){now, before} : (Span){before, now};
  default:
    return (Span){0, now};
  }
}

bool shared_follow(Recorder *recorder, RecordThread *thread, int64_t ret, Fault *fault) {
  const bool maps = is_shared_map(thread);
  const int fd = maps ? (int)thread->args[4] : written_fd(thread);
  char link[64];
  struct stat st;
  if (fd < 0 || (ret < 0 && ret >= -4095) || (!maps && !recorder->nshared)) return true;
  if (maps && !recorder->event.aux) return true;
  snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)thread->tracee.tid, fd);
  if (stat(link, &st) != 0 || !S_ISREG(st.st_mode)) return true;
  if (maps) return follow_map(recorder, thread, link, &st, fault);
  SharedFile *file = find(recorder, &st);
  if (!file) return true;
  const Span span = written_span(thread, file, &st, ret);
  remember(file, &st);
  return tell(recorder, link, file, span, fault);
}
