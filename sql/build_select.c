/*
** Building trees of SELECT, WITH and windows: see build.h.
*/
#include "sql/build.h"

/* Counts SELECTs that stand in each other while they are read, so that whoever walks the tree later
** may recurse: together with the limit on expressions this bounds the depth of every tree. */
void build_enter(Parse *parse) {
  if (++parse->nested > SQL_MAX_NESTED_SELECTS) {
    build_fail(parse, 0, FAULT_LIMIT, "SELECTs are nested too deeply (maximum %d)",
               SQL_MAX_NESTED_SELECTS);
  }
}

static void window_height(Parse *parse, int *height, const SqlWindow *window) {
  for (int i = 0; i < window->npartition; i++) build_height(parse, height, window->partition[i]);
  for (int i = 0; i < window->norder; i++) build_height(parse, height, window->order[i].expr);
  build_height(parse, height, window->start_expr);
  build_height(parse, height, window->end_expr);
}

SqlSelect *build_one(Parse *parse, SqlSpan first, int distinct, Results results, Sources from,
                     SqlExpr *where, Exprs group, SqlExpr *having) {
  parse->nested--;
  SqlSelect *select = build_alloc(parse, sizeof *select);
  if (!select) return NULL;
  select->text = parse->text;
  select->span = first;
  select->distinct = distinct == SQL_TK_DISTINCT;
  select->all_given = distinct == SQL_TK_ALL;
  select->results = results.items;
  select->nresults = results.count;
  select->from = from.first;
  select->where = where;
  select->group = group.items;
  select->ngroup = group.count;
  select->having = having;
  int *height = &select->height;
  for (int i = 0; i < results.count; i++) build_height(parse, height, results.items[i].expr);
  for (int i = 0; i < group.count; i++) build_height(parse, height, group.items[i]);
  build_height(parse, height, where);
  build_height(parse, height, having);
  for (SqlSource *source = from.first; source; source = source->next) {
    if (source->height > *height) *height = source->height;
  }
  return select;
}

void build_one_tail(Parse *parse, SqlSelect *select, Windows windows, Orders order, Limit limit,
                    uint32_t end) {
  if (parse->failed) return;
  select->windows = windows.items;
  select->nwindows = windows.count;
  select->order = order.items;
  select->norder = order.count;
  select->limit = limit.limit;
  select->offset = limit.offset;
  select->offset_first = limit.offset_first;
  int *height = &select->height;
  for (int i = 0; i < windows.count; i++) window_height(parse, height, &windows.items[i]);
  for (int i = 0; i < order.count; i++) build_height(parse, height, order.items[i].expr);
  build_height(parse, height, limit.limit);
  build_height(parse, height, limit.offset);
  while (end > select->span.at && (unsigned char)parse->text[end - 1] <= ' ') end--;
  select->span.length = end - select->span.at;
}

SqlSelect *build_values(Parse *parse, SqlSelect *select, SqlSpan first, Exprs row, SqlSpan last) {
  if (!select) {
    parse->nested--;
    select = build_alloc(parse, sizeof *select);
    if (!select) return NULL;
    select->text = parse->text;
    select->is_values = true;
    select->span = first;
  }
  SqlExpr *e = build_alloc(parse, sizeof *e);
  if (!e) return NULL;
  e->kind = SQL_EXPR_ROW;
  e->span = build_span(first, last);
  e->args = row.items;
  e->nargs = row.count;
  for (int i = 0; i < row.count; i++) build_height(parse, &e->height, row.items[i]);
  build_height(parse, &select->height, e);
  /* Doubling: the count is a power of two exactly when the array is full. */
  int n = select->nrows;
  if ((n & (n - 1)) == 0) {
    SqlExpr **rows = build_alloc(parse, (n ? (size_t)n * 2 : 1) * sizeof(SqlExpr *));
    if (!rows) return NULL;
    for (int i = 0; i < n; i++) rows[i] = select->rows[i];
    select->rows = rows;
  }
  select->rows[select->nrows++] = e;
  select->span.length = last.at + last.length - select->span.at;
  return select;
}

static const char *compound_word(SqlCompound op) {
  switch (op) {
  case SQL_COMPOUND_UNION:
    return "UNION";
  case SQL_COMPOUND_UNION_ALL:
    return "UNION ALL";
  case SQL_COMPOUND_INTERSECT:
    return "INTERSECT";
  default:
    return "EXCEPT";
  }
}

/* ORDER BY and LIMIT are read with the arm they follow, but belong to the whole: only the last arm
** may have them, and they move to the first. */
Arms build_arm(Parse *parse, Arms arms, SqlCompound op, SqlSelect *arm) {
  if (parse->failed) return arms;
  if (!arms.first) return (Arms){arm, arm, 1};
  SqlSelect *before = arms.last;
  if (before->order || before->limit) {
    build_fail(parse, before->span.at, FAULT_INVALID, "%s clause should come after %s not before",
               before->order ? "ORDER BY" : "LIMIT", compound_word(op));
  }
  arm->compound = op;
  before->next = arm;
  arms.last = arm;
  arms.count++;
  return arms;
}

Arms build_compound(Parse *parse, Arms arms) {
  if (parse->failed || arms.first == arms.last) return arms;
  SqlSelect *first = arms.first, *last = arms.last;
  for (SqlSelect *arm = first->next; arm; arm = arm->next) {
    if (arm->height > first->height) first->height = arm->height;
  }
  first->order = last->order;
  first->norder = last->norder;
  first->limit = last->limit;
  first->offset = last->offset;
  first->offset_first = last->offset_first;
  last->order = NULL;
  last->norder = 0;
  last->limit = last->offset = NULL;
  int count = 0;
  for (SqlSelect *arm = first; arm; arm = arm->next) {
    count += arm->is_values ? arm->nrows : 1;
  }
  if (count > SQL_MAX_COMPOUND) {
    build_fail(parse, first->span.at, FAULT_LIMIT, "too many terms in compound SELECT");
  }
  return arms;
}

SqlWith *build_with_clause(Parse *parse, bool recursive, Ctes list) {
  SqlWith *with = build_alloc(parse, sizeof *with);
  if (!with) return NULL;
  *with = (SqlWith){.recursive = recursive, .ctes = list.items, .nctes = list.count};
  for (int i = 0; i < list.count; i++) {
    for (int j = 0; j < i; j++) {
      const char *a = list.items[i].name, *b = list.items[j].name;
      while (*a && (*a | 0x20) == (*b | 0x20)) a++, b++;
      if (!*a && !*b) {
        build_fail(parse, list.items[i].span.at, FAULT_INVALID, "duplicate WITH table name: %s",
                   list.items[i].name);
      }
    }
  }
  return with;
}

Arms build_with(Parse *parse, SqlWith *with, SqlSpan first, Arms arms) {
  if (parse->failed || !with) return arms;
  arms.first->with = with;
  arms.first->span.length += arms.first->span.at - first.at;
  arms.first->span.at = first.at;
  for (int i = 0; i < with->nctes; i++) {
    int height = with->ctes[i].select->height + 1;
    if (height > arms.first->height) arms.first->height = height;
  }
  return arms;
}

SqlWindow *build_frame(Parse *parse, SqlSpan first, SqlFrameUnit unit, bool between, Bound start,
                       Bound end, SqlFrameExclude exclude) {
  SqlWindow *window = build_alloc(parse, sizeof *window);
  if (!window) return NULL;
  window->span = first;
  window->unit = unit;
  window->between = between;
  window->start = start.kind;
  window->start_expr = start.expr;
  window->end = end.kind;
  window->end_expr = end.expr;
  window->exclude = exclude;
  bool current_to_preceding = start.kind == SQL_BOUND_CURRENT && end.kind == SQL_BOUND_PRECEDING;
  bool following_back = start.kind == SQL_BOUND_FOLLOWING &&
                        (end.kind == SQL_BOUND_PRECEDING || end.kind == SQL_BOUND_CURRENT);
  if (current_to_preceding || following_back) {
    build_fail(parse, first.at, FAULT_INVALID, "unsupported frame specification");
  }
  return window;
}

SqlWindow *build_window(Parse *parse, SqlSpan base, Exprs partition, Orders order,
                        SqlWindow *frame) {
  if (parse->failed) return NULL;
  frame->base = build_name(parse, base);
  frame->partition = partition.items;
  frame->npartition = partition.count;
  frame->order = order.items;
  frame->norder = order.count;
  return frame;
}

SqlWindow *build_window_name(Parse *parse, SqlSpan name) {
  SqlWindow *window = build_alloc(parse, sizeof *window);
  if (!window) return NULL;
  window->span = name;
  window->base = build_name(parse, name);
  window->base_only = true;
  window->end = SQL_BOUND_CURRENT;
  return window;
}
