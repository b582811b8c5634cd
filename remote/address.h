/*
** "unix:PATH" and "tcp:HOST:PORT" as sockets. "verbs:HOST:PORT" has a socket of tcp:'s kind, too.
*/
#ifndef TENFOLD_REMOTE_ADDRESS_H
#define TENFOLD_REMOTE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/fault.h"
#include "base/stop.h"

/* The address that is meant; `passive`: to listen at. */
bool address_place(const char *at, bool passive, struct sockaddr_storage *out, Fault *fault);

/* A connected socket, with calls on it ending after 10 ms so that their callers can look around.
** -1 with a fault: FAULT_INVALID, FAULT_NOTFOUND, FAULT_IO. `deadline`: clock_now(). */
int address_connect(const char *at, int64_t deadline, Stop *stop, Fault *fault);

/* A listening socket, not blocking. A stale socket file of nobody's is replaced. */
int address_listen(const char *at, Fault *fault);

#endif
