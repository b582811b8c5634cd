/*
** A server of far memory: what farmemd is, but for its options and signals. One thread; nothing is
** asked of the clients' good will.
*/
#ifndef TENFOLD_REMOTE_SERVER_H
#define TENFOLD_REMOTE_SERVER_H

#include "remote/far.h"

typedef struct FarServer FarServer;

typedef struct FarServerStats {
  uint64_t clients, accepted, refused; /* now; ever; those who did not know the secret, or spoke no
                                          protocol */
  uint64_t rounds, operations, bytes_in, bytes_out, buried;
} FarServerStats;

/* Serves a mapped memory (shm: or file:), which stays the caller's. `secret`: NULL for none. */
FarServer *far_server_open(FarMemory *memory, const char *secret, unsigned most_clients,
                           Fault *fault);
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
