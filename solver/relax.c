/*
** The linear relaxation as a guide: round it, repair what does not fit, and rule out what its
** reduced costs say cannot be part of anything better.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/search.h"
#include "solver/sift.h"

enum { ROUNDINGS = 6 };

/* A column at its bound whose reduced cost is more than what is left to gain moves only so far. */
static void fix_by_cost(Job *job, const Relaxation *r) {
  const Lp *lp = &r->encoding.lp;
  double left = -job_cutoff(job) - r->bound;
  left += 1e-7 * (1 + fabs(r->bound));
  if (!(left >= 0) || isinf(left)) return;
  for (int j = 0; j < lp->ncols; j++) {
    int32_t c = r->encoding.net_column[j];
    double d = r->reduced[j];
    if (c < 0 || !job->net.integer[c] || fabs(d) < 1e-9) continue;
    double steps = floor(left / fabs(d) + 1e-6);
    if (d > 0) job->hi[c] = fmax(job->lo[c], fmin(job->hi[c], lp->col_lo[j] + steps));
    if (d < 0) job->lo[c] = fmin(job->hi[c], fmax(job->lo[c], lp->col_hi[j] - steps));
  }
}

/* What is whole in the relaxation is placed, the rest goes where it costs least beyond the
** relaxation. */
static void round_answer(Search *search, const Relaxation *r) {
  Job *job = search->job;
  const Net *net = &job->net;
  const Encoding *encoding = &r->encoding;
  double *price = search->goal_coef;
  for (int32_t c = 0; c < net->nprimary; c++) {
    int32_t j = encoding->lp_column[c];
    double value = j >= 0 ? r->x[j] : encoding->fixed[c];
    value = net->integer[c] && net->group[c] < 0 ? round(value) : value;
    if (net->group[c] >= 0) value = floor(value + 1e-6);
    search->base[c] = fmin(fmax(value, job->lo[c]), job->hi[c]);
    price[c] = j >= 0 ? -r->reduced[j] : 0;
  }
  state_caps(&search->state, job->lo, job->hi, job->goal, -INFINITY);
  for (int i = 0; i < ROUNDINGS && !job_stop(job) && !job_proven(job); i++) {
    greedy(search, i % 2 ? GREEDY_EMPTIEST : GREEDY_FULLEST, NULL, i < 2 ? 0 : 0.3);
    if (search->state.nviolated) local_search(search, 20000 + (int64_t)net->nterms / 2, false);
    if (search->state.nviolated) continue;
    memcpy(search->trial, search->state.value, ((size_t)net->ncols + 1) * sizeof *search->trial);
    job_offer(job, search->trial);
  }
}

static void use_relaxation(Search *search, const Relaxation *r) {
  Job *job = search->job;
  double bound = -r->bound + 1e-9 * (1 + fabs(r->bound - r->encoding.lp.offset));
  if (isfinite(bound)) job_bound(job, job->have ? fmax(bound, job->value) : bound);
  if (!r->usable) return;
  for (int32_t c = 0; c < job->net.ncols; c++) search->relaxed[c] = r->encoding.fixed[c];
  for (int j = 0; j < r->encoding.lp.ncols; j++) {
    if (r->encoding.net_column[j] >= 0) search->relaxed[r->encoding.net_column[j]] = r->x[j];
  }
  search->has_relaxed = true;
  round_answer(search, r);
  search_level(search);
  if (job->have && !job_proven(job)) {
    fix_by_cost(job, r);
    job_tighten(job);
  }
}

bool relaxation_search(Search *search) {
  Job *job = search->job;
  Relaxation r = {0};
  int64_t since = job_clock();
  if (!encode(&job->net, job->lo, job->hi, job->goal, NULL, job_edge(job), &r.encoding,
              job->fault)) {
    return false;
  }
  bool ok = relaxation_solve(job, &r, 0.7 * job_seconds_left(job));
  search->root_seconds = (double)(job_clock() - since) / 1e9;
  job->answer->rows = (size_t)r.encoding.lp.nrows;
  job->answer->columns = (size_t)r.encoding.lp.ncols;
  job->answer->nonzeros = r.encoding.lp.nterms;
  if (ok && r.infeasible) {
    job->infeasible = true;
  } else if (ok) {
    use_relaxation(search, &r);
  }
  relaxation_finish(&r);
  job_phase(job, "relax", since);
  return ok;
}
