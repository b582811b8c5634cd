/*
** The address space of a process as a list of ranges, kept up to date by the calls that change it.
** Recorder and replayer keep the same list, so that neither has to parse /proc at every event.
*/
#ifndef TENFOLD_REPLAY_MAPS_H
#define TENFOLD_REPLAY_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fault.h"

enum { PAGE = 4096 };

typedef struct MapRange {
  uint64_t start, end, offset;
  uint32_t prot, flags; /* PROT_*, MAP_SHARED or MAP_PRIVATE, MAP_GROWSDOWN */
  uint32_t file;        /* number of the file in the recording + 1; 0: anonymous */
  char *name;           /* path, "[stack]", "" */
} MapRange;

/* All zero is a valid, empty list. Sorted, without overlaps. */
typedef struct MapList {
  MapRange *ranges;
  size_t count, capacity;
  uint64_t brk; /* end of the heap, 0: not known yet */
} MapList;

/* The new range takes the place of what was there. The name is copied. */
bool maps_add(MapList *list, const MapRange *range, Fault *fault);
bool maps_remove(MapList *list, uint64_t start, uint64_t end, Fault *fault);
bool maps_protect(MapList *list, uint64_t start, uint64_t end, uint32_t prot, Fault *fault);
bool maps_move(MapList *list, uint64_t from, uint64_t old_size, uint64_t to, uint64_t new_size,
               bool keep, Fault *fault);
bool maps_copy(const MapList *from, MapList *to, Fault *fault);
/* The range that holds addr, or NULL. */
const MapRange *maps_find(const MapList *list, uint64_t addr);
void maps_finish(MapList *list);

/* What a finished call of the class CALL_MEMORY does to the list; others are ignored. `file` and
** `name` are for mmap. */
bool maps_apply(MapList *list, long nr, const uint64_t args[6], int64_t ret, uint32_t file,
                const char *name, Fault *fault);

/* From /proc/PID/maps; file numbers are 0, names are the paths. */
bool maps_read(pid_t pid, MapList *out, Fault *fault);

#endif
