/*
** link_call(): the operation travels to the row's owner, not the row. Here it is an UPDATE like any
** other, in the transaction of the statement; elsewhere it is a transaction of its own.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/link/calls.h"

static bool is_named(const LinkTab *tab, const char *name) {
  const char *dot = strchr(name, '.');
  const size_t length = dot ? (size_t)(dot - name) : 0;
  if (dot && (length != strlen(tab->schema) || sqlite3_strnicmp(name, tab->schema, (int)length)))
    return false;
  return !sqlite3_stricmp(dot ? dot + 1 : name, tab->name);
}

/* A statement opens the tables that it names, and keeps them open. */
LinkTab *link_tab_find(VtConn *conn, const char *name, sqlite3_stmt **out_hold, Fault *fault) {
  const char *dot = strchr(name, '.');
  char *sql =
      dot ? sqlite3_mprintf("SELECT 1 FROM \"%.*w\".\"%w\"", (int)(dot - name), name, dot + 1)
          : sqlite3_mprintf("SELECT 1 FROM \"%w\"", name);
  *out_hold = NULL;
  int rc = SQLITE_NOMEM;
  vt_internal_enter(conn);
  if (sql) rc = sqlite3_prepare_v2(vt_db(conn), sql, -1, out_hold, NULL);
  vt_internal_leave(conn);
  sqlite3_free(sql);
  LinkTab *tab = rc == SQLITE_OK ? ((const LinkState *)vt_state(conn))->tabs : NULL;
  while (tab && !is_named(tab, name)) tab = tab->next_tab;
  if (rc == SQLITE_NOMEM) fault_oom(fault);
  if (!tab) fault_set(fault, FAULT_NOTFOUND, "there is no link table \"%.100s\"", name);
  return tab;
}

/* ---- here ------------------------------------------------------------------------------------ */

static char *update_sql(const LinkTab *tab) {
  const OwnType *type = &tab->type;
  Text sql = {0};
  const char *comma = " SET ";
  text_add(&sql, "UPDATE ");
  text_add_name(&sql, tab->schema);
  text_addc(&sql, '.');
  text_add_name(&sql, tab->name);
  for (int i = 0; i < type->ncolumns; i++) {
    if (i == type->key) continue;
    text_add(&sql, comma);
    text_add_name(&sql, type->columns[i].name);
    text_addf(&sql, "=?%d", i + 1);
    comma = ",";
  }
  text_add(&sql, " WHERE ");
  text_add_name(&sql, type->columns[type->key].name);
  text_addf(&sql, "=?%d", type->key + 1);
  if (!sql.oom) return sql.data;
  text_finish(&sql);
  return NULL;
}

/* The new row in the old one's place, if that is still the one that was looked at. */
static int store(LinkTab *tab, const OwnObject *new, uint64_t version, Fault *fault) {
  const OwnType *type = &tab->type;
  sqlite3_stmt *statement = NULL;
  char *sql = update_sql(tab);
  if (!sql) {
    fault_oom(fault);
    return SQLITE_NOMEM;
  }
  vt_internal_enter(tab->base.conn);
  tab->calling = true;
  tab->call_version = version;
  int rc = sqlite3_prepare_v2(tab->base.db, sql, -1, &statement, NULL);
  for (int i = 0; rc == SQLITE_OK && i < type->ncolumns; i++) {
    const LinkValue value = link_cell_get(type, new->row, i);
    rc = link_value_bind(statement, i + 1, &value);
  }
  if (rc == SQLITE_OK) rc = sqlite3_step(statement) == SQLITE_DONE ? SQLITE_OK : SQLITE_ERROR;
  if (rc != SQLITE_OK) {
    rc = sqlite3_extended_errcode(tab->base.db);
    const char *why = sqlite3_errmsg(tab->base.db);
    const size_t length = strlen(tab->name); /* whose table it is the caller will say */
    if (!strncmp(why, tab->name, length) && !strncmp(why + length, ": ", 2)) why += length + 2;
    if (rc == SQLITE_NOMEM) fault_oom(fault);
    fault_set(fault, (rc & 0xff) == SQLITE_BUSY ? FAULT_BUSY : FAULT_INVALID, "%s", why);
  }
  sqlite3_finalize(statement);
  tab->calling = false;
  vt_internal_leave(tab->base.conn);
  free(sql);
  return rc;
}

/* OWN_FOUND: done. OWN_CONFLICT: somebody was faster. */
static OwnAnswer call_here(LinkTab *tab, LinkCallArgs *call, Stop *stop, Fault *fault) {
  LinkFound found = {0};
  OwnObject *new = NULL;
  call->reply.length = 0;
  if (!link_find(tab, &call->key, 1, UINT64_MAX, &found, stop, fault)) return OWN_MISS;
  if (!found.object) return OWN_ABSENT;
  OwnAnswer answer = OWN_MISS;
  if (link_clerk_call(&tab->user, found.object, call->op, call->nargs, call->args, &new,
                      &call->reply, fault)) {
    OwnObject *mine;
    const bool own = found.current || link_changed(tab, &call->key, &mine);
    const int rc = store(tab, new, own ? 0 : found.object->version, fault);
    answer = rc == SQLITE_OK ? OWN_FOUND : rc == SQLITE_BUSY_SNAPSHOT ? OWN_CONFLICT : OWN_MISS;
  }
  own_object_drop(new);
  own_object_drop(found.object);
  return answer;
}

/* ---- elsewhere ------------------------------------------------------------------------------- */

static bool put_args(FarWireBuffer *out, const LinkCallArgs *call) {
  const size_t from = out->length;
  if (!own_put_word(out, 0) || !own_put_word(out, (uint64_t)call->nargs)) return false;
  for (int i = 0; i < call->nargs; i++)
    if (!link_value_put(out, &call->args[i])) return false;
  const uint64_t length = out->length - from - 8;
  memcpy(out->bytes + from, &length, sizeof length);
  return true;
}

static OwnAnswer call_there(LinkTab *tab, LinkCallArgs *call, const OwnPlace *place, Stop *stop,
                            Fault *fault) {
  Fault told = {0};
  OwnAnswer answer = OWN_WAIT;
  const unsigned char *at, *end;
  OwnBytes result;
  OwnPeer *peer = link_peer(tab, place->member, stop, &told);
  if (!peer) return OWN_WAIT; /* it was not asked */
  FarWireBuffer *out = own_peer_begin(peer, OWN_MSG_CALL, tab->table->name);
  if (!out || !own_put_word(out, place->epoch) || !own_put_key(out, &tab->type, &call->key) ||
      !own_put_bytes(out, call->op, strlen(call->op)) || !put_args(out, call))
    return OWN_NOMEM;
  tab->kept->counts.messages++;
  if (!own_peer_ask(peer, &answer, &at, &end, stop, &told)) {
    if (told.code == FAULT_IO && own_peer_lost(peer)) {
      fault_set(fault, FAULT_IO, "%s: whether the operation was done is not known", told.text);
    } else {
      fault_set(fault, told.code, "%s", told.text);
    }
    return OWN_MISS;
  }
  if (answer != OWN_FOUND) return answer;
  link_near_forget(tab, &call->key);
  call->reply.length = 0;
  if (!own_take_bytes(&at, end, &result) ||
      !far_wire_add(&call->reply, result.bytes, result.length))
    return OWN_NOMEM;
  return OWN_FOUND;
}

/* ---- the call -------------------------------------------------------------------------------- */

static OwnAnswer call_once(LinkTab *tab, LinkCallArgs *call, Stop *stop, Fault *fault) {
  const OwnPlace place = own_node_place(tab->table, own_slice_of(tab->table, call->key.hash));
  if (place.here) return call_here(tab, call, stop, fault);
  if (place.member <= OWN_SELF) return OWN_WAIT;
  if (sqlite3_get_autocommit(tab->base.db)) return call_there(tab, call, &place, stop, fault);
  fault_set(fault, FAULT_UNSUPPORTED,
            "the row is another process's: an operation there is no part of this transaction");
  return OWN_MISS;
}

bool link_call_run(LinkTab *tab, LinkCallArgs *call, Stop *stop, bool *out_there, Fault *fault) {
  LinkWait wait = {0};
  for (;;) {
    Fault told = {0};
    const OwnAnswer answer = call_once(tab, call, stop, &told);
    *out_there = answer == OWN_FOUND;
    if (answer == OWN_FOUND || answer == OWN_ABSENT) return true;
    if (answer == OWN_NOMEM) return fault_oom(fault);
    const bool again =
        answer != OWN_MISS && (answer != OWN_CONFLICT || sqlite3_get_autocommit(tab->base.db));
    if (!again) return fault_set(fault, told.code, "%s", told.text);
    if (!link_wait(tab, &wait, "the owner of the row does not answer", stop, fault)) return false;
  }
}
