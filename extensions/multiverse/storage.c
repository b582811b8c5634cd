/*
** multiverse_groups and multiverse_rules: a policy as writable rows, each checked when it is
** written. Behind them are ordinary tables, made with the first row, so that a policy is in the
** same transactions, backups and dumps as the data that it is about.
*/
#include <string.h>

#include "extensions/multiverse/count.h"

enum { GROUP_NAME, GROUP_MEMBERS, GROUP_NCOL };
enum {
  RULE_ID,
  RULE_TBL,
  RULE_ACTION,
  RULE_GRP,
  RULE_RULE,
  RULE_COL,
  RULE_VALUE,
  RULE_UNLESS_GRP,
  RULE_UNLESS,
  RULE_NCOL
};

static const char create_groups[] =
    "CREATE TABLE IF NOT EXISTS main._multiverse_groups(name TEXT PRIMARY KEY NOT NULL, members "
    "TEXT NOT NULL)";
static const char create_rules[] =
    "CREATE TABLE IF NOT EXISTS main._multiverse_rules(id INTEGER PRIMARY KEY, tbl TEXT NOT NULL, "
    "\"action\" TEXT NOT NULL, grp TEXT, rule TEXT NOT NULL, col TEXT, value TEXT, unless_grp "
    "TEXT, \"unless\" TEXT)";

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct StoredCursor {
  VtCursor cursor;
  sqlite3_stmt *rows;
} StoredCursor;

static int stored_step(VtCursor *cur) {
  StoredCursor *stored = (StoredCursor *)cur;
  Fault fault = {0};
  vt_internal_enter(cur->tab->conn);
  const int step = query_step(stored->rows, &fault);
  vt_internal_leave(cur->tab->conn);
  cur->eof = step != 1;
  return step < 0 ? vt_fault(cur->tab, &fault) : SQLITE_OK;
}

/* Before the first row there is no table to read. */
static int stored_seek(VtCursor *cur, const char *name, const char *sql) {
  StoredCursor *stored = (StoredCursor *)cur;
  Fault fault = {0};
  stored->rows = NULL;
  if (sqlite3_table_column_metadata(cur->tab->db, "main", name, NULL, NULL, NULL, NULL, NULL,
                                    NULL) != SQLITE_OK) {
    cur->eof = true;
    return SQLITE_OK;
  }
  vt_internal_enter(cur->tab->conn);
  stored->rows = query_prepare(cur->tab->db, sql, &fault);
  vt_internal_leave(cur->tab->conn);
  return stored->rows ? stored_step(cur) : vt_fault(cur->tab, &fault);
}

static int groups_seek(VtCursor *cur, const VtPlan *plan) {
  (void)plan;
  return stored_seek(cur, "_multiverse_groups",
                     "SELECT rowid, name, members FROM main._multiverse_groups ORDER BY name");
}

static int rules_seek(VtCursor *cur, const VtPlan *plan) {
  (void)plan;
  return stored_seek(cur, "_multiverse_rules",
                     "SELECT id, id, tbl, \"action\", grp, rule, col, value, unless_grp, "
                     "\"unless\" FROM main._multiverse_rules ORDER BY id");
}

static int stored_column(VtCursor *cur, sqlite3_context *ctx, int col) {
  sqlite3_result_value(ctx, sqlite3_column_value(((StoredCursor *)cur)->rows, col + 1));
  return SQLITE_OK;
}

static sqlite3_int64 stored_rowid(VtCursor *cur) {
  return sqlite3_column_int64(((StoredCursor *)cur)->rows, 0);
}

static void stored_done(VtCursor *cur) {
  query_finish(((StoredCursor *)cur)->rows);
  ((StoredCursor *)cur)->rows = NULL;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Runs one statement with these values bound. */
static bool run(sqlite3 *db, const char *sql, int n, sqlite3_value *const *values, Fault *fault) {
  sqlite3_stmt *statement = query_prepare(db, sql, fault);
  if (!statement) return false;
  for (int i = 0; i < n; i++) sqlite3_bind_value(statement, i + 1, values[i]);
  const int step = query_step(statement, fault);
  query_finish(statement);
  return step >= 0;
}

static const char *text_of(sqlite3_value *value) {
  return sqlite3_value_type(value) == SQLITE_NULL ? NULL : (const char *)sqlite3_value_text(value);
}

static bool check_group(sqlite3 *db, sqlite3_value *const *columns, sqlite3_value *but,
                        Fault *fault) {
  (void)but;
  const char *name = text_of(columns[GROUP_NAME]), *members = text_of(columns[GROUP_MEMBERS]);
  if (!name || !*name) return fault_set(fault, FAULT_INVALID, "name is NULL or empty");
  if (!members) return fault_set(fault, FAULT_INVALID, "group %s: members is NULL", name);
  return policy_check_group(db, name, members, fault);
}

static bool check_rule(sqlite3 *db, sqlite3_value *const *columns, sqlite3_value *but,
                       Fault *fault) {
  const RuleText text = {.table = text_of(columns[RULE_TBL]),
                         .action = text_of(columns[RULE_ACTION]),
                         .group = text_of(columns[RULE_GRP]),
                         .rule = text_of(columns[RULE_RULE]),
                         .column = text_of(columns[RULE_COL]),
                         .value = text_of(columns[RULE_VALUE]),
                         .unless_group = text_of(columns[RULE_UNLESS_GRP]),
                         .unless = text_of(columns[RULE_UNLESS])};
  return policy_check_rule(db, &text, but, fault);
}

typedef struct Write { /* how a table's rows are written */
  bool (*check)(sqlite3 *db, sqlite3_value *const *columns, sqlite3_value *but, Fault *fault);
  const char *insert, *update, *remove;
  int ncols;
} Write;

static const Write group_write = {
    check_group, "INSERT INTO main._multiverse_groups(name, members) VALUES (?1, ?2)",
    "UPDATE main._multiverse_groups SET name = ?1, members = ?2 WHERE rowid = ?3",
    "DELETE FROM main._multiverse_groups WHERE rowid = ?1", GROUP_NCOL};

static const Write rule_write = {
    check_rule, "INSERT INTO main._multiverse_rules VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    "UPDATE main._multiverse_rules SET id = ?1, tbl = ?2, \"action\" = ?3, grp = ?4, rule = ?5, "
    "col = ?6, value = ?7, unless_grp = ?8, \"unless\" = ?9 WHERE id = ?10",
    "DELETE FROM main._multiverse_rules WHERE id = ?1", RULE_NCOL};

static const Write *write_of(const VtTab *tab) {
  return tab->desc == &multiverse_groups_table ? &group_write : &rule_write;
}

bool storage_create(sqlite3 *db, Fault *fault) {
  return query_run(db, create_groups, fault) && query_run(db, create_rules, fault);
}

static int stored_insert(VtTab *tab, sqlite3_value *key, sqlite3_value **columns,
                         sqlite3_int64 *rowid) {
  (void)key;
  const Write *write = write_of(tab);
  Fault fault = {0};
  vt_internal_enter(tab->conn);
  bool ok = storage_create(tab->db, &fault) && write->check(tab->db, columns, NULL, &fault) &&
            run(tab->db, write->insert, write->ncols, columns, &fault);
  *rowid = sqlite3_last_insert_rowid(tab->db);
  if (ok) ok = count_settle(tab->db, &fault);
  vt_internal_leave(tab->conn);
  return ok ? SQLITE_OK : vt_fault(tab, &fault);
}

static int stored_update(VtTab *tab, sqlite3_value *old_key, sqlite3_value *new_key,
                         sqlite3_value **columns) {
  (void)new_key;
  const Write *write = write_of(tab);
  sqlite3_value *values[RULE_NCOL + 1];
  Fault fault = {0};
  memcpy(values, columns, (size_t)write->ncols * sizeof *values);
  values[write->ncols] = old_key;
  vt_internal_enter(tab->conn);
  const bool ok = write->check(tab->db, columns, old_key, &fault) &&
                  run(tab->db, write->update, write->ncols + 1, values, &fault) &&
                  count_settle(tab->db, &fault);
  vt_internal_leave(tab->conn);
  return ok ? SQLITE_OK : vt_fault(tab, &fault);
}

static int stored_remove(VtTab *tab, sqlite3_value *key) {
  Fault fault = {0};
  vt_internal_enter(tab->conn);
  const bool ok =
      run(tab->db, write_of(tab)->remove, 1, &key, &fault) && count_settle(tab->db, &fault);
  vt_internal_leave(tab->conn);
  return ok ? SQLITE_OK : vt_fault(tab, &fault);
}

static const VtWriter writer = {
    .insert = stored_insert, .update = stored_update, .remove = stored_remove, .native = true};

/* ---- descriptors ----------------------------------------------------------------------------- */

static const VtColumn group_columns[] = {
    [GROUP_NAME] = {"name", "TEXT", VT_NOTNULL, 1, "what rules call it"},
    [GROUP_MEMBERS] = {"members", "TEXT", VT_NOTNULL, 0,
                       "SELECT with a column gid, and others that are compared with the context's "
                       "members of the same name, such as uid"}};

static const VtColumn rule_columns[] = {
    [RULE_ID] = {"id", "INTEGER", VT_OUT, 1, "rules apply in the order of their ids"},
    [RULE_TBL] = {"tbl", "TEXT", VT_NOTNULL, 0, "table of main that the rule is about"},
    [RULE_ACTION] = {"action", "TEXT", VT_NOTNULL, 0,
                     "allow, deny, rewrite, insert, update, delete, peephole or count"},
    [RULE_GRP] = {"grp", "TEXT", VT_OUT, 0,
                  "group: the rule holds for each gid of the user's in it, :gid; NULL: for all"},
    [RULE_RULE] = {"rule", "TEXT", VT_NOTNULL, 0,
                   "expression over the table's columns, with :name from the context"},
    [RULE_COL] = {"col", "TEXT", VT_OUT, 0,
                  "the column to rewrite or blind; columns that may be updated, with commas, NULL: "
                  "all; columns "
                  "to count by, NULL: none"},
    [RULE_VALUE] =
        {"value", "TEXT", VT_OUT, 0,
         "rewrite: expression that is shown instead; peephole: likewise, in a "
         "view as somebody, NULL where it is not given; count: a JSON object with epsilon, "
         "unit (a column), max_per_unit, and perhaps budget and keys (a SELECT)"},
    [RULE_UNLESS_GRP] = {"unless_grp", "TEXT", VT_OUT, 0, "group of unless"},
    [RULE_UNLESS] = {"unless", "TEXT", VT_OUT, 0, "the rule does not apply where this is true"}};

static const VtError group_errors[] = {
    {"group g: members has no column named gid", "members", "name it: SELECT uid, class AS gid …"},
    {"group g: members has no column beside gid, such as uid, to know the user by", "members",
     "select the user's key, under the name it has in the context"},
    {0}};

static const VtError rule_errors[] = {
    {"rule of t: no such column: c (line 1, column 1)", "rule, value or unless", "look at t"},
    {"rule of t: there is no group \"g\"", "grp or unless_grp",
     "insert it into multiverse_groups first"},
    {"rule of t: parameter :gid: the rule is of no group", "rule", "name the group in grp"},
    {"rule of t: function random(): it is not deterministic", "rule, value or unless",
     "functions that depend on their arguments alone"},
    {"rule of t: t is counted by a rule: it can have no other", "a second rule beside a count",
     "a table is either shown by rows or counted"},
    {"rule of t: epsilon is 0.5, with the 0.6 that counts of t have spent it is more than the "
     "budget of 1",
     "each count rule that was ever made spends its epsilon",
     "give a larger budget, if it may be spent"},
    {"rule 1 of t: what counts is not up to date with the table: UPDATE multiverse_rules SET id = "
     "id WHERE id = 1",
     "t has been dropped and made anew, or has got a UNIQUE index", "what it says"},
    {0}};

const VtTable multiverse_groups_table = {
    .name = "multiverse_groups",
    .doc = "Groups of the policy: who is in them. Writable.",
    .errors = group_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = group_columns,
    .ncols = GROUP_NCOL,
    .rows = 10,
    .cursor_size = sizeof(StoredCursor),
    .seek = groups_seek,
    .step = stored_step,
    .column = stored_column,
    .rowid = stored_rowid,
    .done = stored_done,
    .writer = &writer,
};

const VtTable multiverse_rules_table = {
    .name = "multiverse_rules",
    .doc = "Rules of the policy. Writable; a row is checked when it is written.",
    .errors = rule_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = rule_columns,
    .ncols = RULE_NCOL,
    .rows = 20,
    .cursor_size = sizeof(StoredCursor),
    .seek = rules_seek,
    .step = stored_step,
    .column = stored_column,
    .rowid = stored_rowid,
    .done = stored_done,
    .writer = &writer,
};
