/*
** link: rows that are objects of this process, or of another one that owns them.
**
**   CREATE VIRTUAL TABLE carts USING link(id TEXT PRIMARY KEY, total REAL, items TEXT,
**     load='SELECT id, total, items FROM db.carts WHERE id = ?', write='through',
**     coord='local:/run/app/map.db', me='unix:/run/app/1.sock');
**   SELECT total FROM carts WHERE id = 'c42';      -- no copy, no message, if it is owned here
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/link/tab.h"

typedef struct LinkCursor {
  VtCursor base;
  OwnObject *object; /* the row */
  bool own;          /* the reference is the cursor's */
  /* Rows by their keys: those of a list. */
  OwnKey *keys;
  LinkFound *found;
  size_t nkeys, keys_capacity, at;
  /* Rows in memory, slice by slice. */
  bool slices;
  int slice, only; /* only: this member's, or OWN_NOBODY */
  uint64_t mask;
  OwnObject **rows;
  size_t nrows;
  size_t change; /* then what the transaction has added */
  /* Rows of the database. */
  sqlite3_stmt *scan;
} LinkCursor;

static LinkTab *tab_of(const LinkCursor *cur) { return (LinkTab *)cur->base.tab; }

static void stand_on(LinkCursor *cur, OwnObject *object, bool own) {
  if (cur->own) own_object_drop(cur->object);
  cur->object = object;
  cur->own = own;
  cur->base.eof = !object;
}

/* What a statement that writes has read is what it may change. */
static int keep(LinkCursor *cur, uint64_t version) {
  LinkTab *tab = tab_of(cur);
  if (!cur->object || !tab->base.began) return SQLITE_OK;
  const OwnKey key = own_key_of(&tab->type, cur->object->row);
  return link_note_read(tab, &key, cur->object, version) ? SQLITE_OK : SQLITE_NOMEM;
}

/* ---- rows by their keys ---------------------------------------------------------------------- */

static int next_by_key(LinkCursor *cur) {
  while (cur->at < cur->nkeys) {
    const LinkFound *found = &cur->found[cur->at++];
    if (!found->object) continue;
    stand_on(cur, found->object, false);
    return keep(cur, found->current ? 0 : found->object->version);
  }
  stand_on(cur, NULL, false);
  return SQLITE_OK;
}

static int by_key(const void *a, const void *b) {
  const OwnKey *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  if (x->number != y->number) return x->number < y->number ? -1 : 1;
  if (x->text.length != y->text.length) return x->text.length < y->text.length ? -1 : 1;
  return x->text.length ? memcmp(x->text.bytes, y->text.bytes, x->text.length) : 0;
}

static int add_key(LinkCursor *cur, sqlite3_value *value) {
  OwnKey key;
  if (!link_key_of(&tab_of(cur)->type, value, &key)) return SQLITE_OK;
  if (!array_grow(cur->keys, cur->keys_capacity, cur->nkeys + 1)) return SQLITE_NOMEM;
  if (key.text.length) { /* the value goes with the next one */
    key.text.bytes = arena_strndup(&cur->base.arena, key.text.bytes, key.text.length);
    if (!key.text.bytes) return SQLITE_NOMEM;
  }
  cur->keys[cur->nkeys++] = key;
  return SQLITE_OK;
}

static int seek_list(LinkCursor *cur, const VtTerm *term, Stop *stop) {
  bool started = false;
  int rc = SQLITE_OK, added;
  for (sqlite3_value *value; (value = vt_in_next(term, &started, &rc));)
    if ((added = add_key(cur, value)) != SQLITE_OK) return added;
  if (rc != SQLITE_OK) return rc;
  size_t n = 0;
  if (cur->nkeys > 1) qsort(cur->keys, cur->nkeys, sizeof *cur->keys, by_key);
  for (size_t i = 0; i < cur->nkeys; i++)
    if (!n || by_key(&cur->keys[n - 1], &cur->keys[i])) cur->keys[n++] = cur->keys[i];
  cur->nkeys = 0; /* until there is something to drop */
  if (n && !(cur->found = calloc(n, sizeof *cur->found))) return SQLITE_NOMEM;
  rc = n ? link_reach(tab_of(cur), cur->keys, n, cur->mask, cur->found, stop) : SQLITE_OK;
  if (rc == SQLITE_OK) cur->nkeys = n;
  return rc == SQLITE_OK ? next_by_key(cur) : rc;
}

static int seek_one(LinkCursor *cur, sqlite3_value *value, Stop *stop) {
  OwnKey key;
  LinkFound found;
  if (!link_key_of(&tab_of(cur)->type, value, &key)) {
    cur->base.eof = true;
    return SQLITE_OK;
  }
  const int rc = link_reach(tab_of(cur), &key, 1, cur->mask, &found, stop);
  if (rc != SQLITE_OK) return rc;
  stand_on(cur, found.object, true);
  return keep(cur, found.current || !found.object ? 0 : found.object->version);
}

/* ---- rows in memory -------------------------------------------------------------------------- */

/* Rows that the transaction has made come last; those that it has changed, in their places. */
static bool is_new(const LinkCursor *cur, size_t i) {
  const LinkTab *tab = tab_of(cur);
  const LinkChange *change = &tab->changes[i];
  return change->latest && !change->object->gone;
}

static int next_in_slices(LinkCursor *cur, Stop *stop) {
  LinkTab *tab = tab_of(cur);
  for (;;) {
    while (cur->nrows) {
      OwnObject *object = cur->rows[--cur->nrows], *changed;
      const OwnKey key = own_key_of(&tab->type, object->row);
      if (link_changed(tab, &key, &changed)) {
        own_object_drop(object);
        continue;
      }
      stand_on(cur, object, true);
      return keep(cur, object->version);
    }
    free(cur->rows);
    cur->rows = NULL;
    if (++cur->slice >= tab->table->nslices) break;
    const OwnPlace place = own_node_place(tab->table, cur->slice);
    if (cur->only != OWN_NOBODY && (place.here ? OWN_SELF : place.member) != cur->only) continue;
    const int rc = link_reach_slice(tab, cur->slice, cur->mask, &cur->rows, &cur->nrows, stop);
    if (rc != SQLITE_OK) return rc;
  }
  while (cur->change < tab->nchanges) {
    const size_t i = cur->change++;
    if (!is_new(cur, i)) continue;
    stand_on(cur, own_object_keep(tab->changes[i].object), true);
    return keep(cur, tab->changes[i].version);
  }
  stand_on(cur, NULL, false);
  return SQLITE_OK;
}

/* ---- rows of the database -------------------------------------------------------------------- */

static int next_in_scan(LinkCursor *cur) {
  LinkTab *tab = tab_of(cur);
  const OwnType *type = &tab->type;
  Fault fault = {0};
  vt_internal_enter(tab->base.conn);
  const int rc = sqlite3_step(cur->scan);
  vt_internal_leave(tab->base.conn);
  stand_on(cur, NULL, false);
  if (rc == SQLITE_DONE) return SQLITE_OK;
  if (rc != SQLITE_ROW) return vt_fail_db(&tab->base, "scan");
  OwnRow row;
  memset(row.words, 0, type->words * sizeof *row.words);
  bool ok = true;
  for (int i = 0; ok && i < type->ncolumns; i++) {
    LinkValue value;
    link_value_of_column(cur->scan, i, type->columns[i].kind, &value);
    ok = link_cell_set(type, row.words, i, &value, &fault);
  }
  if (!ok) return vt_fault(&tab->base, &fault);
  stand_on(cur, own_object_make(type, row.words), true);
  return cur->object ? keep(cur, 0) : SQLITE_NOMEM;
}

static int seek_scan(LinkCursor *cur, Stop *stop) {
  LinkTab *tab = tab_of(cur);
  Fault fault = {0};
  if (tab->table->write == OWN_WRITE_BACK) {
    if (tab->nchanges) {
      return vt_fail(&tab->base, SQLITE_ERROR,
                     "a transaction that has changed rows cannot scan: they are not in the "
                     "database yet (write='back')");
    }
    if (!link_flush_all(tab, stop, &fault)) return vt_fault(&tab->base, &fault);
  }
  vt_internal_enter(tab->base.conn);
  const int rc = sqlite3_prepare_v2(tab->base.db, tab->source->scan, -1, &cur->scan, NULL);
  vt_internal_leave(tab->base.conn);
  if (rc != SQLITE_OK) return vt_fail_db(&tab->base, "scan");
  if (sqlite3_column_count(cur->scan) != tab->type.ncolumns) {
    return vt_fail(&tab->base, SQLITE_ERROR, "scan: a query with %d columns is wanted, not %d",
                   tab->type.ncolumns, sqlite3_column_count(cur->scan));
  }
  return next_in_scan(cur);
}

/* ---- the scan -------------------------------------------------------------------------------- */

static int link_seek(VtCursor *base, const VtPlan *plan) {
  LinkCursor *cur = (LinkCursor *)base;
  LinkTab *tab = tab_of(cur);
  Stop stop = {.asked = vt_asked, .ctx = &base->poll};
  const VtTerm *term = vt_term(plan, tab->type.key, VT_OP_EQ);
  const VtTerm *owner = vt_term(plan, tab->type.ncolumns, VT_OP_EQ);
  /* What is written is the whole row. */
  cur->mask = tab->base.began ? ~(sqlite3_uint64)0 : plan->used;
  cur->only = OWN_NOBODY;
  if (own_node_inherited(tab->node)) return vt_fail(&tab->base, SQLITE_MISUSE, LINK_FORKED);
  if (term) return seek_one(cur, term->value, &stop);
  term = vt_term(plan, tab->type.key, VT_OP_IN);
  if (term) return seek_list(cur, term, &stop);
  if (!owner && tab->source->scan) return seek_scan(cur, &stop);
  if (!owner && tab->table->loads)
    return vt_fail(&tab->base, SQLITE_ERROR, "a query without a key needs scan='SELECT ...'");
  cur->slices = true;
  cur->slice = -1;
  if (owner) {
    const char *address = (const char *)sqlite3_value_text(owner->value);
    OwnMember member;
    cur->only = OWN_MEMBERS; /* nobody has that number */
    for (int i = 0; address && own_node_member(tab->node, i, &member); i++)
      if ((member.alive || i == OWN_SELF) && !strcmp(member.address, address)) cur->only = i;
  }
  return next_in_slices(cur, &stop);
}

static int link_next(sqlite3_vtab_cursor *base) {
  LinkCursor *cur = (LinkCursor *)base;
  Stop stop = {.asked = vt_asked, .ctx = &cur->base.poll};
  if (cur->scan) return next_in_scan(cur);
  if (cur->slices) return next_in_slices(cur, &stop);
  return next_by_key(cur);
}

static int link_value(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int col) {
  LinkCursor *cur = (LinkCursor *)base;
  LinkTab *tab = tab_of(cur);
  if (col < tab->type.ncolumns) {
    link_cell_result(&tab->type, cur->object, col, ctx);
    return SQLITE_OK;
  }
  const OwnPlace place = own_node_place(tab->table, own_slice_of(tab->table, cur->object->hash));
  char address[OWN_ADDRESS];
  if (place.here || place.member >= 0)
    sqlite3_result_text(ctx, own_place_address(tab->table, &place, address), -1, SQLITE_TRANSIENT);
  return SQLITE_OK;
}

static sqlite3_int64 link_rowid(VtCursor *base) {
  const LinkCursor *cur = (LinkCursor *)base;
  return own_integer(&tab_of(cur)->type, cur->object->row, tab_of(cur)->type.key);
}

static void link_done(VtCursor *base) {
  LinkCursor *cur = (LinkCursor *)base;
  stand_on(cur, NULL, false);
  for (size_t i = 0; cur->found && i < cur->nkeys; i++) own_object_drop(cur->found[i].object);
  free(cur->found);
  own_rows_drop(cur->rows, cur->nrows);
  sqlite3_finalize(cur->scan);
  cur->found = NULL;
  cur->rows = NULL;
  cur->scan = NULL;
  cur->nkeys = cur->nrows = cur->at = cur->change = 0;
  cur->slices = false;
}

static void link_close(VtCursor *base) { free(((LinkCursor *)base)->keys); }

/* A key is an object of this process, or a message; whole tables are read from the database. */
static void link_estimate(VtTab *base, const VtPlan *plan, double *rows, double *cost) {
  const LinkTab *tab = (LinkTab *)base;
  const bool one = vt_term(plan, tab->type.key, VT_OP_EQ);
  const bool list = vt_term(plan, tab->type.key, VT_OP_IN);
  *rows = one ? 1 : list ? 25 : 1000000;
  *cost = one ? 1 : list ? 25 : 3000000;
}

/* ---- the table's life ------------------------------------------------------------------------ */

static int link_connect(VtTab *base, const VtCreate *create) {
  LinkTab *tab = (LinkTab *)base;
  const int rc = link_tab_declare(tab, create);
  if (rc != SQLITE_OK) return rc;
  LinkState *state = vt_state(base->conn);
  tab->next_tab = state->tabs;
  state->tabs = tab;
  return SQLITE_OK;
}

static void link_disconnect(VtTab *base) {
  LinkTab *tab = (LinkTab *)base;
  LinkState *state = vt_state(base->conn);
  for (LinkTab **at = &state->tabs; *at; at = &(*at)->next_tab) {
    if (*at != tab) continue;
    *at = tab->next_tab;
    break;
  }
  link_changes_end(tab);
  map_finish(&tab->index);
  map_finish(&tab->reads);
  free(tab->changes);
  free(tab->cut);
  free(tab->pins);
  free(tab->marks);
  link_clerk_end(&tab->user);
  if (tab->own) link_store.close(tab->own);
}

static int link_destroy(VtTab *base) {
  LinkTab *tab = (LinkTab *)base;
  link_rollback(tab);
  link_changes_end(tab); /* which asks the table that goes now */
  link_clerk_end(&tab->user);
  link_kept_drop(vt_state(base->conn), tab->schema, tab->name);
  return SQLITE_OK;
}

static int link_rename(VtTab *base, const char *name) {
  return vt_fail(base, SQLITE_ERROR, "it cannot become \"%s\": others know it by its name", name);
}

const VtTable link_table = {
    .name = "link",
    .doc =
        "Rows that are objects of the processes that use them: read here without a copy, or from "
        "the process that owns them, loaded from a database and written to it.",
    .needs = "remote",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .rows = 1000000,
    .wants_used = true,
    .table_size = sizeof(LinkTab),
    .cursor_size = sizeof(LinkCursor),
    .created = true,
    .connect = link_connect,
    .disconnect = link_disconnect,
    .destroy = link_destroy,
    .rename = link_rename,
    .estimate = link_estimate,
    .seek = link_seek,
    .next = link_next,
    .value = link_value,
    .rowid = link_rowid,
    .done = link_done,
    .close = link_close,
    .writer = &link_writer,
};
