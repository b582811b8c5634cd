/*
** Every function of solver/model.h on its own: folding, sharing, bounds, evaluation, faults,
** levels, starts, assumptions. Numbers in the checks are worked out by hand.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/stop.h"
#include "solver/model.h"

static int checks, failures;

static void check(bool ok, const char *what, int line) {
  checks++;
  if (ok) return;
  failures++;
  printf("line %d: %s\n", line, what);
}

#define CHECK(condition) check((condition), #condition, __LINE__)

static bool near(double a, double b) { return fabs(a - b) <= 1e-6 * (1 + fabs(b)); }

static Lin lin2(double constant, Var a, double x, Var b, double y) {
  Lin lin = {.constant = constant};
  lin_add(&lin, a, x);
  if (b) lin_add(&lin, b, y);
  return lin;
}

static Answer solve(const Model *m, const SolveOptions *options) {
  Answer answer;
  Fault fault = {0};
  Stop stop = {.deadline = clock_now() + INT64_C(20000000000)};
  if (!solver_solve(m, options, &stop, &answer, &fault)) {
    printf("fault %d: %s\n", (int)fault.code, fault.text);
    failures++;
  }
  return answer;
}

/* ---- expressions */

static void test_lin(void) {
  Lin a = {0}, b = {0};
  lin_add(&a, 5, 2);
  lin_add(&a, VAR_ONE, 4);
  lin_add(&a, 3, 1);
  lin_add(&a, 5, -2);
  lin_add_lit(&a, lit_not(lit_of(7)), 3);
  CHECK(a.constant == 7);
  lin_normalize(&a);
  CHECK(a.count == 2 && a.terms[0].var == 3 && a.terms[1].var == 7 && a.terms[1].coef == -3);
  lin_add_lin(&b, &a, 2);
  lin_add_lin(&b, &b, 1);
  CHECK(b.constant == 28 && b.count == 4);
  lin_scale(&b, 0.5);
  lin_normalize(&b);
  CHECK(b.constant == 14 && b.count == 2 && b.terms[0].coef == 2);
  double values[8] = {1, 0, 0, 10, 0, 0, 0, 1};
  CHECK(model_lin_value(&b, values) == 14 + 20 - 6);
  for (int i = 1000; i > 0; i--) lin_add(&b, 1 + i % 50, 1);
  lin_normalize(&b);
  bool sorted = true;
  for (size_t i = 1; i < b.count; i++) sorted = sorted && b.terms[i - 1].var < b.terms[i].var;
  CHECK(sorted && b.count == 50);
  lin_finish(&a);
  lin_finish(&b);
  CHECK(a.terms == NULL && a.count == 0);
}

/* ---- folding */

static void test_logic(void) {
  Model *m = model_create();
  Var c = model_choice(m, 3), d = model_choice(m, 2), e = model_choice(m, 1);
  Lit c0 = lit_of(c), c1 = lit_of(c + 1), c2 = lit_of(c + 2), d0 = lit_of(d), d1 = lit_of(d + 1);
  CHECK(model_and(m, NULL, 0) == LIT_TRUE);
  CHECK(model_or(m, NULL, 0) == LIT_FALSE);
  CHECK(model_and(m, (Lit[]){c0, LIT_TRUE, c0}, 3) == c0);
  CHECK(model_and(m, (Lit[]){c0, LIT_FALSE}, 2) == LIT_FALSE);
  CHECK(model_and(m, (Lit[]){c0, lit_not(c0)}, 2) == LIT_FALSE);
  CHECK(model_or(m, (Lit[]){c0, lit_not(c0)}, 2) == LIT_TRUE);
  CHECK(model_and(m, (Lit[]){c0, c1}, 2) == LIT_FALSE);
  CHECK(model_or(m, (Lit[]){c0, c1, c2}, 3) == LIT_TRUE);
  CHECK(model_or(m, (Lit[]){c0, c1}, 2) == lit_not(c2));
  CHECK(model_and(m, (Lit[]){c0, lit_not(c1)}, 2) == c0);
  CHECK(model_and(m, (Lit[]){lit_of(e), d0}, 2) == d0);
  CHECK(model_or(m, (Lit[]){d0, d1}, 2) == LIT_TRUE);
  Lit both = model_and(m, (Lit[]){c0, d0}, 2);
  size_t vars = model_nvars(m);
  CHECK(model_and(m, (Lit[]){d0, c0, d0}, 3) == both);
  CHECK(model_or(m, (Lit[]){lit_not(d0), lit_not(c0)}, 2) == lit_not(both));
  CHECK(model_nvars(m) == vars);
  CHECK(model_ok(m));
  model_destroy(m);
}

static void test_tally(void) {
  Model *m = model_create();
  Var a = model_choice(m, 3), b = model_choice(m, 3), c = model_choice(m, 3),
      d = model_choice(m, 2);
  Var ab = model_tally(m, (Var[]){a, b}, 2), abc = model_tally(m, (Var[]){c, a, b}, 3);
  CHECK(model_tally(m, (Var[]){b, a}, 2) == ab && model_tally(m, &d, 1) == d && ab != abc);
  double values[32] = {0}, lo, hi;
  values[a + 1] = values[b + 1] = values[c + 2] = values[d] = 1;
  model_evaluate(m, values);
  CHECK(values[abc] == 0 && values[abc + 1] == 2 && values[abc + 2] == 1 && values[ab + 2] == 0);
  Lin lin = lin2(1, abc, 2, abc + 1, 5); /* a third value counts 0 */
  model_bounds(m, &lin, &lo, &hi);
  CHECK(lo == 1 && hi == 16);
  lin_add(&lin, abc + 2, 3);
  model_bounds(m, &lin, &lo, &hi);
  CHECK(lo == 7 && hi == 16);
  Lin none = lin2(0, abc, 1, 0, 0);
  Lit lits[3] = {lit_not(lit_of(a)), lit_not(lit_of(b)), lit_not(lit_of(c))};
  CHECK(model_le(m, &none, 0) == model_and(m, lits, 3));
  CHECK(model_le(m, &none, 3) == LIT_TRUE && model_ok(m));
  CHECK(model_tally(m, (Var[]){a, d}, 2) == VAR_ONE && !model_ok(m));
  model_destroy(m);
  m = model_create();
  a = model_choice(m, 2);
  CHECK(model_tally(m, (Var[]){a, a}, 2) == VAR_ONE && !model_ok(m));
  model_destroy(m);
  lin_finish(&lin);
  lin_finish(&none);
}

static void test_le(void) {
  Model *m = model_create();
  Var c = model_choice(m, 3), n = model_integer(m, -5, 10), r = model_real(m, 0, 1);
  Lin sum = lin2(0, n, 2, c, 4);
  CHECK(model_le(m, &sum, 24) == LIT_TRUE);
  CHECK(model_le(m, &sum, -11) == LIT_FALSE);
  Lit half = model_le(m, &sum, 7); /* n + 2 c <= 3 after dividing by 2 */
  Lin same = lin2(1, n, 1, c, 2);
  CHECK(model_le(m, &same, 4.9) == half);
  Lin turned = lin2(0, n, -2, c, -4); /* -sum <= -8 is sum >= 8 is not sum <= 7 */
  CHECK(model_le(m, &turned, -8) == lit_not(half));
  Lin one = lin2(0, c, 3, 0, 0);
  CHECK(model_le(m, &one, 2) == lit_not(lit_of(c)));
  Lin values = {0}; /* a function of one choice: 5, 7 or 9 */
  lin_add(&values, c, 5);
  lin_add(&values, c + 1, 7);
  lin_add(&values, c + 2, 9);
  CHECK(model_le(m, &values, 9) == LIT_TRUE);
  CHECK(model_le(m, &values, 4) == LIT_FALSE);
  Lin real = lin2(0, r, 1, 0, 0);
  Lit low = model_le(m, &real, 0.5);
  Lin nan = lin2(NAN, n, 1, 0, 0);
  CHECK(low != LIT_TRUE && low != LIT_FALSE && model_ok(m));
  CHECK(model_le(m, &nan, 0) == LIT_FALSE && !model_ok(m));
  lin_finish(&sum);
  lin_finish(&same);
  lin_finish(&turned);
  lin_finish(&one);
  lin_finish(&values);
  lin_finish(&real);
  lin_finish(&nan);
  model_destroy(m);
}

static void test_numbers(void) {
  Model *m = model_create();
  Var c = model_choice(m, 2), n = model_integer(m, -7, 7);
  Lin plain = lin2(0, n, 1, 0, 0), three = lin2(3, n, 0, 0, 0), shifted = lin2(10, n, 1, 0, 0);
  double lo, hi;
  CHECK(model_product(m, LIT_TRUE, &plain) == n);
  Var gated = model_product(m, lit_of(c), &shifted);
  Lin look = lin2(0, gated, 1, 0, 0);
  model_bounds(m, &look, &lo, &hi);
  CHECK(lo == 0 && hi == 17 && model_is_integral(m, &look));
  Lin itself = lin2(1, c, 2, c + 1, 5); /* under c: 3, the other value does not matter */
  Var scaled = model_product(m, lit_of(c), &itself);
  Lin see = lin2(0, scaled, 1, 0, 0);
  model_bounds(m, &see, &lo, &hi);
  CHECK(lo == 0 && hi == 3);
  Var quotient = model_quotient(m, &plain, 2), negative = model_quotient(m, &plain, -3);
  Var constant = model_quotient(m, &three, 2);
  GuardedLin items[] = {{LIT_TRUE, plain}, {lit_of(c), three}, {LIT_FALSE, shifted}};
  Var most = model_max(m, items, 3), least = model_min(m, items, 3), only = model_max(m, items, 1);
  CHECK(only == n);
  double *v = calloc(model_nvars(m), sizeof *v);
  for (int x = -7; x <= 7; x++) {
    for (int i = 0; i < 2; i++) {
      v[c] = i == 0;
      v[c + 1] = i == 1;
      v[n] = x;
      model_evaluate(m, v);
      CHECK(v[VAR_ONE] == 1 && v[gated] == (i == 0 ? x + 10 : 0) && v[scaled] == (i == 0 ? 3 : 0));
      CHECK(v[quotient] == x / 2 && v[negative] == x / -3 && v[constant] == 1);
      CHECK(v[most] == (i == 0 && x < 3 ? 3 : x) && v[least] == (i == 0 && x > 3 ? 3 : x));
    }
  }
  CHECK(model_max(m, items, 3) == most && model_quotient(m, &plain, 2) == quotient);
  Lin real = lin2(0.5, n, 1, 0, 0);
  CHECK(!model_is_integral(m, &real));
  CHECK(model_quotient(m, &plain, 0) == VAR_ONE && !model_ok(m));
  free(v);
  lin_finish(&plain);
  lin_finish(&three);
  lin_finish(&shifted);
  lin_finish(&look);
  lin_finish(&itself);
  lin_finish(&see);
  lin_finish(&real);
  model_destroy(m);
}

/* ---- faults */

static void faulty(void (*act)(Model *), FaultCode code, int line) {
  Model *m = model_create();
  model_choice(m, 2);
  act(m);
  check(!model_ok(m) && model_fault(m)->code == code && model_fault(m)->text[0], "no fault", line);
  CHECK(model_choice(m, 2) == VAR_ONE && model_and(m, (Lit[]){lit_of(1)}, 1) == LIT_FALSE);
  Answer answer;
  Fault fault = {0};
  CHECK(!solver_solve(m, NULL, NULL, &answer, &fault) && fault.code == code);
  model_destroy(m);
}

static void no_values(Model *m) { model_choice(m, 0); }
static void wide_integer(Model *m) { model_integer(m, 0, 1e17); }
static void empty_integer(Model *m) { model_integer(m, 0.2, 0.8); }
static void endless_real(Model *m) { model_real(m, 0, INFINITY); }
static void unknown_lit(Model *m) { model_require_lit(m, lit_of(99), 0); }
static void negative_lit(Model *m) { model_require_lit(m, -4, 0); }
static void no_lit(Model *m) { model_require_lit(m, lit_of(model_integer(m, 0, 5)), 0); }
static void bad_start(Model *m) { model_start_choice(m, 1, 2); }
static void bad_tag(Model *m) { model_require_lit(m, lit_of(1), -1); }
static void unknown_var(Model *m) {
  Lin lin = lin2(0, 77, 1, 0, 0);
  model_require(m, &lin, MODEL_LE, 0, 0);
  lin_finish(&lin);
}
static void nan_coef(Model *m) {
  Lin lin = lin2(0, 1, NAN, 0, 0);
  model_require(m, &lin, MODEL_LE, 0, 0);
  lin_finish(&lin);
}
static void nan_bound(Model *m) {
  Lin lin = lin2(0, 1, 1, 0, 0);
  model_require(m, &lin, MODEL_GE, NAN, 0);
  lin_finish(&lin);
}
static void huge_goal(Model *m) {
  Lin lin = lin2(0, 1, INFINITY, 0, 0);
  model_goal(m, 1, true, &lin);
  lin_finish(&lin);
}

static void test_faults(void) {
  faulty(no_values, FAULT_INVALID, __LINE__);
  faulty(wide_integer, FAULT_LIMIT, __LINE__);
  faulty(empty_integer, FAULT_INVALID, __LINE__);
  faulty(endless_real, FAULT_INVALID, __LINE__);
  faulty(unknown_lit, FAULT_INVALID, __LINE__);
  faulty(negative_lit, FAULT_INVALID, __LINE__);
  faulty(no_lit, FAULT_INVALID, __LINE__);
  faulty(bad_start, FAULT_INVALID, __LINE__);
  faulty(bad_tag, FAULT_INVALID, __LINE__);
  faulty(unknown_var, FAULT_INVALID, __LINE__);
  faulty(nan_coef, FAULT_INVALID, __LINE__);
  faulty(nan_bound, FAULT_INVALID, __LINE__);
  faulty(huge_goal, FAULT_INVALID, __LINE__);
}

/* ---- solving */

/* Two pods of 2 and 3 cores, two nodes of 4: not on one node. */
static void test_example(void) {
  Model *m = model_create();
  Var a = model_choice(m, 2), b = model_choice(m, 2);
  Lin goal = {0};
  for (int n = 0; n < 2; n++) {
    Lin load = lin2(0, a + n, 2, b + n, 3);
    model_require(m, &load, MODEL_LE, 4, 7);
    lin_finish(&load);
    lin_add_lit(&goal, model_or(m, (Lit[]){lit_of(a + n), lit_of(b + n)}, 2), 1);
  }
  model_goal(m, 1, false, &goal);
  CHECK(model_nlevels(m) == 1 && model_level(m, 0) == 1);
  Answer answer = solve(m, NULL);
  CHECK(answer.status == SOLVE_OPTIMAL && answer.objective[0] == -2 && answer.bound[0] == -2);
  CHECK(strcmp(solve_status_name(answer.status), "optimal") == 0);
  int tag = 0;
  CHECK(model_check(m, answer.values, &tag) == -1 && tag == -1);
  CHECK(model_level_value(m, 0, answer.values) == -2);
  double wrong[16] = {0};
  wrong[a] = wrong[b] = 1;
  model_evaluate(m, wrong);
  CHECK(model_check(m, wrong, &tag) >= 0 && tag == 7);
  wrong[a + 1] = 1;
  CHECK(model_check(m, wrong, &tag) >= 0 && tag == -1);
  answer_finish(&answer);
  lin_finish(&goal);
  model_destroy(m);
}

/* Level 3 before level 8, whatever the order they came in; goals of a level are summed. */
static void test_levels(void) {
  Model *m = model_create();
  Var x = model_integer(m, 0, 10), y = model_integer(m, 0, 10);
  Lin both = lin2(0, x, 1, y, 1), first = lin2(0, x, 1, 0, 0), second = lin2(5, y, 1, 0, 0);
  model_require(m, &both, MODEL_LE, 12, 0);
  model_goal(m, 8, true, &second);
  model_goal(m, 3, true, &first);
  model_goal(m, 3, false, &second);
  model_goal(m, 8, true, &second);
  Answer answer = solve(m, NULL);
  CHECK(model_nlevels(m) == 2 && model_level(m, 0) == 3 && model_level(m, 1) == 8);
  CHECK(answer.status == SOLVE_OPTIMAL && answer.nlevels == 2);
  CHECK(answer.values[x] == 10 && answer.values[y] == 0);
  CHECK(answer.objective[0] == 5 && answer.objective[1] == 10);
  answer_finish(&answer);
  lin_finish(&both);
  lin_finish(&first);
  lin_finish(&second);
  model_destroy(m);
}

/* Reals: maximize 3x + 2y, x + y <= 4, x + 3y <= 6, x <= 3, on a mixed model with a switch. */
static void test_reals(void) {
  Model *m = model_create();
  Var x = model_real(m, 0, 3), y = model_real(m, 0, 100), c = model_choice(m, 2);
  Lin sum = lin2(0, x, 1, y, 1), other = lin2(0, x, 1, y, 3), goal = lin2(0, x, 3, y, 2);
  model_require(m, &sum, MODEL_LE, 4, 0);
  model_require(m, &other, MODEL_LE, 6, 1);
  Lin large = lin2(0, y, 1, 0, 0);
  Lit small = model_le(m, &large, 0.25); /* y <= 1/4 or the switch, which costs 1.6 */
  model_require_clause(m, (Lit[]){small, lit_of(c)}, 2, 2);
  lin_add(&goal, c, -1.6);
  model_goal(m, 1, true, &goal);
  Answer answer = solve(m, NULL); /* with the switch 11 - 1.6, without 9 + 0.5 */
  CHECK(answer.status == SOLVE_OPTIMAL && near(answer.objective[0], 9.5));
  CHECK(near(answer.values[x], 3) && near(answer.values[y], 0.25) && answer.values[c] == 0);
  answer_finish(&answer);
  Lit assume[] = {lit_of(c)};
  SolveOptions options = {.assume = assume, .nassume = 1};
  answer = solve(m, &options);
  CHECK(answer.status == SOLVE_OPTIMAL && near(answer.objective[0], 9.4) && answer.values[c] == 1);
  answer_finish(&answer);
  lin_finish(&sum);
  lin_finish(&other);
  lin_finish(&goal);
  lin_finish(&large);
  model_destroy(m);
}

/* Bytes: one byte too many must be seen among sixteen gibibytes. */
static void test_wide(void) {
  Model *m = model_create();
  double gib = 1073741824;
  Var a = model_choice(m, 2), b = model_choice(m, 2), n = model_integer(m, 0, 9007199254740992.0);
  Lin load = lin2(0, a, 8 * gib, b, 8 * gib + 1), goal = lin2(0, a, 1, b, 1);
  Lin exact = lin2(0, n, 1, a, -4 * gib);
  model_require(m, &load, MODEL_LE, 16 * gib, 0);
  model_require(m, &exact, MODEL_EQ, 7, 1);
  model_goal(m, 1, true, &goal);
  Answer answer = solve(m, NULL);
  CHECK(answer.status == SOLVE_OPTIMAL && answer.objective[0] == 1);
  if (answer.values) CHECK(answer.values[n] == 7 + 4 * gib * answer.values[a]);
  answer_finish(&answer);
  lin_finish(&load);
  lin_finish(&goal);
  lin_finish(&exact);
  model_destroy(m);
}

/* Equal answers: nobody moves without need; with need, as few as possible. */
static void test_stay(void) {
  enum { PODS = 30, NODES = 6 };
  Model *m = model_create();
  Var pods[PODS];
  for (int p = 0; p < PODS; p++) {
    pods[p] = model_choice(m, NODES);
    model_start_choice(m, pods[p], p % 5);
  }
  for (int n = 0; n < NODES; n++) {
    Lin load = {0};
    for (int p = 0; p < PODS; p++) lin_add(&load, pods[p] + n, 1);
    model_require(m, &load, MODEL_LE, n == 0 ? 2 : 8, 0); /* node 0 has 6 and may keep 2 */
    lin_finish(&load);
  }
  Answer answer = solve(m, NULL);
  int moved = 0;
  for (int p = 0; p < PODS && answer.values; p++) moved += answer.values[pods[p] + p % 5] != 1;
  CHECK(answer.status == SOLVE_OPTIMAL && moved == 4);
  answer_finish(&answer);
  model_destroy(m);
}

/* Groups: fifty equal choices are one group of counts; those who differ are not. */
static void test_groups(void) {
  enum { PODS = 50, NODES = 20 };
  Model *m = model_create();
  Var pods[PODS];
  for (int p = 0; p < PODS; p++) pods[p] = model_choice(m, NODES);
  for (int n = 0; n < NODES; n++) {
    Lin load = {0};
    for (int p = 0; p < PODS; p++) lin_add(&load, pods[p] + n, p < 25 ? 1 : 2);
    model_require(m, &load, MODEL_LE, 6, n);
    lin_finish(&load);
    for (int p = 0; p < 10; p++) { /* pairs: ten of them all different, as one clique */
      for (int q = p + 1; q < 10; q++) {
        model_require_at_most_one(m, (Lit[]){lit_of(pods[p] + n), lit_of(pods[q] + n)}, 2, 50);
      }
    }
  }
  Answer answer = solve(m, NULL);
  CHECK(answer.status == SOLVE_OPTIMAL && answer.groups == 3);
  answer_finish(&answer);
  model_destroy(m);
}

static void test_core(void) {
  Model *m = model_create();
  Var x = model_integer(m, 0, 10), y = model_integer(m, 0, 10);
  Lin sum = lin2(0, x, 1, y, 1), only = lin2(0, x, 1, 0, 0), other = lin2(0, y, 1, 0, 0);
  model_require(m, &sum, MODEL_GE, 12, 3);
  model_require(m, &only, MODEL_LE, 5, 4);
  model_require(m, &other, MODEL_GE, 1, 5);
  model_require(m, &other, MODEL_LE, 6, 6);
  int *tags = NULL;
  size_t count = 0;
  bool minimal = false;
  Fault fault = {0};
  CHECK(solver_core(m, NULL, NULL, NULL, &tags, &count, &minimal, &fault));
  CHECK(count == 3 && minimal && tags[0] == 3 && tags[1] == 4 && tags[2] == 6);
  free(tags);
  tags = NULL;
  int groups[] = {0, 0, 0, -7, 1000000, 1000000, 5};
  CHECK(solver_core(m, &(TagParts){7, groups, NULL}, NULL, NULL, &tags, &count, &minimal, &fault));
  CHECK(count == 3 && minimal);
  free(tags);
  Answer answer = solve(m, NULL);
  CHECK(answer.status == SOLVE_INFEASIBLE && answer.values == NULL);
  answer_finish(&answer);
  Model *fine = model_create();
  CHECK(!solver_core(fine, NULL, NULL, NULL, &tags, &count, &minimal, &fault));
  CHECK(fault.code == FAULT_INVALID);
  answer = solve(fine, NULL);
  CHECK(answer.status == SOLVE_OPTIMAL && answer.values && answer.values[VAR_ONE] == 1);
  answer_finish(&answer);
  model_destroy(fine);
  model_destroy(m);
  lin_finish(&sum);
  lin_finish(&only);
  lin_finish(&other);
}

/* The same seed gives the same answer, and the first answer ignores goals. */
static void test_options(void) {
  Model *m = model_create();
  Lin goal = {0};
  for (int i = 0; i < 40; i++) {
    Var c = model_choice(m, 4);
    for (int v = 0; v < 4; v++) lin_add(&goal, c + v, (i * 7 + v * 5) % 11);
  }
  model_require(m, &goal, MODEL_LE, 300, 0);
  model_goal(m, 1, true, &goal);
  SolveOptions options = {.seed = 42};
  Answer a = solve(m, &options), b = solve(m, &options);
  CHECK(a.status == SOLVE_OPTIMAL && a.objective[0] == 300);
  CHECK(memcmp(a.values, b.values, model_nvars(m) * sizeof *a.values) == 0);
  answer_finish(&a);
  answer_finish(&b);
  options.first_answer = true;
  a = solve(m, &options);
  CHECK(a.status == SOLVE_OPTIMAL && a.values);
  answer_finish(&a);
  lin_finish(&goal);
  model_destroy(m);
  CHECK(strncmp(solver_backend(), "GLPK ", 5) == 0);
}

int main(void) {
  test_lin();
  test_logic();
  test_tally();
  test_le();
  test_numbers();
  test_faults();
  test_example();
  test_levels();
  test_reals();
  test_wide();
  test_stay();
  test_groups();
  test_core();
  test_options();
  printf("unit: %d checks, %d failed\n", checks, failures);
  return failures != 0;
}
