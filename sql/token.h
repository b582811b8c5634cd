/*
** Tokens of SQLite's dialect: what lex.c produces and grammar.y consumes.
**
** The codes are lemon's: grammar.y declares the same names in the same order in its first %token,
** so that the lexer needs no generated header. grammar.y asserts that both ends agree.
*/
#ifndef TENFOLD_SQL_TOKEN_H
#define TENFOLD_SQL_TOKEN_H

#include <stdbool.h>

#include "sql/sql.h"

/* clang-format off */
enum {
  SQL_TK_EOF = 0,
  SQL_TK_ANY = 1, SQL_TK_ID, SQL_TK_STRING, SQL_TK_BLOB, SQL_TK_INTEGER, SQL_TK_FLOAT,
  SQL_TK_VARIABLE, SQL_TK_SEMI, SQL_TK_LP, SQL_TK_RP, SQL_TK_COMMA, SQL_TK_DOT, SQL_TK_STAR,
  SQL_TK_SLASH, SQL_TK_REM, SQL_TK_PLUS, SQL_TK_MINUS, SQL_TK_BITAND, SQL_TK_BITOR,
  SQL_TK_BITNOT, SQL_TK_LSHIFT, SQL_TK_RSHIFT, SQL_TK_EQ, SQL_TK_NE, SQL_TK_LT, SQL_TK_LE,
  SQL_TK_GT, SQL_TK_GE, SQL_TK_CONCAT, SQL_TK_PTR, SQL_TK_ABORT, SQL_TK_ACTION, SQL_TK_ADD,
  SQL_TK_AFTER, SQL_TK_ALL, SQL_TK_ALTER, SQL_TK_ALWAYS, SQL_TK_ANALYZE, SQL_TK_AND, SQL_TK_AS,
  SQL_TK_ASC, SQL_TK_ATTACH, SQL_TK_AUTOINCR, SQL_TK_BEFORE, SQL_TK_BEGIN, SQL_TK_BETWEEN,
  SQL_TK_BY, SQL_TK_CASCADE, SQL_TK_CASE, SQL_TK_CAST, SQL_TK_CHECK, SQL_TK_COLLATE,
  SQL_TK_COLUMNKW, SQL_TK_COMMIT, SQL_TK_CONFLICT, SQL_TK_CONSTRAINT, SQL_TK_CREATE,
  SQL_TK_CTIME_KW, SQL_TK_CURRENT, SQL_TK_DATABASE, SQL_TK_DEFAULT, SQL_TK_DEFERRABLE,
  SQL_TK_DEFERRED, SQL_TK_DELETE, SQL_TK_DESC, SQL_TK_DETACH, SQL_TK_DISTINCT, SQL_TK_DO,
  SQL_TK_DROP, SQL_TK_EACH, SQL_TK_ELSE, SQL_TK_END, SQL_TK_ESCAPE, SQL_TK_EXCEPT,
  SQL_TK_EXCLUDE, SQL_TK_EXCLUSIVE, SQL_TK_EXISTS, SQL_TK_EXPLAIN, SQL_TK_FAIL, SQL_TK_FILTER,
  SQL_TK_FIRST, SQL_TK_FOLLOWING, SQL_TK_FOR, SQL_TK_FOREIGN, SQL_TK_FROM, SQL_TK_GENERATED,
  SQL_TK_GROUP, SQL_TK_GROUPS, SQL_TK_HAVING, SQL_TK_IF, SQL_TK_IGNORE, SQL_TK_IMMEDIATE,
  SQL_TK_IN, SQL_TK_INDEX, SQL_TK_INDEXED, SQL_TK_INITIALLY, SQL_TK_INSERT, SQL_TK_INSTEAD,
  SQL_TK_INTERSECT, SQL_TK_INTO, SQL_TK_IS, SQL_TK_ISNULL, SQL_TK_JOIN, SQL_TK_JOIN_KW,
  SQL_TK_KEY, SQL_TK_LAST, SQL_TK_LIKE_KW, SQL_TK_LIMIT, SQL_TK_MATCH, SQL_TK_MATERIALIZED,
  SQL_TK_NO, SQL_TK_NOT, SQL_TK_NOTHING, SQL_TK_NOTNULL, SQL_TK_NULL, SQL_TK_NULLS, SQL_TK_OF,
  SQL_TK_OFFSET, SQL_TK_ON, SQL_TK_OR, SQL_TK_ORDER, SQL_TK_OTHERS, SQL_TK_OVER,
  SQL_TK_PARTITION, SQL_TK_PLAN, SQL_TK_PRAGMA, SQL_TK_PRECEDING, SQL_TK_PRIMARY, SQL_TK_QUERY,
  SQL_TK_RAISE, SQL_TK_RANGE, SQL_TK_RECURSIVE, SQL_TK_REFERENCES, SQL_TK_REINDEX,
  SQL_TK_RELEASE, SQL_TK_RENAME, SQL_TK_REPLACE, SQL_TK_RESTRICT, SQL_TK_RETURNING,
  SQL_TK_ROLLBACK, SQL_TK_ROW, SQL_TK_ROWS, SQL_TK_SAVEPOINT, SQL_TK_SELECT, SQL_TK_SET,
  SQL_TK_TABLE, SQL_TK_TEMP, SQL_TK_THEN, SQL_TK_TIES, SQL_TK_TO, SQL_TK_TRANSACTION,
  SQL_TK_TRIGGER, SQL_TK_UNBOUNDED, SQL_TK_UNION, SQL_TK_UNIQUE, SQL_TK_UPDATE, SQL_TK_USING,
  SQL_TK_VACUUM, SQL_TK_VALUES, SQL_TK_VIEW, SQL_TK_VIRTUAL, SQL_TK_WHEN, SQL_TK_WHERE,
  SQL_TK_WINDOW, SQL_TK_WITH, SQL_TK_WITHOUT, SQL_TK_AT_STATEMENT, SQL_TK_AT_SELECT,
  SQL_TK_AT_EXPR,
  SQL_TK_SPACE = 1000, /* white space, a comment, a byte order mark */
  SQL_TK_ILLEGAL       /* a byte, quote or number that no token has */
};
/* clang-format on */

/* The token that begins at text[at]; *length is set to its bytes (0 only at EOF). The text must be
** NUL-terminated. Cost: linear in the token. */
int sql_lex(const char *text, uint32_t at, uint32_t *length);

/* The code of the keyword spelled by these bytes in any case, or SQL_TK_ID. */
int sql_keyword(const char *word, size_t length);

/* What a WINDOW, OVER or FILTER token at `at` means here, which only what follows it (and, for the
** last two, the token before) can tell: the keyword, or SQL_TK_ID. */
int sql_lex_window_word(const char *text, uint32_t at, int code, int previous);

bool sql_is_id_char(char c);

/* True when the keyword may stand for an identifier wherever it cannot be itself (generated). */
int sql_lemonFallback(int code);

#endif
