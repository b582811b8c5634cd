/*
** multiverse_advise: indexes that would help the queries that were asked.
**
** A rule that reads a column which is not in the index costs a look into the table for each row: a
** count that was answered by an index alone no longer is. So for each shape of query that this
** connection has seen, the index is told that begins with what the query fixes and goes on with
** what rules and query read, unless one is there; and what it gains, measured on a sample in
** memory.
*/
#include <string.h>

#include "base/stop.h"
#include "extensions/multiverse/lines.h"
#include "extensions/multiverse/shadow.h"

enum { ADVISE_TBL, ADVISE_SQL, ADVISE_SCANS, ADVISE_WHY, ADVISE_GAIN, ADVISE_NCOL };
enum { MOST_COLUMNS = 8, SAMPLE_ROWS = 20000, SAMPLE_LEAST = 1000, SAMPLE_RUNS = 60 };

/* ---- shapes ---------------------------------------------------------------------------------- */

static sqlite3_uint64 bit(int column) { return (sqlite3_uint64)1 << (column < 63 ? column : 63); }

void advise_note(const Shadow *shadow, const VtPlan *plan) {
  State *state = shadow->state;
  const BaseTable *base = shadow->base;
  Shape shape = {.used = plan->used, .sort = SORT_NONE};
  for (int i = 0; i < plan->nterms; i++) {
    if (plan->terms[i].op != VT_OP_EQ) continue;
    if (plan->terms[i].col == base->rowid_column) return;
    shape.equal |= bit(plan->terms[i].col);
  }
  if (plan->nsort) shape.sort = plan->sort[0].col < 0 ? SORT_ROWID : plan->sort[0].col;
  if (shape.sort == base->rowid_column) shape.sort = SORT_ROWID;
  if (!shape.equal || (shape.equal & bit(63)) || strlen(base->name) >= sizeof shape.table) return;
  for (int i = 0; i < state->nshapes; i++) {
    Shape *known = &state->shapes[i];
    if (known->equal != shape.equal || known->used != shape.used || known->sort != shape.sort ||
        strcmp(known->table, base->name)) {
      continue;
    }
    known->scans++;
    return;
  }
  if (state->nshapes == MOST_SHAPES) return;
  shape.scans = 1;
  memcpy(shape.table, base->name, strlen(base->name) + 1);
  state->shapes[state->nshapes++] = shape;
}

/* ---- what rules read ------------------------------------------------------------------------- */

typedef struct Reading {
  const TablePolicy *table;
  sqlite3_uint64 columns;
} Reading;

static SqlWalk note_column(void *ctx, SqlExpr *expr) {
  Reading *reading = ctx;
  if (expr->kind == SQL_EXPR_COLUMN && expr->bound == reading->table->source && expr->column >= 0) {
    reading->columns |= bit(expr->column);
  }
  return SQL_WALK_ON;
}

static sqlite3_uint64 rule_columns(const TablePolicy *table, sqlite3_uint64 used) {
  static const Action actions[] = {ACTION_ALLOW, ACTION_DENY, ACTION_REWRITE};
  Reading reading = {.table = table};
  const SqlVisitor visitor = {.ctx = &reading, .expr = note_column};
  for (size_t a = 0; a < countof(actions); a++) {
    for (const Rule *rule = table->rules[actions[a]]; rule; rule = rule->next) {
      if (actions[a] == ACTION_REWRITE && !(used & bit(rule->column))) continue;
      sql_walk_expr(rule->when.expr, &visitor);
      if (rule->has_unless) sql_walk_expr(rule->unless.expr, &visitor);
    }
  }
  return reading.columns;
}

/* ---- the index ------------------------------------------------------------------------------- */

typedef struct Advice {
  const TablePolicy *table;
  int columns[MOST_COLUMNS], ncolumns, nequal;
  bool covering;
} Advice;

static bool add_columns(Advice *advice, sqlite3_uint64 columns) {
  const BaseTable *base = advice->table->base;
  for (int i = 0; i < base->ncolumns && i < 63; i++) {
    bool there = i == base->rowid_column;
    for (int j = 0; j < advice->ncolumns; j++) there |= advice->columns[j] == i;
    if (there || !(columns & bit(i))) continue;
    if (advice->ncolumns == MOST_COLUMNS) return false;
    advice->columns[advice->ncolumns++] = i;
  }
  return true;
}

/* Numbers are worth having twice; texts may be long. */
static bool are_small(const BaseTable *base, sqlite3_uint64 columns) {
  for (int i = 0; i < base->ncolumns && i < 63; i++) {
    if ((columns & bit(i)) && sql_type_affinity(base->columns[i].type) < SQL_AFFINITY_NUMERIC) {
      return false;
    }
  }
  return !(columns & bit(63));
}

static bool advise(const TablePolicy *table, const Shape *shape, Advice *out) {
  const sqlite3_uint64 rules = rule_columns(table, shape->used);
  *out = (Advice){.table = table};
  if (!add_columns(out, shape->equal)) return false;
  out->nequal = out->ncolumns;
  const Advice begun = *out;
  out->covering = shape->sort == SORT_NONE && are_small(table->base, rules | shape->used) &&
                  add_columns(out, rules) && add_columns(out, shape->used);
  if (out->covering) return true;
  *out = begun;
  return shape->sort < 0 || add_columns(out, bit(shape->sort));
}

static bool is_among(int column, const int *columns, int n) {
  for (int i = 0; i < n; i++) {
    if (columns[i] == column) return true;
  }
  return false;
}

/* It begins with the columns that are fixed, in any order, and then has the next one, or all. */
static bool serves(const BaseIndex *index, const Advice *advice) {
  for (int i = 0; i < advice->nequal; i++) {
    if (i >= index->ncolumns || !is_among(index->columns[i], advice->columns, advice->nequal)) {
      return false;
    }
  }
  for (int i = advice->nequal; i < advice->ncolumns; i++) {
    if (advice->covering ? !is_among(advice->columns[i], index->columns, index->ncolumns)
                         : i >= index->ncolumns || index->columns[i] != advice->columns[i]) {
      return false;
    }
  }
  return true;
}

static bool is_there(const Advice *advice) {
  const BaseTable *base = advice->table->base;
  for (int i = 0; i < base->nindexes; i++) {
    if (serves(&base->indexes[i], advice)) return true;
  }
  return base->nkeys == 1 && advice->ncolumns == 1 && base->keys[0] == advice->columns[0];
}

static void write_columns(const BaseTable *base, const int *columns, int n, Text *out) {
  for (int i = 0; i < n; i++) {
    if (i) text_add(out, ", ");
    text_add_name(out, base->columns[columns[i]].name);
  }
}

static void write_index(const Advice *advice, Text *out) {
  const BaseTable *base = advice->table->base;
  Text name = {0};
  text_add(&name, base->name);
  for (int i = 0; i < advice->ncolumns; i++) {
    text_addc(&name, '_');
    text_add(&name, base->columns[advice->columns[i]].name);
  }
  text_add(out, "CREATE INDEX ");
  text_add_name(out, name.oom ? "" : text_get(&name));
  text_add(out, " ON ");
  text_add_name(out, base->name);
  text_addc(out, '(');
  write_columns(base, advice->columns, advice->ncolumns, out);
  text_addc(out, ')');
  out->oom |= name.oom;
  text_finish(&name);
}

/* ---- a sample, in a database of its own in memory -------------------------------------------- */

static bool run(sqlite3 *lab, const Text *sql) {
  return !sql->oom && sqlite3_exec(lab, text_get(sql), NULL, NULL, NULL) == SQLITE_OK;
}

/* The table and its indexes, with the first rows. */
static sqlite3_int64 copy(sqlite3 *db, sqlite3 *lab, const BaseTable *base) {
  Text create = {0}, insert = {0}, select = {0};
  text_add(&create, "CREATE TABLE ");
  text_add_name(&create, base->name);
  for (int i = 0; i < base->ncolumns; i++) {
    text_add(&create, i ? ", " : "(");
    text_add_name(&create, base->columns[i].name);
    text_add(&create,
             sql_type_affinity(base->columns[i].type) >= SQL_AFFINITY_NUMERIC ? " NUMERIC" : "");
    text_add(&insert, i ? ", ?" : "(?");
    text_add(&select, i ? ", " : "SELECT ");
    text_add_name(&select, base->columns[i].name);
  }
  text_add(&create, ");");
  for (int i = 0; i < base->nindexes; i++) {
    const BaseIndex *index = &base->indexes[i];
    bool plain = index->ncolumns > 0;
    for (int c = 0; c < index->ncolumns; c++) plain &= index->columns[c] >= 0;
    if (!plain) continue;
    text_addf(&create, "CREATE INDEX i%d ON ", i);
    text_add_name(&create, base->name);
    text_addc(&create, '(');
    write_columns(base, index->columns, index->ncolumns, &create);
    text_add(&create, ");");
  }
  text_add(&select, " FROM main.");
  text_add_name(&select, base->name);
  text_addf(&select, " LIMIT %d", SAMPLE_ROWS);
  Fault none = {0};
  sqlite3_int64 n = run(lab, &create) ? 0 : -1;
  sqlite3_stmt *rows = n < 0 || select.oom ? NULL : query_prepare(db, text_get(&select), &none);
  sqlite3_stmt *put =
      rows && !insert.oom
          ? query_printf(lab, &none, "INSERT INTO \"%w\" VALUES %s)", base->name, text_get(&insert))
          : NULL;
  sqlite3_exec(lab, "BEGIN", NULL, NULL, NULL);
  while (put && n >= 0 && query_step(rows, &none) == 1) {
    for (int i = 0; i < base->ncolumns; i++) {
      sqlite3_bind_value(put, i + 1, sqlite3_column_value(rows, i));
    }
    n = query_step(put, &none) == 0 ? n + 1 : -1;
    sqlite3_reset(put);
  }
  sqlite3_exec(lab, "COMMIT", NULL, NULL, NULL);
  query_finish(rows);
  query_finish(put);
  text_finish(&create);
  text_finish(&insert);
  text_finish(&select);
  return put && !none.code ? n : -1;
}

/* Reads what the index would hold, for values that occur; the best of three. */
static double measure(sqlite3 *lab, const Advice *advice) {
  const BaseTable *base = advice->table->base;
  double best = 0;
  Text sql = {0};
  text_add(&sql, "WITH v AS MATERIALIZED (SELECT DISTINCT ");
  write_columns(base, advice->columns, advice->nequal, &sql);
  text_add(&sql, " FROM ");
  text_add_name(&sql, base->name);
  text_addf(&sql, " LIMIT %d) SELECT ", SAMPLE_RUNS);
  for (int i = 0; i < advice->ncolumns; i++) {
    text_add(&sql, i ? ", count(r." : "count(r.");
    text_add_name(&sql, base->columns[advice->columns[i]].name);
    text_addc(&sql, ')');
  }
  text_add(&sql, " FROM v CROSS JOIN ");
  text_add_name(&sql, base->name);
  text_add(&sql, " AS r WHERE ");
  for (int i = 0; i < advice->nequal; i++) {
    if (i) text_add(&sql, " AND ");
    text_add(&sql, "r.");
    text_add_name(&sql, base->columns[advice->columns[i]].name);
    text_add(&sql, " = v.");
    text_add_name(&sql, base->columns[advice->columns[i]].name);
  }
  for (int i = 0; i < 3; i++) {
    const int64_t start = clock_now();
    if (!run(lab, &sql)) best = -1;
    const double took = (double)(clock_now() - start);
    if (best == 0 || (best > 0 && took < best)) best = took;
  }
  text_finish(&sql);
  return best;
}

/* How many times as fast; 0: not known. */
static double gain_of(sqlite3 *db, const Advice *advice, const Text *index) {
  sqlite3 *lab = NULL;
  double gain = 0;
  if (sqlite3_open_v2(":memory:", &lab, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, NULL) ==
          SQLITE_OK &&
      copy(db, lab, advice->table->base) >= SAMPLE_LEAST) {
    const double before = measure(lab, advice);
    const double after = run(lab, index) ? measure(lab, advice) : 0;
    if (before > 0 && after > 0) gain = before / after;
  }
  sqlite3_close(lab);
  return gain;
}

/* ---- the table ------------------------------------------------------------------------------- */

static bool is_told(const LinesCursor *lines, const char *sql) {
  for (size_t i = 0; i < lines->count; i++) {
    if (!strcmp(lines->cells[i * ADVISE_NCOL + ADVISE_SQL].text, sql)) return true;
  }
  return false;
}

static bool tell(VtCursor *cur, const Advice *advice, sqlite3_int64 scans, Fault *fault) {
  LinesCursor *lines = (LinesCursor *)cur;
  Text sql = {0};
  write_index(advice, &sql);
  bool ok = !sql.oom || fault_oom(fault);
  if (ok && !is_told(lines, text_get(&sql))) {
    const double gain = gain_of(cur->tab->db, advice, &sql);
    const Cell cells[ADVISE_NCOL] = {
        [ADVISE_TBL] = line_text(advice->table->base->name),
        [ADVISE_SQL] = line_text(text_get(&sql)),
        [ADVISE_SCANS] = line_integer(scans),
        [ADVISE_WHY] = line_text(advice->covering ? "holds all that rules and query read of a row"
                                                  : "finds the rows, in their order"),
        [ADVISE_GAIN] = gain > 0 ? line_real((double)(int)(gain * 10 + 0.5) / 10) : (Cell){0}};
    ok = lines_add(lines, cells, fault);
  }
  text_finish(&sql);
  return ok;
}

/* Queries on the columns by which groups know rows will come. */
static bool tell_expected(VtCursor *cur, const Policy *policy, Fault *fault) {
  for (int i = 0; i < policy->ntables; i++) {
    const TablePolicy *table = policy->tables[i];
    for (int a = 0; a < table->natoms; a++) {
      if (table->atoms[a].listed) continue;
      Advice advice;
      const Shape shape = {.equal = bit(table->atoms[a].column), .sort = SORT_NONE};
      if (table->atoms[a].column == table->base->rowid_column || !table->rules[ACTION_ALLOW] ||
          !advise(table, &shape, &advice) || is_there(&advice)) {
        continue;
      }
      if (!tell(cur, &advice, 0, fault)) return false;
    }
  }
  return true;
}

static int advise_seek(VtCursor *cur, const VtPlan *plan) {
  (void)plan;
  LinesCursor *lines = (LinesCursor *)cur;
  const State *state = vt_state(cur->tab->conn);
  Fault fault = {0};
  bool same;
  lines_begin(lines, ADVISE_NCOL);
  vt_internal_enter(cur->tab->conn);
  Policy *policy =
      state_is_admin(state, &fault) ? policy_load(cur->tab->db, false, 0, &same, &fault) : NULL;
  bool ok = policy != NULL;
  for (int i = 0; ok && i < state->nshapes; i++) {
    const TablePolicy *table = policy_table(policy, state->shapes[i].table);
    Advice advice;
    if (!table || !advise(table, &state->shapes[i], &advice) || is_there(&advice)) continue;
    ok = tell(cur, &advice, state->shapes[i].scans, &fault);
  }
  if (ok) tell_expected(cur, policy, &fault);
  vt_internal_leave(cur->tab->conn);
  policy_destroy(policy);
  return lines_show(lines, &fault);
}

static const VtColumn columns[] = {
    [ADVISE_TBL] = {"tbl", "TEXT", VT_OUT, 1, "table that the index is for"},
    [ADVISE_SQL] = {"sql", "TEXT", VT_OUT, 0, "what creates it"},
    [ADVISE_SCANS] =
        {"scans", "INTEGER", VT_OUT, 0,
         "how often this connection has asked so; 0: not yet, but it is what the policy "
         "is made for"},
    [ADVISE_WHY] = {"why", "TEXT", VT_OUT, 0, "what it does"},
    [ADVISE_GAIN] = {
        "gain", "REAL", VT_OUT, 0,
        "how many times as fast, measured on the first 20,000 rows in memory; NULL: too "
        "few rows to tell"}};

const VtTable multiverse_advise_table = {
    .name = "multiverse_advise",
    .doc = "Indexes worth creating, by what rules read and what this connection has asked.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = columns,
    .ncols = ADVISE_NCOL,
    .rows = 5,
    .seek_cost = 1000000,
    .cursor_size = sizeof(LinesCursor),
    .seek = advise_seek,
    .step = lines_step,
    .column = lines_column,
    .done = lines_done,
};
