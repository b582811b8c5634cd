/*
** A row that is to be written, as a table of one row: rules are asked about it as they are about
** rows of the base table, and meet the same types and collations.
**
** It is a table of its own since the statement that reads it belongs to the table that is written,
** and a statement keeps the tables it reads alive.
*/
#include <string.h>

#include "extensions/multiverse/multiverse.h"

typedef struct RowTab {
  VtTab tab;
  State *state;
  BaseTable *base;
} RowTab;

static int row_connect(VtTab *tab, const VtCreate *create) {
  RowTab *row = (RowTab *)tab;
  const size_t prefix = strlen(ROW_PREFIX);
  row->state = vt_state(tab->conn);
  if (sqlite3_stricmp(create->schema, "temp") || create->nargs ||
      strncmp(create->name, ROW_PREFIX, prefix)) {
    return vt_fail(tab, SQLITE_ERROR, "multiverse_enter() makes such tables, nobody else");
  }
  const int rc = shadow_look_up(tab, create->name + prefix, &row->base);
  if (rc != SQLITE_OK) return rc;
  if (!row->base && create->create) {
    return vt_fail(tab, SQLITE_ERROR, "there is no table main.%s", create->name + prefix);
  }
  if (!row->base) return SQLITE_OK; /* dropped by another connection: nobody will ask */
  return shadow_declare(tab, row->base, NULL, 0);
}

static int row_seek(VtCursor *cur, const VtPlan *plan) {
  (void)plan;
  cur->eof = !((RowTab *)cur->tab)->state->fresh;
  return SQLITE_OK;
}

static int row_step(VtCursor *cur) {
  cur->eof = true;
  return SQLITE_OK;
}

/* A value as a column of this affinity would store it. */
static void result_as_stored(sqlite3_context *ctx, sqlite3_value *value, SqlAffinity affinity) {
  const int type = sqlite3_value_type(value);
  const bool number = type == SQLITE_INTEGER || type == SQLITE_FLOAT;
  if (affinity == SQL_AFFINITY_TEXT && number) {
    sqlite3_result_text(ctx, (const char *)sqlite3_value_text(value), -1, SQLITE_TRANSIENT);
    return;
  }
  sqlite3_value *copy = sqlite3_value_dup(value); /* to be converted: the value is SQLite's */
  if (!copy) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  if (affinity >= SQL_AFFINITY_NUMERIC) sqlite3_value_numeric_type(copy);
  const double real = sqlite3_value_double(copy);
  if (affinity == SQL_AFFINITY_REAL && sqlite3_value_type(copy) == SQLITE_INTEGER) {
    sqlite3_result_double(ctx, real);
  } else if ((affinity == SQL_AFFINITY_INTEGER || affinity == SQL_AFFINITY_NUMERIC) &&
             sqlite3_value_type(copy) == SQLITE_FLOAT && real >= -9e18 && real <= 9e18 &&
             real == (double)(sqlite3_int64)real) {
    sqlite3_result_int64(ctx, (sqlite3_int64)real);
  } else {
    sqlite3_result_value(ctx, copy);
  }
  sqlite3_value_free(copy);
}

static int row_column(VtCursor *cur, sqlite3_context *ctx, int col) {
  const RowTab *row = (RowTab *)cur->tab;
  result_as_stored(ctx, row->state->fresh[col], sql_type_affinity(row->base->columns[col].type));
  return SQLITE_OK;
}

static sqlite3_int64 row_rowid(VtCursor *cur) {
  const RowTab *row = (RowTab *)cur->tab;
  const int column = row->base->rowid_column;
  return column < 0 ? 0 : sqlite3_value_int64(row->state->fresh[column]);
}

static const VtColumn columns[] = {
    {.name = "column", .type = "", .flags = VT_OUT, .doc = "as in the base table"}};

const VtTable multiverse_row_table = {
    .name = "multiverse_row",
    .doc = "A row that is about to be written; for statements of the extension's own.",
    .risk = SQLITE_VTAB_INNOCUOUS,
    .cols = columns,
    .ncols = countof(columns),
    .rows = 1,
    .table_size = sizeof(RowTab),
    .connect = row_connect,
    .created = true,
    .seek = row_seek,
    .step = row_step,
    .column = row_column,
    .rowid = row_rowid,
};
