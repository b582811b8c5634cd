/*
** The in-process log is put into a program, or taken out of it: see inside_inner.h.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/array.h"
#include "replay/inside_inner.h"

/* ---- the memory */

bool inside_share(int *out_fd, uint8_t **out_memory, Fault *fault) {
  size_t size;
  const uint8_t *code = inside_code(&size);
  *out_memory = MAP_FAILED;
  *out_fd = memfd_create("tenfold", MFD_CLOEXEC);
  if (*out_fd >= 0 && ftruncate(*out_fd, INSIDE_SIZE) == 0) {
    *out_memory = mmap(NULL, INSIDE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *out_fd, 0);
  }
  if (*out_memory == MAP_FAILED) {
    fault_set(fault, FAULT_IO, "no memory to share with programs: %s", strerror(errno));
    inside_unshare(*out_fd, *out_memory);
    *out_fd = -1;
    *out_memory = NULL;
    return false;
  }
  memcpy(*out_memory, code, size);
  return true;
}

void inside_unshare(int fd, uint8_t *memory) {
  if (memory && memory != MAP_FAILED) munmap(memory, INSIDE_SIZE);
  if (fd >= 0) close(fd);
}

static bool map_part(Tracee *tracee, int64_t fd, uint64_t offset, uint64_t size, int prot,
                     int64_t *out, Fault *fault) {
  const uint64_t args[6] = {INSIDE_BASE + offset, size,
                            (uint64_t)prot,       MAP_SHARED | MAP_FIXED_NOREPLACE,
                            (uint64_t)fd,         offset};
  return tracee_syscall(tracee, SYS_mmap, args, out, fault);
}

bool inside_map(Tracee *tracee, int fd, bool *out_ok, Fault *fault) {
  char path[64];
  const int length = snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), fd);
  const uint64_t at = SPACE_PAGE + SPACE_SCRATCH;
  const uint64_t open_args[6] = {(uint64_t)AT_FDCWD, at, O_RDWR | O_CLOEXEC};
  int64_t opened, code = -1, data = -1, closed;
  *out_ok = false;
  if (!space_write(tracee->space, (RemoteAddr){at}, path, (size_t)length + 1, fault) ||
      !tracee_syscall(tracee, SYS_openat, open_args, &opened, fault)) {
    return false;
  }
  if (opened < 0) return true;
  const uint64_t close_args[6] = {(uint64_t)opened};
  if (!map_part(tracee, opened, 0, INSIDE_CODE_SIZE, PROT_READ | PROT_EXEC, &code, fault) ||
      !map_part(tracee, opened, INSIDE_WORDS, INSIDE_SIZE - INSIDE_WORDS, PROT_READ | PROT_WRITE,
                &data, fault) ||
      !tracee_syscall(tracee, SYS_close, close_args, &closed, fault)) {
    return false;
  }
  *out_ok = code == (int64_t)INSIDE_BASE && data > 0;
  return true;
}

/* ---- the calls of one mapping */

static bool is_written(const StatePages *written, uint64_t page) {
  for (size_t i = 0; i < written->count; i++) {
    if (page >= written->list[i].start && page < written->list[i].end) return true;
  }
  return false;
}

static int compare_pages(const void *a, const void *b) {
  const InsidePage *x = a, *y = b;
  return x->at < y->at ? -1 : x->at > y->at;
}

/* The pages that will be written, and that nobody has written yet: they are the file's. */
static bool note_pages(const InsideSpace *space, const MapRange *range, const uint8_t *bytes,
                       const InsideArea *area, Fault *fault) {
  InsidePatches *patches = space->patches;
  MapRange one = *range;
  const MapList only = {.ranges = &one, .count = 1, .capacity = 1};
  StatePages written;
  uint64_t last = 0;
  if (!state_pages(space->state, space->tracee->space, &only, &written, fault)) return false;
  for (size_t i = 0; i < area->count; i++) {
    const uint64_t end = area->list[i].at + area->list[i].size;
    for (uint64_t page = area->list[i].at & ~(uint64_t)(PAGE - 1); page < end; page += PAGE) {
      if (page <= last || is_written(&written, page)) continue;
      last = page;
      if (!array_grow(patches->pages, patches->pages_capacity, patches->npages + 1)) {
        return fault_oom(fault);
      }
      patches->pages[patches->npages++] =
          (InsidePage){page, XXH3_64bits(bytes + (page - range->start), PAGE)};
    }
  }
  qsort(patches->pages, patches->npages, sizeof *patches->pages, compare_pages);
  return true;
}

/* A process that was just forked has the patches of its parent, and its memory not yet open. */
static bool write_code(Space *space, uint64_t at, const void *bytes, size_t size, Fault *fault) {
  if (!space_open_mem(space, fault)) return false;
  return pwrite(space->mem_fd, bytes, size, (off_t)at) == (ssize_t)size ||
         fault_set(fault, FAULT_NOTFOUND, "process %d: no memory to write at 0x%llx",
                   (int)space->pid, (unsigned long long)at);
}

/* Page by page, each in one go. */
static bool write_patches(Space *space, const MapRange *range, uint8_t *bytes,
                          const InsideArea *area, Fault *fault) {
  for (size_t i = 0; i < area->count;) {
    const uint64_t first = area->list[i].at, page = first & ~(uint64_t)(PAGE - 1);
    uint64_t end = first;
    for (; i < area->count && area->list[i].at - page < PAGE; i++) {
      const InsidePatch *patch = &area->list[i];
      memcpy(bytes + (patch->at - range->start), patch->bytes, patch->size);
      end = patch->at + patch->size;
    }
    if (!write_code(space, first, bytes + (first - range->start), end - first, fault)) return false;
  }
  return true;
}

static bool map_thunks(Tracee *tracee, const InsideArea *area, const uint8_t *code, bool *out_ok,
                       Fault *fault) {
  const uint64_t size = area->end - area->start;
  const uint64_t args[6] = {area->start, size, PROT_READ | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (uint64_t)-1};
  int64_t ret;
  *out_ok = false;
  if (!tracee_syscall(tracee, SYS_mmap, args, &ret, fault)) return false;
  if ((uint64_t)ret != area->start) return true;
  *out_ok = true;
  return write_code(tracee->space, area->start, code, area->count * INSIDE_THUNK, fault);
}

/* *out_kept: the area belongs to the patches from now on. */
static bool install_area(const InsideSpace *space, const MapRange *range, uint8_t *bytes,
                         const InsideArea *area, const uint8_t *code, bool *out_kept,
                         Fault *fault) {
  InsidePatches *patches = space->patches;
  bool mapped;
  *out_kept = false;
  if (!array_grow(patches->areas, patches->capacity, patches->count + 1)) return fault_oom(fault);
  if (!map_thunks(space->tracee, area, code, &mapped, fault)) return false;
  if (!mapped) return true;
  patches->areas[patches->count++] = *area;
  *out_kept = true;
  return note_pages(space, range, bytes, area, fault) &&
         write_patches(space->tracee->space, range, bytes, area, fault);
}

bool inside_install(const InsideSpace *space, const MapRange *range, const InsideSites *sites,
                    Fault *fault) {
  const size_t size = (size_t)(range->end - range->start);
  const uint64_t start = sites->count ? inside_place(space->maps, space->patches, range,
                                                     sites->count * INSIDE_THUNK + PAGE)
                                      : 0;
  if (!start) return true;
  uint8_t *bytes = malloc(size), *code = NULL;
  InsideArea area = {0};
  size_t got;
  bool kept = false;
  if (!bytes) return fault_oom(fault);
  space_peek(space->tracee->space, (RemoteAddr){range->start}, bytes, size, &got);
  bool ok = got != size || inside_area(range, bytes, sites, start, &area, &code, fault);
  if (ok && area.count) ok = install_area(space, range, bytes, &area, code, &kept, fault);
  if (!kept) free(area.list);
  free(code);
  free(bytes);
  return ok;
}

/* ---- and back */

bool inside_restore(const InsideSpace *space, uint64_t start, uint64_t end, Fault *fault) {
  for (size_t i = 0; i < space->patches->count; i++) {
    const InsideArea *area = &space->patches->areas[i];
    for (size_t k = 0; k < area->count; k++) {
      InsidePatch *patch = &area->list[k];
      if (patch->gone || patch->at + patch->size <= start || patch->at >= end) continue;
      patch->gone = true;
      if (!write_code(space->tracee->space, patch->at, patch->original, patch->size, fault)) {
        return false;
      }
    }
  }
  return true;
}

bool inside_remove(const InsideSpace *space, bool gone, Fault *fault) {
  InsidePatches *patches = space->patches;
  if (!gone && !inside_restore(space, 0, UINT64_MAX, fault)) return false;
  for (size_t i = 0; i < patches->count; i++) {
    const InsideArea *area = &patches->areas[i];
    const uint64_t args[6] = {area->start, area->end - area->start};
    int64_t ret;
    if (!tracee_syscall(space->tracee, SYS_munmap, args, &ret, fault)) return false;
  }
  const InsidePatches kept = *patches;
  if (!gone) { /* they have been written now, to what the file has */
    patches->pages = NULL;
    patches->npages = patches->pages_capacity = 0;
  }
  inside_finish(patches);
  if (!gone) {
    patches->pages = kept.pages;
    patches->npages = kept.npages;
    patches->pages_capacity = kept.pages_capacity;
  }
  return true;
}
