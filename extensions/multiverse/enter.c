/*
** Into a universe and out of it.
**
** Entering makes a virtual table in TEMP for each table that the policy opens, then locks the
** connection. With the same token the host goes from one user to the next without unlocking; only
** the context changes, and every prepared statement stays.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/cache.h"

enum { TOKEN_SHORTEST = 16, TOKEN_LONGEST = 4096, NO_TOKEN = -1 };

static void universe_destroy(Universe *universe, const Policy *policy) {
  if (!universe) return;
  for (int i = 0; universe->sets && i < policy_sets(policy); i++) member_clear(&universe->sets[i]);
  context_finish(&universe->context);
  free(universe->sets);
  free(universe);
}

static void weigh(State *state) {
  const Universe *universe = state->universe;
  size_t bytes = sizeof *universe + universe->context.arena.total;
  for (int i = 0; i < policy_sets(state->policy); i++) bytes += member_bytes(&universe->sets[i]);
  bytes += (size_t)universe->context.count * (sizeof(char *) + sizeof(sqlite3_value *));
  state->stats.universe = bytes;
}

void universe_forget(State *state) {
  if (state->universe) weigh(state);
  universe_destroy(state->universe, state->policy);
  state->universe = NULL;
  if (state->token) memset(state->token, 0, (size_t)state->token_size);
  free(state->token);
  state->token = NULL;
  state->token_size = NO_TOKEN;
}

bool state_is_admin(const State *state, Fault *fault) {
  return !state->universe || fault_set(fault, FAULT_DENIED, "not inside a universe");
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static bool keep_token(State *state, sqlite3_value *value, Fault *fault) {
  if (!value || sqlite3_value_type(value) == SQLITE_NULL) return true;
  const void *bytes = sqlite3_value_blob(value);
  const int size = sqlite3_value_bytes(value);
  if (size < TOKEN_SHORTEST || size > TOKEN_LONGEST) {
    return fault_set(fault, FAULT_INVALID, "a token of %d bytes, it must have from %d to %d", size,
                     TOKEN_SHORTEST, TOKEN_LONGEST);
  }
  state->token = malloc((size_t)size);
  if (!state->token || !bytes) return fault_oom(fault);
  memcpy(state->token, bytes, (size_t)size);
  state->token_size = size;
  return true;
}

/* In a time that does not tell how much of it is right. */
static bool is_token(const State *state, sqlite3_value *value) {
  if (!value || sqlite3_value_type(value) == SQLITE_NULL || state->token_size == NO_TOKEN) {
    return false;
  }
  const uint8_t *bytes = sqlite3_value_blob(value);
  const int size = sqlite3_value_bytes(value);
  if (size != state->token_size || !bytes) return false;
  unsigned difference = 0;
  for (int i = 0; i < size; i++) difference |= (unsigned)(bytes[i] ^ state->token[i]);
  return difference == 0;
}

/* ---- before entering ------------------------------------------------------------------------- */

/* A statement in the midst of its rows would go on reading base tables. */
static bool is_quiet(sqlite3 *db, Fault *fault) {
  int busy = 0;
  for (sqlite3_stmt *each = sqlite3_next_stmt(db, NULL); each; each = sqlite3_next_stmt(db, each)) {
    busy += sqlite3_stmt_busy(each) != 0;
  }
  if (busy > 1) {
    return fault_set(fault, FAULT_BUSY, "%d other statements are still running", busy - 1);
  }
  return sqlite3_get_autocommit(db) ||
         fault_set(fault, FAULT_BUSY, "a transaction is open: commit or roll it back first");
}

/* What the host left in TEMP could run with the extension's rights, or hide a table. */
static bool is_temp_empty(sqlite3 *db, Fault *fault) {
  sqlite3_stmt *list = query_prepare(
      db, "SELECT type, name FROM temp.sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'",
      fault);
  const int step = list ? query_step(list, fault) : -1;
  if (step == 1) {
    fault_set(fault, FAULT_DENIED, "the temporary %s \"%s\" must be dropped first",
              query_text(list, 0), query_text(list, 1));
  }
  query_finish(list);
  return step == 0;
}

/* What a policy needs in TEMP, table by table. */
static bool run_for(sqlite3 *db, const char *format, const TablePolicy *table, Fault *fault) {
  char *sql = sqlite3_mprintf(format, table->base->name);
  const bool ok = query_run(db, sql, fault);
  sqlite3_free(sql);
  return ok;
}

static bool make_table(sqlite3 *db, const TablePolicy *table, Fault *fault) {
  if (table->count) {
    return run_for(db, "CREATE VIRTUAL TABLE temp.\"%w\" USING multiverse_count", table, fault);
  }
  return run_for(db, "CREATE VIRTUAL TABLE temp.\"%w\" USING multiverse_table", table, fault) &&
         run_for(db, "CREATE VIRTUAL TABLE temp.\"" ROW_PREFIX "%w\" USING multiverse_row", table,
                 fault);
}

static bool make_tables(sqlite3 *db, const Policy *policy, Fault *fault) {
  for (int i = 0; i < policy->ntables; i++) {
    if (!make_table(db, policy->tables[i], fault)) return false;
  }
  return true;
}

static bool drop_tables(sqlite3 *db, const Policy *policy, Fault *fault) {
  for (int i = 0; i < policy->ntables; i++) {
    if (!run_for(db, "DROP TABLE IF EXISTS temp.\"%w\"", policy->tables[i], fault) ||
        !run_for(db, "DROP TABLE IF EXISTS temp.\"" ROW_PREFIX "%w\"", policy->tables[i], fault)) {
      return false;
    }
  }
  return true;
}

/* changes() and last_insert_rowid() are about the connection's past, which is not the user's. */
static bool forget_past(const State *state, Fault *fault) {
  sqlite3 *db = vt_db(state->conn);
  char *sql =
      sqlite3_mprintf("DELETE FROM temp.\"%w\" WHERE 0", state->policy->tables[0]->base->name);
  const bool ok = query_run(db, sql, fault);
  sqlite3_free(sql);
  if (ok) sqlite3_set_last_insert_rowid(db, 0);
  return ok;
}

static bool refresh_policy(State *state, bool blinded, Fault *fault) {
  bool same;
  Policy *policy = policy_load(vt_db(state->conn), blinded, state->policy ? state->policy->hash : 0,
                               &same, fault);
  if (!policy) return same;
  cache_forget_policy(state);
  policy_destroy(state->policy);
  state->policy = policy;
  return true;
}

/* ---- entering -------------------------------------------------------------------------------- */

static Universe *universe_create(State *state, const char *json, Fault *fault) {
  Universe *universe = calloc(1, sizeof *universe);
  if (!universe) {
    fault_oom(fault);
    return NULL;
  }
  universe->sets = calloc((size_t)policy_sets(state->policy) + 1, sizeof *universe->sets);
  universe->serial = ++state->serials;
  const bool ok = (universe->sets || fault_oom(fault)) &&
                  context_read(vt_db(state->conn), json, &universe->context, fault) &&
                  context_suits(&universe->context, state->policy, fault);
  if (ok) return universe;
  universe_destroy(universe, state->policy);
  return NULL;
}

static void unlock(State *state) {
  vt_unwatch(state->guard);
  vt_unwatch(state->veto);
  state->guard = state->veto = NULL;
}

static bool lock(State *state) {
  state->compiled = true;
  state->synced = false;
  if (vt_watch_authorizer(state->conn, guard_ask, state, &state->guard) == SQLITE_OK &&
      vt_watch_trace(state->conn, SQLITE_TRACE_STMT, veto_start, state, &state->veto) ==
          SQLITE_OK) {
    return true;
  }
  unlock(state);
  return false;
}

/* From outside. The last step is the lock; whatever fails before it leaves nothing behind. */
static bool enter(State *state, bool blinded, const char *json, sqlite3_value *token,
                  Fault *fault) {
  sqlite3 *db = vt_db(state->conn);
  if (!is_quiet(db, fault) || !refresh_policy(state, blinded, fault)) return false;
  if (!state->policy->ntables) {
    return fault_set(fault, FAULT_INVALID, "there is no policy: insert into multiverse_rules");
  }
  if (!is_temp_empty(db, fault) || !guard_prepare(state, fault)) return false;
  Universe *universe = universe_create(state, json, fault);
  if (!universe) return false;
  if (make_tables(db, state->policy, fault) && forget_past(state, fault) &&
      keep_token(state, token, fault)) {
    if (lock(state)) {
      state->universe = universe;
      state->stats.entered++;
      return true;
    }
    fault_oom(fault);
  }
  universe_destroy(universe, state->policy);
  universe_forget(state);
  drop_tables(db, state->policy, NULL);
  return false;
}

/* From one universe to another. Should the policy have changed, the first query will find out. */
static bool change(State *state, const char *json, Fault *fault) {
  sqlite3 *db = vt_db(state->conn);
  if (state->policy->blinded) {
    return fault_set(fault, FAULT_DENIED, "this is a view as somebody: leave it first");
  }
  if (!is_quiet(db, fault)) return false;
  Universe *universe = universe_create(state, json, fault);
  if (!universe) return false;
  if (!forget_past(state, fault)) {
    universe_destroy(universe, state->policy);
    return false;
  }
  weigh(state);
  universe_destroy(state->universe, state->policy);
  state->universe = universe;
  state->stats.entered++;
  return true;
}

void multiverse_enter(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  VtConn *conn = vt_conn(ctx);
  State *state = vt_state(conn);
  Fault fault = {0};
  const char *json = func_text(ctx, argv[0], NULL);
  sqlite3_value *token = argc > 1 ? argv[1] : NULL;
  if (!json) return;
  vt_internal_enter(conn);
  bool ok;
  if (!state->universe) {
    ok = enter(state, false, json, token, &fault);
  } else {
    ok = is_token(state, token) ? change(state, json, &fault)
                                : fault_set(&fault, FAULT_DENIED,
                                            "this connection is in a universe, and the token is "
                                            "not its own");
  }
  vt_internal_leave(conn);
  if (!ok) func_fault(ctx, &fault);
}

void multiverse_view_as(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  VtConn *conn = vt_conn(ctx);
  State *state = vt_state(conn);
  Fault fault = {0};
  const char *json = func_text(ctx, argv[0], NULL);
  if (!json) return;
  vt_internal_enter(conn);
  const bool ok =
      state_is_admin(state, &fault) && enter(state, true, json, argc > 1 ? argv[1] : NULL, &fault);
  vt_internal_leave(conn);
  if (!ok) func_fault(ctx, &fault);
}

void multiverse_leave(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  VtConn *conn = vt_conn(ctx);
  State *state = vt_state(conn);
  Fault fault = {0};
  if (!state->universe) {
    func_fail(ctx, SQLITE_ERROR, "no universe has been entered");
    return;
  }
  if (!is_token(state, argv[0])) {
    func_fail(ctx, SQLITE_AUTH, "the token is not the universe's");
    return;
  }
  vt_internal_enter(conn);
  const bool ok = is_quiet(vt_db(conn), &fault) && drop_tables(vt_db(conn), state->policy, &fault);
  vt_internal_leave(conn);
  if (!ok) {
    func_fault(ctx, &fault);
    return;
  }
  unlock(state);
  universe_forget(state);
}
