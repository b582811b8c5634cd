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

/* ---- one call */

static int compare_pages(const void *a, const void *b) {
  const InsidePage *x = a, *y = b;
  return x->at < y->at ? -1 : x->at > y->at;
}

static bool is_ours(const InsidePatches *patches, uint64_t page) {
  for (size_t i = 0; i < patches->npages; i++) {
    if (patches->pages[i].at == page) return true;
  }
  return false;
}

/* A page that will be written, and that nobody has written yet, is the file's. */
static bool note_page(const InsideSpace *space, const MapRange *range, uint64_t page,
                      Fault *fault) {
  InsidePatches *patches = space->patches;
  MapRange one = {
      .start = page, .end = page + PAGE, .prot = range->prot, .flags = range->flags, .name = ""};
  const MapList only = {.ranges = &one, .count = 1, .capacity = 1};
  uint8_t bytes[PAGE];
  StatePages written;
  if (is_ours(patches, page)) return true;
  if (!state_pages(space->state, space->tracee->space, &only, &written, fault)) return false;
  if (written.count) return true;
  if (!space_read(space->tracee->space, (RemoteAddr){page}, bytes, PAGE, fault)) return false;
  if (!array_grow(patches->pages, patches->pages_capacity, patches->npages + 1)) {
    return fault_oom(fault);
  }
  patches->pages[patches->npages++] = (InsidePage){page, XXH3_64bits(bytes, PAGE)};
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

/* A new area. *out is NULL when there is no place for it. */
static bool make_area(const InsideSpace *space, const MapRange *range, InsideArea **out,
                      Fault *fault) {
  enum { SIZE = INSIDE_AREA * INSIDE_THUNK };
  _Static_assert(SIZE % PAGE == 0, "whole pages");
  InsidePatches *patches = space->patches;
  const uint64_t start = inside_place(space->maps, patches, range, SIZE);
  const uint64_t args[6] = {start, SIZE, PROT_READ | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (uint64_t)-1};
  int64_t ret;
  *out = NULL;
  if (!start) return true;
  if (!array_grow(patches->areas, patches->capacity, patches->count + 1)) return fault_oom(fault);
  InsidePatch *list = malloc(INSIDE_AREA * sizeof *list);
  if (!list) return fault_oom(fault);
  const bool made = tracee_syscall(space->tracee, SYS_mmap, args, &ret, fault);
  if (!made || (uint64_t)ret != start) {
    free(list);
    return made;
  }
  *out = &patches->areas[patches->count++];
  **out = (InsideArea){
      .start = start, .end = start + SIZE, .low = range->start, .high = range->end, .list = list};
  return true;
}

/* One of the mapping that has room. */
static bool area_for(const InsideSpace *space, const MapRange *range, InsideArea **out,
                     Fault *fault) {
  for (size_t i = 0; i < space->patches->count; i++) {
    InsideArea *area = &space->patches->areas[i];
    if (area->low != range->start || area->high != range->end || area->count == INSIDE_AREA) {
      continue;
    }
    *out = area;
    return true;
  }
  return make_area(space, range, out, fault);
}

bool inside_install(const InsideSpace *space, const MapRange *range, uint64_t at,
                    const InsideSite *site, bool alone, Fault *fault) {
  Space *memory = space->tracee->space;
  uint8_t now[INSIDE_WINDOW], code[INSIDE_THUNK];
  InsideArea *area;
  InsidePatch patch;
  size_t got;
  const uint64_t within = PAGE - 1, first = at & ~within, last = (at + site->size - 1) & ~within;
  if (!site->size || at + site->size > range->end) return true;
  if (!site->single && (!alone || space->patches->interrupted)) return true;
  space_peek(memory, (RemoteAddr){at}, now, site->size, &got);
  if (got != site->size || memcmp(now, site->bytes, got) != 0) return true;
  if (!area_for(space, range, &area, fault)) return false;
  if (!area) return true;
  const uint64_t thunk = area->start + area->count * INSIDE_THUNK;
  if (!inside_patch(site, at, thunk, code, &patch)) return true;
  if (!write_code(memory, thunk, code, sizeof code, fault) ||
      !note_page(space, range, first, fault) ||
      (last != first && !note_page(space, range, last, fault))) {
    return false;
  }
  area->list[area->count++] = patch;
  return write_code(memory, at, patch.bytes, patch.size, fault);
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
    patches->interrupted = kept.interrupted;
    patches->pages = kept.pages;
    patches->npages = kept.npages;
    patches->pages_capacity = kept.pages_capacity;
  }
  return true;
}
