/*
** What a case must not leave behind: memory, descriptors, threads, child processes, and text on
** standard output.
*/
#ifndef TENFOLD_TEST_RUNNER_RESIDUE_H
#define TENFOLD_TEST_RUNNER_RESIDUE_H

#include "base/text.h"

typedef struct Residue {
  int descriptors, threads;
  long long memory; /* sqlite3_memory_used() */
} Residue;

/* Move the process's standard output aside, so that what extensions write there can be seen.
** Returns a descriptor of the real one, or -1 with errno set. Call once, before all else. */
int residue_capture_stdout(void);

/* How things stand now. */
Residue residue_take(void);

/* Adds a line to `out` for everything that is more than it was. Waits up to a second for threads
** that have been joined to leave /proc. Clears what was written to standard output. */
void residue_compare(const Residue *before, Text *out);

/* Adds a line when memory of libc's allocator is unreachable. Only where the program is built
** with a leak checker; some 10 ms. */
void residue_leaks(Text *out);

#endif
