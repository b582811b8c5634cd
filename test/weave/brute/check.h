/*
** One case put to the extension, and its answers held against the oracle's.
*/
#ifndef TENFOLD_TEST_WEAVE_CHECK_H
#define TENFOLD_TEST_WEAVE_CHECK_H

#include "test/weave/brute/oracle.h"

typedef enum Verdict {
  CASE_OPTIMAL,
  CASE_INFEASIBLE,
  CASE_REFUSED,
  CASE_WRONG,
  CASE_VERDICTS
} Verdict;

typedef struct Check {
  const Case *c;
  Oracle oracle;
  sqlite3 *db;   /* with the extension */
  char *message; /* what is wrong, or why it was refused */
  int start;     /* the assignment that was reported */
  uint64_t random;
} Check;

/* *message: what is wrong or refused, NULL otherwise; sqlite3_free it. */
Verdict check_case(const Case *c, const char *extension, char **message);

/* Sets the message. Returns false. */
bool check_wrong(Check *check, const char *format, ...);

/* explain.c: what the extension says about clashes and about one value. */
bool check_explain(Check *check);
bool check_whynot(Check *check);

#endif
