/*
** Users to try a policy with: a few members of each group, and a few values of columns that rules
** compare with parameters. With several parameters their values are paired as they come.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/check.h"

enum { OF_EACH = 8, ROWS_MOST = 20000 };

static int param_number(const Policy *policy, const char *name) {
  for (int i = 0; i < policy->nparams; i++) {
    if (!strcmp(policy->params[i], name)) return i;
  }
  return -1;
}

static bool add(Sample *sample, int param, sqlite3_value *value, Fault *fault) {
  const int type = sqlite3_value_type(value);
  if (type == SQLITE_NULL || type == SQLITE_BLOB || sample->counts[param] == SAMPLE_MOST) {
    return true;
  }
  sqlite3_value *copy = sqlite3_value_dup(value);
  if (!copy) return fault_oom(fault);
  sample->values[param][sample->counts[param]++] = copy;
  return true;
}

/* The columns of the statement's rows are values of these parameters. */
static bool add_rows(sqlite3 *db, Sample *sample, const int *params, int n, Text *sql,
                     Fault *fault) {
  sqlite3_stmt *rows = query_prepare(db, sql->oom ? NULL : text_get(sql), fault);
  int step = -1;
  while (rows && (step = query_step(rows, fault)) == 1) {
    for (int i = 0; i < n; i++) {
      if (!add(sample, params[i], sqlite3_column_value(rows, i), fault)) step = -1;
    }
    if (step < 0) break;
  }
  query_finish(rows);
  text_finish(sql);
  return step == 0;
}

static bool add_members(sqlite3 *db, const Policy *policy, const Group *group, Sample *sample,
                        Fault *fault) {
  const Meaning meaning = {.policy = policy, .queried = true};
  Text sql = {0};
  for (int i = 0; i < group->nkeys; i++) {
    text_add(&sql, i ? ", multiverse_member." : "SELECT DISTINCT multiverse_member.");
    text_add_name(&sql, group->keys[i]);
  }
  text_add(&sql, " FROM (");
  meaning_select(&meaning, group->select, &sql);
  text_addf(&sql, ") AS multiverse_member LIMIT %d", OF_EACH);
  return add_rows(db, sample, group->params, group->nkeys, &sql, fault);
}

typedef struct Hunt { /* for "column = :name" */
  sqlite3 *db;
  const Policy *policy;
  const TablePolicy *table;
  Sample *sample;
  Fault *fault;
} Hunt;

static SqlWalk look_at(void *ctx, SqlExpr *expr) {
  Hunt *hunt = ctx;
  if (expr->kind != SQL_EXPR_BINARY) return SQL_WALK_ON;
  for (int side = 0; side < 2; side++) {
    const SqlExpr *column = expr->args[side], *variable = expr->args[1 - side];
    if (column->kind != SQL_EXPR_COLUMN || column->bound != hunt->table->source ||
        variable->kind != SQL_EXPR_VARIABLE) {
      continue;
    }
    const int param = param_number(hunt->policy, variable->text + 1);
    if (param < 0) continue;
    Text sql = {0};
    text_add(&sql, "SELECT DISTINCT ");
    meaning_raw(hunt->table, column->column, &sql);
    meaning_from(hunt->table, &sql);
    text_addf(&sql, " LIMIT %d", OF_EACH);
    if (!add_rows(hunt->db, hunt->sample, &param, 1, &sql, hunt->fault)) return SQL_WALK_STOP;
  }
  return SQL_WALK_ON;
}

static bool add_compared(Hunt *hunt) {
  const SqlVisitor visitor = {.ctx = hunt, .expr = look_at};
  for (int i = 0; i < hunt->policy->ntables; i++) {
    hunt->table = hunt->policy->tables[i];
    for (int a = 0; a < ACTIONS; a++) {
      for (const Rule *rule = hunt->table->rules[a]; rule; rule = rule->next) {
        sql_walk_expr(rule->when.expr, &visitor);
        if (rule->has_unless) sql_walk_expr(rule->unless.expr, &visitor);
      }
    }
  }
  return !hunt->fault->code;
}

bool sample_take(sqlite3 *db, const Policy *policy, Sample *out, Fault *fault) {
  const size_t n = (size_t)policy->nparams + 1;
  *out = (Sample){.nparams = policy->nparams, .ncontexts = 1};
  out->values = calloc(n, sizeof *out->values);
  out->counts = calloc(n, sizeof *out->counts);
  if (!out->values || !out->counts) return fault_oom(fault);
  for (int i = 0; i < policy->nparams; i++) {
    out->values[i] = calloc(SAMPLE_MOST, sizeof *out->values[i]);
    if (!out->values[i]) return fault_oom(fault);
  }
  for (int i = 0; i < policy->ngroups; i++) {
    if (!add_members(db, policy, &policy->groups[i], out, fault)) return false;
  }
  Hunt hunt = {.db = db, .policy = policy, .sample = out, .fault = fault};
  if (!add_compared(&hunt)) return false;
  for (int i = 0; i < policy->nparams; i++) {
    if (out->counts[i] > out->ncontexts) out->ncontexts = out->counts[i];
  }
  return true;
}

void sample_finish(Sample *sample) {
  for (int i = 0; sample->values && i < sample->nparams; i++) {
    for (int j = 0; sample->counts && j < sample->counts[i]; j++) {
      sqlite3_value_free(sample->values[i][j]);
    }
    free(sample->values[i]);
  }
  free(sample->values);
  free(sample->counts);
}

static sqlite3_value *value_of(const Sample *sample, int param, int i) {
  const int n = sample->counts[param];
  return n ? sample->values[param][i % n] : NULL;
}

/* Context i, to parameters by their names. */
static bool bind(const Sample *sample, const Policy *policy, int i, sqlite3_stmt *statement) {
  const int n = sqlite3_bind_parameter_count(statement);
  bool ok = true;
  for (int p = 1; p <= n; p++) {
    const char *name = sqlite3_bind_parameter_name(statement, p);
    const int param = name && *name == ':' ? param_number(policy, name + 1) : -1;
    sqlite3_value *value = param < 0 ? NULL : value_of(sample, param, i);
    ok &= (value ? sqlite3_bind_value(statement, p, value) : sqlite3_bind_null(statement, p)) ==
          SQLITE_OK;
  }
  return ok;
}

/* {"uid":7} */
static void write_context(const Sample *sample, const Policy *policy, int i, Text *out) {
  const char *comma = "{";
  for (int p = 0; p < sample->nparams; p++) {
    sqlite3_value *value = value_of(sample, p, i);
    text_add(out, comma);
    text_add_json(out, policy->params[p], strlen(policy->params[p]));
    text_addc(out, ':');
    comma = ",";
    if (!value) {
      text_add(out, "null");
    } else if (sqlite3_value_type(value) == SQLITE_TEXT) {
      const char *text = (const char *)sqlite3_value_text(value);
      text_add_json(out, text ? text : "", text ? strlen(text) : 0);
    } else {
      meaning_value(value, out);
    }
  }
  text_add(out, *comma == '{' ? "{}" : "}");
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* "Post 3" as SQL that gives the text. */
static void write_name(const TablePolicy *table, Text *out) {
  const BaseTable *base = table->base;
  text_add_string(out, base->name, strlen(base->name));
  for (int i = 0; i < (base->nkeys ? base->nkeys : 1); i++) {
    text_add(out, i ? " || ', ' || quote(" : " || ' ' || quote(");
    meaning_raw(table, base->nkeys ? base->keys[i] : -1, out);
    text_addc(out, ')');
  }
}

static void write_keys(const TablePolicy *table, bool row, Text *out) {
  const BaseTable *base = table->base;
  for (int i = 0; i < (base->nkeys ? base->nkeys : 1); i++) {
    if (i) text_add(out, ", ");
    if (row) {
      meaning_raw(table, base->nkeys ? base->keys[i] : -1, out);
    } else {
      text_add_name(out, base->nkeys ? base->columns[base->keys[i]].name : base->rowid);
    }
  }
}

/* The first rows are enough to try. */
static void write_limit(const TablePolicy *table, Text *out) {
  text_addc(out, '(');
  write_keys(table, true, out);
  text_add(out, ") IN (SELECT ");
  write_keys(table, false, out);
  text_add(out, " FROM main.");
  text_add_name(out, table->base->name);
  text_addf(out, " LIMIT %d)", ROWS_MOST);
}

bool sample_find(sqlite3 *db, const Sample *sample, const Policy *policy, const TablePolicy *table,
                 const Text *condition, VtPoll *poll, Text *witness, Fault *fault) {
  Text sql = {0};
  text_add(&sql, "SELECT ");
  write_name(table, &sql);
  meaning_from(table, &sql);
  text_add(&sql, " WHERE ");
  write_limit(table, &sql);
  text_add(&sql, " AND ");
  text_add(&sql, condition->oom ? "" : text_get(condition));
  text_add(&sql, " LIMIT 1");
  sqlite3_stmt *find = query_prepare(db, sql.oom || condition->oom ? NULL : text_get(&sql), fault);
  int step = find ? 0 : -1;
  for (int i = 0; find && i < sample->ncontexts && step == 0; i++) {
    if (!bind(sample, policy, i, find)) {
      fault_oom(fault);
      step = -1;
      break;
    }
    step = query_step(find, fault);
    if (step == 1) {
      text_add(witness, query_text(find, 0));
      text_add(witness, " for ");
      write_context(sample, policy, i, witness);
    }
    sqlite3_reset(find);
    if (step >= 0 && vt_poll(poll) != SQLITE_OK) {
      fault_set(fault, FAULT_INTERRUPT, "interrupted");
      step = -1;
    }
  }
  query_finish(find);
  text_finish(&sql);
  return step >= 0;
}
