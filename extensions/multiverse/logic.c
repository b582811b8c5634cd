/*
** Rules as logic: see logic.h. Truth of three values is a pair of terms: is it true, is it NULL?
*/
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/logic.h"

typedef struct Truth3 {
  const char *is_true, *is_null;
} Truth3;

typedef struct Value {
  const char *term;
  SqlAffinity affinity;
  const char *collation;
} Value;

static Truth3 truth_of(Logic *logic, SqlExpr *expr);

const char *logic_term(Logic *logic, const char *format, ...) {
  Text text = {0};
  va_list args;
  va_start(args, format);
  text_addv(&text, format, args);
  va_end(args);
  const char *term = text.oom ? NULL : arena_strdup(&logic->arena, text_get(&text));
  text_finish(&text);
  if (!term) fault_oom(logic->fault);
  return term ? term : "false";
}

/* A name for a term, so that it is written once. */
static const char *define(Logic *logic, const char *sort, const char *term) {
  if (term[0] != '(') return term;
  if (!array_grow(logic->definitions, logic->definitions_capacity, logic->ndefinitions + 1)) {
    fault_oom(logic->fault);
    return "false";
  }
  logic->definitions[logic->ndefinitions++] = (Definition){sort, term};
  return logic_term(logic, "d%zu", logic->ndefinitions - 1);
}

/* ---- unknowns -------------------------------------------------------------------------------- */

static const char *labelled(Logic *logic, UnknownKind kind, const char *name, const char *label,
                            int column, bool of_user) {
  const char *key = logic_term(logic, "%d:%s", (int)kind, name);
  int64_t *place = map_put(&logic->known, key, strlen(key), (int64_t)logic->nunknowns, NULL);
  if (!place || !array_grow(logic->unknowns, logic->unknowns_capacity, logic->nunknowns + 1)) {
    fault_oom(logic->fault);
    return "false";
  }
  if (*place == (int64_t)logic->nunknowns) {
    logic->unknowns[logic->nunknowns++] = (Unknown){kind, column, label ? label : key + 2, of_user};
  }
  return logic_term(logic, "u%lld", (long long)*place);
}

static const char *unknown(Logic *logic, UnknownKind kind, const char *name, int column,
                           bool of_user) {
  return labelled(logic, kind, name, NULL, column, of_user);
}

static SqlWalk find_variable(void *ctx, SqlExpr *expr) {
  *(bool *)ctx |= expr->kind == SQL_EXPR_VARIABLE;
  return SQL_WALK_ON;
}

/* What is not understood is unknown, and the same wherever it is written the same. */
static const char *guess(Logic *logic, UnknownKind kind, const Group *group, SqlExpr *expr) {
  const Meaning meaning = {
      .policy = logic->policy, .table = logic->table, .queried = true, .named = true};
  Text text = {0};
  bool of_user = group != NULL;
  const SqlVisitor visitor = {.ctx = &of_user, .expr = find_variable};
  sql_walk_expr(expr, &visitor);
  meaning_expr(&meaning, expr, &text);
  if (group) text_add(&text, " for a member of ");
  if (group) meaning_select(&meaning, group->select, &text);
  logic->guessed = true;
  const char *term = text.oom ? NULL : unknown(logic, kind, text_get(&text), 0, of_user);
  if (text.oom) fault_oom(logic->fault);
  text_finish(&text);
  return term ? term : "false";
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Texts are numbers between 0 and 1, in their order: digits to the base of 257. */
static const char *string_term(Logic *logic, const char *string) {
  Text text = {0};
  enum { MOST = 200 };
  const size_t n = strlen(string);
  if (n > MOST) return NULL;
  text_add(&text, "(txt ");
  for (size_t i = 0; i < n; i++) text_addf(&text, "(/ (+ %d.0 ", (unsigned char)string[i] + 1);
  text_add(&text, "0.0");
  for (size_t i = 0; i < n; i++) text_add(&text, ") 257.0)");
  text_addc(&text, ')');
  const char *term = text.oom ? "null" : logic_term(logic, "%s", text_get(&text));
  if (text.oom || !array_grow(logic->strings, logic->strings_capacity, logic->nstrings + 1)) {
    fault_oom(logic->fault);
  } else {
    logic->strings[logic->nstrings++] = arena_strdup(&logic->arena, string);
  }
  text_finish(&text);
  return term;
}

/* Digits with at most one point: a number as Z3 reads it. */
static bool is_plain_number(const char *text) {
  size_t points = 0, digits = 0;
  for (; *text; text++) {
    points += *text == '.';
    digits += *text >= '0' && *text <= '9';
    if (*text != '.' && !(*text >= '0' && *text <= '9')) return false;
  }
  return points <= 1 && digits > 0 && digits < 300;
}

static const char *number_term(Logic *logic, const char *text, bool minus) {
  if (!is_plain_number(text)) return NULL;
  const size_t n = strlen(text);
  const char *rest = !strchr(text, '.') ? ".0" : text[n - 1] == '.' ? "0" : "";
  const char *zero = text[0] == '.' ? "0" : "";
  return minus ? logic_term(logic, "(num (- %s%s%s))", zero, text, rest)
               : logic_term(logic, "(num %s%s%s)", zero, text, rest);
}

static const char *variable_term(Logic *logic, const SqlExpr *expr) {
  return strcmp(expr->text, ":gid") ? unknown(logic, UNKNOWN_PARAM, expr->text + 1, 0, true) : NULL;
}

static const char *known_value(Logic *logic, SqlExpr *expr) {
  switch (expr->kind) {
  case SQL_EXPR_NULL:
    return "null";
  case SQL_EXPR_INTEGER:
  case SQL_EXPR_REAL:
    return number_term(logic, expr->text, false);
  case SQL_EXPR_STRING:
    return string_term(logic, expr->text);
  case SQL_EXPR_VARIABLE:
    return variable_term(logic, expr);
  case SQL_EXPR_UNARY:
    if (expr->op == SQL_OP_NEG &&
        (expr->args[0]->kind == SQL_EXPR_INTEGER || expr->args[0]->kind == SQL_EXPR_REAL)) {
      return number_term(logic, expr->args[0]->text, true);
    }
    return NULL;
  case SQL_EXPR_COLUMN: {
    if (expr->bound != logic->table->source) return NULL;
    const BaseTable *base = logic->table->base;
    const int column = expr->column < 0 ? base->rowid_column : expr->column;
    return unknown(logic, UNKNOWN_COLUMN, column < 0 ? "rowid" : base->columns[column].name, column,
                   false);
  }
  default:
    return NULL;
  }
}

static Value value_of(Logic *logic, SqlExpr *expr) {
  const char *term = known_value(logic, expr);
  return (Value){term ? term : guess(logic, UNKNOWN_VALUE, NULL, expr), sql_expr_affinity(expr),
                 sql_expr_collation(expr)};
}

static bool is_number(SqlAffinity affinity) { return affinity >= SQL_AFFINITY_NUMERIC; }

/* What affinity makes of the two sides of a comparison. */
static void convert(Logic *logic, Value *a, Value *b) {
  for (int side = 0; side < 2; side++) {
    Value *own = side ? b : a;
    const Value *other = side ? a : b;
    if (is_number(other->affinity) && !is_number(own->affinity)) {
      own->term = logic_term(logic, "(as_number %s)", own->term);
    } else if (other->affinity == SQL_AFFINITY_TEXT && own->affinity == SQL_AFFINITY_NONE) {
      own->term = logic_term(logic, "(as_text %s)", own->term);
    }
  }
}

/* ---- truths ---------------------------------------------------------------------------------- */

static Truth3 make(Logic *logic, const char *is_true, const char *is_null) {
  return (Truth3){define(logic, "Bool", is_true), define(logic, "Bool", is_null)};
}

static Truth3 and3(Logic *logic, Truth3 a, Truth3 b) {
  return make(logic, logic_term(logic, "(and %s %s)", a.is_true, b.is_true),
              logic_term(logic, "(and (or %s %s) (or %s %s) (or %s %s))", a.is_null, b.is_null,
                         a.is_true, a.is_null, b.is_true, b.is_null));
}

static Truth3 not3(Logic *logic, Truth3 a) {
  return make(logic, logic_term(logic, "(and (not %s) (not %s))", a.is_true, a.is_null), a.is_null);
}

static Truth3 or3(Logic *logic, Truth3 a, Truth3 b) {
  return not3(logic, and3(logic, not3(logic, a), not3(logic, b)));
}

static Truth3 guess_truth(Logic *logic, SqlExpr *expr) {
  const char *term = guess(logic, UNKNOWN_VALUE, NULL, expr);
  return make(logic, logic_term(logic, "(truthy %s)", term),
              logic_term(logic, "(= %s null)", term));
}

static Truth3 compare(Logic *logic, SqlOp op, SqlExpr *left, SqlExpr *right, bool in_list) {
  Value a = value_of(logic, left), b = value_of(logic, right);
  if (in_list) b.affinity = SQL_AFFINITY_NONE;
  if ((a.collation && sqlite3_stricmp(a.collation, "BINARY")) ||
      (b.collation && sqlite3_stricmp(b.collation, "BINARY"))) {
    return (Truth3){NULL, NULL};
  }
  convert(logic, &a, &b);
  if (op == SQL_OP_IS || op == SQL_OP_IS_NOT) {
    return make(
        logic, logic_term(logic, op == SQL_OP_IS ? "(= %s %s)" : "(not (= %s %s))", a.term, b.term),
        "false");
  }
  const char *format = op == SQL_OP_EQ   ? "(= %s %s)"
                       : op == SQL_OP_NE ? "(not (= %s %s))"
                       : op == SQL_OP_LT ? "(less %s %s)"
                       : op == SQL_OP_LE ? "(or (less %s %s) (= %s %s))"
                       : op == SQL_OP_GT ? "(less %s %s)"
                                         : "(or (less %s %s) (= %s %s))";
  const bool turned = op == SQL_OP_GT || op == SQL_OP_GE;
  const char *x = turned ? b.term : a.term, *y = turned ? a.term : b.term;
  Text text = {0};
  for (int n = 0; *format; format++) { /* x y x y */
    if (strncmp(format, "%s", 2) != 0) {
      text_addc(&text, *format);
    } else {
      text_add(&text, n++ % 2 ? y : x);
      format++;
    }
  }
  const char *null = logic_term(logic, "(or (= %s null) (= %s null))", a.term, b.term);
  const char *null_name = define(logic, "Bool", null);
  const char *truth =
      text.oom ? "false" : logic_term(logic, "(and (not %s) %s)", null_name, text_get(&text));
  if (text.oom) fault_oom(logic->fault);
  text_finish(&text);
  return make(logic, truth, null_name);
}

static Truth3 in_list(Logic *logic, SqlExpr *expr) {
  Truth3 any = {"false", "false"};
  for (int i = 1; i < expr->nargs; i++) {
    const Truth3 one = compare(logic, SQL_OP_EQ, expr->args[0], expr->args[i], true);
    if (!one.is_true) return one;
    any = or3(logic, any, one);
  }
  return expr->negated ? not3(logic, any) : any;
}

static Truth3 between(Logic *logic, SqlExpr *expr) {
  const Truth3 low = compare(logic, SQL_OP_GE, expr->args[0], expr->args[1], false);
  const Truth3 high = compare(logic, SQL_OP_LE, expr->args[0], expr->args[2], false);
  if (!low.is_true || !high.is_true) return (Truth3){NULL, NULL};
  const Truth3 both = and3(logic, low, high);
  return expr->negated ? not3(logic, both) : both;
}

static Truth3 binary(Logic *logic, SqlExpr *expr) {
  SqlExpr *left = expr->args[0], *right = expr->args[1];
  switch (expr->op) {
  case SQL_OP_AND:
    return and3(logic, truth_of(logic, left), truth_of(logic, right));
  case SQL_OP_OR:
    return or3(logic, truth_of(logic, left), truth_of(logic, right));
  case SQL_OP_EQ:
  case SQL_OP_NE:
  case SQL_OP_LT:
  case SQL_OP_LE:
  case SQL_OP_GT:
  case SQL_OP_GE:
  case SQL_OP_IS:
  case SQL_OP_IS_NOT:
    if (right->kind == SQL_EXPR_COLUMN && !right->bound) break; /* IS TRUE, and strings in "" */
    if (left->kind == SQL_EXPR_COLUMN && !left->bound) break;
    return compare(logic, expr->op, left, right, false);
  default:
    break;
  }
  return (Truth3){NULL, NULL};
}

static Truth3 understood(Logic *logic, SqlExpr *expr) {
  switch (expr->kind) {
  case SQL_EXPR_BINARY:
    return binary(logic, expr);
  case SQL_EXPR_UNARY:
    if (expr->op != SQL_OP_NOT) break;
    return not3(logic, truth_of(logic, expr->args[0]));
  case SQL_EXPR_IS_NULL: {
    const char *null = logic_term(logic, "(= %s null)", value_of(logic, expr->args[0]).term);
    const Truth3 truth = make(logic, null, "false");
    return expr->negated ? not3(logic, truth) : truth;
  }
  case SQL_EXPR_BETWEEN:
    return between(logic, expr);
  case SQL_EXPR_IN_LIST:
    return in_list(logic, expr);
  case SQL_EXPR_ROW:
    break;
  default: {
    const char *value = known_value(logic, expr);
    if (!value) break;
    return make(logic, logic_term(logic, "(truthy %s)", value),
                logic_term(logic, "(= %s null)", value));
  }
  }
  return (Truth3){NULL, NULL};
}

static Truth3 truth_of(Logic *logic, SqlExpr *expr) {
  const Truth3 truth = understood(logic, expr);
  return truth.is_true ? truth : guess_truth(logic, expr);
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* Is the column's value among the user's gids of the group? The same question in another policy is
** the same unknown when the group has the same members. */
static const char *membership(Logic *logic, const Condition *condition) {
  const Meaning meaning = {.policy = logic->policy, .queried = true, .named = true};
  const int column = logic->table->atoms[condition->atom].column;
  const SqlColumn *of = &logic->table->base->columns[column];
  Text text = {0};
  text_addf(&text, "%s among the gids of (", of->name);
  meaning_select(&meaning, condition->group->select, &text);
  text_addc(&text, ')');
  const char *member =
      text.oom
          ? "false"
          : labelled(logic, UNKNOWN_MEMBER, text_get(&text),
                     logic_term(logic, "%s among the gids of %s", of->name, condition->group->name),
                     column, true);
  if (text.oom) fault_oom(logic->fault);
  text_finish(&text);
  const char *value = unknown(logic, UNKNOWN_COLUMN, of->name, column, false);
  return logic_term(logic, "(and %s (not (= %s null)))", member, value);
}

static const char *condition_term(Logic *logic, const Condition *condition) {
  if (!condition->group) return truth_of(logic, condition->expr).is_true;
  if (condition->atom < 0) return guess(logic, UNKNOWN_TRUTH, condition->group, condition->expr);
  const char *term = membership(logic, condition);
  for (int i = 0; i < condition->nrest; i++) {
    term = logic_term(logic, "(and %s %s)", term, truth_of(logic, condition->rest[i]).is_true);
  }
  return define(logic, "Bool", term);
}

const char *logic_rule(Logic *logic, const Rule *rule) {
  const char *when = condition_term(logic, &rule->when);
  if (!rule->has_unless) return when;
  return define(logic, "Bool",
                logic_term(logic, "(and %s (not %s))", when, condition_term(logic, &rule->unless)));
}

const char *logic_any(Logic *logic, const Rule *rules) {
  const char *any = "false";
  for (; rules; rules = rules->next) {
    any = define(logic, "Bool", logic_term(logic, "(or %s %s)", any, logic_rule(logic, rules)));
  }
  return any;
}

const char *logic_visible(Logic *logic) {
  const char *allowed = logic_any(logic, logic->table->rules[ACTION_ALLOW]);
  const char *denied = logic_any(logic, logic->table->rules[ACTION_DENY]);
  return define(logic, "Bool", logic_term(logic, "(and %s (not %s))", allowed, denied));
}

/* From the first rewrite to the last, which is innermost. */
static const char *shown_from(Logic *logic, int column, const Rule *rule, const char *raw) {
  for (; rule && rule->column != column;) rule = rule->next;
  if (!rule) return raw;
  const char *applies = logic_rule(logic, rule), *value = value_of(logic, rule->value).term;
  const char *rest = shown_from(logic, column, rule->next, raw);
  return define(logic, "V", logic_term(logic, "(ite %s %s %s)", applies, value, rest));
}

const char *logic_shown(Logic *logic, int column) {
  const char *raw =
      unknown(logic, UNKNOWN_COLUMN, logic->table->base->columns[column].name, column, false);
  return shown_from(logic, column, logic->table->rules[ACTION_REWRITE], raw);
}

void logic_use(Logic *logic, const Policy *policy, const TablePolicy *table) {
  logic->policy = policy;
  logic->table = table;
}

void logic_finish(Logic *logic) {
  free(logic->unknowns);
  free(logic->definitions);
  free(logic->strings);
  map_finish(&logic->known);
  arena_finish(&logic->arena);
}
