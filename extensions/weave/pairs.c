/*
** Rules that two decisions differ, gathered into cliques. See compile.h.
**
** `a.node <> b.node` for all pairs of 20 pods says 190 times "not both on n1", and so for each
** node. Pairs that form a clique say it once: at most one of the 20 is on n1. That is 190 times
** fewer rows, and a far stronger linear relaxation.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/weave/compile.h"

typedef struct Edge {
  int a, b; /* nodes */
  int tag;
  bool covered;
} Edge;

struct Pairs {
  Map index; /* first literal of a decision -> node */
  const Sym **nodes;
  size_t nnodes, nodes_capacity;
  Edge *edges;
  size_t nedges, edges_capacity;
  Map known; /* (a, b) -> edge */
};

Pairs *pairs_create(void) { return calloc(1, sizeof(Pairs)); }

void pairs_destroy(Pairs *pairs) {
  if (!pairs) return;
  map_finish(&pairs->index);
  map_finish(&pairs->known);
  free(pairs->nodes);
  free(pairs->edges);
  free(pairs);
}

static int node_of(Compiler *compiler, Pairs *pairs, const Sym *sym) {
  Lit key = sym->choices[0].guard;
  bool added;
  int64_t *at = map_put(&pairs->index, &key, sizeof key, (int64_t)pairs->nnodes, &added);
  if (at && added && array_grow(pairs->nodes, pairs->nodes_capacity, pairs->nnodes + 1)) {
    Sym *copy = arena_alloc(&compiler->arena, sizeof *copy);
    if (copy) {
      *copy = *sym;
      pairs->nodes[pairs->nnodes++] = copy;
    }
  }
  if (at && (size_t)*at < pairs->nnodes) return (int)*at;
  fault_oom(compiler->fault);
  return -1;
}

/* Choices that are not the same decision column unchanged: no clique, one row per shared key. */
static bool post_pair(Compiler *compiler, const Sym *left, const Sym *right, int tag) {
  ChoiceKeys keys;
  if (!sym_choice_keys(&compiler->algebra, left, right, &keys)) return false;
  Lin *rows = calloc((size_t)keys.count + 1, sizeof *rows);
  if (!rows) return fault_oom(compiler->fault);
  for (size_t i = 0; i < left->nchoices; i++) {
    if (keys.left[i] >= 0) lin_add_lit(&rows[keys.left[i]], left->choices[i].guard, 1);
  }
  for (size_t i = 0; i < right->nchoices; i++) {
    if (keys.right[i] >= 0) lin_add_lit(&rows[keys.right[i]], right->choices[i].guard, 1);
  }
  for (int k = 0; k < keys.count; k++) {
    model_require(compiler->model, &rows[k], MODEL_LE, 1, tag);
    lin_finish(&rows[k]);
  }
  free(rows);
  return model_ok_or_fault(compiler);
}

bool pairs_add(Compiler *compiler, Pairs *pairs, const Sym *left, const Sym *right, int tag) {
  /* Under another collation values of one domain may be equal: 'a' and 'A'. */
  bool mergeable = left->domain && left->domain == right->domain && left->nchoices > 0 &&
                   left->nchoices == right->nchoices && left->collation == COLLATION_BINARY;
  if (!mergeable) return post_pair(compiler, left, right, tag);
  int a = node_of(compiler, pairs, left), b = node_of(compiler, pairs, right);
  if (a < 0 || b < 0) return false;
  if (a == b) return post_pair(compiler, left, right, tag); /* x <> x: only NULL is left */
  int key[2] = {a < b ? a : b, a < b ? b : a};
  bool added;
  if (!map_put(&pairs->known, key, sizeof key, (int64_t)pairs->nedges, &added)) {
    return fault_oom(compiler->fault);
  }
  if (!added) return true;
  if (!array_grow(pairs->edges, pairs->edges_capacity, pairs->nedges + 1)) {
    return fault_oom(compiler->fault);
  }
  pairs->edges[pairs->nedges++] = (Edge){.a = key[0], .b = key[1], .tag = tag};
  return true;
}

static Edge *edge_between(const Pairs *pairs, int a, int b) {
  int key[2] = {a < b ? a : b, a < b ? b : a};
  int64_t *at = map_get(&pairs->known, key, sizeof key);
  return at ? &pairs->edges[*at] : NULL;
}

/* At most one of the members has the value, for each value that is not NULL. Two stay two literals:
** presolve may find a larger clique around them. */
static bool post_clique(Compiler *compiler, const Pairs *pairs, const int *members, size_t count,
                        int tag) {
  const Sym *first = pairs->nodes[members[0]];
  Var *choices = malloc(count * sizeof *choices), tally = VAR_ONE;
  if (!choices) return fault_oom(compiler->fault);
  for (size_t i = 0; i < count; i++) {
    choices[i] = lit_var(pairs->nodes[members[i]]->choices[0].guard);
  }
  if (count > 2) tally = model_tally(compiler->model, choices, count);
  for (size_t v = 0; v < first->nchoices; v++) {
    if (value_is_null(&first->choices[v].value)) continue;
    if (tally != VAR_ONE) {
      model_require_at_most(compiler->model, tally + (Var)v, 1, tag);
    } else {
      Lit lits[2] = {lit_of(choices[0] + (Var)v), lit_of(choices[1] + (Var)v)};
      model_require_at_most_one(compiler->model, lits, 2, tag);
    }
  }
  free(choices);
  return model_ok_or_fault(compiler);
}

/* Greedy cover: each edge not yet covered grows into a maximal clique. Origins that are recorded
** keep their pairs apart, so that an explanation names the pair. */
bool pairs_post(Compiler *compiler, Pairs *pairs) {
  int *members = calloc(pairs->nnodes + 2, sizeof *members);
  bool ok = members != NULL || fault_oom(compiler->fault);
  for (size_t e = 0; ok && e < pairs->nedges; e++) {
    Edge *edge = &pairs->edges[e];
    if (edge->covered) continue;
    size_t count = 2;
    members[0] = edge->a;
    members[1] = edge->b;
    for (int w = 0; w < (int)pairs->nnodes && !compiler->record_origins; w++) {
      bool all = w != edge->a && w != edge->b;
      for (size_t i = 0; i < count && all; i++) all = edge_between(pairs, members[i], w) != NULL;
      if (all) members[count++] = w;
    }
    for (size_t i = 0; i < count; i++) {
      for (size_t j = i + 1; j < count; j++) {
        edge_between(pairs, members[i], members[j])->covered = true;
      }
    }
    ok = post_clique(compiler, pairs, members, count, edge->tag);
  }
  free(members);
  map_finish(&pairs->index);
  map_finish(&pairs->known);
  pairs->nnodes = pairs->nedges = 0;
  return ok;
}
