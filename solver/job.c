/*
** The bookkeeping of one solve: see job.h.
*/
#include "solver/job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/encode.h"

enum { TIGHTEN_ROUNDS = 20, LARGE_MODEL = 300000 };

int64_t job_clock(void) { return clock_now(); }

void job_phase(Job *job, const char *name, int64_t since) {
  Answer *answer = job->answer;
  double seconds = (double)(clock_now() - since) / 1e9;
  int i = 0;
  while (i < answer->nphases && strcmp(answer->phases[i].name, name) != 0) i++;
  if (i == SOLVE_MAX_PHASES) return;
  if (i == answer->nphases) answer->phases[answer->nphases++] = (SolvePhase){name, 0};
  answer->phases[i].seconds += seconds;
  if (job->options.progress) {
    job->options.progress(job->options.progress_ctx, name, answer->phases[i].seconds,
                          job->have && job->goal >= 0 ? job->value : -INFINITY, job->bound);
  }
}

bool job_stop(Job *job) {
  return stop_now(job->stop) || (job->deadline && clock_now() >= job->deadline);
}

double job_seconds_left(const Job *job) {
  double left = stop_seconds_left(job->stop);
  if (!job->deadline) return left;
  double own = (double)(job->deadline - clock_now()) / 1e9;
  return fmax(0, fmin(left, own));
}

double job_cutoff(const Job *job) {
  if (job->goal < 0 || !job->have) return -INFINITY;
  /* Below 1 the gap is absolute: near 0 the simplex has noise of that size. */
  double size = fmax(1, fabs(job->value)), gap = job->options.gap * size;
  if (job->step == 0) return job->value + fmax(gap, 1e-6 * size);
  double steps = round((job->value - job->origin) / job->step);
  return job->origin + job->step * (steps + fmax(1, ceil(gap / job->step - 1e-9)));
}

void job_bound(Job *job, double bound) {
  if (job->step > 0 && isfinite(bound)) {
    double slack = fmin(1e-6, job->step / 4);
    bound = job->origin + job->step * floor((bound - job->origin + slack) / job->step);
  }
  if (bound < job->bound) job->bound = bound;
  if (job->have && job->bound < job->value) job->bound = job->value; /* rounding */
}

bool job_proven(const Job *job) {
  if (job->infeasible) return true;
  if (job->goal < 0) return job->have;
  double slack = job->step > 0 ? 0 : 1e-8 * (1 + fabs(job->value));
  return job->have && job->bound < job_cutoff(job) + slack;
}

/* Rows on whose bounds the columns are, or as good as: from now on such answers are passed by. What
** is concluded from a row still allows for them. */
static void avoid_ties(Net *net, const double *columns) {
  for (size_t i = 0; i < net->nrows; i++) {
    NetRow *row = &net->rows[i];
    double value = net_expr_value(net, row->expr, columns), noise = row->slack;
    bool high = fabs(value - row->hi) <= noise, low = fabs(value - row->lo) <= noise;
    if (noise == 0 || !(high || low) || net_is_equation(net, i)) continue;
    if (high) row->hi -= 2 * noise;
    if (low) row->lo += 2 * noise;
    net->exprs[row->expr].noise += 2 * noise;
  }
}

/* Asks about job->trial_values; *out_levels is malloc'ed. */
static bool ask(Job *job, bool *out_holds, double **out_levels) {
  const Judge *judge = job->options.judge;
  *out_levels = calloc(job->model->ngoals + 1, sizeof **out_levels);
  if (!*out_levels) return fault_oom(job->fault);
  return judge->ask(judge->ctx, job->trial_values, job->skip, out_holds, *out_levels, job->fault);
}

/* Where rounding decides, is job->trial_values an answer, with the numbers that the model gives? */
static bool judge_agrees(Job *job) {
  const Model *model = job->model;
  double *levels = NULL;
  bool holds = false;
  if (!job->options.judge || !model_in_doubt(model, job->trial_values, job->skip)) return true;
  holds = ask(job, &holds, &levels) && holds;
  for (size_t l = 0; holds && l < model->ngoals && !job->options.first_answer; l++) {
    double own = model_level_value(model, l, job->trial_values);
    holds = fabs(levels[l] - own) <= 2 * model->goals[l].noise;
  }
  free(levels);
  return holds;
}

bool job_in_doubt(Job *job, const double *columns) {
  if (net_in_doubt(&job->net, columns)) return true;
  if (!job->model->rounds || !net_expand(&job->net, columns, job->trial_values, job->fault)) {
    return false;
  }
  return model_in_doubt(job->model, job->trial_values, job->skip);
}

bool job_ask(Job *job, const double *columns, bool *out_holds, double *out_value) {
  const Net *net = &job->net;
  double *levels = NULL;
  if (!job->options.judge) return false;
  for (int32_t g = 0; g < net->ngroups; g++) {
    if (net->groups[g].size > 1 && net->groups[g].count > 0) return false;
  }
  bool ok = net_expand(net, columns, job->trial_values, job->fault) && ask(job, out_holds, &levels);
  if (ok) *out_value = job->level < job->model->ngoals ? levels[job->level] : 0;
  free(levels);
  return ok;
}

/* Where a comparison ends within its noise, the network and the model may see it differently. */
double job_value(const Job *job, const double *columns, const double *values) {
  const Net *net = &job->net;
  double value = job->goal >= 0 ? net_expr_value(net, job->goal, columns) : 0;
  if (job->level >= net->ngoals || job->goal != net->goals[job->level]) return value;
  if (model_exact(job->model)) return value;
  double own = model_level_value(job->model, job->level, values);
  return fabs(own - value) > 1e-9 * (1 + fabs(own)) ? own : value;
}

/* Has the model itself check the answer; if it is worth at least so much, it is the sure one. */
static bool bless(Job *job, const double *columns, double least) {
  if (!net_expand(&job->net, columns, job->trial_values, job->fault)) return false;
  if (!model_holds(job->model, job->trial_values, job->skip)) return false;
  if (!judge_agrees(job)) {
    avoid_ties(&job->net, columns);
    return false;
  }
  double value = job_value(job, columns, job->trial_values);
  if (value < least) return false;
  double *swap = job->values;
  job->values = job->trial_values;
  job->trial_values = swap;
  memmove(job->sure, columns, ((size_t)job->net.ncols + 1) * sizeof *job->sure);
  job->sure_value = value;
  return true;
}

bool job_settle(Job *job) {
  if (!job->pending) return true;
  job->pending = false;
  if (bless(job, job->best, job->sure_value) && job->sure_value == job->value) return true;
  memcpy(job->best, job->sure, ((size_t)job->net.ncols + 1) * sizeof *job->best);
  job->value = job->sure_value;
  job->infeasible = false; /* what was concluded from the lost one's value does not hold */
  return false;
}

bool job_offer(Job *job, double *columns) {
  net_evaluate(&job->net, columns);
  if (!net_feasible(&job->net, columns)) return false;
  double value = job->goal >= 0 ? net_expr_value(&job->net, job->goal, columns) : 0;
  if (job->have && value <= job->value) return false;
  /* Asking a large model takes long, so it is asked once a stage rather than for each step. */
  bool ask = !job->have || job->model->nterms + job->model->nvars < LARGE_MODEL;
  if (ask && !bless(job, columns, job->have ? job->sure_value : -INFINITY)) return false;
  memmove(job->best, columns, ((size_t)job->net.ncols + 1) * sizeof *job->best);
  job->pending = !ask;
  bool first = !job->have;
  job->have = true;
  job->value = ask ? job->sure_value : value;
  if (first) job_phase(job, "first", job->started);
  return true;
}

bool job_tighten(Job *job) {
  if (job->infeasible) return false;
  if (!net_tighten(&job->net, job->lo, job->hi, job->goal, job_cutoff(job), TIGHTEN_ROUNDS)) {
    job->infeasible = true;
    return false;
  }
  if (job->goal >= 0) {
    double low, high;
    net_expr_bounds(&job->net, job->goal, job->lo, job->hi, &low, &high);
    job_bound(job, job->step > 0 ? high : high + 1e-9 * (1 + fabs(high)));
  }
  return true;
}

bool job_take(Job *job, double *columns) {
  net_evaluate(&job->net, columns);
  if (!net_feasible(&job->net, columns)) return false;
  if (!bless(job, columns, -INFINITY)) return false;
  memmove(job->best, columns, ((size_t)job->net.ncols + 1) * sizeof *job->best);
  job->value = job->sure_value;
  job->have = true;
  job->pending = false;
  return true;
}

double job_max_root(const Job *job) {
  double left = job_seconds_left(job);
  return isinf(left) ? 0.5 : fmax(0.03, 0.05 * left);
}

typedef struct Found {
  Job *job;
  const Encoding *encoding;
  bool rejected; /* the last one offered is no answer: the solver's tolerance was too wide */
} Found;

static void on_found(void *ctx, const double *x) {
  Found *found = ctx;
  Job *job = found->job;
  double before = job->value;
  bool had = job->have;
  encode_read(found->encoding, x, job->lo, job->hi, job->trial_columns);
  bool taken = job_offer(job, job->trial_columns) || job_nudge(job, job->trial_columns);
  double value = job->goal >= 0 ? net_expr_value(&job->net, job->goal, job->trial_columns) : 0;
  found->rejected = !taken && (!had || (job->goal >= 0 && value > before));
  if (taken) job_phase(job, "branch", clock_now());
}

/* What branch and cut said about the problem under job->lo, job->hi. */
static void conclude(Job *job, const LpResult *result, double offset, bool had, double before) {
  if (result->status == LP_INFEASIBLE) {
    job->infeasible = !job->have;
    if (had && job->goal >= 0) job_bound(job, job->value);
    return;
  }
  if (job->goal < 0 || !isfinite(result->bound)) return;
  double noise = (job->wide ? 1e-7 : 1e-9) * (1 + fabs(result->bound - offset));
  job_bound(job, fmax(noise - result->bound, had ? before : -INFINITY));
}

/* One branch and cut. *out_rejected: it ended with something that is no answer. */
static bool branch_once(Job *job, EncodeEdge edge, bool *out_rejected) {
  Encoding encoding;
  LpResult result = {0};
  bool had = job->have;
  double before = job->value;
  const double *keep = had ? job->best : NULL;
  if (!encode(&job->net, job->lo, job->hi, job->goal, keep, edge, &encoding, job->fault)) {
    return false;
  }
  Found found = {job, &encoding, false};
  LpOptions options = {.integer = true,
                       .gap = job->step > 0 ? job->options.gap : fmax(job->options.gap, 1e-6),
                       .step = job->step,
                       .max_nodes = job->max_nodes,
                       .max_iterations = job->max_iterations,
                       .found = on_found,
                       .found_ctx = &found};
  double left = job_seconds_left(job);
  if (!isinf(left)) options.seconds = fmax(left, 1e-3);
  options.max_root = job_max_root(job);
  double *point = calloc((size_t)encoding.lp.ncols + 1, sizeof *point);
  bool ok = point || fault_oom(job->fault);
  if (ok && had && job->goal >= 0) {
    encode_point(&encoding, job->best, point);
    options.point = point;
  }
  job->answer->rows = (size_t)encoding.lp.nrows;
  job->answer->columns = (size_t)encoding.lp.ncols;
  job->answer->nonzeros = encoding.lp.nterms;
  ok = ok && lp_solve(&encoding.lp, &options, job->stop, &result, job->fault);
  if (ok) {
    if (result.x) on_found(&found, result.x);
    if (edge == job_edge(job)) conclude(job, &result, encoding.lp.offset, had, before);
    job->answer->nodes += result.nodes;
    *out_rejected = found.rejected;
  }
  lp_result_finish(&result);
  free(point);
  encode_finish(&encoding);
  return ok;
}

bool job_branch(Job *job) {
  int64_t since = job_clock();
  bool rejected = false;
  bool ok = branch_once(job, EDGE_SAME, &rejected);
  if (ok && rejected && !job_stop(job)) ok = branch_once(job, EDGE_INSIDE, &rejected);
  if (ok && job->wide && !job_stop(job)) ok = branch_once(job, EDGE_OUTSIDE, &rejected);
  job_phase(job, "branch", since);
  return ok;
}
