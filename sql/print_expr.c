/*
** Printing expressions: see sql.h.
**
** Each construct has a level of binding (the grammar's precedences); an operand that binds less
** than its place demands gets parentheses.
*/
#include <string.h>

#include "sql/print.h"
#include "sql/token.h"

typedef enum Level {
  LEVEL_OR = 1,
  LEVEL_AND,
  LEVEL_NOT,
  LEVEL_EQUAL, /* = <> IS IN LIKE BETWEEN ISNULL */
  LEVEL_LESS,
  LEVEL_ESCAPE,
  LEVEL_BITS,
  LEVEL_ADD,
  LEVEL_MUL,
  LEVEL_CONCAT,
  LEVEL_COLLATE,
  LEVEL_SIGN,
  LEVEL_PRIMARY
} Level;

static const struct {
  const char *word;
  Level level;
} operators[] = {
    [SQL_OP_NONE] = {"", LEVEL_PRIMARY},     [SQL_OP_OR] = {"OR", LEVEL_OR},
    [SQL_OP_AND] = {"AND", LEVEL_AND},       [SQL_OP_NOT] = {"NOT", LEVEL_NOT},
    [SQL_OP_EQ] = {"=", LEVEL_EQUAL},        [SQL_OP_NE] = {"<>", LEVEL_EQUAL},
    [SQL_OP_LT] = {"<", LEVEL_LESS},         [SQL_OP_LE] = {"<=", LEVEL_LESS},
    [SQL_OP_GT] = {">", LEVEL_LESS},         [SQL_OP_GE] = {">=", LEVEL_LESS},
    [SQL_OP_IS] = {"IS", LEVEL_EQUAL},       [SQL_OP_IS_NOT] = {"IS NOT", LEVEL_EQUAL},
    [SQL_OP_BITAND] = {"&", LEVEL_BITS},     [SQL_OP_BITOR] = {"|", LEVEL_BITS},
    [SQL_OP_LSHIFT] = {"<<", LEVEL_BITS},    [SQL_OP_RSHIFT] = {">>", LEVEL_BITS},
    [SQL_OP_ADD] = {"+", LEVEL_ADD},         [SQL_OP_SUB] = {"-", LEVEL_ADD},
    [SQL_OP_MUL] = {"*", LEVEL_MUL},         [SQL_OP_DIV] = {"/", LEVEL_MUL},
    [SQL_OP_MOD] = {"%", LEVEL_MUL},         [SQL_OP_CONCAT] = {"||", LEVEL_CONCAT},
    [SQL_OP_PTR] = {"->", LEVEL_CONCAT},     [SQL_OP_PTR2] = {"->>", LEVEL_CONCAT},
    [SQL_OP_NEG] = {"-", LEVEL_SIGN},        [SQL_OP_POS] = {"+", LEVEL_SIGN},
    [SQL_OP_BITNOT] = {"~", LEVEL_SIGN},     [SQL_OP_LIKE] = {"LIKE", LEVEL_EQUAL},
    [SQL_OP_GLOB] = {"GLOB", LEVEL_EQUAL},   [SQL_OP_REGEXP] = {"REGEXP", LEVEL_EQUAL},
    [SQL_OP_MATCH] = {"MATCH", LEVEL_EQUAL},
};

static Level level_of(const SqlExpr *e) {
  switch (e->kind) {
  case SQL_EXPR_UNARY:
  case SQL_EXPR_BINARY:
    return operators[e->op].level;
  case SQL_EXPR_IS_NULL:
  case SQL_EXPR_BETWEEN:
  case SQL_EXPR_IN_LIST:
  case SQL_EXPR_IN_SELECT:
  case SQL_EXPR_IN_TABLE:
  case SQL_EXPR_LIKE:
    return LEVEL_EQUAL;
  case SQL_EXPR_COLLATE:
    return LEVEL_COLLATE;
  default:
    return LEVEL_PRIMARY;
  }
}

static bool is_plain(const char *name) {
  size_t length = strlen(name);
  if (!length || (name[0] >= '0' && name[0] <= '9') || name[0] == '$') return false;
  for (size_t i = 0; i < length; i++) {
    if (!sql_is_id_char(name[i])) return false;
  }
  if (strncmp(name, "\xEF\xBB\xBF", 3) == 0) return false; /* a byte order mark is white space */
  return sql_keyword(name, length) == SQL_TK_ID;
}

void print_name(Text *out, const char *name) {
  if (is_plain(name)) {
    text_add(out, name);
  } else {
    text_add_name(out, name);
  }
}

void print_qualified(Text *out, const char *schema, const char *name) {
  if (schema) {
    print_name(out, schema);
    text_addc(out, '.');
  }
  print_name(out, name);
}

void print_names(Text *out, const char **names, int n) {
  text_addc(out, '(');
  for (int i = 0; i < n; i++) {
    if (i) text_add(out, ", ");
    print_name(out, names[i]);
  }
  text_addc(out, ')');
}

static bool is_truth(const char *name) {
  size_t length = strlen(name);
  const char *word = length == 4 ? "true" : "false";
  if (length != strlen(word)) return false;
  for (size_t i = 0; i < length; i++) {
    if ((name[i] | 0x20) != word[i]) return false;
  }
  return true;
}

/* The quotes matter: "a" may be a string, `a` may not, true may be a number, `true` may not. */
static void print_column(Text *out, const SqlExpr *e) {
  if (e->table) {
    if (e->schema) {
      print_name(out, e->schema);
      text_addc(out, '.');
    }
    print_name(out, e->table);
    text_addc(out, '.');
    print_name(out, e->name);
  } else if (e->quoted) {
    text_add_name(out, e->name);
  } else if (is_plain(e->name) && !(e->delimited && is_truth(e->name))) {
    text_add(out, e->name);
  } else {
    text_addc(out, '`');
    for (const char *c = e->name; *c; c++) {
      if (*c == '`') text_addc(out, '`');
      text_addc(out, *c);
    }
    text_addc(out, '`');
  }
}

static void print_at(const SqlPrinter *printer, const SqlExpr *e, Level least) {
  bool parens = level_of(e) < least;
  if (parens) text_addc(printer->out, '(');
  sql_print_expr(printer, e);
  if (parens) text_addc(printer->out, ')');
}

void print_list(const SqlPrinter *printer, SqlExpr **list, int n) {
  for (int i = 0; i < n; i++) {
    if (i) text_add(printer->out, ", ");
    sql_print_expr(printer, list[i]);
  }
}

static void print_unary(const SqlPrinter *printer, const SqlExpr *e) {
  text_add(printer->out, operators[e->op].word);
  /* "--" would begin a comment, and a hook may write anything. */
  bool space = e->op == SQL_OP_NOT || printer->expr || e->args[0]->kind == SQL_EXPR_UNARY;
  if (space) text_addc(printer->out, ' ');
  print_at(printer, e->args[0], operators[e->op].level);
}

static void print_binary(const SqlPrinter *printer, const SqlExpr *e) {
  Level level = operators[e->op].level;
  print_at(printer, e->args[0], level);
  text_addc(printer->out, ' ');
  text_add(printer->out, operators[e->op].word);
  text_addc(printer->out, ' ');
  print_at(printer, e->args[1], level + 1);
}

static void print_like(const SqlPrinter *printer, const SqlExpr *e) {
  bool escape = e->nargs == 3;
  print_at(printer, e->args[0], LEVEL_EQUAL);
  text_add(printer->out, e->negated ? " NOT " : " ");
  text_add(printer->out, operators[e->op].word);
  text_addc(printer->out, ' ');
  print_at(printer, e->args[1], escape ? LEVEL_BITS : LEVEL_LESS);
  if (escape) {
    text_add(printer->out, " ESCAPE ");
    print_at(printer, e->args[2], LEVEL_BITS);
  }
}

static void print_in(const SqlPrinter *printer, const SqlExpr *e) {
  Text *out = printer->out;
  print_at(printer, e->args[0], LEVEL_EQUAL);
  text_add(out, e->negated ? " NOT IN " : " IN ");
  if (e->kind == SQL_EXPR_IN_TABLE) {
    sql_print_source(printer, e->source);
    return;
  }
  text_addc(out, '(');
  if (e->kind == SQL_EXPR_IN_SELECT) {
    sql_print_select(printer, e->select);
  } else {
    print_list(printer, e->args + 1, e->nargs - 1);
  }
  text_addc(out, ')');
}

static void print_case(const SqlPrinter *printer, const SqlExpr *e) {
  Text *out = printer->out;
  int i = 0;
  text_add(out, "CASE");
  if (e->has_base) {
    text_addc(out, ' ');
    sql_print_expr(printer, e->args[i++]);
  }
  for (; i + 1 < e->nargs; i += 2) {
    text_add(out, " WHEN ");
    sql_print_expr(printer, e->args[i]);
    text_add(out, " THEN ");
    sql_print_expr(printer, e->args[i + 1]);
  }
  if (e->has_else) {
    text_add(out, " ELSE ");
    sql_print_expr(printer, e->args[e->nargs - 1]);
  }
  text_add(out, " END");
}

/* Keywords that functions of SQLite bear, and that need no quotes before a parenthesis. */
static void print_function_name(Text *out, const char *name) {
  int code = sql_keyword(name, strlen(name));
  if (code == SQL_TK_LIKE_KW || code == SQL_TK_REPLACE || code == SQL_TK_IF ||
      code == SQL_TK_MATCH) {
    text_add(out, name);
  } else {
    print_name(out, name);
  }
}

static void print_function(const SqlPrinter *printer, const SqlExpr *e) {
  Text *out = printer->out;
  print_function_name(out, e->name);
  text_addc(out, '(');
  if (e->distinct) text_add(out, "DISTINCT ");
  if (e->star) {
    text_addc(out, '*');
  } else {
    print_list(printer, e->args, e->nargs);
  }
  text_addc(out, ')');
  if (e->filter) {
    text_add(out, " FILTER (WHERE ");
    sql_print_expr(printer, e->filter);
    text_addc(out, ')');
  }
  if (!e->over) return;
  text_add(out, " OVER ");
  if (e->over->base_only) {
    print_name(out, e->over->base);
  } else {
    text_addc(out, '(');
    print_window(printer, e->over);
    text_addc(out, ')');
  }
}

static void print_sub_select(const SqlPrinter *printer, const SqlExpr *e) {
  text_add(printer->out, e->kind == SQL_EXPR_EXISTS ? "EXISTS (" : "(");
  sql_print_select(printer, e->select);
  text_addc(printer->out, ')');
}

static void print_raise(const SqlPrinter *printer, const SqlExpr *e) {
  text_addf(printer->out, "RAISE(%s", e->name);
  if (e->nargs) {
    text_add(printer->out, ", ");
    sql_print_expr(printer, e->args[0]);
  }
  text_addc(printer->out, ')');
}

static void print_postfix(const SqlPrinter *printer, const SqlExpr *e) {
  Text *out = printer->out;
  switch (e->kind) {
  case SQL_EXPR_IS_NULL:
    print_at(printer, e->args[0], LEVEL_EQUAL);
    text_add(out, e->negated ? " IS NOT NULL" : " IS NULL");
    break;
  case SQL_EXPR_BETWEEN:
    print_at(printer, e->args[0], LEVEL_EQUAL);
    text_add(out, e->negated ? " NOT BETWEEN " : " BETWEEN ");
    print_at(printer, e->args[1], LEVEL_LESS);
    text_add(out, " AND ");
    print_at(printer, e->args[2], LEVEL_LESS);
    break;
  case SQL_EXPR_COLLATE:
    print_at(printer, e->args[0], LEVEL_COLLATE);
    text_add(out, " COLLATE ");
    print_name(out, e->name);
    break;
  default: /* CAST */
    text_add(out, "CAST(");
    sql_print_expr(printer, e->args[0]);
    text_add(out, " AS");
    if (*e->name) text_addf(out, " %s", e->name);
    text_addc(out, ')');
  }
}

void sql_print_expr(const SqlPrinter *printer, const SqlExpr *e) {
  Text *out = printer->out;
  if (printer->expr && printer->expr(printer->ctx, out, e)) return;
  switch (e->kind) {
  case SQL_EXPR_NULL:
    text_add(out, "NULL");
    break;
  case SQL_EXPR_INTEGER:
  case SQL_EXPR_REAL:
  case SQL_EXPR_VARIABLE:
    text_addn(out, e->text, e->text_length);
    break;
  case SQL_EXPR_STRING:
    text_add_string(out, e->text, e->text_length);
    break;
  case SQL_EXPR_BLOB:
    text_addf(out, "x'%s'", e->text);
    break;
  case SQL_EXPR_CURRENT:
    text_add(out, e->name);
    break;
  case SQL_EXPR_COLUMN:
    print_column(out, e);
    break;
  case SQL_EXPR_STAR:
    if (e->table) {
      print_name(out, e->table);
      text_addc(out, '.');
    }
    text_addc(out, '*');
    break;
  case SQL_EXPR_UNARY:
    print_unary(printer, e);
    break;
  case SQL_EXPR_BINARY:
    print_binary(printer, e);
    break;
  case SQL_EXPR_IN_LIST:
  case SQL_EXPR_IN_SELECT:
  case SQL_EXPR_IN_TABLE:
    print_in(printer, e);
    break;
  case SQL_EXPR_LIKE:
    print_like(printer, e);
    break;
  case SQL_EXPR_CASE:
    print_case(printer, e);
    break;
  case SQL_EXPR_IS_NULL:
  case SQL_EXPR_BETWEEN:
  case SQL_EXPR_CAST:
  case SQL_EXPR_COLLATE:
    print_postfix(printer, e);
    break;
  case SQL_EXPR_FUNCTION:
    print_function(printer, e);
    break;
  case SQL_EXPR_EXISTS:
  case SQL_EXPR_SELECT:
    print_sub_select(printer, e);
    break;
  case SQL_EXPR_ROW:
    text_addc(out, '(');
    print_list(printer, e->args, e->nargs);
    text_addc(out, ')');
    break;
  case SQL_EXPR_RAISE:
    print_raise(printer, e);
    break;
  }
}
