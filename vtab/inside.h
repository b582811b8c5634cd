/*
** What the files of the kit share; nobody else includes it.
**
** One VtHub per connection, found by all shared objects of the pack through the SQL function
** tenfold_hub(), which hands a pointer over (sqlite3_bind_pointer; SQL text alone cannot reach it).
** One VtConn per extension loaded there. Functions and modules registered with SQLite hold
** references to their VtConn, and VtConns to the hub; so both go when the connection goes, after
** all tables and in whatever order SQLite destroys the rest.
*/
#ifndef TENFOLD_VTAB_INSIDE_H
#define TENFOLD_VTAB_INSIDE_H

#include "vtab/vt.h"
#include "vtab/watch.h"

/* Separately built libraries share these structures: bump on every change of layout, here or in a
** descriptor. A library that finds another version refuses to load. */
#define VT_HUB_TYPE "tenfold-hub-3"
#define VT_HUB_NAME "tenfold_hub"

/* Flags of columns on which constraints are passed on. */
enum { VT_SEARCHED = VT_EQ | VT_RANGE | VT_IN | VT_GLOB | VT_LIKE };

/* What SQLite gets as user data: of a function, or as pAux of a module. */
struct VtBinding {
  VtConn *conn;
  const VtFunction *function;
  const VtTable *table;
  const char *name;      /* for messages; owned by the descriptor or by `made_name` */
  char made_name[64];    /* of functions that the kit adds */
  sqlite3_module module; /* of a table: a copy, since xShadowName has no other way to its table */
};

typedef struct VtSlot { /* one of the connection's single hooks */
  VtWatch *first;
  bool installed;
  int running;               /* depth of dispatch: watches removed meanwhile are freed after */
  unsigned long long calls;  /* by SQLite, to see whether we are still installed */
  unsigned long long paused; /* how many there had been at the last pause */
  unsigned mask;             /* of a trace: the events that SQLite tells */
} VtSlot;

typedef struct VtHub {
  sqlite3 *db;
  int refs;
  int internal;  /* vt_internal_enter() depth */
  VtConn *first; /* in load order */
  VtSlot slots[VT_WATCH_KINDS];
  VtPreupdate preupdate;
} VtHub;

struct VtConn {
  VtHub *hub;
  const VtExtension *extension;
  void *state;
  int refs;
  bool opened;
  VtConn *next;
  int nbindings;
  VtBinding bindings[];
};

/* table.c, write.c */
void vt_module_fill(sqlite3_module *module, const VtTable *table);
void vt_writer_fill(sqlite3_module *module);
int vt_writer_begin(sqlite3_vtab *base);

/* plan.c */
int vt_best_index(sqlite3_vtab *base, sqlite3_index_info *info);
bool vt_plan_read(const VtTab *tab, const char *text, VtPlan *plan);

/* watch.c: ends what is left of an extension's subscriptions. */
void vt_watch_drop(VtConn *conn);

/* poll.c: a harmless statement of some 4,000 virtual machine steps. */
extern const char vt_poll_sql[];

/* load.c */
void vt_conn_release(VtConn *conn);

#endif
