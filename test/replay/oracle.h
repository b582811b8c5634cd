/*
** Another program's word: what readelf, objdump, nm or gdb print, line by line.
*/
#ifndef TENFOLD_TEST_REPLAY_ORACLE_H
#define TENFOLD_TEST_REPLAY_ORACLE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static inline void oracle_die(const char *what, const char *why) {
  printf("Bail out! %s: %s\n", what, why);
  fflush(stdout);
  abort();
}

static inline FILE *oracle_open(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline FILE *oracle_open(const char *format, ...) {
  char command[8192];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(command, sizeof command, format, args);
  va_end(args);
  if (length < 0 || (size_t)length >= sizeof command) oracle_die("a command", "too long");
  fflush(stdout);
  FILE *out = popen(command, "r");
  if (!out) oracle_die(command, "cannot be run");
  return out;
}

static inline void oracle_close(FILE *oracle) {
  if (pclose(oracle) != 0) oracle_die("the oracle", "ended with an error");
}

#endif
