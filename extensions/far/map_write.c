/*
** Changes of far_map and far_vector tables. They wait in the connection's far transaction, are seen
** by its own queries, and are committed with it.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"

typedef struct Write { /* one call */
  FarTab *tab;
  VtPoll poll;
  Stop stop;
  Fault fault;
  unsigned char key[FAR_MOST_KEY];
} Write;

static void begin(Write *it, VtTab *base) {
  memset(it, 0, sizeof *it);
  it->tab = (FarTab *)base;
  it->poll = vt_poll_begin(base->conn);
  it->stop = (Stop){.asked = vt_asked, .ctx = &it->poll};
  if (it->tab->map->vector) far_vector_ask(it->tab->map, true);
}

/* The rows of a vector are what they are. */
static int refuse(VtTab *base) {
  return vt_fail(base, SQLITE_READONLY,
                 "a vector has rows 0 to %llu: they can be changed, not added, removed or moved",
                 (unsigned long long)far_vector_length(((FarTab *)base)->map) - 1);
}

static int end(Write *it, int rc) {
  vt_poll_end(&it->poll);
  return rc == SQLITE_OK && it->fault.code != FAULT_NONE ? vt_fault(&it->tab->base, &it->fault)
                                                         : rc;
}

/* ---- what is there --------------------------------------------------------------------------- */

/* The row under the key: as this transaction has it, as its statement read it, or as it is. */
static bool look(Write *it, const unsigned char *key, FarSeen *seen, bool *there) {
  FarTab *tab = it->tab;
  const unsigned char *value;
  FarFound found;
  if (far_txn_look(tab->link->txn, tab->map, key, &value, seen)) {
    *there = value != NULL;
    return true;
  }
  const FarRead *read = far_reads_get(tab, key);
  if (read) {
    *seen = read->seen;
    *there = read->seen.stamp != 0;
    return true;
  }
  if (!far_map_find(tab->map, key, 1, &found, &it->stop, &it->fault)) return false;
  *seen = far_seen(&found);
  *there = found.element != NULL;
  return !found.element || far_reads_add(tab, key, seen, found.element, &it->fault);
}

static int taken(Write *it) {
  FarTab *tab = it->tab;
  const FarColumn *key = &tab->record.columns[tab->record.key];
  const int rc = SQLITE_CONSTRAINT_PRIMARYKEY;
  if (key->type == FAR_INTEGER) {
    int64_t number;
    memcpy(&number, it->key, sizeof number);
    return vt_fail(&tab->base, rc, "there is a row with %s = %lld", key->name, (long long)number);
  }
  return vt_fail(&tab->base, rc, "there is a row with %s = '%.*s'", key->name,
                 it->key[0] | it->key[1] << 8, it->key + 2);
}

/* One more than the largest key. */
static int choose_key(Write *it) {
  FarTab *tab = it->tab;
  FarScan *scan = far_scan_begin(tab->map, &it->fault);
  const unsigned char *element;
  int64_t last = 0;
  int rc = SQLITE_OK;
  if (scan && far_scan_seek(scan, tab->link->txn, NULL, NULL, true, 1, &it->stop, &it->fault) &&
      far_scan_next(scan, &element, NULL, &it->stop, &it->fault) && element) {
    memcpy(&last, element + FAR_STAMP, sizeof last);
    if (last == INT64_MAX)
      rc = vt_fail(&tab->base, SQLITE_FULL, "the largest key is taken: give one");
  }
  far_scan_end(scan);
  last = last < 0 ? 1 : last + (last < INT64_MAX);
  memcpy(it->key, &last, sizeof last);
  return rc;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int key_of_row(Write *it, sqlite3_value *key, sqlite3_value **columns) {
  FarTab *tab = it->tab;
  const FarColumn *column = &tab->record.columns[tab->record.key];
  sqlite3_value *value = columns[tab->record.key];
  /* The rowid is the key by another name. */
  if (column->type == FAR_INTEGER && sqlite3_value_type(value) == SQLITE_NULL) value = key;
  unsigned char element[FAR_STAMP + FAR_MOST_KEY] = {0};
  if (column->type == FAR_INTEGER && sqlite3_value_type(value) == SQLITE_NULL)
    return choose_key(it);
  const int rc = far_put_value(tab, element, tab->record.key, value, &it->stop);
  memcpy(it->key, element + FAR_STAMP, tab->record.shape.key);
  return rc;
}

/* `old`: the row that cells come from that an UPDATE leaves alone. */
static int put_row(Write *it, sqlite3_value **columns, const FarSeen *seen,
                   const unsigned char *old) {
  FarTab *tab = it->tab;
  const FarRecord *record = &tab->record;
  unsigned char *element = calloc(1, record->shape.stride);
  int rc = element ? SQLITE_OK : SQLITE_NOMEM;
  for (int i = 0; rc == SQLITE_OK && i < record->ncolumns; i++) {
    if (i == record->key) continue;
    if (old && sqlite3_value_nochange(columns[i])) {
      const uint32_t at = record->columns[i].at;
      memcpy(element + at, old + at, far_cell_size(record, i));
      far_cell_set_null(record, element, i, far_cell_null(record, old, i));
    } else {
      rc = far_put_value(tab, element, i, columns[i], &it->stop);
    }
  }
  if (rc == SQLITE_OK)
    far_txn_put(tab->link->txn, tab->map, it->key, element + FAR_STAMP + record->shape.key, seen,
                &it->fault);
  free(element);
  return rc;
}

static int map_insert(VtTab *base, sqlite3_value *key, sqlite3_value **columns,
                      sqlite3_int64 *rowid) {
  Write it;
  FarSeen seen;
  bool there = false;
  if (((FarTab *)base)->map->vector) return refuse(base);
  begin(&it, base);
  int rc = key_of_row(&it, key, columns);
  if (rc == SQLITE_OK && it.fault.code == FAULT_NONE && look(&it, it.key, &seen, &there)) {
    rc = there && sqlite3_vtab_on_conflict(base->db) != SQLITE_REPLACE
             ? taken(&it)
             : put_row(&it, columns, &seen, NULL);
    if (it.tab->record.shape.kind == FAR_KEY_INTEGER) memcpy(rowid, it.key, sizeof *rowid);
  }
  return end(&it, rc);
}

static int map_remove(VtTab *base, sqlite3_value *key) {
  Write it;
  FarSeen seen;
  bool there, none;
  if (((FarTab *)base)->map->vector) return refuse(base);
  begin(&it, base);
  far_key_of_value(&it.tab->record, key, it.key, &none);
  if (!none && look(&it, it.key, &seen, &there) && there)
    far_txn_put(it.tab->link->txn, it.tab->map, it.key, NULL, &seen, &it.fault);
  return end(&it, SQLITE_OK);
}

/* The row that an UPDATE takes cells from: as the transaction has it, or as it was read. */
static const unsigned char *old_row(Write *it, const unsigned char *key) {
  FarTab *tab = it->tab;
  const unsigned char *value;
  if (!tab->has_blocks) return NULL;
  if (far_txn_look(tab->link->txn, tab->map, key, &value, NULL))
    return value ? value - FAR_STAMP - tab->record.shape.key : NULL;
  const FarRead *read = far_reads_get(tab, key);
  return read ? read->element : NULL;
}

static int map_update(VtTab *base, sqlite3_value *old_key, sqlite3_value *new_key,
                      sqlite3_value **columns) {
  Write it;
  FarTab *tab = (FarTab *)base;
  unsigned char before[FAR_MOST_KEY];
  FarSeen seen, other;
  bool there, none, over = false;
  begin(&it, base);
  far_key_of_value(&tab->record, old_key, before, &none);
  if (tab->record.shape.kind == FAR_KEY_INTEGER &&
      sqlite3_value_int64(old_key) != sqlite3_value_int64(new_key))
    columns[tab->record.key] = new_key; /* SET rowid = … */
  int rc = key_of_row(&it, new_key, columns);
  if (rc != SQLITE_OK || none || !look(&it, before, &seen, &there)) return end(&it, rc);
  const unsigned char *old = old_row(&it, before);
  if (!far_key_compare(&tab->record.shape, before, it.key))
    return end(&it, put_row(&it, columns, &seen, old));
  if (tab->map->vector) return end(&it, refuse(base));
  if (!look(&it, it.key, &other, &over)) return end(&it, rc);
  if (over && sqlite3_vtab_on_conflict(base->db) != SQLITE_REPLACE) return end(&it, taken(&it));
  rc = put_row(&it, columns, &other, old);
  if (rc == SQLITE_OK && it.fault.code == FAULT_NONE)
    far_txn_put(tab->link->txn, tab->map, before, NULL, &seen, &it.fault);
  return end(&it, rc);
}

const VtWriter far_map_writer = {
    .insert = map_insert,
    .update = map_update,
    .remove = map_remove,
    FAR_TAB_TRANSACTION,
    .constraints = true,
};
