/*
** Waiting for an answer that comes soon. Over loopback or a quick network, to be put to sleep and
** woken takes as long as the answer itself; so who waits asks again and again for a while first.
*/
#ifndef TENFOLD_REMOTE_SPIN_H
#define TENFOLD_REMOTE_SPIN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct Spin { /* of a connection; all 0: nothing is known about it */
  unsigned misses;    /* times in a row that nothing came while it was asked for */
  unsigned rest;      /* so often it is waited for asleep, before that is tried again */
} Spin;

/* Only one processor may be used: who waits awake keeps the other side from answering. */
bool spin_alone(void);

/* recv(fd, bytes, length, 0) on a socket that blocks. Asks for at most 50 us before it sleeps, and
** does so the less often the more often in vain; never where there is one processor. */
ssize_t spin_recv(Spin *spin, int fd, void *bytes, size_t length);

#endif
