/*
** When to stop: a deadline, and somebody to ask.
**
** Long work polls stop_now() every few milliseconds. The asking thread may differ from the
** working one: stop_request() is safe from any thread.
*/
#ifndef TENFOLD_BASE_STOP_H
#define TENFOLD_BASE_STOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Stop {
  int64_t deadline;         /* clock_now() value in ns; 0: none */
  bool (*asked)(void *ctx); /* NULL: nobody to ask. Called on the polling thread */
  void *ctx;
  atomic_bool requested; /* set by stop_request(), or once `asked` said yes */
} Stop;

/* Monotonic time in ns. Costs about 25 ns. */
int64_t clock_now(void);

/* True when the work must end now, for whatever reason. NULL never stops. */
bool stop_now(Stop *stop);

/* True when somebody asked (rather than a deadline that passed). */
bool stop_asked(Stop *stop);

/* Ask the work to end, from any thread. */
void stop_request(Stop *stop);

/* Seconds until the deadline: infinity without one, never below 0. */
double stop_seconds_left(const Stop *stop);

#endif
