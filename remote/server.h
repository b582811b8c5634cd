/*
** A server of far memory: what farmemd is, but for its options and signals. One thread; nothing is
** asked of the clients' good will.
**
** A client has a *lease*: of whom nothing was heard for so long, or who does not take his answers,
** or does not prove that he knows the secret, is given up, and buried. The client library says that
** it lives every third of it, in a thread of its own (alive.c). So a client that was stopped with
** its connection open keeps its locks for a lease, and what it says afterwards is not heard.
*/
#ifndef TENFOLD_REMOTE_SERVER_H
#define TENFOLD_REMOTE_SERVER_H

#include "remote/far.h"

typedef struct FarServer FarServer;

typedef struct FarServerStats {
  uint64_t clients, accepted, refused; /* now; ever; those who did not know the secret, or spoke no
                                          protocol */
  uint64_t rounds, operations, bytes_in, bytes_out, buried;
  uint64_t silent, notices;          /* clients whose leases ended; notices that were sent */
  uint64_t watches;                  /* now */
  uint64_t memory_size, memory_used; /* bytes; used: in extents (layout.h), or before the first */
} FarServerStats;

enum { FAR_USUAL_LEASE = 2000 }; /* ms */

typedef struct FarServerOptions {
  const char *secret;    /* that clients have to know; NULL: none */
  unsigned most_clients; /* 0: as many as a memory has room for */
  int64_t lease_ns;      /* 0: FAR_USUAL_LEASE; negative: nobody is given up */
  int64_t spin_ns;       /* after a request the next one is waited for so long awake; 0: asleep */
} FarServerOptions;

/* Serves a mapped memory (shm: or file:), which stays the caller's. `options`: NULL for none. */
FarServer *far_server_open(FarMemory *memory, const FarServerOptions *options, Fault *fault);
bool far_server_listen(FarServer *server, const char *at, Fault *fault);

/* Listens at "verbs:HOST:PORT" (verbs.h), for clients by tcp: as well: once. All of the memory is
** pinned, and no other program may map it. */
bool far_server_listen_verbs(FarServer *server, const char *at, Fault *fault);

/* Serves until something comes in on `wake` (a file descriptor, -1: none). False: it cannot go on.
** `log`, when not NULL, is told a line for each client that comes, goes, or is sent away. */
bool far_server_run(FarServer *server, int wake, void (*log)(const char *line), Fault *fault);

void far_server_stats(const FarServer *server, FarServerStats *out);
void far_server_close(FarServer *server);

#endif
