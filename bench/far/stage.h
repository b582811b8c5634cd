/*
** What the benchmarks of far play on: a farmemd, a Redis and a memcached of their own on loopback,
** and the shortest way to each. The peers' clients here are prepared bytes and a blocking socket:
** no client library is faster.
*/
#ifndef TENFOLD_BENCH_FAR_STAGE_H
#define TENFOLD_BENCH_FAR_STAGE_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/array.h"
#include "bench/table.h"

static inline void stage_fail(const char *what) {
  fprintf(stderr, "bench: %s\n", what);
  exit(2);
}

static inline int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* xorshift64* (Vigna, 2016). */
static inline uint64_t random_below(uint64_t *state, uint64_t n) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return (*state * UINT64_C(0x2545f4914f6cdd1d) >> 11) % n;
}

/* ---- servers --------------------------------------------------------------------------------- */

/* NAME in the build folder, of which this program is in test/. */
static inline const char *stage_built(const char *name, char out[4200]) {
  ssize_t length = readlink("/proc/self/exe", out, 4096);
  for (int up = 0; up < 2 && length > 0; up++) {
    while (length > 0 && out[--length] != '/') continue;
  }
  if (length <= 0) stage_fail("where am I?");
  snprintf(out + length, (size_t)(4200 - length), "/%s", name);
  return out;
}

static inline int stage_port(void) { /* that nobody uses */
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof at;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) ||
      getsockname(fd, (struct sockaddr *)&at, &length))
    stage_fail("no port");
  close(fd);
  return ntohs(at.sin_port);
}

/* It ends when we do. */
static inline pid_t stage_start(char *const *words) {
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(126);
    execvp(words[0], words);
    _exit(127);
  }
  return child;
}

static inline int stage_connect(int port) {
  struct sockaddr_in at = {.sin_family = AF_INET,
                           .sin_addr = {htonl(INADDR_LOOPBACK)},
                           .sin_port = htons((uint16_t)port)};
  const struct timespec pause = {.tv_nsec = 2000000};
  const int on = 1;
  for (int64_t until = now_ns() + 5000000000; now_ns() < until; nanosleep(&pause, NULL)) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0) {
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return fd;
    }
    if (fd >= 0) close(fd);
  }
  return -1;
}

typedef struct Stage {
  char tcp[64], spun[64]; /* of the farmemd; of another one, that waits awake */
  char memory[64];
  pid_t servers[4];
  int redis, memcached; /* sockets; -1: it is not there */
} Stage;

/* A farmemd that serves the stage's memory, and sleeps not before `spin` microseconds. */
static inline pid_t stage_farmemd(Stage *stage, char *spin, char at[64]) {
  char farmemd[4200];
  const int port = stage_port();
  snprintf(at, 64, "tcp:127.0.0.1:%d", port);
  stage_built("farmemd", farmemd);
  const pid_t server = stage_start((char *[]){farmemd, "--quiet", "--memory", stage->memory,
                                              "--listen", at, "--spin", spin, NULL});
  const int fd = stage_connect(port);
  if (fd < 0) stage_fail("farmemd does not come up");
  close(fd);
  return server;
}

static inline void stage_open(Stage *stage) {
  char port[16];
  snprintf(stage->memory, sizeof stage->memory, "shm:bench-%d", (int)getpid());
  stage->servers[0] = stage_farmemd(stage, "0", stage->tcp);
  stage->servers[3] = stage_farmemd(stage, "200", stage->spun);
  const int redis_port = stage_port();
  snprintf(port, sizeof port, "%d", redis_port);
  stage->servers[1] = stage_start((char *[]){"redis-server", "--port", port, "--bind", "127.0.0.1",
                                             "--save", "", "--appendonly", "no", NULL});
  stage->redis = stage_connect(redis_port);
  const int memcached_port = stage_port();
  snprintf(port, sizeof port, "%d", memcached_port);
  stage->servers[2] = stage_start((char *[]){"memcached", "-l", "127.0.0.1", "-p", port, "-U", "0",
                                             "-t", "1", "-u", "root", NULL});
  stage->memcached = stage_connect(memcached_port);
}

static inline void stage_close(Stage *stage) {
  for (size_t i = 0; i < countof(stage->servers); i++) {
    kill(stage->servers[i], SIGKILL);
    waitpid(stage->servers[i], NULL, 0);
  }
  char path[100];
  snprintf(path, sizeof path, "/dev/shm/tenfold-%s", stage->memory + 4);
  unlink(path);
}

/* Sends, and reads until so many bytes have come. */
static inline void stage_ask(int fd, const char *request, size_t length, size_t answer) {
  static char room[1 << 20];
  if (send(fd, request, length, 0) != (ssize_t)length) stage_fail("a peer is gone");
  for (size_t have = 0; have < answer;) {
    const ssize_t n = recv(fd, room, sizeof room, 0);
    if (n <= 0) stage_fail("a peer is gone");
    have += (size_t)n;
  }
}

/* ---- SQLite ---------------------------------------------------------------------------------- */

static inline void sql_check(sqlite3 *db, int rc) {
  if (rc != SQLITE_OK && rc != SQLITE_ROW && rc != SQLITE_DONE) stage_fail(sqlite3_errmsg(db));
}

/* One thread uses it, so nothing is locked, as in the shell: it configures SQLite likewise. */
static inline sqlite3 *sql_open(void) {
  static const int how = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  char path[4200], *message = NULL;
  sqlite3 *db;
  if (sqlite3_open_v2(":memory:", &db, how, NULL)) stage_fail("SQLite");
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
  if (sqlite3_load_extension(db, stage_built("far", path), NULL, &message)) stage_fail(message);
  return db;
}

static inline void sql_run(sqlite3 *db, const char *text) {
  sql_check(db, sqlite3_exec(db, text, NULL, NULL, NULL));
}

static inline sqlite3_stmt *sql_prepare(sqlite3 *db, const char *text) {
  sqlite3_stmt *stmt;
  sql_check(db, sqlite3_prepare_v2(db, text, -1, &stmt, NULL));
  return stmt;
}

/* Reads a cell as what it is. */
static inline void sql_cell(sqlite3_stmt *stmt, int i) {
  switch (sqlite3_column_type(stmt, i)) {
  case SQLITE_INTEGER:
    sqlite3_column_int64(stmt, i);
    break;
  case SQLITE_FLOAT:
    sqlite3_column_double(stmt, i);
    break;
  default:
    sqlite3_column_blob(stmt, i);
  }
}

/* All rows of it; how many. */
static inline int sql_rows(sqlite3 *db, sqlite3_stmt *stmt) {
  int rows = 0, rc;
  while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    for (int i = sqlite3_column_count(stmt); i-- > 0;) sql_cell(stmt, i);
    rows++;
  }
  sql_check(db, rc);
  sqlite3_reset(stmt);
  return rows;
}

static inline int64_t sql_integer(sqlite3 *db, const char *text) {
  sqlite3_stmt *stmt = sql_prepare(db, text);
  sql_check(db, sqlite3_step(stmt));
  const int64_t value = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  return value;
}

#endif
