/*
** Queries.
*/
#include <string.h>

#include "test/multiverse/shared/world.h"

static void predicate(Words *out, const char *alias, const char *other) {
  const int column = (int)pick(NCOLS);
  switch (pick(9)) {
  case 0:
    say(out, "%s.c%d IN (", alias, column);
    literal(out);
    say(out, ", ");
    literal(out);
    say(out, ")");
    break;
  case 1:
    say(out, "%s.c%d BETWEEN ", alias, column);
    literal(out);
    say(out, " AND ");
    literal(out);
    break;
  case 2:
    say(out, "%s.c%d IS %sNULL", alias, column, chance(50) ? "NOT " : "");
    break;
  case 3:
    say(out, "%s.c%d = %s.c%d", alias, column, other, pick(NCOLS));
    break;
  case 4:
    say(out, "%s.c%d %s %s.c%d", alias, column, chance(50) ? "<" : ">=", other, pick(NCOLS));
    break;
  case 5:
    say(out, "%s.c%d LIKE '%c%%'", alias, column, "akx1"[pick(4)]);
    break;
  default:
    say(out, "%s.c%d %s ", alias, column,
        (const char *const[]){"=", "=", "=", "=", "<>", "<", ">", "IS"}[pick(8)]);
    if (chance(20)) {
      say(out, "'k%u'", pick(ROWS));
    } else {
      literal(out);
    }
  }
}

static void where(Words *out, const char *alias, const char *other) {
  say(out, " WHERE ");
  const unsigned n = 1 + pick(3);
  for (unsigned i = 0; i < n; i++) {
    if (i) say(out, chance(80) ? " AND " : " OR ");
    predicate(out, alias, other);
  }
}

static void choose(Words *out, bool *ordered) {
  const char *first = chance(60) ? "T" : "U", *second = *first == 'T' ? "U" : "T";
  unsigned shown;
  *ordered = false;
  switch (pick(8)) {
  case 6:
    say(out, "WITH w AS %s(SELECT c%d AS x, count(*) AS n FROM %s AS a",
        chance(50) ? "MATERIALIZED " : "", pick(NCOLS), first);
    if (chance(60)) where(out, "a", "a");
    say(out, " GROUP BY 1) SELECT %s FROM w", chance(50) ? "count(*)" : "w.n");
    break;
  case 0:
    say(out, "SELECT count(*) FROM %s AS a", first);
    if (chance(70)) where(out, "a", "a");
    break;
  case 1:
    say(out, "SELECT c%d, count(*), sum(c%d), max(c%d) FROM %s AS a", pick(NCOLS), pick(NCOLS),
        pick(NCOLS), first);
    if (chance(60)) where(out, "a", "a");
    say(out, " GROUP BY 1");
    break;
  case 2:
    say(out, "SELECT a.c0, b.c0, a.c%d FROM %s AS a %sJOIN %s AS b ON a.c%d = b.c%d", pick(NCOLS),
        first, chance(30) ? "LEFT " : "", second, pick(NCOLS), pick(NCOLS));
    if (chance(60)) where(out, "a", "b");
    break;
  case 3:
    say(out, "SELECT * FROM %s AS a WHERE c%d IN (SELECT c%d FROM %s AS b", first, pick(NCOLS),
        pick(NCOLS), second);
    where(out, "b", "a");
    say(out, ")");
    break;
  case 4:
    shown = pick(NCOLS);
    say(out, "SELECT c%d, c0 FROM %s AS a", shown, first);
    if (chance(60)) where(out, "a", "a");
    say(out, " ORDER BY c%d %s, c%d, c0", pick(NCOLS), chance(50) ? "DESC" : "", pick(NCOLS));
    /* A column of a key, or one that may be NULL, is not unique: then what is shown decides. */
    if (world.writes)
      say(out, ", c0 COLLATE BINARY, typeof(c0), c%d COLLATE BINARY, typeof(c%d)", shown, shown);
    if (chance(60)) say(out, " LIMIT %u", pick(8));
    if (chance(20)) say(out, " OFFSET %u", pick(4));
    *ordered = true;
    break;
  case 5:
    say(out, "SELECT DISTINCT c%d, typeof(c0) FROM %s AS a", pick(NCOLS), first);
    if (chance(50)) where(out, "a", "a");
    break;
  default:
    say(out, "SELECT * FROM %s AS a", first);
    where(out, "a", "a");
  }
}

void write_query(Words *out, bool *ordered) {
  choose(out, ordered);
  char *offset = strstr(out->at, " OFFSET");
  if (offset && !strstr(out->at, " LIMIT")) *offset = '\0'; /* would be no SQL */
}
