/*
** The obvious answer: see oracle.h.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "test/weave/brute/oracle.h"

static sqlite3_stmt *prepare(Oracle *oracle, char *sql) {
  sqlite3_stmt *stmt = NULL;
  sqlite3_prepare_v2(oracle->db, sql, -1, &stmt, NULL);
  sqlite3_free(sql);
  return stmt;
}

/* ---- cells ---------------------------------------------------------------------------------- */

static bool same_value(sqlite3_value *a, sqlite3_value *b) {
  if (sqlite3_value_type(a) == SQLITE_FLOAT && sqlite3_value_type(b) == SQLITE_FLOAT) {
    return sqlite3_value_double(a) == sqlite3_value_double(b); /* text has 15 digits only */
  }
  return sqlite3_value_type(a) == sqlite3_value_type(b) &&
         (sqlite3_value_type(a) == SQLITE_NULL ||
          strcmp((const char *)sqlite3_value_text(a), (const char *)sqlite3_value_text(b)) == 0);
}

int oracle_digit(const OracleCell *cell, sqlite3_value *value) {
  for (int i = 0; i < cell->count; i++) {
    if (same_value(cell->values[i], value)) return i;
  }
  return -1;
}

static bool write_value(OracleCell *cell, sqlite3_value *value) {
  sqlite3_bind_value(cell->write, 1, value);
  sqlite3_bind_value(cell->write, 2, cell->id);
  sqlite3_step(cell->write);
  return sqlite3_reset(cell->write) == SQLITE_OK;
}

/* Store the value and read what has become of it. */
static bool add_value(OracleCell *cell, sqlite3_stmt *read, sqlite3_value *value) {
  if (!write_value(cell, value)) return false;
  sqlite3_bind_value(read, 1, cell->id);
  bool ok = sqlite3_step(read) == SQLITE_ROW;
  sqlite3_value *stored = ok ? sqlite3_column_value(read, 0) : NULL;
  if (ok && oracle_digit(cell, stored) < 0) {
    cell->values = realloc(cell->values, (size_t)(cell->count + 1) * sizeof *cell->values);
    if (cell->values) cell->values[cell->count++] = sqlite3_value_dup(stored);
    if (cell->count > MAX_ASSIGNMENTS) ok = false;
  }
  sqlite3_reset(read);
  return ok;
}

static bool load_values(Oracle *oracle, OracleCell *cell) {
  const Decide *decide = cell->decide;
  sqlite3_stmt *read = prepare(
      oracle, sqlite3_mprintf("SELECT %s FROM %s WHERE id = ?1", decide->column, decide->table));
  sqlite3_stmt *list = prepare(oracle, sqlite3_mprintf("%s", decide->values));
  sqlite3_stmt *null = prepare(oracle, sqlite3_mprintf("SELECT NULL"));
  bool ok = read && list && null;
  if (ok && sqlite3_bind_parameter_count(list)) sqlite3_bind_value(list, 1, cell->id);
  while (ok && sqlite3_step(list) == SQLITE_ROW) {
    if (sqlite3_column_type(list, 0) == SQLITE_NULL) continue;
    ok = add_value(cell, read, sqlite3_column_value(list, 0));
  }
  if (ok && decide->optional) {
    ok = sqlite3_step(null) == SQLITE_ROW && add_value(cell, read, sqlite3_column_value(null, 0));
  }
  sqlite3_finalize(read);
  sqlite3_finalize(list);
  sqlite3_finalize(null);
  return ok;
}

static bool find_cells(Oracle *oracle, const Decide *decide) {
  sqlite3_stmt *rows =
      prepare(oracle, sqlite3_mprintf("SELECT id FROM %s WHERE %s ORDER BY id", decide->table,
                                      *decide->scope ? decide->scope : "1"));
  bool ok = rows != NULL;
  while (ok && sqlite3_step(rows) == SQLITE_ROW) {
    if (oracle->ncells == MAX_CELLS) {
      ok = false;
      break;
    }
    OracleCell *cell = &oracle->cells[oracle->ncells++];
    cell->decide = decide;
    cell->id = sqlite3_value_dup(sqlite3_column_value(rows, 0));
    cell->write = prepare(oracle, sqlite3_mprintf("UPDATE %s SET %s = ?1 WHERE id = ?2",
                                                  decide->table, decide->column));
    ok = cell->id && cell->write;
  }
  sqlite3_finalize(rows);
  return ok;
}

static bool load_cells(Oracle *oracle) {
  for (int i = 0; i < oracle->c->ndecides; i++) {
    if (!find_cells(oracle, &oracle->c->decides[i])) return false;
  }
  oracle->nassignments = 1;
  for (int i = 0; i < oracle->ncells; i++) {
    if (!load_values(oracle, &oracle->cells[i])) return false;
    oracle->nassignments *= oracle->cells[i].count;
    if (oracle->nassignments > MAX_ASSIGNMENTS) return false;
  }
  return true;
}

static void load_levels(Oracle *oracle) {
  for (int i = 0; i < oracle->c->nrules; i++) {
    const Rule *rule = &oracle->c->rules[i];
    if (!rule->goal || rule->off) continue;
    if (oracle->nlevels && oracle->levels[oracle->nlevels - 1] == rule->level) continue;
    oracle->levels[oracle->nlevels++] = rule->level; /* they ascend */
  }
}

static bool run(Oracle *oracle, const char *sql) {
  return sqlite3_exec(oracle->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

bool oracle_open(Oracle *oracle, const Case *c) {
  *oracle = (Oracle){.c = c, .best = -1};
  if (sqlite3_open(":memory:", &oracle->db) != SQLITE_OK ||
      !run(oracle, "PRAGMA foreign_keys = ON; BEGIN") || !run(oracle, c->loose) ||
      !run(oracle, c->twins) || !run(oracle, c->rows) || !run(oracle, c->views)) {
    return false;
  }
  if (*c->twins) {
    oracle->clear_twin = prepare(oracle, sqlite3_mprintf("DELETE FROM twin"));
    oracle->fill_twin = prepare(oracle, sqlite3_mprintf("INSERT INTO twin SELECT * FROM pod"));
    /* The rows as they are must fit, too. */
    if (!oracle->fill_twin || sqlite3_step(oracle->fill_twin) != SQLITE_DONE) return false;
    sqlite3_reset(oracle->fill_twin);
  }
  for (int i = 0; i < c->nrules; i++) {
    if (c->rules[i].off) continue;
    char *view = sqlite3_mprintf("CREATE VIEW %s AS %s", c->rules[i].name, c->rules[i].sql);
    sqlite3_stmt *try = NULL;
    bool ok = run(oracle, view);
    sqlite3_free(view);
    if (ok) try = prepare(oracle, sqlite3_mprintf("SELECT * FROM %s", c->rules[i].name));
    sqlite3_finalize(try);
    if (!try) return false;
  }
  load_levels(oracle);
  return load_cells(oracle);
}

void oracle_close(Oracle *oracle) {
  for (int i = 0; i < oracle->ncells; i++) {
    OracleCell *cell = &oracle->cells[i];
    for (int v = 0; v < cell->count; v++) sqlite3_value_free(cell->values[v]);
    free(cell->values);
    sqlite3_value_free(cell->id);
    sqlite3_finalize(cell->write);
  }
  sqlite3_finalize(oracle->clear_twin);
  sqlite3_finalize(oracle->fill_twin);
  sqlite3_close(oracle->db);
  free(oracle->feasible);
  free(oracle->goals);
}

/* ---- judging -------------------------------------------------------------------------------- */

/* Only the digits that change are written; counting up, that is mostly one. */
static bool assign(Oracle *oracle, int assignment) {
  for (int i = 0; i < oracle->ncells; i++) {
    OracleCell *cell = &oracle->cells[i];
    int digit = assignment % cell->count;
    assignment /= cell->count;
    if (digit == cell->now - 1) continue;
    if (!write_value(cell, cell->values[digit])) return false;
    cell->now = digit + 1; /* 0: not written yet */
  }
  return true;
}

/* 1: kept, 0: broken, -1: an error. */
static int constraints_hold(Oracle *oracle) {
  if (!oracle->fill_twin) return 1;
  sqlite3_step(oracle->clear_twin);
  if (sqlite3_reset(oracle->clear_twin) != SQLITE_OK) return -1;
  sqlite3_step(oracle->fill_twin);
  int rc = sqlite3_reset(oracle->fill_twin);
  return rc == SQLITE_OK ? 1 : (rc & 0xff) == SQLITE_CONSTRAINT ? 0 : -1;
}

/* 1: none of them has a row, 0: some has, -1: an error. */
static int none_has_rows(sqlite3_stmt *const *queries, int count) {
  for (int i = 0; i < count; i++) {
    int step = sqlite3_step(queries[i]);
    if (sqlite3_reset(queries[i]) != SQLITE_OK) return -1;
    if (step == SQLITE_ROW) return 0;
  }
  return 1;
}

static bool total(sqlite3_stmt *query, double *out) {
  bool ok = sqlite3_step(query) == SQLITE_ROW;
  if (ok) *out += sqlite3_column_double(query, 0);
  return sqlite3_reset(query) == SQLITE_OK && ok;
}

static bool is_exact(double x) {
  return fabs(x) < 4503599627370496.0 && x * 1024 == floor(x * 1024);
}

int oracle_order(const Oracle *oracle, int level, double a, double b, bool *sure) {
  double difference = fabs(a - b), scale = oracle->scale[level];
  *sure = true;
  if (difference == 0) return 0;
  if (!(numbers_plain(oracle->c) && is_exact(a) && is_exact(b))) {
    *sure = difference > 1e-12 * fmax(scale, numbers_size(oracle->c));
  }
  return a < b ? -1 : 1;
}

int oracle_compare(const Oracle *oracle, const double *a, const double *b, int *level, bool *sure) {
  *sure = true;
  for (int l = 0; l < oracle->nlevels; l++) {
    int order = oracle_order(oracle, l, a[l], b[l], sure);
    if (order == 0) continue;
    if (level) *level = l;
    return order;
  }
  return 0;
}

bool oracle_beaten(const Oracle *oracle, const double *goals) {
  bool sure;
  for (int i = 0; i < oracle->nassignments; i++) {
    if (oracle->feasible[i] && oracle_compare(oracle, oracle->goals[i], goals, NULL, &sure) > 0 &&
        sure) {
      return true;
    }
  }
  return false;
}

/* The queries of musts and of goals; level_of is where a goal counts. */
typedef struct Queries {
  sqlite3_stmt *musts[MAX_RULES], *goals[MAX_RULES];
  int nmusts, ngoals, level_of[MAX_RULES];
} Queries;

static bool open_queries(Oracle *oracle, Queries *out) {
  for (int i = 0; i < oracle->c->nrules; i++) {
    const Rule *rule = &oracle->c->rules[i];
    sqlite3_stmt *query = NULL;
    if (rule->off) continue;
    if (rule->must) {
      query = prepare(oracle, sqlite3_mprintf("SELECT 1 FROM %s WHERE NOT must", rule->name));
      out->musts[out->nmusts++] = query;
    }
    if (rule->goal) {
      const char *sum =
          rule->minimize ? "SELECT -total(minimize) FROM %s" : "SELECT total(maximize) FROM %s";
      query = prepare(oracle, sqlite3_mprintf(sum, rule->name));
      int level = 0;
      while (oracle->levels[level] != rule->level) level++;
      out->level_of[out->ngoals] = level;
      out->goals[out->ngoals++] = query;
    }
    if (!query) return false;
  }
  return true;
}

static void close_queries(Queries *queries) {
  for (int i = 0; i < queries->nmusts; i++) sqlite3_finalize(queries->musts[i]);
  for (int i = 0; i < queries->ngoals; i++) sqlite3_finalize(queries->goals[i]);
}

static bool judge_one(Oracle *oracle, const Queries *queries, int at) {
  if (!assign(oracle, at)) return false;
  int fits = none_has_rows(queries->musts, queries->nmusts);
  if (fits > 0) fits = constraints_hold(oracle);
  oracle->feasible[at] = fits > 0;
  if (fits <= 0) return fits == 0;
  for (int i = 0; i < queries->ngoals; i++) {
    if (!total(queries->goals[i], &oracle->goals[at][queries->level_of[i]])) return false;
  }
  return true;
}

static void find_scales(Oracle *oracle) {
  for (int l = 0; l < oracle->nlevels; l++) {
    for (int i = 0; i < oracle->nassignments; i++) {
      if (oracle->feasible[i]) oracle->scale[l] = fmax(oracle->scale[l], fabs(oracle->goals[i][l]));
    }
  }
}

static void find_best(Oracle *oracle) {
  bool sure;
  for (int i = 0; i < oracle->nassignments; i++) {
    if (!oracle->feasible[i]) continue;
    if (oracle->best < 0 ||
        oracle_compare(oracle, oracle->goals[i], oracle->goals[oracle->best], NULL, &sure) > 0) {
      oracle->best = i;
    }
  }
}

bool oracle_judge(Oracle *oracle) {
  size_t n = (size_t)oracle->nassignments + 1;
  Queries queries = {0};
  oracle->feasible = calloc(n, sizeof *oracle->feasible);
  oracle->goals = calloc(n, sizeof *oracle->goals);
  bool ok = oracle->feasible && oracle->goals && open_queries(oracle, &queries);
  for (int i = 0; ok && i < oracle->nassignments; i++) ok = judge_one(oracle, &queries, i);
  close_queries(&queries);
  if (ok) find_scales(oracle);
  if (ok) find_best(oracle);
  return ok;
}

bool oracle_satisfiable(Oracle *oracle, sqlite3_stmt *const *queries, int count, bool constraints) {
  for (int i = 0; i < oracle->nassignments; i++) {
    if (assign(oracle, i) && none_has_rows(queries, count) > 0 &&
        (!constraints || constraints_hold(oracle) > 0)) {
      return true;
    }
  }
  return false;
}
