/*
** SQLite values as text that reads back unambiguously.
*/
#ifndef TENFOLD_TEST_RUNNER_PRINT_H
#define TENFOLD_TEST_RUNNER_PRINT_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/text.h"

/* One row of the statement, without a line end. `raw`: text as it is, never quoted. False when
** SQLite had no memory for a value. */
bool print_row(Text *out, sqlite3_stmt *statement, bool raw);

/* The column names of the statement. */
void print_header(Text *out, sqlite3_stmt *statement);

#endif
