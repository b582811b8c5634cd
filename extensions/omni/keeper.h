/*
** Starting the helper so that the host does not notice.
**
** A child that executes a file is a child like any other: the kernel sends SIGCHLD for it whatever
** clone() was told, and a waitpid(-1) of the host would meet it. Between host and helper therefore
** stands a keeper: a process without an exit signal that never executes anything. It shares the
** host's memory (so it costs nothing, and its code is there), has none of its descriptors, starts
** the helper, waits for it, and ends. When the host's end of the socket closes it gives the helper
** a moment to end by itself, and kills it after that.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_KEEPER_H
#define TENFOLD_EXTENSIONS_OMNI_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/fault.h"

typedef struct Keeper {
  pid_t pid;    /* of the keeper, to be waited for with __WCLONE */
  pid_t host;   /* who started it; children of a fork() have copies of the socket */
  int socket;   /* ours, to the helper */
  void *memory; /* the keeper's stack; in use until it has been waited for */
} Keeper;

/* `library` is the path of omni.so. Takes about 3 ms. */
bool keeper_start(const char *library, Keeper *out, Fault *fault);
/* Close the socket: the end of the helper begins. */
void keeper_leave(Keeper *keeper);
/* After that: true when keeper and helper are gone. `wait`: at most some 2 s. */
bool keeper_gone(Keeper *keeper, bool wait);

#endif
