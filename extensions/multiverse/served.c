/*
** Tier 2: a scan answered from memory.
**
** One equality picks the rows: of the rowid, or of a column as it is stored. Terms that SQLite does
** not test again are tested here; a column that is rewritten it tests itself, as it is shown.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/cache.h"

/* ---- which rows ------------------------------------------------------------------------------ */

static const SqlOp op_of[] = {[VT_OP_EQ] = SQL_OP_EQ,
                              [VT_OP_LT] = SQL_OP_LT,
                              [VT_OP_LE] = SQL_OP_LE,
                              [VT_OP_GT] = SQL_OP_GT,
                              [VT_OP_GE] = SQL_OP_GE};

typedef struct Choice { /* the term that picks the rows */
  int term, column;     /* column STORE_ROWID: by rowid */
  Datum key;
  sqlite3_value *copy; /* what the key borrows from, or NULL */
  Posting *posting;    /* that is there already */
  double rows;
} Choice;

static double expected(const BaseTable *base, int column) {
  double rows = base->rows;
  for (int i = 0; i < base->nindexes; i++) {
    const BaseIndex *index = &base->indexes[i];
    if (!index->partial && index->ncolumns && index->columns[0] == column &&
        index->rows[0] < rows) {
      rows = index->rows[0];
    }
  }
  return rows;
}

/* May this term pick the rows? */
static bool is_fit(const Question *question, int i) {
  const VtTerm *term = &question->plan->terms[i];
  return term->op == VT_OP_EQ && question->modes[i] != MODE_SKIP &&
         !question->shadow->base->columns[term->col].collation && term->col < STORE_MAX_COLUMNS - 1;
}

bool served_might(const Question *question) {
  Cache *cache = question->shadow->state->cache;
  bool any = false;
  for (int i = 0; i < question->plan->nterms; i++) any |= is_fit(question, i);
  return any && cache && cache_lens(cache, question->shadow->number);
}

/* What it would pick, and how many rows. */
static bool read_choice(const Question *question, int i, Choice *out) {
  const Shadow *shadow = question->shadow;
  const VtTerm *term = &question->plan->terms[i];
  const SqlColumn *column = &shadow->base->columns[term->col];
  *out = (Choice){.term = i, .column = term->col};
  if (!is_fit(question, i)) return false;
  if (!datum_convert(term->value, sql_type_affinity(column->type), &out->copy, &out->key)) {
    sqlite3_value_free(out->copy);
    return false;
  }
  if (term->col == shadow->base->rowid_column) {
    out->column = STORE_ROWID;
    out->rows = 1;
    return out->key.type == SQLITE_INTEGER;
  }
  Store *store = shadow->state->cache->store;
  out->posting = store_find(store, shadow->number, term->col, &out->key);
  out->rows =
      out->posting ? (double)posting_count(out->posting) / 2 : expected(shadow->base, term->col);
  return true;
}

/* Postings that are there count half. */
static bool choose(const Question *question, Choice *out) {
  bool found = false;
  for (int i = 0; i < question->plan->nterms; i++) {
    Choice choice;
    const bool fits = read_choice(question, i, &choice);
    if (fits && (!found || choice.rows < out->rows)) {
      if (found) sqlite3_value_free(out->copy);
      *out = choice;
      found = true;
    } else if (choice.copy) {
      sqlite3_value_free(choice.copy);
    }
  }
  return found;
}

/* Rows come by rowid: so it must be asked for, behind columns that are the same in all of them. */
static bool has_order(const Question *question, const Choice *choice, bool *backwards) {
  const VtPlan *plan = question->plan;
  const BaseTable *base = question->shadow->base;
  *backwards = false;
  if (choice->column == STORE_ROWID) return true;
  for (int i = 0; i < plan->nsort; i++) {
    const int column = plan->sort[i].col;
    if (column < 0 || column == base->rowid_column) {
      *backwards = plan->sort[i].descending;
      return true;
    }
    if (column != choice->column) return false;
  }
  return true;
}

/* ---- the snapshot ---------------------------------------------------------------------------- */

static bool pin(Shadow *shadow, sqlite3_int64 *data_version) {
  Fault none = {0};
  if (!shadow->pin) shadow->pin = query_prepare(shadow->tab.db, "PRAGMA main.data_version", &none);
  if (!shadow->pin) return false;
  if (!shadow->pins && sqlite3_step(shadow->pin) != SQLITE_ROW) {
    sqlite3_reset(shadow->pin);
    return false;
  }
  *data_version = sqlite3_column_int64(shadow->pin, 0);
  shadow->pins++;
  return true;
}

static void unpin(Shadow *shadow) {
  if (!--shadow->pins) sqlite3_reset(shadow->pin);
}

/* Memberships and rows are those of the pinned snapshot. */
static bool is_ready(Shadow *shadow, sqlite3_int64 data_version) {
  Fault none = {0};
  const unsigned version = shadow_file_version(shadow);
  if (version != shadow->state->file_version &&
      !shadow_sync(shadow, SYNC_LISTS | SYNC_SURELY, &none))
    return false;
  return cache_sync(shadow->state->cache, data_version, version, cache_reread, shadow);
}

/* ---- eyes ------------------------------------------------------------------------------------ */

static Eye *eye_of(Shadow *shadow, const Lens *lens) {
  const State *state = shadow->state;
  Fault none = {0};
  if (!shadow->eye) shadow->eye = calloc(1, sizeof *shadow->eye);
  if (!shadow->eye) return NULL;
  if (shadow->eye->serial == state->universe->serial) return shadow->eye;
  Inner *inner = NULL;
  if (lens->eye_sql) {
    inner = shadow_find(shadow, "eye");
    if (!inner) {
      Text sql = {0};
      text_add(&sql, lens->eye_sql);
      inner = shadow_add(shadow, "eye", &sql, &none);
      text_finish(&sql);
    }
    if (!inner) return NULL;
    shadow_bind(state, inner->statement);
  }
  return eye_open(shadow->eye, lens, state, inner ? inner->statement : NULL) ? shadow->eye : NULL;
}

void served_forget(Shadow *shadow) {
  if (shadow->eye) eye_close(shadow->eye);
  free(shadow->eye);
  shadow->eye = NULL;
}

/* ---- the scan -------------------------------------------------------------------------------- */

static bool add_filter(Served *served, const VtTerm *term, SqlAffinity affinity, Arena *arena) {
  Filter *filter = &served->filters[served->nfilters++];
  sqlite3_value *copy;
  *filter = (Filter){.column = term->col, .op = op_of[term->op]};
  bool ok = datum_convert(term->value, affinity, &copy, &filter->cell);
  if (ok && (filter->cell.type == SQLITE_TEXT || filter->cell.type == SQLITE_BLOB)) {
    char *bytes = arena_alloc(arena, filter->cell.length + 1);
    if (bytes && filter->cell.length) memcpy(bytes, filter->cell.as.bytes, filter->cell.length);
    filter->cell.as.bytes = bytes;
    ok = bytes != NULL;
  }
  sqlite3_value_free(copy);
  return ok;
}

static Served *served_make(ShadowCursor *cursor, const Question *question, const Choice *choice) {
  Shadow *shadow = question->shadow;
  const VtPlan *plan = question->plan;
  Arena *arena = &cursor->cursor.arena;
  Served *served = &((ServedCursor *)cursor)->served;
  *served = (Served){0};
  memcpy(served->truths, question->truths, sizeof served->truths);
  const Lens *lens = cache_lens(shadow->state->cache, shadow->number);
  served->store = shadow->state->cache->store;
  served->sight = (Sight){.lens = lens,
                          .eye = eye_of(shadow, lens),
                          .table = shadow->table,
                          .sets = shadow->state->universe->sets,
                          .truths = served->truths,
                          .format = shadow->state->cache->formats[shadow->number]};
  if (!served->sight.eye) return NULL;
  for (int i = 0; i < plan->nterms; i++) {
    const VtTerm *term = &plan->terms[i];
    if (i == choice->term || !(shadow->tab.cols[term->col].flags & VT_EXACT)) continue;
    const SqlAffinity affinity = sql_type_affinity(shadow->base->columns[term->col].type);
    if (!served->filters) {
      served->filters = arena_array(arena, (size_t)plan->nterms, sizeof *served->filters);
    }
    if (!served->filters || !add_filter(served, term, affinity, arena)) return NULL;
  }
  return served;
}

/* The rows, pinned. */
static bool take_rows(Served *served, const Question *question, const Choice *choice) {
  Shadow *shadow = question->shadow;
  Store *store = served->store;
  if (choice->column == STORE_ROWID) {
    served->row = store_row(store, shadow->number, choice->key.as.integer);
    if (served->row) {
      row_pin(store, served->row);
      served->left = 1;
      return true;
    }
    if (!cache_is_wanted(shadow->state->cache, shadow->number, choice->key.as.integer))
      return false;
  }
  served->posting = choice->posting
                        ? choice->posting
                        : store_find(store, shadow->number, choice->column, &choice->key);
  if (served->posting) {
    posting_pin(store, served->posting);
  } else {
    served->posting = cache_posting(shadow, choice->column,
                                    question->plan->terms[choice->term].value, &choice->key);
  }
  if (!served->posting) return false;
  if (posting_is_refused(served->posting)) {
    posting_unpin(store, served->posting);
    return false;
  }
  served->left = posting_count(served->posting);
  served->at = served->backwards && served->left ? served->left - 1 : 0;
  return true;
}

static bool suits(const Served *served, const Row *row) {
  const Sight *sight = &served->sight;
  for (int i = 0; i < served->nfilters; i++) {
    const Filter *filter = &served->filters[i];
    const Datum cell = raw_cell(sight, row, filter->column);
    if (cell.type == SQLITE_NULL || !datum_passes(&cell, filter->op, &filter->cell)) return false;
  }
  return sight_sees(sight, row);
}

void served_step(ShadowCursor *cursor) {
  enum { AHEAD = 8 };
  Served *served = cursor->served;
  const size_t step = served->backwards ? (size_t)-1 : 1;
  while (served->left) {
    const Row *row = served->row;
    if (served->posting) {
      row = posting_row(served->posting, served->at);
      posting_prepare(served->posting, served->at + AHEAD * step);
    }
    served->left--;
    served->at += step;
    if (!suits(served, row)) continue;
    served->current = row;
    return;
  }
  cursor->cursor.eof = true;
}

static bool begin(ShadowCursor *cursor, const VtPlan *plan) {
  Shadow *shadow = (Shadow *)cursor->cursor.tab;
  Question question;
  Choice choice;
  bool backwards;
  question_read(&question, shadow, plan);
  if (!choose(&question, &choice)) return false;
  Served *served =
      has_order(&question, &choice, &backwards) ? served_make(cursor, &question, &choice) : NULL;
  if (served) served->backwards = backwards;
  const bool ok = served && take_rows(served, &question, &choice);
  sqlite3_value_free(choice.copy);
  if (!ok) return false;
  store_hold(served->store);
  cursor->served = served;
  return true;
}

bool served_seek(ShadowCursor *cursor, const VtPlan *plan) {
  Shadow *shadow = (Shadow *)cursor->cursor.tab;
  Cache *cache = shadow->state->cache;
  sqlite3_int64 data_version;
  Fault none = {0};
  cursor->served = NULL;
  if (!plan->nterms || !shadow_sync(shadow, SYNC_LISTS, &none)) return false;
  vt_internal_enter(shadow->tab.conn);
  bool ok = cache_lens(cache, shadow->number) && pin(shadow, &data_version);
  if (ok && !(is_ready(shadow, data_version) && begin(cursor, plan))) {
    unpin(shadow);
    ok = false;
  }
  vt_internal_leave(shadow->tab.conn);
  *(ok ? &cache->stats.served : &cache->stats.passed) += 1;
  if (ok) {
    cursor->cursor.eof = false;
    served_step(cursor);
  }
  return ok;
}

void served_column(const ShadowCursor *cursor, sqlite3_context *ctx, int column) {
  const Served *served = cursor->served;
  const Datum cell = sight_cell(&served->sight, served->current, column);
  datum_result(ctx, &cell);
}

sqlite3_int64 served_rowid(const ShadowCursor *cursor) { return cursor->served->current->rowid; }

void served_done(ShadowCursor *cursor) {
  Served *served = cursor->served;
  Shadow *shadow = (Shadow *)cursor->cursor.tab;
  if (!served) return;
  if (served->posting) {
    posting_unpin(served->store, served->posting);
  } else {
    row_unpin(served->store, shadow->number, served->row);
  }
  store_release(served->store);
  unpin(shadow);
  cursor->served = NULL;
}
