/*
** Saying that clients of this process live: one thread, as long as there are connections to
** servers, says so on each of them, every third of the shortest lease. It never waits for anybody,
** gets no signals, and is not inherited by fork().
*/
#ifndef TENFOLD_REMOTE_ALIVE_H
#define TENFOLD_REMOTE_ALIVE_H

#include "remote/memory.h"

/* There is one connection more; one less, which is not ours any more when it was inherited. The
** last one ends the thread. */
bool far_alive_begin(Fault *fault);
void far_alive_end(void);

/* A lease was given: perhaps it is shorter than those before. */
void far_alive_again(void);

/* For fork.c: before and after, in the parent or in the child. */
void far_alive_fork(void);
void far_alive_forked(bool child);

#endif
