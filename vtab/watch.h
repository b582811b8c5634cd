/*
** The connection's single hooks, shared. Include vtab/vt.h.
**
** SQLite has one authorizer, one preupdate hook, one trace and one progress handler per
** connection, and no way to ask for the present one. All extensions of the pack in a connection,
** separately loaded or not, subscribe here; nobody else calls sqlite3_set_authorizer and its like.
**
** What cannot be had: a hook that the host set *before* is replaced by the first subscriber, and is
** not restored by the last one, which leaves the hook empty. A host that sets its own *afterwards*
** replaces all of us without notice; vt_watch_alive() finds out, and whoever enforces something
** asks it and fails closed.
**
** No subscription may be made or ended from a thread other than the connection's.
*/
#ifndef TENFOLD_VTAB_WATCH_H
#define TENFOLD_VTAB_WATCH_H

#include "vtab/vt.h"

typedef struct VtWatch VtWatch; /* one subscription */

typedef enum VtWatchKind {
  VT_WATCH_AUTHORIZER,
  VT_WATCH_PREUPDATE,
  VT_WATCH_TRACE,
  VT_WATCH_PROGRESS,
  VT_WATCH_KINDS
} VtWatchKind;

/* What a preupdate callback may ask; these are not part of the loadable API. */
typedef struct VtPreupdate {
  int (*old_value)(sqlite3 *db, int column, sqlite3_value **out);
  int (*new_value)(sqlite3 *db, int column, sqlite3_value **out);
  int (*count)(sqlite3 *db);
  int (*depth)(sqlite3 *db);
} VtPreupdate;

/* Every subscriber is asked, oldest first; the strictest answer counts (DENY, IGNORE, OK). Not
** asked for statements the pack runs for itself (vt_internal_enter). Subscribing makes SQLite
** re-prepare every statement of the connection before its next start; running ones go on. */
int vt_watch_authorizer(VtConn *conn,
                        int (*ask)(void *ctx, int action, const char *a, const char *b,
                                   const char *database, const char *accessor),
                        void *ctx, VtWatch **out);

/* SQLITE_NOTFOUND when the host's SQLite lacks it or hides it (statically linked hosts): ask with
** vt_has_preupdate(). Called before each row change of an ordinary table. */
int vt_watch_preupdate(VtConn *conn,
                       void (*call)(void *ctx, const VtPreupdate *api, sqlite3 *db, int op,
                                    const char *database, const char *table,
                                    sqlite3_int64 old_rowid, sqlite3_int64 new_rowid),
                       void *ctx, VtWatch **out);
bool vt_has_preupdate(void);

/* Each subscriber gets the events of its own mask (SQLITE_TRACE_STMT, ...). */
int vt_watch_trace(VtConn *conn, unsigned mask,
                   int (*call)(unsigned event, void *ctx, void *p, void *x), void *ctx,
                   VtWatch **out);

/* For a statement of the pack's own: SQLite makes a text for the trace of each that runs inside
** another, which costs more than a small statement does. False, and nothing is paused, unless there
** is one subscriber and the hook has been called since the last pause, as it is when a statement of
** the host's starts: then it is ours. A host that has set its own just before finds it replaced. */
bool vt_trace_pause(VtConn *conn);
void vt_trace_resume(VtConn *conn);

/* Called about every `steps` virtual machine steps; true interrupts the statement. */
int vt_watch_progress(VtConn *conn, int steps, int (*call)(void *ctx), void *ctx, VtWatch **out);

/* Ends a subscription, in any order, also from inside a callback; NULL is allowed. The last one
** empties the hook. Subscriptions that are left when the connection closes are freed by the kit
** after the extension's state is closed. */
void vt_unwatch(VtWatch *watch);

/* False when somebody else has replaced the hook since. Runs a small statement (0.1 ms;
** for progress handlers of N steps N/1,000 times that). False for
** kinds without a subscriber. */
bool vt_watch_alive(VtConn *conn, VtWatchKind kind);

/* Put the pack's hook back after vt_watch_alive() said no. */
int vt_watch_reinstall(VtConn *conn, VtWatchKind kind);

#endif
