/*
** weave itself, measured: one solve of a cluster's database, with what weave_status says of it, and
** its answer applied, read back and judged.
*/
#ifndef TENFOLD_BENCH_WEAVE_SUBJECT_H
#define TENFOLD_BENCH_WEAVE_SUBJECT_H

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/weave/database.h"
#include "bench/weave/judge.h"

typedef struct Solved {
  double wall, cpu; /* of weave_solve(), seconds */
  char status[16];
  double cost[2], bound[2]; /* as the judge counts: less is better; bound: no answer costs less */
  double gap;               /* the widest of its levels' */
  /* seconds of its phases: reading rows, rules to model, solving (all phases of it), checking */
  double rows, rules, solver, verify;
  double candidates, columns, nonzeros;
  int unplaced;      /* pods its answer leaves out */
  const char *wrong; /* what the judge holds against it, or NULL */
} Solved;

static inline double now_wall(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline double cpu_of(int who) {
  struct rusage use;
  getrusage(who, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* Extensions are in the folder above the one this program is in. */
static inline void subject_load(sqlite3 *db) {
  char path[4096], *message = NULL;
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 16);
  for (int up = 0; up < 2 && length > 0; up++) {
    while (length > 0 && path[--length] != '/') continue;
  }
  if (length <= 0) exit(2);
  memcpy(path + length, "/weave", sizeof "/weave");
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
  if (sqlite3_load_extension(db, path, NULL, &message) != SQLITE_OK) {
    fprintf(stderr, "%s\n", message ? message : path);
    exit(2);
  }
}

static inline sqlite3 *subject_open(const Cluster *c) {
  sqlite3 *db = database_make(c, ":memory:");
  subject_load(db);
  return db;
}

/* The model of a goal, called like it but for the dash: minmax, linear, lexicographic. */
static inline void subject_declare(sqlite3 *db, Goal goal, double limit) {
  char sql[1024];
  snprintf(sql, sizeof sql,
           "DROP TABLE IF EXISTS temp.sched;"
           "CREATE VIRTUAL TABLE temp.sched USING weave("
           "  DECIDE pod.node IN (SELECT name FROM node) OPTIONAL WHERE status = 'Pending',"
           "  RULES (r_capacity, r_taints, r_selector, r_zone, r_excluded, r_anti, %s),"
           "  LIMIT %g)",
           database_goal_rules[goal], limit);
  database_run(db, sql);
}

static inline void subject_read_status(sqlite3 *db, Solved *out) {
  sqlite3_stmt *stmt =
      database_prepare(db, "SELECT kind, name, value, bound FROM weave_status('sched')");
  int level = 0;
  for (int i = 0; i < 2; i++) out->cost[i] = out->bound[i] = 0;
  while (sqlite3_step(stmt) == SQLITE_ROW) {
    const char *kind = (const char *)sqlite3_column_text(stmt, 0);
    const char *name = (const char *)sqlite3_column_text(stmt, 1);
    double value = sqlite3_column_double(stmt, 2), bound = sqlite3_column_double(stmt, 3);
    if (!strcmp(kind, "status")) snprintf(out->status, sizeof out->status, "%s", name);
    if (!strcmp(kind, "level") && level < 2) {
      out->cost[level] = -value;
      out->bound[level++] = sqlite3_column_type(stmt, 3) == SQLITE_NULL ? -INFINITY : -bound;
    }
    if (!strcmp(name, "candidates")) out->candidates = value;
    if (!strcmp(name, "columns")) out->columns = value;
    if (!strcmp(name, "nonzeros")) out->nonzeros = value;
    if (strcmp(kind, "phase") != 0 || !strcmp(name, "total")) continue;
    if (!strcmp(name, "rows")) {
      out->rows = value;
    } else if (!strcmp(name, "rules")) {
      out->rules = value;
    } else if (!strcmp(name, "verify")) {
      out->verify = value;
    } else {
      out->solver += value;
    }
  }
  database_check(db, sqlite3_finalize(stmt));
}

static inline bool subject_answered(const Solved *s) {
  return !strcmp(s->status, "optimal") || !strcmp(s->status, "feasible");
}

/* Relative, as weave counts it; infinite when there is no answer or no bound. */
static inline double subject_gap(const Solved *s, int levels) {
  double widest = 0;
  if (!subject_answered(s)) return INFINITY;
  for (int i = 0; i < levels; i++) {
    double scale = fmax(1e-9, fmax(fabs(s->cost[i]), fabs(s->bound[i])));
    widest = fmax(widest, isfinite(s->bound[i]) ? (s->cost[i] - s->bound[i]) / scale : INFINITY);
  }
  return widest;
}

static inline bool near(double a, double b) {
  return fabs(a - b) <= 1e-6 * fmax(1, fmax(fabs(a), fabs(b)));
}

/* Applies the answer, has it judged, and takes it back. */
static inline void subject_check(sqlite3 *db, const Cluster *c, Goal goal, Solved *out) {
  int *placement = bench_alloc((size_t)c->npods, sizeof *placement);
  database_run(db, "SAVEPOINT answer; SELECT weave_apply('sched')");
  database_placement(db, c, placement);
  database_run(db, "ROLLBACK TO answer; RELEASE answer");
  Verdict verdict = judge(c, placement, goal);
  free(placement);
  out->wrong = verdict.broken;
  out->unplaced = verdict.unplaced;
  for (int i = 0; i < 2; i++) {
    if (!near(verdict.cost[i], out->cost[i])) out->wrong = "another objective than reported";
    if (out->bound[i] > verdict.cost[i] + 1e-6) out->wrong = "a bound beyond the objective";
  }
}

/* `options`: weave_solve's second argument, or NULL. */
static inline Solved subject_solve_with(sqlite3 *db, const Cluster *c, Goal goal, double limit,
                                        const char *options) {
  Solved out = {.status = "error"};
  subject_declare(db, goal, limit);
  sqlite3_stmt *stmt = database_prepare(db, "SELECT weave_solve('sched', coalesce(?1, '{}'))");
  sqlite3_bind_text(stmt, 1, options, -1, SQLITE_STATIC);
  double wall = now_wall(), cpu = cpu_of(RUSAGE_SELF);
  int rc = sqlite3_step(stmt);
  out.wall = now_wall() - wall;
  out.cpu = cpu_of(RUSAGE_SELF) - cpu;
  if (rc == SQLITE_ROW) rc = SQLITE_OK;
  sqlite3_finalize(stmt);
  database_check(db, rc);
  subject_read_status(db, &out);
  out.gap = subject_gap(&out, goal == GOAL_LEVELS ? 2 : 1);
  if (subject_answered(&out)) subject_check(db, c, goal, &out);
  return out;
}

static inline Solved subject_solve(sqlite3 *db, const Cluster *c, Goal goal, double limit) {
  return subject_solve_with(db, c, goal, limit, NULL);
}

#endif
