/*
** What can be looked up in a set of members instead of being asked of SQLite: `column = :gid` of a
** group's rule, and `column IN (SELECT …)` whose sub-select depends on the context alone. Both are
** atoms of their table.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/compiler.h"

/* ---- atoms ----------------------------------------------------------------------------------- */

static bool is_number(SqlAffinity affinity) { return affinity >= SQL_AFFINITY_NUMERIC; }

/* A look-up in a set of values decides as SQLite's = would: see member_in(). */
bool compiler_is_plain(SqlAffinity members, const char *collation, const SqlColumn *column) {
  const SqlAffinity affinity = sql_type_affinity(column->type);
  const bool alike = is_number(affinity) ? is_number(members)
                                         : affinity == SQL_AFFINITY_TEXT && members == affinity;
  return alike && !column->collation && !collation;
}

int compiler_atom(TablePolicy *table, Atom atom) {
  for (int i = 0; i < table->natoms; i++) {
    if (table->atoms[i].set == atom.set && table->atoms[i].column == atom.column) return i;
  }
  if (table->natoms == MAX_ATOMS) return -1;
  table->atoms[table->natoms] = atom;
  return table->natoms++;
}

const Atom *policy_listed(const TablePolicy *table, const SqlExpr *expr) {
  for (const Listed *listed = table->listed; listed; listed = listed->next) {
    if (listed->expr == expr) return &table->atoms[listed->atom];
  }
  return NULL;
}

/* ---- lists ----------------------------------------------------------------------------------- */

typedef struct ListFinder {
  Compiler *compiler;
  TablePolicy *table;
  bool row, context; /* what the sub-select depends on */
} ListFinder;

static SqlWalk note_source(void *ctx, SqlExpr *expr) {
  ListFinder *finder = ctx;
  if (expr->kind == SQL_EXPR_VARIABLE) {
    if (strcmp(expr->text, ":gid")) {
      finder->context = true;
    } else {
      finder->row = true;
    }
  }
  finder->row |= expr->kind == SQL_EXPR_COLUMN && expr->bound == finder->table->source;
  return SQL_WALK_ON;
}

/* A list that is the same for everybody is left to SQLite, which may have an index on it. */
static bool is_list(ListFinder *finder, const SqlExpr *expr) {
  const SqlExpr *column = expr->args[0];
  const SqlSelect *select = expr->select;
  const SqlVisitor visitor = {.ctx = finder, .expr = note_source};
  if (column->kind != SQL_EXPR_COLUMN || column->bound != finder->table->source ||
      column->alias_of || column->column < 0 || select->next || select->is_values) {
    return false;
  }
  finder->row = finder->context = false;
  sql_walk_select(expr->select, &visitor);
  if (finder->row || !finder->context) return false;
  const SqlExpr *result = sql_result(select, 0)->expr;
  return compiler_is_plain(sql_expr_affinity(result), sql_expr_collation(result),
                           &finder->table->base->columns[column->column]);
}

/* The number of the list in the policy, or -1 without memory. */
static int list_number(Compiler *compiler, const SqlExpr *expr) {
  Policy *policy = compiler->policy;
  for (int i = 0; i < policy->nlists; i++) {
    if (sql_expr_equal(policy->lists[i], expr)) return i;
  }
  if (!array_grow(policy->lists, compiler->lists_capacity, (size_t)policy->nlists + 1)) return -1;
  policy->lists[policy->nlists] = expr;
  return policy->nlists++;
}

static bool add_list(ListFinder *finder, const SqlExpr *expr) {
  const int number = list_number(finder->compiler, expr);
  Listed *listed = arena_alloc(finder->compiler->arena, sizeof *listed);
  if (number < 0 || !listed) return fault_oom(finder->compiler->fault);
  const Atom atom = {.set = finder->compiler->policy->ngroups + number,
                     .column = expr->args[0]->column,
                     .listed = true};
  *listed = (Listed){.expr = expr, .atom = compiler_atom(finder->table, atom)};
  if (listed->atom < 0) return true;
  listed->next = finder->table->listed;
  finder->table->listed = listed;
  return true;
}

static SqlWalk find_list(void *ctx, SqlExpr *expr) {
  ListFinder *finder = ctx;
  if (expr->kind != SQL_EXPR_IN_SELECT || !is_list(finder, expr)) return SQL_WALK_ON;
  return add_list(finder, expr) ? SQL_WALK_SKIP : SQL_WALK_STOP;
}

static SqlWalk pass_by(void *ctx, SqlSelect *select) {
  (void)ctx;
  (void)select;
  return SQL_WALK_SKIP;
}

bool compiler_find_lists(Compiler *compiler, TablePolicy *table, SqlExpr *expr) {
  ListFinder finder = {.compiler = compiler, .table = table};
  const SqlVisitor visitor = {.ctx = &finder, .expr = find_list, .select = pass_by};
  return sql_walk_expr(expr, &visitor);
}
