/*
** The tables of a case: node (what is chosen), pod (which chooses: d a node, e a number), job (h a
** node, v a wide range), with keys of several types, NULLs, scopes and constraints.
*/
#include <string.h>

#include "test/weave/brute/case.h"

enum { KEY_TEXT, KEY_NOCASE, KEY_INTEGER, KEY_REAL };

static const char *const key_types[] = {"TEXT", "TEXT COLLATE NOCASE", "INTEGER", "REAL"};
static const char *const key_values[4][4] = {{"'n1'", "'n2'", "'n3'", "'m1'"},
                                             {"'N1'", "'n2'", "'N3'", "'m1'"},
                                             {"1", "2", "3", "4"},
                                             {"0.5", "1.0", "2.5", "3.0"}};

const char *tables_key(Case *c) {
  if (one_in(c, 25)) return "NULL";
  if (one_in(c, 12)) return c->key_kind <= KEY_NOCASE ? "'zz'" : "7";
  if (c->key_kind == KEY_NOCASE && one_in(c, 4)) return one_in(c, 2) ? "'n1'" : "'N2'";
  if (c->key_kind == KEY_INTEGER && one_in(c, 12)) return one_in(c, 2) ? "'1'" : "2.0";
  return key_values[c->key_kind][draw(c, 4)];
}

static const char *one_of(Case *c, const char *const *list, int count) {
  return list[draw(c, count)];
}

/* ---- what is decided ------------------------------------------------------------------------ */

static char *key_list(Case *c, int count) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  for (int i = 0; i < count; i++) {
    sqlite3_str_appendf(out, "%s%s", i ? ", " : "", key_values[c->key_kind][draw(c, 4)]);
  }
  return sqlite3_str_finish(out);
}

static void set_domain(Decide *decide, const char *domain, const char *values) {
  decide->domain = *domain ? sqlite3_mprintf("IN (%s)", domain) : sqlite3_mprintf("");
  decide->values = sqlite3_mprintf("%s", values);
}

/* Values of a list: (1, 2, 2) as rows. */
static void set_list(Decide *decide, const char *list, bool implied) {
  decide->domain = implied ? sqlite3_mprintf("") : sqlite3_mprintf("IN (%s)", list);
  sqlite3_str *values = sqlite3_str_new(NULL); /* (a), (b): JSON would cut digits off */
  sqlite3_str_appendall(values, "VALUES (");
  for (const char *at = list; *at; at++) {
    if (*at == ',') {
      sqlite3_str_appendall(values, "), (");
    } else {
      sqlite3_str_appendchar(values, 1, *at);
    }
  }
  sqlite3_str_appendall(values, ")");
  decide->values = sqlite3_str_finish(values);
}

static void choose_nodes(Case *c, Decide *decide, const char *implied) {
  if (implied) {
    if (*implied == 'S')
      set_domain(decide, "", implied);
    else
      set_list(decide, implied, true);
    return;
  }
  char *list;
  switch (draw(c, 6)) {
  case 0:
    list = key_list(c, 2 + draw(c, 3));
    set_list(decide, list, false);
    sqlite3_free(list);
    break;
  case 1:
    set_domain(decide, "SELECT id FROM node WHERE ok", "SELECT id FROM node WHERE ok");
    break;
  case 2:
    if (strcmp(decide->table, "pod") == 0) {
      set_domain(decide, "SELECT y.id FROM node y WHERE y.cap >= pod.size",
                 "SELECT y.id FROM node y, pod WHERE y.cap >= pod.size AND pod.id = ?1");
      break;
    } /* fall through */
  default:
    set_domain(decide, "SELECT id FROM node", "SELECT id FROM node");
  }
}

static void choose_numbers(Case *c, Decide *decide, const char *implied) {
  static const char *const lists[] = {"0, 1", "1, 2, 4", "0, 3", "2, 1, 0", "0.5, 2"};
  if (implied) {
    set_list(decide, implied, true);
  } else if (!numbers_plain(c) && one_in(c, 2)) {
    char *list = sqlite3_mprintf("%s, %s", numbers_value(c), numbers_value(c));
    set_list(decide, list, false);
    sqlite3_free(list);
  } else if (one_in(c, 2)) {
    set_list(decide, one_of(c, lists, 5), false);
  } else if (one_in(c, 3)) {
    set_domain(decide, "SELECT cap FROM node", "SELECT cap FROM node");
  } else {
    set_domain(decide, "-1..2", "SELECT value FROM json_each('[-1,0,1,2]')");
  }
}

static Decide *add_decide(Case *c, const char *table, const char *column, bool nullable) {
  static const char *const scopes[] = {"", "", "st = 'P'", "prio > 0", "d IS NULL", "st <> 'R'"};
  Decide *decide = &c->decides[c->ndecides++];
  *decide = (Decide){.table = table, .column = column, .scope = ""};
  decide->optional = nullable && one_in(c, 2);
  if (strcmp(table, "pod") == 0) decide->scope = one_of(c, scopes, 6);
  return decide;
}

static void make_decides(Case *c, const char *implied_nodes, const char *implied_numbers,
                         bool null_nodes, bool null_numbers) {
  bool nodes = !one_in(c, 12), numbers = !nodes || one_in(c, 3);
  if (nodes) choose_nodes(c, add_decide(c, "pod", "d", null_nodes), implied_nodes);
  if (numbers) choose_numbers(c, add_decide(c, "pod", "e", null_numbers), implied_numbers);
  if (one_in(c, 6)) choose_nodes(c, add_decide(c, "job", "h", true), NULL);
  if (c->ndecides < 3 && one_in(c, 20)) {
    Decide *wide = add_decide(c, "job", "v", false);
    set_domain(wide, "-20..120",
               "WITH RECURSIVE w(v) AS (VALUES (-20) UNION ALL SELECT v + 1 FROM w WHERE v < 120) "
               "SELECT v FROM w");
  }
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void add_rows(Case *c, bool text_ids) {
  static const char *const zones[] = {"'a'", "'b'", "'a'", "'B'", "NULL"};
  static const char *const weights[] = {"0.5", "1.25", "2.0", "-1.0", "NULL"};
  static const char *const states[] = {"'P'", "'P'", "'P'", "'R'", "NULL"};
  static const char *const ids[] = {"1",    "2",    "3",    "4",    "5",
                                    "'p1'", "'p2'", "'p3'", "'p4'", "'p5'"};
  sqlite3_str *out = sqlite3_str_new(NULL);
  int nnodes = 2 + draw(c, 3), npods = 2 + draw(c, 4), njobs = 1 + draw(c, 2);
  for (int i = 0; i < nnodes; i++) {
    sqlite3_str_appendf(out, "INSERT INTO node VALUES(%s,%s,", key_values[c->key_kind][i],
                        one_of(c, zones, 5));
    if (numbers_plain(c) || one_in(c, 12)) {
      sqlite3_str_appendall(out, one_in(c, 12)  ? "NULL"
                                 : one_in(c, 3) ? "1"
                                 : one_in(c, 2) ? "2"
                                                : "4");
    } else {
      numbers_constant(c, out);
    }
    bool plain = numbers_plain(c) || one_in(c, 3);
    sqlite3_str_appendf(out, ",%s,%d);\n", plain ? one_of(c, weights, 5) : numbers_value(c),
                        !one_in(c, 4));
  }
  for (int i = 0; i < npods; i++) {
    sqlite3_str_appendf(out, "INSERT INTO pod VALUES(%s,%s,%s,%d,%s,%s,", ids[text_ids * 5 + i],
                        one_of(c, zones, 5), one_in(c, 8) ? "NULL" : numbers_value(c), draw(c, 3),
                        one_of(c, states, 5), one_in(c, 3) ? "NULL" : tables_key(c));
    sqlite3_str_appendf(out, one_in(c, 5) ? "NULL);\n" : "%d);\n", draw(c, 4));
  }
  for (int i = 0; i < njobs; i++) {
    sqlite3_str_appendf(out, "INSERT INTO job VALUES(%d,%s,%d);\n", i + 1, tables_key(c),
                        draw(c, 5));
  }
  c->rows = sqlite3_str_finish(out);
}

/* ---- tables --------------------------------------------------------------------------------- */

static void add_pod(sqlite3_str *out, const char *name, const char *id_type, const char *d_type,
                    const char *d_rule, const char *e_rule, const char *rule, bool no_rowid) {
  sqlite3_str_appendf(out,
                      "CREATE TABLE %s(id %s PRIMARY KEY, grp TEXT, size, prio INTEGER, st TEXT, "
                      "d %s%s, e INTEGER%s%s)%s;\n",
                      name, id_type, d_type, d_rule, e_rule, rule,
                      no_rowid ? " WITHOUT ROWID" : "");
}

void tables_make(Case *c) {
  static const char *const table_rules[] = {", UNIQUE (d)", ", UNIQUE (grp, d)",
                                            ", CHECK (d IS NULL OR e > 0)", ", UNIQUE (d, e)",
                                            ", CHECK (e < 2 OR prio > 0)"};
  c->key_kind = draw(c, 4);
  numbers_choose(c);
  c->ndecides = 0;
  bool text_ids = one_in(c, 2), no_rowid = one_in(c, 6);
  const char *key_type = key_types[c->key_kind], *rule = "", *e_rule = "";
  const char *d_type = one_in(c, 6) ? (one_in(c, 2) ? "" : "TEXT") : key_type;
  const char *implied_nodes = NULL, *implied_numbers = NULL;
  char *list = key_list(c, 3), *d_rule = sqlite3_mprintf("");
  bool null_d = true;
  if (one_in(c, 3)) {
    static const char *const forms[] = {" REFERENCES node(id)", " NOT NULL", " CHECK (d <> %s)",
                                        " CHECK (d IN (%s))"};
    int which = draw(c, 4);
    sqlite3_free(d_rule);
    d_rule = sqlite3_mprintf(forms[which], which == 2 ? key_values[c->key_kind][0] : list);
    null_d = which != 1;
    if (which == 0 && one_in(c, 2)) implied_nodes = "SELECT id FROM node";
    if (which == 3 && one_in(c, 2)) implied_nodes = list;
  }
  if (one_in(c, 8)) {
    e_rule = one_in(c, 2) ? " CHECK (e BETWEEN 0 AND 3)" : " CHECK (e IN (0, 2, 3))";
    if (one_in(c, 2)) implied_numbers = e_rule[10] == 'B' ? "0, 1, 2, 3" : "0, 2, 3";
  }
  if (one_in(c, 8)) rule = one_of(c, table_rules, 5);
  bool constrained = *d_rule || *e_rule || *rule;

  sqlite3_str *out = sqlite3_str_new(NULL);
  sqlite3_str_appendf(out,
                      "CREATE TABLE node(id %s PRIMARY KEY, zone TEXT, cap INTEGER, w REAL, "
                      "ok INTEGER);\nCREATE TABLE job(id INTEGER PRIMARY KEY, h %s, v INTEGER);\n",
                      key_type, key_type);
  char *others = sqlite3_str_finish(out);
  const char *id_type = text_ids ? "TEXT" : "INTEGER";
  sqlite3_str *loose = sqlite3_str_new(NULL), *strict = sqlite3_str_new(NULL),
              *twins = sqlite3_str_new(NULL);
  add_pod(loose, "pod", id_type, d_type, "", "", "", no_rowid);
  add_pod(strict, "pod", id_type, d_type, d_rule, e_rule, rule, no_rowid);
  add_pod(twins, "twin", id_type, d_type, d_rule, e_rule, rule, no_rowid);
  char *text = sqlite3_str_finish(loose);
  c->loose = sqlite3_mprintf("%s%s", others, text);
  sqlite3_free(text);
  text = sqlite3_str_finish(strict);
  c->strict = sqlite3_mprintf("PRAGMA foreign_keys = ON;\n%s%s", others, text);
  sqlite3_free(text);
  text = sqlite3_str_finish(twins);
  c->twins = sqlite3_mprintf("%s", constrained ? text : "");
  sqlite3_free(text);
  add_rows(c, text_ids);
  make_decides(c, implied_nodes, implied_numbers, null_d, true);
  sqlite3_free(others);
  sqlite3_free(list);
  sqlite3_free(d_rule);
}
