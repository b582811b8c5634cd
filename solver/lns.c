/*
** Neighbourhoods: free a part of the best answer, solve for it by branch and cut, again.
**
** For goals with a maximum the part is what makes the maximum: the places on top, some others that
** could take over, and whatever the cut-off already rules out. For other goals it is a handful of
** groups. Limits are counts of nodes and iterations rather than times, so that the same seed finds
** the same answer.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/encode.h"
#include "solver/search.h"

enum { MAX_NODES = 150, MAX_ITERATIONS = 6000, FAILURES = 8, PATIENCE = 12, ROUNDS = 100 };

typedef struct Lns {
  Search *search;
  Job *job;
  const Net *net;
  double *lo, *hi;
  uint8_t *free_column;
  int32_t nfree, target; /* columns freed, and how many to free */
} Lns;

static uint32_t any(Lns *l, size_t n) { return random_below(&l->search->random, (uint32_t)n); }

static void free_one(Lns *l, int32_t c) {
  if (c >= l->net->nprimary || l->free_column[c]) return;
  l->free_column[c] = 1;
  l->nfree++;
}

/* All primaries an expression reads, directly or through definitions. */
static void free_expr(Lns *l, int32_t expr, int depth) {
  const Net *net = l->net;
  const NetExpr *e = &net->exprs[expr];
  if (depth <= 0) return;
  for (size_t i = 0; i < e->span.count && l->nfree < 4 * l->target; i++) {
    int32_t c = net->terms[e->span.start + i].var;
    if (net->def[c] < 0) {
      free_one(l, c);
    } else {
      const NetDef *def = &net->defs[net->def[c]];
      if (def->nexprs == 1) free_expr(l, def->first_expr, depth - 1);
    }
  }
}

/* The k highest items of a maximum (lowest of a minimum) and as many others at random. */
static void free_items(Lns *l, const NetDef *def, int32_t k) {
  const State *s = &l->search->state;
  double sign = def->kind == NET_MAX ? 1 : -1, top = INFINITY;
  for (int32_t round = 0; round < k; round++) { /* k is small: select by repeated maximum */
    int32_t best = -1;
    double most = -INFINITY;
    for (int32_t i = 0; i < def->nexprs; i++) {
      double value = sign * s->act[def->first_expr + i];
      if (value >= top || value <= most) continue;
      most = value;
      best = def->first_expr + i;
    }
    if (best < 0) break;
    top = most;
    free_expr(l, best, 4);
  }
  while (l->nfree < l->target) {
    int32_t before = l->nfree;
    for (int i = 0; i < 4; i++)
      free_expr(l, def->first_expr + (int32_t)any(l, (size_t)def->nexprs), 4);
    if (l->nfree == before && any(l, 4) == 0) break;
  }
}

static void free_groups(Lns *l) {
  const Net *net = l->net;
  for (int tries = 0; tries < 200 && l->nfree < l->target && net->ngroups; tries++) {
    const NetGroup *group = &net->groups[any(l, (size_t)net->ngroups)];
    if (group->count <= l->target) {
      for (int32_t c = group->first; c < group->first + group->count; c++) free_one(l, c);
      continue;
    }
    for (int32_t i = 0; i < l->target / 4; i++) {
      free_one(l, group->first + (int32_t)any(l, (size_t)group->count));
    }
    for (int32_t c = group->first; c < group->first + group->count; c++) {
      if (l->job->best[c] > 0.5) free_one(l, c);
    }
  }
  for (int32_t c = 0; c < net->nprimary; c++) { /* numbers are few, and follow the choices */
    if (net->group[c] < 0 && l->nfree < 2 * l->target) free_one(l, c);
  }
}

/* The definition of a maximum or minimum in the goal, one of them at random; NULL without any. */
static const NetDef *extreme_in_goal(Lns *l) {
  const Net *net = l->net;
  const NetExpr *goal = &net->exprs[l->job->goal];
  const NetDef *found = NULL;
  uint32_t seen = 0;
  for (size_t i = 0; i < goal->span.count && i < 64; i++) {
    int32_t d = net->def[net->terms[goal->span.start + i].var];
    if (d < 0 || (net->defs[d].kind != NET_MAX && net->defs[d].kind != NET_MIN)) continue;
    if (any(l, ++seen) == 0) found = &net->defs[d];
  }
  return found;
}

/* Where the best answer and the relaxation disagree there is something to gain. */
static void free_disagreement(Lns *l) {
  const Net *net = l->net;
  const double *relaxed = l->search->relaxed;
  int32_t n = net->nprimary;
  int32_t offset = (int32_t)any(l, (size_t)n);
  for (int32_t i = 0; i < n && l->nfree < 4 * l->target; i++) {
    int32_t c = (i + offset) % n;
    if (fabs(relaxed[c] - l->job->best[c]) > 1e-6) free_one(l, c);
  }
}

/* Rows without room: what is in them can be traded against each other. */
static void free_tight_rows(Lns *l) {
  const Net *net = l->net;
  const State *s = &l->search->state;
  for (int tries = 0; tries < 400 && l->nfree < l->target && net->nrows; tries++) {
    const NetRow *row = &net->rows[any(l, net->nrows)];
    double room = fmin(row->hi - s->act[row->expr], s->act[row->expr] - row->lo);
    double size = 1 / s->scale[row->expr];
    if (room < size) free_expr(l, row->expr, 4);
  }
}

static void choose(Lns *l) {
  const Net *net = l->net;
  const Job *job = l->job;
  memset(l->free_column, 0, (size_t)net->ncols);
  l->nfree = 0;
  const NetDef *def = extreme_in_goal(l);
  if (def && any(l, 4)) {
    free_items(l, def, 1 + (int32_t)any(l, 6));
  } else {
    uint32_t how = any(l, 4);
    if (how == 0) free_groups(l);
    if (how >= 2) free_tight_rows(l);
    if (l->search->has_relaxed && how != 0) free_disagreement(l);
  }
  for (int32_t c = 0; c < net->nprimary; c++) {
    bool excluded = job->best[c] < job->lo[c] || job->best[c] > job->hi[c];
    if (excluded) free_one(l, c);
    double value = fmin(fmax(job->best[c], job->lo[c]), job->hi[c]);
    l->lo[c] = l->free_column[c] ? job->lo[c] : value;
    l->hi[c] = l->free_column[c] ? job->hi[c] : value;
  }
  for (int32_t c = net->nprimary; c < net->ncols; c++) {
    l->lo[c] = job->lo[c];
    l->hi[c] = job->hi[c];
  }
}

/* Solve for the part that is free. *out_better: an answer was improved. */
static bool solve_part(Lns *l, double seconds, bool *out_better) {
  Job *job = l->job;
  Encoding encoding;
  LpResult result;
  *out_better = false;
  if (!net_tighten(l->net, l->lo, l->hi, job->goal, job_cutoff(job), 4)) return true;
  if (!encode(l->net, l->lo, l->hi, job->goal, NULL, EDGE_SAME, &encoding, job->fault))
    return false;
  LpOptions options = {.integer = true,
                       .gap = fmax(job->options.gap, 1e-4),
                       .seconds = seconds,
                       .max_nodes = MAX_NODES,
                       .max_iterations = MAX_ITERATIONS};
  bool ok = lp_solve(&encoding.lp, &options, job->stop, &result, job->fault);
  if (ok && result.x) {
    encode_read(&encoding, result.x, l->lo, l->hi, job->trial_columns);
    *out_better = job_offer(job, job->trial_columns);
  }
  lp_result_finish(&result);
  encode_finish(&encoding);
  return ok;
}

static bool rounds(Lns *l, double seconds) {
  Job *job = l->job;
  int64_t until = clock_now() + (int64_t)(fmin(seconds, 1e6) * 1e9);
  /* Without branch and cut to follow, all the time there is goes here. */
  int failures = 0, most = l->search->root_seconds > job_max_root(job) ? PATIENCE : FAILURES;
  l->target = l->net->nprimary < 240 ? l->net->nprimary / 2 : 120;
  for (int i = 0; i < ROUNDS && failures < most; i++) {
    if (job_stop(job) || clock_now() >= until || job_proven(job)) break;
    bool better;
    state_set(&l->search->state, job->best);
    choose(l);
    if (!solve_part(l, fmin(2, job_seconds_left(job) / 2), &better)) return false;
    failures = better ? 0 : failures + 1;
    if (better && !job_tighten(job)) break;
    if (!better && failures % 3 == 0 && l->target < 1000) l->target = l->target * 3 / 2;
  }
  return true;
}

bool neighbourhoods(Search *search, double seconds) {
  Job *job = search->job;
  size_t n = (size_t)job->net.ncols + 1;
  Lns l = {.search = search, .job = job, .net = &job->net};
  l.lo = malloc(n * sizeof *l.lo);
  l.hi = malloc(n * sizeof *l.hi);
  l.free_column = calloc(n, 1);
  bool ok = (l.lo && l.hi && l.free_column) || fault_oom(job->fault);
  if (ok) ok = rounds(&l, seconds);
  free(l.lo);
  free(l.hi);
  free(l.free_column);
  return ok;
}
