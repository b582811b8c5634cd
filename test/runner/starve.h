/*
** Running a case again and again, each time with another allocation refused.
*/
#ifndef TENFOLD_TEST_RUNNER_STARVE_H
#define TENFOLD_TEST_RUNNER_STARVE_H

#include "base/text.h"
#include "test/runner/fixture.h"

/* Few allocations: each is refused once. Many, or a slow case: a sample of them, spread evenly and
** drawn from the seed, that takes about two seconds. Adds what goes wrong to `why`; stops at the
** first number that does. */
void starve_case(const char *preamble, const char *script, const char *expected,
                 const FixtureOptions *options, Text *why);

#endif
