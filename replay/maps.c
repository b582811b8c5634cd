/*
** The list of mappings: see maps.h.
*/
#define _GNU_SOURCE
#include "replay/maps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/array.h"

static uint64_t page_up(uint64_t n) { return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1); }

/* Index of the first range that ends after addr. */
static size_t first_after(const MapList *list, uint64_t addr) {
  size_t low = 0, high = list->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (list->ranges[middle].end > addr) high = middle;
    if (list->ranges[middle].end <= addr) low = middle + 1;
  }
  return low;
}

static bool insert(MapList *list, size_t at, const MapRange *range, Fault *fault) {
  char *name = strdup(range->name ? range->name : "");
  if (!name || !array_grow(list->ranges, list->capacity, list->count + 1)) {
    free(name);
    return fault_oom(fault);
  }
  MapRange *place = list->ranges + at;
  memmove(place + 1, place, (list->count - at) * sizeof *place);
  *place = *range;
  place->name = name;
  list->count++;
  return true;
}

static void drop(MapList *list, size_t at) {
  free(list->ranges[at].name);
  list->count--;
  memmove(list->ranges + at, list->ranges + at + 1, (list->count - at) * sizeof *list->ranges);
}

/* Makes addr a border if it lies inside a range. */
static bool split(MapList *list, uint64_t addr, Fault *fault) {
  size_t i = first_after(list, addr);
  if (i == list->count || list->ranges[i].start >= addr) return true;
  MapRange upper = list->ranges[i];
  upper.offset += upper.file ? addr - upper.start : 0;
  upper.start = addr;
  if (!insert(list, i + 1, &upper, fault)) return false;
  list->ranges[i].end = addr;
  return true;
}

static bool isolate(MapList *list, uint64_t start, uint64_t end, Fault *fault) {
  return split(list, start, fault) && split(list, end, fault);
}

bool maps_remove(MapList *list, uint64_t start, uint64_t end, Fault *fault) {
  if (start >= end) return true;
  if (!isolate(list, start, end, fault)) return false;
  size_t i = first_after(list, start);
  while (i < list->count && list->ranges[i].start < end) drop(list, i);
  return true;
}

/* Two neighbours that are alike become one: heaps that grow stay one range. */
static void join(MapList *list, size_t i) {
  if (i + 1 >= list->count) return;
  MapRange *a = &list->ranges[i], *b = a + 1;
  if (a->end != b->start || a->prot != b->prot || a->flags != b->flags || a->file != b->file ||
      strcmp(a->name, b->name) != 0 || (a->file && a->offset + (a->end - a->start) != b->offset)) {
    return;
  }
  a->end = b->end;
  drop(list, i + 1);
}

bool maps_add(MapList *list, const MapRange *range, Fault *fault) {
  if (range->start >= range->end) return true;
  if (!maps_remove(list, range->start, range->end, fault)) return false;
  size_t i = first_after(list, range->start);
  if (!insert(list, i, range, fault)) return false;
  join(list, i);
  if (i > 0) join(list, i - 1);
  return true;
}

bool maps_protect(MapList *list, uint64_t start, uint64_t end, uint32_t prot, Fault *fault) {
  if (start >= end) return true;
  if (!isolate(list, start, end, fault)) return false;
  for (size_t i = first_after(list, start); i < list->count && list->ranges[i].start < end; i++) {
    list->ranges[i].prot = prot;
  }
  return true;
}

bool maps_move(MapList *list, uint64_t from, uint64_t old_size, uint64_t to, uint64_t new_size,
               bool keep, Fault *fault) {
  const MapRange *range = maps_find(list, from);
  if (!range) return true;
  MapRange moved = *range;
  moved.name = strdup(range->name);
  if (!moved.name) return fault_oom(fault);
  moved.offset += moved.file ? from - moved.start : 0;
  moved.start = to;
  moved.end = to + page_up(new_size);
  bool ok = keep || maps_remove(list, from, from + page_up(old_size), fault);
  ok = ok && maps_add(list, &moved, fault);
  free(moved.name);
  return ok;
}

bool maps_copy(const MapList *from, MapList *to, Fault *fault) {
  *to = (MapList){.brk = from->brk};
  for (size_t i = 0; i < from->count; i++) {
    if (!insert(to, to->count, &from->ranges[i], fault)) {
      maps_finish(to);
      return false;
    }
  }
  return true;
}

const MapRange *maps_find(const MapList *list, uint64_t addr) {
  size_t i = first_after(list, addr);
  return i < list->count && list->ranges[i].start <= addr ? &list->ranges[i] : NULL;
}

void maps_finish(MapList *list) {
  for (size_t i = 0; i < list->count; i++) free(list->ranges[i].name);
  free(list->ranges);
  *list = (MapList){0};
}

/* ---- calls */

static bool apply_mmap(MapList *list, const uint64_t args[6], int64_t ret, uint32_t file,
                       const char *name, Fault *fault) {
  uint32_t kind = (args[3] & MAP_TYPE) == MAP_PRIVATE ? MAP_PRIVATE : MAP_SHARED;
  MapRange range = {.start = (uint64_t)ret,
                    .end = (uint64_t)ret + page_up(args[1]),
                    .offset = file ? args[5] : 0,
                    .prot = (uint32_t)args[2] & (PROT_READ | PROT_WRITE | PROT_EXEC),
                    .flags = kind | ((uint32_t)args[3] & MAP_GROWSDOWN),
                    .file = file,
                    .name = (char *)(uintptr_t)name};
  return maps_add(list, &range, fault);
}

static bool apply_brk(MapList *list, uint64_t brk, Fault *fault) {
  uint64_t old = page_up(list->brk), now = page_up(brk);
  bool first = !list->brk;
  list->brk = brk;
  if (first || old == now) return true;
  if (now < old) return maps_remove(list, now, old, fault);
  char name[] = "[heap]";
  MapRange range = {
      .start = old, .end = now, .prot = PROT_READ | PROT_WRITE, .flags = MAP_PRIVATE, .name = name};
  return maps_add(list, &range, fault);
}

bool maps_apply(MapList *list, long nr, const uint64_t args[6], int64_t ret, uint32_t file,
                const char *name, Fault *fault) {
  if (ret < 0 && ret > -4096) return true;
  switch (nr) {
  case SYS_mmap:
    return apply_mmap(list, args, ret, file, name, fault);
  case SYS_munmap:
    return maps_remove(list, args[0], args[0] + page_up(args[1]), fault);
  case SYS_mprotect:
  case SYS_pkey_mprotect:
    return maps_protect(list, args[0], args[0] + page_up(args[1]),
                        (uint32_t)args[2] & (PROT_READ | PROT_WRITE | PROT_EXEC), fault);
  case SYS_mremap:
    if (!args[1]) return maps_move(list, args[0], 0, (uint64_t)ret, args[2], true, fault);
    return maps_move(list, args[0], args[1], (uint64_t)ret, args[2],
                     (args[3] & MREMAP_DONTUNMAP) != 0, fault);
  case SYS_brk:
    return apply_brk(list, (uint64_t)ret, fault);
  default:
    return true;
  }
}

/* ---- /proc */

static bool parse_line(char *line, MapList *out, Fault *fault) {
  unsigned long long start, end, offset;
  char mode[5];
  int name = 0;
  if (sscanf(line, "%llx-%llx %4s %llx %*x:%*x %*u %n", &start, &end, mode, &offset, &name) < 4) {
    return fault_set(fault, FAULT_CORRUPT, "/proc: a line of maps that makes no sense: %.80s",
                     line);
  }
  line[strcspn(line, "\n")] = '\0';
  MapRange range = {.start = start,
                    .end = end,
                    .offset = offset,
                    .prot = (mode[0] == 'r' ? PROT_READ : 0u) | (mode[1] == 'w' ? PROT_WRITE : 0u) |
                            (mode[2] == 'x' ? PROT_EXEC : 0u),
                    .flags = mode[3] == 's' ? MAP_SHARED : MAP_PRIVATE,
                    .name = line + name};
  if (strcmp(range.name, "[stack]") == 0) range.flags |= MAP_GROWSDOWN;
  return insert(out, out->count, &range, fault);
}

bool maps_read(pid_t pid, MapList *out, Fault *fault) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
  FILE *file = fopen(path, "re");
  if (!file) return fault_set(fault, FAULT_IO, "\"%s\": %s", path, strerror(errno));
  *out = (MapList){0};
  char *line = NULL;
  size_t room = 0;
  bool ok = true;
  while (ok && getline(&line, &room, file) > 0) ok = parse_line(line, out, fault);
  free(line);
  fclose(file);
  if (!ok) maps_finish(out);
  return ok;
}
