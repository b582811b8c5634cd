/*
** The kit: SQLite tables and functions out of descriptors.
**
** An extension is data: a VtExtension that lists tables (table.h) and functions (func.h), and one
** exported entry point that hands it to vt_load(). What a table author writes is four functions;
** sqlite3_module, sqlite3_index_info and registration are seen by vtab/ alone.
**
**   static const VtExtension demo = {.name = "demo", .version = VT_VERSION, .doc = "...",
**                                    .tables = demo_tables, .ntables = countof(demo_tables)};
**   VT_EXPORT int sqlite3_demo_init(sqlite3 *db, char **err, const sqlite3_api_routines *api) {
**     return vt_load(db, err, api, &demo);
**   }
**
** Include this header instead of sqlite3.h: it maps sqlite3_* calls to the host's SQLite. The
** pointer behind that (SQLITE_EXTENSION_INIT1) is defined once, in load.c; nobody else says INIT1.
*/
#ifndef TENFOLD_VTAB_VT_H
#define TENFOLD_VTAB_VT_H

#include <stdbool.h>
#include <stddef.h>

#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT3

#include "base/fault.h"
#include "base/text.h"

#if defined(_WIN32)
#define VT_EXPORT __declspec(dllexport)
#else
#define VT_EXPORT __attribute__((visibility("default")))
#endif

/* The version of the pack; every extension of it carries the same one. */
#ifndef TENFOLD_VERSION
#define TENFOLD_VERSION "0.1.0"
#endif
#define VT_VERSION TENFOLD_VERSION

/* The oldest SQLite that may load us, as sqlite3_libversion_number() counts: 3.38.0. */
enum { VT_SQLITE_FLOOR = 3038000 };

typedef struct VtConn VtConn;           /* one extension in one connection */
typedef struct VtExtension VtExtension; /* descriptor, below */

/* One row of the "Errors" section of a reference page. Arrays end with .text == NULL. */
typedef struct VtError {
  const char *text, *cause, *cure;
} VtError;

#include "vtab/func.h"
#include "vtab/poll.h"
#include "vtab/table.h"

/* ---- the extension --------------------------------------------------------------------------- */

/* Everything in it is static and constant; it outlives every connection. The kit adds the functions
** NAME_version() and NAME_debug() by itself. */
struct VtExtension {
  const char *name;    /* letters only; begins every table and function name */
  const char *version; /* VT_VERSION */
  const char *doc;     /* one line */
  const char *guide;   /* Markdown paragraphs above the reference page's index, or NULL */
  const VtTable *const *tables;
  int ntables;
  const VtFunction *functions;
  int nfunctions;

  /* Per-connection state: `state_size` zeroed bytes, made at load, before anything is registered.
  ** open() (may be NULL) fills it: SQLITE_OK, or a code and a Fault, and then the load fails;
  ** close() is not called after a failed open(). close() (may be NULL) runs when the connection
  ** is closed, after all its tables are disconnected. Never keep a prepared statement in the
  ** state: sqlite3_close() would be SQLITE_BUSY. Statements belong to a VtTab, a VtCursor, or to
  ** one call of a function (prepare at use, finalize at return). */
  size_t state_size;
  int (*open)(VtConn *conn, void *state, Fault *fault);
  void (*close)(void *state);

  /* Adds members to NAME_debug(), each with a leading comma: `,"glpk":"5.0"`. NULL: none. */
  void (*debug)(Text *json);

  /* True when the library must never be unmapped: it starts threads, or links one that does. */
  bool permanent;
};

/* The whole entry point. Refuses hosts below the floor and descriptors that break the house rules
** (a message in *err, from sqlite3_malloc; err may be NULL). A second load in the same connection
** does nothing and is SQLITE_OK. On failure everything registered so far is taken back. */
int vt_load(sqlite3 *db, char **err, const sqlite3_api_routines *api, const VtExtension *extension);

/* NULL, or what is wrong with a descriptor: an item without risk or doc, a name that does not begin
** with the extension's name, arguments that are not the last columns... vt_load() calls it. The
** message is in `fault`. */
bool vt_check(const VtExtension *extension, Fault *fault);

/* ---- the connection -------------------------------------------------------------------------- */

sqlite3 *vt_db(const VtConn *conn);
void *vt_state(const VtConn *conn);
const VtExtension *vt_extension(const VtConn *conn);

/* The connection behind a running function of ours. */
VtConn *vt_conn(sqlite3_context *ctx);

/* Every extension of the pack in this connection, in load order: start with NULL, ends with NULL.
** Sees those loaded from other shared objects too. */
const VtConn *vt_next_loaded(const VtConn *conn, const VtConn *previous);

/* The functions that every extension gets; their names are suffixes ("_version"). */
const VtFunction *vt_common_functions(int *count);

/* Between enter and leave, authorizer subscribers (watch.h) are not asked: raise it around prepare
** *and* step of the SQL an extension runs on its own behalf (a schema change re-prepares inside
** step). Calls nest. The host's own authorizer, if any, is asked as ever. */
void vt_internal_enter(VtConn *conn);
void vt_internal_leave(VtConn *conn);
/* Is the connection between the two? For subscribers of the other hooks. */
bool vt_is_internal(const VtConn *conn);

/* ---- errors ---------------------------------------------------------------------------------- */

/* The SQLite result code of an engine's fault: the one place where it is decided. */
int vt_fault_code(const Fault *fault);

/* "table: what is wrong": sets the table's message (prefixed with the table's name) and returns
** rc. printf's formats, cut at FAULT_TEXT bytes. For cursors: vt_fail(cur->tab, ...). */
int vt_fail(VtTab *tab, int rc, const char *format, ...) FAULT_COLD
    __attribute__((format(printf, 3, 4)));

/* The same with an engine's fault: its text and its code. */
int vt_fault(VtTab *tab, const Fault *fault) FAULT_COLD;

/* The same with the connection's current error (after a failed prepare or step). */
int vt_fail_db(VtTab *tab, const char *what);

#endif
