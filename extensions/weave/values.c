/*
** Candidate values: read from a query, or taken from the schema. See compile.h.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/compile.h"

/* ---- candidate values ----------------------------------------------------------------------- */

/* A value as the column would store it. */
bool values_store(Compiler *compiler, SqlAffinity affinity, Value *value) {
  if (!value_apply_affinity(&compiler->arena, value, affinity)) return fault_oom(compiler->fault);
  bool to_integer = affinity == SQL_AFFINITY_INTEGER || affinity == SQL_AFFINITY_NUMERIC;
  if (to_integer && value->type == VALUE_REAL && fabs(value->real) < 9e15 &&
      value->real == (double)(int64_t)value->real) {
    *value = value_integer((int64_t)value->real);
  }
  if (affinity == SQL_AFFINITY_REAL && value->type == VALUE_INTEGER) {
    *value = value_real((double)value->integer);
  }
  return true;
}

int values_add(Compiler *compiler, Decision *decision, const Value *values, int count) {
  if (!array_grow(decision->domains, decision->domains_capacity, decision->ndomains + 1)) {
    fault_oom(compiler->fault);
    return -1;
  }
  Domain *domain = &decision->domains[decision->ndomains];
  domain->count = count;
  domain->values = arena_array(&compiler->arena, (size_t)count, sizeof *domain->values);
  if (!domain->values) {
    fault_oom(compiler->fault);
    return -1;
  }
  if (count) memcpy(domain->values, values, (size_t)count * sizeof *values);
  return (int)decision->ndomains++;
}

/* Equal, and yet not the same for typeof() or a division. */
static bool refuse_twins(Compiler *compiler, const Decision *decision, const Value *value) {
  return fault_set(compiler->fault, FAULT_UNSUPPORTED,
                   "DECIDE %s.%s IN: the candidate %.17g comes as INTEGER and as REAL",
                   decision->clause->table, decision->clause->column, value_number(value));
}

/* The distinct values of column 0, NULL only when optional and then last. -1: a fault. */
int values_read(Compiler *compiler, Decision *decision, sqlite3_stmt *query) {
  Value *values = NULL;
  size_t capacity = 0;
  int count = 0, step, index = -1;
  Map seen = {0};
  Text key = {0};
  while ((step = query_step(query, compiler->fault)) == 1) {
    Value value = query_value(query, 0);
    bool added = false;
    if (value_is_null(&value)) continue;
    if (!array_grow(values, capacity, (size_t)count + 2)) goto oom;
    if (!value_copy(&compiler->arena, &value, &value)) goto oom;
    if (!values_store(compiler, decision->affinity, &value)) goto out;
    text_clear(&key);
    value_add_key(&key, &value, COLLATION_BINARY);
    int64_t *at = key.oom ? NULL : map_put(&seen, key.data, key.length, count, &added);
    if (!at) goto oom;
    if (added) {
      values[count++] = value;
    } else if (values[*at].type != value.type) {
      refuse_twins(compiler, decision, &value);
      goto out;
    }
  }
  if (step < 0) goto out;
  if (decision->clause->optional) {
    if (!array_grow(values, capacity, (size_t)count + 1)) goto oom;
    values[count++] = value_null();
  }
  index = values_add(compiler, decision, values, count);
  goto out;
oom:
  fault_oom(compiler->fault);
out:
  map_finish(&seen);
  text_finish(&key);
  free(values);
  return index;
}

bool values_range(Compiler *compiler, Decision *decision) {
  int count = (int)(decision->clause->hi - decision->clause->lo) + 1;
  Value values[SMALL_RANGE + 1];
  for (int i = 0; i < count; i++) {
    values[i] = value_integer((int64_t)decision->clause->lo + i);
    if (!values_store(compiler, decision->affinity, &values[i])) return false;
  }
  if (decision->clause->optional) values[count++] = value_null();
  return values_add(compiler, decision, values, count) >= 0;
}

bool values_one_column(Compiler *compiler, const Decision *decision, sqlite3_stmt *query) {
  int n = sqlite3_column_count(query);
  if (n == 1) return true;
  return fault_set(compiler->fault, FAULT_INVALID,
                   "DECIDE %s.%s IN: the query has %d columns, expected 1", decision->clause->table,
                   decision->clause->column, n);
}

/* ---- domains without IN: from the schema ---------------------------------------------------- */

static const char *foreign_key_query(Compiler *compiler, const Decision *decision) {
  const Table *table = decision->table;
  const char *sql = NULL;
  sqlite3_stmt *keys = query_printf(
      compiler->db, compiler->fault,
      "SELECT \"table\", \"to\" FROM pragma_foreign_key_list(%Q, %Q) WHERE \"from\" = %Q COLLATE "
      "NOCASE AND id IN (SELECT id FROM pragma_foreign_key_list(%Q, %Q) GROUP BY id "
      "HAVING count(*) = 1)",
      table->name, table->schema, table->columns[decision->column].name, table->name,
      table->schema);
  if (keys && query_step(keys, compiler->fault) == 1) {
    Table *parent = catalog_table(compiler, table->schema, query_text(keys, 0));
    const char *to = (const char *)sqlite3_column_text(keys, 1);
    if (!to && parent) to = parent->label;
    if (parent && to) {
      Text text = {0};
      text_add(&text, "SELECT ");
      text_add_name(&text, to);
      text_add(&text, " FROM ");
      text_add_name(&text, parent->schema);
      text_addc(&text, '.');
      text_add_name(&text, parent->name);
      sql = compile_text(compiler, &text);
    }
  }
  query_finish(keys);
  return sql;
}

static bool is_column(const SqlExpr *expr, const char *name) {
  return expr->kind == SQL_EXPR_COLUMN && !strcasecmp(expr->name, name);
}

static bool constant_number(Compiler *compiler, const SqlExpr *expr, double *out, bool *integral) {
  Text text = {0};
  SqlPrinter printer = {.out = &text};
  text_add(&text, "SELECT ");
  sql_print_expr(&printer, expr);
  Fault ignored = {0};
  sqlite3_stmt *query = query_prepare(compiler->db, text_get(&text), &ignored);
  bool ok = false;
  if (query && query_step(query, &ignored) == 1) {
    Value value = query_value(query, 0);
    ok = value_is_number(&value);
    *out = value_number(&value);
    *integral &= value.type == VALUE_INTEGER;
  }
  query_finish(query);
  text_finish(&text);
  return ok;
}

/* CHECK (c IN (…)), CHECK (c BETWEEN a AND b), with AND around. */
static bool check_domain(Compiler *compiler, const Decision *decision, const SqlExpr *check,
                         DecideClause *clause) {
  const char *name = decision->table->columns[decision->column].name;
  if (check->kind == SQL_EXPR_BINARY && check->op == SQL_OP_AND) {
    return check_domain(compiler, decision, check->args[0], clause) ||
           check_domain(compiler, decision, check->args[1], clause);
  }
  if (check->negated || check->nargs == 0 || !is_column(check->args[0], name)) return false;
  if (check->kind == SQL_EXPR_BETWEEN) {
    bool integral = decision->affinity == SQL_AFFINITY_INTEGER;
    if (!constant_number(compiler, check->args[1], &clause->lo, &integral) ||
        !constant_number(compiler, check->args[2], &clause->hi, &integral)) {
      return false;
    }
    clause->domain = integral ? DOMAIN_INTEGER : DOMAIN_REAL;
    return true;
  }
  if (check->kind != SQL_EXPR_IN_LIST || check->nargs < 2) return false;
  Text text = {0};
  SqlPrinter printer = {.out = &text};
  text_add(&text, "VALUES ");
  for (int i = 1; i < check->nargs; i++) {
    text_add(&text, i > 1 ? ",(" : "(");
    sql_print_expr(&printer, check->args[i]);
    text_addc(&text, ')');
  }
  clause->query = compile_text(compiler, &text);
  clause->domain = DOMAIN_QUERY;
  return clause->query != NULL;
}

bool values_imply(Compiler *compiler, Decision *decision) {
  DecideClause *clause = arena_alloc(&compiler->arena, sizeof *clause);
  if (!clause) return fault_oom(compiler->fault);
  *clause = *decision->clause;
  decision->clause = clause;
  clause->query = foreign_key_query(compiler, decision);
  if (clause->query) clause->domain = DOMAIN_QUERY;
  if (clause->query || compiler->fault->code) return compiler->fault->code == FAULT_NONE;
  SqlExpr **checks;
  int count;
  if (!catalog_checks(compiler, decision->table, &checks, &count)) return false;
  for (int i = 0; i < count; i++) {
    if (check_domain(compiler, decision, checks[i], clause)) return true;
  }
  return fault_set(compiler->fault, FAULT_INVALID,
                   "DECIDE %s.%s: no IN (…), and the column has no foreign key and no CHECK with "
                   "IN or BETWEEN to take the values from",
                   clause->table, clause->column);
}
