/*
** Histories of a counter, an element of a map, an element of a vector and a queue, made by several
** processes at once, over shared memory, over a server, and with rounds that fall to pieces as
** those by verbs do: is there an order in which they could have been done one by one? (Wing and
** Gong, "Testing and verifying concurrent objects", 1993.)
**
**   test-remote-linear [histories [seed [at secret]]]   at: of a server that is there
*/
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "remote/memory.h"
#include "remote/server.h"
#include "remote/vector.h"
#include "remote/word.h"
#include "test/remote/check.h"
#include "test/remote/shared/by_chains.h"

enum { PROCESSES = 4, EACH = 9, OPS = PROCESSES * EACH, SLOTS = 3, NOTHING = -1 };

typedef enum Kind { ADD, READ, WRITE, REPLACE, PUSH, POP, KINDS } Kind;

typedef struct Op {
  Kind kind;
  int64_t value, other; /* REPLACE: `other` by `value` */
  int64_t result;       /* ADD: the sum; READ, POP: what it was; REPLACE, PUSH: did it? */
  int64_t from, to;     /* to 0: it never came back */
} Op;

typedef struct State { /* of whichever object it is */
  int64_t value;
  int64_t queue[OPS];
  int64_t n;
} State;

/* ---- the checker ----------------------------------------------------------------------------- */

/* Where clients die, a queue gives back what they were taking when it is known that they are dead,
** and so in another order; until then it may look empty, and tickets that are given up make it
** smaller. */
static bool deaths;

static bool pop(State *state, const Op *op) {
  int64_t at = 0;
  if (op->to && op->result == NOTHING) return deaths || state->n == 0;
  while (deaths && op->to && at < state->n && state->queue[at] != op->result) at++;
  if (at >= state->n || (op->to && state->queue[at] != op->result)) return false;
  memmove(state->queue + at, state->queue + at + 1, (size_t)(OPS - 1 - at) * sizeof(int64_t));
  state->queue[--state->n] = 0;
  return true;
}

/* Can the operation come next, with this result (or any, when it never came back)? */
static bool apply(State *state, const Op *op) {
  const bool told = op->to != 0;
  switch (op->kind) {
  case ADD:
    state->value += op->value;
    return !told || state->value == op->result;
  case READ:
    return !told || state->value == op->result;
  case WRITE:
    state->value = op->value;
    return true;
  case REPLACE:
    if (told && op->result != (state->value == op->other)) return false;
    if (state->value == op->other) state->value = op->value;
    return true;
  case PUSH:
    if (told && !op->result) return deaths || state->n == SLOTS; /* it was full */
    if (state->n == SLOTS) return false;
    state->queue[state->n++] = op->value;
    return true;
  case POP:
    return pop(state, op);
  default:
    return false;
  }
}

typedef struct Search {
  const Op *ops;
  int n;
  Map seen;
} Search;

static bool search(Search *it, uint64_t done, const State *state) {
  struct {
    uint64_t done;
    State state;
  } key;
  memset(&key, 0, sizeof key);
  key.done = done;
  key.state = *state;
  bool added, all = true;
  int64_t first_end = INT64_MAX;
  assert(map_put(&it->seen, &key, sizeof key, 0, &added));
  if (!added) return false; /* it led nowhere before */
  for (int i = 0; i < it->n; i++) {
    if (done >> i & 1 || !it->ops[i].to) continue;
    all = false;
    if (it->ops[i].to < first_end) first_end = it->ops[i].to;
  }
  if (all) return true;
  for (int i = 0; i < it->n; i++) {
    State next = *state;
    if (done >> i & 1 || it->ops[i].from > first_end || !apply(&next, &it->ops[i])) continue;
    if (search(it, done | UINT64_C(1) << i, &next)) return true;
  }
  return false;
}

static bool linear(const Op *ops, int n) {
  Search it = {.ops = ops, .n = n};
  const State nothing = {0};
  const bool yes = search(&it, 0, &nothing);
  map_finish(&it.seen);
  return yes;
}

/* It can tell. */
static void check_checker(void) {
  const Op good[] = {{WRITE, 1, 0, 0, 1, 4}, {READ, 0, 0, 0, 2, 3}, {READ, 0, 0, 1, 3, 5}};
  assert(linear(good, 3));
  const Op stale[] = {{WRITE, 1, 0, 0, 1, 2}, {READ, 0, 0, 0, 3, 4}};
  assert(!linear(stale, 2));
  const Op back[] = {{WRITE, 1, 0, 0, 1, 9}, {READ, 0, 0, 1, 2, 3}, {READ, 0, 0, 0, 4, 5}};
  assert(!linear(back, 3));
  const Op twice[] = {{PUSH, 1, 0, 1, 1, 2}, {POP, 0, 0, 1, 3, 4}, {POP, 0, 0, 1, 5, 6}};
  assert(!linear(twice, 3));
  const Op order[] = {
      {PUSH, 1, 0, 1, 1, 2}, {PUSH, 2, 0, 1, 3, 4}, {POP, 0, 0, 2, 5, 6}, {POP, 0, 0, 1, 7, 8}};
  assert(!linear(order, 4));
  const Op lost[] = {{PUSH, 1, 0, 1, 1, 2}, {POP, 0, 0, NOTHING, 3, 4}};
  assert(!linear(lost, 2));
  const Op dead[] = {{PUSH, 1, 0, 1, 1, 0}, {POP, 0, 0, 1, 3, 4}, {POP, 0, 0, NOTHING, 5, 6}};
  assert(linear(dead, 3));
  const Op sum[] = {{ADD, 1, 0, 1, 1, 5}, {ADD, 1, 0, 1, 2, 6}};
  assert(!linear(sum, 2));
}

/* ---- histories ------------------------------------------------------------------------------- */

typedef struct Shared {
  int ready, go;
  Op ops[PROCESSES][EACH];
  int counts[PROCESSES];
} Shared;

static Shared *shared;
static const FarShape shape = {
    .kind = FAR_KEY_INTEGER, .key = 8, .stride = FAR_STAMP + 8 + 16, .slots = 8};

typedef enum Object { COUNTER, MAP_ELEMENT, VECTOR_ELEMENT, QUEUE, OBJECTS } Object;

static const char *const object_names[] = {"a counter", "an element of a map",
                                           "an element of a vector", "a queue"};

static const char *secret;
static int serial; /* of the history, where the memory is not another one each time */

typedef enum Way { SHARED, DEATHS, SERVER, CHAINS, DYING_CHAINS, WAYS } Way;
static Way way;

static const char *const way_names[] = {"in shared memory", "of whose clients two are killed",
                                        "of a server", "by chains of works",
                                        "by chains, of whose clients two are killed"};

static const char *name_of(const char *object) {
  static char name[16];
  snprintf(name, sizeof name, "%s%d", object, serial);
  return name;
}

typedef struct Client {
  FarMemory *memory;
  FarPointer word;
  FarMap *map;
  FarQueue *queue;
  FarSeen seen; /* of the last READ */
  int64_t read;
  bool known;
} Client;

static Client open_client(const char *at, Object object) {
  const FarOptions options = {.size = 8 << 20, .deadline_ns = 20000000000, .secret = secret};
  Client it = {.memory = far_open(at, &options, &fault)};
  for (int i = 0; !it.memory && i < 1000; i++, usleep(2000)) { /* a server that begins to listen */
    fault = (Fault){0};
    it.memory = far_open(at, &options, &fault);
  }
  must(it.memory != NULL);
  if (way >= CHAINS) by_chains(it.memory, random_state, 4, 300);
  const int64_t zero[2] = {0};
  const FarVectorOptions vector = {.length = 4, .group = 2, .initial = zero};
  switch (object) {
  case COUNTER:
    must(far_word_open(it.memory, name_of("c"), &it.word, NULL, &fault));
    break;
  case MAP_ELEMENT:
    must(far_map_open(it.memory, name_of("m"), &shape, 1, true, &it.map, NULL, &fault));
    break;
  case VECTOR_ELEMENT:
    must(far_vector_open(it.memory, name_of("v"), &shape, 1, &vector, &it.map, NULL, &fault));
    break;
  default:
    must(far_queue_open(it.memory, name_of("q"), &shape, 1, SLOTS, &it.queue, NULL, &fault));
  }
  return it;
}

static void close_client(Client *it) {
  far_map_close(it->map);
  far_queue_close(it->queue);
  far_close(it->memory);
}

static const uint64_t key = 1;

static bool put(Client *it, const FarSeen *seen, int64_t value) {
  const int64_t cells[2] = {value, -value};
  Fault told = {0};
  FarTxn *txn = far_txn_begin(it->memory, &fault);
  must(far_txn_put(txn, it->map, &key, cells, seen, &fault));
  const bool did = far_txn_commit(txn, NULL, &told);
  far_txn_end(txn);
  if (!did && told.code != FAULT_CONFLICT) {
    printf("Bail out! %s\n", told.text);
    exit(1);
  }
  return did;
}

static int64_t get(Client *it) {
  FarFound found;
  int64_t cells[2] = {0};
  must(far_map_find(it->map, &key, 1, &found, NULL, &fault));
  if (found.element) memcpy(cells, found.element + FAR_STAMP + 8, sizeof cells);
  assert(cells[0] == -cells[1]);
  it->seen = far_seen(&found);
  it->known = true;
  return cells[0];
}

static int64_t carry_out(Client *it, const Op *op) {
  const FarSeen any = {.stamp = FAR_ANY};
  int64_t out = 0;
  uint64_t n;
  unsigned char element[64];
  Fault told = {0};
  const int64_t cells[2] = {op->value, -op->value};
  switch (op->kind) {
  case ADD:
    must(it->map ? far_vector_add(it->map, 2, FAR_STAMP + 8, op->value, &out, NULL, &fault)
                 : far_word_add(it->memory, it->word, op->value, &out, NULL, &fault));
    return out;
  case READ:
    return it->read = get(it);
  case WRITE:
    return put(it, &any, op->value);
  case REPLACE:
    return put(it, &it->seen, op->value);
  case PUSH:
    if (far_queue_push(it->queue, cells, 1, NULL, &told)) return 1;
    assert(told.code == FAULT_FULL);
    return 0;
  default:
    must(far_queue_pop(it->queue, 1, element, &n, NULL, &fault));
    if (!n) return NOTHING;
    memcpy(&out, element + FAR_STAMP + 8, sizeof out);
    return out;
  }
}

static Op choose(const Client *it, Object object, int me, int i) {
  Op op = {.value = me * EACH + i + 1}; /* a value of its own */
  if (object == COUNTER) {
    op.kind = ADD;
    op.value = pick(3);
  } else if (object == QUEUE) {
    op.kind = pick(2) ? PUSH : POP;
  } else {
    static const Kind kinds[] = {READ, WRITE, REPLACE};
    op.kind = kinds[pick(it->known ? 3 : 2)];
    op.other = it->read;
  }
  return op;
}

static void run(const char *at, Object object, int me, uint64_t dies) {
  Client it = open_client(at, object);
  __atomic_fetch_add(&shared->ready, 1, __ATOMIC_SEQ_CST);
  while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST)) usleep(10);
  far_injection(it.memory)->dies = dies;
  for (int i = 0; i < EACH; i++) {
    Op *op = &shared->ops[me][i];
    *op = choose(&it, object, me, i);
    op->from = clock_now();
    shared->counts[me] = i + 1;
    op->result = carry_out(&it, op);
    op->to = clock_now();
    if (op->kind == REPLACE || op->kind == WRITE) it.known = false;
  }
  far_injection(it.memory)->dies = 0;
  close_client(&it);
  _exit(0);
}

static void history(const char *at, Object object, bool kill, uint64_t seed) {
  pid_t children[PROCESSES];
  Op ops[OPS];
  int n = 0;
  memset(shared, 0, sizeof *shared);
  random_state = seed;
  for (int i = 0; i < PROCESSES; i++) {
    const uint64_t dies = kill && i < 2 ? 1 + pick(60) : 0;
    fflush(stdout);
    if ((children[i] = fork()) != 0) continue;
    alarm(100);
    random_state = seed * 100 + (uint64_t)i;
    run(at, object, i, dies);
  }
  while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < PROCESSES) {
    assert(waitpid(-1, NULL, WNOHANG) == 0);
    usleep(100);
  }
  __atomic_store_n(&shared->go, 1, __ATOMIC_SEQ_CST);
  for (int i = 0; i < PROCESSES; i++) {
    int status;
    assert(waitpid(children[i], &status, 0) == children[i]);
    assert(kill && WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : status == 0);
  }
  for (int i = 0; i < PROCESSES; i++) {
    memcpy(ops + n, shared->ops[i], (size_t)shared->counts[i] * sizeof *ops);
    n += shared->counts[i];
  }
  if (linear(ops, n)) return;
  printf("not ok - %s, seed %llu%s: no order explains\n", object_names[object],
         (unsigned long long)seed, kill ? ", two were killed" : "");
  for (int i = 0; i < n; i++) {
    printf("# kind %d value %lld other %lld result %lld from %lld to %lld\n", (int)ops[i].kind,
           (long long)ops[i].value, (long long)ops[i].other, (long long)ops[i].result,
           (long long)(ops[i].from - ops[0].from),
           (long long)(ops[i].to ? ops[i].to - ops[0].from : 0));
  }
  exit(1);
}

/* ---- somebody who is slow -------------------------------------------------------------------- */

static void wait_for(int *flag) {
  while (!__atomic_load_n(flag, __ATOMIC_SEQ_CST)) usleep(100);
}
static void set(int *flag) { __atomic_store_n(flag, 1, __ATOMIC_SEQ_CST); }

static void do_op(Client *it, Op op, Op *out) {
  op.from = clock_now();
  op.result = carry_out(it, &op);
  op.to = clock_now();
  *out = op;
}

static void let_others(void) {
  set(&shared->go);
  wait_for(&shared->ready);
  usleep(50000); /* more than what is behind a claim of two phases waits */
}

/* Who has claimed the last slot takes his time; meanwhile another one is told that there is no
** room, and takes all that there is. Then it cannot be empty. */
static void slow_pusher(const char *at) {
  Op ops[SLOTS + 5];
  int status, n = 0;
  memset(shared, 0, sizeof *shared);
  way = CHAINS;
  Client slow = open_client(at, QUEUE);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    way = SHARED;
    Client it = open_client(at, QUEUE);
    wait_for(&shared->go);
    do_op(&it, (Op){.kind = PUSH, .value = 9}, &shared->ops[0][0]);
    for (int i = 1; i <= SLOTS; i++) {
      if (i == SLOTS) set(&shared->ready);
      do_op(&it, (Op){.kind = POP}, &shared->ops[0][i]);
    }
    close_client(&it);
    _exit(0);
  }
  for (; n < SLOTS; n++) {
    if (n == SLOTS - 1) by_chains_before_write(slow.memory, let_others);
    do_op(&slow, (Op){.kind = PUSH, .value = n + 1}, &ops[n]);
  }
  assert(waitpid(child, &status, 0) == child && status == 0);
  close_client(&slow);
  memcpy(ops + n, shared->ops[0], (SLOTS + 1) * sizeof *ops);
  assert(ops[n].result == 0 && linear(ops, n + SLOTS + 1));
  must(far_unlink(at, &fault));
  printf("ok %d - a claim is waited for\n", ++tests_done);
}

static void stop_here(void) { raise(SIGSTOP); }

/* … but not for ever. Who was stopped puts it when he goes on. */
static void stopped_pusher(const char *at) {
  int status;
  way = SHARED;
  Client it = open_client(at, QUEUE);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    way = CHAINS;
    Client slow = open_client(at, QUEUE);
    by_chains_before_write(slow.memory, stop_here);
    assert(carry_out(&slow, &(Op){.kind = PUSH, .value = 1}) == 1);
    close_client(&slow);
    _exit(0);
  }
  assert(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
  it.memory->options.deadline_ns = 100000000;
  assert(carry_out(&it, &(Op){.kind = PUSH, .value = 2}) == 1);
  assert(carry_out(&it, &(Op){.kind = POP}) == 2);
  assert(carry_out(&it, &(Op){.kind = POP}) == NOTHING);
  assert(kill(child, SIGCONT) == 0 && waitpid(child, &status, 0) == child && status == 0);
  assert(carry_out(&it, &(Op){.kind = POP}) == 1);
  close_client(&it);
  must(far_unlink(at, &fault));
  printf("ok %d - a client that is stopped holds nobody up\n", ++tests_done);
}

static pid_t serve(const char *at, const char *memory_at) {
  const pid_t child = fork();
  if (child == 0) {
    const FarOptions options = {.size = 8 << 20};
    FarMemory *memory = far_open(memory_at, &options, &fault);
    must(memory != NULL);
    FarServer *server = far_server_open(memory, NULL, &fault);
    must(server && far_server_listen(server, at, &fault));
    must(far_server_run(server, -1, NULL, &fault));
    _exit(0);
  }
  while (access(at + strlen("unix:"), F_OK)) usleep(2000);
  return child;
}

static void histories_at(const char *at, int histories, uint64_t seed) {
  for (int object = 0; object < OBJECTS; object++) {
    for (int i = 0; i < histories; i++, serial++)
      history(at, (Object)object, false, seed + (uint64_t)i);
    printf("ok %d - %s at %s\n", ++tests_done, object_names[object], at);
  }
}

int main(int argc, char **argv) {
  const int histories = argc > 1 ? atoi(argv[1]) : 60;
  const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  char file[64], socket[80];
  snprintf(file, sizeof file, "shm:test-linear-%d", (int)getpid());
  snprintf(socket, sizeof socket, "unix:/tmp/tenfold-linear-%d", (int)getpid());
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert(shared != MAP_FAILED);
  check_checker();
  secret = argc > 4 ? argv[4] : NULL;
  if (argc > 4) {
    histories_at(argv[3], histories, seed);
    return 0;
  }
  slow_pusher(file);
  stopped_pusher(file);
  for (way = SHARED; way < WAYS; way++) {
    deaths = way == DEATHS || way == DYING_CHAINS;
    for (int object = 0; object < OBJECTS; object++) {
      for (int i = 0; i < histories; i++) {
        const pid_t server = way == SERVER ? serve(socket, file) : 0;
        history(server ? socket : file, (Object)object, deaths, seed + (uint64_t)i);
        if (server) {
          kill(server, SIGKILL);
          waitpid(server, NULL, 0);
          unlink(socket + strlen("unix:"));
        }
        must(far_unlink(file, &fault));
      }
      printf("ok %d - %s %s\n", ++tests_done, object_names[object], way_names[way]);
    }
  }
  printf("1..%d\n", tests_done);
  return 0;
}
