/*
** A symbolic relation that is read alone: its tuples without a query.
**
** Views upon views come down to  SELECT w_j3.c1, 1.0 FROM w_j3  over a relation that is in memory
** already. Where nothing but columns and constants is read, SQLite would copy the relation, sort
** nothing, filter nothing and hand it back.
*/
#include "extensions/weave/block.h"

/* Where a leaf comes from: a column of the relation, or (-1) a constant. */
typedef struct LeafOrigin {
  int column;
  Value constant;
} LeafOrigin;

static bool is_constant(const SqlExpr *expr) {
  return expr->kind == SQL_EXPR_NULL || expr->kind == SQL_EXPR_INTEGER ||
         expr->kind == SQL_EXPR_REAL || expr->kind == SQL_EXPR_STRING;
}

/* The column of the relation that the leaf is, or -1. */
static int column_of(Block *block, const SqlExpr *leaf) {
  int at;
  bool column = leaf->kind == SQL_EXPR_COLUMN && leaf->bound && block_feed(block, leaf, &at);
  return column ? at + 1 : -1;
}

bool alone_possible(Block *block) {
  if (block->nfeeds != 1 || block->feeds[0].kind != FEED_VIEW || block->nconditions > 0 ||
      block->violation) {
    return false;
  }
  for (int i = 0; i < block->nleaves; i++) {
    if (column_of(block, block->leaves[i]) < 0 && !is_constant(block->leaves[i])) return false;
  }
  return true;
}

/* A constant as SQLite reads it. */
static bool read_constant(Compiler *compiler, const SqlExpr *expr, Value *out) {
  Text sql = {0};
  SqlPrinter printer = {.out = &sql};
  text_add(&sql, "SELECT ");
  sql_print_expr(&printer, expr);
  sqlite3_stmt *query = query_prepare(compiler->db, text_get(&sql), compiler->fault);
  bool ok = query && query_step(query, compiler->fault) == 1;
  if (ok) {
    Value value = query_value(query, 0);
    ok = value_copy(&compiler->arena, &value, out) || fault_oom(compiler->fault);
  }
  query_finish(query);
  text_finish(&sql);
  compiler->statements++;
  return ok;
}

static bool find_leaf(Block *block, const SqlExpr *leaf, LeafOrigin *out) {
  *out = (LeafOrigin){.column = column_of(block, leaf)};
  return out->column >= 0 || read_constant(block->compiler, leaf, &out->constant);
}

static bool add_tuple(Block *block, const LeafOrigin *origins, size_t row) {
  const SymRelation *relation = block->feeds[0].relation;
  const Value *cells = relation_row(&relation->rows, row);
  uint32_t *out_row;
  Value *leaves;
  if (guard_is_never(&relation->guards[row])) return true;
  if (!enumerate_add(block, &relation->guards[row], &out_row, &leaves)) return false;
  *out_row = (uint32_t)row;
  for (int i = 0; i < block->nleaves; i++) {
    const LeafOrigin *origin = &origins[i];
    /* The relation's bytes are the arena's, and outlive the block. */
    leaves[i] = origin->column < 0 ? origin->constant : cells[origin->column];
  }
  return true;
}

bool alone_run(Block *block) {
  Compiler *compiler = block->compiler;
  size_t nrows = block->feeds[0].relation->ntuples;
  LeafOrigin *origins = arena_array(&compiler->arena, (size_t)block->nleaves + 1, sizeof *origins);
  if (!origins) return fault_oom(compiler->fault);
  for (int i = 0; i < block->nleaves; i++) {
    if (!find_leaf(block, block->leaves[i], &origins[i])) return false;
  }
  for (size_t row = 0; row < nrows; row++) {
    if (!add_tuple(block, origins, row)) return false;
    if ((++compiler->tuples & 4095) == 0 && stop_now(compiler->stop)) {
      return compile_stopped(compiler);
    }
  }
  return true;
}
