/*
** Asking SQLite about one answer: see weave.h.
**
** The solver computes with the model's sums, SQLite with the user's. Where the two may differ by
** rounding, the solver asks: the answer is written inside a savepoint, the user's views are run,
** and it is undone. What was found is kept, for solver and explanations come back to the same
** answers.
**
** An explanation leaves out requirements, one row of a rule at a time; so rows that are false are
** looked for by their keys, which is how the origins of requirements name them.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/weave/weave.h"

/* A row of a rule: where to see that it is false. */
typedef struct Place {
  int rule;
  sqlite3_stmt *query; /* NULL: a constraint of the schema */
} Place;

/* What SQLite says of one assignment. */
typedef struct Verdict {
  bool refused;      /* a constraint of the schema did not let it be written */
  uint8_t *broken;   /* per rule: some row is false */
  uint8_t *is_false; /* per place */
  double *levels;
} Verdict;

/* ---- rows by their keys --------------------------------------------------------------------- */

static sqlite3_stmt *place_query(Referee *referee, const Origin *origin, Fault *fault) {
  sqlite3 *db = referee->compiler->db;
  const Rule *rule = &referee->compiler->rules[origin->rule];
  Value key = {.type = VALUE_TEXT, .length = (uint32_t)strlen(origin->key), .bytes = origin->key};
  sqlite3_stmt *each = query_prepare(db, "SELECT key, value FROM json_each(?1)", fault);
  sqlite3_stmt *query = NULL;
  Text sql = {0};
  text_add(&sql, "SELECT 1 FROM ");
  text_add_name(&sql, rule->view->schema);
  text_addc(&sql, '.');
  text_add_name(&sql, rule->view->name);
  text_add(&sql, " WHERE NOT must");
  int step = each && query_bind(each, 1, &key, fault) ? 1 : -1;
  while (step == 1 && (step = query_step(each, fault)) == 1) {
    Value value = query_value(each, 1);
    text_add(&sql, " AND ");
    text_add_name(&sql, query_text(each, 0));
    text_add(&sql, " IS ");
    value_add_sql(&sql, &value);
  }
  query_finish(each);
  if (step == 0)
    query = sql.oom ? (fault_oom(fault), NULL) : query_prepare(db, text_get(&sql), fault);
  text_finish(&sql);
  return query;
}

bool origins_number_rows(const Compiler *compiler, int *out_rows, Fault *fault) {
  Map seen = {0};
  Text name = {0};
  int64_t *at = NULL;
  int rows = 0;
  for (size_t i = 0; i < compiler->norigins; i++) {
    const Origin *origin = &compiler->origins[i];
    bool added = false;
    text_clear(&name);
    text_addf(&name, "%d %s", origin->rule, origin->key ? origin->key : "");
    at = name.oom ? NULL : map_put(&seen, text_get(&name), name.length, rows, &added);
    if (!at) break;
    out_rows[i] = (int)*at;
    rows += added;
  }
  map_finish(&seen);
  text_finish(&name);
  return at || compiler->norigins == 0 || fault_oom(fault);
}

static bool add_place(Referee *referee, const Origin *origin, Fault *fault) {
  const Rule *rule = &referee->compiler->rules[origin->rule];
  Place *place = &referee->places[referee->nplaces++];
  *place = (Place){.rule = origin->rule};
  if (!rule->view) return true;
  place->query = place_query(referee, origin, fault);
  return place->query != NULL;
}

static bool add_places(Referee *referee, Fault *fault) {
  const Compiler *compiler = referee->compiler;
  size_t n = compiler->norigins;
  referee->places = arena_array(&referee->arena, n + 1, sizeof *referee->places);
  referee->place_of = arena_array(&referee->arena, n + 1, sizeof *referee->place_of);
  bool ok = (referee->places && referee->place_of) || fault_oom(fault);
  ok = ok && origins_number_rows(compiler, referee->place_of, fault);
  for (size_t i = 0; ok && i < n; i++) {
    bool first = referee->place_of[i] == (int)referee->nplaces;
    ok = !first || add_place(referee, &compiler->origins[i], fault);
  }
  return ok;
}

/* ---- one assignment ------------------------------------------------------------------------- */

typedef struct Look {
  Referee *referee;
  const Solution *solution;
  Verdict *verdict;
} Look;

/* 1: some row is false. */
static int rule_broken(sqlite3 *db, const RuleResult *rule, Fault *fault) {
  sqlite3_stmt *query = query_printf(
      db, fault, "SELECT 1 FROM \"%w\".\"%w\" WHERE NOT must LIMIT 1", rule->schema, rule->name);
  int step = query ? query_step(query, fault) : -1;
  query_finish(query);
  return step;
}

static bool look_at_rows(Look *look, size_t rule, Fault *fault) {
  Referee *referee = look->referee;
  for (size_t i = 0; i < referee->nplaces; i++) {
    const Place *place = &referee->places[i];
    if (place->rule != (int)rule || !place->query) continue;
    int step = query_step(place->query, fault);
    sqlite3_reset(place->query);
    if (step < 0) return false;
    look->verdict->is_false[i] = step == 1;
  }
  return true;
}

static bool look_at_answer(void *ctx, Fault *fault) {
  Look *look = ctx;
  sqlite3 *db = look->referee->compiler->db;
  const Model *model = look->referee->compiler->model;
  for (size_t i = 0; i < look->solution->nrules; i++) {
    const RuleResult *rule = &look->solution->rules[i];
    int broken = rule->schema && rule->must ? rule_broken(db, rule, fault) : 0;
    if (broken < 0 || (broken && !look_at_rows(look, i, fault))) return false;
    look->verdict->broken[i] = broken == 1;
    for (size_t l = 0; l < model_nlevels(model); l++) {
      double *total = &look->verdict->levels[l];
      if (rule->level != model_level(model, l)) continue;
      if (rule->maximize && !apply_goal_total(db, rule, true, total, fault)) return false;
      if (rule->minimize && !apply_goal_total(db, rule, false, total, fault)) return false;
    }
  }
  return true;
}

static bool add_verdict(Referee *referee, const double *values, Fault *fault) {
  Compiler *compiler = referee->compiler;
  Arena *arena = &referee->arena;
  Solution solution = {0};
  if (!array_grow(referee->verdicts, referee->capacity, referee->nverdicts + 1)) {
    return fault_oom(fault);
  }
  Verdict verdict = {.broken = arena_array(arena, compiler->nrules + 1, 1),
                     .is_false = arena_array(arena, referee->nplaces + 1, 1),
                     .levels =
                         arena_array(arena, model_nlevels(compiler->model) + 1, sizeof(double))};
  bool ok = (verdict.broken && verdict.is_false && verdict.levels) || fault_oom(fault);
  ok = ok && solution_read_changes(&solution, compiler, values, fault) &&
       solution_read_rules(&solution, compiler, fault);
  if (ok) {
    memset(verdict.broken, 0, compiler->nrules);
    memset(verdict.is_false, 0, referee->nplaces);
    memset(verdict.levels, 0, model_nlevels(compiler->model) * sizeof(double));
    Look look = {referee, &solution, &verdict};
    ok = apply_try(compiler->db, &solution, look_at_answer, &look, &verdict.refused, fault);
  }
  solution_finish(&solution);
  if (ok) referee->verdicts[referee->nverdicts++] = verdict;
  return ok;
}

/* Which values the decisions take. */
static void add_assignment(Text *key, const Compiler *compiler, const double *values) {
  for (size_t d = 0; d < compiler->ndecisions; d++) {
    const Decision *decision = &compiler->decisions[d];
    for (size_t row = 0; row < decision->table->nrows; row++) {
      Var first = decision->first[row];
      if (first == VAR_ONE) continue;
      double chosen = values[first];
      if (!decision->numeric) {
        chosen = 0;
        while (chosen < decision->domains[decision->domain[row]].count &&
               values[first + (Var)chosen] < 0.5) {
          chosen++;
        }
      }
      text_addn(key, (const char *)&chosen, sizeof chosen);
    }
  }
}

static bool find_verdict(Referee *referee, const double *values, const Verdict **out,
                         Fault *fault) {
  Text key = {0};
  add_assignment(&key, referee->compiler, values);
  bool added = false;
  int64_t *at = key.oom ? NULL
                        : map_put(&referee->known, text_get(&key), key.length,
                                  (int64_t)referee->nverdicts, &added);
  text_finish(&key);
  if (!at) return fault_oom(fault);
  if (*at >= (int64_t)referee->nverdicts) { /* new, or it failed last time */
    *at = (int64_t)referee->nverdicts;
    if (!add_verdict(referee, values, fault)) return false;
  }
  *out = &referee->verdicts[*at];
  return true;
}

/* ---- answering ------------------------------------------------------------------------------ */

static bool any_constraint_skipped(const Referee *referee, const uint8_t *skip) {
  const Compiler *compiler = referee->compiler;
  for (size_t i = 0; i < compiler->norigins; i++) {
    if (skip[i] && !compiler->rules[compiler->origins[i].rule].view) return true;
  }
  return false;
}

/* A row of several requirements of which some are left out: which of them it is that is false, only
** the model can tell. */
static bool row_holds(const Referee *referee, const double *values, const uint8_t *skip,
                      size_t place, uint8_t *own) {
  size_t n = referee->compiler->norigins, left = 0, skipped = 0;
  for (size_t i = 0; i < n; i++) {
    bool here = referee->place_of[i] == (int)place;
    own[i] = !here || skip[i];
    left += here && !skip[i];
    skipped += here && skip[i];
  }
  if (left == 0) return true;
  return skipped > 0 && model_holds(referee->compiler->model, values, own);
}

static bool rows_hold(const Referee *referee, const Verdict *verdict, const double *values,
                      const uint8_t *skip, uint8_t *own) {
  for (size_t r = 0; r < referee->compiler->nrules; r++) {
    bool found = !verdict->broken[r];
    for (size_t i = 0; i < referee->nplaces; i++) {
      if (!verdict->is_false[i] || referee->places[i].rule != (int)r) continue;
      found = true;
      if (!row_holds(referee, values, skip, i, own)) return false;
    }
    if (!found) return model_holds(referee->compiler->model, values, skip);
  }
  return true;
}

static bool ask(void *ctx, const double *values, const uint8_t *skip, bool *out_holds,
                double *out_levels, Fault *fault) {
  Referee *referee = ctx;
  const Model *model = referee->compiler->model;
  const Verdict *verdict = NULL;
  if (!find_verdict(referee, values, &verdict, fault)) return false;
  memcpy(out_levels, verdict->levels, model_nlevels(model) * sizeof *out_levels);
  bool broken = verdict->refused;
  for (size_t i = 0; i < referee->compiler->nrules; i++) broken = broken || verdict->broken[i];
  *out_holds = !broken;
  if (!broken || !skip || !referee->place_of) return true;
  if (verdict->refused) {
    *out_holds = any_constraint_skipped(referee, skip) && model_holds(model, values, skip);
    return true;
  }
  uint8_t *own = malloc(referee->compiler->norigins + 1);
  if (!own) return fault_oom(fault);
  *out_holds = rows_hold(referee, verdict, values, skip, own);
  free(own);
  return true;
}

bool referee_open(Referee *referee, Compiler *compiler, SolveOptions *options, Fault *fault) {
  *referee = (Referee){.compiler = compiler};
  if (model_exact(compiler->model)) return true;
  referee->judge = (Judge){ask, referee};
  options->judge = &referee->judge;
  return !compiler->record_origins || add_places(referee, fault);
}

void referee_close(Referee *referee) {
  for (size_t i = 0; i < referee->nplaces; i++) query_finish(referee->places[i].query);
  map_finish(&referee->known);
  free(referee->verdicts);
  arena_finish(&referee->arena);
}
