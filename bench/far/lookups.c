/*
** Reading far memory against what people use instead: Redis and memcached over the same loopback,
** and a table of this process's own. All take turns; a figure is the median of the rounds' medians,
** a ratio the median of the rounds' ratios.
**
**   lookups [--long]
*/
#include <sys/time.h>

#include "bench/far/tables.h"
#include "remote/alloc.h"
#include "remote/wire.h"

enum { VALUE = 100, MOST_SAMPLES = 1001, FEW = 16 };

typedef struct World {
  Stage stage;
  FarMemory *raw, *blocking;            /* clients of their own, over tcp */
  FarPointer pointer, places[ROWS + 1]; /* of the rows, by id */
  FarWireBuffer request;
  FarMap *map;
  sqlite3 *db;
  sqlite3_stmt *tcp_point, *spun_point, *tcp_few, *shm_point, *shm_list, *own_point;
  uint64_t random;
} World;

/* ---- the cases ------------------------------------------------------------------------------- */

static void ask_point(World *w, sqlite3_stmt *stmt) {
  sqlite3_bind_int64(stmt, 1, any_id(&w->random));
  if (sql_rows(w->db, stmt) != 1) stage_fail("a row is missing");
}

static void ask_list(World *w, sqlite3_stmt *stmt) {
  const int n = sqlite3_bind_parameter_count(stmt);
  for (int i = 1; i <= n; i++) sqlite3_bind_int64(stmt, i, any_id(&w->random));
  if (sql_rows(w->db, stmt) < n - 9) stage_fail("rows are missing");
}

static void raw_read(World *w) {
  char bytes[VALUE];
  Fault fault = {0};
  FarOp op = {.code = FAR_READ,
              .at = w->places[any_id(&w->random)],
              .local = bytes,
              .length = sizeof bytes};
  if (!far_round(w->raw, &op, 1, NULL, &fault)) stage_fail(fault.text);
}

/* As the peers are asked. */
static void blocking_read(World *w) {
  const FarOp op = {.code = FAR_READ, .at = w->places[any_id(&w->random)], .length = VALUE};
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
  const int digits = snprintf(key, sizeof key, "%lld", (long long)any_id(&w->random));
  const int length =
      snprintf(request, sizeof request, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", digits, key);
  stage_ask(w->stage.redis, request, (size_t)length, sizeof "$100\r\n" - 1 + VALUE + 2);
}

static void redis_mget(World *w) {
  char request[64 + FEW * 24];
  int length = snprintf(request, sizeof request, "*%d\r\n$4\r\nMGET\r\n", FEW + 1);
  for (int i = 0; i < FEW; i++) {
    char key[16];
    const int digits = snprintf(key, sizeof key, "%lld", (long long)any_id(&w->random));
    length +=
        snprintf(request + length, sizeof request - (size_t)length, "$%d\r\n%s\r\n", digits, key);
  }
  stage_ask(w->stage.redis, request, (size_t)length,
            sizeof "*16\r\n" - 1 + FEW * (sizeof "$100\r\n" - 1 + VALUE + 2));
}

static void memcached_get(World *w) {
  char request[64], key[16];
  const int digits = snprintf(key, sizeof key, "%lld", (long long)any_id(&w->random));
  const int length = snprintf(request, sizeof request, "get %s\r\n", key);
  stage_ask(w->stage.memcached, request, (size_t)length,
            sizeof "VALUE  0 100\r\n" - 1 + (size_t)digits + VALUE + sizeof "\r\nEND\r\n" - 1);
}

static void map_point(World *w) { tables_find(w->map, &w->random, 1); }

static void tcp_point(World *w) { ask_point(w, w->tcp_point); }
static void spun_point(World *w) { ask_point(w, w->spun_point); }
static void tcp_few(World *w) { ask_list(w, w->tcp_few); }
static void shm_point(World *w) { ask_point(w, w->shm_point); }
static void shm_list(World *w) { ask_list(w, w->shm_list); }
static void own_point(World *w) { ask_point(w, w->own_point); }

static void tcp_singles(World *w) {
  for (int i = 0; i < FEW; i++) ask_point(w, w->tcp_point);
}

typedef enum CaseId {
  RAW_READ,
  BLOCKING_READ,
  TCP_POINT,
  SPUN_POINT,
  REDIS_GET,
  MEMCACHED_GET,
  TCP_SINGLES,
  TCP_FEW,
  REDIS_MGET,
  LOAD0,
  TWO_READS,
  MAP_POINT,
  SHM_POINT,
  SHM_LIST,
  OWN_POINT,
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
    [SPUN_POINT] = {"the same of a `farmemd --spin 200`", spun_point, 400, 1},
    [REDIS_GET] = {"Redis GET, tcp", redis_get, 400, 1},
    [MEMCACHED_GET] = {"memcached get, tcp", memcached_get, 400, 1},
    [TCP_SINGLES] = {"16 keys one by one, tcp", tcp_singles, 40, 1},
    [TCP_FEW] = {"`IN` of 16 keys, tcp", tcp_few, 200, 1},
    [REDIS_MGET] = {"Redis MGET of 16, tcp", redis_mget, 200, 1},
    [LOAD0] = {"LOAD0, tcp", load0, 400, 1},
    [TWO_READS] = {"two READs, the second by the first, tcp", two_reads, 400, 1},
    [MAP_POINT] = {"C: `far_map_find()` of a key, tcp", map_point, 400, 1},
    [SHM_POINT] = {"`far_map` by key, shm", shm_point, 100, 64},
    [SHM_LIST] = {"`IN` of 100 keys, shm", shm_list, 100, 4},
    [OWN_POINT] = {"an in-memory table by its key", own_point, 100, 64},
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

static sqlite3_stmt *list_of(World *w, const char *table, int n) {
  char text[1000];
  int length = snprintf(text, sizeof text, "SELECT * FROM %s WHERE id IN (?1", table);
  for (int i = 2; i <= n; i++)
    length += snprintf(text + length, sizeof text - (size_t)length, ", ?%d", i);
  snprintf(text + length, sizeof text - (size_t)length, ")");
  return sql_prepare(w->db, text);
}

static void make_tables(World *w) {
  w->db = sql_open();
  tables_make(w->db, &w->stage);
  w->spun_point = sql_prepare(w->db, "SELECT * FROM spun WHERE id = ?1");
  w->tcp_point = sql_prepare(w->db, "SELECT * FROM remote WHERE id = ?1");
  w->shm_point = sql_prepare(w->db, "SELECT * FROM near WHERE id = ?1");
  w->own_point = sql_prepare(w->db, "SELECT * FROM own WHERE id = ?1");
  w->tcp_few = list_of(w, "remote", FEW);
  w->shm_list = list_of(w, "near", LIST);
}

static void find_places(World *w) {
  int64_t keys[LIST];
  FarFound found[LIST];
  Fault fault = {0};
  for (int64_t first = 1; first <= ROWS; first += LIST) {
    for (int i = 0; i < LIST; i++) keys[i] = first + i;
    if (!far_map_find(w->map, keys, LIST, found, NULL, &fault)) stage_fail(fault.text);
    for (int i = 0; i < LIST; i++)
      w->places[keys[i]] =
          found[i].bucket + far_slot_at(far_map_shape(w->map), (unsigned)found[i].slot);
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
  w->map = tables_map(w->raw);
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
    {"`far_map` by key, `farmemd --spin 200` : Redis GET, tcp", SPUN_POINT, REDIS_GET},
    {"16 keys one by one : `IN` of 16", TCP_SINGLES, TCP_FEW},
    {"`IN` of 16 : Redis MGET of 16", TCP_FEW, REDIS_MGET},
    {"two dependent READs : LOAD0", TWO_READS, LOAD0},
    {"`far_map` by key in shm : an in-memory table", SHM_POINT, OWN_POINT},
};

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
  printf("\n## What a delay adds\n");
  print_injected(&w);
  far_map_close(w.map);
  far_wire_free(&w.request);
  far_close(w.blocking);
  far_close(w.raw);
  stage_close(&w.stage);
  return 0;
}
