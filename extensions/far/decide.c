/*
** Both or neither: a transaction that changes far memory and the database.
**
** SQLite asks every virtual table to sync() before it commits, and tells them afterwards that it
** has. In sync() the far memory prepares: everything is locked, and logged under a mark. A row with
** the mark goes into NAME_decided, as part of the database's transaction: it is there exactly if
** that committed. Who finds a prepared transaction of a dead client looks for its row.
**
** NAME_decided(mark): one mark of 16 bytes, the database's own, and marks of 32 bytes, which begin
** with it. A mark stays until the next transaction of the same connection.
*/
#include <stdarg.h>
#include <string.h>

#include "extensions/far/far.h"

enum { OWN = 16 };

/* Where nothing outlives the process, nothing has to be decided. */
bool far_decided_stored(const FarTab *tab) {
  const char *file = sqlite3_db_filename(tab->base.db, tab->schema);
  return file && *file && sqlite3_stricmp(tab->schema, "temp");
}

static int run(FarTab *tab, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *sql = sqlite3_vmprintf(format, args);
  va_end(args);
  if (!sql) return SQLITE_NOMEM;
  vt_internal_enter(tab->base.conn);
  const int rc = sqlite3_exec(tab->base.db, sql, NULL, NULL, NULL);
  vt_internal_leave(tab->base.conn);
  sqlite3_free(sql);
  return rc == SQLITE_OK ? rc : vt_fail_db(&tab->base, "its decisions");
}

int far_decided_create(FarTab *tab) {
  if (!far_decided_stored(tab)) return SQLITE_OK;
  return run(tab,
             "CREATE TABLE \"%w\".\"%w_decided\"(mark BLOB PRIMARY KEY) WITHOUT ROWID;"
             "INSERT INTO \"%w\".\"%w_decided\" VALUES (randomblob(%d))",
             tab->schema, tab->table, tab->schema, tab->table, OWN);
}

int far_decided_drop(FarTab *tab) {
  if (!far_decided_stored(tab)) return SQLITE_OK;
  return run(tab, "DROP TABLE IF EXISTS \"%w\".\"%w_decided\"", tab->schema, tab->table);
}

int far_decided_rename(FarTab *tab, const char *name) {
  if (!far_decided_stored(tab)) return SQLITE_OK;
  return run(tab, "ALTER TABLE \"%w\".\"%w_decided\" RENAME TO \"%w_decided\"", tab->schema,
             tab->table, name);
}

/* Runs SQL with a blob as its parameter (NULL: none); the first value of the first row is copied to
** `out` when it is a database's mark. *out_rows: 0 or 1. */
static int ask(FarTab *tab, const char *sql, const void *one, int n, void *out, int *out_rows) {
  char *text = sqlite3_mprintf(sql, tab->schema, tab->table);
  sqlite3_stmt *statement = NULL;
  int rc = text ? SQLITE_OK : SQLITE_NOMEM;
  *out_rows = 0;
  vt_internal_enter(tab->base.conn);
  if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(tab->base.db, text, -1, &statement, NULL);
  if (rc == SQLITE_OK && one) rc = sqlite3_bind_blob(statement, 1, one, n, SQLITE_TRANSIENT);
  if (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
    *out_rows = 1;
    const void *blob = sqlite3_column_blob(statement, 0);
    if (out && blob && sqlite3_column_bytes(statement, 0) == OWN) memcpy(out, blob, OWN);
  }
  const int ended = sqlite3_finalize(statement);
  vt_internal_leave(tab->base.conn);
  sqlite3_free(text);
  if (rc == SQLITE_OK) rc = ended;
  return rc == SQLITE_OK ? rc : vt_fail_db(&tab->base, "its decisions");
}

static int own_mark(FarTab *tab, unsigned char *out, int *out_there) {
  return ask(tab, "SELECT mark FROM \"%w\".\"%w_decided\" WHERE length(mark) = 16", NULL, 0, out,
             out_there);
}

int far_decided_note(FarTab *tab, unsigned char out_mark[FAR_MARK]) {
  int there, ignored;
  memset(out_mark, 0, FAR_MARK);
  if (!far_decided_stored(tab)) return SQLITE_OK;
  int rc = own_mark(tab, out_mark, &there);
  if (rc == SQLITE_OK && !there)
    return vt_fail(&tab->base, SQLITE_CORRUPT_VTAB, "its own mark is missing in %s_decided",
                   tab->table);
  sqlite3_randomness(FAR_MARK - OWN, out_mark + OWN);
  if (rc == SQLITE_OK)
    rc = ask(tab, "INSERT INTO \"%w\".\"%w_decided\" VALUES (?1)", out_mark, FAR_MARK, NULL,
             &ignored);
  if (rc == SQLITE_OK)
    rc = ask(tab, "DELETE FROM \"%w\".\"%w_decided\" WHERE mark = ?1", tab->noted, FAR_MARK, NULL,
             &ignored);
  memcpy(tab->noted, out_mark, FAR_MARK);
  return rc;
}

/* ---- settling -------------------------------------------------------------------------------- */

typedef struct Settle {
  FarTab *tab;
  unsigned char own[OWN];
  int rc;
} Settle;

static FarDecision decide(void *ctx, const unsigned char mark[FAR_MARK]) {
  Settle *it = ctx;
  int there;
  if (memcmp(mark, it->own, OWN)) return FAR_NOT_MINE;
  const int rc = ask(it->tab, "SELECT 1 FROM \"%w\".\"%w_decided\" WHERE mark = ?1", mark, FAR_MARK,
                     NULL, &there);
  if (rc == SQLITE_OK) return there ? FAR_HAPPENED : FAR_UNDONE;
  it->rc = rc;
  return FAR_NOT_MINE;
}

int far_decided_settle(FarTab *tab, int *out_settled) {
  Settle it = {.tab = tab};
  Fault fault = {0};
  int there = 0;
  *out_settled = 0;
  if (!far_decided_stored(tab)) return SQLITE_OK;
  const int rc = own_mark(tab, it.own, &there);
  if (rc != SQLITE_OK || !there) return rc;
  const bool ok = far_settle(tab->link->memory, decide, &it, out_settled, &fault);
  return ok ? it.rc : vt_fault(&tab->base, &fault);
}
