/*
** Errors: the one place where an engine's fault becomes an SQLite result code and a message.
*/
#include "vtab/inside.h"

#include <string.h>

int vt_fault_code(const Fault *fault) {
  switch (fault->code) {
  case FAULT_NONE:
    return SQLITE_OK;
  case FAULT_INVALID:
  case FAULT_UNSUPPORTED:
  case FAULT_NOTFOUND:
    return SQLITE_ERROR;
  case FAULT_NOMEM:
    return SQLITE_NOMEM;
  case FAULT_LIMIT:
    return SQLITE_TOOBIG;
  case FAULT_INTERRUPT:
    return SQLITE_INTERRUPT;
  /* Not SQLITE_INTERRUPT: nobody pressed Ctrl-C, and that code rolls back a write transaction. */
  case FAULT_TIMEOUT:
    return SQLITE_ABORT;
  case FAULT_BUSY:
    return SQLITE_BUSY;
  case FAULT_CONFLICT:
    return SQLITE_BUSY_SNAPSHOT;
  case FAULT_FULL:
    return SQLITE_FULL;
  case FAULT_IO:
    return SQLITE_IOERR;
  case FAULT_DENIED:
    return SQLITE_AUTH;
  case FAULT_CORRUPT:
    return SQLITE_CORRUPT_VTAB;
  case FAULT_INTERNAL:
    return SQLITE_INTERNAL;
  }
  return SQLITE_INTERNAL;
}

/* sqlite3_mprintf knows no %zu and frees the argument of %z, so messages are formatted by libc. A
** message without memory turns the failure into that of memory, rather than a bare code. */
static int set_message(VtTab *tab, int rc, Fault *fault) {
  sqlite3_free(tab->base.zErrMsg);
  tab->base.zErrMsg = NULL;
  if (rc == SQLITE_NOMEM) return rc;
  fault_prefix(fault, "%s: ", tab->name);
  tab->base.zErrMsg = sqlite3_mprintf("%s", fault->text);
  return tab->base.zErrMsg ? rc : SQLITE_NOMEM;
}

int vt_fail(VtTab *tab, int rc, const char *format, ...) {
  Fault fault = {0};
  va_list args;
  va_start(args, format);
  fault_vset(&fault, FAULT_INVALID, format, args);
  va_end(args);
  return set_message(tab, rc, &fault);
}

int vt_fault(VtTab *tab, const Fault *fault) {
  Fault copy = *fault;
  return set_message(tab, vt_fault_code(fault), &copy);
}

int vt_fail_db(VtTab *tab, const char *what) {
  int rc = sqlite3_extended_errcode(tab->db);
  if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE) rc = SQLITE_ERROR;
  return vt_fail(tab, rc, "%s: %s", what, sqlite3_errmsg(tab->db));
}

static const char *function_name(sqlite3_context *ctx) {
  return ((const VtBinding *)sqlite3_user_data(ctx))->name;
}

static void set_result(sqlite3_context *ctx, int rc, Fault *fault) {
  if (rc == SQLITE_NOMEM) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  fault_prefix(fault, "%s: ", function_name(ctx));
  sqlite3_result_error(ctx, fault->text, -1);
  sqlite3_result_error_code(ctx, rc); /* after the text, which sets SQLITE_ERROR */
}

void func_fail(sqlite3_context *ctx, int rc, const char *format, ...) {
  Fault fault = {0};
  va_list args;
  va_start(args, format);
  fault_vset(&fault, FAULT_INVALID, format, args);
  va_end(args);
  set_result(ctx, rc, &fault);
}

void func_fault(sqlite3_context *ctx, const Fault *fault) {
  Fault copy = *fault;
  set_result(ctx, vt_fault_code(fault), &copy);
}
