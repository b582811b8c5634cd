/*
** What a statement inside a universe may do: read and write the tables that stand in front, call
** harmless functions, begin and end transactions. Everything else is denied, whatever SQLite may
** come to ask about in the future.
*/
#include <string.h>

#include "extensions/multiverse/multiverse.h"

/* Tables that hold no data of their own. */
static const char *const table_functions[] = {"json_each", "json_tree", "generate_series"};

/* Functions that are harmless elsewhere: total_changes() counts rows that triggers wrote and the
** user may not see. */
static const char *const refused_functions[] = {"total_changes", "load_extension",
                                                "multiverse_member"};
static const char *const own_functions[] = {"multiverse_enter", "multiverse_leave",
                                            "multiverse_version"};

static bool is_among(const char *name, const char *const *names, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!sqlite3_stricmp(names[i], name)) return true;
  }
  return false;
}

/* The length of the name in lower case, or 0 when it is longer than any that is kept. */
static size_t fold(const char *name, char lower[64]) {
  size_t n = 0;
  for (; name[n]; n++) {
    if (n == 63) return 0;
    lower[n] = name[n] >= 'A' && name[n] <= 'Z' ? (char)(name[n] + 32) : name[n];
  }
  return n;
}

/* A table, view or trigger of the host's, or of SQLite's. */
static bool is_taken(const State *state, const char *name) {
  static const char *const prefixes[] = {"sqlite_", "pragma_", "multiverse_"};
  char lower[64];
  const size_t n = fold(name, lower);
  bool taken = !n || map_get(&state->taken, lower, n);
  for (size_t i = 0; n && i < countof(prefixes); i++) {
    taken |= !strncmp(lower, prefixes[i], strlen(prefixes[i]));
  }
  return taken;
}

/* `database` is NULL for a table that no column of is read, named without its schema. The accessor
** is a common table expression, or a view or trigger of main, in which names without a schema mean
** tables of main. */
static bool is_shown(const State *state, const char *table, const char *database,
                     const char *accessor) {
  if (!table || !state->policy || !policy_table(state->policy, table)) return false;
  if (database) return !strcmp(database, "temp");
  return !accessor || !is_taken(state, accessor);
}

/* SQLite asks about a common table expression, too, when no column of it is read. */
static bool is_expression(const State *state, const char *name, const char *column,
                          const char *database) {
  return name && column && !*column && !database && !is_taken(state, name);
}

static bool may_call(const State *state, const char *name) {
  if (!name || is_among(name, refused_functions, countof(refused_functions))) return false;
  if (is_among(name, own_functions, countof(own_functions))) return true;
  char lower[64];
  const size_t n = fold(name, lower);
  return n && map_get(&state->functions, lower, n);
}

static bool may(const State *state, int action, const char *a, const char *b, const char *database,
                const char *accessor) {
  switch (action) {
  case SQLITE_SELECT:
  case SQLITE_RECURSIVE:
  case SQLITE_TRANSACTION:
  case SQLITE_SAVEPOINT:
    return true;
  case SQLITE_READ:
    return is_shown(state, a, database, accessor) || is_expression(state, a, b, database) ||
           (a && is_among(a, table_functions, countof(table_functions)) &&
            !policy_table(state->policy, a));
  case SQLITE_INSERT:
  case SQLITE_DELETE:
  case SQLITE_UPDATE:
    return !state->policy->blinded && !accessor && database && is_shown(state, a, database, NULL);
  case SQLITE_FUNCTION:
    return may_call(state, b);
  default:
    return false;
  }
}

int guard_ask(void *ctx, int action, const char *a, const char *b, const char *database,
              const char *accessor) {
  State *state = ctx;
  state->compiled = true;
  return may(state, action, a, b, database, accessor) ? SQLITE_OK : SQLITE_DENY;
}

/* Everything that the statement returns. */
static bool fill(Map *names, sqlite3_stmt *list, Fault *fault) {
  int step = -1;
  map_finish(names);
  *names = (Map){0};
  while (list && (step = query_step(list, fault)) == 1) {
    const char *name = query_text(list, 0);
    if (map_put(names, name, strlen(name), 1, NULL)) continue;
    fault_oom(fault);
    step = -1;
    break;
  }
  query_finish(list);
  return step == 0;
}

/* The names all of whose overloads are SQLite's own, or innocuous by what their authors say. */
bool guard_prepare(State *state, Fault *fault) {
  sqlite3 *db = vt_db(state->conn);
  return fill(&state->functions,
              query_printf(db, fault,
                           "SELECT lower(name) FROM pragma_function_list GROUP BY 1 "
                           "HAVING min(builtin OR flags & %d) AND NOT max(flags & %d) "
                           "AND lower(name) NOT GLOB 'multiverse_*'",
                           SQLITE_INNOCUOUS, SQLITE_DIRECTONLY),
              fault) &&
         fill(&state->taken,
              query_prepare(db,
                            "SELECT lower(name) FROM main.sqlite_schema UNION "
                            "SELECT lower(name) FROM pragma_module_list",
                            fault),
              fault);
}
