/*
** Tokens of expressions.
*/
#include <string.h>

#include "replay/expr_inner.h"

bool expr_fail(Fault *fault, FaultCode code, size_t at, const char *format, ...) {
  Fault inner = {0};
  va_list args;
  va_start(args, format);
  fault_vset(&inner, code, format, args);
  va_end(args);
  return fault_set(fault, code, "column %zu: %s", at + 1, inner.text);
}

/* ASCII and what is beyond it, whatever the locale. */
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) || is_digit(c);
}

/* ---- numbers */

static int digit_of(char c) {
  if (is_digit(c)) return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* The first of C's types that holds it; `unsigned_too`: written otherwise than in decimal. */
static const DwarfType *integer_type(uint64_t value, bool is_unsigned, bool is_long,
                                     bool unsigned_too) {
  if (!is_long && !is_unsigned && value <= INT32_MAX) return expr_basic(BASIC_INT);
  if (!is_long && (is_unsigned || unsigned_too) && value <= UINT32_MAX)
    return expr_basic(BASIC_UNSIGNED);
  if (!is_unsigned && value <= INT64_MAX) return expr_basic(BASIC_LONG);
  return expr_basic(BASIC_UNSIGNED_LONG);
}

static int base_of(const char *at) {
  if (at[0] != '0') return 10;
  if ((at[1] | 0x20) == 'x') return 16;
  return (at[1] | 0x20) == 'b' ? 2 : 8;
}

static bool lex_integer(Lexer *lexer, Token *out, Fault *fault) {
  const char *at = lexer->text + lexer->at;
  int base = base_of(at);
  if (base == 16 || base == 2) at += 2;
  const char *first = at;
  uint64_t value = 0;
  for (; digit_of(*at) < base; at++) {
    uint64_t digit = (uint64_t)digit_of(*at);
    if (value > (UINT64_MAX - digit) / (uint64_t)base)
      return expr_fail(fault, FAULT_INVALID, lexer->at, "a number of more than 64 bits");
    value = value * (uint64_t)base + digit;
  }
  bool ok = at > first, is_unsigned = false, is_long = false;
  for (; (*at | 0x20) == 'u' || (*at | 0x20) == 'l'; at++) {
    is_unsigned = is_unsigned || (*at | 0x20) == 'u';
    is_long = is_long || (*at | 0x20) == 'l';
  }
  if (!ok || is_word(*at)) return expr_fail(fault, FAULT_INVALID, lexer->at, "this is no number");
  out->kind = TOKEN_INTEGER;
  out->integer = value;
  out->type = integer_type(value, is_unsigned, is_long, base != 10);
  lexer->at = (size_t)(at - lexer->text);
  return true;
}

/* Decimal digits with a point or an exponent: a double, or with an f a float. */
static bool lex_real(Lexer *lexer, Token *out, Fault *fault) {
  const char *start = lexer->text + lexer->at;
  char *end;
  out->kind = TOKEN_REAL;
  out->real = text_read_real(start, &end);
  out->type = expr_basic(BASIC_DOUBLE);
  if ((*end | 0x20) == 'f') {
    out->real = (float)out->real;
    out->type = expr_basic(BASIC_FLOAT);
    end++;
  }
  if (is_word(*end) || end == start)
    return expr_fail(fault, FAULT_INVALID, lexer->at, "this is no number");
  lexer->at = (size_t)(end - lexer->text);
  return true;
}

static bool lex_number(Lexer *lexer, Token *out, Fault *fault) {
  const char *at = lexer->text + lexer->at;
  bool hex = base_of(at) == 16;
  while (is_digit(*at)) at++;
  bool real = !hex && (*at == '.' || (*at | 0x20) == 'e');
  return real ? lex_real(lexer, out, fault) : lex_integer(lexer, out, fault);
}

/* ---- characters and strings */

static bool lex_escape(const char **at, char *out) {
  static const char names[] = "abfnrtv", codes[] = "\a\b\f\n\r\t\v";
  char c = *(*at)++;
  const char *name = c ? strchr(names, c) : NULL;
  unsigned value = 0;
  if (name) {
    *out = codes[name - names];
  } else if (c == 'x') {
    if (digit_of(**at) > 15) return false;
    while (digit_of(**at) < 16 && value < 256) value = value * 16 + (unsigned)digit_of(*(*at)++);
    *out = (char)value;
    return value < 256;
  } else if (c >= '0' && c <= '7') {
    value = (unsigned)(c - '0');
    for (int i = 0; i < 2 && **at >= '0' && **at <= '7'; i++)
      value = value * 8 + (unsigned)(*(*at)++ - '0');
    *out = (char)value;
  } else {
    *out = c;
  }
  return c != 0;
}

static bool lex_quoted(Lexer *lexer, Token *out, Fault *fault) {
  const char *at = lexer->text + lexer->at;
  char quote = *at++, *bytes = arena_alloc(lexer->arena, strlen(at) + 1);
  size_t count = 0;
  if (!bytes) return fault_oom(fault);
  while (*at != quote) {
    const char *start = at;
    char c = *at++;
    if (!c) return expr_fail(fault, FAULT_INVALID, lexer->at, "a %c without its second", quote);
    if (c == '\\' && !lex_escape(&at, &c))
      return expr_fail(fault, FAULT_INVALID, (size_t)(start - lexer->text),
                       "an escape that C does not have");
    bytes[count++] = c;
  }
  lexer->at = (size_t)(at + 1 - lexer->text);
  out->kind = quote == '"' ? TOKEN_STRING : TOKEN_CHAR;
  out->bytes = bytes;
  out->nbytes = count;
  if (quote == '"') return true;
  for (at++; is_space(*at); at++) continue;
  if (at[0] == ':' && at[1] == ':') {
    out->kind = TOKEN_QUOTED;
    return true;
  }
  if (count != 1)
    return expr_fail(fault, FAULT_INVALID, out->at, "a character literal of %zu bytes", count);
  out->integer = (uint64_t)(int64_t)(signed char)bytes[0];
  out->type = expr_basic(BASIC_INT);
  return true;
}

/* ---- operators */

static void lex_op(Lexer *lexer, Token *out) {
  static const struct {
    const char *text;
    int op;
  } ops[] = {{"<<=", OP_CHANGE}, {">>=", OP_CHANGE}, {"->", OP_ARROW},  {"<<", OP_SHL},
             {">>", OP_SHR},     {"<=", OP_LE},      {">=", OP_GE},     {"==", OP_EQ},
             {"!=", OP_NE},      {"&&", OP_AND},     {"||", OP_OR},     {"++", OP_CHANGE},
             {"--", OP_CHANGE},  {"::", OP_SCOPE},   {"+=", OP_CHANGE}, {"-=", OP_CHANGE},
             {"*=", OP_CHANGE},  {"/=", OP_CHANGE},  {"%=", OP_CHANGE}, {"&=", OP_CHANGE},
             {"|=", OP_CHANGE},  {"^=", OP_CHANGE}};
  const char *at = lexer->text + lexer->at;
  out->kind = TOKEN_OP;
  for (size_t i = 0; i < countof(ops); i++)
    if (!strncmp(at, ops[i].text, strlen(ops[i].text))) {
      out->op = ops[i].op;
      lexer->at += strlen(ops[i].text);
      return;
    }
  out->op = (unsigned char)*at;
  lexer->at++;
}

bool expr_token(Lexer *lexer, Token *out, Fault *fault) {
  while (is_space(lexer->text[lexer->at])) lexer->at++;
  const char *at = lexer->text + lexer->at;
  *out = (Token){.at = lexer->at};
  bool ok = true;
  if (!*at) {
    out->kind = TOKEN_END;
  } else if (is_digit(*at) || (*at == '.' && is_digit(at[1]))) {
    ok = lex_number(lexer, out, fault);
  } else if (is_word(*at) || (*at == '$' && is_word(at[1]))) {
    out->kind = *at == '$' ? TOKEN_REGISTER : TOKEN_NAME;
    do lexer->at++;
    while (is_word(lexer->text[lexer->at]));
  } else if (*at == '"' || *at == '\'') {
    ok = lex_quoted(lexer, out, fault);
  } else {
    lex_op(lexer, out);
  }
  out->size = lexer->at - out->at;
  return ok;
}
