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
  const Meaning meaning = {.policy = shadow->policy, .table = shadow->table};
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

/* A statement of that shape; `flags` are its columns where it depends on them. */
Inner *write_statement(Shadow *shadow, char what, Action action, const bool *flags, Fault *fault) {
  const int n = shadow->base->ncolumns;
  Text *shape = &shadow->shape, sql = {0};
  text_clear(shape);
  text_addc(shape, what);
  text_addc(shape, (char)('A' + action));
  for (int i = 0; flags && i <= n; i++) text_addc(shape, flags[i] ? '1' : '0');
  Inner *inner = shape->oom ? NULL : shadow_find(shadow, text_get(shape));
  if (!inner && !shape->oom) {
    switch (what) {
    case 'o':
      write_judge(shadow, action, true, &sql);
      write_by_key(shadow, "multiverse_row.", &sql);
      break;
    case 'n':
      write_judge(shadow, action, false, &sql);
      break;
    case 'v':
      write_presets(shadow, &sql);
      break;
    case 'i':
      write_insert(shadow, flags, &sql);
      break;
    case 'u':
      write_update(shadow, flags, &sql);
      break;
    default:
      text_add(&sql, "DELETE FROM main.");
      text_add_name(&sql, shadow->base->name);
      write_by_key(shadow, "", &sql);
    }
    inner = shadow_add(shadow, text_get(shape), &sql, fault);
    if (inner) inner->reaches = true;
    const bool writes = what == 'i' || what == 'u' || what == 'd';
    if (inner && writes &&
        !footprint_reaches_groups(shadow, text_get(&sql), &inner->reaches, fault)) {
      inner = NULL;
    }
  }
  if (shape->oom) fault_oom(fault);
  text_finish(&sql);
  if (inner && inner->serial != shadow->state->universe->serial) {
    shadow_bind(shadow->state, inner->statement);
    inner->serial = shadow->state->universe->serial;
  }
  return inner;
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

bool judgement_begin(const Shadow *shadow, Action action, Judgement *out, Fault *fault) {
  out->nrules = count_rules(shadow, action);
  out->rules = malloc((size_t)out->nrules + 1);
  if (!out->rules) return fault_oom(fault);
  memset(out->rules, 1, (size_t)out->nrules + 1);
  return out->nrules > 0 || fault_set(fault, FAULT_DENIED, "no rule lets rows of it be written so");
}
