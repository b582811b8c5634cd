/*
** Values on a network: evaluation, and the way between columns and the model's variables.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/net.h"

double net_expr_value(const Net *net, int32_t expr, const double *columns) {
  const NetExpr *e = &net->exprs[expr];
  return e->constant + terms_value(net->terms + e->span.start, e->span.count, columns);
}

int net_column_grid(const Net *net, int32_t column) {
  return net->integer[column] ? 0 : net->model->vars[net->var[column]].grid;
}

static bool guard_holds(Guard guard, const double *columns) {
  return guard.column < 0 || (columns[guard.column] > 0.5) != guard.negative;
}

static double extreme_value(const Net *net, const NetDef *def, const double *columns) {
  double best = NAN;
  for (int32_t i = 0; i < def->nexprs; i++) {
    int32_t expr = def->first_expr + i;
    if (!guard_holds(net->exprs[expr].guard, columns)) continue;
    double value = net_expr_value(net, expr, columns);
    if (isnan(best) || (def->kind == NET_MAX ? value > best : value < best)) best = value;
  }
  return isnan(best) ? def->bound : best;
}

void net_evaluate(const Net *net, double *columns) {
  for (size_t i = 0; i < net->ndefs; i++) {
    const NetDef *def = &net->defs[i];
    double value = 0;
    switch (def->kind) {
    case NET_LE:
      value = net_expr_value(net, def->first_expr, columns) <= def->bound;
      break;
    case NET_MAX:
    case NET_MIN:
      value = extreme_value(net, def, columns);
      break;
    case NET_PRODUCT:
      if (guard_holds(net->exprs[def->first_expr].guard, columns)) {
        value = net_expr_value(net, def->first_expr, columns);
      }
      break;
    case NET_QUOTIENT:
      value = trunc(net_expr_value(net, def->first_expr, columns) / (double)def->divisor);
      break;
    }
    columns[def->column] = value;
  }
}

bool net_feasible(const Net *net, const double *columns) {
  for (int32_t c = 0; c < net->nprimary; c++) {
    if (!(columns[c] >= net->lo[c] && columns[c] <= net->hi[c])) return false;
    if (net->integer[c] && columns[c] != floor(columns[c])) return false;
  }
  for (int32_t g = 0; g < net->ngroups; g++) {
    const NetGroup *group = &net->groups[g];
    double sum = 0;
    for (int32_t i = 0; i < group->count; i++) sum += columns[group->first + i];
    if (group->count && sum != group->size) return false;
  }
  for (size_t i = 0; i < net->nrows; i++) {
    const NetRow *row = &net->rows[i];
    double value = net_expr_value(net, row->expr, columns);
    if (!(value >= row->lo - row->slack && value <= row->hi + row->slack)) return false;
  }
  return true;
}

bool net_in_doubt(const Net *net, const double *columns) {
  for (size_t i = 0; i < net->nrows; i++) {
    const NetRow *row = &net->rows[i];
    double noise = net->exprs[row->expr].noise;
    if (noise == 0) continue;
    double value = net_expr_value(net, row->expr, columns);
    if (fabs(value - row->lo) <= noise || fabs(value - row->hi) <= noise) return true;
  }
  for (size_t i = 0; i < net->ndefs; i++) {
    const NetDef *def = &net->defs[i];
    if (def->kind != NET_LE || net->exprs[def->first_expr].noise == 0) continue;
    double value = net_expr_value(net, def->first_expr, columns);
    if (fabs(value - def->bound) <= net->exprs[def->first_expr].noise) return true;
  }
  return false;
}

/* Does one row say "at most" and the other, with all signs turned, "at least"? */
static bool opposed(const Net *net, const NetRow *a, const NetRow *b) {
  const NetExpr *x = &net->exprs[a->expr], *y = &net->exprs[b->expr];
  if (x->span.count != y->span.count || a->hi != -b->hi || isinf(a->hi)) return false;
  for (size_t i = 0; i < x->span.count; i++) {
    Term s = net->terms[x->span.start + i], t = net->terms[y->span.start + i];
    if (s.var != t.var || s.coef != -t.coef) return false;
  }
  return true;
}

bool net_is_equation(const Net *net, size_t i) {
  const NetRow *row = &net->rows[i];
  return row->lo == row->hi || (i > 0 && opposed(net, row, row - 1)) ||
         (i + 1 < net->nrows && opposed(net, row, row + 1));
}

/* ---- to and from the model */

/* Give the group's members their values: first those who can stay where they are, then the rest in
** order. `left` counts the columns down. */
static void deal(const Net *net, const NetGroup *group, double *left, double *values) {
  const Choice *choices = net->model->choices;
  const int32_t *members = net->members + group->first_member;
  Var leader = choices[members[0]].first;
  for (int32_t m = 0; m < group->size; m++) {
    const Choice *choice = &choices[members[m]];
    int32_t c = choice->start >= 0 ? net->column[leader + choice->start] : -1;
    if (c < 0 || left[c] < 0.5) continue;
    values[choice->first + choice->start] = 1;
    left[c]--;
  }
  int32_t at = group->first, end = group->first + group->count;
  for (int32_t m = 0; m < group->size; m++) {
    const Choice *choice = &choices[members[m]];
    if (choice->start >= 0 && values[choice->first + choice->start] > 0.5) continue;
    while (at < end && left[at] < 0.5) at++;
    if (at == end) return; /* counts do not add up: the check will tell */
    values[choice->first + (net->var[at] - leader)] = 1;
    left[at]--;
  }
}

bool net_expand(const Net *net, const double *columns, double *values, Fault *fault) {
  const Model *model = net->model;
  double *left = malloc(((size_t)net->ncols + 1) * sizeof *left);
  if (!left) return fault_oom(fault);
  if (net->ncols) memcpy(left, columns, (size_t)net->ncols * sizeof *left);
  memset(values, 0, model->nvars * sizeof *values);
  for (size_t i = 0; i < net->nsettled; i++) values[net->settled[i]] = net->settled_at[i];
  for (int32_t c = 0; c < net->nprimary; c++) {
    if (net->group[c] < 0) values[net->var[c]] = columns[c];
  }
  for (int32_t g = 0; g < net->ngroups; g++) {
    if (net->groups[g].count) deal(net, &net->groups[g], left, values);
  }
  free(left);
  model_evaluate(model, values);
  return true;
}

void net_start(const Net *net, double *columns) {
  const Model *model = net->model;
  for (int32_t c = 0; c < net->nprimary; c++) columns[c] = net->group[c] < 0 ? NAN : 0;
  for (size_t i = 0; i < model->nstarts; i++) {
    int32_t c = net->column[model->starts[i].var];
    if (c >= 0) columns[c] = model->starts[i].value;
  }
  for (int32_t g = 0; g < net->ngroups; g++) {
    const NetGroup *group = &net->groups[g];
    const int32_t *members = net->members + group->first_member;
    Var leader = model->choices[members[0]].first;
    for (int32_t m = 0; m < group->size && group->count; m++) {
      int32_t start = model->choices[members[m]].start;
      int32_t c = start >= 0 ? net->column[leader + start] : -1;
      if (c >= 0) columns[c]++;
    }
  }
}
