/*
** What a node holds of a table: its slices, and in those that are its own, the rows.
**
** The hashes of keys, 0 to 2^64 - 1, are cut into slices of the same width. A slice has one owner
** at a time, who alone reads and changes its rows; an epoch says which turn of ownership it is.
** Each slice has a lock that is held for as long as a look-up in a hash table takes; what a reader
** has found is his own reference (object.h), so nobody waits for a reader.
**
** Changes are made in two steps, as a transaction's are: prepared, when they may still be
** refused, and then done or undone. What is prepared is not seen, and nobody else may prepare a
** change of the same row.
*/
#ifndef TENFOLD_REMOTE_OWNERS_TABLE_H
#define TENFOLD_REMOTE_OWNERS_TABLE_H

#include <pthread.h>

#include "remote/owners/object.h"

enum { OWN_SLICES = 64, OWN_MOST_SLICES = 1024, OWN_MEMBERS = 256, OWN_NOBODY = -1, OWN_SELF = 0 };

typedef enum OwnState {
  OWN_ELSEWHERE, /* another node's, or nobody's */
  OWN_CLOSED,    /* on its way: nobody may use it now */
  OWN_HERE,
  OWN_LEAVING /* still read here, but no change begins any more */
} OwnState;

typedef enum OwnAnswer {
  OWN_FOUND,    /* or: done */
  OWN_ABSENT,   /* there is no such row */
  OWN_MISS,     /* it is ours to say, but the row is not in memory */
  OWN_NOT_HERE, /* ask another node */
  OWN_WAIT,     /* ask again in a moment */
  OWN_LOCKED,   /* somebody else is changing the row */
  OWN_CONFLICT, /* the row is not what was expected */
  OWN_NOMEM
} OwnAnswer;

typedef enum OwnExpect {
  OWN_ANY,
  OWN_NONE,   /* no row */
  OWN_VERSION /* this one */
} OwnExpect;

/* A row in another's place, or none (object->gone). */
typedef struct OwnChange {
  OwnObject *object;
  OwnExpect expect;
  uint64_t version;
  uint64_t epoch; /* out: of the owner that prepared it */
} OwnChange;

typedef struct OwnPending {
  struct OwnPending *next;
  const void *who;
  OwnObject *object;
} OwnPending;

/* The copy of a slice in far memory (standby.h). */
typedef enum OwnCopyState {
  OWN_COPY_OFF,   /* there is none */
  OWN_COPY_KEPT,  /* it is being made, or is there */
  OWN_COPY_FAILED /* it may be old, and others may believe in it still: no change begins */
} OwnCopyState;

enum { OWN_DOUBTS = 16 };

typedef struct OwnCopy {
  OwnCopyState state;
  uint64_t generation; /* a random number for each copy that was begun */
  bool full;           /* all rows were in it once: the coordinator may be told of it */
  bool said, told;     /* it may have heard of it; it has */
  uint64_t revision;   /* of the coordinator's item, as the keeper knows it */
  /* Keys (bits of hashes) whose rows in the copy are surely not believed. */
  uint64_t doubts[OWN_DOUBTS];
  uint64_t *todo; /* hashes of keys whose rows there may be other ones than here */
  size_t ntodo, capacity;
  size_t writing; /* of them, on their way */
} OwnCopy;

typedef struct OwnSlice {
  pthread_mutex_t lock;
  OwnState state;
  uint64_t epoch;   /* of our own turn; of the owner's as the map says, while it is elsewhere */
  int owner;        /* as the map says: a member's number, or OWN_NOBODY */
  const void *from; /* OWN_CLOSED: who sends it; NULL: the map will say whose it is */
  int64_t awaited;  /* since when the map says that it is ours, and its sender does not; 0: not */
  OwnObject **slots;
  size_t count, capacity;
  OwnPending *pending;
  const void *sole; /* whose all of it is; NULL: that of several */
  uint64_t changes; /* goes up with each */
  uint64_t ndirty;
  uint64_t bytes; /* of its rows */
  size_t hand;    /* the slot that is looked at next when one has to go */
  uint64_t evicted;
  uint64_t reads, writes, loads;
  atomic_uint_fast64_t busy; /* ns of a processor that others' requests have cost */
  uint64_t counted, load;    /* load.c: of the costs, so much; millionths of a processor, of late */
  OwnCopy copy;
} OwnSlice;

/* How rows come from the database and get there: the host's part. A clerk is used by one thread,
** who opens it at the first need; no lock is held during these calls. */
typedef struct OwnTable OwnTable;
typedef struct OwnStore {
  void *ctx;
  void (*free)(void *ctx);
  void *(*open)(void *ctx, Fault *fault);
  void (*close)(void *clerk);
  /* *out NULL: there is no such row. */
  bool (*load)(void *clerk, const OwnKey *key, OwnObject **out, Fault *fault);
  /* Between begin() and end() nobody else writes to the database. */
  bool (*begin)(void *clerk, Fault *fault);
  bool (*end)(void *clerk, bool commit, Fault *fault);
  /* Writes a row, or removes it. *object becomes what the database makes of it, when `again`. */
  bool (*save)(void *clerk, OwnObject **object, bool again, Fault *fault);
  /* Waits until whoever may be writing has ended, and says that these slices have owners of these
  ** epochs: who holds an older one cannot commit any more. *out_said: false, it could not be said
  ** because somebody reads; whoever was writing has ended all the same. */
  bool (*fence)(void *clerk, const int *slices, const uint64_t *epochs, size_t n, bool *out_said,
                Fault *fault);
  /* The epoch that was said last; 0: none. */
  bool (*fenced)(void *clerk, int slice, uint64_t *out, Fault *fault);
  /* A new row out of the old one, by the operation `op` of the table. `reply` gets the result, in
  ** the host's own form. */
  bool (*call)(void *clerk, const OwnObject *old, OwnBytes op, OwnBytes args, OwnObject **out,
               FarWireBuffer *reply, Fault *fault);
} OwnStore;

typedef enum OwnWrite { OWN_WRITE_NONE, OWN_WRITE_BACK, OWN_WRITE_THROUGH } OwnWrite;

/* What the keeper knows of loads, in millionths of a processor. */
typedef struct OwnBalance {
  int64_t period_ns;                      /* how often they are evened out; 0: never */
  int64_t weighed_at, evened_at, told_at; /* clock_now() */
  bool welcoming;                         /* begun, and not yet done (assign.h) */
  atomic_bool changed;                    /* slices have come or gone since we told our load */
  uint64_t load, told;                    /* ours; as the others know it */
  atomic_uint_fast64_t of[OWN_MEMBERS];   /* of each member, as it has told */
} OwnBalance;

struct OwnTable {
  char *name;
  OwnType type;
  OwnWrite write;
  bool loads; /* rows that are not in memory may be in the database */
  bool strict;
  uint64_t most;   /* bytes that rows may take, each slice its share; 0: no bound. What is in the
                    database as well goes then (CLOCK), unless somebody holds a reference to it */
  OwnStore store;  /* of the connection that came first; ctx is the table's */
  int refs, users; /* references; those of connections of this process among them (node.c) */
  atomic_bool going, left; /* the last connection has closed it; its slices are others' */
  atomic_bool known;       /* who owns what has been read once, and claimed where it was free */
  bool unfenced;           /* the keeper's */
  OwnBalance balance;
  struct OwnNode *node;
  OwnTable *next;
  const char *standby_at, *standby_secret; /* of who asks for a table: NULL, none (standby.h) */
  struct OwnStandby *standby;
  pthread_mutex_t flushing;
  int nslices;
  OwnSlice *slices;
};

/* OwnSlice.from of a slice whose sender is gone. */
extern const char own_gone;

/* Every slice is somebody else's. NULL: no memory. */
OwnTable *own_table_make(const char *name, const OwnType *type, int nslices);
void own_table_free(OwnTable *table);

static inline int own_slice_of(const OwnTable *table, uint64_t hash) {
  return (int)(((unsigned __int128)hash * (unsigned)table->nslices) >> 64);
}

/* OWN_FOUND: *out is a reference. OWN_MISS: *out_ticket is for own_table_add(). */
OwnAnswer own_table_find(OwnTable *table, const OwnKey *key, OwnObject **out, uint64_t *out_ticket);

/* What was loaded after a miss. OWN_FOUND: *object is the row that is there, which somebody else
** may have loaded meanwhile: its version is the one that counts. OWN_WAIT: something has happened
** to the slice since; look again. */
OwnAnswer own_table_add(OwnTable *table, OwnObject **object, uint64_t ticket);

/* All of them or none; *out_failed is the first that could not be. `who` is the transaction. */
OwnAnswer own_table_prepare(OwnTable *table, OwnChange *changes, size_t n, const void *who,
                            size_t *out_failed);
void own_table_commit(OwnTable *table, const void *who);
void own_table_abort(OwnTable *table, const void *who);
/* Nobody knows whether they happened, and whoever did them has ended: the rows are forgotten, for
** the database knows. False: there were none. */
bool own_table_prepared(OwnTable *table, const void *who);
void own_table_forget_prepared(OwnTable *table, const void *who);

/* The row is not kept in memory any longer. False: it is being changed, or only here. */
bool own_table_forget(OwnTable *table, const OwnKey *key);

/* References to all rows of a slice that is here: malloc'ed. Those of `dirty` only, those gone
** included; or those that are there. */
OwnAnswer own_slice_rows(OwnTable *table, int slice, bool dirty, OwnObject ***out, size_t *out_n);
void own_rows_drop(OwnObject **rows, size_t n);
/* They are in the database now. */
void own_slice_clean(OwnTable *table, int slice, OwnObject **rows, size_t n);

/* The smallest hash of a slice. */
uint64_t own_slice_first(const OwnTable *table, int slice);

/* ---- turns of ownership ---------------------------------------------------------------------- */

/* The slice is ours from now on: with what arrived, or with nothing. */
void own_slice_begin(OwnTable *table, int slice, uint64_t epoch);
/* Not ours any more, or not to be used until it is known whose it is. */
void own_slice_end(OwnTable *table, int slice, OwnState state);
/* A row that is sent to us. False: no memory, or nothing is expected from `from`. */
bool own_slice_arrive(OwnTable *table, int slice, const void *from, OwnObject *object);
/* A row that was in the slice's copy, unless one is there already. False: it was not put there. */
bool own_slice_copied(OwnTable *table, int slice, OwnObject *object);

#endif
