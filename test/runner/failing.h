/*
** An allocator that can be told to refuse one request.
**
** Linked into a program, failing.c takes the place of libc's malloc, calloc and realloc for the
** whole process: SQLite (whose allocator calls them), loaded extensions, engines and the libraries
** those use. Nothing is counted or refused while paused, which is how a program starts.
*/
#ifndef TENFOLD_TEST_RUNNER_FAILING_H
#define TENFOLD_TEST_RUNNER_FAILING_H

#include <stdbool.h>

/* Start counting from 1 and refuse the request of that number, once; 0 refuses none. Paused. */
void failing_start(long refuse);

/* Between these, requests count. Any thread's requests do. Disabled (the default), resume does
** nothing. */
void failing_enable(bool enabled);
void failing_resume(void);
void failing_pause(void);

/* Requests counted since failing_start; whether the one to refuse came and was refused. */
long failing_count(void);
bool failing_refused(void);

#endif
