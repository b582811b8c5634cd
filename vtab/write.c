/*
** Writing: xUpdate, transactions and savepoints for tables with a VtWriter.
*/
#include "vtab/inside.h"

static int refuse(VtTab *tab, const char *what) {
  return vt_fail(tab, SQLITE_READONLY, "rows cannot be %s", what);
}

/* A write belongs to the savepoint that is open now: see release and rollback_to below. */
static void note_write(VtTab *tab) {
  if (tab->top > tab->written) tab->written = tab->top;
}

/* For OR IGNORE SQLite skips the row when this is about a constraint, some versions only when the
** code is the bare one. It never skips for a wrong type in STRICT tables, for foreign keys or for
** what triggers raise: that code must not look like a constraint's. */
static int allow_ignore(VtTab *tab, int rc) {
  if ((rc & 0xff) != SQLITE_CONSTRAINT || sqlite3_vtab_on_conflict(tab->db) != SQLITE_IGNORE)
    return rc;
  if (rc == SQLITE_CONSTRAINT_DATATYPE) return SQLITE_MISMATCH;
  return rc == SQLITE_CONSTRAINT_FOREIGNKEY || rc == SQLITE_CONSTRAINT_TRIGGER ? SQLITE_ERROR
                                                                               : SQLITE_CONSTRAINT;
}

/* SQLite's argument vector: old key, new key, columns. Only the old key: a delete. No old key: an
** insert. */
static int writer_update(sqlite3_vtab *base, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
  VtTab *tab = (VtTab *)base;
  const VtWriter *writer = tab->desc->writer;
  int rc;
  if (argc == 1) {
    rc = writer->remove ? writer->remove(tab, argv[0]) : refuse(tab, "deleted");
  } else if (sqlite3_value_type(argv[0]) == SQLITE_NULL) {
    rc = writer->insert ? writer->insert(tab, argv[1], argv + 2, rowid) : refuse(tab, "inserted");
  } else {
    rc = writer->update ? writer->update(tab, argv[0], argv[1], argv + 2) : refuse(tab, "changed");
  }
  /* Also after a failure: what a failed write left behind is undone like any other. */
  note_write(tab);
  return allow_ignore(tab, rc);
}

int vt_writer_begin(sqlite3_vtab *base) {
  VtTab *tab = (VtTab *)base;
  const VtWriter *writer = tab->desc->writer;
  if (!writer || tab->began) return SQLITE_OK;
  tab->top = tab->written = -1;
  tab->doomed = false;
  int rc = writer->begin ? writer->begin(tab) : SQLITE_OK;
  tab->began = rc == SQLITE_OK;
  return rc;
}

static int writer_sync(sqlite3_vtab *base) {
  VtTab *tab = (VtTab *)base;
  if (!tab->began) return SQLITE_OK;
  if (tab->doomed) {
    return vt_fail(tab, SQLITE_ERROR,
                   "a savepoint with writes to this table was rolled back, which it cannot undo; "
                   "roll back the transaction");
  }
  return tab->desc->writer->sync ? tab->desc->writer->sync(tab) : SQLITE_OK;
}

static int writer_commit(sqlite3_vtab *base) {
  VtTab *tab = (VtTab *)base;
  if (tab->began && tab->desc->writer->commit) tab->desc->writer->commit(tab);
  tab->began = false;
  return SQLITE_OK;
}

static int writer_rollback(sqlite3_vtab *base) {
  VtTab *tab = (VtTab *)base;
  if (tab->began && tab->desc->writer->rollback) tab->desc->writer->rollback(tab);
  tab->began = false;
  return SQLITE_OK;
}

static int writer_savepoint(sqlite3_vtab *base, int n) {
  VtTab *tab = (VtTab *)base;
  tab->top = n;
  return tab->desc->writer->savepoint ? tab->desc->writer->savepoint(tab, n) : SQLITE_OK;
}

/* What was written under savepoint n now belongs to the one around it. */
static int writer_release(sqlite3_vtab *base, int n) {
  VtTab *tab = (VtTab *)base;
  tab->top = n - 1;
  if (tab->written > n - 1) tab->written = n - 1;
  return tab->desc->writer->release ? tab->desc->writer->release(tab, n) : SQLITE_OK;
}

static int writer_rollback_to(sqlite3_vtab *base, int n) {
  VtTab *tab = (VtTab *)base;
  const VtWriter *writer = tab->desc->writer;
  bool undo = tab->written >= n;
  tab->top = n;
  if (undo) tab->written = n - 1;
  if (writer->rollback_to) return writer->rollback_to(tab, n);
  if (undo && !writer->native) tab->doomed = true;
  return SQLITE_OK;
}

void vt_writer_fill(sqlite3_module *module) {
  module->xUpdate = writer_update;
  module->xBegin = vt_writer_begin;
  module->xSync = writer_sync;
  module->xCommit = writer_commit;
  module->xRollback = writer_rollback;
  module->xSavepoint = writer_savepoint;
  module->xRelease = writer_release;
  module->xRollbackTo = writer_rollback_to;
}
