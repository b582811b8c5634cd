/*
** Between the parts of expressions: tokens, the tree, types of C, numbers.
*/
#ifndef TENFOLD_REPLAY_EXPR_INNER_H
#define TENFOLD_REPLAY_EXPR_INNER_H

#include "base/array.h"
#include "replay/expr.h"
#include "replay/value_inner.h"

__extension__ typedef unsigned __int128 Wide;
__extension__ typedef __int128 SignedWide;

/* ---- expr_lex.c */

typedef enum TokenKind {
  TOKEN_END,
  TOKEN_NAME,
  TOKEN_REGISTER, /* $name */
  TOKEN_INTEGER,
  TOKEN_REAL,
  TOKEN_CHAR,
  TOKEN_STRING,
  TOKEN_QUOTED, /* 'file.c' before :: */
  TOKEN_OP
} TokenKind;

/* Operators of two and three characters have codes above those of characters. */
enum {
  OP_ARROW = 256,
  OP_SHL,
  OP_SHR,
  OP_LE,
  OP_GE,
  OP_EQ,
  OP_NE,
  OP_AND,
  OP_OR,
  OP_SCOPE, /* :: */
  OP_CHANGE /* ++, += and so on */
};

typedef struct Token {
  TokenKind kind;
  int op;
  size_t at, size; /* in the text */
  uint64_t integer;
  double real;
  const DwarfType *type; /* of a number */
  const char *bytes;     /* of a string, without its quotes, escapes resolved */
  size_t nbytes;
} Token;

typedef struct Lexer {
  const char *text;
  size_t at;
  Arena *arena;
} Lexer;

bool expr_token(Lexer *lexer, Token *out, Fault *fault);
bool expr_fail(Fault *fault, FaultCode code, size_t at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- the tree */

typedef enum NodeKind {
  NODE_NAME,
  NODE_REGISTER,
  NODE_NUMBER, /* token.integer, or token.real; token.type */
  NODE_STRING,
  NODE_UNARY,  /* op a */
  NODE_BINARY, /* a op b; also && and || */
  NODE_CHOICE, /* a ? b : c */
  NODE_INDEX,  /* a[b] */
  NODE_MEMBER, /* a.name, and a->name with op OP_ARROW */
  NODE_CAST,   /* (type)a */
  NODE_SIZEOF  /* of a, or of type when a is NULL */
} NodeKind;

struct Expr {
  NodeKind kind;
  int op;
  size_t at; /* in the text */
  const Expr *a, *b, *c;
  const DwarfType *type;
  const char *name;
  const char *within; /* of a name: what is written before ::, or NULL */
  Token token;
};

/* ---- expr_types.c */

typedef enum BasicType {
  BASIC_CHAR,
  BASIC_BOOL,
  BASIC_SIGNED_CHAR,
  BASIC_UNSIGNED_CHAR,
  BASIC_SHORT,
  BASIC_UNSIGNED_SHORT,
  BASIC_INT,
  BASIC_UNSIGNED,
  BASIC_LONG,
  BASIC_UNSIGNED_LONG,
  BASIC_LONG_LONG,
  BASIC_UNSIGNED_LONG_LONG,
  BASIC_INT128,
  BASIC_UNSIGNED_INT128,
  BASIC_FLOAT,
  BASIC_DOUBLE,
  BASIC_LONG_DOUBLE,
  BASIC_VOID,
  BASIC_COUNT
} BasicType;

const DwarfType *expr_basic(BasicType which);

typedef struct Parser {
  Lexer lexer;
  Token token; /* the next one */
  const ExprScope *scope;
  Arena *arena;
  Fault *fault;
  int depth, nodes;
} Parser;

/* Is the token the beginning of a type's name? A name that is a variable as well is that. */
bool expr_starts_type(const Parser *parser, const Token *token);
/* "struct x *", "unsigned long", "size_t[4]": a type without a variable's name. */
bool expr_parse_type(Parser *parser, const DwarfType **out);
bool expr_next(Parser *parser);
static inline bool expr_is_op(const Parser *parser, int op) {
  return parser->token.kind == TOKEN_OP && parser->token.op == op;
}
bool expr_expect(Parser *parser, int op);

/* ---- expr_names.c */

typedef enum NameKind { NAME_NOTHING, NAME_VARIABLE, NAME_FUNCTION, NAME_ENUMERATOR } NameKind;

typedef struct Named {
  NameKind kind;
  const ValueSource *source; /* of its module */
  uint64_t die;
  uint64_t entry;        /* of a function, in the process */
  const DwarfType *type; /* of an enumerator */
  int64_t number;
} Named;

/* `within`: a file, module or function it must be of, or NULL. */
bool expr_find_name(const ExprScope *scope, const char *within, const char *name, Named *out,
                    Fault *fault);
/* A type: by its keyword (TYPE_STRUCT, TYPE_UNION, TYPE_ENUM) or, with TYPE_TYPEDEF, a typedef or
** base type. NULL without a fault: none. */
const DwarfType *expr_find_type(const ExprScope *scope, TypeKind kind, const char *name,
                                Fault *fault);

/* ---- expr_number.c */

typedef struct Num {
  const DwarfType *type;
  bool is_real, is_signed;
  uint32_t size;
  Wide integer; /* cut to its size, and widened by its sign */
  long double real;
} Num;

/* A value as an operand, promoted. *out_ok false: it is no number (a pointer is an unsigned long).
** The type is right even when the state says that the value is not known. */
bool num_load(const Value *value, Num *out, bool *out_ok, ValueState *out_state, Fault *fault);
Num num_integer(BasicType type, uint64_t integer);
/* The number as one of a type (stripped): integer, character, bool, enumeration, float, pointer.
** False: no such conversion. */
bool num_convert(const Num *num, const DwarfType *plain, Num *out);
/* C's integer promotions and usual conversions. */
void num_promote(Num *num);
void num_balance(Num *a, Num *b);
/* + - * / % & | ^ << >> and comparisons, of balanced numbers (shifts: of promoted ones). False: not
** for floats. */
bool num_binary(int op, const Num *a, const Num *b, Num *out, ValueState *out_state);
bool num_is_zero(const Num *num);
/* Its bytes: 16 of room; gives how many. */
size_t num_store(const Num *num, uint8_t out[16]);

#endif
