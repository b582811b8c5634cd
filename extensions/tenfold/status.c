/*
** tenfold_status: which systems of the pack are loaded here, and why the others are not.
**
**   SELECT extension, state, message FROM tenfold_status WHERE state <> 'loaded'
*/
#include "extensions/tenfold/tenfold.h"

#include <string.h>

#include "base/array.h"

enum {
  STATUS_EXTENSION,
  STATUS_STATE,
  STATUS_VERSION,
  STATUS_PATH,
  STATUS_MESSAGE,
  STATUS_DOC,
  STATUS_NCOL
};

static const VtColumn status_cols[] = {
    [STATUS_EXTENSION] = {"extension", "TEXT", VT_OUT, 1, "name of the system"},
    [STATUS_STATE] = {"state", "TEXT", VT_OUT, 4, "loaded, missing or failed"},
    [STATUS_VERSION] = {"version", "TEXT", VT_OUT, 0, "its version, when loaded"},
    [STATUS_PATH] = {"path", "TEXT", VT_OUT, 0, "its file, or where one was looked for"},
    [STATUS_MESSAGE] = {"message", "TEXT", VT_OUT, 0, "why it is not loaded"},
    [STATUS_DOC] = {"doc", "TEXT", VT_OUT, 0, "what it is for"},
};

typedef struct StatusCursor {
  VtCursor cur;
  const Pack *pack;
  const VtConn *other; /* after the members: what else is loaded in the connection */
  int member;          /* PACK_COUNT: at `other` */
} StatusCursor;

static bool is_member(const char *name) {
  for (int i = 0; i < PACK_COUNT; i++) {
    if (strcmp(pack_members[i].name, name) == 0) return true;
  }
  return false;
}

static int status_step(VtCursor *base) {
  StatusCursor *cur = (StatusCursor *)base;
  if (cur->member < PACK_COUNT && ++cur->member < PACK_COUNT) return SQLITE_OK;
  do cur->other = vt_next_loaded(base->tab->conn, cur->other);
  while (cur->other && is_member(vt_extension(cur->other)->name));
  base->eof = cur->other == NULL;
  return SQLITE_OK;
}

static int status_seek(VtCursor *base, const VtPlan *plan) {
  StatusCursor *cur = (StatusCursor *)base;
  (void)plan;
  cur->pack = vt_state(base->tab->conn);
  cur->member = 0;
  cur->other = NULL;
  return SQLITE_OK;
}

static void result_text(sqlite3_context *ctx, const char *text) {
  if (text) sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
}

static int status_column(VtCursor *base, sqlite3_context *ctx, int col) {
  StatusCursor *cur = (StatusCursor *)base;
  static const Attempt nothing;
  bool member = cur->member < PACK_COUNT;
  const Attempt *attempt = member ? &cur->pack->attempts[cur->member] : &nothing;
  const char *name = member ? pack_members[cur->member].name : vt_extension(cur->other)->name;
  const VtExtension *loaded = pack_find(base->tab->conn, name);
  switch (col) {
  case STATUS_EXTENSION:
    result_text(ctx, name);
    break;
  case STATUS_STATE:
    result_text(ctx, loaded ? "loaded" : attempt->message ? "failed" : "missing");
    break;
  case STATUS_VERSION:
    result_text(ctx, loaded ? loaded->version : NULL);
    break;
  case STATUS_PATH:
    result_text(ctx, loaded ? pack_path_of(loaded) : attempt->path);
    break;
  case STATUS_MESSAGE:
    if (loaded) break;
    result_text(ctx, attempt->message ? attempt->message : "no such file");
    break;
  default:
    result_text(ctx, loaded ? loaded->doc : pack_members[cur->member].doc);
  }
  return SQLITE_OK;
}

const VtTable pack_status_table = {
    .name = "tenfold_status",
    .doc = "Which systems of the pack are loaded in this connection, and why the others are not.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .example = "SELECT extension, state FROM tenfold_status WHERE extension IN ('tenfold', 'viz');",
    .cols = status_cols,
    .ncols = STATUS_NCOL,
    .rows = PACK_COUNT + 1,
    .cursor_size = sizeof(StatusCursor),
    .seek = status_seek,
    .step = status_step,
    .column = status_column,
};
