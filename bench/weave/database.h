/*
** The cluster as tables and the policy as views: what a user of weave would have. Pods that run
** already are rows like the others, out of the model's scope.
*/
#ifndef TENFOLD_BENCH_WEAVE_DATABASE_H
#define TENFOLD_BENCH_WEAVE_DATABASE_H

#include <sqlite3.h>
#include <stdarg.h>

#include "bench/weave/cluster.h"

static const char database_tables[] =
    "CREATE TABLE node(name TEXT PRIMARY KEY, cpu INTEGER NOT NULL, mem INTEGER NOT NULL,"
    "  pods INTEGER NOT NULL, zone TEXT NOT NULL, price REAL NOT NULL);"
    "CREATE TABLE label(node TEXT, key TEXT, value TEXT, PRIMARY KEY(node, key)) WITHOUT ROWID;"
    "CREATE TABLE taint(node TEXT, key TEXT, value TEXT, PRIMARY KEY(node, key)) WITHOUT ROWID;"
    "CREATE TABLE pod(name TEXT PRIMARY KEY, app TEXT NOT NULL, cpu INTEGER NOT NULL,"
    "  mem INTEGER NOT NULL, prio INTEGER NOT NULL, zone TEXT, status TEXT NOT NULL,"
    "  node TEXT REFERENCES node(name));"
    "CREATE INDEX pod_node ON pod(node);"
    "CREATE INDEX pod_app ON pod(app);"
    "CREATE INDEX pod_status ON pod(status);"
    "CREATE TABLE toleration(pod TEXT, key TEXT, value TEXT, PRIMARY KEY(pod, key)) WITHOUT ROWID;"
    "CREATE TABLE selector(pod TEXT, key TEXT, value TEXT, PRIMARY KEY(pod, key)) WITHOUT ROWID;"
    "CREATE TABLE anti_affinity(app TEXT, other TEXT, PRIMARY KEY(app, other)) WITHOUT ROWID;"
    "CREATE TABLE excluded(app TEXT, node TEXT, PRIMARY KEY(app, node)) WITHOUT ROWID;"
    "CREATE TABLE distance(app TEXT, zone TEXT, far REAL, PRIMARY KEY(app, zone)) WITHOUT ROWID;";

static const char database_rules[] =
    "CREATE VIEW r_capacity AS"
    "  SELECT n.name, sum(p.cpu) <= n.cpu AND sum(p.mem) <= n.mem AND count(*) <= n.pods AS must"
    "  FROM node n JOIN pod p ON p.node = n.name GROUP BY n.name;"
    "CREATE VIEW r_taints AS"
    "  SELECT p.name, p.node IS NULL OR NOT EXISTS (SELECT 1 FROM taint t WHERE t.node = p.node"
    "    AND NOT EXISTS (SELECT 1 FROM toleration o WHERE o.pod = p.name AND o.key = t.key"
    "      AND coalesce(o.value, t.value) = t.value)) AS must"
    "  FROM pod p WHERE p.status = 'Pending';"
    "CREATE VIEW r_selector AS"
    "  SELECT p.name, p.node IS NULL OR NOT EXISTS (SELECT 1 FROM selector s WHERE s.pod = p.name"
    "    AND NOT EXISTS (SELECT 1 FROM label l WHERE l.node = p.node AND l.key = s.key"
    "      AND l.value = s.value)) AS must"
    "  FROM pod p WHERE p.status = 'Pending';"
    "CREATE VIEW r_zone AS"
    "  SELECT p.name, n.zone = p.zone AS must FROM pod p JOIN node n ON n.name = p.node"
    "  WHERE p.status = 'Pending' AND p.zone IS NOT NULL;"
    "CREATE VIEW r_excluded AS"
    "  SELECT p.name, NOT EXISTS (SELECT 1 FROM excluded e WHERE e.app = p.app"
    "    AND e.node = p.node) AS must"
    "  FROM pod p WHERE p.status = 'Pending';"
    "CREATE VIEW r_anti AS"
    "  SELECT a.name, b.name AS other, a.node <> b.node AS must FROM pod a"
    "  JOIN anti_affinity x ON x.app = a.app JOIN pod b ON b.app = x.other AND b.name > a.name;";

static const char database_goals[] =
    "CREATE VIEW node_load AS"
    "  SELECT n.name, 1.0 * total(p.cpu) / n.cpu AS cpu, 1.0 * total(p.mem) / n.mem AS mem"
    "  FROM node n LEFT JOIN pod p ON p.node = n.name GROUP BY n.name;"
    "CREATE VIEW o_unplaced AS"
    "  SELECT 10 * (node IS NULL) AS minimize FROM pod WHERE status = 'Pending';"
    "CREATE VIEW o_peak AS SELECT max(cpu) + max(mem) AS minimize FROM node_load;"
    "CREATE VIEW o_cost AS"
    "  SELECT n.price * (p.cpu / 4000.0 + p.mem / 16384.0) + d.far AS minimize"
    "  FROM pod p JOIN node n ON n.name = p.node JOIN distance d ON d.app = p.app"
    "    AND d.zone = n.zone WHERE p.status = 'Pending';"
    "CREATE VIEW o_place AS"
    "  SELECT (1 + prio) * (node IS NOT NULL) AS maximize FROM pod WHERE status = 'Pending';"
    "CREATE VIEW o_balance AS SELECT min(1.0 - cpu) AS maximize FROM node_load;";

/* The goals of a model, for RULES. */
static const char *const database_goal_rules[NGOALS] = {"o_unplaced, o_peak", "o_unplaced, o_cost",
                                                        "o_place 1, o_balance 2"};

static inline void database_check(sqlite3 *db, int rc) {
  if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE) return;
  fprintf(stderr, "%s\n", sqlite3_errmsg(db));
  exit(2);
}

static inline void database_run(sqlite3 *db, const char *sql) {
  database_check(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static inline sqlite3_stmt *database_prepare(sqlite3 *db, const char *sql) {
  sqlite3_stmt *stmt = NULL;
  database_check(db, sqlite3_prepare_v2(db, sql, -1, &stmt, NULL));
  return stmt;
}

/* Runs one statement, whose arguments are given by a string of types: s text, i int, d double. */
static inline void database_insert(sqlite3_stmt *stmt, const char *types, ...) {
  va_list args;
  va_start(args, types);
  for (int i = 0; types[i]; i++) {
    if (types[i] == 's') {
      sqlite3_bind_text(stmt, i + 1, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
    } else if (types[i] == 'i') {
      sqlite3_bind_int(stmt, i + 1, va_arg(args, int));
    } else {
      sqlite3_bind_double(stmt, i + 1, va_arg(args, double));
    }
  }
  va_end(args);
  sqlite3_step(stmt);
  database_check(sqlite3_db_handle(stmt), sqlite3_reset(stmt));
}

enum { NAME_SIZE = 32 };

static inline const char *database_name(char *out, char kind, int i) {
  snprintf(out, NAME_SIZE, "%c%05d", kind, i);
  return out;
}

/* What a node is, and what runs there: its use, in `running` pods. */
static inline void database_add_node(sqlite3 *db, const Cluster *c, int n) {
  static const char *const sql[] = {
      "INSERT INTO node VALUES(?1, ?2, ?3, ?4, 'zone' || ?5, ?6)",
      "INSERT INTO label VALUES(?1, 'disk', 'ssd')",
      "INSERT INTO taint VALUES(?1, 'dedicated', 'batch')",
      "INSERT INTO pod VALUES(?1, 'base', ?2, ?3, 0, NULL, 'Running', ?4)"};
  const Node *node = &c->nodes[n];
  char name[NAME_SIZE], pod[2 * NAME_SIZE];
  sqlite3_stmt *stmts[4];
  for (int i = 0; i < 4; i++) stmts[i] = database_prepare(db, sql[i]);
  database_name(name, 'n', n);
  database_insert(stmts[0], "siiiid", name, node->cpu, node->mem, node->pods, node->zone,
                  node->price);
  if (node->ssd) database_insert(stmts[1], "s", name);
  if (node->tainted) database_insert(stmts[2], "s", name);
  int cpu = node->used_cpu, mem = node->used_mem;
  for (int left = node->running; left > 0; left--) {
    snprintf(pod, sizeof pod, "r%s-%d", name, left);
    database_insert(stmts[3], "siis", pod, cpu / left, mem / left, name);
    cpu -= cpu / left;
    mem -= mem / left;
  }
  for (int i = 0; i < 4; i++) sqlite3_finalize(stmts[i]);
}

static inline void database_add_pod(sqlite3 *db, const Cluster *c, int p) {
  static const char *const sql[] = {"INSERT INTO pod VALUES(?1, ?2, ?3, ?4, ?5, iif(?6 < 0, NULL, "
                                    "'zone' || ?6), 'Pending', NULL)",
                                    "INSERT INTO toleration VALUES(?1, 'dedicated', NULL)",
                                    "INSERT INTO selector VALUES(?1, 'disk', 'ssd')"};
  const App *app = &c->apps[c->app_of[p]];
  char name[NAME_SIZE], group[NAME_SIZE];
  sqlite3_stmt *stmts[3];
  for (int i = 0; i < 3; i++) stmts[i] = database_prepare(db, sql[i]);
  database_name(name, 'p', p);
  database_insert(stmts[0], "ssiiii", name, database_name(group, 'a', c->app_of[p]), app->cpu,
                  app->mem, app->priority, app->zone);
  if (app->tolerates) database_insert(stmts[1], "s", name);
  if (app->ssd) database_insert(stmts[2], "s", name);
  for (int i = 0; i < 3; i++) sqlite3_finalize(stmts[i]);
}

static inline void database_add_app(sqlite3 *db, const Cluster *c, int a) {
  static const char *const sql[] = {"INSERT INTO anti_affinity VALUES(?1, ?1)",
                                    "INSERT INTO distance VALUES(?1, 'zone' || ?2, ?3)",
                                    "INSERT INTO excluded VALUES(?1, ?2)"};
  const App *app = &c->apps[a];
  char name[NAME_SIZE], node[NAME_SIZE];
  sqlite3_stmt *stmts[3];
  for (int i = 0; i < 3; i++) stmts[i] = database_prepare(db, sql[i]);
  database_name(name, 'a', a);
  if (app->spread) database_insert(stmts[0], "s", name);
  for (int z = 0; z < ZONES; z++) database_insert(stmts[1], "sid", name, z, app->distance[z]);
  for (int n = 0; n < c->nnodes; n++) {
    if (!cluster_excludes(app, n)) continue;
    database_insert(stmts[2], "ss", name, database_name(node, 'n', n));
  }
  for (int i = 0; i < 3; i++) sqlite3_finalize(stmts[i]);
}

static inline sqlite3 *database_make(const Cluster *c, const char *path) {
  sqlite3 *db = NULL;
  if (sqlite3_open(path, &db) != SQLITE_OK) exit(2);
  database_run(db, "BEGIN");
  database_run(db, database_tables);
  for (int n = 0; n < c->nnodes; n++) database_add_node(db, c, n);
  for (int p = 0; p < c->npods; p++) database_add_pod(db, c, p);
  for (int a = 0; a < c->napps; a++) database_add_app(db, c, a);
  database_run(db, database_rules);
  database_run(db, database_goals);
  database_run(db, "COMMIT");
  return db;
}

/* Where the pending pods are now. */
static inline void database_placement(sqlite3 *db, const Cluster *c, int *out) {
  sqlite3_stmt *stmt = database_prepare(db, "SELECT substr(name, 2), substr(node, 2) FROM pod"
                                            " WHERE status = 'Pending'");
  for (int p = 0; p < c->npods; p++) out[p] = UNPLACED;
  while (sqlite3_step(stmt) == SQLITE_ROW) {
    int pod = sqlite3_column_int(stmt, 0);
    bool placed = sqlite3_column_type(stmt, 1) != SQLITE_NULL;
    if (pod >= 0 && pod < c->npods && placed) out[pod] = sqlite3_column_int(stmt, 1);
  }
  database_check(db, sqlite3_finalize(stmt));
}

#endif
