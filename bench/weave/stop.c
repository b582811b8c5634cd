/*
** Stopping: how far a solve overruns its LIMIT, and how soon it answers sqlite3_interrupt() from
** another thread at a random moment. On the largest clusters, where whatever does not look at the
** clock takes longest.
**
**   stop [--long]
*/
#include <pthread.h>

#include "bench/weave/subject.h"
#include "bench/weave/table.h"

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
  double after; /* seconds */
  double when;
} Interrupter;

static void *interrupt_later(void *argument) {
  Interrupter *later = argument;
  struct timespec pause = {(time_t)later->after,
                           (long)((later->after - floor(later->after)) * 1e9)};
  nanosleep(&pause, NULL);
  later->when = now_wall();
  sqlite3_interrupt(later->db);
  return NULL;
}

/* Seconds from the interrupt to the return; negative when the solve had ended by then. */
static double interrupted(sqlite3 *db, double after) {
  Interrupter later = {.db = db, .after = after};
  pthread_t thread;
  subject_declare(db, GOAL_MINMAX, 10);
  sqlite3_stmt *stmt = database_prepare(db, "SELECT weave_solve('sched')");
  if (pthread_create(&thread, NULL, interrupt_later, &later) != 0) exit(2);
  int rc = sqlite3_step(stmt);
  double end = now_wall();
  sqlite3_finalize(stmt);
  pthread_join(thread, NULL);
  if (rc != SQLITE_INTERRUPT && rc != SQLITE_ROW) database_check(db, rc);
  return rc == SQLITE_INTERRUPT ? end - later.when : -1;
}

static void print_interrupts(sqlite3 *db, const Cluster *c, int count) {
  uint64_t random = 1;
  double took[MOST_ROUNDS];
  int seen = 0, missed = 0;
  Solved whole = subject_solve(db, c, GOAL_MINMAX, 3);
  while (seen < count && missed < 2 * count) {
    double reaction = interrupted(db, fmin(whole.wall, 3) * uniform(&random));
    if (reaction < 0) {
      missed++;
    } else {
      took[seen++] = reaction;
    }
  }
  printf("| %d × %d | %d | %.3f | %.3f |\n", c->nnodes, c->npods, seen, median(took, seen),
         largest(took, seen));
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
  table_head(" nodes × pods | interrupts | seconds, median | worst ", 1);
  for (int i = 0; i < NSIZES; i++) {
    print_interrupts(dbs[i], &clusters[i], 20);
    sqlite3_close(dbs[i]);
    cluster_finish(&clusters[i]);
  }
  return 0;
}
