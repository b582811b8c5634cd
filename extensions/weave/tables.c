/*
** The tables of weave: the model itself (its rows are the proposed changes) and weave_status.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/weave.h"

static WeaveTab *find_connected(const WeaveState *state, const char *schema, size_t length,
                                const char *name) {
  for (WeaveTab *tab = state->tabs; tab; tab = tab->next) {
    const Declaration *declaration = &tab->declaration;
    if (strcasecmp(declaration->name, name) != 0) continue;
    if (!schema || (strlen(declaration->schema) == length &&
                    !strncasecmp(declaration->schema, schema, length))) {
      return tab;
    }
  }
  return NULL;
}

/* SQLite connects a virtual table when a statement first names it, and again after the schema was
** read anew: in a database just opened no model is connected. */
static bool connect_model(sqlite3 *db, const char *schema, size_t length, const char *name,
                          Fault *fault) {
  Fault why = {0};
  char *prefix = schema ? sqlite3_mprintf("\"%.*w\".", (int)length, schema) : sqlite3_mprintf("");
  sqlite3_stmt *statement =
      prefix ? query_printf(db, &why, "SELECT 1 FROM %s\"%w\"", prefix, name) : NULL;
  bool oom = !prefix || why.code == FAULT_NOMEM;
  query_finish(statement);
  sqlite3_free(prefix);
  if (oom) return fault_oom(fault);
  bool absent =
      strncmp(why.text, "no such table", 13) == 0 || strncmp(why.text, "unknown database", 16) == 0;
  return !why.code || absent || fault_set(fault, why.code, "%s", why.text);
}

WeaveTab *weave_find(sqlite3 *db, const WeaveState *state, const char *name, Fault *fault) {
  const char *dot = strchr(name, '.');
  size_t length = dot ? (size_t)(dot - name) : 0;
  WeaveTab *tab = NULL;
  for (int attempt = 0; attempt < 2 && !tab; attempt++) {
    if (attempt && !connect_model(db, NULL, 0, name, fault)) return NULL;
    if (attempt && dot && !connect_model(db, name, length, dot + 1, fault)) return NULL;
    tab = find_connected(state, NULL, 0, name);
    if (!tab && dot) tab = find_connected(state, name, length, dot + 1);
  }
  if (!tab) {
    fault_set(fault, FAULT_NOTFOUND,
              "no weave table is called \"%s\" (CREATE VIRTUAL TABLE … USING weave)", name);
  }
  return tab;
}

WeaveTab *weave_hold(sqlite3 *db, const WeaveState *state, const char *name,
                     sqlite3_stmt **out_hold, Fault *fault) {
  *out_hold = NULL;
  WeaveTab *tab = weave_find(db, state, name, fault);
  if (!tab) return NULL;
  /* A statement that names a virtual table keeps it, whether or not it runs. Preparing it may read
  ** the schema anew, and so connect another one: that is the one to use. */
  *out_hold = query_printf(db, fault, "SELECT 1 FROM \"%w\".\"%w\"", tab->declaration.schema,
                           tab->declaration.name);
  tab = *out_hold ? weave_find(db, state, name, fault) : NULL;
  if (tab) {
    tab->held++;
    return tab;
  }
  query_finish(*out_hold);
  *out_hold = NULL;
  return NULL;
}

void weave_release(WeaveTab *tab, sqlite3_stmt *hold) {
  tab->held--;
  query_finish(hold);
}

/* ---- the model's table: proposed changes ---------------------------------------------------- */

enum { CHANGE_TABLE, CHANGE_ROW, CHANGE_COLUMN, CHANGE_OLD, CHANGE_NEW, CHANGE_NCOL };

static const VtColumn change_columns[] = {
    [CHANGE_TABLE] = {"tbl", "TEXT", VT_OUT, 0, "table of the cell"},
    [CHANGE_ROW] = {"row", "", VT_OUT, 0,
                    "primary key of its row: a JSON array when it has several columns, the rowid "
                    "when there is none"},
    [CHANGE_COLUMN] = {"col", "TEXT", VT_OUT, 0, "column of the cell"},
    [CHANGE_OLD] = {"old", "", VT_OUT, 0, "value when it was solved"},
    [CHANGE_NEW] = {"new", "", VT_OUT, 0, "value proposed"},
};

typedef struct ChangeCursor {
  VtCursor base;
  size_t at;
} ChangeCursor;

static const char *identify(WeaveTab *weave, int nargs, const char *const *args) {
  Text text = {0};
  text_addf(&text, "%s\n%s", weave->declaration.schema, weave->declaration.name);
  for (int i = 0; i < nargs; i++) text_addf(&text, "\n%s", args[i]);
  const char *identity = text.oom ? NULL : arena_strdup(&weave->declaration.arena, text_get(&text));
  text_finish(&text);
  return identity;
}

static void take_back(WeaveState *state, WeaveTab *weave) {
  /* SQLite may keep the table of before until its transaction ends, unreachable by name. */
  for (WeaveTab *other = weave->next; other; other = other->next) {
    if (other->busy || !other->solution.solved) continue;
    if (strcmp(other->identity, weave->identity) != 0) continue;
    weave->solution = other->solution;
    other->solution = (Solution){0};
    return;
  }
  for (KeptAnswer **link = &state->kept; *link; link = &(*link)->next) {
    KeptAnswer *kept = *link;
    if (strcmp(kept->identity, weave->identity) != 0) continue;
    weave->solution = kept->solution;
    *link = kept->next;
    free(kept->identity);
    free(kept);
    return;
  }
}

/* To the same model, when SQLite has connected it already, else for when it does. Without memory
** for that the answer is lost, and weave_apply() will say so. */
static void keep_answer(WeaveState *state, WeaveTab *weave) {
  for (WeaveTab *other = state->tabs; other; other = other->next) {
    if (other->solution.solved || strcmp(other->identity, weave->identity) != 0) continue;
    other->solution = weave->solution;
    weave->solution = (Solution){0};
    return;
  }
  KeptAnswer *kept = calloc(1, sizeof *kept);
  char *identity = kept ? strdup(weave->identity) : NULL;
  if (!identity) {
    free(kept);
    return;
  }
  *kept = (KeptAnswer){.next = state->kept, .identity = identity, .solution = weave->solution};
  state->kept = kept;
  weave->solution = (Solution){0};
}

void weave_state_close(void *state) {
  KeptAnswer *kept = ((WeaveState *)state)->kept;
  while (kept) {
    KeptAnswer *next = kept->next;
    solution_finish(&kept->solution);
    free(kept->identity);
    free(kept);
    kept = next;
  }
}

/* SQLite's argv: module, schema, table, arguments. */
static int weave_connect(VtTab *tab, const VtCreate *create) {
  WeaveTab *weave = (WeaveTab *)tab;
  Fault fault = {0};
  size_t argc = 3 + (size_t)create->nargs;
  const char **argv = arena_array(&tab->arena, argc, sizeof *argv);
  if (!argv) return SQLITE_NOMEM;
  argv[0] = create->module;
  argv[1] = create->schema;
  argv[2] = create->name;
  for (int i = 0; i < create->nargs; i++) argv[3 + i] = create->args[i];
  if (!declaration_parse(&weave->declaration, (int)argc, argv, &fault)) {
    return vt_fault(tab, &fault);
  }
  WeaveState *state = vt_state(tab->conn);
  weave->identity = identify(weave, create->nargs, create->args);
  if (!weave->identity) return SQLITE_NOMEM;
  weave->next = state->tabs;
  state->tabs = weave;
  take_back(state, weave);
  return SQLITE_OK;
}

static int weave_destroy(VtTab *tab) {
  WeaveTab *weave = (WeaveTab *)tab;
  if (weave->held) return SQLITE_LOCKED;
  weave->dropped = true;
  return SQLITE_OK;
}

static void weave_disconnect(VtTab *tab) {
  WeaveTab *weave = (WeaveTab *)tab;
  WeaveState *state = vt_state(tab->conn);
  for (WeaveTab **link = &state->tabs; *link; link = &(*link)->next) {
    if (*link == weave) {
      *link = weave->next;
      break;
    }
  }
  if (weave->solution.solved && weave->identity && !weave->dropped) keep_answer(state, weave);
  solution_finish(&weave->solution);
  declaration_finish(&weave->declaration);
}

static int weave_rename(VtTab *tab, const char *name) {
  WeaveTab *weave = (WeaveTab *)tab;
  const char *copy = arena_strdup(&weave->declaration.arena, name);
  if (!copy) return SQLITE_NOMEM;
  weave->declaration.name = copy;
  return SQLITE_OK;
}

static int change_seek(VtCursor *cur, const VtPlan *plan) {
  (void)plan;
  ChangeCursor *cursor = (ChangeCursor *)cur;
  cursor->at = 0;
  cur->eof = ((WeaveTab *)cur->tab)->solution.nchanges == 0;
  return SQLITE_OK;
}

static int change_step(VtCursor *cur) {
  ChangeCursor *cursor = (ChangeCursor *)cur;
  cur->eof = ++cursor->at >= ((WeaveTab *)cur->tab)->solution.nchanges;
  return SQLITE_OK;
}

static int change_column(VtCursor *cur, sqlite3_context *ctx, int col) {
  const Solution *solution = &((WeaveTab *)cur->tab)->solution;
  size_t at = ((ChangeCursor *)cur)->at;
  if (at >= solution->nchanges) return SQLITE_OK; /* solved again while being read */
  const Change *change = &solution->changes[at];
  switch (col) {
  case CHANGE_TABLE:
    query_result_text(ctx, change->table);
    break;
  case CHANGE_ROW:
    query_result(ctx, &change->label, SQLITE_TRANSIENT);
    break;
  case CHANGE_COLUMN:
    query_result_text(ctx, change->column);
    break;
  case CHANGE_OLD:
    query_result(ctx, &change->before, SQLITE_TRANSIENT);
    break;
  default:
    query_result(ctx, &change->after, SQLITE_TRANSIENT);
    break;
  }
  return SQLITE_OK;
}

static const VtError weave_errors[] = {
    {"expected DECIDE, RULES or LIMIT, not \"x\"", "an argument of USING weave(…) is none of these",
     "write DECIDE table.column …, RULES (view, …), LIMIT seconds"},
    {"t.c is decided twice", "two DECIDE clauses name the same column", "merge their scopes"},
    {0}};

const VtTable weave_table = {
    .name = "weave",
    .doc = "A model: decided columns, rules (views) and a time limit. Its rows are the cells that "
           "the last weave_solve() would change.",
    .needs = "solver: GLPK",
    .errors = weave_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = change_columns,
    .ncols = CHANGE_NCOL,
    .rows = 100,
    .table_size = sizeof(WeaveTab),
    .cursor_size = sizeof(ChangeCursor),
    .created = true,
    .connect = weave_connect,
    .disconnect = weave_disconnect,
    .destroy = weave_destroy,
    .rename = weave_rename,
    .seek = change_seek,
    .step = change_step,
    .column = change_column,
};

/* ---- weave_status --------------------------------------------------------------------------- */

enum {
  STATUS_KIND,
  STATUS_NAME,
  STATUS_SATISFIED,
  STATUS_VALUE,
  STATUS_LEVEL,
  STATUS_BOUND,
  STATUS_GAP,
  STATUS_MODEL,
  STATUS_NCOL
};

static const VtColumn status_columns[] = {
    [STATUS_KIND] = {"kind", "TEXT", VT_OUT, 0, "status, rule, goal, level, model or phase"},
    [STATUS_NAME] = {"name", "TEXT", VT_OUT, 0, "rule, priority level, figure or phase"},
    [STATUS_SATISFIED] = {"satisfied", "INTEGER", VT_OUT, 0,
                          "rule: 1 when SQLite found no row that breaks it"},
    [STATUS_VALUE] = {"value", "REAL", VT_OUT, 0,
                      "goal and level: number reached (minimised ones negated); model: a count; "
                      "phase: seconds"},
    [STATUS_LEVEL] = {"level", "INTEGER", VT_OUT, 0, "priority of a goal"},
    [STATUS_BOUND] = {"bound", "REAL", VT_OUT, 0, "level: no answer can be better than this"},
    [STATUS_GAP] = {"gap", "REAL", VT_OUT, 0, "level: relative distance of value and bound"},
    [STATUS_MODEL] = {"model", "TEXT", VT_ARG | VT_MUST, 30, "name of the weave table"},
};

typedef struct StatusRow {
  const char *kind, *name;
  bool satisfied;
  double value, bound, gap; /* NaN: NULL */
  int level;                /* 0: NULL */
} StatusRow;

typedef struct StatusCursor {
  VtCursor base;
  StatusRow *rows;
  size_t nrows, capacity, at;
} StatusCursor;

static bool add_status(StatusCursor *cursor, const char *kind, const char *name, bool satisfied,
                       double value, int level, double bound, double gap) {
  Arena *arena = &cursor->base.arena;
  if (cursor->nrows == cursor->capacity) {
    size_t capacity = cursor->capacity ? cursor->capacity * 2 : 32;
    StatusRow *rows = arena_array(arena, capacity, sizeof *rows);
    if (!rows) return false;
    if (cursor->nrows) memcpy(rows, cursor->rows, cursor->nrows * sizeof *rows);
    cursor->rows = rows;
    cursor->capacity = capacity;
  }
  const char *copy = arena_strdup(arena, name);
  cursor->rows[cursor->nrows++] = (StatusRow){kind, copy, satisfied, value, bound, gap, level};
  return copy != NULL;
}

static bool fill_status(StatusCursor *cursor, const Solution *s) {
  if (!s->solved) return true;
  bool ok = add_status(cursor, "status", solve_status_name(s->status), false, NAN, 0, NAN, NAN);
  for (size_t i = 0; i < s->nrules && ok; i++) {
    const RuleResult *rule = &s->rules[i];
    bool answered = s->status == SOLVE_OPTIMAL || s->status == SOLVE_FEASIBLE;
    if (rule->must) ok = add_status(cursor, "rule", rule->name, answered, NAN, 0, NAN, NAN);
    if ((rule->maximize || rule->minimize) && ok) {
      ok = add_status(cursor, "goal", rule->name, false, answered ? rule->value : NAN, rule->level,
                      NAN, NAN);
    }
  }
  for (size_t i = 0; i < s->nlevels && ok; i++) {
    char name[16];
    sqlite3_snprintf(sizeof name, name, "%d", s->levels[i]);
    ok = add_status(cursor, "level", name, false, s->objective[i], s->levels[i], s->bound[i],
                    solution_gap(s, i));
  }
  const struct {
    const char *name;
    double value;
  } figures[] = {{"changes", (double)s->nchanges},
                 {"decisions", (double)s->choices},
                 {"candidates", (double)s->candidates},
                 {"groups", (double)s->groups},
                 {"rows", (double)s->rows},
                 {"columns", (double)s->columns},
                 {"nonzeros", (double)s->nonzeros},
                 {"nodes", (double)s->nodes},
                 {"tuples", (double)s->tuples},
                 {"queries", (double)s->statements}};
  for (size_t i = 0; i < countof(figures) && ok; i++) {
    ok = add_status(cursor, "model", figures[i].name, false, figures[i].value, 0, NAN, NAN);
  }
  for (int i = 0; i < s->nphases && ok; i++) {
    ok = add_status(cursor, "phase", s->phases[i].name, false, s->phases[i].seconds, 0, NAN, NAN);
  }
  return ok && add_status(cursor, "phase", "total", false, s->seconds, 0, NAN, NAN);
}

static int status_seek(VtCursor *cur, const VtPlan *plan) {
  StatusCursor *cursor = (StatusCursor *)cur;
  const char *name;
  Fault fault = {0};
  if (!vt_arg_text(cur->tab, plan, STATUS_MODEL, NULL, &name)) return SQLITE_ERROR;
  WeaveTab *weave = weave_find(cur->tab->db, vt_state(cur->tab->conn), name, &fault);
  if (!weave) return vt_fault(cur->tab, &fault);
  cursor->nrows = cursor->capacity = cursor->at = 0;
  if (!fill_status(cursor, &weave->solution)) return SQLITE_NOMEM;
  cur->eof = cursor->nrows == 0;
  return SQLITE_OK;
}

static int status_step(VtCursor *cur) {
  StatusCursor *cursor = (StatusCursor *)cur;
  cur->eof = ++cursor->at >= cursor->nrows;
  return SQLITE_OK;
}

static void result_number(sqlite3_context *ctx, double value) {
  if (isfinite(value)) sqlite3_result_double(ctx, value);
}

static int status_column(VtCursor *cur, sqlite3_context *ctx, int col) {
  const StatusCursor *cursor = (const StatusCursor *)cur;
  const StatusRow *row = &cursor->rows[cursor->at];
  switch (col) {
  case STATUS_KIND:
    query_result_text(ctx, row->kind);
    break;
  case STATUS_NAME:
    query_result_text(ctx, row->name);
    break;
  case STATUS_SATISFIED:
    if (!strcmp(row->kind, "rule") && row->satisfied) sqlite3_result_int(ctx, 1);
    break;
  case STATUS_VALUE:
    result_number(ctx, row->value);
    break;
  case STATUS_LEVEL:
    if (row->level) sqlite3_result_int(ctx, row->level);
    break;
  case STATUS_BOUND:
    result_number(ctx, row->bound);
    break;
  default:
    result_number(ctx, row->gap);
    break;
  }
  return SQLITE_OK;
}

const VtTable weave_status_table = {
    .name = "weave_status",
    .doc = "What the last weave_solve() of a model found: rules, goals, sizes, times.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = status_columns,
    .ncols = STATUS_NCOL,
    .rows = 30,
    .cursor_size = sizeof(StatusCursor),
    .seek = status_seek,
    .step = status_step,
    .column = status_column,
};
