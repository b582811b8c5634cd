/*
** Rules of the action `count`, read and checked.
**
** What is counted is decided by the row alone, by functions that every program has: the same rows
** for all users, since each would otherwise have noise of their own, and together they could
** average it away; and the same wherever the row is written, since triggers decide it.
*/
#include <math.h>
#include <string.h>

#include "extensions/multiverse/count.h"

enum { MOST_PER_UNIT = 1000000, EPSILON_MOST = 1000000 };

static bool invalid(Compiler *compiler, const char *what, const char *name) {
  return fault_set(compiler->fault, FAULT_INVALID, what, name);
}

/* ---- expressions ----------------------------------------------------------------------------- */

typedef struct Look {
  Compiler *compiler;
  bool row_alone; /* no sub-selects */
  bool failed;
} Look;

static bool is_everywhere(Look *look, const char *name, bool *out) {
  sqlite3_stmt *find = query_printf(
      look->compiler->db, look->compiler->fault,
      "SELECT min(builtin AND flags & %d) FROM pragma_function_list WHERE name = %Q COLLATE NOCASE",
      SQLITE_DETERMINISTIC, name);
  const int step = find ? query_step(find, look->compiler->fault) : -1;
  *out = step == 1 && sqlite3_column_int(find, 0);
  query_finish(find);
  return step == 1;
}

static bool look_at_function(Look *look, const SqlExpr *expr) {
  bool everywhere;
  if (!is_everywhere(look, expr->name, &everywhere)) return false;
  return everywhere || invalid(look->compiler,
                               "function %s(): what is counted is decided by deterministic "
                               "functions of SQLite's own",
                               expr->name);
}

static bool is_plain_collation(const char *name) {
  return !sqlite3_stricmp(name, "BINARY") || !sqlite3_stricmp(name, "NOCASE") ||
         !sqlite3_stricmp(name, "RTRIM");
}

static bool may_stand(Look *look, const SqlExpr *expr) {
  Compiler *compiler = look->compiler;
  if (expr->kind == SQL_EXPR_VARIABLE) {
    return invalid(compiler, "parameter \"%s\": what is counted is the same for everybody",
                   expr->text);
  }
  if (look->row_alone && (expr->select || expr->source)) {
    return invalid(compiler, "a sub-select: what is counted is decided by the row alone%s", "");
  }
  if (expr->kind == SQL_EXPR_CURRENT) {
    return invalid(compiler, "%s: it is not deterministic", expr->name);
  }
  if (expr->kind == SQL_EXPR_COLLATE && !is_plain_collation(expr->name)) {
    return invalid(compiler, "collation %s: it is not SQLite's own", expr->name);
  }
  if (expr->kind == SQL_EXPR_LIKE && (expr->op == SQL_OP_REGEXP || expr->op == SQL_OP_MATCH)) {
    return invalid(compiler, "%s: it is not SQLite's own",
                   expr->op == SQL_OP_MATCH ? "MATCH" : "REGEXP");
  }
  return expr->kind != SQL_EXPR_FUNCTION || look_at_function(look, expr);
}

static SqlWalk look_at(void *ctx, SqlExpr *expr) {
  Look *look = ctx;
  look->failed |= !may_stand(look, expr);
  return look->failed ? SQL_WALK_STOP : SQL_WALK_ON;
}

static bool take_condition(Compiler *compiler, const TablePolicy *table, const char *text,
                           Count *count) {
  Look look = {.compiler = compiler, .row_alone = true};
  const SqlVisitor visitor = {.ctx = &look, .expr = look_at};
  count->when = sql_parse_expr(compiler->arena, text, strlen(text), compiler->fault);
  if (!count->when || !sql_bind_expr(count->when, table->source, &compiler->schema, compiler->arena,
                                     compiler->fault)) {
    return false;
  }
  sql_walk_expr(count->when, &visitor);
  return !look.failed;
}

static bool take_keys(Compiler *compiler, const char *text, Count *count) {
  Look look = {.compiler = compiler};
  const SqlVisitor visitor = {.ctx = &look, .expr = look_at};
  if (!count->nby) return invalid(compiler, "keys%s: there is no column to count by", "");
  count->keys = sql_parse_select(compiler->arena, text, strlen(text), compiler->fault);
  if (!count->keys || !sql_bind(count->keys, &compiler->schema, compiler->arena, compiler->fault)) {
    return fault_prefix(compiler->fault, "keys: ");
  }
  sql_walk_select(count->keys, &visitor);
  if (look.failed) return fault_prefix(compiler->fault, "keys: ");
  return sql_width(count->keys) == count->nby ||
         fault_set(compiler->fault, FAULT_INVALID, "keys: %d columns, of %d it is counted by",
                   sql_width(count->keys), count->nby);
}

/* ---- columns --------------------------------------------------------------------------------- */

static int find_column(const BaseTable *base, const char *name, size_t length) {
  for (int i = 0; i < base->ncolumns; i++) {
    const char *own = base->columns[i].name;
    if (strlen(own) == length && !sqlite3_strnicmp(own, name, (int)length)) return i;
  }
  return -1;
}

/* `what` is col or unit. */
static bool take_column(Compiler *compiler, const TablePolicy *table, const char *what,
                        const char *name, size_t length, int *out) {
  *out = find_column(table->base, name, length);
  if (*out < 0) {
    return fault_set(compiler->fault, FAULT_NOTFOUND, "%s: there is no column %.*s", what,
                     (int)length, name);
  }
  const SqlColumn *column = &table->base->columns[*out];
  return !column->collation ||
         fault_set(compiler->fault, FAULT_UNSUPPORTED,
                   "%s: column %s has the collation %s, only BINARY is counted by", what,
                   column->name, column->collation);
}

static bool add_by(Compiler *compiler, const TablePolicy *table, const char *name, size_t length,
                   Count *count) {
  int column;
  if (!take_column(compiler, table, "col", name, length, &column)) return false;
  for (int i = 0; i < count->nby; i++) {
    if (count->by[i] == column) {
      return invalid(compiler, "col: %s is given twice", table->base->columns[column].name);
    }
  }
  if (!sqlite3_stricmp(table->base->columns[column].name, "count")) {
    return invalid(compiler, "col: %s is the name of the column with the counts", "count");
  }
  if (count->nby == MOST_BY) {
    return fault_set(compiler->fault, FAULT_LIMIT, "col: more than %d columns to count by",
                     MOST_BY);
  }
  count->by[count->nby++] = column;
  return true;
}

static bool take_by(Compiler *compiler, const TablePolicy *table, const char *list, Count *count) {
  const char *name;
  size_t length;
  while ((name = compiler_next_name(&list, &length))) {
    if (!add_by(compiler, table, name, length, count)) return false;
  }
  return true;
}

/* ---- options --------------------------------------------------------------------------------- */

static bool take_epsilon(Compiler *compiler, sqlite3_stmt *option, sqlite3_int64 *out) {
  const char *name = query_text(option, 0);
  const double value = sqlite3_column_double(option, 2);
  if (strcmp(query_text(option, 1), "integer") && strcmp(query_text(option, 1), "real")) {
    return fault_set(compiler->fault, FAULT_INVALID, "%s: a number is wanted, not %s", name,
                     query_text(option, 1));
  }
  if (!(value > 0 && value <= EPSILON_MOST)) {
    return fault_set(compiler->fault, FAULT_INVALID, "%s is %s, from 0.000001 to %d is wanted",
                     name, query_text(option, 2), EPSILON_MOST);
  }
  *out = (sqlite3_int64)(value * (double)EPSILON_ONE + 0.5);
  const double back = (double)*out / (double)EPSILON_ONE;
  return fabs(back - value) <= value * 1e-12 ||
         fault_set(compiler->fault, FAULT_INVALID, "%s is %s, it has more than 6 decimals", name,
                   query_text(option, 2));
}

static bool take_most(Compiler *compiler, sqlite3_stmt *option, Count *count) {
  count->most = sqlite3_column_int64(option, 2);
  return (!strcmp(query_text(option, 1), "integer") && count->most >= 1 &&
          count->most <= MOST_PER_UNIT) ||
         fault_set(compiler->fault, FAULT_INVALID,
                   "max_per_unit is %s, an integer from 1 to %d is wanted", query_text(option, 2),
                   MOST_PER_UNIT);
}

static bool take_option(Compiler *compiler, const TablePolicy *table, sqlite3_stmt *option,
                        Count *count) {
  const char *name = query_text(option, 0), *text = query_text(option, 2);
  const bool is_text = !strcmp(query_text(option, 1), "text");
  if (!strcmp(name, "epsilon")) return take_epsilon(compiler, option, &count->epsilon);
  if (!strcmp(name, "budget")) return take_epsilon(compiler, option, &count->budget);
  if (!strcmp(name, "max_per_unit")) return take_most(compiler, option, count);
  if (strcmp(name, "unit") && strcmp(name, "keys")) {
    return invalid(compiler,
                   "unknown option \"%s\": there are epsilon, unit, max_per_unit, budget and keys",
                   name);
  }
  if (!is_text) {
    return fault_set(compiler->fault, FAULT_INVALID, "%s: a text is wanted, not %s", name,
                     query_text(option, 1));
  }
  return strcmp(name, "unit")
             ? take_keys(compiler, text, count)
             : take_column(compiler, table, name, text, strlen(text), &count->unit);
}

/* json_valid() would take a lack of memory for a mistake. */
static bool is_object(Compiler *compiler, const char *json) {
  Fault own = {0};
  sqlite3_stmt *ask = query_printf(compiler->db, &own, "SELECT json_type(%Q) = 'object'", json);
  const int step = ask ? query_step(ask, &own) : -1;
  const bool object = step == 1 && sqlite3_column_int(ask, 0);
  query_finish(ask);
  if (object) return true;
  if (step < 0 && own.code != FAULT_INVALID) {
    *compiler->fault = own;
    return false;
  }
  return fault_set(compiler->fault, FAULT_INVALID,
                   "a JSON object is wanted, such as {\"epsilon\":0.5, \"unit\":\"patient\", "
                   "\"max_per_unit\":1}");
}

static bool take_options(Compiler *compiler, const TablePolicy *table, const char *json,
                         Count *count) {
  if (!is_object(compiler, json)) return false;
  sqlite3_stmt *options =
      query_printf(compiler->db, compiler->fault,
                   "SELECT key, type, value, key IN (SELECT key FROM json_each(%Q) "
                   "GROUP BY key HAVING count(*) > 1) FROM json_each(%Q)",
                   json, json);
  int step = -1;
  while (options && (step = query_step(options, compiler->fault)) == 1) {
    const bool ok = sqlite3_column_int(options, 3)
                        ? invalid(compiler, "%s is given twice", query_text(options, 0))
                        : take_option(compiler, table, options, count);
    if (ok) continue;
    step = -1;
    break;
  }
  query_finish(options);
  if (step < 0) return false;
  const char *missing = !count->epsilon    ? "epsilon"
                        : count->unit < 0  ? "unit"
                        : count->most == 0 ? "max_per_unit"
                                           : NULL;
  return !missing || invalid(compiler, "%s is missing", missing);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool suits(Compiler *compiler, const TablePolicy *table, const RuleText *text) {
  const BaseTable *base = table->base;
  if (text->group || text->unless || text->unless_group) {
    return invalid(compiler, "%s: what is counted is the same for everybody",
                   text->group ? "grp" : "unless");
  }
  if (!text->value) return invalid(compiler, "a %s needs value, with its epsilon", "count");
  if (table->count) return invalid(compiler, "%s is counted by a rule already", base->name);
  for (int i = 0; i < ACTIONS; i++) {
    if (table->rules[i]) {
      return invalid(compiler, "%s has rules about rows: a table is either shown or counted",
                     base->name);
    }
  }
  if (base->rowid_column < 0) {
    return fault_set(compiler->fault, FAULT_UNSUPPORTED,
                     "%s has no INTEGER PRIMARY KEY, by which rows that are counted are known",
                     base->name);
  }
  if (base_is_utf8(compiler->db, compiler->fault)) return true;
  return fault_set(compiler->fault, FAULT_UNSUPPORTED, "counts are for databases in UTF-8 alone");
}

static bool copy_text(Compiler *compiler, const RuleText *text, RuleText *out) {
  *out = (RuleText){.id = text->id,
                    .table = arena_strdup(compiler->arena, text->table),
                    .action = action_names[ACTION_COUNT],
                    .rule = arena_strdup(compiler->arena, text->rule),
                    .column = arena_strdup(compiler->arena, text->column),
                    .value = arena_strdup(compiler->arena, text->value)};
  return (out->table && out->rule && out->value && (out->column || !text->column)) ||
         fault_oom(compiler->fault);
}

bool count_compile(Compiler *compiler, TablePolicy *table, const RuleText *text) {
  Count *count = arena_alloc(compiler->arena, sizeof *count);
  if (!count) return fault_oom(compiler->fault);
  count->rule = text->id;
  count->unit = -1;
  if (!suits(compiler, table, text) || !copy_text(compiler, text, &count->text) ||
      !take_condition(compiler, table, text->rule, count)) {
    return false;
  }
  if (text->column && !take_by(compiler, table, text->column, count)) return false;
  if (!take_options(compiler, table, text->value, count)) {
    return fault_prefix(compiler->fault, "value: ");
  }
  table->count = count;
  return true;
}

bool count_lets(Compiler *compiler, const TablePolicy *table) {
  return !table->count ||
         invalid(compiler, "%s is counted by a rule: it can have no other", table->base->name);
}
