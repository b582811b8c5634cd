/*
** What shows only with a row and a user: rewrites that overlap, rows that could be written but not
** seen. Rows of the base tables are tried with a sample of users.
*/
#include <string.h>

#include "extensions/multiverse/check.h"

static bool check_pair(Check *check, const Sample *sample, const TablePolicy *table,
                       const Rule *first, const Rule *second) {
  const Meaning meaning = {.policy = check->policy, .table = table, .queried = true, .named = true};
  Text both = {0}, witness = {0};
  text_addc(&both, '(');
  meaning_rule(&meaning, first, &both);
  text_add(&both, ") AND (");
  meaning_rule(&meaning, second, &both);
  text_addc(&both, ')');
  bool ok = sample_find(check->db, sample, check->policy, table, &both, check->poll, &witness,
                        check->fault);
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
  const Meaning meaning = {.policy = check->policy, .table = table, .queried = true, .named = true};
  Text unseen = {0}, witness = {0};
  text_addc(&unseen, '(');
  meaning_rule(&meaning, rule, &unseen);
  text_add(&unseen, ") AND ");
  meaning_visible(&meaning, &unseen);
  text_add(&unseen, " IS NOT TRUE");
  bool ok = sample_find(check->db, sample, check->policy, table, &unseen, check->poll, &witness,
                        check->fault);
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
