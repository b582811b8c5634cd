/*
** Tables that are written: rows of a few short texts, small enough that a snapshot is a copy.
*/
#ifndef TENFOLD_TEST_VTAB_STORE_H
#define TENFOLD_TEST_VTAB_STORE_H

enum { STORE_ROWS = 32, STORE_COLS = 4, STORE_DEPTH = 8, CELL = 24 };

typedef struct StoreRow {
  sqlite3_int64 id;
  char cells[STORE_COLS][CELL]; /* "" for NULL */
} StoreRow;

typedef struct Rows {
  int count;
  StoreRow at[STORE_ROWS];
} Rows;

typedef struct StoreTab {
  VtTab tab;
  VtColumn cols[STORE_COLS];
  Rows rows;
  Rows before;             /* the transaction */
  Rows saved[STORE_DEPTH]; /* savepoints */
  char *shadow;            /* "schema"."name_data" */
} StoreTab;

/* What was called, for the tests to look at. */
static Text store_log;
static int fail_sync, connects, disconnects;

static void note(const char *what) {
  text_add(&store_log, what);
  text_addc(&store_log, ' ');
}

/* ---- life ------------------------------------------------------------------------------- */

static int shadow_sql(StoreTab *store, const char *format) {
  char *sql = sqlite3_mprintf(format, store->shadow);
  if (!sql) return SQLITE_NOMEM;
  int rc = sqlite3_exec(store->tab.db, sql, NULL, NULL, NULL);
  sqlite3_free(sql);
  return rc == SQLITE_OK ? rc : vt_fail_db(&store->tab, "its data");
}

static int store_connect(VtTab *tab, const VtCreate *create) {
  StoreTab *store = (StoreTab *)tab;
  connects++;
  if (create->nargs < 1 || create->nargs > STORE_COLS) {
    return vt_fail(tab, SQLITE_ERROR, "%d columns given, 1 to %d are possible", create->nargs,
                   STORE_COLS);
  }
  for (int i = 0; i < create->nargs; i++) {
    const char *space = strchr(create->args[i], ' ');
    size_t length = space ? (size_t)(space - create->args[i]) : strlen(create->args[i]);
    char *name = arena_strndup(&tab->arena, create->args[i], length);
    char *type = arena_strdup(&tab->arena, space ? space + 1 : "");
    if (!name || !type) return SQLITE_NOMEM;
    /* Pushed down and then ignored: SQLite tests what is not VT_EXACT itself. */
    store->cols[i] = (VtColumn){name, type, VT_EQ | VT_RANGE, 0, "user's"};
  }
  tab->cols = store->cols;
  tab->ncols = create->nargs;
  store->shadow = sqlite3_mprintf("\"%w\".\"%w_data\"", create->schema, create->name);
  if (!store->shadow) return SQLITE_NOMEM;
  return create->create ? shadow_sql(store, "CREATE TABLE %s(x)") : SQLITE_OK;
}

static int keyed_connect(VtTab *tab, const VtCreate *create) {
  int rc = store_connect(tab, create);
  if (rc == SQLITE_OK) ((StoreTab *)tab)->cols[0].flags = VT_KEY | VT_NOTNULL;
  return rc;
}

static void store_disconnect(VtTab *tab) {
  disconnects++;
  sqlite3_free(((StoreTab *)tab)->shadow);
}

static int store_destroy(VtTab *tab) { return shadow_sql((StoreTab *)tab, "DROP TABLE %s"); }

static int store_rename(VtTab *tab, const char *name) {
  StoreTab *store = (StoreTab *)tab;
  char *format = sqlite3_mprintf("ALTER TABLE %%s RENAME TO \"%w_data\"", name);
  int rc = format ? shadow_sql(store, format) : SQLITE_NOMEM;
  sqlite3_free(format);
  return rc;
}

static int store_is_shadow(const char *suffix) { return sqlite3_stricmp(suffix, "data") == 0; }

/* ---- scan ------------------------------------------------------------------------------- */

typedef struct StoreCursor {
  VtCursor cur;
  int at;
} StoreCursor;

static Rows *rows_of(VtCursor *base) { return &((StoreTab *)base->tab)->rows; }

static int store_seek(VtCursor *base, const VtPlan *plan) {
  (void)plan;
  ((StoreCursor *)base)->at = 0;
  base->eof = rows_of(base)->count == 0;
  return SQLITE_OK;
}

static int store_step(VtCursor *base) {
  base->eof = ++((StoreCursor *)base)->at >= rows_of(base)->count;
  return SQLITE_OK;
}

static int store_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const char *cell = rows_of(base)->at[((StoreCursor *)base)->at].cells[col];
  if (sqlite3_vtab_nochange(ctx)) return SQLITE_OK;
  if (*cell) sqlite3_result_text(ctx, cell, -1, SQLITE_TRANSIENT);
  return SQLITE_OK;
}

static sqlite3_int64 store_rowid(VtCursor *base) {
  return rows_of(base)->at[((StoreCursor *)base)->at].id;
}

/* ---- writes ----------------------------------------------------------------------------- */

static int find_row(const Rows *rows, sqlite3_value *key, bool keyed) {
  for (int i = 0; i < rows->count; i++) {
    const char *text = (const char *)sqlite3_value_text(key);
    if (keyed ? text && strcmp(rows->at[i].cells[0], text) == 0
              : rows->at[i].id == sqlite3_value_int64(key)) {
      return i;
    }
  }
  return -1;
}

static void put_cells(StoreTab *store, StoreRow *row, sqlite3_value **columns) {
  for (int i = 0; i < store->tab.ncols; i++) {
    if (sqlite3_value_nochange(columns[i])) {
      note("same");
      continue;
    }
    const char *text = (const char *)sqlite3_value_text(columns[i]);
    snprintf(row->cells[i], CELL, "%s", text ? text : "");
  }
}

static int store_insert(VtTab *tab, sqlite3_value *key, sqlite3_value **columns,
                        sqlite3_int64 *rowid) {
  StoreTab *store = (StoreTab *)tab;
  Rows *rows = &store->rows;
  bool keyed = tab->desc->without_rowid;
  if (rows->count == STORE_ROWS) return vt_fail(tab, SQLITE_FULL, "%d rows", rows->count);
  sqlite3_value *given = keyed ? columns[0] : key;
  bool null = sqlite3_value_type(given) == SQLITE_NULL;
  if (!null && find_row(rows, given, keyed) >= 0) {
    return vt_fail(tab, SQLITE_CONSTRAINT, "key %s exists", sqlite3_value_text(given));
  }
  StoreRow *row = &rows->at[rows->count];
  memset(row, 0, sizeof *row);
  row->id = null || keyed ? rows->count + 1 : sqlite3_value_int64(key);
  put_cells(store, row, columns);
  if (!keyed) *rowid = row->id;
  rows->count++;
  return SQLITE_OK;
}

static int store_update(VtTab *tab, sqlite3_value *old_key, sqlite3_value *new_key,
                        sqlite3_value **columns) {
  StoreTab *store = (StoreTab *)tab;
  bool keyed = tab->desc->without_rowid;
  int i = find_row(&store->rows, old_key, keyed);
  if (i < 0) return vt_fail(tab, SQLITE_CORRUPT_VTAB, "no such row");
  if (!keyed) store->rows.at[i].id = sqlite3_value_int64(new_key);
  put_cells(store, &store->rows.at[i], columns);
  return SQLITE_OK;
}

static int store_remove(VtTab *tab, sqlite3_value *key) {
  StoreTab *store = (StoreTab *)tab;
  int i = find_row(&store->rows, key, tab->desc->without_rowid);
  if (i < 0) return vt_fail(tab, SQLITE_CORRUPT_VTAB, "no such row");
  int after = --store->rows.count - i;
  memmove(&store->rows.at[i], &store->rows.at[i + 1], (size_t)after * sizeof(StoreRow));
  return SQLITE_OK;
}

static int store_begin(VtTab *tab) {
  note("begin");
  ((StoreTab *)tab)->before = ((StoreTab *)tab)->rows;
  return SQLITE_OK;
}

static int store_sync(VtTab *tab) {
  note("sync");
  return fail_sync ? vt_fail(tab, fail_sync, "somebody else was faster") : SQLITE_OK;
}

static void store_commit(VtTab *tab) {
  (void)tab;
  note("commit");
}

static void store_rollback(VtTab *tab) {
  note("rollback");
  ((StoreTab *)tab)->rows = ((StoreTab *)tab)->before;
}

static int store_savepoint(VtTab *tab, int n) {
  if (n >= STORE_DEPTH) return vt_fail(tab, SQLITE_ERROR, "%d savepoints", n);
  ((StoreTab *)tab)->saved[n] = ((StoreTab *)tab)->rows;
  return SQLITE_OK;
}

static int store_rollback_to(VtTab *tab, int n) {
  note("back");
  ((StoreTab *)tab)->rows = ((StoreTab *)tab)->saved[n];
  return SQLITE_OK;
}

/* ---- tables ----------------------------------------------------------------------------- */

static const VtWriter store_writer = {.insert = store_insert,
                                      .update = store_update,
                                      .remove = store_remove,
                                      .begin = store_begin,
                                      .sync = store_sync,
                                      .commit = store_commit,
                                      .rollback = store_rollback,
                                      .savepoint = store_savepoint,
                                      .rollback_to = store_rollback_to};

/* No savepoints: the kit refuses to commit after what cannot be undone. */
static const VtWriter log_writer = {.insert = store_insert,
                                    .begin = store_begin,
                                    .sync = store_sync,
                                    .commit = store_commit,
                                    .rollback = store_rollback};

static const VtWriter native_writer = {.insert = store_insert, .native = true};

#define STORE(variable, title, connector, key, writes)                                             \
  static const VtTable variable = {.name = title,                                                  \
                                   .doc = "Rows of texts.",                                        \
                                   .risk = SQLITE_VTAB_INNOCUOUS,                                  \
                                   .rows = 10,                                                     \
                                   .table_size = sizeof(StoreTab),                                 \
                                   .cursor_size = sizeof(StoreCursor),                             \
                                   .created = true,                                                \
                                   .without_rowid = key,                                           \
                                   .connect = connector,                                           \
                                   .disconnect = store_disconnect,                                 \
                                   .destroy = store_destroy,                                       \
                                   .rename = store_rename,                                         \
                                   .is_shadow = store_is_shadow,                                   \
                                   .seek = store_seek,                                             \
                                   .step = store_step,                                             \
                                   .column = store_column,                                         \
                                   .rowid = store_rowid,                                           \
                                   .writer = &(writes)}

STORE(store_table, "demo_store", store_connect, false, store_writer);
STORE(log_table, "demo_log", store_connect, false, log_writer);
STORE(native_table, "demo_native", store_connect, false, native_writer);
STORE(keyed_table, "demo_keyed", keyed_connect, true, store_writer);

/* A table that is simply there, and takes rows. */

static const VtColumn note_cols[] = {{"note", "TEXT", VT_OUT, 0, "what was said"}};

static const VtWriter note_writer = {
    .insert = store_insert, .rollback = store_rollback, .begin = store_begin};

static const VtTable note_table = {.name = "demo_notes",
                                   .doc = "Takes notes.",
                                   .risk = SQLITE_VTAB_INNOCUOUS,
                                   .cols = note_cols,
                                   .ncols = 1,
                                   .rows = 10,
                                   .table_size = sizeof(StoreTab),
                                   .cursor_size = sizeof(StoreCursor),
                                   .seek = store_seek,
                                   .step = store_step,
                                   .column = store_column,
                                   .rowid = store_rowid,
                                   .writer = &note_writer};

#endif
