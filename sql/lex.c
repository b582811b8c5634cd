/*
** The tokenizer: see token.h.
**
** SQLite's rules are odd in places and kept on purpose: [a]b] ends at the first bracket, "0x" is a
** number followed by an identifier and therefore illegal, a slash-star comment may run to the end
** of the text, and $a::b(c) is one variable.
*/
#include "sql/token.h"

#include <string.h>

typedef struct Keyword {
  char word[18];
  unsigned char code;
} Keyword;

static const Keyword keywords[] = {
    /* keep alphabetized */
    /* clang-format off */
    {"ABORT", SQL_TK_ABORT}, {"ACTION", SQL_TK_ACTION}, {"ADD", SQL_TK_ADD},
    {"AFTER", SQL_TK_AFTER}, {"ALL", SQL_TK_ALL}, {"ALTER", SQL_TK_ALTER},
    {"ALWAYS", SQL_TK_ALWAYS}, {"ANALYZE", SQL_TK_ANALYZE}, {"AND", SQL_TK_AND}, {"AS", SQL_TK_AS},
    {"ASC", SQL_TK_ASC}, {"ATTACH", SQL_TK_ATTACH}, {"AUTOINCREMENT", SQL_TK_AUTOINCR},
    {"BEFORE", SQL_TK_BEFORE}, {"BEGIN", SQL_TK_BEGIN}, {"BETWEEN", SQL_TK_BETWEEN},
    {"BY", SQL_TK_BY}, {"CASCADE", SQL_TK_CASCADE}, {"CASE", SQL_TK_CASE}, {"CAST", SQL_TK_CAST},
    {"CHECK", SQL_TK_CHECK}, {"COLLATE", SQL_TK_COLLATE}, {"COLUMN", SQL_TK_COLUMNKW},
    {"COMMIT", SQL_TK_COMMIT}, {"CONFLICT", SQL_TK_CONFLICT}, {"CONSTRAINT", SQL_TK_CONSTRAINT},
    {"CREATE", SQL_TK_CREATE}, {"CROSS", SQL_TK_JOIN_KW}, {"CURRENT", SQL_TK_CURRENT},
    {"CURRENT_DATE", SQL_TK_CTIME_KW}, {"CURRENT_TIME", SQL_TK_CTIME_KW},
    {"CURRENT_TIMESTAMP", SQL_TK_CTIME_KW}, {"DATABASE", SQL_TK_DATABASE},
    {"DEFAULT", SQL_TK_DEFAULT}, {"DEFERRABLE", SQL_TK_DEFERRABLE}, {"DEFERRED", SQL_TK_DEFERRED},
    {"DELETE", SQL_TK_DELETE}, {"DESC", SQL_TK_DESC}, {"DETACH", SQL_TK_DETACH},
    {"DISTINCT", SQL_TK_DISTINCT}, {"DO", SQL_TK_DO}, {"DROP", SQL_TK_DROP}, {"EACH", SQL_TK_EACH},
    {"ELSE", SQL_TK_ELSE}, {"END", SQL_TK_END}, {"ESCAPE", SQL_TK_ESCAPE},
    {"EXCEPT", SQL_TK_EXCEPT}, {"EXCLUDE", SQL_TK_EXCLUDE}, {"EXCLUSIVE", SQL_TK_EXCLUSIVE},
    {"EXISTS", SQL_TK_EXISTS}, {"EXPLAIN", SQL_TK_EXPLAIN}, {"FAIL", SQL_TK_FAIL},
    {"FILTER", SQL_TK_FILTER}, {"FIRST", SQL_TK_FIRST}, {"FOLLOWING", SQL_TK_FOLLOWING},
    {"FOR", SQL_TK_FOR}, {"FOREIGN", SQL_TK_FOREIGN}, {"FROM", SQL_TK_FROM},
    {"FULL", SQL_TK_JOIN_KW}, {"GENERATED", SQL_TK_GENERATED}, {"GLOB", SQL_TK_LIKE_KW},
    {"GROUP", SQL_TK_GROUP}, {"GROUPS", SQL_TK_GROUPS}, {"HAVING", SQL_TK_HAVING},
    {"IF", SQL_TK_IF}, {"IGNORE", SQL_TK_IGNORE}, {"IMMEDIATE", SQL_TK_IMMEDIATE},
    {"IN", SQL_TK_IN}, {"INDEX", SQL_TK_INDEX}, {"INDEXED", SQL_TK_INDEXED},
    {"INITIALLY", SQL_TK_INITIALLY}, {"INNER", SQL_TK_JOIN_KW}, {"INSERT", SQL_TK_INSERT},
    {"INSTEAD", SQL_TK_INSTEAD}, {"INTERSECT", SQL_TK_INTERSECT}, {"INTO", SQL_TK_INTO},
    {"IS", SQL_TK_IS}, {"ISNULL", SQL_TK_ISNULL}, {"JOIN", SQL_TK_JOIN}, {"KEY", SQL_TK_KEY},
    {"LAST", SQL_TK_LAST}, {"LEFT", SQL_TK_JOIN_KW}, {"LIKE", SQL_TK_LIKE_KW},
    {"LIMIT", SQL_TK_LIMIT}, {"MATCH", SQL_TK_MATCH}, {"MATERIALIZED", SQL_TK_MATERIALIZED},
    {"NATURAL", SQL_TK_JOIN_KW}, {"NO", SQL_TK_NO}, {"NOT", SQL_TK_NOT},
    {"NOTHING", SQL_TK_NOTHING}, {"NOTNULL", SQL_TK_NOTNULL}, {"NULL", SQL_TK_NULL},
    {"NULLS", SQL_TK_NULLS}, {"OF", SQL_TK_OF}, {"OFFSET", SQL_TK_OFFSET}, {"ON", SQL_TK_ON},
    {"OR", SQL_TK_OR}, {"ORDER", SQL_TK_ORDER}, {"OTHERS", SQL_TK_OTHERS},
    {"OUTER", SQL_TK_JOIN_KW}, {"OVER", SQL_TK_OVER}, {"PARTITION", SQL_TK_PARTITION},
    {"PLAN", SQL_TK_PLAN}, {"PRAGMA", SQL_TK_PRAGMA}, {"PRECEDING", SQL_TK_PRECEDING},
    {"PRIMARY", SQL_TK_PRIMARY}, {"QUERY", SQL_TK_QUERY}, {"RAISE", SQL_TK_RAISE},
    {"RANGE", SQL_TK_RANGE}, {"RECURSIVE", SQL_TK_RECURSIVE}, {"REFERENCES", SQL_TK_REFERENCES},
    {"REGEXP", SQL_TK_LIKE_KW}, {"REINDEX", SQL_TK_REINDEX}, {"RELEASE", SQL_TK_RELEASE},
    {"RENAME", SQL_TK_RENAME}, {"REPLACE", SQL_TK_REPLACE}, {"RESTRICT", SQL_TK_RESTRICT},
    {"RETURNING", SQL_TK_RETURNING}, {"RIGHT", SQL_TK_JOIN_KW}, {"ROLLBACK", SQL_TK_ROLLBACK},
    {"ROW", SQL_TK_ROW}, {"ROWS", SQL_TK_ROWS}, {"SAVEPOINT", SQL_TK_SAVEPOINT},
    {"SELECT", SQL_TK_SELECT}, {"SET", SQL_TK_SET}, {"TABLE", SQL_TK_TABLE}, {"TEMP", SQL_TK_TEMP},
    {"TEMPORARY", SQL_TK_TEMP}, {"THEN", SQL_TK_THEN}, {"TIES", SQL_TK_TIES}, {"TO", SQL_TK_TO},
    {"TRANSACTION", SQL_TK_TRANSACTION}, {"TRIGGER", SQL_TK_TRIGGER},
    {"UNBOUNDED", SQL_TK_UNBOUNDED}, {"UNION", SQL_TK_UNION}, {"UNIQUE", SQL_TK_UNIQUE},
    {"UPDATE", SQL_TK_UPDATE}, {"USING", SQL_TK_USING}, {"VACUUM", SQL_TK_VACUUM},
    {"VALUES", SQL_TK_VALUES}, {"VIEW", SQL_TK_VIEW}, {"VIRTUAL", SQL_TK_VIRTUAL},
    {"WHEN", SQL_TK_WHEN}, {"WHERE", SQL_TK_WHERE}, {"WINDOW", SQL_TK_WINDOW},
    {"WITH", SQL_TK_WITH}, {"WITHOUT", SQL_TK_WITHOUT},
    /* clang-format on */
};

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static char to_upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c; }

static bool is_hex(char c) {
  char u = to_upper(c);
  return is_digit(c) || (u >= 'A' && u <= 'F');
}

bool sql_is_id_char(char c) {
  char u = to_upper(c);
  return (u >= 'A' && u <= 'Z') || is_digit(c) || c == '_' || c == '$' || (c & 0x80);
}

static int compare_word(const char *word, size_t length, const char *keyword) {
  for (size_t i = 0; i < length; i++) {
    int difference = to_upper(word[i]) - keyword[i];
    if (difference) return difference;
  }
  return keyword[length] ? -1 : 0;
}

int sql_keyword(const char *word, size_t length) {
  if (length < 2 || length >= sizeof keywords[0].word) return SQL_TK_ID;
  size_t low = 0, high = sizeof keywords / sizeof *keywords;
  while (low < high) {
    size_t middle = (low + high) / 2;
    int difference = compare_word(word, length, keywords[middle].word);
    if (difference == 0) return keywords[middle].code;
    if (difference < 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return SQL_TK_ID;
}

static int lex_comment(const char *z, uint32_t *length) {
  uint32_t i = 2;
  if (z[0] == '-') {
    while (z[i] && z[i] != '\n') i++;
  } else {
    while (z[i] && !(z[i] == '*' && z[i + 1] == '/')) i++;
    if (z[i]) i += 2;
  }
  *length = i;
  return SQL_TK_SPACE;
}

static int lex_number(const char *z, uint32_t *length) {
  uint32_t i = 0;
  int code = SQL_TK_INTEGER;
  if (z[0] == '0' && to_upper(z[1]) == 'X' && is_hex(z[2])) {
    i = 3;
    while (is_hex(z[i])) i++;
    *length = i;
    return code;
  }
  while (is_digit(z[i])) i++;
  if (z[i] == '.') {
    code = SQL_TK_FLOAT;
    i++;
    while (is_digit(z[i])) i++;
  }
  bool sign = z[i] && (z[i + 1] == '+' || z[i + 1] == '-');
  if (to_upper(z[i]) == 'E' && is_digit(z[i + 1 + sign])) {
    code = SQL_TK_FLOAT;
    i += 2;
    while (is_digit(z[i])) i++;
  }
  while (sql_is_id_char(z[i])) {
    code = SQL_TK_ILLEGAL;
    i++;
  }
  *length = i;
  return code;
}

static int lex_quoted(const char *z, uint32_t *length) {
  char close = z[0] == '[' ? ']' : z[0];
  uint32_t i = 1;
  for (; z[i]; i++) {
    if (z[i] != close) continue;
    if (close == ']' || z[i + 1] != close) break;
    i++;
  }
  if (!z[i]) {
    *length = i;
    return SQL_TK_ILLEGAL;
  }
  *length = i + 1;
  return close == '\'' ? SQL_TK_STRING : SQL_TK_ID;
}

static int lex_blob(const char *z, uint32_t *length) {
  uint32_t i = 2;
  int code = SQL_TK_BLOB;
  while (is_hex(z[i])) i++;
  if (z[i] != '\'' || i % 2) {
    code = SQL_TK_ILLEGAL;
    while (z[i] && z[i] != '\'') i++;
  }
  if (z[i]) i++;
  *length = i;
  return code;
}

static int lex_variable(const char *z, uint32_t *length) {
  uint32_t i = 1, named = 0;
  int code = SQL_TK_VARIABLE;
  if (z[0] == '?') {
    while (is_digit(z[i])) i++;
    *length = i;
    return code;
  }
  for (; z[i]; i++) {
    if (sql_is_id_char(z[i])) {
      named++;
    } else if (z[i] == ':' && z[i + 1] == ':') {
      i++;
    } else {
      break;
    }
  }
  if (z[i] == '(' && named) {
    while (z[i] && !is_space(z[i]) && z[i] != ')') i++;
    if (z[i] == ')') {
      i++;
    } else {
      code = SQL_TK_ILLEGAL;
    }
  }
  *length = i;
  return named ? code : SQL_TK_ILLEGAL;
}

static int lex_word(const char *z, uint32_t *length) {
  uint32_t i = 1;
  while (sql_is_id_char(z[i])) i++;
  *length = i;
  return sql_keyword(z, i);
}

/* One or two characters that mean an operator. */
static int lex_operator(const char *z, uint32_t *length) {
  char next = z[1];
  *length = 1;
  switch (z[0]) {
  case '(':
    return SQL_TK_LP;
  case ')':
    return SQL_TK_RP;
  case ';':
    return SQL_TK_SEMI;
  case '+':
    return SQL_TK_PLUS;
  case '*':
    return SQL_TK_STAR;
  case '/':
    return SQL_TK_SLASH;
  case '%':
    return SQL_TK_REM;
  case ',':
    return SQL_TK_COMMA;
  case '&':
    return SQL_TK_BITAND;
  case '~':
    return SQL_TK_BITNOT;
  case '.':
    return SQL_TK_DOT;
  case '-':
    if (next != '>') return SQL_TK_MINUS;
    *length = z[2] == '>' ? 3 : 2;
    return SQL_TK_PTR;
  case '=':
    *length = next == '=' ? 2 : 1;
    return SQL_TK_EQ;
  case '<':
    if (next != '=' && next != '>' && next != '<') return SQL_TK_LT;
    *length = 2;
    return next == '=' ? SQL_TK_LE : next == '>' ? SQL_TK_NE : SQL_TK_LSHIFT;
  case '>':
    if (next != '=' && next != '>') return SQL_TK_GT;
    *length = 2;
    return next == '=' ? SQL_TK_GE : SQL_TK_RSHIFT;
  case '!':
    if (next != '=') return SQL_TK_ILLEGAL;
    *length = 2;
    return SQL_TK_NE;
  case '|':
    if (next != '|') return SQL_TK_BITOR;
    *length = 2;
    return SQL_TK_CONCAT;
  default:
    return SQL_TK_ILLEGAL;
  }
}

int sql_lex(const char *text, uint32_t at, uint32_t *length) {
  const char *z = text + at;
  char c = z[0];
  if (!c) {
    *length = 0;
    return SQL_TK_EOF;
  }
  if (is_space(c) && c != '\v') {
    uint32_t i = 1;
    while (is_space(z[i])) i++;
    *length = i;
    return SQL_TK_SPACE;
  }
  /* "/" "*" at the very end of the text is two operators. */
  if ((c == '-' && z[1] == '-') || (c == '/' && z[1] == '*' && z[2])) {
    return lex_comment(z, length);
  }
  if (is_digit(c) || (c == '.' && is_digit(z[1]))) return lex_number(z, length);
  if (c == '\'' || c == '"' || c == '`' || c == '[') return lex_quoted(z, length);
  if (to_upper(c) == 'X' && z[1] == '\'') return lex_blob(z, length);
  if (c == '?' || c == '$' || c == '@' || c == ':' || c == '#') return lex_variable(z, length);
  if (strncmp(z, "\xEF\xBB\xBF", 3) == 0) {
    *length = 3;
    return SQL_TK_SPACE;
  }
  return sql_is_id_char(c) ? lex_word(z, length) : lex_operator(z, length);
}

/* The next token that is not white space, with everything that may be a name told as ID. */
static int peek(const char *text, uint32_t *at) {
  uint32_t length;
  int code;
  do {
    code = sql_lex(text, *at, &length);
    *at += length;
  } while (code == SQL_TK_SPACE);
  bool name = code == SQL_TK_STRING || code == SQL_TK_JOIN_KW || code == SQL_TK_WINDOW ||
              code == SQL_TK_OVER || (code < SQL_TK_SPACE && sql_lemonFallback(code) == SQL_TK_ID);
  return name ? SQL_TK_ID : code;
}

int sql_lex_window_word(const char *text, uint32_t at, int code, int previous) {
  uint32_t length;
  sql_lex(text, at, &length);
  uint32_t next = at + length;
  bool keyword;
  if (code == SQL_TK_WINDOW) {
    keyword = peek(text, &next) == SQL_TK_ID && peek(text, &next) == SQL_TK_AS;
  } else if (previous != SQL_TK_RP) {
    keyword = false;
  } else {
    int follows = peek(text, &next);
    keyword = follows == SQL_TK_LP || (code == SQL_TK_OVER && follows == SQL_TK_ID);
  }
  return keyword ? code : SQL_TK_ID;
}
