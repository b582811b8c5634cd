/*
** Watches from inside: what is watched, and what the watcher knows of it. A client has a set of
** them, and a server one for each client that is connected to it; whoever has the memory mapped
** looks at it, woken by the notice board.
*/
#ifndef TENFOLD_REMOTE_LOOKS_H
#define TENFOLD_REMOTE_LOOKS_H

#include "remote/board.h"
#include "remote/watch.h"

typedef struct FarLook {
  uint64_t id; /* of the watch: the client's number */
  FarWatch what;
  uint64_t known; /* the state that the watcher knows: see far_look_state() */

  /* A client's: what is to be told. */
  unsigned due;   /* so many notices (1, but for tests) … */
  int64_t due_at; /* … and not before this (0, but for tests) */
  bool gap;
  uint64_t word;
  unsigned char *data; /* of FAR_CHANGED_DATA: malloc'ed */

  /* A server's. */
  bool differs; /* from what is known: to be told */
  bool sent;    /* told, but the client has not said that it heard so */
  bool again;   /* to be told in any case */
} FarLook;

typedef struct FarLooks {
  FarLook *list;
  size_t count, capacity;
  /* Of a mapped memory: the slots of the board that they need. */
  uint64_t set[FAR_BOARD / 64];
  uint32_t users[FAR_BOARD]; /* looks that need it */
  uint32_t seen[FAR_BOARD];  /* its count of changes when it was last looked at */
} FarLooks;

/* NULL, or what is wrong with a watch on a memory of this region and size. */
const char *far_watch_fault(const FarWatch *watch, unsigned region, uint64_t size);

/* The state of a range or word, as far as the watch goes: a word that is watched for changes
** itself, a hash of a longer range, 1 when a word is what is waited for and 0 when not. */
uint64_t far_look_state(const FarWatch *watch, const void *bytes);
/* The same in mapped memory; the bytes that were looked at go to `copy` when it is not NULL. */
uint64_t far_look(const FarMapped *memory, const FarWatch *watch, void *copy);
/* Whether this state has to be told. */
bool far_look_differs(FarLook *look, uint64_t state);

/* Copies the look, whose data are the set's from then on. NULL: no memory. Pointers to others are
** not valid any more. */
FarLook *far_looks_add(FarLooks *looks, const FarLook *look);
FarLook *far_looks_get(const FarLooks *looks, uint64_t id); /* NULL: there is none */
void far_looks_remove(FarLooks *looks, FarLook *look);
void far_looks_finish(FarLooks *looks);

/* In mapped memory: `client` watches what this look needs, and will look at it the next time; or,
** before it is removed, does not need it any more. */
void far_looks_pin(FarLooks *looks, const FarMapped *memory, FarClient *client,
                   const FarLook *look);
void far_looks_unpin(FarLooks *looks, const FarMapped *memory, FarClient *client,
                     const FarLook *look);

/* Looks at what may have changed since the last time, or at everything, and calls `differ` for
** each look whose state has to be told. */
typedef void FarDiffer(void *ctx, FarLook *look);
void far_looks_check(FarLooks *looks, const FarMapped *memory, bool everything, FarDiffer *differ,
                     void *ctx);

#endif
