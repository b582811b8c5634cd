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

/* ---- as a table ----------------------------------------------------------------------------- */

typedef struct RelationCursor {
  VtCursor base;
  const Relation *relation;
  size_t row;
} RelationCursor;

/* c0, c1, … and the argument; how many of them mean anything depends on the relation bound. */
static int relation_connect(VtTab *tab, const VtCreate *create) {
  (void)create;
  VtColumn *columns = arena_array(&tab->arena, RELATION_MAX_COLUMNS + 1, sizeof *columns);
  if (!columns) return SQLITE_NOMEM;
  for (int i = 0; i < RELATION_MAX_COLUMNS; i++) {
    const char *name = arena_printf(&tab->arena, "c%d", i);
    if (!name) return SQLITE_NOMEM;
    columns[i] = (VtColumn){name, "", VT_OUT, 0, "a column of the relation"};
  }
  columns[RELATION_MAX_COLUMNS] = tab->desc->cols[tab->desc->ncols - 1];
  tab->cols = columns;
  tab->ncols = RELATION_MAX_COLUMNS + 1;
  return SQLITE_OK;
}

static int relation_seek(VtCursor *cur, const VtPlan *plan) {
  RelationCursor *cursor = (RelationCursor *)cur;
  cursor->relation = vt_arg_pointer(plan, RELATION_MAX_COLUMNS, relation_pointer_type);
  if (!cursor->relation) {
    return vt_fail(cur->tab, SQLITE_MISUSE, "it is for weave's own queries");
  }
  cursor->row = 0;
  cur->eof = cursor->relation->nrows == 0;
  return SQLITE_OK;
}

static int relation_step(VtCursor *cur) {
  RelationCursor *cursor = (RelationCursor *)cur;
  cur->eof = ++cursor->row >= cursor->relation->nrows;
  return SQLITE_OK;
}

static int relation_column(VtCursor *cur, sqlite3_context *ctx, int col) {
  const RelationCursor *cursor = (const RelationCursor *)cur;
  if (col >= cursor->relation->ncolumns) return SQLITE_OK;
  /* The relation outlives the statement: no copies. */
  query_result(ctx, &relation_row(cursor->relation, cursor->row)[col], SQLITE_STATIC);
  return SQLITE_OK;
}

static const VtColumn relation_columns[] = {
    {"c0", "", VT_OUT, 0, "first column; c1, c2, … follow"},
    {"relation", "", VT_ARG | VT_MUST | VT_NULLABLE, 1000,
     "pointer to the relation; cannot be given in SQL text"},
};

const VtTable weave_relation_table = {
    .name = "weave_relation",
    .doc = "Internal: intermediate results of the compiler, for the queries it runs.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .rows = 1000,
    .cols = relation_columns,
    .ncols = countof(relation_columns),
    .cursor_size = sizeof(RelationCursor),
    .connect = relation_connect,
    .seek = relation_seek,
    .step = relation_step,
    .column = relation_column,
};
