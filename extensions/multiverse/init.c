/*
** multiverse: functions and entry point.
**
**   INSERT INTO multiverse_rules(tbl, action, rule) VALUES ('Post', 'allow', 'author = :uid');
**   SELECT multiverse_enter('{"uid":7}', ?1);
**   SELECT * FROM Post;
**   SELECT multiverse_leave(?1);
*/
#include "extensions/multiverse/cache.h"
#include "extensions/multiverse/count.h"

void multiverse_sql(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  VtConn *conn = vt_conn(ctx);
  Fault fault = {0};
  Context context = {0};
  Text sql = {0};
  bool same;
  const char *name = func_text(ctx, argv[0], NULL);
  const char *json = name ? func_text(ctx, argv[1], NULL) : NULL;
  if (!json) return;
  vt_internal_enter(conn);
  Policy *policy = policy_load(vt_db(conn), false, 0, &same, &fault);
  const TablePolicy *table = policy ? policy_table(policy, name) : NULL;
  if (policy && !table) fault_set(&fault, FAULT_NOTFOUND, "no rule opens %s", name);
  if (table && context_read(vt_db(conn), json, &context, &fault) &&
      context_suits(&context, policy, &fault)) {
    if (table->count) {
      count_sql(policy, table, &sql);
    } else {
      meaning_sql(policy, table, &context, &sql);
    }
  }
  vt_internal_leave(conn);
  if (fault.code) {
    func_fault(ctx, &fault);
  } else {
    vt_result_text(ctx, &sql, false);
  }
  text_finish(&sql);
  context_finish(&context);
  policy_destroy(policy);
}

static const VtArgument enter_arguments[] = {
    {"context", "TEXT (JSON)", NULL, "who it is for: an object, whose members rules call :name"},
    {"token", "BLOB or TEXT", "NULL",
     "secret of the host's, 16 to 4096 bytes, always bound and never written in SQL; it leaves the "
     "universe or enters another. NULL: there is no way back"},
    {0}};

static const VtArgument leave_arguments[] = {
    {"token", "BLOB or TEXT", NULL, "the one that was given to multiverse_enter()"}, {0}};

static const VtArgument sql_arguments[] = {
    {"tbl", "TEXT", NULL, "a table that the policy opens"},
    {"context", "TEXT (JSON)", NULL, "as of multiverse_enter()"},
    {0}};

static const VtArgument load_arguments[] = {
    {"json", "TEXT (JSON)", NULL,
     "a document like that of multiverse_policy_json(); ids of rules "
     "may be missing"},
    {0}};

static const VtError load_errors[] = {
    {"rules[2]: rule 3 of t: no such column: c (line 1, column 1)", "that rule, counted from 0",
     "as for multiverse_rules; nothing has been changed"},
    {"rules[2]: unknown member \"table\"", "a misspelt name",
     "id, tbl, action, grp, rule, col, value, unless_grp, unless"},
    {"\"rules\" is missing", "half a document", "an empty array where there are none"},
    {0}};

static const VtArgument cache_arguments[] = {
    {"bytes", "INTEGER", "leaves it as it is", "how much memory the rows may take; 0: no cache"},
    {0}};

static const VtArgument member_arguments[] = {
    {"members", "pointer", NULL, "a set; cannot be given in SQL text"},
    {"value", "any", NULL, "what may be in it"},
    {0}};

static const VtError enter_errors[] = {
    {"context: \"c\" is missing, which rules of the policy ask for", "the context",
     "give all parameters of all rules"},
    {"the temporary table \"t\" must be dropped first", "something is in TEMP",
     "enter before anything temporary is made"},
    {"n other statements are still running", "another statement reads",
     "finish or reset it: it would go on showing base rows"},
    {"this connection is in a universe, and the token is not its own", "entered twice",
     "the token of the first time"},
    {0}};

static const VtError cache_errors[] = {
    {"this SQLite has no preupdate hook that an extension can reach …",
     "the host has SQLite in itself, or one without SQLITE_ENABLE_PREUPDATE_HOOK",
     "none is needed: universes work, without a cache"},
    {"a transaction is open", "it may have written what the cache has not been told", "commit it"},
    {0}};

static const VtFunction functions[] = {
    {.name = "multiverse_enter",
     .args = "context [, token]",
     .nargs = 1,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "NULL",
     .doc = "From now on this connection sees what the policy shows this user, and nothing else.",
     .arguments = enter_arguments,
     .errors = enter_errors,
     .scalar = multiverse_enter},
    {.name = "multiverse_view_as",
     .args = "context [, token]",
     .nargs = 1,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "NULL",
     .doc = "Enters the universe of somebody else to look around: what the rules call peephole is "
            "blinded, and nothing can be written.",
     .arguments = enter_arguments,
     .errors = enter_errors,
     .scalar = multiverse_view_as},
    {.name = "multiverse_leave",
     .args = "token",
     .nargs = 1,
     .flags = VT_EFFECT,
     .returns = "NULL",
     .doc = "Back out of the universe.",
     .arguments = leave_arguments,
     .scalar = multiverse_leave},
    {.name = "multiverse_sql",
     .args = "tbl, context",
     .nargs = 2,
     .flags = VT_EFFECT,
     .returns = "TEXT",
     .doc = "The plain SQL that the policy means for a table and a user.",
     .arguments = sql_arguments,
     .scalar = multiverse_sql},
    {.name = "multiverse_policy_json",
     .args = "",
     .nargs = 0,
     .flags = VT_EFFECT | VT_JSON,
     .returns = "TEXT (JSON)",
     .doc = "The whole policy as one document, a line for each group and rule.",
     .scalar = multiverse_policy_json},
    {.name = "multiverse_policy_load",
     .args = "json",
     .nargs = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Puts the policy of a document in the place of the present one, all of it or nothing; "
            "the number of rules.",
     .arguments = load_arguments,
     .errors = load_errors,
     .scalar = multiverse_policy_load},
    {.name = "multiverse_cache",
     .args = "[bytes]",
     .nargs = 0,
     .optional = 1,
     .flags = VT_EFFECT | VT_JSON,
     .returns = "TEXT (JSON)",
     .doc = "Keeps rows in memory for all universes of this connection; tells what it keeps.",
     .arguments = cache_arguments,
     .errors = cache_errors,
     .scalar = multiverse_cache},
    {.name = "multiverse_member",
     .args = "members, value",
     .nargs = 2,
     .flags = VT_READS,
     .returns = "INTEGER",
     .doc = "Is the value in the set? For statements of the extension's own.",
     .arguments = member_arguments,
     .scalar = multiverse_member},
};

static const VtTable *const tables[] = {
    &multiverse_groups_table, &multiverse_rules_table,   &multiverse_table_table,
    &multiverse_row_table,    &multiverse_explain_table, &multiverse_who_table,
    &multiverse_stats_table,  &multiverse_check_table,   &multiverse_diff_table,
    &multiverse_advise_table, &multiverse_count_table,   &multiverse_budget_table};

static int open_state(VtConn *conn, void *pointer, Fault *fault) {
  (void)fault;
  State *state = pointer;
  state->conn = conn;
  state->token_size = -1;
  return SQLITE_OK;
}

static void close_state(void *pointer) {
  State *state = pointer;
  universe_forget(state);
  cache_destroy(state->cache);
  policy_destroy(state->policy);
  map_finish(&state->functions);
  map_finish(&state->taken);
}

static const VtExtension multiverse = {
    .name = "multiverse",
    .version = VT_VERSION,
    .doc = "One database, a private view of it for every user.",
    .tables = tables,
    .ntables = countof(tables),
    .functions = functions,
    .nfunctions = countof(functions),
    .state_size = sizeof(State),
    .open = open_state,
    .close = close_state,
};

VT_EXPORT int sqlite3_multiverse_init(sqlite3 *db, char **err, const sqlite3_api_routines *api) {
  return vt_load(db, err, api, &multiverse);
}
