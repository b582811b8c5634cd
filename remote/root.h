/*
** What stands under the name of a vector, a queue or a histogram: a root that begins as a bucket
** does, in a place where buckets and roots alone stand, for ever. Whoever still believes in one
** that was dropped finds another owner there, or none.
*/
#ifndef TENFOLD_REMOTE_ROOT_H
#define TENFOLD_REMOTE_ROOT_H

#include "remote/layout.h"

/* What a kind is called in messages: "vector". */
const char *far_kind_name(uint64_t kind);

/* Reads the root of this name: `size` bytes. *out_at: 0 when there is none. FAULT_INVALID: what has
** the name is of another kind, or was made with another schema. Two rounds. */
bool far_root_find(FarMemory *memory, FarKind kind, const char *name, uint64_t schema, void *root,
                   size_t size, FarPointer *out_at, Stop *stop, Fault *fault);

/* A number that nothing else in the memory has. A round. */
bool far_root_serial(FarMemory *memory, uint64_t *out, Stop *stop, Fault *fault);

/* Adds a root with its head filled in: what it points to is there already. *out_at: 0 when somebody
** else was first. */
bool far_root_add(FarMemory *memory, FarKind kind, const char *name, uint64_t schema,
                  uint64_t serial, void *root, size_t size, FarPointer *out_at, Stop *stop,
                  Fault *fault);

/* The same serial as its owner: a guard, for the beginning of a round. */
FarOp far_root_there_op(FarPointer at, uint64_t serial);
bool far_root_gone(const FarMemory *memory, FarKind kind, const char *name, Fault *fault);

/* Nobody's from now on. The place is given back. */
bool far_root_drop(FarMemory *memory, FarPointer at, size_t size, Stop *stop, Fault *fault);

/* Writes the same `n` bytes `count` times, one behind the other: rounds of a MiB. */
bool far_fill(FarMemory *memory, FarPointer at, const void *bytes, size_t n, uint64_t count,
              Stop *stop, Fault *fault);

#endif
