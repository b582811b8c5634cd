/*
** A C program with the extensions built in: compiled with -DSQLITE_CORE, registered once for all
** connections by sqlite3_auto_extension.
**   static SCRIPT_FOLDER
** EXTENSIONS is X(viz) X(weave) …, whatever there is.
*/
#include "test/hosts/host.h"

#define X(name) int sqlite3_##name##_init(sqlite3 *, char **, const struct sqlite3_api_routines *);
EXTENSIONS
#undef X

typedef void (*Entry)(void);

static const struct {
  const char *name;
  Entry entry;
} extensions[] = {
#define X(name) {#name, (Entry)sqlite3_##name##_init},
    EXTENSIONS
#undef X
};

enum { COUNT = sizeof extensions / sizeof *extensions };

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  for (int i = 0; i < COUNT; i++) {
    host_check(sqlite3_auto_extension(extensions[i].entry) == SQLITE_OK, extensions[i].name, 0, "");
  }
  for (int round = 1; round <= HOST_ROUNDS; round++) {
    sqlite3 *db = NULL;
    int rc = sqlite3_open(":memory:", &db);
    host_check(rc == SQLITE_OK, "opens", round, sqlite3_errmsg(db));
    for (int i = 0; i < COUNT; i++) host_query(db, argv[1], extensions[i].name, round);
    host_close(db, "closes", round);
  }
  sqlite3_reset_auto_extension();
  host_check(sqlite3_memory_used() == 0, "gives its memory back", HOST_ROUNDS, "memory is in use");
  return host_end();
}
