/*
** Presolve, first half: bounds and reach. The second half is in merge.c and groups.c.
*/
#include "solver/presolve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Long rows are left to the network, where they are shorter and read in order. */
enum { SWEEPS = 3, LONG_ROW = 16 };

/* Bounds are moved only by more than rounding explains. */
static double slack_of(double value) { return 1e-9 + 1e-11 * fabs(value); }

static void start_number(Presolve *p, Var var) {
  p->at.mark[var] = MARK_NUMBER;
  p->at.lo[var] = p->model->vars[var].lo;
  p->at.hi[var] = p->model->vars[var].hi;
}

static void start_bounds(Presolve *p) {
  const Model *model = p->model;
  memset(p->at.mark, MARK_OPEN, model->nvars);
  start_number(p, VAR_ONE);
  for (size_t i = 0; i < model->nnumbers; i++) start_number(p, model->numbers[i]);
  for (size_t i = 0; i < model->ndefs; i++) start_number(p, model->defs[i].var);
  for (size_t i = 0; i < model->nchoices; i++) {
    if (model->choices[i].count == 1) p->at.mark[model->choices[i].first] = MARK_SURE;
  }
}

bool presolve_init(Presolve *p, const Model *model, const uint8_t *skip, Fault *fault) {
  *p = (Presolve){.model = model, .skip = skip};
  p->at.mark = malloc(model->nvars);
  p->at.lo = malloc(model->nvars * sizeof *p->at.lo);
  p->at.hi = malloc(model->nvars * sizeof *p->at.hi);
  p->dropped = calloc(model->nreqs + 1, 1);
  p->live = calloc(model->ndefs + 1, 1);
  p->leader = malloc((model->nchoices + 1) * sizeof *p->leader);
  if (!p->at.mark || !p->at.lo || !p->at.hi || !p->dropped || !p->live || !p->leader) {
    presolve_finish(p);
    return fault_oom(fault);
  }
  start_bounds(p);
  for (size_t i = 0; skip && i < model->nreqs; i++) p->dropped[i] = skip[model->reqs[i].tag];
  return true;
}

void presolve_finish(Presolve *p) {
  free(p->at.mark);
  free(p->at.lo);
  free(p->at.hi);
  free(p->dropped);
  free(p->live);
  free(p->cliques);
  free(p->clique_spans);
  free(p->leader);
  free(p->shares);
  free(p->share_start);
  *p = (Presolve){0};
}

bool presolve_foldable(const Model *model, Var var) {
  const VarInfo *info = &model->vars[var];
  if (info->kind != VAR_DERIVED) return true;
  DefKind kind = model->defs[info->owner].kind;
  return kind == DEF_AND || kind == DEF_LE;
}

bool presolve_fixed(const Presolve *p, Var var, double *out_value) {
  *out_value = var_lo(&p->at, var);
  return *out_value == var_hi(&p->at, var) && presolve_foldable(p->model, var);
}

/* ---- bounds */

/* A value of a choice is at most / at least a whole number. */
static bool set_mark(Presolve *p, Var var, bool upper, double value) {
  uint8_t *mark = &p->at.mark[var];
  Mark to = upper ? MARK_OUT : MARK_SURE;
  if (upper ? value >= 1 : value <= 0) return false;
  if (value < 0 || value > 1) p->infeasible = true;
  if (*mark == to) return false;
  if (*mark != MARK_OPEN) {
    p->infeasible = true;
    return true;
  }
  *mark = (uint8_t)to;
  return true;
}

/* Move one bound; `noise`: how far the value may be off. Returns whether it moved by more than
** rounding. */
static bool set_bound(Presolve *p, Var var, bool upper, double value, double noise) {
  const VarInfo *info = &p->model->vars[var];
  double *lo = &p->at.lo[var], *hi = &p->at.hi[var];
  double slack = slack_of(value) + noise;
  if (info->integral) value = upper ? floor(value + slack) : ceil(value - slack);
  if (p->at.mark[var] != MARK_NUMBER) return set_mark(p, var, upper, value);
  if (upper ? value >= *hi - (info->integral ? 0 : slack)
            : value <= *lo + (info->integral ? 0 : slack)) {
    return false;
  }
  if (!info->integral) value += upper ? slack : -slack;
  *(upper ? hi : lo) = value;
  if (*lo > *hi) {
    p->infeasible = true;
    *lo = *hi = upper ? *lo : *hi;
  }
  return true;
}

/* A value that became certain excludes the others; the last one left is certain. */
static bool settle_choice(Presolve *p, const Choice *choice) {
  uint8_t *mark = p->at.mark + choice->first;
  int32_t left = 0, sure = -1, last = -1;
  for (int32_t v = 0; v < choice->count; v++) {
    if (mark[v] == MARK_OUT) continue;
    left++;
    last = v;
    if (mark[v] != MARK_SURE) continue;
    if (sure >= 0) p->infeasible = true;
    sure = v;
  }
  if (left == 0) {
    p->infeasible = true;
    return false;
  }
  if (left == 1) sure = last;
  if (sure < 0 || (left == 1 && mark[sure] == MARK_SURE)) return false;
  memset(mark, MARK_OUT, (size_t)choice->count);
  mark[sure] = MARK_SURE;
  return true;
}

/* The least the choice that starts at terms[0] can contribute; *out_count terms belong to it. */
static double run_least(const Presolve *p, const Term *terms, size_t count, double sign,
                        size_t *out_count) {
  const Model *model = p->model;
  int32_t owner = model->vars[terms[0].var].owner;
  size_t n = 0;
  double least = INFINITY, sure = NAN;
  for (; n < count && model->vars[terms[n].var].kind == VAR_VALUE &&
         model->vars[terms[n].var].owner == owner;
       n++) {
    Mark mark = (Mark)p->at.mark[terms[n].var];
    if (mark == MARK_SURE) sure = sign * terms[n].coef;
    if (mark != MARK_OUT) least = fmin(least, sign * terms[n].coef);
  }
  *out_count = n;
  if (n < (size_t)model->choices[owner].count) least = fmin(least, 0);
  if (!isnan(sure)) return sure;
  return isinf(least) ? 0 : least;
}

/* No member of the tally takes the value any more / all of them do. */
static void settle_members(Presolve *p, Var var, bool all) {
  const Model *model = p->model;
  const Tally *tally = &model->tallies[model->vars[var].owner];
  const int32_t *members = tally_members(model, tally);
  for (int32_t m = 0; m < tally->size; m++) {
    set_bound(p, model->choices[members[m]].first + (var - tally->first), !all, all, 0);
  }
  if (!all) p->at.mark[var] = MARK_OUT;
}

/* sign * terms <= bound, all of them of one tally, of whose choices each contributes at least
** `each`: values that not even one of them can take. */
static bool tighten_tally(Presolve *p, const Term *terms, size_t count, double sign, double bound,
                          double each) {
  double others = each * (p->model->vars[terms[0].var].hi - 1);
  bool changed = false;
  for (size_t i = 0; i < count; i++) {
    bool out = p->at.mark[terms[i].var] == MARK_OUT;
    if (out || sign * terms[i].coef <= bound - others) continue;
    settle_members(p, terms[i].var, false);
    changed = true;
  }
  return changed;
}

/* sign * terms <= bound, give or take the noise: tighten each variable by what the others leave. */
static bool tighten_row(Presolve *p, const Term *terms, size_t count, double sign, double bound,
                        double noise) {
  const Model *model = p->model;
  double lo, hi;
  span_bounds(model, terms, count, &p->at, &lo, &hi);
  double least = sign > 0 ? lo : -hi;
  double slack = slack_of(bound) + 2 * noise;
  if (least > bound + 1e-6 * (1 + fabs(bound)) + 2 * noise) p->infeasible = true;
  bool changed = false;
  for (size_t i = 0; i < count;) {
    Var var = terms[i].var;
    double coef = sign * terms[i].coef;
    if (model->vars[var].kind == VAR_VALUE) {
      size_t n;
      double rest = bound - (least - run_least(p, terms + i, count - i, sign, &n));
      for (size_t end = i + n; i < end; i++) {
        uint8_t *mark = &p->at.mark[terms[i].var];
        if (*mark == MARK_OPEN && sign * terms[i].coef > rest + slack) {
          *mark = MARK_OUT;
          changed = true;
        }
      }
      continue;
    }
    if (model->vars[var].kind == VAR_TALLY) {
      double each, most;
      size_t n = tally_span(model, terms + i, count - i, &p->at, &each, &most);
      if (sign < 0) each = -most;
      double rest = bound - (least - each * model->vars[var].hi);
      changed |= tighten_tally(p, terms + i, n, sign, rest + slack, each);
      i += n;
      continue;
    }
    double own = coef * (coef > 0 ? p->at.lo[var] : p->at.hi[var]);
    changed |= set_bound(p, var, coef > 0, (bound - (least - own)) / coef, 2 * noise / fabs(coef));
    i++;
  }
  return changed;
}

static bool sweep(Presolve *p) {
  const Model *model = p->model;
  bool changed = false;
  for (size_t i = 0; i < model->nreqs && !p->infeasible; i++) {
    const Requirement *req = &model->reqs[i];
    const Term *terms = model->terms + req->span.start;
    if (p->dropped[i] || req->span.count > LONG_ROW) continue;
    if (req->sense != MODEL_GE) {
      changed |= tighten_row(p, terms, req->span.count, 1, req->bound, req->slack);
    }
    if (req->sense != MODEL_LE) {
      changed |= tighten_row(p, terms, req->span.count, -1, -req->bound, req->slack);
    }
  }
  for (size_t i = 0; i < model->nchoices; i++) changed |= settle_choice(p, &model->choices[i]);
  return changed;
}

/* A tally that is at most / at least / just `value`. Returns whether that settles its members and
** says no more. */
static bool unit_tally(Presolve *p, Var var, ModelSense sense, bool upper, double value,
                       double noise) {
  double size = p->model->vars[var].hi;
  bool none = upper && value >= -noise && value < 1 - noise;
  bool all = !upper && value <= size + noise && value > size - 1 + noise;
  if (sense == MODEL_EQ) {
    none = fabs(value) <= noise;
    all = fabs(value - size) <= noise;
  }
  if (none || all) settle_members(p, var, all);
  return none || all;
}

/* The slack of bounds is wider than the row: x <= 1 - 1e-15 lets x be 1. */
static bool unit_holds(const Requirement *req, double value) {
  return (req->sense == MODEL_GE || value <= req->bound + req->slack) &&
         (req->sense == MODEL_LE || value >= req->bound - req->slack);
}

static bool unit_rows(Presolve *p) {
  const Model *model = p->model;
  bool changed = false;
  for (size_t i = 0; i < model->nreqs; i++) {
    const Requirement *req = &model->reqs[i];
    if (p->dropped[i] || req->span.count != 1) continue;
    const Term *term = &model->terms[req->span.start];
    double value = req->bound / term->coef, noise = 2 * req->slack / fabs(term->coef);
    bool upper = (req->sense == MODEL_LE) == (term->coef > 0);
    if (model->vars[term->var].kind == VAR_TALLY) {
      p->dropped[i] = unit_tally(p, term->var, req->sense, upper, value, slack_of(value) + noise);
      continue;
    }
    if (req->sense == MODEL_EQ) {
      changed |= set_bound(p, term->var, true, value, noise);
      changed |= set_bound(p, term->var, false, value, noise);
    } else {
      changed |= set_bound(p, term->var, upper, value, noise);
    }
    double fixed_to;
    if (presolve_fixed(p, term->var, &fixed_to)) {
      p->dropped[i] = unit_holds(req, term->coef * fixed_to);
    }
  }
  for (size_t i = 0; i < model->nchoices; i++) changed |= settle_choice(p, &model->choices[i]);
  return changed;
}

void presolve_bounds(Presolve *p, const Lit *assume, size_t nassume) {
  for (size_t i = 0; i < nassume; i++) {
    bool negative = lit_negative(assume[i]);
    set_bound(p, lit_var(assume[i]), negative, negative ? 0 : 1, 0);
  }
  unit_rows(p);
  for (int i = 0; i < SWEEPS && !p->infeasible; i++) {
    if (!sweep(p)) break;
  }
}

/* ---- reach */

static void mark_terms(Presolve *p, Span span) {
  const Model *model = p->model;
  for (size_t i = 0; i < span.count; i++) {
    Var var = model->terms[span.start + i].var;
    if (var < model->first_derived || !model->ndefs) continue; /* a million cache misses saved */
    const VarInfo *info = &model->vars[var];
    if (info->kind == VAR_DERIVED) p->live[info->owner] = 1;
  }
}

static void mark_lit(Presolve *p, Lit lit) {
  const VarInfo *info = &p->model->vars[lit_var(lit)];
  if (info->kind == VAR_DERIVED) p->live[info->owner] = 1;
}

void presolve_live(Presolve *p) {
  const Model *model = p->model;
  for (size_t i = 0; i < model->nreqs; i++) {
    if (!p->dropped[i]) mark_terms(p, model->reqs[i].span);
  }
  for (size_t i = 0; i < model->ngoals; i++) {
    for (size_t k = 0; k < model->goals[i].lin.count; k++) {
      mark_lit(p, lit_of(model->goals[i].lin.terms[k].var));
    }
  }
  for (size_t i = model->ndefs; i-- > 0;) {
    const Definition *def = &model->defs[i];
    /* A bound moved on a definition is a requirement on what it reads. */
    const VarInfo *info = &model->vars[def->var];
    if (p->at.lo[def->var] > info->lo || p->at.hi[def->var] < info->hi) p->live[i] = 1;
    if (!p->live[i]) continue;
    mark_terms(p, def->span);
    if (def->kind == DEF_PRODUCT) mark_lit(p, def->lit);
    for (uint32_t k = 0; k < def->nitems; k++) {
      mark_terms(p, model->items[def->first_item + k].span);
      mark_lit(p, model->items[def->first_item + k].guard);
    }
  }
}
