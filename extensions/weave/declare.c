/*
** The declaration of a model: see declare.h.
*/
#include "extensions/weave/declare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/text.h"
#include "sql/token.h"

/* A place in the text of one argument. */
typedef struct Reader {
  Declaration *declaration;
  const char *text;
  uint32_t at, length; /* the present token: text[at, at + length) */
  int code;
  Fault *fault;
} Reader;

static void read_next(Reader *reader) {
  uint32_t at = reader->at + reader->length;
  do {
    reader->code = sql_lex(reader->text, at, &reader->length);
    reader->at = at;
    at += reader->length;
  } while (reader->code == SQL_TK_SPACE);
}

static void read_begin(Reader *reader, const char *text) {
  reader->text = text;
  reader->at = reader->length = 0;
  read_next(reader);
}

static bool is_word(const Reader *reader, const char *word) {
  return reader->length == strlen(word) &&
         strncasecmp(reader->text + reader->at, word, reader->length) == 0;
}

static bool expected(Reader *reader, const char *what) {
  if (reader->code == SQL_TK_EOF) {
    return fault_set(reader->fault, FAULT_INVALID, "expected %s at the end of \"%s\"", what,
                     reader->text);
  }
  return fault_set(reader->fault, FAULT_INVALID, "expected %s, not \"%.*s\", in \"%s\"", what,
                   (int)reader->length, reader->text + reader->at, reader->text);
}

/* A name: bare, "quoted", [quoted] or `quoted`. */
static bool read_name(Reader *reader, const char **out) {
  const char *from = reader->text + reader->at;
  uint32_t length = reader->length;
  char close = *from == '[' ? ']' : *from;
  bool quoted = length >= 2 && (*from == '"' || *from == '[' || *from == '`');
  if (!quoted && !(length && sql_is_id_char(*from) && (*from < '0' || *from > '9'))) {
    return expected(reader, "a name");
  }
  char *name = arena_alloc(&reader->declaration->arena, (size_t)length + 1);
  if (!name) return fault_oom(reader->fault);
  uint32_t n = 0, end = quoted ? length - 1 : length;
  for (uint32_t i = quoted ? 1 : 0; i < end; i++) {
    name[n++] = from[i];
    if (quoted && close != ']' && from[i] == close) i++; /* "" is one quote */
  }
  *out = name;
  read_next(reader);
  return true;
}

/* The text between the parentheses that open here; the reader stands behind the closing one. */
static bool read_parenthesis(Reader *reader, const char **out) {
  if (reader->code != SQL_TK_LP) return expected(reader, "\"(\"");
  uint32_t from = reader->at + 1;
  int depth = 0;
  for (;; read_next(reader)) {
    if (reader->code == SQL_TK_EOF || reader->code == SQL_TK_ILLEGAL) {
      return expected(reader, "\")\"");
    }
    depth += (reader->code == SQL_TK_LP) - (reader->code == SQL_TK_RP);
    if (depth == 0) break;
  }
  *out = arena_strndup(&reader->declaration->arena, reader->text + from, reader->at - from);
  if (!*out) return fault_oom(reader->fault);
  read_next(reader);
  return true;
}

/* ---- domains -------------------------------------------------------------------------------- */

/* lo..hi: the lexer would read "1..9" as 1. and .9, so this looks at the text itself. */
static bool parse_range(const char *text, DecideClause *clause) {
  char *end;
  double lo = text_read_real(text, &end);
  const char *dots = strstr(text, "..");
  if (!dots) return false;
  if (end > dots) end = (char *)dots; /* strtod took the first point */
  for (const char *p = end; p < dots; p++) {
    if (!strchr(" \t\r\n", *p)) return false;
  }
  const char *right = dots + 2;
  double hi = text_read_real(right, &end);
  if (end == right || dots == text || end[strspn(end, " \t\r\n")]) return false;
  bool real = memchr(text, '.', (size_t)(dots - text)) || strpbrk(right, ".eE");
  *clause = (DecideClause){.schema = clause->schema,
                           .table = clause->table,
                           .column = clause->column,
                           .lo = lo,
                           .hi = hi,
                           .domain = real ? DOMAIN_REAL : DOMAIN_INTEGER};
  return true;
}

static bool range_makes_sense(Reader *reader, const DecideClause *clause) {
  double most = clause->domain == DOMAIN_INTEGER ? 9007199254740992.0 : 1e15;
  if (isfinite(clause->lo) && isfinite(clause->hi) && clause->lo <= clause->hi &&
      fabs(clause->lo) <= most && fabs(clause->hi) <= most) {
    return true;
  }
  return fault_set(reader->fault, FAULT_INVALID,
                   "decision %s.%s has the range %g..%g; expected lo <= hi within +-%g",
                   clause->table, clause->column, clause->lo, clause->hi, most);
}

/* a, b, c: VALUES (a),(b),(c), split at the commas outside parentheses. */
static bool list_to_query(Reader *reader, const char *list, DecideClause *clause) {
  Reader items = {.declaration = reader->declaration, .fault = reader->fault};
  Text query = {0};
  int depth = 0;
  uint32_t from = 0;
  text_add(&query, "VALUES (");
  for (read_begin(&items, list); items.code != SQL_TK_EOF; read_next(&items)) {
    depth += (items.code == SQL_TK_LP) - (items.code == SQL_TK_RP);
    if (items.code != SQL_TK_COMMA || depth > 0) continue;
    text_addn(&query, list + from, items.at - from);
    text_add(&query, "),(");
    from = items.at + 1;
  }
  text_add(&query, list + from);
  text_addc(&query, ')');
  clause->query = query.oom ? NULL : arena_strdup(&reader->declaration->arena, text_get(&query));
  text_finish(&query);
  return clause->query || fault_oom(reader->fault);
}

static bool read_domain(Reader *reader, DecideClause *clause) {
  const char *inside;
  if (!read_parenthesis(reader, &inside)) return false;
  Reader first = {.declaration = reader->declaration, .fault = reader->fault};
  read_begin(&first, inside);
  if (first.code == SQL_TK_EOF) {
    return fault_set(reader->fault, FAULT_INVALID, "decision %s.%s has an empty list of values",
                     clause->table, clause->column);
  }
  if (is_word(&first, "SELECT") || is_word(&first, "WITH") || is_word(&first, "VALUES")) {
    clause->domain = DOMAIN_QUERY;
    clause->query = inside;
    return true;
  }
  if (parse_range(inside, clause)) return range_makes_sense(reader, clause);
  clause->domain = DOMAIN_QUERY;
  return list_to_query(reader, inside, clause);
}

/* ---- the arguments -------------------------------------------------------------------------- */

static bool read_decide(Reader *reader) {
  Declaration *declaration = reader->declaration;
  DecideClause clause = {0};
  const char *names[3];
  int n = 0;
  do {
    if (n > 0) read_next(reader);
    if (!read_name(reader, &names[n++])) return false;
  } while (n < 3 && reader->code == SQL_TK_DOT);
  if (n < 2) return expected(reader, "\".\" and a column");
  clause.schema = n == 3 ? names[0] : NULL;
  clause.table = names[n - 2];
  clause.column = names[n - 1];
  if (is_word(reader, "IN")) {
    read_next(reader);
    if (!read_domain(reader, &clause)) return false;
  }
  if (is_word(reader, "OPTIONAL")) {
    clause.optional = true;
    read_next(reader);
  }
  if (is_word(reader, "WHERE")) {
    uint32_t from = reader->at + reader->length;
    clause.scope = arena_strdup(&declaration->arena, reader->text + from);
    if (!clause.scope) return fault_oom(reader->fault);
    read_next(reader);
    if (reader->code == SQL_TK_EOF) return expected(reader, "a condition");
  } else if (reader->code != SQL_TK_EOF) {
    return expected(reader, "IN, OPTIONAL, WHERE or the end");
  }
  for (size_t i = 0; i < declaration->ndecisions; i++) {
    const DecideClause *other = &declaration->decisions[i];
    bool both = other->schema && clause.schema;
    bool same = both ? !strcasecmp(other->schema, clause.schema) : other->schema == clause.schema;
    if (same && !strcasecmp(other->table, clause.table) &&
        !strcasecmp(other->column, clause.column)) {
      return fault_set(reader->fault, FAULT_INVALID, "%s.%s is decided twice", clause.table,
                       clause.column);
    }
  }
  if (!array_grow(declaration->decisions, declaration->decisions_capacity,
                  declaration->ndecisions + 1)) {
    return fault_oom(reader->fault);
  }
  declaration->decisions[declaration->ndecisions++] = clause;
  return true;
}

static bool read_rules(Reader *reader) {
  Declaration *declaration = reader->declaration;
  if (reader->code != SQL_TK_LP) return expected(reader, "\"(\"");
  do {
    read_next(reader);
    RuleClause rule = {0};
    if (!read_name(reader, &rule.name)) return false;
    if (reader->code == SQL_TK_INTEGER) {
      long level = strtol(reader->text + reader->at, NULL, 10);
      if (level < 1 || level > 1000000) return expected(reader, "a priority of 1 to 1000000");
      rule.level = (int)level;
      read_next(reader);
    }
    for (size_t i = 0; i < declaration->nrules; i++) {
      if (!strcasecmp(declaration->rules[i].name, rule.name)) {
        return fault_set(reader->fault, FAULT_INVALID, "rule \"%s\" is listed twice", rule.name);
      }
    }
    if (!array_grow(declaration->rules, declaration->rules_capacity, declaration->nrules + 1)) {
      return fault_oom(reader->fault);
    }
    declaration->rules[declaration->nrules++] = rule;
  } while (reader->code == SQL_TK_COMMA);
  if (reader->code != SQL_TK_RP) return expected(reader, "\",\" or \")\"");
  read_next(reader);
  return reader->code == SQL_TK_EOF || expected(reader, "the end");
}

static bool read_limit(Reader *reader) {
  char *end;
  double limit = text_read_real(reader->text + reader->at, &end);
  bool whole = end != reader->text + reader->at && !end[strspn(end, " \t\r\n")];
  if (!whole || !(limit > 0) || limit > 86400) {
    return expected(reader, "a number of seconds above 0 and at most 86400");
  }
  if (reader->declaration->limit > 0) {
    return fault_set(reader->fault, FAULT_INVALID, "LIMIT is given twice");
  }
  reader->declaration->limit = limit;
  return true;
}

static bool read_argument(Declaration *declaration, const char *text, Fault *fault) {
  Reader reader = {.declaration = declaration, .fault = fault};
  read_begin(&reader, text);
  bool (*read)(Reader *) = is_word(&reader, "DECIDE")  ? read_decide
                           : is_word(&reader, "RULES") ? read_rules
                           : is_word(&reader, "LIMIT") ? read_limit
                                                       : NULL;
  if (!read) return expected(&reader, "DECIDE, RULES or LIMIT");
  read_next(&reader);
  return read(&reader);
}

bool declaration_parse(Declaration *out, int argc, const char *const *argv, Fault *fault) {
  Declaration declaration = {0};
  bool ok = false;
  declaration.schema = arena_strdup(&declaration.arena, argv[1]);
  declaration.name = arena_strdup(&declaration.arena, argv[2]);
  if (!declaration.schema || !declaration.name) {
    fault_oom(fault);
    goto out;
  }
  for (int i = 3; i < argc; i++) {
    if (!read_argument(&declaration, argv[i], fault)) goto out;
  }
  if (declaration.ndecisions == 0) {
    fault_set(fault, FAULT_INVALID, "nothing to decide: expected DECIDE table.column");
    goto out;
  }
  ok = true;
  *out = declaration;
out:
  if (!ok) declaration_finish(&declaration);
  return ok;
}

void declaration_finish(Declaration *declaration) {
  free(declaration->decisions);
  free(declaration->rules);
  arena_finish(&declaration->arena);
  *declaration = (Declaration){0};
}
