/*
** Tallies: how many of some choices take each value.
**
** Five hundred pods of forty kinds on a node are five hundred terms of its load, or forty: rows
** that say the same of each member of a list of choices say it once, of their tally. What has to
** look at members (a model's evaluation, presolve, the network's columns) finds them here.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/store.h"

static int by_index(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

/* The choices' indexes, ascending, at the end of the pool; their number of values, 0 when they are
** no choices of one size, each once. */
static int32_t append_members(Model *model, const Var *choices, size_t n) {
  int32_t *members = model->members + model->nmembers;
  int32_t count = 0;
  for (size_t i = 0; i < n; i++) {
    int32_t index = model_choice_of(model, choices[i]);
    if (index < 0 || model->choices[index].first != choices[i]) return 0;
    if (i && model->choices[index].count != count) return 0;
    count = model->choices[index].count;
    members[i] = index;
  }
  qsort(members, n, sizeof *members, by_index);
  for (size_t i = 1; i < n; i++) {
    if (members[i] == members[i - 1]) return 0;
  }
  return count;
}

static Var new_tally(Model *model, int32_t count, size_t n) {
  if (!array_grow(model->tallies, model->tallies_capacity, model->ntallies + 1)) {
    model_fail(model, FAULT_NOMEM, NULL);
    return VAR_ONE;
  }
  Var first = model_new_vars(model, VAR_TALLY, (size_t)count, (double)n, (int32_t)model->ntallies);
  if (first == VAR_ONE) return VAR_ONE;
  model->tallies[model->ntallies++] = (Tally){first, count, (int32_t)n, model->nmembers};
  model->nmembers += n;
  return first;
}

Var model_tally(Model *model, const Var *choices, size_t n) {
  if (!model_ok(model)) return VAR_ONE;
  if (n >= INT32_MAX ||
      !array_extend(model->members, model->members_capacity, model->nmembers + n)) {
    model_fail(model, FAULT_NOMEM, NULL);
    return VAR_ONE;
  }
  int32_t count = n ? append_members(model, choices, n) : 0;
  if (count == 0) {
    model_fail(model, FAULT_INVALID, "a tally of what are no choices of one size, each once");
    return VAR_ONE;
  }
  if (n == 1) return choices[0];
  bool added;
  int64_t *at = map_put(&model->known_tallies, model->members + model->nmembers,
                        n * sizeof *model->members, (int64_t)model->ntallies, &added);
  if (!at) {
    model_fail(model, FAULT_NOMEM, NULL);
    return VAR_ONE;
  }
  return added ? new_tally(model, count, n) : model->tallies[*at].first;
}

bool tally_counts(const Model *model, const Tally *tally, int32_t choice) {
  const int32_t *members = tally_members(model, tally);
  return bsearch(&choice, members, (size_t)tally->size, sizeof *members, by_index) != NULL;
}

bool tally_spell(Model *model) {
  Lin *lin = &model->scratch;
  size_t count = lin->count, kept = 0, tallies = 0;
  for (size_t i = 0; i < count; i++) {
    Term term = lin->terms[i];
    const VarInfo *info = &model->vars[term.var];
    if (info->kind != VAR_TALLY) continue;
    const Tally *tally = &model->tallies[info->owner];
    const int32_t *members = tally_members(model, tally);
    tallies++;
    for (int32_t m = 0; m < tally->size; m++) {
      lin_add(lin, model->choices[members[m]].first + (term.var - tally->first), term.coef);
    }
  }
  if (!tallies) return true;
  if (lin->oom) {
    lin->oom = false;
    return model_fail(model, FAULT_NOMEM, NULL);
  }
  for (size_t i = 0; i < lin->count; i++) {
    bool tally = model->vars[lin->terms[i].var].kind == VAR_TALLY;
    if (!tally) lin->terms[kept++] = lin->terms[i];
  }
  lin->count = kept;
  return true;
}

/* The index of the choice's value when there is just one; NONE or SEVERAL else. */
enum { NONE = -1, SEVERAL = -2 };

static int32_t chosen_value(const Choice *choice, const double *values) {
  int32_t chosen = NONE;
  for (int32_t v = 0; v < choice->count; v++) {
    double value = values[choice->first + v];
    if (value == 0) continue;
    if (value != 1 || chosen != NONE) return SEVERAL;
    chosen = v;
  }
  return chosen;
}

void tally_evaluate(const Model *model, double *values) {
  int32_t *chosen = model->chosen; /* most choices are in several tallies */
  for (size_t i = 0; model->ntallies && i < model->nchoices; i++) {
    chosen[i] = chosen_value(&model->choices[i], values);
  }
  for (size_t t = 0; t < model->ntallies; t++) {
    const Tally *tally = &model->tallies[t];
    const int32_t *members = tally_members(model, tally);
    double *counts = values + tally->first;
    memset(counts, 0, (size_t)tally->count * sizeof *counts);
    for (int32_t m = 0; m < tally->size; m++) {
      const double *own = values + model->choices[members[m]].first;
      int32_t only = chosen[members[m]];
      if (only >= 0) counts[only]++;
      for (int32_t v = 0; only == SEVERAL && v < tally->count; v++) counts[v] += own[v];
    }
  }
}

size_t tally_span(const Model *model, const Term *terms, size_t count, const VarBounds *bounds,
                  double *out_least, double *out_most) {
  const Tally *tally = &model->tallies[model->vars[terms[0].var].owner];
  double least = INFINITY, most = -INFINITY;
  size_t n = 0;
  for (; n < count && terms[n].var < tally->first + tally->count; n++) {
    if (bounds && bounds->mark[terms[n].var] == MARK_OUT) continue;
    least = fmin(least, terms[n].coef);
    most = fmax(most, terms[n].coef);
  }
  if (n < (size_t)tally->count) {
    least = fmin(least, 0);
    most = fmax(most, 0);
  }
  if (least > most) least = most = 0; /* no value left: infeasible, noticed elsewhere */
  *out_least = least;
  *out_most = most;
  return n;
}
