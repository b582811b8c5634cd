/*
** What shows only with a row and a user: rewrites that overlap, rows that could be written but not
** seen. Rows of the base tables are tried with a sample of users.
*/
#include <string.h>

#include "extensions/multiverse/check.h"

enum { ROWS_MOST = 20000 };

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

/* A row and a user that meet the condition, written to `witness`; which stays empty when none. */
static bool find_witness(Check *check, const Sample *sample, const TablePolicy *table,
                         const Text *condition, Text *witness) {
  Text sql = {0};
  text_add(&sql, "SELECT ");
  write_name(table, &sql);
  meaning_from(table, &sql);
  text_add(&sql, " WHERE ");
  write_limit(table, &sql);
  text_addf(&sql, " AND %s LIMIT 1", condition->oom ? "" : text_get(condition));
  sqlite3_stmt *find =
      query_prepare(check->db, sql.oom || condition->oom ? NULL : text_get(&sql), check->fault);
  int step = find ? 0 : -1;
  for (int i = 0; find && i < sample->ncontexts && step == 0; i++) {
    if (!sample_bind(sample, i, find)) {
      fault_oom(check->fault);
      step = -1;
      break;
    }
    step = query_step(find, check->fault);
    if (step == 1) {
      text_add(witness, query_text(find, 0));
      text_add(witness, " for ");
      sample_write(sample, check->policy, i, witness);
    }
    sqlite3_reset(find);
    if (step >= 0 && !check_goes_on(check)) step = -1;
  }
  query_finish(find);
  text_finish(&sql);
  return step >= 0;
}

static bool check_pair(Check *check, const Sample *sample, const TablePolicy *table,
                       const Rule *first, const Rule *second) {
  const Meaning meaning = {.policy = check->policy, .table = table, .queried = true};
  Text both = {0}, witness = {0};
  text_addc(&both, '(');
  meaning_rule(&meaning, first, &both);
  text_add(&both, ") AND (");
  meaning_rule(&meaning, second, &both);
  text_addc(&both, ')');
  bool ok = find_witness(check, sample, table, &both, &witness);
  if (ok && witness.length) {
    ok = check_tell(check, second, SEVERITY_WARNING, text_get(&witness),
                    "%s: rule %lld rewrites %s of the same row, and is first", table->base->name,
                    (long long)first->id, table->base->columns[first->column].name);
  }
  text_finish(&both);
  text_finish(&witness);
  return ok;
}

static bool check_overlaps(Check *check, const Sample *sample, const TablePolicy *table) {
  for (const Rule *first = table->rules[ACTION_REWRITE]; first; first = first->next) {
    for (const Rule *second = first->next; second; second = second->next) {
      if (first->column == second->column && !check_pair(check, sample, table, first, second)) {
        return false;
      }
    }
  }
  return true;
}

/* A row that the rule would let in, and its writer would not see, is refused. */
static bool check_insert(Check *check, const Sample *sample, const TablePolicy *table,
                         const Rule *rule) {
  const Meaning meaning = {.policy = check->policy, .table = table, .queried = true};
  Text unseen = {0}, witness = {0};
  text_addc(&unseen, '(');
  meaning_rule(&meaning, rule, &unseen);
  text_add(&unseen, ") AND ");
  meaning_visible(&meaning, &unseen);
  text_add(&unseen, " IS NOT TRUE");
  bool ok = find_witness(check, sample, table, &unseen, &witness);
  if (ok && witness.length) {
    ok = check_tell(check, rule, SEVERITY_NOTE, text_get(&witness),
                    "%s: lets in rows that their writer would not see, which are refused",
                    table->base->name);
  }
  text_finish(&unseen);
  text_finish(&witness);
  return ok;
}

bool check_rewrites(Check *check) {
  Sample sample;
  bool ok = sample_take(check->db, check->policy, &sample, check->fault);
  for (int i = 0; ok && i < check->policy->ntables; i++) {
    const TablePolicy *table = check->policy->tables[i];
    ok = check_overlaps(check, &sample, table);
    const Rule *rule = table->rules[ACTION_ALLOW] ? table->rules[ACTION_INSERT] : NULL;
    for (; ok && rule; rule = rule->next) ok = check_insert(check, &sample, table, rule);
  }
  sample_finish(&sample);
  return ok;
}
