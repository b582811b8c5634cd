/*
** Reading far memory against what people use instead: Redis and memcached over the same loopback,
** and a table of this process's own. All take turns; a figure is the median of the rounds' medians,
** a ratio the median of the rounds' ratios.
**
**   lookups [--long]
*/
#include <sys/time.h>

#include "bench/far/blank.h"
#include "bench/far/stage.h"
#include "remote/alloc.h"
#include "remote/memory.h"
#include "remote/names.h"
#include "remote/scan.h"
#include "remote/wire.h"

enum { ROWS = 100000, VALUE = 100, MOST_SAMPLES = 1001, LIST = 100, FEW = 16 };

typedef struct World {
  Stage stage;
  FarMemory *raw, *blocking;            /* clients of their own, over tcp */
  FarPointer pointer, places[ROWS + 1]; /* of the rows, by id */
  FarShape shape;
  FarWireBuffer request;
  FarMap *map;
  FarScan *scan;
  sqlite3 *db;
  sqlite3_stmt *tcp_point, *tcp_few, *tcp_list, *tcp_range, *shm_point, *shm_list, *own_point,
      *own_list, *own_range, *blank_point, *blank_list, *blank_range;
  uint64_t random;
} World;

static int64_t any_id(World *w) { return (int64_t)random_below(&w->random, ROWS) + 1; }

/* ---- the cases ------------------------------------------------------------------------------- */

static void ask_point(World *w, sqlite3_stmt *stmt) {
  sqlite3_bind_int64(stmt, 1, any_id(w));
  if (sql_rows(w->db, stmt) != 1) stage_fail("a row is missing");
}

static void ask_list(World *w, sqlite3_stmt *stmt) {
  const int n = sqlite3_bind_parameter_count(stmt);
  for (int i = 1; i <= n; i++) sqlite3_bind_int64(stmt, i, any_id(w));
  if (sql_rows(w->db, stmt) < n - 9) stage_fail("rows are missing");
}

static void raw_read(World *w) {
  char bytes[VALUE];
  Fault fault = {0};
  FarOp op = {.code = FAR_READ, .at = w->places[any_id(w)], .local = bytes, .length = sizeof bytes};
  if (!far_round(w->raw, &op, 1, NULL, &fault)) stage_fail(fault.text);
}

/* As the peers are asked. */
static void blocking_read(World *w) {
  const FarOp op = {.code = FAR_READ, .at = w->places[any_id(w)], .length = VALUE};
  w->request.length = 0;
  if (!far_wire_begin(&w->request, WIRE_ROUND) || !far_wire_put_op(&w->request, &op, NULL))
    stage_fail("out of memory");
  far_wire_end(&w->request, 0);
  stage_ask(w->blocking->fd, (const char *)w->request.bytes, w->request.length,
            8 + far_wire_answer_size(&op));
}

static void load0(World *w) {
  char bytes[VALUE];
  Fault fault = {0};
  FarOp op = {.code = FAR_LOAD0, .at = w->pointer, .local = bytes, .length = sizeof bytes};
  if (!far_round(w->raw, &op, 1, NULL, &fault) || op.status != FAR_DONE) stage_fail(fault.text);
}

static void two_reads(World *w) {
  char bytes[VALUE];
  FarPointer at;
  Fault fault = {0};
  FarOp first = {.code = FAR_READ, .at = w->pointer, .local = &at, .length = sizeof at};
  if (!far_round(w->raw, &first, 1, NULL, &fault)) stage_fail(fault.text);
  FarOp second = {.code = FAR_READ, .at = at, .local = bytes, .length = sizeof bytes};
  if (!far_round(w->raw, &second, 1, NULL, &fault)) stage_fail(fault.text);
}

static void redis_get(World *w) {
  char request[64], key[16];
  const int digits = snprintf(key, sizeof key, "%lld", (long long)any_id(w));
  const int length =
      snprintf(request, sizeof request, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", digits, key);
  stage_ask(w->stage.redis, request, (size_t)length, sizeof "$100\r\n" - 1 + VALUE + 2);
}

static void redis_mget(World *w) {
  char request[64 + FEW * 24];
  int length = snprintf(request, sizeof request, "*%d\r\n$4\r\nMGET\r\n", FEW + 1);
  for (int i = 0; i < FEW; i++) {
    char key[16];
    const int digits = snprintf(key, sizeof key, "%lld", (long long)any_id(w));
    length +=
        snprintf(request + length, sizeof request - (size_t)length, "$%d\r\n%s\r\n", digits, key);
  }
  stage_ask(w->stage.redis, request, (size_t)length,
            sizeof "*16\r\n" - 1 + FEW * (sizeof "$100\r\n" - 1 + VALUE + 2));
}

static void memcached_get(World *w) {
  char request[64], key[16];
  const int digits = snprintf(key, sizeof key, "%lld", (long long)any_id(w));
  const int length = snprintf(request, sizeof request, "get %s\r\n", key);
  stage_ask(w->stage.memcached, request, (size_t)length,
            sizeof "VALUE  0 100\r\n" - 1 + (size_t)digits + VALUE + sizeof "\r\nEND\r\n" - 1);
}

static void find(World *w, size_t n) {
  int64_t keys[LIST];
  FarFound found[LIST];
  Fault fault = {0};
  for (size_t i = 0; i < n; i++) keys[i] = any_id(w);
  if (!far_map_find(w->map, keys, n, found, NULL, &fault)) stage_fail(fault.text);
  for (size_t i = 0; i < n; i++)
    if (!found[i].element) stage_fail("an element is missing");
}

static void map_point(World *w) { find(w, 1); }
static void map_list(World *w) { find(w, LIST); }

static void map_range(World *w) {
  const int64_t low = 1 + (int64_t)random_below(&w->random, ROWS - LIST), high = low + LIST - 1;
  const unsigned char *element = NULL;
  Fault fault = {0};
  int n = 0;
  bool ok = far_scan_seek(w->scan, NULL, &low, &high, false, UINT64_MAX, NULL, &fault);
  while (ok && (ok = far_scan_next(w->scan, &element, NULL, NULL, &fault)) && element) n++;
  if (!ok || n != LIST) stage_fail(ok ? "elements of a range are missing" : fault.text);
}

static void own_list(World *w) { ask_list(w, w->own_list); }

static void ask_range(World *w, sqlite3_stmt *stmt) {
  sqlite3_bind_int64(stmt, 1, 1 + (int64_t)random_below(&w->random, ROWS - LIST));
  if (sql_rows(w->db, stmt) != LIST) stage_fail("rows of a range are missing");
}

static void own_range(World *w) { ask_range(w, w->own_range); }
static void blank_point(World *w) { ask_point(w, w->blank_point); }
static void blank_list(World *w) { ask_list(w, w->blank_list); }
static void blank_range(World *w) { ask_range(w, w->blank_range); }

static void tcp_point(World *w) { ask_point(w, w->tcp_point); }
static void tcp_few(World *w) { ask_list(w, w->tcp_few); }
static void tcp_list(World *w) { ask_list(w, w->tcp_list); }
static void shm_point(World *w) { ask_point(w, w->shm_point); }
static void shm_list(World *w) { ask_list(w, w->shm_list); }
static void own_point(World *w) { ask_point(w, w->own_point); }

static void tcp_singles(World *w) {
  for (int i = 0; i < FEW; i++) ask_point(w, w->tcp_point);
}

static void tcp_range(World *w) { ask_range(w, w->tcp_range); }

typedef enum CaseId {
  RAW_READ,
  BLOCKING_READ,
  TCP_POINT,
  REDIS_GET,
  MEMCACHED_GET,
  TCP_SINGLES,
  TCP_FEW,
  TCP_LIST,
  REDIS_MGET,
  LOAD0,
  TWO_READS,
  MAP_POINT,
  MAP_LIST,
  MAP_RANGE,
  TCP_RANGE,
  SHM_POINT,
  SHM_LIST,
  OWN_POINT,
  OWN_LIST,
  OWN_RANGE,
  BLANK_POINT,
  BLANK_KEYS,
  BLANK_ROWS,
  NCASES
} CaseId;

typedef struct Case {
  const char *name;
  void (*one)(World *w);
  int samples, batch;
} Case;

static const Case cases[NCASES] = {
    [RAW_READ] = {"a raw READ of a row's 100 bytes, tcp", raw_read, 400, 1},
    [BLOCKING_READ] = {"the same by a blocking socket", blocking_read, 400, 1},
    [TCP_POINT] = {"`far_map` by key, tcp", tcp_point, 400, 1},
    [REDIS_GET] = {"Redis GET, tcp", redis_get, 400, 1},
    [MEMCACHED_GET] = {"memcached get, tcp", memcached_get, 400, 1},
    [TCP_SINGLES] = {"16 keys one by one, tcp", tcp_singles, 40, 1},
    [TCP_FEW] = {"`IN` of 16 keys, tcp", tcp_few, 200, 1},
    [TCP_LIST] = {"`IN` of 100 keys, tcp", tcp_list, 200, 1},
    [REDIS_MGET] = {"Redis MGET of 16, tcp", redis_mget, 200, 1},
    [LOAD0] = {"LOAD0, tcp", load0, 400, 1},
    [TWO_READS] = {"two READs, the second by the first, tcp", two_reads, 400, 1},
    [MAP_POINT] = {"C: `far_map_find()` of a key, tcp", map_point, 400, 1},
    [MAP_LIST] = {"C: `far_map_find()` of 100 keys, tcp", map_list, 200, 1},
    [MAP_RANGE] = {"C: `far_scan_seek()` and 100 elements, tcp", map_range, 200, 1},
    [TCP_RANGE] = {"a range of 100 rows, tcp", tcp_range, 200, 1},
    [SHM_POINT] = {"`far_map` by key, shm", shm_point, 100, 64},
    [SHM_LIST] = {"`IN` of 100 keys, shm", shm_list, 100, 4},
    [OWN_POINT] = {"an in-memory table by its key", own_point, 100, 64},
    [OWN_LIST] = {"`IN` of 100 keys, an in-memory table", own_list, 100, 4},
    [OWN_RANGE] = {"a range of 100 rows, an in-memory table", own_range, 100, 4},
    [BLANK_POINT] = {"SQLite alone: a row by its key", blank_point, 100, 64},
    [BLANK_KEYS] = {"SQLite alone: `IN` of 100 keys", blank_list, 100, 4},
    [BLANK_ROWS] = {"SQLite alone: a range of 100 rows", blank_range, 100, 4},
};

static bool missing(const World *w, CaseId id) {
  return ((id == REDIS_GET || id == REDIS_MGET) && w->stage.redis < 0) ||
         (id == MEMCACHED_GET && w->stage.memcached < 0);
}

/* The time of one of a batch, in microseconds. */
static double time_of(World *w, const Case *it) {
  const int64_t since = now_ns();
  for (int j = 0; j < it->batch; j++) it->one(w);
  return (double)(now_ns() - since) / it->batch / 1000;
}

/* The median time of one, in microseconds. */
static double measure(World *w, CaseId id) {
  static double samples[MOST_SAMPLES];
  const Case *it = &cases[id];
  if (missing(w, id)) return NAN;
  for (int i = 0; i < it->samples; i++) samples[i] = time_of(w, it);
  qsort(samples, (size_t)it->samples, sizeof *samples, table_by_value);
  return samples[it->samples / 2];
}

/* ---- what they read -------------------------------------------------------------------------- */

static void fill_table(World *w, const char *name) {
  char text[300];
  snprintf(text, sizeof text,
           "INSERT INTO %s SELECT id, id / 7.0, printf('name of %%d', id), "
           "printf('%%040d', id) FROM ids ORDER BY random()",
           name);
  sql_run(w->db, "BEGIN");
  sql_run(w->db, text);
  sql_run(w->db, "COMMIT");
}

static sqlite3_stmt *range_of(World *w, const char *table) {
  char text[100];
  snprintf(text, sizeof text, "SELECT * FROM %s WHERE id BETWEEN ?1 AND ?1 + 99", table);
  return sql_prepare(w->db, text);
}

static sqlite3_stmt *list_of(World *w, const char *table, int n) {
  char text[1000];
  int length = snprintf(text, sizeof text, "SELECT * FROM %s WHERE id IN (?1", table);
  for (int i = 2; i <= n; i++)
    length += snprintf(text + length, sizeof text - (size_t)length, ", ?%d", i);
  snprintf(text + length, sizeof text - (size_t)length, ")");
  return sql_prepare(w->db, text);
}

static void make_tables(World *w) {
  static const char columns[] = "id INTEGER PRIMARY KEY, score REAL, name TEXT%s, body TEXT%s";
  char shape[200], text[500];
  snprintf(shape, sizeof shape, columns, "(40)", "(40)");
  w->db = sql_open();
  sql_check(w->db, blank_make(w->db));
  sql_run(w->db, "CREATE TABLE ids(id INTEGER PRIMARY KEY); WITH RECURSIVE n(i) AS (SELECT 1 UNION "
                 "ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO ids SELECT i FROM n");
  snprintf(text, sizeof text, "CREATE VIRTUAL TABLE near USING far_map(%s, at='%s', name='rows')",
           shape, w->stage.memory);
  sql_run(w->db, text);
  fill_table(w, "near");
  snprintf(text, sizeof text, "CREATE VIRTUAL TABLE remote USING far_map(%s, at='%s', name='rows')",
           shape, w->stage.tcp);
  sql_run(w->db, text);
  snprintf(shape, sizeof shape, columns, "", "");
  snprintf(text, sizeof text, "CREATE TABLE own(%s)", shape);
  sql_run(w->db, text);
  fill_table(w, "own");
  w->tcp_point = sql_prepare(w->db, "SELECT * FROM remote WHERE id = ?1");
  w->shm_point = sql_prepare(w->db, "SELECT * FROM near WHERE id = ?1");
  w->own_point = sql_prepare(w->db, "SELECT * FROM own WHERE id = ?1");
  w->blank_point = sql_prepare(w->db, "SELECT * FROM blank WHERE id = ?1");
  w->tcp_few = list_of(w, "remote", FEW);
  w->tcp_list = list_of(w, "remote", LIST);
  w->shm_list = list_of(w, "near", LIST);
  w->own_list = list_of(w, "own", LIST);
  w->blank_list = list_of(w, "blank", LIST);
  w->own_range = range_of(w, "own");
  w->tcp_range = range_of(w, "remote");
  w->blank_range = range_of(w, "blank");
}

static void open_map(World *w) {
  Fault fault = {0};
  FarName name;
  FarMapRoot root;
  bool found;
  if (!far_name_find(w->raw, "rows", &name, &found, NULL, &fault)) stage_fail(fault.text);
  FarOp op = {.code = FAR_READ, .at = name.root, .local = &root, .length = sizeof root};
  if (!far_round(w->raw, &op, 1, NULL, &fault)) stage_fail(fault.text);
  far_shape_of_word(root.shape, &w->shape);
  if (!far_map_open(w->raw, "rows", &w->shape, root.schema, false, &w->map, NULL, &fault) ||
      !(w->scan = far_scan_begin(w->map, &fault)))
    stage_fail(fault.text);
}

static void find_places(World *w) {
  int64_t keys[LIST];
  FarFound found[LIST];
  Fault fault = {0};
  for (int64_t first = 1; first <= ROWS; first += LIST) {
    for (int i = 0; i < LIST; i++) keys[i] = first + i;
    if (!far_map_find(w->map, keys, LIST, found, NULL, &fault)) stage_fail(fault.text);
    for (int i = 0; i < LIST; i++)
      w->places[keys[i]] = found[i].bucket + far_slot_at(&w->shape, (unsigned)found[i].slot);
  }
}

static void make_raw(World *w) {
  const struct timeval for_ever = {0};
  Fault fault = {0};
  if (!(w->raw = far_open(w->stage.tcp, NULL, &fault)) ||
      !(w->blocking = far_open(w->stage.tcp, NULL, &fault)) ||
      !far_alloc(w->raw, 8, FAR_USE_BYTES, &w->pointer, NULL, &fault))
    stage_fail(fault.text);
  setsockopt(w->blocking->fd, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof for_ever);
  open_map(w);
  find_places(w);
  FarOp op = {.code = FAR_WRITE, .at = w->pointer, .local = &w->places[1], .length = 8};
  if (!far_round(w->raw, &op, 1, NULL, &fault)) stage_fail(fault.text);
}

static void fill_peers(World *w) {
  char request[300], value[VALUE + 1];
  memset(value, 'v', VALUE);
  value[VALUE] = '\0';
  for (int id = 1; id <= ROWS; id++) {
    char key[16];
    const int digits = snprintf(key, sizeof key, "%d", id);
    if (w->stage.redis >= 0) {
      const int n = snprintf(request, sizeof request,
                             "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$100\r\n%s\r\n", digits, key, value);
      stage_ask(w->stage.redis, request, (size_t)n, sizeof "+OK\r\n" - 1);
    }
    if (w->stage.memcached >= 0) {
      const int n = snprintf(request, sizeof request, "set %s 0 0 100\r\n%s\r\n", key, value);
      stage_ask(w->stage.memcached, request, (size_t)n, sizeof "STORED\r\n" - 1);
    }
  }
}

/* ---- a slower network ------------------------------------------------------------------------ */

static void inject(World *w, int ns) {
  char text[100];
  snprintf(text, sizeof text, "SELECT far_inject('ns', %d, '%s')", ns, w->stage.memory);
  sql_run(w->db, text);
}

/* The median of what a delay adds, of pairs with and without it: the rounds that somebody waited
** for, when it is divided by the delay. */
static double added(World *w, CaseId id, int ns) {
  static double samples[MOST_SAMPLES];
  for (int i = 0; i < MOST_SAMPLES; i++) {
    double times[2]; /* without, with */
    for (int turn = 0; turn < 2; turn++) {
      const int with = (i + turn) % 2; /* each is as often the first */
      inject(w, with ? ns : 0);
      times[with] = time_of(w, &cases[id]);
    }
    samples[i] = times[1] - times[0];
  }
  qsort(samples, MOST_SAMPLES, sizeof *samples, table_by_value);
  return samples[MOST_SAMPLES / 2];
}

static void print_injected(World *w) {
  static const int delays[] = {1000, 3000, 10000};
  static const CaseId which[] = {SHM_POINT, SHM_LIST};
  table_head(" injected per round | added to a look-up : injected | to an `IN` of 100 ", 1);
  for (size_t d = 0; d < countof(delays); d++) {
    printf("| %d us |", delays[d] / 1000);
    for (size_t c = 0; c < countof(which); c++)
      printf(" %.2f |", added(w, which[c], delays[d]) * 1000 / delays[d]);
    printf("\n");
  }
  inject(w, 0);
}

/* ---- showing --------------------------------------------------------------------------------- */

typedef struct Ratio {
  const char *name;
  CaseId of, to;
} Ratio;

static const Ratio ratios[] = {
    {"`far_map` by key : a raw READ, tcp", TCP_POINT, RAW_READ},
    {"`far_map` by key : a READ by a blocking socket", TCP_POINT, BLOCKING_READ},
    {"`far_map` by key : Redis GET, tcp", TCP_POINT, REDIS_GET},
    {"`far_map` by key : memcached get, tcp", TCP_POINT, MEMCACHED_GET},
    {"16 keys one by one : `IN` of 16", TCP_SINGLES, TCP_FEW},
    {"`IN` of 16 : Redis MGET of 16", TCP_FEW, REDIS_MGET},
    {"`IN` of 100 : one key", TCP_LIST, TCP_POINT},
    {"C: 100 keys : one key", MAP_LIST, MAP_POINT},
    {"two dependent READs : LOAD0", TWO_READS, LOAD0},
    {"a range of 100 rows : one key", TCP_RANGE, TCP_POINT},
    {"C: a range of 100 elements : one key", MAP_RANGE, MAP_POINT},
    {"`far_map` by key in shm : an in-memory table", SHM_POINT, OWN_POINT},
};

static const Ratio floors[] = {{"`IN` of 100 : one key", BLANK_KEYS, BLANK_POINT},
                               {"a range of 100 rows : one key", BLANK_ROWS, BLANK_POINT}};

int main(int argc, char **argv) {
  const int rounds = option_given(argc, argv, "--long") ? 31 : 15;
  static double times[NCASES][MOST_ROUNDS];
  static World w = {.random = 1};
  table_machine();
  stage_open(&w.stage);
  make_tables(&w);
  make_raw(&w);
  fill_peers(&w);
  for (int r = -1; r < rounds; r++) {
    for (CaseId id = 0; id < NCASES; id++) {
      const double time = measure(&w, id);
      if (r >= 0) times[id][r] = time;
    }
  }
  printf("SQLite %s. %d rows of about 100 bytes; %d rounds.\n\n## Looking up\n",
         sqlite3_libversion(), ROWS, rounds);
  table_head(" what | us ", 1);
  for (CaseId id = 0; id < NCASES; id++)
    printf("| %s | %.2f |\n", cases[id].name, median(times[id], rounds));
  table_head(" ratio of times | median ", 1);
  for (size_t i = 0; i < countof(ratios); i++) {
    double values[MOST_ROUNDS];
    for (int r = 0; r < rounds; r++) values[r] = times[ratios[i].of][r] / times[ratios[i].to][r];
    printf("| %s | %.2f |\n", ratios[i].name, median(values, rounds));
  }
  table_head(" what it would be if rows cost SQLite's own time and nothing else | ratio ", 1);
  for (size_t i = 0; i < countof(floors); i++) {
    double values[MOST_ROUNDS];
    for (int r = 0; r < rounds; r++)
      values[r] = 1 + (times[floors[i].of][r] - times[floors[i].to][r]) / times[TCP_POINT][r];
    printf("| %s | %.2f |\n", floors[i].name, median(values, rounds));
  }
  printf("\n## A slower network\n");
  print_injected(&w);
  far_scan_end(w.scan);
  far_map_close(w.map);
  far_wire_free(&w.request);
  far_close(w.blocking);
  far_close(w.raw);
  stage_close(&w.stage);
  return 0;
}
