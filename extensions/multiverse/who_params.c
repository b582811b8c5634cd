/*
** Which values of a parameter can matter for a row.
**
** In `author = :uid` it is the row's author; in `class IN (SELECT class FROM Enrollment WHERE uid =
** :uid)` any uid of Enrollment, and no other; in a group the members. Whatever else is done with a
** parameter leaves it open.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/who.h"

typedef struct Look {
  Who *who;
  const Group *group;   /* of the condition; NULL: none */
  const SqlExpr **fine; /* variables that are only compared for equality */
  size_t nfine, capacity;
} Look;

static int param_number(const Policy *policy, const char *name) {
  for (int i = 0; i < policy->nparams; i++) {
    if (!strcmp(policy->params[i], name)) return i;
  }
  return -1;
}

static bool is_param(const SqlExpr *expr) {
  return expr->kind == SQL_EXPR_VARIABLE && strcmp(expr->text, ":gid") != 0;
}

/* ---- what an expression mentions ------------------------------------------------------------- */

static SqlWalk find_param(void *ctx, SqlExpr *expr) {
  *(bool *)ctx |= is_param(expr);
  return SQL_WALK_ON;
}

static bool mentions_param(SqlExpr *expr) {
  bool found = false;
  const SqlVisitor visitor = {.ctx = &found, .expr = find_param};
  sql_walk_expr(expr, &visitor);
  return found;
}

static bool select_mentions_param(SqlSelect *select) {
  bool found = false;
  const SqlVisitor visitor = {.ctx = &found, .expr = find_param};
  sql_walk_select(select, &visitor);
  return found;
}

/* Columns of a base table, or of what the expression itself selects from, and of nothing else. */
typedef struct Scope {
  const SqlSource *row, *own[SQL_MAX_TABLES];
  int nown;
  bool outside;
} Scope;

static SqlWalk note_source(void *ctx, SqlSource *source) {
  Scope *scope = ctx;
  if (scope->nown == SQL_MAX_TABLES) {
    scope->outside = true;
  } else {
    scope->own[scope->nown++] = source;
  }
  return SQL_WALK_ON;
}

static SqlWalk check_column(void *ctx, SqlExpr *expr) {
  Scope *scope = ctx;
  if (expr->kind != SQL_EXPR_COLUMN || !expr->bound || expr->bound == scope->row)
    return SQL_WALK_ON;
  for (int i = 0; i < scope->nown; i++) {
    if (scope->own[i] == expr->bound) return SQL_WALK_ON;
  }
  scope->outside = true;
  return SQL_WALK_STOP;
}

static bool is_of_the_row(const Look *look, SqlExpr *expr) {
  Scope scope = {.row = look->who->inquiry.table->source};
  const SqlVisitor sources = {.ctx = &scope, .source = note_source};
  const SqlVisitor columns = {.ctx = &scope, .expr = check_column};
  sql_walk_expr(expr, &sources);
  sql_walk_expr(expr, &columns);
  return !scope.outside;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Numbers that are equal are one value. Contexts hold no blobs. */
static bool add_value(Param *param, sqlite3_value *value, Fault *fault) {
  const int type = sqlite3_value_type(value);
  const double real = sqlite3_value_double(value);
  const sqlite3_int64 integer = sqlite3_value_int64(value);
  const bool whole = type == SQLITE_INTEGER || (type == SQLITE_FLOAT && (double)integer == real);
  bool added;
  int64_t *place;
  if (type == SQLITE_BLOB || type == SQLITE_NULL) return true;
  if (type == SQLITE_TEXT) {
    const char *text = (const char *)sqlite3_value_text(value);
    if (!text) return fault_oom(fault);
    place = map_put(&param->seen, text, strlen(text) + 1, 1, &added);
  } else {
    char key[16] = {0}; /* no text of ours: those end with a NUL, this begins with one */
    memcpy(key + 1, whole ? (const void *)&integer : (const void *)&real, 8);
    key[9] = (char)whole;
    place = map_put(&param->seen, key, sizeof key, 1, &added);
  }
  if (!place) return fault_oom(fault);
  if (!added) return true;
  if (!array_grow(param->values, param->capacity, param->count + 1)) return fault_oom(fault);
  param->values[param->count] = sqlite3_value_dup(value);
  return param->values[param->count++] || fault_oom(fault);
}

/* A number that is told from others by its value alone: 2.0 is one with 2, which has other text. */
static bool is_distinct(sqlite3_value *value) {
  const double real = sqlite3_value_double(value);
  return sqlite3_value_numeric_type(value) == SQLITE_INTEGER ||
         (sqlite3_value_type(value) == SQLITE_FLOAT && real != (double)sqlite3_value_int64(value));
}

/* A column that holds '4' equals 4, too, if it is of text. */
static bool add_twin(Param *param, sqlite3_value *value, Fault *fault) {
  sqlite3_value *number = sqlite3_value_dup(value);
  const bool is_number = number && is_distinct(number);
  sqlite3_value *text = is_number ? sqlite3_value_dup(number) : NULL;
  bool ok = (number && (text || !is_number)) || fault_oom(fault);
  if (ok && is_number) {
    const char *a = (const char *)sqlite3_value_text(value);
    const char *b = (const char *)sqlite3_value_text(text);
    ok = a && b ? strcmp(a, b) || add_value(param, number, fault) : fault_oom(fault);
  }
  sqlite3_value_free(number);
  sqlite3_value_free(text);
  return ok;
}

static bool add_values(Who *who, Param *param, Text *sql) {
  sqlite3_stmt *rows = inquiry_prepare(&who->inquiry, sql, who->fault);
  int step = -1;
  while (rows && (step = query_step(rows, who->fault)) == 1) {
    sqlite3_value *value = sqlite3_value_dup(sqlite3_column_value(rows, 0));
    bool ok = value ? add_value(param, value, who->fault) : fault_oom(who->fault);
    if (ok && sqlite3_value_type(value) == SQLITE_TEXT) ok = add_twin(param, value, who->fault);
    sqlite3_value_free(value);
    if (ok && vt_poll(who->poll) == SQLITE_OK) continue;
    if (ok) fault_set(who->fault, FAULT_INTERRUPT, "interrupted");
    step = -1;
    break;
  }
  query_finish(rows);
  text_finish(sql);
  return step == 0;
}

/* All values of a column of a table: more than can matter, and no fewer. */
static bool add_column(Look *look, Param *param, const SqlExpr *column, bool *known) {
  const SqlSource *source = column->kind == SQL_EXPR_COLUMN ? column->bound : NULL;
  Text sql = {0};
  *known = source && source->kind == SQL_SOURCE_TABLE && !source->cte && column->column >= 0;
  if (!*known) return true;
  text_add(&sql, "SELECT DISTINCT ");
  text_add_name(&sql, source->columns[column->column].name);
  text_add(&sql, " FROM main.");
  text_add_name(&sql, source->name);
  return add_values(look->who, param, &sql);
}

/* What the parameter is compared with. *known is false when that cannot be listed. */
static bool add_compared(Look *look, Param *param, SqlExpr *other, bool *known) {
  Who *who = look->who;
  Text sql = {0};
  const char *collation = sql_expr_collation(other);
  *known = !mentions_param(other) && (!collation || !sqlite3_stricmp(collation, "BINARY"));
  if (!*known) return true;
  if (is_of_the_row(look, other)) {
    meaning_values(&who->meaning, look->group, other, &sql);
    inquiry_where(&who->inquiry, &sql);
    return add_values(who, param, &sql);
  }
  return add_column(look, param, other, known);
}

/* The values of a sub-select of which the parameter is to be one. */
static bool add_selected(Look *look, Param *param, const SqlExpr *in, bool *known) {
  Text sql = {0};
  SqlExpr *result = sql_result(in->select, 0)->expr;
  const char *collation = sql_expr_collation(result);
  *known = !in->select->next && (!collation || !sqlite3_stricmp(collation, "BINARY"));
  if (!*known) return true;
  if (in->select->is_correlated || select_mentions_param(in->select)) {
    return add_column(look, param, result, known);
  }
  meaning_select(&look->who->meaning, in->select, &sql);
  return add_values(look->who, param, &sql);
}

/* ---- walking --------------------------------------------------------------------------------- */

static bool call_fine(Look *look, const SqlExpr *variable) {
  if (!array_grow(look->fine, look->capacity, look->nfine + 1)) return fault_oom(look->who->fault);
  look->fine[look->nfine++] = variable;
  return true;
}

static Param *param_of(const Look *look, const SqlExpr *variable) {
  const int number = param_number(look->who->inquiry.policy, variable->text + 1);
  return number < 0 ? NULL : &look->who->params[number];
}

/* variable = other */
static bool compare(Look *look, const SqlExpr *variable, SqlExpr *other) {
  Param *param = is_param(variable) ? param_of(look, variable) : NULL;
  bool known;
  if (!param) return true;
  return add_compared(look, param, other, &known) && (!known || call_fine(look, variable));
}

static bool look_at_in(Look *look, SqlExpr *expr) {
  SqlExpr *left = expr->args[0];
  bool known = false;
  if (expr->kind == SQL_EXPR_IN_SELECT) {
    Param *param = is_param(left) ? param_of(look, left) : NULL;
    return !param || (add_selected(look, param, expr, &known) && (!known || call_fine(look, left)));
  }
  for (int i = 1; i < expr->nargs; i++) {
    if (!compare(look, expr->args[i], left)) return false;
  }
  Param *param = is_param(left) ? param_of(look, left) : NULL;
  for (int i = 1; param && i < expr->nargs; i++) {
    if (!add_compared(look, param, expr->args[i], &known)) return false;
    if (!known) return true;
  }
  return !param || call_fine(look, left);
}

static SqlWalk look_at(void *ctx, SqlExpr *expr) {
  Look *look = ctx;
  const bool equality =
      expr->kind == SQL_EXPR_BINARY && (expr->op == SQL_OP_EQ || expr->op == SQL_OP_NE ||
                                        expr->op == SQL_OP_IS || expr->op == SQL_OP_IS_NOT);
  if (equality) {
    compare(look, expr->args[0], expr->args[1]);
    compare(look, expr->args[1], expr->args[0]);
  } else if (expr->kind == SQL_EXPR_IN_SELECT || expr->kind == SQL_EXPR_IN_LIST) {
    look_at_in(look, expr);
  } else if (is_param(expr)) {
    Param *param = param_of(look, expr);
    bool fine = false;
    for (size_t i = 0; i < look->nfine; i++) fine |= look->fine[i] == expr;
    if (param) param->relevant = true;
    if (param && !fine) param->open = true;
  }
  return look->who->fault->code ? SQL_WALK_STOP : SQL_WALK_ON;
}

/* ---- conditions ------------------------------------------------------------------------------ */

static const char *key_collation(const Group *group, const char *key) {
  for (int i = 0; i < sql_width(group->select); i++) {
    const SqlResult *result = sql_result(group->select, i);
    if (!sqlite3_stricmp(result->name, key)) return sql_expr_collation(result->expr);
  }
  return NULL;
}

/* Members whose membership makes the condition true; all, where that depends on who asks. */
static bool look_at_keys(Look *look, const Condition *condition) {
  Who *who = look->who;
  const Group *group = condition->group;
  const bool closed = !select_mentions_param(group->select);
  for (int i = 0; i < group->nkeys; i++) {
    Param *param = &who->params[group->params[i]];
    const char *collation = key_collation(group, group->keys[i]);
    Text sql = {0};
    param->relevant = true;
    if (!closed || (collation && sqlite3_stricmp(collation, "BINARY"))) {
      param->open = true;
      continue;
    }
    meaning_keys(&who->meaning, group, group->keys[i], &sql);
    inquiry_where(&who->inquiry, &sql);
    if (!mentions_param(condition->expr)) {
      text_add(&sql, " AND ");
      meaning_expr(&who->meaning, condition->expr, &sql);
    }
    if (!add_values(who, param, &sql)) return false;
  }
  return true;
}

static bool look_at_condition(Who *who, const Condition *condition) {
  Look look = {.who = who, .group = condition->group};
  const SqlVisitor visitor = {.ctx = &look, .expr = look_at};
  if (condition->group) sql_walk_select(condition->group->select, &visitor);
  sql_walk_expr(condition->expr, &visitor);
  free(look.fine);
  if (who->fault->code) return false;
  return !condition->group || look_at_keys(&look, condition);
}

bool who_look(Who *who) {
  const int n = who->inquiry.policy->nparams;
  who->params = calloc((size_t)n + 1, sizeof *who->params);
  who->open = calloc((size_t)n + 1, sizeof *who->open);
  if (!who->params || !who->open) return fault_oom(who->fault);
  for (int action = ACTION_ALLOW; action <= ACTION_DENY; action++) {
    for (const Rule *rule = who->inquiry.table->rules[action]; rule; rule = rule->next) {
      if (!look_at_condition(who, &rule->when)) return false;
      if (rule->has_unless && !look_at_condition(who, &rule->unless)) return false;
    }
  }
  for (int i = 0; i < n; i++) who->open[i] = who->params[i].open;
  return true;
}

static SqlWalk find_open(void *ctx, SqlExpr *expr) {
  Look *look = ctx;
  const Param *param = is_param(expr) ? param_of(look, expr) : NULL;
  look->nfine += param && param->open;
  return SQL_WALK_ON;
}

bool who_is_open(const Who *who, const Condition *condition) {
  Look look = {.who = (Who *)who};
  const SqlVisitor visitor = {.ctx = &look, .expr = find_open};
  const Group *group = condition->group;
  sql_walk_expr(condition->expr, &visitor);
  if (group) sql_walk_select(group->select, &visitor);
  for (int i = 0; group && i < group->nkeys; i++) look.nfine += who->open[group->params[i]];
  return look.nfine > 0;
}

void who_finish(Who *who) {
  for (int i = 0; who->params && i < who->inquiry.policy->nparams; i++) {
    Param *param = &who->params[i];
    for (size_t j = 0; j < param->count; j++) sqlite3_value_free(param->values[j]);
    free(param->values);
    map_finish(&param->seen);
  }
  free(who->params);
  free(who->open);
  inquiry_finish(&who->inquiry);
}
