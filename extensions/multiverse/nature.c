/*
** What can be told of a rule by reading it: whether it can fail, whether most rows meet it, and
** whether it lets the same rows be seen in every universe.
*/
#include "extensions/multiverse/multiverse.h"

/* ---- failing --------------------------------------------------------------------------------- */

static SqlWalk find_failing(void *ctx, SqlExpr *expr) {
  const BaseTable *base = ctx;
  switch (expr->kind) {
  case SQL_EXPR_NULL:
  case SQL_EXPR_INTEGER:
  case SQL_EXPR_REAL:
  case SQL_EXPR_STRING:
  case SQL_EXPR_BLOB:
  case SQL_EXPR_VARIABLE:
  case SQL_EXPR_IS_NULL:
  case SQL_EXPR_BETWEEN:
  case SQL_EXPR_IN_LIST:
    return SQL_WALK_ON;
  case SQL_EXPR_COLUMN:
    return expr->column < 0 || !base->generated[expr->column] ? SQL_WALK_ON : SQL_WALK_STOP;
  case SQL_EXPR_UNARY:
  case SQL_EXPR_BINARY:
    return expr->op <= SQL_OP_IS_NOT ? SQL_WALK_ON : SQL_WALK_STOP;
  default:
    return SQL_WALK_STOP;
  }
}

bool nature_are_calm(const TablePolicy *table, const Rule *rule) {
  const SqlVisitor visitor = {.ctx = (void *)table->base, .expr = find_failing};
  for (; rule; rule = rule->next) {
    if (!sql_walk_expr(rule->when.expr, &visitor) ||
        (rule->has_unless && !sql_walk_expr(rule->unless.expr, &visitor))) {
      return false;
    }
  }
  return true;
}

/* ---- who meets it ---------------------------------------------------------------------------- */

/* Of a membership that the query decides: 1, 0; else -1. */
static int known_of(const Meaning *meaning, const Condition *condition) {
  if (!condition->group || condition->atom < 0 || !meaning->truths) return -1;
  return meaning->truths[condition->atom];
}

bool nature_is_broad(const Meaning *meaning, const Rule *rule) {
  return known_of(meaning, &rule->when) == 1;
}

static SqlWalk find_variable(void *ctx, SqlExpr *expr) {
  (void)ctx;
  return expr->kind == SQL_EXPR_VARIABLE ? SQL_WALK_STOP : SQL_WALK_ON;
}

static bool has_variable(SqlExpr *expr) {
  static const SqlVisitor visitor = {.expr = find_variable};
  return !sql_walk_expr(expr, &visitor);
}

static bool is_same_for_all(const Meaning *meaning, const Condition *condition) {
  if (!condition->group) return !has_variable(condition->expr);
  const int known = known_of(meaning, condition);
  for (int i = 0; known == 1 && i < condition->nrest; i++) {
    if (has_variable(condition->rest[i])) return false;
  }
  return known >= 0;
}

Part nature_part(const Meaning *meaning, const Rule *rule) {
  return is_same_for_all(meaning, &rule->when) &&
                 (!rule->has_unless || is_same_for_all(meaning, &rule->unless))
             ? PART_SHARED
             : PART_OWN;
}

/* ---- taking visibility apart ----------------------------------------------------------------- */

static bool is_indexed(const TablePolicy *table, const SqlExpr *expr) {
  const BaseTable *base = table->base;
  if (expr->kind != SQL_EXPR_COLUMN || expr->bound != table->source) return false;
  bool found = expr->column < 0 || expr->column == base->rowid_column;
  for (int i = 0; i < base->nindexes; i++) {
    const BaseIndex *index = &base->indexes[i];
    found |= !index->partial && index->ncolumns && index->columns[0] == expr->column;
  }
  return found;
}

/* author = :uid, with an index on author, AND whatever else. */
static bool is_found(const TablePolicy *table, const SqlExpr *expr) {
  if (expr->kind != SQL_EXPR_BINARY) return false;
  const SqlExpr *left = expr->args[0], *right = expr->args[1];
  if (expr->op == SQL_OP_AND) return is_found(table, left) || is_found(table, right);
  if (expr->op != SQL_OP_EQ) return false;
  return (right->kind == SQL_EXPR_VARIABLE && is_indexed(table, left)) ||
         (left->kind == SQL_EXPR_VARIABLE && is_indexed(table, right));
}

static bool are_rows_found(const Meaning *meaning, const Condition *condition) {
  if (!condition->group) return is_found(meaning->table, condition->expr);
  bool found = false;
  for (int i = 0; known_of(meaning, condition) == 1 && i < condition->nrest; i++) {
    found |= is_found(meaning->table, condition->rest[i]);
  }
  return found;
}

int nature_parts(const Meaning *meaning) {
  bool shared = false, own = false;
  for (const Rule *rule = meaning->table->rules[ACTION_DENY]; rule; rule = rule->next) {
    if (nature_part(meaning, rule) != PART_SHARED) return 0;
  }
  for (const Rule *rule = meaning->table->rules[ACTION_ALLOW]; rule; rule = rule->next) {
    if (known_of(meaning, &rule->when) == 0) continue;
    if (nature_part(meaning, rule) == PART_SHARED) {
      shared = true;
    } else if (are_rows_found(meaning, &rule->when)) {
      own = true;
    } else {
      return 0;
    }
  }
  return shared ? 1 + own : 0;
}
