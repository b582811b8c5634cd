/*
** Rows of base tables in memory: see store.h.
**
** For the forum of the benchmark, with 80 bytes of content, a row takes 164 bytes with what malloc
** adds and its place among the others, and a posting 8 bytes for each of its rows.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/multiverse/store.h"

struct Posting {
  Posting *next;                   /* in its bucket */
  Posting *older, *newer;          /* by their last use */
  Row **rows;                      /* by rowid */
  size_t count, capacity, content; /* bytes of the rows, while it is made */
  uint64_t hash;
  int table, column, pins;
  bool refused;
  Datum key; /* its bytes stand behind it */
};

typedef struct Rows { /* of one table */
  Row **buckets;
  size_t nbuckets, count;
  uint64_t columns; /* bits of the columns that have postings; the rowid's is the last */
} Rows;

struct Store {
  StoreTable *tables;
  Rows *rows;
  int ntables, references, pins;
  Posting **buckets;
  size_t nbuckets, count;
  Posting *newest, *oldest;
  size_t bytes, budget, evicted;
};

enum { ROWS_FIRST = 64, POSTINGS_FIRST = 64, BLOCK = 16 /* what malloc adds, about */ };

/* ---- rows ------------------------------------------------------------------------------------ */

static size_t bucket_of(const Rows *rows, sqlite3_int64 rowid) {
  return (size_t)(((uint64_t)rowid * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & (rows->nbuckets - 1);
}

Row *store_row(const Store *store, int table, sqlite3_int64 rowid) {
  const Rows *rows = &store->rows[table];
  Row *row = rows->nbuckets ? rows->buckets[bucket_of(rows, rowid)] : NULL;
  while (row && row->rowid != rowid) row = row->next;
  return row;
}

static bool has_bytes(const Datum *cell) {
  return cell->type == SQLITE_TEXT || cell->type == SQLITE_BLOB;
}

static bool grow_rows(Store *store, Rows *rows) {
  const size_t n = rows->nbuckets ? rows->nbuckets * 2 : ROWS_FIRST;
  Row **old = rows->buckets, **buckets = calloc(n, sizeof(Row *));
  const size_t nold = rows->nbuckets;
  if (!buckets) return nold > 0; /* longer chains will do */
  rows->buckets = buckets;
  rows->nbuckets = n;
  for (size_t i = 0; i < nold; i++) {
    for (Row *row = old[i], *next; row; row = next) {
      Row **bucket = &buckets[bucket_of(rows, row->rowid)];
      next = row->next;
      row->next = *bucket;
      *bucket = row;
    }
  }
  free(old);
  store->bytes += (n - nold) * sizeof(Row *);
  return true;
}

static bool row_enter(Store *store, int table, Row *row) {
  Rows *rows = &store->rows[table];
  if (rows->count >= rows->nbuckets && !grow_rows(store, rows)) return false;
  Row **bucket = &rows->buckets[bucket_of(rows, row->rowid)];
  row->next = *bucket;
  *bucket = row;
  rows->count++;
  store->bytes += row->size + BLOCK;
  return true;
}

static void row_release(Store *store, int table, Row *row) {
  if (--row->references) return;
  Rows *rows = &store->rows[table];
  Row **link = &rows->buckets[bucket_of(rows, row->rowid)];
  while (*link != row) link = &(*link)->next;
  *link = row->next;
  rows->count--;
  store->bytes -= row->size + BLOCK;
  free(row);
}

/* ---- postings -------------------------------------------------------------------------------- */

static uint64_t column_bit(int column) {
  return UINT64_C(1) << (column == STORE_ROWID ? STORE_MAX_COLUMNS - 1 : column);
}

static uint64_t posting_hash(int table, int column, const Datum *key) {
  return datum_hash(key, ((uint64_t)table << 8) + (uint64_t)(column + 1) * 4);
}

static bool is_wanted(const Posting *posting, uint64_t hash, int table, int column,
                      const Datum *key) {
  return posting->hash == hash && posting->table == table && posting->column == column &&
         !datum_compare(&posting->key, key);
}

static Posting *lookup(const Store *store, int table, int column, const Datum *key) {
  const uint64_t hash = posting_hash(table, column, key);
  Posting *posting = store->nbuckets ? store->buckets[hash & (store->nbuckets - 1)] : NULL;
  while (posting && !is_wanted(posting, hash, table, column, key)) posting = posting->next;
  return posting;
}

/* Out of the order of use, and into it as the newest. */
static void unlink_use(Store *store, Posting *posting) {
  *(posting->older ? &posting->older->newer : &store->oldest) = posting->newer;
  *(posting->newer ? &posting->newer->older : &store->newest) = posting->older;
  posting->older = posting->newer = NULL;
}

static void link_use(Store *store, Posting *posting) {
  posting->older = store->newest;
  *(store->newest ? &store->newest->newer : &store->oldest) = posting;
  store->newest = posting;
}

Posting *store_find(Store *store, int table, int column, const Datum *key) {
  if (!(store->rows[table].columns & column_bit(column))) return NULL;
  Posting *posting = lookup(store, table, column, key);
  if (posting && posting != store->newest) {
    unlink_use(store, posting);
    link_use(store, posting);
  }
  return posting;
}

size_t posting_count(const Posting *posting) { return posting->count; }
Row *posting_row(const Posting *posting, size_t i) { return posting->rows[i]; }

/* Rows of an author are all over the memory: without it, waiting for them is most of a scan. */
void posting_prepare(const Posting *posting, size_t i) {
  enum { WHAT_RULES_ASK_FOR = 56 };
  if (i >= posting->count) return;
  __builtin_prefetch(posting->rows[i]);
  __builtin_prefetch((const char *)posting->rows[i] + WHAT_RULES_ASK_FOR - 1);
}

bool posting_is_refused(const Posting *posting) { return posting->refused; }

void posting_pin(Store *store, Posting *posting) {
  posting->pins++;
  store->pins++;
}

void posting_unpin(Store *store, Posting *posting) {
  posting->pins--;
  store->pins--;
}

/* A row that is held by nobody else any more is still the one of its rowid: nothing changes. */
void row_pin(Store *store, Row *row) {
  row->references++;
  store->pins++;
}

void row_unpin(Store *store, int table, Row *row) {
  row_release(store, table, row);
  store->pins--;
}

bool store_is_pinned(const Store *store) { return store->pins > 0; }

static size_t posting_bytes(const Posting *posting) {
  return sizeof *posting + posting->capacity * sizeof *posting->rows + 2 * BLOCK +
         (has_bytes(&posting->key) ? posting->key.length : 0);
}

/* ---- leaving ------------------------------------------------------------------------ */

static void let_go(Store *store, Posting *posting) {
  for (size_t i = 0; i < posting->count; i++) row_release(store, posting->table, posting->rows[i]);
  store->bytes -= posting->capacity * sizeof *posting->rows;
  free(posting->rows);
  posting->rows = NULL;
  posting->count = posting->capacity = 0;
}

void posting_drop(Store *store, Posting *posting) {
  let_go(store, posting);
  store->bytes -= posting_bytes(posting);
  free(posting);
}

static void remove_posting(Store *store, Posting *posting) {
  Posting **link = &store->buckets[posting->hash & (store->nbuckets - 1)];
  while (*link != posting) link = &(*link)->next;
  *link = posting->next;
  unlink_use(store, posting);
  store->count--;
  posting_drop(store, posting);
}

static void evict(Store *store) {
  for (Posting *posting = store->oldest, *newer; posting; posting = newer) {
    if (store->bytes <= store->budget) return;
    newer = posting->newer;
    if (posting->pins) continue;
    remove_posting(store, posting);
    store->evicted++;
  }
}

/* ---- making one ------------------------------------------------------------------------------ */

Posting *posting_begin(Store *store, int table, int column, const Datum *key) {
  const size_t length = has_bytes(key) ? key->length : 0;
  if (column >= STORE_MAX_COLUMNS - 1) return NULL;
  Posting *posting = malloc(sizeof *posting + length + 1);
  if (!posting) return NULL;
  *posting = (Posting){.table = table, .column = column, .key = *key};
  posting->hash = posting_hash(table, column, key);
  if (length) {
    memcpy(posting + 1, key->as.bytes, length);
    posting->key.as.bytes = (const char *)(posting + 1);
  }
  store->bytes += posting_bytes(posting);
  return posting;
}

static bool reserve(Store *store, Posting *posting, size_t count) {
  const size_t before = posting->capacity;
  if (!array_extend(posting->rows, posting->capacity, count)) return false;
  store->bytes += (posting->capacity - before) * sizeof *posting->rows;
  return true;
}

/* Another posting may have the row. */
static Row *row_get(Store *store, int table, sqlite3_int64 rowid, const Datum *cells,
                    const uint8_t *flags) {
  Row *row = store_row(store, table, rowid);
  if (row) return row;
  row = row_make(&store->tables[table], rowid, cells, flags);
  if (row && row_enter(store, table, row)) return row;
  free(row);
  return NULL;
}

bool posting_add(Store *store, Posting *posting, sqlite3_int64 rowid, const Datum *cells,
                 const uint8_t *flags) {
  if (!reserve(store, posting, posting->count + 1)) return false;
  Row *row = row_get(store, posting->table, rowid, cells, flags);
  if (!row) return false;
  row->references++;
  posting->rows[posting->count++] = row;
  posting->content += row->size + BLOCK;
  if (store->bytes > store->budget) evict(store);
  if (posting_bytes(posting) + posting->content <= store->budget / 2) return true;
  let_go(store, posting);
  posting->refused = true;
  return false;
}

static bool grow_postings(Store *store) {
  const size_t n = store->nbuckets ? store->nbuckets * 2 : POSTINGS_FIRST, nold = store->nbuckets;
  Posting **old = store->buckets, **buckets = calloc(n, sizeof(Posting *));
  if (!buckets) return nold > 0;
  for (size_t i = 0; i < nold; i++) {
    for (Posting *posting = old[i], *next; posting; posting = next) {
      Posting **bucket = &buckets[posting->hash & (n - 1)];
      next = posting->next;
      posting->next = *bucket;
      *bucket = posting;
    }
  }
  free(old);
  store->buckets = buckets;
  store->nbuckets = n;
  store->bytes += (n - nold) * sizeof(Posting *);
  return true;
}

bool posting_publish(Store *store, Posting *posting) {
  if (store->count >= store->nbuckets && !grow_postings(store)) {
    posting_drop(store, posting);
    return false;
  }
  Posting **bucket = &store->buckets[posting->hash & (store->nbuckets - 1)];
  posting->next = *bucket;
  *bucket = posting;
  link_use(store, posting);
  store->count++;
  store->rows[posting->table].columns |= column_bit(posting->column);
  posting_pin(store, posting);
  evict(store);
  return true;
}

/* ---- changes --------------------------------------------------------------------------------- */

static size_t place_of(const Posting *posting, sqlite3_int64 rowid) {
  size_t low = 0, high = posting->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (posting->rows[middle]->rowid < rowid) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static bool insert_row(Store *store, Posting *posting, Row *row) {
  if (posting->refused) return true;
  if (!reserve(store, posting, posting->count + 1)) return false;
  const size_t at = place_of(posting, row->rowid);
  memmove(posting->rows + at + 1, posting->rows + at,
          (posting->count - at) * sizeof *posting->rows);
  posting->rows[at] = row;
  posting->count++;
  row->references++;
  return true;
}

static void remove_row(Store *store, Posting *posting, Row *row) {
  if (posting->refused) return;
  const size_t at = place_of(posting, row->rowid);
  if (at == posting->count || posting->rows[at] != row) return;
  posting->count--;
  memmove(posting->rows + at, posting->rows + at + 1,
          (posting->count - at) * sizeof *posting->rows);
  row_release(store, posting->table, row);
}

/* The posting of a row by one column, if there is one. */
static Posting *posting_of(const Store *store, int table, const Row *row, int column) {
  const Datum key = column == STORE_ROWID
                        ? (Datum){.type = SQLITE_INTEGER, .as.integer = row->rowid}
                        : row_cell(&store->tables[table], row, column);
  return key.type == SQLITE_NULL ? NULL : lookup(store, table, column, &key);
}

static bool each_posting(Store *store, int table, Row *row, bool insert) {
  const uint64_t columns = store->rows[table].columns;
  for (int column = STORE_ROWID; column < STORE_MAX_COLUMNS - 1; column++) {
    if (!(columns & column_bit(column))) continue;
    Posting *posting = posting_of(store, table, row, column);
    if (!posting) continue;
    if (!insert) {
      remove_row(store, posting, row);
    } else if (!insert_row(store, posting, row)) {
      return false;
    }
  }
  return true;
}

bool store_replace(Store *store, int table, sqlite3_int64 rowid, const Datum *cells,
                   const uint8_t *flags) {
  Row *old = store_row(store, table, rowid);
  if (old) {
    old->references++;
    each_posting(store, table, old, false);
    row_release(store, table, old);
  }
  if (!cells || !store->rows[table].columns) return true;
  Row *row = row_make(&store->tables[table], rowid, cells, flags);
  if (!row || !row_enter(store, table, row)) {
    free(row);
    return false;
  }
  row->references++;
  const bool ok = each_posting(store, table, row, true);
  row_release(store, table, row);
  if (store->bytes > store->budget) evict(store);
  return ok;
}

/* ---- the store ------------------------------------------------------------------------------- */

Store *store_create(const StoreTable *tables, int ntables, size_t budget) {
  Store *store = calloc(1, sizeof *store);
  if (!store) return NULL;
  store->budget = budget;
  store->references = 1;
  store->ntables = ntables;
  store->tables = calloc((size_t)ntables + 1, sizeof *store->tables);
  store->rows = calloc((size_t)ntables + 1, sizeof *store->rows);
  store->bytes = sizeof *store + (size_t)ntables * (sizeof *store->tables + sizeof *store->rows);
  if (!store->tables || !store->rows) {
    store_release(store);
    return NULL;
  }
  if (ntables) memcpy(store->tables, tables, (size_t)ntables * sizeof *tables);
  return store;
}

void store_hold(Store *store) { store->references++; }

void store_release(Store *store) {
  if (!store || --store->references) return;
  while (store->newest) remove_posting(store, store->newest);
  for (int i = 0; store->rows && i < store->ntables; i++) free(store->rows[i].buckets);
  free(store->rows);
  free(store->tables);
  free(store->buckets);
  free(store);
}

StoreSize store_size(const Store *store) {
  StoreSize size = {.bytes = store->bytes, .postings = store->count, .evicted = store->evicted};
  for (int i = 0; i < store->ntables; i++) size.rows += store->rows[i].count;
  return size;
}

bool store_is_empty(const Store *store) { return !store->count; }
