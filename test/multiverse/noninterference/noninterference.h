/*
** Two databases that differ in what one user may not see.
*/
#ifndef TENFOLD_TEST_MULTIVERSE_NONINTERFERENCE_H
#define TENFOLD_TEST_MULTIVERSE_NONINTERFERENCE_H

#include <sqlite3.h>

#include "test/multiverse/shared/world.h"

/* ---- vary.c */

/* Everything that the user sees by what the rules say, as one text. Caller frees. NULL: one of them
** cannot be evaluated. */
char *view_of(sqlite3 *db, const User *user);

/* Random changes of rows and cells and memberships, all of which leave that as it is. Their number
** is returned. */
int vary(sqlite3 *db, const User *user, int tries);

/* ---- statements.c */

/* What a user may try: a query of any shape, a write where the world has rules for it, a step of a
** transaction, something forbidden. */
void write_statement(Words *out);

#endif
