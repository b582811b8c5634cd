/*
** Random small models against exhaustive enumeration.
**
** The test keeps its own picture of every model (nodes, rows, goals) and evaluates it with its own
** code; the solver sees only what the public functions were told. Usage: brute [count [seed]].
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/solver/build.h"

static bool wrong(uint64_t seed, const char *what) {
  printf("seed %llu: %s\n", (unsigned long long)seed, what);
  return false;
}

/* The primaries of an answer, in the test's own terms. */
static void read_assignment(const World *w, const double *values, int *assignment) {
  for (int i = 0; i < w->nprimaries; i++) {
    const Primary *p = &w->primaries[i];
    assignment[i] = p->choice ? -1 : (int)values[p->var];
    for (int v = 0; p->choice && v < p->count; v++) {
      if (values[p->var + v] == 1) assignment[i] = v;
    }
  }
}

/* Every node's model variable has the value the test computes (folding, sharing, evaluation). */
static bool same_values(const World *w, uint64_t seed, const double *mine, const double *theirs) {
  for (int i = 0; i < w->nnodes; i++) {
    const Node *node = &w->nodes[i];
    double value = node->boolean ? (theirs[lit_var(node->lit)] == 1) != lit_negative(node->lit)
                                 : theirs[node->var];
    if (fabs(value - mine[i]) > 1e-9) {
      printf("node %d kind %d: %g, not %g\n", i, (int)node->kind, value, mine[i]);
      return wrong(seed, "evaluation differs");
    }
  }
  return true;
}

static bool check_answer(const World *w, uint64_t seed, const Answer *answer, const double *best) {
  int assignment[MAX_PRIMARIES];
  double values[MAX_NODES];
  read_assignment(w, answer->values, assignment);
  evaluate(w, assignment, values);
  if (!same_values(w, seed, values, answer->values)) return false;
  if (!feasible(w, values, NULL)) return wrong(seed, "the answer is not feasible");
  for (int i = 0; i < w->nlevels; i++) {
    double own = sum_value(&w->goals[i], values), tolerance = 1e-5 * (1 + fabs(best[i]));
    if (fabs(own - answer->objective[i]) > 1e-7 * (1 + fabs(own))) {
      return wrong(seed, "the objective is not the answer's");
    }
    if (fabs(own - best[i]) > tolerance) {
      printf("level %d: %.9g, best %.9g\n", i, own, best[i]);
      return wrong(seed, "not optimal");
    }
    if (answer->bound[i] < best[i] - tolerance) return wrong(seed, "the bound is too low");
  }
  return true;
}

/* No row is named that the whole of the others can do without. */
static bool check_core_rows(const World *w, const int *rows, const int *core, size_t count) {
  double ignored[MAX_LEVELS];
  for (size_t i = 0; i < count; i++) {
    uint8_t tags[2 * MAX_ROWS] = {0};
    for (int t = 0; t < w->ntags; t++) {
      for (size_t k = 0; k < count; k++) tags[t] |= rows[core[k]] == rows[t];
      if (rows[t] == rows[core[i]]) tags[t] = 0;
    }
    if (!enumerate(w, tags, ignored)) return false;
  }
  return true;
}

static bool check_core(const World *w, uint64_t seed) {
  uint8_t tags[2 * MAX_ROWS] = {0};
  double ignored[MAX_LEVELS];
  int *core = NULL;
  size_t count = 0;
  bool minimal = false, ok = true;
  Fault fault = {0};
  int groups[2 * MAX_ROWS], rows[2 * MAX_ROWS];
  for (int i = 0; i < w->ntags; i++) {
    groups[i] = i / 4;
    rows[i] = i / 2;
  }
  TagParts parts = {(size_t)w->ntags, seed % 2 ? groups : NULL, seed % 3 ? rows : NULL};
  if (!solver_core(w->model, &parts, NULL, NULL, &core, &count, &minimal, &fault)) {
    return wrong(seed, fault.text);
  }
  for (size_t i = 0; i < count; i++) tags[core[i]] = 1;
  if (enumerate(w, tags, ignored)) ok = wrong(seed, "the core is feasible");
  if (!minimal) ok = wrong(seed, "the core is not proven minimal");
  for (size_t i = 0; ok && i < count; i++) {
    tags[core[i]] = 0;
    if (!enumerate(w, tags, ignored)) ok = wrong(seed, "the core is not minimal");
    tags[core[i]] = 1;
  }
  if (ok && parts.rows && !check_core_rows(w, rows, core, count)) {
    ok = wrong(seed, "a row of the core is not needed");
  }
  free(core);
  return ok;
}

static int statuses[4];

static bool check(World *w, uint64_t seed) {
  double best[MAX_LEVELS] = {0};
  Answer answer;
  Fault fault = {0};
  SolveOptions options = {.seed = seed};
  if (!model_ok(w->model)) return wrong(seed, model_fault(w->model)->text);
  bool any = enumerate(w, NULL, best);
  if (!solver_solve(w->model, &options, NULL, &answer, &fault)) return wrong(seed, fault.text);
  statuses[answer.status]++;
  bool ok = true;
  if (answer.status != (any ? SOLVE_OPTIMAL : SOLVE_INFEASIBLE)) {
    printf("%s, but %s\n", solve_status_name(answer.status), any ? "feasible" : "infeasible");
    ok = wrong(seed, "wrong status");
  } else if (any) {
    ok = check_answer(w, seed, &answer, best);
  } else {
    ok = check_core(w, seed);
  }
  answer_finish(&answer);
  return ok;
}

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 1000;
  uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  static World world;
  long bad = 0;
  for (long i = 0; i < count && bad < 20; i++) {
    build(&world, seed + (uint64_t)i);
    bad += !check(&world, seed + (uint64_t)i);
    model_destroy(world.model);
  }
  printf("brute: %ld models from seed %llu, %d optimal, %d infeasible, %ld wrong\n", count,
         (unsigned long long)seed, statuses[SOLVE_OPTIMAL], statuses[SOLVE_INFEASIBLE], bad);
  return bad != 0;
}
