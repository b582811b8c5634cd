/*
** Operations, done to memory that is mapped here: by a client of shared memory, or by a server.
*/
#ifndef TENFOLD_REMOTE_EXECUTE_H
#define TENFOLD_REMOTE_EXECUTE_H

#include <stdatomic.h>

#include "remote/layout.h"

/* Who changes the words of a memory (CAS, ADD) when this processor must not: a network card that
** does not keep it out (verbs.h). `op` comes out as from far_execute(). */
typedef struct FarWords {
  bool (*change)(void *ctx, FarOp *op, Fault *fault);
  void *ctx;
} FarWords;

typedef struct FarMapped {
  unsigned char *base; /* aligned to a page */
  uint64_t size;
  unsigned region;
  const FarWords *words; /* NULL: this processor does */
  FarBoard *board;       /* where watchers are told (board.h); NULL: there are none */
} FarMapped;

/* Does them in their order, beginning with *skip (set when a guard does not hold). False: an
** operation was wrong in itself, the fault names it; the ones before it are done. */
bool far_execute(const FarMapped *memory, FarOp *ops, size_t n, bool *skip, Fault *fault);

/* Changes a word that others change at the same time: CAS or ADD, at an offset that has been
** checked. False: the card does not answer. */
bool far_change(const FarMapped *memory, FarOp *op, Fault *fault);

/* Words of a mapped memory. `at` has been checked. */
static inline _Atomic uint64_t *far_word(const FarMapped *memory, uint64_t at) {
  return (_Atomic uint64_t *)(void *)(memory->base + at);
}

#endif
