/*
** The query SQLite runs for one SELECT. See block.h.
**
** For  SELECT … FROM pod p JOIN node n ON n.name = p.node  with pod.node decided, SQLite gets
**
**   WITH w_d1(dom, k, v) AS MATERIALIZED (SELECT c0, c1, CAST(c2 AS TEXT) FROM weave_relation(?1))
**   SELECT w_s0k.c0, w_d1.k, <leaves>
**   FROM weave_relation(?2) AS w_s0k, "main"."pod" AS w_s0, w_d1, "main"."node" AS w_s2
**   WHERE w_s0.rowid = w_s0k.c1 AND w_s2."name" = w_d1.v
**
** and each row is a tuple under the guard "p.node is candidate k". Rows outside every scope come
** from a second pass over the table itself. The CASTs give candidates the column's affinity, so
** that comparisons convert as they do in the user's view; MATERIALIZED lets SQLite build an
** automatic index over them.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/weave/block.h"

/* The text under construction. */
typedef struct Writer {
  Block *block;
  Text *sql;
  const Feed *scope_feed; /* whose scope expression is being printed */
  bool stand_in;          /* only the outer rows are read; columns of other feeds are NULL */
  Relation *bound[2 * MAX_FEEDS + MAX_FEEDS * MAX_CELLS];
  int nbound, nresults;
} Writer;

/* ---- columns and sources -------------------------------------------------------------------- */

static void add_column(Text *sql, const char *alias, const SqlExpr *column) {
  text_addf(sql, "%s.", alias);
  if (column->column < 0) {
    text_add(sql, column->name); /* rowid, or another of its names */
  } else {
    text_add_name(sql, column->bound->columns[column->column].name);
  }
}

static bool is_scope_column(const Writer *writer, const SqlExpr *expr) {
  const Feed *feed = writer->scope_feed;
  for (int i = 0; feed && i < feed->table->ncolumns; i++) {
    const Decision *decision = feed->table->decisions[i];
    if (decision && decision->scope_source == expr->bound) return true;
  }
  return false;
}

static bool print_expr(void *ctx, Text *out, const SqlExpr *expr) {
  Writer *writer = ctx;
  if (expr->kind != SQL_EXPR_COLUMN) return false;
  if (!expr->bound && expr->alias_of) {
    SqlPrinter printer = {.out = out, .ctx = ctx, .expr = print_expr};
    text_addc(out, '(');
    sql_print_expr(&printer, expr->alias_of);
    text_addc(out, ')');
    return true;
  }
  if (!expr->bound) return false;
  int at;
  if (is_scope_column(writer, expr)) {
    add_column(out, writer->scope_feed->alias, expr);
    return true;
  }
  Feed *feed = block_feed(writer->block, expr, &at);
  if (!feed) return false;
  if (writer->stand_in && !(writer->block->has_outer && feed == writer->block->feeds)) {
    text_add(out, "NULL");
    return true;
  }
  const Cell *cell = block_cell(writer->block, expr);
  if (feed->kind == FEED_VIEW) {
    text_addf(out, "%s.c%d", feed->alias, at);
  } else if (cell && !feed->fixed) {
    text_addf(out, cell->expanded ? "%s.v" : "NULL", cell->alias);
  } else {
    add_column(out, feed->alias, expr);
  }
  return true;
}

/* Tables inside sub-selects: with their schema, since the view they stood in may be of another. */
static bool print_source(void *ctx, Text *out, const SqlSource *source) {
  (void)ctx;
  const Table *table = source->object;
  if (source->kind != SQL_SOURCE_TABLE || source->cte || !table || !table->schema) return false;
  text_add_name(out, table->schema);
  text_addc(out, '.');
  text_add_name(out, table->name);
  text_add(out, " AS ");
  text_add_name(out, source->alias ? source->alias : source->name);
  return true;
}

static void add_expr(Writer *writer, const SqlExpr *expr) {
  SqlPrinter printer = {
      .out = writer->sql, .ctx = writer, .expr = print_expr, .source = print_source};
  sql_print_expr(&printer, expr);
}

static void add_bound(Writer *writer, Relation *relation) {
  writer->bound[writer->nbound++] = relation;
  text_addf(writer->sql, "weave_relation(?%d)", writer->nbound);
}

/* ---- WITH ----------------------------------------------------------------------------------- */

/* The cast that gives a column its affinity without changing a value; "" when there is none. */
static const char *cast_for(const Relation *relation, int column, SqlAffinity affinity) {
  bool text = affinity == SQL_AFFINITY_TEXT, real = affinity == SQL_AFFINITY_REAL;
  if (affinity < SQL_AFFINITY_TEXT) return "";
  for (size_t r = 0; r < relation->nrows; r++) {
    const Value *value = &relation_row(relation, r)[column];
    if (value_is_null(value)) continue;
    if (text ? value->type != VALUE_TEXT : !value_is_number(value)) return "";
  }
  return text ? "TEXT" : real ? "REAL" : "NUMERIC";
}

static void add_cast(Writer *writer, const Relation *relation, int column, SqlAffinity affinity,
                     const char *collation) {
  const char *cast = cast_for(relation, column, affinity);
  text_addf(writer->sql, *cast ? "CAST(c%d AS %s)" : "c%d", column, cast);
  if (collation) {
    text_add(writer->sql, " COLLATE ");
    text_add_name(writer->sql, collation);
  }
}

static void add_candidates(Writer *writer, Cell *cell, const char **comma) {
  Decision *decision = cell->decision;
  text_addf(writer->sql, "%s%s(dom,k,v) AS MATERIALIZED (SELECT c0,c1,", *comma, cell->alias);
  add_cast(writer, &decision->candidates, 2, decision->affinity,
           decision->table->columns[decision->column].collation);
  text_add(writer->sql, " FROM ");
  add_bound(writer, &decision->candidates);
  text_addc(writer->sql, ')');
  *comma = ",";
}

static void add_relation(Writer *writer, Feed *feed, const char **comma) {
  SymRelation *relation = feed->relation;
  text_addf(writer->sql, "%s%s(t", *comma, feed->alias);
  for (int i = 0; i < relation->ncolumns; i++) text_addf(writer->sql, ",c%d", i);
  text_add(writer->sql, ") AS MATERIALIZED (SELECT c0");
  for (int i = 0; i < relation->ncolumns; i++) {
    text_addc(writer->sql, ',');
    add_cast(writer, &relation->rows, i + 1, relation->affinities[i], relation->collations[i]);
  }
  text_add(writer->sql, " FROM ");
  add_bound(writer, &relation->rows);
  text_addc(writer->sql, ')');
  *comma = ",";
}

/* The user's own CTEs, as far as they read no decision (the others are feeds). */
static bool add_ctes(Writer *writer, const char **comma) {
  SqlPrinter printer = {.out = writer->sql, .ctx = writer, .source = print_source};
  for (const SqlSelect *select = writer->block->whole; select; select = select->outer) {
    const SqlWith *with = select->with;
    for (int i = 0; with && i < with->nctes; i++) {
      const SqlCte *cte = &with->ctes[i];
      bool depends;
      if (!compile_select_depends(writer->block->compiler, cte->select, &depends)) return false;
      if (depends && cte->recursive) {
        SqlExpr place = {.span = cte->span};
        return block_refuse(writer->block, &place,
                            "a recursive CTE over decisions is not supported");
      }
      if (depends) continue;
      text_add(writer->sql, *comma);
      text_add_name(writer->sql, cte->name);
      for (int c = 0; c < cte->ncolumns; c++) {
        text_addc(writer->sql, c ? ',' : '(');
        text_add_name(writer->sql, cte->columns[c]);
      }
      text_add(writer->sql, cte->ncolumns ? ") AS (" : " AS (");
      sql_print_select(&printer, cte->select);
      text_addc(writer->sql, ')');
      *comma = ",";
    }
  }
  return true;
}

/* Feeds that the query reads: all, or the outer rows alone. */
static int feeds_read(const Writer *writer) {
  return writer->stand_in ? writer->block->has_outer : writer->block->nfeeds;
}

static bool is_decided(const Feed *feed) { return feed->kind == FEED_TABLE && !feed->fixed; }

static bool is_first_decided(const Writer *writer, const Feed *feed) {
  const Feed *first = writer->block->feeds;
  while (first < feed && !is_decided(first)) first++;
  return first == feed && is_decided(feed);
}

static SqlAffinity key_affinity(const Table *table, int key) {
  for (int i = 0; i < table->ncolumns; i++) {
    const SqlColumn *column = &table->columns[i];
    if (!strcmp(column->name, table->keys[key])) return sql_type_affinity(column->type);
  }
  return SQL_AFFINITY_INTEGER; /* the rowid */
}

/* Without the affinity of what it is compared with, a key would not be indexed. */
static void add_classes(Writer *writer, Feed *feed, const char **comma) {
  const Relation *classes = &feed->classes;
  text_addf(writer->sql, "%s%sk(c0", *comma, feed->alias);
  for (int i = 1; i < classes->ncolumns; i++) text_addf(writer->sql, ",c%d", i);
  text_add(writer->sql, ") AS MATERIALIZED (SELECT c0");
  for (int i = 1; i < classes->ncolumns; i++) {
    bool key = i <= feed->table->nkeys;
    text_addc(writer->sql, ',');
    add_cast(writer, classes, i, key ? key_affinity(feed->table, i - 1) : SQL_AFFINITY_NONE, NULL);
  }
  text_add(writer->sql, " FROM ");
  add_bound(writer, &feed->classes);
  text_addc(writer->sql, ')');
  *comma = ",";
}

static bool add_with(Writer *writer) {
  const char *comma = "WITH RECURSIVE ";
  if (!add_ctes(writer, &comma)) return false;
  for (int f = 0; f < feeds_read(writer); f++) {
    Feed *feed = &writer->block->feeds[f];
    if (feed->kind == FEED_VIEW) add_relation(writer, feed, &comma);
    if (is_decided(feed) && !is_first_decided(writer, feed)) add_classes(writer, feed, &comma);
    for (int c = 0; is_decided(feed) && c < feed->ncells; c++) {
      if (feed->cells[c].expanded) add_candidates(writer, &feed->cells[c], &comma);
    }
  }
  return true;
}

/* ---- SELECT, FROM, WHERE -------------------------------------------------------------------- */

static void add_result(Writer *writer, const char *alias, const char *column) {
  text_addf(writer->sql, "%s%s.%s", writer->nresults++ ? "," : "", alias, column);
}

static void add_results(Writer *writer) {
  for (int f = 0; f < feeds_read(writer); f++) {
    Feed *feed = &writer->block->feeds[f];
    feed->out = writer->nresults;
    if (feed->kind == FEED_VIEW) add_result(writer, feed->alias, "t");
    if (feed->kind != FEED_TABLE || feed->fixed) continue;
    text_addf(writer->sql, "%s%sk.c0", writer->nresults++ ? "," : "", feed->alias);
    for (int c = 0; c < feed->ncells; c++) {
      Cell *cell = &feed->cells[c];
      cell->out = writer->nresults;
      if (cell->expanded) add_result(writer, cell->alias, "k");
    }
  }
  for (int i = 0; i < writer->block->nleaves; i++) {
    if (writer->nresults + i) text_addc(writer->sql, ',');
    add_expr(writer, writer->block->leaves[i]);
  }
  if (writer->nresults + writer->block->nleaves == 0) text_add(writer->sql, "1");
}

static void add_plain(Writer *writer, const Feed *feed) {
  const SqlSource *source = feed->source;
  SqlPrinter printer = {
      .out = writer->sql, .ctx = writer, .expr = print_expr, .source = print_source};
  if (source->kind == SQL_SOURCE_SELECT) {
    text_addc(writer->sql, '(');
    sql_print_select(&printer, source->select);
    text_addc(writer->sql, ')');
  } else {
    const Table *table = source->cte ? NULL : source->object;
    if (table && table->schema) {
      text_add_name(writer->sql, table->schema);
      text_addc(writer->sql, '.');
    }
    text_add_name(writer->sql, table ? table->name : source->name);
    for (int i = 0; i < source->nargs; i++) {
      text_addc(writer->sql, i ? ',' : '(');
      add_expr(writer, source->args[i]);
    }
    if (source->nargs) text_addc(writer->sql, ')');
  }
  text_addf(writer->sql, " AS %s", feed->alias);
}

/* CROSS JOIN: the class picks the row. For other tables than the first SQLite may have a better
** idea: in a self-join, the rows that an index of the first leads to. It looks their classes up in
** a copy of the list, which it can index. */
static void add_table(Writer *writer, Feed *feed) {
  bool decided = is_decided(feed), first = is_first_decided(writer, feed);
  if (first) {
    add_bound(writer, &feed->classes);
    text_addf(writer->sql, " AS %sk CROSS JOIN ", feed->alias);
  }
  text_add_name(writer->sql, feed->table->schema);
  text_addc(writer->sql, '.');
  text_add_name(writer->sql, feed->table->name);
  text_addf(writer->sql, " AS %s", feed->alias);
  if (decided && !first) text_addf(writer->sql, ",%sk", feed->alias);
  for (int c = 0; decided && c < feed->ncells; c++) {
    if (feed->cells[c].expanded) text_addf(writer->sql, ",%s", feed->cells[c].alias);
  }
}

static void add_feed(Writer *writer, int f, const char *separator) {
  Feed *feed = &writer->block->feeds[f];
  bool left = feed->kind == FEED_PLAIN && feed->join == SQL_JOIN_LEFT;
  text_add(writer->sql, left ? " LEFT JOIN " : separator);
  if (feed->kind == FEED_VIEW) text_add(writer->sql, feed->alias);
  if (feed->kind == FEED_PLAIN) add_plain(writer, feed);
  if (feed->kind == FEED_TABLE) add_table(writer, feed);
  if (left && writer->block->left_on[f]) {
    text_add(writer->sql, " ON (");
    add_expr(writer, writer->block->left_on[f]);
    text_addc(writer->sql, ')');
  }
}

/* Decided tables first, so that a CROSS JOIN holds back nothing but its own table. */
static void add_from(Writer *writer) {
  const char *separator = " FROM ";
  for (int decided = 1; decided >= 0; decided--) {
    for (int f = 0; f < feeds_read(writer); f++) {
      if (is_decided(&writer->block->feeds[f]) != decided) continue;
      add_feed(writer, f, separator);
      separator = ",";
    }
  }
}

static void add_and(Writer *writer, bool *first) {
  text_add(writer->sql, *first ? " WHERE " : " AND ");
  *first = false;
}

/* Row of the class; candidates of its domain; or: rows outside every scope. */
static void add_table_conditions(Writer *writer, Feed *feed, bool *first) {
  const Table *table = feed->table;
  if (feed->fixed) {
    add_and(writer, first);
    text_add(writer->sql, "(0");
    writer->scope_feed = feed;
    for (int i = 0; i < table->ncolumns; i++) {
      const Decision *decision = table->decisions[i];
      if (!decision || !decision->scope) continue;
      text_add(writer->sql, " OR (");
      add_expr(writer, decision->scope);
      text_addc(writer->sql, ')');
    }
    writer->scope_feed = NULL;
    text_add(writer->sql, ") IS NOT TRUE");
    return;
  }
  for (int k = 0; k < table->nkeys; k++) {
    add_and(writer, first);
    text_addf(writer->sql, "%s.", feed->alias);
    text_add_name(writer->sql, table->keys[k]);
    text_addf(writer->sql, "=%sk.c%d", feed->alias, k + 1);
  }
  for (int c = 0; c < feed->ncells; c++) {
    const Cell *cell = &feed->cells[c];
    if (!cell->expanded || cell->decision->ndomains == 1) continue;
    add_and(writer, first);
    text_addf(writer->sql, "%s.dom=%sk.c%d", cell->alias, feed->alias, 1 + table->nkeys + c);
  }
}

static void add_where(Writer *writer) {
  Block *block = writer->block;
  bool first = true;
  for (int f = 0; f < block->nfeeds; f++) {
    if (block->feeds[f].kind == FEED_TABLE) {
      add_table_conditions(writer, &block->feeds[f], &first);
    }
  }
  for (int i = 0; i < block->nconditions; i++) {
    add_and(writer, &first);
    text_addc(writer->sql, '(');
    add_expr(writer, block->conditions[i]);
    text_addc(writer->sql, ')');
  }
  if (block->violation) {
    add_and(writer, &first);
    text_add(writer->sql, "NOT (");
    add_expr(writer, block->violation);
    text_addc(writer->sql, ')');
  }
}

sqlite3_stmt *enumerate_query(Block *block, bool stand_in) {
  Text sql = {0};
  Writer writer = {.block = block, .sql = &sql, .stand_in = stand_in};
  Compiler *compiler = block->compiler;
  sqlite3_stmt *query = NULL;
  if (!add_with(&writer)) goto out;
  text_add(&sql, " SELECT ");
  add_results(&writer);
  add_from(&writer);
  if (!stand_in) add_where(&writer);
  query = query_prepare(compiler->db, text_get(&sql), compiler->fault);
  for (int i = 0; query && i < writer.nbound; i++) {
    if (!relation_bind(query, i + 1, writer.bound[i], compiler->fault)) {
      query_finish(query);
      query = NULL;
    }
  }
  compiler->statements++;
out:
  text_finish(&sql);
  return query;
}
