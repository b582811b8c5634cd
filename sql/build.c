/*
** Building trees, the shared parts: see build.h.
*/
#include "sql/build.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *build_alloc(Parse *parse, size_t size) {
  void *memory = parse->failed ? NULL : arena_alloc(parse->arena, size);
  if (!memory && !parse->failed) {
    parse->failed = true;
    fault_oom(parse->fault);
  }
  return memory;
}

void build_fail(Parse *parse, uint32_t at, FaultCode code, const char *format, ...) {
  if (parse->failed) return;
  parse->failed = true;
  char message[FAULT_TEXT - 60]; /* leaves room for the place, whatever the message quotes */
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  int line, column;
  sql_position(parse->text, at, &line, &column);
  fault_set(parse->fault, code, "%s (line %d, column %d)", message, line, column);
}

void build_syntax_error(Parse *parse, SqlSpan token) {
  if (token.length == 0) {
    build_fail(parse, token.at, FAULT_INVALID, "incomplete input");
  } else {
    build_fail(parse, token.at, FAULT_INVALID, "near \"%.*s\": syntax error", (int)token.length,
               parse->text + token.at);
  }
}

SqlSpan build_span(SqlSpan first, SqlSpan last) {
  return (SqlSpan){first.at, last.at + last.length - first.at};
}

const char *build_raw_text(Parse *parse, SqlSpan span) {
  char *copy = build_alloc(parse, (size_t)span.length + 1);
  if (copy) memcpy(copy, parse->text + span.at, span.length);
  return copy;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

const char *build_text(Parse *parse, uint32_t from, uint32_t to) {
  while (from < to && is_space(parse->text[from])) from++;
  while (from < to && is_space(parse->text[to - 1])) to--;
  return build_raw_text(parse, (SqlSpan){from, to - from});
}

const char *build_name(Parse *parse, SqlSpan token) {
  if (token.length == 0) return NULL;
  const char *from = parse->text + token.at;
  char open = from[0], close = open == '[' ? ']' : open;
  char *name = build_alloc(parse, (size_t)token.length + 1);
  if (!name) return NULL;
  if (open != '"' && open != '`' && open != '\'' && open != '[') {
    return memcpy(name, from, token.length);
  }
  size_t length = 0;
  for (uint32_t i = 1; i + 1 < token.length; i++) {
    if (from[i] == close) i++; /* the lexer let only a doubled one through */
    name[length++] = from[i];
  }
  return name;
}

/* Room for one more item in a list that lives in the arena. */
static void *grow(Parse *parse, void *items, int count, int *room, size_t size) {
  if (parse->failed) return NULL;
  if (count < *room) return items;
  int more = *room ? *room * 2 : 2;
  void *larger = arena_array(parse->arena, (size_t)more, size);
  if (!larger) {
    parse->failed = true;
    fault_oom(parse->fault);
    return NULL;
  }
  if (count) memcpy(larger, items, (size_t)count * size);
  *room = more;
  return larger;
}

#define GROWN(list)                                                                                \
  (((list).items = grow(parse, (list).items, (list).count, &(list).room, sizeof *(list).items)) != \
   NULL)

Exprs build_exprs(Parse *parse, Exprs list, SqlExpr *e) {
  if (GROWN(list)) list.items[list.count++] = e;
  return list;
}

Names build_names(Parse *parse, Names list, SqlSpan name) {
  const char *copy = build_name(parse, name);
  if (GROWN(list)) list.items[list.count++] = copy;
  return list;
}

Orders build_order(Parse *parse, Orders list, Ex e, int sort, int nulls) {
  if (!GROWN(list)) return list;
  list.items[list.count++] = (SqlOrder){.expr = e.e,
                                        .descending = sort == SQL_TK_DESC,
                                        .sort_given = sort != 0,
                                        .nulls_given = nulls != 0,
                                        .nulls_last = nulls == SQL_TK_LAST};
  return list;
}

Results build_result(Parse *parse, Results list, Ex e, uint32_t end, Alias alias) {
  if (!GROWN(list)) return list;
  SqlResult result = {.expr = e.e, .alias_as = alias.as};
  if (alias.name.length) {
    result.alias = build_name(parse, alias.name);
  } else {
    /* SQLite names the column by everything up to the next token, comments included. */
    result.written = build_text(parse, e.at.at, end);
  }
  list.items[list.count++] = result;
  return list;
}

Results build_star(Parse *parse, Results list, SqlSpan table, SqlSpan star) {
  SqlExpr *e = build_alloc(parse, sizeof *e);
  if (!e || !GROWN(list)) return list;
  e->kind = SQL_EXPR_STAR;
  e->span = table.length ? build_span(table, star) : star;
  e->table = build_name(parse, table);
  e->height = 1;
  list.items[list.count++] = (SqlResult){.expr = e};
  return list;
}

Sets build_set(Parse *parse, Sets list, Names names, bool row, SqlExpr *value) {
  if (!GROWN(list)) return list;
  list.items[list.count++] =
      (SqlSet){.columns = names.items, .ncolumns = names.count, .row = row, .value = value};
  return list;
}

Windows build_window_definition(Parse *parse, Windows list, SqlSpan name, SqlWindow *window,
                                SqlSpan last) {
  if (!window || !GROWN(list)) return list;
  list.items[list.count] = *window;
  list.items[list.count].name = build_name(parse, name);
  list.items[list.count++].span = build_span(name, last);
  return list;
}

Ctes build_cte(Parse *parse, Ctes list, SqlSpan name, Names columns, int materialized, Arms select,
               SqlSpan last) {
  if (!GROWN(list)) return list;
  SqlCte cte = {.name = build_name(parse, name),
                .columns = columns.items,
                .ncolumns = columns.count,
                .materialized = materialized,
                .select = select.first,
                .span = build_span(name, last)};
  if (parse->failed) return list;
  list.items[list.count++] = cte;
  return list;
}

/* GENERATED and ALWAYS may be names, so a type swallows them: "INT GENERATED ALWAYS" AS (…). */
static SqlSpan without_generated(Parse *parse, SqlSpan type) {
  static const char *const words[] = {"always", "generated"};
  SqlSpan rest = type;
  for (int i = 0; i < 2; i++) {
    uint32_t length = (uint32_t)strlen(words[i]);
    if (rest.length < length) return type;
    const char *from = parse->text + rest.at + rest.length - length;
    for (uint32_t j = 0; j < length; j++) {
      if ((from[j] | 0x20) != words[i][j]) return type;
    }
    rest.length -= length;
    if (rest.length && !is_space(from[-1])) return type;
    while (rest.length && is_space(parse->text[rest.at + rest.length - 1])) rest.length--;
  }
  for (uint32_t i = 0; i + 1 < rest.length; i++) { /* a comment could then swallow what follows */
    const char *c = parse->text + rest.at + i;
    if ((c[0] == '-' && c[1] == '-') || (c[0] == '/' && c[1] == '*')) return type;
  }
  return rest;
}

Columns build_column_def(Parse *parse, Columns list, SqlSpan name, SqlSpan type,
                         Constraints constraints) {
  const char *column = build_name(parse, name);
  SqlSpan rest = without_generated(parse, type);
  const char *written = build_raw_text(parse, rest);
  for (int i = 0; rest.length < type.length && i < constraints.count; i++) {
    constraints.items[i].as_only = false;
  }
  if (GROWN(list)) {
    list.items[list.count++] = (SqlColumnDef){.name = column,
                                              .type = written,
                                              .constraints = constraints.items,
                                              .nconstraints = constraints.count};
  }
  return list;
}

Constraints build_constraint(Parse *parse, Constraints list, const SqlConstraint *constraint) {
  if (parse->failed || !constraint) return list;
  SqlConstraint *last = list.count ? &list.items[list.count - 1] : NULL;
  if (last && last->kind == SQL_CONSTRAINT_NAME && constraint->kind != SQL_CONSTRAINT_NAME) {
    const char *name = last->name; /* CONSTRAINT name belongs to what follows */
    *last = *constraint;
    last->name = name;
  } else if (GROWN(list)) {
    list.items[list.count++] = *constraint;
  }
  return list;
}

Upserts build_upsert(Parse *parse, Upserts list, Orders target, SqlExpr *target_where, bool update,
                     Sets sets, SqlExpr *where) {
  if (!GROWN(list)) return list;
  list.items[list.count++] = (SqlUpsert){.target = target.items,
                                         .ntarget = target.count,
                                         .target_where = target_where,
                                         .update = update,
                                         .sets = sets.items,
                                         .nsets = sets.count,
                                         .where = where};
  return list;
}

Statements build_body(Parse *parse, Statements list, SqlStatement *statement) {
  if (GROWN(list)) list.items[list.count++] = statement;
  return list;
}

Names build_virtual_arg(Parse *parse, Names list, SqlSpan arg) {
  const char *text = build_raw_text(parse, arg);
  if (GROWN(list)) list.items[list.count++] = text;
  return list;
}

static void too_deep(Parse *parse, uint32_t at) {
  build_fail(parse, at, FAULT_LIMIT, "expression tree is too large (maximum depth %d)",
             SQL_MAX_DEPTH);
}

void build_height(Parse *parse, int *height, const SqlExpr *child) {
  (void)parse;
  if (child && child->height > *height) *height = child->height;
}

void build_finish(Parse *parse, SqlExpr *e) {
  if (parse->failed) return;
  int height = 0;
  for (int i = 0; i < e->nargs; i++) build_height(parse, &height, e->args[i]);
  build_height(parse, &height, e->filter);
  if (e->select && e->select->height > height) height = e->select->height;
  if (e->source && e->source->height > height) height = e->source->height;
  if (e->over) {
    const SqlWindow *over = e->over;
    for (int i = 0; i < over->npartition; i++) build_height(parse, &height, over->partition[i]);
    for (int i = 0; i < over->norder; i++) build_height(parse, &height, over->order[i].expr);
    build_height(parse, &height, over->start_expr);
    build_height(parse, &height, over->end_expr);
  }
  e->height = height + 1;
  if (e->height > SQL_MAX_DEPTH) too_deep(parse, e->span.at);
}
