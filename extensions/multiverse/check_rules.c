/*
** Rules, one by one and table by table: what needs no user to be seen.
*/
#include <string.h>

#include "extensions/multiverse/check.h"
#include "extensions/multiverse/count.h"

/* ---- conditions that depend on nothing ------------------------------------------------------- */

static SqlWalk find_dependence(void *ctx, SqlExpr *expr) {
  *(bool *)ctx |= expr->kind == SQL_EXPR_VARIABLE || expr->kind == SQL_EXPR_COLUMN ||
                  expr->select || expr->source;
  return SQL_WALK_ON;
}

bool check_is_constant(const Condition *condition) {
  bool depends = condition->group != NULL;
  const SqlVisitor visitor = {.ctx = &depends, .expr = find_dependence};
  sql_walk_expr(condition->expr, &visitor);
  return !depends;
}

static bool evaluate(Check *check, const Condition *condition, bool *out) {
  const Meaning meaning = {.policy = check->policy, .queried = true};
  Text sql = {0};
  text_add(&sql, "SELECT ");
  meaning_expr(&meaning, condition->expr, &sql);
  text_add(&sql, " IS TRUE");
  sqlite3_stmt *ask = query_prepare(check->db, sql.oom ? NULL : text_get(&sql), check->fault);
  const int step = ask ? query_step(ask, check->fault) : -1;
  *out = step == 1 && sqlite3_column_int(ask, 0);
  query_finish(ask);
  text_finish(&sql);
  return step == 1;
}

static const char *const always[ACTIONS] = {
    [ACTION_ALLOW] = "shows every row to everyone",
    [ACTION_DENY] = "hides every row from everyone",
    [ACTION_REWRITE] = "rewrites the column in every row for everyone",
    [ACTION_INSERT] = "lets everyone insert",
    [ACTION_UPDATE] = "lets everyone change all rows that they see",
    [ACTION_DELETE] = "lets everyone delete all rows that they see",
    [ACTION_PEEPHOLE] = "blinds the column in every row",
};

static bool check_constant(Check *check, const TablePolicy *table, const Rule *rule) {
  bool truth;
  if (check_is_constant(&rule->when)) {
    if (!evaluate(check, &rule->when, &truth)) return false;
    if (!truth) {
      return check_tell(check, rule, SEVERITY_WARNING, NULL,
                        "%s: never applies, for its condition is never true", table->base->name);
    }
    if (!rule->has_unless &&
        !check_tell(check, rule, rule->action == ACTION_DENY ? SEVERITY_WARNING : SEVERITY_NOTE,
                    NULL, "%s: %s", table->base->name, always[rule->action])) {
      return false;
    }
  }
  if (!rule->has_unless || !check_is_constant(&rule->unless)) return true;
  if (!evaluate(check, &rule->unless, &truth)) return false;
  return truth ? check_tell(check, rule, SEVERITY_WARNING, NULL,
                            "%s: never applies, for unless is always true", table->base->name)
               : check_tell(check, rule, SEVERITY_NOTE, NULL, "%s: unless is never true",
                            table->base->name);
}

/* ---- memberships that cannot be decided beforehand ------------------------------------------- */

static bool check_speed(Check *check, const TablePolicy *table, const Rule *rule) {
  const Condition *conditions[] = {&rule->when, rule->has_unless ? &rule->unless : NULL};
  for (int i = 0; i < 2; i++) {
    const Condition *condition = conditions[i];
    if (!condition || !condition->group || condition->atom >= 0) continue;
    if (!check_tell(check, rule, SEVERITY_NOTE, NULL,
                    "%s: %s of group %s is no column = :gid AND … with a column of the gid's type: "
                    "it is a sub-select for each row",
                    table->base->name, i ? "unless" : "the rule", condition->group->name)) {
      return false;
    }
  }
  return true;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const Rule *any_write(const TablePolicy *table) {
  static const Action writes[] = {ACTION_INSERT, ACTION_UPDATE, ACTION_DELETE};
  for (size_t i = 0; i < countof(writes); i++) {
    if (table->rules[writes[i]]) return table->rules[writes[i]];
  }
  return NULL;
}

/* With 10, what is shown can be 22,000 times as likely with a unit's rows as without them. */
static bool check_count(Check *check, const TablePolicy *table) {
  const double epsilon = (double)table->count->epsilon / (double)EPSILON_ONE;
  if (epsilon < 10) return true;
  const Rule rule = {.id = table->count->rule};
  return check_tell(check, &rule, SEVERITY_WARNING, NULL,
                    "%s: with an epsilon of %g the noise hides nobody", table->base->name, epsilon);
}

static bool check_table(Check *check, const TablePolicy *table) {
  const char *name = table->base->name;
  if (table->count) return check_count(check, table);
  if (!table->rules[ACTION_ALLOW]) {
    const Rule *write = any_write(table);
    const bool ok = check_tell(check, NULL, SEVERITY_WARNING, NULL,
                               "table %s has rules, but none that allows to see rows", name);
    if (!ok) return false;
    if (write && !check_tell(check, write, SEVERITY_WARNING, NULL,
                             "%s: nothing can be written, for nobody would see the row", name)) {
      return false;
    }
  }
  for (int a = 0; a < ACTIONS; a++) {
    for (const Rule *rule = table->rules[a]; rule; rule = rule->next) {
      if (!check_constant(check, table, rule) || !check_speed(check, table, rule) ||
          !check_goes_on(check)) {
        return false;
      }
    }
  }
  return true;
}

bool check_tables(Check *check) {
  for (int i = 0; i < check->policy->ntables; i++) {
    if (!check_table(check, check->policy->tables[i])) return false;
  }
  return true;
}
