/*
** Random small models of decimal fractions, numbers far apart and numbers that nearly agree,
** against an owner who adds them up in another order than the model does.
**
**   rounds [count [seed]]
**
** Every model is solved twice: settled by going through all assignments, which must be right to the
** last digit, and by search and linear programs, which may leave things open and have a gap, but
** must not claim what the owner finds untrue.
*/
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "solver/model.h"

enum { MAX_CHOICES = 5, MAX_VALUES = 4, MAX_SUMS = 7, MAX_TERMS = MAX_CHOICES * MAX_VALUES };

/* What a choice adds, by value. */
typedef struct Sum {
  double weight[MAX_CHOICES][MAX_VALUES];
  double bound;
  Lit at_most; /* sum <= bound */
} Sum;

/* A requirement: the sum is at most its bound; or that of two sums one is (`other` >= 0), or that
** the first is not (`negated`). */
typedef struct Rule {
  int sum, other;
  bool negated;
} Rule;

typedef struct World {
  uint64_t random;
  Model *model;
  int nchoices, nvalues, nsums, nrules, count;
  Var first[MAX_CHOICES];
  Sum sums[MAX_SUMS]; /* the last is the goal; before it, what the goal counts besides: at_most */
  Rule rules[MAX_SUMS];
  bool counts; /* the goal also counts how many sums are at most their bounds */
  double scale;
} World;

static int draw(World *w, int n) {
  w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (int)(((w->random >> 33) * (uint64_t)n) >> 31);
}

/* ---- making --------------------------------------------------------------------------------- */

static const double numbers[4][6] = {{0.1, 0.2, 0.3, 0.4, 0.7, 1.1},
                                     {0.1, 0.10000000001, 0.2, 0.2000000001, 0.3, 0.1},
                                     {1e9, 1e6, 0.1, 123456789.3, 0.001, 3e8},
                                     {1e-6, 2e-6, 3e-6, 1, 0.1, 1e-6}};

static Sum make_sum(World *w, int kind) {
  Sum sum = {.bound = 0};
  for (int i = 0; i < w->nchoices; i++) {
    for (int v = 0; v < w->nvalues; v++) {
      sum.weight[i][v] = draw(w, 3) ? numbers[kind][draw(w, 6)] : 0;
      w->scale = fmax(w->scale, sum.weight[i][v]);
    }
    sum.bound += sum.weight[i][draw(w, w->nvalues)]; /* so that it is met, or nearly */
  }
  Lin lin = {0};
  for (int i = 0; i < w->nchoices; i++) {
    for (int v = 0; v < w->nvalues; v++) lin_add(&lin, w->first[i] + v, sum.weight[i][v]);
  }
  sum.at_most = model_le(w->model, &lin, sum.bound);
  lin_finish(&lin);
  return sum;
}

static void post_rules(World *w) {
  for (int r = 0; r < w->nrules; r++) {
    Rule *rule = &w->rules[r];
    rule->sum = draw(w, w->nsums);
    rule->other = draw(w, 3) ? -1 : draw(w, w->nsums);
    rule->negated = draw(w, 3) == 0;
    Lit lit = w->sums[rule->sum].at_most;
    if (rule->negated) lit = lit_not(lit);
    Lit both[2] = {lit, rule->other < 0 ? lit : w->sums[rule->other].at_most};
    model_require_lit(w->model, rule->other < 0 ? lit : model_or(w->model, both, 2), r);
  }
}

static void post_goal(World *w, const Sum *goal) {
  Lin lin = {0};
  for (int i = 0; i < w->nchoices; i++) {
    for (int v = 0; v < w->nvalues; v++) lin_add(&lin, w->first[i] + v, goal->weight[i][v]);
  }
  for (int s = 0; w->counts && s < w->nsums; s++) lin_add_lit(&lin, w->sums[s].at_most, 1);
  model_goal(w->model, 1, true, &lin);
  lin_finish(&lin);
}

static void make(World *w, uint64_t seed) {
  *w = (World){.random = seed * UINT64_C(0x9E3779B97F4A7C15) + 12345, .model = model_create()};
  draw(w, 2);
  int kind = draw(w, 4);
  w->nchoices = 2 + draw(w, MAX_CHOICES - 1);
  w->nvalues = 2 + draw(w, MAX_VALUES - 1);
  w->nsums = 1 + draw(w, MAX_SUMS - 1);
  w->nrules = 1 + draw(w, 3);
  w->counts = draw(w, 2) == 0;
  w->count = 1;
  for (int i = 0; i < w->nchoices; i++) {
    w->first[i] = model_choice(w->model, w->nvalues);
    w->count *= w->nvalues;
  }
  for (int s = 0; s < w->nsums; s++) w->sums[s] = make_sum(w, kind);
  post_rules(w);
  w->sums[w->nsums] = make_sum(w, kind);
  post_goal(w, &w->sums[w->nsums]);
}

/* ---- the owner ------------------------------------------------------------------------------ */

static double owners_sum(const World *w, const Sum *sum, int assignment) {
  int digits[MAX_CHOICES];
  double total = 0;
  for (int i = 0; i < w->nchoices; i++, assignment /= w->nvalues) {
    digits[i] = assignment % w->nvalues;
  }
  for (int i = w->nchoices; i-- > 0;) total += sum->weight[i][digits[i]]; /* the last one first */
  return total;
}

static bool owner_holds(const World *w, int assignment, const uint8_t *skip) {
  bool at_most[MAX_SUMS];
  for (int s = 0; s < w->nsums; s++) {
    at_most[s] = owners_sum(w, &w->sums[s], assignment) <= w->sums[s].bound;
  }
  for (int r = 0; r < w->nrules; r++) {
    const Rule *rule = &w->rules[r];
    bool holds = at_most[rule->sum] != rule->negated;
    if (rule->other >= 0) holds = holds || at_most[rule->other];
    if (!holds && !(skip && skip[r])) return false;
  }
  return true;
}

static double owners_goal(const World *w, int assignment) {
  double goal = owners_sum(w, &w->sums[w->nsums], assignment);
  for (int s = 0; w->counts && s < w->nsums; s++) {
    goal += owners_sum(w, &w->sums[s], assignment) <= w->sums[s].bound;
  }
  return goal;
}

static int read_assignment(const World *w, const double *values) {
  int assignment = 0, weight = 1;
  for (int i = 0; i < w->nchoices; i++, weight *= w->nvalues) {
    for (int v = 0; v < w->nvalues; v++)
      assignment += values[w->first[i] + v] > 0.5 ? weight * v : 0;
  }
  return assignment;
}

static bool ask(void *ctx, const double *values, const uint8_t *skip, bool *out_holds,
                double *out_levels, Fault *fault) {
  const World *w = ctx;
  (void)fault;
  int assignment = read_assignment(w, values);
  *out_holds = owner_holds(w, assignment, skip);
  out_levels[0] = owners_goal(w, assignment);
  return true;
}

/* The owner's best assignment, -1: there is none. */
static int owners_best(const World *w, const uint8_t *skip) {
  int best = -1;
  for (int a = 0; a < w->count; a++) {
    if (!owner_holds(w, a, skip)) continue;
    if (best < 0 || owners_goal(w, a) > owners_goal(w, best)) best = a;
  }
  return best;
}

/* ---- checking ------------------------------------------------------------------------------- */

static bool wrong(uint64_t seed, const char *how, const char *what) {
  printf("seed %llu, %s: %s\n", (unsigned long long)seed, how, what);
  return false;
}

static bool check_answer(const World *w, uint64_t seed, const char *how, const Answer *answer,
                         int best, double gap) {
  if (best < 0) return wrong(seed, how, "an answer, but there is none");
  int assignment = read_assignment(w, answer->values);
  double own = owners_goal(w, assignment), most = owners_goal(w, best);
  double noise = 1e-13 * MAX_CHOICES * (w->scale + w->counts); /* what is counted adds ones */
  if (!owner_holds(w, assignment, NULL)) return wrong(seed, how, "the answer breaks a rule");
  if (fabs(answer->objective[0] - own) > noise) return wrong(seed, how, "the goal is another");
  if (answer->bound[0] < most - noise - gap) return wrong(seed, how, "the bound is too low");
  if (answer->status == SOLVE_OPTIMAL && own < most - noise - gap) {
    return wrong(seed, how, "not optimal");
  }
  return true;
}

static bool check_core(World *w, uint64_t seed, const char *how, const SolveOptions *options) {
  uint8_t skip[MAX_SUMS];
  int *core = NULL;
  size_t count = 0;
  bool minimal = false, ok = true;
  Fault fault = {0};
  if (!solver_core(w->model, NULL, options, NULL, &core, &count, &minimal, &fault)) {
    return fault.code == FAULT_TIMEOUT || wrong(seed, how, fault.text);
  }
  memset(skip, 1, sizeof skip);
  for (size_t i = 0; i < count; i++) skip[core[i]] = 0;
  if (owners_best(w, skip) >= 0) ok = wrong(seed, how, "the core is feasible");
  if (options->settle == 0 && !minimal) ok = wrong(seed, how, "the core is not proven minimal");
  for (size_t i = 0; ok && minimal && i < count; i++) {
    skip[core[i]] = 1;
    if (owners_best(w, skip) < 0) ok = wrong(seed, how, "the core is not minimal");
    skip[core[i]] = 0;
  }
  free(core);
  return ok;
}

static int statuses[2][4];

static bool check(World *w, uint64_t seed, bool settle) {
  const char *how = settle ? "settled" : "searched";
  const Judge judge = {ask, w};
  SolveOptions options = {.seed = seed, .judge = &judge, .settle = settle ? 0 : -1};
  Answer answer;
  Fault fault = {0};
  int best = owners_best(w, NULL);
  double gap = settle || best < 0 ? 0 : 1.01e-6 * fmax(1, fabs(owners_goal(w, best)));
  if (!solver_solve(w->model, &options, NULL, &answer, &fault)) return wrong(seed, how, fault.text);
  statuses[settle][answer.status]++;
  bool ok = true;
  if (answer.values) {
    ok = check_answer(w, seed, how, &answer, best, gap);
  } else if (answer.status == SOLVE_INFEASIBLE) {
    ok = best < 0 ? check_core(w, seed, how, &options) : wrong(seed, how, "there is an answer");
  }
  if (settle && answer.status != (best < 0 ? SOLVE_INFEASIBLE : SOLVE_OPTIMAL)) {
    ok = wrong(seed, how, "not settled");
  }
  answer_finish(&answer);
  return ok;
}

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 1000, bad = 0;
  uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  static World world;
  for (long i = 0; i < count && bad < 20; i++) {
    make(&world, seed + (uint64_t)i);
    if (!model_ok(world.model)) bad += !wrong(seed + (uint64_t)i, "made", "a fault");
    bad += !check(&world, seed + (uint64_t)i, true);
    bad += !check(&world, seed + (uint64_t)i, false);
    model_destroy(world.model);
  }
  int open = statuses[0][SOLVE_FEASIBLE] + statuses[0][SOLVE_UNKNOWN];
  printf("rounds: %ld models from seed %llu, %d with an answer, %d left open by the search, "
         "%ld wrong\n",
         count, (unsigned long long)seed, statuses[1][SOLVE_OPTIMAL], open, bad);
  return bad != 0;
}
