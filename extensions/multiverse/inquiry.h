/*
** A question about one row of a base table: what explain and who begin with.
*/
#ifndef TENFOLD_MULTIVERSE_INQUIRY_H
#define TENFOLD_MULTIVERSE_INQUIRY_H

#include "extensions/multiverse/multiverse.h"

typedef struct Inquiry {
  sqlite3 *db;
  Policy *policy;
  const TablePolicy *table;
  sqlite3_value **key; /* of the primary key's columns, else the rowid */
  int nkey;
} Inquiry;

/* Finish it in any case. A key of several columns is a JSON array. */
bool inquiry_begin(VtTab *tab, const char *table, sqlite3_value *key, Inquiry *out, Fault *fault);
void inquiry_finish(Inquiry *inquiry);

/* " WHERE multiverse_row.id = ?n" */
void inquiry_where(const Inquiry *inquiry, Text *out);
/* " WHERE multiverse_row.id = 3" */
void inquiry_where_text(const Inquiry *inquiry, Text *out);
/* Prepared, with the key bound where it is asked for. */
sqlite3_stmt *inquiry_prepare(const Inquiry *inquiry, const Text *sql, Fault *fault);
/* Is there such a row? */
bool inquiry_find(const Inquiry *inquiry, bool *out, Fault *fault);

#endif
