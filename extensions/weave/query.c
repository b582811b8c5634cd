/*
** SQLite's values as ours, and back: see query.h.
*/
#include "extensions/weave/query.h"

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
