/*
** A folder for a test's files, gone afterwards.
*/
#ifndef TENFOLD_TEST_REPLAY_SCRATCH_H
#define TENFOLD_TEST_REPLAY_SCRATCH_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline void scratch_make(char *out, size_t size) {
  const char *base = getenv("TMPDIR");
  snprintf(out, size, "%s/tenfold-XXXXXX", base && *base ? base : "/tmp");
  if (!mkdtemp(out)) abort();
}

static inline void scratch_write(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  if (!f || fputs(text, f) < 0 || fclose(f) != 0) abort();
}

static inline void scratch_remove(const char *dir) {
  char command[1024];
  snprintf(command, sizeof command, "chmod -R u+w '%s' && rm -rf '%s'", dir, dir);
  if (system(command) != 0) fprintf(stderr, "%s stays\n", dir);
}

#endif
