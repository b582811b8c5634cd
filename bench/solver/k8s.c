/*
** Placement of pods on nodes, built as weave's compiler builds it; seeded.
**
** Nodes come in three sizes (60/30/10 %) and three zones, 30 % have an ssd, 10 % are tainted. Pods
** come in applications of 1..20 identical ones; of the applications 20 % ask for an ssd, 10 % for a
** zone, half spread (no two on one node), 10 % avoid a twentieth of the nodes. "light": nodes are
** 15..25 % used; "tight": 40..70 %, and pods are up to half as large again. Goals:
**   minmax    one level: 10 * unplaced + largest cpu share + largest memory share, minimized
**   linear    one level: 10 * unplaced + the cost of each placement, minimized
**   levels    most priority placed; then the least spare cpu share, maximized
** Usage: k8s [seeds]                 the table
**        k8s NODES PODS light|tight minmax|linear|levels SEED SECONDS   one instance, with phases
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "solver/model.h"

typedef struct Node {
  double cpu, mem, used_cpu, used_mem; /* millicores, MiB */
  int zone, pods;
  bool ssd, tainted;
} Node;

typedef struct App {
  double cpu, mem;
  int zone, priority; /* zone -1: any */
  bool ssd, tolerates, spread, avoids;
  uint64_t salt;
} App;

typedef struct Cluster {
  int nnodes, npods, napps;
  Node *nodes;
  App *apps;
  int *app_of; /* per pod */
  uint64_t random;
} Cluster;

static uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

static double uniform(Cluster *c) {
  return (double)(mix(c->random += UINT64_C(0x9E3779B97F4A7C15)) >> 11) / 9007199254740992.0;
}

static int below(Cluster *c, int n) { return (int)(uniform(c) * n); }

static void add_node(Cluster *c, Node *node, bool tight) {
  double kind = uniform(c), share;
  double scale = kind < 0.6 ? 1 : kind < 0.9 ? 2 : 4;
  *node = (Node){.cpu = 16000 * scale, .mem = 65536 * scale, .zone = below(c, 3), .pods = 110};
  node->ssd = uniform(c) < 0.3;
  node->tainted = uniform(c) < 0.1;
  share = tight ? 0.4 + 0.3 * uniform(c) : 0.15 + 0.1 * uniform(c);
  node->used_cpu = floor(node->cpu * share);
  share = tight ? 0.4 + 0.3 * uniform(c) : 0.15 + 0.1 * uniform(c);
  node->used_mem = floor(node->mem * share);
}

static void add_app(Cluster *c, App *app) {
  static const double cpus[] = {250, 500, 1000, 2000, 4000};
  static const double mems[] = {512, 1024, 2048, 4096, 8192, 16384};
  *app = (App){.cpu = cpus[below(c, 5)], .mem = mems[below(c, 6)], .zone = -1};
  app->ssd = uniform(c) < 0.2;
  if (uniform(c) < 0.1) app->zone = below(c, 3);
  app->tolerates = uniform(c) < 0.2;
  app->spread = uniform(c) < 0.5;
  app->avoids = uniform(c) < 0.1;
  app->priority = below(c, 3);
  app->salt = mix(c->random);
}

static void make_cluster(Cluster *c, int nnodes, int npods, bool tight, uint64_t seed) {
  *c = (Cluster){.nnodes = nnodes, .npods = npods, .random = seed * 7919 + 17};
  c->nodes = calloc((size_t)nnodes, sizeof *c->nodes);
  c->apps = calloc((size_t)npods, sizeof *c->apps);
  c->app_of = calloc((size_t)npods, sizeof *c->app_of);
  if (!c->nodes || !c->apps || !c->app_of) exit(2);
  double free_cpu = 0, demand = 0;
  for (int n = 0; n < nnodes; n++) {
    add_node(c, &c->nodes[n], tight);
    free_cpu += c->nodes[n].cpu - c->nodes[n].used_cpu;
  }
  for (int p = 0; p < npods;) {
    add_app(c, &c->apps[c->napps]);
    int size = 1 + below(c, 20);
    for (; size > 0 && p < npods; size--, p++) {
      c->app_of[p] = c->napps;
      demand += c->apps[c->napps].cpu;
    }
    c->napps++;
  }
  double factor = tight ? fmin(1.5, fmax(1, 0.85 * free_cpu / demand)) : 1;
  for (int a = 0; a < c->napps; a++) {
    c->apps[a].cpu = floor(c->apps[a].cpu * factor);
    c->apps[a].mem = floor(c->apps[a].mem * factor);
  }
}

static bool eligible(const Cluster *c, const App *app, int n) {
  const Node *node = &c->nodes[n];
  if (node->tainted && !app->tolerates) return false;
  if (app->ssd && !node->ssd) return false;
  if (app->zone >= 0 && node->zone != app->zone) return false;
  return !app->avoids || mix(app->salt + (uint64_t)n) % 20 != 0;
}

/* ---- the model; tags: 0 eligibility, 1 cpu, 2 memory, 3 pods, 4 spread */

static Var literal(const Cluster *c, const Var *pods, int p, int n) {
  (void)c;
  return pods[p] + n;
}

static void require_nodes(Model *m, const Cluster *c, const Var *pods) {
  for (int n = 0; n < c->nnodes; n++) {
    const Node *node = &c->nodes[n];
    Lin cpu = {0}, mem = {0}, count = {0};
    for (int p = 0; p < c->npods; p++) {
      const App *app = &c->apps[c->app_of[p]];
      Var x = literal(c, pods, p, n);
      lin_add(&cpu, x, app->cpu);
      lin_add(&mem, x, app->mem);
      lin_add(&count, x, 1);
    }
    model_require(m, &cpu, MODEL_LE, node->cpu - node->used_cpu, 1);
    model_require(m, &mem, MODEL_LE, node->mem - node->used_mem, 2);
    model_require(m, &count, MODEL_LE, node->pods, 3);
    lin_finish(&cpu);
    lin_finish(&mem);
    lin_finish(&count);
  }
}

static void require_spread(Model *m, const Cluster *c, const Var *pods) {
  Lit *lits = calloc((size_t)c->npods, sizeof *lits);
  if (!lits) exit(2);
  for (int a = 0; a < c->napps; a++) {
    if (!c->apps[a].spread) continue;
    for (int n = 0; n < c->nnodes; n++) {
      size_t count = 0;
      for (int p = 0; p < c->npods; p++) {
        if (c->app_of[p] == a) lits[count++] = lit_of(literal(c, pods, p, n));
      }
      if (count > 1) model_require_at_most_one(m, lits, count, 4);
    }
  }
  free(lits);
}

/* Share of cpu (or memory) used per node: factor * share + constant as guarded items. */
static Var extreme_share(Model *m, const Cluster *c, const Var *pods, bool cpu, bool spare) {
  GuardedLin *items = calloc((size_t)c->nnodes, sizeof *items);
  if (!items) exit(2);
  for (int n = 0; n < c->nnodes; n++) {
    const Node *node = &c->nodes[n];
    double size = cpu ? node->cpu : node->mem, used = cpu ? node->used_cpu : node->used_mem;
    items[n].guard = LIT_TRUE;
    items[n].lin.constant = used / size;
    for (int p = 0; p < c->npods; p++) {
      const App *app = &c->apps[c->app_of[p]];
      lin_add(&items[n].lin, literal(c, pods, p, n), (cpu ? app->cpu : app->mem) / size);
    }
    if (spare) {
      lin_scale(&items[n].lin, -1);
      items[n].lin.constant += 1;
    }
  }
  Var var = spare ? model_min(m, items, (size_t)c->nnodes) : model_max(m, items, (size_t)c->nnodes);
  for (int n = 0; n < c->nnodes; n++) lin_finish(&items[n].lin);
  free(items);
  return var;
}

/* Everybody prefers the same cheap nodes, and a node near its data. */
static double price(const Cluster *c, const App *app, int n) {
  double rate = 0.5 + (double)(mix((uint64_t)n * 31 + 7) % 1000) / 1000;
  double distance = (double)(mix(app->salt ^ (uint64_t)(c->nodes[n].zone + 99)) % 100) / 200;
  return rate * (app->cpu / 4000 + app->mem / 16384) + distance;
}

static void add_goals(Model *m, const Cluster *c, const Var *pods, const char *kind) {
  Lin goal = {0}, second = {0};
  bool levels = strcmp(kind, "levels") == 0, linear = strcmp(kind, "linear") == 0;
  for (int p = 0; p < c->npods; p++) {
    const App *app = &c->apps[c->app_of[p]];
    if (levels) {
      lin_add_lit(&goal, lit_not(lit_of(pods[p] + c->nnodes)), 1 + app->priority);
      continue;
    }
    lin_add(&goal, pods[p] + c->nnodes, 10);
    for (int n = 0; linear && n < c->nnodes; n++) {
      lin_add(&goal, pods[p] + n, price(c, app, n));
    }
  }
  if (levels) {
    lin_add(&second, extreme_share(m, c, pods, true, true), 1);
    model_goal(m, 2, true, &second);
  } else if (!linear) {
    lin_add(&goal, extreme_share(m, c, pods, true, false), 1);
    lin_add(&goal, extreme_share(m, c, pods, false, false), 1);
  }
  model_goal(m, 1, levels, &goal);
  lin_finish(&goal);
  lin_finish(&second);
}

static Model *make_model(const Cluster *c, const char *kind) {
  Model *m = model_create();
  Var *pods = calloc((size_t)c->npods, sizeof *pods);
  if (!m || !pods) exit(2);
  for (int p = 0; p < c->npods; p++) pods[p] = model_choice(m, c->nnodes + 1);
  for (int p = 0; p < c->npods; p++) {
    for (int n = 0; n < c->nnodes; n++) {
      if (!eligible(c, &c->apps[c->app_of[p]], n)) {
        model_require_lit(m, lit_not(lit_of(pods[p] + n)), 0);
      }
    }
  }
  require_nodes(m, c, pods);
  require_spread(m, c, pods);
  add_goals(m, c, pods, kind);
  free(pods);
  return m;
}

/* ---- running */

typedef struct Result {
  double build, presolve, first, total, objective, bound, gap;
  SolveStatus status;
} Result;

static double since(int64_t start) { return (double)(clock_now() - start) / 1e9; }

static bool verbose;

static void show_phase(void *ctx, const char *phase, double seconds, double objective,
                       double bound) {
  (void)ctx;
  if (verbose)
    printf("    %-10s %7.3f  objective %.6f bound %.6f\n", phase, seconds, objective, bound);
}

static Result run(int nnodes, int npods, bool tight, const char *kind, uint64_t seed,
                  double seconds) {
  Cluster c;
  make_cluster(&c, nnodes, npods, tight, seed);
  Result r = {0};
  int64_t start = clock_now();
  Model *model = make_model(&c, kind);
  r.build = since(start);
  Stop stop = {.deadline = clock_now() + (int64_t)(seconds * 1e9)};
  SolveOptions options = {.seed = seed, .progress = show_phase};
  Answer answer;
  Fault fault = {0};
  start = clock_now();
  if (!model_ok(model) || !solver_solve(model, &options, &stop, &answer, &fault)) {
    printf("%s %s\n", model_fault(model)->text, fault.text);
    exit(1);
  }
  r.total = since(start);
  r.status = answer.status;
  r.first = INFINITY;
  for (int i = 0; i < answer.nphases; i++) {
    if (strcmp(answer.phases[i].name, "presolve") == 0) r.presolve = answer.phases[i].seconds;
    if (strcmp(answer.phases[i].name, "first") == 0) r.first = answer.phases[i].seconds;
    if (verbose) printf("  %-10s %.3f s\n", answer.phases[i].name, answer.phases[i].seconds);
  }
  for (size_t i = 0; i < answer.nlevels; i++) {
    r.objective = answer.objective[i];
    r.bound = answer.bound[i];
    r.gap = fmax(r.gap, (r.bound - r.objective) / fmax(1e-9, fabs(r.objective)));
    if (verbose) printf("  level %zu: %.6f bound %.6f\n", i, r.objective, r.bound);
  }
  if (verbose) {
    printf("  %zu groups, %zu rows, %zu columns, %zu nonzeros, %lld nodes\n", answer.groups,
           answer.rows, answer.columns, answer.nonzeros, (long long)answer.nodes);
  }
  answer_finish(&answer);
  model_destroy(model);
  free(c.nodes);
  free(c.apps);
  free(c.app_of);
  return r;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double median(double *values, int n) {
  qsort(values, (size_t)n, sizeof *values, by_value);
  return values[n / 2];
}

static void row(int nnodes, int npods, bool tight, const char *kind, int seeds, double seconds) {
  enum { MOST = 100 };
  double build[MOST], presolve[MOST], first[MOST], total[MOST], gap[MOST];
  int proven = 0;
  if (seeds > MOST) seeds = MOST;
  double objective = 0, bound = 0;
  for (int s = 0; s < seeds; s++) {
    Result r = run(nnodes, npods, tight, kind, (uint64_t)s + 1, seconds);
    build[s] = r.build;
    presolve[s] = r.presolve;
    first[s] = r.first;
    total[s] = r.total;
    gap[s] = r.gap;
    objective = r.objective;
    bound = r.bound;
    proven += r.status == SOLVE_OPTIMAL;
  }
  double worst = 0;
  for (int s = 0; s < seeds; s++) worst = fmax(worst, gap[s]);
  printf("%5dx%-4d %-5s %-6s %7.3f %8.3f %7.3f %7.3f %9.2f%% %7.2f%% %4d/%d  %.4f %.4f\n", nnodes,
         npods, tight ? "tight" : "light", kind, median(build, seeds), median(presolve, seeds),
         median(first, seeds), median(total, seeds), 100 * median(gap, seeds), 100 * worst, proven,
         seeds, objective, bound);
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc > 6) {
    verbose = true;
    run(atoi(argv[1]), atoi(argv[2]), strcmp(argv[3], "tight") == 0, argv[4],
        strtoull(argv[5], NULL, 10), atof(argv[6]));
    return 0;
  }
  static const struct {
    int nodes, pods;
    double seconds;
  } sizes[] = {{50, 50, 1.5},   {100, 100, 1.5},  {500, 50, 0.25},
               {1000, 50, 0.5}, {1000, 500, 2.2}, {10000, 100, 1.2}};
  static const char *const kinds[] = {"minmax", "linear", "levels"};
  int seeds = argc > 1 ? atoi(argv[1]) : 5;
  printf("%s; median of %d seeds; seconds; the last two: objective and bound of the last seed\n",
         solver_backend(), seeds);
  printf("nodes x pods      goal     build presolve   first   total  gap median   worst proven\n");
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      for (int tight = 0; tight < 2; tight++) {
        row(sizes[i].nodes, sizes[i].pods, tight, kinds[k], seeds, sizes[i].seconds);
      }
    }
  }
  return 0;
}
