/*
** Building INSERT, UPDATE and DELETE: see build.h.
*/
#include "sql/build.h"

SqlStatement *build_statement(Parse *parse, SqlStatementKind kind) {
  SqlStatement *statement = build_alloc(parse, sizeof *statement);
  if (!statement) return NULL;
  statement->kind = kind;
  statement->text = parse->text;
  return statement;
}

SqlStatement *build_select_statement(Parse *parse, Arms select) {
  SqlStatement *statement = build_statement(parse, SQL_STATEMENT_SELECT);
  if (statement) statement->select = select.first;
  return statement;
}

SqlStatement *build_insert(Parse *parse, SqlWith *with, SqlConflict conflict, bool replace_word,
                           SqlSource *table, Names columns) {
  SqlStatement *statement = build_statement(parse, SQL_STATEMENT_INSERT);
  SqlInsert *insert = build_alloc(parse, sizeof *insert);
  if (!insert) return NULL;
  insert->with = with;
  insert->conflict = conflict;
  insert->replace_word = replace_word;
  insert->table = table;
  insert->columns = columns.items;
  insert->ncolumns = columns.count;
  statement->insert = insert;
  return statement;
}

void build_insert_rows(Parse *parse, SqlStatement *insert, Arms select, UpsertTail tail) {
  if (parse->failed) return;
  Upserts upserts = tail.list;
  /* The grammar reads ON CONFLICT clauses from the last to the first. */
  for (int i = 0, j = upserts.count - 1; i < j; i++, j--) {
    SqlUpsert swap = upserts.items[i];
    upserts.items[i] = upserts.items[j];
    upserts.items[j] = swap;
  }
  insert->insert->select = select.first;
  insert->insert->upserts = upserts.items;
  insert->insert->nupserts = upserts.count;
  insert->insert->returning = tail.returning.items;
  insert->insert->nreturning = tail.returning.count;
}

SqlStatement *build_update(Parse *parse, SqlWith *with, SqlConflict conflict, SqlSource *table,
                           Sets sets, SqlSource *from, Tail tail, Orders order, Limit limit) {
  SqlStatement *statement = build_statement(parse, SQL_STATEMENT_UPDATE);
  SqlUpdate *update = build_alloc(parse, sizeof *update);
  if (!update) return NULL;
  *update = (SqlUpdate){.with = with,
                        .conflict = conflict,
                        .table = table,
                        .sets = sets.items,
                        .nsets = sets.count,
                        .from = from,
                        .where = tail.where,
                        .returning = tail.returning.items,
                        .nreturning = tail.returning.count,
                        .order = order.items,
                        .norder = order.count,
                        .limit = limit.limit,
                        .offset = limit.offset,
                        .offset_first = limit.offset_first};
  statement->update = update;
  return statement;
}

SqlStatement *build_delete(Parse *parse, SqlWith *with, SqlSource *table, Tail tail, Orders order,
                           Limit limit) {
  SqlStatement *statement = build_statement(parse, SQL_STATEMENT_DELETE);
  SqlDelete *delete_ = build_alloc(parse, sizeof *delete_);
  if (!delete_) return NULL;
  *delete_ = (SqlDelete){.with = with,
                         .table = table,
                         .where = tail.where,
                         .returning = tail.returning.items,
                         .nreturning = tail.returning.count,
                         .order = order.items,
                         .norder = order.count,
                         .limit = limit.limit,
                         .offset = limit.offset,
                         .offset_first = limit.offset_first};
  statement->delete_ = delete_;
  return statement;
}
