/*
** Who is there, and who owns what: the few things that all nodes must agree on. Small items under
** keys ("carts/slice/017"), each with the revision of its last change; revisions only go up, and so
** are epochs. Behind this interface stands whatever does agree: a database in a file for
** the processes of one machine (extensions/link/local.c), etcd (etcd.c).
**
** A coordinator is used by one thread at a time.
*/
#ifndef TENFOLD_REMOTE_OWNERS_COORDINATOR_H
#define TENFOLD_REMOTE_OWNERS_COORDINATOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

enum { COORD_KEY = 400, COORD_VALUE = 400, COORD_MOST_CHANGES = 64 };

typedef struct CoordItem {
  char key[COORD_KEY], value[COORD_VALUE];
  uint64_t revision; /* of its last change */
} CoordItem;

/* A change on condition: of an item as it was at `revision`; 0: that was not there. */
typedef struct CoordChange {
  const char *key, *value; /* NULL: only the condition */
  uint64_t revision;
  const char *absent; /* and this item must not be there; NULL: none */
} CoordChange;

typedef struct Coord Coord;
struct Coord {
  /* Until when we are surely a member, on CLOCK_BOOTTIME in ns: INT64_MAX when nobody can take that
  ** away while we live. Changes by itself, on any thread. */
  atomic_int_fast64_t sure_until;

  void (*close)(Coord *self);

  /* An item that is there as long as this process lives, or keeps its lease: gone by itself
  ** afterwards. One for each coordinator. */
  bool (*join)(Coord *self, const char *key, const char *value, Fault *fault);
  void (*leave)(Coord *self);

  /* The items under a prefix, in the order of their keys: malloc'ed. What belongs to dead members
  ** is not among them. */
  bool (*get)(Coord *self, const char *prefix, CoordItem **out, size_t *out_n, Fault *fault);

  /* All changes, if all conditions hold: *out_done, and *out_revision is that of all of them. */
  bool (*cas)(Coord *self, const CoordChange *changes, size_t n, bool *out_done,
              uint64_t *out_revision, Fault *fault);

  /* Waits at most so long; *out_changed: something may have changed since the last call, members
  ** that came or died included. */
  bool (*watch)(Coord *self, int64_t ns, bool *out_changed, Fault *fault);
  /* Ends a watch() that waits: from any thread. */
  void (*wake)(Coord *self);

  /* We were no member for a while, and have read since, with get(), what became of the items. Until
  ** then sure_until stays in the past. */
  void (*settled)(Coord *self);

  /* In the child of a fork(): it is not the member, nor keeps it alive. */
  void (*inherited)(Coord *self);
};

/* "http://127.0.0.1:2379/name?ttl=2": etcd's gateway, the first part of its keys ("link" if there
** is none), and how many seconds a member that says nothing is one (5). Uses libcurl, found at run
** time (etcd.c). */
Coord *coord_etcd_open(const char *url, Fault *fault);

#endif
