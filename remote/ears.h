/*
** A thread of a server that waits for what others write who have its memory mapped: it makes a file
** descriptor readable whenever something that is watched may have changed.
*/
#ifndef TENFOLD_REMOTE_EARS_H
#define TENFOLD_REMOTE_EARS_H

#include "remote/board.h"

typedef struct FarEars FarEars;

/* Hears nothing until it is told what to listen to. NULL: the system refuses. */
FarEars *far_ears_open(const FarMapped *memory);
void far_ears_close(FarEars *ears);

int far_ears_event(const FarEars *ears); /* readable */
void far_ears_clear(FarEars *ears);      /* not any more */
/* The slots of the board to listen to, from now on. */
void far_ears_listen(FarEars *ears, const uint64_t set[FAR_BOARD / 64]);

#endif
