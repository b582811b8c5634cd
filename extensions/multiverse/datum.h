/*
** Values outside of SQLite: what cached rows hold, and how SQLite compares them under BINARY in a
** database of UTF-8.
*/
#ifndef TENFOLD_MULTIVERSE_DATUM_H
#define TENFOLD_MULTIVERSE_DATUM_H

#include "sql/sql.h"
#include "vtab/vt.h"

typedef struct Datum { /* texts and blobs are borrowed */
  int type;            /* SQLITE_INTEGER, …, SQLITE_NULL */
  uint32_t length;
  union {
    int64_t integer;
    double real;
    const char *bytes;
  } as;
} Datum;

/* False when memory is short: a text may have to be converted. */
bool datum_read(sqlite3_value *value, Datum *out);

/* The same after a comparison with a column of that affinity has converted the value. *copy is what
** the cell borrows from when it is no more the value; free it with sqlite3_value_free(). */
bool datum_convert(sqlite3_value *value, SqlAffinity affinity, sqlite3_value **copy, Datum *out);

/* Less than 0, 0, more than 0, as ORDER BY has it: NULL, numbers, texts, blobs. */
int datum_compare(const Datum *a, const Datum *b);

/* Equal cells have equal hashes: 5 and 5.0. */
uint64_t datum_hash(const Datum *cell, uint64_t seed);

void datum_result(sqlite3_context *ctx, const Datum *cell);

#endif
