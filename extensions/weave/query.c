/*
** Queries on the user's connection: see query.h.
*/
#include "extensions/weave/query.h"

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

Value query_argument(sqlite3_value *value) {
  Value out = {.type = VALUE_NULL};
  switch (sqlite3_value_type(value)) {
  case SQLITE_INTEGER:
    return value_integer(sqlite3_value_int64(value));
  case SQLITE_FLOAT:
    return value_real(sqlite3_value_double(value));
  case SQLITE_TEXT:
    out.type = VALUE_TEXT;
    out.bytes = (const char *)sqlite3_value_text(value);
    break;
  case SQLITE_BLOB:
    out.type = VALUE_BLOB;
    out.bytes = sqlite3_value_blob(value);
    break;
  default:
    return out;
  }
  out.length = (uint32_t)sqlite3_value_bytes(value);
  if (!out.bytes) { /* an empty blob, or text that could not be converted */
    out.bytes = "";
    out.length = 0;
  }
  return out;
}

Value query_value(sqlite3_stmt *statement, int column) {
  /* Not sqlite3_column_value(): its values are unprotected. */
  Value out = {.type = VALUE_NULL};
  switch (sqlite3_column_type(statement, column)) {
  case SQLITE_INTEGER:
    return value_integer(sqlite3_column_int64(statement, column));
  case SQLITE_FLOAT:
    return value_real(sqlite3_column_double(statement, column));
  case SQLITE_TEXT:
    out.type = VALUE_TEXT;
    out.bytes = (const char *)sqlite3_column_text(statement, column);
    break;
  case SQLITE_BLOB:
    out.type = VALUE_BLOB;
    out.bytes = sqlite3_column_blob(statement, column);
    break;
  default:
    return out;
  }
  out.length = (uint32_t)sqlite3_column_bytes(statement, column);
  if (!out.bytes) {
    out.bytes = "";
    out.length = 0;
  }
  return out;
}

const char *query_text(sqlite3_stmt *statement, int column) {
  const char *text = (const char *)sqlite3_column_text(statement, column);
  return text ? text : "";
}

bool query_bind(sqlite3_stmt *statement, int index, const Value *value, Fault *fault) {
  int rc = SQLITE_OK, length = (int)value->length;
  switch (value->type) {
  case VALUE_INTEGER:
    rc = sqlite3_bind_int64(statement, index, value->integer);
    break;
  case VALUE_REAL:
    rc = sqlite3_bind_double(statement, index, value->real);
    break;
  case VALUE_TEXT:
    rc = sqlite3_bind_text(statement, index, value->bytes, length, SQLITE_TRANSIENT);
    break;
  case VALUE_BLOB:
    rc = sqlite3_bind_blob(statement, index, value->bytes, length, SQLITE_TRANSIENT);
    break;
  default:
    rc = sqlite3_bind_null(statement, index);
  }
  return rc == SQLITE_OK || query_fault(sqlite3_db_handle(statement), rc, fault);
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

void query_result(sqlite3_context *ctx, const Value *value, sqlite3_destructor_type lifetime) {
  switch (value->type) {
  case VALUE_INTEGER:
    sqlite3_result_int64(ctx, value->integer);
    break;
  case VALUE_REAL:
    sqlite3_result_double(ctx, value->real);
    break;
  case VALUE_TEXT:
    sqlite3_result_text(ctx, value->bytes, (int)value->length, lifetime);
    break;
  case VALUE_BLOB:
    sqlite3_result_blob(ctx, value->bytes, (int)value->length, lifetime);
    break;
  default:
    break;
  }
}

void query_result_text(sqlite3_context *ctx, const char *text) {
  if (text) sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
}
