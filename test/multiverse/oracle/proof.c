/*
** What is proven, against all users of a small world and the rows that are there.
*/
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/multiverse/oracle/oracle.h"

static const char *const xs[] = {"NULL", "0", "1", "2", "1.5", "'1'", "'2'", "'a'", "'B'", "'x1'"};
enum { NXS = 10, UIDS = 6, MOST = 64 };

/* Does it change what anybody sees, if this rule is left out? *user is one who sees it. */
static bool matters(sqlite3 *db, int id, User *user) {
  static Words with, without;
  static char query[3 * sizeof with.at];
  const int table = table_of_rule(id);
  for (int i = 0; i < NXS * UIDS; i++) {
    user->uid = i / NXS;
    strcpy(user->x, xs[i % NXS]);
    with = without = (Words){0};
    write_oracle(&with, table, user);
    left_out = id;
    write_oracle(&without, table, user);
    left_out = 0;
    snprintf(query, sizeof query,
             "WITH a AS MATERIALIZED (%s), b AS MATERIALIZED (%s) SELECT EXISTS (SELECT * FROM a "
             "EXCEPT SELECT * FROM b) OR EXISTS (SELECT * FROM b EXCEPT SELECT * FROM a)",
             with.at, without.at);
    if (number(db, query)) return true;
  }
  return false;
}

static bool check_findings(sqlite3 *db, int *proven, Words *problem) {
  sqlite3_stmt *findings = prepare(
      db, "SELECT rule, message FROM multiverse_check WHERE severity = 'warning' AND "
          "(message LIKE '%never applies, whatever%' OR message LIKE '%what it shows, other%' "
          "OR message LIKE '%hides nothing%' OR message LIKE '%has no effect%')");
  int rc, ids[MOST], n = 0;
  char messages[MOST][100];
  while ((rc = sqlite3_step(findings)) == SQLITE_ROW && n < MOST) {
    ids[n] = sqlite3_column_int(findings, 0);
    snprintf(messages[n++], sizeof messages[0], "%s",
             (const char *)sqlite3_column_text(findings, 1));
  }
  if (rc != SQLITE_DONE) say(problem, "multiverse_check: %s\n", sqlite3_errmsg(db));
  sqlite3_finalize(findings);
  if (rc != SQLITE_DONE) return false;
  *proven += n;
  for (int i = 0; i < n; i++) {
    User user;
    if (!matters(db, ids[i], &user)) continue;
    say(problem, "rule %d of a check, \"%s\", but it matters to uid %d, x %s\n", ids[i],
        messages[i], user.uid, user.x);
    return false;
  }
  return true;
}

static bool check_silence(sqlite3 *db, int id, int *proven, Words *problem) {
  Words ask = {0};
  User user;
  say(&ask,
      "SELECT count(*) FROM multiverse_diff(multiverse_policy_json(), "
      "json_remove(multiverse_policy_json(), '$.rules[%d]'))",
      id - 1);
  if (number(db, ask.at) > 0) return true;
  ++*proven;
  if (!matters(db, id, &user)) return true;
  say(problem, "nothing is told of a policy without rule %d, which matters to uid %d, x %s\n", id,
      user.uid, user.x);
  return false;
}

bool check_proven(sqlite3 *db, int *proven, Words *problem) {
  bool ok = check_findings(db, proven, problem);
  for (int i = 0; ok && i < 2; i++) {
    ok = check_silence(db, 1 + (int)pick((unsigned)count_rules()), proven, problem);
  }
  return ok;
}
