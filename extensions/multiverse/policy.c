/*
** From rows to a policy: rules are parsed, bound to their tables, and taken apart.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/count.h"

const char *const action_names[ACTIONS] = {
    [ACTION_ALLOW] = "allow",       [ACTION_DENY] = "deny",     [ACTION_REWRITE] = "rewrite",
    [ACTION_INSERT] = "insert",     [ACTION_UPDATE] = "update", [ACTION_DELETE] = "delete",
    [ACTION_PEEPHOLE] = "peephole", [ACTION_COUNT] = "count",
};

static bool oom(Compiler *compiler) { return fault_oom(compiler->fault); }

/* ---- what an expression may hold ------------------------------------------------------------- */

typedef struct Look {
  Compiler *compiler;
  bool in_group; /* :gid means something */
  bool has_gid;  /* found one */
  bool failed;
} Look;

/* The policy's number of a parameter of the context, or -1 without memory. */
static int param_number(Compiler *compiler, const char *name) {
  Policy *policy = compiler->policy;
  for (int i = 0; i < policy->nparams; i++) {
    if (!strcmp(policy->params[i], name)) return i;
  }
  const char *copy = arena_strdup(compiler->arena, name);
  if (!copy || !array_grow(policy->params, policy->params_capacity, (size_t)policy->nparams + 1)) {
    oom(compiler);
    return -1;
  }
  policy->params[policy->nparams] = copy;
  return policy->nparams++;
}

static bool look_at_variable(Look *look, const SqlExpr *expr) {
  Fault *fault = look->compiler->fault;
  if (expr->text[0] != ':') {
    return fault_set(fault, FAULT_INVALID, "parameter \"%s\": parameters are written :name",
                     expr->text);
  }
  if (!strcmp(expr->text, ":gid")) {
    look->has_gid = true;
    return look->in_group ||
           fault_set(fault, FAULT_INVALID, "parameter :gid: the rule is of no group");
  }
  return param_number(look->compiler, expr->text + 1) >= 0;
}

static bool look_at_function(Look *look, const SqlExpr *expr) {
  Fault *fault = look->compiler->fault;
  bool deterministic;
  if (!base_is_deterministic(look->compiler->db, expr->name, &deterministic, fault)) return false;
  return deterministic ||
         fault_set(fault, FAULT_INVALID, "function %s(): it is not deterministic", expr->name);
}

static SqlWalk look_at(void *ctx, SqlExpr *expr) {
  Look *look = ctx;
  Fault *fault = look->compiler->fault;
  bool ok = true;
  if (expr->kind == SQL_EXPR_VARIABLE) ok = look_at_variable(look, expr);
  if (expr->kind == SQL_EXPR_CURRENT) {
    ok = fault_set(fault, FAULT_INVALID, "%s: it is not deterministic", expr->name);
  }
  if (expr->kind == SQL_EXPR_FUNCTION) ok = look_at_function(look, expr);
  look->failed |= !ok;
  return ok ? SQL_WALK_ON : SQL_WALK_STOP;
}

static bool mentions_gid(Compiler *compiler, SqlExpr *expr) {
  Look look = {.compiler = compiler, .in_group = true};
  const SqlVisitor visitor = {.ctx = &look, .expr = look_at};
  sql_walk_expr(expr, &visitor);
  return look.has_gid;
}

/* ---- groups ---------------------------------------------------------------------------------- */

static bool take_result(Compiler *compiler, Group *group, int i) {
  const SqlResult *result = sql_result(group->select, i);
  if (!sqlite3_stricmp(result->name, "gid")) {
    group->affinity = sql_expr_affinity(result->expr);
    group->collation = sql_expr_collation(result->expr);
    return true;
  }
  group->keys[group->nkeys] = arena_strdup(compiler->arena, result->name);
  group->params[group->nkeys] = param_number(compiler, result->name);
  return group->keys[group->nkeys++] && group->params[group->nkeys - 1] >= 0;
}

static bool bind_group(Compiler *compiler, Group *group) {
  Fault *fault = compiler->fault;
  Look look = {.compiler = compiler};
  const SqlVisitor visitor = {.ctx = &look, .expr = look_at};
  group->select = sql_parse_select(compiler->arena, group->members, strlen(group->members), fault);
  if (!group->select || !sql_bind(group->select, &compiler->schema, compiler->arena, fault)) {
    return false;
  }
  sql_walk_select(group->select, &visitor);
  if (look.failed) return false;
  const int width = sql_width(group->select);
  group->keys = arena_array(compiler->arena, (size_t)width, sizeof *group->keys);
  group->params = arena_array(compiler->arena, (size_t)width, sizeof *group->params);
  if (!group->keys || !group->params) return oom(compiler);
  for (int i = 0; i < width; i++) {
    if (!take_result(compiler, group, i)) return oom(compiler);
  }
  if (group->nkeys != width - 1) {
    return fault_set(fault, FAULT_INVALID, "members has %s column named gid",
                     group->nkeys == width ? "no" : "more than one");
  }
  return group->nkeys > 0 ||
         fault_set(fault, FAULT_INVALID,
                   "members has no column beside gid, such as uid, to know the user by");
}

bool compiler_add_group(Compiler *compiler, const char *name, const char *members) {
  Policy *policy = compiler->policy;
  if (!array_grow(policy->groups, compiler->groups_capacity, (size_t)policy->ngroups + 1)) {
    return oom(compiler);
  }
  Group *group = &policy->groups[policy->ngroups];
  *group = (Group){.name = arena_strdup(compiler->arena, name),
                   .members = arena_strdup(compiler->arena, members)};
  if (!group->name || !group->members) return oom(compiler);
  policy->ngroups++;
  return bind_group(compiler, group) || fault_prefix(compiler->fault, "group %s: ", name);
}

static const Group *find_group(Compiler *compiler, const char *name) {
  for (int i = 0; i < compiler->policy->ngroups; i++) {
    if (!strcmp(compiler->policy->groups[i].name, name)) return &compiler->policy->groups[i];
  }
  fault_set(compiler->fault, FAULT_NOTFOUND, "there is no group \"%s\"", name);
  return NULL;
}

/* ---- conditions ------------------------------------------------------------------------------ */

/* The column that must equal :gid in a conjunct like class = :gid; -1: it is none such. */
static int tested_column(const TablePolicy *table, const SqlExpr *part) {
  if (part->kind != SQL_EXPR_BINARY || part->op != SQL_OP_EQ) return -1;
  for (int side = 0; side < 2; side++) {
    const SqlExpr *column = part->args[side], *gid = part->args[1 - side];
    if (column->kind == SQL_EXPR_COLUMN && column->bound == table->source && column->column >= 0 &&
        gid->kind == SQL_EXPR_VARIABLE && !strcmp(gid->text, ":gid")) {
      return column->column;
    }
  }
  return -1;
}

static int count_parts(const SqlExpr *expr) {
  if (expr->kind != SQL_EXPR_BINARY || expr->op != SQL_OP_AND) return 1;
  return count_parts(expr->args[0]) + count_parts(expr->args[1]);
}

static SqlExpr **list_parts(SqlExpr *expr, SqlExpr **out) {
  if (expr->kind != SQL_EXPR_BINARY || expr->op != SQL_OP_AND) {
    *out = expr;
    return out + 1;
  }
  return list_parts(expr->args[1], list_parts(expr->args[0], out));
}

/* class = :gid AND rest, where rest does not mention :gid. */
static bool take_apart(Compiler *compiler, TablePolicy *table, Condition *condition) {
  const int n = count_parts(condition->expr);
  SqlExpr **parts = arena_array(compiler->arena, (size_t)n, sizeof *parts);
  if (!parts) return oom(compiler);
  list_parts(condition->expr, parts);
  int test = -1;
  for (int i = 0; i < n; i++) {
    const int column = tested_column(table, parts[i]);
    if (column >= 0 && test < 0 &&
        compiler_is_plain(condition->group->affinity, condition->group->collation,
                          &table->base->columns[column])) {
      test = i;
    } else if (mentions_gid(compiler, parts[i])) {
      return true;
    }
  }
  if (test < 0) return true;
  const int set = (int)(condition->group - compiler->policy->groups);
  condition->atom =
      compiler_atom(table, (Atom){.set = set, .column = tested_column(table, parts[test])});
  if (condition->atom < 0) return true;
  for (int i = test; i < n - 1; i++) parts[i] = parts[i + 1];
  condition->rest = parts;
  condition->nrest = n - 1;
  return true;
}

static SqlExpr *bind_text(Compiler *compiler, TablePolicy *table, const char *text, bool in_group) {
  Look look = {.compiler = compiler, .in_group = in_group};
  const SqlVisitor visitor = {.ctx = &look, .expr = look_at};
  SqlExpr *expr = sql_parse_expr(compiler->arena, text, strlen(text), compiler->fault);
  if (!expr ||
      !sql_bind_expr(expr, table->source, &compiler->schema, compiler->arena, compiler->fault)) {
    return NULL;
  }
  sql_walk_expr(expr, &visitor);
  return !look.failed && compiler_find_lists(compiler, table, expr) ? expr : NULL;
}

static bool add_condition(Compiler *compiler, TablePolicy *table, const char *group,
                          const char *text, Condition *out) {
  *out = (Condition){.atom = -1};
  if (group) {
    out->group = find_group(compiler, group);
    if (!out->group) return false;
  }
  out->expr = bind_text(compiler, table, text, group != NULL);
  return out->expr && (!group || take_apart(compiler, table, out));
}

/* ---- rules ----------------------------------------------------------------------------------- */

static bool add_table(Compiler *compiler, const char *name, TablePolicy **out) {
  Policy *policy = compiler->policy;
  for (int i = 0; i < policy->ntables; i++) {
    if (sqlite3_stricmp(policy->tables[i]->base->name, name)) continue;
    *out = policy->tables[i];
    return true;
  }
  BaseTable *base = NULL;
  if (!strncmp(name, "_multiverse_", 12) || !sqlite3_strnicmp(name, "sqlite_", 7)) {
    return fault_set(compiler->fault, FAULT_INVALID, "table %s cannot be opened by a rule", name);
  }
  if (!base_find(compiler->db, name, compiler->arena, &base, compiler->fault)) return false;
  if (!base) return fault_set(compiler->fault, FAULT_NOTFOUND, "there is no table %s", name);
  TablePolicy *table = arena_alloc(compiler->arena, sizeof *table);
  SqlSource *source = arena_alloc(compiler->arena, sizeof *source);
  if (!table || !source ||
      !array_grow(policy->tables, compiler->tables_capacity, (size_t)policy->ntables + 1)) {
    return oom(compiler);
  }
  source->kind = SQL_SOURCE_TABLE;
  source->name = base->name;
  source->columns = base->columns;
  source->ncolumns = base->ncolumns;
  source->has_rowid = base->rowid != NULL;
  source->rowid_column = base->rowid_column + 1;
  table->base = base;
  table->source = source;
  table->rewritten = arena_array(compiler->arena, (size_t)base->ncolumns, sizeof(bool));
  if (!table->rewritten) return oom(compiler);
  for (int i = 0; i < ACTIONS; i++) table->last[i] = &table->rules[i];
  policy->tables[policy->ntables++] = table;
  *out = table;
  return true;
}

static int column_number(Compiler *compiler, const TablePolicy *table, const char *name,
                         size_t length) {
  for (int i = 0; i < table->base->ncolumns; i++) {
    const char *own = table->base->columns[i].name;
    if (strlen(own) == length && !sqlite3_strnicmp(own, name, (int)length)) return i;
  }
  fault_set(compiler->fault, FAULT_NOTFOUND, "col: there is no column %.*s", (int)length, name);
  return -1;
}

const char *compiler_next_name(const char **list, size_t *length) {
  const char *name = *list + strspn(*list, " \t\n,");
  *length = strcspn(name, ",");
  *list = name + *length;
  while (*length && strchr(" \t\n", name[*length - 1])) (*length)--;
  return *length ? name : NULL;
}

static bool take_update_columns(Compiler *compiler, const TablePolicy *table, const char *list,
                                Rule *rule) {
  rule->columns = arena_array(compiler->arena, (size_t)table->base->ncolumns, sizeof(bool));
  if (!rule->columns) return oom(compiler);
  const char *name;
  size_t length;
  while ((name = compiler_next_name(&list, &length))) {
    const int column = column_number(compiler, table, name, length);
    if (column < 0) return false;
    rule->columns[column] = true;
  }
  return true;
}

static bool take_rewrite(Compiler *compiler, TablePolicy *table, const RuleText *text, Rule *rule) {
  const bool blinds = rule->action == ACTION_PEEPHOLE;
  if (!text->column || (!text->value && !blinds)) {
    return fault_set(compiler->fault, FAULT_INVALID, "a %s needs col%s", text->action,
                     blinds ? "" : " and value");
  }
  rule->column = column_number(compiler, table, text->column, strlen(text->column));
  if (rule->column < 0) return false;
  const BaseTable *base = table->base;
  for (int i = 0; i < base->nkeys; i++) {
    if (base->keys[i] == rule->column) {
      return fault_set(compiler->fault, FAULT_INVALID,
                       "col: %s is of the primary key, by which rows are told apart", text->column);
    }
  }
  rule->value = bind_text(compiler, table, text->value ? text->value : "NULL", false);
  if (!rule->value) return fault_prefix(compiler->fault, "value: ");
  table->rewritten[rule->column] |= !blinds;
  return true;
}

static bool find_action(Compiler *compiler, const char *name, Action *out) {
  for (int i = 0; name && i < ACTIONS; i++) {
    if (strcmp(action_names[i], name)) continue;
    *out = (Action)i;
    return true;
  }
  return fault_set(compiler->fault, FAULT_INVALID,
                   "action is %s%s%s, one of allow, deny, rewrite, insert, update, delete, "
                   "peephole, count is wanted",
                   name ? "\"" : "", name ? name : "NULL", name ? "\"" : "");
}

static bool fill_rule(Compiler *compiler, const RuleText *text, TablePolicy **table, Rule *rule) {
  Fault *fault = compiler->fault;
  if (!text->table) return fault_set(fault, FAULT_INVALID, "tbl is NULL");
  if (!find_action(compiler, text->action, &rule->action)) return false;
  if (!text->rule) return fault_set(fault, FAULT_INVALID, "rule is NULL");
  if (rule->action == ACTION_COUNT) {
    return add_table(compiler, text->table, table) && count_compile(compiler, *table, text);
  }
  const bool shows = rule->action == ACTION_REWRITE || rule->action == ACTION_PEEPHOLE;
  if (text->value && !shows) {
    return fault_set(fault, FAULT_INVALID, "value is of a rewrite, not of %s", text->action);
  }
  if (text->column && !shows && rule->action != ACTION_UPDATE) {
    return fault_set(fault, FAULT_INVALID, "col is of a rewrite or an update, not of %s",
                     text->action);
  }
  if (text->unless_group && !text->unless) {
    return fault_set(fault, FAULT_INVALID, "unless_grp without unless");
  }
  if (!add_table(compiler, text->table, table) || !count_lets(compiler, *table) ||
      !add_condition(compiler, *table, text->group, text->rule, &rule->when)) {
    return false;
  }
  for (int i = 0; i < (*table)->base->ncolumns; i++) {
    if ((*table)->base->generated[i] &&
        (rule->action == ACTION_INSERT || rule->action == ACTION_UPDATE)) {
      return fault_set(fault, FAULT_UNSUPPORTED,
                       "column %s is generated: such a table can be read inside a universe, not "
                       "written",
                       (*table)->base->columns[i].name);
    }
  }
  rule->has_unless = text->unless != NULL;
  if (text->unless &&
      !add_condition(compiler, *table, text->unless_group, text->unless, &rule->unless)) {
    return fault_prefix(fault, "unless: ");
  }
  if (shows) return take_rewrite(compiler, *table, text, rule);
  return !text->column || take_update_columns(compiler, *table, text->column, rule);
}

bool compiler_add_rule(Compiler *compiler, const RuleText *text) {
  Rule *rule = arena_alloc(compiler->arena, sizeof *rule);
  TablePolicy *table = NULL;
  if (!rule) return oom(compiler);
  rule->id = text->id;
  if (!fill_rule(compiler, text, &table, rule)) {
    const char *name = text->table ? text->table : "NULL";
    return text->id ? fault_prefix(compiler->fault, "rule %lld of %s: ", (long long)text->id, name)
                    : fault_prefix(compiler->fault, "rule of %s: ", name);
  }
  if (rule->action == ACTION_COUNT) return true;
  *table->last[rule->action] = rule;
  table->last[rule->action] = &rule->next;
  return true;
}

/* ---- beginning ------------------------------------------------------------------------------- */

bool compiler_begin(sqlite3 *db, Compiler *compiler, Fault *fault) {
  *compiler = (Compiler){.db = db, .fault = fault};
  compiler->policy = calloc(1, sizeof *compiler->policy);
  if (!compiler->policy) return fault_oom(fault);
  compiler->arena = &compiler->policy->arena;
  compiler->schema = (SqlSchema){
      .ctx = db, .table = base_source, .function = base_function, .rowid_in_views = true};
  return true;
}
