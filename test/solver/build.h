/*
** Random small models, both pictures of them at once: what the solver is told, and the test's own.
** For brute.c alone.
*/
#ifndef TENFOLD_TEST_SOLVER_BUILD_H
#define TENFOLD_TEST_SOLVER_BUILD_H

#include "test/solver/world.h"

static Node *new_node(World *w, Kind kind) {
  Node *node = &w->nodes[w->nnodes++];
  *node = (Node){.kind = kind, .integral = true};
  return node;
}

static Lit to_lit(const World *w, Sign sign) {
  return sign.negative ? lit_not(w->nodes[sign.node].lit) : w->nodes[sign.node].lit;
}

static Lin to_lin(const World *w, const Sum *sum) {
  Lin lin = {.constant = sum->constant};
  for (int i = 0; i < sum->count; i++) {
    const Node *node = &w->nodes[sum->args[i].node];
    if (node->boolean) {
      lin_add_lit(&lin, node->lit, sum->args[i].coef);
    } else {
      lin_add(&lin, node->var, sum->args[i].coef);
    }
  }
  return lin;
}

static Sign any_sign(World *w) {
  for (;;) {
    int i = between(w, 0, w->nnodes - 1);
    if (w->nodes[i].boolean) return (Sign){i, draw(w, 2) == 0};
  }
}

static Sum any_sum(World *w, int most, bool integral) {
  Sum sum = {.constant = draw(w, 3) ? 0 : between(w, -3, 3)};
  int n = between(w, 1, most);
  double unit = integral || draw(w, 4) ? 1 : 0.25;
  if (draw(w, 3) == 0) { /* a function of one choice, as unary expressions come, or of a tally */
    const Primary *p = draw(w, 2) && w->ntallies ? &w->tallies[draw(w, (uint32_t)w->ntallies)]
                                                 : &w->primaries[draw(w, (uint32_t)w->nprimaries)];
    for (int v = 0; p->choice && v < p->count; v++) {
      sum.args[sum.count++] = (Arg){p->first_node + v, unit * between(w, -4, 6)};
    }
  } else if (w->ntallies > 1 && draw(w, 3) == 0) { /* the same for all tallies of one size */
    int coef = between(w, -3, 4), value = between(w, 0, 4);
    for (int i = 0; i < w->ntallies; i++) {
      if (value >= w->tallies[i].count) continue;
      sum.args[sum.count++] = (Arg){w->tallies[i].first_node + value, unit * coef};
    }
  }
  while (n-- && sum.count < MAX_ARGS) {
    int i = between(w, 1, w->nnodes - 1);
    if (integral && !w->nodes[i].integral) continue;
    int coef = between(w, -3, 4);
    if (coef) sum.args[sum.count++] = (Arg){i, unit * coef};
  }
  return sum;
}

static bool sum_integral(const World *w, const Sum *sum) {
  for (int i = 0; i < sum->count; i++) {
    if (!w->nodes[sum->args[i].node].integral) return false;
    if (sum->args[i].coef != floor(sum->args[i].coef)) return false;
  }
  return sum->constant == floor(sum->constant);
}

static void add_primaries(World *w) {
  int n = between(w, 1, 6), total = 1;
  Node *one = new_node(w, ONE);
  one->boolean = true;
  one->lit = LIT_TRUE;
  bool alike = draw(w, 2) == 0; /* equal sizes make interchangeable choices likely */
  int size = between(w, 1, 5);
  for (int i = 0; i < n && total < 3000; i++) {
    Primary *p = &w->primaries[w->nprimaries];
    *p = (Primary){.choice = draw(w, 5) != 0, .count = alike ? size : between(w, 1, 5)};
    if (!p->choice) p->lo = between(w, -4, 2);
    if (total * p->count > 4000) break;
    total *= p->count;
    p->first_node = w->nnodes;
    if (p->choice) {
      p->var = model_choice(w->model, p->count);
      for (int v = 0; v < p->count; v++) {
        Node *node = new_node(w, VALUE);
        node->boolean = true;
        node->primary = w->nprimaries;
        node->value = v;
        node->lit = lit_of(p->var + v);
      }
      if (draw(w, 2)) model_start_choice(w->model, p->var, between(w, 0, p->count - 1));
    } else {
      p->var = model_integer(w->model, p->lo, p->lo + p->count - 1);
      Node *node = new_node(w, INTEGER);
      node->primary = w->nprimaries;
      node->var = p->var;
      if (draw(w, 2)) model_start_number(w->model, p->var, p->lo);
    }
    w->nprimaries++;
  }
}

/* How many of the choices, n of one size, take each value; the first of its nodes. */
static int add_tally_of(World *w, const Primary *const *choices, int n) {
  Var vars[MAX_PRIMARIES];
  int first_node = w->nnodes;
  for (int i = 0; i < n; i++) vars[i] = choices[i]->var;
  Var first = model_tally(w->model, vars, (size_t)n);
  for (int v = 0; v < choices[0]->count; v++) {
    Node *node = new_node(w, TALLY);
    for (int i = 0; i < n; i++) node->sums[0].args[i] = (Arg){choices[i]->first_node + v, 1};
    node->sums[0].count = n;
    node->var = first + v;
  }
  return first_node;
}

static void add_tally(World *w) {
  const Primary *choices[MAX_PRIMARIES];
  int n = 0;
  for (int i = w->nprimaries - 1; i >= 0; i--) {
    const Primary *p = &w->primaries[i];
    if (p->choice && (!n || p->count == choices[0]->count) && draw(w, 2)) choices[n++] = p;
  }
  if (n == 0) return;
  Primary *tally = &w->tallies[w->ntallies++];
  *tally = (Primary){.choice = true, .count = choices[0]->count};
  tally->first_node = add_tally_of(w, choices, n);
}

static void add_logic(World *w) {
  Sign signs[4];
  int n = between(w, 1, 4);
  Kind kind = draw(w, 2) ? AND : OR;
  Lit lits[4];
  for (int i = 0; i < n; i++) {
    signs[i] = any_sign(w);
    lits[i] = to_lit(w, signs[i]);
  }
  Node *node = new_node(w, kind);
  node->nsigns = n;
  memcpy(node->signs, signs, sizeof signs);
  node->boolean = true;
  node->lit = (kind == AND ? model_and : model_or)(w->model, lits, (size_t)n);
}

static void add_le(World *w) {
  Sum sum = any_sum(w, 5, false);
  double bound = between(w, -4, 8) + (draw(w, 4) ? 0 : 0.5);
  Lin lin = to_lin(w, &sum);
  Node *node = new_node(w, LE);
  node->sums[node->nsums++] = sum;
  node->bound = bound;
  node->boolean = true;
  node->lit = model_le(w->model, &lin, bound);
  lin_finish(&lin);
}

/* One of the guards always holds: without a true guard the value is unspecified. */
static void add_extreme(World *w) {
  Sign signs[4];
  Sum sums[4];
  GuardedLin items[4];
  int n = between(w, 1, 4);
  bool pair = n >= 2 && draw(w, 2);
  for (int i = 0; i < n; i++) {
    signs[i] = draw(w, 2) ? any_sign(w) : (Sign){0, false};
    if (i == 0 && !pair) signs[i] = (Sign){0, false};
    if (i == 1 && pair) signs[1] = (Sign){signs[0].node, !signs[0].negative};
    sums[i] = any_sum(w, 3, false);
    items[i] = (GuardedLin){to_lit(w, signs[i]), to_lin(w, &sums[i])};
  }
  Kind kind = draw(w, 2) ? MAX : MIN;
  Var var = (kind == MAX ? model_max : model_min)(w->model, items, (size_t)n);
  Node *node = new_node(w, kind);
  node->nsums = n;
  memcpy(node->signs, signs, sizeof signs);
  memcpy(node->sums, sums, sizeof sums);
  node->var = var;
  for (int i = 0; i < n; i++) {
    node->integral = node->integral && sum_integral(w, &sums[i]);
    lin_finish(&items[i].lin);
  }
}

static void add_product(World *w) {
  Sign sign = any_sign(w);
  Sum sum = any_sum(w, 3, false);
  Lin lin = to_lin(w, &sum);
  Node *node = new_node(w, PRODUCT);
  node->signs[node->nsigns++] = sign;
  node->sums[node->nsums++] = sum;
  node->var = model_product(w->model, to_lit(w, sign), &lin);
  node->integral = sum_integral(w, &sum);
  lin_finish(&lin);
}

static void add_quotient(World *w) {
  Sum sum = any_sum(w, 4, true);
  int by = between(w, 1, 4) * (draw(w, 2) ? 1 : -1);
  Lin lin = to_lin(w, &sum);
  Node *node = new_node(w, QUOTIENT);
  node->sums[node->nsums++] = sum;
  node->bound = by;
  node->var = model_quotient(w->model, &lin, by);
  lin_finish(&lin);
}

static void add_row(World *w, Sum sum, int sense, double bound, int tag) {
  w->rows[w->nrows++] = (Row){sum, sense, tag, bound};
}

static void add_requirement(World *w) {
  int kind = between(w, 0, 9), tag = w->ntags++;
  Sum sum = {0};
  if (kind < 5) {
    sum = any_sum(w, 5, false);
    int sense = between(w, -1, 1);
    if (sense == 0 && draw(w, 2)) sense = -1;
    double bound = sense < 0 ? between(w, 0, 8) : between(w, -3, 4);
    Lin lin = to_lin(w, &sum);
    ModelSense senses[] = {MODEL_LE, MODEL_EQ, MODEL_GE};
    model_require(w->model, &lin, senses[sense + 1], bound, tag);
    lin_finish(&lin);
    add_row(w, sum, sense, bound, tag);
    return;
  }
  Lit lits[4];
  int n = kind < 7 ? 1 : between(w, 1, 4);
  for (int i = 0; i < n; i++) {
    Sign sign = any_sign(w);
    lits[i] = to_lit(w, sign);
    if (sign.negative) sum.constant++;
    sum.args[sum.count++] = (Arg){sign.node, sign.negative ? -1 : 1};
  }
  if (kind < 7) {
    model_require_lit(w->model, lits[0], tag);
  } else if (kind < 9) {
    model_require_clause(w->model, lits, (size_t)n, tag);
  } else {
    model_require_at_most_one(w->model, lits, (size_t)n, tag);
  }
  add_row(w, sum, kind == 9 ? -1 : 1, 1, tag);
}

/* "Different" between two choices of equal size, pairwise and by value: food for the cliques. */
static void add_different(World *w) {
  int tag = w->ntags++;
  for (int i = 0; i < w->nprimaries; i++) {
    for (int j = i + 1; j < w->nprimaries; j++) {
      const Primary *p = &w->primaries[i], *q = &w->primaries[j];
      if (!p->choice || !q->choice || draw(w, 5) == 0) continue;
      for (int v = 0; v < p->count && v < q->count && w->nrows < MAX_ROWS - 8; v++) {
        Lit lits[2] = {lit_of(p->var + v), lit_of(q->var + v)};
        model_require_at_most_one(w->model, lits, 2, tag);
        add_row(w, (Sum){0, 2, {{p->first_node + v, 1}, {q->first_node + v, 1}}}, -1, 1, tag);
      }
    }
  }
}

/* What a choice, or several as one, put on each of their values. */
typedef struct Load {
  int first_node, count;
  double size;
} Load;

/* One for each choice, or now and then choices next to each other as tallies. */
static int list_loads(World *w, Load *out) {
  int n = 0, weight = between(w, 1, 3);
  bool tallies = draw(w, 2);
  for (int i = 0, end; i < w->nprimaries; i = end) {
    const Primary *choices[MAX_PRIMARIES] = {&w->primaries[i]};
    end = i + 1;
    if (!choices[0]->choice) continue;
    for (; tallies && end < w->nprimaries && draw(w, 3); end++) {
      const Primary *next = &w->primaries[end];
      if (!next->choice || next->count != choices[0]->count) break;
      choices[end - i] = next;
    }
    int first = end - i > 1 ? add_tally_of(w, choices, end - i) : choices[0]->first_node;
    out[n++] = (Load){first, choices[0]->count, between(w, 1, 2) * weight};
  }
  return n;
}

/* Loads as in placement: equal sizes for several choices, a capacity per value, and the greatest
** load in the goal. */
static void add_loads(World *w) {
  Load loads[MAX_PRIMARIES];
  int values = 0, nloads = list_loads(w, loads);
  bool soft = draw(w, 2);
  GuardedLin items[5];
  Node node = {.kind = draw(w, 3) ? MAX : MIN, .integral = true};
  for (int i = 0; i < nloads; i++) values = loads[i].count > values ? loads[i].count : values;
  for (int v = 0; v < values; v++) {
    Sum sum = {.constant = between(w, 0, 2)};
    for (int i = 0; i < nloads; i++) {
      if (v < loads[i].count) sum.args[sum.count++] = (Arg){loads[i].first_node + v, loads[i].size};
    }
    items[v] = (GuardedLin){LIT_TRUE, to_lin(w, &sum)};
    node.sums[node.nsums] = sum;
    node.signs[node.nsums] = (Sign){0, false};
    node.nsums++;
    if (soft || w->nrows >= MAX_ROWS - 8) continue;
    double cap = between(w, 2, 6);
    int tag = w->ntags++;
    model_require(w->model, &items[v].lin, MODEL_LE, cap, tag);
    add_row(w, sum, -1, cap, tag);
  }
  if (node.nsums == values && values) {
    node.var = (node.kind == MAX ? model_max : model_min)(w->model, items, (size_t)values);
    w->nodes[w->nnodes++] = node;
  }
  for (int v = 0; v < values; v++) lin_finish(&items[v].lin);
}

static void add_goals(World *w) {
  w->nlevels = between(w, 0, MAX_LEVELS);
  for (int i = 0; i < w->nlevels; i++) {
    int n = between(w, 1, 2);
    for (int k = 0; k < n; k++) {
      Sum sum = any_sum(w, 5, false);
      if (draw(w, 2)) sum = (Sum){0, 1, {{w->nnodes - 1, 1}}};
      bool maximize = draw(w, 2);
      Lin lin = to_lin(w, &sum);
      model_goal(w->model, 10 + i * 3, maximize, &lin);
      lin_finish(&lin);
      Sum *goal = &w->goals[i];
      double sign = maximize ? 1 : -1;
      goal->constant += sign * sum.constant;
      for (int a = 0; a < sum.count && goal->count < MAX_ARGS; a++) {
        goal->args[goal->count++] = (Arg){sum.args[a].node, sign * sum.args[a].coef};
      }
      if (goal->count == MAX_ARGS) break;
    }
  }
}

static void build(World *w, uint64_t seed) {
  memset(w, 0, sizeof *w);
  w->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 12345;
  w->model = model_create();
  add_primaries(w);
  for (int tallies = between(w, 0, MAX_TALLIES); tallies > 0; tallies--) add_tally(w);
  if (draw(w, 3) == 0) add_loads(w);
  if (draw(w, 3) == 0) add_different(w);
  int ndefs = between(w, 0, 7), nreqs = between(w, 0, 6);
  for (int i = 0; i < ndefs; i++) {
    switch (between(w, 0, 5)) {
    case 0:
    case 1:
      add_logic(w);
      break;
    case 2:
      add_le(w);
      break;
    case 3:
      add_extreme(w);
      break;
    case 4:
      add_product(w);
      break;
    default:
      add_quotient(w);
      break;
    }
  }
  for (int i = 0; i < nreqs; i++) add_requirement(w);
  add_goals(w);
}

#endif
