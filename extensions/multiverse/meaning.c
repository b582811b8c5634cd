/*
** What a policy means for a table, as SQL: once in plain words, with the context's values written
** out and memberships as sub-selects; and for the engine, with numbered parameters, memberships
** looked up in sets, and what is known already left out. The base row is called multiverse_row, a
** row of a group's members multiverse_member.
*/
#include <string.h>

#include "extensions/multiverse/multiverse.h"

typedef struct Pen { /* one Text that is written */
  const Meaning *meaning;
  Text *out;
  bool in_member; /* :gid is a column of multiverse_member */
} Pen;

static int param_number(const Policy *policy, const char *name) {
  for (int i = 0; i < policy->nparams; i++) {
    if (!strcmp(policy->params[i], name)) return i;
  }
  return -1;
}

static int set_number(const Policy *policy, int set) { return 1 + policy->nparams + set; }

/* ---- expressions ----------------------------------------------------------------------------- */

static void write_blob(Text *out, sqlite3_value *value) {
  const unsigned char *bytes = sqlite3_value_blob(value);
  const int n = sqlite3_value_bytes(value);
  text_add(out, "x'");
  for (int i = 0; bytes && i < n; i++) text_addf(out, "%02x", bytes[i]);
  text_addc(out, '\'');
}

void meaning_value(sqlite3_value *value, Text *out) {
  switch (value ? sqlite3_value_type(value) : SQLITE_NULL) {
  case SQLITE_INTEGER:
    if (sqlite3_value_int64(value) == INT64_MIN) {
      text_add(out, "(-9223372036854775807-1)");
    } else {
      text_addf(out, "%lld", (long long)sqlite3_value_int64(value));
    }
    break;
  case SQLITE_FLOAT:
    text_add_real(out, sqlite3_value_double(value));
    break;
  case SQLITE_TEXT:
    text_add_string(out, (const char *)sqlite3_value_text(value),
                    (size_t)sqlite3_value_bytes(value));
    break;
  case SQLITE_BLOB:
    write_blob(out, value);
    break;
  default:
    text_add(out, "NULL");
  }
}

/* Letters, digits and _ alone: what may follow a colon. */
static bool is_word(const char *name) {
  const size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
  return n > 0 && !name[n];
}

static void write_param(const Pen *pen, const char *name) {
  const Meaning *meaning = pen->meaning;
  if (meaning->context) {
    meaning_value(context_value(meaning->context, name), pen->out);
  } else if (meaning->named && is_word(name)) {
    text_addf(pen->out, ":%s", name);
  } else {
    text_addf(pen->out, "?%d", 1 + param_number(meaning->policy, name));
  }
}

void meaning_raw(const TablePolicy *table, int column, Text *out) {
  text_add(out, "multiverse_row.");
  text_add_name(out, column < 0 ? table->base->rowid : table->base->columns[column].name);
}

static SqlWalk find_unknown(void *ctx, SqlExpr *expr) {
  Pen *pen = ctx;
  if (expr->kind != SQL_EXPR_VARIABLE || !strcmp(expr->text, ":gid")) return SQL_WALK_ON;
  const int param = param_number(pen->meaning->policy, expr->text + 1);
  return param >= 0 && pen->meaning->unknown[param] ? SQL_WALK_STOP : SQL_WALK_ON;
}

/* A condition whose value depends on what is not known, by more than AND, OR and NOT. */
static bool is_unknown(Pen *pen, const SqlExpr *expr) {
  const SqlVisitor visitor = {.ctx = pen, .expr = find_unknown};
  if (!pen->meaning->unknown) return false;
  if (expr->kind == SQL_EXPR_BINARY && (expr->op == SQL_OP_AND || expr->op == SQL_OP_OR)) {
    return false;
  }
  if (expr->kind == SQL_EXPR_UNARY && expr->op == SQL_OP_NOT) return false;
  return !sql_walk_expr((SqlExpr *)expr, &visitor);
}

static bool write_list(const Pen *pen, const SqlExpr *expr) {
  const Meaning *meaning = pen->meaning;
  const Atom *atom = meaning->of_one ? policy_listed(meaning->table, expr) : NULL;
  if (!atom) return false;
  text_addf(pen->out, "(%smultiverse_member(?%d, ", expr->negated ? "NOT " : "",
            set_number(meaning->policy, atom->set));
  meaning_raw(meaning->table, atom->column, pen->out);
  text_add(pen->out, "))");
  return true;
}

static bool write_special(void *ctx, Text *out, const SqlExpr *expr) {
  Pen *pen = ctx;
  if (expr->kind == SQL_EXPR_IN_SELECT && write_list(pen, expr)) return true;
  if (is_unknown(pen, expr)) {
    text_add(out, "NULL");
    return true;
  }
  if (expr->kind == SQL_EXPR_VARIABLE) {
    if (strcmp(expr->text, ":gid")) {
      write_param(pen, expr->text + 1);
    } else {
      text_add(out, "multiverse_member.gid");
    }
    return true;
  }
  if (expr->kind != SQL_EXPR_COLUMN) return false;
  if (expr->bound && pen->meaning->table && expr->bound == pen->meaning->table->source) {
    meaning_raw(pen->meaning->table, expr->column, out);
    return true;
  }
  if (expr->bound || expr->alias_of || !expr->quoted) return false;
  text_add_string(out, expr->name, strlen(expr->name)); /* no such column: a string */
  return true;
}

/* Tables of a policy are the base tables, whatever TEMP has of the same name. */
static bool write_base(void *ctx, Text *out, const SqlSource *source) {
  (void)ctx;
  if (source->kind != SQL_SOURCE_TABLE || source->cte) return false;
  text_add(out, "main.");
  text_add_name(out, source->name);
  if (source->alias) {
    text_add(out, " AS ");
    text_add_name(out, source->alias);
  }
  if (source->indexed_by) {
    text_add(out, " INDEXED BY ");
    text_add_name(out, source->indexed_by);
  }
  if (source->not_indexed) text_add(out, " NOT INDEXED");
  return true;
}

static SqlPrinter printer_of(Pen *pen) {
  return (SqlPrinter){.out = pen->out, .ctx = pen, .expr = write_special, .source = write_base};
}

static void write_expr(Pen *pen, const SqlExpr *expr) {
  const SqlPrinter printer = printer_of(pen);
  text_addc(pen->out, '(');
  sql_print_expr(&printer, expr);
  text_addc(pen->out, ')');
}

void meaning_expr(const Meaning *meaning, const SqlExpr *expr, Text *out) {
  Pen pen = {.meaning = meaning, .out = out};
  write_expr(&pen, expr);
}

void meaning_select(const Meaning *meaning, const SqlSelect *select, Text *out) {
  Pen pen = {.meaning = meaning, .out = out};
  const SqlPrinter printer = printer_of(&pen);
  sql_print_select(&printer, select);
}

/* FROM the row, and all members of the group. */
static void write_from_all(const Meaning *meaning, const Group *group, Text *out) {
  meaning_from(meaning->table, out);
  if (!group) return;
  text_add(out, ", (");
  meaning_select(meaning, group->select, out);
  text_add(out, ") AS multiverse_member");
}

void meaning_values(const Meaning *meaning, const Group *group, const SqlExpr *expr, Text *out) {
  text_add(out, "SELECT DISTINCT ");
  meaning_expr(meaning, expr, out);
  write_from_all(meaning, group, out);
}

void meaning_keys(const Meaning *meaning, const Group *group, const char *key, Text *out) {
  text_add(out, "SELECT DISTINCT multiverse_member.");
  text_add_name(out, key);
  write_from_all(meaning, group, out);
}

void meaning_members(const Policy *policy, int set, Text *out) {
  const Meaning meaning = {.policy = policy};
  Pen pen = {.meaning = &meaning, .out = out};
  const SqlPrinter printer = printer_of(&pen);
  if (set >= policy->ngroups) {
    sql_print_select(&printer, policy->lists[set - policy->ngroups]->select);
    return;
  }
  const Group *group = &policy->groups[set];
  text_add(out, "SELECT multiverse_member.gid FROM (");
  sql_print_select(&printer, group->select);
  text_add(out, ") AS multiverse_member WHERE ");
  for (int i = 0; i < group->nkeys; i++) {
    text_add(out, i ? " AND multiverse_member." : "multiverse_member.");
    text_add_name(out, group->keys[i]);
    text_addf(out, " = ?%d", 1 + group->params[i]);
  }
}

/* ---- conditions ------------------------------------------------------------------------------ */

static void write_exists(Pen *pen, const Condition *condition) {
  const Group *group = condition->group;
  const SqlPrinter printer = printer_of(pen);
  text_add(pen->out, "EXISTS (SELECT 1 FROM (");
  sql_print_select(&printer, group->select);
  text_add(pen->out, ") AS multiverse_member WHERE ");
  for (int i = 0; i < group->nkeys; i++) {
    text_add(pen->out, "multiverse_member.");
    text_add_name(pen->out, group->keys[i]);
    text_add(pen->out, " = ");
    write_param(pen, group->keys[i]);
    text_add(pen->out, " AND ");
  }
  write_expr(pen, condition->expr);
  text_addc(pen->out, ')');
}

static Truth write_atom(Pen *pen, const Condition *condition) {
  const Meaning *meaning = pen->meaning;
  const int known = meaning->truths ? meaning->truths[condition->atom] : -1;
  if (known == 0) return TRUTH_FALSE;
  if (known == 1 && !condition->nrest) return TRUTH_TRUE;
  const char *and = "";
  text_addc(pen->out, '(');
  if (known < 0) {
    const Atom *atom = &meaning->table->atoms[condition->atom];
    text_addf(pen->out, "multiverse_member(?%d, ", set_number(meaning->policy, atom->set));
    meaning_raw(meaning->table, atom->column, pen->out);
    text_addc(pen->out, ')');
    and = " AND ";
  }
  for (int i = 0; i < condition->nrest; i++) {
    text_add(pen->out, and);
    write_expr(pen, condition->rest[i]);
    and = " AND ";
  }
  text_addc(pen->out, ')');
  return TRUTH_TEXT;
}

static Truth write_condition(Pen *pen, const Condition *condition) {
  if (condition->group && !pen->meaning->context && !pen->meaning->queried &&
      condition->atom >= 0) {
    return write_atom(pen, condition);
  }
  if (condition->group) {
    write_exists(pen, condition);
  } else {
    write_expr(pen, condition->expr);
  }
  return TRUTH_TEXT;
}

/* FROM (SELECT …) AS multiverse_member: those of the user. */
static void write_memberships(Pen *pen, const Group *group) {
  const SqlPrinter printer = printer_of(pen);
  const char *where = " WHERE multiverse_member.";
  text_add(pen->out, "(SELECT * FROM (");
  sql_print_select(&printer, group->select);
  text_add(pen->out, ") AS multiverse_member");
  for (int i = 0; i < group->nkeys; i++) {
    text_add(pen->out, where);
    text_add_name(pen->out, group->keys[i]);
    text_add(pen->out, " = ");
    write_param(pen, group->keys[i]);
    where = " AND multiverse_member.";
  }
  text_add(pen->out, ") AS multiverse_member");
}

void meaning_verdict(const Meaning *meaning, const Condition *condition, Text *out) {
  Pen pen = {.meaning = meaning, .out = out};
  const Group *group = condition->group;
  text_add(out, "SELECT CASE WHEN ");
  write_expr(&pen, condition->expr);
  text_add(out, " THEN 1 WHEN NOT ");
  write_expr(&pen, condition->expr);
  text_add(out, " THEN 0 END AS multiverse_verdict");
  if (group) {
    text_add(out, ", multiverse_member.gid AS multiverse_gid, 'gid = ' || "
                  "quote(multiverse_member.gid)");
  }
  for (int i = 0; group && i < group->nkeys; i++) {
    text_add(out, " || ', ' || ");
    text_add_string(out, group->keys[i], strlen(group->keys[i]));
    text_add(out, " || ' = ' || quote(multiverse_member.");
    text_add_name(out, group->keys[i]);
    text_addc(out, ')');
  }
  meaning_from(meaning->table, out);
  if (!group) return;
  text_add(out, ", ");
  write_memberships(&pen, group);
}

/* When the rule applies: `when`, but not `unless`. */
static Truth write_rule(Pen *pen, const Rule *rule) {
  if (!rule->has_unless) return write_condition(pen, &rule->when);
  Text *out = pen->out;
  const size_t start = out->length;
  text_addc(out, '(');
  const Truth when = write_condition(pen, &rule->when);
  const size_t after = out->length;
  if (when == TRUTH_TEXT) text_add(out, " AND ");
  const Truth unless = when == TRUTH_FALSE ? TRUTH_FALSE : write_condition(pen, &rule->unless);
  if (unless == TRUTH_TEXT) {
    text_add(out, " IS NOT TRUE)");
    return TRUTH_TEXT;
  }
  text_cut(out, after);
  text_addc(out, ')');
  const Truth truth = unless == TRUTH_TRUE ? TRUTH_FALSE : when;
  if (truth != TRUTH_TEXT) text_cut(out, start);
  return truth;
}

static bool is_of_other_part(const Meaning *meaning, const Rule *rule) {
  return meaning->part != PART_ALL && rule->action == ACTION_ALLOW &&
         nature_part(meaning, rule) != meaning->part;
}

/* Any of the rules from here on, of `column` alone when it is not negative. Where none of them can
** fail, what most rows meet is asked first. */
static Truth write_any(Pen *pen, const Rule *first, int column) {
  const size_t start = pen->out->length;
  const Meaning *meaning = pen->meaning;
  const bool sorted = column < 0 && meaning->truths && nature_are_calm(meaning->table, first);
  const char * or = "(";
  for (int pass = 0; pass <= sorted; pass++) {
    for (const Rule *rule = first; rule; rule = rule->next) {
      if (column >= 0 && rule->column != column) continue;
      if (sorted && nature_is_broad(meaning, rule) == (pass > 0)) continue;
      if (is_of_other_part(meaning, rule)) continue;
      const size_t before = pen->out->length;
      text_add(pen->out, or);
      const Truth truth = write_rule(pen, rule);
      if (truth == TRUTH_TEXT) {
        or = " OR ";
        continue;
      }
      text_cut(pen->out, before);
      if (truth == TRUTH_FALSE) continue;
      text_cut(pen->out, start);
      return TRUTH_TRUE;
    }
  }
  if (* or == '(') return TRUTH_FALSE;
  text_addc(pen->out, ')');
  return TRUTH_TEXT;
}

Truth meaning_visible(const Meaning *meaning, Text *out) {
  Pen pen = {.meaning = meaning, .out = out};
  const size_t start = out->length;
  text_addc(out, '(');
  const Truth allowed = write_any(&pen, meaning->table->rules[ACTION_ALLOW], -1);
  Truth visible = allowed;
  if (allowed != TRUTH_FALSE) {
    if (allowed == TRUTH_TEXT) text_add(out, " AND ");
    const size_t before = out->length;
    const Truth denied = write_any(&pen, meaning->table->rules[ACTION_DENY], -1);
    if (denied == TRUTH_TRUE) visible = TRUTH_FALSE;
    if (denied == TRUTH_TEXT) {
      text_add(out, " IS NOT TRUE");
      visible = TRUTH_TEXT;
    } else if (allowed == TRUTH_TEXT) {
      text_cut(out, before - strlen(" AND "));
    }
  }
  text_addc(out, ')');
  if (visible != TRUTH_TEXT) text_cut(out, start);
  return visible;
}

Truth meaning_rule(const Meaning *meaning, const Rule *rule, Text *out) {
  Pen pen = {.meaning = meaning, .out = out};
  return write_rule(&pen, rule);
}

Truth meaning_rewritten(const Meaning *meaning, int column, Text *out) {
  Pen pen = {.meaning = meaning, .out = out};
  return write_any(&pen, meaning->table->rules[ACTION_REWRITE], column);
}

/* ---- columns --------------------------------------------------------------------------------- */

/* What an UPDATE would have stored in a column of text. */
static void write_replacement(Pen *pen, const Rule *rule) {
  const SqlColumn *column = &pen->meaning->table->base->columns[rule->column];
  const bool number = rule->value->kind == SQL_EXPR_INTEGER || rule->value->kind == SQL_EXPR_REAL ||
                      (rule->value->kind == SQL_EXPR_UNARY && rule->value->op == SQL_OP_NEG);
  const bool cast = number && sql_type_affinity(column->type) == SQL_AFFINITY_TEXT;
  if (cast) text_add(pen->out, "CAST(");
  write_expr(pen, rule->value);
  if (cast) text_add(pen->out, " AS TEXT)");
}

void meaning_replacement(const Meaning *meaning, const Rule *rule, Text *out) {
  Pen pen = {.meaning = meaning, .out = out};
  write_replacement(&pen, rule);
}

void meaning_column(const Meaning *meaning, int column, Text *out) {
  Pen pen = {.meaning = meaning, .out = out};
  bool open = false;
  const Rule *rule = column < 0 || !meaning->table->rewritten[column]
                         ? NULL
                         : meaning->table->rules[ACTION_REWRITE];
  for (; rule; rule = rule->next) {
    if (rule->column != column) continue;
    const size_t before = out->length;
    text_add(out, open ? " WHEN " : "CASE WHEN ");
    const Truth truth = write_rule(&pen, rule);
    if (truth == TRUTH_TEXT) {
      text_add(out, " THEN ");
      write_replacement(&pen, rule);
      open = true;
      continue;
    }
    text_cut(out, before);
    if (truth == TRUTH_FALSE) continue;
    if (open) text_add(out, " ELSE ");
    write_replacement(&pen, rule);
    if (open) text_add(out, " END");
    return;
  }
  if (open) text_add(out, " ELSE ");
  meaning_raw(meaning->table, column, out);
  if (open) text_add(out, " END");
}

void meaning_from(const TablePolicy *table, Text *out) {
  text_add(out, " FROM main.");
  text_add_name(out, table->base->name);
  text_add(out, " AS multiverse_row");
}

void meaning_sql(const Policy *policy, const TablePolicy *table, const Context *context,
                 Text *out) {
  const Meaning meaning = {.policy = policy, .table = table, .context = context};
  for (int i = 0; i < table->base->ncolumns; i++) {
    text_add(out, i ? ", " : "SELECT ");
    meaning_column(&meaning, i, out);
    text_add(out, " AS ");
    text_add_name(out, table->base->columns[i].name);
  }
  meaning_from(table, out);
  text_add(out, " WHERE ");
  if (meaning_visible(&meaning, out) == TRUTH_FALSE) text_add(out, "0");
}
