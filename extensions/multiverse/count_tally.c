/*
** Tallies: what is kept in main for rules of the action `count`.
**
** _multiverse_tallies is the ledger: a row for each tally that ever was, with the epsilon it spent.
** The secret of one that is no longer kept is forgotten. A rule has the tally of the same text; so
** a policy that is loaded again goes on with the noise that it had, and one that is made anew
** spends.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/count.h"

/* A row is counted in two steps, as fresh and then no more, since SQLite puts what is inserted
** into a table with triggers for that into a temporary one first. */
static const char *const create_tables[] = {
    "CREATE TABLE IF NOT EXISTS main._multiverse_tallies(id INTEGER PRIMARY KEY, tbl TEXT NOT NULL "
    "COLLATE NOCASE, rule TEXT NOT NULL, col TEXT, value TEXT NOT NULL, epsilon INTEGER NOT NULL, "
    "unit TEXT NOT NULL, max_per_unit INTEGER NOT NULL, budget INTEGER, secret BLOB)",
    "CREATE TABLE IF NOT EXISTS main._multiverse_ticks(tally INTEGER, tick INTEGER, nonce BLOB NOT "
    "NULL, PRIMARY KEY (tally, tick)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS main._multiverse_tallied(tally INTEGER, rid INTEGER, unit, k1, k2, "
    "k3, k4, fresh INTEGER, PRIMARY KEY (tally, rid)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS main._multiverse_units(tally INTEGER, unit, used INTEGER NOT NULL, "
    "PRIMARY KEY (tally, unit)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS main._multiverse_sums(tally INTEGER, k1, k2, k3, k4, n INTEGER NOT "
    "NULL, PRIMARY KEY (tally, k1, k2, k3, k4)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS main._multiverse_doubtful(tally INTEGER, rid INTEGER, PRIMARY KEY "
    "(tally, rid)) WITHOUT ROWID",
    "CREATE TRIGGER IF NOT EXISTS main._multiverse_tallied_in AFTER UPDATE OF fresh ON "
    "_multiverse_tallied BEGIN "
    "INSERT INTO _multiverse_units VALUES (NEW.tally, NEW.unit, 1) ON CONFLICT (tally, unit) DO "
    "UPDATE SET used = used + 1; "
    "INSERT INTO _multiverse_sums VALUES (NEW.tally, NEW.k1, NEW.k2, NEW.k3, NEW.k4, 1) ON "
    "CONFLICT (tally, k1, k2, k3, k4) DO UPDATE SET n = n + 1; END",
    "CREATE TRIGGER IF NOT EXISTS main._multiverse_tallied_out AFTER DELETE ON _multiverse_tallied "
    "BEGIN "
    "UPDATE _multiverse_sums SET n = n - 1 WHERE tally = OLD.tally AND k1 = OLD.k1 AND k2 = OLD.k2 "
    "AND k3 = OLD.k3 AND k4 = OLD.k4; END",
};

/* What is kept of a tally beside its row in the ledger. */
static const char *const kept[] = {"_multiverse_ticks", "_multiverse_tallied", "_multiverse_units",
                                   "_multiverse_sums", "_multiverse_doubtful"};

static bool has_table(sqlite3 *db, const char *name, bool *out, Fault *fault) {
  sqlite3_stmt *find = query_printf(
      db, fault, "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = %Q", name);
  const int step = find ? query_step(find, fault) : -1;
  *out = step == 1;
  query_finish(find);
  return step >= 0;
}

/* One value; *out is 0 when there is no row, or NULL. */
static bool ask_integer(sqlite3_stmt *ask, sqlite3_int64 *out, Fault *fault) {
  const int step = ask ? query_step(ask, fault) : -1;
  *out = step == 1 ? sqlite3_column_int64(ask, 0) : 0;
  query_finish(ask);
  return step >= 0;
}

static bool run_printf(sqlite3 *db, Fault *fault, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *sql = sqlite3_vmprintf(format, args);
  va_end(args);
  const bool ok = sql ? query_run(db, sql, fault) : fault_oom(fault);
  sqlite3_free(sql);
  return ok;
}

/* ---- the ledger ------------------------------------------------------------------------------ */

/* The tally that is kept for this rule, or 0. */
static bool find_tally(sqlite3 *db, const RuleText *text, sqlite3_int64 *out, Fault *fault) {
  bool any;
  *out = 0;
  if (!has_table(db, "_multiverse_tallies", &any, fault)) return false;
  return !any ||
         ask_integer(query_printf(db, fault,
                                  "SELECT id FROM main._multiverse_tallies WHERE secret IS NOT "
                                  "NULL AND tbl = %Q AND rule = %Q AND col IS %Q AND value = %Q",
                                  text->table, text->rule, text->column, text->value),
                     out, fault);
}

/* A new tally would not spend more than the last budget that was given. */
static bool is_within_budget(sqlite3 *db, const Count *count, Fault *fault) {
  const char *table = count->text.table;
  sqlite3_int64 spent = 0, budget = 0;
  bool any;
  if (!has_table(db, "_multiverse_tallies", &any, fault)) return false;
  if (any && (!ask_integer(query_printf(db, fault,
                                        "SELECT sum(epsilon) FROM main._multiverse_tallies WHERE "
                                        "tbl = %Q",
                                        table),
                           &spent, fault) ||
              !ask_integer(query_printf(db, fault,
                                        "SELECT budget FROM main._multiverse_tallies WHERE tbl = "
                                        "%Q AND budget IS NOT NULL ORDER BY id DESC LIMIT 1",
                                        table),
                           &budget, fault))) {
    return false;
  }
  if (count->budget) budget = count->budget;
  return !budget || spent + count->epsilon <= budget ||
         fault_set(fault, FAULT_DENIED,
                   "epsilon is %g, with the %g that counts of %s have spent it is more than the "
                   "budget of %g",
                   (double)count->epsilon / EPSILON_ONE, (double)spent / EPSILON_ONE, table,
                   (double)budget / EPSILON_ONE);
}

/* ---- triggers -------------------------------------------------------------------------------- */

static bool is_there(sqlite3 *db, const Trigger *trigger, bool *out, Fault *fault) {
  sqlite3_int64 there;
  const bool ok = ask_integer(
      query_printf(db, fault,
                   "SELECT 1 FROM main.sqlite_schema WHERE type = 'trigger' AND name = %Q AND sql "
                   "= 'CREATE TRIGGER ' || %Q",
                   text_get(&trigger->name), text_get(&trigger->text)),
      &there, fault);
  *out = there == 1;
  return ok;
}

/* All of them are there, as they should be. */
static bool are_there(sqlite3 *db, const TablePolicy *table, bool *out, Fault *fault) {
  Trigger triggers[MOST_TRIGGERS] = {0};
  int n;
  *out = true;
  bool ok = count_triggers(db, table, triggers, &n, fault);
  for (int i = 0; ok && *out && i < n; i++) ok = is_there(db, &triggers[i], out, fault);
  count_triggers_finish(triggers);
  return ok;
}

/* What are_there() finds does not matter, but whether there can be triggers. */
bool count_check(sqlite3 *db, const RuleText *text, const TablePolicy *table, sqlite3_value *but,
                 Fault *fault) {
  const Count *count = table->count;
  sqlite3_int64 tally;
  bool current;
  sqlite3_stmt *others = query_printf(db, fault,
                                      "SELECT \"action\" = 'count' FROM main._multiverse_rules "
                                      "WHERE tbl = %Q COLLATE NOCASE AND id "
                                      "IS NOT ?1 AND (\"action\" = 'count' OR %d) LIMIT 1",
                                      text->table, count != NULL);
  if (others && but) sqlite3_bind_value(others, 1, but);
  const int step = others ? query_step(others, fault) : -1;
  const bool counted = step == 1 && sqlite3_column_int(others, 0);
  query_finish(others);
  if (step < 0) return false;
  if (step == 1) {
    return fault_set(fault, FAULT_INVALID,
                     counted ? "%s is counted by a rule: it can have no other"
                             : "%s has rules about rows: a table is either shown or counted",
                     text->table);
  }
  if (!count) return true;
  return find_tally(db, &count->text, &tally, fault) && are_there(db, table, &current, fault) &&
         (tally || is_within_budget(db, count, fault));
}

static bool drop_triggers(sqlite3 *db, sqlite3_int64 tally, Fault *fault) {
  static const char *const what[] = {"insert",        "update",        "delete",
                                     "insert_doubts", "update_doubts", "insert_doubted",
                                     "update_doubted"};
  for (size_t i = 0; i < countof(what); i++) {
    if (!run_printf(db, fault, "DROP TRIGGER IF EXISTS main._multiverse_%lld_%s", tally, what[i])) {
      return false;
    }
  }
  return true;
}

static bool make_triggers(sqlite3 *db, const TablePolicy *table, Fault *fault) {
  Trigger triggers[MOST_TRIGGERS] = {0};
  int n;
  bool ok = count_triggers(db, table, triggers, &n, fault);
  for (int i = 0; ok && i < n; i++) {
    ok = run_printf(db, fault, "CREATE TRIGGER main.%s", text_get(&triggers[i].text));
  }
  count_triggers_finish(triggers);
  return ok;
}

/* ---- making and ending ----------------------------------------------------------------------- */

static bool recount(sqlite3 *db, const TablePolicy *table, Fault *fault) {
  Text statements[RECOUNT_STATEMENTS] = {{0}};
  bool ok = true;
  count_recount(table, statements);
  for (int i = 0; i < RECOUNT_STATEMENTS; i++) {
    ok = ok &&
         (statements[i].oom ? fault_oom(fault) : query_run(db, text_get(&statements[i]), fault));
    text_finish(&statements[i]);
  }
  return ok;
}

static bool enter_in_ledger(sqlite3 *db, const TablePolicy *table, Fault *fault) {
  Count *count = table->count;
  unsigned char secret[SECRET_BYTES];
  if (!is_within_budget(db, count, fault) || !noise_secret(secret, fault)) return false;
  sqlite3_stmt *insert = query_printf(
      db, fault,
      "INSERT INTO main._multiverse_tallies(tbl, rule, col, value, epsilon, unit, max_per_unit, "
      "budget, secret) VALUES (%Q, %Q, %Q, %Q, %lld, %Q, %lld, nullif(%lld, 0), ?1) RETURNING id",
      count->text.table, count->text.rule, count->text.column, count->text.value, count->epsilon,
      table->base->columns[count->unit].name, count->most, count->budget);
  if (insert) sqlite3_bind_blob(insert, 1, secret, SECRET_BYTES, SQLITE_TRANSIENT);
  memset(secret, 0, sizeof secret);
  return ask_integer(insert, &count->tally, fault);
}

/* The rule has a tally, whose triggers are those of the table as it now is. */
static bool settle_rule(sqlite3 *db, const TablePolicy *table, Fault *fault) {
  Count *count = table->count;
  bool current = false;
  if (!find_tally(db, &count->text, &count->tally, fault)) return false;
  if (!count->tally && !enter_in_ledger(db, table, fault)) return false;
  if (!are_there(db, table, &current, fault)) return false;
  return current || (recount(db, table, fault) && drop_triggers(db, count->tally, fault) &&
                     make_triggers(db, table, fault));
}

static bool end_tally(sqlite3 *db, sqlite3_int64 tally, Fault *fault) {
  if (!drop_triggers(db, tally, fault)) return false;
  for (size_t i = 0; i < countof(kept); i++) {
    if (!run_printf(db, fault, "DELETE FROM main.%s WHERE tally = %lld", kept[i], tally)) {
      return false;
    }
  }
  return run_printf(db, fault, "UPDATE main._multiverse_tallies SET secret = NULL WHERE id = %lld",
                    tally);
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* The first tally that no rule has, until there is none. */
static bool end_tallies(sqlite3 *db, Fault *fault) {
  sqlite3_int64 tally;
  bool any;
  if (!has_table(db, "_multiverse_tallies", &any, fault)) return false;
  while (any) {
    sqlite3_stmt *find = query_prepare(
        db,
        "SELECT id FROM main._multiverse_tallies AS t WHERE secret IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM main._multiverse_rules AS r WHERE r.\"action\" = 'count' AND t.tbl = r.tbl "
        "AND r.rule = t.rule AND r.col IS t.col AND r.value = t.value)",
        fault);
    if (!ask_integer(find, &tally, fault)) return false;
    any = tally != 0;
    if (any && !end_tally(db, tally, fault)) return false;
  }
  return true;
}

/* About a rule that was right once, and whose table is another one now: who enters is told, and
** whoever writes another rule need not care. */
static bool is_its_own(const Fault *fault) {
  return fault->code == FAULT_INVALID || fault->code == FAULT_NOTFOUND ||
         fault->code == FAULT_UNSUPPORTED;
}

static bool compile_counts(sqlite3 *db, Compiler *compiler, Fault *fault) {
  static const char sql[] =
      "SELECT id, tbl, \"action\", rule, col, value FROM main._multiverse_rules WHERE \"action\" = "
      "'count' ORDER BY id";
  sqlite3_stmt *rules = query_prepare(db, sql, fault);
  int step = -1;
  while (rules && (step = query_step(rules, fault)) == 1) {
    const char *t[6];
    Fault own = {0};
    for (int i = 1; i < 6; i++) t[i] = (const char *)sqlite3_column_text(rules, i);
    const RuleText text = {.id = sqlite3_column_int64(rules, 0),
                           .table = t[1],
                           .action = t[2],
                           .rule = t[3],
                           .column = t[4],
                           .value = t[5]};
    compiler->fault = &own;
    if (compiler_add_rule(compiler, &text) || is_its_own(&own)) continue;
    *fault = own;
    step = -1;
    break;
  }
  query_finish(rules);
  return step == 0;
}

static bool settle_rules(sqlite3 *db, const Policy *policy, Fault *fault) {
  for (size_t i = 0; policy->ntables && i < countof(create_tables); i++) {
    if (!query_run(db, create_tables[i], fault)) return false;
  }
  for (int i = 0; i < policy->ntables; i++) {
    const TablePolicy *table = policy->tables[i];
    Fault own = {0};
    if (!table->count || settle_rule(db, table, &own) || is_its_own(&own)) continue;
    *fault = own;
    return fault_prefix(fault, "rule %lld of %s: ", (long long)table->count->rule,
                        table->base->name);
  }
  return true;
}

bool count_settle(sqlite3 *db, Fault *fault) {
  Compiler compiler;
  if (!end_tallies(db, fault) || !compiler_begin(db, &compiler, fault)) return false;
  const bool ok = compile_counts(db, &compiler, fault) && settle_rules(db, compiler.policy, fault);
  policy_destroy(compiler.policy);
  return ok;
}

bool count_attach(sqlite3 *db, Policy *policy, Fault *fault) {
  for (int i = 0; i < policy->ntables; i++) {
    const TablePolicy *table = policy->tables[i];
    Count *count = table->count;
    bool current = false;
    if (!count) continue;
    if (find_tally(db, &count->text, &count->tally, fault) &&
        (!count->tally || are_there(db, table, &current, fault)) && current) {
      continue;
    }
    if (!fault->code) {
      fault_set(fault, FAULT_INVALID,
                "what counts is not up to date with the table: UPDATE multiverse_rules SET id = id "
                "WHERE id = %lld",
                (long long)count->rule);
    }
    return fault_prefix(fault, "rule %lld of %s: ", (long long)count->rule, table->base->name);
  }
  return true;
}

/* ---- the meaning ----------------------------------------------------------------------------- */

void count_sql(const Policy *policy, const TablePolicy *table, Text *out) {
  const Meaning meaning = {.policy = policy, .table = table};
  const Count *count = table->count;
  text_add(out, "SELECT ");
  for (int i = 0; i < count->nby; i++) {
    meaning_raw(table, count->by[i], out);
    text_add(out, " AS ");
    text_add_name(out, table->base->columns[count->by[i]].name);
    text_add(out, ", ");
  }
  text_add(out, "count(*) AS \"count\"");
  meaning_from(table, out);
  text_add(out, " WHERE ");
  meaning_expr(&meaning, count->when, out);
  text_add(out, " AND ");
  meaning_raw(table, count->unit, out);
  text_add(out, " IS NOT NULL");
  for (int i = 0; i < count->nby; i++) {
    text_add(out, " AND ");
    meaning_raw(table, count->by[i], out);
    text_add(out, " IS NOT NULL");
  }
  for (int i = 0; i < count->nby; i++) {
    text_add(out, i ? ", " : " GROUP BY ");
    meaning_raw(table, count->by[i], out);
  }
}
