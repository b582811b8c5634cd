/*
** Policies, and what they mean in plain SQL.
*/
#include <stdio.h>
#include <string.h>

#include "test/multiverse/shared/world.h"

static const char *const groups[] = {
    "SELECT uid, g AS gid FROM M WHERE role = 0", "SELECT g AS gid, uid FROM M WHERE role <> 0",
    "SELECT uid, h AS gid FROM M", "SELECT uid, g + 0 AS gid, :x AS x FROM M WHERE role = 1"};

enum { NGROUPS = 4 };

/* Columns that conditions may mention: from `first` on. */
static int column_from(int first) {
  return first + (int)pick((unsigned)((world.secrets ? SECRET : NCOLS) - first));
}

/* Parts are made from a seed, so that the same choice can be written for each user. */
static void operand(Words *out, int column, const User *user, bool in_group, const char *gid) {
  const unsigned what = pick(in_group ? 10 : 8);
  if (what < 5) {
    literal(out);
  } else if (what == 5) {
    say(out, user ? "%d" : ":uid", user ? user->uid : 0);
  } else if (what == 6) {
    if (user) {
      say(out, "%s", user->x);
    } else {
      say(out, ":x");
    }
  } else if (what == 7) {
    say(out, user ? "r.c%d" : "c%d", (column + 1) % (world.secrets ? SECRET : NCOLS));
  } else {
    say(out, "%s", user ? gid : ":gid");
  }
}

static void simple(Words *out, const User *user, bool in_group, const char *gid) {
  const int column = column_from(0);
  const char *row = user ? "r." : "";
  switch (pick(world.rich && !world.secrets ? 9 : 8)) {
  case 0:
    say(out, "%sc%d IS %sNULL", row, column, chance(50) ? "NOT " : "");
    break;
  case 1:
    say(out, "%sc%d %sIN (SELECT %s FROM M WHERE uid = ", row, column, chance(40) ? "NOT " : "",
        chance(30) ? "h" : "g");
    say(out, user ? "%d" : ":uid", user ? user->uid : 0);
    say(out, ")");
    break;
  case 2:
    say(out, "NOT %sc%d", row, column);
    break;
  case 8:
    say(out, "%sc%d IN (SELECT c%d FROM %s WHERE c%d >= %u)", row, column, pick(NCOLS),
        chance(50) ? "T" : "U", pick(NCOLS), pick(4));
    break;
  default:
    say(out, "%sc%d %s ", row, column,
        (const char *const[]){"=", "=", "=", "<>", "<", ">=", "IS"}[pick(7)]);
    operand(out, column, user, in_group, gid);
  }
}

static void condition(Words *out, const User *user, bool in_group, const char *gid, int depth) {
  if (depth == 0 || chance(40)) {
    simple(out, user, in_group, gid);
    return;
  }
  const char *op = chance(60) ? "AND" : "OR";
  say(out, chance(15) ? "NOT (" : "(");
  condition(out, user, in_group, gid, depth - 1);
  say(out, " %s ", op);
  condition(out, user, in_group, gid, depth - 1);
  say(out, ")");
}

/* What rules mostly look like: column = :gid AND something. */
static void group_condition(Words *out, const User *user, const char *gid) {
  const int column = column_from(1);
  if (chance(25)) {
    condition(out, user, true, gid, 2);
    return;
  }
  say(out, user ? "r.c%d = %s" : "c%d = :gid", column, gid);
  if (chance(60)) {
    say(out, " AND ");
    condition(out, user, false, gid, 1);
  }
}

/* The condition that a seed stands for: as the rule's text (user NULL), or as plain SQL. */
static void write_condition(Words *out, uint64_t seed, int group, const User *user) {
  const uint64_t kept = chance_swap(seed);
  if (group < 0) {
    say(out, user ? "(" : "");
    condition(out, user, false, "", 2);
    say(out, user ? ")" : "");
  } else if (!user) {
    group_condition(out, NULL, "");
  } else {
    const char *members = groups[group];
    say(out, "EXISTS (SELECT 1 FROM (");
    for (const char *at = members; *at; at++) {
      if (!strncmp(at, ":x", 2)) {
        say(out, "%s", user->x);
        at++;
      } else {
        say(out, "%c", *at);
      }
    }
    say(out, ") AS m WHERE m.uid = %d AND ", user->uid);
    if (group == 3) say(out, "m.x = %s AND ", user->x);
    say(out, "(");
    group_condition(out, user, "m.gid");
    say(out, "))");
  }
  chance_swap(kept);
}

typedef struct Clause {
  int table, group, unless_group;
  uint64_t seed, unless_seed;
  bool has_unless;
  const char *fixed; /* a condition of no chance, or NULL */
  const char *action;
  int column;
  char value[24];
  char columns[24]; /* of an update; empty: all */
} Clause;

enum { MOST_CLAUSES = 32 };
static Clause clauses[MOST_CLAUSES];
static int nclauses;
int left_out;

int count_rules(void) { return nclauses; }

int table_of_rule(int id) { return clauses[id - 1].table; }

static void quote(Words *out, const char *text) {
  say(out, "'");
  for (; *text; text++) say(out, *text == '\'' ? "''" : "%c", *text);
  say(out, "'");
}

/* A value that the column would store as it is; in a rich world, any that is computed. */
static void choose_value(Clause *clause) {
  static const char *const computed[] = {"c%d || 'x'", "typeof(c%d)", "c%d", "substr(c%d, 1, 1)",
                                         "c%d IS NULL"};
  const char *type = tables[clause->table].types[clause->column];
  const bool text = !strncmp(type, "TEXT", 4), any = !*type || !strcmp(type, "BLOB");
  const bool real = !strcmp(type, "REAL");
  if (world.rich && chance(30)) {
    snprintf(clause->value, sizeof clause->value, computed[pick(5)], (int)pick(NCOLS));
  } else if (chance(15)) {
    strcpy(clause->value, "NULL");
  } else if (text || (any && chance(50))) {
    snprintf(clause->value, sizeof clause->value, "'%c'", "abx"[pick(3)]);
  } else if (real) {
    snprintf(clause->value, sizeof clause->value, "%u.5", pick(4));
  } else {
    snprintf(clause->value, sizeof clause->value, "%u", pick(5));
  }
}

static Clause *add_clause(int table, const char *action) {
  Clause *clause = &clauses[nclauses++];
  *clause = (Clause){.table = table,
                     .action = action,
                     .group = -1,
                     .unless_group = -1,
                     .seed = chance_seed(),
                     .unless_seed = chance_seed()};
  if (chance(60)) clause->group = (int)pick(NGROUPS);
  clause->has_unless = chance(25);
  if (chance(60)) clause->unless_group = (int)pick(NGROUPS);
  return clause;
}

/* Who may write what a rule asks about can decide it: so nothing of the row is asked. */
static void keep_secret(Clause *clause) {
  static const char *const always[] = {"1", "c0 IS NOT NULL OR 1"};
  clause->group = -1;
  clause->has_unless = false;
  clause->fixed = always[pick(2)];
}

static void choose_reads(int table) {
  const int n = 1 + (int)pick(chance(40) ? 2 : 7);
  for (int i = 0; i < n; i++) {
    const unsigned what = i ? pick(10) : 0;
    Clause *clause = add_clause(table, what < 5 ? "allow" : what < 6 ? "deny" : "rewrite");
    if (!i && world.writes && chance(world.secrets ? 15 : 60)) {
      clause->group = -1;
      clause->fixed = "1";
    }
    if (world.repeats && i &&
        chance(40)) { /* what another rule says, with an exception or without */
      const Clause *other = &clauses[nclauses - 2];
      clause->seed = other->seed;
      clause->group = other->group;
      clause->unless_seed = other->unless_seed;
      clause->unless_group = other->unless_group;
    }
    if (*clause->action != 'r') continue;
    const int first = tables[table].pair ? 2 : 1; /* what is of a key cannot be rewritten */
    clause->column = first + (int)pick((unsigned)(NCOLS - first));
    choose_value(clause);
    if (world.secrets && clause->column >= SECRET) keep_secret(clause);
  }
  if (!world.secrets) return;
  for (int column = SECRET; column < NCOLS; column++) { /* something to keep secret */
    if (chance(40)) continue;
    Clause *clause = add_clause(table, "rewrite");
    clause->column = column;
    choose_value(clause);
    keep_secret(clause);
  }
  Clause *last = add_clause(table, "deny");
  last->group = -1;
  last->has_unless = false;
  last->fixed = strcmp(tables[table].types[0], "INTEGER") ? "c0 = 'k40'" : "c0 = 40";
}

static void choose_writes(int table) {
  static const char *const actions[] = {"insert", "update", "delete"};
  for (int a = 0; a < 3; a++) {
    for (unsigned i = chance(20) ? 0 : 1 + pick(2); i > 0; i--) {
      Clause *clause = add_clause(table, actions[a]);
      if (chance(50)) {
        clause->group = -1;
        clause->fixed = "1";
      }
      if (a != 1 || chance(50)) continue;
      snprintf(clause->columns, sizeof clause->columns, "c%u,c%u", pick(NCOLS), pick(NCOLS));
    }
  }
}

static void write_rule(Words *out, const Clause *clause) {
  Words rule = {0};
  say(out, "INSERT INTO multiverse_rules VALUES (%d, '%s', '%s', ", (int)(clause - clauses) + 1,
      tables[clause->table].name, clause->action);
  say(out, clause->group < 0 ? "NULL, " : "'g%d', ", clause->group);
  if (clause->fixed) {
    say(&rule, "%s", clause->fixed);
  } else {
    write_condition(&rule, clause->seed, clause->group, NULL);
  }
  quote(out, rule.at);
  if (*clause->action == 'r') {
    say(out, ", 'c%d', ", clause->column);
    quote(out, clause->value);
  } else if (*clause->columns) {
    say(out, ", '%s', NULL", clause->columns);
  } else {
    say(out, ", NULL, NULL");
  }
  if (clause->has_unless) {
    Words unless = {0};
    write_condition(&unless, clause->unless_seed, clause->unless_group, NULL);
    say(out, clause->unless_group < 0 ? ", NULL, " : ", 'g%d', ", clause->unless_group);
    quote(out, unless.at);
  } else {
    say(out, ", NULL, NULL");
  }
  say(out, ");\n");
}

void make_policy(Words *out) {
  for (int g = 0; g < NGROUPS; g++) {
    say(out, "INSERT INTO multiverse_groups VALUES ('g%d', ", g);
    quote(out, groups[g]);
    say(out, ");\n");
  }
  nclauses = 0;
  for (int t = 0; t < NTABLES; t++) {
    choose_reads(t);
    if (world.writes) choose_writes(t);
  }
  for (int i = 0; i < nclauses; i++) write_rule(out, &clauses[i]);
}

static void write_clause(Words *out, const Clause *clause, const User *user) {
  say(out, "(");
  if (clause->fixed) {
    say(out, "%s", clause->fixed);
  } else {
    write_condition(out, clause->seed, clause->group, user);
  }
  if (clause->has_unless) {
    say(out, " AND (");
    write_condition(out, clause->unless_seed, clause->unless_group, user);
    say(out, ") IS NOT TRUE");
  }
  say(out, ")");
}

int next_rule(int table, const char *action, int rule) {
  for (rule++; rule < nclauses; rule++) {
    if (rule + 1 == left_out) continue;
    if (clauses[rule].table == table && !strcmp(clauses[rule].action, action)) return rule;
  }
  return -1;
}

void write_applies(Words *out, int rule, const User *user) {
  write_clause(out, &clauses[rule], user);
}

bool rule_covers(int rule, int column) {
  char name[8];
  snprintf(name, sizeof name, "c%d", column);
  return !*clauses[rule].columns || strstr(clauses[rule].columns, name);
}

static void write_any(Words *out, int table, const char *action, int column, const User *user) {
  say(out, "(0");
  for (int i = -1; (i = next_rule(table, action, i)) >= 0;) {
    if (column >= 0 && clauses[i].column != column) continue;
    say(out, " OR ");
    write_clause(out, &clauses[i], user);
  }
  say(out, ")");
}

void write_visible(Words *out, int table, const User *user) {
  write_any(out, table, "allow", -1, user);
  say(out, " AND ");
  write_any(out, table, "deny", -1, user);
  say(out, " IS NOT TRUE");
}

void write_rewritten(Words *out, int table, int column, const User *user) {
  write_any(out, table, "rewrite", column, user);
}

void write_shown(Words *out, int table, int column, const User *user) {
  bool open = false;
  for (int i = -1; (i = next_rule(table, "rewrite", i)) >= 0;) {
    if (clauses[i].column != column) continue;
    say(out, open ? " WHEN " : "CASE WHEN ");
    write_clause(out, &clauses[i], user);
    say(out, " THEN %s", clauses[i].value);
    open = true;
  }
  say(out, open ? " ELSE r.c%d END" : "r.c%d", column);
}

void write_oracle(Words *out, int table, const User *user) {
  for (int c = 0; c < NCOLS; c++) {
    say(out, c ? ", " : "SELECT ");
    write_shown(out, table, c, user);
  }
  say(out, " FROM %s AS r WHERE ", tables[table].name);
  write_visible(out, table, user);
}

/* ---- users */

void choose_user(User *out) {
  Words x;
  *out = (User){.uid = 1 + (int)pick(5)};
  do {
    x = (Words){0};
    literal(&x);
  } while (x.at[0] == 'x');
  snprintf(out->x, sizeof out->x, "%.15s", x.at);
}

void write_context(Words *out, const User *user) {
  say(out, "{\"uid\":%d,\"x\":", user->uid);
  if (user->x[0] == '\'') {
    say(out, "\"%.*s\"}", (int)strlen(user->x) - 2, user->x + 1);
  } else {
    say(out, "%s}", strcmp(user->x, "NULL") ? user->x : "null");
  }
}
