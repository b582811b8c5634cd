/*
** A cluster and the pods to place on it: what the benchmarks of weave measure. Seeded; the same
** seed gives the same cluster everywhere.
**
** Nodes come in three sizes (60/30/10 %) and three zones, 30 % have an ssd, 10 % are tainted, and
** some pods run already: "light" uses 15..25 % of each node, "tight" 40..70 %. Pods come in
** applications of 1..20 identical ones: 20 % ask for an ssd, 10 % for a zone, 20 % tolerate the
** taint, half spread (no two on one node), 10 % are kept from a twentieth of the nodes. When tight,
** pods are enlarged until they ask for 85 % of what is free, at most twofold: a pod must not need
** more than half of a small node.
**
** All sizes are multiples of 10 millicores and 64 MiB, so that programs that count in 32-bit
** integers solve the very same problem.
*/
#ifndef TENFOLD_BENCH_WEAVE_CLUSTER_H
#define TENFOLD_BENCH_WEAVE_CLUSTER_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CPU_UNIT = 10, MEM_UNIT = 64, ZONES = 3, UNPLACED = -1, UNPLACED_COST = 10 };

typedef enum Goal { GOAL_MINMAX, GOAL_LINEAR, GOAL_LEVELS, NGOALS } Goal;

static const char *const goal_names[NGOALS] = {"min-max", "linear", "lexicographic"};

typedef struct Node {
  int cpu, mem, pods; /* what it has: millicores, MiB, pods */
  int used_cpu, used_mem, running;
  int zone;
  double price;
  bool ssd, tainted;
} Node;

typedef struct App {
  int first, size; /* its pods: first .. first + size - 1 */
  int cpu, mem;    /* of each pod */
  int zone;        /* -1: any */
  int priority;
  bool ssd, tolerates, spread, avoids;
  double distance[ZONES];
  uint64_t salt;
} App;

typedef struct Cluster {
  int nnodes, npods, napps;
  bool tight;
  Node *nodes;
  App *apps;
  int *app_of; /* per pod */
  uint64_t random;
} Cluster;

static inline void *bench_alloc(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) {
    fprintf(stderr, "out of memory\n");
    exit(2);
  }
  return memory;
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static inline uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

static inline double uniform(uint64_t *random) {
  *random += UINT64_C(0x9E3779B97F4A7C15);
  return (double)(mix(*random) >> 11) / 9007199254740992.0;
}

static inline int below(uint64_t *random, int n) { return (int)(uniform(random) * n); }

static inline int whole(double amount, int unit) { return (int)floor(amount / unit) * unit; }

static inline void cluster_add_node(Cluster *c, Node *node) {
  double kind = uniform(&c->random), least = c->tight ? 0.40 : 0.15, span = c->tight ? 0.30 : 0.10;
  int scale = kind < 0.6 ? 1 : kind < 0.9 ? 2 : 4;
  *node = (Node){.cpu = 16000 * scale, .mem = 65536 * scale, .pods = 110};
  node->zone = below(&c->random, ZONES);
  node->ssd = uniform(&c->random) < 0.3;
  node->tainted = uniform(&c->random) < 0.1;
  node->price = 0.5 + below(&c->random, 1000) / 1000.0;
  node->used_cpu = whole(node->cpu * (least + span * uniform(&c->random)), CPU_UNIT);
  node->used_mem = whole(node->mem * (least + span * uniform(&c->random)), MEM_UNIT);
  node->running = 3 + below(&c->random, 4);
}

static inline void cluster_add_app(Cluster *c, App *app) {
  static const int cpus[] = {250, 500, 1000, 2000, 4000};
  static const int mems[] = {512, 1024, 2048, 4096, 8192, 16384};
  *app = (App){.cpu = cpus[below(&c->random, 5)], .mem = mems[below(&c->random, 6)], .zone = -1};
  app->size = 1 + below(&c->random, 20);
  app->ssd = uniform(&c->random) < 0.2;
  if (uniform(&c->random) < 0.1) app->zone = below(&c->random, ZONES);
  app->tolerates = uniform(&c->random) < 0.2;
  app->spread = uniform(&c->random) < 0.5;
  app->avoids = uniform(&c->random) < 0.1;
  app->priority = below(&c->random, 3);
  for (int z = 0; z < ZONES; z++) app->distance[z] = below(&c->random, 50) / 100.0;
  app->salt = mix(c->random);
}

static inline Cluster cluster_make(int nnodes, int npods, bool tight, int seed) {
  Cluster c = {.nnodes = nnodes,
               .npods = npods,
               .tight = tight,
               .random = mix((uint64_t)seed * 7919 + (uint64_t)nnodes * 31 + (uint64_t)npods)};
  c.nodes = bench_alloc((size_t)nnodes, sizeof *c.nodes);
  c.apps = bench_alloc((size_t)npods, sizeof *c.apps);
  c.app_of = bench_alloc((size_t)npods, sizeof *c.app_of);
  double free_cpu = 0, demand = 0;
  for (int n = 0; n < nnodes; n++) {
    cluster_add_node(&c, &c.nodes[n]);
    free_cpu += c.nodes[n].cpu - c.nodes[n].used_cpu;
  }
  for (int p = 0; p < npods; c.napps++) {
    App *app = &c.apps[c.napps];
    cluster_add_app(&c, app);
    app->first = p;
    if (app->size > npods - p) app->size = npods - p;
    for (int end = p + app->size; p < end; p++) c.app_of[p] = c.napps;
    demand += (double)app->cpu * app->size;
  }
  double factor = tight ? fmin(2, fmax(1, 0.85 * free_cpu / demand)) : 1;
  for (int a = 0; a < c.napps; a++) {
    c.apps[a].cpu = whole(c.apps[a].cpu * factor, CPU_UNIT);
    c.apps[a].mem = whole(c.apps[a].mem * factor, MEM_UNIT);
  }
  return c;
}

static inline void cluster_finish(Cluster *c) {
  free(c->nodes);
  free(c->apps);
  free(c->app_of);
}

static inline bool cluster_excludes(const App *app, int n) {
  return app->avoids && mix(app->salt + (uint64_t)n) % 20 == 0;
}

/* May a pod of the application be on the node, whatever else is there? */
static inline bool cluster_allows(const Cluster *c, const App *app, int n) {
  const Node *node = &c->nodes[n];
  return (!node->tainted || app->tolerates) && (!app->ssd || node->ssd) &&
         (app->zone < 0 || app->zone == node->zone) && !cluster_excludes(app, n);
}

/* What the linear goal charges for a pod of the application on the node. */
static inline double cluster_cost(const Cluster *c, const App *app, int n) {
  const Node *node = &c->nodes[n];
  return node->price * (app->cpu / 4000.0 + app->mem / 16384.0) + app->distance[node->zone];
}

#endif
