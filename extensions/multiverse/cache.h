/*
** Tier 2: rows of base tables kept in memory for all universes of a connection. Off until
** multiverse_cache(bytes) says otherwise.
**
** What is kept is what the database holds in the snapshot that a statement reads, or it is not
** used. A hook notes the keys of rows that this connection touches; before a statement is answered
** from memory, they are read again, since what a statement failed to do and what a ROLLBACK TO took
** back leaves no other trace. Other connections' commits, and whatever is not understood, empty the
** store. Where nothing is sure, tier 1 answers.
*/
#ifndef TENFOLD_MULTIVERSE_CACHE_H
#define TENFOLD_MULTIVERSE_CACHE_H

#include "extensions/multiverse/lens.h"

typedef struct Touched { /* a key that was written */
  int table;
  sqlite3_int64 rowid;
} Touched;

typedef struct CacheStats {
  sqlite3_int64 served, passed; /* scans that memory answered, and that it left to tier 1 */
  sqlite3_int64 filled, reread, emptied;
} CacheStats;

typedef struct Cache {
  State *state;
  VtWatch *touches, *statements;
  size_t budget;
  Store *store;  /* NULL: nothing is kept */
  uint64_t hash; /* of the policy that the lenses are of */
  Arena arena;
  Lens *lenses; /* per table of the policy */
  StoreTable *formats;
  int nlenses;

  Touched *touched; /* in no order, each once: `slots` finds them */
  size_t ntouched, touched_capacity;
  uint32_t *slots; /* 1 + number of a key, or 0 */
  size_t nslots;
  bool flooded; /* too many of them */

  /* Every change that SQLite counts comes with a call of the hook, or somebody has replaced it. */
  sqlite3_int64 calls, written; /* calls of the hook; rows that virtual tables of ours took */
  sqlite3_int64 checked_calls, checked_changes;
  bool doubted;

  bool known; /* the state of the database that the store is of */
  sqlite3_int64 data_version;
  unsigned file_version;
  bool wrote; /* the hook was called since */

  uint64_t missed[1024]; /* rows that were asked for by their rowid and not there, lately */
  CacheStats stats;
} Cache;

void cache_destroy(Cache *cache);
/* Another policy comes into force; no transaction is open. */
void cache_forget_policy(const State *state);
/* A row was written by way of a virtual table: SQLite counts it once more. */
void cache_note_write(const State *state);

/* The store, and the table's lens, for the policy that holds. NULL: tier 1. */
const Lens *cache_lens(Cache *cache, int table);

/* What the store holds is what the statement reads that has pinned this snapshot. Takes the keys
** that were touched; `reread` reads one again. False: tier 1. */
bool cache_sync(Cache *cache, sqlite3_int64 data_version, unsigned file_version,
                bool (*reread)(void *ctx, const Touched *touched), void *ctx);
void cache_empty(Cache *cache);

void multiverse_cache(sqlite3_context *ctx, int argc, sqlite3_value **argv);

/* ---- a scan that memory answers: served.c ---------------------------------------------------- */

typedef struct Filter { /* a term that SQLite does not test again */
  int column;
  SqlOp op;
  Datum cell;
} Filter;

typedef struct Served {
  Sight sight;
  signed char truths[MAX_ATOMS];
  Store *store;
  Posting *posting; /* pinned; or NULL, and then the one row */
  Row *row;         /* pinned */
  size_t at, left;
  bool backwards;
  const Row *current;
  int nfilters;
  Filter *filters;
} Served;

typedef struct ServedCursor {
  ShadowCursor shadow;
  Served served;
} ServedCursor;

/* ---- reading: fill.c ------------------------------------------------------------------------- */

/* The rows of a table whose column is `value`, all of them, pinned; or NULL: tier 1. */
Posting *cache_posting(Shadow *shadow, int column, sqlite3_value *value, const Datum *key);
/* A row that is not there has been asked for lately, so that it may be worth its place. */
bool cache_is_wanted(Cache *cache, int table, sqlite3_int64 rowid);
/* Rows that have been touched; ctx is a Shadow. */
bool cache_reread(void *ctx, const Touched *touched);

#endif
