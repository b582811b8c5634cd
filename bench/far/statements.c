/*
** Lists of 100 keys and ranges of 100 rows against one row, by what a statement reads. SQLite makes
** a table of a list, and takes rows and their columns one by one: what that takes by itself is
** measured with a table that looks for nothing (blank.h). Then the same with rounds that take
** longer, as they do where there is a network.
**
**   statements [--long]
*/
#include "bench/far/blank.h"
#include "bench/far/tables.h"

typedef enum Kind { POINT, KEYS, RANGE, BARE_POINT, BARE_KEYS, BARE_RANGE, NKINDS } Kind;

typedef struct Shape {
  const char *name;
  const char *what, *order;
  bool parameters; /* the list's keys are; else they come out of a table */
  int rows;        /* of a list or range */
} Shape;

static const Shape shapes[] = {
    {"`sum(score)`", "sum(score)", "", false, 1},
    {"`name`, keys out of a table", "name", "", false, LIST},
    {"`id, score … ORDER BY id`, likewise", "id, score", " ORDER BY id", false, LIST},
    {"`*`, 100 parameters", "*", "", true, LIST},
};

enum { NSHAPES = countof(shapes), LIBRARY = NSHAPES, NLINES, SAMPLES = 200, DAYS = ROWS / LIST };

typedef struct World {
  Stage stage;
  sqlite3 *db;
  sqlite3_stmt *stmts[NSHAPES][NKINDS];
  FarMemory *memory;
  FarMap *map;
  FarScan *scan;
  uint64_t random;
  double times[NLINES][NKINDS][MOST_ROUNDS];
} World;

/* ---- statements ------------------------------------------------------------------------------ */

static sqlite3_stmt *statement(World *w, const Shape *shape, Kind kind) {
  char text[1200];
  const char *table = kind >= BARE_POINT ? "blank" : "remote";
  int n = snprintf(text, sizeof text, "SELECT %s FROM %s WHERE id ", shape->what, table);
  const size_t left = sizeof text - (size_t)n;
  if (kind % BARE_POINT == POINT) {
    snprintf(text + n, left, "= ?1");
  } else if (kind % BARE_POINT == RANGE) {
    snprintf(text + n, left, "BETWEEN ?1 AND ?1 + 99%s", shape->order);
  } else if (!shape->parameters) {
    snprintf(text + n, left, "IN (SELECT uid FROM recent WHERE day = ?1)%s", shape->order);
  } else {
    for (int i = 1; i <= LIST; i++)
      n += snprintf(text + n, sizeof text - (size_t)n, "%s?%d", i == 1 ? "IN (" : ", ", i);
    snprintf(text + n, sizeof text - (size_t)n, ")");
  }
  return sql_prepare(w->db, text);
}

static void prepare(World *w) {
  sql_run(w->db, "CREATE TABLE recent(day, uid, PRIMARY KEY(day, uid)) WITHOUT ROWID; INSERT INTO "
                 "recent SELECT id / 100, id * 7919 % 100000 + 1 FROM ids");
  for (int s = 0; s < NSHAPES; s++)
    for (Kind k = 0; k < NKINDS; k++) w->stmts[s][k] = statement(w, &shapes[s], k);
}

static void ask(World *w, const Shape *shape, sqlite3_stmt *stmt, Kind kind) {
  const int keys = sqlite3_bind_parameter_count(stmt);
  if (kind == POINT || keys > 1) {
    for (int i = 1; i <= keys; i++) sqlite3_bind_int64(stmt, i, any_id(&w->random));
  } else { /* of a day, or from here on */
    const uint64_t most = kind == RANGE ? ROWS - LIST : DAYS - 1;
    sqlite3_bind_int64(stmt, 1, 1 + (int64_t)random_below(&w->random, most));
  }
  const int rows = sql_rows(w->db, stmt), wanted = kind == POINT ? 1 : shape->rows;
  if (rows < wanted - (keys > 1 ? 9 : 0)) stage_fail("rows are missing");
}

/* ---- the C library --------------------------------------------------------------------------- */

static void map_range(World *w) {
  const int64_t low = 1 + (int64_t)random_below(&w->random, ROWS - LIST), high = low + LIST - 1;
  const unsigned char *element = NULL;
  Fault fault = {0};
  int n = 0;
  bool ok = far_scan_seek(w->scan, NULL, &low, &high, false, UINT64_MAX, NULL, &fault);
  while (ok && (ok = far_scan_next(w->scan, &element, NULL, NULL, &fault)) && element) n++;
  if (!ok || n != LIST) stage_fail(ok ? "elements of a range are missing" : fault.text);
}

static void ask_library(World *w, Kind kind) {
  if (kind == POINT) tables_find(w->map, &w->random, 1);
  if (kind == KEYS) tables_find(w->map, &w->random, LIST);
  if (kind == RANGE) map_range(w);
}

/* ---- measuring ------------------------------------------------------------------------------- */

/* The median time of one, in microseconds. */
static double measure(World *w, int line, Kind kind) {
  static double samples[SAMPLES];
  for (int i = 0; i < SAMPLES; i++) {
    const int64_t since = now_ns();
    if (line == LIBRARY) {
      ask_library(w, kind);
    } else {
      ask(w, &shapes[line], w->stmts[line][kind], kind % BARE_POINT);
    }
    samples[i] = (double)(now_ns() - since) / 1000;
  }
  qsort(samples, SAMPLES, sizeof *samples, table_by_value);
  return samples[SAMPLES / 2];
}

static void measure_all(World *w, int rounds, int nkinds) {
  for (int r = -1; r < rounds; r++) {
    for (int line = 0; line < NLINES; line++) {
      for (Kind k = 0; k < (Kind)(line == LIBRARY ? BARE_POINT : nkinds); k++) {
        const double time = measure(w, line, k);
        if (r >= 0) w->times[line][k][r] = time;
      }
    }
  }
}

/* The median of the rounds' ratios. */
static double ratio(const World *w, int rounds, int line, Kind of) {
  double values[MOST_ROUNDS];
  for (int r = 0; r < rounds; r++) values[r] = w->times[line][of][r] / w->times[line][POINT][r];
  return median(values, rounds);
}

/* What it would be if rows took SQLite's own time and nothing else. */
static double bound(const World *w, int rounds, int line, Kind of) {
  double values[MOST_ROUNDS];
  for (int r = 0; r < rounds; r++) {
    const double(*it)[MOST_ROUNDS] = w->times[line];
    values[r] = 1 + (it[BARE_POINT + of][r] - it[BARE_POINT][r]) / it[POINT][r];
  }
  return median(values, rounds);
}

static const char *name_of(int line) {
  return line == LIBRARY ? "C: `far_map_find()`, `far_scan_seek()`" : shapes[line].name;
}

static void print_shapes(const World *w, int rounds) {
  table_head(
      " what is read, tcp | a row, us | `IN` of 100, us | : a row | SQLite's own | a range of "
      "100, us | : a row | SQLite's own ",
      1);
  for (int line = 0; line < NLINES; line++) {
    printf("| %s | %.2f |", name_of(line), median(w->times[line][POINT], rounds));
    for (Kind k = KEYS; k <= RANGE; k++) {
      printf(" %.2f | %.2f |", median(w->times[line][k], rounds), ratio(w, rounds, line, k));
      if (line == LIBRARY) {
        printf(" |");
      } else {
        printf(" %.2f |", bound(w, rounds, line, k));
      }
    }
    printf("\n");
  }
}

static void print_slower(World *w, int rounds) {
  static const int added[] = {30, 100};
  printf("\n## A slower network\n");
  table_head(" what is read, tcp | microseconds more per round | `IN` of 100 : a row | a range of "
             "100 : a row ",
             1);
  for (size_t i = 0; i < countof(added); i++) {
    char text[100];
    snprintf(text, sizeof text, "SELECT far_inject('ns', %d000, '%s')", added[i], w->stage.tcp);
    sql_run(w->db, text);
    far_injection(w->memory)->ns = added[i] * 1000;
    measure_all(w, rounds, BARE_POINT);
    for (int line = 0; line < NLINES; line++)
      printf("| %s | %d | %.2f | %.2f |\n", name_of(line), added[i], ratio(w, rounds, line, KEYS),
             ratio(w, rounds, line, RANGE));
  }
}

int main(int argc, char **argv) {
  const int rounds = option_given(argc, argv, "--long") ? 31 : 15;
  static World w = {.random = 1};
  Fault fault = {0};
  stage_open(&w.stage);
  w.db = sql_open();
  sql_check(w.db, blank_make(w.db));
  tables_make(w.db, &w.stage);
  prepare(&w);
  if (!(w.memory = far_open(w.stage.tcp, NULL, &fault))) stage_fail(fault.text);
  w.map = tables_map(w.memory);
  if (!(w.scan = far_scan_begin(w.map, &fault))) stage_fail(fault.text);
  measure_all(&w, rounds, NKINDS);
  printf("\n## Lists and ranges\n");
  print_shapes(&w, rounds);
  print_slower(&w, 5);
  far_scan_end(w.scan);
  far_map_close(w.map);
  far_close(w.memory);
  stage_close(&w.stage);
  return 0;
}
