/*
** multiverse_who() by brute force: each user of a small world is asked for.
*/
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/multiverse/oracle/oracle.h"

/* Values of x; texts that look like numbers are left out, since they are one user with them. */
static const char *const xs[] = {"NULL", "0", "1", "2", "3", "4", "1.5", "'a'", "'B'", "'x1'"};
enum { NXS = 10, UIDS = 7 };

sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK) return statement;
  printf("Bail out! %s\n%.3000s\n", sqlite3_errmsg(db), sql);
  exit(1);
}

sqlite3_int64 number(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement = prepare(db, sql);
  if (sqlite3_step(statement) != SQLITE_ROW) {
    printf("Bail out! %s\n%.3000s\n", sqlite3_errmsg(db), sql);
    exit(1);
  }
  const sqlite3_int64 result = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return result;
}

static bool is_visible(sqlite3 *db, int table, const char *key, const User *user) {
  static Words plain, count;
  plain = count = (Words){0};
  write_oracle(&plain, table, user);
  say(&count, "SELECT count(*) FROM (%s) AS o WHERE o.c0 = %s", plain.at, key);
  return number(db, count.at) != 0;
}

/* A row of w tells of a user with this value of the parameter. "Every other x" is other than those
** that are listed for the same uid; a uid of NULL is not "every other uid", which has none. */
static void match(Words *out, const char *param, const char *value) {
  say(out,
      " AND CASE WHEN json_type(context, '$.%s') IS NOT NULL THEN json_extract(context, '$.%s') IS "
      "%s WHEN everyone LIKE '%%every other %s%%' THEN NOT EXISTS (SELECT 1 FROM w AS l WHERE "
      "json_type(l.context, '$.%s') IS NOT NULL AND json_extract(l.context, '$.%s') IS %s%s) ELSE "
      "1 "
      "END",
      param, param, value, param, param, param, value,
      strcmp(param, "x") ? ""
                         : " AND l.context ->> 'uid' IS w.context ->> 'uid' AND "
                           "json_type(l.context, '$.uid') IS json_type(w.context, '$.uid')");
}

static int count_told(sqlite3 *db, int sees, const User *user) {
  Words count = {0};
  char uid[16];
  snprintf(uid, sizeof uid, "%d", user->uid);
  say(&count, "SELECT count(*) FROM temp.w WHERE sees IS %d", sees);
  match(&count, "uid", uid);
  match(&count, "x", user->x);
  return number(db, count.at);
}

/* What the description of those who cannot be listed says. */
static bool is_described(sqlite3 *db, const char *sql, const User *user) {
  char x[64];
  sqlite3_stmt *statement = prepare(db, sql);
  snprintf(x, sizeof x, "SELECT %s", user->x);
  sqlite3_stmt *value = prepare(db, x);
  sqlite3_step(value);
  const int at_uid = sqlite3_bind_parameter_index(statement, ":uid");
  const int at_x = sqlite3_bind_parameter_index(statement, ":x");
  if (at_uid) sqlite3_bind_int(statement, at_uid, user->uid);
  if (at_x) sqlite3_bind_value(statement, at_x, sqlite3_column_value(value, 0));
  const bool seen = sqlite3_step(statement) == SQLITE_ROW;
  sqlite3_finalize(statement);
  sqlite3_finalize(value);
  return seen;
}

static bool check_user(sqlite3 *db, int table, const char *key, const char *sql, const User *user,
                       Words *problem) {
  const bool visible = is_visible(db, table, key, user);
  const int told = count_told(db, 1, user), excepted = count_told(db, 0, user);
  const bool described = sql && is_described(db, sql, user);
  if ((told > 0 || described) == visible && !(told && excepted) && (!sql || described == visible)) {
    return true;
  }
  say(problem, "key %s of %s, uid %d, x %s: told %d, excepted %d, described %d, but visible %d\n",
      key, tables[table].name, user->uid, user->x, told, excepted, described, visible);
  return false;
}

bool check_who(sqlite3 *db, int table, const char *key, Words *problem) {
  Words make = {0};
  bool ok = true;
  say(&make, "CREATE TEMP TABLE w AS SELECT * FROM multiverse_who('%s', %s)", tables[table].name,
      key);
  sqlite3_stmt *statement = prepare(db, make.at);
  if (sqlite3_step(statement) != SQLITE_DONE) {
    say(problem, "%s", sqlite3_errmsg(db));
    ok = false;
  }
  sqlite3_finalize(statement);
  if (!ok) return false;
  sqlite3_stmt *open = prepare(db, "SELECT sql FROM temp.w WHERE sql IS NOT NULL");
  const char *sql =
      sqlite3_step(open) == SQLITE_ROW ? (const char *)sqlite3_column_text(open, 0) : NULL;
  for (int i = 0; ok && i < NXS * UIDS; i++) {
    User user = {.uid = i / NXS};
    strcpy(user.x, xs[i % NXS]);
    ok = check_user(db, table, key, sql, &user, problem);
  }
  sqlite3_finalize(open);
  sqlite3_exec(db, "DROP TABLE temp.w", NULL, NULL, NULL);
  return ok;
}
