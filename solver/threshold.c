/*
** Minimize the largest, maximize the smallest: search by thresholds. The bound is in counting.c.
**
** A goal that contains the maximum of many sums is a plateau to a search that looks at single
** moves, and a weak relaxation to a linear program. But "largest <= tau" is a set of ordinary
** capacities: greedy packing answers it well, and bisection finds the least tau it can manage.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/search.h"

enum { BISECTIONS = 10, ROUNDS = 500 };

int find_targets(const Job *job, Target *targets) {
  const Net *net = &job->net;
  int count = 0;
  if (job->goal < 0) return 0;
  const NetExpr *goal = &net->exprs[job->goal];
  for (size_t i = 0; i < goal->span.count && count < MAX_TARGETS; i++) {
    Term term = net->terms[goal->span.start + i];
    int32_t d = net->def[term.var];
    if (d < 0) continue;
    const NetDef *def = &net->defs[d];
    bool plain = (def->kind == NET_MAX && term.coef < 0) || (def->kind == NET_MIN && term.coef > 0);
    for (int32_t k = 0; plain && k < def->nexprs; k++) {
      plain = net->exprs[def->first_expr + k].guard.column < 0;
    }
    double sign = def->kind == NET_MAX ? 1 : -1;
    if (plain) targets[count++] = (Target){d, term.var, sign, fabs(term.coef)};
  }
  return count;
}

bool threshold_goal(const Job *job) {
  Target targets[MAX_TARGETS];
  return find_targets(job, targets) > 0;
}

/* The target's value at the best answer / its proven limit, as something to be made small. */
static double reached(const Job *job, const Target *t) { return t->sign * job->best[t->column]; }

static double limit(const Job *job, const Target *t) {
  return t->sign > 0 ? job->lo[t->column] : -job->hi[t->column];
}

/* ---- the search */

/* Is there an answer with every target at most its tau (and better than the best)? Times above 0
** shuffle the packing, and search for longer. */
static bool attempt(Search *search, const Target *targets, int count, const double *tau,
                    int times) {
  Job *job = search->job;
  State *s = &search->state;
  const Net *net = &job->net;
  size_t bytes = (size_t)net->ncols * sizeof *search->lo;
  memcpy(search->lo, job->lo, bytes);
  memcpy(search->hi, job->hi, bytes);
  for (int i = 0; i < count; i++) {
    int32_t c = targets[i].column;
    double value = targets[i].sign * tau[i];
    if (targets[i].sign > 0) search->hi[c] = fmin(search->hi[c], value + 1e-9);
    if (targets[i].sign < 0) search->lo[c] = fmax(search->lo[c], value - 1e-9);
  }
  state_caps(s, search->lo, search->hi, job->goal, job_cutoff(job));
  /* However much is wrong at first: of pods that must be together, all were placed apart. */
  int64_t work = (1 + times) * (20000 + (int64_t)net->nterms / 4);
  for (int mode = 0; mode <= GREEDY_MODES; mode++) {
    if (job_stop(job)) return false;
    if (mode < GREEDY_MODES) {
      greedy(search, (GreedyMode)mode, NULL, 0.1 * times);
    } else { /* last, the best there is, which breaks nothing but the thresholds */
      state_set(s, job->best);
    }
    if (s->nviolated && !local_search(search, work, false)) continue;
    memcpy(search->trial, s->value, bytes);
    if (job_offer(job, search->trial)) return true;
  }
  return false;
}

/* Bisect all targets at once between limit and what is reached, then each alone. */
static void bisect(Search *search, const Target *targets, int count, int which) {
  Job *job = search->job;
  double from[MAX_TARGETS], to[MAX_TARGETS], tau[MAX_TARGETS], a = 0, b = 1;
  for (int i = 0; i < count; i++) {
    to[i] = reached(job, &targets[i]);
    from[i] = which < 0 || which == i ? fmin(limit(job, &targets[i]), to[i]) : to[i];
  }
  for (int k = 0; k < BISECTIONS && b - a > 1e-3 && !job_stop(job); k++) {
    double middle = k == 0 ? 0 : (a + b) / 2; /* the limit itself, first: often it is reached */
    for (int i = 0; i < count; i++) tau[i] = from[i] + middle * (to[i] - from[i]);
    if (attempt(search, targets, count, tau, 0)) {
      b = middle;
    } else {
      a = middle;
    }
    if (job_proven(job)) return;
  }
}

bool threshold_search(Search *search) {
  Target targets[MAX_TARGETS];
  Job *job = search->job;
  int count = find_targets(job, targets);
  if (!count || !job->have || job_proven(job)) return true;
  bisect(search, targets, count, -1);
  for (int round = 0; round < 2 && count > 1; round++) {
    double before = job->value;
    for (int i = 0; i < count && !job_proven(job) && !job_stop(job); i++) {
      bisect(search, targets, count, i);
    }
    if (job->value <= before) break;
  }
  return true;
}

void threshold_again(Search *search, int patience) {
  Target targets[MAX_TARGETS];
  double tau[MAX_TARGETS];
  Job *job = search->job;
  int64_t since = job_clock();
  int count = find_targets(job, targets), failures = 0;
  if (!count || !job->have) return;
  for (int round = 0; round < ROUNDS && failures < patience; round++) {
    if (job_proven(job) || job_stop(job)) break;
    double share = ldexp(1, -1 - round % 6);
    int only = round / 6 % (count + 1) - 1; /* all of them, then each alone */
    for (int i = 0; i < count; i++) {
      double most = reached(job, &targets[i]), least = fmin(limit(job, &targets[i]), most);
      tau[i] = only < 0 || only == i ? most + share * (least - most) : most;
    }
    bool better = attempt(search, targets, count, tau, 1 + failures / 6);
    failures = better ? 0 : failures + 1;
  }
  job_phase(job, "threshold", since);
}
