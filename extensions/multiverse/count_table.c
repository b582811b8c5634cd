/*
** multiverse_count: what stands in front of a table that is counted: its groups and `count`.
**
** Which groups there are must not be told: without a list of keys each group that is asked for has
** a row, also one that nothing was ever in. Equal keys have equal noise, however they are written:
** the key of a group is its values as the base column compares them.
**
** A read is of one tick, on a snapshot that is held while it lasts: the exact count of one tick
** with the noise of another would tell their difference. In a transaction that has written it is
** refused, since rolling back and writing again would draw noise as often as one likes.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/count.h"
#include "extensions/multiverse/shadow.h"

typedef struct CountTab {
  Shadow shadow;
  bool listed; /* the rule has keys */
} CountTab;

typedef struct KeyValue { /* as asked for, or listed; converted as the column would */
  sqlite3_value *own;     /* what the datum borrows from */
  Datum datum;
} KeyValue;

typedef struct CountCursor {
  VtCursor cursor;
  const Count *count;
  Noise noise;
  sqlite3_stmt *pin, *sum, *list;
  Map seen; /* keys of the list, that came before */
  KeyValue values[MOST_BY];
  Text key;
} CountCursor;

/* ---- keys ------------------------------------------------------------------------------------ */

static void drop_values(CountCursor *cursor) {
  for (int i = 0; i < MOST_BY; i++) sqlite3_value_free(cursor->values[i].own);
  memset(cursor->values, 0, sizeof cursor->values);
}

static const SqlColumn *by_column(const CountCursor *cursor, int i) {
  const Shadow *shadow = (const Shadow *)cursor->cursor.tab;
  return &shadow->base->columns[cursor->count->by[i]];
}

/* A real that is a whole number is that number. */
static void make_whole(Datum *datum) {
  const double real = datum->type == SQLITE_FLOAT ? datum->as.real : 0.5;
  if (!(real >= -9223372036854775808.0 && real < 9223372036854775808.0)) return;
  if ((double)(int64_t)real != real) return;
  *datum = (Datum){.type = SQLITE_INTEGER, .as.integer = (int64_t)real};
}

static bool take_value(CountCursor *cursor, int i, sqlite3_value *value) {
  KeyValue *out = &cursor->values[i];
  sqlite3_value *copy = sqlite3_value_dup(value);
  sqlite3_value_free(out->own);
  *out = (KeyValue){0};
  const bool ok = copy && datum_convert(copy, sql_type_affinity(by_column(cursor, i)->type),
                                        &out->own, &out->datum);
  if (out->own) {
    sqlite3_value_free(copy);
  } else {
    out->own = copy;
  }
  if (ok) make_whole(&out->datum);
  return ok;
}

static void add_word(Text *out, uint64_t word) {
  for (int i = 0; i < 8; i++) text_addc(out, (char)(unsigned char)(word >> 8 * i));
}

/* One text for each key: for each value its type and itself, numbers in 8 bytes, others behind
** their length. */
static void write_key(CountCursor *cursor) {
  text_clear(&cursor->key);
  for (int i = 0; i < cursor->count->nby; i++) {
    const Datum *datum = &cursor->values[i].datum;
    uint64_t word = datum->length;
    text_addc(&cursor->key, (char)datum->type);
    if (datum->type == SQLITE_INTEGER) word = (uint64_t)datum->as.integer;
    if (datum->type == SQLITE_FLOAT) memcpy(&word, &datum->as.real, sizeof word);
    add_word(&cursor->key, word);
    if (datum->type == SQLITE_TEXT || datum->type == SQLITE_BLOB) {
      text_addn(&cursor->key, datum->as.bytes, datum->length);
    }
  }
}

/* ---- the tally ------------------------------------------------------------------------------- */

static bool read_tick(CountCursor *cursor, sqlite3_int64 *out, Fault *fault) {
  sqlite3_stmt *ask = query_printf(
      cursor->cursor.tab->db, fault,
      "SELECT max(tick) FROM main._multiverse_ticks WHERE tally = %lld", cursor->count->tally);
  const int step = ask ? query_step(ask, fault) : -1;
  *out = step == 1 ? sqlite3_column_int64(ask, 0) : 0;
  query_finish(ask);
  return step == 1 && (*out > 0 || fault_set(fault, FAULT_CORRUPT, "no ticks"));
}

static bool read_bytes(sqlite3_stmt *ask, unsigned char *out, int size, Fault *fault) {
  const int step = ask ? query_step(ask, fault) : -1;
  const void *bytes = step == 1 ? sqlite3_column_blob(ask, 0) : NULL;
  const bool ok = bytes && sqlite3_column_bytes(ask, 0) == size;
  if (ok) memcpy(out, bytes, (size_t)size);
  return ok || step < 0 || fault_set(fault, FAULT_CORRUPT, "the tally is incomplete");
}

static bool read_noise(CountCursor *cursor, Fault *fault) {
  sqlite3 *db = cursor->cursor.tab->db;
  Noise *noise = &cursor->noise;
  sqlite3_int64 tick;
  if (!read_tick(cursor, &tick, fault)) return false;
  sqlite3_stmt *ask =
      query_printf(db, fault, "SELECT secret FROM main._multiverse_tallies WHERE id = %lld",
                   cursor->count->tally);
  bool ok = read_bytes(ask, noise->secret, SECRET_BYTES, fault);
  query_finish(ask);
  noise->epsilon = cursor->count->epsilon;
  noise->most = cursor->count->most;
  noise->nnodes = noise_nodes(tick, noise->nodes);
  ask = ok ? query_printf(db, fault,
                          "SELECT nonce FROM main._multiverse_ticks WHERE tally = %lld AND tick = "
                          "?1",
                          cursor->count->tally)
           : NULL;
  for (int i = 0; ok && ask && i < noise->nnodes; i++) {
    sqlite3_bind_int64(ask, 1, noise->nodes[i].end);
    ok = read_bytes(ask, noise->nodes[i].nonce, NONCE_BYTES, fault);
    sqlite3_reset(ask);
  }
  query_finish(ask);
  return !fault->code;
}

static bool prepare_sum(CountCursor *cursor, Fault *fault) {
  const int nby = cursor->count->nby;
  Text sql = {0};
  text_addf(&sql, "SELECT n FROM main._multiverse_sums WHERE tally = %lld",
            (long long)cursor->count->tally);
  for (int i = 0; i < MOST_BY; i++) {
    text_addf(&sql, i < nby ? " AND k%d = ?%d" : " AND k%d = ''", i + 1, i + 1);
  }
  cursor->sum = query_prepare(cursor->cursor.tab->db, sql.oom ? NULL : text_get(&sql), fault);
  text_finish(&sql);
  return cursor->sum != NULL;
}

static bool bind_datum(sqlite3_stmt *statement, int number, const Datum *datum) {
  switch (datum->type) {
  case SQLITE_INTEGER:
    return sqlite3_bind_int64(statement, number, datum->as.integer) == SQLITE_OK;
  case SQLITE_FLOAT:
    return sqlite3_bind_double(statement, number, datum->as.real) == SQLITE_OK;
  case SQLITE_TEXT:
    return sqlite3_bind_text(statement, number, datum->as.bytes ? datum->as.bytes : "",
                             (int)datum->length, SQLITE_TRANSIENT) == SQLITE_OK;
  default:
    return (datum->length ? sqlite3_bind_blob(statement, number, datum->as.bytes,
                                              (int)datum->length, SQLITE_TRANSIENT)
                          : sqlite3_bind_zeroblob(statement, number, 0)) == SQLITE_OK;
  }
}

/* The count that is shown. */
static bool read_count(CountCursor *cursor, sqlite3_int64 *out, Fault *fault) {
  sqlite3_int64 noise;
  bool ok = true;
  for (int i = 0; ok && i < cursor->count->nby; i++) {
    ok = bind_datum(cursor->sum, i + 1, &cursor->values[i].datum);
  }
  if (!ok || !noise_draw(&cursor->noise, text_get(&cursor->key), cursor->key.length, &noise)) {
    return fault_oom(fault);
  }
  const int step = query_step(cursor->sum, fault);
  *out = (step == 1 ? sqlite3_column_int64(cursor->sum, 0) : 0) + noise;
  sqlite3_reset(cursor->sum);
  return step >= 0;
}

/* ---- the scan -------------------------------------------------------------------------------- */

/* What goes wrong inside is not told: it may be about rows. */
static int failed(VtCursor *cur, const Fault *fault) {
  switch (fault->code) {
  case FAULT_NOMEM:
  case FAULT_INTERRUPT:
  case FAULT_BUSY:
  case FAULT_DENIED:
  case FAULT_UNSUPPORTED:
    return vt_fault(cur->tab, fault);
  default:
    return vt_fail(cur->tab, SQLITE_ERROR, "the count cannot be read");
  }
}

/* The key that stands in `values` has not come before. */
static bool is_new(CountCursor *cursor, Fault *fault) {
  bool added;
  if (!map_put(&cursor->seen, text_get(&cursor->key), cursor->key.length, 1, &added)) {
    return fault_oom(fault);
  }
  return added;
}

/* The next key of the list. */
static bool next_listed(CountCursor *cursor, Fault *fault) {
  int step;
  while ((step = query_step(cursor->list, fault)) == 1) {
    bool whole = true;
    for (int i = 0; i < cursor->count->nby; i++) {
      sqlite3_value *value = sqlite3_column_value(cursor->list, i);
      whole &= sqlite3_value_type(value) != SQLITE_NULL;
      if (!take_value(cursor, i, value)) return fault_oom(fault);
    }
    write_key(cursor);
    if (cursor->key.oom) return fault_oom(fault);
    if (whole && is_new(cursor, fault)) return true;
    if (fault->code) return false;
  }
  cursor->cursor.eof = true;
  return step == 0;
}

static bool take_asked(CountCursor *cursor, const VtPlan *plan, Fault *fault) {
  for (int i = 0; i < cursor->count->nby; i++) {
    const VtTerm *term = vt_term(plan, i, VT_OP_EQ);
    if (!term) {
      return fault_set(fault, FAULT_UNSUPPORTED,
                       "which %s? the groups that there are are not told: give it by = or IN",
                       by_column(cursor, i)->name);
    }
    if (!take_value(cursor, i, term->value)) return fault_oom(fault);
  }
  write_key(cursor);
  return !cursor->key.oom || fault_oom(fault);
}

static bool open_list(CountCursor *cursor, Fault *fault) {
  const Shadow *shadow = (const Shadow *)cursor->cursor.tab;
  const Meaning meaning = {.policy = shadow->policy};
  Text sql = {0};
  meaning_select(&meaning, cursor->count->keys, &sql);
  cursor->list = query_prepare(shadow->tab.db, sql.oom ? NULL : text_get(&sql), fault);
  text_finish(&sql);
  return cursor->list && next_listed(cursor, fault);
}

/* A snapshot that is held until done(). */
static bool begin(CountCursor *cursor, Fault *fault) {
  Shadow *shadow = (Shadow *)cursor->cursor.tab;
  if (sqlite3_txn_state(shadow->tab.db, "main") == SQLITE_TXN_WRITE) {
    return fault_set(fault, FAULT_DENIED,
                     "counts are not read in a transaction that writes: commit it first");
  }
  cursor->pin = query_prepare(shadow->tab.db, "PRAGMA main.data_version", fault);
  if (!cursor->pin || query_step(cursor->pin, fault) != 1 ||
      !shadow_sync(shadow, SYNC_LISTS | SYNC_SURELY, fault)) {
    return false;
  }
  cursor->count = shadow->table->count;
  if (!cursor->count || !cursor->count->tally) {
    return fault_set(fault, FAULT_DENIED, "it is not counted");
  }
  return read_noise(cursor, fault) && prepare_sum(cursor, fault);
}

static int count_seek(VtCursor *cur, const VtPlan *plan) {
  CountCursor *cursor = (CountCursor *)cur;
  Fault fault = {0};
  cur->eof = false;
  vt_internal_enter(cur->tab->conn);
  const bool ok = begin(cursor, &fault) && (cursor->count->keys ? open_list(cursor, &fault)
                                                                : take_asked(cursor, plan, &fault));
  vt_internal_leave(cur->tab->conn);
  return ok ? SQLITE_OK : failed(cur, &fault);
}

static int count_step(VtCursor *cur) {
  CountCursor *cursor = (CountCursor *)cur;
  Fault fault = {0};
  cur->eof = !cursor->list;
  if (cur->eof) return SQLITE_OK;
  vt_internal_enter(cur->tab->conn);
  const bool ok = next_listed(cursor, &fault);
  vt_internal_leave(cur->tab->conn);
  return ok ? SQLITE_OK : failed(cur, &fault);
}

static int count_column(VtCursor *cur, sqlite3_context *ctx, int col) {
  CountCursor *cursor = (CountCursor *)cur;
  Fault fault = {0};
  sqlite3_int64 count = 0;
  if (sqlite3_vtab_nochange(ctx)) return SQLITE_OK;
  if (col < cursor->count->nby) {
    Datum shown = cursor->values[col].datum;
    if (shown.type == SQLITE_INTEGER &&
        sql_type_affinity(by_column(cursor, col)->type) == SQL_AFFINITY_REAL) {
      shown = (Datum){.type = SQLITE_FLOAT, .as.real = (double)shown.as.integer};
    }
    datum_result(ctx, &shown);
    return SQLITE_OK;
  }
  vt_internal_enter(cur->tab->conn);
  const bool ok = read_count(cursor, &count, &fault);
  vt_internal_leave(cur->tab->conn);
  if (!ok) return failed(cur, &fault);
  sqlite3_result_int64(ctx, count);
  return SQLITE_OK;
}

/* Of the key, whether there are such rows or not. */
static sqlite3_int64 count_rowid(VtCursor *cur) {
  const CountCursor *cursor = (const CountCursor *)cur;
  const char *key = text_get(&cursor->key);
  return (sqlite3_int64)(hash_bytes(key ? key : "", cursor->key.length, 0) >> 1);
}

static void count_done(VtCursor *cur) {
  CountCursor *cursor = (CountCursor *)cur;
  query_finish(cursor->list);
  query_finish(cursor->sum);
  query_finish(cursor->pin);
  cursor->list = cursor->sum = cursor->pin = NULL;
  map_finish(&cursor->seen);
  cursor->seen = (Map){0};
  drop_values(cursor);
  text_finish(&cursor->key);
  memset(&cursor->noise, 0, sizeof cursor->noise);
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* Columns of the policy that the universe was entered with; when the table is opened again, the
** policy may be gone, and then nobody will read. */
static int declare(VtTab *tab, const BaseTable *base, const Count *count) {
  VtColumn *columns = arena_array(&tab->arena, MOST_BY + 1, sizeof *columns);
  VtNature *natures = arena_array(&tab->arena, MOST_BY + 1, sizeof *natures);
  const int nby = count ? count->nby : 0;
  if (!columns || !natures) return SQLITE_NOMEM;
  for (int i = 0; i < nby; i++) {
    const SqlColumn *column = &base->columns[count->by[i]];
    columns[i] = (VtColumn){.name = arena_strdup(&tab->arena, column->name),
                            .type = arena_strdup(&tab->arena, column->type),
                            .flags = VT_EQ,
                            .doc = "a column that is counted by"};
    if (!columns[i].name || !columns[i].type) return SQLITE_NOMEM;
  }
  columns[nby] =
      (VtColumn){.name = "count", .type = "INTEGER", .flags = VT_OUT, .doc = "of rows, with noise"};
  for (int i = 0; i <= nby; i++) natures[i] = (VtNature){.collation = "BINARY"};
  tab->cols = columns;
  tab->ncols = nby + 1;
  tab->natures = natures;
  return SQLITE_OK;
}

static int count_connect(VtTab *tab, const VtCreate *create) {
  Shadow *shadow = (Shadow *)tab;
  shadow->state = vt_state(tab->conn);
  if (sqlite3_stricmp(create->schema, "temp") || create->nargs) {
    return vt_fail(tab, SQLITE_ERROR, "multiverse_enter() makes such tables, nobody else");
  }
  const int rc = shadow_look_up(tab, create->name, &shadow->base);
  if (rc != SQLITE_OK) return rc;
  if (!shadow->base && create->create) {
    return vt_fail(tab, SQLITE_ERROR, "there is no table main.%s", create->name);
  }
  const Policy *policy = shadow->state->policy;
  const TablePolicy *table = policy ? policy_table(policy, create->name) : NULL;
  tab->name = arena_strdup(&tab->arena, create->name);
  if (!tab->name) return SQLITE_NOMEM;
  const Count *count = table ? table->count : NULL;
  ((CountTab *)tab)->listed = count && count->keys;
  return declare(tab, table ? table->base : NULL, count);
}

static void count_disconnect(VtTab *tab) { shadow_forget((Shadow *)tab); }

/* The same whatever there is: where no keys are listed, a plan that names no group is the last that
** is taken. */
static void count_estimate(VtTab *tab, const VtPlan *plan, double *rows, double *cost) {
  *rows = 1;
  *cost = 100;
  if (((CountTab *)tab)->listed) {
    *rows = 100;
    *cost = 1000;
    return;
  }
  for (int i = 0; i < tab->ncols - 1; i++) {
    if (vt_term(plan, i, VT_OP_EQ)) continue;
    *rows = 1e6;
    *cost = 1e15;
  }
}

/* Nothing is ever written; DELETE … WHERE 0 must be a statement all the same. */
static const VtWriter writer = {.native = true};

static const VtColumn columns[] = {
    {.name = "column", .type = "", .flags = VT_OUT, .doc = "that is counted by, as in the base"},
    {.name = "count", .type = "INTEGER", .flags = VT_OUT, .doc = "of rows, with noise"}};

static const VtError errors[] = {
    {"t: which c? the groups that there are are not told: give it by = or IN",
     "a column that is counted by is open, and the rule has no keys",
     "ask about values, or have the rule list them"},
    {"t: counts are not read in a transaction that writes: commit it first",
     "BEGIN and a write, or a statement that writes", "COMMIT"},
    {0}};

const VtTable multiverse_count_table = {
    .name = "multiverse_count",
    .doc = "Stands in front of a table that is counted inside a universe; multiverse_enter() makes "
           "it.",
    .errors = errors,
    .risk = SQLITE_VTAB_INNOCUOUS,
    .cols = columns,
    .ncols = countof(columns),
    .rows = 100,
    .table_size = sizeof(CountTab),
    .cursor_size = sizeof(CountCursor),
    .connect = count_connect,
    .disconnect = count_disconnect,
    .created = true,
    .estimate = count_estimate,
    .seek = count_seek,
    .step = count_step,
    .column = count_column,
    .rowid = count_rowid,
    .done = count_done,
    .writer = &writer,
};
