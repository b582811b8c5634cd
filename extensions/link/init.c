/*
** link: the objects of an application as tables, each row owned by one of its processes. Entry
** point.
**
**   .load ./link
**   CREATE VIRTUAL TABLE carts USING link(id TEXT PRIMARY KEY, total REAL, items TEXT);
**   INSERT INTO carts VALUES ('c42', 9.5, '[]');
**   SELECT total FROM carts WHERE id = 'c42';
*/
#include "extensions/link/tab.h"

static void state_close(void *state) {
  link_peers_close(state);
  link_kept_close(state);
}

static const VtTable *const tables[] = {&link_table, &link_slices_table, &link_nodes_table,
                                        &link_stats_table};

static const VtExtension link_extension = {
    .name = "link",
    .version = VT_VERSION,
    .doc = "Tables whose rows are objects of the processes that use them, and that share them.",
    .tables = tables,
    .ntables = countof(tables),
    .functions = link_functions,
    .nfunctions = LINK_NFUNCTIONS,
    .state_size = sizeof(LinkState),
    .close = state_close,
    .permanent = true, /* it has threads, and watches fork() */
};

VT_EXPORT int sqlite3_link_init(sqlite3 *db, char **err, const sqlite3_api_routines *api);
VT_EXPORT int sqlite3_link_init(sqlite3 *db, char **err, const sqlite3_api_routines *api) {
  return vt_load(db, err, api, &link_extension);
}
