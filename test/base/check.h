/*
** TAP for unit tests: one line per check, the plan at the end.
*/
#ifndef TENFOLD_TEST_BASE_CHECK_H
#define TENFOLD_TEST_BASE_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int checks_done, checks_failed;

static inline void check(bool ok, const char *what) {
  printf("%sok %d - %s\n", ok ? "" : "not ", ++checks_done, what);
  checks_failed += !ok;
}

static inline void check_text(const char *actual, const char *expected, const char *what) {
  bool same = actual && expected ? strcmp(actual, expected) == 0 : actual == expected;
  check(same, what);
  if (!same) printf("# is <%s>, should be <%s>\n", actual, expected);
}

static inline int checks_end(void) {
  printf("1..%d\n", checks_done);
  return checks_failed || !checks_done;
}

#endif
