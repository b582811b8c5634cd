/*
** Tables of every kind: how they are made, found by their names, and take part in transactions.
*/
#include <stdlib.h>

#include "extensions/far/far.h"
#include "remote/root.h"

/* ---- opening --------------------------------------------------------------------------------- */

/* Cells of an element that nobody has set: NULL where that may be, and else 0 or empty. */
static bool open_vector(FarTab *tab, Stop *stop, Fault *fault) {
  const FarRecord *record = &tab->record;
  unsigned char *initial = calloc(1, record->shape.stride);
  if (!initial) return fault_oom(fault);
  for (int i = 0; i < record->ncolumns; i++)
    if (!record->columns[i].not_null) far_cell_set_null(record, initial, i, true);
  const FarVectorOptions options = {.length = tab->declared.length,
                                    .initial = initial + FAR_STAMP + record->shape.key};
  const bool ok = far_vector_open(tab->link->memory, tab->far_name, &record->shape, record->schema,
                                  &options, &tab->map, stop, fault);
  free(initial);
  if (ok) far_vector_keep(tab->map, tab->declared.refresh_ns);
  return ok;
}

static bool open_thing(FarTab *tab, Stop *stop, Fault *fault) {
  FarMemory *memory = tab->link->memory;
  const FarRecord *record = &tab->record;
  switch (tab->kind) {
  case FAR_KIND_VECTOR:
    return open_vector(tab, stop, fault);
  case FAR_KIND_QUEUE:
    return far_queue_open(memory, tab->far_name, &record->shape, record->schema,
                          tab->declared.length, &tab->queue, stop, fault);
  case FAR_KIND_HISTOGRAM:
    return far_histogram_open(memory, tab->far_name, &tab->declared.plan, &tab->histogram, stop,
                              fault);
  default:
    return far_map_open(memory, tab->far_name, &record->shape, record->schema, true, &tab->map,
                        stop, fault);
  }
}

int far_tab_connect(FarTab *tab, FarKind kind, const VtCreate *create) {
  FarState *state = vt_state(tab->base.conn);
  FarOptions options = {0};
  Fault fault = {0};
  const int rc = far_tab_declare(tab, kind, create, &options);
  if (rc != SQLITE_OK) return rc;
  VtPoll poll = vt_poll_begin(tab->base.conn);
  Stop stop = {.asked = vt_asked, .ctx = &poll};
  tab->link = far_link(state, tab->at, &options, &fault);
  const bool ok = tab->link && open_thing(tab, &stop, &fault);
  vt_poll_end(&poll);
  if (!ok) return vt_fault(&tab->base, &fault);
  tab->next_known = state->tabs;
  state->tabs = tab;
  if (kind == FAR_KIND_HISTOGRAM) return SQLITE_OK; /* no part of a transaction */
  int settled;
  return create->create ? far_decided_create(tab) : far_decided_settle(tab, &settled);
}

void far_tab_disconnect(VtTab *base) {
  FarTab *tab = (FarTab *)base;
  FarState *state = vt_state(base->conn);
  for (FarTab **at = &state->tabs; *at; at = &(*at)->next_known) {
    if (*at != tab) continue;
    *at = tab->next_known;
    break;
  }
  if (tab->link) far_link_leave(tab->link, tab);
  far_kept_clear(tab);
  far_map_close(tab->map);
  far_queue_close(tab->queue);
  far_histogram_close(tab->histogram);
  map_finish(&tab->read_index);
  arena_finish(&tab->kept);
  free(tab->reads);
  free(tab->stored);
}

/* What the transaction holds of it would be lost without a word: nobody would be told of its end.
** SQLite asks for no reason. */
int far_tab_destroy(VtTab *base) {
  FarTab *tab = (FarTab *)base;
  const FarLink *link = tab->link;
  if (tab->held) return SQLITE_LOCKED;
  for (const FarTab *other = link->tabs; other; other = other->next_tab)
    if (other == tab && link->txn && far_txn_count(link->txn)) return SQLITE_LOCKED;
  return far_decided_drop(tab);
}
int far_tab_rename(VtTab *base, const char *name) {
  return far_decided_rename((FarTab *)base, name);
}
int far_tab_is_shadow(const char *suffix) { return !sqlite3_stricmp(suffix, "decided"); }

/* ---- finding --------------------------------------------------------------------------------- */

/* As SQLite does: in temp, then in main, then elsewhere. */
static FarTab *known(const FarState *state, const char *name) {
  FarTab *best = NULL;
  int best_rank = 3;
  for (FarTab *tab = state->tabs; tab; tab = tab->next_known) {
    const int rank = !sqlite3_stricmp(tab->schema, "temp")   ? 0
                     : !sqlite3_stricmp(tab->schema, "main") ? 1
                                                             : 2;
    if (sqlite3_stricmp(tab->table, name) || rank >= best_rank) continue;
    best = tab;
    best_rank = rank;
  }
  return best;
}

/* A statement that names it makes SQLite connect it. False: no memory. */
static bool connect_it(VtConn *conn, const char *name, sqlite3_stmt **out) {
  char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\"", name);
  vt_internal_enter(conn);
  const int rc = sql ? sqlite3_prepare_v2(vt_db(conn), sql, -1, out, NULL) : SQLITE_NOMEM;
  vt_internal_leave(conn);
  sqlite3_free(sql);
  return rc != SQLITE_NOMEM;
}

static void end_statement(VtConn *conn, sqlite3_stmt *statement) {
  vt_internal_enter(conn);
  sqlite3_finalize(statement);
  vt_internal_leave(conn);
}

bool far_tab_wake(VtConn *conn, const char *name) {
  sqlite3_stmt *statement = NULL;
  if (known(vt_state(conn), name)) return true;
  const bool ok = connect_it(conn, name, &statement);
  end_statement(conn, statement);
  return ok;
}

static FarTab *of_kind(const VtConn *conn, const char *name, FarKind kind, Fault *fault) {
  FarTab *tab = known(vt_state(conn), name);
  if (tab && tab->kind == kind) return tab;
  fault_set(fault, FAULT_NOTFOUND,
            tab ? "table \"%s\" is no %s" : "there is no table \"%s\" that is a %s", name,
            far_kind_name(kind));
  return NULL;
}

FarTab *far_tab_named(VtConn *conn, const char *name, FarKind kind, Fault *fault) {
  if (far_tab_wake(conn, name)) return of_kind(conn, name, kind, fault);
  fault_oom(fault);
  return NULL;
}

bool far_tab_hold(VtConn *conn, const char *name, FarKind kind, FarHold *out, Fault *fault) {
  if (!connect_it(conn, name, &out->statement)) return fault_oom(fault);
  out->tab = of_kind(conn, name, kind, fault);
  if (out->tab && !out->statement) { /* SQLite knows better */
    fault_set(fault, FAULT_NOTFOUND, "there is no table \"%s\" any more", name);
    out->tab = NULL;
  }
  if (out->tab) out->tab->held++;
  if (!out->tab) far_tab_let_go(conn, out);
  return out->tab != NULL;
}

void far_tab_let_go(VtConn *conn, FarHold *hold) {
  if (hold->tab) hold->tab->held--;
  if (hold->statement) end_statement(conn, hold->statement);
  *hold = (FarHold){0};
}

FarTab *far_tab_find(sqlite3_context *ctx, sqlite3_value *value, FarKind kind) {
  const char *name = func_text(ctx, value, NULL);
  Fault fault = {0};
  FarTab *tab = name ? far_tab_named(vt_conn(ctx), name, kind, &fault) : NULL;
  if (name && !tab) func_fault(ctx, &fault);
  return tab;
}

/* ---- transactions ---------------------------------------------------------------------------- */

int far_tab_begin(VtTab *base) {
  Fault fault = {0};
  return far_link_begin(((FarTab *)base)->link, (FarTab *)base, &fault) ? SQLITE_OK
                                                                        : vt_fault(base, &fault);
}

int far_tab_sync(VtTab *base) {
  FarTab *tab = (FarTab *)base;
  VtPoll poll = vt_poll_begin(base->conn);
  Stop stop = {.asked = vt_asked, .ctx = &poll};
  const int rc = far_link_sync(tab->link, tab, &stop);
  vt_poll_end(&poll);
  return rc;
}

void far_tab_commit(VtTab *base) { far_link_end(((FarTab *)base)->link, true); }

void far_tab_rollback(VtTab *base) { far_link_end(((FarTab *)base)->link, false); }

int far_tab_savepoint(VtTab *base, int n) {
  Fault fault = {0};
  FarLink *link = ((FarTab *)base)->link;
  return !link->txn || far_link_savepoint(link, n, &fault) ? SQLITE_OK : vt_fault(base, &fault);
}

int far_tab_release(VtTab *base, int n) {
  far_link_release(((FarTab *)base)->link, n);
  return SQLITE_OK;
}

int far_tab_rollback_to(VtTab *base, int n) {
  Fault fault = {0};
  FarLink *link = ((FarTab *)base)->link;
  return !link->txn || far_link_rollback_to(link, n, &fault) ? SQLITE_OK : vt_fault(base, &fault);
}
