/*
** A library that watches the connection's hooks; built twice, as left.so and right.so, to see two
** libraries share one multiplexer. The build says -DTWIN=left -DTWIN_NAME="left".
**
**   SELECT left_watch(kind), left_seen(kind), left_alive(kind), left_back(kind), left_unwatch(kind)
*/
#include "vtab/vt.h"
#include "vtab/watch.h"

#include <stdio.h>
#include <string.h>

#include "base/array.h"

typedef struct Twin {
  VtWatch *watches[VT_WATCH_KINDS];
  int seen[VT_WATCH_KINDS];
  bool leave_inside; /* unsubscribe from inside the next callback */
} Twin;

static Twin *twin_of(sqlite3_context *ctx) { return vt_state(vt_conn(ctx)); }

static void saw(Twin *twin, VtWatchKind kind) {
  twin->seen[kind]++;
  if (!twin->leave_inside) return;
  twin->leave_inside = false;
  vt_unwatch(twin->watches[kind]);
  twin->watches[kind] = NULL;
}

static int ask(void *ctx, int action, const char *a, const char *b, const char *database,
               const char *accessor) {
  (void)b, (void)database, (void)accessor;
  saw(ctx, VT_WATCH_AUTHORIZER);
  if (action != SQLITE_READ) return SQLITE_OK;
  if (strcmp(a, "deny_" TWIN_NAME) == 0) return SQLITE_DENY;
  return strcmp(a, "ignore_" TWIN_NAME) == 0 || strcmp(a, "ignore") == 0 ? SQLITE_IGNORE
                                                                         : SQLITE_OK;
}

static void preupdate(void *ctx, const VtPreupdate *api, sqlite3 *db, int op, const char *database,
                      const char *table, sqlite3_int64 old_rowid, sqlite3_int64 new_rowid) {
  (void)op, (void)database, (void)table, (void)old_rowid, (void)new_rowid;
  if (api->count(db) > 0) saw(ctx, VT_WATCH_PREUPDATE);
}

static int trace(unsigned event, void *ctx, void *p, void *x) {
  (void)event, (void)p, (void)x;
  saw(ctx, VT_WATCH_TRACE);
  return 0;
}

static int progress(void *ctx) {
  saw(ctx, VT_WATCH_PROGRESS);
  return 0;
}

static int subscribe(VtConn *conn, Twin *twin, VtWatchKind kind) {
  VtWatch **out = &twin->watches[kind];
  switch (kind) {
  case VT_WATCH_AUTHORIZER:
    return vt_watch_authorizer(conn, ask, twin, out);
  case VT_WATCH_PREUPDATE:
    return vt_watch_preupdate(conn, preupdate, twin, out);
  case VT_WATCH_TRACE:
    return vt_watch_trace(conn, SQLITE_TRACE_STMT, trace, twin, out);
  default:
    return vt_watch_progress(conn, TWIN_STEPS, progress, twin, out);
  }
}

static void twin_watch(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  sqlite3_result_int(
      ctx, subscribe(vt_conn(ctx), twin_of(ctx), (VtWatchKind)sqlite3_value_int(argv[0])));
}

static void twin_unwatch(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  VtWatch **watch = &twin_of(ctx)->watches[sqlite3_value_int(argv[0])];
  vt_unwatch(*watch);
  *watch = NULL;
}

static void twin_leave(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc, (void)argv;
  twin_of(ctx)->leave_inside = true;
}

/* The count since the last question. */
static void twin_seen(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  int *seen = &twin_of(ctx)->seen[sqlite3_value_int(argv[0])];
  sqlite3_result_int(ctx, *seen);
  *seen = 0;
}

static void twin_alive(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  sqlite3_result_int(ctx, vt_watch_alive(vt_conn(ctx), (VtWatchKind)sqlite3_value_int(argv[0])));
}

static void twin_back(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  sqlite3_result_int(ctx,
                     vt_watch_reinstall(vt_conn(ctx), (VtWatchKind)sqlite3_value_int(argv[0])));
}

/* Runs SQL as the pack's own; the result code. */
static void twin_inside(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  vt_internal_enter(vt_conn(ctx));
  int rc = sqlite3_exec(sqlite3_context_db_handle(ctx), (const char *)sqlite3_value_text(argv[0]),
                        NULL, NULL, NULL);
  vt_internal_leave(vt_conn(ctx));
  sqlite3_result_int(ctx, rc);
}

static void twin_pack(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc, (void)argv;
  Text names = {0};
  for (const VtConn *each = NULL; (each = vt_next_loaded(vt_conn(ctx), each));) {
    text_addf(&names, "%s ", vt_extension(each)->name);
  }
  vt_result_text(ctx, &names, false);
  text_finish(&names);
}

static const VtFunction functions[] = {
    {.name = TWIN_NAME "_watch", .nargs = 1, .flags = VT_EFFECT, .doc = "x", .scalar = twin_watch},
    {.name = TWIN_NAME "_unwatch",
     .nargs = 1,
     .flags = VT_EFFECT,
     .doc = "x",
     .scalar = twin_unwatch},
    {.name = TWIN_NAME "_leave", .flags = VT_EFFECT, .doc = "x", .scalar = twin_leave},
    {.name = TWIN_NAME "_seen", .nargs = 1, .flags = VT_EFFECT, .doc = "x", .scalar = twin_seen},
    {.name = TWIN_NAME "_alive", .nargs = 1, .flags = VT_EFFECT, .doc = "x", .scalar = twin_alive},
    {.name = TWIN_NAME "_back", .nargs = 1, .flags = VT_EFFECT, .doc = "x", .scalar = twin_back},
    {.name = TWIN_NAME "_inside",
     .nargs = 1,
     .flags = VT_EFFECT,
     .doc = "x",
     .scalar = twin_inside},
    {.name = TWIN_NAME "_pack", .flags = VT_EFFECT, .doc = "x", .scalar = twin_pack},
};

static const VtExtension twin = {
    .name = TWIN_NAME,
    .version = VT_VERSION,
    .doc = "For tests.",
    .functions = functions,
    .nfunctions = (int)countof(functions),
    .state_size = sizeof(Twin),
};

#define ENTRY(name) sqlite3_##name##_init
#define ENTRY_OF(name) ENTRY(name)

VT_EXPORT int ENTRY_OF(TWIN)(sqlite3 *db, char **err, const sqlite3_api_routines *api) {
  return vt_load(db, err, api, &twin);
}
