/*
** Building trees of expressions: see build.h.
*/
#include <string.h>

#include "sql/build.h"

/* A node with room for nargs arguments, standing on `at`. */
static SqlExpr *new_expr(Parse *parse, SqlExprKind kind, SqlSpan at, int nargs) {
  SqlExpr *e = build_alloc(parse, sizeof *e);
  if (!e) return NULL;
  e->kind = kind;
  e->span = at;
  if (nargs) {
    e->args = build_alloc(parse, (size_t)nargs * sizeof *e->args);
    e->nargs = nargs;
  }
  return parse->failed ? NULL : e;
}

static Ex finish(Parse *parse, SqlExpr *e, SqlSpan at) {
  if (e) build_finish(parse, e);
  return (Ex){parse->failed ? NULL : e, at};
}

/* SQLite refuses a hex literal of more than 64 bits; a decimal one becomes a REAL. */
static void check_hex(Parse *parse, SqlSpan token) {
  const char *text = parse->text + token.at;
  if (token.length < 3 || (text[1] != 'x' && text[1] != 'X')) return;
  uint32_t first = 2;
  while (first < token.length && text[first] == '0') first++;
  if (token.length - first > 16) {
    build_fail(parse, token.at, FAULT_INVALID, "hex literal too big: %.*s", (int)token.length,
               text);
  }
}

static const char *upper_word(Parse *parse, SqlSpan token) {
  char *word = build_alloc(parse, (size_t)token.length + 1);
  for (uint32_t i = 0; word && i < token.length; i++) {
    char c = parse->text[token.at + i];
    word[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
  }
  return word;
}

Ex build_literal(Parse *parse, SqlExprKind kind, SqlSpan token) {
  SqlExpr *e = new_expr(parse, kind, token, 0);
  if (!e) return (Ex){0};
  switch (kind) {
  case SQL_EXPR_NULL:
    break;
  case SQL_EXPR_CURRENT:
    e->name = upper_word(parse, token);
    break;
  case SQL_EXPR_STRING:
    e->text = build_name(parse, token);
    break;
  case SQL_EXPR_BLOB:
    e->text = build_raw_text(parse, (SqlSpan){token.at + 2, token.length - 3});
    break;
  case SQL_EXPR_INTEGER:
    check_hex(parse, token);
    e->text = build_raw_text(parse, token);
    break;
  default:
    e->text = build_raw_text(parse, token);
  }
  if (e->text) e->text_length = strlen(e->text);
  return finish(parse, e, token);
}

Ex build_variable(Parse *parse, SqlSpan token) {
  const char *text = parse->text + token.at;
  if (text[0] == '#' && text[1] >= '0' && text[1] <= '9') {
    build_syntax_error(parse, token);
    return (Ex){0};
  }
  if (text[0] == '?' && token.length > 1) {
    int64_t number = 0;
    for (uint32_t i = 1; i < token.length && number <= SQL_MAX_VARIABLE; i++) {
      number = number * 10 + (text[i] - '0');
    }
    if (number < 1 || number > SQL_MAX_VARIABLE) {
      build_fail(parse, token.at, FAULT_LIMIT, "variable number must be between ?1 and ?%d",
                 SQL_MAX_VARIABLE);
    }
  }
  if (parse->nvariables++ == 0) parse->variable_at = token.at;
  return build_literal(parse, SQL_EXPR_VARIABLE, token);
}

Ex build_column(Parse *parse, SqlSpan schema, SqlSpan table, SqlSpan name) {
  SqlSpan first = schema.length ? schema : table.length ? table : name;
  SqlSpan at = build_span(first, name);
  SqlExpr *e = new_expr(parse, SQL_EXPR_COLUMN, at, 0);
  if (!e) return (Ex){0};
  e->schema = build_name(parse, schema);
  e->table = build_name(parse, table);
  e->name = build_name(parse, name);
  char first_char = parse->text[name.at];
  e->quoted = first_char == '"' && !table.length; /* a qualified name is never a string */
  e->delimited = first_char == '"' || first_char == '`' || first_char == '[';
  e->height = schema.length ? 3 : table.length ? 2 : 1; /* as SQLite counts the dots */
  return (Ex){parse->failed ? NULL : e, at};
}

Ex build_parens(SqlSpan open, Ex e, SqlSpan close) { return (Ex){e.e, build_span(open, close)}; }

Ex build_unary(Parse *parse, SqlOp op, SqlSpan token, Ex a) {
  SqlSpan at = build_span(token, a.at);
  SqlExpr *e = new_expr(parse, SQL_EXPR_UNARY, at, 1);
  if (!e) return (Ex){0};
  e->op = op;
  e->args[0] = a.e;
  /* SQLite reads - and the literal together, and 64 bits of hex have no negative. */
  const char *text = a.e->text;
  if (op == SQL_OP_NEG && a.e->kind == SQL_EXPR_INTEGER && text[0] == '0' &&
      (text[1] | 0x20) == 'x') {
    size_t first = 2;
    while (text[first] == '0') first++;
    if (strcmp(text + first, "8000000000000000") == 0) {
      build_fail(parse, at.at, FAULT_INVALID, "hex literal too big: -%s", text);
    }
  }
  return finish(parse, e, at);
}

Ex build_binary(Parse *parse, Ex a, SqlOp op, Ex b) {
  SqlSpan at = build_span(a.at, b.at);
  SqlExpr *e = new_expr(parse, SQL_EXPR_BINARY, at, 2);
  if (!e) return (Ex){0};
  e->op = op;
  e->args[0] = a.e;
  e->args[1] = b.e;
  return finish(parse, e, at);
}

Ex build_is_null(Parse *parse, Ex a, bool negated, SqlSpan last) {
  SqlSpan at = build_span(a.at, last);
  SqlExpr *e = new_expr(parse, SQL_EXPR_IS_NULL, at, 1);
  if (!e) return (Ex){0};
  e->args[0] = a.e;
  e->negated = negated;
  return finish(parse, e, at);
}

Ex build_is(Parse *parse, Ex a, bool negated, Ex b) {
  if (b.e && b.e->kind == SQL_EXPR_NULL) return build_is_null(parse, a, negated, b.at);
  return build_binary(parse, a, negated ? SQL_OP_IS_NOT : SQL_OP_IS, b);
}

/* NOT LIKE, NOT IN and NOT BETWEEN are two nodes to SQLite: one more level. */
static Ex finish_negated(Parse *parse, SqlExpr *e, SqlSpan at, bool negated) {
  e->negated = negated;
  Ex ex = finish(parse, e, at);
  if (negated && ex.e) ex.e->height++;
  return ex;
}

Ex build_like(Parse *parse, Ex a, SqlSpan op, bool negated, Ex b, Ex escape) {
  SqlSpan at = build_span(a.at, escape.e ? escape.at : b.at);
  SqlExpr *e = new_expr(parse, SQL_EXPR_LIKE, at, escape.e ? 3 : 2);
  if (!e) return (Ex){0};
  switch (parse->text[op.at] | 0x20) {
  case 'l':
    e->op = SQL_OP_LIKE;
    break;
  case 'g':
    e->op = SQL_OP_GLOB;
    break;
  case 'r':
    e->op = SQL_OP_REGEXP;
    break;
  default:
    e->op = SQL_OP_MATCH;
  }
  e->args[0] = a.e;
  e->args[1] = b.e;
  if (escape.e) e->args[2] = escape.e;
  return finish_negated(parse, e, at, negated);
}

Ex build_between(Parse *parse, Ex a, bool negated, Ex low, Ex high) {
  SqlSpan at = build_span(a.at, high.at);
  SqlExpr *e = new_expr(parse, SQL_EXPR_BETWEEN, at, 3);
  if (!e) return (Ex){0};
  e->args[0] = a.e;
  e->args[1] = low.e;
  e->args[2] = high.e;
  return finish_negated(parse, e, at, negated);
}

Ex build_in_list(Parse *parse, Ex a, bool negated, Exprs list, SqlSpan close) {
  SqlSpan at = build_span(a.at, close);
  SqlExpr *e = new_expr(parse, SQL_EXPR_IN_LIST, at, list.count + 1);
  if (!e) return (Ex){0};
  e->args[0] = a.e;
  if (list.count) memcpy(e->args + 1, list.items, (size_t)list.count * sizeof *list.items);
  return finish_negated(parse, e, at, negated);
}

Ex build_in_select(Parse *parse, Ex a, bool negated, Arms select, SqlSpan close) {
  SqlSpan at = build_span(a.at, close);
  SqlExpr *e = new_expr(parse, SQL_EXPR_IN_SELECT, at, 1);
  if (!e) return (Ex){0};
  e->args[0] = a.e;
  e->select = select.first;
  return finish_negated(parse, e, at, negated);
}

Ex build_in_table(Parse *parse, Ex a, bool negated, Name name, bool call, Exprs args, SqlSpan end) {
  SqlSpan at = build_span(a.at, end);
  SqlExpr *e = new_expr(parse, SQL_EXPR_IN_TABLE, at, 1);
  SqlSource *source = build_alloc(parse, sizeof *source);
  if (!source) return (Ex){0};
  source->kind = call ? SQL_SOURCE_FUNCTION : SQL_SOURCE_TABLE;
  source->schema = build_name(parse, name.schema);
  source->name = build_name(parse, name.name);
  source->args = args.items;
  source->nargs = args.count;
  source->span = build_span(name.schema.length ? name.schema : name.name, end);
  for (int i = 0; i < args.count; i++) build_height(parse, &source->height, args.items[i]);
  e->args[0] = a.e;
  e->source = source;
  return finish_negated(parse, e, at, negated);
}

Ex build_case(Parse *parse, SqlSpan first, Ex base, Exprs list, Ex otherwise, SqlSpan last) {
  SqlSpan at = build_span(first, last);
  int extra = (base.e != NULL) + (otherwise.e != NULL), n = 0;
  SqlExpr *e = new_expr(parse, SQL_EXPR_CASE, at, list.count + extra);
  if (!e) return (Ex){0};
  e->has_base = base.e != NULL;
  e->has_else = otherwise.e != NULL;
  if (base.e) e->args[n++] = base.e;
  for (int i = 0; i < list.count; i++) e->args[n++] = list.items[i];
  if (otherwise.e) e->args[n] = otherwise.e;
  return finish(parse, e, at);
}

Ex build_cast(Parse *parse, SqlSpan first, Ex a, SqlSpan type, SqlSpan last) {
  SqlSpan at = build_span(first, last);
  SqlExpr *e = new_expr(parse, SQL_EXPR_CAST, at, 1);
  if (!e) return (Ex){0};
  e->args[0] = a.e;
  e->name = build_raw_text(parse, type);
  return finish(parse, e, at);
}

Ex build_collate(Parse *parse, Ex a, SqlSpan name) {
  SqlSpan at = build_span(a.at, name);
  SqlExpr *e = new_expr(parse, SQL_EXPR_COLLATE, at, 1);
  if (!e) return (Ex){0};
  e->args[0] = a.e;
  e->name = build_name(parse, name);
  return finish(parse, e, at);
}

Ex build_function(Parse *parse, SqlSpan name, bool distinct, bool star, Exprs args, SqlSpan last) {
  SqlSpan at = build_span(name, last);
  SqlExpr *e = new_expr(parse, SQL_EXPR_FUNCTION, at, 0);
  if (!e) return (Ex){0};
  e->name = build_name(parse, name);
  e->distinct = distinct;
  e->star = star;
  e->args = args.items;
  e->nargs = args.count;
  if (args.count > SQL_MAX_ARGUMENTS) {
    build_fail(parse, at.at, FAULT_LIMIT, "too many arguments on function %s", e->name);
  }
  return finish(parse, e, at);
}

Ex build_window_call(Parse *parse, Ex call, SqlExpr *filter, SqlWindow *over, uint32_t end) {
  if (parse->failed) return call;
  SqlExpr *e = call.e;
  if (over && e->distinct) {
    build_fail(parse, call.at.at, FAULT_INVALID, "DISTINCT is not supported for window functions");
  }
  e->filter = filter;
  e->over = over;
  e->span.length = end - e->span.at;
  return finish(parse, e, e->span);
}

Ex build_select(Parse *parse, SqlExprKind kind, SqlSpan first, Arms select, SqlSpan last) {
  SqlSpan at = build_span(first, last);
  SqlExpr *e = new_expr(parse, kind, at, 0);
  if (!e) return (Ex){0};
  e->select = select.first;
  return finish(parse, e, at);
}

Ex build_row(Parse *parse, SqlSpan open, Exprs list, SqlSpan close) {
  SqlSpan at = build_span(open, close);
  SqlExpr *e = new_expr(parse, SQL_EXPR_ROW, at, 0);
  if (!e) return (Ex){0};
  e->args = list.items;
  e->nargs = list.count;
  return finish(parse, e, at);
}

Ex build_raise(Parse *parse, SqlSpan first, SqlSpan kind, SqlSpan message, SqlSpan last) {
  SqlSpan at = build_span(first, last);
  SqlExpr *e = new_expr(parse, SQL_EXPR_RAISE, at, message.length ? 1 : 0);
  if (!e) return (Ex){0};
  e->name = upper_word(parse, kind);
  if (message.length) e->args[0] = build_literal(parse, SQL_EXPR_STRING, message).e;
  return finish(parse, e, at);
}
