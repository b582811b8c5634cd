/*
** far: memory that many programs share, as tables. Entry point.
**
**   .load ./far
**   CREATE VIRTUAL TABLE users USING far_map(id INTEGER PRIMARY KEY, name TEXT(40), at='shm:demo');
**   INSERT INTO users VALUES (7, 'Ann');          -- seen by every program that has shm:demo open
*/
#include "base/array.h"
#include "extensions/far/far.h"

static void state_close(void *state) { far_links_close(state); }

static const VtTable *const tables[] = {&far_map_table,       &far_vector_table, &far_queue_table,
                                        &far_histogram_table, &far_take_table,   &far_events_table,
                                        &far_stats_table};

static const VtExtension far_extension = {
    .name = "far",
    .version = VT_VERSION,
    .doc = "Tables in far memory: shared by programs, looked up in one round, safe when they die.",
    .tables = tables,
    .ntables = countof(tables),
    .functions = far_functions,
    .nfunctions = FAR_NFUNCTIONS,
    .state_size = sizeof(FarState),
    .close = state_close,
    .permanent = true, /* it watches fork(), and has threads */
};

VT_EXPORT int sqlite3_far_init(sqlite3 *db, char **err, const sqlite3_api_routines *api);
VT_EXPORT int sqlite3_far_init(sqlite3 *db, char **err, const sqlite3_api_routines *api) {
  return vt_load(db, err, api, &far_extension);
}
