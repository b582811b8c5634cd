/*
** Queries of an extension's own on the user's connection; SQLite's errors become faults. Include
** vtab/vt.h.
**
** Statements belong to one call, a VtTab or a VtCursor (see VtExtension). SQL that is not the
** user's runs between vt_internal_enter() and vt_internal_leave().
*/
#ifndef TENFOLD_VTAB_QUERY_H
#define TENFOLD_VTAB_QUERY_H

#include "vtab/vt.h"

/* Prepared, or NULL with the fault set ("no such table: x"). Finish with query_finish(). */
sqlite3_stmt *query_prepare(sqlite3 *db, const char *sql, Fault *fault);
/* The format is sqlite3_mprintf's: %w inside "", %Q for a literal. */
sqlite3_stmt *query_printf(sqlite3 *db, Fault *fault, const char *format, ...);

/* 1: a row, 0: no more, -1: the fault is set (FAULT_INTERRUPT, FAULT_NOMEM, FAULT_BUSY, …). */
int query_step(sqlite3_stmt *statement, Fault *fault);

/* Text that should be there: "" where an authorizer has put NULL in its place. */
const char *query_text(sqlite3_stmt *statement, int column);

/* Run to the end; rows are ignored. */
bool query_run(sqlite3 *db, const char *sql, Fault *fault);

/* Set the fault from the connection's last error. Returns false. */
bool query_fault(sqlite3 *db, int rc, Fault *fault) FAULT_COLD;

void query_finish(sqlite3_stmt *statement); /* NULL is fine */

#endif
