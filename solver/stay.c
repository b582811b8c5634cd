/*
** Among equal answers, the one that changes least: see model_start_choice().
**
** What was reached stays a requirement; the new goal is the number of choices and integers that
** keep their present value. Single moves first, then a short branch and cut; no proof is sought.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/search.h"

enum { MAX_COLUMNS = 3000, MAX_NODES = 100, MAX_ITERATIONS = 4000, MAX_PASSES = 3 };

/* The goal: columns that hold present values. For a group whose members start in several places
** the count of one place may exceed those who started there; as a reward that is close enough, the
** true count decides what is kept. */
static bool add_goal(Job *job, const double *start, int32_t *out_goal) {
  Net *net = &job->net;
  Term *terms = malloc(((size_t)net->nprimary + 1) * sizeof *terms);
  if (!terms) return fault_oom(job->fault);
  size_t count = 0;
  for (int32_t c = 0; c < net->nprimary; c++) {
    if (net->group[c] >= 0 && start[c] > 0.5) terms[count++] = (Term){c, 1};
  }
  bool ok = net_add_goal(net, terms, count, out_goal) && net_index(net);
  free(terms);
  return ok || fault_oom(job->fault);
}

/* Units of a group that are where no member started, while a start has room: move them home. */
static int move_home(Search *search, const NetGroup *group, const double *start) {
  State *s = &search->state;
  int moved = 0;
  for (int32_t to = group->first; to < group->first + group->count; to++) {
    if (start[to] < 0.5) continue;
    for (int32_t from = group->first; from < group->first + group->count; from++) {
      if (s->value[to] >= start[to] || s->value[to] >= s->hi[to]) break;
      if (from == to || s->value[from] <= start[from] || s->value[from] <= s->lo[from]) continue;
      state_change(s, from, -1);
      state_change(s, to, 1);
      if (!s->nviolated) {
        moved++;
        continue;
      }
      state_change(s, to, -1);
      state_change(s, from, 1);
    }
  }
  return moved;
}

static int number_home(Search *search, int32_t c, double start) {
  State *s = &search->state;
  double by = start - s->value[c];
  if (isnan(start) || by == 0 || start < s->lo[c] || start > s->hi[c]) return 0;
  state_change(s, c, by);
  if (!s->nviolated) return 1;
  state_change(s, c, -by);
  return 0;
}

static void single_moves(Search *search, const double *start) {
  Job *job = search->job;
  const Net *net = &job->net;
  State *s = &search->state;
  state_caps(s, job->lo, job->hi, -1, 0);
  state_set(s, job->best);
  for (int pass = 0; pass < MAX_PASSES && !job_stop(job) && !s->nviolated; pass++) {
    int moved = 0;
    for (int32_t g = 0; g < net->ngroups; g++) moved += move_home(search, &net->groups[g], start);
    for (int32_t c = 0; c < net->nprimary; c++) {
      if (net->group[c] < 0) moved += number_home(search, c, start[c]);
    }
    if (!moved) break;
  }
  memcpy(search->trial, s->value, ((size_t)net->ncols + 1) * sizeof *search->trial);
  if (!s->nviolated) job_take(job, search->trial);
}

static double stayers(const Net *net, const double *columns, const double *start) {
  double count = 0;
  for (int32_t c = 0; c < net->nprimary; c++) {
    if (net->group[c] >= 0) count += fmin(columns[c], start[c]);
    if (net->group[c] < 0) count += columns[c] == start[c];
  }
  return count;
}

static double starters(const Net *net, const double *start) {
  double count = 0;
  for (int32_t c = 0; c < net->nprimary; c++) {
    if (!isnan(start[c])) count += net->group[c] >= 0 ? start[c] : 1;
  }
  return count;
}

/* With the goal in place: moves, then branch and cut; the better of the two by the true count. */
static bool improve(Job *job, Search *search, const double *start, double *kept) {
  const Net *net = &job->net;
  size_t bytes = ((size_t)net->ncols + 1) * sizeof *kept;
  single_moves(search, start);
  memcpy(kept, job->best, bytes);
  double count = stayers(net, kept, start);
  if (net->ncols > MAX_COLUMNS || job_stop(job) || count >= starters(net, start)) return true;
  job->max_nodes = MAX_NODES;
  job->max_iterations = MAX_ITERATIONS;
  if (job_tighten(job) && !job_branch(job)) return false;
  if (stayers(net, job->best, start) < count) job_take(job, kept);
  return true;
}

bool stay_home(Job *job, void (*begin)(Job *job, int32_t goal)) {
  Net *net = &job->net;
  Search search;
  int32_t goal = -1;
  size_t bytes = ((size_t)net->ncols + 1) * sizeof(double);
  double *start = calloc(1, bytes), *kept = calloc(1, bytes);
  bool ok = (start && kept) || fault_oom(job->fault);
  if (ok) net_start(net, start);
  if (ok && stayers(net, job->best, start) < starters(net, start)) {
    ok = add_goal(job, start, &goal) && search_init(&search, job);
    if (ok) {
      begin(job, goal);
      ok = improve(job, &search, start, kept);
      search_finish(&search);
    }
  }
  free(start);
  free(kept);
  return ok;
}
