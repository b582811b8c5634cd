/*
** A policy from its stored rows.
*/
#include <stdlib.h>

#include "extensions/multiverse/count.h"

/* ---- the stored rows ------------------------------------------------------------------------- */

const char policy_groups_sql[] = "SELECT name, members FROM main._multiverse_groups ORDER BY name";
const char policy_rules_sql[] =
    "SELECT id, tbl, action, grp, rule, col, value, unless_grp, unless FROM "
    "main._multiverse_rules ORDER BY id";

bool policy_is_stored(sqlite3 *db, bool *out, Fault *fault) {
  sqlite3_stmt *find = query_prepare(db,
                                     "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' "
                                     "AND name IN ('_multiverse_groups', '_multiverse_rules')",
                                     fault);
  const bool ok = find && query_step(find, fault) == 1;
  *out = ok && sqlite3_column_int(find, 0) == 2;
  query_finish(find);
  return ok;
}

static bool hash_rows(sqlite3 *db, const char *sql, uint64_t *hash, Fault *fault) {
  sqlite3_stmt *rows = query_prepare(db, sql, fault);
  int step = -1;
  while (rows && (step = query_step(rows, fault)) == 1) {
    for (int i = 0; i < sqlite3_column_count(rows); i++) {
      const void *text = sqlite3_column_text(rows, i);
      *hash = hash_bytes(text ? text : "", (size_t)sqlite3_column_bytes(rows, i),
                         *hash + (text != NULL) + (uint64_t)i);
    }
  }
  query_finish(rows);
  return step == 0;
}

bool policy_hash(sqlite3 *db, bool blinded, uint64_t *out, Fault *fault) {
  bool stored;
  *out = blinded ? 2 : 1;
  if (!policy_is_stored(db, &stored, fault)) return false;
  if (stored && (!hash_rows(db, policy_groups_sql, out, fault) ||
                 !hash_rows(db, policy_rules_sql, out, fault))) {
    return false;
  }
  return hash_rows(db, "PRAGMA main.schema_version", out, fault);
}

static bool load_groups(Compiler *compiler) {
  sqlite3_stmt *rows = query_prepare(compiler->db, policy_groups_sql, compiler->fault);
  int step = -1;
  while (rows && (step = query_step(rows, compiler->fault)) == 1) {
    if (compiler_add_group(compiler, query_text(rows, 0), query_text(rows, 1))) continue;
    step = -1;
    break;
  }
  query_finish(rows);
  return step == 0;
}

static bool load_rules(Compiler *compiler) {
  sqlite3_stmt *rows = query_prepare(compiler->db, policy_rules_sql, compiler->fault);
  int step = -1;
  while (rows && (step = query_step(rows, compiler->fault)) == 1) {
    const char *texts[9];
    for (int i = 0; i < 9; i++) texts[i] = (const char *)sqlite3_column_text(rows, i);
    const RuleText text = {sqlite3_column_int64(rows, 0),
                           texts[1],
                           texts[2],
                           texts[3],
                           texts[4],
                           texts[5],
                           texts[6],
                           texts[7],
                           texts[8]};
    if (compiler_add_rule(compiler, &text)) continue;
    step = -1;
    break;
  }
  query_finish(rows);
  return step == 0;
}

/* ---- policies -------------------------------------------------------------------------------- */

void policy_destroy(Policy *policy) {
  if (!policy) return;
  free(policy->groups);
  free(policy->lists);
  free(policy->tables);
  free(policy->params);
  arena_finish(&policy->arena);
  free(policy);
}

/* Whoever views as somebody is shown what the peepholes leave, whatever a rewrite would show. */
static void blind(Policy *policy) {
  policy->blinded = true;
  for (int i = 0; i < policy->ntables; i++) {
    TablePolicy *table = policy->tables[i];
    Rule *first = table->rules[ACTION_PEEPHOLE];
    for (const Rule *rule = first; rule; rule = rule->next) table->rewritten[rule->column] = true;
    if (!first) continue;
    *table->last[ACTION_PEEPHOLE] = table->rules[ACTION_REWRITE];
    table->rules[ACTION_REWRITE] = first;
    table->rules[ACTION_PEEPHOLE] = NULL;
  }
}

Policy *policy_load(sqlite3 *db, bool blinded, uint64_t known, bool *same, Fault *fault) {
  Compiler compiler;
  uint64_t hash;
  bool stored;
  *same = false;
  if (!policy_hash(db, blinded, &hash, fault) || !policy_is_stored(db, &stored, fault)) return NULL;
  *same = hash == known;
  if (*same || !compiler_begin(db, &compiler, fault)) return NULL;
  compiler.policy->hash = hash;
  if (stored && (!load_groups(&compiler) || !load_rules(&compiler) ||
                 !count_attach(db, compiler.policy, fault))) {
    policy_destroy(compiler.policy);
    return NULL;
  }
  if (blinded) blind(compiler.policy);
  return compiler.policy;
}

const TablePolicy *policy_table(const Policy *policy, const char *name) {
  for (int i = 0; i < policy->ntables; i++) {
    if (!sqlite3_stricmp(policy->tables[i]->base->name, name)) return policy->tables[i];
  }
  return NULL;
}

bool policy_check_rule(sqlite3 *db, const RuleText *text, sqlite3_value *but, Fault *fault) {
  Compiler compiler;
  if (!compiler_begin(db, &compiler, fault)) return false;
  bool ok = load_groups(&compiler) && compiler_add_rule(&compiler, text);
  if (ok && !count_check(db, text, compiler.policy->tables[0], but, fault)) {
    ok = fault_prefix(fault, "rule of %s: ", text->table);
  }
  policy_destroy(compiler.policy);
  return ok;
}

bool policy_check_group(sqlite3 *db, const char *name, const char *members, Fault *fault) {
  Compiler compiler;
  if (!compiler_begin(db, &compiler, fault)) return false;
  bool ok = compiler_add_group(&compiler, name, members);
  policy_destroy(compiler.policy);
  return ok;
}
