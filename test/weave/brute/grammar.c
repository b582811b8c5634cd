/*
** The grammar of expressions: which SQL the random rules are made of.
**
** A form is SQL text with places to fill:
**   $p  an alias of pod in reach        $q  another one than the last $p
**   $n  an alias of node                $h  one that the group's key determines
**   $j  an alias of job
**   $c  a comparison   $i  a number, mostly small   $r  a REAL   $K  a key of node   $z  a zone
**   $B  a condition    $N  a number     of single rows
**   $G  a condition    $A  a number     of groups
**   $W  nothing or a WHERE              @xy{…}  the same with only the aliases x, y in reach
** Aliases are one letter: p q a b s x are pods, n m nodes (m is not determined by the group's key),
** j a job.
*/
#include <string.h>

#include "test/weave/brute/case.h"

typedef struct Forms {
  char name;
  const char *const *forms;
} Forms;

/* Stands between the forms that end the recursion and those that go on. */
static const char deeper[] = "deeper";

static const char *const conditions[] = {
    "$p.d IS NULL",
    "$p.d IS NOT NULL",
    "$p.d = $K",
    "$p.d <> $K",
    "$p.d IN ($K, $K)",
    "$p.d NOT IN ($K, $K)",
    "$p.d LIKE 'n%'",
    "$p.d GLOB '*1'",
    "$p.d > $K",
    "$p.d IS NOT $K",
    "$p.d BETWEEN $K AND $K",
    "$p.d IN (SELECT id FROM node WHERE ok)",
    "$p.d NOT IN (SELECT id FROM node WHERE NOT ok)",
    "EXISTS (SELECT 1 FROM node y WHERE y.id = $p.d AND y.zone = $p.grp)",
    "NOT EXISTS (SELECT 1 FROM node y WHERE y.id = $p.d AND y.cap < $p.size)",
    "(SELECT zone FROM node y WHERE y.id = $p.d) = $p.grp",
    "(SELECT zone FROM node y WHERE y.id = $p.d) IS NOT $z",
    "CASE $p.d WHEN $K THEN $p.prio > 0 WHEN $K THEN 1 ELSE $p.size > 1 END",
    "$p.e $c $i",
    "$p.e BETWEEN $i AND $i",
    "$p.e % 2 = 1",
    "$p.e IN ($i, $i)",
    "$p.d COLLATE NOCASE = $K",
    "typeof($p.d) = 'text'",
    "$p.d || 'x' <> 'n1x'",
    "upper($p.d) < 'N2'",
    "$p.prio $c $i",
    "$p.grp = $z",
    "$p.size > $r",
    "$p.d = $q.d",
    "$p.d <> $q.d",
    "$p.d <= $q.d",
    "$p.d IS $q.d",
    "$p.d IS NOT $q.d",
    "$p.e = $q.e",
    "$p.e < $q.e",
    "$p.e <> $q.e",
    "$p.e >= $q.e",
    "(SELECT zone FROM node y WHERE y.id = $p.d) = (SELECT zone FROM node z WHERE z.id = $q.d)",
    "(SELECT zone FROM node y WHERE y.id = $p.d) <> (SELECT zone FROM node z WHERE z.id = $q.d)",
    "$p.d = $n.id",
    "$n.cap >= $p.size",
    "$n.zone = $p.grp",
    "$n.ok",
    "$n.zone IS NOT $z",
    "$j.h = $p.d",
    "$j.h <> $p.d",
    "$j.v > $i",
    "$j.h IN ($K, $K)",
    "$j.v + $p.e < $i",
    "$p.d NOT LIKE '%2'",
    "$p.d IS NOT DISTINCT FROM $q.d",
    "($p.e > 0) IS TRUE",
    "$p.d NOTNULL",
    "round($p.e / 2.0) $c $i",
    "printf('%s/%s', $p.d, $p.grp) <> 'n1/a'",
    "$p.e $c $r",
    "$K = $p.d",
    "$p.e + $q.e $c $i",
    "$p.e * $q.e $c $i",
    "$p.d IN ($q.d, $K)",
    "$p.e NOT BETWEEN $q.e AND 2",
    "NULL",
    "1",
    "(SELECT s.d FROM pod s WHERE s.id = $p.id) = $K",
    "$p.id = (SELECT min(id) FROM pod)",
    "(SELECT s.e FROM pod s WHERE s.id <> $p.id AND s.prio = 2) $c $i",
    deeper,
    "($B OR $B)",
    "($B AND $B)",
    "NOT ($B)",
    "($B OR $B)",
    "$N $c $N",
    "$N $c $i",
    "$N $c $i",
    "CASE WHEN $B THEN $B ELSE $B END",
    "iif($B, $B, $B)",
    "($B) IS NULL",
    "coalesce($B, $i)",
    "($B) = ($B)",
    "($B) <> ($B)",
    "($B) IS NOT ($B)",
    "$N BETWEEN $i AND $N",
    "$N * 0.1 $c 0.3",
    "$p.e * 0.1 + $q.e * 0.1 $c 0.3",
    "($p.e + $q.e) * 0.1 $c 0.3",
    "$N / 3.0 $c 0.1",
    "$N IN ($i, $i)",
    "$p.d IN (SELECT s.d FROM pod s WHERE s.id <> $p.id)",
    "$p.d NOT IN (SELECT s.d FROM pod s WHERE s.id <> $p.id)",
    "$p.d NOT IN (SELECT s.d FROM pod s WHERE s.id <> $p.id AND s.d IS NOT NULL)",
    "$p.d IN (SELECT s.d FROM pod s WHERE s.grp = $p.grp AND s.id <> $p.id)",
    "$p.d IN (SELECT h FROM job)",
    "$p.d NOT IN (SELECT h FROM job WHERE h IS NOT NULL)",
    "EXISTS (SELECT 1 FROM pod s WHERE s.id <> $p.id AND s.d = $p.d)",
    "NOT EXISTS (SELECT 1 FROM pod s WHERE s.id <> $p.id AND s.d = $p.d)",
    "EXISTS (SELECT 1 FROM pod s WHERE s.id <> $p.id AND s.e > $p.e)",
    "EXISTS (SELECT 1 FROM pod s WHERE s.id <> $p.id AND s.d = $p.d AND @s{$B})",
    "NOT EXISTS (SELECT 1 FROM pod s, node y WHERE y.id = s.d AND y.zone = $p.grp)",
    "EXISTS (SELECT 1 FROM job k WHERE k.h = $p.d)",
    "(SELECT count(*) FROM pod s WHERE s.d = $p.d) $c $i",
    "(SELECT count(*) FROM pod s WHERE s.d = $p.d AND @s{$B}) $c $i",
    "(SELECT sum(s.size) FROM pod s WHERE s.d = $p.d) $c $i",
    "(SELECT max(s.e) FROM pod s WHERE s.grp = $p.grp) $c $i",
    "(SELECT avg(s.e) FROM pod s WHERE s.d = $p.d) $c $r",
    "(SELECT count(DISTINCT s.d) FROM pod s WHERE s.grp = $p.grp) $c $i",
    "(SELECT min(c) FROM load) $c $i",
    "(SELECT l.c FROM load l WHERE l.id = $p.d) $c $i",
    "$p.d IN (SELECT l.id FROM load l WHERE l.c $c $i)",
    "$p.id IN (SELECT id FROM placed)",
    "EXISTS (SELECT 1 FROM busy WHERE c > $i)",
    "$p.d NOT IN (SELECT id FROM load WHERE s > $i)",
    "EXISTS (SELECT 1 FROM pod s LEFT JOIN node y ON y.id = s.d WHERE y.id IS NULL)",
    "EXISTS (SELECT 1 FROM pod s WHERE s.d = $p.d AND NOT EXISTS (SELECT 1 FROM job k WHERE "
    "k.h = s.d))",
    "EXISTS (SELECT 1 FROM pod s WHERE s.d = $p.d GROUP BY s.grp HAVING count(*) > 1)",
    "($p.d, $p.e) IN (SELECT s.d, s.e FROM pod s WHERE s.id <> $p.id)",
    "CASE $N WHEN $i THEN $B WHEN $N THEN 0 END",
    "($B) IS TRUE",
    "NOT ($B) OR $B",
    "+$N $c $i",
    "$N IS $N",
    "$N IS NOT $i",
    "nullif($N, $i) $c $i",
    NULL};

static const char *const numbers[] = {"$p.e",
                                      "$p.e",
                                      "$p.size",
                                      "$p.prio",
                                      "$i",
                                      "($p.d IS NOT NULL)",
                                      "length($p.d)",
                                      "(SELECT w FROM node y WHERE y.id = $p.d)",
                                      "(SELECT cap FROM node y WHERE y.id = $p.d)",
                                      "$p.e * 2",
                                      "$p.e * $p.size",
                                      "$p.e / 8.0",
                                      "$p.size * 0.125",
                                      "4294967296 * $p.e",
                                      "(1 + $p.prio) * ($p.d IS NOT NULL)",
                                      "($p.d = $K)",
                                      "CASE $p.d WHEN $K THEN $i WHEN $K THEN $i END",
                                      "CASE WHEN $p.d IS NULL THEN $i ELSE $r END",
                                      "$n.cap",
                                      "$n.w",
                                      "$n.cap",
                                      "$j.v",
                                      "$j.v",
                                      "($j.h = $p.d)",
                                      "($p.d <> $q.d)",
                                      "$p.e - $q.e",
                                      deeper,
                                      "($N + $N)",
                                      "($N - $N)",
                                      "$N * $i",
                                      "-$N",
                                      "abs($N)",
                                      "$N / 2",
                                      "$N % 3",
                                      "$N / 2.0",
                                      "CASE WHEN $B THEN $N ELSE $N END",
                                      "CASE WHEN $B THEN $N END",
                                      "iif($B, $N, $i)",
                                      "coalesce($N, $i)",
                                      "ifnull($N, $N)",
                                      "min($N, $i)",
                                      "max($N, $N)",
                                      "($B)",
                                      "$i * ($B)",
                                      "$p.size * ($B)",
                                      "CAST($N AS REAL)",
                                      "(SELECT count(*) FROM pod s WHERE s.d = $p.d)",
                                      "(SELECT total(s.size) FROM pod s WHERE s.d = $p.d)",
                                      "(SELECT c FROM load l WHERE l.id = $p.d)",
                                      "(SELECT max(s) - min(s) FROM load)",
                                      "(SELECT sum(s.e) FROM pod s WHERE s.grp = $p.grp)",
                                      "CAST($N AS INTEGER)",
                                      "$N * $N",
                                      NULL};

static const char *const group_numbers[] = {
    "count(*)",
    "count(*)",
    "sum($p.size)",
    "sum($p.size)",
    "total($p.size)",
    "count($p.d)",
    "count($p.id)",
    "sum($p.e)",
    "total($p.e)",
    "min($p.e)",
    "max($p.e)",
    "count(DISTINCT $p.d)",
    "count(DISTINCT (SELECT zone FROM node y WHERE y.id = $p.d))",
    "coalesce(sum($p.size), 0)",
    "sum($p.size) FILTER (WHERE $p.prio > 0)",
    "count(*) FILTER (WHERE $p.d = $K)",
    "max($p.size)",
    "min((SELECT w FROM node y WHERE y.id = $p.d))",
    "count(DISTINCT $p.e)",
    "sum($j.v)",
    deeper,
    "sum($N)",
    "sum($N)",
    "total($N)",
    "min($N)",
    "max($N)",
    "count($N)",
    "sum($B)",
    "coalesce(sum($N), $i)",
    "sum($N) FILTER (WHERE $B)",
    "count(*) FILTER (WHERE $B)",
    "count(DISTINCT $N)",
    "sum(DISTINCT $p.e)",
    "($A + $A)",
    "($A - $A)",
    "$A * $i",
    "abs($A - $i)",
    "min($A, $i)",
    "max($A, $A)",
    "$A / 2",
    "$A % 2",
    "CASE WHEN $G THEN $A ELSE $i END",
    "coalesce($A, $i)",
    "iif($G, $i, $A)",
    "max($N) - min($N)",
    "avg($p.e)",
    "avg($p.size) * 2",
    "sum($N) * 0.125",
    "total($N) / count(*)",
    "sum($N) - count(*) * $i",
    "min(count(*), $A)",
    "sum(CASE WHEN $B THEN $N ELSE 0 END)",
    "sum($p.size * ($B))",
    "count(CASE WHEN $B THEN 1 END)",
    "max(CASE WHEN $B THEN $p.size END)",
    "sum($p.e) * (count(*) > $i)",
    "nullif($A, $i)",
    NULL};

static const char *const group_conditions[] = {
    "count(*) $c $i",
    "count(*) <= $i",
    "sum($p.size) $c $i",
    "sum($p.size) <= $h.cap",
    "total($p.size) <= $h.cap",
    "count($p.id) <= $h.cap",
    "count(*) $c $h.cap",
    "$h.ok",
    "count(DISTINCT $p.d) = count(*)",
    "count(DISTINCT $p.d) = count($p.d)",
    "count(DISTINCT $p.d) $c $i",
    "avg($p.e) $c $i",
    "avg($p.size) <= $r",
    "min($p.e) $c $i",
    "max($p.e) $c $i",
    "max($p.e) - min($p.e) <= $i",
    "sum($p.e) BETWEEN $i AND 5",
    "sum($p.e) IS NULL",
    "avg((SELECT w FROM node y WHERE y.id = $p.d)) < $r",
    "count(DISTINCT $p.d) <= 1",
    "min($p.d) > $K",
    deeper,
    "$A $c $i",
    "$A $c $i",
    "$A $c $A",
    "$A BETWEEN $i AND $i",
    "$A $c $h.cap",
    "($G AND $G)",
    "($G OR $G)",
    "NOT ($G)",
    "CASE WHEN $G THEN $G ELSE $G END",
    "coalesce($G, $i)",
    "$A IS NOT NULL",
    "$A IN ($i, $i)",
    "avg($N) $c $i",
    "min($N) $c $i",
    "max($N) $c $i",
    "$h.w * $A <= $i",
    "($G) = ($G)",
    "iif($G, $G, $G)",
    "sum($p.size) * 0.1 <= 0.33",
    "sum($p.size) * 0.1 $c 0.3",
    "total($p.e) / 10 $c 0.3",
    "0.7 - count(*) * 0.1 $c 0.4",
    "avg($p.e) * 0.1 $c 0.1",
    "avg($p.e) $c 0.7",
    "sum($p.size * 0.1) < 0.27",
    "$A IS $i",
    "$A IS NOT $A",
    "total($N) <= $i * count(*)",
    "count(*) = (SELECT count(*) FROM pod s WHERE s.prio > 0)",
    "sum($B) <= 1",
    "sum($B) = count(*)",
    "max($B)",
    "min($B)",
    "sum($N) / 2 $c $i",
    NULL};

static const char *const wheres[] = {"",
                                     "",
                                     "",
                                     " WHERE $p.st = 'P'",
                                     " WHERE $p.prio > 0",
                                     " WHERE $p.d IS NOT NULL",
                                     " WHERE $p.grp = $z AND $p.size > 0",
                                     deeper,
                                     " WHERE $B",
                                     NULL};

static const Forms all_forms[] = {{'B', conditions},
                                  {'N', numbers},
                                  {'A', group_numbers},
                                  {'G', group_conditions},
                                  {'W', wheres}};

/* Which letters of the environment a place may stand for. */
static const char *letters_of(char place) {
  switch (place) {
  case 'p':
  case 'q':
    return "pqabsx";
  case 'n':
    return "nm";
  case 'h':
    return "n";
  default:
    return "j";
  }
}

static int matching(const char *env, char place, char except, char *out) {
  int n = 0;
  for (const char *at = env; *at; at++) {
    if (*at != except && strchr(letters_of(place), *at)) out[n++] = *at;
  }
  return n;
}

/* Can the aliases in reach fill all places? */
static bool usable(const char *form, const char *env) {
  char found[8];
  for (const char *at = form; *at; at++) {
    if (*at == '@') return true; /* what follows has aliases of its own */
    if (*at != '$' || !strchr("pqnhj", at[1])) continue;
    if (matching(env, at[1], 0, found) < (at[1] == 'q' ? 2 : 1)) return false;
  }
  return true;
}

static void expand_one_of(Case *c, sqlite3_str *out, const char *env, char name, int depth) {
  const Forms *forms = all_forms;
  while (forms->name != name) forms++;
  int nleaves = 0, count;
  while (forms->forms[nleaves] != deeper) nleaves++;
  for (count = nleaves + 1; forms->forms[count];) count++;
  const char *form;
  do {
    bool deep = depth > 0 && !one_in(c, 3);
    form = forms->forms[deep ? nleaves + 1 + draw(c, count - nleaves - 1) : draw(c, nleaves)];
  } while (!usable(form, env));
  grammar_expand(c, out, env, form, depth - 1);
}

static void expand_place(Case *c, sqlite3_str *out, const char *env, char place, int depth,
                         char *last) {
  static const char *const comparisons[] = {"<=", "<", "=", ">=", ">", "<>", "<=", ">="};
  static const char *const reals[] = {"0.5", "1.5", "2.25", "0.0", "1.0"};
  char found[8];
  switch (place) {
  case 'c':
    sqlite3_str_appendall(out, comparisons[draw(c, 8)]);
    return;
  case 'i':
    if (numbers_plain(c) || one_in(c, 2)) {
      sqlite3_str_appendf(out, "%d", draw(c, 5));
    } else {
      numbers_constant(c, out);
    }
    return;
  case 'r':
    if (numbers_plain(c)) {
      sqlite3_str_appendall(out, reals[draw(c, 5)]);
    } else {
      numbers_constant(c, out);
    }
    return;
  case 'K':
    sqlite3_str_appendall(out, tables_key(c));
    return;
  case 'z':
    sqlite3_str_appendall(out, one_in(c, 2) ? "'a'" : "'b'");
    return;
  case 'p':
  case 'q':
  case 'n':
  case 'h':
  case 'j':
    break;
  default:
    expand_one_of(c, out, env, place, depth);
    return;
  }
  int n = matching(env, place, place == 'q' ? *last : 0, found);
  char alias = found[draw(c, n)];
  if (place == 'p') *last = alias;
  sqlite3_str_appendchar(out, 1, alias);
}

/* The place behind the closing brace. */
static const char *closing(const char *at) {
  for (int depth = 1; depth > 0; at++) depth += (*at == '{') - (*at == '}');
  return at;
}

void grammar_expand(Case *c, sqlite3_str *out, const char *env, const char *form, int depth) {
  char last = 0;
  for (const char *at = form; *at; at++) {
    if (*at == '$') {
      expand_place(c, out, env, *++at, depth, &last);
    } else if (*at == '@') {
      const char *open = strchr(at, '{'), *end = closing(open + 1);
      char *inner = sqlite3_mprintf("%.*s", (int)(end - open - 2), open + 1);
      char *aliases = sqlite3_mprintf("%.*s", (int)(open - at - 1), at + 1);
      grammar_expand(c, out, aliases, inner, depth);
      sqlite3_free(aliases);
      sqlite3_free(inner);
      at = end - 1;
    } else {
      sqlite3_str_appendchar(out, 1, *at);
    }
  }
}
