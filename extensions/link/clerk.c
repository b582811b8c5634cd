/*
** A table's statements, on the user's connection or on one of our own. The user's sees what his
** transaction has written, and perhaps an old state of the rest; one of our own sees what is
** committed now: what is kept in memory comes from there, or from a transaction that commits.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/link/tab.h"

enum { PATIENCE = 2000, IMPATIENCE = 20 }; /* ms, for locks of the database */

static bool failed(const LinkClerk *clerk, int rc, Fault *fault) {
  const int primary = rc & 0xff;
  const FaultCode code = primary == SQLITE_NOMEM                                 ? FAULT_NOMEM
                         : primary == SQLITE_INTERRUPT                           ? FAULT_INTERRUPT
                         : primary == SQLITE_BUSY || primary == SQLITE_LOCKED    ? FAULT_BUSY
                         : primary == SQLITE_FULL                                ? FAULT_FULL
                         : primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN ? FAULT_IO
                                                                                 : FAULT_INVALID;
  return fault_set(fault, code, "%s", sqlite3_errmsg(clerk->db));
}

static const char *text_of(const LinkSource *source, LinkStatement which) {
  const char *const texts[] = {
      [LINK_LOAD] = source->load,           [LINK_INSERT] = source->insert,
      [LINK_REPLACE] = source->replace,     [LINK_UPDATE] = source->update,
      [LINK_REMOVE] = source->remove,       [LINK_UPDATE_REPLACE] = source->update_replace,
      [LINK_FENCE_GET] = source->fence_get, [LINK_FENCE_SET] = source->fence_set,
  };
  return texts[which];
}

static int prepare(LinkClerk *clerk, LinkStatement which, sqlite3_stmt **out) {
  const char *text = text_of(clerk->source, which);
  if (!text) return SQLITE_MISUSE;
  int rc = SQLITE_OK;
  if (!clerk->statements[which]) {
    rc = sqlite3_prepare_v3(clerk->db, text, -1, SQLITE_PREPARE_PERSISTENT,
                            &clerk->statements[which], NULL);
  }
  *out = clerk->statements[which];
  return rc;
}

static void enter(LinkClerk *clerk) {
  if (clerk->conn) vt_internal_enter(clerk->conn);
}

static void leave(LinkClerk *clerk) {
  if (clerk->conn) vt_internal_leave(clerk->conn);
}

void link_clerk_end(LinkClerk *clerk) {
  for (int i = 0; i < LINK_STATEMENTS; i++) {
    sqlite3_finalize(clerk->statements[i]);
    clerk->statements[i] = NULL;
  }
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int bind_key(const OwnType *type, sqlite3_stmt *statement, int at, const OwnKey *key) {
  if (type->columns[type->key].kind == OWN_INTEGER)
    return sqlite3_bind_int64(statement, at, key->number);
  return sqlite3_bind_text64(statement, at, key->text.length ? key->text.bytes : "",
                             key->text.length, SQLITE_STATIC, SQLITE_UTF8);
}

static bool row_of(const OwnType *type, sqlite3_stmt *statement, OwnRow *out, Fault *fault) {
  memset(out->words, 0, type->words * sizeof *out->words);
  for (int i = 0; i < type->ncolumns; i++) {
    LinkValue value;
    link_value_of_column(statement, i, type->columns[i].kind, &value);
    if (!link_cell_set(type, out->words, i, &value, fault)) return false;
  }
  return true;
}

bool link_clerk_load(LinkClerk *clerk, const OwnKey *key, OwnObject **out, Fault *fault) {
  const OwnType *type = &clerk->source->type;
  sqlite3_stmt *statement = NULL;
  OwnRow row;
  bool ok = true;
  *out = NULL;
  enter(clerk);
  int rc = prepare(clerk, LINK_LOAD, &statement);
  if (rc == SQLITE_OK) rc = bind_key(type, statement, 1, key);
  if (rc == SQLITE_OK) rc = sqlite3_step(statement);
  if (rc == SQLITE_ROW) {
    ok = row_of(type, statement, &row, fault) || fault_prefix(fault, "load: ");
    const OwnKey got = ok ? own_key_of(type, row.words) : (OwnKey){0};
    /* A query that finds 'C42' for 'c42' has found another row. */
    if (ok && !own_keys_equal(&got, key)) {
      char text[48];
      ok = fault_set(fault, FAULT_INVALID, "load: the row found for %s has another key",
                     own_key_print(type, key, text));
    }
    if (ok) ok = (*out = own_object_make(type, row.words)) || fault_oom(fault);
  } else if (rc != SQLITE_DONE) {
    ok = failed(clerk, rc, fault);
  }
  if (statement) sqlite3_reset(statement);
  if (statement) sqlite3_clear_bindings(statement);
  leave(clerk);
  return ok;
}

int link_clerk_write(LinkClerk *clerk, LinkStatement which, const uint64_t *row,
                     const OwnKey *old_key, Fault *fault) {
  const OwnType *type = &clerk->source->type;
  sqlite3_stmt *statement = NULL;
  enter(clerk);
  int rc = prepare(clerk, which, &statement);
  for (int i = 0; row && rc == SQLITE_OK && i < type->ncolumns; i++) {
    const LinkValue value = link_cell_get(type, row, i);
    rc = link_value_bind(statement, i + 1, &value);
  }
  if (rc == SQLITE_OK && old_key) rc = bind_key(type, statement, type->ncolumns + 1, old_key);
  if (rc == SQLITE_OK) {
    rc = sqlite3_step(statement);
    if (rc == SQLITE_DONE) rc = SQLITE_OK;
    if (rc && rc != SQLITE_NOMEM) rc = sqlite3_extended_errcode(clerk->db);
    /* A constraint has a name, unless there was no memory for it. */
    if ((rc & 0xff) == SQLITE_CONSTRAINT &&
        !strcmp(sqlite3_errmsg(clerk->db), sqlite3_errstr(SQLITE_CONSTRAINT)))
      rc = SQLITE_NOMEM;
  }
  if (rc != SQLITE_OK) failed(clerk, rc, fault);
  if (statement) sqlite3_reset(statement);
  if (statement) sqlite3_clear_bindings(statement);
  leave(clerk);
  return rc;
}

bool link_clerk_fenced(LinkClerk *clerk, int slice, uint64_t *out, Fault *fault) {
  sqlite3_stmt *statement = NULL;
  *out = 0;
  enter(clerk);
  int rc = prepare(clerk, LINK_FENCE_GET, &statement);
  if (rc == SQLITE_ERROR) { /* there is no such table: nobody has said anything yet */
    leave(clerk);
    return true;
  }
  if (rc == SQLITE_OK) rc = sqlite3_bind_text(statement, 1, clerk->source->name, -1, SQLITE_STATIC);
  if (rc == SQLITE_OK) rc = sqlite3_bind_int(statement, 2, slice);
  if (rc == SQLITE_OK) rc = sqlite3_step(statement);
  if (rc == SQLITE_ROW) *out = (uint64_t)sqlite3_column_int64(statement, 0);
  const bool ok = rc == SQLITE_ROW || rc == SQLITE_DONE || failed(clerk, rc, fault);
  if (statement) sqlite3_reset(statement);
  leave(clerk);
  return ok;
}

/* ---- operations ------------------------------------------------------------------------------ */

int link_args_take(OwnBytes bytes, LinkValue out[LINK_MOST_ARGS]) {
  const unsigned char *at = (const unsigned char *)bytes.bytes, *end = at + bytes.length;
  uint64_t n;
  if (!own_take_word(&at, end, &n) || n > LINK_MOST_ARGS) return -1;
  for (uint64_t i = 0; i < n; i++)
    if (!link_value_take(&at, end, &out[i])) return -1;
  return (int)n;
}

/* The first of the new cells is the result. */
static bool take_cells(const LinkClerk *clerk, const LinkSqlOperation *operation,
                       sqlite3_stmt *statement, OwnRow *row, FarWireBuffer *reply, Fault *fault) {
  const OwnType *type = &clerk->source->type;
  for (int i = 0; i < operation->ncells; i++) {
    LinkValue value;
    link_value_of_column(statement, i, type->columns[operation->cells[i]].kind, &value);
    if (!link_cell_set(type, row->words, operation->cells[i], &value, fault)) return false;
  }
  const LinkValue result = link_cell_get(type, row->words, operation->cells[0]);
  return link_value_put(reply, &result) || fault_oom(fault);
}

static bool run_sql(LinkClerk *clerk, const LinkSqlOperation *operation, const OwnObject *old,
                    int nargs, const LinkValue *args, OwnObject **out, FarWireBuffer *reply,
                    Fault *fault) {
  const OwnType *type = &clerk->source->type;
  sqlite3_stmt *statement = NULL;
  OwnRow row;
  memcpy(row.words, old->row, type->words * sizeof *row.words);
  int rc = sqlite3_prepare_v2(clerk->db, operation->query, -1, &statement, NULL);
  const int most = rc == SQLITE_OK ? sqlite3_bind_parameter_count(statement) : 0;
  for (int i = 0; rc == SQLITE_OK && i < nargs && i < most; i++)
    rc = link_value_bind(statement, i + 1, &args[i]);
  for (int i = 0; rc == SQLITE_OK && i < type->ncolumns; i++) {
    const LinkValue value = link_cell_get(type, old->row, i);
    rc = link_value_bind(statement, LINK_FIRST_CELL + i, &value);
  }
  if (rc == SQLITE_OK) rc = sqlite3_step(statement);
  bool ok = rc == SQLITE_ROW ? take_cells(clerk, operation, statement, &row, reply, fault)
                             : failed(clerk, rc, fault);
  if (ok) ok = (*out = own_object_make(type, row.words)) || fault_oom(fault);
  sqlite3_finalize(statement);
  return ok || fault_prefix(fault, "%s: ", operation->name);
}

bool link_clerk_call(LinkClerk *clerk, const OwnObject *old, const char *op, int nargs,
                     const LinkValue *args, OwnObject **out, FarWireBuffer *reply, Fault *fault) {
  const LinkSource *source = clerk->source;
  bool there;
  const bool ok = link_operation_run(&source->type, source->name, op, old, nargs, args, out, reply,
                                     &there, fault);
  if (there) return ok;
  const LinkSqlOperation *operation = source->operations;
  while (operation && sqlite3_stricmp(operation->name, op)) operation = operation->next;
  if (!operation)
    return fault_set(fault, FAULT_NOTFOUND, "there is no operation \"%.60s\" here", op);
  enter(clerk);
  const bool done = run_sql(clerk, operation, old, nargs, args, out, reply, fault);
  leave(clerk);
  return done;
}

/* ---- connections of our own ------------------------------------------------------------------ */

static void own_close(void *ctx) {
  LinkClerk *clerk = ctx;
  if (!clerk) return;
  link_clerk_end(clerk);
  sqlite3_close(clerk->db);
  free(clerk);
}

static bool attach(LinkClerk *clerk, const char *file, const char *schema, Fault *fault) {
  char *sql = sqlite3_mprintf("ATTACH %Q AS \"%w\"", file, schema);
  if (!sql) return fault_oom(fault);
  const int rc = sqlite3_exec(clerk->db, sql, NULL, NULL, NULL);
  sqlite3_free(sql);
  return rc == SQLITE_OK || failed(clerk, rc, fault);
}

static void *own_open(void *ctx, Fault *fault) {
  const LinkSource *source = ctx;
  LinkClerk *clerk = calloc(1, sizeof *clerk);
  const char *main = ":memory:";
  if (!clerk) {
    fault_oom(fault);
    return NULL;
  }
  clerk->source = source;
  if (source->load && !source->stored) {
    fault_set(fault, FAULT_UNSUPPORTED,
              "%s: its rows are in no file, so that this connection alone "
              "can read them",
              source->name);
    free(clerk);
    return NULL;
  }
  for (int i = 0; i < source->nfiles; i++)
    if (!strcmp(source->schemas[i], "main")) main = source->files[i];
  int rc = sqlite3_open_v2(main, &clerk->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
  bool ok = rc == SQLITE_OK || (clerk->db ? failed(clerk, rc, fault) : fault_oom(fault));
  if (ok) sqlite3_busy_timeout(clerk->db, PATIENCE);
  for (int i = 0; ok && i < source->nfiles; i++)
    if (strcmp(source->schemas[i], "main"))
      ok = attach(clerk, source->files[i], source->schemas[i], fault);
  if (ok) return clerk;
  own_close(clerk);
  return NULL;
}

static bool own_load(void *clerk, const OwnKey *key, OwnObject **out, Fault *fault) {
  return link_clerk_load(clerk, key, out, fault);
}

static bool exec(LinkClerk *clerk, const char *sql, Fault *fault) {
  const int rc = sqlite3_exec(clerk->db, sql, NULL, NULL, NULL);
  return rc == SQLITE_OK || failed(clerk, rc, fault);
}

static bool own_begin(void *clerk, Fault *fault) { return exec(clerk, "BEGIN IMMEDIATE", fault); }

static bool own_end(void *ctx, bool commit, Fault *fault) {
  LinkClerk *clerk = ctx;
  const bool ok = !commit || exec(clerk, "COMMIT", fault);
  if (!sqlite3_get_autocommit(clerk->db)) exec(clerk, "ROLLBACK", NULL);
  return ok;
}

static bool own_save(void *ctx, OwnObject **object, bool again, Fault *fault) {
  LinkClerk *clerk = ctx;
  const OwnType *type = &clerk->source->type;
  const OwnKey key = own_key_of(type, (*object)->row);
  OwnObject *made;
  if ((*object)->gone) return link_clerk_write(clerk, LINK_REMOVE, NULL, &key, fault) == SQLITE_OK;
  if (link_clerk_write(clerk, LINK_UPDATE, (*object)->row, &key, fault) != SQLITE_OK) return false;
  if (!sqlite3_changes(clerk->db) &&
      link_clerk_write(clerk, LINK_INSERT, (*object)->row, NULL, fault) != SQLITE_OK)
    return false;
  if (!again) return true;
  if (!link_clerk_load(clerk, &key, &made, fault)) return false;
  if (!made && !(made = own_object_make_gone(type, &key))) return fault_oom(fault);
  own_object_drop(*object);
  *object = made;
  return true;
}

static bool say_epoch(LinkClerk *clerk, int slice, uint64_t epoch, Fault *fault) {
  sqlite3_stmt *statement = NULL;
  int rc = prepare(clerk, LINK_FENCE_SET, &statement);
  if (rc == SQLITE_OK) rc = sqlite3_bind_text(statement, 1, clerk->source->name, -1, SQLITE_STATIC);
  if (rc == SQLITE_OK) rc = sqlite3_bind_int(statement, 2, slice);
  if (rc == SQLITE_OK) rc = sqlite3_bind_int64(statement, 3, (sqlite3_int64)epoch);
  if (rc == SQLITE_OK) rc = sqlite3_step(statement);
  const bool ok = rc == SQLITE_DONE || failed(clerk, rc, fault);
  if (statement) sqlite3_reset(statement);
  return ok;
}

/* Without a write-ahead log a reader keeps us from committing, and he may be waiting for us. */
static bool own_fence(void *ctx, const int *slices, const uint64_t *epochs, size_t n,
                      bool *out_said, Fault *fault) {
  LinkClerk *clerk = ctx;
  if (!own_begin(clerk, fault)) return false;
  bool ok = exec(clerk, clerk->source->fence_make, fault);
  for (size_t i = 0; ok && i < n; i++) ok = say_epoch(clerk, slices[i], epochs[i], fault);
  sqlite3_busy_timeout(clerk->db, IMPATIENCE);
  *out_said = ok && exec(clerk, "COMMIT", NULL);
  sqlite3_busy_timeout(clerk->db, PATIENCE);
  own_end(clerk, false, NULL);
  return ok;
}

static bool own_fenced(void *clerk, int slice, uint64_t *out, Fault *fault) {
  return link_clerk_fenced(clerk, slice, out, fault);
}

static bool own_call(void *clerk, const OwnObject *old, OwnBytes op, OwnBytes args, OwnObject **out,
                     FarWireBuffer *reply, Fault *fault) {
  LinkValue values[LINK_MOST_ARGS];
  char name[64] = "";
  const int n = link_args_take(args, values);
  if (n < 0 || op.length >= sizeof name)
    return fault_set(fault, FAULT_INVALID, "no arguments of an operation");
  memcpy(name, op.bytes, op.length);
  return link_clerk_call(clerk, old, name, n, values, out, reply, fault);
}

const OwnStore link_store = {.free = link_source_free,
                             .open = own_open,
                             .close = own_close,
                             .load = own_load,
                             .begin = own_begin,
                             .end = own_end,
                             .save = own_save,
                             .fence = own_fence,
                             .fenced = own_fenced,
                             .call = own_call};
