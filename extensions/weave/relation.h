/*
** An in-memory relation, readable in SQL as weave_relation(?) with the pointer bound.
**
** What the compiler computes in between (row classes, candidates, the rows of helper views) goes
** back into SQLite through here, rather than through temporary tables: nothing of the user's
** database, schema or transaction is touched, and a read-only database will do.
*/
#ifndef TENFOLD_WEAVE_RELATION_H
#define TENFOLD_WEAVE_RELATION_H

#include "vtab/vt.h"

#include "base/arena.h"
#include "base/fault.h"
#include "extensions/weave/value.h"

enum { RELATION_MAX_COLUMNS = 60 };

/* Rows of `ncolumns` values. The bytes of text live wherever the adder keeps them. */
typedef struct Relation {
  int ncolumns;
  size_t nrows, capacity;
  Value *cells; /* row-major, malloc'ed */
} Relation;

/* Room for one more row, its values NULL; NULL when out of memory. Valid until the next add. */
Value *relation_add(Relation *relation);
static inline const Value *relation_row(const Relation *relation, size_t row) {
  return relation->cells + row * (size_t)relation->ncolumns;
}
void relation_finish(Relation *relation);

/* Bind for weave_relation(?index). The relation must outlive the statement's last step. */
bool relation_bind(sqlite3_stmt *statement, int index, Relation *relation, Fault *fault);

/* The type string of the pointer. */
extern const char relation_pointer_type[];

#endif
