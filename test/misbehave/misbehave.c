/*
** An extension that does everything an extension must not do, so that the fixture runner can be
** seen to notice. Never installed.
*/
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3ext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
SQLITE_EXTENSION_INIT1

static void *volatile kept; /* volatile: nothing here may be optimized away */

static void *nap(void *ctx) {
  nanosleep(&(struct timespec){.tv_sec = 3}, NULL);
  return ctx;
}

static void deed_thread(sqlite3 *db) {
  pthread_t thread;
  (void)db;
  if (pthread_create(&thread, NULL, nap, NULL) == 0) pthread_detach(thread);
}

static void deed_child(sqlite3 *db) {
  (void)db;
  if (fork() == 0) _exit(0);
}

static void deed_busy(sqlite3 *db) {
  static sqlite3_stmt *statement;
  sqlite3_prepare_v2(db, "SELECT 1", -1, &statement, NULL);
}

static void deed_stdout(sqlite3 *db) {
  (void)db;
  puts("hello from inside");
}

static void deed_descriptor(sqlite3 *db) {
  (void)db;
  kept = (void *)(size_t)open("/dev/null", O_RDONLY);
}

static void deed_leak(sqlite3 *db) {
  (void)db;
  kept = sqlite3_malloc(100);
}

static void deed_lost(sqlite3 *db) {
  (void)db;
  kept = malloc(100);
  kept = NULL;
}

static void deed_crash(sqlite3 *db) {
  (void)db;
  abort();
}

static void deed_slow(sqlite3 *db) {
  (void)db;
  nap(NULL);
}

static void deed_unchecked(sqlite3 *db) {
  (void)db;
  volatile char *text = malloc(16);
  text[0] = '!';
  free((void *)text);
}

static const struct {
  const char *name;
  void (*deed)(sqlite3 *db);
} deeds[] = {
    {"busy", deed_busy},     {"child", deed_child},
    {"crash", deed_crash},   {"descriptor", deed_descriptor},
    {"leak", deed_leak},     {"lost", deed_lost},
    {"slow", deed_slow},     {"stdout", deed_stdout},
    {"thread", deed_thread}, {"unchecked", deed_unchecked},
};

/* misbehave('deed'): does it, answers 1. */
static void misbehave(sqlite3_context *context, int count, sqlite3_value **values) {
  const char *name = (const char *)sqlite3_value_text(values[0]);
  (void)count;
  for (size_t i = 0; name && i < sizeof deeds / sizeof *deeds; i++) {
    if (strcmp(deeds[i].name, name) == 0) deeds[i].deed(sqlite3_context_db_handle(context));
  }
  sqlite3_result_int(context, 1);
}

/* misbehave_size(n): n where memory is had, else 0 instead of an error. misbehave_well(n): right.
 */
static void size_of(sqlite3_context *context, int count, sqlite3_value **values) {
  void *volatile memory = malloc((size_t)sqlite3_value_int(values[0]));
  (void)count;
  if (memory) {
    sqlite3_result_value(context, values[0]);
  } else if (sqlite3_user_data(context)) {
    sqlite3_result_int(context, 0);
  } else {
    sqlite3_result_error_nomem(context);
  }
  free(memory);
}

__attribute__((visibility("default"))) int sqlite3_misbehave_init(sqlite3 *db, char **error,
                                                                  const sqlite3_api_routines *api);
int sqlite3_misbehave_init(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
  SQLITE_EXTENSION_INIT2(api);
  (void)error;
  int rc = sqlite3_create_function(db, "misbehave", 1, SQLITE_UTF8 | SQLITE_INNOCUOUS, NULL,
                                   misbehave, NULL, NULL);
  if (rc) return rc;
  rc = sqlite3_create_function(db, "misbehave_size", 1, SQLITE_UTF8 | SQLITE_INNOCUOUS,
                               (void *)deeds, size_of, NULL, NULL);
  if (rc) return rc;
  return sqlite3_create_function(db, "misbehave_well", 1, SQLITE_UTF8, NULL, size_of, NULL, NULL);
}
