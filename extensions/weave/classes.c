/*
** Interchangeable rows of a table, within one SELECT: see block.h.
**
** Two rows that agree on every column the SELECT reads give the same tuples, so SQLite needs to
** enumerate only one of them: a batch of 500 pods from 40 deployments costs as much as 40 pods.
*/
#include <stdlib.h>

#include "extensions/weave/block.h"

/* SELECT of the columns that tell rows apart, for all rows in scope; NULL without a fault when
** there are none. */
static sqlite3_stmt *columns_query(Block *block, const Feed *feed, int *out_count) {
  const Table *table = feed->table;
  bool *wanted = block_wanted(block, feed->source);
  *out_count = 0;
  if (!wanted) return NULL;
  Text columns = {0}, sql = {0};
  const char *alias = feed->cells[0].decision->clause->table;
  sqlite3_stmt *query = NULL;
  if (!lookup_replace(block, feed->source, alias, wanted, &columns, out_count)) goto out;
  for (int i = 0; i <= table->ncolumns; i++) {
    if (!wanted[i] || (i < table->ncolumns && table->decisions[i])) continue;
    if (columns.length) text_addc(&columns, ',');
    if (i < table->ncolumns) {
      text_add_name(&columns, table->columns[i].name);
    } else {
      text_add(&columns, table->keys[0]);
    }
    ++*out_count;
  }
  if (*out_count) {
    domain_rows_sql(&sql, table, text_get(&columns) ? text_get(&columns) : "");
    sql.oom |= columns.oom;
    query = query_prepare(block->compiler->db, text_get(&sql), block->compiler->fault);
  }
out:
  text_finish(&columns);
  text_finish(&sql);
  return query;
}

static bool add_class(Feed *feed, size_t row) {
  const Table *table = feed->table;
  Value *values = relation_add(&feed->classes);
  if (!values) return false;
  values[0] = value_integer((int64_t)feed->nclasses++);
  for (int k = 0; k < table->nkeys; k++) {
    values[1 + k] = table->row_keys[row * (size_t)table->nkeys + (size_t)k];
  }
  for (int c = 0; c < feed->ncells; c++) {
    values[1 + table->nkeys + c] = value_integer(feed->cells[c].decision->domain[row]);
  }
  return true;
}

/* The class of each row, by the bytes of what the SELECT reads. */
static bool assign(Block *block, Feed *feed, uint32_t *class_of) {
  const Table *table = feed->table;
  Fault *fault = block->compiler->fault;
  int ncolumns = 0, step = 1;
  Map classes = {0};
  Text key = {0};
  bool ok = false;
  sqlite3_stmt *query = feed->by_row ? NULL : columns_query(block, feed, &ncolumns);
  if (!query && fault->code) goto out;
  for (size_t row = 0; row < table->nrows; row++) {
    bool added = true;
    text_clear(&key);
    if (feed->by_row) {
      class_of[row] = (uint32_t)row;
    } else {
      if (query && (step = query_step(query, fault)) != 1) break;
      for (int i = 0; i < ncolumns; i++) {
        Value value = query_value(query, i);
        value_add_exact_key(&key, &value);
      }
      for (int c = 0; c < feed->ncells; c++) {
        text_addf(&key, ",%d", feed->cells[c].decision->domain[row]);
      }
      int64_t *at =
          key.oom ? NULL
                  : map_put(&classes, text_get(&key), key.length, (int64_t)feed->nclasses, &added);
      if (!at) goto oom;
      class_of[row] = (uint32_t)*at;
    }
    if (added && !add_class(feed, row)) goto oom;
  }
  if (step == 0) {
    fault_set(fault, FAULT_BUSY, "table %s changed during the query", table->name);
  }
  ok = step == 1;
  goto out;
oom:
  fault_oom(fault);
out:
  query_finish(query);
  map_finish(&classes);
  text_finish(&key);
  return ok;
}

bool classes_build(Block *block, Feed *feed) {
  const Table *table = feed->table;
  feed->by_row = block->rows_apart;
  for (int c = 0; c < feed->ncells; c++) feed->by_row |= !feed->cells[c].expanded;
  feed->classes.ncolumns = 1 + table->nkeys + feed->ncells;
  uint32_t *class_of = malloc((table->nrows + 1) * sizeof *class_of);
  feed->class_rows = malloc((table->nrows + 1) * sizeof *feed->class_rows);
  bool ok = class_of && feed->class_rows ? assign(block, feed, class_of)
                                         : fault_oom(block->compiler->fault);
  if (ok) {
    feed->class_first = calloc(feed->nclasses + 2, sizeof *feed->class_first);
    ok = feed->class_first || fault_oom(block->compiler->fault);
  }
  if (ok) {
    /* Counting sort: class_first is shifted by one while it serves as the write position. */
    uint32_t *next = feed->class_first + 1;
    for (size_t row = 0; row < table->nrows; row++) next[class_of[row] + 1]++;
    for (size_t c = 1; c <= feed->nclasses; c++) next[c] += next[c - 1];
    for (size_t row = 0; row < table->nrows; row++) {
      feed->class_rows[next[class_of[row]]++] = (uint32_t)row;
    }
  }
  free(class_of);
  return ok;
}
