/*
** Queries on the user's connection: SQLite's results as values, its errors as faults.
**
** The only file pair of weave that prepares statements, apart from the tables and functions.
*/
#ifndef TENFOLD_WEAVE_QUERY_H
#define TENFOLD_WEAVE_QUERY_H

#include "vtab/vt.h"

#include "base/fault.h"
#include "base/text.h"
#include "extensions/weave/value.h"

/* Prepared, or NULL with the fault set ("no such table: x"). Finish with query_finish(). */
sqlite3_stmt *query_prepare(sqlite3 *db, const char *sql, Fault *fault);
/* The format is sqlite3_mprintf's: %w inside "", %Q for a literal. */
sqlite3_stmt *query_printf(sqlite3 *db, Fault *fault, const char *format, ...);

/* 1: a row, 0: no more, -1: the fault is set (FAULT_INTERRUPT, FAULT_NOMEM, FAULT_BUSY, …). */
int query_step(sqlite3_stmt *statement, Fault *fault);

/* A column of the present row; text and blobs are valid until the next step. */
Value query_value(sqlite3_stmt *statement, int column);

/* Text that should be there: "" where an authorizer has put NULL in its place. */
const char *query_text(sqlite3_stmt *statement, int column);

/* Bind a value (copied). False: out of memory. */
bool query_bind(sqlite3_stmt *statement, int index, const Value *value, Fault *fault);

/* Run to the end; rows are ignored. */
bool query_run(sqlite3 *db, const char *sql, Fault *fault);

/* Set the fault from the connection's last error. Returns false. */
bool query_fault(sqlite3 *db, int rc, Fault *fault);

void query_finish(sqlite3_stmt *statement); /* NULL is fine */

/* A value of an SQL function's argument; borrowed. */
Value query_argument(sqlite3_value *value);

/* Give a value, or text (NULL: NULL), as a result. SQLITE_STATIC: the bytes outlive the statement.
 */
void query_result(sqlite3_context *ctx, const Value *value, sqlite3_destructor_type lifetime);
void query_result_text(sqlite3_context *ctx, const char *text);

#endif
