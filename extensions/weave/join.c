/*
** LEFT JOIN where the right side, or the condition, needs symbols. See block.h.
**
** Everything on the left becomes one symbolic relation, so that its rows have an identity; the
** join is evaluated as an inner join; and each left row is added once more with NULLs on the right,
** present when none of its matches is.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/weave/block.h"

/* The columns of some feeds that the block reads, as expressions and as a map to 0, 1, … */
typedef struct Columns {
  SqlExpr **exprs;
  ColumnMap *map;
  int count;
} Columns;

static bool add_read(Block *block, Columns *columns, const SqlSource *source, int column) {
  SqlExpr *expr = arena_alloc(&block->compiler->arena, sizeof *expr);
  if (!expr) return fault_oom(block->compiler->fault);
  if (columns->count >= RELATION_MAX_COLUMNS - 1) {
    return fault_set(block->compiler->fault, FAULT_LIMIT,
                     "a LEFT JOIN over decisions that reads more than %d columns",
                     RELATION_MAX_COLUMNS - 1);
  }
  *expr = (SqlExpr){.kind = SQL_EXPR_COLUMN,
                    .bound = (SqlSource *)source,
                    .column = column,
                    .name = column < 0 ? "rowid" : source->columns[column].name,
                    .span = source->span};
  columns->map[columns->count] = (ColumnMap){source, column, columns->count};
  columns->exprs[columns->count++] = expr;
  return true;
}

static bool columns_read(Block *block, int from, int to, Columns *out) {
  out->exprs = arena_array(&block->compiler->arena, RELATION_MAX_COLUMNS, sizeof *out->exprs);
  out->map = arena_array(&block->compiler->arena, RELATION_MAX_COLUMNS, sizeof *out->map);
  if (!out->exprs || !out->map) return fault_oom(block->compiler->fault);
  for (int f = from; f < to; f++) {
    const Feed *feed = &block->feeds[f];
    if (!feed->source) { /* a folded join: what it maps was read */
      for (int i = 0; i < feed->nmap; i++) {
        if (!add_read(block, out, feed->map[i].source, feed->map[i].column)) return false;
      }
      continue;
    }
    bool *wanted = block_wanted(block, feed->source);
    if (!wanted) return false;
    for (int i = 0; i <= feed->source->ncolumns; i++) {
      int column = i < feed->source->ncolumns ? i : -1;
      if (wanted[i] && !add_read(block, out, feed->source, column)) return false;
    }
  }
  return true;
}

/* A block over some feeds of another; it owns them from now on. */
static Block *sub_block(Block *block, const Feed *feeds, int nfeeds, const Columns *outputs) {
  Block *sub = arena_alloc(&block->compiler->arena, sizeof *sub);
  SqlSelect *select = arena_alloc(&block->compiler->arena, sizeof *select);
  if (!sub || !select) {
    fault_oom(block->compiler->fault);
    return NULL;
  }
  /* Same clauses, for what they read; not an aggregate, whatever the SELECT is. */
  *select = *block->select;
  select->is_aggregate = false;
  *sub = (Block){.compiler = block->compiler,
                 .select = select,
                 .whole = block->whole,
                 .nfeeds = nfeeds,
                 .outputs = outputs->exprs,
                 .noutputs = outputs->count};
  memcpy(sub->feeds, feeds, (size_t)nfeeds * sizeof *feeds);
  for (int f = 0; f < nfeeds; f++) {
    for (int c = 0; c < sub->feeds[f].ncells; c++) sub->feeds[f].cells[c].expanded = true;
  }
  return sub;
}

static bool numeric_cell(Block *block, int nfeeds) {
  for (int f = 0; f < nfeeds; f++) {
    for (int c = 0; c < block->feeds[f].ncells; c++) {
      if (block->feeds[f].cells[c].decision->numeric) return true;
    }
  }
  return false;
}

/* Feed the relation in place of feeds[0..]. */
static bool view_feed(Compiler *compiler, SymRelation *relation, const Columns *columns,
                      Feed *out) {
  *out = (Feed){.kind = FEED_VIEW,
                .relation = relation,
                .map = columns->map,
                .nmap = columns->count,
                .join = SQL_JOIN_INNER};
  snprintf(out->alias, sizeof out->alias, "w_j%d", compiler->aliases++);
  for (int i = 0; i < columns->count; i++) {
    relation->affinities[i] = sql_expr_affinity(columns->exprs[i]);
    relation->collations[i] = sql_expr_collation(columns->exprs[i]);
  }
  return true;
}

/* The left side: one tuple for each row and each combination of decisions it reads. */
static bool left_relation(Block *block, int nfeeds, const Columns *columns, SymRelation *out) {
  Compiler *compiler = block->compiler;
  Node **nodes = arena_array(&compiler->arena, (size_t)columns->count, sizeof *nodes);
  Sym *values = arena_array(&compiler->arena, (size_t)columns->count, sizeof *values);
  Block *sub = sub_block(block, block->feeds, nfeeds, columns);
  if (!sub || !nodes || !values) return fault_oom(compiler->fault);
  sub->rows_apart = true;
  sub->conditions = block->conditions;
  sub->nconditions = block->nconditions;
  sub->filters = block->filters;
  sub->nfilters = block->nfilters;
  memcpy(sub->left_on, block->left_on, sizeof sub->left_on);
  block->conditions = block->filters = NULL;
  block->nconditions = block->nfilters = 0;
  block->conditions_capacity = block->filters_capacity = 0;
  relation_init(out, columns->count);
  bool ok = block_run(sub, nodes);
  for (size_t t = 0; ok && t < sub->ntuples; t++) {
    Frame frame = {.block = sub, .tuple = t};
    for (int i = 0; ok && i < columns->count; i++) ok = evaluate(&frame, nodes[i], &values[i]);
    for (uint32_t i = 0; ok && i < guard_copies(&sub->guards[t]); i++) {
      Guard guard;
      Lit lit = guard_literal(compiler, &sub->guards[t], i);
      ok = lit == LIT_FALSE || (guard_of_literal(compiler, lit, &guard) &&
                                relation_append(compiler, out, &guard, values));
    }
  }
  block_close(sub);
  return ok;
}

typedef struct Matches { /* literals per left row */
  Lit *lits;
  size_t count, capacity;
} Matches;

static bool add_matches(Compiler *compiler, Matches *matches, const Guard *guard) {
  for (uint32_t i = 0; i < guard_copies(guard); i++) {
    if (!array_grow(matches->lits, matches->capacity, matches->count + 1)) {
      return fault_oom(compiler->fault);
    }
    matches->lits[matches->count++] = guard_literal(compiler, guard, i);
  }
  return true;
}

/* The row that LEFT JOIN makes up when nothing matches. */
static bool add_unmatched(Compiler *compiler, const SymRelation *left, size_t row,
                          const Matches *matches, int nleft, Sym *values, int nvalues,
                          SymRelation *out) {
  Guard guard = left->guards[row];
  for (size_t i = 0; i < matches->count; i++) {
    if (matches->lits[i] == LIT_TRUE || matches->lits[i] == guard.lits[0]) return true;
  }
  if (matches->count) {
    Lit *lits = arena_array(&compiler->arena, matches->count, sizeof *lits);
    if (!lits) return fault_oom(compiler->fault);
    memcpy(lits, matches->lits, matches->count * sizeof *lits);
    Guard none = {.lits = lits, .count = (uint32_t)matches->count, .none_of = true};
    if (!guard_cross(compiler, &guard, &none, &guard)) return false;
  }
  for (int i = 0; i < nvalues; i++) {
    values[i] = i >= nleft         ? sym_null()
                : left->symbols[i] ? left->symbols[i][row]
                                   : sym_const(relation_row(&left->rows, row)[i + 1]);
  }
  return guard_copies(&guard) == 0 || relation_append(compiler, out, &guard, values);
}

static bool joined_relation(Block *block, const Feed *left, const Feed *right, SqlExpr *on,
                            const Columns *columns, int nleft, SymRelation *out) {
  Compiler *compiler = block->compiler;
  Feed feeds[2] = {*left, *right};
  feeds[1].join = SQL_JOIN_INNER;
  Block *sub = sub_block(block, feeds, 2, columns);
  Node **nodes = arena_array(&compiler->arena, (size_t)columns->count, sizeof *nodes);
  Sym *values = arena_array(&compiler->arena, (size_t)columns->count, sizeof *values);
  size_t nrows = left->relation->ntuples;
  Matches *matches = calloc(nrows + 1, sizeof *matches);
  bool ok = sub && nodes && values && matches;
  if (!ok) fault_oom(compiler->fault);
  relation_init(out, columns->count);
  ok = ok && block_add_condition(sub, on) && block_run(sub, nodes);
  for (size_t t = 0; ok && t < sub->ntuples; t++) {
    Frame frame = {.block = sub, .tuple = t};
    if (guard_copies(&sub->guards[t]) == 0) continue;
    for (int i = 0; ok && i < columns->count; i++) ok = evaluate(&frame, nodes[i], &values[i]);
    ok = ok && relation_append(compiler, out, &sub->guards[t], values) &&
         add_matches(compiler, &matches[block_row(sub, t, 0)], &sub->guards[t]);
  }
  for (size_t row = 0; ok && row < nrows; row++) {
    ok = add_unmatched(compiler, left->relation, row, &matches[row], nleft, values, columns->count,
                       out);
  }
  for (size_t row = 0; matches && row < nrows; row++) free(matches[row].lits);
  free(matches);
  if (sub) block_close(sub);
  return ok;
}

bool join_fold(Block *block, SqlSource *source, SqlExpr *on) {
  Compiler *compiler = block->compiler;
  SqlExpr place = {.span = source->span};
  int nleft = block->nfeeds - 1;
  if (block->has_outer) {
    return block_refuse(block, &place,
                        "LEFT JOIN over decisions inside a sub-select that reads outer columns");
  }
  if (numeric_cell(block, block->nfeeds)) {
    return block_refuse(block, &place, "LEFT JOIN with a decision that has a range of numbers");
  }
  Columns left_columns = {0}, all_columns = {0};
  SymRelation *relations = arena_array(&compiler->arena, 2, sizeof *relations);
  Feed left;
  if (!relations) return fault_oom(compiler->fault);
  if (!columns_read(block, 0, nleft, &left_columns) ||
      !columns_read(block, 0, nleft + 1, &all_columns) ||
      !left_relation(block, nleft, &left_columns, &relations[0]) ||
      !relation_ready(compiler, &relations[0]) ||
      !view_feed(compiler, &relations[0], &left_columns, &left)) {
    return false;
  }
  Feed right = block->feeds[nleft];
  block->nfeeds = 0;
  memset(block->left_on, 0, sizeof block->left_on);
  if (!joined_relation(block, &left, &right, on, &all_columns, left_columns.count, &relations[1]) ||
      !relation_ready(compiler, &relations[1])) {
    return false;
  }
  Feed joined;
  if (!view_feed(compiler, &relations[1], &all_columns, &joined)) return false;
  block->feeds[block->nfeeds++] = joined;
  return true;
}
