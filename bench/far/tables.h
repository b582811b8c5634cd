/*
** What is looked up in: 100,000 rows in the far memory, by shm: and by tcp: (`near`, `remote`, and
** `spun` of the server that waits awake), and the same in a table of this process's own (`own`).
*/
#ifndef TENFOLD_BENCH_FAR_TABLES_H
#define TENFOLD_BENCH_FAR_TABLES_H

#include "bench/far/stage.h"
#include "remote/memory.h"
#include "remote/names.h"
#include "remote/scan.h"

enum { ROWS = 100000, LIST = 100 };

static inline int64_t any_id(uint64_t *random) { return (int64_t)random_below(random, ROWS) + 1; }

static inline void tables_fill(sqlite3 *db, const char *name) {
  char text[300];
  snprintf(text, sizeof text,
           "INSERT INTO %s SELECT id, id / 7.0, printf('name of %%d', id), "
           "printf('%%040d', id) FROM ids ORDER BY random()",
           name);
  sql_run(db, "BEGIN");
  sql_run(db, text);
  sql_run(db, "COMMIT");
}

static inline void tables_make(sqlite3 *db, const Stage *stage) {
  static const char columns[] = "id INTEGER PRIMARY KEY, score REAL, name TEXT%s, body TEXT%s";
  char shape[200], text[1000];
  snprintf(shape, sizeof shape, columns, "(40)", "(40)");
  sql_run(db, "CREATE TABLE ids(id INTEGER PRIMARY KEY); WITH RECURSIVE n(i) AS (SELECT 1 UNION "
              "ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO ids SELECT i FROM n");
  snprintf(text, sizeof text, "CREATE VIRTUAL TABLE near USING far_map(%s, at='%s', name='rows')",
           shape, stage->memory);
  sql_run(db, text);
  tables_fill(db, "near");
  snprintf(text, sizeof text,
           "CREATE VIRTUAL TABLE remote USING far_map(%s, at='%s', name='rows');"
           "CREATE VIRTUAL TABLE spun USING far_map(%s, at='%s', name='rows')",
           shape, stage->tcp, shape, stage->spun);
  sql_run(db, text);
  snprintf(shape, sizeof shape, columns, "", "");
  snprintf(text, sizeof text, "CREATE TABLE own(%s)", shape);
  sql_run(db, text);
  tables_fill(db, "own");
}

/* The same by the C library. */
static inline FarMap *tables_map(FarMemory *memory) {
  Fault fault = {0};
  FarName name;
  FarMapRoot root;
  FarShape shape;
  FarMap *map;
  bool found;
  if (!far_name_find(memory, "rows", &name, &found, NULL, &fault)) stage_fail(fault.text);
  FarOp op = {.code = FAR_READ, .at = name.root, .local = &root, .length = sizeof root};
  if (!far_round(memory, &op, 1, NULL, &fault)) stage_fail(fault.text);
  far_shape_of_word(root.shape, &shape);
  if (!far_map_open(memory, "rows", &shape, root.schema, false, &map, NULL, &fault))
    stage_fail(fault.text);
  return map;
}

static inline void tables_find(FarMap *map, uint64_t *random, size_t n) {
  int64_t keys[LIST];
  FarFound found[LIST];
  Fault fault = {0};
  for (size_t i = 0; i < n; i++) keys[i] = any_id(random);
  if (!far_map_find(map, keys, n, found, NULL, &fault)) stage_fail(fault.text);
  for (size_t i = 0; i < n; i++)
    if (!found[i].element) stage_fail("an element is missing");
}

#endif
