/*
** Writing inside a universe.
**
** A row is judged before anything is written (judge.c).
**
** Then one statement writes to the base table. What a failure has to undo SQLite undoes, if the
** statement journal reaches the base table's schema: see reach_journal().
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/cache.h"
#include "extensions/multiverse/judge.h"

static bool denied(Fault *fault, const char *what) {
  return fault_set(fault, FAULT_DENIED, "%s", what);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A statement that may write several rows has a journal, and tells when it begins. */
static int shadow_savepoint(VtTab *tab, int n) {
  (void)n;
  if (!vt_is_internal(tab->conn)) ((Shadow *)tab)->journal = true;
  return SQLITE_OK;
}

/* Inside BEGIN, a statement that fails is undone by its journal. That of a statement on a table of
** TEMP does not reach main by itself; but it takes in every schema in which a statement with a
** journal of its own begins meanwhile. So one does, that does nothing. */
static bool reach_journal(Shadow *shadow, Fault *fault) {
  if (!shadow->journal || sqlite3_get_autocommit(shadow->tab.db)) return true;
  Inner *inner = shadow_find(shadow, "journal");
  if (!inner) {
    Text sql = {0};
    text_add(&sql, "INSERT INTO main._multiverse_rules SELECT * FROM main._multiverse_rules "
                   "WHERE 0");
    inner = shadow_add(shadow, "journal", &sql, fault);
    text_finish(&sql);
  }
  if (!inner) return false;
  const int step = query_step(inner->statement, fault);
  sqlite3_reset(inner->statement);
  shadow->journal = step != 0;
  return step == 0;
}

static bool run(Shadow *shadow, Inner *inner, int *out_rc, Fault *fault) {
  if (!reach_journal(shadow, fault)) return false;
  shadow->state->touched |= inner->reaches;
  const bool paused = vt_trace_pause(shadow->tab.conn);
  const int rc = sqlite3_step(inner->statement);
  if (paused) vt_trace_resume(shadow->tab.conn);
  if (rc == SQLITE_DONE) {
    sqlite3_reset(inner->statement);
    if (shadow->state->cache) cache_note_write(shadow->state);
    return true;
  }
  *out_rc = rc;
  query_fault(shadow->tab.db, rc, fault);
  sqlite3_reset(inner->statement);
  return false;
}

static int give_up(Shadow *shadow, int rc, const Fault *fault) {
  if ((rc & 0xff) == SQLITE_CONSTRAINT) return vt_fail(&shadow->tab, rc, "%s", fault->text);
  return vt_fault(&shadow->tab, fault);
}

/* A virtual table is not told which columns an INSERT does not name: they come as NULL. Where there
** is a DEFAULT, that is what NULL stands for. */
static bool wants_presets(const BaseTable *base, sqlite3_value **columns) {
  for (int i = 0; base->has_presets && i < base->ncolumns; i++) {
    if (base->presets[i] && sqlite3_value_type(columns[i]) == SQLITE_NULL) return true;
  }
  return false;
}

static bool take_presets(Shadow *shadow, sqlite3_value **columns, sqlite3_value **values,
                         Fault *fault) {
  const BaseTable *base = shadow->base;
  for (int i = 0; i < base->ncolumns; i++) values[i] = columns[i];
  Inner *presets = write_statement(shadow, 'v', ACTION_INSERT, NULL, fault);
  if (!presets || query_step(presets->statement, fault) != 1) return false;
  for (int i = 0; i < base->ncolumns; i++) {
    if (!base->presets[i] || sqlite3_value_type(columns[i]) != SQLITE_NULL) continue;
    sqlite3_value *preset = sqlite3_value_dup(sqlite3_column_value(presets->statement, i));
    if (preset) values[i] = preset;
    if (!preset) fault_oom(fault);
  }
  sqlite3_reset(presets->statement);
  return !fault->code;
}

static bool is_allowed_in(Shadow *shadow, sqlite3_value **values, Fault *fault) {
  Judgement judgement = {0};
  bool ok = judgement_begin(shadow, ACTION_INSERT, &judgement, fault) &&
            judge_new(shadow, ACTION_INSERT, values, &judgement, fault);
  if (ok && !judgement_permits(&judgement))
    ok = denied(fault, "the policy does not let this row in");
  if (ok && !judgement.seen) ok = denied(fault, "the row would not be seen by who inserts it");
  judgement_end(&judgement);
  return ok;
}

/* The statement that inserts, with a rowid of its own or not. */
static Inner *find_inserter(Shadow *shadow, bool with_rowid, Fault *fault) {
  Inner **inserter = &shadow->inserters[with_rowid];
  if (*inserter) return *inserter;
  shadow->given[shadow->base->ncolumns] = with_rowid;
  Inner *inner = write_statement(shadow, 'i', ACTION_INSERT, shadow->given, fault);
  if (!inner) return NULL;
  inner->places = calloc((size_t)shadow->base->ncolumns + 1, sizeof *inner->places);
  if (!inner->places) {
    fault_oom(fault);
    return NULL;
  }
  return *inserter = inner;
}

/* A statement keeps what is bound to it, and much is the same from row to row: who writes them. */
static bool bind_column(const Shadow *shadow, const Inner *inner, int first, int i,
                        sqlite3_value *value, Fault *fault) {
  Place *place = &inner->places[i];
  const bool integer = sqlite3_value_type(value) == SQLITE_INTEGER;
  const int64_t known = integer ? sqlite3_value_int64(value) : 0;
  if (!integer) {
    place->at = PLACE_ABSENT;
    return write_bind(shadow, inner->statement, first + i, value, fault);
  }
  if (place->at == PLACE_KNOWN && place->known == known) return true;
  *place = (Place){.at = PLACE_KNOWN, .known = known};
  if (sqlite3_bind_int64(inner->statement, first + i, known) == SQLITE_OK) return true;
  place->at = PLACE_ABSENT;
  return fault_set(fault, FAULT_INTERNAL, "%s", sqlite3_errmsg(shadow->tab.db));
}

static bool write_row(Shadow *shadow, sqlite3_value *key, sqlite3_value **values, int *rc,
                      Fault *fault) {
  const BaseTable *base = shadow->base;
  const bool with_rowid =
      base->rowid && base->rowid_column < 0 && sqlite3_value_type(key) != SQLITE_NULL;
  Inner *inner = find_inserter(shadow, with_rowid, fault);
  const int first = write_column_term(shadow, 0);
  bool ok = inner != NULL;
  for (int i = 0; ok && i < base->ncolumns; i++) {
    ok = !shadow->given[i] || bind_column(shadow, inner, first, i, values[i], fault);
  }
  if (ok && with_rowid) {
    ok = write_bind(shadow, inner->statement, meaning_first_term(shadow->policy), key, fault);
  }
  return ok && run(shadow, inner, rc, fault);
}

static bool insert(Shadow *shadow, sqlite3_value *key, sqlite3_value **columns, int *rc,
                   Fault *fault) {
  const bool preset = wants_presets(shadow->base, columns);
  sqlite3_value **values = preset ? shadow->values : columns;
  const bool ok = (!preset || take_presets(shadow, columns, values, fault)) &&
                  is_allowed_in(shadow, values, fault) && write_row(shadow, key, values, rc, fault);
  for (int i = 0; preset && i < shadow->base->ncolumns; i++) {
    if (values[i] != columns[i]) sqlite3_value_free(values[i]);
  }
  return ok;
}

static int shadow_insert(VtTab *tab, sqlite3_value *key, sqlite3_value **columns,
                         sqlite3_int64 *rowid) {
  Shadow *shadow = (Shadow *)tab;
  Fault fault;
  int rc = SQLITE_OK;
  fault_clear(&fault);
  if (!shadow_sync(shadow, SYNC_LISTS | SYNC_SURELY, &fault)) return vt_fault(tab, &fault);
  vt_internal_enter(tab->conn);
  const bool ok = insert(shadow, key, columns, &rc, &fault);
  vt_internal_leave(tab->conn);
  *rowid = sqlite3_last_insert_rowid(tab->db);
  return ok ? SQLITE_OK : give_up(shadow, rc, &fault);
}

static int shadow_begin(VtTab *tab) {
  Shadow *shadow = (Shadow *)tab;
  shadow->settled = 0;
  keys_begin(shadow);
  return SQLITE_OK;
}

static void shadow_end(VtTab *tab) {
  Shadow *shadow = (Shadow *)tab;
  shadow->settled = 0;
  keys_end(shadow);
}

/* ---- the row that is there ------------------------------------------------------------------- */

/* Stands on the old row, judged; reset it when done. */
static Inner *judge_old(Shadow *shadow, Action action, sqlite3_value *key, Judgement *judgement,
                        Fault *fault) {
  if (!judgement_begin(shadow, action, judgement, fault)) return NULL;
  Inner *judge = write_statement(shadow, 'o', action, NULL, fault);
  if (!judge || !keys_bind(shadow, judge->statement, key, fault)) return NULL;
  const int step = query_step(judge->statement, fault);
  if (step == 1) judgement_read(judge->statement, judgement);
  if (step == 1 && judgement->seen) return judge;
  sqlite3_reset(judge->statement);
  if (step >= 0) denied(fault, "the row is not there any more");
  return NULL;
}

static bool erase(Shadow *shadow, sqlite3_value *key, int *rc, Fault *fault) {
  Judgement judgement = {0};
  Inner *old = judge_old(shadow, ACTION_DELETE, key, &judgement, fault);
  bool ok = old != NULL;
  if (old) sqlite3_reset(old->statement);
  if (ok && !judgement_permits(&judgement)) {
    ok = denied(fault, "the policy does not let this row be deleted");
  }
  judgement_end(&judgement);
  Inner *inner = ok ? write_statement(shadow, 'd', ACTION_DELETE, NULL, fault) : NULL;
  return inner && keys_bind(shadow, inner->statement, key, fault) && run(shadow, inner, rc, fault);
}

static int shadow_remove(VtTab *tab, sqlite3_value *key) {
  Shadow *shadow = (Shadow *)tab;
  Fault fault = {0};
  int rc = SQLITE_OK;
  if (!shadow_sync(shadow, SYNC_LISTS | SYNC_SURELY, &fault)) return vt_fault(tab, &fault);
  vt_internal_enter(tab->conn);
  const bool ok = erase(shadow, key, &rc, &fault);
  vt_internal_leave(tab->conn);
  return ok ? SQLITE_OK : give_up(shadow, rc, &fault);
}

/* ---- changing -------------------------------------------------------------------------------- */

typedef struct Change {   /* an UPDATE of one row */
  sqlite3_value **values; /* the row as it will be; owned where `owned` says */
  bool *owned, *changed;
} Change;

/* A cell that is rewritten for the user shows a replacement. Written back it means "as it was";
** anything else would overwrite what the user may not know. */
static bool take_column(Shadow *shadow, sqlite3_stmt *old, int first, int i, sqlite3_value *given,
                        Change *change, Fault *fault) {
  const bool rewritten = sqlite3_column_int(old, first + 3 * i) != 0;
  if (!sqlite3_value_nochange(given)) {
    sqlite3_value *shown = sqlite3_value_dup(sqlite3_column_value(old, first + 3 * i + 2));
    if (!shown) return fault_oom(fault);
    const bool same = rewritten && values_are_same(shown, given);
    sqlite3_value_free(shown);
    if (rewritten && !same) {
      return fault_set(fault, FAULT_DENIED,
                       "column %s of this row is not shown, so it cannot be set",
                       shadow->base->columns[i].name);
    }
    if (!same && !shadow->base->generated[i]) {
      change->changed[i] = true;
      change->values[i] = given;
      return true;
    }
  }
  change->values[i] = sqlite3_value_dup(sqlite3_column_value(old, first + 3 * i + 1));
  change->owned[i] = true;
  return change->values[i] || fault_oom(fault);
}

/* Every column that changes is in the list of a rule that applies before and after. */
static bool may_change(const Shadow *shadow, const Judgement *judgement, const Change *change,
                       Fault *fault) {
  bool any = judgement_permits(judgement);
  for (int i = 0; any && i < shadow->base->ncolumns; i++) {
    if (!change->changed[i]) continue;
    bool may = false;
    int n = 0;
    for (const Rule *rule = shadow->table->rules[ACTION_UPDATE]; rule; rule = rule->next, n++) {
      may |= judgement->rules[n] && (!rule->columns || rule->columns[i]);
    }
    if (!may) {
      return fault_set(fault, FAULT_DENIED, "the policy does not let column %s be set",
                       shadow->base->columns[i].name);
    }
  }
  return any || denied(fault, "the policy does not let this row be changed");
}

static bool write_change(Shadow *shadow, sqlite3_value *key, const Change *change, int *rc,
                         Fault *fault) {
  bool any = false;
  for (int i = 0; i < shadow->base->ncolumns; i++) any |= change->changed[i];
  if (!any) return true;
  Inner *inner = write_statement(shadow, 'u', ACTION_UPDATE, change->changed, fault);
  if (!inner || !keys_bind(shadow, inner->statement, key, fault)) return false;
  for (int i = 0; i < shadow->base->ncolumns; i++) {
    if (change->changed[i] && !write_bind(shadow, inner->statement, write_column_term(shadow, i),
                                          change->values[i], fault)) {
      return false;
    }
  }
  return run(shadow, inner, rc, fault);
}

static bool change_row(Shadow *shadow, sqlite3_value *key, sqlite3_value **columns, Change *change,
                       int *rc, Fault *fault) {
  Judgement judgement = {0};
  Inner *old = judge_old(shadow, ACTION_UPDATE, key, &judgement, fault);
  bool ok = old != NULL;
  const int first = judgement.nrules + 1;
  for (int i = 0; ok && i < shadow->base->ncolumns; i++) {
    ok = take_column(shadow, old->statement, first, i, columns[i], change, fault);
  }
  if (old) sqlite3_reset(old->statement);
  ok = ok && judge_new(shadow, ACTION_UPDATE, change->values, &judgement, fault) &&
       may_change(shadow, &judgement, change, fault);
  if (ok && !judgement.seen) ok = denied(fault, "the row would not be seen by who changes it");
  judgement_end(&judgement);
  return ok && write_change(shadow, key, change, rc, fault);
}

static int shadow_update(VtTab *tab, sqlite3_value *old_key, sqlite3_value *new_key,
                         sqlite3_value **columns) {
  Shadow *shadow = (Shadow *)tab;
  const size_t n = (size_t)shadow->base->ncolumns + 1;
  Fault fault = {0};
  int rc = SQLITE_OK;
  if (shadow->base->rowid_column < 0 && !values_are_same(old_key, new_key)) {
    return vt_fail(tab, SQLITE_READONLY, "the rowid cannot be changed");
  }
  if (!shadow_sync(shadow, SYNC_LISTS | SYNC_SURELY, &fault)) return vt_fault(tab, &fault);
  Change change = {calloc(n, sizeof *change.values), calloc(n, sizeof *change.owned),
                   calloc(n, sizeof *change.changed)};
  bool ok = (change.values && change.owned && change.changed) || fault_oom(&fault);
  vt_internal_enter(tab->conn);
  ok = ok && change_row(shadow, old_key, columns, &change, &rc, &fault);
  vt_internal_leave(tab->conn);
  for (size_t i = 0; change.values && change.owned && i < n; i++) {
    if (change.owned[i]) sqlite3_value_free(change.values[i]);
  }
  free(change.values);
  free(change.owned);
  free(change.changed);
  return ok ? SQLITE_OK : give_up(shadow, rc, &fault);
}

const VtWriter shadow_writer = {.insert = shadow_insert,
                                .update = shadow_update,
                                .remove = shadow_remove,
                                .native = true,
                                .begin = shadow_begin,
                                .commit = shadow_end,
                                .rollback = shadow_end,
                                .savepoint = shadow_savepoint,
                                .constraints = true};
