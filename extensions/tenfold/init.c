/*
** tenfold: the umbrella. Loads the systems of the pack that lie beside it, and says what there is.
*/
#include "extensions/tenfold/tenfold.h"

#include "base/array.h"

static int open_pack(VtConn *conn, void *state, Fault *fault) {
  (void)fault;
  Pack *pack = state;
  int rc = pack_load(conn, pack);
  if (rc != SQLITE_OK) arena_finish(&pack->arena);
  return rc;
}

static void close_pack(void *state) { arena_finish(&((Pack *)state)->arena); }

static const VtTable *const tables[] = {&pack_about_table, &pack_status_table};

static const VtExtension tenfold = {
    .name = "tenfold",
    .version = VT_VERSION,
    .doc = "The umbrella: loads the systems of the pack that lie beside it.",
    .guide =
        "`.load ./tenfold` loads every extension of the pack found in its own folder. What is\n"
        "missing or cannot be loaded is a row of `tenfold_status`, never a failure.",
    .tables = tables,
    .ntables = (int)countof(tables),
    .state_size = sizeof(Pack),
    .open = open_pack,
    .close = close_pack,
};

VT_EXPORT int sqlite3_tenfold_init(sqlite3 *db, char **err, const sqlite3_api_routines *api) {
  return vt_load(db, err, api, &tenfold);
}
