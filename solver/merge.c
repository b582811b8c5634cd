/*
** Presolve, second half: pairs into cliques. Groups are in groups.c.
**
** "No two of these on one node" arrives as a row per pair and node; merged, it is one row per node.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/presolve.h"

typedef struct Edge {
  Var a, b; /* a < b */
  size_t req;
} Edge;

typedef struct Pairs {
  Presolve *p;
  Edge *edges;
  size_t count, capacity;
  Var *parent; /* union-find over variables, 0: not in a pair; memory of others is not touched */
  uint32_t *table; /* edges by (a, b): index + 1 */
  size_t table_size;
} Pairs;

static bool is_live_value(const Presolve *p, Var var) {
  return p->model->vars[var].kind == VAR_VALUE && p->at.mark[var] == MARK_OPEN;
}

/* Does the requirement say: not both of two values (of different choices)? */
static bool is_pair(const Presolve *p, const Requirement *req) {
  const Term *t = p->model->terms + req->span.start;
  if (req->span.count != 2 || req->sense != MODEL_LE || t[0].coef != t[1].coef) return false;
  if (t[0].coef <= 0 || req->bound < t[0].coef || req->bound >= 2 * t[0].coef * (1 - 1e-9)) {
    return false;
  }
  return is_live_value(p, t[0].var) && is_live_value(p, t[1].var);
}

static Var find_root(Var *parent, Var var) {
  while (parent[var] != var) var = parent[var] = parent[parent[var]];
  return var;
}

static uint32_t *edge_slot(const Pairs *pairs, Var a, Var b) {
  uint64_t key = (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
  size_t at = presolve_mix(key) & (pairs->table_size - 1);
  for (; pairs->table[at]; at = (at + 1) & (pairs->table_size - 1)) {
    const Edge *edge = &pairs->edges[pairs->table[at] - 1];
    if (edge->a == a && edge->b == b) break;
  }
  return &pairs->table[at];
}

static bool has_edge(const Pairs *pairs, Var a, Var b) {
  return *edge_slot(pairs, a < b ? a : b, a < b ? b : a) != 0;
}

/* All pairs, each once; repeated ones are dropped on the way. */
static bool collect_pairs(Pairs *pairs) {
  Presolve *p = pairs->p;
  const Model *model = p->model;
  size_t total = 0;
  for (size_t i = 0; i < model->nreqs; i++) total += !p->dropped[i] && is_pair(p, &model->reqs[i]);
  if (total < 2 || total >= UINT32_MAX / 4) return true;
  pairs->table_size = 16;
  while (pairs->table_size < 2 * total) pairs->table_size *= 2;
  pairs->table = calloc(pairs->table_size, sizeof *pairs->table);
  pairs->edges = malloc(total * sizeof *pairs->edges);
  pairs->parent = calloc(model->nvars, sizeof *pairs->parent);
  if (!pairs->table || !pairs->edges || !pairs->parent) return false;
  for (size_t i = 0; i < model->nreqs; i++) {
    const Requirement *req = &model->reqs[i];
    if (p->dropped[i] || !is_pair(p, req)) continue;
    Var a = model->terms[req->span.start].var, b = model->terms[req->span.start + 1].var;
    uint32_t *slot = edge_slot(pairs, a, b);
    if (*slot) {
      p->dropped[i] = 1;
      continue;
    }
    pairs->edges[pairs->count++] = (Edge){a, b, i};
    *slot = (uint32_t)pairs->count;
    if (pairs->parent[a] == 0) pairs->parent[a] = a;
    if (pairs->parent[b] == 0) pairs->parent[b] = b;
    Var ra = find_root(pairs->parent, a), rb = find_root(pairs->parent, b);
    if (ra < rb) pairs->parent[rb] = ra;
    if (rb < ra) pairs->parent[ra] = rb;
  }
  return true;
}

static bool add_clique(Presolve *p, const Var *vars, size_t count) {
  if (!array_extend(p->cliques, p->cliques_capacity, p->ncliques + count) ||
      !array_grow(p->clique_spans, p->spans_capacity, p->nspans + 1)) {
    return false;
  }
  p->clique_spans[p->nspans++] = (Span){p->ncliques, count};
  for (size_t i = 0; i < count; i++) p->cliques[p->ncliques++] = (Term){vars[i], 1};
  return true;
}

static int by_var(const void *a, const void *b) {
  Var x = *(const Var *)a, y = *(const Var *)b;
  return x < y ? -1 : x > y;
}

static int by_root(const void *a, const void *b) {
  const Edge *x = a, *y = b;
  if (x->req != y->req) return x->req < y->req ? -1 : 1; /* here `req` holds the root */
  if (x->a != y->a) return x->a < y->a ? -1 : 1;
  return x->b < y->b ? -1 : x->b > y->b;
}

/* Vertices of one component in ascending order. Returns their number. */
static size_t component_vars(const Edge *edges, size_t count, Var *out) {
  size_t n = 0;
  for (size_t i = 0; i < count; i++) {
    out[n++] = edges[i].a;
    out[n++] = edges[i].b;
  }
  qsort(out, n, sizeof *out, by_var);
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) {
    if (!kept || out[kept - 1] != out[i]) out[kept++] = out[i];
  }
  return kept;
}

/* Cover the edges of an incomplete component by cliques: from each uncovered edge on, take in every
** later vertex that is adjacent to all taken. `covered` has one entry per edge of the table. */
static bool cover_component(const Pairs *pairs, const Edge *edges, size_t count, const Var *vars,
                            size_t nvars, Var *clique, uint8_t *covered) {
  for (size_t i = 0; i < count; i++) {
    if (covered[*edge_slot(pairs, edges[i].a, edges[i].b) - 1]) continue;
    size_t size = 0;
    clique[size++] = edges[i].a;
    clique[size++] = edges[i].b;
    for (size_t k = 0; k < nvars; k++) {
      bool adjacent = vars[k] != edges[i].a && vars[k] != edges[i].b;
      for (size_t m = 0; adjacent && m < size; m++) adjacent = has_edge(pairs, clique[m], vars[k]);
      if (adjacent) clique[size++] = vars[k];
    }
    qsort(clique, size, sizeof *clique, by_var);
    for (size_t m = 0; m < size; m++) {
      for (size_t k = m + 1; k < size; k++) {
        covered[*edge_slot(pairs, clique[m], clique[k]) - 1] = 1;
      }
    }
    if (!add_clique(pairs->p, clique, size)) return false;
  }
  return true;
}

static const size_t COVER_LIMIT = 50000000; /* steps; beyond it pairs stay pairs */

/* edges: sorted by component, `req` replaced by the root. */
static bool merge_components(Pairs *pairs, Edge *sorted, Var *vars, Var *clique, uint8_t *covered) {
  size_t work = 0;
  for (size_t i = 0, end; i < pairs->count; i = end) {
    for (end = i + 1; end < pairs->count && sorted[end].req == sorted[i].req; end++) {
    }
    size_t count = end - i, n = component_vars(sorted + i, count, vars);
    bool ok = true;
    if (count == n * (n - 1) / 2) {
      ok = add_clique(pairs->p, vars, n);
    } else if (work + count * n < COVER_LIMIT) {
      work += count * n;
      ok = cover_component(pairs, sorted + i, count, vars, n, clique, covered);
    } else {
      for (size_t k = i; ok && k < end; k++) {
        ok = add_clique(pairs->p, (Var[]){sorted[k].a, sorted[k].b}, 2);
      }
    }
    if (!ok) return false;
  }
  return true;
}

bool presolve_cliques(Presolve *p, Fault *fault) {
  Pairs pairs = {.p = p};
  Edge *sorted = NULL;
  Var *vars = NULL, *clique = NULL;
  uint8_t *covered = NULL;
  bool ok = collect_pairs(&pairs);
  if (ok && pairs.count) {
    sorted = malloc(pairs.count * sizeof *sorted);
    vars = malloc(2 * pairs.count * sizeof *vars);
    clique = malloc(2 * pairs.count * sizeof *clique);
    covered = calloc(pairs.count, 1);
    ok = sorted && vars && clique && covered;
  }
  if (ok && pairs.count) {
    for (size_t i = 0; i < pairs.count; i++) {
      sorted[i] = pairs.edges[i];
      sorted[i].req = (size_t)find_root(pairs.parent, sorted[i].a);
    }
    qsort(sorted, pairs.count, sizeof *sorted, by_root);
    ok = merge_components(&pairs, sorted, vars, clique, covered);
    for (size_t i = 0; ok && i < pairs.count; i++) p->dropped[pairs.edges[i].req] = 1;
    p->merged_pairs = pairs.count;
  }
  free(sorted);
  free(vars);
  free(clique);
  free(covered);
  free(pairs.edges);
  free(pairs.table);
  free(pairs.parent);
  return ok || fault_oom(fault);
}
