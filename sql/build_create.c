/*
** Building CREATE statements: see build.h.
*/
#include <string.h>

#include "sql/build.h"

SqlStatement *build_create(Parse *parse, SqlStatementKind kind, bool temp, bool if_not_exists,
                           Name name) {
  SqlStatement *statement = build_statement(parse, kind);
  SqlCreate *create = build_alloc(parse, sizeof *create);
  if (!create) return NULL;
  create->temp = temp;
  create->if_not_exists = if_not_exists;
  create->schema = build_name(parse, name.schema);
  create->name = build_name(parse, name.name);
  statement->create = create;
  return statement;
}

static bool is_word(Parse *parse, SqlSpan token, const char *word) {
  size_t length = strlen(word);
  if (token.length != length) return false;
  const char *text = parse->text + token.at;
  for (size_t i = 0; i < length; i++) {
    if ((text[i] | 0x20) != word[i]) return false;
  }
  return true;
}

int build_table_option(Parse *parse, SqlSpan without, SqlSpan option) {
  if (without.length && is_word(parse, option, "rowid")) return 1;
  if (!without.length && is_word(parse, option, "strict")) return 2;
  build_fail(parse, option.at, FAULT_INVALID, "unknown table option: %.*s", (int)option.length,
             parse->text + option.at);
  return 0;
}

SqlConstraint *build_new_constraint(Parse *parse, SqlConstraintKind kind, SqlSpan at) {
  SqlConstraint *constraint = build_alloc(parse, sizeof *constraint);
  if (!constraint) return NULL;
  constraint->kind = kind;
  constraint->span = at;
  return constraint;
}

void build_defer(SqlConstraint *constraint, Defer defer) {
  if (!constraint) return;
  constraint->deferrable = defer.deferrable;
  constraint->not_deferrable = defer.not_deferrable;
  constraint->deferred = defer.deferred;
  constraint->immediate = defer.immediate;
}

SqlConstraint *build_foreign(Parse *parse, SqlSpan at, Names names, SqlSpan parent,
                             Names parent_names, ForeignTail tail, Defer defer) {
  SqlConstraint *constraint = build_new_constraint(parse, SQL_CONSTRAINT_FOREIGN, at);
  if (!constraint) return NULL;
  constraint->names = names.items;
  constraint->nnames = names.count;
  constraint->parent = build_name(parse, parent);
  constraint->parent_names = parent_names.items;
  constraint->nparent_names = parent_names.count;
  constraint->on_delete = tail.on_delete;
  constraint->on_update = tail.on_update;
  build_defer(constraint, defer);
  return constraint;
}

SqlConstraint *build_default(Parse *parse, SqlSpan at, bool parens, Ex e, uint32_t from,
                             uint32_t to) {
  SqlConstraint *constraint = build_new_constraint(parse, SQL_CONSTRAINT_DEFAULT, at);
  if (!constraint) return NULL;
  constraint->expr = e.e;
  constraint->default_parens = parens;
  constraint->text = build_text(parse, from, to);
  return constraint;
}

void build_no_variables(Parse *parse, const char *what) {
  if (parse->nvariables) build_fail(parse, parse->variable_at, FAULT_INVALID, "%s", what);
}
