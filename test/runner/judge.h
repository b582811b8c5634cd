/*
** Comparing what came with what should.
*/
#ifndef TENFOLD_TEST_RUNNER_JUDGE_H
#define TENFOLD_TEST_RUNNER_JUDGE_H

#include "base/text.h"

/* Adds the lines around the first difference to `why`, nothing when equal. */
void judge_equal(const char *expected, const char *actual, Text *why);

/* The same for a run in which memory was refused once: it may have ended early, with `starved` and
** "out of memory" as its last line, and what came before must be as expected. An error whose
** message was lost for want of memory may stand as SQLite's generic text for its code. */
void judge_starved(const char *expected, const char *actual, bool starved, Text *why);

#endif
