/*
** Solving: levels in order, each with what time is left; see model.h for the promises.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/encode.h"
#include "solver/exhaust.h"
#include "solver/job.h"
#include "solver/search.h"
#include "solver/settle.h"
#include "solver/solve.h"

/* Branchings that are tried without the linear solver where that one is not believed: so many, and
** fewer where each reads many terms. */
enum { WALK = 20000, WALK_TERMS = 20000000 };

/* Columns: below SMALL, branch and cut is done before anything else has begun; below FEW, it is
** tried before neighbourhoods when the relaxation is strong. */
enum { SMALL = 60, FEW = 3000 };

enum { PATIENCE = 12 }; /* shuffled attempts at thresholds that fail in a row */

const char *solve_status_name(SolveStatus status) {
  switch (status) {
  case SOLVE_OPTIMAL:
    return "optimal";
  case SOLVE_FEASIBLE:
    return "feasible";
  case SOLVE_INFEASIBLE:
    return "infeasible";
  case SOLVE_UNKNOWN:
    break;
  }
  return "unknown";
}

const char *solver_backend(void) { return lp_backend(); }

void answer_finish(Answer *answer) {
  free(answer->values);
  free(answer->objective);
  free(answer->bound);
  free(answer->noise);
  *answer = (Answer){0};
}

static bool prepare(Job *job) {
  size_t ncols = (size_t)job->net.ncols + 1, nvars = model_nvars(job->model);
  job->lo = malloc(ncols * sizeof *job->lo);
  job->hi = malloc(ncols * sizeof *job->hi);
  job->best = calloc(ncols, sizeof *job->best);
  job->sure = calloc(ncols, sizeof *job->sure);
  job->trial_columns = calloc(ncols, sizeof *job->trial_columns);
  job->values = calloc(nvars, sizeof *job->values);
  job->trial_values = calloc(nvars, sizeof *job->trial_values);
  if (job->lo && job->hi && job->best && job->sure && job->trial_columns && job->values &&
      job->trial_values) {
    return true;
  }
  return fault_oom(job->fault);
}

static void finish(Job *job) {
  free(job->lo);
  free(job->hi);
  free(job->best);
  free(job->sure);
  free(job->trial_columns);
  free(job->values);
  free(job->trial_values);
  net_finish(&job->net);
}

/* In which steps a goal's values lie, as far as doubles tell them apart. */
static void set_step(Job *job, const NetExpr *e) {
  const Net *net = &job->net;
  const Term *terms = net->terms + e->span.start;
  int grid = 0;
  double size = fabs(e->constant);
  for (size_t i = 0; i < e->span.count && grid >= 0; i++) {
    int32_t c = terms[i].var;
    int own = net_column_grid(net, c), coef = number_grid(terms[i].coef);
    grid = own < 0 || coef < 0 ? -1 : own + coef > grid ? own + coef : grid;
    size += fabs(terms[i].coef) * fmax(fabs(net->lo[c]), fabs(net->hi[c]));
  }
  double gcd = terms_gcd(terms, e->span.count);
  double step = grid > 0 || gcd == 0 ? ldexp(1, -grid) : gcd;
  job->origin = e->constant;
  job->step = grid < 0 || grid > 20 || size / step > 4503599627370496.0 ? 0 : step; /* 2^52 */
}

/* Start on a goal: bounds from the rows, and the answer at hand valued by it. */
static void begin_goal(Job *job, int32_t goal) {
  Net *net = &job->net;
  job->goal = goal;
  job->infeasible = false;
  job->bound = INFINITY;
  size_t bytes = (size_t)net->ncols * sizeof *net->lo;
  if (bytes) {
    memcpy(job->lo, net->lo, bytes);
    memcpy(job->hi, net->hi, bytes);
  }
  job->step = 0;
  if (goal < 0) return;
  set_step(job, &net->exprs[goal]);
  if (job->have) job->value = job->sure_value = job_value(job, job->best, job->values);
}

static void begin_level(Job *job, size_t level) {
  job->level = level;
  begin_goal(job, level < job->net.ngoals ? job->net.goals[level] : -1);
}

/* The level's best becomes a requirement for the levels after it. */
static bool fix_level(Job *job, double tolerance) {
  Net *net = &job->net;
  if (job->goal < 0) return true;
  const NetExpr *e = &net->exprs[job->goal];
  double slack = job->step > 0 ? 0 : tolerance * (1 + fabs(job->value)), least = job->value - slack;
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

static void offer_state(Search *search) {
  const State *s = &search->state;
  if (s->nviolated) return;
  memcpy(search->trial, s->value, ((size_t)search->job->net.ncols + 1) * sizeof *search->trial);
  job_offer(search->job, search->trial);
}

/* Answers to start from: on top of the present state, and, when there is a goal, from nothing as
** well (a present state in which nobody is placed breaks no rule, and is no good). When neither
** holds: with noise, until one does. */
static void find_first(Job *job, Search *search, int from, int to) {
  int64_t since = job_clock();
  const Net *net = &job->net;
  int64_t work = 20000 + (int64_t)net->nterms;
  int both = job->goal >= 0 ? 2 : 0;
  for (int i = from; i < to && (!job->have || i < both) && !job_stop(job); i++) {
    if (i == 0) net_start(net, search->trial);
    greedy(search, i % 2 ? GREEDY_FULLEST : GREEDY_EMPTIEST, i == 0 ? search->trial : NULL,
           i < 2 ? 0 : 0.1 * i);
    if (search->state.nviolated) local_search(search, work, false);
    offer_state(search);
  }
  job_phase(job, "search", since);
}

static void improve(Job *job, Search *search) {
  int64_t since = job_clock();
  state_caps(&search->state, job->lo, job->hi, job->goal, job_cutoff(job));
  state_set(&search->state, job->best);
  local_search(search, 20000 + (int64_t)job->net.nterms / 2, true);
  job_phase(job, "search", since);
}

static void run_threshold(Job *job, Search *search) {
  int64_t since = job_clock();
  threshold_bound(search, false);
  if (!job_proven(job)) threshold_search(search);
  if (!job_proven(job)) job_tighten(job);
  if (!job_proven(job)) threshold_bound(search, true);
  job_phase(job, "threshold", since);
}

/* When the first tries fail, the reason may be that there is nothing to find. */
static bool check_relaxation(Job *job) {
  int64_t since = job_clock();
  Encoding encoding;
  LpResult result;
  LpOptions options = {0};
  double left = job_seconds_left(job);
  if (!isinf(left)) options.seconds = fmax(1e-3, 0.5 * left);
  if (!encode(&job->net, job->lo, job->hi, -1, NULL, job_edge(job), &encoding, job->fault)) {
    return false;
  }
  bool ok = lp_solve(&encoding.lp, &options, job->stop, &result, job->fault);
  if (ok && result.status == LP_INFEASIBLE) job->infeasible = true;
  lp_result_finish(&result);
  encode_finish(&encoding);
  job_phase(job, "relax", since);
  return ok;
}

static void run_search(Job *job, Search *search) {
  search_level(search);
  if (!job->have) find_first(job, search, 0, 2);
  if (!job->have && job->net.ncols > SMALL && !job_stop(job)) {
    if (!check_relaxation(job) || job->infeasible) return;
    find_first(job, search, 2, 8);
  }
  if (!job->have || job->goal < 0) return;
  if (!job_proven(job) && !job_stop(job)) run_threshold(job, search);
  if (!job_proven(job) && !job_stop(job) && (threshold_goal(job) || job->net.ncols > SMALL)) {
    improve(job, search);
  }
  if (!job_proven(job) && !job_stop(job) && job->net.ncols > SMALL) {
    threshold_again(search, PATIENCE);
  }
}

static bool run_neighbourhoods(Job *job, Search *search) {
  int64_t since = job_clock();
  double share = search->root_seconds > job_max_root(job) ? 1 : 0.4;
  bool ok = neighbourhoods(search, share * job_seconds_left(job));
  job_phase(job, "parts", since);
  return ok;
}

static int32_t open_columns(const Job *job) {
  int32_t count = 0;
  for (int32_t c = 0; c < job->net.nprimary; c++) count += job->hi[c] > job->lo[c];
  return count;
}

static bool solve_level(Job *job, Search *search) {
  if (!job_tighten(job)) {
    if (job->have) job_bound(job, job->value);
    return true;
  }
  if (job_proven(job)) return true;
  run_search(job, search);
  if (job->fault && job->fault->code != FAULT_NONE) return false;
  if (!job_proven(job) && !job_tighten(job) && job->have) job_bound(job, job->value);
  if (job_proven(job) || job_stop(job)) return true;
  int64_t walk = WALK_TERMS / ((int64_t)job->net.nterms + 1);
  if (job->wide && walk > 0 && !exhaust(job, walk < WALK ? walk : WALK)) return false;
  if (job_proven(job) || job_stop(job)) return true;
  if (job->goal >= 0 && job->net.ncols > SMALL) {
    bool threshold = threshold_goal(job);
    if (!threshold && !relaxation_search(search)) return false;
    bool branch_first =
        !threshold && open_columns(job) < FEW && search->root_seconds <= job_max_root(job);
    if (!branch_first && !job_proven(job) && !job_stop(job) &&
        !anneal(search, 0.8 * job_seconds_left(job))) {
      return false;
    }
    if (job->have && !branch_first && !job_proven(job) && !job_stop(job) &&
        !run_neighbourhoods(job, search)) {
      return false;
    }
  }
  if (job_proven(job) || job_stop(job)) return true;
  /* A relaxation that is slow once is slow at every node. */
  if (search->root_seconds > job_max_root(job)) return true;
  if (!job_branch(job)) return false;
  if (job_proven(job) || job_stop(job)) return true;
  threshold_again(search, 4 * PATIENCE);
  if (job_proven(job) || job_stop(job)) return true;
  /* A goal of 2^32 - 1 and 2^32 is left open by a few steps, within the noise of the simplex. */
  return (!job->wide && job->step == 0) || exhaust(job, 0);
}

/* Time for a level: most of what is left, but the later ones get a share. */
static void set_deadline(Job *job, size_t levels_after) {
  double left = stop_seconds_left(job->stop);
  job->deadline = 0;
  if (isinf(left)) return;
  double share = levels_after ? 0.6 : 1;
  job->deadline = clock_now() + (int64_t)(fmin(left * share, 1e9) * 1e9);
}

static bool search_and_solve(Job *job) {
  Search search; /* sized for the network, which grows by a row per level */
  if (!search_init(&search, job)) return false;
  bool ok = solve_level(job, &search);
  if (ok && !job_settle(job)) { /* bounds drawn from an answer that was none: start over */
    begin_level(job, job->level);
    search_level(&search);
    ok = job_stop(job) || solve_level(job, &search);
    job_settle(job);
  }
  search_finish(&search);
  return ok;
}

static bool run_stay(Job *job) {
  int64_t since = job_clock();
  if (stop_now(job->stop)) return true;
  set_deadline(job, 1);
  Answer before = *job->answer; /* sizes and phases are those of the real goals */
  void (*progress)(void *, const char *, double, double, double) = job->options.progress;
  job->options.progress = NULL;
  bool ok = fix_level(job, 1e-12) && stay_home(job, begin_goal);
  *job->answer = before;
  job->options.progress = progress;
  job_phase(job, "stay", since);
  return ok;
}

/* When nothing beyond the cut-off exists, the bound is the value, give or take the gap asked for.
 */
static double level_bound(const Job *job) {
  if (!job_proven(job)) return job->bound;
  return fmin(job->bound, job->options.gap > 1e-6 ? job_cutoff(job) : job->value);
}

static bool solve_levels(Job *job) {
  Answer *answer = job->answer;
  bool goals = !job->options.first_answer && job->net.ngoals;
  size_t n = goals ? job->net.ngoals : 1;
  bool all_proven = true;
  for (size_t i = 0; i < n; i++) {
    set_deadline(job, n - 1 - i);
    begin_level(job, goals ? i : job->net.ngoals);
    if (!search_and_solve(job)) return false;
    if (!job->have) {
      answer->status = job->infeasible ? SOLVE_INFEASIBLE : SOLVE_UNKNOWN;
      if (goals) answer->bound[i] = job->bound;
      return true;
    }
    all_proven = all_proven && job_proven(job);
    if (goals) {
      answer->bound[i] = level_bound(job);
      answer->noise[i] =
          fmax(job->model->goals[i].noise, job->step > 0 ? 0 : 5e-7 * (1 + fabs(job->value)));
    }
    if (i + 1 < n && !fix_level(job, 1e-9)) return false;
  }
  answer->status = all_proven ? SOLVE_OPTIMAL : SOLVE_FEASIBLE;
  return job->options.first_answer || run_stay(job);
}

static bool report(Job *job) {
  Answer *answer = job->answer;
  if (!job->have) {
    if (answer->status == SOLVE_UNKNOWN && stop_asked(job->stop)) {
      return fault_set(job->fault, FAULT_INTERRUPT, "interrupted");
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

/* The tolerance of the linear solver matters, and going through all assignments may be short work.
 */
static bool wants_settling(const Job *job) {
  const Net *net = &job->net;
  double log_count = 0;
  for (int32_t g = 0; g < net->ngroups; g++) {
    if (net->groups[g].count) log_count += net->groups[g].size * log2(net->groups[g].count);
  }
  if (log_count > 32) return false;
  if (!model_exact(job->model)) return job->options.judge != NULL;
  return job->wide || net_is_fine(net);
}

static bool solve_network(Job *job) {
  int64_t since = job_clock();
  if (!net_build(job->model, job->options.assume, job->options.nassume, job->skip, job->stop,
                 &job->net, job->fault)) {
    return false;
  }
  if (stop_now(job->stop)) return report(job); /* the network may be half built */
  if (job->net.infeasible) {
    job->answer->status = SOLVE_INFEASIBLE;
    return true;
  }
  job->answer->groups = (size_t)job->net.ngroups;
  job->wide = net_is_wide(&job->net);
  job_phase(job, "presolve", since);
  bool settled = false;
  if (wants_settling(job) &&
      !settle(job->model, &job->options, job->skip, job->stop, job->answer, &settled, job->fault)) {
    return false;
  }
  if (settled) return true;
  return prepare(job) && solve_levels(job) && (!job->fault || !job->fault->code) && report(job);
}

bool solve_without(const Model *model, const SolveOptions *options, const uint8_t *skip, Stop *stop,
                   Answer *out, Fault *fault) {
  Answer answer = {.status = SOLVE_UNKNOWN};
  Job job = {.model = model, .stop = stop, .fault = fault, .answer = &answer, .skip = skip};
  *out = (Answer){0};
  if (!model_ok(model)) {
    return fault_set(fault, model_fault(model)->code, "%s", model_fault(model)->text);
  }
  if (options) job.options = *options;
  job.started = clock_now();
  answer.nlevels = model_nlevels(model);
  answer.objective = calloc(answer.nlevels + 1, sizeof *answer.objective);
  answer.bound = calloc(answer.nlevels + 1, sizeof *answer.bound);
  answer.noise = calloc(answer.nlevels + 1, sizeof *answer.noise);
  bool ok = (answer.objective && answer.bound && answer.noise) || fault_oom(fault);
  for (size_t i = 0; ok && i < answer.nlevels; i++) {
    answer.objective[i] = -INFINITY;
    answer.bound[i] = INFINITY;
  }
  ok = ok && solve_network(&job);
  finish(&job);
  if (!ok) answer_finish(&answer);
  *out = answer;
  return ok;
}

bool solver_solve(const Model *model, const SolveOptions *options, Stop *stop, Answer *out,
                  Fault *fault) {
  return solve_without(model, options, NULL, stop, out, fault);
}
