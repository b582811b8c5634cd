/*
** What a table's policy asks of a row in memory: see lens.h.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/lens.h"

typedef struct Grinder { /* a lens in the making */
  const Policy *policy;
  const TablePolicy *table;
  Meaning meaning;
  Arena *arena;
  Lens *lens;
  Text row, eye; /* SQL */
  bool writing;  /* of a row that is to be */
  bool oom;
} Grinder;

/* ---- what an expression depends on ----------------------------------------------------------- */

typedef struct Traits {
  const TablePolicy *table;
  bool columns, params, other;
  bool json; /* the value may have a subtype, which is not kept */
} Traits;

/* Depend on their arguments alone, whatever time it is and whatever a PRAGMA says. */
static const char *const pure[] = {
    "abs",          "char",      "coalesce",   "hex",        "ifnull",
    "iif",          "instr",     "json",       "json_array", "json_array_length",
    "json_extract", "json_type", "json_valid", "length",     "lower",
    "ltrim",        "max",       "min",        "nullif",     "printf",
    "quote",        "replace",   "round",      "rtrim",      "sign",
    "soundex",      "substr",    "substring",  "trim",       "typeof",
    "unicode",      "upper"};

static bool is_pure(const SqlExpr *expr) {
  if (expr->filter || expr->over || expr->is_aggregate || expr->star || expr->distinct)
    return false;
  for (size_t i = 0; i < countof(pure); i++) {
    if (!sqlite3_stricmp(pure[i], expr->name)) return true;
  }
  return false;
}

static SqlWalk note_expr(void *ctx, SqlExpr *expr) {
  Traits *traits = ctx;
  switch (expr->kind) {
  case SQL_EXPR_COLUMN:
    traits->columns = true;
    break;
  case SQL_EXPR_VARIABLE:
    traits->params = true;
    break;
  case SQL_EXPR_FUNCTION:
    traits->other |= !is_pure(expr);
    traits->json |= !sqlite3_strnicmp(expr->name, "json", 4);
    break;
  case SQL_EXPR_BINARY:
    traits->json |= expr->op == SQL_OP_PTR;
    break;
  case SQL_EXPR_IN_SELECT:
    if (!policy_listed(traits->table, expr)) break;
    traits->columns = traits->params = true;
    return SQL_WALK_SKIP;
  case SQL_EXPR_LIKE: /* PRAGMA case_sensitive_like, and functions of the host's */
  case SQL_EXPR_CURRENT:
  case SQL_EXPR_RAISE:
  case SQL_EXPR_IN_TABLE:
    traits->other = true;
    break;
  default:
    break;
  }
  return traits->other ? SQL_WALK_STOP : SQL_WALK_ON;
}

static SqlWalk note_select(void *ctx, SqlSelect *select) {
  (void)select;
  ((Traits *)ctx)->other = true;
  return SQL_WALK_STOP;
}

static Traits traits_of(const TablePolicy *table, SqlExpr *expr) {
  Traits traits = {.table = table};
  const SqlVisitor visitor = {.ctx = &traits, .expr = note_expr, .select = note_select};
  sql_walk_expr(expr, &visitor);
  return traits;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static const Node *unfit(Grinder *grinder, const char *why) {
  grinder->lens->unfit = why;
  return NULL;
}

static const Node *node(Grinder *grinder, Node model) {
  Node *made = arena_alloc(grinder->arena, sizeof *made);
  grinder->oom |= !made;
  if (made) *made = model;
  return made;
}

static const Node *join(Grinder *grinder, NodeKind kind, const Node *left, const Node *right) {
  return left && right ? node(grinder, (Node){.kind = kind, .left = left, .right = right}) : NULL;
}

/* Three-valued in one column: 0 for TRUE, 1 for FALSE, NULL. */
static void ask(Grinder *grinder, Text *sql, const SqlExpr *expr) {
  text_add(sql, ", NOT ");
  meaning_expr(&grinder->meaning, expr, sql);
}

static bool is_comparison(SqlOp op) {
  return (op >= SQL_OP_EQ && op <= SQL_OP_GE) || op == SQL_OP_IS || op == SQL_OP_IS_NOT;
}

static int param_number(const Policy *policy, const char *name) {
  for (int i = 0; i < policy->nparams; i++) {
    if (!strcmp(policy->params[i], name)) return i;
  }
  return -1;
}

/* A literal that no comparison with a column of this affinity converts. */
static bool read_literal(const SqlExpr *expr, SqlAffinity affinity, Datum *out) {
  const bool minus = expr->kind == SQL_EXPR_UNARY && expr->op == SQL_OP_NEG;
  const SqlExpr *literal = minus ? expr->args[0] : expr;
  *out = (Datum){.type = SQLITE_NULL};
  if (literal->kind == SQL_EXPR_INTEGER && affinity != SQL_AFFINITY_TEXT) {
    const size_t digits = strspn(literal->text, "0123456789");
    if (literal->text[digits] || digits > 18) return false;
    const long long integer = strtoll(literal->text, NULL, 10);
    *out = (Datum){.type = SQLITE_INTEGER, .as.integer = minus ? -integer : integer};
    return true;
  }
  if (minus) return false;
  if (literal->kind == SQL_EXPR_STRING && affinity < SQL_AFFINITY_NUMERIC) {
    out->type = SQLITE_TEXT;
    out->as.bytes = literal->text;
    out->length = (uint32_t)literal->text_length;
    return true;
  }
  return literal->kind == SQL_EXPR_NULL;
}

static bool note_asked(Grinder *grinder, int column, Asked asked) {
  if (!grinder->writing) return true;
  uint8_t *noted = &grinder->lens->asked[column < 0 ? 0 : column];
  if (*noted < asked) *noted = (uint8_t)asked;
  return column >= 0 || unfit(grinder, "a rule asks for the rowid of a row to be") != NULL;
}

/* author <> :uid; op: as with the column on its left side */
static const Node *compare_with(Grinder *grinder, const SqlExpr *column, SqlOp op,
                                const SqlExpr *other) {
  Lens *lens = grinder->lens;
  const bool param = other && other->kind == SQL_EXPR_VARIABLE;
  Operand operand = {
      .param = -1, .literal = {.type = SQLITE_NULL}, .affinity = SQL_AFFINITY_INTEGER};
  if (column->column >= 0) {
    const SqlColumn *own = &grinder->table->base->columns[column->column];
    operand.affinity = sql_type_affinity(own->type);
    if (own->collation) return unfit(grinder, "a rule compares under a collation");
  }
  if (param) {
    operand.param = param_number(grinder->policy, other->text + 1);
    if (operand.param < 0) {
      return unfit(grinder, "a rule asks for :gid otherwise than by column = :gid");
    }
  } else if (other && !read_literal(other, operand.affinity, &operand.literal)) {
    return unfit(grinder, "a rule compares a column with what is to be computed");
  }
  if (!note_asked(grinder, column->column, ASKED_VALUE)) return NULL;
  if (!array_grow(lens->operands, lens->operands_capacity, lens->noperands + 1)) {
    grinder->oom = true;
    return NULL;
  }
  lens->operands[lens->noperands] = operand;
  return node(
      grinder,
      (Node){.kind = NODE_COMPARE, .op = op, .a = column->column, .b = (int)lens->noperands++});
}

static bool is_own(const Grinder *grinder, const SqlExpr *expr) {
  return expr->kind == SQL_EXPR_COLUMN && expr->bound == grinder->table->source && !expr->alias_of;
}

static const Node *comparison(Grinder *grinder, const SqlExpr *expr) {
  const bool first = expr->args[0]->kind == SQL_EXPR_COLUMN;
  const SqlExpr *column = expr->args[!first], *other = expr->args[first];
  if (!is_own(grinder, column) || (!grinder->writing && other->kind != SQL_EXPR_VARIABLE)) {
    return unfit(grinder, "a rule mixes columns and the context otherwise than by comparing them");
  }
  return compare_with(grinder, column, first ? expr->op : sql_op_mirrored(expr->op), other);
}

/* What depends on a row alone that SQLite has not read: private, seen NOTNULL. */
static const Node *grind_alone(Grinder *grinder, const SqlExpr *expr) {
  if (expr->kind == SQL_EXPR_IS_NULL && is_own(grinder, expr->args[0])) {
    return compare_with(grinder, expr->args[0], expr->negated ? SQL_OP_IS_NOT : SQL_OP_IS, NULL);
  }
  if (!is_own(grinder, expr)) return unfit(grinder, "a rule computes something of the row");
  if (!note_asked(grinder, expr->column, ASKED_TRUTH)) return NULL;
  return node(grinder, (Node){.kind = NODE_TRUTH, .a = expr->column});
}

static const Node *grind_atom(Grinder *grinder, int atom) {
  if (!note_asked(grinder, grinder->table->atoms[atom].column, ASKED_VALUE)) return NULL;
  return node(grinder, (Node){.kind = NODE_ATOM, .a = atom});
}

static const Node *negate(Grinder *grinder, const Node *inner) {
  return inner ? node(grinder, (Node){.kind = NODE_NOT, .left = inner}) : NULL;
}

static const Node *grind(Grinder *grinder, SqlExpr *expr) {
  const Traits traits = traits_of(grinder->table, expr);
  if (traits.other) {
    return unfit(grinder, "a rule has a sub-select, LIKE, or a function that is not SQLite's own");
  }
  if (!traits.columns) {
    ask(grinder, &grinder->eye, expr);
    return node(grinder, (Node){.kind = NODE_CONTEXT, .a = grinder->lens->ncontexts++});
  }
  if (!traits.params && !grinder->writing) {
    ask(grinder, &grinder->row, expr);
    return node(grinder, (Node){.kind = NODE_FLAG, .a = grinder->lens->nflags++});
  }
  if (expr->kind == SQL_EXPR_UNARY && expr->op == SQL_OP_NOT) {
    return negate(grinder, grind(grinder, expr->args[0]));
  }
  if (expr->kind == SQL_EXPR_BINARY && (expr->op == SQL_OP_AND || expr->op == SQL_OP_OR)) {
    const Node *left = grind(grinder, expr->args[0]);
    const Node *right = left ? grind(grinder, expr->args[1]) : NULL;
    return join(grinder, expr->op == SQL_OP_AND ? NODE_AND : NODE_OR, left, right);
  }
  if (expr->kind == SQL_EXPR_IN_SELECT) {
    const Atom *atom = policy_listed(grinder->table, expr);
    const Node *listed = grind_atom(grinder, (int)(atom - grinder->table->atoms));
    return expr->negated ? negate(grinder, listed) : listed;
  }
  if (expr->kind == SQL_EXPR_BINARY && is_comparison(expr->op)) return comparison(grinder, expr);
  if (grinder->writing && !traits.params) return grind_alone(grinder, expr);
  return unfit(grinder, "a rule mixes columns and the context otherwise than by comparing them");
}

/* ---- rules ----------------------------------------------------------------------------------- */

static const Node *grind_condition(Grinder *grinder, const Condition *condition) {
  if (!condition->group) return grind(grinder, condition->expr);
  if (condition->atom < 0) return unfit(grinder, "a rule of a group is not column = :gid AND …");
  const Node *all = grind_atom(grinder, condition->atom);
  for (int i = 0; all && i < condition->nrest; i++) {
    const Node *part = grind(grinder, condition->rest[i]);
    all = join(grinder, NODE_AND, all, part);
  }
  return all;
}

static const Node *grind_rule(Grinder *grinder, const Rule *rule) {
  const Node *when = grind_condition(grinder, &rule->when);
  if (!when || !rule->has_unless) return when;
  return join(grinder, NODE_UNLESS, when, grind_condition(grinder, &rule->unless));
}

static const Node *grind_any(Grinder *grinder, Action action) {
  const Node *any = NULL;
  for (const Rule *rule = grinder->table->rules[action]; rule; rule = rule->next) {
    const Node *each = grind_rule(grinder, rule);
    any = any && each ? join(grinder, NODE_OR, any, each) : each;
    if (!any) return NULL;
  }
  return any ? any : node(grinder, (Node){.kind = NODE_FALSE});
}

static bool grind_rewrite(Grinder *grinder, const Rule *rule, Text *cells) {
  Lens *lens = grinder->lens;
  const Traits traits = traits_of(grinder->table, rule->value);
  Rewrite *rewrite = &lens->rewrites[lens->nrewrites++];
  *rewrite = (Rewrite){.column = rule->column, .cell = -1};
  rewrite->applies = grind_rule(grinder, rule);
  if (!rewrite->applies) return false;
  if (traits.other || traits.json || (traits.columns && traits.params)) {
    return unfit(grinder,
                 "the value of a rewrite is JSON, or neither the row's nor the context's") != NULL;
  }
  if (traits.columns) {
    rewrite->cell = lens->ncells++;
    text_add(cells, ", ");
    meaning_replacement(&grinder->meaning, rule, cells);
  } else {
    rewrite->shown = lens->nshown++;
  }
  return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool grind_visible(Grinder *grinder) {
  const Node *allowed = grind_any(grinder, ACTION_ALLOW);
  const Node *denied = allowed ? grind_any(grinder, ACTION_DENY) : NULL;
  grinder->lens->visible =
      denied && denied->kind == NODE_FALSE ? allowed : join(grinder, NODE_UNLESS, allowed, denied);
  return grinder->lens->visible != NULL;
}

static bool grind_all(Grinder *grinder, Text *cells) {
  Lens *lens = grinder->lens;
  if (!grind_visible(grinder)) return false;
  int n = 0;
  for (const Rule *rule = grinder->table->rules[ACTION_REWRITE]; rule; rule = rule->next) n++;
  lens->rewrites = arena_array(grinder->arena, (size_t)n + 1, sizeof *lens->rewrites);
  if (!lens->rewrites) return !(grinder->oom = true);
  for (const Rule *rule = grinder->table->rules[ACTION_REWRITE]; rule; rule = rule->next) {
    if (!grind_rewrite(grinder, rule, cells)) return false;
  }
  return true;
}

static char *keep(Grinder *grinder, const Text *text) {
  char *copy = text->oom ? NULL : arena_strdup(grinder->arena, text_get(text));
  grinder->oom |= !copy;
  return copy;
}

static void append(Text *out, const Text *part) {
  out->oom |= part->oom;
  if (!part->oom && part->length) text_add(out, text_get(part));
}

static void write_row_sql(Grinder *grinder, const Text *cells) {
  const BaseTable *base = grinder->table->base;
  Text sql = {0};
  text_add(&sql, "SELECT ");
  meaning_raw(grinder->table, -1, &sql);
  for (int i = 0; i < base->ncolumns; i++) {
    text_add(&sql, ", ");
    meaning_raw(grinder->table, i, &sql);
  }
  append(&sql, cells);
  append(&sql, &grinder->row);
  meaning_from(grinder->table, &sql);
  grinder->lens->row_sql = keep(grinder, &sql);
  text_finish(&sql);
}

/* The contexts were asked with a comma before each. */
static void write_eye_sql(Grinder *grinder) {
  Text sql = {0};
  const Rule *rule = grinder->writing ? NULL : grinder->table->rules[ACTION_REWRITE];
  text_add(&sql, "SELECT 0");
  append(&sql, &grinder->eye);
  for (; rule; rule = rule->next) {
    if (traits_of(grinder->table, rule->value).columns) continue;
    text_add(&sql, ", ");
    meaning_replacement(&grinder->meaning, rule, &sql);
  }
  grinder->lens->eye_sql = keep(grinder, &sql);
  text_finish(&sql);
}

bool lens_make(const Policy *policy, const TablePolicy *table, Arena *arena, Lens *out) {
  Grinder grinder = {.policy = policy, .table = table, .arena = arena, .lens = out};
  Text cells = {0};
  grinder.meaning = (Meaning){.policy = policy, .table = table};
  *out = (Lens){.ncells = table->base->ncolumns};
  if (!table->base->rowid) {
    out->unfit = "it is WITHOUT ROWID";
    return true;
  }
  if (grind_all(&grinder, &cells)) {
    write_row_sql(&grinder, &cells);
    if (out->ncontexts + out->nshown) write_eye_sql(&grinder);
  }
  text_finish(&cells);
  text_finish(&grinder.row);
  text_finish(&grinder.eye);
  return !grinder.oom;
}

static bool grind_action(Grinder *grinder, Action action) {
  Lens *lens = grinder->lens;
  int n = 0;
  for (const Rule *rule = grinder->table->rules[action]; rule; rule = rule->next) n++;
  lens->rules = arena_array(grinder->arena, (size_t)n + 1, sizeof *lens->rules);
  lens->asked = arena_array(grinder->arena, (size_t)grinder->table->base->ncolumns + 1, 1);
  if (!lens->rules || !lens->asked) return !(grinder->oom = true);
  n = 0;
  for (const Rule *rule = grinder->table->rules[action]; rule; rule = rule->next, n++) {
    lens->rules[n] = grind_rule(grinder, rule);
    if (!lens->rules[n]) return false;
  }
  return grind_visible(grinder);
}

bool lens_make_for_writing(const Policy *policy, const TablePolicy *table, Action action,
                           Arena *arena, Lens *out) {
  Grinder grinder = {
      .policy = policy, .table = table, .arena = arena, .lens = out, .writing = true};
  grinder.meaning = (Meaning){.policy = policy, .table = table};
  *out = (Lens){0};
  if (grind_action(&grinder, action) && out->ncontexts) write_eye_sql(&grinder);
  text_finish(&grinder.eye);
  return !grinder.oom;
}

void lens_finish(Lens *lens) {
  free(lens->operands);
  *lens = (Lens){0};
}
