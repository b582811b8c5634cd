/*
** The functions of a loaded library, as its .eh_frame says.
*/
#ifndef TENFOLD_TEST_REPLAY_LOADED_H
#define TENFOLD_TEST_REPLAY_LOADED_H

#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "replay/probe.h"

typedef struct Functions {
  const char *library; /* part of its path */
  ProbeFunction *all;
  size_t count;
  uint64_t text; /* an address of its code */
} Functions;

static inline int32_t functions_i32(const uint8_t *at) {
  int32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

/* The header's table: sorted pairs of distances to a function and to its FDE, whose third and
** fourth words are where it begins and how long it is. */
static inline int functions_found(struct dl_phdr_info *info, size_t size, void *ctx) {
  Functions *functions = ctx;
  (void)size;
  if (!strstr(info->dlpi_name, functions->library)) return 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    if (info->dlpi_phdr[i].p_type != PT_GNU_EH_FRAME) continue;
    const uint8_t *header =
        (const uint8_t *)(uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    if (header[2] != 3 || header[3] != 0x3b) return 0;
    functions->count = (size_t)functions_i32(header + 8);
    functions->all = calloc(functions->count + 1, sizeof *functions->all);
    for (size_t k = 0; k < functions->count; k++) {
      const uint8_t *fde = header + functions_i32(header + 12 + 8 * k + 4);
      uint64_t lo = (uint64_t)(uintptr_t)(fde + 8) + (uint64_t)(int64_t)functions_i32(fde + 8);
      uint64_t hi = lo + (uint32_t)functions_i32(fde + 12);
      functions->all[k] = (ProbeFunction){.file = PROBE_NO_FILE, .nparts = 1, .parts = {{lo, hi}}};
      functions->text = lo;
    }
    return 1;
  }
  return 0;
}

static inline Functions functions_of(const char *library) {
  Functions functions = {.library = library};
  dl_iterate_phdr(functions_found, &functions);
  return functions;
}

#endif
