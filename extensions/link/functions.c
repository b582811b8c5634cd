/*
** Functions on link tables.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/link/calls.h"

typedef struct Frame { /* of a function on a table */
  sqlite3_context *ctx;
  LinkTab *tab;
  sqlite3_stmt *hold; /* the table */
  VtPoll poll;
  Stop stop;
  Fault fault;
} Frame;

static bool begin(Frame *it, sqlite3_context *ctx, sqlite3_value *table) {
  const char *name = func_text(ctx, table, NULL);
  *it = (Frame){.ctx = ctx};
  if (!name) return false;
  it->tab = link_tab_find(vt_conn(ctx), name, &it->hold, &it->fault);
  if (!it->tab) func_fault(ctx, &it->fault);
  if (it->tab && own_node_inherited(it->tab->node)) {
    func_fail(ctx, SQLITE_MISUSE, LINK_FORKED);
    it->tab = NULL;
  }
  if (!it->tab) {
    sqlite3_finalize(it->hold);
    return false;
  }
  it->poll = vt_poll_begin(vt_conn(ctx));
  return true;
}

static void end(Frame *it, bool ok) {
  if (!ok) {
    if (it->fault.code != FAULT_INTERRUPT) fault_prefix(&it->fault, "%s: ", it->tab->name);
    func_fault(it->ctx, &it->fault);
  }
  vt_poll_end(&it->poll);
  sqlite3_finalize(it->hold);
}

static bool key_of(Frame *it, sqlite3_value *value, OwnKey *out) {
  return link_key_of(&it->tab->type, value, out) ||
         fault_set(&it->fault, FAULT_INVALID, "no row can have such a key");
}

static void link_call(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Frame it;
  LinkCallArgs call = {.nargs = argc - 3};
  bool there = false;
  LinkValue result;
  if (!begin(&it, ctx, argv[0])) return;
  it.stop = (Stop){.asked = vt_asked, .ctx = &it.poll};
  call.op = func_text(ctx, argv[2], NULL);
  bool ok = call.op && key_of(&it, argv[1], &call.key);
  if (ok && strlen(call.op) > 60)
    ok = fault_set(&it.fault, FAULT_INVALID, "there is no operation \"%.60s\"", call.op);
  for (int i = 0; ok && i < call.nargs; i++)
    ok = link_value_of(argv[i + 3], 0, &call.args[i]) || fault_oom(&it.fault);
  ok = ok && link_call_run(it.tab, &call, &it.stop, &there, &it.fault);
  if (ok && there) {
    const unsigned char *at = call.reply.bytes;
    ok = link_value_take(&at, at + call.reply.length, &result) ||
         fault_set(&it.fault, FAULT_IO, "its owner's answer is none");
    if (ok) link_value_result(ctx, &result);
  }
  far_wire_free(&call.reply);
  end(&it, ok || !call.op);
}

static void link_owner(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Frame it;
  OwnKey key;
  (void)argc;
  if (!begin(&it, ctx, argv[0])) return;
  const bool ok = key_of(&it, argv[1], &key);
  if (ok) {
    const OwnPlace place = own_node_place(it.tab->table, own_slice_of(it.tab->table, key.hash));
    char address[OWN_ADDRESS];
    if (place.here || place.member >= 0)
      sqlite3_result_text(ctx, own_place_address(it.tab->table, &place, address), -1,
                          SQLITE_TRANSIENT);
  }
  end(&it, ok);
}

/* By its owner, whoever that is. */
static bool move(Frame *it, int slice, const char *address) {
  LinkTab *tab = it->tab;
  LinkWait wait = {0};
  for (;;) {
    Fault told = {0};
    OwnAnswer answer = OWN_WAIT;
    const OwnPlace place = own_node_place(tab->table, slice);
    if (place.here && own_node_move(tab->table, slice, address, &it->stop, &told)) return true;
    OwnPeer *peer = !place.here && place.member > OWN_SELF
                        ? link_peer(tab, place.member, &it->stop, &told)
                        : NULL;
    FarWireBuffer *out = peer ? own_peer_begin(peer, OWN_MSG_MOVE, tab->table->name) : NULL;
    if (out && own_put_word(out, (uint64_t)slice) && own_put_bytes(out, address, strlen(address)) &&
        own_peer_tell(peer, &answer, &it->stop, &told) && answer == OWN_FOUND)
      return true;
    /* Whoever was thought to own it may not do so any more. */
    if (told.code != FAULT_NONE && told.code != FAULT_IO && told.code != FAULT_BUSY)
      return fault_set(&it->fault, told.code, "%s", told.text);
    if (!link_wait(tab, &wait, *told.text ? told.text : "the owner of the slice does not answer",
                   &it->stop, &it->fault))
      return false;
  }
}

static void link_move(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Frame it;
  (void)argc;
  if (!begin(&it, ctx, argv[0])) return;
  it.stop = (Stop){.asked = vt_asked, .ctx = &it.poll};
  const sqlite3_int64 slice = sqlite3_value_int64(argv[1]);
  const char *address = func_text(ctx, argv[2], NULL);
  bool ok = address != NULL;
  if (ok && (slice < 0 || slice >= it.tab->table->nslices)) {
    ok = fault_set(&it.fault, FAULT_INVALID, "slices are 0 to %d, not %lld",
                   it.tab->table->nslices - 1, (long long)slice);
  }
  ok = ok && move(&it, (int)slice, address);
  if (ok) sqlite3_result_int(ctx, 1);
  end(&it, ok || !address);
}

/* Where a row may be kept, it is not any more. */
static bool forget(Frame *it, const OwnKey *key) {
  LinkTab *tab = it->tab;
  LinkWait wait = {0};
  const int slice = own_slice_of(tab->table, key->hash);
  if (!tab->table->loads)
    return fault_set(&it->fault, FAULT_UNSUPPORTED, "its rows are nowhere but in memory");
  for (;;) {
    Fault told = {0};
    OwnAnswer answer = OWN_WAIT;
    const OwnPlace place = own_node_place(tab->table, slice);
    if (place.here && own_table_forget(tab->table, key)) return true;
    OwnPeer *peer = !place.here && place.member > OWN_SELF
                        ? link_peer(tab, place.member, &it->stop, &told)
                        : NULL;
    FarWireBuffer *out = peer ? own_peer_begin(peer, OWN_MSG_FORGET, tab->table->name) : NULL;
    if (out && own_put_word(out, 1) && own_put_key(out, &tab->type, key) &&
        own_peer_tell(peer, &answer, &it->stop, &told) && answer == OWN_FOUND)
      return true;
    if (!link_wait(tab, &wait, "the row is being changed, or its owner does not answer", &it->stop,
                   &it->fault))
      return false;
  }
}

static void link_forget(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Frame it;
  OwnKey key;
  (void)argc;
  if (!begin(&it, ctx, argv[0])) return;
  it.stop = (Stop){.asked = vt_asked, .ctx = &it.poll};
  const bool ok = key_of(&it, argv[1], &key) && forget(&it, &key);
  if (ok) sqlite3_result_int(ctx, 1);
  end(&it, ok);
}

static const VtArgument call_arguments[] = {
    {"table", "TEXT", NULL, "a link table, perhaps with its schema: 'main.carts'"},
    {"key", "", NULL, "of the row"},
    {"operation", "TEXT", NULL, "op_NAME of the table, or one that the program defined (link.h)"},
    {"argument", "", "none", "up to 8, as ?1, ?2, ..."},
    {0}};
static const VtArgument key_arguments[] = {
    {"table", "TEXT", NULL, "a link table"}, {"key", "", NULL, "of the row"}, {0}};
static const VtArgument move_arguments[] = {
    {"table", "TEXT", NULL, "a link table"},
    {"slice", "INTEGER", NULL, "its number: see link_slices"},
    {"address", "TEXT", NULL, "of the process that is to own it: see link_nodes"},
    {0}};
static const VtArgument api_arguments[] = {
    {"pointer", "", NULL, "to what is to be set, bound with its type"},
    {"table", "TEXT", "none", "the table whose handle is wanted"},
    {0}};

const VtFunction link_functions[LINK_NFUNCTIONS] = {
    {.name = "link_call",
     .args = "table, key, operation [, argument...]",
     .nargs = 3,
     .optional = LINK_MOST_ARGS,
     .flags = VT_EFFECT,
     .returns = "any",
     .doc = "Does an operation on a row where the row is, and tells its result; NULL when there is "
            "no such row. In the transaction if the row is owned here, otherwise one by itself.",
     .arguments = call_arguments,
     .scalar = link_call},
    {.name = "link_owner",
     .args = "table, key",
     .nargs = 2,
     .flags = VT_EFFECT,
     .returns = "TEXT",
     .doc = "The address of the process that owns the row, or would; NULL: nobody does now.",
     .arguments = key_arguments,
     .scalar = link_owner},
    {.name = "link_move",
     .args = "table, slice, address",
     .nargs = 3,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Hands a slice over to another process, with its rows: 1.",
     .arguments = move_arguments,
     .scalar = link_move},
    {.name = "link_forget",
     .args = "table, key",
     .nargs = 2,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Takes a row out of memory, so that it is loaded anew: after it was changed in the "
            "database by somebody else.",
     .arguments = key_arguments,
     .scalar = link_forget},
    {.name = "link_api",
     .args = "pointer [, table]",
     .nargs = 1,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "NULL",
     .doc = "For programs in C: sets a pointer that was bound (link.h).",
     .arguments = api_arguments,
     .scalar = link_api_give},
};
