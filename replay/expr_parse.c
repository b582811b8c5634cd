/*
** The tree of an expression, by C's precedences.
*/
#include <string.h>

#include "replay/expr_inner.h"

/* Trees are walked by recursion: no expression may be too much for the stack. */
enum { MOST_DEPTH = 100, MOST_NODES = 1000 };

bool expr_next(Parser *parser) { return expr_token(&parser->lexer, &parser->token, parser->fault); }

static bool unexpected(Parser *parser, const char *wanted) {
  const Token *token = &parser->token;
  int size = (int)(token->size < 40 ? token->size : 40);
  const char *text = parser->lexer.text + token->at;
  if (token->kind == TOKEN_END)
    return expr_fail(parser->fault, FAULT_INVALID, token->at, "%s is missing", wanted);
  if (token->kind == TOKEN_OP && (token->op == OP_CHANGE || token->op == '='))
    return expr_fail(parser->fault, FAULT_INVALID, token->at,
                     "\"%.*s\" would change the program, which has run already", size, text);
  return expr_fail(parser->fault, FAULT_INVALID, token->at, "\"%.*s\" where %s is wanted", size,
                   text, wanted);
}

bool expr_expect(Parser *parser, int op) {
  char wanted[] = {'"', (char)op, '"', 0};
  return expr_is_op(parser, op) ? expr_next(parser) : unexpected(parser, wanted);
}

static bool enter(Parser *parser) {
  if (parser->depth++ < MOST_DEPTH) return true;
  return expr_fail(parser->fault, FAULT_LIMIT, parser->token.at,
                   "an expression nested more than %d deep", MOST_DEPTH);
}

static bool make(Parser *parser, const Expr *node, const Expr **out) {
  if (parser->nodes++ == MOST_NODES)
    return expr_fail(parser->fault, FAULT_LIMIT, node->at, "an expression of more than %d parts",
                     MOST_NODES);
  Expr *made = arena_alloc(parser->arena, sizeof *made);
  if (!made) return fault_oom(parser->fault);
  *made = *node;
  *out = made;
  return true;
}

static bool copy_text(Parser *parser, size_t skip, const char **out) {
  const Token *token = &parser->token;
  *out = arena_strndup(parser->arena, parser->lexer.text + token->at + skip, token->size - skip);
  return *out || fault_oom(parser->fault);
}

static bool parse_choice(Parser *parser, const Expr **out);
static bool parse_unary(Parser *parser, const Expr **out);

/* ---- names, literals, parentheses */

/* file::name, behind the file. */
static bool parse_within(Parser *parser, Expr *node) {
  node->within = node->name;
  if (!expr_next(parser)) return false;
  if (parser->token.kind != TOKEN_NAME) return unexpected(parser, "a name");
  return copy_text(parser, 0, &node->name) && expr_next(parser);
}

static bool parse_name(Parser *parser, Expr *node) {
  node->kind = NODE_NAME;
  if (parser->token.kind == TOKEN_QUOTED)
    node->name = arena_strndup(parser->arena, parser->token.bytes, parser->token.nbytes);
  else if (!copy_text(parser, 0, &node->name))
    return false;
  if (!node->name) return fault_oom(parser->fault);
  if (!expr_next(parser)) return false;
  return !expr_is_op(parser, OP_SCOPE) || parse_within(parser, node);
}

static bool parse_primary(Parser *parser, const Expr **out) {
  Expr node = {.at = parser->token.at, .token = parser->token};
  switch (parser->token.kind) {
  case TOKEN_NAME:
  case TOKEN_QUOTED:
    return parse_name(parser, &node) && make(parser, &node, out);
  case TOKEN_REGISTER:
    node.kind = NODE_REGISTER;
    if (!copy_text(parser, 1, &node.name)) return false;
    break;
  case TOKEN_INTEGER:
  case TOKEN_REAL:
  case TOKEN_CHAR:
    node.kind = NODE_NUMBER;
    break;
  case TOKEN_STRING:
    node.kind = NODE_STRING;
    break;
  default:
    if (!expr_is_op(parser, '(')) return unexpected(parser, "a value");
    return expr_next(parser) && parse_choice(parser, out) && expr_expect(parser, ')');
  }
  return make(parser, &node, out) && expr_next(parser);
}

static bool parse_index(Parser *parser, Expr *node) {
  node->kind = NODE_INDEX;
  return expr_next(parser) && parse_choice(parser, &node->b) && expr_expect(parser, ']');
}

static bool parse_member(Parser *parser, Expr *node) {
  node->kind = NODE_MEMBER;
  node->op = parser->token.op;
  if (!expr_next(parser)) return false;
  node->at = parser->token.at;
  if (parser->token.kind != TOKEN_NAME) return unexpected(parser, "the name of a member");
  return copy_text(parser, 0, &node->name) && expr_next(parser);
}

static bool parse_postfix(Parser *parser, const Expr **out) {
  if (!parse_primary(parser, out)) return false;
  for (int count = 0; parser->token.kind == TOKEN_OP; count++) {
    Expr node = {.a = *out, .at = parser->token.at};
    if (count == MOST_DEPTH)
      return expr_fail(parser->fault, FAULT_LIMIT, node.at, "an expression too long");
    if (expr_is_op(parser, '(') && node.a->kind == NODE_NAME)
      return expr_fail(parser->fault, FAULT_INVALID, node.at,
                       "%s cannot be called: the program has run already", node.a->name);
    bool index = expr_is_op(parser, '[');
    if (!index && !expr_is_op(parser, '.') && !expr_is_op(parser, OP_ARROW)) break;
    if (!(index ? parse_index(parser, &node) : parse_member(parser, &node)) ||
        !make(parser, &node, out))
      return false;
  }
  return true;
}

/* ---- operators in front */

/* A type in parentheses, if that is what comes. */
static bool parse_type_inside(Parser *parser, const DwarfType **out) {
  *out = NULL;
  if (!expr_is_op(parser, '(')) return true;
  Parser ahead = *parser;
  if (!expr_next(&ahead)) return false;
  if (!expr_starts_type(&ahead, &ahead.token)) return true;
  *parser = ahead;
  return expr_parse_type(parser, out) && expr_expect(parser, ')');
}

static bool parse_sizeof(Parser *parser, const Expr **out) {
  Expr node = {.kind = NODE_SIZEOF, .at = parser->token.at};
  if (!expr_next(parser) || !parse_type_inside(parser, &node.type)) return false;
  if (!node.type && !parse_unary(parser, &node.a)) return false;
  return make(parser, &node, out);
}

static bool is_sizeof(const Parser *parser) {
  const Token *token = &parser->token;
  return token->kind == TOKEN_NAME && token->size == 6 &&
         !strncmp(parser->lexer.text + token->at, "sizeof", 6);
}

static bool parse_prefixed(Parser *parser, const Expr **out) {
  if (is_sizeof(parser)) return parse_sizeof(parser, out);
  Expr node = {.at = parser->token.at, .op = parser->token.op};
  if (!parse_type_inside(parser, &node.type)) return false;
  if (node.type) {
    node.kind = NODE_CAST;
    return parse_unary(parser, &node.a) && make(parser, &node, out);
  }
  if (parser->token.kind != TOKEN_OP || parser->token.op > 127 ||
      !strchr("*&-+!~", parser->token.op))
    return parse_postfix(parser, out);
  node.kind = NODE_UNARY;
  return expr_next(parser) && parse_unary(parser, &node.a) && make(parser, &node, out);
}

static bool parse_unary(Parser *parser, const Expr **out) {
  bool ok = enter(parser) && parse_prefixed(parser, out);
  parser->depth--;
  return ok;
}

/* ---- operators between */

static int precedence(const Token *token) {
  if (token->kind != TOKEN_OP) return 0;
  switch (token->op) {
  case '*':
  case '/':
  case '%':
    return 10;
  case '+':
  case '-':
    return 9;
  case OP_SHL:
  case OP_SHR:
    return 8;
  case '<':
  case '>':
  case OP_LE:
  case OP_GE:
    return 7;
  case OP_EQ:
  case OP_NE:
    return 6;
  case '&':
    return 5;
  case '^':
    return 4;
  case '|':
    return 3;
  case OP_AND:
    return 2;
  case OP_OR:
    return 1;
  default:
    return 0;
  }
}

static bool parse_binary(Parser *parser, int least, const Expr **out) {
  if (!parse_unary(parser, out)) return false;
  int level;
  for (int count = 0; (level = precedence(&parser->token)) >= least; count++) {
    Expr node = {.kind = NODE_BINARY, .op = parser->token.op, .at = parser->token.at, .a = *out};
    if (count == MOST_DEPTH)
      return expr_fail(parser->fault, FAULT_LIMIT, node.at, "an expression too long");
    bool ok = expr_next(parser) && enter(parser) && parse_binary(parser, level + 1, &node.b) &&
              make(parser, &node, out);
    parser->depth--;
    if (!ok) return false;
  }
  return true;
}

static bool parse_choice(Parser *parser, const Expr **out) {
  if (!parse_binary(parser, 1, out)) return false;
  if (!expr_is_op(parser, '?')) return true;
  Expr node = {.kind = NODE_CHOICE, .at = parser->token.at, .a = *out};
  bool ok = expr_next(parser) && enter(parser) && parse_choice(parser, &node.b) &&
            expr_expect(parser, ':') && parse_choice(parser, &node.c) && make(parser, &node, out);
  parser->depth--;
  return ok;
}

bool expr_parse(const char *text, const ExprScope *scope, Arena *arena, const Expr **out,
                const char **out_rest, Fault *fault) {
  Fault own = {0};
  Parser parser = {.lexer = {text, 0, arena}, .scope = scope, .arena = arena, .fault = &own};
  bool ok = expr_next(&parser) && parse_choice(&parser, out);
  if (ok && out_rest) *out_rest = text + parser.token.at;
  if (ok && !out_rest && parser.token.kind != TOKEN_END) ok = unexpected(&parser, "an operator");
  return ok || fault_set(fault, own.code, "%s", own.text);
}
