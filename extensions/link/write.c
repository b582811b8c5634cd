/*
** Changes of link tables. With write='through' each is written to the table behind at once, on the
** same connection: what a transaction does is undone by SQLite itself. What rows have become is
** kept with the transaction, is seen by its own queries, and goes to their owners when it commits
** (commit.c).
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/link/tab.h"

/* ---- what the transaction has read and changed ----------------------------------------------- */

static int64_t latest(const LinkTab *tab, const OwnKey *key) {
  size_t length;
  const void *bytes = link_key_bytes(&tab->type, key, &length);
  const int64_t *at = map_get(&tab->index, bytes ? bytes : "", length);
  return at ? *at : -1;
}

bool link_changed(const LinkTab *tab, const OwnKey *key, OwnObject **out) {
  const int64_t at = tab->nchanges ? latest(tab, key) : -1;
  if (at < 0) return false;
  OwnObject *object = tab->changes[at].object;
  *out = object->gone ? NULL : object;
  return true;
}

static bool put(Map *map, const LinkTab *tab, const OwnKey *key, int64_t value) {
  size_t length;
  const void *bytes = link_key_bytes(&tab->type, key, &length);
  int64_t *at = map_put(map, bytes ? bytes : "", length, value, NULL);
  if (at) *at = value;
  return at != NULL;
}

static bool read_version(const LinkTab *tab, const OwnKey *key, uint64_t *out) {
  size_t length;
  const void *bytes = link_key_bytes(&tab->type, key, &length);
  const int64_t *at = map_get(&tab->reads, bytes ? bytes : "", length);
  if (at) *out = (uint64_t)*at;
  return at != NULL;
}

/* A row of this process stays as it was read, once. */
static bool pin(LinkTab *tab, const OwnKey *key, OwnObject *object, uint64_t version) {
  uint64_t before;
  if (read_version(tab, key, &before) && before == version) return true;
  if (!own_node_place(tab->table, own_slice_of(tab->table, key->hash)).here) return true;
  if (!array_grow(tab->pins, tab->pins_capacity, tab->npins + 1)) return false;
  tab->pins[tab->npins++] = own_object_keep(object);
  return true;
}

bool link_note_read(LinkTab *tab, const OwnKey *key, OwnObject *object, uint64_t version) {
  if (tab->table->most && version && !pin(tab, key, object, version)) return false;
  return put(&tab->reads, tab, key, (int64_t)version);
}

/* Takes the reference. What is expected of the row when it commits is what was expected by its
** first change. */
static int add_change(LinkTab *tab, OwnObject *object, OwnExpect expect, uint64_t version) {
  if (!object) return SQLITE_NOMEM;
  const OwnKey key = own_key_of(&tab->type, object->row);
  const int64_t before = latest(tab, &key);
  if (!array_grow(tab->changes, tab->changes_capacity, tab->nchanges + 1) ||
      !array_grow(tab->cut, tab->cut_capacity, tab->ncut + tab->nchanges + 1) ||
      !put(&tab->index, tab, &key, (int64_t)tab->nchanges)) {
    own_object_drop(object);
    return SQLITE_NOMEM;
  }
  LinkChange *change = &tab->changes[tab->nchanges++];
  *change = (LinkChange){object, expect, version, before, true};
  if (before >= 0) {
    tab->changes[before].latest = false;
    change->expect = tab->changes[before].expect;
    change->version = tab->changes[before].version;
  }
  return SQLITE_OK;
}

static bool through(const LinkTab *tab) { return tab->table->write == OWN_WRITE_THROUGH; }

bool link_doubtful(const LinkTab *tab, const OwnKey *key) {
  size_t length;
  const void *bytes = link_key_bytes(&tab->type, key, &length);
  const int64_t *at = map_get(&tab->index, bytes ? bytes : "", length);
  return at && *at < 0 && through(tab);
}

/* What was added since is taken back: nothing is allocated. SQLite may have undone in the database
** what a statement had written, or not: that of an attached database stays when a statement fails
** half-way. */
static void cut_changes(LinkTab *tab, size_t n) {
  while (tab->nchanges > n) {
    LinkChange *change = &tab->changes[--tab->nchanges];
    const OwnKey key = own_key_of(&tab->type, change->object->row);
    size_t length;
    const void *bytes = link_key_bytes(&tab->type, &key, &length);
    int64_t *at = map_get(&tab->index, bytes ? bytes : "", length);
    if (at) *at = change->before;
    if (change->before >= 0) tab->changes[change->before].latest = true;
    if (through(tab)) {
      tab->cut[tab->ncut++] = change->object;
    } else {
      own_object_drop(change->object);
    }
  }
}

void link_changes_end(LinkTab *tab) {
  cut_changes(tab, 0);
  while (tab->ncut) own_object_drop(tab->cut[--tab->ncut]);
  while (tab->npins) own_object_drop(tab->pins[--tab->npins]);
  map_finish(&tab->index);
  map_finish(&tab->reads);
  tab->nmarks = 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int row_of(LinkTab *tab, sqlite3_value *key, sqlite3_value **columns, OwnRow *out) {
  const OwnType *type = &tab->type;
  Fault fault = {0};
  memset(out->words, 0, type->words * sizeof *out->words);
  for (int i = 0; i < type->ncolumns; i++) {
    LinkValue value;
    sqlite3_value *given = columns[i];
    /* The rowid is the key by another name. */
    if (i == type->key && type->columns[i].kind == OWN_INTEGER &&
        sqlite3_value_type(given) == SQLITE_NULL)
      given = key;
    if (!link_value_of(given, type->columns[i].kind, &value)) return SQLITE_NOMEM;
    if (value.type == LINK_NULL && (type->columns[i].not_null || i == type->key)) {
      return vt_fail(&tab->base, SQLITE_CONSTRAINT_NOTNULL, "column \"%s\" may not be NULL",
                     type->columns[i].name);
    }
    if (!link_cell_set(type, out->words, i, &value, &fault)) {
      const int rc = fault.code == FAULT_INVALID ? SQLITE_CONSTRAINT_DATATYPE : SQLITE_TOOBIG;
      return vt_fail(&tab->base, rc, "%s", fault.text);
    }
  }
  return SQLITE_OK;
}

static int taken(LinkTab *tab, const OwnKey *key) {
  char text[48];
  return vt_fail(&tab->base, SQLITE_CONSTRAINT_PRIMARYKEY, "there is a row with %s = %s",
                 tab->type.columns[tab->type.key].name, own_key_print(&tab->type, key, text));
}

/* What the database refuses is told as it tells it. */
static int written(LinkTab *tab, int rc, const Fault *fault) {
  if (rc == SQLITE_OK || rc == SQLITE_NOMEM) return rc;
  return vt_fail(&tab->base, rc, "%s", fault->text);
}

/* The row as the database has it now, which may be another one than was written: triggers, types.
** */
static int add_stored(LinkTab *tab, const OwnKey *key, OwnExpect expect, uint64_t version) {
  Fault fault = {0};
  OwnObject *object;
  if (!link_clerk_load(&tab->user, key, &object, &fault)) return vt_fault(&tab->base, &fault);
  return add_change(tab, object ? object : own_object_make_gone(&tab->type, key), expect, version);
}

int link_settle_cut(LinkTab *tab) {
  int rc = SQLITE_OK;
  for (size_t i = 0; rc == SQLITE_OK && i < tab->ncut; i++) {
    const OwnKey key = own_key_of(&tab->type, tab->cut[i]->row);
    if (latest(tab, &key) < 0) rc = add_stored(tab, &key, OWN_ANY, 0);
  }
  return rc;
}

static int add_gone(LinkTab *tab, const OwnKey *key, OwnExpect expect, uint64_t version) {
  return add_change(tab, own_object_make_gone(&tab->type, key), expect, version);
}

/* The row under a key, and what to expect of it. */
static int look(LinkTab *tab, const OwnKey *key, bool *out_there, OwnExpect *expect,
                uint64_t *version) {
  VtPoll poll = vt_poll_begin(tab->base.conn);
  Stop stop = {.asked = vt_asked, .ctx = &poll};
  LinkFound found = {0};
  const int rc = link_reach(tab, key, 1, UINT64_MAX, &found, &stop);
  vt_poll_end(&poll);
  *out_there = found.object != NULL;
  *expect = found.object ? OWN_VERSION : OWN_NONE;
  *version = found.object ? found.object->version : 0;
  if (found.current) *expect = OWN_ANY;
  own_object_drop(found.object);
  return rc;
}

/* What was read under the key is what will be expected there. */
static int expectation(LinkTab *tab, const OwnKey *key, OwnExpect *expect, uint64_t *version) {
  bool there;
  *version = 0;
  if (read_version(tab, key, version)) {
    *expect = *version ? OWN_VERSION : OWN_ANY;
    return SQLITE_OK;
  }
  return look(tab, key, &there, expect, version);
}

/* One more than the largest key: of a table in memory that would be a look at every row. */
static int choose_key(LinkTab *tab, sqlite3_value *key, sqlite3_value **columns) {
  const OwnType *type = &tab->type;
  if (type->columns[type->key].kind == OWN_TEXT || sqlite3_value_type(key) != SQLITE_NULL ||
      sqlite3_value_type(columns[type->key]) != SQLITE_NULL)
    return SQLITE_OK;
  /* No constraint: OR IGNORE would lose the row without a word. */
  return vt_fail(&tab->base, SQLITE_ERROR, "column \"%s\" may not be NULL: give a key",
                 type->columns[type->key].name);
}

/* ---- statements ------------------------------------------------------------------------------ */

static int link_insert(VtTab *base, sqlite3_value *given, sqlite3_value **columns,
                       sqlite3_int64 *rowid) {
  LinkTab *tab = (LinkTab *)base;
  const OwnType *type = &tab->type;
  const bool replace = sqlite3_vtab_on_conflict(base->db) == SQLITE_REPLACE;
  OwnRow row;
  Fault fault = {0};
  int rc = choose_key(tab, given, columns);
  if (rc == SQLITE_OK) rc = row_of(tab, given, columns, &row);
  if (rc != SQLITE_OK) return rc;
  const OwnKey key = own_key_of(type, row.words);
  if (type->columns[type->key].kind == OWN_INTEGER) *rowid = key.number;
  if (through(tab)) {
    rc =
        link_clerk_write(&tab->user, replace ? LINK_REPLACE : LINK_INSERT, row.words, NULL, &fault);
    return rc == SQLITE_OK ? add_stored(tab, &key, OWN_ANY, 0) : written(tab, rc, &fault);
  }
  bool there;
  OwnExpect expect;
  uint64_t version;
  rc = look(tab, &key, &there, &expect, &version);
  if (rc == SQLITE_OK && there && !replace) return taken(tab, &key);
  return rc == SQLITE_OK ? add_change(tab, own_object_make(type, row.words), expect, version) : rc;
}

static int link_remove(VtTab *base, sqlite3_value *given) {
  LinkTab *tab = (LinkTab *)base;
  OwnKey key;
  OwnExpect expect;
  uint64_t version;
  Fault fault = {0};
  if (!link_key_of(&tab->type, given, &key)) return SQLITE_OK;
  int rc = expectation(tab, &key, &expect, &version);
  if (rc == SQLITE_OK && through(tab)) {
    rc = link_clerk_write(&tab->user, LINK_REMOVE, NULL, &key, &fault);
    if (rc != SQLITE_OK) return written(tab, rc, &fault);
    return add_stored(tab, &key, expect, version);
  }
  return rc == SQLITE_OK ? add_gone(tab, &key, expect, version) : rc;
}

/* An operation has looked at this version of the row. */
static int check_call(LinkTab *tab, uint64_t version) {
  if (!tab->calling || !tab->call_version || version == tab->call_version) return SQLITE_OK;
  return vt_fail(&tab->base, SQLITE_BUSY_SNAPSHOT, "the row was changed meanwhile");
}

static int update_through(LinkTab *tab, const OwnKey *old_key, const OwnKey *key, const OwnRow *row,
                          OwnExpect expect, uint64_t version) {
  const bool replace = sqlite3_vtab_on_conflict(tab->base.db) == SQLITE_REPLACE;
  const bool same = own_keys_equal(old_key, key);
  Fault fault = {0};
  int rc = link_clerk_write(&tab->user, replace ? LINK_UPDATE_REPLACE : LINK_UPDATE, row->words,
                            old_key, &fault);
  if (rc != SQLITE_OK) return written(tab, rc, &fault);
  if (!sqlite3_changes(tab->base.db)) {
    char text[48];
    return vt_fail(&tab->base, SQLITE_BUSY_SNAPSHOT, "the row %s is not in the database",
                   own_key_print(&tab->type, old_key, text));
  }
  if (!same) rc = add_stored(tab, old_key, expect, version);
  return rc == SQLITE_OK ? add_stored(tab, key, same ? expect : OWN_ANY, same ? version : 0) : rc;
}

static int link_update(VtTab *base, sqlite3_value *old_given, sqlite3_value *new_given,
                       sqlite3_value **columns) {
  LinkTab *tab = (LinkTab *)base;
  const OwnType *type = &tab->type;
  OwnKey old_key;
  OwnRow row;
  OwnExpect expect, other = OWN_ANY;
  uint64_t version, other_version = 0;
  bool there = false;
  if (!link_key_of(type, old_given, &old_key)) return SQLITE_OK;
  if (type->columns[type->key].kind == OWN_INTEGER &&
      sqlite3_value_int64(old_given) != sqlite3_value_int64(new_given))
    columns[type->key] = new_given; /* SET rowid = … */
  int rc = row_of(tab, new_given, columns, &row);
  if (rc == SQLITE_OK) rc = expectation(tab, &old_key, &expect, &version);
  if (rc == SQLITE_OK) rc = check_call(tab, version);
  if (rc != SQLITE_OK) return rc;
  const OwnKey key = own_key_of(type, row.words);
  if (through(tab)) return update_through(tab, &old_key, &key, &row, expect, version);
  if (own_keys_equal(&key, &old_key))
    return add_change(tab, own_object_make(type, row.words), expect, version);
  rc = look(tab, &key, &there, &other, &other_version);
  if (rc == SQLITE_OK && there && sqlite3_vtab_on_conflict(base->db) != SQLITE_REPLACE)
    return taken(tab, &key);
  if (rc == SQLITE_OK) rc = add_gone(tab, &old_key, expect, version);
  if (rc != SQLITE_OK) return rc;
  return add_change(tab, own_object_make(type, row.words), other, other_version);
}

/* ---- transactions ---------------------------------------------------------------------------- */

static int link_begin(VtTab *base) {
  link_changes_end((LinkTab *)base);
  return SQLITE_OK;
}

static int link_table_sync(VtTab *base) {
  VtPoll poll = vt_poll_begin(base->conn);
  Stop stop = {.asked = vt_asked, .ctx = &poll};
  const int rc = link_sync((LinkTab *)base, &stop);
  vt_poll_end(&poll);
  return rc;
}

static void link_table_commit(VtTab *base) {
  link_commit((LinkTab *)base);
  link_changes_end((LinkTab *)base);
}

static void link_table_rollback(VtTab *base) {
  link_rollback((LinkTab *)base);
  link_changes_end((LinkTab *)base);
}

static int link_savepoint(VtTab *base, int n) {
  LinkTab *tab = (LinkTab *)base;
  if (!array_grow(tab->marks, tab->marks_capacity, (size_t)n + 1)) return SQLITE_NOMEM;
  while (tab->nmarks <= (size_t)n) tab->marks[tab->nmarks++] = tab->nchanges;
  return SQLITE_OK;
}

static int link_release(VtTab *base, int n) {
  LinkTab *tab = (LinkTab *)base;
  if (tab->nmarks > (size_t)(n < 0 ? 0 : n)) tab->nmarks = n < 0 ? 0 : (size_t)n;
  return SQLITE_OK;
}

static int link_rollback_to(VtTab *base, int n) {
  LinkTab *tab = (LinkTab *)base;
  if (n >= 0 && tab->nmarks <= (size_t)n) return SQLITE_OK;
  cut_changes(tab, n < 0 ? 0 : tab->marks[n]);
  tab->nmarks = (size_t)(n + 1);
  return SQLITE_OK;
}

const VtWriter link_writer = {
    .insert = link_insert,
    .update = link_update,
    .remove = link_remove,
    .begin = link_begin,
    .sync = link_table_sync,
    .commit = link_table_commit,
    .rollback = link_table_rollback,
    .savepoint = link_savepoint,
    .release = link_release,
    .rollback_to = link_rollback_to,
    .constraints = true,
};
