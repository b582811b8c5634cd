/*
** What a placement is worth, computed from the cluster alone: the judge of weave and of its peers,
** with nothing of theirs in it. And the greedy placement nobody should lose to.
*/
#ifndef TENFOLD_BENCH_WEAVE_JUDGE_H
#define TENFOLD_BENCH_WEAVE_JUDGE_H

#include "bench/weave/cluster.h"

/* A placement is a node per pod, or UNPLACED. Values are costs: less is better, first level first.
 */
typedef struct Verdict {
  const char *broken; /* the requirement that is broken, or NULL */
  double cost[2];
  int unplaced;
} Verdict;

/* What stands on each node. */
typedef struct Load {
  int *cpu, *mem, *pods; /* per node */
  int *of_app;           /* [app * nnodes + node]: pods of the application there */
} Load;

static inline Load load_start(const Cluster *c) {
  size_t n = (size_t)c->nnodes;
  Load load = {bench_alloc(n, sizeof(int)), bench_alloc(n, sizeof(int)),
               bench_alloc(n, sizeof(int)), bench_alloc(n * (size_t)c->napps, sizeof(int))};
  for (int i = 0; i < c->nnodes; i++) {
    load.cpu[i] = c->nodes[i].used_cpu;
    load.mem[i] = c->nodes[i].used_mem;
    load.pods[i] = c->nodes[i].running;
  }
  return load;
}

static inline void load_add(const Cluster *c, Load *load, int pod, int node) {
  const App *app = &c->apps[c->app_of[pod]];
  load->cpu[node] += app->cpu;
  load->mem[node] += app->mem;
  load->pods[node]++;
  load->of_app[(size_t)c->app_of[pod] * (size_t)c->nnodes + (size_t)node]++;
}

static inline void load_finish(Load *load) {
  free(load->cpu);
  free(load->mem);
  free(load->pods);
  free(load->of_app);
}

static inline void judge_nodes(const Cluster *c, const Load *load, Goal goal, Verdict *out) {
  double cpu = 0, mem = 0;
  for (int n = 0; n < c->nnodes; n++) {
    const Node *node = &c->nodes[n];
    if (load->cpu[n] > node->cpu) out->broken = "cpu";
    if (load->mem[n] > node->mem) out->broken = "memory";
    if (load->pods[n] > node->pods) out->broken = "number of pods";
    cpu = fmax(cpu, (double)load->cpu[n] / node->cpu);
    mem = fmax(mem, (double)load->mem[n] / node->mem);
  }
  if (goal == GOAL_MINMAX) out->cost[0] += cpu + mem;
  if (goal == GOAL_LEVELS) out->cost[1] = cpu - 1; /* the least spare share, negated */
}

static inline Verdict judge(const Cluster *c, const int *placement, Goal goal) {
  Verdict out = {0};
  Load load = load_start(c);
  for (int p = 0; p < c->npods; p++) {
    const App *app = &c->apps[c->app_of[p]];
    int node = placement[p];
    if (node == UNPLACED) {
      out.unplaced++;
      if (goal != GOAL_LEVELS) out.cost[0] += UNPLACED_COST;
      continue;
    }
    size_t at = (size_t)c->app_of[p] * (size_t)c->nnodes + (size_t)node;
    if (!cluster_allows(c, app, node)) out.broken = "taint, selector, zone or exclusion";
    if (app->spread && load.of_app[at]) out.broken = "anti-affinity";
    load_add(c, &load, p, node);
    if (goal == GOAL_LEVELS) out.cost[0] -= 1 + app->priority;
    if (goal == GOAL_LINEAR) out.cost[0] += cluster_cost(c, app, node);
  }
  judge_nodes(c, &load, goal, &out);
  load_finish(&load);
  return out;
}

/* ---- greedy: largest pods first (the most important, when that counts), each where it looks best
 */

static inline double greedy_score(const Cluster *c, const Load *load, int pod, int n, Goal goal) {
  int a = c->app_of[pod];
  const App *app = &c->apps[a];
  const Node *node = &c->nodes[n];
  double cpu = load->cpu[n] + app->cpu, mem = load->mem[n] + app->mem;
  if (!cluster_allows(c, app, n) || cpu > node->cpu || mem > node->mem ||
      load->pods[n] >= node->pods ||
      (app->spread && load->of_app[(size_t)a * (size_t)c->nnodes + (size_t)n])) {
    return INFINITY;
  }
  if (goal == GOAL_LINEAR) return cluster_cost(c, app, n);
  return goal == GOAL_MINMAX ? cpu / node->cpu + mem / node->mem : cpu / node->cpu;
}

static inline double greedy_rank(const Cluster *c, int pod, Goal goal) {
  const App *app = &c->apps[c->app_of[pod]];
  return (goal == GOAL_LEVELS ? 1e3 * app->priority : 0) + app->cpu / 16000.0 + app->mem / 65536.0;
}

static inline void greedy(const Cluster *c, Goal goal, int *placement) {
  Load load = load_start(c);
  bool *done = bench_alloc((size_t)c->npods, sizeof *done);
  for (int round = 0; round < c->npods; round++) {
    int pod = -1, best = UNPLACED;
    for (int p = 0; p < c->npods; p++) {
      if (!done[p] && (pod < 0 || greedy_rank(c, p, goal) > greedy_rank(c, pod, goal))) pod = p;
    }
    double least = INFINITY;
    for (int n = 0; n < c->nnodes; n++) {
      double score = greedy_score(c, &load, pod, n, goal);
      if (score < least) {
        least = score;
        best = n;
      }
    }
    done[pod] = true;
    placement[pod] = best;
    if (best != UNPLACED) load_add(c, &load, pod, best);
  }
  free(done);
  load_finish(&load);
}

#endif
