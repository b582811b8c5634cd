/*
** What administrators ask, and the same from plain SQL.
*/
#include "test/multiverse/oracle/oracle.h"

/* A few rows of a table, as r; and all that the user sees of it, as o. */
static void begin(Words *out, int table, const User *user, unsigned first) {
  say(out, "WITH r AS MATERIALIZED (SELECT * FROM %s ORDER BY c0 LIMIT 6 OFFSET %u)",
      tables[table].name, first);
  if (!user) return;
  say(out, ", o(c0, c1, c2, c3, c4, c5) AS (");
  write_oracle(out, table, user);
  say(out, ") ");
}

void ask_explain_visible(Question *out, int table, const User *user, const char *context) {
  const unsigned first = pick(ROWS);
  *out = (Question){0};
  begin(&out->sql, table, NULL, first);
  say(&out->sql,
      " SELECT r.c0, e.verdict FROM r, multiverse_explain('%s', r.c0, '%s') AS e WHERE e.rule IS "
      "NULL",
      tables[table].name, context);
  begin(&out->plain, table, user, first);
  say(&out->plain, "SELECT c0, c0 IN (SELECT c0 FROM o) FROM r");
}

void ask_explain_rewrites(Question *out, int table, const User *user, const char *context) {
  const unsigned first = pick(ROWS);
  *out = (Question){0};
  begin(&out->sql, table, user, first);
  say(&out->sql,
      "SELECT r.c0, e.effect FROM r, multiverse_explain('%s', r.c0, '%s') AS e WHERE r.c0 IN "
      "(SELECT c0 FROM o) AND e.effect LIKE '%% becomes %%' AND substr(e.effect, 5, "
      "instr(e.effect, "
      "' becomes ') - 5) <> substr(e.effect, instr(e.effect, ' becomes ') + 9)",
      tables[table].name, context);
  begin(&out->plain, table, user, first);
  for (int i = 1; i < NCOLS; i++) {
    say(&out->plain,
        "%sSELECT r.c0, 'c%d: ' || quote(r.c%d) || ' becomes ' || quote(o.c%d) FROM r JOIN o ON "
        "o.c0 = r.c0 WHERE quote(r.c%d) <> quote(o.c%d)",
        i > 1 ? " UNION ALL " : "", i, i, i, i, i);
  }
}
