/*
** What the files of the umbrella share.
*/
#ifndef TENFOLD_TENFOLD_TENFOLD_H
#define TENFOLD_TENFOLD_TENFOLD_H

#include "base/arena.h"
#include "vtab/vt.h"

/* A system of the pack. */
typedef struct Member {
  const char *name;
  const char *doc; /* for those that are not here and cannot speak for themselves */
} Member;

/* Sorted by name. */
extern const Member pack_members[];
enum { PACK_COUNT = 11 };

/* What became of a member when the umbrella was loaded. */
typedef struct Attempt {
  char *path;    /* where it was looked for */
  char *message; /* why it is not here; NULL: it is, or was loaded by somebody else */
  bool found;    /* there is a file */
} Attempt;

/* The umbrella's state in a connection. */
typedef struct Pack {
  Arena arena;
  Attempt attempts[PACK_COUNT];
} Pack;

/* Loads every member found beside this library into the connection. A member that cannot be loaded
** leaves a message, never a failure; only a lack of memory is one. */
int pack_load(VtConn *conn, Pack *pack);

/* The loaded extension of that name, or NULL. */
const VtExtension *pack_find(const VtConn *conn, const char *name);

/* The file from which something of a library came, or NULL. The result is the system's. */
const char *pack_path_of(const void *address);

extern const VtTable pack_status_table, pack_about_table;

#endif
