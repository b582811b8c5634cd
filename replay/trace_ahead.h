/*
** Blocks of a recording, loaded before they are asked for: while a program is played to the end of
** one block, a thread reads, checks and unpacks the next, on another CPU than the program's.
*/
#ifndef TENFOLD_REPLAY_TRACE_AHEAD_H
#define TENFOLD_REPLAY_TRACE_AHEAD_H

#include <sched.h>

#include "replay/trace_block.h"

typedef struct Ahead Ahead;

/* The list is borrowed, and must not change. `cpus`: where the thread may run; it is made when it
** has something to do. NULL: there is no memory for it. */
Ahead *ahead_create(const BlockList *list, const cpu_set_t *cpus);
void ahead_destroy(Ahead *ahead);

/* Loads block `number` some time soon, unless it is very large or there is none. */
void ahead_want(Ahead *ahead, size_t number);
/* That block takes the place of *block; waits when it is being loaded. False: it was not asked for,
** or could not be loaded: whoever needs it will see why. */
bool ahead_take(Ahead *ahead, size_t number, LoadedBlock *block);

/* From now on the cursor has the block behind its own loaded this way, until trace_close(): for who
** reads on and on, and does something else between two events. */
void trace_ahead(TraceCursor *cursor, const cpu_set_t *cpus);

#endif
