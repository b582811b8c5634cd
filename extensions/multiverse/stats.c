/*
** multiverse_stats: what the connection has done so far.
*/
#include "extensions/multiverse/cache.h"
#include "extensions/multiverse/lines.h"

enum { STATS_NAME, STATS_VALUE, STATS_UNIT, STATS_WHAT, STATS_NCOL };

typedef struct Figure {
  const char *name, *unit, *what;
  sqlite3_int64 value;
} Figure;

static bool tell(LinesCursor *lines, const Figure *figures, size_t n, Fault *fault) {
  for (size_t i = 0; i < n; i++) {
    const Cell cells[STATS_NCOL] = {line_text(figures[i].name), line_integer(figures[i].value),
                                    line_text(figures[i].unit), line_text(figures[i].what)};
    if (!lines_add(lines, cells, fault)) return false;
  }
  return true;
}

static bool tell_work(LinesCursor *lines, const Stats *stats, Fault *fault) {
  const Figure figures[] = {
      {"entered", "universes", "that were entered", stats->entered},
      {"loaded", "groups", "of a user, whose members were read", stats->loaded},
      {"members", "rows", "of those groups", stats->members},
      {"prepared", "statements", "on base tables", stats->prepared},
      {"reused", "statements", "that were prepared before", stats->reused},
      {"scans", "scans", "of base tables", stats->scans},
      {"rows", "rows", "that they passed on", stats->rows},
      {"counted", "rows", "that nobody looked at, and were counted", stats->counted},
      {"counts", "statements", "that counted them", stats->counts},
      {"kept", "counts", "that were known", stats->kept},
      {"caught_up", "scans", "that were looked at after they had been counted", stats->caught_up}};
  return tell(lines, figures, countof(figures), fault);
}

static bool tell_memory(LinesCursor *lines, const State *state, Fault *fault) {
  const Policy *policy = state->policy;
  const Cache *cache = state->cache;
  const StoreSize size = cache && cache->store ? store_size(cache->store) : (StoreSize){0};
  const Figure figures[] = {
      {"universe", "bytes", "of the universe that was left last",
       (sqlite3_int64)state->stats.universe},
      {"policy", "bytes", "of the policy as it was last compiled",
       policy ? (sqlite3_int64)policy->arena.total : 0},
      {"cache", "bytes", "of rows in memory", (sqlite3_int64)size.bytes},
      {"cache_rows", "rows", "in memory", (sqlite3_int64)size.rows},
      {"served", "scans", "that were answered from memory", cache ? cache->stats.served : 0},
      {"passed", "scans", "that the cache left to the base tables",
       cache ? cache->stats.passed : 0}};
  return tell(lines, figures, countof(figures), fault);
}

static int stats_seek(VtCursor *cur, const VtPlan *plan) {
  (void)plan;
  LinesCursor *lines = (LinesCursor *)cur;
  const State *state = vt_state(cur->tab->conn);
  Fault fault = {0};
  lines_begin(lines, STATS_NCOL);
  if (state_is_admin(state, &fault) && tell_work(lines, &state->stats, &fault)) {
    tell_memory(lines, state, &fault);
  }
  return lines_show(lines, &fault);
}

static const VtColumn columns[] = {
    [STATS_NAME] = {"name", "TEXT", VT_OUT, 1, "of the figure"},
    [STATS_VALUE] = {"value", "INTEGER", VT_OUT, 0, "since the connection was opened"},
    [STATS_UNIT] = {"unit", "TEXT", VT_OUT, 0, "of the value"},
    [STATS_WHAT] = {"what", "TEXT", VT_OUT, 0, "it is"}};

const VtTable multiverse_stats_table = {
    .name = "multiverse_stats",
    .doc = "What this connection has done for its universes, and the memory that took.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = columns,
    .ncols = STATS_NCOL,
    .rows = 17,
    .cursor_size = sizeof(LinesCursor),
    .seek = stats_seek,
    .step = lines_step,
    .column = lines_column,
    .done = lines_done,
};
