/*
** GLPK on the model one would write down first: a column per pod and node, branch and bound with
** its presolver, as it comes.
*/
#ifndef TENFOLD_BENCH_WEAVE_PEERS_GLPK_H
#define TENFOLD_BENCH_WEAVE_PEERS_GLPK_H

#include <glpk.h>

#include "bench/weave/peers/child.h"

typedef struct Naive {
  const Cluster *c;
  Goal goal;
  double cap;
  int out;      /* where the placement goes */
  int *columns; /* [pod * nnodes + node], 0: not allowed */
  int *row, *col;
  double *value;
  int count; /* of nonzeros, from 1 */
} Naive;

static inline void naive_put(Naive *m, int row, int col, double value) {
  m->count++;
  m->row[m->count] = row;
  m->col[m->count] = col;
  m->value[m->count] = value;
}

/* Rows of a node: cpu, memory, pods. */
static inline int naive_row(const Naive *m, int n, int resource) {
  return m->c->npods + 3 * n + resource + 1;
}

static inline void naive_rows(Naive *m, glp_prob *lp) {
  const Cluster *c = m->c;
  double room = m->goal == GOAL_MINMAX ? 0 : 1;
  glp_add_rows(lp, c->npods + 3 * c->nnodes);
  for (int p = 0; p < c->npods; p++) glp_set_row_bnds(lp, p + 1, GLP_FX, 1, 1);
  for (int n = 0; n < c->nnodes; n++) {
    const Node *node = &c->nodes[n];
    glp_set_row_bnds(lp, naive_row(m, n, 0), GLP_UP, 0, room - (double)node->used_cpu / node->cpu);
    glp_set_row_bnds(lp, naive_row(m, n, 1), GLP_UP, 0, room - (double)node->used_mem / node->mem);
    glp_set_row_bnds(lp, naive_row(m, n, 2), GLP_UP, 0, node->pods - node->running);
  }
}

static inline void naive_pod(Naive *m, glp_prob *lp, int p) {
  const Cluster *c = m->c;
  const App *app = &c->apps[c->app_of[p]];
  for (int n = 0; n <= c->nnodes; n++) {
    if (n < c->nnodes && !cluster_allows(c, app, n)) continue;
    int col = glp_add_cols(lp, 1);
    glp_set_col_kind(lp, col, GLP_BV);
    naive_put(m, p + 1, col, 1);
    if (n == c->nnodes) {
      glp_set_obj_coef(lp, col, UNPLACED_COST);
      continue;
    }
    m->columns[(size_t)p * (size_t)c->nnodes + (size_t)n] = col;
    if (m->goal == GOAL_LINEAR) glp_set_obj_coef(lp, col, cluster_cost(c, app, n));
    naive_put(m, naive_row(m, n, 0), col, (double)app->cpu / c->nodes[n].cpu);
    naive_put(m, naive_row(m, n, 1), col, (double)app->mem / c->nodes[n].mem);
    naive_put(m, naive_row(m, n, 2), col, 1);
  }
}

static inline void naive_shares(Naive *m, glp_prob *lp) {
  for (int r = 0; r < 2; r++) {
    int col = glp_add_cols(lp, 1);
    glp_set_col_bnds(lp, col, GLP_DB, 0, 1);
    glp_set_obj_coef(lp, col, 1);
    for (int n = 0; n < m->c->nnodes; n++) naive_put(m, naive_row(m, n, r), col, -1);
  }
}

static inline void naive_spread(Naive *m, glp_prob *lp) {
  const Cluster *c = m->c;
  for (int a = 0; a < c->napps; a++) {
    const App *app = &c->apps[a];
    for (int n = 0; app->spread && app->size > 1 && n < c->nnodes; n++) {
      if (!cluster_allows(c, app, n)) continue;
      int row = glp_add_rows(lp, 1);
      glp_set_row_bnds(lp, row, GLP_UP, 0, 1);
      for (int p = app->first; p < app->first + app->size; p++) {
        naive_put(m, row, m->columns[(size_t)p * (size_t)c->nnodes + (size_t)n], 1);
      }
    }
  }
}

static inline glp_prob *naive_model(Naive *m) {
  const Cluster *c = m->c;
  size_t pairs = (size_t)c->npods * (size_t)c->nnodes;
  size_t most = 5 * pairs + (size_t)c->npods + 2 * (size_t)c->nnodes + 1;
  m->columns = bench_alloc(pairs, sizeof *m->columns);
  m->row = bench_alloc(most, sizeof *m->row);
  m->col = bench_alloc(most, sizeof *m->col);
  m->value = bench_alloc(most, sizeof *m->value);
  glp_prob *lp = glp_create_prob();
  naive_rows(m, lp);
  for (int p = 0; p < c->npods; p++) naive_pod(m, lp, p);
  if (m->goal == GOAL_MINMAX) naive_shares(m, lp);
  naive_spread(m, lp);
  glp_load_matrix(lp, m->count, m->row, m->col, m->value);
  return lp;
}

/* In the child: answers by a placement and whether it is proven, through a pipe. */
static inline int naive_work(void *argument) {
  Naive *m = argument;
  const Cluster *c = m->c;
  glp_iocp options;
  glp_term_out(GLP_OFF);
  glp_prob *lp = naive_model(m);
  glp_init_iocp(&options);
  options.presolve = GLP_ON;
  options.tm_lim = (int)(m->cap * 1000);
  glp_intopt(lp, &options);
  int status = glp_mip_status(lp);
  if (status != GLP_OPT && status != GLP_FEAS) return 1;
  int *answer = bench_alloc((size_t)c->npods + 1, sizeof *answer);
  answer[0] = status == GLP_OPT;
  for (int p = 0; p < c->npods; p++) {
    answer[p + 1] = UNPLACED;
    for (int n = 0; n < c->nnodes; n++) {
      int col = m->columns[(size_t)p * (size_t)c->nnodes + (size_t)n];
      if (col && glp_mip_col_val(lp, col) > 0.5) answer[p + 1] = n;
    }
  }
  size_t size = ((size_t)c->npods + 1) * sizeof *answer;
  return write(m->out, answer, size) == (ssize_t)size ? 0 : 1;
}

/* Its time includes making the model, which is quick, and the presolver. */
static inline PeerRun glpk_solve(const Cluster *c, Goal goal, double cap) {
  PeerRun out = {0};
  int ends[2];
  if (pipe(ends) != 0) exit(2);
  Naive m = {.c = c, .goal = goal, .cap = cap, .out = ends[1]};
  bool ended = child_run(naive_work, &m, cap + 1, &out);
  close(ends[1]);
  int *answer = bench_alloc((size_t)c->npods + 1, sizeof *answer);
  ssize_t size = (ssize_t)(((size_t)c->npods + 1) * sizeof *answer);
  if (read(ends[0], answer, (size_t)size) == size) {
    out.proven = answer[0] == 1;
    peer_judge(c, goal, answer + 1, &out);
  }
  out.capped = !ended || !out.proven;
  close(ends[0]);
  free(answer);
  return out;
}

#endif
