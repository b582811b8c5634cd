/*
** The statements of a write, and what the rules say about a row.
**
** For the old row the judges are a statement on the base table; for the new one the same conditions
** are asked about a table that shows just this row (row.c).
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/judge.h"

/* ---- statements ------------------------------------------------------------------------------ */

/* 1 or 0: a condition may be any number, and is TRUE unless it is 0. */
static void write_truth(Truth truth, Text *out) {
  static const char *const texts[] = {
      [TRUTH_FALSE] = "0", [TRUTH_TRUE] = "1", [TRUTH_TEXT] = " IS TRUE"};
  text_add(out, texts[truth]);
}

/* Its results: one for each rule of the action, then whether the row is seen, then, for a row of
** the base table, whether each column is rewritten, and its raw value. */
static void write_judge(const Shadow *shadow, Action action, bool base, Text *out) {
  const Meaning meaning = {.policy = shadow->policy, .table = shadow->table, .of_one = true};
  text_add(out, "SELECT ");
  for (const Rule *rule = shadow->table->rules[action]; rule; rule = rule->next) {
    write_truth(meaning_rule(&meaning, rule, out), out);
    text_add(out, ", ");
  }
  write_truth(meaning_visible(&meaning, out), out);
  for (int i = 0; base && i < shadow->base->ncolumns; i++) {
    text_add(out, ", ");
    write_truth(shadow->table->rewritten[i] ? meaning_rewritten(&meaning, i, out) : TRUTH_FALSE,
                out);
    text_add(out, ", ");
    meaning_raw(shadow->table, i, out);
    text_add(out, ", ");
    meaning_column(&meaning, i, out);
  }
  if (base) {
    meaning_from(shadow->table, out);
    return;
  }
  char *name =
      sqlite3_mprintf(" FROM temp.\"" ROW_PREFIX "%w\" AS multiverse_row", shadow->base->name);
  if (name) text_add(out, name);
  out->oom |= !name;
  sqlite3_free(name);
}

/* Terms of a write: the rowid, then columns, then columns of the key. */
int write_column_term(const Shadow *shadow, int column) {
  return meaning_first_term(shadow->policy) + 1 + column;
}

int write_key_term(const Shadow *shadow, int key) {
  return write_column_term(shadow, shadow->base->ncolumns) + key;
}

/* The row of the base table. Columns of a key may have a collation that another row meets, too. */
static void write_by_key(const Shadow *shadow, const char *alias, Text *out) {
  const BaseTable *base = shadow->base;
  text_add(out, " WHERE ");
  if (base->rowid) {
    text_add(out, alias);
    text_add_name(out, base->rowid);
    text_addf(out, " = ?%d", meaning_first_term(shadow->policy));
    return;
  }
  for (int i = 0; i < base->nkeys; i++) {
    const int term = write_key_term(shadow, i);
    text_add(out, i ? " AND " : "");
    text_add(out, alias);
    text_add_name(out, base->columns[base->keys[i]].name);
    text_addf(out, " = ?%d AND ", term);
    text_add(out, alias);
    text_add_name(out, base->columns[base->keys[i]].name);
    text_addf(out, " COLLATE BINARY = ?%d", term);
  }
}

static int count_rules(const Shadow *shadow, Action action) {
  int n = 0;
  for (const Rule *rule = shadow->table->rules[action]; rule; rule = rule->next) n++;
  return n;
}

/* What an INSERT stores in columns that it does not name. */
static void write_presets(const Shadow *shadow, Text *out) {
  for (int i = 0; i < shadow->base->ncolumns; i++) {
    const char *preset = shadow->base->presets[i];
    text_addf(out, i ? ", (%s)" : "SELECT (%s)", preset ? preset : "NULL");
  }
}

static void write_insert(const Shadow *shadow, const bool *given, Text *out) {
  const BaseTable *base = shadow->base;
  const char *comma = "(";
  text_add(out, "INSERT INTO main.");
  text_add_name(out, base->name);
  for (int i = 0; i < base->ncolumns; i++) {
    if (!given[i]) continue;
    text_add(out, comma);
    text_add_name(out, base->columns[i].name);
    comma = ", ";
  }
  if (given[base->ncolumns]) {
    text_add(out, comma);
    text_add_name(out, base->rowid);
    comma = ", ";
  }
  if (*comma == '(') {
    text_add(out, " DEFAULT VALUES");
    return;
  }
  comma = ") VALUES ("; /* a SELECT would have a journal of its own for each row */
  for (int i = 0; i < base->ncolumns; i++) {
    if (!given[i]) continue;
    text_addf(out, "%s?%d", comma, write_column_term(shadow, i));
    comma = ", ";
  }
  if (given[base->ncolumns]) {
    text_addf(out, "%s?%d", comma, meaning_first_term(shadow->policy));
  }
  text_addc(out, ')');
}

static void write_update(const Shadow *shadow, const bool *changed, Text *out) {
  const BaseTable *base = shadow->base;
  const char *comma = " SET ";
  text_add(out, "UPDATE main.");
  text_add_name(out, base->name);
  for (int i = 0; i < base->ncolumns; i++) {
    if (!changed[i]) continue;
    text_add(out, comma);
    text_add_name(out, base->columns[i].name);
    text_addf(out, " = ?%d", write_column_term(shadow, i));
    comma = ", ";
  }
  write_by_key(shadow, "", out);
}

static bool has_flags(const char *digits, const bool *flags, int n) {
  for (int i = 0; i < n; i++) {
    if (digits[i] != '0' + flags[i]) return false;
  }
  return !digits[n];
}

static Inner *find_statement(const Shadow *shadow, char what, Action action, const bool *flags) {
  const int n = flags ? shadow->base->ncolumns + 1 : 0;
  for (Inner *inner = shadow->inners; inner; inner = inner->next) {
    const char *shape = inner->shape;
    if (shape[0] == what && shape[1] == (char)('A' + action) && !inner->busy &&
        has_flags(shape + 2, flags, n)) {
      return inner;
    }
  }
  return NULL;
}

static void write_sql(const Shadow *shadow, char what, Action action, const bool *flags,
                      Text *out) {
  switch (what) {
  case 'o':
    write_judge(shadow, action, true, out);
    write_by_key(shadow, "multiverse_row.", out);
    break;
  case 'n':
    write_judge(shadow, action, false, out);
    break;
  case 'v':
    write_presets(shadow, out);
    break;
  case 'i':
    write_insert(shadow, flags, out);
    break;
  case 'u':
    write_update(shadow, flags, out);
    break;
  default:
    text_add(out, "DELETE FROM main.");
    text_add_name(out, shadow->base->name);
    write_by_key(shadow, "", out);
  }
}

static Inner *make_statement(Shadow *shadow, char what, Action action, const bool *flags,
                             Fault *fault) {
  const bool writes = what == 'i' || what == 'u' || what == 'd';
  Text shape = {0}, sql = {0};
  text_addc(&shape, what);
  text_addc(&shape, (char)('A' + action));
  for (int i = 0; flags && i <= shadow->base->ncolumns; i++) {
    text_addc(&shape, flags[i] ? '1' : '0');
  }
  write_sql(shadow, what, action, flags, &sql);
  Inner *inner = NULL;
  if (shape.oom) {
    fault_oom(fault);
  } else {
    inner = shadow_add(shadow, text_get(&shape), &sql, fault);
  }
  if (inner) inner->reaches = true;
  if (inner && writes &&
      !footprint_reaches_groups(shadow, text_get(&sql), &inner->reaches, fault)) {
    inner = NULL;
  }
  text_finish(&shape);
  text_finish(&sql);
  return inner;
}

/* A statement of that shape; `flags` are its columns where it depends on them. */
Inner *write_statement(Shadow *shadow, char what, Action action, const bool *flags, Fault *fault) {
  Inner *inner = find_statement(shadow, what, action, flags);
  if (!inner) inner = make_statement(shadow, what, action, flags, fault);
  if (inner && inner->serial != shadow->state->universe->serial) {
    shadow_bind(shadow->state, inner->statement);
    inner->serial = shadow->state->universe->serial;
  }
  return inner;
}

bool write_bind(const Shadow *shadow, sqlite3_stmt *statement, int term, sqlite3_value *value,
                Fault *fault) {
  const int type = sqlite3_value_type(value);
  int rc;
  if (type == SQLITE_INTEGER) {
    rc = sqlite3_bind_int64(statement, term, sqlite3_value_int64(value));
  } else if (type == SQLITE_TEXT && shadow->is_utf8) {
    const char *text = (const char *)sqlite3_value_text(value); /* nothing is converted */
    const int length = sqlite3_value_bytes(value);
    rc = sqlite3_bind_text(statement, term, text, length, SQLITE_STATIC);
  } else {
    rc = sqlite3_bind_value(statement, term, value);
  }
  if (rc != SQLITE_OK) query_fault(shadow->tab.db, rc, fault);
  return rc == SQLITE_OK;
}

/* ---- judging --------------------------------------------------------------------------------- */

void judgement_read(sqlite3_stmt *statement, Judgement *out) {
  for (int i = 0; i < out->nrules; i++) {
    out->rules[i] = out->rules[i] && sqlite3_column_int(statement, i) != 0;
  }
  out->seen = sqlite3_column_int(statement, out->nrules) != 0;
}

/* `values` are the columns of a row that is to be. */
bool judge_new(Shadow *shadow, Action action, sqlite3_value **values, Judgement *judgement,
               Fault *fault) {
  if (verdict_new(shadow, action, values, judgement)) return true;
  Inner *judge = write_statement(shadow, 'n', action, NULL, fault);
  if (!judge) return false;
  shadow->state->fresh = values;
  const bool ok = query_step(judge->statement, fault) == 1;
  if (ok) judgement_read(judge->statement, judgement);
  sqlite3_reset(judge->statement);
  shadow->state->fresh = NULL;
  return ok;
}

/* Any of the rules. */
bool judgement_permits(const Judgement *judgement) {
  for (int i = 0; i < judgement->nrules; i++) {
    if (judgement->rules[i]) return true;
  }
  return false;
}

void judgement_end(Judgement *judgement) {
  if (judgement->rules != judgement->few) free(judgement->rules);
}

bool judgement_begin(const Shadow *shadow, Action action, Judgement *out, Fault *fault) {
  out->nrules = count_rules(shadow, action);
  out->rules = (size_t)out->nrules < countof(out->few) ? out->few : malloc((size_t)out->nrules);
  if (!out->rules) return fault_oom(fault);
  memset(out->rules, 1, (size_t)out->nrules);
  return out->nrules > 0 || fault_set(fault, FAULT_DENIED, "no rule lets rows of it be written so");
}
