/*
** What the rules say about a row that is to be, without asking SQLite: where all of them come apart
** (lens.h), and the row's values are what its columns will store. Otherwise judge.c asks.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/judge.h"
#include "extensions/multiverse/lens.h"

typedef struct Verdict { /* of one action on a table */
  Arena arena;
  Lens lens;
  Eye eye;
  Datum *cells;
  bool utf8;
} Verdict;

static const signed char undecided[MAX_ATOMS] = {
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
};

/* ---- making ---------------------------------------------------------------------------------- */

static void destroy(Verdict *verdict) {
  if (!verdict) return;
  eye_close(&verdict->eye);
  lens_finish(&verdict->lens);
  arena_finish(&verdict->arena);
  free(verdict);
}

void verdict_forget(Shadow *shadow) {
  for (int i = 0; i < ACTIONS; i++) {
    destroy(shadow->verdicts[i]);
    shadow->verdicts[i] = NULL;
  }
}

static Verdict *make(const Shadow *shadow, Action action) {
  Fault none = {0};
  Verdict *verdict = calloc(1, sizeof *verdict);
  if (!verdict) return NULL;
  verdict->utf8 = base_is_utf8(shadow->tab.db, &none);
  verdict->cells =
      arena_array(&verdict->arena, (size_t)shadow->base->ncolumns + 1, sizeof *verdict->cells);
  if (verdict->cells && lens_make_for_writing(shadow->policy, shadow->table, action,
                                              &verdict->arena, &verdict->lens)) {
    return verdict;
  }
  destroy(verdict);
  return NULL;
}

static bool open_eye(const Shadow *shadow, Verdict *verdict) {
  const State *state = shadow->state;
  Fault none = {0};
  if (verdict->eye.serial == state->universe->serial) return true;
  sqlite3_stmt *statement = NULL;
  if (verdict->lens.eye_sql) {
    statement = query_prepare(shadow->tab.db, verdict->lens.eye_sql, &none);
    if (!statement) return false;
    shadow_bind(state, statement);
  }
  const bool ok = eye_open(&verdict->eye, &verdict->lens, state, statement);
  query_finish(statement);
  return ok;
}

/* ---- the row --------------------------------------------------------------------------------- */

/* The value is stored as it is, and what rules ask of it is known here. */
static bool is_plain(const Verdict *verdict, const SqlColumn *column, int type, Asked asked) {
  const SqlAffinity affinity = sql_type_affinity(column->type);
  if (type == SQLITE_NULL) return true;
  if (asked == ASKED_TRUTH && type != SQLITE_INTEGER && type != SQLITE_FLOAT) return false;
  switch (type) {
  case SQLITE_INTEGER:
    return affinity != SQL_AFFINITY_TEXT && affinity != SQL_AFFINITY_REAL;
  case SQLITE_FLOAT:
    return affinity == SQL_AFFINITY_BLOB || affinity == SQL_AFFINITY_REAL;
  case SQLITE_TEXT:
    return verdict->utf8 && (affinity == SQL_AFFINITY_TEXT || affinity == SQL_AFFINITY_BLOB);
  default:
    return true;
  }
}

static bool read_cells(const Shadow *shadow, Verdict *verdict, sqlite3_value **values) {
  const BaseTable *base = shadow->base;
  for (int i = 0; i < base->ncolumns; i++) {
    const Asked asked = (Asked)verdict->lens.asked[i];
    if (asked == ASKED_NOTHING) continue;
    const int type = sqlite3_value_type(values[i]);
    if (i == base->rowid_column && type != SQLITE_INTEGER) return false;
    if (!is_plain(verdict, &base->columns[i], type, asked)) return false;
    if (!datum_read(values[i], &verdict->cells[i])) return false;
  }
  return true;
}

/* ---- judging --------------------------------------------------------------------------------- */

bool verdict_new(Shadow *shadow, Action action, sqlite3_value **values, Judgement *judgement) {
  Verdict *verdict = shadow->verdicts[action];
  if (!verdict) verdict = shadow->verdicts[action] = make(shadow, action);
  if (!verdict || verdict->lens.unfit) return false;
  if (!open_eye(shadow, verdict) || !read_cells(shadow, verdict, values)) return false;
  const Sight sight = {.lens = &verdict->lens,
                       .eye = &verdict->eye,
                       .table = shadow->table,
                       .sets = shadow->state->universe->sets,
                       .truths = undecided,
                       .fresh = verdict->cells};
  for (int i = 0; i < judgement->nrules; i++) {
    judgement->rules[i] = judgement->rules[i] && sight_finds(&sight, NULL, verdict->lens.rules[i]);
  }
  judgement->seen = sight_sees(&sight, NULL);
  return true;
}
