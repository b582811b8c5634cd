/*
** What an expression reads, and which decisions it makes SQLite compute with. See block.h.
*/
#include <strings.h>

#include "extensions/weave/block.h"

/* ---- the nature of an expression ------------------------------------------------------------ */

typedef struct NatureWalk {
  Block *block;
  Nature *nature;
} NatureWalk;

static bool nature_of(NatureWalk *walk, SqlExpr *expr);

static void add_cell(Nature *nature, int cell) {
  for (int i = 0; i < nature->ncells; i++) {
    if (nature->cells[i] == cell) return;
  }
  if (nature->ncells < (int)countof(nature->cells)) nature->cells[nature->ncells++] = cell;
}

static SqlWalk nature_column(NatureWalk *walk, SqlExpr *expr) {
  int at;
  bool changes = catalog_changes(expr);
  if (changes && !((const Table *)expr->bound->object)->decisions[expr->column]) {
    compile_refuse(walk->block->compiler, expr,
                   "column %s is generated from decided columns, which is not supported: write its "
                   "expression instead",
                   expr->name);
    return SQL_WALK_STOP;
  }
  Feed *feed = block_feed(walk->block, expr, &at);
  if (!feed) {
    walk->nature->symbolic |= changes; /* of a sub-select's own table */
    return SQL_WALK_ON;
  }
  if (feed->kind == FEED_VIEW) {
    walk->nature->symbolic |= feed->relation->symbols[at] != NULL;
    return SQL_WALK_ON;
  }
  Cell *cell = block_cell(walk->block, expr);
  if (!cell) return SQL_WALK_ON;
  if (cell->decision->numeric) {
    walk->nature->symbolic = true;
  } else {
    int f = (int)(feed - walk->block->feeds);
    add_cell(walk->nature, f * MAX_CELLS + (int)(cell - feed->cells));
  }
  return SQL_WALK_ON;
}

static SqlWalk nature_expr(void *ctx, SqlExpr *expr) {
  NatureWalk *walk = ctx;
  if (expr->kind == SQL_EXPR_COLUMN && expr->alias_of && !expr->bound) {
    return nature_of(walk, expr->alias_of) ? SQL_WALK_ON : SQL_WALK_STOP;
  }
  return expr->kind == SQL_EXPR_COLUMN ? nature_column(walk, expr) : SQL_WALK_ON;
}

static SqlWalk nature_select(void *ctx, SqlSelect *select) {
  NatureWalk *walk = ctx;
  for (int i = 0; i < select->nexpanded && select->expanded != select->results; i++) {
    if (!nature_of(walk, select->expanded[i].expr)) return SQL_WALK_STOP;
  }
  return SQL_WALK_ON;
}

static SqlWalk nature_source(void *ctx, SqlSource *source) {
  NatureWalk *walk = ctx;
  Compiler *compiler = walk->block->compiler;
  bool depends = false;
  if (source->cte && !source->cte->recursive) {
    if (!compile_select_depends(compiler, source->cte->select, &depends)) return SQL_WALK_STOP;
  } else if (source->kind == SQL_SOURCE_TABLE && !source->cte && source->object) {
    if (!catalog_depends(compiler, source->object, &depends)) return SQL_WALK_STOP;
  }
  walk->nature->symbolic |= depends;
  return SQL_WALK_ON;
}

static bool nature_of(NatureWalk *walk, SqlExpr *expr) {
  SqlVisitor visitor = {
      .ctx = walk, .expr = nature_expr, .select = nature_select, .source = nature_source};
  return sql_walk_expr(expr, &visitor);
}

/* Outside sub-selects, whose aggregates are their own. */
static bool has_aggregate(const SqlExpr *expr) {
  if (expr->kind == SQL_EXPR_FUNCTION && expr->is_aggregate) return true;
  if (expr->kind == SQL_EXPR_COLUMN && expr->alias_of && !expr->bound) {
    return has_aggregate(expr->alias_of);
  }
  for (int i = 0; i < expr->nargs; i++) {
    if (has_aggregate(expr->args[i])) return true;
  }
  return false;
}

bool block_nature(Block *block, SqlExpr *expr, Nature *out) {
  *out = (Nature){.aggregate = has_aggregate(expr)};
  NatureWalk walk = {.block = block, .nature = out};
  nature_of(&walk, expr);
  return block->compiler->fault->code == FAULT_NONE;
}

static Cell *cell_at(Block *block, int index) {
  return &block->feeds[index / MAX_CELLS].cells[index % MAX_CELLS];
}

static int open_cells(Block *block, const Nature *nature) {
  int count = 0;
  for (int i = 0; i < nature->ncells; i++) count += !cell_at(block, nature->cells[i])->expanded;
  return count;
}

void block_expand(Block *block, const Nature *nature) {
  for (int i = 0; i < nature->ncells; i++) cell_at(block, nature->cells[i])->expanded = true;
}

/* ---- which cells to expand ------------------------------------------------------------------ */

static bool is_symbolic_function(const SqlExpr *expr) {
  static const char *const known[] = {"abs", "coalesce", "ifnull", "iif", "max", "min", "nullif"};
  for (size_t i = 0; i < countof(known); i++) {
    if (!strcasecmp(expr->name, known[i])) return !expr->is_aggregate;
  }
  return false;
}

static bool pairable(Block *block, SqlExpr *expr, bool *out) {
  Nature nature;
  if (!block_nature(block, expr, &nature)) return false;
  *out = true;
  if (open_cells(block, &nature) <= 1) return true;
  switch (expr->kind) {
  case SQL_EXPR_UNARY:
    *out = expr->op != SQL_OP_BITNOT;
    break;
  case SQL_EXPR_BINARY:
    *out = expr->op <= SQL_OP_IS_NOT || (expr->op >= SQL_OP_ADD && expr->op <= SQL_OP_MOD);
    break;
  case SQL_EXPR_IS_NULL:
  case SQL_EXPR_BETWEEN:
  case SQL_EXPR_IN_LIST:
  case SQL_EXPR_CASE:
    break;
  case SQL_EXPR_FUNCTION:
    *out = is_symbolic_function(expr);
    break;
  default:
    *out = false;
  }
  for (int i = 0; i < expr->nargs && *out; i++) {
    if (!pairable(block, expr->args[i], out)) return false;
  }
  return true;
}

/* Sub-selects that need symbols see the decisions of this block as values: expand those. */
static bool expand_for_subqueries(Block *block, SqlExpr *expr) {
  Nature nature;
  if (expr->select) {
    if (!block_nature(block, expr, &nature)) return false;
    if (nature.symbolic) block_expand(block, &nature);
    return true;
  }
  for (int i = 0; i < expr->nargs; i++) {
    if (!expand_for_subqueries(block, expr->args[i])) return false;
  }
  return true;
}

bool block_expand_all(Block *block, SqlExpr *expr) {
  Nature nature;
  if (!block_nature(block, expr, &nature)) return false;
  block_expand(block, &nature);
  return true;
}

bool block_expand_output(Block *block, SqlExpr *expr) {
  if (block->select->is_aggregate) return block_expand_all(block, expr);
  if (!expand_for_subqueries(block, expr)) return false;
  Nature nature;
  bool works;
  if (!block_nature(block, expr, &nature)) return false;
  if (open_cells(block, &nature) > 1) {
    if (!pairable(block, expr, &works)) return false;
    if (works) return true;
  }
  block_expand(block, &nature);
  return true;
}
