/*
** Read-only tables, functions and loading.
*/
#include "demo.h"

static const VtTable *const demo_tables[] = {&step_table, &word_table};

static const VtExtension demo = {
    .name = "demo",
    .version = VT_VERSION,
    .doc = "For tests.",
    .tables = demo_tables,
    .ntables = countof(demo_tables),
    .functions = demo_functions,
    .nfunctions = countof(demo_functions),
    .state_size = sizeof(DemoState),
    .open = demo_open,
    .close = demo_close,
};

static int entry(sqlite3 *db, char **err, const sqlite3_api_routines *api) {
  return vt_load(db, err, api, &demo);
}

int main(void) {
  sqlite3 *db;
  sqlite3_auto_extension((void (*)(void))entry);
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) return 1;
  if (sqlite3_exec(db, "SELECT * FROM demo_steps(3), demo_words", NULL, NULL, NULL)) return 1;
  if (sqlite3_close(db) != SQLITE_OK || seeks + in_lists + dones == 0) return 1;
  return last_limit < 0 || last_used == 0 || opened != 1 || closed != 1;
}
