/*
** Words in far memory that have a name: counters, mutexes and barriers (the paper's section 5). Who
** has to wait watches the word (watch.h).
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

/* Locks a mutex for this client, waiting so long for others. A round when nobody has it; else one
** more when it is told that the mutex is free. Looks now and then whether its holder has died.
** FAULT_BUSY when this client has it already. */
bool far_mutex_lock(FarMemory *memory, FarPointer word, int64_t wait_ns, FarLocked *out, Stop *stop,
                    Fault *fault);
/* FAULT_DENIED when this client does not hold it. */
bool far_mutex_unlock(FarMemory *memory, FarPointer word, Stop *stop, Fault *fault);

enum { FAR_PARTIES = 1000000 };

/* Waits until all `parties` have come here, as often as one likes: a word that counts those who
** come, and a barrier opens at each multiple of `parties`, on which all have to agree. A round for
** the last one to come, and being told for the others. *out_passed is false when not all came in
** time: then it is as if this one had not come (two rounds or more), also after FAULT_INTERRUPT.
** Who died while he waited, or whose connection was lost, counts as come. */
bool far_barrier(FarMemory *memory, FarPointer word, int64_t parties, int64_t wait_ns,
                 bool *out_passed, Stop *stop, Fault *fault);

#endif
