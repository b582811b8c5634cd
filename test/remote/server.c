/*
** A server and its clients: over a socket and in the same memory, clients that die and clients that
** lie, servers that die and come back.
*/
#define _GNU_SOURCE
#include <sys/socket.h>

#include "remote/address.h"
#include "remote/map.h"
#include "remote/scan.h"
#include "remote/txn.h"
#include "remote/wire.h"
#include "remote/word.h"
#include "test/remote/serving.h"

enum { ROWS = 1000 };

static const FarShape shape = {.kind = FAR_KEY_INTEGER, .key = 8, .stride = 24, .slots = 16};

static pid_t serve(const char *secret) {
  const FarServerOptions how = {.secret = secret, .most_clients = 8};
  return start(&how);
}

static FarMemory *open_with(const char *where, const char *secret) {
  const FarOptions options = {.deadline_ns = PATIENCE, .secret = secret};
  FarMemory *memory = far_open(where, &options, &fault);
  must(memory != NULL);
  return memory;
}

static FarMap *map_of(FarMemory *memory) {
  FarMap *map;
  must(far_map_open(memory, "m", &shape, 1, true, &map, NULL, &fault));
  return map;
}

static bool put(FarMemory *memory, FarMap *map, int64_t key, int64_t value) {
  const FarSeen any = {.stamp = FAR_ANY};
  FarTxn *txn = far_txn_begin(memory, &fault);
  const bool did =
      far_txn_put(txn, map, &key, &value, &any, &fault) && far_txn_commit(txn, NULL, &fault);
  far_txn_end(txn);
  return did;
}

static int64_t get(FarMap *map, int64_t key) {
  FarFound found;
  int64_t value = -1;
  must(far_map_find(map, &key, 1, &found, NULL, &fault));
  if (found.element) memcpy(&value, found.element + 16, 8);
  return value;
}

/* Two sorts of client of one memory. */
static void both_ways(void) {
  const pid_t server = serve("word");
  FarMemory *near = open_it(file), *far = open_with(at, "word");
  FarMap *left = map_of(near), *right = map_of(far);
  for (int64_t i = 0; i < ROWS; i++)
    must(i % 2 ? put(near, left, i * 7 % ROWS, i) : put(far, right, i * 7 % ROWS, i));
  for (int64_t i = 0; i < ROWS; i++) {
    assert(get(left, i * 7 % ROWS) == i);
    assert(get(right, i * 7 % ROWS) == i);
  }
  far_map_close(left);
  far_map_close(right);
  far_close(near);
  far_close(far);
  stop(server);
  ok("a client over a socket, and one in the same memory");
}

static void secrets(void) {
  const pid_t server = serve("word");
  static const char *const wrong[] = {NULL, "", "words"};
  for (int i = 0; i < 3; i++) {
    const FarOptions options = {.secret = wrong[i]};
    Fault told = {0};
    assert(!far_open(at, &options, &told) && told.code == FAULT_DENIED);
    assert(strstr(told.text, "secret"));
  }
  FarMemory *memory = open_with(at, "word");
  far_close(memory);
  stop(server);
  ok("who does not know the secret is sent away, and told why");
}

/* A client dies with locks and a prepared transaction; another one goes on at once. */
static void death(void) {
  const pid_t server = serve(NULL);
  FarMemory *memory = open_it(at);
  FarMap *map = map_of(memory);
  FarPointer word;
  FarLocked locked;
  must(far_word_open(memory, "mutex", &word, NULL, &fault));
  const pid_t child = fork();
  if (child == 0) {
    static const unsigned char mark[FAR_MARK];
    const FarSeen any = {.stamp = FAR_ANY};
    FarMemory *mine = open_it(at);
    FarMap *its = map_of(mine);
    must(far_mutex_lock(mine, word, 0, &locked, NULL, &fault) && locked == FAR_LOCKED);
    FarTxn *txn = far_txn_begin(mine, &fault);
    for (int64_t i = 0; i < 100; i++) must(far_txn_put(txn, its, &i, &i, &any, &fault));
    must(far_txn_prepare(txn, mark, NULL, &fault));
    raise(SIGKILL);
  }
  waitpid(child, NULL, 0);
  assert(!far_revive(memory, NULL, NULL) == false);
  must(far_mutex_lock(memory, word, PATIENCE, &locked, NULL, &fault));
  assert(locked == FAR_LOCKED_RECOVERED);
  for (int64_t i = 0; i < 100; i++) must(put(memory, map, i, i + 5));
  assert(get(map, 99) == 104);
  far_map_close(map);
  far_close(memory);
  stop(server);
  ok("a client dies with a mutex and a prepared transaction");
}

/* The server dies, and comes back with what it kept, or without. */
static void restart(bool kept) {
  pid_t server = serve(NULL);
  FarMemory *memory = open_it(at);
  FarMap *map = map_of(memory);
  must(put(memory, map, 1, 11));
  stop(server);
  const int64_t key = 1;
  FarFound found;
  Fault told = {0};
  assert(!far_map_find(map, &key, 1, &found, NULL, &told) && told.code == FAULT_IO);
  told = (Fault){0};
  assert(!far_revive(memory, NULL, &told) && told.code == FAULT_IO);
  if (!kept) must(far_unlink(file, &fault));
  server = serve(NULL);
  told = (Fault){0};
  const bool revived = far_revive(memory, NULL, &told);
  assert(revived == kept);
  if (kept) {
    assert(get(map, 1) == 11);
    must(put(memory, map, 1, 12));
  } else {
    assert(told.code == FAULT_IO && strstr(told.text, "made anew"));
  }
  far_map_close(map);
  far_close(memory);
  stop(server);
  ok(kept ? "the server dies, and its memory is kept" : "the server dies, and its memory is lost");
}

/* Nobody answers: an error within the deadline. */
static void freeze(void) {
  const pid_t server = serve(NULL);
  const FarOptions options = {.deadline_ns = 100000000};
  FarMemory *memory = far_open(at, &options, &fault);
  must(memory != NULL);
  kill(server, SIGSTOP);
  FarPointer word;
  Fault told = {0};
  const int64_t before = clock_now();
  assert(!far_word_open(memory, "w", &word, NULL, &told) && told.code == FAULT_IO);
  assert(clock_now() - before < INT64_C(5000000000));
  kill(server, SIGCONT);
  while (!far_revive(memory, NULL, &told) && clock_now() - before < PATIENCE) pause_ms(10);
  must(far_word_open(memory, "w", &word, NULL, &fault));
  far_close(memory);
  stop(server);
  ok("a server that is stopped is given up in time, and found again");
}

/* ---- lies ------------------------------------------------------------------------------------ */

static uint64_t state = 1;
static unsigned pick(unsigned n) {
  state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (unsigned)((state >> 33) % n);
}

/* A client that knows how to begin, and then says anything. */
static void lie(int kind) {
  const FarOptions options = {.deadline_ns = PATIENCE};
  unsigned char bytes[4096];
  size_t n = pick(sizeof bytes);
  for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)(pick(3) ? pick(256) : 0);
  if (kind == 0) { /* not even that */
    const int fd = address_connect(at, clock_now() + PATIENCE, NULL, &fault);
    must(fd >= 0);
    const ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
    (void)sent;
    close(fd);
    return;
  }
  FarMemory *memory = far_open(at, &options, &fault);
  must(memory != NULL);
  FarOp ops[8];
  const FarSearch search = {.shape = shape, .wanted = shape.stride};
  static const unsigned char key[FAR_MOST_KEY];
  unsigned char local[4096] = {0};
  for (int i = 0; i < 8; i++) {
    const uint64_t offset = pick(2) ? pick(16 << 20) : state;
    ops[i] = (FarOp){.code = (FarCode)pick(FAR_NCODES),
                     .at = far_pointer(pick(8) ? far_region_of(memory) : pick(4096), 0,
                                       pick(4) ? offset & ~UINT64_C(7) : offset),
                     .index = pick(2) ? pick(64) : state,
                     .local = local,
                     .length = 64 + pick(sizeof local - 64),
                     .search = &search,
                     .key = key};
    if (kind == 1 && ops[i].code < FAR_FIND) ops[i].code = FAR_LOAD0 + (int)pick(3);
    const bool reads = ops[i].code <= FAR_READ || ops[i].code >= FAR_FIND ||
                       (ops[i].code >= FAR_LOAD0 && ops[i].code <= FAR_LOAD2);
    if (!reads) ops[i].code = FAR_READ;
  }
  Fault told = {0};
  far_round(memory, ops, 8, NULL, &told); /* nothing that writes: others use the memory */
  far_close(memory);
}

static void lies(void) {
  const pid_t server = serve(NULL);
  FarMemory *memory = open_it(at);
  FarMap *map = map_of(memory);
  must(put(memory, map, 1, 111));
  for (int i = 0; i < 600; i++) lie(i % 3);
  assert(get(map, 1) == 111);
  int status;
  assert(waitpid(server, &status, WNOHANG) == 0);
  far_map_close(map);
  far_close(memory);
  stop(server);
  ok("clients that send anything harm nobody");
}

int main(void) {
  begin_tests();
  both_ways();
  secrets();
  death();
  restart(true);
  restart(false);
  freeze();
  lies();
  return end_tests();
}
