/*
** One solve: compile, solve, read the answer, verify it. See weave.h.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/weave.h"

void solution_finish(Solution *solution) {
  arena_finish(&solution->arena);
  *solution = (Solution){0};
}

double solution_gap(const Solution *solution, size_t level) {
  double objective = solution->objective[level], bound = solution->bound[level];
  if (!isfinite(objective) || !isfinite(bound)) return INFINITY;
  double gap = bound - objective;
  return gap <= 0 ? 0 : gap / fmax(1e-9, fmax(fabs(objective), fabs(bound)));
}

/* ---- options -------------------------------------------------------------------------------- */

static bool read_option(const char *key, const Value *value, SolveRequest *out, Fault *fault) {
  double number = value_number(value);
  if (!strcmp(key, "progress")) {
    if (value->type != VALUE_TEXT || value->length == 0 || value->length >= sizeof out->progress) {
      return fault_set(fault, FAULT_INVALID,
                       "option \"progress\" must be the name of an SQL function of 4 arguments");
    }
    memcpy(out->progress, value->bytes, value->length);
    return true;
  }
  if (!value_is_number(value)) {
    return fault_set(fault, FAULT_INVALID, "option \"%s\" must be a number", key);
  }
  if (!strcmp(key, "limit")) {
    if (!(number > 0) || number > 86400) {
      return fault_set(fault, FAULT_INVALID,
                       "option \"limit\" is %g s, expected above 0 and at most 86400", number);
    }
    out->limit = number;
  } else if (!strcmp(key, "gap")) {
    if (!(number >= 0) || number > 1) {
      return fault_set(fault, FAULT_INVALID, "option \"gap\" is %g, expected 0 to 1", number);
    }
    out->gap = number;
  } else if (!strcmp(key, "seed")) {
    if (!(number >= 0) || number > 9007199254740992.0) {
      return fault_set(fault, FAULT_INVALID, "option \"seed\" is %g, expected 0 to 2^53", number);
    }
    out->seed = (uint64_t)number;
  } else {
    return fault_set(fault, FAULT_INVALID,
                     "unknown option \"%s\"; there are limit, gap, seed, progress", key);
  }
  return true;
}

bool request_parse(sqlite3 *db, const char *json, const Declaration *declaration, SolveRequest *out,
                   Fault *fault) {
  *out = (SolveRequest){.limit = declaration->limit > 0 ? declaration->limit : 10};
  if (!json) return true;
  sqlite3_stmt *each = query_prepare(db, "SELECT key, value FROM json_each(?1)", fault);
  Value text = {.type = VALUE_TEXT, .length = (uint32_t)strlen(json), .bytes = json};
  bool ok = each && query_bind(each, 1, &text, fault);
  int step = 0;
  while (ok && (step = query_step(each, fault)) == 1) {
    Value value = query_value(each, 1);
    const char *key = (const char *)sqlite3_column_text(each, 0);
    ok = key ? read_option(key, &value, out, fault)
             : fault_set(fault, FAULT_INVALID, "options must be a JSON object");
  }
  query_finish(each);
  return ok && step == 0;
}

/* ---- the answer ----------------------------------------------------------------------------- */

/* The value a row's decision has in the answer. */
static bool answer_value(const Decision *decision, size_t row, const double *values, Value *out) {
  if (decision->numeric) {
    double number = values[decision->first[row]];
    *out = decision->integral ? value_integer(llround(number)) : value_real(number);
    if (decision->affinity == SQL_AFFINITY_REAL && decision->integral) {
      *out = value_real((double)out->integer);
    }
    return true;
  }
  const Domain *domain = &decision->domains[decision->domain[row]];
  for (int i = 0; i < domain->count; i++) {
    if (values[decision->first[row] + i] > 0.5) {
      *out = domain->values[i];
      return true;
    }
  }
  return false;
}

static bool same_value(const Value *a, const Value *b) {
  if (value_is_null(a) || value_is_null(b)) return value_is_null(a) == value_is_null(b);
  return a->type == b->type && value_compare(a, b, COLLATION_BINARY) == 0;
}

/* The key of a row is shared by all changes of it. */
static bool add_key(Solution *solution, const Table *table, size_t row, Change *change) {
  Arena *arena = &solution->arena;
  size_t nk = (size_t)table->nkeys;
  Value *key = arena_array(arena, nk, sizeof *key);
  const char **keys = arena_array(arena, nk, sizeof *keys);
  if (!key || !keys) return false;
  for (size_t k = 0; k < nk; k++) {
    keys[k] = arena_strdup(arena, table->keys[k]);
    if (!keys[k] || !value_copy(arena, &table->row_keys[row * nk + k], &key[k])) return false;
  }
  change->keys = keys;
  change->key = key;
  change->nkeys = table->nkeys;
  return true;
}

static bool add_change(Solution *solution, const Decision *decision, size_t row, const Value *after,
                       const Change *same_row, Change *out) {
  const Table *table = decision->table;
  Arena *arena = &solution->arena;
  *out = (Change){.schema = arena_strdup(arena, table->schema),
                  .table = arena_strdup(arena, table->name),
                  .column = arena_strdup(arena, table->columns[decision->column].name)};
  if (same_row) {
    out->keys = same_row->keys;
    out->key = same_row->key;
    out->nkeys = same_row->nkeys;
  }
  return out->schema && out->table && out->column &&
         (same_row || add_key(solution, table, row, out)) &&
         value_copy(arena, &table->row_labels[row], &out->label) &&
         value_copy(arena, &decision->present[row], &out->before) &&
         value_copy(arena, after, &out->after);
}

/* The changes of one row, side by side. */
static bool read_row(Solution *solution, const Compiler *compiler, const Table *table, size_t row,
                     const double *values, size_t *capacity, Change **list, Fault *fault) {
  const Change *same_row = NULL;
  size_t first = solution->nchanges;
  for (size_t d = 0; d < compiler->ndecisions; d++) {
    const Decision *decision = &compiler->decisions[d];
    Value after;
    if (decision->table != table || decision->first[row] == VAR_ONE) continue;
    if (!answer_value(decision, row, values, &after)) {
      return fault_set(fault, FAULT_INTERNAL, "the answer leaves a decision open");
    }
    if (same_value(&decision->present[row], &after)) continue;
    if (!array_grow(*list, *capacity, solution->nchanges + 1)) return fault_oom(fault);
    if (solution->nchanges > first) same_row = &(*list)[first];
    Change *change = &(*list)[solution->nchanges];
    if (!add_change(solution, decision, row, &after, same_row, change)) return fault_oom(fault);
    solution->nchanges++;
  }
  return true;
}

bool solution_read_changes(Solution *solution, const Compiler *compiler, const double *values,
                           Fault *fault) {
  Change *list = NULL;
  size_t capacity = 0;
  bool ok = true;
  for (size_t d = 0; d < compiler->ndecisions && ok; d++) {
    const Table *table = compiler->decisions[d].table;
    bool seen = false;
    for (size_t e = 0; e < d; e++) seen |= compiler->decisions[e].table == table;
    for (size_t row = 0; !seen && row < table->nrows && ok; row++) {
      ok = read_row(solution, compiler, table, row, values, &capacity, &list, fault);
    }
  }
  solution->changes = arena_array(&solution->arena, solution->nchanges, sizeof *list);
  if (ok && !solution->changes) ok = fault_oom(fault);
  if (ok && solution->nchanges) {
    memcpy(solution->changes, list, solution->nchanges * sizeof *list);
  }
  free(list);
  return ok;
}

bool solution_read_rules(Solution *solution, const Compiler *compiler, Fault *fault) {
  solution->nrules = compiler->nrules;
  solution->rules = arena_array(&solution->arena, compiler->nrules, sizeof *solution->rules);
  if (!solution->rules) return fault_oom(fault);
  for (size_t i = 0; i < compiler->nrules; i++) {
    const Rule *rule = &compiler->rules[i];
    RuleResult *result = &solution->rules[i];
    *result = (RuleResult){.name = arena_strdup(&solution->arena, rule->name),
                           .must = rule->must >= 0,
                           .level = rule->level,
                           .maximize = rule->maximize >= 0,
                           .minimize = rule->minimize >= 0};
    if (rule->view) result->schema = arena_strdup(&solution->arena, rule->view->schema);
    if (!result->name || (rule->view && !result->schema)) return fault_oom(fault);
  }
  return true;
}

static bool read_levels(Solution *solution, const Compiler *compiler, const Answer *answer,
                        Fault *fault) {
  size_t n = model_nlevels(compiler->model);
  Arena *arena = &solution->arena;
  solution->nlevels = n;
  solution->levels = arena_array(arena, n, sizeof *solution->levels);
  solution->objective = arena_array(arena, n, sizeof *solution->objective);
  solution->bound = arena_array(arena, n, sizeof *solution->bound);
  if (!solution->levels || !solution->objective || !solution->bound) return fault_oom(fault);
  for (size_t i = 0; i < n; i++) {
    solution->levels[i] = model_level(compiler->model, i);
    solution->objective[i] = answer->values && answer->objective ? answer->objective[i] : NAN;
    solution->bound[i] = answer->bound ? answer->bound[i] : INFINITY;
  }
  return true;
}

static void add_phase(Solution *solution, const char *name, double seconds) {
  if (solution->nphases < (int)countof(solution->phases)) {
    solution->phases[solution->nphases++] = (SolvePhase){name, seconds};
  }
}

static void read_sizes(Solution *solution, const Compiler *compiler, const Answer *answer) {
  solution->rows = answer->rows;
  solution->columns = answer->columns;
  solution->nonzeros = answer->nonzeros;
  solution->groups = answer->groups;
  solution->nodes = answer->nodes;
  solution->tuples = compiler->tuples;
  solution->statements = compiler->statements;
  for (size_t d = 0; d < compiler->ndecisions; d++) {
    const Decision *decision = &compiler->decisions[d];
    for (size_t row = 0; row < decision->table->nrows; row++) {
      if (decision->first[row] == VAR_ONE) continue;
      solution->choices++;
      if (!decision->numeric) {
        solution->candidates += (size_t)decision->domains[decision->domain[row]].count;
      }
    }
  }
  for (int i = 0; i < answer->nphases; i++) {
    add_phase(solution, answer->phases[i].name, answer->phases[i].seconds);
  }
}

/* ---- progress ------------------------------------------------------------------------------- */

typedef struct Progress {
  sqlite3_stmt *call; /* SELECT f(?1, ?2, ?3, ?4) */
  Stop *stop;
} Progress;

static void bind_number(sqlite3_stmt *statement, int index, double value) {
  if (isfinite(value)) {
    sqlite3_bind_double(statement, index, value);
  } else {
    sqlite3_bind_null(statement, index);
  }
}

/* The user's function ends the search with the best answer so far by returning something true. */
static void report_progress(void *ctx, const char *phase, double seconds, double objective,
                            double bound) {
  Progress *progress = ctx;
  Fault fault = {0};
  sqlite3_bind_text(progress->call, 1, phase, -1, SQLITE_TRANSIENT);
  bind_number(progress->call, 2, seconds);
  bind_number(progress->call, 3, objective);
  bind_number(progress->call, 4, bound);
  int step = query_step(progress->call, &fault);
  if (step < 0 || (step == 1 && sqlite3_column_int(progress->call, 0))) {
    stop_request(progress->stop);
  }
  sqlite3_reset(progress->call);
}

static bool progress_open(sqlite3 *db, const SolveRequest *request, Stop *stop, Progress *out,
                          SolveOptions *options, Fault *fault) {
  *out = (Progress){.stop = stop};
  if (!request->progress[0]) return true;
  out->call = query_printf(db, fault, "SELECT \"%w\"(?1, ?2, ?3, ?4)", request->progress);
  if (!out->call) return fault_prefix(fault, "option \"progress\": ");
  options->progress = report_progress;
  options->progress_ctx = out;
  return true;
}

/* ---- running -------------------------------------------------------------------------------- */

static bool solve_model(sqlite3 *db, Compiler *compiler, const SolveRequest *request, Stop *stop,
                        Solution *solution, Fault *fault) {
  Answer answer = {0};
  SolveOptions options = {.gap = request->gap, .seed = request->seed};
  Progress progress;
  Referee referee;
  if (!progress_open(db, request, stop, &progress, &options, fault)) return false;
  bool ok = referee_open(&referee, compiler, &options, fault) &&
            solver_solve(compiler->model, &options, stop, &answer, fault);
  referee_close(&referee);
  query_finish(progress.call);
  if (ok) {
    solution->status = answer.status;
    read_sizes(solution, compiler, &answer);
    ok = read_levels(solution, compiler, &answer, fault) &&
         solution_read_rules(solution, compiler, fault) &&
         (!answer.values || solution_read_changes(solution, compiler, answer.values, fault));
  }
  if (ok && answer.values) {
    int64_t start = clock_now();
    ok = apply_verify(compiler, solution, fault);
    add_phase(solution, "verify", (double)(clock_now() - start) / 1e9);
  }
  answer_finish(&answer);
  return ok;
}

bool weave_run(WeaveTab *tab, const SolveRequest *request, Stop *stop, Fault *fault) {
  Solution solution = {.solved = true};
  Compiler compiler;
  int64_t start = clock_now();
  stop->deadline = start + (int64_t)(request->limit * 1e9);
  bool ok = compile(&compiler, tab->base.db, &tab->declaration, false, stop, fault);
  add_phase(&solution, "rows", compiler.seconds_domain);
  add_phase(&solution, "rules", compiler.seconds_rules);
  if (!ok && fault->code == FAULT_TIMEOUT) {
    /* Not an error: the time was too short to know anything. */
    fault_clear(fault);
    solution.status = SOLVE_UNKNOWN;
    ok = true;
  } else if (ok) {
    ok = solve_model(tab->base.db, &compiler, request, stop, &solution, fault);
  }
  compiler_finish(&compiler);
  solution.seconds = (double)(clock_now() - start) / 1e9;
  if (ok) {
    solution_finish(&tab->solution);
    tab->solution = solution;
  } else {
    solution_finish(&solution);
  }
  return ok;
}
