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

/* Where what is read goes, one behind the other: each begins at a multiple of 8. There is room for
** all that might come. */
typedef struct FarTray {
  unsigned char *at; /* the next one's; moves on */
  uint32_t before;   /* bytes in front of each operation, whether it reads or not */
} FarTray;

static inline uint32_t far_op_came(const FarOp *op);

/* Behind an operation. */
static inline void far_tray_move(FarTray *tray, const FarOp *op) {
  if (tray) tray->at += tray->before + (far_op_came(op) + 7) / 8 * 8;
}

/* The same, and the operations' `local` is where on the tray what they read has come to be. */
bool far_execute_onto(const FarMapped *memory, FarOp *ops, size_t n, FarTray *tray, bool *skip,
                      Fault *fault);

static inline bool far_op_searches(const FarOp *op) {
  return op->code == FAR_FIND || op->code == FAR_RANGE;
}

/* Whether something comes into `local`; and after it was done, how much has. */
static inline bool far_op_reads(const FarOp *op) {
  return op->code == FAR_READ || (op->code >= FAR_LOAD0 && op->code <= FAR_LOAD2) ||
         op->code == FAR_FAAI || far_op_searches(op);
}
static inline uint32_t far_op_came(const FarOp *op) {
  if (op->status == FAR_ELSEWHERE) return (uint32_t)op->index;
  if (op->status != FAR_DONE || !far_op_reads(op)) return 0;
  return far_op_searches(op) ? (uint32_t)op->index : op->length;
}

/* FINDs of one search, up to a guard that does not hold, or one that is wrong in itself: false.
** *out_did: how many, with that one. `tray`: NULL, or where they go (find.c). */
bool far_find(const FarMapped *memory, FarOp *ops, size_t n, FarTray *tray, size_t *out_did,
              Fault *fault);

bool far_range(const FarMapped *memory, FarOp *op, Fault *fault);

/* Of an operation that is wrong in itself; and whether there is such a range. */
bool far_op_wrong(Fault *fault, const FarOp *op, const char *what);
static inline bool far_inside(const FarMapped *memory, FarPointer at, uint64_t length) {
  const uint64_t offset = far_offset(at);
  return far_region(at) == memory->region && offset <= memory->size &&
         length <= memory->size - offset;
}

/* Changes a word that others change at the same time: CAS or ADD, at an offset that has been
** checked. False: the card does not answer. */
bool far_change(const FarMapped *memory, FarOp *op, Fault *fault);

/* Words of a mapped memory. `at` has been checked. */
static inline _Atomic uint64_t *far_word(const FarMapped *memory, uint64_t at) {
  return (_Atomic uint64_t *)(void *)(memory->base + at);
}

#endif
