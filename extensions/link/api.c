/*
** What a program in C gets at: link.h.
*/
#include <stdio.h>
#include <string.h>

#include "extensions/link/tab.h"

_Static_assert(sizeof(LinkBytes) == sizeof(OwnBytes) &&
                   offsetof(LinkBytes, length) == offsetof(OwnBytes, length),
               "cells are the same to both sides");
_Static_assert((int)LINK_INTEGER == (int)OWN_INTEGER && (int)LINK_BLOB == (int)OWN_BLOB,
               "types are the same to both sides");

static LinkKept *kept_of(LinkTable *table) { return (LinkKept *)table; }

static LinkTable *api_table(sqlite3 *db, const char *name) {
  LinkKept *kept = NULL;
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2(db, "SELECT link_api(?1, ?2)", -1, &statement, NULL) != SQLITE_OK)
    return NULL;
  sqlite3_bind_pointer(statement, 1, &kept, "link-table-1", NULL);
  sqlite3_bind_text(statement, 2, name, -1, SQLITE_TRANSIENT);
  sqlite3_step(statement);
  sqlite3_finalize(statement);
  return (LinkTable *)kept;
}

static int api_agree(LinkTable *handle, const LinkField *fields, int n, size_t size, char *why,
                     size_t room) {
  const OwnType *type = &kept_of(handle)->table->type;
  if (n != type->ncolumns || size != type->words * sizeof(uint64_t)) {
    snprintf(why, room, "%d columns in %zu bytes, the table has %d in %zu", n, size, type->ncolumns,
             type->words * sizeof(uint64_t));
    return SQLITE_MISMATCH;
  }
  for (int i = 0; i < n; i++) {
    const OwnColumn *column = &type->columns[i];
    if (!sqlite3_stricmp(fields[i].name, column->name) && fields[i].type == (int)column->kind &&
        fields[i].offset == column->at * sizeof(uint64_t))
      continue;
    snprintf(why, room, "field %d, \"%s\" at %zu, is column \"%s\" at %zu", i, fields[i].name,
             fields[i].offset, column->name, column->at * sizeof(uint64_t));
    return SQLITE_MISMATCH;
  }
  if (room) *why = '\0';
  return SQLITE_OK;
}

/* A row that is not in memory: loaded, and there as long as the reference is. */
static int load(LinkKept *kept, const OwnKey *key, OwnObject **out) {
  LinkFound found = {0};
  sqlite3_stmt *hold = NULL;
  Text name = {0};
  text_addf(&name, "%s.%s", kept->schema, kept->name);
  LinkTab *tab = name.oom ? NULL : link_tab_find(kept->conn, name.data, &hold, NULL);
  text_finish(&name);
  if (!tab) {
    sqlite3_finalize(hold);
    return SQLITE_ERROR;
  }
  const int rc = link_reach(tab, key, 1, UINT64_MAX, &found, NULL);
  *out = found.object;
  sqlite3_finalize(hold);
  return rc == SQLITE_OK && !found.object ? SQLITE_NOTFOUND : rc;
}

static int pin(LinkKept *kept, const OwnKey *key, const void **out) {
  OwnObject *object;
  uint64_t ticket;
  *out = NULL;
  if (own_node_inherited(kept->node)) return SQLITE_MISUSE;
  OwnAnswer answer = own_table_find(kept->table, key, &object, &ticket);
  if (answer == OWN_MISS) {
    OwnObject *loaded = NULL;
    const int rc = load(kept, key, &loaded);
    if (rc == SQLITE_OK) answer = own_table_find(kept->table, key, &object, &ticket);
    own_object_drop(loaded);
    if (rc != SQLITE_OK) return rc;
  }
  if (answer == OWN_FOUND) *out = object->row;
  return answer == OWN_FOUND ? SQLITE_OK : answer == OWN_ABSENT ? SQLITE_NOTFOUND : SQLITE_BUSY;
}

static OwnKind key_kind(const LinkKept *kept) {
  const OwnType *type = &kept->table->type;
  return type->columns[type->key].kind;
}

static int api_pin_text(LinkTable *handle, const char *key, size_t length, const void **out) {
  if (key_kind(kept_of(handle)) != OWN_TEXT) return SQLITE_MISMATCH;
  const OwnKey it = own_key_text(key, length);
  return pin(kept_of(handle), &it, out);
}

static int api_pin_integer(LinkTable *handle, int64_t key, const void **out) {
  if (key_kind(kept_of(handle)) != OWN_INTEGER) return SQLITE_MISMATCH;
  const OwnKey it = own_key_number(key);
  return pin(kept_of(handle), &it, out);
}

static void api_unpin(const void *row) {
  if (row) own_object_drop((OwnObject *)((char *)row - offsetof(OwnObject, row)));
}

static int api_define(LinkTable *handle, const char *operation, LinkOperation *function,
                      void *ctx) {
  return link_operation_define(kept_of(handle)->table->name, operation, function, ctx)
             ? SQLITE_OK
             : SQLITE_NOMEM;
}

static const LinkApi api = {.version = 1,
                            .table = api_table,
                            .agree = api_agree,
                            .pin_text = api_pin_text,
                            .pin_integer = api_pin_integer,
                            .unpin = api_unpin,
                            .define = api_define,
                            .alloc = link_operation_alloc,
                            .fail = link_operation_fail};

void link_api_give(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  const LinkApi **out = sqlite3_value_pointer(argv[0], "link-api-1");
  LinkKept **kept = sqlite3_value_pointer(argv[0], "link-table-1");
  if (out && argc == 1) {
    *out = &api;
  } else if (kept && argc == 2) {
    sqlite3_stmt *hold = NULL;
    const char *name = func_text(ctx, argv[1], NULL);
    const LinkTab *tab = name ? link_tab_find(vt_conn(ctx), name, &hold, NULL) : NULL;
    if (tab) *kept = tab->kept;
    sqlite3_finalize(hold);
  } else {
    func_fail(ctx, SQLITE_MISUSE, "it is for programs in C, which bind a pointer (link.h)");
  }
}
