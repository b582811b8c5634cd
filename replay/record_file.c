/*
** Files that are mapped: which of them are kept with the recording.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "replay/record_inner.h"

bool file_of_fd(Recorder *recorder, RecordThread *thread, int fd, uint32_t *out, char path[4097],
                Fault *fault) {
  char link[64];
  struct stat st;
  *out = 0;
  snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)thread->tracee.tid, fd);
  ssize_t n = readlink(link, path, 4096);
  path[n > 0 ? n : 0] = '\0';
  if (n < 0 || stat(link, &st) != 0) {
    return fault_set(fault, FAULT_IO, "thread %d: descriptor %d, which it maps: %s",
                     (int)thread->tracee.tid, fd, strerror(errno));
  }
  if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 5)) return true; /* /dev/zero */
  if (!S_ISREG(st.st_mode)) {
    return record_unsupported(recorder, thread, fault, "mmap of \"%s\", which is no file", path);
  }
  uint32_t number;
  if (!writer_file(recorder->writer, link, path, &number, fault)) return false;
  *out = number + 1;
  return true;
}
