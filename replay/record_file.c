/*
** Files that are mapped: which of them are kept with the recording.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/record_inner.h"

bool file_of_fd(Recorder *recorder, RecordThread *thread, int fd, bool shared, uint32_t *out,
                char path[4097], Fault *fault) {
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
  if (!(shared ? writer_shared_file : writer_file)(recorder->writer, link, path, &number, fault)) {
    return false;
  }
  *out = number + 1;
  return true;
}

/* ---- code */

static bool sites_of(Recorder *recorder, uint32_t number, TrapSites **out, Fault *fault) {
  char path[4200];
  if (!array_grow(recorder->sites, recorder->sites_capacity, number + 1)) return fault_oom(fault);
  FileSites *file = &recorder->sites[number];
  *out = &file->sites;
  if (file->known) return true;
  file->known = true;
  snprintf(path, sizeof path, "%s/files/%u", recorder->options->dir, number);
  return traps_find(path, &file->sites, fault);
}

bool file_calls(Recorder *recorder, uint32_t number, InsideFile **out, Fault *fault) {
  char path[4200];
  if (!array_grow(recorder->sites, recorder->sites_capacity, number + 1)) return fault_oom(fault);
  FileSites *file = &recorder->sites[number];
  if (!file->calls_known) {
    file->calls_known = true;
    snprintf(path, sizeof path, "%s/files/%u", recorder->options->dir, number);
    if (!inside_file_open(path, &file->calls, fault)) return false;
  }
  *out = file->calls;
  return true;
}

/* One place, if the program still has there what the file has. */
static bool patch(Recorder *recorder, RecordThread *thread, const TrapSite *site, uint64_t at,
                  bool tell, Fault *fault) {
  uint8_t now[TRAP_BYTES];
  size_t got;
  int differ = 0;
  space_peek(&thread->process->space, (RemoteAddr){at}, now, site->length, &got);
  for (size_t i = 0; i < got; i++) differ += now[i] != site->bytes[i];
  if (got != site->length || differ == 0 || differ > 2) return true;
  return space_write(&thread->process->space, (RemoteAddr){at}, site->bytes, site->length, fault) &&
         (!tell || event_bytes(recorder, CHUNK_OUT, at, site->bytes, site->length, fault));
}

bool file_patch(Recorder *recorder, RecordThread *thread, uint64_t start, uint64_t end, bool tell,
                Fault *fault) {
  const MapList *maps = &thread->process->maps;
  for (size_t i = 0; i < maps->count && maps->ranges[i].start < end; i++) {
    const MapRange *range = &maps->ranges[i];
    TrapSites *sites;
    if (range->end <= start || !range->file || !(range->prot & PROT_EXEC) ||
        range->flags & MAP_SHARED) {
      continue;
    }
    if (!sites_of(recorder, range->file - 1, &sites, fault)) return false;
    for (size_t k = 0; k < sites->count; k++) {
      const TrapSite *site = &sites->list[k];
      if (site->offset < range->offset) continue;
      uint64_t at = range->start + (site->offset - range->offset);
      if (at >= range->end) break;
      if (at + site->length <= range->end && !patch(recorder, thread, site, at, tell, fault)) {
        return false;
      }
    }
  }
  return true;
}

void file_finish(Recorder *recorder) {
  for (size_t i = 0; i < recorder->sites_capacity; i++) {
    free(recorder->sites[i].sites.list);
    inside_file_close(recorder->sites[i].calls);
  }
  free(recorder->sites);
}
