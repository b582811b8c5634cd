/*
** Rules: requirements and goals out of the rows of a view. See compile.h.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/block.h"

/* ---- loading -------------------------------------------------------------------------------- */

bool rule_add(Compiler *compiler, const Rule *rule) {
  if (!array_grow(compiler->rules, compiler->rules_capacity, compiler->nrules + 1)) {
    return fault_oom(compiler->fault);
  }
  compiler->rules[compiler->nrules++] = *rule;
  return true;
}

static int find_result(const SqlSelect *select, const Table *view, const char *name) {
  int width = sql_width(select);
  for (int i = 0; i < width; i++) {
    const char *column = view ? view->columns[i].name : sql_result(select, i)->name;
    if (column && !strcasecmp(column, name)) return i;
  }
  return -1;
}

static bool load_view_rule(Compiler *compiler, const RuleClause *clause) {
  Table *view = catalog_own(compiler, NULL, clause->name);
  if (!view || !view->is_view) {
    if (compiler->fault->code) return false;
    return fault_set(compiler->fault, view ? FAULT_INVALID : FAULT_NOTFOUND,
                     view ? "rule %s is a table, expected a view" : "no such view: %s",
                     clause->name);
  }
  if (!catalog_view_select(compiler, view)) return false;
  Rule rule = {.name = view->name,
               .view = view,
               .select = view->select,
               .text = view->sql,
               .level = clause->level ? clause->level : 1};
  rule.must = find_result(rule.select, view, "must");
  rule.maximize = find_result(rule.select, view, "maximize");
  rule.minimize = find_result(rule.select, view, "minimize");
  if (rule.must < 0 && rule.maximize < 0 && rule.minimize < 0) {
    return fault_set(compiler->fault, FAULT_INVALID,
                     "view %s has no column named must, maximize or minimize; leave it out of "
                     "RULES if other rules only use it",
                     view->name);
  }
  if (rule.must >= 0 && rule.maximize < 0 && rule.minimize < 0 && clause->level) {
    return fault_set(compiler->fault, FAULT_INVALID,
                     "rule %s has priority %d, but only a goal (maximize, minimize) has one",
                     view->name, clause->level);
  }
  return rule_add(compiler, &rule);
}

bool rule_load(Compiler *compiler) {
  for (size_t i = 0; i < compiler->declaration->nrules; i++) {
    if (!load_view_rule(compiler, &compiler->declaration->rules[i])) return false;
  }
  return domain_constraints(compiler);
}

/* ---- origins -------------------------------------------------------------------------------- */

typedef struct Posting {
  Compiler *compiler;
  size_t rule;
  SqlExpr **parts; /* the conjuncts of a must */
  int nparts;
  double sign; /* goals: +1 maximize, -1 minimize */
  Lin *goal;
  Pairs *pairs;
  const char **names; /* of the key columns, in the order of the outputs */
  int nkeys;
  Map told; /* origins by what they say: rows that read the same share one */
} Posting;

typedef struct DetailContext {
  const Row *row;
  Compiler *compiler;
} DetailContext;

static bool is_decision(const SqlExpr *column) {
  const SqlSource *source = column->bound;
  if (!source || source->kind != SQL_SOURCE_TABLE || source->cte || column->column < 0) {
    return false;
  }
  const Table *table = source->object;
  return table && table->decisions && table->decisions[column->column];
}

/* A column of the data is shown as its value in this row. Decisions keep their names, and so does
** what an aggregate reads, for that is many rows' values. */
static bool detail_expr(void *ctx, Text *out, const SqlExpr *expr) {
  const DetailContext *detail = ctx;
  const Block *block = detail->row->block;
  if (expr->kind == SQL_EXPR_FUNCTION && expr->is_aggregate) {
    SqlPrinter plain = {.out = out};
    sql_print_expr(&plain, expr);
    return true;
  }
  if (expr->kind != SQL_EXPR_COLUMN || is_decision(expr)) return false;
  for (int i = 0; i < block->nleaves; i++) {
    if (!sql_expr_equal(block->leaves[i], expr)) continue;
    value_add_sql(out, block_leaf(block, detail->row->tuple, i));
    return true;
  }
  return false;
}

static bool describe(Posting *posting, const Row *row, const SqlExpr *part, Origin *origin) {
  Compiler *compiler = posting->compiler;
  Text key = {0}, detail = {0};
  text_addc(&key, '{');
  for (int i = 0; i < posting->nkeys; i++) {
    if (i) text_addc(&key, ',');
    text_add_json(&key, posting->names[i], strlen(posting->names[i]));
    text_addc(&key, ':');
    if (row->outputs[i].kind == SYM_CONST) {
      value_add_json(&key, &row->outputs[i].value);
    } else {
      text_add(&key, "null");
    }
  }
  text_addc(&key, '}');
  DetailContext context = {row, compiler};
  SqlPrinter printer = {.out = &detail, .ctx = &context, .expr = detail_expr};
  sql_print_expr(&printer, part);
  origin->key = compile_text(compiler, &key);
  origin->detail = compile_text(compiler, &detail);
  return origin->key && origin->detail;
}

/* The tag for what this row requires: its rule, or its origin when rows are told apart. One row of
** the view comes here once per candidate that breaks it. */
static int tag_of(Posting *posting, const Row *row, const SqlExpr *part) {
  Compiler *compiler = posting->compiler;
  Origin origin = {.rule = (int)posting->rule};
  bool added = false;
  if (!compiler->record_origins) return (int)posting->rule;
  if (!describe(posting, row, part, &origin)) return 0;
  const char *says = arena_printf(&compiler->arena, "%s %s", origin.key, origin.detail);
  int64_t *tag = NULL;
  if (says) {
    tag = map_put(&posting->told, says, strlen(says), (int64_t)compiler->norigins, &added);
  }
  if (!tag || !array_grow(compiler->origins, compiler->origins_capacity, compiler->norigins + 1)) {
    fault_oom(compiler->fault);
    return 0;
  }
  if (added) compiler->origins[compiler->norigins++] = origin;
  return (int)*tag;
}

/* ---- must ----------------------------------------------------------------------------------- */

/* "When the row is there, `no` is false", for each of the rows that a guard stands for. */
static void require_not(Posting *posting, const Row *row, Lit no, bool no_when_empty, int tag) {
  Compiler *compiler = posting->compiler;
  Var tally = row->guard && no == LIT_TRUE ? guard_tally(compiler, row->guard) : VAR_ONE;
  if (tally != VAR_ONE) {
    model_require_at_most(compiler->model, tally, 0, tag);
    return;
  }
  if (row->guard) {
    for (uint32_t i = 0; i < guard_copies(row->guard); i++) {
      Lit clause[2] = {lit_not(guard_literal(compiler, row->guard, i)), lit_not(no)};
      if (clause[0] == LIT_FALSE) {
        model_require_lit(compiler->model, clause[1], tag);
      } else {
        model_require_clause(compiler->model, clause, 2, tag);
      }
    }
    return;
  }
  /* A group: that it exists, that HAVING holds, and then not `no`. */
  Lit clause[3];
  size_t n = 0;
  if (no_when_empty && !row->group->always) {
    clause[n++] = lit_not(sym_group_any(&compiler->algebra, row->group));
  }
  if (row->having != LIT_TRUE) clause[n++] = lit_not(row->having);
  clause[n++] = lit_not(no);
  if (n == 1) {
    model_require_lit(compiler->model, clause[0], tag);
  } else {
    model_require_clause(compiler->model, clause, n, tag);
  }
}

static bool always_there(const Row *row) {
  return row->guard ? guard_is_true(row->guard) : row->group->always && row->having == LIT_TRUE;
}

/* left = right over two exhaustive choices without NULL: the same key, key by key. */
static bool require_equal(Compiler *compiler, const Sym *pair, int tag, bool *done) {
  const Sym *a = pair->left, *b = pair->right;
  ChoiceKeys keys;
  *done = false;
  if (!a->exhaustive || !b->exhaustive || !sym_choice_keys(&compiler->algebra, a, b, &keys)) {
    return compiler->fault->code == FAULT_NONE;
  }
  for (size_t i = 0; i < a->nchoices; i++) {
    if (keys.left[i] < 0) return true;
  }
  for (size_t i = 0; i < b->nchoices; i++) {
    if (keys.right[i] < 0) return true;
  }
  Lin *rows = calloc((size_t)keys.count + 1, sizeof *rows);
  if (!rows) return fault_oom(compiler->fault);
  for (size_t i = 0; i < a->nchoices; i++) {
    lin_add_lit(&rows[keys.left[i]], a->choices[i].guard, 1);
  }
  for (size_t i = 0; i < b->nchoices; i++) {
    lin_add_lit(&rows[keys.right[i]], b->choices[i].guard, -1);
  }
  for (int k = 0; k < keys.count; k++) {
    model_require(compiler->model, &rows[k], MODEL_EQ, 0, tag);
    lin_finish(&rows[k]);
  }
  free(rows);
  *done = true;
  return true;
}

static bool post_part(Posting *posting, const Row *row, const SqlExpr *part, const Sym *must) {
  Compiler *compiler = posting->compiler;
  if (must && must->kind == SYM_CONST && value_truth(&must->value) != 0) return true;
  int tag = tag_of(posting, row, part);
  if (compiler->fault->code) return false;
  if (!must || must->kind == SYM_CONST) {
    require_not(posting, row, LIT_TRUE, true, tag);
    return model_ok_or_fault(compiler);
  }
  if (must->kind == SYM_BOOL && must->left && always_there(row)) {
    bool done = false;
    if (!must->pair_equal) {
      return pairs_add(compiler, posting->pairs, must->left, must->right, tag);
    }
    if (!require_equal(compiler, must, tag, &done)) return false;
    if (done) return model_ok_or_fault(compiler);
  }
  Sym truth;
  if (!sym_to_bool(&compiler->algebra, must, &truth)) return compile_locate(compiler, part);
  require_not(posting, row, truth.no, !(truth.group && truth.no_at_empty == 0), tag);
  return model_ok_or_fault(compiler);
}

static bool post_musts(void *ctx, const Row *row) {
  Posting *posting = ctx;
  for (int i = 0; i < posting->nparts; i++) {
    if (!post_part(posting, row, posting->parts[i], row->musts ? &row->musts[i] : NULL)) {
      return false;
    }
  }
  return true;
}

/* ---- goals ---------------------------------------------------------------------------------- */

/* sign * (the value, 0 where it is NULL) when the literal is true. */
static bool add_goal(Posting *posting, Lit lit, const Sym *value, bool group_handled) {
  Compiler *compiler = posting->compiler;
  if (value->kind == SYM_CONST) {
    double number;
    if (!sym_number(&compiler->algebra, &value->value, &number)) return false;
    if (number == 0) return true;
    lin_add_lit(posting->goal, lit, posting->sign * number);
    return true;
  }
  if (value->kind == SYM_BOOL) {
    Sym truth;
    if (!sym_to_bool(&compiler->algebra, value, &truth)) return false;
    Lit both = model_and(compiler->model, (Lit[]){lit, truth.yes}, 2);
    lin_add_lit(posting->goal, both, posting->sign);
    return true;
  }
  if (value->kind == SYM_CHOICE) {
    for (size_t i = 0; i < value->nchoices; i++) {
      const Choice *choice = &value->choices[i];
      if (value_is_null(&choice->value)) continue;
      double number;
      if (!sym_number(&compiler->algebra, &choice->value, &number)) return false;
      if (number == 0) continue;
      Lit both = model_and(compiler->model, (Lit[]){lit, choice->guard}, 2);
      lin_add_lit(posting->goal, both, posting->sign * number);
    }
    return true;
  }
  Sym lin;
  Lit null;
  if (!sym_to_lin(&compiler->algebra, value, &lin)) return false;
  if (lin.null_if_empty && (group_handled || lin.at_empty == 0)) lin.null_if_empty = false;
  if (!sym_null_lit(&compiler->algebra, &lin, &null)) return false;
  Lit there = model_and(compiler->model, (Lit[]){lit, lit_not(null)}, 2);
  if (there == LIT_TRUE) {
    lin_add_lin(posting->goal, lin.lin, posting->sign);
  } else {
    lin_add(posting->goal, model_product(compiler->model, there, lin.lin), posting->sign);
  }
  return true;
}

static bool post_goal(void *ctx, const Row *row) {
  Posting *posting = ctx;
  Compiler *compiler = posting->compiler;
  const Sym *value = &row->outputs[posting->nkeys];
  Var tally = row->guard && value->kind == SYM_CONST ? guard_tally(compiler, row->guard) : VAR_ONE;
  if (tally != VAR_ONE) {
    double number;
    if (!sym_number(&compiler->algebra, &value->value, &number)) return false;
    if (number != 0) lin_add(posting->goal, tally, posting->sign * number);
  } else if (row->guard) {
    for (uint32_t i = 0; i < guard_copies(row->guard); i++) {
      if (!add_goal(posting, guard_literal(compiler, row->guard, i), value, false)) return false;
    }
  } else {
    /* An empty group is no row; where its value would be 0 anyway, no literal is needed. */
    bool zero =
        value->kind == SYM_LIN && value->group && value->null == LIT_FALSE && value->at_empty == 0;
    Lit lit = row->having;
    if (!row->group->always && !zero) {
      lit = model_and(compiler->model, (Lit[]){lit, sym_group_any(&compiler->algebra, row->group)},
                      2);
    }
    if (!add_goal(posting, lit, value, value->kind == SYM_LIN && value->group == row->group)) {
      return false;
    }
  }
  return model_ok_or_fault(compiler);
}

/* ---- compiling ------------------------------------------------------------------------------ */

/* Columns that say which row it is: those that read no decision. Only for recorded origins. */
static bool key_columns(Compiler *compiler, const Rule *rule, SqlSelect *arm, SqlExpr ***out,
                        Posting *posting) {
  int width = sql_width(rule->select);
  *out = arena_array(&compiler->arena, (size_t)width + 1, sizeof **out);
  posting->names = arena_array(&compiler->arena, (size_t)width + 1, sizeof *posting->names);
  if (!*out || !posting->names) return fault_oom(compiler->fault);
  posting->nkeys = 0;
  for (int i = 0; i < width && compiler->record_origins; i++) {
    bool depends, special = i == rule->must || i == rule->maximize || i == rule->minimize;
    SqlExpr *expr = arm->expanded[i].expr;
    if (special || (arm->is_aggregate && expr->kind == SQL_EXPR_FUNCTION)) continue;
    if (!compile_expr_depends(compiler, expr, &depends)) return false;
    if (depends) continue;
    posting->names[posting->nkeys] =
        rule->view ? rule->view->columns[i].name : sql_result(rule->select, i)->name;
    (*out)[posting->nkeys++] = expr;
  }
  return true;
}

static bool add_conjuncts(Compiler *compiler, SqlExpr *expr, Posting *posting) {
  if (expr->kind == SQL_EXPR_BINARY && expr->op == SQL_OP_AND) {
    return add_conjuncts(compiler, expr->args[0], posting) &&
           add_conjuncts(compiler, expr->args[1], posting);
  }
  size_t capacity = (size_t)posting->nparts;
  if (!array_grow(posting->parts, capacity, capacity + 1)) return fault_oom(compiler->fault);
  posting->parts[posting->nparts++] = expr;
  return true;
}

/* The conjuncts of a must are requirements of their own: false AND anything is false. Over groups
** they are evaluated together, since they share the tuples; over rows each by itself, since those
** that SQLite can test alone need few tuples or none. */
static bool compile_must(Compiler *compiler, const Rule *rule, SqlSelect *arm, SqlExpr *must,
                         Posting *posting) {
  SqlExpr **keys;
  posting->nparts = 0;
  posting->parts = NULL;
  bool ok =
      key_columns(compiler, rule, arm, &keys, posting) && add_conjuncts(compiler, must, posting);
  SqlExpr **all = posting->parts;
  int total = posting->nparts, step = arm->is_aggregate ? total : 1;
  for (int i = 0; ok && i < total; i += step) {
    posting->parts = all + i;
    posting->nparts = step;
    ok = block_evaluate(compiler, arm, rule->select, NULL, keys, posting->nkeys, posting->parts,
                        step, post_musts, posting);
  }
  free(all);
  return ok;
}

static bool compile_goal(Compiler *compiler, const Rule *rule, SqlSelect *arm, SqlExpr *goal,
                         Posting *posting) {
  posting->nkeys = 0;
  return block_evaluate(compiler, arm, rule->select, NULL, &goal, 1, NULL, 0, post_goal, posting) ||
         compile_locate(compiler, goal);
}

static bool compile_arms(Compiler *compiler, const Rule *rule, Posting *posting) {
  for (SqlSelect *arm = rule->select; arm; arm = arm->next) {
    SqlExpr place = {.span = arm->span};
    if (arm->is_values) {
      return compile_refuse(compiler, &place, "VALUES of more than 100 rows as a rule") ||
             fault_place(compiler->fault, "view %s: ", rule->name);
    }
    if (rule->must >= 0 &&
        !compile_must(compiler, rule, arm, arm->expanded[rule->must].expr, posting)) {
      return fault_place(compiler->fault, "view %s, column must: ", rule->name);
    }
    for (int goal = 0; goal < 2; goal++) {
      int column = goal ? rule->minimize : rule->maximize;
      posting->sign = goal ? -1 : 1;
      if (column >= 0 && !compile_goal(compiler, rule, arm, arm->expanded[column].expr, posting)) {
        return fault_place(compiler->fault, "view %s, column %s: ", rule->name,
                           goal ? "minimize" : "maximize");
      }
    }
  }
  return true;
}

bool rule_compile(Compiler *compiler, size_t index) {
  Rule *rule = &compiler->rules[index];
  Lin goal = {0};
  Posting posting = {.compiler = compiler, .rule = index, .goal = &goal, .pairs = pairs_create()};
  compiler->text = rule->text;
  bool ok = posting.pairs || fault_oom(compiler->fault);
  ok = ok && compile_arms(compiler, rule, &posting) && pairs_post(compiler, posting.pairs);
  if (ok && (rule->maximize >= 0 || rule->minimize >= 0)) {
    model_goal(compiler->model, rule->level, true, &goal);
    ok = model_ok_or_fault(compiler) || fault_prefix(compiler->fault, "view %s: ", rule->name);
  }
  pairs_destroy(posting.pairs);
  map_finish(&posting.told);
  lin_finish(&goal);
  return ok;
}
