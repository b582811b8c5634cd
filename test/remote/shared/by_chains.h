/*
** Shared memory whose rounds are done as by verbs: as chains of works (remote/chain.h), between any
** two of which other processes do theirs. What a server does in one piece falls to pieces here.
*/
#ifndef TENFOLD_TEST_BY_CHAINS_H
#define TENFOLD_TEST_BY_CHAINS_H

#include "remote/memory.h"

/* From now on, for a memory that is open as shm: or file:. Of its works one in `seldom` is late by
** up to `late_us`. far_injection()'s `dies` counts works here. Ended by far_close(). */
void by_chains(FarMemory *memory, uint64_t seed, unsigned seldom, unsigned late_us);

/* Called once, before the next work that writes (and is no change of a word) is done. */
void by_chains_before_write(FarMemory *memory, void (*then)(void));

#endif
