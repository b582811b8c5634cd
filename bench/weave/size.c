/*
** How making the model grows: 100 pods on 1,000, 3,000 and 10,000 nodes. A candidate pair is a pod
** and a node it could be given before any rule is read.
**
**   size [--long]
*/
#include <stddef.h>

#include "bench/table.h"
#include "bench/weave/subject.h"

static const int nodes[] = {1000, 3000, 10000};
enum { NSIZES = sizeof nodes / sizeof *nodes, PODS = 100 };

static Solved solved[NSIZES][NGOALS][MOST_ROUNDS];

static double field(const Solved *runs, int rounds, size_t offset) {
  double values[MOST_ROUNDS];
  for (int r = 0; r < rounds; r++) {
    memcpy(&values[r], (const char *)&runs[r] + offset, sizeof *values);
  }
  return median(values, rounds);
}

static int run_round(int seed) {
  int failures = 0;
  for (int i = 0; i < NSIZES; i++) {
    Cluster c = cluster_make(nodes[i], PODS, false, seed);
    sqlite3 *db = subject_open(&c);
    for (Goal goal = 0; goal < NGOALS; goal++) {
      Solved *out = &solved[i][goal][seed - 1];
      *out = subject_solve(db, &c, goal, 3);
      if (!out->wrong) continue;
      failures++;
      printf("FAILURE: %d nodes, %s, seed %d: %s\n", nodes[i], goal_names[goal], seed, out->wrong);
    }
    sqlite3_close(db);
    cluster_finish(&c);
  }
  return failures;
}

static void print_row(int size, Goal goal, int rounds) {
  const Solved *runs = solved[size][goal];
  double rows = field(runs, rounds, offsetof(Solved, rows));
  double rules = field(runs, rounds, offsetof(Solved, rules));
  double pairs = field(runs, rounds, offsetof(Solved, candidates));
  double gap = field(runs, rounds, offsetof(Solved, gap));
  int proven = 0;
  for (int r = 0; r < rounds; r++) proven += !strcmp(runs[r].status, "optimal");
  printf("| %d × %d | %s | %.0f | %.3f | %.3f | %.0f | %.3f | %.3f | %.3f | %.3f | %d/%d |",
         nodes[size], PODS, goal_names[goal], pairs, rows, rules, 1e9 * (rows + rules) / pairs,
         field(runs, rounds, offsetof(Solved, solver)),
         field(runs, rounds, offsetof(Solved, verify)), field(runs, rounds, offsetof(Solved, wall)),
         field(runs, rounds, offsetof(Solved, cpu)), proven, rounds);
  if (isfinite(gap)) {
    printf(" %.2f %% |\n", 100 * gap);
  } else {
    printf(" none |\n");
  }
}

int main(int argc, char **argv) {
  int rounds = option_given(argc, argv, "--long") ? 11 : 5, failures = 0;
  printf("\n## Model creation against candidate pairs (light, LIMIT 3, %d rounds)\n", rounds);
  for (int round = 0; round < rounds; round++) failures += run_round(round + 1);
  table_head(" nodes × pods | goal | pairs | rows s | rules s | ns per pair | solver s | check s "
             "| wall s | CPU s | proven | gap, median ",
             2);
  for (int i = 0; i < NSIZES; i++) {
    for (Goal goal = 0; goal < NGOALS; goal++) print_row(i, goal, rounds);
  }
  return failures ? 1 : 0;
}
