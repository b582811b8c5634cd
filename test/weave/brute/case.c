/*
** Making a case, and writing it down: see case.h.
*/
#include <string.h>

#include "test/weave/brute/case.h"
#include "test/weave/brute/oracle.h"

static void forget(Case *c) {
  char *texts[] = {c->strict, c->loose, c->twins, c->rows, c->views};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) sqlite3_free(texts[i]);
  for (int i = 0; i < c->ndecides; i++) {
    sqlite3_free(c->decides[i].domain);
    sqlite3_free(c->decides[i].values);
  }
  for (int i = 0; i < c->nrules; i++) sqlite3_free(c->rules[i].sql);
  c->strict = c->loose = c->twins = c->rows = c->views = NULL;
  c->ndecides = c->nrules = 0;
}

/* Rules drawn at random clash more often than is interesting. */
static bool of_use(Case *c, Oracle *oracle) {
  if (oracle->nassignments <= 1) return oracle->nassignments == 0 && one_in(c, 2);
  if (!oracle_judge(oracle)) return false;
  return oracle->best >= 0 || one_in(c, 4);
}

/* What is drawn may not be valid, or too large: then again. */
void case_make(Case *c, uint64_t seed) {
  *c = (Case){.seed = seed, .random = seed * UINT64_C(0x9E3779B97F4A7C15) + 12345};
  bool good = false;
  draw(c, 2);
  while (!good) {
    Oracle oracle;
    forget(c);
    tables_make(c);
    rules_make(c);
    good = oracle_open(&oracle, c) && of_use(c, &oracle);
    oracle_close(&oracle);
  }
}

void case_finish(Case *c) { forget(c); }

char *case_declaration(const Case *c) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  sqlite3_str_appendall(out, "CREATE VIRTUAL TABLE m USING weave(\n");
  for (int i = 0; i < c->ndecides; i++) {
    const Decide *decide = &c->decides[i];
    sqlite3_str_appendf(out, "  DECIDE %s.%s %s%s%s%s,\n", decide->table, decide->column,
                        decide->domain, decide->optional ? " OPTIONAL" : "",
                        *decide->scope ? " WHERE " : "", decide->scope);
  }
  const char *comma = "  RULES (";
  for (int i = 0; i < c->nrules; i++) {
    const Rule *rule = &c->rules[i];
    if (rule->off) continue;
    sqlite3_str_appendf(out, "%s%s", comma, rule->name);
    if (rule->goal) sqlite3_str_appendf(out, " %d", rule->level);
    comma = ", ";
  }
  if (*comma == ',') sqlite3_str_appendall(out, "),\n");
  sqlite3_str_appendall(out, "  LIMIT 20);\n");
  return sqlite3_str_finish(out);
}

char *case_script(const Case *c) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  sqlite3_str_appendf(out, "%s%s%s", c->strict, c->rows, c->views);
  for (int i = 0; i < c->nrules; i++) {
    if (c->rules[i].off) continue;
    sqlite3_str_appendf(out, "CREATE VIEW %s AS\n  %s;\n", c->rules[i].name, c->rules[i].sql);
  }
  char *declaration = case_declaration(c);
  sqlite3_str_appendall(out, declaration);
  sqlite3_free(declaration);
  return sqlite3_str_finish(out);
}
