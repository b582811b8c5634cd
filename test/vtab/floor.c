/*
** A host below the floor is refused with a message, before anything newer is called. A program of
** its own, since the first host that a library meets is the one it stays with.
*/
#include "test/vtab/check.h"

static int old_number(void) { return VT_SQLITE_FLOOR - 1; }
static const char *old_version(void) { return "3.37.2"; }

static char *old_mprintf(const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *text = sqlite3_vmprintf(format, args);
  va_end(args);
  return text;
}

int main(void) {
  /* All else is NULL: whoever calls it crashes. */
  const sqlite3_api_routines old = {
      .libversion_number = old_number, .libversion = old_version, .mprintf = old_mprintf};
  char *err = NULL;
  int rc = vt_load(NULL, &err, &old, &demo);
  check(rc == SQLITE_ERROR, "an old host is refused");
  check(err && strcmp(err, "demo: this is SQLite 3.37.2, at least 3.38.0 is needed") == 0,
        "with a message");
  sqlite3_free(err);
  check_start(); /* and the next one, which is new enough, is not */
  sqlite3 *db = open_demo();
  expect(db, "SELECT demo_twice(1)", "2");
  close_demo(db, "closes");
  text_finish(&store_log);
  return check_end();
}
