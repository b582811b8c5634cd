/*
** A SELECT as rows with guards: see block.h.
*/
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/block.h"

/* ---- what cannot be evaluated symbolically -------------------------------------------------- */

static SqlWalk find_window(void *ctx, SqlExpr *expr) {
  const SqlExpr **found = ctx;
  if (expr->kind == SQL_EXPR_FUNCTION && expr->over) *found = expr;
  if (expr->kind == SQL_EXPR_EXISTS || expr->kind == SQL_EXPR_SELECT) return SQL_WALK_SKIP;
  return *found ? SQL_WALK_STOP : SQL_WALK_ON;
}

static bool check_arm(Block *block, SqlExpr *const *outputs, int noutputs) {
  const SqlSelect *arm = block->select;
  SqlExpr place = {.span = arm->span};
  const SqlExpr *window = NULL;
  SqlVisitor visitor = {.ctx = &window, .expr = find_window};
  for (int i = 0; i < noutputs; i++) sql_walk_expr(outputs[i], &visitor);
  if (window) {
    return block_refuse(block, window, "the window function %s() over decisions is not supported",
                        window->name);
  }
  if (arm->is_values) {
    return block_refuse(block, &place, "VALUES beside a SELECT that depends on decisions");
  }
  if (arm->compound != SQL_COMPOUND_NONE && arm->compound != SQL_COMPOUND_UNION_ALL) {
    return block_refuse(block, &place, "%s of rows that depend on decisions is not supported",
                        arm->compound == SQL_COMPOUND_UNION       ? "UNION"
                        : arm->compound == SQL_COMPOUND_INTERSECT ? "INTERSECT"
                                                                  : "EXCEPT");
  }
  if (block->whole->limit) {
    return block_refuse(block, block->whole->limit,
                        "LIMIT over rows that depend on decisions is not supported");
  }
  return true;
}

static bool check_distinct(Block *block) {
  SqlExpr place = {.span = block->select->span};
  return !block->select->distinct ||
         block_refuse(block, &place,
                      "SELECT DISTINCT of rows that depend on decisions is not supported");
}

/* ---- running -------------------------------------------------------------------------------- */

/* Tuples that a symbolic condition excludes get it into their guards. */
static bool apply_filters(Block *block, Node *const *filters) {
  Compiler *compiler = block->compiler;
  for (size_t t = 0; t < block->ntuples && block->nfilters; t++) {
    Guard *guard = &block->guards[t];
    for (int i = 0; i < block->nfilters; i++) {
      Frame frame = {.block = block, .tuple = t};
      Sym condition, truth;
      Guard own;
      if (!evaluate(&frame, filters[i], &condition) ||
          !sym_to_bool(&compiler->algebra, &condition, &truth) ||
          !guard_of_literal(compiler, truth.yes, &own) ||
          !guard_cross(compiler, guard, &own, guard)) {
        return false;
      }
    }
  }
  return true;
}

bool block_run(Block *block, Node **nodes) {
  Compiler *compiler = block->compiler;
  Node **filters = arena_array(&compiler->arena, (size_t)block->nfilters, sizeof *filters);
  if (!filters) return fault_oom(compiler->fault);
  for (int i = 0; i < block->noutputs; i++) {
    if (!(nodes[i] = evaluate_plan(block, block->outputs[i]))) return false;
  }
  for (int i = 0; i < block->nfilters; i++) {
    if (!(filters[i] = evaluate_plan(block, block->filters[i]))) return false;
  }
  if (!enumerate_run(block)) return false;
  bool stand_ins = block->select->is_aggregate && block->select->ngroup == 0;
  if (stand_ins && !enumerate_stand_ins(block)) return false;
  for (int i = 0; i < block->nsubqueries; i++) {
    if (!subquery_run(block, &block->subqueries[i])) return false;
  }
  return apply_filters(block, filters) && model_ok_or_fault(compiler);
}

/* The musts are the last outputs, unless SQLite has tested the only one. */
static const Sym *musts_of(const Block *block, const Sym *outputs) {
  return block->nmusts ? &outputs[block->noutputs - block->nmusts] : NULL;
}

static bool emit_tuples(Block *block, Node *const *nodes, int noutputs, RowSink sink, void *ctx) {
  Compiler *compiler = block->compiler;
  Sym *outputs = arena_array(&compiler->arena, (size_t)noutputs, sizeof *outputs);
  if (!outputs) return fault_oom(compiler->fault);
  for (size_t t = 0; t < block->ntuples; t++) {
    Frame frame = {.block = block, .tuple = t};
    Row row = {.block = block,
               .guard = &block->guards[t],
               .having = LIT_TRUE,
               .tuple = t,
               .outputs = outputs,
               .musts = musts_of(block, outputs),
               .outer = block->has_outer ? block_row(block, t, 0) : 0};
    if (guard_copies(row.guard) == 0) continue;
    for (int i = 0; i < noutputs; i++) {
      if (!evaluate(&frame, nodes[i], &outputs[i])) return false;
    }
    if (!sink(ctx, &row)) return false;
    if ((t & 1023) == 0 && stop_now(compiler->stop)) return compile_stopped(compiler);
  }
  return true;
}

static bool emit_group(Block *block, const Group *group, Node *const *nodes, int noutputs,
                       const Node *having, Sym *aggregates, Sym *outputs, RowSink sink, void *ctx) {
  const Algebra *algebra = &block->compiler->algebra;
  if (!group_aggregates(block, group, aggregates)) return false;
  Frame frame = {.block = block, .tuple = group->tuples[0], .aggregates = aggregates};
  Row row = {.block = block,
             .group = group->set,
             .having = LIT_TRUE,
             .outer = group->outer,
             .tuple = frame.tuple,
             .outputs = outputs,
             .musts = musts_of(block, outputs)};
  for (int i = 0; i < noutputs; i++) {
    bool key = i < noutputs - block->nmusts && block->nmusts > 0; /* names the row of a rule */
    if (key && !group_agrees(block, group, nodes[i])) {
      outputs[i] = sym_null();
      continue;
    }
    if (!key && !group_constant(block, group, nodes[i])) return false;
    if (!evaluate(&frame, nodes[i], &outputs[i])) return false;
  }
  if (having) {
    Sym condition, truth;
    if (!group_constant(block, group, having) || !evaluate(&frame, having, &condition) ||
        !sym_to_bool(algebra, &condition, &truth)) {
      return false;
    }
    row.having = truth.yes;
  }
  return row.having == LIT_FALSE || sink(ctx, &row);
}

static bool emit_groups(Block *block, Node *const *nodes, int noutputs, const Node *having,
                        Node *const *keys, size_t nouter, RowSink sink, void *ctx) {
  Compiler *compiler = block->compiler;
  Group *groups;
  size_t count;
  if (!group_tuples(block, keys, block->select->ngroup, nouter, &groups, &count)) return false;
  Sym *aggregates = arena_array(&compiler->arena, (size_t)block->naggregates, sizeof *aggregates);
  Sym *outputs = arena_array(&compiler->arena, (size_t)noutputs, sizeof *outputs);
  if (!aggregates || !outputs) return fault_oom(compiler->fault);
  for (size_t g = 0; g < count; g++) {
    if (!emit_group(block, &groups[g], nodes, noutputs, having, aggregates, outputs, sink, ctx)) {
      return false;
    }
    if ((g & 255) == 0 && stop_now(compiler->stop)) return compile_stopped(compiler);
  }
  return true;
}

static bool evaluate_arm(Block *block, const Feed *outer, int noutputs, RowSink sink, void *ctx) {
  Compiler *compiler = block->compiler;
  SqlSelect *arm = block->select;
  Node **nodes = arena_array(&compiler->arena, (size_t)noutputs, sizeof *nodes);
  Node **keys = arena_array(&compiler->arena, (size_t)arm->ngroup, sizeof *keys);
  Node *having = NULL;
  if (!nodes || !keys) return fault_oom(compiler->fault);
  for (int i = 0; i < arm->ngroup; i++) {
    if (!(keys[i] = evaluate_plan(block, arm->group[i]))) return false;
  }
  if (arm->having && !(having = evaluate_plan(block, arm->having))) return false;
  if (!block_run(block, nodes)) return false;
  if (!arm->is_aggregate) return emit_tuples(block, nodes, noutputs, sink, ctx);
  size_t nouter = outer ? outer->relation->ntuples : 1;
  return emit_groups(block, nodes, noutputs, having, keys, nouter, sink, ctx);
}

/* Can SQLite test it tuple by tuple? */
static bool is_flat(Block *block, SqlExpr *expr, bool *out) {
  Nature nature;
  if (!block_nature(block, expr, &nature)) return false;
  *out = !nature.symbolic && !nature.aggregate && !block->select->is_aggregate;
  for (int i = 0; i < nature.ncells; i++) {
    int at = nature.cells[i];
    *out = *out && block->feeds[at / MAX_CELLS].cells[at % MAX_CELLS].expanded;
  }
  return true;
}

bool block_evaluate(Compiler *compiler, SqlSelect *arm, SqlSelect *whole, const Feed *outer,
                    SqlExpr *const *outputs, int noutputs, SqlExpr *const *musts, int nmusts,
                    RowSink sink, void *ctx) {
  /* Some 20 KiB, and views nest: not on the stack. */
  Block *block = arena_alloc(&compiler->arena, sizeof *block);
  SqlExpr **read = arena_array(&compiler->arena, (size_t)(noutputs + nmusts), sizeof *read);
  if (!block || !read) return fault_oom(compiler->fault);
  for (int i = 0; i < noutputs; i++) read[i] = outputs[i];
  for (int i = 0; i < nmusts; i++) read[noutputs++] = musts[i];
  block->compiler = compiler;
  block->select = arm;
  block->whole = whole;
  if (!check_arm(block, read, noutputs)) return false;
  bool flat = false;
  bool ok = block_open(block, compiler, arm, whole, outer, read, noutputs) &&
            (nmusts || check_distinct(block)) && (nmusts != 1 || is_flat(block, musts[0], &flat));
  if (flat) {
    block->violation = musts[0];
    block->noutputs = --noutputs;
  }
  block->nmusts = flat ? 0 : nmusts;
  ok = ok && evaluate_arm(block, outer, noutputs, sink, ctx);
  block_close(block);
  return ok;
}

/* ---- relations ------------------------------------------------------------------------------ */

void relation_init(SymRelation *relation, int ncolumns) {
  *relation = (SymRelation){.ncolumns = ncolumns};
  relation->rows.ncolumns = ncolumns + 1;
}

/* The arrays per column, at the first tuple; registered for compiler_finish(). */
bool relation_ready(Compiler *compiler, SymRelation *relation) {
  size_t n = (size_t)relation->ncolumns;
  if (relation->symbols) return true;
  if (relation->ncolumns >= RELATION_MAX_COLUMNS) {
    return fault_set(compiler->fault, FAULT_LIMIT, "a view with more than %d columns",
                     RELATION_MAX_COLUMNS - 1);
  }
  relation->symbols = arena_array(&compiler->arena, n, sizeof *relation->symbols);
  relation->symbols_capacity = arena_array(&compiler->arena, n, sizeof(size_t));
  relation->affinities = arena_array(&compiler->arena, n, sizeof *relation->affinities);
  relation->collations = arena_array(&compiler->arena, n, sizeof *relation->collations);
  if (!relation->symbols || !relation->symbols_capacity || !relation->affinities ||
      !relation->collations) {
    relation->symbols = NULL;
    return fault_oom(compiler->fault);
  }
  relation->all_next = compiler->relations;
  compiler->relations = relation;
  return true;
}

static bool set_symbol(Compiler *compiler, SymRelation *relation, int column, size_t tuple,
                       const Sym *value) {
  Sym **symbols = &relation->symbols[column];
  if (!*symbols && value->kind == SYM_CONST) return true;
  bool first = !*symbols;
  if (!array_grow(*symbols, relation->symbols_capacity[column], tuple + 1)) {
    return fault_oom(compiler->fault);
  }
  for (size_t t = 0; first && t < tuple; t++) {
    (*symbols)[t] = sym_const(relation_row(&relation->rows, t)[column + 1]);
  }
  (*symbols)[tuple] = *value;
  return true;
}

bool relation_append(Compiler *compiler, SymRelation *relation, const Guard *guard,
                     const Sym *values) {
  size_t t = relation->ntuples;
  if (!relation_ready(compiler, relation)) return false;
  Value *cells = relation_add(&relation->rows);
  if (!cells || !array_extend(relation->guards, relation->capacity, t + 1)) {
    return fault_oom(compiler->fault);
  }
  cells[0] = value_integer((int64_t)t);
  for (int i = 0; i < relation->ncolumns; i++) {
    if (values[i].kind == SYM_CONST) cells[i + 1] = values[i].value;
    if (!set_symbol(compiler, relation, i, t, &values[i])) return false;
  }
  relation->guards[t] = *guard;
  relation->ntuples++;
  return true;
}

typedef struct Collect {
  Compiler *compiler;
  SymRelation *relation;
  const int *columns; /* output i goes to this column */
  int noutputs;
  uint32_t *outer_rows;
  size_t outer_capacity;
} Collect;

static bool collect_row(void *ctx, const Row *row) {
  Collect *collect = ctx;
  Compiler *compiler = collect->compiler;
  Sym values[RELATION_MAX_COLUMNS];
  for (int i = 0; i < collect->relation->ncolumns; i++) values[i] = sym_null();
  for (int i = 0; i < collect->noutputs; i++) values[collect->columns[i]] = row->outputs[i];
  Guard guard, having;
  if (row->guard) {
    guard = *row->guard;
  } else if (!guard_of_literal(compiler, sym_group_any(&compiler->algebra, row->group), &guard)) {
    return false;
  }
  if (!guard_of_literal(compiler, row->having, &having) ||
      !guard_cross(compiler, &guard, &having, &guard)) {
    return false;
  }
  if (guard_copies(&guard) == 0) return true;
  size_t t = collect->relation->ntuples;
  if (!array_grow(collect->outer_rows, collect->outer_capacity, t + 1)) {
    return fault_oom(compiler->fault);
  }
  collect->outer_rows[t] = row->outer;
  return relation_append(compiler, collect->relation, &guard, values);
}

bool relation_of_select(Compiler *compiler, SqlSelect *select, const Feed *outer,
                        const bool *wanted, SymRelation *out, uint32_t **out_outer_rows) {
  int width = sql_width(select), noutputs = 0;
  relation_init(out, width);
  if (!relation_ready(compiler, out)) return false;
  int *columns = arena_array(&compiler->arena, (size_t)width, sizeof *columns);
  SqlExpr **outputs = arena_array(&compiler->arena, (size_t)width, sizeof *outputs);
  out->wanted = arena_array(&compiler->arena, (size_t)width, sizeof *out->wanted);
  if (!columns || !outputs || !out->wanted) return fault_oom(compiler->fault);
  for (int i = 0; i < width; i++) {
    out->wanted[i] = wanted[i];
    if (wanted[i]) columns[noutputs++] = i;
  }
  Collect collect = {
      .compiler = compiler, .relation = out, .columns = columns, .noutputs = noutputs};
  bool ok = true;
  for (SqlSelect *arm = select; arm && ok; arm = arm->next) {
    SqlExpr place = {.span = arm->span};
    if (arm->is_values) return compile_refuse(compiler, &place, "VALUES beside decisions");
    for (int i = 0; i < noutputs; i++) outputs[i] = arm->expanded[columns[i]].expr;
    ok = block_evaluate(compiler, arm, select, outer, outputs, noutputs, NULL, 0, collect_row,
                        &collect);
  }
  for (int i = 0; i < width && ok; i++) {
    if (!wanted[i]) continue;
    out->affinities[i] = sql_expr_affinity(select->expanded[i].expr);
    out->collations[i] = sql_expr_collation(select->expanded[i].expr);
  }
  if (out_outer_rows && ok) {
    size_t n = out->ntuples;
    *out_outer_rows = arena_array(&compiler->arena, n, sizeof **out_outer_rows);
    if (*out_outer_rows && n) memcpy(*out_outer_rows, collect.outer_rows, n * sizeof(uint32_t));
    if (!*out_outer_rows) ok = fault_oom(compiler->fault);
  }
  free(collect.outer_rows);
  return ok;
}

bool relation_of_view(Compiler *compiler, Table *view, const bool *wanted, SymRelation **out) {
  if (!catalog_view_select(compiler, view)) return false;
  bool *all = arena_array(&compiler->arena, (size_t)view->ncolumns + 1, sizeof *all);
  if (!all) return fault_oom(compiler->fault);
  bool enough = view->relation != NULL;
  for (int i = 0; i < view->ncolumns; i++) {
    /* Another rule may have wanted other columns: from now on have both. */
    bool had = view->relation && view->relation->wanted[i];
    all[i] = wanted[i] || had;
    enough = enough && (had || !wanted[i]);
  }
  if (!enough) {
    if (view->open) {
      return fault_set(compiler->fault, FAULT_INVALID, "view %s is circularly defined", view->name);
    }
    SymRelation *relation = arena_alloc(&compiler->arena, sizeof *relation);
    if (!relation) return fault_oom(compiler->fault);
    const char *text = compiler->text;
    compiler->text = view->sql;
    view->open = true;
    bool ok = relation_of_select(compiler, view->select, NULL, all, relation, NULL);
    view->open = false;
    compiler->text = text;
    if (!ok) return fault_place(compiler->fault, "view %s: ", view->name);
    view->relation = relation;
  }
  *out = view->relation;
  return true;
}
