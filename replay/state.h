/*
** A number for the whole state of a process: what recording and replay compare.
**
** Every private page that the process has written counts with its address, all-zero pages count
** nothing (so it does not matter what has been touched and how ranges are split); besides them the
** registers of one thread, integer and floating point. Shared mappings of files do not count.
*/
#ifndef TENFOLD_REPLAY_STATE_H
#define TENFOLD_REPLAY_STATE_H

#include "replay/maps.h"
#include "replay/tracee.h"

/* One address space between two hashes. All zero is valid. */
typedef struct StateReader {
  int pagemap; /* /proc/PID/pagemap + 1, 0: not open yet */
  pid_t pid;
  uint8_t *buffer;
  struct StateRegion *regions;
  size_t capacity;
} StateReader;

typedef struct StateRange {
  uint64_t addr, size;
} StateRange;

/* What of a page is our doing: called for each that may count, with what was read of it. Puts the
** program's bytes back; false: the program has not written it, we have. (NULL: nothing is.)
** Bytes that are unsure count as zero, and their pages whether they have been written or not. */
typedef struct StateView {
  bool (*page)(void *ctx, uint64_t addr, uint8_t *bytes);
  void *ctx;
  const StateRange *unsure;
  size_t nunsure;
} StateView;

/* The private pages that have been written (and more, but none of files), lowest first; valid until
** the next call with this reader. Neighbouring pages may be in ranges of their own. */
typedef struct StateRegion {
  uint64_t start, end, categories;
} StateRegion;

typedef struct StatePages {
  const StateRegion *list;
  size_t count;
} StatePages;

bool state_pages(StateReader *reader, Space *space, const MapList *maps, StatePages *out,
                 Fault *fault);

/* Cost: about 1 ms for 4 MB written pages. `view` may be NULL. */
bool state_memory(StateReader *reader, Space *space, const MapList *maps, const StateView *view,
                  uint64_t *out, Fault *fault);
/* Of a thread in a stop. rcx, r11 and orig_rax are left out: the kernel's business. */
bool state_registers(Tracee *tracee, uint64_t *out, Fault *fault);
void state_finish(StateReader *reader);

#endif
