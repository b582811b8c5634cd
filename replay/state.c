/*
** The hash of a process: see state.h.
*/
#define _GNU_SOURCE
#include "replay/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/array.h"

enum { BATCH = 64 }; /* pages read at once */

/* PAGEMAP_SCAN of Linux 6.7, which the headers of Debian 12 do not have. */
typedef struct ScanRequest {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted,
      category_mask, category_anyof_mask, return_mask;
} ScanRequest;

#define SCAN_PAGES _IOWR('f', 16, ScanRequest)
enum { IS_FILE = 4, IS_PRESENT = 8, IS_SWAPPED = 16, IS_ZERO = 32 };

static bool open_pagemap(StateReader *reader, const Space *space, Fault *fault) {
  if (reader->pagemap && reader->pid != space->pid) {
    close(reader->pagemap - 1);
    reader->pagemap = 0;
  }
  if (!reader->buffer && !(reader->buffer = malloc(BATCH * PAGE))) return fault_oom(fault);
  if (reader->pagemap) return true;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/pagemap", (int)space->pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fault_set(fault, FAULT_IO, "\"%s\": %s", path, strerror(errno));
  reader->pagemap = fd + 1;
  reader->pid = space->pid;
  return true;
}

/* ---- which pages */

/* The older interface: 8 bytes for every page there could be. */
static bool read_entries(StateReader *reader, uint64_t start, uint64_t end, size_t *count,
                         Fault *fault) {
  uint64_t entries[512];
  for (uint64_t at = start; at < end;) {
    size_t want = (end - at) / PAGE < countof(entries) ? (end - at) / PAGE : countof(entries);
    ssize_t n = pread(reader->pagemap - 1, entries, want * 8, (off_t)(at / PAGE * 8));
    if (n <= 0) return fault_set(fault, FAULT_IO, "pagemap: %s", strerror(errno));
    for (size_t i = 0; i < (size_t)n / 8; i++, at += PAGE) {
      bool there = entries[i] >> 62, file = entries[i] >> 61 & 1;
      if (!there || file) continue;
      if (!array_grow(reader->regions, reader->capacity, *count + 1)) return fault_oom(fault);
      reader->regions[(*count)++] = (StateRegion){at, at + PAGE, 0};
    }
  }
  return true;
}

/* Regions of written private pages from `start` to `end`, appended. */
static bool scan(StateReader *reader, uint64_t start, uint64_t end, size_t *count, Fault *fault) {
  for (uint64_t at = start; at < end;) {
    if (!array_grow(reader->regions, reader->capacity, *count + 256)) return fault_oom(fault);
    ScanRequest request = {.size = sizeof request,
                           .start = at,
                           .end = end,
                           .vec = (uint64_t)(uintptr_t)(reader->regions + *count),
                           .vec_len = 256,
                           .category_inverted = IS_FILE | IS_ZERO,
                           .category_mask = IS_FILE | IS_ZERO,
                           .category_anyof_mask = IS_PRESENT | IS_SWAPPED,
                           .return_mask = IS_PRESENT};
    int n = ioctl(reader->pagemap - 1, SCAN_PAGES, &request);
    if (n < 0 && (errno == ENOTTY || errno == EINVAL)) {
      return read_entries(reader, at, end, count, fault);
    }
    if (n < 0) return fault_set(fault, FAULT_IO, "pagemap: %s", strerror(errno));
    *count += (size_t)n;
    if (request.walk_end <= at) break;
    at = request.walk_end;
  }
  return true;
}

static bool find_pages(StateReader *reader, const MapList *maps, size_t *out_count, Fault *fault) {
  *out_count = 0;
  for (size_t i = 0; i < maps->count; i++) {
    const MapRange *range = &maps->ranges[i];
    uint64_t end = range->end;
    if (range->flags & MAP_SHARED) continue;
    /* Neighbours in one go: a stop of the kernel costs more than the walk. */
    while (i + 1 < maps->count && maps->ranges[i + 1].start == end &&
           !(maps->ranges[i + 1].flags & MAP_SHARED)) {
      end = maps->ranges[++i].end;
    }
    if (!scan(reader, range->start, end, out_count, fault)) return false;
  }
  return true;
}

bool state_pages(StateReader *reader, Space *space, const MapList *maps, StatePages *out,
                 Fault *fault) {
  if (!open_pagemap(reader, space, fault) || !find_pages(reader, maps, &out->count, fault)) {
    return false;
  }
  out->list = reader->regions;
  return true;
}

/* ---- what is in them */

static uint64_t hash_page(const uint8_t *page, uint64_t addr) {
  uint64_t first;
  memcpy(&first, page, sizeof first);
  if (!first && memcmp(page, page + 8, PAGE - 8) == 0) return 0;
  return XXH3_64bits_withSeed(page, PAGE, addr);
}

typedef struct Batch {
  struct iovec remote[BATCH];
  int pages;
} Batch;

/* ---- bytes that are unsure */

static bool is_unsure(const StateView *view, uint64_t page) {
  for (size_t i = 0; i < view->nunsure; i++) {
    const StateRange *range = &view->unsure[i];
    if (range->addr < page + PAGE && page < range->addr + range->size) return true;
  }
  return false;
}

static void clear_unsure(const StateView *view, uint64_t addr, uint8_t *page) {
  for (size_t i = 0; i < view->nunsure; i++) {
    const StateRange *range = &view->unsure[i];
    const uint64_t end = range->addr + range->size;
    const uint64_t lo = range->addr > addr ? range->addr : addr;
    const uint64_t hi = end < addr + PAGE ? end : addr + PAGE;
    if (lo < hi) memset(page + (lo - addr), 0, hi - lo);
  }
}

/* The page is among those of an earlier range. */
static bool has_counted(const StateView *view, size_t index, uint64_t page) {
  const StateView before = {.unsure = view->unsure, .nunsure = index};
  return is_unsure(&before, page);
}

static void hash_unsure(const Space *space, const MapList *maps, const StateView *view,
                        uint64_t *sum) {
  uint8_t page[PAGE];
  for (size_t i = 0; i < view->nunsure; i++) {
    const StateRange *range = &view->unsure[i];
    for (uint64_t at = range->addr & ~(uint64_t)(PAGE - 1); at < range->addr + range->size;
         at += PAGE) {
      const MapRange *map = maps_find(maps, at);
      if (!map || map->flags & MAP_SHARED || has_counted(view, i, at)) continue;
      if (pread(space->mem_fd, page, PAGE, (off_t)at) != PAGE) continue;
      if (view->page) view->page(view->ctx, at, page);
      clear_unsure(view, at, page);
      *sum += hash_page(page, at);
    }
  }
}

/* ---- all of it */

static bool hash_batch(StateReader *reader, const Space *space, const StateView *view, Batch *batch,
                       uint64_t *sum, Fault *fault) {
  struct iovec local = {reader->buffer, (size_t)batch->pages * PAGE};
  ssize_t n =
      process_vm_readv(space->pid, &local, 1, batch->remote, (unsigned long)batch->pages, 0);
  for (int i = 0; i < batch->pages; i++) {
    uint64_t addr = (uint64_t)(uintptr_t)batch->remote[i].iov_base;
    uint8_t *page = reader->buffer + (size_t)i * PAGE;
    /* Pages without PROT_READ: through /proc, which asks nobody. */
    if (n < (ssize_t)(i + 1) * PAGE &&
        (space->mem_fd < 0 || pread(space->mem_fd, page, PAGE, (off_t)addr) != PAGE)) {
      return fault_set(fault, FAULT_IO, "process %d: the page at 0x%llx cannot be read",
                       (int)space->pid, (unsigned long long)addr);
    }
    if (view && is_unsure(view, addr)) continue;
    if (!view || !view->page || view->page(view->ctx, addr, page)) *sum += hash_page(page, addr);
  }
  batch->pages = 0;
  return true;
}

bool state_memory(StateReader *reader, Space *space, const MapList *maps, const StateView *view,
                  uint64_t *out, Fault *fault) {
  size_t count;
  if (!open_pagemap(reader, space, fault) || !find_pages(reader, maps, &count, fault)) return false;
  if (!space_open_mem(space, fault)) return false;
  uint64_t sum = 0;
  Batch batch = {.pages = 0};
  for (size_t i = 0; i < count; i++) {
    for (uint64_t at = reader->regions[i].start; at < reader->regions[i].end; at += PAGE) {
      batch.remote[batch.pages++] = (struct iovec){(void *)(uintptr_t)at, PAGE};
      if (batch.pages == BATCH && !hash_batch(reader, space, view, &batch, &sum, fault)) {
        return false;
      }
    }
  }
  if (batch.pages && !hash_batch(reader, space, view, &batch, &sum, fault)) return false;
  if (view) hash_unsure(space, maps, view, &sum);
  *out = sum;
  return true;
}

bool state_registers(Tracee *tracee, uint64_t *out, Fault *fault) {
  if (!tracee_regs(tracee, fault)) return false;
  struct user_fpregs_struct fp;
  if (ptrace(PTRACE_GETFPREGS, tracee->tid, 0, &fp) != 0) {
    return fault_set(fault, FAULT_IO, "thread %d: its floating-point registers cannot be read: %s",
                     (int)tracee->tid, strerror(errno));
  }
  const struct user_regs_struct *r = &tracee->regs;
  uint64_t words[] = {r->rax,
                      r->rbx,
                      r->rdx,
                      r->rsi,
                      r->rdi,
                      r->rbp,
                      r->rsp,
                      r->r8,
                      r->r9,
                      r->r10,
                      r->r12,
                      r->r13,
                      r->r14,
                      r->r15,
                      r->rip,
                      r->fs_base,
                      r->eflags & 0xCD5, /* what instructions set: carry to overflow, direction */
                      fp.cwd,
                      fp.swd,
                      fp.ftw,
                      fp.mxcsr};
  uint64_t h = XXH3_64bits(words, sizeof words);
  h = XXH3_64bits_withSeed(fp.st_space, sizeof fp.st_space, h);
  *out = XXH3_64bits_withSeed(fp.xmm_space, sizeof fp.xmm_space, h);
  return true;
}

void state_finish(StateReader *reader) {
  if (reader->pagemap) close(reader->pagemap - 1);
  free(reader->buffer);
  free(reader->regions);
  *reader = (StateReader){0};
}
