/*
** Sub-selects over decisions, inside expressions: EXISTS, IN (SELECT), (SELECT). See block.h.
**
** The distinct rows of what a sub-select reads outside become a relation; the sub-select is then
** evaluated once for all of them, joined with that relation.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/block.h"

/* ---- planning ------------------------------------------------------------------------------- */

typedef struct OuterWalk {
  Block *block;
  Subquery *subquery;
  bool ok;
} OuterWalk;

static SqlWalk outer_expr(void *ctx, SqlExpr *expr) {
  OuterWalk *walk = ctx;
  Subquery *subquery = walk->subquery;
  int at;
  Feed *feed = block_feed(walk->block, expr, &at);
  if (!feed) return SQL_WALK_ON;
  const Cell *cell = feed->kind == FEED_TABLE ? block_cell(walk->block, expr) : NULL;
  if ((feed->kind == FEED_VIEW && feed->relation->symbols[at]) ||
      (cell && (cell->decision->numeric || !cell->expanded))) {
    walk->ok = block_refuse(
        walk->block, expr, "a sub-select reads %s, which depends on several decisions", expr->name);
    return SQL_WALK_STOP;
  }
  for (int i = 0; i < subquery->ncolumns; i++) {
    if (subquery->map[i].source == expr->bound && subquery->map[i].column == expr->column) {
      return SQL_WALK_ON;
    }
  }
  size_t n = (size_t)subquery->ncolumns, maps = n, leaves = n;
  int leaf = enumerate_leaf(walk->block, expr);
  if (leaf < 0 || !array_grow(subquery->map, maps, n + 1) ||
      !array_grow(subquery->leaves, leaves, n + 1)) {
    walk->ok = fault_oom(walk->block->compiler->fault);
    return SQL_WALK_STOP;
  }
  subquery->map[n] = (ColumnMap){expr->bound, expr->column, (int)n};
  subquery->leaves[n] = leaf;
  subquery->ncolumns++;
  return SQL_WALK_ON;
}

static SqlWalk outer_select(void *ctx, SqlSelect *select) {
  SqlVisitor visitor = {.ctx = ctx, .expr = outer_expr, .select = outer_select};
  for (int i = 0; i < select->nexpanded && select->expanded != select->results; i++) {
    sql_walk_expr(select->expanded[i].expr, &visitor);
  }
  return SQL_WALK_ON;
}

static int plan(Block *block, SqlExpr *expr, SqlSelect *select) {
  size_t n = (size_t)block->nsubqueries, capacity = n;
  if (!array_grow(block->subqueries, capacity, n + 1)) {
    fault_oom(block->compiler->fault);
    return -1;
  }
  Subquery *subquery = &block->subqueries[block->nsubqueries++];
  *subquery = (Subquery){.expr = expr, .select = select, .left = -1};
  OuterWalk walk = {.block = block, .subquery = subquery, .ok = true};
  SqlVisitor visitor = {.ctx = &walk, .expr = outer_expr, .select = outer_select};
  sql_walk_select(select, &visitor);
  if (!walk.ok) return -1;
  if (subquery->ncolumns >= RELATION_MAX_COLUMNS) {
    fault_set(block->compiler->fault, FAULT_LIMIT, "a sub-select reads more than %d outer columns",
              RELATION_MAX_COLUMNS - 1);
    return -1;
  }
  return (int)n;
}

int subquery_plan(Block *block, SqlExpr *expr) {
  int index = plan(block, expr, expr->select);
  if (index < 0 || expr->kind != SQL_EXPR_IN_SELECT) return index;
  Nature nature;
  if (!block_nature(block, expr->args[0], &nature)) return -1;
  if (nature.symbolic || nature.aggregate || expr->args[0]->kind == SQL_EXPR_ROW) {
    block_refuse(block, expr, "IN (SELECT …) over decisions, with a left side that is %s",
                 expr->args[0]->kind == SQL_EXPR_ROW ? "a row value" : "computed from several");
    return -1;
  }
  int leaf = enumerate_leaf(block, expr->args[0]);
  block->subqueries[index].left = leaf;
  return leaf < 0 ? -1 : index;
}

/* f(p.node, …), where p.node is not expanded here, becomes
** (SELECT f(q.node, …) FROM pod q WHERE q.rowid = p.rowid): one value per candidate, from SQLite.
*/
typedef struct Redirect {
  SqlSource *from, *to;
  Table *table;
} Redirect;

static SqlWalk redirect_expr(void *ctx, SqlExpr *expr) {
  const Redirect *redirect = ctx;
  if (expr->kind == SQL_EXPR_COLUMN && expr->bound == redirect->from && expr->column >= 0 &&
      redirect->table->decisions[expr->column]) {
    expr->bound = redirect->to;
  }
  return SQL_WALK_ON;
}

static SqlExpr *key_column(Block *block, SqlSource *source, const Table *table, int key) {
  SqlExpr *expr = arena_alloc(&block->compiler->arena, sizeof *expr);
  if (!expr) return NULL;
  *expr =
      (SqlExpr){.kind = SQL_EXPR_COLUMN, .bound = source, .column = -1, .name = table->keys[key]};
  for (int i = 0; i < table->ncolumns && !table->has_rowid; i++) {
    if (!strcasecmp(table->columns[i].name, table->keys[key])) expr->column = i;
  }
  return expr;
}

/* AND of a.key = b.key over the keys. */
static SqlExpr *same_row(Block *block, SqlSource *a, SqlSource *b, const Table *table) {
  SqlExpr *all = NULL;
  for (int k = 0; k < table->nkeys; k++) {
    SqlExpr *nodes = arena_array(&block->compiler->arena, 2, sizeof *nodes);
    SqlExpr **args = arena_array(&block->compiler->arena, 4, sizeof *args);
    if (!nodes || !args) return NULL;
    args[0] = key_column(block, a, table, k);
    args[1] = key_column(block, b, table, k);
    if (!args[0] || !args[1]) return NULL;
    nodes[0] = (SqlExpr){.kind = SQL_EXPR_BINARY, .op = SQL_OP_EQ, .args = args, .nargs = 2};
    args[2] = all;
    args[3] = &nodes[0];
    nodes[1] = (SqlExpr){.kind = SQL_EXPR_BINARY, .op = SQL_OP_AND, .args = args + 2, .nargs = 2};
    all = all ? &nodes[1] : &nodes[0];
  }
  return all;
}

int subquery_plan_mapped(Block *block, SqlExpr *expr) {
  Arena *arena = &block->compiler->arena;
  Nature nature;
  if (!block_nature(block, expr, &nature)) return -1;
  Feed *feed = &block->feeds[nature.cells[0] / MAX_CELLS];
  SqlSource *source = arena_alloc(arena, sizeof *source);
  SqlSelect *select = arena_alloc(arena, sizeof *select);
  SqlResult *result = arena_alloc(arena, sizeof *result);
  SqlExpr *copy = sql_copy_expr(arena, expr);
  if (!source || !select || !result || !copy) {
    fault_oom(block->compiler->fault);
    return -1;
  }
  *source = *feed->source;
  source->next = NULL;
  source->on = NULL;
  source->join = SQL_JOIN_NONE;
  source->natural = false;
  source->nusing = 0;
  Redirect redirect = {feed->source, source, feed->table};
  SqlVisitor visitor = {.ctx = &redirect, .expr = redirect_expr};
  sql_walk_expr(copy, &visitor);
  result->expr = copy;
  *select = (SqlSelect){.span = expr->span,
                        .from = source,
                        .results = result,
                        .nresults = 1,
                        .expanded = result,
                        .nexpanded = 1,
                        .where = same_row(block, source, feed->source, feed->table)};
  if (!select->where) {
    fault_oom(block->compiler->fault);
    return -1;
  }
  return plan(block, NULL, select);
}

/* ---- running -------------------------------------------------------------------------------- */

/* The distinct rows of the outer columns; row_of[tuple] says which. */
static bool distinct_rows(Block *block, Subquery *subquery, SymRelation *outer) {
  Compiler *compiler = block->compiler;
  Map seen = {0};
  Text key = {0};
  bool ok = false;
  relation_init(outer, subquery->ncolumns);
  if (!relation_ready(compiler, outer)) return false;
  Sym values[RELATION_MAX_COLUMNS];
  Guard always = guard_true();
  subquery->row_of = arena_array(&compiler->arena, block->ntuples, sizeof *subquery->row_of);
  if (!subquery->row_of) goto oom;
  for (size_t t = 0; t < block->ntuples; t++) {
    bool added;
    text_clear(&key);
    for (int i = 0; i < subquery->ncolumns; i++) {
      const Value *value = block_leaf(block, t, subquery->leaves[i]);
      text_addc(&key, (char)('0' + value->type));
      value_add_key(&key, value, COLLATION_BINARY);
      values[i] = sym_const(*value);
    }
    int64_t *at = key.oom
                      ? NULL
                      : map_put(&seen, text_get(&key), key.length, (int64_t)outer->ntuples, &added);
    if (!at) goto oom;
    subquery->row_of[t] = (uint32_t)*at;
    if (added && !relation_append(compiler, outer, &always, values)) goto out;
  }
  for (int i = 0; i < subquery->ncolumns; i++) {
    SqlExpr *expr = block->leaves[subquery->leaves[i]];
    outer->affinities[i] = sql_expr_affinity(expr);
    outer->collations[i] = sql_expr_collation(expr);
  }
  ok = true;
  goto out;
oom:
  fault_oom(compiler->fault);
out:
  map_finish(&seen);
  text_finish(&key);
  return ok;
}

static bool add_lit(Compiler *compiler, LitList *list, Lit lit) {
  if (!array_grow(list->lits, list->capacity, list->count + 1)) return fault_oom(compiler->fault);
  list->lits[list->count++] = lit;
  return true;
}

static bool add_guard(Compiler *compiler, LitList *list, const Guard *guard) {
  for (uint32_t i = 0; i < guard_copies(guard); i++) {
    if (!add_lit(compiler, list, guard_literal(compiler, guard, i))) return false;
  }
  return true;
}

static Lit list_any(Compiler *compiler, LitList *list) {
  if (!list->known) list->any = model_or(compiler->model, list->lits, list->count);
  list->known = true;
  return list->any;
}

/* The list of an (outer row, kind, value); kinds: 'v' a value, 'n' NULLs, 'a' all rows. */
static LitList *bucket(Compiler *compiler, Subquery *subquery, uint32_t row, char kind,
                       const Value *value, Collation collation, bool make) {
  Text key = {0};
  LitList *list = NULL;
  text_addf(&key, "%u%c", row, kind);
  if (value) value_add_key(&key, value, collation);
  if (key.oom) {
    fault_oom(compiler->fault);
  } else if (!make) {
    int64_t *at = map_get(&subquery->buckets, key.data, key.length);
    if (at) list = &subquery->lists[*at];
  } else {
    bool added;
    int64_t *at =
        map_put(&subquery->buckets, key.data, key.length, (int64_t)subquery->nlists, &added);
    if (at && added &&
        array_grow(subquery->lists, subquery->lists_capacity, subquery->nlists + 1)) {
      subquery->nlists++;
    }
    if (at && (size_t)*at < subquery->nlists) list = &subquery->lists[*at];
    if (!list) fault_oom(compiler->fault);
  }
  text_finish(&key);
  return list;
}

/* Both sides of IN in one kind of value, as SQLite's affinities for IN say. */
static bool unify(Compiler *compiler, const Subquery *subquery, Value *value) {
  SqlAffinity left = sql_expr_affinity(subquery->expr->args[0]);
  SqlAffinity right = sql_expr_affinity(sql_result(subquery->select, 0)->expr);
  SqlAffinity use = left >= SQL_AFFINITY_NUMERIC || right >= SQL_AFFINITY_NUMERIC
                        ? SQL_AFFINITY_NUMERIC
                    : left == SQL_AFFINITY_TEXT || right == SQL_AFFINITY_TEXT ? SQL_AFFINITY_TEXT
                                                                              : SQL_AFFINITY_NONE;
  if (left == right) return true;
  return value_apply_affinity(&compiler->arena, value, use) || fault_oom(compiler->fault);
}

static bool fill_in(Block *block, Subquery *subquery, const SymRelation *inner,
                    const uint32_t *rows) {
  Compiler *compiler = block->compiler;
  Collation collation = collation_named(sql_expr_collation(subquery->expr->args[0]));
  if (inner->symbols[0]) {
    return block_refuse(block, subquery->expr,
                        "IN (SELECT …) where the values depend on several decisions");
  }
  if (collation == COLLATION_OTHER) {
    return block_refuse(block, subquery->expr,
                        "IN under a collation other than BINARY, NOCASE, RTRIM");
  }
  for (size_t t = 0; t < inner->ntuples; t++) {
    Value value = relation_row(&inner->rows, t)[1];
    if (!unify(compiler, subquery, &value)) return false;
    char kind = value_is_null(&value) ? 'n' : 'v';
    LitList *list = bucket(compiler, subquery, rows[t], kind, &value, collation, true);
    if (!list || !add_guard(compiler, list, &inner->guards[t])) return false;
    list = bucket(compiler, subquery, rows[t], 'a', NULL, collation, true);
    if (!list || !add_guard(compiler, list, &inner->guards[t])) return false;
  }
  return true;
}

static bool fill_exists(Block *block, Subquery *subquery, const SymRelation *inner,
                        const uint32_t *rows) {
  Compiler *compiler = block->compiler;
  for (size_t t = 0; t < inner->ntuples; t++) {
    LitList *list = bucket(compiler, subquery, rows[t], 'a', NULL, COLLATION_BINARY, true);
    if (!list || !add_guard(compiler, list, &inner->guards[t])) return false;
  }
  for (size_t r = 0; r < subquery->nrows; r++) {
    LitList *list = bucket(compiler, subquery, (uint32_t)r, 'a', NULL, COLLATION_BINARY, false);
    Lit any = list ? list_any(compiler, list) : LIT_FALSE;
    subquery->values[r] = sym_bool(any, lit_not(any));
    if (subquery->expr->negated) subquery->values[r] = sym_bool(lit_not(any), any);
  }
  return true;
}

/* Does the literal say that a decision has one certain value? Then whose. */
static bool owned(const Compiler *compiler, Lit lit, const Decision **decision, uint32_t *row) {
  int32_t choice = model_choice_of(compiler->model, lit_var(lit));
  if (lit_negative(lit) || choice < 0) return false;
  *decision = compiler->owners[choice].decision;
  *row = compiler->owners[choice].row;
  return true;
}

/* At most one of the tuples can be there: they are values of one decision. */
static bool exclusive(const Compiler *compiler, const SymRelation *inner, const size_t *tuples,
                      size_t count, bool *exhaustive) {
  const Decision *whose = NULL, *decision;
  uint32_t row0 = 0, row;
  for (size_t i = 0; i < count; i++) {
    const Guard *guard = &inner->guards[tuples[i]];
    if (guard->none_of || guard->count != 1 || !owned(compiler, guard->lits[0], &decision, &row)) {
      return false;
    }
    if (i && (decision != whose || row != row0)) return false;
    whose = decision;
    row0 = row;
  }
  *exhaustive = (size_t)whose->domains[whose->domain[row0]].count == count;
  return true;
}

static Sym inner_value(const SymRelation *inner, size_t tuple) {
  if (inner->symbols[0]) return inner->symbols[0][tuple];
  return sym_const(relation_row(&inner->rows, tuple)[1]);
}

static bool scalar_of(Block *block, const Subquery *subquery, const SymRelation *inner,
                      const size_t *tuples, size_t count, Sym *out) {
  Compiler *compiler = block->compiler;
  bool exhaustive = false;
  if (count == 0) {
    *out = sym_null();
    return true;
  }
  const Guard *first = &inner->guards[tuples[0]];
  if (count == 1 && guard_copies(first) == 1) {
    *out = inner_value(inner, tuples[0]);
    if (guard_is_true(first)) return true;
    Lit lit = guard_literal(compiler, first, 0);
    Sym present = sym_bool(lit, lit_not(lit)), value = *out, null = sym_null();
    return sym_case(&compiler->algebra, &present, &value, 1, &null, out);
  }
  if (inner->symbols[0] || !exclusive(compiler, inner, tuples, count, &exhaustive)) {
    SqlExpr place = {.span = subquery->select->span};
    return block_refuse(block, &place,
                        "this sub-select may have several rows, and which one counts would depend "
                        "on decisions");
  }
  Choice *choices = arena_array(&compiler->arena, count, sizeof *choices);
  if (!choices) return fault_oom(compiler->fault);
  for (size_t i = 0; i < count; i++) {
    choices[i] = (Choice){inner->guards[tuples[i]].lits[0], inner_value(inner, tuples[i]).value};
  }
  *out = (Sym){.kind = SYM_CHOICE,
               .choices = choices,
               .nchoices = count,
               .null = LIT_FALSE,
               .exhaustive = exhaustive,
               .collation = collation_named(inner->collations[0])};
  return true;
}

static bool fill_scalars(Block *block, Subquery *subquery, const SymRelation *inner,
                         const uint32_t *rows) {
  Arena *arena = &block->compiler->arena;
  size_t *first = arena_array(arena, subquery->nrows + 2, sizeof *first);
  size_t *tuples = arena_array(arena, inner->ntuples, sizeof *tuples);
  if (!first || !tuples) return fault_oom(block->compiler->fault);
  for (size_t t = 0; t < inner->ntuples; t++) first[rows[t] + 2]++;
  for (size_t r = 1; r <= subquery->nrows; r++) first[r + 1] += first[r];
  for (size_t t = 0; t < inner->ntuples; t++) tuples[first[rows[t] + 1]++] = t;
  for (size_t r = 0; r < subquery->nrows; r++) {
    if (!scalar_of(block, subquery, inner, tuples + first[r], first[r + 1] - first[r],
                   &subquery->values[r])) {
      return false;
    }
  }
  return true;
}

bool subquery_run(Block *block, Subquery *subquery) {
  Compiler *compiler = block->compiler;
  Feed outer = {.kind = FEED_VIEW};
  SymRelation *relations = arena_array(&compiler->arena, 2, sizeof *relations);
  if (!relations) return fault_oom(compiler->fault);
  outer.relation = &relations[0];
  SymRelation *inner = &relations[1];
  uint32_t *rows = NULL;
  if (!distinct_rows(block, subquery, outer.relation)) return false;
  bool correlated = subquery->ncolumns > 0;
  subquery->nrows = correlated ? outer.relation->ntuples : 1;
  outer.map = subquery->map;
  outer.nmap = subquery->ncolumns;
  snprintf(outer.alias, sizeof outer.alias, "w_o%d", compiler->aliases++);
  subquery->values = arena_array(&compiler->arena, subquery->nrows, sizeof *subquery->values);
  int width = sql_width(subquery->select);
  bool *wanted = arena_array(&compiler->arena, (size_t)width, sizeof *wanted);
  if (!subquery->values || !wanted) return fault_oom(compiler->fault);
  bool exists = subquery->expr && subquery->expr->kind == SQL_EXPR_EXISTS;
  for (int i = 0; i < width; i++) wanted[i] = !exists;
  if (correlated && outer.relation->ntuples == 0) return true; /* nobody asks */
  if (!relation_of_select(compiler, subquery->select, correlated ? &outer : NULL, wanted, inner,
                          &rows)) {
    return false;
  }
  bool ok = exists                ? fill_exists(block, subquery, inner, rows)
            : subquery->left >= 0 ? fill_in(block, subquery, inner, rows)
                                  : fill_scalars(block, subquery, inner, rows);
  return ok;
}

/* x IN (…): true when some row has the value; NULL when x or some row is NULL and none has it. */
static bool in_value(Block *block, Subquery *subquery, size_t tuple, Sym *out) {
  Compiler *compiler = block->compiler;
  uint32_t row = subquery->ncolumns ? subquery->row_of[tuple] : 0;
  Value value = *block_leaf(block, tuple, subquery->left);
  Collation collation = collation_named(sql_expr_collation(subquery->expr->args[0]));
  Lit yes = LIT_FALSE, no;
  LitList *all = bucket(compiler, subquery, row, 'a', NULL, collation, false);
  Lit some = all ? list_any(compiler, all) : LIT_FALSE;
  if (value_is_null(&value)) {
    no = lit_not(some);
  } else {
    if (!unify(compiler, subquery, &value)) return false;
    LitList *found = bucket(compiler, subquery, row, 'v', &value, collation, false);
    Value null = value_null();
    LitList *nulls = bucket(compiler, subquery, row, 'n', &null, collation, false);
    if (found) yes = list_any(compiler, found);
    Lit unknown = nulls ? list_any(compiler, nulls) : LIT_FALSE;
    no = model_and(compiler->model, (Lit[]){lit_not(yes), lit_not(unknown)}, 2);
  }
  *out = subquery->expr->negated ? sym_bool(no, yes) : sym_bool(yes, no);
  return compiler->fault->code == FAULT_NONE;
}

bool subquery_value(Block *block, Subquery *subquery, size_t tuple, Sym *out) {
  if (subquery->left >= 0) return in_value(block, subquery, tuple, out);
  *out = subquery->values[subquery->ncolumns ? subquery->row_of[tuple] : 0];
  return true;
}

void subquery_finish(Subquery *subquery) {
  for (size_t i = 0; i < subquery->nlists; i++) free(subquery->lists[i].lits);
  free(subquery->lists);
  map_finish(&subquery->buckets);
  free(subquery->map);
  free(subquery->leaves);
}
