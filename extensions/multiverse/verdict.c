/*
** What the rules say about a row that is to be, without asking SQLite: where all of them come apart
** (lens.h), and the row's values are what its columns will store. Otherwise judge.c asks.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/judge.h"
#include "extensions/multiverse/lens.h"

typedef struct Wanted { /* a column that rules ask about */
  int column;
  unsigned types; /* of values whose storing and comparing is known here: a bit for each */
} Wanted;

typedef struct Verdict { /* of one action on a table */
  Arena arena;
  Lens lens;
  Eye eye;
  Datum *cells; /* per column; set where wanted */
  Wanted *wanted;
  int nwanted;
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

/* A value of the type is stored as it is, and what rules ask of it is known here. */
static bool is_plain(const Shadow *shadow, int column, Asked asked, int type) {
  const SqlAffinity affinity = sql_type_affinity(shadow->base->columns[column].type);
  if (column == shadow->base->rowid_column) return type == SQLITE_INTEGER;
  switch (type) {
  case SQLITE_INTEGER:
    return affinity != SQL_AFFINITY_TEXT && affinity != SQL_AFFINITY_REAL;
  case SQLITE_FLOAT:
    return affinity == SQL_AFFINITY_BLOB || affinity == SQL_AFFINITY_REAL;
  case SQLITE_TEXT:
    return asked != ASKED_TRUTH && shadow->is_utf8 &&
           (affinity == SQL_AFFINITY_TEXT || affinity == SQL_AFFINITY_BLOB);
  case SQLITE_BLOB:
    return asked != ASKED_TRUTH;
  default:
    return true;
  }
}

static void want(const Shadow *shadow, Verdict *verdict) {
  for (int i = 0; i < shadow->base->ncolumns; i++) {
    const Asked asked = (Asked)verdict->lens.asked[i];
    if (asked == ASKED_NOTHING) continue;
    Wanted *wanted = &verdict->wanted[verdict->nwanted++];
    *wanted = (Wanted){.column = i};
    for (int type = SQLITE_INTEGER; type <= SQLITE_NULL; type++) {
      wanted->types |= (unsigned)is_plain(shadow, i, asked, type) << type;
    }
  }
}

static Verdict *make(const Shadow *shadow, Action action) {
  const size_t n = (size_t)shadow->base->ncolumns + 1;
  Verdict *verdict = calloc(1, sizeof *verdict);
  if (!verdict) return NULL;
  verdict->cells = arena_array(&verdict->arena, n, sizeof *verdict->cells);
  verdict->wanted = arena_array(&verdict->arena, n, sizeof *verdict->wanted);
  if (verdict->cells && verdict->wanted &&
      lens_make_for_writing(shadow->policy, shadow->table, action, &verdict->arena,
                            &verdict->lens)) {
    if (!verdict->lens.unfit) want(shadow, verdict);
    return verdict;
  }
  destroy(verdict);
  return NULL;
}

static bool open_eye(const Shadow *shadow, Verdict *verdict) {
  const State *state = shadow->state;
  Fault none = {0};
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

static bool read_cells(Verdict *verdict, sqlite3_value **values) {
  for (int i = 0; i < verdict->nwanted; i++) {
    const Wanted *wanted = &verdict->wanted[i];
    sqlite3_value *value = values[wanted->column];
    Datum *cell = &verdict->cells[wanted->column];
    const int type = sqlite3_value_type(value);
    if (!(wanted->types >> type & 1)) return false;
    if (type == SQLITE_INTEGER) {
      *cell = (Datum){.type = type, .as.integer = sqlite3_value_int64(value)};
    } else if (!datum_read(value, cell)) {
      return false;
    }
  }
  return true;
}

/* ---- judging --------------------------------------------------------------------------------- */

bool verdict_new(Shadow *shadow, Action action, sqlite3_value **values, Judgement *judgement) {
  Verdict *verdict = shadow->verdicts[action];
  if (!verdict) verdict = shadow->verdicts[action] = make(shadow, action);
  if (!verdict || verdict->lens.unfit) return false;
  const bool open = verdict->eye.serial == shadow->state->universe->serial;
  if ((!open && !open_eye(shadow, verdict)) || !read_cells(verdict, values)) return false;
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
