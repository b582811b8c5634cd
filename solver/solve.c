/*
** Solving: levels in order, each with what time is left; see model.h for the promises.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/encode.h"
#include "solver/job.h"
#include "solver/solve.h"

const char *solve_status_name(SolveStatus status) {
  switch (status) {
  case SOLVE_OPTIMAL: return "optimal";
  case SOLVE_FEASIBLE: return "feasible";
  case SOLVE_INFEASIBLE: return "infeasible";
  case SOLVE_UNKNOWN: break;
  }
  return "unknown";
}

const char *solver_backend(void) { return lp_backend(); }

void answer_finish(Answer *answer) {
  free(answer->values);
  free(answer->objective);
  free(answer->bound);
  *answer = (Answer){0};
}

static bool prepare(Job *job) {
  size_t ncols = (size_t)job->net.ncols + 1, nvars = model_nvars(job->model);
  job->lo = malloc(ncols * sizeof *job->lo);
  job->hi = malloc(ncols * sizeof *job->hi);
  job->best = calloc(ncols, sizeof *job->best);
  job->trial_columns = calloc(ncols, sizeof *job->trial_columns);
  job->values = calloc(nvars, sizeof *job->values);
  job->trial_values = calloc(nvars, sizeof *job->trial_values);
  if (job->lo && job->hi && job->best && job->trial_columns && job->values && job->trial_values) {
    return true;
  }
  return fault_oom(job->fault);
}

static void finish(Job *job) {
  free(job->lo);
  free(job->hi);
  free(job->best);
  free(job->trial_columns);
  free(job->values);
  free(job->trial_values);
  net_finish(&job->net);
}

/* Start a level: its goal, bounds from the rows, and the answer at hand valued by it. */
static void begin_level(Job *job, size_t level) {
  Net *net = &job->net;
  job->level = level;
  job->goal = level < net->ngoals ? net->goals[level] : -1;
  job->infeasible = false;
  job->bound = INFINITY;
  size_t bytes = (size_t)net->ncols * sizeof *net->lo;
  if (bytes) {
    memcpy(job->lo, net->lo, bytes);
    memcpy(job->hi, net->hi, bytes);
  }
  job->integral = false;
  if (job->goal < 0) return;
  const NetExpr *e = &net->exprs[job->goal];
  job->integral = e->constant == floor(e->constant);
  for (size_t i = 0; i < e->span.count && job->integral; i++) {
    Term term = net->terms[e->span.start + i];
    job->integral = net->integer[term.var] && term.coef == floor(term.coef);
  }
  if (job->have) job->value = net_expr_value(net, job->goal, job->best);
}

/* The level's best becomes a requirement for the levels after it. */
static bool fix_level(Job *job) {
  Net *net = &job->net;
  const NetExpr *e = &net->exprs[job->goal];
  double slack = job->integral ? 0 : 1e-9 * (1 + fabs(job->value)), least = job->value - slack;
  if (!e->span.count) return true;
  Term *terms = malloc(e->span.count * sizeof *terms); /* the pool may move while it grows */
  bool ok = terms != NULL;
  if (ok) {
    memcpy(terms, net->terms + e->span.start, e->span.count * sizeof *terms);
    ok = net_add_row(net, terms, e->span.count, least - e->constant, INFINITY, slack) &&
         net_index(net);
  }
  free(terms);
  return ok || fault_oom(job->fault);
}

static bool solve_level(Job *job) {
  if (!job_tighten(job)) {
    if (job->have) job_bound(job, job->value);
    return true;
  }
  if (job_proven(job)) return true;
  return job_branch(job);
}

/* Time for a level: most of what is left, but the later ones get a share. */
static void set_deadline(Job *job, size_t levels_after) {
  double left = stop_seconds_left(job->stop);
  job->deadline = 0;
  if (isinf(left)) return;
  double share = levels_after ? 0.6 : 1;
  job->deadline = clock_now() + (int64_t)(fmin(left * share, 1e9) * 1e9);
}

static bool solve_levels(Job *job) {
  Answer *answer = job->answer;
  bool goals = !job->options.first_answer && job->net.ngoals;
  size_t n = goals ? job->net.ngoals : 1;
  bool all_proven = true;
  for (size_t i = 0; i < n; i++) {
    set_deadline(job, n - 1 - i);
    begin_level(job, goals ? i : job->net.ngoals);
    if (!solve_level(job)) return false;
    if (!job->have) {
      answer->status = job->infeasible ? SOLVE_INFEASIBLE : SOLVE_UNKNOWN;
      return true;
    }
    all_proven = all_proven && job_proven(job);
    if (goals) answer->bound[i] = job->bound;
    if (goals && i + 1 < n && !fix_level(job)) return false;
  }
  answer->status = all_proven ? SOLVE_OPTIMAL : SOLVE_FEASIBLE;
  return true;
}

static bool report(Job *job) {
  Answer *answer = job->answer;
  if (!job->have) {
    if (answer->status == SOLVE_UNKNOWN && stop_asked(job->stop)) {
      return fault_set(job->fault, FAULT_INTERRUPT, "solver: interrupted");
    }
    return true;
  }
  answer->values = job->values;
  job->values = NULL;
  for (size_t i = 0; i < answer->nlevels; i++) {
    answer->objective[i] = model_level_value(job->model, i, answer->values);
    if (answer->bound[i] < answer->objective[i]) answer->bound[i] = answer->objective[i];
  }
  return true;
}

bool solve_without(const Model *model, const SolveOptions *options, const uint8_t *skip,
                   Stop *stop, Answer *out, Fault *fault) {
  Answer answer = {.status = SOLVE_UNKNOWN};
  Job job = {.model = model, .stop = stop, .fault = fault, .answer = &answer,
             .skip = skip};
  *out = (Answer){0};
  if (!model_ok(model)) {
    return fault_set(fault, model_fault(model)->code, "%s", model_fault(model)->text);
  }
  if (options) job.options = *options;
  job.random = job.options.seed;
  answer.nlevels = model_nlevels(model);
  answer.objective = calloc(answer.nlevels + 1, sizeof *answer.objective);
  answer.bound = calloc(answer.nlevels + 1, sizeof *answer.bound);
  bool ok = (answer.objective && answer.bound) || fault_oom(fault);
  for (size_t i = 0; ok && i < answer.nlevels; i++) {
    answer.objective[i] = -INFINITY;
    answer.bound[i] = INFINITY;
  }
  int64_t since = job_clock();
  ok = ok && net_build(model, job.options.assume, job.options.nassume, skip, &job.net, fault);
  if (ok && job.net.infeasible) {
    answer.status = SOLVE_INFEASIBLE;
  } else if (ok) {
    answer.groups = (size_t)job.net.ngroups;
    ok = prepare(&job);
    job_phase(&job, "presolve", since);
    ok = ok && solve_levels(&job) && report(&job);
  }
  finish(&job);
  if (!ok) answer_finish(&answer);
  *out = answer;
  return ok;
}

bool solver_solve(const Model *model, const SolveOptions *options, Stop *stop, Answer *out,
                  Fault *fault) {
  return solve_without(model, options, NULL, stop, out, fault);
}
