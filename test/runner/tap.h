/*
** Test Anything Protocol: numbered results on the real standard output.
*/
#ifndef TENFOLD_TEST_RUNNER_TAP_H
#define TENFOLD_TEST_RUNNER_TAP_H

#include <stdbool.h>

/* Results go to this descriptor. Also installs handlers that report a crash, or a case that ran
** for over five minutes, as the failure of the case that is running. */
void tap_start(int descriptor);

/* The name of what runs now, for the handlers (NULL: as before); `step` counts the repetitions
** within a case. */
void tap_running(const char *name, long step);

/* One result. The lines of `why` (NULL or "": none) follow it as comments. */
void tap_result(bool ok, const char *name, const char *why);

/* The plan. Returns the exit status: 0 when all was well and there was something to run. */
int tap_end(void);

#endif
