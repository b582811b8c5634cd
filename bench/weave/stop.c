/*
** Stopping: how far a solve overruns its LIMIT, and how soon it answers sqlite3_interrupt() from
** another thread at a random moment. On the largest clusters, where whatever does not look at the
** clock takes longest.
**
**   stop [--long]
*/
#include <pthread.h>

#include "bench/table.h"
#include "bench/weave/subject.h"

static const struct { int nodes, pods; } sizes[] = {{1000, 500}, {10000, 100}};
static const double limits[] = {0.2, 1, 3};
enum { NSIZES = sizeof sizes / sizeof *sizes, NLIMITS = sizeof limits / sizeof *limits };

/* ---- LIMIT */

static void print_overruns(sqlite3 *db, const Cluster *c, int rounds) {
  for (int i = 0; i < NLIMITS; i++) {
    double over[MOST_ROUNDS];
    int answered = 0;
    for (int r = 0; r < rounds; r++) {
      Solved s = subject_solve(db, c, GOAL_MINMAX, limits[i]);
      over[r] = fmax(0, s.wall - limits[i]);
      answered += subject_answered(&s);
    }
    printf("| %d × %d | %g | %.3f | %.3f | %d/%d |\n", c->nnodes, c->npods, limits[i],
           median(over, rounds), largest(over, rounds), answered, rounds);
  }
}

/* ---- interrupt */

typedef struct Interrupter {
  sqlite3 *db;
  double after;     /* seconds */
  double when, cpu; /* of the interrupt: time, and CPU time used by then */
} Interrupter;

typedef struct Reaction {
  double wall, cpu;
} Reaction;

static void *interrupt_later(void *argument) {
  Interrupter *later = argument;
  struct timespec pause = {(time_t)later->after,
                           (long)((later->after - floor(later->after)) * 1e9)};
  nanosleep(&pause, NULL);
  later->cpu = cpu_of(RUSAGE_SELF);
  later->when = now_wall();
  sqlite3_interrupt(later->db);
  return NULL;
}

/* From the interrupt to the return; false when the solve had ended by then. */
static bool interrupted(sqlite3 *db, double after, Reaction *out) {
  Interrupter later = {.db = db, .after = after};
  pthread_t thread;
  subject_declare(db, GOAL_MINMAX, 10);
  sqlite3_stmt *stmt = database_prepare(db, "SELECT weave_solve('sched')");
  if (pthread_create(&thread, NULL, interrupt_later, &later) != 0) exit(2);
  int rc = sqlite3_step(stmt);
  double end = now_wall(), cpu = cpu_of(RUSAGE_SELF);
  sqlite3_finalize(stmt);
  pthread_join(thread, NULL);
  if (rc != SQLITE_INTERRUPT && rc != SQLITE_ROW) database_check(db, rc);
  *out = (Reaction){end - later.when, cpu - later.cpu};
  return rc == SQLITE_INTERRUPT;
}

static void print_interrupts(sqlite3 *db, const Cluster *c, int count) {
  uint64_t random = 1;
  double wall[MOST_ROUNDS], cpu[MOST_ROUNDS];
  int seen = 0;
  Solved whole = subject_solve(db, c, GOAL_MINMAX, 2);
  for (int tries = 0; seen < count && tries < 3 * count; tries++) {
    Reaction reaction;
    if (!interrupted(db, fmin(whole.wall, 2) * uniform(&random), &reaction)) continue;
    wall[seen] = reaction.wall;
    cpu[seen++] = reaction.cpu;
  }
  printf("| %d × %d | %d | %.3f | %.3f | %.3f |\n", c->nnodes, c->npods, seen, median(wall, seen),
         largest(wall, seen), largest(cpu, seen));
}

int main(int argc, char **argv) {
  int rounds = option_given(argc, argv, "--long") ? 11 : 5;
  Cluster clusters[NSIZES];
  sqlite3 *dbs[NSIZES];
  for (int i = 0; i < NSIZES; i++) {
    clusters[i] = cluster_make(sizes[i].nodes, sizes[i].pods, true, 1);
    dbs[i] = subject_open(&clusters[i]);
  }
  printf(
      "\n## Overrun of LIMIT (min-max, tight, %d rounds; a solve that ends early overruns by 0)\n",
      rounds);
  table_head(" nodes × pods | limit s | overrun s, median | worst | with an answer ", 1);
  for (int i = 0; i < NSIZES; i++) print_overruns(dbs[i], &clusters[i], rounds);
  printf("\n## From sqlite3_interrupt() to the return (min-max, tight, random moments)\n");
  table_head(" nodes × pods | interrupts | seconds, median | worst | CPU seconds, worst ", 1);
  for (int i = 0; i < NSIZES; i++) {
    print_interrupts(dbs[i], &clusters[i], 10);
    sqlite3_close(dbs[i]);
    cluster_finish(&clusters[i]);
  }
  return 0;
}
