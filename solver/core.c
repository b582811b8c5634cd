/*
** Infeasible cores: a deletion filter, see model.h.
**
** Whole groups (rules) are left out first, then rows, then single tags; what is left when nothing
** more can go is a minimal core. Each step is one feasibility solve without goals.
**
** Rows come before their tags: of "on n1 it does not fit" and "on n2 it does not fit", one and the
** same row, the first may go when another row forbids n1 as well. That other row says nothing new,
** and who reads the core would wonder what it is for.
*/
#include <stdlib.h>
#include <string.h>

#include "solver/job.h"
#include "solver/solve.h"

typedef struct Filter {
  const Model *model;
  const SolveOptions *options;
  Stop *stop;
  Fault *fault;
  uint8_t *skip; /* by tag */
  size_t ntags;
  uint8_t *used;             /* by tag: some requirement has it */
  bool last_pass, unsettled; /* a step of the last pass ran out of time */
} Filter;

static bool ask_outer(void *ctx) { return stop_asked(ctx); }

/* Is the model without the skipped tags infeasible? Takes a share of the time left, so that a hard
** step leaves time for the easy ones. */
static bool test(Filter *filter, SolveStatus *out) {
  Answer answer;
  Stop stop = {.asked = filter->stop ? ask_outer : NULL, .ctx = filter->stop};
  double left = stop_seconds_left(filter->stop);
  if (left < 1e6) stop.deadline = clock_now() + (int64_t)(0.3 * left * 1e9) + 1;
  SolveOptions options = filter->options ? *filter->options : (SolveOptions){0};
  options.first_answer = true;
  options.progress = NULL;
  if (!solve_without(filter->model, &options, filter->skip, &stop, &answer, filter->fault)) {
    return false;
  }
  *out = answer.status;
  answer_finish(&answer);
  return true;
}

/* One thing to leave out: a group of tags, or a tag. */
typedef struct Unit {
  int group, tag;
} Unit;

static int by_group(const void *a, const void *b) {
  const Unit *x = a, *y = b;
  if (x->group != y->group) return x->group < y->group ? -1 : 1;
  return x->tag < y->tag ? -1 : x->tag > y->tag;
}

/* Try to leave out units from..to (in order of groups). *out_gone: they are not needed. */
static bool try_without(Filter *filter, const Unit *units, size_t from, size_t to, bool *out_gone) {
  SolveStatus status;
  *out_gone = false;
  if (stop_asked(filter->stop)) {
    return fault_set(filter->fault, FAULT_INTERRUPT, "interrupted");
  }
  for (size_t i = from; i < to; i++) filter->skip[units[i].tag] = 1;
  if (!test(filter, &status)) return false;
  *out_gone = status == SOLVE_INFEASIBLE;
  if (status == SOLVE_UNKNOWN && filter->last_pass) filter->unsettled = true;
  for (size_t i = from; i < to && !*out_gone; i++) filter->skip[units[i].tag] = 0;
  return true;
}

/* The end of the group that starts at `at`. */
static size_t group_end(const Unit *units, size_t count, size_t at) {
  size_t end = at + 1;
  while (end < count && units[end].group == units[at].group) end++;
  return end;
}

/* Leave out runs of `size` groups, where that leaves an infeasible rest. */
static bool pass(Filter *filter, Unit *units, size_t *count, size_t size) {
  size_t kept = 0;
  for (size_t i = 0, end; i < *count; i = end) {
    bool gone;
    end = i;
    for (size_t k = 0; k < size && end < *count; k++) end = group_end(units, *count, end);
    if (!try_without(filter, units, i, end, &gone)) return false;
    for (size_t k = i; k < end && !gone; k++) units[kept++] = units[k];
  }
  *count = kept;
  return true;
}

/* Large runs first: most requirements have nothing to do with it. What the pass over single groups
** found necessary stays necessary when others go later, so that pass ends it. */
static bool reduce(Filter *filter, Unit *units, size_t count) {
  size_t groups = 0;
  qsort(units, count, sizeof *units, by_group);
  for (size_t i = 0; i < count; i = group_end(units, count, i)) groups++;
  for (size_t size = groups / 2; size > 1; size /= 2) {
    if (!pass(filter, units, &count, size)) return false;
  }
  filter->last_pass = true;
  bool ok = pass(filter, units, &count, 1);
  filter->last_pass = false;
  return ok;
}

/* The tags not left out, as units of the groups given (NULL: each its own). */
static size_t list_units(const Filter *filter, const int *groups, size_t ngroups, Unit *units) {
  size_t count = 0;
  for (size_t i = 0; i < filter->ntags; i++) {
    if (filter->skip[i] || !filter->used[i]) continue;
    units[count++] = (Unit){groups && i < ngroups ? groups[i] : (int)i, (int)i};
  }
  return count;
}

static bool first_test(Filter *filter) {
  SolveStatus status;
  if (!test(filter, &status)) return false;
  if (status == SOLVE_INFEASIBLE) return true;
  if (status == SOLVE_UNKNOWN) {
    return fault_set(filter->fault, FAULT_TIMEOUT,
                     "solver: no time to tell whether the model is "
                     "infeasible");
  }
  return fault_set(filter->fault, FAULT_INVALID, "solver: the model is feasible, there is no core");
}

/* Of rows that have several tags left, which of these are needed? The only one is. */
static bool reduce_rows(Filter *filter, const TagParts *parts, Unit *units) {
  size_t count = list_units(filter, parts->rows, parts->ntags, units), kept = 0;
  qsort(units, count, sizeof *units, by_group);
  for (size_t i = 0, end; i < count; i = end) {
    end = group_end(units, count, i);
    for (size_t k = i; k < end && end > i + 1; k++) {
      units[kept++] = (Unit){units[k].tag, units[k].tag};
    }
  }
  return reduce(filter, units, kept);
}

static bool reduce_all(Filter *filter, const TagParts *parts, Unit *units) {
  if (parts->groups) {
    size_t count = list_units(filter, parts->groups, parts->ntags, units);
    if (!reduce(filter, units, count)) return false;
    filter->unsettled = false; /* groups only help; what counts is the passes over what is named */
  }
  if (!reduce(filter, units, list_units(filter, parts->rows, parts->ntags, units))) return false;
  return !parts->rows || reduce_rows(filter, parts, units);
}

bool solver_core(const Model *model, const TagParts *parts, const SolveOptions *options, Stop *stop,
                 int **out_tags, size_t *out_count, bool *out_minimal, Fault *fault) {
  bool ok = false;
  Filter filter = {.model = model, .options = options, .stop = stop, .fault = fault};
  filter.ntags = (size_t)(model_largest_tag(model) + 1);
  filter.skip = calloc(filter.ntags + 1, 1);
  filter.used = calloc(filter.ntags + 1, 1);
  Unit *units = malloc((filter.ntags + 1) * sizeof *units);
  int *tags = malloc((filter.ntags + 1) * sizeof *tags);
  if (!filter.skip || !filter.used || !units || !tags) {
    fault_oom(fault);
    goto out;
  }
  model_mark_tags(model, filter.used);
  if (!first_test(&filter)) goto out;
  if (!reduce_all(&filter, parts ? parts : &(TagParts){0}, units)) goto out;
  size_t count = list_units(&filter, NULL, 0, units);
  for (size_t i = 0; i < count; i++) tags[i] = units[i].tag;
  *out_tags = tags;
  *out_count = count;
  *out_minimal = !filter.unsettled;
  tags = NULL;
  ok = true;
out:
  free(filter.skip);
  free(filter.used);
  free(units);
  free(tags);
  return ok;
}
