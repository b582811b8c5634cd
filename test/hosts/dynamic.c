/*
** A C program that loads the extensions at run time.
**   dynamic BUILD_FOLDER SCRIPT_FOLDER NAME...
*/
#include "test/hosts/host.h"

static sqlite3 *open_with(const char *folder, int count, char **names, int round) {
  sqlite3 *db = NULL;
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) return NULL;
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
  for (int i = 0; i < count; i++) {
    char path[4096];
    char *message = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    int rc = sqlite3_load_extension(db, path, NULL, &message);
    host_check(rc == SQLITE_OK, names[i], round, message);
    sqlite3_free(message);
  }
  return db;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  /* All in one connection, and again: nothing of the first time may stand in the way. */
  for (int round = 1; round <= HOST_ROUNDS; round++) {
    sqlite3 *db = open_with(argv[1], argc - 3, argv + 3, round);
    for (int i = 3; db && i < argc; i++) host_query(db, argv[2], argv[i], round);
    host_close(db, "closes", round);
    host_check(sqlite3_memory_used() == 0, "gives its memory back", round, "memory is in use");
  }
  return host_end();
}
