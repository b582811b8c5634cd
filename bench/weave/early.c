/*
** What is in hand early: 500 pods on 1,000 nodes, and half a second from SQL to answer. The times
** are when weave told of its first answer (which may leave out everybody) and of the first one that
** places all, where its objective tells, counted from the call of weave_solve().
**
**   early [--long]
*/
#include "bench/table.h"
#include "bench/weave/subject.h"

enum { NODES = 1000, PODS = 500 };
static const double LIMIT = 0.5;

typedef struct Watch {
  double start, first, all; /* seconds; infinite before it happened */
  double all_placed;        /* the objective of an answer that places all is above */
} Watch;

/* Weave's progress function: phase, seconds of it, objective and bound of the level. */
static void watch_progress(sqlite3_context *context, int count, sqlite3_value **values) {
  Watch *watch = sqlite3_user_data(context);
  (void)count;
  if (sqlite3_value_type(values[2]) != SQLITE_NULL) {
    double seconds = now_wall() - watch->start, objective = sqlite3_value_double(values[2]);
    bool stays = !strcmp((const char *)sqlite3_value_text(values[0]), "stay");
    watch->first = fmin(watch->first, seconds);
    if (!stays && objective > watch->all_placed) watch->all = fmin(watch->all, seconds);
  }
  sqlite3_result_int(context, 0);
}

/* An objective above this is of an answer that places all, where the objective tells: a pod left
** out costs 10 more than two shares of at most 1; of the linear goal's objective nobody can tell.
*/
static double all_placed(const Cluster *c, Goal goal) {
  double points = 0;
  for (int p = 0; p < c->npods; p++) points += 1 + c->apps[c->app_of[p]].priority;
  if (goal == GOAL_LEVELS) return points - 0.5;
  return goal == GOAL_LINEAR ? INFINITY : -2.5;
}

static void print_seconds(double seconds) {
  if (isfinite(seconds)) {
    printf(" %.3f |", seconds);
  } else {
    printf(" – |");
  }
}

static void print_gap(double gap) {
  if (isfinite(gap)) {
    printf(" %.2f %% |", 100 * gap);
  } else {
    printf(" none |");
  }
}

static void print_goal(Goal goal, bool tight, int rounds) {
  double walls[MOST_ROUNDS], firsts[MOST_ROUNDS], alls[MOST_ROUNDS], gaps[MOST_ROUNDS];
  int answered = 0, complete = 0;
  for (int r = 0; r < rounds; r++) {
    Cluster c = cluster_make(NODES, PODS, tight, r + 1);
    sqlite3 *db = subject_open(&c);
    Watch watch = {.first = INFINITY, .all = INFINITY};
    watch.all_placed = all_placed(&c, goal);
    sqlite3_create_function(db, "watch", 4, SQLITE_UTF8, &watch, watch_progress, NULL, NULL);
    watch.start = now_wall();
    Solved s = subject_solve_with(db, &c, goal, LIMIT, "{\"progress\": \"watch\"}");
    walls[r] = s.wall;
    firsts[r] = watch.first;
    alls[r] = watch.all;
    gaps[r] = s.gap;
    answered += subject_answered(&s);
    complete += subject_answered(&s) && !s.unplaced && !s.wrong;
    sqlite3_close(db);
    cluster_finish(&c);
  }
  printf("| %s | %s |", goal_names[goal], tight ? "tight" : "light");
  print_seconds(median(firsts, rounds));
  print_seconds(median(alls, rounds));
  print_seconds(median(walls, rounds));
  print_seconds(largest(walls, rounds));
  printf(" %d/%d | %d/%d |", answered, rounds, complete, rounds);
  print_gap(median(gaps, rounds));
  print_gap(largest(gaps, rounds));
  printf("\n");
}

int main(int argc, char **argv) {
  int rounds = option_given(argc, argv, "--long") ? 11 : 5;
  printf("\n## LIMIT %g at %d × %d (%d rounds)\n", LIMIT, NODES, PODS, rounds);
  table_head(" goal | load | first answer s | all placed s | wall s, median | worst | answered | "
             "all placed | gap, median | worst ",
             2);
  for (Goal goal = 0; goal < NGOALS; goal++) {
    for (int tight = 0; tight < 2; tight++) print_goal(goal, tight, rounds);
  }
  return 0;
}
