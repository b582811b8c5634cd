/*
** Memory in far memory. Blocks of up to 64 KiB come from extents that are cut into blocks of one
** size; larger ones are extents in a row. A client takes some blocks at a time, so that most
** allocations cost no round. What it has taken and not used stands in its client's record, and is
** given back by who buries it; at most a block for each death is lost.
*/
#ifndef TENFOLD_REMOTE_ALLOC_H
#define TENFOLD_REMOTE_ALLOC_H

#include "remote/layout.h"

/* Memory of the two kinds never mixes: a bucket's place holds buckets for ever, so that whoever
** still believes in an old one finds a lock and a serial number there. */
typedef enum FarUse { FAR_USE_BYTES, FAR_USE_BUCKET } FarUse;

/* FAULT_FULL: there is none left. Contents are what they were. */
bool far_alloc(FarMemory *memory, uint64_t size, FarUse use, FarPointer *out, Stop *stop,
               Fault *fault);

/* Nothing points to it any more: it goes back with the next round. `size` as it was asked for. */
bool far_free(FarMemory *memory, FarPointer block, uint64_t size, FarUse use, Stop *stop,
              Fault *fault);

/* The bytes that an allocation of `size` takes. */
uint64_t far_alloc_room(uint64_t size);

/* For memory.c: operations that the next round has to begin with; they were done; the client
** leaves, and gives back what it has. */
size_t far_alloc_pending(FarMemory *memory, FarOp *out);
void far_alloc_told(FarMemory *memory);
void far_alloc_leave(FarMemory *memory);

/* For who makes a memory or buries a client. */
unsigned far_alloc_class(uint64_t size, FarUse use);
uint64_t far_alloc_size_of(unsigned class_number);

#endif
