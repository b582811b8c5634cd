/*
** A row of an application: as an object of this process (link), as a row of an ordinary SQLite
** table, and where programs without objects of their own have it (RInK: Redis, and a serializer).
** Three columns are read of it each time. One run, interleaved rounds, medians.
**
**   rink BUILD [--quick]
*/
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "bench/table.h"
#include "extensions/link/link.h"
#include <cart.pb-c.h>

enum { ROWS = 1000, ITEMS = 110, PORT = 16379, ROUNDS = 7 };

static const char *build;
static char folder[] = "/tmp/tenfold-bench-link-XXXXXX";

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

/* ---- Redis ----------------------------------------------------------------------------------- */

typedef struct Redis {
  int fd;
  char buffer[1 << 18];
  size_t length, at;
} Redis;

static pid_t start_redis(void) {
  char port[16];
  snprintf(port, sizeof port, "%d", PORT);
  const pid_t child = fork();
  if (child == 0) {
    execlp("redis-server", "redis-server", "--port", port, "--save", "", "--appendonly", "no",
           "--daemonize", "no", "--loglevel", "warning", (char *)NULL);
    _exit(127);
  }
  return child;
}

static void connect_redis(Redis *redis) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  const int on = 1;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < 100; i++) {
    redis->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(redis->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(redis->fd, (struct sockaddr *)&address, sizeof address) == 0) return;
    close(redis->fd);
    nanosleep(&(struct timespec){0, 50000000}, NULL);
  }
  fail("redis-server does not answer");
}

static void ask(Redis *redis, int n, const char *const *parts, const size_t *lengths) {
  char out[1 << 15];
  size_t at = (size_t)snprintf(out, sizeof out, "*%d\r\n", n);
  for (int i = 0; i < n; i++) {
    at += (size_t)snprintf(out + at, sizeof out - at, "$%zu\r\n", lengths[i]);
    memcpy(out + at, parts[i], lengths[i]);
    memcpy(out + at + lengths[i], "\r\n", 2);
    at += lengths[i] + 2;
  }
  if (send(redis->fd, out, at, MSG_NOSIGNAL) != (ssize_t)at) fail("redis: send");
  redis->length = redis->at = 0;
}

static void more(Redis *redis) {
  const ssize_t n =
      recv(redis->fd, redis->buffer + redis->length, sizeof redis->buffer - redis->length, 0);
  if (n <= 0) fail("redis: recv");
  redis->length += (size_t)n;
}

static long take_line(Redis *redis, char *out_kind) {
  for (;;) {
    char *end = memchr(redis->buffer + redis->at, '\n', redis->length - redis->at);
    if (end) {
      *out_kind = redis->buffer[redis->at];
      const long value = atol(redis->buffer + redis->at + 1);
      redis->at = (size_t)(end - redis->buffer) + 1;
      return value;
    }
    more(redis);
  }
}

static const char *take_bulk(Redis *redis, size_t *length) {
  char kind;
  const long n = take_line(redis, &kind);
  if (kind != '$' || n < 0) fail("redis: an answer is missing");
  while (redis->length - redis->at < (size_t)n + 2) more(redis);
  const char *out = redis->buffer + redis->at;
  redis->at += (size_t)n + 2;
  *length = (size_t)n;
  return out;
}

/* ---- the rows -------------------------------------------------------------------------------- */

/* A program has the key that it asks by; it is not made while time is taken. */
typedef struct Keys {
  char cart[16], hash[16], packed[16];
} Keys;
enum { CART_KEY = 9, REDIS_KEY = 6 }; /* bytes */

static Keys keys[ROWS];

static void make_keys(void) {
  for (int i = 0; i < ROWS; i++) {
    snprintf(keys[i].cart, sizeof keys[i].cart, "cart%05d", i);
    snprintf(keys[i].hash, sizeof keys[i].hash, "h%05d", i);
    snprintf(keys[i].packed, sizeof keys[i].packed, "p%05d", i);
  }
}

/* Of the turn `i`: in no order. */
static const Keys *keys_of(int i) { return &keys[i * 7919 % ROWS]; }

static size_t pack(int number, uint8_t *out) {
  static char texts[ITEMS][2][64];
  Bench__Item items[ITEMS], *pointers[ITEMS];
  Bench__Cart cart = BENCH__CART__INIT;
  for (int i = 0; i < ITEMS; i++) {
    bench__item__init(&items[i]);
    snprintf(texts[i][0], sizeof texts[i][0], "sku-%06d", number * ITEMS + i);
    snprintf(texts[i][1], sizeof texts[i][1], "a thing that people buy, variety %06d xxxxxxxx", i);
    items[i].sku = texts[i][0];
    items[i].title = texts[i][1];
    items[i].quantity = i % 7 + 1;
    items[i].price = i * 1.25;
    pointers[i] = &items[i];
  }
  cart.id = keys[number].cart;
  cart.total = number * 0.5;
  cart.changed = number;
  cart.n_items = ITEMS;
  cart.items = pointers;
  return bench__cart__pack(&cart, out);
}

static void run(sqlite3 *db, const char *sql) {
  char *why = NULL;
  if (sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK) return;
  fprintf(stderr, "%s: %s\n", sql, why);
  exit(1);
}

static sqlite3 *open_link(const char *path) {
  char text[1000];
  sqlite3 *db;
  if (sqlite3_open(path, &db) != SQLITE_OK) fail("sqlite3_open");
  sqlite3_enable_load_extension(db, 1);
  snprintf(text, sizeof text, "%s/link.so", build);
  if (sqlite3_load_extension(db, text, NULL, NULL) != SQLITE_OK) fail(sqlite3_errmsg(db));
  return db;
}

static void fill(sqlite3 *db, const char *table, const char *id, double total, int changed,
                 const void *items, size_t length) {
  char sql[100];
  sqlite3_stmt *statement;
  snprintf(sql, sizeof sql, "INSERT INTO %s VALUES (?, ?, ?, ?)", table);
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) fail(sqlite3_errmsg(db));
  sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
  sqlite3_bind_double(statement, 2, total);
  sqlite3_bind_int(statement, 3, changed);
  sqlite3_bind_blob(statement, 4, items, (int)length, SQLITE_STATIC);
  if (sqlite3_step(statement) != SQLITE_DONE) fail(sqlite3_errmsg(db));
  sqlite3_finalize(statement);
}

/* ---- what is measured ------------------------------------------------------------------------ */

static double sum; /* so that nothing is left out */

static void read_row(sqlite3_stmt *statement, const char *id) {
  sqlite3_bind_text(statement, 1, id, CART_KEY, SQLITE_STATIC);
  if (sqlite3_step(statement) != SQLITE_ROW) fail("a row is missing");
  sum += sqlite3_column_double(statement, 0) + (double)sqlite3_column_int64(statement, 1) +
         sqlite3_column_text(statement, 2)[0];
  sqlite3_reset(statement);
}

static double read_rows(sqlite3_stmt *statement, int count) {
  const double began = now();
  for (int i = 0; i < count; i++) read_row(statement, keys_of(i)->cart);
  return (now() - began) / count;
}

static double read_pins(const LinkApi *api, LinkTable *table, int count) {
  typedef struct Row {
    uint64_t nulls;
    LinkBytes id;
    double total;
    int64_t changed;
    LinkBytes items;
  } Row;
  const double began = now();
  for (int i = 0; i < count; i++) {
    const Row *row;
    if (api->pin_text(table, keys_of(i)->cart, CART_KEY, (const void **)&row) != SQLITE_OK)
      fail("pin");
    sum += row->total + (double)row->changed + row->id.bytes[0];
    api->unpin(row);
  }
  return (now() - began) / count;
}

static double read_fields(Redis *redis, int count) {
  const double began = now();
  for (int i = 0; i < count; i++) {
    const char *parts[] = {"HMGET", keys_of(i)->hash, "total", "changed", "id"};
    const size_t lengths[] = {5, REDIS_KEY, 5, 7, 2};
    char kind;
    size_t length;
    ask(redis, 5, parts, lengths);
    if (take_line(redis, &kind) != 3) fail("redis: HMGET");
    for (int j = 0; j < 3; j++) sum += atof(take_bulk(redis, &length));
  }
  return (now() - began) / count;
}

static double read_packed(Redis *redis, int count) {
  const double began = now();
  for (int i = 0; i < count; i++) {
    const char *parts[] = {"GET", keys_of(i)->packed};
    const size_t lengths[] = {3, REDIS_KEY};
    size_t length;
    ask(redis, 2, parts, lengths);
    const char *bytes = take_bulk(redis, &length);
    Bench__Cart *cart = bench__cart__unpack(NULL, length, (const uint8_t *)bytes);
    if (!cart) fail("unpack");
    sum += cart->total + (double)cart->changed + cart->id[0];
    bench__cart__free_unpacked(cart, NULL);
  }
  return (now() - began) / count;
}

/* ---- the other owner ------------------------------------------------------------------------- */

static void create_shared(sqlite3 *db, const char *scheme, int me) {
  char text[1000], address[200] = "";
  if (me && !strcmp(scheme, "tcp"))
    snprintf(address, sizeof address, "tcp:127.0.0.1:%d", PORT + me);
  if (me && strcmp(scheme, "tcp")) snprintf(address, sizeof address, "unix:%s/%d.sock", folder, me);
  snprintf(
      text, sizeof text,
      "CREATE VIRTUAL TABLE temp.%s USING link(id TEXT PRIMARY KEY, total REAL, changed INTEGER, "
      "items BLOB, load='SELECT id, total, changed, items FROM cart WHERE id = ?', "
      "coord='local:%s/map-%s.db', me='%s')",
      scheme, folder, scheme, address);
  run(db, text);
}

static pid_t start_owner(const char *path) {
  const pid_t child = fork();
  if (child == 0) {
    sqlite3 *db = open_link(path);
    create_shared(db, "unix", 1);
    create_shared(db, "tcp", 1);
    for (;;) pause();
  }
  return child;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *table) {
  char sql[200];
  sqlite3_stmt *statement;
  snprintf(sql, sizeof sql, "SELECT total, changed, id FROM %s WHERE id = ?1", table);
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) fail(sqlite3_errmsg(db));
  return statement;
}

enum { LINK, PIN, NATIVE, FIELDS, PACKED, UNIX_OWNER, TCP_OWNER, CASES };

static void report(double results[CASES][MOST_ROUNDS], size_t size) {
  static const char *const names[] = {
      "link, a row of this process, by SQL",  "the same by link_pin",
      "an ordinary SQLite table (in memory)", "Redis HMGET, 3 fields, tcp",
      "Redis GET + protobuf-c unpack, tcp",   "link, a row of another process, unix:",
      "link, a row of another process, tcp:"};
  const double ours = median(results[LINK], ROUNDS), packed = median(results[PACKED], ROUNDS);
  printf("3 of 4 columns of a row of %zu bytes, %d rows; medians of %d rounds.\n", size, ROWS,
         ROUNDS);
  table_head(" | us | / link | / (GET + unpack) ", 1);
  for (int i = 0; i < CASES; i++) {
    const double it = median(results[i], ROUNDS);
    printf("| %s | %.3f | %.2f | %.3f |\n", names[i], it / 1000, it / ours, it / packed);
  }
}

int main(int argc, char **argv) {
  static Redis redis;
  static uint8_t packed[1 << 15];
  double results[CASES][MOST_ROUNDS];
  char path[100], text[100];
  size_t size = 0;
  if (argc < 2 || !mkdtemp(folder)) return 1;
  build = argv[1];
  const int scale = option_given(argc, argv, "--quick") ? 10 : 1;
  snprintf(path, sizeof path, "%s/app.db", folder);
  table_machine();
  sqlite3 *db = open_link(path);
  run(db, "PRAGMA journal_mode = WAL; ATTACH ':memory:' AS m;"
          "CREATE TABLE cart(id TEXT PRIMARY KEY, total REAL, changed INTEGER, items BLOB);"
          "CREATE TABLE m.plain(id TEXT PRIMARY KEY, total REAL, changed INTEGER, items BLOB);"
          "CREATE VIRTUAL TABLE temp.objects USING link(id TEXT PRIMARY KEY, total REAL, "
          "changed INTEGER, items BLOB); BEGIN");
  const pid_t server = start_redis();
  connect_redis(&redis);
  make_keys();
  for (int i = 0; i < ROWS; i++) {
    const char *id = keys[i].cart;
    char kind, total[32], changed[32];
    size = pack(i, packed);
    fill(db, "cart", id, i * 0.5, i, packed, size);
    fill(db, "plain", id, i * 0.5, i, packed, size);
    fill(db, "objects", id, i * 0.5, i, packed, size);
    const size_t a = (size_t)snprintf(total, sizeof total, "%.17g", i * 0.5);
    const size_t b = (size_t)snprintf(changed, sizeof changed, "%d", i);
    const char *set[] = {"SET", keys[i].packed, (const char *)packed};
    ask(&redis, 3, set, (size_t[]){3, REDIS_KEY, size});
    take_line(&redis, &kind);
    const char *fields[] = {"HSET", keys[i].hash, "id",    id,      "total",
                            total,  "changed",    changed, "items", (const char *)packed};
    ask(&redis, 10, fields, (size_t[]){4, REDIS_KEY, 2, CART_KEY, 5, a, 7, b, 5, size});
    take_line(&redis, &kind);
  }
  run(db, "COMMIT");
  const pid_t owner = start_owner(path);
  create_shared(db, "unix", 0);
  create_shared(db, "tcp", 0);
  sqlite3_stmt *link = prepare(db, "objects"), *native = prepare(db, "plain"),
               *unix_owner = prepare(db, "\"unix\""), *tcp_owner = prepare(db, "tcp");
  const LinkApi *api = link_api(db);
  LinkTable *objects = api->table(db, "objects");
  read_rows(unix_owner, ROWS); /* loaded */
  read_rows(tcp_owner, ROWS);
  for (int round = 0; round < ROUNDS; round++) {
    results[LINK][round] = read_rows(link, 200000 / scale);
    results[NATIVE][round] = read_rows(native, 200000 / scale);
    results[PIN][round] = read_pins(api, objects, 500000 / scale);
    results[FIELDS][round] = read_fields(&redis, 5000 / scale);
    results[PACKED][round] = read_packed(&redis, 5000 / scale);
    results[UNIX_OWNER][round] = read_rows(unix_owner, 5000 / scale);
    results[TCP_OWNER][round] = read_rows(tcp_owner, 5000 / scale);
  }
  report(results, size);
  sqlite3_stmt *all[] = {link, native, unix_owner, tcp_owner};
  for (size_t i = 0; i < 4; i++) sqlite3_finalize(all[i]);
  sqlite3_close(db);
  kill(owner, SIGKILL);
  kill(server, SIGTERM);
  waitpid(owner, NULL, 0);
  waitpid(server, NULL, 0);
  snprintf(text, sizeof text, "rm -rf '%s'", folder);
  return sum == 0 || system(text) != 0;
}
