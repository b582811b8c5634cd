/*
** Writes of a user's, and a plain model of what rules do to them.
*/
#ifndef TENFOLD_TEST_MULTIVERSE_WRITES_H
#define TENFOLD_TEST_MULTIVERSE_WRITES_H

#include <sqlite3.h>

#include "test/multiverse/shared/world.h"

/* ---- changes.c */

typedef enum Kind { KIND_INSERT, KIND_UPDATE, KIND_DELETE } Kind;

enum { MOST_ROWS = 3, MOST_SET = 2, VALUE = 24 };

typedef struct Change { /* a statement */
  Kind kind;
  int table;
  const char *conflict; /* "", "IGNORE", … */
  int nrows, ncols;     /* insert: the first columns of the table, given for each row */
  char values[MOST_ROWS][NCOLS][VALUE];
  int nset, set[MOST_SET]; /* update */
  char given[MOST_SET][VALUE];
  char where[64]; /* empty: all rows */
} Change;

void choose_change(Change *out);
void write_change(Words *out, const Change *change);
/* A write of somebody who is in no universe: any table, and memberships. */
void write_admin(Words *out);

/* ---- model.c */

typedef struct Verdict {
  int rc; /* SQLITE_OK, _CONSTRAINT, _AUTH; _MISMATCH stands for any other */
  int changes;
} Verdict;

/* The tables that the model needs beside those of the world. */
void model_prepare(sqlite3 *model);
/* Does what the user may do of it. */
Verdict model_apply(sqlite3 *model, const Change *change, const User *user);

/* ---- elsewhere.c */

void elsewhere_begin(void);                           /* before SQLite is used */
int elsewhere_run(const char *path, const char *sql); /* SQLite's code */

void must(sqlite3 *db, const char *sql); /* or the test ends */

#endif
