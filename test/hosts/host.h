/*
** What the C hosts share: run one extension's script on one connection, as TAP.
**
** test/hosts/sql/NAME.sql holds statements, and in its first line `-- expect: VALUE` what the last
** of them answers. An extension without a script is asked for its version.
*/
#ifndef TENFOLD_TEST_HOSTS_HOST_H
#define TENFOLD_TEST_HOSTS_HOST_H

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { HOST_ROUNDS = 2 };

static int host_done, host_failed;

static inline void host_check(int ok, const char *name, int round, const char *why) {
  printf("%sok %d - %s, round %d\n", ok ? "" : "not ", ++host_done, name, round);
  if (!ok) printf("# %s\n", why ? why : "out of memory");
  host_failed += !ok;
}

static inline int host_end(void) {
  printf("1..%d\n", host_done);
  return host_failed || !host_done;
}

static inline int host_keep_last(void *last, int count, char **values, char **names) {
  (void)names;
  snprintf(last, 256, "%s", count && values[0] ? values[0] : "NULL");
  return 0;
}

static inline void host_query(sqlite3 *db, const char *folder, const char *name, int round) {
  char path[4096], script[16384] = "", last[256] = "", expected[256] = "1", why[1024];
  char *message = NULL;
  snprintf(path, sizeof path, "%s/%s.sql", folder, name);
  FILE *file = fopen(path, "r");
  if (file) {
    script[fread(script, 1, sizeof script - 1, file)] = '\0';
    fclose(file);
    sscanf(script, "-- expect: %255[^\n]", expected);
  } else {
    snprintf(script, sizeof script, "SELECT %s_version() IS NOT NULL", name);
  }
  int rc = sqlite3_exec(db, script, host_keep_last, last, &message);
  snprintf(why, sizeof why, "result %d (%s), <%s> instead of <%s>", rc,
           message ? message : "no text", last, expected);
  host_check(rc == SQLITE_OK && strcmp(last, expected) == 0, name, round, why);
  sqlite3_free(message);
}

/* Nothing may keep the connection from closing, or its memory from coming back. */
static inline void host_close(sqlite3 *db, const char *name, int round) {
  char why[200];
  int rc = sqlite3_close(db);
  long long used = sqlite3_memory_used();
  snprintf(why, sizeof why, "sqlite3_close() is %d, %lld bytes in use", rc, used);
  host_check(rc == SQLITE_OK, name, round, why);
}

#endif
