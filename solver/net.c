/*
** From a presolved model to the network: see net.h.
*/
#include "solver/net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/presolve.h"

typedef struct Builder {
  Net *net;
  const Model *model;
  const Presolve *p;
  Lin lin; /* the expression being translated */
} Builder;

/* ---- expressions */

/* lin_add() takes 0 for the constant; here it is a column. */
static void lin_add_column(Lin *lin, int32_t column, double coef) {
  if (!array_extend(lin->terms, lin->capacity, lin->count + 1)) {
    lin->oom = true;
    return;
  }
  lin->terms[lin->count++] = (Term){column, coef};
}

static bool by_column(const Term *terms, size_t count) {
  for (size_t i = 1; i < count; i++) {
    if (terms[i].var <= terms[i - 1].var) return false;
  }
  return true;
}

static bool is_exact(const Net *net, const Lin *lin) {
  double size = fabs(lin->constant);
  if (lin->constant != floor(lin->constant)) return false;
  for (size_t i = 0; i < lin->count; i++) {
    double coef = lin->terms[i].coef;
    int32_t c = lin->terms[i].var;
    if (!net->integer[c] || coef != floor(coef)) return false;
    size += fabs(coef) * fmax(fabs(net->lo[c]), fabs(net->hi[c]));
  }
  return size < 4503599627370496.0; /* 2^52 */
}

/* Append b->lin, whose terms are columns, as an expr. -1 when out of memory. */
static int32_t keep_expr(Net *net, Lin *lin, OwnerKind kind, int32_t owner) {
  if (lin->oom || net->nexprs >= INT32_MAX ||
      !array_extend(net->exprs, net->exprs_capacity, net->nexprs + 1) ||
      !array_extend(net->terms, net->terms_capacity, net->nterms + lin->count)) {
    return -1;
  }
  NetExpr expr = {.constant = lin->constant,
                  .owner = owner,
                  .owner_kind = (uint8_t)kind,
                  .guard = {.column = -1}};
  expr.span = (Span){net->nterms, lin->count};
  if (lin->count) memcpy(net->terms + net->nterms, lin->terms, lin->count * sizeof *lin->terms);
  net->nterms += lin->count;
  expr.exact = is_exact(net, lin);
  net->exprs[net->nexprs] = expr;
  return (int32_t)net->nexprs++;
}

/* Sort by column: column 0 is a column like any other here, so lin_normalize(), which takes
** variable 0 for the constant, sees columns moved by one. */
static void sort_columns(Lin *lin) {
  if (by_column(lin->terms, lin->count)) return;
  for (size_t i = 0; i < lin->count; i++) lin->terms[i].var++;
  lin_normalize(lin);
  for (size_t i = 0; i < lin->count; i++) lin->terms[i].var--;
}

/* `count` variables like this one; `leads`: it is the one with the column. */
static void translate_var(Builder *b, Var var, double coef, double count, bool leads) {
  double value;
  if (presolve_fixed(b->p, var, &value)) {
    b->lin.constant += count * coef * value;
  } else if (leads && b->net->column[var] >= 0) {
    lin_add_column(&b->lin, b->net->column[var], coef);
  }
}

static void translate_tally(Builder *b, Var var, double coef) {
  const Model *model = b->model;
  int32_t t = model->vars[var].owner;
  Var value = var - model->tallies[t].first;
  for (size_t s = b->p->share_start[t]; s < b->p->share_start[t + 1]; s++) {
    const Share *share = &b->p->shares[s];
    translate_var(b, model->choices[share->leader].first + value, coef, share->count, share->leads);
  }
}

/* b->lin = constant + terms, in columns. Members of a group other than the first are skipped: the
** first's column counts them all. */
static bool translate(Builder *b, const Term *terms, size_t count, double constant, double sign) {
  Lin *lin = &b->lin;
  lin->count = 0;
  lin->constant = sign * constant;
  for (size_t i = 0; i < count; i++) {
    const VarInfo *info = &b->model->vars[terms[i].var];
    double coef = sign * terms[i].coef;
    if (info->kind == VAR_TALLY) {
      translate_tally(b, terms[i].var, coef);
    } else {
      bool leads = info->kind != VAR_VALUE || b->p->leader[info->owner] == info->owner;
      translate_var(b, terms[i].var, coef, 1, leads);
    }
  }
  sort_columns(lin);
  return !lin->oom;
}

static int32_t translate_expr(Builder *b, Span span, double constant, OwnerKind kind,
                              int32_t owner) {
  if (!translate(b, b->model->terms + span.start, span.count, constant, 1)) return -1;
  return keep_expr(b->net, &b->lin, kind, owner);
}

static Guard guard_of(const Builder *b, Lit lit, bool *out_false) {
  Var var = lit_var(lit);
  double value;
  *out_false = false;
  if (presolve_fixed(b->p, var, &value)) {
    *out_false = (value > 0.5) == lit_negative(lit);
    return (Guard){.column = -1};
  }
  return (Guard){b->net->column[var], lit_negative(lit)};
}

/* ---- rows */

static bool keep_row(Builder *b, double lo, double hi, double slack) {
  Net *net = b->net;
  Lin *lin = &b->lin;
  if (lin->count == 0) {
    if (lin->constant < lo - slack || lin->constant > hi + slack) net->infeasible = true;
    return true;
  }
  if (!array_grow(net->rows, net->rows_capacity, net->nrows + 1)) return false;
  double constant = lin->constant;
  lin->constant = 0;
  int32_t expr = keep_expr(net, lin, OWNER_ROW, (int32_t)net->nrows);
  if (expr < 0) return false;
  net->exprs[expr].noise = slack;
  net->rows[net->nrows++] = (NetRow){expr, lo - constant, hi - constant, slack};
  return true;
}

static bool add_rows(Builder *b) {
  const Model *model = b->model;
  for (size_t i = 0; i < model->nreqs; i++) {
    const Requirement *req = &model->reqs[i];
    if (b->p->dropped[i]) continue;
    if (!translate(b, model->terms + req->span.start, req->span.count, 0, 1)) return false;
    double lo = req->sense == MODEL_LE ? -INFINITY : req->bound;
    double hi = req->sense == MODEL_GE ? INFINITY : req->bound;
    if (!keep_row(b, lo, hi, req->slack)) return false;
  }
  for (size_t i = 0; i < b->p->nspans; i++) {
    Span span = b->p->clique_spans[i];
    if (!translate(b, b->p->cliques + span.start, span.count, 0, 1)) return false;
    if (!keep_row(b, -INFINITY, 1, 0)) return false;
  }
  return true;
}

/* ---- definitions */

/* AND of literals: sum of the true ones minus the sum of the negated ones >= number of true ones,
** as terms <= bound. */
static double and_bound(const Model *model, Span span) {
  double bound = 0;
  for (size_t i = 0; i < span.count; i++) bound -= model->terms[span.start + i].coef > 0;
  return bound;
}

static bool add_le(Builder *b, const Definition *def, int32_t column) {
  const Model *model = b->model;
  Net *net = b->net;
  bool is_and = def->kind == DEF_AND;
  double bound = is_and ? and_bound(model, def->span) : def->bound;
  double step = is_and ? 1 : def->step;
  const Term *terms = model->terms + def->span.start;
  if (!translate(b, terms, def->span.count, 0, is_and ? -1 : 1)) return false;
  if (column < 0) { /* its value is known: a requirement */
    bool holds = b->p->at.lo[def->var] > 0.5;
    double above = bound + fmax(step, 0); /* less than nothing is the noise, which is the slack */
    return keep_row(b, holds ? -INFINITY : above, holds ? bound : INFINITY, def->noise);
  }
  int32_t expr = keep_expr(net, &b->lin, OWNER_DEF, (int32_t)net->ndefs);
  if (expr < 0) return false;
  net->exprs[expr].noise = def->noise;
  net->defs[net->ndefs++] = (NetDef){.kind = NET_LE,
                                     .column = column,
                                     .first_expr = expr,
                                     .nexprs = 1,
                                     .bound = bound,
                                     .step = step};
  return true;
}

static bool add_extreme(Builder *b, const Definition *def, int32_t column) {
  Net *net = b->net;
  NetDef to = {.kind = def->kind == DEF_MAX ? NET_MAX : NET_MIN,
               .column = column,
               .first_expr = (int32_t)net->nexprs,
               .bound = def->bound};
  for (uint32_t i = 0; i < def->nitems; i++) {
    const Item *item = &b->model->items[def->first_item + i];
    bool never;
    Guard guard = guard_of(b, item->guard, &never);
    if (never) continue;
    int32_t expr = translate_expr(b, item->span, item->constant, OWNER_DEF, (int32_t)net->ndefs);
    if (expr < 0) return false;
    net->exprs[expr].guard = guard;
    net->exprs[expr].noise = def->noise;
    to.nexprs++;
  }
  net->defs[net->ndefs++] = to;
  return true;
}

static bool add_product(Builder *b, const Definition *def, int32_t column) {
  Net *net = b->net;
  bool never;
  Guard guard = guard_of(b, def->lit, &never);
  Span none = {0, 0};
  int32_t expr = translate_expr(b, never ? none : def->span, never ? 0 : def->bound, OWNER_DEF,
                                (int32_t)net->ndefs);
  if (expr < 0) return false;
  net->exprs[expr].guard = guard;
  net->exprs[expr].noise = def->noise;
  net->defs[net->ndefs++] =
      (NetDef){.kind = NET_PRODUCT, .column = column, .first_expr = expr, .nexprs = 1};
  return true;
}

static bool add_quotient(Builder *b, const Definition *def, int32_t column) {
  Net *net = b->net;
  int32_t expr = translate_expr(b, def->span, def->bound, OWNER_DEF, (int32_t)net->ndefs);
  if (expr < 0) return false;
  net->defs[net->ndefs++] = (NetDef){.kind = NET_QUOTIENT,
                                     .column = column,
                                     .first_expr = expr,
                                     .nexprs = 1,
                                     .divisor = def->divisor};
  return true;
}

static bool add_defs(Builder *b) {
  const Model *model = b->model;
  Net *net = b->net;
  for (size_t i = 0; i < model->ndefs; i++) {
    const Definition *def = &model->defs[i];
    if (!b->p->live[i]) continue;
    int32_t column = net->column[def->var];
    if (!array_grow(net->defs, net->defs_capacity, net->ndefs + 1)) return false;
    if (column >= 0) net->def[column] = (int32_t)net->ndefs;
    bool ok = false;
    switch (def->kind) {
    case DEF_AND:
    case DEF_LE:
      ok = add_le(b, def, column);
      break;
    case DEF_MAX:
    case DEF_MIN:
      ok = add_extreme(b, def, column);
      break;
    case DEF_PRODUCT:
      ok = add_product(b, def, column);
      break;
    case DEF_QUOTIENT:
      ok = add_quotient(b, def, column);
      break;
    }
    if (!ok) return false;
  }
  return true;
}

static bool add_goals(Builder *b) {
  const Model *model = b->model;
  Net *net = b->net;
  net->goals = malloc((model->ngoals + 1) * sizeof *net->goals);
  if (!net->goals) return false;
  for (size_t i = 0; i < model->ngoals; i++) {
    const Lin *lin = &model->goals[i].lin;
    if (!translate(b, lin->terms, lin->count, lin->constant, 1)) return false;
    net->goals[i] = keep_expr(net, &b->lin, OWNER_GOAL, (int32_t)i);
    if (net->goals[i] < 0) return false;
    net->exprs[net->goals[i]].noise = model->goals[i].noise;
    net->ngoals++;
  }
  return true;
}

/* ---- index */

bool net_index(Net *net) {
  size_t n = (size_t)net->ncols;
  free(net->use_start);
  free(net->uses);
  free(net->guard_start);
  free(net->guarded);
  net->use_start = calloc(n + 2, sizeof *net->use_start);
  net->guard_start = calloc(n + 2, sizeof *net->guard_start);
  net->uses = malloc((net->nterms + 1) * sizeof *net->uses);
  net->guarded = malloc((net->nexprs + 1) * sizeof *net->guarded);
  if (!net->use_start || !net->guard_start || !net->uses || !net->guarded) return false;
  for (size_t i = 0; i < net->nterms; i++) net->use_start[net->terms[i].var + 2]++;
  for (size_t e = 0; e < net->nexprs; e++) {
    if (net->exprs[e].guard.column >= 0) net->guard_start[net->exprs[e].guard.column + 2]++;
  }
  for (size_t c = 2; c < n + 2; c++) {
    net->use_start[c] += net->use_start[c - 1];
    net->guard_start[c] += net->guard_start[c - 1];
  }
  for (size_t e = 0; e < net->nexprs; e++) {
    const NetExpr *expr = &net->exprs[e];
    for (size_t i = 0; i < expr->span.count; i++) {
      Term term = net->terms[expr->span.start + i];
      net->uses[net->use_start[term.var + 1]++] = (NetUse){(int32_t)e, term.coef};
    }
    if (expr->guard.column >= 0) {
      net->guarded[net->guard_start[expr->guard.column + 1]++] = (int32_t)e;
    }
  }
  return true;
}

bool net_add_row(Net *net, const Term *terms, size_t count, double lo, double hi, double slack) {
  Lin lin = {.terms = (Term *)(uintptr_t)terms, .count = count}; /* only read */
  if (!array_grow(net->rows, net->rows_capacity, net->nrows + 1)) return false;
  int32_t expr = keep_expr(net, &lin, OWNER_ROW, (int32_t)net->nrows);
  if (expr < 0) return false;
  net->rows[net->nrows++] = (NetRow){expr, lo, hi, slack};
  return true;
}

bool net_add_goal(Net *net, const Term *terms, size_t count, int32_t *out_expr) {
  Lin lin = {.terms = (Term *)(uintptr_t)terms, .count = count}; /* only read */
  *out_expr = keep_expr(net, &lin, OWNER_GOAL, -1);
  return *out_expr >= 0;
}

static bool assemble(Net *net, const Model *model, const Presolve *p, Stop *stop) {
  Builder b = {.net = net, .model = model, .p = p};
  net->merged_pairs = p->merged_pairs;
  bool ok = net_add_columns(net, p) && (stop_now(stop) || add_rows(&b)) &&
            (stop_now(stop) || add_defs(&b)) && (stop_now(stop) || add_goals(&b)) &&
            (stop_now(stop) || net_index(net));
  lin_finish(&b.lin);
  return ok;
}

bool net_build(const Model *model, const Lit *assume, size_t nassume, const uint8_t *skip,
               Stop *stop, Net *out, Fault *fault) {
  Presolve p;
  if (!presolve_init(&p, model, skip, fault)) return false;
  presolve_bounds(&p, assume, nassume);
  *out = (Net){.model = model, .infeasible = p.infeasible};
  bool ok = true;
  if (!p.infeasible) {
    presolve_live(&p);
    ok = (stop_now(stop) || presolve_cliques(&p, fault)) &&
         (stop_now(stop) || presolve_groups(&p, fault)) &&
         (stop_now(stop) || assemble(out, model, &p, stop) || fault_oom(fault));
  }
  presolve_finish(&p);
  if (!ok) net_finish(out);
  return ok;
}

void net_finish(Net *net) {
  free(net->lo);
  free(net->hi);
  free(net->integer);
  free(net->group);
  free(net->def);
  free(net->var);
  free(net->column);
  free(net->settled);
  free(net->settled_at);
  free(net->groups);
  free(net->members);
  free(net->exprs);
  free(net->terms);
  free(net->rows);
  free(net->defs);
  free(net->goals);
  free(net->use_start);
  free(net->uses);
  free(net->guard_start);
  free(net->guarded);
  *net = (Net){0};
}
