/*
** Rows of base tables in memory, found by their rowid and through postings: "the rows of Post with
** class = 5", in the order of their rowids. A posting holds all such rows or is not there. Rows are
** shared by postings and never change; a changed row is another one.
**
** The store knows nothing of SQL and of policies; that it holds what the database holds is up to
** cache.c. The longest unused postings go when it grows beyond its budget.
*/
#ifndef TENFOLD_MULTIVERSE_STORE_H
#define TENFOLD_MULTIVERSE_STORE_H

#include <string.h>

#include "extensions/multiverse/datum.h"

typedef struct Row Row;
typedef struct Posting Posting;
typedef struct Store Store;

enum { STORE_ROWID = -1, STORE_MAX_COLUMNS = 64 };

typedef struct StoreTable { /* what a row of it has */
  int ncells, nflags;
} StoreTable;

/* One block: flags and kinds of the cells, a byte each; from the next multiple of 4 on a word for
** each cell, an integer of 32 bits or where in the block its bytes are; these, a text or blob with
** its length before it. What rules ask for is in the first hundred bytes. */
struct Row {
  struct Row *next; /* in its bucket */
  sqlite3_int64 rowid;
  uint32_t references; /* postings that hold it, and pins */
  uint32_t size;       /* of the block */
  uint8_t marks[];     /* flags, then kinds */
};

typedef enum HeldKind {
  HELD_NULL,
  HELD_SMALL,
  HELD_INTEGER,
  HELD_REAL,
  HELD_TEXT,
  HELD_BLOB
} HeldKind;

/* Held once. Released by everyone, it goes: a cursor may outlive the cache. NULL without memory. */
Store *store_create(const StoreTable *tables, int ntables, size_t budget);
void store_hold(Store *store);
void store_release(Store *store);

/* ---- rows ------------------------------------------------------------------------------------ */

static inline int32_t row_word(const StoreTable *table, const Row *row, int cell) {
  const int first = (table->nflags + table->ncells + 3) & ~3;
  int32_t word;
  memcpy(&word, row->marks + first + 4 * cell, sizeof word);
  return word;
}

static inline HeldKind row_kind(const StoreTable *table, const Row *row, int cell) {
  return (HeldKind)row->marks[table->nflags + cell];
}

Datum row_cell(const StoreTable *table, const Row *row, int cell);

/* NULL without memory, and for rows of more than 2 GiB; free() it. `next` and `references` are the
** store's. */
Row *row_make(const StoreTable *table, sqlite3_int64 rowid, const Datum *cells,
              const uint8_t *flags);

Row *store_row(const Store *store, int table, sqlite3_int64 rowid); /* or NULL */

/* ---- postings -------------------------------------------------------------------------------- */

/* NULL when there is none. It counts as used now. `column` may be STORE_ROWID. */
Posting *store_find(Store *store, int table, int column, const Datum *key);

size_t posting_count(const Posting *posting);
Row *posting_row(const Posting *posting, size_t i);
/* The row at `i` will be asked for soon. Any i will do. */
void posting_prepare(const Posting *posting, size_t i);
bool posting_is_refused(const Posting *posting); /* too large: not to be filled again */

/* What is pinned does not go, and while anything is, nothing changes. */
void posting_pin(Store *store, Posting *posting);
void posting_unpin(Store *store, Posting *posting);
void row_pin(Store *store, Row *row);
void row_unpin(Store *store, int table, Row *row);
bool store_is_pinned(const Store *store);

/* A posting in the making: begin, add each row in the order of rowids, then publish or drop it.
** False: no memory, or `posting_is_refused()` since it would take half of the budget. */
Posting *posting_begin(Store *store, int table, int column, const Datum *key);
bool posting_add(Store *store, Posting *posting, sqlite3_int64 rowid, const Datum *cells,
                 const uint8_t *flags);
/* Others may find it, and the longest unused ones may go; it is pinned. A refused one keeps its
** key. False without memory: it has been dropped. */
bool posting_publish(Store *store, Posting *posting);
void posting_drop(Store *store, Posting *posting);

/* ---- changes --------------------------------------------------------------------------------- */

/* The row is now this one; `cells` NULL: there is none. False without memory: the store is then
** worth nothing. Nothing may be pinned. */
bool store_replace(Store *store, int table, sqlite3_int64 rowid, const Datum *cells,
                   const uint8_t *flags);

typedef struct StoreSize {
  size_t bytes, rows, postings, evicted;
} StoreSize;
StoreSize store_size(const Store *store);
/* Postings that keep rows, or remember that they do not. */
bool store_is_empty(const Store *store);

#endif
