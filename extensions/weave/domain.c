/*
** What is decided: rows in scope, candidate values, the model's variables. See compile.h.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/compile.h"

enum {
  MAX_LITERALS = 40 * 1000 * 1000, /* row x candidate pairs of one model: some 2 GB */
};

/* ---- the clauses ---------------------------------------------------------------------------- */

static bool resolve_column(Compiler *compiler, const DecideClause *clause, Decision *decision) {
  Table *table = catalog_own(compiler, clause->schema, clause->table);
  if (!table) {
    const char *schema = clause->schema;
    return fault_set(compiler->fault, FAULT_NOTFOUND, "DECIDE %s.%s: no such table: %s%s%s",
                     clause->table, clause->column, schema ? schema : "", schema ? "." : "",
                     clause->table);
  }
  if (table->is_view || !table->schema || table->nkeys == 0) {
    return fault_set(compiler->fault, FAULT_INVALID, "DECIDE %s.%s: %s %s", clause->table,
                     clause->column, clause->table,
                     table->is_view ? "is a view, expected a table"
                                    : "has neither a rowid nor a key to know its rows by");
  }
  decision->column = -1;
  for (int i = 0; i < table->ncolumns; i++) {
    if (!strcasecmp(table->columns[i].name, clause->column)) decision->column = i;
  }
  if (decision->column < 0) {
    return fault_set(compiler->fault, FAULT_NOTFOUND, "DECIDE %s.%s: no such column: %s",
                     clause->table, clause->column, clause->column);
  }
  decision->table = table;
  decision->clause = clause;
  decision->affinity = sql_type_affinity(table->columns[decision->column].type);
  decision->collation = collation_named(table->columns[decision->column].collation);
  bool identifies = catalog_identifies(table, clause->column);
  if (identifies || catalog_generated(compiler, table, decision->column)) {
    return fault_set(compiler->fault, FAULT_UNSUPPORTED,
                     "DECIDE %s.%s: the column %s; it cannot be decided", clause->table,
                     clause->column, identifies ? "identifies its row" : "is generated");
  }
  if (compiler->fault->code) return false;
  if (clause->optional && table->notnull[decision->column]) {
    return fault_set(compiler->fault, FAULT_INVALID,
                     "DECIDE %s.%s: OPTIONAL, but the column is NOT NULL", clause->table,
                     clause->column);
  }
  if (!table->decisions) {
    size_t n = (size_t)table->ncolumns;
    table->decisions = arena_array(&compiler->arena, n, sizeof *table->decisions);
    if (!table->decisions) return fault_oom(compiler->fault);
  }
  if (table->decisions[decision->column]) {
    return fault_set(compiler->fault, FAULT_INVALID, "%s.%s is decided twice", clause->table,
                     clause->column);
  }
  table->decisions[decision->column] = decision;
  return true;
}

/* Scopes are bound once, to a source that stands for the table alone. */
static bool resolve_scope(Compiler *compiler, Decision *decision) {
  const DecideClause *clause = decision->clause;
  if (!clause->scope) return true;
  SqlSource *source = arena_alloc(&compiler->arena, sizeof *source);
  if (!source) return fault_oom(compiler->fault);
  source->kind = SQL_SOURCE_TABLE;
  source->schema = decision->table->schema;
  source->name = decision->table->name;
  source->alias = clause->table;
  decision->scope =
      sql_parse_expr(&compiler->arena, clause->scope, strlen(clause->scope), compiler->fault);
  decision->scope_source = source;
  if (!decision->scope || !sql_bind_expr(decision->scope, source, &compiler->schema,
                                         &compiler->arena, compiler->fault)) {
    return fault_prefix(compiler->fault, "DECIDE %s.%s WHERE: ", clause->table, clause->column);
  }
  return true;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* "main"."pod" AS "pod" */
static void add_from(Text *sql, const Decision *decision) {
  text_add_name(sql, decision->table->schema);
  text_addc(sql, '.');
  text_add_name(sql, decision->table->name);
  text_add(sql, " AS ");
  text_add_name(sql, decision->clause->table);
}

static void add_keys(Text *sql, const Table *table) {
  for (int k = 0; k < table->nkeys; k++) {
    if (k) text_addc(sql, ',');
    text_add_name(sql, table->keys[k]);
  }
}

static Decision *first_decision(const Table *table) {
  for (int i = 0; i < table->ncolumns; i++) {
    if (table->decisions[i]) return table->decisions[i];
  }
  return NULL;
}

/* (scope) OR (scope): empty when a decision covers every row. Scopes are parenthesised as written;
** a comment at the end of one must not swallow the rest, hence the newlines. */
static void add_scope(Text *sql, const Table *table) {
  Text any = {0};
  bool all = false;
  for (int i = 0; i < table->ncolumns; i++) {
    const Decision *decision = table->decisions[i];
    if (!decision) continue;
    if (!decision->clause->scope) all = true;
    if (any.length) text_add(&any, " OR ");
    if (decision->clause->scope) text_addf(&any, "(%s\n)", decision->clause->scope);
  }
  if (!all) text_addf(sql, " WHERE (%s)", text_get(&any) ? text_get(&any) : "");
  if (any.oom) sql->oom = true;
  text_finish(&any);
}

void domain_rows_sql(Text *sql, const Table *table, const char *columns) {
  text_addf(sql, "SELECT %s FROM ", columns);
  add_from(sql, first_decision(table));
  add_scope(sql, table);
  text_add(sql, " ORDER BY ");
  add_keys(sql, table);
}

/* What people call the row: its primary key, as a JSON array when it has several columns. */
static void add_label(Text *columns, const Table *table) {
  text_add(columns, table->nprimary > 1 ? ",json_array(" : ",");
  for (int k = 0; k < table->nprimary; k++) {
    if (k) text_addc(columns, ',');
    text_add_name(columns, table->primary[k]);
  }
  text_add(columns, table->nprimary > 1 ? ")" : table->nprimary ? "" : table->keys[0]);
}

/* SELECT keys, label, present value and in-scope flag of each decision, in key order. */
static sqlite3_stmt *rows_query(Compiler *compiler, const Table *table) {
  Text columns = {0}, sql = {0};
  add_keys(&columns, table);
  add_label(&columns, table);
  for (int i = 0; i < table->ncolumns; i++) {
    const Decision *decision = table->decisions[i];
    if (!decision) continue;
    text_addc(&columns, ',');
    text_add_name(&columns, table->columns[i].name);
    if (decision->clause->scope) {
      text_addf(&columns, ",(%s\n) IS TRUE", decision->clause->scope);
    } else {
      text_add(&columns, ",1");
    }
  }
  domain_rows_sql(&sql, table, text_get(&columns) ? text_get(&columns) : "");
  sql.oom |= columns.oom;
  text_finish(&columns);
  sqlite3_stmt *query = query_prepare(compiler->db, text_get(&sql), compiler->fault);
  text_finish(&sql);
  return query;
}

static bool find_fixed_rows(Compiler *compiler, Table *table) {
  Text scope = {0};
  add_scope(&scope, table);
  bool ok = true;
  if (scope.length) {
    Text sql = {0};
    text_add(&sql, "SELECT 1 FROM ");
    add_from(&sql, first_decision(table));
    text_addf(&sql, "%s IS NOT TRUE LIMIT 1", text_get(&scope) ? text_get(&scope) : "");
    sqlite3_stmt *query = query_prepare(compiler->db, text_get(&sql), compiler->fault);
    int step = query ? query_step(query, compiler->fault) : -1;
    table->has_fixed_rows = step == 1;
    ok = step >= 0;
    query_finish(query);
    text_finish(&sql);
  }
  text_finish(&scope);
  return ok;
}

/* Read all rows of a table that some decision covers. *in_scope: per decision and row. */
static bool load_rows(Compiler *compiler, Table *table, bool ***out_scope) {
  bool ok = false;
  size_t ndecided = 0, keys = 0, labels = 0;
  Decision *decided[64];
  for (int i = 0; i < table->ncolumns; i++) {
    if (table->decisions[i] && ndecided < countof(decided)) {
      decided[ndecided++] = table->decisions[i];
    }
  }
  size_t present_capacity[64] = {0}, scope_capacity[64] = {0};
  bool **scope = arena_array(&compiler->arena, ndecided, sizeof *scope);
  sqlite3_stmt *query = rows_query(compiler, table);
  if (!query || !scope) goto out;
  int step, nk = table->nkeys;
  while ((step = query_step(query, compiler->fault)) == 1) {
    size_t r = table->nrows, width = (size_t)nk;
    if (!array_grow(table->row_keys, keys, (r + 1) * width) ||
        !array_grow(table->row_labels, labels, r + 1)) {
      goto oom;
    }
    for (int k = 0; k <= nk; k++) {
      Value value = query_value(query, k);
      Value *to = k < nk ? &table->row_keys[r * width + (size_t)k] : &table->row_labels[r];
      if (!value_copy(&compiler->arena, &value, to)) goto oom;
    }
    for (size_t d = 0; d < ndecided; d++) {
      if (!array_grow(decided[d]->present, present_capacity[d], r + 1) ||
          !array_grow(scope[d], scope_capacity[d], r + 1)) {
        goto oom;
      }
      Value value = query_value(query, nk + 1 + 2 * (int)d);
      if (!value_copy(&compiler->arena, &value, &decided[d]->present[r])) goto oom;
      scope[d][r] = sqlite3_column_int(query, nk + 2 + 2 * (int)d) != 0;
    }
    table->nrows++;
  }
  ok = step == 0;
  goto out;
oom:
  fault_oom(compiler->fault);
out:
  query_finish(query);
  *out_scope = scope;
  return ok && find_fixed_rows(compiler, table);
}

/* ---- variables ------------------------------------------------------------------------------ */

static bool add_owner(Compiler *compiler, Decision *decision, size_t row) {
  if (!array_grow(compiler->owners, compiler->owners_capacity, compiler->nowners + 1)) {
    return fault_oom(compiler->fault);
  }
  compiler->owners[compiler->nowners++] = (ChoiceOwner){decision, (uint32_t)row};
  return true;
}

/* Room for the choices of all rows, unless they are too many. */
static bool expect_choices(Compiler *compiler, const Decision *decision, const bool *in_scope) {
  size_t count = 0;
  for (size_t r = 0; r < decision->table->nrows && count <= MAX_LITERALS; r++) {
    if (in_scope[r]) count += (size_t)decision->domains[decision->domain[r]].count;
  }
  if (model_nvars(compiler->model) + count > MAX_LITERALS) {
    return fault_set(compiler->fault, FAULT_LIMIT,
                     "%zu candidate values over all rows; the limit is %d",
                     model_nvars(compiler->model) + count, MAX_LITERALS);
  }
  model_expect(compiler->model, count);
  return true;
}

static const char *row_name(Compiler *compiler, const Table *table, size_t row) {
  Text text = {0};
  value_add_plain(&text, &table->row_labels[row]);
  const char *name = compile_text(compiler, &text);
  return name ? name : "?";
}

static bool make_choice(Compiler *compiler, Decision *decision, size_t row) {
  Domain *domain = &decision->domains[decision->domain[row]];
  if (domain->count == 0) {
    return fault_set(compiler->fault, FAULT_INVALID, "DECIDE %s.%s: row %s has no candidate value",
                     decision->clause->table, decision->clause->column,
                     row_name(compiler, decision->table, row));
  }
  Var first = model_choice(compiler->model, domain->count);
  decision->first[row] = first;
  return add_owner(compiler, decision, row);
}

static bool make_number(Compiler *compiler, Decision *decision, size_t row) {
  const DecideClause *clause = decision->clause;
  const Value *present = &decision->present[row];
  Var var = decision->integral ? model_integer(compiler->model, clause->lo, clause->hi)
                               : model_real(compiler->model, clause->lo, clause->hi);
  decision->first[row] = var;
  if (value_is_number(present)) {
    double value = value_number(present);
    if (value >= clause->lo && value <= clause->hi) {
      model_start_number(compiler->model, var, value);
    }
  }
  return true;
}

/* A row outside this decision's scope: its value is a domain of one, under no variable. */
static bool make_constant(Compiler *compiler, Decision *decision, size_t row, Map *constants) {
  Text key = {0};
  bool added = false;
  value_add_exact_key(&key, &decision->present[row]);
  int64_t *at = key.oom
                    ? NULL
                    : map_put(constants, key.data, key.length, (int64_t)decision->ndomains, &added);
  text_finish(&key);
  if (!at) return fault_oom(compiler->fault);
  decision->first[row] = VAR_ONE;
  decision->domain[row] = (int)*at;
  return !added || values_add(compiler, decision, &decision->present[row], 1) >= 0;
}

/* The present values' places: by hash, since domains may be large. */
static bool find_current(Compiler *compiler, Decision *decision) {
  Map places = {0};
  Text key = {0};
  bool ok = false;
  for (size_t d = 0; d < decision->ndomains; d++) {
    for (int i = 0; i < decision->domains[d].count; i++) {
      text_clear(&key);
      text_addf(&key, "%zu,", d);
      value_add_exact_key(&key, &decision->domains[d].values[i]);
      if (key.oom || !map_put(&places, key.data, key.length, i, NULL)) goto oom;
    }
  }
  for (size_t r = 0; r < decision->table->nrows; r++) {
    text_clear(&key);
    text_addf(&key, "%d,", decision->domain[r]);
    value_add_exact_key(&key, &decision->present[r]);
    if (key.oom) goto oom;
    int64_t *at = map_get(&places, key.data, key.length);
    decision->current[r] = at ? (int)*at : -1;
    if (at && decision->first[r] != VAR_ONE) {
      model_start_choice(compiler->model, decision->first[r], (int)*at);
    }
  }
  ok = true;
oom:
  if (!ok) fault_oom(compiler->fault);
  map_finish(&places);
  text_finish(&key);
  return ok;
}

/* (domain, index, value) for SQLite. A constant's index is -1. */
static bool fill_candidates(Compiler *compiler, Decision *decision, size_t nchoice_domains) {
  decision->candidates.ncolumns = 3;
  for (size_t d = 0; d < decision->ndomains; d++) {
    for (int i = 0; i < decision->domains[d].count; i++) {
      Value *row = relation_add(&decision->candidates);
      if (!row) return fault_oom(compiler->fault);
      row[0] = value_integer((int64_t)d);
      row[1] = value_integer(d < nchoice_domains ? i : -1);
      row[2] = decision->domains[d].values[i];
    }
  }
  return true;
}

/* ---- one decision --------------------------------------------------------------------------- */

/* Values that depend on the row: one JSON array per row, equal arrays share a domain. */
static bool load_correlated(Compiler *compiler, Decision *decision, const bool *in_scope) {
  const Table *table = decision->table;
  Text columns = {0}, sql = {0};
  text_addf(&columns, "(WITH w(v) AS (%s\n) SELECT json_group_array(v) FROM w)",
            decision->clause->query);
  domain_rows_sql(&sql, table, text_get(&columns) ? text_get(&columns) : "");
  sql.oom |= columns.oom;
  text_finish(&columns);
  sqlite3_stmt *query = query_prepare(compiler->db, text_get(&sql), compiler->fault);
  sqlite3_stmt *each =
      query ? query_prepare(compiler->db, "SELECT value FROM json_each(?1)", compiler->fault)
            : NULL;
  Map seen = {0};
  bool ok = false;
  int step = -1;
  if (!each) goto out;
  for (size_t r = 0; (step = query_step(query, compiler->fault)) == 1 && r < table->nrows; r++) {
    if (!in_scope[r]) continue;
    Value json = query_value(query, 0);
    bool added;
    int64_t *at = map_put(&seen, json.bytes ? json.bytes : "", json.length, -1, &added);
    if (!at) {
      fault_oom(compiler->fault);
      goto out;
    }
    if (added) {
      if (!query_bind(each, 1, &json, compiler->fault)) goto out;
      int index = values_read(compiler, decision, each);
      sqlite3_reset(each);
      if (index < 0) goto out;
      *map_get(&seen, json.bytes ? json.bytes : "", json.length) = index;
      at = map_get(&seen, json.bytes ? json.bytes : "", json.length);
    }
    decision->domain[r] = (int)*at;
  }
  ok = step >= 0;
out:
  map_finish(&seen);
  query_finish(each);
  query_finish(query);
  text_finish(&sql);
  return ok;
}

static bool load_values(Compiler *compiler, Decision *decision, const bool *in_scope) {
  Fault fault = {0};
  sqlite3_stmt *query = query_prepare(compiler->db, decision->clause->query, &fault);
  if (!query && fault.code == FAULT_INVALID && strstr(fault.text, "no such column")) {
    return load_correlated(compiler, decision, in_scope) ||
           fault_prefix(compiler->fault, "DECIDE %s.%s IN: ", decision->clause->table,
                        decision->clause->column);
  }
  if (!query) {
    return fault_set(compiler->fault, fault.code, "DECIDE %s.%s IN: %s", decision->clause->table,
                     decision->clause->column, fault.text);
  }
  if (!sqlite3_stmt_readonly(query)) {
    query_finish(query);
    return fault_set(compiler->fault, FAULT_INVALID,
                     "DECIDE %s.%s IN: the statement would write; expected a query",
                     decision->clause->table, decision->clause->column);
  }
  bool ok =
      values_one_column(compiler, decision, query) && values_read(compiler, decision, query) >= 0;
  query_finish(query);
  return ok;
}

static bool load_decision(Compiler *compiler, Decision *decision, const bool *in_scope) {
  const Table *table = decision->table;
  if (decision->clause->domain == DOMAIN_IMPLIED && !values_imply(compiler, decision)) {
    return false;
  }
  const DecideClause *clause = decision->clause;
  decision->first = arena_array(&compiler->arena, table->nrows, sizeof *decision->first);
  decision->domain = arena_array(&compiler->arena, table->nrows, sizeof *decision->domain);
  decision->current = arena_array(&compiler->arena, table->nrows, sizeof *decision->current);
  if (!decision->first || !decision->domain || !decision->current) {
    return fault_oom(compiler->fault);
  }
  bool range = clause->domain == DOMAIN_INTEGER || clause->domain == DOMAIN_REAL;
  bool small = clause->domain == DOMAIN_INTEGER && clause->hi - clause->lo < SMALL_RANGE;
  decision->numeric = range && !small;
  decision->integral = clause->domain == DOMAIN_INTEGER;
  if (decision->numeric && clause->optional) {
    return fault_set(compiler->fault, FAULT_UNSUPPORTED,
                     "DECIDE %s.%s: OPTIONAL with a range of more than %d values", clause->table,
                     clause->column, SMALL_RANGE);
  }
  if (small && !values_range(compiler, decision)) return false;
  if (!range && !load_values(compiler, decision, in_scope)) return false;
  size_t nchoice_domains = decision->ndomains;
  Map constants = {0};
  bool ok = decision->numeric || expect_choices(compiler, decision, in_scope);
  for (size_t r = 0; r < table->nrows && ok; r++) {
    ok = !in_scope[r]        ? make_constant(compiler, decision, r, &constants)
         : decision->numeric ? make_number(compiler, decision, r)
                             : make_choice(compiler, decision, r);
  }
  map_finish(&constants);
  if (!ok) return false;
  if (decision->numeric) return true;
  return find_current(compiler, decision) && fill_candidates(compiler, decision, nchoice_domains);
}

bool domain_load(Compiler *compiler) {
  const Declaration *declaration = compiler->declaration;
  compiler->decisions =
      arena_array(&compiler->arena, declaration->ndecisions, sizeof *compiler->decisions);
  if (!compiler->decisions) return fault_oom(compiler->fault);
  for (size_t i = 0; i < declaration->ndecisions; i++) {
    if (!resolve_column(compiler, &declaration->decisions[i], &compiler->decisions[i])) {
      return false;
    }
    compiler->ndecisions++;
  }
  for (size_t i = 0; i < compiler->ndecisions; i++) {
    if (!resolve_scope(compiler, &compiler->decisions[i])) return false;
  }
  for (Table *table = compiler->tables; table; table = table->next) {
    if (table->decisions && !catalog_derive(compiler, table)) return false;
  }
  for (Table *table = compiler->tables; table; table = table->next) {
    if (!table->decisions) continue;
    bool **in_scope;
    bool ok = load_rows(compiler, table, &in_scope);
    size_t d = 0;
    for (int i = 0; i < table->ncolumns && in_scope; i++) {
      if (!table->decisions[i]) continue;
      if (ok) ok = load_decision(compiler, table->decisions[i], in_scope[d]);
      free(in_scope[d++]);
    }
    if (!ok) return false;
  }
  return true;
}
