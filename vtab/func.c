/*
** Helpers for the bodies of SQL functions: see func.h.
*/
#include "vtab/inside.h"

#include <limits.h>
#include <string.h>

VtConn *vt_conn(sqlite3_context *ctx) { return ((const VtBinding *)sqlite3_user_data(ctx))->conn; }

const char *func_text(sqlite3_context *ctx, sqlite3_value *value, int *length) {
  bool null = sqlite3_value_type(value) == SQLITE_NULL;
  const char *text = null ? "" : (const char *)sqlite3_value_text(value);
  if (!text) {
    func_fail(ctx, SQLITE_NOMEM, "out of memory");
    return NULL;
  }
  if (length) *length = null ? 0 : sqlite3_value_bytes(value); /* after _text: bytes of UTF-8 */
  return text;
}

/* 'J' is what json_object() and its like look for to take text as JSON rather than as a string. */
void vt_result_json(sqlite3_context *ctx, const char *json, int length) {
  if (!json) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  sqlite3_result_text(ctx, json, length, SQLITE_TRANSIENT);
  sqlite3_result_subtype(ctx, 'J');
}

void vt_result_text(sqlite3_context *ctx, const Text *text, bool json) {
  if (text->oom) {
    sqlite3_result_error_nomem(ctx);
  } else if (text->length > INT_MAX) {
    sqlite3_result_error_toobig(ctx);
  } else if (json) {
    vt_result_json(ctx, text_get(text), (int)text->length);
  } else {
    sqlite3_result_text(ctx, text_get(text), (int)text->length, SQLITE_TRANSIENT);
  }
}
