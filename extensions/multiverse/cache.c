/*
** Tier 2: what is kept, and whether it still holds. See cache.h.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/cache.h"

enum {
  MOST_TOUCHED = 10000, /* above, reading them again takes longer than filling anew */
  MOST_WRITING = 16,    /* inside a transaction they are read for each scan */
  FEW_TOUCHED = 100     /* above, filling anew is compared with the rows there are */
};

/* ---- keys that were touched ------------------------------------------------------------------ */

static size_t slot_of(const Cache *cache, const Touched *touched) {
  const uint64_t hash =
      hash_bytes(&touched->rowid, sizeof touched->rowid, (uint64_t)touched->table);
  size_t at = (size_t)hash & (cache->nslots - 1);
  while (cache->slots[at]) {
    const Touched *other = &cache->touched[cache->slots[at] - 1];
    if (other->table == touched->table && other->rowid == touched->rowid) break;
    at = (at + 1) & (cache->nslots - 1);
  }
  return at;
}

static bool grow_slots(Cache *cache) {
  const size_t n = cache->nslots ? cache->nslots * 2 : 64;
  uint32_t *slots = calloc(n, sizeof *slots);
  if (!slots) return false;
  free(cache->slots);
  cache->slots = slots;
  cache->nslots = n;
  for (size_t i = 0; i < cache->ntouched; i++) {
    slots[slot_of(cache, &cache->touched[i])] = (uint32_t)i + 1;
  }
  return true;
}

static void touch(Cache *cache, int table, sqlite3_int64 rowid) {
  const Touched touched = {table, rowid};
  if (cache->flooded) return;
  if (cache->ntouched >= MOST_TOUCHED ||
      (2 * cache->ntouched >= cache->nslots && !grow_slots(cache)) ||
      !array_grow(cache->touched, cache->touched_capacity, cache->ntouched + 1)) {
    cache->flooded = true;
    return;
  }
  const size_t slot = slot_of(cache, &touched);
  if (cache->slots[slot]) return;
  cache->touched[cache->ntouched++] = touched;
  cache->slots[slot] = (uint32_t)cache->ntouched;
}

static void forget_touched(Cache *cache) {
  if (cache->ntouched) memset(cache->slots, 0, cache->nslots * sizeof *cache->slots);
  cache->ntouched = 0;
  cache->flooded = false;
}

/* Before each change of a row. Also of tables that nothing is kept of: what is filled later may
** have read what is then rolled back. */
static void on_touch(void *ctx, const VtPreupdate *api, sqlite3 *db, int op, const char *database,
                     const char *table, sqlite3_int64 old_rowid, sqlite3_int64 new_rowid) {
  Cache *cache = ctx;
  const Policy *policy = cache->state->policy;
  (void)api;
  (void)db;
  cache->calls++;
  cache->wrote = true;
  if (!policy || !strcmp(database, "temp")) return; /* main may go by another name */
  for (int i = 0; i < policy->ntables; i++) {
    if (strcmp(policy->tables[i]->base->name, table)) continue;
    if (op != SQLITE_INSERT) touch(cache, i, old_rowid);
    if (op == SQLITE_INSERT || (op == SQLITE_UPDATE && new_rowid != old_rowid)) {
      touch(cache, i, new_rowid);
    }
  }
}

/* ---- is the hook still ours? ----------------------------------------------------------------- */

void cache_note_write(const State *state) {
  if (state->cache) state->cache->written++;
}

/* SQLite counts changes when a statement has ended, so the hook is never behind. What failed or
** was replaced calls it in excess; so each statement is looked at by itself. */
static void check_calls(Cache *cache) {
  sqlite3 *db = vt_db(cache->state->conn);
  const sqlite3_int64 changes = sqlite3_total_changes64(db), calls = cache->calls + cache->written;
  if (changes - cache->checked_changes > calls - cache->checked_calls) cache->doubted = true;
  if (sqlite3_txn_state(db, NULL) == SQLITE_TXN_WRITE) return;
  cache->checked_changes = changes;
  cache->checked_calls = calls;
}

static int on_statement(unsigned event, void *ctx, void *p, void *x) {
  Cache *cache = ctx;
  (void)event;
  (void)p;
  (void)x;
  if (!vt_is_internal(cache->state->conn)) check_calls(cache);
  return 0;
}

/* ---- is it current? -------------------------------------------------------------------------- */

void cache_empty(Cache *cache) {
  if (cache->store && !store_is_empty(cache->store)) cache->stats.emptied++;
  store_release(cache->store);
  cache->store = NULL;
  cache->known = false;
}

static bool reread_all(Cache *cache, bool (*reread)(void *, const Touched *), void *ctx) {
  if (store_is_empty(cache->store)) return true;
  for (size_t i = 0; i < cache->ntouched; i++) {
    if (!reread(ctx, &cache->touched[i])) return false;
    cache->stats.reread++;
  }
  return true;
}

/* Commits that the hook knows nothing of: DDL, VACUUM, a page copied in from elsewhere. */
static bool is_silent(const Cache *cache, unsigned file_version) {
  return file_version != cache->file_version && !cache->wrote;
}

bool cache_sync(Cache *cache, sqlite3_int64 data_version, unsigned file_version,
                bool (*reread)(void *ctx, const Touched *touched), void *ctx) {
  check_calls(cache);
  if (cache->known && data_version == cache->data_version && file_version == cache->file_version &&
      !cache->wrote && !cache->doubted) {
    return true;
  }
  const bool writing = sqlite3_txn_state(vt_db(cache->state->conn), "main") == SQLITE_TXN_WRITE;
  if (cache->doubted || cache->flooded) {
    cache_empty(cache);
    if (writing) return false; /* what may be rolled back is not known */
    forget_touched(cache);
    cache->doubted = false;
  }
  if (cache->known && (data_version != cache->data_version || is_silent(cache, file_version))) {
    cache_empty(cache);
  }
  if (cache->ntouched) {
    if (writing && cache->ntouched > MOST_WRITING) return false;
    if (!writing && cache->ntouched > FEW_TOUCHED && cache->store &&
        cache->ntouched > store_size(cache->store).rows) {
      cache_empty(cache);
    }
    if (cache->store && !store_is_empty(cache->store) && store_is_pinned(cache->store)) {
      return false;
    }
    if (cache->store && !reread_all(cache, reread, ctx)) {
      cache_empty(cache);
      return false;
    }
    if (!writing) forget_touched(cache);
  }
  if (!cache->store) cache->store = store_create(cache->formats, cache->nlenses, cache->budget);
  if (!cache->store) return false;
  cache->data_version = data_version;
  cache->file_version = file_version;
  cache->known = true;
  if (!writing) cache->wrote = false;
  return true;
}

/* ---- lenses ---------------------------------------------------------------------------------- */

static void forget_lenses(Cache *cache) {
  cache_empty(cache);
  for (int i = 0; i < cache->nlenses; i++) lens_finish(&cache->lenses[i]);
  arena_finish(&cache->arena);
  cache->lenses = NULL;
  cache->nlenses = 0;
  cache->hash = 0;
}

void cache_forget_policy(const State *state) {
  if (!state->cache) return;
  forget_lenses(state->cache);
  forget_touched(state->cache);
}

static bool make_lenses(Cache *cache, const Policy *policy) {
  const size_t n = (size_t)policy->ntables + 1;
  forget_lenses(cache);
  cache->lenses = arena_array(&cache->arena, n, sizeof *cache->lenses);
  cache->formats = arena_array(&cache->arena, n, sizeof *cache->formats);
  if (!cache->lenses || !cache->formats) return false;
  for (int i = 0; i < policy->ntables; i++) {
    Lens *lens = &cache->lenses[cache->nlenses++];
    if (!lens_make(policy, policy->tables[i], &cache->arena, lens)) {
      forget_lenses(cache);
      return false;
    }
    cache->formats[i] = (StoreTable){lens->ncells, lens->nflags};
  }
  cache->hash = policy->hash;
  return true;
}

const Lens *cache_lens(Cache *cache, int table) {
  const Policy *policy = cache->state->policy;
  if (cache->hash != policy->hash && !make_lenses(cache, policy)) return NULL;
  return cache->lenses[table].unfit ? NULL : &cache->lenses[table];
}

/* ---- on and off ------------------------------------------------------------------------------ */

void cache_destroy(Cache *cache) {
  if (!cache) return;
  vt_unwatch(cache->touches);
  vt_unwatch(cache->statements);
  forget_lenses(cache);
  free(cache->touched);
  free(cache->slots);
  free(cache);
}

/* A DELETE without WHERE that was prepared before there was a hook calls none. */
static void expire_statements(sqlite3 *db) {
  int before = 0;
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_QPSG, -1, &before);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_QPSG, !before, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_QPSG, before, NULL);
}

static bool cache_start(State *state, Fault *fault) {
  sqlite3 *db = vt_db(state->conn);
  if (!vt_has_preupdate()) {
    return fault_set(fault, FAULT_UNSUPPORTED,
                     "this SQLite has no preupdate hook that an extension can reach (it is linked "
                     "into the host, or built without); universes work, without a cache");
  }
  if (!base_is_utf8(db, fault)) {
    if (fault->code) return false;
    return fault_set(fault, FAULT_UNSUPPORTED, "the database's texts are not UTF-8");
  }
  Cache *cache = calloc(1, sizeof *cache);
  if (!cache) return fault_oom(fault);
  cache->state = state;
  if (vt_watch_preupdate(state->conn, on_touch, cache, &cache->touches) != SQLITE_OK ||
      vt_watch_trace(state->conn, SQLITE_TRACE_STMT, on_statement, cache, &cache->statements) !=
          SQLITE_OK) {
    cache_destroy(cache);
    return fault_oom(fault);
  }
  expire_statements(db);
  cache->checked_changes = sqlite3_total_changes64(db);
  state->cache = cache;
  return true;
}

static bool is_quiet(sqlite3 *db, Fault *fault) {
  int busy = 0;
  for (sqlite3_stmt *each = sqlite3_next_stmt(db, NULL); each; each = sqlite3_next_stmt(db, each)) {
    busy += sqlite3_stmt_busy(each) != 0;
  }
  if (busy > 1) return fault_set(fault, FAULT_BUSY, "other statements are still running");
  return sqlite3_get_autocommit(db) || fault_set(fault, FAULT_BUSY, "a transaction is open");
}

static bool set_budget(State *state, sqlite3_int64 bytes, Fault *fault) {
  if (bytes < 0) {
    return fault_set(fault, FAULT_INVALID, "%lld bytes: 0 or more are wanted", (long long)bytes);
  }
  if (!is_quiet(vt_db(state->conn), fault)) return false;
  if (!bytes) {
    cache_destroy(state->cache);
    state->cache = NULL;
    return true;
  }
  if (!state->cache && !cache_start(state, fault)) return false;
  cache_empty(state->cache);
  state->cache->budget = (size_t)bytes;
  return true;
}

static void add_string(Text *out, const char *string) {
  text_add_json(out, string, strlen(string));
}

static void write_status(const Cache *cache, Text *out) {
  const StoreSize size = cache->store ? store_size(cache->store) : (StoreSize){0};
  const CacheStats *stats = &cache->stats;
  text_addf(out,
            "{\"budget\":%zu,\"bytes\":%zu,\"rows\":%zu,\"postings\":%zu,\"served\":%lld,"
            "\"passed\":%lld,\"filled\":%lld,\"reread\":%lld,\"emptied\":%lld,\"evicted\":%zu",
            cache->budget, size.bytes, size.rows, size.postings, (long long)stats->served,
            (long long)stats->passed, (long long)stats->filled, (long long)stats->reread,
            (long long)stats->emptied, size.evicted);
  const Policy *policy = cache->state->policy;
  const char *comma = ",\"unfit\":{";
  for (int i = 0; policy && policy->hash == cache->hash && i < cache->nlenses; i++) {
    if (!cache->lenses[i].unfit) continue;
    text_add(out, comma);
    add_string(out, policy->tables[i]->base->name);
    text_addc(out, ':');
    add_string(out, cache->lenses[i].unfit);
    comma = ",";
  }
  if (comma[1] == '\0') text_addc(out, '}');
  text_addc(out, '}');
}

void multiverse_cache(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  VtConn *conn = vt_conn(ctx);
  State *state = vt_state(conn);
  Fault fault = {0};
  Text status = {0};
  if (state->universe) {
    func_fail(ctx, SQLITE_AUTH, "it is for outside of universes");
    return;
  }
  if (argc) {
    if (sqlite3_value_type(argv[0]) != SQLITE_INTEGER) {
      func_fail(ctx, SQLITE_ERROR, "bytes is not an integer");
      return;
    }
    vt_internal_enter(conn);
    const bool ok = set_budget(state, sqlite3_value_int64(argv[0]), &fault);
    vt_internal_leave(conn);
    if (!ok) {
      func_fault(ctx, &fault);
      return;
    }
  }
  if (state->cache) {
    write_status(state->cache, &status);
  } else {
    text_add(&status, "{\"budget\":0}");
  }
  vt_result_text(ctx, &status, true);
  text_finish(&status);
}
