/*
** What tests of link tables with several processes share.
*/
#ifndef TENFOLD_TEST_LINK_PROCESSES_H
#define TENFOLD_TEST_LINK_PROCESSES_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static inline void pause_ms(int ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

/* FOLDER/app.db, for all of them, with what the statements make. */
static inline bool make_database(const char *folder, const char *sql) {
  char path[300];
  sqlite3 *db = NULL;
  snprintf(path, sizeof path, "%s/app.db", folder);
  const bool ok = sqlite3_open(path, &db) == SQLITE_OK &&
                  sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL) == SQLITE_OK &&
                  sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
  sqlite3_close(db);
  return ok;
}

#endif
