/*
** Infeasible cores: a deletion filter, see model.h.
**
** Whole groups (rules) are left out first, then single tags; what is left when nothing more can go
** is a minimal core. Each step is one feasibility solve without goals.
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
  bool unsettled; /* some step ran out of time */
} Filter;

/* Is the model without the skipped tags infeasible? */
static bool test(Filter *filter, SolveStatus *out) {
  Answer answer;
  SolveOptions options = filter->options ? *filter->options : (SolveOptions){0};
  options.first_answer = true;
  options.progress = NULL;
  if (!solve_without(filter->model, &options, filter->skip, filter->stop, &answer,
                     filter->fault)) {
    return false;
  }
  *out = answer.status;
  answer_finish(&answer);
  return true;
}

/* Try to leave out the tags whose `of` entry is `which`. */
static bool try_without(Filter *filter, const int *of, int which) {
  SolveStatus status;
  bool any = false;
  for (size_t i = 0; i < filter->ntags; i++) {
    if (of[i] != which || filter->skip[i]) continue;
    filter->skip[i] = 2; /* on trial */
    any = true;
  }
  if (!any) return true;
  if (!test(filter, &status)) return false;
  if (status == SOLVE_UNKNOWN) filter->unsettled = true;
  for (size_t i = 0; i < filter->ntags; i++) {
    if (filter->skip[i] == 2) filter->skip[i] = status == SOLVE_INFEASIBLE;
  }
  return true;
}

static bool reduce(Filter *filter, const int *of) {
  int top = -1;
  for (size_t i = 0; i < filter->ntags; i++) top = of[i] > top ? of[i] : top;
  for (int which = 0; which <= top; which++) {
    if (stop_asked(filter->stop)) {
      return fault_set(filter->fault, FAULT_INTERRUPT, "solver: interrupted");
    }
    if (!try_without(filter, of, which)) return false;
  }
  return true;
}

static bool first_test(Filter *filter) {
  SolveStatus status;
  if (!test(filter, &status)) return false;
  if (status == SOLVE_INFEASIBLE) return true;
  if (status == SOLVE_UNKNOWN) {
    return fault_set(filter->fault, FAULT_TIMEOUT, "solver: no time to tell whether the model is "
                     "infeasible");
  }
  return fault_set(filter->fault, FAULT_INVALID, "solver: the model is feasible, there is no core");
}

bool solver_core(const Model *model, const int *groups, size_t ntags, const SolveOptions *options,
                 Stop *stop, int **out_tags, size_t *out_count, bool *out_minimal, Fault *fault) {
  bool ok = false;
  Filter filter = {.model = model, .options = options, .stop = stop, .fault = fault};
  int *single = NULL, *tags = NULL;
  int largest = model_largest_tag(model);
  filter.ntags = (size_t)largest + 1 > ntags ? (size_t)largest + 1 : ntags;
  filter.skip = calloc(filter.ntags + 1, 1);
  single = malloc((filter.ntags + 1) * sizeof *single);
  tags = malloc((filter.ntags + 1) * sizeof *tags);
  if (!filter.skip || !single || !tags) {
    fault_oom(fault);
    goto out;
  }
  if (!first_test(&filter)) goto out;
  for (size_t i = 0; i < filter.ntags; i++) single[i] = groups && i < ntags ? groups[i] : (int)i;
  if (groups && !reduce(&filter, single)) goto out;
  for (size_t i = 0; i < filter.ntags; i++) single[i] = (int)i;
  if (!reduce(&filter, single)) goto out;
  size_t count = 0;
  for (size_t i = 0; i < filter.ntags; i++) {
    if (!filter.skip[i]) tags[count++] = (int)i;
  }
  *out_tags = tags;
  *out_count = count;
  *out_minimal = !filter.unsettled;
  tags = NULL;
  ok = true;
out:
  free(filter.skip);
  free(single);
  free(tags);
  return ok;
}
