/*
** The schema's own constraints on decided columns, as rules. See compile.h.
**
** UNIQUE, CHECK and FOREIGN KEY hold after an UPDATE or SQLite refuses it, so an answer that breaks
** one could not be applied. Each becomes a SELECT with a column `must` and is compiled like a view.
*/
#include <string.h>
#include <strings.h>

#include "extensions/weave/compile.h"

static void add_table(Text *sql, const Table *table) {
  text_add_name(sql, table->schema);
  text_addc(sql, '.');
  text_add_name(sql, table->name);
}

static void add_field(Text *sql, const char *alias, const char *column) {
  text_addf(sql, "%s.", alias);
  text_add_name(sql, column);
}

/* (a.k1, a.k2) op (b.k1, b.k2) */
static void add_key_order(Text *sql, const Table *table) {
  for (int side = 0; side < 2; side++) {
    text_add(sql, side ? " < " : "");
    if (table->nkeys > 1) text_addc(sql, '(');
    for (int k = 0; k < table->nkeys; k++) {
      if (k) text_addc(sql, ',');
      add_field(sql, side ? "b" : "a", table->keys[k]);
    }
    if (table->nkeys > 1) text_addc(sql, ')');
  }
}

/* Parse, bind, append. Takes the text. */
static bool add_rule(Compiler *compiler, const char *name, Text *sql) {
  Rule rule = {.name = name, .must = 0, .maximize = -1, .minimize = -1, .level = 1};
  rule.text = compile_text(compiler, sql);
  if (!name || !rule.text) return false;
  rule.select = sql_parse_select(&compiler->arena, rule.text, strlen(rule.text), compiler->fault);
  if (!rule.select ||
      !sql_bind(rule.select, &compiler->schema, &compiler->arena, compiler->fault)) {
    return fault_prefix(compiler->fault, "%s: ", name);
  }
  while (rule.must < sql_width(rule.select) &&
         strcasecmp(sql_result(rule.select, rule.must)->name, "must") != 0) {
    rule.must++;
  }
  return rule_add(compiler, &rule);
}

static Decision *decision_of(const Table *table, const char *column) {
  for (int i = 0; i < table->ncolumns; i++) {
    if (!strcasecmp(table->columns[i].name, column)) return table->decisions[i];
  }
  return NULL;
}

/* ---- UNIQUE --------------------------------------------------------------------------------- */

/* Two rows that agree on the undecided columns differ in a decided one. */
static bool add_unique(Compiler *compiler, Table *table, sqlite3_stmt *columns) {
  Text must = {0}, same = {0}, names = {0}, sql = {0};
  int step;
  bool plain = true;
  while ((step = query_step(columns, compiler->fault)) == 1) {
    const char *column = (const char *)sqlite3_column_text(columns, 0);
    plain &= column != NULL; /* an expression has no name */
    if (!column) continue;
    if (names.length) text_addc(&names, ',');
    text_add(&names, column);
    Text *part = decision_of(table, column) ? &must : &same;
    text_add(part, part == &same ? " AND " : part->length ? " OR " : "");
    add_field(part, "a", column);
    text_add(part, part == &same ? " = " : " <> ");
    add_field(part, "b", column);
    text_add(part, " COLLATE "); /* the index has its own */
    text_add_name(part, query_text(columns, 1));
  }
  bool ok = step == 0;
  if (ok && plain && must.length) {
    text_add(&sql, "SELECT ");
    for (int side = 0; side < 2; side++) {
      add_field(&sql, side ? "b" : "a", table->label ? table->label : table->keys[0]);
      text_add(&sql, side ? " AS other, (" : " AS row, ");
    }
    text_addf(&sql, "%s) AS must FROM ", text_get(&must) ? text_get(&must) : "");
    add_table(&sql, table);
    text_add(&sql, " AS a JOIN ");
    add_table(&sql, table);
    text_add(&sql, " AS b ON ");
    add_key_order(&sql, table);
    text_add(&sql, text_get(&same) ? text_get(&same) : "");
    sql.oom |= must.oom | same.oom | names.oom;
    const char *name = arena_printf(&compiler->arena, "UNIQUE %s(%s)", table->name,
                                    text_get(&names) ? text_get(&names) : "");
    ok = add_rule(compiler, name, &sql);
  }
  text_finish(&must);
  text_finish(&same);
  text_finish(&names);
  text_finish(&sql);
  return ok;
}

static bool unique_rules(Compiler *compiler, Table *table) {
  sqlite3_stmt *indexes =
      query_printf(compiler->db, compiler->fault,
                   "SELECT name FROM pragma_index_list(%Q, %Q) WHERE \"unique\" AND NOT partial",
                   table->name, table->schema);
  bool ok = indexes != NULL;
  int step = 0;
  while (ok && (step = query_step(indexes, compiler->fault)) == 1) {
    sqlite3_stmt *columns =
        query_printf(compiler->db, compiler->fault,
                     "SELECT name, coll FROM pragma_index_xinfo(%Q, %Q) WHERE key ORDER BY seqno",
                     query_text(indexes, 0), table->schema);
    ok = columns && add_unique(compiler, table, columns);
    query_finish(columns);
  }
  query_finish(indexes);
  return ok && step == 0;
}

/* ---- CHECK ---------------------------------------------------------------------------------- */

static SqlWalk find_decided(void *ctx, SqlExpr *expr) {
  const Table **table = ctx;
  if (expr->kind == SQL_EXPR_COLUMN && *table && decision_of(*table, expr->name)) *table = NULL;
  return SQL_WALK_ON;
}

static bool check_rules(Compiler *compiler, Table *table) {
  SqlExpr **checks;
  int count;
  if (!catalog_checks(compiler, table, &checks, &count)) return false;
  for (int i = 0; i < count; i++) {
    const Table *undecided = table;
    SqlVisitor visitor = {.ctx = &undecided, .expr = find_decided};
    sql_walk_expr(checks[i], &visitor);
    if (undecided) continue;
    Text sql = {0};
    SqlPrinter printer = {.out = &sql};
    text_add(&sql, "SELECT ");
    text_add_name(&sql, table->label ? table->label : table->keys[0]);
    text_add(&sql, " AS row, (");
    sql_print_expr(&printer, checks[i]);
    text_add(&sql, ") AS must FROM ");
    add_table(&sql, table);
    if (!add_rule(compiler, arena_printf(&compiler->arena, "CHECK %s", table->name), &sql)) {
      return false;
    }
  }
  return true;
}

/* ---- FOREIGN KEY ---------------------------------------------------------------------------- */

static bool foreign_keys_on(Compiler *compiler) {
  sqlite3_stmt *pragma = query_prepare(compiler->db, "PRAGMA foreign_keys", compiler->fault);
  bool on = pragma && query_step(pragma, compiler->fault) == 1 && sqlite3_column_int(pragma, 0);
  query_finish(pragma);
  return on;
}

/* Some column of the key is NULL, or the parent has the row. */
static bool add_foreign(Compiler *compiler, Table *table, int id) {
  sqlite3_stmt *columns = query_printf(
      compiler->db, compiler->fault,
      "SELECT \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(%Q, %Q) WHERE id = %d "
      "ORDER BY seq",
      table->name, table->schema, id);
  Text nulls = {0}, match = {0}, sql = {0};
  Table *parent = NULL;
  bool decided = false, ok = columns != NULL;
  int step = 0, seq = 0;
  while (ok && (step = query_step(columns, compiler->fault)) == 1) {
    const char *from = query_text(columns, 1);
    const char *to = (const char *)sqlite3_column_text(columns, 2);
    parent = catalog_table(compiler, table->schema, query_text(columns, 0));
    if (!parent) break;
    if (!to) to = parent->label;
    if (!to) break;
    decided |= decision_of(table, from) != NULL;
    add_field(&nulls, "c", from);
    text_add(&nulls, " IS NULL OR ");
    text_add(&match, seq++ ? " AND " : "");
    add_field(&match, "p", to);
    text_add(&match, " = ");
    add_field(&match, "c", from);
  }
  if (ok && step == 0 && decided) {
    text_add(&sql, "SELECT ");
    add_field(&sql, "c", table->label ? table->label : table->keys[0]);
    text_addf(&sql, " AS row, %sEXISTS (SELECT 1 FROM ", text_get(&nulls) ? text_get(&nulls) : "");
    add_table(&sql, parent);
    text_addf(&sql, " AS p WHERE %s) AS must FROM ", text_get(&match) ? text_get(&match) : "");
    add_table(&sql, table);
    text_add(&sql, " AS c");
    sql.oom |= nulls.oom | match.oom;
    const char *name =
        arena_printf(&compiler->arena, "FOREIGN KEY %s -> %s", table->name, parent->name);
    ok = add_rule(compiler, name, &sql);
  }
  text_finish(&nulls);
  text_finish(&match);
  text_finish(&sql);
  query_finish(columns);
  return ok && compiler->fault->code == FAULT_NONE;
}

static bool foreign_rules(Compiler *compiler, Table *table) {
  sqlite3_stmt *keys = query_printf(compiler->db, compiler->fault,
                                    "SELECT DISTINCT id FROM pragma_foreign_key_list(%Q, %Q)",
                                    table->name, table->schema);
  bool ok = keys != NULL;
  int step = 0;
  while (ok && (step = query_step(keys, compiler->fault)) == 1) {
    ok = add_foreign(compiler, table, sqlite3_column_int(keys, 0));
  }
  query_finish(keys);
  return ok && step == 0;
}

bool domain_constraints(Compiler *compiler) {
  bool enforced = foreign_keys_on(compiler);
  for (size_t i = 0; i < compiler->ndecisions; i++) {
    Table *table = compiler->decisions[i].table;
    bool seen = false;
    for (size_t j = 0; j < i; j++) seen |= compiler->decisions[j].table == table;
    if (seen) continue;
    if (!unique_rules(compiler, table) || !check_rules(compiler, table)) return false;
    if (enforced && !foreign_rules(compiler, table)) return false;
  }
  return compiler->fault->code == FAULT_NONE;
}
