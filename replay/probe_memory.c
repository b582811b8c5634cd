/*
** Memory of ours inside the program.
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

#include "base/array.h"
#include "replay/probe_inner.h"

#define REACH (((uint64_t)1 << 31) - ((uint64_t)192 << 20))

/* A call in the program's name that must succeed. */
static bool must(Tracee *tracee, const char *what, long nr, const uint64_t args[6], int64_t *out,
                 Fault *fault) {
  int64_t ret;
  if (!tracee_syscall(tracee, nr, args, &ret, fault)) return false;
  if (ret < 0 && ret > -4096) {
    return fault_set(fault, FAULT_IO, "probe: %s in the program: %s", what, strerror((int)-ret));
  }
  if (out) *out = ret;
  return true;
}

static bool map_anonymous(Tracee *tracee, uint64_t addr, uint64_t size, int prot, Fault *fault) {
  const uint64_t args[6] = {addr,           size,
                            (uint64_t)prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                            (uint64_t)-1,   0};
  return must(tracee, "mmap", SYS_mmap, args, NULL, fault);
}

static bool region_add(Probes *probes, const Region *region, Fault *fault) {
  if (!array_grow(probes->regions, probes->regions_capacity, probes->nregions + 1)) {
    return fault_oom(fault);
  }
  probes->regions[probes->nregions++] = *region;
  return true;
}

/* The descriptor is opened by way of ours in /proc; the path is put into the words' own page. */
bool memory_map_fd(Probes *probes, Tracee *tracee, int fd, uint64_t addr, uint64_t size,
                   uint64_t offset, Fault *fault) {
  char path[64];
  const uint64_t scratch = probes->low + (uint64_t)LOW_PAGES * LOW_PAGE;
  int length = snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), fd);
  int64_t opened;
  if (!space_write(probes->space, (RemoteAddr){scratch}, path, (size_t)length + 1, fault))
    return false;
  const uint64_t open_args[6] = {(uint64_t)AT_FDCWD, scratch, O_RDWR, 0};
  if (!must(tracee, "openat", SYS_openat, open_args, &opened, fault)) return false;
  const uint64_t map_args[6] = {
      addr,  size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, (uint64_t)opened,
      offset};
  bool ok = must(tracee, "mmap", SYS_mmap, map_args, NULL, fault);
  const uint64_t close_args[6] = {(uint64_t)opened};
  return must(tracee, "close", SYS_close, close_args, NULL, fault) && ok;
}

static bool words_region(Probes *probes, Tracee *tracee, uint64_t size, Fault *fault) {
  Region region = {.size = size};
  if (!probes->place(probes->place_ctx, 0x10000, (uint64_t)INT32_MAX - 4096, size, &region.start)) {
    return fault_set(fault, FAULT_UNSUPPORTED, "probe: no room below 2 GiB for %llu bytes",
                     (unsigned long long)size);
  }
  return map_anonymous(tracee, region.start, size, PROT_READ | PROT_WRITE, fault) &&
         region_add(probes, &region, fault);
}

bool memory_words(Probes *probes, Tracee *tracee, size_t count, uint64_t *out, Fault *fault) {
  const uint64_t size = count * sizeof(uint64_t);
  for (size_t i = 0; i < probes->nregions; i++) {
    Region *region = &probes->regions[i];
    if (region->is_code || region->size - region->used < size) continue;
    *out = region->start + region->used;
    region->used += size;
    return true;
  }
  uint64_t rounded = (size + 0xffff) & ~(uint64_t)0xffff;
  return words_region(probes, tracee, rounded, fault) &&
         memory_words(probes, tracee, count, out, fault);
}

static bool reaches(uint64_t start, uint64_t end, uint64_t region, uint64_t size) {
  return (region < end ? end - region : region - end) < REACH &&
         (region + size > start ? region + size - start : start - region - size) < REACH;
}

bool memory_code(Probes *probes, Tracee *tracee, uint64_t start, uint64_t end, Region **out,
                 Fault *fault) {
  for (size_t i = 0; i < probes->nregions; i++) {
    Region *region = &probes->regions[i];
    if (region->is_code && region->size - region->used >= CODE_LONGEST &&
        reaches(start, end, region->start, region->size)) {
      *out = region;
      return true;
    }
  }
  Region region = {.size = REGION_BYTES, .is_code = true};
  const uint64_t low = end > REACH ? end - REACH : 0x10000;
  if (!probes->place(probes->place_ctx, low, start + REACH, region.size, &region.start)) {
    return fault_set(fault, FAULT_UNSUPPORTED, "probe: no room for stubs within 2 GiB of 0x%llx",
                     (unsigned long long)start);
  }
  if (!map_anonymous(tracee, region.start, region.size, PROT_READ | PROT_EXEC, fault)) return false;
  region.bytes = calloc(1, REGION_BYTES);
  if (!region.bytes || !region_add(probes, &region, fault)) {
    free(region.bytes);
    return fault_oom(fault);
  }
  *out = &probes->regions[probes->nregions - 1];
  return true;
}

bool memory_flush(Probes *probes, Fault *fault) {
  for (size_t i = 0; i < probes->nregions; i++) {
    Region *region = &probes->regions[i];
    if (!region->is_code || region->used == region->flushed) continue;
    if (!space_write(probes->space, (RemoteAddr){region->start + region->flushed},
                     region->bytes + region->flushed, region->used - region->flushed, fault)) {
      return false;
    }
    region->flushed = region->used;
  }
  return true;
}

bool memory_setup(Probes *probes, Tracee *tracee, Fault *fault) {
  const uint64_t size = (LOW_PAGES + 16) * (uint64_t)LOW_PAGE;
  if (!words_region(probes, tracee, size, fault)) return false;
  Region *region = &probes->regions[0];
  probes->low = region->start;
  region->used = (uint64_t)(LOW_PAGES + 1) * LOW_PAGE; /* one page of scratch */
  return memory_map_fd(probes, tracee, probes->words_fd, probes->low, LOW_PAGE, 0, fault);
}

bool memory_unmap(Probes *probes, Tracee *tracee, Fault *fault) {
  bool ok = true;
  for (size_t i = 0; i < probes->nregions; i++) {
    const uint64_t args[6] = {probes->regions[i].start, probes->regions[i].size};
    ok = must(tracee, "munmap", SYS_munmap, args, NULL, fault) && ok;
  }
  for (size_t i = 0; i < probes->nsets; i++) {
    const uint64_t args[6] = {probes->sets[i].file.base, WINDOW_SPAN};
    ok = must(tracee, "munmap", SYS_munmap, args, NULL, fault) && ok;
  }
  return ok;
}
