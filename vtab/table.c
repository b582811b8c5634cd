/*
** Tables and cursors: the sqlite3_module behind every VtTable.
**
** One constant module serves all; each table gets a copy with the methods that its sort has
** (SQLite reads the sort of a table from which methods are NULL).
*/
#include "vtab/inside.h"

#include <string.h>

/* ---- connect --------------------------------------------------------------------------------- */

static void add_type(Text *sql, const char *type) {
  /* A type decided at run time may come from a user: only what cannot end the column. */
  for (; *type; type++) {
    bool ok = (*type >= 'a' && *type <= 'z') || (*type >= 'A' && *type <= 'Z') || *type == ' ' ||
              (*type >= '0' && *type <= '9') || *type == '_';
    if (ok) text_addc(sql, *type);
  }
}

static void add_nature(Text *sql, const VtNature *nature) {
  text_add(sql, " COLLATE ");
  text_add_name(sql, nature->collation);
}

static void add_key(Text *sql, const VtTab *tab) {
  const char *comma = "";
  text_add(sql, ",PRIMARY KEY(");
  for (int i = 0; i < tab->ncols; i++) {
    if (!(tab->cols[i].flags & VT_KEY)) continue;
    text_add(sql, comma);
    text_add_name(sql, tab->cols[i].name);
    comma = ",";
  }
  text_add(sql, "))WITHOUT ROWID");
}

static int declare(VtTab *tab) {
  Text sql = {0};
  text_add(&sql, "CREATE TABLE x(");
  for (int i = 0; i < tab->ncols; i++) {
    const VtColumn *column = &tab->cols[i];
    if (i > 0) text_addc(&sql, ',');
    text_add_name(&sql, column->name);
    text_addc(&sql, ' ');
    add_type(&sql, column->type ? column->type : "");
    if (column->flags & (VT_ARG | VT_HIDDEN)) text_add(&sql, " HIDDEN");
    if (column->flags & VT_NOTNULL) text_add(&sql, " NOT NULL");
    if (tab->natures) add_nature(&sql, &tab->natures[i]);
  }
  if (tab->without_rowid) {
    add_key(&sql, tab);
  } else {
    text_addc(&sql, ')');
  }
  if (sql.oom) {
    text_finish(&sql);
    return SQLITE_NOMEM;
  }
  /* The authorizer sees a declaration as a write to the schema table. */
  vt_internal_enter(tab->conn);
  int rc = sqlite3_declare_vtab(tab->db, text_get(&sql));
  vt_internal_leave(tab->conn);
  if (rc != SQLITE_OK) vt_fail(tab, rc, "columns: %s", sqlite3_errmsg(tab->db));
  text_finish(&sql);
  return rc;
}

/* Columns decided at run time have not been through vt_check(). */
static int find_columns(VtTab *tab) {
  bool identity = tab->desc->rowid || tab->without_rowid;
  tab->first_arg = tab->ncols;
  tab->rowid_col = -1;
  for (int i = tab->ncols; i-- > 0;) {
    if (tab->cols[i].flags & VT_ARG) tab->first_arg = i;
    if (tab->cols[i].flags & VT_ROWID) tab->rowid_col = i;
    if ((tab->cols[i].flags & VT_SEARCHED) && !identity) {
      return vt_fail(tab, SQLITE_INTERNAL,
                     "column \"%s\" is searched, which needs a rowid function", tab->cols[i].name);
    }
  }
  return SQLITE_OK;
}

static void cursor_free(VtCursor *cur) {
  if (!cur) return;
  vt_poll_end(&cur->poll);
  arena_finish(&cur->arena);
  sqlite3_free(cur->kept);
  sqlite3_free(cur);
}

static void tab_free(VtTab *tab) {
  VtConn *conn = tab->conn;
  if (tab->connected && tab->desc->disconnect) tab->desc->disconnect(tab);
  cursor_free(tab->spare);
  arena_finish(&tab->arena);
  sqlite3_free(tab->base.zErrMsg);
  sqlite3_free(tab);
  vt_conn_release(conn);
}

static int tab_connect(VtTab *tab, const VtCreate *create) {
  const VtTable *table = tab->desc;
  if (create->nargs > 0 && !table->created) return SQLITE_ERROR;
  tab->connected = true;
  int rc = table->connect ? table->connect(tab, create) : SQLITE_OK;
  if (rc != SQLITE_OK) return rc;
  rc = find_columns(tab);
  if (rc == SQLITE_OK) rc = declare(tab);
  if (rc == SQLITE_OK) rc = sqlite3_vtab_config(tab->db, table->risk);
  if (rc == SQLITE_OK && table->writer && table->writer->constraints) {
    rc = sqlite3_vtab_config(tab->db, SQLITE_VTAB_CONSTRAINT_SUPPORT, 1);
  }
  return rc;
}

static int tab_open(sqlite3 *db, void *aux, int argc, const char *const *argv, bool create,
                    sqlite3_vtab **out, char **err) {
  VtBinding *binding = aux;
  const VtTable *table = binding->table;
  size_t size = table->table_size > sizeof(VtTab) ? table->table_size : sizeof(VtTab);
  VtTab *tab = sqlite3_malloc64(size);
  if (!tab) return SQLITE_NOMEM;
  memset(tab, 0, size);
  tab->desc = table;
  tab->conn = binding->conn;
  tab->conn->refs++;
  tab->db = db;
  tab->name = table->name;
  tab->cols = table->cols;
  tab->ncols = table->ncols;
  tab->without_rowid = table->without_rowid;
  tab->order = table->order;
  tab->norder = table->norder;
  tab->top = tab->written = -1;
  const VtCreate args = {.create = create,
                         .module = argv[0],
                         .schema = argv[1],
                         .name = argv[2],
                         .nargs = argc - 3,
                         .args = argv + 3};
  int rc = tab_connect(tab, &args);
  if (rc == SQLITE_OK && create) rc = vt_writer_begin(&tab->base);
  if (rc != SQLITE_OK) {
    *err = tab->base.zErrMsg;
    tab->base.zErrMsg = NULL;
    tab_free(tab);
    return rc;
  }
  *out = &tab->base;
  return SQLITE_OK;
}

static int module_create(sqlite3 *db, void *aux, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **err) {
  return tab_open(db, aux, argc, argv, true, out, err);
}

static int module_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                          sqlite3_vtab **out, char **err) {
  return tab_open(db, aux, argc, argv, false, out, err);
}

static int module_disconnect(sqlite3_vtab *base) {
  tab_free((VtTab *)base);
  return SQLITE_OK;
}

static int module_destroy(sqlite3_vtab *base) {
  VtTab *tab = (VtTab *)base;
  int rc = tab->desc->destroy ? tab->desc->destroy(tab) : SQLITE_OK;
  if (rc == SQLITE_OK) tab_free(tab);
  return rc;
}

static int module_rename(sqlite3_vtab *base, const char *name) {
  VtTab *tab = (VtTab *)base;
  return tab->desc->rename ? tab->desc->rename(tab, name) : SQLITE_OK;
}

/* ---- given arguments, readable as columns ---------------------------------------------------- */

/* Numbers are kept in place: a join that calls a table a million times shall not malloc for them.
 */
struct VtKept {
  int type;
  sqlite3_int64 integer;
  double real;
  sqlite3_value *copy; /* text and blobs */
};

static void forget_arguments(VtCursor *cur) {
  int nargs = cur->tab->ncols - cur->tab->first_arg;
  for (int i = 0; i < nargs; i++) {
    sqlite3_value_free(cur->kept[i].copy);
    cur->kept[i] = (struct VtKept){.type = SQLITE_NULL};
  }
}

static int keep_argument(VtCursor *cur, const VtTerm *term) {
  struct VtKept *kept = &cur->kept[term->col - cur->tab->first_arg];
  kept->type = sqlite3_value_type(term->value);
  switch (kept->type) {
  case SQLITE_INTEGER:
    kept->integer = sqlite3_value_int64(term->value);
    return SQLITE_OK;
  case SQLITE_FLOAT:
    kept->real = sqlite3_value_double(term->value);
    return SQLITE_OK;
  case SQLITE_NULL:
    return SQLITE_OK;
  default:
    break;
  }
  kept->copy = sqlite3_value_dup(term->value);
  return kept->copy ? SQLITE_OK : SQLITE_NOMEM;
}

int vt_argument(VtCursor *cur, sqlite3_context *ctx, int col) {
  const struct VtKept *kept = &cur->kept[col - cur->tab->first_arg];
  switch (kept->type) {
  case SQLITE_INTEGER:
    sqlite3_result_int64(ctx, kept->integer);
    break;
  case SQLITE_FLOAT:
    sqlite3_result_double(ctx, kept->real);
    break;
  case SQLITE_NULL:
    break;
  default:
    sqlite3_result_value(ctx, kept->copy);
  }
  return SQLITE_OK;
}

/* ---- cursor ----------------------------------------------------------------------------- */

/* Zeroed, but for what a scan leaves to the next one. */
static VtCursor *take_cursor(VtTab *tab) {
  const size_t wanted = tab->desc->cursor_size;
  const size_t size = wanted > sizeof(VtCursor) ? wanted : sizeof(VtCursor);
  VtCursor *cur = tab->spare;
  if (cur) {
    tab->spare = NULL;
    memset(cur, 0, offsetof(VtCursor, plan));
    memset(cur + 1, 0, size - sizeof *cur);
  } else if ((cur = sqlite3_malloc64(size))) {
    memset(cur, 0, size);
  }
  return cur;
}

static int cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out) {
  VtTab *tab = (VtTab *)base;
  const VtTable *table = tab->desc;
  VtCursor *cur = take_cursor(tab);
  if (!cur) return SQLITE_NOMEM;
  cur->tab = tab;
  cur->step = table->step;
  cur->column = table->column;
  cur->poll.conn = tab->conn; /* most scans never poll, and a look at the clock is not free */
  int rc = SQLITE_OK, nargs = tab->ncols - tab->first_arg;
  if (nargs > 0 && !cur->kept) {
    cur->kept = sqlite3_malloc64((size_t)nargs * sizeof *cur->kept);
    if (cur->kept) memset(cur->kept, 0, (size_t)nargs * sizeof *cur->kept);
    if (!cur->kept) rc = SQLITE_NOMEM;
  }
  if (rc == SQLITE_OK && table->open) rc = table->open(cur);
  if (rc != SQLITE_OK) {
    cursor_free(cur);
    return rc;
  }
  *out = &cur->base;
  return SQLITE_OK;
}

static void end_seek(VtCursor *cur) {
  if (cur->sought && cur->tab->desc->done) cur->tab->desc->done(cur);
  if (cur->sought) arena_reset(&cur->arena);
  cur->sought = false;
  forget_arguments(cur);
}

static int cursor_close(sqlite3_vtab_cursor *base) {
  VtCursor *cur = (VtCursor *)base;
  end_seek(cur);
  VtTab *tab = cur->tab;
  if (tab->desc->close) tab->desc->close(cur);
  if (tab->spare) {
    cursor_free(cur);
  } else {
    vt_poll_end(&cur->poll);
    arena_finish(&cur->arena);
    tab->spare = cur;
  }
  return SQLITE_OK;
}

/* The plan's text stays where it is as long as the statement that owns the cursor, so a join that
** seeks once per outer row reads it once. */
static bool is_read(const VtCursor *cur, int nterms, const char *text) {
  return text && nterms == cur->plan.nterms &&
         (text == cur->plan_text || (*cur->plan_read && !strcmp(text, cur->plan_read)));
}

static bool read_plan(VtCursor *cur, int nterms, const char *text, int argc) {
  VtPlan *plan = &cur->plan;
  if (!is_read(cur, nterms, text)) {
    const size_t length = text ? strlen(text) : 0;
    *cur->plan_read = '\0';
    plan->nterms = nterms;
    if (!vt_plan_read(cur->tab, text, plan)) return false;
    if (length < sizeof cur->plan_read) memcpy(cur->plan_read, text ? text : "", length + 1);
  }
  cur->plan_text = text;
  return plan->nterms + plan->has_limit + plan->has_offset == argc;
}

static sqlite3_int64 read_limit(const VtPlan *plan, sqlite3_value **argv) {
  if (!plan->has_limit) return INT64_MAX;
  sqlite3_int64 limit = sqlite3_value_int64(argv[plan->nterms]), offset = 0;
  if (plan->has_offset) offset = sqlite3_value_int64(argv[plan->nterms + 1]);
  if (offset < 0) offset = 0;
  return limit < 0 || limit > INT64_MAX - offset ? INT64_MAX : limit + offset;
}

/* Puts the values into the plan; *empty when one of them cannot match anything. */
static int bind_values(VtCursor *cur, sqlite3_value **argv, bool *empty) {
  VtPlan *plan = &cur->plan;
  for (int i = 0; i < plan->nterms; i++) {
    VtTerm *term = &plan->terms[i];
    unsigned flags = cur->tab->cols[term->col].flags;
    term->value = argv[i];
    if (flags & VT_ARG) {
      int rc = keep_argument(cur, term);
      if (rc != SQLITE_OK) return rc;
    }
    /* The value behind an IN list looks like NULL from outside. */
    bool null = term->op != VT_OP_IN && sqlite3_value_type(argv[i]) == SQLITE_NULL;
    if (null && !(flags & VT_NULLABLE)) *empty = true;
  }
  plan->limit = read_limit(plan, argv);
  return SQLITE_OK;
}

static int cursor_filter(sqlite3_vtab_cursor *base, int nterms, const char *text, int argc,
                         sqlite3_value **argv) {
  VtCursor *cur = (VtCursor *)base;
  end_seek(cur);
  cur->eof = false;
  cur->rowid = 1;
  if (nterms < 0) { /* plan.c: a required argument is absent */
    return vt_fail(cur->tab, SQLITE_ERROR, "argument \"%s\" is required",
                   cur->tab->cols[-1 - nterms].name);
  }
  if (!read_plan(cur, nterms, text, argc)) {
    return vt_fail(cur->tab, SQLITE_INTERNAL, "plan \"%s\" is not one of ours", text ? text : "");
  }
  bool empty = false;
  int rc = bind_values(cur, argv, &empty);
  if (rc != SQLITE_OK) return rc;
  if (empty) {
    cur->eof = true;
    return SQLITE_OK;
  }
  cur->sought = true;
  return cur->tab->desc->seek(cur, &cur->plan);
}

static int cursor_next(sqlite3_vtab_cursor *base) {
  VtCursor *cur = (VtCursor *)base;
  cur->rowid++;
  return cur->step(cur);
}

static int cursor_eof(sqlite3_vtab_cursor *base) { return ((VtCursor *)base)->eof; }

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int col) {
  VtCursor *cur = (VtCursor *)base;
  if (col < cur->tab->first_arg) return cur->column(cur, ctx, col);
  return vt_argument(cur, ctx, col);
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
  VtCursor *cur = (VtCursor *)base;
  *out = cur->tab->desc->rowid ? cur->tab->desc->rowid(cur) : cur->rowid;
  return SQLITE_OK;
}

/* ---- modules ---------------------------------------------------------------------------- */

/* Reads as a function: exists in every connection, cannot be created, cannot be written. */
static const sqlite3_module read_module = {
    .iVersion = 3,
    .xConnect = module_connect,
    .xBestIndex = vt_best_index,
    .xDisconnect = module_disconnect,
    .xOpen = cursor_open,
    .xClose = cursor_close,
    .xFilter = cursor_filter,
    .xNext = cursor_next,
    .xEof = cursor_eof,
    .xColumn = cursor_column,
    .xRowid = cursor_rowid,
};

void vt_module_fill(sqlite3_module *module, const VtTable *table) {
  *module = read_module;
  if (table->created) {
    module->xCreate = module_create;
    module->xDestroy = module_destroy;
    module->xRename = module_rename;
    module->xShadowName = table->is_shadow;
  }
  if (table->next) module->xNext = table->next;
  if (table->value) module->xColumn = table->value;
  if (table->writer) vt_writer_fill(module);
}
