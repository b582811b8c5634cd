/*
** link: tables whose rows are objects of the processes that use them. What a connection has, and
** what a table is.
*/
#ifndef TENFOLD_EXTENSIONS_LINK_TAB_H
#define TENFOLD_EXTENSIONS_LINK_TAB_H

#include "vtab/vt.h"

#include "base/array.h"
#include "extensions/link/link.h"
#include "remote/owners/node.h"
#include "remote/owners/peer.h"

/* ---- values (values.c) ----------------------------------------------------------------------- */

/* LinkValue is SQLite's value without SQLite: its bytes are borrowed. False: no memory. With a
** `kind` the value becomes what SQLite makes of it in a column of that type. */
bool link_value_of(sqlite3_value *value, OwnKind kind, LinkValue *out);
void link_value_of_column(sqlite3_stmt *statement, int column, OwnKind kind, LinkValue *out);
void link_value_result(sqlite3_context *ctx, const LinkValue *value);
int link_value_bind(sqlite3_stmt *statement, int at, const LinkValue *value);
bool link_value_put(FarWireBuffer *buffer, const LinkValue *value);
bool link_value_take(const unsigned char **at, const unsigned char *end, LinkValue *out);

/* Into a cell of a row that refers to its bytes. The fault: FAULT_INVALID, the type or NULL. */
bool link_cell_set(const OwnType *type, uint64_t *row, int column, const LinkValue *value,
                   Fault *fault);
LinkValue link_cell_get(const OwnType *type, const uint64_t *row, int column);
void link_cell_result(const OwnType *type, const OwnObject *object, int column,
                      sqlite3_context *ctx);

/* The key that equals the value exactly. False: no key does. */
bool link_key_of(const OwnType *type, sqlite3_value *value, OwnKey *out);

/* ---- where rows come from (source.c) --------------------------------------------------------- */

enum { LINK_MOST_ARGS = 8, LINK_FIRST_CELL = 101, LINK_FILES = 16 };

/* An operation in SQL: "total = total + ?1, items = json_insert(items, '$[#]', ?2)". */
typedef struct LinkSqlOperation {
  struct LinkSqlOperation *next;
  char *name, *query; /* SELECT of the new cells out of the old ones, ?101 and on */
  int ncells, cells[OWN_COLUMNS];
} LinkSqlOperation;

/* The SQL behind a table, and the databases it is about. Shared by threads; never changed. */
typedef struct LinkSource {
  OwnType type;
  char *name;                                                /* of the table, among nodes */
  char *load, *scan;                                         /* NULL: none */
  char *insert, *replace, *update, *update_replace, *remove; /* of the table behind it */
  char *fence_get, *fence_set, *fence_make;                  /* the same database's link_fence */
  char *schema, *table;                                      /* behind it; NULL: it is not known */
  bool stored; /* another connection can open its databases */
  int nfiles;
  char *files[LINK_FILES], *schemas[LINK_FILES];
  LinkSqlOperation *operations;
} LinkSource;

typedef struct LinkOptions {
  const char *load, *scan, *table, *write, *coord, *me, *secret, *consistency, *name;
  const char *standby, *standby_secret, *memory;
  int slices, deadline_ms, stale_ms, balance_ms;
} LinkOptions;

/* Looks the SQL over on the user's connection. */
LinkSource *link_source_make(VtConn *conn, const char *schema, const OwnType *type,
                             const LinkOptions *options, Fault *fault);
void link_source_free(void *source);
bool link_source_define(LinkSource *source, const char *name, const char *sql, Fault *fault);

/* ---- statements (clerk.c) ------------------------------------------------------------------ */

typedef enum LinkStatement {
  LINK_LOAD,
  LINK_INSERT,
  LINK_REPLACE,
  LINK_UPDATE,
  LINK_UPDATE_REPLACE,
  LINK_REMOVE,
  LINK_FENCE_GET,
  LINK_FENCE_SET,
  LINK_STATEMENTS
} LinkStatement;

typedef struct LinkClerk {
  const LinkSource *source;
  sqlite3 *db;
  VtConn *conn; /* the user's connection; NULL: one of our own */
  sqlite3_stmt *statements[LINK_STATEMENTS];
} LinkClerk;

void link_clerk_end(LinkClerk *clerk); /* its statements */
bool link_clerk_load(LinkClerk *clerk, const OwnKey *key, OwnObject **out, Fault *fault);
/* One of those that write; the cells are bound to ?1.., then the old key. SQLITE_OK, or the code.
** */
int link_clerk_write(LinkClerk *clerk, LinkStatement which, const uint64_t *row,
                     const OwnKey *old_key, Fault *fault);
bool link_clerk_fenced(LinkClerk *clerk, int slice, uint64_t *out, Fault *fault);
/* The operation `op`, of the program's or the table's. `reply` gets its result as a value. */
bool link_clerk_call(LinkClerk *clerk, const OwnObject *old, const char *op, int nargs,
                     const LinkValue *args, OwnObject **out, FarWireBuffer *reply, Fault *fault);
/* Arguments on the wire: their number, then the values. */
int link_args_take(OwnBytes bytes, LinkValue out[LINK_MOST_ARGS]); /* -1: they are none */

/* The same for threads that have connections of their own: ctx is a LinkSource. */
extern const OwnStore link_store;

/* ---- operations of the program (operations.c) ------------------------------------------------ */

bool link_operation_define(const char *table, const char *name, LinkOperation *function, void *ctx);
/* False when there is none of that name: *out_there. */
bool link_operation_run(const OwnType *type, const char *table, const char *name,
                        const OwnObject *old, int nargs, const LinkValue *args, OwnObject **out,
                        FarWireBuffer *reply, bool *out_there, Fault *fault);
void *link_operation_alloc(LinkCall *call, size_t size);
int link_operation_fail(LinkCall *call, const char *message);

/* ---- the connection -------------------------------------------------------------------------- */

typedef struct LinkPeer {
  struct LinkPeer *next;
  char name[OWN_ADDRESS + 20]; /* of the member */
  OwnPeer *peer;
} LinkPeer;

typedef struct LinkCounts {
  uint64_t here, loaded, asked, near, messages, retries; /* rows; requests; tries again */
} LinkCounts;

/* What a connection keeps of a table until it is dropped or the connection closes: SQLite opens
** virtual tables anew whenever a schema has changed. It is the LinkTable of link.h, too. */
typedef struct LinkKept {
  struct LinkKept *next;
  VtConn *conn;
  char *schema, *name;
  OwnNode *node;
  OwnTable *table;
  LinkCounts counts;
  Map near; /* near.c: number of the copy by key */
  struct LinkNear *nears;
  size_t nnears, nears_capacity;
} LinkKept;

typedef struct LinkState {
  struct LinkTab *tabs;
  LinkKept *kept;
  LinkPeer *peers;
} LinkState;

void link_kept_drop(LinkState *state, const char *schema, const char *name);
void link_kept_close(LinkState *state);

typedef struct LinkChange {
  OwnObject *object;
  OwnExpect expect;
  uint64_t version;
  int64_t before; /* the change of the same row before this one; -1: none */
  bool latest;
} LinkChange;

typedef struct LinkTab {
  VtTab base;
  struct LinkTab *next_tab;
  LinkKept *kept; /* whose the next two are */
  OwnNode *node;
  OwnTable *table;
  OwnType type;
  VtColumn *columns;
  const LinkSource *source; /* the table's */
  LinkClerk user;           /* on this connection */
  void *own;                /* a LinkClerk of our own, for what others have committed */
  const char *schema, *name;
  int64_t deadline_ns, stale_ns;
  bool alone; /* there is no coordinator */

  /* Since the transaction began. */
  LinkChange *changes;
  size_t nchanges, changes_capacity;
  Map index;       /* key: number of its latest change; -1: it was taken back */
  OwnObject **cut; /* rows written through, and taken back: the database knows what they are */
  size_t ncut, cut_capacity;
  size_t *marks;
  size_t nmarks, marks_capacity;
  Map reads;        /* key: version that was read; 0: whatever it is */
  OwnObject **pins; /* with memory=: what was read stays until it is written */
  size_t npins, pins_capacity;
  bool prepared;
  uint64_t prepared_members[OWN_MEMBERS / 64];
  bool calling; /* link_call() writes: only over this version */
  uint64_t call_version;
} LinkTab;

/* The arguments of CREATE VIRTUAL TABLE (declare.c). */
int link_tab_declare(LinkTab *tab, const VtCreate *create);

/* The link table of that name in the connection, "carts" or "main.carts"; opened if it has to be.
** NULL with a fault: FAULT_NOTFOUND, or no memory. It stays open until *out_hold is finalized. */
LinkTab *link_tab_find(VtConn *conn, const char *name, sqlite3_stmt **out_hold, Fault *fault);

static inline const void *link_key_bytes(const OwnType *type, const OwnKey *key, size_t *length) {
  const bool number = type->columns[type->key].kind == OWN_INTEGER;
  *length = number ? sizeof key->number : key->text.length;
  return number ? (const void *)&key->number : key->text.bytes;
}

#define LINK_FORKED "this process was made by fork() after the table was opened"

/* ---- rows, wherever they are (reach.c) ------------------------------------------------------- */

typedef struct LinkFound {
  OwnObject *object; /* NULL: there is no such row */
  bool current;      /* read in this transaction, under the database's own lock */
} LinkFound;

/* As this transaction has them, as they are here, or as their owners say, of these columns. */
bool link_find(LinkTab *tab, const OwnKey *keys, size_t n, uint64_t mask, LinkFound *out,
               Stop *stop, Fault *fault);
/* The same for a table's callbacks. */
int link_reach(LinkTab *tab, const OwnKey *keys, size_t n, uint64_t mask, LinkFound *out,
               Stop *stop);

/* The connection to a member. NULL with a fault. */
OwnPeer *link_peer(LinkTab *tab, int member, Stop *stop, Fault *fault);
void link_peers_close(LinkState *state);

/* Waits a little because an owner is not known, or does not take it. False: *fault is set. */
typedef struct LinkWait {
  int64_t until; /* 0 at the beginning */
} LinkWait;
bool link_wait(LinkTab *tab, LinkWait *wait, const char *why, Stop *stop, Fault *fault);

/* Copies of other processes' rows (near.c): a reference, if one is young enough and has the
** columns. */
OwnObject *link_near_get(LinkTab *tab, const OwnKey *key, uint64_t mask);
void link_near_put(LinkTab *tab, const OwnKey *key, OwnObject *object, uint64_t mask,
                   int64_t asked);
void link_near_forget(LinkTab *tab, const OwnKey *key); /* this connection has changed the row */
void link_near_clear(LinkKept *kept);

/* All rows in memory of a slice, wherever it is. */
int link_reach_slice(LinkTab *tab, int slice, uint64_t mask, OwnObject ***out, size_t *out_n,
                     Stop *stop);
bool link_flush_all(LinkTab *tab, Stop *stop, Fault *fault);

/* ---- changes (write.c, commit.c) ------------------------------------------------------------- */

/* What the transaction has made of a row: false, nothing. *out NULL: removed. */
bool link_changed(const LinkTab *tab, const OwnKey *key, OwnObject **out);
/* Written through and taken back: the user's connection has to be asked. */
bool link_doubtful(const LinkTab *tab, const OwnKey *key);
/* Before the commit: such rows are looked up. SQLITE_OK, or the code. */
int link_settle_cut(LinkTab *tab);
bool link_note_read(LinkTab *tab, const OwnKey *key, OwnObject *object, uint64_t version);
void link_changes_end(LinkTab *tab);
int link_sync(LinkTab *tab, Stop *stop);
void link_commit(LinkTab *tab);
void link_rollback(LinkTab *tab);

/* link_api(): for programs in C (api.c). */
void link_api_give(sqlite3_context *ctx, int argc, sqlite3_value **argv);

/* ---- coordinators ---------------------------------------------------------------------------- */

/* "local:PATH" (local.c), "etcd:http://HOST:PORT" (remote/owners/etcd.c). */
Coord *link_coordinator_open(const char *at, void *ctx, Fault *fault);
Coord *link_local_open(const char *path, Fault *fault);

extern const VtTable link_table, link_slices_table, link_nodes_table, link_stats_table;
extern const VtWriter link_writer;
enum { LINK_NFUNCTIONS = 5 };
extern const VtFunction link_functions[LINK_NFUNCTIONS];

#endif
