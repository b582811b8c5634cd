/*
** What the oracle test asks.
*/
#ifndef TENFOLD_TEST_MULTIVERSE_ORACLE_H
#define TENFOLD_TEST_MULTIVERSE_ORACLE_H

#include <sqlite3.h>

#include "test/multiverse/shared/world.h"

/* ---- admin.c */

typedef struct Question { /* two queries with the same answer */
  Words sql, plain;
} Question;

/* What multiverse_explain() says of some rows of a table: which are visible, and cells that are
** rewritten to something else. */
void ask_explain_visible(Question *out, int table, const User *user, const char *context);
void ask_explain_rewrites(Question *out, int table, const User *user, const char *context);

/* ---- who.c */

/* multiverse_who() of a row, against the plain SQL of all users of a small world. False when they
** differ, and *problem tells how. */
bool check_who(sqlite3 *db, int table, const char *key, Words *problem);

/* ---- proof.c */

/* Rules that multiverse_check() has proven to be in vain are left out, and nothing changes for
** anybody; what multiverse_diff() is silent about, neither. *proven counts. */
bool check_proven(sqlite3 *db, int *proven, Words *problem);

/* ---- who.c: what cannot be asked ends the test */

sqlite3_stmt *prepare(sqlite3 *db, const char *sql);
sqlite3_int64 number(sqlite3 *db, const char *sql); /* of the first column of the only row */

#endif
