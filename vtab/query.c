/*
** Queries on the user's connection: see query.h.
*/
#include "vtab/query.h"

static FaultCode fault_code(int rc) {
  switch (rc & 0xff) {
  case SQLITE_NOMEM:
    return FAULT_NOMEM;
  case SQLITE_INTERRUPT:
    return FAULT_INTERRUPT;
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return FAULT_BUSY;
  case SQLITE_FULL:
  case SQLITE_IOERR:
  case SQLITE_CANTOPEN:
    return FAULT_IO;
  case SQLITE_READONLY:
  case SQLITE_AUTH:
  case SQLITE_PERM:
    return FAULT_DENIED;
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
    return FAULT_CORRUPT;
  case SQLITE_TOOBIG:
    return FAULT_LIMIT;
  default:
    return FAULT_INVALID;
  }
}

bool query_fault(sqlite3 *db, int rc, Fault *fault) {
  FaultCode code = fault_code(rc);
  if (code == FAULT_NOMEM) return fault_oom(fault);
  return fault_set(fault, code, "%s", sqlite3_errmsg(db));
}

sqlite3_stmt *query_prepare(sqlite3 *db, const char *sql, Fault *fault) {
  sqlite3_stmt *statement = NULL;
  if (!sql) {
    fault_oom(fault);
    return NULL;
  }
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if (rc != SQLITE_OK) {
    query_fault(db, rc, fault);
  } else if (!statement) {
    fault_set(fault, FAULT_INVALID, "an empty statement");
  }
  return statement;
}

sqlite3_stmt *query_printf(sqlite3 *db, Fault *fault, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *sql = sqlite3_vmprintf(format, args); /* knows %Q and %w */
  va_end(args);
  sqlite3_stmt *statement = query_prepare(db, sql, fault);
  sqlite3_free(sql);
  return statement;
}

int query_step(sqlite3_stmt *statement, Fault *fault) {
  int rc = sqlite3_step(statement);
  if (rc == SQLITE_ROW) return 1;
  if (rc == SQLITE_DONE) return 0;
  query_fault(sqlite3_db_handle(statement), rc, fault);
  return -1;
}

const char *query_text(sqlite3_stmt *statement, int column) {
  const char *text = (const char *)sqlite3_column_text(statement, column);
  return text ? text : "";
}

bool query_run(sqlite3 *db, const char *sql, Fault *fault) {
  sqlite3_stmt *statement = query_prepare(db, sql, fault);
  if (!statement) return false;
  int step;
  do {
    step = query_step(statement, fault);
  } while (step == 1);
  sqlite3_finalize(statement);
  return step == 0;
}

void query_finish(sqlite3_stmt *statement) { sqlite3_finalize(statement); }
