/*
** The inside of a stage, shared by run.c (scripts) and statement.c (one statement).
*/
#ifndef TENFOLD_TEST_RUNNER_STAGE_H
#define TENFOLD_TEST_RUNNER_STAGE_H

#include <regex.h>
#include <sqlite3.h>
#include <stdbool.h>

#include "base/text.h"
#include "test/runner/residue.h"
#include "test/runner/run.h"

enum { MAX_CONNECTIONS = 4, MAX_LOADS = 16, MAX_MASKS = 8, NAME_SIZE = 64 };

struct Stage {
  Mode mode;
  const char *folder; /* of the extensions */
  bool raw;
  struct {
    char name[NAME_SIZE];
    sqlite3 *db;
  } connections[MAX_CONNECTIONS];
  int nconnections, current;
  char loads[MAX_LOADS][NAME_SIZE]; /* what every further connection loads as well */
  int nloads;
  char scratch[NAME_SIZE]; /* folder of the database file, "" when in memory */
  bool sort, header;
  regex_t masks[MAX_MASKS];
  int nmasks;
  int interrupt_after, progress_limit; /* ms, for the next statement; 0: none */
  int depth;                           /* of .read */
  bool starved;                        /* out of memory was answered */
  Text output, masked;
  Residue before;
};

/* Append `! CODE MESSAGE` and notice when it is for want of memory. */
void stage_error(Stage *stage, int code, const char *message);

/* Run one statement and print its rows or error. */
void stage_execute(Stage *stage, const char *sql, size_t length);

#endif
