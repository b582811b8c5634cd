/*
** The tuples that the query of a block gives (enumerate_query.c), each under its guard.
*/
#include "extensions/weave/block.h"

bool enumerate_add(Block *block, const Guard *guard, uint32_t **out_rows, Value **out_leaves) {
  Compiler *compiler = block->compiler;
  size_t t = block->ntuples, nleaves = (size_t)block->nleaves, nfeeds = (size_t)block->nfeeds;
  if (t >= MAX_TUPLES) {
    return fault_set(compiler->fault, FAULT_LIMIT, "more than %d tuples", MAX_TUPLES);
  }
  if (!array_extend(block->guards, block->guards_capacity, t + 1) ||
      !array_extend(block->leaf_values, block->leaf_capacity, (t + 1) * nleaves) ||
      !array_extend(block->feed_rows, block->feed_rows_capacity, (t + 1) * nfeeds)) {
    return fault_oom(compiler->fault);
  }
  block->guards[t] = *guard;
  *out_rows = block->feed_rows + t * nfeeds;
  *out_leaves = block->leaf_values + t * nleaves;
  block->ntuples++;
  return true;
}

/* What a feed has in this row of the query: its class or tuple, and when that is there. */
static bool read_feed(Block *block, Feed *feed, sqlite3_stmt *query, uint32_t *out_row,
                      Guard *out_guard) {
  *out_row = UINT32_MAX;
  *out_guard = guard_true();
  if (feed->kind == FEED_VIEW) {
    *out_row = (uint32_t)sqlite3_column_int(query, feed->out);
    *out_guard = feed->relation->guards[*out_row];
  } else if (feed->kind == FEED_TABLE && !feed->fixed) {
    *out_row = (uint32_t)sqlite3_column_int(query, feed->out);
    return guard_of_class(block, feed, query, *out_row, out_guard);
  }
  return true;
}

static bool add_tuple(Block *block, sqlite3_stmt *query, int first_leaf, bool stand_in) {
  Compiler *compiler = block->compiler;
  Guard guard = guard_true();
  uint32_t rows[MAX_FEEDS], *out_rows;
  Value *leaves;
  for (int f = 0; f < block->nfeeds; f++) {
    Guard own = {0};
    rows[f] = UINT32_MAX;
    bool read = !stand_in || (f == 0 && block->has_outer);
    if (read && !read_feed(block, &block->feeds[f], query, &rows[f], &own)) return false;
    if (!guard_cross(compiler, &guard, &own, &guard)) return false;
  }
  if (stand_in) guard = (Guard){0};
  if (guard_is_never(&guard) && !stand_in) return true;
  if (!enumerate_add(block, &guard, &out_rows, &leaves)) return false;
  for (int f = 0; f < block->nfeeds; f++) out_rows[f] = rows[f]; /* there may be no feed */
  for (int i = 0; i < block->nleaves; i++) {
    Value value = query_value(query, first_leaf + i);
    if (!value_copy(&compiler->arena, &value, &leaves[i])) return fault_oom(compiler->fault);
  }
  return true;
}

static bool run_pass(Block *block, bool stand_in) {
  Compiler *compiler = block->compiler;
  sqlite3_stmt *query = enumerate_query(block, stand_in);
  if (!query) return false;
  int first_leaf = sqlite3_column_count(query) - block->nleaves, step;
  while ((step = query_step(query, compiler->fault)) == 1) {
    if (!add_tuple(block, query, first_leaf, stand_in)) break;
    if ((++compiler->tuples & 4095) == 0 && stop_now(compiler->stop)) {
      compile_stopped(compiler);
      break;
    }
  }
  query_finish(query);
  return step == 0;
}

/* All combinations of "rows in scope" and "rows outside" over the tables that have both. */
bool enumerate_run(Block *block) {
  int both_kinds[MAX_FEEDS], n = 0;
  if (alone_possible(block)) return alone_run(block);
  for (int f = 0; f < block->nfeeds; f++) {
    Feed *feed = &block->feeds[f];
    if (feed->kind != FEED_TABLE) continue;
    if (!classes_build(block, feed)) return false;
    if (feed->table->has_fixed_rows) both_kinds[n++] = f;
  }
  if (n > 8) {
    return fault_set(block->compiler->fault, FAULT_LIMIT,
                     "more than 8 tables with decisions in one SELECT");
  }
  for (unsigned pass = 0; pass < 1u << n; pass++) {
    for (int i = 0; i < n; i++) block->feeds[both_kinds[i]].fixed = pass >> i & 1;
    if (!run_pass(block, false)) return false;
  }
  return true;
}

bool enumerate_stand_ins(Block *block) { return run_pass(block, true); }

int enumerate_leaf(Block *block, SqlExpr *expr) {
  for (int i = 0; i < block->nleaves; i++) {
    if (block->leaves[i] == expr || sql_expr_equal(block->leaves[i], expr)) return i;
  }
  size_t capacity = (size_t)block->leaves_capacity;
  if (!array_grow(block->leaves, capacity, (size_t)block->nleaves + 1)) {
    fault_oom(block->compiler->fault);
    return -1;
  }
  block->leaves_capacity = (int)capacity;
  block->leaves[block->nleaves] = expr;
  return block->nleaves++;
}
