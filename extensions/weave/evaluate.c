/*
** Expressions over a tuple: what SQLite computed, and symbols for the rest. See block.h.
*/
#include <string.h>
#include <strings.h>

#include "extensions/weave/block.h"

/* ---- planning ------------------------------------------------------------------------------- */

static Node *new_node(Block *block, NodeKind kind, SqlExpr *expr, int index) {
  Node *node = arena_alloc(&block->compiler->arena, sizeof *node);
  if (!node) {
    fault_oom(block->compiler->fault);
    return NULL;
  }
  *node = (Node){.kind = kind, .expr = expr, .index = index};
  return node;
}

static Node *plan_leaf(Block *block, SqlExpr *expr) {
  int index = enumerate_leaf(block, expr);
  return index < 0 ? NULL : new_node(block, NODE_LEAF, expr, index);
}

static Node *plan_column(Block *block, SqlExpr *expr) {
  if (!expr->bound && expr->alias_of) return evaluate_plan(block, expr->alias_of);
  int at;
  Feed *feed = block_feed(block, expr, &at);
  if (!feed) {
    block_refuse(block, expr, "column %s of an enclosing SELECT depends on decisions", expr->name);
    return NULL;
  }
  Node *node = new_node(block, NODE_COLUMN, expr, at);
  if (!node) return NULL;
  node->feed = (int)(feed - block->feeds);
  if (feed->kind == FEED_TABLE) {
    Cell *cell = block_cell(block, expr);
    node->kind = NODE_CELL;
    node->index = (int)(cell - feed->cells);
    /* Rows outside the scope have a value in the table. */
    int leaf = enumerate_leaf(block, expr);
    if (leaf < 0) return NULL;
    node->nkids = leaf; /* no kids: reused for the leaf */
  }
  return node;
}

/* A program may have put its own function in the place of SQLite's. */
static bool is_builtin(Block *block, const SqlExpr *expr) {
  bool own = false;
  if (!catalog_replaced(block->compiler, expr->name, expr->nargs, &own)) return false;
  return !own || block_refuse(block, expr, "%s() over decisions, which this program has replaced,",
                              expr->name);
}

static Node *plan_aggregate(Block *block, SqlExpr *expr) {
  static const char *const known[] = {"avg", "count", "max", "min", "sum", "total"};
  bool found = false;
  for (size_t i = 0; i < countof(known); i++) found |= !strcasecmp(expr->name, known[i]);
  if (!found) {
    block_refuse(block, expr, "the aggregate %s() over decisions is not supported", expr->name);
    return NULL;
  }
  if (!is_builtin(block, expr)) return NULL;
  Aggregate aggregate = {.expr = expr};
  if (!expr->star && expr->nargs > 0) {
    if (!(aggregate.arg = evaluate_plan(block, expr->args[0]))) return NULL;
  }
  if (expr->filter && !(aggregate.filter = evaluate_plan(block, expr->filter))) return NULL;
  size_t capacity = (size_t)block->naggregates;
  if (!array_grow(block->aggregates, capacity, capacity + 1)) {
    fault_oom(block->compiler->fault);
    return NULL;
  }
  block->aggregates[block->naggregates] = aggregate;
  return new_node(block, NODE_AGGREGATE, expr, block->naggregates++);
}

static bool is_operator(const SqlExpr *expr) {
  static const char *const functions[] = {"abs", "coalesce", "ifnull", "iif",
                                          "max", "min",      "nullif"};
  switch (expr->kind) {
  case SQL_EXPR_UNARY:
    return expr->op != SQL_OP_BITNOT;
  case SQL_EXPR_BINARY:
    return (expr->op <= SQL_OP_IS_NOT || (expr->op >= SQL_OP_ADD && expr->op <= SQL_OP_MOD)) &&
           expr->args[0]->kind != SQL_EXPR_ROW;
  case SQL_EXPR_IS_NULL:
  case SQL_EXPR_BETWEEN:
  case SQL_EXPR_IN_LIST:
  case SQL_EXPR_CASE:
  case SQL_EXPR_CAST:
  case SQL_EXPR_COLLATE:
    return expr->nargs > 0 && expr->args[0]->kind != SQL_EXPR_ROW;
  case SQL_EXPR_FUNCTION:
    break;
  default:
    return false;
  }
  for (size_t i = 0; i < countof(functions); i++) {
    if (!strcasecmp(expr->name, functions[i])) return !expr->over;
  }
  return false;
}

static const char *construct_name(const SqlExpr *expr) {
  switch (expr->kind) {
  case SQL_EXPR_LIKE:
    return "LIKE, GLOB, REGEXP or MATCH";
  case SQL_EXPR_ROW:
    return "a row value";
  case SQL_EXPR_IN_TABLE:
    return "IN table (write IN (SELECT …))";
  case SQL_EXPR_CAST:
    return "CAST";
  case SQL_EXPR_FUNCTION:
    return expr->over ? "a window function" : expr->name;
  case SQL_EXPR_BINARY:
    return expr->args[0]->kind == SQL_EXPR_ROW ? "a row value" : "this operator";
  default:
    return "this expression";
  }
}

static Node *plan_operator(Block *block, SqlExpr *expr) {
  if (expr->kind == SQL_EXPR_FUNCTION && !is_builtin(block, expr)) return NULL;
  Node *node = new_node(block, NODE_OPERATOR, expr, 0);
  if (!node) return NULL;
  node->kids = arena_array(&block->compiler->arena, (size_t)expr->nargs, sizeof *node->kids);
  if (!node->kids) {
    fault_oom(block->compiler->fault);
    return NULL;
  }
  for (int i = 0; i < expr->nargs; i++) {
    if (!(node->kids[i] = evaluate_plan(block, expr->args[i]))) return NULL;
  }
  node->nkids = expr->nargs;
  return node;
}

static bool has_open_cell(Block *block, const Nature *nature) {
  for (int i = 0; i < nature->ncells; i++) {
    int at = nature->cells[i];
    if (!block->feeds[at / MAX_CELLS].cells[at % MAX_CELLS].expanded) return true;
  }
  return false;
}

Node *evaluate_plan(Block *block, SqlExpr *expr) {
  Nature nature;
  if (!block_nature(block, expr, &nature)) return NULL;
  bool open = has_open_cell(block, &nature);
  if (!nature.symbolic && !nature.aggregate && !open) return plan_leaf(block, expr);
  if (expr->kind == SQL_EXPR_COLUMN) return plan_column(block, expr);
  if (expr->kind == SQL_EXPR_FUNCTION && expr->is_aggregate) return plan_aggregate(block, expr);
  if (expr->kind == SQL_EXPR_EXISTS || expr->kind == SQL_EXPR_SELECT ||
      expr->kind == SQL_EXPR_IN_SELECT) {
    if (nature.symbolic) {
      int index = subquery_plan(block, expr);
      return index < 0 ? NULL : new_node(block, NODE_SUBQUERY, expr, index);
    }
  } else if (is_operator(expr)) {
    return plan_operator(block, expr);
  }
  if (open && !nature.symbolic && !nature.aggregate && nature.ncells == 1) {
    int index = subquery_plan_mapped(block, expr);
    return index < 0 ? NULL : new_node(block, NODE_SUBQUERY, expr, index);
  }
  block_refuse(block, expr, "%s%s over several decisions is not supported", construct_name(expr),
               expr->kind == SQL_EXPR_FUNCTION && !expr->over ? "()" : "");
  return NULL;
}

/* ---- leaves and decisions ------------------------------------------------------------------- */

static bool choice_of(Block *block, Decision *decision, size_t row, Sym *out) {
  const Domain *domain = &decision->domains[decision->domain[row]];
  Arena *arena = &block->compiler->arena;
  if (decision->first[row] == VAR_ONE) {
    *out = sym_const(domain->values[0]);
    return true;
  }
  if (!decision->symbols) {
    decision->symbols = arena_array(arena, decision->table->nrows, sizeof *decision->symbols);
  }
  if (!decision->symbols) return fault_oom(block->compiler->fault);
  if (!decision->symbols[row]) {
    Sym *sym = arena_alloc(arena, sizeof *sym);
    Choice *choices = arena_array(arena, (size_t)domain->count, sizeof *choices);
    if (!sym || !choices) return fault_oom(block->compiler->fault);
    for (int i = 0; i < domain->count; i++) {
      choices[i] = (Choice){lit_of(decision->first[row] + i), domain->values[i]};
    }
    *sym = (Sym){.kind = SYM_CHOICE,
                 .choices = choices,
                 .nchoices = (size_t)domain->count,
                 .exhaustive = true,
                 .null = LIT_FALSE,
                 .collation = decision->collation,
                 .domain = domain->values};
    decision->symbols[row] = sym;
  }
  *out = *decision->symbols[row];
  return true;
}

static bool evaluate_cell(const Frame *frame, const Node *node, Sym *out) {
  Block *block = frame->block;
  const Feed *feed = &block->feeds[node->feed];
  Decision *decision = feed->cells[node->index].decision;
  uint32_t class = block_row(block, frame->tuple, node->feed);
  if (class == UINT32_MAX) {
    *out = sym_const(*block_leaf(block, frame->tuple, node->nkids));
    return true;
  }
  size_t row = feed->class_rows[feed->class_first[class]];
  if (!decision->numeric) return choice_of(block, decision, row, out);
  if (decision->first[row] == VAR_ONE) {
    *out = sym_const(decision->present[row]);
    return true;
  }
  Lin lin = {0};
  lin_add(&lin, decision->first[row], 1);
  const Lin *kept = sym_keep(&block->compiler->algebra, &lin);
  if (!kept) return false;
  bool integer = decision->integral && decision->affinity != SQL_AFFINITY_REAL;
  *out = sym_lin(kept, integer ? NUMBER_INTEGER : NUMBER_REAL);
  return true;
}

static bool evaluate_column(const Frame *frame, const Node *node, Sym *out) {
  const Block *block = frame->block;
  const SymRelation *relation = block->feeds[node->feed].relation;
  uint32_t row = block_row(block, frame->tuple, node->feed);
  *out = row == UINT32_MAX ? sym_null() : relation->symbols[node->index][row];
  return true;
}

/* ---- operators ------------------------------------------------------------------------------ */

static Comparison comparison_of(const SqlExpr *left, const SqlExpr *right) {
  const char *collation = sql_expr_collation(left);
  bool explicit_right = right->kind == SQL_EXPR_COLLATE && left->kind != SQL_EXPR_COLLATE;
  if (!collation || explicit_right) {
    const char *other = sql_expr_collation(right);
    if (other) collation = other;
  }
  return (Comparison){sql_expr_affinity(left), sql_expr_affinity(right),
                      collation_named(collation)};
}

static bool compare_args(const Algebra *algebra, SqlOp op, const SqlExpr *expr, int a, int b,
                         const Sym *args, Sym *out) {
  Comparison how = comparison_of(expr->args[a], expr->args[b]);
  if (expr->kind == SQL_EXPR_IN_LIST) how.right = SQL_AFFINITY_NONE;
  return sym_compare(algebra, op, &args[a], &args[b], &how, out);
}

/* x IS [NOT] TRUE and FALSE ask for the truth of x; with any other right side IS compares. */
static bool is_truth_test(const SqlExpr *expr) {
  const SqlExpr *right = expr->args[1];
  return right->kind == SQL_EXPR_COLUMN && !right->bound && !right->alias_of && !right->delimited &&
         (!strcasecmp(right->name, "true") || !strcasecmp(right->name, "false"));
}

static bool evaluate_truth_test(const Algebra *algebra, const SqlExpr *expr, const Sym *arg,
                                Sym *out) {
  Sym truth;
  if (!sym_to_bool(algebra, arg, &truth)) return false;
  Lit lit = strcasecmp(expr->args[1]->name, "true") ? truth.no : truth.yes;
  *out = expr->op == SQL_OP_IS ? sym_bool(lit, lit_not(lit)) : sym_bool(lit_not(lit), lit);
  return true;
}

static bool evaluate_binary(const Algebra *algebra, const SqlExpr *expr, const Sym *args,
                            Sym *out) {
  switch (expr->op) {
  case SQL_OP_AND:
    return sym_and(algebra, &args[0], &args[1], out);
  case SQL_OP_OR:
    return sym_or(algebra, &args[0], &args[1], out);
  case SQL_OP_ADD:
  case SQL_OP_SUB:
  case SQL_OP_MUL:
  case SQL_OP_DIV:
  case SQL_OP_MOD:
    return sym_arithmetic(algebra, expr->op, &args[0], &args[1], out);
  case SQL_OP_IS:
  case SQL_OP_IS_NOT:
    if (is_truth_test(expr)) return evaluate_truth_test(algebra, expr, &args[0], out);
    if (args[1].kind == SYM_CONST && value_is_null(&args[1].value)) {
      return sym_is_null(algebra, &args[0], expr->op == SQL_OP_IS_NOT, out);
    }
    return compare_args(algebra, expr->op, expr, 0, 1, args, out);
  default:
    return compare_args(algebra, expr->op, expr, 0, 1, args, out);
  }
}

static bool evaluate_between(const Algebra *algebra, const SqlExpr *expr, const Sym *args,
                             Sym *out) {
  Sym low, high;
  if (!compare_args(algebra, SQL_OP_GE, expr, 0, 1, args, &low) ||
      !compare_args(algebra, SQL_OP_LE, expr, 0, 2, args, &high) ||
      !sym_and(algebra, &low, &high, out)) {
    return false;
  }
  Sym plain = *out;
  return !expr->negated || sym_not(algebra, &plain, out);
}

static bool evaluate_in_list(const Algebra *algebra, const SqlExpr *expr, const Sym *args,
                             Sym *out) {
  Sym any = sym_const(value_integer(0));
  for (int i = 1; i < expr->nargs; i++) {
    Sym equal, sum;
    if (!compare_args(algebra, SQL_OP_EQ, expr, 0, i, args, &equal) ||
        !sym_or(algebra, &any, &equal, &sum)) {
      return false;
    }
    any = sum;
  }
  if (expr->negated) return sym_not(algebra, &any, out);
  *out = any;
  return true;
}

static bool evaluate_case(const Algebra *algebra, const SqlExpr *expr, const Sym *args, Sym *out) {
  int at = expr->has_base ? 1 : 0, pairs = (expr->nargs - at - (expr->has_else ? 1 : 0)) / 2;
  Sym *conditions = arena_array(algebra->arena, (size_t)pairs, sizeof *conditions);
  Sym *values = arena_array(algebra->arena, (size_t)pairs, sizeof *values);
  if (!conditions || !values) return fault_oom(algebra->fault);
  for (int i = 0; i < pairs; i++) {
    conditions[i] = args[at + 2 * i];
    values[i] = args[at + 2 * i + 1];
    if (expr->has_base &&
        !compare_args(algebra, SQL_OP_EQ, expr, 0, at + 2 * i, args, &conditions[i])) {
      return false;
    }
  }
  Sym otherwise = expr->has_else ? args[expr->nargs - 1] : sym_null();
  return sym_case(algebra, conditions, values, pairs, &otherwise, out);
}

static bool evaluate_function(Block *block, const SqlExpr *expr, const Sym *args, Sym *out) {
  const Algebra *algebra = &block->compiler->algebra;
  if (!strcasecmp(expr->name, "abs")) return sym_abs(algebra, &args[0], out);
  if (!strcasecmp(expr->name, "iif")) {
    Sym otherwise = expr->nargs > 2 ? args[2] : sym_null();
    return sym_case(algebra, &args[0], &args[1], 1, &otherwise, out);
  }
  if (!strcasecmp(expr->name, "coalesce") || !strcasecmp(expr->name, "ifnull")) {
    return sym_coalesce(algebra, args, expr->nargs, out);
  }
  if (!strcasecmp(expr->name, "nullif")) {
    Sym equal, null = sym_null();
    return compare_args(algebra, SQL_OP_EQ, expr, 0, 1, args, &equal) &&
           sym_case(algebra, &equal, &null, 1, &args[0], out);
  }
  return sym_extreme(algebra, args, expr->nargs, !strcasecmp(expr->name, "max"), out);
}

/* CAST of a number to a number: the value stays, the kind of arithmetic changes. */
static bool evaluate_cast(Block *block, const SqlExpr *expr, const Sym *arg, Sym *out) {
  SqlAffinity affinity = sql_type_affinity(expr->name);
  Sym lin;
  if (!sym_to_lin(&block->compiler->algebra, arg, &lin)) return false;
  if (affinity < SQL_AFFINITY_NUMERIC ||
      (affinity == SQL_AFFINITY_INTEGER && lin.type != NUMBER_INTEGER)) {
    return block_refuse(block, expr, "CAST of a value that depends on decisions to %s", expr->name);
  }
  *out = lin;
  if (affinity == SQL_AFFINITY_REAL) out->type = NUMBER_REAL;
  return true;
}

static bool apply_operator(Block *block, const SqlExpr *expr, const Sym *args, Sym *out) {
  const Algebra *algebra = &block->compiler->algebra;
  switch (expr->kind) {
  case SQL_EXPR_UNARY:
    if (expr->op == SQL_OP_NOT) return sym_not(algebra, &args[0], out);
    if (expr->op == SQL_OP_NEG) return sym_negate(algebra, &args[0], out);
    *out = args[0];
    return true;
  case SQL_EXPR_BINARY:
    return evaluate_binary(algebra, expr, args, out);
  case SQL_EXPR_IS_NULL:
    return sym_is_null(algebra, &args[0], expr->negated, out);
  case SQL_EXPR_BETWEEN:
    return evaluate_between(algebra, expr, args, out);
  case SQL_EXPR_IN_LIST:
    return evaluate_in_list(algebra, expr, args, out);
  case SQL_EXPR_CASE:
    return evaluate_case(algebra, expr, args, out);
  case SQL_EXPR_CAST:
    return evaluate_cast(block, expr, &args[0], out);
  case SQL_EXPR_COLLATE:
    *out = args[0];
    return true;
  default:
    return evaluate_function(block, expr, args, out);
  }
}

static bool evaluate_operator(const Frame *frame, const Node *node, Sym *out) {
  Block *block = frame->block;
  Sym few[8], *args = few;
  if (node->nkids > (int)countof(few)) {
    args = arena_array(&block->compiler->arena, (size_t)node->nkids, sizeof *args);
    if (!args) return fault_oom(block->compiler->fault);
  }
  for (int i = 0; i < node->nkids; i++) {
    if (!evaluate(frame, node->kids[i], &args[i])) return false;
  }
  return apply_operator(block, node->expr, args, out) ||
         compile_locate(block->compiler, node->expr);
}

bool evaluate(const Frame *frame, const Node *node, Sym *out) {
  Block *block = frame->block;
  switch (node->kind) {
  case NODE_LEAF:
    *out = sym_const(*block_leaf(block, frame->tuple, node->index));
    return true;
  case NODE_CELL:
    return evaluate_cell(frame, node, out);
  case NODE_COLUMN:
    return evaluate_column(frame, node, out);
  case NODE_SUBQUERY:
    return subquery_value(block, &block->subqueries[node->index], frame->tuple, out);
  case NODE_AGGREGATE:
    *out = frame->aggregates[node->index];
    return true;
  case NODE_OPERATOR:
    return evaluate_operator(frame, node, out);
  }
  return false;
}
