/*
** In-memory relations: see relation.h.
*/
#include "extensions/weave/relation.h"

#include <stdlib.h>

#include "base/array.h"
#include "extensions/weave/query.h"


const char relation_pointer_type[] = "weave_relation";

Value *relation_add(Relation *relation) {
  size_t width = (size_t)relation->ncolumns, need = (relation->nrows + 1) * width;
  if (!array_grow(relation->cells, relation->capacity, need)) return NULL;
  return relation->cells + relation->nrows++ * width; /* new elements are zeroed: NULL */
}

void relation_finish(Relation *relation) {
  free(relation->cells);
  *relation = (Relation){.ncolumns = relation->ncolumns};
}

bool relation_bind(sqlite3_stmt *statement, int index, Relation *relation, Fault *fault) {
  int rc = sqlite3_bind_pointer(statement, index, relation, relation_pointer_type, NULL);
  return rc == SQLITE_OK || query_fault(sqlite3_db_handle(statement), rc, fault);
}
