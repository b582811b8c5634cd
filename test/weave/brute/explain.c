/*
** weave_explain and weave_whynot against the oracle: see check.h.
*/
#include <math.h>
#include <string.h>

#include "test/weave/brute/check.h"

enum { MAX_CORE = 64 };

/* Rows of rules that are said to clash: as queries in the oracle's database. */
typedef struct Core {
  sqlite3_stmt *queries[MAX_CORE];
  char *names[MAX_CORE];
  int count;
  bool minimal, exact;
  bool constraints; /* a constraint of the schema is named as well */
} Core;

static const Rule *rule_named(const Case *c, const char *name) {
  for (int i = 0; i < c->nrules; i++) {
    if (strcmp(c->rules[i].name, name) == 0) return &c->rules[i];
  }
  return NULL;
}

/* "the row of that key has must = 0" */
static sqlite3_stmt *core_query(Check *check, const char *rule, const char *key) {
  sqlite3_str *sql = sqlite3_str_new(NULL);
  sqlite3_stmt *each = NULL, *query = NULL;
  sqlite3_str_appendf(sql, "SELECT 1 FROM %s WHERE NOT must", rule);
  sqlite3_prepare_v2(check->db, "SELECT key, quote(value) FROM json_each(?1)", -1, &each, NULL);
  sqlite3_bind_text(each, 1, key, -1, SQLITE_STATIC);
  while (sqlite3_step(each) == SQLITE_ROW) {
    sqlite3_str_appendf(sql, " AND \"%w\" IS %s", sqlite3_column_text(each, 0),
                        sqlite3_column_text(each, 1));
  }
  sqlite3_finalize(each);
  char *text = sqlite3_str_finish(sql);
  sqlite3_prepare_v2(check->oracle.db, text, -1, &query, NULL);
  sqlite3_free(text);
  return query;
}

static bool add_row(Check *check, Core *core, const char *rule, const char *key) {
  const Rule *view = rule_named(check->c, rule);
  bool constraint = strchr(rule, ' ') != NULL; /* UNIQUE pod(d) */
  if (!view && !constraint) return check_wrong(check, "explain names %s, which is no rule", rule);
  if (view && !view->must) return check_wrong(check, "explain names the goal %s", rule);
  core->exact = core->exact && view && view->exact;
  core->constraints = core->constraints || constraint;
  if (!view) return true;
  if (!key || core->count == MAX_CORE) return check_wrong(check, "explain: a row without a key");
  char *name = sqlite3_mprintf("%s %s", rule, key);
  for (int i = 0; i < core->count; i++) {
    if (strcmp(core->names[i], name) != 0) continue;
    sqlite3_free(name); /* the same row for another reason */
    return true;
  }
  core->names[core->count] = name;
  core->queries[core->count] = core_query(check, rule, key);
  if (!core->queries[core->count++]) {
    return check_wrong(check, "explain: row %s: %s", name, sqlite3_errmsg(check->oracle.db));
  }
  return true;
}

static bool read_core(Check *check, Core *core) {
  sqlite3_stmt *rows = NULL;
  bool ok = true;
  *core = (Core){.minimal = true, .exact = true};
  sqlite3_prepare_v2(check->db, "SELECT rule, key, minimal FROM weave_explain('m')", -1, &rows,
                     NULL);
  int nrows = 0;
  while (ok && sqlite3_step(rows) == SQLITE_ROW) {
    core->minimal = core->minimal && sqlite3_column_int(rows, 2) == 1;
    ok = add_row(check, core, (const char *)sqlite3_column_text(rows, 0),
                 (const char *)sqlite3_column_text(rows, 1));
    nrows++;
  }
  if (sqlite3_finalize(rows) != SQLITE_OK) {
    ok = check_wrong(check, "explain: %s", sqlite3_errmsg(check->db));
  }
  if (ok && nrows == 0) ok = check_wrong(check, "infeasible, and explain has no rows");
  return ok;
}

static void close_core(Core *core) {
  for (int i = 0; i < core->count; i++) {
    sqlite3_finalize(core->queries[i]);
    sqlite3_free(core->names[i]);
  }
}

/* The rows named clash, and without any one of them they do not. */
bool check_explain(Check *check) {
  Core core;
  bool ok = read_core(check, &core);
  if (ok && oracle_satisfiable(&check->oracle, core.queries, core.count, core.constraints)) {
    ok = check_wrong(check, "explain: the %d rows it names do not clash", core.count);
  }
  for (int i = 0; ok && core.minimal && core.exact && i < core.count; i++) {
    sqlite3_stmt *others[MAX_CORE];
    int n = 0;
    for (int j = 0; j < core.count; j++) {
      if (j != i) others[n++] = core.queries[j];
    }
    if (!oracle_satisfiable(&check->oracle, others, n, core.constraints)) {
      ok = check_wrong(check, "explain: not minimal: the rows clash without %s", core.names[i]);
    }
  }
  if (ok && !core.minimal) ok = check_wrong(check, "explain: a core that is not minimal");
  close_core(&core);
  return ok;
}

/* ---- whynot --------------------------------------------------------------------------------- */

static int draw_below(Check *check, int n) {
  check->random = check->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (int)(((check->random >> 33) * (uint64_t)n) >> 31);
}

/* The best assignment that gives the cell this value, -1: none is feasible. */
static int best_with(const Oracle *oracle, int cell, int digit) {
  int best = -1;
  bool sure;
  for (int i = 0; i < oracle->nassignments; i++) {
    if (!oracle->feasible[i] || oracle_digit_of(oracle, i, cell) != digit) continue;
    if (best < 0 ||
        oracle_compare(oracle, oracle->goals[i], oracle->goals[best], NULL, &sure) > 0) {
      best = i;
    }
  }
  return best;
}

typedef struct Price {
  const char *verdict;
  double loss; /* at `level` */
  int level;
} Price;

/* What the value costs when `top` is the best assignment; false: rounding leaves it open. */
static bool price_against(const Oracle *oracle, int best, int top, Price *out) {
  bool sure;
  *out = (Price){.verdict = "equal"};
  int order = oracle_compare(oracle, oracle->goals[best], oracle->goals[top], &out->level, &sure);
  if (!sure) return false;
  if (order) {
    out->verdict = "worse";
    out->loss = oracle->goals[top][out->level] - oracle->goals[best][out->level];
  }
  return true;
}

static bool price_fits(const Oracle *oracle, const Price *price, const char *verdict, double cost) {
  bool sure = true;
  if (strcmp(verdict, price->verdict) != 0) return false;
  return oracle->nlevels == 0 || !oracle_order(oracle, price->level, cost, price->loss, &sure) ||
         !sure;
}

/*
** Is the verdict right against an assignment that rounding does not tell from the best? Weave may
** call any of them the best, and prices are relative to that.
*/
static bool fits_another_best(const Oracle *oracle, int best, const char *verdict, double cost) {
  for (int i = 0; i < oracle->nassignments; i++) {
    bool sure;
    Price price;
    if (!oracle->feasible[i]) continue;
    oracle_compare(oracle, oracle->goals[i], oracle->goals[oracle->best], NULL, &sure);
    if (sure) continue;
    if (!price_against(oracle, best, i, &price) || price_fits(oracle, &price, verdict, cost)) {
      return true;
    }
  }
  return false;
}

static bool judge_whynot(Check *check, int cell, int digit, const char *verdict, double cost) {
  const Oracle *oracle = &check->oracle;
  int best = best_with(oracle, cell, digit);
  Price price = {.verdict = "forbidden"};
  bool forbidden = strcmp(verdict, "forbidden") == 0;
  if (best >= 0 && !price_against(oracle, best, oracle->best, &price)) {
    if (!forbidden) return true;
    price.verdict = "something";
  }
  bool fits = best < 0 ? forbidden : price_fits(oracle, &price, verdict, cost);
  if (fits || (best >= 0 && !forbidden && fits_another_best(oracle, best, verdict, cost))) {
    return true;
  }
  const OracleCell *asked = &oracle->cells[cell];
  return check_wrong(check, "whynot('m', %Q, %Q, '%s.%s'): %s at %g, expected %s at %g",
                     sqlite3_value_text(asked->id), sqlite3_value_text(asked->values[digit]),
                     asked->decide->table, asked->decide->column, verdict, cost, price.verdict,
                     price.loss);
}

bool check_whynot(Check *check) {
  const Oracle *oracle = &check->oracle;
  if (oracle->ncells == 0) return true;
  int cell = draw_below(check, oracle->ncells);
  const OracleCell *asked = &oracle->cells[cell];
  int digit = draw_below(check, asked->count);
  char column[32];
  if (strcmp(asked->decide->column, "v") == 0) return true; /* a range: not asked about */
  sqlite3_snprintf(sizeof column, column, "%s.%s", asked->decide->table, asked->decide->column);
  sqlite3_stmt *query = NULL;
  sqlite3_prepare_v2(check->db, "SELECT verdict, cost FROM weave_whynot('m', ?1, ?2, ?3)", -1,
                     &query, NULL);
  sqlite3_bind_value(query, 1, asked->id);
  sqlite3_bind_value(query, 2, asked->values[digit]);
  sqlite3_bind_text(query, 3, column, -1, SQLITE_STATIC);
  bool ok;
  if (sqlite3_step(query) == SQLITE_ROW) {
    ok = judge_whynot(check, cell, digit, (const char *)sqlite3_column_text(query, 0),
                      sqlite3_column_double(query, 1));
  } else {
    ok = check_wrong(check, "whynot: %s", sqlite3_errmsg(check->db));
  }
  sqlite3_finalize(query);
  return ok;
}
