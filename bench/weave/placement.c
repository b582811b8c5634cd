/*
** Placing pods by weave, from SQL to answer, beside its peers on the same clusters: CBC on the
** aggregated model, stopped at the gap weave reached; GLPK on the plain model; MiniZinc with
** Gecode. Every answer, a peer's too, is judged by code of its own; a peer's answer that is
** better than weave's bound is a failure of weave.
**
**   placement [--long]                                      the tables
**   placement one NODES PODS light|tight SEED SECONDS       one cluster, every goal
**   placement write FILE NODES PODS light|tight SEED        one cluster as a database
*/
#include <stddef.h>

#include "bench/table.h"
#include "bench/weave/peers/cbc.h"
#include "bench/weave/peers/gecode.h"
#include "bench/weave/peers/glpk.h"

/* Caps of the peers in seconds, chosen so that all of it ends in a quarter of an hour. */
typedef struct Size {
  int nodes, pods;
  double limit; /* weave's */
  double gecode;
} Size;

static const Size sizes[] = {{50, 50, 1.0, 2},
                             {100, 100, 2.0, 7},
                             {500, 50, 0.5, 6},
                             {1000, 50, 1.0, 6},
                             {1000, 500, 3.0, 2}};
static const double CBC_CAP = 4, GLPK_CAP = 1.5;
enum { NSIZES = sizeof sizes / sizeof *sizes };

/* All of one size, regime and goal. */
typedef struct Cell {
  Solved ours[MOST_ROUNDS];
  double greedy[MOST_ROUNDS]; /* how much greedy costs more, relative; negative: weave lost */
  PeerRun cbc[MOST_ROUNDS], glpk[MOST_ROUNDS], gecode[MOST_ROUNDS];
} Cell;

static Cell cells[NSIZES][2][NGOALS];
static int failures;

static void fail(const Cluster *c, Goal goal, int seed, const char *what) {
  failures++;
  printf("FAILURE: %d x %d %s, %s, seed %d: %s\n", c->nnodes, c->npods,
         c->tight ? "tight" : "light", goal_names[goal], seed, what);
}

static double relative(double theirs, double ours) {
  return (theirs - ours) / fmax(1e-9, fabs(ours));
}

/* ---- running */

static double against_greedy(const Cluster *c, Goal goal, const Solved *ours) {
  int *placement = bench_alloc((size_t)c->npods, sizeof *placement);
  greedy(c, goal, placement);
  Verdict verdict = judge(c, placement, goal);
  free(placement);
  if (verdict.broken) exit(2);
  if (!subject_answered(ours)) return -INFINITY;
  /* The first level that differs decides. */
  int level = goal == GOAL_LEVELS && near(verdict.cost[0], ours->cost[0]) ? 1 : 0;
  double more = relative(verdict.cost[level], ours->cost[level]);
  return fabs(more) < 1e-6 ? 0 : more;
}

static void check_peer(const Cluster *c, Goal goal, int seed, const Solved *ours,
                       const PeerRun *peer) {
  if (peer->wrong) fail(c, goal, seed, "a peer's placement breaks the policy");
  if (peer->answered && peer->cost < ours->bound[0] - 1e-5 * fmax(1, fabs(ours->bound[0]))) {
    fail(c, goal, seed, "a peer is better than the bound");
  }
}

static void run_goal(sqlite3 *db, const Cluster *c, Goal goal, int seed, const Size *size,
                     double factor, Cell *cell) {
  int round = seed - 1;
  Solved *ours = &cell->ours[round];
  *ours = subject_solve(db, c, goal, size->limit);
  if (ours->wrong) fail(c, goal, seed, ours->wrong);
  cell->greedy[round] = against_greedy(c, goal, ours);
  if (goal == GOAL_LEVELS) return;
  double gap = fmax(1e-6, isfinite(ours->gap) ? ours->gap : 1e-6);
  cell->cbc[round] = cbc_solve(c, goal, gap, CBC_CAP * factor);
  check_peer(c, goal, seed, ours, &cell->cbc[round]);
  if (goal != GOAL_MINMAX) return;
  cell->glpk[round] = glpk_solve(c, goal, GLPK_CAP * factor);
  check_peer(c, goal, seed, ours, &cell->glpk[round]);
  cell->gecode[round] = gecode_solve(c, size->gecode * factor);
  check_peer(c, goal, seed, ours, &cell->gecode[round]);
}

static void run_round(int seed, double factor) {
  for (int s = 0; s < NSIZES; s++) {
    for (int tight = 0; tight < 2; tight++) {
      Cluster c = cluster_make(sizes[s].nodes, sizes[s].pods, tight, seed);
      sqlite3 *db = subject_open(&c);
      for (Goal goal = 0; goal < NGOALS; goal++) {
        run_goal(db, &c, goal, seed, &sizes[s], factor, &cells[s][tight][goal]);
      }
      sqlite3_close(db);
      cluster_finish(&c);
    }
  }
}

/* ---- printing */

static double median_of(const Cell *cell, int rounds, size_t field) {
  double values[MOST_ROUNDS];
  for (int r = 0; r < rounds; r++) {
    memcpy(&values[r], (const char *)&cell->ours[r] + field, sizeof *values);
  }
  return median(values, rounds);
}

static void print_share(double value) {
  if (isfinite(value)) {
    printf(" %.2f %% |", 100 * value);
  } else {
    printf(" none |");
  }
}

static void print_ours(const Size *size, int tight, const Cell *cell, int rounds) {
  double gaps[MOST_ROUNDS], greedy_more[MOST_ROUNDS];
  int proven = 0, lost = 0;
  for (int r = 0; r < rounds; r++) {
    gaps[r] = cell->ours[r].gap;
    greedy_more[r] = cell->greedy[r];
    proven += !strcmp(cell->ours[r].status, "optimal");
    lost += cell->greedy[r] < 0;
  }
  printf("| %d × %d | %s | %g | %.3f | %.3f | %.3f | %.3f | %.3f | %d/%d |", size->nodes,
         size->pods, tight ? "tight" : "light", size->limit,
         median_of(cell, rounds, offsetof(Solved, wall)),
         median_of(cell, rounds, offsetof(Solved, cpu)),
         median_of(cell, rounds, offsetof(Solved, rows)) +
             median_of(cell, rounds, offsetof(Solved, rules)),
         median_of(cell, rounds, offsetof(Solved, solver)),
         median_of(cell, rounds, offsetof(Solved, verify)), proven, rounds);
  print_share(median(gaps, rounds));
  print_share(largest(gaps, rounds));
  printf(" %+.1f %% | %d/%d |\n", 100 * median(greedy_more, rounds), lost, rounds);
}

/* Time, ratio of CPU times, and how much more its answers cost; ≥: the median run was capped. */
static void print_peer(const PeerRun *runs, const Cell *cell, int rounds) {
  double walls[MOST_ROUNDS], ratios[MOST_ROUNDS], costs[MOST_ROUNDS];
  int answered = 0, capped = 0;
  for (int r = 0; r < rounds; r++) {
    walls[r] = runs[r].wall;
    ratios[r] = runs[r].cpu / fmax(1e-4, cell->ours[r].cpu);
    capped += runs[r].capped;
    if (runs[r].answered) costs[answered++] = relative(runs[r].cost, cell->ours[r].cost[0]);
  }
  printf(" %.2f | %s%.1f | %d/%d |", median(walls, rounds), 2 * capped > rounds ? "≥ " : "",
         median(ratios, rounds), rounds - capped, rounds);
  if (answered) {
    printf(" %+.2f %% (%d/%d) |", 100 * median(costs, answered), answered, rounds);
  } else {
    printf(" none (0/%d) |", rounds);
  }
}

static void print_ours_table(Goal goal, int rounds) {
  printf("\n### %s: weave\n", goal_names[goal]);
  table_head(" nodes × pods | load | limit s | wall s | CPU s | SQL and compile s | solver s "
             "| check s | proven | gap, median | gap, worst | greedy costs | lost to greedy ",
             2);
  for (int s = 0; s < NSIZES; s++) {
    for (int tight = 0; tight < 2; tight++) {
      print_ours(&sizes[s], tight, &cells[s][tight][goal], rounds);
    }
  }
}

static void print_peer_table(Goal goal, int rounds, const char *name, size_t field) {
  printf("\n### %s: %s\n", goal_names[goal], name);
  table_head(" nodes × pods | load | weave CPU s | weave gap | peer wall s | CPU ratio | finished "
             "| its answer costs ",
             2);
  for (int s = 0; s < NSIZES; s++) {
    for (int tight = 0; tight < 2; tight++) {
      const Cell *cell = &cells[s][tight][goal];
      printf("| %d × %d | %s | %.3f |", sizes[s].nodes, sizes[s].pods, tight ? "tight" : "light",
             median_of(cell, rounds, offsetof(Solved, cpu)));
      print_share(median_of(cell, rounds, offsetof(Solved, gap)));
      print_peer((const PeerRun *)(const void *)((const char *)cell + field), cell, rounds);
      printf("\n");
    }
  }
}

static void print_tables(int rounds, double factor) {
  for (Goal goal = 0; goal < NGOALS; goal++) print_ours_table(goal, rounds);
  printf(
      "\nPeers: a ratio is the peer's CPU time over weave's, median of the rounds; ≥ when most of "
      "its runs were stopped by the cap (CBC %g s, GLPK %g s, Gecode %g to %g s). Costs are "
      "relative to weave's answer.\n",
      CBC_CAP * factor, GLPK_CAP * factor, 2 * factor, 7 * factor);
  print_peer_table(GOAL_MINMAX, rounds, "CBC, aggregated model, to weave's gap",
                   offsetof(Cell, cbc));
  print_peer_table(GOAL_LINEAR, rounds, "CBC, aggregated model, to weave's gap",
                   offsetof(Cell, cbc));
  print_peer_table(GOAL_MINMAX, rounds, "GLPK, plain model", offsetof(Cell, glpk));
  print_peer_table(GOAL_MINMAX, rounds, "MiniZinc with Gecode", offsetof(Cell, gecode));
  printf("\nChecks failed: %d\n", failures);
}

/* ---- one cluster */

static int run_one(char **arguments) {
  Cluster c = cluster_make(atoi(arguments[0]), atoi(arguments[1]), arguments[2][0] == 't',
                           atoi(arguments[3]));
  sqlite3 *db = subject_open(&c);
  for (Goal goal = 0; goal < NGOALS; goal++) {
    Solved s = subject_solve(db, &c, goal, atof(arguments[4]));
    printf("%-13s %-8s wall %.3f cpu %.3f cost %.6g %.6g bound %.6g %.6g gap %.4f greedy %+.4f; "
           "rows %.3f rules %.3f solver %.3f check %.3f; %.0f candidates %.0f columns; %s\n",
           goal_names[goal], s.status, s.wall, s.cpu, s.cost[0], s.cost[1], s.bound[0], s.bound[1],
           s.gap, against_greedy(&c, goal, &s), s.rows, s.rules, s.solver, s.verify, s.candidates,
           s.columns, s.wrong ? s.wrong : "right");
  }
  sqlite3_close(db);
  cluster_finish(&c);
  return 0;
}

static int write_one(char **arguments) {
  Cluster c = cluster_make(atoi(arguments[1]), atoi(arguments[2]), arguments[3][0] == 't',
                           atoi(arguments[4]));
  unlink(arguments[0]);
  sqlite3_close(database_make(&c, arguments[0]));
  cluster_finish(&c);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 7 && !strcmp(argv[1], "one")) return run_one(argv + 2);
  if (argc == 7 && !strcmp(argv[1], "write")) return write_one(argv + 2);
  bool more = option_given(argc, argv, "--long");
  int rounds = more ? 11 : 5;
  double factor = more ? 4 : 1;
  printf("# weave: placing pods on nodes\n\n");
  table_machine();
  printf("SQLite %s, GLPK %s, CBC and MiniZinc of the system. %d rounds, one seed each; weave and "
         "its peers take turns.\n",
         sqlite3_libversion(), glp_version(), rounds);
  for (int round = 0; round < rounds; round++) {
    fprintf(stderr, "round %d of %d\n", round + 1, rounds);
    run_round(round + 1, factor);
  }
  scratch_remove();
  print_tables(rounds, factor);
  return failures ? 1 : 0;
}
