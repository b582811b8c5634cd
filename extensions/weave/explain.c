/*
** Why not: weave_explain (a minimal set of clashing rules) and weave_whynot (one row, one value).
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/weave.h"

/* One row of either table. */
typedef struct Reason {
  const char *verdict, *rule, *key, *detail;
  double cost; /* NaN: NULL */
} Reason;

typedef struct ReasonCursor {
  VtCursor base;
  Reason *rows;
  size_t nrows, capacity, at;
} ReasonCursor;

/* A copy that is NULL only when the text is. */
static bool copy_text(Arena *arena, const char *text, const char **out) {
  *out = arena_strdup(arena, text);
  return *out || !text;
}

static bool add_reason(ReasonCursor *cursor, const Reason *reason) {
  Arena *arena = &cursor->base.arena;
  if (cursor->nrows == cursor->capacity) {
    size_t capacity = cursor->capacity ? 2 * cursor->capacity : 16;
    Reason *rows = arena_array(arena, capacity, sizeof *rows);
    if (!rows) return false;
    if (cursor->nrows) memcpy(rows, cursor->rows, cursor->nrows * sizeof *rows);
    cursor->rows = rows;
    cursor->capacity = capacity;
  }
  Reason *row = &cursor->rows[cursor->nrows];
  *row = *reason;
  if (!copy_text(arena, reason->rule, &row->rule) || !copy_text(arena, reason->key, &row->key) ||
      !copy_text(arena, reason->detail, &row->detail)) {
    return false;
  }
  cursor->nrows++;
  return true;
}

/* Everything a question to a model needs. */
typedef struct Question {
  ReasonCursor *cursor;
  WeaveTab *weave;
  sqlite3_stmt *hold; /* keeps the table connected */
  Compiler compiler;
  Referee referee;
  SolveOptions options; /* with the referee's judge */
  Stop stop;
  Fault fault;
  SolveRequest request;
} Question;

static bool question_open(Question *question, VtCursor *cur, const char *name) {
  question->cursor = (ReasonCursor *)cur;
  question->cursor->nrows = question->cursor->capacity = question->cursor->at = 0;
  question->weave =
      weave_hold(cur->tab->db, vt_state(cur->tab->conn), name, &question->hold, &question->fault);
  if (!question->weave) return false;
  question->stop = (Stop){.asked = vt_asked, .ctx = &cur->poll};
  if (!request_parse(cur->tab->db, NULL, &question->weave->declaration, &question->request,
                     &question->fault)) {
    return false;
  }
  question->stop.deadline = clock_now() + (int64_t)(question->request.limit * 1e9);
  question->options.seed = question->request.seed;
  return compile(&question->compiler, cur->tab->db, &question->weave->declaration, true,
                 &question->stop, &question->fault) &&
         referee_open(&question->referee, &question->compiler, &question->options,
                      &question->fault);
}

/* Rows for a minimal set of requirements that cannot hold together. */
static bool add_core(Question *question, const SolveOptions *options, const char *verdict) {
  Compiler *compiler = &question->compiler;
  size_t n = compiler->norigins, count = 0;
  int *groups = malloc((n + 1) * sizeof *groups), *rows = malloc((n + 1) * sizeof *rows);
  int *tags = NULL;
  bool minimal = false, ok = false;
  if (!groups || !rows) {
    fault_oom(&question->fault);
    goto out;
  }
  for (size_t i = 0; i < n; i++) groups[i] = compiler->origins[i].rule;
  if (!origins_number_rows(compiler, rows, &question->fault) ||
      !solver_core(compiler->model, &(TagParts){n, groups, rows}, options, &question->stop, &tags,
                   &count, &minimal, &question->fault)) {
    goto out;
  }
  for (size_t i = 0; i < count; i++) {
    const Origin *origin = &compiler->origins[tags[i]];
    Reason reason = {.verdict = minimal ? verdict : "perhaps",
                     .key = origin->key,
                     .rule = compiler->rules[origin->rule].name,
                     .detail = origin->detail,
                     .cost = NAN};
    if (!add_reason(question->cursor, &reason)) {
      fault_oom(&question->fault);
      goto out;
    }
  }
  ok = true;
out:
  free(groups);
  free(rows);
  free(tags);
  return ok;
}

static int question_close(Question *question, VtCursor *cur, bool ok) {
  referee_close(&question->referee);
  if (question->compiler.model) compiler_finish(&question->compiler);
  if (question->weave) weave_release(question->weave, question->hold);
  if (!ok) return vt_fault(cur->tab, &question->fault);
  cur->eof = question->cursor->nrows == 0;
  return SQLITE_OK;
}

/* ---- weave_explain -------------------------------------------------------------------------- */

enum { EXPLAIN_RULE, EXPLAIN_KEY, EXPLAIN_DETAIL, EXPLAIN_MINIMAL, EXPLAIN_MODEL, EXPLAIN_NCOL };

static const VtColumn explain_columns[] = {
    [EXPLAIN_RULE] = {"rule", "TEXT", VT_OUT, 0, "view, or constraint of the schema"},
    [EXPLAIN_KEY] = {"key", "TEXT", VT_OUT, 0,
                     "the row of the view: JSON of its columns that no decision changes"},
    [EXPLAIN_DETAIL] = {"detail", "TEXT", VT_OUT, 0, "the condition with this row's numbers"},
    [EXPLAIN_MINIMAL] = {"minimal", "INTEGER", VT_OUT, 0,
                         "1: without any one of these rows there is an answer"},
    [EXPLAIN_MODEL] = {"model", "TEXT", VT_ARG | VT_MUST, 5, "name of the weave table"},
};

static int explain_seek(VtCursor *cur, const VtPlan *plan) {
  Question question = {0};
  const char *name;
  if (!vt_arg_text(cur->tab, plan, EXPLAIN_MODEL, NULL, &name)) return SQLITE_ERROR;
  bool ok = question_open(&question, cur, name);
  if (ok) {
    ok = add_core(&question, &question.options, "clash");
    if (!ok && question.fault.code == FAULT_INVALID) { /* there is an answer: no clash, no rows */
      fault_clear(&question.fault);
      ok = true;
    }
  }
  return question_close(&question, cur, ok);
}

static int reason_step(VtCursor *cur) {
  ReasonCursor *cursor = (ReasonCursor *)cur;
  cur->eof = ++cursor->at >= cursor->nrows;
  return SQLITE_OK;
}

static int explain_column(VtCursor *cur, sqlite3_context *ctx, int col) {
  const ReasonCursor *cursor = (const ReasonCursor *)cur;
  const Reason *reason = &cursor->rows[cursor->at];
  switch (col) {
  case EXPLAIN_RULE:
    query_result_text(ctx, reason->rule);
    break;
  case EXPLAIN_KEY:
    query_result_text(ctx, reason->key);
    break;
  case EXPLAIN_DETAIL:
    query_result_text(ctx, reason->detail);
    break;
  default:
    sqlite3_result_int(ctx, strcmp(reason->verdict, "perhaps") != 0);
  }
  return SQLITE_OK;
}

const VtTable weave_explain_table = {
    .name = "weave_explain",
    .doc = "Why a model has no answer: a minimal set of rule rows that cannot all hold. No rows "
           "when there is one.",
    .needs = "solver: GLPK",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = explain_columns,
    .ncols = EXPLAIN_NCOL,
    .rows = 5,
    .seek_cost = 1e6,
    .cursor_size = sizeof(ReasonCursor),
    .seek = explain_seek,
    .step = reason_step,
    .column = explain_column,
};

/* ---- weave_whynot --------------------------------------------------------------------------- */

enum {
  WHYNOT_VERDICT,
  WHYNOT_RULE,
  WHYNOT_KEY,
  WHYNOT_DETAIL,
  WHYNOT_COST,
  WHYNOT_MODEL,
  WHYNOT_ROW,
  WHYNOT_VALUE,
  WHYNOT_COLUMN,
  WHYNOT_NCOL
};

static const VtColumn whynot_columns[] = {
    [WHYNOT_VERDICT] =
        {"verdict", "TEXT", VT_OUT, 0,
         "no candidate, forbidden, worse, equal, or perhaps (time ran out before it was proven)"},
    [WHYNOT_RULE] = {"rule", "TEXT", VT_OUT, 0, "rule that forbids it"},
    [WHYNOT_KEY] = {"key", "TEXT", VT_OUT, 0, "the row of that view, as JSON"},
    [WHYNOT_DETAIL] = {"detail", "TEXT", VT_OUT, 0, "the condition with its numbers, or the goals"},
    [WHYNOT_COST] = {"cost", "REAL", VT_OUT, 0,
                     "how much worse the goals of the first priority that suffers become"},
    [WHYNOT_MODEL] = {"model", "TEXT", VT_ARG | VT_MUST, 5, "name of the weave table"},
    [WHYNOT_ROW] = {"row", "", VT_ARG | VT_MUST, 0, "primary key (or rowid) of the row"},
    [WHYNOT_VALUE] = {"value", "", VT_ARG | VT_MUST | VT_NULLABLE, 0, "the value asked about"},
    [WHYNOT_COLUMN] = {"col", "TEXT", VT_ARG, 0,
                       "column, or table.column, when several are decided; default: the first with "
                       "such a row"},
};

static bool column_matches(const Decision *decision, const char *column) {
  if (!column) return true;
  const char *dot = strchr(column, '.');
  const Table *table = decision->table;
  if (dot && (strncasecmp(table->name, column, (size_t)(dot - column)) != 0 ||
              strlen(table->name) != (size_t)(dot - column))) {
    return false;
  }
  return !strcasecmp(table->columns[decision->column].name, dot ? dot + 1 : column);
}

/* Text and numbers that read the same are the same here: whynot('m', 7, …) and ('m', '7', …). */
static bool reads_same(Question *question, const Value *a, const Value *b) {
  if (value_is_null(a) || value_is_null(b)) return value_is_null(a) == value_is_null(b);
  Text x = {0}, y = {0};
  value_add_plain(&x, a);
  value_add_plain(&y, b);
  bool oom = x.oom || y.oom;
  bool same = !oom && strcmp(text_get(&x), text_get(&y)) == 0;
  if (oom) fault_oom(&question->fault);
  text_finish(&x);
  text_finish(&y);
  return same;
}

static Decision *find_row(Question *question, const Value *row, const char *column,
                          size_t *out_row) {
  Compiler *compiler = &question->compiler;
  for (size_t d = 0; d < compiler->ndecisions; d++) {
    Decision *decision = &compiler->decisions[d];
    if (!column_matches(decision, column)) continue;
    for (size_t r = 0; r < decision->table->nrows; r++) {
      if (decision->first[r] != VAR_ONE &&
          reads_same(question, row, &decision->table->row_labels[r])) {
        *out_row = r;
        return decision;
      }
    }
  }
  if (question->fault.code) return NULL;
  Text text = {0};
  value_add_plain(&text, row);
  fault_set(&question->fault, FAULT_NOTFOUND, "no decision %s%sis open for row %s",
            column ? column : "", column ? " " : "", text_get(&text) ? text_get(&text) : "?");
  text_finish(&text);
  return NULL;
}

static bool add_costs(Question *question, const Answer *best, const Answer *forced) {
  size_t first = best->nlevels;
  bool proven = best->status == SOLVE_OPTIMAL && forced->status == SOLVE_OPTIMAL;
  for (size_t l = 0; l < best->nlevels; l++) {
    double loss = best->objective[l] - forced->objective[l];
    double noise = best->noise[l] + forced->noise[l];
    if (fabs(loss) > noise) {
      first = l;
      break;
    }
  }
  Reason reason = {.verdict = "equal", .detail = "an answer as good takes this value", .cost = 0};
  char *detail = NULL;
  if (first < best->nlevels) {
    reason.cost = best->objective[first] - forced->objective[first];
    reason.verdict = !proven ? "perhaps" : reason.cost > 0 ? "worse" : "equal";
    detail = sqlite3_mprintf("goals of priority %d: %.6g instead of %.6g",
                             model_level(question->compiler.model, first), forced->objective[first],
                             best->objective[first]);
    if (!detail) return fault_oom(&question->fault);
    reason.detail = detail;
  }
  bool ok = add_reason(question->cursor, &reason) || fault_oom(&question->fault);
  sqlite3_free(detail);
  return ok;
}

/* Solve with the value forced: infeasible gives the rules, otherwise the price. */
static bool ask_forced(Question *question, Lit lit) {
  SolveOptions options = question->options;
  options.assume = &lit;
  options.nassume = 1;
  Answer forced = {0}, best = {0};
  const Model *model = question->compiler.model;
  int64_t half = (int64_t)(question->request.limit * 0.5e9);
  question->stop.deadline = clock_now() + half;
  bool ok = solver_solve(model, &options, &question->stop, &forced, &question->fault);
  question->stop.deadline = clock_now() + half;
  if (ok && forced.status == SOLVE_INFEASIBLE) {
    ok = add_core(question, &options, "forbidden");
  } else if (ok && forced.values) {
    ok = solver_solve(model, &question->options, &question->stop, &best, &question->fault);
    if (ok && best.values) ok = add_costs(question, &best, &forced);
  }
  bool open = forced.status != SOLVE_INFEASIBLE && !(forced.values && best.values);
  if (ok && open) {
    Reason reason = {
        .verdict = "perhaps", .detail = "no answer was found within the time limit", .cost = NAN};
    ok = add_reason(question->cursor, &reason) || fault_oom(&question->fault);
  }
  answer_finish(&forced);
  answer_finish(&best);
  return ok;
}

static bool ask_whynot(Question *question, const Value *row, const Value *value,
                       const char *column) {
  size_t r;
  Decision *decision = find_row(question, row, column, &r);
  if (!decision) return false;
  if (decision->numeric) {
    return fault_set(&question->fault, FAULT_UNSUPPORTED,
                     "%s.%s is a range of numbers; only candidates of a list can be asked about",
                     decision->table->name, decision->table->columns[decision->column].name);
  }
  const Domain *domain = &decision->domains[decision->domain[r]];
  for (int i = 0; i < domain->count; i++) {
    if (reads_same(question, value, &domain->values[i])) {
      return ask_forced(question, lit_of(decision->first[r] + i));
    }
  }
  if (question->fault.code) return false;
  Reason reason = {
      .verdict = "no candidate", .detail = "the DECIDE clause does not offer it", .cost = NAN};
  return add_reason(question->cursor, &reason) || fault_oom(&question->fault);
}

static int whynot_seek(VtCursor *cur, const VtPlan *plan) {
  Question question = {0};
  const char *name, *column;
  if (!vt_arg_text(cur->tab, plan, WHYNOT_MODEL, NULL, &name) ||
      !vt_arg_text(cur->tab, plan, WHYNOT_COLUMN, NULL, &column)) {
    return SQLITE_ERROR;
  }
  Value row = query_argument(vt_arg(plan, WHYNOT_ROW));
  Value value = query_argument(vt_arg(plan, WHYNOT_VALUE));
  bool ok = question_open(&question, cur, name) && ask_whynot(&question, &row, &value, column);
  return question_close(&question, cur, ok);
}

static int whynot_column(VtCursor *cur, sqlite3_context *ctx, int col) {
  const ReasonCursor *cursor = (const ReasonCursor *)cur;
  const Reason *reason = &cursor->rows[cursor->at];
  switch (col) {
  case WHYNOT_VERDICT:
    query_result_text(ctx, reason->verdict);
    break;
  case WHYNOT_RULE:
    query_result_text(ctx, reason->rule);
    break;
  case WHYNOT_KEY:
    query_result_text(ctx, reason->key);
    break;
  case WHYNOT_DETAIL:
    query_result_text(ctx, reason->detail);
    break;
  default:
    if (!isnan(reason->cost)) sqlite3_result_double(ctx, reason->cost);
  }
  return SQLITE_OK;
}

const VtTable weave_whynot_table = {
    .name = "weave_whynot",
    .doc = "Why a row may not, or would not, take a value: the rules that forbid it, or the price.",
    .needs = "solver: GLPK",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = whynot_columns,
    .ncols = WHYNOT_NCOL,
    .rows = 3,
    .seek_cost = 1e6,
    .cursor_size = sizeof(ReasonCursor),
    .seek = whynot_seek,
    .step = reason_step,
    .column = whynot_column,
};
