/*
** Building a model: variables, requirements, goals. See model.h for the contract, store.h for the
** layout. Definitions are in define.c, evaluation in evaluate.c.
*/
#include "solver/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/store.h"

static const double MAX_INTEGER = 9007199254740992.0; /* 2^53 */
enum { MAX_VARS = 1 << 29 };                          /* a Lit is a Var and one bit */

bool model_fail(Model *model, FaultCode code, const char *what) {
  if (code == FAULT_NOMEM) return fault_oom(&model->fault);
  return fault_set(&model->fault, code, "model: %s", what);
}

Model *model_create(void) {
  Model *model = calloc(1, sizeof *model);
  if (!model) return NULL;
  if (!array_extend(model->vars, model->vars_capacity, 64)) {
    free(model);
    return NULL;
  }
  model->vars[0] = (VarInfo){.lo = 1, .hi = 1, .owner = -1, .kind = VAR_CONSTANT, .integral = true};
  model->nvars = 1;
  return model;
}

void model_destroy(Model *model) {
  if (!model) return;
  for (size_t i = 0; i < model->ngoals; i++) lin_finish(&model->goals[i].lin);
  free(model->vars);
  free(model->choices);
  free(model->tallies);
  free(model->members);
  free(model->chosen);
  map_finish(&model->known_tallies);
  free(model->numbers);
  free(model->starts);
  free(model->terms);
  free(model->reqs);
  free(model->defs);
  free(model->items);
  free(model->table);
  free(model->goals);
  lin_finish(&model->scratch);
  free(model);
}

bool model_ok(const Model *model) { return model->fault.code == FAULT_NONE; }
const Fault *model_fault(const Model *model) { return &model->fault; }
size_t model_nvars(const Model *model) { return model->nvars; }

/* ---- variables */

static bool reserve_vars(Model *model, size_t count) {
  if (!model_ok(model)) return false;
  if (count > MAX_VARS - model->nvars) {
    return model_fail(model, FAULT_LIMIT, "more than 2^29 variables");
  }
  if (!array_extend(model->vars, model->vars_capacity, model->nvars + count)) {
    return model_fail(model, FAULT_NOMEM, NULL);
  }
  return true;
}

Var model_new_var(Model *model, VarKind kind, double lo, double hi, int grid, int32_t owner) {
  if (!reserve_vars(model, 1)) return VAR_ONE;
  if (kind == VAR_INTEGER || kind == VAR_REAL) {
    if (!array_grow(model->numbers, model->numbers_capacity, model->nnumbers + 1)) {
      model_fail(model, FAULT_NOMEM, NULL);
      return VAR_ONE;
    }
    model->numbers[model->nnumbers++] = (Var)model->nvars;
  }
  model->vars[model->nvars] = (VarInfo){lo, hi, owner, (uint8_t)kind, grid == 0, (int8_t)grid};
  return (Var)model->nvars++;
}

Var model_new_vars(Model *model, VarKind kind, size_t count, double hi, int32_t owner) {
  if (!reserve_vars(model, count)) return VAR_ONE;
  Var first = (Var)model->nvars;
  double lo = count == 1 ? hi : 0; /* the only value there is */
  for (size_t i = 0; i < count; i++) {
    model->vars[model->nvars++] = (VarInfo){lo, hi, owner, (uint8_t)kind, true, 0};
  }
  return first;
}

Var model_choice(Model *model, int count) {
  if (!model_ok(model)) return VAR_ONE;
  if (count < 1) {
    fault_set(&model->fault, FAULT_INVALID, "model: a choice among %d values", count);
    return VAR_ONE;
  }
  if (!array_grow(model->choices, model->choices_capacity, model->nchoices + 1) ||
      !array_grow(model->chosen, model->chosen_capacity, model->nchoices + 1)) {
    model_fail(model, FAULT_NOMEM, NULL);
    return VAR_ONE;
  }
  Var first = model_new_vars(model, VAR_VALUE, (size_t)count, 1, (int32_t)model->nchoices);
  if (first == VAR_ONE) return VAR_ONE;
  model->choices[model->nchoices++] = (Choice){first, count, -1};
  return first;
}

/* Others follow, tallies and derived ones: growing for these would copy all the rest. */
void model_expect(Model *model, size_t count) {
  if (count <= (MAX_VARS - model->nvars) / 2) count += count / 2;
  reserve_vars(model, count);
}

int32_t model_choice_of(const Model *model, Var var) {
  if (var < 0 || (size_t)var >= model->nvars || model->vars[var].kind != VAR_VALUE) return -1;
  return model->vars[var].owner;
}

static bool bounds_valid(Model *model, const char *kind, double lo, double hi) {
  if (!model_ok(model)) return false;
  if (!isfinite(lo) || !isfinite(hi) || lo > hi) {
    return fault_set(&model->fault, FAULT_INVALID, "model: %s with bounds %g and %g", kind, lo, hi);
  }
  return true;
}

Var model_integer(Model *model, double lo, double hi) {
  if (!bounds_valid(model, "integer", lo, hi)) return VAR_ONE;
  if (lo < -MAX_INTEGER || hi > MAX_INTEGER) {
    fault_set(&model->fault, FAULT_LIMIT,
              "model: integer with bounds %.17g and %.17g, the limit "
              "is 2^53",
              lo, hi);
    return VAR_ONE;
  }
  if (ceil(lo) > floor(hi)) {
    fault_set(&model->fault, FAULT_INVALID, "model: no integer between %g and %g", lo, hi);
    return VAR_ONE;
  }
  return model_new_var(model, VAR_INTEGER, ceil(lo), floor(hi), 0, -1);
}

Var model_real(Model *model, double lo, double hi) {
  if (!bounds_valid(model, "real", lo, hi)) return VAR_ONE;
  return model_new_var(model, VAR_REAL, lo, hi, -1, -1);
}

static bool var_exists(Model *model, Var var) {
  if (!model_ok(model)) return false;
  if (var >= 0 && (size_t)var < model->nvars) return true;
  return fault_set(&model->fault, FAULT_INVALID, "model: no variable %d among %zu", (int)var,
                   model->nvars);
}

void model_start_choice(Model *model, Var first, int index) {
  if (!var_exists(model, first)) return;
  const VarInfo *info = &model->vars[first];
  if (info->kind != VAR_VALUE || model->choices[info->owner].first != first || index < 0 ||
      index >= model->choices[info->owner].count) {
    fault_set(&model->fault, FAULT_INVALID, "model: variable %d is no choice with a value %d",
              (int)first, index);
    return;
  }
  model->choices[info->owner].start = index;
}

void model_start_number(Model *model, Var var, double value) {
  if (!var_exists(model, var)) return;
  VarKind kind = (VarKind)model->vars[var].kind;
  if ((kind != VAR_INTEGER && kind != VAR_REAL) || !isfinite(value)) {
    fault_set(&model->fault, FAULT_INVALID,
              "model: start value %g for variable %d, which is not "
              "a number to decide",
              value, (int)var);
    return;
  }
  if (!array_grow(model->starts, model->starts_capacity, model->nstarts + 1)) {
    model_fail(model, FAULT_NOMEM, NULL);
    return;
  }
  model->starts[model->nstarts++] = (NumberStart){var, value};
}

/* ---- normal form */

/* Replace names of expressions by the expressions, fixed variables by their values. Returns
** whether anything but a plain copy happened. */
static bool expand(Model *model, const Term *terms, size_t count, double factor, int depth) {
  Lin *to = &model->scratch;
  for (size_t i = 0; i < count; i++) {
    Term term = terms[i];
    if (!var_exists(model, term.var)) return false;
    double coef = term.coef * factor;
    if (!isfinite(coef))
      return model_fail(model, FAULT_INVALID, "numbers overflow: a factor is beyond 1.8e308");
    const VarInfo *info = &model->vars[term.var];
    if (info->lo == info->hi) {
      lin_add(to, VAR_ONE, coef * info->lo);
      continue;
    }
    const Definition *def = info->kind == VAR_DERIVED ? &model->defs[info->owner] : NULL;
    if (def && def->kind == DEF_PRODUCT && def->lit == LIT_TRUE && depth == 0) {
      lin_add(to, VAR_ONE, coef * def->bound);
      to->rough += fabs(coef) * def->rough;
      if (!expand(model, model->terms + def->span.start, def->span.count, coef, 1)) return false;
      continue;
    }
    lin_add(to, term.var, coef);
  }
  return true;
}

static bool finish_fold(Model *model) {
  Lin *to = &model->scratch;
  if (to->oom) {
    to->oom = false;
    return model_fail(model, FAULT_NOMEM, NULL);
  }
  lin_normalize(to);
  if (!isfinite(to->constant))
    return model_fail(model, FAULT_INVALID, "numbers overflow: a sum is beyond 1.8e308");
  for (size_t i = 0; i < to->count; i++) {
    if (!isfinite(to->terms[i].coef)) {
      return model_fail(model, FAULT_INVALID, "numbers overflow: a factor is beyond 1.8e308");
    }
  }
  return true;
}

bool model_fold(Model *model, const Lin *lin) {
  if (!model_ok(model)) return false;
  if (lin->oom) return model_fail(model, FAULT_NOMEM, NULL);
  model->scratch.count = 0;
  model->scratch.constant = lin->constant;
  model->scratch.rough = lin->rough;
  if (!number_is_binary(lin->constant)) model->scratch.rough += fabs(lin->constant);
  if (!expand(model, lin->terms, lin->count, 1, 0)) return false;
  return finish_fold(model);
}

bool model_fold_lits(Model *model, const Lit *lits, size_t count, double coef) {
  if (!model_ok(model)) return false;
  Lin *to = &model->scratch;
  to->count = 0;
  to->constant = to->rough = 0;
  for (size_t i = 0; i < count; i++) {
    if (lits[i] < 0 || !var_exists(model, lit_var(lits[i]))) {
      return model_fail(model, FAULT_INVALID, "a literal of no variable");
    }
    const VarInfo *info = &model->vars[lit_var(lits[i])];
    if (!info->integral || info->lo < 0 || info->hi > 1) {
      return fault_set(&model->fault, FAULT_INVALID,
                       "model: variable %d is used as a literal but "
                       "ranges over %g to %g",
                       (int)lit_var(lits[i]), info->lo, info->hi);
    }
    if (info->lo == info->hi) {
      to->constant += (info->lo > 0.5) != lit_negative(lits[i]) ? coef : 0;
    } else {
      lin_add_lit(to, lits[i], coef);
    }
  }
  return finish_fold(model);
}

bool model_keep(Model *model, Span *out) {
  const Lin *from = &model->scratch;
  if (!array_extend(model->terms, model->terms_capacity, model->nterms + from->count)) {
    return model_fail(model, FAULT_NOMEM, NULL);
  }
  *out = (Span){model->nterms, from->count};
  if (from->count) {
    memcpy(model->terms + model->nterms, from->terms, from->count * sizeof *from->terms);
  }
  model->nterms += from->count;
  return true;
}

/* ---- requirements */

static bool holds_always(ModelSense sense, double bound, double lo, double hi, double noise) {
  if (sense == MODEL_LE) return hi <= bound - noise;
  if (sense == MODEL_GE) return lo >= bound + noise;
  return noise == 0 && lo == bound && hi == bound;
}

/* Post model->scratch as a requirement, its constant moved to the right. `noise`: at least. */
static void post(Model *model, ModelSense sense, double bound, double noise, int tag) {
  bound -= model->scratch.constant;
  if (!isfinite(bound)) {
    model_fail(model, FAULT_INVALID, "numbers overflow: a bound is beyond 1.8e308");
    return;
  }
  if (tag < 0) {
    fault_set(&model->fault, FAULT_INVALID, "model: tag %d is negative", tag);
    return;
  }
  double lo, hi;
  const Lin *from = &model->scratch;
  span_bounds(model, from->terms, from->count, NULL, &lo, &hi);
  bool integral = terms_integral(model, from->terms, from->count);
  noise = fmax(noise, model_noise(model, from, integral, bound, lo, hi));
  if (holds_always(sense, bound, lo, hi, noise)) return;
  if (!isfinite(noise)) {
    model_fail(model, FAULT_INVALID, "numbers overflow: a sum may be beyond 1.8e308");
    return;
  }
  Requirement req = {.bound = bound, .slack = noise, .tag = tag, .sense = (uint8_t)sense};
  if (noise > 0) model->rounds = true;
  if (!model_keep(model, &req.span)) return;
  if (!array_extend(model->reqs, model->reqs_capacity, model->nreqs + 1)) {
    model_fail(model, FAULT_NOMEM, NULL);
    return;
  }
  model->reqs[model->nreqs++] = req;
}

void model_require(Model *model, const Lin *lin, ModelSense sense, double bound, int tag) {
  if (model_fold(model, lin)) post(model, sense, bound, 0, tag);
}

void model_require_clause(Model *model, const Lit *lits, size_t count, int tag) {
  if (model_fold_lits(model, lits, count, 1)) post(model, MODEL_GE, 1, 0, tag);
}

void model_require_at_most(Model *model, Var var, double most, int tag) {
  Term term = {var, 1};
  Lin lin = {.terms = &term, .count = 1}; /* only read */
  model_require(model, &lin, MODEL_LE, most, tag);
}

void model_require_at_most_one(Model *model, const Lit *lits, size_t count, int tag) {
  if (model_fold_lits(model, lits, count, 1)) post(model, MODEL_LE, 1, 0, tag);
}

static Lit member_lit(const Model *model, size_t at) {
  Term term = model->terms[at];
  return term.coef > 0 ? lit_of(term.var) : lit_not(lit_of(term.var));
}

/* A true AND is its members, one by one: shorter rows. A false one is a clause. */
static void require_and(Model *model, Span span, bool negative, int tag) {
  Lin *row = &model->scratch;
  if (!negative) {
    for (size_t i = 0; i < span.count; i++) {
      Lit member = member_lit(model, span.start + i);
      if (!model_fold_lits(model, &member, 1, 1)) return;
      post(model, MODEL_GE, 1, 0, tag);
    }
    return;
  }
  row->count = 0;
  row->constant = row->rough = 0;
  for (size_t i = 0; i < span.count; i++) lin_add_lit(row, member_lit(model, span.start + i), 1);
  if (finish_fold(model)) post(model, MODEL_LE, (double)span.count - 1, 0, tag);
}

void model_require_lit(Model *model, Lit lit, int tag) {
  if (!model_fold_lits(model, &lit, 1, 1)) return;
  const VarInfo *info = &model->vars[lit_var(lit)];
  const Definition *def =
      info->kind == VAR_DERIVED && model->scratch.count ? &model->defs[info->owner] : NULL;
  bool negative = lit_negative(lit);
  if (def && def->kind == DEF_AND) {
    require_and(model, def->span, negative, tag);
  } else if (def && def->kind == DEF_LE &&
             (!negative || def->step > 1e-5 * (1 + fabs(def->bound)))) {
    /* A strict comparison of reals stays a literal: it is evaluated exactly, a row is not. */
    double bound = negative ? def->bound + def->step : def->bound, noise = def->noise;
    Lin from = {.terms = model->terms + def->span.start, .count = def->span.count};
    if (model_fold(model, &from)) post(model, negative ? MODEL_GE : MODEL_LE, bound, noise, tag);
  } else {
    post(model, MODEL_GE, 1, 0, tag);
  }
}

/* ---- goals */

void model_goal(Model *model, int level, bool maximize, const Lin *lin) {
  if (!model_fold(model, lin)) return;
  size_t at = 0;
  while (at < model->ngoals && model->goals[at].level < level) at++;
  if (at == model->ngoals || model->goals[at].level != level) {
    if (!array_grow(model->goals, model->goals_capacity, model->ngoals + 1)) {
      model_fail(model, FAULT_NOMEM, NULL);
      return;
    }
    memmove(model->goals + at + 1, model->goals + at, (model->ngoals - at) * sizeof *model->goals);
    model->goals[at] = (Goal){.level = level};
    model->ngoals++;
  }
  Lin *sum = &model->goals[at].lin;
  lin_add_lin(sum, &model->scratch, maximize ? 1 : -1);
  if (sum->oom) {
    model_fail(model, FAULT_NOMEM, NULL);
    return;
  }
  lin_normalize(sum);
  double lo, hi;
  span_bounds(model, sum->terms, sum->count, NULL, &lo, &hi);
  bool integral = terms_integral(model, sum->terms, sum->count);
  model->goals[at].noise = model_noise(model, sum, integral, 0, lo, hi);
  if (!isfinite(model->goals[at].noise)) {
    model_fail(model, FAULT_INVALID, "numbers overflow: a goal may be beyond 1.8e308");
  }
  if (model->goals[at].noise > 0) model->rounds = true;
}

size_t model_nlevels(const Model *model) { return model->ngoals; }
int model_level(const Model *model, size_t i) { return model->goals[i].level; }
