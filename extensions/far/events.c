/*
** What has come of what this connection watches.
**
**   SELECT far_watch('users'), far_watch('users', 7), far_watch('hits', NULL, 'shm:demo');
**   SELECT far_wait(1000);                          -- how many events there are, after 1 s at most
**   SELECT name, key, kind FROM far_events;
**   SELECT far_pump('inbox');                       -- or into a table, whose triggers run
**
** Reading far_events forgets nothing by itself, and can be done again; an event that a statement
** has come past is forgotten when far_wait() or far_pump() is called the next time.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"

enum { EVENT_SEQ, EVENT_AT, EVENT_NAME, EVENT_KEY, EVENT_KIND, EVENT_VALUE, EVENT_GAP, EVENT_NCOL };

static const VtColumn event_columns[] = {
    [EVENT_SEQ] = {"seq", "INTEGER", VT_OUT, 0,
                   "number of the event in this connection; they grow"},
    [EVENT_AT] = {"at", "TEXT", VT_OUT, 0, "the far memory"},
    [EVENT_NAME] = {"name", "TEXT", VT_OUT, 0, "of the map or word there"},
    [EVENT_KEY] = {"key", "", VT_OUT, 0, "of the row that is watched; NULL: all of the map"},
    [EVENT_KIND] = {"kind", "TEXT", VT_OUT, 0,
                    "of a row: insert, update or delete, since it was last told; of a map or word: "
                    "change; drop: the map is gone, and the watch; gap: nothing is known to have "
                    "changed, but see there"},
    [EVENT_VALUE] = {"value", "INTEGER", VT_OUT, 0, "of a word, as it was when it was told"},
    [EVENT_GAP] = {"gap", "INTEGER", VT_OUT, 0,
                   "1: the connection was lost and made anew since, so that what came and went "
                   "in between is not told"},
};

/* ---- the table ------------------------------------------------------------------------------- */

typedef struct EventRow {
  int64_t number; /* of the watch */
  int64_t event;
  const char *at;
  char *name;
  bool has_key, has_value, gap;
  int64_t integer_key;
  char *text_key; /* NULL: an integer */
  int text_length;
  FarMapEvent kind;
  uint64_t value;
} EventRow;

typedef struct EventCursor {
  VtCursor base;
  EventRow *rows; /* in the arena: those who read may end watches */
  size_t count, i;
} EventCursor;

static int copy_key(EventCursor *cur, const FarWatched *it, EventRow *out) {
  if (!(out->has_key = it->watch.has_key)) return SQLITE_OK;
  const unsigned char *key = it->watch.key;
  if (far_map_shape(it->watch.map)->kind == FAR_KEY_INTEGER) {
    memcpy(&out->integer_key, key, sizeof out->integer_key);
    return SQLITE_OK;
  }
  out->text_length = key[0] | key[1] << 8;
  out->text_key = arena_alloc(&cur->base.arena, (size_t)out->text_length + 1);
  if (!out->text_key) return SQLITE_NOMEM;
  memcpy(out->text_key, key + 2, (size_t)out->text_length);
  return SQLITE_OK;
}

static int by_event(const void *a, const void *b) {
  const int64_t left = ((const EventRow *)a)->event, right = ((const EventRow *)b)->event;
  return (left > right) - (left < right);
}

static int copy_events(EventCursor *cur, const FarState *state) {
  size_t n = 0;
  for (const FarWatched *it = state->watched; it; it = it->next) n += it->has_event;
  cur->count = cur->i = 0;
  if (!(cur->rows = arena_array(&cur->base.arena, n + 1, sizeof *cur->rows))) return SQLITE_NOMEM;
  for (const FarWatched *it = state->watched; it; it = it->next) {
    EventRow *row = &cur->rows[cur->count];
    if (!it->has_event) continue;
    *row = (EventRow){.number = it->number,
                      .event = it->event,
                      .at = far_at(it->link->memory),
                      .name = arena_strdup(&cur->base.arena, it->name),
                      .has_value = it->word && it->kind != FAR_MAP_SAME,
                      .gap = it->gap,
                      .kind = it->kind,
                      .value = it->value};
    if (!row->name || copy_key(cur, it, row) != SQLITE_OK) return SQLITE_NOMEM;
    cur->count++;
  }
  qsort(cur->rows, cur->count, sizeof *cur->rows, by_event);
  return SQLITE_OK;
}

static void stand(EventCursor *cur) {
  cur->base.eof = cur->i == cur->count;
  if (cur->base.eof) return;
  const EventRow *row = &cur->rows[cur->i];
  far_watched_read(vt_state(cur->base.tab->conn), row->number, row->event);
}

static int events_seek(VtCursor *base, const VtPlan *plan) {
  EventCursor *cur = (EventCursor *)base;
  FarState *state = vt_state(base->tab->conn);
  Stop stop = {.asked = vt_asked, .ctx = &base->poll};
  Fault fault = {0};
  (void)plan;
  if (!far_watched_hear(state, 0, &stop, &fault)) return vt_fault(base->tab, &fault);
  const int rc = copy_events(cur, state);
  if (rc == SQLITE_OK) stand(cur);
  return rc;
}

static int events_step(VtCursor *base) {
  EventCursor *cur = (EventCursor *)base;
  cur->i++;
  stand(cur);
  return SQLITE_OK;
}

static int events_column(VtCursor *base, sqlite3_context *ctx, int col) {
  static const char *const kinds[] = {
      [FAR_MAP_SAME] = "gap",       [FAR_MAP_CHANGED] = "change", [FAR_MAP_INSERTED] = "insert",
      [FAR_MAP_UPDATED] = "update", [FAR_MAP_DELETED] = "delete", [FAR_MAP_DROPPED] = "drop"};
  const EventCursor *cur = (EventCursor *)base;
  const EventRow *row = &cur->rows[cur->i];
  switch (col) {
  case EVENT_SEQ:
    sqlite3_result_int64(ctx, row->event);
    break;
  case EVENT_AT:
    sqlite3_result_text(ctx, row->at, -1, SQLITE_TRANSIENT);
    break;
  case EVENT_NAME:
    sqlite3_result_text(ctx, row->name, -1, SQLITE_TRANSIENT);
    break;
  case EVENT_KEY:
    if (row->text_key) {
      sqlite3_result_text(ctx, row->text_key, row->text_length, SQLITE_TRANSIENT);
    } else if (row->has_key) {
      sqlite3_result_int64(ctx, row->integer_key);
    }
    break;
  case EVENT_KIND:
    sqlite3_result_text(ctx, kinds[row->kind], -1, SQLITE_STATIC);
    break;
  case EVENT_VALUE:
    if (row->has_value) sqlite3_result_int64(ctx, (sqlite3_int64)row->value);
    break;
  default:
    sqlite3_result_int(ctx, row->gap);
  }
  return SQLITE_OK;
}

const VtTable far_events_table = {
    .name = "far_events",
    .doc =
        "What has come of what far_watch() watches, in the order in which it was heard: one event "
        "of each watch, which is the newest. Reading it forgets nothing; what was read is "
        "forgotten with the next far_wait() or far_pump().",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .rows = 10,
    .cols = event_columns,
    .ncols = EVENT_NCOL,
    .cursor_size = sizeof(EventCursor),
    .seek = events_seek,
    .step = events_step,
    .column = events_column,
};

/* ---- functions ------------------------------------------------------------------------------- */

typedef bool Act(FarState *state, const char *name, sqlite3_value *key, const char *at, bool *out,
                 Stop *stop, Fault *fault);

static void act_on(sqlite3_context *ctx, int argc, sqlite3_value **argv, Act *act) {
  VtConn *conn = vt_conn(ctx);
  const bool has_at = argc > 2 && sqlite3_value_type(argv[2]) != SQLITE_NULL;
  const char *name = func_text(ctx, argv[0], NULL);
  const char *at = has_at && name ? func_text(ctx, argv[2], NULL) : NULL;
  Fault fault = {0};
  bool changed = false;
  if (!name || (has_at && !at)) return;
  if (!at && !far_tab_wake(conn, name)) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  VtPoll poll = vt_poll_begin(conn);
  Stop stop = {.asked = vt_asked, .ctx = &poll};
  if (act(vt_state(conn), name, argc > 1 ? argv[1] : NULL, at, &changed, &stop, &fault)) {
    sqlite3_result_int(ctx, changed);
  } else {
    func_fault(ctx, &fault);
  }
  vt_poll_end(&poll);
}

void far_sql_watch(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  act_on(ctx, argc, argv, far_watched_begin);
}

void far_sql_unwatch(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  act_on(ctx, argc, argv, far_watched_end);
}

/* What was read is forgotten, and what has come is taken: false after an error. */
static bool hear(sqlite3_context *ctx, int64_t wait_ns) {
  VtConn *conn = vt_conn(ctx);
  Fault fault = {0};
  VtPoll poll = vt_poll_begin(conn);
  Stop stop = {.asked = vt_asked, .ctx = &poll};
  far_watched_forget(vt_state(conn));
  /* What is there already is not waited for. */
  if (far_watched_unread(vt_state(conn))) wait_ns = 0;
  const bool ok = far_watched_hear(vt_state(conn), wait_ns, &stop, &fault);
  if (!ok) func_fault(ctx, &fault);
  vt_poll_end(&poll);
  return ok;
}

void far_sql_wait(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  const FarState *state = vt_state(vt_conn(ctx));
  const sqlite3_int64 ms = sqlite3_value_int64(argv[0]);
  (void)argc;
  if (ms < 0 || ms > 1000000000) {
    func_fail(ctx, SQLITE_RANGE, "a wait of 0 to 10^9 ms, not %lld", (long long)ms);
  } else if (!state->watched) {
    func_fail(ctx, SQLITE_ERROR, "nothing is watched: see far_watch()");
  } else if (hear(ctx, ms * 1000000)) {
    sqlite3_result_int(ctx, far_watched_unread(state));
  }
}

/* The columns of the table that an event has: "seq, name". NULL after an error. */
static char *common_columns(sqlite3_context *ctx, const char *table) {
  sqlite3 *db = sqlite3_context_db_handle(ctx);
  sqlite3_stmt *stmt = NULL;
  sqlite3_str *list = sqlite3_str_new(db);
  char *sql = sqlite3_mprintf("SELECT * FROM \"%w\"", table);
  int n = 0;
  int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  if (rc != SQLITE_OK && rc != SQLITE_NOMEM) func_fail(ctx, rc, "%s", sqlite3_errmsg(db));
  for (int i = 0; rc == SQLITE_OK && i < sqlite3_column_count(stmt); i++) {
    const char *name = sqlite3_column_name(stmt, i);
    if (!name) rc = SQLITE_NOMEM;
    for (int j = 0; name && j < EVENT_NCOL; j++) {
      if (!sqlite3_stricmp(name, event_columns[j].name))
        sqlite3_str_appendf(list, "%s\"%w\"", n++ ? ", " : "", name);
    }
  }
  sqlite3_finalize(stmt);
  if (rc == SQLITE_OK && !n)
    func_fail(ctx, rc = SQLITE_ERROR, "table \"%s\" has no column of far_events", table);
  char *columns = sqlite3_str_finish(list);
  if (rc == SQLITE_OK && !columns) rc = SQLITE_NOMEM;
  if (rc == SQLITE_NOMEM) sqlite3_result_error_nomem(ctx);
  if (rc == SQLITE_OK) return columns;
  sqlite3_free(columns);
  return NULL;
}

static int insert_events(sqlite3_context *ctx, const char *table, const char *columns) {
  sqlite3 *db = sqlite3_context_db_handle(ctx);
  char *sql = sqlite3_mprintf("INSERT INTO \"%w\"(%s) SELECT %s FROM far_events ORDER BY seq",
                              table, columns, columns);
  if (!sql) {
    sqlite3_result_error_nomem(ctx);
    return SQLITE_NOMEM;
  }
  const int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
  sqlite3_free(sql);
  if (rc == SQLITE_NOMEM) {
    sqlite3_result_error_nomem(ctx);
  } else if (rc != SQLITE_OK) {
    func_fail(ctx, rc, "%s", sqlite3_errmsg(db));
  }
  return rc;
}

void far_sql_pump(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  FarState *state = vt_state(vt_conn(ctx));
  const char *table = func_text(ctx, argv[0], NULL);
  (void)argc;
  if (!table || !hear(ctx, 0)) return;
  char *columns = common_columns(ctx, table);
  if (!columns) return;
  if (insert_events(ctx, table, columns) == SQLITE_OK) {
    sqlite3_result_int(ctx, far_watched_forget(state));
  } else {
    far_watched_keep(state);
  }
  sqlite3_free(columns);
}
