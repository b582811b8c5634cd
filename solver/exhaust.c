/*
** Proof without a linear program: see exhaust.h.
**
** The simplex works with a tolerance of 1e-7 of the largest number in a row. Where a goal or a row
** weighs 2^32 against 1, what it calls infeasible may be feasible, and what it calls the best may
** be a thousand short of it. Conclusions drawn from bounds (net_tighten()) lose no answer, and a
** leaf is evaluated exactly, so a search made of these alone proves what it says.
*/
#include "solver/exhaust.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double widest = 1 << 20;

/* ---- wide */

typedef struct Spread {
  double least, most;
} Spread;

static void spread_by(Spread *spread, double size) {
  size = fabs(size);
  if (size == 0 || isinf(size)) return;
  spread->least = fmin(spread->least, size);
  spread->most = fmax(spread->most, size);
}

static bool expr_is_wide(const Net *net, int32_t expr, double lo, double hi) {
  const NetExpr *e = &net->exprs[expr];
  Spread spread = {INFINITY, 0};
  spread_by(&spread, lo - e->constant);
  spread_by(&spread, hi - e->constant);
  for (size_t i = 0; i < e->span.count; i++) {
    Term term = net->terms[e->span.start + i];
    double size = fmax(fabs(net->lo[term.var]), fabs(net->hi[term.var]));
    int grid = net_column_grid(net, term.var);
    spread_by(&spread, term.coef * size);
    if (grid >= 0) spread_by(&spread, ldexp(term.coef, -grid)); /* what a step of it makes */
  }
  return spread.most > widest * spread.least;
}

bool net_is_wide(const Net *net) {
  for (size_t i = 0; i < net->nrows; i++) {
    const NetRow *row = &net->rows[i];
    if (expr_is_wide(net, row->expr, row->lo, row->hi)) return true;
  }
  for (size_t i = 0; i < net->ndefs; i++) {
    const NetDef *def = &net->defs[i];
    double bound =
        def->kind == NET_LE ? def->bound : 0; /* the others are their expression's equal */
    for (int32_t k = 0; k < def->nexprs; k++) {
      if (expr_is_wide(net, def->first_expr + k, bound, bound)) return true;
    }
  }
  for (size_t i = 0; i < net->ngoals; i++) {
    if (expr_is_wide(net, net->goals[i], -INFINITY, INFINITY)) return true;
  }
  return false;
}

static bool expr_is_fine(const Net *net, int32_t expr) {
  const NetExpr *e = &net->exprs[expr];
  int grid = number_grid(e->constant);
  double size = fabs(e->constant);
  for (size_t i = 0; i < e->span.count && grid >= 0; i++) {
    Term term = net->terms[e->span.start + i];
    int own = net_column_grid(net, term.var), coef = number_grid(term.coef);
    grid = own < 0 || coef < 0 ? -1 : own + coef > grid ? own + coef : grid;
    size += fabs(term.coef) * fmax(fabs(net->lo[term.var]), fabs(net->hi[term.var]));
  }
  return grid >= 0 && ldexp(size, grid) > 1024 * widest;
}

bool net_is_fine(const Net *net) {
  for (size_t i = 0; i < net->nexprs; i++) {
    if (expr_is_fine(net, (int32_t)i)) return true;
  }
  return false;
}

/* ---- going through everything */

enum { ROUNDS = 10, MAX_DEPTH = 1000 };

typedef struct Walk {
  Job *job;
  int64_t nodes; /* left */
  bool limited, gave_up;
  bool doubt;  /* some leaf may be an answer that could not be kept … */
  double open; /* … and this good */
} Walk;

/* The column to decide next: of the group with the fewest values left, else the narrowest number;
** -1 when all are decided. */
static int32_t next_column(const Net *net, const double *lo, const double *hi) {
  int32_t best = -1;
  double fewest = INFINITY;
  for (int32_t g = 0; g < net->ngroups; g++) {
    const NetGroup *group = &net->groups[g];
    int32_t open = -1, count = 0;
    for (int32_t c = group->first; c < group->first + group->count; c++) {
      if (hi[c] <= lo[c]) continue;
      count++;
      if (open < 0) open = c;
    }
    if (count && count < fewest) {
      fewest = count;
      best = open;
    }
  }
  for (int32_t c = 0; c < net->nprimary; c++) {
    if (net->group[c] >= 0 || hi[c] <= lo[c] || hi[c] - lo[c] >= fewest) continue;
    fewest = hi[c] - lo[c];
    best = c;
  }
  return best;
}

static bool visit(Walk *walk, double *lo, double *hi, int depth);

/* The part of the walk with lo <= column <= hi. */
static bool visit_part(Walk *walk, const double *lo, const double *hi, int32_t column, double from,
                       double to, int depth) {
  size_t n = (size_t)walk->job->net.ncols + 1;
  double *own = malloc(2 * n * sizeof *own);
  if (!own) return fault_oom(walk->job->fault);
  memcpy(own, lo, (n - 1) * sizeof *own);
  memcpy(own + n, hi, (n - 1) * sizeof *own);
  own[column] = from;
  own[n + column] = to;
  bool ok = visit(walk, own, own + n, depth + 1);
  free(own);
  return ok;
}

/* A leaf where rounding decides may be an answer although the model says no, or a better one than
** the model says: unless the judge says otherwise, it stays open. */
static void note_doubt(Walk *walk, const double *lo, const double *hi) {
  Job *job = walk->job;
  bool holds = true;
  double low, high = 0;
  if (job->goal >= 0) net_expr_bounds(&job->net, job->goal, lo, hi, &low, &high);
  if (job->have && (job->goal < 0 || high <= job->value)) return;
  job_ask(job, lo, &holds, &high);
  if (!holds || (job->have && high <= job->value)) return;
  walk->doubt = true;
  walk->open = fmax(walk->open, high);
}

static void offer_leaf(Walk *walk, const double *lo, const double *hi) {
  Job *job = walk->job;
  memcpy(job->trial_columns, lo, (size_t)job->net.ncols * sizeof *lo);
  bool kept = job_offer(job, job->trial_columns);
  if (!kept && job_in_doubt(job, job->trial_columns)) note_doubt(walk, lo, hi);
}

static bool visit(Walk *walk, double *lo, double *hi, int depth) {
  Job *job = walk->job;
  const Net *net = &job->net;
  if (walk->gave_up || (job->goal < 0 && job->have)) return true;
  walk->gave_up = (walk->limited && walk->nodes-- <= 0) || depth > MAX_DEPTH || job_stop(job);
  if (walk->gave_up || !net_tighten(net, lo, hi, job->goal, job_cutoff(job), ROUNDS)) return true;
  int32_t c = next_column(net, lo, hi);
  if (c < 0) {
    offer_leaf(walk, lo, hi);
    return job->fault->code == FAULT_NONE;
  }
  double middle = net->group[c] >= 0 ? hi[c] - 1 : floor(lo[c] + (hi[c] - lo[c]) / 2);
  return visit_part(walk, lo, hi, c, middle + 1, hi[c], depth) &&
         visit_part(walk, lo, hi, c, lo[c], middle, depth);
}

bool exhaust(Job *job, int64_t nodes) {
  const Net *net = &job->net;
  int64_t since = job_clock();
  size_t n = (size_t)net->ncols + 1;
  for (int32_t c = 0; c < net->nprimary; c++) {
    if (!net->integer[c] && job->hi[c] > job->lo[c]) return true;
  }
  Walk walk = {.job = job, .nodes = nodes, .limited = nodes > 0, .open = -INFINITY};
  double *own = malloc(2 * n * sizeof *own);
  if (!own) return fault_oom(job->fault);
  memcpy(own, job->lo, (n - 1) * sizeof *own);
  memcpy(own + n, job->hi, (n - 1) * sizeof *own);
  bool ok = visit(&walk, own, own + n, 0);
  free(own);
  if (ok && !walk.gave_up) {
    if (!job->have && !walk.doubt) job->infeasible = true;
    if (job->have && job->goal >= 0) job_bound(job, fmax(job->value, walk.open));
  }
  job_phase(job, "exhaust", since);
  return ok;
}
