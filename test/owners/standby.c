/*
** Copies of slices in far memory, without processes: one table is the owner, another one takes
** over, and what is in it is compared with an array. The test is the coordinator: it tells tables
** what has been said.
**
** - With a table behind (through), a row that was taken over is what was committed last, whenever
**   the owner is interrupted; what is not there is to be loaded.
** - Without, all rows are there, as they were when the copy was last known to be whole, or later.
** - Who is no owner any more cannot change a copy, nor make changes that it has not.
** - Whatever bytes are in far memory, nothing worse comes of them than rows that are not there.
**
**   test-owners-standby ROUNDS SEED
*/
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remote/memory.h"
#include "remote/owners/node.h"
#include "remote/owners/standby.h"
#include "remote/owners/standby_inside.h"

enum { KEYS = 400, SLICES = 5, LONG = 3000, PATIENCE = 5000 };

static OwnNode *node;
static char at[64];
static uint64_t epochs = 1, random_state = 1;

static unsigned pick(unsigned n) {
  random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (unsigned)(random_state >> 33) % n;
}

static void pause_ms(int ms) {
  const struct timespec time = {0, ms * 1000000L};
  nanosleep(&time, NULL);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static OwnTable *open_table(OwnWrite write, bool begun) {
  Fault fault = {0};
  OwnType type = {.ncolumns = 3,
                  .key = 1,
                  .columns = {{.name = "n", .kind = OWN_INTEGER},
                              {.name = "id", .kind = OWN_TEXT},
                              {.name = "b", .kind = OWN_BLOB}}};
  own_type_place(&type);
  OwnTable *table = own_table_make("rows", &type, SLICES);
  assert(table);
  table->node = node;
  table->write = write;
  table->loads = write != OWN_WRITE_NONE;
  table->strict = true;
  epochs++;
  for (int i = 0; i < SLICES; i++) {
    table->slices[i].epoch = epochs;
    table->slices[i].state = OWN_CLOSED;
    if (begun) own_slice_begin(table, i, epochs);
  }
  table->standby = own_standby_open(table, "test", at, NULL, &fault);
  assert(table->standby);
  return table;
}

static OwnKey key_of(char id[32], int key) {
  return own_key_text(id, (uint64_t)snprintf(id, 32, "key %d", key));
}

static OwnObject *make(const OwnTable *table, int key, int64_t n) {
  static char bytes[LONG * 200];
  char id[32];
  OwnRow row = {0};
  const OwnKey k = key_of(id, key);
  own_set_integer(&table->type, row.words, 0, n);
  own_set_bytes(&table->type, row.words, 1, k.text.bytes, k.text.length);
  /* Of any number of parts; every 50th is too long to be copied. */
  const uint64_t length = key % 50 == 49 ? sizeof bytes : key % 3 ? 10 : (uint64_t)n * 97 % LONG;
  memset(bytes, (char)n, length);
  own_set_bytes(&table->type, row.words, 2, bytes, length);
  return own_object_make(&table->type, row.words);
}

/* What a row says, after looking at all of it; 0: it is not there. */
static int64_t look(OwnTable *table, int key, OwnAnswer *out) {
  char id[32];
  const OwnKey k = key_of(id, key);
  OwnObject *object;
  uint64_t ticket;
  *out = own_table_find(table, &k, &object, &ticket);
  if (!object) return 0;
  const int64_t n = own_integer(&table->type, object->row, 0);
  OwnObject *wanted = make(table, key, n);
  assert(wanted->size == object->size);
  const OwnBytes a = own_bytes(&table->type, object->row, 2);
  const OwnBytes b = own_bytes(&table->type, wanted->row, 2);
  assert(a.length == b.length && !memcmp(a.bytes, b.bytes, a.length));
  own_object_drop(wanted);
  own_object_drop(object);
  return n;
}

/* Until all copies are whole: then the coordinator would be told. */
static void say(OwnTable *table) {
  for (int i = 0; i < SLICES; i++) {
    OwnSlice *slice = &table->slices[i];
    for (int tries = 0;; tries++) {
      pthread_mutex_lock(&slice->lock);
      const bool full = slice->copy.state == OWN_COPY_KEPT && slice->copy.full;
      if (full) slice->copy.said = slice->copy.told = true;
      pthread_mutex_unlock(&slice->lock);
      if (full) break;
      if (tries == PATIENCE) {
        OwnStandbyStats stats;
        own_standby_stats(table, &stats);
        printf("Bail out! slice %d is %d: %s\n", i, slice->copy.state, stats.trouble);
        exit(1);
      }
      pause_ms(1);
    }
  }
}

static void generations(OwnTable *table, uint64_t *out) {
  for (int i = 0; i < SLICES; i++) {
    pthread_mutex_lock(&table->slices[i].lock);
    out[i] = table->slices[i].copy.generation;
    pthread_mutex_unlock(&table->slices[i].lock);
  }
}

/* Another one, that has taken everything over. */
static OwnTable *take_over(OwnWrite write, OwnTable *from) {
  int numbers[SLICES];
  uint64_t of[SLICES];
  generations(from, of);
  OwnTable *table = open_table(write, false);
  for (int i = 0; i < SLICES; i++) numbers[i] = i;
  own_standby_adopt(table, numbers, of, SLICES, true);
  for (int i = 0; i < SLICES; i++) own_slice_begin(table, i, table->slices[i].epoch);
  return table;
}

static bool whole(OwnTable *table) {
  bool ok = true;
  for (int i = 0; i < SLICES; i++) ok = ok && own_standby_drain(table, i) == OWN_COPY_KEPT;
  return ok;
}

/* ---- changes --------------------------------------------------------------------------------- */

typedef struct Model {
  OwnTable *table;
  int64_t n[KEYS], least[KEYS]; /* now, and when the copy was whole; 0: there is none */
  bool pending[KEYS], removed[KEYS];
} Model;

/* One transaction of a few rows; sometimes it is never ended, or undone. */
static void change(Model *it, bool may_hang) {
  static int64_t count;
  OwnChange changes[4];
  size_t n = 0, failed;
  const int end = (int)pick(10);
  int keys[4];
  const int first = (int)pick(KEYS - 4);
  for (int i = 0; i < 4; i++) {
    const int key = first + i;
    if (it->pending[key] || pick(3) == 0) continue;
    char id[32];
    const OwnKey k = key_of(id, key);
    const bool gone = pick(5) == 0;
    OwnObject *object =
        gone ? own_object_make_gone(&it->table->type, &k) : make(it->table, key, ++count);
    changes[n] = (OwnChange){.object = object, .expect = OWN_ANY};
    keys[n++] = key;
  }
  /* Nobody's: never ended. */
  const void *who = end || !may_hang ? (const void *)it : &it->pending[first];
  assert(own_table_prepare(it->table, changes, n, who, &failed) == OWN_FOUND);
  if (who == it && end == 1) own_table_abort(it->table, who);
  if (who == it && end != 1) own_table_commit(it->table, who);
  for (size_t i = 0; i < n; i++) {
    if (who != it) it->pending[keys[i]] = true;
    const OwnObject *object = changes[i].object;
    /* With a database it has happened there when the owner is not told of it any more. */
    const bool happens = who == it ? end != 1 : it->table->write == OWN_WRITE_THROUGH;
    if (happens) {
      it->n[keys[i]] = object->gone ? 0 : own_integer(&it->table->type, object->row, 0);
      it->removed[keys[i]] = it->removed[keys[i]] || object->gone;
    }
    own_object_drop(changes[i].object);
  }
}

/* Rows that the database would give after a miss. */
static void load(Model *it, int key) {
  char id[32];
  const OwnKey k = key_of(id, key);
  OwnObject *object;
  uint64_t ticket;
  if (own_table_find(it->table, &k, &object, &ticket) == OWN_MISS && it->n[key]) {
    object = make(it->table, key, it->n[key]);
    own_table_add(it->table, &object, ticket);
  }
  own_object_drop(object);
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* `all`: every row that is there has to be in the copy, but for those that are too long. */
static int check(const Model *it, OwnTable *taken, bool all) {
  int rows = 0;
  for (int key = 0; key < KEYS; key++) {
    OwnAnswer answer;
    const int64_t n = look(taken, key, &answer);
    assert(answer == OWN_FOUND || answer == OWN_ABSENT || (answer == OWN_MISS && taken->loads));
    if (taken->write == OWN_WRITE_THROUGH && n) assert(n == it->n[key]); /* never an old one */
    if (all && key % 50 != 49) assert(n == it->n[key]);
    rows += n != 0;
  }
  return rows;
}

static int round_of(OwnWrite write, int rounds) {
  Model it = {.table = open_table(write, true)};
  const bool through = write == OWN_WRITE_THROUGH;
  int rows = 0;
  for (int round = 0; round < rounds; round++) {
    say(it.table);
    const bool settled = pick(2), more = pick(2);
    for (unsigned i = pick(300); i > 0; i--) {
      change(&it, false);
      if (through) load(&it, (int)pick(KEYS));
    }
    if (settled || !through) assert(whole(it.table));
    memcpy(it.least, it.n, sizeof it.n);
    memset(it.removed, 0, sizeof it.removed);
    const bool exact = settled && !more;
    for (unsigned i = more ? pick(30) : 0; i > 0; i--) change(&it, true);
    OwnTable *old = it.table;
    OwnTable *taken = take_over(write, old);
    if (through) { /* what is not there is loaded: then all of it is right */
      rows += check(&it, taken, false);
    } else {
      for (int key = 0; key < KEYS && !exact; key++) {
        OwnAnswer answer;
        const int64_t n = look(taken, key, &answer);
        assert(!n || it.removed[key] || (n >= it.least[key] && n <= it.n[key]));
        assert(n || !it.least[key] || it.removed[key] || key % 50 == 49);
        if (key % 50 != 49) it.n[key] = n; /* so it is from now on */
      }
      rows += exact ? check(&it, taken, true) : 1;
      for (int key = 49; key < KEYS; key += 50) it.n[key] = 0;
    }
    own_table_free(old);
    it.table = taken;
    memset(it.pending, 0, sizeof it.pending);
    for (int key = 0; through && key < KEYS; key++) load(&it, key);
  }
  own_table_free(it.table);
  return rows;
}

/* ---- rows that are being changed ------------------------------------------------------------- */

static void set(OwnTable *table, int key, int64_t n, const void *who, bool end) {
  size_t failed;
  OwnChange change = {.object = make(table, key, n), .expect = OWN_ANY};
  assert(own_table_prepare(table, &change, 1, who, &failed) == OWN_FOUND);
  if (end) own_table_commit(table, who);
  own_object_drop(change.object);
}

/* Whoever changes a row has written it to the database, and never says so. In the meantime the copy
** is begun, or (`later`) is there already and other rows of it are written. */
static void check_pending(bool later) {
  OwnTable *table = open_table(OWN_WRITE_THROUGH, false);
  const int somebody = 0;
  if (!later) pthread_mutex_lock(&table->standby->lock); /* no copy is begun */
  for (int i = 0; i < SLICES; i++) own_slice_begin(table, i, epochs);
  for (int key = 0; key < 40; key++) set(table, key, 1, table, true);
  if (later) say(table);
  for (int key = 0; key < 40; key += 4) set(table, key, 2, &somebody, false);
  if (!later) pthread_mutex_unlock(&table->standby->lock);
  say(table);
  for (int key = 1; key < 40; key += 2) set(table, key, 3, table, true);
  assert(whole(table));
  OwnTable *taken = take_over(OWN_WRITE_THROUGH, table);
  int rows = 0;
  for (int key = 0; key < 40; key++) {
    OwnAnswer answer;
    const int64_t n = look(taken, key, &answer);
    assert(!n || n == (key % 2 ? 3 : key % 4 ? 1 : 2));
    rows += n != 0;
  }
  assert(rows >= 20);
  own_table_free(table);
  own_table_free(taken);
}

/* ---- memory= --------------------------------------------------------------------------------- */

/* What had to go out of memory goes out of the copy: it would take more and more. */
static void check_evicted(void) {
  OwnTable *table = open_table(OWN_WRITE_THROUGH, true);
  size_t here = 0, there = 0;
  table->most = 50000;
  say(table);
  for (int key = 0; key < KEYS; key++) {
    set(table, key, 1, table, true);
    if (key % 20 == 0) assert(whole(table)); /* what is there now has been written */
  }
  assert(whole(table));
  OwnTable *taken = take_over(OWN_WRITE_THROUGH, table);
  for (int i = 0; i < SLICES; i++) {
    here += table->slices[i].count;
    there += taken->slices[i].count;
  }
  assert(here > 0 && here < KEYS / 2 && there > 0 && there <= here);
  own_table_free(table);
  own_table_free(taken);
}

/* ---- former owners --------------------------------------------------------------------------- */

static void check_fence(OwnWrite write) {
  Model it = {.table = open_table(write, true)}, other = {0};
  for (int i = 0; i < 200; i++) change(&it, false);
  say(it.table);
  assert(whole(it.table));
  other = it;
  other.table = take_over(write, it.table);
  assert(check(&it, other.table, true) > 50);
  for (int i = 0; i < 50; i++) change(&other, false);
  assert(whole(other.table));
  /* The former one goes on, as if nothing had happened. */
  OwnChange changes[SLICES];
  size_t failed, n = 0;
  for (int key = 0; n < SLICES; key++) {
    char id[32];
    const OwnKey k = key_of(id, key);
    if (own_slice_of(it.table, k.hash) != (int)n) continue;
    changes[n++] = (OwnChange){.object = make(it.table, key, 1000000), .expect = OWN_ANY};
  }
  for (size_t i = 0; i < n; i++) {
    const OwnAnswer answer = own_table_prepare(it.table, &changes[i], 1, &it, &failed);
    assert(answer == (write == OWN_WRITE_THROUGH ? OWN_WAIT : OWN_FOUND));
    if (answer == OWN_FOUND) own_table_commit(it.table, &it);
    if (answer == OWN_FOUND) assert(own_standby_drain(it.table, (int)i) == OWN_COPY_FAILED);
    assert(own_table_prepare(it.table, &changes[i], 1, &it, &failed) == OWN_WAIT);
    own_object_drop(changes[i].object);
  }
  assert(whole(other.table));
  OwnTable *third = take_over(write, other.table);
  assert(check(&other, third, true) > 50);
  own_table_free(it.table);
  own_table_free(other.table);
  own_table_free(third);
}

/* ---- memories that are not what they should be ----------------------------------------------- */

/* Bytes of rows and heads are turned over, one here and there. */
static void check_hostile(void) {
  Fault fault = {0};
  for (int round = 0; round < 12; round++) {
    Model it = {.table = open_table(OWN_WRITE_NONE, true)};
    for (int i = 0; i < 150; i++) change(&it, false);
    say(it.table);
    assert(whole(it.table));
    FarMemory *memory = far_open(at, NULL, &fault);
    assert(memory);
    unsigned char *bytes = memory->mapped.base;
    for (int i = 0; i < 3000; i++) {
      const uint64_t to = memory->head.next_extent ? memory->head.data : 0;
      bytes[to + pick(40) * 65536 + pick(65536)] ^= (unsigned char)(1 + pick(255));
    }
    far_close(memory);
    OwnTable *taken = take_over(OWN_WRITE_NONE, it.table);
    OwnObject **rows;
    size_t n;
    for (int i = 0; i < SLICES; i++) {
      assert(own_slice_rows(taken, i, false, &rows, &n) == OWN_FOUND);
      own_rows_drop(rows, n);
    }
    own_table_free(taken);
    own_table_free(it.table);
    far_unlink(at, &fault);
  }
}

/* Without contents there is nothing to take over, and a new copy is made. */
static void check_forgotten(void) {
  Fault fault = {0};
  Model it = {.table = open_table(OWN_WRITE_NONE, true)};
  for (int i = 0; i < 100; i++) change(&it, false);
  say(it.table);
  assert(whole(it.table) && far_unlink(at, &fault));
  OwnTable *taken = take_over(OWN_WRITE_NONE, it.table);
  for (int i = 0; i < SLICES; i++)
    assert(!taken->slices[i].count && taken->slices[i].copy.state == OWN_COPY_FAILED);
  own_table_free(taken);
  own_table_free(it.table);
}

int main(int argc, char **argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 25;
  const OwnNodeOptions options = {.coordinator = "", .address = "", .secret = ""};
  Fault fault = {0};
  if (argc > 2) random_state = (uint64_t)atoll(argv[2]);
  node = own_node_open(&options, &fault);
  assert(node);
  snprintf(at, sizeof at, "shm:owners-standby-%d", (int)getpid());
  const int through = round_of(OWN_WRITE_THROUGH, rounds), none = round_of(OWN_WRITE_NONE, rounds);
  const int back = round_of(OWN_WRITE_BACK, rounds);
  printf("# rows taken over: %d, %d, %d\n", through, none, back);
  assert(through > 0 && none > 0);
  check_pending(false);
  check_pending(true);
  check_evicted();
  check_fence(OWN_WRITE_THROUGH);
  check_fence(OWN_WRITE_NONE);
  check_forgotten();
  check_hostile();
  far_unlink(at, &fault);
  own_node_close(node);
  puts("1..1\nok 1 - copies are what was committed, whoever dies and whatever is in them");
  return 0;
}
