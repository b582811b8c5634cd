/*
** From text to tree: feeds tokens to the parser that lemon makes of grammar.y.
*/
#include <stdlib.h>
#include <string.h>

#include "sql/build.h"

void *sql_lemonAlloc(void *(*allocate)(size_t));
void sql_lemonFree(void *parser, void (*release)(void *));
void sql_lemon(void *parser, int code, SqlSpan token, Parse *parse);

void sql_position(const char *text, uint32_t at, int *line, int *column) {
  *line = 1;
  *column = 1;
  for (uint32_t i = 0; i < at && text[i]; i++) {
    if (text[i] == '\n') {
      ++*line;
      *column = 1;
    } else if ((text[i] & 0xC0) != 0x80) {
      ++*column;
    }
  }
}

static void feed(Parse *parse, void *parser) {
  int previous = SQL_TK_EOF;
  uint32_t at = 0, length;
  while (!parse->failed) {
    int code = sql_lex(parse->text, at, &length);
    SqlSpan token = {at, length};
    if (code == SQL_TK_WINDOW || code == SQL_TK_OVER || code == SQL_TK_FILTER) {
      code = sql_lex_window_word(parse->text, at, code, previous);
    }
    if (code == SQL_TK_ILLEGAL) {
      build_fail(parse, at, FAULT_INVALID, "unrecognized token: \"%.*s\"", (int)length,
                 parse->text + at);
    } else if (code != SQL_TK_SPACE) {
      sql_lemon(parser, code, token, parse);
      if (code == SQL_TK_EOF) return;
      previous = code;
    }
    at += length;
  }
}

static bool run(Parse *parse, Arena *arena, int goal, const char *text, size_t length,
                Fault *fault) {
  *parse = (Parse){.arena = arena, .fault = fault};
  if (length > SQL_MAX_LENGTH) return fault_set(fault, FAULT_LIMIT, "string or blob too big");
  length = strnlen(text, length); /* a NUL ends the text, as in sqlite3_prepare */
  parse->text = arena_strndup(arena, text, length);
  void *parser = parse->text ? sql_lemonAlloc(malloc) : NULL;
  if (!parser) return fault_oom(fault);
  sql_lemon(parser, goal, (SqlSpan){0}, parse);
  feed(parse, parser);
  sql_lemonFree(parser, free);
  return !parse->failed;
}

SqlStatement *sql_parse_statement(Arena *arena, const char *text, size_t length, Fault *fault) {
  Parse parse;
  return run(&parse, arena, SQL_TK_AT_STATEMENT, text, length, fault) ? parse.statement : NULL;
}

SqlSelect *sql_parse_select(Arena *arena, const char *text, size_t length, Fault *fault) {
  Parse parse;
  return run(&parse, arena, SQL_TK_AT_SELECT, text, length, fault) ? parse.select : NULL;
}

SqlExpr *sql_parse_expr(Arena *arena, const char *text, size_t length, Fault *fault) {
  Parse parse;
  return run(&parse, arena, SQL_TK_AT_EXPR, text, length, fault) ? parse.expr : NULL;
}
