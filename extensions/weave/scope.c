/*
** One SELECT taken apart: sources, conditions, which decisions it reads. See block.h.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/block.h"

bool block_refuse(Block *block, const SqlExpr *expr, const char *format, ...) {
  char what[FAULT_TEXT];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  return compile_refuse(block->compiler, expr, "%s", what);
}

/* ---- whose column --------------------------------------------------------------------------- */

Feed *block_feed(Block *block, const SqlExpr *column, int *out_at) {
  if (column->kind != SQL_EXPR_COLUMN || !column->bound) return NULL;
  for (int f = 0; f < block->nfeeds; f++) {
    Feed *feed = &block->feeds[f];
    if (feed->kind == FEED_VIEW) {
      for (int i = 0; i < feed->nmap; i++) {
        if (feed->map[i].source == column->bound && feed->map[i].column == column->column) {
          if (out_at) *out_at = feed->map[i].at;
          return feed;
        }
      }
    } else if (feed->source == column->bound) {
      if (out_at) *out_at = column->column;
      return feed;
    }
  }
  return NULL;
}

Cell *block_cell(Block *block, const SqlExpr *column) {
  Feed *feed = block_feed(block, column, NULL);
  if (!feed || feed->kind != FEED_TABLE || column->column < 0) return NULL;
  Decision *decision = feed->table->decisions[column->column];
  for (int i = 0; decision && i < feed->ncells; i++) {
    if (feed->cells[i].decision == decision) return &feed->cells[i];
  }
  return NULL;
}

/* ---- conditions ----------------------------------------------------------------------------- */

bool block_add_condition(Block *block, SqlExpr *expr) {
  if (!expr) return true;
  if (expr->kind == SQL_EXPR_BINARY && expr->op == SQL_OP_AND) {
    return block_add_condition(block, expr->args[0]) && block_add_condition(block, expr->args[1]);
  }
  Nature nature;
  if (!block_nature(block, expr, &nature)) return false;
  block_expand(block, &nature);
  size_t nconditions = (size_t)block->nconditions, nfilters = (size_t)block->nfilters;
  if (!array_grow(block->conditions, block->conditions_capacity, nconditions + 1) ||
      !array_grow(block->filters, block->filters_capacity, nfilters + 1)) {
    return fault_oom(block->compiler->fault);
  }
  if (nature.symbolic) {
    block->filters[block->nfilters++] = expr;
  } else {
    block->conditions[block->nconditions++] = expr;
  }
  return true;
}

static SqlExpr *column_expr(Block *block, SqlSource *source, int column, SqlSpan span) {
  SqlExpr *expr = arena_alloc(&block->compiler->arena, sizeof *expr);
  if (!expr) return NULL;
  expr->kind = SQL_EXPR_COLUMN;
  expr->span = span;
  expr->bound = source;
  expr->column = column;
  expr->name = source->columns[column].name;
  return expr;
}

static int find_column(const SqlSource *source, const char *name) {
  for (int i = 0; i < source->ncolumns; i++) {
    if (!strcasecmp(source->columns[i].name, name)) return i;
  }
  return -1;
}

/* a.name = b.name for a column that NATURAL or USING joins. */
static SqlExpr *using_condition(Block *block, SqlSource *from, SqlSource *source,
                                const char *name) {
  int right = find_column(source, name);
  for (SqlSource *left = from; left && left != source && right >= 0; left = left->next) {
    int at = find_column(left, name);
    if (at < 0) continue;
    SqlExpr *expr = arena_alloc(&block->compiler->arena, sizeof *expr);
    SqlExpr **args = arena_array(&block->compiler->arena, 2, sizeof *args);
    if (!expr || !args) return NULL;
    args[0] = column_expr(block, left, at, source->span);
    args[1] = column_expr(block, source, right, source->span);
    *expr = (SqlExpr){
        .kind = SQL_EXPR_BINARY, .op = SQL_OP_EQ, .args = args, .nargs = 2, .span = source->span};
    return args[0] && args[1] ? expr : NULL;
  }
  return NULL;
}

/* The whole ON of a source, NATURAL and USING included; *out NULL when there is none. */
static bool join_condition(Block *block, SqlSource *from, SqlSource *source, SqlExpr **out) {
  *out = source->on;
  int count = source->natural ? source->ncolumns : source->nusing;
  for (int i = 0; i < count; i++) {
    if (source->natural && source->columns[i].hidden) continue;
    const char *name = source->natural ? source->columns[i].name : source->using_names[i];
    SqlExpr *equal = using_condition(block, from, source, name);
    if (!equal) {
      if (source->natural) continue;
      return fault_oom(block->compiler->fault);
    }
    if (!*out) {
      *out = equal;
      continue;
    }
    SqlExpr *both = arena_alloc(&block->compiler->arena, sizeof *both);
    SqlExpr **args = arena_array(&block->compiler->arena, 2, sizeof *args);
    if (!both || !args) return fault_oom(block->compiler->fault);
    args[0] = *out;
    args[1] = equal;
    *both = (SqlExpr){
        .kind = SQL_EXPR_BINARY, .op = SQL_OP_AND, .args = args, .nargs = 2, .span = source->span};
    *out = both;
  }
  return true;
}

/* ---- sources -------------------------------------------------------------------------------- */

typedef struct CellWalk {
  Block *block;
  Feed *feed;
} CellWalk;

static SqlWalk cell_expr(void *ctx, SqlExpr *expr) {
  CellWalk *walk = ctx;
  Feed *feed = walk->feed;
  if (expr->kind == SQL_EXPR_COLUMN && expr->alias_of && !expr->bound) {
    SqlVisitor visitor = {.ctx = ctx, .expr = cell_expr};
    sql_walk_expr(expr->alias_of, &visitor);
    return SQL_WALK_ON;
  }
  if (expr->kind != SQL_EXPR_COLUMN || expr->bound != feed->source || expr->column < 0) {
    return SQL_WALK_ON;
  }
  Decision *decision = feed->table->decisions[expr->column];
  for (int i = 0; i < feed->ncells; i++) {
    if (feed->cells[i].decision == decision) return SQL_WALK_ON;
  }
  if (!decision) return SQL_WALK_ON;
  if (feed->ncells == MAX_CELLS) {
    block_refuse(walk->block, expr, "more than %d decided columns of one table in one SELECT",
                 MAX_CELLS);
    return SQL_WALK_STOP;
  }
  Cell *cell = &feed->cells[feed->ncells++];
  cell->decision = decision;
  snprintf(cell->alias, sizeof cell->alias, "w_d%d", walk->block->compiler->aliases++);
  return SQL_WALK_ON;
}

static SqlWalk cell_select(void *ctx, SqlSelect *select) {
  SqlVisitor visitor = {.ctx = ctx, .expr = cell_expr, .select = cell_select};
  for (int i = 0; i < select->nexpanded && select->expanded != select->results; i++) {
    sql_walk_expr(select->expanded[i].expr, &visitor);
  }
  return SQL_WALK_ON;
}

/* The decisions of a table that the block reads anywhere. */
static bool find_cells(Block *block, Feed *feed) {
  CellWalk walk = {.block = block, .feed = feed};
  SqlVisitor visitor = {.ctx = &walk, .expr = cell_expr, .select = cell_select};
  const SqlSelect *select = block->select;
  for (int i = 0; i < block->noutputs; i++) sql_walk_expr(block->outputs[i], &visitor);
  for (int i = 0; i < select->ngroup; i++) sql_walk_expr(select->group[i], &visitor);
  for (SqlSource *source = select->from; source; source = source->next) {
    sql_walk_expr(source->on, &visitor);
    for (int i = 0; i < source->nargs; i++) sql_walk_expr(source->args[i], &visitor);
    for (int i = 0; i < source->nusing; i++) {
      int column = find_column(feed->source, source->using_names[i]);
      if (column >= 0) {
        SqlExpr expr = {.kind = SQL_EXPR_COLUMN, .bound = feed->source, .column = column};
        cell_expr(&walk, &expr);
      }
    }
  }
  sql_walk_expr(select->where, &visitor);
  sql_walk_expr(select->having, &visitor);
  return block->compiler->fault->code == FAULT_NONE;
}

static bool identity_map(Block *block, Feed *feed) {
  feed->nmap = feed->source->ncolumns;
  feed->map = arena_array(&block->compiler->arena, (size_t)feed->nmap, sizeof *feed->map);
  if (!feed->map) return fault_oom(block->compiler->fault);
  for (int i = 0; i < feed->nmap; i++) feed->map[i] = (ColumnMap){feed->source, i, i};
  return true;
}

typedef struct WantedWalk {
  const SqlSource *source;
  bool *wanted;
  const SqlExpr *const *skip;
  int nskip;
} WantedWalk;

static SqlWalk wanted_expr(void *ctx, SqlExpr *expr) {
  WantedWalk *walk = ctx;
  for (int i = 0; i < walk->nskip; i++) {
    if (expr == walk->skip[i]) return SQL_WALK_SKIP;
  }
  if (expr->kind == SQL_EXPR_COLUMN && expr->bound == walk->source) {
    walk->wanted[expr->column >= 0 ? expr->column : walk->source->ncolumns] = true;
  }
  if (expr->kind == SQL_EXPR_COLUMN && expr->alias_of && !expr->bound) {
    SqlVisitor visitor = {.ctx = ctx, .expr = wanted_expr};
    sql_walk_expr(expr->alias_of, &visitor);
  }
  return SQL_WALK_ON;
}

static SqlWalk wanted_select(void *ctx, SqlSelect *select) {
  SqlVisitor visitor = {.ctx = ctx, .expr = wanted_expr, .select = wanted_select};
  for (int i = 0; i < select->nexpanded && select->expanded != select->results; i++) {
    sql_walk_expr(select->expanded[i].expr, &visitor);
  }
  return SQL_WALK_ON;
}

void block_walk(Block *block, const SqlVisitor *visitor) {
  const SqlSelect *select = block->select;
  sql_walk_expr(block->violation, visitor);
  for (int i = 0; i < block->noutputs; i++) sql_walk_expr(block->outputs[i], visitor);
  for (int i = 0; i < select->ngroup; i++) sql_walk_expr(select->group[i], visitor);
  for (SqlSource *source = select->from; source; source = source->next) {
    sql_walk_expr(source->on, visitor);
    for (int i = 0; i < source->nargs; i++) sql_walk_expr(source->args[i], visitor);
  }
  sql_walk_expr(select->where, visitor);
  sql_walk_expr(select->having, visitor);
}

bool *block_wanted_but(Block *block, const SqlSource *of, const SqlExpr *const *skip, int nskip) {
  bool *wanted = arena_array(&block->compiler->arena, (size_t)of->ncolumns + 1, sizeof *wanted);
  if (!wanted) {
    fault_oom(block->compiler->fault);
    return NULL;
  }
  WantedWalk walk = {.source = of, .wanted = wanted, .skip = skip, .nskip = nskip};
  SqlVisitor visitor = {.ctx = &walk, .expr = wanted_expr, .select = wanted_select};
  block_walk(block, &visitor);
  for (SqlSource *source = block->select->from; source; source = source->next) {
    for (int i = 0; i < source->nusing; i++) {
      int column = find_column(of, source->using_names[i]);
      if (column >= 0) wanted[column] = true;
    }
    for (int i = 0; source->natural && i < of->ncolumns; i++) wanted[i] = true;
  }
  return wanted;
}

bool *block_wanted(Block *block, const SqlSource *of) {
  return block_wanted_but(block, of, NULL, 0);
}

/* A view, CTE or sub-select that reads decisions: evaluate it. */
static bool feed_relation(Block *block, Feed *feed, Table *view, SqlSelect *select) {
  feed->kind = FEED_VIEW;
  bool *wanted = block_wanted(block, feed->source);
  if (!wanted) return false;
  if (view) {
    if (!relation_of_view(block->compiler, view, wanted, &feed->relation)) return false;
  } else {
    feed->relation = arena_alloc(&block->compiler->arena, sizeof *feed->relation);
    if (!feed->relation) return fault_oom(block->compiler->fault);
    if (!relation_of_select(block->compiler, select, NULL, wanted, feed->relation, NULL)) {
      return false;
    }
  }
  return identity_map(block, feed);
}

bool block_add_feed(Block *block, SqlSource *source, Feed **out) {
  if (block->nfeeds == MAX_FEEDS) {
    return fault_set(block->compiler->fault, FAULT_LIMIT, "more than %d sources in one FROM",
                     MAX_FEEDS);
  }
  Feed *feed = &block->feeds[block->nfeeds++];
  *feed = (Feed){.source = source, .join = source ? source->join : SQL_JOIN_INNER};
  snprintf(feed->alias, sizeof feed->alias, "w_s%d", block->compiler->aliases++);
  *out = feed;
  return true;
}

/* Decide how a source is fed. */
static bool classify(Block *block, Feed *feed) {
  SqlSource *source = feed->source;
  bool depends = false;
  if (source->kind == SQL_SOURCE_SELECT || source->cte) {
    SqlSelect *select = source->cte ? source->cte->select : source->select;
    if (source->cte && source->cte->recursive) return true;
    if (!compile_select_depends(block->compiler, select, &depends)) return false;
    return !depends || feed_relation(block, feed, NULL, select);
  }
  feed->table = source->kind == SQL_SOURCE_TABLE ? source->object : NULL;
  if (!feed->table) return true;
  if (feed->table->is_view) {
    if (!catalog_depends(block->compiler, feed->table, &depends)) return false;
    return !depends || feed_relation(block, feed, feed->table, NULL);
  }
  if (!feed->table->decisions) return true;
  if (!find_cells(block, feed)) return false;
  if (feed->ncells) feed->kind = FEED_TABLE;
  return true;
}

static bool refuse_join(Block *block, const SqlSource *source, const char *what) {
  SqlExpr place = {.span = source->span};
  return block_refuse(block, &place, "%s over decisions is not supported", what);
}

static bool add_source(Block *block, SqlSource *from, SqlSource *source) {
  Feed *feed;
  SqlExpr *on;
  if (source->join == SQL_JOIN_RIGHT || source->join == SQL_JOIN_FULL) {
    return refuse_join(block, source, source->join == SQL_JOIN_FULL ? "FULL JOIN" : "RIGHT JOIN");
  }
  if (source->kind == SQL_SOURCE_JOIN) {
    if (source->join == SQL_JOIN_LEFT) return refuse_join(block, source, "LEFT JOIN of a list");
    for (SqlSource *inner = source->first; inner; inner = inner->next) {
      if (!add_source(block, source->first, inner)) return false;
    }
    return block_add_condition(block, source->on);
  }
  if (!block_add_feed(block, source, &feed) || !classify(block, feed)) return false;
  if (!join_condition(block, from, source, &on)) return false;
  if (source->join != SQL_JOIN_LEFT) return block_add_condition(block, on);
  Nature nature = {0};
  if (on && !block_nature(block, on, &nature)) return false;
  if (feed->kind == FEED_PLAIN && !nature.symbolic) {
    block->left_on[feed - block->feeds] = on;
    block_expand(block, &nature);
    return true;
  }
  return join_fold(block, source, on);
}

/* GROUP BY 1, +1, 1 COLLATE x: from here on like GROUP BY the result column's alias. */
static void name_position(const SqlSelect *arm, SqlExpr *expr) {
  while (expr->kind == SQL_EXPR_COLLATE ||
         (expr->kind == SQL_EXPR_UNARY && expr->op == SQL_OP_POS)) {
    expr = expr->args[0];
  }
  if (expr->kind != SQL_EXPR_INTEGER) return;
  long at = strtol(expr->text, NULL, 0);
  if (at < 1 || at > arm->nexpanded) return;
  *expr = (SqlExpr){.kind = SQL_EXPR_COLUMN,
                    .span = expr->span,
                    .name = expr->text,
                    .alias_of = arm->expanded[at - 1].expr};
}

bool block_open(Block *block, Compiler *compiler, SqlSelect *arm, SqlSelect *whole,
                const Feed *outer, SqlExpr *const *outputs, int noutputs) {
  *block = (Block){.compiler = compiler,
                   .select = arm,
                   .whole = whole,
                   .outputs = outputs,
                   .noutputs = noutputs};
  for (int i = 0; i < arm->ngroup; i++) name_position(arm, arm->group[i]);
  if (outer) {
    block->feeds[block->nfeeds++] = *outer;
    block->has_outer = true;
  }
  for (SqlSource *source = arm->from; source; source = source->next) {
    if (!add_source(block, arm->from, source)) return false;
  }
  if (!block_add_condition(block, arm->where)) return false;
  for (int i = 0; i < arm->ngroup; i++) {
    if (!block_expand_all(block, arm->group[i])) return false;
  }
  if (arm->having && !block_expand_all(block, arm->having)) return false;
  for (int i = 0; i < noutputs; i++) {
    if (!block_expand_output(block, outputs[i])) return false;
  }
  return true;
}

void block_close(Block *block) {
  for (int f = 0; f < block->nfeeds; f++) {
    Feed *feed = &block->feeds[f];
    relation_finish(&feed->classes);
    free(feed->class_first);
    free(feed->class_rows);
  }
  for (int i = 0; i < block->nsubqueries; i++) subquery_finish(&block->subqueries[i]);
  free(block->subqueries);
  free(block->aggregates);
  free(block->parts);
  free(block->leaves);
  free(block->conditions);
  free(block->filters);
  free(block->guards);
  free(block->leaf_values);
  free(block->feed_rows);
}
