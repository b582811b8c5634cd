/*
** Names of types in expressions, and the types that C itself has.
*/
#include <string.h>

#include "replay/expr_inner.h"

#define BASIC(kind_, size_, name_)                                                                 \
  { .kind = kind_, .has_size = true, .size = size_, .name = name_ }

static const DwarfType basics[BASIC_COUNT] = {
    [BASIC_CHAR] = BASIC(TYPE_SIGNED_CHAR, 1, "char"),
    [BASIC_BOOL] = BASIC(TYPE_BOOL, 1, "_Bool"),
    [BASIC_SIGNED_CHAR] = BASIC(TYPE_SIGNED_CHAR, 1, "signed char"),
    [BASIC_UNSIGNED_CHAR] = BASIC(TYPE_UNSIGNED_CHAR, 1, "unsigned char"),
    [BASIC_SHORT] = BASIC(TYPE_SIGNED, 2, "short int"),
    [BASIC_UNSIGNED_SHORT] = BASIC(TYPE_UNSIGNED, 2, "short unsigned int"),
    [BASIC_INT] = BASIC(TYPE_SIGNED, 4, "int"),
    [BASIC_UNSIGNED] = BASIC(TYPE_UNSIGNED, 4, "unsigned int"),
    [BASIC_LONG] = BASIC(TYPE_SIGNED, 8, "long int"),
    [BASIC_UNSIGNED_LONG] = BASIC(TYPE_UNSIGNED, 8, "long unsigned int"),
    [BASIC_LONG_LONG] = BASIC(TYPE_SIGNED, 8, "long long int"),
    [BASIC_UNSIGNED_LONG_LONG] = BASIC(TYPE_UNSIGNED, 8, "long long unsigned int"),
    [BASIC_INT128] = BASIC(TYPE_SIGNED, 16, "__int128"),
    [BASIC_UNSIGNED_INT128] = BASIC(TYPE_UNSIGNED, 16, "unsigned __int128"),
    [BASIC_FLOAT] = BASIC(TYPE_FLOAT, 4, "float"),
    [BASIC_DOUBLE] = BASIC(TYPE_FLOAT, 8, "double"),
    [BASIC_LONG_DOUBLE] = BASIC(TYPE_FLOAT, 16, "long double"),
    [BASIC_VOID] = {.kind = TYPE_VOID},
};

const DwarfType *expr_basic(BasicType which) { return &basics[which]; }

/* ---- words */

enum {
  WORD_SIGNED = 1,
  WORD_UNSIGNED = 2,
  WORD_CHAR = 4,
  WORD_SHORT = 8,
  WORD_INT = 16,
  WORD_LONG = 32,
  WORD_LONG_LONG = 64,
  WORD_FLOAT = 128,
  WORD_DOUBLE = 256,
  WORD_BOOL = 512,
  WORD_VOID = 1024,
  WORD_INT128 = 2048,
  WORD_QUALIFIER = 4096,
  WORD_TAG = 8192
};

static const struct Word {
  const char *text;
  int bit;
  TypeKind kind; /* of a tag */
} words[] = {
    {"_Bool", WORD_BOOL, TYPE_BOOL},
    {"__int128", WORD_INT128, TYPE_SIGNED},
    {"bool", WORD_BOOL, TYPE_BOOL},
    {"char", WORD_CHAR, TYPE_SIGNED_CHAR},
    {"class", WORD_TAG, TYPE_STRUCT},
    {"const", WORD_QUALIFIER, TYPE_CONST},
    {"double", WORD_DOUBLE, TYPE_FLOAT},
    {"enum", WORD_TAG, TYPE_ENUM},
    {"float", WORD_FLOAT, TYPE_FLOAT},
    {"int", WORD_INT, TYPE_SIGNED},
    {"long", WORD_LONG, TYPE_SIGNED},
    {"restrict", WORD_QUALIFIER, TYPE_RESTRICT},
    {"short", WORD_SHORT, TYPE_SIGNED},
    {"signed", WORD_SIGNED, TYPE_SIGNED},
    {"struct", WORD_TAG, TYPE_STRUCT},
    {"union", WORD_TAG, TYPE_UNION},
    {"unsigned", WORD_UNSIGNED, TYPE_UNSIGNED},
    {"void", WORD_VOID, TYPE_VOID},
    {"volatile", WORD_QUALIFIER, TYPE_VOLATILE},
};

static const struct Word *find_word(const Parser *parser, const Token *token) {
  const char *text = parser->lexer.text + token->at;
  if (token->kind != TOKEN_NAME) return NULL;
  for (size_t i = 0; i < countof(words); i++)
    if (strlen(words[i].text) == token->size && !strncmp(words[i].text, text, token->size))
      return &words[i];
  return NULL;
}

/* What the words that were seen mean; false: nothing in C. */
static bool basic_of(int seen, const DwarfType **out) {
  static const struct {
    int bits;
    BasicType type;
  } meanings[] = {
      {WORD_CHAR, BASIC_CHAR},
      {WORD_BOOL, BASIC_BOOL},
      {WORD_VOID, BASIC_VOID},
      {WORD_FLOAT, BASIC_FLOAT},
      {WORD_DOUBLE, BASIC_DOUBLE},
      {WORD_LONG | WORD_DOUBLE, BASIC_LONG_DOUBLE},
      {WORD_SIGNED | WORD_CHAR, BASIC_SIGNED_CHAR},
      {WORD_UNSIGNED | WORD_CHAR, BASIC_UNSIGNED_CHAR},
      {WORD_SHORT, BASIC_SHORT},
      {WORD_UNSIGNED | WORD_SHORT, BASIC_UNSIGNED_SHORT},
      {0, BASIC_INT},
      {WORD_UNSIGNED, BASIC_UNSIGNED},
      {WORD_LONG, BASIC_LONG},
      {WORD_UNSIGNED | WORD_LONG, BASIC_UNSIGNED_LONG},
      {WORD_LONG | WORD_LONG_LONG, BASIC_LONG_LONG},
      {WORD_UNSIGNED | WORD_LONG | WORD_LONG_LONG, BASIC_UNSIGNED_LONG_LONG},
      {WORD_INT128, BASIC_INT128},
      {WORD_UNSIGNED | WORD_INT128, BASIC_UNSIGNED_INT128},
  };
  /* "int" adds nothing, "signed" something beside char alone. */
  int core = seen & ~(WORD_INT | (seen & WORD_CHAR ? 0 : WORD_SIGNED));
  int no_int = WORD_CHAR | WORD_BOOL | WORD_VOID | WORD_FLOAT | WORD_DOUBLE | WORD_INT128;
  bool clash = (seen & WORD_SIGNED && seen & WORD_UNSIGNED) || (seen & WORD_INT && seen & no_int);
  for (size_t i = 0; i < countof(meanings) && !clash; i++)
    if (meanings[i].bits == core) {
      *out = expr_basic(meanings[i].type);
      return true;
    }
  return false;
}

bool expr_starts_type(const Parser *parser, const Token *token) {
  if (token->kind != TOKEN_NAME) return false;
  if (find_word(parser, token)) return true;
  char name[256];
  if (token->size >= sizeof name) return false;
  memcpy(name, parser->lexer.text + token->at, token->size);
  name[token->size] = 0;
  Named named;
  return expr_find_name(parser->scope, NULL, name, &named, NULL) && named.kind == NAME_NOTHING &&
         expr_find_type(parser->scope, TYPE_TYPEDEF, name, NULL) != NULL;
}

/* The current token is the name of a type of that kind; `keyword` comes before it. */
static bool parse_name(Parser *parser, TypeKind kind, const char *keyword, const DwarfType **out) {
  const Token *token = &parser->token;
  size_t at = token->at;
  if (token->kind != TOKEN_NAME)
    return expr_fail(parser->fault, FAULT_INVALID, at, "the name of a %s is missing", keyword);
  const char *name = arena_strndup(parser->arena, parser->lexer.text + at, token->size);
  if (!name) return fault_oom(parser->fault);
  *out = expr_find_type(parser->scope, kind, name, parser->fault);
  if (!*out && parser->fault->code == FAULT_NONE)
    return expr_fail(parser->fault, FAULT_NOTFOUND, at, "there is no %s %s", keyword, name);
  return *out && expr_next(parser);
}

/* Qualifiers change no value and are dropped. */
static bool parse_base(Parser *parser, const DwarfType **out) {
  size_t at = parser->token.at;
  int seen = 0;
  *out = NULL;
  for (;;) {
    const struct Word *word = find_word(parser, &parser->token);
    bool name = !word && parser->token.kind == TOKEN_NAME && !seen && !*out;
    if (name && !parse_name(parser, TYPE_TYPEDEF, "type", out)) return false;
    if (name) continue;
    if (!word) break;
    if (!expr_next(parser)) return false;
    if (word->bit == WORD_QUALIFIER) continue;
    bool twice = word->bit == WORD_LONG && seen & WORD_LONG && !(seen & WORD_LONG_LONG);
    bool again = seen & word->bit && !twice;
    if (*out || again || (word->bit == WORD_TAG && seen))
      return expr_fail(parser->fault, FAULT_INVALID, at, "this is no type of C");
    if (word->bit != WORD_TAG)
      seen |= twice ? WORD_LONG_LONG : word->bit;
    else if (!parse_name(parser, word->kind, word->text, out))
      return false;
  }
  if (*out || (seen && basic_of(seen, out))) return true;
  return expr_fail(parser->fault, FAULT_INVALID, at, "this is no type of C");
}

bool expr_parse_type(Parser *parser, const DwarfType **out) {
  if (!parse_base(parser, out)) return false;
  while (expr_is_op(parser, '*')) {
    *out = dwarf_type_pointer(*out, parser->arena, parser->fault);
    if (!*out || !expr_next(parser)) return false;
    const struct Word *word;
    while ((word = find_word(parser, &parser->token)) && word->bit == WORD_QUALIFIER)
      if (!expr_next(parser)) return false;
  }
  if (!expr_is_op(parser, '[')) return true;
  if (!expr_next(parser)) return false;
  if (parser->token.kind != TOKEN_INTEGER)
    return expr_fail(parser->fault, FAULT_INVALID, parser->token.at,
                     "the length of an array must be a number here");
  *out = dwarf_type_array(*out, parser->token.integer, parser->arena, parser->fault);
  return *out && expr_next(parser) && expr_expect(parser, ']');
}
