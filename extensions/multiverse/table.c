/*
** multiverse_table: what stands in front of a base table inside a universe, under its name.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/cache.h"

/* ---- connecting ------------------------------------------------------------------------------ */

int shadow_declare(VtTab *tab, const BaseTable *base, const TablePolicy *policy, unsigned flags) {
  VtColumn *columns = arena_array(&tab->arena, (size_t)base->ncolumns, sizeof *columns);
  VtNature *natures = arena_array(&tab->arena, (size_t)base->ncolumns, sizeof *natures);
  if (!columns || !natures) return SQLITE_NOMEM;
  for (int i = 0; i < base->ncolumns; i++) {
    const SqlColumn *column = &base->columns[i];
    const bool number = sql_type_affinity(column->type) >= SQL_AFFINITY_NUMERIC;
    const bool exact = flags && number && policy && !policy->rewritten[i];
    columns[i] =
        (VtColumn){.name = column->name,
                   .type = column->type,
                   .flags = flags | (column->hidden ? VT_HIDDEN : 0) | (exact ? VT_EXACT : 0),
                   .doc = "a column of the base table"};
    if (i == base->rowid_column) columns[i].flags |= flags ? VT_ROWID | VT_UNIQUE : VT_ROWID;
    natures[i] = (VtNature){.collation = column->collation ? column->collation : "BINARY",
                            .whole_in = !number};
  }
  tab->cols = columns;
  tab->ncols = base->ncolumns;
  tab->natures = natures;
  return SQLITE_OK;
}

/* Another connection has dropped the base table. Ours must open, so that it can be dropped. */
static int connect_gone(VtTab *tab, const VtCreate *create) {
  static const VtColumn gone[] = {{.name = "gone", .type = "", .flags = VT_OUT, .doc = "nothing"}};
  if (create->create) {
    return vt_fail(tab, SQLITE_ERROR, "there is no table main.%s", create->name);
  }
  tab->cols = gone;
  tab->ncols = countof(gone);
  return SQLITE_OK;
}

/* While it connects a table SQLite cannot read the schema anew, which another connection has
** changed more than once; told so, it does, and connects again. */
int shadow_look_up(VtTab *tab, const char *name, BaseTable **out) {
  Fault fault = {0};
  vt_internal_enter(tab->conn);
  const bool ok = base_find(tab->db, name, &tab->arena, out, &fault);
  const int rc = sqlite3_errcode(tab->db);
  vt_internal_leave(tab->conn);
  if (ok) return SQLITE_OK;
  return rc == SQLITE_SCHEMA ? vt_fail(tab, rc, "%s", fault.text) : vt_fault(tab, &fault);
}

static int table_connect(VtTab *tab, const VtCreate *create) {
  Shadow *shadow = (Shadow *)tab;
  shadow->state = vt_state(tab->conn);
  if (sqlite3_stricmp(create->schema, "temp") || create->nargs) {
    return vt_fail(tab, SQLITE_ERROR, "multiverse_enter() makes such tables, nobody else");
  }
  const int rc = shadow_look_up(tab, create->name, &shadow->base);
  if (rc != SQLITE_OK) return rc;
  if (!shadow->base) return connect_gone(tab, create);
  const size_t n = (size_t)shadow->base->ncolumns + 1;
  shadow->given = arena_alloc(&tab->arena, n * sizeof *shadow->given);
  shadow->values = arena_alloc(&tab->arena, n * sizeof *shadow->values);
  shadow->affinities = arena_alloc(&tab->arena, n * sizeof *shadow->affinities);
  if (!shadow->given || !shadow->values || !shadow->affinities) return SQLITE_NOMEM;
  for (size_t i = 0; i + 1 < n; i++) {
    shadow->given[i] = !shadow->base->generated[i];
    shadow->affinities[i] = sql_type_affinity(shadow->base->columns[i].type);
  }
  const Policy *policy = shadow->state->policy;
  tab->name = shadow->base->name;
  tab->rowid_unordered = !shadow->base->rowid;
  return shadow_declare(tab, shadow->base, policy ? policy_table(policy, tab->name) : NULL,
                        VT_EQ | VT_RANGE);
}

static void table_disconnect(VtTab *tab) {
  Shadow *shadow = (Shadow *)tab;
  shadow_forget(shadow);
  keys_end(shadow);
}

/* ---- estimating ------------------------------------------------------------------------------ */

static bool has_equal(const VtPlan *plan, int column) { return vt_term(plan, column, VT_OP_EQ); }

/* Rows that the index leaves to be read for the terms it serves. */
static double index_rows(const BaseTable *base, const BaseIndex *index, const VtPlan *plan) {
  double rows = base->rows;
  for (int i = 0; i < index->ncolumns && index->columns[i] >= 0; i++) {
    if (has_equal(plan, index->columns[i])) {
      rows = index->rows[i];
      continue;
    }
    const bool range =
        vt_term(plan, index->columns[i], VT_OP_LT) || vt_term(plan, index->columns[i], VT_OP_LE) ||
        vt_term(plan, index->columns[i], VT_OP_GT) || vt_term(plan, index->columns[i], VT_OP_GE);
    if (range) rows /= 4;
    break;
  }
  return rows;
}

static void table_estimate(VtTab *tab, const VtPlan *plan, double *rows, double *cost) {
  const BaseTable *base = ((Shadow *)tab)->base;
  double best = base->rows;
  if (base->rowid_column >= 0 && has_equal(plan, base->rowid_column)) best = 1;
  for (int i = 0; i < base->nindexes; i++) {
    if (base->indexes[i].partial) continue;
    const double own = index_rows(base, &base->indexes[i], plan);
    if (own < best) best = own;
  }
  *cost = 10 + best * 3;
  if (plan->nsort && best > 1) *cost += best;
  for (int i = 0; i < plan->nterms && best > 1; i++) {
    if (plan->terms[i].op == VT_OP_EQ) best *= 0.9; /* each tells a little more */
  }
  *rows = best;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* What went wrong inside is the policy's, and perhaps about rows that are not to be seen. */
static int inner_failed(VtTab *tab, int rc) {
  switch (rc & 0xff) {
  case SQLITE_NOMEM:
  case SQLITE_INTERRUPT:
    return rc;
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
  case SQLITE_IOERR:
  case SQLITE_CORRUPT:
    return vt_fail(tab, rc, "%s", sqlite3_errstr(rc));
  default:
    return vt_fail(tab, SQLITE_ERROR, "the policy cannot be evaluated");
  }
}

static int table_step(VtCursor *cur) {
  ShadowCursor *cursor = (ShadowCursor *)cur;
  if (cursor->served) {
    served_step(cursor);
    return SQLITE_OK;
  }
  if (cursor->failed) return inner_failed(cur->tab, cursor->failed);
  vt_internal_enter(cur->tab->conn);
  const int rc = sqlite3_step(cursor->inner->statement);
  vt_internal_leave(cur->tab->conn);
  if (rc == SQLITE_ROW) {
    ((Shadow *)cur->tab)->state->stats.rows++;
    if (cursor->silent) counted_passed(cursor);
    return SQLITE_OK;
  }
  cur->eof = true;
  return rc == SQLITE_DONE ? SQLITE_OK : inner_failed(cur->tab, rc);
}

static int table_next(sqlite3_vtab_cursor *base) {
  ShadowCursor *cursor = (ShadowCursor *)base;
  if (!cursor->counting || cursor->failed) return table_step(&cursor->cursor);
  cursor->cursor.eof = cursor->left == 0;
  cursor->left--;
  cursor->behind++;
  return SQLITE_OK;
}

/* Stands on the first row. *current is false when the memberships turn out to be old, or when the
** statement failed, perhaps since the schema is another one. */
static int begin(VtCursor *cur, const VtPlan *plan, bool sure, bool *current) {
  ShadowCursor *cursor = (ShadowCursor *)cur;
  Shadow *shadow = (Shadow *)cur->tab;
  Fault fault;
  fault_clear(&fault);
  cursor->inner = NULL;
  *current = true;
  if (!shadow_sync(shadow, sure ? SYNC_SURELY : SYNC_GROUPS, &fault))
    return vt_fault(cur->tab, &fault);
  vt_internal_enter(cur->tab->conn);
  const bool ok =
      shadow_statement(shadow, plan, cur->plan_text ? cur->plan_text : "", &cursor->inner, &fault);
  vt_internal_leave(cur->tab->conn);
  if (!ok) return vt_fault(cur->tab, &fault);
  cur->eof = false;
  counted_seek(cursor, plan);
  const bool paused = vt_trace_pause(cur->tab->conn);
  const int rc = counted_at_once(cursor) ? SQLITE_OK : table_step(cur);
  if (paused) vt_trace_resume(cur->tab->conn);
  *current = rc == SQLITE_OK ? shadow_is_current(shadow) : sure || (rc & 0xff) != SQLITE_ERROR;
  return rc;
}

static void end(ShadowCursor *cursor) {
  served_done(cursor);
  cursor->silent = cursor->counting = false;
  cursor->failed = SQLITE_OK;
  if (!cursor->inner) return;
  counted_done(cursor);
  sqlite3_reset(cursor->inner->statement);
  cursor->inner->busy = false;
  cursor->inner = NULL;
}

static int table_seek(VtCursor *cur, const VtPlan *plan) {
  enum { TRIES = 10 };
  ShadowCursor *cursor = (ShadowCursor *)cur;
  bool current;
  if (((Shadow *)cur->tab)->state->cache && served_seek(cursor, plan)) return SQLITE_OK;
  int rc = begin(cur, plan, false, &current);
  for (int i = 0; !current && i < TRIES; i++) {
    end(cursor);
    rc = begin(cur, plan, true, &current);
  }
  if (current) return rc;
  end(cursor);
  return vt_fail(cur->tab, SQLITE_BUSY, "the database changes all the time");
}

static void table_done(VtCursor *cur) { end((ShadowCursor *)cur); }

/* A text that SQLite knows to end with a NUL need not be copied again for who wants one. */
static void give_text(sqlite3_context *ctx, sqlite3_value *value) {
  const char *text = (const char *)sqlite3_value_text(value);
  const int length = sqlite3_value_bytes(value);
  if (!text) {
    sqlite3_result_error_nomem(ctx);
  } else {
    const bool whole = !memchr(text, 0, (size_t)length);
    sqlite3_result_text(ctx, text, whole ? -1 : length, SQLITE_TRANSIENT);
  }
}

/* sqlite3_result_value() allocates for each text; this is faster. The value may be looked at, as
** SQLite holds the connection's mutex while it asks for a column. */
static void give(sqlite3_context *ctx, sqlite3_value *value, bool is_utf8) {
  switch (sqlite3_value_type(value)) {
  case SQLITE_INTEGER:
    sqlite3_result_int64(ctx, sqlite3_value_int64(value));
    return;
  case SQLITE_FLOAT:
    sqlite3_result_double(ctx, sqlite3_value_double(value));
    return;
  case SQLITE_NULL:
    return;
  case SQLITE_TEXT:
    if (is_utf8 && !sqlite3_value_subtype(value)) {
      give_text(ctx, value);
      return;
    }
    break;
  }
  sqlite3_result_value(ctx, value);
}

static int table_value(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int col) {
  VtCursor *cur = (VtCursor *)base;
  ShadowCursor *cursor = (ShadowCursor *)cur;
  if (sqlite3_vtab_nochange(ctx)) return SQLITE_OK;
  if (cursor->served) {
    served_column(cursor, ctx, col);
    return SQLITE_OK;
  }
  const Place *place = &cursor->inner->places[col];
  if (place->at == PLACE_KNOWN) {
    sqlite3_result_int64(ctx, place->known);
    return SQLITE_OK;
  }
  if (cursor->silent) {
    const int rc = counted_catch_up(cursor);
    if (rc != SQLITE_OK) return inner_failed(cur->tab, rc);
  }
  if (place->at < 0) return SQLITE_OK;
  sqlite3_stmt *statement = cursor->inner->statement;
  give(ctx, sqlite3_column_value(statement, place->at), ((Shadow *)cur->tab)->is_utf8);
  return SQLITE_OK;
}

/* Rows of a table WITHOUT ROWID are told apart by a hash of their keys. */
static sqlite3_int64 table_rowid(VtCursor *cur) {
  const BaseTable *base = ((Shadow *)cur->tab)->base;
  ShadowCursor *cursor = (ShadowCursor *)cur;
  if (cursor->served) return served_rowid(cursor);
  if (cursor->silent) cursor->failed = counted_catch_up(cursor);
  if (cursor->failed) { /* no row has this rowid, and nothing goes on */
    sqlite3_interrupt(cur->tab->db);
    return INT64_MIN;
  }
  sqlite3_stmt *statement = cursor->inner->statement;
  if (base->rowid) return sqlite3_column_int64(statement, 0);
  uint64_t hash = 0;
  for (int i = 0; i < base->nkeys; i++) {
    const int type = sqlite3_column_type(statement, i);
    const void *bytes = sqlite3_column_blob(statement, i);
    hash = hash_bytes(bytes ? bytes : "", (size_t)sqlite3_column_bytes(statement, i),
                      hash + (uint64_t)type);
  }
  keys_note((Shadow *)cur->tab, (sqlite3_int64)hash, statement);
  return (sqlite3_int64)hash;
}

static const VtColumn columns[] = {
    {.name = "column", .type = "", .flags = VT_OUT, .doc = "as in the base table"}};

const VtTable multiverse_table_table = {
    .name = "multiverse_table",
    .doc = "Stands in front of a table of main inside a universe; multiverse_enter() makes it.",
    .risk = SQLITE_VTAB_INNOCUOUS,
    .cols = columns,
    .ncols = countof(columns),
    .rows = 1000000,
    .any_order = true,
    .wants_used = true,
    .table_size = sizeof(Shadow),
    .cursor_size = sizeof(ServedCursor),
    .connect = table_connect,
    .disconnect = table_disconnect,
    .created = true,
    .estimate = table_estimate,
    .seek = table_seek,
    .next = table_next,
    .value = table_value,
    .rowid = table_rowid,
    .done = table_done,
    .writer = &shadow_writer,
};
