/*
** Binding: from names to what they mean. See sql.h and bind.h.
*/
#include "sql/bind.h"

#include <stdarg.h>
#include <stdio.h>

bool bind_fail(Binder *binder, SqlSpan at, const char *format, ...) {
  if (binder->quiet) return false;
  char message[FAULT_TEXT - 60]; /* leaves room for the place, whatever the message quotes */
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  if (!binder->text) return fault_set(binder->fault, FAULT_INVALID, "%s", message);
  int line, column;
  sql_position(binder->text, at.at, &line, &column);
  return fault_set(binder->fault, FAULT_INVALID, "%s (line %d, column %d)", message, line, column);
}

bool bind_oom(Binder *binder) {
  binder->oom = true;
  return fault_oom(binder->fault);
}

void *bind_alloc(Binder *binder, size_t count, size_t size) {
  void *memory = arena_array(binder->arena, count, size);
  if (!memory) bind_oom(binder);
  return memory;
}

int sql_width(const SqlSelect *select) {
  if (select->is_values) return select->nrows ? select->rows[0]->nargs : 0;
  return select->expanded ? select->nexpanded : select->nresults;
}

const SqlResult *sql_result(const SqlSelect *select, int i) {
  return select->expanded ? &select->expanded[i] : &select->results[i];
}

/* ---- WITH */

bool bind_push_with(Binder *binder, SqlWith *with, WithFrame *frame) {
  if (!with) return true;
  frame->with = with;
  frame->outer = binder->withs;
  frame->states = bind_alloc(binder, (size_t)with->nctes, sizeof *frame->states);
  binder->withs = frame;
  return frame->states != NULL;
}

static bool refers_to(const SqlSource *source, const char *name) {
  return source->kind == SQL_SOURCE_TABLE && !source->schema && sql_same_name(source->name, name);
}

/* ---- one arm */

static bool has_star(const SqlResult *results, int n) {
  for (int i = 0; i < n; i++) {
    if (results[i].expr->kind == SQL_EXPR_STAR) return true;
  }
  return false;
}

static bool expand(Binder *binder, Scope *scope, SqlResult *results, int n, SqlResult **expanded,
                   int *nexpanded) {
  *expanded = results;
  *nexpanded = n;
  if (!has_star(results, n)) return true;
  SqlResult *items = NULL;
  int count = 0, room = 0;
  for (int i = 0; i < n; i++) {
    if (results[i].expr->kind == SQL_EXPR_STAR) {
      if (!bind_star(binder, scope->from, results[i].expr, &items, &count, &room)) return false;
      continue;
    }
    if (count == room) {
      int more = room ? room * 2 : 16;
      SqlResult *larger = bind_alloc(binder, (size_t)more, sizeof *larger);
      if (!larger) return false;
      for (int j = 0; j < count; j++) larger[j] = items[j];
      items = larger;
      room = more;
    }
    items[count++] = results[i];
  }
  *expanded = items;
  *nexpanded = count;
  return true;
}

/* The name sqlite3_column_name() would give. */
static const char *column_name(const Binder *binder, const SqlResult *result) {
  const SqlExpr *e = result->expr;
  if (result->alias) return result->alias;
  if (e->kind == SQL_EXPR_COLUMN && e->bound && binder->found_name) return binder->found_name;
  return result->written ? result->written : result->name;
}

bool bind_results(Binder *binder, Scope *scope, SqlResult *results, int n, SqlResult **expanded,
                  int *nexpanded) {
  if (!expand(binder, scope, results, n, expanded, nexpanded)) return false;
  if (*nexpanded > SQL_MAX_COLUMNS) {
    return bind_fail(binder, results[0].expr->span, "too many columns in result set");
  }
  scope->result_flags = bind_alloc(binder, (size_t)*nexpanded, 1);
  scope->result_depths = bind_alloc(binder, (size_t)*nexpanded, sizeof *scope->result_depths);
  if (!scope->result_flags || !scope->result_depths) return false;
  bool aggregate = false, window = false;
  for (int i = 0; i < *nexpanded; i++) {
    SqlResult *result = &(*expanded)[i];
    bool from_star = !result->written && !result->alias && result->name;
    scope->has_aggregate = scope->has_window = false;
    Tracker tracker = {binder->trackers, scope, from_star ? 0 : -1};
    binder->trackers = &tracker;
    bool ok = from_star || bind_expr(binder, scope, result->expr);
    binder->trackers = tracker.outer;
    if (!ok) return false;
    scope->result_depths[i] = tracker.depth;
    scope->result_flags[i] = (unsigned char)((scope->has_aggregate ? RESULT_AGGREGATE : 0) |
                                             (scope->has_window ? RESULT_WINDOW : 0));
    aggregate |= scope->has_aggregate;
    window |= scope->has_window;
    if (!from_star) result->name = column_name(binder, result);
  }
  /* The written results are the expanded ones, or copies of some of them. */
  for (int i = 0, j = 0; *expanded != results && i < n; i++) {
    if (results[i].expr->kind == SQL_EXPR_STAR) continue;
    while ((*expanded)[j].expr != results[i].expr) j++;
    results[i].name = (*expanded)[j].name;
  }
  scope->has_aggregate = aggregate;
  scope->has_window = window;
  return true;
}

/* When a condition is a literal 0, SQLite throws away all conditions that WHERE and the ONs of
** inner joins make together, before it looks at the names in them. */
bool bind_is_dead(const SqlSource *first, const SqlExpr *where) {
  if (where && bind_is_false(where)) return true;
  for (const SqlSource *source = first; source; source = source->next) {
    bool outer = source->join == SQL_JOIN_LEFT || source->join == SQL_JOIN_RIGHT ||
                 source->join == SQL_JOIN_FULL;
    if (source->on && !outer && bind_is_false(source->on)) return true;
  }
  return false;
}

static bool bind_conditions(Binder *binder, Scope *scope, SqlSelect *select) {
  if (!bind_is_dead(select->from, select->where)) {
    return bind_expr(binder, scope, select->where) && bind_on(binder, scope, select->from, false);
  }
  bind_quietly(binder, scope, select->where);
  return bind_on(binder, scope, select->from, true);
}

static bool bind_limit(Binder *binder, Scope *outer, SqlSelect *select) {
  Scope scope = {.outer = outer, .select = select, .cut = true, .on_index = -1};
  return bind_expr(binder, &scope, select->limit) && bind_expr(binder, &scope, select->offset);
}

static bool bind_values_arm(Binder *binder, Scope *outer, SqlSelect *select) {
  Scope scope = {.outer = outer,
                 .select = select,
                 .from_visible = true,
                 .walled = select->compound != SQL_COMPOUND_NONE && select->nrows > 1,
                 .allow_aggregate = true,
                 .allow_window = true,
                 .lands = select->nrows == 1, /* of several rows SQLite makes no SELECT */
                 .on_index = -1};
  for (int i = 0; i < select->nrows; i++) {
    SqlExpr *row = select->rows[i];
    if (!bind_exprs(binder, &scope, row->args, row->nargs)) return false;
    if (row->nargs != select->rows[0]->nargs) {
      return bind_fail(binder, row->span, "all VALUES must have the same number of terms");
    }
    select->is_aggregate |= scope.has_aggregate;
  }
  return true;
}

/* ---- tables without names */

static SqlWalk visit_tables(void *ctx, SqlSelect *select) {
  Binder *binder = ctx;
  if (select->compound != SQL_COMPOUND_NONE) return SQL_WALK_SKIP; /* seen with its first arm */
  return bind_select(binder, select, NULL) ? SQL_WALK_SKIP : SQL_WALK_STOP;
}

static SqlWalk visit_table(void *ctx, SqlExpr *e) {
  Scope scope = {.from = e->source, .on_index = -1};
  bool empty = e->kind == SQL_EXPR_IN_LIST && e->nargs == 1;
  if (empty || (e->kind == SQL_EXPR_BINARY && bind_is_false(e))) return SQL_WALK_SKIP;
  if (e->kind != SQL_EXPR_IN_TABLE) return SQL_WALK_ON;
  return bind_from(ctx, &scope, e->source) ? SQL_WALK_ON : SQL_WALK_STOP;
}

bool bind_tables(Binder *binder, SqlExpr *e) {
  SqlVisitor visitor = {binder, visit_table, visit_tables, NULL};
  bool saved = binder->tables_only;
  binder->tables_only = true;
  bool ok = sql_walk_expr(e, &visitor);
  binder->tables_only = saved;
  return ok;
}

static bool bind_list_tables(Binder *binder, SqlExpr **list, int n) {
  for (int i = 0; i < n; i++) {
    if (!bind_tables(binder, list[i])) return false;
  }
  return true;
}

static bool bind_sources_tables(Binder *binder, SqlSource *source) {
  for (; source; source = source->next) {
    if (!bind_list_tables(binder, source->args, source->nargs) ||
        !bind_tables(binder, source->on) || !bind_sources_tables(binder, source->first)) {
      return false;
    }
  }
  return true;
}

static bool bind_arm_tables(Binder *binder, SqlSelect *select, Scope *outer) {
  Scope scope = {.outer = outer, .select = select, .from = select->from, .on_index = -1};
  if (!bind_from(binder, &scope, select->from)) return false;
  if (!select->is_values && !expand(binder, &scope, select->results, select->nresults,
                                    &select->expanded, &select->nexpanded)) {
    return false;
  }
  for (int i = 0; i < select->nresults; i++) {
    if (!bind_tables(binder, select->results[i].expr)) return false;
  }
  for (int i = 0; i < select->norder; i++) {
    if (!bind_tables(binder, select->order[i].expr)) return false;
  }
  return bind_list_tables(binder, select->rows, select->nrows) &&
         bind_sources_tables(binder, select->from) && bind_tables(binder, select->where) &&
         bind_list_tables(binder, select->group, select->ngroup) &&
         bind_tables(binder, select->having) && bind_unused_windows(binder, select) &&
         bind_tables(binder, select->limit) && bind_tables(binder, select->offset);
}

/* ---- one arm with its names */

/* ORDER BY of a single SELECT belongs to its scope; of a compound it is bound after all arms. */
static bool bind_arm(Binder *binder, SqlSelect *select, Scope *outer, bool compound) {
  binder->text = select->text;
  if (binder->tables_only) return bind_arm_tables(binder, select, outer);
  select->outer = outer ? outer->select : NULL;
  if (!bind_limit(binder, outer, select)) return false;
  if (select->is_values) return bind_values_arm(binder, outer, select);
  Scope scope = {.outer = outer, .select = select, .from = select->from, .on_index = -1};
  if (!bind_from(binder, &scope, select->from)) return false;
  binder->text = select->text;
  scope.from_visible = scope.allow_aggregate = scope.allow_window = scope.lands = true;
  if (!bind_window_definitions(binder, select)) return false;
  if (!bind_results(binder, &scope, select->results, select->nresults, &select->expanded,
                    &select->nexpanded)) {
    return false;
  }
  select->is_aggregate = select->ngroup || scope.has_aggregate;
  scope.allow_window = false;
  scope.allow_aggregate = scope.lands = select->is_aggregate;
  scope.aliases_visible = true;
  if (select->having) {
    if (!select->is_aggregate) {
      return bind_fail(binder, select->having->span, "HAVING clause on a non-aggregate query");
    }
    if (!select->ngroup && scope.uses_windows && !scope.plain) {
      return bind_fail(binder, select->having->span, "HAVING clause on a non-aggregate query");
    }
    SqlExpr *remote = scope.remote;
    if (!bind_expr(binder, &scope, select->having)) return false;
    scope.remote = remote;
  }
  scope.lands = false;
  if (!bind_conditions(binder, &scope, select)) return false;
  if (!bind_arguments(binder, &scope, select->from)) return false;
  scope.cut = true;
  scope.allow_aggregate = scope.allow_window = true;
  scope.lands = select->is_aggregate;
  if (!compound && !bind_order(binder, &scope, select->order, select->norder)) return false;
  scope.allow_window = false;
  if (!bind_group(binder, &scope, select->group, select->ngroup)) return false;
  if (scope.uses_windows && scope.remote) {
    return bind_fail(binder, scope.remote->span, "misuse of aggregate: %s()", scope.remote->name);
  }
  return bind_unused_windows(binder, select);
}

/* ---- all arms */

static const char *compound_word(SqlCompound op) {
  static const char *const words[] = {"", "UNION", "UNION ALL", "INTERSECT", "EXCEPT"};
  return words[op];
}

static bool same_width(Binder *binder, const SqlSelect *first, const SqlSelect *arm) {
  if (sql_width(first) == sql_width(arm)) return true;
  if (arm->is_values) {
    return bind_fail(binder, arm->span, "all VALUES must have the same number of terms");
  }
  return bind_fail(binder, arm->span,
                   "SELECTs to the left and right of %s do not have the same number of result "
                   "columns",
                   compound_word(arm->compound));
}

static bool bind_arms(Binder *binder, SqlSelect *first, SqlSelect *from, const SqlSelect *end,
                      Scope *outer) {
  for (SqlSelect *arm = from; arm != end; arm = arm->next) {
    if (!bind_arm(binder, arm, outer, first->next != NULL)) return false;
    if (arm->is_correlated) first->is_correlated = true;
    if (!binder->tables_only && !same_width(binder, first, arm)) return false;
  }
  return true;
}

/* SELECTs stand in each other, which the parser bounds, and refer to each other as CTEs. */
static bool enter(Binder *binder) {
  enum { MOST = 3 * SQL_MAX_NESTED_SELECTS };
  if (binder->level++ < MOST) return true;
  return !binder->quiet &&
         fault_set(binder->fault, FAULT_LIMIT,
                   "SELECTs and CTEs depend on each other too deeply (maximum %d)", MOST);
}

bool bind_select(Binder *binder, SqlSelect *select, Scope *outer) {
  if (!enter(binder)) return false;
  WithFrame frame, *withs = binder->withs;
  const char *text = binder->text;
  bool ok = bind_push_with(binder, select->with, &frame) &&
            bind_arms(binder, select, select, NULL, outer) &&
            (!select->next || binder->tables_only || bind_compound_order(binder, select));
  binder->withs = withs;
  binder->text = text;
  binder->level--;
  return ok;
}

/* ---- CTEs */

/* The arms at the end that refer to the CTE make it recursive; false: a fault is set. *start is the
** first of them, NULL when there is none. */
static bool find_recursion(Binder *binder, SqlCte *cte, SqlSelect **start) {
  *start = NULL;
  SqlCompound op = SQL_COMPOUND_NONE;
  for (SqlSelect *arm = cte->select; arm; arm = arm->next) op = arm->compound;
  if (op != SQL_COMPOUND_UNION && op != SQL_COMPOUND_UNION_ALL) return true;
  for (SqlSelect *arm = cte->select->next; arm; arm = arm->next) {
    int references = 0;
    for (SqlSource *source = arm->from; source; source = source->next) {
      references += refers_to(source, cte->name);
    }
    if (!references || arm->compound != op) {
      *start = NULL;
    } else if (!*start) {
      *start = arm;
    }
    if (references > 1) {
      return bind_fail(binder, arm->span, "multiple references to recursive table: %s", cte->name);
    }
  }
  return true;
}

static bool name_columns(Binder *binder, SqlSource *source, SqlCte *cte) {
  if (cte->ncolumns && cte->ncolumns != sql_width(cte->select)) {
    return bind_fail(binder, cte->span, "table %s has %d values for %d columns", cte->name,
                     sql_width(cte->select), cte->ncolumns);
  }
  source->cte = cte;
  return bind_columns_of(binder, source, cte->select, cte->columns, cte->ncolumns);
}

static void give_columns(SqlSelect *start, const SqlSource *from) {
  for (SqlSelect *arm = start; arm; arm = arm->next) {
    for (SqlSource *source = arm->from; source; source = source->next) {
      if (!refers_to(source, from->cte->name)) continue;
      source->cte = from->cte;
      source->recursive = true;
      source->columns = from->columns;
      source->ncolumns = from->ncolumns;
    }
  }
}

static bool bind_body(Binder *binder, SqlSource *source, WithFrame *frame, int index,
                      Scope *scope) {
  SqlCte *cte = &frame->with->ctes[index];
  SqlSelect *start, *select = cte->select;
  if (!find_recursion(binder, cte, &start)) return false;
  cte->recursive = start != NULL;
  frame->states[index] = CTE_BUSY;
  WithFrame inner;
  if (!bind_push_with(binder, select->with, &inner)) return false;
  if (!bind_arms(binder, select, select, start, scope)) return false;
  if (!name_columns(binder, source, cte)) return false;
  frame->states[index] = start ? CTE_RECURSIVE : CTE_SUBQUERY;
  if (start) {
    give_columns(start, source);
    if (!bind_arms(binder, select, start, NULL, scope)) return false;
  }
  return !select->next || binder->tables_only || bind_compound_order(binder, select);
}

enum { MOST_COPIES = 1000 };

bool bind_cte(Binder *binder, SqlSource *source, WithFrame *frame, int index, Scope *scope) {
  SqlCte *cte = &frame->with->ctes[index];
  CteState state = frame->states[index];
  if (state == CTE_BUSY || state == CTE_RECURSIVE || state == CTE_SUBQUERY) {
    return bind_fail(binder, source->span,
                     state == CTE_BUSY        ? "circular reference: %s"
                     : state == CTE_RECURSIVE ? "multiple recursive references: %s"
                                              : "recursive reference in a subquery: %s",
                     cte->name);
  }
  if (source->kind == SQL_SOURCE_FUNCTION) {
    return bind_fail(binder, source->span, "'%s' is not a function", source->name);
  }
  if (source->indexed_by) {
    return bind_fail(binder, source->span, "no such index: \"%s\"", source->indexed_by);
  }
  if ((state == CTE_DONE && !cte->select->is_correlated) ||
      (state != CTE_NEW && binder->tables_only)) {
    return name_columns(binder, source, cte);
  }
  SqlSelect *body = cte->select;
  if (state == CTE_DONE) {
    /* It uses columns of what stands around its first use; here others may stand around. */
    if (++binder->copies > MOST_COPIES) return bind_fail(binder, source->span, "too many CTEs");
    cte->select = sql_copy_select(binder->arena, body);
    if (!cte->select) return bind_oom(binder);
  }
  /* Names of tables inside mean what they mean where the CTE is written, but columns of enclosing
  ** SELECTs are those of the place that uses it. */
  if (!enter(binder)) return false;
  WithFrame *withs = binder->withs;
  const char *text = binder->text;
  binder->withs = frame;
  bool ok = bind_body(binder, source, frame, index, scope);
  cte->select = body;
  binder->withs = withs;
  binder->text = text;
  binder->level--;
  frame->states[index] = !ok ? CTE_NEW : binder->tables_only ? CTE_TABLES : CTE_DONE;
  return ok;
}

/* ---- the doors */

bool sql_bind(SqlSelect *select, const SqlSchema *schema, Arena *arena, Fault *fault) {
  Binder binder = {.arena = arena, .schema = schema, .fault = fault, .text = select->text};
  return bind_select(&binder, select, NULL);
}

bool sql_bind_expr(SqlExpr *expr, SqlSource *from, const SqlSchema *schema, Arena *arena,
                   Fault *fault) {
  Binder binder = {.arena = arena, .schema = schema, .fault = fault};
  Scope scope = {.from = from, .on_index = -1};
  if (!bind_from(&binder, &scope, from)) return false;
  scope.from_visible = true;
  return bind_on(&binder, &scope, from, false) && bind_expr(&binder, &scope, expr);
}
