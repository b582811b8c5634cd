/*
** Words in far memory that have a name: counters and mutexes (the paper's sections 5.1 and 5.2).
*/
#ifndef TENFOLD_REMOTE_WORD_H
#define TENFOLD_REMOTE_WORD_H

#include "remote/layout.h"

/* The word of this name, made (as 0) when there is none: two rounds, four when it is made. A word
** keeps its place for ever, also when its name is dropped. */
bool far_word_open(FarMemory *memory, const char *name, FarPointer *out, Stop *stop, Fault *fault);

/* Adds, and tells what it is then: a round. */
bool far_word_add(FarMemory *memory, FarPointer word, int64_t n, int64_t *out, Stop *stop,
                  Fault *fault);

typedef enum FarLocked {
  FAR_NOT_LOCKED, /* somebody else held it all the time */
  FAR_LOCKED,
  FAR_LOCKED_RECOVERED /* who held it before died: what it guards may be half done */
} FarLocked;

/* Locks a mutex for this client, waiting so long for others. A round when nobody has it.
** FAULT_BUSY when this client has it already. */
bool far_mutex_lock(FarMemory *memory, FarPointer word, int64_t wait_ns, FarLocked *out, Stop *stop,
                    Fault *fault);
/* FAULT_DENIED when this client does not hold it. */
bool far_mutex_unlock(FarMemory *memory, FarPointer word, Stop *stop, Fault *fault);

#endif
