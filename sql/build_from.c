/*
** Building FROM clauses: see build.h.
**
** Parentheses that change nothing are undone as SQLite undoes them: those around the first source
** or the first few, and those around a single source, whose own alias and INDEXED BY are then lost.
*/
#include <string.h>

#include "sql/build.h"

typedef enum JoinWord {
  WORD_INNER = 1,
  WORD_CROSS = 2,
  WORD_NATURAL = 4,
  WORD_LEFT = 8,
  WORD_RIGHT = 16,
  WORD_OUTER = 32
} JoinWord;

static int join_word(Parse *parse, SqlSpan token) {
  static const struct {
    const char *word;
    int mask;
  } words[] = {
      {"CROSS", WORD_INNER | WORD_CROSS},
      {"FULL", WORD_LEFT | WORD_RIGHT | WORD_OUTER},
      {"INNER", WORD_INNER},
      {"LEFT", WORD_LEFT | WORD_OUTER},
      {"NATURAL", WORD_NATURAL},
      {"OUTER", WORD_OUTER},
      {"RIGHT", WORD_RIGHT | WORD_OUTER},
  };
  const char *text = parse->text + token.at;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    size_t length = strlen(words[i].word), same = 0;
    if (length != token.length) continue;
    while (same < length && (text[same] & ~0x20) == words[i].word[same]) same++;
    if (same == length) return words[i].mask;
  }
  return -1;
}

Join build_join(Parse *parse, SqlSpan a, SqlSpan b, SqlSpan c) {
  SqlSpan tokens[3] = {a, b, c};
  int mask = 0;
  bool wrong = false;
  for (int i = 0; i < 3 && tokens[i].length; i++) {
    int word = join_word(parse, tokens[i]);
    if (word < 0) {
      wrong = true;
    } else {
      mask |= word;
    }
  }
  if ((mask & WORD_INNER) && (mask & WORD_OUTER)) wrong = true;
  if ((mask & WORD_OUTER) && !(mask & (WORD_LEFT | WORD_RIGHT))) wrong = true;
  if (wrong) {
    build_fail(parse, a.at, FAULT_INVALID, "unknown join type: %.*s%s%.*s%s%.*s", (int)a.length,
               parse->text + a.at, b.length ? " " : "", (int)b.length, parse->text + b.at,
               c.length ? " " : "", (int)c.length, parse->text + c.at);
  }
  SqlJoin kind = SQL_JOIN_INNER;
  if (mask & WORD_LEFT) {
    kind = mask & WORD_RIGHT ? SQL_JOIN_FULL : SQL_JOIN_LEFT;
  } else if (mask & WORD_RIGHT) {
    kind = SQL_JOIN_RIGHT;
  } else if (mask & WORD_CROSS) {
    kind = SQL_JOIN_CROSS;
  }
  return (Join){kind, mask & WORD_NATURAL, (mask & WORD_INNER) && !(mask & WORD_CROSS)};
}

Sources build_joined(Sources list, Join join) {
  list.join = join;
  return list;
}

static SqlSource *new_source(Parse *parse, SqlSourceKind kind, Alias alias, SqlSpan first,
                             uint32_t end) {
  SqlSource *source = build_alloc(parse, sizeof *source);
  if (!source) return NULL;
  while (end > first.at && (unsigned char)parse->text[end - 1] <= ' ') end--;
  source->kind = kind;
  source->span = (SqlSpan){first.at, end - first.at};
  source->alias = build_name(parse, alias.name);
  source->alias_as = alias.as;
  return source;
}

static Sources append(Parse *parse, Sources list, SqlSource *source, Joined joined) {
  if (parse->failed) return list;
  source->on = joined.on;
  source->using_names = joined.using_names.items;
  source->nusing = joined.using_names.count;
  build_height(parse, &source->height, joined.on);
  if (!list.first) {
    if (joined.on || joined.using_names.count) {
      build_fail(parse, source->span.at, FAULT_INVALID, "a JOIN clause is required before %s",
                 joined.on ? "ON" : "USING");
    }
    return (Sources){source, source, {0}};
  }
  source->join = list.join.kind;
  source->natural = list.join.natural;
  source->inner_word = list.join.inner_word;
  list.last->next = source;
  list.last = source;
  return list;
}

static SqlSpan first_of(Name name) { return name.schema.length ? name.schema : name.name; }

Sources build_table(Parse *parse, Sources list, Name name, Alias alias, Indexed indexed,
                    Joined joined, uint32_t end) {
  SqlSource *source = new_source(parse, SQL_SOURCE_TABLE, alias, first_of(name), end);
  if (!source) return list;
  source->schema = build_name(parse, name.schema);
  source->name = build_name(parse, name.name);
  source->indexed_by = build_name(parse, indexed.by);
  source->not_indexed = indexed.not_indexed;
  return append(parse, list, source, joined);
}

Sources build_call(Parse *parse, Sources list, Name name, Exprs args, Alias alias, Joined joined,
                   uint32_t end) {
  SqlSource *source = new_source(parse, SQL_SOURCE_FUNCTION, alias, first_of(name), end);
  if (!source) return list;
  source->schema = build_name(parse, name.schema);
  source->name = build_name(parse, name.name);
  source->args = args.items;
  source->nargs = args.count;
  for (int i = 0; i < args.count; i++) build_height(parse, &source->height, args.items[i]);
  return append(parse, list, source, joined);
}

Sources build_sub_select(Parse *parse, Sources list, SqlSpan open, Arms select, Alias alias,
                         Joined joined, uint32_t end) {
  SqlSource *source = new_source(parse, SQL_SOURCE_SELECT, alias, open, end);
  if (!source || parse->failed) return list;
  source->select = select.first;
  source->height = select.first->height + 1;
  return append(parse, list, source, joined);
}

Sources build_nested(Parse *parse, Sources list, SqlSpan open, Sources inner, Alias alias,
                     Joined joined, uint32_t end) {
  if (parse->failed) return list;
  if (!list.first && !alias.name.length && !joined.on && !joined.using_names.count) return inner;
  SqlSource *source = new_source(parse, SQL_SOURCE_JOIN, alias, open, end);
  if (!source) return list;
  if (inner.first == inner.last) {
    SqlSource *only = inner.first;
    const char *given = source->alias;
    SqlSpan span = source->span;
    *source = *only;
    source->span = span;
    source->alias = given;
    source->alias_as = alias.as;
    source->indexed_by = NULL;
    source->not_indexed = false;
    return append(parse, list, source, joined);
  }
  source->first = inner.first;
  for (SqlSource *in = inner.first; in; in = in->next) {
    if (in->height >= source->height) source->height = in->height + 1;
  }
  if (source->height > SQL_MAX_DEPTH) {
    build_fail(parse, open.at, FAULT_LIMIT, "FROM clauses are nested too deeply (maximum %d)",
               SQL_MAX_DEPTH);
  }
  return append(parse, list, source, joined);
}

SqlSource *build_target(Parse *parse, Name name, SqlSpan alias) {
  SqlSpan first = first_of(name), last = alias.length ? alias : name.name;
  SqlSource *source =
      new_source(parse, SQL_SOURCE_TABLE, (Alias){alias, true}, first, last.at + last.length);
  if (!source) return NULL;
  source->schema = build_name(parse, name.schema);
  source->name = build_name(parse, name.name);
  return source;
}

void build_target_index(Parse *parse, SqlSource *source, Indexed indexed) {
  if (parse->failed) return;
  source->indexed_by = build_name(parse, indexed.by);
  source->not_indexed = indexed.not_indexed;
}
