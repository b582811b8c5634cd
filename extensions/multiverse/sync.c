/*
** Which state of the database a universe's memberships are of.
**
** SQLITE_FCNTL_DATA_VERSION tells of every commit, and costs nothing, but only once a statement
** reads; PRAGMA data_version tells which of them were others', after which the policy itself is
** looked at again. Our own writes all come by write.c, which knows whether they can reach a
** membership (footprint.c). After such a one memberships are loaded for each statement as long as
** the transaction lasts, and once more behind it, since going back leaves no trace.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/shadow.h"

void shadow_forget(Shadow *shadow) {
  for (Inner *inner = shadow->inners, *next; inner; inner = next) {
    next = inner->next;
    sqlite3_finalize(inner->statement);
    free(inner->shape);
    free(inner->places);
    free(inner->counts[0]);
    free(inner->counts[1]);
    counted_destroy(inner->counted);
    free(inner);
  }
  for (int i = 0; i < shadow->nmembers; i++) sqlite3_finalize(shadow->members[i]);
  sqlite3_finalize(shadow->version);
  sqlite3_finalize(shadow->pin);
  served_forget(shadow);
  verdict_forget(shadow);
  free(shadow->members);
  shadow->inners = shadow->inserters[0] = shadow->inserters[1] = NULL;
  shadow->members = NULL;
  shadow->version = shadow->pin = NULL;
  shadow->nmembers = 0;
  shadow->policy = NULL;
  shadow->table = NULL;
  shadow->number = 0;
}

static bool take_policy(Shadow *shadow, Fault *fault) {
  const State *state = shadow->state;
  if (!state->universe) return fault_set(fault, FAULT_DENIED, "no universe has been entered");
  if (!shadow->base) return fault_set(fault, FAULT_DENIED, "the table has been dropped");
  if (shadow->policy == state->policy) return true;
  shadow_forget(shadow);
  shadow->table = policy_table(state->policy, shadow->base->name);
  if (!shadow->table) return fault_set(fault, FAULT_DENIED, "no rule opens it");
  while (state->policy->tables[shadow->number] != shadow->table) shadow->number++;
  shadow->members = calloc((size_t)policy_sets(state->policy) + 1, sizeof *shadow->members);
  if (!shadow->members) return fault_oom(fault);
  shadow->nmembers = policy_sets(state->policy);
  shadow->is_utf8 = base_is_utf8(shadow->tab.db, fault);
  if (fault->code) return false;
  shadow->policy = state->policy;
  return true;
}

static bool read_version(Shadow *shadow, sqlite3_int64 *out, Fault *fault) {
  if (!shadow->version) {
    shadow->version = query_prepare(shadow->tab.db, "PRAGMA main.data_version", fault);
    if (!shadow->version) return false;
  }
  const bool ok = query_step(shadow->version, fault) == 1;
  if (ok) *out = sqlite3_column_int64(shadow->version, 0);
  sqlite3_reset(shadow->version);
  return ok;
}

static bool is_policy_the_same(Shadow *shadow, Fault *fault) {
  uint64_t hash;
  if (!policy_hash(shadow->tab.db, shadow->policy->blinded, &hash, fault)) return false;
  return hash == shadow->policy->hash ||
         fault_set(fault, FAULT_DENIED,
                   "the policy or the schema has changed since the universe was entered: leave it, "
                   "then enter again");
}

/* Sets are loaded when a statement needs them; scans of tier 1 leave lists to SQLite, which may
** search by them. */
static bool load_sets(Shadow *shadow, bool lists, Fault *fault) {
  Universe *universe = shadow->state->universe;
  for (int i = 0; i < shadow->table->natoms; i++) {
    const int number = shadow->table->atoms[i].set;
    MemberSet *set = &universe->sets[number];
    if (set->loaded || (shadow->table->atoms[i].listed && !lists)) continue;
    if (!shadow->members[number]) {
      Text sql = {0};
      meaning_members(shadow->policy, number, &sql);
      shadow->members[number] =
          query_prepare(shadow->tab.db, sql.oom ? NULL : text_get(&sql), fault);
      text_finish(&sql);
      if (!shadow->members[number]) return false;
    }
    sqlite3_stmt *members = shadow->members[number];
    shadow_bind(shadow->state, members);
    const bool ok = member_load(set, members, fault);
    sqlite3_reset(members);
    if (!ok) return false;
    shadow->state->stats.loaded++;
    shadow->state->stats.members += (sqlite3_int64)member_count(set);
  }
  return true;
}

unsigned shadow_file_version(const Shadow *shadow) {
  unsigned version = 0;
  sqlite3_file_control(shadow->tab.db, "main", SQLITE_FCNTL_DATA_VERSION, &version);
  return version;
}

bool shadow_is_current(const Shadow *shadow) {
  return shadow_file_version(shadow) == shadow->state->file_version;
}

static void unload_sets(const State *state) {
  for (int i = 0; i < policy_sets(state->policy); i++) state->universe->sets[i].loaded = false;
}

static bool sync_surely(Shadow *shadow, bool lists, int transaction, Fault *fault) {
  State *state = shadow->state;
  sqlite3_int64 version;
  if (!read_version(shadow, &version, fault)) return false;
  const bool foreign = !state->synced || version != state->data_version;
  if (foreign && !is_policy_the_same(shadow, fault)) return false;
  if (foreign || state->touched) unload_sets(state);
  if (!load_sets(shadow, lists, fault)) return false;
  state->data_version = version;
  state->file_version = shadow_file_version(shadow);
  state->touched &= transaction == SQLITE_TXN_WRITE;
  state->synced = true;
  return true;
}

/* While a transaction of ours writes nobody else does, and of our own writes we know. */
static bool is_settled(const Shadow *shadow) {
  const State *state = shadow->state;
  return state->universe && shadow->settled == state->universe->serial && state->synced &&
         !state->touched && shadow->policy == state->policy;
}

/* Most statements find nothing changed. Without a transaction that is only known when they read, so
** they are begun and asked afterwards; in one, the snapshot tells. */
bool shadow_sync(Shadow *shadow, Sync sync, Fault *fault) {
  sqlite3 *db = shadow->tab.db;
  const State *state = shadow->state;
  if (is_settled(shadow)) return true;
  vt_internal_enter(shadow->tab.conn);
  bool ok = take_policy(shadow, fault);
  const bool surely = sync & SYNC_SURELY;
  const bool settled = ok && state->synced && !state->touched;
  const int transaction = surely || !settled ? sqlite3_txn_state(db, "main") : SQLITE_TXN_NONE;
  const bool same = transaction == SQLITE_TXN_NONE ? !surely : shadow_is_current(shadow);
  if (settled && same) {
    ok = load_sets(shadow, sync & SYNC_LISTS, fault);
  } else {
    ok = ok && sync_surely(shadow, sync & SYNC_LISTS, transaction, fault);
  }
  if (ok && transaction == SQLITE_TXN_WRITE && sync == (SYNC_LISTS | SYNC_SURELY)) {
    shadow->settled = state->universe->serial;
  }
  vt_internal_leave(shadow->tab.conn);
  return ok;
}
