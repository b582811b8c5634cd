/*
** MiniZinc with Gecode, on a model as its users would write it: a variable per pod, bin packing for
** cpu, memory and pods, all different where an application spreads, pods of one application in
** order. Shares are counted in 1/10000, sizes in units of 10 millicores and 64 MiB. Of eight
** searches tried, the largest pods first and large neighbourhoods by restarts gave the best
** answers; it proves nothing.
*/
#ifndef TENFOLD_BENCH_WEAVE_PEERS_GECODE_H
#define TENFOLD_BENCH_WEAVE_PEERS_GECODE_H

#include "bench/weave/peers/child.h"

static const char gecode_head[] =
    "include \"bin_packing_load.mzn\";\n"
    "include \"alldifferent_except_0.mzn\";\n"
    "include \"increasing.mzn\";\n"
    "include \"gecode.mzn\";\n"
    "int: n; int: p; % node 0 takes the pods that stay unplaced\n"
    "array[1..n] of int: cpu; array[1..n] of int: mem; array[1..n] of int: room;\n"
    "array[1..n] of int: used_cpu; array[1..n] of int: used_mem;\n"
    "array[1..p] of int: need_cpu; array[1..p] of int: need_mem;\n"
    "array[1..p] of set of int: allowed;\n"
    "int: total_cpu = sum(need_cpu); int: total_mem = sum(need_mem);\n"
    "array[1..p] of var 0..n: node;\n"
    "array[0..n] of var 0..total_cpu: on_cpu; array[0..n] of var 0..total_mem: on_mem;\n"
    "array[0..n] of var 0..p: on_pods;\n"
    "var 0..10000: peak_cpu; var 0..10000: peak_mem;\n"
    "constraint forall(i in 1..p)(node[i] in allowed[i]);\n"
    "constraint bin_packing_load(on_cpu, node, need_cpu);\n"
    "constraint bin_packing_load(on_mem, node, need_mem);\n"
    "constraint bin_packing_load(on_pods, node, [1 | i in 1..p]);\n"
    "constraint forall(j in 1..n)(on_pods[j] <= room[j]);\n"
    "constraint forall(j in 1..n)(10000 * (used_cpu[j] + on_cpu[j]) <= peak_cpu * cpu[j]);\n"
    "constraint forall(j in 1..n)(10000 * (used_mem[j] + on_mem[j]) <= peak_mem * mem[j]);\n"
    "solve :: int_search([node[i] | i in order], input_order, indomain_random)\n"
    "  :: restart_constant(1000) :: relax_and_reconstruct(node, 80)\n"
    "  minimize 100000 * on_pods[0] + peak_cpu + peak_mem;\n"
    "output [\"\\(node[i]) \" | i in 1..p] ++ [\"\\n\"];\n";

static inline void gecode_array(FILE *f, const char *name, const int *values, int count) {
  fprintf(f, "%s = [", name);
  for (int i = 0; i < count; i++) fprintf(f, "%d%s", values[i], i + 1 < count ? "," : "];\n");
}

static inline void gecode_write_nodes(const Cluster *c, FILE *f) {
  int *values = bench_alloc((size_t)c->nnodes, sizeof *values), n = c->nnodes;
  fprintf(f, "n = %d;\n", n);
  for (int i = 0; i < n; i++) values[i] = c->nodes[i].cpu / CPU_UNIT;
  gecode_array(f, "cpu", values, n);
  for (int i = 0; i < n; i++) values[i] = c->nodes[i].mem / MEM_UNIT;
  gecode_array(f, "mem", values, n);
  for (int i = 0; i < n; i++) values[i] = c->nodes[i].used_cpu / CPU_UNIT;
  gecode_array(f, "used_cpu", values, n);
  for (int i = 0; i < n; i++) values[i] = c->nodes[i].used_mem / MEM_UNIT;
  gecode_array(f, "used_mem", values, n);
  for (int i = 0; i < n; i++) values[i] = c->nodes[i].pods - c->nodes[i].running;
  gecode_array(f, "room", values, n);
  free(values);
}

static inline void gecode_write_pods(const Cluster *c, FILE *f) {
  fprintf(f, "p = %d;\nallowed = [", c->npods);
  for (int p = 0; p < c->npods; p++) {
    fprintf(f, "{0");
    for (int n = 0; n < c->nnodes; n++) {
      if (cluster_allows(c, &c->apps[c->app_of[p]], n)) fprintf(f, ",%d", n + 1);
    }
    fprintf(f, "}%s", p + 1 < c->npods ? "," : "];\n");
  }
  int *values = bench_alloc((size_t)c->npods, sizeof *values);
  for (int p = 0; p < c->npods; p++) values[p] = c->apps[c->app_of[p]].cpu / CPU_UNIT;
  gecode_array(f, "need_cpu", values, c->npods);
  for (int p = 0; p < c->npods; p++) values[p] = c->apps[c->app_of[p]].mem / MEM_UNIT;
  gecode_array(f, "need_mem", values, c->npods);
  free(values);
}

/* The largest pods first, as anybody packing would. */
static inline void gecode_write_order(const Cluster *c, FILE *f) {
  int *order = bench_alloc((size_t)c->npods, sizeof *order);
  for (int i = 0; i < c->npods; i++) {
    int at = i;
    double rank = greedy_rank(c, i, GOAL_MINMAX);
    for (; at > 0 && greedy_rank(c, order[at - 1] - 1, GOAL_MINMAX) < rank; at--) {
      order[at] = order[at - 1];
    }
    order[at] = i + 1;
  }
  fprintf(f, "array[1..p] of int: order;\n");
  gecode_array(f, "order", order, c->npods);
  free(order);
}

static inline void gecode_write(const Cluster *c, const char *path) {
  FILE *f = fopen(path, "w");
  if (!f) exit(2);
  fputs(gecode_head, f);
  gecode_write_nodes(c, f);
  gecode_write_pods(c, f);
  gecode_write_order(c, f);
  for (int a = 0; a < c->napps; a++) {
    const App *app = &c->apps[a];
    if (app->size < 2) continue;
    int first = app->first + 1, last = app->first + app->size;
    fprintf(f, "constraint increasing([node[i] | i in %d..%d]);\n", first, last);
    if (!app->spread) continue;
    fprintf(f, "constraint alldifferent_except_0([node[i] | i in %d..%d]);\n", first, last);
  }
  if (fclose(f) != 0) exit(2);
}

/* The last placement it printed; each is a line of nodes, with lines of dashes between. */
static inline bool gecode_read(const Cluster *c, const char *path, int *placement, bool *proven) {
  size_t size = (size_t)c->npods * 8 + 64;
  char *line = bench_alloc(size, 1);
  FILE *f = fopen(path, "r");
  bool found = false;
  *proven = false;
  while (f && fgets(line, (int)size, f)) {
    if (!strncmp(line, "=====", 5) && !strchr(line, 'U')) *proven = true;
    char *at = line, *end;
    int p = 0;
    for (; p < c->npods; p++, at = end) {
      long node = strtol(at, &end, 10);
      if (end == at) break;
      placement[p] = node == 0 ? UNPLACED : (int)node - 1;
    }
    found = found || p == c->npods;
  }
  if (f) fclose(f);
  free(line);
  return found;
}

/* The min-max goal. Writing its model is not in its time; compiling it to FlatZinc is. */
static inline PeerRun gecode_solve(const Cluster *c, double cap) {
  PeerRun out = {0};
  char model[PATH_SIZE], printed[PATH_SIZE], limit[32];
  scratch_path(model, "model.mzn");
  scratch_path(printed, "printed");
  snprintf(limit, sizeof limit, "%d", (int)(cap * 1000));
  gecode_write(c, model);
  const char *const arguments[] = {"minizinc", "--solver", "Gecode", "--time-limit",
                                   limit,      "-a",       model,    NULL};
  bool ended = child_run_program(arguments, printed, cap + 1, &out);
  int *placement = bench_alloc((size_t)c->npods, sizeof *placement);
  if (gecode_read(c, printed, placement, &out.proven)) {
    peer_judge(c, GOAL_MINMAX, placement, &out);
  }
  out.capped = !ended || !out.proven;
  free(placement);
  return out;
}

#endif
