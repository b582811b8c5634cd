/*
** Models too large for branch and cut: what the search finds is valued once more by the test.
*/
#include <math.h>
#include <stdio.h>
#include <string.h>

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

static bool has_phase(const Answer *a, const char *name) {
  bool found = false;
  for (int i = 0; i < a->nphases; i++) found |= strcmp(a->phases[i].name, name) == 0;
  return found;
}

static void stop_after_exchanges(void *ctx, const char *phase, double seconds, double objective,
                                 double bound) {
  (void)seconds, (void)objective, (void)bound;
  if (!strcmp(phase, "anneal")) stop_request(ctx);
}

/* Too large for branch and cut, and the cheap places are too few: 80 parcels into 100 boxes. The
** cost is summed here once more, the room in the boxes too. */
static void test_exchanges(void) {
  enum { PARCELS = 80, BOXES = 100, ROOM = 230, MOST_USED = 30 };
  Model *m = model_create();
  Lin goal = {0}, room[BOXES] = {{0}};
  Var parcels[PARCELS];
  int sizes[PARCELS], costs[PARCELS][BOXES];
  for (int i = 0; i < PARCELS; i++) {
    parcels[i] = model_choice(m, BOXES);
    sizes[i] = 30 + i * 37 % 41;
    for (int b = 0; b < BOXES; b++) {
      costs[i][b] = sizes[i] * (10 + b * b % 97) + (i * 31 + b * 17) % 211;
      lin_add(&room[b], parcels[i] + b, sizes[i]);
      lin_add(&goal, parcels[i] + b, costs[i][b]);
    }
  }
  Lin used = {0}; /* a row over literals that follow from the choices */
  for (int b = 0; b < BOXES; b++) {
    Lit inside[PARCELS];
    for (int i = 0; i < PARCELS; i++) inside[i] = lit_of(parcels[i] + b);
    model_require(m, &room[b], MODEL_LE, ROOM, b);
    lin_add_lit(&used, model_or(m, inside, PARCELS), 1);
  }
  model_require(m, &used, MODEL_LE, MOST_USED, BOXES);
  lin_finish(&used);
  model_goal(m, 1, false, &goal);
  Stop stop = {.deadline = clock_now() + INT64_C(20000000000)};
  SolveOptions options = {.seed = 7, .progress = stop_after_exchanges, .progress_ctx = &stop};
  Answer a;
  Fault fault = {0};
  CHECK(solver_solve(m, &options, &stop, &a, &fault));
  CHECK(a.values && has_phase(&a, "anneal"));
  double total = 0, filled[BOXES] = {0};
  for (int i = 0; a.values && i < PARCELS; i++) {
    int count = 0;
    for (int b = 0; b < BOXES; b++) {
      if (a.values[parcels[i] + b] < 0.5) continue;
      total += costs[i][b];
      filled[b] += sizes[i];
      count++;
    }
    CHECK(count == 1);
  }
  int nused = 0;
  for (int b = 0; b < BOXES; b++) {
    CHECK(filled[b] <= ROOM);
    nused += filled[b] > 0;
  }
  CHECK(nused <= MOST_USED);
  CHECK(a.values && near(total, -a.objective[0]) && a.bound[0] >= a.objective[0]);
  CHECK(a.values && total <= 1.03 * -a.bound[0]);
  answer_finish(&a);
  for (int b = 0; b < BOXES; b++) lin_finish(&room[b]);
  lin_finish(&goal);
  model_destroy(m);
}

int main(void) {
  test_exchanges();
  printf("large: %d checks, %d failed\n", checks, failures);
  return failures != 0;
}
