/*
** Operations, done to memory that is mapped here: by a client of shared memory, or by a server.
*/
#ifndef TENFOLD_REMOTE_EXECUTE_H
#define TENFOLD_REMOTE_EXECUTE_H

#include <stdatomic.h>

#include "remote/layout.h"

typedef struct FarMapped {
  unsigned char *base; /* aligned to a page */
  uint64_t size;
  unsigned region;
} FarMapped;

/* Does them in their order, beginning with *skip (set when a guard does not hold). False: an
** operation was wrong in itself, the fault names it; the ones before it are done. */
bool far_execute(const FarMapped *memory, FarOp *ops, size_t n, bool *skip, Fault *fault);

/* Words of a mapped memory. `at` has been checked. */
static inline _Atomic uint64_t *far_word(const FarMapped *memory, uint64_t at) {
  return (_Atomic uint64_t *)(void *)(memory->base + at);
}

#endif
