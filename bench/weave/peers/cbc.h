/*
** CBC on the aggregated model: how many pods of each application stand on each node, the model that
** weave's own solver makes of the rules. Only the pairs that the policy allows are in it.
*/
#ifndef TENFOLD_BENCH_WEAVE_PEERS_CBC_H
#define TENFOLD_BENCH_WEAVE_PEERS_CBC_H

#include "bench/weave/peers/child.h"

/* Rows: cost, a row per application, then CPU, memory and pods of each node. Columns: a count per
** application and node, the unplaced of each application, then the largest shares of cpu and
** memory. Capacity is scaled to 1; with the min-max goal it is the upper bound of the largest
** share. */
static inline int cbc_row(const Cluster *c, int node, int resource) {
  return c->napps + 3 * node + resource;
}

static inline void cbc_write_column(const Cluster *c, Goal goal, FILE *f, int a, int n) {
  const App *app = &c->apps[a];
  int column = a * c->nnodes + n;
  fprintf(f, " C%d R%d 1\n", column, a);
  fprintf(f, " C%d R%d %.17g\n", column, cbc_row(c, n, 0), (double)app->cpu / c->nodes[n].cpu);
  fprintf(f, " C%d R%d %.17g\n", column, cbc_row(c, n, 1), (double)app->mem / c->nodes[n].mem);
  fprintf(f, " C%d R%d 1\n", column, cbc_row(c, n, 2));
  if (goal == GOAL_LINEAR) fprintf(f, " C%d COST %.17g\n", column, cluster_cost(c, app, n));
}

static inline void cbc_write_rows(const Cluster *c, FILE *f) {
  fprintf(f, "NAME WEAVE FREE\nROWS\n N COST\n");
  for (int a = 0; a < c->napps; a++) fprintf(f, " E R%d\n", a);
  for (int n = 0; n < c->nnodes; n++) {
    for (int r = 0; r < 3; r++) fprintf(f, " L R%d\n", cbc_row(c, n, r));
  }
}

static inline void cbc_write_columns(const Cluster *c, Goal goal, FILE *f) {
  int columns = c->napps * c->nnodes;
  fprintf(f, "COLUMNS\n MARK0 'MARKER' 'INTORG'\n");
  for (int a = 0; a < c->napps; a++) {
    for (int n = 0; n < c->nnodes; n++) {
      if (cluster_allows(c, &c->apps[a], n)) cbc_write_column(c, goal, f, a, n);
    }
    fprintf(f, " C%d R%d 1\n C%d COST %d\n", columns + a, a, columns + a, UNPLACED_COST);
  }
  fprintf(f, " MARK1 'MARKER' 'INTEND'\n");
  for (int r = 0; r < 2 && goal == GOAL_MINMAX; r++) {
    fprintf(f, " C%d COST 1\n", columns + c->napps + r);
    for (int n = 0; n < c->nnodes; n++) {
      fprintf(f, " C%d R%d -1\n", columns + c->napps + r, cbc_row(c, n, r));
    }
  }
}

static inline void cbc_write_sides(const Cluster *c, Goal goal, FILE *f) {
  double room = goal == GOAL_MINMAX ? 0 : 1;
  fprintf(f, "RHS\n");
  for (int a = 0; a < c->napps; a++) fprintf(f, " RHS R%d %d\n", a, c->apps[a].size);
  for (int n = 0; n < c->nnodes; n++) {
    const Node *node = &c->nodes[n];
    fprintf(f, " RHS R%d %.17g\n", cbc_row(c, n, 0), room - (double)node->used_cpu / node->cpu);
    fprintf(f, " RHS R%d %.17g\n", cbc_row(c, n, 1), room - (double)node->used_mem / node->mem);
    fprintf(f, " RHS R%d %d\n", cbc_row(c, n, 2), node->pods - node->running);
  }
}

static inline void cbc_write_bounds(const Cluster *c, Goal goal, FILE *f) {
  int columns = c->napps * c->nnodes;
  fprintf(f, "BOUNDS\n");
  for (int a = 0; a < c->napps; a++) {
    for (int n = 0; n < c->nnodes; n++) {
      if (!cluster_allows(c, &c->apps[a], n)) continue;
      fprintf(f, " UP B C%d %d\n", a * c->nnodes + n, c->apps[a].spread ? 1 : c->apps[a].size);
    }
    fprintf(f, " UP B C%d %d\n", columns + a, c->apps[a].size);
  }
  for (int r = 0; r < 2 && goal == GOAL_MINMAX; r++) {
    fprintf(f, " UP B C%d 1\n", columns + c->napps + r);
  }
  fprintf(f, "ENDATA\n");
}

static inline void cbc_write(const Cluster *c, Goal goal, const char *path) {
  FILE *f = fopen(path, "w");
  if (!f) exit(2);
  cbc_write_rows(c, f);
  cbc_write_columns(c, goal, f);
  cbc_write_sides(c, goal, f);
  cbc_write_bounds(c, goal, f);
  if (fclose(f) != 0) exit(2);
}

/* Counts become pods. False when there is no integer solution in the file. */
static inline bool cbc_read(const Cluster *c, const char *path, int *placement, bool *proven) {
  char line[512];
  FILE *f = fopen(path, "r");
  int *next = bench_alloc((size_t)c->napps, sizeof *next);
  bool ok = f && fgets(line, sizeof line, f);
  *proven = ok && !strncmp(line, "Optimal", 7);
  ok = *proven || (ok && !strncmp(line, "Stopped", 7) && !strstr(line, "no integer solution"));
  for (int p = 0; p < c->npods; p++) placement[p] = UNPLACED;
  while (ok && fgets(line, sizeof line, f)) {
    int column;
    double value;
    if (sscanf(line, "%*s C%d %lf", &column, &value) != 2 || column >= c->napps * c->nnodes)
      continue;
    int a = column / c->nnodes;
    for (int count = (int)lround(value); count > 0 && next[a] < c->apps[a].size; count--) {
      placement[c->apps[a].first + next[a]++] = column % c->nnodes;
    }
  }
  if (f) fclose(f);
  free(next);
  return ok;
}

/* Stops at a relative gap, as weave counts it, or at the cap. Writing its model is not in its time;
** reading it is. */
static inline PeerRun cbc_solve(const Cluster *c, Goal goal, double gap, double cap) {
  PeerRun out = {0};
  char model[PATH_SIZE], answer[PATH_SIZE], printed[PATH_SIZE], seconds[32], ratio[32];
  scratch_path(model, "model.mps");
  scratch_path(answer, "answer");
  scratch_path(printed, "printed");
  snprintf(seconds, sizeof seconds, "%g", cap);
  snprintf(ratio, sizeof ratio, "%g", gap);
  unlink(answer);
  cbc_write(c, goal, model);
  const char *const arguments[] = {"cbc",    model, "-timeMode", "elapsed",   "-sec", seconds,
                                   "-ratio", ratio, "-solve",    "-solution", answer, NULL};
  bool ended = child_run_program(arguments, printed, cap + 5, &out);
  int *placement = bench_alloc((size_t)c->npods, sizeof *placement);
  if (ended && cbc_read(c, answer, placement, &out.proven)) peer_judge(c, goal, placement, &out);
  out.capped = !ended || !out.proven;
  free(placement);
  return out;
}

#endif
