/*
** link for programs in C: the rows of a table are structs in this process, to be read through
** pointers and changed by functions of the program. This header stands alone; what it declares is
** reached through the connection:
**
**   const LinkApi *api = link_api(db);                   // NULL: link is not loaded in db
**   LinkTable *carts = api->table(db, "carts");          // NULL: no such table
**   typedef struct Cart { uint64_t nulls; LinkBytes id; double total; LinkBytes items; } Cart;
**   static const LinkField fields[] = {
**       {"id", LINK_TEXT, offsetof(Cart, id)}, {"total", LINK_REAL, offsetof(Cart, total)},
**       {"items", LINK_TEXT, offsetof(Cart, items)}};
**   if (api->agree(carts, fields, 3, sizeof(Cart), why, sizeof why) != SQLITE_OK) …
**   const Cart *cart;
**   if (api->pin_text(carts, "c42", 3, (const void **)&cart) == SQLITE_OK) {
**     … cart->total, cart->items.bytes …
**     api->unpin(cart);
**   }
**
** A struct is `nulls` (bit i: column i is NULL), then a cell for each column in the order of their
** declaration: int64_t, double, or LinkBytes. What a pin shows never changes; after a change there
** is another struct. A pin may be kept as long as one likes, read on any thread, and given back on
** any.
**
** All functions but unpin() are called on the thread that uses the connection.
*/
#ifndef TENFOLD_LINK_H
#define TENFOLD_LINK_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

enum { LINK_INTEGER = 1, LINK_REAL, LINK_TEXT, LINK_BLOB, LINK_NULL };

typedef struct LinkBytes {
  const char *bytes; /* NUL-terminated in pinned objects */
  uint64_t length;
} LinkBytes;

typedef struct LinkField {
  const char *name;
  int type;
  size_t offset;
} LinkField;

typedef struct LinkValue {
  int type; /* LINK_… */
  int64_t integer;
  double real;
  LinkBytes bytes;
} LinkValue;

typedef struct LinkTable LinkTable; /* until it is dropped, or the connection closed */
typedef struct LinkCall LinkCall;

/* An operation on a row, which runs where the row is: on any thread, perhaps on several at a time
** (for different rows). `row` is the struct, the operation's own: it may change cells and `nulls`,
** not the key. Bytes that it points cells or the result to must live until it returns, or come from
** alloc(). It does not use the connection. It returns 0, or what fail() returns. It may be run
** again when somebody else was faster. */
typedef int LinkOperation(LinkCall *call, void *row, int nargs, const LinkValue *args,
                          LinkValue *result, void *ctx);

typedef struct LinkApi {
  int version; /* 1 */

  /* The link table of that name ("carts" or "main.carts"), which is opened if it is not. */
  LinkTable *(*table)(sqlite3 *db, const char *name);

  /* SQLITE_OK, or SQLITE_MISMATCH with the difference in `why`: is the struct the program knows the
  ** one that the table has? */
  int (*agree)(LinkTable *table, const LinkField *fields, int n, size_t size, char *why,
               size_t room);

  /* The object under a key, if this process owns it: SQLITE_OK; SQLITE_NOTFOUND: there is no such
  ** row; SQLITE_BUSY: another process owns it, or the slice is on its way. Loads it when it is not
  ** here. What a transaction of this connection has changed is seen once it is committed. About 50
  ** ns. */
  int (*pin_text)(LinkTable *table, const char *key, size_t length, const void **out);
  int (*pin_integer)(LinkTable *table, int64_t key, const void **out);
  void (*unpin)(const void *object); /* NULL is fine */

  /* Makes an operation known to this process, for link_call(): every process that owns rows of the
  ** table needs it. `ctx` and the function stay until the process ends. SQLITE_OK, SQLITE_NOMEM. */
  int (*define)(LinkTable *table, const char *operation, LinkOperation *function, void *ctx);

  /* In an operation: memory until it returns (NULL: none left), and its failure. */
  void *(*alloc)(LinkCall *call, size_t size);
  int (*fail)(LinkCall *call, const char *message);
} LinkApi;

/* SQL cannot hand out pointers; a bound one can be filled in. */
static inline const LinkApi *link_api(sqlite3 *db) {
  const LinkApi *api = NULL;
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2(db, "SELECT link_api(?1)", -1, &statement, NULL) != SQLITE_OK) return NULL;
  sqlite3_bind_pointer(statement, 1, &api, "link-api-1", NULL);
  sqlite3_step(statement);
  sqlite3_finalize(statement);
  return api;
}

#endif
