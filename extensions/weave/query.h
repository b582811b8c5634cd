/*
** SQLite's results as values, and back.
*/
#ifndef TENFOLD_WEAVE_QUERY_H
#define TENFOLD_WEAVE_QUERY_H

#include "vtab/query.h"

#include "base/fault.h"
#include "base/text.h"
#include "extensions/weave/value.h"

/* A column of the present row; text and blobs are valid until the next step. */
Value query_value(sqlite3_stmt *statement, int column);

/* Bind a value (copied). False: out of memory. */
bool query_bind(sqlite3_stmt *statement, int index, const Value *value, Fault *fault);

/* A value of an SQL function's argument; borrowed. */
Value query_argument(sqlite3_value *value);

/* Give a value, or text (NULL: NULL), as a result. SQLITE_STATIC: the bytes outlive the statement.
 */
void query_result(sqlite3_context *ctx, const Value *value, sqlite3_destructor_type lifetime);
void query_result_text(sqlite3_context *ctx, const char *text);

#endif
