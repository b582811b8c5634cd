/*
** Bounds, exact evaluation, and the check every answer passes before it leaves the house.
*/
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/solve.h"
#include "solver/store.h"

/* ---- bounds */

/* One value of the choice is true, so its terms contribute between their least and their largest
** coefficient, where a value that is not among the terms counts 0. */
static size_t choice_bounds(const Model *model, const Term *terms, size_t count,
                            const VarBounds *bounds, double *out_lo, double *out_hi) {
  int32_t owner = model->vars[terms[0].var].owner;
  const Choice *choice = &model->choices[owner];
  double least = INFINITY, most = -INFINITY, sure = NAN;
  size_t n = 0;
  while (n < count && model->vars[terms[n].var].kind == VAR_VALUE &&
         model->vars[terms[n].var].owner == owner) {
    Mark mark = bounds ? (Mark)bounds->mark[terms[n].var] : MARK_OPEN;
    if (mark == MARK_SURE) sure = terms[n].coef;
    if (mark != MARK_OUT) {
      least = fmin(least, terms[n].coef);
      most = fmax(most, terms[n].coef);
    }
    n++;
  }
  if (n < (size_t)choice->count) {
    least = fmin(least, 0);
    most = fmax(most, 0);
  }
  if (!isnan(sure)) least = most = sure;
  if (least > most) least = most = 0; /* no value left: infeasible, noticed elsewhere */
  *out_lo += least;
  *out_hi += most;
  return n;
}

/* Is this the only one of its choice's values here, and the choice has others? */
static bool is_alone(const Model *model, const Term *terms, size_t count) {
  int32_t owner = model->vars[terms[0].var].owner;
  const Choice *choice = &model->choices[owner];
  return choice->count > 1 && (count == 1 || terms[1].var >= choice->first + choice->count);
}

void span_bounds(const Model *model, const Term *terms, size_t count, const VarBounds *bounds,
                 double *out_lo, double *out_hi) {
  *out_lo = *out_hi = 0;
  for (size_t i = 0; i < count;) {
    const VarInfo *info = &model->vars[terms[i].var];
    if (info->kind == VAR_VALUE && is_alone(model, terms + i, count - i) && !bounds) {
      *(terms[i].coef < 0 ? out_lo : out_hi) += terms[i].coef;
      i++;
      continue;
    }
    if (info->kind == VAR_VALUE) {
      i += choice_bounds(model, terms + i, count - i, bounds, out_lo, out_hi);
      continue;
    }
    if (info->kind == VAR_TALLY) {
      double least, most, size = info->hi;
      i += tally_span(model, terms + i, count - i, bounds, &least, &most);
      *out_lo += size * least;
      *out_hi += size * most;
      continue;
    }
    double coef = terms[i].coef;
    double low = bounds ? var_lo(bounds, terms[i].var) : info->lo;
    double high = bounds ? var_hi(bounds, terms[i].var) : info->hi;
    *out_lo += coef * (coef > 0 ? low : high);
    *out_hi += coef * (coef > 0 ? high : low);
    i++;
  }
}

bool terms_integral(const Model *model, const Term *terms, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!model->vars[terms[i].var].integral || terms[i].coef != floor(terms[i].coef) ||
        fabs(terms[i].coef) > 9007199254740992.0) {
      return false;
    }
  }
  return true;
}

int number_grid(double value) {
  int grid = 0;
  if (value == floor(value) && fabs(value) <= 9007199254740992.0) return 0; /* nearly all are */
  if (!number_is_binary(value)) return -1;
  for (; value != floor(value); value *= 2) grid++;
  return grid;
}

int terms_grid(const Model *model, const Term *terms, size_t count, double constant) {
  int grid = number_grid(constant);
  for (size_t i = 0; i < count && grid >= 0; i++) {
    int own = model->vars[terms[i].var].grid, coef = number_grid(terms[i].coef);
    if (own < 0 || coef < 0 || own + coef > 20) return -1;
    if (own + coef > grid) grid = own + coef;
  }
  return grid;
}

double terms_gcd(const Term *terms, size_t count) {
  double gcd = 0;
  for (size_t i = 0; i < count && gcd != 1; i++) {
    double a = fabs(terms[i].coef);
    while (a != 0) {
      double rest = fmod(gcd, a);
      gcd = a;
      a = rest;
    }
  }
  return gcd;
}

/* A sorted copy without VAR_ONE; false when memory is short or a variable does not exist. */
static bool sorted_copy(const Model *model, const Lin *lin, Lin *out) {
  if (lin->oom) return false;
  lin_add_lin(out, lin, 1);
  if (out->oom) return false;
  lin_normalize(out);
  for (size_t i = 0; i < out->count; i++) {
    if (out->terms[i].var < 0 || (size_t)out->terms[i].var >= model->nvars) return false;
  }
  return true;
}

void model_bounds(const Model *model, const Lin *lin, double *out_lo, double *out_hi) {
  Lin copy = {0};
  *out_lo = -INFINITY;
  *out_hi = INFINITY;
  if (sorted_copy(model, lin, &copy)) {
    span_bounds(model, copy.terms, copy.count, NULL, out_lo, out_hi);
    *out_lo += copy.constant;
    *out_hi += copy.constant;
  }
  lin_finish(&copy);
}

double model_step(const Model *model, const Lin *lin) {
  Lin copy = {0};
  int grid = -1;
  if (sorted_copy(model, lin, &copy) && copy.rough == 0) {
    grid = terms_grid(model, copy.terms, copy.count, copy.constant);
  }
  lin_finish(&copy);
  return grid < 0 ? 0 : ldexp(1, -grid);
}

bool model_exact(const Model *model) { return !model->rounds; }

bool model_is_integral(const Model *model, const Lin *lin) {
  Lin copy = {0};
  bool integral = sorted_copy(model, lin, &copy) && copy.constant == floor(copy.constant) &&
                  terms_integral(model, copy.terms, copy.count);
  lin_finish(&copy);
  return integral;
}

/* ---- evaluation */

double terms_value(const Term *terms, size_t count, const double *values) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += terms[i].coef * values[terms[i].var];
  return sum;
}

static double span_value(const Model *model, Span span, const double *values) {
  return terms_value(model->terms + span.start, span.count, values);
}

static bool and_value(const Model *model, Span span, const double *values) {
  for (size_t i = 0; i < span.count; i++) {
    const Term *term = &model->terms[span.start + i];
    if ((values[term->var] > 0.5) != (term->coef > 0)) return false;
  }
  return true;
}

static double extreme_value(const Model *model, const Definition *def, const double *values) {
  double best = NAN;
  for (uint32_t i = 0; i < def->nitems; i++) {
    const Item *item = &model->items[def->first_item + i];
    if (!lit_value(item->guard, values)) continue;
    double value = item->constant + span_value(model, item->span, values);
    if (isnan(best) || (def->kind == DEF_MAX ? value > best : value < best)) best = value;
  }
  return isnan(best) ? def->bound : best;
}

static double def_value(const Model *model, const Definition *def, const double *values) {
  switch (def->kind) {
  case DEF_AND:
    return and_value(model, def->span, values);
  case DEF_LE:
    return span_value(model, def->span, values) <= def->bound;
  case DEF_MAX:
  case DEF_MIN:
    return extreme_value(model, def, values);
  case DEF_PRODUCT:
    return lit_value(def->lit, values) ? def->bound + span_value(model, def->span, values) : 0;
  case DEF_QUOTIENT:
    return trunc((def->bound + span_value(model, def->span, values)) / (double)def->divisor);
  }
  return 0;
}

void model_evaluate(const Model *model, double *values) {
  values[VAR_ONE] = 1;
  tally_evaluate(model, values);
  for (size_t i = 0; i < model->ndefs; i++) {
    values[model->defs[i].var] = def_value(model, &model->defs[i], values);
  }
}

double model_level_value(const Model *model, size_t i, const double *values) {
  return model_lin_value(&model->goals[i].lin, values);
}

/* ---- checking */

static bool primaries_valid(const Model *model, const double *values) {
  for (size_t i = 0; i < model->nchoices; i++) {
    const Choice *choice = &model->choices[i];
    int chosen = 0;
    for (int32_t v = 0; v < choice->count; v++) {
      double value = values[choice->first + v];
      if (value != 0 && value != 1) return false;
      chosen += value == 1;
    }
    if (chosen != 1) return false;
  }
  for (size_t i = 0; i < model->nnumbers; i++) {
    const VarInfo *info = &model->vars[model->numbers[i]];
    double value = values[model->numbers[i]];
    if (!(value >= info->lo && value <= info->hi)) return false;
    if (info->integral && value != floor(value)) return false;
  }
  return true;
}

static bool requirement_holds(const Model *model, const Requirement *req, const double *values) {
  double value = span_value(model, req->span, values);
  if (req->sense != MODEL_LE && !(value >= req->bound - req->slack)) return false;
  return req->sense == MODEL_GE || value <= req->bound + req->slack;
}

bool model_holds(const Model *model, const double *values, const uint8_t *skip) {
  if (!primaries_valid(model, values)) return false;
  for (size_t i = 0; i < model->nreqs; i++) {
    const Requirement *req = &model->reqs[i];
    if (!(skip && skip[req->tag]) && !requirement_holds(model, req, values)) return false;
  }
  return true;
}

int64_t model_check(const Model *model, const double *values, int *out_tag) {
  *out_tag = -1;
  if (!primaries_valid(model, values)) return (int64_t)model->nreqs;
  for (size_t i = 0; i < model->nreqs; i++) {
    if (requirement_holds(model, &model->reqs[i], values)) continue;
    *out_tag = model->reqs[i].tag;
    return (int64_t)i;
  }
  return -1;
}

void model_mark_tags(const Model *model, uint8_t *used) {
  for (size_t i = 0; i < model->nreqs; i++) used[model->reqs[i].tag] = 1;
}

int model_largest_tag(const Model *model) {
  int largest = -1;
  for (size_t i = 0; i < model->nreqs; i++) {
    if (model->reqs[i].tag > largest) largest = model->reqs[i].tag;
  }
  return largest;
}
