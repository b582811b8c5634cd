/*
** The rules of a case: which shapes of SELECT the expressions of grammar.c are put into.
*/
#include <string.h>

#include "test/weave/brute/case.h"

/* Helper views, which rules may read; not rules themselves. */
static const char helpers[] =
    "CREATE VIEW load AS SELECT n.id, n.zone, n.cap, total(p.size) AS s, count(p.id) AS c, "
    "sum(p.e) AS e FROM node n LEFT JOIN pod p ON p.d = n.id GROUP BY n.id;\n"
    "CREATE VIEW placed AS SELECT p.id, p.grp, p.size, p.prio, p.st, p.d, p.e, n.zone, n.cap "
    "FROM pod p JOIN node n ON n.id = p.d;\n"
    "CREATE VIEW flat AS SELECT id, grp, size, prio, st, d, coalesce(e, 0) + 1 AS e FROM pod "
    "WHERE prio > 0 OR d IS NOT NULL;\n"
    "CREATE VIEW busy AS SELECT zone, sum(c) AS c, max(s) AS s FROM load GROUP BY zone;\n";

/* ! : the columns beside `must` name the row. */
static const char *const musts[] = {
    "!SELECT p.id, @p{$B} AS must FROM pod p@p{$W}",
    "!SELECT p.id, @p{$B} AS must FROM pod p@p{$W}",
    "!SELECT p.id, n.id AS n, @pn{$B} AS must FROM pod p JOIN node n ON n.id = p.d@p{$W}",
    "!SELECT p.id, n.id AS n, @pn{$B} AS must FROM node n, pod p WHERE n.id = p.d AND n.ok",
    "!SELECT p.id, n.id AS n, @pn{$B} AS must FROM pod p, node n WHERE @pn{$B}",
    "!SELECT a.id, b.id AS other, @ab{$B} AS must FROM pod a JOIN pod b ON b.id > a.id",
    "!SELECT a.id, b.id AS other, @ab{$p.d <> $q.d} AS must FROM pod a JOIN pod b ON b.id > a.id",
    "!SELECT a.id, b.id AS other, @ab{$p.d $c $q.d} AS must FROM pod a JOIN pod b ON b.id > a.id "
    "AND b.grp = a.grp",
    "!SELECT a.id, b.id AS other, @ab{$p.e $c $q.e} AS must FROM pod a, pod b WHERE b.id > a.id",
    "!SELECT a.id, b.id AS other, @ab{$B} AS must FROM pod a JOIN pod b ON b.d = a.d AND b.id > "
    "a.id",
    "!SELECT a.id, b.id AS other, n.id AS n, @abn{$B} AS must FROM pod a, pod b, node n "
    "WHERE a.d = n.id AND b.d = n.id AND a.id < b.id",
    "!SELECT n.id, p.id AS p, @pn{$B} AS must FROM node n LEFT JOIN pod p ON p.d = n.id",
    "!SELECT n.id, p.id AS p, @pn{$B} AS must FROM node n LEFT JOIN pod p ON p.d = n.id AND @p{$B}",
    "!SELECT p.id, n.id AS n, @pn{$B} AS must FROM pod p LEFT JOIN node n ON n.id = p.d@p{$W}",
    "!SELECT j.id, p.id AS p, @pj{$B} AS must FROM job j JOIN pod p ON p.d = j.h",
    "!SELECT j.id, p.id AS p, @pj{$B} AS must FROM job j, pod p",
    "!SELECT p.id, @p{$B} AS must FROM pod p JOIN (SELECT id AS d, ok FROM node) USING (d) WHERE "
    "ok",
    "!SELECT p.id, j.id AS j, @pj{$B} AS must FROM pod p LEFT JOIN job j ON j.h = p.d",
    "!SELECT p.id, n.id AS n, j.id AS j, @pnj{$B} AS must FROM pod p JOIN node n ON n.id = p.d "
    "LEFT "
    "JOIN job j ON j.h = n.id",
    "!SELECT n.id, p.id AS p, @pn{$B} AS must FROM pod p RIGHT JOIN node n ON p.d = n.id",
    "!SELECT n.id, p.id AS p, a.id AS a, @pan{$B} AS must FROM node n LEFT JOIN pod p ON p.d = "
    "n.id "
    "LEFT JOIN pod a ON a.d = n.id AND a.id > p.id",
    "!SELECT p.id, v.column1 AS v, @p{$p.e} @p{$c} v.column1 AS must FROM pod p, (VALUES (1), (2)) "
    "v "
    "WHERE @p{$B}",
    "!SELECT z.zone, p.id, @p{$B} AS must FROM pod p, (SELECT DISTINCT zone FROM node) z WHERE "
    "(SELECT zone FROM node y WHERE y.id = p.d) = z.zone",
    "!SELECT n.id, @pn{$G} AS must FROM node n JOIN pod p ON p.d = n.id@p{$W} GROUP BY n.id",
    "!SELECT n.id, @pn{$G} AS must FROM node n JOIN pod p ON p.d = n.id@p{$W} GROUP BY n.id",
    "!SELECT n.id, @pn{$G} AS must FROM node n JOIN pod p ON p.d = n.id GROUP BY n.id HAVING "
    "@pn{$G}",
    "!SELECT n.id, @pn{$G} AS must FROM node n LEFT JOIN pod p ON p.d = n.id GROUP BY n.id",
    "!SELECT n.id, @pn{$G} AS must FROM node n LEFT JOIN pod p ON p.d = n.id AND @p{$B} GROUP BY "
    "n.id",
    "!SELECT n.id, @pn{$G} AS must FROM node n LEFT JOIN pod p ON p.d = n.id@p{$W} GROUP BY n.id",
    "!SELECT n.zone, @pm{$G} AS must FROM node m JOIN pod p ON p.d = m.id, node n ON n.id = m.id "
    "GROUP BY n.zone",
    "SELECT m.zone, @pm{$G} AS must FROM node m JOIN pod p ON p.d = m.id GROUP BY m.zone",
    "SELECT p.d AS k, @p{$G} AS must FROM pod p@p{$W} GROUP BY p.d",
    "SELECT p.d AS k, p.grp, @p{$G} AS must FROM pod p GROUP BY p.d, p.grp",
    "SELECT p.e AS k, @p{$G} AS must FROM pod p GROUP BY p.e HAVING @p{$G}",
    "SELECT @p{$G} AS must FROM pod p GROUP BY (SELECT zone FROM node y WHERE y.id = p.d)",
    "SELECT @p{$G} AS must FROM pod p GROUP BY p.d IS NULL",
    "SELECT p.d AS k, @p{$G} AS must FROM pod p GROUP BY 1",
    "SELECT j.h AS k, @pj{$G} AS must FROM job j JOIN pod p ON p.d = j.h GROUP BY j.h",
    "!SELECT p.grp, @pj{$G} AS must FROM pod p LEFT JOIN job j ON j.h = p.d GROUP BY p.grp",
    "!SELECT z.zone, max(c) - min(c) <= @p{$i} AS must FROM (SELECT m.zone, m.id, count(p.id) AS c "
    "FROM node m LEFT JOIN pod p ON p.d = m.id GROUP BY m.id) z GROUP BY z.zone",
    "!SELECT a.id, b.id AS other, a.c @p{$c} b.c AS must FROM load a JOIN load b ON b.id > a.id",
    "!SELECT l.id, p.id AS p, @p{$B} AS must FROM load l JOIN pod p ON p.d = l.id WHERE l.c > 1",
    "!SELECT l.id, @p{$G} AS must FROM load l JOIN pod p ON p.d = l.id WHERE l.s > 1 GROUP BY l.id",
    "!WITH l AS (SELECT grp, sum(@p{$N}) AS c FROM pod p GROUP BY grp) SELECT a.grp, b.grp AS "
    "other, "
    "a.c @p{$c} b.c AS must FROM l a, l b WHERE a.grp < b.grp",
    "SELECT id, @x{$B} AS must FROM placed x ORDER BY id",
    "!SELECT n.id, n.cap @p{$c $i} AS must FROM node n",
    "SELECT 1 AS k, sum(c) @p{$c $i} AS must FROM (SELECT count(*) AS c FROM pod p WHERE @p{$B} "
    "UNION "
    "ALL SELECT count(*) FROM job j WHERE @j{$B})",
    "!SELECT p.grp, @p{$G} AS must FROM pod p@p{$W} GROUP BY p.grp",
    "!SELECT p.grp, @p{$G} AS must FROM pod p GROUP BY p.grp HAVING @p{$G}",
    "!SELECT @p{$G} AS must FROM pod p@p{$W}",
    "!SELECT @p{$G} AS must FROM pod p@p{$W}",
    "!SELECT @pj{$G} AS must FROM pod p, job j WHERE j.h = p.d",
    "!SELECT j.id, @pj{$G} AS must FROM job j LEFT JOIN pod p ON p.d = j.h GROUP BY j.id",
    "!SELECT n.id, (SELECT count(*) FROM pod s WHERE s.d = n.id) @p{$c $i} AS must FROM node n",
    "!SELECT n.id, (SELECT total(s.size) FROM pod s WHERE s.d = n.id) <= n.cap AS must FROM node n",
    "!SELECT n.id, EXISTS (SELECT 1 FROM pod s WHERE s.d = n.id AND @s{$B}) AS must FROM node n",
    "!SELECT n.id, NOT EXISTS (SELECT 1 FROM pod s WHERE s.d = n.id AND @s{$B}) AS must FROM node "
    "n "
    "WHERE NOT n.ok",
    "!SELECT n.id, n.id NOT IN (SELECT s.d FROM pod s WHERE @s{$B}) AS must FROM node n",
    "!SELECT max(s) - min(s) <= @p{$i} AS must FROM load",
    "!SELECT zone, sum(c) @p{$c $i} AS must FROM load GROUP BY zone",
    "!SELECT id, s @p{$c} coalesce(cap, 1) AS must FROM load",
    "!SELECT id, e IS NULL OR e @p{$c $i} AS must FROM load WHERE c > 0",
    "!SELECT zone, c @p{$c $i} AS must FROM busy",
    "!SELECT count(*) @p{$c $i} AS must FROM busy WHERE s > 1",
    "!SELECT x.id, @x{$B} AS must FROM flat x",
    "!SELECT x.grp, @x{$G} AS must FROM flat x GROUP BY x.grp",
    "!SELECT x.id, x.size <= x.cap AS must FROM placed x",
    "SELECT zone, @x{$G} AS must FROM placed x GROUP BY zone",
    "SELECT x.id, @x{$B} AS must FROM (SELECT * FROM pod p WHERE @p{$B}) x",
    "!SELECT x.id, @x{$B} AS must FROM (SELECT * FROM pod UNION ALL SELECT * FROM flat) x",
    "!WITH l AS (SELECT n.id AS id, count(p.id) AS c FROM node n LEFT JOIN pod p ON p.d = n.id "
    "GROUP BY n.id) SELECT id, c @p{$c $i} AS must FROM l",
    "!WITH l(z, c) AS (SELECT m.zone, sum(@p{$N}) FROM pod p JOIN node m ON m.id = p.d GROUP BY "
    "m.zone) SELECT max(c) <= @p{$i} AS must FROM l",
    "SELECT p.id AS k, @p{$B} AS must FROM pod p UNION ALL SELECT n.id, @pn{$G} FROM node n JOIN "
    "pod p ON p.d = n.id GROUP BY n.id",
    NULL};

/* None of this can be linearised: it has to be refused, or to make no difference. */
static const char *const refused[] = {
    "SELECT p.id, count(*) OVER (PARTITION BY p.d) @p{$c $i} AS must FROM pod p",
    "SELECT d @p{$c $K} AS must FROM (SELECT DISTINCT d FROM pod p@p{$W})",
    "SELECT d @p{$c $K} AS must FROM (SELECT d FROM pod UNION SELECT h FROM job)",
    "SELECT d @p{$c $K} AS must FROM (SELECT d FROM pod p@p{$W} ORDER BY id LIMIT 1)",
    "SELECT group_concat(d) <> 'n1,n2' AS must FROM pod",
    NULL};

/* The goal's column is called $g: maximize or minimize. */
static const char *const goals[] = {
    "SELECT @p{$N} AS $g FROM pod p@p{$W}",
    "SELECT @p{$N} AS $g FROM pod p",
    "SELECT (1 + p.prio) * (p.d IS NOT NULL) AS $g FROM pod p",
    "SELECT @p{$B} AS $g FROM pod p",
    "SELECT @pn{$N} AS $g FROM pod p JOIN node n ON n.id = p.d",
    "SELECT @ab{$p.d = $q.d} AS $g FROM pod a JOIN pod b ON b.id > a.id",
    "SELECT @ab{$N} AS $g FROM pod a JOIN pod b ON b.id > a.id",
    "SELECT @pn{$A} AS $g FROM node n JOIN pod p ON p.d = n.id@p{$W} GROUP BY n.id",
    "SELECT @pn{$A} AS $g FROM node n LEFT JOIN pod p ON p.d = n.id GROUP BY n.id",
    "SELECT @p{$A} AS $g FROM pod p GROUP BY p.d",
    "SELECT @p{$A} AS $g FROM pod p GROUP BY p.grp HAVING @p{$G}",
    "SELECT @p{$A} AS $g FROM pod p@p{$W}",
    "SELECT min(s) AS $g FROM load",
    "SELECT id, c <= @p{$i} AS must, s AS $g FROM load",
    "SELECT p.id, @p{$B} AS must, @p{$N} AS $g FROM pod p@p{$W}",
    "SELECT max(s) AS $g FROM load",
    "SELECT -1000 * (d IS NULL) - prio AS $g FROM pod",
    "SELECT max(c) - min(c) AS $g FROM (SELECT m.zone, count(p.id) AS c FROM node m LEFT JOIN pod "
    "p "
    "ON p.d = m.id GROUP BY m.zone)",
    "SELECT min(x) AS $g FROM (SELECT sum(@p{$N}) AS x FROM pod p GROUP BY p.grp)",
    "SELECT sum(x) AS $g FROM (SELECT max(@p{$N}) AS x FROM pod p GROUP BY p.d)",
    "SELECT (SELECT l.s FROM load l WHERE l.id = p.d) AS $g FROM pod p",
    "SELECT a.c * (b.c > 0) AS $g FROM load a JOIN load b ON a.id < b.id",
    "SELECT abs(a.s - b.s) AS $g FROM load a JOIN load b ON a.id < b.id",
    "SELECT max(s) - min(s) AS $g FROM load",
    "SELECT max(c) AS $g FROM load",
    "SELECT min(1.0 - s / cap) AS $g FROM load WHERE cap > 0",
    "SELECT abs(s - 2) AS $g FROM load",
    "SELECT min(c, 2) AS $g FROM load",
    "SELECT c AS $g FROM busy",
    "SELECT min(c) AS $g FROM busy",
    "SELECT @x{$N} AS $g FROM flat x",
    "SELECT count(DISTINCT d) AS $g FROM pod",
    "SELECT 0.5 * (d = @p{$K}) AS $g FROM pod",
    "SELECT (SELECT w FROM node y WHERE y.id = p.d) * p.size AS $g FROM pod p",
    "SELECT j.v AS $g FROM job j",
    "SELECT p.e AS $g FROM pod p UNION ALL SELECT j.v FROM job j",
    NULL};

static int count_forms(const char *const *forms) {
  int n = 0;
  while (forms[n]) n++;
  return n;
}

static char *replace(const char *text, const char *what, const char *by) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  const char *at;
  for (; (at = strstr(text, what)) != NULL; text = at + strlen(what)) {
    sqlite3_str_append(out, text, (int)(at - text));
    sqlite3_str_appendall(out, by);
  }
  sqlite3_str_appendall(out, text);
  return sqlite3_str_finish(out);
}

/* The conjuncts of a must are requirements of their own: explain then names less than the row. */
static bool one_condition(const char *sql) {
  const char *and = strstr(sql, " AND "), *must = strstr(sql, " AS must");
  return !and || !must || and > must;
}

static void make_rule(Case *c, Rule *rule, bool goal) {
  const char *const *forms = goal ? goals : one_in(c, 60) ? refused : musts;
  const char *form = forms[draw(c, count_forms(forms))];
  rule->goal = goal;
  rule->minimize = goal && one_in(c, 2);
  rule->exact = *form == '!';
  char *named = replace(form + rule->exact, "$g", rule->minimize ? "minimize" : "maximize");
  sqlite3_str *out = sqlite3_str_new(NULL);
  grammar_expand(c, out, "", named, 1 + draw(c, 3));
  rule->sql = sqlite3_str_finish(out);
  rule->must = strstr(rule->sql, " AS must") != NULL;
  rule->exact = rule->exact && one_condition(rule->sql);
  sqlite3_free(named);
}

void rules_make(Case *c) {
  int nmusts = 1 + draw(c, 3), ngoals = draw(c, 3), level = 1;
  c->nrules = 0;
  c->views = sqlite3_mprintf("%s", helpers);
  for (int i = 0; i < nmusts + ngoals; i++) {
    Rule *rule = &c->rules[c->nrules++];
    *rule = (Rule){0};
    make_rule(c, rule, i >= nmusts);
    sqlite3_snprintf(sizeof rule->name, rule->name, "%c%d", i >= nmusts ? 'o' : 'r', i + 1);
    if (i > nmusts) level += draw(c, 2);
    rule->level = level;
  }
}
