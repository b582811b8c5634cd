/*
** The columns of the network: what presolve leaves to decide. See net.h.
*/
#include <stdlib.h>

#include "solver/presolve.h"

enum { NO_COLUMN = -1 };

static bool alloc_columns(Net *net, size_t ncols, size_t nvars) {
  net->lo = malloc((ncols + 1) * sizeof *net->lo);
  net->hi = malloc((ncols + 1) * sizeof *net->hi);
  net->integer = calloc(ncols + 1, 1);
  net->group = malloc((ncols + 1) * sizeof *net->group);
  net->def = malloc((ncols + 1) * sizeof *net->def);
  net->var = malloc((ncols + 1) * sizeof *net->var);
  net->column = malloc(nvars * sizeof *net->column);
  return net->lo && net->hi && net->integer && net->group && net->def && net->var && net->column;
}

static void add_column(Net *net, const Presolve *p, Var var, double hi, int32_t group) {
  int32_t c = net->ncols++;
  net->lo[c] = var_lo(&p->at, var);
  net->hi[c] = hi;
  net->integer[c] = p->model->vars[var].integral;
  net->group[c] = group;
  net->def[c] = -1;
  net->var[c] = var;
  net->column[var] = c;
}

static bool keep_settled(Net *net, Var var, double value) {
  if (value == 0) return true;
  if (!array_grow(net->settled, net->settled_capacity, net->nsettled + 1) ||
      !array_grow(net->settled_at, net->settled_at_capacity, net->nsettled + 1)) {
    return false;
  }
  net->settled[net->nsettled] = var;
  net->settled_at[net->nsettled++] = value;
  return true;
}

/* Groups: members by counting sort on the leader, then a column per value that is left. */
static bool add_groups(Net *net, const Presolve *p) {
  const Model *model = p->model;
  size_t n = model->nchoices;
  int32_t *index = malloc((n + 1) * sizeof *index);
  net->groups = calloc(n + 1, sizeof *net->groups);
  net->members = malloc((n + 1) * sizeof *net->members);
  if (!index || !net->groups || !net->members) {
    free(index);
    return false;
  }
  for (size_t i = 0; i < n; i++) {
    int32_t leader = p->leader[i];
    if (leader == (int32_t)i) index[i] = net->ngroups++;
    index[i] = index[leader];
    net->groups[index[i]].size++;
  }
  size_t at = 0;
  for (int32_t g = 0; g < net->ngroups; g++) {
    net->groups[g].first_member = at;
    at += (size_t)net->groups[g].size;
    net->groups[g].size = 0;
  }
  for (size_t i = 0; i < n; i++) {
    NetGroup *group = &net->groups[index[i]];
    net->members[group->first_member + (size_t)group->size++] = (int32_t)i;
  }
  free(index);
  for (int32_t g = 0; g < net->ngroups; g++) {
    NetGroup *group = &net->groups[g];
    const Choice *choice = &model->choices[net->members[group->first_member]];
    group->first = net->ncols;
    for (int32_t v = 0; v < choice->count; v++) {
      Var var = choice->first + v;
      net->column[var] = NO_COLUMN;
      if (p->at.mark[var] == MARK_OPEN) add_column(net, p, var, group->size, g);
    }
    group->count = net->ncols - group->first;
  }
  return true;
}

/* What presolve leaves of choices: the leaders' columns, and which members have a value. */
static bool look_at_choices(Net *net, const Presolve *p, size_t *ncols) {
  const Model *model = p->model;
  for (size_t i = 0; i < model->nchoices; i++) {
    const Choice *choice = &model->choices[i];
    const uint8_t *mark = p->at.mark + choice->first;
    bool leads = p->leader[i] == (int32_t)i;
    for (int32_t v = 0; v < choice->count; v++) {
      *ncols += leads && mark[v] == MARK_OPEN;
      if (mark[v] == MARK_SURE && !keep_settled(net, choice->first + v, 1)) return false;
    }
  }
  return true;
}

static bool add_numbers(Net *net, const Presolve *p) {
  const Model *model = p->model;
  for (size_t i = 0; i < model->nnumbers; i++) {
    Var var = model->numbers[i];
    double value;
    net->column[var] = NO_COLUMN;
    if (!presolve_fixed(p, var, &value)) {
      add_column(net, p, var, p->at.hi[var], -1);
    } else if (!keep_settled(net, var, value)) {
      return false;
    }
  }
  return true;
}

bool net_add_columns(Net *net, const Presolve *p) {
  const Model *model = p->model;
  size_t ncols = model->nnumbers + model->ndefs;
  if (!look_at_choices(net, p, &ncols)) return false;
  if (ncols > INT32_MAX / 2 || !alloc_columns(net, ncols, model->nvars)) return false;
  net->column[VAR_ONE] = NO_COLUMN;
  if (!add_groups(net, p) || !add_numbers(net, p)) return false;
  net->nprimary = net->ncols;
  for (size_t i = 0; i < model->ndefs; i++) {
    Var var = model->defs[i].var;
    double value;
    net->column[var] = NO_COLUMN;
    if (p->live[i] && !presolve_fixed(p, var, &value)) add_column(net, p, var, p->at.hi[var], -1);
  }
  return true;
}
